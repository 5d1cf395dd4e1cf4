package workflows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
	"pgregory.net/rapid"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
)

// generations is how many runs of one merchant follow each other in a check.
const generations = 22

// The model: whatever is sent to a merchant's workflow is committed once and in the order in which it was sent, through any number
// of runs, whenever it arrives: while a round ends, while windows open, while an earlier request is under way, while the run
// drains.
func TestNothingIsLostWhenTheWorkflowContinuesAsNew(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f := &fakes{ledger: smallLedger{state: activities.StateRunning, generation: 1, on: map[consent.Sync]bool{consent.EmailToListrak: true}}}
		input := MerchantSyncInput{Merchant: merchant}
		var sent []string
		windows, customers := 0, 0
		for generation := range generations {
			s := newStageWith(t, f)
			f.rounds, f.asleep, f.draining = nil, nil, nil // ids of activities begin anew with each run
			slowly(s, rapid.IntRange(0, 900).Draw(rt, "milliseconds that a change takes"))
			opened := map[string]bool{}
			s.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
				opened[info.WorkflowExecution.ID] = true
			})
			var updates []*answer
			for i := range rapid.IntRange(0, 8).Draw(rt, "requests") {
				// Every instant is taken once, since what comes in one workflow task has no order.
				after := time.Duration(rapid.IntRange(0, 250).Draw(rt, "after")*8+i) * time.Millisecond
				r := drawRequest(rt)
				bySignal := rapid.Bool().Draw(rt, "by signal")
				a := &answer{stage: s}
				s.at(after, func() {
					switch {
					case bySignal && r.name == setSyncsName:
						s.SignalWorkflow(r.name, r.delta)
					case bySignal:
						s.SignalWorkflow(r.name, nil)
					case r.name == setSyncsName:
						updates = append(updates, a)
						s.UpdateWorkflow(r.name, fmt.Sprint(generation, "/", i), a, r.delta)
					default:
						updates = append(updates, a)
						s.UpdateWorkflow(r.name, fmt.Sprint(generation, "/", i), a)
					}
				})
			}
			for range rapid.IntRange(0, 2).Draw(rt, "rounds that end") {
				n := rapid.SampledFrom([]int{0, 1, 60}).Draw(rt, "windows")
				after := time.Duration(rapid.IntRange(0, 2000).Draw(rt, "round ends after")) * time.Millisecond
				s.endRoundAt(after, func() activities.ReconcileResult {
					customers += n
					return activities.ReconcileResult{Switches: s.switches(), NextRound: s.Now(), Windows: windowsOf(s.Now(), customers-n, n)}
				})
			}
			for range rapid.IntRange(0, 2).Draw(rt, "nudges") {
				s.signalAt(time.Duration(rapid.IntRange(0, 2200).Draw(rt, "nudge after"))*time.Millisecond, nudgeName, nil)
			}
			for n := range rapid.IntRange(0, 2).Draw(rt, "drains that end") {
				more := rapid.Bool().Draw(rt, "more")
				customers += n
				s.endDrainAt(time.Duration(rapid.IntRange(0, 2000).Draw(rt, "drain ends after"))*time.Millisecond,
					activities.DrainResult{More: more, Windows: windowsOf(s.Now(), customers-n, n)}, nil)
			}
			// A drain ends by itself sooner or later, and the run does not end before it.
			f.brief = false
			s.at(2500*time.Millisecond, func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.brief = true
			})
			s.endDrainAt(2501*time.Millisecond, activities.DrainResult{}, nil)
			suggested := time.Duration(rapid.IntRange(0, 2000).Draw(rt, "suggested after")) * time.Millisecond
			s.at(suggested, func() { s.SetContinueAsNewSuggested(true) })
			// The run notices the suggestion when something happens; at the latest then.
			s.at(2100*time.Millisecond, func() {
				s.SignalWorkflow(resumeName, nil)
			})
			s.ExecuteWorkflow(merchantWorkflow, input)

			var next *workflow.ContinueAsNewError
			if err := s.GetWorkflowError(); !errors.As(err, &next) || next.WorkflowType.Name != merchantWorkflow {
				rt.Fatalf("generation %d ended with %v, want it to continue as new", generation, err)
			}
			input = MerchantSyncInput{}
			if err := converter.GetDefaultDataConverter().FromPayloads(next.Input, &input); err != nil {
				rt.Fatal(err)
			}
			windows += len(opened)
			sent = append(sent, s.delivered...)
			for i, a := range updates {
				if a.accepted && (!a.completed || a.err != nil) {
					rt.Fatalf("generation %d, update %d: accepted %t, completed %t, %v", generation, i, a.accepted, a.completed, a.err)
				}
			}
			if len(s.unhandled) > 0 {
				rt.Fatalf("generation %d left signals behind: %v", generation, s.unhandled)
			}
			if applied := s.applied(); !slices.Equal(applied, sent) {
				rt.Fatalf("generation %d: applied %v, delivered %v", generation, applied, sent)
			}
			if f.nudged && !input.State.Nudged {
				rt.Fatalf("generation %d has lost a nudge", generation)
			}
			known, want := input.State.Status, s.switches()
			if !input.State.Known || known.Generation != want.Generation || known.State != want.State || !slices.Equal(known.On, want.On) ||
				known.Runs != generation+1 || known.WindowsOpened != windows || input.Merchant != merchant {
				rt.Fatalf("generation %d hands on %+v, want what the ledger holds, %+v, with %d windows", generation, input, want, windows)
			}
		}
	})
}

// slowly lets a change of the switches take some time in which other things happen.
func slowly(s *stage, milliseconds int) {
	if milliseconds == 0 {
		s.fakes.setSyncs = nil
		return
	}
	s.fakes.setSyncs = func(ctx context.Context, in activities.SetSyncsInput) (activities.SwitchesResult, error) {
		token := activity.GetInfo(ctx).TaskToken
		s.RegisterDelayedCallback(func() {
			result, err := s.fakes.apply(&request{name: setSyncsName, delta: in.Delta})
			if err := s.CompleteActivity(token, result, err); err != nil {
				s.t.Error("end a change:", err)
			}
		}, time.Duration(milliseconds)*time.Millisecond)
		return activities.SwitchesResult{}, activity.ErrResultPending
	}
}

func drawRequest(rt *rapid.T) *request {
	name := rapid.SampledFrom([]string{setSyncsName, setSyncsName, pauseName, resumeName}).Draw(rt, "request")
	r := &request{name: name}
	if name == setSyncsName {
		r.delta = SyncDelta{
			rapid.SampledFrom(consent.AllSyncs()).Draw(rt, "sync"): rapid.Bool().Draw(rt, "on"),
		}
	}
	return r
}
