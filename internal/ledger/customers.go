package ledger

import (
	"context"

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
func (l *Ledger) KnownCustomers(ctx context.Context, merchant string, ids []string) (map[string]Customer, error)
