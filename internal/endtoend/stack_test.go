// Package endtoend runs the whole of Concord: a real Temporal server, a real worker, a real ledger, and real HTTP to a sandbox of both
// sides. It holds only tests.
package endtoend

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/devserver"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/telemetry"
	"github.com/concordsync/concord/workflows"
)

const (
	interval      = time.Second
	window        = 6 * time.Second
	orderLag      = time.Second
	patience      = time.Minute
	marketing     = 11
	checkout      = 22
	listrakZone   = "America/New_York"
	clientSecret  = "not-a-real-secret"
	watchInterval = 20 * time.Millisecond
)

// temporalServer is shared by all tests of this binary; each test has a merchant and a task queue of its own.
var temporalServer *devserver.Server

// binaries is where the tests build the programs that they kill.
var binaries string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var err error
	if binaries, err = os.MkdirTemp("", "concord-endtoend-"); err != nil {
		fmt.Fprintln(os.Stderr, "make a directory:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(binaries) }()
	temporalServer, err = devserver.Start(ctx, devserver.Options{Progress: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, "start Temporal:", err)
		return 1
	}
	defer func() { _ = temporalServer.Stop() }()
	return m.Run()
}

var merchants atomic.Int64

// stack is one merchant's whole world.
type stack struct {
	t        *testing.T
	id       string
	settings config.Settings
	// namespace of Temporal; each kind of deployment has its own.
	namespace string
	sandbox   *sandbox.Sandbox
	shop      *shop.Store
	list      *list.Store
	code      *list.SenderCode
	privacy   *list.Privacy
	temporal  client.Client
	host      *host.Host
	logs      *logs
}

// newStack makes both sides, the ledger and the merchant, and starts the merchant's workflow; no worker runs yet.
func newStack(t *testing.T, change ...func(*config.Settings)) *stack {
	t.Helper()
	return newStackIn(t, temporalServer.Namespace(), change...)
}

func newStackIn(t *testing.T, namespace string, change ...func(*config.Settings)) *stack {
	t.Helper()
	ctx := t.Context()
	number := merchants.Add(1)
	s := &stack{t: t, id: fmt.Sprintf("store-%d", number), namespace: namespace, logs: &logs{}}
	logger := telemetry.NewLogger(s.logs, slog.LevelDebug, "text")

	s.settings = config.Settings{
		Ledger:    config.DSN("sqlite:" + filepath.Join(t.TempDir(), "concord.db")),
		TaskQueue: s.id, Interval: interval, RoundLimit: 20 * time.Second, CheckoutWindow: window, OrderLag: orderLag, MaxHeld: 500,
		CallTimeout: 2 * time.Second, ClaimLease: 3 * time.Second, RunLease: 25 * time.Second, LogFormat: "text",
		OptOutRetention: time.Hour, ExportDirectory: filepath.Join(t.TempDir(), "exports"),
	}
	for _, c := range change {
		c(&s.settings)
	}

	var err error
	s.sandbox, err = sandbox.Start(sandbox.Options{Log: logger})
	must(t, err)
	t.Cleanup(s.sandbox.Close)
	domain := s.id + ".myshopify.com"
	zone, err := time.LoadLocation(listrakZone)
	must(t, err)
	s.shop = s.sandbox.AddShop(shop.Config{
		Domain: domain, ClientID: "app", ClientSecret: clientSecret,
		Scopes:   []string{"read_customers", "write_customers", "read_orders", "read_marketing_events", "write_marketing_events"},
		Webhooks: shop.WebhookConfig{LocalAddresses: true, RetryGaps: []time.Duration{100 * time.Millisecond, time.Second, time.Second}},
	})
	s.list = s.sandbox.AddList(list.Config{
		ID: int(1000 + number), Name: "Newsletter", ClientID: "integration", Secret: clientSecret, Zone: zone,
		Events: []list.Event{{ID: marketing, Name: "Marketing"}, {ID: checkout, Name: "Checkout"}},
	})

	s.code = s.sandbox.AddSenderCode(list.SenderCodeConfig{
		ID: int(1000 + number), ClientID: fmt.Sprint("sms-", number), Secret: clientSecret, Zone: zone, Account: "integration",
		Lists: []list.PhoneList{{ID: int(10_000 + 2*number)}, {ID: int(10_001 + 2*number)}},
	})

	s.privacy = s.sandbox.AddPrivacy(list.PrivacyConfig{ClientID: "privacy", Secret: clientSecret, Account: "integration"})

	s.temporal, err = client.Dial(client.Options{HostPort: temporalServer.Address(), Namespace: namespace, Logger: host.TemporalLogger(logger)})
	must(t, err)
	t.Cleanup(s.temporal.Close)
	s.host, err = host.Open(ctx, s.settings, logger, nil)
	must(t, err)
	t.Cleanup(func() { must(t, s.host.Close()) })

	settings, err := merchant.New(domain)
	must(t, err)
	settings.ShopifyURL, settings.ListrakURL, settings.ListrakAuthURL = s.sandbox.ShopifyURL(domain), s.sandbox.ListrakURL(), s.sandbox.ListrakAuthURL()
	settings.ListrakPrivacyURL = s.sandbox.ListrakPrivacyURL()
	settings.EmailList, settings.MarketingEvent, settings.CheckoutEvent, settings.Zone = int(1000+number), marketing, checkout, listrakZone
	phoneLists := s.code.Config().Lists
	settings.SMS.URL, settings.SMS.SenderCode = s.sandbox.ListrakSMSURL(), s.code.Config().ID
	settings.SMS.List, settings.SMS.CheckoutList = phoneLists[0].ID, phoneLists[1].ID
	settings.ListrakRate = 200
	settings.OrderBeforeConsent = time.Second
	_, err = s.host.Merchants.Add(ctx, settings, merchant.Credentials{
		ShopifyClientID: "app", ShopifyClientSecret: clientSecret, ListrakClientID: "integration", ListrakClientSecret: clientSecret,
		ListrakPrivacyClientID: "privacy", ListrakPrivacyClientSecret: clientSecret,
		ListrakSMSClientID: s.code.Config().ClientID, ListrakSMSClientSecret: clientSecret,
	})
	must(t, err)
	must(t, workflows.StartMerchantSync(ctx, s.temporal, s.settings.TaskQueue, s.id))
	return s
}

// onPostgreSQL puts the ledger on a PostgreSQL database of the test's own, where a master key is never made but given.
func onPostgreSQL(t *testing.T) func(*config.Settings) {
	t.Helper()
	dsn := ledgertest.Postgres(t)
	set, err := keys.Generate()
	must(t, err)
	key, err := set.Export()
	must(t, err)
	return func(s *config.Settings) { s.Ledger, s.MasterKey = config.DSN(dsn), config.Secret(key) }
}

// onEachLedger runs a test once on each kind of ledger.
func onEachLedger(t *testing.T, test func(*testing.T, *stack)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, newStack(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, newStack(t, onPostgreSQL(t)))
	})
}

