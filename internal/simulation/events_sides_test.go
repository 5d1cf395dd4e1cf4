package simulation

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// eventSides are the two ways of events.
type eventSides struct {
	*sides
	stores map[*twin]engagement.Store
	lists  map[*twin]engagement.List
}

func newEventSides(t *testing.T) *eventSides {
	s := &eventSides{sides: newSides(t, setting{shop: shop.Config{Zone: "Asia/Kolkata",
		Scopes: []string{"read_customers", "write_customers", "read_orders", "read_marketing_events", "write_marketing_events"}}})}
	s.world.scenario.events.zone = "Asia/Kolkata"
	s.world.events = &events{world: s.world, silent: map[consent.Sync]time.Time{}, eventWatch: newEventWatch()}
	s.stores = map[*twin]engagement.Store{&s.wire: s.wire.shopify.(engagement.Store), &s.bare: eventStore{s.bare.shopify.(storeClient)}}
	s.lists = map[*twin]engagement.List{&s.wire: s.wire.listrak.(engagement.List), &s.bare: eventList{s.bare.listrak.(*listClient), 5000}}
	return s
}

// compareEvents wants the same of events in both stores.
func (s *eventSides) compareEvents(what string) {
	s.t.Helper()
	of := func(tw *twin) (all []any) {
		reports := tw.store.Engagements()
		for i := range reports {
			// A start that was left out is the time of the call, which takes a few microseconds in the simulation.
			reports[i].Activity.Start = reports[i].Activity.Start.Truncate(time.Second)
		}
		all = append(all, reports, tw.store.Definitions())
		for _, c := range tw.store.Customers() {
			all = append(all, tw.store.Metafields(c.ID))
		}
		return all
	}
	if diff := cmp.Diff(of(&s.wire), of(&s.bare), cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(shop.Activity{})); diff != "" {
		s.t.Fatalf("%s: it leaves (+) other events behind than the client and the server (-):\n%s\n%s", what, diff, s.told())
	}
}

