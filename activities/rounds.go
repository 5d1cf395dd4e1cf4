package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/reconcile"
)

// ReconcileInput asks for rounds. It stays what it was when the activity was scheduled, for as long as it sleeps.
type ReconcileInput struct {
	Merchant string `json:"merchant"`
	// NotBefore keeps a round that ended early, because a window had to be opened, from beginning the next one at once.
	NotBefore time.Time `json:"notBefore,omitzero"`
	// State is what the workflow shows; another one in the ledger is something to decide.
	State string `json:"state"`
}

// ReconcileResult is something for the workflow to do.
type ReconcileResult struct {
	Switches SwitchesResult `json:"switches"`
	// Windows to open.
	Windows   []Window  `json:"windows,omitempty"`
	NextRound time.Time `json:"nextRound"`
}

// Window is a held consent and its timer.
type Window struct {
	// Customer is the number of the Shopify customer.
	Customer string    `json:"customer"`
	Consent  time.Time `json:"consent"`
	// Until is the end of the window; LastLookUp is a little later, for orders that Shopify shows late.
	Until      time.Time `json:"until"`
	LastLookUp time.Time `json:"lastLookUp"`
}

// moreDelay lets a round that stopped for time go on at once: a delay of zero would mean the retry policy's
// (reference/temporal.md 2.1).
const moreDelay = time.Millisecond

// Reconcile runs rounds. It returns normally only when the workflow has something to do; otherwise it fails with a benign error
// that asks to be retried at the next round, which leaves nothing in the history.
func (a *Activities) Reconcile(ctx context.Context, in ReconcileInput) (ReconcileResult, error) {
	now := a.Engine.Now()
	if wait := in.NotBefore.Sub(now); wait > 0 {
		return ReconcileResult{}, idle(wait, "the next round begins at "+in.NotBefore.UTC().Format(time.TimeOnly)+" UTC")
	}
	defer heartbeat(ctx)()
	round, err := a.Engine.Round(ctx, in.Merchant)
	now = a.Engine.Now()
	next := a.Engine.NextRound(in.Merchant, now)
	if round.More && err == nil {
		next = now.Add(moreDelay)
	}
	switch {
	case errors.Is(err, ledger.ErrUnknownMerchant), round.Switches.State == ledger.Removed:
		return ReconcileResult{}, classified(fmt.Errorf("run a round: %w", ledger.ErrUnknownMerchant))
	case errors.Is(err, reconcile.ErrBusy):
		return ReconcileResult{}, idle(next.Sub(now), err.Error())
	}
	if len(round.Windows) > 0 || round.Switches.State != "" && string(round.Switches.State) != in.State {
		result := ReconcileResult{Switches: switchesResult(round.Switches), NextRound: next}
		for _, held := range round.Windows {
			result.Windows = append(result.Windows, a.window(held))
		}
		return result, nil
	}
	if err != nil {
		return ReconcileResult{}, temporal.NewApplicationErrorWithOptions(err.Error(), RoundFailedType,
			temporal.ApplicationErrorOptions{NextRetryDelay: next.Sub(now)})
	}
	return ReconcileResult{}, idle(next.Sub(now), fmt.Sprintf("looked at %d reports, delivered %d to Shopify and %d to Listrak; nothing to decide here",
		round.Stats.Scanned, round.Stats.Delivered[0], round.Stats.Delivered[1]))
}

// idle asks for a retry after a delay. Benign errors stay out of error logs and failure metrics.
func idle(delay time.Duration, text string) error {
	return temporal.NewApplicationErrorWithOptions(text, IdleType, temporal.ApplicationErrorOptions{
		NextRetryDelay: max(delay, moreDelay), Category: temporal.ApplicationErrorCategoryBenign,
	})
}

func (a *Activities) window(held ledger.Held) Window {
	return Window{
		Customer: number(held.Hold.Customer), Consent: held.Hold.Consent.Time(), Until: held.Hold.Until.Time(),
		LastLookUp: a.Engine.LastLookUp(held),
	}
}
