package endtoend

import (
	"slices"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// The first procedure by which merchants test: subscribe a new contact in Listrak, and the customer appears in Shopify.
func TestAContactSubscribedInListrakBecomesACustomerInShopify(t *testing.T) {
	t.Parallel()
	onEachLedger(t, func(t *testing.T, s *stack) {
		s.work()
		s.set(workflows.SyncDelta{consent.EmailToShopify: true})
		at := time.Now()
		must(t, s.list.Subscribe("ada@example.com", at, "Website"))
		customer := s.shopShows("ada@example.com", shop.Subscribed)
		if got, want := customer.Consent.UpdatedAt, at.UTC().Truncate(time.Second); !got.Equal(want) {
			t.Errorf("Shopify dates the consent %s, want the date of the decision %s", got, want)
		}
	})
}

// The second procedure without an order: the box is ticked in Shopify, and the contact is subscribed through marketing.
func TestAConsentInShopifyWithoutAnOrderGoesThroughMarketing(t *testing.T) {
	t.Parallel()
	onEachLedger(t, func(t *testing.T, s *stack) {
		s.work()
		s.set(workflows.SyncDelta{consent.EmailToListrak: true})
		began := time.Now()
		_, err := s.shop.CreateCustomer(shop.NewCustomer{Email: "bob@example.com", Consent: shop.Consent{State: shop.Subscribed}})
		must(t, err)
		contact := s.listShows("bob@example.com", list.Subscribed)
		if took := time.Since(began); took < window-time.Second {
			t.Errorf("subscribed after %s, before the window of %s had ended", took, window)
		}
		if !slices.Equal(contact.SubscriptionEvents, []int{marketing}) {
			t.Errorf("subscribed through events %v, want marketing (%d)", contact.SubscriptionEvents, marketing)
		}
	})
}

// The second procedure with an order inside the window: at once, through checkout.
func TestAConsentInShopifyWithAnOrderGoesThroughCheckout(t *testing.T) {
	t.Parallel()
	onEachLedger(t, func(t *testing.T, s *stack) {
		s.work()
		s.set(workflows.SyncDelta{consent.EmailToListrak: true})
		id, err := s.shop.CreateCustomer(shop.NewCustomer{Email: "carla@example.com", Consent: shop.Consent{State: shop.Subscribed}})
		must(t, err)
		_, err = s.shop.PlaceOrder(shop.Order{CustomerID: id, Email: "carla@example.com"})
		must(t, err)
		contact := s.listShows("carla@example.com", list.Subscribed)
		if !slices.Equal(contact.SubscriptionEvents, []int{checkout}) {
			t.Errorf("subscribed through events %v, want checkout (%d)", contact.SubscriptionEvents, checkout)
		}
	})
}
