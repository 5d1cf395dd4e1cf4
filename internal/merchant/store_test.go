package merchant

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
)

func settingsOf(t testing.TB, shop string, list int) Settings {
	t.Helper()
	s, err := New(shop)
	require.NoError(t, err)
	s.EmailList, s.Zone = list, "America/New_York"
	return s
}

func TestStoreKeepsMerchants(t *testing.T) {
	t.Parallel()
	rows := newMemory()
	store := NewStore(rows, newRing(t), Cursors{Email: []string{"listrak/email"}})
	ctx := t.Context()
	added, err := store.Add(ctx, settingsOf(t, "acme.myshopify.com", 345), secretCredentials())
	require.NoError(t, err)
	_, err = store.Add(ctx, settingsOf(t, "beta.myshopify.com", 346), tokenCredentials())
	require.NoError(t, err)

	for _, name := range []string{"acme", "ACME.myshopify.com", "https://admin.shopify.com/store/acme"} {
		got, err := store.Get(ctx, name)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(added, got.Settings))
		require.Equal(t, ledger.Running, got.State)
		require.Equal(t, int64(1), got.CreatedAt.Unix())
	}
	all, err := store.List(ctx)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "beta", all[1].Settings.ID)
	shown, err := json.Marshal(all)
	require.NoError(t, err)
	require.Contains(t, string(shown), `"state":"running"`)
	require.Contains(t, string(shown), `"zone":"America/New_York"`)

	c, err := store.Credentials(ctx, "acme.myshopify.com")
	require.NoError(t, err)
	require.True(t, c == secretCredentials())
	requireNoSecret(t, string(rows.merchants["acme"].Settings))
	for _, sealed := range rows.secrets["acme"] {
		requireNoSecret(t, string(sealed))
	}

	require.NoError(t, store.Remove(ctx, "acme"))
	_, err = store.Get(ctx, "acme")
	require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
	_, err = store.Credentials(ctx, "acme")
	require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
	_, err = store.Add(ctx, settingsOf(t, "gamma.myshopify.com", 345), tokenCredentials())
	require.NoError(t, err, "the list of a removed merchant is free")
}

func TestStoreRefusesWithAdvice(t *testing.T) {
	t.Parallel()
	rows := newMemory()
	store := NewStore(rows, newRing(t), Cursors{})
	ctx := t.Context()
	_, err := store.Add(ctx, settingsOf(t, "acme.myshopify.com", 345), secretCredentials())
	require.NoError(t, err)
	_, err = store.Add(ctx, settingsOf(t, "beta.myshopify.com", 346), secretCredentials())
	require.NoError(t, err)
	before, err := store.List(ctx)
	require.NoError(t, err)

	spelled := settingsOf(t, "gamma.myshopify.com", 345)
	spelled.ListrakURL = "https://API.listrak.com/email/"
	for name, c := range map[string]struct {
		act  func() error
		is   error
		want string
	}{
		"the same shop": {func() error {
			_, err := store.Add(ctx, settingsOf(t, "acme.myshopify.com", 9), secretCredentials())
			return err
		},
			ledger.ErrMerchantExists, "shop acme.myshopify.com is a merchant already: change it with `starter merchant set acme`"},
		"the same list": {func() error {
			_, err := store.Add(ctx, settingsOf(t, "gamma.myshopify.com", 345), secretCredentials())
			return err
		}, ledger.ErrListTaken, "list 345 belongs to merchant acme: a Listrak list can serve one store. Give another one with --list"},
		"the same list, spelled out": {func() error { _, err := store.Add(ctx, spelled, secretCredentials()); return err },
			ledger.ErrListTaken, "list 345 belongs to merchant acme"},
		"changing to a list of another": {func() error {
			_, err := store.Update(ctx, "beta", func(s *Settings) error { s.EmailList = 345; return nil }, nil)
			return err
		}, ledger.ErrListTaken, "list 345 belongs to merchant acme"},
		"changing nobody": {func() error { _, err := store.Update(ctx, "nobody", nil, nil); return err },
			ledger.ErrUnknownMerchant, "no merchant nobody is known: `starter merchant list` shows those that are"},
		"reading nobody":               {func() error { _, err := store.Get(ctx, "nobody"); return err }, ledger.ErrUnknownMerchant, "merchant list"},
		"removing nobody":              {func() error { return store.Remove(ctx, "nobody") }, ledger.ErrUnknownMerchant, "merchant list"},
		"credentials of nobody":        {func() error { _, err := store.Credentials(ctx, "nobody"); return err }, ledger.ErrUnknownMerchant, "merchant list"},
		"a name that cannot be one":    {func() error { _, err := store.Get(ctx, "../acme"); return err }, nil, "must be named by its id"},
		"settings that are incomplete": {func() error { _, err := store.Add(ctx, Settings{}, Credentials{}); return err }, nil, "--zone is required"},
		"credentials that are missing": {func() error { _, err := store.Add(ctx, settingsOf(t, "x.myshopify.com", 1), Credentials{}); return err }, nil,
			EnvListrakClientSecret + " is required"},
		"another shop": {func() error {
			_, err := store.Update(ctx, "beta", func(s *Settings) error { s.Shop = "delta.myshopify.com"; return nil }, nil)
			return err
		}, nil, "--shop cannot change"},
		"a wrong zone": {func() error {
			_, err := store.Update(ctx, "beta", func(s *Settings) error { s.Zone = "Mars/Olympus"; return nil }, nil)
			return err
		}, nil, "--zone must be the name"},
		"a wrong credential": {func() error {
			_, err := store.Update(ctx, "beta", nil, &Credentials{ListrakClientSecret: "a b"})
			return err
		}, nil, EnvListrakClientSecret + " holds a space"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.act()
			require.ErrorContains(t, err, c.want)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			} else {
				var invalid *Invalid
				require.ErrorAs(t, err, &invalid)
			}
			requireNoSecret(t, err.Error())
		})
	}
	after, err := store.List(ctx)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(before, after), "a refused change must change nothing")
}

