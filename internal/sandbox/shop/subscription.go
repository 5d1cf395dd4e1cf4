package shop

import (
	"cmp"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SubscriptionID is a subscription's global id, "gid://shopify/WebhookSubscription/1".
type SubscriptionID string

const subscriptionPrefix = "gid://shopify/WebhookSubscription/"

// Subscription is where webhooks of one topic go. One without an ID stands in the app's configuration: it is not listed, and no
// failure deletes it (contracts/shopify.md 5.1, 5.2).
type Subscription struct {
	ID        SubscriptionID
	Topic     Topic
	URI       string
	Name      string
	CreatedAt time.Time
	// failures counts the attempts in a row that failed, of API-made ones.
	failures int
}

// AppSubscription is a subscription in the app's configuration (shopify.app.toml).
type AppSubscription struct {
	Topics []Topic `json:"topics"`
	URI    string  `json:"uri"`
}

// subscribers are the subscriptions of a topic. It wants s.mu held.
func (s *Store) subscribers(topic Topic) []Subscription {
	var found []Subscription
	if !s.Installed() && topic != TopicUninstalled && !slices.Contains(complianceTopics, topic) {
		return nil
	}
	for _, app := range s.config.Webhooks.App {
		if slices.Contains(app.Topics, topic) {
			found = append(found, Subscription{Topic: topic, URI: app.URI})
		}
	}
	for _, number := range slices.Sorted(maps.Keys(s.subscriptions)) {
		if one := s.subscriptions[number]; one.Topic == topic {
			found = append(found, *one)
		}
	}
	return found
}

// Subscriptions are those made by the API, by id.
func (s *Store) Subscriptions() []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Subscription, 0, len(s.subscriptions))
	for _, number := range slices.Sorted(maps.Keys(s.subscriptions)) {
		all = append(all, *s.subscriptions[number])
	}
	return all
}

// SubscriptionInput is a webhook subscription as an app sends it.
type SubscriptionInput struct {
	// Topic is named as the Admin API does: CUSTOMERS_UPDATE.
	Topic     string
	URI, Name string
	// Format is JSON, or empty, which means it.
	Format string
}

