package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// maxRaces bounds how often a lost compare-and-set is tried again before the batch is left to the next round.
const maxRaces = 20

var errRaces = errors.New("other processes keep changing the same people; the next round goes on")

// revision is one step in the life of one subject: a report, or the end of a delivery.
type revision struct {
	subject consent.Subject
	// address is known when a read or a delivery has just brought it; empty otherwise.
	address string
	apply   func(rec consent.Record) (consent.Record, []ledger.Line)
	// release frees a claim with the change.
	release ledger.ClaimToken
	// after puts off the next try towards side; zero leaves it.
	side  consent.Side
	after consent.Instant
	// wantsAddress: it puts somebody off for want of an address, and so does nothing when another read has brought one meanwhile.
	wantsAddress bool
	// stop marks what side is owed as stopped, if it is a re-subscription (I10).
	stop bool
}

// revise applies revisions to fresh records and saves them, again and again until none has lost a race. Several revisions of one
// subject are applied in order. It returns the entries as they are now.
func (s *session) revise(ctx context.Context, revisions []revision) (map[consent.Subject]ledger.Entry, error) {
	entries := make(map[consent.Subject]ledger.Entry, len(revisions))
	if len(revisions) == 0 {
		return entries, nil
	}
	for range maxRaces {
		subjects := make([]consent.Subject, len(revisions))
		for i, r := range revisions {
			subjects[i] = r.subject
		}
		loaded, err := s.records().Load(ctx, s.merchant, s.channel, subjects)
		if err != nil {
			return nil, fmt.Errorf("load records: %w", err)
		}
		var changes []ledger.Change
		changes, err = s.draft(revisions, loaded, entries)
		if err != nil {
			return nil, err
		}
		if len(changes) == 0 {
			return entries, nil
		}
		conflicts, err := s.records().Save(ctx, s.merchant, ledger.Batch{Changes: changes})
		if err != nil {
			return nil, fmt.Errorf("save records: %w", err)
		}
		lost := make(map[consent.Subject]bool, len(conflicts))
		for _, subject := range conflicts {
			lost[subject] = true
			delete(entries, subject)
		}
		s.saved.Add(int64(len(changes) - len(conflicts)))
		s.tellWindows(ctx, changes, loaded, lost)
		if len(conflicts) == 0 {
			return entries, nil
		}
		again := revisions[:0]
		for _, r := range revisions {
			if lost[r.subject] {
				again = append(again, r)
			}
		}
		revisions = again
	}
	return nil, errRaces
}

// tellWindows tells the windows of holds that were settled, restarted or ended.
func (s *session) tellWindows(ctx context.Context, changes []ledger.Change, before map[consent.Subject]ledger.Entry,
	lost map[consent.Subject]bool,
) {
	if s.HoldChanged == nil {
		return
	}
	lag := s.Timing.Window.Lag
	for _, change := range changes {
		was, is := before[change.Subject].Record.Hold, change.Record.Hold
		// After its last look-up a window has ended by itself, and an import of old consents never had one: nobody is there to be told.
		ended := s.now() > was.Until.Plus(lag+consent.Minute)
		if was.Consent == 0 || was.Settled || was.Consent == s.ownHold || ended || lost[change.Subject] {
			continue
		}
		if is.Settled || is.Consent != was.Consent {
			s.HoldChanged(ctx, s.merchant, ledger.Held{Channel: change.Channel, Subject: change.Subject, Hold: was})
		}
	}
}

// draft folds the revisions of each subject into one change; subjects that nothing changed get none.
func (s *session) draft(revisions []revision, loaded, entries map[consent.Subject]ledger.Entry) ([]ledger.Change, error) {
	type work struct {
		entry   ledger.Entry
		before  consent.Record
		change  ledger.Change
		address string
		stops   [2]bool
	}
	works := make(map[consent.Subject]*work, len(revisions))
	order := make([]*work, 0, len(revisions))
	for _, r := range revisions {
		w := works[r.subject]
		if w == nil {
			entry := loaded[r.subject]
			w = &work{entry: entry, before: entry.Record, change: ledger.Change{
				Channel: s.channel, Subject: r.subject, Version: entry.Version, NextTry: entry.NextTry,
			}}
			works[r.subject] = w
			order = append(order, w)
		}
		if _, brought := s.openSealed(r.subject, w.entry.SealedAddress); r.wantsAddress && brought {
			continue
		}
		if r.address != "" {
			w.address = r.address
		}
		decision := w.entry.Record.Decision
		rec, lines := r.apply(w.entry.Record)
		if rec.Decision != decision {
			// A new decision is tried at once, however often the old one had failed.
			w.change.NextTry = [2]consent.Instant{}
		}
		w.entry.Record = rec
		w.change.Journal = append(w.change.Journal, lines...)
		if r.release != 0 {
			w.change.Release = r.release
		}
		if r.after != 0 {
			w.change.NextTry[r.side] = r.after
		}
		w.stops[r.side] = w.stops[r.side] || r.stop
	}
	permits := [2]*consent.Permit{s.permit(consent.Shopify), s.permit(consent.Listrak)}
	changes := make([]ledger.Change, 0, len(order))
	for _, w := range order {
		rec := s.window().Watch(w.entry.Record, s.heldFor(permits[consent.Listrak]))
		w.change.Journal = append(w.change.Journal, holdLines(w.before.Hold, rec.Hold)...)
		w.entry.Record, w.change.Record = rec, rec
		w.change.Debts = rec.Debts()
		keepStops(&w.change.Debts, w.entry.Debts, &rec)
		for _, side := range consent.Sides {
			switch {
			case w.stops[side]:
				w.change.Journal = append(w.change.Journal, stopLines(&w.change, side)...)
			case w.change.Debts[side] == consent.Stopped && !permits[side].Covers(rec.Decision, side):
				// Decided anew while the direction was off: no approval would deliver it, so nobody must wait for one.
				w.change.Debts[side] = rec.DebtTo(side)
			}
		}
		addressChanged, err := s.keepAddress(&w.change, &w.entry, w.address, permits)
		if err != nil {
			return nil, err
		}
		for _, side := range consent.Sides {
			if addressChanged && len(w.entry.SealedAddress) > 0 && w.change.NextTry[side] == w.entry.NextTry[side] {
				// What could not be delivered for want of an address is tried at once.
				w.change.NextTry[side] = 0
			}
		}
		unchanged := rec == w.before && w.change.NextTry == w.entry.NextTry && w.change.Debts == w.entry.Debts &&
			w.change.Release == 0 && len(w.change.Journal) == 0 && !addressChanged
		w.entry.Debts, w.entry.NextTry = w.change.Debts, w.change.NextTry
		if !unchanged {
			changes = append(changes, w.change)
			w.entry.Version++
		}
		entries[w.change.Subject] = w.entry
	}
	return changes, nil
}

