package reconcile

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

const dailyLimit = 4

// braked is a plan with a low limit on re-subscriptions.
func braked(postgres bool) plan {
	return plan{postgres: postgres, settings: func(s *merchant.Settings) { s.ResubscribeLimit = dailyLimit }}
}

func someone(i int) string { return fmt.Sprintf("comes-back-%02d@example.com", i) }

// left makes people who are known and unsubscribed on both sides.
func (w *world) left(n int) {
	w.t.Helper()
	for i := range n {
		w.subscribes(someone(i), w.clock.Now())
	}
	w.agree()
	for i := range n {
		w.unsubscribes(someone(i), w.clock.Now())
	}
	w.agree()
	w.clock.advance(time.Hour)
}

// comeBack lets people subscribe again on the side that is not to.
func (w *world) comeBack(to consent.Side, from, n int) {
	w.t.Helper()
	for i := from; i < from+n; i++ {
		if to == consent.Shopify {
			w.subscribes(someone(i), w.clock.Now())
		} else {
			w.consents(someone(i), shop.Subscribed, w.clock.Now())
		}
		w.clock.advance(time.Second)
	}
}

// changeTheirMinds lets people who have left come back on the side that is not to, and the rounds deal with it.
func (w *world) changeTheirMinds(to consent.Side, n int) {
	w.t.Helper()
	w.left(n)
	w.comeBack(to, 0, n)
	w.agree()
}

// resubscribed counts those of the people who are subscribed on both sides.
func (w *world) resubscribed(n int) int {
	w.t.Helper()
	both := 0
	for i := range n {
		customer, _ := w.shop.Customer(someone(i))
		contact, _ := w.list.Contact(someone(i))
		if customer.Consent.State == shop.Subscribed && contact.State == list.Subscribed {
			both++
		}
	}
	return both
}

// stopped counts who waits, by side.
func (w *world) stopped() [2]int64 {
	w.t.Helper()
	stops, err := w.ledger.Stops(w.t.Context(), storeID)
	w.must(err)
	return stops.Waiting
}

func (w *world) brake() ledger.Brake {
	w.t.Helper()
	m, err := w.merchants.Get(w.t.Context(), storeID)
	w.must(err)
	b, err := w.ledger.Brake(w.t.Context(), storeID, m.Settings.ResubscriptionLimit(), nil)
	w.must(err)
	return b
}

func (w *world) approve(n int64) {
	w.t.Helper()
	_, err := w.ledger.Approve(w.t.Context(), storeID, n)
	w.must(err)
}

func (w *world) limit(n int) {
	w.t.Helper()
	_, err := w.merchants.Update(w.t.Context(), storeID, func(s *merchant.Settings) error { s.ResubscribeLimit = n; return nil }, nil)
	w.must(err)
}

// pass lets days go by, with rounds in them.
func (w *world) pass(days int) {
	w.t.Helper()
	for range days {
		w.clock.advance(25 * time.Hour)
		w.agree()
	}
}

// told counts the lines of a kind in a person's journal.
func (w *world) told(email string, kind ledger.Kind) int {
	w.t.Helper()
	lines, err := w.ledger.Journal(w.t.Context(), storeID, consent.Email, w.subject(email))
	w.must(err)
	n := 0
	for _, line := range lines {
		if line.Kind == kind {
			n++
		}
	}
	return n
}

