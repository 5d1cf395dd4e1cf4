package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

func serverErrors(operation string) fault.Rule {
	return fault.Rule{Operation: operation, Kind: fault.ServerError}
}

// countingCalls counts what reaches both sides from now on. Listrak has no counter of its own, so a fault that only takes no time counts there.
func (w *world) countingCalls() func() int {
	injectors := []*fault.Injector{&w.list.Faults}
	if w.code != nil {
		injectors = append(injectors, &w.code.Faults)
	}
	struck := 0
	for _, injector := range injectors {
		injector.Set(1, fault.Rule{Kind: fault.Latency})
		struck += injector.Struck()[fault.Latency]
	}
	before := w.shop.Requests()
	return func() int {
		total := -struck
		for _, injector := range injectors {
			total += injector.Struck()[fault.Latency]
		}
		for operation, n := range w.shop.Requests() {
			total += n - before[operation]
		}
		return total
	}
}

func TestNobodyIsCalledWhilePausedBrokenOrOff(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name      string
		stop, act func(w *world) error
	}{
		{"paused", func(w *world) error { _, err := w.ledger.Pause(w.t.Context(), storeID); return err },
			func(w *world) error { _, err := w.ledger.Resume(w.t.Context(), storeID); return err }},
		{"broken", func(w *world) error { _, err := w.ledger.Break(w.t.Context(), storeID, "a test"); return err },
			func(w *world) error { _, err := w.ledger.Heal(w.t.Context(), storeID); return err }},
		{"everything off", func(w *world) error {
			w.set(map[consent.Sync]bool{consent.EmailToShopify: false, consent.EmailToListrak: false})
			return nil
		}, func(w *world) error {
			w.set(map[consent.Sync]bool{consent.EmailToShopify: true, consent.EmailToListrak: true})
			return nil
		}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			c := people(1)
			w.known(c)
			w.must(r.stop(w))
			calls := w.countingCalls()
			for range 3 {
				w.round()
			}
			if r.name != "everything off" {
				if _, err := w.engine.FullRead(t.Context(), storeID, consent.Email, func(FullProgress) {}); !errors.Is(err, ErrNotRunning) {
					t.Errorf("a full read answered %v", err)
				}
			}
			if n := calls(); n != 0 {
				t.Errorf("%d calls", n)
			}
			if r.name == "everything off" {
				w.must(r.act(w))
				w.clock.advance(15 * time.Second)
				w.play(c)
			} else {
				// The intervals stay: what is decided meanwhile is delivered after it.
				w.play(c)
				w.clock.advance(3 * time.Hour)
				w.must(r.act(w))
			}
			w.agree()
			w.played(c)
		})
	}
}

func TestOffStopsDeliveriesWithinARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	for i := range 300 {
		w.subscribes(fmt.Sprintf("person-%d@example.com", i), w.clock.Now())
	}
	// The switch goes off between the first look-up and the claims.
	var once sync.Once
	w.engine.Intercept = func(r Records) Records {
		return interruptedLedger{Records: r, beforeClaims: func() {
			once.Do(func() { w.set(map[consent.Sync]bool{consent.EmailToShopify: false}) })
		}}
	}
	calls := w.countingCalls()
	w.round()
	if n := len(w.shop.Writes()); n != 0 {
		t.Errorf("%d writes after off was in force", n)
	}
	if n := calls(); n > 15 {
		t.Errorf("%d calls in the round that was switched off", n)
	}
}

