package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/internal/reconcile"
)

// BackfillResult is how far a full read has come.
type BackfillResult = reconcile.FullProgress

// Backfill reads one slice of both sides, from where the last one ended.
func (a *Activities) Backfill(ctx context.Context, in MerchantInput) (BackfillResult, error) {
	defer heartbeat(ctx)()
	progress, err := a.Engine.FullRead(ctx, in.Merchant, func(p reconcile.FullProgress) { activity.RecordHeartbeat(ctx, p) })
	if errors.Is(err, reconcile.ErrBusy) {
		return BackfillResult{}, temporal.NewApplicationErrorWithOptions(err.Error(), IdleType, temporal.ApplicationErrorOptions{
			NextRetryDelay: 5 * time.Second, Category: temporal.ApplicationErrorCategoryBenign,
		})
	}
	return progress, classified(err)
}
