package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

const (
	storeID        = "acme"
	storeDomain    = storeID + ".myshopify.com"
	listID         = 7
	senderCode     = 5
	smsList        = 51
	smsCheckout    = 52
	marketingEvent = 11
	checkoutEvent  = 22
	secret         = "not-a-real-secret"
	zoneName       = "America/New_York"
)

// clock is the one clock of a world: both sides, the ledger, the clients and the engine read it. Every reading moves it a little, as
// a real one moves between two readings, and sleeping moves it at once.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

const tick = 20 * time.Microsecond

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(tick)
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.advance(d)
	return ctx.Err()
}

// plan is how a world differs from the ordinary one.
type plan struct {
	shop     shop.Config
	list     list.Config
	code     list.SenderCodeConfig
	sms      bool
	settings func(*merchant.Settings)
	timing   func(*Timing)
	postgres bool
	unproven bool
	// shopAhead is how far Shopify's clock is ahead of all others; list.Config has ClockSkew for Listrak's.
	shopAhead time.Duration
}

// world is one merchant with both sides over real HTTP, a real ledger, and an engine without Temporal.
type world struct {
	t       testing.TB
	clock   *clock
	began   time.Time
	sandbox *sandbox.Sandbox
	shop    *shop.Store
	list    *list.Store
	code    *list.SenderCode
	// channel is the one on which people act, and on which what is expected is looked for.
	channel   consent.Channel
	dsn       string
	ledger    *ledger.Ledger
	ring      *keys.Ring
	merchants *merchant.Store
	engine    *Engine
	timing    Timing
	wire      *http.Client
	// patience is how many quiet rounds in a row count as rest: more than a side's search lags.
	patience int
}

func newWorld(t testing.TB, plans ...plan) *world {
	t.Helper()
	var p plan
	if len(plans) > 0 {
		p = plans[0]
	}
	began := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	w := &world{t: t, clock: &clock{now: began}, began: began, channel: consent.Email, timing: DefaultTiming(), patience: 2 + int(p.shop.SearchLag/time.Minute)}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))

	var err error
	w.sandbox, err = sandbox.Start(sandbox.Options{Now: w.clock.Now, Log: quiet})
	w.must(err)
	t.Cleanup(w.sandbox.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	w.wire = &http.Client{Transport: transport, Timeout: 10 * time.Second}

	zone, err := time.LoadLocation(zoneName)
	w.must(err)
	p.shop.Domain, p.shop.ClientID, p.shop.ClientSecret = storeDomain, "app", secret
	if p.shopAhead != 0 {
		p.shop.Now = func() time.Time { return w.clock.Now().Add(p.shopAhead) }
	}
	w.shop = w.sandbox.AddShop(p.shop)
	p.list.ID, p.list.Name, p.list.ClientID, p.list.Secret = listID, "Newsletter", "integration", secret
	if p.list.Zone == nil {
		p.list.Zone = zone
	}
	p.list.Events = []list.Event{{ID: marketingEvent, Name: "Marketing"}, {ID: checkoutEvent, Name: "Checkout"}}
	w.list = w.sandbox.AddList(p.list)
	if p.sms {
		w.channel = consent.SMS
		p.code.ID, p.code.ClientID, p.code.Secret, p.code.Zone = senderCode, "sms-integration", secret, p.list.Zone
		p.code.Lists = []list.PhoneList{{ID: smsList}, {ID: smsCheckout}}
		w.code = w.sandbox.AddSenderCode(p.code)
	}

	key, err := keys.Generate()
	w.must(err)
	exported, err := key.Export()
	w.must(err)
	// What a file adds is tested where the ledger is; here its commits would only cost minutes.
	w.dsn = "sqlite::memory:"
	if p.postgres {
		w.dsn = ledgertest.Postgres(t)
	}
	w.ledger, err = ledger.Open(t.Context(), w.dsn, ledger.WithClock(func() consent.Instant { return consent.InstantOf(w.clock.Now()) }))
	w.must(err)
	t.Cleanup(func() { w.must(w.ledger.Close()) })
	w.ring, err = keys.Open(t.Context(), w.ledger, keys.Source{Key: exported})
	w.must(err)
	w.merchants = merchant.NewStore(w.ledger, w.ring, merchant.Cursors{Email: ListrakCursors, SMS: SMSCursors})

	settings, err := merchant.New(storeDomain)
	w.must(err)
	settings.ShopifyURL, settings.ListrakURL, settings.ListrakAuthURL = w.sandbox.ShopifyURL(storeDomain), w.sandbox.ListrakURL(), w.sandbox.ListrakAuthURL()
	settings.EmailList, settings.MarketingEvent, settings.CheckoutEvent, settings.Zone = listID, marketingEvent, checkoutEvent, zoneName
	settings.ZoneProven = !p.unproven
	credentials := merchant.Credentials{
		ShopifyClientID: "app", ShopifyClientSecret: secret, ListrakClientID: "integration", ListrakClientSecret: secret,
	}
	if p.sms {
		settings.SMS.URL, settings.SMS.SenderCode, settings.SMS.List = w.sandbox.ListrakSMSURL(), senderCode, smsList
		credentials.ListrakSMSClientID, credentials.ListrakSMSClientSecret = p.code.ClientID, secret
	}
	if p.settings != nil {
		p.settings(&settings)
	}
	_, err = w.merchants.Add(t.Context(), settings, credentials)
	w.must(err)
	if !p.unproven {
		_, err = w.merchants.Update(t.Context(), storeID, func(s *merchant.Settings) error { s.ZoneProven = true; return nil }, nil)
		w.must(err)
	}
	if p.timing != nil {
		p.timing(&w.timing)
	}
	w.engine = w.newEngine("first")
	return w
}

