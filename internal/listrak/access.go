package listrak

import (
	"context"
	"fmt"
	"net/http"

	"github.com/concordsync/concord/internal/failure"
)

// Finding is one thing that VerifyAccess looked at: What is a sentence about it, Advice says what to do and may stand beside an OK.
type Finding struct {
	OK     bool
	What   string
	Advice string
}

// VerifyAccess makes harmless calls and says in plain words what the merchant's settings allow: the credentials, the list, the
// areas Contact and Event, and the events that the merchant uses as subscription points. Nothing is written.
func (c *Client) VerifyAccess(ctx context.Context, eventIDs ...int) []Finding {
	if _, err := c.tokens.get(ctx); err != nil {
		return []Finding{failed("Listrak gives no access token for the client id and secret", err)}
	}
	findings := []Finding{{OK: true, What: "Listrak gives an access token for the client id and secret"}}
	if c.list == 0 {
		return append(findings, Finding{What: "no Listrak list is set", Advice: "See `merchant lists` and set one with `merchant set`"})
	}
	denied := 0
	list, err := c.readList(ctx)
	switch {
	case err != nil:
		findings = append(findings, failed(fmt.Sprintf("list %d cannot be read (area List)", c.list), err))
		denied += deniedBy(err)
	case list.DoubleOptIn:
		findings = append(findings, Finding{OK: true, What: fmt.Sprintf("list %d is %q, with double opt-in", c.list, list.Name),
			Advice: "New contacts may stay pending until they confirm, and a pending one does not count as subscribed"})
	default:
		findings = append(findings, Finding{OK: true, What: fmt.Sprintf("list %d is %q", c.list, list.Name)})
	}

	if err := c.touchList(ctx); err != nil {
		findings = append(findings, failed("the contacts of the list cannot be read (area Contact)", err))
		denied += deniedBy(err)
	} else {
		findings = append(findings, Finding{OK: true, What: "the contacts of the list can be read (area Contact)"})
	}

	events, err := c.Events(ctx)
	if err != nil {
		findings = append(findings, failed("the events of the list cannot be read (area Event)", err))
		denied += deniedBy(err)
	} else {
		findings = append(findings, Finding{OK: true, What: fmt.Sprintf("the events of the list can be read (area Event): %d", len(events))})
		for _, id := range eventIDs {
			findings = append(findings, eventFinding(id, events))
		}
	}
	if denied == 3 {
		findings = append(findings, Finding{What: "Listrak gives a token but denies every call",
			Advice: "Most likely the IP address of this worker is not allowed, or the integration was paused just now: " +
				"see Integrations → Integration Management in Listrak"})
	}
	return findings
}

// VerifyEventAccess says whether messages and what people did with them can be read, which the sync of email events needs beside what
// VerifyAccess looks at. Whether the area Reporting is allowed can only be told once a message was sent.
func (c *Client) VerifyEventAccess(ctx context.Context) []Finding {
	page, err := c.Messages(ctx, c.now().AddDate(0, 0, -30), "")
	if err != nil {
		return []Finding{failed("the messages of the list cannot be read (area Message)", err)}
	}
	findings := []Finding{{OK: true, What: fmt.Sprintf("the messages of the list can be read (area Message): %d in 30 days", len(page.Messages))}}
	if len(page.Messages) == 0 {
		return findings
	}
	if _, err := c.Summary(ctx, page.Messages[0].Ref); err != nil {
		return append(findings, failed("what people did with messages cannot be read (area Reporting)", err))
	}
	return append(findings, Finding{OK: true, What: "what people did with messages can be read (area Reporting)"})
}

func eventFinding(id int, events []Event) Finding {
	for _, event := range events {
		if event.ID != id {
			continue
		}
		if event.Active {
			return Finding{OK: true, What: fmt.Sprintf("event %d is %q and active", id, event.Name)}
		}
		return Finding{What: fmt.Sprintf("event %d (%q) is blocked", id, event.Name),
			Advice: "Activate the event in Listrak, or choose another with `merchant set`"}
	}
	return Finding{What: fmt.Sprintf("event %d does not exist on the list", id),
		Advice: "See `merchant events` and set the subscription points again with `merchant set`"}
}

// failed words a failure as a finding.
func failed(what string, err error) Finding {
	f := failure.As(err)
	if f == nil {
		return Finding{What: what, Advice: "Try again later"}
	}
	if f.Code != "" {
		what += " (" + f.Code + ")"
	}
	advice := f.Advice
	if advice == "" {
		advice = "Try again later"
	}
	return Finding{What: what, Advice: advice}
}

// deniedBy counts a call that was denied although the token was good.
func deniedBy(err error) int {
	f := failure.As(err)
	if f == nil {
		return 0
	}
	switch f.Code {
	case "ERROR_UNAUTHORIZED", httpCode(http.StatusUnauthorized), httpCode(http.StatusForbidden):
		return 1
	default:
		return 0
	}
}