// Subscribe is webhookSubscriptionCreate (contracts/shopify.md 5.2). Nil and user errors mean that it was refused.
func (s *Store) Subscribe(input SubscriptionInput) (*Subscription, []UserError, error) {
	known, ok := apiTopics[input.Topic]
	if !ok || cmp.Or(input.Format, "JSON") != "JSON" {
		_, err := unmodelled("WebhookSubscriptionTopic or WebhookSubscriptionFormat", input.Topic+" "+input.Format)
		return nil, nil, err
	}
	refuse := func(message string, field ...string) (*Subscription, []UserError, error) {
		return nil, []UserError{{Field: field, Message: message}}, nil
	}
	if known.scope != "" && !s.hasScope(known.scope) {
		// The text is the one that apps report; where it stands in GraphQL is inferred.
		return refuse("You do not have permission to create or update webhooks with "+string(known.topic)+" topic.", "webhookSubscription")
	}
	if s.config.ProtectedData == ProtectedDataNone && known.scope != "" {
		// https://github.com/kinngh/shopify-node-express-mongodb-app/issues/84
		return refuse("This app is not approved to subscribe to webhook topics containing protected customer data. "+
			"See https://partners.shopify.com/1/apps/1/customer_data for more details.", "webhookSubscription")
	}
	if problem := s.addressProblem(input.URI); problem != "" {
		return refuse(problem, "webhookSubscription", "callbackUrl")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.subscriptions {
		if other.Topic == known.topic && other.URI == input.URI {
			return refuse("Address for this topic has already been taken", "webhookSubscription", "callbackUrl")
		}
	}
	s.lastSubscription++
	made := &Subscription{
		ID: SubscriptionID(subscriptionPrefix + strconv.FormatInt(s.lastSubscription, 10)), Topic: known.topic, URI: input.URI,
		Name: input.Name, CreatedAt: wholeSecond(s.config.Now()),
	}
	s.subscriptions[s.lastSubscription] = made
	view := *made
	return &view, nil, nil
}

// addressProblem is Shopify's text for an address that it does not deliver to, or "" (contracts/shopify.md 5.2). Pub/Sub and
// EventBridge are not modelled: their addresses are invalid here.
func (s *Store) addressProblem(uri string) string {
	if uri == "" {
		return "Address can't be blank"
	}
	address, err := url.Parse(uri)
	if err != nil || address.Hostname() == "" || address.Scheme != "https" && address.Scheme != "http" {
		return "Address is invalid"
	}
	local := internalHost(address.Hostname())
	switch {
	case local && s.config.Webhooks.LocalAddresses:
		return ""
	case address.Scheme == "http":
		return "Address protocol http:// is not supported"
	case local:
		return "Address cannot be a Shopify or an internal domain"
	default:
		return ""
	}
}

// internalHost says whether a host is Shopify's or within a network; which hosts exactly Shopify refuses is not published.
func internalHost(host string) bool {
	host = strings.ToLower(host)
	if address, err := netip.ParseAddr(host); err == nil {
		return address.IsLoopback() || address.IsPrivate() || address.IsLinkLocalUnicast() || address.IsUnspecified()
	}
	for _, domain := range []string{"localhost", "local", "internal", "myshopify.com", "shopify.com"} {
		if host == domain || strings.HasSuffix(host, "."+domain) {
			return true
		}
	}
	return false
}

// Unsubscribe is webhookSubscriptionDelete. The text of its refusal is not in the contract.
func (s *Store) Unsubscribe(id SubscriptionID) []UserError {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := numberOf(string(id), subscriptionPrefix)
	if s.subscriptions[number] == nil {
		return []UserError{{Field: []string{"id"}, Message: "Webhook subscription does not exist"}}
	}
	delete(s.subscriptions, number)
	return nil
}

// failuresToDelete is how many failures in a row end a subscription that was made by the API (contracts/shopify.md 5.1).
const failuresToDelete = 8

// attempted notes how an attempt for a subscription ended, and says whether the subscription is still there. exhausted: it failed with
// all its retries.
func (s *Store) attempted(to Subscription, taken, exhausted bool) (there bool) {
	if to.ID == "" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	number := numberOf(string(to.ID), subscriptionPrefix)
	one := s.subscriptions[number]
	if one == nil {
		// The uninstallation itself has taken away what it is told to.
		return to.Topic == TopicUninstalled
	}
	if taken {
		one.failures = 0
		return true
	}
	one.failures++
	if exhausted || !s.switches.OnlyExhaustedDeletes && one.failures >= failuresToDelete {
		delete(s.subscriptions, number)
		s.deliveries.ended(*one)
		return false
	}
	return true
}

// ListSubscriptions is webhookSubscriptions(…): only those made by the API, with one of the topics, named as the Admin API does, and
// that URI; no topics and no URI mean any. They come by id, which is also the order of their creation. The error is an *APIError.
func (s *Store) ListSubscriptions(paging Paging, topics []string, uri string, reverse bool) (Page[Subscription], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	checked, err := paging.check(byNumber, reverse, s.switches.PagingEndIsError)
	if err != nil {
		return Page[Subscription]{}, err
	}
	numbers := slices.Sorted(maps.Keys(s.subscriptions))
	numbers = slices.DeleteFunc(numbers, func(number int64) bool {
		one := s.subscriptions[number]
		return len(topics) > 0 && !slices.Contains(topics, one.Topic.apiName()) || uri != "" && one.URI != uri
	})
	if checked.downwards() {
		slices.Reverse(numbers)
	}
	if checked.started {
		numbers = slices.DeleteFunc(numbers, func(number int64) bool {
			if checked.downwards() {
				return number >= checked.from.number
			}
			return number <= checked.from.number
		})
	}
	more := len(numbers) > checked.size
	numbers = numbers[:min(len(numbers), checked.size)]
	if checked.backwards {
		slices.Reverse(numbers)
	}
	page := Page[Subscription]{Rows: make([]Row[Subscription], 0, len(numbers))}
	for n, number := range numbers {
		page.Rows = append(page.Rows, Row[Subscription]{*s.subscriptions[number], cursor{number, number, checked.passed + n + 1}.String()})
	}
	if page.HasNext, page.HasPrevious = more, checked.started; checked.backwards {
		page.HasNext, page.HasPrevious = checked.started, more
	}
	return page, nil
}
