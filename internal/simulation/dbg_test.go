package simulation

import (
	"os"
	"strconv"
	"testing"
	"time"
)

func TestOne(t *testing.T) {
	n, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	out, err := play(t.Context(), newPlan(n, 6*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range out.violations {
		t.Errorf("seed %d: %s: %s", n, v.Rule, v.What)
	}
	for _, line := range out.story {
		t.Log(line)
	}
}
