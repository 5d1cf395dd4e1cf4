package listrak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concordsync/concord/internal/failure"
)

const (
	testCode      = 8
	testPhoneList = 80
	// leakyPhone must show in no error, in any of its spellings.
	leakyPhone = "+15550009876"
	phoneRoute = "/sms/v1/ShortCode/8/Contact/%2B15550009876"
)

// startSMS runs a Listrak whose SMS API is api, and a client for it.
func startSMS(t testing.TB, api http.HandlerFunc, edit ...func(*SMSConfig)) (*SMSClient, *server) {
	t.Helper()
	s := &server{life: 3600}
	mux := http.NewServeMux()
	mux.HandleFunc("/OAuth2/Token", s.token)
	mux.HandleFunc("/sms/", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
		api(w, r)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	config := SMSConfig{
		BaseURL: s.URL + "/sms", AuthURL: s.URL + "/OAuth2/Token", ClientID: testID, ClientSecret: testSecret,
		SenderCode: testCode, List: testPhoneList, Zone: newYork, RatePerSecond: 10_000, HTTP: s.Client(),
	}
	for _, change := range edit {
		change(&config)
	}
	client, err := NewSMS(config)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	return client, s
}

const (
	smsCreateCall, smsSubscribeCall, smsUnsubscribeCall, smsOptOutCall, smsContactCall, smsSubscribersCall, smsOptOutsCall, smsCursorCall,
	smsCodesCall, smsListsCall = "create", "subscribe a known one", "unsubscribe", "opt out", "contact", "subscribers", "opt-outs",
		"opt-outs with a cursor", "sender codes", "lists"
)

var (
	smsCalls = []string{smsCreateCall, smsSubscribeCall, smsUnsubscribeCall, smsOptOutCall, smsContactCall, smsSubscribersCall, smsOptOutsCall,
		smsCursorCall, smsCodesCall, smsListsCall}
	smsWrites = []string{smsCreateCall, smsSubscribeCall, smsUnsubscribeCall, smsOptOutCall}
	// smsPhoneCalls name the phone number in their route.
	smsPhoneCalls = []string{smsSubscribeCall, smsUnsubscribeCall, smsContactCall}
)

// trySMS makes the named call about the phone number that must not leak.
func trySMS(ctx context.Context, c *SMSClient, name string) (result WriteResult, err error) {
	switch name {
	case smsCreateCall:
		return c.Subscribe(ctx, leakyPhone, SMSSubscribeOptions{})
	case smsSubscribeCall:
		return c.Subscribe(ctx, leakyPhone, SMSSubscribeOptions{Known: true})
	case smsUnsubscribeCall:
		return c.Unsubscribe(ctx, leakyPhone, 0)
	case smsOptOutCall:
		return c.OptOut(ctx, leakyPhone)
	case smsContactCall:
		_, _, err = c.Contact(ctx, leakyPhone)
	case smsSubscribersCall:
		_, err = c.Subscribers(ctx, SMSQuery{})
	case smsOptOutsCall:
		_, err = c.OptOuts(ctx, SMSQuery{})
	case smsCursorCall:
		_, err = c.OptOuts(ctx, SMSQuery{Cursor: "x" + leakyPhone})
	case smsCodesCall:
		_, err = c.SenderCodes(ctx)
	case smsListsCall:
		_, err = c.Lists(ctx, testCode)
	default:
		panic(name)
	}
	return WriteResult{}, err
}

// mustNotLeakPhone is mustNotLeak for a phone number, however it is spelt.
func mustNotLeakPhone(t *testing.T, err error) {
	t.Helper()
	mustNotLeak(t, err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, shown := range []string{e.Error(), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e)} {
			digits := strings.Map(func(r rune) rune {
				if r >= '0' && r <= '9' {
					return r
				}
				return -1
			}, shown)
			if strings.Contains(shown, "0009876") || strings.Contains(digits, "5550009876") {
				t.Errorf("the error shows a phone number: %s", shown)
			}
		}
	}
}

// answerSMSError is answerError with a phone number in the message.
func answerSMSError(w http.ResponseWriter, status int, code string) {
	answerJSON(w, status, map[string]any{"status": status, "error": code, "message": "ERROR_BANNED_PHONE_NUMBER for " + leakyPhone + ", 555-000-9876"})
}

