package endtoend

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// Whatever becomes of the webhooks on their way, the end is the same. Where they arrive no round helps: the next one begins only when the
// test is long over.
func TestWebhooksChangeNothingButTheTimeItTakes(t *testing.T) {
	t.Parallel()
	rare := func(s *config.Settings) { s.Interval = 10 * time.Minute }
	often := func(*config.Settings) {}
	for _, c := range []struct {
		name     string
		settings func(*config.Settings)
		faults   []fault.Rule
	}{
		{"they arrive", rare, nil},
		{"each comes twice", rare, []fault.Rule{{Kind: fault.Duplicated}}},
		{"they overtake each other", rare, []fault.Rule{{Kind: fault.Overtaken, Chance: 0.5, Delay: 300 * time.Millisecond}}},
		{"half are lost", often, []fault.Rule{{Kind: fault.Lost, Chance: 0.5}}},
		{"all are lost", often, []fault.Rule{{Kind: fault.Lost}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			onEachLedger(t, func(t *testing.T, s *stack) {
				c.settings(&s.settings)
				s.host.Engine.Timing.Interval = s.settings.Interval
				long := time.Now().Add(-time.Hour)
				ids := map[string]shop.CustomerID{}
				for _, name := range []string{"leaves", "wavers", "imported"} {
					email := name + "@example.com"
					must(t, s.list.Subscribe(email, long, ""))
					id, err := s.shop.CreateCustomer(shop.NewCustomer{Email: email, Consent: shop.Consent{State: shop.Subscribed, UpdatedAt: long}})
					must(t, err)
					ids[name] = id
				}
				s.work().openDoor()
				s.set(workflows.SyncDelta{consent.EmailToListrak: true, consent.EmailToShopify: true})
				s.until("the full read", func() (bool, string) {
					done, err := s.host.Engine.FullReadDone(t.Context(), s.id, consent.Email)
					return done, fmt.Sprint(err)
				})
				s.shop.WebhookFaults.Set(1, c.faults...)

				must(t, s.shop.SetEmailConsent(ids["leaves"], shop.Unsubscribed, time.Time{}))
				must(t, s.shop.SetEmailConsent(ids["wavers"], shop.Unsubscribed, time.Time{}))
				buyer, err := s.shop.CreateCustomer(shop.NewCustomer{Email: "buys@example.com", Consent: shop.Consent{State: shop.Subscribed}})
				must(t, err)
				_, err = s.shop.CreateCustomer(shop.NewCustomer{Email: "looks@example.com", Consent: shop.Consent{State: shop.Subscribed}})
				must(t, err)
				_, err = s.shop.CreateCustomer(shop.NewCustomer{Email: "never-asked@example.com"})
				must(t, err)
				_, err = s.shop.PlaceOrder(shop.Order{CustomerID: buyer})
				must(t, err)

				s.listShows("leaves@example.com", list.Unsubscribed)
				s.listShows("wavers@example.com", list.Unsubscribed)
				must(t, s.shop.SetEmailConsent(ids["wavers"], shop.Subscribed, time.Time{}))
				if contact := s.listShows("buys@example.com", list.Subscribed); !slices.Equal(contact.SubscriptionEvents, []int{checkout}) {
					t.Errorf("the buyer is subscribed through events %v, want checkout (%d)", contact.SubscriptionEvents, checkout)
				}
				if contact := s.listShows("looks@example.com", list.Subscribed); !slices.Equal(contact.SubscriptionEvents, []int{marketing}) {
					t.Errorf("who only looks is subscribed through events %v, want marketing (%d)", contact.SubscriptionEvents, marketing)
				}
				s.listShows("wavers@example.com", list.Subscribed)
				s.listShows("imported@example.com", list.Subscribed)
				if contact, known := s.list.Contact("never-asked@example.com"); known {
					t.Errorf("who was never asked is %s in Listrak", contact.State)
				}
				writes := map[string]int{}
				for _, write := range s.list.Writes() {
					if write.Effective {
						writes[write.Email]++
					}
				}
				for email, most := range map[string]int{"leaves@example.com": 1, "wavers@example.com": 2, "buys@example.com": 1, "looks@example.com": 1} {
					if writes[email] != most {
						t.Errorf("%d writes took effect for %s, want %d", writes[email], email, most)
					}
				}
			})
		})
	}
}
