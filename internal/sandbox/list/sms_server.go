package list

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list/smswire"
)

// AddSenderCode puts a sender code on the server. A second one of the same id, a phone list id that is taken and a client id that an
// integration of another kind has are refused.
func (s *Server) AddSenderCode(code *SenderCode) error {
	config := code.Config()
	if len(s.account(config.ClientID)) > 0 || s.privacy(config.ClientID) != nil {
		return fmt.Errorf("add sender code %d: its client id is that of an integration of another kind", code.id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, taken := slices.BinarySearchFunc(s.codes, code.id, func(c *SenderCode, id int) int { return c.id - id })
	if taken {
		return fmt.Errorf("add sender code: there is a sender code %d already", code.id)
	}
	for _, list := range config.Lists {
		if slices.ContainsFunc(s.codes, func(c *SenderCode) bool { return c.has(list.ID) }) {
			return fmt.Errorf("add sender code %d: there is a phone list %d already", code.id, list.ID)
		}
	}
	s.codes = slices.Insert(s.codes, at, code)
	return nil
}

// has tells whether the sender code has a phone list.
func (s *SenderCode) has(list int) bool {
	config := s.Config()
	_, has := config.list(list)
	return has
}

// SenderCodes returns all sender codes, by id.
func (s *Server) SenderCodes() []*SenderCode {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.codes)
}

// SenderCode returns the sender code of an id, or nil.
func (s *Server) SenderCode(id int) *SenderCode {
	return s.senderCode(func(c *SenderCode) bool { return c.id == id })
}

// SenderCodeOf returns the sender code that has a phone list, or nil.
func (s *Server) SenderCodeOf(list int) *SenderCode {
	return s.senderCode(func(c *SenderCode) bool { return c.has(list) })
}

func (s *Server) senderCode(wanted func(*SenderCode) bool) *SenderCode {
	codes := s.SenderCodes()
	if at := slices.IndexFunc(codes, wanted); at >= 0 {
		return codes[at]
	}
	return nil
}

// smsAccount returns the sender codes of one client id, by id.
func (s *Server) smsAccount(client string) []*SenderCode {
	return slices.DeleteFunc(s.SenderCodes(), func(c *SenderCode) bool { return c.Config().ClientID != client })
}

func (s *SenderCode) closed() bool {
	config := s.Config()
	return config.Paused || config.IPRefused
}

// setDate dates an answer by Listrak's clock, as setDate does for a list.
func (s *SenderCode) setDate(w http.ResponseWriter) {
	w.Header().Set("Date", s.Clock().UTC().Format(http.TimeFormat))
}

// smsToken answers the token endpoint for an SMS integration.
func (s *Server) smsToken(w http.ResponseWriter, r *http.Request, client string, codes []*SenderCode) {
	codes[0].setDate(w)
	fault.Pause(r.Context(), codes[0].Config().Latency)
	strike(w, r, codeFaults(codes), "token", func(w http.ResponseWriter, r *http.Request) {
		secret := r.PostForm.Get("client_secret")
		right := !slices.ContainsFunc(codes, (*SenderCode).closed) && slices.ContainsFunc(codes, func(c *SenderCode) bool {
			return subtle.ConstantTimeCompare([]byte(c.Config().Secret), []byte(secret)) == 1
		})
		s.grant(w, right, client, codes[0].Config().TokenLife)
	})
}

func codeFaults(codes []*SenderCode) []*fault.Injector {
	injectors := make([]*fault.Injector, len(codes))
	for i, code := range codes {
		injectors[i] = &code.Faults
	}
	return injectors
}

// smsOperations names the routes as fault rules do.
var smsOperations = map[string]string{
	"GET /v1/ShortCode":                                                                            "GET SenderCodes",
	"GET /v1/ShortCode/{senderCodeId}/PhoneList":                                                   "GET PhoneLists",
	"GET /v1/ShortCode/{senderCodeId}/PhoneList/{phoneListId}/Contact":                             "GET Contacts",
	"POST /v1/ShortCode/{senderCodeId}/PhoneList/{phoneListId}/Contact":                            "POST Contact",
	"PUT /v1/ShortCode/{senderCodeId}/Contact":                                                     "PUT Contact",
	"GET /v1/ShortCode/{senderCodeId}/Contact/{phoneNumber}":                                       "GET Contact",
	"GET /v1/ShortCode/{senderCodeId}/OptOut":                                                      "GET OptOuts",
	"GET /v1/ShortCode/{senderCodeId}/Contact/{phoneNumber}/PhoneList":                             "GET Subscriptions",
	"POST /v1/ShortCode/{senderCodeId}/Contact/{phoneNumber}/PhoneList/{phoneListId}":              "POST Subscription",
	"DELETE /v1/ShortCode/{senderCodeId}/ContactUnsubscribe/{phoneNumber}/PhoneList/{phoneListId}": "DELETE Subscription",
}

// SMSAPI serves the SMS API; its paths begin with /v1.
func (s *Server) SMSAPI() http.Handler {
	mux := http.NewServeMux()
	strict := smswire.NewStrictHandlerWithOptions(smsRoutes{s}, nil, smswire.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, _ error) {
			answer(w, refuse(CodeMalformedBody, "The body is not valid JSON."))
		},
		ResponseErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, err error) { answerRefusal(w, err) },
	})
	smswire.HandlerWithOptions(strict, smswire.StdHTTPServerOptions{
		BaseRouter:       mux,
		ErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, _ error) { answer(w, invalid("a parameter")) },
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serveSMS(w, r, mux) })
}

