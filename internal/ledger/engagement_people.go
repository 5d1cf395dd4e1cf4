package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/concordsync/concord/internal/consent"
)

// ToldPeopleCursor holds when Shopify was last told of people, in RFC 3339: it tells of each customer as of one who has changed.
const ToldPeopleCursor = "engagement.told"

// DuePerson is somebody of whom Shopify may have to be told.
type DuePerson struct {
	EngagedPerson
	Version int64
	// Told is what Shopify was told last, opaque; empty for nothing. Unsure: a call of unknown end may have overwritten it.
	Told   []byte
	Unsure bool
	// Customer is the Shopify customer behind the subject; empty when none is known.
	Customer string
}

// EngagedPeopleDue are the people of a channel who are due by now, the longest due first.
func (l *Ledger) EngagedPeopleDue(ctx context.Context, merchant string, channel consent.Channel, now consent.Instant, limit int) ([]DuePerson, error) {
	column := map[consent.Channel]string{consent.Email: "email", consent.SMS: "sms"}[channel]
	var due []DuePerson
	var last *DuePerson
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var p DuePerson
		var raw sql.RawBytes
		var unsure int64
		var customer sql.NullString
		if err := rows.Scan(&raw, &p.Version, &p.Record, &p.Told, &unsure, &customer); err != nil {
			return err
		}
		subject, err := subjectOf(raw)
		if err != nil {
			return err
		}
		p.Subject, p.Customer, p.Unsure = subject, customer.String, unsure > 0
		if last != nil && last.Subject == subject {
			// An address that went from one customer to another: the one that was updated last comes first.
			return nil
		}
		due = append(due, p)
		last = &due[len(due)-1]
		return nil
	}, `SELECT p.subject, p.version, p.record, p.told, p.unsure, c.customer FROM (
			SELECT merchant, subject, version, record, told, unsure, due_at FROM engagement_people
			WHERE merchant = $1 AND channel = $2 AND due_at > 0 AND due_at <= $3 ORDER BY due_at LIMIT $4) p
		LEFT JOIN customers c ON c.merchant = p.merchant AND c.`+column+` = p.subject ORDER BY p.due_at, p.subject, c.updated_at DESC`,
		merchant, int64(channel), int64(now), limit)
	if err != nil {
		return nil, fmt.Errorf("read people who are due: %w", explain(err))
	}
	return due, nil
}

// ToldPerson is what Shopify has been told of somebody.
type ToldPerson struct {
	Subject consent.Subject
	// Version is that of the record which was told: if it has changed since, the person stays due.
	Version int64
	Told    []byte
	// DueAt is when the person is due again, zero for only when something happens.
	DueAt consent.Instant
	// Later, unless zero, says that Shopify was not told, and when to try again; Told then does not count.
	Later consent.Instant
	// Unsure, unless zero, says that nobody knows whether Shopify was told, and until when the call may still take effect; Told is what it
	// was told before.
	Unsure consent.Instant
}

// ToldPeople remembers what Shopify has been told of people. ErrFenced when lease has been taken over.
func (l *Ledger) ToldPeople(ctx context.Context, lease RunLease, channel consent.Channel, people []ToldPerson) error {
	people = slices.Clone(people)
	slices.SortFunc(people, func(a, b ToldPerson) int { return bytes.Compare(a.Subject[:], b.Subject[:]) })
	return l.transact(ctx, "remember people who were told of", func(t *transaction) error {
		if err := t.fence(ctx, lease); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		for i := range people {
			p := &people[i]
			if p.Unsure != 0 {
				if _, err := t.ExecContext(ctx, `UPDATE engagement_people SET due_at = $1, unsure = CASE WHEN unsure < $1 THEN $1 ELSE unsure END
					WHERE merchant = $2 AND subject = $3 AND channel = $4 AND record <> $5`,
					int64(p.Unsure), lease.Merchant, p.Subject[:], int64(channel), []byte(ErasedEngagement)); err != nil {
					return err
				}
				continue
			}
			if p.Later != 0 {
				if _, err := t.ExecContext(ctx, `UPDATE engagement_people SET due_at = $1 WHERE merchant = $2 AND subject = $3 AND channel = $4
					AND version = $5 AND record <> $6`,
					int64(p.Later), lease.Merchant, p.Subject[:], int64(channel), p.Version, []byte(ErasedEngagement)); err != nil {
					return err
				}
				continue
			}
			if _, err := t.ExecContext(ctx, `UPDATE engagement_people SET told = $1, unsure = CASE WHEN unsure > $2 THEN unsure ELSE 0 END,
				due_at = CASE WHEN version <> $3 THEN due_at WHEN unsure > $2 THEN unsure ELSE $4 END
				WHERE merchant = $5 AND subject = $6 AND channel = $7 AND record <> $8`,
				notNull(p.Told), int64(now), p.Version, int64(p.DueAt), lease.Merchant, p.Subject[:], int64(channel), []byte(ErasedEngagement)); err != nil {
				return err
			}
		}
		return nil
	})
}

