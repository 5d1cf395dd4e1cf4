package simulation

import (
	"context"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/fault"
)

// Outcome is what came of one run.
type Outcome struct {
	Seed       uint64
	People     int
	Decisions  int
	Deliveries int
	Rounds     int
	Elided     int
	Faults     map[fault.Kind]int
	Violations []Violation
	// Story is what happened, a line each.
	Story  []string
	Errors map[string]int
}

func play(ctx context.Context, p plan) (Outcome, error) {
	w, err := newWorld(ctx, p.seed, p.scenario)
	if err != nil {
		return Outcome{}, err
	}
	defer w.close()
	for _, e := range p.events {
		w.at(w.began.Add(e.at), func() {
			w.watch.tell("* %s", e.what)
			w.quiet = 0
			e.do(w)
			w.arrangeRound(w.grid(w.now))
		})
	}
	w.run(w.began.Add(p.length))
	w.calm()
	if rest := w.settle(); rest != "" {
		w.watch.violate("I4", "the sides do not come to rest: %s", rest)
	}
	w.watch.judge()
	return Outcome{
		Seed: p.seed, People: len(w.watch.order), Decisions: w.watch.decisions, Deliveries: w.watch.deliveries, Rounds: w.Rounds, Elided: w.Elided,
		Faults: w.faced, Violations: w.watch.violations, Story: w.watch.story, Errors: w.watch.errors,
	}, nil
}

// calm ends all trouble and switches everything on.
func (w *world) calm() {
	w.watch.tell("* everything is well from here on, and on")
	w.store.Faults.Set(0)
	w.list.Faults.Set(0)
	w.ledgerAwayUntil = time.Time{}
	for _, one := range w.workers {
		one.crashIn, one.freezeIn = 0, 0
	}
	if w.settings.Zone != w.scenario.listZone {
		w.correctZone(w.scenario.listZone)
	}
	w.operate(func(ctx context.Context) error { _, err := w.book.Resume(ctx, merchantID); return err })
	w.watch.resumed()
	for _, sync := range consent.Syncs {
		w.switchSync(sync, true, w.scenario.existingOptOuts)
	}
}

// settle lets rounds go on until nothing has been written and nothing is owed for a while.
func (w *world) settle() string {
	still := 0
	for range 180 {
		before, deliveries := w.Rounds, w.watch.deliveries
		w.quiet = 0
		w.arrangeRound(w.grid(w.now))
		w.run(w.now.Add(interval))
		if w.Rounds > before && deliveries == w.watch.deliveries && w.now.After(w.lastChange.Add(w.scenario.lag+2*interval)) && !w.waits() {
			if still++; still >= 3 {
				return ""
			}
			continue
		}
		still = 0
	}
	return fmt.Sprintf("something is owed or held for hours: %v", w.watch.errors)
}

var _ ledger.OptOuts
