package ledger

import (
	"context"

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
func (l *Ledger) HoldsToOpen(ctx context.Context, merchant string, now consent.Instant, limit int) ([]Held, error)

// MarkOpened remembers that windows run for these holds. One whose consent has changed since is left alone: it needs its own.
func (l *Ledger) MarkOpened(ctx context.Context, merchant string, holds []Held) error

// HeldCustomers returns all unsettled holds, the earliest end first, for order look-ups.
func (l *Ledger) HeldCustomers(ctx context.Context, merchant string, limit int) ([]Held, error)

// HoldsOf returns the unsettled holds of one customer (at most one a channel).
func (l *Ledger) HoldsOf(ctx context.Context, merchant, customer string) ([]Held, error)

// HoldsEnded returns holds that ended at least lag before now, the earliest end first: to be settled by the round.
func (l *Ledger) HoldsEnded(ctx context.Context, merchant string, now consent.Instant, lag consent.Span, limit int) ([]Held, error)

// CountHeld counts the unsettled holds of a merchant, and those of them whose window is opened.
func (l *Ledger) CountHeld(ctx context.Context, merchant string) (held, opened int, err error)
