package simulation

import (
	"testing"
	"time"
)

// Merchants with events are among the lives, and of each of them something is compared; TestRandomLives plays them with the others.
func TestEventsAreJudged(t *testing.T) {
	t.Parallel()
	sum, none := EventReport{}, 0
	for seed := uint64(1); sum.Runs < 8; seed++ {
		p := newPlan(seed, 6*time.Hour)
		if !p.scenario.events.on {
			none++
			continue
		}
		out, err := play(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range out.violations {
			t.Errorf("seed %d: %s: %s", seed, v.Rule, v.What)
		}
		if e := out.events; e.Messages == 0 || e.Fields == 0 || e.Passes < 20 || e.Pushes == 0 {
			t.Errorf("seed %d: %+v", seed, e)
		}
		sum.add(out.events)
	}
	if none < sum.Runs {
		t.Errorf("%d lives have events, and %d have none: most merchants have none", sum.Runs, none)
	}
}
