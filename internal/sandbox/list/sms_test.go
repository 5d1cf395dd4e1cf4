package list

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/sandbox/fault"
)

const (
	ann   = "+15550001111"
	texts = 80 // a phone list without gates
	gated = 81 // with double opt-in and age gate
	old   = 82 // inactive
)

// newCode is a sender code with three lists, by a clock that only the test moves.
func newCode(t *testing.T, change func(*SenderCodeConfig)) (*SenderCode, *clock) {
	t.Helper()
	c := newClock()
	config := SenderCodeConfig{ID: 8, Name: "Shop", Number: "54321", ClientID: "sms", Secret: "secret", Now: c.now,
		Lists: []PhoneList{{ID: texts, Name: "Texts"}, {ID: gated, DoubleOptIn: true, AgeGate: true}, {ID: old, Inactive: true}}}
	if change != nil {
		change(&config)
	}
	code, err := NewSenderCode(config)
	require.NoError(t, err)
	return code, c
}

// The rules of the four writes, each from a state.
func TestPhoneWrites(t *testing.T) {
	t.Parallel()
	began := newClock().at.Truncate(time.Millisecond)
	soon := began.Add(10 * time.Minute)
	subscribed := func(t *testing.T, s *SenderCode) { require.NoError(t, s.Subscribe(texts, ann, time.Time{})) }
	left := func(t *testing.T, s *SenderCode) {
		subscribed(t, s)
		require.NoError(t, s.Unsubscribe(texts, ann, time.Time{}))
	}
	out := func(t *testing.T, s *SenderCode) {
		subscribed(t, s)
		require.NoError(t, s.Stop(ann, time.Time{}))
	}
	pending := func(t *testing.T, s *SenderCode) { require.NoError(t, s.Subscribe(gated, ann, time.Time{})) }
	refused := func(why PhoneRefusal) func(*testing.T, *SenderCode) {
		return func(t *testing.T, s *SenderCode) { require.NoError(t, s.Refuse(ann, why)) }
	}
	both := func(acts ...func(*testing.T, *SenderCode)) func(*testing.T, *SenderCode) {
		return func(t *testing.T, s *SenderCode) {
			for _, act := range acts {
				act(t, s)
			}
		}
	}
	same := func(state SameState) func(*SenderCodeConfig) {
		return func(c *SenderCodeConfig) { c.SameState = state }
	}
	optedOut := func(answer OptedOutAnswer) func(*SenderCodeConfig) {
		return func(c *SenderCodeConfig) { c.OptedOut = answer }
	}
	missing404 := func(c *SenderCodeConfig) { c.Missing404 = true }
	create := func(list int, number string) func(*SenderCode) error {
		return func(s *SenderCode) error { return s.PostContact(list, number) }
	}
	subscribe := func(list int) func(*SenderCode) error {
		return func(s *SenderCode) error { return s.PostSubscription(list, ann) }
	}
	unsubscribe := func(list int) func(*SenderCode) error {
		return func(s *SenderCode) error { return s.DeleteSubscription(list, ann) }
	}
	put := func(optedOut bool) func(*SenderCode) error {
		return func(s *SenderCode) error { return s.PutContact(ann, optedOut) }
	}
	wait := Subscription{State: Pending, PendingAt: soon, AwaitsOptIn: true, AwaitsAge: true}
	on := func(at time.Time) Phone {
		return Phone{Number: ann, Lists: map[int]Subscription{texts: {State: Subscribed, SubscribedAt: at}}}
	}
	gone := func(at time.Time) Phone {
		return Phone{Number: ann, Lists: map[int]Subscription{texts: {State: Unsubscribed, SubscribedAt: began, UnsubscribedAt: at}}}
	}
	outSince := func(at time.Time, why OptOutReason) Phone {
		phone := on(began)
		phone.OptedOut, phone.OptedOutAt, phone.Reason = true, at, why
		return phone
	}
	outAndBack := func(isOut bool) Phone {
		phone := outSince(began, OptOutCampaign)
		phone.OptedOut = isOut
		phone.Lists[texts] = Subscription{State: Subscribed, SubscribedAt: soon}
		return phone
	}
	for _, row := range []struct {
		name             string
		config           func(*SenderCodeConfig)
		before           func(*testing.T, *SenderCode)
		do               func(*SenderCode) error
		code             string // empty: taken
		status           int    // with a code; 0 for 400
		after            Phone  // zero: unknown
		effective, moved bool
	}{
		{name: "a newcomer is created and subscribed", do: create(texts, ann), after: on(soon), effective: true, moved: true},
		{name: "ten digits are a number of +1", do: create(texts, ann[2:]), after: on(soon), effective: true, moved: true},
		{name: "a list with gates makes a newcomer wait", do: create(gated, ann),
			after:     Phone{Number: ann, Lists: map[int]Subscription{gated: wait}},
			effective: true, moved: true},
		{name: "creating twice", before: subscribed, do: create(texts, ann), code: CodePhoneFound, after: on(began)},
		{name: "creating on another list whom the code knows", before: pending, do: create(texts, ann), code: CodePhoneFound,
			after: Phone{Number: ann, Lists: map[int]Subscription{gated: {State: Pending, PendingAt: began, AwaitsOptIn: true, AwaitsAge: true}}}},
		{name: "creating who is opted out", before: out, do: create(texts, ann), code: CodePhoneFound, after: outSince(began, OptOutCampaign)},
		{name: "creating no number", do: create(texts, "555-CALL"), code: CodeInvalidPhone},
		{name: "creating nothing", do: create(texts, ""), code: CodeInvalidPhone},
		{name: "creating who is banned", before: refused(PhoneBanned), do: create(texts, ann), code: CodePhoneBanned},
		{name: "creating who is suspended", before: refused(PhoneSuspended), do: create(texts, ann), code: CodePhoneSuspended},
		{name: "creating who is invalid", before: refused(PhoneInvalid), do: create(texts, ann), code: CodeInvalidPhone},
		{name: "creating on an inactive list", do: create(old, ann), code: CodeListInactive},
		{name: "creating on no list", do: create(99, ann), code: CodeInvalidListID},
		{name: "creating on no list, as the examples have it", config: missing404, do: create(99, ann), code: CodeNoResource, status: 404},
		{name: "creating on list 0", do: create(0, ann), code: CodeInvalidListID},
		{name: "creating on a disabled sender code", config: func(c *SenderCodeConfig) { c.Disabled = true }, do: create(texts, ann),
			code: CodeSenderCodeDisabled},

		{name: "subscribing nobody", do: subscribe(texts), code: CodePhoneNotFound},
		{name: "subscribing nobody, as the examples have it", config: missing404, do: subscribe(texts), code: CodeNoResource, status: 404},
		{name: "subscribing to another list", before: pending, do: subscribe(texts), after: Phone{Number: ann, Lists: map[int]Subscription{
			gated: {State: Pending, PendingAt: began, AwaitsOptIn: true, AwaitsAge: true}, texts: {State: Subscribed, SubscribedAt: soon}}}, effective: true, moved: true},
		{name: "subscribing twice moves the date", before: subscribed, do: subscribe(texts), after: on(soon), moved: true},
		{name: "subscribing twice answers an error", config: same(AnswersError), before: subscribed, do: subscribe(texts),
			code: CodePhoneSubscribed, after: on(began)},
		{name: "subscribing twice keeps the date", config: same(KeepsDates), before: subscribed, do: subscribe(texts), after: on(began)},
		{name: "subscribing who waits", before: pending, do: subscribe(gated), code: CodePhonePending,
			after: Phone{Number: ann, Lists: map[int]Subscription{gated: {State: Pending, PendingAt: began, AwaitsOptIn: true, AwaitsAge: true}}}},
		{name: "subscribing who left", before: left, do: subscribe(texts), after: Phone{Number: ann, Lists: map[int]Subscription{
			texts: {State: Subscribed, SubscribedAt: soon, UnsubscribedAt: began}}}, effective: true, moved: true},
		{name: "subscribing who is banned", before: both(left, refused(PhoneBanned)), do: subscribe(texts),
			code: CodePhoneBanned, after: gone(began)},
		{name: "subscribing who is opted out is refused", before: out, do: subscribe(texts),
			code: CodePhoneBanned, after: outSince(began, OptOutCampaign)},
		{name: "subscribing who is opted out is refused otherwise", config: optedOut(RefusesSuspended), before: out, do: subscribe(texts),
			code:  CodePhoneSuspended,
			after: outSince(began, OptOutCampaign)},
		{name: "subscribing who is opted out stays out", config: optedOut(StaysOut), before: out, do: subscribe(texts),
			after: outAndBack(true), moved: true},
		{name: "subscribing who is opted out opts in", config: optedOut(OptsIn), before: out, do: subscribe(texts),
			after: outAndBack(false), effective: true, moved: true},

		{name: "unsubscribing", before: subscribed, do: unsubscribe(texts), after: gone(soon), effective: true, moved: true},
		{name: "unsubscribing nobody", do: unsubscribe(texts), code: CodePhoneNotFound},
		{name: "unsubscribing from a list that never had them", before: pending, do: unsubscribe(texts), code: CodePhoneNotSubscribed,
			after: Phone{Number: ann, Lists: map[int]Subscription{gated: {State: Pending, PendingAt: began, AwaitsOptIn: true, AwaitsAge: true}}}},
		{name: "unsubscribing who waits", before: pending, do: unsubscribe(gated), code: CodePhoneNotSubscribed,
			after: Phone{Number: ann, Lists: map[int]Subscription{gated: {State: Pending, PendingAt: began, AwaitsOptIn: true, AwaitsAge: true}}}},
		{name: "unsubscribing twice moves the date", before: left, do: unsubscribe(texts), after: gone(soon), moved: true},
		{name: "unsubscribing twice answers an error", config: same(AnswersError), before: left, do: unsubscribe(texts),
			code: CodePhoneNotSubscribed, after: gone(began)},
		{name: "unsubscribing twice keeps the date", config: same(KeepsDates), before: left, do: unsubscribe(texts), after: gone(began)},
		{name: "a banned one may leave", before: both(subscribed, refused(PhoneBanned)), do: unsubscribe(texts),
			after: gone(soon), effective: true, moved: true},

		{name: "opting out", before: subscribed, do: put(true), after: outSince(soon, OptOutAPI), effective: true, moved: true},
		{name: "opting out that ends the subscriptions", config: func(c *SenderCodeConfig) { c.OptOutLeavesLists = true }, before: subscribed, do: put(true),
			after: Phone{Number: ann, OptedOut: true, OptedOutAt: soon, Reason: OptOutAPI, Lists: gone(soon).Lists}, effective: true, moved: true},
		{name: "opting nobody out", do: put(true), code: CodePhoneNotFound},
		{name: "opting nobody out, as the examples have it", config: missing404, do: put(true), code: CodeNoResource, status: 404},
		{name: "opting out twice moves the date", before: out, do: put(true), after: outSince(soon, OptOutAPI), moved: true},
		{name: "opting out twice keeps the date", config: same(KeepsDates), before: out, do: put(true), after: outSince(began, OptOutCampaign)},
		{name: "no code exists for opting out twice", config: same(AnswersError), before: out, do: put(true),
			after: outSince(began, OptOutCampaign)},
		{name: "nobody is opted in", before: out, do: put(false), after: outSince(began, OptOutCampaign)},
		{name: "updating who is banned", before: both(subscribed, refused(PhoneBanned)), do: put(true), code: CodePhoneBanned, after: on(began)},
		{name: "opting out on a disabled sender code", config: func(c *SenderCodeConfig) { c.Disabled = true }, before: subscribed, do: put(true),
			code: CodeSenderCodeDisabled, after: on(began)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			code, clock := newCode(t, row.config)
			if row.before != nil {
				row.before(t, code)
			}
			clock.pass(10 * time.Minute)
			err := row.do(code)
			if row.code == "" {
				require.NoError(t, err)
			} else {
				var refusal *Error
				require.ErrorAs(t, err, &refusal)
				require.Equal(t, row.code, refusal.Code)
				require.Equal(t, max(row.status, 400), refusal.Status)
			}
			after, known := code.Phone(ann)
			require.Equal(t, row.after.Number != "", known)
			if diff := cmp.Diff(row.after, after); diff != "" {
				t.Errorf("after (-want +got):\n%s", diff)
			}
			writes := code.Writes()
			require.Len(t, writes, 1)
			require.Equal(t, row.code, writes[0].Code)
			require.Equal(t, [2]bool{row.effective, row.moved}, [2]bool{writes[0].Effective, writes[0].Redated}, "effective and redated")
			require.Equal(t, clock.now(), writes[0].At)
		})
	}
}

