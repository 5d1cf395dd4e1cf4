package workflows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
)

func status(t *testing.T, s *stage) MerchantStatus {
	t.Helper()
	answer, err := s.QueryWorkflow(statusName)
	if err != nil {
		t.Fatal(err)
	}
	var status MerchantStatus
	if err := answer.Get(&status); err != nil {
		t.Fatal(err)
	}
	return status
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestTheFirstStartReadsTheSwitches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		state  string
		on     []consent.Sync
		rounds int
	}{
		{"one sync on", activities.StateRunning, []consent.Sync{consent.EmailToListrak}, 1},
		{"nothing on", activities.StateRunning, []consent.Sync{}, 0},
		{"paused", activities.StatePaused, []consent.Sync{consent.EmailToListrak}, 0},
		{"broken: the round notices the mending", activities.StateBroken, []consent.Sync{consent.EmailToListrak}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, c.on...)
			s.fakes.ledger.state = c.state
			var seen MerchantStatus
			s.at(time.Minute, func() { seen = status(t, s) })
			s.runFor(time.Hour)
			if got := len(s.fakes.roundsSeen()); got != c.rounds {
				t.Errorf("%d rounds were scheduled, want %d", got, c.rounds)
			}
			equal(t, "status", seen, MerchantStatus{Merchant: merchant, State: c.state, Generation: 1, On: c.on})
			equal(t, "states shown", s.shown, []string{c.state})
		})
	}
}

func TestSetSyncsBySignal(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.signalAt(time.Minute, setSyncsName, SyncDelta{consent.EmailToListrak: true})
	s.runFor(time.Hour)
	equal(t, "applied", s.applied(), []string{"switch email_to_listrak on"})
	if rounds := s.fakes.roundsSeen(); len(rounds) != 1 || !rounds[0].NotBefore.IsZero() {
		t.Errorf("rounds %+v, want one that begins at once", rounds)
	}
	equal(t, "syncs shown", s.syncs, [][]string{nil, {"email_to_listrak"}})
}

func TestSetSyncsByUpdateIsAnsweredWhenItIsInForce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const takes = 40 * time.Second
	s.fakes.setSyncs = func(ctx context.Context, in activities.SetSyncsInput) (activities.SwitchesResult, error) {
		token := activity.GetInfo(ctx).TaskToken
		s.RegisterDelayedCallback(func() {
			result, err := s.fakes.apply(&request{name: setSyncsName, delta: in.Delta})
			if err := s.CompleteActivity(token, result, err); err != nil {
				t.Error(err)
			}
		}, takes)
		return activities.SwitchesResult{}, activity.ErrResultPending
	}
	a := s.updateAt(time.Minute, "1", setSyncsName, SyncDelta{consent.EmailToShopify: true})
	var before bool
	s.at(time.Minute+takes-time.Millisecond, func() { before = a.completed })
	s.runFor(time.Hour)
	if before || !a.completed || a.err != nil || a.at < time.Minute+takes {
		t.Errorf("answered early %t, completed %t after %s with %v, want an answer after %s", before, a.completed, a.at, a.err, time.Minute+takes)
	}
	equal(t, "answer", a.status.On, []consent.Sync{consent.EmailToShopify})
}

func TestTheValidatorRefusesWhatNamesNoSync(t *testing.T) {
	t.Parallel()
	for _, delta := range []SyncDelta{nil, {}, {"email_to_nowhere": true}, {consent.EmailToListrak: true, "": false}} {
		s := newStage(t)
		a := s.updateAt(time.Minute, "1", setSyncsName, delta)
		s.runFor(time.Hour)
		if !a.rejected || a.accepted || a.err == nil || !strings.Contains(a.err.Error(), "email_to_listrak") {
			t.Errorf("%v: rejected %t with %v, want a refusal that names the syncs", delta, a.rejected, a.err)
		}
		equal(t, "applied", s.applied(), []string(nil))
	}
}

// A bad signal is dropped, no part of it gets into the next, and the others are kept.
func TestMalformedSignalsAreDroppedAndTheOthersKept(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, bad := range []any{
		"on", 42, nil, []string{"email_to_listrak"}, map[string]any{}, SyncDelta{"email_to_nowhere": true},
		map[string]any{"email_to_listrak": true, "email_to_shopify": "yes"}, map[string]any{"email_to_listrak": nil, "x": 1},
		converter.NewRawValue(nil),
	} {
		s.signalAt(time.Minute, setSyncsName, bad)
	}
	s.signalAt(time.Minute, setSyncsName, SyncDelta{consent.EmailToShopify: true})
	s.signalAt(time.Minute, setSyncsName, "off")
	s.signalAt(time.Minute, pauseName, "a pause with something in it is a pause")
	s.runFor(time.Hour)
	equal(t, "applied", s.applied(), []string{"switch email_to_shopify on", "pause"})
}

