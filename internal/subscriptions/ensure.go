// Package subscriptions keeps the webhook subscriptions of a merchant alive: it registers those that are missing, of which Shopify
// deletes one after failures (contracts/shopify.md 5.1), and notes in the ledger how they stand. What webhooks bring is received
// elsewhere.
package subscriptions

import (
	"context"
	"slices"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/shopify"
)

// Topics are those that Concord wants and the API can subscribe to.
func Topics() []shopify.Topic {
	return []shopify.Topic{
		shopify.TopicEmailConsent, shopify.TopicSMSConsent, shopify.TopicCustomerCreate, shopify.TopicCustomerUpdate,
		shopify.TopicCustomerDelete, shopify.TopicCustomerMerge, shopify.TopicOrderCreate, shopify.TopicUninstalled,
		shopify.TopicBulkFinished,
	}
}

// ComplianceTopics are those that only the app's configuration can subscribe to (contracts/shopify.md 5.2).
func ComplianceTopics() []shopify.Topic {
	return []shopify.Topic{shopify.TopicDataRequest, shopify.TopicCustomerRedact, shopify.TopicShopRedact}
}

// Optional topics may be missing without anything being wrong: customers/merge needs a scope that nothing else needs, and polls find
// merged customers too.
func Optional(topic shopify.Topic) bool { return topic == shopify.TopicCustomerMerge }

// Client is what is needed of a store; *shopify.Client is one.
type Client interface {
	WebhookSubscriptions(ctx context.Context) ([]shopify.WebhookSubscription, error)
	CreateWebhookSubscription(ctx context.Context, topic shopify.Topic, uri string) (shopify.WebhookSubscription, error)
	DeleteWebhookSubscription(ctx context.Context, id string) error
}

// Wanted are topics to be subscribed to, and where they are sent. Subscriptions whose address begins with Prefix are ours.
type Wanted struct {
	Topics      []shopify.Topic
	URI, Prefix string
}

// Result is how subscriptions stand.
type Result struct {
	// Registered are the wanted topics that are subscribed to now, and Created those among them that were not before.
	Registered, Created []shopify.Topic
	// Missing could not be registered.
	Missing []Missing
	// Deleted were ours and not wanted; Foreign are of other programs that use the same app.
	Deleted, Foreign []shopify.WebhookSubscription
}

// Missing is a topic that could not be registered, and why.
type Missing struct {
	Topic shopify.Topic
	Err   error
}

// Needed are the missing topics that are not Optional.
func (r Result) Needed() []Missing {
	return slices.DeleteFunc(slices.Clone(r.Missing), func(m Missing) bool { return Optional(m.Topic) })
}

// Ensure registers the wanted topics that are missing, and deletes what is ours and not wanted. A topic for which the app lacks a scope
// or an approval is reported, and the others go on. The error is one that a later try may mend, or of the whole store; the result
// tells how far it came.
func Ensure(ctx context.Context, client Client, wanted Wanted) (Result, error) {
	present, err := client.WebhookSubscriptions(ctx)
	if err != nil {
		return Result{}, err
	}
	compared := shopify.CompareWebhooks(wanted.Topics, wanted.URI, wanted.Prefix, present)
	result := Result{Foreign: compared.Foreign}
	for _, kept := range compared.Keep {
		result.Registered = append(result.Registered, kept.Topic)
	}
	for _, topic := range compared.Create {
		_, err := client.CreateWebhookSubscription(ctx, topic, wanted.URI)
		f := failure.As(err)
		switch {
		case err == nil:
			result.Created = append(result.Created, topic)
			result.Registered = append(result.Registered, topic)
		case f != nil && f.Code == shopify.CodeSubscribed:
			// Somebody else was faster: another worker, or a call of ours whose answer was lost.
			result.Registered = append(result.Registered, topic)
		case f == nil || f.Class == failure.Retry:
			return result, err
		default:
			result.Missing = append(result.Missing, Missing{topic, err})
		}
	}
	// New ones first: between the two a webhook comes twice rather than never.
	for _, old := range compared.Delete {
		if err := client.DeleteWebhookSubscription(ctx, old.ID); err != nil {
			if f := failure.As(err); f == nil || f.Code != shopify.CodeNoSubscription {
				return result, err
			}
		}
		result.Deleted = append(result.Deleted, old)
	}
	return result, nil
}
