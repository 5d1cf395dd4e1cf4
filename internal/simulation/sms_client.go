package simulation

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/listrak/sms"
	"github.com/concordsync/concord/internal/sandbox/list"
)

// smsClient is a reconcile.SMS on the sandbox's model of a sender code, without HTTP: what listrak.SMSClient and the sandbox's server do
// together. TestSides holds it against the two. What a route does not take (RefusesPlus) is not in it.
type smsClient struct {
	*link
	code *list.SenderCode
	list int
	// zone is the one that the merchant has set; the sender code's own may be another.
	zone *time.Location
	// seen is when the list last answered.
	seen time.Time
	// pointed are deliveries that have been written to the list that stands for a point, and not yet to the merchant's own: both calls are
	// one delivery.
	pointed map[string]*writeCall
}

func newSMSClient(l *link, code *list.SenderCode, of int, zone *time.Location) *smsClient {
	return &smsClient{link: l, code: code, list: of, zone: zone, pointed: map[string]*writeCall{}}
}

func (c *smsClient) Reserve(context.Context) error { return c.world.pause(c.world.latency()) }

// call makes one call; refused is what Listrak itself had against it.
func (c *smsClient) call(ctx context.Context, operation string, write bool, effect func() error) (refused *list.Error, err error) {
	var other error
	err = c.exchange(ctx, operation, write, 1, func(int) {
		if other = effect(); errors.As(other, &refused) {
			other = nil
		}
	})
	if err == nil {
		err = other
	}
	return refused, err
}

// callList is call to a route of a list.
func (c *smsClient) callList(ctx context.Context, operation string, write bool, of int, effect func() error) (refused *list.Error, err error) {
	if refused, err = c.call(ctx, operation, write, effect); refused == nil && err == nil && of == c.list {
		c.seen = c.world.now
	}
	return refused, err
}

// callPhone is callList to a route that names a phone number. That the sender code does not know the number is told by the code of
// ERROR_PHONE_NUMBER_NOT_FOUND, and only when the list is there.
func (c *smsClient) callPhone(ctx context.Context, operation string, write bool, of int, phone string, effect func() error) error {
	if !listrak.Dialable(phone) {
		return listrak.Inexpressible(operation)
	}
	refused, err := c.callList(ctx, operation, write, of, effect)
	switch {
	case err != nil:
		return err
	case refused == nil:
		return nil
	case refused.Code == list.CodeNoResource:
		if of != c.list || c.world.now.Sub(c.seen) > time.Minute {
			if err := c.touch(ctx, of); err != nil {
				return err
			}
		}
		return listrak.SMSRefusal(operation, http.StatusBadRequest, list.CodePhoneNotFound, false)
	}
	return listrak.SMSRefusal(operation, refused.Status, refused.Code, write)
}

// touch asks whether there is such a list.
func (c *smsClient) touch(ctx context.Context, of int) error {
	const operation = "GET Contacts"
	refused, err := c.callList(ctx, operation, false, of, func() error {
		_, err := c.code.ReadContacts(list.PhoneQuery{List: of, Cursor: list.Start, Count: 1})
		return err
	})
	if err == nil && refused != nil {
		err = listrak.SMSRefusal(operation, refused.Status, refused.Code, false)
	}
	return err
}

// page is what a question for a page asks.
func (c *smsClient) page(query listrak.SMSQuery) (list.PhoneQuery, error) {
	ask := list.PhoneQuery{List: c.list, Cursor: query.Cursor, Count: list.MaxCount}
	if ask.Cursor == "" {
		ask.Cursor = list.Start
	}
	if query.Since.IsZero() {
		return ask, nil
	}
	var err error
	ask.From, err = time.Parse("2006-01-02T15:04:05", listrak.FormatSince(query.Since, c.zone))
	return ask, err
}

