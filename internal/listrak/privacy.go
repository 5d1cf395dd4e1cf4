package listrak

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak/privacy"
)

// DefaultPrivacyURL is Listrak's own address of the Privacy API.
const DefaultPrivacyURL = "https://api.listrak.com/privacy"

// Listrak allows 20 calls of the Privacy API in 10 seconds and 60 in a minute (official document, "Rate Limits"). privacyBurst calls at
// once and privacyPerSecond after them stay below both in any such time, with some room for calls that bunch up on their way: a span of
// s seconds holds at most privacyBurst + s × privacyPerSecond of them.
const (
	privacyBurst     = 9
	privacyPerSecond = 0.8
)

// ErrNoForgetRequest is in the chain of an error of Forgotten when Listrak knows no such request: ask it to forget anew.
var ErrNoForgetRequest = errors.New("no such forget request is known to Listrak")

const (
	opForget    = "ask to forget (POST /v1/Forget)"
	opForgotten = "read a forget request (GET /v1/Forget/{requestId})"

	advicePrivacyURL = "What answered is not Listrak's Privacy API: check the merchant's Listrak Privacy URL (https://api.listrak.com/privacy unless set otherwise)"
	// advicePrivacyCredentials speaks of what Listrak calls an integration of the type Privacy (official document, "Integration Setup").
	advicePrivacyCredentials = "Listrak refused the Privacy client id and secret: check both (the secret is shown only once, in Integrations → " +
		"Integration Management), that the integration is of the type Privacy and not paused, and that the IP address of this worker is allowed there"
)

// PrivacyConfig is what a PrivacyClient needs to know of a merchant. It is another integration than the Email API's.
type PrivacyConfig struct {
	// BaseURL and AuthURL are Listrak's by default.
	BaseURL, AuthURL       string
	ClientID, ClientSecret string
	// Spelling is how phone numbers are written, as to the SMS API.
	Spelling PhoneSpelling
	// Rate is shared by all clients of one Listrak account; nil for one of its own.
	Rate *PrivacyRate
	// HTTP makes the requests; nil for a client of its own with a time-out of 60 s.
	HTTP *http.Client
	// Now is the clock, nil for time.Now.
	Now func() time.Time
}

// PrivacyRate keeps the calls of one Listrak account below the limits of its Privacy API.
type PrivacyRate struct{ rate *requestRate }

// NewPrivacyRate makes one that nobody has used yet.
func NewPrivacyRate() *PrivacyRate {
	return &PrivacyRate{newBurstRate(privacyPerSecond, privacyBurst, time.Now)}
}

// PrivacyClient asks Listrak to forget people. It is safe for concurrent use.
type PrivacyClient struct {
	transport
	spelling PhoneSpelling
}

