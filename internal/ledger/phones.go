package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/concordsync/concord/internal/consent"
)

// Unreadable is a phone number of a side that cannot be brought into the form in which numbers are compared.
type Unreadable struct {
	Side consent.Side
	// Ref is the Shopify customer's GID; empty at Listrak, where a number is its own id.
	Ref string
	// Phone is the keyed hash of the text, Sealed the text.
	Phone  consent.Subject
	Sealed []byte
	// Seen is when it was read last, to the day; Save sets it.
	Seen consent.Instant
}

const (
	// unreadableAgain is how old Seen may become: a poll reads the same list again and again, and must not write each time.
	unreadableAgain = 24 * consent.Hour
	// unreadableMemory is how long a number is listed that no read has brought again. Customers of Shopify are read when they change.
	unreadableMemory = 90 * 24 * consent.Hour
)

// saveUnreadable notes phones that cannot be read, and forgets those of customers who were asked anew.
func (t *transaction) saveUnreadable(ctx context.Context, merchant string, asked []string, found []Unreadable) error {
	if len(asked) > 0 {
		refs := make([]string, len(asked))
		for i, customer := range asked {
			refs[i] = text(customer)
		}
		slices.Sort(refs)
		if err := in(ctx, t.ledger.dialect, t, "DELETE FROM unreadable_phones WHERE merchant = $1 AND side = $2 AND ref ",
			[]any{merchant, int64(consent.Shopify)}, refs, "", nil); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		return nil
	}
	now, err := t.now(ctx)
	if err != nil {
		return err
	}
	const columns = 6
	args := make([]any, 0, len(found)*columns)
	type key struct {
		side  consent.Side
		ref   string
		phone consent.Subject
	}
	noted := make(map[key]bool, len(found))
	for _, u := range found {
		// One statement cannot write a row twice.
		k := key{u.Side, u.Ref, u.Phone}
		if noted[k] {
			continue
		}
		noted[k] = true
		args = append(args, merchant, int64(u.Side), text(u.Ref), u.Phone[:], notNull(u.Sealed), int64(now))
	}
	return t.insert(ctx, "INSERT INTO unreadable_phones (merchant, side, ref, phone, sealed, seen)", columns, args,
		`ON CONFLICT (merchant, side, ref, phone) DO UPDATE SET seen = excluded.seen
		WHERE unreadable_phones.seen < excluded.seen - `+fmt.Sprint(int64(unreadableAgain)), nil)
}

// UnreadablePhones lists those of a merchant, the ones seen last first.
func (l *Ledger) UnreadablePhones(ctx context.Context, merchant string, limit int) ([]Unreadable, error) {
	return l.unreadablePhones(ctx, "merchant = $1 ORDER BY seen DESC, side, ref, phone LIMIT $2", merchant, limit)
}

func (l *Ledger) unreadablePhones(ctx context.Context, where string, args ...any) ([]Unreadable, error) {
	var list []Unreadable
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var u Unreadable
		var phone []byte
		if err := rows.Scan(&u.Side, &u.Ref, &phone, &u.Sealed, &u.Seen); err != nil {
			return err
		}
		var err error
		u.Phone, err = subjectOf(phone)
		list = append(list, u)
		return err
	}, "SELECT side, ref, phone, sealed, seen FROM unreadable_phones WHERE "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read unreadable phones: %w", explain(err))
	}
	return list, nil
}

// MarkListed remembers that a reading of a whole list that began at has shown these subjects. Those who are not known are left out.
func (l *Ledger) MarkListed(ctx context.Context, merchant string, channel consent.Channel, subjects []consent.Subject, at consent.Instant) error {
	if len(subjects) == 0 {
		return nil
	}
	sorted := subjectBytes(subjects)
	slices.SortFunc(sorted, slices.Compare)
	return l.transact(ctx, "mark who is listed", func(t *transaction) error {
		return in(ctx, t.ledger.dialect, t, "UPDATE subjects SET listed = $1 WHERE merchant = $2 AND channel = $3 AND listed < $1 AND subject ",
			[]any{int64(at), merchant, int64(channel)}, sorted, "", nil)
	})
}

// NotListed returns those of the subjects that were not marked as listed since then, known or not.
func (l *Ledger) NotListed(ctx context.Context, merchant string, channel consent.Channel, subjects []consent.Subject, since consent.Instant,
) ([]consent.Subject, error) {
	listed := make(map[consent.Subject]bool, len(subjects))
	err := in(ctx, l.dialect, l.reads, "SELECT subject FROM subjects WHERE merchant = $1 AND channel = $2 AND listed >= $3 AND subject ",
		[]any{merchant, int64(channel), int64(since)}, subjectBytes(subjects), "", func(rows *sql.Rows) error {
			var raw []byte
			if err := rows.Scan(&raw); err != nil {
				return err
			}
			subject, err := subjectOf(raw)
			listed[subject] = true
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read who is listed: %w", explain(err))
	}
	left := make([]consent.Subject, 0, len(subjects)-len(listed))
	for _, subject := range subjects {
		if !listed[subject] {
			left = append(left, subject)
		}
	}
	return left, nil
}

// Unlisted pages, in order of the hash and beginning after the given one, through subjects that were not marked as listed since then.
func (l *Ledger) Unlisted(ctx context.Context, merchant string, channel consent.Channel, since consent.Instant, after consent.Subject, limit int,
) ([]Located, error) {
	var found []Located
	err := each(ctx, l.reads, collect(&found, channel), "SELECT "+subjectColumns+` FROM subjects
		WHERE merchant = $1 AND channel = $2 AND subject > $3 AND listed < $4 ORDER BY subject LIMIT $5`,
		merchant, int64(channel), after[:], int64(since), limit)
	if err != nil {
		return nil, fmt.Errorf("read who is not listed: %w", explain(err))
	}
	return found, nil
}
