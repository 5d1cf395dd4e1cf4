package endtoend

import (
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// The first procedure for SMS: subscribe a new number in Listrak, and the customer appears in Shopify. A STOP ends it there.
func TestAPhoneSubscribedInListrakBecomesACustomerInShopify(t *testing.T) {
	t.Parallel()
	onEachLedger(t, func(t *testing.T, s *stack) {
		s.work()
		s.set(workflows.SyncDelta{consent.SMSToShopify: true})
		at := time.Now()
		must(t, s.code.Subscribe(s.phoneLists()[0], "+15550001111", at))
		customer := s.shopShowsPhone("+15550001111", shop.Subscribed)
		if got, want := customer.SMSConsent.UpdatedAt, at.UTC().Truncate(time.Second); !got.Equal(want) {
			t.Errorf("Shopify dates the consent %s, want the date of the decision %s", got, want)
		}
		must(t, s.code.Stop("+15550001111", time.Now()))
		s.shopShowsPhone("+15550001111", shop.Unsubscribed)
	})
}

// The second procedure for SMS without an order: the number is subscribed to the list, and not to the one of the checkout.
func TestAConsentToSMSWithoutAnOrder(t *testing.T) {
	t.Parallel()
	onEachLedger(t, func(t *testing.T, s *stack) {
		s.work()
		s.set(workflows.SyncDelta{consent.SMSToListrak: true})
		began := time.Now()
		_, err := s.shop.CreateCustomer(shop.NewCustomer{Phone: "+15550002222", SMSConsent: shop.Consent{State: shop.Subscribed}})
		must(t, err)
		contact := s.listShowsPhone("+15550002222", true)
		if took := time.Since(began); took < window-time.Second {
			t.Errorf("subscribed after %s, before the window of %s had ended", took, window)
		}
		if state := contact.Lists[s.phoneLists()[1]].State; state != "" {
			t.Errorf("the list of the checkout point shows %s", state)
		}
	})
}

// The second procedure with an order: both boxes are ticked in the checkout, in one second, and each channel has its own window.
func TestConsentsToBothChannelsInTheCheckout(t *testing.T) {
	t.Parallel()
	onEachLedger(t, func(t *testing.T, s *stack) {
		s.work()
		s.set(workflows.SyncDelta{consent.EmailToListrak: true, consent.SMSToListrak: true})
		_, err := s.shop.CheckOut(shop.Order{Email: "dora@example.com", Phone: "+15550003333"}, shop.Ticked{Email: true, SMS: true})
		must(t, err)
		phone := s.listShowsPhone("+15550003333", true)
		if state := phone.Lists[s.phoneLists()[1]].State; state != list.Subscribed {
			t.Errorf("the list of the checkout point shows %q", state)
		}
		if contact := s.listShows("dora@example.com", list.Subscribed); len(contact.SubscriptionEvents) != 1 || contact.SubscriptionEvents[0] != checkout {
			t.Errorf("the email is subscribed through %v, want checkout (%d)", contact.SubscriptionEvents, checkout)
		}
		// Switching SMS off leaves email alone.
		s.set(workflows.SyncDelta{consent.SMSToListrak: false})
		customer, _ := s.shop.Customer("dora@example.com")
		must(t, s.shop.SetSMSConsent(customer.ID, shop.Unsubscribed, time.Now()))
		must(t, s.shop.SetEmailConsent(customer.ID, shop.Unsubscribed, time.Now()))
		s.listShows("dora@example.com", list.Unsubscribed)
		if phone, _ := s.code.Phone("+15550003333"); !phone.Consents(s.phoneLists()[0]) {
			t.Error("SMS was unsubscribed although its sync is off")
		}
	})
}
