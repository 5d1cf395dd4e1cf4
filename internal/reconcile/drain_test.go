package reconcile

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// restless ends a drain as soon as nothing is under way, since the world's clock stands still while a drain waits.
func restless(t *Timing) { t.DrainQuiet = 1 }

// hint is a webhook about a customer.
func (w *world) hint(customers ...shop.CustomerID) ledger.WebhookReceipt {
	w.t.Helper()
	hook := ledger.Webhook{Merchant: storeID, ID: fmt.Sprint(w.clock.Now().UnixNano()), Topic: "customers/update"}
	for _, id := range customers {
		hook.Customers = append(hook.Customers, string(id))
	}
	return w.webhook(hook)
}

func (w *world) webhook(hook ledger.Webhook) ledger.WebhookReceipt {
	w.t.Helper()
	receipts, err := w.ledger.ReceiveWebhooks(w.t.Context(), []ledger.Webhook{hook})
	w.must(err)
	return receipts[0]
}

// orderWebhook is the webhook of an order that was created at.
func (w *world) orderWebhook(id string, customer shop.CustomerID, email string, at time.Time) ledger.WebhookReceipt {
	w.t.Helper()
	order := &ledger.Order{ID: id, Customer: string(customer), CreatedAt: consent.InstantOf(at), Until: consent.InstantOf(at.Add(15 * time.Minute))}
	if email != "" {
		order.Email = w.subject(email)
	}
	return w.webhook(ledger.Webhook{Merchant: storeID, ID: id, Topic: "orders/create", Order: order})
}

func (w *world) drain() DrainResult {
	w.t.Helper()
	result, err := w.engine.Drain(w.t.Context(), storeID)
	w.must(err)
	return result
}

func (w *world) noHints() {
	w.t.Helper()
	hints, err := w.ledger.Hints(w.t.Context(), storeID, never, 10)
	w.must(err)
	if len(hints) > 0 {
		w.t.Errorf("hints wait: %v", hints)
	}
}

func TestADrainDeliversWithoutARound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timing: restless})
	w.subscribes(person, w.clock.Now().Add(-time.Hour))
	id := w.customer(person, shop.Subscribed, w.clock.Now().Add(-time.Hour))
	w.enable()
	w.consents(person, shop.Unsubscribed, w.clock.Now())
	if receipt := w.hint(id); !receipt.Nudge {
		t.Error("nobody was sent")
	}
	w.drain()
	w.shows(person, shop.Unsubscribed, list.Unsubscribed)
	w.noHints()
	if receipt := w.hint(id); !receipt.Nudge {
		t.Error("the drain sleeps, and the next webhook sends nobody")
	}
	w.drain()
	w.agree()
	if inShopify, inListrak := w.effective(person); inShopify != 0 || inListrak != 1 {
		t.Errorf("%d writes to Shopify and %d to Listrak took effect, want one to Listrak\n%s", inShopify, inListrak, w.history(person))
	}
}

func TestADrainDeliversToShopifyToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timing: restless}).enable()
	w.subscribes(person, w.clock.Now().Add(-time.Hour))
	w.unsubscribes(person, w.clock.Now())
	w.round()
	// An old consent comes to Shopify with an import.
	w.hint(w.customer(person, shop.Subscribed, w.clock.Now().Add(-24*time.Hour)))
	w.drain()
	w.shows(person, shop.Unsubscribed, list.Unsubscribed)
}

func mustCustomer(w *world, email string) shop.Customer {
	w.t.Helper()
	customer, ok := w.shop.Customer(email)
	if !ok {
		w.t.Fatalf("no customer %s", email)
	}
	return customer
}

