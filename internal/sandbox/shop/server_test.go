package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/sandbox/fault"
)

const shopQuery = `{shop{name}}`

func TestHeaders(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	first, second := b.send(shopQuery, "", staticToken), b.send(shopQuery, "", "wrong")
	require.Equal(t, "2026-10", first.header.Get("X-Shopify-API-Version"))
	require.Contains(t, first.header.Get("Content-Type"), "application/json")
	require.NotEmpty(t, first.header.Get("X-Request-Id"))
	require.NotEqual(t, first.header.Get("X-Request-Id"), second.header.Get("X-Request-Id"))
	fallen := newBench(t, func(c *Config) { c.ServedVersion = "2027-01" })
	require.Equal(t, "2027-01", fallen.send(shopQuery, "", staticToken).header.Get("X-Shopify-API-Version"))
}

// TestRefusedRequests never reach GraphQL; errors is a string (contracts/shopify.md 7).
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	const graphQL = "/admin/api/2026-10/graphql.json"
	b := newBench(t, nil)
	for _, row := range []struct {
		name, path, contentType, token, body string
		status                               int
	}{
		{"unknown path", "/admin/api/2026-10/customers.json", "application/json", staticToken, `{}`, http.StatusNotFound},
		{"unknown version", "/admin/api/1999-01/graphql.json", "application/json", staticToken, `{}`, http.StatusNotFound},
		{"wrong token", graphQL, "application/json", "wrong", `{"query":"{shop{name}}"}`, http.StatusUnauthorized},
		{"wrong token and broken query", graphQL, "application/json", "wrong", `{"query":"{"}`, http.StatusUnauthorized},
		{"no JSON", graphQL, "application/json", staticToken, `{shop}`, http.StatusBadRequest},
		{"no query", graphQL, "application/json", staticToken, `{}`, http.StatusBadRequest},
		{"form", graphQL, "application/x-www-form-urlencoded", staticToken, `query=x`, http.StatusBadRequest},
		{"huge", graphQL, "application/json", staticToken, `{"query":"` + strings.Repeat(" ", maxBody) + `"}`, http.StatusRequestEntityTooLarge},
	} {
		answer := b.post(row.path, row.contentType, row.token, []byte(row.body))
		require.Equal(t, row.status, answer.status, row.name)
		var body struct{ Errors string }
		require.NoError(t, json.Unmarshal(answer.body, &body), "%s: %s", row.name, answer.body)
		require.NotEmpty(t, body.Errors, row.name)
	}
}

// TestThrottling: contracts/shopify.md 2.1 and 2.3.
func TestThrottling(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	dear := `mutation{` + strings.Join(aliased(99, `customerCreate(input:{}){userErrors{message}}`), " ") + `}`
	for range 2 {
		answer := b.graphQL(dear, "")
		require.Empty(t, answer.Errors, answer.raw)
	}
	writes := len(b.store.Writes())
	answer := b.graphQL(dear, "")
	require.JSONEq(t, `{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED","documentation":"https://shopify.dev/api/usage/rate-limits"}}],
		"extensions":{"cost":{"requestedQueryCost":990,"actualQueryCost":null,
		"throttleStatus":{"maximumAvailable":2000,"currentlyAvailable":20,"restoreRate":100}}}}`, answer.raw)
	require.Len(t, b.store.Writes(), writes, "nothing ran")

	b.clock.advance(9690 * time.Millisecond)
	require.Contains(t, b.graphQL(dear, "").raw, `"currentlyAvailable":989`)
	b.clock.advance(10 * time.Millisecond)
	answer = b.graphQL(dear, "")
	require.Empty(t, answer.Errors, answer.raw)
	require.Equal(t, 0, answer.Extensions.Cost.Throttle.CurrentlyAvailable)
	b.clock.advance(time.Hour)
	require.Equal(t, 2000, b.store.Budget().CurrentlyAvailable, "the bucket does not overflow")
	b.clock.advance(-time.Minute)
	require.Equal(t, 2000, b.store.Budget().CurrentlyAvailable)
}

func TestPlans(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		config        Config
		rate, maximum int
	}{
		{Config{}, 100, 2000},
		{Config{Plan: Standard}, 100, 2000},
		{Config{Plan: Advanced}, 200, 4000},
		{Config{Plan: Plus}, 1000, 20000},
		{Config{Plan: Enterprise}, 2000, 40000},
		{Config{Plan: Plus, RestoreRate: 5}, 5, 100},
	} {
		require.Equal(t, ThrottleStatus{row.maximum, row.maximum, row.rate}, New(row.config).Budget(), "%+v", row.config)
	}
}

