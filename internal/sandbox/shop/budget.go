package shop

import (
	"sync"
	"time"
)

// bucketSeconds is how many seconds of restoring fill the bucket (contracts/shopify.md 2.1).
const bucketSeconds = 20

// ThrottleStatus is the API budget in points.
type ThrottleStatus struct {
	MaximumAvailable   int `json:"maximumAvailable"`
	CurrentlyAvailable int `json:"currentlyAvailable"`
	RestoreRate        int `json:"restoreRate"` // points a second
}

// budget is the leaky bucket of one app in one store.
type budget struct {
	now func() time.Time

	mu        sync.Mutex
	rate      int
	available float64
	filled    time.Time // when available was right
}

func newBudget(rate int, now func() time.Time) *budget {
	return &budget{now: now, rate: rate, available: float64(rate * bucketSeconds), filled: now()}
}

// Charge takes a request's requested cost out of the bucket. It takes nothing and says false when the bucket does not hold that
// much (contracts/shopify.md 2.1).
func (s *Store) Charge(requested int) (ThrottleStatus, bool) {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	if float64(requested) > b.available {
		return b.status(), false
	}
	b.available -= float64(requested)
	return b.status(), true
}

// Refund gives back what a request was charged beyond its actual cost.
func (s *Store) Refund(points int) ThrottleStatus {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	b.available = min(b.available+float64(points), float64(b.rate*bucketSeconds))
	return b.status()
}

// Budget is the present state of the bucket.
func (s *Store) Budget() ThrottleStatus { return s.Refund(0) }

// refill wants b.mu held. A clock that went back neither fills nor drains.
func (b *budget) refill() {
	now := b.now()
	if passed := now.Sub(b.filled); passed > 0 {
		b.available = min(b.available+passed.Seconds()*float64(b.rate), float64(b.rate*bucketSeconds))
		b.filled = now
	}
}

func (b *budget) status() ThrottleStatus {
	return ThrottleStatus{MaximumAvailable: b.rate * bucketSeconds, CurrentlyAvailable: int(b.available), RestoreRate: b.rate}
}
