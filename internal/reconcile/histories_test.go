package reconcile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

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
