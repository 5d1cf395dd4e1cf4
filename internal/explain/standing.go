package explain

import (
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// Person is what is known of one person now.
type Person struct {
	// Channel is the one whose record Entry is.
	Channel  consent.Channel
	Entry    ledger.Entry
	Switches ledger.Switches
	// Permits are what the switches allow, by side.
	Permits [2]*consent.Permit
	// Approved: what the limit on re-subscriptions has stopped may go on, because an operator has said so.
	Approved bool
	// LookUpLag is how long after the end of a checkout window orders are still looked for.
	LookUpLag time.Duration
	Now       time.Time
}

// Standing is what holds now.
type Standing struct {
	Decision DecisionNow `json:"decision"`
	Shopify  SideNow     `json:"shopify"`
	Listrak  SideNow     `json:"listrak"`
}

// DecisionNow is what the person decided. State is "none" while nobody has decided anything.
type DecisionNow struct {
	State string    `json:"state"`
	Side  string    `json:"side,omitempty"`
	At    time.Time `json:"at,omitzero"`
	Text  string    `json:"text"`
}

// SideNow is what a side shows and is owed.
type SideNow struct {
	Shows string    `json:"shows"`
	Date  time.Time `json:"date,omitzero"`
	// Read is when the side last brought news of the person.
	Read time.Time `json:"read,omitzero"`
	// Debt is the ledger's word: settled, owed, stopped, held, refused, awaiting confirmation, disputed, contested, gone or blocked.
	Debt string `json:"debt"`
	Code string `json:"code,omitempty"`
	// Until is when what is held is let go, or what failed is tried again.
	Until time.Time `json:"until,omitzero"`
	Text  string    `json:"text"`
}

// Stand says what holds now.
func Stand(p Person) Standing {
	return Standing{Decision: p.decision(), Shopify: p.side(consent.Shopify), Listrak: p.side(consent.Listrak)}
}

func (p *Person) decision() DecisionNow {
	d := &p.Entry.Record.Decision
	if !d.State.IsDecision() {
		return DecisionNow{State: "none", Text: "Nobody has decided anything yet."}
	}
	when := "without a date"
	if d.At != 0 {
		when = p.clock(d.At)
	}
	text := fmt.Sprintf("%s, decided in %s, %s.", capital(d.State.String()), d.Side, when)
	if d.Erased {
		return DecisionNow{State: d.State.String(), At: d.At.Time(), Text: fmt.Sprintf("%s, because the person asked to be forgotten, %s. "+
			"Only a yes that is newer than that is heard.", capital(d.State.String()), when)}
	}
	if d.Keyword {
		text += " That was by keyword or through the carrier, which no API takes back: an opt-in that is older or not proven is not followed."
	}
	if again := p.Entry.Record.HeardAgainAfter(); again != 0 {
		text += fmt.Sprintf(" Somebody keeps undoing what we deliver: a yes is heard again if it is dated after %s and nobody says anything else "+
			"before.", p.clock(again))
	}
	return DecisionNow{State: d.State.String(), Side: d.Side.String(), At: d.At.Time(), Text: text}
}

func (p *Person) side(side consent.Side) SideNow {
	rec := &p.Entry.Record
	seen, debt := &rec.Seen[side], rec.DebtTo(side)
	if debt == consent.Owed && p.Entry.Debts[side] == consent.Stopped {
		debt = consent.Stopped
	}
	now := SideNow{Shows: seen.State.String(), Date: seen.Shown.Time(), Read: seen.ReadBegan.Time(), Debt: debt.String()}
	now.Text = p.shows(seen)
	if rec.Decision.State.IsDecision() {
		now.Text += " " + p.owed(side, debt, &now)
	}
	return now
}

func (p *Person) shows(seen *consent.Sighting) string {
	date := ""
	if seen.State.IsDecision() && seen.Shown != 0 {
		date = " (dated " + p.clock(seen.Shown) + ")"
	}
	switch seen.State {
	case consent.Unseen:
		return "Not read yet."
	case consent.Absent:
		return "Does not know the " + address(p.Channel) + "."
	case consent.NeverAsked:
		return "Knows the person, who was never asked."
	case consent.Pending:
		return "Waits for the person's confirmation."
	case consent.Invalid:
		return "Holds the " + address(p.Channel) + " for undeliverable."
	case consent.Redacted:
		return "Has erased the person's data."
	case consent.Subscribed, consent.Unsubscribed:
	}
	return "Shows " + seen.State.String() + date + "."
}

// owed says whether the side is owed the decision, and if it is not delivered, why not.
func (p *Person) owed(side consent.Side, debt consent.Debt, now *SideNow) string {
	rec := &p.Entry.Record
	last := &rec.Sent[side][0]
	switch debt {
	case consent.Settled:
		if rec.Seen[side].State == consent.Absent {
			return "Nothing is owed: who is unknown there need not be unsubscribed."
		}
		return "Nothing is owed."
	case consent.Owed, consent.Stopped:
		return p.notYet(side, debt, now)
	case consent.Held:
		now.Until = rec.Hold.Until.Time()
		return fmt.Sprintf("Held until %s for an order; late ones are looked for until %s.", p.clock(rec.Hold.Until),
			p.clock(rec.Hold.Until.Plus(consent.SpanOf(p.LookUpLag))))
	case consent.Refused:
		if rec.Seen[side].Machine && last.Outcome != consent.RefusedForGood {
			return "Refused: " + machine(p.Channel) + " ended the subscription there after this decision. Only a newer decision is delivered, or this " +
				"one with `starter retry`."
		}
		now.Code = last.Code
		return "Refused for good" + colon(last.Code) + ". " + mend(p.Channel, last.Code) + "It is tried again only on a newer decision, or with `starter retry`."
	case consent.Awaiting:
		return "The person was asked to confirm; nothing is sent again until they do."
	case consent.Disputed:
		now.Code = last.Code
		return fmt.Sprintf("Disputed: it accepted this %d times and still shows something else. Nothing is sent until somebody decides anew, or "+
			"with `starter retry`.", consent.MaxTries)
	case consent.Contested:
		return "Contested: somebody has undone our deliveries again and again, the last unsubscribe too. Nothing is sent: find out which " +
			"application does it, then `starter retry`."
	case consent.Gone:
		return "The person was still there when this was decided and is gone since: only a newer decision creates them again."
	case consent.Blocked:
		return "That is never written over."
	}
	return "Stands as " + debt.String() + "."
}

// notYet says why what is owed has not been delivered.
func (p *Person) notYet(side consent.Side, debt consent.Debt, now *SideNow) string {
	rec := &p.Entry.Record
	sync := consent.SyncTo(p.Channel, side)
	permit := p.Permits[side]
	switch {
	case permit.FirstOn == 0:
		return fmt.Sprintf("It differs, and %s was never switched on.", sync)
	case !permit.Covers(rec.Decision, side) && rec.Decision.State == consent.Unsubscribed:
		return fmt.Sprintf("It differs, but opt-outs from before %s was first switched on are left as they are.", sync)
	case !permit.Covers(rec.Decision, side):
		return fmt.Sprintf("It differs, but this was decided while %s was off, and opt-ins are only carried while it is on.", sync)
	case p.Switches.State != ledger.Running:
		return fmt.Sprintf("Owed: %s. Nothing is delivered while the merchant is %s.", rec.Decision.State, p.Switches.State)
	case !p.Switches.Syncs[sync].On:
		return fmt.Sprintf("Owed: %s. Nothing is delivered while %s is off.", rec.Decision.State, sync)
	case debt == consent.Stopped && !p.Approved:
		return fmt.Sprintf("Owed: %s. Stopped, because more people would be resubscribed within 24 hours than the limit allows: it goes on only "+
			"with `starter approve`, or a higher limit.", rec.Decision.State)
	}
	if open := rec.OpenUntil(side); open > consent.InstantOf(p.Now) {
		now.Until = open.Time()
		return fmt.Sprintf("Owed: %s. The end of the last try is not known; it may still take effect until %s.", rec.Decision.State, p.clock(open))
	}
	last := &rec.Sent[side][0]
	why := ""
	if last.Outcome == consent.Failed && last.Decision == rec.Decision.At && last.State == rec.Decision.State {
		why, now.Code = " The last try failed"+colon(last.Code)+".", last.Code
	}
	if next := p.Entry.NextTry[side]; next > consent.InstantOf(p.Now) {
		now.Until = next.Time()
		return fmt.Sprintf("Owed: %s.%s It is tried again after %s.", rec.Decision.State, why, p.clock(next))
	}
	return fmt.Sprintf("Owed: %s.%s It is delivered with the next round.", rec.Decision.State, why)
}

func colon(code string) string {
	if code == "" {
		return ""
	}
	return ": " + code
}

// clock shows a time in UTC, without its day when that is today.
func (p *Person) clock(at consent.Instant) string { return moment(at, consent.InstantOf(p.Now)) }

func capital(text string) string {
	if text == "" {
		return ""
	}
	return string(text[0]-'a'+'A') + text[1:]
}
