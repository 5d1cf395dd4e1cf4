package shopify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/failure"
)

const throttled = `{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED","documentation":"https://shopify.dev/api/usage/rate-limits"}}],
	"extensions":{"cost":{"requestedQueryCost":70,"actualQueryCost":null,"throttleStatus":{"maximumAvailable":2000.0,"currentlyAvailable":66.0,"restoreRate":100.0}}}}`

const page = `<!DOCTYPE html><html><body>Something went wrong for ` + address + `, ` + phone + `, +1 (613) 450-5293</body></html>`

// wanted is what one answer must become: for a read, and for a write.
type wanted struct {
	class  failure.Class
	code   string
	wait   time.Duration
	maybe  bool // of a write; a read never is
	advice string
}

var failureCases = map[string]struct {
	status int
	header map[string]string
	body   string
	want   wanted
}{
	"throttled at 200": {200, nil, throttled, wanted{class: failure.Retry, code: CodeThrottled, wait: 100 * time.Millisecond}},
	"throttled, far from enough": {200, nil, strings.Replace(throttled, "66.0", "-180.5", 1),
		wanted{class: failure.Retry, code: CodeThrottled, wait: 2505 * time.Millisecond}},
	"throttled without figures": {200, nil, `{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}]}`,
		wanted{class: failure.Retry, code: CodeThrottled, wait: time.Second}},
	"too dear": {200, nil, `{"errors":[{"message":"Query cost is 2003, which exceeds the single query max cost limit (1000).","extensions":{"code":"MAX_COST_EXCEEDED","cost":2003,"maxCost":1000}}]}`,
		wanted{class: failure.PersonMustAct, code: "MAX_COST_EXCEEDED", advice: "update Concord"}},
	"list too long": {200, nil, `{"data":null,"errors":[{"message":"The input array size of 251 is greater than the maximum allowed of 250.","path":["nodes"],"extensions":{"code":"MAX_INPUT_SIZE_EXCEEDED"}}]}`,
		wanted{class: failure.PersonMustAct, code: "MAX_INPUT_SIZE_EXCEEDED", advice: "update Concord"}},
	"internal error": {200, nil, `{"errors":[{"message":"Internal error. ` + address + `\nRequest ID: 1b2c","extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"1b2c"}}]}`,
		wanted{class: failure.Retry, code: "INTERNAL_SERVER_ERROR", maybe: true}},
	"internal error with a phone number as its request id": {200, nil, `{"errors":[{"message":"` + phone + `","extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"1-613-450-5293"}}]}`,
		wanted{class: failure.Retry, code: "INTERNAL_SERVER_ERROR", maybe: true}},
	"bad gateway with a phone number as its request id": {502, map[string]string{"X-Request-Id": "16134505293"}, page,
		wanted{class: failure.Retry, code: "HTTP_502", maybe: true}},
	"internal error with a hostile request id": {200, nil, `{"errors":[{"message":"x","extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"` + address + `"}}]}`,
		wanted{class: failure.Retry, code: "INTERNAL_SERVER_ERROR", maybe: true}},
	"a code nobody described": {200, nil, `{"errors":[{"message":"` + address + `","extensions":{"code":"BRAND_NEW"}}]}`,
		wanted{class: failure.Retry, code: "BRAND_NEW", maybe: true}},
	"a code that is none": {200, nil, `{"errors":[{"message":"m","extensions":{"code":"` + address + `"}}]}`,
		wanted{class: failure.Retry, code: "UNKNOWN", maybe: true}},
	"shop inactive": {200, nil, `{"errors":[{"message":"m","extensions":{"code":"SHOP_INACTIVE"}}]}`,
		wanted{class: failure.PersonMustAct, code: "SHOP_INACTIVE", advice: "unpaid"}},
	"scope missing": {200, nil, "{\"errors\":[{\"message\":\"Access denied for customers field. Required access: `read_customers` access scope.\",\"path\":[\"x\"],\"extensions\":{\"code\":\"ACCESS_DENIED\"}}],\"data\":null}",
		wanted{class: failure.PersonMustAct, code: CodeAccessDenied, advice: "the scope read_customers"}},
	"scope missing, not named": {200, nil, `{"errors":[{"message":"Access denied ` + address + `","extensions":{"code":"ACCESS_DENIED"}}]}`,
		wanted{class: failure.PersonMustAct, code: CodeAccessDenied, advice: "Grant the app the scopes"}},
	"not approved": {200, nil, `{"errors":[{"message":"This app is not approved to access the Customer object. See https://partners.shopify.com/1/customer_data for more details."}],"data":null}`,
		wanted{class: failure.PersonMustAct, code: CodeProtectedData, advice: "protected customer data"}},
	"not approved for a field": {200, nil, `{"errors":[{"message":"This app is not approved to use the emailAddress field. See https://x"}],"data":null}`,
		wanted{class: failure.PersonMustAct, code: CodeProtectedData, advice: "the emailAddress field"}},
	"not approved, unclear for what": {200, nil, `{"errors":[{"message":"This app is not approved to see ` + address + `"}],"data":null}`,
		wanted{class: failure.PersonMustAct, code: CodeProtectedData, advice: "protected customer data"}},
	"field unknown": {200, nil, `{"errors":[{"message":"Field 'x' doesn't exist on type 'Customer'","extensions":{"code":"undefinedField"}}]}`,
		wanted{class: failure.PersonMustAct, code: "undefinedField", advice: "update Concord"}},
	"unknown id": {200, nil, `{"data":null,"errors":[{"message":"Invalid id: gid://shopify/Customer/x","extensions":{"code":"RESOURCE_NOT_FOUND"}}]}`,
		wanted{class: failure.Refused, code: "RESOURCE_NOT_FOUND"}},
	"bad cursor": {200, nil, `{"data":null,"errors":[{"message":"Malformed cursor","extensions":{"code":"BAD_REQUEST"}}]}`,
		wanted{class: failure.Retry, code: CodeBadCursor}},
	"a text for errors": {200, nil, `{"errors":"Something about ` + address + `"}`, wanted{class: failure.Retry, code: "UNKNOWN", maybe: true}},

	"bad token": {401, nil, `{"errors":"[API] Invalid API key or access token (unrecognized login or wrong password)"}`,
		wanted{class: failure.PersonMustAct, code: "HTTP_401", advice: "access token is not valid"}},
	"frozen":            {402, nil, `{"errors":"Unavailable Shop"}`, wanted{class: failure.PersonMustAct, code: "HTTP_402", advice: "unpaid"}},
	"forbidden":         {403, nil, page, wanted{class: failure.PersonMustAct, code: "HTTP_403", advice: "forbids"}},
	"no such shop":      {404, nil, `{"errors":"Not Found"}`, wanted{class: failure.PersonMustAct, code: "HTTP_404", advice: "myshopify.com"}},
	"locked":            {423, nil, ``, wanted{class: failure.PersonMustAct, code: "HTTP_423", advice: "locked"}},
	"too many":          {429, nil, ``, wanted{class: failure.Retry, code: "HTTP_429", wait: 2 * time.Second}},
	"too many, for 4 s": {429, map[string]string{"Retry-After": "4.0"}, ``, wanted{class: failure.Retry, code: "HTTP_429", wait: 4 * time.Second}},
	"too many, for ever": {429, map[string]string{"Retry-After": "1e30"}, ``,
		wanted{class: failure.Retry, code: "HTTP_429", wait: time.Hour}},
	"too many, until a date": {429, map[string]string{"Retry-After": "Sun, 01 Nov 2026 10:00:30 GMT"}, ``,
		wanted{class: failure.Retry, code: "HTTP_429", wait: 30 * time.Second}},
	"too many, nonsense": {429, map[string]string{"Retry-After": "soon"}, ``, wanted{class: failure.Retry, code: "HTTP_429", wait: 2 * time.Second}},
	"security rejection": {430, nil, page, wanted{class: failure.Retry, code: "HTTP_430", wait: time.Minute}},
	"bad request":        {400, nil, page, wanted{class: failure.Retry, code: "HTTP_400"}},
	"moved":              {302, map[string]string{"Location": "https://elsewhere.example/"}, ``, wanted{class: failure.PersonMustAct, code: "HTTP_302", advice: "leads elsewhere"}},
	"moved, method kept": {307, map[string]string{"Location": "https://elsewhere.example/"}, ``, wanted{class: failure.PersonMustAct, code: "HTTP_307", advice: "leads elsewhere"}},
	"server error":       {500, map[string]string{"X-Request-Id": "abc-1"}, page, wanted{class: failure.Retry, code: "HTTP_500", maybe: true}},
	"bad gateway":        {502, map[string]string{"X-Request-Id": address}, page, wanted{class: failure.Retry, code: "HTTP_502", maybe: true}},
	"unavailable":        {503, map[string]string{"Retry-After": "7"}, page, wanted{class: failure.Retry, code: "HTTP_503", wait: 7 * time.Second, maybe: true}},
	"gateway time-out":   {504, nil, ``, wanted{class: failure.Retry, code: "HTTP_504", maybe: true}},

	"a page at 200":   {200, map[string]string{"Content-Type": "text/html"}, page, wanted{class: failure.Retry, code: CodeBadAnswer, maybe: true}},
	"nothing at 200":  {200, nil, ``, wanted{class: failure.Retry, code: CodeBadAnswer, maybe: true}},
	"half an answer":  {200, nil, `{"data":{"shop":{"name":"` + address, wanted{class: failure.Retry, code: CodeBadAnswer, maybe: true}},
	"null":            {200, nil, `null`, wanted{class: failure.Retry, code: CodeBadAnswer, maybe: true}},
	"an empty object": {200, nil, `{}`, wanted{class: failure.Retry, code: CodeBadAnswer, maybe: true}},
	"data null":       {200, nil, `{"data":null}`, wanted{class: failure.Retry, code: CodeBadAnswer, maybe: true}},
	"another shape":   {200, nil, `{"data":["` + address + `"]}`, wanted{class: failure.Retry, code: CodeBadAnswer, maybe: true}},
	"errors of another shape": {200, nil, `{"errors":{"email":["` + address + `"]}}`,
		wanted{class: failure.Retry, code: CodeBadAnswer, maybe: true}},
	"far too long": {200, nil, `{"data":"` + strings.Repeat("x", maxAnswer) + `"}`, wanted{class: failure.Retry, code: CodeTooLarge, maybe: true}},
}

