package shopify

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/shopify/admin"
)

// CustomerID is a customer's GID, such as "gid://shopify/Customer/1". It is no personal data.
type CustomerID string

var customerIDPattern = regexp.MustCompile(`^gid://shopify/Customer/[0-9]{1,20}$`)

// ConsentState is the state of a consent as Shopify shows it.
type ConsentState string

// The states of contracts/shopify.md 3.2, for both channels, though Shopify names them differently: NotSubscribed is NEVER_SUBSCRIBED
// where SMS consents are read. Invalid is of addresses only; Redacted is of phone numbers only, for email reads have no such value
// today; UnknownState stands for one that a later version invents. None of the three is a decision.
const (
	NotSubscribed ConsentState = "NOT_SUBSCRIBED"
	Pending       ConsentState = "PENDING"
	Subscribed    ConsentState = "SUBSCRIBED"
	Unsubscribed  ConsentState = "UNSUBSCRIBED"
	Invalid       ConsentState = "INVALID"
	Redacted      ConsentState = "REDACTED"
	UnknownState  ConsentState = "UNKNOWN"
)

// Consent is the consent of a customer to one channel: to email, or to SMS.
type Consent struct {
	State ConsentState
	// OptInLevel is SINGLE_OPT_IN, CONFIRMED_OPT_IN, UNKNOWN, or empty.
	OptInLevel string
	// UpdatedAt is the consent's date, UTC, in whole seconds; zero when Shopify holds none.
	UpdatedAt time.Time
}

// Customer is what is read of a customer. The zero Customer stands for one that does not exist.
type Customer struct {
	ID        CustomerID
	UpdatedAt time.Time
	// Email is the default address as Shopify holds it, not normalised; empty when there is none, and then EmailConsent is zero.
	Email        string
	EmailConsent Consent
	// Phone is the default phone number as Shopify holds it, which is E.164 (contracts/shopify.md 3.6); empty when there is none, and
	// then SMSConsent is zero.
	Phone      string
	SMSConsent Consent
}

// Change says that something about a customer changed, not what.
type Change struct {
	ID        CustomerID
	UpdatedAt time.Time
}

// ChangePage is a page of changes, oldest first.
type ChangePage struct {
	Changes []Change
	// Next is the cursor of the next page, empty on the last. Shopify ends paging at 25,000 customers: begin again from the last date
	// before that.
	Next string
	// ServerTime is the Date header of the answer, precise to the second, zero when it was missing.
	ServerTime time.Time
}

// ChangedCustomers reads a page of up to 250 customers changed at since (cut to the second) or later, all customers when since is zero.
// The search behind it lags writes by a time that nobody documents (contracts/shopify.md 4): ask for an overlapping span.
func (c *Client) ChangedCustomers(ctx context.Context, since time.Time, cursor string) (ChangePage, error) {
	var after, query *string
	if cursor != "" {
		after = &cursor
	}
	if !since.IsZero() {
		text := "updated_at:>=" + searchTime(since)
		query = &text
	}
	var date time.Time
	answer, err := admin.ChangedCustomers(ctx, single{c, opChangedCustomers, &date}, after, query)
	if err != nil {
		return ChangePage{}, err
	}
	page := ChangePage{ServerTime: date, Changes: make([]Change, 0, len(answer.Customers.Nodes))}
	for _, node := range answer.Customers.Nodes {
		page.Changes = append(page.Changes, Change{ID: CustomerID(node.Id), UpdatedAt: node.UpdatedAt.UTC()})
	}
	more := answer.Customers.PageInfo
	if page.Next, err = nextCursor(opChangedCustomers, more.HasNextPage, more.EndCursor, cursor); err != nil {
		return ChangePage{}, err
	}
	return page, nil
}

// nextCursor refuses a page that leads nowhere or back to itself: reading on from it would never end.
func nextCursor(op operation, more bool, end *string, current string) (string, error) {
	if !more {
		return "", nil
	}
	if end == nil || *end == "" || *end == current {
		return "", &failure.Error{Class: failure.Retry, Op: op.verb, Code: CodeBadAnswer}
	}
	return *end, nil
}

// CustomersByID reads customers by id, 250 a request. Result i belongs to ids[i] and is zero when there is no such customer (any more).
// Unlike a search it never lags.
func (c *Client) CustomersByID(ctx context.Context, ids []CustomerID) ([]Customer, error) {
	if err := CheckIDs(ids); err != nil {
		return nil, err
	}
	customers := make([]Customer, 0, len(ids))
	for chunk := range slices.Chunk(ids, MaxIDs) {
		texts := make([]string, len(chunk))
		for n, id := range chunk {
			texts[n] = string(id)
		}
		answer, err := admin.CustomersByID(ctx, single{c, opCustomersByID, nil}, texts)
		if err != nil {
			return nil, err
		}
		if len(answer.Nodes) != len(chunk) {
			return nil, &failure.Error{Class: failure.Retry, Op: opCustomersByID.verb, Code: CodeBadAnswer}
		}
		for n, node := range answer.Nodes {
			var customer Customer
			if node != nil && *node != nil {
				read, ok := (*node).(*admin.CustomersByIDNodesCustomer)
				if !ok || read.Id != texts[n] {
					return nil, &failure.Error{Class: failure.Retry, Op: opCustomersByID.verb, Code: CodeBadAnswer}
				}
				customer = customerOf(&read.CustomerFields)
			}
			customers = append(customers, customer)
		}
	}
	return customers, nil
}

