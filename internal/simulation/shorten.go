package simulation

import (
	"context"
	"slices"
	"time"
)

// shortenRuns bounds the runs that are spent on making a failing history shorter.
const shortenRuns = 300

// shorten looks for fewer events of a failing run that still break the same rule, by leaving out ever smaller parts of them, and tells
// the story of what is left.
func shorten(ctx context.Context, f Failure, length time.Duration) Failure {
	whole := newPlan(f.Seed, length)
	first := f.Violations[0]
	runs := 0
	last, err := play(ctx, whole)
	if err != nil {
		return f
	}
	breaks := func(events []event) bool {
		if runs++; runs > shortenRuns {
			return false
		}
		p := whole
		p.events = events
		out, err := play(ctx, p)
		if err != nil || !slices.ContainsFunc(out.violations, first.like) {
			return false
		}
		last = out
		return true
	}
	events := whole.events
	for size := len(events) / 2; size > 0; size /= 2 {
		for from := 0; from < len(events); {
			without := slices.Delete(slices.Clone(events), from, min(from+size, len(events)))
			if breaks(without) {
				events = without
			} else {
				from += size
			}
		}
	}
	f.Violations, f.Story = last.violations, last.story
	for _, e := range events {
		f.Events = append(f.Events, e.at.Round(time.Millisecond).String()+"  "+e.what)
	}
	return f
}
