package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
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
// Their version rises, so that a telling under way does not settle them.
func (t *transaction) tellOfNewOwners(ctx context.Context, merchant string, customers []Customer) error {
	ids := make([]string, len(customers))
	for i, c := range customers {
		ids[i] = c.ID
	}
	type owner struct {
		id      string
		subject consent.Subject
	}
	had := map[owner]bool{}
	if err := in(ctx, t.ledger.dialect, t, "SELECT customer, email, sms FROM customers WHERE merchant = $1 AND customer ", []any{merchant}, ids, "",
		func(rows *sql.Rows) error {
			var id string
			var email, sms []byte
			if err := rows.Scan(&id, &email, &sms); err != nil {
				return err
			}
			for _, raw := range [][]byte{email, sms} {
				subject, err := subjectOf(raw)
				if err != nil {
					return err
				}
				had[owner{id, subject}] = true
			}
			return nil
		}); err != nil {
		return err
	}
	var news []consent.Subject
	for _, c := range customers {
		for _, subject := range []consent.Subject{c.Email, c.SMS} {
			if subject != (consent.Subject{}) && !had[owner{c.ID, subject}] {
				news = append(news, subject)
			}
		}
	}
	if len(news) == 0 {
		return nil
	}
	now, err := t.now(ctx)
	if err != nil {
		return err
	}
	return in(ctx, t.ledger.dialect, t, `UPDATE engagement_people SET version = version + 1, due_at = $1 WHERE merchant = $2 AND record <> $3 AND subject `,
		[]any{int64(now), merchant, []byte(ErasedEngagement)}, subjectBytes(news), "", nil)
}
