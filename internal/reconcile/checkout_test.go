package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// subscribedThrough fails the test unless Listrak was told of the person's consent through that subscription point.
func (w *world) subscribedThrough(email string, event int) {
	w.t.Helper()
	contact, _ := w.list.Contact(email)
	if contact.State != list.Subscribed || !slices.Equal(contact.SubscriptionEvents, []int{event}) {
		w.t.Errorf("Listrak shows %q through %v, want subscribed through %d\n%s", contact.State, contact.SubscriptionEvents, event, w.history(email))
	}
}

func (w *world) order(o shop.Order) {
	w.t.Helper()
	_, err := w.shop.PlaceOrder(o)
	w.must(err)
}

func TestAnOrderWithinTheWindowDecidesTheSubscriptionPoint(t *testing.T) {
	t.Parallel()
	at := func(w *world) time.Time { return w.clock.Now().Truncate(time.Second) }
	rows := []struct {
		name  string
		plan  plan
		play  func(w *world)
		event int
	}{
		{"no order", plan{}, func(w *world) { w.customer(person, shop.Subscribed, at(w)) }, marketingEvent},
		{"an order two minutes later", plan{}, func(w *world) {
			id := w.customer(person, shop.Subscribed, at(w))
			w.round()
			w.clock.advance(time.Minute)
			w.order(shop.Order{CustomerID: id})
		}, checkoutEvent},
		{"an order exactly a minute before", plan{}, func(w *world) {
			now := at(w)
			w.order(shop.Order{CustomerID: w.customer(person, shop.Subscribed, now), CreatedAt: now.Add(-time.Minute)})
		}, checkoutEvent},
		{"an order a second too early", plan{}, func(w *world) {
			now := at(w)
			w.order(shop.Order{CustomerID: w.customer(person, shop.Subscribed, now), CreatedAt: now.Add(-61 * time.Second)})
		}, marketingEvent},
		{"an order ten minutes before, where the merchant counts fifteen", plan{settings: func(s *merchant.Settings) { s.OrderBeforeConsent = 15 * time.Minute }}, func(w *world) {
			now := at(w)
			w.order(shop.Order{CustomerID: w.customer(person, shop.Subscribed, now), CreatedAt: now.Add(-10 * time.Minute)})
		}, checkoutEvent},
		{"an order a second before, where none counts", plan{settings: func(s *merchant.Settings) { s.OrderBeforeConsent = 0 }}, func(w *world) {
			now := at(w)
			w.order(shop.Order{CustomerID: w.customer(person, shop.Subscribed, now), CreatedAt: now.Add(-time.Second)})
		}, marketingEvent},
		{"an order exactly five minutes after", plan{}, func(w *world) {
			now := at(w)
			w.order(shop.Order{CustomerID: w.customer(person, shop.Subscribed, now), CreatedAt: now.Add(5 * time.Minute)})
		}, checkoutEvent},
		{"an order a second too late", plan{}, func(w *world) {
			now := at(w)
			w.order(shop.Order{CustomerID: w.customer(person, shop.Subscribed, now), CreatedAt: now.Add(5*time.Minute + time.Second)})
		}, marketingEvent},
		{"a guest's order, by its exact address", plan{}, func(w *world) {
			w.order(shop.Order{Email: "ADA@example.com"})
			w.customer(person, shop.Subscribed, at(w))
		}, checkoutEvent},
		{"a guest's order of another address that holds this one", plan{shop: shop.Config{Switches: shop.Switches{TokenisedEmailSearch: true}}}, func(w *world) {
			w.order(shop.Order{Email: "not." + person})
			w.customer(person, shop.Subscribed, at(w))
		}, marketingEvent},
		{"another customer's order", plan{}, func(w *world) {
			w.customer(person, shop.Subscribed, at(w))
			w.order(shop.Order{CustomerID: w.customer("other@example.com", "", time.Time{})})
		}, marketingEvent},
		{"the renewal of a subscription", plan{}, func(w *world) {
			w.order(shop.Order{CustomerID: w.customer(person, shop.Subscribed, at(w)), SourceName: "subscription_contract"})
		}, marketingEvent},
		{"an order at the till, a test, cancelled", plan{}, func(w *world) {
			now := at(w)
			w.order(shop.Order{CustomerID: w.customer(person, shop.Subscribed, now), SourceName: "pos", Test: true, CancelledAt: now})
		}, checkoutEvent},
		{"an order that the search shows only after the window, before the last look-up", plan{shop: shop.Config{SearchLag: 50 * time.Second}}, func(w *world) {
			now := at(w)
			id := w.customer(person, shop.Subscribed, now)
			w.clock.advance(4*time.Minute + 50*time.Second)
			w.order(shop.Order{CustomerID: id})
			w.clock.advance(20 * time.Second) // the window is over, the order not yet to be found
			w.round()
			if contact, known := w.list.Contact(person); known {
				w.t.Errorf("delivered before the last look-up: %+v", contact)
			}
		}, checkoutEvent},
		{"an order of the first consent does not count for one that is given again later", plan{}, func(w *world) {
			now := at(w)
			w.order(shop.Order{CustomerID: w.customer(person, shop.Subscribed, now), CreatedAt: now.Add(-time.Minute)})
			w.clock.advance(time.Minute)
			w.consents(person, shop.Unsubscribed, at(w))
			w.round()
			w.clock.advance(time.Minute)
			w.consents(person, shop.Subscribed, at(w))
		}, marketingEvent},
		{"a newer consent restarts the window", plan{}, func(w *world) {
			id := w.customer(person, shop.Subscribed, at(w))
			w.round()
			w.consents(person, shop.Unsubscribed, at(w))
			w.round()
			w.consents(person, shop.Subscribed, at(w))
			w.round()
			w.clock.advance(3*time.Minute + 30*time.Second) // beyond five minutes after the first consent
			w.order(shop.Order{CustomerID: id})
		}, checkoutEvent},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, r.plan).enable()
			w.clock.advance(20 * time.Minute)
			r.play(w)
			w.agree()
			w.subscribedThrough(person, r.event)
			if _, writes := w.effective(person); writes != 1 {
				t.Errorf("%d effective writes\n%s", writes, w.history(person))
			}
		})
	}
}

func TestAnOrderEndsTheWaitAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	id := w.customer(person, shop.Subscribed, w.clock.Now())
	w.round()
	w.order(shop.Order{CustomerID: id})
	w.round()
	w.subscribedThrough(person, checkoutEvent)
}

func TestAnUnsubscribeIsNeverHeldAndEndsTheWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	var told []consent.Instant
	w.engine.HoldChanged = func(_ context.Context, _ string, held ledger.Held) { told = append(told, held.Hold.Consent) }
	id := w.customer(person, shop.Subscribed, w.clock.Now())
	if windows := w.round().Windows; len(windows) != 1 {
		t.Fatalf("%d windows to open", len(windows))
	}
	w.must(w.shop.SetEmailConsent(id, shop.Unsubscribed, w.clock.Now()))
	w.round()
	if held, _, err := w.ledger.CountHeld(t.Context(), storeID); err != nil || held != 0 {
		t.Errorf("%d held, %v", held, err)
	}
	if len(told) != 1 {
		t.Errorf("the window was told %d times", len(told))
	}
	w.agree()
	w.shows(person, shop.Unsubscribed, nobody)
}

// Whose orders alone cannot be looked up is not held for ever: the subscription is worth more than the point.
func TestAHoldWhoseLookUpAlwaysFailsEndsAndIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	poisoned := newPoison(w)
	w.engine.Connect = poisoned.connections.open
	poisoned.add("broken@example.com")
	w.customer("broken@example.com", shop.Subscribed, w.clock.Now())
	w.customer("healthy@example.com", shop.Subscribed, w.clock.Now())
	_, err := w.engine.Round(t.Context(), storeID)
	if err == nil {
		t.Error("the round says nothing of the look-up that failed")
	}
	w.clock.advance(w.timing.Window.Length.Duration() + w.timing.Window.Lag.Duration() + time.Second)
	_, _ = w.engine.Round(t.Context(), storeID)
	w.shows("healthy@example.com", shop.Subscribed, list.Subscribed)
	w.shows("broken@example.com", shop.Subscribed, nobody)
	w.clock.advance(lookUpPatience.Duration())
	_, _ = w.engine.Round(t.Context(), storeID)
	w.shows("broken@example.com", shop.Subscribed, list.Subscribed)
}

func TestConsentsOlderThanTheWindowAreDeliveredAtOnceWithoutOne(t *testing.T) {
	t.Parallel()
	const n = 400
	w := newWorld(t, plan{timing: func(t *Timing) { t.MaxHeld = 100 }}).enable()
	for i := range n {
		id := w.customer(fmt.Sprintf("old-%d@example.com", i), shop.Subscribed, w.clock.Now())
		if i%10 == 0 {
			w.order(shop.Order{CustomerID: id})
		}
	}
	w.clock.advance(10 * time.Minute)
	before := w.shop.Requests()
	if windows := w.round().Windows; len(windows) != 0 {
		t.Errorf("%d windows opened for consents that are older", len(windows))
	}
	after := w.shop.Requests()
	if calls := after["customer"] - before["customer"] + after["orders"] - before["orders"]; calls > 2*n/50+4 {
		t.Errorf("%d order look-ups for %d consents", calls, n)
	}
	if held, _, err := w.ledger.CountHeld(t.Context(), storeID); err != nil || held != 0 {
		t.Errorf("%d of %d are still held after one round (%v)", held, n, err)
	}
	w.agree()
	for i := range n {
		event := marketingEvent
		if i%10 == 0 {
			event = checkoutEvent
		}
		w.subscribedThrough(fmt.Sprintf("old-%d@example.com", i), event)
	}
}

