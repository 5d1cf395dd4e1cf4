package ledger

import (
	"context"

	"github.com/concordsync/concord/internal/consent"
)

// OptOuts is the operator's answer to what happens with people who had unsubscribed in Shopify before the direction to Listrak was
// first enabled (rule 11). The values are stored.
type OptOuts string

const (
	OptOutsUnasked OptOuts = ""
	OptOutsDeliver OptOuts = "deliver"
	OptOutsLeave   OptOuts = "leave"
)

// Interval is a span of time in which something was on: Began is inside, Ended is not. Ended zero means that it is still on. The
// zero Interval is all of time.
type Interval struct{ Began, Ended consent.Instant }

// Contains reports whether at lies inside.
func (i Interval) Contains(at consent.Instant) bool {
	return at >= i.Began && (i.Ended == 0 || at < i.Ended)
}

// Switch is one sync of one merchant. The zero Switch was never on.
type Switch struct {
	On bool
	// FirstOn is when it was enabled for the first time, zero for never.
	FirstOn         consent.Instant
	ExistingOptOuts OptOuts
	// Intervals in which it was on, oldest first, never overlapping. Pausing does not end one.
	Intervals []Interval
}

// Switches is all that decides whether anything may be done for a merchant.
type Switches struct {
	Merchant   string
	Generation int64
	State      MerchantState
	Reason     string
	Syncs      map[consent.Sync]Switch
}

// May reports whether sync may deliver now.
func (s Switches) May(sync consent.Sync) bool { return s.State == Running && s.Syncs[sync].On }

// SyncChange is what an operator asks of the syncs of a merchant.
type SyncChange struct {
	// On is the delta: a sync that is not named stays as it is.
	On map[consent.Sync]bool
	// ExistingOptOuts replaces the answers that it names.
	ExistingOptOuts map[consent.Sync]OptOuts
}

// SetSyncs applies a change by the database's clock and returns what is in force afterwards. The generation rises only when
// something changed, so that a signal that arrives twice changes nothing. Once it has returned, no claim for a sync that it
// switched off can succeed; LiveClaims tells which are still under way. ErrUnknownMerchant when there is none.
func (l *Ledger) SetSyncs(ctx context.Context, merchant string, change SyncChange) (Switches, error)

// Switches returns what is in force. A removed merchant has state Removed; ErrUnknownMerchant when there never was one.
func (l *Ledger) Switches(ctx context.Context, merchant string) (Switches, error)

// Pause stops everything for a merchant until Resume.
func (l *Ledger) Pause(ctx context.Context, merchant string) (Switches, error)

// Resume starts a paused or broken merchant again.
func (l *Ledger) Resume(ctx context.Context, merchant string) (Switches, error)

// Break stops a running merchant because a person must act; reason is shown to the operator and holds no personal data and no
// secret. A paused merchant stays paused.
func (l *Ledger) Break(ctx context.Context, merchant, reason string) (Switches, error)

// Heal starts a broken merchant again because a check succeeded; it does not resume a paused one.
func (l *Ledger) Heal(ctx context.Context, merchant string) (Switches, error)
