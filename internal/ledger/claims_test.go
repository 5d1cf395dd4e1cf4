package ledger_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

const lease = 30 * consent.Second

// plenty is a limit that stops nobody.
var plenty = ledger.ResubscribeLimit{Fixed: 1_000_000}

func claimOf(n int, version int64, side consent.Side) ledger.ClaimRequest {
	return ledger.ClaimRequest{
		Change: ledger.Change{Channel: consent.Email, Subject: subject(n), Version: version, Record: decided(consent.Subscribed, 5),
			Journal: []ledger.Line{{Kind: ledger.Claimed, Side: side, Reason: ledger.Resubscribed}}},
		Side: side, Sync: consent.SyncTo(consent.Email, side), Lease: lease.Duration()}
}

func TestAClaimIsGrantedOnceUntilItIsReleasedOrRunsOut(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak, consent.EmailToShopify)
		save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(1)})
		first, err := l.Claim(t.Context(), acme, plenty, claimOf(1, 1, consent.Listrak))
		require.NoError(t, err)
		require.Equal(t, ledger.Claim{Token: first.Token, At: clock.Now(), Until: clock.Now().Plus(lease), Version: 2}, first)
		entry := load(t, l, subject(1))
		require.Equal(t, decided(consent.Subscribed, 5), entry.Record, "the attempt is on record before the call")
		require.EqualValues(t, 2, entry.Version)

		_, err = l.Claim(t.Context(), acme, plenty, claimOf(1, 2, consent.Listrak))
		require.ErrorIs(t, err, ledger.ErrClaimed)
		_, err = l.Claim(t.Context(), acme, plenty, claimOf(1, 1, consent.Listrak))
		require.ErrorIs(t, err, ledger.ErrConflict)
		_, err = l.Claim(t.Context(), acme, plenty, claimOf(2, 0, consent.Listrak))
		require.ErrorIs(t, err, ledger.ErrConflict, "nobody is owed anything without a record")
		other, err := l.Claim(t.Context(), acme, plenty, claimOf(1, 2, consent.Shopify))
		require.NoError(t, err, "the other side is another claim")

		clock.Advance(lease - 1)
		_, err = l.Claim(t.Context(), acme, plenty, claimOf(1, 3, consent.Listrak))
		require.ErrorIs(t, err, ledger.ErrClaimed)
		clock.Advance(1)
		second, err := l.Claim(t.Context(), acme, plenty, claimOf(1, 3, consent.Listrak))
		require.NoError(t, err, "it has run out")

		// The first holder wakes up and releases what is no longer its own.
		conflicts, err := l.Save(t.Context(), acme, ledger.Batch{Changes: []ledger.Change{
			{Channel: consent.Email, Subject: subject(1), Version: 2, Release: first.Token}}})
		require.NoError(t, err)
		require.Len(t, conflicts, 1)
		_, err = l.Claim(t.Context(), acme, plenty, claimOf(1, 4, consent.Listrak))
		require.ErrorIs(t, err, ledger.ErrClaimed, "a late release frees nobody else's claim")

		// A lost race releases too.
		conflicts, err = l.Save(t.Context(), acme, ledger.Batch{Changes: []ledger.Change{
			{Channel: consent.Email, Subject: subject(1), Version: 3, Release: second.Token}}})
		require.NoError(t, err)
		require.Len(t, conflicts, 1)
		_, err = l.Claim(t.Context(), acme, plenty, claimOf(1, 4, consent.Listrak))
		require.NoError(t, err)
		require.NotEqual(t, other.Token, second.Token)

		brake, err := l.Brake(t.Context(), acme, plenty, []consent.Subject{subject(1), subject(2)})
		require.NoError(t, err)
		require.EqualValues(t, 1, brake.Resubscribed, "one person, however often claimed")
		require.Equal(t, map[consent.Subject]bool{subject(1): true}, brake.Passing)
		clock.Advance(24*consent.Hour + 1)
		brake, err = l.Brake(t.Context(), acme, plenty, nil)
		require.NoError(t, err)
		require.Zero(t, brake.Resubscribed)
	})
}

