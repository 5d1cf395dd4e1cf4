package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// cast is a handful of people who together need every operation of both sides.
type cast struct {
	newInListrak, newInShopify, leftInShopify, leftInListrak, cameBack string
}

func people(n int) cast {
	name := func(role string) string { return fmt.Sprintf("%s-%d@example.com", role, n) }
	return cast{name("new-in-listrak"), name("new-in-shopify"), name("left-in-shopify"), name("left-in-listrak"), name("came-back")}
}

// known lets both sides agree about those of the cast who are no newcomers.
func (w *world) known(c cast) {
	w.t.Helper()
	w.subscribes(c.leftInShopify, w.clock.Now())
	w.subscribes(c.leftInListrak, w.clock.Now())
	w.subscribes(c.cameBack, w.clock.Now())
	w.agree()
	w.consents(c.cameBack, shop.Unsubscribed, w.clock.Now())
	w.agree()
}

// play lets everybody decide something.
func (w *world) play(c cast) {
	w.t.Helper()
	w.subscribes(c.newInListrak, w.clock.Now())
	w.customer(c.newInShopify, shop.Subscribed, w.clock.Now().Add(-10*time.Second))
	w.consents(c.leftInShopify, shop.Unsubscribed, w.clock.Now())
	w.unsubscribes(c.leftInListrak, w.clock.Now())
	w.consents(c.cameBack, shop.Subscribed, w.clock.Now().Add(-10*time.Second))
}

// played checks that both sides show what the cast decided, with at most one effective write for each decision and side, no attempt
// left open, and nobody disputed or refused.
func (w *world) played(c cast) {
	w.t.Helper()
	w.shows(c.newInListrak, shop.Subscribed, list.Subscribed)
	w.shows(c.newInShopify, shop.Subscribed, list.Subscribed)
	w.shows(c.leftInShopify, shop.Unsubscribed, list.Unsubscribed)
	w.shows(c.leftInListrak, shop.Unsubscribed, list.Unsubscribed)
	w.shows(c.cameBack, shop.Subscribed, list.Subscribed)
	for email, want := range map[string][2]int{
		c.newInListrak: {1, 0}, c.newInShopify: {0, 1}, c.leftInShopify: {1, 1}, c.leftInListrak: {2, 0}, c.cameBack: {1, 2},
	} {
		inShopify, inListrak := w.effective(email)
		if inShopify > want[0] || inListrak > want[1] {
			w.t.Errorf("%d effective writes in Shopify and %d in Listrak, want at most %v\n%s", inShopify, inListrak, want, w.history(email))
		}
		rec := w.entry(email).Record
		for _, side := range consent.Sides {
			for _, d := range rec.Sent[side] {
				// One of the decision's own state does no harm when it takes effect late.
				if d.State != consent.Unseen && d.Outcome == consent.Open && d.State != rec.Decision.State {
					w.t.Errorf("an attempt towards %s is still open\n%s", side, w.history(email))
				}
			}
			if debt := rec.DebtTo(side); debt != consent.Settled {
				w.t.Errorf("%s is %s\n%s", side, debt, w.history(email))
			}
		}
	}
}

