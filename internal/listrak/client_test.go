package listrak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak/email"
)

// contactJSON is a contact as the contract shows it; an empty date is null.
func contactJSON(address, state, subscribed, resubscribed, unsubscribed string) map[string]any {
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return map[string]any{
		"emailAddress": address, "emailKey": "KEY-" + address, "universalEmailKey": "ab12", "subscriptionState": orNull(state),
		"subscribeDate": orNull(subscribed), "resubscribeDate": orNull(resubscribed), "subscribeMethod": "Web Form",
		"unsubscribeDate": orNull(unsubscribed), "unsubscribeMethod": "Link", "externalContactID": nil, "segmentationFieldValues": []any{},
	}
}

func TestContactsReadsEveryPage(t *testing.T) {
	t.Parallel()
	pages := map[string]map[string]any{
		"Start": {"status": 200, "nextPageCursor": "p=2&+", "data": []any{
			contactJSON("a@example.com", "Subscribed", "2026-07-01T10:00:00", "", ""),
			contactJSON("b@example.com", "Subscribed", "2026-07-01T10:00:00.5", "2026-11-22T14:03:07.123", "2026-08-01T00:00:00"),
		}},
		"p=2&+": {"status": 200, "nextPageCursor": "https://api.listrak.com/email/v1/List/77/Contact?cursor=third&count=5000", "data": []any{
			contactJSON("c@example.com", "Subscribed", "2026-11-01T01:30:00", "", ""),
		}},
		"third": {"status": 200, "nextPageCursor": nil, "data": []any{}},
	}
	client, server := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", "Sun, 22 Nov 2026 19:10:00 GMT")
		answerJSON(w, 200, pages[r.URL.Query().Get("cursor")])
	})
	query := ContactQuery{State: Subscribed, Since: utc("2026-07-01T14:00:00Z")}
	var got []Contact
	for {
		page, err := client.Contacts(t.Context(), query)
		if err != nil {
			t.Fatalf("page %q: %v", query.Cursor, err)
		}
		if !page.ServerTime.Equal(utc("2026-11-22T19:10:00Z")) {
			t.Errorf("server time %s", page.ServerTime)
		}
		got = append(got, page.Contacts...)
		if query.Cursor = page.Next; query.Cursor == "" {
			break
		}
	}
	want := []Contact{
		{Address: "a@example.com", EmailKey: "KEY-a@example.com", State: Subscribed, Date: utc("2026-07-01T14:00:00Z"),
			RawDate: "2026-07-01T10:00:00", Method: "Web Form"},
		{Address: "b@example.com", EmailKey: "KEY-b@example.com", State: Subscribed, Date: utc("2026-11-22T19:03:07.123Z"),
			RawDate: "2026-11-22T14:03:07.123", Method: "Web Form"},
		{Address: "c@example.com", EmailKey: "KEY-c@example.com", State: Subscribed, Date: utc("2026-11-01T05:30:00Z"), Ambiguous: true,
			RawDate: "2026-11-01T01:30:00", Method: "Web Form"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("contacts (-want +got):\n%s", diff)
	}
	const route = "GET /email/v1/List/77/Contact?"
	const rest = "&startDate=2026-07-01T10%3A00%3A00&useOriginalSubscribeDate=false"
	wantRequests := []string{
		route + "subscriptionState=Subscribed&cursor=Start&count=5000" + rest,
		route + "subscriptionState=Subscribed&cursor=p%3D2%26%2B&count=5000" + rest,
		route + "subscriptionState=Subscribed&cursor=third&count=5000" + rest,
	}
	if diff := cmp.Diff(wantRequests, server.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestAllContactsAreAskedForWithoutADate(t *testing.T) {
	t.Parallel()
	client, server := start(t, func(w http.ResponseWriter, r *http.Request) {
		answerText(w, 200, "application/json", "\xef\xbb\xbf"+`{"status":200,"nextPageCursor":null,"data":[]}`)
	})
	page, err := client.Contacts(t.Context(), ContactQuery{State: Unsubscribed})
	if err != nil || len(page.Contacts) != 0 || page.Next != "" {
		t.Errorf("page %+v, error %v", page, err)
	}
	want := []string{"GET /email/v1/List/77/Contact?subscriptionState=Unsubscribed&cursor=Start&count=5000&useOriginalSubscribeDate=false"}
	if diff := cmp.Diff(want, server.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	for _, state := range []State{Pending, Unknown, "subscribed"} {
		if _, err := client.Contacts(t.Context(), ContactQuery{State: state}); failure.ClassOf(err) != failure.Refused {
			t.Errorf("contacts of state %q: %v, want refused without a call", state, err)
		}
	}
	if len(server.requests()) != 1 {
		t.Error("a query that cannot be asked was sent")
	}
}

func TestDateOfConsent(t *testing.T) {
	t.Parallel()
	const first, second, third = "2026-01-01T00:00:00", "2026-02-01T00:00:00", "2026-03-01T00:00:00"
	for _, row := range []struct {
		what                                           string
		state, subscribed, resubscribed, unsubscribed_ string
		want                                           Contact
	}{
		{"subscribed once", "Subscribed", first, "", "", Contact{State: Subscribed, RawDate: first, Method: "Web Form"}},
		{"came back", "Subscribed", first, third, second, Contact{State: Subscribed, RawDate: third, Method: "Web Form"}},
		{"the later counts, whichever it is", "Subscribed", third, first, second, Contact{State: Subscribed, RawDate: third, Method: "Web Form"}},
		{"only the resubscription is dated", "Subscribed", "", second, "", Contact{State: Subscribed, RawDate: second, Method: "Web Form"}},
		{"left, whatever came before", "Unsubscribed", first, third, second, Contact{State: Unsubscribed, RawDate: second, Method: "Link"}},
		{"left, undated", "Unsubscribed", first, third, "", Contact{State: Unsubscribed, Method: "Link"}},
		{"subscribed, undated", "Subscribed", "", "", third, Contact{State: Subscribed, Method: "Web Form"}},
		{"waits for confirmation", "PendingDoubleOptIn", first, "", "", Contact{State: Pending}},
		{"no state", "", first, "", "", Contact{State: Unknown}},
		{"a state we do not know", "Bounced", first, "", "", Contact{State: Unknown}},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			client, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
				answerJSON(w, 200, map[string]any{"status": 200,
					"data": contactJSON("a@example.com", row.state, row.subscribed, row.resubscribed, row.unsubscribed_)})
			})
			got, found, err := client.Contact(t.Context(), "a@example.com")
			if err != nil || !found {
				t.Fatalf("found %v, error %v", found, err)
			}
			row.want.Address, row.want.EmailKey = "a@example.com", "KEY-a@example.com"
			row.want.Date, _, _ = ParseDate(row.want.RawDate, newYork)
			if row.want.ServerTime = got.ServerTime; got.ServerTime.IsZero() {
				t.Error("the contact does not tell Listrak's clock")
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("contact (-want +got):\n%s", diff)
			}
		})
	}
}