// calls are reads and the writes, as every case meets them.
var calls = map[string]struct {
	write bool
	call  func(context.Context, *Client) error
}{
	"read": {false, func(ctx context.Context, c *Client) error {
		_, err := c.Access(ctx)
		return err
	}},
	"look-up": {false, func(ctx context.Context, c *Client) error {
		_, err := c.CustomersByEmail(ctx, []string{address})
		return err
	}},
	"look-up by phone": {false, func(ctx context.Context, c *Client) error {
		_, err := c.CustomersByPhone(ctx, []string{phone})
		return err
	}},
	"orders": {false, func(ctx context.Context, c *Client) error {
		_, err := c.OrdersOf(ctx, []OrderLookup{{Email: address, From: time.Unix(1, 0), To: time.Unix(2, 0)}})
		return err
	}},
	"update": {true, func(ctx context.Context, c *Client) error {
		_, err := c.UpdateEmailConsents(ctx, []ConsentWrite{{Customer: "gid://shopify/Customer/1", State: Subscribed, At: time.Unix(1, 0)}})
		return err
	}},
	"update SMS": {true, func(ctx context.Context, c *Client) error {
		_, err := c.UpdateSMSConsents(ctx, []ConsentWrite{{Customer: "gid://shopify/Customer/2", State: Unsubscribed, At: time.Unix(1, 0)}})
		return err
	}},
	"create by phone": {true, func(ctx context.Context, c *Client) error {
		_, err := c.CreateCustomers(ctx, []NewCustomer{{Phone: phone, At: time.Unix(1, 0)}})
		return err
	}},
	"create": {true, func(ctx context.Context, c *Client) error {
		_, err := c.CreateCustomers(ctx, []NewCustomer{{Email: address, At: time.Unix(1, 0)}})
		return err
	}},
}

