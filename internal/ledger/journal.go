package ledger

import (
	"context"

	"github.com/concordsync/concord/internal/consent"
)

// Kind is what happened. The values are stored.
type Kind string

const (
	// Seen: a side reported a state. Decided: the decision changed. Dropped: a report was not followed; Reason says why.
	Seen    Kind = "seen"
	Decided Kind = "decided"
	Dropped Kind = "dropped"
	// Held, SettledPoint: the checkout window began, and ended with a subscription point.
	HeldBack     Kind = "held"
	SettledPoint Kind = "settled"
	// The life of a delivery.
	Claimed   Kind = "claimed"
	Delivered Kind = "delivered"
	Refused   Kind = "refused"
	Awaiting  Kind = "awaiting"
	Failed    Kind = "failed"
	Disputed  Kind = "disputed"
	// Shown: brought to the operator's notice, nothing done.
	Shown Kind = "shown"
	// Lines of the merchant.
	Switched        Kind = "switched"
	MerchantAdded   Kind = "merchant added"
	MerchantChanged Kind = "merchant changed"
	MerchantRemoved Kind = "merchant removed"
	StateChanged    Kind = "state changed"
)

// Reason says why. The values are stored; callers define their own beside these.
type Reason string

// Resubscribed marks a Claimed line that turns a person from unsubscribed to subscribed; Resubscriptions counts them (I10).
const Resubscribed Reason = "resubscribed"

// NoSide is the Side of a line that concerns none.
const NoSide consent.Side = 255

// Line is one line of the journal: numbers, constants and ids, never an address or a name. A Code or Ref that holds an @ is
// withheld, because a side's code could quote an address.
type Line struct {
	// At is set by the ledger: the database's clock in the transaction that wrote the line.
	At consent.Instant
	// Channel and Subject are zero for lines of the merchant.
	Channel consent.Channel
	Subject consent.Subject
	// Side is consent.Shopify when left zero; use NoSide for lines that concern none.
	Side   consent.Side
	Kind   Kind
	Reason Reason
	State  consent.State
	// Date is the date of the decision or report.
	Date  consent.Instant
	Point consent.Point
	// Code is the side's code.
	Code string
	Sync consent.Sync
	// Ref is the side's own id of the person, or the order's.
	Ref string
	// Count is for lines that are about many.
	Count int64
}

// Append writes lines that belong to no change.
func (l *Ledger) Append(ctx context.Context, merchant string, lines ...Line) error

// Journal returns the lines of a subject, or with a zero channel and subject those of the merchant, oldest first.
func (l *Ledger) Journal(ctx context.Context, merchant string, channel consent.Channel, subject consent.Subject) ([]Line, error)

// Resubscriptions counts the subjects with a Claimed line of reason Resubscribed at or after since.
func (l *Ledger) Resubscriptions(ctx context.Context, merchant string, channel consent.Channel, since consent.Instant) (int64, error)
