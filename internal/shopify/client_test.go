package shopify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/concordsync/concord/internal/failure"
)

const recordedCustomer = `{"id":"gid://shopify/Customer/1","updatedAt":"2026-04-25T01:00:05Z","defaultEmailAddress":{"emailAddress":"` + address + `",
	"marketingState":"SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN","marketingUpdatedAt":"2026-04-25T01:00:00Z"}}`

func jane(t *testing.T) Customer {
	return Customer{ID: "gid://shopify/Customer/1", UpdatedAt: moment(t, "2026-04-25T01:00:05Z"), Email: address,
		EmailConsent: Consent{State: Subscribed, OptInLevel: "SINGLE_OPT_IN", UpdatedAt: moment(t, "2026-04-25T01:00:00Z")}}
}

// recordedPhones is of a customer who is reached by SMS only.
const recordedPhones = `{"id":"gid://shopify/Customer/2","updatedAt":"2026-04-25T01:05:05Z","defaultEmailAddress":null,"defaultPhoneNumber":{"phoneNumber":"` +
	phone + `","smsMarketingConsent":{"state":"SUBSCRIBED","optInLevel":"SINGLE_OPT_IN","updatedAt":"2026-04-25T01:05:00Z"}}}`

func joe(t *testing.T) Customer {
	return Customer{ID: "gid://shopify/Customer/2", UpdatedAt: moment(t, "2026-04-25T01:05:05Z"), Phone: phone,
		SMSConsent: Consent{State: Subscribed, OptInLevel: "SINGLE_OPT_IN", UpdatedAt: moment(t, "2026-04-25T01:05:00Z")}}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]Config{
		"no shop":                  {Token: "t"},
		"a web address as shop":    {Shop: "https://example.myshopify.com", Token: "t"},
		"the public domain":        {Shop: "shop.example", Token: "t"},
		"no access":                {Shop: "example.myshopify.com"},
		"id without secret":        {Shop: "example.myshopify.com", ClientID: "c"},
		"token and grant":          {Shop: "example.myshopify.com", Token: "t", ClientID: "c", ClientSecret: "s"},
		"base without scheme":      {Shop: "example.myshopify.com", Token: "t", BaseURL: "localhost:1"},
		"base with a user":         {Shop: "example.myshopify.com", Token: "t", BaseURL: "https://user:pass@host"},
		"base with a query":        {Shop: "example.myshopify.com", Token: "t", BaseURL: "https://host?x=1"},
		"base that is no address":  {Shop: "example.myshopify.com", Token: "t", BaseURL: "https://ho st"},
		"base of another protocol": {Shop: "example.myshopify.com", Token: "t", BaseURL: "ftp://host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(config)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "pass")
		})
	}
}

func TestChangedCustomers(t *testing.T) {
	t.Parallel()
	s := newStore(t, each(func(int, *ast.Field) string {
		return `{"nodes":[{"id":"gid://shopify/Customer/1","updatedAt":"2026-11-01T10:00:00Z"},{"id":"gid://shopify/Customer/2","updatedAt":"2026-11-01T11:00:00+01:00"}],
			"pageInfo":{"hasNextPage":true,"endCursor":"next"}}`
	}))
	c := s.client()

	page, err := c.ChangedCustomers(t.Context(), moment(t, "2026-11-01T01:00:00.9+02:00"), "here")
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), page.ServerTime, time.Minute)
	want := ChangePage{ServerTime: page.ServerTime, Next: "next", Changes: []Change{
		{ID: "gid://shopify/Customer/1", UpdatedAt: moment(t, "2026-11-01T10:00:00Z")},
		{ID: "gid://shopify/Customer/2", UpdatedAt: moment(t, "2026-11-01T10:00:00Z")},
	}}
	require.WithinDuration(t, time.Now(), page.ServerTime, time.Minute, "the server's Date header")
	want.ServerTime = page.ServerTime
	require.Empty(t, cmp.Diff(want, page))
	require.Equal(t, "updated_at:>='2026-10-31T23:00:00Z'", s.seen()[0].argument(t, 0, "query"))
	require.Equal(t, "here", s.seen()[0].argument(t, 0, "after"))

	_, err = c.ChangedCustomers(t.Context(), time.Time{}, "")
	require.NoError(t, err)
	require.NotContains(t, s.seen()[1].variables, "query", "all customers: no search at all")

	_, err = c.ChangedCustomers(t.Context(), time.Time{}, "next")
	require.Equal(t, CodeBadAnswer, failure.As(err).Code, "a page that leads back to itself never ends")
}

