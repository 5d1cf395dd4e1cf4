package list

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	then  = "2026-11-22T14:03:07.123" // when each test begins
	later = "2026-11-22T14:13:07.123" // ten minutes on
)

// The rules of POST Contact, each from a state, over HTTP.
func TestPostContact(t *testing.T) {
	t.Parallel()
	const who = "Ann@Example.com"
	subscribed := func(l *listrak) { require.NoError(l.t, l.Subscribe(who, time.Time{}, MethodForm)) }
	unsubscribed := func(l *listrak) {
		subscribed(l)
		require.NoError(l.t, l.Unsubscribe(who, time.Time{}, MethodLink))
	}
	doubleOptIn := func(c *Config) { c.DoubleOptIn = true }
	same := func(s SameState) func(*Config) { return func(c *Config) { c.SameState = s } }
	refused := func(why Refusal) func(*listrak) {
		return func(l *listrak) { require.NoError(l.t, l.Refuse(who, why)) }
	}
	type dates struct{ subscribe, resubscribe, unsubscribe string }
	for _, test := range []struct {
		name             string
		config           func(*Config)
		before           func(*listrak)
		parameters       string
		state            string
		code             string // empty: taken
		after            State  // empty: no contact
		dates            dates
		effective, moved bool
		point            []int
	}{
		{name: "a newcomer is subscribed, and the events say where", state: "Subscribed", parameters: "eventIds=2",
			after: Subscribed, dates: dates{subscribe: later}, effective: true, moved: true, point: []int{2}},
		{name: "a newcomer without a state is subscribed", after: Subscribed, dates: dates{subscribe: later},
			effective: true, moved: true},
		{name: "several events are raised, each once", state: "Subscribed", parameters: "eventIds=2,1,2", after: Subscribed,
			dates: dates{subscribe: later}, effective: true, moved: true, point: []int{2, 1}},
		{name: "an unknown event refuses the write", state: "Subscribed", parameters: "eventIds=99", code: CodeInvalidParameter},
		{name: "a word for an event refuses the write", state: "Subscribed", parameters: "eventIds=checkout",
			code: CodeInvalidParameter},
		{name: "a blocked event refuses the write", state: "Subscribed", parameters: "eventIds=3", code: CodeInvalidParameter},
		{name: "a blocked event may be ignored", config: func(c *Config) { c.IgnoreBlockedEvents = true }, state: "Subscribed",
			parameters: "eventIds=3,1", after: Subscribed, dates: dates{subscribe: later},
			effective: true, moved: true, point: []int{1}},
		{name: "a state that is none", state: "Maybe", code: CodeInvalidParameter},
		{name: "pending cannot be written", state: "Pending", code: CodeInvalidParameter},
		{name: "an update type that is none", state: "Subscribed", parameters: "updateType=Melt", code: CodeInvalidParameter},

		{name: "double opt-in makes a newcomer wait", config: doubleOptIn, state: "Subscribed", parameters: "eventIds=1",
			after: Pending, effective: true, moved: true, point: []int{1}},
		{name: "who waits cannot be subscribed", config: doubleOptIn, before: subscribed, state: "Subscribed", code: CodePending,
			after: Pending},
		{name: "who waits cannot be unsubscribed", config: doubleOptIn, before: subscribed, state: "Unsubscribed",
			code: CodeNotSubscribed, after: Pending},

		{name: "banned", before: refused(Banned), state: "Subscribed", code: CodeBanned},
		{name: "suppressed", before: refused(Suppressed), state: "Subscribed", code: CodeSuppressed},
		{name: "invalid", before: refused(Invalid), state: "Subscribed", code: CodeInvalidParameter},
		{name: "banned after leaving", before: func(l *listrak) { unsubscribed(l); refused(Banned)(l) },
			parameters: "overrideUnsubscribe=true", state: "Subscribed", code: CodeBanned, after: Unsubscribed,
			dates: dates{subscribe: then, unsubscribe: then}},
		{name: "banned after leaving, overridden without a state",
			before: func(l *listrak) { unsubscribed(l); refused(Banned)(l) }, parameters: "overrideUnsubscribe=true",
			code: CodeBanned, after: Unsubscribed, dates: dates{subscribe: then, unsubscribe: then}},
		{name: "subscribing again with the override and no state", before: unsubscribed, parameters: "overrideUnsubscribe=true",
			after: Subscribed, dates: dates{subscribe: then, resubscribe: later, unsubscribe: then},
			effective: true, moved: true},
		{name: "a banned one may leave", before: func(l *listrak) { subscribed(l); refused(Banned)(l) }, state: "Unsubscribed",
			after: Unsubscribed, dates: dates{subscribe: then, unsubscribe: later}, effective: true, moved: true},

		{name: "unsubscribing", before: subscribed, state: "Unsubscribed", after: Unsubscribed,
			dates: dates{subscribe: then, unsubscribe: later}, effective: true, moved: true},
		{name: "unsubscribing nobody", state: "Unsubscribed", code: CodeNotSubscribed},
		{name: "unsubscribing with events", before: subscribed, state: "Unsubscribed", parameters: "eventIds=1",
			code: CodeUnsubscribeWithEvents, after: Subscribed, dates: dates{subscribe: then}},
		{name: "unsubscribing twice moves the date", before: unsubscribed, state: "Unsubscribed", after: Unsubscribed,
			dates: dates{subscribe: then, unsubscribe: later}, moved: true},
		{name: "unsubscribing twice answers an error", config: same(AnswersError), before: unsubscribed, state: "Unsubscribed",
			code: CodeUnsubscribed, after: Unsubscribed, dates: dates{subscribe: then, unsubscribe: then}},
		{name: "unsubscribing twice keeps the date", config: same(KeepsDates), before: unsubscribed, state: "Unsubscribed",
			after: Unsubscribed, dates: dates{subscribe: then, unsubscribe: then}},

		{name: "subscribing again needs the override", before: unsubscribed, state: "Subscribed", after: Unsubscribed,
			dates: dates{subscribe: then, unsubscribe: then}},
		{name: "without the override, not with events", before: unsubscribed, state: "Subscribed", parameters: "eventIds=1",
			code: CodeUpdateUnsubscribedEvent, after: Unsubscribed, dates: dates{subscribe: then, unsubscribe: then}},
		{name: "overrideUnsubscribe=false is none", before: unsubscribed, state: "Subscribed",
			parameters: "overrideUnsubscribe=false", after: Unsubscribed, dates: dates{subscribe: then, unsubscribe: then}},
		{name: "subscribing again with the override", before: unsubscribed, state: "Subscribed",
			parameters: "overrideUnsubscribe=true&eventIds=1", after: Subscribed,
			dates: dates{subscribe: then, resubscribe: later, unsubscribe: then}, effective: true, moved: true, point: []int{1}},

		{name: "subscribing twice moves the date", before: subscribed, state: "Subscribed", parameters: "eventIds=1",
			after: Subscribed, dates: dates{subscribe: then, resubscribe: later}, moved: true, point: []int{1}},
		{name: "subscribing twice answers an error", config: same(AnswersError), before: subscribed, state: "Subscribed",
			parameters: "eventIds=1", code: CodeSubscribed, after: Subscribed, dates: dates{subscribe: then}},
		{name: "subscribing twice keeps the date", config: same(KeepsDates), before: subscribed, state: "Subscribed",
			parameters: "eventIds=1", after: Subscribed, dates: dates{subscribe: then}},
		{name: "an update without a state keeps the date", before: subscribed, parameters: "eventIds=1", after: Subscribed,
			dates: dates{subscribe: then}},

		{name: "an address cannot be changed with events", before: subscribed,
			parameters: "newEmailAddress=bo@example.com&eventIds=1", code: CodeChangeWithEvents, after: Subscribed,
			dates: dates{subscribe: then}},
		{name: "an address cannot be changed to nonsense", before: subscribed, parameters: "newEmailAddress=bo",
			code: CodeInvalidParameter, after: Subscribed, dates: dates{subscribe: then}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := signedIn(t, test.config)
			if test.before != nil {
				test.before(l)
			}
			l.clock.pass(10 * time.Minute)
			reply := l.post(test.parameters, "ann@example.com", test.state)
			if test.code != "" {
				reply.refused(http.StatusBadRequest, test.code)
			} else {
				require.Equalf(t, http.StatusCreated, reply.status, "body: %s", reply.body)
				require.Equal(t, "201", reply.field("status"))
			}

			writes := l.Writes()
			if test.code == CodeInvalidParameter && strings.Contains(test.parameters, "checkout") {
				require.Empty(t, writes, "the request did not get as far as the model")
			} else {
				require.Len(t, writes, 1)
				require.Equal(t, test.code, writes[0].Code)
				require.Equal(t, test.effective, writes[0].Effective, "effective")
				require.Equal(t, test.moved, writes[0].Redated, "redated")
				require.Equal(t, "POST Contact", writes[0].Operation)
				require.Equal(t, State(test.state), writes[0].State)
				require.True(t, writes[0].At.Equal(l.clock.now()))
			}
			if test.after == "" {
				l.get("/v1/List/7/Contact/ann@example.com").refused(http.StatusNotFound, CodeNoResource)
				return
			}
			shown := l.contact("ann@example.com")
			require.Equal(t, string(test.after), shown.SubscriptionState)
			got := dates{given(shown.SubscribeDate), given(shown.ResubscribeDate), given(shown.UnsubscribeDate)}
			require.Equal(t, test.dates, got)
			require.Equal(t, reply.status == http.StatusCreated, reply.field("resourceId") == shown.EmailKey)
			view, known := l.Contact("ANN@example.com")
			require.True(t, known)
			require.Equal(t, test.point, view.SubscriptionEvents)
		})
	}
}

