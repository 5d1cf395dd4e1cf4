package webhook_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/webhook"
	"github.com/concordsync/concord/internal/webhook/payload"
	"github.com/concordsync/concord/internal/webhook/payload/payloadtest"
	"github.com/concordsync/concord/internal/webhook/webhooktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	acme   = "acme"
	shop   = "acme.myshopify.com"
	secret = "not-a-real-secret"
)

// inbox is a ledger that can be taken away, and remembers what was written to it.
type inbox struct {
	*ledger.Ledger
	// refuse, unless it is nil, says which batches fail.
	refuse atomic.Pointer[func([]ledger.Webhook) error]

	// forgets: what is written is not remembered here, which would grow under a load.
	forgets bool

	mu   sync.Mutex
	kept []ledger.Webhook
	// reads counts how often merchants were read.
	reads atomic.Int64
}

func (i *inbox) ReceiveWebhooks(ctx context.Context, webhooks []ledger.Webhook) ([]ledger.WebhookReceipt, error) {
	if refuse := i.refuse.Load(); refuse != nil {
		if err := (*refuse)(webhooks); err != nil {
			return nil, err
		}
	}
	receipts, err := i.Ledger.ReceiveWebhooks(ctx, webhooks)
	if i.forgets {
		return receipts, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for n, receipt := range receipts {
		if !receipt.Duplicate {
			i.kept = append(i.kept, webhooks[n])
		}
	}
	return receipts, err
}

func (i *inbox) all() []ledger.Webhook {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.kept)
}

// counted counts reads of merchants, and fails them while away is set.
type counted struct {
	*merchant.Store
	reads *atomic.Int64
	away  atomic.Bool
}

func (c *counted) List(ctx context.Context) ([]merchant.Merchant, error) {
	c.reads.Add(1)
	if c.away.Load() {
		return nil, ledger.ErrUnreachable
	}
	return c.Store.List(ctx)
}

func (c *counted) WebhookSecrets(ctx context.Context, id string) ([]string, error) {
	c.reads.Add(1)
	return c.Store.WebhookSecrets(ctx, id)
}

// told is what was told, as lines; a channel, so that tests wait for it.
type told chan string

func (t told) Order(_ context.Context, id string, held ledger.Held, order string, at time.Time) error {
	t <- fmt.Sprintf("order %s of %s to %s at %s", order, held.Hold.Customer, id, at.UTC().Format(time.RFC3339))
	return nil
}

func (t told) Nudge(_ context.Context, id string) error {
	t <- "nudge " + id
	return errors.New("nobody is there")
}

func (t told) Privacy(_ context.Context, id, _ string) error {
	t <- "privacy of " + id
	return nil
}

// bench is a served door over a ledger of one merchant.
type bench struct {
	t         testing.TB
	address   string
	inbox     *inbox
	merchants *counted
	ring      *keys.Ring
	door      *webhook.Door
	told      told
	client    *http.Client
	logs      *logs
	now       atomic.Int64
}

// logs is a log that several goroutines write.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newBench(t testing.TB, dsn string) *bench {
	t.Helper()
	ctx := t.Context()
	book, err := ledger.Open(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, book.Close()) })
	set, err := keys.Generate()
	require.NoError(t, err)
	text, err := set.Export()
	require.NoError(t, err)
	b := &bench{t: t, inbox: &inbox{Ledger: book}, told: make(told, 10_000), logs: &logs{}}
	b.ring, err = keys.Open(ctx, book, keys.Source{Key: text})
	require.NoError(t, err)
	b.merchants = &counted{Store: merchant.NewStore(book, b.ring, merchant.Cursors{}), reads: &b.inbox.reads}
	b.add(shop, 1)
	b.now.Store(time.Now().UnixNano())
	b.door = webhook.New(webhook.Config{Inbox: b.inbox, Merchants: b.merchants, Keys: b.ring, Teller: b.told,
		Log: slog.New(slog.NewTextHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: func() time.Time { return time.Unix(0, b.now.Load()) }})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b.address = "http://" + listener.Addr().String()
	serving, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.door.Serve(serving, listener) }()
	transport := &http.Transport{DisableCompression: true}
	b.client = &http.Client{Transport: transport, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		require.NoError(t, <-ended)
	})
	return b
}

