package workflows_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/devserver"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/telemetry"
	"github.com/concordsync/concord/workflows"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// server is a real Temporal server with one merchant, both sides in the sandbox, and a worker in this process. Runs are told to
// continue as new after 200 events.
type server struct {
	t        *testing.T
	id       string
	settings config.Settings
	shop     *shop.Store
	list     *list.Store
	privacy  *list.Privacy
	temporal client.Client
	host     *host.Host
	// ahead is how far the clock of the engine is ahead, in nanoseconds: what lasts a day ends at once.
	ahead atomic.Int64
}

func startServer(t *testing.T) *server {
	t.Helper()
	if testing.Short() {
		t.Skip("a real Temporal server takes a while")
	}
	ctx := t.Context()
	dev, err := devserver.Start(ctx, devserver.Options{DynamicConfig: map[string]string{"limit.historyCount.suggestContinueAsNew": "200"}})
	must(t, err)
	t.Cleanup(func() { must(t, dev.Stop()) })

	const domain, secret, listID = "recorded.myshopify.com", "not-a-real-secret", 1001
	logger := telemetry.NewLogger(io.Discard, slog.LevelError, "text")
	sb, err := sandbox.Start(sandbox.Options{Log: logger})
	must(t, err)
	t.Cleanup(sb.Close)
	s := &server{t: t, settings: config.Settings{
		Ledger:    config.DSN("sqlite:" + filepath.Join(t.TempDir(), "concord.db")),
		TaskQueue: "recorded", Interval: time.Second, RoundLimit: 20 * time.Second, CheckoutWindow: 5 * time.Second, OrderLag: time.Second,
		MaxHeld: 500, CallTimeout: 2 * time.Second, ClaimLease: 3 * time.Second, RunLease: 25 * time.Second,
		OptOutRetention: time.Hour, ExportDirectory: filepath.Join(t.TempDir(), "exports"),
	}}
	zone, err := time.LoadLocation("America/New_York")
	must(t, err)
	s.shop = sb.AddShop(shop.Config{Domain: domain, ClientID: "app", ClientSecret: secret})
	s.list = sb.AddList(list.Config{
		ID: listID, Name: "Newsletter", ClientID: "integration", Secret: secret, Zone: zone,
		Events: []list.Event{{ID: 11, Name: "Marketing"}, {ID: 22, Name: "Checkout"}},
	})
	code := sb.AddSenderCode(list.SenderCodeConfig{ID: 5, ClientID: "sms", Secret: secret, Zone: zone, Lists: []list.PhoneList{{ID: 51}}})
	s.privacy = sb.AddPrivacy(list.PrivacyConfig{ClientID: "privacy", Secret: secret, Account: "integration", Processing: time.Hour})
	// The default identity, process@machine, would look like an address in recorded histories.
	s.temporal, err = client.Dial(client.Options{HostPort: dev.Address(), Identity: "recorder", Logger: host.TemporalLogger(logger)})
	must(t, err)
	t.Cleanup(s.temporal.Close)
	s.host, err = host.Open(ctx, s.settings, logger, nil)
	must(t, err)
	t.Cleanup(func() { must(t, s.host.Close()) })
	now := s.host.Engine.Now
	s.host.Engine.Now = func() time.Time { return now().Add(time.Duration(s.ahead.Load())) }

	settings, err := merchant.New(domain)
	must(t, err)
	settings.ShopifyURL, settings.ListrakURL, settings.ListrakAuthURL = sb.ShopifyURL(domain), sb.ListrakURL(), sb.ListrakAuthURL()
	settings.ListrakPrivacyURL = sb.ListrakPrivacyURL()
	settings.EmailList, settings.MarketingEvent, settings.CheckoutEvent, settings.Zone = listID, 11, 22, zone.String()
	settings.SMS.URL, settings.SMS.SenderCode, settings.SMS.List = sb.ListrakSMSURL(), code.Config().ID, 51
	settings.ListrakRate, settings.OrderBeforeConsent = 200, time.Second
	_, err = s.host.Merchants.Add(ctx, settings, merchant.Credentials{
		ShopifyClientID: "app", ShopifyClientSecret: secret, ListrakClientID: "integration", ListrakClientSecret: secret,
		ListrakPrivacyClientID: "privacy", ListrakPrivacyClientSecret: secret, ListrakSMSClientID: "sms", ListrakSMSClientSecret: secret,
	})
	must(t, err)
	s.id = settings.ID
	w := s.host.Worker(s.temporal)
	must(t, w.Start())
	t.Cleanup(w.Stop)
	must(t, workflows.StartMerchantSync(ctx, s.temporal, s.settings.TaskQueue, s.id))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *server) until(what string, condition func() (bool, string)) {
	s.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, seen := condition()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s did not happen within %s; last seen: %s", what, patience, seen)
		}
	}
}

