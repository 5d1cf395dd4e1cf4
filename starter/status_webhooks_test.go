package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

func TestStatusTellsHowTheDoorStands(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) consent.Instant { return consent.InstantOf(now.Add(-d)) }
	const missing = "privacy requests may be missing"
	for name, c := range map[string]struct {
		door   ledger.Door
		words  string
		missed bool
		text   []string
	}{
		"never used":    {ledger.Door{}, "no worker with CONCORD_WEBHOOK_ADDRESS seen yet", false, nil},
		"just opened":   {ledger.Door{FirstOpen: ago(time.Minute), LastOpen: ago(time.Minute)}, "open; none has come yet", false, nil},
		"open":          {ledger.Door{FirstOpen: ago(time.Hour), LastOpen: ago(time.Minute), LastDelivery: ago(time.Minute)}, "open; the last came 1 min ago", false, nil},
		"closed":        {ledger.Door{FirstOpen: ago(9 * time.Hour), LastOpen: ago(time.Hour), LastDelivery: ago(2 * time.Hour)}, "closed for 1.0 h; the last came 2.0 h ago", false, nil},
		"quiet":         {ledger.Door{FirstOpen: ago(99 * time.Hour), LastOpen: ago(0), LastDelivery: ago(50 * time.Hour)}, "open; the last came 2 days ago", false, nil},
		"never reached": {ledger.Door{FirstOpen: ago(5 * time.Hour), LastOpen: ago(0)}, "open; none has come yet", true, []string{"has ever reached the door", missing}},
		"closed for long": {ledger.Door{FirstOpen: ago(99 * time.Hour), LastOpen: ago(5 * time.Hour), LastDelivery: ago(6 * time.Hour)},
			"closed for 5.0 h", true, []string{"is closed since 2026-11-22 07:00:00 UTC", "CONCORD_WEBHOOK_ADDRESS", missing}},
		"was closed for long": {ledger.Door{FirstOpen: ago(99 * time.Hour), LastOpen: ago(0), LastDelivery: ago(0), GapFrom: ago(20 * time.Hour), GapUntil: ago(10 * time.Hour)},
			"open", true, []string{"was closed from 2026-11-21 16:00:00 to 2026-11-22 02:00:00 UTC", missing}},
		"was closed last month": {ledger.Door{FirstOpen: ago(999 * time.Hour), LastOpen: ago(0), LastDelivery: ago(0), GapFrom: ago(900 * time.Hour), GapUntil: ago(800 * time.Hour)},
			"open", false, nil},
		"problems": {ledger.Door{FirstOpen: ago(time.Hour), LastOpen: ago(0), LastDelivery: ago(0), Problems: 3, ProblemSince: ago(3 * time.Hour),
			LastProblem: ledger.WebhookProblem{Topic: "customers/update", Problem: "the customer has no id", Received: ago(2 * time.Hour)}},
			"open", false, []string{"3 could not be read since 2026-11-22 09:00:00 UTC, the last 2.0 h ago (customers/update: the customer has no id)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWebhookStatus(c.door, now)
			if words := s.words(); !strings.HasPrefix(words, c.words) {
				t.Errorf("it says %q, want %q", words, c.words)
			}
			if s.MayHaveMissed != c.missed {
				t.Errorf("may have missed: %t", s.MayHaveMissed)
			}
			var out bytes.Buffer
			s.text(&page{w: &out})
			for _, piece := range c.text {
				if !strings.Contains(out.String(), piece) {
					t.Errorf("%q does not say %q", out.String(), piece)
				}
			}
			if c.text == nil && out.Len() > 0 {
				t.Errorf("it says %q", out.String())
			}
		})
	}
}

func TestStatusShowsTheDoorOfTheLedger(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	d.run("status").is(exitOK).says("Webhooks", "no worker with CONCORD_WEBHOOK_ADDRESS seen yet")
	l, err := ledger.Open(t.Context(), d.settings.Ledger.Reveal())
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	must(t, l.KeepDoorOpen(t.Context(), []string{d.id}))
	_, err = l.ReceiveWebhooks(t.Context(), []ledger.Webhook{{Merchant: d.id, ID: "delivery-1", Topic: "customers/update", Problem: "the customer has no id"}})
	must(t, err)
	d.run("status").is(exitOK).says("open; the last came", "1 could not be read", "(customers/update: the customer has no id)", "delivery-1")
	var v statusView
	d.run("status", "--output", "json").is(exitOK).json(&v)
	if w := v.Merchants[0].Webhooks; w.Door != doorOpen || w.Unreadable != 1 || len(w.RecentlyUnreadable) != 1 || w.MayHaveMissed {
		t.Errorf("%+v", w)
	}
}

func TestBenchWebhooks(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := d.run("bench", "webhooks", "--rate", "50", "--for", "2s")
	if r.code != exitOK && r.code != exitFailed {
		r.is(exitOK)
	}
	r.says("100 webhooks, 50 a second", "KEPT", "P99", "100   0 ")
	d.run("bench", "webhooks", "--rate", "0").is(exitUsage).tells("--rate")
	d.run("bench", "webhooks", "--for", "2h").is(exitUsage).tells("--for")
	d.run("bench", "nothing").is(exitUsage).tells("unknown verb")
}
