// Package machine is what the work that the simulation can play takes from the machine it runs on: goroutines, deadlines and chance.
package machine

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// Real is this machine. Its methods are those of reconcile.Machine, of which engagement.Machine has some.
type Real struct{}

// Together runs the tasks, at most limit at a time, and returns when all have ended.
func (Real) Together(limit int, tasks ...func()) {
	var group errgroup.Group
	group.SetLimit(limit)
	for _, task := range tasks {
		group.Go(func() error {
			task()
			return nil
		})
	}
	_ = group.Wait() // the tasks keep their own errors
}

// Beside runs a task beside its caller.
func (Real) Beside(task func()) { go task() }

// Doze waits until span is over, woken has something, or ctx ends. It never fails.
func (Real) Doze(ctx context.Context, span time.Duration, woken <-chan struct{}) error {
	timer := time.NewTimer(span)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-woken:
	case <-ctx.Done():
	}
	return nil
}

// WithTimeout is context.WithTimeout.
func (Real) WithTimeout(ctx context.Context, span time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, span)
}

// Shuffle is rand.Shuffle.
func (Real) Shuffle(n int, swap func(i, j int)) { rand.Shuffle(n, swap) }
