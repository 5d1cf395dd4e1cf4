package main

import (
	"context"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
)

// eventsStatus is how a merchant's email and SMS events stand.
type eventsStatus struct {
	On bool `json:"on"`
	// Messages are known; Activities of them are in Shopify.
	Messages   int64 `json:"messages"`
	Activities int64 `json:"activities"`
	// DaysWaiting are totals that Shopify has to be told of, PeopleWaiting customers and others whose events changed.
	DaysWaiting   int64     `json:"days_waiting"`
	PeopleWaiting int64     `json:"people_waiting"`
	OldestDay     time.Time `json:"oldest_day,omitzero"`
	// OverdueSince is since when the message that is longest overdue should have been read again.
	OverdueSince time.Time `json:"overdue_since,omitzero"`
	// LastPass is how the last look went: Scanned are people whose events changed, DeliveredToShopify days and customers told of.
	LastPass *roundStatus `json:"last_pass,omitempty"`
}

func eventsOf(ctx context.Context, h *host.Host, settings merchant.Settings, switches ledger.Switches, runs map[ledger.RunKind]ledger.RunStatus,
) (*eventsStatus, error) {
	email, sms := switches.Syncs[consent.EmailEvents], switches.Syncs[consent.SMSEvents]
	if email.FirstOn == 0 && sms.FirstOn == 0 {
		return nil, nil
	}
	now, err := h.Ledger.Now(ctx)
	if err != nil {
		return nil, err
	}
	standing, err := h.Ledger.EngagementStanding(ctx, switches.Merchant, settings.EmailList, now)
	if err != nil {
		return nil, err
	}
	s := &eventsStatus{On: email.On || sms.On, Messages: standing.Messages, Activities: standing.Activities, DaysWaiting: standing.DaysWaiting,
		PeopleWaiting: standing.PeopleWaiting, OldestDay: standing.OldestDay.Time()}
	if email.On {
		s.OverdueSince = standing.Behind.Time()
	}
	if run, ok := runs[engagement.Run]; ok {
		s.LastPass = roundOf(run)
	}
	return s, nil
}

// readingLate is how long a message may be overdue before it is told.
const readingLate = 5 * time.Minute

func (s *eventsStatus) words(now time.Time) string {
	if s == nil {
		return ""
	}
	words := fmt.Sprintf("%s, %d with an activity in Shopify", count(s.Messages, "message", "messages"), s.Activities)
	if s.DaysWaiting > 0 {
		words += fmt.Sprintf("; %s to tell, the oldest since %s", count(s.DaysWaiting, "day", "days"), span(now.Sub(s.OldestDay)))
	}
	if s.PeopleWaiting > 0 {
		words += fmt.Sprintf("; %s to tell of", count(s.PeopleWaiting, "person", "people"))
	}
	if late := now.Sub(s.OverdueSince); !s.OverdueSince.IsZero() && late > readingLate {
		words += "; reading is " + span(late) + " behind"
	}
	switch p := s.LastPass; {
	case !s.On:
		words += "; off"
	case p == nil:
		words += "; not looked at yet: is a worker running?"
	case p.ErrorClass != "":
		words += fmt.Sprintf("; the last look failed: %s (%s), %s in a row. Consent goes on without them", p.Error, p.ErrorClass,
			count(int64(p.FailuresInARow), "look", "looks"))
	default:
		words += "; looked at " + span(now.Sub(p.Ended)) + " ago"
	}
	return words
}
