package shop

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const staticToken = "shpat_static"

// startTime is no whole second on purpose.
var startTime = time.Date(2026, 11, 22, 10, 0, 0, 500_000_000, time.UTC)

// testClock stands still until a test moves it.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func newTestClock() *testClock { return &testClock{now: startTime} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// bench is a store behind real HTTP.
type bench struct {
	t      *testing.T
	store  *Store
	clock  *testClock
	url    string
	client *http.Client
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	clock := newTestClock()
	config := Config{
		Domain: "example.myshopify.com", ClientID: "id", ClientSecret: "secret", Token: staticToken, Now: clock.Now,
	}
	if change != nil {
		change(&config)
	}
	store := New(config)
	httpServer := httptest.NewServer(NewServer(store))
	t.Cleanup(httpServer.Close)
	return &bench{t, store, clock, httpServer.URL, httpServer.Client()}
}

// graphQL sends a call and returns the answer's body; it must be HTTP 200.
func (b *bench) graphQL(query, variables string) answerBody {
	b.t.Helper()
	response := b.send(query, variables, staticToken)
	require.Equal(b.t, http.StatusOK, response.status, "body: %s", response.body)
	var answer answerBody
	require.NoError(b.t, json.Unmarshal(response.body, &answer), "body: %s", response.body)
	answer.raw = string(response.body)
	return answer
}

// answerBody is an answer as a client reads it.
type answerBody struct {
	Data       json.RawMessage `json:"data"`
	Errors     json.RawMessage `json:"errors"`
	Extensions *struct {
		Cost   *costReport
		Search []struct{ Warnings []SearchWarning }
	} `json:"extensions"`
	raw string
}

type response struct {
	status int
	header http.Header
	body   []byte
}

func (b *bench) send(query, variables, token string) response {
	b.t.Helper()
	if variables == "" {
		variables = "null"
	}
	body, err := json.Marshal(struct {
		Query     string          `json:"query"`
		Variables json.RawMessage `json:"variables"`
	}{query, json.RawMessage(variables)})
	require.NoError(b.t, err)
	return b.post("/admin/api/2026-10/graphql.json", "application/json", token, body)
}

func (b *bench) post(path, contentType, token string, body []byte) response {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, bytes.NewReader(body))
	require.NoError(b.t, err)
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("X-Shopify-Access-Token", token)
	answer, err := b.client.Do(request)
	require.NoError(b.t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(b.t, err)
	return response{answer.StatusCode, answer.Header, text}
}

// customer creates one as the person, of whom consent is known.
func (b *bench) customer(email string, consent Consent) CustomerID {
	b.t.Helper()
	id, err := b.store.CreateCustomer(NewCustomer{Email: email, Consent: consent, At: startTime.Add(-time.Hour)})
	require.NoError(b.t, err)
	return id
}

const aPhone = "+16134505293"

// reachable creates a customer with a phone number, as the person, of whom the SMS consent is known.
func (b *bench) reachable(phone string, sms Consent) CustomerID {
	b.t.Helper()
	id, err := b.store.CreateCustomer(NewCustomer{Phone: phone, SMSConsent: sms, At: startTime.Add(-time.Hour)})
	require.NoError(b.t, err)
	return id
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return parsed
}
