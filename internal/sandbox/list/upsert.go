package list

import (
	"slices"
	"strings"
)

// UpdateType is how the profile fields of a contact that exists are altered.
type UpdateType string

// The update types of the official document. A field of this sandbox holds one value, so Append and Update differ only in that
// Append does not replace a value that is there.
const (
	Update    UpdateType = "Update"
	Append    UpdateType = "Append"
	Overwrite UpdateType = "Overwrite"
)

// Upsert is one POST Contact: create the contact of an address, or alter it.
type Upsert struct {
	Email string
	// State is Subscribed, Unsubscribed, or empty: then a new contact is subscribed, and one that exists keeps its state.
	State State
	// Events are raised when the write is taken.
	Events []int
	// Override lets an unsubscribed contact be subscribed again.
	Override            bool
	SubscribedByContact bool
	// ExternalID replaces externalContactID when it is not empty.
	ExternalID string
	Fields     map[int]string
	UpdateType UpdateType // empty means Update
	// NewEmail, when not empty, changes the address of the contact that Email names.
	NewEmail string
}

// Upsert does what POST Contact does (contracts/listrak.md, Email contacts) and returns the email key. Dates are Listrak's own:
// a caller cannot pass one. A refusal is an *Error. Taken or not, the call is in Writes.
func (s *Store) Upsert(ask Upsert) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	write := Write{At: s.config.Now(), Operation: "POST Contact", Email: ask.Email, State: ask.State,
		Events: slices.Clone(ask.Events), Override: ask.Override, SubscribedByContact: ask.SubscribedByContact}
	key, refusal := s.upsert(ask, &write)
	if refusal != nil {
		write.Code = refusal.Code
	}
	s.writes = append(s.writes, write)
	if refusal != nil {
		return "", refusal
	}
	return key, nil
}

func (s *Store) upsert(ask Upsert, write *Write) (string, *Error) {
	if !proper(ask.Email) {
		return "", invalid("emailAddress")
	}
	switch ask.State {
	case "", Subscribed, Unsubscribed:
	default:
		return "", invalid("subscriptionState")
	}
	switch ask.UpdateType {
	case "", Update, Append, Overwrite:
	default:
		return "", invalid("updateType")
	}
	raise, refusal := s.raisable(ask.Events)
	if refusal != nil {
		return "", refusal
	}
	c := s.contacts[addressKey(ask.Email)]
	switch {
	case ask.NewEmail != "":
		return s.changeAddress(c, ask, write)
	case ask.State == Unsubscribed:
		return s.unsubscribe(c, ask, write)
	case c == nil:
		return s.newcomer(ask, raise, write)
	default:
		return s.update(c, ask, raise, write)
	}
}

// raisable returns the events that a taken write will raise.
func (s *Store) raisable(ids []int) ([]int, *Error) {
	var raise []int
	for _, id := range ids {
		n := slices.IndexFunc(s.config.Events, func(e Event) bool { return e.ID == id })
		switch {
		case n < 0:
			return nil, invalid("eventIds")
		case s.config.Events[n].Status == EventActive:
			raise = append(raise, id)
		case !s.config.IgnoreBlockedEvents:
			return nil, invalid("eventIds")
		}
	}
	return raise, nil
}

func (s *Store) newcomer(ask Upsert, raise []int, write *Write) (string, *Error) {
	if refusal := s.refusal(ask.Email); refusal != nil {
		return "", refusal
	}
	c := s.create(ask.Email, func(c *contact) {
		c.subscribeMethod = MethodAPI
		if c.state = Pending; !s.config.DoubleOptIn {
			c.state, c.subscribed = Subscribed, s.clock().UnixMilli()
		}
	})
	write.Effective, write.Redated = true, true
	s.fill(c, ask)
	s.raise(c, raise, true, write)
	return c.emailKey, nil
}

func (s *Store) update(c *contact, ask Upsert, raise []int, write *Write) (string, *Error) {
	if ask.State == Subscribed || c.state == Unsubscribed && ask.Override {
		if refusal := s.refusal(ask.Email); refusal != nil {
			return "", refusal
		}
	}
	now := s.clock().UnixMilli()
	subscribing := false
	switch {
	case c.state == Pending:
		if ask.State == Subscribed {
			return "", refuse(CodePending, "The contact is already pending subscription through double opt-in.")
		}
	case c.state == Unsubscribed && ask.Override:
		s.change(c, func() {
			if c.subscribed == 0 {
				c.subscribed = now
			} else {
				c.resubscribed = now
			}
			c.state, c.subscribeMethod = Subscribed, MethodAPI
		})
		write.Effective, write.Redated, subscribing = true, true, true
	case c.state == Unsubscribed:
		// Without the override the contact is updated and stays unsubscribed: the answer is 201 all the same.
		if len(ask.Events) > 0 {
			return "", refuse(CodeUpdateUnsubscribedEvent, "Events must not be raised while updating an unsubscribed contact.")
		}
	case ask.State == Subscribed:
		switch s.config.SameState {
		case AnswersError:
			return "", refuse(CodeSubscribed, "The contact has already been subscribed to the list.")
		case MovesDates:
			s.change(c, func() { c.resubscribed, c.subscribeMethod = now, MethodAPI })
			write.Redated, subscribing = true, true
		case KeepsDates:
		}
	}
	s.fill(c, ask)
	s.raise(c, raise, subscribing, write)
	return c.emailKey, nil
}

