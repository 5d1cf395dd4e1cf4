package workflows

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
)

const engagementWorkflow = "Engagement"

// engagementRun is how long one run of Engagement sleeps, plus up to an hour by a hash of the merchant, so that merchants do not continue as
// new together. Histories depend on it.
const engagementRun = 24 * time.Hour

// EngagementInput names the merchant whose events are carried.
type EngagementInput struct {
	Merchant string `json:"merchant"`
}

// Engagement carries a merchant's email and SMS events to Shopify, for as long as the merchant is a customer. It is apart from MerchantSync,
// so that nothing about events can keep consent waiting. Like that one it sleeps in one activity that is retried once an interval: a minute in
// which nothing happened leaves nothing in the history, and a day some ten events.
func Engagement(ctx workflow.Context, input EngagementInput) error {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(input.Merchant)) // never fails (hash.Hash)
	until := workflow.Now(ctx).Add(engagementRun + time.Duration(hash.Sum64()%3600)*time.Second)
	activityCtx := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    30 * time.Second,
		// How long to the next try is the activity's own affair; this is for workers that die.
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 10 * time.Second, BackoffCoefficient: 1},
		Summary:     "carry email and SMS events of " + input.Merchant + " to Shopify",
	})
	var result activities.EngageResult
	if err := workflow.ExecuteActivity(activityCtx, act.Engage, activities.EngageInput{Merchant: input.Merchant, Until: until}).
		Get(ctx, &result); err != nil || result.Removed {
		return err
	}
	return workflow.NewContinueAsNewError(ctx, engagementWorkflow, input)
}

// EngagementID is the id of the workflow that carries a merchant's events.
func EngagementID(merchant string) string { return "merchant/" + merchant + "/engagement" }

// StartEngagement makes sure that the merchant's events are carried. Starting it twice is harmless.
func StartEngagement(ctx context.Context, c client.Client, taskQueue, merchant string) error {
	options := client.StartWorkflowOptions{
		ID:                       EngagementID(merchant),
		TaskQueue:                taskQueue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    temporal.NewSearchAttributes(MerchantIDAttribute.ValueSet(merchant)),
		StaticSummary:            "Carries email and SMS events of " + merchant + " to Shopify",
	}
	if _, err := c.ExecuteWorkflow(ctx, options, engagementWorkflow, EngagementInput{Merchant: merchant}); err != nil {
		return fmt.Errorf("start carrying the events of merchant %s: %w", merchant, err)
	}
	return nil
}
