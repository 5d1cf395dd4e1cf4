package workflows

import (
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/activities"
)

// runPrivacy plays a privacy request of a kind.
func (s *stage) runPrivacy(kind string) (PrivacyRequestResult, error) {
	s.t.Helper()
	s.fakes.kind = kind
	s.ExecuteWorkflow(privacyWorkflow, PrivacyRequestInput{Merchant: merchant, Request: "r"})
	if !s.IsWorkflowCompleted() {
		s.t.Fatal("the workflow did not end")
	}
	if err := s.GetWorkflowError(); err != nil {
		return PrivacyRequestResult{}, err
	}
	var result PrivacyRequestResult
	if err := s.GetWorkflowResult(&result); err != nil {
		s.t.Fatal(err)
	}
	return result, nil
}

func TestEachKindOfPrivacyRequestDoesItsSteps(t *testing.T) {
	t.Parallel()
	for kind, steps := range map[string][]string{
		activities.KindRedact:      {"ErasePerson", "AskListrak", "FinishErasure"},
		activities.KindDataRequest: {"ExportPerson"},
		activities.KindUninstalled: {"UninstallMerchant"},
		activities.KindShopRedact:  {"EraseShop"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			result, err := s.runPrivacy(kind)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "result", result, PrivacyRequestResult{Kind: kind, Outcome: "by " + steps[len(steps)-1]})
			equal(t, "steps", s.fakes.steps, steps)
			if s.passed() != 0 {
				t.Errorf("took %s", s.passed())
			}
		})
	}
}

func TestWhatIsDoneIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	result, err := s.runPrivacy("")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "outcome", result.Outcome, "by BeginPrivacy")
	equal(t, "steps", s.fakes.steps, []string{"BeginPrivacy"})
}

func TestAKindOfALaterVersionFails(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if _, err := s.runPrivacy("something new"); err == nil || len(s.fakes.steps) != 0 {
		t.Errorf("ended with %v after %v", err, s.fakes.steps)
	}
}

func TestARequestThatWasErasedWithItsMerchantEnds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.fakes.step = func(string) (activities.PrivacyState, error) {
		return activities.PrivacyState{}, temporal.NewNonRetryableApplicationError("gone", activities.UnknownPrivacyRequestType, nil)
	}
	result, err := s.runPrivacy(activities.KindRedact)
	if err != nil || result.Outcome == "" {
		t.Errorf("ended with %+v, %v", result, err)
	}
}

// Listrak is asked after a minute, two, four, and so on until every six hours.
func TestListrakIsFollowedUntilItIsDone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var asked []time.Duration
	s.fakes.step = func(name string) (activities.PrivacyState, error) {
		if name == "AskListrak" {
			asked = append(asked, s.passed())
			return activities.PrivacyState{Done: s.passed() > 24*time.Hour, Waiting: len(asked)%2 == 0}, nil
		}
		return activities.PrivacyState{Done: true, Outcome: name}, nil
	}
	result, err := s.runPrivacy(activities.KindRedact)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "outcome", result.Outcome, "FinishErasure")
	equal(t, "the first looks", asked[:4], []time.Duration{0, time.Minute, 3 * time.Minute, 7 * time.Minute})
	last := asked[len(asked)-1] - asked[len(asked)-2]
	if last != 6*time.Hour || len(asked) > 15 {
		t.Errorf("%d looks, the last two %s apart", len(asked), last)
	}
}

func TestAfterThirtyDaysARequestIsOverdue(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.fakes.step = func(string) (activities.PrivacyState, error) { return activities.PrivacyState{Waiting: true}, nil }
	_, err := s.runPrivacy(activities.KindRedact)
	if err == nil || s.passed() > 30*24*time.Hour || s.passed() < 29*24*time.Hour {
		t.Errorf("ended with %v after %s", err, s.passed())
	}
	if n := len(s.fakes.steps); n > 150 {
		t.Errorf("%d steps would fill a history", n)
	}
	if slices.Contains(s.fakes.steps, "FinishErasure") {
		t.Error("it is called done")
	}
}

func TestAPersonWhoHasActedLetsItGoOnAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	acted := false
	s.fakes.step = func(name string) (activities.PrivacyState, error) {
		return activities.PrivacyState{Done: name != "AskListrak" || acted, Waiting: true}, nil
	}
	s.at(20*time.Hour, func() { acted = true; s.SignalWorkflow(goOnName, nil) })
	if _, err := s.runPrivacy(activities.KindRedact); err != nil {
		t.Fatal(err)
	}
	if s.passed() != 20*time.Hour {
		t.Errorf("ended after %s, want 20h", s.passed())
	}
}

// The test environment gives an activity as long as it gives a workflow, so that the weeks cannot be shown.
func TestAStepIsTriedForAsLongAsItTakes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.fakes.step = func(name string) (activities.PrivacyState, error) {
		if s.passed() < 4*time.Minute {
			return activities.PrivacyState{}, temporal.NewApplicationError("the ledger is away", activities.RoundFailedType)
		}
		return activities.PrivacyState{Done: true, Outcome: "written"}, nil
	}
	result, err := s.runPrivacy(activities.KindDataRequest)
	if err != nil || result.Outcome != "written" {
		t.Errorf("ended with %+v, %v", result, err)
	}
}

func TestACancelledPrivacyRequestEnds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.fakes.step = func(string) (activities.PrivacyState, error) { return activities.PrivacyState{}, nil }
	s.at(time.Hour, s.CancelWorkflow)
	if _, err := s.runPrivacy(activities.KindRedact); !temporal.IsCanceledError(err) {
		t.Errorf("ended with %v", err)
	}
}