func (s *Server) serveSMS(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	addressed := s.addressedCode(r.URL.Path)
	if setDate(w, s.now(), nil); addressed != nil {
		addressed.setDate(w)
	}
	if strings.ContainsAny(r.URL.Path, `<>*%&:\?`) {
		answer(w, refuse(CodeUnsafeRoute, "An invalid character was supplied in the route."))
		return
	}
	if addressed != nil && addressed.Config().RefusesPlus && strings.Contains(r.URL.Path, "+") {
		answerHTML(w, http.StatusNotFound)
		return
	}
	_, pattern := mux.Handler(r)
	operation, known := smsOperations[pattern]
	if !known || escapedSlash(r) {
		answer(w, noRoute(mux, r))
		return
	}
	client, let := s.authorize(r)
	codes := s.smsAccount(client)
	if addressed == nil && len(codes) > 0 {
		codes[0].setDate(w)
	}
	if !let || len(codes) == 0 || slices.ContainsFunc(codes, (*SenderCode).closed) {
		answer(w, unauthorized())
		return
	}
	asked := codes
	if addressed != nil && slices.Contains(codes, addressed) {
		asked = []*SenderCode{addressed}
	}
	if asked[0].Config().NoAccess {
		answer(w, unauthorized())
		return
	}
	if !asked[0].admit() {
		answer(w, tooManyRequests())
		return
	}
	if !readJSON(w, r, asked[0].Config().MaxBody) {
		return
	}
	fault.Pause(r.Context(), asked[0].Config().Latency)
	r = r.WithContext(context.WithValue(r.Context(), accountKey{}, client))
	strike(w, r, codeFaults(asked), operation, mux.ServeHTTP)
}

// addressedCode is the sender code that a path names, whosever it is, or nil.
func (s *Server) addressedCode(path string) *SenderCode {
	segments := strings.Split(path, "/")
	if len(segments) < 4 {
		return nil
	}
	id, err := strconv.Atoi(segments[3])
	if err != nil {
		return nil
	}
	return s.SenderCode(id)
}

// noRoute tells a wrong method from a wrong route, as Listrak does.
func noRoute(mux *http.ServeMux, r *http.Request) *Error {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); smsOperations[pattern] != "" && !escapedSlash(r) {
			return &Error{Status: http.StatusMethodNotAllowed, Code: CodeUnsupportedMethod,
				Message: "The route does not support the requested method."}
		}
	}
	return &Error{Status: http.StatusNotFound, Code: CodeUnknownRoute, Message: "The route does not exist."}
}

// smsRoutes puts the model behind the generated server.
type smsRoutes struct{ server *Server }

var _ smswire.StrictServerInterface = smsRoutes{}

// code returns the addressed sender code if it belongs to the caller's account: others do not exist for the caller.
func (r smsRoutes) code(ctx context.Context, id int32) (*SenderCode, error) {
	code := r.server.SenderCode(int(id))
	if code == nil || code.Config().ClientID != ctx.Value(accountKey{}) {
		return nil, noResource("senderCodeId")
	}
	return code, nil
}

func (r smsRoutes) GetSenderCodes(ctx context.Context, _ smswire.GetSenderCodesRequestObject) (smswire.GetSenderCodesResponseObject, error) {
	client, _ := ctx.Value(accountKey{}).(string)
	all := []smswire.SenderCode{}
	for _, code := range r.server.smsAccount(client) {
		config := code.Config()
		id := int32(config.ID)
		all = append(all, smswire.SenderCode{ShortCodeID: &id, Code: &config.Number, Country: &config.Country, MerchantName: &config.Name})
	}
	return smswire.GetSenderCodes200JSONResponse{Status: ok(), Data: &all}, nil
}

