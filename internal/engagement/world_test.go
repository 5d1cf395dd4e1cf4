package engagement_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

func TestMain(m *testing.M) {
	if recipients := os.Getenv(sandboxFor); recipients != "" {
		os.Exit(serveSandbox(recipients))
	}
	goleak.VerifyTestMain(m)
}

var subjectKey = []byte("a key of thirty-two bytes or so!")

const (
	secret = "not-a-real-secret"
	listID = 1001
)

// clock is a time that only tests move.
type clock struct{ nanos atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// world is a merchant with both sides behind real HTTP, whose clock the test moves.
type world struct {
	testing.TB
	clock  *clock
	shop   *shop.Store
	list   *list.Store
	ledger *ledger.Ledger
	keeper *engagement.Keeper
	id     string
	zone   *time.Location
}

type options struct {
	dsn    string
	shop   func(*shop.Config)
	list   func(*list.Config)
	begins time.Time
	// country is that of phone numbers without a country code; empty is the default.
	country string
	// at is a sandbox of another process; nil starts one in this.
	at *addresses
}

// addresses are where a sandbox answers, and Message the campaign that was sent in it.
type addresses struct {
	Shopify, Listrak, Auth string
	Message                int
}

func newWorld(t testing.TB, o options) *world {
	t.Helper()
	w := &world{TB: t, clock: &clock{}, id: "acme"}
	if o.begins.IsZero() {
		o.begins = time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC)
	}
	w.clock.nanos.Store(o.begins.UnixNano())
	var err error
	w.zone, err = time.LoadLocation("America/New_York")
	require.NoError(t, err)
	if o.at == nil {
		box, store, list := startSandbox(t, w.clock.now, w.zone, o)
		w.shop, w.list = store, list
		o.at = &addresses{Shopify: box.ShopifyURL("acme.myshopify.com"), Listrak: box.ListrakURL(), Auth: box.ListrakAuthURL()}
	}
	if o.dsn == "" {
		o.dsn = ledgertest.SQLite(t)
	}
	w.ledger, err = ledger.Open(t.Context(), o.dsn, ledger.WithClock(func() consent.Instant { return consent.InstantOf(w.clock.now()) }))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.ledger.Close()) })
	require.NoError(t, w.ledger.AddMerchant(t.Context(), ledger.Merchant{ID: w.id, Shop: "acme.myshopify.com", ListrakURL: "x", EmailList: listID,
		Settings: []byte("{}")}, nil))
	// Points and slots come with the test's clock, which waiting moves.
	sleep := func(_ context.Context, d time.Duration) error { w.clock.advance(d); return nil }
	store, err := shopify.New(shopify.Config{Shop: "acme.myshopify.com", BaseURL: o.at.Shopify, Token: "shpat_1",
		Now: w.clock.now, Sleep: sleep})
	require.NoError(t, err)
	client, err := listrak.New(listrak.Config{BaseURL: o.at.Listrak, AuthURL: o.at.Auth, ClientID: "integration", ClientSecret: secret,
		List: listID, Zone: w.zone, RatePerSecond: 1e6, Now: w.clock.now})
	require.NoError(t, err)
	settings, err := merchant.New("acme.myshopify.com")
	require.NoError(t, err)
	settings.EmailList, settings.SMS.Country = listID, cmp.Or(o.country, settings.SMS.Country)
	w.keeper = &engagement.Keeper{
		Ledger: w.ledger, SubjectKey: subjectKey, Timing: engagement.DefaultTiming(), Now: w.clock.now, Holder: "test",
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Connect: func(context.Context, string) (engagement.Account, error) {
			return engagement.Account{Shopify: store, Listrak: client}, nil
		},
		Settings: func(context.Context, string) (merchant.Settings, error) { return settings, nil },
	}
	return w
}