// While one operation fails in one way for a while, nobody is lost, refused or written to twice; after it all is as it should be.
func TestEveryFaultOfEveryOperationHeals(t *testing.T) {
	t.Parallel()
	kinds := []fault.Kind{
		fault.TooManyRequests, fault.Throttled, fault.ServerError, fault.HTMLError, fault.TimeoutBefore, fault.TimeoutAfter, fault.ErrorAfter,
	}
	ofShopify := []string{"token", "customers", "nodes", "customerByIdentifier", "customer", "orders", "customerEmailMarketingConsentUpdate", "customerCreate"}
	ofListrak := []string{"token", "GET Contacts", "GET Contact", "POST Contact"}
	for _, kind := range kinds {
		for side, operations := range map[string][]string{"Shopify": ofShopify, "Listrak": ofListrak} {
			for _, operation := range operations {
				t.Run(fmt.Sprintf("%s at %s's %s", kind, side, operation), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t).enable()
					c := people(1)
					w.known(c)
					w.play(c)
					rule := fault.Rule{Operation: operation, Kind: kind, Delay: 5 * time.Millisecond}
					faults := &w.shop.Faults
					if side == "Listrak" {
						faults = &w.list.Faults
					}
					if operation == "token" {
						// Tokens are renewed long before they run out.
						w.clock.advance(25 * time.Hour)
						w.sandbox.ExpireListrakTokens()
					}
					faults.Set(1, rule)
					for range 10 {
						_, _ = w.engine.Round(t.Context(), storeID)
						w.clock.advance(w.timing.Interval)
					}
					if faults.Struck()[kind] == 0 {
						t.Fatal("the fault never struck: the test shows nothing")
					}
					if operation == "token" && kind != fault.TooManyRequests && kind != fault.Throttled {
						switches, err := w.ledger.Switches(t.Context(), storeID)
						w.must(err)
						if switches.State != ledger.Running {
							t.Fatalf("the merchant is %s: %s", switches.State, switches.Reason)
						}
					}
					faults.Set(1)
					w.settle(true)
					w.played(c)
				})
			}
		}
	}
}

// Faults that come and go at random on both sides at once.
func TestRandomFaultsHeal(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{list: list.Config{SameState: []list.SameState{list.MovesDates, list.AnswersError, list.KeepsDates}[seed%3]}}).enable()
			c := people(1)
			w.known(c)
			w.play(c)
			rules := []fault.Rule{
				{Kind: fault.TimeoutAfter, Chance: 0.15, Delay: time.Millisecond}, {Kind: fault.ErrorAfter, Chance: 0.15},
				{Kind: fault.ServerError, Chance: 0.15}, {Kind: fault.TimeoutBefore, Chance: 0.15, Delay: time.Millisecond},
			}
			w.shop.Faults.Set(seed, rules...)
			w.list.Faults.Set(seed+100, rules...)
			for range 20 {
				_, _ = w.engine.Round(t.Context(), storeID)
				w.clock.advance(w.timing.Interval)
			}
			w.shop.Faults.Set(0)
			w.list.Faults.Set(0)
			w.settle(true)
			w.played(c)
		})
	}
}

var errDead = errors.New("the process is dead")

// fate lets a process die at its nth call to the ledger or to a side that changes something: the answers of that call and of all
// after it are never heard.
type fate struct {
	turn chan int64
	// nth is the call at which the process dies; made tells whether that call takes effect.
	nth  int64
	made bool
}

func newFate(nth int64, made bool) *fate {
	f := &fate{turn: make(chan int64, 1), nth: nth, made: made}
	f.turn <- 0
	return f
}

func (f *fate) next() (make bool, dies bool) {
	n := <-f.turn + 1
	f.turn <- n
	return n < f.nth || n == f.nth && f.made, n >= f.nth
}

func (f *fate) calls() int64 {
	n := <-f.turn
	f.turn <- n
	return n
}

func dying[T any](f *fate, call func() (T, error)) (T, error) {
	made, dies := f.next()
	var none T
	if made {
		value, err := call()
		if !dies {
			return value, err
		}
	}
	return none, errDead
}