func TestASearchThatShopifyDidNotUnderstandFails(t *testing.T) {
	t.Parallel()
	s := newStore(t, whole(200, `{"data":{"customers":{"nodes":[],"pageInfo":{"hasNextPage":false,"endCursor":null}}},"extensions":{
		"search":[{"path":["customers"],"query":"updated_at:x","warnings":[{"field":"updated_at","message":"Input is invalid.","code":"invalid"}]}]}}`))
	_, err := s.client().ChangedCustomers(t.Context(), time.Now(), "")
	require.Equal(t, CodeSearch, failure.As(err).Code)
	require.Equal(t, failure.PersonMustAct, failure.ClassOf(err))
}

func TestAnAddressThatCannotBeSearchedForFailsAlone(t *testing.T) {
	t.Parallel()
	const empty = `{"nodes":[],"pageInfo":{"hasNextPage":false,"endCursor":null}}`
	for field, class := range map[string]failure.Class{"email": failure.Refused, "created_at": failure.PersonMustAct} {
		s := newStore(t, whole(200, `{"data":{"orders_0":`+empty+`,"orders_1":`+empty+`},"extensions":{
			"search":[{"path":["orders_1"],"query":"email","warnings":[{"field":"`+field+`","message":"`+address+`","code":"invalid"}]}]}}`))
		at := time.Unix(1, 0)
		_, err := s.client().OrdersOf(t.Context(), []OrderLookup{{Email: "a@example.com", From: at, To: at}, {Email: address, From: at, To: at}})
		var failed ItemErrors
		require.ErrorAs(t, err, &failed)
		require.NoError(t, failed[0])
		require.Equal(t, CodeSearch, failure.As(failed[1]).Code)
		require.Equal(t, class.String(), failure.ClassOf(failed[1]).String(), field)
		requireNoSecrets(t, err)
	}
}

func TestCustomersByIDKeepsOrderOverChunks(t *testing.T) {
	t.Parallel()
	s := newStore(t, func(w http.ResponseWriter, call sent) {
		var nodes []string
		for _, id := range call.variables["ids"].([]any) {
			if strings.HasSuffix(id.(string), "/7") {
				nodes = append(nodes, "null")
				continue
			}
			nodes = append(nodes, fmt.Sprintf(`{"__typename":"Customer","id":%q,"updatedAt":"2026-11-01T10:00:00Z","defaultEmailAddress":null}`, id))
		}
		fmt.Fprintf(w, `{"data":{"nodes":[%s]},%s}`, strings.Join(nodes, ","), recordedCost)
	})
	ids := make([]CustomerID, 600)
	for n := range ids {
		ids[n] = CustomerID(fmt.Sprintf("gid://shopify/Customer/%d", n))
	}
	customers, err := s.client().CustomersByID(t.Context(), ids)
	require.NoError(t, err)
	require.Len(t, customers, 600)
	for n, customer := range customers {
		if n == 7 {
			require.Equal(t, Customer{}, customer)
			continue
		}
		require.Equal(t, ids[n], customer.ID)
	}
	require.Len(t, s.seen(), 3)

	_, err = s.client().CustomersByID(t.Context(), []CustomerID{`1") { id } evil: node(id: "2`})
	require.Equal(t, failure.Refused, failure.ClassOf(err))
	require.Len(t, s.seen(), 3, "nothing is sent for an id that is none")
}

