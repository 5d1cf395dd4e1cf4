// Package histories reads all that Temporal keeps of a merchant, for tests that search it for what must never be there.
package histories

import (
	"context"
	"fmt"
	"strings"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"
)

// Place is one text and where it stands.
type Place struct{ Name, Text string }

// Spellings are the ways in which people and programs write a phone number of North America that is given in E.164, as far as they hold
// one another: a text that holds none of them does not hold the number.
func Spellings(phone string) []string {
	n := strings.TrimPrefix(phone, "+1")
	if len(n) != 10 {
		return []string{strings.TrimPrefix(phone, "+")}
	}
	area, exchange, line := n[:3], n[3:6], n[6:]
	spellings := []string{n} // also with 1 or +1 before it
	for _, form := range []string{"(%s) %s-%s", "(%s)%s-%s", "(%s) %s %s", "%s-%s-%s", "%s.%s.%s", "%s %s %s"} {
		spellings = append(spellings, fmt.Sprintf(form, area, exchange, line))
	}
	return spellings
}

// Holding says what of the words a place holds, with what stands around it; ok is false when it holds none. Letter case does not count.
func (p Place) Holding(words ...string) (excerpt string, ok bool) {
	const around = 80
	text := strings.ToLower(p.Text)
	for _, word := range words {
		if at := strings.Index(text, strings.ToLower(word)); at >= 0 {
			return "…" + text[max(0, at-around):min(len(text), at+len(word)+around)] + "…", true
		}
	}
	return "", false
}

// Of reads the visibility record, the description and every history event of every workflow of a merchant.
func Of(ctx context.Context, c client.Client, merchant string) ([]Place, error) {
	var places []Place
	var token []byte
	for {
		page, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: fmt.Sprintf("MerchantId = '%s'", merchant), NextPageToken: token,
		})
		if err != nil {
			return nil, fmt.Errorf("list workflows: %w", err)
		}
		for _, listed := range page.Executions {
			id, run := listed.Execution.WorkflowId, listed.Execution.RunId
			description, err := c.DescribeWorkflowExecution(ctx, id, run)
			if err != nil {
				return nil, fmt.Errorf("describe %s: %w", id, err)
			}
			places = append(places, Place{"the visibility record of " + id, protojson.Format(listed)},
				Place{"the description of " + id, protojson.Format(description)})
			events := c.GetWorkflowHistory(ctx, id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
			for events.HasNext() {
				event, err := events.Next()
				if err != nil {
					return nil, fmt.Errorf("read the history of %s: %w", id, err)
				}
				// Payloads are base64 in JSON, so the text form, which has their bytes, is added.
				places = append(places, Place{fmt.Sprintf("event %d of %s", event.EventId, id), protojson.Format(event) + event.String()})
			}
		}
		if token = page.NextPageToken; len(token) == 0 {
			return places, nil
		}
	}
}