func TestEveryFailureIsClassified(t *testing.T) {
	t.Parallel()
	now := moment(t, "2026-11-01T10:00:00Z")
	for name, test := range failureCases {
		for callName, call := range calls {
			t.Run(name+"/"+callName, func(t *testing.T) {
				t.Parallel()
				s := newStore(t, func(w http.ResponseWriter, _ sent) {
					for key, value := range test.header {
						w.Header().Set(key, value)
					}
					w.WriteHeader(test.status)
					io.WriteString(w, test.body)
				})
				err := call.call(t.Context(), s.client(func(c *Config) { c.Now = func() time.Time { return now } }))
				f := failure.As(err)
				require.NotNil(t, f, "not classified: %v", err)
				require.Equal(t, test.want.class.String(), f.Class.String())
				require.Equal(t, test.want.code, f.Code)
				require.Equal(t, test.want.wait, f.Wait.Round(time.Millisecond))
				require.Equal(t, test.want.maybe && call.write, f.MaybeDone, "MaybeDone")
				require.Contains(t, f.Advice, test.want.advice)
				if f.Class == failure.PersonMustAct {
					require.NotEmpty(t, f.Advice, "a person must know what to do")
				}
				require.NotEmpty(t, f.Op)
				requireNoSecrets(t, err)
				require.Len(t, s.seen(), 1, "nothing is tried twice behind the caller's back")
			})
		}
	}
}