func TestCustomersByIDRefusesAnswersForOthers(t *testing.T) {
	t.Parallel()
	for name, nodes := range map[string]string{
		"another customer": `[{"__typename":"Customer","id":"gid://shopify/Customer/2","updatedAt":"2026-11-01T10:00:00Z","defaultEmailAddress":null}]`,
		"too few":          `[]`,
		"too many":         `[null,null]`,
		"another type":     `[{"__typename":"Order","id":"gid://shopify/Customer/1"}]`,
		"a strange type":   `[{"__typename":"Gift","id":"gid://shopify/Customer/1"}]`,
		"no list":          `null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, whole(200, `{"data":{"nodes":`+nodes+`},`+recordedCost+`}`))
			_, err := s.client().CustomersByID(t.Context(), []CustomerID{"gid://shopify/Customer/1"})
			require.NotNil(t, failure.As(err), "%v", err)
			require.Equal(t, CodeBadAnswer, failure.As(err).Code)
		})
	}
}

func TestCustomersByEmail(t *testing.T) {
	t.Parallel()
	emails := []string{"", `a"b' OR *@x.com`, "nobody@example.com"}
	for n := range 55 {
		emails = append(emails, fmt.Sprintf("p%d@example.com", n))
	}
	emails = append(emails, "p3@example.com") // twice
	s := newStore(t, nil)
	s.answer = func(w http.ResponseWriter, call sent) {
		each(func(root int, _ *ast.Field) string {
			identifier := call.argument(t, root, "identifier").(map[string]any)
			require.Len(t, identifier, 1, "exactly one member of @oneOf")
			email := identifier["emailAddress"].(string)
			if email == "nobody@example.com" {
				return "null"
			}
			text, _ := json.Marshal(email)
			return `{"id":"gid://shopify/Customer/1","updatedAt":"2026-04-25T01:00:05Z","defaultEmailAddress":{"emailAddress":` + string(text) +
				`,"marketingState":"NOT_SUBSCRIBED","marketingOptInLevel":null,"marketingUpdatedAt":null}}`
		})(w, call)
	}
	customers, err := s.client().CustomersByEmail(t.Context(), emails)
	require.NoError(t, err)
	require.Len(t, s.seen(), 2)
	for n, customer := range customers {
		if n == 0 || n == 2 {
			require.Equal(t, Customer{}, customer)
			continue
		}
		require.Equal(t, emails[n], customer.Email)
		require.Equal(t, Consent{State: NotSubscribed}, customer.EmailConsent)
	}
	for _, call := range s.seen() {
		require.NotContains(t, call.document, "@x.com", "values travel as variables only")
		require.LessOrEqual(t, len(call.roots), maxLookups)
	}
}

func TestCustomersByPhone(t *testing.T) {
	t.Parallel()
	phones := []string{" ", "+15550000000"}
	for n := range 55 {
		phones = append(phones, fmt.Sprintf("+1415555%04d", n))
	}
	s := newStore(t, nil)
	s.answer = func(w http.ResponseWriter, call sent) {
		each(func(root int, _ *ast.Field) string {
			identifier := call.argument(t, root, "identifier").(map[string]any)
			require.Len(t, identifier, 1, "exactly one member of @oneOf")
			number := identifier["phoneNumber"].(string)
			if number == "+15550000000" {
				return "null"
			}
			return strings.Replace(recordedPhones, phone, number, 1)
		})(w, call)
	}
	customers, err := s.client().CustomersByPhone(t.Context(), phones)
	require.NoError(t, err)
	require.Len(t, s.seen(), 2)
	for n, customer := range customers {
		want := joe(t)
		if want.Phone = phones[n]; n < 2 {
			want = Customer{}
		}
		require.Empty(t, cmp.Diff(want, customer), "number %d", n)
	}
	for _, call := range s.seen() {
		require.NotContains(t, call.document, "1415555", "values travel as variables only")
		require.LessOrEqual(t, len(call.roots), maxLookups)
	}

	s.answer = whole(200, `{"data":{"customerByIdentifier_0":`+recordedPhones+`,"customerByIdentifier_1":null},"errors":[{"message":"no `+phone+`",
		"path":["customerByIdentifier_1"],"extensions":{"code":"INVALID"}}],`+recordedCost+`}`)
	customers, err = s.client().CustomersByPhone(t.Context(), []string{phone, phone})
	var failed ItemErrors
	require.ErrorAs(t, err, &failed)
	require.NoError(t, failed[0])
	require.Equal(t, failure.Refused, failure.ClassOf(failed[1]))
	require.Equal(t, "look up customers by phone", failure.As(failed[1]).Op)
	requireNoSecrets(t, err)
	require.Empty(t, cmp.Diff([]Customer{joe(t), {}}, customers))
}

// TestConsentsAreRead: the enums of the two channels differ (contracts/shopify.md 3.2), and a value that they do not have is no decision.
func TestConsentsAreRead(t *testing.T) {
	t.Parallel()
	const customer = `{"id":"gid://shopify/Customer/1","updatedAt":"2026-04-25T01:00:05Z","defaultEmailAddress":{"emailAddress":"` + address + `",
		"marketingState":"%s","marketingOptInLevel":null,"marketingUpdatedAt":null},"defaultPhoneNumber":{"phoneNumber":"` + phone + `",
		"smsMarketingConsent":{"state":"%s","optInLevel":%s,"updatedAt":%s}}}`
	for _, row := range []struct {
		email, sms, level, date string
		wantEmail               ConsentState
		want                    Consent
	}{
		{"NOT_SUBSCRIBED", "NEVER_SUBSCRIBED", `"SINGLE_OPT_IN"`, "null", NotSubscribed, Consent{State: NotSubscribed, OptInLevel: "SINGLE_OPT_IN"}},
		{"PENDING", "PENDING", `"CONFIRMED_OPT_IN"`, `"2026-04-25T03:00:00+02:00"`, Pending,
			Consent{State: Pending, OptInLevel: "CONFIRMED_OPT_IN", UpdatedAt: moment(t, "2026-04-25T01:00:00Z")}},
		{"INVALID", "REDACTED", "null", "null", Invalid, Consent{State: Redacted}},
		{"SUBSCRIBED", "UNSUBSCRIBED", `"UNKNOWN"`, "null", Subscribed, Consent{State: Unsubscribed, OptInLevel: "UNKNOWN"}},
		{"UNSUBSCRIBED", "SUBSCRIBED", "null", "null", Unsubscribed, Consent{State: Subscribed}},
		// Each has the other's word for who was never asked.
		{"NEVER_SUBSCRIBED", "NOT_SUBSCRIBED", "null", "null", UnknownState, Consent{State: UnknownState}},
		{"REDACTED", "INVALID", "null", "null", UnknownState, Consent{State: UnknownState}},
		{"BRAND_NEW", "", "null", "null", UnknownState, Consent{State: UnknownState}},
	} {
		t.Run(row.email+" "+row.sms, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, whole(200, `{"data":{"nodes":[{"__typename":"Customer",`+
				fmt.Sprintf(customer, row.email, row.sms, row.level, row.date)[1:]+`]},`+recordedCost+`}`))
			customers, err := s.client().CustomersByID(t.Context(), []CustomerID{"gid://shopify/Customer/1"})
			require.NoError(t, err)
			require.Empty(t, cmp.Diff([]Customer{{ID: "gid://shopify/Customer/1", UpdatedAt: moment(t, "2026-04-25T01:00:05Z"), Email: address,
				EmailConsent: Consent{State: row.wantEmail}, Phone: phone, SMSConsent: row.want}}, customers))
		})
	}
}