func (b *bench) add(domain string, list int) {
	b.t.Helper()
	settings, err := merchant.New(domain)
	require.NoError(b.t, err)
	settings.EmailList, settings.Zone = list, "UTC"
	_, err = b.merchants.Add(b.t.Context(), settings, merchant.Credentials{
		ShopifyClientID: "app", ShopifyClientSecret: secret, ListrakClientID: "integration", ListrakClientSecret: "other-secret",
	})
	require.NoError(b.t, err)
}

// later moves the door's clock.
func (b *bench) later(by time.Duration) { b.now.Add(int64(by)) }

func (b *bench) sender() webhooktest.Sender {
	return webhooktest.Sender{Door: b.address, Merchant: acme, Shop: shop, Secret: secret, Client: b.client}
}

func (b *bench) request(topic, id, body string) *http.Request {
	b.t.Helper()
	r, err := b.sender().Request(b.t.Context(), topic, id, []byte(body))
	require.NoError(b.t, err)
	return r
}

// do sends a request and returns the status. No answer holds anything.
func (b *bench) do(r *http.Request) int {
	b.t.Helper()
	response, err := b.client.Do(r)
	require.NoError(b.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	require.Empty(b.t, string(text), "an answer that tells something")
	return response.StatusCode
}

func (b *bench) send(topic, id, body string) int {
	b.t.Helper()
	return b.do(b.request(topic, id, body))
}

// count is how often the door has counted an outcome, whatever the topic.
func (b *bench) count(outcome string) (n int64) {
	for c, times := range b.door.Counts() {
		if c.Outcome == outcome {
			n += times
		}
	}
	return n
}

func TestEveryTopicIsKeptOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	_, err := b.inbox.SetSyncs(t.Context(), acme, ledger.SyncChange{On: map[consent.Sync]bool{consent.EmailToListrak: true}})
	require.NoError(t, err)
	privacy := map[string]ledger.PrivacyKind{payload.TopicDataRequest: ledger.DataRequest, payload.TopicCustomerRedact: ledger.Redact,
		payload.TopicShopRedact: ledger.ShopRedact, payload.TopicUninstalled: ledger.Uninstalled}
	for topic, body := range payloadtest.Payloads(shop) {
		before := len(b.inbox.all())
		for range 2 {
			require.Equal(t, http.StatusOK, b.send(topic, topic, body), topic)
		}
		kept := b.inbox.all()
		require.Len(t, kept, before+1, topic)
		got := kept[before]
		require.Empty(t, got.Problem)
		require.Equal(t, topic, got.Topic)
		require.Len(t, got.Body, 32)
		if kind := privacy[topic]; kind == "" {
			require.Nil(t, got.Privacy)
		} else {
			require.Equal(t, kind, got.Privacy.Kind)
			who, err := person.Open(b.ring, acme, got.Privacy.ID, got.Privacy.Sealed)
			require.NoError(t, err)
			if kind == ledger.DataRequest || kind == ledger.Redact {
				require.Equal(t, "gid://shopify/Customer/3", got.Privacy.Customer)
				require.True(t, who.Email == "a@example.com" && who.Phone == "+15550001111")
				_, err = person.Open(b.ring, acme, "another", got.Privacy.Sealed)
				require.ErrorIs(t, err, keys.ErrDamaged)
			} else {
				require.Empty(t, got.Privacy.Sealed)
			}
		}
	}
	// One nudge is enough for all, and each privacy request is told.
	lines := map[string]int{}
	for range 5 {
		lines[<-b.told]++
	}
	require.Equal(t, map[string]int{"nudge acme": 1, "privacy of acme": 4}, lines)
	hints, err := b.inbox.Hints(t.Context(), acme, 1<<62, 100)
	require.NoError(t, err)
	require.Len(t, hints, 3)
	require.NotContains(t, b.logs.String(), "@")
	require.NotContains(t, b.logs.String(), secret)
}

// A merchant may have come back before a late webhook tells that it has left.
func TestARequestWasReceivedWhenItWasFirstSent(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	const topic = payload.TopicUninstalled
	sent := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	for id, header := range map[string]string{"sent": sent.UTC().Format("2006-01-02T15:04:05.000000Z"), "odd": "yesterday", "none": ""} {
		r := b.request(topic, id, payloadtest.Payloads(shop)[topic])
		r.Header.Set(webhook.HeaderTriggered, header)
		require.Equal(t, http.StatusOK, b.do(r))
		request, err := b.inbox.PrivacyRequest(t.Context(), acme, id)
		require.NoError(t, err)
		require.Equal(t, id == "sent", request.Received == consent.InstantOf(sent), id)
	}
}

