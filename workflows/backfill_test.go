package workflows

import (
	"context"
	"errors"
	"testing"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
)

func TestAFullReadGoesOnUntilItIsDone(t *testing.T) {
	t.Parallel()
	const slices = 2*slicesPerRun + 30
	f := &fakes{}
	done := 0
	f.backfill = func(context.Context, activities.BackfillInput) (activities.BackfillResult, error) {
		done++
		return activities.BackfillResult{Done: done == slices, Step: "Shopify's customers", Read: 250}, nil
	}
	input := BackfillInput{Merchant: merchant}
	for run := range 3 {
		s := newStageWith(t, f)
		s.ExecuteWorkflow(backfillWorkflow, input)
		err := s.GetWorkflowError()
		var next *workflow.ContinueAsNewError
		if errors.As(err, &next) {
			if done != (run+1)*slicesPerRun {
				t.Fatalf("continued as new after %d slices", done)
			}
			input = BackfillInput{}
			if err := converter.GetDefaultDataConverter().FromPayloads(next.Input, &input); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var result activities.BackfillResult
		if err := s.GetWorkflowResult(&result); err != nil {
			t.Fatal(err)
		}
		if run != 2 || done != slices || !result.Done || result.Read != slices*250 {
			t.Errorf("run %d ended after %d slices with %+v, want run 2 after %d with everything counted", run, done, result, slices)
		}
		return
	}
	t.Error("never done")
}

func TestAFullReadThatOnlyAPersonCanMendFails(t *testing.T) {
	t.Parallel()
	f := &fakes{backfill: func(context.Context, activities.BackfillInput) (activities.BackfillResult, error) {
		return activities.BackfillResult{}, temporal.NewNonRetryableApplicationError("401", "a person must act", nil)
	}}
	s := newStageWith(t, f)
	s.ExecuteWorkflow(backfillWorkflow, BackfillInput{Merchant: merchant})
	if err := s.GetWorkflowError(); err == nil {
		t.Error("ended without an error")
	}
}
