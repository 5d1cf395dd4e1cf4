// Package shopify talks to one store's Admin GraphQL API, version 2026-10: it reads customers and orders and writes consent to email and
// to SMS. It keeps the API budget, gets and renews the access token, and reports every failure as a *failure.Error that holds no
// personal data.
package shopify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Khan/genqlient/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/shopify/admin"
)

// APIVersion is the version of the Admin API that everything here is written for; Shopify serves it until 2027-10-16.
const APIVersion = "2026-10"

// callTimeout bounds one exchange, unless the HTTP client given has a time limit of its own; the context may end it earlier.
const callTimeout = 30 * time.Second

// Config says which store to talk to and how.
type Config struct {
	// Shop is the store's own name, such as "example.myshopify.com".
	Shop string
	// BaseURL is where the API is, without a path; empty means https://{Shop}.
	BaseURL string
	// ClientID and ClientSecret are the app's, for the client-credentials grant. Token is a static access token and excludes them.
	ClientID, ClientSecret, Token string
	// HTTP is the client to send with; nil means one of our own. Without a time limit it gets one of 30 seconds. Redirects are never
	// followed: they would carry the token away.
	HTTP *http.Client
	// Now is the clock and Sleep waits on it; nil means the real ones. Sleep returns the context's error when that ends first.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	// OtherVersion is told once of each API version that answers instead of APIVersion: Shopify falls forward when it serves ours no
	// more (contracts/shopify.md 8). Calls go on. Nil tells nobody.
	OtherVersion func(version string)
	// WithoutPhones leaves the phone numbers of customers alone: Shopify refuses whoever asks for them and has not been granted that part
	// of the protected customer data, with everything else that the request asked for (contracts/shopify.md 1).
	WithoutPhones bool
}

// Client talks to one store. It is safe for concurrent use: all goroutines of a merchant share one, and with it one API budget and one
// token.
type Client struct {
	endpoint string
	http     *http.Client
	now      func() time.Time
	tokens   *tokenSource
	budget   *budget
	costs    learnedCosts
	// served is the API version that answered last.
	served       atomic.Pointer[string]
	otherVersion func(string)
	// withoutPhones is Config's.
	withoutPhones bool
}

var shopPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*\.myshopify\.com$`)

// New checks the configuration and makes a client. It does not call the store.
func New(config Config) (*Client, error) {
	if !shopPattern.MatchString(config.Shop) {
		return nil, errors.New("the shop must be the store's own name, such as example.myshopify.com")
	}
	base, err := baseURL(config)
	if err != nil {
		return nil, err
	}
	byGrant := config.ClientID != "" && config.ClientSecret != ""
	switch {
	case config.Token == "" && !byGrant:
		return nil, errors.New("access to the store needs a client id and a client secret, or an access token")
	case config.Token != "" && (config.ClientID != "" || config.ClientSecret != ""):
		return nil, errors.New("give either a client id and a client secret, or an access token, not both")
	}
	var own http.Client
	if config.HTTP != nil {
		own = *config.HTTP
	}
	if own.Timeout == 0 {
		own.Timeout = callTimeout
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	now, sleep := config.Now, config.Sleep
	if now == nil {
		now = time.Now
	}
	if sleep == nil {
		sleep = sleepReal
	}
	return &Client{
		endpoint:      base + "/admin/api/" + APIVersion + "/graphql.json",
		http:          &own,
		now:           now,
		budget:        newBudget(now, sleep),
		otherVersion:  config.OtherVersion,
		withoutPhones: config.WithoutPhones,
		tokens: &tokenSource{static: config.Token, clientID: config.ClientID, secret: config.ClientSecret,
			url: base + "/admin/oauth/access_token", http: &own, now: now, busy: make(chan struct{}, 1)},
	}, nil
}

func baseURL(config Config) (string, error) {
	if config.BaseURL == "" {
		return "https://" + config.Shop, nil
	}
	base, err := url.Parse(config.BaseURL)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil || base.RawQuery != "" ||
		base.Fragment != "" {
		return "", errors.New("the base address of Shopify must be like https://host, without user, query or fragment")
	}
	return strings.TrimRight(base.String(), "/"), nil
}

func sleepReal(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reserve waits until the API budget holds points and keeps them for the next writes, for a minute; WriteCost and CreateCost tell how
// many a write takes. It also gets a token ready, so that a write after it goes out at once: callers reserve first, claim the delivery
// in the ledger, then write. points must be at most what one request may cost, 1000.
func (c *Client) Reserve(ctx context.Context, points int) error {
	if points < 0 || points > maxRequestCost {
		return fmt.Errorf("reserve %d points: a request costs between 0 and %d", points, maxRequestCost)
	}
	if _, err := c.tokens.get(ctx); err != nil {
		return err
	}
	return c.budget.reserve(ctx, points)
}

// reply is what came back: data, and the errors that belong to parts of it.
type reply struct {
	data   json.RawMessage
	errors []graphError
	wait   time.Duration
	// date is the Date header of the answer, zero when it was missing.
	date time.Time
}

// call sends one request and returns what Shopify answered. The error is that of the whole request; errors of single fields are left
// in the reply.
func (c *Client) call(ctx context.Context, op operation, request *graphql.Request, items int) (reply, error) {
	if c.withoutPhones && op.customers {
		op = op.withoutPhones()
		text, err := admin.WithoutPhones(request.Query)
		if err != nil {
			return reply{}, err
		}
		request.Query = text
	}
	body, err := json.Marshal(request)
	if err != nil {
		// Only our own types are in there, so this cannot come from what a person typed.
		return reply{}, &failure.Error{Class: failure.PersonMustAct, Op: op.verb, Code: "ENCODE", Advice: adviceUpdate}
	}
	token, err := c.tokens.get(ctx)
	if err != nil {
		return reply{}, err
	}
	var charged *charge
	switch points := c.costs.of(op, items); op.claim {
	case spare:
		charged, err = c.budget.spendSpare(ctx, points)
	case modest:
		charged, err = c.budget.spendModest(ctx, points)
	default:
		charged, err = c.budget.spend(ctx, points, op.write)
	}
	if err != nil {
		return reply{}, err
	}
	answer := c.post(ctx, op, body, token)
	if answer.status == http.StatusUnauthorized && c.tokens.static == "" {
		// A refused token means that nothing was done, so even a write may be sent again.
		if token, err = c.tokens.replace(ctx, token); err != nil {
			c.budget.settle(charged, false, false, nil, 0)
			return reply{}, err
		}
		if answer = c.post(ctx, op, body, token); answer.status == http.StatusUnauthorized {
			// There is no token that anybody could set: the app itself is what Shopify does not take.
			answer.err = &failure.Error{Class: failure.PersonMustAct, Op: op.verb, Code: statusCode(answer.status), Advice: adviceClient}
		}
	}
	cost := answer.envelope.Extensions.Cost
	actual := float64(charged.points)
	var status *throttleStatus
	if cost != nil {
		status = cost.ThrottleStatus
		c.costs.learn(op, items, cost.Requested)
		switch {
		case cost.Actual != nil:
			actual = *cost.Actual
		case answer.envelope.has("THROTTLED"):
			actual = 0
		}
	}
	c.budget.settle(charged, answer.sent, answer.status != 0, status, actual)
	if answer.err != nil {
		return reply{}, answer.err
	}
	r, err := answer.envelope.reply(op)
	r.date = answer.date
	return r, err
}

// answer is what one HTTP exchange brought.
type answer struct {
	// sent: a connection was there, so the request may have reached Shopify. status is zero when no answer came.
	sent     bool
	status   int
	date     time.Time
	envelope envelope
	err      error
}

func (c *Client) post(ctx context.Context, op operation, body []byte, token string) (a answer) {
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		a.err = transportFailure(op.verb, err, false)
		return a
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("X-Shopify-Access-Token", token)
	response, err := c.http.Do(request)
	a.sent = sent.Load() || err == nil
	if err != nil {
		a.err = transportFailure(op.verb, err, op.write && a.sent)
		return a
	}
	defer response.Body.Close()
	text, err := readBody(response.Body)
	if err != nil {
		a.err = bodyFailure(op.verb, err, op.write)
		return a
	}
	a.status = response.StatusCode
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		a.date = date.UTC()
	}
	if version := response.Header.Get("X-Shopify-API-Version"); version != "" {
		before := c.served.Swap(&version)
		if version != APIVersion && c.otherVersion != nil && (before == nil || *before != version) {
			c.otherVersion(version)
		}
	}
	if a.status != http.StatusOK {
		a.err = statusFailure(op.verb, response, op.write, c.now())
		return a
	}
	if err := json.Unmarshal(text, &a.envelope); err != nil {
		// HTML of a proxy or a half answer: the cause is dropped, since it may quote the text.
		a.envelope = envelope{}
		a.err = &failure.Error{Class: failure.Retry, Op: op.verb, Code: CodeBadAnswer, MaybeDone: op.write}
	}
	return a
}

// envelope is the JSON around every answer.
type envelope struct {
	Data       json.RawMessage `json:"data"`
	Errors     graphErrors     `json:"errors"`
	Extensions struct {
		Cost *struct {
			Requested      float64         `json:"requestedQueryCost"`
			Actual         *float64        `json:"actualQueryCost"`
			ThrottleStatus *throttleStatus `json:"throttleStatus"`
		} `json:"cost"`
		Search []struct {
			Path     ast.Path `json:"path"`
			Warnings []struct {
				Field string `json:"field"`
			} `json:"warnings"`
		} `json:"search"`
	} `json:"extensions"`
}

// graphErrors is a list on most answers and a single text on some (contracts/shopify.md 7).
type graphErrors []graphError

// UnmarshalJSON takes both.
func (e *graphErrors) UnmarshalJSON(text []byte) error {
	var message string
	if json.Unmarshal(text, &message) == nil && message != "" {
		*e = graphErrors{{Message: message}}
		return nil
	}
	return json.Unmarshal(text, (*[]graphError)(e))
}

func (e envelope) has(code string) bool {
	for _, one := range e.Errors {
		if one.Extensions.Code == code {
			return true
		}
	}
	return false
}

// wait is how long Shopify's bucket needs until the request fits.
func (e envelope) wait() time.Duration {
	const least = 100 * time.Millisecond
	cost := e.Extensions.Cost
	if cost == nil || cost.ThrottleStatus == nil || cost.ThrottleStatus.RestoreRate <= 0 {
		// What Shopify advises (contracts/shopify.md 2.3).
		return time.Second
	}
	missing := min(cost.Requested, cost.ThrottleStatus.MaximumAvailable) - cost.ThrottleStatus.CurrentlyAvailable
	return max(least, min(time.Duration(missing/cost.ThrottleStatus.RestoreRate*float64(time.Second)), time.Minute))
}

// reply separates what failed as a whole from what failed in parts.
func (e envelope) reply(op operation) (reply, error) {
	for _, search := range e.Extensions.Search {
		for _, warning := range search.Warnings {
			// Shopify leaves out what it does not understand, so the result may be everybody.
			failed := graphError{Path: search.Path, searched: warning.Field}
			failed.Extensions.Code = CodeSearch
			e.Errors = append(e.Errors, failed)
		}
	}
	r := reply{data: e.Data, errors: e.Errors, wait: e.wait()}
	empty := len(e.Data) == 0 || bytes.Equal(e.Data, []byte("null"))
	for _, one := range e.Errors {
		_, ofVariable := one.variable()
		if root, ofField := one.root(); (ofField && root != "" && !empty) || ofVariable {
			continue
		}
		return reply{}, one.classify(op, r.wait)
	}
	if empty && len(e.Errors) == 0 {
		return reply{}, &failure.Error{Class: failure.Retry, Op: op.verb, Code: CodeBadAnswer, MaybeDone: op.write}
	}
	return r, nil
}

// root is the field at the root of the answer, by its alias, that the error belongs to.
func (g graphError) root() (string, bool) {
	if len(g.Path) == 0 {
		return "", false
	}
	name, ok := g.Path[0].(ast.PathName)
	return string(name), ok
}

// variable is the name of the variable that Shopify could not read.
func (g graphError) variable() (string, bool) {
	if g.Extensions.Code != "INVALID_VARIABLE" {
		return "", false
	}
	match := variablePattern.FindStringSubmatch(g.Message)
	if match == nil {
		return "", false
	}
	return match[1], true
}

// single lets the generated functions call through the client: one operation, and any error fails it.
type single struct {
	client *Client
	op     operation
	// date, when not nil, takes the Date header of the answer.
	date *time.Time
}

// MakeRequest implements graphql.Client.
func (s single) MakeRequest(ctx context.Context, request *graphql.Request, response *graphql.Response) error {
	r, err := s.client.call(ctx, s.op, request, 1)
	if err != nil {
		return err
	}
	if s.date != nil {
		*s.date = r.date
	}
	var found ItemErrors
	for _, one := range r.errors {
		found = append(found, one.classify(s.op, r.wait))
	}
	if grave := found.Unwrap(); len(grave) > 0 {
		return grave[0]
	}
	if err := json.Unmarshal(r.data, response.Data); err != nil {
		return &failure.Error{Class: failure.Retry, Op: s.op.verb, Code: CodeBadAnswer, MaybeDone: s.op.write}
	}
	return nil
}