func TestSubscribersReadsEveryPage(t *testing.T) {
	t.Parallel()
	pages := map[string]string{
		"Start": `{"status":200,"nextPageCursor":"p=2&+","data":[{"phoneNumber":"+15550001111","optedOut":false,"firstName":"Ann"},
			{"phoneNumber":"5550002222","optedOut":null},{"phoneNumber":null},{"phoneNumber":"15550003333","optedOut":true}]}`,
		"p=2&+": `{"status":200,"nextPageCursor":"https://api.listrak.com/sms/v1/ShortCode/8/PhoneList/80/Contact?cursor=third&count=5000","data":[]}`,
		"third": `{"status":200,"nextPageCursor":null,"data":[{"phoneNumber":"+4915112345678"}]}`,
	}
	client, server := startSMS(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", "Sun, 22 Nov 2026 19:10:00 GMT")
		answerText(w, 200, "application/json", pages[r.URL.Query().Get("cursor")])
	})
	query := SMSQuery{Since: utc("2026-07-01T14:00:00Z")}
	var got []string
	for {
		page, err := client.Subscribers(t.Context(), query)
		if err != nil {
			t.Fatalf("page %q: %v", query.Cursor, err)
		}
		if !page.ServerTime.Equal(utc("2026-11-22T19:10:00Z")) {
			t.Errorf("server time %s", page.ServerTime)
		}
		got = append(got, page.Phones...)
		if query.Cursor = page.Next; query.Cursor == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"+15550001111", "5550002222", "+4915112345678"}, got); diff != "" {
		t.Errorf("phone numbers (-want +got):\n%s", diff)
	}
	const route, rest = "GET /sms/v1/ShortCode/8/PhoneList/80/Contact?optedOut=false&cursor=", "&count=5000&startSubscribeDate=2026-07-01T10%3A00%3A00"
	if diff := cmp.Diff([]string{route + "Start" + rest, route + "p%3D2%26%2B" + rest, route + "third" + rest}, server.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestOptOutsArePagedOrWhole(t *testing.T) {
	t.Parallel()
	body := ""
	client, server := startSMS(t, func(w http.ResponseWriter, r *http.Request) { answerText(w, 200, "application/json", body) })
	body = `{"status":200,"nextPageCursor":"two","data":[
		{"phoneNumber":"+15550001111","optOutDate":"2026-11-22T14:03:07.123","optOutReason":"Campaign"},
		{"phoneNumber":"5550002222","optOutDate":"2026-11-01T01:30:00","optOutReason":3},
		{"phoneNumber":"15550003333","optOutDate":"0001-01-01T00:00:00","optOutReason":null},
		{"phoneNumber":"15550004444","optOutDate":null,"optOutReason":"` + leakyPhone + ` complained"},
		{"phoneNumber":"15550005555","optOutReason":"Carrier Block"},
		{"phoneNumber":null,"optOutDate":"2026-11-01T01:30:00"}]}`
	page, err := client.OptOuts(t.Context(), SMSQuery{Since: utc("2026-11-01T12:00:00Z")})
	want := []OptOut{
		{Phone: "+15550001111", Date: utc("2026-11-22T19:03:07.123Z"), RawDate: "2026-11-22T14:03:07.123", Reason: OptOutCampaign},
		{Phone: "5550002222", Date: utc("2026-11-01T05:30:00Z"), Ambiguous: true, RawDate: "2026-11-01T01:30:00", Reason: "3"},
		{Phone: "15550003333"}, {Phone: "15550004444"}, {Phone: "15550005555", Reason: "Carrier Block"},
	}
	if diff := cmp.Diff(want, page.OptOuts); err != nil || diff != "" || page.Next != "two" {
		t.Errorf("next %q, error %v, opt-outs (-want +got):\n%s", page.Next, err, diff)
	}
	if want := utc("2026-11-22T14:03:07.123Z"); !page.OptOuts[0].Wall().Equal(want) || !page.OptOuts[2].Wall().IsZero() {
		t.Errorf("wall clocks %s and %s, want %s and none", page.OptOuts[0].Wall(), page.OptOuts[2].Wall(), want)
	}
	if got := server.requests()[0]; got != "GET /sms/v1/ShortCode/8/OptOut?cursor=Start&count=5000&startDate=2026-11-01T07%3A00%3A00" {
		t.Errorf("sent %s", got)
	}

	// As the document types it: no cursor. Only a page that is exactly full leaves open whether there is more.
	for _, row := range []struct {
		rows  int
		tail  string
		whole bool
	}{{1, "", true}, {5001, "", true}, {5000, `,"nextPageCursor":null`, true}, {5000, "", false}} {
		body = `{"status":200,"data":[` + strings.TrimSuffix(strings.Repeat(`{"phoneNumber":"`+leakyPhone+`"},`, row.rows), ",") + `]` + row.tail + `}`
		page, err := client.OptOuts(t.Context(), SMSQuery{})
		mustNotLeakPhone(t, err)
		if row.whole != (err == nil) || row.whole && (len(page.OptOuts) != row.rows || page.Next != "") {
			t.Errorf("%d opt-outs with %q: %d of them, next %q, error %v; want them whole: %v", row.rows, row.tail, len(page.OptOuts), page.Next,
				err, row.whole)
		}
	}
}

func TestDateOfSMSConsent(t *testing.T) {
	t.Parallel()
	const first, second, third = "2026-01-01T00:00:00", "2026-02-01T00:00:00", "2026-03-01T00:00:00"
	const other = `{"phoneListId":81,"subscriptionState":"Subscribed","subscribeDate":"` + third + `"},{"phoneListId":null},`
	for _, row := range []struct {
		what, details, lists string
		want                 SMSContact
		found                bool
	}{
		{"subscribed", `"optedOut":false`,
			other + `{"phoneListId":80,"subscriptionState":"Subscribed","subscribeDate":"` + first + `","unsubscribeDate":"` + second + `"}`,
			SMSContact{State: Subscribed, RawDate: first}, true},
		{"left the list", `"optedOut":false`,
			`{"phoneListId":80,"subscriptionState":"Unsubscribed","subscribeDate":"` + third + `","unsubscribeDate":"` + second + `"}`,
			SMSContact{State: Unsubscribed, RawDate: second}, true},
		{"left, undated", `"optedOut":null`,
			`{"phoneListId":80,"subscriptionState":"Unsubscribed","subscribeDate":"` + third + `"}`,
			SMSContact{State: Unsubscribed}, true},
		{"was opted out once and is in again", `"optedOut":false,"unsubscribeDate":"` + third + `"`,
			`{"phoneListId":80,"subscriptionState":"Subscribed","subscribeDate":"` + first + `"}`, SMSContact{State: Subscribed, RawDate: first}, true},
		{"opted out, whatever the list says", `"optedOut":true,"subscribeDate":"` + first + `","unsubscribeDate":"` + third + `"`,
			`{"phoneListId":80,"subscriptionState":"Subscribed","subscribeDate":"` + second + `"}`,
			SMSContact{State: Unsubscribed, RawDate: third, OptedOut: true}, true},
		{"opted out, undated", `"optedOut":true`, `{"phoneListId":80,"subscriptionState":"Unsubscribed","unsubscribeDate":"` + second + `"}`,
			SMSContact{State: Unsubscribed, OptedOut: true}, true},
		{"opted out and never on the list", `"optedOut":true`, ``, SMSContact{State: Unsubscribed, OptedOut: true}, true},
		{"never on this list", `"optedOut":false`, strings.TrimSuffix(other, ","), SMSContact{}, false},
		{"waits for double opt-in", `"optedOut":false`,
			`{"phoneListId":80,"subscriptionState":"Pending","pendingDate":"` + third + `","pendingDoubleOptIn":true}`,
			SMSContact{State: Pending}, true},
		{"a flag against the word", `"optedOut":false`,
			`{"phoneListId":80,"subscriptionState":"Subscribed","subscribeDate":"` + first + `","pendingAgeGate":true}`,
			SMSContact{State: Pending}, true},
		{"left, and a flag that stayed", `"optedOut":false`,
			`{"phoneListId":80,"subscriptionState":"Unsubscribed","unsubscribeDate":"` + second + `","pendingDoubleOptIn":true}`,
			SMSContact{State: Unsubscribed, RawDate: second}, true},
		{"a state we do not know", `"optedOut":false`, `{"phoneListId":80,"subscriptionState":"Active","subscribeDate":"` + first + `"}`,
			SMSContact{State: Unknown}, true},
		{"a state in other letters", `"optedOut":false`, `{"phoneListId":80,"subscriptionState":"unsubscribed","unsubscribeDate":"` + second + `"}`,
			SMSContact{State: Unsubscribed, RawDate: second}, true},
		{"no state", `"optedOut":false`, `{"phoneListId":80,"subscriptionState":null}`, SMSContact{State: Unknown}, true},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			client, server := startSMS(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", "Sun, 22 Nov 2026 19:10:00 GMT")
				if strings.HasSuffix(r.URL.Path, "/PhoneList") {
					answerText(w, 200, "application/json", `{"status":200,"nextPageCursor":null,"data":[`+row.lists+`]}`)
					return
				}
				answerText(w, 200, "application/json", `{"status":200,"data":{"phoneNumber":"15550009876",`+row.details+`}}`)
			})
			got, found, err := client.Contact(t.Context(), leakyPhone)
			row.want.Phone, row.want.Known, row.want.ServerTime = "15550009876", true, utc("2026-11-22T19:10:00Z")
			row.want.Date, _, _ = ParseDate(row.want.RawDate, newYork)
			if diff := cmp.Diff(row.want, got); err != nil || found != row.found || diff != "" {
				t.Errorf("found %v, error %v, contact (-want +got):\n%s", found, err, diff)
			}
			if wall, _, _ := ParseDate(row.want.RawDate, time.UTC); !got.Wall().Equal(wall) {
				t.Errorf("wall clock %s, want %s", got.Wall(), wall)
			}
			want := []string{"GET " + phoneRoute, "GET " + phoneRoute + "/PhoneList?cursor=Start&count=5000"}
			if diff := cmp.Diff(want, server.requests()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatSMSWritesSend(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		spelling PhoneSpelling
		sent     string
		body     string
	}{
		{smsCreateCall, PlusDigits, "POST /sms/v1/ShortCode/8/PhoneList/80/Contact", `{"phoneNumber":"+15550009876"}`},
		{smsCreateCall, NationalDigits, "POST /sms/v1/ShortCode/8/PhoneList/80/Contact", `{"phoneNumber":"5550009876"}`},
		{smsSubscribeCall, PlusDigits, "POST " + phoneRoute + "/PhoneList/80", ""},
		{smsSubscribeCall, OnlyDigits, "POST /sms/v1/ShortCode/8/Contact/15550009876/PhoneList/80", ""},
		{smsUnsubscribeCall, PlusDigits, "DELETE /sms/v1/ShortCode/8/ContactUnsubscribe/%2B15550009876/PhoneList/80", ""},
		{smsUnsubscribeCall, NationalDigits, "DELETE /sms/v1/ShortCode/8/ContactUnsubscribe/5550009876/PhoneList/80", ""},
		{smsOptOutCall, PlusDigits, "PUT /sms/v1/ShortCode/8/Contact", `{"optedOut":true,"phoneNumber":"+15550009876"}`},
		{smsOptOutCall, OnlyDigits, "PUT /sms/v1/ShortCode/8/Contact", `{"optedOut":true,"phoneNumber":"15550009876"}`},
	} {
		client, server := startSMS(t, func(w http.ResponseWriter, r *http.Request) {
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != row.body || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: body %s (%s), want %s", row.name, body, r.Header.Get("Content-Type"), row.body)
			}
			w.Header().Set("Date", "Sun, 22 Nov 2026 19:10:00 GMT")
			created(w)
		}, func(c *SMSConfig) { c.Spelling = row.spelling })
		result, err := trySMS(t.Context(), client, row.name)
		if err != nil || result != (WriteResult{ServerTime: utc("2026-11-22T19:10:00Z")}) {
			t.Errorf("%s: result %+v, error %v", row.name, result, err)
		}
		if diff := cmp.Diff([]string{row.sent}, server.requests()); diff != "" {
			t.Errorf("%s, spelt %q: requests (-want +got):\n%s", row.name, row.spelling, diff)
		}
	}
}

func TestSpellings(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ phone, plus, digits, national string }{
		{"+15550001111", "+15550001111", "15550001111", "5550001111"},
		{"+4915112345678", "+4915112345678", "4915112345678", "4915112345678"},
		{"5550001111", "5550001111", "5550001111", "5550001111"}, // as Listrak may have given it
		{"+1", "+1", "1", "1"},
	} {
		got := [3]string{PlusDigits.spell(row.phone), OnlyDigits.spell(row.phone), NationalDigits.spell(row.phone)}
		if want := [3]string{row.plus, row.digits, row.national}; got != want {
			t.Errorf("%s: %q, want %q", row.phone, got, want)
		}
	}
}

