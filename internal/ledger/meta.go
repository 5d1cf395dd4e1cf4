package ledger

import "context"

// MetaOnce stores value under key if the key has none yet, and returns what is stored. Of many callers at the same time exactly one
// value wins and all see it; so the subject key is made once, whatever starts first.
func (l *Ledger) MetaOnce(ctx context.Context, key string, value []byte) ([]byte, error)

// Meta returns what is stored under key, nil when nothing is.
func (l *Ledger) Meta(ctx context.Context, key string) ([]byte, error)

// ReplaceMeta replaces the value under key if it still is old, and reports whether it was. For sealing the subject key with a new
// master key.
func (l *Ledger) ReplaceMeta(ctx context.Context, key string, old, value []byte) (bool, error)
