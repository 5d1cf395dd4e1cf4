package list

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clock is a time that only the test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 22, 14, 3, 7, 123_456_789, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// listrak is a server with one list, and a signed-in client.
type listrak struct {
	*Store
	t      *testing.T
	clock  *clock
	server *Server
	api    string
	auth   string
	bearer string
	client *http.Client
}

func start(t *testing.T, change func(*Config)) *listrak {
	t.Helper()
	c := newClock()
	config := Config{ID: 7, Name: "News", ClientID: "client", Secret: "secret", Now: c.now, Events: []Event{
		{ID: 1, Name: "Marketing"}, {ID: 2, Name: "Checkout"}, {ID: 3, Name: "Old", Status: EventBlocked}}}
	if change != nil {
		change(&config)
	}
	store, err := New(config)
	require.NoError(t, err)
	server := NewServer(c.now)
	require.NoError(t, server.Add(store))
	api, auth := httptest.NewServer(server.API()), httptest.NewServer(server.Auth())
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		api.Close()
		auth.Close()
	})
	return &listrak{Store: store, t: t, clock: c, server: server, api: api.URL, auth: auth.URL + "/OAuth2/Token", client: client}
}

func signedIn(t *testing.T, change func(*Config)) *listrak {
	t.Helper()
	l := start(t, change)
	l.bearer = l.token("client", "secret").field("access_token")
	require.NotEmpty(t, l.bearer)
	return l
}

// reply is an answer as it came over the wire.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

func (r reply) field(name string) string {
	r.t.Helper()
	var fields map[string]json.RawMessage
	require.NoErrorf(r.t, json.Unmarshal([]byte(r.body), &fields), "not a JSON object: %s", r.body)
	var text *string
	if json.Unmarshal(fields[name], &text) != nil || text == nil {
		return string(fields[name])
	}
	return *text
}

// data decodes the answer's data.
func data[T any](r reply) (value T) {
	r.t.Helper()
	require.Equalf(r.t, http.StatusOK, r.status, "body: %s", r.body)
	var envelope struct {
		Status int
		Data   T
	}
	require.NoError(r.t, json.Unmarshal([]byte(r.body), &envelope), r.body)
	require.Equal(r.t, http.StatusOK, envelope.Status)
	return envelope.Data
}

func (r reply) refused(status int, code string) {
	r.t.Helper()
	require.Equalf(r.t, status, r.status, "body: %s", r.body)
	var got struct {
		Status         int
		Error, Message string
	}
	require.NoErrorf(r.t, json.Unmarshal([]byte(r.body), &got), "body: %s", r.body)
	require.Equal(r.t, code, got.Error)
	require.Equal(r.t, status, got.Status)
	require.NotEmpty(r.t, got.Message)
}

func (l *listrak) send(request *http.Request) reply {
	l.t.Helper()
	response, err := l.client.Do(request)
	require.NoError(l.t, err)
	defer func() { require.NoError(l.t, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	require.NoError(l.t, err)
	return reply{t: l.t, status: response.StatusCode, header: response.Header, body: string(body)}
}

func (l *listrak) request(method, path, body string) *http.Request {
	l.t.Helper()
	request, err := http.NewRequestWithContext(l.t.Context(), method, l.api+path, strings.NewReader(body))
	require.NoError(l.t, err)
	request.Header.Set("Authorization", "Bearer "+l.bearer)
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
	}
	return request
}

func (l *listrak) get(path string) reply {
	l.t.Helper()
	return l.send(l.request(http.MethodGet, path, ""))
}

// post writes a contact; parameters is the query, as "eventIds=1".
func (l *listrak) post(parameters, email, state string) reply {
	l.t.Helper()
	body, err := json.Marshal(map[string]any{"emailAddress": email, "subscriptionState": state, "segmentationFieldValues": []string{}})
	require.NoError(l.t, err)
	return l.send(l.request(http.MethodPost, "/v1/List/7/Contact?"+parameters, string(body)))
}

func (l *listrak) token(client, secret string) reply {
	l.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secret}}
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, l.auth, bytes.NewBufferString(form.Encode()))
	require.NoError(l.t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return l.send(request)
}

// shownContact is a contact as a client reads it, with null told from absent.
type shownContact struct {
	EmailAddress, EmailKey, UniversalEmailKey, SubscriptionState string
	SubscribeDate, ResubscribeDate, SubscribeMethod              *string
	UnsubscribeDate, UnsubscribeMethod, ExternalContactID        *string
	SegmentationFieldValues                                      []struct {
		SegmentationFieldID int
		Value               string
	}
}

func (l *listrak) contact(email string) shownContact {
	l.t.Helper()
	return data[shownContact](l.get("/v1/List/7/Contact/" + url.PathEscape(email)))
}

func pointer(text string) *string { return &text }
