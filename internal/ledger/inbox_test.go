package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

func customerWebhook(id string, customers ...string) ledger.Webhook {
	return ledger.Webhook{Merchant: acme, ID: id, Topic: "customers/update", Body: []byte(id), Customers: customers}
}

func receive(t *testing.T, l *ledger.Ledger, webhooks ...ledger.Webhook) []ledger.WebhookReceipt {
	t.Helper()
	receipts, err := l.ReceiveWebhooks(t.Context(), webhooks)
	require.NoError(t, err)
	require.Len(t, receipts, len(webhooks))
	return receipts
}

func hints(t *testing.T, l *ledger.Ledger) []ledger.Hint {
	t.Helper()
	list, err := l.Hints(t.Context(), acme, 1<<62, 100)
	require.NoError(t, err)
	return list
}

func TestAWebhookIsTakenOnce(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		began := clock.Now()
		first := customerWebhook("a", "gid://shopify/Customer/1")
		require.Equal(t, []ledger.WebhookReceipt{{Nudge: true}, {Duplicate: true}}, receive(t, l, first, first), "twice in one batch")
		require.Equal(t, []ledger.WebhookReceipt{{Duplicate: true}}, receive(t, l, first))
		other := first
		other.Body = []byte("another")
		require.Equal(t, []ledger.WebhookReceipt{{Duplicate: true, OtherBody: true}}, receive(t, l, other))
		require.Equal(t, []ledger.Hint{{Customer: "gid://shopify/Customer/1", Mark: 1, Since: began}}, hints(t, l))
	})
}

func TestAHintIsKeptUntilItsNewsIsRead(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		began := clock.Now()
		receive(t, l, customerWebhook("a", "1", "2"))
		seen := hints(t, l)
		require.Equal(t, []ledger.Hint{{"1", 1, began}, {"2", 1, began}}, seen)
		clock.Advance(consent.Second)
		receive(t, l, customerWebhook("b", "2"))
		require.NoError(t, l.ForgetHints(t.Context(), acme, seen))
		require.Equal(t, []ledger.Hint{{"2", 2, began}}, hints(t, l), "the second webhook came while the first one's news was being read")
		require.NoError(t, l.ForgetHints(t.Context(), acme, hints(t, l)))
		require.Empty(t, hints(t, l))
	})
}

// TestWebhooksThatCanWaitAreReadTogether, unless one of the same customer cannot, before or after.
func TestWebhooksThatCanWaitAreReadTogether(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		const together = 5 * consent.Second
		patient := func(id string, customers ...string) ledger.Webhook {
			w := customerWebhook(id, customers...)
			w.CanWait = true
			return w
		}
		due := func() []ledger.Hint {
			t.Helper()
			list, err := l.Hints(t.Context(), acme, clock.Now(), 100)
			require.NoError(t, err)
			return list
		}
		clock.Advance(together - consent.Span(clock.Now())%together + consent.Second) // a second after the last gathering
		began := clock.Now()
		require.True(t, receive(t, l, patient("a", "1", "2", "3"))[0].Nudge)
		clock.Advance(consent.Second)
		receive(t, l, patient("b", "4"), customerWebhook("c", "2"), patient("d", "2"), customerWebhook("e", "5"))
		receive(t, l, patient("f", "5"))
		gathered := began.Plus(4 * consent.Second)
		require.Equal(t, []ledger.Hint{{"2", 2, clock.Now()}, {"5", 2, clock.Now()}}, due())
		clock.Advance(2*consent.Second + 999*consent.Millisecond)
		require.Len(t, due(), 2)
		asleep, err := l.FallAsleep(t.Context(), acme)
		require.NoError(t, err)
		require.False(t, asleep, "some wait")
		clock.Advance(consent.Millisecond)
		require.Equal(t, []ledger.Hint{{"2", 2, began.Plus(consent.Second)}, {"5", 2, began.Plus(consent.Second)}, {"1", 1, gathered}, {"3", 1, gathered}, {"4", 1, gathered}},
			due())
	})
}