// CheckIDs refuses ids that no customer has.
func CheckIDs(ids []CustomerID) error {
	for _, id := range ids {
		if !customerIDPattern.MatchString(string(id)) {
			return &failure.Error{Class: failure.Refused, Op: opCustomersByID.verb, Code: "INVALID_ID",
				Advice: "Customer ids are like gid://shopify/Customer/1."}
		}
	}
	return nil
}

// CustomersByEmail looks customers up by exact address (Shopify ignores case), 50 a request. Result i belongs to emails[i] and is zero
// when nobody has that address; whether the address that came back is the one meant is for the caller to compare. When only some
// look-ups failed the error is ItemErrors, and the other results are good.
func (c *Client) CustomersByEmail(ctx context.Context, emails []string) ([]Customer, error) {
	return c.lookUp(ctx, opCustomerByEmail, emails, admin.CustomersByEmail)
}

// CustomersByPhone looks customers up by exact phone number as CustomersByEmail does by address. Give numbers in E.164, as Shopify holds
// them: whether it understands other spellings here is not documented.
func (c *Client) CustomersByPhone(ctx context.Context, phones []string) ([]Customer, error) {
	return c.lookUp(ctx, opCustomerByPhone, phones, admin.CustomersByPhone)
}

func (c *Client) lookUp(ctx context.Context, op operation, keys []string,
	ask func([]string) (admin.Batch[admin.CustomerByIdentifierResponse], error)) ([]Customer, error) {
	return LookUp(keys, func(keys []string) ([]Customer, ItemErrors, error) {
		batch, err := ask(keys)
		if err != nil {
			return nil, nil, err
		}
		answers, failed, err := sendBatch(ctx, c, op, batch)
		if err != nil {
			return nil, nil, err
		}
		found := make([]Customer, len(answers))
		for k, answer := range answers {
			found[k] = customerOf(answer.CustomerByIdentifier)
		}
		return found, failed, nil
	})
}

// LookUp is Client.CustomersByEmail and CustomersByPhone with the requests left to send, so that a simulation without HTTP asks as the
// client does. keys are addresses or phone numbers; the error of send is that of the whole request.
func LookUp(keys []string, send func(keys []string) ([]Customer, ItemErrors, error)) ([]Customer, error) {
	customers := make([]Customer, len(keys))
	failures := make(ItemErrors, len(keys))
	// A blank address or number is nobody's: Shopify is not asked.
	var asked []int
	done := 0
	for n, key := range keys {
		if strings.TrimSpace(key) != "" {
			asked = append(asked, n)
		}
	}
	for chunk := range slices.Chunk(asked, maxLookups) {
		own := make([]string, len(chunk))
		for k, n := range chunk {
			own[k] = keys[n]
		}
		answers, failed, err := send(own)
		if err != nil {
			// What fails a whole request would fail the next one too, after as long a wait.
			for _, n := range asked[done:] {
				failures[n] = err
			}
			break
		}
		for k, n := range chunk {
			if failures[n] = failed[k]; failed[k] == nil {
				customers[n] = answers[k]
			}
		}
		done += len(chunk)
	}
	return customers, failures.orNil()
}

var emailStates = map[admin.CustomerEmailAddressMarketingState]ConsentState{
	admin.CustomerEmailAddressMarketingStateInvalid:       Invalid,
	admin.CustomerEmailAddressMarketingStateNotSubscribed: NotSubscribed,
	admin.CustomerEmailAddressMarketingStatePending:       Pending,
	admin.CustomerEmailAddressMarketingStateSubscribed:    Subscribed,
	admin.CustomerEmailAddressMarketingStateUnsubscribed:  Unsubscribed,
}

var smsStates = map[admin.CustomerMarketingConsentState]ConsentState{
	admin.CustomerMarketingConsentStateNeverSubscribed: NotSubscribed,
	admin.CustomerMarketingConsentStatePending:         Pending,
	admin.CustomerMarketingConsentStateRedacted:        Redacted,
	admin.CustomerMarketingConsentStateSubscribed:      Subscribed,
	admin.CustomerMarketingConsentStateUnsubscribed:    Unsubscribed,
}

func customerOf(fields *admin.CustomerFields) Customer {
	if fields == nil {
		return Customer{}
	}
	customer := Customer{ID: CustomerID(fields.Id), UpdatedAt: fields.UpdatedAt.UTC()}
	if address := fields.DefaultEmailAddress; address != nil {
		customer.Email = address.EmailAddress
		customer.EmailConsent = consentOf(emailStates, address.MarketingState, address.MarketingOptInLevel, address.MarketingUpdatedAt)
	}
	if number := fields.DefaultPhoneNumber; number != nil {
		sms := number.SmsMarketingConsent
		customer.Phone = number.PhoneNumber
		customer.SMSConsent = consentOf(smsStates, sms.State, sms.OptInLevel, sms.UpdatedAt)
	}
	return customer
}

func consentOf[S comparable](states map[S]ConsentState, state S, level *admin.CustomerMarketingOptInLevel, at *time.Time) Consent {
	consent := Consent{State: UnknownState}
	if known, ok := states[state]; ok {
		consent.State = known
	}
	if level != nil {
		consent.OptInLevel = string(*level)
	}
	if at != nil {
		consent.UpdatedAt = at.UTC()
	}
	return consent
}