// pageRefused is the failure of a page.
func pageRefused(operation string, query listrak.SMSQuery, refused *list.Error) error {
	if refused.Code == list.CodeInvalidParameter && query.Cursor != "" {
		return listrak.LostCursor(operation)
	}
	return listrak.SMSRefusal(operation, refused.Status, refused.Code, false)
}

func (c *smsClient) Subscribers(ctx context.Context, query listrak.SMSQuery) (listrak.PhonePage, error) {
	const operation = "GET Contacts"
	ask, err := c.page(query)
	if err != nil {
		return listrak.PhonePage{}, err
	}
	var page listrak.PhonePage
	refused, err := c.callList(ctx, operation, false, c.list, func() error {
		found, err := c.code.ReadContacts(ask)
		config := c.code.Config()
		page = listrak.PhonePage{Next: found.Next, ServerTime: c.serverTime()}
		for _, phone := range found.Phones {
			page.Phones = append(page.Phones, config.Spell(phone.Number))
		}
		return err
	})
	switch {
	case err != nil:
		return listrak.PhonePage{}, err
	case refused != nil:
		return listrak.PhonePage{}, pageRefused(operation, query, refused)
	}
	return page, nil
}

func (c *smsClient) OptOuts(ctx context.Context, query listrak.SMSQuery) (listrak.OptOutPage, error) {
	const operation = "GET OptOuts"
	ask, err := c.page(query)
	if err != nil {
		return listrak.OptOutPage{}, err
	}
	var page listrak.OptOutPage
	refused, err := c.call(ctx, operation, false, func() error {
		found, err := c.code.ReadOptOuts(ask)
		config := c.code.Config()
		page = listrak.OptOutPage{Next: found.Next, ServerTime: c.serverTime()}
		for _, phone := range found.Phones {
			c.world.watch.read(c.process, c.side, phone.Number, phoneState(phone, c.list))
			number, reason := config.Spell(phone.Number), config.Reason(phone.Reason)
			read, unreadable := listrak.OptOutOf(sms.OptOutContact{
				PhoneNumber: &number, OptOutDate: list.WriteDate(phone.OptedOutAt, config.Zone), OptOutReason: &reason,
			}, c.zone)
			err = errors.Join(err, unreadable)
			page.OptOuts = append(page.OptOuts, read)
		}
		return err
	})
	switch {
	case err != nil:
		return listrak.OptOutPage{}, err
	case refused != nil:
		return listrak.OptOutPage{}, pageRefused(operation, query, refused)
	}
	return page, nil
}

// phoneState is what the API shows of a phone number on a list; nobodyThere when the list never had it and it is not opted out.
func phoneState(p list.Phone, on int) string {
	if p.OptedOut {
		return string(list.Unsubscribed)
	}
	return string(p.Lists[on].State)
}

func (c *smsClient) Contact(ctx context.Context, phone string) (listrak.SMSContact, bool, error) {
	c.world.watch.lookedUp(c.process, c.side, phone) // its turn has come, however long the answer takes
	var details sms.ContactSubscriptionDetails
	var optedOut bool
	// What is seen of the number counts from the first of the two calls: what happens between them is not surely in it.
	looked := glimpse{address: phone, side: c.side, process: c.process}
	err := c.callPhone(ctx, "GET Contact", false, c.list, phone, func() error {
		looked.at = c.world.now
		read, err := c.code.ReadPhone(phone)
		if err != nil {
			return err
		}
		config := c.code.Config()
		number := config.Spell(read.Number)
		optedOut, details = read.OptedOut, sms.ContactSubscriptionDetails{PhoneNumber: &number, OptedOut: &read.OptedOut}
		if !config.HidesOptOutDate {
			details.UnsubscribeDate = list.WriteDate(read.OptedOutAt, config.Zone)
		}
		return nil
	})
	if isUnknown(err) {
		c.world.watch.arrived([]glimpse{looked})
		return listrak.SMSContact{}, false, nil
	}
	if err != nil {
		return listrak.SMSContact{}, false, err
	}
	lists, server, err := c.subscriptions(ctx, phone, &looked, optedOut)
	if err != nil {
		return listrak.SMSContact{}, false, err
	}
	contact, found, err := listrak.SMSContactOf(details, lists, c.list, c.zone)
	contact.ServerTime = server
	return contact, found, err
}

