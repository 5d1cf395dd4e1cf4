package shop

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/sandbox/fault"
)

// WebhookConfig says how a store's webhooks are sent. The zero value is Shopify's behaviour (contracts/shopify.md 5).
type WebhookConfig struct {
	// App are the subscriptions of the app's configuration.
	App []AppSubscription
	// LocalAddresses lets subscriptions lead to this machine and its network, over http too. Shopify takes neither: it is for a Concord
	// that runs beside the sandbox.
	LocalAddresses bool
	// Version is the version of the payloads; empty means 2026-10. Which one Shopify takes is not clear (contracts/shopify.md 5.2).
	Version string
	// RetryGaps are the gaps before each retry, and their number is that of the retries; nil means eight over four hours. Shopify does
	// not publish its own. Real time, like all times below.
	RetryGaps []time.Duration
	// ConnectWithin and AnswerWithin bound an attempt; zero means one second and five.
	ConnectWithin, AnswerWithin time.Duration
	// Latency is how long a webhook is on its way.
	Latency time.Duration
	// ShopRedactAfter is how long after an uninstallation shop/redact is sent; zero means 48 hours.
	ShopRedactAfter time.Duration
	// AtOnce is how many attempts run at the same time; zero means 64.
	AtOnce int
	// RootCAs are the certificate authorities that https addresses are judged by; nil means the system's.
	RootCAs *x509.CertPool
}

// DefaultRetryGaps are eight gaps that grow and sum up to four hours (contracts/shopify.md 5.1; the gaps themselves are not published).
func DefaultRetryGaps() []time.Duration {
	return []time.Duration{10 * time.Second, 50 * time.Second, 4 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute,
		65 * time.Minute, 100 * time.Minute}
}

const (
	connectWithin   = time.Second
	answerWithin    = 5 * time.Second
	shopRedactAfter = 48 * time.Hour
	attemptsAtOnce  = 64
	// overtakenFor bounds how long a webhook waits for another one to overtake it.
	overtakenFor = 2 * time.Second
)

// Webhooks sends a store's webhooks over HTTP, from StartWebhooks to Close.
type Webhooks struct {
	store  *Store
	config WebhookConfig
	client *http.Client
	ctx    context.Context
	cancel context.CancelFunc
	busy   sync.WaitGroup
	slots  chan struct{}

	mu     sync.Mutex
	closed bool
	// overtaken are closed as soon as another delivery was answered.
	overtaken []chan struct{}
}

// StartWebhooks begins to send what the store tells of from now on.
func StartWebhooks(store *Store) *Webhooks {
	config := store.config.Webhooks
	config.Version = cmp.Or(config.Version, apiVersion)
	if config.RetryGaps == nil {
		config.RetryGaps = DefaultRetryGaps()
	}
	config.ConnectWithin = cmp.Or(config.ConnectWithin, connectWithin)
	config.AnswerWithin = cmp.Or(config.AnswerWithin, answerWithin)
	config.ShopRedactAfter = cmp.Or(config.ShopRedactAfter, shopRedactAfter)
	config.AtOnce = cmp.Or(config.AtOnce, attemptsAtOnce)
	ctx, cancel := context.WithCancel(context.Background())
	w := &Webhooks{
		store: store, config: config, ctx: ctx, cancel: cancel, slots: make(chan struct{}, config.AtOnce),
		client: &http.Client{
			Timeout: config.AnswerWithin,
			Transport: &http.Transport{
				DialContext:     (&net.Dialer{Timeout: config.ConnectWithin}).DialContext,
				TLSClientConfig: &tls.Config{RootCAs: config.RootCAs, MinVersion: tls.VersionTLS12},
				MaxIdleConns:    config.AtOnce, MaxIdleConnsPerHost: config.AtOnce,
			},
			// A redirect is a failure (contracts/shopify.md 5.1).
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	store.OnEvent(w.take)
	return w
}

// Close stops sending: what is on its way is broken off. When it returns nothing of it runs any more. The store can go on.
func (w *Webhooks) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.busy.Wait()
	w.client.CloseIdleConnections()
}

// start runs work unless the sender was closed.
func (w *Webhooks) start(work func()) (started bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.busy.Go(work)
	}
	return !w.closed
}

