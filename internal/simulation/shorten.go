package simulation

import (
	"slices"
	"time"
)

// shortenRuns bounds the runs that are spent on making a failing history shorter.
const shortenRuns = 300

// shorten looks for fewer events of a failing run that still break the same rule for the same person, by leaving out ever smaller parts of
// them, and tells the story of what is left. For somebody else the rule may be broken by another cause, which the run itself never showed.
func shorten(f Failure, whole plan, play func(plan) (outcome, error)) Failure {
	first := f.Violations[0]
	runs := 0
	last, err := play(whole)
	if err != nil {
		return f
	}
	breaks := func(events []event) bool {
		if runs++; runs > shortenRuns {
			return false
		}
		p := whole
		p.events = events
		out, err := play(p)
		if err != nil || !slices.ContainsFunc(out.violations, first.like) {
			return false
		}
		last = out
		return true
	}
	events := whole.events
	for size := len(events) / 2; size > 0; size /= 2 {
		for from := 0; from < len(events); {
			to := min(from+size, len(events))
			without := slices.Clone(events[:from])
			for _, e := range events[from:to] {
				if e.setUp {
					without = append(without, e)
				}
			}
			kept := len(without)
			without = append(without, events[to:]...)
			if len(without) < len(events) && breaks(without) {
				events, from = without, kept
			} else {
				from = to
			}
		}
	}
	f.Violations, f.Story = last.violations, last.story
	for _, e := range events {
		f.Events = append(f.Events, e.at.Round(time.Millisecond).String()+"  "+e.what)
	}
	return f
}
