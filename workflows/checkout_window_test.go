package workflows

import (
	"context"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/activities"
)

// windowStage plays a window whose hold is open until its last look-up, as the ledger would tell.
func windowStage(t *testing.T) (*stage, activities.Window) {
	s := newStage(t)
	return s, windowsOf(s.Now(), 7, 1)[0]
}

func (s *stage) runWindow(w activities.Window) CheckoutWindowResult {
	s.t.Helper()
	s.ExecuteWorkflow(windowWorkflow, CheckoutWindowInput{Merchant: merchant, Window: w})
	if err := s.GetWorkflowError(); !s.IsWorkflowCompleted() || err != nil {
		s.t.Fatalf("the window ended with %v", err)
	}
	var result CheckoutWindowResult
	if err := s.GetWorkflowResult(&result); err != nil {
		s.t.Fatal(err)
	}
	return result
}

func TestAWindowLooksForTheLastTimeAtItsEnd(t *testing.T) {
	t.Parallel()
	s, w := windowStage(t)
	result := s.runWindow(w)
	if got := s.passed(); got != 6*time.Minute {
		t.Errorf("settled after %s, want 6m0s", got)
	}
	equal(t, "settled", s.fakes.settled, []activities.SettleWindowInput{{Merchant: merchant, Window: w}})
	equal(t, "outcome", result.Outcome, "settled")
}

func TestAWindowWhoseEndIsPastSettlesAtOnce(t *testing.T) {
	t.Parallel()
	s, w := windowStage(t)
	w.LastLookUp = s.Now().Add(-time.Hour)
	s.runWindow(w)
	if s.passed() != 0 {
		t.Errorf("settled after %s", s.passed())
	}
}

func TestAnOrderWakesAWindowAtOnce(t *testing.T) {
	t.Parallel()
	s, w := windowStage(t)
	order := OrderSignal{Order: "1001", CreatedAt: s.Now().Add(50 * time.Second)}
	s.signalAt(time.Minute, orderName, order)
	s.runWindow(w)
	if s.passed() != time.Minute {
		t.Errorf("settled after %s, want 1m0s", s.passed())
	}
	if got := s.fakes.settled; len(got) != 1 || got[0].Order != "1001" || !got[0].OrderedAt.Equal(order.CreatedAt) {
		t.Errorf("settled with %+v", got)
	}
}

func TestAChangedHoldWakesAWindow(t *testing.T) {
	t.Parallel()
	s, w := windowStage(t)
	s.fakes.settle = func(context.Context, activities.SettleWindowInput) (activities.SettleWindowResult, error) {
		return activities.SettleWindowResult{Outcome: "the hold has ended"}, nil
	}
	s.signalAt(time.Minute, holdChangedName, nil)
	equal(t, "outcome", s.runWindow(w).Outcome, "the hold has ended")
	if s.passed() != time.Minute {
		t.Errorf("ended after %s, want 1m0s", s.passed())
	}
}

// A newer consent restarts the window; that also holds when the news comes in the moment in which the old timer fires.
func TestARestartedWindowWaitsForItsLaterEnd(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Duration{time.Minute, 6*time.Minute - time.Nanosecond, 6 * time.Minute} {
		s, w := windowStage(t)
		began := s.Now()
		later := windowsOf(s.Now().Add(4*time.Minute), 7, 1)[0]
		s.fakes.settle = func(context.Context, activities.SettleWindowInput) (activities.SettleWindowResult, error) {
			if s.Now().Before(began.Add(10 * time.Minute)) {
				return activities.SettleWindowResult{Open: &later}, nil
			}
			return activities.SettleWindowResult{Outcome: "settled"}, nil
		}
		s.signalAt(at, holdChangedName, nil)
		s.runWindow(w)
		if s.passed() != 10*time.Minute {
			t.Errorf("news after %s: ended after %s, want 10m0s", at, s.passed())
		}
		last := s.fakes.settled[len(s.fakes.settled)-1]
		if n := len(s.fakes.settled); n > 3 || !last.Window.Consent.Equal(later.Consent) {
			t.Errorf("news after %s: %d settles, the last %+v", at, n, last)
		}
	}
}