// calls are all that are made about events, on a list in which something has happened with message 1, 2 and 3, and a store with one customer.
func (s *eventSides) calls(customer shopify.CustomerID) map[string]question {
	one, two := 1, 2
	day := time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)
	bulk := listrak.MessageRef{Kind: listrak.Bulk, ID: 1}
	each := func(errs []error, err error) (any, error) {
		seen := make([]mistake, len(errs))
		for i := range errs {
			seen[i] = mistakeOf(errs[i])
		}
		return seen, err
	}
	return map[string]question{
		"shop": func(ctx context.Context, tw *twin) (any, error) {
			zone, err := s.stores[tw].ShopZone(ctx)
			return fmt.Sprint(zone), err
		},
		"marketingActivityUpsertExternal": func(ctx context.Context, tw *twin) (any, error) {
			return nil, s.stores[tw].UpsertActivity(ctx, shopify.MarketingActivity{RemoteID: "listrak-7-message-1", Title: "Spring", Medium: shopify.ByEmail,
				Start: noon.Add(-time.Hour), URL: "https://admin.listrak.com/"})
		},
		"marketingActivityUpsertExternal by SMS": func(ctx context.Context, tw *twin) (any, error) {
			return nil, s.stores[tw].UpsertActivity(ctx, shopify.MarketingActivity{RemoteID: "sms-sale", Title: "Sale", Medium: shopify.BySMS})
		},
		"marketingActivityUpsertExternal again and again": func(ctx context.Context, tw *twin) (any, error) {
			return nil, s.stores[tw].UpsertActivity(ctx, shopify.MarketingActivity{RemoteID: "welcome", Title: "Welcome", Medium: shopify.ByEmail, Automated: true})
		},
		"marketingEngagementCreate": func(ctx context.Context, tw *twin) (any, error) {
			return each(s.stores[tw].CreateEngagements(ctx, []shopify.Engagement{
				{RemoteID: "listrak-7-message-1", Day: day, Offset: 5*time.Hour + 30*time.Minute, Sends: &two, Deliveries: &one, Bounces: &one, Clicks: &two, UniqueClicks: &one},
				{RemoteID: "listrak-7-message-1", Day: day.AddDate(0, 0, 1), Offset: -9*time.Hour - 30*time.Minute, Views: &one, UniqueViews: &one, Unsubscribes: &one, Complaints: &two},
				{RemoteID: "listrak-7-message-1", Day: day.AddDate(0, 0, 2), Sends: &one},
				{RemoteID: "nothing of that name", Day: day, Sends: &one},
			}))
		},
		"metafieldDefinitionCreate": func(ctx context.Context, tw *twin) (any, error) {
			return nil, s.stores[tw].DefineMetafields(ctx, engagement.Definitions())
		},
		"metafieldsSet": func(ctx context.Context, tw *twin) (any, error) {
			results, err := s.stores[tw].SetMetafields(ctx, [][]shopify.Metafield{
				{{Customer: customer, Key: "emails_sent_30_days", Type: shopify.IntegerField, Value: "3"},
					{Customer: customer, Key: "last_email_sent", Type: shopify.DateTimeField, Value: "2026-06-15T12:00:00Z"}},
				{{Customer: customer, Key: "emails_opened_30_days", Type: shopify.IntegerField, Value: "1"},
					{Customer: "gid://shopify/Customer/404", Key: "emails_opened_30_days", Type: shopify.IntegerField, Value: "1"}},
				{{Customer: customer, Key: "emails_clicked_30_days", Type: shopify.IntegerField, Value: "many"}},
			})
			seen := make([]map[int]mistake, len(results))
			for i, r := range results {
				seen[i] = map[int]mistake{-1: mistakeOf(r.Err)}
				for n, refused := range r.Refused {
					seen[i][n] = mistakeOf(refused)
				}
			}
			return seen, err
		},
		"GET Messages": func(ctx context.Context, tw *twin) (any, error) {
			return s.lists[tw].Messages(ctx, noon.Add(-24*time.Hour), "")
		},
		"GET Messages of a conversation": func(ctx context.Context, tw *twin) (any, error) {
			return s.lists[tw].ConversationMessages(ctx, 4, "")
		},
		"GET Conversations": func(ctx context.Context, tw *twin) (any, error) { return s.lists[tw].Conversations(ctx) },
		"GET TransactionalMessages": func(ctx context.Context, tw *twin) (any, error) {
			return s.lists[tw].TransactionalMessages(ctx)
		},
		"GET Summary": func(ctx context.Context, tw *twin) (any, error) { return s.lists[tw].Summary(ctx, bulk) },
		"GET Summary of a conversation's": func(ctx context.Context, tw *twin) (any, error) {
			return s.lists[tw].Summary(ctx, listrak.MessageRef{Kind: listrak.Conversation, Conversation: 4, ID: 2})
		},
		"GET Activity": func(ctx context.Context, tw *twin) (any, error) {
			return s.lists[tw].Activity(ctx, bulk, listrak.ActivityQuery{Since: noon.Add(-24 * time.Hour)})
		},
		"GET Activity by its date": func(ctx context.Context, tw *twin) (any, error) {
			return s.lists[tw].Activity(ctx, bulk, listrak.ActivityQuery{Since: noon.Add(-10 * time.Minute), ByActivity: true})
		},
		"GET Activity of a conversation's": func(ctx context.Context, tw *twin) (any, error) {
			return s.lists[tw].Activity(ctx, listrak.MessageRef{Kind: listrak.Conversation, Conversation: 4, ID: 2}, listrak.ActivityQuery{})
		},
		"GET Activity of a transactional one": func(ctx context.Context, tw *twin) (any, error) {
			return s.lists[tw].Activity(ctx, listrak.MessageRef{Kind: listrak.Transactional, ID: 3}, listrak.ActivityQuery{})
		},
		"GET Activity with a cursor that is none": func(ctx context.Context, tw *twin) (any, error) {
			return s.lists[tw].Activity(ctx, bulk, listrak.ActivityQuery{Cursor: "a9.9"})
		},
		"GET Activity of no message": func(ctx context.Context, tw *twin) (any, error) {
			return s.lists[tw].Activity(ctx, listrak.MessageRef{Kind: listrak.Bulk, ID: 404}, listrak.ActivityQuery{})
		},
		"GET Summary of no message": func(ctx context.Context, tw *twin) (any, error) {
			return s.lists[tw].Summary(ctx, listrak.MessageRef{Kind: listrak.Bulk, ID: 404})
		},
	}
}

