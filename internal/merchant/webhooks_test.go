package merchant

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

func TestAReplacedSecretSignsForAnHour(t *testing.T) {
	t.Parallel()
	rows := newMemory()
	store := NewStore(rows, newRing(t), Cursors{})
	ctx := t.Context()
	_, err := store.Add(ctx, settingsOf(t, "acme.myshopify.com", 345), secretCredentials())
	require.NoError(t, err)
	secrets := func(want ...string) {
		t.Helper()
		got, err := store.WebhookSecrets(ctx, "acme.myshopify.com")
		require.NoError(t, err)
		require.True(t, slices.Equal(want, got), "%d secrets, want %d", len(got), len(want))
	}
	change := func(c Credentials) {
		t.Helper()
		_, err := store.Update(ctx, "acme", nil, &c)
		require.NoError(t, err)
	}
	secrets("s3cr3t-shop")
	change(Credentials{ListrakClientSecret: "s3cr3t-other"})
	secrets("s3cr3t-shop")
	require.Len(t, rows.secrets["acme"], 1, "no rotation, nothing kept")
	change(Credentials{ShopifyClientSecret: "s3cr3t-2"})
	secrets("s3cr3t-2", "s3cr3t-shop")
	for _, sealed := range rows.secrets["acme"] {
		requireNoSecret(t, string(sealed))
	}
	rows.advance(59 * consent.Minute)
	all := secretCredentials()
	all.ShopifyClientSecret = "s3cr3t-3"
	change(all)
	secrets("s3cr3t-3", "s3cr3t-2", "s3cr3t-shop")
	rows.advance(consent.Minute)
	secrets("s3cr3t-3", "s3cr3t-2")
	change(Credentials{ShopifyClientSecret: "s3cr3t-2"})
	secrets("s3cr3t-2", "s3cr3t-3")
	rows.advance(consent.Hour)
	secrets("s3cr3t-2")
	change(Credentials{ListrakClientSecret: "s3cr3t-list"})
	require.Len(t, rows.secrets["acme"], 1, "what has ended is erased with the next change")
	for i := range 10 {
		change(Credentials{ShopifyClientSecret: string(rune('a' + i))})
	}
	secrets("j", "i", "h", "g", "f")

	_, err = store.WebhookSecrets(ctx, "nobody")
	require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
	_, err = store.WebhookSecrets(ctx, "../acme")
	require.Error(t, err)
}

func TestATokenHasItsSecretBesideIt(t *testing.T) {
	t.Parallel()
	store := NewStore(newMemory(), newRing(t), Cursors{})
	ctx := t.Context()
	_, err := store.Add(ctx, settingsOf(t, "acme.myshopify.com", 345), tokenCredentials())
	require.NoError(t, err)
	got, err := store.WebhookSecrets(ctx, "acme")
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = store.Update(ctx, "acme", nil, &Credentials{ShopifyClientSecret: "s3cr3t-shop"})
	require.NoError(t, err)
	got, err = store.WebhookSecrets(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, []string{"s3cr3t-shop"}, got)
	c, err := store.Credentials(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, "shpat_s3cr3t", c.ShopifyToken)
	require.Equal(t, "Shopify access token and the secret that signs webhooks, Listrak client id and secret", c.String())

	// Another token of the same app keeps it; an id of an app needs that app's own.
	_, err = store.Update(ctx, "acme", nil, &Credentials{ShopifyToken: "shpat_s3cr3t-2"})
	require.NoError(t, err)
	got, err = store.WebhookSecrets(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, []string{"s3cr3t-shop"}, got)
	_, err = store.Update(ctx, "acme", nil, &Credentials{ShopifyClientID: "s3cr3t-shop-id"})
	require.ErrorContains(t, err, EnvShopifyClientSecret+" is required")
}

func TestWhoeverUninstallsCanStillBeVerifiedAndComesBack(t *testing.T) {
	t.Parallel()
	for _, was := range []ledger.MerchantState{ledger.Running, ledger.Paused, ledger.Broken} {
		t.Run(string(was), func(t *testing.T) {
			t.Parallel()
			rows := newMemory()
			store := NewStore(rows, newRing(t), Cursors{})
			ctx := t.Context()
			_, err := store.Add(ctx, settingsOf(t, "acme.myshopify.com", 345), secretCredentials())
			require.NoError(t, err)
			row := rows.merchants["acme"]
			row.State = was
			rows.merchants["acme"] = row

			for range 2 {
				require.NoError(t, store.Uninstall(ctx, "acme", "the app was uninstalled"))
				m, err := store.Get(ctx, "acme")
				require.NoError(t, err)
				require.Equal(t, ledger.Broken, m.State)
				require.Equal(t, "the app was uninstalled", m.Reason)
				_, err = store.Credentials(ctx, "acme")
				require.ErrorContains(t, err, "there are none")
				rows.advance(100 * 24 * consent.Hour)
				secrets, err := store.WebhookSecrets(ctx, "acme")
				require.NoError(t, err)
				require.Equal(t, []string{"s3cr3t-shop"}, secrets)
			}

			_, err = store.Update(ctx, "acme", nil, &Credentials{ShopifyClientSecret: "s3cr3t-2"})
			require.ErrorContains(t, err, "is required")
			all := secretCredentials()
			all.ShopifyClientSecret = "s3cr3t-2"
			_, err = store.Update(ctx, "acme", nil, &all)
			require.NoError(t, err)
			m, err := store.Get(ctx, "acme")
			require.NoError(t, err)
			require.Empty(t, m.Reason)
			if was == ledger.Paused {
				require.Equal(t, ledger.Paused, m.State)
			} else {
				require.Equal(t, ledger.Running, m.State)
			}
			secrets, err := store.WebhookSecrets(ctx, "acme")
			require.NoError(t, err)
			require.Equal(t, []string{"s3cr3t-2", "s3cr3t-shop"}, secrets)
			rows.advance(consent.Hour)
			secrets, err = store.WebhookSecrets(ctx, "acme")
			require.NoError(t, err)
			require.Equal(t, []string{"s3cr3t-2"}, secrets)
		})
	}
	store := NewStore(newMemory(), newRing(t), Cursors{})
	require.ErrorIs(t, store.Uninstall(t.Context(), "nobody", "x"), ledger.ErrUnknownMerchant)
}
