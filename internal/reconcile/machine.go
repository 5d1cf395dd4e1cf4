package reconcile

import (
	"context"
	"time"

	"github.com/concordsync/concord/internal/machine"
)

// Machine is what the engine takes from the machine it runs on besides the clock: goroutines, deadlines and chance. A simulation
// brings its own, in which one seed is one history.
type Machine interface {
	// Together runs the tasks, at most limit at a time, and returns when all have ended.
	Together(limit int, tasks ...func())
	// Beside runs a task beside its caller.
	Beside(task func())
	// Doze waits until span is over, woken has something, or ctx ends. Its error means that the process is no more.
	Doze(ctx context.Context, span time.Duration, woken <-chan struct{}) error
	// WithTimeout is context.WithTimeout; a span of zero or less gives a context that has ended.
	WithTimeout(ctx context.Context, span time.Duration) (context.Context, context.CancelFunc)
	// Shuffle is rand.Shuffle.
	Shuffle(n int, swap func(i, j int))
}

// machine is the engine's own Machine or else the real one.
func (e *Engine) machine() Machine {
	if e.Machine != nil {
		return e.Machine
	}
	return machine.Real{}
}
