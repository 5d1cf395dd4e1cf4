package list

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrNoContact is returned for an act of somebody whom the list does not know.
var ErrNoContact = errors.New("the list has no such contact")

// Subscribe is the person subscribing without our doing: a form, an import, a shop's own link, as method says (empty means
// MethodForm). At is the real time of the act, zero for now; Listrak dates it by its own, perhaps skewed clock. On a list with
// double opt-in a newcomer waits for Confirm. Whoever is subscribed already is dated anew.
func (s *Store) Subscribe(email string, at time.Time, method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !proper(email) {
		return errors.New("subscribe: this is not an email address")
	}
	if why := s.refusals[addressKey(email)]; why != NotRefused {
		return fmt.Errorf("subscribe: Listrak refuses this address as %s", why)
	}
	if method == "" {
		method = MethodForm
	}
	date := s.date(at)
	c := s.contacts[addressKey(email)]
	if c == nil {
		s.create(email, func(c *contact) {
			c.state, c.subscribed, c.subscribeMethod = Subscribed, date, method
			if s.config.DoubleOptIn {
				c.state, c.subscribed = Pending, 0
			}
		})
		return nil
	}
	if c.state == Pending {
		return nil
	}
	s.change(c, func() {
		if c.subscribed == 0 {
			// Someone who left while pending has no first subscription yet.
			c.subscribed = date
		} else {
			c.resubscribed = date
		}
		c.state, c.subscribeMethod, c.point = Subscribed, method, nil
	})
	return nil
}

// Unsubscribe is the person, or a machine of Listrak, ending the subscription (empty method means MethodLink). At is the real
// time of the act, zero for now. It returns ErrNoContact when the list does not know the address.
func (s *Store) Unsubscribe(email string, at time.Time, method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.contacts[addressKey(email)]
	if c == nil {
		return fmt.Errorf("unsubscribe: %w", ErrNoContact)
	}
	if method == "" {
		method = MethodLink
	}
	date := s.date(at)
	s.change(c, func() { c.state, c.unsubscribed, c.unsubscribeMethod = Unsubscribed, date, method })
	return nil
}

// Confirm is the person following the link of a double opt-in message: a pending contact is subscribed, now.
func (s *Store) Confirm(email string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.contacts[addressKey(email)]
	if c == nil {
		return fmt.Errorf("confirm: %w", ErrNoContact)
	}
	if c.state != Pending {
		return fmt.Errorf("confirm: the contact is %s, not pending", strings.ToLower(string(c.state)))
	}
	s.change(c, func() { c.state, c.subscribed = Subscribed, s.date(time.Time{}) })
	return nil
}

// Delete removes the contact as if it had never been there; a later subscription starts anew, with another email key.
func (s *Store) Delete(email string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.contacts[addressKey(email)]
	if c == nil {
		return fmt.Errorf("delete: %w", ErrNoContact)
	}
	s.unindex(c)
	delete(s.contacts, addressKey(email))
	delete(s.byKey, c.emailKey)
	return nil
}

// Contact returns what the list knows of an address, pending ones included; false when it knows nobody by it.
func (s *Store) Contact(email string) (Contact, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.contacts[addressKey(email)]
	if c == nil {
		return Contact{}, false
	}
	return c.view(), true
}

// Contacts returns all contacts in the order in which they came to the list.
func (s *Store) Contacts() []Contact {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored := make([]*contact, 0, len(s.contacts))
	for _, c := range s.contacts {
		stored = append(stored, c)
	}
	slices.SortFunc(stored, func(a, b *contact) int { return int(a.sequence - b.sequence) })
	views := make([]Contact, len(stored))
	for n, c := range stored {
		views[n] = c.view()
	}
	return views
}

// Len returns how many contacts the list has.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.contacts)
}

// date is a real time as Listrak's clock would have shown it, in milliseconds; the zero time means now.
func (s *Store) date(at time.Time) int64 {
	if at.IsZero() {
		at = s.config.Now()
	}
	return at.Add(s.config.ClockSkew).UnixMilli()
}