func TestWhatIsNoPhoneNumberIsNotSent(t *testing.T) {
	t.Parallel()
	client, server := startSMS(t, func(w http.ResponseWriter, r *http.Request) { created(w) })
	for _, phone := range []string{"", "+", ".", "..", "../OptOut", "+1 555 000 9876", "(555) 000-9876", "+1555000/9876", "15550009876&x=1",
		"1%2F2", "+15550009876\n", "++15550009876", "+１５５５０００９８７６", "+1234567890123456", "alice@example.com", "15550009876\x00"} {
		for _, name := range []string{smsCreateCall, smsSubscribeCall, smsUnsubscribeCall, smsOptOutCall, smsContactCall} {
			var err error
			switch name {
			case smsCreateCall, smsSubscribeCall:
				_, err = client.Subscribe(t.Context(), phone, SMSSubscribeOptions{Known: name == smsSubscribeCall})
			case smsUnsubscribeCall:
				_, err = client.Unsubscribe(t.Context(), phone, 0)
			case smsOptOutCall:
				_, err = client.OptOut(t.Context(), phone)
			case smsContactCall:
				_, _, err = client.Contact(t.Context(), phone)
			}
			mustNotLeakPhone(t, err)
			if f := failure.As(err); f == nil || f.Class != failure.Refused || f.Code != codeAddress {
				t.Errorf("%s of %q: %v; want refused as %s", name, phone, err, codeAddress)
			}
		}
	}
	if sent := server.requests(); len(sent) != 0 {
		t.Errorf("sent %q", sent)
	}
}

