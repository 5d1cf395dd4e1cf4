package shop

import (
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

// ConsentInput is an email consent as an app sends it: an empty Level or a zero At means that it was left out.
type ConsentInput struct {
	State State
	Level OptInLevel
	At    time.Time
}

// CustomerInput is a customer as an app sends it to customerCreate. Consent is nil when it was left out.
type CustomerInput struct {
	Email   string
	Consent *ConsentInput
}

// Write is one write that an app made through the API, whether it was taken, ignored or refused.
type Write struct {
	At        time.Time // by the store's clock
	Operation string    // the mutation's name
	Customer  CustomerID
	Email     string // as stored; for a refused creation, as sent
	State     State
	Date      time.Time // as sent, zero when left out
	// Effective says that the write changed what the store holds of the person's consent, or created the customer.
	Effective bool
}

// Writes are the API writes so far, in order. Requests that failed before their mutation ran are not among them.
func (s *Store) Writes() []Write {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

const (
	createOperation  = "customerCreate"
	consentOperation = "customerEmailMarketingConsentUpdate"
)

// UpdateEmailConsent is customerEmailMarketingConsentUpdate (contracts/shopify.md 3.3, 3.4). The error is an *APIError.
func (s *Store) UpdateEmailConsent(id CustomerID, input ConsentInput) (WriteAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	write := Write{At: now, Operation: consentOperation, Customer: id, State: input.State, Date: input.At}
	defer func() { s.writes = append(s.writes, write) }()

	if err := unwritable(input.State); err != nil {
		return WriteAnswer{}, err
	}
	c, err := s.find(id)
	if err != nil {
		return WriteAnswer{UserErrors: []UserError{
			{Field: []string{"input", "customerId"}, Message: "Customer not found", Code: "INVALID"},
		}}, nil
	}
	write.Email = c.email
	if c.email == "" {
		// Shopify answers success and stores nothing: a client that does not look at the payload believes it was written.
		return answered(c, nil), nil
	}
	if refused := s.judgeConsent(input, now, []string{"input", "emailMarketingConsent"}); refused != nil {
		return answered(c, refused), nil
	}
	before := c.consent
	s.begin()
	write.Effective = s.takeConsent(c, input, now)
	s.told(c, before)
	return answered(c, nil), nil
}

// CreateCustomerByAPI is customerCreate (contracts/shopify.md 3.1, 3.6). The error is an *APIError. That NOT_SUBSCRIBED is refused
// here as it is in the consent mutation, and the field paths of a refused consent, are inferred.
func (s *Store) CreateCustomerByAPI(input CustomerInput) (WriteAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	email := cleanEmail(input.Email)
	write := Write{At: now, Operation: createOperation, Email: email}
	if input.Consent != nil {
		write.State, write.Date = input.Consent.State, input.Consent.At
	}
	defer func() { s.writes = append(s.writes, write) }()

	if input.Consent != nil {
		if err := unwritable(input.Consent.State); err != nil {
			return WriteAnswer{}, err
		}
	}
	if refused := s.judgeCreation(email, input.Consent, now); refused != nil {
		return WriteAnswer{UserErrors: refused}, nil
	}
	consent := neverAsked()
	if input.Consent != nil {
		consent = input.Consent.stored(consent, now)
	}
	s.begin()
	c := s.addCustomer(email, consent, now, now)
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

// judgeCreation wants s.mu held.
func (s *Store) judgeCreation(email string, consent *ConsentInput, now time.Time) []UserError {
	var refused []UserError
	if email == "" {
		if consent != nil {
			refused = append(refused, UserError{
				Field: []string{"emailMarketingConsent"}, Message: "An email address is required to set the email marketing consent state.",
			})
		}
		return append(refused, UserError{Message: "A name, phone number, or email address must be present"})
	}
	if problem := emailProblem(email); problem != "" {
		refused = append(refused, UserError{Field: []string{"email"}, Message: problem})
	} else if _, taken := s.byEmail[emailKey(email)]; taken {
		refused = append(refused, UserError{Field: []string{"email"}, Message: "Email has already been taken"})
	}
	if consent != nil {
		for _, refusal := range s.judgeConsent(*consent, now, []string{"emailMarketingConsent"}) {
			refusal.Code = "" // customerCreate answers plain UserErrors, without a code
			refused = append(refused, refusal)
		}
	}
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

// takeConsent applies the date semantics of contracts/shopify.md 3.4 and says whether state or date changed. It wants s.mu held.
func (s *Store) takeConsent(c *customer, input ConsentInput, now time.Time) bool {
	held := c.consent
	next := input.stored(held, now)
	if input.State == held.State {
		moved := s.switches.SameStateMovesDate && next.UpdatedAt.After(held.UpdatedAt)
		if moved {
			c.consent = next
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
	c.consent = next
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