func dyingAlone(f *fate, call func() error) error {
	_, err := dying(f, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

type mortalLedger struct {
	Records
	fate *fate
}

func (m mortalLedger) AcquireRun(ctx context.Context, id string, kind ledger.RunKind, holder string, ttl time.Duration) (lease ledger.RunLease, ok bool, err error) {
	lease, err = dying(m.fate, func() (ledger.RunLease, error) {
		var l ledger.RunLease
		l, ok, err = m.Records.AcquireRun(ctx, id, kind, holder, ttl)
		return l, err
	})
	return lease, ok, err
}

func (m mortalLedger) ReleaseRun(ctx context.Context, lease ledger.RunLease) error {
	return dyingAlone(m.fate, func() error { return m.Records.ReleaseRun(ctx, lease) })
}

func (m mortalLedger) SetRunStatus(ctx context.Context, id string, kind ledger.RunKind, status ledger.RunStatus) error {
	return dyingAlone(m.fate, func() error { return m.Records.SetRunStatus(ctx, id, kind, status) })
}

func (m mortalLedger) Save(ctx context.Context, id string, batch ledger.Batch) ([]consent.Subject, error) {
	return dying(m.fate, func() ([]consent.Subject, error) { return m.Records.Save(ctx, id, batch) })
}

func (m mortalLedger) Load(ctx context.Context, id string, channel consent.Channel, subjects []consent.Subject) (map[consent.Subject]ledger.Entry, error) {
	return dying(m.fate, func() (map[consent.Subject]ledger.Entry, error) { return m.Records.Load(ctx, id, channel, subjects) })
}

func (m mortalLedger) Owed(ctx context.Context, query ledger.OwedQuery) ([]ledger.Located, error) {
	return dying(m.fate, func() ([]ledger.Located, error) { return m.Records.Owed(ctx, query) })
}

func (m mortalLedger) Claims(ctx context.Context, id string, limit ledger.ResubscribeLimit, requests []ledger.ClaimRequest) ([]ledger.ClaimResult, error) {
	return dying(m.fate, func() ([]ledger.ClaimResult, error) { return m.Records.Claims(ctx, id, limit, requests) })
}

func (m mortalLedger) MarkOpened(ctx context.Context, id string, holds []ledger.Held) error {
	return dyingAlone(m.fate, func() error { return m.Records.MarkOpened(ctx, id, holds) })
}

func (m mortalLedger) Break(ctx context.Context, id, reason string) (ledger.Switches, error) {
	return ledger.Switches{}, fmt.Errorf("a dying process takes its death for the merchant's fault: %s", reason)
}

type mortalShopify struct {
	Shopify
	fate *fate
}

func (m mortalShopify) UpdateEmailConsents(ctx context.Context, writes []shopify.ConsentWrite) ([]shopify.WriteResult, error) {
	return dying(m.fate, func() ([]shopify.WriteResult, error) { return m.Shopify.UpdateEmailConsents(ctx, writes) })
}

func (m mortalShopify) CreateCustomers(ctx context.Context, customers []shopify.NewCustomer) ([]shopify.WriteResult, error) {
	return dying(m.fate, func() ([]shopify.WriteResult, error) { return m.Shopify.CreateCustomers(ctx, customers) })
}

type mortalListrak struct {
	Listrak
	fate *fate
}

func (m mortalListrak) Subscribe(ctx context.Context, address string, options listrak.SubscribeOptions) (listrak.WriteResult, error) {
	return dying(m.fate, func() (listrak.WriteResult, error) { return m.Listrak.Subscribe(ctx, address, options) })
}

func (m mortalListrak) Unsubscribe(ctx context.Context, address string) (listrak.WriteResult, error) {
	return dying(m.fate, func() (listrak.WriteResult, error) { return m.Listrak.Unsubscribe(ctx, address) })
}

// mortalEngine is a process that dies at a call.
func (w *world) mortalEngine(holder string, f *fate) *Engine {
	e := w.newEngine(holder)
	e.Intercept = func(r Records) Records { return mortalLedger{r, f} }
	connections := &connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) {
		return mortalShopify{a, f}, mortalListrak{b, f}
	}}
	e.Connect = connections.open
	return e
}