// startSandbox starts both sides.
func startSandbox(t testing.TB, now func() time.Time, zone *time.Location, o options) (*sandbox.Sandbox, *shop.Store, *list.Store) {
	t.Helper()
	box, err := sandbox.Start(sandbox.Options{Now: now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(t, err)
	t.Cleanup(box.Close)
	shopConfig := shop.Config{Domain: "acme.myshopify.com", Token: "shpat_1", Now: now, Plan: shop.Plus,
		Scopes: []string{"read_customers", "write_customers", "read_orders", "read_marketing_events", "write_marketing_events"}}
	listConfig := list.Config{ID: listID, ClientID: "integration", Secret: secret, Zone: zone, Now: now}
	if o.shop != nil {
		o.shop(&shopConfig)
	}
	if o.list != nil {
		o.list(&listConfig)
	}
	return box, box.AddShop(shopConfig), box.AddList(listConfig)
}

func (w *world) set(on map[consent.Sync]bool) {
	w.Helper()
	_, err := w.ledger.SetSyncs(w.Context(), w.id, ledger.SyncChange{On: on})
	require.NoError(w, err)
}

// customer makes a customer in Shopify who is known to the ledger, as rounds see to it.
func (w *world) customer(email string) shop.CustomerID {
	w.Helper()
	id, err := w.shop.CreateCustomer(shop.NewCustomer{Email: email})
	require.NoError(w, err)
	_, err = w.ledger.Save(w.Context(), w.id, ledger.Batch{Customers: []ledger.Customer{{ID: string(id), UpdatedAt: consent.InstantOf(w.clock.now()),
		Email: subject(w.id, consent.Email, email)}}})
	require.NoError(w, err)
	return id
}

func subject(id string, channel consent.Channel, address string) consent.Subject {
	return consent.SubjectOf(subjectKey, id, channel, address)
}

// pass runs passes until there is nothing left to do at once.
func (w *world) pass() engagement.Pass {
	w.Helper()
	var sum engagement.Pass
	for {
		pass, err := w.keeper.Pass(w.Context(), w.id)
		require.NoError(w, err)
		sum.Changed, sum.Days, sum.People = sum.Changed+pass.Changed, sum.Days+pass.Days, sum.People+pass.People
		if !pass.More {
			return sum
		}
	}
}

// send makes a bulk message and sends it to n people now.
func (w *world) send(subject string, n int) (id int, emails []string) {
	w.Helper()
	id, err := w.list.CreateMessage(list.NewMessage{Subject: subject})
	require.NoError(w, err)
	for i := range n {
		emails = append(emails, fmt.Sprintf("person-%d@example.com", i))
	}
	require.NoError(w, w.list.Send(id, time.Time{}, emails...))
	return id, emails
}

func (w *world) act(id int, email string, act list.Act) {
	w.Helper()
	require.NoError(w, w.list.Act(id, email, act, time.Time{}))
}

// toldDays is what Shopify was told of an activity, by day.
func (w *world) toldDays(remoteID string) map[string]map[string]int {
	days := map[string]map[string]int{}
	for _, report := range w.shop.Engagements() {
		if report.Activity.RemoteID == remoteID {
			for _, day := range report.Days {
				days[day.Day] = day.Counts
			}
		}
	}
	return days
}

// truth is what Shopify should be told of a message's days, as far as Listrak's interface can tell.
func (w *world) truth(id int) map[string]map[string]int {
	days := map[string]map[string]int{}
	for date, d := range w.list.MessageDays(id, w.zone) {
		days[date] = map[string]int{"sendsCount": d.Sends, "impressionsCount": d.Deliveries, "viewsCount": d.UniqueOpens, "uniqueViewsCount": d.UniqueOpens,
			"clicksCount": d.Clicks, "uniqueClicksCount": d.UniqueClicks, "failsCount": d.Bounces, "unsubscribesCount": d.Unsubscribes,
			"complaintsCount": d.Complaints}
	}
	return days
}

func messageID(id int) string { return fmt.Sprintf("listrak-%d-message-%d", listID, id) }

func field(key string) string { return "$app:concord." + key }
