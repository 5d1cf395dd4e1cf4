package list

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/btree"
)

// State is a contact's subscriptionState.
type State string

// The states. The official document names the first two; Pending is how a contact shows that waits for double opt-in.
const (
	Subscribed   State = "Subscribed"
	Unsubscribed State = "Unsubscribed"
	Pending      State = "Pending"
)

// Methods by which a contact subscribes or leaves. Listrak does not publish its names, so these are ours; a merchant's settings
// name the real ones (consent-rules.md, rules 8 and 9). Any other text is allowed.
const (
	MethodAPI     = "API"
	MethodForm    = "Subscription Form"
	MethodImport  = "Import"
	MethodLink    = "Unsubscribe Link"
	MethodBounce  = "Bounce"
	MethodHygiene = "List Hygiene"
)

// Raised is one event that was raised for a contact.
type Raised struct {
	ID int       `json:"id"`
	At time.Time `json:"at"` // by Listrak's clock, UTC
}

// Contact is what Listrak knows of an address on this list. Dates are instants in UTC by Listrak's clock, cut to milliseconds;
// the zero time is null.
type Contact struct {
	Email    string `json:"email"`
	EmailKey string `json:"emailKey"`
	// UniversalEmailKey is the SHA-256 of the lower-case address, in hexadecimal.
	UniversalEmailKey string    `json:"universalEmailKey"`
	State             State     `json:"state"`
	SubscribedAt      time.Time `json:"subscribedAt,omitzero"`
	ResubscribedAt    time.Time `json:"resubscribedAt,omitzero"`
	SubscribeMethod   string    `json:"subscribeMethod,omitempty"`
	UnsubscribedAt    time.Time `json:"unsubscribedAt,omitzero"`
	UnsubscribeMethod string    `json:"unsubscribeMethod,omitempty"`
	ExternalContactID string    `json:"externalContactId,omitempty"`
	// Fields are the profile fields by id.
	Fields map[int]string `json:"fields,omitempty"`
	// Events are all events ever raised, oldest first.
	Events []Raised `json:"events,omitempty"`
	// SubscriptionEvents are the events raised by the write that last made this contact subscribed or pending: the subscription
	// point. It is empty when the person subscribed without us.
	SubscriptionEvents []int `json:"subscriptionEvents,omitempty"`
}

// Date is the date of consent: of a Subscribed the later of subscribeDate and resubscribeDate, of an Unsubscribed
// unsubscribeDate (contracts/listrak.md, Email contacts); zero while pending.
func (c Contact) Date() time.Time {
	switch {
	case c.State == Unsubscribed:
		return c.UnsubscribedAt
	case c.State == Pending:
		return time.Time{}
	case c.ResubscribedAt.After(c.SubscribedAt):
		return c.ResubscribedAt
	default:
		return c.SubscribedAt
	}
}

// contact is the stored form. Dates are Unix milliseconds, 0 for null: a million contacts fit in little memory that way.
type contact struct {
	sequence                               int64
	email, emailKey                        string
	state                                  State
	subscribed, resubscribed, unsubscribed int64
	subscribeMethod, unsubscribeMethod     string
	externalID                             string
	fields                                 map[int]string
	events                                 []Raised
	point                                  []int
}

func (c *contact) view() Contact {
	digest := sha256.Sum256([]byte(addressKey(c.email)))
	view := Contact{Email: c.email, EmailKey: c.emailKey, UniversalEmailKey: hex.EncodeToString(digest[:]), State: c.state,
		SubscribedAt: instant(c.subscribed), ResubscribedAt: instant(c.resubscribed), SubscribeMethod: c.subscribeMethod,
		UnsubscribedAt: instant(c.unsubscribed), UnsubscribeMethod: c.unsubscribeMethod, ExternalContactID: c.externalID,
		Events: slices.Clone(c.events), SubscriptionEvents: slices.Clone(c.point)}
	if len(c.fields) > 0 {
		view.Fields = make(map[int]string, len(c.fields))
		for id, value := range c.fields {
			view.Fields[id] = value
		}
	}
	return view
}

