package shopify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/shopify/admin"
)

// ConsentWrite is a consent to write.
type ConsentWrite struct {
	Customer CustomerID
	// State is Subscribed or Unsubscribed; Shopify takes no other from us (contracts/shopify.md 3.3).
	State ConsentState
	// At is the consent's date; Shopify keeps whole seconds and refuses the future. A date before the one held is silently ignored
	// (contracts/shopify.md 3.4): the payload shows it.
	At time.Time
}

// NewCustomer is a customer to create, subscribed, at SINGLE_OPT_IN: to email when it has an Email, to SMS when it has a Phone.
type NewCustomer struct {
	// Exactly one of the two is given. Phone is in E.164.
	Email, Phone string
	// At is the consent's date.
	At time.Time
}

// WriteResult is how one write ended.
type WriteResult struct {
	// Customer is as the payload shows it, after the write or unchanged; zero when there is none. A refused write of an SMS consent
	// shows none, one of an email consent does (contracts/shopify.md 3.3).
	Customer Customer
	// Err is nil or a *failure.Error.
	Err error
}

// UpdateEmailConsents writes email consents in one request, at most MaxWrites. Result i belongs to writes[i]. The error is that of the
// whole request; when its MaybeDone is set any of the writes may have happened. It waits for the API budget only for what Reserve has
// not kept. A customer without an address is no failure: Shopify answers success and stores nothing (contracts/shopify.md 3.3).
func (c *Client) UpdateEmailConsents(ctx context.Context, writes []ConsentWrite) ([]WriteResult, error) {
	if err := CheckConsents(writes); err != nil || len(writes) == 0 {
		return nil, err
	}
	inputs := make([]admin.CustomerEmailMarketingConsentUpdateInput, len(writes))
	for n, w := range writes {
		inputs[n].CustomerId, inputs[n].EmailMarketingConsent = string(w.Customer), emailInput(w.State, w.At)
	}
	return write(ctx, c, opUpdateEmail, inputs, admin.UpdateEmailConsents, func(r admin.UpdateEmailConsentResponse) *payload {
		answer := r.CustomerEmailMarketingConsentUpdate
		if answer == nil {
			return nil
		}
		p := payload{customer: answer.Customer}
		for _, refused := range answer.UserErrors {
			p.errors = append(p.errors, userError{code: textOf(refused.Code), message: refused.Message})
		}
		return &p
	})
}

// UpdateSMSConsents writes SMS consents as UpdateEmailConsents does those to email. A customer without a phone number fails with
// CodeNoPhone.
func (c *Client) UpdateSMSConsents(ctx context.Context, writes []ConsentWrite) ([]WriteResult, error) {
	if err := CheckConsents(writes); err != nil || len(writes) == 0 {
		return nil, err
	}
	inputs := make([]admin.CustomerSmsMarketingConsentUpdateInput, len(writes))
	for n, w := range writes {
		inputs[n].CustomerId, inputs[n].SmsMarketingConsent = string(w.Customer), smsInput(w.State, w.At)
	}
	return write(ctx, c, opUpdateSMS, inputs, admin.UpdateSMSConsents, func(r admin.UpdateSMSConsentResponse) *payload {
		answer := r.CustomerSmsMarketingConsentUpdate
		if answer == nil {
			return nil
		}
		p := payload{customer: answer.Customer}
		for _, refused := range answer.UserErrors {
			p.errors = append(p.errors, userError{code: textOf(refused.Code), message: refused.Message})
		}
		return &p
	})
}

// CreateCustomers creates subscribed customers in one request, at most MaxWrites. Result i belongs to customers[i]. An address or a
// phone number that has a customer already fails with CodeTaken. Shopify has no idempotency key here: after a MaybeDone, look the
// address or the number up before trying again.
func (c *Client) CreateCustomers(ctx context.Context, customers []NewCustomer) ([]WriteResult, error) {
	if err := CheckNewCustomers(customers); err != nil || len(customers) == 0 {
		return nil, err
	}
	inputs := make([]admin.CustomerInput, len(customers))
	for n := range customers {
		if own := &customers[n]; own.Phone != "" {
			consent := smsInput(Subscribed, own.At)
			inputs[n] = admin.CustomerInput{Phone: &own.Phone, SmsMarketingConsent: &consent}
		} else {
			consent := emailInput(Subscribed, own.At)
			inputs[n] = admin.CustomerInput{Email: &own.Email, EmailMarketingConsent: &consent}
		}
	}
	return write(ctx, c, opCreateCustomer, inputs, admin.CreateCustomers, func(r admin.CreateCustomerResponse) *payload {
		answer := r.CustomerCreate
		if answer == nil {
			return nil
		}
		p := payload{customer: answer.Customer}
		for _, refused := range answer.UserErrors {
			p.errors = append(p.errors, userError{message: refused.Message})
		}
		return &p
	})
}

