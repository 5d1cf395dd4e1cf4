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

// purgeRows bounds what one transaction of PurgeExpired deletes: whoever wants to write meanwhile waits that long at most.
const purgeRows = 500

// PurgeExpired forgets, of all merchants, what has run out: orders and claims whose time is over, deliveries of webhooks that Shopify does
// not try again any more, hints that nobody reads, phones that nobody has shown for long, events that are too old to come again, and the
// doors of merchants that are none. It deletes in small transactions, so that
// others come in between, and returns how many rows went.
func (l *Ledger) PurgeExpired(ctx context.Context) (int64, error) {
	var gone int64
	for _, p := range []struct {
		table, column string
		ago           consent.Span
		where         string
	}{
		{table: "orders", column: "until"},
		{table: "claims", column: "until"},
		{table: "deliveries", column: "received", ago: deliveryMemory},
		{table: "hints", column: "since", ago: hintMemory},
		{table: "unreadable_phones", column: "seen", ago: unreadableMemory},
		{table: "engagement_events", column: "received", ago: EngagementMemory},
		{table: "doors", column: "last_open", ago: doorMemory,
			where: " AND NOT EXISTS (SELECT 1 FROM merchants WHERE id = doors.merchant AND state <> 'removed')"},
	} {
		statement := "DELETE FROM " + p.table + " WHERE " + l.dialect.someRows(p.table, p.column+" < $1"+p.where+" ORDER BY "+p.column)
		for full := true; full; {
			err := l.transact(ctx, "purge what has expired", func(t *transaction) error {
				now, err := t.now(ctx)
				if err != nil {
					return err
				}
				result, err := t.ExecContext(ctx, statement, int64(now.Plus(-p.ago)), purgeRows)
				if err != nil {
					return err
				}
				n, err := result.RowsAffected()
				full = n == purgeRows
				gone += n
				return err
			})
			if err != nil {
				return gone, err
			}
		}
	}
	return gone, nil
}