func (r smsRoutes) GetPhoneLists(ctx context.Context, ask smswire.GetPhoneListsRequestObject) (smswire.GetPhoneListsResponseObject, error) {
	code, err := r.code(ctx, ask.SenderCodeID)
	if err != nil {
		return nil, err
	}
	config := code.Config()
	if config.Disabled {
		return nil, refuse(CodeSenderCodeDisabled, "The sender code is disabled.")
	}
	status := "active"
	if ask.Params.Status != nil {
		status = strings.ToLower(*ask.Params.Status)
	}
	if status != "active" && status != "inactive" {
		return nil, invalid("status")
	}
	// Nobody has a second page of phone lists.
	if _, err := phonePage(ask.Params.Cursor, ask.Params.Count, nil, nil); err != nil {
		return nil, err
	}
	lists := []smswire.PhoneList{}
	for _, list := range config.Lists {
		if list.Inactive == (status == "inactive") {
			id := int32(list.ID)
			lists = append(lists, smswire.PhoneList{PhoneListID: &id, PhoneListName: &list.Name, Status: &status,
				RequireDoubleOptIn: &list.DoubleOptIn, RequireAgeGate: &list.AgeGate})
		}
	}
	return smswire.GetPhoneLists200JSONResponse{Status: ok(), Data: &lists}, nil
}

func (r smsRoutes) GetContacts(ctx context.Context, ask smswire.GetContactsRequestObject) (smswire.GetContactsResponseObject, error) {
	code, err := r.code(ctx, ask.SenderCodeID)
	if err != nil {
		return nil, err
	}
	query, err := phonePage(ask.Params.Cursor, ask.Params.Count, ask.Params.StartSubscribeDate, ask.Params.EndSubscribeDate)
	if err != nil {
		return nil, err
	}
	query.List, query.OptedOut = int(ask.PhoneListID), given(ask.Params.OptedOut)
	page, err := code.ReadContacts(query)
	if err != nil {
		return nil, err
	}
	config := code.Config()
	data := make([]smswire.Contact, len(page.Phones))
	for n, phone := range page.Phones {
		number := config.Spell(phone.Number)
		data[n] = smswire.Contact{PhoneNumber: &number, OptedOut: &phone.OptedOut}
	}
	return smswire.GetContacts200JSONResponse{Status: ok(), Data: &data, NextPageCursor: orNull(page.Next)}, nil
}

// wholeOptOuts is the answer that the official document types: it has no cursor.
type wholeOptOuts struct {
	Status int                     `json:"status"`
	Data   []smswire.OptOutContact `json:"data"`
}

// VisitGetOptOutsResponse implements smswire.GetOptOutsResponseObject.
func (a wholeOptOuts) VisitGetOptOutsResponse(w http.ResponseWriter) error {
	writeJSON(w, a.Status, a)
	return nil
}

func (r smsRoutes) GetOptOuts(ctx context.Context, ask smswire.GetOptOutsRequestObject) (smswire.GetOptOutsResponseObject, error) {
	code, err := r.code(ctx, ask.SenderCodeID)
	if err != nil {
		return nil, err
	}
	query, err := phonePage(ask.Params.Cursor, ask.Params.Count, ask.Params.StartDate, ask.Params.EndDate)
	if err != nil {
		return nil, err
	}
	page, err := code.ReadOptOuts(query)
	if err != nil {
		return nil, err
	}
	config := code.Config()
	data := make([]smswire.OptOutContact, len(page.Phones))
	for n, phone := range page.Phones {
		number, reason := config.Spell(phone.Number), config.Reason(phone.Reason)
		data[n] = smswire.OptOutContact{PhoneNumber: &number, OptOutDate: WriteDate(phone.OptedOutAt, config.Zone), OptOutReason: &reason}
	}
	if config.UnpagedOptOuts {
		return wholeOptOuts{http.StatusOK, data}, nil
	}
	return smswire.GetOptOuts200JSONResponse{Status: ok(), Data: &data, NextPageCursor: orNull(page.Next)}, nil
}

func (r smsRoutes) GetContact(ctx context.Context, ask smswire.GetContactRequestObject) (smswire.GetContactResponseObject, error) {
	code, err := r.code(ctx, ask.SenderCodeID)
	if err != nil {
		return nil, err
	}
	phone, err := code.ReadPhone(ask.PhoneNumber)
	if err != nil {
		return nil, err
	}
	config := code.Config()
	number := config.Spell(phone.Number)
	details := smswire.ContactSubscriptionDetails{PhoneNumber: &number, OptedOut: &phone.OptedOut}
	var subscribed time.Time
	for _, subscription := range phone.Lists {
		if subscription.SubscribedAt.After(subscribed) {
			subscribed = subscription.SubscribedAt
		}
	}
	details.SubscribeDate = WriteDate(subscribed, config.Zone)
	if !config.HidesOptOutDate {
		details.UnsubscribeDate = WriteDate(phone.OptedOutAt, config.Zone)
	}
	return smswire.GetContact200JSONResponse{Status: ok(), Data: &details}, nil
}

