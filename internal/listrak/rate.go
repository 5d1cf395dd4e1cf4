package listrak

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// slotLife is how long a reserved slot is kept. A caller that reserved and then found nothing to write leaves its slot behind;
// without an end those would pile up and one day go out as a burst. It is longer than any claim in the ledger lives.
const slotLife = 2 * time.Minute

// requestRate spaces the calls of one merchant evenly. Every call takes a slot. A write must not wait once its delivery is claimed
// in the ledger, so its slot can be taken ahead: reserve waits for one and keeps it, spend uses the oldest one that is kept.
type requestRate struct {
	limiter *rate.Limiter
	now     func() time.Time

	mu       sync.Mutex
	reserved []time.Time // when each slot was reserved, oldest first
	// waiting counts the calls that wait for a slot, but for those that may wait for all others; free is closed when none does any more.
	waiting int
	free    chan struct{}
}

// newRequestRate allows no bursts: slots are 1/perSecond apart, so that no second holds more than perSecond plus one calls.
func newRequestRate(perSecond float64, now func() time.Time) *requestRate {
	return &requestRate{limiter: rate.NewLimiter(rate.Limit(perSecond), 1), now: now}
}

// newBurstRate allows burst calls at once, and perSecond more each second after them.
func newBurstRate(perSecond float64, burst int, now func() time.Time) *requestRate {
	return &requestRate{limiter: rate.NewLimiter(rate.Limit(perSecond), burst), now: now}
}

// wait takes the next slot. It fails at once if ctx ends before that slot.
func (r *requestRate) wait(ctx context.Context) error {
	r.mu.Lock()
	if r.waiting++; r.waiting == 1 {
		r.free = make(chan struct{})
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.waiting--; r.waiting == 0 {
			close(r.free)
		}
	}()
	return r.next(ctx)
}

// spareWait is how long a call that may wait for all others does so at most.
const spareWait = 20 * time.Second

// ErrNoSpare is in the chain of the failure of a call about messages that was not made, because calls of consent took the request rate.
var ErrNoSpare = errors.New("calls of consent take the request rate")

// waitSpare takes a slot when no other call waits for one, so that those come one slot later at most. ErrNoSpare when they take all for spareWait.
func (r *requestRate) waitSpare(ctx context.Context) error {
	patience := time.NewTimer(spareWait)
	defer patience.Stop()
	for {
		r.mu.Lock()
		waiting, free := r.waiting > 0, r.free
		r.mu.Unlock()
		if !waiting {
			return r.next(ctx)
		}
		select {
		case <-free:
		case <-patience.C:
			return ErrNoSpare
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *requestRate) next(ctx context.Context) error {
	if err := r.limiter.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return context.DeadlineExceeded // the only other failure: the slot lies beyond the deadline
	}
	return nil
}

func (r *requestRate) reserve(ctx context.Context) error {
	if err := r.wait(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved = append(r.reserved, r.now())
	return nil
}

// spend uses a reserved slot, if there is one that is still good.
func (r *requestRate) spend() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.reserved) > 0 {
		at := r.reserved[0]
		r.reserved = r.reserved[1:]
		if r.now().Sub(at) <= slotLife {
			return true
		}
	}
	return false
}
