package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
)

// item is one delivery on its way: a subject that is owed something, as it is after the read before the write.
type item struct {
	subject consent.Subject
	address string
	entry   ledger.Entry
	// written is the consent date to set at Shopify.
	written consent.Instant
	// looked is when the look-up before the write began.
	looked consent.Instant
	// again: a try has failed before, and this one is made alone, so that its failing is this person's.
	again bool
	// started and token are set by the claim.
	started consent.Instant
	token   ledger.ClaimToken
}

// claim commits the start of deliveries before their calls are made (I5). It returns those that were granted; whoever was not is
// decided anew in the next round, because somebody else has just changed or claimed it. It must come after any wait for budget.
func (s *session) claim(ctx context.Context, side consent.Side, items []item) ([]item, error) {
	if len(items) == 0 {
		return nil, nil
	}
	now := s.now()
	// A process that was held up between look and claim (frozen, or waiting for budget) has not looked before this write (rule 14).
	items, stale := fresh(items, now)
	lease := s.Timing.CallTimeout + s.Timing.LeaseMargin
	requests := make([]ledger.ClaimRequest, len(items))
	for i := range items {
		it := &items[i]
		point, deadline := pointTo(side, &it.entry.Record), now.Plus(consent.SpanOf(s.Timing.CallTimeout))
		rec := consent.Begin(it.entry.Record, side, point, it.written, now, deadline)
		line := ledger.Line{Side: side, Kind: ledger.Claimed, State: rec.Decision.State, Date: rec.Decision.At, Point: point}
		if rec.Resubscribes(side) {
			line.Reason = ledger.Resubscribed
		}
		change := ledger.Change{
			Channel: s.channel, Subject: it.subject, Version: it.entry.Version, Record: rec, Debts: rec.Debts(),
			NextTry: it.entry.NextTry, Journal: []ledger.Line{line},
		}
		keepStops(&change.Debts, it.entry.Debts, &rec)
		change.Debts[side] = rec.DebtTo(side)
		change.NextTry[side] = now.Plus(consent.SpanOf(lease))
		it.entry.Record, it.started = rec, now
		requests[i] = ledger.ClaimRequest{Change: change, Side: side, Sync: s.to(side), Lease: lease}
	}
	results, err := s.records().Claims(ctx, s.merchant, s.account.Settings.ResubscriptionLimit(), requests)
	if err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	granted := items[:0]
	var busy, stopped []revision
	for _, it := range stale {
		busy = append(busy, s.putOff(it.subject, side, now))
	}
	for i, result := range results {
		switch {
		case result.Err == nil:
			items[i].token = result.Claim.Token
			granted = append(granted, items[i])
		case errors.Is(result.Err, ledger.ErrNotPermitted):
			// Nothing more goes to this side in this run: asking again and again until its time is up would only cost calls.
			s.denied[side].Store(true)
		case errors.Is(result.Err, ledger.ErrClaimed):
			busy = append(busy, s.putOff(items[i].subject, side, s.later(0, false)))
		case errors.Is(result.Err, ledger.ErrBrake):
			// Marked at once: nobody who is beyond the limit is looked up twice.
			stopped = append(stopped, stopping(items[i].subject, side))
		case errors.Is(result.Err, ledger.ErrConflict):
		default:
			return nil, fmt.Errorf("claim a delivery: %w", result.Err)
		}
	}
	if err := s.stopAtLimit(ctx, stopped); err != nil {
		return nil, err
	}
	if _, err := s.revise(ctx, busy); err != nil {
		return nil, err
	}
	return granted, nil
}

// lookGoodFor is how long a look-up is one before a write (rule 14): longer than any wait for budget between the two, and no longer than
// an interval.
const lookGoodFor = consent.Minute

// fresh parts those who were looked up just now from the others.
func fresh(items []item, now consent.Instant) (good, stale []item) {
	good = items[:0]
	for _, it := range items {
		if now.Since(it.looked) > lookGoodFor {
			stale = append(stale, it)
		} else {
			good = append(good, it)
		}
	}
	return good, stale
}