// DoubtPeople is DoubtDays for people of a channel.
func (l *Ledger) DoubtPeople(ctx context.Context, merchant string, channel consent.Channel, people []consent.Subject, until consent.Instant) error {
	people = slices.Clone(people)
	slices.SortFunc(people, func(a, b consent.Subject) int { return bytes.Compare(a[:], b[:]) })
	return l.transact(ctx, "remember people in doubt", func(t *transaction) error {
		return in(ctx, t.ledger.dialect, t, `UPDATE engagement_people SET unsure = CASE WHEN unsure < $1 THEN $1 ELSE unsure END,
			due_at = CASE WHEN due_at = 0 OR due_at > $1 THEN $1 ELSE due_at END WHERE merchant = $2 AND channel = $3 AND record <> $4 AND subject `,
			[]any{int64(until), merchant, int64(channel), []byte(ErasedEngagement)}, subjectBytes(people), "", nil)
	})
}

// TellAgain makes all days and people of a channel due: what Shopify has of them may lack what it is told now. ErrFenced when lease has been
// taken over.
func (l *Ledger) TellAgain(ctx context.Context, lease RunLease, channel consent.Channel) error {
	if err := l.transact(ctx, "tell of days again", func(t *transaction) error {
		if err := t.fence(ctx, lease); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `UPDATE engagement_days SET due_at = $1 WHERE merchant = $2 AND (due_at = 0 OR due_at > $1)
			AND ref IN (SELECT ref FROM engagement_messages WHERE merchant = $2 AND channel = $3)`, int64(now), lease.Merchant, int64(channel))
		return err
	}); err != nil {
		return err
	}
	// In small transactions: there may be a million people, and consent has to get in between.
	var last []byte
	for more := true; more; {
		if err := l.transact(ctx, "tell of people again", func(t *transaction) error {
			if err := t.fence(ctx, lease); err != nil {
				return err
			}
			now, err := t.now(ctx)
			if err != nil {
				return err
			}
			var subjects [][]byte
			if err := each(ctx, t, func(rows *sql.Rows) error {
				var subject []byte
				err := rows.Scan(&subject)
				subjects = append(subjects, subject)
				return err
			}, "SELECT subject FROM engagement_people WHERE merchant = $1 AND channel = $2 AND subject > $3 ORDER BY subject LIMIT $4",
				lease.Merchant, int64(channel), notNull(last), tellAgainChunk); err != nil {
				return err
			}
			if more = len(subjects) == tellAgainChunk; len(subjects) == 0 {
				return nil
			}
			last = subjects[len(subjects)-1]
			return in(ctx, t.ledger.dialect, t, `UPDATE engagement_people SET due_at = $1 WHERE merchant = $2 AND (due_at = 0 OR due_at > $1)
				AND record <> $3 AND subject `, []any{int64(now), lease.Merchant, []byte(ErasedEngagement)}, subjects, "", nil)
		}); err != nil {
			return err
		}
	}
	return nil
}

// tellAgainChunk is how many people one transaction of TellAgain makes due.
const tellAgainChunk = 1000

// EngagedPerson returns what is kept of somebody's events; the zero Record when nothing is.
func (l *Ledger) EngagedPerson(ctx context.Context, merchant string, subject consent.Subject) (EngagedPerson, error) {
	p := EngagedPerson{Subject: subject}
	err := each(ctx, l.reads, func(rows *sql.Rows) error { return rows.Scan(&p.Record) },
		"SELECT record FROM engagement_people WHERE merchant = $1 AND subject = $2", merchant, subject[:])
	if err != nil {
		return p, fmt.Errorf("read the events of a person: %w", explain(err))
	}
	return p, nil
}

// eraseEngaged erases what is kept of people's events; what remains says only that nothing more is to be kept. The totals of the days stay:
// they are about nobody.
func (t *transaction) eraseEngaged(ctx context.Context, merchant string, channel consent.Channel, subjects []consent.Subject) error {
	return in(ctx, t.ledger.dialect, t, `UPDATE engagement_people SET version = version + 1, record = $1, told = $2, due_at = 0
		WHERE merchant = $3 AND channel = $4 AND subject `, []any{[]byte(ErasedEngagement), []byte{}, merchant, int64(channel)},
		subjectBytes(subjects), "", nil)
}

// eraseEngagement erases all events of a merchant, in small transactions.
func (l *Ledger) eraseEngagement(ctx context.Context, merchant string) error {
	for _, of := range []struct{ table, key string }{
		{"engagement_people", "subject"}, {"engagement_events", "event"}, {"engagement_days", "ref"}, {"engagement_messages", "ref"},
	} {
		for more := true; more; {
			if err := l.transact(ctx, "erase the events of a merchant", func(t *transaction) error {
				result, err := t.ExecContext(ctx, "DELETE FROM "+of.table+" WHERE "+l.dialect.someRows(of.table, "merchant = $1 ORDER BY "+of.key),
					merchant, eraseChunk)
				if err != nil {
					return err
				}
				n, err := result.RowsAffected()
				more = n == eraseChunk
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}