func TestEverySMSErrorCodeHasItsClass(t *testing.T) {
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
		{400, "ERROR_BANNED_PHONE_NUMBER", smsWrites, refused, "", false},
		{400, "ERROR_PHONE_NUMBER_SUSPENDED", smsWrites, refused, "", false},
		{400, "ERROR_INVALID_PHONE_NUMBER", append([]string{smsContactCall}, smsWrites...), refused, "phone number", false},
		{400, "ERROR_INVALID_PARAMETER", append([]string{smsContactCall}, smsWrites...), refused, "phone number", false},
		{400, "ERROR_INVALID_PARAMETER", []string{smsSubscribersCall, smsOptOutsCall, smsCodesCall, smsListsCall}, person, "sender code or phone list", false},
		{400, "ERROR_INVALID_PARAMETER", []string{smsCursorCall}, retry, "", false},
		{400, "ERROR_PENDING_PHONE_NUMBER", []string{smsContactCall}, refused, "", false},
		{400, "ERROR_SUBSCRIBED_PHONE_NUMBER", []string{smsUnsubscribeCall, smsOptOutCall}, retry, "read again", false},
		{400, "ERROR_PHONE_NUMBER_NOT_SUBSCRIBED", []string{smsCreateCall, smsSubscribeCall, smsOptOutCall}, retry, "read again", false},
		{400, "ERROR_PHONE_NUMBER_NOT_FOUND", []string{smsCreateCall, smsOptOutCall}, retry, "read again", false},
		{400, "ERROR_PHONE_NUMBER_FOUND", smsWrites, retry, "read again", false},
		{400, "ERROR_LIST_INACTIVE", smsCalls, person, "activate", false},
		{400, "ERROR_SENDER_CODE_DISABLED", smsCalls, person, "enable it", false},
		{400, "ERROR_INVALID_LIST_ID", smsCalls, person, "sender code or phone list", false},
		{404, "ERROR_UNABLE_TO_LOCATE_RESOURCE", smsCalls, person, "sender code or phone list", false},
		{400, "ERROR_MALFORMED_REQUEST_BODY", smsWrites, refused, "report", false},
		{400, "ERROR_BIRTHDAY_FIELD_NULL", smsWrites, refused, "report", false},
		{400, "ERROR_INVALID_EMAIL_ADDRESS", smsWrites, refused, "report", false},
		{400, "ERROR_INVALID_SEGMENTATION_FIELD_ID", smsWrites, refused, "report", false},
		{400, "ERROR_SEGMENTATION_FIELD_DISABLED", smsWrites, refused, "report", false},
		{400, "ERROR_SEGMENTATION_MAX_LENGTH", smsWrites, refused, "report", false},
		{400, "ERROR_TRANSACTIONAL_MESSAGE_CONTENT_COUPON_CODE", smsWrites, refused, "report", false},
		{400, "ERROR_TRANSACTIONAL_MESSAGE_EMPTY_MESSAGE", smsWrites, refused, "report", false},
		{400, "ERROR_TRANSACTIONAL_MESSAGE_NOT_FOUND", smsWrites, refused, "report", false},
		{400, "ERROR_RESOURCE_DEPENDENCY", smsWrites, retry, "report", false},
		{404, "ERROR_UNKNOWN_ROUTE", smsCalls, person, "Listrak SMS URL", false},
		{405, "ERROR_UNSUPPORTED_METHOD", smsCalls, person, "Listrak SMS URL", false},
		{415, "ERROR_UNSUPPORTED_CONTENT_TYPE", smsWrites, person, "report", false},
		{400, "ERROR_UNSUPPORTED_PROTOCOL", smsCalls, person, "SMS URL begins with https://", false},
		{401, "ERROR_UNAUTHORIZED", smsCalls, person, "type SMS", false},
		{403, "", smsCalls, person, "type SMS", false},
		{401, "ERROR_INVALID_CREDENTIALS", smsCalls, person, "SMS client id and secret", false},
		{400, "ERROR_INVALID_CREDENTIALS", smsCalls, person, "SMS client id and secret", false},
		{500, "ERROR_BANNED_PHONE_NUMBER", smsWrites, refused, "", false},
		{500, "ERROR_UNHANDLED_EXCEPTION", smsCalls, retry, "", true},
		{400, "ERROR_UNHANDLED_EXCEPTION", smsWrites, retry, "", true},
		{500, "", smsCalls, retry, "", true},
		{503, "", smsCalls, retry, "", true},
		{408, "", smsCalls, retry, "", true},
		{429, "", smsCalls, retry, "", false},
		{429, "ERROR_UNAUTHORIZED", smsCalls, retry, "", false},
		{400, "ERROR_SOMETHING_NEW", smsCalls, retry, "report", false},
		{400, "error: " + leakyPhone, []string{smsCreateCall, smsOptOutCall}, retry, "Listrak SMS URL", false},
		{404, "", smsCalls, retry, "Listrak SMS URL", false},
		{302, "", smsCalls, person, "Listrak SMS URL", false},
		{204, "", smsCalls, retry, "Listrak SMS URL", false},
	} {
		for _, name := range row.calls {
			t.Run(fmt.Sprintf("%d %s: %s", row.status, row.code, name), func(t *testing.T) {
				t.Parallel()
				client, _ := startSMS(t, func(w http.ResponseWriter, r *http.Request) {
					if row.status == 302 {
						w.Header().Set("Location", "/sms/v1/ShortCode?who="+leakyPhone)
					}
					if row.status == 204 {
						w.WriteHeader(204)
						return
					}
					answerSMSError(w, row.status, row.code)
				})
				_, err := trySMS(t.Context(), client, name)
				mustNotLeakPhone(t, err)
				f := failure.As(err)
				if f == nil {
					t.Fatalf("error %v, want a failure", err)
				}
				wantMaybe := row.maybe && strings.Contains(strings.Join(smsWrites, ","), name)
				if f.Class != row.class || !strings.Contains(f.Advice, row.advice) || f.MaybeDone != wantMaybe {
					t.Errorf("%v (maybe done: %v); want %s, advice with %q, maybe done: %v", f, f.MaybeDone, row.class, row.advice, wantMaybe)
				}
				if cleanCode(row.code) != "" && f.Code != row.code {
					t.Errorf("code %s, want %s", f.Code, row.code)
				}
				if f.Class == retry && (row.status == 429 || row.status >= 500) && (f.Wait <= 0 || f.Wait > longestWait) {
					t.Errorf("the advised wait is %s", f.Wait)
				}
				if !strings.Contains(f.Op, "/v1/ShortCode") {
					t.Errorf("the operation %q names no route", f.Op)
				}
				if errors.Is(err, ErrCursorLost) != (name == smsCursorCall && row.code == "ERROR_INVALID_PARAMETER") {
					t.Errorf("ErrCursorLost in %v", err)
				}
			})
		}
	}
}

