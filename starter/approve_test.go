package main

import (
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// avalanche puts people into the desk's ledger: so many were resubscribed and unsubscribed today, and so many wait on each side.
func (d *desk) avalanche(resubscribed, unsubscribed, inShopify, inListrak int) {
	d.t.Helper()
	h, err := d.app(nil, nil).host(d.t.Context())
	must(d.t, err)
	_, err = h.Ledger.SetSyncs(d.t.Context(), d.id, ledger.SyncChange{On: map[consent.Sync]bool{
		consent.EmailToShopify: true, consent.EmailToListrak: true}})
	must(d.t, err)
	var changes []ledger.Change
	person := func(lines ...ledger.Line) *ledger.Change {
		subject := consent.Subject{byte(len(changes) + 1)}
		changes = append(changes, ledger.Change{Channel: consent.Email, Subject: subject, Journal: lines})
		return &changes[len(changes)-1]
	}
	for range resubscribed {
		person(ledger.Line{Kind: ledger.Claimed, Reason: ledger.Resubscribed, State: consent.Subscribed})
	}
	for range unsubscribed {
		person(ledger.Line{Kind: ledger.Delivered, State: consent.Unsubscribed})
	}
	for side, waiting := range [2]int{inShopify, inListrak} {
		for range waiting {
			change := person(ledger.Line{Side: consent.Side(side), Kind: ledger.Stopped, State: consent.Subscribed})
			change.Record.Decision = consent.Decision{State: consent.Subscribed, At: consent.InstantOf(time.Now()), Side: consent.Side(1 - side)}
			change.Record.Seen[side] = consent.Sighting{State: consent.Unsubscribed}
			change.Record.Seen[1-side] = consent.Sighting{State: consent.Subscribed}
			change.Debts[side] = consent.Stopped
		}
	}
	conflicts, err := h.Ledger.Save(d.t.Context(), d.id, ledger.Batch{Changes: changes})
	must(d.t, err)
	if len(conflicts) > 0 {
		d.t.Fatal("the people were not saved")
	}
	must(d.t, h.Close())
}

func TestAnApprovalIsAskedForAndJournaled(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.run(d.addArgs("--resubscribe-limit", "3")...).is(exitOK)
	d.run("merchant", "show").is(exitOK).says("at most 3 people; more wait for starter approve")
	d.run("approve").is(exitOK).says("Nobody waits for an approval", "0 people were resubscribed; the limit is 3")
	d.run("status").is(exitOK).hides("wait at the limit", "Many unsubscribes")

	d.avalanche(3, 4, 5, 2)
	d.run("status").is(exitOK).says("7 people would be resubscribed and wait at the limit: 5 in Shopify, 2 in Listrak.",
		"Within 24 hours 3 people were resubscribed; the limit is 3. Nobody else is resubscribed until you have acted.", "starter approve "+d.id,
		"Many unsubscribes: 4 people were unsubscribed by deliveries within 24 hours", "Nobody is stopped")
	var s statusView
	d.run("status", "-o", "json").is(exitOK).json(&s)
	if one := s.Merchants[0]; one.ToShopify.Stopped != 5 || one.ToListrak.Stopped != 2 ||
		one.Resubscriptions != (brakeView{Limit: 3, Resubscribed: 3, Unsubscribed: 4, Alarm: true}) {
		t.Errorf("got %+v", one)
	}

	d.run("refused").is(exitOK).says("SUBJECT", "Shopify", "stopped", "Listrak")

	// Nobody can be asked, or the answer is no: nothing is approved.
	d.run("approve").is(exitRefused).tells("5", "to be subscribed in Shopify", "2", "to be subscribed in Listrak", "7", "of them",
		"the limit is 3", "--yes")
	d.asks, d.stdin = true, "no\n"
	d.run("approve").is(exitRefused).tells("Resubscribe 7 people? [y/N]", "the answer was not yes")
	d.run("status").is(exitOK).hides("approved")
	d.run("approve", "--people", "8").is(exitUsage).tells("--people is 8, and only 7 people wait", "--resubscribe-limit")

	d.stdin = "y\n"
	d.run("approve", d.id, "--people", "2").is(exitOK).tells("Resubscribe 2 people?").says("Approved for 24 hours: 2 people of merchant " + d.id)
	d.asks, d.stdin = false, ""
	d.run("status").is(exitOK).says("5 people would be resubscribed and wait", "the limit is 3, and 2 people beyond it were approved.")
	d.run("refused").is(exitOK).says("stopped, approved", "stopped  ")
	d.run("status", "-o", "json").is(exitOK).json(&s)
	if one := s.Merchants[0]; one.ToShopify.Stopped+one.ToListrak.Stopped != 5 || one.ToShopify.OwedSubscribes+one.ToListrak.OwedSubscribes != 2 {
		t.Errorf("got %+v", one)
	}
	d.run("approve", "--people", "6").is(exitUsage).tells("--people is 6, and only 5 people wait")
	var v approvedView
	d.run("approve", "-m", d.id, "-y", "-o", "json").is(exitOK).json(&v)
	if v.Approved != 5 || v.WaitingInShopify+v.WaitingInListrak != 5 || v.Resubscriptions.Approved != 7 {
		t.Errorf("got %+v", v)
	}
	d.run("approve").is(exitOK).says("Nobody waits for an approval", "7 people are approved already and not delivered yet.")
	d.run("status").is(exitOK).hides("wait at the limit")

	h, err := d.app(nil, nil).host(t.Context())
	must(t, err)
	defer func() { must(t, h.Close()) }()
	lines, err := h.Ledger.Journal(t.Context(), d.id, 0, consent.Subject{})
	must(t, err)
	var approved []int64
	for _, line := range lines {
		if line.Kind == ledger.Approved {
			approved = append(approved, line.Count)
		}
	}
	if len(approved) != 2 || approved[0] != 2 || approved[1] != 5 {
		t.Errorf("the journal holds approvals of %v", approved)
	}
}

// Who waits for a sync that is off cannot be delivered, and so needs no approval yet.
func TestNobodyIsApprovedForASyncThatIsOff(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.run(d.addArgs("--resubscribe-limit", "1")...).is(exitOK)
	d.avalanche(1, 0, 3, 1)
	h, err := d.app(nil, nil).host(t.Context())
	must(t, err)
	_, err = h.Ledger.SetSyncs(t.Context(), d.id, ledger.SyncChange{On: map[consent.Sync]bool{consent.EmailToShopify: false}})
	must(t, err)
	_, err = h.Ledger.Pause(t.Context(), d.id)
	must(t, err)
	must(t, h.Close())
	d.run("approve", "--yes").is(exitOK).says("Approved for 24 hours: 1 person of merchant "+d.id, "The merchant is paused",
		"email_to_shopify is off: 3 people wait for it to be on")
	d.run("approve", "--yes").is(exitOK).says("Nobody waits for an approval", "1 person is approved already", "The merchant is paused", "email_to_shopify is off: 3 people wait")
}