func TestAContactAsShown(t *testing.T) {
	t.Parallel()
	l := signedIn(t, nil)
	body := `{"emailAddress":"Ann@Example.com","subscriptionState":"Subscribed","externalContactID":"gid://shopify/Customer/1",
		"segmentationFieldValues":[{"segmentationFieldId":5,"value":"blue"},{"segmentationFieldId":6,"value":"M"}]}`
	require.Equal(t, http.StatusCreated, l.send(l.request(http.MethodPost, "/v1/List/7/Contact", body)).status)

	shown := l.contact("ann@example.com")
	// The digest is of the lower-case address: printf %s ann@example.com | sha256sum
	require.Equal(t, "71d4f55f72fa128dfb468a1a3901507c804b74316488744d769d7f4b16696476", shown.UniversalEmailKey)
	require.Equal(t, shownContact{EmailAddress: "Ann@Example.com", EmailKey: shown.EmailKey, UniversalEmailKey: shown.UniversalEmailKey,
		SubscriptionState: "Subscribed", SubscribeDate: pointer(then), SubscribeMethod: pointer(MethodAPI),
		ExternalContactID: pointer("gid://shopify/Customer/1"), SegmentationFieldValues: shown.SegmentationFieldValues}, shown)
	require.Empty(t, shown.SegmentationFieldValues, "profile fields are shown only on request")
	raw := l.get("/v1/List/7/Contact/" + shown.EmailKey + "?segmentationFieldIds=6,9")
	require.Contains(t, raw.body, `"segmentationFieldValues":[{"segmentationFieldId":6,"value":"M"}]`, "by email key, with one field")
	require.Contains(t, raw.body, `"unsubscribeDate":null`, "Listrak writes null, it does not leave the field out")

	withFields := `{"emailAddress":"ann@example.com","subscriptionState":"Unsubscribed",
		"segmentationFieldValues":[{"segmentationFieldId":5,"value":"red"}]}`
	l.send(l.request(http.MethodPost, "/v1/List/7/Contact", withFields)).refused(http.StatusBadRequest, CodeUnsubscribeWithFields)
	l.send(l.request(http.MethodPost, "/v1/List/7/Contact?newEmailAddress=bo@example.com",
		strings.Replace(withFields, "Unsubscribed", "Subscribed", 1))).refused(http.StatusBadRequest, CodeChangeWithFields)

	for update, want := range map[string]map[int]string{
		"Append": {5: "blue", 6: "M"}, "Update": {5: "red", 6: "M"}, "Overwrite": {5: "red"}} {
		_, err := l.Upsert(Upsert{Email: "ann@example.com", Fields: map[int]string{5: "blue", 6: "M"}, UpdateType: Overwrite})
		require.NoError(t, err)
		_, err = l.Upsert(Upsert{Email: "ann@example.com", Fields: map[int]string{5: "red"}, UpdateType: UpdateType(update)})
		require.NoError(t, err)
		view, _ := l.Contact("ann@example.com")
		require.Equal(t, want, view.Fields, update)
	}
}

func TestChangingAnAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		before func(*testing.T, *Store)
		code   string
	}{
		{name: "to a free one", before: func(*testing.T, *Store) {}},
		{name: "to a subscribed one",
			before: func(t *testing.T, s *Store) { require.NoError(t, s.Subscribe("bo@example.com", time.Time{}, "")) },
			code:   CodeSubscribedNew},
		{name: "to an unsubscribed one", before: func(t *testing.T, s *Store) {
			require.NoError(t, s.Subscribe("bo@example.com", time.Time{}, ""))
			require.NoError(t, s.Unsubscribe("bo@example.com", time.Time{}, ""))
		}, code: CodeChangeToUnsubscribed},
		{name: "to a pending one", before: func(t *testing.T, s *Store) {
			require.NoError(t, s.Configure(func(c *Config) { c.DoubleOptIn = true }))
			require.NoError(t, s.Subscribe("bo@example.com", time.Time{}, ""))
		}, code: CodePendingNew},
		{name: "to a banned one",
			before: func(t *testing.T, s *Store) { require.NoError(t, s.Refuse("bo@example.com", Banned)) }, code: CodeBannedNew},
		{name: "to a suppressed one",
			before: func(t *testing.T, s *Store) { require.NoError(t, s.Refuse("bo@example.com", Suppressed)) },
			code:   CodeSuppressedNew},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := signedIn(t, nil)
			require.NoError(t, l.Subscribe("ann@example.com", time.Time{}, ""))
			test.before(t, l.Store)
			reply := l.post("newEmailAddress=bo@example.com", "ann@example.com", "")
			if test.code != "" {
				reply.refused(http.StatusBadRequest, test.code)
				require.Equal(t, "ann@example.com", l.contact("ann@example.com").EmailAddress)
				return
			}
			require.Equal(t, http.StatusCreated, reply.status)
			l.get("/v1/List/7/Contact/ann@example.com").refused(http.StatusNotFound, CodeNoResource)
			require.Equal(t, then, *l.contact("bo@example.com").SubscribeDate)
		})
	}
	t.Run("of nobody", func(t *testing.T) {
		t.Parallel()
		signedIn(t, nil).post("newEmailAddress=bo@example.com", "ann@example.com", "").refused(http.StatusNotFound, CodeNoResource)
	})
}

