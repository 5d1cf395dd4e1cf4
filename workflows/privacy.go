package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
)

// PrivacyRequestInput starts the workflow of one privacy request. Who it is about stays in the ledger.
type PrivacyRequestInput struct {
	Merchant string `json:"merchant"`
	Request  string `json:"request"`
}

// PrivacyRequestResult is how a request ended, for whoever looks at the history.
type PrivacyRequestResult struct {
	Kind    string `json:"kind,omitempty"`
	Outcome string `json:"outcome"`
}

// PrivacyRequestID is the id of the workflow that does a privacy request.
func PrivacyRequestID(merchant, request string) string {
	return "merchant/" + merchant + "/privacy/" + request
}

// StartPrivacyRequest makes sure that a privacy request is being done, and returns a handle to wait for its end. One that runs goes on. One
// that has ended begins anew, and ends at once if the ledger says that it is done: a ledger that was restored may say that it is not.
func StartPrivacyRequest(ctx context.Context, c client.Client, taskQueue, merchant, request string) (client.WorkflowRun, error) {
	options := client.StartWorkflowOptions{
		ID:                       PrivacyRequestID(merchant, request),
		TaskQueue:                taskQueue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		TypedSearchAttributes:    temporal.NewSearchAttributes(MerchantIDAttribute.ValueSet(merchant)),
		StaticSummary:            "Carries out a privacy request of " + merchant,
	}
	run, err := c.ExecuteWorkflow(ctx, options, privacyWorkflow, PrivacyRequestInput{Merchant: merchant, Request: request})
	if err != nil {
		return nil, fmt.Errorf("start the privacy request of merchant %s: %w", merchant, err)
	}
	return run, nil
}

// SignalPrivacyGoOn lets a privacy request that waits look at once, because a person has done what it waits for.
func SignalPrivacyGoOn(ctx context.Context, c client.Client, merchant, request string) error {
	return signal(ctx, c, PrivacyRequestID(merchant, request), goOnName, nil)
}

// PrivacyRequest does one request of a person or a merchant: it forgets a person, tells a person what is held of them, or ends a merchant
// who has left. What has been done is a row of the ledger, so a workflow that is lost begins anew and does only the rest.
func PrivacyRequest(ctx workflow.Context, input PrivacyRequestInput) (PrivacyRequestResult, error) {
	result, err := privacyRequest(ctx, input)
	var application *temporal.ApplicationError
	if errors.As(err, &application) && application.Type() == activities.UnknownPrivacyRequestType {
		result.Outcome = "There is nothing to do any more: the request was erased with its merchant."
		return result, nil
	}
	return result, err
}

func privacyRequest(ctx workflow.Context, input PrivacyRequestInput) (PrivacyRequestResult, error) {
	var state activities.PrivacyState
	in := activities.PrivacyInput{Merchant: input.Merchant, Request: input.Request}
	if err := workflow.ExecuteActivity(privacyStep(ctx, "read the request"), act.BeginPrivacy, in).Get(ctx, &state); err != nil {
		return PrivacyRequestResult{}, err
	}
	result := PrivacyRequestResult{Kind: state.Kind, Outcome: state.Outcome}
	if state.Done {
		return result, nil
	}
	var do func(workflow.Context, activities.PrivacyInput) (string, error)
	switch state.Kind {
	case activities.KindRedact:
		do = redaction
	case activities.KindDataRequest:
		do = dataRequest
	case activities.KindUninstalled:
		do = uninstalled
	case activities.KindShopRedact:
		do = shopRedaction
	default:
		return result, temporal.NewNonRetryableApplicationError("this version does not know privacy requests of kind "+state.Kind, "UnknownKind", nil)
	}
	var err error
	result.Outcome, err = do(ctx, in)
	if err == nil {
		workflow.SetCurrentDetails(ctx, result.Outcome)
	}
	return result, err
}

// privacyStep are the options of one step. A step is tried until it succeeds: a duty has no number of attempts.
func privacyStep(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 2 * time.Second, BackoffCoefficient: 2, MaximumInterval: 5 * time.Minute},
		Summary:             summary,
	})
}

// endingStep runs the activity that ends a request and returns its outcome.
func endingStep(ctx, options workflow.Context, activity any, in activities.PrivacyInput) (string, error) {
	var state activities.PrivacyState
	err := workflow.ExecuteActivity(options, activity, in).Get(ctx, &state)
	return state.Outcome, err
}
