package workflows

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
)

const webhooksWorkflow = "Webhooks"

// webhooksEvery is how often subscriptions are looked at: Shopify deletes one after a few hours of failures, and polls do the work
// meanwhile.
const webhooksEvery = 24 * time.Hour

// WebhooksInput names the merchant whose webhook subscriptions are looked at.
type WebhooksInput struct {
	Merchant string `json:"merchant"`
}

// Webhooks looks once whether a merchant's webhook subscriptions are all there, and renews those that are not. A schedule of the same
// id starts it every day; a look that fails is tried again within the hour.
func Webhooks(ctx workflow.Context, input WebhooksInput) (activities.WebhooksResult, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 30 * time.Second, BackoffCoefficient: 2, MaximumInterval: time.Hour},
		Summary:             "look at the webhook subscriptions of " + input.Merchant,
	})
	var result activities.WebhooksResult
	err := workflow.ExecuteActivity(ctx, act.EnsureWebhooks, activities.MerchantInput{Merchant: input.Merchant}).Get(ctx, &result)
	return result, err
}

// WebhooksID is the id of the schedule that keeps a merchant's webhook subscriptions alive; its runs add their time to it.
func WebhooksID(merchant string) string { return "merchant/" + merchant + "/webhooks" }

// ScheduleWebhooks makes sure that the merchant's webhook subscriptions are looked at every day, on that task queue. A new schedule
// begins with a look at once.
func ScheduleWebhooks(ctx context.Context, c client.Client, taskQueue, merchant string) error {
	id := WebhooksID(merchant)
	// Nobody at the same second, as with rounds.
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(merchant)) // never fails (hash.Hash)
	offset := time.Duration(hash.Sum64()%uint64(webhooksEvery/time.Second)) * time.Second
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID:   id,
		Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: webhooksEvery, Offset: offset}}},
		Action: &client.ScheduleWorkflowAction{
			ID: id, Workflow: webhooksWorkflow, Args: []any{WebhooksInput{Merchant: merchant}}, TaskQueue: taskQueue,
			TypedSearchAttributes: temporal.NewSearchAttributes(MerchantIDAttribute.ValueSet(merchant)),
			StaticSummary:         "Keeps the webhook subscriptions of " + merchant + " alive",
		},
		// A look that waits for its next try does what the next look would do.
		Overlap:            enums.SCHEDULE_OVERLAP_POLICY_SKIP,
		TriggerImmediately: true,
	})
	if err == nil {
		return nil
	}
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return fmt.Errorf("schedule the webhooks of merchant %s: %w", merchant, err)
	}
	err = c.ScheduleClient().GetHandle(ctx, id).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := in.Description.Schedule
			action, ok := schedule.Action.(*client.ScheduleWorkflowAction)
			if !ok || action.TaskQueue == taskQueue {
				return nil, temporal.ErrSkipScheduleUpdate
			}
			action.TaskQueue = taskQueue
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	})
	if err != nil {
		return fmt.Errorf("schedule the webhooks of merchant %s anew: %w", merchant, err)
	}
	return nil
}

// UnscheduleWebhooks ends the daily look; without one it does nothing.
func UnscheduleWebhooks(ctx context.Context, c client.Client, merchant string) error {
	err := c.ScheduleClient().GetHandle(ctx, WebhooksID(merchant)).Delete(ctx)
	var notFound *serviceerror.NotFound
	if err != nil && !errors.As(err, &notFound) {
		return fmt.Errorf("end the schedule of the webhooks of merchant %s: %w", merchant, err)
	}
	return nil
}
