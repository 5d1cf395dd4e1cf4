package activities

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// SetSyncsInput switches syncs.
type SetSyncsInput struct {
	Merchant string                `json:"merchant"`
	Delta    map[consent.Sync]bool `json:"delta"`
}

// Switches reads the switches.
func (a *Activities) Switches(ctx context.Context, in MerchantInput) (SwitchesResult, error) {
	switches, err := a.Engine.Ledger.Switches(ctx, in.Merchant)
	if err != nil {
		return SwitchesResult{}, classified(err)
	}
	return switchesResult(switches), nil
}

// SetSyncs commits new switches and returns when they are in force: every claim checks them, and those granted before have ended.
func (a *Activities) SetSyncs(ctx context.Context, in SetSyncsInput) (SwitchesResult, error) {
	_, stop := heartbeat(ctx)
	defer stop()
	if err := a.Engine.CheckSyncs(ctx, in.Merchant, in.Delta); err != nil {
		return SwitchesResult{}, classified(err)
	}
	switches, err := a.Engine.Ledger.SetSyncs(ctx, in.Merchant, ledger.SyncChange{On: in.Delta})
	if err != nil {
		return SwitchesResult{}, classified(err)
	}
	eventsOff := false
	for sync, on := range in.Delta {
		switch {
		case on:
		case sync.IsEvents():
			eventsOff = true
		default:
			if err := a.awaitClaims(ctx, in.Merchant, sync); err != nil {
				return SwitchesResult{}, classified(err)
			}
		}
	}
	if err := a.settleEvents(ctx, switches, eventsOff); err != nil {
		return SwitchesResult{}, classified(err)
	}
	result, err := a.inForce(ctx, switches)
	return result, classified(err)
}

// Pause stops all calls of a merchant and returns when no delivery and no pass over events is under way any more. A round or a full read that is at work
// ends within a second or with its call.
func (a *Activities) Pause(ctx context.Context, in MerchantInput) (SwitchesResult, error) {
	_, stop := heartbeat(ctx)
	defer stop()
	switches, err := a.Engine.Ledger.Pause(ctx, in.Merchant)
	if err != nil {
		return SwitchesResult{}, classified(err)
	}
	for _, sync := range consent.Syncs {
		if err := a.awaitClaims(ctx, in.Merchant, sync); err != nil {
			return SwitchesResult{}, classified(err)
		}
	}
	if err := a.awaitPass(ctx, in.Merchant); err != nil {
		return SwitchesResult{}, classified(err)
	}
	return switchesResult(switches), nil
}

// Resume lets a paused or broken merchant go on.
func (a *Activities) Resume(ctx context.Context, in MerchantInput) (SwitchesResult, error) {
	switches, err := a.Engine.Ledger.Resume(ctx, in.Merchant)
	if err != nil {
		return SwitchesResult{}, classified(err)
	}
	result, err := a.inForce(ctx, switches)
	return result, classified(err)
}

// claimPoll is how often the ledger is asked whether claims of other processes have ended; they cannot tell us.
const claimPoll = 50 * time.Millisecond

// awaitClaims waits until no delivery of a sync is under way: each ends with its call or with its lease.
func (a *Activities) awaitClaims(ctx context.Context, merchant string, sync consent.Sync) error {
	for {
		live, _, err := a.Engine.Ledger.LiveClaims(ctx, merchant, sync)
		if err != nil {
			return fmt.Errorf("wait for deliveries under way: %w", err)
		}
		if live == 0 {
			return nil
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