func TestAChangeEndsTheRoundAndTheNextBeginsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, consent.EmailToListrak)
	next := s.Now().Add(time.Hour)
	s.endRoundAt(time.Minute, func() activities.ReconcileResult {
		return activities.ReconcileResult{Switches: s.switches(), NextRound: next}
	})
	s.updateAt(2*time.Minute, "1", setSyncsName, SyncDelta{consent.EmailToShopify: true})
	s.runFor(10 * time.Minute)
	rounds := s.fakes.roundsSeen()
	if len(rounds) != 3 || !rounds[0].NotBefore.IsZero() || !rounds[1].NotBefore.Equal(next) || !rounds[2].NotBefore.IsZero() {
		t.Errorf("rounds %+v, want one at once, one not before %s, and one at once after the change", rounds, next)
	}
}

// What a round read before a change must not undo what the workflow knows since.
func TestARoundThatReadOlderSwitchesIsNotBelieved(t *testing.T) {
	t.Parallel()
	s := newStage(t, consent.EmailToListrak)
	old := s.switches()
	s.updateAt(time.Minute, "1", setSyncsName, SyncDelta{consent.EmailToShopify: true})
	s.endRoundAt(2*time.Minute, func() activities.ReconcileResult {
		return activities.ReconcileResult{Switches: old, NextRound: s.Now()}
	})
	var seen MerchantStatus
	s.at(3*time.Minute, func() { seen = status(t, s) })
	s.endRoundAt(4*time.Minute, func() activities.ReconcileResult {
		return activities.ReconcileResult{NextRound: s.Now()} // the ledger could not be read after the round
	})
	s.runFor(10 * time.Minute)
	equal(t, "on", seen.On, []consent.Sync{consent.EmailToListrak, consent.EmailToShopify})
	if got := len(s.fakes.roundsSeen()); got != 4 {
		t.Errorf("%d rounds, want 4: an unread state must not stop the merchant", got)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := newStage(t, consent.EmailToListrak)
	paused := s.updateAt(time.Minute, "1", pauseName)
	var during int
	s.at(30*time.Minute, func() { during = len(s.fakes.roundsSeen()) })
	s.signalAt(31*time.Minute, resumeName, nil)
	s.runFor(time.Hour)
	equal(t, "answer", paused.status.State, activities.StatePaused)
	if after := len(s.fakes.roundsSeen()); during != 1 || after != 2 {
		t.Errorf("%d rounds before resume and %d after, want 1 and 2", during, after)
	}
	equal(t, "states shown", s.shown, []string{activities.StateRunning, activities.StatePaused, activities.StateRunning})
}

func TestABrokenMerchantIsShownAndHeals(t *testing.T) {
	t.Parallel()
	s := newStage(t, consent.EmailToListrak)
	set := func(state, reason string) func() activities.ReconcileResult {
		return func() activities.ReconcileResult {
			s.fakes.mu.Lock()
			s.fakes.ledger.state, s.fakes.ledger.reason = state, reason
			s.fakes.ledger.generation++
			s.fakes.mu.Unlock()
			return activities.ReconcileResult{Switches: s.switches(), NextRound: s.Now()}
		}
	}
	s.endRoundAt(time.Minute, set(activities.StateBroken, "read contacts: a person must act (401)"))
	var broken MerchantStatus
	s.at(2*time.Minute, func() { broken = status(t, s) })
	s.endRoundAt(3*time.Minute, set(activities.StateRunning, ""))
	s.runFor(10 * time.Minute)
	equal(t, "reason", broken.Reason, "read contacts: a person must act (401)")
	equal(t, "states shown", s.shown, []string{activities.StateRunning, activities.StateBroken, activities.StateRunning})
	var states []string
	for _, r := range s.fakes.roundsSeen() {
		states = append(states, r.State)
	}
	equal(t, "states that the rounds compare with", states, []string{activities.StateRunning, activities.StateBroken, activities.StateRunning})
}

// A ledger that was restored from a backup begins again with lower generations; its answers must still be believed.
func TestARestoredLedgerIsBelieved(t *testing.T) {
	t.Parallel()
	f := &fakes{ledger: smallLedger{state: activities.StateRunning, on: map[consent.Sync]bool{consent.EmailToShopify: true}, generation: 40}}
	s := newStageWith(t, f)
	s.at(time.Minute, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ledger.generation, f.ledger.on = 3, map[consent.Sync]bool{}
	})
	enabled := s.updateAt(2*time.Minute, "enable", setSyncsName, SyncDelta{consent.EmailToListrak: true})
	s.runFor(time.Hour)
	equal(t, "syncs on", enabled.status.On, []consent.Sync{consent.EmailToListrak})
	equal(t, "generation", enabled.status.Generation, int64(4))
}

