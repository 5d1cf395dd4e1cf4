package listrak

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/sandbox/fault"
	sandbox "github.com/concordsync/concord/internal/sandbox/list"
)

// sandboxSMS runs the sandbox's Listrak with one sender code, and a client for it.
func sandboxSMS(t *testing.T, edit func(*sandbox.SenderCodeConfig),
	editClient ...func(*SMSConfig)) (*SMSClient, *sandbox.SenderCode, *sandbox.Server) {
	t.Helper()
	config := sandbox.SenderCodeConfig{ID: testCode, Name: "Shop", Number: "54321", ClientID: testID, Secret: testSecret, Zone: newYork,
		Lists: []sandbox.PhoneList{{ID: testPhoneList, Name: "Texts"}, {ID: 81, Name: "Checkout", DoubleOptIn: true}, {ID: 82, AgeGate: true},
			{ID: 83, Inactive: true}}}
	if edit != nil {
		edit(&config)
	}
	code, err := sandbox.NewSenderCode(config)
	if err != nil {
		t.Fatal(err)
	}
	listrak := sandbox.NewServer(time.Now)
	if err := listrak.AddSenderCode(code); err != nil {
		t.Fatal(err)
	}
	sms := listrak.SMSAPI()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/OAuth2/Token" {
			listrak.Auth().ServeHTTP(w, r)
			return
		}
		sms.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	own := SMSConfig{BaseURL: server.URL, AuthURL: server.URL + "/OAuth2/Token", ClientID: testID, ClientSecret: testSecret,
		SenderCode: testCode, List: testPhoneList, Zone: newYork, RatePerSecond: 10_000, HTTP: server.Client()}
	for _, change := range editClient {
		change(&own)
	}
	client, err := NewSMS(own)
	if err != nil {
		t.Fatal(err)
	}
	return client, code, listrak
}

func TestAPhonesWayThroughTheSandbox(t *testing.T) {
	t.Parallel()
	const phone = "+15550001111"
	for _, same := range []sandbox.SameState{sandbox.MovesDates, sandbox.AnswersError, sandbox.KeepsDates} {
		for _, spelling := range []sandbox.PhoneSpelling{sandbox.PlusDigits, sandbox.OnlyDigits, sandbox.NationalDigits} {
			for _, missing := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, 404: %v", same, spelling, missing), func(t *testing.T) {
					t.Parallel()
					client, code, listrak := sandboxSMS(t, func(c *sandbox.SenderCodeConfig) {
						c.SameState, c.Spelling, c.Missing404, c.LowerStates = same, spelling, missing, missing
					})
					shown := map[sandbox.PhoneSpelling]string{sandbox.PlusDigits: phone, sandbox.OnlyDigits: phone[1:],
						sandbox.NationalDigits: phone[2:]}[spelling]
					read := func(want State) SMSContact {
						t.Helper()
						contact, found, err := client.Contact(t.Context(), phone)
						if err != nil || !found || contact.State != want || contact.Phone != shown || !contact.Known {
							t.Fatalf("contact %+v, found %v, error %v; want %s, spelt %s", contact, found, err, want, shown)
						}
						return contact
					}
					write := func(result WriteResult, err error) WriteResult {
						t.Helper()
						if err != nil {
							t.Fatalf("write: %v", err)
						}
						return result
					}
					if contact, found, err := client.Contact(t.Context(), phone); found || err != nil || contact.Known {
						t.Fatalf("before all: %+v, found %v, error %v", contact, found, err)
					}
					if result := write(client.Unsubscribe(t.Context(), phone, 0)); !result.AlreadySo {
						t.Errorf("unsubscribe nobody: %+v", result)
					}
					if _, err := client.OptOut(t.Context(), phone); failure.ClassOf(err) != failure.Retry || !isUnknownPhone(err) {
						t.Errorf("opt nobody out: %v", err)
					}
					began := time.Now()
					done := write(client.Subscribe(t.Context(), phone, SMSSubscribeOptions{Known: true}))
					ended := time.Now()
					contact := read(Subscribed)
					want := ZoneProof{ZoneProven, offset(began, newYork), offset(began, newYork)}
					if got := ProveZone(contact.RawDate, newYork, began, ended, done.ServerTime); got != want {
						t.Errorf("the zone of %s: %+v, want %+v", contact.RawDate, got, want)
					}
					for _, known := range []bool{false, true} {
						again := write(client.Subscribe(t.Context(), phone, SMSSubscribeOptions{Known: known}))
						if again.AlreadySo != (same == sandbox.AnswersError) {
							t.Errorf("subscribed again, known %v: %+v", known, again)
						}
					}
					listrak.ExpireTokens()
					write(client.Unsubscribe(t.Context(), phone, 0))
					left := read(Unsubscribed)
					if again := write(client.Unsubscribe(t.Context(), phone, 0)); again.AlreadySo != (same == sandbox.AnswersError) {
						t.Errorf("unsubscribed again: %+v", again)
					}
					write(client.Subscribe(t.Context(), phone, SMSSubscribeOptions{}))
					if back := read(Subscribed); back.Date.Before(left.Date) {
						t.Errorf("came back at %s, left at %s", back.Date, left.Date)
					}
					write(client.Subscribe(t.Context(), phone, SMSSubscribeOptions{Known: true, List: 81}))
					write(client.OptOut(t.Context(), phone))
					out := read(Unsubscribed)
					if !out.OptedOut || out.Date.IsZero() {
						t.Errorf("opted out: %+v", out)
					}
					write(client.OptOut(t.Context(), phone))
					page, err := client.OptOuts(t.Context(), SMSQuery{Since: began.Add(-time.Minute)})
					if err != nil || len(page.OptOuts) != 1 || page.OptOuts[0].Phone != shown || page.OptOuts[0].Reason != OptOutAPI ||
						page.OptOuts[0].Date.Before(out.Date) || page.Next != "" || page.ServerTime.IsZero() {
						t.Errorf("opt-outs %+v, error %v; want %s by the API at %s", page, err, shown, out.Date)
					}
					view, _ := code.Phone(phone)
					if view.Lists[81].State != sandbox.Pending || !view.OptedOut || view.Consents(testPhoneList) {
						t.Errorf("in Listrak: %+v", view)
					}
					for _, w := range code.Writes() {
						if w.Phone != phone {
							t.Errorf("a write about %q: %+v", w.Phone, w)
						}
					}
				})
			}
		}
	}
}

