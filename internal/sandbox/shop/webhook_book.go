package shop

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// DeliveryCounts say what became of webhooks. A delivery is one webhook for one subscription, with all its attempts.
type DeliveryCounts struct {
	// Sent counts attempts, Retried those after the first one of a delivery, Failed those that were not answered with 2xx in time.
	Sent    int `json:"sent"`
	Retried int `json:"retried"`
	Failed  int `json:"failed"`
	// Delivered counts deliveries that were taken, Abandoned those that failed with all retries or lost their subscription.
	Delivered int `json:"delivered"`
	Abandoned int `json:"abandoned"`
	// Lost, Duplicated and Overtaken count deliveries that a fault befell.
	Lost       int `json:"lost"`
	Duplicated int `json:"duplicated"`
	Overtaken  int `json:"overtaken"`
}

// DeliveryReport is what a store's webhooks have come to so far.
type DeliveryReport struct {
	DeliveryCounts
	// Topics are the counts of each topic that was sent.
	Topics map[Topic]DeliveryCounts `json:"topics"`
	// UnderWay counts deliveries that have not ended, those that wait for a retry too.
	UnderWay int `json:"underWay"`
	// Deleted are the subscriptions that failures have ended, the oldest first.
	Deleted []Subscription `json:"-"`
}

// deliveryBook keeps the counts. The zero value is empty.
type deliveryBook struct {
	mu       sync.Mutex
	topics   map[Topic]DeliveryCounts
	underWay int
	deleted  []Subscription
	changed  chan struct{} // closed with the next change; nil while nobody waits
}

func (b *deliveryBook) note(topic Topic, change func(*DeliveryCounts)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics == nil {
		b.topics = map[Topic]DeliveryCounts{}
	}
	counts := b.topics[topic]
	change(&counts)
	b.topics[topic] = counts
	b.tell()
}

func (b *deliveryBook) under(way int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underWay += way
	b.tell()
}

func (b *deliveryBook) ended(subscription Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deleted = append(b.deleted, subscription)
	b.tell()
}

// tell wants b.mu held.
func (b *deliveryBook) tell() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// report also returns a channel that is closed with the next change.
func (b *deliveryBook) report() (DeliveryReport, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	report := DeliveryReport{Topics: map[Topic]DeliveryCounts{}, UnderWay: b.underWay, Deleted: slices.Clone(b.deleted)}
	maps.Copy(report.Topics, b.topics)
	for _, c := range b.topics {
		report.Sent += c.Sent
		report.Retried += c.Retried
		report.Failed += c.Failed
		report.Delivered += c.Delivered
		report.Abandoned += c.Abandoned
		report.Lost += c.Lost
		report.Duplicated += c.Duplicated
		report.Overtaken += c.Overtaken
	}
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return report, b.changed
}

// Deliveries reports what has become of the store's webhooks. They are sent by Webhooks.
func (s *Store) Deliveries() DeliveryReport {
	report, _ := s.deliveries.report()
	return report
}

// AwaitDeliveries waits until the report is as wanted, or returns ctx's error with the last report.
func (s *Store) AwaitDeliveries(ctx context.Context, wanted func(DeliveryReport) bool) (DeliveryReport, error) {
	for {
		report, changed := s.deliveries.report()
		if wanted(report) {
			return report, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return report, ctx.Err()
		}
	}
}
