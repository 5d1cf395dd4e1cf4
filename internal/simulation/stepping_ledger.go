package simulation

import (
	"context"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/reconcile"
)

// steppingLedger lets others come in after every call, and the process die or freeze there. A call itself is a transaction and does
// not come apart.
type steppingLedger struct {
	reconcile.Records
	world   *world
	process *process
}

// step makes a call unless the process is dead or the ledger is away, and then waits as long as a database takes.
func step[T any](l steppingLedger, call func() (T, error)) (T, error) {
	var none T
	w := l.world
	if w.current.dead {
		return none, errDead
	}
	if w.ledgerAwayUntil.After(w.now) && w.random.IntN(3) == 0 {
		w.count(ledgerAway)
		w.watch.trouble(l.process, 0)
		if err := w.pause(time.Second); err != nil {
			return none, err
		}
		return none, fmt.Errorf("simulated: %w", ledger.ErrUnreachable)
	}
	value, err := call()
	if dead := w.pause(time.Duration(100+w.random.IntN(2000)) * time.Microsecond); dead != nil {
		return none, dead
	}
	return value, err
}

func alone(l steppingLedger, call func() error) error {
	_, err := step(l, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

func (l steppingLedger) Now(ctx context.Context) (consent.Instant, error) {
	return step(l, func() (consent.Instant, error) { return l.Records.Now(ctx) })
}

func (l steppingLedger) Switches(ctx context.Context, id string) (ledger.Switches, error) {
	return step(l, func() (ledger.Switches, error) {
		return l.world.rememberedSwitches(func() (ledger.Switches, error) { return l.Records.Switches(ctx, id) })
	})
}

func (l steppingLedger) Break(ctx context.Context, id, reason string) (ledger.Switches, error) {
	l.world.watch.text("the reason of a broken merchant", reason)
	l.world.memory.forget()
	return step(l, func() (ledger.Switches, error) { return l.Records.Break(ctx, id, reason) })
}

func (l steppingLedger) AcquireRun(ctx context.Context, id string, kind ledger.RunKind, holder string, ttl time.Duration,
) (lease ledger.RunLease, ok bool, err error) {
	lease, err = step(l, func() (lease ledger.RunLease, err error) {
		lease, ok, err = l.Records.AcquireRun(ctx, id, kind, holder, ttl)
		return lease, err
	})
	return lease, ok, err
}

func (l steppingLedger) ReleaseRun(ctx context.Context, lease ledger.RunLease) error {
	return alone(l, func() error { return l.Records.ReleaseRun(ctx, lease) })
}

func (l steppingLedger) RunStatuses(ctx context.Context, id string) (map[ledger.RunKind]ledger.RunStatus, error) {
	return step(l, func() (map[ledger.RunKind]ledger.RunStatus, error) { return l.Records.RunStatuses(ctx, id) })
}

func (l steppingLedger) SetRunStatus(ctx context.Context, id string, kind ledger.RunKind, status ledger.RunStatus) error {
	l.world.watch.text("the error code of a run", status.ErrorCode)
	return alone(l, func() error { return l.Records.SetRunStatus(ctx, id, kind, status) })
}

func (l steppingLedger) Cursors(ctx context.Context, id string) (map[string]string, error) {
	return step(l, func() (map[string]string, error) {
		return l.world.rememberedCursors(func() (map[string]string, error) { return l.Records.Cursors(ctx, id) })
	})
}

func (l steppingLedger) Save(ctx context.Context, id string, batch ledger.Batch) ([]consent.Subject, error) {
	for _, change := range batch.Changes {
		l.world.watch.journal(change.Journal)
		l.world.news += len(change.Journal)
		l.world.memory.forgetPerson(change.Subject)
	}
	if len(batch.Cursors) > 0 {
		l.world.memory.cursors = nil
	}
	for _, customer := range batch.Customers {
		delete(l.world.memory.customers, customer.ID)
	}
	return step(l, func() ([]consent.Subject, error) { return l.Records.Save(ctx, id, batch) })
}

func (l steppingLedger) Load(ctx context.Context, id string, channel consent.Channel, subjects []consent.Subject,
) (map[consent.Subject]ledger.Entry, error) {
	return step(l, func() (map[consent.Subject]ledger.Entry, error) {
		exists := func(entry ledger.Entry) bool { return entry.Version > 0 }
		return remembered(l.world, &l.world.memory.people, subjects, exists, func(subjects []consent.Subject) (map[consent.Subject]ledger.Entry, error) {
			return l.Records.Load(ctx, id, channel, subjects)
		})
	})
}

func (l steppingLedger) Scan(ctx context.Context, id string, channel consent.Channel, after consent.Subject, limit int,
) ([]ledger.Located, error) {
	return step(l, func() ([]ledger.Located, error) { return l.Records.Scan(ctx, id, channel, after, limit) })
}

func (l steppingLedger) AnyDue(ctx context.Context, id string, channel consent.Channel, now consent.Instant) ([2]bool, error) {
	return step(l, func() ([2]bool, error) {
		return ifAny(ctx, l.world, l.world.anyoneDue, func() ([2]bool, error) { return l.Records.AnyDue(ctx, id, channel, now) })
	})
}

func (l steppingLedger) Owed(ctx context.Context, query ledger.OwedQuery) ([]ledger.Located, error) {
	found, err := step(l, func() ([]ledger.Located, error) { return l.Records.Owed(ctx, query) })
	l.world.watch.owed(l.process, sideOf(query.Side), found)
	return found, err
}

func (l steppingLedger) Claims(ctx context.Context, id string, limit ledger.ResubscribeLimit, requests []ledger.ClaimRequest,
) ([]ledger.ClaimResult, error) {
	for _, request := range requests {
		l.world.watch.journal(request.Journal)
		l.world.news++
		l.world.memory.forgetPerson(request.Subject)
	}
	return step(l, func() ([]ledger.ClaimResult, error) { return l.Records.Claims(ctx, id, limit, requests) })
}

func (l steppingLedger) KnownCustomers(ctx context.Context, id string, ids []string) (map[string]ledger.Customer, error) {
	return step(l, func() (map[string]ledger.Customer, error) {
		exists := func(customer ledger.Customer) bool { return customer.ID != "" }
		return remembered(l.world, &l.world.memory.customers, ids, exists, func(ids []string) (map[string]ledger.Customer, error) {
			return l.Records.KnownCustomers(ctx, id, ids)
		})
	})
}

func (l steppingLedger) holds(ctx context.Context, ask func() ([]ledger.Held, error)) ([]ledger.Held, error) {
	return step(l, func() ([]ledger.Held, error) { return ifAny(ctx, l.world, l.world.anyoneHeld, ask) })
}

func (l steppingLedger) HeldCustomers(ctx context.Context, id string, limit int) ([]ledger.Held, error) {
	return l.holds(ctx, func() ([]ledger.Held, error) { return l.Records.HeldCustomers(ctx, id, limit) })
}

func (l steppingLedger) HoldsEnded(ctx context.Context, id string, now consent.Instant, lag consent.Span, limit int) ([]ledger.Held, error) {
	return l.holds(ctx, func() ([]ledger.Held, error) { return l.Records.HoldsEnded(ctx, id, now, lag, limit) })
}

func (l steppingLedger) HoldsOf(ctx context.Context, id, customer string) ([]ledger.Held, error) {
	return l.holds(ctx, func() ([]ledger.Held, error) { return l.Records.HoldsOf(ctx, id, customer) })
}

func (l steppingLedger) HoldsToOpen(ctx context.Context, id string, now consent.Instant, limit int) ([]ledger.Held, error) {
	return l.holds(ctx, func() ([]ledger.Held, error) { return l.Records.HoldsToOpen(ctx, id, now, limit) })
}

func (l steppingLedger) MarkOpened(ctx context.Context, id string, holds []ledger.Held) error {
	return alone(l, func() error { return l.Records.MarkOpened(ctx, id, holds) })
}

func (l steppingLedger) CountHeld(ctx context.Context, id string) (held, opened int, err error) {
	_, err = step(l, func() (struct{}, error) {
		held, opened, err = l.Records.CountHeld(ctx, id)
		return struct{}{}, err
	})
	return held, opened, err
}

func (l steppingLedger) Hint(ctx context.Context, id, customer string) (nudge bool, err error) {
	l.world.memory.forgetHints()
	return step(l, func() (bool, error) { return l.Records.Hint(ctx, id, customer) })
}

func (l steppingLedger) Hints(ctx context.Context, id string, until consent.Instant, limit int) ([]ledger.Hint, error) {
	return step(l, func() ([]ledger.Hint, error) {
		return ifAny(ctx, l.world, l.world.anyoneHinted, func() ([]ledger.Hint, error) { return l.Records.Hints(ctx, id, until, limit) })
	})
}

func (l steppingLedger) ForgetHints(ctx context.Context, id string, hints []ledger.Hint) error {
	l.world.memory.forgetHints()
	return alone(l, func() error { return l.Records.ForgetHints(ctx, id, hints) })
}

func (l steppingLedger) StayAwake(ctx context.Context, id string, span time.Duration) error {
	return alone(l, func() error { return l.Records.StayAwake(ctx, id, span) })
}

func (l steppingLedger) FallAsleep(ctx context.Context, id string) (bool, error) {
	return step(l, func() (bool, error) { return l.Records.FallAsleep(ctx, id) })
}

func (l steppingLedger) RememberOrder(ctx context.Context, id string, order ledger.Order) error {
	return alone(l, func() error { return l.Records.RememberOrder(ctx, id, order) })
}

func (l steppingLedger) OrdersRemembered(ctx context.Context, id, customer string, email consent.Subject, from, to consent.Instant,
) ([]ledger.Order, error) {
	return step(l, func() ([]ledger.Order, error) { return l.Records.OrdersRemembered(ctx, id, customer, email, from, to) })
}

func (l steppingLedger) Brake(ctx context.Context, id string, limit ledger.ResubscribeLimit, subjects []consent.Subject) (ledger.Brake, error) {
	return step(l, func() (ledger.Brake, error) { return l.Records.Brake(ctx, id, limit, subjects) })
}

func (l steppingLedger) RaiseAlarm(ctx context.Context, id string, limit ledger.ResubscribeLimit) (alarm ledger.Alarm, news bool, err error) {
	alarm, err = step(l, func() (alarm ledger.Alarm, err error) {
		alarm, news, err = l.Records.RaiseAlarm(ctx, id, limit)
		return alarm, err
	})
	return alarm, news, err
}
