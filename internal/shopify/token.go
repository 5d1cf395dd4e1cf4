package shopify

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/failure"
)

const verbToken = "get an access token"

// tokenSource gives the access token: a static one, or one by the client-credentials grant, kept until shortly before it ends
// (contracts/shopify.md 1). It is safe for concurrent use; only one request for a token is under way at a time.
type tokenSource struct {
	static           string
	clientID, secret string
	url              string
	http             *http.Client
	now              func() time.Time
	// busy is the lock over what follows: a channel, so that waiting for another caller's request can be cancelled.
	busy           chan struct{}
	token          string
	renewAt, endAt time.Time
}

// get returns a token that Shopify should take.
func (s *tokenSource) get(ctx context.Context) (string, error) {
	if s.static != "" {
		return s.static, nil
	}
	if err := s.lock(ctx); err != nil {
		return "", err
	}
	defer s.unlock()
	return s.current(ctx)
}

// replace returns another token than refused, which Shopify did not take; one that another caller has got meanwhile serves too. Only
// for tokens by the grant.
func (s *tokenSource) replace(ctx context.Context, refused string) (string, error) {
	if err := s.lock(ctx); err != nil {
		return "", err
	}
	defer s.unlock()
	if s.token == refused {
		s.token = ""
	}
	return s.current(ctx)
}

// current returns the token that is kept, or asks for one. The caller holds the lock.
func (s *tokenSource) current(ctx context.Context) (string, error) {
	now := s.now()
	if s.token != "" && now.Before(s.renewAt) {
		return s.token, nil
	}
	err := s.request(ctx)
	if err != nil && s.token != "" && now.Before(s.endAt) {
		// The old one is still good; the next call tries again.
		return s.token, nil
	}
	return s.token, err
}

func (s *tokenSource) lock(ctx context.Context) error {
	select {
	case s.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return transportFailure(verbToken, ctx.Err(), false)
	}
}

func (s *tokenSource) unlock() { <-s.busy }

// request asks for a new token. The caller holds the lock.
func (s *tokenSource) request(ctx context.Context) error {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {s.clientID}, "client_secret": {s.secret}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader(form.Encode()))
	if err != nil {
		return transportFailure(verbToken, err, false)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	asked := s.now()
	response, err := s.http.Do(request)
	if err != nil {
		return transportFailure(verbToken, err, false)
	}
	defer response.Body.Close()
	body, err := readBody(response.Body)
	if err != nil {
		return bodyFailure(verbToken, err, false)
	}
	if response.StatusCode != http.StatusOK {
		return tokenRefusal(response, body, s.now())
	}
	var grant struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if json.Unmarshal(body, &grant) != nil || grant.AccessToken == "" {
		return &failure.Error{Class: failure.Retry, Op: verbToken, Code: CodeBadAnswer}
	}
	life := time.Duration(grant.ExpiresIn * float64(time.Second))
	if life <= 0 || life > 48*time.Hour {
		life = time.Hour
	}
	// Renewed in the last tenth of its life, at most an hour before the end; spread, so that processes that started together do not
	// ask together.
	early := min(life/10, time.Hour)
	s.token, s.endAt = grant.AccessToken, asked.Add(life)
	s.renewAt = s.endAt.Add(-early + time.Duration(rand.Float64()*float64(early/2)))
	return nil
}

// tokenRefusal explains why no token was given. OAuth errors of Shopify come as JSON or as a page of HTML, under a status that is not
// documented, so the known codes are looked for in the text.
func tokenRefusal(response *http.Response, body []byte, now time.Time) error {
	mustAct := func(code, advice string) error {
		return &failure.Error{Class: failure.PersonMustAct, Op: verbToken, Code: code, Advice: advice}
	}
	text := bytes.ToLower(body)
	for _, known := range []struct{ text, code, advice string }{
		{"shop_not_permitted", CodeShopNotPermitted, adviceOrganization},
		{"client credentials cannot be performed on this shop", CodeShopNotPermitted, adviceOrganization},
		{"application_cannot_be_found", "APPLICATION_CANNOT_BE_FOUND", adviceClient},
		{"invalid_client", "INVALID_CLIENT", adviceClient},
		{"unauthorized_client", "UNAUTHORIZED_CLIENT", adviceClient},
		{"app_not_installed", "APP_NOT_INSTALLED", "Install the app on this store, then try again."},
	} {
		if response.StatusCode < 500 && bytes.Contains(text, []byte(known.text)) {
			return mustAct(known.code, known.advice)
		}
	}
	switch response.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized:
		return mustAct(statusCode(response.StatusCode), adviceClient)
	default:
		return statusFailure(verbToken, response, false, now)
	}
}
