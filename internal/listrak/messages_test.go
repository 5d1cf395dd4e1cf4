package listrak

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/sandbox/fault"
	sandbox "github.com/concordsync/concord/internal/sandbox/list"
)

// campaign is a message in the sandbox that was sent to n people at a time.
func campaign(t *testing.T, store *sandbox.Store, message sandbox.NewMessage, n int) int {
	t.Helper()
	id, err := store.CreateMessage(message)
	if err != nil {
		t.Fatal(err)
	}
	var emails []string
	for i := range n {
		emails = append(emails, recipientOf(i))
	}
	if err := store.Send(id, message.At, emails...); err != nil {
		t.Fatal(err)
	}
	return id
}

func recipientOf(n int) string { return fmt.Sprintf("person%d@example.com", n) }

func does(t *testing.T, store *sandbox.Store, id, person int, act sandbox.Act, at time.Time) {
	t.Helper()
	if err := store.Act(id, recipientOf(person), act, at); err != nil {
		t.Fatal(err)
	}
}

// wallClock is a time as Listrak tells it: by milliseconds.
func wallClock(at time.Time) time.Time { return at.Truncate(time.Millisecond).UTC() }

func TestMessagesOfEveryKind(t *testing.T) {
	t.Parallel()
	client, store, _ := sandboxList(t, nil)
	now := time.Now()
	old, recent := now.Add(-40*24*time.Hour), now.Add(-2*time.Hour)
	campaign(t, store, sandbox.NewMessage{Subject: "Winter", At: old}, 1)
	spring := campaign(t, store, sandbox.NewMessage{Subject: "Spring", At: recent}, 1)
	campaign(t, store, sandbox.NewMessage{Subject: "Planned", At: now.Add(time.Hour)}, 1)
	welcome := campaign(t, store, sandbox.NewMessage{Kind: sandbox.ConversationMessage, Conversation: 7, Subject: "Welcome", At: recent}, 1)
	receipt := campaign(t, store, sandbox.NewMessage{Kind: sandbox.TransactionalMessage, Subject: "Receipt", At: recent}, 1)

	page, err := client.Messages(t.Context(), now.Add(-30*24*time.Hour), "")
	if err != nil {
		t.Fatal(err)
	}
	want := MessagePage{Messages: []Message{{Ref: MessageRef{Kind: Bulk, ID: spring}, Subject: "Spring", Sent: wallClock(recent)}}}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("bulk messages (-want +got):\n%s", diff)
	}
	conversations, err := client.Conversations(t.Context())
	if diff := cmp.Diff([]int{7}, conversations); diff != "" || err != nil {
		t.Errorf("conversations: %v\n%s", err, diff)
	}
	page, err = client.ConversationMessages(t.Context(), 7, "")
	want = MessagePage{Messages: []Message{{Ref: MessageRef{Kind: Conversation, Conversation: 7, ID: welcome}, Subject: "Welcome", Sent: wallClock(recent)}}}
	if diff := cmp.Diff(want, page); diff != "" || err != nil {
		t.Errorf("messages of a conversation: %v\n%s", err, diff)
	}
	transactional, err := client.TransactionalMessages(t.Context())
	if diff := cmp.Diff([]Message{{Ref: MessageRef{Kind: Transactional, ID: receipt}, Subject: "Receipt"}}, transactional); diff != "" || err != nil {
		t.Errorf("transactional messages: %v\n%s", err, diff)
	}

	// Each kind has its own routes to what recipients did.
	for _, ref := range []MessageRef{{Kind: Bulk, ID: spring}, {Kind: Conversation, Conversation: 7, ID: welcome}, {Kind: Transactional, ID: receipt}} {
		does(t, store, ref.ID, 0, sandbox.Click, time.Time{})
		activity, err := client.Activity(t.Context(), ref, ActivityQuery{})
		if err != nil || len(activity.Rows) != 1 || !activity.Rows[0].Clicked || activity.Rows[0].Clicks != 1 || activity.Rows[0].Address != recipientOf(0) {
			t.Errorf("%+v: %+v, %v", ref, activity, err)
		}
		summary, err := client.Summary(t.Context(), ref)
		if ref.Kind == Transactional {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("a summary of a transactional message: %+v, %v", summary, err)
			}
			continue
		}
		if err != nil || summary != (Summary{Sent: 1, Clicks: 1}) {
			t.Errorf("%+v: %+v, %v", ref, summary, err)
		}
	}
}

