package shop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/shopify"
)

const (
	apiVersion = "2026-10"
	// maxBody is the sandbox's own limit; Shopify's is not documented.
	maxBody = 4 << 20
	// tokenOperation names the token endpoint in Faults and Requests.
	tokenOperation = "token"
)

// server speaks HTTP for a Store and holds no state of its own.
type server struct {
	store  *Store
	schema *ast.Schema
}

// NewServer serves a store as https://{shop} would: POST /admin/oauth/access_token and POST /admin/api/2026-10/graphql.json. It
// panics when the schema of internal/shopify is broken, which a test of that package would have said.
func NewServer(store *Store) http.Handler {
	s := &server{store: store, schema: gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphql", Input: shopify.Schema})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /admin/oauth/access_token", s.token)
	mux.HandleFunc("POST /admin/api/"+apiVersion+"/graphql.json", s.graphql)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "Not Found") })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", requestID())
		// By the store's own clock, which clients compare with theirs.
		w.Header().Set("Date", store.config.Now().UTC().Format(http.TimeFormat))
		mux.ServeHTTP(w, r)
	})
}

// requestID looks like Shopify's: a UUID and the Unix time.
func requestID() string {
	random := newToken()
	return fmt.Sprintf("%s-%s-%s-%s-%s-%d", random[:8], random[8:12], random[12:16], random[16:20], random[20:], time.Now().Unix())
}

// refuse answers with errors as a string, as Shopify does outside GraphQL (contracts/shopify.md 7).
func refuse(w http.ResponseWriter, status int, message string) {
	answerJSON(w, status, struct {
		Errors string `json:"errors"`
	}{message})
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // only types of this package come here
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that went away needs no answer
}

// serve runs one call with the latency and the faults that were asked for. act does the work and returns what writes the answer, so
// that an effect can be had without its answer; throttled writes the answer to a call that found the bucket empty.
func (s *server) serve(w http.ResponseWriter, r *http.Request, operation string, act func() (answer func()), throttled func()) {
	s.store.countRequest(operation)
	rule, struck := s.store.Faults.Next(operation)
	if !fault.Pause(r.Context(), s.store.config.Latency/2) {
		return
	}
	if struck {
		switch rule.Kind {
		case fault.Latency:
			if !fault.Pause(r.Context(), rule.Delay) {
				return
			}
		case fault.TimeoutBefore:
			fault.Hang(r.Context(), rule.Delay)
		case fault.TooManyRequests, fault.Throttled, fault.ServerError, fault.HTMLError:
			if !fault.Pause(r.Context(), rule.Delay) {
				return
			}
			s.fail(w, rule.Kind, throttled)
			return
		}
	}
	answer := act()
	if struck {
		switch rule.Kind {
		case fault.TimeoutAfter:
			fault.Hang(r.Context(), rule.Delay)
		case fault.ErrorAfter:
			if fault.Pause(r.Context(), rule.Delay) {
				refuse(w, http.StatusInternalServerError, "Internal Server Error")
			}
			return
		}
	}
	if fault.Pause(r.Context(), s.store.config.Latency-s.store.config.Latency/2) {
		answer()
	}
}

// fail answers a call that had no effect.
func (s *server) fail(w http.ResponseWriter, kind fault.Kind, throttled func()) {
	switch kind {
	case fault.TooManyRequests:
		if wait := s.store.Switches().RetryAfter; wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		}
		refuse(w, http.StatusTooManyRequests, "Too Many Requests")
	case fault.ServerError:
		refuse(w, http.StatusServiceUnavailable, "Service Unavailable")
	case fault.HTMLError:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>\n")
	default:
		throttled()
	}
}

// token is the client-credentials grant (contracts/shopify.md 1). The names of the errors but shop_not_permitted are RFC 6749's.
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err := r.ParseForm(); err != nil || kind != "application/x-www-form-urlencoded" {
		refuse(w, http.StatusBadRequest, "Bad Request")
		return
	}
	s.serve(w, r, tokenOperation, func() func() { return s.grant(w, r) }, func() { s.fail(w, fault.TooManyRequests, nil) })
}

