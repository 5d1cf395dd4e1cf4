package webhook

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"sync"
)

// What can become of a verified webhook.
const (
	// Kept: it was new, and is in the ledger.
	Kept             = "kept"
	outcomeDuplicate = "duplicate"
	// outcomeOtherBody: the delivery was there already, with another body. The first one counts.
	outcomeOtherBody = "duplicate with another body"
	outcomeProblem   = "could not be read"
	outcomeAway      = "ledger away"
	outcomeFull      = "queue full"
)

// Count is what is counted: what became of requests about a topic. Topic is empty for those that were not verified, whose topic could be
// anything.
type Count struct{ Topic, Outcome string }

// counts counts since the start, and since the last report.
type counts struct {
	mu         sync.Mutex
	all, fresh map[Count]int64
}

func (c *counts) add(topic, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all, c.fresh = map[Count]int64{}, map[Count]int64{}
	}
	c.all[Count{topic, outcome}]++
	c.fresh[Count{topic, outcome}]++
}

// Counts returns how often what has happened since the start.
func (d *Door) Counts() map[Count]int64 {
	d.counts.mu.Lock()
	defer d.counts.mu.Unlock()
	return maps.Clone(d.counts.all)
}

// report logs what was counted since the last report; of nothing it says nothing.
func (d *Door) report() {
	d.counts.mu.Lock()
	fresh := d.counts.fresh
	d.counts.fresh = map[Count]int64{}
	d.counts.mu.Unlock()
	if len(fresh) == 0 {
		return
	}
	var words []any
	for _, c := range slices.SortedFunc(maps.Keys(fresh), func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Outcome, b.Outcome))
	}) {
		words = append(words, cmp.Or(c.Topic, "refused or not told")+": "+c.Outcome, strconv.FormatInt(fresh[c], 10))
	}
	d.Log.Info("Webhooks", words...)
}
