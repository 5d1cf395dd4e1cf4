package merchant

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
)

// memory keeps merchants and once-written rows as the ledger promises to (internal/ledger/merchants.go, meta.go), and lets a test
// come in between a read and a write.
type memory struct {
	mu        sync.Mutex
	meta      map[string][]byte
	merchants map[string]ledger.Merchant
	secrets   map[string]ledger.Secrets
	dropped   []string
	raised    []bool
	at        consent.Instant
	// beforeUpdate, when set, is called outside of the lock before each update.
	beforeUpdate func()
}

func newMemory() *memory {
	return &memory{meta: map[string][]byte{}, merchants: map[string]ledger.Merchant{}, secrets: map[string]ledger.Secrets{}}
}

func (m *memory) Meta(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.meta[key], nil
}

func (m *memory) MetaOnce(_ context.Context, key string, value []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.meta[key]; !found {
		m.meta[key] = value
	}
	return m.meta[key], nil
}

func (m *memory) taken(next ledger.Merchant) error {
	for _, other := range m.merchants {
		switch {
		case other.ID == next.ID:
		case other.Shop == next.Shop:
			return ledger.ErrShopTaken
		case other.ListrakURL == next.ListrakURL && other.EmailList == next.EmailList:
			return ledger.ErrListTaken
		}
	}
	return nil
}

func (m *memory) AddMerchant(_ context.Context, next ledger.Merchant, secrets ledger.Secrets) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.merchants[next.ID]; found {
		return ledger.ErrMerchantExists
	}
	if err := m.taken(next); err != nil {
		return err
	}
	next.State, next.Generation, next.CreatedAt = ledger.Running, 1, 1_000_000
	m.merchants[next.ID], m.secrets[next.ID] = next, secrets
	return nil
}

func (m *memory) UpdateMerchant(_ context.Context, next ledger.Merchant, with ledger.MerchantUpdate) error {
	if m.beforeUpdate != nil {
		m.beforeUpdate()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, found := m.merchants[next.ID]
	switch {
	case !found:
		return ledger.ErrUnknownMerchant
	case old.Generation != next.Generation:
		return ledger.ErrConflict
	}
	if err := m.taken(next); err != nil {
		return err
	}
	old.Shop, old.ListrakURL, old.EmailList, old.Settings = next.Shop, next.ListrakURL, next.EmailList, next.Settings
	old.Generation++
	m.merchants[next.ID] = old
	if with.Secrets != nil {
		m.secrets[next.ID] = with.Secrets
	}
	if with.State != "" {
		old.State, old.Reason = with.State, with.Reason
		m.merchants[next.ID] = old
	}
	m.dropped = append(m.dropped, with.DropCursors...)
	m.raised = append(m.raised, with.LimitRaised)
	return nil
}

func (m *memory) Now(context.Context) (consent.Instant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at, nil
}

// advance moves the ledger's clock.
func (m *memory) advance(by consent.Span) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = m.at.Plus(by)
}

func (m *memory) CountSubjects(context.Context, string, ...consent.Channel) (int64, error) {
	return 50_000, nil
}

func (m *memory) Merchant(_ context.Context, id string) (ledger.Merchant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found, ok := m.merchants[id]
	if !ok {
		return ledger.Merchant{}, ledger.ErrUnknownMerchant
	}
	return found, nil
}

func (m *memory) Merchants(context.Context) ([]ledger.Merchant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []ledger.Merchant
	for _, id := range slices.Sorted(maps.Keys(m.merchants)) {
		all = append(all, m.merchants[id])
	}
	return all, nil
}

func (m *memory) RemoveMerchant(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.merchants[id]; !found {
		return ledger.ErrUnknownMerchant
	}
	delete(m.merchants, id)
	delete(m.secrets, id)
	return nil
}

func (m *memory) Secrets(_ context.Context, id string) (ledger.Secrets, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.secrets[id], nil
}

func ringOf(t testing.TB, store keys.Store, master keys.Keyset) *keys.Ring {
	t.Helper()
	text, err := master.Export()
	require.NoError(t, err)
	ring, err := keys.Open(t.Context(), store, keys.Source{Key: text})
	require.NoError(t, err)
	return ring
}

func newRing(t testing.TB) *keys.Ring {
	t.Helper()
	master, err := keys.Generate()
	require.NoError(t, err)
	return ringOf(t, newMemory(), master)
}
