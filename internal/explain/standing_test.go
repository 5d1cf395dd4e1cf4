package explain

import (
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/shopify"
)

// person is subscribed in Shopify since 20:13:59 and unknown in Listrak, with both directions on since 20:00; it is 20:15.
func person() Person {
	p := Person{Channel: consent.Email, Now: at("20:15:00").Time(), LookUpLag: time.Minute}
	rec := &p.Entry.Record
	rec.Decision = consent.Decision{State: consent.Subscribed, At: at("20:13:59"), Side: consent.Shopify}
	rec.Seen[consent.Shopify] = consent.Sighting{State: consent.Subscribed, Shown: at("20:13:59"), At: at("20:13:59"), ReadBegan: at("20:14:00")}
	rec.Seen[consent.Listrak] = consent.Sighting{State: consent.Absent, ReadBegan: at("20:14:00")}
	p.Switches = ledger.Switches{State: ledger.Running, Syncs: map[consent.Sync]ledger.Switch{
		consent.EmailToShopify: {On: true}, consent.EmailToListrak: {On: true},
	}}
	for _, side := range consent.Sides {
		p.Permits[side] = &consent.Permit{On: true, FirstOn: at("20:00:00"), Intervals: []consent.Interval{{Began: at("20:00:00")}}}
	}
	return p
}

// sent is a delivery of the decision to Listrak.
func sent(outcome consent.Outcome, code string) consent.Delivery {
	return consent.Delivery{State: consent.Subscribed, Decision: at("20:13:59"), Started: at("20:14:10"), Deadline: at("20:14:30"),
		Ended: at("20:14:11"), Outcome: outcome, Code: code, Try: 1}
}

// What holds on SMS is told in the words of SMS.
func TestWhatHoldsNowOnSMS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change                     func(p *Person)
		decision, shopify, listrak string
	}{
		"off": {change: func(p *Person) { p.Switches.Syncs[consent.SMSToListrak] = ledger.Switch{} },
			listrak: "Does not know the phone number. Owed: subscribed. Nothing is delivered while sms_to_listrak is off."},
		"by keyword": {change: func(p *Person) {
			p.Entry.Record.Decision = consent.Decision{State: consent.Unsubscribed, At: at("20:13:59"), Side: consent.Listrak, Keyword: true}
		}, decision: "Unsubscribed, decided in Listrak, 20:13:59. That was by keyword or through the carrier, which no API takes back: an opt-in that " +
			"is older or not proven is not followed."},
		"undeliverable": {change: func(p *Person) {
			p.Entry.Record.Seen[consent.Listrak] = consent.Sighting{State: consent.Unsubscribed, Machine: true, At: at("20:14:30"), Shown: at("20:14:30")}
		}, listrak: "Refused: a message that could not be delivered ended the subscription there"},
		"no phone in Shopify": {change: func(p *Person) {
			rec := &p.Entry.Record
			rec.Decision = consent.Decision{State: consent.Unsubscribed, At: at("20:14:01"), Side: consent.Listrak}
			d := sent(consent.RefusedForGood, shopify.CodeNoPhone)
			d.State, d.Decision = consent.Unsubscribed, at("20:14:01")
			rec.Sent[consent.Shopify][0] = d
		}, shopify: "Refused for good: NO_PHONE. The customer there has no phone number, or another one: somebody has to give them this one there. It is " +
			"tried again only on a newer decision, or with `starter retry`."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := person()
			p.Channel = consent.SMS
			p.Switches.Syncs = map[consent.Sync]ledger.Switch{consent.SMSToShopify: {On: true}, consent.SMSToListrak: {On: true}}
			c.change(&p)
			now := Stand(p)
			for _, told := range []struct{ text, want string }{
				{now.Decision.Text, c.decision}, {now.Shopify.Text, c.shopify}, {now.Listrak.Text, c.listrak},
			} {
				if !strings.Contains(told.text, told.want) {
					t.Errorf("told: %s\nwant it to hold: %s", told.text, told.want)
				}
			}
		})
	}
}

