package list

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list/privacywire"
)

// PrivacyConfig describes a Privacy integration of a Listrak account: another integration than the Email one, with credentials of its
// own (official document, "Integration Setup").
type PrivacyConfig struct {
	// ClientID and Secret are its credentials; both are required.
	ClientID, Secret string
	// Account is the client id of the Email integration of the same account: whoever is forgotten vanishes from its lists and
	// from the sender codes that name it.
	Account string
	// Processing is how long a request is PROCESSING before it is COMPLETE; Listrak publishes no time. Zero completes it at once.
	Processing time.Duration
	// Unlimited leaves out the limits of 20 requests in 10 seconds and 60 in a minute.
	Unlimited bool
	// Paused refuses tokens and every call, as an inactive integration does; IPRefused as for an address that is not allowed.
	Paused, IPRefused bool
	// TokenLife is how long a token opens the API; zero means an hour.
	TokenLife time.Duration
	// Zone is the zone in which dates are written, without an offset; nil means UTC.
	Zone *time.Location
	// Now is the real time; nil means time.Now. It cannot change later.
	Now func() time.Time
}

func (c *PrivacyConfig) complete() error {
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.TokenLife = cmp.Or(c.TokenLife, time.Hour)
	var errs []error
	if c.ClientID == "" || c.Secret == "" || c.Account == "" {
		errs = append(errs, errors.New("the privacy integration needs a client id, a secret, and the client id of the account's Email integration"))
	}
	if c.Processing < 0 || c.TokenLife < 0 {
		errs = append(errs, errors.New("processing time and token life must not be negative"))
	}
	return errors.Join(errs...)
}

// ForgetRequest is a request to forget somebody. Dates are instants in UTC; the zero time is null.
type ForgetRequest struct {
	ID           string
	Email, Phone string
	Submitted    time.Time
	Processed    time.Time
}

// Limits of the Privacy API (official document, "Rate Limits").
var privacyLimits = []struct {
	requests int
	within   time.Duration
}{{20, 10 * time.Second}, {60, time.Minute}}

// Privacy is one Privacy integration. All methods are safe for concurrent use.
type Privacy struct {
	// Faults makes calls fail on request. Its operations are named by route: "token", "POST Forget", "GET Forget".
	Faults fault.Injector

	server *Server

	mu       sync.Mutex
	config   PrivacyConfig
	requests []*ForgetRequest
	// calls are when the last calls were let in, for the limits.
	calls []time.Time
}

// AddPrivacy puts a Privacy integration on the server. Its client id must be none that another integration has.
func (s *Server) AddPrivacy(config PrivacyConfig) (*Privacy, error) {
	if err := config.complete(); err != nil {
		return nil, fmt.Errorf("configure the privacy integration: %w", err)
	}
	p := &Privacy{server: s, config: config}
	taken := len(s.account(config.ClientID))+len(s.smsAccount(config.ClientID)) > 0
	s.mu.Lock()
	defer s.mu.Unlock()
	if taken || s.privacies[config.ClientID] != nil {
		return nil, errors.New("add the privacy integration: its client id is taken")
	}
	s.privacies[config.ClientID] = p
	return p, nil
}

// privacy returns the Privacy integration of a client id, or nil.
func (s *Server) privacy(client string) *Privacy {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.privacies[client]
}

// Configure changes the settings while the integration is in use. ClientID and Now stay as they are.
func (p *Privacy) Configure(change func(*PrivacyConfig)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.config
	change(&next)
	next.ClientID, next.Now = p.config.ClientID, p.config.Now
	if err := next.complete(); err != nil {
		return fmt.Errorf("configure the privacy integration: %w", err)
	}
	p.config = next
	return nil
}

// Config returns how the integration behaves now.
func (p *Privacy) Config() PrivacyConfig {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.config
}

// Requests returns all requests, oldest first.
func (p *Privacy) Requests() []ForgetRequest {
	p.process()
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]ForgetRequest, len(p.requests))
	for i, r := range p.requests {
		all[i] = *r
	}
	return all
}

// CompleteAll completes every request that is still processed, whatever its time.
func (p *Privacy) CompleteAll() { p.complete(func(*ForgetRequest) bool { return true }) }

// process completes what is due. Nobody can see a request between that moment and the next call, so it need not happen in time.
func (p *Privacy) process() {
	p.complete(func(r *ForgetRequest) bool { return !p.config.Now().Before(r.Submitted.Add(p.config.Processing)) })
}

func (p *Privacy) complete(due func(*ForgetRequest) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if r.Processed.IsZero() && due(r) {
			r.Processed = p.config.Now()
			for _, list := range p.server.account(p.config.Account) {
				// Whom the list does not know, it need not forget.
				_ = list.Delete(r.Email)
			}
			for _, code := range p.server.SenderCodes() {
				if code.Config().Account == p.config.Account {
					_ = code.Delete(r.Phone)
				}
			}
		}
	}
}