func TestAFailedLookUpLeavesTheOthers(t *testing.T) {
	t.Parallel()
	s := newStore(t, whole(200, `{"data":{"customerByIdentifier_0":`+recordedCustomer+`,"customerByIdentifier_1":null,"customerByIdentifier_2":null},
		"errors":[{"message":"Internal error. Looks like something went wrong on our end.\nRequest ID: 1b2c (include this in support requests).",
		"path":["customerByIdentifier_1"],"extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"1b2c-9"}}],`+recordedCost+`}`))
	customers, err := s.client().CustomersByEmail(t.Context(), []string{address, "b@example.com", "c@example.com"})
	var failed ItemErrors
	require.ErrorAs(t, err, &failed)
	require.NoError(t, failed[0])
	require.Equal(t, "INTERNAL_SERVER_ERROR", failure.As(failed[1]).Code)
	require.NoError(t, failed[2])
	require.Equal(t, failure.Retry, failure.ClassOf(err))
	require.Empty(t, cmp.Diff([]Customer{jane(t), {}, {}}, customers))
}

func TestItemErrorsShowTheGravest(t *testing.T) {
	t.Parallel()
	errs := ItemErrors{nil, &failure.Error{Class: failure.Refused, Op: "a"}, &failure.Error{Class: failure.Retry, Op: "b"},
		&failure.Error{Class: failure.PersonMustAct, Op: "c"}}
	require.Equal(t, failure.PersonMustAct, failure.ClassOf(errs))
	require.ErrorContains(t, errs, "3 of 4 items failed: c")
	require.NoError(t, ItemErrors{nil, nil}.orNil())
}

func TestUpdateEmailConsents(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	s.answer = func(w http.ResponseWriter, call sent) {
		each(func(root int, _ *ast.Field) string {
			input, err := json.Marshal(call.argument(t, root, "input"))
			require.NoError(t, err)
			want := `{"customerId":"gid://shopify/Customer/1","emailMarketingConsent":{"marketingState":"SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN","consentUpdatedAt":"2026-04-25T01:00:00Z"}}`
			switch root {
			case 0:
				require.JSONEq(t, want, string(input))
				return `{"customer":` + recordedCustomer + `,"userErrors":[]}`
			case 1:
				require.JSONEq(t, strings.ReplaceAll(want, `"SUBSCRIBED"`, `"UNSUBSCRIBED"`), string(input))
				return `{"customer":null,"userErrors":[{"field":["input","customerId"],"message":"Customer not found","code":"INVALID"}]}`
			default:
				return `{"customer":null,"userErrors":[]}`
			}
		})(w, call)
	}
	at := moment(t, "2026-04-25T03:00:00.999+02:00")
	results, err := s.client().UpdateEmailConsents(t.Context(), []ConsentWrite{
		{Customer: "gid://shopify/Customer/1", State: Subscribed, At: at},
		{Customer: "gid://shopify/Customer/1", State: Unsubscribed, At: at},
		{Customer: "gid://shopify/Customer/1", State: Unsubscribed, At: at},
	})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.Empty(t, cmp.Diff(jane(t), results[0].Customer))
	require.Equal(t, CodeCustomerNotFound, failure.As(results[1].Err).Code)
	require.True(t, failure.As(results[2].Err).MaybeDone, "no customer and no reason: nobody knows")
}

