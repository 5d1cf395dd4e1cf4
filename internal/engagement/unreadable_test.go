package engagement_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/list"
)

// listWith is a list some of whose answers a test takes the place of. An error of nil lets the call through.
type listWith struct {
	engagement.List
	asked    int
	summary  func(listrak.MessageRef) error
	activity func(listrak.MessageRef) error
	// conversation and transactional are asked when those are listed.
	conversation  func(int) error
	transactional func() error
	// each is called before every call.
	each func()
}

func (l *listWith) begin() {
	if l.each != nil {
		l.each()
	}
}

func (l *listWith) ConversationMessages(ctx context.Context, conversation int, cursor string) (listrak.MessagePage, error) {
	l.begin()
	if l.conversation != nil {
		if err := l.conversation(conversation); err != nil {
			return listrak.MessagePage{}, err
		}
	}
	return l.List.ConversationMessages(ctx, conversation, cursor)
}

func (l *listWith) TransactionalMessages(ctx context.Context) ([]listrak.Message, error) {
	l.begin()
	if l.transactional != nil {
		if err := l.transactional(); err != nil {
			return nil, err
		}
	}
	return l.List.TransactionalMessages(ctx)
}

func (l *listWith) Summary(ctx context.Context, ref listrak.MessageRef) (listrak.Summary, error) {
	l.begin()
	l.asked++
	if l.summary != nil {
		if err := l.summary(ref); err != nil {
			return listrak.Summary{}, err
		}
	}
	return l.List.Summary(ctx, ref)
}

func (l *listWith) Activity(ctx context.Context, ref listrak.MessageRef, q listrak.ActivityQuery) (listrak.ActivityPage, error) {
	l.begin()
	if l.activity != nil {
		if err := l.activity(ref); err != nil {
			return listrak.ActivityPage{}, err
		}
	}
	return l.List.Activity(ctx, ref, q)
}

// listed puts a listWith between the keeper and the list.
func (w *world) listed() *listWith {
	w.Helper()
	account, err := w.keeper.Connect(w.Context(), w.id)
	require.NoError(w, err)
	l := &listWith{List: account.Listrak}
	account.Listrak = l
	w.keeper.Connect = func(context.Context, string) (engagement.Account, error) { return account, nil }
	return l
}

// TestAMessageThatCannotBeReadKeepsNoOtherFromIt: those that were due longest always came first, and of each pass the first failure was the end.
func TestAMessageThatCannotBeReadKeepsNoOtherFromIt(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]error{
		"500":             listrak.Refusal("read", http.StatusInternalServerError, "", false),
		"an unknown code": listrak.Refusal("read", http.StatusBadRequest, "ERROR_OF_TOMORROW", false),
		"an odd date":     &failure.Error{Class: failure.Retry, Op: "read", Code: "UNREADABLE_ANSWER"},
		"a time-out":      &failure.Error{Class: failure.Retry, Op: "read", Code: "TIMEOUT"},
		"no cursor lives": listrak.LostCursor("read"),
		"refused":         listrak.Refusal("read", http.StatusBadRequest, "ERROR_INVALID_PARAMETER", false),
	} {
		for _, where := range []string{"summary", "activity"} {
			t.Run(name+"/"+where, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, options{})
				w.set(map[consent.Sync]bool{consent.EmailEvents: true})
				bad := map[int]bool{}
				for range 7 {
					id, _ := w.send("Bad", 2)
					bad[id] = true
				}
				w.clock.advance(time.Second)
				good, emails := w.send("Good", 3)
				l := w.listed()
				fail := func(ref listrak.MessageRef) error {
					if bad[ref.ID] {
						return failed
					}
					return nil
				}
				if where == "summary" {
					l.summary = fail
				} else {
					l.activity = fail
				}
				for range 3 {
					_, _ = w.keeper.Pass(t.Context(), w.id) // it tells of the failures
					w.clock.advance(time.Minute)
				}
				require.Equal(t, w.truth(good), w.toldDays(messageID(good)), "eight messages, of which the last can be read")

				// While they go on failing, they are asked for less and less, and the good one as always.
				l.asked = 0
				w.act(good, emails[0], list.Open)
				for range 30 {
					_, _ = w.keeper.Pass(t.Context(), w.id) // as above
					w.clock.advance(time.Minute)
				}
				require.Equal(t, w.truth(good), w.toldDays(messageID(good)))
				require.Less(t, l.asked, 30+7*8, "summaries asked for in 30 passes")

				l.summary, l.activity = nil, nil
				w.clock.advance(24 * time.Hour)
				w.pass()
				for id := range bad {
					require.Equal(t, w.truth(id), w.toldDays(messageID(id)), "message %d, which can be read again", id)
				}
			})
		}
	}
}

// TestWhatKeepsAllMessagesFromBeingReadPostponesNone, for it says nothing about any: they are read as soon as it is over.
func TestWhatKeepsAllMessagesFromBeingReadPostponesNone(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]error{
		"the credentials": listrak.Refusal("read", http.StatusUnauthorized, "ERROR_INVALID_CREDENTIALS", false),
		"the rate":        listrak.Refusal("read", http.StatusTooManyRequests, "ERROR_UNPUBLISHED", false),
		"the network":     &failure.Error{Class: failure.Retry, Op: "read", Code: "UNREACHABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.set(map[consent.Sync]bool{consent.EmailEvents: true})
			ids := []int{}
			for range 5 {
				id, _ := w.send("Spring", 2)
				ids = append(ids, id)
			}
			l := w.listed()
			l.summary = func(listrak.MessageRef) error { return failed }
			for range 10 {
				_, err := w.keeper.Pass(t.Context(), w.id)
				require.Error(t, err)
				w.clock.advance(time.Minute)
			}
			require.Equal(t, 10, l.asked, "one request a pass shows it")
			l.summary = nil
			w.pass()
			for _, id := range ids {
				require.Equal(t, w.truth(id), w.toldDays(messageID(id)), "message %d", id)
			}
		})
	}
}