// requireNoSecrets looks into the error as a log would print it, in every way.
func requireNoSecrets(t *testing.T, err error) {
	t.Helper()
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		for _, secret := range []string{address, "jane.doe", "shpat_", "secret", "4505293", "450-5293", "450 5293", "450.5293"} {
			require.NotContains(t, text, secret)
		}
	}
	if next := errors.Unwrap(err); next != nil {
		requireNoSecrets(t, next)
	}
}

func TestUserErrorsOfConsentWrites(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]struct {
		code string
		want wanted
	}{
		"Customer not found":                                                        {`"INVALID"`, wanted{class: failure.Retry, code: CodeCustomerNotFound}},
		"Consent updated at must not be in the future":                              {`"INVALID"`, wanted{class: failure.Retry, code: CodeFutureDate, wait: time.Minute}},
		"Marketing opt in level must be confirmed opt-in for pending consent state": {`"INVALID"`, wanted{class: failure.Refused, code: "INVALID"}},
		"Marketing opt in level must exist":                                         {`"MISSING_ARGUMENT"`, wanted{class: failure.Refused, code: "MISSING_ARGUMENT"}},
		"Something internal about " + address:                                       {`"INTERNAL_ERROR"`, wanted{class: failure.Retry, code: "INTERNAL_ERROR", maybe: true}},
		"Something about " + address:                                                {`"INCLUSION"`, wanted{class: failure.Refused, code: "INCLUSION"}},
		"Another thing about " + address:                                            {`null`, wanted{class: failure.Refused, code: "USER_ERROR"}},
	} {
		t.Run(want.code+" "+message, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, whole(200, `{"data":{"customerEmailMarketingConsentUpdate_0":{"customer":`+recordedCustomer+
				`,"userErrors":[{"field":["input"],"message":"`+message+`","code":`+want.code+`}]}},`+recordedCost+`}`))
			results, err := s.client().UpdateEmailConsents(t.Context(), []ConsentWrite{{Customer: "gid://shopify/Customer/1", State: Unsubscribed, At: time.Unix(1, 0)}})
			require.NoError(t, err)
			f := failure.As(results[0].Err)
			require.NotNil(t, f)
			require.Equal(t, want.want.class, f.Class)
			require.Equal(t, want.want.code, f.Code)
			require.Equal(t, want.want.wait, f.Wait)
			require.Equal(t, want.want.maybe, f.MaybeDone)
			requireNoSecrets(t, results[0].Err)
			require.Equal(t, jane(t), results[0].Customer, "the payload shows the unchanged customer")
		})
	}
}

