package reconcile

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// guards are two third applications, each of which keeps one person in one state on one side.
type guards struct {
	w *world
	// yesIn is the side whose application insists on a yes; the other's insists on a no.
	yesIn consent.Side
	// after is how long each takes to notice; zero acts before our own read after the write.
	after time.Duration
	off   bool
	since [2]time.Time
}

func (g *guards) wants(side consent.Side) bool { return side == g.yesIn }

// act lets those act that have noticed long enough ago.
func (g *guards) act() {
	customer, known := g.w.shop.Customer(person)
	contact, listed := g.w.list.Contact(person)
	if !known || !listed || g.off {
		return
	}
	yes := [2]bool{customer.Consent.State == shop.Subscribed, contact.State == list.Subscribed}
	for _, side := range consent.Sides {
		now := g.w.clock.Now()
		switch {
		case yes[side] == g.wants(side):
			g.since[side] = time.Time{}
			continue
		case g.since[side].IsZero():
			g.since[side] = now
		}
		if now.Sub(g.since[side]) < g.after {
			continue
		}
		g.since[side] = time.Time{}
		switch {
		case side == consent.Listrak && g.wants(side):
			g.w.subscribes(person, now)
		case side == consent.Listrak:
			g.w.unsubscribes(person, now)
		case g.wants(side):
			g.w.consents(person, shop.Subscribed, now)
		default:
			g.w.consents(person, shop.Unsubscribed, now)
		}
	}
}

// guardedShopify and guardedListrak let the applications act right after a write of ours.
type guardedShopify struct {
	Shopify
	*guards
}

func (g guardedShopify) UpdateEmailConsents(ctx context.Context, writes []shopify.ConsentWrite) ([]shopify.WriteResult, error) {
	results, err := g.Shopify.UpdateEmailConsents(ctx, writes)
	g.act()
	return results, err
}

type guardedListrak struct {
	Listrak
	*guards
}

func (g guardedListrak) Subscribe(ctx context.Context, address string, options listrak.SubscribeOptions) (listrak.WriteResult, error) {
	result, err := g.Listrak.Subscribe(ctx, address, options)
	g.act()
	return result, err
}

func (g guardedListrak) Unsubscribe(ctx context.Context, address string) (listrak.WriteResult, error) {
	result, err := g.Listrak.Unsubscribe(ctx, address)
	g.act()
	return result, err
}

// journalKinds counts the lines of a person's journal.
func (w *world) journalKinds(email string) map[ledger.Kind]int {
	w.t.Helper()
	lines, err := w.ledger.Journal(w.t.Context(), storeID, consent.Email, w.subject(email))
	w.must(err)
	kinds := map[ledger.Kind]int{}
	for _, l := range lines {
		kinds[l.Kind]++
	}
	return kinds
}