func (s *server) set(sync consent.Sync, on bool) workflows.MerchantStatus {
	s.t.Helper()
	status, err := workflows.SetSyncs(s.t.Context(), s.temporal, s.id, workflows.SyncDelta{sync: on})
	must(s.t, err)
	return status
}

// turned lists in which positions a sync was put, in the order of the ledger's journal.
func (s *server) turned(sync consent.Sync) []string {
	s.t.Helper()
	lines, err := s.host.Ledger.Journal(s.t.Context(), s.id, 0, consent.Subject{})
	must(s.t, err)
	var positions []string
	for _, line := range lines {
		if line.Kind == ledger.Switched && line.Sync == sync {
			positions = append(positions, string(line.Reason))
		}
	}
	return positions
}

// subscribe is a consent in Shopify, which opens a window.
func (s *server) subscribe(email string) shop.CustomerID {
	s.t.Helper()
	id, err := s.shop.CreateCustomer(shop.NewCustomer{Email: email, Consent: shop.Consent{State: shop.Subscribed}})
	must(s.t, err)
	return id
}

func (s *server) delivered(email string) {
	s.t.Helper()
	s.until(email+" in Listrak", func() (bool, string) {
		contact, ok := s.list.Contact(email)
		return ok && contact.State == list.Subscribed, fmt.Sprintf("%t %+v", ok, contact)
	})
}

// executions lists the runs of one workflow type, oldest first.
func (s *server) executions(kind string) []*workflow.WorkflowExecutionInfo {
	s.t.Helper()
	var found []*workflow.WorkflowExecutionInfo
	var token []byte
	for {
		page, err := s.temporal.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: "WorkflowType = '" + kind + "'", NextPageToken: token,
		})
		must(s.t, err)
		found = append(found, page.Executions...)
		if token = page.NextPageToken; len(token) == 0 {
			slices.SortFunc(found, func(a, b *workflow.WorkflowExecutionInfo) int {
				return a.StartTime.AsTime().Compare(b.StartTime.AsTime())
			})
			return found
		}
	}
}

// windowOf waits for the window of a customer and returns its workflow id.
func (s *server) windowOf(customer shop.CustomerID) string {
	s.t.Helper()
	var id string
	number := strings.TrimPrefix(string(customer), "gid://shopify/Customer/")
	s.until("the window of customer "+number, func() (bool, string) {
		for _, e := range s.executions("CheckoutWindow") {
			if strings.HasPrefix(e.Execution.WorkflowId, "merchant/"+s.id+"/checkout/"+number+"/") {
				id = e.Execution.WorkflowId
			}
		}
		return id != "", "no such window"
	})
	return id
}

func (s *server) history(ctx context.Context, workflowID, runID string) *history.History {
	s.t.Helper()
	h := &history.History{}
	events := s.temporal.GetWorkflowHistory(ctx, workflowID, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		must(s.t, err)
		h.Events = append(h.Events, event)
	}
	return h
}

