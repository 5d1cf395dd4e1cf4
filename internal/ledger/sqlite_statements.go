package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"modernc.org/sqlite"
)

// SQLite spends more time on reading a statement than on running it, and database/sql throws each away that was not prepared by
// hand. So every connection keeps what it has prepared, by its text. pgx does the same for PostgreSQL by itself.

// maxStatements bounds what a connection keeps; beyond it, statements are prepared each time. The texts of this package are far fewer
// (see chunk).
const maxStatements = 512

// openSQLite is sql.Open with connections that keep their statements.
func openSQLite(name string) *sql.DB { return sql.OpenDB(sqliteConnector(name)) }

type sqliteConnector string

var sqliteDriver sqlite.Driver

// Connect implements driver.Connector.
func (c sqliteConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := sqliteDriver.Open(string(c))
	if err != nil {
		return nil, err
	}
	return &sqliteConn{modernConn: conn.(modernConn), kept: map[string]*keptStatement{}}, nil
}

// Driver implements driver.Connector.
func (sqliteConnector) Driver() driver.Driver { return &sqliteDriver }

// modernConn is all that database/sql asks of a connection and modernc's has.
type modernConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// sqliteConn is a connection with its statements. database/sql lets one goroutine use it at a time.
type sqliteConn struct {
	modernConn
	kept map[string]*keptStatement
}

// BeginTx implements driver.ConnBeginTx. Every transaction writes, so it takes the lock for that at once: one that began by reading could
// neither wait for another writer nor go on beside it.
func (c *sqliteConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if options != (driver.TxOptions{}) {
		return nil, errors.New("SQLite has one kind of transaction")
	}
	tx := sqliteTx{c}
	if err := c.run(ctx, "BEGIN IMMEDIATE"); err != nil {
		// A context that ends just then is reported by a statement that has run.
		_ = tx.Rollback()
		return nil, err
	}
	return tx, nil
}

// run runs a statement without parameters that is kept.
func (c *sqliteConn) run(ctx context.Context, text string) error {
	s, err := c.statement(ctx, text)
	if err != nil {
		return err
	}
	if s == nil {
		_, err = c.modernConn.ExecContext(ctx, text, nil)
	} else {
		_, err = s.ExecContext(ctx, nil)
	}
	return err
}

type sqliteTx struct{ conn *sqliteConn }

// Commit implements driver.Tx. Whatever fails, database/sql takes the transaction to be over afterwards.
func (t sqliteTx) Commit() error {
	err := t.conn.run(context.Background(), "COMMIT")
	if err != nil {
		// Its own error, that there is no transaction any more, would add nothing.
		_ = t.Rollback()
	}
	return err
}

// Rollback implements driver.Tx.
func (t sqliteTx) Rollback() error { return t.conn.run(context.Background(), "ROLLBACK") }

// lentTx is a transaction on a connection that is lent for it. database/sql has a goroutine wait beside each of its own transactions, and
// one beside each of their queries, for a context that mostly never ends; they cost more than a short statement. Here a context that ends
// is found by the next statement, or before the commit.
type lentTx struct {
	driver.Tx
	ctx  context.Context
	conn *sql.Conn
}

// beginSQLite begins a transaction on a connection of db.
func beginSQLite(ctx context.Context, db *sql.DB) (statements, driver.Tx, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	t := &lentTx{ctx: ctx, conn: conn}
	if err := conn.Raw(func(c any) (err error) {
		t.Tx, err = c.(*sqliteConn).BeginTx(ctx, driver.TxOptions{})
		return err
	}); err != nil {
		// Nothing was begun, so that the connection is as good as before.
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, t, nil
}

// Commit implements driver.Tx.
func (t *lentTx) Commit() error {
	if err := t.ctx.Err(); err != nil {
		return errors.Join(err, t.Rollback())
	}
	return t.end(driver.Tx.Commit)
}

// Rollback implements driver.Tx.
func (t *lentTx) Rollback() error { return t.end(driver.Tx.Rollback) }

func (t *lentTx) end(how func(driver.Tx) error) error {
	if t.Tx == nil {
		return sql.ErrTxDone
	}
	tx := t.Tx
	t.Tx = nil
	err := t.conn.Raw(func(any) error { return how(tx) })
	return errors.Join(err, t.conn.Close())
}

// preparedStatement is modernc's.
type preparedStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type keptStatement struct {
	preparedStatement
	// reading: rows of it are still being read, so it cannot be run again.
	reading bool
}

// statement returns the kept statement of a text, or nil when this one has to be prepared by itself.
func (c *sqliteConn) statement(ctx context.Context, text string) (*keptStatement, error) {
	if s := c.kept[text]; s != nil {
		if s.reading {
			return nil, nil
		}
		return s, nil
	}
	if len(c.kept) >= maxStatements {
		return nil, nil
	}
	// SQLite plans by the value behind LIMIT, and so prepares the statement anew whenever a parameter there is bound. A sum it does not plan by.
	prepared, err := c.PrepareContext(ctx, strings.ReplaceAll(text, "LIMIT $", "LIMIT 0+$"))
	if err != nil {
		return nil, err
	}
	s := &keptStatement{preparedStatement: prepared.(preparedStatement)}
	c.kept[text] = s
	return s, nil
}

// ExecContext implements driver.ExecerContext. Without parameters a text may hold several statements (migrations), which cannot be
// prepared as one.
func (c *sqliteConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 {
		return c.modernConn.ExecContext(ctx, text, args)
	}
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.modernConn.ExecContext(ctx, text, args)
	}
	return s.ExecContext(ctx, args)
}

// QueryContext implements driver.QueryerContext.
func (c *sqliteConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) == 0 {
		return c.modernConn.QueryContext(ctx, text, args)
	}
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.modernConn.QueryContext(ctx, text, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.reading = true
	return &keptRows{rows, s}, nil
}

// Close implements driver.Conn.
func (c *sqliteConn) Close() error {
	for _, s := range c.kept {
		// What the connection holds goes with it; its own error is the one that matters.
		_ = s.Close()
	}
	return c.modernConn.Close()
}

type keptRows struct {
	driver.Rows
	statement *keptStatement
}

// Close implements driver.Rows.
func (r *keptRows) Close() error {
	r.statement.reading = false
	return r.Rows.Close()
}
