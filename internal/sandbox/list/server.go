package list

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list/wire"
)

// Server answers Listrak's token endpoint, Email API, Privacy API and SMS API for any number of lists. It is safe for concurrent use.
type Server struct {
	now    func() time.Time
	routes *http.ServeMux

	mu    sync.RWMutex
	lists []*Store      // by id
	codes []*SenderCode // by id
	// privacies are the Privacy integrations by client id.
	privacies map[string]*Privacy
	tokens    map[string]token
}

type token struct {
	client  string
	expires time.Time
}

// NewServer returns a server without lists. Now is the real time, by which tokens expire; nil means time.Now.
func NewServer(now func() time.Time) *Server {
	if now == nil {
		now = time.Now
	}
	s := &Server{now: now, routes: http.NewServeMux(), privacies: map[string]*Privacy{}, tokens: map[string]token{}}
	strict := wire.NewStrictHandlerWithOptions(routes{s}, nil, wire.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, _ error) {
			answer(w, refuse(CodeMalformedBody, "The body is not valid JSON."))
		},
		ResponseErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, err error) { answerRefusal(w, err) },
	})
	wire.HandlerWithOptions(strict, wire.StdHTTPServerOptions{
		BaseRouter: s.routes,
		ErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, err error) {
			name := "a parameter"
			var format *wire.InvalidParamFormatError
			if errors.As(err, &format) {
				name = format.ParamName
			}
			answer(w, invalid(name))
		},
	})
	return s
}

// Add puts a list on the server. A second list of the same id is refused.
func (s *Server) Add(list *Store) error {
	id := list.id
	s.mu.Lock()
	defer s.mu.Unlock()
	at, taken := slices.BinarySearchFunc(s.lists, id, func(l *Store, id int) int { return l.id - id })
	if taken {
		return fmt.Errorf("add list: there is a list %d already", id)
	}
	s.lists = slices.Insert(s.lists, at, list)
	return nil
}

// Lists returns all lists, by id.
func (s *Server) Lists() []*Store {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.lists)
}

// List returns the list of an id, or nil.
func (s *Server) List(id int) *Store {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, found := slices.BinarySearchFunc(s.lists, id, func(l *Store, id int) int { return l.id - id })
	if !found {
		return nil
	}
	return s.lists[at]
}

// account returns the lists of one client id, by id.
func (s *Server) account(client string) []*Store {
	var lists []*Store
	for _, list := range s.Lists() {
		if list.Config().ClientID == client {
			lists = append(lists, list)
		}
	}
	return lists
}

// ExpireTokens makes every token given so far invalid, so that the next call of each client answers 401.
func (s *Server) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// operations names the routes as fault rules do, with the area that each needs.
var operations = map[string]struct {
	name string
	area Area
}{
	"GET /v1/List":                                      {"GET Lists", AreaList},
	"GET /v1/List/{listId}":                             {"GET List", AreaList},
	"GET /v1/List/{listId}/Contact":                     {"GET Contacts", AreaContact},
	"POST /v1/List/{listId}/Contact":                    {"POST Contact", AreaContact},
	"GET /v1/List/{listId}/Contact/{contactIdentifier}": {"GET Contact", AreaContact},
	"GET /v1/List/{listId}/Event":                       {"GET Events", AreaEvent},

	"GET /v1/List/{listId}/Message":                                                                {"GET Messages", AreaMessage},
	"GET /v1/List/{listId}/Message/{messageId}/Activity":                                           {"GET Activity", AreaReporting},
	"GET /v1/List/{listId}/Message/{messageId}/Summary":                                            {"GET Summary", AreaReporting},
	"GET /v1/List/{listId}/Conversation":                                                           {"GET Conversations", AreaMessage},
	"GET /v1/List/{listId}/Conversation/{conversationId}/Message":                                  {"GET Messages", AreaMessage},
	"GET /v1/List/{listId}/Conversation/{conversationId}/Message/{conversationMessageId}/Activity": {"GET Activity", AreaReporting},
	"GET /v1/List/{listId}/Conversation/{conversationId}/Message/{conversationMessageId}/Summary":  {"GET Summary", AreaReporting},
	"GET /v1/List/{listId}/TransactionalMessage":                                                   {"GET Transactional", AreaMessage},
	"GET /v1/List/{listId}/TransactionalMessage/{transactionalMessageId}/Activity":                 {"GET Activity", AreaReporting},
}

// accountKey carries the client id of a request that was let in.
type accountKey struct{}

