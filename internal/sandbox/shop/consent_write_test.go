package shop

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const consentMutation = `mutation E($input: CustomerEmailMarketingConsentUpdateInput!) {
  customerEmailMarketingConsentUpdate(input: $input) {
    customer { id updatedAt defaultEmailAddress { emailAddress marketingState marketingOptInLevel marketingUpdatedAt } }
    userErrors { field message code }
  }
}`

const smsMutation = `mutation S($input: CustomerSmsMarketingConsentUpdateInput!) {
  customerSmsMarketingConsentUpdate(input: $input) {
    customer { id updatedAt defaultPhoneNumber { phoneNumber smsMarketingConsent { state optInLevel updatedAt } } }
    userErrors { field message code }
  }
}`

// consentVariables are those of an email consent, smsVariables those of an SMS consent. They leave out what is empty.
func consentVariables(id CustomerID, state State, level OptInLevel, date string) string {
	return variablesOf(&byMail, id, state, level, date)
}

func smsVariables(id CustomerID, state State, level OptInLevel, date string) string {
	return variablesOf(&bySMS, id, state, level, date)
}

func variablesOf(to *channel, id CustomerID, state State, level OptInLevel, date string) string {
	consent := map[string]string{"marketingState": string(state)}
	if level != "" {
		consent["marketingOptInLevel"] = string(level)
	}
	if date != "" {
		consent["consentUpdatedAt"] = date
	}
	text, err := json.Marshal(map[string]any{"input": map[string]any{"customerId": id, to.member: consent}})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestConsentUpdateAnswers goes through contracts/shopify.md 3.3 case by case.
func TestConsentUpdateAnswers(t *testing.T) {
	t.Parallel()
	const (
		unasked = `{"emailAddress":"a@example.com","marketingState":"NOT_SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN","marketingUpdatedAt":null}`
		past    = "2026-04-25T01:00:00Z"
	)
	level := `["input","emailMarketingConsent","marketingOptInLevel"]`
	date := `["input","emailMarketingConsent","consentUpdatedAt"]`
	email := func(state, level, date string) string {
		return `{"emailAddress":"a@example.com","marketingState":"` + state + `","marketingOptInLevel":"` + level +
			`","marketingUpdatedAt":"` + date + `"}`
	}
	for _, row := range []struct {
		name     string
		email    string // of the customer; "none" for one without
		id       CustomerID
		state    State
		level    OptInLevel
		date     string
		switches Switches
		shown    string // the email object of the payload's customer; "" means that the customer is null
		errors   string
	}{
		{name: "subscribed with a past date is kept exactly", state: Subscribed, level: SingleOptIn, date: past,
			shown: email("SUBSCRIBED", "SINGLE_OPT_IN", past)},
		{name: "unsubscribed with a past date is kept exactly", state: Unsubscribed, level: SingleOptIn, date: past,
			shown: email("UNSUBSCRIBED", "SINGLE_OPT_IN", past)},
		{name: "a date with an offset is shown in UTC", state: Subscribed, level: SingleOptIn, date: "2026-04-25T03:00:00+02:00",
			shown: email("SUBSCRIBED", "SINGLE_OPT_IN", past)},
		{name: "a date left out is the time of the request", state: Subscribed, level: SingleOptIn,
			shown: email("SUBSCRIBED", "SINGLE_OPT_IN", "2026-11-22T10:00:00Z")},
		{name: "pending confirmed is stored", state: Pending, level: ConfirmedOptIn, date: past,
			shown: email("PENDING", "CONFIRMED_OPT_IN", past)},
		{name: "pending with another level is refused", state: Pending, level: SingleOptIn, date: past, shown: unasked,
			errors: `{"field":` + level + `,"message":"Marketing opt in level must be confirmed opt-in for pending consent state","code":"INVALID"}`},
		{name: "subscribed without a level is refused", state: Subscribed, date: past, shown: unasked,
			errors: `{"field":` + level + `,"message":"Marketing opt in level must exist","code":"MISSING_ARGUMENT"}`},
		{name: "unsubscribed without a level is accepted", state: Unsubscribed, date: past,
			shown: email("UNSUBSCRIBED", "SINGLE_OPT_IN", past)},
		{name: "unsubscribed without a level is refused by switch", state: Unsubscribed, date: past,
			switches: Switches{UnsubscribedNeedsLevel: true}, shown: unasked,
			errors: `{"field":` + level + `,"message":"Marketing opt in level must exist","code":"MISSING_ARGUMENT"}`},
		{name: "a date in the future is refused", state: Subscribed, level: SingleOptIn, date: "2026-11-22T10:00:01Z", shown: unasked,
			errors: `{"field":` + date + `,"message":"Consent updated at must not be in the future","code":"INVALID"}`},
		{name: "a date a little in the future is taken by switch", state: Subscribed, level: SingleOptIn, date: "2026-11-22T10:00:01Z",
			switches: Switches{FutureTolerance: 2 * time.Second}, shown: email("SUBSCRIBED", "SINGLE_OPT_IN", "2026-11-22T10:00:01Z")},
		{name: "an unknown customer is a userError", id: "gid://shopify/Customer/99", state: Subscribed, level: SingleOptIn, date: past,
			errors: `{"field":["input","customerId"],"message":"Customer not found","code":"INVALID"}`},
		{name: "without an email it answers success and stores nothing", email: "none", state: Subscribed, level: SingleOptIn, date: past,
			shown: "null"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) { c.Switches = row.switches })
			address := "a@example.com"
			if row.email == "none" {
				address = ""
			}
			id := b.customer(address, Consent{})
			if row.id != "" {
				id = row.id
			}
			query := strings.Replace(consentMutation, "updatedAt ", "", 1)
			answer := b.graphQL(query, consentVariables(id, row.state, row.level, row.date))
			customer := "null"
			if row.shown != "" {
				customer = `{"id":"` + string(id) + `","defaultEmailAddress":` + row.shown + `}`
			}
			want := `{"customerEmailMarketingConsentUpdate":{"customer":` + customer + `,"userErrors":[` + row.errors + `]}}`
			require.JSONEq(t, want, string(answer.Data), answer.raw)
			require.Empty(t, answer.Errors, answer.raw)

			writes := b.store.Writes()
			require.Len(t, writes, 1)
			effective := row.errors == "" && row.email == ""
			require.Equal(t, effective, writes[0].Effective, "%+v", writes[0])
			require.Equal(t, byMail.operation, writes[0].Operation)
			require.Equal(t, row.state, writes[0].State)
			require.Equal(t, id, writes[0].Customer)
		})
	}
}

