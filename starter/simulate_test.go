package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/simulation"
)

// noSettings is an app of which nothing but the command line may be used.
func noSettings(t *testing.T, out, errOut *bytes.Buffer) *app {
	t.Helper()
	d := &desk{t: t, now: time.Now, data: t.TempDir() + "/nowhere"}
	return d.app(out, errOut)
}

func TestSimulateNeedsNothing(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	a := noSettings(t, &out, &errOut)
	a.load = nil // a call would panic
	r := &answer{t, "simulate", a.execute(t.Context(), []string{"simulate", "--seeds", "3", "--hours", "2"}), "", ""}
	r.out, r.err = out.String(), errOut.String()
	r.is(exitOK).says("Runs            3\n", "Simulated time  6 h\n", "Violations         0\n", "Excused: ").tells("3/3 seeds")
	if strings.Contains(r.err, "\r") {
		t.Errorf("a line renews itself where there is no terminal: %q", r.err)
	}
	last := 0
	for _, kind := range simulation.Faults {
		at := strings.Index(r.out, "\n  "+string(kind)+" ")
		if at <= last {
			t.Fatalf("%s is missing or stands too early:\n%s", kind, r.out)
		}
		last = at
	}
}

func TestASeedIsPlayedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var answers [2]simulationView
	for i := range answers {
		d.run("simulate", "--seeds", "1", "--seed", "7", "--hours", "2", "--output", "json").is(exitOK).json(&answers[i])
		answers[i].TookSeconds, answers[i].Rate = 0, 0
	}
	if one, two := answers[0], answers[1]; one.People == 0 || one.People != two.People || one.Decisions != two.Decisions ||
		one.Deliveries != two.Deliveries || one.WorstSeconds != two.WorstSeconds || !slices.Equal(one.Faults, two.Faults) {
		t.Errorf("the same seed is another history:\n%+v\n%+v", one, two)
	}
}

func TestAViolationIsToldWithItsReplay(t *testing.T) {
	t.Parallel()
	play := func(_ context.Context, o simulation.Options) (simulation.Report, error) {
		r := simulation.Report{
			Runs: 41, Simulated: 41 * o.Length, People: 1234567, Faults: map[fault.Kind]int{fault.ServerError: 9}, Took: 2 * time.Second,
			WorstAgreement: 90 * time.Second, WorstSeed: 12,
			Failures: []simulation.Failure{{
				Seed: 40, Violations: []simulation.Violation{{Rule: "I2", What: "somebody is subscribed\nagainst a no"}},
				Events: []string{"1s  ann says no"}, Story: []string{"1.000s  ann: no in Listrak"},
			}},
		}
		o.Progress(r)
		return r, nil
	}
	var out, errOut bytes.Buffer
	a := noSettings(t, &out, &errOut)
	err := a.simulate(t.Context(), play, simulation.Options{Seeds: 300, First: 1, Length: 6 * time.Hour})
	if code := exitCode(t.Context(), err); code != exitFailed {
		t.Errorf("it exits with %d: %v", code, err)
	}
	for _, piece := range []string{
		"41 of 300, stopped by failures", "1,234,567", "246 h", "  server_error       9\n", "1m30s at most after all trouble had ended (seed 12)",
		"Violations         1\n", "2s, 20.5 seeds a second", "Seed 40\n  I2: somebody is subscribed\n      against a no\n", "    1s  ann says no\n",
		"    1.000s  ann: no in Listrak\n", "To play it again: starter simulate --seeds 1 --seed 40 --hours 6\n",
	} {
		if !strings.Contains(out.String(), piece) {
			t.Errorf("it does not say %q:\n%s", piece, &out)
		}
	}
	if want := "41/300 seeds, 20.5 seeds a second, 1 violation\n"; errOut.String() != want {
		t.Errorf("it tells %q, want %q", &errOut, want)
	}
}

func TestAnInterruptedSimulationShowsWhatItHas(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	play := func(ctx context.Context, o simulation.Options) (simulation.Report, error) {
		progress := o.Progress
		o.Progress = func(r simulation.Report) { progress(r); cancel() }
		return simulation.Run(ctx, o)
	}
	var out, errOut bytes.Buffer
	a := noSettings(t, &out, &errOut)
	err := a.simulate(ctx, play, simulation.Options{Seeds: 1_000_000, First: 1, Length: simulation.MinLength, Parallel: 2})
	if code := exitCode(ctx, err); code != exitInterrupted || !errors.Is(err, context.Canceled) {
		t.Errorf("it exits with %d: %v", code, err)
	}
	if !strings.Contains(out.String(), " of 1,000,000, interrupted\n") || !strings.Contains(out.String(), "Violations         0\n") {
		t.Errorf("it says:\n%s", &out)
	}
}

func TestASimulationThatCannotBePlayedFails(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	broken := errors.New("no memory")
	err := noSettings(t, &out, &errOut).simulate(t.Context(), func(context.Context, simulation.Options) (simulation.Report, error) {
		return simulation.Report{}, broken
	}, simulation.Options{Seeds: 1})
	if !errors.Is(err, broken) || exitCode(t.Context(), err) != exitFailed || out.Len() > 0 {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestProgressOfManySeedsIsTenLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := showSeeds(&out, 1_000_000)
	for runs := uint64(1); runs <= 1_000_000; runs += 999 {
		p.ran(simulation.Report{Runs: runs})
	}
	p.ran(simulation.Report{Runs: 1_000_000})
	p.end()
	if lines := strings.Count(out.String(), "\n"); lines != 10 || !strings.HasSuffix(out.String(), "1,000,000/1,000,000 seeds, 0.0 seeds a second, 0 violations\n") {
		t.Errorf("%d lines:\n%s", lines, &out)
	}
	out.Reset()
	p = showSeeds(&out, 10)
	p.terminal = true
	p.ran(simulation.Report{Runs: 5})
	p.ran(simulation.Report{Runs: 6}) // too soon
	p.ran(simulation.Report{Runs: 10})
	p.end()
	if text := out.String(); strings.Count(text, "\r") != 2 || strings.Count(text, "\n") != 1 || !strings.Contains(text, "["+strings.Repeat("=", 15)+strings.Repeat(" ", 15)+"]") {
		t.Errorf("the line is %q", text)
	}
}
