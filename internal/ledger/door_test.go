package ledger_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

func doorOf(t *testing.T, l *ledger.Ledger, merchant string) ledger.Door {
	t.Helper()
	d, err := l.Door(t.Context(), merchant)
	require.NoError(t, err)
	return d
}

func TestADoorThatWasClosedForLongIsShown(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		require.NoError(t, l.AddMerchant(t.Context(), merchant("gone", 2), nil))
		require.NoError(t, l.RemoveMerchant(t.Context(), "gone"))
		keep := func(delivered ...string) consent.Instant {
			t.Helper()
			require.NoError(t, l.KeepDoorOpen(t.Context(), delivered))
			return clock.Now()
		}
		require.Zero(t, doorOf(t, l, acme), "never open")
		first := keep()
		want := ledger.Door{FirstOpen: first, LastOpen: first}
		require.Equal(t, want, doorOf(t, l, acme))
		require.Zero(t, doorOf(t, l, "gone"))

		clock.Advance(consent.Minute)
		want.LastOpen = keep(acme, "nobody")
		want.LastDelivery = want.LastOpen
		require.Equal(t, want, doorOf(t, l, acme))

		clock.Advance(4 * consent.Hour)
		want.LastOpen = keep()
		require.Equal(t, want, doorOf(t, l, acme), "within the time of Shopify's retries")

		before := want.LastOpen
		clock.Advance(4*consent.Hour + 1)
		want.LastOpen = keep()
		want.GapFrom, want.GapUntil = before, want.LastOpen
		require.Equal(t, want, doorOf(t, l, acme))
		clock.Advance(consent.Minute)
		want.LastOpen = keep()
		require.Equal(t, want, doorOf(t, l, acme), "a gap is remembered")

		clock.Advance(-10 * consent.Minute)
		keep()
		require.Equal(t, want, doorOf(t, l, acme), "a clock that goes back closes nothing")
	})
}

func TestTwoProcessesKeepTheDoorOpen(t *testing.T) {
	forEachReal(t, func(t *testing.T, dsn string) {
		l := open(t, dsn)
		var ids []string
		for n := range 20 {
			ids = append(ids, fmt.Sprintf("store-%d", n))
			require.NoError(t, l.AddMerchant(t.Context(), merchant(ids[n], n+1), nil))
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 5 {
					if err := l.KeepDoorOpen(t.Context(), ids); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		for _, id := range ids {
			require.NotZero(t, doorOf(t, l, id).LastDelivery)
		}
	})
}

func TestWhatCouldNotBeReadIsShown(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		bad := func(id, problem string) ledger.Webhook {
			return ledger.Webhook{Merchant: acme, ID: id, Topic: "customers/update", Body: []byte(id), Problem: problem}
		}
		began := clock.Now()
		receive(t, l, bad("a", "it has no id"), bad("a", "it has no id"), customerWebhook("b", "1"), bad("c", "it is no object"))
		receive(t, l, bad("a", "it has no id"))
		clock.Advance(consent.Minute)
		receive(t, l, bad("d", "it has no id"))
		want := ledger.WebhookProblem{Topic: "customers/update", Problem: "it has no id", Received: clock.Now()}
		d := doorOf(t, l, acme)
		require.Equal(t, ledger.Door{Problems: 3, ProblemSince: began, LastProblem: want}, d, "a door that nobody says is open")
		require.NoError(t, l.KeepDoorOpen(t.Context(), nil))
		opened := clock.Now()
		d.FirstOpen, d.LastOpen = opened, opened
		require.Equal(t, d, doorOf(t, l, acme), "it was not closed before")

		list, err := l.WebhookProblems(t.Context(), acme, 2)
		require.NoError(t, err)
		want.ID = "d"
		require.Len(t, list, 2)
		require.Equal(t, want, list[0])

		clock.Advance(7*24*consent.Hour + 1)
		require.Equal(t, ledger.Door{FirstOpen: opened, LastOpen: opened}, doorOf(t, l, acme), "after a week nobody is told")
		receive(t, l, bad("e", "it has no id"))
		require.EqualValues(t, 1, doorOf(t, l, acme).Problems)
	})
}

func TestWhatHasRunOutGoesInSmallSteps(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		const many = 2500
		var webhooks []ledger.Webhook
		for n := range many {
			id := fmt.Sprint(n)
			webhooks = append(webhooks, ledger.Webhook{Merchant: acme, ID: id, Topic: "orders/create", Body: []byte(id), Order: &ledger.Order{
				ID: id, Customer: id, CreatedAt: clock.Now(), Until: clock.Now().Plus(15 * consent.Minute),
			}})
		}
		receive(t, l, webhooks...)
		require.NoError(t, l.KeepDoorOpen(t.Context(), nil))
		purge := func() int64 {
			t.Helper()
			n, err := l.PurgeExpired(t.Context())
			require.NoError(t, err)
			return n
		}
		require.Zero(t, purge())
		clock.Advance(16 * consent.Minute)
		require.EqualValues(t, many, purge(), "the orders")
		receive(t, l, customerWebhook("later", "1"))
		require.True(t, receive(t, l, webhooks[0])[0].Duplicate)
		clock.Advance(6*consent.Hour - 16*consent.Minute + 1)
		require.EqualValues(t, many, purge(), "the deliveries")
		require.True(t, receive(t, l, customerWebhook("later", "1"))[0].Duplicate)

		clock.Advance(31 * 24 * consent.Hour)
		require.EqualValues(t, 2, purge(), "the door stays, the delivery and the hint go")
		require.NotZero(t, doorOf(t, l, acme))
		require.NoError(t, l.RemoveMerchant(t.Context(), acme))
		require.EqualValues(t, 1, purge())
		require.Zero(t, doorOf(t, l, acme))
	})
}

// Several processes clear away at once, while webhooks come in.
func TestPurgesAtOnce(t *testing.T) {
	forEachReal(t, func(t *testing.T, dsn string) {
		l := open(t, dsn)
		addMerchant(t, l)
		var webhooks []ledger.Webhook
		for n := range 3000 {
			id := fmt.Sprint(n)
			webhooks = append(webhooks, ledger.Webhook{Merchant: acme, ID: id, Topic: "orders/create", Body: []byte(id), Order: &ledger.Order{
				ID: id, Customer: id, CreatedAt: 1, Until: 2,
			}})
		}
		receive(t, l, webhooks...)
		var all sync.WaitGroup
		var gone [3]int64
		var errs [3]error
		for i := range gone {
			all.Go(func() { gone[i], errs[i] = l.PurgeExpired(t.Context()) })
		}
		all.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		rest, err := l.PurgeExpired(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 3000, gone[0]+gone[1]+gone[2]+rest)
	})
}