// TestUnwritableStates: contracts/shopify.md 3.3, a top-level error, and 10 points.
func TestUnwritableStates(t *testing.T) {
	t.Parallel()
	for _, state := range []State{NotSubscribed, Redacted, Invalid} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			id := b.customer("a@example.com", Consent{})
			answer := b.graphQL(consentMutation, consentVariables(id, state, SingleOptIn, ""))
			require.JSONEq(t, `[{"message":"Cannot specify `+string(state)+` as a marketing state input",
				"locations":[{"line":2,"column":3}],"extensions":{"code":"INVALID"},"path":["customerEmailMarketingConsentUpdate"]}]`,
				string(answer.Errors))
			require.JSONEq(t, `{"customerEmailMarketingConsentUpdate":null}`, string(answer.Data))
			require.Equal(t, 11, answer.Extensions.Cost.Requested)
			require.Equal(t, 10, *answer.Extensions.Cost.Actual)
			require.False(t, b.store.Writes()[0].Effective)
		})
	}
}

// TestInvalidVariables: contracts/shopify.md 3.3 and 4: no data, no cost, nothing written.
func TestInvalidVariables(t *testing.T) {
	t.Parallel()
	const consentType = "Variable $input of type CustomerEmailMarketingConsentUpdateInput! was provided invalid value for "
	for _, row := range []struct {
		name, query, variables, message, problems string
	}{
		{"bad date", consentMutation, consentVariables("gid://shopify/Customer/1", Subscribed, SingleOptIn, "not-a-date"),
			consentType + "emailMarketingConsent.consentUpdatedAt (invalid DateTime 'not-a-date')",
			`[{"path":["emailMarketingConsent","consentUpdatedAt"],"explanation":"invalid DateTime 'not-a-date'","message":"invalid DateTime 'not-a-date'"}]`},
		{"bad enum", consentMutation, consentVariables("gid://shopify/Customer/1", "MAYBE", SingleOptIn, ""),
			consentType + `emailMarketingConsent.marketingState (Expected "MAYBE" to be one of: INVALID, NOT_SUBSCRIBED, PENDING, REDACTED, SUBSCRIBED, UNSUBSCRIBED)`,
			`[{"path":["emailMarketingConsent","marketingState"],"explanation":"Expected \"MAYBE\" to be one of: INVALID, NOT_SUBSCRIBED, PENDING, REDACTED, SUBSCRIBED, UNSUBSCRIBED"}]`},
		{"missing member", consentMutation, `{"input":{"customerId":"gid://shopify/Customer/1"}}`,
			consentType + "emailMarketingConsent (Expected value to not be null)",
			`[{"path":["emailMarketingConsent"],"explanation":"Expected value to not be null"}]`},
		{"unknown member", consentMutation,
			`{"input":{"customerId":"gid://shopify/Customer/1","emailMarketingConsent":{"marketingState":"SUBSCRIBED","consentCollectedFrom":"OTHER"}}}`,
			consentType + "emailMarketingConsent.consentCollectedFrom (Field is not defined on CustomerEmailMarketingConsentInput)",
			`[{"path":["emailMarketingConsent","consentCollectedFrom"],"explanation":"Field is not defined on CustomerEmailMarketingConsentInput"}]`},
		{"missing variable", consentMutation, `{}`,
			"Variable $input of type CustomerEmailMarketingConsentUpdateInput! was provided invalid value",
			`[{"path":[],"explanation":"Expected value to not be null"}]`},
		{"no identifier", `query($i: CustomerIdentifierInput!) { customerByIdentifier(identifier: $i) { id } }`, `{"i":{}}`,
			"Variable $i of type CustomerIdentifierInput! was provided invalid value",
			`[{"path":[],"explanation":"'CustomerIdentifierInput' requires exactly one argument, but 0 were provided."}]`},
		{"two identifiers", `query($i: CustomerIdentifierInput!) { customerByIdentifier(identifier: $i) { id } }`,
			`{"i":{"id":"gid://shopify/Customer/1","emailAddress":"a@example.com"}}`,
			"Variable $i of type CustomerIdentifierInput! was provided invalid value",
			`[{"path":[],"explanation":"'CustomerIdentifierInput' requires exactly one argument, but 2 were provided."}]`},
		{"id that is none", `query($i: [ID!]!) { nodes(ids: $i) { id } }`, `{"i":["gid://shopify/Customer/1","7"]}`,
			"Variable $i of type [ID!]! was provided invalid value for 1 (Invalid global id '7')",
			`[{"path":[1],"explanation":"Invalid global id '7'","message":"Invalid global id '7'"}]`},
		{"number too large", `query($n: Int!) { customers(first: $n) { nodes { id } } }`, `{"n":3000000000}`,
			"Variable $n of type Int! was provided invalid value",
			`[{"path":[],"explanation":"Could not coerce value 3000000000 to Int"}]`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.customer("a@example.com", Consent{})
			answer := b.graphQL(row.query, row.variables)
			var errors []struct {
				Message    string
				Locations  []location
				Extensions struct {
					Code     string
					Value    json.RawMessage
					Problems json.RawMessage
				}
			}
			require.NoError(t, json.Unmarshal(answer.Errors, &errors), answer.raw)
			require.Len(t, errors, 1, answer.raw)
			require.Equal(t, row.message, errors[0].Message)
			require.Equal(t, "INVALID_VARIABLE", errors[0].Extensions.Code)
			require.JSONEq(t, row.problems, string(errors[0].Extensions.Problems), answer.raw)
			require.NotEmpty(t, errors[0].Extensions.Value, "the value is repeated, null included")
			require.Equal(t, 1, errors[0].Locations[0].Line)
			require.Equal(t, strings.Index(row.query, "$")+1, errors[0].Locations[0].Column)
			require.Nil(t, answer.Data, answer.raw)
			require.Nil(t, answer.Extensions, "no cost: %s", answer.raw)
			require.Empty(t, b.store.Writes())
			require.Equal(t, 2000, b.store.Budget().CurrentlyAvailable)
		})
	}
}

