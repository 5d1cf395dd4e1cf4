package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/concordsync/concord/internal/consent"
)

// Held is a subject whose record holds a delivery back for the checkout window (Record.Hold is set and not settled). The rows
// follow the records: Save and Claim keep them.
type Held struct {
	Channel consent.Channel
	Subject consent.Subject
	Hold    consent.Hold
	// Opened is when MarkOpened said that a window runs for this consent; zero while none does.
	Opened consent.Instant
}

// HoldsToOpen returns holds whose window is not opened and ends after now, the earliest end first.
func (l *Ledger) HoldsToOpen(ctx context.Context, merchant string, channel consent.Channel, now consent.Instant, limit int) ([]Held, error) {
	return l.holds(ctx, "merchant = $1 AND channel = $2 AND opened = 0 AND until > $3 ORDER BY until LIMIT $4",
		merchant, int64(channel), int64(now), limit)
}

// MarkOpened remembers that windows run for these holds. One whose consent has changed since is left alone: it needs its own.
func (l *Ledger) MarkOpened(ctx context.Context, merchant string, holds []Held) error {
	return l.transact(ctx, "mark windows opened", func(t *transaction) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		for _, h := range holds {
			if _, err := t.ExecContext(ctx,
				"UPDATE holds SET opened = $1 WHERE merchant = $2 AND channel = $3 AND subject = $4 AND consent = $5",
				int64(now), merchant, int64(h.Channel), h.Subject[:], int64(h.Hold.Consent)); err != nil {
				return err
			}
		}
		return nil
	})
}

// HeldCustomers returns all unsettled holds of a channel, the earliest end first, for order look-ups.
func (l *Ledger) HeldCustomers(ctx context.Context, merchant string, channel consent.Channel, limit int) ([]Held, error) {
	return l.holds(ctx, "merchant = $1 AND channel = $2 ORDER BY until LIMIT $3", merchant, int64(channel), limit)
}

// HoldsOf returns the unsettled holds of one customer (at most one a channel).
func (l *Ledger) HoldsOf(ctx context.Context, merchant, customer string) ([]Held, error) {
	return l.holds(ctx, "merchant = $1 AND customer = $2 ORDER BY channel", merchant, text(customer))
}

// HoldsEnded returns holds of a channel that ended at least lag before now, the earliest end first: to be settled by the round.
func (l *Ledger) HoldsEnded(ctx context.Context, merchant string, channel consent.Channel, now consent.Instant, lag consent.Span, limit int,
) ([]Held, error) {
	return l.holds(ctx, "merchant = $1 AND channel = $2 AND until <= $3 ORDER BY until LIMIT $4",
		merchant, int64(channel), int64(now.Plus(-lag)), limit)
}

// CountHeld counts the unsettled holds of a merchant, and those of them whose window is opened.
func (l *Ledger) CountHeld(ctx context.Context, merchant string) (held, opened int, err error) {
	if err := l.reads.QueryRowContext(ctx,
		"SELECT count(*), coalesce(sum(CASE WHEN opened > 0 THEN 1 ELSE 0 END), 0) FROM holds WHERE merchant = $1",
		merchant).Scan(&held, &opened); err != nil {
		return 0, 0, fmt.Errorf("count holds: %w", explain(err))
	}
	return held, opened, nil
}

func (l *Ledger) holds(ctx context.Context, where string, args ...any) ([]Held, error) {
	var list []Held
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		h, err := scanHeld(rows)
		list = append(list, h)
		return err
	}, selectHolds+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", explain(err))
	}
	return list, nil
}

const selectHolds = "SELECT channel, subject, customer, consent, until, order_at, opened FROM holds WHERE "

func scanHeld(rows *sql.Rows) (Held, error) {
	var h Held
	var raw []byte
	if err := rows.Scan(&h.Channel, &raw, &h.Hold.Customer, &h.Hold.Consent, &h.Hold.Until, &h.Hold.Order, &h.Opened); err != nil {
		return Held{}, err
	}
	var err error
	h.Subject, err = subjectOf(raw)
	return h, err
}

// followHolds makes the rows of holds agree with the records just written. The changes are sorted.
func (t *transaction) followHolds(ctx context.Context, merchant string, changes []*Change) error {
	over := map[consent.Channel][][]byte{}
	const columns = 8
	var args []any
	for _, change := range changes {
		hold := change.Record.Hold
		if hold.Consent == 0 || hold.Settled {
			if change.Version > 0 {
				over[change.Channel] = append(over[change.Channel], change.Subject[:])
			}
			continue
		}
		args = append(args, merchant, int64(change.Channel), change.Subject[:], text(hold.Customer), int64(hold.Consent),
			int64(hold.Until), int64(hold.Order), int64(0))
	}
	for _, channel := range sortedKeys(over) {
		if err := in(ctx, t.ledger.dialect, t, "DELETE FROM holds WHERE merchant = $1 AND channel = $2 AND subject ",
			[]any{merchant, int64(channel)}, over[channel], "", nil); err != nil {
			return err
		}
	}
	// A newer consent restarts the window, so the one that was opened is no longer its own.
	return t.insert(ctx, "INSERT INTO holds (merchant, channel, subject, customer, consent, until, order_at, opened)", columns, args,
		`ON CONFLICT (merchant, channel, subject) DO UPDATE SET customer = excluded.customer, consent = excluded.consent,
		until = excluded.until, order_at = excluded.order_at,
		opened = CASE WHEN holds.consent = excluded.consent THEN holds.opened ELSE 0 END`, nil)
}
