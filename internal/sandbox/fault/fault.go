// Package fault makes the sandbox misbehave on request: the ways in which the real Shopify and Listrak fail, chosen by operation.
package fault

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Kind is one way of failing.
type Kind string

// The ways of failing. A time-out holds the answer back for Rule.Delay, or until the client gives up.
const (
	Latency         Kind = "latency"           // answers properly, after Rule.Delay
	TooManyRequests Kind = "too_many_requests" // HTTP 429
	Throttled       Kind = "throttled"         // Shopify's THROTTLED at HTTP 200; at Listrak the same as TooManyRequests
	ServerError     Kind = "server_error"      // HTTP 503, nothing done
	HTMLError       Kind = "html_error"        // HTTP 502 with an HTML body, nothing done
	TimeoutBefore   Kind = "timeout_before"    // no answer, nothing done
	TimeoutAfter    Kind = "timeout_after"     // no answer, but the write took effect
	ErrorAfter      Kind = "error_after"       // HTTP 500, but the write took effect
)

// What can befall a webhook besides Latency, which sends it after Rule.Delay. The operation is its topic.
const (
	Lost       Kind = "lost"       // never sent
	Duplicated Kind = "duplicated" // sent twice, with one id
	Overtaken  Kind = "overtaken"  // sent when the next one was answered, or after Rule.Delay; zero means two seconds
)

// Rule asks for one kind of failure.
type Rule struct {
	// Operation is the GraphQL operation name, the Listrak route ("POST Contact") or the topic of a webhook; empty hits every call.
	Operation string        `json:"operation"`
	Kind      Kind          `json:"kind"`
	Delay     time.Duration `json:"delay"`
	// Times is how often the rule strikes before it is spent; zero means for ever.
	Times int `json:"times"`
	// Chance between 0 and 1 is how likely a matching call is struck; zero means always.
	Chance float64 `json:"chance"`
}

// Injector hands out failures. The zero value never fails anything. It is safe for concurrent use.
type Injector struct {
	mu     sync.Mutex
	rules  []Rule
	struck map[Kind]int
	random *rand.Rand
	// changed is closed with the next strike; nil while nobody waits.
	changed chan struct{}
}

// Set replaces all rules; without arguments everything works again. Random choices follow seed, so that a run can be repeated.
func (i *Injector) Set(seed uint64, rules ...Rule) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.rules = append([]Rule(nil), rules...)
	i.random = rand.New(rand.NewPCG(seed, seed))
}

// Next says whether this call is struck, and how. The first matching rule decides.
func (i *Injector) Next(operation string) (Rule, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range i.rules {
		rule := &i.rules[n]
		if rule.Operation != "" && rule.Operation != operation {
			continue
		}
		if rule.Times < 0 || rule.Chance > 0 && i.random.Float64() >= rule.Chance {
			continue
		}
		if rule.Times == 1 {
			rule.Times = -1
		} else if rule.Times > 1 {
			rule.Times--
		}
		if i.struck == nil {
			i.struck = map[Kind]int{}
		}
		i.struck[rule.Kind]++
		if i.changed != nil {
			close(i.changed)
			i.changed = nil
		}
		return *rule, true
	}
	return Rule{}, false
}

// Await waits until a failure of kind has been handed out, or returns ctx's error.
func (i *Injector) Await(ctx context.Context, kind Kind) error {
	for {
		i.mu.Lock()
		struck := i.struck[kind] > 0
		if i.changed == nil {
			i.changed = make(chan struct{})
		}
		changed := i.changed
		i.mu.Unlock()
		if struck {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Struck counts the failures handed out so far, by kind.
func (i *Injector) Struck() map[Kind]int {
	i.mu.Lock()
	defer i.mu.Unlock()
	counts := make(map[Kind]int, len(i.struck))
	for kind, n := range i.struck {
		counts[kind] = n
	}
	return counts
}

// Pause waits for so long, or until the client gives up; it reports whether the client is still there.
func Pause(ctx context.Context, wait time.Duration) bool {
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Hang is the answer of a time-out: it holds the request for so long, or with zero until the client gives up, and breaks the
// connection by a panic that net/http takes.
func Hang(ctx context.Context, wait time.Duration) {
	if wait > 0 {
		Pause(ctx, wait)
	} else {
		<-ctx.Done()
	}
	panic(http.ErrAbortHandler)
}
