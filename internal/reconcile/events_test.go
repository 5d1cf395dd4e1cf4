package reconcile

import (
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
