package reconcile

import (
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/fault"
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

// Somebody who leaves while the creation of their customer, or contact, has an unknown end is not created after all: the side that does
// not know them shows the no already.
func TestLeavingWhileACreationIsOfUnknownEnd(t *testing.T) {
	t.Parallel()
	t.Run("in Shopify", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t).enable()
		w.shop.Faults.Set(1, fault.Rule{Operation: "customerCreate", Kind: fault.TimeoutBefore, Delay: 5 * time.Millisecond})
		w.subscribes(person, w.clock.Now())
		_, err := w.engine.Round(t.Context(), storeID)
		if err == nil || w.shop.Faults.Struck()[fault.TimeoutBefore] == 0 {
			t.Fatalf("the creation did not time out: %v", err)
		}
		w.shop.Faults.Set(1)
		w.clock.advance(10 * time.Second)
		w.unsubscribes(person, w.clock.Now())
		w.agree()
		w.shows(person, nobody, list.Unsubscribed)
		if inShopify, _ := w.effective(person); inShopify != 0 {
			t.Errorf("%d effective writes in Shopify for somebody who had left\n%s", inShopify, w.history(person))
		}
	})
	t.Run("in Listrak", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t).enable()
		w.list.Faults.Set(1, fault.Rule{Operation: "POST Contact", Kind: fault.TimeoutBefore, Delay: 5 * time.Millisecond})
		w.customer(person, shop.Subscribed, w.clock.Now())
		for range 8 {
			_, _ = w.engine.Round(t.Context(), storeID)
			w.clock.advance(w.timing.Interval)
			if w.list.Faults.Struck()[fault.TimeoutBefore] > 0 {
				break
			}
		}
		if w.list.Faults.Struck()[fault.TimeoutBefore] == 0 {
			t.Fatal("the subscribe did not time out")
		}
		w.list.Faults.Set(1)
		w.consents(person, shop.Unsubscribed, w.clock.Now())
		w.agree()
		w.shows(person, shop.Unsubscribed, nobody)
	})
}

// An address that one customer has left and another one has taken is not unknown in Shopify, whichever of the two is read first.
func TestAnAddressChangesHands(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	const moved = "moved@example.com"
	former := w.customer(person, shop.Subscribed, w.clock.Now())
	w.agree()
	w.must(w.shop.ChangeEmail(former, moved))
	w.clock.advance(2 * time.Second)
	w.customer(person, shop.Subscribed, w.clock.Now())
	w.clock.advance(10 * time.Second)
	// The former holder changes once more, and so comes last in the poll. Neither change is so fresh that the next poll looks again.
	w.must(w.shop.SetEmailConsent(former, shop.Subscribed, w.clock.Now()))
	w.clock.advance(10 * time.Second)
	w.agree()
	w.unsubscribes(person, w.clock.Now())
	w.agree()
	w.shows(person, shop.Unsubscribed, list.Unsubscribed)
}

// A process that is held up between its claim and its call does not write when the time of the claim is over.
func TestACallThatComesTooLateIsNotMade(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name                 string
		decides              func(w *world)
		inShopify, inListrak int
	}{
		{"to Shopify", func(w *world) { w.subscribes(person, w.clock.Now()) }, 1, 0},
		{"to Listrak", func(w *world) {
			w.subscribes(person, w.clock.Now())
			w.agree()
			w.consents(person, shop.Unsubscribed, w.clock.Now())
		}, 1, 1},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			r.decides(w)
			before, beforeListrak := w.effective(person)
			w.engine.Intercept = func(book Records) Records {
				return interruptedLedger{Records: book, beforeClaims: func() { w.clock.advance(w.timing.CallTimeout + time.Second) }}
			}
			_, _ = w.engine.Round(t.Context(), storeID)
			w.engine.Intercept = nil
			if inShopify, inListrak := w.effective(person); inShopify != before || inListrak != beforeListrak {
				t.Fatalf("a call was made after its deadline\n%s", w.history(person))
			}
			w.settle(true)
			if inShopify, inListrak := w.effective(person); inShopify != r.inShopify || inListrak != r.inListrak {
				t.Errorf("%d effective writes in Shopify and %d in Listrak, want %d and %d\n%s", inShopify, inListrak, r.inShopify, r.inListrak, w.history(person))
			}
		})
	}
}

// An address with a no of its own keeps it when a subscribed customer takes the address, even when the look-up before the write meets
// the customer there before the poll has seen the change (rule 18).
func TestACustomerTakesAnAddressThatHasSaidNo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{shop: shop.Config{SearchLag: 4 * time.Minute}}).enable()
	other := w.customer("other@example.com", shop.Subscribed, w.clock.Now())
	w.agree()
	left := w.clock.Now()
	w.clock.advance(15 * time.Minute)
	w.must(w.shop.SetEmailConsent(other, shop.Subscribed, w.clock.Now()))
	w.agree()
	w.clock.advance(10 * time.Minute)
	w.round()
	w.must(w.shop.ChangeEmail(other, person))
	w.subscribes(person, left.Add(-time.Second))
	w.unsubscribes(person, left)
	w.agree()
	w.shows(person, shop.Unsubscribed, list.Unsubscribed)
	if _, inListrak := w.effective(person); inListrak != 0 {
		t.Errorf("%d effective writes in Listrak\n%s", inListrak, w.history(person))
	}
}