// Of an avalanche exactly the limit is delivered, in either direction. The others wait for an operator, however long that takes, and so
// does whoever comes after them; an approval releases exactly whom it says, the oldest decisions first.
func TestAnAvalancheStopsAtTheLimit(t *testing.T) {
	t.Parallel()
	for _, to := range consent.Sides {
		t.Run("to "+to.String(), func(t *testing.T) {
			t.Parallel()
			const people, later = 13, 2
			w := newWorld(t, braked(to == consent.Listrak)).enable()
			w.left(people + later)
			w.comeBack(to, 0, people)
			w.agree() // towards Listrak the checkout windows end first
			expect := func(delivered, waiting int) {
				t.Helper()
				if n := w.resubscribed(people + later); n != delivered {
					t.Errorf("%d people are resubscribed, want %d\n%s", n, delivered, w.history(someone(delivered)))
				}
				if n := w.stopped(); n[to] != int64(waiting) || n[to.Other()] != 0 {
					t.Errorf("%v people wait, want %d", n, waiting)
				}
			}
			expect(dailyLimit, people-dailyLimit)
			for i := range dailyLimit {
				w.shows(someone(i), shop.Subscribed, list.Subscribed)
			}
			stopped := w.entry(someone(people - 1))
			if stopped.Debts[to] != consent.Stopped || len(stopped.SealedAddress) == 0 || stopped.NextTry[to] != 0 {
				t.Errorf("the last one is %s, with an address of %d bytes, next try %d", stopped.Debts[to], len(stopped.SealedAddress), stopped.NextTry[to])
			}

			// Who waits costs no call, and one line in the journal.
			w.round()
			calls := w.countingCalls()
			w.round()
			if n := calls(); n != 3 {
				t.Errorf("a round with people who wait costs %d calls, want the 3 of an idle one", n)
			}
			if n := w.told(someone(people-1), ledger.Stopped); n != 1 {
				t.Errorf("the journal tells %d times that somebody is stopped\n%s", n, w.history(someone(people-1)))
			}

			w.approve(3)
			w.agree()
			expect(dailyLimit+3, people-dailyLimit-3)
			w.shows(someone(dailyLimit+2), shop.Subscribed, list.Subscribed)

			// The 24 hours slide, and there is room for everybody.
			w.pass(2)
			w.comeBack(to, people, later)
			w.pass(1)
			expect(dailyLimit+3, people+later-dailyLimit-3)

			w.approve(people + later)
			w.agree()
			expect(people+later, 0)
			if address := w.entry(someone(people - 1)).SealedAddress; len(address) > 0 {
				t.Error("an address is still kept although nothing is owed")
			}
			for i := range people + later {
				inShopify, inListrak := w.effective(someone(i))
				if inShopify > 3 || inListrak > 2 {
					t.Errorf("%d effective writes in Shopify and %d in Listrak\n%s", inShopify, inListrak, w.history(someone(i)))
				}
			}

			// The brake is open again as soon as nobody waits.
			w.pass(1)
			w.unsubscribes(someone(0), w.clock.Now())
			w.agree()
			w.clock.advance(time.Hour)
			w.comeBack(to, 0, 1)
			w.agree()
			expect(people+later, 0)
		})
	}
}

// An approval is for the people who waited then: over crashes, and when the 24 hours slide before it is used, nobody else goes on by it.
func TestAnApprovalReleasesExactlyWhomItNames(t *testing.T) {
	t.Parallel()
	const people = 8
	for nth := int64(1); nth <= 21; nth += 4 {
		to, made := consent.Sides[nth/4%2], nth%8 == 1
		t.Run(fmt.Sprintf("to %s, death at call %d, made %t", to, nth, made), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, braked(false)).enable()
			w.left(people)
			w.comeBack(to, 0, people)
			w.clock.advance(7 * time.Minute)
			w.agree()
			w.clock.advance(23 * time.Hour)
			w.approve(2)
			w.clock.advance(2 * time.Hour)
			_, _ = w.mortalEngine("doomed", newFate(nth, made)).Round(t.Context(), storeID)
			w.settleAfterDeath()
			w.agree()
			w.pass(2)
			if n := w.resubscribed(people); n != dailyLimit+2 {
				t.Errorf("%d people are resubscribed, want %d", n, dailyLimit+2)
			}
			w.shows(someone(dailyLimit+1), shop.Subscribed, list.Subscribed)
			if n := w.stopped(); n[to] != people-dailyLimit-2 {
				t.Errorf("%v wait", n)
			}
		})
	}
}

