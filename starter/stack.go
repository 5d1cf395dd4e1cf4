package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/devserver"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/webhook"
	"github.com/concordsync/concord/workflows"
)

// What the sandbox of `starter dev` and `starter demo` holds: one store, one email list with two subscription points, and one sender
// code with a phone list for each. The secrets open nothing but the sandbox.
const (
	sandboxShop      = "sandbox.myshopify.com"
	sandboxMerchant  = "sandbox"
	sandboxList      = 1001
	sandboxMarketing = 11
	sandboxCheckout  = 22
	sandboxZone      = "America/New_York"
	sandboxAppID     = "sandbox-app"
	sandboxAppSecret = "sandbox-app-secret"
	sandboxAPIID     = "sandbox-integration"
	sandboxAPISecret = "sandbox-integration-secret"

	sandboxPrivacyID     = "sandbox-privacy"
	sandboxPrivacySecret = "sandbox-privacy-secret"

	sandboxSenderCode    = 8
	sandboxPhones        = 80
	sandboxCheckoutPhone = 81
	sandboxSMSID         = "sandbox-sms"
	sandboxSMSSecret     = "sandbox-sms-secret"
)

// stackOptions say what startStack starts. The zero value with Settings and Log is everything in memory on free ports.
type stackOptions struct {
	Settings config.Settings
	// TemporalDatabase is the file that keeps Temporal's state; empty keeps it in memory.
	TemporalDatabase string
	// UI serves Temporal's Web UI.
	UI bool
	// Port, UIPort and SandboxPort on 127.0.0.1; zero takes any free one.
	Port, UIPort, SandboxPort int
	// NoSandbox leaves the sandbox out.
	NoSandbox bool
	// ShopifyLatency is how long every call to the sandbox's store takes.
	ShopifyLatency time.Duration
	// WebhookLatency is how long each of its webhooks is on its way.
	WebhookLatency time.Duration
	// Log takes what the worker and the sandbox log; Progress what a person should see while a Temporal CLI is built.
	Log      *slog.Logger
	Progress io.Writer
	// Notice is told when a key file was made; nil tells nobody.
	Notice func(string)
}

// stack is everything of Concord in one process: a local Temporal server, both sides as a sandbox, the ledger and a worker.
type stack struct {
	Settings config.Settings
	Temporal *devserver.Server
	Client   client.Client
	Host     *host.Host
	// Sandbox, Shop, List and SMS are nil with NoSandbox.
	Sandbox *sandbox.Sandbox
	Shop    *shop.Store
	List    *list.Store
	SMS     *list.SenderCode

	// DoorURL is the base address of the door for webhooks, on this machine.
	DoorURL string

	worker   worker.Worker
	stopDoor func() error
}

// startStack starts a stack and returns when its worker polls. ctx bounds the start only. When it fails, nothing is left running.
func startStack(ctx context.Context, o stackOptions) (s *stack, err error) {
	s = &stack{Settings: o.Settings}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
			s = nil
		}
	}()
	// The ledger first: it fails in milliseconds, and Temporal may have to be built.
	if s.Host, err = host.Open(ctx, o.Settings, o.Log, o.Notice); err != nil {
		return s, err
	}
	s.Temporal, err = devserver.Start(ctx, devserver.Options{
		Database: o.TemporalDatabase, UI: o.UI, Port: o.Port, UIPort: o.UIPort, Progress: o.Progress,
	})
	if err != nil {
		return s, err
	}
	s.Client, err = client.DialContext(ctx, client.Options{
		HostPort: s.Temporal.Address(), Namespace: s.Temporal.Namespace(), Logger: host.TemporalLogger(o.Log),
	})
	if err != nil {
		return s, fmt.Errorf("reach the local Temporal server: %w", err)
	}
	// The door before the sandbox, whose app names its address, and before the worker, which registers it at the stores.
	if err = s.openDoor(); err != nil {
		return s, err
	}
	if !o.NoSandbox {
		if err = s.startSandbox(o); err != nil {
			return s, err
		}
	}
	if s.Sandbox != nil && s.Settings.PublicURL == "" {
		s.Host.Subscriptions.PublicURL = s.DoorURL
	}
	w := s.Host.Worker(s.Client)
	if err = w.Start(); err != nil {
		return s, fmt.Errorf("start the worker: %w", err)
	}
	s.worker = w
	s.Host.ScheduleWebhooks(ctx, s.Client)
	return s, nil
}

// openDoor serves the door for webhooks on any free port of this machine. There is no HTTPS in front of it: what sends to it is here too.
func (s *stack) openDoor() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for webhooks: %w", err)
	}
	s.DoorURL = "http://" + listener.Addr().String()
	// Stop ends it, not the context of the start.
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Host.ServeDoor(ctx, s.Client, listener) }()
	s.stopDoor = func() error {
		stop()
		return <-ended
	}
	return nil
}

// WebhookURL is where the webhooks of a merchant go.
func (s *stack) WebhookURL(merchant string) string { return s.DoorURL + webhook.Path(merchant) }

// EventsURL is where email and SMS events of a merchant are pushed to.
func (s *stack) EventsURL(merchant string) string { return s.DoorURL + webhook.EventsPath(merchant) }

