package listrak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak/email"
)

// MessageKind is how a message comes to people (contracts/listrak.md, Email engagement).
type MessageKind uint8

// The kinds.
const (
	// Bulk is sent once to many.
	Bulk MessageKind = iota + 1
	// Conversation is sent one by one by an automation, again and again.
	Conversation
	// Transactional is sent one by one by another program.
	Transactional
)

// MessageRef names a message of the list. Conversation is zero but for messages of that kind.
type MessageRef struct {
	Kind             MessageKind
	Conversation, ID int
}

// Message is a message of the list. Sent is zero when Listrak gives no date, as of transactional ones.
type Message struct {
	Ref     MessageRef
	Subject string
	Sent    time.Time
}

// MessagePage is one page of messages; Next is empty on the last.
type MessagePage struct {
	Messages []Message
	Next     string
}

// Summary are the totals of a message as Listrak counts them. They serve to tell whether anything has happened; what opens and clicks count,
// people or acts, is not published.
type Summary struct{ Sent, Opens, Reads, Clicks, Bounces, Unsubscribes int }

// Activity is what Listrak shows of one recipient of one message, up to now. Sent is when it was sent to them; First is the first thing
// that happened with it, zero when nothing has. Listrak does not date what happens after that.
type Activity struct {
	Address                                            string
	Sent, First                                        time.Time
	Opened, Clicked, Bounced, Unsubscribed, Complained bool
	Clicks                                             int
}

// ActivityQuery asks for a page of a message's activity.
type ActivityQuery struct {
	// Since leaves out who was sent the message before; ByActivity, those with whom something happened first, or last, before: Listrak
	// does not publish which. Zero asks for everybody. Neither is possible of messages of a conversation, whose filter is not documented.
	Since      time.Time
	ByActivity bool
	Cursor     string
}

// ActivityPage is one page; Next is empty on the last. ServerTime is the Date header of the answer.
type ActivityPage struct {
	Rows       []Activity
	Next       string
	ServerTime time.Time
}

// spareRate is the part of the merchant's request rate that reading messages takes at most, and only while no other call waits.
const spareRate = 0.5

// callSpare is callList for what may wait: it has a rate of its own below the merchant's, and the others come first.
func (c *Client) callSpare(ctx context.Context, call call, build func() (*http.Request, error)) (answer, error) {
	if err := c.spare.wait(ctx); err != nil {
		return answer{}, broken(call.op, err, 0)
	}
	call.spare = true
	answer, err := c.callList(ctx, call, build)
	if f := failure.As(err); f != nil && f.Code == codeNotFound && call.person {
		// One message or conversation was deleted; that the list is there, other calls show.
		f.Class, f.Advice = failure.Refused, ""
	}
	return answer, err
}

// Messages reads one page of the bulk messages that were sent since a time.
func (c *Client) Messages(ctx context.Context, since time.Time, cursor string) (MessagePage, error) {
	call := call{op: "read messages (GET /v1/List/{listId}/Message)", area: "Message"}
	return c.messages(ctx, call, MessageRef{Kind: Bulk}, cursor, func(from string) (*http.Request, error) {
		return email.NewGetMessagesRequest(c.baseURL, c.list, &email.GetMessagesParams{
			Cursor: &from, Count: ptr(pageSize), StartDate: ptr(FormatSince(since, c.zone)),
		})
	})
}

// ConversationMessages reads one page of the messages of a conversation.
func (c *Client) ConversationMessages(ctx context.Context, conversation int, cursor string) (MessagePage, error) {
	call := call{op: "read messages (GET /v1/List/{listId}/Conversation/{conversationId}/Message)", area: "Message", person: true}
	return c.messages(ctx, call, MessageRef{Kind: Conversation, Conversation: conversation}, cursor, func(from string) (*http.Request, error) {
		return email.NewGetConversationMessagesRequest(c.baseURL, c.list, int32(conversation),
			&email.GetConversationMessagesParams{Cursor: &from, Count: ptr(pageSize)})
	})
}