// subscriptions is the second call of Contact.
func (c *smsClient) subscriptions(ctx context.Context, phone string, looked *glimpse, optedOut bool) ([]sms.ContactListSubscription, time.Time, error) {
	var all []sms.ContactListSubscription
	var server time.Time
	err := c.callPhone(ctx, "GET Subscriptions", false, c.list, phone, func() error {
		server = c.serverTime()
		read, err := c.code.ReadPhone(phone)
		read.OptedOut = optedOut
		looked.state = phoneState(read, c.list)
		c.world.watch.glimpses = append(c.world.watch.glimpses, *looked)
		if err != nil {
			return err
		}
		config := c.code.Config()
		for _, l := range config.Lists {
			held, on := read.Lists[l.ID]
			if !on {
				continue
			}
			id, state := int32(l.ID), string(held.State)
			if config.LowerStates {
				state = strings.ToLower(state)
			}
			all = append(all, sms.ContactListSubscription{
				PhoneListId: &id, SubscriptionState: &state,
				SubscribeDate: list.WriteDate(held.SubscribedAt, config.Zone), UnsubscribeDate: list.WriteDate(held.UnsubscribedAt, config.Zone),
				PendingDoubleOptIn: &held.AwaitsOptIn, PendingAgeGate: &held.AwaitsAge,
			})
		}
		return nil
	})
	if isUnknown(err) {
		err = nil // gone between the two calls
	}
	return all, server, err
}

// isUnknown tells that the sender code does not know the phone number.
func isUnknown(err error) bool { return hasCode(err, list.CodePhoneNotFound) }

func hasCode(err error, code string) bool {
	f := failure.As(err)
	return f != nil && f.Code == code
}

func (c *smsClient) Subscribe(ctx context.Context, phone string, options listrak.SMSSubscribeOptions) (listrak.WriteResult, error) {
	return c.write(ctx, phone, yes, options.List, func(of int, call *writeCall) (listrak.WriteResult, error) {
		var server time.Time
		var err error
		if options.Known {
			if server, err = c.subscribeKnown(ctx, call, phone, of); isUnknown(err) {
				server, err = c.create(ctx, call, phone, of)
			}
		} else {
			if server, err = c.create(ctx, call, phone, of); hasCode(err, list.CodePhoneFound) {
				server, err = c.subscribeKnown(ctx, call, phone, of)
			}
		}
		return endOfWrite(err, listrak.Subscribed, server)
	})
}

func (c *smsClient) create(ctx context.Context, call *writeCall, phone string, of int) (time.Time, error) {
	const operation = "POST Contact"
	if !listrak.Dialable(phone) {
		return time.Time{}, listrak.Inexpressible(operation)
	}
	var server time.Time
	refused, err := c.callList(ctx, operation, true, of, func() error {
		server = c.serverTime()
		return c.take(call, of, phone, func() error { return c.code.PostContact(of, phone) })
	})
	if err == nil && refused != nil {
		err = listrak.SMSRefusal(operation, refused.Status, refused.Code, true)
	}
	return server, err
}

func (c *smsClient) subscribeKnown(ctx context.Context, call *writeCall, phone string, of int) (time.Time, error) {
	var server time.Time
	err := c.callPhone(ctx, "POST Subscription", true, of, phone, func() error {
		server = c.serverTime()
		return c.take(call, of, phone, func() error { return c.code.PostSubscription(of, phone) })
	})
	return server, err
}

func (c *smsClient) Unsubscribe(ctx context.Context, phone string, of int) (listrak.WriteResult, error) {
	return c.write(ctx, phone, no, of, func(of int, call *writeCall) (listrak.WriteResult, error) {
		var server time.Time
		err := c.callPhone(ctx, "DELETE Subscription", true, of, phone, func() error {
			server = c.serverTime()
			return c.take(call, of, phone, func() error { return c.code.DeleteSubscription(of, phone) })
		})
		return endOfWrite(err, listrak.Unsubscribed, server)
	})
}