func TestNobodyIsSentWhileSomebodyIsAwake(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		nudge := func(id string) bool { return receive(t, l, customerWebhook(id, id))[0].Nudge }
		require.False(t, nudge("0"), "every sync is off")
		_, err := l.SetSyncs(t.Context(), acme, ledger.SyncChange{On: map[consent.Sync]bool{consent.EmailToListrak: true}})
		require.NoError(t, err)
		sent, err := l.Hint(t.Context(), acme, "another")
		require.NoError(t, err)
		require.True(t, sent)
		require.NoError(t, l.StayAwake(t.Context(), acme, 0))
		require.True(t, nudge("1"))
		require.False(t, nudge("2"), "a nudge is on its way")
		clock.Advance(16 * consent.Second)
		require.True(t, nudge("3"), "which was lost")
		require.NoError(t, l.StayAwake(t.Context(), acme, time.Minute))
		clock.Advance(59 * consent.Second)
		require.False(t, nudge("4"))
		asleep, err := l.FallAsleep(t.Context(), acme)
		require.NoError(t, err)
		require.False(t, asleep, "hints wait")
		require.NoError(t, l.ForgetHints(t.Context(), acme, hints(t, l)))
		asleep, err = l.FallAsleep(t.Context(), acme)
		require.NoError(t, err)
		require.True(t, asleep)
		require.True(t, nudge("5"))
		require.NoError(t, l.StayAwake(t.Context(), acme, time.Minute))
		_, err = l.Pause(t.Context(), acme)
		require.NoError(t, err)
		clock.Advance(2 * consent.Minute)
		require.False(t, nudge("6"), "paused")
	})
}

// Whoever falls asleep and a webhook at the same moment: either the sleeper sees the hint or the webhook sends somebody.
func TestNoHintFallsBetween(t *testing.T) {
	forEachReal(t, func(t *testing.T, dsn string) {
		l := open(t, dsn)
		addMerchant(t, l, consent.EmailToListrak)
		for n := range 30 {
			require.NoError(t, l.StayAwake(t.Context(), acme, time.Minute))
			var receipts []ledger.WebhookReceipt
			var asleep bool
			var errs [2]error
			var both sync.WaitGroup
			both.Go(func() {
				receipts, errs[0] = l.ReceiveWebhooks(t.Context(), []ledger.Webhook{customerWebhook(subject(n).Hex(), "1")})
			})
			both.Go(func() { asleep, errs[1] = l.FallAsleep(t.Context(), acme) })
			both.Wait()
			require.NoError(t, errs[0])
			require.NoError(t, errs[1])
			require.Equal(t, asleep, receipts[0].Nudge, "asleep, and somebody sent")
			require.NoError(t, l.ForgetHints(t.Context(), acme, hints(t, l)))
		}
	})
}

func TestAnOrderIsRememberedAndToldToWhoWaits(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		now := clock.Now()
		held := func(n int, customer string) ledger.Held {
			record := decided(consent.Subscribed, now)
			record.Hold = consent.Hold{Consent: now, Until: now.Plus(5 * consent.Minute), Customer: customer}
			save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(n), Record: record})
			return ledger.Held{Channel: consent.Email, Subject: subject(n), Hold: record.Hold}
		}
		opened := held(1, "1")
		require.NoError(t, l.MarkOpened(t.Context(), acme, []ledger.Held{opened}))
		opened.Opened = now
		held(2, "2")
		order := func(id, customer string, n int, at consent.Instant) ledger.Webhook {
			return ledger.Webhook{Merchant: acme, ID: id, Topic: "orders/create", Order: &ledger.Order{
				ID: id, Customer: customer, Email: subject(n), CreatedAt: at, Until: now.Plus(15 * consent.Minute),
			}}
		}
		require.Equal(t, []ledger.WebhookReceipt{
			{Held: []ledger.Held{opened}}, {Held: []ledger.Held{opened}}, {Nudge: true}, {}, {}, {Duplicate: true},
		}, receive(t, l,
			order("by customer", "1", 9, now),
			order("by address", "", 1, now),
			order("no window yet", "2", 9, now),
			order("nobody waits", "3", 3, now),
			order("long after", "1", 1, now.Plus(6*consent.Minute)),
			order("by customer", "1", 9, now),
		))
		require.Equal(t, []ledger.Hint{{"2", 1, now}}, hints(t, l), "nobody else is there to settle it")
		remembered, err := l.OrdersRemembered(t.Context(), acme, "3", consent.Subject{}, now, now)
		require.NoError(t, err)
		require.Len(t, remembered, 1)
	})
}

