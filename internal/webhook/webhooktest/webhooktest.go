// Package webhooktest sends webhooks as Shopify does, for tests and benchmarks of the door.
package webhooktest

import (
	"bytes"
	"context"
	"net/http"

	"github.com/concordsync/concord/internal/webhook"
)

// Sender sends webhooks of one store to one door.
type Sender struct {
	// Door is the base address, Merchant the id, Shop the *.myshopify.com domain, Secret what signs.
	Door, Merchant, Shop, Secret string
	Client                       *http.Client
}

// Request makes a signed delivery.
func (s Sender) Request(ctx context.Context, topic, id string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Door+webhook.Path(s.Merchant), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(webhook.HeaderTopic, topic)
	r.Header.Set(webhook.HeaderID, id)
	r.Header.Set(webhook.HeaderShop, s.Shop)
	r.Header.Set(webhook.HeaderHMAC, webhook.Sign(s.Secret, body))
	return r, nil
}
