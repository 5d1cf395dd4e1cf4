package workflows

import (
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
)

func TestANudgeStartsADrain(t *testing.T) {
	t.Parallel()
	s := newStage(t, consent.EmailToListrak)
	opened := 0
	s.SetOnChildWorkflowStartedListener(func(*workflow.Info, workflow.Context, converter.EncodedValues) { opened++ })
	s.signalAt(time.Minute, nudgeName, nil)
	s.signalAt(2*time.Minute, nudgeName, "what a nudge holds does not matter")
	drains := map[time.Duration]int{}
	for _, at := range []time.Duration{time.Minute - 1, time.Minute + time.Second, 2*time.Minute + time.Second, 4*time.Minute + time.Second, time.Hour - 1} {
		s.at(at, func() { drains[at] = s.fakes.drains })
	}
	// The second nudge came while the first drain was at work, and the second one says that there is more.
	s.endDrainAt(3*time.Minute, activities.DrainResult{Windows: windowsOf(s.Now(), 0, 2)}, nil)
	s.endDrainAt(4*time.Minute, activities.DrainResult{More: true}, nil)
	s.endDrainAt(5*time.Minute, activities.DrainResult{}, nil)
	s.runFor(time.Hour)
	equal(t, "drains by then", drains, map[time.Duration]int{
		time.Minute - 1: 0, time.Minute + time.Second: 1, 2*time.Minute + time.Second: 1, 4*time.Minute + time.Second: 3, time.Hour - 1: 3,
	})
	equal(t, "windows", opened, 2)
	equal(t, "rounds", len(s.fakes.roundsSeen()), 1)
}

func TestADrainThatFailsIsLeftToTheRounds(t *testing.T) {
	t.Parallel()
	s := newStage(t, consent.EmailToListrak)
	s.signalAt(time.Minute, nudgeName, nil)
	s.endDrainAt(2*time.Minute, activities.DrainResult{}, errors.New("Shopify is away"))
	failed := 0
	s.at(3*time.Minute, func() { failed = s.fakes.drains })
	s.signalAt(4*time.Minute, nudgeName, nil)
	s.runFor(time.Hour)
	equal(t, "drains until the next nudge", failed, 1)
	equal(t, "drains", s.fakes.drains, 2)
	equal(t, "rounds", len(s.fakes.roundsSeen()), 1)
}

func TestNoDrainWhileNothingMayRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		state string
		on    []consent.Sync
	}{
		{"nothing on", activities.StateRunning, nil},
		{"paused", activities.StatePaused, []consent.Sync{consent.EmailToListrak}},
		{"broken", activities.StateBroken, []consent.Sync{consent.EmailToListrak}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, c.on...)
			s.fakes.ledger.state = c.state
			s.signalAt(time.Minute, nudgeName, nil)
			s.runFor(time.Hour)
			equal(t, "drains", s.fakes.drains, 0)
			s = newStageWith(t, s.fakes)
			s.fakes.ledger.on[consent.EmailToListrak], s.fakes.ledger.state = true, activities.StatePaused
			s.signalAt(time.Minute, nudgeName, nil)
			s.signalAt(2*time.Minute, resumeName, nil)
			s.runFor(time.Hour)
			equal(t, "drains after somebody resumed", s.fakes.drains, 1)
		})
	}
}

// Paused means no calls, so its answer waits for the drain.
func TestAPauseWaitsForTheDrain(t *testing.T) {
	t.Parallel()
	s := newStage(t, consent.EmailToListrak)
	s.signalAt(time.Minute, nudgeName, nil)
	a := s.updateAt(2*time.Minute, "1", pauseName)
	before := false
	s.at(3*time.Minute-time.Millisecond, func() { before = a.completed })
	s.endDrainAt(3*time.Minute, activities.DrainResult{More: true}, nil)
	s.runFor(time.Hour)
	if before || !a.completed || a.err != nil {
		t.Errorf("answered early %t, completed %t with %v", before, a.completed, a.err)
	}
	equal(t, "drains", s.fakes.drains, 1)
}
