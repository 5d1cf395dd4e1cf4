package reconcile

import (
	"fmt"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// A minute in which nothing happened costs one call of Shopify, and two of Listrak, and saves nothing. As long as a poll still sees
// contacts, because it reaches back, their cursor is saved.
func TestAnIdleRoundCostsThreeCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	for i := range 50 {
		w.subscribes(fmt.Sprintf("contact-%d@example.com", i), w.clock.Now())
		w.customer(fmt.Sprintf("customer-%d@example.com", i), shop.Subscribed, w.clock.Now())
	}
	w.agree()
	w.round()
	calls := w.countingCalls()
	before, requests := w.shop.Budget(), w.shop.Requests()
	saves := 0
	w.engine.Intercept = func(r Records) Records {
		return countedLedger{r, &saves}
	}
	if _, err := w.engine.Round(t.Context(), storeID); err != nil {
		t.Fatal(err)
	}
	if n := calls(); n != 3 {
		t.Errorf("%d calls, want 3; Shopify %v after %v", n, w.shop.Requests(), requests)
	}
	if points := before.CurrentlyAvailable - w.shop.Budget().CurrentlyAvailable; points > 13 {
		t.Errorf("%d points of Shopify's budget", points)
	}
	// The cursor of those who are subscribed in Listrak.
	if saves != 1 {
		t.Errorf("%d transactions that save, want 1", saves)
	}
	w.clock.advance(24 * time.Hour)
	w.round()
	calls, saves = w.countingCalls(), 0
	for range 3 {
		w.round()
	}
	if n := calls(); n != 9 || saves != 0 {
		t.Errorf("%d calls and %d transactions that save in three idle rounds, want 9 and none", n, saves)
	}
}

// session begins a run of the world's merchant for benchmarks of a part.
func (w *world) session() *session {
	w.t.Helper()
	_, r, err := w.engine.begin(w.t.Context(), storeID)
	w.must(err)
	return r.of(consent.Email)
}

func BenchmarkAPageOfContactsWithoutNews(b *testing.B) {
	w := newWorld(b)
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true, consent.EmailToListrak: true})
	s := w.session()
	contacts := make([]listrak.Contact, 5000)
	for i := range contacts {
		contacts[i] = listrak.Contact{Address: fmt.Sprintf("contact-%d@example.com", i), EmailKey: fmt.Sprintf("%032d", i), State: listrak.Subscribed,
			Date: w.began.Add(-time.Duration(i) * time.Minute), Method: "API"}
	}
	observe := func() {
		r := read{began: s.now()}
		r.ended = s.now()
		sightings := make([]sighting, 0, len(contacts))
		for _, c := range contacts {
			if seen, ok := s.listrakReport(c, r); ok {
				sightings = append(sightings, seen)
			}
		}
		_, err := s.observe(b.Context(), sightings)
		w.must(err)
	}
	observe()
	b.ReportAllocs()
	for b.Loop() {
		observe()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(contacts)), "µs/contact")
}

func BenchmarkAPageOfCustomersWithNews(b *testing.B) {
	w := newWorld(b)
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true, consent.EmailToListrak: true})
	s := w.session()
	states := []shopify.ConsentState{shopify.Subscribed, shopify.Unsubscribed}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		r := read{began: s.now()}
		r.ended = s.now()
		sightings := make([]sighting, 0, 250)
		for i := range 250 {
			seen, _ := s.shopifyReport(shopify.Customer{ID: shopify.CustomerID(fmt.Sprintf("gid://shopify/Customer/%d", i)),
				Email: fmt.Sprintf("customer-%d@example.com", i), EmailConsent: shopify.Consent{State: states[n%2], UpdatedAt: r.began.Time()}}, r)
			sightings = append(sightings, seen)
		}
		_, err := s.observe(b.Context(), sightings)
		w.must(err)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/250, "µs/customer")
}
