package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
)

// RunKind is a kind of run of which each merchant has one at a time. The values are stored.
type RunKind string

// RunLease is the right to be the one run of a kind. It guards cursors: a process that lost its lease cannot move one.
type RunLease struct {
	Merchant string
	Kind     RunKind
	Holder   string
	// Token rises with every acquisition of (Merchant, Kind), for ever.
	Token int64
	// Until is by the database's clock.
	Until consent.Instant
}

// Cursor is where a reading stands; Value is opaque and holds no personal data.
type Cursor struct{ Name, Value string }

// AcquireRun takes the lease if it is free, has run out, or is held by the same holder (a run that is tried again in the same process
// need not wait; the new token fences the old run). ok is false while another holds it; the lease then tells who and until when.
func (l *Ledger) AcquireRun(ctx context.Context, merchant string, kind RunKind, holder string, ttl time.Duration,
) (lease RunLease, ok bool, err error) {
	err = l.transact(ctx, "acquire run lease", func(t *transaction) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		ok, lease = false, RunLease{Merchant: merchant, Kind: kind, Holder: holder, Until: now.Plus(consent.SpanOf(ttl))}
		err = each(ctx, t, func(rows *sql.Rows) error {
			ok = true
			return rows.Scan(&lease.Token)
		}, `INSERT INTO runs (merchant, kind, token, holder, until) VALUES ($1, $2, 1, $3, $4)
			ON CONFLICT (merchant, kind) DO UPDATE SET token = runs.token + 1, holder = excluded.holder, until = excluded.until
			WHERE runs.until <= $5 OR runs.holder = excluded.holder RETURNING token`,
			merchant, string(kind), holder, int64(lease.Until), int64(now))
		if err != nil || ok {
			return err
		}
		return t.QueryRowContext(ctx, "SELECT holder, token, until FROM runs WHERE merchant = $1 AND kind = $2", merchant, string(kind)).
			Scan(&lease.Holder, &lease.Token, &lease.Until)
	})
	if err != nil {
		return RunLease{}, false, err
	}
	return lease, ok, nil
}

// RenewRun extends a lease that nobody has taken over, even one that has run out; else ErrFenced.
func (l *Ledger) RenewRun(ctx context.Context, lease RunLease, ttl time.Duration) (RunLease, error) {
	err := l.transact(ctx, "renew run lease", func(t *transaction) error {
		if err := t.fence(ctx, lease); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		lease.Until = now.Plus(consent.SpanOf(ttl))
		_, err = t.ExecContext(ctx, "UPDATE runs SET until = $1 WHERE merchant = $2 AND kind = $3",
			int64(lease.Until), lease.Merchant, string(lease.Kind))
		return err
	})
	return lease, err
}

// ReleaseRun frees a lease; one that was taken over is left alone.
func (l *Ledger) ReleaseRun(ctx context.Context, lease RunLease) error {
	// The row stays: its token must go on rising.
	return l.once(ctx, "release run lease", "UPDATE runs SET until = 0, holder = '' WHERE merchant = $1 AND kind = $2 AND token = $3 AND holder = $4",
		lease.Merchant, string(lease.Kind), lease.Token, lease.Holder)
}

// Cursors returns the values of all cursors that were ever set, by name. They are written by Save.
func (l *Ledger) Cursors(ctx context.Context, merchant string) (map[string]string, error) {
	cursors := map[string]string{}
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var name, value string
		err := rows.Scan(&name, &value)
		cursors[name] = value
		return err
	}, "SELECT name, value FROM cursors WHERE merchant = $1", merchant)
	if err != nil {
		return nil, fmt.Errorf("read cursors: %w", explain(err))
	}
	return cursors, nil
}

// RunStatus is how the last run of a kind went.
type RunStatus struct {
	// Began and Ended of the last run; Ended zero or before Began while one is under way.
	Began, Ended consent.Instant
	// Scanned counts the changes that were looked at; Delivered the writes, by side.
	Scanned   int64
	Delivered [2]int64
	// ErrorClass is zero and ErrorCode empty after a run without error. Failures counts the runs in a row that failed.
	ErrorClass failure.Class
	ErrorCode  string
	Failures   int
	// Lag is how far behind the sides the run was at its end.
	Lag consent.Span
}

// SetRunStatus replaces the status of (merchant, kind).
func (l *Ledger) SetRunStatus(ctx context.Context, merchant string, kind RunKind, status RunStatus) error {
	return l.once(ctx, "store run status", `INSERT INTO run_status
		(merchant, kind, began, ended, scanned, delivered_shopify, delivered_listrak, error_class, error_code, failures, lag)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (merchant, kind) DO UPDATE SET began = excluded.began, ended = excluded.ended, scanned = excluded.scanned,
		delivered_shopify = excluded.delivered_shopify, delivered_listrak = excluded.delivered_listrak,
		error_class = excluded.error_class, error_code = excluded.error_code, failures = excluded.failures, lag = excluded.lag`,
		merchant, string(kind), int64(status.Began), int64(status.Ended), status.Scanned,
		status.Delivered[consent.Shopify], status.Delivered[consent.Listrak],
		int64(status.ErrorClass), withoutAddress(status.ErrorCode), status.Failures, int64(status.Lag))
}

// RunStatuses returns the last status of every kind that ever ran.
func (l *Ledger) RunStatuses(ctx context.Context, merchant string) (map[RunKind]RunStatus, error) {
	statuses := map[RunKind]RunStatus{}
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var kind RunKind
		var s RunStatus
		err := rows.Scan(&kind, &s.Began, &s.Ended, &s.Scanned, &s.Delivered[consent.Shopify], &s.Delivered[consent.Listrak],
			&s.ErrorClass, &s.ErrorCode, &s.Failures, &s.Lag)
		statuses[kind] = s
		return err
	}, `SELECT kind, began, ended, scanned, delivered_shopify, delivered_listrak, error_class, error_code, failures, lag
		FROM run_status WHERE merchant = $1`, merchant)
	if err != nil {
		return nil, fmt.Errorf("read run status: %w", explain(err))
	}
	return statuses, nil
}

// fence fails unless lease is still the newest of its run, and keeps it so until the transaction ends. A lease that has run out but
// was not taken over still counts: whoever wants it has to wait for this row.
func (t *transaction) fence(ctx context.Context, lease RunLease) error {
	var token int64
	var holder string
	if err := each(ctx, t, func(rows *sql.Rows) error { return rows.Scan(&token, &holder) },
		"SELECT token, holder FROM runs WHERE merchant = $1 AND kind = $2"+t.ledger.dialect.forWrite(),
		lease.Merchant, string(lease.Kind)); err != nil {
		return err
	}
	if token != lease.Token || holder != lease.Holder {
		return ErrFenced
	}
	return nil
}

func (t *transaction) saveCursors(ctx context.Context, merchant string, cursors []Cursor) error {
	sorted := slices.Clone(cursors)
	slices.SortStableFunc(sorted, func(a, b Cursor) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range sorted {
		if _, err := t.ExecContext(ctx, `INSERT INTO cursors (merchant, name, value) VALUES ($1, $2, $3)
			ON CONFLICT (merchant, name) DO UPDATE SET value = excluded.value`, merchant, c.Name, text(c.Value)); err != nil {
			return err
		}
	}
	return nil
}