// work starts a worker in this process; it ends with the test.
func (s *stack) work() *stack {
	s.t.Helper()
	w := s.host.Worker(s.temporal)
	must(s.t, w.Start())
	s.t.Cleanup(w.Stop)
	return s
}

// openDoor serves the door for webhooks in this process and subscribes the merchant to them; it closes with the test.
func (s *stack) openDoor() *stack {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(s.t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.host.ServeDoor(ctx, s.temporal, listener) }()
	s.t.Cleanup(func() {
		stop()
		must(s.t, <-ended)
	})
	s.host.Subscriptions.PublicURL = "http://" + listener.Addr().String()
	_, err = s.host.Subscriptions.Check(s.t.Context(), s.id)
	must(s.t, err)
	return s
}

// set switches syncs and fails the test when they are not in force.
func (s *stack) set(delta workflows.SyncDelta) workflows.MerchantStatus {
	s.t.Helper()
	status, err := workflows.SetSyncs(s.t.Context(), s.temporal, s.id, delta)
	must(s.t, err)
	return status
}

// until waits for a condition and says what it saw last when it never comes true.
func (s *stack) until(what string, condition func() (bool, string)) {
	s.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		ok, seen := condition()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s did not happen within %s; last seen: %s\n\nlog:\n%s", what, patience, seen, s.logs)
		}
	}
}

// shopShows waits until Shopify shows a state of an address.
func (s *stack) shopShows(email string, want shop.State) shop.Customer {
	s.t.Helper()
	var customer shop.Customer
	s.until(fmt.Sprintf("%s %s in Shopify", email, want), func() (bool, string) {
		found, ok := s.shop.Customer(email)
		customer = found
		return ok && found.Consent.State == want, fmt.Sprintf("found %t, %+v", ok, found)
	})
	return customer
}

// listShows waits until Listrak shows a state of an address.
func (s *stack) listShows(email string, want list.State) list.Contact {
	s.t.Helper()
	var contact list.Contact
	s.until(fmt.Sprintf("%s %s in Listrak", email, want), func() (bool, string) {
		found, ok := s.list.Contact(email)
		contact = found
		return ok && found.State == want, fmt.Sprintf("found %t, %+v", ok, found)
	})
	return contact
}

// shopShowsPhone waits until Shopify shows a state of SMS of a phone.
func (s *stack) shopShowsPhone(phone string, want shop.State) shop.Customer {
	s.t.Helper()
	var customer shop.Customer
	s.until(fmt.Sprintf("%s %s in Shopify", phone, want), func() (bool, string) {
		found, ok := s.shop.CustomerByPhone(phone)
		customer = found
		return ok && found.SMSConsent.State == want, fmt.Sprintf("found %t, %+v", ok, found)
	})
	return customer
}

// listShowsPhone waits until Listrak consents, or does not, to messages of the merchant's list to a phone it knows.
func (s *stack) listShowsPhone(phone string, want bool) list.Phone {
	s.t.Helper()
	var contact list.Phone
	s.until(fmt.Sprintf("%s may be texted: %t", phone, want), func() (bool, string) {
		found, ok := s.code.Phone(phone)
		contact = found
		return ok && found.Consents(s.phoneLists()[0]) == want, fmt.Sprintf("found %t, %+v", ok, found)
	})
	return contact
}

// phoneLists are the ids of the merchant's list and of the one that stands for the checkout point.
func (s *stack) phoneLists() [2]int {
	lists := s.code.Config().Lists
	return [2]int{lists[0].ID, lists[1].ID}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// logs collects what a worker logs, to be shown when a test fails and searched for addresses.
type logs struct{ text atomic.Pointer[string] }

func (l *logs) Write(line []byte) (int, error) {
	for {
		before := l.text.Load()
		text := string(line)
		if before != nil {
			text = *before + text
		}
		if l.text.CompareAndSwap(before, &text) {
			return len(line), nil
		}
	}
}

func (l *logs) String() string {
	if text := l.text.Load(); text != nil {
		return strings.TrimSpace(*text)
	}
	return ""
}