func TestUpdateSMSConsents(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	s.answer = func(w http.ResponseWriter, call sent) {
		each(func(root int, field *ast.Field) string {
			require.Equal(t, "customerSmsMarketingConsentUpdate", field.Name)
			input, err := json.Marshal(call.argument(t, root, "input"))
			require.NoError(t, err)
			want := `{"customerId":"gid://shopify/Customer/2","smsMarketingConsent":{"marketingState":"SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN","consentUpdatedAt":"2026-04-25T01:05:00Z"}}`
			switch root {
			case 0:
				require.JSONEq(t, want, string(input))
				return `{"customer":` + recordedPhones + `,"userErrors":[]}`
			case 1:
				require.JSONEq(t, strings.ReplaceAll(want, `"SUBSCRIBED"`, `"UNSUBSCRIBED"`), string(input))
				return `{"customer":null,"userErrors":[{"field":null,"message":"Customer not found","code":null}]}`
			case 2:
				return `{"customer":null,"userErrors":[]}`
			default:
				return `null`
			}
		})(w, call)
	}
	at := moment(t, "2026-04-25T03:05:00.999+02:00")
	write := ConsentWrite{Customer: "gid://shopify/Customer/2", State: Unsubscribed, At: at}
	results, err := s.client().UpdateSMSConsents(t.Context(), []ConsentWrite{{Customer: write.Customer, State: Subscribed, At: at}, write, write, write})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.Empty(t, cmp.Diff(joe(t), results[0].Customer))
	require.Equal(t, CodeCustomerNotFound, failure.As(results[1].Err).Code)
	require.Zero(t, results[1].Customer)
	for _, unknown := range results[2:] {
		require.True(t, failure.As(unknown.Err).MaybeDone, "no customer and no reason: nobody knows")
		require.Equal(t, "update SMS consents", failure.As(unknown.Err).Op)
	}
}

func TestWritesThatMustNotBeSent(t *testing.T) {
	t.Parallel()
	s := newStore(t, func(http.ResponseWriter, sent) { t.Error("this must not be sent") })
	c := s.client()
	now := time.Now()
	for name, write := range map[string]ConsentWrite{
		"never asked": {Customer: "gid://shopify/Customer/1", State: NotSubscribed, At: now},
		"no date":     {Customer: "gid://shopify/Customer/1", State: Subscribed},
		"no id":       {State: Subscribed, At: now},
	} {
		_, err := c.UpdateEmailConsents(t.Context(), []ConsentWrite{write})
		require.Error(t, err, name)
		_, err = c.UpdateSMSConsents(t.Context(), []ConsentWrite{write})
		require.Error(t, err, name)
	}
	_, err := c.UpdateEmailConsents(t.Context(), make([]ConsentWrite, MaxWrites+1))
	require.ErrorContains(t, err, "at most 50")
	_, err = c.UpdateSMSConsents(t.Context(), make([]ConsentWrite, MaxWrites+1))
	require.ErrorContains(t, err, "at most 50")
	for name, customer := range map[string]NewCustomer{
		"blank address": {Email: " ", At: now}, "blank number": {Phone: "\t", At: now}, "neither": {At: now}, "no date": {Phone: phone},
		"both": {Email: address, Phone: phone, At: now},
	} {
		_, err = c.CreateCustomers(t.Context(), []NewCustomer{customer})
		require.Error(t, err, name)
		requireNoSecrets(t, err)
	}
	_, err = c.CreateCustomers(t.Context(), nil)
	require.NoError(t, err)
	_, err = c.UpdateSMSConsents(t.Context(), nil)
	require.NoError(t, err)
}

func TestCreateCustomers(t *testing.T) {
	t.Parallel()
	texts := []string{"", "Email has already been taken", "Email is invalid", "Email is too long (maximum is 255 characters)",
		"Something about " + address}
	s := newStore(t, nil)
	s.answer = func(w http.ResponseWriter, call sent) {
		each(func(root int, _ *ast.Field) string {
			if root == 0 {
				input, err := json.Marshal(call.argument(t, root, "input"))
				require.NoError(t, err)
				require.JSONEq(t, `{"email":"`+address+`","emailMarketingConsent":{"marketingState":"SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN",
					"consentUpdatedAt":"2026-04-25T01:00:00Z"}}`, string(input))
				return `{"customer":` + recordedCustomer + `,"userErrors":[]}`
			}
			return `{"customer":null,"userErrors":[{"field":["email"],"message":"` + texts[root] + `"}]}`
		})(w, call)
	}
	customers := make([]NewCustomer, len(texts))
	for n := range customers {
		customers[n] = NewCustomer{Email: address, At: moment(t, "2026-04-25T01:00:00Z")}
	}
	results, err := s.client().CreateCustomers(t.Context(), customers)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(jane(t), results[0].Customer))
	for n, want := range []failure.Error{
		1: {Class: failure.Retry, Code: CodeTaken},
		2: {Class: failure.Refused, Code: CodeEmailInvalid},
		3: {Class: failure.Refused, Code: CodeEmailTooLong},
		4: {Class: failure.Refused, Code: "USER_ERROR"},
	} {
		if n == 0 {
			continue
		}
		got := failure.As(results[n].Err)
		require.Equal(t, want.Class, got.Class, texts[n])
		require.Equal(t, want.Code, got.Code, texts[n])
		require.NotContains(t, got.Error(), address)
	}
}

