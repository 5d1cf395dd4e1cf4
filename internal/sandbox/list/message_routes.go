package list

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/concordsync/concord/internal/sandbox/list/wire"
)

// messagePage is one page of messages; its cursor is the id after which the next one begins.
func messagePage(all []ShownMessage, zone *time.Location, cursor, count *string) (wire.MessagePage, error) {
	size, after, err := 1000, 0, error(nil)
	if count != nil {
		if size, err = strconv.Atoi(*count); err != nil || size < 1 || size > MaxCount {
			return wire.MessagePage{}, invalid("count")
		}
	}
	if cursor != nil && *cursor != Start {
		if after, err = strconv.Atoi(*cursor); err != nil {
			return wire.MessagePage{}, invalid("cursor")
		}
	}
	data, page := []wire.Message{}, wire.MessagePage{Status: ok()}
	for _, m := range all {
		if m.ID <= after {
			continue
		}
		if len(data) == size {
			next := strconv.Itoa(int(*data[size-1].MessageID))
			page.NextPageCursor = &next
			break
		}
		id, status := int32(m.ID), "Sent"
		data = append(data, wire.Message{MessageID: &id, SendDate: WriteDate(m.At, zone), MessageStatus: &status, Subject: m.Subject})
	}
	page.Data = &data
	return page, nil
}

func (r routes) GetMessages(ctx context.Context, ask wire.GetMessagesRequestObject) (wire.GetMessagesResponseObject, error) {
	list, err := r.list(ctx, ask.ListID)
	if err != nil {
		return nil, err
	}
	from, err := parseDate("startDate", ask.Params.StartDate)
	if err != nil {
		return nil, err
	}
	to, err := parseDate("endDate", ask.Params.EndDate)
	if err != nil {
		return nil, err
	}
	page, err := messagePage(list.ShownMessages(BulkMessage, 0, from, to), list.Config().Zone, ask.Params.Cursor, ask.Params.Count)
	return wire.GetMessages200JSONResponse(page), err
}

func (r routes) GetConversations(ctx context.Context, ask wire.GetConversationsRequestObject) (wire.GetConversationsResponseObject, error) {
	list, err := r.list(ctx, ask.ListID)
	if err != nil {
		return nil, err
	}
	ids := list.Conversations()
	data := []wire.Conversation{}
	for _, id := range ids {
		number, name, status := int32(id), fmt.Sprintf("Conversation %d", id), "Active"
		data = append(data, wire.Conversation{ConversationID: &number, ConversationName: &name, Status: &status})
	}
	return wire.GetConversations200JSONResponse{Status: ok(), Data: &data}, nil
}

func (r routes) GetConversationMessages(ctx context.Context, ask wire.GetConversationMessagesRequestObject,
) (wire.GetConversationMessagesResponseObject, error) {
	list, err := r.list(ctx, ask.ListID)
	if err != nil {
		return nil, err
	}
	all := list.ShownMessages(ConversationMessage, int(ask.ConversationID), time.Time{}, time.Time{})
	if len(all) == 0 {
		return nil, noResource("listId and conversationId")
	}
	page, err := messagePage(all, list.Config().Zone, ask.Params.Cursor, ask.Params.Count)
	return wire.GetConversationMessages200JSONResponse(page), err
}

func (r routes) GetTransactionalMessages(ctx context.Context, ask wire.GetTransactionalMessagesRequestObject,
) (wire.GetTransactionalMessagesResponseObject, error) {
	list, err := r.list(ctx, ask.ListID)
	if err != nil {
		return nil, err
	}
	data := []wire.TransactionalMessage{}
	for _, m := range list.ShownMessages(TransactionalMessage, 0, time.Time{}, time.Time{}) {
		id, name := int32(m.ID), m.Subject
		data = append(data, wire.TransactionalMessage{TransactionalMessageID: &id, TransactionalMessageName: &name, Subject: m.Subject})
	}
	return wire.GetTransactionalMessages200JSONResponse{Status: ok(), Data: &data}, nil
}

// activityQuery reads the parameters that the three activity routes share. activityType is not documented: it is refused, so that nobody
// relies on what this sandbox would make of it.
func activityQuery(activityType, cursor, count, start, end *string) (query ActivityQuery, err error) {
	query = ActivityQuery{Cursor: Start, Count: 1000}
	if activityType != nil {
		return query, invalid("activityType")
	}
	if cursor != nil {
		query.Cursor = *cursor
	}
	if count != nil {
		if query.Count, err = strconv.Atoi(*count); err != nil {
			return query, invalid("count")
		}
	}
	if query.From, err = parseDate("startDate", start); err != nil {
		return query, err
	}
	query.To, err = parseDate("endDate", end)
	return query, err
}

func (q *ActivityQuery) dateType(name *string) error {
	switch given(name) {
	case "", "Send":
	case "Activity":
		q.ByActivity = true
	default:
		return invalid("dateType")
	}
	return nil
}