func TestDoubleOptIn(t *testing.T) {
	t.Parallel()
	l := signedIn(t, func(c *Config) { c.DoubleOptIn = true })
	require.Equal(t, http.StatusCreated, l.post("eventIds=1", "ann@example.com", "Subscribed").status)
	require.Equal(t, "Pending", l.contact("ann@example.com").SubscriptionState)
	require.Nil(t, l.contact("ann@example.com").SubscribeDate)
	require.NoError(t, l.Configure(func(c *Config) { c.HidePending = true }))
	l.get("/v1/List/7/Contact/ann@example.com").refused(http.StatusNotFound, CodeNoResource)
	for _, state := range []State{Subscribed, Unsubscribed} {
		page, err := l.ReadContacts(Query{State: state, Cursor: Start, Count: 10})
		require.NoError(t, err)
		require.Emptyf(t, page.Contacts, "a pending contact is not among the %s", state)
	}

	l.clock.pass(10 * time.Minute)
	require.NoError(t, l.Confirm("ann@example.com"))
	require.Equal(t, later, *l.contact("ann@example.com").SubscribeDate)
	view, _ := l.Contact("ann@example.com")
	require.Equal(t, []int{1}, view.SubscriptionEvents, "the point is the one of the write that asked")
	require.ErrorContains(t, l.Confirm("ann@example.com"), "not pending")
	require.ErrorIs(t, l.Confirm("bo@example.com"), ErrNoContact)
}

