package activities_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/telemetry"
)

const interval = time.Minute

// world is one merchant with a real ledger and both sides in the sandbox; only Temporal is played.
type world struct {
	t    *testing.T
	id   string
	host *host.Host
	shop *shop.Store
	list *list.Store
	env  *testsuite.TestActivityEnvironment
	acts *activities.Activities
}

func newWorld(t *testing.T, on ...consent.Sync) *world {
	t.Helper()
	ctx := t.Context()
	const domain, secret, listID = "store.myshopify.com", "not-a-real-secret", 1001
	logger := telemetry.NewLogger(io.Discard, slog.LevelError, "text")
	sb, err := sandbox.Start(sandbox.Options{Log: logger})
	must(t, err)
	t.Cleanup(sb.Close)
	w := &world{t: t}
	zone, err := time.LoadLocation("America/New_York")
	must(t, err)
	w.shop = sb.AddShop(shop.Config{Domain: domain, ClientID: "app", ClientSecret: secret})
	w.list = sb.AddList(list.Config{
		ID: listID, Name: "Newsletter", ClientID: "integration", Secret: secret, Zone: zone,
		Events: []list.Event{{ID: 11, Name: "Marketing"}, {ID: 22, Name: "Checkout"}},
	})
	w.host, err = host.Open(ctx, config.Settings{
		Ledger:   config.DSN("sqlite:" + filepath.Join(t.TempDir(), "concord.db")),
		Interval: interval, RoundLimit: 20 * time.Second, CheckoutWindow: 5 * time.Minute, OrderLag: time.Minute,
		MaxHeld: 500, CallTimeout: 5 * time.Second, ClaimLease: 6 * time.Second, RunLease: 26 * time.Second,
	}, logger, nil)
	must(t, err)
	t.Cleanup(func() { must(t, w.host.Close()) })
	settings, err := merchant.New(domain)
	must(t, err)
	settings.ShopifyURL, settings.ListrakURL, settings.ListrakAuthURL = sb.ShopifyURL(domain), sb.ListrakURL(), sb.ListrakAuthURL()
	settings.EmailList, settings.MarketingEvent, settings.CheckoutEvent, settings.Zone = listID, 11, 22, zone.String()
	settings.ListrakRate = 200
	_, err = w.host.Merchants.Add(ctx, settings, merchant.Credentials{
		ShopifyClientID: "app", ShopifyClientSecret: secret, ListrakClientID: "integration", ListrakClientSecret: secret,
	})
	must(t, err)
	w.id = settings.ID
	w.acts = &activities.Activities{Engine: w.host.Engine, Office: w.host.Office}
	w.newEnv()
	if len(on) > 0 {
		delta := map[consent.Sync]bool{}
		for _, sync := range on {
			delta[sync] = true
		}
		_, err := w.host.Ledger.SetSyncs(ctx, w.id, ledger.SyncChange{On: delta})
		must(t, err)
	}
	return w
}

// newEnv plays Temporal anew; one environment runs one activity at a time.
func (w *world) newEnv() {
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(quiet{})
	w.env = suite.NewTestActivityEnvironment()
	w.env.SetTestTimeout(time.Minute)
	w.env.RegisterActivity(w.acts)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs one activity as Temporal would, with what it takes and returns going through Temporal's encoding.
func run[In, Out any](w *world, activity func(context.Context, In) (Out, error), in In) (Out, error) {
	w.t.Helper()
	var out Out
	value, err := w.env.ExecuteActivity(activity, in)
	if err == nil {
		must(w.t, value.Get(&out))
	} else if strings.Contains(err.Error(), "@") {
		w.t.Errorf("an error holds what may be an address: %v", err)
	}
	return out, err
}

func (w *world) reconcile() (activities.ReconcileResult, error) {
	w.t.Helper()
	return run(w, w.acts.Reconcile, activities.ReconcileInput{Merchant: w.id, State: activities.StateRunning})
}

// application is the error that an activity must have ended with.
func application(t *testing.T, err error, kind string) *temporal.ApplicationError {
	t.Helper()
	var application *temporal.ApplicationError
	if !errors.As(err, &application) || application.Type() != kind {
		t.Fatalf("ended with %v, want an error of type %s", err, kind)
	}
	return application
}

// onTheGrid fails the test unless a delay that was asked for just now ends at a start of one of the merchant's rounds.
func (w *world) onTheGrid(delay time.Duration) {
	w.t.Helper()
	now := time.Now()
	want := w.host.Engine.NextRound(w.id, now).Sub(now)
	// The next start may have passed between the two looks at the clock.
	if off := (delay - want + interval) % interval; delay <= 0 || delay > interval || min(off, interval-off) > 5*time.Second {
		w.t.Errorf("asks to be retried after %s, want %s, the merchant's own start", delay, want)
	}
}

// credentials changes the merchant's credentials, as an operator would.
func (w *world) credentials(change func(*merchant.Credentials)) {
	w.t.Helper()
	credentials, err := w.host.Merchants.Credentials(w.t.Context(), w.id)
	must(w.t, err)
	change(&credentials)
	_, err = w.host.Merchants.Update(w.t.Context(), w.id, nil, &credentials)
	must(w.t, err)
}

type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
