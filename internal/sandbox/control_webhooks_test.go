package sandbox

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// TestWebhooksAreControlled drives everything about webhooks through the control API, as another process would.
func TestWebhooksAreControlled(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	counts := map[shop.Topic]int{}
	door := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		counts[shop.Topic(r.Header.Get("X-Shopify-Topic"))]++
	}))
	t.Cleanup(door.Close)
	sb, control, _ := start(t)
	ctx := t.Context()
	const name = "web.myshopify.com"
	compliance := []shop.Topic{shop.TopicDataRequest, shop.TopicCustomerRedact, shop.TopicShopRedact}
	view, err := control.AddShop(ctx, ShopSettings{Domain: name, ClientID: "app", ClientSecret: "secret",
		Scopes: []string{"read_customers", "read_orders", "read_customer_merge"},
		Webhooks: WebhookSettings{LocalAddresses: true, RetryGaps: []Duration{Duration(time.Millisecond)}, ShopRedactAfter: Duration(time.Millisecond),
			App: []shop.AppSubscription{{Topics: compliance, URI: door.URL}}}})
	require.NoError(t, err)
	require.True(t, view.Webhooks.LocalAddresses)
	require.Equal(t, []Duration{Duration(time.Millisecond)}, view.Webhooks.RetryGaps)
	store, err := sb.Shop(name)
	require.NoError(t, err)
	for _, topic := range []string{"CUSTOMERS_CREATE", "CUSTOMERS_MERGE", "APP_UNINSTALLED", "BULK_OPERATIONS_FINISH", "CUSTOMERS_MARKETING_CONSENT_UPDATE"} {
		_, refused, err := store.Subscribe(shop.SubscriptionInput{Topic: topic, URI: door.URL})
		require.NoError(t, err)
		require.Empty(t, refused)
	}
	for _, email := range []string{"ann@example.com", "bob@example.com"} {
		_, err := control.CreateCustomer(ctx, name, CustomerAct{Email: email})
		require.NoError(t, err)
	}
	require.NoError(t, control.AskForData(ctx, name, "ann@example.com"))
	require.NoError(t, control.AskToRedact(ctx, name, "ann@example.com"))
	require.ErrorIs(t, control.AskToRedact(ctx, name, "nobody@example.com"), shop.ErrNoCustomer)
	kept, err := control.MergeCustomers(ctx, name, "ann@example.com", "bob@example.com")
	require.NoError(t, err)
	require.Equal(t, "bob@example.com", kept.Email)
	require.NoError(t, control.SendWebhook(ctx, name, WebhookAct{Topic: shop.TopicBulkFinished}))
	require.NoError(t, control.SendWebhook(ctx, name, WebhookAct{Topic: shop.TopicSMSConsent, Payload: json.RawMessage(`{"id":1,"phone":null}`)}))
	require.Error(t, control.SendWebhook(ctx, name, WebhookAct{Topic: "products/update"}))
	require.Error(t, control.SetWebhookFaults(ctx, name, Faults{Rules: []FaultRule{{Kind: fault.ServerError}}}), "not of webhooks")
	require.Error(t, control.SetShopFaults(ctx, name, Faults{Rules: []FaultRule{{Kind: fault.Lost}}}), "not of calls")
	require.NoError(t, control.SetWebhookFaults(ctx, name, Faults{Rules: []FaultRule{{Operation: "customers/create", Kind: fault.Lost, Times: 1}}}))
	_, err = control.CreateCustomer(ctx, name, CustomerAct{Email: "lost@example.com"})
	require.NoError(t, err)
	struck, err := control.WebhookStruck(ctx, name)
	require.NoError(t, err)
	require.Equal(t, Struck{fault.Lost: 1}, struck)
	require.Error(t, control.RotateSecret(ctx, name, ""))
	require.NoError(t, control.RotateSecret(ctx, name, "new"))
	overview, err := control.Overview(ctx)
	require.NoError(t, err)
	require.Equal(t, "new", overview.Shops[1].ClientSecret)

	sb.Reset()
	shown, err := control.Webhooks(ctx, name)
	require.NoError(t, err)
	require.Len(t, shown.Subscriptions, 5, "settings stay")
	require.NoError(t, control.Uninstall(ctx, name))
	_, err = store.AwaitDeliveries(ctx, func(r shop.DeliveryReport) bool {
		return r.UnderWay == 0 && r.Topics[shop.TopicShopRedact].Delivered == 1
	})
	require.NoError(t, err)
	require.NoError(t, control.Install(ctx, name))
	shown, err = control.Webhooks(ctx, name)
	require.NoError(t, err)
	require.Empty(t, shown.Subscriptions)
	require.Empty(t, shown.Deleted)
	require.Equal(t, 1, shown.Lost)
	require.Equal(t, 9, shown.Delivered)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, map[shop.Topic]int{shop.TopicCustomerCreate: 2, shop.TopicCustomerMerge: 1, shop.TopicUninstalled: 1,
		shop.TopicBulkFinished: 1, shop.TopicSMSConsent: 1, shop.TopicDataRequest: 1, shop.TopicCustomerRedact: 1,
		shop.TopicShopRedact: 1}, counts)
	require.Equal(t, 1, shown.Topics[shop.TopicShopRedact].Sent)
}
