package reconcile

import (
	"context"
	"fmt"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// Retried is one delivery that is owed again on request.
type Retried struct {
	Subject consent.Subject
	// Side is ledger.NoSide where the person was contested and no side was left alone yet.
	Side consent.Side
	// Was says how the delivery had ended, and Is what the side is owed now: mostly Owed.
	Was, Is  consent.Debt
	Decision consent.Decision
	// Code is the side's code of the last try.
	Code string
}

// Retry makes owed again what the sides have refused, dispute, or let somebody undo, because an operator asks for it (rule 17): the next
// round delivers it. It calls nobody and decides nothing. Subjects of whom nothing of that holds are left out of the answer.
func (e *Engine) Retry(ctx context.Context, merchant string, channel consent.Channel, subjects []consent.Subject) ([]Retried, error) {
	var all []Retried
	for range maxRaces {
		entries, err := e.records().Load(ctx, merchant, channel, subjects)
		if err != nil {
			return all, fmt.Errorf("load records: %w", err)
		}
		var changes []ledger.Change
		retried := make(map[consent.Subject][]Retried, len(entries))
		for subject, entry := range entries {
			change := ledger.Change{
				Channel: channel, Subject: subject, Version: entry.Version, Record: entry.Record, NextTry: entry.NextTry,
			}
			if retried[subject] = retry(&change, entry.Debts); retried[subject] != nil {
				changes = append(changes, change)
			}
		}
		if len(changes) == 0 {
			return all, nil
		}
		lost, err := e.records().Save(ctx, merchant, ledger.Batch{Changes: changes})
		if err != nil {
			return all, fmt.Errorf("save records: %w", err)
		}
		for _, subject := range lost {
			delete(retried, subject)
		}
		for _, subject := range subjects {
			all = append(all, retried[subject]...)
			delete(retried, subject)
		}
		if subjects = lost; len(lost) == 0 {
			return all, nil
		}
	}
	return all, errRaces
}

// retry does it for one subject, and writes it down.
func retry(change *ledger.Change, stored [2]consent.Debt) []Retried {
	before := change.Record
	var done []Retried
	note := func(side consent.Side, was consent.Debt, code string) {
		done = append(done, Retried{Subject: change.Subject, Side: side, Was: was, Decision: before.Decision, Code: code})
		change.Journal = append(change.Journal, ledger.Line{
			Side: side, Kind: ledger.Retried, Reason: ledger.Reason(was.String()), State: before.Decision.State, Date: before.Decision.At,
		})
	}
	for _, side := range consent.Sides {
		switch debt := before.DebtTo(side); debt {
		case consent.Refused, consent.Disputed, consent.Contested:
			note(side, debt, before.Sent[side][0].Code)
			change.Record = consent.Retry(change.Record, side)
			change.NextTry[side] = 0
		}
	}
	if len(done) == 0 && before.Contested() {
		note(ledger.NoSide, consent.Contested, "")
		change.Record = consent.Retry(change.Record, consent.Shopify)
	}
	change.Debts = change.Record.Debts()
	keepStops(&change.Debts, stored, &change.Record)
	for i := range done {
		if done[i].Side != ledger.NoSide {
			done[i].Is = change.Debts[done[i].Side]
		}
	}
	return done
}