func TestCreateCustomersByPhone(t *testing.T) {
	t.Parallel()
	texts := []string{"", "Phone has already been taken", "Phone is invalid", "Phone is too long (maximum is 255 characters)",
		"A phone number is required to set the SMS consent state.", "Something about " + phone}
	s := newStore(t, nil)
	s.answer = func(w http.ResponseWriter, call sent) {
		each(func(root int, _ *ast.Field) string {
			if root == 0 {
				input, err := json.Marshal(call.argument(t, root, "input"))
				require.NoError(t, err)
				require.JSONEq(t, `{"phone":"`+phone+`","smsMarketingConsent":{"marketingState":"SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN",
					"consentUpdatedAt":"2026-04-25T01:05:00Z"}}`, string(input))
				return `{"customer":` + recordedPhones + `,"userErrors":[]}`
			}
			return `{"customer":null,"userErrors":[{"field":["phone"],"message":"` + texts[root] + `"}]}`
		})(w, call)
	}
	customers := make([]NewCustomer, len(texts))
	for n := range customers {
		customers[n] = NewCustomer{Phone: phone, At: moment(t, "2026-04-25T01:05:00Z")}
	}
	results, err := s.client().CreateCustomers(t.Context(), customers)
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.Empty(t, cmp.Diff(joe(t), results[0].Customer))
	for n, want := range map[int]failure.Error{
		1: {Class: failure.Retry, Code: CodeTaken},
		2: {Class: failure.Refused, Code: CodePhoneInvalid},
		3: {Class: failure.Refused, Code: CodePhoneInvalid},
		4: {Class: failure.Refused, Code: CodeNoPhone, Advice: advicePhone},
		5: {Class: failure.Refused, Code: "USER_ERROR"},
	} {
		got := failure.As(results[n].Err)
		require.Equal(t, want.Class, got.Class, texts[n])
		require.Equal(t, want.Code, got.Code, texts[n])
		require.Equal(t, want.Advice, got.Advice, texts[n])
		requireNoSecrets(t, got)
	}
}

func TestOrdersOf(t *testing.T) {
	t.Parallel()
	from, to := moment(t, "2026-11-01T10:00:00.5Z"), moment(t, "2026-11-01T10:05:00Z")
	order := func(id int, at, email string) string {
		return fmt.Sprintf(`{"id":"gid://shopify/Order/%d","createdAt":%q,"email":%q,"sourceName":"web","test":false,"cancelledAt":null}`, id, at, email)
	}
	ofGuest := func(id int, at, email string) string {
		return strings.TrimSuffix(order(id, at, email), "}") + `,"customer":null}`
	}
	s := newStore(t, nil)
	s.answer = func(w http.ResponseWriter, call sent) {
		each(func(root int, _ *ast.Field) string {
			if call.operation == "OrdersOfCustomer" {
				if call.argument(t, root, "id") == "gid://shopify/Customer/9" {
					return "null"
				}
				return `{"orders":{"nodes":[` + order(1, "2026-11-01T10:00:00Z", address) + `,` + order(2, "2026-11-01T10:05:00Z", address) + `,` +
					order(3, "2026-11-01T10:05:01Z", address) + `,` + order(4, "2026-11-01T09:59:59Z", address) + `],"pageInfo":{"hasNextPage":false,"endCursor":null}}}`
			}
			query := call.argument(t, root, "query").(string)
			require.True(t, strings.HasSuffix(query, ` AND created_at:>='2026-11-01T10:00:00Z' AND created_at:<='2026-11-01T10:05:01Z'`), query)
			if strings.Contains(query, "OR") {
				require.Equal(t, `email:"a\"b' OR *@x.com"`, strings.SplitN(query, " AND ", 2)[0])
				return `{"nodes":[` + ofGuest(8, "2026-11-01T10:01:00Z", address) + `],"pageInfo":{"hasNextPage":false,"endCursor":null}}`
			}
			if after, _ := call.argument(t, root, "after").(string); after == "" {
				return `{"nodes":[` + ofGuest(5, "2026-11-01T10:02:00Z", "other."+address) + `,` + ofGuest(2, "2026-11-01T10:05:00Z", address) +
					`],"pageInfo":{"hasNextPage":true,"endCursor":"more"}}`
			}
			return `{"nodes":[` + ofGuest(6, "2026-11-01T10:03:00Z", strings.ToUpper(address)) + `],"pageInfo":{"hasNextPage":false,"endCursor":null}}`
		})(w, call)
	}
	found, err := s.client().OrdersOf(t.Context(), []OrderLookup{
		{Customer: "gid://shopify/Customer/1", Email: " " + address, From: from, To: to},
		{Customer: "gid://shopify/Customer/9", From: from, To: to},
		{Email: `a"b' OR *@x.com`, From: from, To: to},
	})
	require.NoError(t, err)
	ids := make([][]string, len(found))
	for n := range found {
		for _, one := range found[n] {
			ids[n] = append(ids[n], strings.TrimPrefix(one.ID, "gid://shopify/Order/"))
		}
	}
	require.Equal(t, [][]string{{"1", "6", "2"}, nil, nil}, ids,
		"both ends count, nobody else's orders do, the second page is read, and each order comes once")
	require.Equal(t, CustomerID("gid://shopify/Customer/1"), found[0][0].Customer)
	require.Equal(t, CustomerID(""), found[0][1].Customer)
}

