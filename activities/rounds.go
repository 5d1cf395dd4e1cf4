package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/internal/consent"
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
	// Switches after the round; State is empty when they could not be read.
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
	// SMS: the consent is to SMS instead of email.
	SMS bool `json:"sms,omitempty"`
}

// Channel is the channel of the consent.
func (w Window) Channel() consent.Channel {
	if w.SMS {
		return consent.SMS
	}
	return consent.Email
}

// changeDelay puts off the retry of a round that ended because the switches changed, so that the workflow's cancellation, which
// comes as soon as the change is in force, finds it asleep and takes effect at once.
const changeDelay = 2 * time.Second

// Reconcile runs a round. It returns normally only when the workflow has something to do; otherwise it fails with a benign error
// that asks to be retried at the next round, which leaves nothing in the history.
func (a *Activities) Reconcile(ctx context.Context, in ReconcileInput) (ReconcileResult, error) {
	// A date beyond one interval comes from a clock that disagrees with ours; obeying it would stop the merchant for as long.
	if wait := in.NotBefore.Sub(a.Engine.Now()); wait > 0 && wait <= a.Engine.Timing.Interval {
		return ReconcileResult{}, idle(wait, "the next round begins at "+in.NotBefore.UTC().Format(time.TimeOnly)+" UTC")
	}
	_, stop := heartbeat(ctx)
	defer stop()
	before, err := a.Engine.Ledger.Switches(ctx, in.Merchant)
	if err != nil {
		return ReconcileResult{}, a.roundFailed(in.Merchant, fmt.Errorf("read switches: %w", err))
	}
	while, end := a.whileUnchanged(ctx, in.Merchant, before.Generation)
	round, err := a.Engine.Round(while, in.Merchant)
	why := end()
	// What was found is told even when the round was cancelled meanwhile: its windows are marked as opened.
	after := context.WithoutCancel(ctx)
	if err != nil {
		// A round that fails tells the switches of its beginning, but may have stopped the merchant.
		if now, readErr := a.Engine.Ledger.Switches(after, in.Merchant); readErr == nil {
			round.Switches = now
		}
	}
	if round.Switches.State == ledger.Removed {
		return ReconcileResult{}, a.roundFailed(in.Merchant, errors.Join(err, ledger.ErrUnknownMerchant))
	}
	if len(round.Windows) > 0 || round.Switches.State != "" && string(round.Switches.State) != in.State {
		return a.decided(after, in.Merchant, round)
	}
	now := a.Engine.Now()
	next := a.Engine.NextRound(in.Merchant, now).Sub(now)
	switch {
	case errors.Is(err, reconcile.ErrBusy):
		return ReconcileResult{}, idle(next, err.Error())
	case temporal.IsCanceledError(context.Cause(ctx)):
		return ReconcileResult{}, ctx.Err()
	case err != nil && !(why != nil && errors.Is(err, context.Canceled)):
		return ReconcileResult{}, a.roundFailed(in.Merchant, err)
	case errors.Is(why, errChanged):
		return ReconcileResult{}, idle(changeDelay, "stopped: "+why.Error())
	case why != nil:
		return ReconcileResult{}, idle(moreDelay, "stopped: "+why.Error())
	case round.More:
		next = moreDelay
	}
	return ReconcileResult{}, idle(next, fmt.Sprintf("looked at %d reports, delivered %d to Shopify and %d to Listrak; nothing to decide here",
		round.Stats.Scanned, round.Stats.Delivered[consent.Shopify], round.Stats.Delivered[consent.Listrak]))
}

// decided is the result of a round that leaves something to the workflow.
func (a *Activities) decided(ctx context.Context, merchant string, round reconcile.RoundResult) (ReconcileResult, error) {
	now := a.Engine.Now()
	result := ReconcileResult{NextRound: a.Engine.NextRound(merchant, now)}
	if round.More {
		result.NextRound = now
	}
	for _, held := range round.Windows {
		result.Windows = append(result.Windows, a.window(held))
	}
	var err error
	if result.Switches, err = a.inForce(ctx, round.Switches); err != nil {
		// The windows are marked as opened, so they matter more than whether a full read is still needed.
		result.Switches = switchesResult(round.Switches)
	}
	return result, nil
}

// roundFailed lets a failed round be retried at the next one, whatever failed: a merchant that was stopped is not called again
// until somebody has mended it.
func (a *Activities) roundFailed(merchant string, err error) error {
	if errors.Is(err, ledger.ErrUnknownMerchant) {
		return classified(fmt.Errorf("run a round: %w", ledger.ErrUnknownMerchant))
	}
	now := a.Engine.Now()
	return temporal.NewApplicationErrorWithOptions(errorText(err), RoundFailedType,
		temporal.ApplicationErrorOptions{NextRetryDelay: a.Engine.NextRound(merchant, now).Sub(now)})
}

func (a *Activities) window(held ledger.Held) Window {
	return Window{
		Customer: number(held.Hold.Customer), Consent: held.Hold.Consent.Time(), Until: held.Hold.Until.Time(),
		LastLookUp: a.Engine.LastLookUp(held), SMS: held.Channel == consent.SMS,
	}
}
