package listrak

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testID     = "client-id-of-the-test"
	testSecret = "secret-of-the-test"
	testList   = 77
)

// newYork is the zone in which the tests' Listrak writes its dates.
var newYork = zoneOf("America/New_York")

func zoneOf(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return zone
}

// server is a Listrak that answers tokens properly and everything else as one test wants.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	tokens int      // tokens handed out
	life   int      // their expires_in
	seen   []string // method, path as sent and query of each API request
}

func (s *server) token(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.FormValue("grant_type") != "client_credentials" ||
		r.FormValue("client_id") != testID || r.FormValue("client_secret") != testSecret || r.Header.Get("Authorization") != "" {
		answerError(w, 400, "ERROR_INVALID_CREDENTIALS")
		return
	}
	s.mu.Lock()
	s.tokens++
	token := map[string]any{"access_token": tokenNumber(s.tokens), "token_type": "bearer", "expires_in": s.life}
	s.mu.Unlock()
	answerJSON(w, 200, token)
}

func tokenNumber(n int) string { return "token-" + string(rune('a'+n-1)) }

func (s *server) handedOut() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens
}

func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

// start runs a Listrak whose API is api, and a client for it.
func start(t testing.TB, api http.HandlerFunc, edit ...func(*Config)) (*Client, *server) {
	t.Helper()
	s := &server{life: 3600}
	mux := http.NewServeMux()
	mux.HandleFunc("/OAuth2/Token", s.token)
	mux.HandleFunc("/email/", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
		api(w, r)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	config := Config{
		BaseURL: s.URL + "/email", AuthURL: s.URL + "/OAuth2/Token", ClientID: testID, ClientSecret: testSecret,
		List: testList, Zone: newYork, RatePerSecond: 10_000, HTTP: s.Client(),
	}
	for _, change := range edit {
		change(&config)
	}
	client, err := New(config)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	return client, s
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// answerError answers as the contract says errors look. The message is what must never be branched on, nor shown.
func answerError(w http.ResponseWriter, status int, code string) {
	answerJSON(w, status, map[string]any{"status": status, "error": code, "message": "ERROR_BANNED_EMAIL_ADDRESS for alice@example.com"})
}

func created(w http.ResponseWriter) {
	answerJSON(w, 201, map[string]any{"status": 201, "resourceId": "0123456789ABCDEF"})
}

func answerText(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