func TestWhatCountsAsDoneInSMS(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, code string
		want       WriteResult
	}{
		{smsSubscribeCall, "ERROR_SUBSCRIBED_PHONE_NUMBER", WriteResult{AlreadySo: true}},
		{smsCreateCall, "ERROR_SUBSCRIBED_PHONE_NUMBER", WriteResult{AlreadySo: true}},
		{smsSubscribeCall, "ERROR_PENDING_PHONE_NUMBER", WriteResult{Pending: true}},
		{smsCreateCall, "ERROR_PENDING_PHONE_NUMBER", WriteResult{Pending: true}},
		{smsUnsubscribeCall, "ERROR_PHONE_NUMBER_NOT_SUBSCRIBED", WriteResult{AlreadySo: true}},
		{smsUnsubscribeCall, "ERROR_PHONE_NUMBER_NOT_FOUND", WriteResult{AlreadySo: true}},
		{smsUnsubscribeCall, "ERROR_PENDING_PHONE_NUMBER", WriteResult{Pending: true}},
	} {
		client, _ := startSMS(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", "Sun, 22 Nov 2026 19:10:00 GMT")
			answerSMSError(w, 400, row.code)
		})
		row.want.ServerTime = utc("2026-11-22T19:10:00Z")
		if got, err := trySMS(t.Context(), client, row.name); err != nil || got != row.want {
			t.Errorf("%s, %s: %+v, error %v; want %+v", row.name, row.code, got, err, row.want)
		}
		asked := Subscribed
		if row.name == smsUnsubscribeCall {
			asked = Unsubscribed
		}
		if got, err := SMSRefusedWrite("write", asked, 400, row.code, row.want.ServerTime); err != nil || got != row.want {
			t.Errorf("%s, without HTTP, %s: %+v, error %v; want %+v", row.name, row.code, got, err, row.want)
		}
	}
}

