package shopify_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// sandboxShop runs the sandbox's Shopify, which another hand wrote from the same contract, and a client for it. The client's waits take no time.
func sandboxShop(t *testing.T, edit func(*shop.Config)) (*shopify.Client, *shop.Store) {
	t.Helper()
	config := shop.Config{Domain: "acme.myshopify.com", Token: "shpat_1", Plan: shop.Plus, Zone: "Asia/Kolkata",
		Scopes: []string{"read_customers", "write_customers", "read_orders", "read_marketing_events", "write_marketing_events"}}
	if edit != nil {
		edit(&config)
	}
	store := shop.New(config)
	server := httptest.NewServer(shop.NewServer(store))
	t.Cleanup(server.Close)
	client, err := shopify.New(shopify.Config{Shop: config.Domain, BaseURL: server.URL, Token: config.Token, HTTP: server.Client(),
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	require.NoError(t, err)
	return client, store
}

func number(n int) *int { return &n }

func TestMarketingActivities(t *testing.T) {
	t.Parallel()
	client, store := sandboxShop(t, nil)
	start := time.Date(2026, 11, 20, 9, 0, 0, 0, time.FixedZone("", 5*3600))
	for _, activity := range []shopify.MarketingActivity{
		{RemoteID: "bulk", Title: "Spring", Medium: shopify.ByEmail, Start: start, URL: "https://admin.listrak.com/"},
		{RemoteID: "welcome", Title: "Welcome", Medium: shopify.ByEmail, Automated: true, Start: start, URL: "https://admin.listrak.com/"},
		{RemoteID: "text", Title: "Sale", Medium: shopify.BySMS, Start: start, URL: "https://admin.listrak.com/"},
		{RemoteID: "bulk", Title: "Spring, second edition", Medium: shopify.ByEmail, Start: start, URL: "https://admin.listrak.com/"},
	} {
		require.NoError(t, client.UpsertActivity(t.Context(), activity), "%s", activity.RemoteID)
	}
	var got [][5]string
	for _, report := range store.Engagements() {
		a := report.Activity
		got = append(got, [5]string{a.RemoteID, a.Title, a.Channel, a.Tactic, a.Medium})
		require.Equal(t, a.RemoteID, a.Campaign)
		require.True(t, a.Start.Equal(start), "%s", a.Start)
	}
	require.Equal(t, [][5]string{{"bulk", "Spring, second edition", "EMAIL", "NEWSLETTER", "email"}, {"welcome", "Welcome", "EMAIL", "MESSAGE", "email"},
		{"text", "Sale", "REFERRAL", "MESSAGE", "sms"}}, got)

	// What Shopify keeps for ever: an SMS does not become an email.
	err := client.UpsertActivity(t.Context(), shopify.MarketingActivity{RemoteID: "text", Title: "Sale", Medium: shopify.ByEmail, URL: "https://x.example/"})
	require.Equal(t, failure.Refused, failure.ClassOf(err), "%v", err)
}

func TestTotalsOfDays(t *testing.T) {
	t.Parallel()
	client, store := sandboxShop(t, nil)
	require.NoError(t, client.UpsertActivity(t.Context(), shopify.MarketingActivity{RemoteID: "m", Title: "M", Medium: shopify.ByEmail, URL: "https://x.example/"}))
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	results, err := client.CreateEngagements(t.Context(), []shopify.Engagement{
		{RemoteID: "m", Day: day, Offset: 5*time.Hour + 30*time.Minute, Sends: number(10), Deliveries: number(9), Views: number(4), UniqueViews: number(3),
			Clicks: number(2), UniqueClicks: number(1), Bounces: number(1), Unsubscribes: number(0), Complaints: number(0)},
		{RemoteID: "unheard-of", Day: day, Sends: number(1)},
		{RemoteID: "m", Day: day.AddDate(0, 0, 1), Offset: -9*time.Hour - 30*time.Minute, Sends: number(5)},
		{RemoteID: "m", Day: day, Offset: 15 * time.Hour, Sends: number(1)},
	})
	require.NoError(t, err)
	require.NoError(t, results[0])
	require.Equal(t, shopify.CodeNoActivity, failure.As(results[1]).Code)
	require.NoError(t, results[2])
	require.Equal(t, failure.Refused, failure.ClassOf(results[3]), "%v", results[3])
	want := []shop.Engagement{
		{Day: "2026-11-22", Offset: "+05:30", Counts: map[string]int{"sendsCount": 10, "impressionsCount": 9, "viewsCount": 4, "uniqueViewsCount": 3,
			"clicksCount": 2, "uniqueClicksCount": 1, "failsCount": 1, "unsubscribesCount": 0, "complaintsCount": 0}},
		{Day: "2026-11-23", Offset: "-09:30", Counts: map[string]int{"sendsCount": 5}},
	}
	require.Empty(t, cmp.Diff(want, store.Engagements()[0].Days))

	// A day that is told again is replaced.
	results, err = client.CreateEngagements(t.Context(), []shopify.Engagement{{RemoteID: "m", Day: day, Sends: number(11)}})
	require.NoError(t, err)
	require.NoError(t, results[0])
	require.Equal(t, map[string]int{"sendsCount": 11}, store.Engagements()[0].Days[0].Counts)

	nothing, err := client.CreateEngagements(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, nothing)
	before := store.MarketingWrites()
	_, err = client.CreateEngagements(t.Context(), make([]shopify.Engagement, shopify.MaxEngagements+1))
	require.Error(t, err)
	require.Equal(t, before, store.MarketingWrites())
}

func definitions() []shopify.Definition {
	return []shopify.Definition{{Key: "last_sent", Name: "Last sent", Type: shopify.DateTimeField}, {Key: "sent", Name: "Sent", Type: shopify.IntegerField}}
}

func TestMetafieldDefinitions(t *testing.T) {
	t.Parallel()
	client, store := sandboxShop(t, nil)
	for range 2 { // the second time they are there
		require.NoError(t, client.DefineMetafields(t.Context(), definitions()))
	}
	require.Equal(t, map[string]shop.Definition{
		"$app:concord.last_sent": {Namespace: "$app:concord", Key: "last_sent", Name: "Last sent", Type: "date_time", Filterable: true},
		"$app:concord.sent":      {Namespace: "$app:concord", Key: "sent", Name: "Sent", Type: "number_integer", Filterable: true},
	}, store.Definitions())

	full, _ := sandboxShop(t, func(c *shop.Config) { c.Switches.MetafieldDefinitionsFull = true })
	err := full.DefineMetafields(t.Context(), definitions())
	require.Equal(t, failure.PersonMustAct, failure.ClassOf(err), "%v", err)
	require.Contains(t, err.Error(), "Custom data")
}

func TestMetafieldsGoInGroupsThatAreStoredAsAWhole(t *testing.T) {
	t.Parallel()
	client, store := sandboxShop(t, nil)
	require.NoError(t, client.DefineMetafields(t.Context(), definitions()))
	var people []shopify.CustomerID
	for n := range 30 {
		id, err := store.CreateCustomer(shop.NewCustomer{Email: fmt.Sprintf("person%d@example.com", n)})
		require.NoError(t, err)
		people = append(people, shopify.CustomerID(id))
	}
	gone := people[29]
	require.NoError(t, store.DeleteCustomer(shop.CustomerID(gone)))
	field := func(customer shopify.CustomerID, value string) shopify.Metafield {
		return shopify.Metafield{Customer: customer, Key: "sent", Type: shopify.IntegerField, Value: value}
	}
	var full []shopify.Metafield
	for _, customer := range people[:shopify.MaxMetafields] {
		full = append(full, field(customer, "1"))
	}
	results, err := client.SetMetafields(t.Context(), [][]shopify.Metafield{
		full,
		{field(people[25], "1"), field(gone, "1")},
		{field(people[26], "many")},
		{{Customer: people[27], Key: "last_sent", Type: shopify.IntegerField, Value: "1"}},
		{field(people[28], "7"), {Customer: people[28], Key: "last_sent", Type: shopify.DateTimeField, Value: "2026-11-22T10:00:00Z"}},
	})
	require.NoError(t, err)
	require.Equal(t, shopify.MetafieldResult{}, results[0])
	require.Len(t, results[1].Refused, 1)
	require.Equal(t, shopify.CodeNoOwner, failure.As(results[1].Refused[1]).Code)
	for _, n := range []int{2, 3} {
		require.Equal(t, failure.Refused, failure.ClassOf(results[n].Refused[0]), "%+v", results[n])
		require.NotEqual(t, shopify.CodeNoOwner, failure.As(results[n].Refused[0]).Code)
	}
	require.Equal(t, shopify.MetafieldResult{}, results[4])
	for n, want := range map[int]map[string]string{
		0: {"$app:concord.sent": "1"}, 24: {"$app:concord.sent": "1"}, 25: nil, 26: nil, 27: nil,
		28: {"$app:concord.sent": "7", "$app:concord.last_sent": "2026-11-22T10:00:00Z"},
	} {
		require.Equal(t, want, store.Metafields(shop.CustomerID(people[n])), "person %d", n)
	}

	before := store.Requests()["metafieldsSet"]
	for what, groups := range map[string][][]shopify.Metafield{
		"too many in a group": {append(full, field(people[0], "1"))}, "an empty group": {{}}, "too many groups": make([][]shopify.Metafield, shopify.MaxMetafieldSets+1),
	} {
		_, err := client.SetMetafields(t.Context(), groups)
		require.Error(t, err, what)
	}
	nothing, err := client.SetMetafields(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, nothing)
	require.Equal(t, before, store.Requests()["metafieldsSet"])
}

func TestTheShopsZone(t *testing.T) {
	t.Parallel()
	client, _ := sandboxShop(t, nil)
	zone, err := client.ShopZone(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Asia/Kolkata", zone.String())
	elsewhere, _ := sandboxShop(t, func(c *shop.Config) { c.Zone = "Mars/Olympus" })
	_, err = elsewhere.ShopZone(t.Context())
	require.Equal(t, failure.PersonMustAct, failure.ClassOf(err), "%v", err)
}

// How every call about events fails: what may have taken effect says so, and a scope that is missing is a person's to add.
func TestFailuresOfMarketing(t *testing.T) {
	t.Parallel()
	calls := map[string]func(context.Context, *shopify.Client, shopify.CustomerID) error{
		"marketingActivityUpsertExternal": func(ctx context.Context, c *shopify.Client, _ shopify.CustomerID) error {
			return c.UpsertActivity(ctx, shopify.MarketingActivity{RemoteID: "m", Title: "M", Medium: shopify.ByEmail, URL: "https://x.example/"})
		},
		"marketingEngagementCreate": func(ctx context.Context, c *shopify.Client, _ shopify.CustomerID) error {
			results, err := c.CreateEngagements(ctx, []shopify.Engagement{{RemoteID: "known", Day: time.Unix(0, 0), Sends: number(1)}})
			if err == nil {
				err = results[0]
			}
			return err
		},
		"metafieldDefinitionCreate": func(ctx context.Context, c *shopify.Client, _ shopify.CustomerID) error {
			return c.DefineMetafields(ctx, definitions())
		},
		"metafieldsSet": func(ctx context.Context, c *shopify.Client, customer shopify.CustomerID) error {
			results, err := c.SetMetafields(ctx, [][]shopify.Metafield{{{Customer: customer, Key: "sent", Type: shopify.IntegerField, Value: "1"}}})
			if err == nil {
				err = results[0].Err
			}
			return err
		},
	}
	for operation, call := range calls {
		for _, row := range []struct {
			kind  fault.Kind
			maybe bool
		}{{"", false}, {fault.ServerError, false}, {fault.HTMLError, false}, {fault.ErrorAfter, true}, {fault.TooManyRequests, false}, {fault.Throttled, false}} {
			t.Run(operation+"/"+string(row.kind), func(t *testing.T) {
				t.Parallel()
				client, store := sandboxShop(t, nil)
				customer, err := store.CreateCustomer(shop.NewCustomer{Email: "ann@example.com"})
				require.NoError(t, err)
				require.Empty(t, store.UpsertActivity(shop.Activity{RemoteID: "known", Campaign: "known"}))
				if row.kind != "" {
					store.Faults.Set(1, fault.Rule{Operation: operation, Kind: row.kind})
				}
				err = call(t.Context(), client, shopify.CustomerID(customer))
				if row.kind == "" {
					require.NoError(t, err)
					return
				}
				require.Equal(t, failure.Retry, failure.ClassOf(err), "%v", err)
				require.NotContains(t, err.Error(), "@")
				if row.maybe {
					require.True(t, failure.As(err).MaybeDone, "%v", err)
				}
			})
		}
		t.Run(operation+"/no scope", func(t *testing.T) {
			t.Parallel()
			client, store := sandboxShop(t, func(c *shop.Config) { c.Scopes = []string{"read_orders"} })
			customer, err := store.CreateCustomer(shop.NewCustomer{Email: "ann@example.com"})
			require.NoError(t, err)
			err = call(t.Context(), client, shopify.CustomerID(customer))
			require.Equal(t, failure.PersonMustAct, failure.ClassOf(err), "%v", err)
			require.True(t, strings.Contains(err.Error(), "scope"), "%v", err)
		})
	}
}
