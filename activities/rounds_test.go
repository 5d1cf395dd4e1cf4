package activities_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

func TestAnIdleRoundAsksToBeRetriedAtTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToListrak, consent.EmailToShopify)
	_, err := w.reconcile()
	idle := application(t, err, activities.IdleType)
	w.onTheGrid(idle.NextRetryDelay())
	if idle.Category() != temporal.ApplicationErrorCategoryBenign || idle.NonRetryable() {
		t.Errorf("category %v, retryable %t: it would be counted as a failure", idle.Category(), !idle.NonRetryable())
	}
}

func TestNotBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToListrak)
	for _, c := range []struct {
		name  string
		after time.Duration
		waits bool
	}{
		{"past", -time.Hour, false}, {"soon", 30 * time.Second, true}, {"by a clock that is an hour ahead", time.Hour, false},
	} {
		before := requests(w)
		_, err := run(w, w.acts.Reconcile, activities.ReconcileInput{Merchant: w.id, State: activities.StateRunning, NotBefore: time.Now().Add(c.after)})
		idle := application(t, err, activities.IdleType)
		if called := requests(w) > before; called == c.waits {
			t.Errorf("%s: called a side %t", c.name, called)
		}
		if c.waits && (idle.NextRetryDelay() > c.after || idle.NextRetryDelay() < c.after-5*time.Second) {
			t.Errorf("%s: retried after %s", c.name, idle.NextRetryDelay())
		}
	}
}

func requests(w *world) int {
	total := 0
	for _, n := range w.shop.Requests() {
		total += n
	}
	return total
}

func TestAWindowEndsTheRound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToListrak)
	id, err := w.shop.CreateCustomer(shop.NewCustomer{Email: "held@example.com", Consent: shop.Consent{State: shop.Subscribed}})
	must(t, err)
	result, err := w.reconcile()
	must(t, err)
	if len(result.Windows) != 1 || "gid://shopify/Customer/"+result.Windows[0].Customer != string(id) {
		t.Fatalf("windows %+v, want one of customer %s", result.Windows, id)
	}
	window := result.Windows[0]
	if length := window.Until.Sub(window.Consent); length != 5*time.Minute || !window.LastLookUp.After(window.Until.Add(time.Minute)) {
		t.Errorf("window %+v: want five minutes and a last look-up a minute later", window)
	}
	w.onTheGrid(time.Until(result.NextRound))
	if result.Switches.State != activities.StateRunning || !result.Switches.BackfillNeeded {
		t.Errorf("switches %+v", result.Switches)
	}
}

func TestABusyMerchantIsLeftToWhoeverIsAtWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToListrak)
	_, ok, err := w.host.Ledger.AcquireRun(t.Context(), w.id, reconcile.RoundRun, "another process", time.Minute)
	must(t, err)
	if !ok {
		t.Fatal("the lease was taken")
	}
	_, err = w.reconcile()
	w.onTheGrid(application(t, err, activities.IdleType).NextRetryDelay())
}

func TestAnUnknownOrRemovedMerchantIsNeverRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToListrak)
	must(t, w.host.Merchants.Remove(t.Context(), w.id))
	for _, id := range []string{w.id, "nobody"} {
		in := activities.MerchantInput{Merchant: id}
		calls := map[string]func() error{
			"Reconcile": func() error { _, err := run(w, w.acts.Reconcile, activities.ReconcileInput{Merchant: id}); return err },
			"Backfill":  func() error { _, err := run(w, w.acts.Backfill, activities.BackfillInput{Merchant: id}); return err },
			"Pause":     func() error { _, err := run(w, w.acts.Pause, in); return err },
			"Resume":    func() error { _, err := run(w, w.acts.Resume, in); return err },
			"SetSyncs": func() error {
				_, err := run(w, w.acts.SetSyncs, activities.SetSyncsInput{Merchant: id, Delta: map[consent.Sync]bool{consent.EmailToListrak: true}})
				return err
			},
		}
		for name, call := range calls {
			if e := application(t, call(), activities.UnknownMerchantType); !e.NonRetryable() {
				t.Errorf("%s of %s: retryable", name, id)
			}
		}
	}
}

