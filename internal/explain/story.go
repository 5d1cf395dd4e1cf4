// Package explain puts what the ledger keeps of one person into plain sentences: what was seen, decided, delivered or refused, when,
// and by which rule of consent. It is pure, and knows no address.
package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// Sentence is one line of a person's story.
type Sentence struct {
	// At is when it was written down, UTC.
	At time.Time `json:"at"`
	// Kind, Reason and Side are the journal's own words, for programs. Side is empty when the line concerns none.
	Kind   string `json:"kind"`
	Reason string `json:"reason,omitempty"`
	Side   string `json:"side,omitempty"`
	Text   string `json:"text"`
}

// Story tells a journal, oldest line first, as ledger.Journal returns it.
func Story(lines []ledger.Line) []Sentence {
	story := make([]Sentence, 0, len(lines))
	for _, line := range lines {
		s := Sentence{At: line.At.Time(), Kind: string(line.Kind), Reason: string(line.Reason), Text: Tell(line)}
		if line.Side != ledger.NoSide {
			s.Side = line.Side.String()
		}
		story = append(story, s)
	}
	return story
}

// Tell puts one line of a journal into sentences. A kind or a reason that a newer build has written is named as it is.
func Tell(line ledger.Line) string {
	switch line.Kind {
	case ledger.Seen, ledger.Decided, ledger.Dropped, ledger.Shown:
		if line.Reason == strangeDate {
			return fmt.Sprintf("%s dates this in the future%s; the date was taken back to when it was read.", line.Side, dated(line))
		}
		return tellReport(line)
	case ledger.HeldBack:
		return fmt.Sprintf("The consent waits for an order until %s, so that %s is told of it through the right subscription point.",
			moment(line.Date, line.At), line.Side)
	case ledger.SettledPoint:
		return tellSettled(line)
	case ledger.Claimed:
		return tellClaimed(line)
	case ledger.Delivered:
		return tellDelivered(line)
	case ledger.Refused:
		return fmt.Sprintf("%s refused it for good%s. %sIt is tried again only on a newer decision, or on request.", line.Side, code(line),
			mend(line.Channel, line.Code))
	case ledger.Awaiting:
		return fmt.Sprintf("%s asked the person to confirm%s. Nothing is sent again until they do.", line.Side, code(line))
	case ledger.Failed:
		return tellFailed(line)
	case ledger.Disputed:
		return fmt.Sprintf("%s had accepted this %d times and still shows something else. It is disputed: nothing is sent until somebody "+
			"decides anew, or on request.", line.Side, consent.MaxTries)
	case ledger.Contested:
		return fmt.Sprintf("Somebody keeps undoing what we deliver. The decision is %s and stays so for now: each side is told once more at most, "+
			"and a yes is heard again if it is dated after %s and nobody says anything else before.", line.State, moment(line.Date, line.At))
	case ledger.Retried:
		return tellRetried(line)
	case ledger.Stopped:
		return fmt.Sprintf("%s is not told yet: more people would be turned from unsubscribed to subscribed within 24 hours than the limit "+
			"allows. It waits for an operator to approve it, or to raise the limit.", line.Side)
	case ledger.Released:
		return fmt.Sprintf("An operator raised the limit on re-subscriptions, so that %s is owed it again (%s), as far as the limit reaches.", line.Side,
			line.State)
	case ledger.Approved:
		return tellApproved(line)
	case ledger.AlarmRaised:
		return fmt.Sprintf("By now deliveries had unsubscribed %s within 24 hours, more than the limit on re-subscriptions. Nobody was stopped; "+
			"an operator should look at it.", people(line.Count))
	case ledger.Redacted:
		return tellRedacted(line)
	case ledger.Switched:
		return tellSwitched(line)
	case ledger.MerchantAdded:
		return "The merchant was added."
	case ledger.MerchantChanged:
		if line.Reason == ledger.NewCredentials {
			return "The merchant was given new credentials."
		}
		return "The merchant's settings or credentials were changed."
	case ledger.MerchantRemoved:
		return "The merchant was removed."
	case ledger.StateChanged:
		return tellState(line)
	}
	return fmt.Sprintf("Something that this version does not know: %s%s.", line.Kind, reasonWords(line))
}

func tellRedacted(line ledger.Line) string {
	if line.State != consent.Unsubscribed {
		return "Everybody known of the merchant was erased. Of the people who had unsubscribed, that stays, without anything else."
	}
	return "The person asked to be forgotten: all that was known is erased. What stays is that they are unsubscribed" + dated(line) +
		"; only a newer yes is heard."
}

// Reasons that the engine writes beside verdicts (internal/reconcile/revise.go); a test holds the two together.
const (
	holdEnded      ledger.Reason = "hold_ended"
	strangeDate    ledger.Reason = "strange_date"
	seenByRead     ledger.Reason = "seen_by_read"
	notSeenByRead  ledger.Reason = "not_seen_by_read"
	addressUnknown ledger.Reason = "address_unknown"
)