// Whoever was not delivered within 24 hours of an approval waits again, although there is room by then.
func TestAnApprovalEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, braked(false)).enable()
	w.left(dailyLimit + 2)
	w.comeBack(consent.Shopify, 0, dailyLimit+2)
	w.agree()
	w.set(map[consent.Sync]bool{consent.EmailToShopify: false})
	w.approve(2)
	if n := w.stopped(); n != [2]int64{2, 0} {
		t.Errorf("%v wait: nobody can be approved for a direction that is off", n)
	}
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true})
	w.approve(2)
	w.set(map[consent.Sync]bool{consent.EmailToShopify: false})
	w.pass(1)
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true})
	w.pass(1)
	if n := w.stopped(); n != [2]int64{2, 0} {
		t.Errorf("%v wait", n)
	}
	if n := w.resubscribed(dailyLimit + 2); n != dailyLimit {
		t.Errorf("%d people are resubscribed, want %d", n, dailyLimit)
	}
}

// Whoever is stopped and subscribes once more, as by an import that is run again, is stopped still: also while a new checkout window
// holds them. Decided while the direction was off, it may not be delivered, and nobody has to be asked.
func TestARenewedConsentWaitsOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, braked(false)).enable()
	const people = dailyLimit + 1
	last := someone(people - 1)
	w.changeTheirMinds(consent.Listrak, people)
	w.clock.advance(25 * time.Hour)
	w.consents(last, shop.Subscribed, w.clock.Now())
	w.round()
	if entry := w.entry(last); entry.Record.DebtTo(consent.Listrak) != consent.Held || entry.Debts[consent.Listrak] != consent.Stopped {
		t.Errorf("owed %s, kept as %s", entry.Record.DebtTo(consent.Listrak), entry.Debts[consent.Listrak])
	}
	w.approve(1)
	w.round()
	w.shows(last, shop.Subscribed, list.Unsubscribed) // held, and approved
	w.clock.advance(25 * time.Hour)
	w.agree()
	w.shows(last, shop.Subscribed, list.Unsubscribed)
	if n := w.stopped(); n != [2]int64{0, 1} {
		t.Errorf("%v wait", n)
	}
	w.set(map[consent.Sync]bool{consent.EmailToListrak: false})
	w.clock.advance(time.Hour)
	w.consents(last, shop.Subscribed, w.clock.Now())
	w.agree()
	w.clock.advance(time.Hour)
	w.set(map[consent.Sync]bool{consent.EmailToListrak: true})
	w.agree()
	w.shows(last, shop.Subscribed, list.Unsubscribed)
	if n := w.stopped(); n != [2]int64{} || w.brake().Closed {
		t.Errorf("%v wait", n)
	}
}

// To try again what a side has refused takes nobody's stop away.
func TestARetryIsNoApproval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, braked(false)).enable()
	w.left(dailyLimit + 1)
	w.comeBack(consent.Shopify, 0, dailyLimit+1)
	w.agree()
	last := w.subject(someone(dailyLimit))
	change := ledger.Change{Subject: last, Record: w.entry(someone(dailyLimit)).Record}
	change.Record.Seen[consent.Listrak].Machine, change.Record.Seen[consent.Listrak].State = true, consent.Unsubscribed
	change.Record.Seen[consent.Listrak].At = change.Record.Decision.At
	if done := retry(&change, [2]consent.Debt{consent.Stopped, consent.Refused}); len(done) != 1 {
		t.Fatalf("%+v", done)
	}
	if change.Debts != [2]consent.Debt{consent.Stopped, consent.Owed} {
		t.Errorf("owed %v", change.Debts)
	}
}

// Where only the look-up before the write shows that somebody is unsubscribed there, the claim stops them, once.
func TestALookUpMayTellOfAResubscription(t *testing.T) {
	t.Parallel()
	const people = 11
	for _, to := range consent.Sides {
		t.Run("to "+to.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, braked(false))
			for i := range people {
				// From before anything was on, and never read.
				if to == consent.Shopify {
					w.customer(someone(i), shop.Unsubscribed, w.clock.Now().Add(-48*time.Hour))
				} else {
					w.subscribes(someone(i), w.clock.Now().Add(-49*time.Hour))
					w.unsubscribes(someone(i), w.clock.Now().Add(-48*time.Hour))
				}
			}
			w.shop.FinishIndexing()
			w.clock.advance(24 * time.Hour)
			w.enable()
			w.comeBack(to, 0, people)
			w.agree()
			if n := w.resubscribed(people); n != dailyLimit {
				t.Errorf("%d people are resubscribed, want %d", n, dailyLimit)
			}
			if n := w.stopped(); n[to] != people-dailyLimit {
				t.Errorf("%v wait", n)
			}
			for i := range people {
				if n := w.told(someone(i), ledger.Stopped) + w.told(someone(i), ledger.Claimed); n != 1 {
					t.Errorf("neither let through nor stopped once\n%s", w.history(someone(i)))
				}
			}
			w.round()
			calls := w.countingCalls()
			w.round()
			if n := calls(); n != 3 {
				t.Errorf("a round with people who wait costs %d calls, want 3", n)
			}
		})
	}
}