func instant(milliseconds int64) time.Time {
	if milliseconds == 0 {
		return time.Time{}
	}
	return time.UnixMilli(milliseconds).UTC()
}

// place is a contact's place in an index. Equal dates are kept apart by the sequence, so that a page can end between them.
type place struct {
	wall     int64
	sequence int64
	contact  *contact
}

func before(a, b place) bool {
	if a.wall != b.wall {
		return a.wall < b.wall
	}
	return a.sequence < b.sequence
}

func (s *Store) clearIndexes() {
	options := btree.Options{NoLocks: true}
	s.byLatest = btree.NewBTreeGOptions(before, options)
	s.byOriginal = btree.NewBTreeGOptions(before, options)
	s.byLeft = btree.NewBTreeGOptions(before, options)
}

// Listrak compares dates as it shows them: wall clock, without an offset. In the repeated hour of a clock change two instants
// have one wall time, and filters cannot tell them apart; so the indexes are in wall time too.
func (s *Store) wall(milliseconds int64) int64 {
	_, offset := time.UnixMilli(milliseconds).In(s.config.Zone).Zone()
	return milliseconds + int64(offset)*1000
}

func (s *Store) index(c *contact) {
	switch c.state {
	case Subscribed:
		s.byLatest.Set(s.latestPlace(c))
		s.byOriginal.Set(place{s.wall(c.subscribed), c.sequence, c})
	case Unsubscribed:
		s.byLeft.Set(place{s.wall(c.unsubscribed), c.sequence, c})
	}
}

func (s *Store) unindex(c *contact) {
	switch c.state {
	case Subscribed:
		s.byLatest.Delete(s.latestPlace(c))
		s.byOriginal.Delete(place{s.wall(c.subscribed), c.sequence, c})
	case Unsubscribed:
		s.byLeft.Delete(place{s.wall(c.unsubscribed), c.sequence, c})
	}
}

// latestPlace is by the most recent subscribe date: a resubscribeDate that an older act left behind does not hide a newer one.
func (s *Store) latestPlace(c *contact) place {
	latest := s.wall(c.subscribed)
	if c.resubscribed != 0 {
		latest = max(latest, s.wall(c.resubscribed))
	}
	return place{latest, c.sequence, c}
}

// change alters a contact and keeps the indexes true to it; nothing else may write to a stored contact's state or dates.
func (s *Store) change(c *contact, how func()) {
	s.unindex(c)
	how()
	s.index(c)
}

// create adds a contact that nobody knew; how fills in state and dates.
func (s *Store) create(email string, how func(*contact)) *contact {
	s.sequence++
	// Opaque as Listrak's own, and never the same for two contacts, nor for one of a later run; not derived from the address, since a key must not tell it.
	digest := sha256.Sum256(fmt.Appendf(nil, "list %d of %d contact %d", s.config.ID, s.created.UnixNano(), s.sequence))
	c := &contact{sequence: s.sequence, email: strings.TrimSpace(email), emailKey: strings.ToUpper(hex.EncodeToString(digest[:16]))}
	how(c)
	s.contacts[addressKey(email)] = c
	s.byKey[c.emailKey] = c
	s.index(c)
	return c
}

// find looks a contact up by address, in any letter case, or by email key.
func (s *Store) find(identifier string) *contact {
	if c := s.contacts[addressKey(identifier)]; c != nil {
		return c
	}
	return s.byKey[strings.ToUpper(identifier)]
}

// addressKey is what makes two spellings one contact.
func addressKey(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// proper tells whether text is one bare address, as opposed to nothing, a name with an address, or a list of them.
func proper(email string) bool {
	parsed, err := mail.ParseAddress(email)
	return err == nil && parsed.Address == strings.TrimSpace(email) && len(email) <= 254
}
