package listrak

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"

	"github.com/concordsync/concord/internal/failure"
)

const (
	opToken = "fetch Listrak access token (POST /OAuth2/Token)"
	// tokenTimeout bounds one request for a token, which several callers may wait for.
	tokenTimeout = 30 * time.Second
	// tokenReserve is how long before its end a token is renewed, unless it lives so short that a tenth of its life is less.
	tokenReserve = time.Minute

	adviceCredentials = "Listrak refused the client id and secret: check both (the secret is shown only once, in Integrations → " +
		"Integration Management), that the integration is of the type Email and not paused, and that the IP address of this worker is allowed there"
)

// tokens keeps the access token of one integration. x/oauth2 makes the request; its own caching source is not used because it
// cannot be told that a token was refused, and holds every caller to the context of the first.
type tokens struct {
	config clientcredentials.Config
	// advice is what to do when the id and secret are refused.
	advice string
	sms    bool
	http   *http.Client
	now    func() time.Time
	wait   func() time.Duration // the delay to advise after a failure that passes
	flight singleflight.Group

	mu    sync.Mutex
	token string
	until time.Time // zero: until it is refused
}

func newTokens(to connection, client *http.Client, wait func() time.Duration) *tokens {
	return &tokens{
		config: clientcredentials.Config{ClientID: to.clientID, ClientSecret: to.clientSecret, TokenURL: to.authURL, AuthStyle: oauth2.AuthStyleInParams},
		advice: to.advice, sms: to.sms, http: client, now: to.now, wait: wait,
	}
}

// get returns a token that is good for now, fetching one if needed; callers at the same time share one request.
func (t *tokens) get(ctx context.Context) (string, error) {
	if token := t.cached(); token != "" {
		return token, nil
	}
	fetched := t.flight.DoChan("", func() (any, error) {
		// A caller may come here after another has just fetched one.
		if token := t.cached(); token != "" {
			return token, nil
		}
		// The request outlives the caller that began it, since others wait for it too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenTimeout)
		defer cancel()
		return t.fetch(ctx)
	})
	select {
	case <-ctx.Done():
		return "", broken(opToken, ctx.Err(), t.wait())
	case result := <-fetched:
		if result.Err != nil {
			return "", result.Err
		}
		return result.Val.(string), nil
	}
}

// refuse forgets token, which Listrak did not accept. A newer one that another call has fetched meanwhile stays.
func (t *tokens) refuse(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token = ""
	}
}

func (t *tokens) cached() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.until.IsZero() || t.now().Before(t.until) {
		return t.token
	}
	return ""
}

func (t *tokens) fetch(ctx context.Context) (string, error) {
	began := t.now()
	token, err := t.config.Token(context.WithValue(ctx, oauth2.HTTPClient, t.http))
	if err != nil {
		return "", t.classify(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token, t.until = token.AccessToken, time.Time{}
	if !token.Expiry.IsZero() {
		// x/oauth2 has added expires_in to the time of the machine; only the length counts here, from before the request.
		life := time.Until(token.Expiry)
		t.until = began.Add(life - min(tokenReserve, life/10))
	}
	return t.token, nil
}

// classify reads x/oauth2's error and lets none of its text through: it quotes the answer.
func (t *tokens) classify(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		if transport := transportError(err); transport != nil {
			return broken(opToken, transport, t.wait())
		}
		return &failure.Error{Class: failure.Retry, Op: opToken, Code: codeUnreadable, Wait: t.wait(),
			Advice: "What answered is no token of Listrak: check the merchant's Listrak auth URL (https://auth.listrak.com/OAuth2/Token unless set otherwise)"}
	}
	status, code := refused.Response.StatusCode, cleanCode(refused.ErrorCode)
	if code == "" {
		code = httpCode(status)
	}
	f := &failure.Error{Class: failure.PersonMustAct, Op: opToken, Code: code, SMS: t.sms}
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500:
		f.Class, f.Wait = failure.Retry, retryAfter(refused.Response.Header, t.now(), t.wait())
	case code == "ERROR_UNSUPPORTED_PROTOCOL":
		f.Advice = "Listrak wants HTTPS: check that the merchant's Listrak auth URL begins with https://"
	case code == codeInvalidCredentials, status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusBadRequest,
		status < 300: // an error in an answer of 200
		f.Advice = t.advice
	default:
		f.Advice = "What answered is not Listrak's token endpoint: check the merchant's Listrak auth URL (https://auth.listrak.com/OAuth2/Token unless set otherwise)"
	}
	return f
}
