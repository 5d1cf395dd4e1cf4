package simulation

import (
	"fmt"
	"strings"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// kept is what the ledger holds of an address.
func (o *watch) kept(l *life) (ledger.Entry, []ledger.Line, error) {
	w := o.world
	subject := subjectOf(l.address)
	entries, err := w.book.Load(w.context, merchantID, l.channel, []consent.Subject{subject})
	if err != nil {
		return ledger.Entry{}, nil, err
	}
	lines, err := w.book.Journal(w.context, merchantID, l.channel, subject)
	return entries[subject], lines, err
}

func (o *watch) entry(l *life) (ledger.Entry, string) {
	w := o.world
	entry, lines, err := o.kept(l)
	if err != nil {
		return entry, err.Error()
	}
	var b strings.Builder
	for _, line := range lines {
		date := "-"
		if line.Date != 0 {
			date = o.clock(line.Date.Time())
		}
		fmt.Fprintf(&b, "  %9.3fs %-8s %-10s %-18s %-14s dated %s %s %s\n", line.At.Time().Sub(w.began).Seconds(), line.Side, line.Kind, line.Reason,
			line.State, date, line.Point, line.Code)
	}
	for _, side := range consent.Sides {
		for _, d := range entry.Record.Sent[side] {
			if d.State != consent.Unseen {
				fmt.Fprintf(&b, "  sent to %s: %s of %s, %s to %s, ended %s, spent %t\n", side, d.State, o.clock(d.Decision.Time()), o.clock(d.Started.Time()),
					o.clock(d.Deadline.Time()), d.Outcome, d.Spent)
			}
		}
	}
	return entry, b.String()
}
