package workflows

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
)

// asleep is what an activity returns that asks to be tried again.
func asleep(next time.Duration) error {
	return temporal.NewApplicationErrorWithOptions("nothing to do", "Idle",
		temporal.ApplicationErrorOptions{NextRetryDelay: next, Category: temporal.ApplicationErrorCategoryBenign})
}

// testAttempts is how often the test environment tries an activity that may be tried for ever.
const testAttempts = 10

// engagementStage runs Engagement with passes that the test answers.
func engagementStage(t testing.TB, input EngagementInput, pass func(s *stage, attempt int, in activities.EngageInput) (activities.EngageResult, error),
) (s *stage, scheduled map[string]int) {
	f := &fakes{}
	s = newStageWith(t, f)
	s.SetTestTimeout(time.Minute)
	scheduled = map[string]int{}
	f.engage = func(ctx context.Context, in activities.EngageInput) (activities.EngageResult, error) {
		info := activity.GetInfo(ctx)
		f.mu.Lock()
		scheduled[info.ActivityID]++
		f.mu.Unlock()
		return pass(s, int(info.Attempt), in)
	}
	s.ExecuteWorkflow(engagementWorkflow, input)
	return s, scheduled
}

// continued is the input with which a run continues as new.
func continued(t testing.TB, s *stage) EngagementInput {
	t.Helper()
	var next *workflow.ContinueAsNewError
	if err := s.GetWorkflowError(); !errors.As(err, &next) || next.WorkflowType.Name != engagementWorkflow {
		t.Fatalf("it ended with %v, want it to continue as new", err)
	}
	var input EngagementInput
	if err := converter.GetDefaultDataConverter().FromPayloads(next.Input, &input); err != nil {
		t.Fatal(err)
	}
	return input
}

// Through many days: every run sleeps a day and a bit in one activity, whatever its passes end with, hands on what it was given, and the last
// one ends when the merchant is none any more.
func TestEventsAreCarriedThroughManyRuns(t *testing.T) {
	t.Parallel()
	input := EngagementInput{Merchant: merchant}
	var length time.Duration
	for generation := range generations {
		last := generation == generations-1
		passes := 0
		s, scheduled := engagementStage(t, input, func(s *stage, attempt int, in activities.EngageInput) (activities.EngageResult, error) {
			passes++
			until := in.Until.Sub(s.began)
			if in.Merchant != merchant || until < engagementRun || until >= engagementRun+time.Hour || length != 0 && until != length {
				t.Errorf("generation %d is asked for passes of %q for %s, want a day and less than an hour, in every run the same", generation, in.Merchant, until)
			}
			length = until
			switch {
			case last && attempt == 5:
				return activities.EngageResult{Removed: true}, nil
			case !s.Now().Before(in.Until):
				return activities.EngageResult{}, nil
			case attempt == 2:
				return activities.EngageResult{}, errors.New("the worker is killed")
			case attempt == 4:
				return activities.EngageResult{}, temporal.NewApplicationErrorWithOptions("401: not permitted", activities.RoundFailedType,
					temporal.ApplicationErrorOptions{NextRetryDelay: time.Hour})
			}
			return activities.EngageResult{}, asleep(engagementRun / (testAttempts - 4))
		})
		if len(scheduled) != 1 {
			t.Fatalf("generation %d scheduled %d activities, want one that is tried again", generation, len(scheduled))
		}
		if last {
			if err := s.GetWorkflowError(); err != nil || passes != 5 {
				t.Errorf("the run of a merchant who was removed ended after %d passes with %v", passes, err)
			}
			return
		}
		if passes < 8 || s.passed() < engagementRun || s.passed() > engagementRun+5*time.Hour {
			t.Errorf("generation %d ended after %d passes and %s", generation, passes, s.passed())
		}
		if input = continued(t, s); input != (EngagementInput{Merchant: merchant}) {
			t.Fatalf("generation %d hands on %+v", generation, input)
		}
	}
}

// Merchants do not continue as new together, and an update of this version does not change when.
func TestRunsOfEventsEndAtTheMerchantsOwnTime(t *testing.T) {
	t.Parallel()
	lengths := map[time.Duration]bool{}
	for n := range 20 {
		var length time.Duration
		s, _ := engagementStage(t, EngagementInput{Merchant: fmt.Sprint("store-", n)}, func(s *stage, _ int, in activities.EngageInput) (activities.EngageResult, error) {
			length = in.Until.Sub(s.began)
			return activities.EngageResult{}, nil
		})
		continued(t, s)
		lengths[length] = true
	}
	if len(lengths) < 15 {
		t.Errorf("20 merchants have %d times at which their runs end", len(lengths))
	}
}

// Events are switched by the merchant's own workflow. What is sent to this one keeps it from nothing, in whichever instant it comes.
func TestWhatIsSentToTheWorkflowOfEventsKeepsItFromNothing(t *testing.T) {
	t.Parallel()
	input := EngagementInput{Merchant: merchant}
	for range 5 {
		f := &fakes{}
		s := newStageWith(t, f)
		f.engage = func(_ context.Context, in activities.EngageInput) (activities.EngageResult, error) {
			if s.Now().Before(in.Until) {
				return activities.EngageResult{}, asleep(engagementRun / (testAttempts - 2))
			}
			return activities.EngageResult{}, nil
		}
		for n := range 50 {
			after := time.Duration(n) * 30 * time.Minute
			s.signalAt(after, []string{setSyncsName, pauseName, nudgeName, "unheard of"}[n%4], SyncDelta{"email_events": n%8 == 0})
			s.updateAt(after+time.Minute, fmt.Sprint(n), setSyncsName, SyncDelta{"email_events": false})
		}
		s.ExecuteWorkflow(engagementWorkflow, input)
		for id, a := range s.answers {
			if a.accepted {
				t.Errorf("update %s was accepted by a workflow that switches nothing", id)
			}
		}
		if input = continued(t, s); input.Merchant != merchant {
			t.Fatalf("it hands on %+v", input)
		}
	}
}

// Nothing that Engage returns is an error that is not tried again; one that is nevertheless shows as a failed workflow, which a worker that
// starts begins anew.
func TestEventsThatCannotGoOnFailForAllToSee(t *testing.T) {
	t.Parallel()
	s, _ := engagementStage(t, EngagementInput{Merchant: merchant}, func(*stage, int, activities.EngageInput) (activities.EngageResult, error) {
		return activities.EngageResult{}, temporal.NewNonRetryableApplicationError("no", "Test", nil)
	})
	var next *workflow.ContinueAsNewError
	if err := s.GetWorkflowError(); err == nil || errors.As(err, &next) {
		t.Errorf("it ended with %v", err)
	}
}

func TestEventsEndWhenTheyAreCancelled(t *testing.T) {
	t.Parallel()
	f := &fakes{}
	s := newStageWith(t, f)
	f.engage = func(context.Context, activities.EngageInput) (activities.EngageResult, error) {
		return activities.EngageResult{}, asleep(time.Hour)
	}
	s.at(3*time.Hour, s.CancelWorkflow)
	s.ExecuteWorkflow(engagementWorkflow, EngagementInput{Merchant: merchant})
	if err := s.GetWorkflowError(); !temporal.IsCanceledError(err) {
		t.Errorf("it ended with %v", err)
	}
}