// existing answers as a Listrak where the list is there and a phone number is not, except that routes answer with what answers says.
func existing(answers map[string]http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for route, answer := range answers {
			if r.Method+" "+r.URL.EscapedPath() == route {
				answer(w, r)
				return
			}
		}
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/PhoneList/80/Contact") {
			answerText(w, 200, "application/json", `{"status":200,"nextPageCursor":null,"data":[]}`)
			return
		}
		answerSMSError(w, 404, codeNotFound)
	}
}

func refusing(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { answerSMSError(w, status, code) }
}

func TestSubscribingFindsOutWhetherTheNumberIsKnown(t *testing.T) {
	t.Parallel()
	const create, subscribe, touch = "POST /sms/v1/ShortCode/8/PhoneList/80/Contact", "POST " + phoneRoute + "/PhoneList/80",
		"GET /sms/v1/ShortCode/8/PhoneList/80/Contact?count=1"
	done := func(w http.ResponseWriter, r *http.Request) { created(w) }
	for _, row := range []struct {
		what    string
		known   bool
		answers map[string]http.HandlerFunc
		sent    []string
		code    string // of a retry; empty: done
	}{
		{"known after all", false, map[string]http.HandlerFunc{create: refusing(400, codePhoneFound), subscribe: done}, []string{create, subscribe}, ""},
		{"unknown after all", true, map[string]http.HandlerFunc{create: done, subscribe: refusing(400, codePhoneNotFound)}, []string{subscribe, create}, ""},
		{"unknown after all, in other words", true, map[string]http.HandlerFunc{create: done}, []string{subscribe, touch, create}, ""},
		{"found, then gone", false, map[string]http.HandlerFunc{create: refusing(400, codePhoneFound), subscribe: refusing(400, codePhoneNotFound)},
			[]string{create, subscribe}, codePhoneNotFound},
		{"gone, then found", true, map[string]http.HandlerFunc{create: refusing(400, codePhoneFound), subscribe: refusing(400, codePhoneNotFound)},
			[]string{subscribe, create}, codePhoneFound},
	} {
		client, server := startSMS(t, existing(row.answers))
		result, err := client.Subscribe(t.Context(), leakyPhone, SMSSubscribeOptions{Known: row.known})
		mustNotLeakPhone(t, err)
		if f := failure.As(err); row.code == "" && (err != nil || result.ServerTime.IsZero()) ||
			row.code != "" && (f == nil || f.Class != failure.Retry || f.Code != row.code || f.MaybeDone) {
			t.Errorf("%s: %+v, %v; want a retry with %q, or success without one", row.what, result, err, row.code)
		}
		if diff := cmp.Diff(row.sent, server.requests()); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", row.what, diff)
		}
	}
	client, server := startSMS(t, existing(map[string]http.HandlerFunc{"POST /sms/v1/ShortCode/8/PhoneList/81/Contact": done}))
	if _, err := client.Subscribe(t.Context(), leakyPhone, SMSSubscribeOptions{List: 81}); err != nil {
		t.Errorf("to another list: %v, sent %q", err, server.requests())
	}
	for _, list := range []int{-1, math.MaxInt32 + 1} {
		if _, err := client.Subscribe(t.Context(), leakyPhone, SMSSubscribeOptions{List: list}); failure.ClassOf(err) != failure.PersonMustAct {
			t.Errorf("to list %d: %v, want a person to act", list, err)
		}
	}
}

func TestAMissingPhoneIsNotAMissingPhoneList(t *testing.T) {
	t.Parallel()
	now := utc("2026-11-22T12:00:00Z")
	client, server := startSMS(t, existing(nil), func(c *SMSConfig) { c.Now = func() time.Time { return now } })
	for range 3 {
		if contact, found, err := client.Contact(t.Context(), leakyPhone); found || err != nil || contact.Known {
			t.Fatalf("%+v, found %v, error %v; want no such phone number", contact, found, err)
		}
	}
	if got := len(server.requests()); got != 4 {
		t.Errorf("%d requests for three contacts, want 4: the list is confirmed once a minute", got)
	}
	now = now.Add(listSeenFor + time.Second)
	if result, err := client.Unsubscribe(t.Context(), leakyPhone, 0); err != nil || !result.AlreadySo || len(server.requests()) != 6 {
		t.Errorf("unsubscribe nobody: %+v, error %v, %d requests; want already so, and the list confirmed again after a minute", result, err,
			len(server.requests()))
	}
	// Another list than the client's own is not there because that one is.
	if _, err := client.Subscribe(t.Context(), leakyPhone, SMSSubscribeOptions{Known: true, List: 81}); failure.ClassOf(err) != failure.PersonMustAct {
		t.Errorf("to a list that is missing: %v, want a person to mend it", err)
	}
	// One that the sender code knows and that vanished before its lists were read was on none.
	client, _ = startSMS(t, existing(map[string]http.HandlerFunc{"GET " + phoneRoute: func(w http.ResponseWriter, r *http.Request) {
		answerText(w, 200, "application/json", `{"status":200,"data":{"phoneNumber":"+15550009876","optedOut":false}}`)
	}}))
	if contact, found, err := client.Contact(t.Context(), leakyPhone); found || err != nil || !contact.Known {
		t.Errorf("on no list: %+v, found %v, error %v", contact, found, err)
	}
}

