package simulation

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/list"
)

// listClient is a reconcile.Listrak on the sandbox's model of a list, without HTTP: what listrak.Client and the sandbox's server do
// together. A test holds it against the two.
type listClient struct {
	*link
	list *list.Store
	// zone is the one that the merchant has set; the list's own may be another.
	zone *time.Location
}

func (c listClient) Reserve(context.Context) error { return c.world.pause(c.world.latency()) }

func (c listClient) Contacts(ctx context.Context, query listrak.ContactQuery) (listrak.ContactPage, error) {
	ask := list.Query{State: list.State(query.State), Cursor: query.Cursor, Count: list.MaxCount}
	if ask.Cursor == "" {
		ask.Cursor = list.Start
	}
	if !query.Since.IsZero() {
		from, err := time.Parse("2006-01-02T15:04:05", listrak.FormatSince(query.Since, c.zone))
		if err != nil {
			return listrak.ContactPage{}, err
		}
		ask.From = from
	}
	var page listrak.ContactPage
	var refused error
	err := c.exchange(ctx, "GET Contacts", false, 1, func(int) {
		var found list.Page
		found, refused = c.list.ReadContacts(ask)
		page = listrak.ContactPage{Next: found.Next, ServerTime: c.serverTime()}
		for _, contact := range found.Contacts {
			read, err := c.read(contact)
			refused = errors.Join(refused, err)
			page.Contacts = append(page.Contacts, read)
		}
	})
	return page, errors.Join(err, refused)
}

func (c listClient) Contact(ctx context.Context, addressOrKey string) (listrak.Contact, bool, error) {
	var read listrak.Contact
	var refused error
	there := false
	c.world.watch.lookedUp(c.process, c.side, normal(addressOrKey)) // its turn has come, however long the answer takes
	err := c.exchange(ctx, "GET Contact", false, 1, func(int) {
		contact, missing := c.list.ReadContact(addressOrKey)
		if there = missing == nil; there {
			read, refused = c.read(contact)
			read.ServerTime = c.serverTime()
		} else {
			c.world.watch.read(c.process, c.side, addressOrKey, nobodyThere)
		}
	})
	return read, there && err == nil, errors.Join(err, refused)
}

func (c listClient) Subscribe(ctx context.Context, address string, options listrak.SubscribeOptions) (listrak.WriteResult, error) {
	ask := list.Upsert{Email: address, State: list.Subscribed, Events: options.EventIDs, Override: options.Override, ExternalID: options.ExternalID}
	return c.post(ctx, ask, list.CodeSubscribed)
}

func (c listClient) Unsubscribe(ctx context.Context, address string) (listrak.WriteResult, error) {
	return c.post(ctx, list.Upsert{Email: address, State: list.Unsubscribed}, list.CodeUnsubscribed, list.CodeNotSubscribed)
}

func (c listClient) post(ctx context.Context, ask list.Upsert, alreadySo ...string) (listrak.WriteResult, error) {
	if ctx.Err() != nil {
		return listrak.WriteResult{}, c.fail("write contact", "TIMEOUT", true)
	}
	call := c.world.watch.writeBegins(c.process, c.side, ask.Email, wordOf(ask.State == list.Subscribed))
	call.events = ask.Events
	var result listrak.WriteResult
	var err, refused error
	defer func() { c.world.watch.writeEnds(call, err) }()
	err = c.exchange(ctx, "POST Contact", true, 1, func(int) {
		before, existed := c.list.Contact(ask.Email)
		_, refused = c.list.Upsert(ask)
		after, _ := c.list.Contact(ask.Email)
		effective := after.State != before.State
		c.world.watch.writeTook(call, ask.Email, effective, string(before.State), !existed)
		c.world.changed()
		result = listrak.WriteResult{ServerTime: c.serverTime()}
	})
	if err != nil {
		return listrak.WriteResult{}, err
	}
	var e *list.Error
	if !errors.As(refused, &e) {
		return result, refused
	}
	switch {
	case slices.Contains(alreadySo, e.Code):
		result.AlreadySo = true
		return result, nil
	case e.Code == list.CodePending:
		result.Pending = true
		return result, nil
	case e.Code == list.CodeBanned, e.Code == list.CodeSuppressed, e.Code == list.CodeInvalidParameter:
		return listrak.WriteResult{}, &failure.Error{Class: failure.Refused, Op: "write contact", Code: e.Code}
	}
	return listrak.WriteResult{}, &failure.Error{Class: failure.Retry, Op: "write contact", Code: e.Code}
}

func (c listClient) serverTime() time.Time { return c.list.Clock().UTC().Truncate(time.Second) }

// read turns a contact of the model into one as it is read: its dates are written as wall clock of the list's zone and read as one of
// the merchant's.
func (c listClient) read(contact list.Contact) (listrak.Contact, error) {
	c.world.watch.read(c.process, c.side, contact.Email, string(contact.State))
	read := listrak.Contact{Address: contact.Email, EmailKey: contact.EmailKey, State: listrak.State(contact.State)}
	var dates []time.Time
	switch contact.State {
	case list.Subscribed:
		read.Method, dates = contact.SubscribeMethod, []time.Time{contact.SubscribedAt, contact.ResubscribedAt}
	case list.Unsubscribed:
		read.Method, dates = contact.UnsubscribeMethod, []time.Time{contact.UnsubscribedAt}
	}
	for _, date := range dates {
		if date.IsZero() {
			continue
		}
		raw := date.In(c.list.Config().Zone).Format("2006-01-02T15:04:05.999")
		at, ambiguous, err := listrak.ParseDate(raw, c.zone)
		if err != nil {
			return listrak.Contact{}, err
		}
		if read.Date.IsZero() || at.After(read.Date) {
			read.Date, read.Ambiguous, read.RawDate = at, ambiguous, raw
		}
	}
	return read, nil
}
