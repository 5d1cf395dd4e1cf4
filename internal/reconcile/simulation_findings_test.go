package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// What the simulation found in the engine, by the number of the finding; the rules' part is in the test of the same name in
// internal/consent.

// slowShopify takes its time before a search reaches Shopify.
type slowShopify struct {
	Shopify
	outward func()
}

func (s slowShopify) ChangedCustomers(ctx context.Context, since time.Time, cursor string) (shopify.ChangePage, error) {
	s.outward()
	return s.Shopify.ChangedCustomers(ctx, since, cursor)
}

// Findings 1 and 2: Shopify's clock counts as the best comparison with ours has shown it, and a slow answer, whose date may be of any
// moment of the call, does not make it seem to agree.
func TestSimulationFinding1And2ShopifysClockIsNotOurs(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ ahead, slow time.Duration }{
		"1: a no dated by a clock that is 9 s behind":        {-9 * time.Second, 0},
		"2: the same when the answers take 13 s":             {-9 * time.Second, 13 * time.Second},
		"1: a no dated by a clock that is 2 s behind":        {-2 * time.Second, 0},
		"1: a no dated by a clock that is right":             {0, 0},
		"2: a no dated by a right clock with slow answers":   {0, 13 * time.Second},
		"1: a no dated by a clock that is ahead of ours 9 s": {9 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{shopAhead: row.ahead})
			var slow time.Duration
			c := &connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) {
				return slowShopify{a, func() { w.clock.advance(slow) }}, b
			}}
			w.engine.Connect = c.open
			w.enable()
			w.customer(person, "", time.Time{})
			w.agree()
			slow = row.slow
			w.subscribes(person, w.clock.Now())
			w.clock.advance(time.Second)
			w.consents(person, shop.Unsubscribed, w.clock.Now().Add(row.ahead))
			w.agree()
			w.shows(person, shop.Unsubscribed, list.Unsubscribed)
		})
	}
}

// The other side of finding 1: a yes in Shopify that is newer by more than its clock may be off is heard.
func TestSimulationFinding1AYesIsHeardInSpiteOfTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{shopAhead: -9 * time.Second}).enable()
	w.customer(person, "", time.Time{})
	w.subscribes(person, w.clock.Now())
	w.agree()
	w.unsubscribes(person, w.clock.Now())
	w.clock.advance(25 * time.Second)
	w.consents(person, shop.Subscribed, w.clock.Now().Add(-9*time.Second))
	w.agree()
	w.shows(person, shop.Subscribed, list.Subscribed)
}

// More of finding 1: a customer who was read within the second of their last change, by Shopify's clock, is read again.
func TestSimulationFinding1ASecondChangeWithinTheSameSecondIsSeen(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, -9 * time.Second} {
		w := newWorld(t, plan{shopAhead: ahead}).enable()
		w.subscribes(person, w.clock.Now())
		w.agree()
		now := w.clock.Now()
		w.clock.advance(now.Truncate(time.Minute).Add(2*time.Minute + 100*time.Millisecond).Sub(now))
		w.consents(person, shop.Unsubscribed, w.clock.Now().Add(ahead))
		_, err := w.engine.Round(t.Context(), storeID)
		w.must(err)
		if w.clock.Now().Nanosecond() > 900_000_000 {
			t.Fatal("the round took longer than a second: the test shows nothing")
		}
		w.consents(person, shop.Subscribed, w.clock.Now().Add(ahead))
		w.settle(true)
		w.shows(person, shop.Subscribed, list.Subscribed)
	}
}

// Finding 3: a full read whose search lags finds somebody not, who is there. Their first real report is a first contact all the same.
func TestSimulationFinding3WhomAFullReadMissedIsMetForTheFirstTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{shop: shop.Config{SearchLag: 4 * time.Minute}})
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true, consent.EmailToListrak: true})
	w.clock.advance(time.Hour)
	w.subscribes(person, w.clock.Now())
	// Another tool has copied the no to Shopify, with a date of its own.
	w.customer(person, shop.Unsubscribed, w.clock.Now().Add(-9*time.Minute))
	w.fullRead()
	if seen := w.entry(person).Record.Seen[consent.Shopify]; seen.State != consent.Absent || !seen.Inferred {
		t.Fatalf("the full read found the customer: %+v", seen)
	}
	w.agree()
	w.shows(person, shop.Unsubscribed, list.Unsubscribed)
}

// Finding 8: a machine whose clock is wrong by hours asks for the changes of now.
func TestSimulationFinding8WatermarksAreByTheLedgersClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-6 * time.Hour, 6 * time.Hour} {
		w := newWorld(t)
		w.engine.Now = func() time.Time { return w.clock.Now().Add(ahead) }
		w.customer("old@example.com", shop.Subscribed, w.clock.Now())
		w.fullRead()
		w.enable()
		c := people(1)
		w.known(c)
		w.play(c)
		w.agree()
		w.played(c)
	}
}

// dozingListrak is a process that is held up while it waits for its budget.
type dozingListrak struct {
	Listrak
	*interference
}

func (l dozingListrak) Reserve(ctx context.Context) error {
	l.strike()
	return l.Listrak.Reserve(ctx)
}