// hostile are addresses that a careless client would turn into another path, another query or another person.
var hostile = []string{"a/b@x.com", "a%2fb@x.com", "a?b=c@x.com", "a#b@x.com", "üñí@exämple.com", "a+b@x.com", "a b@x.com", "a&b@x.com", "a\\b@x.com",
	"../Event", "..%2fEvent", "a@x.com/../../Event", "%", "\x00@x.com", "a\r\nHost: b@x.com", "\"a b\"@x.com", ";a@x.com", strings.Repeat("a", 3000) + "@x.com"}

func TestHostileAddressesStayOneSegmentOfThePath(t *testing.T) {
	t.Parallel()
	client, server := start(t, func(w http.ResponseWriter, r *http.Request) {
		rest, inList := strings.CutPrefix(r.URL.EscapedPath(), "/email/v1/List/77/Contact/")
		if !inList || strings.ContainsAny(rest, "/&") || r.URL.RawQuery != "" {
			t.Errorf("path %s, query %s", r.URL.EscapedPath(), r.URL.RawQuery)
		}
		answerJSON(w, 200, map[string]any{"status": 200, "data": contactJSON(strings.TrimPrefix(r.URL.Path, "/email/v1/List/77/Contact/"),
			"Subscribed", "", "", "")})
	})
	for _, address := range hostile {
		contact, found, err := client.Contact(t.Context(), address)
		if err != nil || !found || contact.Address != address {
			t.Errorf("asked for %q, got %q, found %v, error %v", address, contact.Address, found, err)
		}
	}
	sent := len(server.requests())
	for _, address := range []string{"", ".", "..", "a\xff@x.com"} {
		_, found, err := client.Contact(t.Context(), address)
		if f := failure.As(err); found || f == nil || f.Class != failure.Refused || f.Code != codeAddress {
			t.Errorf("%q: found %v, error %v; want refused as %s", address, found, err, codeAddress)
		}
	}
	for _, address := range []string{"", "a\xff@x.com"} {
		if _, err := client.Subscribe(t.Context(), address, SubscribeOptions{}); failure.ClassOf(err) != failure.Refused {
			t.Errorf("subscribe %q: %v, want refused", address, err)
		}
	}
	if len(server.requests()) != sent {
		t.Error("an address that cannot be expressed was sent")
	}
}