// take is the store's hook. It decides here what befalls each delivery, so that a seed repeats a run.
func (w *Webhooks) take(e Event) {
	if e.Topic == TopicUninstalled && len(e.Payload) == 0 {
		installs := w.store.installs()
		w.start(func() { w.redactShop(installs) })
	}
	if len(e.To) == 0 {
		return
	}
	body := w.store.payload(e)
	for _, to := range e.To {
		d := delivery{
			id: requestID()[:36], event: fmt.Sprintf("%s-%d", w.store.config.Domain, e.Act), topic: e.Topic, at: e.At, to: to, body: body,
		}
		rule, struck := w.store.WebhookFaults.Next(string(e.Topic))
		if struck {
			d.befallen = rule
		}
		switch d.befallen.Kind {
		case fault.Lost:
			w.store.deliveries.note(d.topic, func(c *DeliveryCounts) { c.Lost++ })
			continue
		case fault.Duplicated:
			w.store.deliveries.note(d.topic, func(c *DeliveryCounts) { c.Duplicated++ })
			w.run(d)
		case fault.Overtaken:
			w.store.deliveries.note(d.topic, func(c *DeliveryCounts) { c.Overtaken++ })
			d.overtaken = w.awaitNext()
		}
		w.run(d)
	}
}

func (w *Webhooks) awaitNext() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := make(chan struct{})
	w.overtaken = append(w.overtaken, next)
	return next
}

// passed lets those go that waited to be overtaken.
func (w *Webhooks) passed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, waiting := range w.overtaken {
		close(waiting)
	}
	w.overtaken = nil
}

func (w *Webhooks) run(d delivery) {
	w.store.deliveries.under(1)
	started := w.start(func() {
		defer w.store.deliveries.under(-1)
		w.deliver(d)
	})
	if !started {
		w.store.deliveries.under(-1)
	}
}

// redactShop sends shop/redact when its time has come and the app was not installed again.
func (w *Webhooks) redactShop(installs int) {
	if fault.Pause(w.ctx, w.config.ShopRedactAfter) && w.store.installs() == installs {
		// The topic is known and needs no payload.
		_ = w.store.Send(TopicShopRedact, nil)
	}
}

// delivery is one webhook for one subscription.
type delivery struct {
	id, event string
	topic     Topic
	at        time.Time
	to        Subscription
	body      []byte
	befallen  fault.Rule
	overtaken <-chan struct{}
}

func (w *Webhooks) deliver(d delivery) {
	switch {
	case d.befallen.Kind == fault.Latency:
		fault.Pause(w.ctx, d.befallen.Delay)
	case d.overtaken != nil:
		limit := d.befallen.Delay
		if limit <= 0 {
			limit = overtakenFor
		}
		timer := time.NewTimer(limit)
		select {
		case <-d.overtaken:
		case <-timer.C:
		case <-w.ctx.Done():
		}
		timer.Stop()
	}
	note := func(change func(*DeliveryCounts)) { w.store.deliveries.note(d.topic, change) }
	for attempt := 0; ; attempt++ {
		taken, attempted := w.attempt(d)
		if !attempted {
			return // closed
		}
		last := attempt == len(w.config.RetryGaps)
		there := w.store.attempted(d.to, taken, last)
		note(func(c *DeliveryCounts) {
			c.Sent++
			if attempt > 0 {
				c.Retried++
			}
			switch {
			case taken:
				c.Delivered++
			case last || !there:
				c.Failed++
				c.Abandoned++
			default:
				c.Failed++
			}
		})
		if d.overtaken == nil {
			w.passed()
		}
		if taken || last || !there || !fault.Pause(w.ctx, w.config.RetryGaps[attempt]) {
			return
		}
	}
}

// attempt sends a delivery once, signed with the secret of now. Not attempted means that the sender was closed.
func (w *Webhooks) attempt(d delivery) (taken, attempted bool) {
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-w.ctx.Done():
		return false, false
	}
	if !fault.Pause(w.ctx, w.config.Latency) {
		return false, false
	}
	request, err := http.NewRequestWithContext(w.ctx, http.MethodPost, d.to.URI, bytes.NewReader(d.body))
	if err != nil {
		return false, true // an address of the app's configuration that is none
	}
	mac := hmac.New(sha256.New, []byte(w.store.SigningSecret()))
	mac.Write(d.body)
	for name, value := range map[string]string{
		"Content-Type":           "application/json",
		"User-Agent":             "Shopify-Captain-Hook",
		"X-Shopify-Topic":        string(d.topic),
		"X-Shopify-Hmac-Sha256":  base64.StdEncoding.EncodeToString(mac.Sum(nil)),
		"X-Shopify-Shop-Domain":  w.store.config.Domain,
		"X-Shopify-API-Version":  w.config.Version,
		"X-Shopify-Webhook-Id":   d.id,
		"X-Shopify-Event-Id":     d.event,
		"X-Shopify-Triggered-At": d.at.UTC().Format("2006-01-02T15:04:05.000000Z"),
	} {
		request.Header.Set(name, value)
	}
	if d.to.Name != "" {
		request.Header.Set("X-Shopify-Name", d.to.Name)
	}
	response, err := w.client.Do(request)
	if err != nil {
		return false, w.ctx.Err() == nil
	}
	defer func() { _ = response.Body.Close() }()
	// Read to its end, so that the connection serves the next one.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxBody))
	return response.StatusCode >= 200 && response.StatusCode < 300, true
}
