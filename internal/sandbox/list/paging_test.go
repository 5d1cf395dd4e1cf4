package list

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type pageReply struct {
	addresses []string
	next      string // "null" at the end
}

func (l *listrak) page(parameters url.Values) pageReply {
	l.t.Helper()
	reply := l.get("/v1/List/7/Contact?" + parameters.Encode())
	page := pageReply{addresses: []string{}, next: reply.field("nextPageCursor")}
	for _, contact := range data[[]shownContact](reply) {
		page.addresses = append(page.addresses, contact.EmailAddress)
	}
	return page
}

func TestContactCollection(t *testing.T) {
	t.Parallel()
	l := signedIn(t, nil)
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	require.NoError(t, l.Subscribe("old@example.com", day(1), ""))
	require.NoError(t, l.Subscribe("back@example.com", day(2), ""))
	require.NoError(t, l.Unsubscribe("back@example.com", day(3), ""))
	require.NoError(t, l.Subscribe("back@example.com", day(8), ""))
	require.NoError(t, l.Subscribe("gone@example.com", day(4), ""))
	require.NoError(t, l.Unsubscribe("gone@example.com", day(9), ""))
	require.NoError(t, l.Subscribe("new@example.com", day(10), ""))
	_, err := l.Upsert(Upsert{Email: "old@example.com", ExternalID: "x1"})
	require.NoError(t, err)

	for _, test := range []struct {
		name  string
		query string
		want  []string
	}{
		{"subscribed ones by default", "", []string{"old", "back", "new"}},
		{"unsubscribed ones", "subscriptionState=Unsubscribed", []string{"gone"}},
		{"the default filter misses who came back", "startDate=2026-01-05", []string{"new"}},
		{"the latest date finds who came back", "startDate=2026-01-05&useOriginalSubscribeDate=false", []string{"back", "new"}},
		{"start is inclusive", "startDate=2026-01-08T00:00:00&useOriginalSubscribeDate=false", []string{"back", "new"}},
		{"a millisecond later is not", "startDate=2026-01-08T00:00:00.001&useOriginalSubscribeDate=false", []string{"new"}},
		{"start between two milliseconds", "startDate=2026-01-08T00:00:00.0001&useOriginalSubscribeDate=false", []string{"new"}},
		{"end is exclusive on the latest date", "endDate=2026-01-08&useOriginalSubscribeDate=false", []string{"old"}},
		{"end is inclusive on the original date", "endDate=2026-01-02", []string{"old", "back"}},
		{"the dates of unsubscribed ones are when they left",
			"subscriptionState=Unsubscribed&startDate=2026-01-09&endDate=2026-01-10&useOriginalSubscribeDate=false",
			[]string{"gone"}},
		{"and not when they came",
			"subscriptionState=Unsubscribed&startDate=2026-01-01&endDate=2026-01-09&useOriginalSubscribeDate=false", nil},
		{"an empty span", "startDate=2026-01-10&endDate=2026-01-01", nil},
		{"by external contact id", "externalContactId=x1", []string{"old"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := *l
			l.t = t
			parameters, err := url.ParseQuery(test.query)
			require.NoError(t, err)
			want := []string{}
			for _, name := range test.want {
				want = append(want, name+"@example.com")
			}
			require.Equal(t, pageReply{want, "null"}, l.page(parameters))
		})
	}
	for _, bad := range []string{"subscriptionState=Pending", "subscriptionState=subscribed", "count=0", "count=5001", "count=-1", "count=many",
		"cursor=start", "cursor=bm90IGEgY3Vyc29y", "startDate=yesterday", "endDate=2026-13-01", "useOriginalSubscribeDate=perhaps"} {
		t.Run("refuses "+bad, func(t *testing.T) {
			t.Parallel()
			l := *l
			l.t = t
			l.get("/v1/List/7/Contact?"+bad).refused(http.StatusBadRequest, CodeInvalidParameter)
		})
	}
}

func TestACursorBelongsToItsQuestion(t *testing.T) {
	t.Parallel()
	l := signedIn(t, nil)
	for n := range 3 {
		require.NoError(t, l.Subscribe(fmt.Sprintf("p%d@example.com", n), time.Time{}, ""))
	}
	first := l.page(url.Values{"count": {"2"}})
	require.Equal(t, []string{"p0@example.com", "p1@example.com"}, first.addresses)
	require.Equal(t, pageReply{[]string{"p2@example.com"}, "null"}, l.page(url.Values{"count": {"2"}, "cursor": {first.next}}))
	for _, other := range []url.Values{{"subscriptionState": {"Unsubscribed"}}, {"useOriginalSubscribeDate": {"false"}}, {"startDate": {"2026-01-01"}}} {
		other.Set("cursor", first.next)
		l.get("/v1/List/7/Contact?"+other.Encode()).refused(http.StatusBadRequest, CodeInvalidParameter)
	}
}

