package shopify

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/shopify/admin"
)

// Topic is the topic of a webhook as the header X-Shopify-Topic names it (contracts/shopify.md 5.1).
type Topic string

// The topics that can be subscribed to by the API, of those that Concord knows.
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
)

// The compliance topics: only the configuration of the app can subscribe to them (contracts/shopify.md 5.2).
const (
	TopicDataRequest    Topic = "customers/data_request"
	TopicCustomerRedact Topic = "customers/redact"
	TopicShopRedact     Topic = "shop/redact"
)

// topicNames are the names that topics have in the Admin API.
var topicNames = map[Topic]admin.WebhookSubscriptionTopic{
	TopicEmailConsent:   admin.WebhookSubscriptionTopicCustomersEmailMarketingConsentUpdate,
	TopicSMSConsent:     admin.WebhookSubscriptionTopicCustomersMarketingConsentUpdate,
	TopicCustomerCreate: admin.WebhookSubscriptionTopicCustomersCreate,
	TopicCustomerUpdate: admin.WebhookSubscriptionTopicCustomersUpdate,
	TopicCustomerDelete: admin.WebhookSubscriptionTopicCustomersDelete,
	TopicCustomerMerge:  admin.WebhookSubscriptionTopicCustomersMerge,
	TopicOrderCreate:    admin.WebhookSubscriptionTopicOrdersCreate,
	TopicUninstalled:    admin.WebhookSubscriptionTopicAppUninstalled,
	TopicBulkFinished:   admin.WebhookSubscriptionTopicBulkOperationsFinish,
}

// topicNamed is the topic of a name of the Admin API. Of a topic that Concord does not know it is that name itself.
func topicNamed(name admin.WebhookSubscriptionTopic) Topic {
	for topic, known := range topicNames {
		if known == name {
			return topic
		}
	}
	return Topic(name)
}

// WebhookSubscription is one that was made by the API. Those of the app's configuration cannot be read (contracts/shopify.md 5.2).
type WebhookSubscription struct {
	ID    string
	Topic Topic
	URI   string
}

// Codes of failures about subscriptions.
const (
	// CodeSubscribed: there is a subscription of that topic to that address already.
	CodeSubscribed = "SUBSCRIBED_ALREADY"
	// CodeAddress: Shopify does not deliver to that address.
	CodeAddress = "WEBHOOK_ADDRESS"
	// CodeNoSubscription: it was deleted before.
	CodeNoSubscription = "NO_SUBSCRIPTION"
)

const adviceAddress = "Shopify delivers only to a public https:// address: set CONCORD_PUBLIC_URL to the one under which it reaches this " +
	"worker's webhooks."

// subscriptionMessages are refusals of webhookSubscriptionCreate (contracts/shopify.md 5.2, L). That of webhookSubscriptionDelete is not
// in the contract; without it, one that was deleted meanwhile is refused instead.
var subscriptionMessages = map[string]struct {
	class        failure.Class
	code, advice string
}{
	"Address for this topic has already been taken":     {class: failure.Retry, code: CodeSubscribed},
	"Address protocol http:// is not supported":         {failure.PersonMustAct, CodeAddress, adviceAddress},
	"Address is invalid":                                {failure.PersonMustAct, CodeAddress, adviceAddress},
	"Address can't be blank":                            {failure.PersonMustAct, CodeAddress, adviceAddress},
	"Address cannot be a Shopify or an internal domain": {failure.PersonMustAct, CodeAddress, adviceAddress},
	"Webhook subscription does not exist":               {class: failure.Retry, code: CodeNoSubscription},
}

// permissionPattern and protectedPattern match refusals for want of a scope, or of approval for protected customer data. The contract
// has neither text; apps report them.
var (
	permissionPattern = regexp.MustCompile(`^You do not have permission to create or update webhooks`)
	protectedPattern  = regexp.MustCompile(`(?i)protected customer data`)
)

// subscriptionFailure turns the userErrors of a mutation of subscriptions into a failure.
func subscriptionFailure(op operation, topic Topic, message string) error {
	f := &failure.Error{Class: failure.Refused, Op: op.verb, Code: "USER_ERROR"}
	known, ok := subscriptionMessages[message]
	switch {
	case ok:
		f.Class, f.Code, f.Advice, f.Err = known.class, known.code, known.advice, errors.New(message)
	case protectedPattern.MatchString(message):
		f.Class, f.Code, f.Advice = failure.PersonMustAct, CodeProtectedData, adviceData
	case permissionPattern.MatchString(message):
		f.Class, f.Code = failure.PersonMustAct, CodeAccessDenied
		f.Advice = "Grant the app the scope that " + string(topic) + " needs and release a new version of it."
		if scope := topicScopes[topic]; scope != "" {
			f.Advice = "Grant the app the scope " + scope + " and release a new version of it."
		}
	}
	return f
}