func (s *Store) unsubscribe(c *contact, ask Upsert, write *Write) (string, *Error) {
	switch {
	case len(ask.Events) > 0:
		return "", refuse(CodeUnsubscribeWithEvents, "Events must not be raised while unsubscribing a contact.")
	case len(ask.Fields) > 0:
		return "", refuse(CodeUnsubscribeWithFields, "Profile fields must not be updated while unsubscribing a contact.")
	case c == nil || c.state == Pending:
		return "", refuse(CodeNotSubscribed, "The contact is not a subscriber of the list.")
	case c.state == Unsubscribed && s.config.SameState == AnswersError:
		return "", refuse(CodeUnsubscribed, "The contact has already been unsubscribed from the list.")
	case c.state == Unsubscribed && s.config.SameState == KeepsDates:
		s.fill(c, ask)
		return c.emailKey, nil
	}
	write.Effective, write.Redated = c.state != Unsubscribed, true
	s.change(c, func() { c.state, c.unsubscribed, c.unsubscribeMethod = Unsubscribed, s.clock().UnixMilli(), MethodAPI })
	s.fill(c, ask)
	return c.emailKey, nil
}

func (s *Store) changeAddress(c *contact, ask Upsert, write *Write) (string, *Error) {
	switch {
	case len(ask.Events) > 0:
		return "", refuse(CodeChangeWithEvents, "Events must not be raised while changing the address of a contact.")
	case len(ask.Fields) > 0:
		return "", refuse(CodeChangeWithFields, "Profile fields must not be updated while changing the address of a contact.")
	case !proper(ask.NewEmail):
		return "", invalid("newEmailAddress")
	case c == nil:
		return "", noResource("emailAddress")
	}
	switch s.refusals[addressKey(ask.NewEmail)] {
	case Banned:
		return "", refuse(CodeBannedNew, "The new address has been banned.")
	case Suppressed:
		return "", refuse(CodeSuppressedNew, "The new address has been suppressed.")
	case Invalid:
		return "", invalid("newEmailAddress")
	}
	if other := s.contacts[addressKey(ask.NewEmail)]; other != nil && other != c {
		switch other.state {
		case Subscribed:
			return "", refuse(CodeSubscribedNew, "The new address is already subscribed to the list.")
		case Pending:
			return "", refuse(CodePendingNew, "The new address is already pending subscription through double opt-in.")
		default:
			return "", refuse(CodeChangeToUnsubscribed, "The new address has unsubscribed from the list.")
		}
	}
	delete(s.contacts, addressKey(c.email))
	c.email = strings.TrimSpace(ask.NewEmail)
	s.contacts[addressKey(c.email)] = c
	write.Effective = true
	return c.emailKey, nil
}

// refusal says why Listrak would not subscribe the address, or nil.
func (s *Store) refusal(email string) *Error {
	switch s.refusals[addressKey(email)] {
	case Banned:
		return refuse(CodeBanned, "The contact has been banned.")
	case Suppressed:
		return refuse(CodeSuppressed, "The email address has been suppressed.")
	case Invalid:
		return invalid("emailAddress")
	default:
		return nil
	}
}

// fill takes over what is neither state nor date.
func (s *Store) fill(c *contact, ask Upsert) {
	if ask.ExternalID != "" {
		c.externalID = ask.ExternalID
	}
	if len(ask.Fields) == 0 {
		return
	}
	if c.fields == nil || ask.UpdateType == Overwrite {
		c.fields = map[int]string{}
	}
	for id, value := range ask.Fields {
		if _, held := c.fields[id]; !held || ask.UpdateType != Append {
			c.fields[id] = value
		}
	}
}

// raise notes the events. Those of a write that subscribes are the subscription point.
func (s *Store) raise(c *contact, ids []int, subscribing bool, write *Write) {
	at := instant(s.clock().UnixMilli())
	for _, id := range ids {
		c.events = append(c.events, Raised{ID: id, At: at})
	}
	if subscribing {
		c.point = slices.Clone(ids)
	}
	write.Raised = slices.Clone(ids)
}