// A process that dies at any call, before or after the call took effect, leaves a ledger from which another goes on to the same end.
func TestDyingAtAnyCallLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name     string
		postgres bool
		step     int64
	}{{"SQLite", false, 1}, {"PostgreSQL", true, 5}} {
		if testing.Short() {
			kind.step *= 10
		}
		for _, made := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the call made: %t", kind.name, made), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, plan{postgres: kind.postgres}).enable()
				nth := int64(1)
				for n := 1; ; n++ {
					c := people(n)
					w.known(c)
					w.play(c)
					f := newFate(nth, made)
					doomed := w.mortalEngine(fmt.Sprint("doomed ", n), f)
					// The consents given in Shopify are held until the last look-up: the process lives through that minute too.
					for range 9 {
						if _, err := doomed.Round(t.Context(), storeID); err != nil && !errors.Is(err, errDead) {
							t.Fatal(err)
						}
						w.clock.advance(w.timing.Interval)
						if f.calls() >= nth {
							break
						}
					}
					if f.calls() < nth {
						t.Logf("%d calls in all", f.calls())
						break
					}
					w.settleAfterDeath()
					w.played(c)
					if t.Failed() {
						t.Fatalf("the process died at call %d", nth)
					}
					nth += kind.step
				}
				if nth < 100 {
					t.Errorf("only %d calls: the test shows little", nth)
				}
			})
		}
	}
}

// settleAfterDeath is agree, but the lease of the dead process may keep the next one waiting.
func (w *world) settleAfterDeath() {
	w.t.Helper()
	for range 3 {
		_, err := w.engine.Round(w.t.Context(), storeID)
		if err != nil && !errors.Is(err, ErrBusy) {
			w.t.Fatal(err)
		}
		w.clock.advance(w.timing.Interval)
	}
	w.agree()
}

// A person for whom every call fails keeps nobody waiting.
func TestPeopleWhoseCallsAlwaysFailKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	const broken, healthy = 6, 60
	t.Run("towards Listrak", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t).enable()
		poisoned := newPoison(w)
		w.engine.Connect = poisoned.connections.open
		// The broken ones are the oldest, and so the first in every round; they want to leave, which goes before all others.
		for i := range broken {
			w.subscribes(fmt.Sprintf("broken-%d@example.com", i), w.clock.Now())
		}
		w.agree()
		for i := range broken {
			email := fmt.Sprintf("broken-%d@example.com", i)
			poisoned.add(email)
			w.consents(email, shop.Unsubscribed, w.clock.Now())
		}
		for range 3 {
			_, _ = w.engine.Round(t.Context(), storeID)
			w.clock.advance(w.timing.Interval)
		}
		for i := range healthy {
			w.customer(fmt.Sprintf("healthy-%d@example.com", i), shop.Subscribed, w.clock.Now())
		}
		for range 14 {
			_, _ = w.engine.Round(t.Context(), storeID)
			w.clock.advance(w.timing.Interval)
		}
		for i := range healthy {
			w.shows(fmt.Sprintf("healthy-%d@example.com", i), shop.Subscribed, list.Subscribed)
		}
		poisoned.clear()
		w.settle(true)
		for i := range broken {
			w.shows(fmt.Sprintf("broken-%d@example.com", i), shop.Unsubscribed, list.Unsubscribed)
		}
	})
	t.Run("towards Shopify", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t).enable()
		poisoned := newPoison(w)
		w.engine.Connect = poisoned.connections.open
		for i := range broken {
			email := fmt.Sprintf("broken-%d@example.com", i)
			poisoned.add(email)
			w.subscribes(email, w.clock.Now())
		}
		for i := range healthy {
			w.subscribes(fmt.Sprintf("healthy-%d@example.com", i), w.clock.Now().Add(time.Second))
		}
		w.clock.advance(time.Minute)
		for range 12 {
			_, _ = w.engine.Round(t.Context(), storeID)
			w.clock.advance(w.timing.Interval)
		}
		for i := range healthy {
			w.shows(fmt.Sprintf("healthy-%d@example.com", i), shop.Subscribed, list.Subscribed)
		}
		poisoned.clear()
		w.settle(true)
		for i := range broken {
			w.shows(fmt.Sprintf("broken-%d@example.com", i), shop.Subscribed, list.Subscribed)
		}
	})
}

