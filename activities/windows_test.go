package activities_test

import (
	"slices"
	"testing"
	"time"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// An order that a window is told of settles it at once through checkout; without one it stays open until its last look-up.
func TestSettlingAWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToListrak)
	const email = "held@example.com"
	id, err := w.shop.CreateCustomer(shop.NewCustomer{Email: email, Consent: shop.Consent{State: shop.Subscribed}})
	must(t, err)
	round, err := w.reconcile()
	must(t, err)
	in := activities.SettleWindowInput{Merchant: w.id, Window: round.Windows[0]}
	early, err := run(w, w.acts.SettleWindow, in)
	must(t, err)
	if early.Open == nil || !early.Open.LastLookUp.Equal(in.Window.LastLookUp) {
		t.Fatalf("settled early: %+v", early)
	}
	order, err := w.shop.PlaceOrder(shop.Order{CustomerID: id, Email: email})
	must(t, err)
	in.Order, in.OrderedAt = string(order), time.Now()
	settled, err := run(w, w.acts.SettleWindow, in)
	must(t, err)
	contact, known := w.list.Contact(email)
	if settled.Open != nil || !known || contact.State != list.Subscribed || !slices.Equal(contact.SubscriptionEvents, []int{22}) {
		t.Errorf("settled with %+v; Listrak shows %t %+v, want a subscription through checkout", settled, known, contact)
	}
	again, err := run(w, w.acts.SettleWindow, in)
	must(t, err)
	if again.Open != nil || len(w.list.Writes()) != 1 {
		t.Errorf("a second settle wrote: %+v, %d writes", again, len(w.list.Writes()))
	}
}
