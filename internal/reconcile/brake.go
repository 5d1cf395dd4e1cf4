package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// sweep is how many are looked at in one step while some of them are stopped: that costs no call of a side, and those who may go on
// must not wait behind thousands who may not.
const sweep = 500

// due is what is owed to side and may go on now. As long as any opt-out is due it is opt-outs alone (I9), because the deliveries of
// one answer run side by side. Whom the limit has stopped comes last, once an operator has approved it (I10); who waits costs no call.
func (s *session) due(ctx context.Context, side consent.Side, limit int, what extent) ([]ledger.Located, error) {
	for take := limit; ; take = sweep {
		if !s.switches.May(s.to(side)) || s.denied[side].Load() {
			return nil, nil
		}
		found, err := s.owed(ctx, side, take, false)
		if err != nil {
			return nil, err
		}
		if outs := optOuts(found); len(outs) > 0 || what == optOutsOnly {
			return outs[:min(limit, len(outs))], nil
		}
		if len(found) == 0 {
			return s.released(ctx, side, limit)
		}
		passing, stopped, err := s.passing(ctx, side, found)
		if err != nil {
			return nil, err
		}
		if len(passing) > 0 {
			// Nobody is stopped before these have taken their places: whoever is stopped stops all who have none.
			return passing[:min(limit, len(passing))], nil
		}
		if err := s.stopAtLimit(ctx, stopped); err != nil || s.timeIsUp() {
			return nil, err
		}
	}
}

// extent says which deliveries are to be made.
type extent bool

const (
	everything  extent = false
	optOutsOnly extent = true
)

// optOuts is the part of an answer of the ledger that unsubscribes: its beginning.
func optOuts(found []ledger.Located) []ledger.Located {
	for i := range found {
		if found[i].Record.Decision.State != consent.Unsubscribed {
			return found[:i]
		}
	}
	return found
}

// owed asks the ledger for what is owed to side, opt-outs first, or for those who were stopped and are approved.
func (s *session) owed(ctx context.Context, side consent.Side, limit int, released bool) ([]ledger.Located, error) {
	found, err := s.records().Owed(ctx, ledger.OwedQuery{
		Merchant: s.merchant, Channel: s.channel, Side: side, Permit: LedgerPermit(s.switches, s.to(side)),
		Released: released, Now: s.now(), Limit: limit,
	})
	if err != nil {
		return nil, fmt.Errorf("ask what is owed: %w", err)
	}
	return found, nil
}

// passing parts those who may go on from those whose delivery would resubscribe more people than the limit allows, or anybody while
// others wait for an operator, as far as their records tell. Only a look-up tells of the rest, and their claims are refused.
func (s *session) passing(ctx context.Context, side consent.Side, found []ledger.Located) (passing []ledger.Located, stopped []revision, err error) {
	var again []consent.Subject
	for i := range found {
		if found[i].Record.Resubscribes(side) {
			again = append(again, found[i].Subject)
		}
	}
	if len(again) == 0 {
		return found, nil, nil
	}
	b, err := s.brake(ctx, again)
	if err != nil {
		return nil, nil, err
	}
	room := b.Room()
	for i := range found {
		switch located := &found[i]; {
		case !located.Record.Resubscribes(side), b.Passing[located.Subject]:
			passing = append(passing, *located)
		case room > 0:
			room--
			passing = append(passing, *located)
		default:
			stopped = append(stopped, stopping(located.Subject, side))
		}
	}
	return passing, stopped, nil
}

// released is whoever was stopped and is approved. Who subscribes once more meanwhile waits for an order first.
func (s *session) released(ctx context.Context, side consent.Side, limit int) ([]ledger.Located, error) {
	found, err := s.owed(ctx, side, limit, true)
	return slices.DeleteFunc(found, func(l ledger.Located) bool { return l.Record.DebtTo(side) != consent.Owed }), err
}

func (s *session) brake(ctx context.Context, subjects []consent.Subject) (ledger.Brake, error) {
	b, err := s.records().Brake(ctx, s.merchant, s.account.Settings.ResubscriptionLimit(), subjects)
	if err != nil {
		return ledger.Brake{}, fmt.Errorf("ask for the limit on re-subscriptions: %w", err)
	}
	return b, nil
}

// stopping is the revision that marks a delivery as stopped.
func stopping(subject consent.Subject, side consent.Side) revision {
	return revision{subject: subject, side: side, stop: true,
		apply: func(rec consent.Record) (consent.Record, []ledger.Line) { return rec, nil }}
}

// stopAtLimit stops deliveries, and tells the log when they are the first. When the merchant's settings have been changed since the run
// began, perhaps the limit, it stops nobody but this run's deliveries: the next one judges by the settings of then.
func (s *session) stopAtLimit(ctx context.Context, stopped []revision) error {
	if len(stopped) == 0 {
		return nil
	}
	now, err := s.records().Switches(ctx, s.merchant)
	if err != nil {
		return fmt.Errorf("read switches: %w", err)
	}
	if now.Generation != s.switches.Generation {
		for _, channel := range consent.Channels {
			for _, side := range consent.Sides {
				s.of(channel).denied[side].Store(true)
			}
		}
		return nil
	}
	b, err := s.brake(ctx, nil)
	if err != nil {
		return err
	}
	if !b.Closed {
		s.Log.Warn("People who would be resubscribed are stopped at the limit and wait for `starter approve`", "merchant", s.merchant,
			"limit", b.Limit, "approved", b.Approved, "within_24_hours", b.Resubscribed)
	}
	_, err = s.revise(ctx, stopped)
	return err
}

// keepStops marks those debts of a change as stopped that were before, as long as they are re-subscriptions, also while a checkout window
// is open anew. The mark is the one thing about a debt that the record does not tell; a claim of that delivery takes it away, or an
// operator.
func keepStops(debts *[2]consent.Debt, before [2]consent.Debt, rec *consent.Record) {
	for _, side := range consent.Sides {
		if before[side] == consent.Stopped && (debts[side] == consent.Owed || debts[side] == consent.Held) && rec.Resubscribes(side) {
			debts[side] = consent.Stopped
		}
	}
}

// alarm tells the log when this run has unsubscribed people and they are more than the limit by now. They are not stopped: whoever
// asked to be left alone is left alone, even if it was a mistake.
func (r *run) alarm(ctx context.Context) error {
	if r.unsubscribed.Load() == 0 {
		return nil
	}
	alarm, news, err := r.records().RaiseAlarm(ctx, r.merchant, r.account.Settings.ResubscriptionLimit())
	if err != nil {
		return fmt.Errorf("count unsubscribes: %w", err)
	}
	if news {
		r.Log.Warn("Many people were unsubscribed within 24 hours; nobody is stopped", "merchant", r.merchant,
			"people", alarm.Unsubscribed, "limit", alarm.Limit)
	}
	return nil
}
