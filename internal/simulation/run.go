package simulation

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/fault"
)

// Options says what is played.
type Options struct {
	// Seeds is how many runs, and First the seed of the first; each has the next one.
	Seeds, First uint64
	// Length is how long a run is by its own clock, at least MinLength.
	Length time.Duration
	// Parallel is how many runs go on at once; zero means one for each processor.
	Parallel int
	// Progress, when not nil, is told after every run, one at a time.
	Progress func(Report)
	// Failures bounds the failing seeds of which the story is kept, and that are made shorter; zero means 3. The run stops after as many.
	Failures int
}

// MinLength is the shortest run that holds every kind of event.
const MinLength = 2 * time.Hour

// Report is what came of many runs.
type Report struct {
	Runs      uint64        `json:"runs"`
	Simulated time.Duration `json:"simulated_nanoseconds"`
	People    int           `json:"people"`
	// Decisions counts what the ledger's journal calls decided; Deliveries the writes that were begun; Effective those that changed a side.
	Decisions  int `json:"decisions"`
	Deliveries int `json:"deliveries"`
	Effective  int `json:"effective_deliveries"`
	// Rounds were played; Elided ones could not have found anything and were not.
	Rounds int `json:"rounds"`
	Elided int `json:"elided_rounds"`
	// Faults counts by kind how often each struck.
	Faults map[fault.Kind]int `json:"faults"`
	// Excused counts people of whom either answer was right at the end, because the world itself had made the truth unknowable, and
	// Judged all of whom something was to be judged.
	Judged  int `json:"judged"`
	Excused int `json:"excused"`
	// JudgedPhones and ExcusedPhones are the phone numbers among them: each address is judged by itself.
	JudgedPhones  int `json:"judged_phones"`
	ExcusedPhones int `json:"excused_phones"`
	// Events is what was played and judged of events.
	Events EventReport `json:"events"`
	// WorstAgreement is the longest time from the end of all trouble to the last write that changed a side.
	WorstAgreement time.Duration `json:"worst_agreement_nanoseconds"`
	WorstSeed      uint64        `json:"worst_seed"`
	// Failures are runs in which a rule did not hold.
	Failures []Failure     `json:"failures"`
	Took     time.Duration `json:"took_nanoseconds"`
}

// Failure is a run in which a rule did not hold.
type Failure struct {
	Seed       uint64      `json:"seed"`
	Violations []Violation `json:"violations"`
	// Events are those that are enough to show the first violation, and Story what happened then.
	Events []string `json:"events"`
	Story  []string `json:"story"`
}

// FaultCount is the number of all faults.
func (r *Report) FaultCount() int {
	n := 0
	for _, count := range r.Faults {
		n += count
	}
	return n
}

