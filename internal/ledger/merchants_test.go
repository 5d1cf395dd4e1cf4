package ledger_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

func TestMetaIsSetOnceWhoeverComesFirst(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		stored, err := l.Meta(t.Context(), "subject key")
		require.NoError(t, err)
		require.Nil(t, stored)
		seen := make([][]byte, 8)
		errs := make([]error, len(seen))
		var group sync.WaitGroup
		for i := range seen {
			group.Go(func() { seen[i], errs[i] = l.MetaOnce(t.Context(), "subject key", []byte{byte(i)}) })
		}
		group.Wait()
		for i := range seen {
			require.NoError(t, errs[i])
			require.Equal(t, seen[0], seen[i])
		}
		stored, err = l.Meta(t.Context(), "subject key")
		require.NoError(t, err)
		require.Equal(t, seen[0], stored)
	})
}

func TestAMerchantIsAddedReadAndChanged(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		require.NoError(t, l.AddMerchant(t.Context(), merchant("acme", 7), ledger.Secrets{"shopify": []byte("s1"), "listrak": []byte("l1")}))
		want := merchant("acme", 7)
		want.State, want.Generation, want.CreatedAt = ledger.Running, 1, clock.Now()
		got, err := l.Merchant(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, want, got)

		lease, ok, err := l.AcquireRun(t.Context(), acme, "round", "me", consent.Minute.Duration())
		require.NoError(t, err)
		require.True(t, ok)
		_, err = l.Save(t.Context(), acme, ledger.Batch{Lease: &lease, Cursors: []ledger.Cursor{{"listrak", "9"}, {"shopify", "3"}}})
		require.NoError(t, err)

		want.EmailList = 8
		require.NoError(t, l.UpdateMerchant(t.Context(), want, ledger.MerchantUpdate{DropCursors: []string{"listrak"}}))
		require.ErrorIs(t, l.UpdateMerchant(t.Context(), want, ledger.MerchantUpdate{}), ledger.ErrConflict, "of two updates of one reading only the first counts")
		want.Generation = 2
		got, err = l.Merchant(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, want, got)
		secrets, err := l.Secrets(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, ledger.Secrets{"shopify": []byte("s1"), "listrak": []byte("l1")}, secrets, "nil keeps the secrets")
		cursors, err := l.Cursors(t.Context(), acme)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"shopify": "3"}, cursors)
		require.NoError(t, l.UpdateMerchant(t.Context(), want, ledger.MerchantUpdate{Secrets: ledger.Secrets{"shopify": []byte("s2")}}))
		secrets, err = l.Secrets(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, ledger.Secrets{"shopify": []byte("s2")}, secrets)
	})
}

func TestAShopAndAListBelongToOneMerchant(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		require.NoError(t, l.AddMerchant(t.Context(), merchant("acme", 1), nil))
		sameShop, sameList := merchant("b", 2), merchant("b", 1)
		sameShop.Shop = merchant("acme", 1).Shop
		require.ErrorIs(t, l.AddMerchant(t.Context(), merchant("acme", 3), nil), ledger.ErrMerchantExists)
		require.ErrorIs(t, l.AddMerchant(t.Context(), sameShop, nil), ledger.ErrShopTaken)
		require.ErrorIs(t, l.AddMerchant(t.Context(), sameList, ledger.Secrets{"x": nil}), ledger.ErrListTaken)
		secrets, err := l.Secrets(t.Context(), "b")
		require.NoError(t, err)
		require.Empty(t, secrets, "nothing half-written")
		otherServer := sameList
		otherServer.ListrakURL = "http://127.0.0.1:1"
		require.NoError(t, l.AddMerchant(t.Context(), otherServer, nil), "the same number on another server is another list")
		require.ErrorIs(t, l.UpdateMerchant(t.Context(), sameList, ledger.MerchantUpdate{}), ledger.ErrListTaken)
		require.ErrorIs(t, l.UpdateMerchant(t.Context(), sameShop, ledger.MerchantUpdate{}), ledger.ErrShopTaken)
		require.ErrorIs(t, l.UpdateMerchant(t.Context(), merchant("nobody", 9), ledger.MerchantUpdate{}), ledger.ErrUnknownMerchant)

		all, err := l.Merchants(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 2)
	})
}