func TestThePersonsActs(t *testing.T) {
	t.Parallel()
	l := signedIn(t, func(c *Config) { c.ClockSkew = time.Hour })
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	require.NoError(t, l.Subscribe("ann@example.com", day(1), MethodImport))
	require.NoError(t, l.Unsubscribe("ANN@example.com", day(2), MethodBounce))
	require.NoError(t, l.Subscribe("ann@example.com", day(3), ""))
	view, _ := l.Contact("ann@example.com")
	require.Equal(t, Contact{Email: "ann@example.com", EmailKey: view.EmailKey, UniversalEmailKey: view.UniversalEmailKey, State: Subscribed,
		SubscribedAt: day(1).Add(time.Hour), ResubscribedAt: day(3).Add(time.Hour), SubscribeMethod: MethodForm,
		UnsubscribedAt: day(2).Add(time.Hour), UnsubscribeMethod: MethodBounce}, view, "dates are by Listrak's skewed clock")
	require.Equal(t, day(3).Add(time.Hour), view.Date())
	require.Empty(t, l.Writes(), "the person's acts are no API writes")

	require.NoError(t, l.Delete("ann@example.com"))
	require.ErrorIs(t, l.Delete("ann@example.com"), ErrNoContact)
	require.ErrorIs(t, l.Unsubscribe("ann@example.com", time.Time{}, ""), ErrNoContact)
	l.get("/v1/List/7/Contact/"+view.EmailKey).refused(http.StatusNotFound, CodeNoResource)
	require.NoError(t, l.Subscribe("ann@example.com", time.Time{}, ""))
	again, _ := l.Contact("ann@example.com")
	require.NotEqual(t, view.EmailKey, again.EmailKey)
	require.Equal(t, "2026-11-22T15:03:07.123", *l.contact("ann@example.com").SubscribeDate)

	for _, bad := range []string{"", "ann", "Ann <ann@example.com>", "a@example.com, b@example.com", strings.Repeat("a", 260) + "@example.com"} {
		require.Errorf(t, l.Subscribe(bad, time.Time{}, ""), "%q", bad)
	}
	require.NoError(t, l.Refuse("bo@example.com", Banned))
	require.Error(t, l.Subscribe("bo@example.com", time.Time{}, ""))
	require.NoError(t, l.Refuse("bo@example.com", NotRefused))
	require.NoError(t, l.Subscribe("bo@example.com", time.Time{}, ""))
	require.Error(t, l.Refuse("bo@example.com", "disliked"))

	l.Reset()
	require.Empty(t, l.Contacts())
}

func TestDatesAreWallTimeWithoutAnOffset(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	l := signedIn(t, func(c *Config) { c.Zone = zone })
	for email, at := range map[string]time.Time{
		"summer@example.com":  time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC),
		"winter@example.com":  time.Date(2026, 12, 1, 12, 0, 0, 500_000_000, time.UTC),
		"first@example.com":   time.Date(2026, 11, 1, 5, 30, 0, 0, time.UTC), // 01:30 summer time
		"again@example.com":   time.Date(2026, 11, 1, 6, 30, 0, 0, time.UTC), // 01:30 winter time, an hour later
		"between@example.com": time.Date(2026, 11, 1, 6, 15, 0, 0, time.UTC), // 01:15 winter time
	} {
		require.NoError(t, l.Subscribe(email, at, ""))
	}
	for email, shown := range map[string]string{"summer@example.com": "2026-07-01T08:00:00", "winter@example.com": "2026-12-01T07:00:00.5",
		"first@example.com": "2026-11-01T01:30:00", "again@example.com": "2026-11-01T01:30:00"} {
		require.Equal(t, shown, *l.contact(email).SubscribeDate)
	}
	page := data[[]shownContact](l.get("/v1/List/7/Contact?startDate=2026-11-01T01:30:00&endDate=2026-11-02&useOriginalSubscribeDate=false"))
	require.Len(t, page, 2, "the filter knows wall time only: 01:15 of the second hour is before 01:30 of the first")
}

func TestAListOfALaterRunRepeatsNoEmailKey(t *testing.T) {
	t.Parallel()
	clock := newClock()
	key := func() string {
		list, err := New(Config{ID: 1, ClientID: "id", Secret: "secret", Now: clock.now})
		require.NoError(t, err)
		key, err := list.Upsert(Upsert{Email: "a@example.com"})
		require.NoError(t, err)
		return key
	}
	earlier := key()
	clock.pass(time.Second)
	require.NotEqual(t, earlier, key())
}
