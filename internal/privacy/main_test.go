package privacy_test

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/privacy"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/sandbox"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/telemetry"
)

const testSecret = "not-a-real-secret"

// world is one merchant with a real ledger and both sides in the sandbox.
type world struct {
	*testing.T
	host    *host.Host
	office  *privacy.Office
	shop    *shop.Store
	list    *list.Store
	texts   *list.SenderCode
	privacy *list.Privacy

	mu sync.Mutex
	// told are the holds whose windows were roused.
	told []ledger.Held
}

const acme = "acme"

// credentials are what the merchant gave; withPrivacy adds the Privacy integration.
func credentials(withPrivacy bool) merchant.Credentials {
	c := merchant.Credentials{ShopifyClientID: "app", ShopifyClientSecret: testSecret, ListrakClientID: "integration", ListrakClientSecret: testSecret}
	c.ListrakSMSClientID, c.ListrakSMSClientSecret = "sms", testSecret
	if withPrivacy {
		c.ListrakPrivacyClientID, c.ListrakPrivacyClientSecret = "privacy", testSecret
	}
	return c
}

func newWorld(t *testing.T, withPrivacy bool) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{T: t}
	logger := telemetry.NewLogger(io.Discard, slog.LevelError, "text")
	sb, err := sandbox.Start(sandbox.Options{Log: logger})
	require.NoError(t, err)
	t.Cleanup(sb.Close)
	const domain = acme + ".myshopify.com"
	w.shop = sb.AddShop(shop.Config{Domain: domain, ClientID: "app", ClientSecret: testSecret,
		Scopes: []string{"read_customers", "write_customers", "read_orders", "read_marketing_events", "write_marketing_events"}})
	w.list = sb.AddList(list.Config{ID: 7, ClientID: "integration", Secret: testSecret})
	w.texts = sb.AddSenderCode(list.SenderCodeConfig{ID: 8, ClientID: "sms", Secret: testSecret, Account: "integration", Lists: []list.PhoneList{{ID: 80}}})
	w.privacy = sb.AddPrivacy(list.PrivacyConfig{ClientID: "privacy", Secret: testSecret, Account: "integration", Processing: time.Hour, Unlimited: true})
	directory := t.TempDir()
	w.host, err = host.Open(ctx, config.Settings{
		Ledger: config.DSN("sqlite:" + filepath.Join(directory, "concord.db")), Interval: time.Minute, RoundLimit: 20 * time.Second,
		CheckoutWindow: 5 * time.Minute, OrderLag: time.Minute, MaxHeld: 500, ListComparison: time.Hour, CallTimeout: 5 * time.Second, ClaimLease: 6 * time.Second,
		RunLease: 26 * time.Second, OptOutRetention: time.Hour, ExportDirectory: filepath.Join(directory, "exports"),
	}, logger, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.host.Close()) })
	w.office = w.host.Office
	w.host.Engine.HoldChanged = func(_ context.Context, _ string, held ledger.Held) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, held)
	}
	settings, err := merchant.New(domain)
	require.NoError(t, err)
	settings.ShopifyURL, settings.ListrakURL, settings.ListrakAuthURL = sb.ShopifyURL(domain), sb.ListrakURL(), sb.ListrakAuthURL()
	settings.ListrakPrivacyURL, settings.EmailList, settings.Zone, settings.ListrakRate = sb.ListrakPrivacyURL(), 7, "UTC", 200
	settings.ZoneProven = true
	settings.SMS = merchant.SMS{URL: sb.ListrakSMSURL(), SenderCode: 8, List: 80, Country: "US"}
	_, err = w.host.Merchants.Add(ctx, settings, credentials(withPrivacy))
	require.NoError(t, err)
	_, err = w.host.Merchants.Update(ctx, acme, func(s *merchant.Settings) error { s.ZoneProven = true; return nil }, nil)
	require.NoError(t, err)
	_, err = w.host.Ledger.SetSyncs(ctx, acme, ledger.SyncChange{On: map[consent.Sync]bool{
		consent.EmailToListrak: true, consent.EmailToShopify: true, consent.SMSToListrak: true, consent.SMSToShopify: true,
	}})
	require.NoError(t, err)
	return w
}

// round runs one round of the merchant.
func (w *world) round() {
	w.Helper()
	_, err := w.host.Engine.Round(w.Context(), acme)
	require.NoError(w, err)
}

// ask keeps a request about a person, as the door does.
func (w *world) ask(id string, kind ledger.PrivacyKind, customer string, p person.Person) {
	w.Helper()
	sealed, err := person.Seal(w.host.Keys, acme, id, p)
	require.NoError(w, err)
	require.NoError(w, w.host.Ledger.AddPrivacyRequest(w.Context(), acme, ledger.PrivacyRequest{ID: id, Kind: kind, Customer: customer, Sealed: sealed}))
}

func (w *world) request(id string) ledger.PrivacyRequest {
	w.Helper()
	r, err := w.host.Ledger.PrivacyRequest(w.Context(), acme, id)
	require.NoError(w, err)
	return r
}

func (w *world) subject(address string) consent.Subject {
	return consent.SubjectOf(w.host.Keys.SubjectKey(), acme, consent.Email, address)
}

func (w *world) entry(address string) ledger.Entry {
	w.Helper()
	entries, err := w.host.Ledger.Load(w.Context(), acme, consent.Email, []consent.Subject{w.subject(address)})
	require.NoError(w, err)
	return entries[w.subject(address)]
}

func (w *world) journal(address string) []ledger.Line {
	w.Helper()
	lines, err := w.host.Ledger.Journal(w.Context(), acme, consent.Email, w.subject(address))
	require.NoError(w, err)
	return lines
}

func (w *world) phoneSubject(phone string) consent.Subject {
	return consent.SubjectOf(w.host.Keys.SubjectKey(), acme, consent.SMS, phone)
}

func (w *world) phoneEntry(phone string) ledger.Entry {
	w.Helper()
	entries, err := w.host.Ledger.Load(w.Context(), acme, consent.SMS, []consent.Subject{w.phoneSubject(phone)})
	require.NoError(w, err)
	return entries[w.phoneSubject(phone)]
}
