package simulation

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/listrak/email"
	"github.com/concordsync/concord/internal/sandbox/list"
)

// listClient is a reconcile.Listrak on the sandbox's model of a list, without HTTP: what listrak.Client and the sandbox's server do
// together. TestSides holds it against the two. What a route does not take (such as "&" or "/" in an address) is not in it.
type listClient struct {
	*link
	list *list.Store
	// zone is the one that the merchant has set; the list's own may be another.
	zone *time.Location
	// seen is when the list last answered.
	seen time.Time
}

func (c *listClient) Reserve(context.Context) error { return c.world.pause(c.world.latency()) }

// call makes one call; refused is what the list itself had against it.
func (c *listClient) call(ctx context.Context, operation string, write bool, effect func() error) (refused *list.Error, err error) {
	var other error
	err = c.exchange(ctx, operation, write, 1, func(int) {
		if other = effect(); errors.As(other, &refused) {
			other = nil
		}
	})
	if err == nil {
		err = other
	}
	if err == nil && refused == nil {
		c.seen = c.world.now
	}
	return refused, err
}

func (c *listClient) Contacts(ctx context.Context, query listrak.ContactQuery) (listrak.ContactPage, error) {
	const operation = "GET Contacts"
	if err := query.Check(operation); err != nil {
		return listrak.ContactPage{}, err
	}
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
	refused, err := c.call(ctx, operation, false, func() error {
		found, err := c.list.ReadContacts(ask)
		page = listrak.ContactPage{Next: found.Next, ServerTime: c.serverTime()}
		for _, contact := range found.Contacts {
			read, unreadable := c.read(contact)
			err = errors.Join(err, unreadable)
			page.Contacts = append(page.Contacts, read)
		}
		return err
	})
	switch {
	case err != nil:
		return listrak.ContactPage{}, err
	case refused != nil && refused.Code == list.CodeInvalidParameter && query.Cursor != "":
		return listrak.ContactPage{}, listrak.LostCursor(operation)
	case refused != nil:
		return listrak.ContactPage{}, listrak.Refusal(operation, refused.Status, refused.Code, false)
	}
	return page, nil
}

func (c *listClient) Contact(ctx context.Context, addressOrKey string) (listrak.Contact, bool, error) {
	const operation = "GET Contact"
	if !listrak.Readable(addressOrKey) {
		return listrak.Contact{}, false, listrak.Inexpressible(operation)
	}
	var read listrak.Contact
	c.world.watch.lookedUp(c.process, c.side, normal(addressOrKey)) // its turn has come, however long the answer takes
	// The code for "no such contact" says also that there is no such list. So without a recent answer from the list, it is asked too.
	known := c.world.now.Sub(c.seen) <= time.Minute
	missing := glimpse{address: normal(addressOrKey), side: c.side, state: nobodyThere, process: c.process}
	refused, err := c.call(ctx, operation, false, func() error {
		contact, err := c.list.ReadContact(addressOrKey)
		if err == nil {
			read, err = c.read(contact)
			read.ServerTime = c.serverTime()
			return err
		}
		if missing.at = c.world.now; known {
			c.world.watch.glimpses = append(c.world.watch.glimpses, missing)
		}
		return err
	})
	switch {
	case err != nil:
		return listrak.Contact{}, false, err
	case refused == nil:
		return read, true, nil
	case !known:
		_, err = c.call(ctx, "GET Contacts", false, func() error {
			c.world.watch.glimpses = append(c.world.watch.glimpses, missing)
			return nil
		})
	}
	return listrak.Contact{}, false, err
}

func (c *listClient) Subscribe(ctx context.Context, address string, options listrak.SubscribeOptions) (listrak.WriteResult, error) {
	ask := list.Upsert{Email: address, State: list.Subscribed, Override: options.Override, ExternalID: options.ExternalID}
	for _, id := range options.EventIDs {
		if !slices.Contains(ask.Events, id) {
			ask.Events = append(ask.Events, id)
		}
	}
	result, refused, err := c.post(ctx, ask)
	if refused != nil && refused.Code == list.CodeInvalidParameter && len(ask.Events) > 0 {
		// The code does not say which parameter.
		if wrong := c.checkEvents(ctx, ask.Events); wrong != nil {
			return listrak.WriteResult{}, wrong
		}
	}
	return result, err
}

func (c *listClient) checkEvents(ctx context.Context, ids []int) error {
	var events []listrak.Event
	if _, err := c.call(ctx, "GET Events", false, func() error {
		for _, e := range c.list.Config().Events {
			events = append(events, listrak.Event{ID: e.ID, Name: e.Name, Active: e.Status == list.EventActive})
		}
		return nil
	}); err != nil {
		return err
	}
	return listrak.WrongEvent("GET Events", events, ids)
}

func (c *listClient) Unsubscribe(ctx context.Context, address string) (listrak.WriteResult, error) {
	result, _, err := c.post(ctx, list.Upsert{Email: address, State: list.Unsubscribed})
	return result, err
}

func (c *listClient) post(ctx context.Context, ask list.Upsert) (result listrak.WriteResult, refused *list.Error, err error) {
	const operation = "POST Contact"
	if !listrak.Expressible(ask.Email) {
		return listrak.WriteResult{}, nil, listrak.Inexpressible(operation)
	}
	if ctx.Err() != nil {
		return listrak.WriteResult{}, nil, c.exchange(ctx, operation, true, 0, nil)
	}
	call := c.world.watch.writeBegins(c.process, c.side, ask.Email, wordOf(ask.State == list.Subscribed))
	call.events = ask.Events
	defer func() { c.world.watch.writeEnds(call, err) }()
	var server time.Time
	refused, err = c.call(ctx, operation, true, func() error {
		before, existed := c.list.Contact(ask.Email)
		_, err := c.list.Upsert(ask)
		after, _ := c.list.Contact(ask.Email)
		c.world.watch.writeTook(call, ask.Email, after.State != before.State, string(before.State), !existed)
		c.world.changed()
		server = c.serverTime()
		return err
	})
	if err != nil {
		return listrak.WriteResult{}, nil, err
	}
	if refused != nil {
		result, err := listrak.RefusedWrite(operation, listrak.State(ask.State), refused.Status, refused.Code, server)
		return result, refused, err
	}
	return listrak.WriteResult{ServerTime: server}, nil, nil
}

func (c *listClient) serverTime() time.Time { return c.list.Clock().UTC().Truncate(time.Second) }

// read turns a contact of the model into one as it is read: its dates are written as wall clock of the list's zone and read as one of
// the merchant's.
func (c *listClient) read(contact list.Contact) (listrak.Contact, error) {
	c.world.watch.read(c.process, c.side, contact.Email, string(contact.State))
	state, zone := string(contact.State), c.list.Config().Zone
	return listrak.ContactOf(email.Contact{
		EmailAddress: contact.Email, EmailKey: &contact.EmailKey, SubscriptionState: &state,
		SubscribeDate: list.WriteDate(contact.SubscribedAt, zone), ResubscribeDate: list.WriteDate(contact.ResubscribedAt, zone),
		SubscribeMethod: &contact.SubscribeMethod,
		UnsubscribeDate: list.WriteDate(contact.UnsubscribedAt, zone), UnsubscribeMethod: &contact.UnsubscribeMethod,
	}, c.zone)
}
