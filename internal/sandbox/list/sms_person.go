package list

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The acts of people, of the merchant and of machines, none of which go through the API. At is the real time of the act, zero for now;
// Listrak dates it by its own, perhaps skewed clock. ErrNoContact is returned about a phone number that the sender code does not know, and
// ErrNoPhoneList about a list that it does not have.

// ErrNoPhoneList is returned for an act on a phone list that the sender code does not have.
var ErrNoPhoneList = errors.New("the sender code has no such phone list")

// Subscribe is the person subscribing to a list without our doing: a keyword texted, or a form. On a list with gates the person then waits
// for Confirm; whoever was opted out is in again. Whoever is subscribed already is dated anew, and whoever waits goes on waiting.
func (s *SenderCode) Subscribe(list int, number string, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	canonical, into, err := s.named("subscribe", list, number)
	if err != nil {
		return err
	}
	if why := s.refusals[canonical]; why != PhoneNotRefused {
		return fmt.Errorf("subscribe: Listrak refuses this phone number as %s", why)
	}
	date, p := s.date(at), s.know(canonical)
	if p.optedOut {
		s.optIn(p, date)
	}
	held := p.lists[list]
	if held != nil && held.state == Pending {
		return nil
	}
	s.subscribe(p, into, date, held == nil || held.state != Subscribed)
	return nil
}

// Import is the merchant importing phone numbers into a list in Listrak: nobody is asked, and who is opted out or refused is left out. It
// returns how many were taken.
func (s *SenderCode) Import(list int, numbers []string, at time.Time) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := 0
	for _, number := range numbers {
		canonical, into, err := s.named("import", list, number)
		if err != nil {
			return taken, err
		}
		if known := s.phones[canonical]; known != nil && known.optedOut || s.refusals[canonical] != PhoneNotRefused {
			continue
		}
		s.subscribe(s.know(canonical), into, s.date(at), false)
		taken++
	}
	return taken, nil
}

// Confirm is the person answering what a pending subscription waits for: it is subscribed, now.
func (s *SenderCode) Confirm(list int, number string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, p, err := s.held("confirm", list, number)
	if err != nil {
		return err
	}
	if held.state != Pending {
		return fmt.Errorf("confirm: the subscription is %s, not pending", strings.ToLower(string(held.state)))
	}
	s.change(p, func() {
		held.state, held.subscribed, held.awaitsOptIn, held.awaitsAge = Subscribed, s.date(time.Time{}), false, false
	})
	return nil
}

// Unsubscribe is the person's leaving one list, by an administrator or a page of the merchant's; other lists stay.
func (s *SenderCode) Unsubscribe(list int, number string, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, p, err := s.held("unsubscribe", list, number)
	if err != nil {
		return err
	}
	s.leave(p, held, s.date(at))
	return nil
}

// leave ends a subscription.
func (s *SenderCode) leave(p *phone, held *subscription, date int64) {
	s.change(p, func() {
		held.state, held.unsubscribed, held.byOptOut, held.awaitsOptIn, held.awaitsAge = Unsubscribed, date, false, false, false
	})
}

// Stop is the person replying STOP: opted out of the sender code, and so of all its lists.
func (s *SenderCode) Stop(number string, at time.Time) error {
	return s.OptOut(number, at, s.Config().StopReason)
}

// OptOut is somebody or something else opting the phone number out of the sender code, as reason says: a carrier, an administrator, an
// import. An import opts out whom nobody knew, too.
func (s *SenderCode) OptOut(number string, at time.Time, reason OptOutReason) error {
	if !slices.Contains(optOutReasons, reason) {
		return fmt.Errorf("opt out: unknown reason %q: take one of %v", reason, optOutReasons)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	canonical, ok := e164(number)
	if !ok {
		return errors.New("opt out: this is not a phone number")
	}
	if s.phones[canonical] == nil && reason != OptOutImport {
		return fmt.Errorf("opt out: %w", ErrNoContact)
	}
	s.optOut(s.know(canonical), s.date(at), reason)
	return nil
}

// Start is the person replying START: the opt-out is taken back, and the lists count again.
func (s *SenderCode) Start(number string, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(number)
	switch {
	case p == nil:
		return fmt.Errorf("start: %w", ErrNoContact)
	case !p.optedOut:
		return errors.New("start: the phone number is not opted out")
	}
	s.optIn(p, s.date(at))
	return nil
}

// Delete removes the phone number as if it had never been there.
func (s *SenderCode) Delete(number string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(number)
	if p == nil {
		return fmt.Errorf("delete: %w", ErrNoContact)
	}
	s.unindex(p)
	delete(s.phones, p.number)
	return nil
}

// named reads what an act names.
func (s *SenderCode) named(act string, list int, number string) (string, PhoneList, error) {
	into, known := s.config.list(list)
	if !known {
		return "", PhoneList{}, fmt.Errorf("%s: %w", act, ErrNoPhoneList)
	}
	canonical, ok := e164(number)
	if !ok {
		return "", PhoneList{}, fmt.Errorf("%s: this is not a phone number", act)
	}
	return canonical, into, nil
}

// held is the subscription that an act is about.
func (s *SenderCode) held(act string, list int, number string) (*subscription, *phone, error) {
	canonical, _, err := s.named(act, list, number)
	if err != nil {
		return nil, nil, err
	}
	p := s.phones[canonical]
	if p == nil || p.lists[list] == nil {
		return nil, nil, fmt.Errorf("%s: %w", act, ErrNoContact)
	}
	return p.lists[list], p, nil
}