func TestExistingOptOuts(t *testing.T) {
	t.Parallel()
	for answer, want := range map[ledger.OptOuts]list.State{
		ledger.OptOutsUnasked: list.Subscribed, ledger.OptOutsLeave: list.Subscribed, ledger.OptOutsDeliver: list.Unsubscribed,
	} {
		t.Run("answer: "+string(answer), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.subscribes(person, w.clock.Now().Add(-48*time.Hour))
			w.customer(person, shop.Unsubscribed, w.clock.Now().Add(-24*time.Hour))
			w.subscribes("later@example.com", w.clock.Now().Add(-24*time.Hour))
			w.customer("later@example.com", shop.Unsubscribed, w.clock.Now().Add(-48*time.Hour))
			w.fullRead()
			preview, err := w.engine.Preview(t.Context(), storeID, consent.EmailToListrak)
			w.must(err)
			if preview.ExistingOptOuts != 1 {
				t.Errorf("%+v, want one existing opt-out", preview)
			}
			_, err = w.ledger.SetSyncs(t.Context(), storeID, ledger.SyncChange{
				On:              map[consent.Sync]bool{consent.EmailToListrak: true},
				ExistingOptOuts: map[consent.Sync]ledger.OptOuts{consent.EmailToListrak: answer},
			})
			w.must(err)
			w.agree()
			w.shows(person, shop.Unsubscribed, want)
			w.shows("later@example.com", shop.Unsubscribed, list.Subscribed)
		})
	}
}

func TestDoubleOptInAwaitsConfirmation(t *testing.T) {
	t.Parallel()
	for _, hidden := range []bool{false, true} {
		t.Run(fmt.Sprintf("pending contacts are hidden: %t", hidden), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{list: list.Config{DoubleOptIn: true, HidePending: hidden}}).enable()
			w.customer(person, shop.Subscribed, w.clock.Now())
			w.agree()
			w.shows(person, shop.Subscribed, list.Pending)
			for range 10 {
				w.round()
			}
			// Where a pending contact is hidden, only a second write tells that it is there; it asks nobody again.
			if _, asked := w.effective(person); asked != 1 || len(w.list.Writes()) > 2 {
				t.Errorf("asked %d times to confirm\n%s", asked, w.history(person))
			}
			w.must(w.list.Confirm(person))
			w.agree()
			w.shows(person, shop.Subscribed, list.Subscribed)
			if debt := w.debt(person, consent.Listrak); debt != consent.Settled {
				t.Errorf("Listrak is %s\n%s", debt, w.history(person))
			}
		})
	}
}

func TestRefusedForGoodIsNotTriedAgainUntilANewerDecision(t *testing.T) {
	t.Parallel()
	for why, code := range map[list.Refusal]string{
		list.Banned: "ERROR_BANNED_EMAIL_ADDRESS", list.Suppressed: "ERROR_SUPPRESSED_EMAIL", list.Invalid: "ERROR_INVALID_PARAMETER",
	} {
		t.Run(string(why), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			w.must(w.list.Refuse(person, why))
			w.customer(person, shop.Subscribed, w.clock.Now())
			w.agree()
			for range 10 {
				w.round()
			}
			rec := w.entry(person).Record
			if n := len(w.list.Writes()); n != 1 || rec.DebtTo(consent.Listrak) != consent.Refused || rec.Sent[consent.Listrak][0].Code != code {
				t.Errorf("%d tries, want one refused with %s\n%s", n, code, w.history(person))
			}
			if len(w.entry(person).SealedAddress) == 0 {
				t.Error("a person must act, but the address is gone")
			}
			w.must(w.list.Refuse(person, list.NotRefused))
			w.consents(person, shop.Unsubscribed, w.clock.Now())
			w.agree()
			w.consents(person, shop.Subscribed, w.clock.Now())
			w.agree()
			w.shows(person, shop.Subscribed, list.Subscribed)
		})
	}
	t.Run("an address that Listrak's route cannot express", func(t *testing.T) {
		t.Parallel()
		const strange = "a&b@example.com"
		w := newWorld(t).enable()
		w.customer(strange, shop.Subscribed, w.clock.Now())
		w.customer(person, shop.Subscribed, w.clock.Now())
		w.agree()
		w.shows(person, shop.Subscribed, list.Subscribed)
		if debt := w.debt(strange, consent.Listrak); debt != consent.Refused {
			t.Errorf("Listrak is %s\n%s", debt, w.history(strange))
		}
	})
}