// Both directions have one limit together, and whoever was counted once passes again.
func TestBothSidesShareTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, braked(false)).enable()
	w.left(10)
	w.comeBack(consent.Shopify, 0, 5)
	w.comeBack(consent.Listrak, 5, 5)
	w.agree()
	if n := w.resubscribed(10); n != dailyLimit {
		t.Errorf("%d people are resubscribed, want %d", n, dailyLimit)
	}
	waiting := w.stopped()
	if waiting[0]+waiting[1] != 10-dailyLimit {
		t.Errorf("%v wait", waiting)
	}
	// Somebody who was let through leaves and comes back once more on the same day.
	through := 0
	for w.resubscribed(through+1) == 0 {
		through++
	}
	w.unsubscribes(someone(through), w.clock.Now())
	w.agree()
	w.clock.advance(time.Hour)
	w.subscribes(someone(through), w.clock.Now())
	w.agree()
	w.shows(someone(through), shop.Subscribed, list.Subscribed)
	if b := w.brake(); b.Resubscribed != dailyLimit {
		t.Errorf("%+v", b)
	}
}

// Creations, first opt-ins and unsubscribes pass while people wait, and do not wait behind them.
func TestOthersPassWhilePeopleWait(t *testing.T) {
	t.Parallel()
	const people = 130 // more than two batches
	w := newWorld(t, braked(false)).enable()
	w.left(people)
	w.subscribes("leaves-shopify@example.com", w.clock.Now())
	w.subscribes("leaves-listrak@example.com", w.clock.Now())
	w.agree()
	w.comeBack(consent.Shopify, 0, people)
	w.clock.advance(time.Minute)
	w.customer("never-asked@example.com", "", time.Time{})
	w.subscribes("never-asked@example.com", w.clock.Now())
	w.subscribes("new-in-listrak@example.com", w.clock.Now())
	w.consents("leaves-shopify@example.com", shop.Unsubscribed, w.clock.Now())
	w.unsubscribes("leaves-listrak@example.com", w.clock.Now())
	before := w.shop.Requests()
	w.round()
	// Their decisions are the newest, so they are last in the queue, and yet all are delivered in the first round.
	for _, email := range []string{"never-asked@example.com", "new-in-listrak@example.com"} {
		w.shows(email, shop.Subscribed, list.Subscribed)
	}
	for _, email := range []string{"leaves-shopify@example.com", "leaves-listrak@example.com"} {
		w.shows(email, shop.Unsubscribed, list.Unsubscribed)
	}
	if n := w.resubscribed(people); n != dailyLimit {
		t.Errorf("%d people are resubscribed, want %d", n, dailyLimit)
	}
	if n := w.stopped(); n != [2]int64{people - dailyLimit, 0} {
		t.Errorf("%v wait", n)
	}
	// Look-ups by id in Shopify: the customers that changed, those who are let through, and the other two. Not 130.
	if n := w.shop.Requests()["nodes"] - before["nodes"]; n > 6 {
		t.Errorf("%d look-ups for %d people who wait", n, people)
	}
	w.agree()
	// And the other direction, while those wait.
	w.customer("new-in-shopify@example.com", shop.Subscribed, w.clock.Now())
	w.agree()
	w.shows("new-in-shopify@example.com", shop.Subscribed, list.Subscribed)
}

// A fresh re-subscription does not take the place of somebody who was approved.
func TestAnApprovalIsForThoseWhoWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, braked(false)).enable()
	w.left(12)
	w.comeBack(consent.Shopify, 0, 8)
	w.agree()
	w.approve(2)
	w.comeBack(consent.Shopify, 8, 4)
	w.agree()
	if n := w.resubscribed(12); n != dailyLimit+2 {
		t.Errorf("%d people are resubscribed, want %d", n, dailyLimit+2)
	}
	for i := range dailyLimit + 2 {
		w.shows(someone(i), shop.Subscribed, list.Subscribed)
	}
}

