package engagement_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// killed is what a call panics with where a process shall die.
type killed struct{}

// mortal lets the process die at a call: before it, or after its effect.
type mortal struct {
	engagement.Store
	engagement.List
	die func() bool
}

func at[T any](m mortal, call func() T) T {
	if m.die() {
		panic(killed{})
	}
	result := call()
	if m.die() {
		panic(killed{})
	}
	return result
}

type answer[T any] struct {
	value T
	err   error
}

func (m mortal) UpsertActivity(ctx context.Context, a shopify.MarketingActivity) error {
	return at(m, func() error { return m.Store.UpsertActivity(ctx, a) })
}

func (m mortal) CreateEngagements(ctx context.Context, e []shopify.Engagement) ([]error, error) {
	r := at(m, func() answer[[]error] { v, err := m.Store.CreateEngagements(ctx, e); return answer[[]error]{v, err} })
	return r.value, r.err
}

func (m mortal) Activity(ctx context.Context, ref listrak.MessageRef, q listrak.ActivityQuery) (listrak.ActivityPage, error) {
	r := at(m, func() answer[listrak.ActivityPage] {
		v, err := m.List.Activity(ctx, ref, q)
		return answer[listrak.ActivityPage]{v, err}
	})
	return r.value, r.err
}

func (m mortal) Summary(ctx context.Context, ref listrak.MessageRef) (listrak.Summary, error) {
	r := at(m, func() answer[listrak.Summary] {
		v, err := m.List.Summary(ctx, ref)
		return answer[listrak.Summary]{v, err}
	})
	return r.value, r.err
}

// TestWhatShopifyHasIsTheTruth plays an afternoon of two campaigns, a conversation and pushed SMS, in which both sides fail in every way, the
// process dies at any call, two processes work at once, and events come twice and in any order. When it is over, what Shopify has is what
// happened.
func TestWhatShopifyHasIsTheTruth(t *testing.T) {
	t.Parallel()
	for _, on := range []struct {
		name  string
		dsn   func(testing.TB) string
		seeds int
	}{{"SQLite", ledgertest.SQLite, 12}, {"PostgreSQL", ledgertest.Postgres, 4}} {
		for seed := range on.seeds {
			t.Run(fmt.Sprintf("%s/%d", on.name, seed), func(t *testing.T) {
				t.Parallel()
				playAfternoon(t, rand.New(rand.NewPCG(uint64(seed), 1)), on.dsn(t))
			})
		}
	}
}

func playAfternoon(t *testing.T, random *rand.Rand, dsn string) {
	w := newWorld(t, options{dsn: dsn, list: func(c *list.Config) {
		c.ActivityDateMoves, c.SummaryCountsPeople = random.IntN(2) == 0, random.IntN(2) == 0
	}})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true, consent.SMSEvents: true})
	calls := 0
	account, err := w.keeper.Connect(t.Context(), w.id)
	require.NoError(t, err)
	dying := true
	m := mortal{account.Shopify, account.Listrak, func() bool { calls++; return dying && random.IntN(25) == 0 }}
	w.keeper.Connect = func(context.Context, string) (engagement.Account, error) {
		return engagement.Account{Shopify: m, Listrak: m}, nil
	}

	customers := map[string]shop.CustomerID{}
	var people []string
	for n := range 40 {
		email := fmt.Sprintf("person-%d@example.com", n)
		people = append(people, email)
		if n%3 > 0 {
			customers[email] = w.customer(email)
		}
	}
	spring, _ := w.send("Spring", 25)
	summer, _ := w.send("Summer", 40)
	welcome, err := w.list.CreateMessage(list.NewMessage{Kind: list.ConversationMessage, Conversation: 7, Subject: "Welcome"})
	require.NoError(t, err)
	sms := map[string]int{}
	var pushed [][]byte

	shopFaults := []fault.Kind{fault.ServerError, fault.ErrorAfter, fault.HTMLError, fault.TooManyRequests, fault.Throttled}
	for step := range 60 {
		w.clock.advance(time.Duration(random.IntN(150)) * time.Second)
		for range random.IntN(4) {
			message, upTo := spring, 25
			switch random.IntN(3) {
			case 1:
				message, upTo = summer, 40
			case 2:
				message, upTo = welcome, 40
				require.NoError(t, w.list.Send(welcome, w.clock.now(), people[random.IntN(40)]))
			}
			act := []list.Act{list.Open, list.Open, list.Click, list.Click, list.Bounce, list.Unsubscribe, list.Abuse}[random.IntN(7)]
			_ = w.list.Act(message, people[random.IntN(upTo)], act, time.Time{}) // nobody who was not sent it does anything
		}
		if random.IntN(3) == 0 {
			kind := []string{"sms.sent", "sms.clicked"}[random.IntN(2)]
			sms[kind]++
			pushed = append(pushed, fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","source":"test","type":"%s","time":"%s","data":{"address":"+1555010%04d","message":"sale"}}`,
				step, kind, w.clock.now().Format(time.RFC3339), step))
		}
		for range random.IntN(3) {
			if len(pushed) > 0 {
				// Any of them again, in any order.
				_, _ = w.keeper.Push(t.Context(), w.id, pushed[random.IntN(len(pushed))]) // it may fail, and comes again
			}
		}
		if random.IntN(3) == 0 {
			w.shop.Faults.Set(uint64(step), fault.Rule{Kind: shopFaults[random.IntN(len(shopFaults))], Times: 1 + random.IntN(3)})
		}
		if random.IntN(4) == 0 {
			w.list.Faults.Set(uint64(step), fault.Rule{Kind: []fault.Kind{fault.ServerError, fault.HTMLError, fault.TooManyRequests}[random.IntN(3)],
				Times: 1 + random.IntN(2)})
		}
		func() {
			defer func() {
				if dead := recover(); dead != nil {
					require.Equal(t, killed{}, dead)
					w.clock.advance(2 * time.Minute) // until the lease of the dead has run out
				}
			}()
			_, _ = w.keeper.Pass(t.Context(), w.id) // whatever fails, a later one goes on
		}()
	}

	// Peace: everything is sent once more, and read and told until there is nothing left.
	dying = false
	w.shop.Faults.Set(0)
	w.list.Faults.Set(0)
	for _, raw := range pushed {
		_, err := w.keeper.Push(t.Context(), w.id, raw)
		require.NoError(t, err)
	}
	// Long enough for a reading of everybody: complaints stand in no summary.
	for range 30 {
		w.clock.advance(15 * time.Minute)
		w.pass()
	}
	require.Equal(t, w.truth(spring), w.toldDays(messageID(spring)))
	require.Equal(t, w.truth(summer), w.toldDays(messageID(summer)))
	if days := w.truth(welcome); len(days) > 0 {
		require.Equal(t, days, w.toldDays(fmt.Sprintf("listrak-%d-conversation-7-message-%d", listID, welcome)))
	}
	sums := map[string]int{}
	for _, counts := range w.toldDays("sms-sale") {
		sums["sms.sent"] += counts["sendsCount"]
		sums["sms.clicked"] += counts["clicksCount"]
	}
	maps.DeleteFunc(sums, func(_ string, n int) bool { return n == 0 })
	require.Equal(t, sms, sums)
	for email, id := range customers {
		want := w.list.PersonMarks(email)
		fields := w.shop.Metafields(id)
		for key, n := range map[string]int{"emails_sent_30_days": want[0], "emails_opened_30_days": want[1], "emails_clicked_30_days": want[2]} {
			got := fields[field(key)]
			if n == 0 && got == "" {
				continue
			}
			require.Equal(t, fmt.Sprint(n), got, key)
		}
	}
}
