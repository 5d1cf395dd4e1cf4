package subscriptions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
)

// Run is the kind under which the last check stands in the ledger's run status. Scanned counts the topics wanted, Delivered to Shopify
// those that are registered; the error is what keeps a needed one from it.
const Run ledger.RunKind = "webhooks"

// Statuses are the ledger's run statuses; *ledger.Ledger has them.
type Statuses interface {
	RunStatuses(ctx context.Context, merchant string) (map[ledger.RunKind]ledger.RunStatus, error)
	SetRunStatus(ctx context.Context, merchant string, kind ledger.RunKind, status ledger.RunStatus) error
}

// Keeper keeps the subscriptions of merchants alive.
type Keeper struct {
	Statuses Statuses
	// Merchant returns a merchant as it is stored now.
	Merchant func(ctx context.Context, id string) (merchant.Merchant, error)
	// Connect returns the merchant's store.
	Connect func(ctx context.Context, id string) (Client, error)
	// PublicURL is the address under which Shopify reaches us; empty when there is none.
	PublicURL string
	Now       func() time.Time
}

// Check is how a merchant's webhooks stand after one.
type Check struct {
	// Mode is who subscribes. With WebhooksByApp and WebhooksOff nothing is registered, and what was registered before is deleted,
	// since webhooks would come twice, or against the operator's will.
	Mode merchant.WebhookMode
	// URI is where webhooks go; empty without a public address, and then no call was made.
	URI string
	Result
}

// Address is where a merchant's webhooks go, empty without a public address.
func (k *Keeper) Address(id string) string {
	if k.PublicURL == "" {
		return ""
	}
	return k.prefix() + id
}

// prefix begins the addresses that are ours.
func (k *Keeper) prefix() string { return strings.TrimRight(k.PublicURL, "/") + "/webhooks/" }

// Mode is who subscribes to a merchant's webhooks.
func (k *Keeper) Mode(settings merchant.Settings) merchant.WebhookMode {
	switch {
	case settings.Webhooks != "":
		return settings.Webhooks
	case k.PublicURL != "":
		return merchant.WebhooksByAPI
	default:
		return merchant.WebhooksOff
	}
}

// Check registers what is missing of a merchant's webhooks and stores how they stand. Without a public address it calls nobody.
func (k *Keeper) Check(ctx context.Context, id string) (Check, error) {
	m, err := k.Merchant(ctx, id)
	if err != nil {
		return Check{}, err
	}
	id = m.Settings.ID
	check := Check{Mode: k.Mode(m.Settings), URI: k.Address(id)}
	if check.URI == "" {
		return check, nil
	}
	wanted := Wanted{URI: check.URI, Prefix: k.prefix()}
	if check.Mode == merchant.WebhooksByAPI {
		wanted.Topics = Topics()
	}
	began := k.Now()
	client, err := k.Connect(ctx, id)
	if err == nil {
		check.Result, err = Ensure(ctx, client, wanted)
	}
	// A check that was interrupted is told of too.
	return check, errors.Join(err, k.note(context.WithoutCancel(ctx), id, began, len(wanted.Topics), check.Result, err))
}

// note stores how a check went.
func (k *Keeper) note(ctx context.Context, id string, began time.Time, wanted int, result Result, failed error) error {
	before, err := k.Statuses.RunStatuses(ctx, id)
	if err != nil {
		return err
	}
	status := ledger.RunStatus{Began: consent.InstantOf(began), Ended: consent.InstantOf(k.Now()), Scanned: int64(wanted)}
	status.Delivered[consent.Shopify] = int64(len(result.Registered))
	about := ""
	if missing := result.Needed(); failed == nil && len(missing) > 0 {
		failed, about = missing[0].Err, " "+string(missing[0].Topic)
	}
	if failed != nil {
		status.ErrorClass, status.ErrorCode = failure.ClassOf(failed), "UNKNOWN"+about
		if f := failure.As(failed); f != nil {
			status.ErrorCode = f.Code + about
		}
		status.Failures = before[Run].Failures + 1
	}
	if err := k.Statuses.SetRunStatus(ctx, id, Run, status); err != nil {
		return fmt.Errorf("store the check of webhooks: %w", err)
	}
	return nil
}