func TestWhatPeopleDoByText(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name         string
		leaves, keep bool
		// states and dates of the list texts, in minutes after the beginning, after STOP at minute 10 and after START at minute 20
		stopped, started Subscription
	}{
		{name: "START dates anew", stopped: Subscription{State: Subscribed, SubscribedAt: minute(0)},
			started: Subscription{State: Subscribed, SubscribedAt: minute(20)}},
		{name: "START keeps the dates", keep: true, stopped: Subscription{State: Subscribed, SubscribedAt: minute(0)},
			started: Subscription{State: Subscribed, SubscribedAt: minute(0)}},
		{name: "STOP ends the subscriptions", leaves: true, stopped: Subscription{State: Unsubscribed, SubscribedAt: minute(0), UnsubscribedAt: minute(10)},
			started: Subscription{State: Subscribed, SubscribedAt: minute(20), UnsubscribedAt: minute(10)}},
		{name: "STOP ends the subscriptions, START keeps the dates", leaves: true, keep: true,
			stopped: Subscription{State: Unsubscribed, SubscribedAt: minute(0), UnsubscribedAt: minute(10)},
			started: Subscription{State: Subscribed, SubscribedAt: minute(0), UnsubscribedAt: minute(10)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			code, _ := newCode(t, func(c *SenderCodeConfig) {
				c.OptOutLeavesLists, c.StartKeepsDates, c.StopReason = row.leaves, row.keep, OptOutWorkflow
				c.Lists = append(c.Lists, PhoneList{ID: 84})
			})
			phone := func() Phone {
				p, known := code.Phone(ann)
				require.True(t, known)
				return p
			}
			require.NoError(t, code.Subscribe(texts, ann, minute(0)))
			require.NoError(t, code.Subscribe(84, ann, minute(0)))
			require.NoError(t, code.Unsubscribe(84, ann, minute(1)))
			elsewhere := phone().Lists[84]
			require.True(t, phone().Consents(texts))
			require.False(t, phone().Consents(84))
			require.NoError(t, code.Stop(ann, minute(10)))
			require.Equal(t, row.stopped, phone().Lists[texts])
			require.Equal(t, OptOutWorkflow, phone().Reason)
			require.Equal(t, minute(10), phone().OptedOutAt)
			require.False(t, phone().Consents(texts))
			require.NoError(t, code.Start(ann, minute(20)))
			require.Equal(t, row.started, phone().Lists[texts])
			require.Equal(t, elsewhere, phone().Lists[84], "whoever left a list by themselves is not brought back to it")
			require.True(t, phone().Consents(texts))
			require.ErrorContains(t, code.Start(ann, minute(21)), "not opted out")
		})
	}
}

