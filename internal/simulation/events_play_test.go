package simulation

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

func TestTmpEvents(t *testing.T) {
	from, to := uint64(1), uint64(60)
	if s := os.Getenv("EV"); s != "" {
		fmt.Sscanf(s, "%d-%d", &from, &to)
	}
	_ = strconv.Itoa
	var n, bad int
	var tot time.Duration
	for seed := from; seed <= to; seed++ {
		p := newPlan(seed, 6*time.Hour)
		if !p.scenario.events.on {
			continue
		}
		b := time.Now()
		out, err := play(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		n++
		tot += time.Since(b)
		if len(out.violations) > 0 {
			bad++
			t.Logf("seed %d: %v", seed, out.violations[:min(3, len(out.violations))])
		}
		if os.Getenv("STORY") != "" {
			for _, l := range out.story {
				fmt.Println(l)
			}
			fmt.Println(out.errors)
		}
	}
	t.Logf("%d seeds with events, %d bad, %s each", n, bad, tot/time.Duration(max(n, 1)))
}

func TestTmpScenario(t *testing.T) {
	for _, s := range []uint64{96, 960, 880, 380} {
		p := newPlan(s, 6*time.Hour)
		t.Logf("%d lag %s switches %+v sms %v storeAhead %s workers %v events %+v", s, p.scenario.lag, p.scenario.switches, p.scenario.sms.on, p.scenario.storeAhead, p.scenario.workersAhead, p.scenario.events)
	}
}
