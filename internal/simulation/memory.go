package simulation

import (
	"context"
	"maps"
	"math"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// memory remembers what the ledger has answered until somebody writes to it what could change the answer: most rounds ask what the last one
// asked. It hides nothing, because every write of a run passes here, and TestMemoryChangesNothing plays runs with and without. Of questions
// that depend on the time only one answer is remembered: that there is nothing, whatever the time.
type memory struct {
	switches  *ledger.Switches
	cursors   map[string]string
	people    map[consent.Subject]ledger.Entry
	customers map[string]ledger.Customer
	// due: somebody is owed something or stopped, due or not. held: a checkout window is open. hinted: a webhook has not been acted upon.
	// owed: somebody is owed what may be delivered.
	due, held, hinted, owed presence
}

// presence is whether there is anybody, if that is known.
type presence int8

const (
	unasked presence = iota
	nobody
	somebody
)

// learn answers a question, by asking only when the answer is not known.
func (a *presence) learn(ask func() (bool, error)) (bool, error) {
	if *a != unasked {
		return *a == somebody, nil
	}
	found, err := ask()
	switch {
	case err != nil:
		return true, err
	case found:
		*a = somebody
	default:
		*a = nobody
	}
	return found, nil
}

// forget is for writes that may change anything.
func (m *memory) forget() { *m = memory{} }

func (m *memory) forgetPerson(subject consent.Subject) {
	delete(m.people, subject)
	m.due, m.held, m.owed = unasked, unasked, unasked
}

func (m *memory) forgetHints() { m.hinted = unasked }

func (w *world) anyoneDue(ctx context.Context) (bool, error) {
	return w.memory.due.learn(func() (bool, error) {
		due, err := w.book.AnyDue(ctx, merchantID, consent.Email, math.MaxInt64)
		return due != [2]bool{}, err
	})
}

func (w *world) anyoneHeld(ctx context.Context) (bool, error) {
	return w.memory.held.learn(func() (bool, error) {
		held, _, err := w.book.CountHeld(ctx, merchantID)
		return held > 0, err
	})
}

func (w *world) anyoneHinted(ctx context.Context) (bool, error) {
	return w.memory.hinted.learn(func() (bool, error) {
		hints, err := w.book.Hints(ctx, merchantID, math.MaxInt64, 1)
		return len(hints) > 0, err
	})
}

// ifAny asks a question of the ledger when there is anybody at all whom it could be about.
func ifAny[T any](ctx context.Context, w *world, anyone func(context.Context) (bool, error), ask func() (T, error)) (none T, err error) {
	if !w.scenario.forgetful {
		if found, err := anyone(ctx); err != nil || !found {
			return none, err
		}
	}
	return ask()
}

// remembered answers for keys from known, of the ledger those that are not in it. What does not exist is known as zero.
func remembered[K comparable, V any](w *world, known *map[K]V, keys []K, exists func(V) bool, ask func([]K) (map[K]V, error)) (map[K]V, error) {
	if w.scenario.forgetful {
		return ask(keys)
	}
	var unknown []K
	for _, key := range keys {
		if _, ok := (*known)[key]; !ok {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		found, err := ask(unknown)
		if err != nil {
			return nil, err
		}
		if *known == nil {
			*known = make(map[K]V, len(unknown))
		}
		for _, key := range unknown {
			(*known)[key] = found[key]
		}
	}
	answer := make(map[K]V, len(keys))
	for _, key := range keys {
		if value := (*known)[key]; exists(value) {
			answer[key] = value
		}
	}
	return answer, nil
}

func (w *world) rememberedSwitches(ask func() (ledger.Switches, error)) (ledger.Switches, error) {
	if known := w.memory.switches; known != nil && !w.scenario.forgetful {
		return *known, nil
	}
	switches, err := ask()
	if err == nil {
		w.memory.switches = &switches
	}
	return switches, err
}

func (w *world) rememberedCursors(ask func() (map[string]string, error)) (map[string]string, error) {
	if w.memory.cursors == nil || w.scenario.forgetful {
		cursors, err := ask()
		if err != nil {
			return nil, err
		}
		w.memory.cursors = cursors
	}
	return maps.Clone(w.memory.cursors), nil // a run goes on writing into its own
}
