package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/webhook"
	"github.com/concordsync/concord/workflows"
)

// demoMessage is one row about messages: what happened with one, or with one person, and what Shopify has to show of it.
type demoMessage struct {
	name, story string
	channel     consent.Channel
	want        string
	// look reads what Shopify shows.
	look func() string

	// since is when it had happened; took is how long it was until Shopify showed it.
	since time.Time
	took  time.Duration
	shown string
}

func (m *demoMessage) asDemanded() bool { return m.shown == m.want }

// What the demo calls its messages.
const (
	demoCampaign = "Spring sale"
	demoTexts    = "flash-sale"
)

// startEvents switches events on and lets a campaign be sent by email and another by SMS, of which Listrak's API shows nothing: those events
// are pushed to the door, each of them twice.
func (d *demo) startEvents(ctx context.Context) error {
	secret := rand.Text()
	if _, err := d.Host.Merchants.Update(ctx, sandboxMerchant, nil, &merchant.Credentials{EventsSecret: secret}); err != nil {
		return err
	}
	if _, err := workflows.SetSyncs(ctx, d.Client, sandboxMerchant, delta([]consent.Sync{consent.EmailEvents, consent.SMSEvents}, true)); err != nil {
		return err
	}
	ada, nia := &demoPerson{name: "Ada", channel: consent.Email}, &demoPerson{name: "Nia", channel: consent.SMS, number: 1101}
	at := d.now()
	campaign, err := d.List.CreateMessage(list.NewMessage{Subject: demoCampaign, At: at})
	if err != nil {
		return err
	}
	to := []string{ada.email(), "Cleo@example.com", "Max@example.com", rosa + "@example.com"}
	if err := d.List.Send(campaign, at, to...); err != nil {
		return err
	}
	for _, act := range []struct {
		email string
		act   list.Act
	}{{to[0], list.Open}, {to[0], list.Click}, {to[1], list.Open}} {
		if err := d.List.Act(campaign, act.email, act.act, at); err != nil {
			return err
		}
	}
	events := []demoEvent{{"sms.sent", nia.phone()}, {"sms.sent", (&demoPerson{number: rosasNumber}).phone()}, {"sms.clicked", nia.phone()}}
	for range 2 {
		if err := d.push(ctx, secret, at, events); err != nil {
			return err
		}
	}
	d.messages = []*demoMessage{
		{name: demoCampaign, channel: consent.Email, story: "sent to 4 people: 2 open it, 1 clicks", want: "4 sent, 2 opened, 1 clicked",
			look: func() string { return d.totals(fmt.Sprintf("listrak-%d-message-%d", sandboxList, campaign)) }},
		{name: ada.name, channel: consent.Email, story: "opens and clicks it", want: "1 sent, 1 opened, 1 clicked in 30 days; opened just now",
			look: func() string { return d.fields(ada, at) }},
		{name: demoTexts, channel: consent.SMS, story: "2 sends and a click are pushed, each twice", want: "2 sent, 1 clicked",
			look: func() string { return d.totals("sms-" + demoTexts) }},
		{name: nia.name, channel: consent.SMS, story: "is sent it and clicks", want: "1 sent, 1 clicked in 30 days; clicked just now",
			look: func() string { return d.fields(nia, at) }},
	}
	for _, m := range d.messages {
		m.since = at
	}
	return nil
}

// demoEvent is an event that is pushed.
type demoEvent struct{ kind, address string }

