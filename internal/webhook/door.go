// Package webhook is the door by which Shopify's webhooks come in, and events that other systems tell (events.go). It verifies, keeps ids and hashes in the ledger's inbox, and answers;
// what follows is done by others, who read the inbox. A webhook is a hint and never the truth: one that is late, lost, doubled or out of
// order changes nothing but speed (contracts/shopify.md 5).
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/webhook/payload"
)

// The headers of a delivery that the door reads (contracts/shopify.md 5.1).
const (
	HeaderTopic = "X-Shopify-Topic"
	HeaderHMAC  = "X-Shopify-Hmac-Sha256"
	HeaderShop  = "X-Shopify-Shop-Domain"
	HeaderID    = "X-Shopify-Webhook-Id"
	// HeaderTriggered is when it happened; nothing signs it.
	HeaderTriggered = "X-Shopify-Triggered-At"
)

// Path is where a merchant's webhooks go, below the door's address.
func Path(merchant string) string { return pathPrefix + merchant }

const (
	pathPrefix = "/webhooks/"
	// HealthPath answers load balancers: 200 as long as the door is served.
	HealthPath = "/healthz"
)

const (
	// MaxBody is the longest body that is read. Shopify's own limit is not published; an order with hundreds of lines has some 100 KB.
	MaxBody = 1 << 20
	// answerTime is how long a request waits for its commit. Shopify gives up after 5 s (contracts/shopify.md 5.1).
	answerTime = 4 * time.Second
	// orderMemory is how long an order is remembered for a consent that is seen after it.
	orderMemory = 15 * consent.Minute
)

// Inbox is the part of *ledger.Ledger that the door writes to.
type Inbox interface {
	ReceiveWebhooks(ctx context.Context, webhooks []ledger.Webhook) ([]ledger.WebhookReceipt, error)
	KeepDoorOpen(ctx context.Context, delivered []string) error
	PurgeExpired(ctx context.Context) (int64, error)
}

// Merchants is the part of *merchant.Store that tells who may send and by which secrets.
type Merchants interface {
	List(ctx context.Context) ([]merchant.Merchant, error)
	WebhookSecrets(ctx context.Context, id string) ([]string, error)
	EventSecrets(ctx context.Context, id string) ([]string, error)
}

// Keys is the part of *keys.Ring that the door needs.
type Keys interface {
	person.Sealer
	SubjectKey() []byte
}

// Teller tells those who wait of what came. It only saves time: what nobody was told is found by the next poll.
type Teller interface {
	// Order tells the checkout window of a held consent of an order.
	Order(ctx context.Context, merchant string, held ledger.Held, order string, createdAt time.Time) error
	// Nudge sends somebody to read the merchant's hints.
	Nudge(ctx context.Context, merchant string) error
	// Privacy has a privacy request done, by its id.
	Privacy(ctx context.Context, merchant, request string) error
}

// Config is what a door needs.
type Config struct {
	Inbox     Inbox
	Merchants Merchants
	Keys      Keys
	Teller    Teller
	// Events takes in email and SMS events; nil when the door does not take any.
	Events Events
	Log    *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Door takes webhooks. It works while Run or Serve runs.
type Door struct {
	Config
	senders senders
	// eventSenders are the same merchants with their secrets for events, and pushes are the bodies of events that are taken in now.
	eventSenders senders
	pushes       chan struct{}
	queue        chan *waiting
	tell         chan func(context.Context) error
	counts       counts
	bodies       bodies
	// subjectKey hashes addresses and bodies.
	subjectKey []byte

	mu sync.Mutex
	// delivered are the merchants to whom something came since the door was last said to be open.
	delivered map[string]bool
}

// New returns a door that does not work yet.
func New(c Config) *Door {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Door{
		Config: c, senders: senders{merchants: c.Merchants, now: c.Now},
		eventSenders: senders{merchants: eventMerchants{c.Merchants}, now: c.Now}, pushes: make(chan struct{}, pushesAtOnce), queue: make(chan *waiting, queueLength),
		tell: make(chan func(context.Context) error, tellLength), subjectKey: c.Keys.SubjectKey(), delivered: map[string]bool{},
	}
}

// name is a merchant's id as it stands in a path: in one spelling only.
var name = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// deliveryID is what an id of a delivery looks like. Shopify's are UUIDs, which it does not promise.
var deliveryID = regexp.MustCompile(`^[!-~]{1,128}$`)

// ServeHTTP answers one request; takeEvents tells of those about events. The answers to webhooks have no body:
//
//	200  kept, or there already; also a payload that could not be read: trying again would not help
//	400  a topic that the door does not know; no id of the delivery; another shop than the merchant's; a header twice; a body cut short
//	401  the signature is missing, malformed or wrong
//	404  no such merchant or path
//	405  another method than POST
//	408  the body did not come in time
//	413  the body is longer than MaxBody
//	415  the body is compressed
//	503  the ledger is away, or too much waits: try again
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == HealthPath {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return
	}
	take := d.take
	id, ok := strings.CutPrefix(r.URL.Path, pathPrefix)
	if !ok && d.Events != nil {
		take = d.takeEvents
		id, ok = strings.CutPrefix(r.URL.Path, eventsPrefix)
	}
	switch {
	case !ok || !name.MatchString(id):
		d.refuse(w, http.StatusNotFound, "path")
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		d.refuse(w, http.StatusMethodNotAllowed, "method")
	default:
		take(w, r, id)
	}
}

