package ledger

import (
	"context"

	"github.com/concordsync/concord/internal/consent"
)

// Permit says which decisions may be delivered, by their date (rule 11).
type Permit struct {
	// Subscribed decisions must be dated in one of these, oldest first and not overlapping. None permits none.
	Subscribed []Interval
	// Unsubscribed decisions must be dated at or after this; zero permits all.
	UnsubscribedSince consent.Instant
}

// OwedQuery asks for the deliveries that are due to one side.
type OwedQuery struct {
	Merchant string
	Channel  consent.Channel
	Side     consent.Side
	Permit   Permit
	// Now is compared with the next try of each subject.
	Now consent.Instant
	// Limit bounds the answer, 1 or more.
	Limit int
}

// Owed returns subjects whose debt to the side is consent.Owed, permitted and due: every opt-out before every opt-in (I9), the
// oldest decision first.
func (l *Ledger) Owed(ctx context.Context, q OwedQuery) ([]Located, error)

// DebtCounts is what status shows of one side.
type DebtCounts struct {
	// ByDebt counts subjects by debt; Settled is left out, it would count everybody.
	ByDebt map[consent.Debt]int64
	// OwedSubscribes and OwedUnsubscribes count what is Owed and permitted, due or not; NotPermitted is the rest of Owed.
	OwedSubscribes, OwedUnsubscribes, NotPermitted int64
	// OldestOptOut is the date of the oldest permitted opt-out that is Owed, zero when there is none.
	OldestOptOut consent.Instant
}

// Debts counts what one side is owed and why not.
func (l *Ledger) Debts(ctx context.Context, merchant string, channel consent.Channel, side consent.Side, permit Permit,
) (DebtCounts, error)

// Unsettled is a subject whose delivery ended without success, as the operator's lists show it.
type Unsettled struct {
	Subject consent.Subject
	Debt    consent.Debt
	// Decision and At are what could not be delivered.
	Decision consent.State
	At       consent.Instant
	// Code is the side's code of the last try; Since is when that try ended (or began, when its end is unknown). Zero when
	// nothing was tried.
	Code  string
	Since consent.Instant
	// SealedAddress is there while a person must act.
	SealedAddress []byte
}

// Unsettled lists subjects with this debt to this side (Refused, Disputed, …), opt-outs first, oldest decision first.
func (l *Ledger) Unsettled(ctx context.Context, merchant string, channel consent.Channel, side consent.Side, debt consent.Debt,
	limit int) ([]Unsettled, error)
