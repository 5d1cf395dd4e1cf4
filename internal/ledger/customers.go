package ledger

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/concordsync/concord/internal/consent"
)

// Customer is a Shopify customer as last read: which subject stands behind it on each channel.
type Customer struct {
	// ID is the Shopify GID.
	ID string
	// UpdatedAt is the customer's updatedAt as that read showed it; an older one never replaces a newer.
	UpdatedAt consent.Instant
	// Email and SMS are zero when the customer has no address on the channel.
	Email, SMS consent.Subject
}

// KnownCustomers returns those of ids that were seen before. Ids of Save's Batch.Customers land here.
func (l *Ledger) KnownCustomers(ctx context.Context, merchant string, ids []string) (map[string]Customer, error) {
	known := make(map[string]Customer, len(ids))
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = text(id)
	}
	err := in(ctx, l.dialect, l.reads, "SELECT customer, updated_at, email, sms FROM customers WHERE merchant = $1 AND customer ",
		[]any{merchant}, list, "", func(rows *sql.Rows) error {
			var c Customer
			var email, sms []byte
			if err := rows.Scan(&c.ID, &c.UpdatedAt, &email, &sms); err != nil {
				return err
			}
			var err1, err2 error
			c.Email, err1 = subjectOf(email)
			c.SMS, err2 = subjectOf(sms)
			known[c.ID] = c
			return errors.Join(err1, err2)
		})
	if err != nil {
		return nil, fmt.Errorf("read known customers: %w", explain(err))
	}
	return known, nil
}

// saveCustomers keeps the newest of every customer, in the batch and in the ledger.
func (t *transaction) saveCustomers(ctx context.Context, merchant string, customers []Customer) error {
	sorted := slices.Clone(customers)
	for i := range sorted {
		sorted[i].ID = text(sorted[i].ID)
	}
	slices.SortStableFunc(sorted, func(a, b Customer) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), cmp.Compare(a.UpdatedAt, b.UpdatedAt))
	})
	const columns = 5
	args := make([]any, 0, len(sorted)*columns)
	for i, c := range sorted {
		if i+1 < len(sorted) && sorted[i+1].ID == c.ID {
			continue
		}
		args = append(args, merchant, c.ID, int64(c.UpdatedAt), subjectOrNull(c.Email), subjectOrNull(c.SMS))
	}
	if err := t.tellOfNewOwners(ctx, merchant, sorted); err != nil {
		return err
	}
	return t.insert(ctx, "INSERT INTO customers (merchant, customer, updated_at, email, sms)", columns, args,
		`ON CONFLICT (merchant, customer) DO UPDATE SET updated_at = excluded.updated_at, email = excluded.email, sms = excluded.sms
		WHERE excluded.updated_at >= customers.updated_at`, nil)
}

// tellOfNewOwners makes those due whose address now stands with another customer: what Shopify was told of their events stands with the former.
// Their version rises, so that a telling under way does not settle them. A customer who had another address before has the fields of that one,
// which are overwritten even where nothing is known of the new one. Nothing else sees to either: who belonged to nobody is not asked for again.
func (t *transaction) tellOfNewOwners(ctx context.Context, merchant string, customers []Customer) error {
	// Most merchants have no events, and of the others most batches bring no new owner: consent must not pay for them, nor wait for the locks
	// of an intake of thousands of people.
	if len(customers) == 0 {
		return nil
	}
	engaged := false
	if err := t.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM engagement_people WHERE merchant = $1)", merchant).Scan(&engaged); err != nil || !engaged {
		return err
	}
	ids := make([]string, len(customers))
	for i, c := range customers {
		ids[i] = c.ID
	}
	had := map[string]Customer{}
	if err := in(ctx, t.ledger.dialect, t, "SELECT customer, email, sms FROM customers WHERE merchant = $1 AND customer ", []any{merchant}, ids, "",
		func(rows *sql.Rows) error {
			var c Customer
			var email, sms []byte
			if err := rows.Scan(&c.ID, &email, &sms); err != nil {
				return err
			}
			var err1, err2 error
			c.Email, err1 = subjectOf(email)
			c.SMS, err2 = subjectOf(sms)
			had[c.ID] = c
			return errors.Join(err1, err2)
		}); err != nil {
		return err
	}
	owned := map[consent.Subject]owner{}
	var asked []consent.Subject
	for _, c := range customers {
		before := had[c.ID]
		for _, o := range []owner{{consent.Email, c.Email, before.Email}, {consent.SMS, c.SMS, before.SMS}} {
			if o.subject != (consent.Subject{}) && o.subject != o.before {
				owned[o.subject] = o
				asked = append(asked, o.subject)
				if o.before != (consent.Subject{}) {
					asked = append(asked, o.before)
				}
			}
		}
	}
	if len(asked) == 0 {
		return nil
	}
	// told, of those who have a record: whether Shopify may have been told of them.
	told := map[consent.Subject]bool{}
	if err := in(ctx, t.ledger.dialect, t, "SELECT subject, told FROM engagement_people WHERE merchant = $1 AND subject ", []any{merchant},
		subjectBytes(asked), "", func(rows *sql.Rows) error {
			var raw, text []byte
			if err := rows.Scan(&raw, &text); err != nil {
				return err
			}
			subject, err := subjectOf(raw)
			told[subject] = len(text) > 0
			return err
		}); err != nil {
		return err
	}
	now, err := t.now(ctx)
	if err != nil {
		return err
	}
	return t.makeOwnersDue(ctx, merchant, owned, told, now)
}

// owner is a customer who has a new address on a channel.
type owner struct {
	channel         consent.Channel
	subject, before consent.Subject
}

func (t *transaction) makeOwnersDue(ctx context.Context, merchant string, owned map[consent.Subject]owner, told map[consent.Subject]bool,
	now consent.Instant,
) error {
	var due, foreign []consent.Subject
	var args []any
	const columns = 8
	subjects := slices.SortedFunc(maps.Keys(owned), func(a, b consent.Subject) int { return bytes.Compare(a[:], b[:]) })
	for _, subject := range subjects {
		o := owned[subject]
		_, known := told[subject]
		switch {
		case told[o.before] && known:
			foreign = append(foreign, subject)
		case told[o.before]:
			args = append(args, merchant, int64(o.channel), subject[:], 1, []byte{}, []byte(ForeignFields), int64(now), 0)
		case known:
			due = append(due, subject)
		}
	}
	// An intake may have made the row meanwhile. excluded.told is ForeignFields, which has the bytes of ErasedEngagement: who was erased stays so.
	if err := t.insert(ctx, "INSERT INTO engagement_people (merchant, channel, subject, version, record, told, due_at, unsure)", columns, args,
		`ON CONFLICT (merchant, subject) DO UPDATE SET version = engagement_people.version + 1, told = excluded.told, due_at = excluded.due_at
		WHERE engagement_people.record <> excluded.told`, nil); err != nil {
		return err
	}
	if err := in(ctx, t.ledger.dialect, t, `UPDATE engagement_people SET version = version + 1, told = $1, due_at = $2
		WHERE merchant = $3 AND record <> $4 AND subject `, []any{[]byte(ForeignFields), int64(now), merchant, []byte(ErasedEngagement)},
		subjectBytes(foreign), "", nil); err != nil {
		return err
	}
	return in(ctx, t.ledger.dialect, t, `UPDATE engagement_people SET version = version + 1, due_at = $1 WHERE merchant = $2 AND record <> $3 AND subject `,
		[]any{int64(now), merchant, []byte(ErasedEngagement)}, subjectBytes(due), "", nil)
}