func TestAnOrderIsToldToItsWindow(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	ctx := t.Context()
	now := consent.InstantOf(time.Now())
	subject := consent.SubjectOf(b.ring.SubjectKey(), acme, consent.Email, "ann@example.com")
	record := consent.Record{Decision: consent.Decision{State: consent.Subscribed, At: now, Side: consent.Shopify},
		Hold: consent.Hold{Consent: now, Until: now.Plus(5 * consent.Minute), Customer: "gid://shopify/Customer/9"}}
	_, err := b.inbox.Save(ctx, acme, ledger.Batch{Changes: []ledger.Change{{Channel: consent.Email, Subject: subject, Record: record}}})
	require.NoError(t, err)
	require.NoError(t, b.inbox.MarkOpened(ctx, acme, []ledger.Held{{Channel: consent.Email, Subject: subject, Hold: record.Hold}}))
	at := now.Time().UTC().Format(time.RFC3339)
	order := func(n int, rest string) string { return fmt.Sprintf(`{"id":%d,"created_at":%q,%s}`, n, at, rest) }

	require.Equal(t, http.StatusOK, b.send(payload.TopicOrderCreate, "a", order(1, `"email":"ANN@example.com","customer":null`)))
	require.Equal(t, "order gid://shopify/Order/1 of gid://shopify/Customer/9 to acme at "+at, <-b.told)
	require.Equal(t, http.StatusOK, b.send(payload.TopicOrderCreate, "b", order(2, `"email":null,"customer":{"id":9}`)))
	require.Equal(t, "order gid://shopify/Order/2 of gid://shopify/Customer/9 to acme at "+at, <-b.told)

	require.Equal(t, http.StatusOK, b.send(payload.TopicOrderCreate, "c", order(3, `"customer":{"id":9},"source_name":"subscription_contract"`)))
	kept := b.inbox.all()
	require.Nil(t, kept[2].Order, "a renewal decides no subscription point")
	until := kept[0].Order.Until.Since(consent.InstantOf(time.Unix(0, b.now.Load())))
	require.Equal(t, 15*consent.Minute, until)
	remembered, err := b.inbox.OrdersRemembered(ctx, acme, "gid://shopify/Customer/9", subject, 0, now.Plus(consent.Hour))
	require.NoError(t, err)
	require.Len(t, remembered, 2)
}

