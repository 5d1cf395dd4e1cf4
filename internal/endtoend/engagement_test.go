package endtoend

import (
	"fmt"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// shopTold waits until Shopify was told of a message's day what Listrak shows of it.
func (s *stack) shopTold(remoteID string, want map[string]int) {
	s.t.Helper()
	s.until("the totals of "+remoteID+" in Shopify", func() (bool, string) {
		seen := "nothing"
		for _, report := range s.shop.Engagements() {
			if report.Activity.RemoteID != remoteID || len(report.Days) == 0 {
				continue
			}
			sum := map[string]int{}
			for _, day := range report.Days {
				for name, count := range day.Counts {
					sum[name] += count
				}
			}
			seen = fmt.Sprint(sum)
			for name, count := range want {
				if sum[name] != count {
					return false, seen
				}
			}
			return true, seen
		}
		return false, seen
	})
}

func (s *stack) shopField(id shop.CustomerID, key, want string) {
	s.t.Helper()
	s.until("the metafield "+key, func() (bool, string) {
		fields := s.shop.Metafields(id)
		return fields["$app:concord."+key] == want, fmt.Sprint(fields)
	})
}

// TestEventsReachShopify: a campaign in Listrak shows in Shopify on the campaign and on the customer, while consent goes on, and what comes back
// to the rounds by our own writes is no news.
func TestEventsReachShopify(t *testing.T) {
	t.Parallel()
	onEachLedger(t, func(t *testing.T, s *stack) {
		s.work()
		ann, err := s.shop.CreateCustomer(shop.NewCustomer{Email: "ann@example.com"})
		must(t, err)
		s.set(workflows.SyncDelta{consent.EmailEvents: true, consent.EmailToShopify: true})
		must(t, s.list.Subscribe("bob@example.com", time.Time{}, "form"))
		s.shopShows("bob@example.com", shop.Subscribed)

		message, err := s.list.CreateMessage(list.NewMessage{Subject: "Spring"})
		must(t, err)
		must(t, s.list.Send(message, time.Time{}, "ann@example.com", "bob@example.com", "eve@example.com"))
		remote := fmt.Sprintf("listrak-%d-message-%d", s.list.Config().ID, message)
		s.shopTold(remote, map[string]int{"sendsCount": 3, "impressionsCount": 3})
		must(t, s.list.Act(message, "ann@example.com", list.Open, time.Time{}))
		must(t, s.list.Act(message, "ann@example.com", list.Click, time.Time{}))
		must(t, s.list.Act(message, "eve@example.com", list.Open, time.Time{}))
		s.shopTold(remote, map[string]int{"sendsCount": 3, "uniqueViewsCount": 2, "clicksCount": 1, "uniqueClicksCount": 1})
		s.shopField(ann, "emails_clicked_30_days", "1")
		s.shopField(ann, "emails_sent_30_days", "1")

		// Off: what happens from now on is neither kept nor told.
		s.set(workflows.SyncDelta{consent.EmailClicks: false})
		must(t, s.list.Act(message, "bob@example.com", list.Click, time.Time{}))
		must(t, s.list.Act(message, "bob@example.com", list.Open, time.Time{}))
		s.shopTold(remote, map[string]int{"uniqueViewsCount": 3})
		bob, _ := s.shop.Customer("bob@example.com")
		s.shopField(bob.ID, "emails_opened_30_days", "1")
		if fields := s.shop.Metafields(bob.ID); fields["$app:concord.emails_clicked_30_days"] != "" {
			t.Errorf("a click was told although clicks are off: %v", fields)
		}
	})
}
