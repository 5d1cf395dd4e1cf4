package engagement

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
)

// maxReasons bounds how many refused events a report names; the others are counted.
const maxReasons = 100

// Report is what became of many events.
type Report struct {
	Taken     int `json:"taken"`
	Duplicate int `json:"duplicate"`
	// Off counts those whose kind is switched off, Read those of messages that are read from Listrak anyway.
	Off  int `json:"off"`
	Read int `json:"read_from_listrak"`
	// Refused counts those that cannot be taken in, of which Reasons names the first hundred.
	Refused int      `json:"refused"`
	Reasons []Reason `json:"reasons,omitempty"`
}

// Reason is why one event was refused.
type Reason struct {
	// Index is its place in the batch, from 0; Line its line in a file, from 1.
	Index int    `json:"index"`
	Line  int    `json:"line,omitempty"`
	Why   string `json:"reason"`
}

func (r *Report) add(result Result, reason Reason) {
	switch result.Outcome {
	case Taken:
		r.Taken++
	case Duplicate:
		r.Duplicate++
	case Off:
		r.Off++
	case Read:
		r.Read++
	default:
		r.Refused++
		if reason.Why = result.Reason; len(r.Reasons) < maxReasons {
			r.Reasons = append(r.Reasons, reason)
		}
	}
}

// ErrNoBatch: a body is no JSON array of events, and no event either.
var ErrNoBatch = errors.New("want a JSON array of CloudEvents 1.0 events")

// Push takes in a body of CloudEvents events: a batch, or a single one. One that cannot be read is told by its index, and the others go on.
// When it returns without an error everything else is kept. Errors: ErrNoBatch, and what the ledger or Shopify say, after which the whole
// may be sent again.
func (k *Keeper) Push(ctx context.Context, id string, body []byte) (Report, error) {
	var raw []json.RawMessage
	if body = bytes.TrimSpace(body); bytes.HasPrefix(body, []byte("{")) {
		raw = []json.RawMessage{body}
	} else if err := json.Unmarshal(body, &raw); err != nil || raw == nil {
		return Report{}, ErrNoBatch
	}
	var report Report
	var events []Event
	var index []int
	for n, text := range raw {
		event, err := ParseEvent(text)
		if err != nil {
			report.add(Result{Reason: err.Error()}, Reason{Index: n})
			continue
		}
		events, index = append(events, event), append(index, n)
	}
	results, err := k.TakeIn(ctx, id, events)
	if err != nil {
		return Report{}, err
	}
	for n, result := range results {
		report.add(result, Reason{Index: index[n]})
	}
	return report, nil
}