// delivered counts a write that a side has accepted.
func (s *session) delivered(side consent.Side, it item) {
	atomic.AddInt64(&s.stats.Delivered[side], 1)
	if it.entry.Record.Decision.State == consent.Unsubscribed {
		s.unsubscribed.Add(1)
	}
}

func pointTo(side consent.Side, rec *consent.Record) consent.Point {
	if side == consent.Shopify {
		return consent.NoPoint
	}
	return rec.Point()
}

// end is what a call has shown about a delivery.
type end struct {
	outcome consent.Outcome
	code    string
	// report is what the side showed afterwards, nil when it showed nothing.
	report *consent.Report
	// after puts off the next try.
	after consent.Instant
}

// endOf turns the error of a write into the end of its delivery. An error that may have taken effect leaves the attempt open: only
// a later read can close it.
func (s *session) endOf(err error, again bool) end {
	f := failure.As(err)
	switch {
	case err == nil:
		return end{outcome: consent.Delivered}
	case f == nil:
		return end{outcome: consent.Open, code: "UNKNOWN", after: s.later(0, again)}
	case f.MaybeDone:
		return end{outcome: consent.Open, code: f.Code, after: s.later(f.Wait, again)}
	case f.Class == failure.Refused:
		return end{outcome: consent.RefusedForGood, code: f.Code}
	}
	return end{outcome: consent.Failed, code: f.Code, after: s.later(f.Wait, again)}
}

// restAfterSecondFailure is how many intervals somebody is left alone whose delivery has failed more than once in a row.
const restAfterSecondFailure = 5

// later is when something that failed is tried again: after what the side asked for, or else in the next round. What had failed
// before waits longer: otherwise a few people whose calls always fail would be the first in every round, and be taken for an outage.
func (s *session) later(wait time.Duration, again bool) consent.Instant {
	rest := s.Timing.Interval / 2
	if again {
		rest = restAfterSecondFailure * s.Timing.Interval
	}
	return s.now().Plus(consent.SpanOf(max(wait, rest)))
}

// hasFailed reports whether a try of what is due has failed before: a new decision has no next try.
func hasFailed(located *ledger.Located, side consent.Side) bool { return located.NextTry[side] != 0 }

// finish records the end of a delivery, with what the side showed, and frees the claim.
func (s *session) finish(it item, side consent.Side, e end) revision {
	ended := s.now()
	return revision{
		subject: it.subject, address: it.address, release: it.token, side: side, after: e.after,
		apply: func(rec consent.Record) (consent.Record, []ledger.Line) {
			var lines []ledger.Line
			after := consent.Finish(rec, side, it.started, ended, e.outcome, e.code)
			if after != rec {
				lines = append(lines, endLine(it, side, e))
			}
			if e.report != nil {
				var seen []ledger.Line
				after, seen = decide(after, *e.report)
				lines = append(lines, seen...)
			}
			if after.DebtTo(side) == consent.Disputed && rec.DebtTo(side) != consent.Disputed {
				lines = append(lines, ledger.Line{Side: side, Kind: ledger.Disputed, State: after.Decision.State, Date: after.Decision.At})
			}
			return after, lines
		},
	}
}

func endLine(it item, side consent.Side, e end) ledger.Line {
	sent := &it.entry.Record.Sent[side][0]
	line := ledger.Line{Side: side, State: sent.State, Date: sent.Decision, Point: sent.Point, Code: e.code}
	switch e.outcome {
	case consent.Delivered:
		line.Kind = ledger.Delivered
	case consent.RefusedForGood:
		line.Kind = ledger.Refused
	case consent.AwaitingConfirmation:
		line.Kind = ledger.Awaiting
	default:
		line.Kind = ledger.Failed
	}
	return line
}

// putOff makes sure that a subject which could not be delivered now is not asked for again at once.
func (s *session) putOff(subject consent.Subject, side consent.Side, until consent.Instant, lines ...ledger.Line) revision {
	return revision{
		subject: subject, side: side, after: until,
		apply: func(rec consent.Record) (consent.Record, []ledger.Line) { return rec, lines },
	}
}

// withoutAddress puts off somebody of whom nobody can tell the address any more.
func (s *session) withoutAddress(subject consent.Subject, side consent.Side) revision {
	r := s.putOff(subject, side, s.now().Plus(24*consent.Hour), ledger.Line{Side: side, Kind: ledger.Failed, Reason: reasonNoAddress})
	r.wantsAddress = true
	return r
}