// TestWhileConsentTakesTheRequestRateReadingWaits: that is no failure.
func TestWhileConsentTakesTheRequestRateReadingWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	id, _ := w.send("Spring", 2)
	l := w.listed()
	l.summary = func(listrak.MessageRef) error {
		return &failure.Error{Class: failure.Retry, Op: "read", Code: "RATE", Err: listrak.ErrNoSpare}
	}
	pass, err := w.keeper.Pass(t.Context(), w.id)
	require.NoError(t, err)
	require.True(t, pass.More, "the next pass begins at once")
	require.Equal(t, 1, l.asked)
	l.summary = nil
	w.pass()
	require.Equal(t, w.truth(id), w.toldDays(messageID(id)))
}

// conversations makes so many, each with a message to somebody.
func (w *world) conversations(n int) (messages map[int]string) {
	w.Helper()
	messages = map[int]string{}
	for conversation := 1; conversation <= n; conversation++ {
		id, err := w.list.CreateMessage(list.NewMessage{Kind: list.ConversationMessage, Conversation: conversation, Subject: "Welcome"})
		require.NoError(w, err)
		require.NoError(w, w.list.Send(id, time.Time{}, "person-0@example.com"))
		messages[id] = fmt.Sprintf("listrak-%d-conversation-%d-message-%d", listID, conversation, id)
	}
	return messages
}

// TestMoreConversationsThanAPassCanList: they were all listed before anything was read, in one pass or never, and a pass that did not come to
// their end began anew.
func TestMoreConversationsThanAPassCanList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	messages := w.conversations(60)
	bulk, _ := w.send("Spring", 3)
	w.listed().each = func() { w.clock.advance(2 * time.Second) } // one request in two seconds
	longest := time.Duration(0)
	for n := range 40 {
		began := w.clock.now()
		pass, err := w.keeper.Pass(t.Context(), w.id)
		require.NoError(t, err)
		longest = max(longest, w.clock.now().Sub(began))
		if n == 0 {
			require.Equal(t, w.truth(bulk), w.toldDays(messageID(bulk)), "what is known is read before everything is listed")
		}
		if !pass.More {
			break
		}
		w.clock.advance(time.Second)
	}
	require.LessOrEqual(t, longest, w.keeper.Timing.PassLimit+w.keeper.Timing.CallTimeout, "the longest pass")
	for id, name := range messages {
		require.Equal(t, w.truth(id), w.toldDays(name), name)
	}
}

// TestAListingThatFailsKeepsNothingElseFromBeingRead: neither one conversation, nor all transactional messages.
func TestAListingThatFailsKeepsNothingElseFromBeingRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	messages := w.conversations(20)
	bulk, _ := w.send("Spring", 3)
	l := w.listed()
	asked := map[int]int{}
	failed := listrak.Refusal("read", http.StatusInternalServerError, "", false)
	l.conversation = func(conversation int) error {
		asked[conversation]++
		if conversation >= 3 && conversation <= 10 {
			return failed
		}
		return nil
	}
	l.transactional = func() error { return failed }
	for range 5 {
		_, err := w.keeper.Pass(t.Context(), w.id)
		require.Error(t, err, "it tells of what fails")
		w.clock.advance(time.Minute)
	}
	require.Equal(t, w.truth(bulk), w.toldDays(messageID(bulk)))
	for conversation, n := range asked {
		require.Equal(t, 1, n, "conversation %d is listed once an hour, whatever else fails", conversation)
	}
	require.Len(t, asked, 20)

	l.conversation, l.transactional = nil, nil
	w.pass()
	w.clock.advance(time.Hour)
	w.pass()
	for id, name := range messages {
		require.Equal(t, w.truth(id), w.toldDays(name), name)
	}
}

// TestWhatIsToBeReadKeepsNobodyFromBeingTold: reading could take all of each pass, and customers were told when there was nothing left to read.
func TestWhatIsToBeReadKeepsNobodyFromBeingTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	ann := w.customer("person-0@example.com")
	const messages = 40
	for range messages {
		w.send("Spring", 2)
	}
	l := w.listed()
	l.each = func() { w.clock.advance(3 * time.Second) }
	for range 2 {
		pass, err := w.keeper.Pass(t.Context(), w.id)
		require.NoError(t, err)
		require.True(t, pass.More, "there is more to read")
		w.clock.advance(time.Second)
	}
	require.Less(t, l.asked, messages, "messages that were begun with")
	require.NotEmpty(t, w.shop.Metafields(ann)[field("emails_sent_30_days")], "the customer is told while there is much to read")
	l.each = nil
	w.pass()
	require.Equal(t, fmt.Sprint(messages), w.shop.Metafields(ann)[field("emails_sent_30_days")])
}

// TestReadingHasAllOfAPassInWhichNothingIsToBeTold, so that a backlog ends as soon as it can.
func TestReadingHasAllOfAPassInWhichNothingIsToBeTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	for range 40 {
		w.send("Spring", 0)
	}
	l := w.listed()
	l.each = func() { w.clock.advance(3 * time.Second) }
	began := w.clock.now()
	_, err := w.keeper.Pass(t.Context(), w.id)
	require.NoError(t, err)
	require.GreaterOrEqual(t, w.clock.now().Sub(began), w.keeper.Timing.PassLimit)
}
