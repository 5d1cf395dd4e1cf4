// Package activities says what is done: thin steps over internal/reconcile and the ledger that Temporal calls. It turns what they
// return into what Temporal understands: when to come back, what never to try again.
package activities

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/reconcile"
)

// Types of application errors, on which workflow code and recorded histories depend.
const (
	// IdleType: nothing to do for the workflow; the activity asks to be retried at the next round.
	IdleType = "Idle"
	// RoundFailedType: a round failed in a way that a later one may mend.
	RoundFailedType = "RoundFailed"
	// UnknownMerchantType: the ledger knows no such merchant, or it was removed. Never retried.
	UnknownMerchantType = "UnknownMerchant"
)

// States of a merchant as workflows show them.
const (
	StateRunning = string(ledger.Running)
	StatePaused  = string(ledger.Paused)
	StateBroken  = string(ledger.Broken)
)

// Activities hold what all activities need. Workflows refer to the methods through a nil *Activities.
type Activities struct {
	Engine *reconcile.Engine
}

// MerchantInput names a merchant.
type MerchantInput struct {
	Merchant string `json:"merchant"`
}

// SwitchesResult is what the ledger says of a merchant.
type SwitchesResult struct {
	State      string         `json:"state"`
	Reason     string         `json:"reason,omitempty"`
	Generation int64          `json:"generation"`
	On         []consent.Sync `json:"on,omitempty"`
	// BackfillNeeded: a sync is on and both sides have never been read completely.
	BackfillNeeded bool `json:"backfillNeeded,omitempty"`
}

func switchesResult(switches ledger.Switches) SwitchesResult {
	result := SwitchesResult{State: string(switches.State), Reason: switches.Reason, Generation: switches.Generation}
	for sync, sw := range switches.Syncs {
		if sw.On {
			result.On = append(result.On, sync)
		}
	}
	slices.Sort(result.On)
	return result
}

// heartbeatAfter is how long a step may take without a heartbeat: short steps cost Temporal nothing.
const heartbeatAfter = 10 * time.Second

// heartbeat keeps a long step alive until the returned function is called. It is how a step that is at work hears that it shall
// stop, and how Temporal hears within seconds that a worker has died.
func heartbeat(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(heartbeatAfter)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				activity.RecordHeartbeat(ctx)
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// classified turns an error of the ledger or of a side into what Temporal does with it.
func classified(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ledger.ErrUnknownMerchant):
		return temporal.NewNonRetryableApplicationError(err.Error(), UnknownMerchantType, nil)
	case failure.ClassOf(err) == failure.Retry:
		options := temporal.ApplicationErrorOptions{}
		if f := failure.As(err); f != nil {
			options.NextRetryDelay = f.Wait
		}
		return temporal.NewApplicationErrorWithOptions(err.Error(), RoundFailedType, options)
	}
	return temporal.NewNonRetryableApplicationError(err.Error(), failure.ClassOf(err).String(), nil)
}

const customerPrefix = "gid://shopify/Customer/"

// number is the short form of a customer's id, which reads better in workflow ids.
func number(customer string) string { return strings.TrimPrefix(customer, customerPrefix) }