// topicScopes are the scopes that topics need, from the descriptions of WebhookSubscriptionTopic in Shopify's schema.
var topicScopes = map[Topic]string{
	TopicEmailConsent: "read_customers", TopicSMSConsent: "read_customers", TopicCustomerCreate: "read_customers",
	TopicCustomerUpdate: "read_customers", TopicCustomerDelete: "read_customers", TopicCustomerMerge: "read_customer_merge",
	TopicOrderCreate: "read_orders",
}

// WebhookSubscriptions reads all subscriptions of this app in the store that were made by the API.
func (c *Client) WebhookSubscriptions(ctx context.Context) ([]WebhookSubscription, error) {
	var all []WebhookSubscription
	var after *string
	for {
		answer, err := admin.WebhookSubscriptions(ctx, single{c, opWebhookSubscriptions, nil}, after)
		if err != nil {
			return nil, err
		}
		for _, node := range answer.WebhookSubscriptions.Nodes {
			all = append(all, WebhookSubscription{ID: node.Id, Topic: topicNamed(node.Topic), URI: node.Uri})
		}
		page := answer.WebhookSubscriptions.PageInfo
		if !page.HasNextPage || page.EndCursor == nil {
			return all, nil
		}
		after = page.EndCursor
	}
}

// CreateWebhookSubscription subscribes uri to a topic, as JSON. A failure with CodeSubscribed means that it is subscribed already.
func (c *Client) CreateWebhookSubscription(ctx context.Context, topic Topic, uri string) (WebhookSubscription, error) {
	name, known := topicNames[topic]
	if !known {
		return WebhookSubscription{}, fmt.Errorf("%s: the API has no topic %s", opCreateSubscription.verb, topic)
	}
	format := admin.WebhookSubscriptionFormatJson
	answer, err := admin.CreateWebhookSubscription(ctx, single{c, opCreateSubscription, nil}, name,
		admin.WebhookSubscriptionInput{Uri: &uri, Format: &format})
	if err != nil {
		return WebhookSubscription{}, err
	}
	payload := answer.WebhookSubscriptionCreate
	switch {
	case payload != nil && len(payload.UserErrors) > 0:
		return WebhookSubscription{}, subscriptionFailure(opCreateSubscription, topic, payload.UserErrors[0].Message)
	case payload == nil || payload.WebhookSubscription == nil:
		return WebhookSubscription{}, withoutPayload(opCreateSubscription, nil)
	}
	made := payload.WebhookSubscription
	return WebhookSubscription{ID: made.Id, Topic: topicNamed(made.Topic), URI: made.Uri}, nil
}

// DeleteWebhookSubscription ends a subscription that was made by the API. A failure with CodeNoSubscription means that it is gone.
func (c *Client) DeleteWebhookSubscription(ctx context.Context, id string) error {
	answer, err := admin.DeleteWebhookSubscription(ctx, single{c, opDeleteSubscription, nil}, id)
	if err != nil {
		return err
	}
	payload := answer.WebhookSubscriptionDelete
	switch {
	case payload != nil && len(payload.UserErrors) > 0:
		return subscriptionFailure(opDeleteSubscription, "", payload.UserErrors[0].Message)
	case payload == nil || payload.DeletedWebhookSubscriptionId == nil:
		return withoutPayload(opDeleteSubscription, nil)
	}
	return nil
}

// WebhookComparison is what to do so that the subscriptions that are wanted are there.
type WebhookComparison struct {
	// Create are topics without a subscription, Keep and Delete are subscriptions. All are in the order they were given in.
	Create       []Topic
	Keep, Delete []WebhookSubscription
	// Foreign are subscriptions of the app to addresses that are not ours: never touched.
	Foreign []WebhookSubscription
}

// CompareWebhooks compares the topics that uri shall be subscribed to with the subscriptions that are present. Those whose address
// begins with prefix are ours: what of them is not wanted, or twice there, is to be deleted.
func CompareWebhooks(topics []Topic, uri, prefix string, present []WebhookSubscription) WebhookComparison {
	var c WebhookComparison
	var kept []Topic
	for _, one := range present {
		switch wanted := one.URI == uri && slices.Contains(topics, one.Topic); {
		case wanted && !slices.Contains(kept, one.Topic):
			kept = append(kept, one.Topic)
			c.Keep = append(c.Keep, one)
		case wanted, prefix != "" && strings.HasPrefix(one.URI, prefix):
			c.Delete = append(c.Delete, one)
		default:
			c.Foreign = append(c.Foreign, one)
		}
	}
	for _, topic := range topics {
		if !slices.Contains(kept, topic) && !slices.Contains(c.Create, topic) {
			c.Create = append(c.Create, topic)
		}
	}
	return c
}