func TestUpdateChangesOnlyWhatItIsAsked(t *testing.T) {
	t.Parallel()
	rows := newMemory()
	store := NewStore(rows, newRing(t), Cursors{Email: []string{"listrak/email", "listrak/email/full"}})
	ctx := t.Context()
	_, err := store.Add(ctx, settingsOf(t, "acme.myshopify.com", 345), secretCredentials())
	require.NoError(t, err)
	set := func(change func(*Settings)) Settings {
		t.Helper()
		s, err := store.Update(ctx, "acme", func(s *Settings) error { change(s); return nil }, nil)
		require.NoError(t, err)
		return s
	}
	prove := func() { require.True(t, set(func(s *Settings) { s.ZoneProven = true }).ZoneProven) }

	prove()
	require.True(t, set(func(s *Settings) { s.MarketingEvent = 7 }).ZoneProven)
	require.Empty(t, rows.dropped)
	require.False(t, set(func(s *Settings) { s.Zone = "UTC" }).ZoneProven, "another zone is unproven")
	require.Empty(t, rows.dropped)
	prove()
	require.False(t, set(func(s *Settings) { s.EmailList = 400; s.ZoneProven = true }).ZoneProven)
	require.Equal(t, []string{"listrak/email", "listrak/email/full"}, rows.dropped, "the reading of another list starts anew")

	// 50,000 are known: the default is 150.
	rows.raised = nil
	for _, limit := range []int{100, 0, 150, 151, 151, 7, 8, 0} {
		set(func(s *Settings) { s.ResubscribeLimit = limit })
	}
	require.Equal(t, []bool{false, true, false, true, false, false, true, true}, rows.raised, "whoever waits goes on only by a higher limit")

	c, err := store.Credentials(ctx, "acme")
	require.NoError(t, err)
	require.True(t, c == secretCredentials())
	_, err = store.Update(ctx, "acme", nil, &Credentials{ListrakClientSecret: "rotated\n"})
	require.NoError(t, err)
	c, err = store.Credentials(ctx, "acme")
	require.NoError(t, err)
	require.True(t, c == secretCredentials().Merge(Credentials{ListrakClientSecret: "rotated"}))

	refusal := errors.New("not that")
	_, err = store.Update(ctx, "acme", func(*Settings) error { return refusal }, nil)
	require.ErrorIs(t, err, refusal)
}

func TestUpdatesAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	rows := newMemory()
	store := NewStore(rows, newRing(t), Cursors{})
	ctx := t.Context()
	_, err := store.Add(ctx, settingsOf(t, "acme.myshopify.com", 345), secretCredentials())
	require.NoError(t, err)

	// A worker proves the old zone while the operator sets another one: the zone must stay the operator's, and unproven.
	rows.beforeUpdate = func() {
		rows.beforeUpdate = nil
		_, err := store.Update(ctx, "acme", func(s *Settings) error { s.Zone = "Asia/Tokyo"; return nil }, nil)
		require.NoError(t, err)
	}
	proven, err := store.Update(ctx, "acme", func(s *Settings) error {
		s.ZoneProven = s.Zone == "America/New_York"
		return nil
	}, nil)
	require.NoError(t, err)
	require.Equal(t, "Asia/Tokyo", proven.Zone)
	require.False(t, proven.ZoneProven)

	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for range 2 {
				if _, err := store.Update(ctx, "acme", func(s *Settings) error { s.MarketingEvent++; return nil }, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	m, err := store.Get(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, 8, m.Settings.MarketingEvent)

	rows.beforeUpdate = func() {
		rows.mu.Lock()
		defer rows.mu.Unlock()
		row := rows.merchants["acme"]
		row.Generation++
		rows.merchants["acme"] = row
	}
	_, err = store.Update(ctx, "acme", nil, nil)
	require.ErrorContains(t, err, "try again", "somebody who changes it for ever must not hold us for ever")
}

func TestAnotherMasterKey(t *testing.T) {
	t.Parallel()
	rows := newMemory()
	ctx := t.Context()
	first, err := keys.Generate()
	require.NoError(t, err)
	store := NewStore(rows, ringOf(t, rows, first), Cursors{})
	for i, shop := range []string{"acme.myshopify.com", "beta.myshopify.com"} {
		_, err := store.Add(ctx, settingsOf(t, shop, 345+i), secretCredentials())
		require.NoError(t, err)
	}

	second, err := keys.Rotate(first)
	require.NoError(t, err)
	rotated := NewStore(rows, ringOf(t, rows, second), Cursors{})
	count, err := rotated.Reseal(ctx)
	require.NoError(t, err)
	require.Equal(t, 2, count)
	count, err = rotated.Reseal(ctx)
	require.NoError(t, err)
	require.Zero(t, count)

	only, err := keys.Retire(second)
	require.NoError(t, err)
	retired := NewStore(rows, ringOf(t, rows, only), Cursors{})
	c, err := retired.Credentials(ctx, "beta")
	require.NoError(t, err)
	require.True(t, c == secretCredentials())

	// With a key that cannot open the old credentials, complete new ones are the way out.
	lost := NewStore(rows, newRing(t), Cursors{})
	_, err = lost.Credentials(ctx, "acme")
	require.ErrorIs(t, err, keys.ErrWrongKey)
	_, err = lost.Update(ctx, "acme", nil, &Credentials{ListrakClientSecret: "new"})
	require.ErrorIs(t, err, keys.ErrWrongKey)
	require.ErrorContains(t, err, "all credentials anew")
	_, err = lost.Update(ctx, "acme", nil, new(tokenCredentials()))
	require.NoError(t, err)
	c, err = lost.Credentials(ctx, "acme")
	require.NoError(t, err)
	require.True(t, c == tokenCredentials())
	_, err = lost.Reseal(ctx)
	require.ErrorIs(t, err, keys.ErrWrongKey)
	require.ErrorContains(t, err, "merchant beta")
}

func TestAMerchantWithoutCredentialsSaysHowToSetThem(t *testing.T) {
	t.Parallel()
	rows := newMemory()
	store := NewStore(rows, newRing(t), Cursors{})
	_, err := store.Add(t.Context(), settingsOf(t, "acme.myshopify.com", 345), secretCredentials())
	require.NoError(t, err)
	delete(rows.secrets, "acme")
	_, err = store.Credentials(t.Context(), "acme")
	require.ErrorContains(t, err, "starter merchant set acme")
}

func TestThePrivacyIntegrationStaysWhenTheRestIsReplaced(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store := NewStore(newMemory(), newRing(t), Cursors{})
	full := secretCredentials()
	full.ListrakPrivacyClientID, full.ListrakPrivacyClientSecret = "s3cr3t-privacy-id", "s3cr3t-privacy"
	_, err := store.Add(ctx, settingsOf(t, "acme.myshopify.com", 345), full)
	require.NoError(t, err)
	_, err = store.Update(ctx, "acme", nil, new(secretCredentials()))
	require.NoError(t, err)
	c, err := store.Credentials(ctx, "acme")
	require.NoError(t, err)
	require.True(t, c == full, "complete credentials of the other two leave it")
	require.True(t, c.HasPrivacy())
}
