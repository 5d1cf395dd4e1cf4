package subscriptions_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
	"github.com/concordsync/concord/internal/subscriptions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a merchant whose store is a sandbox behind real HTTP, and whose webhooks come to this test.
type world struct {
	t      *testing.T
	store  *shop.Store
	client *shopify.Client
	ledger *ledger.Ledger
	keeper *subscriptions.Keeper
	// settings are what Merchant tells.
	settings merchant.Settings
	// broken lets the door refuse what comes.
	broken atomic.Bool
}

func newWorld(t *testing.T, change func(*shop.Config)) *world {
	t.Helper()
	w := &world{t: t}
	door := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if w.broken.Load() {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(door.Close)
	config := shop.Config{
		Domain: "acme.myshopify.com", Token: "shpat_1", Scopes: []string{"read_customers", "write_customers", "read_orders", "read_customer_merge"},
		Webhooks: shop.WebhookConfig{LocalAddresses: true, RetryGaps: slices.Repeat([]time.Duration{time.Microsecond}, 8)},
	}
	if change != nil {
		change(&config)
	}
	w.store = shop.New(config)
	webhooks := shop.StartWebhooks(w.store)
	t.Cleanup(webhooks.Close)
	api := httptest.NewServer(shop.NewServer(w.store))
	t.Cleanup(api.Close)
	var err error
	w.client, err = shopify.New(shopify.Config{Shop: "acme.myshopify.com", BaseURL: api.URL, Token: "shpat_1", HTTP: api.Client()})
	require.NoError(t, err)
	w.settings, err = merchant.New("acme.myshopify.com")
	require.NoError(t, err)
	w.ledger, err = ledger.Open(t.Context(), ledgertest.SQLite(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.ledger.Close()) })
	w.keeper = &subscriptions.Keeper{
		Statuses: w.ledger, PublicURL: door.URL + "/", Now: time.Now,
		Merchant: func(context.Context, string) (merchant.Merchant, error) {
			return merchant.Merchant{Settings: w.settings}, nil
		},
		Connect: func(context.Context, string) (subscriptions.Client, error) { return w.client, nil },
	}
	return w
}

func (w *world) check() subscriptions.Check {
	w.t.Helper()
	check, err := w.keeper.Check(w.t.Context(), "acme")
	require.NoError(w.t, err)
	return check
}

func (w *world) status() (ledger.RunStatus, bool) {
	w.t.Helper()
	all, err := w.ledger.RunStatuses(w.t.Context(), "acme")
	require.NoError(w.t, err)
	status, ok := all[subscriptions.Run]
	return status, ok
}

func TestAllTopicsAreRegisteredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	first := w.check()
	require.Equal(t, merchant.WebhooksByAPI, first.Mode)
	require.Equal(t, w.keeper.Address("acme"), first.URI)
	require.Equal(t, subscriptions.Topics(), first.Created)
	require.Equal(t, subscriptions.Topics(), first.Registered)
	require.Empty(t, first.Missing)
	second := w.check()
	require.Empty(t, second.Created)
	require.Equal(t, subscriptions.Topics(), second.Registered)
	require.Len(t, w.store.Subscriptions(), 9)
	status, ok := w.status()
	require.True(t, ok)
	require.EqualValues(t, 9, status.Scanned)
	require.EqualValues(t, 9, status.Delivered[consent.Shopify])
	require.Zero(t, status.ErrorClass)
	require.WithinDuration(t, time.Now(), status.Ended.Time(), time.Minute)
}

// TestWhatShopifyDeletesIsRegisteredAgain: the whole way, by a door that refuses until Shopify gives up.
func TestWhatShopifyDeletesIsRegisteredAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.check()
	w.broken.Store(true)
	id, err := w.store.CreateCustomer(shop.NewCustomer{Email: "ann@example.com"})
	require.NoError(t, err)
	_, err = w.store.AwaitDeliveries(t.Context(), func(r shop.DeliveryReport) bool { return len(r.Deleted) == 1 && r.UnderWay == 0 })
	require.NoError(t, err)
	require.Len(t, w.store.Subscriptions(), 8)
	w.broken.Store(false)
	require.Equal(t, []shopify.Topic{shopify.TopicCustomerCreate}, w.check().Created)
	require.NoError(t, w.store.DeleteCustomer(id))
	_, err = w.store.CreateCustomer(shop.NewCustomer{Email: "bob@example.com"})
	require.NoError(t, err)
	_, err = w.store.AwaitDeliveries(t.Context(), func(r shop.DeliveryReport) bool { return r.Topics[shop.TopicCustomerCreate].Delivered == 1 })
	require.NoError(t, err)
}

func TestAMissingScopeStopsNoOtherTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *shop.Config) { c.Scopes = []string{"read_customers"} })
	for failures := 1; failures <= 2; failures++ {
		check := w.check()
		require.Len(t, check.Registered, 7)
		require.Len(t, check.Missing, 2)
		require.Equal(t, shopify.TopicCustomerMerge, check.Missing[0].Topic)
		require.Len(t, check.Needed(), 1, "the other one is optional")
		require.Equal(t, shopify.TopicOrderCreate, check.Needed()[0].Topic)
		require.Contains(t, failure.As(check.Needed()[0].Err).Advice, "read_orders")
		status, _ := w.status()
		require.Equal(t, "ACCESS_DENIED orders/create", status.ErrorCode)
		require.Equal(t, failure.PersonMustAct, status.ErrorClass)
		require.Equal(t, failures, status.Failures)
		require.EqualValues(t, 7, status.Delivered[consent.Shopify])
	}
}

func TestOnlyAnOptionalTopicIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *shop.Config) { c.Scopes = nil })
	check := w.check()
	require.Len(t, check.Missing, 1)
	require.Empty(t, check.Needed())
	status, _ := w.status()
	require.Zero(t, status.ErrorClass)
	require.EqualValues(t, 9, status.Scanned)
	require.EqualValues(t, 8, status.Delivered[consent.Shopify])
}

func TestAFailureInBetweenIsGoneOnFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	// Created, and nobody hears it.
	w.store.Faults.Set(1, fault.Rule{Operation: "webhookSubscriptionCreate", Kind: fault.ErrorAfter, Times: 1})
	_, err := w.keeper.Check(t.Context(), "acme")
	require.Equal(t, failure.Retry, failure.ClassOf(err))
	status, _ := w.status()
	require.Equal(t, "HTTP_500", status.ErrorCode)
	require.Equal(t, 1, status.Failures)
	require.Len(t, w.store.Subscriptions(), 1)
	check := w.check()
	require.Len(t, check.Registered, 9)
	require.Len(t, check.Created, 8)
	status, _ = w.status()
	require.Zero(t, status.Failures)
}

// raced is a store where another worker registers between our reading and our writing.
type raced struct {
	subscriptions.Client
	between func()
}

func (r raced) WebhookSubscriptions(ctx context.Context) ([]shopify.WebhookSubscription, error) {
	all, err := r.Client.WebhookSubscriptions(ctx)
	r.between()
	return all, err
}

func TestTwoWorkersRegisterAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	old, err := w.client.CreateWebhookSubscription(t.Context(), shopify.TopicOrderCreate, w.keeper.Address("former"))
	require.NoError(t, err)
	w.keeper.Connect = func(context.Context, string) (subscriptions.Client, error) {
		return raced{w.client, func() {
			wanted := subscriptions.Wanted{Topics: subscriptions.Topics(), URI: w.keeper.Address("acme"), Prefix: w.keeper.Address("")}
			_, err := subscriptions.Ensure(t.Context(), w.client, wanted)
			require.NoError(t, err)
		}}, nil
	}
	check := w.check()
	require.Equal(t, subscriptions.Topics(), check.Registered)
	require.Empty(t, check.Created)
	require.Equal(t, []shopify.WebhookSubscription{old}, check.Deleted, "the other one was faster there too")
	require.Len(t, w.store.Subscriptions(), 9)
}

func TestWhoSubscribesIsASetting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	foreign, err := w.client.CreateWebhookSubscription(t.Context(), shopify.TopicOrderCreate, "http://127.0.0.1:1/other")
	require.NoError(t, err)
	for _, mode := range []merchant.WebhookMode{merchant.WebhooksByApp, merchant.WebhooksOff} {
		w.settings.Webhooks = merchant.WebhooksByAPI
		require.Len(t, w.check().Registered, 9)
		w.settings.Webhooks = mode
		check := w.check()
		require.Equal(t, mode, check.Mode)
		require.Empty(t, check.Registered)
		require.Len(t, check.Deleted, 9, "webhooks would come twice, or unwanted")
		require.Equal(t, []shopify.WebhookSubscription{foreign}, check.Foreign)
		require.Len(t, w.store.Subscriptions(), 1)
		status, _ := w.status()
		require.Zero(t, status.Scanned)
		require.Zero(t, status.ErrorClass)
	}
}

func TestWithoutAPublicAddressNobodyIsCalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.keeper.PublicURL = ""
	require.Equal(t, subscriptions.Check{Mode: merchant.WebhooksOff}, w.check())
	w.settings.Webhooks = merchant.WebhooksByApp
	require.Equal(t, subscriptions.Check{Mode: merchant.WebhooksByApp}, w.check())
	require.Empty(t, w.store.Requests())
	_, ok := w.status()
	require.False(t, ok)
}

func TestAStoreThatRefusesIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.store.Uninstall()
	_, err := w.keeper.Check(t.Context(), "acme")
	require.Equal(t, failure.PersonMustAct, failure.ClassOf(err))
	status, _ := w.status()
	require.Equal(t, "HTTP_401", status.ErrorCode)
	require.EqualValues(t, 9, status.Scanned)
}
