package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
)

// slicesPerRun is how many slices one run reads before it continues as new; histories depend on it.
const slicesPerRun = 100

// BackfillInput starts a full read of both sides.
type BackfillInput struct {
	Merchant string `json:"merchant"`
}

// Backfill reads both sides of a merchant completely, once, before a direction is first enabled. It goes on from the ledger's
// cursor after any stop, while the minute's rounds go on; what it finds is delivered by them. Its result counts what was read.
func Backfill(ctx workflow.Context, input BackfillInput) (activities.BackfillResult, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 3 * time.Minute,
		HeartbeatTimeout:    20 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 2 * time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute},
		Summary:             "read both sides, from where the last slice ended",
	})
	var result activities.BackfillResult
	for range slicesPerRun {
		// Each slice returns the whole progress, from the ledger.
		err := workflow.ExecuteActivity(ctx, act.Backfill, activities.MerchantInput{Merchant: input.Merchant}).Get(ctx, &result)
		if err != nil || result.Done {
			return result, err
		}
	}
	return result, workflow.NewContinueAsNewError(ctx, backfillWorkflow, input)
}

func backfillSummary(merchant string) string { return "Reads both sides of " + merchant + " once" }