func TestTwoProcessesOnOneLedgerWriteOnce(t *testing.T) {
	t.Parallel()
	for _, postgres := range []bool{false, true} {
		t.Run(fmt.Sprintf("PostgreSQL: %t", postgres), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{postgres: postgres}).enable()
			engines := []*Engine{w.engine, w.newEngine("second"), w.newEngine("third")}
			const rounds, each = 6, 8
			for n := range rounds {
				for i := range each {
					w.subscribes(fmt.Sprintf("in-listrak-%d-%d@example.com", n, i), w.clock.Now())
					w.customer(fmt.Sprintf("in-shopify-%d-%d@example.com", n, i), shop.Subscribed, w.clock.Now().Add(-8*time.Second))
				}
				var busy, worked int
				var mu sync.Mutex
				var group sync.WaitGroup
				for _, e := range engines {
					group.Go(func() {
						_, err := e.Round(t.Context(), storeID)
						mu.Lock()
						defer mu.Unlock()
						switch {
						case errors.Is(err, ErrBusy):
							busy++
						case err != nil:
							t.Error(err)
						default:
							worked++
						}
					})
				}
				// Windows run beside the rounds, in any process.
				held, err := w.ledger.HeldCustomers(t.Context(), storeID, consent.Email, 100)
				w.must(err)
				for i, h := range held {
					group.Go(func() {
						if _, err := engines[i%len(engines)].SettleWindow(t.Context(), storeID, consent.Email, h.Hold.Customer, h.Hold.Consent, nil); err != nil {
							t.Error(err)
						}
					})
				}
				group.Wait()
				if worked == 0 || worked+busy != len(engines) {
					t.Errorf("%d rounds ran and %d found the merchant busy", worked, busy)
				}
				w.clock.advance(3 * time.Minute)
			}
			w.agree()
			for n := range rounds {
				for i := range each {
					for _, email := range []string{fmt.Sprintf("in-listrak-%d-%d@example.com", n, i), fmt.Sprintf("in-shopify-%d-%d@example.com", n, i)} {
						w.shows(email, shop.Subscribed, list.Subscribed)
						if a, b := w.effective(email); a+b != 1 {
							t.Errorf("%d effective writes\n%s", a+b, w.history(email))
						}
					}
				}
			}
		})
	}
}

func TestARunThatLostItsLeaseMovesNoCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	w.subscribes(person, w.clock.Now())
	before, err := w.ledger.Cursors(t.Context(), storeID)
	w.must(err)
	w.engine.Intercept = func(r Records) Records {
		return interruptedLedger{Records: r, beforeCursor: func() {
			// The process freezes until its lease has run out and another has taken it.
			w.clock.advance(5 * time.Minute)
			_, ok, err := w.ledger.AcquireRun(t.Context(), storeID, RoundRun, "another", time.Hour)
			w.must(err)
			if !ok {
				t.Error("the lease was not free")
			}
		}}
	}
	if _, err := w.engine.Round(t.Context(), storeID); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("the round answered %v", err)
	}
	after, err := w.ledger.Cursors(t.Context(), storeID)
	w.must(err)
	if after[shopifyChanges] != before[shopifyChanges] {
		t.Errorf("the cursor moved from %s to %s", before[shopifyChanges], after[shopifyChanges])
	}
}

func TestTheZoneIsProvenByTheFirstDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{unproven: true}).enable()
	// Hours apart, but nobody knows Listrak's zone yet: Unsubscribed wins.
	w.customer("doubt@example.com", shop.Unsubscribed, w.clock.Now())
	w.subscribes("doubt@example.com", w.clock.Now().Add(5*time.Hour))
	w.clock.advance(5 * time.Hour)
	w.agree()
	w.shows("doubt@example.com", shop.Unsubscribed, list.Unsubscribed)
	proven := func() bool {
		m, err := w.merchants.Get(t.Context(), storeID)
		w.must(err)
		return m.Settings.ZoneProven
	}
	if !proven() {
		t.Error("a delivered unsubscribe proves nothing")
	}
	w.customer("sure@example.com", shop.Unsubscribed, w.clock.Now())
	w.subscribes("sure@example.com", w.clock.Now().Add(time.Hour))
	w.clock.advance(time.Hour)
	w.agree()
	w.shows("sure@example.com", shop.Subscribed, list.Subscribed)
}

func TestAWrongZoneStopsTheMerchant(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, plan{unproven: true, list: list.Config{Zone: berlin}}).enable()
	w.customer(person, shop.Subscribed, w.clock.Now())
	for range 10 {
		if _, err = w.engine.Round(t.Context(), storeID); err != nil {
			break
		}
		w.clock.advance(w.timing.Interval)
	}
	if err == nil {
		t.Fatal("nobody noticed")
	}
	switches, err := w.ledger.Switches(t.Context(), storeID)
	w.must(err)
	if switches.State != ledger.Broken || !strings.Contains(switches.Reason, "+2.00 h") || !strings.Contains(switches.Reason, "-4.00 h") {
		t.Errorf("%s: %s", switches.State, switches.Reason)
	}
	// The right zone heals it.
	_, err = w.merchants.Update(t.Context(), storeID, func(s *merchant.Settings) error { s.Zone = "Europe/Berlin"; return nil }, nil)
	w.must(err)
	_, err = w.ledger.Heal(t.Context(), storeID)
	w.must(err)
	w.agree()
	w.shows(person, shop.Subscribed, list.Subscribed)
}

func TestASkewedClockWidensTheUncertainty(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		skew time.Duration
		want shop.State
	}{{0, shop.Subscribed}, {5 * time.Minute, shop.Unsubscribed}} {
		t.Run(r.skew.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{list: list.Config{ClockSkew: r.skew}}).enable()
			w.subscribes(person, w.clock.Now())
			w.agree()
			w.unsubscribes(person, w.clock.Now().Add(-r.skew))
			w.agree()
			// A no in Shopify, and a minute later a yes in Listrak.
			w.consents(person, shop.Unsubscribed, w.clock.Now())
			w.subscribes(person, w.clock.Now().Add(time.Minute).Add(-r.skew))
			w.clock.advance(2 * time.Minute)
			w.agree()
			customer, _ := w.shop.Customer(person)
			if customer.Consent.State != r.want {
				t.Errorf("Shopify shows %s, want %s\n%s", customer.Consent.State, r.want, w.history(person))
			}
		})
	}
}

func TestABrokenCredentialStopsTheMerchantUntilItIsMended(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name        string
		spoil, mend func(w *world)
	}{
		{"Listrak pauses the integration",
			func(w *world) { w.must(w.list.Configure(func(c *list.Config) { c.Paused = true })) },
			func(w *world) { w.must(w.list.Configure(func(c *list.Config) { c.Paused = false })) }},
		{"the app is taken off the store",
			func(w *world) {
				w.clock.advance(25 * time.Hour) // the token is renewed
				w.shop.SetSwitches(shop.Switches{ShopNotPermitted: true})
			},
			func(w *world) { w.shop.SetSwitches(shop.Switches{}) }},
		{"Listrak takes the Contact area away",
			func(w *world) {
				w.must(w.list.Configure(func(c *list.Config) { c.NoAccess = []list.Area{list.AreaContact} }))
			},
			func(w *world) { w.must(w.list.Configure(func(c *list.Config) { c.NoAccess = nil })) }},
		{"Listrak's secret is changed",
			func(w *world) { w.must(w.list.Configure(func(c *list.Config) { c.Secret = "another" })) },
			func(w *world) {
				_, err := w.merchants.Update(w.t.Context(), storeID, func(*merchant.Settings) error { return nil }, &merchant.Credentials{
					ShopifyClientID: "app", ShopifyClientSecret: secret, ListrakClientID: "integration", ListrakClientSecret: "another"})
				w.must(err)
			}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			c := people(1)
			w.known(c)
			r.spoil(w)
			w.sandbox.ExpireListrakTokens()
			w.play(c)
			_, err := w.engine.Round(t.Context(), storeID)
			if err == nil {
				t.Fatal("the round did not fail")
			}
			switches, err := w.ledger.Switches(t.Context(), storeID)
			w.must(err)
			if switches.State != ledger.Broken || switches.Reason == "" || strings.ContainsAny(switches.Reason, "@") {
				t.Fatalf("%s: %s", switches.State, switches.Reason)
			}
			t.Log(switches.Reason)
			requests := w.shop.Requests()
			for range 5 {
				w.round()
			}
			if !maps.Equal(requests, w.shop.Requests()) {
				t.Error("a broken merchant's store was called")
			}
			r.mend(w)
			_, err = w.ledger.Heal(t.Context(), storeID)
			w.must(err)
			w.agree()
			w.played(c)
		})
	}
}