func TestSubscribingWhoIsOptedOut(t *testing.T) {
	t.Parallel()
	const phone = "+15550001111"
	for _, row := range []struct {
		answer sandbox.OptedOutAnswer
		class  failure.Class // zero: taken
		state  State
	}{
		{sandbox.RefusesBanned, failure.Refused, Unsubscribed}, {sandbox.RefusesSuspended, failure.Refused, Unsubscribed},
		{sandbox.StaysOut, 0, Unsubscribed}, {sandbox.OptsIn, 0, Subscribed},
	} {
		for _, known := range []bool{false, true} {
			client, code, _ := sandboxSMS(t, func(c *sandbox.SenderCodeConfig) { c.OptedOut, c.HidesOptOutDate = row.answer, true })
			if err := code.OptOut(phone, time.Time{}, sandbox.OptOutImport); err != nil {
				t.Fatal(err)
			}
			_, err := client.Subscribe(t.Context(), phone, SMSSubscribeOptions{Known: known})
			if row.class != 0 && failure.ClassOf(err) != row.class || row.class == 0 && err != nil {
				t.Errorf("%s: %v, want %s", row.answer, err, row.class)
			}
			contact, found, err := client.Contact(t.Context(), phone)
			in := row.state == Subscribed
			if err != nil || !found || contact.State != row.state || contact.OptedOut == in || contact.Date.IsZero() == in {
				t.Errorf("%s: %+v, found %v, error %v; want %s, undated if opted out", row.answer, contact, found, err, row.state)
			}
		}
	}
}

func TestPendingIsNoConsent(t *testing.T) {
	t.Parallel()
	const phone = "+15550001111"
	for _, list := range []int{81, 82} {
		client, code, _ := sandboxSMS(t, nil, func(c *SMSConfig) { c.List = list })
		if _, err := client.Subscribe(t.Context(), phone, SMSSubscribeOptions{}); err != nil {
			t.Fatal(err)
		}
		if contact, found, err := client.Contact(t.Context(), phone); err != nil || !found || contact.State != Pending || !contact.Date.IsZero() {
			t.Errorf("list %d: %+v, found %v, error %v; want pending", list, contact, found, err)
		}
		if result, err := client.Subscribe(t.Context(), phone, SMSSubscribeOptions{}); err != nil || !result.Pending {
			t.Errorf("list %d, a second one: %+v, error %v; want pending", list, result, err)
		}
		if result, err := client.Unsubscribe(t.Context(), phone, 0); err != nil || !result.AlreadySo {
			t.Errorf("list %d, unsubscribe: %+v, error %v; want already so", list, result, err)
		}
		if err := code.Confirm(list, phone); err != nil {
			t.Fatal(err)
		}
		if contact, found, err := client.Contact(t.Context(), phone); err != nil || !found || contact.State != Subscribed || contact.Date.IsZero() {
			t.Errorf("list %d, confirmed: %+v, found %v, error %v; want subscribed", list, contact, found, err)
		}
	}
}