func TestWhatWritesSend(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		what  string
		write func(context.Context, *Client) (WriteResult, error)
		query string
		body  string
	}{
		{"subscribe", func(ctx context.Context, c *Client) (WriteResult, error) {
			return c.Subscribe(ctx, "a@x.com", SubscribeOptions{})
		}, "", `{"emailAddress":"a@x.com","segmentationFieldValues":[],"subscriptionState":"Subscribed"}`},
		{"subscribe with everything", func(ctx context.Context, c *Client) (WriteResult, error) {
			return c.Subscribe(ctx, "a+b@x.com", SubscribeOptions{EventIDs: []int{3, 14}, Override: true, ExternalID: "gid://shopify/Customer/1"})
		}, "eventIds=3%2C14&overrideUnsubscribe=true",
			`{"emailAddress":"a+b@x.com","externalContactID":"gid://shopify/Customer/1","segmentationFieldValues":[],"subscriptionState":"Subscribed"}`},
		{"unsubscribe: no event, no field", func(ctx context.Context, c *Client) (WriteResult, error) { return c.Unsubscribe(ctx, "a@x.com") },
			"", `{"emailAddress":"a@x.com","segmentationFieldValues":[],"subscriptionState":"Unsubscribed"}`},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			client, server := start(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || string(body) != row.body || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("body %s (%s), want %s", body, r.Header.Get("Content-Type"), row.body)
				}
				w.Header().Set("Date", "Sun, 22 Nov 2026 19:10:00 GMT")
				created(w)
			})
			result, err := row.write(t.Context(), client)
			if err != nil || result != (WriteResult{ServerTime: utc("2026-11-22T19:10:00Z")}) {
				t.Errorf("result %+v, error %v", result, err)
			}
			want := "POST /email/v1/List/77/Contact"
			if row.query != "" {
				want += "?" + row.query
			}
			// The comma may be sent as it is or escaped; both are the same list of ids.
			if got := strings.ReplaceAll(server.requests()[0], "3,14", "3%2C14"); got != want {
				t.Errorf("sent %s, want %s", got, want)
			}
		})
	}
}

const (
	subscribeCall, unsubscribeCall, contactCall, contactsCall, cursorCall, listsCall, eventsCall = "subscribe", "unsubscribe", "contact",
		"contacts", "contacts with a cursor", "lists", "events"
	leaky = "alice.secret+tag@example.com"
)

var (
	allCalls   = []string{subscribeCall, unsubscribeCall, contactCall, contactsCall, cursorCall, listsCall, eventsCall}
	writeCalls = []string{subscribeCall, unsubscribeCall}
)

// try makes the named call about the address that must not leak.
func try(ctx context.Context, c *Client, name string) (WriteResult, error) {
	switch name {
	case subscribeCall:
		return c.Subscribe(ctx, leaky, SubscribeOptions{ExternalID: "external-" + leaky})
	case unsubscribeCall:
		return c.Unsubscribe(ctx, leaky)
	case contactCall:
		_, _, err := c.Contact(ctx, leaky)
		return WriteResult{}, err
	case contactsCall:
		_, err := c.Contacts(ctx, ContactQuery{State: Subscribed})
		return WriteResult{}, err
	case cursorCall:
		_, err := c.Contacts(ctx, ContactQuery{State: Subscribed, Cursor: "x" + leaky})
		return WriteResult{}, err
	case listsCall:
		_, err := c.Lists(ctx)
		return WriteResult{}, err
	case eventsCall:
		_, err := c.Events(ctx)
		return WriteResult{}, err
	}
	panic(name)
}

// mustNotLeak fails when err shows an address or a secret, in any way a log could print it.
func mustNotLeak(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, shown := range []string{e.Error(), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e)} {
			for _, hidden := range []string{"alice", "example.com", "KEY-", testSecret, testID, "token-a", "token-b"} {
				if strings.Contains(shown, hidden) {
					t.Errorf("the error shows %q: %s", hidden, shown)
				}
			}
		}
	}
}

