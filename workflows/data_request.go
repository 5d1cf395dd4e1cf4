package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
)

// dataRequest writes a file with all that is held of a person. Its path is the outcome; what is in it never comes here.
func dataRequest(ctx workflow.Context, in activities.PrivacyInput) (string, error) {
	return endingStep(ctx, privacyStep(ctx, "write down all that is held of the person"), act.ExportPerson, in)
}
