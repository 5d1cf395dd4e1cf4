package reconcile

import (
	"fmt"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// With a sync of events alone, rounds and full reads find out which customer has which address, of those who were there before and of those
// who come; and nothing is written.
func TestEventsAloneFindOutWhichCustomerHasWhichAddress(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sync    consent.Sync
		channel consent.Channel
	}{{consent.EmailEvents, consent.Email}, {consent.SMSEvents, consent.SMS}} {
		t.Run(string(row.sync), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{sms: true}).on(row.channel)
			before := w.customer("before@example.com", shop.Subscribed, w.clock.Now())
			w.clock.advance(time.Hour)
			w.set(map[consent.Sync]bool{row.sync: true})
			for _, channel := range consent.Channels {
				switches, err := w.ledger.Switches(t.Context(), storeID)
				w.must(err)
				reads, err := w.engine.Reads(t.Context(), switches, channel)
				w.must(err)
				if reads != (channel == row.channel) {
					t.Errorf("%s is read: %t", channel, reads)
				}
			}
			w.round()
			after := w.customer("after@example.com", shop.Unsubscribed, w.clock.Now())
			w.subscribes("after@example.com", w.clock.Now())
			w.round()
			w.fullRead()
			w.agree()
			known, err := w.ledger.KnownCustomers(t.Context(), storeID, []string{string(before), string(after)})
			w.must(err)
			for email, id := range map[string]shop.CustomerID{"before@example.com": before, "after@example.com": after} {
				customer := known[string(id)]
				if got := *subjectOf(&customer, row.channel); got != w.subject(email) {
					t.Errorf("%s is known as %+v, want the subject %s", email, customer, w.subject(email).Hex())
				}
			}
			w.shows("before@example.com", shop.Subscribed, nobody)
			w.shows("after@example.com", shop.Unsubscribed, list.Subscribed)
		})
	}
}

// SMS events need SMS to be set up, which tells the phones of customers; where it was taken away since, rounds go on without them.
func TestSMSEventsWithoutSMSStopNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.engine.CheckSyncs(t.Context(), storeID, map[consent.Sync]bool{consent.SMSEvents: true}); err == nil {
		t.Error("SMS events can be switched on without SMS")
	}
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	if result := w.round(); result.Switches.State != ledger.Running {
		t.Errorf("the merchant is %s", result.Switches.State)
	}
}

// The fields of events that we write bump updatedAt and bring a webhook for each customer. Neither is news: nothing is decided and nothing
// written, polls and webhooks read each customer once more, many at a time, and then there is quiet.
func TestOurOwnFieldsAreNoNews(t *testing.T) {
	t.Parallel()
	const people = 260
	for _, byWebhook := range []bool{false, true} {
		t.Run(fmt.Sprint("by webhook ", byWebhook), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{timing: restless}).enable()
			ids := make([]shop.CustomerID, people)
			email := func(n int) string { return fmt.Sprintf("customer-%d@example.com", n) }
			for n := range ids {
				ids[n] = w.customer(email(n), shop.Subscribed, w.clock.Now())
				w.subscribes(email(n), w.clock.Now())
			}
			w.agree()
			before := make([]ledger.Entry, people)
			for n := range ids {
				before[n] = w.entry(email(n))
			}
			writes := len(w.shop.Writes()) + len(w.list.Writes())

			w.clock.advance(time.Minute)
			w.writesEvents()
			for n, id := range ids {
				refused := w.shop.SetMetafields([]shop.MetafieldInput{{Owner: id, Namespace: "$app:concord", Key: "emails_sent_30_days",
					Type: "number_integer", Value: "1"}})
				if len(refused) > 0 {
					t.Fatal(refused)
				}
				if byWebhook {
					w.clock.advance(10 * time.Millisecond)
					w.webhook(ledger.Webhook{Merchant: storeID, ID: fmt.Sprint("own ", n), Topic: "customers/update", Customers: []string{string(id)}, CanWait: true})
				}
			}
			w.clock.advance(10 * time.Second)
			requests := w.shop.Requests()["nodes"]
			if byWebhook {
				w.drain()
				w.noHints()
			} else {
				w.round()
			}
			if n := w.shop.Requests()["nodes"] - requests; n != 2 {
				t.Errorf("%d customers were read in %d requests, want two: %v", people, n, w.shop.Requests())
			}
			for range 8 {
				w.round()
			}
			calls := w.countingCalls()
			for range 3 {
				w.round()
			}
			if n := calls(); n != 9 {
				t.Errorf("%d calls in three rounds afterwards, want the nine of idle ones", n)
			}
			for n := range ids {
				if after := w.entry(email(n)); after.Version != before[n].Version {
					t.Fatalf("what is known of %s has changed\n%s", email(n), w.history(email(n)))
				}
			}
			if n := len(w.shop.Writes()) + len(w.list.Writes()); n != writes {
				t.Errorf("%d writes of consent follow from the fields", n-writes)
			}
		})
	}
}
