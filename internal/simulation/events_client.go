package simulation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// eventStore is an engagement.Store on the sandbox's model of a store, without HTTP. TestSidesOfEvents holds it against shopify.Client and the
// sandbox's server.
type eventStore struct{ storeClient }

// What calls cost (contracts/shopify.md 2.2).
const (
	zonePoints        = 1
	eventPoints       = 10
	metafieldsMaximum = 25
)

func (c eventStore) ShopZone(ctx context.Context) (zone *time.Location, err error) {
	var unknown error
	err = c.request(ctx, "shop", zonePoints, func() { zone, unknown = time.LoadLocation(c.world.scenario.events.zone) })
	return zone, errors.Join(err, unknown)
}

func (c eventStore) UpsertActivity(ctx context.Context, a shopify.MarketingActivity) error {
	told := shop.Activity{RemoteID: a.RemoteID, Title: a.Title, URL: a.URL, Channel: "EMAIL", Tactic: "NEWSLETTER", Status: "ACTIVE",
		Campaign: a.RemoteID, Source: "listrak", Medium: "email", Start: a.Start.UTC()}
	switch {
	case a.Medium == shopify.BySMS:
		told.Channel, told.Tactic, told.Medium = "REFERRAL", "MESSAGE", "sms"
	case a.Automated:
		told.Tactic = "MESSAGE"
	}
	if a.Start.IsZero() {
		told.Start = time.Time{}
	}
	var refused []shop.UserError
	if err := c.write(ctx, "marketingActivityUpsertExternal", 1, func(int) { refused = c.store.UpsertActivity(told) }); err != nil {
		return err
	}
	return userError("store a marketing activity", refused)
}

func userError(op string, refused []shop.UserError) error {
	if len(refused) == 0 {
		return nil
	}
	return shopify.UserError(op, refused[0].Code, refused[0].Message)
}

// write pays for a call that writes, and makes it.
func (c eventStore) write(ctx context.Context, operation string, items int, effect func(int)) error {
	if ctx.Err() != nil {
		return c.exchange(ctx, operation, true, 0, nil)
	}
	if err := c.charge(eventPoints * items); err != nil {
		return err
	}
	return c.exchange(ctx, operation, true, items, effect)
}

