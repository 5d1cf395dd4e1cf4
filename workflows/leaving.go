package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
)

// uninstalled ends a merchant who has uninstalled the app: it is stopped, so that its own workflow sleeps without rounds, and its
// credentials are erased.
func uninstalled(ctx workflow.Context, in activities.PrivacyInput) (string, error) {
	return endingStep(ctx, privacyStep(ctx, "stop the merchant and erase its credentials"), act.UninstallMerchant, in)
}

// shopRedaction erases everybody of a merchant who has left.
func shopRedaction(ctx workflow.Context, in activities.PrivacyInput) (string, error) {
	options := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		// Millions of people take a while; the heartbeat tells of a worker that has died.
		StartToCloseTimeout: 12 * time.Hour,
		HeartbeatTimeout:    30 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 2 * time.Second, BackoffCoefficient: 2, MaximumInterval: 5 * time.Minute},
		Summary:             "erase everybody but the hashes of who had unsubscribed",
	})
	return endingStep(ctx, options, act.EraseShop, in)
}
