package main

import (
	"slices"
	"testing"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
)

// switchInLedger switches syncs as a worker would.
func (d *desk) switchInLedger(on bool, syncs ...consent.Sync) {
	d.t.Helper()
	h, err := host.Open(d.t.Context(), d.settings, nil, nil)
	must(d.t, err)
	_, err = h.Ledger.SetSyncs(d.t.Context(), d.id, ledger.SyncChange{On: delta(syncs, on)})
	must(d.t, err)
	must(d.t, h.Close())
}

// TestSyncStatusShowsTheSyncsOfEvents, and their kinds while those can be on.
func TestSyncStatusShowsTheSyncsOfEvents(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	listed := func() []consent.Sync {
		var v syncStatusView
		d.run("sync", "status", "--output", "json").is(exitOK).json(&v)
		var syncs []consent.Sync
		for _, one := range v.Syncs {
			syncs = append(syncs, one.Sync)
		}
		return syncs
	}
	want := []consent.Sync{consent.EmailToShopify, consent.EmailToListrak, consent.EmailEvents, consent.SMSEvents}
	if got := listed(); !slices.Equal(got, want) {
		t.Fatalf("before any was on it lists %v, want %v", got, want)
	}
	d.switchInLedger(true, consent.EmailEvents)
	d.switchInLedger(false, consent.EmailOpened)
	d.run("sync", "status").is(exitOK).says("email_events         on", "email_events.sent    on", "email_events.opened  off", "sms_events           off")
	if got := listed(); !slices.Equal(got, slices.Insert(slices.Clone(want), 3, consent.EmailEvents.Kinds()...)) {
		t.Fatalf("with email_events on it lists %v", got)
	}
	d.switchInLedger(false, consent.EmailEvents)
	d.run("sync", "status").is(exitOK).says("email_events ").hides("email_events.")
	d.run("sync", "status", "email_events.sent", "email_events.opened").is(exitOK).says("email_events.sent    off with its sync", "email_events.opened  off ")
}

// TestSyncsThatAreOnFitOnALine of every verb that shows them; JSON names each.
func TestSyncsThatAreOnFitOnALine(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	shows := func(want string) {
		t.Helper()
		d.run("status").is(exitOK).says("Syncs on              " + want + "\n")
		d.run("merchant", "show").is(exitOK).says(want + "\n")
		d.run("merchant", "list").is(exitOK).says("  " + want + "  ")
	}
	shows("none")
	d.switchInLedger(true, consent.EmailToShopify, consent.EmailEvents, consent.SMSEvents)
	shows("email_events, email_to_shopify, sms_events")
	d.switchInLedger(false, consent.EmailClicks, consent.SMSSent, consent.SMSClicks)
	shows("email_events (sent, opened), email_to_shopify, sms_events (every kind off)")
	d.switchInLedger(false, consent.EmailEvents, consent.SMSEvents)
	shows("email_to_shopify")
	var v statusView
	d.run("status", "--output", "json").is(exitOK).json(&v)
	if got, want := v.Merchants[0].SyncsOn, []string{"email_events.opened", "email_events.sent", "email_to_shopify"}; !slices.Equal(got, want) {
		t.Fatalf("the JSON of status names %v, want %v", got, want)
	}
}