// Somebody who waits on both channels has two windows: an order reaches each that is open, and leaves a hint for one that is not.
func TestAnOrderReachesTheWindowsOfBothChannels(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak, consent.SMSToListrak)
		now := clock.Now()
		var both []ledger.Held
		for _, channel := range consent.Channels {
			record := decided(consent.Subscribed, now)
			record.Hold = consent.Hold{Consent: now, Until: now.Plus(5 * consent.Minute), Customer: "1"}
			save(t, l, ledger.Change{Channel: channel, Subject: subject(int(channel)), Record: record})
			both = append(both, ledger.Held{Channel: channel, Subject: subject(int(channel)), Hold: record.Hold})
		}
		order := func(id string) ledger.Webhook {
			return ledger.Webhook{Merchant: acme, ID: id, Topic: "orders/create", Order: &ledger.Order{
				ID: id, Customer: "1", CreatedAt: now, Until: now.Plus(15 * consent.Minute),
			}}
		}
		require.NoError(t, l.MarkOpened(t.Context(), acme, both[:1]))
		both[0].Opened = now
		require.Equal(t, []ledger.WebhookReceipt{{Held: both[:1], Nudge: true}}, receive(t, l, order("one is open")))
		require.Equal(t, []ledger.Hint{{"1", 1, now}}, hints(t, l))
		require.NoError(t, l.MarkOpened(t.Context(), acme, both[1:]))
		both[1].Opened = now
		told := receive(t, l, order("both are open"))
		require.Len(t, told, 1)
		require.ElementsMatch(t, both, told[0].Held)
	})
}

func TestNothingFollowsFromAWebhookWithAProblem(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		broken := customerWebhook("a", "1")
		broken.Problem = "the payload has no id"
		broken.Order = &ledger.Order{ID: "7", Customer: "1", CreatedAt: clock.Now()}
		require.Equal(t, []ledger.WebhookReceipt{{}}, receive(t, l, broken))
		require.Empty(t, hints(t, l))
		remembered, err := l.OrdersRemembered(t.Context(), acme, "1", consent.Subject{}, 0, clock.Now())
		require.NoError(t, err)
		require.Empty(t, remembered)
	})
}

// Nobody reads the hints of a merchant that does not run; they must not stay for ever.
func TestAHintThatNobodyReadsIsForgotten(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		receive(t, l, customerWebhook("a", "1"))
		clock.Advance(12 * consent.Hour)
		receive(t, l, customerWebhook("b", "2"))
		_, err := l.PurgeExpired(t.Context())
		require.NoError(t, err)
		require.Len(t, hints(t, l), 2)
		clock.Advance(12*consent.Hour + 1)
		_, err = l.PurgeExpired(t.Context())
		require.NoError(t, err)
		left := hints(t, l)
		require.Len(t, left, 1)
		require.Equal(t, "2", left[0].Customer)
	})
}

// Webhooks and whoever has read them want the same rows at once, in whatever order these lie in the table.
func TestHintsAreForgottenWhileTheyComeAgain(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		customers := make([]string, 40)
		for n := range customers {
			customers[len(customers)-1-n] = fmt.Sprintf("gid://shopify/Customer/%d", n)
		}
		var work sync.WaitGroup
		for part := range 2 {
			work.Go(func() {
				for n := range 15 {
					id := fmt.Sprintf("%d-%d", part, n)
					_, err := l.ReceiveWebhooks(context.WithoutCancel(t.Context()), []ledger.Webhook{customerWebhook(id, customers[n:]...)})
					assert.NoError(t, err)
				}
			})
			work.Go(func() {
				for range 15 {
					seen, err := l.Hints(context.WithoutCancel(t.Context()), acme, 1<<62, 100)
					assert.NoError(t, err)
					slices.Reverse(seen)
					assert.NoError(t, l.ForgetHints(context.WithoutCancel(t.Context()), acme, seen))
				}
			})
		}
		work.Wait()
		require.NoError(t, l.ForgetHints(t.Context(), acme, hints(t, l)))
		require.Empty(t, hints(t, l))
	})
}