func windowsOf(now time.Time, from, n int) []activities.Window {
	windows := make([]activities.Window, n)
	for i := range windows {
		windows[i] = activities.Window{
			Customer: fmt.Sprint(from + i), Consent: now, Until: now.Add(5 * time.Minute), LastLookUp: now.Add(6 * time.Minute),
		}
	}
	return windows
}

func TestWindowsAreOpenedInBatchesAndCounted(t *testing.T) {
	t.Parallel()
	s := newStage(t, consent.EmailToListrak)
	// The children start with the workflow task that schedules them: what starts together was one batch.
	started := map[string]int{}
	s.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
		started[info.WorkflowExecution.ID]++
	})
	consentAt := s.Now()
	s.endRoundAt(time.Second, func() activities.ReconcileResult {
		return activities.ReconcileResult{Switches: s.switches(), NextRound: s.Now(), Windows: windowsOf(consentAt, 0, 120)}
	})
	// Twenty of these run already: an activity that was retried found them again.
	s.endRoundAt(time.Minute, func() activities.ReconcileResult {
		return activities.ReconcileResult{Switches: s.switches(), NextRound: s.Now(), Windows: windowsOf(consentAt, 100, 30)}
	})
	var seen MerchantStatus
	s.at(2*time.Minute, func() { seen = status(t, s) })
	s.runFor(time.Hour)
	if len(started) != 130 || seen.WindowsOpened != 130 {
		t.Errorf("%d windows began and %d were counted, want 130", len(started), seen.WindowsOpened)
	}
	if got := len(s.fakes.settled); got != 130 {
		t.Errorf("%d windows were settled, want 130 at their own time", got)
	}
	if rounds := s.fakes.roundsSeen(); len(rounds) != 3 {
		t.Errorf("%d rounds, want 3", len(rounds))
	}
}

func TestAnUnknownMerchantEndsTheWorkflow(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.fakes.ledger.unknown = true
	s.ExecuteWorkflow(merchantWorkflow, MerchantSyncInput{Merchant: merchant})
	if err := s.GetWorkflowError(); err != nil || !s.IsWorkflowCompleted() {
		t.Errorf("ended with %v, want a quiet end", err)
	}
	equal(t, "states shown", s.shown, []string{activities.StateRemoved})
}

func TestARemovedMerchantEndsTheWorkflowAndAnswersWhoeverWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		on   []consent.Sync
		end  func(*stage)
	}{
		{"by its own round", []consent.Sync{consent.EmailToListrak}, func(s *stage) {
			s.endRoundAt(2*time.Minute, func() activities.ReconcileResult {
				return activities.ReconcileResult{Switches: activities.SwitchesResult{State: activities.StateRemoved, Generation: 9}, NextRound: s.Now()}
			})
		}},
		{"by a request, with a round", []consent.Sync{consent.EmailToListrak}, func(s *stage) { s.signalAt(2*time.Minute, resumeName, nil) }},
		{"by a request, with nothing on", nil, func(s *stage) { s.signalAt(2*time.Minute, resumeName, nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, c.on...)
			s.at(time.Minute, func() { s.fakes.mu.Lock(); s.fakes.ledger.unknown = true; s.fakes.mu.Unlock() })
			c.end(s)
			first := s.updateAt(2*time.Minute, "1", setSyncsName, SyncDelta{consent.EmailToListrak: true})
			second := s.updateAt(2*time.Minute, "2", pauseName)
			s.ExecuteWorkflow(merchantWorkflow, MerchantSyncInput{Merchant: merchant})
			if err := s.GetWorkflowError(); err != nil {
				t.Fatalf("ended with %v, want a quiet end", err)
			}
			if s.passed() > 3*time.Minute {
				t.Errorf("ended only after %s", s.passed())
			}
			for i, a := range []*answer{first, second} {
				var application *temporal.ApplicationError
				if a.accepted && (!a.completed || !errors.As(a.err, &application) || application.Type() != activities.UnknownMerchantType) {
					t.Errorf("update %d: completed %t with %v, want an answer that the merchant is unknown", i+1, a.completed, a.err)
				}
			}
			if last := s.shown[len(s.shown)-1]; last != activities.StateRemoved {
				t.Errorf("last shown as %q", last)
			}
		})
	}
}

