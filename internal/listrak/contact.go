package listrak

import (
	"errors"
	"time"

	"github.com/concordsync/concord/internal/listrak/email"
)

// State is the subscription state of a contact on the list.
type State string

// The states. Listrak documents Subscribed and Unsubscribed; a contact of a list with double opt-in may show something that
// begins with "Pending". Whatever else comes back is Unknown: no decision of the person can be read from it.
const (
	Unknown      State = ""
	Subscribed   State = "Subscribed"
	Unsubscribed State = "Unsubscribed"
	Pending      State = "Pending"
)

// Contact is one person on one list (contracts/listrak.md, Email contacts).
type Contact struct {
	Address, EmailKey string
	State             State
	// Date is when the person consented or left, UTC: of a Subscribed the later of subscribeDate and resubscribeDate, of an
	// Unsubscribed the unsubscribeDate. Zero when there is none. It follows Config.Zone, which is unproven until ProveZone
	// says otherwise; see Uncertainty.
	Date time.Time
	// Ambiguous is true when the clocks of the zone showed Date's wall clock twice (Date is then the earlier of the two) or never.
	Ambiguous bool
	// RawDate is Date as Listrak wrote it, for ProveZone.
	RawDate string
	// Method is how the contact came into State: subscribeMethod or unsubscribeMethod. Listrak publishes no list of them.
	Method string
	// ServerTime is the Date header of the answer that brought the contact alone, as in ContactPage; zero in a page.
	ServerTime time.Time
}

// Wall is RawDate as an instant, as if its wall clock were that of UTC: it changes only when Listrak changes the date, whatever zone
// is set. Zero when there is no date.
func (c Contact) Wall() time.Time { return wallOf(c.RawDate) }

// ContactPage is one page of contacts. Next is empty on the last one. ServerTime is the Date header of the answer, precise to the
// second, zero when it was missing.
type ContactPage struct {
	Contacts   []Contact
	Next       string
	ServerTime time.Time
}

// ContactQuery asks for the contacts that have State (Subscribed or Unsubscribed) since Since, inclusive; a zero Since asks for all.
// Since is compared with Listrak's own clock: while the zone is unproven, ask for Uncertainty earlier than what is wanted.
type ContactQuery struct {
	State  State
	Since  time.Time
	Cursor string
}

// SubscribeOptions go with a subscription. EventIDs are the external events to raise, by which Listrak knows the subscription
// point. Override subscribes a contact even if it is unsubscribed: only when a read just before showed an Unsubscribed older
// than the decision (design/consent-rules.md 14). ExternalID is the contact's id with us, empty to leave it as it is.
type SubscribeOptions struct {
	EventIDs   []int
	Override   bool
	ExternalID string
}

// WriteResult says what a write that did not fail came to: done, AlreadySo (the contact was in that state before) or Pending
// (double opt-in: waits for the person's confirmation, which is no consent). ServerTime is as in ContactPage.
type WriteResult struct {
	AlreadySo  bool
	Pending    bool
	ServerTime time.Time
}

// List is a Listrak list.
type List struct {
	ID          int
	Name        string
	DoubleOptIn bool
}

// Event is an external event of the list. A blocked one is not Active: raising it does nothing.
type Event struct {
	ID     int
	Name   string
	Active bool
}

// errDate hides the date's text, because a broken answer may have anything in its place.
var errDate = errors.New("a date of a contact is in no form that Listrak documents")

// ContactOf reads a contact as it came, in the zone that the merchant set.
func ContactOf(c email.Contact, zone *time.Location) (Contact, error) {
	contact := Contact{Address: c.EmailAddress, EmailKey: text(c.EmailKey), State: stateOf(text(c.SubscriptionState))}
	switch contact.State {
	case Subscribed:
		contact.Method = text(c.SubscribeMethod)
		if err := contact.take(text(c.SubscribeDate), zone); err != nil {
			return Contact{}, err
		}
		return contact, contact.take(text(c.ResubscribeDate), zone)
	case Unsubscribed:
		contact.Method = text(c.UnsubscribeMethod)
		return contact, contact.take(text(c.UnsubscribeDate), zone)
	default:
		return contact, nil
	}
}

// take makes raw the contact's date if it is later than the one it has.
func (c *Contact) take(raw string, zone *time.Location) error {
	date, ambiguous, err := ParseDate(raw, zone)
	if err != nil {
		return err
	}
	if !date.IsZero() && (c.Date.IsZero() || date.After(c.Date)) {
		c.Date, c.Ambiguous, c.RawDate = date, ambiguous, raw
	}
	return nil
}

func stateOf(s string) State {
	switch {
	case s == string(Subscribed), s == string(Unsubscribed):
		return State(s)
	case len(s) >= len(Pending) && s[:len(Pending)] == string(Pending):
		return Pending
	default:
		return Unknown
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
