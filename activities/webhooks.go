package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/subscriptions"
)

// Subscriptions looks at a merchant's webhook subscriptions; *subscriptions.Keeper does.
type Subscriptions interface {
	Check(ctx context.Context, merchant string) (subscriptions.Check, error)
}

// WebhooksResult is how a merchant's webhook subscriptions stand.
type WebhooksResult struct {
	// Mode is who subscribes: api, app or off; Removed and empty for a merchant who is gone.
	Mode    string `json:"mode,omitempty"`
	Removed bool   `json:"removed,omitempty"`
	// Registered counts the topics that are subscribed to, Created those of them that had to be made, Deleted what was ours and not
	// wanted any more.
	Registered int `json:"registered"`
	Created    int `json:"created,omitempty"`
	Deleted    int `json:"deleted,omitempty"`
	// Missing lists the topics that Shopify refuses, with why.
	Missing []string `json:"missing,omitempty"`
}

// pausedDelay is when subscriptions of a merchant for whom no call may be made are asked for again.
const pausedDelay = time.Hour

// EnsureWebhooks renews the webhook subscriptions that are missing. It waits while the merchant is paused or broken.
func (a *Activities) EnsureWebhooks(ctx context.Context, in MerchantInput) (WebhooksResult, error) {
	switches, err := a.Engine.Ledger.Switches(ctx, in.Merchant)
	switch {
	case err != nil:
		return WebhooksResult{}, classified(fmt.Errorf("read switches: %w", err))
	case switches.State == ledger.Removed:
		// Nothing is wrong: the schedule was not reached when the merchant was removed.
		return WebhooksResult{Removed: true}, nil
	case switches.State != ledger.Running:
		return WebhooksResult{}, idle(pausedDelay, "waits, because the merchant is "+string(switches.State))
	}
	check, err := a.Subscriptions.Check(ctx, in.Merchant)
	if err != nil {
		return WebhooksResult{}, classified(fmt.Errorf("look at the webhook subscriptions: %w", err))
	}
	result := WebhooksResult{Mode: string(check.Mode), Registered: len(check.Registered), Created: len(check.Created), Deleted: len(check.Deleted)}
	for _, missing := range check.Missing {
		result.Missing = append(result.Missing, errorText(fmt.Errorf("%s: %w", missing.Topic, missing.Err)))
	}
	return result, nil
}