// Signals, updates and windows while the workflow continues as new again and again: each request changes the ledger once, in its
// order, since each turns a switch that a lost or doubled or overtaken one would leave where it was.
func TestNothingIsLostUnderLoadOnARealServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ctx := t.Context()
	s.set(consent.EmailToListrak, true)
	const requests, people = 80, 30
	for i := range requests {
		delta := workflows.SyncDelta{consent.EmailToShopify: i%2 == 0}
		if i%8 == 7 {
			_, err := workflows.SetSyncs(ctx, s.temporal, s.id, delta)
			must(t, err)
		} else {
			must(t, workflows.SignalSetSyncs(ctx, s.temporal, s.id, delta))
		}
		if i%4 == 0 && i/4 < people {
			s.subscribe(fmt.Sprintf("load-%d@example.com", i))
		}
	}
	s.until("every change", func() (bool, string) {
		n := len(s.turned(consent.EmailToShopify))
		return n >= requests, fmt.Sprintf("%d changes, want %d", n, requests)
	})
	for i := 0; i < requests; i += 4 {
		s.delivered(fmt.Sprintf("load-%d@example.com", i))
	}
	status, err := workflows.Resume(ctx, s.temporal, s.id) // comes after everything before it, and changes nothing
	must(t, err)
	if turned := s.turned(consent.EmailToShopify); len(turned) != requests {
		t.Errorf("%d changes in the ledger, want each of %d requests once: %v", len(turned), requests, turned)
	}
	if !slices.Equal(status.On, []consent.Sync{consent.EmailToListrak}) {
		t.Errorf("the workflow shows %v on", status.On)
	}
	if status.Runs < 2 {
		t.Errorf("continued as new %d times: the test shows nothing", status.Runs)
	}
	if windows := len(s.executions("CheckoutWindow")); windows != status.WindowsOpened || windows == 0 {
		t.Errorf("%d windows began, %d were counted", windows, status.WindowsOpened)
	}
	for _, e := range s.executions("MerchantSync") {
		if n := e.HistoryLength; n > 400 {
			t.Errorf("run %s has %d events, want about 200", e.Execution.RunId, n)
		}
	}
	t.Logf("continued as new %d times, opened %d windows", status.Runs, status.WindowsOpened)
}

// A round at work hears of a change from the ledger within a second, so neither the answer nor the next request waits for it.
func TestAChangeDoesNotWaitForARoundAtWork(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.set(consent.EmailToShopify, true)
	s.shop.Faults.Set(1, fault.Rule{Operation: "customerCreate", Kind: fault.Latency, Delay: 1500 * time.Millisecond})
	for i := range 400 {
		must(t, s.list.Subscribe(fmt.Sprintf("many-%d@example.com", i), time.Now(), "Website"))
	}
	s.atWork()
	began := time.Now()
	s.set(consent.EmailToListrak, true)
	first := time.Since(began)
	s.set(consent.EmailToListrak, false)
	second := time.Since(began) - first
	if n := len(s.shop.Writes()); n == 400 {
		t.Errorf("answered after %s and %s, when everything was written: the changes waited for the round at work", first, second)
	}
	s.atWork()
	paused := time.Now()
	status, err := workflows.Pause(t.Context(), s.temporal, s.id)
	must(t, err)
	pause := time.Since(paused)
	if status.State != "paused" {
		t.Errorf("answered %q", status.State)
	}
	t.Logf("answered after %s and %s, paused after %s", first, second, pause)
	if n := len(s.shop.Writes()); n == 400 {
		t.Error("everything was written: the pause waited for the round at work")
	}
}

// atWork waits until a round makes a call that is answered slowly.
func (s *server) atWork() {
	s.t.Helper()
	struck := func() int { return s.shop.Faults.Struck()[fault.Latency] + s.list.Faults.Struck()[fault.Latency] }
	before := struck()
	s.until("a slow call", func() (bool, string) { return struck() > before, fmt.Sprint(struck(), " slow calls") })
}