func minute(n int) time.Time {
	return time.Date(2026, 11, 22, 12, n, 0, 0, time.UTC)
}

func TestGatesImportsAndForgetting(t *testing.T) {
	t.Parallel()
	code, clock := newCode(t, nil)
	require.NoError(t, code.Subscribe(gated, ann, time.Time{}))
	require.NoError(t, code.Subscribe(gated, ann, time.Time{}), "who waits goes on waiting")
	clock.pass(time.Minute)
	require.NoError(t, code.Confirm(gated, ann))
	confirmed, _ := code.Phone(ann)
	require.Equal(t, Subscribed, confirmed.Lists[gated].State)
	require.Equal(t, clock.now().Truncate(time.Millisecond), confirmed.Lists[gated].SubscribedAt)
	require.ErrorContains(t, code.Confirm(gated, ann), "subscribed, not pending")
	require.NoError(t, code.Subscribe(gated, ann, time.Time{}))
	again, _ := code.Phone(ann)
	require.Equal(t, Subscribed, again.Lists[gated].State, "whoever passed the gates passes no more")

	require.NoError(t, code.OptOut("+15550002222", time.Time{}, OptOutImport), "an import opts out whom nobody knew")
	require.NoError(t, code.Refuse("+15550003333", PhoneBanned))
	taken, err := code.Import(gated, []string{ann, "15550002222", "5550003333", "+4915112345678"}, time.Time{})
	require.NoError(t, err)
	require.Equal(t, 2, taken)
	imported, _ := code.Phone("4915112345678")
	require.Equal(t, Subscribed, imported.Lists[gated].State, "an import asks nobody")
	require.Equal(t, 3, code.Len())

	require.NoError(t, code.Subscribe(texts, "+15550002222", time.Time{}))
	in, _ := code.Phone("+15550002222")
	require.True(t, in.Consents(texts), "who subscribes by a text is opted in by it")

	for _, reason := range []OptOutReason{OptOutDeactivated, OptOutPermanentError, OptOutDeliveryFailure, OptOutAdmin} {
		require.NoError(t, code.OptOut(ann, time.Time{}, reason))
		out, _ := code.Phone(ann)
		require.Equal(t, reason, out.Reason)
	}
	require.ErrorContains(t, code.OptOut(ann, time.Time{}, "Boredom"), "Boredom")
	require.NoError(t, code.Delete("5550001111"))
	_, known := code.Phone(ann)
	require.False(t, known)

	for act, err := range map[string]error{
		"stop": code.Stop(ann, time.Time{}), "start": code.Start(ann, time.Time{}), "delete": code.Delete(ann), "confirm": code.Confirm(gated, ann),
		"unsubscribe": code.Unsubscribe(texts, ann, time.Time{}),
	} {
		require.ErrorIs(t, err, ErrNoContact, act)
	}
	_, imports := code.Import(99, []string{ann}, time.Time{})
	for act, err := range map[string]error{
		"subscribe": code.Subscribe(99, ann, time.Time{}), "confirm": code.Confirm(99, ann),
		"unsubscribe": code.Unsubscribe(99, ann, time.Time{}), "import": imports,
	} {
		require.ErrorIs(t, err, ErrNoPhoneList, act)
	}
	for _, number := range []string{"", "+", "555", "+0123456789", "+1234567890123456", "+1 555 000 1111", "ann@example.com"} {
		for act, err := range map[string]error{
			"subscribe": code.Subscribe(texts, number, time.Time{}), "stop": code.Stop(number, time.Time{}), "refuse": code.Refuse(number, PhoneBanned),
		} {
			require.Errorf(t, err, "%s %q", act, number)
			if number != "" && number != "+" {
				require.NotContainsf(t, err.Error(), number, "%s", act)
			}
		}
	}
	require.ErrorContains(t, code.Refuse(ann, "ugly"), "ugly")
	require.ErrorContains(t, code.Subscribe(texts, "+15550003333", time.Time{}), "banned")
	require.NoError(t, code.Refuse("+15550003333", PhoneNotRefused))
	require.NoError(t, code.Subscribe(texts, "+15550003333", time.Time{}))

	require.NotEmpty(t, code.Phones())
	code.Reset()
	require.Empty(t, code.Phones())
	page, err := code.ReadOptOuts(PhoneQuery{Cursor: Start, Count: 10})
	require.NoError(t, err)
	require.Empty(t, page.Phones)
}