// An outage of a side costs few calls a round, however many wait, and heals without a person.
func TestAnOutageCostsFewCalls(t *testing.T) {
	t.Parallel()
	const waiting = 120
	for _, operation := range []string{"customerByIdentifier", "customerCreate"} {
		t.Run("Shopify's "+operation, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			for i := range waiting {
				w.subscribes(fmt.Sprintf("person-%d@example.com", i), w.clock.Now())
			}
			w.shop.Faults.Set(1, fault.Rule{Operation: operation, Kind: fault.ServerError})
			for range 8 {
				before := w.shop.Requests()[operation]
				_, err := w.engine.Round(t.Context(), storeID)
				if err == nil {
					t.Error("the round does not tell of the outage")
				}
				w.clock.advance(w.timing.Interval)
				if calls := w.shop.Requests()[operation] - before; calls > shopifyFailures+failuresAgain {
					t.Errorf("%d calls in one round of an outage", calls)
				}
			}
			w.shop.Faults.Set(1)
			w.settle(true)
			for i := range waiting {
				w.shows(fmt.Sprintf("person-%d@example.com", i), shop.Subscribed, list.Subscribed)
			}
		})
	}
	for _, operation := range []string{"GET Contact", "POST Contact"} {
		t.Run("Listrak's "+operation, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			for i := range waiting {
				w.customer(fmt.Sprintf("person-%d@example.com", i), shop.Subscribed, w.clock.Now().Add(-10*time.Second))
			}
			for range 5 {
				w.round()
			}
			w.list.Faults.Set(1, fault.Rule{Operation: operation, Kind: fault.ServerError})
			for range 8 {
				before := w.list.Faults.Struck()[fault.ServerError]
				_, _ = w.engine.Round(t.Context(), storeID)
				w.clock.advance(w.timing.Interval)
				if calls := w.list.Faults.Struck()[fault.ServerError] - before; calls > listrakFailures+failuresAgain+2*listrakParallel {
					t.Errorf("%d calls in one round of an outage", calls)
				}
			}
			w.list.Faults.Set(1)
			w.settle(true)
			for i := range waiting {
				w.shows(fmt.Sprintf("person-%d@example.com", i), shop.Subscribed, list.Subscribed)
			}
		})
	}
}

// Opt-outs go before every subscribe of the merchant that waits (I9), on either side.
func TestOptOutsGoFirst(t *testing.T) {
	t.Parallel()
	const waiting, leaving = 150, 20
	t.Run("towards Shopify", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t).enable()
		for i := range leaving {
			w.subscribes(fmt.Sprintf("leaving-%d@example.com", i), w.clock.Now())
		}
		w.agree()
		before := len(w.shop.Writes())
		for i := range waiting {
			w.subscribes(fmt.Sprintf("waiting-%d@example.com", i), w.clock.Now())
		}
		for i := range leaving {
			w.unsubscribes(fmt.Sprintf("leaving-%d@example.com", i), w.clock.Now())
		}
		w.agree()
		written := w.shop.Writes()[before:]
		if len(written) != waiting+leaving {
			t.Errorf("%d writes, want %d", len(written), waiting+leaving)
		}
		first := slices.IndexFunc(written, func(w shop.Write) bool { return w.State == shop.Subscribed })
		if first != leaving {
			t.Errorf("the first subscribe is write %d, want %d opt-outs before it", first, leaving)
		}
	})
	t.Run("towards Listrak", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t).enable()
		for i := range leaving {
			w.subscribes(fmt.Sprintf("leaving-%d@example.com", i), w.clock.Now())
		}
		w.agree()
		before := len(w.list.Writes())
		for i := range waiting {
			w.customer(fmt.Sprintf("waiting-%d@example.com", i), shop.Subscribed, w.clock.Now())
		}
		w.clock.advance(7 * time.Minute) // their windows are over when they are first seen
		for i := range leaving {
			w.consents(fmt.Sprintf("leaving-%d@example.com", i), shop.Unsubscribed, w.clock.Now())
		}
		w.agree()
		written := w.list.Writes()[before:]
		if len(written) != waiting+leaving {
			t.Errorf("%d writes, want %d", len(written), waiting+leaving)
		}
		first := slices.IndexFunc(written, func(w list.Write) bool { return w.State == list.Subscribed })
		if first < leaving {
			t.Errorf("the first subscribe is write %d, want %d opt-outs before it", first, leaving)
		}
	})
}

