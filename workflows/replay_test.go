package workflows_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// record makes testdata anew, from a real run:
//
//	go test ./workflows -run TestRecord -record
//
// Only do so when workflows have been changed with a version, and keep the old files too: they are what merchants run.
var record = flag.Bool("record", false, "record the histories in testdata anew, in files that begin with -record.prefix")

var recordPrefix = flag.String("record.prefix", "v1", "beginning of the names of recorded files")

// large is from which size on a history is compressed.
const large = 48 << 10

func TestRecord(t *testing.T) {
	if !*record {
		t.Skip("only with -record")
	}
	s := startServer(t)
	ctx := t.Context()
	s.set(consent.EmailToListrak, true)
	s.until("the full read", func() (bool, string) { n := len(s.executions("Backfill")); return n > 0, fmt.Sprint(n, " backfills") })

	// A window that ends by its timer, one that an order ends, and one that a newer consent restarts.
	alone := s.subscribe("alone@example.com")
	s.save("checkout-timer", s.ended(s.windowOf(alone)), "")
	ordered := s.subscribe("ordered@example.com")
	window := s.windowOf(ordered)
	order, err := s.shop.PlaceOrder(shop.Order{CustomerID: ordered, Email: "ordered@example.com"})
	must(t, err)
	must(t, workflows.SignalOrder(ctx, s.temporal, window, workflows.OrderSignal{Order: string(order), CreatedAt: time.Now()}))
	s.save("checkout-order", s.ended(window), "")
	again := s.subscribe("again@example.com")
	window = s.windowOf(again)
	must(t, s.shop.SetEmailConsent(again, shop.Unsubscribed, time.Now().Add(time.Second)))
	must(t, s.shop.SetEmailConsent(again, shop.Subscribed, time.Now().Add(2*time.Second)))
	must(t, workflows.SignalHoldChanged(ctx, s.temporal, window))
	s.save("checkout-restart", s.ended(window), "")
	s.save("backfill", s.ended(workflows.BackfillID(s.id, consent.Email)), "")

	must(t, workflows.ScheduleWebhooks(ctx, s.temporal, s.settings.TaskQueue, s.id))
	s.until("a look at webhooks", func() (bool, string) { n := len(s.executions("Webhooks")); return n > 0, fmt.Sprint(n, " looks") })
	s.save("webhooks", s.ended(s.executions("Webhooks")[0].Execution.WorkflowId), "")

	// Switches by signal and update, a pause, windows, a malformed signal, until the workflow has continued as new twice.
	must(t, s.temporal.SignalWorkflow(ctx, workflows.MerchantSyncID(s.id), "", "set-syncs", "not a delta"))
	for i := 0; ; i++ {
		if i%2 == 0 {
			must(t, workflows.SignalSetSyncs(ctx, s.temporal, s.id, workflows.SyncDelta{consent.EmailToShopify: i%4 == 0}))
		} else {
			s.set(consent.EmailToShopify, i%4 == 1)
		}
		if i%5 == 1 {
			_, err := workflows.Pause(ctx, s.temporal, s.id)
			must(t, err)
			_, err = workflows.Resume(ctx, s.temporal, s.id)
			must(t, err)
		}
		s.subscribe(fmt.Sprintf("person-%d@example.com", i))
		if i%9 == 2 {
			// A webhook's customer, and the drain that reads it.
			_, err := s.host.Ledger.Hint(ctx, s.id, string(alone))
			must(t, err)
			must(t, workflows.SignalNudge(ctx, s.temporal, s.id))
		}
		status, err := workflows.Status(ctx, s.temporal, s.id)
		must(t, err)
		if status.Runs == 2 {
			break
		}
	}
	runs := s.executions("MerchantSync")
	for i, run := range runs {
		s.save(fmt.Sprintf("merchant-run-%d", i+1), run.Execution.WorkflowId, run.Execution.RunId)
	}
	// A merchant who is removed.
	must(t, s.host.Merchants.Remove(ctx, s.id))
	must(t, workflows.SignalResume(ctx, s.temporal, s.id))
	s.save("merchant-removed", s.ended(workflows.MerchantSyncID(s.id)), "")
}