// Whatever happens in between, the pages hold what the model says, each phone number once if it does not change.
func TestPhonePagesAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, seed))
		code, clock := newCode(t, func(c *SenderCodeConfig) {
			c.OptOutLeavesLists, c.StartKeepsDates, c.OnlySubscribed = seed%2 == 0, seed%3 == 0, seed%5 == 0
			c.Zone, _ = time.LoadLocation("America/New_York")
		})
		for range 300 {
			clock.pass(time.Duration(random.IntN(3)) * time.Minute)
			number := fmt.Sprintf("+1555000%04d", random.IntN(40))
			list := []int{texts, gated}[random.IntN(2)]
			// Many of these are refused in the state that the number is in, which is as good.
			switch random.IntN(9) {
			case 0:
				_ = code.Subscribe(list, number, time.Time{})
			case 1:
				_ = code.Confirm(list, number)
			case 2:
				_ = code.Unsubscribe(list, number, time.Time{})
			case 3:
				_ = code.Stop(number, time.Time{})
			case 4:
				_ = code.Start(number, time.Time{})
			case 5:
				_ = code.PostContact(list, number)
			case 6:
				_ = code.PostSubscription(list, number)
			case 7:
				_ = code.PutContact(number, true)
			case 8:
				if random.IntN(4) == 0 {
					_ = code.Delete(number)
				}
			}
		}
		if seed%4 == 0 { // The zone changes and the places with it.
			require.NoError(t, code.Configure(func(c *SenderCodeConfig) { c.Zone = time.FixedZone("far", 14*3600) }))
		}
		from := code.Wall(clock.now().Add(-time.Duration(random.IntN(300)) * time.Minute))
		config := code.Config()
		for _, query := range []PhoneQuery{{List: texts}, {List: gated}, {List: texts, OptedOut: true}, {List: gated, From: from}, {}, {From: from}} {
			read := code.ReadContacts
			if query.List == 0 {
				read = code.ReadOptOuts
			}
			var want, got []string
			for _, phone := range code.Phones() {
				held, on := phone.Lists[query.List]
				date := held.SubscribedAt
				if query.List == 0 {
					on, date = phone.OptedOut, phone.OptedOutAt
				} else if on = on && phone.OptedOut == query.OptedOut; config.OnlySubscribed {
					on = on && held.State == Subscribed
				}
				if on && (query.From.IsZero() || !date.IsZero() && !code.Wall(date).Before(query.From)) {
					want = append(want, phone.Number)
				}
			}
			for query.Cursor, query.Count = Start, 3; query.Cursor != ""; {
				page, err := read(query)
				require.NoError(t, err)
				require.LessOrEqual(t, len(page.Phones), 3)
				for _, phone := range page.Phones {
					got = append(got, phone.Number)
				}
				query.Cursor = page.Next
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("seed %d, %+v (-want +got):\n%s", seed, query, diff)
			}
		}
	}
}