// TestConsentDates goes through contracts/shopify.md 3.4, each switch both ways. The customer holds SUBSCRIBED of 09:00:00 and was
// last changed at 09:00:00; the request is at 10:00:00.
func TestConsentDates(t *testing.T) {
	t.Parallel()
	const held = "2026-11-22T09:00:00Z"
	for _, row := range []struct {
		name      string
		state     State
		date      string
		switches  Switches
		wantState State
		wantDate  string
		bumped    bool
		effective bool
	}{
		{name: "a newer change is taken", state: Unsubscribed, date: "2026-11-22T09:00:01Z",
			wantState: Unsubscribed, wantDate: "2026-11-22T09:00:01Z", bumped: true, effective: true},
		{name: "an older change is ignored", state: Unsubscribed, date: "2026-11-22T08:59:59Z", wantState: Subscribed, wantDate: held},
		{name: "an older change is taken by switch", state: Unsubscribed, date: "2026-11-22T08:59:59Z",
			switches: Switches{TakeOlderWrites: true}, wantState: Unsubscribed, wantDate: "2026-11-22T08:59:59Z", bumped: true, effective: true},
		{name: "a change of equal date is ignored", state: Unsubscribed, date: held, wantState: Subscribed, wantDate: held},
		{name: "a change of equal date is taken by switch", state: Unsubscribed, date: held,
			switches: Switches{TakeEqualDateWrites: true}, wantState: Unsubscribed, wantDate: held, bumped: true, effective: true},
		{name: "a change without a date is dated now", state: Unsubscribed,
			wantState: Unsubscribed, wantDate: "2026-11-22T10:00:00Z", bumped: true, effective: true},
		{name: "the same state, newer, leaves the date but bumps updatedAt", state: Subscribed, date: "2026-11-22T09:30:00Z",
			wantState: Subscribed, wantDate: held, bumped: true},
		{name: "the same state, older, leaves the date but bumps updatedAt", state: Subscribed, date: "2026-11-22T08:00:00Z",
			wantState: Subscribed, wantDate: held, bumped: true},
		{name: "the same state bumps nothing by switch", state: Subscribed, date: "2026-11-22T09:30:00Z",
			switches: Switches{SameStateKeepsUpdatedAt: true}, wantState: Subscribed, wantDate: held},
		{name: "the same state, newer, moves the date by switch", state: Subscribed, date: "2026-11-22T09:30:00Z",
			switches: Switches{SameStateMovesDate: true}, wantState: Subscribed, wantDate: "2026-11-22T09:30:00Z", bumped: true, effective: true},
		{name: "the same state, older, never moves the date back", state: Subscribed, date: "2026-11-22T08:00:00Z",
			switches: Switches{SameStateMovesDate: true}, wantState: Subscribed, wantDate: held, bumped: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) { c.Switches = row.switches })
			id := b.customer("a@example.com", Consent{State: Subscribed, UpdatedAt: at(t, held)})
			answer := b.graphQL(consentMutation, consentVariables(id, row.state, SingleOptIn, row.date))
			require.Empty(t, answer.Errors, answer.raw)
			require.Contains(t, string(answer.Data), `"userErrors":[]`)

			got, ok := b.store.CustomerByID(id)
			require.True(t, ok)
			require.Equal(t, row.wantState, got.Consent.State)
			require.Equal(t, row.wantDate, got.Consent.UpdatedAt.Format(time.RFC3339))
			require.Equal(t, row.bumped, got.UpdatedAt.Equal(startTime.Truncate(time.Second)), "updatedAt is %s", got.UpdatedAt)
			require.Contains(t, string(answer.Data), `"marketingState":"`+string(row.wantState)+`"`, "the payload shows what is held")
			require.Equal(t, row.effective, b.store.Writes()[0].Effective)
		})
		t.Run("SMS: "+row.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) { c.Switches = row.switches })
			id := b.reachable(aPhone, Consent{State: Subscribed, UpdatedAt: at(t, held)})
			answer := b.graphQL(smsMutation, smsVariables(id, row.state, SingleOptIn, row.date))
			require.Empty(t, answer.Errors, answer.raw)
			require.Contains(t, string(answer.Data), `"userErrors":[]`)

			got, ok := b.store.CustomerByID(id)
			require.True(t, ok)
			require.Equal(t, row.wantState, got.SMSConsent.State)
			require.Equal(t, row.wantDate, got.SMSConsent.UpdatedAt.Format(time.RFC3339))
			require.Equal(t, neverAsked(), got.Consent, "the other channel")
			require.Equal(t, row.bumped, got.UpdatedAt.Equal(startTime.Truncate(time.Second)), "updatedAt is %s", got.UpdatedAt)
			require.Contains(t, string(answer.Data), `"state":"`+string(row.wantState)+`"`, "the payload shows what is held")
			require.Equal(t, row.effective, b.store.Writes()[0].Effective)
		})
	}
}