// TestRecordSMS is TestRecord for SMS, which came later.
func TestRecordSMS(t *testing.T) {
	if !*record {
		t.Skip("only with -record")
	}
	s := startServer(t)
	s.set(consent.EmailToListrak, true)
	s.set(consent.SMSToListrak, true)
	s.save("sms-backfill", s.ended(workflows.BackfillID(s.id, consent.SMS)), "")
	// A window for each channel.
	yes := shop.Consent{State: shop.Subscribed}
	_, err := s.shop.CreateCustomer(shop.NewCustomer{Email: "both@example.com", Consent: yes, Phone: "+15550001111", SMSConsent: yes})
	must(t, err)
	var windows []string
	s.until("two windows", func() (bool, string) {
		windows = nil
		for _, run := range s.executions("CheckoutWindow") {
			windows = append(windows, run.Execution.WorkflowId)
		}
		return len(windows) == 2, fmt.Sprint(windows)
	})
	for _, id := range windows {
		if s.ended(id); strings.HasSuffix(id, "/sms") {
			s.save("sms-checkout", id, "")
		}
	}
	must(t, s.host.Merchants.Remove(t.Context(), s.id))
	must(t, workflows.SignalResume(t.Context(), s.temporal, s.id))
	s.save("sms-merchant", s.ended(workflows.MerchantSyncID(s.id)), "")
}

// TestRecordPrivacy is TestRecord for privacy requests, which came later.
func TestRecordPrivacy(t *testing.T) {
	if !*record {
		t.Skip("only with -record")
	}
	s := startServer(t)
	ctx := t.Context()
	ask := func(request string, kind ledger.PrivacyKind) {
		t.Helper()
		sealed, err := person.Seal(s.host.Keys, s.id, request, person.Person{Email: "ann@example.com"})
		must(t, err)
		must(t, s.host.Ledger.AddPrivacyRequest(ctx, s.id, ledger.PrivacyRequest{ID: request, Kind: kind, Sealed: sealed}))
		_, err = workflows.StartPrivacyRequest(ctx, s.temporal, s.settings.TaskQueue, s.id, request)
		must(t, err)
	}
	ask("data", ledger.DataRequest)
	s.save("privacy-data-request", s.ended(workflows.PrivacyRequestID(s.id, "data")), "")
	// One that waits for Listrak, and is roused.
	ask("redact", ledger.Redact)
	s.until("Listrak was asked", func() (bool, string) { n := len(s.privacy.Requests()); return n == 1, fmt.Sprint(n, " requests") })
	s.privacy.CompleteAll()
	must(t, workflows.SignalPrivacyGoOn(ctx, s.temporal, s.id, "redact"))
	s.save("privacy-redact", s.ended(workflows.PrivacyRequestID(s.id, "redact")), "")
	ask("uninstalled", ledger.Uninstalled)
	s.save("privacy-uninstalled", s.ended(workflows.PrivacyRequestID(s.id, "uninstalled")), "")
	ask("shop", ledger.ShopRedact)
	s.save("privacy-shop-redact", s.ended(workflows.PrivacyRequestID(s.id, "shop")), "")
}

// TestRecordEngagement is TestRecord for events, which came later.
func TestRecordEngagement(t *testing.T) {
	if !*record {
		t.Skip("only with -record")
	}
	s := startServer(t)
	ctx := t.Context()
	// By update and by signal, and a kind by itself.
	s.set(consent.EmailEvents, true)
	must(t, workflows.SignalSetSyncs(ctx, s.temporal, s.id, workflows.SyncDelta{consent.SMSEvents: true, consent.EmailOpened: false}))
	passed := func(runs int) {
		t.Helper()
		s.until("a pass of another run", func() (bool, string) {
			found := s.executions("Engagement")
			return len(found) >= runs, fmt.Sprint(len(found), " runs")
		})
	}
	passed(1)
	s.ahead.Store(int64(26 * time.Hour))
	passed(2)
	s.ahead.Store(0)
	s.set(consent.EmailEvents, false)
	s.set(consent.EmailEvents, true)
	s.save("engagement-run-1", workflows.EngagementID(s.id), s.executions("Engagement")[0].Execution.RunId)
	must(t, s.host.Merchants.Remove(ctx, s.id))
	s.save("engagement-removed", s.ended(workflows.EngagementID(s.id)), "")
	s.save("engagement-merchant", s.ended(workflows.MerchantSyncID(s.id)), "")
}

// ended waits for the end of a workflow and returns its id.
func (s *server) ended(workflowID string) string {
	s.t.Helper()
	must(s.t, s.temporal.GetWorkflow(s.t.Context(), workflowID, "").Get(s.t.Context(), nil))
	return workflowID
}

func (s *server) save(name, workflowID, runID string) {
	s.t.Helper()
	text, err := protojson.Marshal(s.history(s.t.Context(), workflowID, runID))
	must(s.t, err)
	// protojson adds spaces at random so that nobody compares its output.
	text = append(bytes.ReplaceAll(text, []byte(`, "`), []byte(`,"`)), '\n')
	path := filepath.Join("testdata", *recordPrefix+"-"+name+".json")
	if len(text) > large {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, err := w.Write(text)
		must(s.t, err)
		must(s.t, w.Close())
		path, text = path+".gz", packed.Bytes()
	}
	must(s.t, os.WriteFile(path, text, 0o644))
}

