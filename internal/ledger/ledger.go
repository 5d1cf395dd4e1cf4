// Package ledger remembers what Concord knows of each subject and owes to each side. It is the product's memory: a cursor, a debt,
// a decision, a claim is a row here, written in the transaction that made it so. It knows no rules: internal/consent decides, the
// ledger keeps.
//
// One set of SQL serves SQLite (embedded, one machine) and PostgreSQL (several workers). Times are microseconds since the Unix
// epoch (consent.Instant); zero is "none" everywhere. Claims, leases and the journal are dated by the database's clock, so that
// machines whose clocks differ agree on who holds what.
//
// No column holds personal data but one: subjects.address, sealed by internal/keys, while a delivery needs it. Errors never
// repeat a parameter or a password.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/concordsync/concord/internal/consent"
)

// Ledger is an open ledger, safe for use by many goroutines. Every method returns an error that wraps ErrLocked, ErrGone or
// ErrUnreachable when the database is not to be had; nothing is half-written then.
type Ledger struct {
	// writes runs transactions, reads runs lone queries. With SQLite they are two pools: a single connection that writes, so that
	// goroutines of this process queue here instead of in SQLite's busy handler, and several that only read.
	writes, reads *sql.DB
	dialect       dialect
	// clock replaces the database's clock in simulations; nil in production.
	clock func() consent.Instant
	// path and file notice that a SQLite file was deleted or replaced under the open process, which SQLite itself does not: it goes
	// on writing to a file that nobody will ever open again.
	path string
	file os.FileInfo
	// known remembers how many people are known of each merchant, for the limit on re-subscriptions.
	known   knownCounts
	records recordCache
}

// Option changes how Open opens.
type Option func(*Ledger)

// WithClock replaces the database's clock. Only for simulations and tests: with several processes their clocks would have to agree.
func WithClock(now func() consent.Instant) Option {
	return func(l *Ledger) { l.clock = now }
}

// Open opens the ledger that dsn names, creates it if it is a SQLite file that does not exist, and brings its schema up to this
// build's version.
//
//	sqlite:PATH             a file on a local disk (WAL; not on a network file system)
//	sqlite::memory:         gone with Close; for simulations
//	postgres://user:password@host:5432/database?sslmode=verify-full
//
// It fails with ErrMalformedDSN, ErrNewerSchema, ErrLocked, ErrGone or ErrUnreachable, each saying what to do; never with the
// password that dsn may hold.
func Open(ctx context.Context, dsn string, options ...Option) (*Ledger, error) {
	l := &Ledger{}
	for _, option := range options {
		option(l)
	}
	if err := l.connect(ctx, dsn); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := l.migrate(ctx); err != nil {
		return nil, fmt.Errorf("open ledger: %w", joinClose(err, l))
	}
	return l, nil
}

// Close waits for running queries and closes every connection.
func (l *Ledger) Close() error {
	err := l.writes.Close()
	if l.reads != l.writes {
		if e := l.reads.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}

// Empty deletes everything in a ledger in memory. For simulations, which need a new one thousands of times: opening, migrating and
// preparing statements each time would take much of theirs.
func (l *Ledger) Empty(ctx context.Context) error {
	if l.dialect != sqliteDialect || l.path != "" {
		return errors.New("empty ledger: only one in memory can be emptied")
	}
	err := l.transact(ctx, "empty ledger", func(t *transaction) error {
		var tables []string
		if err := each(ctx, t, func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&name)
			tables = append(tables, name)
			return err
		}, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('schema_version', 'sqlite_sequence')
			ORDER BY name = 'merchants'`); err != nil { // to which the others refer
			return err
		}
		for _, table := range tables {
			if _, err := t.ExecContext(ctx, "DELETE FROM "+table); err != nil {
				return err
			}
		}
		return nil
	})
	l.known.mu.Lock()
	defer l.known.mu.Unlock()
	clear(l.known.counts)
	return err
}

// Now is the time of the clock that dates claims and leases.
func (l *Ledger) Now(ctx context.Context) (consent.Instant, error) {
	now, err := l.now(ctx, l.reads)
	if err != nil {
		return 0, fmt.Errorf("read the ledger's clock: %w", explain(err))
	}
	return now, nil
}