// TestTooDear: judged before execution, on any plan.
func TestTooDear(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Plan = Enterprise })
	answer := b.graphQL(`mutation{`+strings.Join(aliased(101, `customerCreate(input:{}){userErrors{message}}`), " ")+`}`, "")
	var errors []struct {
		Message    string
		Extensions struct {
			Code          string
			Cost, MaxCost int
			Documentation string
		}
	}
	require.NoError(t, json.Unmarshal(answer.Errors, &errors))
	require.Len(t, errors, 1)
	require.True(t, strings.HasPrefix(errors[0].Message, "Query cost is 1010, which exceeds the single query max cost limit (1000).\n\nSee https://shopify.dev/concepts/about-apis/rate-limits "), errors[0].Message)
	require.Equal(t, "MAX_COST_EXCEEDED", errors[0].Extensions.Code)
	require.Equal(t, 1010, errors[0].Extensions.Cost)
	require.Equal(t, 1000, errors[0].Extensions.MaxCost)
	require.Nil(t, answer.Data)
	require.Empty(t, b.store.Writes())
	require.Equal(t, 40000, b.store.Budget().CurrentlyAvailable)
}

func TestTooLongList(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	ids := func(n int) string {
		return `{"ids":["` + strings.Repeat(`gid://shopify/Customer/1","`, n-1) + `gid://shopify/Customer/1"]}`
	}
	const query = `query($ids:[ID!]!){nodes(ids:$ids){id}}`
	require.Empty(t, b.graphQL(query, ids(250)).Errors)
	answer := b.graphQL(query, ids(251))
	require.JSONEq(t, `[{"message":"The input array size of 251 is greater than the maximum allowed of 250.","path":["nodes","ids"],
		"extensions":{"code":"MAX_INPUT_SIZE_EXCEEDED"}}]`, string(answer.Errors))
	require.Contains(t, answer.raw, `"data":null`)
	require.Equal(t, 1, answer.Extensions.Cost.Requested)
	require.Nil(t, answer.Extensions.Cost.Actual)
}

// subscribe is a write that has an effect the first time.
const subscribe = `mutation{go:customerEmailMarketingConsentUpdate(input:{customerId:"gid://shopify/Customer/1",emailMarketingConsent:` +
	`{marketingState:SUBSCRIBED,marketingOptInLevel:SINGLE_OPT_IN}}){userErrors{message}}}`

func TestFaultsThatAnswer(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		kind        fault.Kind
		status      int
		contentType string
		body        string
		wrote       bool
	}{
		{fault.TooManyRequests, http.StatusTooManyRequests, "application/json", `"errors":"`, false},
		{fault.Throttled, http.StatusOK, "application/json", `"code":"THROTTLED"`, false},
		{fault.ServerError, http.StatusServiceUnavailable, "application/json", `"errors":"`, false},
		{fault.HTMLError, http.StatusBadGateway, "text/html", `<html>`, false},
		{fault.ErrorAfter, http.StatusInternalServerError, "application/json", `"errors":"`, true},
		{fault.Latency, http.StatusOK, "application/json", `"userErrors":[]`, true},
	} {
		t.Run(string(row.kind), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) { c.Latency, c.Switches.RetryAfter = 2*time.Millisecond, 1500*time.Millisecond })
			b.customer("a@example.com", Consent{})
			b.store.Faults.Set(1, fault.Rule{Operation: byMail.operation, Kind: row.kind, Delay: time.Millisecond, Times: 1})
			require.Equal(t, http.StatusOK, b.send(shopQuery, "", staticToken).status, "another operation is not struck")
			answer := b.send(subscribe, "", staticToken)
			require.Equal(t, row.status, answer.status, "%s", answer.body)
			require.Contains(t, answer.header.Get("Content-Type"), row.contentType)
			require.Contains(t, string(answer.body), row.body)
			require.Equal(t, row.kind == fault.TooManyRequests, answer.header.Get("Retry-After") == "2")
			if row.kind == fault.Throttled {
				require.Contains(t, string(answer.body), `"requestedQueryCost":10,"actualQueryCost":null`)
				require.Contains(t, string(answer.body), `"currentlyAvailable":9,`)
			}
			require.Equal(t, row.wrote, len(b.store.Writes()) == 1)
			require.Equal(t, map[fault.Kind]int{row.kind: 1}, b.store.Faults.Struck())
			require.Equal(t, map[string]int{byMail.operation: 1, "shop": 1}, b.store.Requests())
			require.Equal(t, http.StatusOK, b.send(subscribe, "", staticToken).status, "the rule is spent")
		})
	}
}

