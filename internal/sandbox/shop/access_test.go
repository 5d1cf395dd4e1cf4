package shop

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (b *bench) grant(form url.Values) response {
	b.t.Helper()
	return b.post("/admin/oauth/access_token", "application/x-www-form-urlencoded", "", []byte(form.Encode()))
}

// TestClientCredentials: contracts/shopify.md 1.
func TestClientCredentials(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Scopes = []string{"read_customers", "write_customers"} })
	good := url.Values{"grant_type": {"client_credentials"}, "client_id": {"id"}, "client_secret": {"secret"}}
	answer := b.grant(good)
	require.Equal(t, http.StatusOK, answer.status)
	var token struct {
		AccessToken string `json:"access_token"`
		Scope       string
		ExpiresIn   int `json:"expires_in"`
	}
	require.NoError(t, json.Unmarshal(answer.body, &token))
	require.Equal(t, "read_customers,write_customers", token.Scope)
	require.Equal(t, 86399, token.ExpiresIn)
	require.Equal(t, http.StatusOK, b.send("{shop{name}}", "", token.AccessToken).status)

	b.clock.advance(86399 * time.Second)
	refused := b.send("{shop{name}}", "", token.AccessToken)
	require.Equal(t, http.StatusUnauthorized, refused.status, "the token has expired")
	require.JSONEq(t, `{"errors":"[API] Invalid API key or access token (unrecognized login or wrong password)"}`, string(refused.body))
	require.Equal(t, http.StatusOK, b.send("{shop{name}}", "", staticToken).status)

	b.store.RevokeTokens()
	require.Equal(t, http.StatusUnauthorized, b.send("{shop{name}}", "", staticToken).status)
	require.Equal(t, http.StatusUnauthorized, b.send("{shop{name}}", "", "").status)

	wrong := url.Values{"grant_type": {"client_credentials"}, "client_id": {"id"}, "client_secret": {"wrong"}}
	answer = b.grant(wrong)
	require.Equal(t, http.StatusBadRequest, answer.status)
	require.Contains(t, string(answer.body), `"error":"invalid_client"`)
	b.store.SetSwitches(Switches{WrongSecretStatus: http.StatusUnauthorized})
	require.Equal(t, http.StatusUnauthorized, b.grant(wrong).status)

	answer = b.grant(url.Values{"grant_type": {"password"}})
	require.Equal(t, http.StatusBadRequest, answer.status)
	require.Contains(t, string(answer.body), "unsupported_grant_type")

	b.store.SetSwitches(Switches{ShopNotPermitted: true})
	answer = b.grant(good)
	require.Equal(t, http.StatusBadRequest, answer.status)
	require.JSONEq(t, `{"error":"shop_not_permitted","error_description":"Client credentials cannot be performed on this shop."}`, string(answer.body))
	b.store.SetSwitches(Switches{ShopNotPermitted: true, ShopNotPermittedStatus: http.StatusForbidden})
	require.Equal(t, http.StatusForbidden, b.grant(good).status)

	answer = b.post("/admin/oauth/access_token", "application/json", "", []byte(`{}`))
	require.Equal(t, http.StatusBadRequest, answer.status)
}

func TestNoCredentialsNoToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.ClientID, c.ClientSecret, c.Token = "", "", "" })
	answer := b.grant(url.Values{"grant_type": {"client_credentials"}, "client_id": {""}, "client_secret": {""}})
	require.Equal(t, http.StatusBadRequest, answer.status)
	require.Equal(t, http.StatusUnauthorized, b.send("{shop{name}}", "", "").status)
}

// TestScopes: contracts/shopify.md 1 and 7.
func TestScopes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, query, data, denied, scope string
		scopes                           []string
	}{
		{"customers", `{ customers(first: 1) { nodes { id } } shop { name } }`,
			`{"customers":null,"shop":{"name":"example.myshopify.com"}}`, `["customers"]`, "read_customers", []string{"read_orders"}},
		{"customer", `{ customer(id: "gid://shopify/Customer/1") { id } }`, `{"customer":null}`, `["customer"]`, "read_customers", []string{}},
		{"by identifier", `{ found: customerByIdentifier(identifier: {id: "gid://shopify/Customer/1"}) { id } }`,
			`{"found":null}`, `["found"]`, "read_customers", []string{"read_orders"}},
		{"nodes", `{ nodes(ids: ["gid://shopify/Customer/1"]) { id } }`, `{"nodes":[null]}`, `["nodes",0]`, "read_customers", []string{}},
		{"orders", `{ orders(first: 1) { nodes { id } } }`, `{"orders":null}`, `["orders"]`, "read_orders", []string{"read_customers"}},
		{"orders of a customer", `{ customer(id: "gid://shopify/Customer/1") { orders(first: 1) { nodes { id } } } }`,
			`{"customer":null}`, `["customer","orders"]`, "read_orders", []string{"read_customers"}},
		{"customer of an order", `{ orders(first: 1) { nodes { test customer { id } } } }`,
			`{"orders":{"nodes":[{"test":false,"customer":null}]}}`, `["orders","nodes",0,"customer"]`, "read_customers", []string{"read_orders"}},
		{"write", `mutation { customerCreate(input: {email: "b@example.com"}) { customer { id } } }`,
			`{"customerCreate":null}`, `["customerCreate"]`, "write_customers", []string{"read_customers"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) { c.Scopes = row.scopes })
			id := b.customer("a@example.com", Consent{})
			_, err := b.store.PlaceOrder(Order{CustomerID: id})
			require.NoError(t, err)
			answer := b.graphQL(row.query, "")
			require.JSONEq(t, row.data, string(answer.Data), answer.raw)
			var errors []struct {
				Message    string
				Locations  []location
				Path       json.RawMessage
				Extensions map[string]string
			}
			require.NoError(t, json.Unmarshal(answer.Errors, &errors), answer.raw)
			require.Len(t, errors, 1)
			require.JSONEq(t, row.denied, string(errors[0].Path))
			require.Contains(t, errors[0].Message, "field. Required access: `"+row.scope+"` access scope.")
			require.Len(t, errors[0].Locations, 1)
			require.Equal(t, map[string]string{
				"code": "ACCESS_DENIED", "documentation": "https://shopify.dev/api/usage/access-scopes",
				"requiredAccess": "`" + row.scope + "` access scope.",
			}, errors[0].Extensions)
			require.Empty(t, b.store.Writes())
		})
	}
}

