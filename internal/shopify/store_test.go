package shopify

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// address and phone are the person's of these tests; no error may ever show them.
const (
	address = "jane.doe+private@example.com"
	phone   = "+16134505293"
)

// recordedCost is the throttle status and cost of a recording (contracts/shopify.md 3.1).
const recordedCost = `"extensions":{"cost":{"requestedQueryCost":11,"actualQueryCost":11,` +
	`"throttleStatus":{"maximumAvailable":2000,"currentlyAvailable":1989,"restoreRate":100}}}`

// sent is a request as the test server read it, already checked against the schema.
type sent struct {
	operation string
	document  string
	roots     []*ast.Field
	variables map[string]any
	token     string
}

// argument is the value of an argument of a root field.
func (s sent) argument(t *testing.T, root int, name string) any {
	t.Helper()
	argument := s.roots[root].Arguments.ForName(name)
	require.NotNil(t, argument, "argument %s of %s", name, s.roots[root].Alias)
	value, err := argument.Value.Value(s.variables)
	require.NoError(t, err)
	return value
}

// store is a server that answers as told, with the shapes of the recordings in contracts/shopify.md. Whatever it is sent must be valid
// by the schema.
type store struct {
	t      *testing.T
	server *httptest.Server
	schema *ast.Schema

	mu     sync.Mutex
	answer func(http.ResponseWriter, sent)
	grant  http.HandlerFunc
	calls  []sent
	grants int
}

func newStore(t *testing.T, answer func(http.ResponseWriter, sent)) *store {
	t.Helper()
	s := &store{t: t, answer: answer, schema: gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphql", Input: Schema})}
	s.grant = func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"access_token":"f85632530bf277ec9ac6f649fc327f17","scope":"read_customers,write_customers","expires_in":86399}`)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /admin/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.grants++
		s.mu.Unlock()
		s.grant(w, r)
	})
	mux.HandleFunc("POST /admin/api/2026-10/graphql.json", s.graphql)
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	return s
}

func (s *store) graphql(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Query         string         `json:"query"`
		OperationName string         `json:"operationName"`
		Variables     map[string]any `json:"variables"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		s.t.Errorf("the request is no JSON: %v", err)
		return
	}
	document, errs := gqlparser.LoadQueryWithRules(s.schema, body.Query, rules.NewDefaultRules())
	if len(errs) > 0 {
		s.t.Errorf("the document is not valid by the schema: %v\n%s", errs, body.Query)
		return
	}
	operation := document.Operations.ForName(body.OperationName)
	if operation == nil {
		s.t.Errorf("the document has no operation %q", body.OperationName)
		return
	}
	variables, err := validator.VariableValues(s.schema, operation, body.Variables)
	if err != nil {
		s.t.Errorf("the variables are not valid by the schema: %v", err)
		return
	}
	call := sent{operation: body.OperationName, document: body.Query, variables: variables, token: r.Header.Get("X-Shopify-Access-Token")}
	for _, selection := range operation.SelectionSet {
		call.roots = append(call.roots, selection.(*ast.Field))
	}
	s.mu.Lock()
	s.calls = append(s.calls, call)
	s.mu.Unlock()
	w.Header().Set("X-Shopify-API-Version", APIVersion)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	s.answer(w, call)
}

func (s *store) seen() []sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sent(nil), s.calls...)
}

func (s *store) granted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grants
}

// client makes a client of this store with a static token.
func (s *store) client(change ...func(*Config)) *Client {
	s.t.Helper()
	config := Config{Shop: "example.myshopify.com", BaseURL: s.server.URL, Token: "shpat_secret"}
	for _, c := range change {
		c(&config)
	}
	client, err := New(config)
	require.NoError(s.t, err)
	return client
}

func byGrant(config *Config) {
	config.Token, config.ClientID, config.ClientSecret = "", "client", "secret"
}

// each answers every root field with what value gives for it.
func each(value func(root int, field *ast.Field) string) func(http.ResponseWriter, sent) {
	return func(w http.ResponseWriter, call sent) {
		var members []string
		for n, field := range call.roots {
			members = append(members, fmt.Sprintf("%q:%s", field.Alias, value(n, field)))
		}
		fmt.Fprintf(w, `{"data":{%s},%s}`, strings.Join(members, ","), recordedCost)
	}
}

// whole answers with one body.
func whole(status int, body string) func(http.ResponseWriter, sent) {
	return func(w http.ResponseWriter, _ sent) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return at
}
