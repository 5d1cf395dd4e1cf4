// Package activities says what is done: thin steps over internal/reconcile and the ledger that Temporal calls. It turns what they
// return into what Temporal understands: when to come back, what never to try again.
package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/privacy"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/telemetry"
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
	StateRemoved = string(ledger.Removed)
)

// Activities hold what all activities need. Workflows refer to the methods through a nil *Activities.
type Activities struct {
	Engine        *reconcile.Engine
	Subscriptions Subscriptions
	// Office does privacy requests.
	Office *privacy.Office
	// Events carries engagement events, and StartEngagement starts the workflow that has it done; it may be nil where none shall be started.
	Events          Events
	StartEngagement func(ctx context.Context, merchant string) error
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
	// BackfillNeeded: a sync of email is on and both sides have never been read completely. SMSBackfillNeeded: the same for SMS.
	BackfillNeeded    bool `json:"backfillNeeded,omitempty"`
	SMSBackfillNeeded bool `json:"smsBackfillNeeded,omitempty"`
}

func switchesResult(switches ledger.Switches) SwitchesResult {
	// The reason is an adapter's error, so it is redacted once more before it enters a history, as errorText says.
	result := SwitchesResult{State: string(switches.State), Reason: telemetry.Redact(switches.Reason), Generation: switches.Generation}
	for sync, sw := range switches.Syncs {
		if sw.On {
			result.On = append(result.On, sync)
		}
	}
	slices.Sort(result.On)
	return result
}

// inForce is what the workflow is told of switches that it shall act upon.
func (a *Activities) inForce(ctx context.Context, switches ledger.Switches) (SwitchesResult, error) {
	result := switchesResult(switches)
	if switches.State != ledger.Running {
		return result, nil
	}
	for channel, needed := range map[consent.Channel]*bool{consent.Email: &result.BackfillNeeded, consent.SMS: &result.SMSBackfillNeeded} {
		reads, err := a.Engine.Reads(ctx, switches, channel)
		if err != nil {
			return SwitchesResult{}, err
		}
		if !reads {
			continue
		}
		done, err := a.Engine.FullReadDone(ctx, switches.Merchant, channel)
		if err != nil {
			return SwitchesResult{}, fmt.Errorf("ask for the full read: %w", err)
		}
		*needed = !done
	}
	return result, nil
}

const customerPrefix = "gid://shopify/Customer/"

// number is the short form of a customer's id, which reads better in workflow ids.
func number(customer string) string { return strings.TrimPrefix(customer, customerPrefix) }
