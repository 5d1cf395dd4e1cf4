package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/simulation"
)

// gcLimit is from how many bytes on the collector works as often as it has to.
const gcLimit = 512 << 20

// maxHours bounds the length of a run: a month, of which everything that happens is kept until it is judged.
const maxHours = 720

func newSimulateCommand(a *app) *cobra.Command {
	least := uint64(simulation.MinLength / time.Hour)
	var seeds, first, hours uint64
	var parallel, failures int
	c := &cobra.Command{
		Use: "simulate", Short: "Check the rules yourself: play random lives in which everything fails that can", Args: arguments(0, 0),
		Long: `Plays hours of a merchant's life in milliseconds: the engine that runs in production, on a ledger in memory, between models of Shopify
and Listrak, while people change their minds, calls fail, processes crash and clocks are wrong. An oracle that shares no code with the
rules judges what came of everybody. docs/consent.md names the rules and what is checked.

One seed is one history: the same seed and the same hours always play the same. A run in which a rule does not hold is made shorter, and
its story is told with the command that plays it again. Nothing else is needed or touched: no Temporal, no ledger, no settings.

Exits with 0 when every rule held, and with 1 when one did not.`,
		Example: "  starter simulate\n  starter simulate --seeds 100000 --hours 12\n  starter simulate --seeds 1 --seed 4711 --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case seeds == 0:
				return usageError("--seeds must be 1 or more")
			case first > math.MaxUint64-seeds:
				return usageError("--seed and --seeds go beyond the last seed, %d", uint64(math.MaxUint64))
			case hours < least || hours > maxHours:
				return usageError("--hours must be between %d and %d", least, maxHours).try("%d is the shortest run that holds every kind of event", least)
			case parallel < 1:
				return usageError("--parallel must be 1 or more")
			case failures < 1:
				return usageError("--failures must be 1 or more")
			}
			return a.simulate(cmd.Context(), simulation.Run, simulation.Options{
				Seeds: seeds, First: first, Length: time.Duration(hours) * time.Hour, Parallel: parallel, Failures: failures,
			})
		},
	}
	c.Flags().Uint64Var(&seeds, "seeds", 200, "how many runs, each with the next seed")
	c.Flags().Uint64Var(&hours, "hours", 6, fmt.Sprintf("how many hours of a life a run has by its own clock, %d at least", least))
	c.Flags().Uint64Var(&first, "seed", 1, "the first seed; with --seeds 1 the only one")
	c.Flags().IntVar(&parallel, "parallel", runtime.GOMAXPROCS(0), "how many runs go on at once")
	c.Flags().IntVar(&failures, "failures", 3, "after how many failing seeds to stop")
	return c
}

// simulate plays the runs and shows what came of them, also of those until an interrupt. play is simulation.Run.
func (a *app) simulate(ctx context.Context, play func(context.Context, simulation.Options) (simulation.Report, error), o simulation.Options) error {
	// A run leaves a lot of garbage and keeps little: collecting less often takes a tenth less of the processor, and an import of thousands
	// must not take gigabytes for it.
	defer debug.SetGCPercent(debug.SetGCPercent(1600))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(gcLimit))
	progress := showSeeds(a.errOut, o.Seeds)
	o.Progress = progress.ran
	report, err := play(ctx, o)
	progress.end()
	if err != nil && ctx.Err() == nil {
		return err
	}
	if err := a.show(newSimulationView(o, report, ctx.Err() != nil)); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case len(report.Failures) > 0:
		return failedError("%s", count(int64(len(report.Failures)), "seed breaks a rule", "seeds break a rule"))
	}
	return nil
}

// seedsProgress tells a person how far a simulation is: on a terminal by one line that renews itself, elsewhere (a log of CI) by a new
// line after every tenth.
type seedsProgress struct {
	out      io.Writer
	terminal bool
	seeds    uint64
	// told is when the line was last renewed, tenths how many have been told.
	told   time.Time
	tenths uint64
}

