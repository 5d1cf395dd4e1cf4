package reconcile

import (
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

const person = "ada@example.com"

// Every row of the rules, from one side through the ledger to the other, over real HTTP.
func TestTheRulesEndToEnd(t *testing.T) {
	t.Parallel()
	type row struct {
		name string
		// before happens before anything is enabled, after once both directions are on.
		before, after func(w *world)
		shop          shop.State
		list          list.State
		// atMost bounds the effective writes of each side; zero means one.
		atMost int
		// refused: a person must act, so the address is kept.
		refused bool
		// email: only that channel has it.
		email bool
	}
	rows := []row{
		{name: "someone new in Listrak is created in Shopify",
			after: func(w *world) { w.subscribes(person, w.clock.Now()) }, shop: shop.Subscribed, list: list.Subscribed},
		{name: "someone new in Shopify is subscribed in Listrak",
			after: func(w *world) { w.customer(person, shop.Subscribed, w.clock.Now()) }, shop: shop.Subscribed, list: list.Subscribed},
		{name: "an unsubscribe in Shopify reaches Listrak",
			after: func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.agree()
				w.consents(person, shop.Unsubscribed, w.clock.Now())
			}, shop: shop.Unsubscribed, list: list.Unsubscribed},
		{name: "an unsubscribe in Listrak reaches Shopify",
			after: func(w *world) {
				w.customer(person, shop.Subscribed, w.clock.Now())
				w.agree()
				w.unsubscribes(person, w.clock.Now())
			}, shop: shop.Unsubscribed, list: list.Unsubscribed},
		{name: "someone who comes back in Listrak is subscribed in Shopify again",
			after: func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.agree()
				w.unsubscribes(person, w.clock.Now())
				w.agree()
				w.subscribes(person, w.clock.Now())
			}, shop: shop.Subscribed, list: list.Subscribed, atMost: 3},
		{name: "someone who comes back in Shopify is subscribed in Listrak again",
			after: func(w *world) {
				w.customer(person, shop.Subscribed, w.clock.Now())
				w.agree()
				w.unsubscribes(person, w.clock.Now())
				w.agree()
				w.consents(person, shop.Subscribed, w.clock.Now())
			}, shop: shop.Subscribed, list: list.Subscribed, atMost: 2},
		{name: "the newer of two wins: Listrak's yes",
			after: func(w *world) {
				w.customer(person, shop.Unsubscribed, w.clock.Now())
				w.subscribes(person, w.clock.Now().Add(20*time.Minute))
				w.clock.advance(21 * time.Minute)
			}, shop: shop.Subscribed, list: list.Subscribed},
		{name: "the newer of two wins: Shopify's no",
			after: func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.clock.advance(20 * time.Minute)
				w.customer(person, shop.Unsubscribed, w.clock.Now())
			}, shop: shop.Unsubscribed, list: list.Unsubscribed},
		{name: "the newer of two wins: Shopify's yes",
			after: func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.unsubscribes(person, w.clock.Now())
				w.clock.advance(20 * time.Minute)
				w.customer(person, shop.Subscribed, w.clock.Now())
			}, shop: shop.Subscribed, list: list.Subscribed},
		{name: "within the uncertainty Unsubscribed wins: Shopify's",
			after: func(w *world) {
				w.customer(person, shop.Unsubscribed, w.clock.Now())
				w.subscribes(person, w.clock.Now().Add(time.Minute))
				w.clock.advance(time.Minute)
			}, shop: shop.Unsubscribed, list: list.Unsubscribed},
		{name: "within the uncertainty Unsubscribed wins: Listrak's",
			after: func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.unsubscribes(person, w.clock.Now())
				w.customer(person, shop.Subscribed, w.clock.Now().Add(time.Minute))
				w.clock.advance(time.Minute)
			}, shop: shop.Unsubscribed, list: list.Unsubscribed},
		{name: "never asked is no no: Listrak's yes is written over it",
			after: func(w *world) {
				w.customer(person, "", time.Time{})
				w.subscribes(person, w.clock.Now())
			}, shop: shop.Subscribed, list: list.Subscribed},
		{name: "never asked decides nothing",
			after: func(w *world) { w.customer(person, "", time.Time{}) }, shop: shop.NotSubscribed, list: nobody},
		{name: "an unsubscribe of somebody unknown on the other side needs nothing: Shopify's",
			after: func(w *world) { w.customer(person, shop.Unsubscribed, w.clock.Now()) }, shop: shop.Unsubscribed, list: nobody},
		{name: "an unsubscribe of somebody unknown on the other side needs nothing: Listrak's",
			after: func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.unsubscribes(person, w.clock.Now())
			}, shop: nobody, list: list.Unsubscribed},
		{name: "a customer who was deleted is not created again by the same decision",
			after: func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.agree()
				customer, _, _ := w.customerOf(person)
				w.must(w.shop.DeleteCustomer(customer.ID))
				w.subscribes(person, w.clock.Now()) // renews the yes: the date moves, the state does not
			}, shop: nobody, list: list.Subscribed},
		{name: "a customer who was deleted is created again by a newer decision",
			after: func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.agree()
				customer, _, _ := w.customerOf(person)
				w.must(w.shop.DeleteCustomer(customer.ID))
				w.unsubscribes(person, w.clock.Now())
				w.agree()
				w.subscribes(person, w.clock.Now())
			}, shop: shop.Subscribed, list: list.Subscribed, atMost: 2},
		{name: "an echo never outranks a newer decision",
			after: func(w *world) {
				w.customer(person, shop.Subscribed, w.clock.Now().Add(-10*time.Second))
				// Delivered to Listrak, which dates the copy minutes later than the consent.
				w.agree()
				w.shows(person, shop.Subscribed, list.Subscribed)
				// Dated between the consent and the copy.
				w.consents(person, shop.Unsubscribed, w.began.Add(3*time.Minute))
			}, shop: shop.Unsubscribed, list: list.Unsubscribed, atMost: 2},
		{name: "a changed address takes Shopify's consent, and the old one keeps its decision",
			after: func(w *world) {
				id := w.customer("old@example.com", shop.Subscribed, w.clock.Now())
				w.agree()
				w.moves(id, person)
				w.agree()
				w.shows("old@example.com", nobody, list.Subscribed)
			}, shop: shop.Subscribed, list: list.Subscribed},
		{name: "a changed address that has an Unsubscribed of its own keeps it",
			after: func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.unsubscribes(person, w.clock.Now())
				id := w.customer("old@example.com", shop.Subscribed, w.clock.Now())
				w.agree()
				w.clock.advance(time.Hour)
				w.moves(id, person)
				w.agree()
				w.shows("old@example.com", nobody, list.Subscribed)
			}, shop: shop.Unsubscribed, list: list.Unsubscribed},
		{name: "a Shopify yes from before the direction was on is not delivered",
			before: func(w *world) { w.customer(person, shop.Subscribed, w.clock.Now().Add(-time.Hour)) },
			after:  func(w *world) { w.consents(person, shop.Subscribed, w.began.Add(-time.Hour)) }, shop: shop.Subscribed, list: nobody},
		{name: "a Listrak yes from before the direction was on is delivered by the full read",
			before: func(w *world) { w.subscribes(person, w.clock.Now().Add(-time.Hour)) },
			after:  func(w *world) { w.fullRead() }, shop: shop.Subscribed, list: list.Subscribed},
		{name: "an opt-out while the direction was off is delivered once it is on again",
			after: func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.agree()
				w.set(map[consent.Sync]bool{w.to(consent.Listrak): false})
				w.round()
				w.consents(person, shop.Unsubscribed, w.clock.Now())
				w.agree()
				w.shows(person, shop.Unsubscribed, list.Subscribed)
				w.set(map[consent.Sync]bool{w.to(consent.Shopify): true, w.to(consent.Listrak): true})
			}, shop: shop.Unsubscribed, list: list.Unsubscribed},
		{name: "an opt-in while the direction was off is not delivered",
			after: func(w *world) {
				w.set(map[consent.Sync]bool{w.to(consent.Listrak): false})
				w.round()
				w.customer(person, shop.Subscribed, w.clock.Now())
				w.agree()
				w.set(map[consent.Sync]bool{w.to(consent.Shopify): true, w.to(consent.Listrak): true})
			}, shop: shop.Subscribed, list: nobody},
		{name: "a Listrak yes while its direction was off is caught up",
			after: func(w *world) {
				w.set(map[consent.Sync]bool{w.to(consent.Shopify): false})
				w.round()
				w.subscribes(person, w.clock.Now())
				w.agree()
				w.shows(person, nobody, list.Subscribed)
				w.set(map[consent.Sync]bool{w.to(consent.Shopify): true, w.to(consent.Listrak): true})
			}, shop: shop.Subscribed, list: list.Subscribed},
		{name: "what happened while both were off is caught up by polls that go on from their watermark",
			after: func(w *world) {
				w.set(map[consent.Sync]bool{w.to(consent.Shopify): false, w.to(consent.Listrak): false})
				w.round()
				w.subscribes(person, w.clock.Now())
				w.clock.advance(5 * time.Hour)
				w.round()
				w.shows(person, nobody, list.Subscribed)
				w.set(map[consent.Sync]bool{w.to(consent.Shopify): true, w.to(consent.Listrak): true})
			}, shop: shop.Subscribed, list: list.Subscribed},
		{name: "an import in Listrak renews no yes against a no", email: true,
			after: func(w *world) {
				w.subscribes(person, w.clock.Now())
				w.agree()
				w.consents(person, shop.Unsubscribed, w.clock.Now())
				w.agree()
				w.clock.advance(time.Hour)
				w.subscribes(person, w.clock.Now(), list.MethodImport)
			}, shop: shop.Unsubscribed, list: list.Unsubscribed, atMost: 2},
		{name: "an import of somebody unknown is created", email: true,
			after: func(w *world) { w.subscribes(person, w.clock.Now(), list.MethodImport) }, shop: shop.Subscribed, list: list.Subscribed},
		{name: "a bounce is no person's no", email: true,
			after: func(w *world) {
				w.customer(person, shop.Subscribed, w.clock.Now())
				w.agree()
				w.unsubscribes(person, w.clock.Now(), list.MethodBounce)
			}, shop: shop.Subscribed, list: list.Unsubscribed, refused: true},
		{name: "a newer yes after a bounce is delivered", email: true,
			after: func(w *world) {
				w.customer(person, shop.Subscribed, w.clock.Now())
				w.agree()
				w.unsubscribes(person, w.clock.Now(), list.MethodBounce)
				w.agree()
				w.consents(person, shop.Unsubscribed, w.clock.Now())
				w.agree()
				w.consents(person, shop.Subscribed, w.clock.Now())
			}, shop: shop.Subscribed, list: list.Subscribed, atMost: 2},
		{name: "an invalid address in Shopify is never written over", email: true,
			after: func(w *world) {
				w.customer(person, shop.Invalid, w.clock.Now())
				w.subscribes(person, w.clock.Now())
			}, shop: shop.Invalid, list: list.Subscribed},
		{name: "a pending one in Shopify is never written over",
			after: func(w *world) {
				w.customer(person, shop.Pending, w.clock.Now())
				w.subscribes(person, w.clock.Now())
			}, shop: shop.Pending, list: list.Subscribed},
		{name: "a merge is read again, never inferred",
			after: func(w *world) {
				one := w.customer("one@example.com", "", time.Time{})
				two := w.customer(person, shop.Subscribed, w.clock.Now())
				w.agree()
				_, err := w.shop.MergeCustomers(one, two)
				w.must(err)
				w.agree()
				w.unsubscribes(person, w.clock.Now())
			}, shop: shop.Unsubscribed, list: list.Unsubscribed},
	}
	variants := []struct {
		name string
		plan plan
	}{
		{"as observed", plan{}},
		{"Listrak answers an error for the same state", plan{list: list.Config{SameState: list.AnswersError}}},
		{"Listrak keeps dates", plan{list: list.Config{SameState: list.KeepsDates}}},
		{"Shopify takes older writes", plan{shop: shop.Config{Switches: shop.Switches{TakeOlderWrites: true, TakeEqualDateWrites: true}}}},
		{"Shopify moves the date of the same state", plan{shop: shop.Config{Switches: shop.Switches{SameStateMovesDate: true}}}},
		{"Shopify keeps updatedAt of the same state", plan{shop: shop.Config{Switches: shop.Switches{SameStateKeepsUpdatedAt: true}}}},
		{"on PostgreSQL", plan{postgres: true}},
		{"Shopify's search lags two minutes", plan{shop: shop.Config{SearchLag: 2 * time.Minute}}},
		{"SMS as observed", plan{sms: true}},
		{"SMS, Listrak answers an error for the same state", plan{sms: true, code: list.SenderCodeConfig{SameState: list.AnswersError, Missing404: true}}},
		{"SMS, Listrak keeps dates, spells ten digits, and lists only who is subscribed", plan{sms: true,
			code: list.SenderCodeConfig{SameState: list.KeepsDates, Spelling: list.NationalDigits, OnlySubscribed: true, UnpagedOptOuts: true}}},
		{"SMS, Shopify takes older writes", plan{sms: true, shop: shop.Config{Switches: shop.Switches{TakeOlderWrites: true, TakeEqualDateWrites: true}}}},
		{"SMS on PostgreSQL", plan{sms: true, postgres: true}},
	}
	for i := range variants {
		if p := &variants[i].plan; p.sms {
			// Who has left a list alone is found by comparing, here in every round.
			p.timing = func(t *Timing) { t.Comparison = time.Second }
		}
	}
	for _, v := range variants {
		for _, r := range rows {
			if r.email && v.plan.sms {
				continue
			}
			t.Run(v.name+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, v.plan)
				if r.before != nil {
					r.before(w)
					w.shop.FinishIndexing()
				}
				w.enable()
				r.after(w)
				w.agree()
				w.shows(person, r.shop, r.list)
				inShopify, inListrak := w.effective(person)
				if most := max(r.atMost, 1); inShopify > most || inListrak > most {
					t.Errorf("%d effective writes in Shopify and %d in Listrak, want at most %d each\n%s", inShopify, inListrak, most, w.history(person))
				}
				if !r.refused && len(w.entry(person).SealedAddress) > 0 {
					t.Errorf("the address is still kept although nothing is owed\n%s", w.history(person))
				}
			})
		}
	}
}

// fullRead reads both sides completely.
func (w *world) fullRead() {
	w.t.Helper()
	for range 1000 {
		p, err := w.engine.FullRead(w.t.Context(), storeID, w.channel, func(FullProgress) {})
		w.must(err)
		if p.Done {
			return
		}
	}
	w.t.Fatal("the full read does not end")
}

// A zone that another process has proven is proven for an account that is open already.
func TestAZoneProvenElsewhereCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{unproven: true})
	account, err := w.engine.Connect(t.Context(), storeID)
	w.must(err)
	before := account.listrakUncertainty(false)
	account.SetZoneProven(true)
	if after := account.listrakUncertainty(false); after >= before {
		t.Errorf("a date may still be off by %s, as before (%s)", after, before)
	}
}