func TestAddressesAreKeptOnlyWhileNeeded(t *testing.T) {
	t.Parallel()
	kept := func(w *world) bool { return len(w.entry(person).SealedAddress) > 0 }
	t.Run("held, then erased with the delivery", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t).enable()
		w.customer(person, shop.Subscribed, w.clock.Now())
		w.round()
		if !kept(w) {
			t.Error("not kept while held")
		}
		w.agree()
		if kept(w) {
			t.Error("kept after the delivery")
		}
	})
	t.Run("not kept by a full read with nothing on", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.subscribes(person, w.clock.Now())
		w.fullRead()
		if kept(w) {
			t.Error("kept although nothing may be delivered")
		}
		w.set(map[consent.Sync]bool{consent.EmailToShopify: true})
		w.agree()
		w.shows(person, shop.Subscribed, list.Subscribed)
	})
	t.Run("not kept for what may not be delivered", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.customer(person, shop.Subscribed, w.clock.Now().Add(-time.Hour))
		w.enable()
		w.fullRead()
		w.agree()
		if kept(w) {
			t.Error("kept although it looks forward only")
		}
	})
	t.Run("a damaged seal: the side is asked by its id", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t).enable()
		w.shop.Faults.Set(1, serverErrors("customerCreate"))
		w.subscribes(person, w.clock.Now())
		_, err := w.engine.Round(t.Context(), storeID)
		if err == nil || !kept(w) {
			t.Fatal("nothing is owed")
		}
		w.damage(person)
		w.shop.Faults.Set(1)
		w.clock.advance(time.Minute)
		w.agree()
		w.shows(person, shop.Subscribed, list.Subscribed)
	})
	t.Run("another person behind the same id is never written to", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t).enable()
		id := w.customer(person, shop.Subscribed, w.clock.Now())
		w.subscribes(person, w.clock.Now())
		w.agree()
		// The person leaves in Listrak while Shopify does not answer; then the customer's address changes.
		w.shop.Faults.Set(1, serverErrors(""))
		w.unsubscribes(person, w.clock.Now())
		_, _ = w.engine.Round(t.Context(), storeID)
		w.must(w.shop.ChangeEmail(id, "someone.else@example.com"))
		w.shop.Faults.Set(1)
		w.clock.advance(time.Minute)
		w.agree()
		if n := len(w.shop.Writes()); n != 0 {
			t.Errorf("%d writes to a customer who is somebody else now: %+v", n, w.shop.Writes())
		}
		w.shows("someone.else@example.com", shop.Subscribed, list.Subscribed)
	})
}

// debt tells what a side is owed of a person.
func (w *world) debt(email string, side consent.Side) consent.Debt {
	w.t.Helper()
	rec := w.entry(email).Record
	return rec.DebtTo(side)
}
