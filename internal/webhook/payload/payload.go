// Package payload reads what Shopify's webhooks say. It is pure: it knows no ledger, no merchant and no clock.
package payload

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/privacy/person"
)

// The topics that the door knows, as X-Shopify-Topic spells them (contracts/shopify.md 5.3).
const (
	TopicEmailConsent = "customers_email_marketing_consent/update"
	// TopicSMSConsent is a hint for its customer like any other: what it says of SMS is read again.
	TopicSMSConsent     = "customers_marketing_consent/update"
	TopicCustomerCreate = "customers/create"
	TopicCustomerUpdate = "customers/update"
	TopicCustomerDelete = "customers/delete"
	TopicCustomerMerge  = "customers/merge"
	TopicOrderCreate    = "orders/create"
	TopicUninstalled    = "app/uninstalled"
	TopicBulkFinish     = "bulk_operations/finish"
	TopicDataRequest    = "customers/data_request"
	TopicCustomerRedact = "customers/redact"
	TopicShopRedact     = "shop/redact"
)

// Topics lists the topics that the door knows.
func Topics() []string {
	return []string{TopicEmailConsent, TopicSMSConsent, TopicCustomerCreate, TopicCustomerUpdate, TopicCustomerDelete, TopicCustomerMerge,
		TopicOrderCreate, TopicUninstalled, TopicBulkFinish, TopicDataRequest, TopicCustomerRedact, TopicShopRedact}
}

// Problem says in plain words what a payload lacks. It never holds anything of the payload.
type Problem string

// Error is the sentence.
func (p Problem) Error() string { return string(p) }

// What can be wrong with the payload of a known topic.
const (
	NoJSON       Problem = "the body is no JSON object"
	WrongType    Problem = "a field is of another type than Shopify documents"
	NoCustomer   Problem = "the customer has no id"
	NoMergedPair Problem = "the ids of the customers that were merged are missing"
	NoOrder      Problem = "the order has no id"
	NoOrderDate  Problem = "the order has no date of its creation"
	NoPerson     Problem = "the request names no customer, no email and no phone"
	OtherShop    Problem = "the body names another shop than the one it came for"
)

// News is what a payload says that matters here. Of bulk_operations/finish nothing does, and of app/uninstalled and shop/redact that they
// came.
type News struct {
	// Customers are the GIDs of customers of whom there is news.
	Customers []string
	// Order is an order for which somebody may be waiting; nil for other topics, and when it has neither a customer nor an address.
	Order *Order
	// Customer and Person say whom a privacy request is about, as far as Shopify knows them. Customer is a GID.
	Customer string
	Person   person.Person
	// Shop is the *.myshopify.com domain that the payload names, if it names one.
	Shop string
}

// Order is a new order.
type Order struct {
	// ID and Customer are GIDs; Customer is empty for a guest.
	ID, Customer string
	// Email is the normalised address, empty when there is none or when it is malformed.
	Email     string
	CreatedAt time.Time
	// Source is the order's source_name, by which renewals of subscriptions are known.
	Source string
}

// GIDs begin with their kind.
const (
	customerGID = "gid://shopify/Customer/"
	orderGID    = "gid://shopify/Order/"
)

// Parse reads the payload of a known topic. Fields that it does not need are not looked at, whatever they hold. The error is a Problem.
func Parse(topic string, body []byte) (News, error) {
	switch topic {
	case TopicEmailConsent:
		var in struct {
			ID id `json:"customer_id"`
		}
		return aboutCustomer(body, &in, &in.ID)
	case TopicSMSConsent, TopicCustomerCreate, TopicCustomerUpdate, TopicCustomerDelete:
		var in struct {
			ID id `json:"id"`
		}
		return aboutCustomer(body, &in, &in.ID)
	case TopicCustomerMerge:
		return parseMerge(body)
	case TopicOrderCreate:
		return parseOrder(body)
	case TopicUninstalled:
		var in struct {
			Shop words `json:"myshopify_domain"`
		}
		err := decode(body, &in)
		return News{Shop: string(in.Shop)}, err
	case TopicDataRequest, TopicCustomerRedact:
		return parsePersonal(body)
	case TopicShopRedact:
		var in struct {
			Shop words `json:"shop_domain"`
		}
		err := decode(body, &in)
		return News{Shop: string(in.Shop)}, err
	}
	var in struct{}
	return News{}, decode(body, &in)
}