func (r smsRoutes) GetSubscriptions(ctx context.Context,
	ask smswire.GetSubscriptionsRequestObject) (smswire.GetSubscriptionsResponseObject, error) {
	code, err := r.code(ctx, ask.SenderCodeID)
	if err != nil {
		return nil, err
	}
	// Nobody is on so many lists that there would be a second page.
	if _, err := phonePage(ask.Params.Cursor, ask.Params.Count, nil, nil); err != nil {
		return nil, err
	}
	phone, err := code.ReadPhone(ask.PhoneNumber)
	if err != nil {
		return nil, err
	}
	config := code.Config()
	data := []smswire.ContactListSubscription{}
	for _, list := range config.Lists {
		held, on := phone.Lists[list.ID]
		if !on {
			continue
		}
		id, state := int32(list.ID), string(held.State)
		if config.LowerStates {
			state = strings.ToLower(state)
		}
		data = append(data, smswire.ContactListSubscription{PhoneListID: &id, SubscriptionState: &state,
			SubscribeDate: WriteDate(held.SubscribedAt, config.Zone), UnsubscribeDate: WriteDate(held.UnsubscribedAt, config.Zone),
			PendingDate: WriteDate(held.PendingAt, config.Zone), PendingDoubleOptIn: &held.AwaitsOptIn, PendingAgeGate: &held.AwaitsAge})
	}
	return smswire.GetSubscriptions200JSONResponse{Status: ok(), Data: &data}, nil
}

func (r smsRoutes) PostContact(ctx context.Context, ask smswire.PostContactRequestObject) (smswire.PostContactResponseObject, error) {
	code, err := r.code(ctx, ask.SenderCodeID)
	if err != nil {
		return nil, err
	}
	if err := code.PostContact(int(ask.PhoneListID), given(ask.Body.PhoneNumber)); err != nil {
		return nil, err
	}
	return smswire.PostContact201JSONResponse{Status: created(), ResourceID: ask.Body.PhoneNumber}, nil
}

func (r smsRoutes) PostSubscription(ctx context.Context,
	ask smswire.PostSubscriptionRequestObject) (smswire.PostSubscriptionResponseObject, error) {
	code, err := r.code(ctx, ask.SenderCodeID)
	if err != nil {
		return nil, err
	}
	if err := code.PostSubscription(int(ask.PhoneListID), ask.PhoneNumber); err != nil {
		return nil, err
	}
	return smswire.PostSubscription201JSONResponse{Status: created(), ResourceID: &ask.PhoneNumber}, nil
}

func (r smsRoutes) DeleteSubscription(ctx context.Context,
	ask smswire.DeleteSubscriptionRequestObject) (smswire.DeleteSubscriptionResponseObject, error) {
	code, err := r.code(ctx, ask.SenderCodeID)
	if err != nil {
		return nil, err
	}
	if err := code.DeleteSubscription(int(ask.PhoneListID), ask.PhoneNumber); err != nil {
		return nil, err
	}
	return smswire.DeleteSubscription200JSONResponse{Status: ok()}, nil
}

func (r smsRoutes) PutContact(ctx context.Context, ask smswire.PutContactRequestObject) (smswire.PutContactResponseObject, error) {
	code, err := r.code(ctx, ask.SenderCodeID)
	if err != nil {
		return nil, err
	}
	if err := code.PutContact(given(ask.Body.PhoneNumber), given(ask.Body.OptedOut)); err != nil {
		return nil, err
	}
	return smswire.PutContact200JSONResponse{Status: ok(), ResourceID: ask.Body.PhoneNumber}, nil
}

// phonePage reads what all paged routes take.
func phonePage(cursor, count, from, to *string) (PhoneQuery, error) {
	query := PhoneQuery{Cursor: Start, Count: 1000}
	var err error
	if cursor != nil {
		query.Cursor = *cursor
	}
	if count != nil {
		if query.Count, err = strconv.Atoi(*count); err != nil || query.Count < 1 || query.Count > MaxCount {
			return PhoneQuery{}, invalid("count")
		}
	}
	if query.From, err = parseDate("startDate", from); err != nil {
		return PhoneQuery{}, err
	}
	query.To, err = parseDate("endDate", to)
	return query, err
}

func created() *int32 {
	status := int32(http.StatusCreated)
	return &status
}
