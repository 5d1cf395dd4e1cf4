package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Register names the workflows to a worker, a replayer or a test.
func Register(registry worker.WorkflowRegistry) {
	registry.RegisterWorkflowWithOptions(MerchantSync, workflow.RegisterOptions{Name: merchantWorkflow})
	registry.RegisterWorkflowWithOptions(CheckoutWindow, workflow.RegisterOptions{Name: windowWorkflow})
	registry.RegisterWorkflowWithOptions(Backfill, workflow.RegisterOptions{Name: backfillWorkflow})
	registry.RegisterWorkflowWithOptions(Webhooks, workflow.RegisterOptions{Name: webhooksWorkflow})
	registry.RegisterWorkflowWithOptions(Engagement, workflow.RegisterOptions{Name: engagementWorkflow})
	registry.RegisterWorkflowWithOptions(PrivacyRequest, workflow.RegisterOptions{Name: privacyWorkflow})
}