func (c eventStore) CreateEngagements(ctx context.Context, engagements []shopify.Engagement) ([]error, error) {
	if len(engagements) > shopify.MaxEngagements {
		return nil, fmt.Errorf("%d days in one request, at most %d fit", len(engagements), shopify.MaxEngagements)
	}
	if len(engagements) == 0 {
		return nil, nil
	}
	c.world.events.tellsDays(c.process, engagements)
	results := make([]error, len(engagements))
	err := c.write(ctx, "marketingEngagementCreate", len(engagements), func(i int) {
		e := &engagements[i]
		told := shop.Engagement{Day: e.Day.Format(time.DateOnly), Offset: "+00:00", Counts: map[string]int{}}
		if e.Offset != 0 {
			told.Offset = time.Unix(0, 0).In(time.FixedZone("", int(e.Offset.Seconds()))).Format("-07:00")
		}
		for name, n := range countsOf(e) {
			if n != nil {
				told.Counts[name] = *n
			}
		}
		results[i] = userError("send the totals of a day", c.store.CreateEngagement(e.RemoteID, told))
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// countsOf are the counts of a day by Shopify's names.
func countsOf(e *shopify.Engagement) map[string]*int {
	return map[string]*int{"sendsCount": e.Sends, "impressionsCount": e.Deliveries, "viewsCount": e.Views, "uniqueViewsCount": e.UniqueViews,
		"clicksCount": e.Clicks, "uniqueClicksCount": e.UniqueClicks, "failsCount": e.Bounces, "unsubscribesCount": e.Unsubscribes,
		"complaintsCount": e.Complaints}
}

func (c eventStore) DefineMetafields(ctx context.Context, definitions []shopify.Definition) error {
	var refused []error
	err := c.write(ctx, "metafieldDefinitionCreate", len(definitions), func(i int) {
		d := definitions[i]
		for _, one := range c.store.DefineMetafield(shop.Definition{Namespace: fieldNamespace, Key: d.Key, Name: d.Name, Type: string(d.Type), Filterable: true}) {
			if one.Code != "TAKEN" {
				refused = append(refused, userError("define a metafield", []shop.UserError{one}))
			}
		}
	})
	return errors.Join(append(refused, err)...)
}

const fieldNamespace = "$app:concord"

func (c eventStore) SetMetafields(ctx context.Context, groups [][]shopify.Metafield) ([]shopify.MetafieldResult, error) {
	if len(groups) > shopify.MaxMetafieldSets {
		return nil, fmt.Errorf("%d groups of metafields in one request, at most %d fit", len(groups), shopify.MaxMetafieldSets)
	}
	for _, group := range groups {
		if len(group) == 0 || len(group) > metafieldsMaximum {
			return nil, fmt.Errorf("a group of %d metafields, want 1 to %d", len(group), metafieldsMaximum)
		}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	if err := c.spare(ctx, eventPoints*len(groups)); err != nil {
		return nil, err
	}
	c.world.events.tellsPeople(c.process, groups)
	results := make([]shopify.MetafieldResult, len(groups))
	err := c.write(ctx, "metafieldsSet", len(groups), func(i int) {
		inputs := make([]shop.MetafieldInput, len(groups[i]))
		for n, m := range groups[i] {
			inputs[n] = shop.MetafieldInput{Owner: shop.CustomerID(m.Customer), Namespace: fieldNamespace, Key: m.Key, Type: string(m.Type), Value: m.Value}
		}
		results[i] = shopify.MetafieldResult{}
		for _, refused := range c.store.SetMetafields(inputs) {
			err := userError("set metafields of customers", []shop.UserError{refused.UserError})
			if f := failure.As(err); f != nil && refused.Field[len(refused.Field)-1] == "ownerId" {
				f.Code = shopify.CodeNoOwner
			}
			if results[i].Refused == nil {
				results[i].Refused = map[int]error{}
			}
			results[i].Refused[refused.Element] = err
		}
		c.world.events.peopleTold()
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// spare waits until the points are there that consent does not need: half of a full bucket stays.
func (c eventStore) spare(ctx context.Context, points int) error {
	for deadline := c.world.deadline(ctx, c.callTimeout); ; {
		status := c.store.Budget()
		if missing := points + status.MaximumAvailable/2 - status.CurrentlyAvailable; missing <= 0 {
			return nil
		}
		if c.world.now.After(deadline) {
			return &failure.Error{Class: failure.Retry, Op: "set metafields of customers", Code: shopify.CodeBudget}
		}
		if err := c.world.pause(time.Second); err != nil {
			return err
		}
	}
}

// eventList is an engagement.List on the sandbox's model of a list, without HTTP, in pages of any size.
type eventList struct {
	*listClient
	pageSize int
}

// ask makes a call whose refusal by Listrak concerns the message alone.
func (c eventList) ask(ctx context.Context, operation string, effect func() error) error {
	refused, err := c.call(ctx, operation, false, effect)
	switch {
	case err != nil:
		return err
	case refused != nil:
		f := listrak.Refusal(operation, refused.Status, refused.Code, false)
		if f.Class == failure.PersonMustAct {
			f.Class, f.Advice = failure.Refused, "" // the list is there: it is the message that is not
		}
		return f
	}
	return nil
}

func (c eventList) date(at time.Time) (time.Time, error) {
	text := list.WriteDate(at, c.list.Config().Zone)
	if text == nil {
		return time.Time{}, nil
	}
	read, _, err := listrak.ParseDate(*text, c.zone)
	return read, err
}

func (c eventList) since(at time.Time) (time.Time, error) {
	if at.IsZero() {
		return time.Time{}, nil
	}
	return time.Parse("2006-01-02T15:04:05", listrak.FormatSince(at, c.zone))
}

func (c eventList) Messages(ctx context.Context, since time.Time, cursor string) (listrak.MessagePage, error) {
	from, err := c.since(since)
	if err != nil {
		return listrak.MessagePage{}, err
	}
	return c.messages(ctx, listrak.MessageRef{Kind: listrak.Bulk}, list.BulkMessage, from, cursor)
}

func (c eventList) ConversationMessages(ctx context.Context, conversation int, cursor string) (listrak.MessagePage, error) {
	return c.messages(ctx, listrak.MessageRef{Kind: listrak.Conversation, Conversation: conversation}, list.ConversationMessage, time.Time{}, cursor)
}

func (c eventList) messages(ctx context.Context, of listrak.MessageRef, kind list.MessageKind, from time.Time, cursor string) (listrak.MessagePage, error) {
	var page listrak.MessagePage
	err := c.ask(ctx, "GET Messages", func() error {
		after := 0
		if cursor != "" {
			if _, err := fmt.Sscan(cursor, &after); err != nil {
				return err
			}
		}
		for _, m := range c.list.ShownMessages(kind, of.Conversation, from, time.Time{}) {
			if m.ID <= after {
				continue
			}
			if len(page.Messages) == c.pageSize {
				page.Next = fmt.Sprint(page.Messages[len(page.Messages)-1].Ref.ID)
				break
			}
			sent, err := c.date(m.At)
			if err != nil {
				return err
			}
			ref := of
			ref.ID = m.ID
			page.Messages = append(page.Messages, listrak.Message{Ref: ref, Subject: m.Subject, Sent: sent})
		}
		return nil
	})
	return page, err
}

func (c eventList) Conversations(ctx context.Context) (ids []int, err error) {
	err = c.ask(ctx, "GET Conversations", func() error { ids = c.list.Conversations(); return nil })
	return ids, err
}

func (c eventList) TransactionalMessages(ctx context.Context) (messages []listrak.Message, err error) {
	err = c.ask(ctx, "GET TransactionalMessages", func() error {
		for _, m := range c.list.ShownMessages(list.TransactionalMessage, 0, time.Time{}, time.Time{}) {
			messages = append(messages, listrak.Message{Ref: listrak.MessageRef{Kind: listrak.Transactional, ID: m.ID}, Subject: m.Subject})
		}
		return nil
	})
	return messages, err
}

func kindOf(kind listrak.MessageKind) list.MessageKind {
	return map[listrak.MessageKind]list.MessageKind{listrak.Bulk: list.BulkMessage, listrak.Conversation: list.ConversationMessage,
		listrak.Transactional: list.TransactionalMessage}[kind]
}

func (c eventList) Summary(ctx context.Context, message listrak.MessageRef) (sum listrak.Summary, err error) {
	if message.Kind == listrak.Transactional {
		return sum, fmt.Errorf("read a summary: %w of transactional messages", errors.ErrUnsupported)
	}
	err = c.ask(ctx, "GET Summary", func() error {
		s, err := c.list.Summarize(kindOf(message.Kind), message.Conversation, message.ID)
		sum = listrak.Summary{Sent: s.Sent, Opens: s.Opens, Reads: s.Reads, Clicks: s.Clicks, Bounces: s.Bounces, Unsubscribes: s.Unsubscribes}
		return err
	})
	return sum, err
}

func (c eventList) Activity(ctx context.Context, message listrak.MessageRef, query listrak.ActivityQuery) (listrak.ActivityPage, error) {
	ask := list.ActivityQuery{ByActivity: query.ByActivity, Cursor: query.Cursor, Count: c.pageSize}
	if ask.Cursor == "" {
		ask.Cursor = list.Start
	}
	var err error
	if ask.From, err = c.since(query.Since); err != nil {
		return listrak.ActivityPage{}, err
	}
	if message.Kind == listrak.Conversation {
		ask.ByActivity, ask.From = false, time.Time{}
	}
	began := c.world.now
	var page listrak.ActivityPage
	err = c.ask(ctx, "GET Activity", func() error {
		found, err := c.list.ReadActivity(kindOf(message.Kind), message.Conversation, message.ID, ask)
		page = listrak.ActivityPage{Next: found.Next, ServerTime: c.serverTime()}
		for i := range found.Rows {
			row := &found.Rows[i]
			sent, err1 := c.date(row.Sent)
			first, err2 := c.date(row.FirstActivity)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			page.Rows = append(page.Rows, listrak.Activity{Address: row.Email, Sent: sent, First: first, Opened: row.Opened || row.WasRead,
				Clicked: row.Clicked, Bounced: row.Bounced, Unsubscribed: row.Unsubscribed, Complained: row.Abuse, Clicks: row.Clicks})
		}
		return err
	})
	if err != nil {
		if f := failure.As(err); f != nil && f.Code == list.CodeInvalidParameter && query.Cursor != "" {
			return listrak.ActivityPage{}, listrak.LostCursor(f.Op)
		}
		return listrak.ActivityPage{}, err
	}
	c.world.events.shown(message, began, page.Rows)
	return page, nil
}

var (
	_ engagement.Store = eventStore{}
	_ engagement.List  = eventList{}
)