func showSeeds(out io.Writer, seeds uint64) *seedsProgress {
	file, ok := out.(*os.File)
	return &seedsProgress{out: out, seeds: seeds, terminal: ok && term.IsTerminal(int(file.Fd()))}
}

const (
	seedsEvery = 100 * time.Millisecond
	barWidth   = 30
)

// ran is told after every run.
func (p *seedsProgress) ran(r simulation.Report) {
	violations := 0
	for _, f := range r.Failures {
		violations += len(f.Violations)
	}
	part := float64(r.Runs) / float64(p.seeds)
	text := fmt.Sprintf("%s/%s seeds, %s, %s", grouped(r.Runs), grouped(p.seeds), rate(r), count(int64(violations), "violation", "violations"))
	if p.terminal {
		if now := time.Now(); r.Runs == p.seeds || now.Sub(p.told) >= seedsEvery {
			p.told = now
			done := int(part * barWidth)
			p.write("\r[%s%s] %s\x1b[K", strings.Repeat("=", done), strings.Repeat(" ", barWidth-done), text)
		}
		return
	}
	if tenths := uint64(part * 10); tenths > p.tenths {
		p.tenths = tenths
		p.write("%s\n", text)
	}
}

func (p *seedsProgress) end() {
	if p.terminal && !p.told.IsZero() {
		p.write("\n")
	}
}

func (p *seedsProgress) write(format string, args ...any) {
	// Nobody can be told that standard error is closed.
	_, _ = fmt.Fprintf(p.out, format, args...)
}

// simulationView is the answer of `starter simulate`.
type simulationView struct {
	// Seeds were asked for, from FirstSeed on; Runs were played.
	Seeds               uint64  `json:"seeds"`
	FirstSeed           uint64  `json:"first_seed"`
	Hours               uint64  `json:"hours"`
	Interrupted         bool    `json:"interrupted"`
	Runs                uint64  `json:"runs"`
	SimulatedSeconds    float64 `json:"simulated_seconds"`
	People              int     `json:"people"`
	Decisions           int     `json:"decisions"`
	Deliveries          int     `json:"deliveries"`
	EffectiveDeliveries int     `json:"effective_deliveries"`
	Rounds              int     `json:"rounds"`
	ElidedRounds        int     `json:"elided_rounds"`
	// Events are those of messages: a part of the runs has them.
	Events       simulation.EventReport `json:"events"`
	Faults       []simulatedFault       `json:"faults"`
	Judged       int                    `json:"judged"`
	Excused      int                    `json:"excused"`
	WorstSeconds float64                `json:"worst_agreement_seconds"`
	WorstSeed    uint64                 `json:"worst_seed"`
	Violations   int                    `json:"violations"`
	TookSeconds  float64                `json:"took_seconds"`
	Rate         float64                `json:"seeds_per_second"`
	Failures     []simulationFailure    `json:"failures"`

	report simulation.Report
}

// simulatedFault is a list's item and no field's name, so that the order is that of simulation.Faults.
type simulatedFault struct {
	Kind  fault.Kind `json:"kind"`
	Count int        `json:"count"`
}

type simulationFailure struct {
	simulation.Failure
	// Replay is the command that plays the whole run again.
	Replay string `json:"replay"`
}

func newSimulationView(o simulation.Options, r simulation.Report, interrupted bool) *simulationView {
	v := &simulationView{
		Seeds: o.Seeds, FirstSeed: o.First, Hours: uint64(o.Length / time.Hour), Interrupted: interrupted, Runs: r.Runs,
		SimulatedSeconds: r.Simulated.Seconds(), People: r.People, Decisions: r.Decisions, Deliveries: r.Deliveries, EffectiveDeliveries: r.Effective,
		Rounds: r.Rounds, ElidedRounds: r.Elided, Events: r.Events, Judged: r.Judged, Excused: r.Excused, WorstSeconds: r.WorstAgreement.Seconds(), WorstSeed: r.WorstSeed,
		TookSeconds: r.Took.Seconds(), Rate: perSecond(r), Failures: []simulationFailure{}, report: r,
	}
	for _, kind := range simulation.Faults {
		v.Faults = append(v.Faults, simulatedFault{kind, r.Faults[kind]})
	}
	for _, f := range r.Failures {
		v.Violations += len(f.Violations)
		v.Failures = append(v.Failures, simulationFailure{f, fmt.Sprintf("starter simulate --seeds 1 --seed %d --hours %d", f.Seed, v.Hours)})
	}
	return v
}