// API serves the Email API; its paths begin with /v1.
func (s *Server) API() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	addressed := s.addressed(r.URL.Path)
	setDate(w, s.now(), addressed)
	if unsafeRoute(r, addressed) {
		answer(w, refuse(CodeUnsafeRoute, "An invalid character was supplied in the route."))
		return
	}
	operation, known := operations[s.pattern(r)]
	if !known || escapedSlash(r) {
		s.answerUnknown(w, r)
		return
	}
	client, let := s.authorize(r)
	lists := s.account(client)
	if addressed == nil && len(lists) > 0 {
		setDate(w, s.now(), lists[0])
	}
	if !let || len(lists) == 0 || slices.ContainsFunc(lists, closed) {
		answer(w, unauthorized())
		return
	}
	if slices.ContainsFunc(lists, func(l *Store) bool { return slices.Contains(l.Config().NoAccess, operation.area) }) {
		answer(w, unauthorized())
		return
	}
	asked := lists
	if addressed != nil && slices.Contains(lists, addressed) {
		asked = []*Store{addressed}
	}
	if !asked[0].admit() {
		answer(w, tooManyRequests())
		return
	}
	if !readJSON(w, r, asked[0].Config().MaxBody) {
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), accountKey{}, client))
	struck(w, r, asked, operation.name, s.routes.ServeHTTP)
}

// addressed is the list that a path names, whosever it is, or nil.
func (s *Server) addressed(path string) *Store {
	segments := strings.Split(path, "/")
	if len(segments) < 4 {
		return nil
	}
	id, err := strconv.Atoi(segments[3])
	if err != nil {
		return nil
	}
	return s.List(id)
}

func (s *Server) pattern(r *http.Request) string {
	_, pattern := s.routes.Handler(r)
	return pattern
}

// answerUnknown tells a wrong method from a wrong route, as Listrak does.
func (s *Server) answerUnknown(w http.ResponseWriter, r *http.Request) {
	if !escapedSlash(r) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, known := operations[s.pattern(other)]; known {
				answer(w, &Error{Status: http.StatusMethodNotAllowed, Code: CodeUnsupportedMethod,
					Message: "The route does not support the requested method."})
				return
			}
		}
	}
	answer(w, &Error{Status: http.StatusNotFound, Code: CodeUnknownRoute, Message: "The route does not exist."})
}

// escapedSlash: Listrak's web server decodes a path before it looks for a route, so an address with a slash finds none.
func escapedSlash(r *http.Request) bool {
	return strings.Contains(strings.ToUpper(r.URL.EscapedPath()), "%2F")
}