// TestUserErrorsOfSMSWrites: all answer without a customer, and the one about an unknown customer without a code (contracts/shopify.md 3.3).
func TestUserErrorsOfSMSWrites(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]struct {
		code string
		want wanted
	}{
		"Customer not found": {`null`, wanted{class: failure.Retry, code: CodeCustomerNotFound}},
		"A phone number is required to set the SMS consent state.": {`"INVALID"`, wanted{class: failure.Refused, code: CodeNoPhone, advice: advicePhone}},
		"Consent updated at must not be in the future":             {`"INVALID"`, wanted{class: failure.Retry, code: CodeFutureDate, wait: time.Minute}},
		"Marketing opt in level must exist":                        {`"MISSING_ARGUMENT"`, wanted{class: failure.Refused, code: "MISSING_ARGUMENT"}},
		"Something internal about " + phone:                        {`"INTERNAL_ERROR"`, wanted{class: failure.Retry, code: "INTERNAL_ERROR", maybe: true}},
		"Something about +1 (613) 450-5293":                        {`"INCLUSION"`, wanted{class: failure.Refused, code: "INCLUSION"}},
		"Another thing about 613.450.5293":                         {`null`, wanted{class: failure.Refused, code: "USER_ERROR"}},
		"A code that is none, but 613 450 5293":                    {`"613 450 5293"`, wanted{class: failure.Refused, code: "USER_ERROR"}},
	} {
		t.Run(want.code+" "+message, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, whole(200, `{"data":{"customerSmsMarketingConsentUpdate_0":{"customer":null,"userErrors":[{"field":null,"message":"`+message+
				`","code":`+want.code+`}]}},`+recordedCost+`}`))
			results, err := s.client().UpdateSMSConsents(t.Context(), []ConsentWrite{{Customer: "gid://shopify/Customer/2", State: Unsubscribed, At: time.Unix(1, 0)}})
			require.NoError(t, err)
			f := failure.As(results[0].Err)
			require.NotNil(t, f)
			require.Equal(t, want.want.class, f.Class)
			require.Equal(t, want.want.code, f.Code)
			require.Equal(t, want.want.wait, f.Wait)
			require.Equal(t, want.want.maybe, f.MaybeDone)
			require.Equal(t, want.want.advice, f.Advice)
			requireNoSecrets(t, results[0].Err)
			require.Zero(t, results[0].Customer)
		})
	}
}

// TestAnUnreadablePhoneNumberIsNotQuoted: Shopify repeats the value in the message and in its problems.
func TestAnUnreadablePhoneNumberIsNotQuoted(t *testing.T) {
	t.Parallel()
	for _, spelled := range []string{phone, "+1 (613) 450-5293", "613-450-5293", "16134505293", "+1.613.450.5293", "613 450 5293"} {
		t.Run(spelled, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, nil)
			s.answer = func(w http.ResponseWriter, call sent) {
				fmt.Fprintf(w, `{"errors":[{"message":"Variable $%[1]s_0 of type String! was provided invalid value (Phone '%[2]s')","extensions":{"code":"INVALID_VARIABLE",
					"value":"%[2]s","problems":[{"path":[],"explanation":"%[2]s"}]}}]}`, map[string]string{"CustomerByIdentifier": "identifier", "CreateCustomer": "input"}[call.operation], spelled)
			}
			_, err := s.client().CustomersByPhone(t.Context(), []string{spelled})
			require.Equal(t, failure.Refused, failure.ClassOf(err))
			requireNoSecrets(t, err)
			results, err := s.client().CreateCustomers(t.Context(), []NewCustomer{{Phone: spelled, At: time.Unix(1, 0)}})
			require.NoError(t, err)
			require.Equal(t, failure.Refused, failure.ClassOf(results[0].Err))
			requireNoSecrets(t, results[0].Err)
		})
	}
}

