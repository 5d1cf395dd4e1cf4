package ledger_test

import (
	"context"
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
)

func TestOpenSaysWhatIsWrongAndNeverThePassword(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	noLedger := filepath.Join(folder, "notes.txt")
	require.NoError(t, os.WriteFile(noLedger, []byte(strings.Repeat("not a database ", 1000)), 0o600))
	// A port that was just free: nobody listens there.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := listener.Addr().String()
	require.NoError(t, listener.Close())
	for _, c := range []struct {
		name, dsn string
		want      error
		says      string
	}{
		{"empty", "", ledger.ErrMalformedDSN, "sqlite:PATH"},
		{"another database", "mysql://root:s3cret@host/db", ledger.ErrMalformedDSN, "postgres://"},
		{"a path alone", "/var/lib/s3cret.db", ledger.ErrMalformedDSN, "sqlite:PATH"},
		{"no path", "sqlite:", ledger.ErrMalformedDSN, "no path"},
		{"a bad port", "postgres://concord:s3cret@localhost:port/db", ledger.ErrMalformedDSN, "%XX"},
		{"a bad escape", "postgres://concord:s3cret%ZZ@localhost/db", ledger.ErrMalformedDSN, "%XX"},
		{"no such folder", "sqlite:" + filepath.Join(folder, "none", "ledger.db"), ledger.ErrGone, "folder exists"},
		{"a folder", "sqlite:" + folder, ledger.ErrGone, "folder"},
		{"another file", "sqlite:" + noLedger, ledger.ErrGone, "no ledger"},
		{"nobody listens", "postgres://concord:s3cret@" + closed + "/db?sslmode=disable", ledger.ErrUnreachable, "host and port"},
		{"no such socket", "postgres://concord:s3cret@/db?host=" + folder, ledger.ErrUnreachable, "host and port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, err := ledger.Open(t.Context(), c.dsn)
			require.ErrorIs(t, err, c.want)
			require.Nil(t, l)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestPostgresTurnsUsAway(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	base, query, _ := strings.Cut(dsn, "?")
	_, err := ledger.Open(t.Context(), base+"_is_not_there?"+query)
	require.ErrorIs(t, err, ledger.ErrUnreachable)
	require.ErrorContains(t, err, "does not exist; create it")
}

func TestANewerSchemaIsLeftAlone(t *testing.T) {
	forEachLasting(t, func(t *testing.T, dsn string) {
		l, err := ledger.Open(t.Context(), dsn)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		db := raw(t, dsn)
		_, err = db.ExecContext(t.Context(), "INSERT INTO schema_version (version_id, is_applied) VALUES (99999, $1)", true)
		require.NoError(t, err)
		_, err = ledger.Open(t.Context(), dsn)
		require.ErrorIs(t, err, ledger.ErrNewerSchema)
		require.ErrorContains(t, err, "99999")
	})
}

// raw opens the database behind a ledger's address.
func raw(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	driver, name := "pgx", dsn
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, name = "sqlite", path
	}
	db, err := sql.Open(driver, name)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestManyProcessesOpenANewLedgerTogether(t *testing.T) {
	forEachReal(t, func(t *testing.T, dsn string) {
		errs := make([]error, 4)
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() {
				l, err := ledger.Open(context.Background(), dsn)
				if err == nil {
					err = l.Close()
				}
				errs[i] = err
			})
		}
		group.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
	})
}

func TestALockedFileIsNamedAsSuch(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	l := open(t, dsn)
	other := raw(t, dsn)
	conn, err := other.Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	require.NoError(t, err)
	err = l.Append(t.Context(), acme, ledger.Line{Kind: ledger.Shown})
	require.ErrorIs(t, err, ledger.ErrLocked)
	require.ErrorContains(t, err, "use PostgreSQL")
	impatient, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, l.Append(impatient, acme, ledger.Line{Kind: ledger.Shown}), context.DeadlineExceeded)
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, l.Append(t.Context(), acme, ledger.Line{Kind: ledger.Shown}), "and goes on when the other has gone")
	lines, err := l.Journal(t.Context(), acme, 0, consent.Subject{})
	require.NoError(t, err)
	require.Len(t, lines, 1)
}

func TestAFileThatWasTakenAwayIsNoticed(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	path := strings.TrimPrefix(dsn, "sqlite:")
	l := open(t, dsn)
	require.NoError(t, os.Rename(path, path+".away"))
	require.ErrorIs(t, l.Append(t.Context(), acme, ledger.Line{}), ledger.ErrGone)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.ErrorIs(t, l.Append(t.Context(), acme, ledger.Line{}), ledger.ErrGone, "another file in its place is not it")
	require.NoError(t, os.Rename(path+".away", path))
	require.NoError(t, l.Append(t.Context(), acme, ledger.Line{}))
}

func TestAStrangePathIsAPath(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a ledger?mode=memory&x=%41#é.db")
	open(t, "sqlite:"+path)
	require.FileExists(t, path)
}

func TestACancelledCallWritesNothing(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := l.Save(ctx, acme, ledger.Batch{Changes: []ledger.Change{{Channel: consent.Email, Subject: subject(1)}}})
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, load(t, l, subject(1)))
		deadline, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		_, err = l.Load(deadline, acme, consent.Email, []consent.Subject{subject(1)})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// A ledger in memory that is emptied is as good as a new one; any other is left alone.
func TestOnlyALedgerInMemoryIsEmptied(t *testing.T) {
	t.Parallel()
	l := open(t, "sqlite::memory:")
	for range 2 {
		addMerchant(t, l, consent.EmailToListrak)
		save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(1), Journal: []ledger.Line{{Kind: ledger.Seen}}})
		require.NoError(t, l.Empty(t.Context()))
		n, err := l.CountSubjects(t.Context(), acme, consent.Email)
		require.NoError(t, err)
		require.Zero(t, n)
		lines, err := l.Journal(t.Context(), acme, consent.Email, subject(1))
		require.NoError(t, err)
		require.Empty(t, lines)
		_, err = l.Switches(t.Context(), acme)
		require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
	}
	file := open(t, ledgertest.SQLite(t))
	save(t, file, ledger.Change{Channel: consent.Email, Subject: subject(1)})
	require.Error(t, file.Empty(t.Context()))
	n, err := file.CountSubjects(t.Context(), acme, consent.Email)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}