func TestPhoneCursorsBelongToTheirQuestion(t *testing.T) {
	t.Parallel()
	code, _ := newCode(t, nil)
	for n := range 4 {
		number := fmt.Sprintf("+1555000%04d", n)
		require.NoError(t, code.Subscribe(texts, number, minute(n)))
		require.NoError(t, code.OptOut(fmt.Sprintf("+1666000%04d", n), minute(n), OptOutImport))
	}
	page, err := code.ReadContacts(PhoneQuery{List: texts, Cursor: Start, Count: 2})
	require.NoError(t, err)
	require.NotEmpty(t, page.Next)
	for _, query := range []PhoneQuery{{List: gated}, {List: texts, OptedOut: true}, {List: texts, From: minute(1)}, {}} {
		query.Cursor, query.Count = page.Next, 2
		read := code.ReadContacts
		if query.List == 0 {
			read = code.ReadOptOuts
		}
		_, err := read(query)
		require.ErrorContainsf(t, err, CodeInvalidParameter, "%+v", query)
	}
	for _, count := range []int{0, -1, MaxCount + 1} {
		_, err := code.ReadOptOuts(PhoneQuery{Cursor: Start, Count: count})
		require.ErrorContains(t, err, CodeInvalidParameter)
	}
	until, err := code.ReadOptOuts(PhoneQuery{Cursor: Start, Count: 10, From: minute(1), To: minute(2)})
	require.NoError(t, err)
	require.Len(t, until.Phones, 2, "both ends are inclusive")
}

func TestSenderCodeConfigSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := NewSenderCode(SenderCodeConfig{Lists: []PhoneList{{ID: 1}, {ID: 1}, {}}, SameState: "sometimes", OptedOut: "maybe", StopReason: "Boredom",
		Spelling: "dashes", Latency: -1})
	for _, says := range []string{"at least 1", "client id", "phone list 1", "phone list 0", "sometimes", "maybe", "Boredom", "dashes", "negative"} {
		require.ErrorContains(t, err, says)
	}
	code, _ := newCode(t, nil)
	require.ErrorContains(t, code.Configure(func(c *SenderCodeConfig) { c.Lists = c.Lists[1:] }), "cannot change")
	require.Len(t, code.Config().Lists, 3)
	require.NoError(t, code.Configure(func(c *SenderCodeConfig) { c.ID, c.Lists[0].Inactive = 99, true }))
	require.Equal(t, 8, code.Config().ID)
	require.True(t, code.Config().Lists[0].Inactive)
}

// texting is a server with one sender code and one email list of the same account, and a signed-in client.
type texting struct {
	*SenderCode
	t      *testing.T
	clock  *clock
	server *Server
	web    *httptest.Server
	bearer string
}

func startTexting(t *testing.T, change func(*SenderCodeConfig)) *texting {
	t.Helper()
	code, clock := newCode(t, change)
	server := NewServer(clock.now)
	email, err := New(Config{ID: 7, ClientID: "client", Secret: "secret", Now: clock.now})
	require.NoError(t, err)
	require.NoError(t, server.Add(email))
	require.NoError(t, server.AddSenderCode(code))
	mux := http.NewServeMux()
	mux.Handle("/sms/", http.StripPrefix("/sms", server.SMSAPI()))
	mux.Handle("/email/", http.StripPrefix("/email", server.API()))
	mux.Handle("/OAuth2/", server.Auth())
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	x := &texting{SenderCode: code, t: t, clock: clock, server: server, web: web}
	x.bearer = x.token("sms", "secret")
	return x
}

// token signs in; empty when that is refused.
func (x *texting) token(client, secret string) string {
	x.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secret}}
	response, err := x.web.Client().PostForm(x.web.URL+"/OAuth2/Token", form)
	require.NoError(x.t, err)
	defer func() { require.NoError(x.t, response.Body.Close()) }()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(x.t, json.NewDecoder(response.Body).Decode(&answer))
	return answer.AccessToken
}

