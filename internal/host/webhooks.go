package host

import (
	"context"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/workflows"
)

// Teller tells workflows what the webhook door has found. Losing a call costs only time: the rounds find out too.
type Teller struct {
	Temporal client.Client
}

// Order tells the open window of a held consent of an order, by its GID.
func (t Teller) Order(ctx context.Context, merchant string, held ledger.Held, order string, createdAt time.Time) error {
	return workflows.SignalOrder(ctx, t.Temporal, activities.WindowID(merchant, held), workflows.OrderSignal{Order: order, CreatedAt: createdAt})
}

// Nudge tells a merchant's workflow that hints wait in the ledger.
func (t Teller) Nudge(ctx context.Context, merchant string) error { return workflows.SignalNudge(ctx, t.Temporal, merchant) }