// In no queue does a subscribe go before an unsubscribe, not even beside it: neither within a batch whose deliveries run in parallel,
// nor by the look-ups of checkout windows that end in the same round, nor by a window that wakes by itself.
func TestNoSubscribeGoesBesideAnOptOut(t *testing.T) {
	t.Parallel()
	const waiting, leaving = 12, 3
	leave := func(w *world) {
		for i := range leaving {
			w.consents(fmt.Sprintf("leaving-%d@example.com", i), shop.Unsubscribed, w.clock.Now())
		}
	}
	begin := func(t *testing.T) *world {
		w := newWorld(t).enable()
		for i := range leaving {
			w.subscribes(fmt.Sprintf("leaving-%d@example.com", i), w.clock.Now())
		}
		w.agree()
		return w
	}
	t.Run("within a batch", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		for i := range waiting {
			w.customer(fmt.Sprintf("waiting-%d@example.com", i), shop.Subscribed, w.clock.Now())
		}
		// Their windows end while Listrak is away, so that all of them are due together with those who leave.
		w.clock.advance(7 * time.Minute)
		w.list.Faults.Set(1, fault.Rule{Kind: fault.ServerError, Times: 1000})
		_, _ = w.engine.Round(t.Context(), storeID)
		w.list.Faults.Set(0)
		w.clock.advance(10 * time.Minute)
		leave(w)
		calls := &calledListrak{}
		w.engine.Connect = (&connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) {
			calls.Listrak = b
			return a, calls
		}}).open
		w.agree()
		// A look-up, a write and another look-up each.
		for i, address := range calls.made {
			if strings.HasPrefix(address, "leaving") != (i < 3*leaving) {
				t.Fatalf("the calls are about %v", calls.made)
			}
		}
		if len(calls.made) != 3*(waiting+leaving) {
			t.Errorf("%d calls, want %d", len(calls.made), 3*(waiting+leaving))
		}
	})
	t.Run("before the look-ups of windows", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		for i := range waiting {
			w.customer(fmt.Sprintf("waiting-%d@example.com", i), shop.Subscribed, w.clock.Now())
		}
		w.round()
		w.clock.advance(7 * time.Minute)
		leave(w)
		before := len(w.list.Writes())
		lookedUp := 0
		w.engine.Connect = (&connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) {
			return orderingShopify{a, func() {
				if lookedUp++; lookedUp == 1 && len(w.list.Writes())-before != leaving {
					t.Errorf("orders are looked up after %d of %d opt-outs", len(w.list.Writes())-before, leaving)
				}
			}}, b
		}}).open
		w.agree()
		if lookedUp == 0 {
			t.Error("no order was looked up")
		}
	})
	t.Run("by a window", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		w.customer("waiting@example.com", shop.Subscribed, w.clock.Now())
		held := w.round().Windows
		if len(held) != 1 {
			t.Fatalf("%d windows", len(held))
		}
		leave(w)
		// A round reads that they have left and dies before it delivers.
		w.clock.advance(7 * time.Minute)
		w.list.Faults.Set(1, fault.Rule{Kind: fault.ServerError, Times: 1000})
		_, _ = w.engine.Round(t.Context(), storeID)
		w.list.Faults.Set(0)
		w.clock.advance(time.Minute) // their next try is due
		state, err := w.engine.SettleWindow(t.Context(), storeID, consent.Email, held[0].Hold.Customer, held[0].Hold.Consent, nil)
		w.must(err)
		w.shows("waiting@example.com", shop.Subscribed, nobody)
		if state.Outcome != "left to the rounds" && state.Outcome != "the hold has ended" {
			t.Errorf("the window ended with %q", state.Outcome)
		}
		w.agree()
		w.shows("waiting@example.com", shop.Subscribed, list.Subscribed)
		w.shows("leaving-0@example.com", shop.Unsubscribed, list.Unsubscribed)
	})
}
