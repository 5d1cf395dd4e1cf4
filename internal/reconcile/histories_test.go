package reconcile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// Random histories: people change their minds on either side, minutes apart, while both sides fail at random, processes die, the
// merchant is paused, and windows settle. When all is well again both sides show everybody's last word (I1), nobody was subscribed
// against it (I2), and each change of mind cost at most one effective write on the other side (I3).
func TestRandomHistoriesEndWithEverybodysLastWord(t *testing.T) {
	t.Parallel()
	seeds := uint64(40)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 2))
			w := newWorld(t, plan{
				list: list.Config{SameState: []list.SameState{list.MovesDates, list.AnswersError, list.KeepsDates}[seed%3]},
				shop: shop.Config{
					SearchLag: time.Duration(seed%2) * 40 * time.Second,
					Switches:  shop.Switches{SameStateMovesDate: seed%5 == 0, TakeEqualDateWrites: seed%7 == 0, SameStateKeepsUpdatedAt: seed%4 == 0},
				},
			}).enable()
			const folk, acts = 5, 40
			emails, last, inListrak, changes := make([]string, folk), make([]bool, folk), make([]bool, folk), make([]int, folk)
			for i := range folk {
				emails[i], last[i] = fmt.Sprintf("person-%d@example.com", i), true
				w.subscribes(emails[i], w.clock.Now())
			}
			w.agree()
			for range acts {
				i := random.IntN(folk)
				w.clock.advance(time.Duration(60+random.IntN(120)) * time.Second)
				now := w.clock.Now()
				yes := random.IntN(2) == 0
				inShopify := random.IntN(2) == 0
				customer, _ := w.shop.Customer(emails[i])
				contact, _ := w.list.Contact(emails[i])
				// Whoever acts changes what the side shows: a click that changes nothing is no news there.
				switch {
				case inShopify && (customer.Consent.State == shop.Subscribed) != yes:
					state := shop.Unsubscribed
					if yes {
						state = shop.Subscribed
					}
					w.consents(emails[i], state, now)
				case !inShopify && (contact.State == list.Subscribed) != yes && yes:
					w.subscribes(emails[i], now)
				case !inShopify && (contact.State == list.Subscribed) != yes:
					w.unsubscribes(emails[i], now)
				default:
					continue
				}
				last[i], inListrak[i] = yes, !inShopify
				changes[i]++
				w.clock.advance(2 * time.Second)
				switch random.IntN(8) {
				case 0, 1:
					rules := []fault.Rule{
						{Kind: fault.TimeoutAfter, Chance: 0.2, Delay: time.Millisecond}, {Kind: fault.ErrorAfter, Chance: 0.2},
						{Kind: fault.ServerError, Chance: 0.2}, {Kind: fault.Throttled, Chance: 0.1},
					}
					w.shop.Faults.Set(random.Uint64(), rules...)
					w.list.Faults.Set(random.Uint64(), rules...)
				case 2:
					w.shop.Faults.Set(0)
					w.list.Faults.Set(0)
				case 3:
					doomed := w.mortalEngine("doomed", newFate(1+random.Int64N(25), random.IntN(2) == 0))
					if _, err := doomed.Round(t.Context(), storeID); err == nil && random.IntN(2) == 0 {
						t.Log("survived")
					}
					w.clock.advance(2 * time.Minute)
				case 4:
					_, err := w.ledger.Pause(t.Context(), storeID)
					w.must(err)
				case 5:
					_, err := w.ledger.Resume(t.Context(), storeID)
					w.must(err)
				}
				if _, err := w.engine.Round(t.Context(), storeID); errors.Is(err, ErrBusy) {
					t.Error("busy although the lease ran out")
				}
			}
			w.shop.Faults.Set(0)
			w.list.Faults.Set(0)
			_, err := w.ledger.Resume(t.Context(), storeID)
			w.must(err)
			w.settle(true)
			for i, email := range emails {
				wantShop, wantList := shop.Subscribed, list.Subscribed
				customer, _ := w.shop.Customer(email)
				if !last[i] || inListrak[i] && customer.Consent.State == shop.Unsubscribed {
					wantShop, wantList = shop.Unsubscribed, list.Unsubscribed
				}
				w.shows(email, wantShop, wantList)
				if a, b := w.effective(email); a+b > changes[i]+1 {
					t.Errorf("%d changes of mind cost %d effective writes in Shopify and %d in Listrak\n%s", changes[i], a, b, w.history(email))
				}
			}
		})
	}
}

