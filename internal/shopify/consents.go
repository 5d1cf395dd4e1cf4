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

// NewCustomer is a customer to create, subscribed, at SINGLE_OPT_IN.
type NewCustomer struct {
	Email string
	// At is the consent's date.
	At time.Time
}

// WriteResult is how one write ended.
type WriteResult struct {
	// Customer is as the payload shows it, after the write or unchanged; zero when there is none.
	Customer Customer
	// Err is nil or a *failure.Error.
	Err error
}

// UpdateEmailConsents writes consents in one request, at most MaxWrites. Result i belongs to writes[i]. The error is that of the whole
// request; when its MaybeDone is set any of the writes may have happened. It waits for the API budget only for what Reserve has not
// kept.
func (c *Client) UpdateEmailConsents(ctx context.Context, writes []ConsentWrite) ([]WriteResult, error) {
	if err := CheckConsents(writes); err != nil || len(writes) == 0 {
		return nil, err
	}
	inputs := make([]admin.CustomerEmailMarketingConsentUpdateInput, len(writes))
	for n, w := range writes {
		inputs[n].CustomerId, inputs[n].EmailMarketingConsent = string(w.Customer), consentInput(written[w.State], w.At)
	}
	batch, err := admin.UpdateEmailConsents(inputs)
	if err != nil {
		return nil, err
	}
	answers, failures, err := sendBatch(ctx, c, opUpdateConsent, batch)
	if err != nil {
		return nil, err
	}
	results := make([]WriteResult, len(writes))
	for n := range results {
		payload := answers[n].CustomerEmailMarketingConsentUpdate
		if failures[n] != nil || payload == nil {
			results[n].Err = withoutPayload(opUpdateConsent, failures[n])
			continue
		}
		results[n].Customer = customerOf(payload.Customer)
		if len(payload.UserErrors) > 0 {
			first, code := payload.UserErrors[0], ""
			if first.Code != nil {
				code = string(*first.Code)
			}
			results[n].Err = userFailure(opUpdateConsent, code, first.Message)
		} else if payload.Customer == nil {
			results[n].Err = withoutPayload(opUpdateConsent, nil)
		}
	}
	return results, nil
}

// CreateCustomers creates subscribed customers in one request, at most MaxWrites. Result i belongs to customers[i]. An address that has a
// customer already fails with CodeTaken. Shopify has no idempotency key here: after a MaybeDone, look the address up before trying again.
func (c *Client) CreateCustomers(ctx context.Context, customers []NewCustomer) ([]WriteResult, error) {
	if err := CheckNewCustomers(customers); err != nil || len(customers) == 0 {
		return nil, err
	}
	inputs := make([]admin.CustomerInput, len(customers))
	for n := range customers {
		consent := consentInput(admin.CustomerEmailMarketingStateSubscribed, customers[n].At)
		inputs[n] = admin.CustomerInput{Email: &customers[n].Email, EmailMarketingConsent: &consent}
	}
	batch, err := admin.CreateCustomers(inputs)
	if err != nil {
		return nil, err
	}
	answers, failures, err := sendBatch(ctx, c, opCreateCustomer, batch)
	if err != nil {
		return nil, err
	}
	results := make([]WriteResult, len(customers))
	for n := range results {
		payload := answers[n].CustomerCreate
		if failures[n] != nil || payload == nil {
			results[n].Err = withoutPayload(opCreateCustomer, failures[n])
			continue
		}
		results[n].Customer = customerOf(payload.Customer)
		if len(payload.UserErrors) > 0 {
			results[n].Err = userFailure(opCreateCustomer, "", payload.UserErrors[0].Message)
		} else if payload.Customer == nil {
			results[n].Err = withoutPayload(opCreateCustomer, nil)
		}
	}
	return results, nil
}

// written maps the states that we may write to those of the input, which are another enum than those read.
var written = map[ConsentState]admin.CustomerEmailMarketingState{
	Subscribed:   admin.CustomerEmailMarketingStateSubscribed,
	Unsubscribed: admin.CustomerEmailMarketingStateUnsubscribed,
}

func consentInput(state admin.CustomerEmailMarketingState, at time.Time) admin.CustomerEmailMarketingConsentInput {
	// A level is always sent: SUBSCRIBED without one is refused, and CONFIRMED would claim a proof that we do not have.
	level, date := admin.CustomerMarketingOptInLevelSingleOptIn, ConsentDate(at)
	return admin.CustomerEmailMarketingConsentInput{MarketingState: state, MarketingOptInLevel: &level, ConsentUpdatedAt: &date}
}

// ConsentDate is the date that is sent for a consent given at: Shopify keeps whole seconds.
func ConsentDate(at time.Time) time.Time { return at.UTC().Truncate(time.Second) }

// CheckConsents refuses what UpdateEmailConsents does not send.
func CheckConsents(writes []ConsentWrite) error {
	if err := checkWrites(opUpdateConsent, len(writes)); err != nil {
		return err
	}
	for n, w := range writes {
		if _, ok := written[w.State]; !ok || w.At.IsZero() || !customerIDPattern.MatchString(string(w.Customer)) {
			return fmt.Errorf("update email consents: write %d needs a customer id, a date, and the state %s or %s", n, Subscribed, Unsubscribed)
		}
	}
	return nil
}

// CheckNewCustomers refuses what CreateCustomers does not send.
func CheckNewCustomers(customers []NewCustomer) error {
	if err := checkWrites(opCreateCustomer, len(customers)); err != nil {
		return err
	}
	for n, c := range customers {
		if strings.TrimSpace(c.Email) == "" || c.At.IsZero() {
			return fmt.Errorf("create customers: customer %d needs an address and a date", n)
		}
	}
	return nil
}

func checkWrites(op operation, count int) error {
	if count > MaxWrites {
		return fmt.Errorf("%s: %d in one request, at most %d fit", op.verb, count, MaxWrites)
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
