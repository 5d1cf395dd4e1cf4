package engagement

import (
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/shopify"
)

// engagementOf is what Shopify is told of a day. Counts of kinds that are off are left out.
func engagementOf(remoteID string, channel consent.Channel, zone *time.Location, day int64, c ledger.EngagementCounts, on func(consent.Sync) bool,
) shopify.Engagement {
	date := time.Unix(day*secondsOfDay, 0).UTC()
	// The offset at noon: on a day on which the clocks change, that of most of it.
	noon := time.Date(date.Year(), date.Month(), date.Day(), 12, 0, 0, 0, zone)
	_, offset := noon.Zone()
	e := shopify.Engagement{RemoteID: remoteID, Day: date, Offset: time.Duration(offset) * time.Second}
	number := func(n int64) *int {
		small := int(max(n, 0))
		return &small
	}
	if on(Sent.Kind(channel)) {
		e.Sends, e.Deliveries, e.Bounces = number(c.Sends), number(c.Deliveries), number(c.Bounces)
		e.Unsubscribes, e.Complaints = number(c.Unsubscribes), number(c.Complaints)
	}
	if channel == consent.Email && on(Opened.Kind(channel)) {
		e.Views, e.UniqueViews = number(c.Views), number(c.UniqueViews)
	}
	if on(Clicked.Kind(channel)) {
		e.Clicks, e.UniqueClicks = number(c.Clicks), number(c.UniqueClicks)
	}
	return e
}

// toldText is what Shopify was told of a day, to be compared with what it would be told now.
func toldText(e shopify.Engagement) string {
	var b strings.Builder
	for _, n := range []*int{e.Sends, e.Deliveries, e.Views, e.UniqueViews, e.Clicks, e.UniqueClicks, e.Bounces, e.Unsubscribes, e.Complaints} {
		if n != nil {
			b.WriteString(strconv.Itoa(*n))
		}
		b.WriteByte(' ')
	}
	return b.String()
}