func TestOfManyWhoWantAShopExactlyOneGetsIt(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		errs := make([]error, 8)
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() {
				m := merchant(string(rune('a'+i)), i+1)
				m.Shop = "one.myshopify.com"
				errs[i] = l.AddMerchant(context.Background(), m, nil)
			})
		}
		group.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			require.ErrorIs(t, err, ledger.ErrShopTaken)
		}
		require.Equal(t, 1, won)
	})
}

func TestARemovedMerchantFreesItsListAndComesBackWithWhatWasKnown(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		require.NoError(t, l.PutSecrets(t.Context(), acme, ledger.Secrets{"shopify": []byte("s")}))
		save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(1), Record: decided(consent.Unsubscribed, 1),
			Address: ledger.StoreAddress([]byte("sealed"))})
		lease, ok, err := l.AcquireRun(t.Context(), acme, "round", "me", consent.Minute.Duration())
		require.NoError(t, err)
		require.True(t, ok)
		_, err = l.Save(t.Context(), acme, ledger.Batch{Lease: &lease, Cursors: []ledger.Cursor{{"listrak", "9"}}})
		require.NoError(t, err)
		clock.Advance(consent.Hour)
		require.NoError(t, l.RemoveMerchant(t.Context(), acme))

		cursors, err := l.Cursors(t.Context(), acme)
		require.NoError(t, err)
		require.Empty(t, cursors["listrak"], "the old list's cursor would skip what the new list has")
		require.Empty(t, load(t, l, subject(1)).SealedAddress, "an address that nobody needs is kept")
		_, err = l.Merchant(t.Context(), acme)
		require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
		require.ErrorIs(t, l.RemoveMerchant(t.Context(), acme), ledger.ErrUnknownMerchant)
		require.ErrorIs(t, l.PutSecrets(t.Context(), acme, nil), ledger.ErrUnknownMerchant)
		_, err = l.SetSyncs(t.Context(), acme, ledger.SyncChange{On: map[consent.Sync]bool{consent.EmailToListrak: true}})
		require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
		s, err := l.Switches(t.Context(), acme)
		require.NoError(t, err)
		require.Equal(t, ledger.Removed, s.State)
		require.False(t, s.Syncs[consent.EmailToListrak].On)
		require.Equal(t, clock.Now(), s.Syncs[consent.EmailToListrak].Intervals[0].Ended)
		secrets, err := l.Secrets(t.Context(), acme)
		require.NoError(t, err)
		require.Empty(t, secrets)

		require.NoError(t, l.AddMerchant(t.Context(), merchant("heir", 1), nil), "the list is free")
		back := merchant(acme, 1)
		require.ErrorIs(t, l.AddMerchant(t.Context(), back, nil), ledger.ErrListTaken)
		back.EmailList = 2
		otherShop := back
		otherShop.Shop = "other.myshopify.com"
		require.ErrorIs(t, l.AddMerchant(t.Context(), otherShop, nil), ledger.ErrMerchantExists)
		require.NoError(t, l.AddMerchant(t.Context(), back, nil))
		require.Equal(t, consent.Unsubscribed, load(t, l, subject(1)).Record.Decision.State, "an opt-out is never lost")
		m, err := l.Merchant(t.Context(), acme)
		require.NoError(t, err)
		require.Equal(t, s.Generation+1, m.Generation)
	})
}