// Those who wait for a direction that is off keep nobody of the other one waiting.
func TestADirectionThatIsOffHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, braked(false)).enable()
	w.left(15)
	w.comeBack(consent.Shopify, 0, 12)
	w.agree()
	w.set(map[consent.Sync]bool{consent.EmailToShopify: false})
	w.clock.advance(25 * time.Hour)
	w.comeBack(consent.Listrak, 12, 3)
	w.agree()
	for i := 12; i < 15; i++ {
		w.shows(someone(i), shop.Subscribed, list.Subscribed)
		if n := w.told(someone(i), ledger.Stopped); n != 0 {
			t.Errorf("stopped although there was room\n%s", w.history(someone(i)))
		}
	}
	if n := w.stopped(); n != [2]int64{12 - dailyLimit, 0} {
		t.Errorf("%v wait", n)
	}
}

// Somebody who is stopped and leaves again waits for nothing, and is stopped anew when they come back once more.
func TestWhoeverLeavesWaitsNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, braked(false)).enable()
	w.changeTheirMinds(consent.Shopify, 6)
	last := someone(5)
	if debt := w.entry(last).Debts[consent.Shopify]; debt != consent.Stopped {
		t.Fatalf("the last one is %s\n%s", debt, w.history(last))
	}
	w.clock.advance(time.Hour)
	w.unsubscribes(last, w.clock.Now())
	w.agree()
	w.shows(last, shop.Unsubscribed, list.Unsubscribed)
	if entry := w.entry(last); entry.Debts != [2]consent.Debt{} || len(entry.SealedAddress) > 0 {
		t.Errorf("owed %v, with an address of %d bytes", entry.Debts, len(entry.SealedAddress))
	}
	if n := w.stopped(); n != [2]int64{1, 0} {
		t.Errorf("%v wait", n)
	}
	w.clock.advance(time.Hour)
	w.subscribes(last, w.clock.Now())
	w.agree()
	if n := w.stopped(); n != [2]int64{2, 0} {
		t.Errorf("%v wait", n)
	}
	// Resubscribed by hand on the other side: nothing is owed.
	w.consents(last, shop.Subscribed, w.clock.Now())
	w.agree()
	if n := w.stopped(); n != [2]int64{1, 0} {
		t.Errorf("%v wait", n)
	}
}

// A higher limit lets people go on without an approval, as far as it reaches; a lower one does not, however much room there is.
func TestAHigherLimitReleases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, braked(false)).enable()
	w.changeTheirMinds(consent.Shopify, 8)
	w.limit(7)
	w.agree()
	for i := range 7 {
		w.shows(someone(i), shop.Subscribed, list.Subscribed)
	}
	if n := w.resubscribed(8); n != 7 {
		t.Errorf("%d people are resubscribed, want 7", n)
	}
	if n := w.told(someone(7), ledger.Released) + w.told(someone(7), ledger.Stopped); n != 3 {
		t.Errorf("told %d times, want stopped, released and stopped again\n%s", n, w.history(someone(7)))
	}
	w.limit(6)
	w.pass(2)
	if n := w.stopped(); n != [2]int64{1, 0} {
		t.Errorf("%v wait", n)
	}
	w.limit(7)
	w.agree()
	w.shows(someone(7), shop.Subscribed, list.Subscribed)
}

// A run that began before the limit was raised does not stop by the old one whom the new one has just released.
func TestARunOfBeforeAHigherLimitStopsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, braked(false)).enable()
	w.changeTheirMinds(consent.Shopify, 6)
	s := w.session()
	w.limit(7)
	due, err := s.due(t.Context(), consent.Shopify, 10, everything)
	w.must(err)
	if n := w.stopped(); len(due) > 0 || n != [2]int64{} {
		t.Errorf("%d may go on and %v wait", len(due), n)
	}
	w.agree()
	if n := w.resubscribed(6); n != 6 {
		t.Errorf("%d people are resubscribed, want 6", n)
	}
}

