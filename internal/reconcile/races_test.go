package reconcile

import (
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// What a person, or the merchant, does between our look-up and our write.
func TestActsBetweenLookUpAndWrite(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		// begin leads to a write; between happens just before it.
		begin, between func(w *world)
		shop           shop.State
		list           list.State
	}{
		{"the customer is created meanwhile, never asked",
			func(w *world) { w.subscribes(person, w.clock.Now()) },
			func(w *world) { w.customer(person, "", time.Time{}) }, shop.Subscribed, list.Subscribed},
		{"the customer signs up meanwhile and says no",
			func(w *world) { w.subscribes(person, w.clock.Now()); w.clock.advance(20 * time.Minute) },
			func(w *world) { w.customer(person, shop.Unsubscribed, w.clock.Now()) }, shop.Unsubscribed, list.Unsubscribed},
		{"the customer is deleted meanwhile",
			func(w *world) { w.customer(person, "", time.Time{}); w.agree(); w.subscribes(person, w.clock.Now()) },
			func(w *world) {
				customer, _ := w.shop.Customer(person)
				w.must(w.shop.DeleteCustomer(customer.ID))
			}, nobody, list.Subscribed},
		{"the person leaves in Shopify meanwhile, later than the yes in Listrak",
			func(w *world) { w.customer(person, "", time.Time{}); w.agree(); w.subscribes(person, w.clock.Now()) },
			func(w *world) {
				w.clock.advance(10 * time.Second)
				w.consents(person, shop.Unsubscribed, w.clock.Now())
			},
			shop.Unsubscribed, list.Unsubscribed},
		{"the person leaves in Listrak meanwhile, later than the yes in Shopify",
			func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.agree()
				w.consents(person, shop.Unsubscribed, w.clock.Now())
				w.agree()
				w.consents(person, shop.Subscribed, w.clock.Now())
			},
			func(w *world) {
				// Already unsubscribed there by us: the person does it once more, which only moves the date.
				w.clock.advance(10 * time.Second)
				w.unsubscribes(person, w.clock.Now())
			}, shop.Subscribed, list.Subscribed},
		{"a newcomer of Shopify subscribes and leaves in Listrak meanwhile",
			func(w *world) { w.customer(person, shop.Subscribed, w.clock.Now()) },
			func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.unsubscribes(person, w.clock.Now())
			}, shop.Unsubscribed, list.Unsubscribed},
		{"the person comes back in Shopify while our unsubscribe is on its way",
			func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.agree()
				w.unsubscribes(person, w.clock.Now())
			},
			func(w *world) { w.clock.advance(10 * time.Second); w.subscribes(person, w.clock.Now()) }, shop.Subscribed, list.Subscribed},
		{"the address goes to somebody else meanwhile",
			func(w *world) {
				w.customer("new@example.com", "", time.Time{})
				w.customer(person, "", time.Time{})
				w.agree()
				w.subscribes(person, w.clock.Now())
			},
			func(w *world) {
				customer, _ := w.shop.Customer(person)
				w.must(w.shop.ChangeEmail(customer.ID, "moved@example.com"))
			}, nobody, list.Subscribed},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			i := &interference{}
			c := &connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) { return interferedShopify{a, i}, interferedListrak{b, i} }}
			w.engine.Connect = c.open
			r.begin(w)
			struck := false
			i.happen = func() { struck = true; r.between(w) }
			w.settle(true)
			if !struck {
				t.Fatal("nothing was written: the test shows nothing")
			}
			w.shows(person, r.shop, r.list)
			rec := w.entry(person).Record
			for _, side := range consent.Sides {
				if debt := rec.DebtTo(side); debt == consent.Disputed {
					t.Errorf("%s is %s\n%s", side, debt, w.history(person))
				}
			}
		})
	}
}