// tellReport tells what a side showed and what the rules made of it.
func tellReport(line ledger.Line) string {
	saw := sighting(line)
	other := "the other side"
	if line.Side != ledger.NoSide {
		other = line.Side.Other().String()
	}
	switch consent.Verdict(line.Reason) {
	case consent.Stale:
		return saw + " A later read had been recorded already, so this one was dropped."
	case consent.NoNews:
		return saw + " That was known already."
	case consent.NotADecision:
		return saw + " That is no decision of the person."
	case consent.ByMachine:
		return saw + " " + capital(machine(line.Channel)) + " did that, no person, so it decides nothing."
	case consent.Echo:
		return saw + " That is what we had delivered ourselves, so it decides nothing new."
	case consent.First:
		return saw + " Nothing had been decided before, so it became the decision."
	case consent.SameSide:
		return fmt.Sprintf("%s What %s says now replaces what it had said before, so it became the decision.", saw, line.Side)
	case consent.Newer:
		return fmt.Sprintf("%s It is newer than what %s had said, so it became the decision.", saw, other)
	case consent.UnsubscribedWins:
		if line.Kind == ledger.Decided {
			return fmt.Sprintf("%s It is too near in time to what %s had said to tell which is newer, and then unsubscribed wins: it became the "+
				"decision.", saw, other)
		}
		return fmt.Sprintf("%s It is too near in time to what %s had said to tell which is newer, and then unsubscribed wins: the decision "+
			"stays.", saw, other)
	case consent.Agreed:
		return saw + " Both sides agree."
	case consent.Renewed:
		return saw + " Both sides agree, and the decision takes this date, which is the later one."
	case consent.Behind:
		return fmt.Sprintf("%s It is older than what %s had said, so %[3]s is behind the decision.", saw, other, line.Side)
	case consent.Evidence:
		return saw + " Nothing proves that a person did that (an import, a date that moved, an address that was changed), so it does not " +
			"overrule the unsubscribe. An operator should look at it."
	case consent.AfterKeyword:
		return saw + " The person had left by keyword or through the carrier, so an opt-in that is older or not proven is not followed. " +
			"An operator should look at it."
	case consent.WhileContested:
		return saw + " Somebody keeps undoing what we deliver, so a yes is not heard for now. An operator should look at it."
	case consent.AfterErasure:
		return saw + " The person has asked to be forgotten since, or too near in time to tell, so it decides nothing."
	}
	if line.Reason == "" {
		return saw
	}
	return saw + " (" + string(line.Reason) + ")"
}

// address is what a channel calls an address.
func address(channel consent.Channel) string {
	if channel == consent.SMS {
		return "phone number"
	}
	return "address"
}

// machine is what opts people out of a channel without a person.
func machine(channel consent.Channel) string {
	if channel == consent.SMS {
		return "a message that could not be delivered"
	}
	return "a bounce or list hygiene"
}

// Codes of refusals that somebody can mend by hand (internal/shopify); a test holds the two together.
const (
	codeNoPhone = "NO_PHONE"
	codeTaken   = "TAKEN"
)

// mend says what a person can do about a refusal of SMS, with a space behind it; empty when the code says all there is.
func mend(channel consent.Channel, code string) string {
	switch {
	case channel != consent.SMS:
	case code == codeNoPhone:
		return "The customer there has no phone number, or another one: somebody has to give them this one there. "
	case code == codeTaken:
		return "Another customer has the phone number, and the search does not show which: somebody has to look for it there. "
	}
	return ""
}

// sighting says what a side showed.
func sighting(line ledger.Line) string {
	switch line.State {
	case consent.Subscribed, consent.Unsubscribed:
		return fmt.Sprintf("%s said %s%s.", line.Side, line.State, dated(line))
	case consent.Absent:
		return fmt.Sprintf("%s does not know the %s.", line.Side, address(line.Channel))
	case consent.NeverAsked:
		return fmt.Sprintf("%s knows the person, who was never asked.", line.Side)
	case consent.Pending:
		return fmt.Sprintf("%s waits for the person's confirmation.", line.Side)
	case consent.Invalid:
		return fmt.Sprintf("%s holds the %s for undeliverable.", line.Side, address(line.Channel))
	case consent.Redacted:
		return fmt.Sprintf("%s has erased the person's data on request.", line.Side)
	case consent.Unseen:
	}
	return fmt.Sprintf("%s was read.", line.Side)
}