func TestARouteThatTakesNoPlusConcernsEverybody(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		status int
		code   string
	}{{404, codeUnknownRoute}, {405, codeUnsupportedMethod}, {404, ""}, {400, ""}, {400, codeUnsafeRoute}} {
		for _, name := range smsPhoneCalls {
			client, _ := startSMS(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "+") {
					answerSMSError(w, row.status, row.code)
					return
				}
				existing(nil)(w, r)
			})
			_, err := trySMS(t.Context(), client, name)
			mustNotLeakPhone(t, err)
			if f := failure.As(err); f == nil || f.Class != failure.PersonMustAct || !strings.Contains(f.Advice, "spelling of phone numbers") || f.MaybeDone {
				t.Errorf("%d %s, %s: %v; want a person to set another spelling", row.status, row.code, name, err)
			}
		}
	}
}

func TestBrokenSMSAnswers(t *testing.T) {
	t.Parallel()
	html := "<html><body>Please log in, " + leakyPhone + "</body></html>"
	for _, row := range []struct {
		what   string
		answer http.HandlerFunc
		code   string
	}{
		{"a page", func(w http.ResponseWriter, r *http.Request) { answerText(w, 200, "text/html", html) }, codeUnreadable},
		{"nothing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200) }, codeUnreadable},
		{"half of an answer", func(w http.ResponseWriter, r *http.Request) {
			answerText(w, 200, "application/json", `{"status":200,"data":[{"phoneNumber":"`+leakyPhone)
		}, codeUnreadable},
		{"another type", func(w http.ResponseWriter, r *http.Request) {
			answerText(w, 200, "application/json", `"`+leakyPhone+`"`)
		}, codeUnreadable},
		{"a huge answer", func(w http.ResponseWriter, r *http.Request) {
			answerText(w, 200, "application/json", strings.Repeat(" ", 1<<16)+"{}")
		}, codeTooLarge},
		{"a page of 503", func(w http.ResponseWriter, r *http.Request) { answerText(w, 503, "text/html", html) }, "HTTP_503"},
		{"a connection that ends inside the body", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			answerText(w, 200, "application/json", `{"status`)
		}, codeUnreachable},
		{"an answer that is no HTTP", func(w http.ResponseWriter, r *http.Request) { hangUp(w, "hello "+leakyPhone+"\r\n\r\n") }, codeUnreachable},
	} {
		for _, name := range smsCalls {
			t.Run(row.what+": "+name, func(t *testing.T) {
				t.Parallel()
				client, _ := startSMS(t, row.answer)
				client.maxAnswer = 1 << 15
				_, err := trySMS(t.Context(), client, name)
				mustNotLeakPhone(t, err)
				f := failure.As(err)
				if f == nil || f.Class != failure.Retry || f.Code != row.code || f.Wait <= 0 {
					t.Fatalf("%v, want a retry with %s and a wait", err, row.code)
				}
				if wrote := strings.Contains(strings.Join(smsWrites, ","), name); f.MaybeDone != wrote {
					t.Errorf("maybe done: %v, want %v", f.MaybeDone, wrote)
				}
				if (f.Code == codeUnreadable || f.Code == codeTooLarge) && f.Advice != adviceSMSURL {
					t.Errorf("advice %q, want that about the SMS URL", f.Advice)
				}
			})
		}
	}
}

func TestAnSMSAnswerThatLacksWhatItPromises(t *testing.T) {
	t.Parallel()
	contact := `{"status":200,"data":{"phoneNumber":"` + leakyPhone + `","optedOut":false}}`
	for _, row := range []struct{ what, name, body, lists string }{
		{"no data", smsSubscribersCall, `{"status":200,"nextPageCursor":null}`, ""},
		{"null data", smsOptOutsCall, `{"status":200,"nextPageCursor":null,"data":null}`, ""},
		{"a cursor that leads nowhere", smsSubscribersCall, `{"status":200,"nextPageCursor":"Start","data":[]}`, ""},
		{"a cursor that leads nowhere", smsOptOutsCall, `{"status":200,"nextPageCursor":"Start","data":[]}`, ""},
		{"the cursor that was asked for", smsCursorCall, `{"status":200,"nextPageCursor":"x` + leakyPhone + `","data":[]}`, ""},
		{"a number for a phone number", smsSubscribersCall, `{"status":200,"data":[{"phoneNumber":15550009876}]}`, ""},
		{"a date in no known form", smsOptOutsCall, `{"status":200,"data":[{"phoneNumber":"` + leakyPhone + `","optOutDate":"` + leakyPhone + `"}]}`, ""},
		{"no contact", smsContactCall, `{"status":200,"data":null}`, ""},
		{"no lists", smsContactCall, contact, `{"status":200,"data":null}`},
		{"lists that never end", smsContactCall, contact, `{"status":200,"nextPageCursor":"again","data":[]}`},
		{"a date in no known form", smsContactCall, contact,
			`{"status":200,"data":[{"phoneListId":80,"subscriptionState":"Subscribed","subscribeDate":"` + leakyPhone + `"}]}`},
		{"no sender codes", smsCodesCall, `{"status":200}`, ""},
		{"no phone lists", smsListsCall, ``, `{"status":200}`},
		{"phone lists that never end", smsListsCall, ``, `{"status":200,"nextPageCursor":"again","data":[]}`},
	} {
		client, _ := startSMS(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/PhoneList") {
				answerText(w, 200, "application/json", row.lists)
				return
			}
			answerText(w, 200, "application/json", row.body)
		})
		_, err := trySMS(t.Context(), client, row.name)
		mustNotLeakPhone(t, err)
		if f := failure.As(err); f == nil || f.Class != failure.Retry || f.Code != codeUnreadable {
			t.Errorf("%s, %s: %v, want a retry with %s", row.name, row.what, err, codeUnreadable)
		}
	}
}