func TestAnOrderThatComesByWebhookDecidesTheSubscriptionPoint(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		play func(w *world)
		want int
		// maxHeld: with 0 no window is opened.
		maxHeld int
	}{
		{"after the consent was read, without a window", func(w *world) {
			id := w.customer(person, shop.Subscribed, w.clock.Now())
			w.hint(id)
			w.drain()
			w.clock.advance(10 * time.Second)
			if receipt := w.orderWebhook("1", id, "", w.clock.Now()); !receipt.Nudge {
				w.t.Error("nobody was sent to settle the hold")
			}
			w.drain()
		}, checkoutEvent, 0},
		{"before the consent was read", func(w *world) {
			id := w.customer(person, shop.Subscribed, w.clock.Now())
			w.orderWebhook("1", id, "", w.clock.Now())
			w.hint(id)
			w.drain()
		}, checkoutEvent, 0},
		{"of a guest, by the address", func(w *world) {
			id := w.customer(person, shop.Subscribed, w.clock.Now())
			w.orderWebhook("1", "", person, w.clock.Now())
			w.hint(id)
			w.drain()
		}, checkoutEvent, 0},
		{"of somebody else", func(w *world) {
			id := w.customer(person, shop.Subscribed, w.clock.Now())
			w.orderWebhook("1", "gid://shopify/Customer/99", "else@example.com", w.clock.Now())
			w.hint(id)
			w.drain()
			w.shows(person, shop.Subscribed, nobody)
			w.clock.advance(7 * time.Minute)
			w.round()
		}, marketingEvent, 10},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			// No round and no search: what is shown comes by webhook alone.
			w := newWorld(t, plan{timing: func(timing *Timing) { timing.DrainQuiet, timing.MaxHeld = 1, row.maxHeld }}).enable()
			w.t = t
			row.play(w)
			w.subscribedThrough(person, row.want)
		})
	}
}

func TestADrainReturnsTheWindowsToOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timing: restless}).enable()
	id := w.customer(person, shop.Subscribed, w.clock.Now())
	w.hint(id)
	result := w.drain()
	if len(result.Windows) != 1 || result.Windows[0].Hold.Customer != string(id) || result.Read != 1 || result.More {
		t.Fatalf("%+v", result)
	}
	if receipt := w.orderWebhook("1", id, "", w.clock.Now()); len(receipt.Held) != 1 || receipt.Nudge {
		t.Errorf("the window is not to be told: %+v", receipt)
	}
	if result := w.round(); len(result.Windows) != 0 {
		t.Errorf("the round opens it again: %+v", result.Windows)
	}
}

func TestADrainFollowsDeletionsAndMerges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timing: restless}).enable()
	ada := w.customer("ada@example.com", shop.Subscribed, w.clock.Now().Add(-10*time.Minute))
	bob := w.customer("bob@example.com", shop.Unsubscribed, w.clock.Now())
	w.hint(ada, bob)
	w.drain()
	w.must(w.shop.DeleteCustomer(ada))
	w.hint(ada, "gid://shopify/Customer/999999")
	w.drain()
	w.noHints()
	if state := w.entry("ada@example.com").Record.Seen[consent.Shopify].State; state != consent.Absent {
		t.Errorf("the deleted customer is seen as %s\n%s", state, w.history("ada@example.com"))
	}
}

// Without a drain the rounds read what webhooks tell, when it has waited long enough for a drain to come.
func TestARoundReadsOldHints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timing: restless, shop: shop.Config{SearchLag: time.Hour}}).enable()
	id := w.customer(person, shop.Unsubscribed, w.clock.Now())
	w.subscribes(person, w.clock.Now().Add(-time.Hour))
	w.hint(id)
	w.round()
	w.shows(person, shop.Unsubscribed, list.Subscribed)
	w.round()
	w.shows(person, shop.Unsubscribed, list.Unsubscribed)
	w.noHints()
}

func TestADrainThatFailsLeavesItToTheRounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timing: restless}).enable()
	w.subscribes(person, w.clock.Now().Add(-time.Hour))
	w.round()
	id := mustCustomer(w, person).ID
	w.consents(person, shop.Unsubscribed, w.clock.Now())
	w.hint(id)
	w.shop.Faults.Set(1, fault.Rule{Operation: "nodes", Kind: fault.ServerError, Times: 20})
	if _, err := w.engine.Drain(t.Context(), storeID); failure.ClassOf(err) != failure.Retry {
		t.Fatalf("%v", err)
	}
	hints, err := w.ledger.Hints(t.Context(), storeID, never, 10)
	w.must(err)
	if len(hints) != 1 {
		t.Errorf("the hint is lost: %v", hints)
	}
}