func TestTheFullReadIsStartedWhenItIsNeeded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.fakes.ledger.backfillNeeded = true
	var slices int
	s.fakes.backfill = func(context.Context, activities.BackfillInput) (activities.BackfillResult, error) {
		slices++
		// On a busy machine the second change asks only when the first full read has ended, and a second one begins: it ends too.
		return activities.BackfillResult{Done: slices%4 == 0, Read: 10, Step: "Shopify's customers"}, nil
	}
	a := s.updateAt(time.Minute, "1", setSyncsName, SyncDelta{consent.EmailToShopify: true})
	b := s.updateAt(time.Minute, "2", setSyncsName, SyncDelta{consent.EmailToListrak: true})
	s.at(2*time.Minute, func() { s.fakes.mu.Lock(); s.fakes.ledger.backfillNeeded = false; s.fakes.mu.Unlock() })
	s.runFor(time.Hour)
	if slices < 4 || !a.completed || a.err != nil || !b.completed || b.err != nil {
		t.Errorf("%d slices were read, answers %v and %v; want a full read and two answers", slices, a.err, b.err)
	}
}

func TestAMendedMerchantReadsFullyIfItNeverDid(t *testing.T) {
	t.Parallel()
	s := newStage(t, consent.EmailToShopify)
	s.fakes.ledger.state = activities.StateBroken
	var read bool
	s.fakes.backfill = func(context.Context, activities.BackfillInput) (activities.BackfillResult, error) {
		read = true
		return activities.BackfillResult{Done: true}, nil
	}
	s.endRoundAt(time.Minute, func() activities.ReconcileResult {
		result := s.switches()
		result.State, result.Generation, result.BackfillNeeded = activities.StateRunning, 2, true
		return activities.ReconcileResult{Switches: result, NextRound: s.Now()}
	})
	s.runFor(time.Hour)
	if !read {
		t.Error("the merchant never read both sides")
	}
}

// Requests of several kinds are served in the order in which they came, also when they pile up behind a slow one.
func TestRequestsOfAllKindsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.fakes.setSyncs = func(ctx context.Context, in activities.SetSyncsInput) (activities.SwitchesResult, error) {
		token := activity.GetInfo(ctx).TaskToken
		s.RegisterDelayedCallback(func() {
			result, err := s.fakes.apply(&request{name: setSyncsName, delta: in.Delta})
			_ = s.CompleteActivity(token, result, err)
		}, time.Minute)
		return activities.SwitchesResult{}, activity.ErrResultPending
	}
	s.signalAt(1*time.Second, setSyncsName, SyncDelta{consent.EmailToListrak: true})
	s.signalAt(2*time.Second, pauseName, nil)
	s.signalAt(3*time.Second, resumeName, nil)
	s.updateAt(4*time.Second, "1", setSyncsName, SyncDelta{consent.EmailToListrak: false})
	s.signalAt(5*time.Second, setSyncsName, SyncDelta{consent.EmailToListrak: true})
	s.updateAt(6*time.Second, "2", pauseName)
	s.signalAt(7*time.Second, resumeName, nil)
	s.runFor(time.Hour)
	equal(t, "applied", s.applied(), []string{
		"switch email_to_listrak on", "pause", "resume", "switch email_to_listrak off", "switch email_to_listrak on", "pause", "resume",
	})
}

// Temporal does not tell in which order signals of different names came in one workflow task: the merchant stays paused rather
// than not. Those of one name keep their order.
func TestOfTheSignalsOfOneMomentPauseIsLast(t *testing.T) {
	t.Parallel()
	s := newStage(t, consent.EmailToListrak)
	s.at(time.Minute, func() {
		s.SignalWorkflowSkippingWorkflowTask(pauseName, nil)
		s.SignalWorkflowSkippingWorkflowTask(setSyncsName, SyncDelta{consent.EmailToShopify: true})
		s.SignalWorkflowSkippingWorkflowTask(setSyncsName, SyncDelta{consent.EmailToShopify: false})
		s.SignalWorkflow(resumeName, nil)
	})
	s.runFor(time.Hour)
	equal(t, "applied", s.applied(), []string{"switch email_to_shopify on", "switch email_to_shopify off", "resume", "pause"})
}