// push sends events to the door as another system does: a CloudEvents batch, signed.
func (d *demo) push(ctx context.Context, secret string, at time.Time, events []demoEvent) error {
	type data struct {
		Address string `json:"address"`
		Message string `json:"message"`
	}
	type event struct {
		SpecVersion string    `json:"specversion"`
		ID          string    `json:"id"`
		Source      string    `json:"source"`
		Type        string    `json:"type"`
		Time        time.Time `json:"time"`
		Data        data      `json:"data"`
	}
	batch := make([]event, len(events))
	for n, e := range events {
		batch[n] = event{"1.0", fmt.Sprint(n), "demo", e.kind, at, data{e.address, demoTexts}}
	}
	body, err := json.Marshal(batch)
	if err != nil {
		return fmt.Errorf("push events: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.EventsURL(sandboxMerchant), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("push events: %w", err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body) // never fails (hash.Hash)
	request.Header.Set(webhook.HeaderSignature, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	request.Header.Set("Content-Type", "application/cloudevents-batch+json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("push events: %w", err)
	}
	if err := answer.Body.Close(); err != nil {
		return fmt.Errorf("push events: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("push events: the door answers %s", answer.Status)
	}
	return nil
}

// totals are the days of a marketing activity, added up.
func (d *demo) totals(remoteID string) string {
	sum := map[string]int{}
	for _, report := range d.Shop.Engagements() {
		if report.Activity.RemoteID != remoteID {
			continue
		}
		for _, day := range report.Days {
			for name, n := range day.Counts {
				sum[name] += n
			}
		}
	}
	text := fmt.Sprintf("%d sent", sum["sendsCount"])
	if n := sum["uniqueViewsCount"]; n > 0 {
		text += fmt.Sprintf(", %d opened", n)
	}
	return text + fmt.Sprintf(", %d clicked", sum["clicksCount"])
}

// fields are the metafields of a customer: how often within 30 days, and whether the last time was when the demo let it happen.
func (d *demo) fields(p *demoPerson, at time.Time) string {
	customer, known := d.shown(p)
	if !known {
		return "no customer"
	}
	fields := d.Shop.Metafields(customer.ID)
	field := func(key string) string { return fields["$app:concord."+key] }
	text, last, what := "", "last_sms_clicked", "clicked"
	counts := []struct{ key, word string }{{"sms_sent_30_days", "sent"}, {"sms_clicked_30_days", "clicked"}}
	if p.channel == consent.Email {
		last, what = "last_email_opened", "opened"
		counts = []struct{ key, word string }{{"emails_sent_30_days", "sent"}, {"emails_opened_30_days", "opened"}, {"emails_clicked_30_days", "clicked"}}
	}
	for n, count := range counts {
		if n > 0 {
			text += ", "
		}
		value := field(count.key)
		if value == "" {
			value = "0"
		}
		text += value + " " + count.word
	}
	when, err := time.Parse(time.RFC3339, field(last))
	switch {
	case err != nil:
		return text + " in 30 days; never " + what
	case when.Equal(at.Truncate(time.Second)):
		return text + " in 30 days; " + what + " just now"
	default:
		return text + " in 30 days; " + what + " at another time"
	}
}

// checkMessages looks at what Shopify shows and notes when it first was as demanded; it reports whether everything is.
func (d *demo) checkMessages() bool {
	all := true
	for _, m := range d.messages {
		if m.shown = m.look(); !m.asDemanded() {
			all = false
			continue
		}
		if m.took == 0 {
			m.took = max(d.now().Sub(m.since), time.Millisecond)
			d.note("  ✓ %-11s %-5s %s: %s after %s", m.name, channelName(m.channel), m.story, m.shown, span(m.took))
		}
	}
	return all
}

// demoMessageLine is a row about a message in the demo's answer.
type demoMessageLine struct {
	Name    string `json:"name"`
	Channel string `json:"channel"`
	Story   string `json:"story"`
	Shopify string `json:"shopify"`
	// Took is how long after it had happened Shopify showed it.
	TookMilliseconds int64 `json:"took_ms"`
	AsDemanded       bool  `json:"as_demanded"`
	// Demanded is what Shopify has to show where it does not.
	Demanded string `json:"demanded,omitempty"`
}

func (d *demo) viewMessages(v *demoView) {
	for _, m := range d.messages {
		line := demoMessageLine{Name: m.name, Channel: m.channel.String(), Story: m.story, Shopify: m.shown, TookMilliseconds: m.took.Milliseconds(),
			AsDemanded: m.asDemanded()}
		if !line.AsDemanded {
			v.Agreed = false
			line.Demanded = m.want
		}
		v.Messages = append(v.Messages, line)
	}
}

func (v *demoView) messagesText(p *page) {
	rows := [][]string{{"", "WHAT", "BY", "WHAT HAPPENED", "SHOPIFY SHOWS", "TOOK"}}
	for _, l := range v.Messages {
		by := channelName(consent.Email)
		if l.Channel == consent.SMS.String() {
			by = channelName(consent.SMS)
		}
		rows = append(rows, []string{mark(l.AsDemanded), l.Name, by, l.Story, l.Shopify, span(time.Duration(l.TookMilliseconds) * time.Millisecond)})
	}
	p.table("", rows)
	p.line("")
	for _, l := range v.Messages {
		if !l.AsDemanded {
			p.line("✗ %s: Shopify has to show %s", l.Name, l.Demanded)
		}
	}
}