func TestABatchOfClaimsAnswersEachByItself(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		for n := range 4 {
			save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(n)})
		}
		_, err := l.Claim(t.Context(), acme, plenty, claimOf(1, 1, consent.Listrak))
		require.NoError(t, err)
		results, err := l.Claims(t.Context(), acme, plenty, []ledger.ClaimRequest{
			claimOf(0, 1, consent.Listrak), claimOf(1, 2, consent.Listrak), claimOf(2, 7, consent.Listrak),
			claimOf(3, 1, consent.Shopify), claimOf(0, 1, consent.Listrak), claimOf(9, 1, consent.Listrak)})
		require.NoError(t, err)
		want := []error{nil, ledger.ErrClaimed, ledger.ErrConflict, ledger.ErrNotPermitted, ledger.ErrConflict, ledger.ErrConflict}
		for i, result := range results {
			require.Equal(t, want[i], result.Err, "request %d", i)
			require.Equal(t, want[i] == nil, result.Claim.Token != 0)
		}
		lines, err := l.Journal(t.Context(), acme, consent.Email, subject(2))
		require.NoError(t, err)
		require.Empty(t, lines)
		_, err = l.Claims(t.Context(), "nobody", plenty, []ledger.ClaimRequest{claimOf(0, 1, consent.Listrak)})
		require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
		bad := claimOf(0, 2, consent.Listrak)
		bad.Lease = 0
		_, err = l.Claim(t.Context(), acme, plenty, bad)
		require.Error(t, err)
		results, err = l.Claims(t.Context(), acme, plenty, nil)
		require.NoError(t, err)
		require.Empty(t, results)
	})
}

func TestOfManyClaimersExactlyOneWins(t *testing.T) {
	forEachReal(t, func(t *testing.T, dsn string) {
		l := open(t, dsn)
		addMerchant(t, l, consent.EmailToListrak)
		for n := range 20 {
			save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(n)})
			errs := make([]error, 6)
			var group sync.WaitGroup
			for i := range errs {
				group.Go(func() { _, errs[i] = l.Claim(t.Context(), acme, plenty, claimOf(n, 1, consent.Listrak)) })
			}
			group.Wait()
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
				} else if !errors.Is(err, ledger.ErrConflict) && !errors.Is(err, ledger.ErrClaimed) {
					t.Error(err)
				}
			}
			require.Equal(t, 1, won)
		}
	})
}

// TestNoClaimAfterOffWasAnswered is the promise behind "off": every claim either came before it and is counted, or fails.
func TestNoClaimAfterOffWasAnswered(t *testing.T) {
	forEachReal(t, func(t *testing.T, dsn string) {
		l := open(t, dsn)
		addMerchant(t, l, consent.EmailToListrak)
		const subjects = 200
		var changes []ledger.Change
		for n := range subjects {
			changes = append(changes, ledger.Change{Channel: consent.Email, Subject: subject(n)})
		}
		save(t, l, changes...)
		var mutex sync.Mutex
		granted := 0
		started := make(chan struct{}, subjects)
		var group sync.WaitGroup
		for w := range 4 {
			group.Go(func() {
				for n := w; n < subjects; n += 4 {
					_, err := l.Claim(t.Context(), acme, plenty, claimOf(n, 1, consent.Listrak))
					started <- struct{}{}
					switch {
					case err == nil:
						mutex.Lock()
						granted++
						mutex.Unlock()
					case !errors.Is(err, ledger.ErrNotPermitted):
						t.Error(err)
					}
				}
			})
		}
		for range 10 {
			<-started
		}
		_, err := l.SetSyncs(t.Context(), acme, ledger.SyncChange{On: map[consent.Sync]bool{consent.EmailToListrak: false}})
		require.NoError(t, err)
		live, latest, err := l.LiveClaims(t.Context(), acme, consent.EmailToListrak)
		require.NoError(t, err)
		group.Wait()
		require.Equal(t, granted, live, "every granted claim was there when off was answered")
		now, err := l.Now(t.Context())
		require.NoError(t, err)
		require.Greater(t, latest, now)
		require.InDelta(t, float64(time.Now().UnixMicro()), float64(now), float64(consent.Minute), "the database's clock is in microseconds")
	})
}