// TestLateUnsubscribeWins is the trap of contracts/shopify.md 3.4: subscribed at T1, confirmed at T3, a late unsubscribe of T2 wins.
func TestLateUnsubscribeWins(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	id := b.customer("a@example.com", Consent{State: Subscribed, UpdatedAt: at(t, "2026-11-22T07:00:00Z")})
	b.graphQL(consentMutation, consentVariables(id, Subscribed, SingleOptIn, "2026-11-22T09:00:00Z"))
	b.graphQL(consentMutation, consentVariables(id, Unsubscribed, SingleOptIn, "2026-11-22T08:00:00Z"))
	got, _ := b.store.CustomerByID(id)
	require.Equal(t, Unsubscribed, got.Consent.State)
}

const createMutation = `mutation C($input: CustomerInput!) { customerCreate(input: $input) {
  customer { id createdAt updatedAt defaultEmailAddress { emailAddress marketingState marketingOptInLevel marketingUpdatedAt } }
  userErrors { field message } } }`

// TestCustomerCreate goes through contracts/shopify.md 3.1, 3.5 and 3.6.
func TestCustomerCreate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 250) + "@example.com"
	for _, row := range []struct {
		name, input string
		shown       string // email object, "" when the creation is refused
		errors      string
	}{
		{"without consent", `{"email":"new@example.com"}`,
			`{"emailAddress":"new@example.com","marketingState":"NOT_SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN","marketingUpdatedAt":null}`, ""},
		{"consent inline, past date kept", `{"email":" New@Example.com ","emailMarketingConsent":{"marketingState":"SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN","consentUpdatedAt":"2026-01-02T03:04:05Z"}}`,
			`{"emailAddress":"New@Example.com","marketingState":"SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN","marketingUpdatedAt":"2026-01-02T03:04:05Z"}`, ""},
		{"taken, ignoring case", `{"email":"TAKEN@example.com"}`, "", `{"field":["email"],"message":"Email has already been taken"}`},
		{"invalid", `{"email":"nobody"}`, "", `{"field":["email"],"message":"Email is invalid"}`},
		{"too long", `{"email":"` + long + `"}`, "", `{"field":["email"],"message":"Email is too long (maximum is 255 characters)"}`},
		{"nothing", `{}`, "", `{"field":null,"message":"A name, phone number, or email address must be present"}`},
		{"consent without address", `{"emailMarketingConsent":{"marketingState":"SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN"}}`, "",
			`{"field":["emailMarketingConsent"],"message":"An email address is required to set the email marketing consent state."},` +
				`{"field":null,"message":"A name, phone number, or email address must be present"}`},
		{"consent in the future", `{"email":"new@example.com","emailMarketingConsent":{"marketingState":"SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN","consentUpdatedAt":"2027-01-01T00:00:00Z"}}`, "",
			`{"field":["emailMarketingConsent","consentUpdatedAt"],"message":"Consent updated at must not be in the future"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.customer("taken@example.com", Consent{})
			answer := b.graphQL(createMutation, `{"input":`+row.input+`}`)
			customer := "null"
			if row.shown != "" {
				customer = `{"id":"gid://shopify/Customer/2","createdAt":"2026-11-22T10:00:00Z","updatedAt":"2026-11-22T10:00:00Z","defaultEmailAddress":` + row.shown + `}`
			}
			require.JSONEq(t, `{"customerCreate":{"customer":`+customer+`,"userErrors":[`+row.errors+`]}}`, string(answer.Data), answer.raw)
			require.Len(t, b.store.Writes(), 1)
			require.Equal(t, row.errors == "", b.store.Writes()[0].Effective)
			require.Equal(t, createOperation, b.store.Writes()[0].Operation)
		})
	}
}

// TestMutationsRunInOrder: each alias on its own, partial data beside errors (contracts/shopify.md 2.2, 7).
func TestMutationsRunInOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	answer := b.graphQL(`mutation {
		first: customerCreate(input: {email: "a@example.com"}) { customer { id } userErrors { message } }
		second: customerCreate(input: {email: "A@example.com"}) { customer { id } userErrors { message } }
		third: customerEmailMarketingConsentUpdate(input: {customerId: "gid://shopify/Customer/1",
			emailMarketingConsent: {marketingState: NOT_SUBSCRIBED}}) { userErrors { message } }
		fourth: customerEmailMarketingConsentUpdate(input: {customerId: "gid://shopify/Customer/1",
			emailMarketingConsent: {marketingState: SUBSCRIBED, marketingOptInLevel: SINGLE_OPT_IN, consentUpdatedAt: "2026-01-01T00:00:00Z"}}) {
			customer { defaultEmailAddress { marketingState } } userErrors { message } }
	}`, "")
	require.JSONEq(t, `{
		"first":{"customer":{"id":"gid://shopify/Customer/1"},"userErrors":[]},
		"second":{"customer":null,"userErrors":[{"message":"Email has already been taken"}]},
		"third":null,
		"fourth":{"customer":{"defaultEmailAddress":{"marketingState":"SUBSCRIBED"}},"userErrors":[]}}`, string(answer.Data), answer.raw)
	require.Contains(t, string(answer.Errors), `"path":["third"]`)
	require.Equal(t, 41, answer.Extensions.Cost.Requested)
	require.Equal(t, map[string]int{createOperation: 1}, b.store.Requests())
}
