package shop

import (
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// Topic is the topic of a webhook as the header X-Shopify-Topic names it (contracts/shopify.md 5).
type Topic string

// The topics that the sandbox knows. TopicBulkFinished it sends on request only, for it has no bulk operations. The last three are the
// compliance topics: only an app's configuration can subscribe to them.
const (
	TopicEmailConsent   Topic = "customers_email_marketing_consent/update"
	TopicSMSConsent     Topic = "customers_marketing_consent/update"
	TopicCustomerCreate Topic = "customers/create"
	TopicCustomerUpdate Topic = "customers/update"
	TopicCustomerDelete Topic = "customers/delete"
	TopicCustomerMerge  Topic = "customers/merge"
	TopicOrderCreate    Topic = "orders/create"
	TopicUninstalled    Topic = "app/uninstalled"
	TopicBulkFinished   Topic = "bulk_operations/finish"

	TopicDataRequest    Topic = "customers/data_request"
	TopicCustomerRedact Topic = "customers/redact"
	TopicShopRedact     Topic = "shop/redact"
)

// complianceTopics cannot be subscribed to by the API (contracts/shopify.md 5.2).
var complianceTopics = []Topic{TopicDataRequest, TopicCustomerRedact, TopicShopRedact}

// apiTopics are the topics by their names in the Admin API, with the scope that each needs ("" for none): from the descriptions of
// WebhookSubscriptionTopic in the schema.
var apiTopics = map[string]struct {
	topic Topic
	scope string
}{
	"CUSTOMERS_EMAIL_MARKETING_CONSENT_UPDATE": {TopicEmailConsent, "read_customers"},
	"CUSTOMERS_MARKETING_CONSENT_UPDATE":       {TopicSMSConsent, "read_customers"},
	"CUSTOMERS_CREATE":                         {TopicCustomerCreate, "read_customers"},
	"CUSTOMERS_UPDATE":                         {TopicCustomerUpdate, "read_customers"},
	"CUSTOMERS_DELETE":                         {TopicCustomerDelete, "read_customers"},
	"CUSTOMERS_MERGE":                          {TopicCustomerMerge, "read_customer_merge"},
	"ORDERS_CREATE":                            {TopicOrderCreate, "read_orders"},
	"APP_UNINSTALLED":                          {TopicUninstalled, ""},
	"BULK_OPERATIONS_FINISH":                   {TopicBulkFinished, ""},
}

// apiName is the topic's name in the Admin API, empty for a compliance topic.
func (t Topic) apiName() string {
	for name, known := range apiTopics {
		if known.topic == t {
			return name
		}
	}
	return ""
}

func (t Topic) known() bool { return t.apiName() != "" || slices.Contains(complianceTopics, t) }

// ErrTopic: a topic that the sandbox does not know.
var ErrTopic = errors.New("not a topic that the sandbox knows")

// Event is something that happened in a store and that webhooks tell of, one for each topic. The acts of people, of the merchant and
// of apps through the API all make them.
type Event struct {
	// Act is the same for all events that one act has caused; it becomes X-Shopify-Event-Id.
	Act   uint64
	Topic Topic
	At    time.Time
	// Customer is as the act has left it, or was before a deletion. Of a merge it is the one that stays, and Merged the other.
	Customer Customer
	Merged   CustomerID
	// Order of orders/create; Orders are those that a privacy request names.
	Order  Order
	Orders []OrderID
	// Request numbers a customers/data_request.
	Request int64
	// Payload, when it is set, is sent as it is.
	Payload json.RawMessage
	// To are the subscriptions of the topic when it happened.
	To []Subscription
}

// OnEvent calls hook with every event from now on, in their order, besides the hooks that are there. hook runs while the store is
// locked: it must neither call the store nor wait.
func (s *Store) OnEvent(hook func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks = append(s.hooks, hook)
}

// emit wants s.mu held. Acts that are not told of to anybody cost nothing.
func (s *Store) emit(event Event) {
	if len(s.hooks) == 0 {
		return
	}
	event.Act, event.At = s.act, s.config.Now()
	event.To = s.subscribers(event.Topic)
	for _, hook := range s.hooks {
		hook(event)
	}
}

// begin marks the beginning of an act. It wants s.mu held.
func (s *Store) begin() { s.act++ }

// told emits what a change of a customer's consent is told by: the channel's topic when anything of the consent moved. It wants s.mu
// held.
func (s *Store) told(c *customer, to *channel, before Consent) {
	if c.held(to) != before || s.switches.ConsentWebhookWithoutChange {
		s.emit(Event{Topic: to.topic, Customer: c.view()})
	}
}

// toldOfChanges is told for each channel whose consent an act has moved. It wants s.mu held.
func (s *Store) toldOfChanges(c *customer, before customer) {
	for _, to := range channels {
		if c.held(to) != before.held(to) {
			s.told(c, to, before.held(to))
		}
	}
}

// Send sends a webhook of any topic now, as if something had happened: with that payload, or without one the plainest that the topic
// can have. It returns ErrTopic, or ErrNoPayload for a topic whose payload is about somebody.
func (s *Store) Send(topic Topic, payload json.RawMessage) error {
	if !topic.known() {
		return ErrTopic
	}
	if len(payload) == 0 {
		switch topic {
		case TopicUninstalled, TopicShopRedact, TopicBulkFinished:
		default:
			return ErrNoPayload
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
	s.emit(Event{Topic: topic, Payload: payload})
	return nil
}

// ErrNoPayload: a webhook about somebody was to be sent without saying about whom.
var ErrNoPayload = errors.New("this topic needs a payload")

// AskForData acts as the person who asks for a copy of all that apps hold: customers/data_request (contracts/shopify.md 5.3). It
// returns ErrNoCustomer.
func (s *Store) AskForData(id CustomerID) error { return s.privacy(id, TopicDataRequest) }

// AskToRedact acts as the merchant who asks apps to forget a customer, ten days later: customers/redact (contracts/shopify.md 5.3).
// What becomes of the customer in the store is left to other acts. It returns ErrNoCustomer.
func (s *Store) AskToRedact(id CustomerID) error { return s.privacy(id, TopicCustomerRedact) }

func (s *Store) privacy(id CustomerID, topic Topic) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err != nil {
		return err
	}
	s.begin()
	event := Event{Topic: topic, Customer: c.view(), Orders: s.ordersOf(c)}
	if topic == TopicDataRequest {
		s.lastRequest++
		event.Request = s.lastRequest
	}
	s.emit(event)
	return nil
}

// ordersOf wants s.mu held.
func (s *Store) ordersOf(c *customer) []OrderID {
	var found []OrderID
	for number, order := range s.orders {
		if order.CustomerID == customerID(c.number) {
			found = append(found, orderID(number))
		}
	}
	slices.Sort(found)
	return found
}

// Uninstall acts as the merchant who uninstalls the app: every token ends, none can be had, app/uninstalled is sent, and subscriptions
// made by the API are gone. shop/redact follows, unless the app is installed again before: see WebhookConfig.ShopRedactAfter.
func (s *Store) Uninstall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.RevokeTokens()
	s.tokens.setInstalled(false)
	s.begin()
	s.emit(Event{Topic: TopicUninstalled})
	clear(s.subscriptions)
}

// Install acts as the merchant who installs the app again. A static token is lost; the grant works.
func (s *Store) Install() { s.tokens.setInstalled(true) }

// Installed says whether the app is installed.
func (s *Store) Installed() bool {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	return !s.tokens.removed
}

// installs counts the installations so far.
func (s *Store) installs() int {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	return s.tokens.installs
}

func (t *tokens) setInstalled(installed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removed = !installed
	if installed {
		t.installs++
	}
}
