package shop_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// TestOurClientMeetsTheStore: every call of internal/shopify runs against the sandbox, with a token of the grant and by the budget of
// the smallest plan, so that neither end can drift from the schema or the contract alone.
func TestOurClientMeetsTheStore(t *testing.T) {
	t.Parallel()
	store := shop.New(shop.Config{
		Domain: "example.myshopify.com", ClientID: "id", ClientSecret: "secret",
		Scopes: []string{"read_customers", "write_customers", "read_orders", "read_all_orders"},
	})
	server := httptest.NewServer(shop.NewServer(store))
	t.Cleanup(server.Close)
	client, err := shopify.New(shopify.Config{
		Shop: "example.myshopify.com", BaseURL: server.URL, ClientID: "id", ClientSecret: "secret", HTTP: server.Client(),
	})
	require.NoError(t, err)
	ctx := t.Context()
	past := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	const people = 300 // more than a page, more than a chunk of ids
	var emails []string
	for n := range people {
		emails = append(emails, fmt.Sprintf("person%d@example.com", n))
		_, err := store.CreateCustomer(shop.NewCustomer{Email: emails[n], At: past.Add(time.Duration(n) * time.Second)})
		require.NoError(t, err)
	}

	access, err := client.Access(ctx)
	require.NoError(t, err)
	require.Equal(t, "example.myshopify.com", access.Shop)
	for _, finding := range client.VerifyAccess(ctx) {
		require.True(t, finding.OK, "%s: %s", finding.What, finding.Advice)
	}

	var ids []shopify.CustomerID
	for cursor := ""; ; {
		page, err := client.ChangedCustomers(ctx, past.Add(10*time.Second), cursor)
		require.NoError(t, err)
		for _, change := range page.Changes {
			ids = append(ids, change.ID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	require.Len(t, ids, people-10)

	byID, err := client.CustomersByID(ctx, append([]shopify.CustomerID{"gid://shopify/Customer/999999"}, ids...))
	require.NoError(t, err)
	require.Len(t, byID, people-9)
	require.Zero(t, byID[0])
	require.Equal(t, emails[10], byID[1].Email)
	byEmail, err := client.CustomersByEmail(ctx, []string{emails[7], "nobody@example.com", emails[3]})
	require.NoError(t, err)
	require.Equal(t, emails[7], byEmail[0].Email)
	require.Zero(t, byEmail[1])
	require.Equal(t, emails[3], byEmail[2].Email)

	require.NoError(t, client.Reserve(ctx, 3*shopify.WriteCost))
	written, err := client.UpdateEmailConsents(ctx, []shopify.ConsentWrite{
		{Customer: byEmail[0].ID, State: shopify.Subscribed, At: past},
		{Customer: "gid://shopify/Customer/999999", State: shopify.Subscribed, At: past},
		{Customer: byEmail[2].ID, State: shopify.Unsubscribed, At: past},
	})
	require.NoError(t, err)
	require.NoError(t, written[0].Err)
	require.Equal(t, shopify.Subscribed, written[0].Customer.EmailConsent.State)
	require.Equal(t, past, written[0].Customer.EmailConsent.UpdatedAt)
	require.Error(t, written[1].Err)
	require.Equal(t, shopify.Unsubscribed, written[2].Customer.EmailConsent.State)

	require.NoError(t, client.Reserve(ctx, 2*shopify.CreateCost))
	created, err := client.CreateCustomers(ctx, []shopify.NewCustomer{{Email: "new@example.com", At: past}, {Email: emails[0], At: past}})
	require.NoError(t, err)
	require.NoError(t, created[0].Err)
	require.Equal(t, "new@example.com", created[0].Customer.Email)
	require.Error(t, created[1].Err, "taken")
	stored, _ := store.Customer("new@example.com")
	require.Equal(t, shop.Consent{State: shop.Subscribed, Level: shop.SingleOptIn, UpdatedAt: past}, stored.Consent)

	bought, err := store.PlaceOrder(shop.Order{Email: "new@example.com", CreatedAt: past.Add(time.Minute)})
	require.NoError(t, err)
	asGuest, err := store.PlaceOrder(shop.Order{Email: "Guest.O'Brien+x@example.com", CreatedAt: past.Add(time.Minute)})
	require.NoError(t, err)
	found, err := client.OrdersOf(ctx, []shopify.OrderLookup{
		{Customer: created[0].Customer.ID, Email: "new@example.com", From: past, To: past.Add(time.Minute)},
		{Email: "guest.o'brien+x@example.com", From: past, To: past.Add(time.Hour)},
		{Customer: created[0].Customer.ID, From: past.Add(61 * time.Second), To: past.Add(time.Hour)},
	})
	require.NoError(t, err)
	require.Len(t, found, 3)
	require.Len(t, found[0], 1, "found by customer and by address, listed once")
	require.Equal(t, string(bought), found[0][0].ID)
	require.Len(t, found[1], 1)
	require.Equal(t, string(asGuest), found[1][0].ID)
	require.Empty(t, found[2])

	effective := 0
	for _, write := range store.Writes() {
		if write.Effective {
			effective++
		}
	}
	require.Len(t, store.Writes(), 5)
	require.Equal(t, 3, effective)
	require.Empty(t, store.Requests()[""], "every request was understood")
}

// TestOurClientSubscribes: subscriptions by the real client, over more than a page, and its failures by class.
func TestOurClientSubscribes(t *testing.T) {
	t.Parallel()
	store := shop.New(shop.Config{Domain: "example.myshopify.com", ClientID: "id", ClientSecret: "secret", Plan: shop.Enterprise})
	server := httptest.NewServer(shop.NewServer(store))
	t.Cleanup(server.Close)
	client, err := shopify.New(shopify.Config{
		Shop: "example.myshopify.com", BaseURL: server.URL, ClientID: "id", ClientSecret: "secret", HTTP: server.Client(),
	})
	require.NoError(t, err)
	ctx := t.Context()
	const mine = "https://sync.example/webhooks/acme"
	made, err := client.CreateWebhookSubscription(ctx, shopify.TopicEmailConsent, mine)
	require.NoError(t, err)
	require.Equal(t, shopify.WebhookSubscription{ID: "gid://shopify/WebhookSubscription/1", Topic: shopify.TopicEmailConsent, URI: mine}, made)
	for n := range 300 {
		_, refused, err := store.Subscribe(shop.SubscriptionInput{Topic: "ORDERS_CREATE", URI: fmt.Sprintf("https://other.example/%d", n)})
		require.NoError(t, err)
		require.Empty(t, refused)
	}
	all, err := client.WebhookSubscriptions(ctx)
	require.NoError(t, err)
	require.Len(t, all, 301)
	require.Equal(t, made, all[0])
	require.Equal(t, shopify.TopicOrderCreate, all[300].Topic)

	for _, c := range []struct {
		topic shopify.Topic
		uri   string
		class failure.Class
		code  string
	}{
		{shopify.TopicEmailConsent, mine, failure.Retry, shopify.CodeSubscribed},
		{shopify.TopicOrderCreate, "http://sync.example/webhooks/acme", failure.PersonMustAct, shopify.CodeAddress},
		{shopify.TopicCustomerMerge, mine, failure.PersonMustAct, shopify.CodeAccessDenied},
	} {
		_, err := client.CreateWebhookSubscription(ctx, c.topic, c.uri)
		f := failure.As(err)
		require.NotNil(t, f, "%v", err)
		require.Equal(t, c.class, f.Class)
		require.Equal(t, c.code, f.Code)
		require.Equal(t, c.class == failure.PersonMustAct, f.Advice != "")
	}
	_, err = client.CreateWebhookSubscription(ctx, shopify.TopicCustomerRedact, mine)
	require.ErrorContains(t, err, "the API has no topic")

	require.NoError(t, client.DeleteWebhookSubscription(ctx, made.ID))
	require.Equal(t, shopify.CodeNoSubscription, failure.As(client.DeleteWebhookSubscription(ctx, made.ID)).Code)
	require.Len(t, store.Subscriptions(), 300)

	hidden := shop.New(shop.Config{Domain: "example.myshopify.com", Token: "shpat_1", ProtectedData: shop.ProtectedDataNone})
	other := httptest.NewServer(shop.NewServer(hidden))
	t.Cleanup(other.Close)
	client, err = shopify.New(shopify.Config{Shop: "example.myshopify.com", BaseURL: other.URL, Token: "shpat_1", HTTP: other.Client()})
	require.NoError(t, err)
	_, err = client.CreateWebhookSubscription(ctx, shopify.TopicOrderCreate, mine)
	require.Equal(t, shopify.CodeProtectedData, failure.As(err).Code)
	_, err = client.CreateWebhookSubscription(ctx, shopify.TopicUninstalled, mine)
	require.NoError(t, err)
	hidden.Uninstall()
	_, err = client.WebhookSubscriptions(ctx)
	require.Equal(t, "HTTP_401", failure.As(err).Code)
}