func aboutCustomer(body []byte, into any, of *id) (News, error) {
	if err := decode(body, into); err != nil {
		return News{}, err
	}
	if *of == 0 {
		return News{}, NoCustomer
	}
	return News{Customers: []string{of.gid(customerGID)}}, nil
}

func parseMerge(body []byte) (News, error) {
	var in struct {
		Kept    words `json:"admin_graphql_api_customer_kept_id"`
		Deleted words `json:"admin_graphql_api_customer_deleted_id"`
	}
	if err := decode(body, &in); err != nil {
		return News{}, err
	}
	if !isGID(in.Kept, customerGID) || !isGID(in.Deleted, customerGID) {
		return News{}, NoMergedPair
	}
	return News{Customers: []string{string(in.Kept), string(in.Deleted)}}, nil
}

func parseOrder(body []byte) (News, error) {
	var in struct {
		ID           id    `json:"id"`
		Email        words `json:"email"`
		ContactEmail words `json:"contact_email"`
		CreatedAt    words `json:"created_at"`
		Source       words `json:"source_name"`
		Customer     struct {
			ID    id    `json:"id"`
			Email words `json:"email"`
		} `json:"customer"`
	}
	if err := decode(body, &in); err != nil {
		return News{}, err
	}
	if in.ID == 0 {
		return News{}, NoOrder
	}
	created, err := time.Parse(time.RFC3339, string(in.CreatedAt))
	if err != nil {
		return News{}, NoOrderDate
	}
	order := &Order{ID: in.ID.gid(orderGID), CreatedAt: created, Source: string(in.Source)}
	if in.Customer.ID != 0 {
		order.Customer = in.Customer.ID.gid(customerGID)
	}
	for _, raw := range []words{in.Email, in.ContactEmail, in.Customer.Email} {
		// What is no address of both sides belongs to nobody who could be waiting.
		if address, err := consent.NormaliseEmail(string(raw)); err == nil {
			order.Email = address
			break
		}
	}
	if order.Customer == "" && order.Email == "" {
		return News{}, nil
	}
	return News{Order: order}, nil
}

func parsePersonal(body []byte) (News, error) {
	var in struct {
		Shop     words `json:"shop_domain"`
		Customer struct {
			ID    id    `json:"id"`
			Email words `json:"email"`
			Phone words `json:"phone"`
		} `json:"customer"`
	}
	if err := decode(body, &in); err != nil {
		return News{}, err
	}
	news := News{Shop: string(in.Shop), Person: person.Person{Email: string(in.Customer.Email), Phone: string(in.Customer.Phone)}}
	if in.Customer.ID != 0 {
		news.Customer = in.Customer.ID.gid(customerGID)
	}
	if news.Customer == "" && news.Person.IsZero() {
		return News{}, NoPerson
	}
	return news, nil
}

// decode reads a JSON object.
func decode(body []byte, into any) error {
	// Of null nothing would be read, and nothing be wrong.
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return NoJSON
	}
	err := json.Unmarshal(body, into)
	if _, wrongType := err.(*json.UnmarshalTypeError); wrongType {
		return WrongType
	}
	if err != nil {
		return NoJSON
	}
	return nil
}

// id is an id of Shopify: above zero, and beyond what a float64 holds exactly. Zero stands for none, also for what is none. Shopify's
// other payloads write numbers as strings here and there (customers/purchasing_summary), so digits in a string are taken too.
type id uint64

// UnmarshalJSON never fails: an id that is none is missed where it is needed.
func (n *id) UnmarshalJSON(raw []byte) error {
	*n = 0
	if parsed, err := strconv.ParseUint(strings.Trim(string(raw), `"`), 10, 63); err == nil {
		*n = id(parsed)
	}
	return nil
}

func (n id) gid(prefix string) string { return prefix + strconv.FormatUint(uint64(n), 10) }

// isGID reports whether text is an id of this kind in the form of the GraphQL API.
func isGID(text words, prefix string) bool {
	number, ok := strings.CutPrefix(string(text), prefix)
	parsed, err := strconv.ParseUint(number, 10, 63)
	return ok && err == nil && parsed != 0 && strconv.FormatUint(parsed, 10) == number
}

// words is a text that may as well be null. Anything else than a string counts as none.
type words string

// UnmarshalJSON never fails.
func (w *words) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		*w = words(text)
	}
	return nil
}
