package shop_test

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
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

// TestOurClientMeetsPhoneNumbers: every call about phone numbers, and every way in which it is refused, by the real client.
func TestOurClientMeetsPhoneNumbers(t *testing.T) {
	t.Parallel()
	store := shop.New(shop.Config{Domain: "example.myshopify.com", ClientID: "id", ClientSecret: "secret"})
	server := httptest.NewServer(shop.NewServer(store))
	t.Cleanup(server.Close)
	client, err := shopify.New(shopify.Config{
		Shop: "example.myshopify.com", BaseURL: server.URL, ClientID: "id", ClientSecret: "secret", HTTP: server.Client(),
	})
	require.NoError(t, err)
	ctx := t.Context()
	past := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	held := shopify.Consent{State: shopify.Subscribed, OptInLevel: "SINGLE_OPT_IN", UpdatedAt: past}

	const people = 300 // more than a chunk of ids, more than a request of look-ups
	var phones []string
	var ids []shopify.CustomerID
	for n := range people {
		phones = append(phones, fmt.Sprintf("+1415555%04d", n))
		id, err := store.CreateCustomer(shop.NewCustomer{Phone: phones[n], At: past})
		require.NoError(t, err)
		ids = append(ids, shopify.CustomerID(id))
	}
	before := store.Budget().CurrentlyAvailable
	byID, err := client.CustomersByID(ctx, ids)
	require.NoError(t, err)
	require.Len(t, byID, people)
	require.LessOrEqual(t, before-store.Budget().CurrentlyAvailable, 8, "two requests, of 4 points each whatever they name")
	byPhone, err := client.CustomersByPhone(ctx, append([]string{"+15550000000", " "}, phones[:60]...))
	require.NoError(t, err)
	require.Zero(t, byPhone[0])
	require.Zero(t, byPhone[1])
	for n, found := range byPhone[2:] {
		require.Equal(t, byID[n], found)
		require.Equal(t, shopify.Customer{ID: ids[n], UpdatedAt: past, Phone: phones[n],
			SMSConsent: shopify.Consent{State: shopify.NotSubscribed, OptInLevel: "SINGLE_OPT_IN"}}, found)
	}

	mail, err := store.CreateCustomer(shop.NewCustomer{Email: "ann@example.com"})
	require.NoError(t, err)
	require.NoError(t, client.Reserve(ctx, 5*shopify.WriteCost))
	results, err := client.UpdateSMSConsents(ctx, []shopify.ConsentWrite{
		{Customer: ids[0], State: shopify.Subscribed, At: past},
		{Customer: "gid://shopify/Customer/999999", State: shopify.Subscribed, At: past},
		{Customer: shopify.CustomerID(mail), State: shopify.Subscribed, At: past},
		{Customer: ids[1], State: shopify.Subscribed, At: time.Now().Add(time.Hour)},
		{Customer: ids[2], State: shopify.Unsubscribed, At: past},
	})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.Equal(t, held, results[0].Customer.SMSConsent)
	require.NoError(t, results[4].Err)
	require.Equal(t, shopify.Unsubscribed, results[4].Customer.SMSConsent.State)
	refused := func(result shopify.WriteResult, class failure.Class, code string) {
		t.Helper()
		f := failure.As(result.Err)
		require.NotNil(t, f, "%v", result.Err)
		require.Equal(t, class, f.Class)
		require.Equal(t, code, f.Code)
		require.Zero(t, result.Customer)
		for _, spelled := range []string{"5550000", "6134505293", "613-450-5293", "450 5293"} {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", result.Err, f, f), spelled)
		}
	}
	refused(results[1], failure.Retry, shopify.CodeCustomerNotFound)
	refused(results[2], failure.Refused, shopify.CodeNoPhone)
	require.NotEmpty(t, failure.As(results[2].Err).Advice, "a person must enter the number")
	refused(results[3], failure.Retry, shopify.CodeFutureDate)

	require.NoError(t, client.Reserve(ctx, 6*shopify.CreateCost))
	results, err = client.CreateCustomers(ctx, []shopify.NewCustomer{
		{Phone: "+16134505293", At: past}, {Phone: phones[0], At: past}, {Phone: "613-450-5293", At: past}, {Phone: "+1 613 450 5293", At: past},
		{Email: "bob@example.com", At: past}, {Phone: "+" + strings.Repeat("1", 300), At: past},
	})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.Equal(t, "+16134505293", results[0].Customer.Phone)
	require.Equal(t, held, results[0].Customer.SMSConsent)
	require.Zero(t, results[0].Customer.EmailConsent)
	refused(results[1], failure.Retry, shopify.CodeTaken)
	refused(results[2], failure.Refused, shopify.CodePhoneInvalid)
	refused(results[3], failure.Retry, shopify.CodeTaken)
	refused(results[5], failure.Refused, shopify.CodePhoneInvalid)
	require.NoError(t, results[4].Err)
	require.Equal(t, held, results[4].Customer.EmailConsent)
	require.Zero(t, results[4].Customer.SMSConsent)
	stored, _ := store.CustomerByPhone("+16134505293")
	require.Equal(t, shop.Consent{State: shop.Subscribed, Level: shop.SingleOptIn, UpdatedAt: past}, stored.SMSConsent)

	require.NoError(t, store.SetSMSConsent(shop.CustomerID(ids[3]), shop.Redacted, past))
	byID, err = client.CustomersByID(ctx, ids[3:4])
	require.NoError(t, err)
	require.Equal(t, shopify.Redacted, byID[0].SMSConsent.State)
	require.Len(t, store.Writes(), 11)
	require.Empty(t, store.Requests()[""], "every request was understood")

	hidden := shop.New(shop.Config{Domain: "example.myshopify.com", Token: "shpat_1", ProtectedData: shop.ProtectedDataLevel1})
	_, err = hidden.CreateCustomer(shop.NewCustomer{Phone: phones[0]})
	require.NoError(t, err)
	other := httptest.NewServer(shop.NewServer(hidden))
	t.Cleanup(other.Close)
	client, err = shopify.New(shopify.Config{Shop: "example.myshopify.com", BaseURL: other.URL, Token: "shpat_1", HTTP: other.Client()})
	require.NoError(t, err)
	_, err = client.CustomersByPhone(ctx, phones[:1])
	require.Equal(t, shopify.CodeProtectedData, failure.As(err).Code)
	require.Contains(t, failure.As(err).Advice, "phoneNumber field")
	findings := client.VerifyAccess(ctx)
	require.True(t, slices.ContainsFunc(findings, func(f shopify.Finding) bool { return !f.OK && strings.Contains(f.Advice, "phone") }), "%+v", findings)
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

// An app that was approved for email addresses alone works for email: a client without phones asks for none.
func TestAnAppWithoutPhones(t *testing.T) {
	t.Parallel()
	// Its time stands still, so that no points come back while they are counted.
	now := time.Now()
	store := shop.New(shop.Config{Domain: "example.myshopify.com", Token: "shpat_1", ProtectedData: shop.ProtectedDataEmails,
		Now: func() time.Time { return now }})
	server := httptest.NewServer(shop.NewServer(store))
	t.Cleanup(server.Close)
	past := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	id, err := store.CreateCustomer(shop.NewCustomer{Email: "ada@example.com", Phone: "+15550001111"})
	require.NoError(t, err)
	for _, without := range []bool{true, false} {
		client, err := shopify.New(shopify.Config{
			Shop: "example.myshopify.com", BaseURL: server.URL, Token: "shpat_1", HTTP: server.Client(), WithoutPhones: without,
		})
		require.NoError(t, err)
		read, err := client.CustomersByID(t.Context(), []shopify.CustomerID{shopify.CustomerID(id)})
		if !without {
			require.Equal(t, failure.PersonMustAct, failure.ClassOf(err), "%v", err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, shopify.Customer{
			ID: shopify.CustomerID(id), UpdatedAt: read[0].UpdatedAt, Email: "ada@example.com", EmailConsent: shopify.Consent{State: shopify.NotSubscribed, OptInLevel: "SINGLE_OPT_IN"},
		}, read[0])
		found, err := client.CustomersByEmail(t.Context(), []string{"ada@example.com"})
		require.NoError(t, err)
		require.Equal(t, read, found)
		before := store.Budget().CurrentlyAvailable
		written, err := client.UpdateEmailConsents(t.Context(), []shopify.ConsentWrite{{Customer: read[0].ID, State: shopify.Subscribed, At: past}})
		require.NoError(t, err)
		require.NoError(t, written[0].Err)
		require.InDelta(t, shopify.WriteCost-shopify.PhoneCost, before-store.Budget().CurrentlyAvailable, 1e-6)
	}
}