// Finding 9: a look that is minutes old is none: what a process would write after it, overriding an unsubscribe, may not override
// another one.
func TestSimulationFinding9AProcessThatWasFrozenLooksAgain(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		asleep time.Duration
		again  bool
		shop   shop.State
		list   list.State
	}{
		"five minutes, and the person leaves again": {5 * time.Minute, true, shop.Unsubscribed, list.Unsubscribed},
		"five minutes, and nothing happens":         {5 * time.Minute, false, shop.Subscribed, list.Subscribed},
		"half a minute, and nothing happens":        {30 * time.Second, false, shop.Subscribed, list.Subscribed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			i := &interference{}
			c := &connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) { return a, dozingListrak{b, i} }}
			w.engine.Connect = c.open
			w.enable()
			w.subscribes(person, w.clock.Now())
			w.agree()
			w.unsubscribes(person, w.clock.Now())
			w.agree()
			w.consents(person, shop.Subscribed, w.clock.Now())
			struck := false
			i.happen = func() {
				struck = true
				w.clock.advance(row.asleep / 2)
				if row.again {
					w.unsubscribes(person, w.clock.Now())
				}
				w.clock.advance(row.asleep / 2)
			}
			w.settle(true)
			if !struck {
				t.Fatal("nothing was to be written: the test shows nothing")
			}
			w.shows(person, row.shop, row.list)
			if _, inListrak := w.effective(person); row.again && inListrak != 0 {
				t.Errorf("%d effective writes to Listrak\n%s", inListrak, w.history(person))
			}
		})
	}
}

// dozingLedger is a process that is held up just after the ledger has told its time.
type dozingLedger struct {
	Records
	*interference
}

func (l dozingLedger) Now(ctx context.Context) (consent.Instant, error) {
	now, err := l.Records.Now(ctx)
	l.strike()
	return now, err
}

// More of findings 8 and 9: a process that is frozen just after the ledger has told its time still knows the time. Otherwise it would date
// reads and writes minutes before they were made, and what a write left could pass for a person's word.
func TestSimulationFinding9AProcessThatWasFrozenKnowsTheTime(t *testing.T) {
	t.Parallel()
	for name, times := range map[string]int{"once": 1, "four times": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			i := &interference{}
			var freeze func()
			freeze = func() {
				w.clock.advance(5 * time.Minute)
				if times--; times > 0 {
					i.happen = freeze
				}
			}
			i.happen = freeze
			w.engine.Intercept = func(r Records) Records { return dozingLedger{r, i} }
			_, s, err := w.engine.begin(t.Context(), storeID)
			w.must(err)
			if off := w.clock.Now().Sub(s.now().Time()).Abs(); off > time.Second {
				t.Errorf("the time is off by %s", off)
			}
		})
	}
}

// Finding 10: an operator corrects the zone, and every date of Listrak's moves. Our copies stay copies.
func TestSimulationFinding10ACorrectedZoneMovesNobodysWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{unproven: true, settings: func(s *merchant.Settings) { s.Zone = "Etc/GMT+9" }})
	w.subscribes(person, w.clock.Now().Add(-20*time.Hour))
	w.customer(person, shop.Subscribed, w.clock.Now().Add(-20*time.Hour))
	w.clock.advance(time.Minute)
	w.fullRead()
	w.enable()
	w.consents(person, shop.Unsubscribed, w.clock.Now())
	for range 3 {
		_, _ = w.engine.Round(t.Context(), storeID) // the first write proves the zone wrong
		w.clock.advance(w.timing.Interval)
	}
	w.shows(person, shop.Unsubscribed, list.Unsubscribed)
	before := w.entry(person).Record
	if !before.Seen[consent.Listrak].Echo {
		t.Fatalf("our unsubscribe was not read: %+v\n%s", before.Seen[consent.Listrak], w.history(person))
	}
	_, err := w.merchants.Update(t.Context(), storeID, func(s *merchant.Settings) error { s.Zone = zoneName; return nil }, nil)
	w.must(err)
	_, err = w.ledger.Heal(t.Context(), storeID)
	w.must(err)
	_, err = w.engine.Connect(t.Context(), storeID)
	w.must(err)
	for range 3 {
		w.round()
	}
	after := w.entry(person).Record
	if after.Decision != before.Decision {
		t.Errorf("nobody has said anything, and the decision is %+v, not %+v any more\n%s", after.Decision, before.Decision, w.history(person))
	}
	if contact, ok, err := w.contact(person); err != nil || !ok || consent.InstantOf(contact.Date) == before.Seen[consent.Listrak].Shown {
		t.Errorf("the date has not moved: the test shows nothing (%v)", err)
	}
	w.consents(person, shop.Subscribed, w.clock.Now())
	w.agree()
	w.shows(person, shop.Subscribed, list.Subscribed)
}

// Finding 11: what was decided in time is delivered when its direction is on again, even if the only side that knew the address does not
// know it any more by then.
func TestSimulationFinding11AnAddressIsKeptWhileTheDirectionIsOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	id := w.customer(person, shop.Subscribed, w.clock.Now())
	w.round() // which holds it for the checkout
	w.set(map[consent.Sync]bool{consent.EmailToListrak: false})
	w.must(w.shop.ChangeEmail(id, "someone.else@example.com"))
	w.clock.advance(time.Hour)
	w.round()
	w.set(map[consent.Sync]bool{consent.EmailToListrak: true})
	w.agree()
	w.shows(person, "", list.Subscribed)
}

// contact reads somebody as the engine does.
func (w *world) contact(email string) (listrak.Contact, bool, error) {
	account, err := w.engine.Connect(w.t.Context(), storeID)
	w.must(err)
	return account.Listrak.Contact(w.t.Context(), email)
}