func TestAFailedWriteLeavesTheOthers(t *testing.T) {
	t.Parallel()
	writes := []ConsentWrite{
		{Customer: "gid://shopify/Customer/1", State: Subscribed, At: time.Unix(1, 0)},
		{Customer: "gid://shopify/Customer/2", State: Subscribed, At: time.Unix(1, 0)},
	}
	const good = `"customerEmailMarketingConsentUpdate_0":{"customer":` + recordedCustomer + `,"userErrors":[]}`

	t.Run("by an error of its field", func(t *testing.T) {
		t.Parallel()
		s := newStore(t, whole(200, `{"errors":[{"message":"Cannot specify NOT_SUBSCRIBED as a marketing state input","extensions":{"code":"INVALID"},
			"path":["customerEmailMarketingConsentUpdate_1"]}],"data":{`+good+`,"customerEmailMarketingConsentUpdate_1":null},`+recordedCost+`}`))
		results, err := s.client().UpdateEmailConsents(t.Context(), writes)
		require.NoError(t, err)
		require.NoError(t, results[0].Err)
		require.Equal(t, failure.Refused, failure.ClassOf(results[1].Err))
		require.Equal(t, "INVALID", failure.As(results[1].Err).Code)
	})
	t.Run("by an internal error of its field", func(t *testing.T) {
		t.Parallel()
		s := newStore(t, whole(200, `{"errors":[{"message":"Internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"},
			"path":["customerEmailMarketingConsentUpdate_1","customer"]}],"data":{`+good+`,"customerEmailMarketingConsentUpdate_1":null},`+recordedCost+`}`))
		results, err := s.client().UpdateEmailConsents(t.Context(), writes)
		require.NoError(t, err)
		require.NoError(t, results[0].Err)
		require.True(t, failure.As(results[1].Err).MaybeDone)
	})
	t.Run("by an unreadable variable", func(t *testing.T) {
		t.Parallel()
		s := newStore(t, whole(200, `{"errors":[{"message":"Variable $input_1 of type CustomerEmailMarketingConsentUpdateInput! was provided invalid value for x (invalid DateTime '`+address+`')",
			"locations":[{"line":2,"column":48}],"extensions":{"code":"INVALID_VARIABLE","value":{},"problems":[{"path":["emailMarketingConsent"],"explanation":"`+address+`"}]}}]}`))
		results, err := s.client().UpdateEmailConsents(t.Context(), writes)
		require.NoError(t, err)
		require.Equal(t, CodeNotSent, failure.As(results[0].Err).Code, "nothing is executed when a variable is unreadable")
		require.False(t, failure.As(results[0].Err).MaybeDone)
		require.Equal(t, failure.Refused, failure.ClassOf(results[1].Err))
		requireNoSecrets(t, results[1].Err)
	})
	t.Run("by an error of a field that is not ours", func(t *testing.T) {
		t.Parallel()
		s := newStore(t, whole(200, `{"errors":[{"message":"m","path":["other_17"],"extensions":{"code":"INTERNAL_SERVER_ERROR"}}],"data":{`+good+`},`+recordedCost+`}`))
		_, err := s.client().UpdateEmailConsents(t.Context(), writes)
		require.True(t, failure.As(err).MaybeDone)
	})
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			released := make(chan struct{})
			s := newStore(t, func(http.ResponseWriter, sent) {
				cancel(nil)
				<-released
			})
			t.Cleanup(func() { close(released) })
			f := failure.As(call.call(ctx, s.client()))
			require.NotNil(t, f)
			require.Equal(t, CodeCanceled, f.Code)
			require.Equal(t, call.write, f.MaybeDone, "the request had arrived")
			requireNoSecrets(t, f)
		})
	}
	t.Run("of the HTTP client", func(t *testing.T) {
		t.Parallel()
		released := make(chan struct{})
		s := newStore(t, func(http.ResponseWriter, sent) { <-released })
		t.Cleanup(func() { close(released) })
		err := calls["update"].call(t.Context(), s.client(func(c *Config) { c.HTTP = &http.Client{Timeout: 50 * time.Millisecond} }))
		require.Equal(t, CodeTimeout, failure.As(err).Code)
		require.True(t, failure.As(err).MaybeDone)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		requireNoSecrets(t, err)
	})
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := "http://" + free.Addr().String()
	require.NoError(t, free.Close())

	tls := httptest.NewTLSServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake is what this test wants
	t.Cleanup(tls.Close)

	for name, test := range map[string]struct {
		base, code string
		change     func(*Config)
	}{
		"refused":            {closed, CodeUnreachable, nil},
		"no such host":       {"http://store.invalid", CodeUnreachable, nil},
		"unknown authority":  {tls.URL, CodeTLS, nil},
		"the grant, refused": {closed, CodeUnreachable, byGrant},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := Config{Shop: "example.myshopify.com", BaseURL: test.base, Token: "shpat_secret"}
			if test.change != nil {
				test.change(&config)
			}
			c, err := New(config)
			require.NoError(t, err)
			err = calls["update"].call(t.Context(), c)
			f := failure.As(err)
			require.NotNil(t, f)
			require.Equal(t, test.code, f.Code, "%v", err)
			require.Equal(t, failure.Retry, f.Class, "it may pass without anything of the merchant's being changed")
			require.NotEmpty(t, f.Advice)
			if test.code != CodeTLS {
				require.False(t, f.MaybeDone, "nothing can have been sent")
			}
			requireNoSecrets(t, err)
		})
	}
}

func TestABrokenConnectionMayHaveWritten(t *testing.T) {
	t.Parallel()
	s := newStore(t, func(w http.ResponseWriter, _ sent) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			connection.Close()
		}
	})
	f := failure.As(calls["update"].call(t.Context(), s.client()))
	require.Equal(t, CodeUnreachable, f.Code)
	require.True(t, f.MaybeDone)
	require.Equal(t, failure.Retry, f.Class)
}