// refuse answers a request of which nothing is known to be true: it is counted, and nothing of it is repeated.
func (d *Door) refuse(w http.ResponseWriter, status int, why string) {
	d.counts.add("", why)
	w.WriteHeader(status)
}

func (d *Door) take(w http.ResponseWriter, r *http.Request, id string) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	// What costs nothing comes first: whoever scans the door must not cost the ledger anything, nor fill the memory.
	signature, ok := signatureOf(r.Header)
	if !ok {
		d.refuse(w, http.StatusUnauthorized, "unsigned")
		return
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		d.refuse(w, http.StatusUnsupportedMediaType, "encoding")
		return
	}
	if r.ContentLength > MaxBody {
		d.refuse(w, http.StatusRequestEntityTooLarge, "too large")
		return
	}
	from, err := d.senders.find(ctx, id)
	switch {
	case errors.Is(err, ledger.ErrUnknownMerchant):
		d.refuse(w, http.StatusNotFound, "unknown merchant")
		return
	case err != nil:
		d.Log.Debug("A webhook could not be verified", "merchant", id, "error", err.Error())
		d.refuse(w, http.StatusServiceUnavailable, "ledger away")
		return
	}
	webhook, status, outcome := d.read(w, r, from, signature)
	if status != http.StatusOK {
		d.refuse(w, status, outcome)
		return
	}
	outcome = d.keep(ctx, webhook)
	d.counts.add(webhook.Topic, outcome)
	if outcome == outcomeAway || outcome == outcomeFull {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// read reads, verifies and parses a request.
func (d *Door) read(w http.ResponseWriter, r *http.Request, from *sender, signature []byte) (*ledger.Webhook, int, string) {
	body, status, why := d.readBody(w, r)
	defer d.bodies.free(body)
	if status != http.StatusOK {
		return nil, status, why
	}
	if !from.signed(body.bytes, signature) {
		return nil, http.StatusUnauthorized, "forged"
	}
	topic, okTopic := one(r.Header, HeaderTopic)
	delivery, okID := one(r.Header, HeaderID)
	shop, okShop := one(r.Header, HeaderShop)
	switch {
	case !okShop || !strings.EqualFold(shop, from.shop):
		// Signed by the right app, but for another of the stores that have it installed: the address is wrong, not the sender.
		return nil, http.StatusBadRequest, "other shop"
	case !okID || !deliveryID.MatchString(delivery):
		return nil, http.StatusBadRequest, "no id"
	case !okTopic || !known[topic]:
		return nil, http.StatusBadRequest, "unknown topic"
	}
	webhook := &ledger.Webhook{Merchant: from.id, ID: delivery, Topic: topic, Body: d.bodyHash(from.id, body.bytes)}
	triggered, _ := time.Parse(time.RFC3339, r.Header.Get(HeaderTriggered)) // without one it happened now
	if err := d.fill(webhook, from, body.bytes, triggered); err != nil {
		d.Log.Debug("A webhook could not be sealed", "merchant", from.id, "error", err.Error())
		return nil, http.StatusServiceUnavailable, "not sealed"
	}
	return webhook, http.StatusOK, ""
}

// readBody reads the body of a request, which is to be freed whatever the status.
func (d *Door) readBody(w http.ResponseWriter, r *http.Request) (*body, int, string) {
	body, err := d.bodies.read(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &tooLarge):
		return body, http.StatusRequestEntityTooLarge, "too large"
	case errors.Is(err, errTooMuch):
		return body, http.StatusServiceUnavailable, "too much at once"
	case errors.As(err, &timeout) && timeout.Timeout():
		return body, http.StatusRequestTimeout, "slow"
	case err != nil:
		return body, http.StatusBadRequest, "cut short"
	}
	return body, http.StatusOK, ""
}

var known = func() map[string]bool {
	set := map[string]bool{}
	for _, topic := range payload.Topics() {
		set[topic] = true
	}
	return set
}()