func (c *Client) messages(ctx context.Context, call call, of MessageRef, cursor string, build func(cursor string) (*http.Request, error),
) (MessagePage, error) {
	if cursor == "" {
		cursor = firstPage
	}
	answer, err := c.callSpare(ctx, call, func() (*http.Request, error) { return build(cursor) })
	if err != nil {
		return MessagePage{}, err
	}
	var page email.MessagePage
	if err := c.decode(call, answer, &page); err != nil {
		return MessagePage{}, err
	}
	if page.Data == nil {
		return MessagePage{}, call.unreadable("the page has no data", c.trouble())
	}
	result := MessagePage{Next: nextCursor(text(page.NextPageCursor))}
	if result.Next == cursor {
		return MessagePage{}, call.unreadable("the cursor of the next page is that of this one", c.trouble())
	}
	for _, raw := range *page.Data {
		if raw.MessageId == nil {
			return MessagePage{}, call.unreadable("a message has no id", c.trouble())
		}
		message := Message{Ref: of, Subject: raw.Subject}
		message.Ref.ID = int(*raw.MessageId)
		if message.Sent, _, err = ParseDate(text(raw.SendDate), c.zone); err != nil {
			return MessagePage{}, call.unreadable(err.Error(), c.trouble())
		}
		result.Messages = append(result.Messages, message)
	}
	return result, nil
}

// Conversations reads the ids of the list's conversations.
func (c *Client) Conversations(ctx context.Context) ([]int, error) {
	call := call{op: "read conversations (GET /v1/List/{listId}/Conversation)", area: "Message"}
	answer, err := c.callSpare(ctx, call, func() (*http.Request, error) { return email.NewGetConversationsRequest(c.baseURL, c.list) })
	if err != nil {
		return nil, err
	}
	var collection email.ConversationCollection
	if err := c.decode(call, answer, &collection); err != nil {
		return nil, err
	}
	if collection.Data == nil {
		return nil, call.unreadable("the answer has no conversations", c.trouble())
	}
	var ids []int
	for _, one := range *collection.Data {
		if one.ConversationId != nil {
			ids = append(ids, int(*one.ConversationId))
		}
	}
	return ids, nil
}

// TransactionalMessages reads the list's transactional messages.
func (c *Client) TransactionalMessages(ctx context.Context) ([]Message, error) {
	call := call{op: "read transactional messages (GET /v1/List/{listId}/TransactionalMessage)", area: "Message"}
	answer, err := c.callSpare(ctx, call, func() (*http.Request, error) {
		return email.NewGetTransactionalMessagesRequest(c.baseURL, c.list)
	})
	if err != nil {
		return nil, err
	}
	var collection email.TransactionalMessageCollection
	if err := c.decode(call, answer, &collection); err != nil {
		return nil, err
	}
	if collection.Data == nil {
		return nil, call.unreadable("the answer has no messages", c.trouble())
	}
	var messages []Message
	for _, one := range *collection.Data {
		if one.TransactionalMessageId == nil {
			return nil, call.unreadable("a message has no id", c.trouble())
		}
		name := text(one.TransactionalMessageName)
		if name == "" {
			name = one.Subject
		}
		messages = append(messages, Message{Ref: MessageRef{Kind: Transactional, ID: int(*one.TransactionalMessageId)}, Subject: name})
	}
	return messages, nil
}

// Summary reads the totals of a message. There is none of transactional ones: the error is errors.ErrUnsupported.
func (c *Client) Summary(ctx context.Context, message MessageRef) (Summary, error) {
	call := call{op: "read a summary (GET …/Message/{messageId}/Summary)", area: "Reporting", person: true}
	if message.Kind == Transactional {
		return Summary{}, fmt.Errorf("%s: %w of transactional messages", call.op, errors.ErrUnsupported)
	}
	answer, err := c.callSpare(ctx, call, func() (*http.Request, error) {
		if message.Kind == Conversation {
			return email.NewGetConversationMessageSummaryRequest(c.baseURL, c.list, int32(message.Conversation), int32(message.ID))
		}
		return email.NewGetMessageSummaryRequest(c.baseURL, c.list, int32(message.ID))
	})
	if err != nil {
		return Summary{}, err
	}
	var resource email.MessageSummaryResource
	if err := c.decode(call, answer, &resource); err != nil {
		return Summary{}, err
	}
	if resource.Data == nil {
		return Summary{}, call.unreadable("the answer has no summary", c.trouble())
	}
	s := *resource.Data
	return Summary{Sent: number(s.SentCount), Opens: number(s.OpenCount), Reads: number(s.ReadCount), Clicks: number(s.ClickCount),
		Bounces: number(s.BounceCount), Unsubscribes: number(s.UnsubscribeCount)}, nil
}

func number(n *int32) int {
	if n == nil {
		return 0
	}
	return int(*n)
}