// payload is what any mutation about a customer answers. genqlient makes a type of its own of each, so they meet here.
type payload struct {
	customer *admin.CustomerFields
	errors   []userError
}

// userError has no code where the mutation gives none.
type userError struct{ code, message string }

// write sends the inputs in one request. payloadOf takes the payload out of an answer, nil when it is null.
func write[I, R any](ctx context.Context, c *Client, op operation, inputs []I, aliased func([]I) (admin.Batch[R], error),
	payloadOf func(R) *payload) ([]WriteResult, error) {
	batch, err := aliased(inputs)
	if err != nil {
		return nil, err
	}
	answers, failures, err := sendBatch(ctx, c, op, batch)
	if err != nil {
		return nil, err
	}
	results := make([]WriteResult, len(inputs))
	for n := range results {
		answer := payloadOf(answers[n])
		if failures[n] != nil || answer == nil {
			results[n].Err = withoutPayload(op, failures[n])
			continue
		}
		results[n].Customer = customerOf(answer.customer)
		if len(answer.errors) > 0 {
			results[n].Err = userFailure(op, answer.errors[0].code, answer.errors[0].message)
		} else if answer.customer == nil {
			results[n].Err = withoutPayload(op, nil)
		}
	}
	return results, nil
}

func textOf[S ~string](text *S) string {
	if text == nil {
		return ""
	}
	return string(*text)
}

// The states that we may write, as the input of each channel names them: those are other enums than the ones read.
var (
	emailWritten = map[ConsentState]admin.CustomerEmailMarketingState{
		Subscribed:   admin.CustomerEmailMarketingStateSubscribed,
		Unsubscribed: admin.CustomerEmailMarketingStateUnsubscribed,
	}
	smsWritten = map[ConsentState]admin.CustomerSmsMarketingState{
		Subscribed:   admin.CustomerSmsMarketingStateSubscribed,
		Unsubscribed: admin.CustomerSmsMarketingStateUnsubscribed,
	}
)

func emailInput(state ConsentState, at time.Time) admin.CustomerEmailMarketingConsentInput {
	level, date := levelWritten, ConsentDate(at)
	return admin.CustomerEmailMarketingConsentInput{MarketingState: emailWritten[state], MarketingOptInLevel: &level, ConsentUpdatedAt: &date}
}

func smsInput(state ConsentState, at time.Time) admin.CustomerSmsMarketingConsentInput {
	level, date := levelWritten, ConsentDate(at)
	return admin.CustomerSmsMarketingConsentInput{MarketingState: smsWritten[state], MarketingOptInLevel: &level, ConsentUpdatedAt: &date}
}

// levelWritten is always sent: SUBSCRIBED without a level is refused, and CONFIRMED would claim a proof that we do not have.
const levelWritten = admin.CustomerMarketingOptInLevelSingleOptIn

// ConsentDate is the date that is sent for a consent given at: Shopify keeps whole seconds.
func ConsentDate(at time.Time) time.Time { return at.UTC().Truncate(time.Second) }

// CheckConsents refuses what UpdateEmailConsents and UpdateSMSConsents do not send.
func CheckConsents(writes []ConsentWrite) error {
	if err := checkWrites("update consents", len(writes)); err != nil {
		return err
	}
	for n, w := range writes {
		decided := w.State == Subscribed || w.State == Unsubscribed
		if !decided || w.At.IsZero() || !customerIDPattern.MatchString(string(w.Customer)) {
			return fmt.Errorf("update consents: write %d needs a customer id, a date, and the state %s or %s", n, Subscribed, Unsubscribed)
		}
	}
	return nil
}

// CheckNewCustomers refuses what CreateCustomers does not send.
func CheckNewCustomers(customers []NewCustomer) error {
	if err := checkWrites(opCreateCustomer.verb, len(customers)); err != nil {
		return err
	}
	for n, c := range customers {
		both := c.Email != "" && c.Phone != ""
		if both || strings.TrimSpace(c.Email+c.Phone) == "" || c.At.IsZero() {
			return fmt.Errorf("create customers: customer %d needs an address or a phone number, not both, and a date", n)
		}
	}
	return nil
}

func checkWrites(verb string, count int) error {
	if count > MaxWrites {
		return fmt.Errorf("%s: %d in one request, at most %d fit", verb, count, MaxWrites)
	}
	return nil
}

// withoutPayload is the failure of a write whose payload is null: its own, or, when Shopify gave no reason, that nobody knows whether
// it happened.
func withoutPayload(op operation, err error) error {
	if err != nil {
		return err
	}
	return &failure.Error{Class: failure.Retry, Op: op.verb, Code: CodeBadAnswer, MaybeDone: true}
}
