package listrak

import (
	"context"
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
