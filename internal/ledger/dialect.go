package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/concordsync/concord/internal/consent"
)

// dialect is which database is behind the ledger. Everything in which the two differ is in this file.
type dialect uint8

const (
	sqliteDialect dialect = iota + 1
	postgresDialect
)

// forWrite ends a SELECT whose rows the transaction is going to change or to judge by. SQLite has no such clause and needs none:
// BEGIN IMMEDIATE (sqliteConn.BeginTx) makes every transaction the only one. NO KEY leaves room for the foreign keys' own locks.
func (d dialect) forWrite() string {
	if d == postgresDialect {
		return " FOR NO KEY UPDATE"
	}
	return ""
}

// forWriteInOrder is forWrite for subjects by their hash, so that transactions that want the same rows wait instead of deadlocking.
// The expression keeps the planner from reading the whole index in that order, which looks cheap as long as it has no statistics.
func (d dialect) forWriteInOrder() string {
	if d == postgresDialect {
		return " ORDER BY subject || ''::bytea FOR NO KEY UPDATE"
	}
	return ""
}

// forDeleteInOrder ends a SELECT of rows, by a column of text, that the transaction may delete, in the order of the column's bytes.
func (d dialect) forDeleteInOrder(column string) string {
	if d == postgresDialect {
		return " ORDER BY " + column + ` COLLATE "C" FOR UPDATE`
	}
	return ""
}

// forShare ends a SELECT of rows that must not change until the transaction has committed.
func (d dialect) forShare() string {
	if d == postgresDialect {
		return " FOR SHARE"
	}
	return ""
}

// someRows is a condition that holds for $2 of the rows of a table of which another condition holds. What another transaction has locked
// is left out: it deletes the same rows, or renews them.
func (d dialect) someRows(table, condition string) string {
	if d == postgresDialect {
		return "ctid = ANY (ARRAY(SELECT ctid FROM " + table + " WHERE " + condition + " LIMIT $2 FOR UPDATE SKIP LOCKED))"
	}
	return "rowid IN (SELECT rowid FROM " + table + " WHERE " + condition + " LIMIT $2)"
}

// placeholder writes the nth parameter. SQLite understands $1 too, but takes it for a name and searches all names for each: that is
// quadratic, and at some hundred rows slower than everything else together. In a long list it gets the nameless ?, which counts on.
func (d dialect) placeholder(b *strings.Builder, n int) {
	if d == sqliteDialect {
		b.WriteByte('?')
		return
	}
	b.WriteByte('$')
	b.WriteString(strconv.Itoa(n))
}

// isOneOf ends a condition on a column and adds the values to the parameters before it. PostgreSQL takes a list as one array, which
// its planner turns into index look-ups however few statistics it has; a list of single parameters it may compare one by one with
// every row of the merchant. SQLite has no arrays; the list is filled up to a power of two by repeating its last value.
func isOneOf[T []byte | string | int64](d dialect, before []any, list []T) (clause string, args []any) {
	args = append(make([]any, 0, len(before)+2*len(list)), before...)
	if d == postgresDialect {
		return fmt.Sprintf("= ANY($%d)", len(before)+1), append(args, list)
	}
	size := chunk(len(list))
	if size < len(list) {
		size *= 2
	}
	for i := range size {
		args = append(args, list[min(i, len(list)-1)])
	}
	var b strings.Builder
	b.WriteString("IN ")
	d.placeholders(&b, len(before), 1, size)
	return b.String(), args
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// now reads the database's clock. SQLite's is that of this machine, and its own functions only show milliseconds.
func (l *Ledger) now(ctx context.Context, q querier) (consent.Instant, error) {
	if l.clock != nil {
		return l.clock(), nil
	}
	if l.dialect == sqliteDialect {
		return consent.InstantOf(time.Now()), nil
	}
	// Not now(), which stands still from the start of the transaction, however long that waited for a lock.
	var micros int64
	err := q.QueryRowContext(ctx, "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)").Scan(&micros)
	return consent.Instant(micros), err
}

const (
	// sqliteWait is how long a transaction waits for another process before ErrLocked.
	sqliteWait = 5 * time.Second
	// sqliteReaders and postgresConnections bound the connections of one process.
	sqliteReaders       = 4
	postgresConnections = 10
	// postgresConnectWait bounds one attempt to connect, unless the address sets connect_timeout.
	postgresConnectWait = 10 * time.Second
)

const dsnForms = "want sqlite:PATH, sqlite::memory: or postgres://user:password@host:port/database"

// connect opens the pools and proves that the database answers.
func (l *Ledger) connect(ctx context.Context, dsn string) error {
	switch {
	case strings.HasPrefix(dsn, "sqlite:"):
		return l.connectSQLite(ctx, strings.TrimPrefix(dsn, "sqlite:"))
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		return l.connectPostgres(ctx, dsn)
	default:
		return fmt.Errorf("%w: %s", ErrMalformedDSN, dsnForms)
	}
}

func (l *Ledger) connectSQLite(ctx context.Context, path string) error {
	l.dialect = sqliteDialect
	// FULL: a committed decision survives a power cut. The larger cache keeps the random pages of hashed keys in memory.
	options := url.Values{"_busy_timeout": {fmt.Sprint(sqliteWait.Milliseconds())},
		"_pragma": {"foreign_keys(1)", "synchronous(FULL)", "cache_size(-65536)", "temp_store(MEMORY)"}}
	if path == ":memory:" {
		db := openSQLite("file::memory:?" + options.Encode())
		// One connection that never goes away: each connection to :memory: would be a database of its own.
		db.SetMaxOpenConns(1)
		l.writes, l.reads = db, db
		return explain(db.PingContext(ctx))
	}
	if path == "" {
		return fmt.Errorf("%w: no path after sqlite:; %s", ErrMalformedDSN, dsnForms)
	}
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?"
	writing := url.Values{"_busy_timeout": options["_busy_timeout"],
		"_pragma": append([]string{"journal_mode(WAL)"}, options["_pragma"]...)}
	writes := openSQLite(name + writing.Encode())
	writes.SetMaxOpenConns(1)
	l.writes, l.reads = writes, writes
	if err := writes.PingContext(ctx); err != nil {
		return joinClose(explain(err), l)
	}
	reading := url.Values{"_busy_timeout": options["_busy_timeout"], "_pragma": append(options["_pragma"], "query_only(1)")}
	reads := openSQLite(name + reading.Encode())
	reads.SetMaxOpenConns(sqliteReaders)
	reads.SetMaxIdleConns(sqliteReaders)
	l.reads = reads
	file, err := os.Stat(path)
	if err != nil {
		return joinClose(gone(err), l)
	}
	l.file, l.path = file, path
	return nil
}

func (l *Ledger) connectPostgres(ctx context.Context, dsn string) error {
	l.dialect = postgresDialect
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The parser's own text can quote the address, and with it the password.
		return fmt.Errorf("%w: PostgreSQL's parser does not accept it; %s, with special characters in the password as %%XX",
			ErrMalformedDSN, dsnForms)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = postgresConnectWait
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "concord"
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(postgresConnections)
	db.SetMaxIdleConns(postgresConnections)
	l.writes, l.reads = db, db
	if err := db.PingContext(ctx); err != nil {
		return joinClose(explain(err), l)
	}
	return nil
}

//go:embed migrations/*.sql
var migrations embed.FS

// sqliteMigrationTries: two processes that open a new file at the same moment both find nothing there; the one that comes second
// fails on the first's tables and finds nothing to do when it looks again. PostgreSQL has an advisory lock for that.
const sqliteMigrationTries = 3

// migrate brings the schema up to this build's version, or fails with ErrNewerSchema when it is beyond it.
func (l *Ledger) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	kind, tries := goose.DialectSQLite3, sqliteMigrationTries
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithTableName("schema_version")}
	if l.dialect == postgresDialect {
		// Processes of a fleet start together: each asks again after a second, not after goose's five, for five minutes.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 60))
		if err != nil {
			return fmt.Errorf("prepare migration lock: %w", err)
		}
		kind, tries = goose.DialectPostgres, 1
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(kind, l.writes, files, options...)
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", explain(err))
	}
	for try := 1; ; try++ {
		_, err = provider.Up(ctx)
		if err == nil || try >= tries || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", explain(err))
	}
	current, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", explain(err))
	}
	if current > newest {
		return fmt.Errorf("%w (schema %d, this build knows %d): start the newer version, or restore the backup made before it ran",
			ErrNewerSchema, current, newest)
	}
	return nil
}

