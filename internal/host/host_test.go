package host

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/sandbox"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

const (
	id     = "acme"
	secret = "not-a-real-secret"
)

func settings(dsn string) config.Settings {
	return config.Settings{
		Ledger: config.DSN(dsn), TaskQueue: "test", Interval: time.Minute, RoundLimit: 45 * time.Second, CheckoutWindow: 5 * time.Minute,
		OrderLag: 30 * time.Second, MaxHeld: 17, CallTimeout: 20 * time.Second, ClaimLease: time.Minute, RunLease: 90 * time.Second,
	}
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func open(t *testing.T, s config.Settings) *Host {
	t.Helper()
	h, err := Open(t.Context(), s, quiet, nil)
	must(t, err)
	t.Cleanup(func() { must(t, h.Close()) })
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// people are both sides of one merchant on this machine.
type people struct {
	shop *shop.Store
	list *list.Store
}

func (p *people) join(t *testing.T, h *Host) {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{Log: quiet})
	must(t, err)
	t.Cleanup(sb.Close)
	t.Cleanup(wire.CloseIdleConnections)
	domain := id + ".myshopify.com"
	p.shop = sb.AddShop(shop.Config{Domain: domain, ClientID: "app", ClientSecret: secret})
	p.list = sb.AddList(list.Config{ID: 7, ClientID: "integration", Secret: secret})
	m, err := merchant.New(domain)
	must(t, err)
	m.ShopifyURL, m.ListrakURL, m.ListrakAuthURL, m.EmailList, m.Zone, m.ListrakRate = sb.ShopifyURL(domain), sb.ListrakURL(), sb.ListrakAuthURL(), 7, "UTC", 200
	_, err = h.Merchants.Add(t.Context(), m, merchant.Credentials{
		ShopifyClientID: "app", ShopifyClientSecret: secret, ListrakClientID: "integration", ListrakClientSecret: secret,
	})
	must(t, err)
}

func TestAHostReconciles(t *testing.T) {
	t.Parallel()
	h := open(t, settings(ledgertest.SQLite(t)))
	var p people
	p.join(t, h)
	_, err := h.Ledger.SetSyncs(t.Context(), id, ledger.SyncChange{On: map[consent.Sync]bool{consent.EmailToShopify: true}})
	must(t, err)
	must(t, p.list.Subscribe("ada@example.com", time.Now(), ""))
	_, err = h.Engine.Round(t.Context(), id)
	must(t, err)
	if customer, ok := p.shop.Customer("ada@example.com"); !ok || customer.Consent.State != shop.Subscribed {
		t.Errorf("Shopify shows %+v", customer)
	}
}

func TestOneKeyForOneLedger(t *testing.T) {
	t.Parallel()
	t.Run("with SQLite a key is made beside the database, once", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "concord.db")
		var notices []string
		notice := func(text string) { notices = append(notices, text) }
		var prints []string
		for range 2 {
			h, err := Open(t.Context(), settings("sqlite:"+path), quiet, notice)
			must(t, err)
			prints = append(prints, h.Keys.SubjectFingerprint()+h.Keys.MasterFingerprint())
			must(t, h.Close())
		}
		if len(notices) != 1 || prints[0] != prints[1] {
			t.Errorf("notices %q, fingerprints %q", notices, prints)
		}
		if _, err := os.Stat(keys.KeyFileOf(path)); err != nil {
			t.Error(err)
		}
	})
	t.Run("a ledger in memory makes no key file", func(t *testing.T) {
		t.Parallel()
		_, err := Open(t.Context(), settings("sqlite::memory:"), quiet, nil)
		if !errors.Is(err, keys.ErrNoKey) {
			t.Errorf("opened with %v", err)
		}
	})
	t.Run("with PostgreSQL a key is never invented", func(t *testing.T) {
		t.Parallel()
		_, err := Open(t.Context(), settings(ledgertest.Postgres(t)), quiet, nil)
		if !errors.Is(err, keys.ErrNoKey) {
			t.Errorf("opened with %v", err)
		}
	})
	t.Run("an error names no password", func(t *testing.T) {
		t.Parallel()
		_, err := Open(t.Context(), settings("postgres://concord:"+secret+"@127.0.0.1:1/concord?connect_timeout=1"), quiet, nil)
		if !errors.Is(err, ledger.ErrUnreachable) || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	})
}

