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
	lease := s.Timing.CallTimeout + s.Timing.LeaseMargin
	requests := make([]ledger.ClaimRequest, len(items))
	for i := range items {
		it := &items[i]
		rec := consent.Begin(it.entry.Record, side, pointTo(side, &it.entry.Record), it.written, now, now.Plus(consent.SpanOf(s.Timing.CallTimeout)))
		line := ledger.Line{Side: side, Kind: ledger.Claimed, State: rec.Decision.State, Date: rec.Decision.At, Point: rec.Sent[side][0].Point}
		if rec.Decision.State == consent.Subscribed && rec.Seen[side].State == consent.Unsubscribed {
			line.Reason = ledger.Resubscribed
		}
		change := ledger.Change{
			Channel: consent.Email, Subject: it.subject, Version: it.entry.Version, Record: rec, Debts: rec.Debts(),
			NextTry: it.entry.NextTry, Journal: []ledger.Line{line},
		}
		change.NextTry[side] = now.Plus(consent.SpanOf(lease))
		it.entry.Record, it.started = rec, now
		requests[i] = ledger.ClaimRequest{Change: change, Side: side, Sync: consent.SyncTo(consent.Email, side), Lease: lease}
	}
	results, err := s.Ledger.Claims(ctx, s.merchant, requests)
	if err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	granted := items[:0]
	for i, result := range results {
		switch {
		case result.Err == nil:
			items[i].token = result.Claim.Token
			granted = append(granted, items[i])
		case errors.Is(result.Err, ledger.ErrConflict), errors.Is(result.Err, ledger.ErrClaimed), errors.Is(result.Err, ledger.ErrNotPermitted):
		default:
			return nil, fmt.Errorf("claim a delivery: %w", result.Err)
		}
	}
	return granted, nil
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
func (s *session) endOf(err error) end {
	f := failure.As(err)
	switch {
	case err == nil:
		return end{outcome: consent.Delivered}
	case f == nil:
		return end{outcome: consent.Open, code: "UNKNOWN", after: s.later(0)}
	case f.MaybeDone:
		return end{outcome: consent.Open, code: f.Code, after: s.later(f.Wait)}
	case f.Class == failure.Refused:
		return end{outcome: consent.RefusedForGood, code: f.Code}
	}
	return end{outcome: consent.Failed, code: f.Code, after: s.later(f.Wait)}
}

// later is when something that failed is tried again: after what the side asked for, or else in the next round.
func (s *session) later(wait time.Duration) consent.Instant {
	return s.now().Plus(consent.SpanOf(max(wait, s.Timing.Interval/2)))
}

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

// due asks the ledger for what is owed to side, opt-outs first.
func (s *session) due(ctx context.Context, side consent.Side, limit int) ([]ledger.Located, error) {
	sync := consent.SyncTo(consent.Email, side)
	if !s.switches.May(sync) {
		return nil, nil
	}
	due, err := s.Ledger.Owed(ctx, ledger.OwedQuery{
		Merchant: s.merchant, Channel: consent.Email, Side: side, Permit: LedgerPermit(s.switches, sync), Now: s.now(), Limit: limit,
	})
	if err != nil {
		return nil, fmt.Errorf("ask what is owed: %w", err)
	}
	return due, nil
}

// putOff makes sure that a subject which could not be delivered now is not asked for again at once.
func (s *session) putOff(subject consent.Subject, side consent.Side, until consent.Instant, lines ...ledger.Line) revision {
	return revision{
		subject: subject, side: side, after: until,
		apply: func(rec consent.Record) (consent.Record, []ledger.Line) { return rec, lines },
	}
}

// isOwed reports whether the fresh entry still is owed to side and may be delivered there now.
func (s *session) isOwed(entry *ledger.Entry, side consent.Side) bool {
	return entry.Record.DebtTo(side) == consent.Owed && s.permit(side).Allows(entry.Record.Decision, side)
}

// isAlreadySo: the side shows the decision, and what keeps the debt is only an attempt whose end is unknown.
func isAlreadySo(entry *ledger.Entry, side consent.Side) bool {
	return entry.Record.Seen[side].State == entry.Record.Decision.State
}

// endWithoutCall records what a look-up has shown about a delivery that was therefore never called: a side that refuses to look
// somebody up for good would refuse the write too; everything else is tried again later.
func (s *session) endWithoutCall(subject consent.Subject, side consent.Side, err error) revision {
	e := s.endOf(err)
	if e.outcome != consent.RefusedForGood {
		return s.putOff(subject, side, s.endOf(err).after)
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

// outage counts failures in a row. One person whose calls fail must not keep all others waiting, but when nobody's succeed it is
// the side that is away, and the rest can wait for the next round.
type outage struct{ failures atomic.Int32 }

// failuresInARow is how many make an outage.
const failuresInARow = 4

func (o *outage) note(err error) {
	if err == nil {
		o.failures.Store(0)
	} else {
		o.failures.Add(1)
	}
}

func (o *outage) over() bool { return o.failures.Load() >= failuresInARow }

// mustStop reports whether err concerns more than one person: the merchant's access, or our own ledger.
func mustStop(err error) bool {
	f := failure.As(err)
	return err != nil && (f == nil || f.Class == failure.PersonMustAct)
}

// openAddress returns the address of a subject: the sealed one, or else as the deciding side tells it now, by its id. An address
// that does not hash to the subject is another person's and is never used (I8).
func (s *session) openAddress(ctx context.Context, located ledger.Located) (string, error) {
	if len(located.SealedAddress) > 0 {
		// A damaged seal is no reason to lose a decision: the side is asked then.
		if plain, err := s.Keys.Open(located.SealedAddress, addressContext(located.Subject)); err == nil {
			return string(plain), nil
		}
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

func isRefused(err error) bool { return failure.ClassOf(err) == failure.Refused }