// present fails when the SQLite file is no longer the one that was opened.
func (l *Ledger) present() error {
	if l.path == "" {
		return nil
	}
	now, err := os.Stat(l.path)
	if err != nil {
		return gone(err)
	}
	if !os.SameFile(now, l.file) {
		return fmt.Errorf("%w: another file has taken its place while this process was running; restart it", ErrGone)
	}
	return nil
}

func gone(cause error) error {
	return fmt.Errorf("%w: stop Concord, bring the file back (or restore a backup) and start again: %w", ErrGone, cause)
}

// explain turns a driver's error into one of ours that says what to do. Others pass unchanged.
func explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return fmt.Errorf("%w: stop the other process that uses the file, or use PostgreSQL for several workers: %w", ErrLocked, err)
		case sqlite3.SQLITE_CANTOPEN:
			return fmt.Errorf("%w: check that the folder exists and that this user may write there: %w", ErrGone, err)
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
			return fmt.Errorf("%w: this user may not write the file or its folder: %w", ErrGone, err)
		case sqlite3.SQLITE_FULL:
			return fmt.Errorf("%w: the disk is full; nothing was lost, free some space: %w", ErrGone, err)
		case sqlite3.SQLITE_IOERR:
			return gone(err)
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: the file is damaged or no ledger; restore a backup: %w", ErrGone, err)
		}
		return err
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch {
		case strings.HasPrefix(refused.Code, "28"):
			return fmt.Errorf("%w: it refuses the user or the password of the ledger's address: %w", ErrUnreachable, err)
		case refused.Code == "3D000":
			return fmt.Errorf("%w: the database does not exist; create it: %w", ErrUnreachable, err)
		case refused.Code == "42501":
			return fmt.Errorf("%w: the user may not do this; make it the owner of the database: %w", ErrUnreachable, err)
		case strings.HasPrefix(refused.Code, "08"), strings.HasPrefix(refused.Code, "57P"), strings.HasPrefix(refused.Code, "53"):
			return fmt.Errorf("%w: it is stopping, starting or out of resources: %w", ErrUnreachable, err)
		}
		return err
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) || pgconn.SafeToRetry(err) || brokenConnection(err) {
		return fmt.Errorf("%w: check that the server runs and that host and port of the ledger's address are right: %w",
			ErrUnreachable, err)
	}
	return err
}

// again reports whether PostgreSQL ended a transaction only because of another one; nothing of it was written.
func again(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (refused.Code == "40001" || refused.Code == "40P01")
}

// uniqueViolation names the unique index that PostgreSQL found violated, if that is what err is.
func uniqueViolation(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "23505" {
		return refused.ConstraintName
	}
	return ""
}

func joinClose(err error, l *Ledger) error {
	// What went wrong first is what a person has to know; a failing close after it adds nothing.
	_ = l.Close()
	return err
}
