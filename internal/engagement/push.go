package engagement

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// maxPush bounds the events of a push, and with them the answer. As many good ones are longer than a body may be.
const maxPush = 10_000

// Report is what became of many events.
type Report struct {
	Taken     int `json:"taken"`
	Duplicate int `json:"duplicate"`
	// Off counts those whose kind is switched off, Read those of messages that are read from Listrak anyway.
	Off  int `json:"off"`
	Read int `json:"read_from_listrak"`
	// Refused counts those that cannot be taken in. Reasons names each of a push, in the order of the batch, and none of a file.
	Refused int      `json:"refused"`
	Reasons []Reason `json:"reasons,omitempty"`
}

// Reason is why one event was refused.
type Reason struct {
	// Index is its place in the batch, from 0; Line its line in a file, from 1.
	Index int    `json:"index"`
	Line  int    `json:"line,omitempty"`
	Why   string `json:"reason"`
	// UnknownType: a line of a file names no type that is known; Format.Types may say which one it means.
	UnknownType bool `json:"-"`
}

// count counts an event that was not refused.
func (r *Report) count(outcome Outcome) {
	switch outcome {
	case Taken:
		r.Taken++
	case Duplicate:
		r.Duplicate++
	case Off:
		r.Off++
	case Read:
		r.Read++
	}
}

// What can be wrong with a push as a whole.
var (
	// ErrNoBatch: a body is no JSON array of events, and no event either.
	ErrNoBatch = errors.New("want a JSON array of CloudEvents 1.0 events, or one such event")
	// ErrTooMany: a body has more events than are taken in at once.
	ErrTooMany = fmt.Errorf("more than %d events at once", maxPush)
)

// Push takes in a body of CloudEvents events: a batch, or a single one. One that cannot be read is told by its index, and the others go on.
// When it returns without an error everything else is kept. Errors: ErrNoBatch, ErrTooMany, and what the ledger or Shopify say, after which the
// whole may be sent again.
func (k *Keeper) Push(ctx context.Context, id string, body []byte) (Report, error) {
	var raw []json.RawMessage
	if body = bytes.TrimSpace(body); bytes.HasPrefix(body, []byte("{")) {
		raw = []json.RawMessage{body}
	} else if err := json.Unmarshal(body, &raw); err != nil || raw == nil {
		return Report{}, ErrNoBatch
	}
	if len(raw) > maxPush {
		return Report{}, ErrTooMany
	}
	var report Report
	var events []Event
	var index []int
	refuse := func(index int, why string) {
		report.Refused++
		report.Reasons = append(report.Reasons, Reason{Index: index, Why: why})
	}
	for n, text := range raw {
		event, err := ParseEvent(text)
		if err != nil {
			refuse(n, err.Error())
			continue
		}
		events, index = append(events, event), append(index, n)
	}
	results, err := k.TakeIn(ctx, id, events)
	if err != nil {
		return Report{}, err
	}
	for n, result := range results {
		if result.Outcome == Refused {
			refuse(index[n], result.Reason)
			continue
		}
		report.count(result.Outcome)
	}
	slices.SortFunc(report.Reasons, func(a, b Reason) int { return a.Index - b.Index })
	return report, nil
}