func (s *server) grant(w http.ResponseWriter, r *http.Request) (answer func()) {
	switches := s.store.Switches()
	refused := func(status int, code, description string) func() {
		if status == 0 {
			status = http.StatusBadRequest
		}
		return func() {
			answerJSON(w, status, struct {
				Error       string `json:"error"`
				Description string `json:"error_description"`
			}{code, description})
		}
	}
	if r.PostForm.Get("grant_type") != "client_credentials" {
		return refused(0, "unsupported_grant_type", "The authorization grant type is not supported.")
	}
	if switches.ShopNotPermitted {
		return refused(switches.ShopNotPermittedStatus, "shop_not_permitted", "Client credentials cannot be performed on this shop.")
	}
	if !s.store.Installed() {
		// The name of this error is not in the contract; shops and libraries report it.
		return refused(0, "app_not_installed", "The application is not installed on this shop.")
	}
	token, life, ok := s.store.IssueToken(r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"))
	if !ok {
		return refused(switches.WrongSecretStatus, "invalid_client", "Client authentication failed.")
	}
	return func() {
		answerJSON(w, http.StatusOK, struct {
			AccessToken string `json:"access_token"`
			Scope       string `json:"scope"`
			ExpiresIn   int    `json:"expires_in"`
		}{token, strings.Join(s.store.config.Scopes, ","), int(life.Seconds())})
	}
}

// graphQLRequest is the body of a call.
type graphQLRequest struct {
	Query         *string         `json:"query"`
	Variables     json.RawMessage `json:"variables"`
	OperationName string          `json:"operationName"`
}

// graphQLAnswer is the body of an answer; a nil Data leaves the key out, as Shopify does when nothing was executed.
type graphQLAnswer struct {
	Errors     []answerError     `json:"errors,omitempty"`
	Data       json.RawMessage   `json:"data,omitempty"`
	Extensions *answerExtensions `json:"extensions,omitempty"`
}

type answerExtensions struct {
	Cost   *costReport    `json:"cost,omitempty"`
	Search []searchReport `json:"search,omitempty"`
}

type costReport struct {
	Requested int            `json:"requestedQueryCost"`
	Actual    *int           `json:"actualQueryCost"` // null when nothing was executed
	Throttle  ThrottleStatus `json:"throttleStatus"`
}

func (s *server) graphql(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Shopify-API-Version", s.store.config.ServedVersion)
	request, document, refused, ok := readRequest(w, r)
	if !ok {
		return
	}
	operation, missing := chooseOperation(document, request.OperationName)
	if refused == nil && missing != nil {
		refused = missing
	}
	respond := func(answer graphQLAnswer) func() { return func() { answerJSON(w, http.StatusOK, answer) } }
	admitted := func() bool { return s.store.Admits(r.Header.Get("X-Shopify-Access-Token")) }
	s.serve(w, r, firstRootField(document, operation), func() func() {
		if !admitted() {
			return func() {
				refuse(w, http.StatusUnauthorized, "[API] Invalid API key or access token (unrecognized login or wrong password)")
			}
		}
		if refused != nil {
			return respond(graphQLAnswer{Errors: refused})
		}
		run, refused := s.prepare(document, operation, request.Variables)
		if refused != nil {
			return respond(graphQLAnswer{Errors: refused})
		}
		return respond(run.answer())
	}, func() {
		requested := 1
		if refused == nil {
			if run, invalid := s.prepare(document, operation, request.Variables); invalid == nil {
				requested = run.requestedCost()
			}
		}
		status := s.store.Budget()
		status.CurrentlyAvailable = min(status.CurrentlyAvailable, requested-1)
		respond(throttledAnswer(requested, status))()
	})
}

// readRequest reads a call whole, so that the server notices when the client goes away. Not ok means that it was answered; refused are
// errors of the document, answered only to those who may call.
func readRequest(w http.ResponseWriter, r *http.Request) (graphQLRequest, *ast.QueryDocument, []answerError, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		refuse(w, status, http.StatusText(status))
		return graphQLRequest{}, nil, nil, false
	}
	var request graphQLRequest
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/json" || json.Unmarshal(body, &request) != nil {
		refuse(w, http.StatusBadRequest, "Bad Request")
		return graphQLRequest{}, nil, nil, false
	}
	if request.Query == nil {
		refuse(w, http.StatusBadRequest, "query: Required parameter missing or invalid")
		return graphQLRequest{}, nil, nil, false
	}
	document, refused := parseDocument(*request.Query)
	return request, document, refused, true
}