// Random histories at the limit (I10): people leave and come back on either side, operators approve, days pass, sides fail and
// processes die, two of which run side by side. Seen from the sides, in no 24 hours were more people turned from unsubscribed to
// subscribed than the limit allowed, but by approval; nobody who was stopped went on without one, although days pass; and when everybody is
// approved, everybody's last word is shown.
func TestRandomHistoriesStayWithinTheLimit(t *testing.T) {
	t.Parallel()
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 10))
			w := newWorld(t, braked(false)).enable()
			const folk, acts = 14, 40
			w.left(folk)
			yes := make([]bool, folk)
			for range acts {
				w.clock.advance(time.Duration(20+random.IntN(100)) * time.Minute)
				// Several at once: else nobody would ever come near the limit.
				for _, i := range random.Perm(folk)[:1+random.IntN(5)] {
					customer, _ := w.shop.Customer(someone(i))
					contact, _ := w.list.Contact(someone(i))
					agree := (customer.Consent.State == shop.Subscribed) == (contact.State == list.Subscribed)
					switch leaves := random.IntN(3) == 0; {
					case agree && yes[i] != leaves:
						continue // a click that changes nothing
					case !agree && !leaves:
						continue
					case leaves && contact.State == list.Subscribed:
						w.unsubscribes(someone(i), w.clock.Now())
						yes[i] = false
					case leaves:
						w.consents(someone(i), shop.Unsubscribed, w.clock.Now())
						yes[i] = false
					case random.IntN(2) == 0:
						w.subscribes(someone(i), w.clock.Now())
						yes[i] = true
					default:
						w.consents(someone(i), shop.Subscribed, w.clock.Now())
						yes[i] = true
					}
				}
				w.clock.advance(7 * time.Minute)
				switch random.IntN(8) {
				case 0:
					w.approve(1 + random.Int64N(3))
				case 1, 2:
					rules := []fault.Rule{
						{Kind: fault.TimeoutAfter, Chance: 0.2, Delay: time.Millisecond}, {Kind: fault.ErrorAfter, Chance: 0.2},
						{Kind: fault.ServerError, Chance: 0.2},
					}
					w.shop.Faults.Set(random.Uint64(), rules...)
					w.list.Faults.Set(random.Uint64(), rules...)
				case 3:
					_, _ = w.mortalEngine("doomed", newFate(1+random.Int64N(25), random.IntN(2) == 0)).Round(t.Context(), storeID)
					w.clock.advance(2 * time.Minute)
				default:
					w.shop.Faults.Set(0)
					w.list.Faults.Set(0)
				}
				_, _ = w.engine.Round(t.Context(), storeID)
				w.clock.advance(time.Minute)
				_, _ = w.engine.Round(t.Context(), storeID)
			}
			w.shop.Faults.Set(0)
			w.list.Faults.Set(0)
			w.settle(true)
			w.clock.advance(25 * time.Hour)
			w.settle(true)
			w.clock.advance(25 * time.Hour)
			waiting := w.stopped()
			w.settle(true)
			if n := w.stopped(); n != waiting {
				t.Errorf("%v wait, and %v did before a day had passed", n, waiting)
			}
			w.approve(folk)
			w.settle(true)
			for i := range folk {
				state, inListrak := shop.Unsubscribed, list.Unsubscribed
				if yes[i] {
					state, inListrak = shop.Subscribed, list.Subscribed
				}
				w.shows(someone(i), state, inListrak)
			}
			w.withinTheLimit()
			stopped := 0
			for i := range folk {
				stopped += w.told(someone(i), ledger.Stopped)
				w.stopsAreKept(someone(i))
			}
			if stopped == 0 {
				t.Error("nobody was stopped: the test shows nothing")
			}
		})
	}
}

// withinTheLimit looks at what both sides were written: at no such write had more people been turned within 24 hours than the limit
// and the approvals of these hours allowed. A call may take effect a little after its claim.
func (w *world) withinTheLimit() {
	w.t.Helper()
	type turn struct {
		at    time.Time
		email string
	}
	var turns []turn
	for _, write := range w.shop.Writes() {
		if write.Effective && write.State == shop.Subscribed && write.Operation == "customerEmailMarketingConsentUpdate" {
			turns = append(turns, turn{write.At, write.Email})
		}
	}
	for _, write := range w.list.Writes() {
		if write.Effective && write.Override {
			turns = append(turns, turn{write.At, write.Email})
		}
	}
	slices.SortFunc(turns, func(a, b turn) int { return a.at.Compare(b.at) })
	const little = 3 * time.Minute
	for i, now := range turns {
		people := map[string]bool{}
		for _, earlier := range turns[:i] {
			if now.at.Sub(earlier.at) < 24*time.Hour-little {
				people[earlier.email] = true
			}
		}
		if people[now.email] {
			continue
		}
		if len(people) >= dailyLimit && !w.passed(now.email, now.at, little) {
			w.t.Errorf("at %s the person number %d of 24 hours was resubscribed without a place\n%s", now.at.Format(time.DateTime),
				len(people)+1, w.history(now.email))
		}
	}
}

// passed reports whether somebody needed no place when a write was claimed: approved within the 24 hours before, or claimed in them
// already, perhaps without effect.
func (w *world) passed(email string, at time.Time, little time.Duration) bool {
	w.t.Helper()
	lines, err := w.ledger.Journal(w.t.Context(), storeID, consent.Email, w.subject(email))
	w.must(err)
	lines = slices.DeleteFunc(lines, func(line ledger.Line) bool {
		return line.Reason != ledger.Resubscribed || line.At.Time().After(at.Add(little))
	})
	n := len(lines)
	return n > 1 && lines[n-1].At.Since(lines[n-2].At) <= 24*consent.Hour
}

// stopsAreKept reads a person's journal: after a stop, only an approval, or a decision that ends it, comes before the next claim.
func (w *world) stopsAreKept(email string) {
	w.t.Helper()
	lines, err := w.ledger.Journal(w.t.Context(), storeID, consent.Email, w.subject(email))
	w.must(err)
	stopped := false
	for _, line := range lines {
		switch {
		case line.Kind == ledger.Stopped:
			stopped = true
		case line.Kind == ledger.Approved, line.Kind == ledger.Decided, line.Kind == ledger.Seen && line.State == consent.Subscribed:
			stopped = false
		case line.Kind == ledger.Claimed && line.Reason == ledger.Resubscribed && stopped:
			w.t.Errorf("went on without an approval\n%s", w.history(email))
		}
	}
}
