package explain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/shopify"
)

func at(clock string) consent.Instant {
	t, err := time.Parse(time.DateTime, "2026-11-22 "+clock)
	if err != nil {
		panic(err)
	}
	return consent.InstantOf(t)
}

var written = at("20:14:03")

// lines has a sentence for every kind, reason and verdict; TestNothingIsForgotten holds that.
var lines = map[string]struct {
	line ledger.Line
	want string
}{
	"stale": {ledger.Line{Kind: ledger.Dropped, Reason: "stale", State: consent.Subscribed, Date: at("20:13:59")},
		"Shopify said subscribed (dated 20:13:59). A later read had been recorded already, so this one was dropped."},
	"no news": {ledger.Line{Kind: ledger.Seen, Reason: "no_news", State: consent.Subscribed, Date: at("20:13:59")},
		"Shopify said subscribed (dated 20:13:59). That was known already."},
	"not a decision": {ledger.Line{Kind: ledger.Seen, Side: consent.Listrak, Reason: "not_a_decision", State: consent.Absent},
		"Listrak does not know the address. That is no decision of the person."},
	"by machine": {ledger.Line{Kind: ledger.Seen, Side: consent.Listrak, Reason: "by_machine", State: consent.Unsubscribed, Date: at("20:13:59")},
		"Listrak said unsubscribed (dated 20:13:59). A bounce or list hygiene did that, no person, so it decides nothing."},
	"echo": {ledger.Line{Kind: ledger.Seen, Side: consent.Listrak, Reason: "echo", State: consent.Subscribed, Date: at("20:13:59")},
		"Listrak said subscribed (dated 20:13:59). That is what we had delivered ourselves, so it decides nothing new."},
	"first": {ledger.Line{Kind: ledger.Decided, Reason: "first", State: consent.Subscribed, Date: at("20:13:59")},
		"Shopify said subscribed (dated 20:13:59). Nothing had been decided before, so it became the decision."},
	"same side": {ledger.Line{Kind: ledger.Decided, Side: consent.Listrak, Reason: "same_side", State: consent.Unsubscribed, Date: at("20:13:59")},
		"Listrak said unsubscribed (dated 20:13:59). What Listrak says now replaces what it had said before, so it became the decision."},
	"newer": {ledger.Line{Kind: ledger.Decided, Side: consent.Listrak, Reason: "newer", State: consent.Unsubscribed, Date: at("20:13:59")},
		"Listrak said unsubscribed (dated 20:13:59). It is newer than what Shopify had said, so it became the decision."},
	"unsubscribed wins": {ledger.Line{Kind: ledger.Decided, Side: consent.Listrak, Reason: "unsubscribed_wins", State: consent.Unsubscribed, Date: at("20:13:59")},
		"Listrak said unsubscribed (dated 20:13:59). It is too near in time to what Shopify had said to tell which is newer, and then " +
			"unsubscribed wins: it became the decision."},
	"unsubscribed stays": {ledger.Line{Kind: ledger.Seen, Reason: "unsubscribed_wins", State: consent.Subscribed, Date: at("20:13:59")},
		"Shopify said subscribed (dated 20:13:59). It is too near in time to what Listrak had said to tell which is newer, and then " +
			"unsubscribed wins: the decision stays."},
	"agreed": {ledger.Line{Kind: ledger.Seen, Reason: "agreed", State: consent.Subscribed},
		"Shopify said subscribed (without a date). Both sides agree."},
	"renewed": {ledger.Line{Kind: ledger.Decided, Reason: "renewed", State: consent.Subscribed, Date: at("20:13:59")},
		"Shopify said subscribed (dated 20:13:59). Both sides agree, and the decision takes this date, which is the later one."},
	"behind": {ledger.Line{Kind: ledger.Seen, Reason: "behind", State: consent.Subscribed, Date: at("20:13:59") - consent.Instant(24*consent.Hour)},
		"Shopify said subscribed (dated 2026-11-21 20:13:59). It is older than what Listrak had said, so Shopify is behind the decision."},
	"evidence": {ledger.Line{Kind: ledger.Shown, Side: consent.Listrak, Reason: "evidence", State: consent.Subscribed, Date: at("20:13:59")},
		"Listrak said subscribed (dated 20:13:59). Nothing proves that a person did that (an import, a date that moved, an address that was " +
			"changed), so it does not overrule the unsubscribe. An operator should look at it."},
	"after keyword": {ledger.Line{Kind: ledger.Shown, Reason: "after_keyword", State: consent.Subscribed, Date: at("20:13:59")},
		"Shopify said subscribed (dated 20:13:59). The person had left by keyword or through the carrier, so an opt-in that is older or not " +
			"proven is not followed. An operator should look at it."},
	"while contested": {ledger.Line{Kind: ledger.Shown, Side: consent.Listrak, Reason: "while_contested", State: consent.Subscribed, Date: at("20:13:59")},
		"Listrak said subscribed (dated 20:13:59). Somebody keeps undoing what we deliver, so a yes is not heard for now. An operator should look at it."},
	"after erasure": {ledger.Line{Kind: ledger.Seen, Side: consent.Listrak, Reason: "after_erasure", State: consent.Subscribed, Date: at("20:13:59")},
		"Listrak said subscribed (dated 20:13:59). The person has asked to be forgotten since, or too near in time to tell, so it decides nothing."},
	"forgotten": {ledger.Line{Kind: ledger.Redacted, Side: ledger.NoSide, State: consent.Unsubscribed, Date: at("20:14:03")},
		"The person asked to be forgotten: all that was known is erased. What stays is that they are unsubscribed (dated 20:14:03); only a newer yes is heard."},
	"everybody redacted": {ledger.Line{Kind: ledger.Redacted, Side: ledger.NoSide},
		"Everybody known of the merchant was erased. Of the people who had unsubscribed, that stays, without anything else."},
	"contested": {ledger.Line{Kind: ledger.Contested, Side: consent.Listrak, State: consent.Unsubscribed, Date: at("20:24:10")},
		"Somebody keeps undoing what we deliver. The decision is unsubscribed and stays so for now: each side is told once more at most, and a yes " +
			"is heard again if it is dated after 20:24:10 and nobody says anything else before."},
	"retried": {ledger.Line{Kind: ledger.Retried, Side: consent.Listrak, Reason: "refused", State: consent.Subscribed, Date: at("20:13:59")},
		"Retried on request: Listrak is owed it once more (subscribed). It had been refused."},
	"retried, no side": {ledger.Line{Kind: ledger.Retried, Side: ledger.NoSide, Reason: "contested", State: consent.Unsubscribed},
		"On request a yes is heard again."},
	"never asked": {ledger.Line{Kind: ledger.Seen, Reason: "not_a_decision", State: consent.NeverAsked},
		"Shopify knows the person, who was never asked. That is no decision of the person."},
	"pending": {ledger.Line{Kind: ledger.Seen, Side: consent.Listrak, Reason: "not_a_decision", State: consent.Pending},
		"Listrak waits for the person's confirmation. That is no decision of the person."},
	"invalid": {ledger.Line{Kind: ledger.Seen, Reason: "not_a_decision", State: consent.Invalid},
		"Shopify holds the address for undeliverable. That is no decision of the person."},
	"redacted": {ledger.Line{Kind: ledger.Seen, Reason: "not_a_decision", State: consent.Redacted},
		"Shopify has erased the person's data on request. That is no decision of the person."},
	"strange date": {ledger.Line{Kind: ledger.Shown, Side: consent.Listrak, Reason: "strange_date", State: consent.Subscribed, Date: at("23:00:00")},
		"Listrak dates this in the future (dated 23:00:00); the date was taken back to when it was read."},

	"held": {ledger.Line{Kind: ledger.HeldBack, Side: consent.Listrak, Date: at("20:19:03"), State: consent.Subscribed},
		"The consent waits for an order until 20:19:03, so that Listrak is told of it through the right subscription point."},
	"settled by an order": {ledger.Line{Kind: ledger.SettledPoint, Side: consent.Listrak, Point: consent.Checkout, Date: at("20:14:01")},
		"An order was found (made 20:14:01), so the consent goes through the checkout point."},
	"settled by time": {ledger.Line{Kind: ledger.SettledPoint, Side: consent.Listrak, Point: consent.Marketing},
		"No order came in time, so the consent goes through the marketing point."},
	"hold ended": {ledger.Line{Kind: ledger.SettledPoint, Side: consent.Listrak, Reason: "hold_ended"},
		"The wait for an order ended without one being needed: the consent was withdrawn, or it is in Listrak already."},

	"SMS: no order": {ledger.Line{Channel: consent.SMS, Kind: ledger.SettledPoint, Side: consent.Listrak, Point: consent.Marketing},
		"No order came in time, so the consent goes through the marketing point: the merchant's list and no other."},
	"SMS: an order": {ledger.Line{Channel: consent.SMS, Kind: ledger.SettledPoint, Side: consent.Listrak, Point: consent.Checkout, Date: at("20:14:01")},
		"An order was found (made 20:14:01), so the consent goes through the checkout point. That is the merchant's checkout list; without one Listrak " +
			"shows nothing of it."},
	"SMS: unknown": {ledger.Line{Channel: consent.SMS, Kind: ledger.Seen, Side: consent.Listrak, Reason: "not_a_decision", State: consent.Absent},
		"Listrak does not know the phone number. That is no decision of the person."},
	"SMS: by machine": {ledger.Line{Channel: consent.SMS, Kind: ledger.Seen, Side: consent.Listrak, Reason: "by_machine", State: consent.Unsubscribed,
		Date: at("20:13:59")},
		"Listrak said unsubscribed (dated 20:13:59). A message that could not be delivered did that, no person, so it decides nothing."},
	"SMS: no number": {ledger.Line{Channel: consent.SMS, Kind: ledger.Failed, Side: consent.Listrak, State: consent.Subscribed, Reason: "address_unknown"},
		"Listrak could not be told: no phone number is kept, and Shopify shows none under the person's id. It is tried again in a day."},
	"SMS: no phone in Shopify": {ledger.Line{Channel: consent.SMS, Kind: ledger.Refused, State: consent.Subscribed, Code: shopify.CodeNoPhone},
		"Shopify refused it for good: NO_PHONE. The customer there has no phone number, or another one: somebody has to give them this one there. It is " +
			"tried again only on a newer decision, or on request."},
	"SMS: taken": {ledger.Line{Channel: consent.SMS, Kind: ledger.Refused, State: consent.Subscribed, Code: shopify.CodeTaken},
		"Shopify refused it for good: TAKEN. Another customer has the phone number, and the search does not show which: somebody has to look for it " +
			"there. It is tried again only on a newer decision, or on request."},
	"claimed": {ledger.Line{Kind: ledger.Claimed, Side: consent.Listrak, State: consent.Subscribed, Date: at("20:13:59"), Point: consent.Marketing},
		"We began to tell Listrak: subscribed (dated 20:13:59), through the marketing point."},
	"resubscribed": {ledger.Line{Kind: ledger.Claimed, State: consent.Subscribed, Date: at("20:13:59"), Reason: ledger.Resubscribed},
		"We began to tell Shopify: subscribed (dated 20:13:59). It shows unsubscribed, which is older than this decision, so that is overridden."},
	"delivered": {ledger.Line{Kind: ledger.Delivered, Side: consent.Listrak, State: consent.Subscribed, Point: consent.Checkout},
		"Listrak took it: subscribed, through the checkout point."},
	"delivered, seen by read": {ledger.Line{Kind: ledger.Delivered, State: consent.Unsubscribed, Reason: "seen_by_read"},
		"Shopify shows what we had sent (unsubscribed); until now it was not known whether it had arrived."},
	"refused": {ledger.Line{Kind: ledger.Refused, Side: consent.Listrak, State: consent.Subscribed, Code: "ERROR_SUPPRESSED_EMAIL"},
		"Listrak refused it for good: ERROR_SUPPRESSED_EMAIL. It is tried again only on a newer decision, or on request."},
	"awaiting": {ledger.Line{Kind: ledger.Awaiting, Side: consent.Listrak, State: consent.Subscribed},
		"Listrak asked the person to confirm. Nothing is sent again until they do."},
	"failed": {ledger.Line{Kind: ledger.Failed, State: consent.Subscribed, Code: "TIMEOUT"},
		"It did not reach Shopify, or its end is not known: TIMEOUT. It is looked at and tried again."},
	"failed, not seen": {ledger.Line{Kind: ledger.Failed, State: consent.Subscribed, Reason: "not_seen_by_read"},
		"Shopify does not show what we had sent (subscribed), so that did not arrive. It is tried again."},
	"failed, no address": {ledger.Line{Kind: ledger.Failed, Side: consent.Listrak, Reason: "address_unknown"},
		"Listrak could not be told: no address is kept, and neither side knows one under the person's id. It is tried again in a day."},
	"disputed": {ledger.Line{Kind: ledger.Disputed, Side: consent.Listrak, State: consent.Subscribed},
		"Listrak had accepted this 3 times and still shows something else. It is disputed: nothing is sent until somebody decides anew, or on request."},

	"stopped": {ledger.Line{Kind: ledger.Stopped, State: consent.Subscribed, Date: at("20:13:59")},
		"Shopify is not told yet: more people would be turned from unsubscribed to subscribed within 24 hours than the limit allows. It waits " +
			"for an operator to approve it, or to raise the limit."},
	"released": {ledger.Line{Side: consent.Listrak, Kind: ledger.Released, State: consent.Subscribed, Date: at("20:13:59")},
		"An operator raised the limit on re-subscriptions, so that Listrak is owed it again (subscribed), as far as the limit reaches."},
	"approved": {ledger.Line{Kind: ledger.Approved, Side: ledger.NoSide, Count: 12},
		"An operator approved that 12 people, stopped at the limit, may be resubscribed within 24 hours."},
	"approved by name": {ledger.Line{Side: consent.Listrak, Kind: ledger.Approved, Reason: ledger.Resubscribed, State: consent.Subscribed},
		"An operator approved that Listrak is told. The approval counts for 24 hours."},
	"alarm": {ledger.Line{Kind: ledger.AlarmRaised, Side: ledger.NoSide, Reason: ledger.ManyUnsubscribed, Count: 120},
		"By now deliveries had unsubscribed 120 people within 24 hours, more than the limit on re-subscriptions. Nobody was stopped; an " +
			"operator should look at it."},

	"switched on":  {ledger.Line{Kind: ledger.Switched, Side: ledger.NoSide, Sync: consent.EmailToListrak, Reason: "on"}, "email_to_listrak was switched on."},
	"switched off": {ledger.Line{Kind: ledger.Switched, Side: ledger.NoSide, Sync: consent.EmailToListrak, Reason: "off"}, "email_to_listrak was switched off."},
	"opt-outs delivered": {ledger.Line{Kind: ledger.Switched, Side: ledger.NoSide, Sync: consent.EmailToListrak, Reason: "existing opt-outs: deliver"},
		"For email_to_listrak it was chosen to deliver earlier opt-outs."},
	"opt-outs left": {ledger.Line{Kind: ledger.Switched, Side: ledger.NoSide, Sync: consent.EmailToListrak, Reason: "existing opt-outs: leave"},
		"For email_to_listrak it was chosen to leave earlier opt-outs as they are."},
	"opt-outs unasked": {ledger.Line{Kind: ledger.Switched, Side: ledger.NoSide, Sync: consent.EmailToListrak, Reason: "existing opt-outs: "},
		"For email_to_listrak the choice about earlier opt-outs was taken back."},
	"added":       {ledger.Line{Kind: ledger.MerchantAdded, Side: ledger.NoSide}, "The merchant was added."},
	"credentials": {ledger.Line{Kind: ledger.MerchantChanged, Side: ledger.NoSide, Reason: ledger.NewCredentials}, "The merchant was given new credentials."},
	"changed":     {ledger.Line{Kind: ledger.MerchantChanged, Side: ledger.NoSide}, "The merchant's settings or credentials were changed."},
	"removed":     {ledger.Line{Kind: ledger.MerchantRemoved, Side: ledger.NoSide}, "The merchant was removed."},
	"running":     {ledger.Line{Kind: ledger.StateChanged, Side: ledger.NoSide, Reason: "running"}, "The merchant goes on."},
	"paused":      {ledger.Line{Kind: ledger.StateChanged, Side: ledger.NoSide, Reason: "paused"}, "The merchant was paused."},
	"broken": {ledger.Line{Kind: ledger.StateChanged, Side: ledger.NoSide, Reason: "broken"},
		"The merchant was stopped, because a person has to act."},
	"state removed": {ledger.Line{Kind: ledger.StateChanged, Side: ledger.NoSide, Reason: "removed"}, "The merchant was removed."},

	"a kind of a newer build": {ledger.Line{Kind: "teleported", Reason: "why_not"}, "Something that this version does not know: teleported (why_not)."},
	"a reason of a newer build": {ledger.Line{Kind: ledger.Seen, State: consent.Subscribed, Reason: "moon_phase"},
		"Shopify said subscribed (without a date). (moon_phase)"},
}