func TestTheSMSSandboxsPages(t *testing.T) {
	t.Parallel()
	began := time.Now()
	for _, whole := range []bool{false, true} {
		client, code, _ := sandboxSMS(t, func(c *sandbox.SenderCodeConfig) { c.UnpagedOptOuts, c.NumberedReasons = whole, whole })
		for n := range 5203 {
			phone := fmt.Sprintf("+1555%07d", n)
			at := began.Add(time.Duration(n-5202) * time.Minute)
			if err := code.Subscribe(testPhoneList, phone, at.Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
			if n%1000 == 0 {
				if err := code.Stop(phone, at); err != nil {
					t.Fatal(err)
				}
			}
			other := fmt.Sprintf("+1666%07d", n)
			if err := code.OptOut(other, at, sandbox.OptOutImport); err != nil {
				t.Fatal(err)
			}
		}
		subscribers := func(query SMSQuery) (people, pages int) {
			seen := map[string]bool{}
			for {
				page, err := client.Subscribers(t.Context(), query)
				if err != nil {
					t.Fatalf("read a page: %v", err)
				}
				pages++
				for _, phone := range page.Phones {
					seen[phone] = true
				}
				if query.Cursor = page.Next; query.Cursor == "" {
					return len(seen), pages
				}
			}
		}
		optOuts := func(query SMSQuery) (people, pages int) {
			seen := map[string]bool{}
			for {
				page, err := client.OptOuts(t.Context(), query)
				if err != nil {
					t.Fatalf("read a page: %v", err)
				}
				pages++
				for _, optOut := range page.OptOuts {
					if optOut.Date.IsZero() || optOut.Reason == "" {
						t.Fatalf("an opt-out: %+v", optOut)
					}
					seen[optOut.Phone] = true
				}
				if query.Cursor = page.Next; query.Cursor == "" {
					return len(seen), pages
				}
			}
		}
		if people, pages := subscribers(SMSQuery{}); people != 5197 || pages != 2 {
			t.Errorf("%d subscribers on %d pages, want 5197 on 2", people, pages)
		}
		if people, pages := optOuts(SMSQuery{}); people != 5209 || (pages == 1) != whole {
			t.Errorf("%d opt-outs on %d pages, want 5209, on one page: %v", people, pages, whole)
		}
		// In the hours when the clocks go back an hour more may come.
		if people, _ := subscribers(SMSQuery{Since: began.Add(-160 * time.Minute)}); people < 101 || people > 161 {
			t.Errorf("%d subscribers of late, want 101", people)
		}
		if people, _ := optOuts(SMSQuery{Since: began.Add(-100 * time.Minute)}); people < 101 || people > 161 {
			t.Errorf("%d opt-outs of late, want 101", people)
		}
		for _, ask := range []func() error{
			func() error { _, err := client.Subscribers(t.Context(), SMSQuery{Cursor: "nonsense"}); return err },
			func() error { _, err := client.OptOuts(t.Context(), SMSQuery{Cursor: "nonsense"}); return err },
		} {
			if err := ask(); err == nil && !whole {
				t.Error("a cursor that never was is taken")
			}
		}
	}
}

func TestWhatTheSMSSandboxRefuses(t *testing.T) {
	t.Parallel()
	const phone = "+15550001111"
	client, code, _ := sandboxSMS(t, nil)
	for _, why := range []sandbox.PhoneRefusal{sandbox.PhoneBanned, sandbox.PhoneSuspended, sandbox.PhoneInvalid} {
		if err := code.Refuse(phone, why); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Subscribe(t.Context(), phone, SMSSubscribeOptions{}); failure.ClassOf(err) != failure.Refused {
			t.Errorf("%s: %v, want refused", why, err)
		}
	}
	if _, err := client.Subscribe(t.Context(), "+0123", SMSSubscribeOptions{}); failure.ClassOf(err) != failure.Refused {
		t.Errorf("no phone number: %v, want refused", err)
	}
	for _, list := range []int{83, 99} {
		for _, known := range []bool{false, true} {
			_, err := client.Subscribe(t.Context(), "+15550002222", SMSSubscribeOptions{List: list, Known: known})
			if failure.ClassOf(err) != failure.PersonMustAct {
				t.Errorf("list %d: %v, want a person to act", list, err)
			}
		}
	}
	plus, refusing, _ := sandboxSMS(t, func(c *sandbox.SenderCodeConfig) { c.RefusesPlus = true })
	if err := refusing.Subscribe(testPhoneList, phone, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := plus.Contact(t.Context(), phone); failure.ClassOf(err) != failure.PersonMustAct || !strings.Contains(err.Error(), "spelling") {
		t.Errorf("a route that takes no plus: %v, want a person to set another spelling", err)
	}
	for _, spelling := range []PhoneSpelling{OnlyDigits, NationalDigits} {
		plus.spelling = spelling
		if contact, found, err := plus.Contact(t.Context(), phone); err != nil || !found || contact.State != Subscribed {
			t.Errorf("spelt %s: %+v, found %v, error %v", spelling, contact, found, err)
		}
	}
}

func TestSMSFaults(t *testing.T) {
	t.Parallel()
	const phone = "+15550001111"
	for _, row := range []struct {
		kind        fault.Kind
		maybe, done bool
	}{{fault.TooManyRequests, false, false}, {fault.ServerError, true, false}, {fault.HTMLError, true, false}, {fault.ErrorAfter, true, true}} {
		client, code, _ := sandboxSMS(t, nil)
		if err := code.Subscribe(testPhoneList, phone, time.Time{}); err != nil {
			t.Fatal(err)
		}
		code.Faults.Set(1, fault.Rule{Operation: "PUT Contact", Kind: row.kind, Times: 1})
		_, err := client.OptOut(t.Context(), phone)
		if f := failure.As(err); f == nil || f.Class != failure.Retry || f.MaybeDone != row.maybe {
			t.Errorf("%s: %v, want a retry, maybe done: %v", row.kind, err, row.maybe)
		}
		if view, _ := code.Phone(phone); view.OptedOut != row.done {
			t.Errorf("%s: opted out %v, want %v", row.kind, view.OptedOut, row.done)
		}
		if _, err := client.OptOut(t.Context(), phone); err != nil {
			t.Errorf("after %s: %v", row.kind, err)
		}
	}
}

func TestVerifySMSAccess(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		what   string
		edit   func(*sandbox.SenderCodeConfig)
		client func(*SMSConfig)
		want   []bool
		shown  string // part of the findings' text and advice
	}{
		{"all is well", nil, nil, []bool{true, true, true, true, true}, `sender code 8 is 54321 of "Shop"`},
		{"double opt-in", nil, func(c *SMSConfig) { c.List = 81 }, []bool{true, true, true, true, true}, "with double opt-in"},
		{"age gate", nil, func(c *SMSConfig) { c.List = 82 }, []bool{true, true, true, true, true}, "with age gate"},
		{"an inactive list", nil, func(c *SMSConfig) { c.List = 83 }, []bool{true, true, false, false, true}, "inactive"},
		{"no such list", nil, func(c *SMSConfig) { c.List = 99 }, []bool{true, true, false, false, true}, "phone list 99 does not exist"},
		{"no such sender code", nil, func(c *SMSConfig) { c.SenderCode = 9 }, []bool{true, false, false, false, false}, "sender code 9 does not exist"},
		{"nothing set", nil, func(c *SMSConfig) { c.SenderCode, c.List = 0, 0 }, []bool{true, false}, "no sender code is set; the integration can see 1"},
		{"no list set", nil, func(c *SMSConfig) { c.List = 0 }, []bool{true, true, false}, "no phone list is set; the sender code has 4"},
		{"a disabled sender code", func(c *sandbox.SenderCodeConfig) { c.Disabled = true }, nil,
			[]bool{true, true, false, false, false}, "enable it in Listrak"},
		{"a paused integration", func(c *sandbox.SenderCodeConfig) { c.Paused = true }, nil, []bool{false}, "of the type SMS and not paused"},
		{"a wrong secret", nil, func(c *SMSConfig) { c.ClientSecret = "wrong" }, []bool{false}, "SMS client id and secret"},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			var edits []func(*SMSConfig)
			if row.client != nil {
				edits = append(edits, row.client)
			}
			client, _, _ := sandboxSMS(t, row.edit, edits...)
			findings := client.VerifyAccess(t.Context())
			var got []bool
			said := ""
			for _, finding := range findings {
				got = append(got, finding.OK)
				said += finding.What + ": " + finding.Advice + "\n"
				if !finding.OK && finding.Advice == "" {
					t.Errorf("no advice for %q", finding.What)
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" || !strings.Contains(said, row.shown) {
				t.Errorf("findings, want %q among them (-want +got):\n%s\n%s", row.shown, diff, said)
			}
		})
	}
	// Paused while a token is out: every call is denied, and that is said.
	client, code, _ := sandboxSMS(t, nil)
	if _, err := client.SenderCodes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := code.Configure(func(c *sandbox.SenderCodeConfig) { c.NoAccess = true }); err != nil {
		t.Fatal(err)
	}
	findings := client.VerifyAccess(t.Context())
	if last := findings[len(findings)-1]; len(findings) != 6 || !strings.Contains(last.What, "denies every call") ||
		slices.ContainsFunc(findings[1:], func(f Finding) bool { return f.OK }) {
		t.Errorf("findings of an integration that is denied everything: %+v", findings)
	}
}