func (r routes) GetMessageActivity(ctx context.Context, ask wire.GetMessageActivityRequestObject) (wire.GetMessageActivityResponseObject, error) {
	p := ask.Params
	query, err := activityQuery(p.ActivityType, p.Cursor, p.Count, p.StartDate, p.EndDate)
	if err == nil {
		err = query.dateType(p.DateType)
	}
	if err != nil {
		return nil, err
	}
	query.Email = given(p.EmailAddress)
	page, zone, err := r.activity(ctx, ask.ListID, BulkMessage, 0, ask.MessageID, query)
	if err != nil {
		return nil, err
	}
	return wire.GetMessageActivity200JSONResponse(wireActivity(page, zone)), nil
}

func (r routes) GetConversationMessageActivity(ctx context.Context, ask wire.GetConversationMessageActivityRequestObject,
) (wire.GetConversationMessageActivityResponseObject, error) {
	p := ask.Params
	query, err := activityQuery(p.ActivityType, p.Cursor, p.Count, p.StartDate, p.EndDate)
	if err != nil {
		return nil, err
	}
	page, zone, err := r.activity(ctx, ask.ListID, ConversationMessage, ask.ConversationID, ask.ConversationMessageID, query)
	if err != nil {
		return nil, err
	}
	return wire.GetConversationMessageActivity200JSONResponse(wireActivity(page, zone)), nil
}

func (r routes) GetTransactionalMessageActivity(ctx context.Context, ask wire.GetTransactionalMessageActivityRequestObject,
) (wire.GetTransactionalMessageActivityResponseObject, error) {
	p := ask.Params
	query, err := activityQuery(p.ActivityType, p.Cursor, p.Count, p.StartDate, p.EndDate)
	if err == nil {
		err = query.dateType(p.DateType)
	}
	if err != nil {
		return nil, err
	}
	query.Email = given(p.EmailAddress)
	page, zone, err := r.activity(ctx, ask.ListID, TransactionalMessage, 0, ask.TransactionalMessageID, query)
	if err != nil {
		return nil, err
	}
	shown := wireActivity(page, zone)
	data := make([]wire.TransactionalMessageActivity, len(*shown.Data))
	for n, row := range *shown.Data {
		data[n] = wire.TransactionalMessageActivity(row)
	}
	return wire.GetTransactionalMessageActivity200JSONResponse{Status: ok(), Data: &data, NextPageCursor: shown.NextPageCursor}, nil
}

func (r routes) activity(ctx context.Context, listID int32, kind MessageKind, conversation, id int32, query ActivityQuery,
) (ActivityPage, *time.Location, error) {
	list, err := r.list(ctx, listID)
	if err != nil {
		return ActivityPage{}, nil, err
	}
	page, err := list.ReadActivity(kind, int(conversation), int(id), query)
	return page, list.Config().Zone, err
}

func wireActivity(page ActivityPage, zone *time.Location) wire.MessageActivityPage {
	data := make([]wire.MessageActivity, len(page.Rows))
	for n := range page.Rows {
		row := &page.Rows[n]
		clicks := int32(row.Clicks)
		data[n] = wire.MessageActivity{
			EmailAddress: &row.Email, SendDate: WriteDate(row.Sent, zone), ActivityDate: WriteDate(row.FirstActivity, zone),
			Open: &row.Opened, Read: &row.WasRead, Click: &row.Clicked, ClickCount: &clicks, Bounce: &row.Bounced, Unsubscribe: &row.Unsubscribed,
			Abuse: &row.Abuse,
		}
	}
	shown := wire.MessageActivityPage{Status: ok(), Data: &data}
	if page.Next != "" {
		shown.NextPageCursor = &page.Next
	}
	return shown
}

func (r routes) summary(ctx context.Context, listID int32, kind MessageKind, conversation, id int32) (*wire.MessageSummary, error) {
	list, err := r.list(ctx, listID)
	if err != nil {
		return nil, err
	}
	sum, err := list.Summarize(kind, int(conversation), int(id))
	if err != nil {
		return nil, err
	}
	count := func(n int) *int32 {
		small := int32(n)
		return &small
	}
	return &wire.MessageSummary{SentCount: count(sum.Sent), OpenCount: count(sum.Opens), ReadCount: count(sum.Reads), ClickCount: count(sum.Clicks),
		BounceCount: count(sum.Bounces), UnsubscribeCount: count(sum.Unsubscribes)}, nil
}

func (r routes) GetMessageSummary(ctx context.Context, ask wire.GetMessageSummaryRequestObject) (wire.GetMessageSummaryResponseObject, error) {
	sum, err := r.summary(ctx, ask.ListID, BulkMessage, 0, ask.MessageID)
	return wire.GetMessageSummary200JSONResponse{Status: ok(), Data: sum}, err
}

func (r routes) GetConversationMessageSummary(ctx context.Context, ask wire.GetConversationMessageSummaryRequestObject,
) (wire.GetConversationMessageSummaryResponseObject, error) {
	sum, err := r.summary(ctx, ask.ListID, ConversationMessage, ask.ConversationID, ask.ConversationMessageID)
	return wire.GetConversationMessageSummary200JSONResponse{Status: ok(), Data: sum}, err
}