// TestFlippingBackStops plays I3's third application on both sides: our writes are few and end, in the unsubscribed state, and the
// operator sees it and can go on once the applications are gone.
func TestFlippingBackStops(t *testing.T) {
	t.Parallel()
	for _, yesIn := range consent.Sides {
		for _, same := range []list.SameState{list.MovesDates, list.KeepsDates, list.AnswersError} {
			for _, after := range []time.Duration{0, 4 * time.Minute} {
				t.Run(fmt.Sprintf("yes in %s, Listrak %s, after %s", yesIn, same, after), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, plan{list: list.Config{SameState: same}}).enable()
					w.subscribes(person, w.clock.Now())
					w.agree()
					g := &guards{w: w, yesIn: yesIn, after: after}
					c := &connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) { return guardedShopify{a, g}, guardedListrak{b, g} }}
					w.engine.Connect = c.open
					const rounds, fought = 120, 90
					writes := func() int {
						inShopify, inListrak := w.effective(person)
						return inShopify + inListrak
					}
					begun, settled := writes(), 0
					for n := range rounds {
						g.act()
						w.round()
						if n == fought {
							settled = writes()
						}
					}
					// A slow fight has more flips before three of them fall into ten minutes, or ten into a row.
					if n := settled - begun; n > 16 || after < time.Minute && n > 6 {
						t.Errorf("%d effective writes\n%s", n, w.history(person))
					}
					if n := writes() - settled; n > 0 {
						t.Errorf("%d effective writes in the end\n%s", n, w.history(person))
					}
					rec := w.entry(person).Record
					if rec.DebtTo(yesIn) != consent.Contested || rec.DebtTo(yesIn.Other()) != consent.Settled || rec.Decision.State != consent.Unsubscribed {
						t.Fatalf("not left alone as contested, in the unsubscribed state\n%s", w.history(person))
					}
					if len(w.entry(person).SealedAddress) == 0 {
						t.Error("a person must act, but the address is gone")
					}
					if kinds := w.journalKinds(person); kinds[ledger.Contested] == 0 || kinds[ledger.Shown] == 0 {
						t.Errorf("not told: %v\n%s", kinds, w.history(person))
					}

					// The applications are switched off; the operator asks for another try.
					g.off = true
					retried, err := w.engine.Retry(t.Context(), storeID, consent.Email, []consent.Subject{w.subject(person)})
					w.must(err)
					if len(retried) != 1 || retried[0].Side != yesIn || retried[0].Was != consent.Contested || retried[0].Is != consent.Owed {
						t.Errorf("retried %+v", retried)
					}
					w.agree()
					w.shows(person, shop.Unsubscribed, list.Unsubscribed)
					w.clock.advance(time.Minute)
					w.subscribes(person, w.clock.Now())
					w.agree()
					w.shows(person, shop.Subscribed, list.Subscribed)
				})
			}
		}
	}
}

// TestAContestEndsByItself: a person who comes back after the quiet is heard without an operator.
func TestAContestEndsByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	w.subscribes(person, w.clock.Now())
	w.agree()
	g := &guards{w: w, yesIn: consent.Listrak, after: 30 * time.Second}
	for range 30 {
		g.act()
		w.round()
	}
	if debt := w.debt(person, consent.Listrak); debt != consent.Contested {
		t.Fatalf("Listrak is %s\n%s", debt, w.history(person))
	}
	w.clock.advance(time.Hour)
	w.consents(person, shop.Subscribed, w.clock.Now())
	w.agree()
	w.shows(person, shop.Subscribed, list.Subscribed)
	if rec := w.entry(person).Record; rec.Contested() {
		t.Errorf("still contested\n%s", w.history(person))
	}
}

// deafListrak takes every write and does nothing.
type deafListrak struct {
	Listrak
	deaf *bool
}

func (d deafListrak) Unsubscribe(ctx context.Context, address string) (listrak.WriteResult, error) {
	if *d.deaf {
		return listrak.WriteResult{}, nil
	}
	return d.Listrak.Unsubscribe(ctx, address)
}

// Rules 16 and 17: what is disputed is tried again on a newer decision, or on request, and on nothing else.
func TestDisputedIsTriedAgainOnANewerDecisionOrOnRequest(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(w *world){
		"a newer decision": func(w *world) { w.consents(person, shop.Unsubscribed, w.clock.Now()) },
		"on request": func(w *world) {
			retried, err := w.engine.Retry(w.t.Context(), storeID, consent.Email, []consent.Subject{w.subject(person), w.subject("nobody@example.com")})
			w.must(err)
			if len(retried) != 1 || retried[0].Was != consent.Disputed || w.entry(person).NextTry[consent.Listrak] != 0 {
				w.t.Errorf("retried %+v, next try %d", retried, w.entry(person).NextTry[consent.Listrak])
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			w.subscribes(person, w.clock.Now())
			w.agree()
			deaf := true
			c := &connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) { return a, deafListrak{b, &deaf} }}
			w.engine.Connect = c.open
			w.consents(person, shop.Unsubscribed, w.clock.Now())
			for range 20 {
				w.round()
			}
			if debt, kinds := w.debt(person, consent.Listrak), w.journalKinds(person); debt != consent.Disputed || kinds[ledger.Claimed] != 1+consent.MaxTries {
				t.Fatalf("Listrak is %s after %d tries\n%s", debt, kinds[ledger.Claimed], w.history(person))
			}
			deaf = false
			w.round()
			w.shows(person, shop.Unsubscribed, list.Subscribed)
			again(w)
			w.agree()
			w.shows(person, shop.Unsubscribed, list.Unsubscribed)
		})
	}
}

