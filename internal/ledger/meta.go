package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// MetaOnce stores value under key if the key has none yet, and returns what is stored. Of many callers at the same time exactly one
// value wins and all see it; so the subject key is made once, whatever starts first.
func (l *Ledger) MetaOnce(ctx context.Context, key string, value []byte) ([]byte, error) {
	var stored []byte
	err := l.transact(ctx, "store "+key, func(t *transaction) error {
		if _, err := t.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
			key, notNull(value)); err != nil {
			return err
		}
		return t.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = $1", key).Scan(&stored)
	})
	return stored, err
}

// Meta returns what is stored under key, nil when nothing is.
func (l *Ledger) Meta(ctx context.Context, key string) ([]byte, error) {
	var stored []byte
	err := l.reads.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = $1", key).Scan(&stored)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, explain(err))
	}
	return stored, nil
}

// notNull keeps an empty value apart from none.
func notNull(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}