// NewPrivacy makes a client; it calls nobody. An error names the setting that is missing or wrong.
func NewPrivacy(config PrivacyConfig) (*PrivacyClient, error) {
	if config.BaseURL == "" {
		config.BaseURL = DefaultPrivacyURL
	}
	if config.AuthURL == "" {
		config.AuthURL = DefaultAuthURL
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Rate == nil {
		config.Rate = NewPrivacyRate()
	}
	switch {
	case !absoluteURL(config.BaseURL):
		return nil, setting("the Listrak Privacy URL is no http or https address without query; leave it empty for " + DefaultPrivacyURL)
	case !absoluteURL(config.AuthURL):
		return nil, setting("the Listrak auth URL is no http or https address without query; leave it empty for " + DefaultAuthURL)
	case config.ClientID == "" || config.ClientSecret == "":
		return nil, setting("the Listrak Privacy client id or secret is missing; both come from Integrations → Integration Management in Listrak")
	}
	c := &PrivacyClient{spelling: config.Spelling}
	c.transport.open(connection{
		baseURL: config.BaseURL, authURL: config.AuthURL, clientID: config.ClientID, clientSecret: config.ClientSecret,
		advice: advicePrivacyCredentials, rate: config.Rate.rate, http: config.HTTP, now: config.Now,
	})
	return c, nil
}

// Whom tells Listrak whom to forget; one of the two is enough. A Phone is in E.164 ("+15550001111"); anything else is sent as it is.
type Whom struct{ Email, Phone string }

// Forget asks Listrak to forget somebody and returns the request's id, by which Forgotten tells when it is done. Asking again is harmless.
func (c *PrivacyClient) Forget(ctx context.Context, whom Whom) (requestID string, err error) {
	call := call{op: opForget, write: true, person: true, privacy: true}
	if !Expressible(whom.Email + whom.Phone) {
		return "", inexpressible(call)
	}
	var body privacy.ForgetRequestParameters
	if whom.Email != "" {
		body.EmailAddress = &whom.Email
	}
	if whom.Phone != "" {
		body.PhoneNumber = ptr(c.spelling.spell(whom.Phone))
	}
	answer, err := c.call(ctx, call, func() (*http.Request, error) { return privacy.NewPostForgetRequest(c.baseURL, body) })
	if err != nil {
		return "", err
	}
	var created privacy.ResourceCreated
	if err := c.decode(call, answer, &created); err != nil {
		return "", err
	}
	if text(created.ResourceId) == "" {
		return "", call.unreadable("the answer has no request id", c.trouble())
	}
	return *created.ResourceId, nil
}

// Forgotten reports whether Listrak has done what Forget asked for. ErrNoForgetRequest is in the error's chain when it knows no such
// request.
func (c *PrivacyClient) Forgotten(ctx context.Context, requestID string) (bool, error) {
	call := call{op: opForgotten, privacy: true}
	if !Readable(requestID) {
		return false, inexpressible(call)
	}
	answer, err := c.call(ctx, call, func() (*http.Request, error) { return privacy.NewGetForgetRequest(c.baseURL, requestID) })
	if err != nil {
		if f := failure.As(err); f != nil && f.Code == codeNotFound {
			return false, &failure.Error{Class: failure.Retry, Op: call.op, Code: codeNotFound, Err: ErrNoForgetRequest}
		}
		return false, err
	}
	var resource privacy.ForgetRequestResource
	if err := c.decode(call, answer, &resource); err != nil {
		return false, err
	}
	if resource.Data == nil {
		return false, call.unreadable("the answer has no request", c.trouble())
	}
	// PROCESSING or COMPLETE; what Listrak may add is not done.
	return text(resource.Data.Status) == "COMPLETE", nil
}

// VerifyAccess fetches a token, which is all that can be asked without asking to forget somebody.
func (c *PrivacyClient) VerifyAccess(ctx context.Context) Finding {
	if _, err := c.tokens.get(ctx); err != nil {
		return failed("Listrak gives no access token for the Privacy client id and secret", err)
	}
	return Finding{OK: true, What: "Listrak gives an access token for the Privacy client id and secret"}
}

// privacyAdvice replaces advice that speaks of the Email API's integration and address.
func (c call) privacyAdvice(f *failure.Error) string {
	switch {
	case f.Class == failure.PersonMustAct && f.Code == codeInvalidCredentials:
		return advicePrivacyCredentials
	case f.Class == failure.PersonMustAct && (f.Code == "ERROR_UNAUTHORIZED" || f.Code == httpCode(http.StatusUnauthorized) ||
		f.Code == httpCode(http.StatusForbidden)):
		return "Listrak gave a token but does not allow this call: in Integrations → Integration Management, check that the integration is of " +
			"the type Privacy and not paused, and that the IP address of this worker is allowed"
	case f.Advice == adviceBaseURL, f.Advice == adviceList, f.Advice == adviceEvents:
		return advicePrivacyURL
	case f.Advice == adviceHTTPS:
		return "Listrak wants HTTPS: check that the merchant's Listrak Privacy URL begins with https://"
	}
	return f.Advice
}
