package reconcile

import (
	"context"
	"fmt"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// sweep is how many are looked at in one step while some of them are stopped: that costs no call of a side, and those who may go on
// must not wait behind thousands who may not.
const sweep = 500

// due is what is owed to side and may go on now. As long as any opt-out is due it is opt-outs alone (I9), because the deliveries of
// one answer run side by side. Whom the limit has stopped comes last, as far as there is room (I10); without room it costs no call.
func (s *session) due(ctx context.Context, side consent.Side, limit int, what extent) ([]ledger.Located, error) {
	if !s.switches.May(consent.SyncTo(consent.Email, side)) || s.denied[side].Load() {
		return nil, nil
	}
	for take := limit; ; take = sweep {
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
		passing, err := s.passing(ctx, side, found)
		if err != nil {
			return nil, err
		}
		if len(passing) > 0 || s.timeIsUp() {
			return passing[:min(limit, len(passing))], nil
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

// owed asks the ledger for what is owed to side, opt-outs first, or for those who are stopped.
func (s *session) owed(ctx context.Context, side consent.Side, limit int, stopped bool) ([]ledger.Located, error) {
	found, err := s.records().Owed(ctx, ledger.OwedQuery{
		Merchant: s.merchant, Channel: consent.Email, Side: side, Permit: LedgerPermit(s.switches, consent.SyncTo(consent.Email, side)),
		Stopped: stopped, Now: s.now(), Limit: limit,
	})
	if err != nil {
		return nil, fmt.Errorf("ask what is owed: %w", err)
	}
	return found, nil
}

// passing stops those whose delivery would resubscribe more people than the limit allows, as far as their records tell, and returns
// the others. Only a look-up tells of the rest, and their claims are refused. Those who are stopped already go first: what an operator
// has approved must not be used up by others.
func (s *session) passing(ctx context.Context, side consent.Side, found []ledger.Located) ([]ledger.Located, error) {
	var again []consent.Subject
	for i := range found {
		if found[i].Record.Resubscribes(side) {
			again = append(again, found[i].Subject)
		}
	}
	if len(again) == 0 {
		return found, nil
	}
	b, err := s.brake(ctx, again)
	if err != nil {
		return nil, err
	}
	free := b.Room() - s.waiting(b)
	passing := make([]ledger.Located, 0, len(found))
	var stopped []revision
	for i := range found {
		switch located := &found[i]; {
		case !located.Record.Resubscribes(side), b.Counted[located.Subject]:
			passing = append(passing, *located)
		case free > 0:
			free--
			passing = append(passing, *located)
		default:
			stopped = append(stopped, stopping(located.Subject, side))
		}
	}
	return passing, s.stopAtLimit(ctx, stopped)
}

// released is as many of those who are stopped as there is room for.
func (s *session) released(ctx context.Context, side consent.Side, limit int) ([]ledger.Located, error) {
	found, err := s.owed(ctx, side, limit, true)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	b, err := s.brake(ctx, subjectsOf(found))
	if err != nil {
		return nil, err
	}
	room, released := b.Room(), found[:0]
	for _, located := range found {
		switch {
		case b.Counted[located.Subject]:
			released = append(released, located)
		case room > 0:
			room--
			released = append(released, located)
		}
	}
	return released, nil
}

func subjectsOf(found []ledger.Located) []consent.Subject {
	subjects := make([]consent.Subject, len(found))
	for i := range found {
		subjects[i] = found[i].Subject
	}
	return subjects
}

func (s *session) brake(ctx context.Context, subjects []consent.Subject) (ledger.Brake, error) {
	b, err := s.records().Brake(ctx, s.merchant, s.account.Settings.ResubscriptionLimit(), subjects)
	if err != nil {
		return ledger.Brake{}, fmt.Errorf("ask for the limit on re-subscriptions: %w", err)
	}
	return b, nil
}

// waiting counts those who are stopped and could be delivered: a direction that is off must not keep the other one waiting.
func (s *session) waiting(b ledger.Brake) int64 {
	var n int64
	for _, side := range consent.Sides {
		if s.switches.May(consent.SyncTo(consent.Email, side)) {
			n += b.Waiting[side]
		}
	}
	return n
}

// stopping is the revision that marks a delivery as stopped.
func stopping(subject consent.Subject, side consent.Side) revision {
	return revision{subject: subject, side: side, stop: true,
		apply: func(rec consent.Record) (consent.Record, []ledger.Line) { return rec, nil }}
}

// stopAtLimit stops deliveries, and tells the log when they are the first.
func (s *session) stopAtLimit(ctx context.Context, stopped []revision) error {
	if len(stopped) == 0 {
		return nil
	}
	b, err := s.brake(ctx, nil)
	if err != nil {
		return err
	}
	if s.waiting(b) == 0 {
		s.Log.Warn("People who would be resubscribed are stopped at the limit and wait for `starter approve`", "merchant", s.merchant,
			"limit", b.Limit, "approved", b.Approved, "within_24_hours", b.Resubscribed)
	}
	_, err = s.revise(ctx, stopped)
	return err
}

// alarm tells the log when this run has unsubscribed people and they are more than the limit by now. They are not stopped: whoever
// asked to be left alone is left alone, even if it was a mistake.
func (s *session) alarm(ctx context.Context) error {
	if s.unsubscribed.Load() == 0 {
		return nil
	}
	alarm, news, err := s.records().RaiseAlarm(ctx, s.merchant, s.account.Settings.ResubscriptionLimit())
	if err != nil {
		return fmt.Errorf("count unsubscribes: %w", err)
	}
	if news {
		s.Log.Warn("Many people were unsubscribed within 24 hours; nobody is stopped", "merchant", s.merchant,
			"people", alarm.Unsubscribed, "limit", alarm.Limit)
	}
	return nil
}
