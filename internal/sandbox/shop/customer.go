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

// State is an email marketing state as the Admin API names it (contracts/shopify.md 3.2).
type State string

// The states. Redacted can only be sent, and is refused; reads have no such value for email.
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

// Consent is a customer's email consent. UpdatedAt is in whole seconds, UTC; zero is Shopify's null: never asked.
type Consent struct {
	State     State
	Level     OptInLevel
	UpdatedAt time.Time
}

// Customer is a customer as the store shows it. Times are in whole seconds, UTC; an empty Email means that there is none.
type Customer struct {
	ID                   CustomerID
	Email                string
	Consent              Consent
	CreatedAt, UpdatedAt time.Time
}

// customer is a Customer as the model keeps it.
type customer struct {
	number           int64
	email            string
	consent          Consent
	created, updated time.Time
	metafields       map[string]string // by namespace and key
}

func (c *customer) view() Customer {
	return Customer{ID: customerID(c.number), Email: c.email, Consent: c.consent, CreatedAt: c.created, UpdatedAt: c.updated}
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

const maxEmailLength = 255

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

// wholeSecond is the precision of every date that Shopify shows.
func wholeSecond(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}