// chooseOperation wants a document that may be nil when it could not be parsed.
func chooseOperation(document *ast.QueryDocument, name string) (*ast.OperationDefinition, []answerError) {
	if document == nil {
		return nil, nil
	}
	if name == "" && len(document.Operations) == 1 {
		return document.Operations[0], nil
	}
	if operation := document.Operations.ForName(name); name != "" && operation != nil {
		return operation, nil
	}
	if name == "" {
		return nil, []answerError{{Message: "An operation name is required"}}
	}
	return nil, []answerError{{Message: fmt.Sprintf("No operation named %q", name)}}
}

// firstRootField names a call for Faults and Requests; aliases and the operation's own name are the client's choice and say nothing.
func firstRootField(document *ast.QueryDocument, operation *ast.OperationDefinition) string {
	if operation == nil {
		return ""
	}
	var first func(set ast.SelectionSet, depth int) string
	first = func(set ast.SelectionSet, depth int) string {
		if depth > 10 {
			return "" // fragments may form a circle: they have not been validated yet
		}
		for _, selection := range set {
			name := ""
			switch selection := selection.(type) {
			case *ast.Field:
				name = selection.Name
			case *ast.InlineFragment:
				name = first(selection.SelectionSet, depth+1)
			case *ast.FragmentSpread:
				if fragment := document.Fragments.ForName(selection.Name); fragment != nil {
					name = first(fragment.SelectionSet, depth+1)
				}
			}
			if name != "" {
				return name
			}
		}
		return ""
	}
	return first(operation.SelectionSet, 0)
}

// prepare validates a document and its variables.
func (s *server) prepare(
	document *ast.QueryDocument, operation *ast.OperationDefinition, variables json.RawMessage,
) (*execution, []answerError) {
	if refused := validateDocument(s.schema, document); refused != nil {
		return nil, refused
	}
	coerced, refused := coerceVariables(s.schema, operation, variables)
	if refused != nil {
		return nil, refused
	}
	return newExecution(s.store, s.schema, document, operation, coerced), nil
}

// answer judges the cost, charges it, executes, and gives back what was not used (contracts/shopify.md 2).
func (x *execution) answer() graphQLAnswer {
	requested := x.requestedCost()
	if requested > maxQueryCost {
		return graphQLAnswer{Errors: []answerError{{
			Message: fmt.Sprintf("Query cost is %d, which exceeds the single query max cost limit (%d).\n\n"+
				"See https://shopify.dev/concepts/about-apis/rate-limits for more information on how the\ncost of a query is calculated.",
				requested, maxQueryCost),
			Extensions: &errorExtensions{
				Code: "MAX_COST_EXCEEDED", Cost: requested, MaxCost: maxQueryCost,
				Documentation: "https://shopify.dev/api/usage/rate-limits",
			},
		}}}
	}
	if refused := x.tooLong(); refused != nil {
		return graphQLAnswer{
			Errors: refused, Data: json.RawMessage("null"),
			Extensions: &answerExtensions{Cost: &costReport{Requested: requested, Throttle: x.store.Budget()}},
		}
	}
	status, enough := x.store.Charge(requested)
	if !enough {
		return throttledAnswer(requested, status)
	}
	actual := x.run()
	status = x.store.Refund(requested - actual)
	for _, chosen := range x.collect(x.root, x.operation.SelectionSet)[:1] {
		x.store.countPoints(chosen.name(), actual)
	}
	return graphQLAnswer{
		Errors: x.errors, Data: x.out.Bytes(),
		Extensions: &answerExtensions{Cost: &costReport{requested, &actual, status}, Search: x.searches},
	}
}

func throttledAnswer(requested int, status ThrottleStatus) graphQLAnswer {
	return graphQLAnswer{
		Errors: []answerError{{Message: "Throttled", Extensions: &errorExtensions{
			Code: "THROTTLED", Documentation: "https://shopify.dev/api/usage/rate-limits",
		}}},
		Extensions: &answerExtensions{Cost: &costReport{Requested: requested, Throttle: status}},
	}
}