func (c *smsClient) OptOut(ctx context.Context, phone string) (listrak.WriteResult, error) {
	const operation = "PUT Contact"
	return c.write(ctx, phone, no, c.list, func(_ int, call *writeCall) (listrak.WriteResult, error) {
		if !listrak.Dialable(phone) {
			return listrak.WriteResult{}, listrak.Inexpressible(operation)
		}
		var server time.Time
		refused, err := c.call(ctx, operation, true, func() error {
			server = c.serverTime()
			return c.take(call, c.list, phone, func() error { return c.code.PutContact(phone, true) })
		})
		switch {
		case err != nil:
			return listrak.WriteResult{}, err
		case refused == nil:
			return listrak.WriteResult{ServerTime: server}, nil
		case refused.Code == list.CodeNoResource:
			// It may mean the sender code or the phone number.
			if _, err := c.call(ctx, "GET OptOuts", false, func() error { return nil }); err != nil {
				return listrak.WriteResult{}, err
			}
			return listrak.WriteResult{}, listrak.SMSRefusal(operation, http.StatusBadRequest, list.CodePhoneNotFound, false)
		}
		return listrak.WriteResult{}, listrak.SMSRefusal(operation, refused.Status, refused.Code, true)
	})
}

// endOfWrite is the end of a write for its caller; some refusals are none.
func endOfWrite(err error, asked listrak.State, server time.Time) (listrak.WriteResult, error) {
	for _, code := range []string{list.CodePhoneSubscribed, list.CodePhoneNotSubscribed, list.CodePhoneNotFound, list.CodePhonePending} {
		if hasCode(err, code) {
			return listrak.SMSRefusedWrite(failure.As(err).Op, asked, http.StatusBadRequest, code, server)
		}
	}
	if err != nil {
		return listrak.WriteResult{}, err
	}
	return listrak.WriteResult{ServerTime: server}, nil
}

// write shows the watch a delivery: one call, or that to the list of the point and then that to the merchant's own.
func (c *smsClient) write(ctx context.Context, phone string, what word, of int, do func(of int, call *writeCall) (listrak.WriteResult, error),
) (result listrak.WriteResult, err error) {
	if of == 0 {
		of = c.list
	}
	if ctx.Err() != nil {
		return listrak.WriteResult{}, c.exchange(ctx, "write", true, 0, nil)
	}
	call := c.pointed[phone]
	delete(c.pointed, phone)
	if call == nil || call.word != what || of != c.list {
		call = c.world.watch.writeBegins(c.process, c.side, phone, what)
	}
	if of != c.list {
		call.events = []int{checkoutEvent}
	}
	result, err = do(of, call)
	if err == nil && of != c.list {
		c.pointed[phone] = call
		return result, nil
	}
	call.refused = failure.ClassOf(err) == failure.Refused && err != nil
	c.world.watch.writeEnds(call, err)
	return result, err
}

// take is the moment at which Listrak takes a write.
func (c *smsClient) take(call *writeCall, of int, phone string, do func() error) error {
	before, known := c.code.Phone(phone)
	was := phoneState(before, c.list)
	err := do()
	after, _ := c.code.Phone(phone)
	is := phoneState(after, c.list)
	var refused *list.Error
	if errors.As(err, &refused) && (refused.Code == list.CodePhoneFound || refused.Code == list.CodePhoneNotFound || refused.Code == list.CodeNoResource) {
		return err // another call follows
	}
	if of == c.list || is != was {
		c.world.watch.writeTook(call, phone, is != was, was, !known)
	}
	c.world.changed()
	return err
}

func (c *smsClient) serverTime() time.Time { return c.code.Clock().UTC().Truncate(time.Second) }