// Run plays all seeds. It fails only when a run could not be played; violations are in the report.
func Run(ctx context.Context, options Options) (Report, error) {
	if options.Length < MinLength {
		return Report{}, fmt.Errorf("simulate: a run must be %s or longer", MinLength)
	}
	parallel, failures := options.Parallel, options.Failures
	if parallel == 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	if failures == 0 {
		failures = 3
	}
	began := time.Now()
	report := Report{Faults: map[fault.Kind]int{}}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	var failed error
	next := options.First
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil || next >= options.First+options.Seeds {
			return 0, false
		}
		next++
		return next - 1, true
	}
	var group sync.WaitGroup
	for range parallel {
		group.Go(func() {
			for seed, ok := take(); ok; seed, ok = take() {
				// A run that has begun goes on to its end, or its failing would be that of the context.
				out, err := play(context.WithoutCancel(ctx), newPlan(seed, options.Length))
				mu.Lock()
				switch {
				case err != nil:
					failed = fmt.Errorf("play seed %d: %w", seed, err)
					stop()
				default:
					report.add(out, options.Length)
					if len(out.violations) > 0 {
						report.Failures = append(report.Failures, Failure{Seed: seed, Violations: out.violations})
					}
					if len(report.Failures) >= failures {
						stop()
					}
					report.Took = time.Since(began)
					if options.Progress != nil {
						options.Progress(report)
					}
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if failed != nil {
		return report, failed
	}
	slices.SortFunc(report.Failures, func(a, b Failure) int { return int(a.Seed) - int(b.Seed) })
	for i := range report.Failures {
		if i < failures {
			p := newPlan(report.Failures[i].Seed, options.Length)
			report.Failures[i] = shorten(report.Failures[i], p, func(p plan) (outcome, error) { return play(context.WithoutCancel(ctx), p) })
		}
	}
	report.Took = time.Since(began)
	return report, nil
}

func (r *Report) add(out outcome, length time.Duration) {
	r.Runs++
	r.Simulated += length
	r.People += out.people
	r.Decisions += out.decisions
	r.Deliveries += out.deliveries
	r.Effective += out.effective
	r.Rounds += out.rounds
	r.Elided += out.elided
	r.Judged += out.judged
	r.Excused += out.excused
	r.JudgedPhones += out.judgedPhones
	r.ExcusedPhones += out.excusedPhones
	r.Events.add(out.events)
	for kind, n := range out.faults {
		r.Faults[kind] += n
	}
	if out.agreement > r.WorstAgreement {
		r.WorstAgreement, r.WorstSeed = out.agreement, out.seed
	}
}

// outcome is what came of one run.
type outcome struct {
	seed                                                                      uint64
	people, decisions, deliveries, effective, rounds, elided, judged, excused int
	judgedPhones, excusedPhones                                               int
	events                                                                    EventReport
	faults                                                                    map[fault.Kind]int
	agreement                                                                 time.Duration
	violations                                                                []Violation
	story                                                                     []string
	errors                                                                    map[string]int
}

// play is one run: the plan's hours, then peace until nothing moves any more, then judgement.
func play(ctx context.Context, p plan) (outcome, error) {
	w, err := newWorld(ctx, p.seed, p.scenario)
	if err != nil {
		return outcome{}, err
	}
	defer w.close()
	for _, e := range p.events {
		w.arrange(w.began.Add(e.at), func() {
			if w.events.settling() {
				return // what lies behind the end is no trouble any more
			}
			w.watch.tell("* %s", e.what)
			e.do(w)
		}, e.aside)
	}
	w.runUntil(w.began.Add(p.length))
	calm := w.now
	w.calm()
	w.settle()
	if w.events != nil {
		w.events.settle()
	}
	w.watch.judge()
	out := outcome{
		seed: p.seed, people: len(w.watch.order), decisions: w.watch.decisions, deliveries: w.watch.deliveries, rounds: w.rounds, elided: w.elided,
		judged: w.watch.judged, excused: w.watch.excused, faults: maps.Clone(w.faced), violations: w.watch.violations, story: w.watch.story,
		errors: w.watch.errors, effective: w.watch.effective, judgedPhones: w.watch.judgedPhones, excusedPhones: w.watch.excusedPhones,
	}
	if w.events != nil {
		out.events = w.events.report()
	}
	if last := w.watch.lastEffect; last.After(calm) {
		out.agreement = last.Sub(calm)
	}
	return out, nil
}

func (w *world) runUntil(end time.Time) {
	w.end = end
	w.run(end)
}

// calm ends all trouble and switches everything on.
func (w *world) calm() {
	w.watch.tell("* everything is well from here on, and on")
	w.store.Faults.Set(0)
	w.list.Faults.Set(0)
	if w.code != nil {
		w.code.Faults.Set(0)
	}
	w.ledgerAwayUntil = time.Time{}
	for _, f := range w.watch.fights {
		f.over = true
	}
	w.beforeNextWrite, w.watch.freezeAt = nil, nil
	// In peace nobody waits hours for the next comparison of the list.
	w.comparison = min(w.comparison, 10*time.Minute)
	for _, one := range w.workers {
		one.crashIn, one.freezeIn = 0, 0
		one.engine.Timing.Comparison = w.comparison
	}
	if w.settings.Zone != w.scenario.listZone {
		w.correctZone(w.scenario.listZone)
	}
	w.operate(func(ctx context.Context) error { _, err := w.book.Resume(ctx, merchantID); return err })
	w.watch.resumed()
	w.goesOn()
	for _, sync := range w.syncs() {
		w.switchSync(sync, true, w.scenario.existingOptOuts)
	}
	if w.events != nil {
		w.events.calm()
	}
}

// approveAll is an operator who has looked at those who wait at the limit.
func (w *world) approveAll() {
	stops, err := w.book.Stops(w.context, merchantID)
	if waiting := stops.Waiting[consent.Shopify] + stops.Waiting[consent.Listrak]; err == nil && waiting > 0 {
		w.approve(int(waiting))
	}
}

// syncs are those that the merchant has.
func (w *world) syncs() []consent.Sync {
	if w.code == nil {
		return consent.Syncs[:2]
	}
	return consent.Syncs
}

// comparedSince: that somebody has left a phone list is known from a comparison on that began later, and so is not judged before.
func (w *world) comparedSince(at time.Time) bool {
	if w.code == nil {
		return true
	}
	began, done := w.compared()
	return done && began.After(at)
}

const (
	// patience is how many intervals the sides have to come to rest: somebody whose calls have failed is put off for minutes.
	patience = 180
	// stillness is how many rounds without a write count as rest.
	stillness = 4
)

// settle lets rounds go on until nothing has been written and nothing is owed for a while (I3, I4).
func (w *world) settle() {
	still, calm := 0, w.now
	for range patience {
		before, deliveries := w.rounds, w.watch.deliveries
		w.quiet = 0
		w.arrangeRound(w.grid(w.now))
		w.runUntil(w.now.Add(interval))
		w.approveAll()
		held, owed := w.waits()
		if owed && w.code != nil {
			n, err := w.countOwed(w.context)
			hinted, _ := w.anyoneHinted(w.context)
			owed = err != nil || hinted || n > w.watch.vanished()
		}
		if w.rounds > before && deliveries == w.watch.deliveries && w.now.After(w.lastChange.Add(w.scenario.lag+2*interval)) && !held && !owed && w.comparedSince(calm) {
			if still++; still >= stillness {
				return
			}
			continue
		}
		still = 0
	}
	if held, owed := w.waits(); held || owed {
		w.watch.violate("I4", "", "somebody is held (%t) or owed something (%t) after %d intervals of peace%s", held, owed, patience, w.watch.waiting())
		return
	}
	w.watch.violate("I3", "", "%d intervals of peace, and the writes do not end", patience)
}
