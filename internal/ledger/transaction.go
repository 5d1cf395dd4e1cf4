package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net"
	"strings"

	"github.com/concordsync/concord/internal/consent"
)

// transaction is one unit of what is written or not.
type transaction struct {
	statements
	ledger *Ledger
	// at is the database's time, read when it is first asked for.
	at consent.Instant
}

// transactionTries bounds how often a transaction is repeated that PostgreSQL ended for a deadlock. Our own transactions lock in one
// order and do not cause one; other clients of the database may.
const transactionTries = 3

// transact runs body in a transaction and commits what it did unless it fails. body may run more than once: it sets its results
// anew each time.
func (l *Ledger) transact(ctx context.Context, doing string, body func(*transaction) error) error {
	return l.retrying(ctx, doing, func() error { return l.attempt(ctx, body) })
}

// once runs a single statement, which is a transaction of its own.
func (l *Ledger) once(ctx context.Context, doing, query string, args ...any) error {
	return l.retrying(ctx, doing, func() error {
		if err := l.present(); err != nil {
			return err
		}
		if _, err := l.writes.ExecContext(ctx, query, args...); err != nil {
			return err
		}
		// Once more, so that nothing is said to be kept in a file that is gone.
		return l.present()
	})
}

func (l *Ledger) retrying(ctx context.Context, doing string, attempt func() error) error {
	for try := 1; ; try++ {
		err := attempt()
		if err == nil {
			return nil
		}
		if again(err) && try < transactionTries && ctx.Err() == nil {
			continue
		}
		return fmt.Errorf("%s: %w", doing, explain(err))
	}
}

func (l *Ledger) attempt(ctx context.Context, body func(*transaction) error) error {
	if err := l.present(); err != nil {
		return err
	}
	run, tx, err := l.begin(ctx)
	if err != nil {
		return err
	}
	// After a commit this does nothing; otherwise body's error is the one that matters.
	defer func() { _ = tx.Rollback() }()
	if err := body(&transaction{statements: run, ledger: l}); err != nil {
		return err
	}
	// As in once.
	if err := l.present(); err != nil {
		return err
	}
	return tx.Commit()
}

// begin begins a transaction: what runs its statements, and what ends it. An end after the end does nothing.
func (l *Ledger) begin(ctx context.Context) (statements, driver.Tx, error) {
	if l.dialect == sqliteDialect {
		return beginSQLite(ctx, l.writes)
	}
	tx, err := l.writes.BeginTx(ctx, nil)
	return tx, tx, err
}

// now is the database's time, the same throughout the transaction.
func (t *transaction) now(ctx context.Context) (consent.Instant, error) {
	if t.at != 0 {
		return t.at, nil
	}
	now, err := t.ledger.now(ctx, t)
	t.at = now
	return now, err
}

// maxRows bounds the rows of one statement: beyond it the text grows and nothing gets faster.
const maxRows = 256

// chunk says how many of the remaining rows go into the next statement: a power of two, so that any number of rows needs only a
// handful of different texts and the drivers' caches of prepared statements hold them all.
func chunk(remaining int) int {
	if remaining >= maxRows {
		return maxRows
	}
	return 1 << (bits.Len(uint(remaining)) - 1)
}

// placeholders writes ($1,$2),($3,$4) for rows of columns, after the parameters that stand before them.
func (d dialect) placeholders(b *strings.Builder, before, rows, columns int) {
	n := before
	for r := range rows {
		if r > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for c := range columns {
			if c > 0 {
				b.WriteByte(',')
			}
			n++
			d.placeholder(b, n)
		}
		b.WriteByte(')')
	}
}

// insert runs "head VALUES (…),(…) tail" for args, columns of them a row, in as many statements as it takes. Of a tail with
// RETURNING, each hands every returned row to scan.
func (t *transaction) insert(ctx context.Context, head string, columns int, args []any, tail string, scan func(*sql.Rows) error) error {
	for len(args) > 0 {
		rows := chunk(len(args) / columns)
		var b strings.Builder
		b.WriteString(head)
		b.WriteString(" VALUES ")
		t.ledger.dialect.placeholders(&b, 0, rows, columns)
		b.WriteByte(' ')
		b.WriteString(tail)
		now := args[:rows*columns]
		args = args[rows*columns:]
		if scan == nil {
			if _, err := t.ExecContext(ctx, b.String(), now...); err != nil {
				return err
			}
			continue
		}
		if err := each(ctx, t, scan, b.String(), now...); err != nil {
			return err
		}
	}
	return nil
}

// in runs a query whose head ends before "IN (…)" for every chunk of list; fixed are the parameters before it, tail what follows.
func in[T []byte | string | int64](ctx context.Context, d dialect, q rowsQuerier, head string, fixed []any, list []T, tail string,
	scan func(*sql.Rows) error) error {
	for len(list) > 0 {
		take := min(len(list), maxRows)
		clause, args := isOneOf(d, fixed, list[:take])
		list = list[take:]
		if err := each(ctx, q, scan, head+clause+tail, args...); err != nil {
			return err
		}
	}
	return nil
}

// statements is what a transaction is used for between its beginning and its end.
type statements interface {
	querier
	rowsQuerier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// rowsQuerier is a database or a transaction.
type rowsQuerier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// each hands every row of a query to scan; a nil scan drops them.
func each(ctx context.Context, q rowsQuerier, scan func(*sql.Rows) error, query string, args ...any) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	for rows.Next() {
		if scan == nil {
			continue
		}
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// subjectOrNull is how an optional subject is stored.
func subjectOrNull(s consent.Subject) []byte {
	if s.IsZero() {
		return nil
	}
	return s[:]
}

// subjectOf reads a stored subject; NULL is zero.
func subjectOf(raw []byte) (s consent.Subject, err error) {
	if len(raw) != 0 && copy(s[:], raw) != len(raw) || len(raw) != 0 && len(raw) != len(s) {
		return s, fmt.Errorf("stored subject has %d bytes", len(raw))
	}
	return s, nil
}

// text makes a string from outside fit for a TEXT column: PostgreSQL takes neither invalid UTF-8 nor NUL, and one such id must not
// stop a whole batch.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// brokenConnection reports whether a connection ended under a query.
func brokenConnection(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}
