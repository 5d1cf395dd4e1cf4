package simulation

import (
	"os"
	"strconv"
	"testing"
	"time"
)

func TestOne(t *testing.T) {
	from, to := uint64(1), uint64(20)
	if s := os.Getenv("SEED"); s != "" {
		n, _ := strconv.ParseUint(s, 10, 64)
		from, to = n, n
	}
	if s := os.Getenv("SEEDS"); s != "" {
		n, _ := strconv.ParseUint(s, 10, 64)
		to = n
	}
	began := time.Now()
	var decisions, faults, rounds, elided, bad int
	for seed := from; seed <= to; seed++ {
		out, err := play(t.Context(), newPlan(seed, 6*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		decisions += out.Decisions
		rounds += out.Rounds
		elided += out.Elided
		for _, n := range out.Faults {
			faults += n
		}
		if len(out.Violations) > 0 {
			bad++
			t.Errorf("seed %d: %d violations; first: %s: %s", seed, len(out.Violations), out.Violations[0].Rule, out.Violations[0].What)
		}
		if from == to {
			for _, line := range out.Story {
				t.Log(line)
			}
		}
	}
	n := int(to - from + 1)
	t.Logf("%d seeds: %d bad; each %d decisions, %d faults, %d rounds, %d elided; %s a seed", n, bad, decisions/n, faults/n, rounds/n, elided/n, time.Since(began)/time.Duration(n))
}
