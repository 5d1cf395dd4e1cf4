package shop

import (
	"cmp"
	"slices"
	"time"
)

// APIError is an error of a whole field, not of its input: it stands in the answer's errors, and the field is null.
type APIError struct {
	Code, Message string
}

// Error implements error.
func (e *APIError) Error() string { return e.Code + ": " + e.Message }

// UserError is a refusal inside a mutation's payload. Field is nil when the whole input is meant; Code is empty for null.
type UserError struct {
	Field   []string
	Message string
	Code    string
}

// WriteAnswer is the payload of a mutation. Customer is nil for null.
type WriteAnswer struct {
	Customer   *Customer
	UserErrors []UserError
}

// ConsentInput is a consent as an app sends it: an empty Level or a zero At means that it was left out.
type ConsentInput struct {
	State State
	Level OptInLevel
	At    time.Time
}

// CustomerInput is a customer as an app sends it to customerCreate. Consent, to email, and SMSConsent are nil when they were left out.
type CustomerInput struct {
	Email      string
	Consent    *ConsentInput
	Phone      string
	SMSConsent *ConsentInput
}

// Write is one write that an app made through the API, whether it was taken, ignored or refused.
type Write struct {
	At time.Time // by the store's clock
	// Operation is the mutation's name, and with it the channel's.
	Operation string
	Customer  CustomerID
	// Email is the address of a write to email, Phone the number of one to SMS: as stored; for a refused creation, as sent.
	Email, Phone string
	// State and Date are as sent, empty and zero when left out. A creation with both consents tells of that to email.
	State State
	Date  time.Time
	// Effective says that the write changed what the store holds of the person's consent, or created the customer.
	Effective bool
}