func TestOrdersOfKeepsHalfResultsBack(t *testing.T) {
	t.Parallel()
	s := newStore(t, func(w http.ResponseWriter, call sent) {
		if call.operation == "OrdersOfEmail" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		each(func(int, *ast.Field) string {
			return `{"orders":{"nodes":[{"id":"gid://shopify/Order/1","createdAt":"2026-11-01T10:00:00Z","email":null,"sourceName":null,"test":true,"cancelledAt":"2026-11-01T10:01:00Z"}],
				"pageInfo":{"hasNextPage":false,"endCursor":null}}}`
		})(w, call)
	})
	at := moment(t, "2026-11-01T10:00:00Z")
	found, err := s.client().OrdersOf(t.Context(), []OrderLookup{
		{Customer: "gid://shopify/Customer/1", Email: address, From: at, To: at},
		{Customer: "gid://shopify/Customer/1", From: at, To: at},
		{Customer: "gid://shopify/Customer/1"},
	})
	var failed ItemErrors
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "HTTP_503", failure.As(failed[0]).Code)
	require.Empty(t, found[0])
	require.NoError(t, failed[1])
	require.Equal(t, []Order{{ID: "gid://shopify/Order/1", CreatedAt: at, Customer: "gid://shopify/Customer/1", Test: true, Cancelled: true}}, found[1])
	require.Equal(t, failure.Refused, failure.ClassOf(failed[2]), "a look-up without a span")
}

func TestTheWholeBatchIsReadBackByItsOwnAliases(t *testing.T) {
	t.Parallel()
	// Shopify may answer the aliases in any order, and leave one out.
	s := newStore(t, whole(200, `{"data":{"customerByIdentifier_2":null,"customerByIdentifier_0":`+recordedCustomer+`},`+recordedCost+`}`))
	customers, err := s.client().CustomersByEmail(t.Context(), []string{address, "b@example.com", "c@example.com"})
	var failed ItemErrors
	require.ErrorAs(t, err, &failed)
	require.Equal(t, CodeBadAnswer, failure.As(failed[1]).Code, "left out is not the same as null")
	require.Empty(t, cmp.Diff([]Customer{jane(t), {}, {}}, customers))
}

const accessAnswer = `{"data":{"shop":{"name":"My Shop","myshopifyDomain":"example.myshopify.com","plan":{"publicDisplayName":"Basic","partnerDevelopment":true}},
	"currentAppInstallation":{"accessScopes":[{"handle":"write_customers"},{"handle":"read_orders"}]}},` + recordedCost + `}`

func TestAccess(t *testing.T) {
	t.Parallel()
	s := newStore(t, whole(200, accessAnswer))
	access, err := s.client().Access(t.Context())
	require.NoError(t, err)
	require.Equal(t, Access{Shop: "example.myshopify.com", Name: "My Shop", Plan: "Basic", Development: true,
		Scopes: []string{"read_orders", "write_customers"}, APIVersion: APIVersion}, access)
}