// TestTimeouts: the answer never comes, whether or not the write took effect, and nothing is left behind when the client gives up.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		kind  fault.Kind
		delay time.Duration // zero waits for the client
		wrote bool
	}{
		{fault.TimeoutBefore, 0, false},
		{fault.TimeoutBefore, time.Millisecond, false},
		{fault.TimeoutBefore, time.Hour, false},
		{fault.TimeoutAfter, 0, true},
		{fault.TimeoutAfter, time.Millisecond, true},
		{fault.TimeoutAfter, time.Hour, true},
		{fault.Latency, time.Hour, false},
	} {
		t.Run(string(row.kind)+" "+row.delay.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.customer("a@example.com", Consent{})
			b.store.Faults.Set(1, fault.Rule{Operation: byMail.operation, Kind: row.kind, Delay: row.delay})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			body, err := json.Marshal(map[string]string{"query": subscribe})
			require.NoError(t, err)
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/admin/api/2026-10/graphql.json", bytes.NewReader(body))
			require.NoError(t, err)
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("X-Shopify-Access-Token", staticToken)
			failed := make(chan error, 1)
			go func() {
				answer, err := b.client.Do(request)
				if err == nil {
					_ = answer.Body.Close()
				}
				failed <- err
			}()
			if row.delay != time.Millisecond {
				require.Eventually(t, func() bool {
					return b.store.Faults.Struck()[row.kind] == 1 && row.wrote == (len(b.store.Writes()) == 1)
				},
					10*time.Second, time.Millisecond)
				cancel()
			}
			require.Error(t, <-failed, "no answer")
			require.Equal(t, row.wrote, len(b.store.Writes()) == 1)
		})
	}
}

func TestTokenFaults(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for kind, status := range map[fault.Kind]int{
		fault.ServerError: http.StatusServiceUnavailable, fault.Throttled: http.StatusTooManyRequests, fault.ErrorAfter: http.StatusInternalServerError,
	} {
		b.store.Faults.Set(1, fault.Rule{Operation: "token", Kind: kind})
		require.Equal(t, status, b.grant(nil).status, kind)
	}
}

// TestOperationNames: faults go by the first root field, whatever the client calls its operation or its aliases.
func TestOperationNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, query := range []string{
		`{shop{name}}`, `query Customers{x:shop{name} orders(first:1){nodes{id}}}`, `{...f} fragment f on QueryRoot{...on QueryRoot{y:shop{id}}}`,
	} {
		require.Empty(t, b.graphQL(query, "").Errors)
	}
	b.graphQL(`{...f} fragment f on QueryRoot{...f}`, "")
	b.graphQL(`{`, "")
	require.Equal(t, map[string]int{"shop": 3, "": 2}, b.store.Requests())
}

// TestManyClients races reads and writes against each other; the race detector judges.
func TestManyClients(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Plan = Enterprise })
	b.customer("a@example.com", Consent{})
	done := make(chan bool)
	for worker := range 8 {
		go func() {
			defer func() { done <- true }()
			for n := range 20 {
				email := itoa(worker*100+n) + "@example.com"
				b.store.countRequest("test")
				if _, err := b.store.CreateCustomer(NewCustomer{Email: email}); err != nil {
					t.Error(err)
				}
				for _, query := range []string{
					subscribe, `{customers(first:50,sortKey:UPDATED_AT){nodes{id defaultEmailAddress{emailAddress}} pageInfo{hasNextPage}}}`,
					`{orders(first:10){nodes{id}}}`,
				} {
					body, _ := json.Marshal(map[string]string{"query": query})
					request, _ := http.NewRequest(http.MethodPost, b.url+"/admin/api/2026-10/graphql.json", bytes.NewReader(body))
					request.Header.Set("Content-Type", "application/json")
					request.Header.Set("X-Shopify-Access-Token", staticToken)
					answer, err := b.client.Do(request)
					if err != nil {
						t.Error(err)
						continue
					}
					_ = answer.Body.Close()
				}
			}
		}()
	}
	for range 8 {
		<-done
	}
	require.Len(t, b.store.Customers(), 161)
	require.Len(t, b.store.Writes(), 160)
}
