package activities_test

import (
	"testing"
	"time"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/telemetry"
)

// Off and paused are answered when no delivery is under way any more.
func TestOffAndPauseWaitForDeliveriesUnderWay(t *testing.T) {
	t.Parallel()
	const takes = 2 * time.Second
	for name, ask := range map[string]func(*world) (activities.SwitchesResult, error){
		"off": func(w *world) (activities.SwitchesResult, error) {
			return run(w, w.acts.SetSyncs, activities.SetSyncsInput{Merchant: w.id, Delta: map[consent.Sync]bool{consent.EmailToShopify: false}})
		},
		"pause": func(w *world) (activities.SwitchesResult, error) {
			return run(w, w.acts.Pause, activities.MerchantInput{Merchant: w.id})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, consent.EmailToShopify)
			must(t, w.list.Subscribe("owed@example.com", time.Now(), "Website"))
			w.shop.Faults.Set(1, fault.Rule{Operation: "customerCreate", Kind: fault.Latency, Delay: takes})
			round := make(chan error, 1)
			go func() {
				_, err := w.acts.Engine.Round(t.Context(), w.id)
				round <- err
			}()
			must(t, w.shop.Faults.Await(t.Context(), fault.Latency))
			if _, err := ask(w); err != nil {
				t.Fatal(err)
			}
			live, _, err := w.host.Ledger.LiveClaims(t.Context(), w.id, consent.EmailToShopify)
			must(t, err)
			if live != 0 || len(w.shop.Writes()) != 1 {
				t.Errorf("answered with %d deliveries under way and %d written", live, len(w.shop.Writes()))
			}
			must(t, <-round)
		})
	}
}

func TestResumeAsksForTheFullReadThatNeverWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToListrak)
	_, err := run(w, w.acts.Pause, activities.MerchantInput{Merchant: w.id})
	must(t, err)
	waiting, err := run(w, w.acts.Backfill, activities.BackfillInput{Merchant: w.id})
	application(t, err, activities.IdleType)
	if waiting.Done || requests(w) != 0 {
		t.Errorf("a paused merchant was read: %+v", waiting)
	}
	resumed, err := run(w, w.acts.Resume, activities.MerchantInput{Merchant: w.id})
	must(t, err)
	if resumed.State != activities.StateRunning || !resumed.BackfillNeeded {
		t.Errorf("resumed with %+v, want that a full read is needed", resumed)
	}
	done, err := run(w, w.acts.Backfill, activities.BackfillInput{Merchant: w.id})
	must(t, err)
	on, err := run(w, w.acts.SetSyncs, activities.SetSyncsInput{Merchant: w.id, Delta: map[consent.Sync]bool{consent.EmailToListrak: true}})
	must(t, err)
	if !done.Done || on.BackfillNeeded {
		t.Errorf("after %+v another full read is asked for: %+v", done, on)
	}
	// The contacts are read once more for the direction that creates them in Shopify: now their addresses are needed.
	on, err = run(w, w.acts.SetSyncs, activities.SetSyncsInput{Merchant: w.id, Delta: map[consent.Sync]bool{consent.EmailToShopify: true}})
	must(t, err)
	if !on.BackfillNeeded {
		t.Errorf("enabling email_to_shopify asks for no read: %+v", on)
	}
}

// The reason of a broken merchant goes into histories, which nobody can erase.
func TestTheReasonOfABrokenMerchantIsRedacted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToShopify)
	_, err := w.host.Ledger.Break(t.Context(), w.id, "read contact: refused for ann@example.com. Set another key")
	must(t, err)
	result, err := run(w, w.acts.Switches, activities.MerchantInput{Merchant: w.id})
	must(t, err)
	if want := "read contact: refused for " + telemetry.Redacted + ". Set another key"; result.Reason != want {
		t.Errorf("the reason is %q, want %q", result.Reason, want)
	}
}