func TestEveryErrorCodeHasItsClass(t *testing.T) {
	t.Parallel()
	const retry, refused, person = failure.Retry, failure.Refused, failure.PersonMustAct
	for _, row := range []struct {
		status int
		code   string
		calls  []string
		class  failure.Class
		advice string // part of it
		maybe  bool
	}{
		{400, "ERROR_BANNED_EMAIL_ADDRESS", writeCalls, refused, "", false},
		{400, "ERROR_SUPPRESSED_EMAIL", writeCalls, refused, "", false},
		{400, "ERROR_MALFORMED_REQUEST_BODY", writeCalls, refused, "report", false},
		{400, "ERROR_UNSUBSCRIBE_WITH_EVENTS", []string{unsubscribeCall}, refused, "report", false},
		{400, "ERROR_UNSUBSCRIBE_WITH_SEGMENTATION_DATA", []string{unsubscribeCall}, refused, "report", false},
		{400, "ERROR_CHANGE_ADDRESS_WITH_EVENTS", writeCalls, refused, "report", false},
		{400, "ERROR_UPDATE_UNSUBSCRIBE_WITH_EVENTS", []string{subscribeCall}, retry, "read again", false},
		{400, "ERROR_UNSUBSCRIBED_EMAIL_ADDRESS", []string{subscribeCall}, retry, "read again", false},
		{400, "ERROR_NOT_SUBSCRIBED_EMAIL_ADDRESS", []string{subscribeCall}, retry, "read again", false},
		{400, "ERROR_SUBSCRIBED_EMAIL_ADDRESS", []string{unsubscribeCall}, retry, "read again", false},
		{400, "ERROR_INVALID_PARAMETER", []string{subscribeCall, unsubscribeCall, contactCall}, refused, "address", false},
		{400, "ERROR_INVALID_PARAMETER", []string{contactsCall, listsCall, eventsCall}, person, "merchant set", false},
		{400, "ERROR_INVALID_PARAMETER", []string{cursorCall}, retry, "", false},
		{400, "ERROR_UNSAFE_ROUTE", []string{contactCall}, refused, "route", false},
		{400, "ERROR_INVALID_LIST_ID", allCalls, person, "merchant lists", false},
		{400, "ERROR_LIST_INACTIVE", allCalls, person, "activate", false},
		{404, "ERROR_UNABLE_TO_LOCATE_RESOURCE", writeCalls, person, "merchant events", false},
		{404, "ERROR_UNABLE_TO_LOCATE_RESOURCE", []string{contactCall, contactsCall, cursorCall, listsCall, eventsCall}, person, "merchant lists", false},
		{404, "ERROR_UNKNOWN_ROUTE", allCalls, person, "Listrak URL", false},
		{405, "ERROR_UNSUPPORTED_METHOD", allCalls, person, "Listrak URL", false},
		{415, "ERROR_UNSUPPORTED_CONTENT_TYPE", writeCalls, person, "report", false},
		{400, "ERROR_UNSUPPORTED_PROTOCOL", allCalls, person, "https://", false},
		{401, "ERROR_UNAUTHORIZED", []string{subscribeCall, unsubscribeCall, contactCall, contactsCall, cursorCall}, person, "the area Contact", false},
		{401, "ERROR_UNAUTHORIZED", []string{listsCall}, person, "the area List", false},
		{401, "ERROR_UNAUTHORIZED", []string{eventsCall}, person, "the area Event", false},
		{403, "", allCalls, person, "Integration Management", false},
		{401, "ERROR_INVALID_CREDENTIALS", allCalls, person, "client id and secret", false},
		{400, "ERROR_INVALID_CREDENTIALS", allCalls, person, "client id and secret", false},
		{500, "ERROR_BANNED_EMAIL_ADDRESS", writeCalls, refused, "", false},
		{500, "ERROR_UNHANDLED_EXCEPTION", allCalls, retry, "", true},
		{400, "ERROR_UNHANDLED_EXCEPTION", writeCalls, retry, "", true},
		{500, "", allCalls, retry, "", true},
		{502, "", allCalls, retry, "", true},
		{503, "", allCalls, retry, "", true},
		{504, "", allCalls, retry, "", true},
		{408, "", allCalls, retry, "", true},
		{429, "", allCalls, retry, "", false},
		{429, "ERROR_UNAUTHORIZED", allCalls, retry, "", false},
		{400, "ERROR_SOMETHING_NEW", allCalls, retry, "report", false},
		{400, "error: alice@example.com", writeCalls, retry, "Listrak URL", false},
		{400, "", []string{contactCall}, refused, "route", false},
		{404, "", allCalls, retry, "Listrak URL", false},
		{302, "", allCalls, person, "Listrak URL", false},
		{204, "", allCalls, retry, "Listrak URL", false},
	} {
		for _, name := range row.calls {
			t.Run(fmt.Sprintf("%d %s: %s", row.status, row.code, name), func(t *testing.T) {
				t.Parallel()
				client, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
					if row.status == 302 {
						w.Header().Set("Location", "/email/v1/List?who="+leaky)
					}
					if row.status == 204 {
						w.WriteHeader(204)
						return
					}
					answerError(w, row.status, row.code)
				})
				_, err := try(t.Context(), client, name)
				mustNotLeak(t, err)
				f := failure.As(err)
				if f == nil {
					t.Fatalf("error %v, want a failure", err)
				}
				wantMaybe := row.maybe && (name == subscribeCall || name == unsubscribeCall)
				if f.Class != row.class || !strings.Contains(f.Advice, row.advice) || f.MaybeDone != wantMaybe {
					t.Errorf("%v (maybe done: %v); want %s, advice with %q, maybe done: %v", f, f.MaybeDone, row.class, row.advice, wantMaybe)
				}
				if wantCode := row.code; cleanCode(wantCode) != "" && f.Code != wantCode {
					t.Errorf("code %s, want %s", f.Code, wantCode)
				}
				if f.Class == retry && (row.status == 429 || row.status >= 500) && (f.Wait <= 0 || f.Wait > longestWait) {
					t.Errorf("the advised wait is %s", f.Wait)
				}
				if f.Class != failure.Retry && f.Wait != 0 {
					t.Errorf("%s with a wait of %s", f.Class, f.Wait)
				}
				if !strings.Contains(f.Op, "/v1/List") {
					t.Errorf("the operation %q names no route", f.Op)
				}
				if errors.Is(err, ErrCursorLost) != (name == cursorCall && row.code == "ERROR_INVALID_PARAMETER") {
					t.Errorf("ErrCursorLost in %v", err)
				}
			})
		}
	}
}