// newEngine is another process on the same ledger.
func (w *world) newEngine(holder string) *Engine {
	connections := &connections{world: w}
	return &Engine{
		Ledger: w.ledger, Keys: w.ring, Connect: connections.open, Timing: w.timing, Now: w.clock.Now, Holder: holder,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		ZoneProven: func(ctx context.Context, settings merchant.Settings) error {
			_, err := w.merchants.Update(ctx, settings.ID, func(s *merchant.Settings) error { s.ZoneProven = true; return nil }, nil)
			return err
		},
		ZoneDisproven: func(ctx context.Context, settings merchant.Settings) error {
			_, err := w.merchants.Update(ctx, settings.ID, func(s *merchant.Settings) error { s.ZoneProven = false; return nil }, nil)
			return err
		},
	}
}

// connections keeps one account per generation of the merchant, as internal/host does.
type connections struct {
	world      *world
	mu         sync.Mutex
	generation int64
	account    *Account
	// wrap puts something between the engine and the clients.
	wrap func(Shopify, Listrak) (Shopify, Listrak)
}

func (c *connections) open(ctx context.Context, id string) (*Account, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.world
	m, err := w.merchants.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.account != nil && c.generation == m.Generation {
		return c.account, nil
	}
	credentials, err := w.merchants.Credentials(ctx, id)
	if err != nil {
		return nil, err
	}
	zone, err := m.Settings.Location()
	if err != nil {
		return nil, err
	}
	store, err := shopify.New(shopify.Config{
		WithoutPhones: !m.Settings.SMS.Enabled(),
		Shop:          m.Settings.Shop, BaseURL: m.Settings.ShopifyURL, HTTP: w.wire, Now: w.clock.Now, Sleep: w.clock.sleep,
		ClientID: credentials.ShopifyClientID, ClientSecret: credentials.ShopifyClientSecret, Token: credentials.ShopifyToken,
	})
	if err != nil {
		return nil, err
	}
	contacts, err := listrak.New(listrak.Config{
		BaseURL: m.Settings.ListrakURL, AuthURL: m.Settings.ListrakAuthURL, List: m.Settings.EmailList, Zone: zone, HTTP: w.wire,
		Now: w.clock.Now, RatePerSecond: 100_000, ClientID: credentials.ListrakClientID, ClientSecret: credentials.ListrakClientSecret,
	})
	if err != nil {
		return nil, err
	}
	var a Shopify = store
	var b Listrak = contacts
	if c.wrap != nil {
		a, b = c.wrap(a, b)
	}
	var sms SMS
	if m.Settings.SMS.Enabled() {
		if sms, err = listrak.NewSMS(listrak.SMSConfig{
			BaseURL: m.Settings.SMS.URL, AuthURL: m.Settings.ListrakAuthURL, SenderCode: m.Settings.SMS.SenderCode, List: m.Settings.SMS.List, Zone: zone,
			HTTP: w.wire, Now: w.clock.Now, RatePerSecond: 100_000,
			ClientID: credentials.ListrakSMSClientID, ClientSecret: credentials.ListrakSMSClientSecret,
		}); err != nil {
			return nil, err
		}
	}
	c.account, err = NewAccount(m.Settings, a, b, sms)
	c.generation = m.Generation
	return c.account, err
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// set switches syncs.
func (w *world) set(on map[consent.Sync]bool) {
	w.t.Helper()
	_, err := w.ledger.SetSyncs(w.t.Context(), storeID, ledger.SyncChange{On: on})
	w.must(err)
}

// enable switches both directions on and lets the first round set its watermarks.
func (w *world) enable() *world {
	w.t.Helper()
	w.set(map[consent.Sync]bool{w.to(consent.Shopify): true, w.to(consent.Listrak): true})
	w.round()
	return w
}

// to is the sync of the world's channel.
func (w *world) to(side consent.Side) consent.Sync { return consent.SyncTo(w.channel, side) }

// address is somebody's address on the world's channel, by their email.
func (w *world) address(email string) string {
	if w.channel == consent.Email || strings.HasPrefix(email, "+") || email == "" {
		return email
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(email))
	return fmt.Sprintf("+1555%07d", h.Sum32()%10_000_000)
}

// round runs a round that must not fail, and lets the rest of the minute pass.
func (w *world) round() RoundResult {
	w.t.Helper()
	result, err := w.engine.Round(w.t.Context(), storeID)
	w.must(err)
	w.clock.advance(w.timing.Interval)
	return result
}

// owes tells what keeps the sides from agreeing: what is owed and may be delivered, and what is held.
func (w *world) owes() string {
	w.t.Helper()
	switches, err := w.ledger.Switches(w.t.Context(), storeID)
	w.must(err)
	var owed []string
	for _, side := range consent.Sides {
		sync := w.to(side)
		if !switches.May(sync) {
			continue
		}
		counts, err := w.ledger.Debts(w.t.Context(), storeID, w.channel, side, LedgerPermit(switches, sync))
		w.must(err)
		held := counts.ByDebt[consent.Held]
		if n := counts.OwedSubscribes + counts.OwedUnsubscribes + held; n > 0 {
			owed = append(owed, fmt.Sprintf("%s: %d subscribes and %d unsubscribes owed, %d held", side, counts.OwedSubscribes, counts.OwedUnsubscribes, held))
		}
	}
	return strings.Join(owed, "; ")
}

// agree runs rounds until a round has nothing to do and nothing is owed any more. Rounds may fail as long as failing allows it.
func (w *world) agree() {
	w.t.Helper()
	w.settle(false)
}

func (w *world) settle(failing bool) {
	w.t.Helper()
	quiet := 0
	var last error
	for range 120 {
		result, err := w.engine.Round(w.t.Context(), storeID)
		if err != nil && !failing {
			w.t.Fatal(err)
		}
		last = err
		w.clock.advance(w.timing.Interval)
		if err == nil && !result.More && result.Stats.Delivered == [2]int64{} && w.owes() == "" {
			if quiet++; quiet >= w.patience {
				return
			}
			continue
		}
		quiet = 0
	}
	w.t.Fatalf("the sides do not come to rest: %s; last error: %v", cmp.Or(w.owes(), "nothing is owed"), last)
}

// customer makes a customer whose consent was given at; an empty state means never asked.
func (w *world) customer(email string, state shop.State, at time.Time) shop.CustomerID {
	w.t.Helper()
	newcomer, held := shop.NewCustomer{}, shop.Consent{State: state, UpdatedAt: at}
	if w.channel == consent.SMS {
		newcomer.Phone, newcomer.SMSConsent = w.address(email), held
	} else {
		newcomer.Email, newcomer.Consent = email, held
	}
	id, err := w.shop.CreateCustomer(newcomer)
	w.must(err)
	return id
}

// customerOf is the customer who has somebody's address, and the consent to the world's channel.
func (w *world) customerOf(email string) (shop.Customer, shop.Consent, bool) {
	if w.channel == consent.SMS {
		customer, ok := w.shop.CustomerByPhone(w.address(email))
		return customer, customer.SMSConsent, ok
	}
	customer, ok := w.shop.Customer(email)
	return customer, customer.Consent, ok
}

// moves gives a customer somebody else's address.
func (w *world) moves(id shop.CustomerID, email string) {
	w.t.Helper()
	if w.channel == consent.SMS {
		w.must(w.shop.ChangePhone(id, w.address(email)))
		return
	}
	w.must(w.shop.ChangeEmail(id, email))
}

// consents acts as the person in Shopify.
func (w *world) consents(email string, state shop.State, at time.Time) {
	w.t.Helper()
	customer, _, ok := w.customerOf(email)
	switch {
	case !ok:
		w.customer(email, state, at)
	case w.channel == consent.SMS:
		w.must(w.shop.SetSMSConsent(customer.ID, state, at))
	default:
		w.must(w.shop.SetEmailConsent(customer.ID, state, at))
	}
}

func (w *world) subscribes(email string, at time.Time, method ...string) {
	w.t.Helper()
	if w.channel == consent.SMS {
		w.must(w.code.Subscribe(smsList, w.address(email), at))
		return
	}
	w.must(w.list.Subscribe(email, at, cmp.Or(append(method, "")...)))
}

func (w *world) unsubscribes(email string, at time.Time, method ...string) {
	w.t.Helper()
	if w.channel == consent.SMS {
		w.must(w.code.Unsubscribe(smsList, w.address(email), at))
		return
	}
	w.must(w.list.Unsubscribe(email, at, cmp.Or(append(method, "")...)))
}

// inListrak is what Listrak shows of somebody.
func (w *world) inListrak(email string) list.State {
	if w.channel == consent.SMS {
		phone, _ := w.code.Phone(w.address(email))
		if phone.OptedOut {
			return list.Unsubscribed
		}
		return phone.Lists[smsList].State
	}
	contact, _ := w.list.Contact(email)
	return contact.State
}

// nobody stands for an address that a side does not know.
const nobody = ""

// shows fails the test unless both sides show these states of an address.
func (w *world) shows(email string, inShopify shop.State, inListrak list.State) {
	w.t.Helper()
	customer, held, _ := w.customerOf(email)
	if customer.ID == "" {
		held.State = nobody
	}
	if shown := w.inListrak(email); held.State != inShopify || shown != inListrak {
		w.t.Errorf("Shopify shows %q and Listrak %q, want %q and %q\n%s", held.State, shown, inShopify, inListrak, w.history(email))
	}
}

// subject is the ledger's key of an address.
func (w *world) subject(email string) consent.Subject {
	address := w.address(email)
	if w.channel == consent.Email {
		var err error
		address, err = consent.NormaliseEmail(email)
		w.must(err)
	}
	return consent.SubjectOf(w.ring.SubjectKey(), storeID, w.channel, address)
}

// entry is what the ledger keeps of an address.
func (w *world) entry(email string) ledger.Entry {
	w.t.Helper()
	subject := w.subject(email)
	entries, err := w.ledger.Load(w.t.Context(), storeID, w.channel, []consent.Subject{subject})
	w.must(err)
	return entries[subject]
}

// history is the journal of an address, for failing tests.
func (w *world) history(email string) string {
	lines, err := w.ledger.Journal(w.t.Context(), storeID, w.channel, w.subject(email))
	w.must(err)
	var b strings.Builder
	fmt.Fprintf(&b, "began %s, now %s\n", w.began.Format(time.TimeOnly), w.clock.Now().Format(time.DateTime))
	for _, l := range lines {
		fmt.Fprintf(&b, "  %s %-8s %-14s %-18s %-13s dated %s %s %s\n", l.At.Time().Format("15:04:05.000"), l.Side, l.Kind, l.Reason, l.State,
			l.Date.Time().Format(time.DateTime), l.Point, l.Code)
	}
	entry := w.entry(email)
	fmt.Fprintf(&b, "  owed: Shopify %s, Listrak %s; decision %+v\n", entry.Record.DebtTo(consent.Shopify), entry.Record.DebtTo(consent.Listrak), entry.Record.Decision)
	for _, side := range consent.Sides {
		for _, d := range entry.Record.Sent[side] {
			if d.State != consent.Unseen {
				fmt.Fprintf(&b, "  sent to %s: %+v\n", side, d)
			}
		}
	}
	return b.String()
}

// effective counts the effective writes of each side to an address.
func (w *world) effective(email string) (inShopify, inListrak int) {
	for _, write := range w.shop.Writes() {
		address := write.Email
		if w.channel == consent.SMS {
			address = write.Phone
		}
		if write.Effective && strings.EqualFold(address, w.address(email)) {
			inShopify++
		}
	}
	if w.code != nil {
		for _, write := range w.code.Writes() {
			if write.Effective && write.List == smsList && write.Phone == w.address(email) {
				inListrak++
			}
		}
	}
	for _, write := range w.list.Writes() {
		if write.Effective && strings.EqualFold(write.Email, email) {
			inListrak++
		}
	}
	return inShopify, inListrak
}

// calls counts the requests to Shopify, without the token endpoint.
func (w *world) shopifyCalls() int {
	total := 0
	for operation, n := range w.shop.Requests() {
		if operation != "token" {
			total += n
		}
	}
	return total
}