func TestTheTimingIsThatOfTheSettings(t *testing.T) {
	t.Parallel()
	h := open(t, settings(ledgertest.SQLite(t)))
	got := h.Engine.Timing
	want := reconcile.Timing{
		Interval: time.Minute, RoundLimit: 45 * time.Second, CallTimeout: 20 * time.Second, LeaseMargin: 40 * time.Second, RunLease: 90 * time.Second,
		SearchLag: reconcile.DefaultTiming().SearchLag, DrainQuiet: reconcile.DefaultTiming().DrainQuiet, MaxHeld: 17,
		Window: consent.Window{Length: 5 * consent.Minute, Before: consent.Minute, Lag: 30 * consent.Second},
	}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAnAccountIsSharedUntilItChanges(t *testing.T) {
	t.Parallel()
	h := open(t, settings(ledgertest.SQLite(t)))
	var p people
	p.join(t, h)
	connect := func() *reconcile.Account {
		t.Helper()
		account, err := h.Engine.Connect(t.Context(), id)
		must(t, err)
		return account
	}
	first := connect()
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if account, err := h.Engine.Connect(t.Context(), id); err != nil || account != first {
				t.Errorf("another account, with another budget: %v", err)
			}
		})
	}
	group.Wait()
	must(t, h.Engine.ZoneProven(t.Context(), first.Settings))
	if connect() != first {
		t.Error("a proven zone costs the account its budget and token")
	}
	m, err := h.Merchants.Get(t.Context(), id)
	must(t, err)
	if !m.Settings.ZoneProven {
		t.Error("the proof is forgotten")
	}
	elsewhere := first.Settings
	elsewhere.Zone = "Pacific/Chatham"
	for _, c := range []struct {
		settings merchant.Settings
		proven   bool
	}{{elsewhere, true}, {first.Settings, false}} {
		must(t, h.Engine.ZoneDisproven(t.Context(), c.settings))
		if m, err = h.Merchants.Get(t.Context(), id); err != nil || m.Settings.ZoneProven != c.proven {
			t.Errorf("writes in the zone %s disprove %s: %v", c.settings.Zone, m.Settings.Zone, err)
		}
	}
	if connect() != first {
		t.Error("a disproven zone costs the account its budget and token")
	}
	_, err = h.Merchants.Update(t.Context(), id, func(s *merchant.Settings) error { s.ListrakRate = 5; return nil }, nil)
	must(t, err)
	second := connect()
	if second == first || second.Settings.ListrakRate != 5 {
		t.Error("new settings are not in force")
	}
	_, err = h.Merchants.Update(t.Context(), id, nil, &merchant.Credentials{ListrakClientID: "integration", ListrakClientSecret: "another"})
	must(t, err)
	if connect() == second {
		t.Error("new credentials are not in force")
	}
	if _, err := h.Engine.Connect(t.Context(), "nobody"); !errors.Is(err, ledger.ErrUnknownMerchant) {
		t.Errorf("connected to nobody: %v", err)
	}
}

func TestAZoneThatWasChangedMeanwhileIsNotProven(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*merchant.Settings){
		"another zone": func(s *merchant.Settings) { s.Zone = "America/New_York" },
		"another list": func(s *merchant.Settings) { s.EmailList = 8 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, settings(ledgertest.SQLite(t)))
			var p people
			p.join(t, h)
			m, err := h.Merchants.Get(t.Context(), id)
			must(t, err)
			_, err = h.Merchants.Update(t.Context(), id, func(s *merchant.Settings) error { change(s); return nil }, nil)
			must(t, err)
			must(t, h.Engine.ZoneProven(t.Context(), m.Settings))
			if m, err = h.Merchants.Get(t.Context(), id); err != nil || m.Settings.ZoneProven {
				t.Errorf("proven by a write of before: %v", err)
			}
		})
	}
}

func TestEveryProcessHasANameOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		name := holder()
		if seen[name] || !strings.Contains(name, fmt.Sprint(os.Getpid())) {
			t.Fatalf("%q twice, or of another process", name)
		}
		seen[name] = true
	}
}

func TestWorkerVersioningIsASetting(t *testing.T) {
	t.Parallel()
	s := settings("sqlite::memory:")
	if workerOptions(s).DeploymentOptions.UseVersioning {
		t.Error("versioned without being asked")
	}
	s.WorkerVersioning, s.WorkerBuildID = true, "abc"
	d := workerOptions(s).DeploymentOptions
	if !d.UseVersioning || d.Version.BuildID != "abc" || d.DefaultVersioningBehavior != workflow.VersioningBehaviorAutoUpgrade {
		t.Errorf("%+v", d)
	}
}
