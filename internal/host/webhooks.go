package host

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/workflows"
)

// Teller tells workflows what the webhook door has found. Losing a call costs only time: the rounds find out too.
type Teller struct {
	Temporal  client.Client
	TaskQueue string
	Ledger    *ledger.Ledger
}

// Order tells the open window of a held consent of an order, by its GID. A window that is about to open, or has just ended, cannot be
// told: then it is for a drain to settle the hold.
func (t Teller) Order(ctx context.Context, merchant string, held ledger.Held, order string, createdAt time.Time) error {
	told := workflows.SignalOrder(ctx, t.Temporal, activities.WindowID(merchant, held), workflows.OrderSignal{Order: order, CreatedAt: createdAt})
	if told == nil {
		return nil
	}
	nudge, err := t.Ledger.Hint(ctx, merchant, held.Hold.Customer)
	if err != nil {
		return errors.Join(told, err)
	}
	if nudge {
		return t.Nudge(ctx, merchant)
	}
	return nil
}

// Nudge tells a merchant's workflow that hints wait in the ledger.
func (t Teller) Nudge(ctx context.Context, merchant string) error {
	return workflows.SignalNudge(ctx, t.Temporal, merchant)
}

// Privacy starts the workflow of a privacy request. The sweep starts it when this fails.
func (t Teller) Privacy(ctx context.Context, merchant, request string) error {
	_, err := workflows.StartPrivacyRequest(ctx, t.Temporal, t.TaskQueue, merchant, request)
	return err
}
