package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/ledger"
)

// Events carries engagement events of a merchant; *engagement.Keeper does.
type Events interface {
	Pass(ctx context.Context, merchant string) (engagement.Pass, error)
}

// EngageInput asks for passes over a merchant's events.
type EngageInput struct {
	Merchant string `json:"merchant"`
	// Until is when the workflow wants to hear of it, so that it begins a new run now and then.
	Until time.Time `json:"until"`
}

// EngageResult tells why the passes ended.
type EngageResult struct {
	// Removed: the merchant is none any more.
	Removed bool `json:"removed,omitempty"`
}

// Engage runs a pass over the merchant's events. Like Reconcile it fails with a benign error that asks to be retried at the next pass, which
// leaves nothing in the history; it returns when Until has come or the merchant is gone.
func (a *Activities) Engage(ctx context.Context, in EngageInput) (EngageResult, error) {
	if !a.Engine.Now().Before(in.Until) {
		return EngageResult{}, nil
	}
	_, stop := heartbeat(ctx)
	defer stop()
	before, err := a.Engine.Ledger.Switches(ctx, in.Merchant)
	switch {
	case errors.Is(err, ledger.ErrUnknownMerchant), err == nil && before.State == ledger.Removed:
		return EngageResult{Removed: true}, nil
	case err != nil:
		return EngageResult{}, a.passFailed(in.Merchant, fmt.Errorf("read switches: %w", err))
	}
	while, end := a.whileUnchanged(ctx, in.Merchant, before.Generation)
	pass, err := a.Events.Pass(while, in.Merchant)
	why := end()
	next := a.nextPass(in.Merchant)
	switch {
	case errors.Is(err, engagement.ErrBusy):
		return EngageResult{}, idle(next, err.Error())
	case temporal.IsCanceledError(context.Cause(ctx)):
		return EngageResult{}, ctx.Err()
	case why != nil:
		return EngageResult{}, idle(moreDelay, "stopped: "+why.Error())
	case err != nil:
		return EngageResult{}, a.passFailed(in.Merchant, err)
	case !pass.On:
		return EngageResult{}, idle(next, "no sync of events is on, or the merchant is "+string(pass.State))
	case pass.More:
		next = moreDelay
	}
	return EngageResult{}, idle(next, fmt.Sprintf("events of %d people changed; Shopify was told of %d days and %d customers", pass.Changed, pass.Days,
		pass.People))
}

// nextPass is how long it is to the next pass. It begins at another second than the merchant's rounds.
func (a *Activities) nextPass(merchant string) time.Duration {
	now := a.Engine.Now()
	return a.Engine.NextRound(merchant+" events", now).Sub(now)
}

// passFailed lets a failed pass be retried at the next one, whatever failed: consent goes on without events, and so nothing else tries to
// mend them.
func (a *Activities) passFailed(merchant string, err error) error {
	return temporal.NewApplicationErrorWithOptions(errorText(err), RoundFailedType,
		temporal.ApplicationErrorOptions{NextRetryDelay: a.nextPass(merchant)})
}

// settleEvents makes a change of switches take effect on events: it starts their workflow when one of their syncs is on, and after something
// was switched off it waits until no pass is at work that began before.
func (a *Activities) settleEvents(ctx context.Context, switches ledger.Switches, off bool) error {
	if off {
		if err := a.awaitPass(ctx, switches.Merchant); err != nil {
			return err
		}
	}
	if a.StartEngagement == nil || !switches.Syncs[consent.EmailEvents].On && !switches.Syncs[consent.SMSEvents].On {
		return nil
	}
	if err := a.StartEngagement(ctx, switches.Merchant); err != nil {
		return fmt.Errorf("start the workflow of the events: %w", err)
	}
	return nil
}

// awaitPass waits until no pass is at work: one that is notices the change within a second, and one of a process that died ends with its
// lease.
func (a *Activities) awaitPass(ctx context.Context, merchant string) error {
	for {
		lease, free, err := a.Engine.Ledger.AcquireRun(ctx, merchant, engagement.Run, "switches", time.Second)
		if err != nil {
			return fmt.Errorf("wait for a pass over the events: %w", err)
		}
		if free {
			return a.Engine.Ledger.ReleaseRun(ctx, lease)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-activity.GetWorkerStopChannel(ctx):
			return errWorkerStops
		case <-time.After(claimPoll):
		}
	}
}