func TestWhatCountsAsDone(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, code string
		want       WriteResult
	}{
		{subscribeCall, "ERROR_SUBSCRIBED_EMAIL_ADDRESS", WriteResult{AlreadySo: true}},
		{subscribeCall, "ERROR_PENDING_EMAIL_ADDRESS", WriteResult{Pending: true}},
		{unsubscribeCall, "ERROR_UNSUBSCRIBED_EMAIL_ADDRESS", WriteResult{AlreadySo: true}},
		{unsubscribeCall, "ERROR_NOT_SUBSCRIBED_EMAIL_ADDRESS", WriteResult{AlreadySo: true}},
		{unsubscribeCall, "ERROR_PENDING_EMAIL_ADDRESS", WriteResult{Pending: true}},
	} {
		client, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", "Sun, 22 Nov 2026 19:10:00 GMT")
			answerError(w, 400, row.code)
		})
		row.want.ServerTime = utc("2026-11-22T19:10:00Z")
		if got, err := try(t.Context(), client, row.name); err != nil || got != row.want {
			t.Errorf("%s, %s: %+v, error %v; want %+v", row.name, row.code, got, err, row.want)
		}
	}
}

func TestAMissingContactIsNotAMissingList(t *testing.T) {
	t.Parallel()
	gone := func(listExists bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/Contact") && listExists {
				answerJSON(w, 200, map[string]any{"status": 200, "nextPageCursor": nil, "data": []any{}})
				return
			}
			answerError(w, 404, "ERROR_UNABLE_TO_LOCATE_RESOURCE")
		}
	}
	now := utc("2026-11-22T12:00:00Z")
	client, server := start(t, gone(true), func(c *Config) { c.Now = func() time.Time { return now } })
	for range 3 {
		if _, found, err := client.Contact(t.Context(), "a@x.com"); found || err != nil {
			t.Fatalf("found %v, error %v; want no such contact", found, err)
		}
	}
	if got := len(server.requests()); got != 4 {
		t.Errorf("%d requests for three contacts, want 4: the list is confirmed once a minute", got)
	}
	now = now.Add(listSeenFor + time.Second)
	if _, _, err := client.Contact(t.Context(), "a@x.com"); err != nil || len(server.requests()) != 6 {
		t.Errorf("%d requests, error %v; want the list confirmed again after a minute", len(server.requests()), err)
	}
	client, _ = start(t, gone(false))
	if _, found, err := client.Contact(t.Context(), "a@x.com"); found || failure.ClassOf(err) != failure.PersonMustAct {
		t.Errorf("found %v, error %v; want a person to mend the list", found, err)
	}
}

func TestAnAddressThatTheRouteDoesNotTakeConcernsOnlyItself(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		status int
		code   string
	}{{404, codeUnknownRoute}, {405, codeUnsupportedMethod}, {404, ""}, {400, ""}, {400, "ERROR_UNSAFE_ROUTE"}} {
		client, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/Contact") {
				answerJSON(w, 200, map[string]any{"status": 200, "nextPageCursor": nil, "data": []any{}})
				return
			}
			answerError(w, row.status, row.code)
		})
		_, found, err := client.Contact(t.Context(), "alice/b@example.com")
		mustNotLeak(t, err)
		if found || failure.ClassOf(err) != failure.Refused {
			t.Errorf("%d %s on a list that answers: found %v, %v; want refused", row.status, row.code, found, err)
		}
	}
}

func TestAWrongEventIsNotAWrongAddress(t *testing.T) {
	t.Parallel()
	api := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			answerJSON(w, 200, map[string]any{"status": 200, "data": []any{
				map[string]any{"eventId": 1, "eventName": "Marketing", "eventGroupId": 0, "status": "Active"},
				map[string]any{"eventId": 2, "eventName": "Checkout", "eventGroupId": nil, "status": "Blocked"},
			}})
			return
		}
		answerError(w, 400, "ERROR_INVALID_PARAMETER")
	}
	for _, row := range []struct {
		events []int
		class  failure.Class
		shown  string
	}{
		{nil, failure.Refused, "address"},
		{[]int{1}, failure.Refused, "address"},
		{[]int{1, 2}, failure.PersonMustAct, "event 2"},
		{[]int{3}, failure.PersonMustAct, "event 3"},
	} {
		client, _ := start(t, api)
		_, err := client.Subscribe(t.Context(), leaky, SubscribeOptions{EventIDs: row.events})
		mustNotLeak(t, err)
		if failure.ClassOf(err) != row.class || !strings.Contains(err.Error(), row.shown) {
			t.Errorf("events %v: %v; want %s with %q", row.events, err, row.class, row.shown)
		}
	}
}

