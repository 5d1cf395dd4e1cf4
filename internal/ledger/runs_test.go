package ledger_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
)

const round ledger.RunKind = "round"

func TestARunLeaseFencesItsPredecessor(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		acquire := func(kind ledger.RunKind, holder string) (ledger.RunLease, bool) {
			lease, ok, err := l.AcquireRun(t.Context(), acme, kind, holder, consent.Minute.Duration())
			require.NoError(t, err)
			return lease, ok
		}
		write := func(lease ledger.RunLease, value string) error {
			_, err := l.Save(t.Context(), acme, ledger.Batch{Lease: &lease, Cursors: []ledger.Cursor{{Name: "customers", Value: value}},
				Changes: []ledger.Change{{Channel: consent.Email, Subject: subject(int(lease.Token)*100 + len(value)), Journal: []ledger.Line{{}}}}})
			return err
		}
		cursor := func() string {
			cursors, err := l.Cursors(t.Context(), acme)
			require.NoError(t, err)
			return cursors["customers"]
		}
		require.Empty(t, cursor())
		first, ok := acquire(round, "a")
		require.True(t, ok)
		require.Equal(t, ledger.RunLease{Merchant: acme, Kind: round, Holder: "a", Token: 1, Until: clock.Now().Plus(consent.Minute)}, first)
		_, ok = acquire("backfill", "b")
		require.True(t, ok, "another kind is another lease")
		other, ok := acquire(round, "b")
		require.False(t, ok)
		require.Equal(t, first, other, "the answer tells who holds it")
		require.NoError(t, write(first, "1"))

		again, ok := acquire(round, "a")
		require.True(t, ok, "a retry of the holder need not wait")
		require.EqualValues(t, 2, again.Token)
		require.ErrorIs(t, write(first, "22"), ledger.ErrFenced)
		require.Equal(t, "1", cursor())
		require.Zero(t, load(t, l, subject(102)), "nothing of a fenced batch is written")

		clock.Advance(consent.Minute)
		require.NoError(t, write(again, "333"), "run out, but nobody took over")
		renewed, err := l.RenewRun(t.Context(), again, consent.Hour.Duration())
		require.NoError(t, err)
		require.Equal(t, clock.Now().Plus(consent.Hour), renewed.Until)
		_, ok = acquire(round, "b")
		require.False(t, ok)
		clock.Advance(consent.Hour)
		taken, ok := acquire(round, "b")
		require.True(t, ok)
		require.EqualValues(t, 3, taken.Token)
		_, err = l.RenewRun(t.Context(), renewed, consent.Hour.Duration())
		require.ErrorIs(t, err, ledger.ErrFenced)
		require.NoError(t, l.ReleaseRun(t.Context(), renewed))
		_, ok = acquire(round, "c")
		require.False(t, ok, "a lease that was taken over is not released by its old holder")

		require.NoError(t, l.ReleaseRun(t.Context(), taken))
		require.ErrorIs(t, write(taken, "x"), ledger.ErrFenced, "released is over")
		next, ok := acquire(round, "c")
		require.True(t, ok)
		require.EqualValues(t, 4, next.Token, "tokens only rise")

		_, err = l.Save(t.Context(), acme, ledger.Batch{Cursors: []ledger.Cursor{{Name: "customers", Value: "9"}}})
		require.Error(t, err, "a cursor needs a lease")
		_, err = l.Save(t.Context(), "another", ledger.Batch{Lease: &next})
		require.Error(t, err, "of the same merchant")
	})
}

func TestOfManyRunsExactlyOneGetsTheLease(t *testing.T) {
	forEachReal(t, func(t *testing.T, dsn string) {
		l := open(t, dsn)
		got := make([]bool, 8)
		errs := make([]error, len(got))
		var group sync.WaitGroup
		for i := range got {
			group.Go(func() {
				_, got[i], errs[i] = l.AcquireRun(t.Context(), acme, round, string(rune('a'+i)), consent.Minute.Duration())
			})
		}
		group.Wait()
		won := 0
		for i := range got {
			require.NoError(t, errs[i])
			if got[i] {
				won++
			}
		}
		require.Equal(t, 1, won)
	})
}

func TestRunStatusIsTheLastOne(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		status := ledger.RunStatus{Began: 1, Ended: 2, Scanned: 3, Delivered: [2]int64{4, 5}, ErrorClass: failure.PersonMustAct,
			ErrorCode: "shop_not_permitted", Failures: 6, Lag: 7}
		require.NoError(t, l.SetRunStatus(t.Context(), acme, "backfill", status))
		require.NoError(t, l.SetRunStatus(t.Context(), acme, round, status))
		next := ledger.RunStatus{Began: 10}
		require.NoError(t, l.SetRunStatus(t.Context(), acme, round, next))
		got, err := l.RunStatuses(t.Context(), acme)
		require.NoError(t, err)
		require.Equal(t, map[ledger.RunKind]ledger.RunStatus{"backfill": status, round: next}, got)
	})
}

func TestTheJournalKeepsOrderAndNoAddress(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		line := ledger.Line{Side: consent.Listrak, Kind: ledger.Delivered, Reason: "why", State: consent.Subscribed, Date: 5,
			Point: consent.Checkout, Code: "CODE", Sync: consent.EmailToListrak, Ref: "key", Count: 6}
		lines := func(kinds ...ledger.Kind) (list []ledger.Line) {
			for _, kind := range kinds {
				list = append(list, ledger.Line{Kind: kind})
			}
			return list
		}
		change := ledger.Change{Channel: consent.Email, Subject: subject(1), Journal: lines(ledger.Seen, ledger.Decided)}
		save(t, l, change)
		change.Version, change.Journal = 1, append(lines(ledger.Claimed), line)
		save(t, l, change)
		clock.Advance(1)
		require.NoError(t, l.Append(t.Context(), acme, ledger.Line{Kind: ledger.Shown, Side: ledger.NoSide, Code: "no such user: ann@example.com"},
			ledger.Line{Kind: ledger.Failed, Channel: consent.Email, Subject: subject(1), Ref: "ann@example.com"}))
		require.NoError(t, l.Append(t.Context(), acme))

		got, err := l.Journal(t.Context(), acme, consent.Email, subject(1))
		require.NoError(t, err)
		var kinds []ledger.Kind
		for _, g := range got {
			kinds = append(kinds, g.Kind)
		}
		require.Equal(t, []ledger.Kind{ledger.Seen, ledger.Decided, ledger.Claimed, ledger.Delivered, ledger.Failed}, kinds)
		line.At, line.Channel, line.Subject = clock.Now()-1, consent.Email, subject(1)
		require.Equal(t, line, got[3])
		require.Equal(t, "(withheld)", got[4].Ref)
		merchants, err := l.Journal(t.Context(), acme, 0, consent.Subject{})
		require.NoError(t, err)
		require.Equal(t, []ledger.Line{{At: clock.Now(), Kind: ledger.Shown, Side: ledger.NoSide, Code: "(withheld)"}}, merchants)
	})
}