func TestMessagesInPages(t *testing.T) {
	t.Parallel()
	client, store, _ := sandboxList(t, nil)
	at := time.Now().Add(-time.Hour)
	const many = 5003
	for n := range many {
		if _, err := store.CreateMessage(sandbox.NewMessage{Subject: fmt.Sprint(n), At: at}); err != nil {
			t.Fatal(err)
		}
	}
	seen, pages := map[int]bool{}, 0
	for cursor := ""; ; pages++ {
		page, err := client.Messages(t.Context(), at.Add(-time.Minute), cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			seen[m.Ref.ID] = true
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(seen) != many || pages != 1 {
		t.Errorf("%d messages in %d pages before the last", len(seen), pages)
	}
}

func TestActivityInPages(t *testing.T) {
	t.Parallel()
	client, store, _ := sandboxList(t, nil)
	at := time.Now().Add(-3 * time.Hour)
	const many = 12_003
	id := campaign(t, store, sandbox.NewMessage{At: at}, many)
	opened := at.Add(time.Hour)
	does(t, store, id, 11_000, sandbox.Read, opened)
	does(t, store, id, 11_000, sandbox.Abuse, opened.Add(time.Minute))
	does(t, store, id, 3, sandbox.Bounce, opened.Add(time.Minute))
	does(t, store, id, 4, sandbox.Open, opened)
	does(t, store, id, 4, sandbox.Click, opened.Add(time.Minute))
	does(t, store, id, 4, sandbox.Click, opened.Add(2*time.Minute))
	does(t, store, id, 4, sandbox.Unsubscribe, opened.Add(3*time.Minute))

	read := func(query ActivityQuery) (rows map[string]Activity, pages int) {
		t.Helper()
		rows = map[string]Activity{}
		for {
			page, err := client.Activity(t.Context(), MessageRef{Kind: Bulk, ID: id}, query)
			if err != nil {
				t.Fatal(err)
			}
			if page.ServerTime.IsZero() {
				t.Error("a page without the server's time")
			}
			pages++
			for _, row := range page.Rows {
				rows[row.Address] = row
			}
			if query.Cursor = page.Next; query.Cursor == "" {
				return rows, pages
			}
		}
	}
	all, pages := read(ActivityQuery{})
	if len(all) != many || pages != 3 {
		t.Errorf("%d recipients in %d pages", len(all), pages)
	}
	for _, want := range []Activity{
		{Address: recipientOf(0), Sent: wallClock(at)},
		{Address: recipientOf(3), Sent: wallClock(at), First: wallClock(opened.Add(time.Minute)), Bounced: true},
		{Address: recipientOf(4), Sent: wallClock(at), First: wallClock(opened), Opened: true, Clicked: true, Clicks: 2, Unsubscribed: true},
		{Address: recipientOf(11_000), Sent: wallClock(at), First: wallClock(opened), Opened: true, Complained: true},
	} {
		if diff := cmp.Diff(want, all[want.Address]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Address, diff)
		}
	}
	for name, row := range map[string]struct {
		query ActivityQuery
		want  int
	}{
		"sent since":               {ActivityQuery{Since: at.Add(-time.Second)}, many},
		"sent since a later time":  {ActivityQuery{Since: at.Add(time.Second)}, 0},
		"active since":             {ActivityQuery{Since: opened, ByActivity: true}, 3},
		"active since later":       {ActivityQuery{Since: opened.Add(time.Second), ByActivity: true}, 1},
		"active since the present": {ActivityQuery{Since: time.Now(), ByActivity: true}, 0},
	} {
		if rows, _ := read(row.query); len(rows) != row.want {
			t.Errorf("%s: %d rows, want %d", name, len(rows), row.want)
		}
	}
}

// A message that is gone concerns that message alone; what the integration may not do concerns the merchant.
func TestFailuresOfReadingMessages(t *testing.T) {
	t.Parallel()
	calls := map[string]func(*testing.T, *Client, int) error{
		"GET Messages": func(t *testing.T, c *Client, _ int) error {
			_, err := c.Messages(t.Context(), time.Now(), "")
			return err
		},
		"GET Conversations": func(t *testing.T, c *Client, _ int) error { _, err := c.Conversations(t.Context()); return err },
		"GET Conversation Messages": func(t *testing.T, c *Client, _ int) error {
			_, err := c.ConversationMessages(t.Context(), 7, "")
			return err
		},
		"GET Transactional": func(t *testing.T, c *Client, _ int) error { _, err := c.TransactionalMessages(t.Context()); return err },
		"GET Summary": func(t *testing.T, c *Client, id int) error {
			_, err := c.Summary(t.Context(), MessageRef{Kind: Bulk, ID: id})
			return err
		},
		"GET Activity": func(t *testing.T, c *Client, id int) error {
			_, err := c.Activity(t.Context(), MessageRef{Kind: Bulk, ID: id}, ActivityQuery{})
			return err
		},
	}
	for name, call := range calls {
		for _, row := range []struct {
			what string
			edit func(*sandbox.Config)
			rule *fault.Rule
			want failure.Class
		}{
			{"as it should be", nil, nil, 0},
			{"a failing server", nil, &fault.Rule{Kind: fault.ServerError}, failure.Retry},
			{"a proxy's page", nil, &fault.Rule{Kind: fault.HTMLError}, failure.Retry},
			{"too many requests", nil, &fault.Rule{Kind: fault.TooManyRequests}, failure.Retry},
			{"no access", func(c *sandbox.Config) { c.NoAccess = []sandbox.Area{sandbox.AreaMessage, sandbox.AreaReporting} }, nil, failure.PersonMustAct},
		} {
			t.Run(name+"/"+row.what, func(t *testing.T) {
				t.Parallel()
				client, store, _ := sandboxList(t, row.edit)
				id := campaign(t, store, sandbox.NewMessage{}, 1)
				campaign(t, store, sandbox.NewMessage{Kind: sandbox.ConversationMessage, Conversation: 7}, 1)
				if row.rule != nil {
					store.Faults.Set(1, *row.rule)
				}
				err := call(t, client, id)
				if class := failure.ClassOf(err); err != nil && class != row.want || (err != nil) != (row.want != 0) {
					t.Errorf("%v is of class %s, want %s", err, class, row.want)
				}
				if err != nil && strings.Contains(err.Error(), "@") {
					t.Errorf("the error shows an address: %v", err)
				}
			})
		}
	}

	client, store, _ := sandboxList(t, nil)
	id := campaign(t, store, sandbox.NewMessage{}, 1)
	store.DeleteMessage(id)
	for what, call := range map[string]func() error{
		"a summary":      func() error { return calls["GET Summary"](t, client, id) },
		"activity":       func() error { return calls["GET Activity"](t, client, id) },
		"a conversation": func() error { return calls["GET Conversation Messages"](t, client, 0) },
	} {
		if err := call(); failure.ClassOf(err) != failure.Refused || failure.As(err).Advice != "" {
			t.Errorf("%s of a message that is gone: %v, want a refusal that asks nobody to act", what, err)
		}
	}
}

func TestACursorOfActivityThatIsLost(t *testing.T) {
	t.Parallel()
	client, store, _ := sandboxList(t, nil)
	id := campaign(t, store, sandbox.NewMessage{}, 3)
	_, err := client.Activity(t.Context(), MessageRef{Kind: Bulk, ID: id}, ActivityQuery{Cursor: "of-yesterday"})
	if !errors.Is(err, ErrCursorLost) {
		t.Errorf("error %v, want that the cursor is lost", err)
	}
}

// Reading messages takes half of the merchant's request rate, whatever else it may take.
func TestReadingMessagesLeavesHalfOfTheRate(t *testing.T) {
	t.Parallel()
	config := Config{BaseURL: "http://x", AuthURL: "http://x", ClientID: "a", ClientSecret: "b", List: 1, Zone: newYork, RatePerSecond: 10}
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := float64(client.spare.limiter.Limit()), spareRate*10; got != want {
		t.Errorf("%v requests a second, want %v", got, want)
	}
}

// A call about messages is not made while another call waits for its slot.
func TestReadingMessagesWaitsForOtherCalls(t *testing.T) {
	t.Parallel()
	client, server := start(t, func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, 200, map[string]any{"status": 200, "data": []any{}})
	})
	client.rate.mu.Lock()
	client.rate.waiting, client.rate.free = 1, make(chan struct{})
	client.rate.mu.Unlock()
	done := make(chan error)
	go func() {
		_, err := client.Messages(t.Context(), time.Now(), "")
		done <- err
	}()
	const others = 20 // time enough for it to be made
	for range others {
		if _, err := client.Lists(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	client.rate.mu.Lock()
	seen := server.requests()
	client.rate.waiting--
	close(client.rate.free)
	client.rate.mu.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(seen) != others || len(server.requests()) != others+1 {
		t.Errorf("while another call waited: %q, and in the end: %q", seen, server.requests())
	}
}

// Answers that the sandbox does not give.
func TestUnreadableAnswersAboutMessages(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no data":           `{"status":200}`,
		"no JSON":           `<html>`,
		"the same cursor":   `{"status":200,"nextPageCursor":"Start","data":[]}`,
		"no id":             `{"status":200,"data":[{"subject":"x"}]}`,
		"no date":           `{"status":200,"data":[{"messageId":1,"transactionalMessageId":1,"sendDate":"soon"}]}`,
		"no date of an act": `{"status":200,"data":[{"emailAddress":"alice@example.com","sendDate":"2026-11-22T10:00:00","activityDate":"alice@example.com"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := start(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(body))
			})
			_, bulk := client.Messages(t.Context(), time.Now(), "")
			_, activity := client.Activity(t.Context(), MessageRef{Kind: Bulk, ID: 1}, ActivityQuery{})
			for what, err := range map[string]error{"messages": bulk, "activity": activity} {
				if name == "no id" && what == "activity" || name == "no date of an act" && what == "messages" {
					continue // that is what the other has
				}
				if failure.ClassOf(err) != failure.Retry || err == nil || strings.Contains(err.Error(), "alice") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}