// Writes are the API writes so far, in order. Requests that failed before their mutation ran are not among them.
func (s *Store) Writes() []Write {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

const createOperation = "customerCreate"

// UpdateEmailConsent is customerEmailMarketingConsentUpdate (contracts/shopify.md 3.3, 3.4). The error is an *APIError.
func (s *Store) UpdateEmailConsent(id CustomerID, input ConsentInput) (WriteAnswer, error) {
	return s.updateConsent(&byMail, id, input)
}

// UpdateSMSConsent is customerSmsMarketingConsentUpdate (contracts/shopify.md 3.3, 3.4). The error is an *APIError.
func (s *Store) UpdateSMSConsent(id CustomerID, input ConsentInput) (WriteAnswer, error) {
	return s.updateConsent(&bySMS, id, input)
}

func (s *Store) updateConsent(to *channel, id CustomerID, input ConsentInput) (WriteAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	write := Write{At: now, Operation: to.operation, Customer: id, State: input.State, Date: input.At}
	defer func() { s.writes = append(s.writes, write) }()

	if err := unwritable(input.State); err != nil {
		return WriteAnswer{}, err
	}
	c, err := s.find(id)
	if err != nil {
		unknown := UserError{Message: "Customer not found"}
		if to == &byMail {
			unknown.Field, unknown.Code = []string{"input", "customerId"}, "INVALID"
		}
		return WriteAnswer{UserErrors: []UserError{unknown}}, nil
	}
	field := []string{"input", to.member}
	if to == &bySMS {
		write.Phone = c.phone
		refused := []UserError{{Field: field, Message: noPhone, Code: "INVALID"}}
		if c.phone != "" {
			refused = s.judgeConsent(input, now, field)
		}
		if refused != nil {
			return WriteAnswer{UserErrors: refused}, nil // no customer, unlike the other channel
		}
	} else {
		write.Email = c.email
		if c.email == "" {
			// Shopify answers success and stores nothing: a client that does not look at the payload believes it was written.
			return answered(c, nil), nil
		}
		if refused := s.judgeConsent(input, now, field); refused != nil {
			return answered(c, refused), nil
		}
	}
	before := c.held(to)
	s.begin()
	write.Effective = s.takeConsent(c, to, input, now)
	s.told(c, to, before)
	return answered(c, nil), nil
}

const noPhone = "A phone number is required to set the SMS consent state."

// CreateCustomerByAPI is customerCreate (contracts/shopify.md 3.1, 3.6). The error is an *APIError. That NOT_SUBSCRIBED is refused
// here as it is in the consent mutations, and the field paths of a refused consent, are inferred.
func (s *Store) CreateCustomerByAPI(input CustomerInput) (WriteAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	input.Email, input.Phone = cleanEmail(input.Email), cleanPhone(input.Phone)
	write := Write{At: now, Operation: createOperation, Email: input.Email, Phone: input.Phone}
	if told := cmp.Or(input.Consent, input.SMSConsent); told != nil {
		write.State, write.Date = told.State, told.At
	}
	defer func() { s.writes = append(s.writes, write) }()

	for _, consent := range []*ConsentInput{input.Consent, input.SMSConsent} {
		if consent == nil {
			continue
		}
		if err := unwritable(consent.State); err != nil {
			return WriteAnswer{}, err
		}
	}
	if refused := s.judgeCreation(input, now); refused != nil {
		return WriteAnswer{UserErrors: refused}, nil
	}
	newcomer := customer{email: input.Email, phone: input.Phone, consent: neverAsked(), sms: neverAsked(), created: now}
	if input.Consent != nil {
		newcomer.consent = input.Consent.stored(newcomer.consent, now)
	}
	if input.SMSConsent != nil {
		newcomer.sms, newcomer.collector = input.SMSConsent.stored(newcomer.sms, now), CollectedByOthers
	}
	s.begin()
	c := s.addCustomer(newcomer, now)
	write.Customer, write.Effective = customerID(c.number), true
	return answered(c, nil), nil
}

func answered(c *customer, refused []UserError) WriteAnswer {
	view := c.view()
	return WriteAnswer{Customer: &view, UserErrors: refused}
}

// unwritable is the top-level error for states that cannot be written (contracts/shopify.md 3.3, L).
func unwritable(state State) error {
	switch state {
	case NotSubscribed, Redacted, Invalid:
		return &APIError{Code: "INVALID", Message: "Cannot specify " + string(state) + " as a marketing state input"}
	default:
		return nil
	}
}

// judgeCreation wants s.mu held, and an address and a number that are clean.
func (s *Store) judgeCreation(input CustomerInput, now time.Time) []UserError {
	var refused []UserError
	refuse := func(message string, field ...string) {
		refused = append(refused, UserError{Field: field, Message: message})
	}
	if input.Email != "" {
		if problem := emailProblem(input.Email); problem != "" {
			refuse(problem, "email")
		} else if _, taken := s.byEmail[emailKey(input.Email)]; taken {
			refuse("Email has already been taken", "email")
		}
	} else if input.Consent != nil {
		refuse("An email address is required to set the email marketing consent state.", byMail.member)
	}
	if input.Phone != "" {
		problems := phoneProblems(input.Phone)
		for _, problem := range problems {
			refuse(problem, "phone")
		}
		if _, taken := s.byPhone[input.Phone]; taken && problems == nil {
			refuse("Phone has already been taken", "phone")
		}
	} else if input.SMSConsent != nil {
		refuse(noPhone, bySMS.member)
	}
	if input.Email == "" && input.Phone == "" {
		refuse("A name, phone number, or email address must be present")
		return refused
	}
	judge := func(consent *ConsentInput, address, member string) {
		if consent == nil || address == "" {
			return
		}
		for _, refusal := range s.judgeConsent(*consent, now, []string{member}) {
			refuse(refusal.Message, refusal.Field...) // customerCreate answers plain UserErrors, without a code
		}
	}
	judge(input.Consent, input.Email, byMail.member)
	judge(input.SMSConsent, input.Phone, bySMS.member)
	return refused
}

// judgeConsent applies the rules of contracts/shopify.md 3.3. It wants s.mu held.
func (s *Store) judgeConsent(input ConsentInput, now time.Time, field []string) []UserError {
	var refused []UserError
	refuse := func(member, message, code string) {
		refused = append(refused, UserError{Field: append(slices.Clone(field), member), Message: message, Code: code})
	}
	switch {
	case input.Level == "" && (input.State != Unsubscribed || s.switches.UnsubscribedNeedsLevel):
		refuse("marketingOptInLevel", "Marketing opt in level must exist", "MISSING_ARGUMENT")
	case input.State == Pending && input.Level != ConfirmedOptIn:
		refuse("marketingOptInLevel", "Marketing opt in level must be confirmed opt-in for pending consent state", "INVALID")
	}
	if input.At.After(now.Add(s.switches.FutureTolerance)) {
		refuse("consentUpdatedAt", "Consent updated at must not be in the future", "INVALID")
	}
	return refused
}

// takeConsent applies the date semantics of contracts/shopify.md 3.4 and says whether state or date changed. They were observed of email
// consents; that SMS consents keep to them too is inferred. It wants s.mu held.
func (s *Store) takeConsent(c *customer, to *channel, input ConsentInput, now time.Time) bool {
	held := c.held(to)
	next := input.stored(held, now)
	if input.State == held.State {
		moved := s.switches.SameStateMovesDate && next.UpdatedAt.After(held.UpdatedAt)
		if moved {
			c.hold(to, next, CollectedByOthers)
		}
		if moved || !s.switches.SameStateKeepsUpdatedAt {
			s.touch(c, now)
		}
		return moved
	}
	if !held.UpdatedAt.IsZero() {
		if next.UpdatedAt.Before(held.UpdatedAt) && !s.switches.TakeOlderWrites ||
			next.UpdatedAt.Equal(held.UpdatedAt) && !s.switches.TakeEqualDateWrites {
			return false
		}
	}
	c.hold(to, next, CollectedByOthers)
	s.touch(c, now)
	return true
}

// stored is the consent as it would be kept. Without a level the one held stays (contracts/shopify.md 3.3 is silent on it).
func (input ConsentInput) stored(held Consent, now time.Time) Consent {
	at := input.At
	if at.IsZero() {
		at = now
	}
	level := input.Level
	if level == "" {
		level = held.Level
	}
	return Consent{State: input.State, Level: level, UpdatedAt: wholeSecond(at)}
}