// Rule 17: what is refused is tried again on request, once, and the journal says so.
func TestRefusedIsTriedAgainOnRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	w.must(w.list.Refuse(person, list.Suppressed))
	w.customer(person, shop.Subscribed, w.clock.Now())
	w.agree()
	ask := func() []Retried {
		t.Helper()
		retried, err := w.engine.Retry(t.Context(), storeID, consent.Email, []consent.Subject{w.subject(person)})
		w.must(err)
		return retried
	}
	if retried := ask(); len(retried) != 1 || retried[0].Code != "ERROR_SUPPRESSED_EMAIL" || retried[0].Is != consent.Owed {
		t.Errorf("retried %+v", retried)
	}
	w.agree()
	if n := len(w.list.Writes()); n != 2 || w.debt(person, consent.Listrak) != consent.Refused {
		t.Errorf("%d tries, want two\n%s", n, w.history(person))
	}
	w.must(w.list.Refuse(person, list.NotRefused))
	ask()
	w.agree()
	w.shows(person, shop.Subscribed, list.Subscribed)
	if retried := ask(); len(retried) != 0 {
		t.Errorf("what is settled was retried: %+v", retried)
	}
	if kinds := w.journalKinds(person); kinds[ledger.Retried] != 2 {
		t.Errorf("%d lines of retries, want 2\n%s", kinds[ledger.Retried], w.history(person))
	}
}

// Rule 9 and 17: whom a bounce has unsubscribed is subscribed again on request.
func TestABounceIsTriedAgainOnRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	w.customer(person, shop.Subscribed, w.clock.Now())
	w.agree()
	w.unsubscribes(person, w.clock.Now(), list.MethodBounce)
	w.agree()
	w.shows(person, shop.Subscribed, list.Unsubscribed)
	_, err := w.engine.Retry(t.Context(), storeID, consent.Email, []consent.Subject{w.subject(person)})
	w.must(err)
	w.agree()
	w.shows(person, shop.Subscribed, list.Subscribed)
}

// A retry that loses the race against a round is made on what the round has left.
func TestARetryAndARoundAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	w.must(w.list.Refuse(person, list.Banned))
	w.customer(person, shop.Subscribed, w.clock.Now())
	w.agree()
	raced := false
	w.engine.Intercept = func(r Records) Records {
		return racedLedger{Records: r, beforeSave: func() {
			if !raced {
				raced = true
				w.must(w.list.Refuse(person, list.NotRefused))
				w.consents(person, shop.Unsubscribed, w.clock.Now())
				w.clock.advance(time.Second)
				if _, err := w.newEngine("second").Round(t.Context(), storeID); err != nil {
					t.Error(err)
				}
			}
		}}
	}
	retried, err := w.engine.Retry(t.Context(), storeID, consent.Email, []consent.Subject{w.subject(person)})
	w.must(err)
	if !raced || len(retried) != 0 || w.entry(person).Record.Decision.State != consent.Unsubscribed {
		t.Errorf("raced %t, retried %+v\n%s", raced, retried, w.history(person))
	}
	if slices.Contains([]consent.Debt{consent.Owed, consent.Refused}, w.debt(person, consent.Listrak)) {
		t.Errorf("Listrak is %s\n%s", w.debt(person, consent.Listrak), w.history(person))
	}
}

// racedLedger lets something happen just before a change is saved.
type racedLedger struct {
	Records
	beforeSave func()
}

func (l racedLedger) Save(ctx context.Context, id string, batch ledger.Batch) ([]consent.Subject, error) {
	l.beforeSave()
	return l.Records.Save(ctx, id, batch)
}