// submit takes a request to forget somebody in.
func (p *Privacy) submit(email, phone string) (string, error) {
	if email == "" && phone == "" || email != "" && !proper(email) {
		return "", invalid("emailAddress")
	}
	p.mu.Lock()
	// An account has few of them, so a plain number that is never given twice will do.
	r := &ForgetRequest{ID: fmt.Sprintf("forget-%d-%d", p.config.Now().UnixNano(), len(p.requests)), Email: email, Phone: phone,
		Submitted: p.config.Now()}
	p.requests = append(p.requests, r)
	p.mu.Unlock()
	p.process()
	return r.ID, nil
}

func (p *Privacy) find(id string) (ForgetRequest, bool) {
	for _, r := range p.Requests() {
		if r.ID == id {
			return r, true
		}
	}
	return ForgetRequest{}, false
}

// Forget drops a request that was made, as if it had never been: Listrak does not publish for how long it remembers them.
func (p *Privacy) Forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = slices.DeleteFunc(p.requests, func(r *ForgetRequest) bool { return r.ID == id })
}

// admit counts one call against the limits.
func (p *Privacy) admit() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.config.Unlimited {
		return true
	}
	now := p.config.Now()
	p.calls = slices.DeleteFunc(p.calls, func(at time.Time) bool { return now.Sub(at) >= time.Minute })
	for _, limit := range privacyLimits {
		within := 0
		for _, at := range p.calls {
			if now.Sub(at) < limit.within {
				within++
			}
		}
		if within >= limit.requests {
			return false
		}
	}
	p.calls = append(p.calls, now)
	return true
}

func (p *Privacy) closed() bool {
	config := p.Config()
	return config.Paused || config.IPRefused
}

// privacyOperations names the routes as fault rules do.
var privacyOperations = map[string]string{
	"POST /v1/Forget":            "POST Forget",
	"GET /v1/Forget/{requestId}": "GET Forget",
}

// PrivacyAPI serves the Privacy API; its paths begin with /v1.
func (s *Server) PrivacyAPI() http.Handler {
	mux := http.NewServeMux()
	strict := privacywire.NewStrictHandlerWithOptions(privacyRoutes{s}, nil, privacywire.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, _ error) {
			answer(w, refuse(CodeMalformedBody, "The body is not valid JSON."))
		},
		ResponseErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, err error) { answerRefusal(w, err) },
	})
	privacywire.HandlerWithOptions(strict, privacywire.StdHTTPServerOptions{
		BaseRouter:       mux,
		ErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, _ error) { answer(w, invalid("requestId")) },
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.servePrivacy(w, r, mux) })
}

func (s *Server) servePrivacy(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	setDate(w, s.now(), nil)
	_, pattern := mux.Handler(r)
	operation, known := privacyOperations[pattern]
	if !known {
		status := &Error{Status: http.StatusNotFound, Code: CodeUnknownRoute, Message: "The route does not exist."}
		if strings.HasPrefix(r.URL.Path, "/v1/Forget") {
			status = &Error{Status: http.StatusMethodNotAllowed, Code: CodeUnsupportedMethod, Message: "The route does not support the requested method."}
		}
		answer(w, status)
		return
	}
	client, let := s.authorize(r)
	p := s.privacy(client)
	if !let || p == nil || p.closed() {
		answer(w, unauthorized())
		return
	}
	if !p.admit() {
		answer(w, tooManyRequests())
		return
	}
	if !readJSON(w, r, 1<<16) {
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), accountKey{}, client))
	strike(w, r, []*fault.Injector{&p.Faults}, operation, mux.ServeHTTP)
}

// privacyRoutes puts the model behind the generated server.
type privacyRoutes struct{ server *Server }

var _ privacywire.StrictServerInterface = privacyRoutes{}

func (r privacyRoutes) privacy(ctx context.Context) *Privacy {
	client, _ := ctx.Value(accountKey{}).(string)
	return r.server.privacy(client)
}

func (r privacyRoutes) PostForget(ctx context.Context, ask privacywire.PostForgetRequestObject) (privacywire.PostForgetResponseObject, error) {
	id, err := r.privacy(ctx).submit(given(ask.Body.EmailAddress), given(ask.Body.PhoneNumber))
	if err != nil {
		return nil, err
	}
	status := int32(http.StatusCreated)
	return privacywire.PostForget201JSONResponse{Status: &status, ResourceID: &id}, nil
}

func (r privacyRoutes) GetForget(ctx context.Context, ask privacywire.GetForgetRequestObject) (privacywire.GetForgetResponseObject, error) {
	p := r.privacy(ctx)
	found, ok := p.find(ask.RequestID)
	if !ok {
		return nil, noResource("requestId")
	}
	state := "PROCESSING"
	if !found.Processed.IsZero() {
		state = "COMPLETE"
	}
	zone := p.Config().Zone
	data := privacywire.ForgetRequest{RequestID: &found.ID, Status: &state, SubmittedDate: WriteDate(found.Submitted, zone),
		ProcessedDate: WriteDate(found.Processed, zone)}
	status := int32(http.StatusOK)
	return privacywire.GetForget200JSONResponse{Status: &status, Data: &data}, nil
}