// A delivery that is answered with another status than 200 leaves nothing behind, and one that is answered with 200 is kept at most once.
func TestBadInput(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	b.add("beta.myshopify.com", 2)
	b.add("gone.myshopify.com", 3)
	require.NoError(t, b.merchants.Remove(t.Context(), "gone"))
	const update, good = payload.TopicCustomerUpdate, `{"id":7}`
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del(name)
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	path := func(path string) func(*http.Request) {
		return func(r *http.Request) { r.URL.Path, r.URL.RawPath = path, "" }
	}
	signature := webhook.Sign(secret, []byte(good))
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, err := zip.Write([]byte(good))
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	nothing := func(*http.Request) {}
	for name, c := range map[string]struct {
		topic, body string
		spoil       func(*http.Request)
		status      int
		// problem is what is kept of it; kept without one is good.
		kept    bool
		problem payload.Problem
	}{
		"good":                       {update, good, nothing, 200, true, ""},
		"lower case names":           {update, good, func(r *http.Request) { lowerCase(r.Header) }, 200, true, ""},
		"another case of the shop":   {update, good, header(webhook.HeaderShop, "ACME.MyShopify.com"), 200, true, ""},
		"chunked":                    {update, good, func(r *http.Request) { r.ContentLength = -1 }, 200, true, ""},
		"no content type":            {update, good, func(r *http.Request) { r.Header.Del("Content-Type") }, 200, true, ""},
		"a query":                    {update, good, func(r *http.Request) { r.URL.RawQuery = "a=b&%" }, 200, true, ""},
		"the longest body":           {update, `{"id":7,"note":"` + strings.Repeat("x", webhook.MaxBody-18) + `"}`, nothing, 200, true, ""},
		"an id beyond 2^53":          {update, `{"id":9007199254740993}`, nothing, 200, true, ""},
		"null fields":                {update, `{"id":7,"email":null,"default_address":null,"addresses":null}`, nothing, 200, true, ""},
		"duplicate keys":             {update, `{"id":7,"id":8}`, nothing, 200, true, ""},
		"no UTF-8":                   {update, "{\"id\":7,\"note\":\"\xff\"}", nothing, 200, true, ""},
		"a customer of null":         {update, `{"id":null}`, nothing, 200, true, payload.NoCustomer},
		"a negative id":              {update, `{"id":-7}`, nothing, 200, true, payload.NoCustomer},
		"an id beyond 2^64":          {update, `{"id":99999999999999999999999}`, nothing, 200, true, payload.NoCustomer},
		"a line break in an id":      {update, `{"id":"7\r\nSet-Cookie: a=b"}`, nothing, 200, true, payload.NoCustomer},
		"NUL":                        {update, "{\"id\":7}\x00", nothing, 200, true, payload.NoJSON},
		"an empty body":              {update, "", nothing, 200, true, payload.NoJSON},
		"an array":                   {update, `[{"id":7}]`, nothing, 200, true, payload.NoJSON},
		"nested deeply":              {update, strings.Repeat(`{"a":`, 50_000), nothing, 200, true, payload.NoJSON},
		"a form":                     {update, "id=7&email=a%40example.com", nothing, 200, true, payload.NoJSON},
		"cut short, but signed":      {update, `{"id":7,"email":"a`, nothing, 200, true, payload.NoJSON},
		"another encoding":           {update, "{\x00\"\x00i\x00d\x00\"\x00:\x007\x00}\x00", nothing, 200, true, payload.NoJSON},
		"packed, and not said":       {update, packed.String(), nothing, 200, true, payload.NoJSON},
		"another shop in the body":   {payload.TopicShopRedact, `{"shop_domain":"beta.myshopify.com"}`, nothing, 200, true, payload.OtherShop},
		"a redaction of nobody":      {payload.TopicCustomerRedact, `{"customer":null}`, nothing, 200, true, payload.NoPerson},
		"packed":                     {update, packed.String(), header("Content-Encoding", "gzip"), 415, false, ""},
		"too large":                  {update, `{"id":7,"note":"` + strings.Repeat("x", webhook.MaxBody) + `"}`, nothing, 413, false, ""},
		"too large, chunked":         {update, strings.Repeat("x", webhook.MaxBody+1), func(r *http.Request) { r.ContentLength = -1 }, 413, false, ""},
		"no signature":               {update, good, func(r *http.Request) { r.Header.Del(webhook.HeaderHMAC) }, 401, false, ""},
		"an empty signature":         {update, good, header(webhook.HeaderHMAC, ""), 401, false, ""},
		"two signatures":             {update, good, header(webhook.HeaderHMAC, signature, signature), 401, false, ""},
		"two in one":                 {update, good, header(webhook.HeaderHMAC, signature+", "+signature), 401, false, ""},
		"forged":                     {update, good, header(webhook.HeaderHMAC, webhook.Sign("another-secret", []byte(good))), 401, false, ""},
		"signed with nothing":        {update, good, header(webhook.HeaderHMAC, webhook.Sign("", []byte(good))), 401, false, ""},
		"another body's signature":   {update, `{"id":8}`, header(webhook.HeaderHMAC, signature), 401, false, ""},
		"in hexadecimal":             {update, good, header(webhook.HeaderHMAC, strings.Repeat("0f", 32)), 401, false, ""},
		"in base64 of URLs":          {update, good, header(webhook.HeaderHMAC, strings.NewReplacer("+", "-", "/", "_").Replace(withBoth(t))), 401, false, ""},
		"without padding":            {update, good, header(webhook.HeaderHMAC, strings.TrimRight(signature, "=")), 401, false, ""},
		"with other last bits":       {update, good, header(webhook.HeaderHMAC, otherBits(signature)), 401, false, ""},
		"with a prefix":              {update, good, header(webhook.HeaderHMAC, "sha256="+signature), 401, false, ""},
		"a NUL for a signature":      {update, good, header(webhook.HeaderHMAC, strings.Repeat("A", 43)+"!"), 401, false, ""},
		"no shop":                    {update, good, func(r *http.Request) { r.Header.Del(webhook.HeaderShop) }, 400, false, ""},
		"another shop":               {update, good, header(webhook.HeaderShop, "beta.myshopify.com"), 400, false, ""},
		"the wrong merchant":         {update, good, path("/webhooks/beta"), 400, false, ""},
		"two shops":                  {update, good, header(webhook.HeaderShop, shop, shop), 400, false, ""},
		"no id":                      {update, good, func(r *http.Request) { r.Header.Del(webhook.HeaderID) }, 400, false, ""},
		"an empty id":                {update, good, header(webhook.HeaderID, ""), 400, false, ""},
		"two ids":                    {update, good, header(webhook.HeaderID, "a", "b"), 400, false, ""},
		"an id with a space":         {update, good, header(webhook.HeaderID, "a b"), 400, false, ""},
		"an id that is no ASCII":     {update, good, header(webhook.HeaderID, "é"), 400, false, ""},
		"an id that is very long":    {update, good, header(webhook.HeaderID, strings.Repeat("a", 129)), 400, false, ""},
		"no topic":                   {"", good, nothing, 400, false, ""},
		"an unknown topic":           {"carts/update", good, nothing, 400, false, ""},
		"a topic in capitals":        {"CUSTOMERS_UPDATE", good, nothing, 400, false, ""},
		"two topics":                 {update, good, header(webhook.HeaderTopic, update, payload.TopicShopRedact), 400, false, ""},
		"an unknown merchant":        {update, good, path("/webhooks/nobody"), 404, false, ""},
		"a removed merchant":         {update, good, path("/webhooks/gone"), 404, false, ""},
		"a merchant in capitals":     {update, good, path("/webhooks/ACME"), 404, false, ""},
		"a merchant by its domain":   {update, good, path("/webhooks/" + shop), 404, false, ""},
		"no merchant":                {update, good, path("/webhooks/"), 404, false, ""},
		"a way up":                   {update, good, path("/webhooks/../webhooks/acme"), 404, false, ""},
		"a way up, in disguise":      {update, good, func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/webhooks/../acme", "/webhooks/%2e%2e%2facme" }, 404, false, ""},
		"a way down":                 {update, good, path("/webhooks/acme/customers"), 404, false, ""},
		"a slash more":               {update, good, path("//webhooks/acme"), 404, false, ""},
		"a NUL in the merchant":      {update, good, func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/webhooks/acme\x00", "/webhooks/acme%00" }, 404, false, ""},
		"a break in the merchant":    {update, good, func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/webhooks/acme\r\n", "/webhooks/acme%0d%0a" }, 404, false, ""},
		"a very long merchant":       {update, good, path("/webhooks/" + strings.Repeat("a", 5000)), 404, false, ""},
		"another path":               {update, good, path("/"), 404, false, ""},
		"GET":                        {update, "", func(r *http.Request) { r.Method = http.MethodGet }, 405, false, ""},
		"PUT":                        {update, good, func(r *http.Request) { r.Method = http.MethodPut }, 405, false, ""},
		"a method of its own":        {update, good, func(r *http.Request) { r.Method = "BREW" }, 405, false, ""},
		"headers that are very long": {update, good, header("X-Long", strings.Repeat("x", 64<<10)), 431, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(b.inbox.all())
			id := "bad-" + strings.ReplaceAll(name, " ", "-")
			r, err := b.sender().Request(t.Context(), c.topic, id, []byte(c.body))
			require.NoError(t, err)
			c.spoil(r)
			if c.status == http.StatusRequestHeaderFieldsTooLarge {
				// net/http itself answers this, with the words of the status.
				response, err := b.client.Do(r)
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				require.Equal(t, c.status, response.StatusCode)
			} else {
				require.Equal(t, c.status, b.do(r))
			}
			kept := b.inbox.all()[before:]
			if !c.kept {
				require.Empty(t, kept)
				return
			}
			require.Len(t, kept, 1)
			require.Equal(t, string(c.problem), kept[0].Problem)
			if c.problem != "" {
				require.Nil(t, kept[0].Privacy)
				require.Empty(t, kept[0].Customers)
			}
		})
	}
	require.Equal(t, http.StatusOK, b.send(update, "after-it-all", good), "the door lives")
	d, err := b.inbox.Door(t.Context(), acme)
	require.NoError(t, err)
	require.EqualValues(t, b.count("could not be read"), d.Problems)
	require.EqualValues(t, 2, b.count("unknown merchant"))
	require.NotContains(t, b.logs.String(), "@")
}

// lowerCase spells the names of headers as HTTP/2 does; the client sends them as they stand in the map.
func lowerCase(header http.Header) {
	for name, values := range header {
		delete(header, name)
		header[strings.ToLower(name)] = values
	}
}

// withBoth is a signature in which both alphabets of base64 differ.
func withBoth(t *testing.T) string {
	t.Helper()
	for n := range 10_000 {
		if s := webhook.Sign(secret, fmt.Append(nil, n)); strings.Contains(s, "+") && strings.Contains(s, "/") {
			return s
		}
	}
	t.Fatal("no signature has both")
	return ""
}

// otherBits changes bits of the last letter that belong to no byte.
func otherBits(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(alphabet, signature[42])
	return signature[:42] + string(alphabet[last^1]) + "="
}

// TestOnlyUpdatesOfCustomersWait: a consent has a topic of its own, and is read at once.
func TestOnlyUpdatesOfCustomersWait(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	bodies := map[string]string{payload.TopicEmailConsent: `{"customer_id":7}`, payload.TopicSMSConsent: `{"id":7}`, payload.TopicCustomerCreate: `{"id":7}`,
		payload.TopicCustomerDelete: `{"id":7}`, payload.TopicCustomerUpdate: `{"id":7}`}
	for topic, body := range bodies {
		require.Equal(t, http.StatusOK, b.send(topic, topic, body))
	}
	kept := b.inbox.all()
	require.Len(t, kept, len(bodies))
	for _, w := range kept {
		require.Equal(t, []string{"gid://shopify/Customer/7"}, w.Customers, w.Topic)
		require.Equal(t, w.Topic == payload.TopicCustomerUpdate, w.CanWait, w.Topic)
	}
}

func TestTheSameIDWithAnotherBodyChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	require.Equal(t, http.StatusOK, b.send(payload.TopicCustomerUpdate, "a", `{"id":7}`))
	require.Equal(t, http.StatusOK, b.send(payload.TopicCustomerUpdate, "a", `{"id":8}`))
	require.Equal(t, http.StatusOK, b.send(payload.TopicCustomerUpdate, "a", `{"id":7}`))
	require.Len(t, b.inbox.all(), 1)
	require.EqualValues(t, 1, b.count("duplicate with another body"))
	require.EqualValues(t, 1, b.count("duplicate"))
	hints, err := b.inbox.Hints(t.Context(), acme, 1<<62, 100)
	require.NoError(t, err)
	require.Len(t, hints, 1)
}

func TestBodiesThatDoNotCome(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	raw := func(text string) (net.Conn, string) {
		t.Helper()
		connection, err := net.Dial("tcp", strings.TrimPrefix(b.address, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = connection.Close() })
		_, err = io.WriteString(connection, text)
		require.NoError(t, err)
		return connection, ""
	}
	head := "POST /webhooks/acme HTTP/1.1\r\nHost: x\r\nX-Shopify-Hmac-Sha256: " + webhook.Sign(secret, []byte("x")) + "\r\n"
	answer := func(connection net.Conn) string {
		t.Helper()
		require.NoError(t, connection.SetDeadline(time.Now().Add(30*time.Second)))
		text, err := io.ReadAll(connection)
		require.NoError(t, err)
		line, _, _ := strings.Cut(string(text), "\r\n")
		return line
	}
	slow, _ := raw(head + "Content-Length: 100\r\n\r\n{")
	headless, _ := raw("POST /webhooks/acme HTT")
	cut, _ := raw(head + "Content-Length: 100\r\n\r\n{")
	require.NoError(t, cut.(*net.TCPConn).CloseWrite())
	require.Equal(t, "HTTP/1.1 400 Bad Request", answer(cut))
	lying, _ := raw(head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n{")
	require.Equal(t, "HTTP/1.1 400 Bad Request", answer(lying))
	unknown, _ := raw(head + "Transfer-Encoding: gzip\r\n\r\n{")
	require.Contains(t, answer(unknown), "501")
	none, _ := raw("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	require.NotContains(t, answer(none), "200", "TLS where none is spoken")
	require.Equal(t, "HTTP/1.1 408 Request Timeout", answer(slow))
	require.NotContains(t, answer(headless), "200")
	require.Empty(t, b.inbox.all())
	require.Equal(t, http.StatusOK, b.send(payload.TopicCustomerUpdate, "a", `{"id":7}`))
}

func TestManyOpenConnections(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	// Each takes two descriptors here, ours and the door's.
	many := min(10_000, (openFiles(t)-500)/2)
	connections := make([]net.Conn, 0, many)
	defer func() {
		for _, c := range connections {
			_ = c.Close()
		}
	}()
	head := "POST /webhooks/acme HTTP/1.1\r\nHost: x\r\nX-Shopify-Hmac-Sha256: " + webhook.Sign(secret, []byte("x")) + "\r\nContent-Length: 1000000\r\n\r\n{"
	for n := range many {
		c, err := net.Dial("tcp", strings.TrimPrefix(b.address, "http://"))
		require.NoError(t, err)
		connections = append(connections, c)
		// Some say nothing, some stop in the middle of the headers, some in the middle of the body.
		_, err = io.WriteString(c, []string{"", head[:40], head}[n%3])
		require.NoError(t, err)
		if n%1000 == 999 {
			require.Equal(t, http.StatusOK, b.send(payload.TopicCustomerUpdate, fmt.Sprint(n), `{"id":7}`))
		}
	}
	t.Logf("%d connections were open", many)
	require.Equal(t, http.StatusOK, b.send(payload.TopicCustomerUpdate, "last", `{"id":7}`))
}

func TestTheLedgerIsAwayAndComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	away := func([]ledger.Webhook) error { return fmt.Errorf("keep webhooks: %w", ledger.ErrUnreachable) }
	b.inbox.refuse.Store(&away)
	for range 3 {
		require.Equal(t, http.StatusServiceUnavailable, b.send(payload.TopicCustomerUpdate, "a", `{"id":7}`))
	}
	b.inbox.refuse.Store(nil)
	require.Equal(t, http.StatusOK, b.send(payload.TopicCustomerUpdate, "a", `{"id":7}`))
	require.Len(t, b.inbox.all(), 1)

	// Nobody can say whose it is, and by which secret.
	b.later(time.Hour)
	b.merchants.away.Store(true)
	require.Equal(t, http.StatusServiceUnavailable, b.send(payload.TopicCustomerUpdate, "b", `{"id":7}`))
	reads := b.inbox.reads.Load()
	for range 20 {
		require.Equal(t, http.StatusServiceUnavailable, b.send(payload.TopicCustomerUpdate, "b", `{"id":7}`))
	}
	require.Equal(t, reads, b.inbox.reads.Load(), "a ledger that is away is left alone for a moment")
	b.merchants.away.Store(false)
	b.later(time.Second)
	require.Equal(t, http.StatusOK, b.send(payload.TopicCustomerUpdate, "b", `{"id":7}`))
}

func TestSecretsThatCannotBeOpenedAreNotTriedByEveryRequest(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	row, err := b.inbox.Merchant(t.Context(), acme)
	require.NoError(t, err)
	require.NoError(t, b.inbox.UpdateMerchant(t.Context(), row, ledger.MerchantUpdate{Secrets: ledger.Secrets{"credentials": []byte("damaged")}}))
	require.Equal(t, http.StatusServiceUnavailable, b.send(payload.TopicCustomerUpdate, "a", `{"id":7}`))
	reads := b.inbox.reads.Load()
	for range 20 {
		require.Equal(t, http.StatusServiceUnavailable, b.send(payload.TopicCustomerUpdate, "a", `{"id":7}`))
	}
	require.Equal(t, reads, b.inbox.reads.Load())
	require.Empty(t, b.inbox.all())
}

func TestALedgerThatHangsCostsNobodyMoreThanFiveSeconds(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	free := make(chan struct{})
	hang := func([]ledger.Webhook) error { <-free; return nil }
	b.inbox.refuse.Store(&hang)
	began := time.Now()
	require.Equal(t, http.StatusServiceUnavailable, b.send(payload.TopicCustomerUpdate, "a", `{"id":7}`))
	require.Less(t, time.Since(began), 5*time.Second)
	b.inbox.refuse.Store(nil)
	close(free)
	require.Equal(t, http.StatusOK, b.send(payload.TopicCustomerUpdate, "a", `{"id":7}`), "the second try")
	require.Len(t, b.inbox.all(), 1)
}

func TestOneThatTheLedgerRefusesTakesNobodyWithIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	refuse := func(batch []ledger.Webhook) error {
		for _, w := range batch {
			if w.ID == "17" {
				return errors.New("something else")
			}
		}
		return nil
	}
	b.inbox.refuse.Store(&refuse)
	var all sync.WaitGroup
	var good, bad atomic.Int64
	for n := range 100 {
		all.Go(func() {
			switch b.send(payload.TopicCustomerUpdate, fmt.Sprint(n), `{"id":7}`) {
			case http.StatusOK:
				good.Add(1)
			case http.StatusServiceUnavailable:
				bad.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 99, good.Load())
	require.EqualValues(t, 1, bad.Load())
	require.Len(t, b.inbox.all(), 99)
}

func TestARotationIsHonouredWithinSeconds(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	n := 0
	send := func(secret string) int {
		n++
		s := b.sender()
		s.Secret = secret
		r, err := s.Request(t.Context(), payload.TopicCustomerUpdate, fmt.Sprint(n), []byte(`{"id":7}`))
		require.NoError(t, err)
		return b.do(r)
	}
	require.Equal(t, http.StatusOK, send(secret))
	require.Equal(t, http.StatusUnauthorized, send("new-secret"))
	_, err := b.merchants.Update(t.Context(), acme, nil, &merchant.Credentials{ShopifyClientSecret: "new-secret"})
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, send("new-secret"), "not noticed yet")
	b.later(3 * time.Second)
	require.Equal(t, http.StatusOK, send("new-secret"))
	require.Equal(t, http.StatusOK, send(secret), "the previous one, for an hour")

	require.NoError(t, b.merchants.Uninstall(t.Context(), acme, "the app was uninstalled"))
	b.later(3 * time.Second)
	require.Equal(t, http.StatusOK, send("new-secret"), "what comes after an uninstallation can be verified")
	require.NoError(t, b.merchants.Remove(t.Context(), acme))
	b.later(3 * time.Second)
	require.Equal(t, http.StatusNotFound, send("new-secret"))
	b.add(shop, 1)
	b.later(3 * time.Second)
	require.Equal(t, http.StatusOK, send(secret))
	require.Equal(t, http.StatusUnauthorized, send("new-secret"))
}

func TestAStrangerWhoTriesNamesCostsTheLedgerNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	require.Equal(t, http.StatusOK, b.send(payload.TopicCustomerUpdate, "a", `{"id":7}`))
	reads := b.inbox.reads.Load()
	for n := range 200 {
		r := b.request(payload.TopicCustomerUpdate, "x", `{"id":7}`)
		r.URL.Path = fmt.Sprintf("/webhooks/store-%d", n)
		require.Equal(t, http.StatusNotFound, b.do(r))
		require.Equal(t, http.StatusOK, b.send(payload.TopicCustomerUpdate, fmt.Sprint(n), `{"id":7}`))
	}
	require.Equal(t, reads, b.inbox.reads.Load())
	require.LessOrEqual(t, reads, int64(2))
}

func TestAMerchantWithATokenAloneHasNoSecretAndTakesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	_, err := b.merchants.Update(t.Context(), acme, nil, &merchant.Credentials{ShopifyToken: "shpat_x"})
	require.NoError(t, err)
	require.NoError(t, b.merchants.Remove(t.Context(), acme))
	settings, err := merchant.New(shop)
	require.NoError(t, err)
	settings.EmailList, settings.Zone = 1, "UTC"
	_, err = b.merchants.Add(t.Context(), settings, merchant.Credentials{ShopifyToken: "shpat_x", ListrakClientID: "i", ListrakClientSecret: "s"})
	require.NoError(t, err)
	s := b.sender()
	for _, signed := range []string{"", secret, "shpat_x"} {
		s.Secret = signed
		r, err := s.Request(t.Context(), payload.TopicCustomerUpdate, "a", []byte(`{"id":7}`))
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, b.do(r))
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	for method, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405} {
		r, err := http.NewRequestWithContext(t.Context(), method, b.address+webhook.HealthPath, nil)
		require.NoError(t, err)
		require.Equal(t, want, b.do(r))
	}
}

// What was taken before the end is answered and kept; the door was open until then.
func TestStoppingKeepsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	opened, free := make(chan struct{}), make(chan struct{})
	hold := func([]ledger.Webhook) error {
		close(opened)
		<-free
		return nil
	}
	b.inbox.refuse.Store(&hold)
	door := webhook.New(webhook.Config{Inbox: b.inbox, Merchants: b.merchants, Keys: b.ring, Teller: b.told, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- door.Serve(ctx, listener) }()
	status := make(chan int, 1)
	go func() {
		s := b.sender()
		s.Door = "http://" + listener.Addr().String()
		r, err := s.Request(context.Background(), payload.TopicCustomerUpdate, "a", []byte(`{"id":7}`))
		if err != nil {
			status <- 0
			return
		}
		response, err := b.client.Do(r)
		if err != nil {
			status <- 0
			return
		}
		_ = response.Body.Close()
		status <- response.StatusCode
	}()
	<-opened
	stop()
	close(free)
	require.Equal(t, http.StatusOK, <-status)
	require.NoError(t, <-ended)
	require.Len(t, b.inbox.all(), 1)
	d, err := b.inbox.Door(t.Context(), acme)
	require.NoError(t, err)
	require.NotZero(t, d.LastOpen)
}
