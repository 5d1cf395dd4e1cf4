package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
)

// slicesPerRun is how many slices one run reads before it continues as new; histories depend on it.
const slicesPerRun = 100

// BackfillInput starts a full read of both sides.
type BackfillInput struct {
	Merchant string `json:"merchant"`
	// Read counts what earlier runs read; zero at the start.
	Read int64 `json:"read,omitempty"`
	// SMS: that channel is read instead of email.
	SMS bool `json:"sms,omitempty"`
}

// Backfill reads both sides of a merchant completely, once, before a direction is first enabled. It goes on from the ledger's
// cursor after any stop, while the minute's rounds go on; what it finds is delivered by them. Its result counts what was read.
func Backfill(ctx workflow.Context, input BackfillInput) (activities.BackfillResult, error) {
	total := activities.BackfillResult{Read: input.Read}
	for range slicesPerRun {
		sliceCtx := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: 3 * time.Minute,
			HeartbeatTimeout:    20 * time.Second,
			RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 2 * time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute},
			Summary:             sliceSummary(total),
		})
		var slice activities.BackfillResult
		if err := workflow.ExecuteActivity(sliceCtx, act.Backfill, activities.BackfillInput{Merchant: input.Merchant, SMS: input.SMS}).Get(ctx, &slice); err != nil {
			return total, err
		}
		total.Done, total.Step, total.Read = slice.Done, slice.Step, total.Read+slice.Read
		if total.Done {
			return total, nil
		}
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("Reading %s; %d people looked at so far", total.Step, total.Read))
	}
	return total, workflow.NewContinueAsNewError(ctx, backfillWorkflow, BackfillInput{Merchant: input.Merchant, Read: total.Read, SMS: input.SMS})
}

func sliceSummary(sofar activities.BackfillResult) string {
	if sofar.Step == "" {
		return "read both sides, from where the last slice ended"
	}
	return fmt.Sprintf("go on with %s, %d people looked at", sofar.Step, sofar.Read)
}

func backfillSummary(merchant string, channel consent.Channel) string {
	if channel == consent.SMS {
		return "Reads SMS consents on both sides of " + merchant + " once"
	}
	return "Reads both sides of " + merchant + " once"
}