func TestVerifyAccess(t *testing.T) {
	t.Parallel()
	const denied = `{"errors":[{"message":"Access denied for orders field. Required access: ` + "`read_orders`" + ` access scope.","path":["orders"],
		"extensions":{"code":"ACCESS_DENIED","requiredAccess":"` + "`read_orders`" + ` access scope."}}],"data":{"orders":null}}`
	const unapproved = `{"data":{"customers":null},"errors":[{"message":"This app is not approved to access the Customer object. See https://partners.shopify.com/1/apps/2/customer_data for more details.",
		"path":["customers"],"extensions":{"code":"ACCESS_DENIED"}}]}`
	const readable = `{"data":{"customers":{"nodes":[` + recordedCustomer + `]},"orders":{"nodes":[{"id":"gid://shopify/Order/1","email":"` + address + `","customer":null}]}},` + recordedCost + `}`
	for name, test := range map[string]struct {
		access, customers, orders, version string
		want                               []string // the findings that are not OK
		advice                             string   // of the first
	}{
		"all is well": {access: accessAnswer, customers: readable, orders: readable},
		"scopes missing": {access: strings.ReplaceAll(accessAnswer, "write_customers", "read_customers"), customers: readable, orders: readable,
			want: []string{"The scope write_customers is missing"}, advice: "Grant the app the scope write_customers"},
		"orders denied": {access: strings.ReplaceAll(accessAnswer, "read_orders", "read_products"), customers: readable, orders: denied,
			want: []string{"The scope read_orders is missing", "Orders cannot be read (ACCESS_DENIED)."}, advice: "Grant the app the scope read_orders"},
		"no approval": {access: accessAnswer, customers: unapproved, orders: readable,
			want: []string{"Customers cannot be read (PROTECTED_CUSTOMER_DATA)."}, advice: "not approved for the Customer object"},
		"not approved for addresses": {access: accessAnswer, customers: strings.Replace(readable, `{"data"`, `{"errors":[{"message":"This app is not approved to use the emailAddress field.",
			"path":["customers","nodes",0,"defaultEmailAddress","emailAddress"]}],"data"`, 1), orders: readable,
			want: []string{"Customers cannot be read (PROTECTED_CUSTOMER_DATA)."}, advice: "not approved for the emailAddress field"},
		"not approved for phone numbers": {access: accessAnswer, customers: strings.Replace(readable, `{"data"`, `{"errors":[{"message":"This app is not approved to use the phoneNumber field.",
			"path":["customers","nodes",0,"defaultPhoneNumber","phoneNumber"]}],"data"`, 1), orders: readable,
			want: []string{"Customers cannot be read (PROTECTED_CUSTOMER_DATA)."}, advice: "not approved for the phoneNumber field"},
		"fallen forward": {access: accessAnswer, customers: readable, orders: readable, version: "2027-01",
			want: []string{"another version of its API"}, advice: "update Concord"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, func(w http.ResponseWriter, call sent) {
				if test.version != "" {
					w.Header().Set("X-Shopify-API-Version", test.version)
				}
				io.WriteString(w, map[string]string{"Access": test.access, "ProbeCustomers": test.customers, "ProbeOrders": test.orders}[call.operation])
			})
			var bad []Finding
			for _, finding := range s.client().VerifyAccess(t.Context()) {
				require.NotContains(t, finding.What+finding.Advice, address)
				if !finding.OK {
					bad = append(bad, finding)
				}
			}
			require.Len(t, bad, len(test.want), "%v", bad)
			for n := range bad {
				require.Contains(t, bad[n].What, test.want[n])
				require.NotEmpty(t, bad[n].Advice)
			}
			if len(bad) > 0 {
				require.Contains(t, bad[0].Advice, test.advice)
			}
		})
	}
}

func TestVerifyAccessOfAnEmptyStoreClaimsNoMoreThanItKnows(t *testing.T) {
	t.Parallel()
	const empty = `{"data":{"customers":{"nodes":[]},"orders":{"nodes":[]}},` + recordedCost + `}`
	s := newStore(t, func(w http.ResponseWriter, call sent) {
		io.WriteString(w, map[string]string{"Access": accessAnswer, "ProbeCustomers": empty, "ProbeOrders": empty}[call.operation])
	})
	findings := s.client().VerifyAccess(t.Context())
	for _, finding := range findings[len(findings)-2:] {
		require.True(t, finding.OK)
		require.Contains(t, finding.What, "not proven")
	}
}

func TestVerifyAccessOfAShopThatIsOff(t *testing.T) {
	t.Parallel()
	for status, advice := range map[int]string{401: adviceToken, 402: adviceFrozen, 403: adviceForbid, 404: adviceNoShop, 423: adviceLocked} {
		s := newStore(t, whole(status, `{"errors":"Unavailable Shop"}`))
		findings := s.client().VerifyAccess(t.Context())
		require.Len(t, findings, 1)
		require.False(t, findings[0].OK)
		require.Equal(t, advice, findings[0].Advice)
	}
}

func TestTheCallersContextStaysKnown(t *testing.T) {
	t.Parallel()
	s := newStore(t, whole(200, accessAnswer))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.client().Access(ctx)
	require.True(t, errors.Is(err, context.Canceled), "%v", err)
}

func TestAnotherVersionThatAnswersIsToldOnce(t *testing.T) {
	t.Parallel()
	versions := []string{APIVersion, "2027-01", "2027-01", APIVersion, "2027-04"}
	calls := 0
	s := newStore(t, func(w http.ResponseWriter, _ sent) {
		w.Header().Set("X-Shopify-API-Version", versions[calls])
		calls++
		io.WriteString(w, `{"data":{"customers":{"nodes":[],"pageInfo":{"hasNextPage":false,"endCursor":null}}}}`)
	})
	var told []string
	c := s.client(func(config *Config) { config.OtherVersion = func(version string) { told = append(told, version) } })
	for range versions {
		_, err := c.ChangedCustomers(t.Context(), time.Time{}, "")
		require.NoError(t, err)
	}
	require.Equal(t, []string{"2027-01", "2027-04"}, told)
}