func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	html := "<html><body>Please log in, " + leaky + "</body></html>"
	for _, row := range []struct {
		what   string
		answer http.HandlerFunc
		code   string
	}{
		{"a page", func(w http.ResponseWriter, r *http.Request) { answerText(w, 200, "text/html", html) }, codeUnreadable},
		{"nothing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200) }, codeUnreadable},
		{"half of an answer", func(w http.ResponseWriter, r *http.Request) {
			answerText(w, 200, "application/json", `{"status":200,"data":[{"emailAddress":"`+leaky)
		}, codeUnreadable},
		{"another type", func(w http.ResponseWriter, r *http.Request) { answerText(w, 200, "application/json", `"`+leaky+`"`) }, codeUnreadable},
		{"two answers", func(w http.ResponseWriter, r *http.Request) { answerText(w, 200, "application/json", `{}{}`) }, codeUnreadable},
		{"a huge answer", func(w http.ResponseWriter, r *http.Request) {
			answerText(w, 200, "application/json", strings.Repeat(" ", 1<<16)+"{}")
		}, codeTooLarge},
		{"a page of 503", func(w http.ResponseWriter, r *http.Request) { answerText(w, 503, "text/html", html) }, "HTTP_503"},
		{"a huge page of 503", func(w http.ResponseWriter, r *http.Request) {
			answerText(w, 503, "text/html", strings.Repeat(html, 1000))
		}, "HTTP_503"},
		{"a connection that ends inside the body", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			answerText(w, 200, "application/json", `{"status`)
		}, codeUnreachable},
		{"a connection that ends without an answer", func(w http.ResponseWriter, r *http.Request) { hangUp(w, "") }, codeUnreachable},
		{"an answer that is no HTTP", func(w http.ResponseWriter, r *http.Request) { hangUp(w, "hello "+leaky+"\r\n\r\n") }, codeUnreachable},
	} {
		for _, name := range allCalls {
			t.Run(row.what+": "+name, func(t *testing.T) {
				t.Parallel()
				client, _ := start(t, row.answer)
				client.maxAnswer = 1 << 15
				_, err := try(t.Context(), client, name)
				mustNotLeak(t, err)
				f := failure.As(err)
				if f == nil || f.Class != failure.Retry || f.Code != row.code || f.Wait <= 0 {
					t.Fatalf("%v, want a retry with %s and a wait", err, row.code)
				}
				if wrote := name == subscribeCall || name == unsubscribeCall; f.MaybeDone != wrote {
					t.Errorf("maybe done: %v, want %v", f.MaybeDone, wrote)
				}
			})
		}
	}
}

// hangUp writes text to the connection and closes it.
func hangUp(w http.ResponseWriter, text string) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(connection, text)
	_ = connection.Close()
}

func TestAPageThatLacksWhatItPromises(t *testing.T) {
	t.Parallel()
	for what, body := range map[string]string{
		"no data":                     `{"status":200,"nextPageCursor":null}`,
		"null data":                   `{"status":200,"nextPageCursor":null,"data":null}`,
		"a cursor that leads nowhere": `{"status":200,"nextPageCursor":"Start","data":[]}`,
		"a date in no known form":     `{"status":200,"data":[{"emailAddress":"alice@example.com","subscriptionState":"Subscribed","subscribeDate":"alice"}]}`,
	} {
		client, _ := start(t, func(w http.ResponseWriter, r *http.Request) { answerText(w, 200, "application/json", body) })
		_, err := client.Contacts(t.Context(), ContactQuery{State: Subscribed})
		mustNotLeak(t, err)
		if f := failure.As(err); f == nil || f.Class != failure.Retry || f.Code != codeUnreadable {
			t.Errorf("%s: %v, want a retry with %s", what, err, codeUnreadable)
		}
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for _, name := range allCalls {
		for _, own := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, by the http client: %v", name, own), func(t *testing.T) {
				t.Parallel()
				client, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client is gone
					<-r.Context().Done()
				}, func(c *Config) {
					if own {
						limited := *c.HTTP
						limited.Timeout = 50 * time.Millisecond
						c.HTTP = &limited
					}
				})
				if _, err := client.tokens.get(t.Context()); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				if !own {
					ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
				}
				defer cancel()
				_, err := try(ctx, client, name)
				mustNotLeak(t, err)
				f := failure.As(err)
				if f == nil || f.Class != failure.Retry || f.Code != codeTimeout || !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("%v, want a retry with %s", err, codeTimeout)
				}
				if wrote := name == subscribeCall || name == unsubscribeCall; f.MaybeDone != wrote {
					t.Errorf("maybe done: %v, want %v", f.MaybeDone, wrote)
				}
			})
		}
	}
}

