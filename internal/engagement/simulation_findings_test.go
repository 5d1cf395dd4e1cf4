package engagement_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// What the simulation (internal/simulation) has found in this package.

// Seed 13: a day that was told while a kind was off has no count of that kind in Shopify any more. When the kind was switched on again, the
// day was not told again unless something happened on it.
func TestAKindThatIsSwitchedOnAgainIsToldAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	customer := w.customer("person-0@example.com")
	id, _ := w.send("Spring", 3)
	w.act(id, "person-0@example.com", list.Open)
	w.pass()
	require.Equal(t, w.truth(id), w.toldDays(messageID(id)))

	w.set(map[consent.Sync]bool{consent.EmailOpened: false})
	w.act(id, "person-1@example.com", list.Click)
	w.clock.advance(2 * time.Minute)
	w.pass()
	for _, counts := range w.toldDays(messageID(id)) {
		require.NotContains(t, counts, "viewsCount")
		require.Equal(t, 1, counts["clicksCount"])
	}

	w.set(map[consent.Sync]bool{consent.EmailOpened: true})
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, w.truth(id), w.toldDays(messageID(id)))
	require.Equal(t, "1", w.shop.Metafields(customer)[field("emails_opened_30_days")])

	writes := w.shop.MarketingWrites()
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, writes, w.shop.MarketingWrites(), "what Shopify has is told only once more")
}

// The same of customers: what fell out of the 30 days while the kind was off is told when it is on again.
func TestWhatFellOutWhileAKindWasOffIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	customer := w.customer("person-0@example.com")
	id, _ := w.send("Spring", 1)
	w.act(id, "person-0@example.com", list.Open)
	w.pass()
	require.Equal(t, "1", w.shop.Metafields(customer)[field("emails_opened_30_days")])
	w.set(map[consent.Sync]bool{consent.EmailOpened: false})
	for range 4 {
		w.clock.advance(8 * 24 * time.Hour)
		w.pass()
	}
	require.Equal(t, "1", w.shop.Metafields(customer)[field("emails_opened_30_days")], "off: it stays as it is")
	w.set(map[consent.Sync]bool{consent.EmailOpened: true})
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, "0", w.shop.Metafields(customer)[field("emails_opened_30_days")])
}

// Seeds 5, 25, 50, 56: an address went to another customer, because theirs was deleted and made anew, or two were merged, or it was changed. The
// fields stood with the former and were never told of the new one.
func TestAnAddressThatGoesToAnotherCustomerTakesItsFieldsAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	const ann, bob = "person-0@example.com", "person-1@example.com"
	first, second := w.customer(ann), w.customer(bob)
	id, _ := w.send("Spring", 2)
	w.act(id, ann, list.Open)
	w.act(id, ann, list.Click)
	w.pass()
	told := w.shop.Metafields(first)
	require.Len(t, told, 6)

	require.NoError(t, w.shop.DeleteCustomer(first))
	w.clock.advance(time.Second)
	again := w.customer(ann)
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, told, w.shop.Metafields(again))

	// Now the customer of bob gets ann's address, and what bob's counts said goes with it.
	require.NoError(t, w.shop.DeleteCustomer(again))
	w.clock.advance(time.Second)
	require.NoError(t, w.shop.ChangeEmail(second, ann))
	w.saw(second, ann)
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, told, w.shop.Metafields(second))

	writes := w.shop.MetafieldWrites()
	w.saw(second, ann)
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, writes, w.shop.MetafieldWrites(), "a customer who is read once more is told of once")
}

// saw is what rounds do with a customer whom they have read.
func (w *world) saw(id shop.CustomerID, email string) {
	w.Helper()
	_, err := w.ledger.Save(w.Context(), w.id, ledger.Batch{Customers: []ledger.Customer{{ID: string(id), UpdatedAt: consent.InstantOf(w.clock.now()),
		Email: subject(w.id, consent.Email, email)}}})
	require.NoError(w, err)
}

// Seeds 6, 115, 170, 340: what Listrak does not date was dated by the clock of the machine that read it, and events that came to the door of a
// machine whose clock was five hours ahead were refused for ever, as older than the look-back.
func TestAMachinesClockDatesNothing(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			// 23:00 in New York.
			w := newWorld(t, options{begins: time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)})
			w.keeper.Now = func() time.Time { return w.clock.now().Add(ahead) }
			w.set(map[consent.Sync]bool{consent.EmailEvents: true, consent.SMSEvents: true})
			id, _ := w.send("Spring", 1)
			w.act(id, "person-0@example.com", list.Open)
			w.pass()
			w.clock.advance(2 * time.Minute)
			w.act(id, "person-0@example.com", list.Click) // Listrak dates the open alone
			w.pass()
			require.Equal(t, w.truth(id), w.toldDays(messageID(id)))

			body := `[`
			for n, at := range []time.Time{w.clock.now(), w.clock.now().Add(-30*24*time.Hour + time.Minute), w.clock.now().Add(4 * time.Minute)} {
				body += fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"test","type":"sms.sent","time":"%s","data":{"address":"+1555010%04d","message":"sale"}},`,
					n, at.Format(time.RFC3339), n)
			}
			report, err := w.keeper.Push(t.Context(), w.id, []byte(body[:len(body)-1]+`]`))
			require.NoError(t, err)
			require.Equal(t, 3, report.Taken, "%+v", report)
		})
	}
}