// Whatever others do between the pages: who stays as they are is read exactly once; and who was dated anew while being subscribed
// is never lost, since the new date lies ahead of the cursor.
func TestPagingLosesNobody(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		s, err := New(Config{ID: 1, ClientID: "c", Secret: "s", Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		people := rapid.IntRange(0, 30).Draw(t, "people")
		address := func(n int) string { return fmt.Sprintf("p%d@example.com", n) }
		touched, redated := map[string]bool{}, map[string]bool{}
		for n := range people {
			// Many share a date, so that pages end between equal ones.
			c.pass(time.Duration(rapid.IntRange(0, 1).Draw(t, "gap")) * time.Millisecond)
			if err := s.Subscribe(address(n), time.Time{}, ""); err != nil {
				t.Fatal(err)
			}
		}
		query := Query{State: Subscribed, Original: rapid.Bool().Draw(t, "original"), Cursor: Start,
			Count: rapid.IntRange(1, 7).Draw(t, "count")}
		seen := map[string]int{}
		for pages := 0; ; pages++ {
			if pages > 200 {
				t.Fatal("paging does not end")
			}
			page, err := s.ReadContacts(query)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Contacts) > query.Count {
				t.Fatalf("%d contacts on a page of %d", len(page.Contacts), query.Count)
			}
			for _, contact := range page.Contacts {
				seen[contact.Email]++
			}
			if page.Next == "" {
				break
			}
			query.Cursor = page.Next
			c.pass(time.Millisecond)
			if people == 0 || pages > 20 {
				continue
			}
			who := address(rapid.IntRange(0, people-1).Draw(t, "who"))
			switch rapid.IntRange(0, 3).Draw(t, "act") {
			case 0:
				if _, known := s.Contact(who); known {
					err = s.Unsubscribe(who, time.Time{}, "")
				}
				touched[who] = true
			case 1:
				if contact, known := s.Contact(who); known && contact.State == Subscribed && !touched[who] {
					redated[who] = true
				} else {
					touched[who] = true
				}
				err = s.Subscribe(who, time.Time{}, "")
			case 2:
				if _, known := s.Contact(who); known {
					err = s.Delete(who)
				}
				touched[who] = true
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for n := range people {
			who := address(n)
			switch {
			case touched[who]:
			case redated[who] && seen[who] == 0:
				t.Fatalf("%s was dated anew and lost", who)
			case !redated[who] && seen[who] != 1:
				t.Fatalf("%s stayed as they were and was read %d times", who, seen[who])
			}
		}
	})
}

// The indexes must agree with the contacts after any history.
func TestIndexesAgreeWithContacts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		s, err := New(Config{ID: 1, ClientID: "c", Secret: "s", Now: c.now, DoubleOptIn: rapid.Bool().Draw(t, "double opt-in"),
			SameState: rapid.SampledFrom([]SameState{MovesDates, AnswersError, KeepsDates}).Draw(t, "same state")})
		if err != nil {
			t.Fatal(err)
		}
		zone := time.FixedZone("elsewhere", -5*3600)
		for range rapid.IntRange(0, 40).Draw(t, "acts") {
			who := rapid.SampledFrom([]string{"a@example.com", "b@example.com", "c@example.com"}).Draw(t, "who")
			at := c.now().Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "seconds")) * time.Second)
			// Refusals are part of the history; what counts is the state they leave.
			switch rapid.IntRange(0, 7).Draw(t, "act") {
			case 0:
				_ = s.Subscribe(who, at, "")
			case 1:
				_ = s.Unsubscribe(who, at, "")
			case 2:
				_ = s.Delete(who)
			case 3:
				_ = s.Confirm(who)
			case 4:
				_, _ = s.Upsert(Upsert{Email: who, State: Subscribed, Override: rapid.Bool().Draw(t, "override")})
			case 5:
				_, _ = s.Upsert(Upsert{Email: who, State: Unsubscribed})
			case 6:
				_, _ = s.Upsert(Upsert{Email: who, NewEmail: "d@example.com"})
			case 7:
				if err := s.Configure(func(c *Config) { c.Zone = zone }); err != nil {
					t.Fatal(err)
				}
			}
			c.pass(time.Second)
		}
		want := map[State][]string{}
		for _, contact := range s.Contacts() {
			want[contact.State] = append(want[contact.State], contact.Email)
		}
		for _, query := range []Query{{State: Subscribed}, {State: Subscribed, Original: true}, {State: Unsubscribed}} {
			query.Cursor, query.Count = Start, MaxCount
			page, err := s.ReadContacts(query)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for n, contact := range page.Contacts {
				got = append(got, contact.Email)
				if n > 0 && !query.Original && contact.Date().Before(page.Contacts[n-1].Date()) {
					t.Fatalf("%+v is not in the order of dates", query)
				}
			}
			slices.Sort(got)
			slices.Sort(want[query.State])
			if !slices.Equal(got, want[query.State]) {
				t.Fatalf("%+v shows %v, the contacts are %v", query, got, want[query.State])
			}
		}
	})
}

// BenchmarkPaging reads a million contacts in pages of 5000.
func BenchmarkPaging(b *testing.B) {
	c := newClock()
	s, err := New(Config{ID: 1, ClientID: "c", Secret: "s", Now: c.now})
	require.NoError(b, err)
	const people = 1_000_000
	for n := range people {
		require.NoError(b, s.Subscribe(fmt.Sprintf("person%d@example.com", n), c.now().Add(time.Duration(n)*time.Millisecond), ""))
	}
	for b.Loop() {
		read, query := 0, Query{State: Subscribed, Cursor: Start, Count: MaxCount}
		for query.Cursor != "" {
			page, err := s.ReadContacts(query)
			require.NoError(b, err)
			read += len(page.Contacts)
			query.Cursor = page.Next
		}
		require.Equal(b, people, read)
	}
}
