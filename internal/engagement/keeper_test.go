package engagement_test

import (
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