// ask makes a request with "METHOD path" and returns the status and what came.
func (x *texting) ask(what, body string) (int, string) {
	x.t.Helper()
	method, path, _ := strings.Cut(what, " ")
	request, err := http.NewRequestWithContext(x.t.Context(), method, x.web.URL+path, strings.NewReader(body))
	require.NoError(x.t, err)
	request.Header.Set("Authorization", "Bearer "+x.bearer)
	request.Header.Set("Content-Type", "application/json")
	response, err := x.web.Client().Do(request)
	require.NoError(x.t, err)
	defer func() { require.NoError(x.t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(x.t, err)
	require.Equal(x.t, x.Clock().UTC().Format(http.TimeFormat), response.Header.Get("Date"), "the Date header follows Listrak's clock")
	return response.StatusCode, strings.TrimSpace(string(text))
}

const smsBase = "/sms/v1/ShortCode/8"

func TestSMSRoutes(t *testing.T) {
	t.Parallel()
	x := startTexting(t, func(c *SenderCodeConfig) { c.ClockSkew, c.Zone = time.Minute, time.FixedZone("", -5*3600) })
	const phone = "%2B15550001111"
	for _, row := range []struct {
		ask, body string
		status    int
		answer    string // all of it, or a code in it
	}{
		{"GET /sms/v1/ShortCode", "", 200, `{"data":[{"code":"54321","country":"US","merchantName":"Shop","shortCodeId":8}],"status":200}`},
		{"GET " + smsBase + "/PhoneList", "", 200,
			`{"data":[{"phoneListId":80,"phoneListName":"Texts","requireAgeGate":false,"requireDoubleOptIn":false,"status":"active"},` +
				`{"phoneListId":81,"phoneListName":"Phone list 81","requireAgeGate":true,"requireDoubleOptIn":true,"status":"active"}],` +
				`"nextPageCursor":null,"status":200}`},
		{"GET " + smsBase + "/PhoneList?status=inactive", "", 200,
			`{"data":[{"phoneListId":82,"phoneListName":"Phone list 82","requireAgeGate":false,"requireDoubleOptIn":false,"status":"inactive"}],` +
				`"nextPageCursor":null,"status":200}`},
		{"GET " + smsBase + "/PhoneList?status=odd", "", 400, CodeInvalidParameter},
		{"GET " + smsBase + "/PhoneList?count=0", "", 400, CodeInvalidParameter},
		{"GET " + smsBase + "/Contact/" + phone, "", 404, CodeNoResource},
		{"GET " + smsBase + "/Contact/" + phone + "/PhoneList", "", 404, CodeNoResource},
		{"GET " + smsBase + "/Contact/555-CALL", "", 400, CodeInvalidPhone},
		{"POST " + smsBase + "/PhoneList/80/Contact", `{"phoneNumber":"+15550001111"}`, 201, `{"resourceId":"+15550001111","status":201}`},
		{"POST " + smsBase + "/PhoneList/80/Contact", `{"phoneNumber":"15550001111"}`, 400, CodePhoneFound},
		{"POST " + smsBase + "/PhoneList/80/Contact", `{"phoneNumber":`, 400, CodeMalformedBody},
		{"POST " + smsBase + "/Contact/5550001111/PhoneList/81", "", 201, `{"resourceId":"5550001111","status":201}`},
		{"GET " + smsBase + "/Contact/" + phone + "/PhoneList", "", 200,
			`{"data":[{"pendingAgeGate":false,"pendingDate":null,"pendingDoubleOptIn":false,"phoneListId":80,` +
				`"subscribeDate":"2026-11-22T09:04:07.123","subscriptionState":"Subscribed","unsubscribeDate":null},` +
				`{"pendingAgeGate":true,"pendingDate":"2026-11-22T09:04:07.123","pendingDoubleOptIn":true,"phoneListId":81,` +
				`"subscribeDate":null,"subscriptionState":"Pending","unsubscribeDate":null}],` +
				`"nextPageCursor":null,"status":200}`},
		{"GET " + smsBase + "/PhoneList/80/Contact?startSubscribeDate=2026-11-22T09:04:07", "", 200,
			`{"data":[{"optedOut":false,"phoneNumber":"+15550001111"}],"nextPageCursor":null,"status":200}`},
		{"GET " + smsBase + "/PhoneList/80/Contact?startSubscribeDate=2026-11-22T09:04:08", "", 200, `{"data":[],"nextPageCursor":null,"status":200}`},
		{"GET " + smsBase + "/PhoneList/80/Contact?startSubscribeDate=yesterday", "", 400, CodeInvalidParameter},
		{"GET " + smsBase + "/PhoneList/80/Contact?cursor=nonsense", "", 400, CodeInvalidParameter},
		{"GET " + smsBase + "/PhoneList/99/Contact", "", 404, CodeNoResource},
		{"GET " + smsBase + "/PhoneList/82/Contact", "", 400, CodeListInactive},
		{"DELETE " + smsBase + "/ContactUnsubscribe/" + phone + "/PhoneList/80", "", 200, `{"status":200}`},
		// The segment matters: …/Contact/… has no DELETE.
		{"DELETE " + smsBase + "/Contact/" + phone + "/PhoneList/80", "", 405, CodeUnsupportedMethod},
		{"POST " + smsBase + "/ContactUnsubscribe/" + phone + "/PhoneList/80", "", 405, CodeUnsupportedMethod},
		{"PUT " + smsBase + "/Contact", `{"phoneNumber":"+15550001111","optedOut":true}`, 200, `{"resourceId":"+15550001111","status":200}`},
		{"PUT " + smsBase + "/Contact", `{"phoneNumber":"+15550002222","optedOut":true}`, 400, CodePhoneNotFound},
		{"GET " + smsBase + "/Contact/" + phone, "", 200,
			`{"data":{"optedOut":true,"phoneNumber":"+15550001111","subscribeDate":"2026-11-22T09:04:07.123",` +
				`"unsubscribeDate":"2026-11-22T09:04:07.123"},"status":200}`},
		{"GET " + smsBase + "/OptOut?startDate=2026-11-22&endDate=2026-11-23", "", 200,
			`{"data":[{"optOutDate":"2026-11-22T09:04:07.123","optOutReason":"API","phoneNumber":"+15550001111"}],"nextPageCursor":null,"status":200}`},
		{"GET " + smsBase + "/OptOut?endDate=2026-11-21", "", 200, `{"data":[],"nextPageCursor":null,"status":200}`},
		{"GET " + smsBase + "/PhoneList/80/Contact?optedOut=true", "", 200,
			`{"data":[{"optedOut":true,"phoneNumber":"+15550001111"}],"nextPageCursor":null,"status":200}`},
		{"GET " + smsBase + "/PhoneList/eighty/Contact", "", 400, CodeInvalidParameter},
		{"GET " + smsBase + "/PhoneLists", "", 404, CodeUnknownRoute},
		{"GET " + smsBase + "/Contact/a%2Fb", "", 404, CodeUnknownRoute},
		{"GET " + smsBase + "/Contact/a%26b", "", 400, CodeUnsafeRoute},
		{"PATCH " + smsBase + "/Contact", "", 405, CodeUnsupportedMethod},
	} {
		status, answer := x.ask(row.ask, row.body)
		if status != row.status || row.status < 300 && answer != row.answer || !strings.Contains(answer, row.answer) {
			t.Errorf("%s %s\n got %d %s\nwant %d %s", row.ask, row.body, status, answer, row.status, row.answer)
		}
	}
	require.NoError(t, x.Configure(func(c *SenderCodeConfig) {
		c.UnpagedOptOuts, c.NumberedReasons, c.HidesOptOutDate, c.Spelling, c.Zone = true, true, true, NationalDigits, time.UTC
	}))
	_, answer := x.ask("GET "+smsBase+"/OptOut?count=1", "")
	require.Equal(t, `{"status":200,"data":[{"optOutDate":"2026-11-22T14:04:07.123","optOutReason":4,"phoneNumber":"5550001111"}]}`, answer,
		"as the document types it")
	_, answer = x.ask("GET "+smsBase+"/Contact/"+phone, "")
	require.Contains(t, answer, `"unsubscribeDate":null`)
}

func TestWhoMayCallTheSMSAPI(t *testing.T) {
	t.Parallel()
	x := startTexting(t, nil)
	status := func(path string) int {
		t.Helper()
		got, _ := x.ask("GET "+path, "")
		return got
	}
	require.Equal(t, 200, status(smsBase+"/PhoneList"))
	require.Empty(t, x.token("sms", "wrong"))
	other, err := NewSenderCode(SenderCodeConfig{ID: 9, ClientID: "other", Secret: "secret", Now: x.clock.now, Lists: []PhoneList{{ID: 90}}})
	require.NoError(t, err)
	require.NoError(t, x.server.AddSenderCode(other))
	got, answer := x.ask("GET /sms/v1/ShortCode/9/OptOut", "")
	require.Equalf(t, 404, got, "the sender code of another account does not exist: %s", answer)

	// Each API has integrations of its own.
	own := x.bearer
	request := func(bearer, path string) int {
		x.bearer = bearer
		defer func() { x.bearer = own }()
		return status(path)
	}
	require.Equal(t, 401, request(x.token("client", "secret"), smsBase+"/PhoneList"))
	require.Equal(t, 401, request(own, "/email/v1/List"))
	require.Equal(t, 401, request("nonsense", smsBase+"/PhoneList"))

	require.NoError(t, x.Configure(func(c *SenderCodeConfig) { c.NoAccess = true }))
	require.Equal(t, 401, status(smsBase+"/PhoneList"))
	require.NoError(t, x.Configure(func(c *SenderCodeConfig) { c.NoAccess, c.Paused = false, true }))
	require.Equal(t, 401, status(smsBase+"/PhoneList"))
	require.Empty(t, x.token("sms", "secret"))
	require.NoError(t, x.Configure(func(c *SenderCodeConfig) { c.Paused, c.RatePerSecond = false, 2 }))
	require.Equal(t, []int{200, 200, 429}, []int{status(smsBase + "/PhoneList"), status(smsBase + "/PhoneList"), status(smsBase + "/PhoneList")})
	x.clock.pass(time.Hour)
	require.Equal(t, 401, status(smsBase+"/PhoneList"), "a token lives an hour")

	for says, config := range map[string]SenderCodeConfig{
		"another kind":               {ID: 10, ClientID: "client", Secret: "s"},
		"there is a phone list 80":   {ID: 10, ClientID: "c", Secret: "s", Lists: []PhoneList{{ID: 80}}},
		"there is a sender code 8 a": {ID: 8, ClientID: "c", Secret: "s"},
	} {
		code, err := NewSenderCode(config)
		require.NoError(t, err)
		require.ErrorContains(t, x.server.AddSenderCode(code), says)
	}
	require.Equal(t, []*SenderCode{x.SenderCode, other}, x.server.SenderCodes())
	require.Same(t, other, x.server.SenderCodeOf(90))
	require.Nil(t, x.server.SenderCode(99))
	_, err = x.server.AddPrivacy(PrivacyConfig{ClientID: "sms", Secret: "s", Account: "client"})
	require.ErrorContains(t, err, "taken")
}

func TestSMSFaultsByOperation(t *testing.T) {
	t.Parallel()
	x := startTexting(t, nil)
	require.NoError(t, x.Subscribe(texts, ann, time.Time{}))
	for operation, ask := range map[string]string{
		"GET SenderCodes": "GET /sms/v1/ShortCode", "GET PhoneLists": "GET " + smsBase + "/PhoneList",
		"GET Contacts": "GET " + smsBase + "/PhoneList/80/Contact", "GET Contact": "GET " + smsBase + "/Contact/" + ann,
		"GET Subscriptions": "GET " + smsBase + "/Contact/" + ann + "/PhoneList", "GET OptOuts": "GET " + smsBase + "/OptOut",
		"POST Contact": "POST " + smsBase + "/PhoneList/80/Contact", "POST Subscription": "POST " + smsBase + "/Contact/" + ann + "/PhoneList/80",
		"DELETE Subscription": "DELETE " + smsBase + "/ContactUnsubscribe/" + ann + "/PhoneList/80", "PUT Contact": "PUT " + smsBase + "/Contact",
	} {
		x.Faults.Set(1, fault.Rule{Operation: operation, Kind: fault.ServerError})
		status, _ := x.ask(ask, "{}")
		require.Equal(t, http.StatusServiceUnavailable, status, operation)
		x.Faults.Set(1)
		status, answer := x.ask(ask, `{}`)
		require.Less(t, status, 500, "%s: %s", operation, answer)
	}
	x.Faults.Set(1, fault.Rule{Operation: "token", Kind: fault.ServerError})
	require.Empty(t, x.token("sms", "secret"))
	// Done, and said to have failed.
	x.Faults.Set(1, fault.Rule{Operation: "DELETE Subscription", Kind: fault.ErrorAfter, Times: 1})
	status, _ := x.ask("DELETE "+smsBase+"/ContactUnsubscribe/"+ann+"/PhoneList/80", "")
	require.Equal(t, http.StatusInternalServerError, status)
	phone, _ := x.Phone(ann)
	require.Equal(t, Unsubscribed, phone.Lists[texts].State)
}

func TestARouteThatTakesNoPlus(t *testing.T) {
	t.Parallel()
	x := startTexting(t, func(c *SenderCodeConfig) { c.RefusesPlus = true })
	require.NoError(t, x.Subscribe(texts, ann, time.Time{}))
	for phone, want := range map[string]int{"+15550001111": 404, "%2B15550001111": 404, "15550001111": 200, "5550001111": 200} {
		status, answer := x.ask("GET "+smsBase+"/Contact/"+phone, "")
		require.Equal(t, want, status, phone)
		require.NotContains(t, answer, "ERROR_", phone)
	}
}

func TestWhoIsForgottenLosesThePhoneNumberToo(t *testing.T) {
	t.Parallel()
	x := startTexting(t, func(c *SenderCodeConfig) { c.Account = "client" })
	stranger, err := NewSenderCode(SenderCodeConfig{ID: 9, ClientID: "other", Secret: "s", Account: "another", Now: x.clock.now,
		Lists: []PhoneList{{ID: 90}}})
	require.NoError(t, err)
	require.NoError(t, x.server.AddSenderCode(stranger))
	require.NoError(t, x.Subscribe(texts, ann, time.Time{}))
	require.NoError(t, stranger.Subscribe(90, ann, time.Time{}))
	privacy, err := x.server.AddPrivacy(PrivacyConfig{ClientID: "privacy", Secret: "s", Account: "client", Now: x.clock.now})
	require.NoError(t, err)
	_, err = privacy.submit("", ann)
	require.NoError(t, err)
	require.Zero(t, x.Len())
	require.Equal(t, 1, stranger.Len(), "another account remembers")
}

func TestManyTextAtOnce(t *testing.T) {
	t.Parallel()
	code, _ := newCode(t, nil)
	var group sync.WaitGroup
	for n := range 32 {
		group.Go(func() {
			number := fmt.Sprintf("+1555000%04d", n)
			for range 20 {
				_ = code.PostContact(texts, number)
				_ = code.PutContact(number, true)
				_ = code.Start(number, time.Time{})
				if _, err := code.ReadContacts(PhoneQuery{List: texts, Cursor: Start, Count: 7}); err != nil {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	group.Wait()
	require.Equal(t, 32, code.Len())
	require.Len(t, code.Writes(), 32*20*2)
}
