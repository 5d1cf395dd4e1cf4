package merchant

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
)

// The other tests of this package use a ledger in memory to come in between its reads and writes; these hold the same Store, and
// the keys, against the real one.
func TestOverARealLedger(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	database := filepath.Join(t.TempDir(), "concord.db")
	const processes = 2
	stores, rings := make([]*Store, processes), make([]*keys.Ring, processes)
	var done sync.WaitGroup
	for i := range processes {
		// Each has a ledger of its own on the same file, as two processes that start at once do.
		l, err := ledger.Open(ctx, "sqlite:"+database)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, l.Close()) })
		done.Go(func() {
			ring, err := keys.Open(ctx, l, keys.Source{Database: database})
			if err != nil {
				t.Error(err)
				return
			}
			rings[i], stores[i] = ring, NewStore(l, ring, Cursors{Email: []string{"listrak/email"}})
		})
	}
	done.Wait()
	if t.Failed() {
		return
	}
	require.Equal(t, rings[0].SubjectKey(), rings[1].SubjectKey())
	one, two := stores[0], stores[1]

	added, err := one.Add(ctx, settingsOf(t, "acme.myshopify.com", 345), secretCredentials())
	require.NoError(t, err)
	_, err = two.Add(ctx, settingsOf(t, "beta.myshopify.com", 346), tokenCredentials())
	require.NoError(t, err)
	_, err = two.Add(ctx, settingsOf(t, "acme.myshopify.com", 9), secretCredentials())
	require.ErrorIs(t, err, ledger.ErrMerchantExists)
	require.ErrorContains(t, err, "starter merchant set acme")
	_, err = two.Update(ctx, "beta", func(s *Settings) error { s.EmailList = 345; return nil }, nil)
	require.ErrorIs(t, err, ledger.ErrListTaken)
	require.ErrorContains(t, err, "list 345 belongs to merchant acme")

	m, err := two.Get(ctx, "acme")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(added, m.Settings))
	require.False(t, m.CreatedAt.IsZero())
	updated, err := two.Update(ctx, "acme", func(s *Settings) error { s.Zone = "UTC"; return nil }, &Credentials{ShopifyToken: "shpat_s3cr3t"})
	require.NoError(t, err)
	after, err := one.Get(ctx, "acme")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(updated, after.Settings))
	require.Greater(t, after.Generation, m.Generation)
	c, err := one.Credentials(ctx, "acme")
	require.NoError(t, err)
	require.True(t, c == tokenCredentials())

	require.NoError(t, two.Remove(ctx, "acme"))
	_, err = one.Credentials(ctx, "acme")
	require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
	_, err = one.Add(ctx, settingsOf(t, "acme.myshopify.com", 345), secretCredentials())
	require.NoError(t, err, "a removed merchant may come back")
	all, err := two.List(ctx)
	require.NoError(t, err)
	require.Len(t, all, 2)
}