func (s *stack) startSandbox(o stackOptions) error {
	address := ""
	if o.SandboxPort != 0 {
		address = net.JoinHostPort("127.0.0.1", strconv.Itoa(o.SandboxPort))
	}
	zone, err := time.LoadLocation(sandboxZone)
	if err != nil {
		return fmt.Errorf("start sandbox: %w", err)
	}
	if s.Sandbox, err = sandbox.Start(sandbox.Options{Address: address, Log: o.Log}); err != nil {
		return err
	}
	s.Shop = s.Sandbox.AddShop(shop.Config{
		Domain: sandboxShop, Name: "Sandbox", ClientID: sandboxAppID, ClientSecret: sandboxAppSecret, Latency: o.ShopifyLatency,
		Scopes: []string{"read_customers", "write_customers", "read_orders", "read_marketing_events", "write_marketing_events"},
		// The ledger outlives the sandbox: of two runs that begin in different milliseconds none repeats an id.
		IDsAfter: time.Now().UnixMilli() * 1000,
		// Webhooks may come to this machine, and who tries that out does not wait four hours for a retry.
		Webhooks: shop.WebhookConfig{LocalAddresses: true, RetryGaps: sandboxRetryGaps(), Latency: o.WebhookLatency,
			// As deploy/shopify.app.toml does: by the API nobody can subscribe to these.
			App: []shop.AppSubscription{{
				Topics: []shop.Topic{shop.TopicDataRequest, shop.TopicCustomerRedact, shop.TopicShopRedact}, URI: s.WebhookURL(sandboxMerchant),
			}}},
	})
	s.List = s.Sandbox.AddList(list.Config{
		ID: sandboxList, Name: "Newsletter", ClientID: sandboxAPIID, Secret: sandboxAPISecret, Zone: zone,
		Events: []list.Event{{ID: sandboxMarketing, Name: "Subscribed: marketing"}, {ID: sandboxCheckout, Name: "Subscribed: checkout"}},
	})
	s.SMS = s.Sandbox.AddSenderCode(list.SenderCodeConfig{
		ID: sandboxSenderCode, Number: "55555", Name: "Sandbox", ClientID: sandboxSMSID, Secret: sandboxSMSSecret, Account: sandboxAPIID, Zone: zone,
		Lists: []list.PhoneList{{ID: sandboxPhones, Name: "Texts"}, {ID: sandboxCheckoutPhone, Name: "Texts: checkout"}},
	})
	s.Sandbox.AddPrivacy(list.PrivacyConfig{ClientID: sandboxPrivacyID, Secret: sandboxPrivacySecret, Account: sandboxAPIID, Zone: zone})
	return nil
}

// sandboxRetryGaps are the eight gaps of the sandbox's webhooks: four minutes in all instead of four hours.
func sandboxRetryGaps() []time.Duration {
	gaps := shop.DefaultRetryGaps()
	for n := range gaps {
		gaps[n] /= 60
	}
	return gaps
}

// AddSandboxMerchant makes the sandbox a merchant with every sync off, or points the one that is there at this sandbox, and starts
// its workflow. change, which may be nil, adjusts the settings.
func (s *stack) AddSandboxMerchant(ctx context.Context, change func(*merchant.Settings)) error {
	settings, err := merchant.New(sandboxShop)
	if err != nil {
		return err
	}
	adjust := func(m *merchant.Settings) error {
		m.ShopifyURL, m.ListrakURL, m.ListrakAuthURL = s.Sandbox.ShopifyURL(sandboxShop), s.Sandbox.ListrakURL(), s.Sandbox.ListrakAuthURL()
		m.ListrakPrivacyURL = s.Sandbox.ListrakPrivacyURL()
		m.EmailList, m.MarketingEvent, m.CheckoutEvent, m.Zone = sandboxList, sandboxMarketing, sandboxCheckout, sandboxZone
		m.ListrakRate = merchant.MaxListrakRate
		m.SMS.URL, m.SMS.SenderCode, m.SMS.List = s.Sandbox.ListrakSMSURL(), sandboxSenderCode, sandboxPhones
		m.SMS.CheckoutList = sandboxCheckoutPhone
		if change != nil {
			change(m)
		}
		return nil
	}
	if err := adjust(&settings); err != nil {
		return err
	}
	credentials := merchant.Credentials{
		ShopifyClientID: sandboxAppID, ShopifyClientSecret: sandboxAppSecret,
		ListrakClientID: sandboxAPIID, ListrakClientSecret: sandboxAPISecret,
		ListrakPrivacyClientID: sandboxPrivacyID, ListrakPrivacyClientSecret: sandboxPrivacySecret,
		ListrakSMSClientID: sandboxSMSID, ListrakSMSClientSecret: sandboxSMSSecret,
	}
	_, err = s.Host.Merchants.Add(ctx, settings, credentials)
	if errors.Is(err, ledger.ErrMerchantExists) {
		// Also the credentials: an older version of this sandbox had fewer integrations.
		_, err = s.Host.Merchants.Update(ctx, sandboxMerchant, adjust, &credentials)
	}
	if err != nil {
		return err
	}
	if err := workflows.StartMerchantSync(ctx, s.Client, s.Settings.TaskQueue, sandboxMerchant); err != nil {
		return err
	}
	s.Host.ScheduleWebhooks(ctx, s.Client)
	// The daily look would come to it too, but what people do until then would wait for a round.
	if _, err := s.Host.Subscriptions.Check(ctx, sandboxMerchant); err != nil {
		return fmt.Errorf("subscribe to webhooks: %w", err)
	}
	return nil
}

// Stop ends everything in order: what is at work ends at its next safe point.
func (s *stack) Stop() error {
	var errs []error
	if s.stopDoor != nil {
		errs = append(errs, s.stopDoor())
	}
	if s.worker != nil {
		s.worker.Stop()
	}
	if s.Client != nil {
		s.Client.Close()
	}
	if s.Host != nil {
		errs = append(errs, s.Host.Close())
	}
	if s.Sandbox != nil {
		s.Sandbox.Close()
	}
	if s.Temporal != nil {
		errs = append(errs, s.Temporal.Stop())
	}
	return errors.Join(errs...)
}