// TestOldOrders: beyond 60 days orders need read_all_orders.
func TestOldOrders(t *testing.T) {
	t.Parallel()
	for scope, seen := range map[string]int{"write_customers": 1, "read_all_orders": 2} {
		b := newBench(t, func(c *Config) { c.Scopes = []string{"read_orders", scope} })
		for _, age := range []time.Duration{59 * 24 * time.Hour, 61 * 24 * time.Hour} {
			_, err := b.store.PlaceOrder(Order{Email: "guest@example.com", CreatedAt: startTime.Add(-age)})
			require.NoError(t, err)
		}
		page, answer := b.list("orders", "first:10")
		require.Len(t, page.Nodes, seen, "%s: %s", scope, answer.raw)
	}
}

// TestProtectedData: contracts/shopify.md 1: HTTP 200, null, and a message with its path.
func TestProtectedData(t *testing.T) {
	t.Parallel()
	const query = `{ customers(first: 1) { nodes { id defaultEmailAddress { emailAddress } } }
		state: customers(first: 1) { nodes { defaultEmailAddress { marketingState } } } orders(first: 1) { nodes { id email } }
		nodes(ids: ["gid://shopify/Customer/1"]) { id } }`
	for _, row := range []struct {
		level    ProtectedDataLevel
		data     string
		messages []string
		paths    []string
	}{
		{ProtectedDataAll, `{"customers":{"nodes":[{"id":"gid://shopify/Customer/1","defaultEmailAddress":{"emailAddress":"a@example.com"}}]},
			"state":{"nodes":[{"defaultEmailAddress":{"marketingState":"NOT_SUBSCRIBED"}}]},
			"orders":{"nodes":[{"id":"gid://shopify/Order/1","email":"a@example.com"}]},"nodes":[{"id":"gid://shopify/Customer/1"}]}`, nil, nil},
		{ProtectedDataLevel1, `{"customers":{"nodes":[{"id":"gid://shopify/Customer/1","defaultEmailAddress":null}]},
			"state":{"nodes":[{"defaultEmailAddress":{"marketingState":"NOT_SUBSCRIBED"}}]},
			"orders":{"nodes":[{"id":"gid://shopify/Order/1","email":null}]},"nodes":[{"id":"gid://shopify/Customer/1"}]}`,
			[]string{"use the emailAddress field", "use the email field"},
			[]string{`["customers","nodes",0,"defaultEmailAddress","emailAddress"]`, `["orders","nodes",0,"email"]`}},
		{ProtectedDataNone, `{"customers":null,"state":null,"orders":null,"nodes":[null]}`,
			[]string{"access the Customer object", "access the Customer object", "access the Order object", "access the Customer object"},
			[]string{`["customers"]`, `["state"]`, `["orders"]`, `["nodes",0]`}},
	} {
		b := newBench(t, func(c *Config) { c.ProtectedData = row.level })
		id := b.customer("a@example.com", Consent{})
		_, err := b.store.PlaceOrder(Order{CustomerID: id})
		require.NoError(t, err)
		answer := b.graphQL(query, "")
		require.JSONEq(t, row.data, string(answer.Data), answer.raw)
		var errors []struct {
			Message string
			Path    json.RawMessage
		}
		if answer.Errors != nil {
			require.NoError(t, json.Unmarshal(answer.Errors, &errors))
		}
		require.Len(t, errors, len(row.messages), answer.raw)
		for n, found := range errors {
			require.True(t, strings.HasPrefix(found.Message, "This app is not approved to "+row.messages[n]+
				". See https://partners.shopify.com/"), found.Message)
			require.True(t, strings.HasSuffix(found.Message, "/customer_data for more details."), found.Message)
			require.JSONEq(t, row.paths[n], string(found.Path))
		}
	}
}
