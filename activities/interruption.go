package activities

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
)

// heartbeatAfter is how long a step may take without a heartbeat: short steps cost Temporal nothing.
const heartbeatAfter = 10 * time.Second

// heartbeat keeps a long step alive until stop is called: Temporal hears within seconds that a worker has died. What show was
// given last is what the Web UI shows of the step.
func heartbeat(ctx context.Context) (show func(any), stop func()) {
	var shown atomic.Pointer[any]
	done := make(chan struct{})
	var beats sync.WaitGroup
	beats.Go(func() {
		ticker := time.NewTicker(heartbeatAfter)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if details := shown.Load(); details != nil {
					activity.RecordHeartbeat(ctx, *details)
				} else {
					activity.RecordHeartbeat(ctx)
				}
			case <-done:
				return
			}
		}
	})
	return func(details any) { shown.Store(&details) }, func() {
		close(done)
		beats.Wait()
	}
}

var (
	errWorkerStops = errors.New("this worker stops; another one goes on")
	errChanged     = errors.New("the merchant's switches changed")
)

// watchInterval is how often a step at work looks whether the switches are still those with which it began.
const watchInterval = time.Second

// whileUnchanged returns a context that ends when the merchant's switches are no longer those of generation, when the worker
// stops, or with ctx. The ledger tells of a change within a second, while Temporal tells of a cancellation only with the answer to
// a heartbeat: after ten to twenty-six seconds, in which nothing else could be begun for the merchant. end stops the watching
// and returns why the context ended, or nil when it did not.
func (a *Activities) whileUnchanged(ctx context.Context, merchant string, generation int64) (_ context.Context, end func() error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stopping := activity.GetWorkerStopChannel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		ticker := time.NewTicker(watchInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-stopping:
				cancel(errWorkerStops)
				return
			case <-ticker.C:
				// An error of the ledger is the step's own to meet.
				if now, err := a.Engine.Ledger.Switches(ctx, merchant); err == nil && now.Generation != generation {
					cancel(errChanged)
					return
				}
			}
		}
	})
	return ctx, func() error {
		why := context.Cause(ctx)
		cancel(nil)
		watch.Wait()
		return why
	}
}