// campaigns lets something happen with three messages, and makes a customer.
func (s *eventSides) campaigns() (customer shopify.CustomerID) {
	s.t.Helper()
	s.prepare(func(tw *twin) error {
		for _, m := range []list.NewMessage{{Subject: "Spring"}, {Kind: list.ConversationMessage, Conversation: 4, Subject: "Welcome"},
			{Kind: list.TransactionalMessage, Subject: "Receipt"}} {
			m.At = noon.Add(-2 * time.Hour)
			id, err := tw.list.CreateMessage(m)
			if err != nil {
				return err
			}
			if err := tw.list.Send(id, noon.Add(-time.Hour), "ann@example.com", "Bob@Example.com", "cleo@example.com"); err != nil {
				return err
			}
			// What is not sent in bulk is sent to her once more, and what she does is done with that.
			if err := tw.list.Send(id, noon.Add(-50*time.Minute), "ann@example.com"); err != nil {
				return err
			}
			for n, kind := range []list.Act{list.Open, list.Click, list.Click, list.Bounce, list.Unsubscribe, list.Abuse} {
				who := []string{"ann@example.com", "bob@example.com"}[n/3]
				if err := tw.list.Act(id, who, kind, noon.Add(-time.Duration(n)*10*time.Minute+123*time.Millisecond)); err != nil {
					return err
				}
			}
		}
		made, err := tw.store.CreateCustomer(shop.NewCustomer{Email: "ann@example.com", At: noon.Add(-time.Hour)})
		customer = shopify.CustomerID(made)
		return err
	})
	return customer
}

// TestSidesOfEvents holds the simulation's ways to messages, marketing activities and metafields against the real clients over HTTP.
func TestSidesOfEvents(t *testing.T) {
	t.Parallel()
	s := newEventSides(t)
	calls := s.calls(s.campaigns())
	// In this order: an activity comes before its days.
	for _, what := range []string{"shop", "marketingEngagementCreate", "marketingActivityUpsertExternal", "marketingActivityUpsertExternal by SMS",
		"marketingActivityUpsertExternal again and again", "marketingEngagementCreate", "metafieldsSet", "metafieldDefinitionCreate", "metafieldDefinitionCreate",
		"metafieldsSet", "GET Messages", "GET Messages of a conversation", "GET Conversations", "GET TransactionalMessages", "GET Summary",
		"GET Summary of a conversation's", "GET Activity", "GET Activity by its date", "GET Activity of a conversation's", "GET Activity of a transactional one",
		"GET Activity with a cursor that is none", "GET Activity of no message", "GET Summary of no message"} {
		s.ask(what, calls[what])
		s.compareEvents(what)
		s.later(time.Second)
	}
}

// TestSidesOfEventsFaults strikes each of these calls.
func TestSidesOfEventsFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range faults {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := newEventSides(t)
			calls := s.calls(s.campaigns())
			s.ask("a token", calls["GET Conversations"])
			s.ask("a token", calls["marketingActivityUpsertExternal"])
			for _, what := range []string{"shop", "marketingActivityUpsertExternal", "marketingEngagementCreate", "metafieldDefinitionCreate", "metafieldsSet",
				"GET Messages", "GET Conversations", "GET TransactionalMessages", "GET Summary", "GET Activity"} {
				s.prepare(func(tw *twin) error {
					tw.list.Faults.Set(1, fault.Rule{Kind: kind, Times: 1})
					tw.store.Faults.Set(1, fault.Rule{Kind: kind, Times: 1})
					return nil
				})
				if kind == fault.TimeoutBefore || kind == fault.TimeoutAfter {
					s.hung = make(chan struct{}, 1)
				}
				got, bare := s.both(string(kind)+" at "+what, calls[what])
				s.hung = nil
				if kind == fault.Latency || got.Err.Class != 0 {
					got.Value, bare.Value = nil, nil // a slow answer shows another time, and nobody looks at what comes with an error
				}
				if diff := cmp.Diff(got, bare, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s at %s: the simulation answers (+) otherwise than the client gets from the server (-):\n%s", kind, what, diff)
				}
				s.prepare(func(tw *twin) error { tw.list.Faults.Set(0); tw.store.Faults.Set(0); return nil })
				s.later(time.Minute)
			}
		})
	}
}