func unsafeRoute(r *http.Request, addressed *Store) bool {
	const unsafe = `<>*%&:\?`
	if addressed != nil && addressed.Config().TakesEscapedRoutes {
		return strings.ContainsAny(r.URL.EscapedPath(), `<>*&:\`)
	}
	return strings.ContainsAny(r.URL.Path, unsafe)
}

// authorize returns the client whose token the request bears.
func (s *Server) authorize(r *http.Request) (string, bool) {
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	held, known := s.tokens[bearer]
	if !known || !s.now().Before(held.expires) {
		return "", false
	}
	return held.client, true
}

func closed(list *Store) bool {
	config := list.Config()
	return config.Paused || config.IPRefused
}

func unauthorized() *Error {
	return &Error{Status: http.StatusUnauthorized, Code: CodeUnauthorized, Message: "Authorization was denied for this request."}
}

func tooManyRequests() *Error {
	return &Error{Status: http.StatusTooManyRequests, Code: CodeTooManyRequests, Message: "Too many requests."}
}

// Auth serves the token endpoint, POST /OAuth2/Token.
func (s *Server) Auth() http.Handler { return http.HandlerFunc(s.serveToken) }

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	setDate(w, s.now(), nil)
	switch {
	case r.URL.Path != "/OAuth2/Token":
		answer(w, &Error{Status: http.StatusNotFound, Code: CodeUnknownRoute, Message: "The route does not exist."})
		return
	case r.Method != http.MethodPost:
		answer(w, &Error{Status: http.StatusMethodNotAllowed, Code: CodeUnsupportedMethod,
			Message: "The route does not support the requested method."})
		return
	}
	if !readBody(w, r, 1<<16) {
		return
	}
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
		answer(w, invalid("grant_type"))
		return
	}
	client := r.PostForm.Get("client_id")
	if p := s.privacy(client); p != nil {
		strike(w, r, []*fault.Injector{&p.Faults}, "token", func(w http.ResponseWriter, r *http.Request) {
			config, secret := p.Config(), r.PostForm.Get("client_secret")
			s.grant(w, !p.closed() && subtle.ConstantTimeCompare([]byte(config.Secret), []byte(secret)) == 1, client, config.TokenLife)
		})
		return
	}
	if codes := s.smsAccount(client); len(codes) > 0 {
		s.smsToken(w, r, client, codes)
		return
	}
	lists := s.account(client)
	if len(lists) > 0 {
		setDate(w, s.now(), lists[0])
	}
	struck(w, r, lists, "token", func(w http.ResponseWriter, r *http.Request) {
		secret, life := r.PostForm.Get("client_secret"), time.Duration(0)
		right := len(lists) > 0 && !slices.ContainsFunc(lists, closed) && slices.ContainsFunc(lists, func(l *Store) bool {
			return subtle.ConstantTimeCompare([]byte(l.Config().Secret), []byte(secret)) == 1
		})
		if right {
			life = lists[0].Config().TokenLife
		}
		s.grant(w, right, client, life)
	})
}

// grant answers with a token. An integration that is paused, or does not allow the caller's address, is refused with the same
// code as a wrong secret (official document, Error Codes, General); the HTTP status of that refusal is not published.
func (s *Server) grant(w http.ResponseWriter, right bool, client string, life time.Duration) {
	if !right {
		answer(w, &Error{Status: http.StatusUnauthorized, Code: CodeInvalidCredentials, Message: "The client credentials are invalid."})
		return
	}
	now, bearer := s.now(), rand.Text()
	s.mu.Lock()
	for held, t := range s.tokens {
		if !now.Before(t.expires) {
			delete(s.tokens, held)
		}
	}
	s.tokens[bearer] = token{client: client, expires: now.Add(life)}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
	}{bearer, "bearer", int64(life / time.Second)})
}

// readBody takes the whole body in before anything else happens: only then does the server notice a client that gives up, which
// is what ends a held answer. It answers an oversized body itself: 404 (contracts/listrak.md, Access), the way the web server
// in front of Listrak words it, without a code.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		answerHTML(w, http.StatusNotFound)
		return false
	case err != nil:
		answer(w, refuse(CodeMalformedBody, "The body could not be read."))
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return true
}

// readJSON is readBody for routes of the APIs, which take nothing but JSON. It answers a POST or PUT of anything else itself.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64) bool {
	if !readBody(w, r, limit) {
		return false
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if (r.Method == http.MethodPost || r.Method == http.MethodPut) && (err != nil || kind != "application/json") {
		answer(w, &Error{Status: http.StatusUnsupportedMediaType, Code: CodeUnsupportedContentType,
			Message: "Please use a Content-Type of application/json."})
		return false
	}
	return true
}

// struck serves the request as the fault rules of the lists want it: properly, badly, or not at all.
func struck(w http.ResponseWriter, r *http.Request, lists []*Store, operation string, serve http.HandlerFunc) {
	if len(lists) > 0 {
		fault.Pause(r.Context(), lists[0].Config().Latency)
	}
	injectors := make([]*fault.Injector, len(lists))
	for i, list := range lists {
		injectors[i] = &list.Faults
	}
	strike(w, r, injectors, operation, serve)
}

// strike lets the first of the injectors that wants to spoil the operation do so.
func strike(w http.ResponseWriter, r *http.Request, injectors []*fault.Injector, operation string, serve http.HandlerFunc) {
	rule, hit := fault.Rule{}, false
	for _, injector := range injectors {
		if rule, hit = injector.Next(operation); hit {
			break
		}
	}
	if !hit {
		serve(w, r)
		return
	}
	switch rule.Kind {
	case fault.TooManyRequests, fault.Throttled:
		answer(w, tooManyRequests())
	case fault.ServerError:
		answer(w, &Error{Status: http.StatusServiceUnavailable, Code: CodeUnhandled, Message: "The service is unavailable."})
	case fault.HTMLError:
		answerHTML(w, http.StatusBadGateway)
	case fault.TimeoutBefore:
		fault.Hang(r.Context(), rule.Delay)
	case fault.TimeoutAfter:
		serve(unheard{}, r)
		fault.Hang(r.Context(), rule.Delay)
	case fault.ErrorAfter:
		serve(unheard{}, r)
		answer(w, &Error{Status: http.StatusInternalServerError, Code: CodeUnhandled, Message: "An unexpected error occurred."})
	default: // fault.Latency
		fault.Pause(r.Context(), rule.Delay)
		serve(w, r)
	}
}

// unheard takes an answer that nobody will hear.
type unheard struct{}

func (unheard) Header() http.Header            { return http.Header{} }
func (unheard) Write(text []byte) (int, error) { return len(text), nil }
func (unheard) WriteHeader(int)                {}

// setDate dates the answer by Listrak's clock, which may be skewed; clients measure the difference by this header.
func setDate(w http.ResponseWriter, now time.Time, list *Store) {
	if list != nil {
		now = list.Clock()
	}
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
}

// answerRefusal words what the model did not do; what is no refusal is a fault of this program.
func answerRefusal(w http.ResponseWriter, err error) {
	var refusal *Error
	if !errors.As(err, &refusal) {
		refusal = &Error{Status: http.StatusInternalServerError, Code: CodeUnhandled, Message: "An unexpected error occurred."}
	}
	answer(w, refusal)
}

func answer(w http.ResponseWriter, e *Error) {
	status := int32(e.Status)
	writeJSON(w, e.Status, wire.Error{Status: &status, Error: &e.Code, Message: &e.Message})
}

func answerHTML(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	// A client that is gone is no concern of ours.
	_, _ = fmt.Fprintf(w, "<!DOCTYPE html>\n<html><head><title>%d</title></head><body><h1>%d %s</h1></body></html>\n",
		status, status, http.StatusText(status))
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that is gone is no concern of ours.
	_ = json.NewEncoder(w).Encode(body)
}