func TestSMSTimeouts(t *testing.T) {
	t.Parallel()
	for _, name := range smsCalls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := startSMS(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client is gone
				<-r.Context().Done()
			})
			if _, err := client.tokens.get(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := trySMS(ctx, client, name)
			mustNotLeakPhone(t, err)
			f := failure.As(err)
			if f == nil || f.Class != failure.Retry || f.Code != codeTimeout {
				t.Fatalf("%v, want a retry with %s", err, codeTimeout)
			}
			if wrote := strings.Contains(strings.Join(smsWrites, ","), name); f.MaybeDone != wrote {
				t.Errorf("maybe done: %v, want %v", f.MaybeDone, wrote)
			}
		})
	}
}

func TestAnSMSWriteAfterReserveDoesNotWait(t *testing.T) {
	t.Parallel()
	client, _ := startSMS(t, func(w http.ResponseWriter, r *http.Request) { created(w) }, func(c *SMSConfig) { c.RatePerSecond = 1.0 / 3600 })
	if err := client.Reserve(t.Context()); err != nil {
		t.Fatalf("reserve the first slot of the hour: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, _, err := client.Contact(soon, leakyPhone); !hasCode(err, codeTimeout) {
		t.Errorf("a read took the slot that was reserved for a write: %v", err)
	}
	if _, err := client.OptOut(soon, leakyPhone); err != nil {
		t.Errorf("the write that was reserved for: %v", err)
	}
	if err := client.Reserve(soon); !hasCode(err, codeTimeout) {
		t.Errorf("a second reservation within the hour: %v", err)
	}
}

func TestSenderCodesAndPhoneLists(t *testing.T) {
	t.Parallel()
	lists := map[string]string{
		"active Start": `{"status":200,"nextPageCursor":"two","data":[
			{"phoneListId":80,"phoneListName":"Texts","requireDoubleOptIn":true,"requireAgeGate":false,"status":"Active"}]}`,
		"active two": `{"status":200,"data":[{"phoneListId":81,"phoneListName":null,"requireAgeGate":true,"status":"Inactive"}]}`,
		// A server that ignores the status gives the active ones again.
		"inactive Start": `{"status":200,"data":[{"phoneListId":80,"phoneListName":"Texts"},{"phoneListId":82,"phoneListName":"Old"}]}`,
	}
	client, server := startSMS(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/PhoneList") {
			answerText(w, 200, "application/json", lists[r.URL.Query().Get("status")+" "+r.URL.Query().Get("cursor")])
			return
		}
		answerText(w, 200, "application/json", `{"status":200,"nextPageCursor":null,"data":[
			{"shortCodeId":8,"code":"54321","country":"US","merchantName":"Shop"},{"code":null}]}`)
	}, func(c *SMSConfig) { c.BaseURL, c.SenderCode, c.List = c.BaseURL+"/", 0, 0 })
	codes, err := client.SenderCodes(t.Context())
	if diff := cmp.Diff([]SenderCode{{ID: 8, Number: "54321", Name: "Shop", Country: "US"}, {}}, codes); err != nil || diff != "" {
		t.Errorf("sender codes: error %v (-want +got):\n%s", err, diff)
	}
	got, err := client.Lists(t.Context(), 8)
	want := []SMSList{{ID: 80, Name: "Texts", DoubleOptIn: true, Active: true}, {ID: 81, AgeGate: true}, {ID: 82, Name: "Old"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("phone lists: error %v (-want +got):\n%s", err, diff)
	}
	sent := len(server.requests())
	for _, name := range []string{smsCreateCall, smsSubscribeCall, smsUnsubscribeCall, smsOptOutCall, smsContactCall, smsSubscribersCall, smsOptOutsCall} {
		if _, err := trySMS(t.Context(), client, name); failure.ClassOf(err) != failure.PersonMustAct || !hasCode(err, codeSettings) {
			t.Errorf("%s without a sender code: %v", name, err)
		}
	}
	if _, err := client.Lists(t.Context(), -1); failure.ClassOf(err) != failure.PersonMustAct || len(server.requests()) != sent {
		t.Errorf("lists of no sender code: %v, %d requests more", err, len(server.requests())-sent)
	}
}

func TestNewSMSNamesTheWrongSetting(t *testing.T) {
	t.Parallel()
	for named, break_ := range map[string]func(*SMSConfig){
		"auth URL":        func(c *SMSConfig) { c.AuthURL = "auth.listrak.com" },
		"Listrak SMS URL": func(c *SMSConfig) { c.BaseURL = "ftp://" + testSecret + "@x" },
		"secret":          func(c *SMSConfig) { c.ClientSecret = "" },
		"client id":       func(c *SMSConfig) { c.ClientID = "" },
		"time zone":       func(c *SMSConfig) { c.Zone = nil },
		"sender code":     func(c *SMSConfig) { c.SenderCode = -1 },
		"phone list":      func(c *SMSConfig) { c.List = math.MaxInt32 + 1 },
		"spelling":        func(c *SMSConfig) { c.Spelling = "dashes" },
		"request rate":    func(c *SMSConfig) { c.RatePerSecond = math.NaN() },
	} {
		config := SMSConfig{ClientID: testID, ClientSecret: testSecret, Zone: time.UTC}
		if _, err := NewSMS(config); err != nil {
			t.Fatalf("a good configuration: %v", err)
		}
		break_(&config)
		_, err := NewSMS(config)
		if failure.ClassOf(err) != failure.PersonMustAct || !strings.Contains(err.Error(), named) {
			t.Errorf("%s: %v", named, err)
		}
		mustNotLeak(t, err)
	}
}
