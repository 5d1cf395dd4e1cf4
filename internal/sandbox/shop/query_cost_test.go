package shop

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/concordsync/concord/internal/shopify"
)

// TestRequestedCost holds the formula against the table of contracts/shopify.md 2.2.
func TestRequestedCost(t *testing.T) {
	t.Parallel()
	const email = `defaultEmailAddress{emailAddress marketingState marketingUpdatedAt}`
	const phone = `defaultPhoneNumber{phoneNumber marketingState}`
	const sms = `defaultPhoneNumber{phoneNumber smsMarketingConsent{state}}`
	const consentInput = `input:{customerId:"gid://shopify/Customer/1",emailMarketingConsent:{marketingState:SUBSCRIBED}}`
	tables := []struct {
		name, schema string
		rows         []struct {
			query string
			cost  int
		}
	}{
		{"our schema", shopify.Schema, []struct {
			query string
			cost  int
		}{
			{`{customers(first:250){nodes{id}}}`, 13},
			{`{customers(first:250){edges{node{id}}}}`, 13},
			{`{customers(first:250){nodes{id} edges{cursor node{id}} pageInfo{endCursor}}}`, 24},
			{`{customers(last:250){nodes{id updatedAt} pageInfo{hasNextPage}}}`, 13},
			{`{customers(first:250){nodes{id ` + email + `}}}`, 24},
			{`{customers(first:250){nodes{id ` + email + sms + `}}}`, 46},
			{`{nodes(ids:["gid://shopify/Customer/1"]){id ...on Customer{` + email + sms + `}}}`, 4},
			{`{customerByIdentifier(identifier:{phoneNumber:"+16134505293"}){id ` + email + sms + `}}`, 4},
			{`mutation{customerSmsMarketingConsentUpdate(input:{customerId:"gid://shopify/Customer/1",smsMarketingConsent:{marketingState:PENDING}}){customer{` + email + sms + `}}}`, 13},
			{`mutation{customerCreate(input:{}){customer{id ` + email + sms + `}}}`, 13},
			{`{customers(first:0){nodes{id}}}`, 2},
			{`{nodes(ids:["gid://shopify/Customer/1"]){id ...on Customer{` + email + `}}}`, 2},
			{`{nodes(ids:["gid://shopify/Customer/1"]){id ...on Customer{` + email + `} ...on Order{customer{` + email + `}}}}`, 3},
			{`{customer(id:"gid://shopify/Customer/1"){id ` + email + `}}`, 2},
			{`{a:customer(id:"gid://shopify/Customer/1"){id} b:customer(id:"gid://shopify/Customer/1"){id}}`, 2},
			{`{customerByIdentifier(identifier:{emailAddress:"a@example.com"}){id ` + email + `}}`, 2},
			{`{orders(first:250){nodes{id createdAt}}}`, 13},
			{`{orders(first:250){nodes{id createdAt customer{id}}}}`, 24},
			{`{shop{name plan{publicDisplayName}}}`, 2},
			{`{__typename}`, 1},
			{`{webhookSubscriptions(first:50){nodes{id topic uri} pageInfo{endCursor}}}`, 9},
			{`mutation{webhookSubscriptionCreate(topic:ORDERS_CREATE,webhookSubscription:{}){webhookSubscription{id uri} userErrors{message}}}`, 10},
			{`mutation{webhookSubscriptionDelete(id:"gid://shopify/WebhookSubscription/1"){deletedWebhookSubscriptionId}}`, 10},
			{`mutation{customerEmailMarketingConsentUpdate(` + consentInput + `){userErrors{message}}}`, 10},
			{`mutation{customerEmailMarketingConsentUpdate(` + consentInput + `){customer{id}}}`, 10},
			{`mutation{customerEmailMarketingConsentUpdate(` + consentInput + `){customer{id ` + email + `} userErrors{message}}}`, 11},
			{`mutation{customerCreate(input:{}){customer{id}}}`, 10},
			{`mutation{customerCreate(input:{}){customer{id ` + email + `}}}`, 11},
			{`mutation{` + strings.Join(aliased(6, `customerCreate(input:{}){customer{id}}`), " ") + `}`, 60},
			{`mutation{` + strings.Join(aliased(100, `customerCreate(input:{}){customer{id}}`), " ") + `}`, 1000},
			{`{customers(first:1){nodes{orders(first:2){nodes{id}}}}}`, 2 + 1*(1+2+1)},
		}},
		{"the whole contract", contractSchema(t), []struct {
			query string
			cost  int
		}{
			{`{customers(first:250){nodes{id ` + email + phone + `}}}`, 35},
			{`{customers(first:250){nodes{id ` + email + phone + ` lastOrder{id createdAt}}}}`, 46},
			{`{customers(first:100){nodes{id ` + email + phone + `}}}`, 29},
			{`{customers(first:50){nodes{id ` + email + phone + `}}}`, 23},
			{`{customers(first:250){nodes{id ` + email + ` defaultPhoneNumber{smsMarketingConsent{state}} lastOrder{id}}}}`, 57},
			{`{nodes(ids:["gid://shopify/Customer/1"]){...on Customer{` + email + phone + `}}}`, 3},
			{`{customer(id:"gid://shopify/Customer/1"){` + email + phone + `}}`, 3},
			{`{customers(first:250){nodes{id amountSpent{amount} emailMarketingConsent{marketingState}}}}`, 13},
			{`mutation{customerCreate(input:{}){customer{id ` + email + phone + `}}}`, 12},
			{`mutation{customerUpdate(input:{}){customer{id}}}`, 10},
			{`mutation{tagsAdd(id:"gid://shopify/Customer/1",tags:["a"]){userErrors{message}}}`, 10},
			{`mutation($i:MarketingActivityUpsertExternalInput!){marketingActivityUpsertExternal(input:$i){marketingActivity{id marketingEvent{id}}}}`, 11},
			{`mutation{bulkOperationRunQuery(query:""){bulkOperation{id}}}`, 10},
			{`mutation{bulkOperationCancel(id:"gid://shopify/BulkOperation/1"){bulkOperation{id}}}`, 10},
			{`{bulkOperation(id:"gid://shopify/BulkOperation/1"){id}}`, 1},
			{`{bulkOperations(first:10){nodes{id}}}`, 6},
			{`{webhookSubscriptions(first:50){nodes{id}}}`, 9},
			{`mutation{flowTriggerReceive(handle:"a"){userErrors{message}}}`, 1},
			{`mutation($i:[StagedUploadInput!]!){stagedUploadsCreate(input:$i){userErrors{message}}}`, 11},
		}},
	}
	for _, table := range tables {
		t.Run(table.name, func(t *testing.T) {
			t.Parallel()
			if table.schema == "" {
				t.Skip("needs ../shared/contracts/shopify-admin-2026-10.graphql beside the repository")
			}
			schema := gqlparser.MustLoadSchema(&ast.Source{Input: table.schema})
			for _, row := range table.rows {
				document, refused := parseDocument(row.query)
				require.Empty(t, refused, row.query)
				require.Empty(t, validateDocument(schema, document), row.query)
				x := newExecution(nil, schema, document, document.Operations[0], inputs{})
				require.Equal(t, row.cost, x.requestedCost(), row.query)
			}
		})
	}
}

