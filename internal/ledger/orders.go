package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/concordsync/concord/internal/consent"
)

// Order is an order that may decide a subscription point before its consent is known.
type Order struct {
	// ID and Customer are Shopify GIDs; Customer is empty for a guest.
	ID, Customer string
	// Email is the subject of the order's address, zero when it has none.
	Email     consent.Subject
	CreatedAt consent.Instant
	// Until is when it may be forgotten.
	Until consent.Instant
}

// RememberOrder keeps an order until its Until. The same order again changes nothing but the later Until.
func (l *Ledger) RememberOrder(ctx context.Context, merchant string, order Order) error {
	return l.transact(ctx, "remember order", func(t *transaction) error {
		_, err := t.ExecContext(ctx, `INSERT INTO orders (merchant, order_id, customer, email, created_at, until)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (merchant, order_id) DO UPDATE SET until = excluded.until
			WHERE excluded.until > orders.until`,
			merchant, text(order.ID), text(order.Customer), subjectOrNull(order.Email), int64(order.CreatedAt), int64(order.Until))
		return err
	})
}

// OrdersRemembered returns orders of the customer or of the address, created from..to, both ends inside, oldest first. An empty
// customer and a zero email match nothing.
func (l *Ledger) OrdersRemembered(ctx context.Context, merchant, customer string, email consent.Subject, from, to consent.Instant,
) ([]Order, error) {
	var list []Order
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var o Order
		var raw []byte
		if err := rows.Scan(&o.ID, &o.Customer, &raw, &o.CreatedAt, &o.Until); err != nil {
			return err
		}
		var err error
		o.Email, err = subjectOf(raw)
		list = append(list, o)
		return err
	}, `SELECT order_id, customer, email, created_at, until FROM orders
		WHERE merchant = $1 AND customer = $2 AND customer <> '' AND created_at BETWEEN $4 AND $5
		UNION SELECT order_id, customer, email, created_at, until FROM orders
		WHERE merchant = $1 AND email = $3 AND created_at BETWEEN $4 AND $5
		ORDER BY created_at, order_id`,
		merchant, text(customer), subjectOrNull(email), int64(from), int64(to))
	if err != nil {
		return nil, fmt.Errorf("read remembered orders: %w", explain(err))
	}
	return list, nil
}

// PurgeExpired forgets orders and claims whose time is over, of all merchants, and returns how many rows went.
func (l *Ledger) PurgeExpired(ctx context.Context) (int64, error) {
	var gone int64
	err := l.transact(ctx, "purge what has expired", func(t *transaction) error {
		gone = 0
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		for _, statement := range []string{"DELETE FROM orders WHERE until < $1", "DELETE FROM claims WHERE until < $1"} {
			result, err := t.ExecContext(ctx, statement, int64(now))
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			gone += n
		}
		return nil
	})
	return gone, err
}
