package engagement_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/list"
)

func TestACampaignReachesShopify(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	ann := w.customer("person-0@example.com")
	bob := w.customer("person-1@example.com")
	sentAt := w.clock.now()
	id, emails := w.send("Spring", 7)
	w.pass()
	require.Equal(t, w.truth(id), w.toldDays(messageID(id)))
	require.Equal(t, "Spring", w.shop.Engagements()[0].Activity.Title)
	require.Equal(t, map[string]string{field("last_email_sent"): sentAt.Format(time.RFC3339), field("emails_sent_30_days"): "1"}, w.shop.Metafields(bob))

	w.clock.advance(10 * time.Minute)
	w.act(id, emails[0], list.Open)
	w.act(id, emails[2], list.Bounce)
	w.clock.advance(time.Minute)
	w.pass()
	w.act(id, emails[0], list.Click)
	w.act(id, emails[0], list.Click)
	w.act(id, emails[3], list.Open)
	w.act(id, emails[3], list.Unsubscribe)
	w.act(id, emails[4], list.Open)
	w.act(id, emails[4], list.Abuse)
	w.clock.advance(time.Minute)
	w.pass()
	require.Equal(t, w.truth(id), w.toldDays(messageID(id)))
	require.Equal(t, "1", w.shop.Metafields(ann)[field("emails_clicked_30_days")])
	require.NotContains(t, w.shop.Metafields(bob), field("last_email_opened"))

	// Nothing more happens, so nothing more is told.
	writes, fields := w.shop.MarketingWrites(), w.shop.MetafieldWrites()
	w.clock.advance(time.Hour)
	require.Zero(t, w.pass().Days)
	require.Equal(t, writes, w.shop.MarketingWrites())
	require.Equal(t, fields, w.shop.MetafieldWrites())

	// A month later the message counts no more, although nothing happened.
	w.clock.advance(31 * 24 * time.Hour)
	w.pass()
	require.Equal(t, "0", w.shop.Metafields(ann)[field("emails_clicked_30_days")])
	require.Equal(t, sentAt.Format(time.RFC3339), w.shop.Metafields(ann)[field("last_email_sent")])
}

// TestWhatIsSentAgainCountsAgain: of an order confirmation a person's first was counted and no other.
func TestWhatIsSentAgainCountsAgain(t *testing.T) {
	t.Parallel()
	for kind, name := range map[list.MessageKind]string{list.ConversationMessage: "listrak-%d-conversation-7-message-%d",
		list.TransactionalMessage: "listrak-%d-transactional-%d"} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.set(map[consent.Sync]bool{consent.EmailEvents: true})
			const email = "person-0@example.com"
			ann := w.customer(email)
			m := list.NewMessage{Kind: kind, Subject: "Order confirmation"}
			if kind == list.ConversationMessage {
				m.Conversation = 7
			}
			id, err := w.list.CreateMessage(m)
			require.NoError(t, err)
			for n := range 3 {
				require.NoError(t, w.list.Send(id, w.clock.now(), email, "person-1@example.com"))
				w.clock.advance(time.Minute)
				w.act(id, email, list.Open)
				w.act(id, email, list.Click)
				if n != 1 { // two are read together
					w.clock.advance(2 * time.Hour)
					w.pass()
				}
			}
			require.Equal(t, w.truth(id), w.toldDays(fmt.Sprintf(name, listID, id)))
			fields := w.shop.Metafields(ann)
			for _, counted := range []string{"emails_sent_30_days", "emails_opened_30_days", "emails_clicked_30_days"} {
				require.Equal(t, "3", fields[field(counted)], counted)
			}
			require.Equal(t, w.clock.now().Add(-2*time.Hour-time.Minute).Format(time.RFC3339), fields[field("last_email_sent")])
		})
	}
}

// TestDatesOfAWrongZoneCountWhenTheyHaveCome although the summary has not changed since they were seen.
func TestDatesOfAWrongZoneCountWhenTheyHaveCome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{list: func(c *list.Config) {
		c.Zone = time.FixedZone("", 2*60*60) // set is New York, seven hours behind
	}})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	ann := w.customer("person-0@example.com")
	id, err := w.list.CreateMessage(list.NewMessage{Kind: list.ConversationMessage, Conversation: 7})
	require.NoError(t, err)
	require.NoError(t, w.list.Send(id, time.Time{}, "person-0@example.com"))
	sent := w.clock.now()
	for range 7 {
		w.pass()
		require.Empty(t, w.shop.Metafields(ann), "nobody was sent anything in the future")
		w.clock.advance(time.Hour)
	}
	w.clock.advance(time.Hour)
	w.pass()
	require.Equal(t, sent.Add(7*time.Hour).Format(time.RFC3339), w.shop.Metafields(ann)[field("last_email_sent")])
}