// contractSchema is empty where only the repository is checked out.
func contractSchema(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../../shared/contracts/shopify-admin-2026-10.graphql")
	if os.IsNotExist(err) {
		return ""
	}
	require.NoError(t, err)
	return string(text)
}

func aliased(times int, field string) []string {
	fields := make([]string, times)
	for n := range fields {
		fields[n] = "a" + itoa(n) + ":" + field
	}
	return fields
}

func TestSizePoints(t *testing.T) {
	t.Parallel()
	for rows, points := range map[int]int{
		-1: 0, 0: 0, 1: 1, 2: 1, 3: 2, 5: 3, 10: 4, 20: 5, 25: 6, 50: 7, 100: 9, 200: 10, 250: 11,
	} {
		require.Equal(t, points, sizePoints(rows), "%d rows", rows)
	}
}

// TestActualCost charges what the answer held (contracts/shopify.md 2.2).
func TestActualCost(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.customer("a@example.com", Consent{})
	b.customer("b@example.com", Consent{})
	b.customer("", Consent{})
	b.reachable(aPhone, Consent{})
	const write = `mutation($id:ID!){customerEmailMarketingConsentUpdate(input:{customerId:$id,emailMarketingConsent:` +
		`{marketingState:SUBSCRIBED,marketingOptInLevel:SINGLE_OPT_IN}}){customer{id defaultEmailAddress{emailAddress}} userErrors{message}}}`
	for _, row := range []struct {
		query, variables  string
		requested, actual int
	}{
		{write, `{"id":"gid://shopify/Customer/1"}`, 11, 11},
		{write, `{"id":"gid://shopify/Customer/99"}`, 11, 10},
		{write, `{"id":"gid://shopify/Customer/3"}`, 11, 10},
		{`{customer(id:"gid://shopify/Customer/99"){id defaultEmailAddress{emailAddress}}}`, "", 2, 1},
		{`{customer(id:"gid://shopify/Customer/1"){id defaultEmailAddress{emailAddress}}}`, "", 2, 2},
		{smsMutation, smsVariables("gid://shopify/Customer/4", Subscribed, SingleOptIn, ""), 12, 12},
		{smsMutation, smsVariables("gid://shopify/Customer/1", Subscribed, SingleOptIn, ""), 12, 10},
		{`{customers(first:250){nodes{id}}}`, "", 13, 4},
		{`{customers(first:250,query:"updated_at:>2030-01-01"){nodes{id}}}`, "", 13, 2},
		{`{nodes(ids:["gid://shopify/Customer/1","gid://shopify/Customer/99"]){id ...on Customer{defaultEmailAddress{emailAddress}}}}`, "", 2, 2},
		{`{nodes(ids:["gid://shopify/Customer/3"]){id ...on Customer{defaultEmailAddress{emailAddress}}}}`, "", 2, 1},
	} {
		before := b.store.Budget().CurrentlyAvailable
		answer := b.graphQL(row.query, row.variables)
		cost := answer.Extensions.Cost
		require.Equal(t, row.requested, cost.Requested, "requested: %s %s", row.query, answer.raw)
		require.NotNil(t, cost.Actual, answer.raw)
		require.Equal(t, row.actual, *cost.Actual, "actual: %s %s", row.query, answer.raw)
		require.Equal(t, before-row.actual, cost.Throttle.CurrentlyAvailable, "the rest is given back: %s", answer.raw)
	}
}
