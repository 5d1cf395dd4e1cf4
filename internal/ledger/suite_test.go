package ledger_test

import (
	"crypto/sha256"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
)

func TestMain(m *testing.M) {
	crashChild()
	goleak.VerifyTestMain(m)
}

// databases are those that every test of the suite runs against.
var databases = []struct {
	name string
	dsn  func(testing.TB) string
}{
	{"sqlite", ledgertest.SQLite},
	{"memory", func(testing.TB) string { return "sqlite::memory:" }},
	{"postgres", ledgertest.Postgres},
}

// forEach runs a test against every database.
func forEach(t *testing.T, test func(t *testing.T, l *ledger.Ledger, clock *clock)) {
	t.Helper()
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			test(t, open(t, d.dsn(t), ledger.WithClock(clock.Now)), clock)
		})
	}
}

// forEachReal is forEach by the database's own clock.
func forEachReal(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Helper()
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			test(t, d.dsn(t))
		})
	}
}

// forEachLasting is forEachReal without the ledger in memory, of which nothing outlives the process that has it open.
func forEachLasting(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Helper()
	t.Parallel()
	for _, d := range databases {
		if d.name == "memory" {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			test(t, d.dsn(t))
		})
	}
}

func open(t testing.TB, dsn string, options ...ledger.Option) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), dsn, options...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// clock stands still until a test moves it.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(int64(consent.InstantOf(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))))
	return c
}

func (c *clock) Now() consent.Instant                    { return consent.Instant(c.at.Load()) }
func (c *clock) Advance(by consent.Span) consent.Instant { return consent.Instant(c.at.Add(int64(by))) }

const acme = "acme"

// addMerchant adds acme with the given syncs on.
func addMerchant(t testing.TB, l *ledger.Ledger, on ...consent.Sync) {
	t.Helper()
	require.NoError(t, l.AddMerchant(t.Context(), merchant(acme, 1), nil))
	change := ledger.SyncChange{On: map[consent.Sync]bool{}}
	for _, sync := range on {
		change.On[sync] = true
	}
	_, err := l.SetSyncs(t.Context(), acme, change)
	require.NoError(t, err)
}

func merchant(id string, list int) ledger.Merchant {
	return ledger.Merchant{ID: id, Shop: id + ".myshopify.com", ListrakURL: "https://api.listrak.com", EmailList: list,
		Settings: []byte(`{"zone":"America/New_York"}`)}
}

func subject(n int) consent.Subject { return sha256.Sum256(fmt.Append(nil, n)) }

// decided is a record that says no more than a decision.
func decided(state consent.State, at consent.Instant) consent.Record {
	return consent.Record{Decision: consent.Decision{State: state, At: at, Side: consent.Shopify}}
}

// save saves a batch of changes that must not conflict.
func save(t testing.TB, l *ledger.Ledger, changes ...ledger.Change) {
	t.Helper()
	conflicts, err := l.Save(t.Context(), acme, ledger.Batch{Changes: changes})
	require.NoError(t, err)
	require.Empty(t, conflicts)
}

// load loads one subject of acme.
func load(t testing.TB, l *ledger.Ledger, s consent.Subject) ledger.Entry {
	t.Helper()
	entries, err := l.Load(t.Context(), acme, consent.Email, []consent.Subject{s})
	require.NoError(t, err)
	return entries[s]
}