// A process that dies at any of its calls grants nobody beyond the limit, and nobody twice.
func TestDyingAtTheLimitGrantsNobodyMore(t *testing.T) {
	t.Parallel()
	const people = 8
	for _, to := range consent.Sides {
		for nth := int64(1); nth <= 28; nth += 3 {
			for _, made := range []bool{true, false} {
				if testing.Short() && nth%2 == 0 {
					continue
				}
				t.Run(fmt.Sprintf("to %s at call %d, made %t", to, nth, made), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, braked(false)).enable()
					w.left(people)
					w.comeBack(to, 0, people)
					w.clock.advance(7 * time.Minute) // checkout windows are over when the consents are first seen
					_, _ = w.mortalEngine("doomed", newFate(nth, made)).Round(t.Context(), storeID)
					w.settleAfterDeath()
					w.agree()
					if n := w.resubscribed(people); n != dailyLimit {
						t.Errorf("%d people are resubscribed, want %d", n, dailyLimit)
					}
					if b, n := w.brake(), w.stopped(); b.Resubscribed != dailyLimit || n[to] != people-dailyLimit {
						t.Errorf("%+v, and %v wait", b, n)
					}
				})
			}
		}
	}
}

// The worker's log says once that people are stopped, and once that many were unsubscribed, and names nobody.
func TestTheLogTellsOnceOfStopsAndOfManyUnsubscribes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, braked(false)).enable()
	var log bytes.Buffer
	w.engine.Log = slog.New(slog.NewTextHandler(&log, nil))
	w.left(dailyLimit)
	if log.Len() > 0 {
		t.Errorf("as many as the limit have left, and the log says\n%s", log.String())
	}
	for i := range 3 {
		w.subscribes(someone(dailyLimit+i), w.clock.Now())
	}
	w.agree()
	for i := range 3 {
		w.unsubscribes(someone(dailyLimit+i), w.clock.Now())
		w.agree()
		w.shows(someone(dailyLimit+i), shop.Unsubscribed, list.Unsubscribed)
	}
	w.clock.advance(time.Hour)
	w.comeBack(consent.Shopify, 0, dailyLimit+2)
	w.agree()
	w.comeBack(consent.Shopify, dailyLimit+2, 1)
	w.agree()
	for _, want := range []string{"Many people were unsubscribed", "People who would be resubscribed are stopped"} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("the log says %d times %q\n%s", n, want, log.String())
		}
	}
	if strings.Contains(log.String(), "@") {
		t.Errorf("the log names somebody\n%s", log.String())
	}
}

// A checkout window that ends while people wait is no way around the limit.
func TestAWindowIsNoWayAroundTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, braked(false)).enable()
	w.left(dailyLimit + 2)
	w.comeBack(consent.Listrak, 0, dailyLimit+1)
	w.agree()
	last := someone(dailyLimit + 1)
	at := w.clock.Now()
	w.consents(last, shop.Subscribed, at)
	held := w.round().Windows
	if len(held) != 1 {
		t.Fatalf("%d windows", len(held))
	}
	w.clock.advance(7 * time.Minute)
	calls := &calledListrak{}
	w.engine.Connect = (&connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) {
		calls.Listrak = b
		return a, calls
	}}).open
	state, err := w.engine.SettleWindow(t.Context(), storeID, consent.Email, held[0].Hold.Customer, held[0].Hold.Consent, nil)
	w.must(err)
	if state.Open != nil || !strings.Contains(state.Outcome, "operator") {
		t.Errorf("the window ended with %+v", state)
	}
	if len(calls.made) > 0 {
		t.Errorf("the window has called Listrak %d times", len(calls.made))
	}
	w.shows(last, shop.Subscribed, list.Unsubscribed)
	// Woken once more, it finds the person stopped.
	_, err = w.engine.SettleWindow(t.Context(), storeID, consent.Email, held[0].Hold.Customer, held[0].Hold.Consent, nil)
	w.must(err)
	w.shows(last, shop.Subscribed, list.Unsubscribed)
	w.approve(2)
	w.agree()
	w.shows(last, shop.Subscribed, list.Subscribed)
}
