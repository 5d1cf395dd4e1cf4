package activities_test

import (
	"testing"

	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/fault"
)

func (w *world) ensure() (activities.WebhooksResult, error) {
	w.t.Helper()
	return run(w, w.acts.EnsureWebhooks, activities.MerchantInput{Merchant: w.id})
}

func TestWebhooksAreRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.acts.Subscriptions = w.host.Subscriptions
	if result, err := w.ensure(); err != nil || result.Mode != "off" || len(w.shop.Requests()) > 0 {
		t.Fatalf("without a public address: %+v, %v", result, err)
	}
	w.host.Subscriptions.PublicURL = "https://sync.example"
	result, err := w.ensure()
	must(t, err)
	if result.Mode != "api" || result.Registered != 8 || result.Created != 8 || len(result.Missing) != 1 {
		t.Fatalf("got %+v", result)
	}
	w.shop.Unsubscribe(w.shop.Subscriptions()[3].ID)
	if result, err = w.ensure(); err != nil || result.Registered != 8 || result.Created != 1 {
		t.Fatalf("got %+v, %v", result, err)
	}

	w.shop.Faults.Set(1, fault.Rule{Kind: fault.ServerError, Times: 1})
	_, err = w.ensure()
	application(t, err, activities.RoundFailedType)
	w.credentials(func(c *merchant.Credentials) { c.ShopifyClientSecret = "wrong" })
	_, err = w.ensure()
	if e := application(t, err, failure.PersonMustAct.String()); !e.NonRetryable() {
		t.Error("would be tried again")
	}
}

func TestWebhooksWaitWhileNoCallMayBeMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.acts.Subscriptions = w.host.Subscriptions
	w.host.Subscriptions.PublicURL = "https://sync.example"
	_, err := w.host.Ledger.Pause(t.Context(), w.id)
	must(t, err)
	_, err = w.ensure()
	if e := application(t, err, activities.IdleType); e.Category() != temporal.ApplicationErrorCategoryBenign || e.NextRetryDelay() <= 0 {
		t.Errorf("got %v", e)
	}
	must(t, w.host.Merchants.Remove(t.Context(), w.id))
	if result, err := w.ensure(); err != nil || !result.Removed || len(w.shop.Requests()) > 0 {
		t.Errorf("of a merchant who is gone: %+v, %v", result, err)
	}
}