func TestWhatHoldsNow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change                func(p *Person)
		debt, listrak, until  string
		decision, shopifyText string
	}{
		"owed": {change: func(*Person) {}, debt: "owed", decision: "Subscribed, decided in Shopify, 20:13:59.",
			shopifyText: "Shows subscribed (dated 20:13:59). Nothing is owed.",
			listrak:     "Does not know the address. Owed: subscribed. It is delivered with the next round."},
		"nobody decided": {change: func(p *Person) { p.Entry.Record.Decision = consent.Decision{} }, debt: "settled",
			decision: "Nobody has decided anything yet.", listrak: "Does not know the address."},
		"undated": {change: func(p *Person) { p.Entry.Record.Decision.At = 0 }, debt: "owed", decision: "Subscribed, decided in Shopify, without a date.",
			listrak: "but this was decided while email_to_listrak was off"},
		"held": {change: func(p *Person) {
			p.Entry.Record.Hold = consent.Hold{Consent: at("20:13:59"), Until: at("20:18:59")}
		}, debt: "held", until: "20:18:59", listrak: "Held until 20:18:59 for an order; late ones are looked for until 20:19:59."},
		"refused": {change: func(p *Person) {
			p.Entry.Record.Sent[consent.Listrak][0] = sent(consent.RefusedForGood, "ERROR_SUPPRESSED_EMAIL")
		},
			debt: "refused", listrak: "Refused for good: ERROR_SUPPRESSED_EMAIL. It is tried again only on a newer decision, or with `starter retry`."},
		"refused by machine": {change: func(p *Person) {
			p.Entry.Record.Seen[consent.Listrak] = consent.Sighting{State: consent.Unsubscribed, Machine: true, At: at("20:14:30"), Shown: at("20:14:30")}
		}, debt: "refused", listrak: "Refused: a bounce or list hygiene ended the subscription there after this decision."},
		"awaiting": {change: func(p *Person) { p.Entry.Record.Sent[consent.Listrak][0] = sent(consent.AwaitingConfirmation, "") },
			debt: "awaiting confirmation", listrak: "The person was asked to confirm; nothing is sent again until they do."},
		"disputed": {change: func(p *Person) {
			d := sent(consent.Delivered, "")
			d.Try = consent.MaxTries
			p.Entry.Record.Sent[consent.Listrak][0] = d
			p.Entry.Record.Seen[consent.Listrak] = consent.Sighting{State: consent.Unsubscribed, ReadBegan: at("20:14:40")}
		}, debt: "disputed", listrak: "Disputed: it accepted this 3 times and still shows something else."},
		"contested": {change: func(p *Person) {
			rec := &p.Entry.Record
			rec.Decision.State, rec.Contest = consent.Unsubscribed, consent.Contest{Since: at("20:14:05"), Word: at("20:14:40"), Contests: 1}
			d := sent(consent.Delivered, "")
			d.State, d.Spent = consent.Unsubscribed, true
			rec.Sent[consent.Listrak][0] = d
			rec.Seen[consent.Listrak] = consent.Sighting{State: consent.Subscribed, ReadBegan: at("20:14:40")}
		}, debt: "contested", listrak: "Contested: somebody has undone our deliveries again and again, the last unsubscribe too.",
			decision: "Unsubscribed, decided in Shopify, 20:13:59. Somebody keeps undoing what we deliver: a yes is heard again if it is dated after " +
				"20:24:40 and nobody says anything else before."},
		"gone": {change: func(p *Person) { p.Entry.Record.Seen[consent.Listrak].GoneAt = at("20:14:30") }, debt: "gone",
			listrak: "The person was still there when this was decided and is gone since: only a newer decision creates them again."},
		"blocked by pending": {change: func(p *Person) { p.Entry.Record.Seen[consent.Listrak].State = consent.Pending }, debt: "blocked",
			listrak: "Waits for the person's confirmation. That is never written over."},
		"blocked by invalid": {change: func(p *Person) { p.Entry.Record.Seen[consent.Listrak].State = consent.Invalid }, debt: "blocked",
			listrak: "Holds the address for undeliverable. That is never written over."},
		"blocked by redacted": {change: func(p *Person) { p.Entry.Record.Seen[consent.Listrak].State = consent.Redacted }, debt: "blocked",
			listrak: "Has erased the person's data. That is never written over."},
		"an unsubscribe of somebody unknown": {change: func(p *Person) { p.Entry.Record.Decision.State = consent.Unsubscribed }, debt: "settled",
			listrak: "Nothing is owed: who is unknown there need not be unsubscribed."},
		"never asked": {change: func(p *Person) { p.Entry.Record.Seen[consent.Listrak].State = consent.NeverAsked }, debt: "owed",
			listrak: "Knows the person, who was never asked. Owed: subscribed."},
		"not read": {change: func(p *Person) { p.Entry.Record.Seen[consent.Listrak].State = consent.Unseen }, debt: "owed", listrak: "Not read yet. Owed: subscribed."},
		"paused": {change: func(p *Person) { p.Switches.State = ledger.Paused }, debt: "owed",
			listrak: "Owed: subscribed. Nothing is delivered while the merchant is paused."},
		"off": {change: func(p *Person) { p.Switches.Syncs[consent.EmailToListrak] = ledger.Switch{} }, debt: "owed",
			listrak: "Owed: subscribed. Nothing is delivered while email_to_listrak is off."},
		"never on": {change: func(p *Person) { p.Permits[consent.Listrak] = &consent.Permit{} }, debt: "owed",
			listrak: "It differs, and email_to_listrak was never switched on."},
		"decided before the direction was on": {change: func(p *Person) { p.Entry.Record.Decision.At = at("19:00:00") }, debt: "owed",
			listrak: "It differs, but this was decided while email_to_listrak was off, and opt-ins are only carried while it is on."},
		"an earlier opt-out": {change: func(p *Person) {
			p.Entry.Record.Decision = consent.Decision{State: consent.Unsubscribed, At: at("19:00:00")}
			p.Entry.Record.Seen[consent.Listrak].State = consent.Subscribed
		}, debt: "owed", listrak: "opt-outs from before email_to_listrak was first switched on are left as they are."},
		"an open attempt": {change: func(p *Person) { p.Entry.Record.Sent[consent.Listrak][0] = sent(consent.Open, "TIMEOUT") }, debt: "owed",
			until: "20:16:30", listrak: "The end of the last try is not known; it may still take effect until 20:16:30."},
		"stopped": {change: func(p *Person) {
			p.Entry.Record.Seen[consent.Listrak] = consent.Sighting{State: consent.Unsubscribed, Shown: at("20:05:00")}
			p.Entry.Debts[consent.Listrak] = consent.Stopped
		}, debt: "stopped", listrak: "Shows unsubscribed (dated 20:05:00). Owed: subscribed. Stopped, because more people would be resubscribed " +
			"within 24 hours than the limit allows: it goes on only with `starter approve`, or a higher limit."},
		"stopped and approved": {change: func(p *Person) {
			p.Entry.Record.Seen[consent.Listrak] = consent.Sighting{State: consent.Unsubscribed, Shown: at("20:05:00")}
			p.Entry.Debts[consent.Listrak] = consent.Stopped
			p.Approved = true
		}, debt: "stopped", listrak: "Shows unsubscribed (dated 20:05:00). Owed: subscribed. It is delivered with the next round."},
		"stopped while the direction is off": {change: func(p *Person) {
			p.Entry.Record.Seen[consent.Listrak] = consent.Sighting{State: consent.Unsubscribed, Shown: at("20:05:00")}
			p.Entry.Debts[consent.Listrak] = consent.Stopped
			p.Switches.Syncs[consent.EmailToListrak] = ledger.Switch{}
		}, debt: "stopped", listrak: "Nothing is delivered while email_to_listrak is off."},
		"a failed attempt": {change: func(p *Person) {
			p.Entry.Record.Sent[consent.Listrak][0] = sent(consent.Failed, "HTTP_503")
			p.Entry.NextTry[consent.Listrak] = at("20:15:30")
		}, debt: "owed", until: "20:15:30", listrak: "Owed: subscribed. The last try failed: HTTP_503. It is tried again after 20:15:30."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := person()
			c.change(&p)
			now := Stand(p)
			if now.Listrak.Debt != c.debt {
				t.Errorf("the debt is %q, want %q", now.Listrak.Debt, c.debt)
			}
			if !strings.Contains(now.Listrak.Text, c.listrak) {
				t.Errorf("Listrak: %s\nwant it to hold: %s", now.Listrak.Text, c.listrak)
			}
			if c.decision != "" && now.Decision.Text != c.decision {
				t.Errorf("decision: %s\nwant: %s", now.Decision.Text, c.decision)
			}
			if c.shopifyText != "" && now.Shopify.Text != c.shopifyText {
				t.Errorf("Shopify: %s\nwant: %s", now.Shopify.Text, c.shopifyText)
			}
			if until := now.Listrak.Until; (c.until == "") != until.IsZero() || c.until != "" && until.Format(time.TimeOnly) != c.until {
				t.Errorf("until %s, want %q", until, c.until)
			}
		})
	}
}

func TestEveryDebtHasWords(t *testing.T) {
	t.Parallel()
	p := person()
	for debt := consent.Settled; !strings.HasPrefix(debt.String(), "unknown"); debt++ {
		if words := p.owed(consent.Listrak, debt, &SideNow{}); strings.HasPrefix(words, "Stands as") {
			t.Errorf("the debt %q has no words", debt)
		}
	}
}
