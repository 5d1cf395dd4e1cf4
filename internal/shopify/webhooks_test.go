package shopify

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/failure"
)

func TestCompareWebhooks(t *testing.T) {
	t.Parallel()
	const prefix, uri = "https://sync.example/webhooks/", "https://sync.example/webhooks/acme"
	one := func(n int, topic Topic, uri string) WebhookSubscription {
		return WebhookSubscription{ID: fmt.Sprintf("gid://shopify/WebhookSubscription/%d", n), Topic: topic, URI: uri}
	}
	for name, c := range map[string]struct {
		topics  []Topic
		prefix  string
		present []WebhookSubscription
		want    WebhookComparison
	}{
		"nothing there": {topics: []Topic{TopicOrderCreate, TopicUninstalled}, prefix: prefix,
			want: WebhookComparison{Create: []Topic{TopicOrderCreate, TopicUninstalled}}},
		"all there": {topics: []Topic{TopicOrderCreate}, prefix: prefix, present: []WebhookSubscription{one(1, TopicOrderCreate, uri)},
			want: WebhookComparison{Keep: []WebhookSubscription{one(1, TopicOrderCreate, uri)}}},
		"a topic too many": {topics: []Topic{TopicOrderCreate}, prefix: prefix,
			present: []WebhookSubscription{one(1, TopicBulkFinished, uri), one(2, TopicOrderCreate, uri)},
			want: WebhookComparison{Keep: []WebhookSubscription{one(2, TopicOrderCreate, uri)},
				Delete: []WebhookSubscription{one(1, TopicBulkFinished, uri)}}},
		"another merchant's name": {topics: []Topic{TopicOrderCreate}, prefix: prefix,
			present: []WebhookSubscription{one(1, TopicOrderCreate, prefix+"before")},
			want: WebhookComparison{Create: []Topic{TopicOrderCreate},
				Delete: []WebhookSubscription{one(1, TopicOrderCreate, prefix+"before")}}},
		"somebody else's": {topics: []Topic{TopicOrderCreate}, prefix: prefix,
			present: []WebhookSubscription{one(1, TopicOrderCreate, "https://other.example/webhooks/acme"), one(2, "PRODUCTS_UPDATE", "pubsub://a:b")},
			want: WebhookComparison{Create: []Topic{TopicOrderCreate}, Foreign: []WebhookSubscription{
				one(1, TopicOrderCreate, "https://other.example/webhooks/acme"), one(2, "PRODUCTS_UPDATE", "pubsub://a:b")}}},
		"twice there, twice wanted": {topics: []Topic{TopicOrderCreate, TopicOrderCreate, TopicUninstalled, TopicUninstalled}, prefix: prefix,
			present: []WebhookSubscription{one(1, TopicOrderCreate, uri), one(2, TopicOrderCreate, uri)},
			want: WebhookComparison{Create: []Topic{TopicUninstalled}, Keep: []WebhookSubscription{one(1, TopicOrderCreate, uri)},
				Delete: []WebhookSubscription{one(2, TopicOrderCreate, uri)}}},
		"none wanted": {prefix: prefix, present: []WebhookSubscription{one(1, TopicOrderCreate, uri)},
			want: WebhookComparison{Delete: []WebhookSubscription{one(1, TopicOrderCreate, uri)}}},
		"no prefix owns nothing": {present: []WebhookSubscription{one(1, TopicOrderCreate, uri)},
			want: WebhookComparison{Foreign: []WebhookSubscription{one(1, TopicOrderCreate, uri)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, CompareWebhooks(c.topics, uri, c.prefix, c.present))
		})
	}
}

// TestSubscriptionFailures: answers that the sandbox does not give.
func TestSubscriptionFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body   string
		class  failure.Class
		code   string
		advice string
	}{
		"a text that nobody knows": {`{"data":{"webhookSubscriptionCreate":{"webhookSubscription":null,"userErrors":[{"field":null,"message":"` + address + `"}]}}}`,
			failure.Refused, "USER_ERROR", ""},
		"the scope of a topic": {`{"data":{"webhookSubscriptionCreate":{"webhookSubscription":null,"userErrors":[{"field":null,"message":"You do not have permission to create or update webhooks with orders/create topic."}]}}}`,
			failure.PersonMustAct, CodeAccessDenied, "the scope read_orders"},
		"protected data, said differently": {`{"data":{"webhookSubscriptionCreate":{"webhookSubscription":null,"userErrors":[{"field":null,"message":"You do not have permission to create or update webhooks with orders/create topic. This topic contains protected customer data."}]}}}`,
			failure.PersonMustAct, CodeProtectedData, "protected customer data"},
		"the address": {`{"data":{"webhookSubscriptionCreate":{"webhookSubscription":null,"userErrors":[{"field":["webhookSubscription","callbackUrl"],"message":"Address is invalid"}]}}}`,
			failure.PersonMustAct, CodeAddress, "CONCORD_PUBLIC_URL"},
		"nothing":                  {`{"data":{"webhookSubscriptionCreate":null}}`, failure.Retry, CodeBadAnswer, ""},
		"neither one nor an error": {`{"data":{"webhookSubscriptionCreate":{"webhookSubscription":null,"userErrors":[]}}}`, failure.Retry, CodeBadAnswer, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, func(w http.ResponseWriter, _ sent) { _, _ = w.Write([]byte(c.body)) })
			client, err := New(Config{Shop: "example.myshopify.com", BaseURL: s.server.URL, Token: "shpat_1"})
			require.NoError(t, err)
			_, err = client.CreateWebhookSubscription(t.Context(), TopicOrderCreate, "https://sync.example/webhooks/acme")
			f := failure.As(err)
			require.NotNil(t, f, "%v", err)
			require.Equal(t, c.class, f.Class)
			require.Equal(t, c.code, f.Code)
			require.Contains(t, f.Advice, c.advice)
			require.NotContains(t, err.Error(), address)
		})
	}
}