func TestNoMoreThanMaxHeldWindowsAreOpenAtOnce(t *testing.T) {
	t.Parallel()
	const n, most = 35, 10
	w := newWorld(t, plan{timing: func(t *Timing) { t.MaxHeld = most }}).enable()
	for i := range n {
		w.customer(fmt.Sprintf("new-%d@example.com", i), shop.Subscribed, w.clock.Now())
	}
	opened := map[string]bool{}
	for range 12 {
		for _, held := range w.round().Windows {
			if opened[held.Hold.Customer] {
				t.Errorf("a second window for %s", held.Hold.Customer)
			}
			opened[held.Hold.Customer] = true
		}
		if _, open, err := w.ledger.CountHeld(t.Context(), storeID); err != nil || open > most {
			t.Fatalf("%d windows open at once (%v)", open, err)
		}
	}
	if len(opened) != most {
		t.Errorf("%d windows opened, want %d", len(opened), most)
	}
	w.agree()
	for i := range n {
		w.subscribedThrough(fmt.Sprintf("new-%d@example.com", i), marketingEvent)
	}
}

func TestACheckoutWindowSettlesByItself(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T, p plan) (*world, ledger.Held) {
		w := newWorld(t, p).enable()
		w.customer(person, shop.Subscribed, w.clock.Now())
		w.shop.FinishIndexing()
		windows := w.round().Windows
		if len(windows) != 1 {
			t.Fatalf("%d windows to open", len(windows))
		}
		return w, windows[0]
	}
	settle := func(w *world, held ledger.Held, order *ledger.Order) WindowState {
		w.t.Helper()
		state, err := w.engine.SettleWindow(w.t.Context(), storeID, consent.Email, held.Hold.Customer, held.Hold.Consent, order)
		w.must(err)
		return state
	}
	t.Run("it stays open until the last look-up, then delivers through marketing", func(t *testing.T) {
		t.Parallel()
		w, held := begin(t, plan{})
		if state := settle(w, held, nil); state.Open == nil {
			t.Fatalf("ended before its time: %+v", state)
		}
		w.clock.advance(w.engine.LastLookUp(held).Sub(w.clock.Now()))
		if state := settle(w, held, nil); state.Open != nil || state.Outcome != "subscribed through marketing" {
			t.Errorf("%+v", state)
		}
		w.subscribedThrough(person, marketingEvent)
		w.agree()
		if _, writes := w.effective(person); writes != 1 {
			t.Errorf("%d effective writes", writes)
		}
	})
	t.Run("an order that it is told of before Shopify's search knows it delivers through checkout at once", func(t *testing.T) {
		t.Parallel()
		w, held := begin(t, plan{shop: shop.Config{SearchLag: time.Hour}})
		order := ledger.Order{ID: "gid://shopify/Order/1", Customer: held.Hold.Customer, CreatedAt: held.Hold.Consent.Plus(consent.Minute),
			Until: held.Hold.Until.Plus(15 * consent.Minute)}
		if state := settle(w, held, &order); state.Outcome != "subscribed through checkout" {
			t.Errorf("%+v", state)
		}
		w.subscribedThrough(person, checkoutEvent)
	})
	t.Run("an order that came before its window is remembered for the round", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plan{shop: shop.Config{SearchLag: time.Hour}}).enable()
		w.must(w.ledger.RememberOrder(t.Context(), storeID, ledger.Order{ID: "gid://shopify/Order/1", Email: w.subject(person),
			CreatedAt: consent.InstantOf(w.clock.Now()), Until: consent.InstantOf(w.clock.Now().Add(15 * time.Minute))}))
		w.customer(person, shop.Subscribed, w.clock.Now().Add(2*time.Second))
		w.clock.advance(2 * time.Second)
		w.shop.FinishIndexing()
		w.round()
		w.subscribedThrough(person, checkoutEvent)
	})
	t.Run("an older window leaves a newer consent to its own", func(t *testing.T) {
		t.Parallel()
		w, held := begin(t, plan{})
		w.consents(person, shop.Unsubscribed, w.clock.Now())
		w.round()
		w.consents(person, shop.Subscribed, w.clock.Now())
		w.round()
		if state := settle(w, held, nil); !strings.HasPrefix(state.Outcome, "restarted") {
			t.Errorf("%+v", state)
		}
	})
	t.Run("it calls nobody while the merchant is paused, and nothing is lost", func(t *testing.T) {
		t.Parallel()
		w, held := begin(t, plan{})
		_, err := w.ledger.Pause(t.Context(), storeID)
		w.must(err)
		w.clock.advance(10 * time.Minute)
		before := w.shopifyCalls()
		if state := settle(w, held, nil); !strings.HasPrefix(state.Outcome, "left to the rounds") {
			t.Errorf("%+v", state)
		}
		if calls := w.shopifyCalls() - before; calls != 0 {
			t.Errorf("%d calls", calls)
		}
		_, err = w.ledger.Resume(t.Context(), storeID)
		w.must(err)
		w.agree()
		w.subscribedThrough(person, marketingEvent)
	})
	t.Run("an order that it is told of while the merchant is paused is remembered for the rounds", func(t *testing.T) {
		t.Parallel()
		w, held := begin(t, plan{shop: shop.Config{SearchLag: time.Hour}})
		_, err := w.ledger.Pause(t.Context(), storeID)
		w.must(err)
		order := ledger.Order{ID: "gid://shopify/Order/1", Customer: held.Hold.Customer, CreatedAt: held.Hold.Consent.Plus(consent.Minute),
			Until: held.Hold.Until.Plus(15 * consent.Minute)}
		if state := settle(w, held, &order); !strings.HasPrefix(state.Outcome, "left to the rounds") {
			t.Errorf("%+v", state)
		}
		_, err = w.ledger.Resume(t.Context(), storeID)
		w.must(err)
		w.round()
		w.subscribedThrough(person, checkoutEvent)
	})
	t.Run("it calls nobody and claims nothing while the direction is off", func(t *testing.T) {
		t.Parallel()
		w, held := begin(t, plan{})
		w.set(map[consent.Sync]bool{consent.EmailToListrak: false})
		w.clock.advance(10 * time.Minute)
		before := w.shopifyCalls()
		if state := settle(w, held, nil); !strings.HasPrefix(state.Outcome, "left to the rounds") {
			t.Errorf("%+v", state)
		}
		if calls := w.shopifyCalls() - before; calls != 0 {
			t.Errorf("%d calls", calls)
		}
		w.set(map[consent.Sync]bool{consent.EmailToListrak: true})
		w.agree()
		w.subscribedThrough(person, marketingEvent)
	})
	t.Run("it says so when Listrak refuses", func(t *testing.T) {
		t.Parallel()
		w, held := begin(t, plan{})
		w.must(w.list.Refuse(person, list.Banned))
		w.clock.advance(10 * time.Minute)
		if state := settle(w, held, nil); state.Outcome != consent.Refused.String() {
			t.Errorf("%+v", state)
		}
	})
	t.Run("it delivers what a round has settled before it", func(t *testing.T) {
		t.Parallel()
		w, held := begin(t, plan{})
		w.list.Faults.Set(1, serverErrors("POST Contact"))
		w.clock.advance(10 * time.Minute)
		_, err := w.engine.Round(t.Context(), storeID)
		if err == nil {
			t.Fatal("the round did not fail")
		}
		w.list.Faults.Set(1)
		w.clock.advance(20 * time.Minute)
		settle(w, held, nil)
		w.subscribedThrough(person, marketingEvent)
	})
}

func TestADamagedSealKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	others := []string{"one@example.com", "two@example.com"}
	for _, email := range append(others, person) {
		w.customer(email, shop.Subscribed, w.clock.Now())
	}
	w.round()
	entry := w.entry(person)
	if len(entry.SealedAddress) == 0 {
		t.Fatal("a held consent keeps no address")
	}
	w.damage(person)
	w.agree()
	for _, email := range append(others, person) {
		w.subscribedThrough(email, marketingEvent)
	}
}

// damage spoils the sealed address of a person, as a lost master key would.
func (w *world) damage(email string) {
	w.t.Helper()
	entry := w.entry(email)
	conflicts, err := w.ledger.Save(w.t.Context(), storeID, ledger.Batch{Changes: []ledger.Change{{
		Channel: consent.Email, Subject: w.subject(email), Version: entry.Version, Record: entry.Record, Debts: entry.Debts, NextTry: entry.NextTry,
		Address: ledger.StoreAddress([]byte("not a seal")),
	}}})
	w.must(err)
	if len(conflicts) > 0 {
		w.t.Fatal("the entry changed meanwhile")
	}
}
