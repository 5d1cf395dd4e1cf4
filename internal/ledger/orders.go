package ledger

import (
	"context"

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
func (l *Ledger) RememberOrder(ctx context.Context, merchant string, order Order) error

// OrdersRemembered returns orders of the customer or of the address, created from..to, both ends inside, oldest first. An empty
// customer and a zero email match nothing.
func (l *Ledger) OrdersRemembered(ctx context.Context, merchant, customer string, email consent.Subject, from, to consent.Instant,
) ([]Order, error)

// PurgeExpired forgets orders and claims whose time is over, of all merchants, and returns how many rows went.
func (l *Ledger) PurgeExpired(ctx context.Context) (int64, error)