func (v *simulationView) text(p *page) {
	runs := grouped(v.Runs)
	switch {
	case v.Interrupted:
		runs += fmt.Sprintf(" of %s, interrupted", grouped(v.Seeds))
	case v.Runs < v.Seeds:
		runs += fmt.Sprintf(" of %s, stopped by failures", grouped(v.Seeds))
	}
	worst := "nothing had to be mended"
	if v.WorstSeconds > 0 {
		worst = fmt.Sprintf("%s at most after all trouble had ended (seed %d)", exactly(v.report.WorstAgreement), v.WorstSeed)
	}
	p.facts("",
		"Runs", runs,
		"Simulated time", grouped(uint64(v.report.Simulated/time.Hour))+" h",
		"People", grouped(uint64(v.People)),
		"Decisions", grouped(uint64(v.Decisions)),
		"Deliveries", fmt.Sprintf("%s, of which %s changed a side", grouped(uint64(v.Deliveries)), grouped(uint64(v.EffectiveDeliveries))),
		"Rounds", fmt.Sprintf("%s played, and %s left out that could find nothing", grouped(uint64(v.Rounds)), grouped(uint64(v.ElidedRounds))),
		"Events", fmt.Sprintf("in %s: %s passes and %s pushes; %s messages and %s fields of customers compared", count(int64(v.Events.Runs), "run", "runs"),
			grouped(uint64(v.Events.Passes)), grouped(uint64(v.Events.Pushes)), grouped(uint64(v.Events.Messages)), grouped(uint64(v.Events.Fields))),
		"Faults", grouped(uint64(v.report.FaultCount())),
	)
	rows := make([][]string, 0, len(v.Faults))
	for _, f := range v.Faults {
		rows = append(rows, []string{string(f.Kind), grouped(uint64(f.Count))})
	}
	p.table("  ", rows)
	p.facts("",
		"People judged", fmt.Sprintf("%s, of whom %s excused", grouped(uint64(v.Judged)), grouped(uint64(v.Excused))),
		"Both sides agreed", worst,
		"Violations", grouped(uint64(v.Violations)),
		"Took", fmt.Sprintf("%s, %s", exactly(v.report.Took), rate(v.report)),
	)
	p.line("")
	p.line("Excused: the world itself had made the truth unknowable (a word that was overwritten before anybody could read it, or that looks like")
	p.line("a copy of ours), so that either answer was right. They are checked by every other rule all the same.")
	for _, f := range v.Failures {
		p.line("")
		p.line("Seed %d", f.Seed)
		for _, violation := range f.Violations {
			p.line("  %s: %s", violation.Rule, indented(violation.What))
		}
		if len(f.Events) > 0 {
			p.line("  These events are enough:")
			for _, event := range f.Events {
				p.line("    %s", event)
			}
		}
		if len(f.Story) > 0 {
			p.line("  What happened:")
			for _, line := range f.Story {
				p.line("    %s", indented(line))
			}
		}
		p.line("  To play it again: %s", f.Replay)
	}
}

// indented keeps what has several lines within its block.
func indented(text string) string { return strings.ReplaceAll(text, "\n", "\n      ") }

func perSecond(r simulation.Report) float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Runs) / r.Took.Seconds()
}

func rate(r simulation.Report) string { return fmt.Sprintf("%.1f seeds a second", perSecond(r)) }

// exactly shows a length of time to the second, or below ten seconds to the hundredth.
func exactly(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// grouped shows a large number in groups of three digits.
func grouped(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
