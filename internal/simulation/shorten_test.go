package simulation

import (
	"slices"
	"testing"
)

// A run is made shorter for the person of whom it was told: somebody for whom the same rule is broken by less leads nowhere.
func TestShorteningKeepsThePerson(t *testing.T) {
	t.Parallel()
	p := plan{}
	for _, what := range []string{"a customer who says nothing", "the switch", "ann says yes", "an order", "ann says no", "bob says no", "a crash"} {
		p.events = append(p.events, event{what: what, setUp: what == "the switch"})
	}
	runs := 0
	play := func(p plan) (outcome, error) {
		runs++
		has := func(what string) bool {
			return slices.ContainsFunc(p.events, func(e event) bool { return e.what == what })
		}
		out := outcome{story: []string{"told"}}
		if has("bob says no") {
			out.violations = append(out.violations, Violation{Rule: "I1", What: "bob", person: "bob"})
		}
		if has("ann says yes") && has("ann says no") {
			out.violations = append(out.violations, Violation{Rule: "I3", What: "ann", person: "ann"}, Violation{Rule: "I1", What: "ann", person: "ann"})
		}
		return out, nil
	}
	short := shorten(Failure{Seed: 1, Violations: []Violation{{Rule: "I1", What: "ann", person: "ann"}}}, p, play)
	if want := []string{"0s  the switch", "0s  ann says yes", "0s  ann says no"}; !slices.Equal(short.Events, want) {
		t.Errorf("these are enough: %q, want %q", short.Events, want)
	}
	if !slices.ContainsFunc(short.Violations, func(v Violation) bool { return v.person == "ann" }) || len(short.Story) == 0 || runs > shortenRuns {
		t.Errorf("%d runs, and it tells %v, %v", runs, short.Violations, short.Story)
	}
}