// When the clock of the ledger's rows is behind Temporal's, a window is asked again after a pause, not in a hot loop.
func TestAWindowThatIsNotYetOverIsAskedAgainAfterAPause(t *testing.T) {
	t.Parallel()
	s, w := windowStage(t)
	over := s.Now().Add(6*time.Minute + 7*time.Second)
	s.fakes.settle = func(context.Context, activities.SettleWindowInput) (activities.SettleWindowResult, error) {
		if s.Now().Before(over) {
			return activities.SettleWindowResult{Open: &w}, nil
		}
		return activities.SettleWindowResult{Outcome: "settled"}, nil
	}
	s.runWindow(w)
	if n := len(s.fakes.settled); n > 5 || s.passed() > 6*time.Minute+10*time.Second {
		t.Errorf("%d settles until %s", n, s.passed())
	}
}

func TestAWindowThatCannotBeSettledIsLeftToTheRounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"a failure that may pass", temporal.NewApplicationError("read contact: retry later", activities.RoundFailedType), 4},
		{"a failure that a person must mend", temporal.NewNonRetryableApplicationError("401", "a person must act", nil), 1},
	} {
		s, w := windowStage(t)
		s.fakes.settle = func(context.Context, activities.SettleWindowInput) (activities.SettleWindowResult, error) {
			return activities.SettleWindowResult{}, c.err
		}
		equal(t, c.name, s.runWindow(w).Outcome, "left to the rounds")
		equal(t, c.name+": tries", len(s.fakes.settled), c.want)
	}
}

func TestSeveralSignalsSettleOneAfterTheOther(t *testing.T) {
	t.Parallel()
	s, w := windowStage(t)
	atWork, most := 0, 0
	s.fakes.settle = func(ctx context.Context, in activities.SettleWindowInput) (activities.SettleWindowResult, error) {
		atWork++
		most = max(most, atWork)
		token := activity.GetInfo(ctx).TaskToken
		s.RegisterDelayedCallback(func() {
			atWork--
			result := activities.SettleWindowResult{Open: &w}
			if in.Order == "3" {
				result = activities.SettleWindowResult{Outcome: "subscribed through checkout"}
			}
			if err := s.CompleteActivity(token, result, nil); err != nil {
				t.Error(err)
			}
		}, 10*time.Second)
		return activities.SettleWindowResult{}, activity.ErrResultPending
	}
	for _, order := range []string{"1", "2", "3"} {
		s.signalAt(time.Minute, orderName, OrderSignal{Order: order, CreatedAt: s.Now()})
	}
	s.signalAt(time.Minute, holdChangedName, nil)
	equal(t, "outcome", s.runWindow(w).Outcome, "subscribed through checkout")
	if most != 1 {
		t.Errorf("%d settles at once", most)
	}
	var orders []string
	for _, in := range s.fakes.settled {
		orders = append(orders, in.Order)
	}
	equal(t, "orders", orders, []string{"1", "2", "3"})
}

// A signal that cannot be read must not keep the window from its end.
func TestAMalformedOrderIsDropped(t *testing.T) {
	t.Parallel()
	s, w := windowStage(t)
	s.signalAt(time.Minute, orderName, "not an order")
	s.signalAt(time.Minute, orderName, map[string]any{"order": "9", "createdAt": 7})
	s.runWindow(w)
	if s.passed() != 6*time.Minute {
		t.Errorf("ended after %s, want 6m0s", s.passed())
	}
	equal(t, "settled", s.fakes.settled, []activities.SettleWindowInput{{Merchant: merchant, Window: w}})
}

func TestACancelledWindowEnds(t *testing.T) {
	t.Parallel()
	for _, settling := range []bool{false, true} {
		s, w := windowStage(t)
		s.fakes.settle = func(context.Context, activities.SettleWindowInput) (activities.SettleWindowResult, error) {
			return activities.SettleWindowResult{}, activity.ErrResultPending
		}
		if settling {
			s.signalAt(30*time.Second, orderName, OrderSignal{Order: "1", CreatedAt: s.Now()})
		}
		s.at(time.Minute, s.CancelWorkflow)
		s.ExecuteWorkflow(windowWorkflow, CheckoutWindowInput{Merchant: merchant, Window: w})
		if err := s.GetWorkflowError(); !temporal.IsCanceledError(err) {
			t.Errorf("settling %t: ended with %v, want a cancellation", settling, err)
		}
	}
}
