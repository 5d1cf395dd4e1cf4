package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/concordsync/concord/internal/consent"
)

// Kind is what happened. The values are stored.
type Kind string

const (
	// Seen: a side reported a state. Decided: the decision changed. Dropped: a report was not followed; Reason says why.
	Seen    Kind = "seen"
	Decided Kind = "decided"
	Dropped Kind = "dropped"
	// Held, SettledPoint: the checkout window began, and ended with a subscription point.
	HeldBack     Kind = "held"
	SettledPoint Kind = "settled"
	// The life of a delivery.
	Claimed   Kind = "claimed"
	Delivered Kind = "delivered"
	Refused   Kind = "refused"
	Awaiting  Kind = "awaiting"
	Failed    Kind = "failed"
	Disputed  Kind = "disputed"
	// Contested: somebody keeps undoing our deliveries, so that a yes is not heard until after Date.
	Contested Kind = "contested"
	// Retried: what had ended badly is owed again, because a person asked for it.
	Retried Kind = "retried"
	// Stopped: the delivery would resubscribe more people than the limit allows, and waits for an operator (I10).
	Stopped Kind = "stopped"
	// Released: the limit was raised, and who was stopped is owed again as far as it reaches.
	Released Kind = "released"
	// Redacted: all that was known was erased, of the subject or, in a line of the merchant, of everybody.
	Redacted Kind = "redacted"
	// Shown: brought to the operator's notice, nothing done.
	Shown Kind = "shown"
	// Lines of the merchant.
	Switched        Kind = "switched"
	MerchantAdded   Kind = "merchant added"
	MerchantChanged Kind = "merchant changed"
	MerchantRemoved Kind = "merchant removed"
	StateChanged    Kind = "state changed"
	// Approved: an operator lets Count people be resubscribed who are stopped; each of them has a line of reason Resubscribed too.
	// AlarmRaised: Count people were unsubscribed within 24 hours.
	Approved    Kind = "approved"
	AlarmRaised Kind = "alarm"
)

// Reason says why. The values are stored; callers define their own beside these.
type Reason string

const (
	// Resubscribed marks a Claimed line that turns a person from unsubscribed to subscribed, whom the limit counts (I10), and the Approved
	// line of a person. For 24 hours the limit lets who has such a line pass, again.
	Resubscribed Reason = "resubscribed"
	// NewCredentials marks a MerchantChanged line with which credentials came.
	NewCredentials Reason = "credentials"
	// ManyUnsubscribed marks an AlarmRaised line.
	ManyUnsubscribed Reason = "many_unsubscribed"
)

// NoSide is the Side of a line that concerns none.
const NoSide consent.Side = 255

// Line is one line of the journal: numbers, constants and ids, never an address or a name. A Code or Ref that holds an @ is
// withheld, because a side's code could quote an address.
type Line struct {
	// At is set by the ledger: the database's clock in the transaction that wrote the line.
	At consent.Instant
	// Channel and Subject are zero for lines of the merchant.
	Channel consent.Channel
	Subject consent.Subject
	// Side is consent.Shopify when left zero; use NoSide for lines that concern none.
	Side   consent.Side
	Kind   Kind
	Reason Reason
	State  consent.State
	// Date is the date of the decision or report.
	Date  consent.Instant
	Point consent.Point
	// Code is the side's code.
	Code string
	Sync consent.Sync
	// Ref is the side's own id of the person, or the order's.
	Ref string
	// Count is for lines that are about many.
	Count int64
}

// Append writes lines that belong to no change.
func (l *Ledger) Append(ctx context.Context, merchant string, lines ...Line) error {
	return l.transact(ctx, "append to the journal", func(t *transaction) error { return t.journal(ctx, merchant, lines) })
}

// Journal returns the lines of a subject, or with a zero channel and subject those of the merchant, oldest first.
func (l *Ledger) Journal(ctx context.Context, merchant string, channel consent.Channel, subject consent.Subject) ([]Line, error) {
	var lines []Line
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		line := Line{Channel: channel, Subject: subject}
		err := rows.Scan(&line.At, &line.Side, &line.Kind, &line.Reason, &line.State, &line.Date, &line.Point, &line.Code, &line.Sync,
			&line.Ref, &line.Count)
		lines = append(lines, line)
		return err
	}, `SELECT at, side, kind, reason, state, dated, point, code, sync, ref, amount FROM journal
		WHERE merchant = $1 AND channel = $2 AND subject = $3 ORDER BY at, version, line`, merchant, int64(channel), subject[:])
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", explain(err))
	}
	return lines, nil
}

// journalLine is a line with its place among those of one moment.
type journalLine struct {
	Line
	version int64
	number  int
}

// journal writes lines that belong to no version of a subject.
func (t *transaction) journal(ctx context.Context, merchant string, lines []Line) error {
	numbered := make([]journalLine, len(lines))
	for i, line := range lines {
		numbered[i] = journalLine{Line: line, number: i}
	}
	return t.writeJournal(ctx, merchant, numbered)
}

func (t *transaction) writeJournal(ctx context.Context, merchant string, lines []journalLine) error {
	if len(lines) == 0 {
		return nil
	}
	now, err := t.now(ctx)
	if err != nil {
		return err
	}
	const columns = 16
	args := make([]any, 0, len(lines)*columns)
	for i := range lines {
		line := &lines[i]
		args = append(args, merchant, int64(line.Channel), line.Subject[:], int64(now), line.version, int64(line.number),
			int64(line.Side), string(line.Kind), withoutAddress(string(line.Reason)), int64(line.State), int64(line.Date), int64(line.Point),
			withoutAddress(line.Code), string(line.Sync), withoutAddress(line.Ref), line.Count)
	}
	return t.insert(ctx, `INSERT INTO journal
		(merchant, channel, subject, at, version, line, side, kind, reason, state, dated, point, code, sync, ref, amount)`,
		columns, args, "", nil)
}

// withoutAddress keeps a text only if it cannot hold an email address.
func withoutAddress(s string) string {
	if strings.ContainsRune(s, '@') {
		return "(withheld)"
	}
	return text(s)
}
