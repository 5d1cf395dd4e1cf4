package shop

import (
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// CustomerID is a customer's global id, "gid://shopify/Customer/1".
type CustomerID string

// OrderID is an order's global id, "gid://shopify/Order/1".
type OrderID string

// State is a marketing state as the inputs of the Admin API name it (contracts/shopify.md 3.2). Where SMS consents are read,
// NotSubscribed is called NEVER_SUBSCRIBED.
type State string

// The states. Invalid is of email addresses only and Redacted of phone numbers only; neither can be written by the API.
const (
	NotSubscribed State = "NOT_SUBSCRIBED"
	Pending       State = "PENDING"
	Subscribed    State = "SUBSCRIBED"
	Unsubscribed  State = "UNSUBSCRIBED"
	Invalid       State = "INVALID"
	Redacted      State = "REDACTED"
)

// OptInLevel is M3AAWG's term for how consent was asked.
type OptInLevel string

// The opt-in levels; empty means that none was sent.
const (
	SingleOptIn    OptInLevel = "SINGLE_OPT_IN"
	ConfirmedOptIn OptInLevel = "CONFIRMED_OPT_IN"
	UnknownOptIn   OptInLevel = "UNKNOWN"
)

// Consent is a customer's consent to one channel. UpdatedAt is in whole seconds, UTC; zero is Shopify's null: never asked.
type Consent struct {
	State     State
	Level     OptInLevel
	UpdatedAt time.Time
}

// Customer is a customer as the store shows it. Times are in whole seconds, UTC; an empty Email or Phone means that there is none, and
// that its consent is one of a person who was never asked.
type Customer struct {
	ID    CustomerID
	Email string
	// Consent is the consent to email, SMSConsent that to SMS.
	Consent Consent
	// Phone is in E.164.
	Phone      string
	SMSConsent Consent
	// SMSCollectedFrom is where the SMS consent was given; empty is Shopify's null.
	SMSCollectedFrom     Collector
	CreatedAt, UpdatedAt time.Time
}

// Collector is where an SMS consent was given, as the Admin API names it.
type Collector string

// The collectors (contracts/shopify.md 3.1): the checkout is Shopify's, everything that is written by the API is of others. That the
// merchant's and the person's other acts are of others too is inferred.
const (
	CollectedByShopify Collector = "SHOPIFY"
	CollectedByOthers  Collector = "OTHER"
)

// customer is a Customer as the model keeps it.
type customer struct {
	number           int64
	email, phone     string
	consent, sms     Consent
	collector        Collector
	created, updated time.Time
	metafields       map[string]string // by namespace and key
}

func (c *customer) view() Customer {
	return Customer{ID: customerID(c.number), Email: c.email, Consent: c.consent, Phone: c.phone, SMSConsent: c.sms,
		SMSCollectedFrom: c.collector, CreatedAt: c.created, UpdatedAt: c.updated}
}

// channel is one of the two that a customer can consent to; the API has a mutation, an input and a webhook of its own for each.
type channel struct {
	operation string
	// member is what an input names the consent.
	member string
	topic  Topic
	// states are those that a person's act can leave.
	states []State
	// without refuses a consent for want of an address.
	without error
}

var (
	byMail = channel{operation: "customerEmailMarketingConsentUpdate", member: "emailMarketingConsent", topic: TopicEmailConsent,
		states: []State{NotSubscribed, Pending, Subscribed, Unsubscribed, Invalid}, without: ErrNoEmail}
	bySMS = channel{operation: "customerSmsMarketingConsentUpdate", member: "smsMarketingConsent", topic: TopicSMSConsent,
		states: []State{NotSubscribed, Pending, Subscribed, Unsubscribed, Redacted}, without: ErrNoPhone}
)

var channels = []*channel{&byMail, &bySMS}

// held is the consent that a customer has given to a channel.
func (c *customer) held(to *channel) Consent {
	if to == &bySMS {
		return c.sms
	}
	return c.consent
}

// hold replaces it.
func (c *customer) hold(to *channel, consent Consent, collector Collector) {
	if to == &bySMS {
		c.sms, c.collector = consent, collector
		return
	}
	c.consent = consent
}

// reached is the address or the number by which a channel reaches a customer, empty when there is none.
func (c *customer) reached(by *channel) string {
	if by == &bySMS {
		return c.phone
	}
	return c.email
}

const (
	customerPrefix = "gid://shopify/Customer/"
	orderPrefix    = "gid://shopify/Order/"
)

func customerID(number int64) CustomerID {
	return CustomerID(customerPrefix + strconv.FormatInt(number, 10))
}

func orderID(number int64) OrderID {
	return OrderID(orderPrefix + strconv.FormatInt(number, 10))
}

// numberOf reads the number out of a global id of the kind that prefix names; zero means that it is none.
func numberOf(id, prefix string) int64 {
	digits, ok := strings.CutPrefix(id, prefix)
	if !ok {
		return 0
	}
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || number < 0 {
		return 0
	}
	return number
}

// neverAsked is the consent of a new customer of whom nothing is known (contracts/shopify.md 3.5, L).
func neverAsked() Consent {
	return Consent{State: NotSubscribed, Level: SingleOptIn}
}

const (
	maxEmailLength = 255
	maxPhoneLength = 255
)

// emailShape is deliberately wide: Shopify's own rule is not published.
var emailShape = regexp.MustCompile(`^[^\s@<>,;]+@[^\s@<>,;.]+(\.[^\s@<>,;.]+)+$`)

// cleanEmail strips white space as Shopify does; the case that was sent is kept (contracts/shopify.md 3.6).
func cleanEmail(email string) string { return strings.TrimSpace(email) }

// emailKey is what uniqueness and look-ups go by.
func emailKey(email string) string { return strings.ToLower(cleanEmail(email)) }

// emailProblem is Shopify's text for an address that it refuses, or "". The address must be cleaned.
func emailProblem(email string) string {
	switch {
	case utf8.RuneCountInString(email) > maxEmailLength:
		return "Email is too long (maximum is 255 characters)"
	case !emailShape.MatchString(email):
		return "Email is invalid"
	default:
		return ""
	}
}

// phoneShape is deliberately wide: Shopify's own rule is not published. Numbers of the recordings are as made up as 555 can make them.
var phoneShape = regexp.MustCompile(`^\+[1-9][0-9]{7,14}$`)

var phonePunctuation = strings.NewReplacer(" ", "", "(", "", ")", "", "-", "", ".", "")

// cleanPhone writes a number in E.164, as Shopify stores it: "+1 (613) 450-5293" becomes "+16134505293" (contracts/shopify.md 3.6, L).
// Without its country code a number stays as it is, and is invalid: by what country Shopify would read it is not documented.
func cleanPhone(phone string) string { return phonePunctuation.Replace(strings.TrimSpace(phone)) }

// phoneProblems are Shopify's texts for a number that it refuses. The number must be cleaned. That of length comes with the other one, as
// github.com/airhorns/shopify-draft-proxy has it; it is in no recording.
func phoneProblems(phone string) []string {
	switch {
	case utf8.RuneCountInString(phone) > maxPhoneLength:
		return []string{"Phone is too long (maximum is 255 characters)", "Phone is invalid"}
	case !phoneShape.MatchString(phone):
		return []string{"Phone is invalid"}
	default:
		return nil
	}
}

// wholeSecond is the precision of every date that Shopify shows.
func wholeSecond(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}