func TestAServerThatNobodyReachedDidNothing(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String() + "/email"
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	client, _ := start(t, nil, func(c *Config) { c.BaseURL = nobody })
	for _, name := range allCalls {
		_, err := try(t.Context(), client, name)
		mustNotLeak(t, err)
		if f := failure.As(err); f == nil || f.Class != failure.Retry || f.Code != codeUnreachable || f.MaybeDone {
			t.Errorf("%s: %v, want a retry with %s that surely did nothing", name, err, codeUnreachable)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range allCalls {
		if f := failure.As(second(try(canceled, client, name))); f == nil || f.Code != codeCanceled || f.MaybeDone {
			t.Errorf("%s, canceled: %v, want %s", name, f, codeCanceled)
		}
	}
}

func second(_ WriteResult, err error) error { return err }

func TestAnUntrustedCertificateIsSaid(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake is what the test wants
	secure.StartTLS()
	defer secure.Close()
	client, _ := start(t, nil, func(c *Config) { c.BaseURL = secure.URL })
	_, err := try(t.Context(), client, contactCall)
	mustNotLeak(t, err)
	if f := failure.As(err); f == nil || f.Code != codeUnreachable || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v, want %s and the certificate named", err, codeUnreachable)
	}
}

func TestTheAdvisedWaitGrowsAndEndsWithSuccess(t *testing.T) {
	t.Parallel()
	status := 429
	client, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		if status == 200 {
			answerJSON(w, 200, map[string]any{"status": 200, "data": []any{}})
			return
		}
		if status == 503 {
			w.Header().Set("Retry-After", "120")
		}
		answerError(w, status, "")
	})
	waitOf := func() time.Duration { return failure.As(second(try(t.Context(), client, listsCall))).Wait }
	for n, most := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		if got := waitOf(); got < most*time.Second/2 || got > most*time.Second {
			t.Errorf("failure %d in a row: wait %s, want between half of and %d seconds", n+1, got, most)
		}
	}
	status = 503
	if got := waitOf(); got != 2*time.Minute {
		t.Errorf("Retry-After of 120 seconds: wait %s", got)
	}
	status = 200
	if _, err := client.Lists(t.Context()); err != nil {
		t.Fatal(err)
	}
	status = 429
	if got := waitOf(); got > time.Second {
		t.Errorf("first failure after a success: wait %s, want at most a second", got)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := utc("2026-11-22T12:00:00Z")
	for value, want := range map[string]time.Duration{
		"": 2 * time.Second, "30": 30 * time.Second, "0": 2 * time.Second, "-5": 2 * time.Second, "99999999999": longestRetryAfter,
		"999999": longestRetryAfter, "Sun, 22 Nov 2026 12:01:00 GMT": time.Minute, "Sun, 22 Nov 2026 11:00:00 GMT": 2 * time.Second,
		"Sun, 22 Nov 2099 11:00:00 GMT": longestRetryAfter, "soon": 2 * time.Second,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now, 2*time.Second); got != want {
			t.Errorf("Retry-After %q: %s, want %s", value, got, want)
		}
	}
}

func TestAWriteAfterReserveDoesNotWait(t *testing.T) {
	t.Parallel()
	client, _ := start(t, func(w http.ResponseWriter, r *http.Request) { created(w) }, func(c *Config) { c.RatePerSecond = 1.0 / 3600 })
	if err := client.Reserve(t.Context()); err != nil {
		t.Fatalf("reserve the first slot of the hour: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, _, err := client.Contact(soon, "a@x.com"); failure.As(err) == nil || failure.As(err).Code != codeTimeout {
		t.Errorf("a read took the slot that was reserved for a write: %v", err)
	}
	if _, err := client.Unsubscribe(soon, "a@x.com"); err != nil {
		t.Errorf("the write that was reserved for: %v", err)
	}
	_, err := client.Unsubscribe(soon, "a@x.com")
	if f := failure.As(err); f == nil || f.Class != failure.Retry || f.Code != codeTimeout || f.MaybeDone {
		t.Errorf("a write without a slot: %v, want a time-out that surely did nothing", err)
	}
	if err := client.Reserve(soon); failure.As(err) == nil || failure.As(err).Code != codeTimeout {
		t.Errorf("a second reservation within the hour: %v", err)
	}
}

func TestManyCallersAtOnce(t *testing.T) {
	t.Parallel()
	var served sync.Map
	client, server := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			answerJSON(w, 200, map[string]any{"status": 200, "data": contactJSON(strings.TrimPrefix(r.URL.Path, "/email/v1/List/77/Contact/"),
				"Subscribed", "2026-11-22T14:03:07.123", "", "")})
			return
		}
		var contact email.Contact
		if err := json.NewDecoder(r.Body).Decode(&contact); err != nil {
			t.Errorf("read the body: %v", err)
		}
		served.Store(contact.EmailAddress, true)
		created(w)
	})
	var group sync.WaitGroup
	for n := range 64 {
		group.Go(func() {
			address := fmt.Sprintf("person%d@example.com", n)
			if err := client.Reserve(t.Context()); err != nil {
				t.Errorf("reserve: %v", err)
			}
			if _, err := client.Subscribe(t.Context(), address, SubscribeOptions{EventIDs: []int{n}}); err != nil {
				t.Errorf("subscribe: %v", err)
			}
			if contact, _, err := client.Contact(t.Context(), address); err != nil || contact.Address != address {
				t.Errorf("asked for %s, got %s, error %v", address, contact.Address, err)
			}
			if _, ok := served.Load(address); !ok {
				t.Errorf("%s was not written", address)
			}
		})
	}
	group.Wait()
	if server.handedOut() != 1 || len(server.requests()) != 128 {
		t.Errorf("%d tokens and %d requests, want 1 and 128", server.handedOut(), len(server.requests()))
	}
}