// isOwed reports whether the fresh entry still is owed to side and may be delivered there now.
func (s *session) isOwed(entry *ledger.Entry, side consent.Side) bool {
	return entry.Record.DebtTo(side) == consent.Owed && s.permit(side).Allows(entry.Record.Decision, side)
}

// callContext bounds a call that was claimed at started. The time since then counts: a process that was held up between claim and call
// must not write after its lease has run out and "off" was answered (I5).
func (s *session) callContext(ctx context.Context, started consent.Instant) (context.Context, context.CancelFunc) {
	return s.machine().WithTimeout(ctx, s.Timing.CallTimeout-s.now().Since(started).Duration())
}

// endWithoutCall records what a look-up has shown about a delivery that was therefore never called: a side that refuses to look
// somebody up for good would refuse the write too; everything else is tried again later.
func (s *session) endWithoutCall(subject consent.Subject, side consent.Side, err error, again bool) revision {
	e := s.endOf(err, again)
	if e.outcome != consent.RefusedForGood {
		return s.putOff(subject, side, e.after)
	}
	now := s.now()
	return revision{subject: subject, apply: func(rec consent.Record) (consent.Record, []ledger.Line) {
		if rec.DebtTo(side) != consent.Owed {
			return rec, nil
		}
		rec = consent.Finish(consent.Begin(rec, side, pointTo(side, &rec), 0, now, now), side, now, now, e.outcome, e.code)
		return rec, []ledger.Line{{Side: side, Kind: ledger.Refused, State: rec.Decision.State, Date: rec.Decision.At, Code: e.code}}
	}}
}

// outage counts failures in a row. People whose calls fail must not keep all others waiting, but when nobody's succeed it is the
// side that is away, and the rest can wait for the next round. Those who have failed before are counted apart: their failing again
// says little about the others.
type outage struct {
	// limit is how many failures in a row of fresh ones make an outage.
	limit        int32
	fresh, again atomic.Int32
}

// failuresAgain is how many of those who had failed before may fail again in a row before the others of them are left for later.
const failuresAgain = 4

func (o *outage) note(err error, again bool) {
	switch {
	case err == nil:
		o.fresh.Store(0)
		o.again.Store(0)
	case again:
		o.again.Add(1)
	default:
		o.fresh.Add(1)
	}
}

// over reports whether no more fresh ones, or none of those who have failed before, shall be tried in this run.
func (o *outage) over(again bool) bool {
	if again {
		return o.again.Load() >= failuresAgain
	}
	return o.fresh.Load() >= o.limit
}

// mustStop reports whether err concerns more than one person: the merchant's access, or our own ledger.
func mustStop(err error) bool {
	f := failure.As(err)
	return err != nil && (f == nil || f.Class == failure.PersonMustAct)
}

// openAddress returns the address of a subject: the sealed one, or else as the deciding side tells it now, by its id. An address
// that does not hash to the subject is another person's and is never used (I8).
func (s *session) openAddress(ctx context.Context, located ledger.Located) (string, error) {
	if address, ok := s.openSealed(located.Subject, located.SealedAddress); ok {
		return address, nil
	}
	for _, side := range []consent.Side{located.Record.Decision.Side, located.Record.Decision.Side.Other()} {
		address, err := s.askAddress(ctx, side, located.Record.Seen[side].Ref)
		if err != nil {
			return "", err
		}
		if address != "" && s.subject(address) == located.Subject {
			return address, nil
		}
	}
	return "", nil
}

// openSealed opens a sealed address. A damaged seal is no reason to lose a decision: the sides can be asked.
func (s *session) openSealed(subject consent.Subject, sealed []byte) (string, bool) {
	if len(sealed) == 0 {
		return "", false
	}
	plain, err := s.Keys.Open(sealed, AddressContext(subject))
	if err != nil || s.subject(string(plain)) != subject {
		return "", false
	}
	return string(plain), true
}

func isRefused(err error) bool { return err != nil && failure.ClassOf(err) == failure.Refused }