func tellSettled(line ledger.Line) string {
	switch {
	case line.Reason == holdEnded:
		return "The wait for an order ended without one being needed: the consent was withdrawn, or it is in Listrak already."
	case line.Point == consent.Checkout && line.Channel == consent.SMS:
		return fmt.Sprintf("An order was found%s, so the consent goes through the checkout point. That is the merchant's checkout list; without one "+
			"Listrak shows nothing of it.", madeAt(line))
	case line.Point == consent.Checkout:
		return fmt.Sprintf("An order was found%s, so the consent goes through the checkout point.", madeAt(line))
	case line.Channel == consent.SMS:
		return "No order came in time, so the consent goes through the marketing point: the merchant's list and no other."
	}
	return "No order came in time, so the consent goes through the marketing point."
}

func madeAt(line ledger.Line) string {
	if line.Date == 0 {
		return ""
	}
	return " (made " + moment(line.Date, line.At) + ")"
}

func tellClaimed(line ledger.Line) string {
	text := fmt.Sprintf("We began to tell %s: %s%s%s.", line.Side, line.State, dated(line), through(line))
	if line.Reason == ledger.Resubscribed {
		text += " It shows unsubscribed, which is older than this decision, so that is overridden."
	}
	return text
}

func tellDelivered(line ledger.Line) string {
	if line.Reason == seenByRead {
		return fmt.Sprintf("%s shows what we had sent (%s%s); until now it was not known whether it had arrived.", line.Side, line.State, through(line))
	}
	return fmt.Sprintf("%s took it: %s%s.", line.Side, line.State, through(line))
}

func tellFailed(line ledger.Line) string {
	switch line.Reason {
	case notSeenByRead:
		return fmt.Sprintf("%s does not show what we had sent (%s), so that did not arrive. It is tried again.", line.Side, line.State)
	case addressUnknown:
		if line.Channel == consent.SMS {
			return fmt.Sprintf("%s could not be told: no phone number is kept, and Shopify shows none under the person's id. It is tried again in a "+
				"day.", line.Side)
		}
		return fmt.Sprintf("%s could not be told: no address is kept, and neither side knows one under the person's id. It is tried again in a day.",
			line.Side)
	}
	return fmt.Sprintf("It did not reach %s, or its end is not known%s. It is looked at and tried again.", line.Side, code(line))
}

func tellRetried(line ledger.Line) string {
	if line.Side == ledger.NoSide {
		return "On request a yes is heard again."
	}
	return fmt.Sprintf("Retried on request: %s is owed it once more (%s). It had been %s.", line.Side, line.State, line.Reason)
}

func tellSwitched(line ledger.Line) string {
	switch line.Reason {
	case "on", "off":
		return fmt.Sprintf("%s was switched %s.", line.Sync, line.Reason)
	}
	if answer, ok := strings.CutPrefix(string(line.Reason), "existing opt-outs: "); ok {
		switch ledger.OptOuts(answer) {
		case ledger.OptOutsDeliver:
			return fmt.Sprintf("For %s it was chosen to deliver earlier opt-outs.", line.Sync)
		case ledger.OptOutsLeave:
			return fmt.Sprintf("For %s it was chosen to leave earlier opt-outs as they are.", line.Sync)
		case ledger.OptOutsUnasked:
			return fmt.Sprintf("For %s the choice about earlier opt-outs was taken back.", line.Sync)
		}
	}
	return fmt.Sprintf("%s was changed%s.", line.Sync, reasonWords(line))
}

func tellApproved(line ledger.Line) string {
	if line.Reason == ledger.Resubscribed {
		return fmt.Sprintf("An operator approved that %s is told. The approval counts for 24 hours.", line.Side)
	}
	return fmt.Sprintf("An operator approved that %s, stopped at the limit, may be resubscribed within 24 hours.", people(line.Count))
}

func people(n int64) string {
	if n == 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}

func tellState(line ledger.Line) string {
	switch ledger.MerchantState(line.Reason) {
	case ledger.Running:
		return "The merchant goes on."
	case ledger.Paused:
		return "The merchant was paused."
	case ledger.Broken:
		return "The merchant was stopped, because a person has to act."
	case ledger.Removed:
		return "The merchant was removed."
	}
	return fmt.Sprintf("The merchant's state changed%s.", reasonWords(line))
}

func reasonWords(line ledger.Line) string {
	if line.Reason == "" {
		return ""
	}
	return " (" + string(line.Reason) + ")"
}

func code(line ledger.Line) string {
	if line.Code == "" {
		return ""
	}
	return ": " + line.Code
}

func through(line ledger.Line) string {
	if line.Point == consent.NoPoint {
		return ""
	}
	return ", through the " + line.Point.String() + " point"
}

func dated(line ledger.Line) string {
	if line.Date == 0 {
		return " (without a date)"
	}
	return " (dated " + moment(line.Date, line.At) + ")"
}

// moment shows a time in UTC, without its day when that is the day of the line.
func moment(at, line consent.Instant) string {
	t, beside := at.Time(), line.Time()
	if t.Year() == beside.Year() && t.YearDay() == beside.YearDay() {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}