func TestListsAndEvents(t *testing.T) {
	t.Parallel()
	client, server := start(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/Event") {
			answerText(w, 200, "application/json", `{"status":200,"data":[{"eventId":5,"eventName":"Checkout","eventGroupId":0,"status":"Active"},`+
				`{"eventId":6,"eventName":"Old","eventGroupId":0,"status":"Blocked"},{"eventName":null,"status":null}]}`)
			return
		}
		answerText(w, 200, "application/json", `{"status":200,"data":[{"listId":77,"listName":"Shop","bounceHandling":"None",`+
			`"bounceUnsubscribeCount":3,"createDate":"2020-01-01T00:00:00","enableDoubleOptIn":true,"googleTrackingDomains":null},{"listId":78,"listName":"Other"}]}`)
	}, func(c *Config) { c.BaseURL += "/" })
	lists, err := client.Lists(t.Context())
	if diff := cmp.Diff([]List{{77, "Shop", true}, {78, "Other", false}}, lists); err != nil || diff != "" {
		t.Errorf("lists: error %v (-want +got):\n%s", err, diff)
	}
	events, err := client.Events(t.Context())
	if diff := cmp.Diff([]Event{{5, "Checkout", true}, {6, "Old", false}, {}}, events); err != nil || diff != "" {
		t.Errorf("events: error %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{"GET /email/v1/List", "GET /email/v1/List/77/Event"}, server.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestNewNamesTheWrongSetting(t *testing.T) {
	t.Parallel()
	for named, break_ := range map[string]func(*Config){
		"auth URL":     func(c *Config) { c.AuthURL = "auth.listrak.com" },
		"Listrak URL":  func(c *Config) { c.BaseURL = "ftp://" + testSecret + "@x" },
		"secret":       func(c *Config) { c.ClientSecret = "" },
		"client id":    func(c *Config) { c.ClientID = "" },
		"time zone":    func(c *Config) { c.Zone = nil },
		"list":         func(c *Config) { c.List = math.MaxInt32 + 1 },
		"request rate": func(c *Config) { c.RatePerSecond = math.NaN() },
	} {
		config := Config{ClientID: testID, ClientSecret: testSecret, Zone: time.UTC, List: 1}
		if _, err := New(config); err != nil {
			t.Fatalf("a good configuration: %v", err)
		}
		break_(&config)
		_, err := New(config)
		if failure.ClassOf(err) != failure.PersonMustAct || !strings.Contains(err.Error(), named) {
			t.Errorf("%s: %v", named, err)
		}
		mustNotLeak(t, err)
	}
	client, server := start(t, nil, func(c *Config) { c.List = 0 })
	if _, err := client.Contacts(t.Context(), ContactQuery{State: Subscribed}); failure.ClassOf(err) != failure.PersonMustAct || len(server.requests()) != 0 {
		t.Errorf("contacts without a list: %v, %d requests", err, len(server.requests()))
	}
}

func BenchmarkReadPageOf5000Contacts(b *testing.B) {
	contacts := make([]any, 5000)
	for n := range contacts {
		contacts[n] = contactJSON(fmt.Sprintf("person%d@example.com", n), "Subscribed", "2026-07-22T14:03:07.123", "2026-11-22T14:03:07.123", "")
	}
	body, err := json.Marshal(map[string]any{"status": 200, "nextPageCursor": nil, "data": contacts})
	if err != nil {
		b.Fatal(err)
	}
	client, _ := start(b, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(body) })
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		page, err := client.Contacts(b.Context(), ContactQuery{State: Subscribed})
		if err != nil || len(page.Contacts) != 5000 {
			b.Fatalf("%d contacts, error %v", len(page.Contacts), err)
		}
	}
}
