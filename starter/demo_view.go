package main

import (
	"context"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
)

// demoView is the demo's answer.
type demoView struct {
	Agreed bool       `json:"agreed"`
	People []demoLine `json:"people"`
	// Messages are what Shopify shows of what was sent to people.
	Messages []demoMessageLine `json:"messages"`
	// UI is the address of Temporal's Web UI while it runs; Kept that it goes on running.
	UI   string `json:"ui"`
	Kept bool   `json:"kept"`
}

type demoLine struct {
	Name     string `json:"name"`
	Channel  string `json:"channel"`
	Story    string `json:"story"`
	Shopify  string `json:"shopify"`
	Listrak  string `json:"listrak"`
	Decision string `json:"decision"`
	Point    string `json:"point"`
	// Took is how long after the person's last act both sides agreed.
	TookMilliseconds int64 `json:"took_ms"`
	AsDemanded       bool  `json:"as_demanded"`
	// Demanded is what the rules demand where it is not so.
	Demanded string `json:"demanded,omitempty"`
}

func (l *demoLine) by() string {
	if l.Channel == consent.SMS.String() {
		return channelName(consent.SMS)
	}
	return channelName(consent.Email)
}

func (d *demo) view() *demoView {
	v := &demoView{Agreed: true}
	for _, p := range d.people {
		line := demoLine{
			Name: p.name, Channel: p.channel.String(), Story: p.story, Shopify: shownAs(p.inShop), Listrak: shownAs(p.inList), Decision: d.decision(p),
			Point: p.point.String(), TookMilliseconds: p.took.Milliseconds(), AsDemanded: p.asDemanded(),
		}
		if !line.AsDemanded {
			v.Agreed = false
			line.Demanded = fmt.Sprintf("Shopify %s, Listrak %s, through %s", p.wantShopify, p.wantListrak, p.wantPoint)
		}
		v.People = append(v.People, line)
	}
	d.viewMessages(v)
	return v
}

// decision is what the ledger holds for decided.
func (d *demo) decision(p *demoPerson) string {
	record, err := d.record(p)
	if err != nil {
		return "unknown: the ledger cannot be read"
	}
	decision := record.Decision
	if !decision.State.IsDecision() {
		return "none"
	}
	return fmt.Sprintf("%s, in %s", decision.State, decision.Side)
}

// record is what the ledger holds of a person.
func (d *demo) record(p *demoPerson) (consent.Record, error) {
	address := p.phone()
	if p.channel == consent.Email {
		var err error
		if address, err = consent.NormaliseEmail(p.email()); err != nil {
			return consent.Record{}, err
		}
	}
	subject := identity{p.channel, address}.subject(d.Host, sandboxMerchant)
	entries, err := d.Host.Ledger.Load(context.Background(), sandboxMerchant, p.channel, []consent.Subject{subject})
	return entries[subject].Record, err
}

// channelName is a channel as tables show it.
func channelName(channel consent.Channel) string {
	if channel == consent.SMS {
		return "SMS"
	}
	return channel.String()
}

func (v *demoView) text(p *page) {
	rows := [][]string{{"", "WHO", "BY", "WHAT THEY DID", "SHOPIFY", "LISTRAK", "DECISION", "POINT", "TOOK"}}
	for _, l := range v.People {
		point := l.Point
		if point == consent.NoPoint.String() {
			point = ""
		}
		rows = append(rows, []string{mark(l.AsDemanded), l.Name, l.by(), l.Story, l.Shopify, l.Listrak, l.Decision, point,
			span(time.Duration(l.TookMilliseconds) * time.Millisecond)})
	}
	p.line("")
	p.table("", rows)
	p.line("")
	v.messagesText(p)
	for _, l := range v.People {
		if !l.AsDemanded {
			p.line("✗ %s: the rules demand %s", l.Name, l.Demanded)
		}
	}
	if !v.Agreed {
		return
	}
	p.line("Both sides agree about everybody, as the rules demand. Time ran fast here: a round began every %s (a minute for merchants),",
		span(demoInterval))
	p.line("and an order counted for %s after the consent (five minutes).", span(demoWindow))
	p.line("")
	p.line("What to try next:")
	p.table("  ", [][]string{
		{"go run ./starter demo --keep", "the same, left running: look inside with Temporal's Web UI"},
		{"go run ./starter dev", "a store and lists of your own to play with, by hand"},
		{"go run ./starter merchant add --help", "a real merchant"},
	})
}
