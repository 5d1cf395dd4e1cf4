package listrak

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concordsync/concord/internal/failure"
	sandbox "github.com/concordsync/concord/internal/sandbox/list"
)

// sandboxList runs the sandbox's Listrak, which another hand wrote from the same contract, and a client for it.
func sandboxList(t *testing.T, edit func(*sandbox.Config)) (*Client, *sandbox.Store, *sandbox.Server) {
	t.Helper()
	config := sandbox.Config{ID: testList, Name: "Shop", ClientID: testID, Secret: testSecret, Zone: newYork, Events: []sandbox.Event{
		{ID: 1, Name: "Marketing"}, {ID: 2, Name: "Blocked", Status: sandbox.EventBlocked}}}
	if edit != nil {
		edit(&config)
	}
	store, err := sandbox.New(config)
	if err != nil {
		t.Fatal(err)
	}
	listrak := sandbox.NewServer(time.Now)
	if err := listrak.Add(store); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/OAuth2/Token" {
			listrak.Auth().ServeHTTP(w, r)
			return
		}
		listrak.API().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	client, err := New(Config{BaseURL: server.URL, AuthURL: server.URL + "/OAuth2/Token", ClientID: testID, ClientSecret: testSecret,
		List: testList, Zone: newYork, RatePerSecond: 10_000, HTTP: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return client, store, listrak
}

func TestAPersonsWayThroughTheSandbox(t *testing.T) {
	t.Parallel()
	for _, same := range []sandbox.SameState{sandbox.MovesDates, sandbox.AnswersError, sandbox.KeepsDates} {
		t.Run(string(same), func(t *testing.T) {
			t.Parallel()
			client, store, listrak := sandboxList(t, func(c *sandbox.Config) { c.SameState = same })
			const address = "o'neil+news@example.com"
			read := func(want State) Contact {
				t.Helper()
				contact, found, err := client.Contact(t.Context(), address)
				if err != nil || !found || contact.State != want || contact.Address != address {
					t.Fatalf("contact %+v, found %v, error %v; want %s", contact, found, err, want)
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
			if _, found, err := client.Contact(t.Context(), address); found || err != nil {
				t.Fatalf("before all: found %v, error %v", found, err)
			}
			began := time.Now()
			done := write(client.Subscribe(t.Context(), address, SubscribeOptions{EventIDs: []int{1}, ExternalID: "gid://shopify/Customer/1"}))
			ended := time.Now()
			contact := read(Subscribed)
			want := ZoneProof{ZoneProven, offset(began, newYork), offset(began, newYork)}
			if got := ProveZone(contact.RawDate, newYork, began, ended, done.ServerTime); got != want {
				t.Errorf("the zone of %s: %+v, want %+v", contact.RawDate, got, want)
			}
			again := write(client.Subscribe(t.Context(), address, SubscribeOptions{EventIDs: []int{1}}))
			if again.AlreadySo != (same == sandbox.AnswersError) {
				t.Errorf("subscribed again: %+v", again)
			}
			listrak.ExpireTokens()
			write(client.Unsubscribe(t.Context(), address))
			left := read(Unsubscribed)
			if again := write(client.Unsubscribe(t.Context(), address)); again.AlreadySo != (same == sandbox.AnswersError) {
				t.Errorf("unsubscribed again: %+v", again)
			}
			// Without Override nobody comes back, whatever Listrak answers.
			if _, err := client.Subscribe(t.Context(), address, SubscribeOptions{EventIDs: []int{1}}); err != nil && failure.ClassOf(err) != failure.Retry {
				t.Errorf("subscribing an unsubscribed contact: %v", err)
			}
			read(Unsubscribed)
			write(client.Subscribe(t.Context(), address, SubscribeOptions{EventIDs: []int{1}, Override: true}))
			if back := read(Subscribed); back.Date.Before(left.Date) {
				t.Errorf("came back at %s, left at %s", back.Date, left.Date)
			}
			if view, found := store.Contact(address); !found || view.ExternalContactID != "gid://shopify/Customer/1" {
				t.Errorf("in Listrak: %+v, found %v", view, found)
			}
		})
	}
}

func TestTheSandboxsPagesAndFindings(t *testing.T) {
	t.Parallel()
	client, store, _ := sandboxList(t, nil)
	began := time.Now()
	for n := range 5203 {
		address := fmt.Sprintf("person%d@example.com", n)
		at := began.Add(time.Duration(n-5202) * time.Minute)
		if err := store.Subscribe(address, at.Add(-time.Hour), "Subscription Form"); err != nil {
			t.Fatal(err)
		}
		if n%1000 == 0 {
			if err := store.Unsubscribe(address, at, "Unsubscribe Link"); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := func(query ContactQuery) (people, pages int) {
		seen := map[string]bool{}
		for {
			page, err := client.Contacts(t.Context(), query)
			if err != nil {
				t.Fatalf("read a page: %v", err)
			}
			pages++
			for _, contact := range page.Contacts {
				if contact.State != query.State || contact.Date.IsZero() {
					t.Fatalf("a contact of the list of %s: %+v", query.State, contact)
				}
				seen[contact.Address] = true
			}
			if query.Cursor = page.Next; query.Cursor == "" {
				return len(seen), pages
			}
		}
	}
	if people, pages := count(ContactQuery{State: Subscribed}); people != 5197 || pages != 2 {
		t.Errorf("%d subscribed on %d pages, want 5197 on 2", people, pages)
	}
	if people, _ := count(ContactQuery{State: Unsubscribed}); people != 6 {
		t.Errorf("%d unsubscribed, want 6", people)
	}
	if people, _ := count(ContactQuery{State: Unsubscribed, Since: began.Add(-1500 * time.Minute)}); people != 1 && people != 2 {
		t.Errorf("%d unsubscribed of late, want 1, or 2 in the hours when the clocks go back", people)
	}
	var got []bool
	for _, finding := range client.VerifyAccess(t.Context(), 1, 2, 3) {
		got = append(got, finding.OK)
	}
	if diff := cmp.Diff([]bool{true, true, true, true, true, false, false}, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestWhatTheSandboxRefuses(t *testing.T) {
	t.Parallel()
	client, store, _ := sandboxList(t, nil)
	for _, events := range [][]int{{2}, {3}} {
		_, err := client.Subscribe(t.Context(), "a@example.com", SubscribeOptions{EventIDs: events})
		if failure.ClassOf(err) != failure.PersonMustAct {
			t.Errorf("event %v: %v, want a person to act", events, err)
		}
	}
	if _, err := client.Subscribe(t.Context(), "no address", SubscribeOptions{EventIDs: []int{1}}); failure.ClassOf(err) != failure.Refused {
		t.Errorf("no address: %v, want refused", err)
	}
	// No address may stop the merchant, look deleted because of its characters, or find somebody else.
	if err := store.Subscribe("b@example.com", time.Now(), "Subscription Form"); err != nil {
		t.Fatal(err)
	}
	for _, address := range hostile {
		if _, found, err := client.Contact(t.Context(), address); found || err != nil && failure.ClassOf(err) != failure.Refused {
			t.Errorf("%.60q: found %v, error %v; want nobody, or refused", address, found, err)
		}
	}
	if _, err := client.Contacts(t.Context(), ContactQuery{State: Subscribed, Cursor: "nonsense"}); err == nil {
		t.Error("a cursor that never was is taken")
	}
	pending, _, _ := sandboxList(t, func(c *sandbox.Config) { c.DoubleOptIn = true })
	if _, err := pending.Subscribe(t.Context(), "a@example.com", SubscribeOptions{EventIDs: []int{1}}); err != nil {
		t.Fatal(err)
	}
	if contact, found, err := pending.Contact(t.Context(), "a@example.com"); err != nil || !found || contact.State != Pending {
		t.Errorf("after a subscription with double opt-in: %+v, found %v, error %v; want pending", contact, found, err)
	}
	if result, err := pending.Subscribe(t.Context(), "a@example.com", SubscribeOptions{}); err != nil || !result.Pending {
		t.Errorf("a second one: %+v, error %v; want pending", result, err)
	}
}