func TestSwitchesKeepTheirIntervals(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		const to = consent.EmailToListrak
		addMerchant(t, l)
		set := func(on bool) ledger.Switches {
			s, err := l.SetSyncs(t.Context(), acme, ledger.SyncChange{On: map[consent.Sync]bool{to: on}})
			require.NoError(t, err)
			return s
		}
		before, err := l.Switches(t.Context(), acme)
		require.NoError(t, err)
		require.Equal(t, before, set(false), "off is what it was")

		began := clock.Now()
		s := set(true)
		require.Equal(t, before.Generation+1, s.Generation)
		require.True(t, s.May(to))
		require.False(t, s.May(consent.EmailToShopify))
		clock.Advance(consent.Minute)
		require.Equal(t, s, set(true), "a signal that comes twice changes nothing")
		ended := clock.Advance(consent.Minute)
		s = set(false)
		require.False(t, s.May(to))
		require.Equal(t, []consent.Interval{{Began: began, Ended: ended}}, s.Syncs[to].Intervals)
		require.True(t, s.Syncs[to].Intervals[0].Contains(began))
		require.False(t, s.Syncs[to].Intervals[0].Contains(ended))

		set(true)
		s = set(false)
		require.Len(t, s.Syncs[to].Intervals, 1, "an interval of no length is none")
		clock.Advance(-consent.Hour)
		s = set(true)
		require.Equal(t, []consent.Interval{{Began: began, Ended: ended}, {Began: ended}}, s.Syncs[to].Intervals,
			"a clock that went back must not make intervals overlap")
		require.Equal(t, began, s.Syncs[to].FirstOn)

		s, err = l.SetSyncs(t.Context(), acme, ledger.SyncChange{ExistingOptOuts: map[consent.Sync]ledger.OptOuts{to: ledger.OptOutsDeliver}})
		require.NoError(t, err)
		require.Equal(t, ledger.OptOutsDeliver, s.Syncs[to].ExistingOptOuts)
		require.True(t, s.Syncs[to].On)
		again, err := l.Switches(t.Context(), acme)
		require.NoError(t, err)
		require.Equal(t, s, again)

		lines, err := l.Journal(t.Context(), acme, 0, consent.Subject{})
		require.NoError(t, err)
		switched := 0
		for _, line := range lines {
			if line.Kind == ledger.Switched {
				switched++
				require.Equal(t, to, line.Sync)
			}
		}
		require.Equal(t, 6, switched)
		_, err = l.Switches(t.Context(), "nobody")
		require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
	})
}

func TestStatesOfAMerchant(t *testing.T) {
	type act func(*ledger.Ledger, context.Context) (ledger.Switches, error)
	pause := func(l *ledger.Ledger, ctx context.Context) (ledger.Switches, error) { return l.Pause(ctx, acme) }
	resume := func(l *ledger.Ledger, ctx context.Context) (ledger.Switches, error) { return l.Resume(ctx, acme) }
	stop := func(l *ledger.Ledger, ctx context.Context) (ledger.Switches, error) {
		return l.Break(ctx, acme, "token")
	}
	heal := func(l *ledger.Ledger, ctx context.Context) (ledger.Switches, error) { return l.Heal(ctx, acme) }
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		generation := func() int64 {
			s, err := l.Switches(t.Context(), acme)
			require.NoError(t, err)
			return s.Generation
		}
		for _, step := range []struct {
			sentence string
			act      act
			want     ledger.MerchantState
			changes  bool
		}{
			{"a running merchant has nothing to heal", heal, ledger.Running, false},
			{"nor to resume", resume, ledger.Running, false},
			{"a broken credential stops it", stop, ledger.Broken, true},
			{"the same again is no change", stop, ledger.Broken, false},
			{"a check that succeeds heals it", heal, ledger.Running, true},
			{"an operator pauses it", pause, ledger.Paused, true},
			{"pausing twice is no change", pause, ledger.Paused, false},
			{"what breaks while paused stays paused", stop, ledger.Paused, false},
			{"and is not resumed by a check", heal, ledger.Paused, false},
			{"only by an operator", resume, ledger.Running, true},
			{"who can also resume a broken one", stop, ledger.Broken, true},
			{"having mended it", resume, ledger.Running, true},
		} {
			before := generation()
			s, err := step.act(l, t.Context())
			require.NoError(t, err, step.sentence)
			require.Equal(t, step.want, s.State, step.sentence)
			require.Equal(t, step.changes, s.Generation == before+1, step.sentence)
			require.Equal(t, step.want == ledger.Broken, s.Reason == "token", step.sentence)
			require.Zero(t, s.Syncs[consent.EmailToListrak].Intervals[0].Ended, "no state ends an interval")
			require.Equal(t, step.want == ledger.Running, s.May(consent.EmailToListrak), step.sentence)
		}
		_, err := l.Pause(t.Context(), "nobody")
		require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
	})
}