// A credential that broke is told in the round that met it, and the mending in the first round after it.
func TestABrokenCredentialIsToldAtOnceAndSoIsItsMending(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToListrak)
	credentials, err := w.host.Merchants.Credentials(t.Context(), w.id)
	must(t, err)
	w.credentials(func(c *merchant.Credentials) { c.ListrakClientSecret = "revoked" })
	result, err := w.reconcile()
	must(t, err)
	if result.Switches.State != activities.StateBroken || result.Switches.Reason == "" {
		t.Fatalf("told %+v, want that the merchant is broken and why", result.Switches)
	}
	calls := requests(w)
	broken := activities.ReconcileInput{Merchant: w.id, State: activities.StateBroken}
	_, err = run(w, w.acts.Reconcile, broken)
	application(t, err, activities.IdleType)
	if requests(w) != calls {
		t.Error("a broken merchant was called")
	}
	w.credentials(func(c *merchant.Credentials) { *c = credentials })
	_, err = w.host.Ledger.Heal(t.Context(), w.id)
	must(t, err)
	result, err = run(w, w.acts.Reconcile, broken)
	must(t, err)
	if result.Switches.State != activities.StateRunning {
		t.Errorf("told %+v, want that it runs again", result.Switches)
	}
}

func TestAFailedRoundIsRetriedAtTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToListrak)
	w.shop.Faults.Set(1, fault.Rule{Kind: fault.ServerError})
	_, err := w.reconcile()
	failed := application(t, err, activities.RoundFailedType)
	if failed.NonRetryable() || failed.Category() == temporal.ApplicationErrorCategoryBenign {
		t.Error("a failure must be retried and counted")
	}
	w.onTheGrid(failed.NextRetryDelay())
}

func TestARoundThatStoppedForTimeGoesOnAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToListrak)
	w.host.Engine.Timing.RoundLimit = 0
	_, err := w.reconcile()
	if delay := application(t, err, activities.IdleType).NextRetryDelay(); delay != time.Millisecond {
		t.Errorf("goes on after %s", delay)
	}
}

// A change of the switches and the end of the worker end a round at its next safe point.
func TestARoundAtWorkStops(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		stop  func(w *world, worker chan struct{})
		delay time.Duration
	}{
		{"when the switches change", func(w *world, _ chan struct{}) {
			_, err := w.host.Ledger.SetSyncs(w.t.Context(), w.id, ledger.SyncChange{On: map[consent.Sync]bool{consent.EmailToListrak: true}})
			if err != nil {
				w.t.Error(err)
			}
		}, 2 * time.Second},
		{"when the worker stops", func(_ *world, worker chan struct{}) { close(worker) }, time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, consent.EmailToShopify)
			worker := make(chan struct{})
			w.env.SetWorkerStopChannel(worker)
			// Twenty requests, of which the first is under way when the stop comes.
			const people = 1000
			for i := range people {
				must(t, w.list.Subscribe(fmt.Sprintf("many-%d@example.com", i), time.Now(), "Website"))
			}
			w.shop.Faults.Set(1, fault.Rule{Operation: "customerCreate", Kind: fault.Latency, Delay: 1500 * time.Millisecond})
			go func() {
				if err := w.shop.Faults.Await(t.Context(), fault.Latency); err != nil {
					t.Error(err)
				}
				c.stop(w, worker)
			}()
			_, err := w.reconcile()
			idle := application(t, err, activities.IdleType)
			if n := len(w.shop.Writes()); n > people/4 {
				t.Errorf("%d were written, want after a look at the ledger only those of the call under way", n)
			}
			if idle.NextRetryDelay() != c.delay || !strings.HasPrefix(idle.Message(), "stopped: ") {
				t.Errorf("retried after %s: %s", idle.NextRetryDelay(), idle.Message())
			}
		})
	}
}