// fill notes what follows from the body, or why nothing does.
func (d *Door) fill(w *ledger.Webhook, from *sender, body []byte, triggered time.Time) error {
	news, err := payload.Parse(w.Topic, body)
	if err == nil && news.Shop != "" && !strings.EqualFold(news.Shop, from.shop) {
		err = payload.OtherShop
	}
	if err != nil {
		w.Problem = err.Error()
		return nil
	}
	// A consent has a topic of its own. This one comes with every change of a customer, our own writes included.
	w.Customers, w.CanWait = news.Customers, w.Topic == payload.TopicCustomerUpdate
	if o := news.Order; o != nil && !from.settings.IsRenewal(o.Source) {
		w.Order = &ledger.Order{ID: o.ID, Customer: o.Customer, CreatedAt: consent.InstantOf(o.CreatedAt),
			Until: consent.InstantOf(d.Now()).Plus(orderMemory)}
		if o.Email != "" {
			w.Order.Email = consent.SubjectOf(d.subjectKey, from.id, consent.Email, o.Email)
		}
	}
	kind := privacyKinds[w.Topic]
	if kind == "" {
		return nil
	}
	// A merchant may have come back before a late webhook tells that it has left.
	w.Privacy = &ledger.PrivacyRequest{ID: w.ID, Kind: kind, Customer: news.Customer, Received: consent.InstantOf(triggered)}
	if news.Person.IsZero() {
		return nil
	}
	w.Privacy.Sealed, err = person.Seal(d.Keys, from.id, w.ID, news.Person)
	return err
}

// privacyKinds are the topics by which Shopify asks for a right of a person or of a merchant.
var privacyKinds = map[string]ledger.PrivacyKind{
	payload.TopicDataRequest: ledger.DataRequest, payload.TopicCustomerRedact: ledger.Redact,
	payload.TopicShopRedact: ledger.ShopRedact, payload.TopicUninstalled: ledger.Uninstalled,
}

// bodyHash is keyed and bound to the merchant: a plain hash of a body that holds little else than an address would tell the address.
func (d *Door) bodyHash(merchant string, body []byte) []byte {
	mac := hmac.New(sha256.New, d.subjectKey)
	// No subject is hashed from a text that begins like this (consent.SubjectOf).
	fmt.Fprintf(mac, "webhook|%d:%s|", len(merchant), merchant)
	mac.Write(body)
	return mac.Sum(nil)
}

// Sign is the signature of a body, as X-Shopify-Hmac-Sha256 carries it.
func Sign(secret string, body []byte) string {
	return base64.StdEncoding.EncodeToString(sum(hmac.New(sha256.New, []byte(secret)), body))
}

func sum(mac hash.Hash, body []byte) []byte {
	mac.Write(body)
	return mac.Sum(nil)
}

// signatureOf reads the signature: one, in plain base64, of the right length.
func signatureOf(header http.Header) ([]byte, bool) {
	text, ok := one(header, HeaderHMAC)
	// The decoder passes over line breaks, which no header holds, and the length leaves no room for anything else.
	if !ok || len(text) != base64.StdEncoding.EncodedLen(sha256.Size) {
		return nil, false
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(text)
	return signature, err == nil && len(signature) == sha256.Size
}

// one returns a header that must be there exactly once: of two, a proxy and we might each believe another one.
func one(header http.Header, name string) (string, bool) {
	values := header.Values(name)
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}

// bodies bounds what all bodies that are being read take of the memory together. Whoever has opened thousands of connections must send
// what fills it, not merely announce it.
type bodies struct {
	mu    sync.Mutex
	taken int
	pool  sync.Pool
}

const (
	// maxBodies is room for a hundred bodies of the greatest length, or thousands of usual ones.
	maxBodies = 128 << 20
	bodyBegin = 16 << 10
	// bodyKept is the largest buffer that is kept for the next request.
	bodyKept = 128 << 10
)

var errTooMuch = errors.New("too many bodies at once")

type body struct {
	bytes []byte
	held  int
}

// read reads everything. The body is to be freed also after an error.
func (b *bodies) read(from io.Reader) (*body, error) {
	into, _ := b.pool.Get().(*body)
	if into == nil {
		into = &body{bytes: make([]byte, 0, bodyBegin)}
	}
	if !b.hold(into, cap(into.bytes)) {
		return into, errTooMuch
	}
	for {
		if len(into.bytes) == cap(into.bytes) {
			if !b.hold(into, 2*cap(into.bytes)) {
				return into, errTooMuch
			}
			into.bytes = append(make([]byte, 0, 2*cap(into.bytes)), into.bytes...)
		}
		n, err := from.Read(into.bytes[len(into.bytes):cap(into.bytes)])
		into.bytes = into.bytes[:len(into.bytes)+n]
		if errors.Is(err, io.EOF) {
			return into, nil
		}
		if err != nil {
			return into, err
		}
	}
}

// hold makes size what the body takes.
func (b *bodies) hold(of *body, size int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken+size-of.held > maxBodies {
		return false
	}
	b.taken += size - of.held
	of.held = size
	return true
}

func (b *bodies) free(of *body) {
	b.hold(of, 0)
	if cap(of.bytes) <= bodyKept {
		of.bytes = of.bytes[:0]
		b.pool.Put(of)
	}
}
