package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// What the simulation of both channels has found; docs/consent.md names the seeds.

// Whoever was read for SMS alone was never read for email, when that came second.
func TestSimulationFindingSMS1TheSecondChannelReadsEverybody(t *testing.T) {
	t.Parallel()
	for _, second := range consent.Channels {
		w := newWorld(t, plan{sms: true}).on(second)
		w.consents(person, shop.Subscribed, w.clock.Now().Add(-time.Hour))
		w.subscribes(person, w.clock.Now().Add(-2*time.Hour))
		w.clock.advance(time.Hour)
		w.on(consent.Email + consent.SMS - second).enable()
		w.fullRead()
		w.agree()
		w.on(second).enable()
		w.fullRead()
		if seen := w.entry(person).Record.Seen[consent.Shopify]; seen.State != consent.Subscribed {
			t.Errorf("%s comes second: Shopify is known to show %s\n%s", second, seen.State, w.history(person))
		}
	}
}

// Before its direction is on nobody's address is kept. A round that comes before the second reading put people off for a day.
func TestSimulationFindingSMS2AnAddressThatComesLateIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true})
	w.on(consent.SMS)
	w.subscribes(person, w.clock.Now().Add(-time.Hour))
	w.set(map[consent.Sync]bool{w.to(consent.Listrak): true})
	w.fullRead()
	w.round()
	w.clock.advance(time.Minute)
	w.set(map[consent.Sync]bool{w.to(consent.Shopify): true})
	w.round()
	if next := w.entry(person).NextTry[consent.Shopify]; next == 0 {
		t.Fatalf("the round knew the address: this proves nothing\n%s", w.history(person))
	}
	w.fullRead()
	w.agree()
	w.shows(person, shop.Subscribed, list.Subscribed)
}

// The same when the reading brings the address while the round finds that it has none.
func TestSimulationFindingSMS2NobodyIsPutOffWhoseAddressHasCome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true})
	w.on(consent.SMS)
	w.subscribes(person, w.clock.Now().Add(-time.Hour))
	w.set(map[consent.Sync]bool{w.to(consent.Listrak): true})
	w.fullRead()
	w.clock.advance(time.Minute)
	w.set(map[consent.Sync]bool{w.to(consent.Shopify): true})
	raced := false
	w.engine.Intercept = func(r Records) Records {
		return afterOwed{r, func() {
			if !raced {
				raced = true
				w.engine.Intercept = nil
				w.fullRead()
			}
		}}
	}
	w.round()
	if next := w.entry(person).NextTry[consent.Shopify]; !raced || next != 0 && next.Time().Sub(w.clock.Now()) > time.Hour {
		t.Errorf("raced %t, put off until %s\n%s", raced, next.Time(), w.history(person))
	}
}

// afterOwed lets something happen between the question for what is owed and the deliveries.
type afterOwed struct {
	Records
	then func()
}

func (a afterOwed) Owed(ctx context.Context, query ledger.OwedQuery) ([]ledger.Located, error) {
	found, err := a.Records.Owed(ctx, query)
	if len(found) > 0 {
		a.then()
	}
	return found, err
}

// Where a look-up gives no date, a second STOP looks like our own opt-out.
func TestSimulationFindingSMS3AnOptOutWithoutADateMayBeAnotherOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true, code: list.SenderCodeConfig{HidesOptOutDate: true}}).enable()
	w.subscribes(person, w.clock.Now())
	w.agree()
	w.optsOut(person, w.clock.Now(), list.OptOutCampaign)
	w.agree()
	w.clock.advance(time.Hour)
	w.optsOut(person, w.clock.Now(), list.OptOutCampaign)
	w.clock.advance(time.Second)
	entry, _, err := w.session().of(consent.SMS).lookUpInListrak(t.Context(), w.subject(person), w.address(person))
	w.must(err)
	if at := entry.Record.Decision.At.Time(); w.clock.Now().Sub(at) > time.Minute {
		t.Errorf("the second STOP is not seen: the no is of %s\n%s", at, w.history(person))
	}
}

// A list whose pages leave out who has left it tells of nobody who left before anybody looked, who left once more, or who never confirmed.
func TestSimulationFindingSMS4WhoHasLeftAListUnseenIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, later func(*world) }{
		"before anybody looked": {func(w *world) {
			w.consents(person, shop.Subscribed, w.clock.Now().Add(-3*time.Hour))
			w.subscribes(person, w.clock.Now().Add(-2*time.Hour))
			w.unsubscribes(person, w.clock.Now().Add(-time.Hour))
		}, func(*world) {}},
		"once more": {func(w *world) {
			w.subscribes(person, w.clock.Now().Add(-3*time.Hour))
			w.unsubscribes(person, w.clock.Now().Add(-2*time.Hour))
			w.consents(person, shop.Subscribed, w.clock.Now().Add(-time.Hour))
		}, func(w *world) { w.unsubscribes(person, w.clock.Now()) }},
		"while pending": {func(w *world) {
			w.must(w.code.Configure(func(c *list.SenderCodeConfig) { c.Lists[0].DoubleOptIn = true }))
		}, func(w *world) {
			w.consents(person, shop.Subscribed, w.clock.Now())
			w.agree()
			w.clock.advance(time.Hour)
			w.unsubscribes(person, w.clock.Now())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{sms: true, code: list.SenderCodeConfig{OnlySubscribed: true}})
			w.on(consent.SMS)
			c.before(w)
			w.clock.advance(time.Minute)
			w.enable()
			w.fullRead()
			w.agree()
			c.later(w)
			w.clock.advance(w.timing.Comparison)
			w.agree()
			w.shows(person, shop.Unsubscribed, list.Unsubscribed)
		})
	}
}
