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
	return t.insert(ctx, "INSERT INTO customers (merchant, customer, updated_at, email, sms)", columns, args,
		`ON CONFLICT (merchant, customer) DO UPDATE SET updated_at = excluded.updated_at, email = excluded.email, sms = excluded.sms
		WHERE excluded.updated_at >= customers.updated_at`, nil)
}