// Whoever gets an error opens no windows: they are left to the round that comes next.
func TestADrainThatFailsMarksNoWindows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timing: restless}).enable()
	id := w.customer(person, shop.Subscribed, w.clock.Now())
	d := &drain{Engine: w.engine, merchant: storeID, reading: map[string]bool{}, delivering: map[consent.Subject]bool{}}
	ctx, running, err := d.refresh(t.Context())
	if err != nil || !running {
		t.Fatal(running, err)
	}
	if _, err := d.r.readHints(ctx, []ledger.Hint{{Customer: string(id)}}); err != nil {
		t.Fatal(err)
	}
	d.failed = errRaces
	if result, err := d.run(t.Context()); !errors.Is(err, errRaces) || len(result.Windows) != 0 {
		t.Errorf("%+v, %v", result, err)
	}
	if result := w.round(); len(result.Windows) != 1 {
		t.Errorf("the round has %d windows to open, want that of the consent", len(result.Windows))
	}
}

// After a long pause thousands of hints may wait: what a round has read from Listrak does not wait for all of them.
func TestOldHintsDoNotTakeUpARound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timing: restless}).enable()
	ids := make([]shop.CustomerID, (oldHintPages+1)*hintBatch)
	for n := range ids {
		ids[n] = shop.CustomerID(fmt.Sprintf("gid://shopify/Customer/%d", 900000+n))
	}
	w.hint(ids...)
	w.clock.advance(time.Minute)
	if result := w.round(); !result.More {
		t.Error("the round does not tell that more wait")
	}
	if hints, err := w.ledger.Hints(t.Context(), storeID, never, len(ids)); err != nil || len(hints) != hintBatch {
		t.Errorf("%d hints are left, want one page: %v", len(hints), err)
	}
	w.round()
	w.noHints()
}

func TestADrainObeysTheSwitches(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timing: restless}).enable()
	w.subscribes(person, w.clock.Now().Add(-time.Hour))
	w.round()
	id := mustCustomer(w, person).ID
	w.consents(person, shop.Unsubscribed, w.clock.Now())
	w.hint(id)
	before := w.shopifyCalls()
	_, err := w.ledger.Pause(t.Context(), storeID)
	w.must(err)
	w.drain()
	if calls := w.shopifyCalls() - before; calls != 0 {
		t.Errorf("%d calls of a paused merchant", calls)
	}
	_, err = w.ledger.Resume(t.Context(), storeID)
	w.must(err)
	w.set(map[consent.Sync]bool{consent.EmailToListrak: false})
	w.drain()
	w.shows(person, shop.Unsubscribed, list.Subscribed)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.engine.Drain(ctx, storeID); err != nil {
		t.Errorf("a drain that is stopped fails: %v", err)
	}
	w.set(map[consent.Sync]bool{consent.EmailToListrak: true})
	w.round()
	w.shows(person, shop.Unsubscribed, list.Unsubscribed)
}

// Hundreds at once: opt-outs before subscribes (I9), and no more re-subscriptions than the limit allows (I10).
func TestADrainKeepsTheOrderAndTheLimit(t *testing.T) {
	const people = 110
	t.Parallel()
	w := newWorld(t, plan{timing: restless}).enable()
	w.clock.advance(20 * time.Minute)
	old, ago := w.clock.Now().Add(-24*time.Hour), w.clock.Now().Add(-time.Minute)
	var ids []shop.CustomerID
	for n := range people {
		back, leaving := fmt.Sprintf("back%d@example.com", n), fmt.Sprintf("leaving%d@example.com", n)
		w.subscribes(back, old.Add(-time.Hour))
		w.unsubscribes(back, old)
		w.subscribes(leaving, old)
		returning := w.customer(back, shop.Subscribed, ago)
		w.orderWebhook(fmt.Sprint(n), returning, "", ago)
		ids = append(ids, returning, w.customer(leaving, shop.Unsubscribed, ago))
	}
	w.hint(ids...)
	w.drain()
	w.noHints()
	back := 0
	for n := range people {
		w.shows(fmt.Sprintf("leaving%d@example.com", n), shop.Unsubscribed, list.Unsubscribed)
		if contact, _ := w.list.Contact(fmt.Sprintf("back%d@example.com", n)); contact.State == list.Subscribed {
			back++
		}
	}
	if back != merchant.DefaultResubscribeLimit {
		t.Errorf("%d were resubscribed, want as many as the limit\n%s", back, w.history("back0@example.com"))
	}
	var order []list.Write
	for _, write := range w.list.Writes() {
		if write.Effective {
			order = append(order, write)
		}
	}
	for n, write := range order[:people-2*drainDeliveries] {
		if write.State != list.Unsubscribed {
			t.Fatalf("write %d subscribes %s, while opt-outs waited", n, write.Email)
		}
	}
}