// activityPage is MessageActivityPage of email.yaml, whose rows are values: of a million rows with a dozen pointers each, most of the time
// would go into making and clearing away those.
type activityPage struct {
	NextPageCursor string         `json:"nextPageCursor"`
	Data           *[]activityRow `json:"data"`
}

type activityRow struct {
	EmailAddress string `json:"emailAddress"`
	SendDate     string `json:"sendDate"`
	ActivityDate string `json:"activityDate"`
	Open         bool   `json:"open"`
	Read         bool   `json:"read"`
	Click        bool   `json:"click"`
	ClickCount   int    `json:"clickCount"`
	Bounce       bool   `json:"bounce"`
	Unsubscribe  bool   `json:"unsubscribe"`
	Abuse        bool   `json:"abuse"`
}

// Activity reads one page of what recipients did with a message, up to 5000: who was sent it, opened and clicked it and how often. The routes of
// links and their clickers know the date of each click besides, for a request for each link; transactional messages have none. A page that is read again shows what has changed since.
// Begin with an empty cursor and go on with ActivityPage.Next; ErrCursorLost is in the chain when Listrak does not take one any more.
func (c *Client) Activity(ctx context.Context, message MessageRef, query ActivityQuery) (ActivityPage, error) {
	call := call{op: "read activity (GET …/Message/{messageId}/Activity)", area: "Reporting", person: true}
	cursor := query.Cursor
	if cursor == "" {
		cursor = firstPage
	}
	var since, dates *string
	if !query.Since.IsZero() {
		since, dates = ptr(FormatSince(query.Since, c.zone)), ptr("Send")
		if query.ByActivity {
			dates = ptr("Activity")
		}
	}
	answer, err := c.callSpare(ctx, call, func() (*http.Request, error) {
		switch message.Kind {
		case Conversation:
			return email.NewGetConversationMessageActivityRequest(c.baseURL, c.list, int32(message.Conversation), int32(message.ID),
				&email.GetConversationMessageActivityParams{Cursor: &cursor, Count: ptr(pageSize)})
		case Transactional:
			return email.NewGetTransactionalMessageActivityRequest(c.baseURL, c.list, int32(message.ID),
				&email.GetTransactionalMessageActivityParams{Cursor: &cursor, Count: ptr(pageSize), StartDate: since, DateType: dates})
		default:
			return email.NewGetMessageActivityRequest(c.baseURL, c.list, int32(message.ID),
				&email.GetMessageActivityParams{Cursor: &cursor, Count: ptr(pageSize), StartDate: since, DateType: dates})
		}
	})
	if err != nil {
		if f := failure.As(err); f != nil && f.Code == codeInvalidParameter && query.Cursor != "" {
			return ActivityPage{}, LostCursor(f.Op)
		}
		return ActivityPage{}, err
	}
	var page activityPage
	if err := c.decode(call, answer, &page); err != nil {
		return ActivityPage{}, err
	}
	if page.Data == nil {
		return ActivityPage{}, call.unreadable("the page has no data", c.trouble())
	}
	result := ActivityPage{Rows: make([]Activity, len(*page.Data)), Next: nextCursor(page.NextPageCursor), ServerTime: answer.date}
	if result.Next == cursor {
		return ActivityPage{}, call.unreadable("the cursor of the next page is that of this one", c.trouble())
	}
	// Most recipients of a message have the same date of sending, or that of the row before.
	var lastRaw string
	var lastSent time.Time
	for n := range *page.Data {
		raw := &(*page.Data)[n]
		if raw.SendDate != lastRaw || n == 0 {
			if lastSent, _, err = ParseDate(raw.SendDate, c.zone); err != nil {
				return ActivityPage{}, call.unreadable(err.Error(), c.trouble())
			}
			lastRaw = raw.SendDate
		}
		row := Activity{
			Address: raw.EmailAddress, Sent: lastSent, Opened: raw.Open || raw.Read, Clicked: raw.Click || raw.ClickCount > 0,
			Bounced: raw.Bounce, Unsubscribed: raw.Unsubscribe, Complained: raw.Abuse, Clicks: raw.ClickCount,
		}
		if row.First, _, err = ParseDate(raw.ActivityDate, c.zone); err != nil {
			return ActivityPage{}, call.unreadable(err.Error(), c.trouble())
		}
		result.Rows[n] = row
	}
	return result, nil
}
