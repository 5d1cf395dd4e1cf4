package main

import (
	"context"
	"time"

	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
)

// gapShown is for how long it is told that the door was closed: within it Shopify wants a privacy request to be done
// (contracts/shopify.md 5.3), and somebody may still ask what was missed.
const gapShown = 30 * 24 * time.Hour

// webhookStatus is how the door for a merchant's webhooks stands.
type webhookStatus struct {
	// Door is open, closed, or unused: no worker has ever served it.
	Door doorState `json:"door"`
	// LastOpen is when a worker last said that it serves the door, LastDelivery when a signed webhook last came, to the minute.
	LastOpen     time.Time `json:"last_open,omitzero"`
	LastDelivery time.Time `json:"last_delivery,omitzero"`
	// MayHaveMissed: the door was closed for longer than Shopify tries again, or never reached. Privacy requests may be missing.
	MayHaveMissed bool `json:"may_have_missed"`
	// ClosedFrom and ClosedUntil are the last time that it was, within 30 days.
	ClosedFrom  time.Time `json:"closed_from,omitzero"`
	ClosedUntil time.Time `json:"closed_until,omitzero"`
	// Unreadable counts signed webhooks that could not be read, since UnreadableSince; none when nothing came for a week.
	Unreadable      int64     `json:"unreadable"`
	UnreadableSince time.Time `json:"unreadable_since,omitzero"`
	LastUnreadable  time.Time `json:"last_unreadable,omitzero"`
	// UnreadableTopic and Problem are of the last one.
	UnreadableTopic string `json:"unreadable_topic,omitempty"`
	Problem         string `json:"problem,omitempty"`
	// RecentlyUnreadable are the newest of them within six hours.
	RecentlyUnreadable []unreadableWebhook `json:"recently_unreadable,omitempty"`

	now time.Time
}

type unreadableWebhook struct {
	// ID is Shopify's of the delivery (X-Shopify-Webhook-Id).
	ID       string    `json:"id"`
	Topic    string    `json:"topic"`
	Problem  string    `json:"problem"`
	Received time.Time `json:"received"`
}

// unreadableShown is how many are shown one by one.
const unreadableShown = 5

type doorState string

const (
	doorOpen   doorState = "open"
	doorClosed doorState = "closed"
	doorUnused doorState = "unused"
)

// doorPause is how long a worker that serves the door may be silent: it speaks every minute.
const doorPause = 5 * time.Minute

func webhooksOf(ctx context.Context, h *host.Host, id string, now time.Time) (webhookStatus, error) {
	d, err := h.Ledger.Door(ctx, id)
	if err != nil {
		return webhookStatus{}, err
	}
	s := newWebhookStatus(d, now)
	if d.Problems == 0 {
		return s, nil
	}
	recent, err := h.Ledger.WebhookProblems(ctx, id, unreadableShown)
	for _, p := range recent {
		s.RecentlyUnreadable = append(s.RecentlyUnreadable, unreadableWebhook{p.ID, p.Topic, p.Problem, p.Received.Time()})
	}
	return s, err
}

func newWebhookStatus(d ledger.Door, now time.Time) webhookStatus {
	s := webhookStatus{Door: doorClosed, LastOpen: d.LastOpen.Time(), LastDelivery: d.LastDelivery.Time(), now: now}
	closed := now.Sub(s.LastOpen)
	switch {
	case d.LastOpen == 0:
		s.Door = doorUnused
	case closed <= doorPause:
		s.Door = doorOpen
	}
	longest := ledger.LongestRetry.Duration()
	switch {
	case s.Door == doorUnused:
	case closed > longest:
		s.ClosedFrom, s.MayHaveMissed = s.LastOpen, true
	case d.GapUntil != 0 && now.Sub(d.GapUntil.Time()) <= gapShown:
		s.ClosedFrom, s.ClosedUntil, s.MayHaveMissed = d.GapFrom.Time(), d.GapUntil.Time(), true
	}
	// A store where nothing happens for four hours is no news; one that never sent anything has no subscriptions, or another address.
	if d.LastDelivery == 0 && s.Door != doorUnused && now.Sub(d.FirstOpen.Time()) > longest {
		s.MayHaveMissed = true
	}
	if d.Problems > 0 {
		s.Unreadable, s.UnreadableSince, s.LastUnreadable = d.Problems, d.ProblemSince.Time(), d.LastProblem.Received.Time()
		s.UnreadableTopic, s.Problem = d.LastProblem.Topic, d.LastProblem.Problem
	}
	return s
}

func (s *webhookStatus) words() string {
	came := "none has come yet"
	if !s.LastDelivery.IsZero() {
		came = "the last came " + span(max(0, s.now.Sub(s.LastDelivery))) + " ago"
	}
	switch s.Door {
	case doorUnused:
		return "no worker with CONCORD_WEBHOOK_ADDRESS seen yet (each says so once a minute); without one no privacy request arrives"
	case doorClosed:
		return "closed for " + span(s.now.Sub(s.LastOpen)) + "; " + came
	}
	return "open; " + came
}

// text tells of what an operator has to look at.
func (s *webhookStatus) text(p *page) {
	if s.MayHaveMissed {
		p.line("")
		switch {
		case s.LastDelivery.IsZero():
			p.line("  No webhook has ever reached the door: is its public address registered with Shopify, and does the proxy pass it on?")
		case s.ClosedUntil.IsZero():
			p.line("  The door for webhooks is closed since %s UTC: is a worker running, with CONCORD_WEBHOOK_ADDRESS set?", stamp(s.ClosedFrom))
		default:
			p.line("  The door for webhooks was closed from %s to %s UTC.", stamp(s.ClosedFrom), stamp(s.ClosedUntil))
		}
		p.line("  Shopify tries again for four hours. Consent is found by polling all the same, but privacy requests may be missing.")
	}
	if s.Unreadable > 0 {
		p.line("")
		p.line("  Webhooks: %d could not be read since %s UTC, the last %s ago (%s: %s).", s.Unreadable, stamp(s.UnreadableSince),
			span(max(0, s.now.Sub(s.LastUnreadable))), s.UnreadableTopic, s.Problem)
		for _, w := range s.RecentlyUnreadable {
			p.line("    %s  %s  %s: %s", stamp(w.Received), w.ID, w.Topic, w.Problem)
		}
	}
}
