package ledger

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// A transaction that fails, or whose context ends before its commit, leaves nothing, and its connection does for the next one.
func TestATransactionThatIsNotCommittedLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{"memory": "sqlite::memory:", "file": "sqlite:" + t.TempDir() + "/ledger.db"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := Open(t.Context(), dsn)
			require.NoError(t, err)
			defer func() { require.NoError(t, l.Close()) }()
			note := func(ctx context.Context, then func() error) error {
				return l.transact(ctx, "note", func(t *transaction) error {
					if _, err := t.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES ($1, $2)", "k", []byte("v")); err != nil {
						return err
					}
					return then()
				})
			}
			broken := errors.New("broken")
			require.ErrorIs(t, note(t.Context(), func() error { return broken }), broken)
			ctx, end := context.WithCancel(t.Context())
			require.ErrorIs(t, note(ctx, func() error { end(); return nil }), context.Canceled)
			require.ErrorIs(t, note(ctx, func() error { return nil }), context.Canceled)
			require.NoError(t, note(t.Context(), func() error { return nil })) // a second row of that name would be refused
			require.Error(t, note(t.Context(), func() error { return nil }))
		})
	}
}

// What a LIMIT is made for SQLite limits as before, each time by its own value.
func TestALimitLimits(t *testing.T) {
	t.Parallel()
	l, err := Open(t.Context(), "sqlite::memory:")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	for _, limit := range []int{1, 3, 2} {
		var rows int
		require.NoError(t, l.reads.QueryRowContext(t.Context(),
			"SELECT count(*) FROM (SELECT value FROM json_each('[1,2,3,4]') LIMIT $1)", limit).Scan(&rows))
		require.Equal(t, limit, rows)
	}
}
