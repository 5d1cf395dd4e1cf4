package shop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocumentErrors: contracts/shopify.md 7 names the codes; texts and paths are graphql-ruby's, which Shopify runs.
func TestDocumentErrors(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, row := range []struct{ name, query, want string }{
		{"unknown field", `query Q { customers(first: 1) { nodes { id loyalty } } }`,
			`{"message":"Field 'loyalty' doesn't exist on type 'Customer'","locations":[{"line":1,"column":44}],
			  "path":["query Q","customers","nodes","loyalty"],
			  "extensions":{"code":"undefinedField","typeName":"Customer","fieldName":"loyalty"}}`},
		{"unknown field in a fragment", `{ shop { ...s } } fragment s on Shop { owner }`,
			`{"message":"Field 'owner' doesn't exist on type 'Shop'","locations":[{"line":1,"column":40}],"path":["fragment s","owner"],
			  "extensions":{"code":"undefinedField","typeName":"Shop","fieldName":"owner"}}`},
		{"missing argument", `{ customer { id } }`,
			`{"message":"Field 'customer' is missing required arguments: id","locations":[{"line":1,"column":3}],"path":["query","customer"],
			  "extensions":{"code":"missingRequiredArguments","className":"Field","name":"customer","arguments":"id"}}`},
		{"unknown argument", `{ shop(id: 1) { name } }`,
			`{"message":"Field 'shop' doesn't accept argument 'id'","locations":[{"line":1,"column":8}],"path":["query","shop","id"],
			  "extensions":{"code":"argumentNotAccepted","name":"shop","typeName":"Field","argumentName":"id"}}`},
		{"literal of a wrong kind", `{ customers(first: "1") { nodes { id } } }`,
			`{"message":"Argument 'first' on Field 'customers' has an invalid value (\"1\"). Expected type 'Int'.","locations":[{"line":1,"column":13}],
			  "path":["query","customers","first"],
			  "extensions":{"code":"argumentLiteralsIncompatible","typeName":"Field","argumentName":"first"}}`},
		{"enum literal that is none", `mutation { customerEmailMarketingConsentUpdate(input: {customerId: "gid://shopify/Customer/1",
emailMarketingConsent: {marketingState: MAYBE}}) { userErrors { message } } }`,
			`{"message":"Argument 'marketingState' on InputObject 'CustomerEmailMarketingConsentInput' has an invalid value (MAYBE). Expected type 'CustomerEmailMarketingState!'.",
			  "locations":[{"line":2,"column":25}],
			  "path":["mutation","customerEmailMarketingConsentUpdate","input","emailMarketingConsent","marketingState"],
			  "extensions":{"code":"argumentLiteralsIncompatible","typeName":"InputObject","argumentName":"marketingState"}}`},
		{"date literal that is none", `mutation { customerCreate(input: {emailMarketingConsent: {marketingState: SUBSCRIBED, consentUpdatedAt: "soon"}}) { userErrors { message } } }`,
			`{"message":"invalid DateTime 'soon'","locations":[{"line":1,"column":87}],
			  "path":["mutation","customerCreate","input","emailMarketingConsent","consentUpdatedAt"],
			  "extensions":{"code":"argumentLiteralsIncompatible","typeName":"CoercionError"}}`},
		{"missing member of a literal", `mutation { customerCreate(input: {emailMarketingConsent: {}}) { userErrors { message } } }`,
			`{"message":"Argument 'marketingState' on InputObject 'CustomerEmailMarketingConsentInput' is required. Expected type CustomerEmailMarketingState!",
			  "locations":[{"line":1,"column":58}],
			  "path":["mutation","customerCreate","input","emailMarketingConsent","marketingState"],
			  "extensions":{"code":"missingRequiredInputObjectAttribute","typeName":"CustomerEmailMarketingConsentInput","argumentName":"marketingState"}}`},
		{"unknown member of a literal", `mutation { customerCreate(input: {age: 7}) { userErrors { message } } }`,
			`{"message":"InputObject 'CustomerInput' doesn't accept argument 'age'","locations":[{"line":1,"column":35}],
			  "path":["mutation","customerCreate","input","age"],
			  "extensions":{"code":"argumentNotAccepted","name":"CustomerInput","typeName":"InputObject","argumentName":"age"}}`},
		{"no identifier in a literal", `{ customerByIdentifier(identifier: {}) { id } }`,
			`{"message":"'CustomerIdentifierInput' requires exactly one argument, but 0 were provided.","locations":[{"line":1,"column":36}],
			  "path":["query","customerByIdentifier","identifier"],
			  "extensions":{"code":"invalidOneOfInputObject","typeName":"CustomerIdentifierInput"}}`},
		{"variable not used", `query Q($x: Int) { shop { name } }`,
			`{"message":"Variable $x is declared by Q but not used","locations":[{"line":1,"column":9}],"path":["query Q"],
			  "extensions":{"code":"variableNotUsed","variableName":"x"}}`},
		{"object without selection", `{ shop }`,
			`{"message":"Field \"shop\" of type \"Shop!\" must have a selection of subfields. Did you mean \"shop { ... }\"?",
			  "locations":[{"line":1,"column":3}],"extensions":{"code":"selectionMismatch"}}`},
	} {
		answer := b.graphQL(row.query, "")
		require.JSONEq(t, "["+row.want+"]", string(answer.Errors), "%s: %s", row.name, answer.raw)
		require.Nil(t, answer.Data, "%s: nothing runs: %s", row.name, answer.raw)
		require.Nil(t, answer.Extensions, "%s: no cost: %s", row.name, answer.raw)
	}
	require.Empty(t, b.store.Writes())
}

func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, query := range []string{"", "{", "{ shop { name }", "query {{", "{ shop { name } } trailing", "\x00", "fragment f on Shop { name }"} {
		answer := b.graphQL(query, "")
		require.Contains(t, string(answer.Errors), `"message":"`, "%q", query)
		require.Nil(t, answer.Data, "%q", query)
		require.Nil(t, answer.Extensions, "%q", query)
	}
	answer := b.graphQL("{ a { ...f } } fragment f on Shop { ...f }", "")
	require.NotEmpty(t, answer.Errors, "a fragment that holds itself")
	answer = b.graphQL("query A { shop { name } } query B { shop { name } }", "")
	require.Contains(t, string(answer.Errors), "An operation name is required")
	answer = b.graphQL("subscription { shop { name } }", "")
	require.NotEmpty(t, answer.Errors, "Shopify has no subscriptions")
}