func TestEveryLineHasASentence(t *testing.T) {
	t.Parallel()
	for name, row := range lines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row.line.At = written
			if got := Tell(row.line); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

func TestAStoryKeepsTheOrderAndTheWordsForPrograms(t *testing.T) {
	t.Parallel()
	story := Story([]ledger.Line{
		{At: written, Kind: ledger.Decided, Side: consent.Listrak, Reason: "newer", State: consent.Unsubscribed, Date: at("20:13:59")},
		{At: written, Kind: ledger.MerchantAdded, Side: ledger.NoSide},
	})
	if len(story) != 2 || story[0].Side != "Listrak" || story[0].Kind != "decided" || story[0].Reason != "newer" || !story[0].At.Equal(written.Time()) ||
		story[1].Side != "" {
		t.Errorf("got %+v", story)
	}
	if Story(nil) == nil {
		t.Error("an empty story must be an empty list, for JSON")
	}
}

// TestNothingIsForgotten reads the constants of the packages that write journals: a new kind, reason or verdict needs a sentence.
func TestNothingIsForgotten(t *testing.T) {
	t.Parallel()
	kinds, reasons := map[string]bool{}, map[string]bool{}
	for _, row := range lines {
		kinds[string(row.line.Kind)], reasons[string(row.line.Reason)] = true, true
	}
	for _, c := range []struct {
		directory, kind string
		least           int
		covered         map[string]bool
	}{
		{"../ledger", "Kind", 20, kinds},
		{"../ledger", "Reason", 2, reasons},
		{"../ledger", "MerchantState", 4, reasons},
		{"../reconcile", "Reason", 5, reasons},
		{"../consent", "Verdict", 16, reasons},
	} {
		found := constants(t, c.directory, c.kind)
		if len(found) < c.least {
			t.Errorf("%s has %d constants of type %s, want %d or more: does this test still read them?", c.directory, len(found), c.kind, c.least)
		}
		for _, value := range found {
			if !c.covered[value] {
				t.Errorf("%s of %s, %q, has no sentence in this test", c.kind, c.directory, value)
			}
		}
	}
	for state := consent.Absent; state <= consent.Unsubscribed; state++ {
		if told := Tell(ledger.Line{Kind: ledger.Seen, State: state}); strings.Contains(told, "was read") {
			t.Errorf("the state %s has no words of its own: %s", state, told)
		}
	}
}

// constants returns the values of a package's string constants of one type, whatever package that type is from. Constants of other
// types in the same block are left out.
func constants(t *testing.T, directory, kind string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			group, ok := declaration.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, spec := range group.Specs {
				value := spec.(*ast.ValueSpec)
				if typeName(value.Type) != kind {
					continue
				}
				for _, expression := range value.Values {
					literal, ok := expression.(*ast.BasicLit)
					if !ok {
						t.Fatalf("%s: a constant of type %s is no literal", path, kind)
					}
					text, err := strconv.Unquote(literal.Value)
					if err != nil {
						t.Fatal(err)
					}
					values = append(values, text)
				}
			}
		}
	}
	return values
}

func typeName(expression ast.Expr) string {
	switch expression := expression.(type) {
	case *ast.Ident:
		return expression.Name
	case *ast.SelectorExpr:
		return expression.Sel.Name
	}
	return ""
}
