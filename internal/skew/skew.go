// Package skew compares a side's clock with ours by the Date header of its answers.
package skew

import (
	"sync"
	"time"
)

const (
	// Precision is that of the HTTP Date header.
	Precision = time.Second
	// Unmeasured is how far a clock may be off that nobody has compared with ours yet: more than a server that keeps time ever is.
	Unmeasured = 5 * time.Second
	// goodFor is how long a comparison outlives a less exact one. A clock that nobody sets drifts by less
	// than Precision in that time.
	goodFor = time.Hour
)

// Clock is what is known of one side's clock. The zero Clock has not been compared yet. It is safe for concurrent use.
type Clock struct {
	mu    sync.Mutex
	known bool
	at    time.Time
	// The side's clock is ahead of ours by no less than least and no more than most.
	least, most time.Duration
}

// Compare learns from one call: began and ended are when it began and ended by our clock, server is the Date header of its answer,
// cut to the second; a zero one tells nothing. A slow call says little, since the header may be from any moment of it: it does not
// replace a better comparison.
func (c *Clock) Compare(began, ended, server time.Time) {
	if server.IsZero() || ended.Before(began) {
		return
	}
	least, most := server.Sub(ended), server.Add(Precision).Sub(began)
	c.mu.Lock()
	defer c.mu.Unlock()
	if stepped := least > c.most || most < c.least; c.known && !stepped && ended.Sub(c.at) < goodFor && most-least > c.most-c.least {
		return
	}
	c.known, c.at, c.least, c.most = true, ended, least, most
}

// CutWithin is how far a date of the side's may be from the truth that it has cut down to a multiple of cut: a clock that is behind is then
// further behind.
func (c *Clock) CutWithin(cut time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return Unmeasured + cut
	}
	return max(cut, (c.least - cut).Abs(), c.most.Abs())
}

// Within is how far the side's clock may be away from ours, at least Precision.
func (c *Clock) Within() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return Unmeasured
	}
	return max(Precision, c.least.Abs(), c.most.Abs())
}