// silent drops what the replayer logs: its findings are its errors.
var silent = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

// recorded calls each for every recorded history.
func recorded(t *testing.T, each func(t *testing.T, name string, text []byte)) {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.json*")
	must(t, err)
	if len(paths) < 21 {
		t.Fatalf("%d recorded histories, want those of a merchant, windows, full reads, privacy requests and events", len(paths))
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			must(t, err)
			if strings.HasSuffix(path, ".gz") {
				r, err := gzip.NewReader(bytes.NewReader(text))
				must(t, err)
				text, err = io.ReadAll(r)
				must(t, err)
			}
			each(t, filepath.Base(path), text)
		})
	}
}

func parse(t *testing.T, text []byte) *history.History {
	t.Helper()
	h, err := client.HistoryFromJSON(bytes.NewReader(text), client.HistoryJSONOptions{})
	must(t, err)
	return h
}

// Every history that a version in use has written must be replayed by this one, or running merchants stop.
func TestReplay(t *testing.T) {
	t.Parallel()
	recorded(t, func(t *testing.T, _ string, text []byte) {
		replayer := worker.NewWorkflowReplayer()
		workflows.Register(replayer)
		if err := replayer.ReplayWorkflowHistory(silent, parse(t, text)); err != nil {
			t.Errorf("this version does not replay it: %v\nMake the change with workflow.GetVersion (reference/temporal.md 2.5)", err)
		}
	})
}

// A replay that could not fail would show nothing: the same workflows with one command before all others are found out.
func TestReplayFindsAChangedOrderOfCommands(t *testing.T) {
	t.Parallel()
	recorded(t, func(t *testing.T, _ string, text []byte) {
		replayer := worker.NewWorkflowReplayer()
		first := func(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Hour) }
		replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context, in workflows.MerchantSyncInput) error {
			if err := first(ctx); err != nil {
				return err
			}
			return workflows.MerchantSync(ctx, in)
		}, workflow.RegisterOptions{Name: "MerchantSync"})
		replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context, in workflows.CheckoutWindowInput) (workflows.CheckoutWindowResult, error) {
			// A timer is what a window begins with, so it is an activity that comes first here.
			ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
			if err := workflow.ExecuteActivity(ctx, "Switches").Get(ctx, nil); err != nil {
				return workflows.CheckoutWindowResult{}, err
			}
			return workflows.CheckoutWindow(ctx, in)
		}, workflow.RegisterOptions{Name: "CheckoutWindow"})
		replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context, in workflows.BackfillInput) (any, error) {
			if err := first(ctx); err != nil {
				return nil, err
			}
			return workflows.Backfill(ctx, in)
		}, workflow.RegisterOptions{Name: "Backfill"})
		replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context, in workflows.WebhooksInput) (any, error) {
			if err := first(ctx); err != nil {
				return nil, err
			}
			return workflows.Webhooks(ctx, in)
		}, workflow.RegisterOptions{Name: "Webhooks"})
		replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context, in workflows.PrivacyRequestInput) (any, error) {
			if err := first(ctx); err != nil {
				return nil, err
			}
			return workflows.PrivacyRequest(ctx, in)
		}, workflow.RegisterOptions{Name: "PrivacyRequest"})
		replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context, in workflows.EngagementInput) error {
			if err := first(ctx); err != nil {
				return err
			}
			return workflows.Engagement(ctx, in)
		}, workflow.RegisterOptions{Name: "Engagement"})
		if err := replayer.ReplayWorkflowHistory(silent, parse(t, text)); err == nil {
			t.Error("the replay did not find that a command comes before all others")
		}
	})
}

func TestRecordedHistoriesHoldNoPersonalData(t *testing.T) {
	t.Parallel()
	recorded(t, func(t *testing.T, _ string, text []byte) {
		// Payloads are base64 in JSON, so what they hold is searched as well.
		for name, place := range map[string]string{"the file": string(text), "its payloads": parse(t, text).String()} {
			if at := strings.IndexByte(place, '@'); at >= 0 {
				t.Errorf("%s holds what may be an address: …%s…", name, place[max(0, at-60):min(len(place), at+40)])
			}
			if strings.Contains(place, "5550001111") {
				t.Errorf("%s holds the phone number", name)
			}
		}
	})
}
