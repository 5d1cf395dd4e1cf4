package simulation

import (
	"fmt"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

func (o *watch) entry(l *life) (ledger.Entry, string) {
	w := o.world
	subject := consent.SubjectOf(subjectKey, merchantID, consent.Email, l.address)
	entries, err := w.book.Load(w.context, merchantID, consent.Email, []consent.Subject{subject})
	if err != nil {
		return ledger.Entry{}, err.Error()
	}
	lines, err := w.book.Journal(w.context, merchantID, consent.Email, subject)
	if err != nil {
		return ledger.Entry{}, err.Error()
	}
	entry := entries[subject]
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

var _ = time.Second
