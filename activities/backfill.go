package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/reconcile"
)

// BackfillResult is how far a full read has come. Read counts the people of this slice.
type BackfillResult = reconcile.FullProgress

// busyDelay is when a full read that another process holds is asked for again.
const busyDelay = 5 * time.Second

// BackfillInput asks for a slice of a full read.
type BackfillInput struct {
	Merchant string `json:"merchant"`
	// SMS: of that channel instead of email.
	SMS bool `json:"sms,omitempty"`
}

// Channel is the channel that is read.
func (in BackfillInput) Channel() consent.Channel {
	if in.SMS {
		return consent.SMS
	}
	return consent.Email
}

// Backfill reads one slice of both sides, from where the last one ended. It waits while the merchant is paused or broken, and a
// slice under way ends within a second of such a change.
func (a *Activities) Backfill(ctx context.Context, in BackfillInput) (BackfillResult, error) {
	show, stop := heartbeat(ctx)
	defer stop()
	switches, err := a.Engine.Ledger.Switches(ctx, in.Merchant)
	switch {
	case err != nil:
		return BackfillResult{}, classified(fmt.Errorf("read switches: %w", err))
	case switches.State == ledger.Removed:
		return BackfillResult{}, classified(ledger.ErrUnknownMerchant)
	case switches.State != ledger.Running:
		return BackfillResult{}, idle(a.Engine.Timing.Interval, "waits, because the merchant is "+string(switches.State))
	}
	slice, end := a.whileUnchanged(ctx, in.Merchant, switches.Generation)
	progress, err := a.Engine.FullRead(slice, in.Merchant, in.Channel(), func(p reconcile.FullProgress) { show(p) })
	why := end()
	switch {
	case errors.Is(err, reconcile.ErrBusy):
		return BackfillResult{}, idle(busyDelay, err.Error())
	case err != nil && why != nil && errors.Is(err, context.Canceled):
		return BackfillResult{}, idle(moreDelay, why.Error())
	}
	return progress, classified(err)
}