// heldFor tells which consents are worth holding: those that toListrak delivers, unless the merchant wants no checkout window for SMS.
func (s *session) heldFor(toListrak *consent.Permit) *consent.Permit {
	if s.channel == consent.SMS && s.account.Settings.SMS.NoWindow {
		return &consent.Permit{}
	}
	return toListrak
}

// stopLines marks what a change owes to side as stopped, if it is a re-subscription, and tells the journal when that is news.
func stopLines(change *ledger.Change, side consent.Side) []ledger.Line {
	if change.Debts[side] != consent.Owed || !change.Record.Resubscribes(side) {
		return nil
	}
	change.Debts[side] = consent.Stopped
	decision := &change.Record.Decision
	return []ledger.Line{{Side: side, Kind: ledger.Stopped, State: decision.State, Date: decision.At}}
}

// keepAddress stores the sealed address while a delivery needs it that may go out, now or once its direction is on again, or a person must
// act, and erases it after: if the customer is deleted or moves to another address before the direction is on again, no side could tell
// it any more. It reports whether the stored address changes.
func (s *session) keepAddress(change *ledger.Change, entry *ledger.Entry, address string, permits [2]*consent.Permit) (bool, error) {
	needed := false
	for _, side := range consent.Sides {
		switch change.Debts[side] {
		case consent.Owed, consent.Stopped, consent.Held, consent.Refused, consent.Disputed, consent.Contested:
			needed = needed || permits[side].Covers(change.Record.Decision, side)
		}
	}
	switch {
	case !needed && len(entry.SealedAddress) > 0:
		change.Address, entry.SealedAddress = ledger.EraseAddress, nil
	case needed && len(entry.SealedAddress) == 0 && address != "":
		box, err := s.Keys.Seal([]byte(address), AddressContext(change.Subject))
		if err != nil {
			return false, fmt.Errorf("seal an address: %w", err)
		}
		change.Address, entry.SealedAddress = ledger.StoreAddress(box), box
	default:
		return false, nil
	}
	return true, nil
}

// AddressContext binds a sealed address to its subject, so that rows cannot be exchanged.
func AddressContext(subject consent.Subject) string { return "address/" + subject.Hex() }

// holdLines tells the journal what became of a hold.
func holdLines(before, after consent.Hold) []ledger.Line {
	switch {
	case before == after:
		return nil
	case after.Consent != 0 && after.Consent != before.Consent:
		return []ledger.Line{{Side: consent.Listrak, Kind: ledger.HeldBack, Date: after.Until, State: consent.Subscribed, Ref: after.Customer}}
	case before.Consent != 0 && !before.Settled && after.Consent == 0:
		return []ledger.Line{{Side: consent.Listrak, Kind: ledger.SettledPoint, Reason: reasonHoldEnded}}
	case after.Settled && !before.Settled:
		line := ledger.Line{Side: consent.Listrak, Kind: ledger.SettledPoint, Point: consent.Marketing, State: consent.Subscribed}
		if after.Order != 0 {
			line.Point, line.Date = consent.Checkout, after.Order
		}
		return []ledger.Line{line}
	}
	return nil
}

// Reasons of journal lines that are not verdicts. The words are stored.
const (
	reasonHoldEnded   ledger.Reason = "hold_ended"
	reasonStrangeDate ledger.Reason = "strange_date"
	reasonSeenByRead  ledger.Reason = "seen_by_read"
	reasonNotSeen     ledger.Reason = "not_seen_by_read"
	reasonNoAddress   ledger.Reason = "address_unknown"
)
