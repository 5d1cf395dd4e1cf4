package keys

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFreshSQLiteLedgerGetsAKeyFile(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "concord.db")
	store := &memory{}
	var notices []string
	source := Source{Database: database, Notice: func(s string) { notices = append(notices, s) }}
	ring, err := Open(t.Context(), store, source)
	require.NoError(t, err)
	path := KeyFileOf(database)
	require.Equal(t, path, ring.Origin())
	info, err := os.Stat(path)
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	require.Len(t, notices, 1)
	for _, part := range []string{path, "loses every known opt-out", "credentials"} {
		require.Contains(t, notices[0], part)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file may stay behind")

	again, err := Open(t.Context(), store, source)
	require.NoError(t, err)
	require.Equal(t, ring.SubjectKey(), again.SubjectKey())
	require.Len(t, notices, 1, "the notice is about making the file, once")

	// The file can be given by either variable later on.
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, moved := range []Source{{KeyFile: path}, {Key: string(text)}, {Key: string(text), Database: database}} {
		same, err := Open(t.Context(), store, moved)
		require.NoError(t, err)
		require.Equal(t, ring.SubjectKey(), same.SubjectKey())
	}
}

func TestProcessesThatMakeAKeyFileAtOnceUseOne(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "concord.db")
	store := &memory{}
	const processes = 16
	rings := make([]*Ring, processes)
	var made, done sync.WaitGroup
	var mu sync.Mutex
	notices := 0
	made.Add(processes)
	for i := range processes {
		done.Go(func() {
			made.Done()
			made.Wait()
			ring, err := Open(t.Context(), store, Source{Database: database, Notice: func(string) {
				mu.Lock()
				defer mu.Unlock()
				notices++
			}})
			if err != nil {
				t.Error(err)
				return
			}
			rings[i] = ring
		})
	}
	done.Wait()
	if t.Failed() {
		return
	}
	for _, ring := range rings {
		require.Equal(t, rings[0].MasterFingerprint(), ring.MasterFingerprint())
		require.Equal(t, rings[0].SubjectKey(), ring.SubjectKey())
	}
	require.Equal(t, 1, notices)
}

func TestWithoutAKeyNothingIsInvented(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		store := &memory{}
		_, err := Open(t.Context(), store, Source{})
		require.ErrorIs(t, err, ErrNoKey)
		for _, part := range []string{EnvMasterKey, EnvMasterKeyFile, GenerateCommand} {
			require.Contains(t, err.Error(), part)
		}
		require.Empty(t, store.rows)
	})
	t.Run("the key file of a ledger is gone", func(t *testing.T) {
		t.Parallel()
		database := filepath.Join(t.TempDir(), "concord.db")
		store := &memory{}
		ring, err := Open(t.Context(), store, Source{Database: database})
		require.NoError(t, err)
		require.NoError(t, os.Remove(KeyFileOf(database)))
		_, err = Source{Database: database}.Load()
		require.ErrorIs(t, err, ErrNoKey)
		_, err = Open(t.Context(), store, Source{Database: database})
		require.ErrorIs(t, err, ErrNoKey)
		require.Contains(t, err.Error(), ring.MasterFingerprint())
		require.Contains(t, err.Error(), KeyFileOf(database))
		require.NoFileExists(t, KeyFileOf(database), "a new key would hide that the old one is gone")
	})
	t.Run("the named file does not exist", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "key")
		_, err := Open(t.Context(), &memory{}, Source{KeyFile: path, Database: filepath.Join(t.TempDir(), "concord.db")})
		require.ErrorIs(t, err, ErrNoKey)
		require.ErrorContains(t, err, path)
		require.NoFileExists(t, path)
	})
	t.Run("both variables", func(t *testing.T) {
		t.Parallel()
		_, err := Open(t.Context(), &memory{}, Source{Key: export(t, generate(t)), KeyFile: "/somewhere"})
		require.ErrorContains(t, err, "both set")
	})
	t.Run("the folder is not there", func(t *testing.T) {
		t.Parallel()
		store := &memory{}
		_, err := Open(t.Context(), store, Source{Database: filepath.Join(t.TempDir(), "missing", "concord.db")})
		require.ErrorContains(t, err, "writable")
		require.Empty(t, store.rows)
	})
}

func TestBadKeyFilesAreRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("file modes mean nothing on Windows")
	}
	right := generate(t)
	line := export(t, right)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		ours bool
		want error // nil = accepted
	}{
		"ours, owner only":                  {line, 0o600, true, nil},
		"ours, read-only":                   {line, 0o400, true, nil},
		"ours, readable by the group":       {line, 0o640, true, ErrUnsafeFile},
		"ours, readable by all":             {line, 0o644, true, ErrUnsafeFile},
		"named, a Docker secret":            {line, 0o444, false, nil},
		"named, a Kubernetes secret":        {line, 0o440, false, nil},
		"named, writable by the group":      {line, 0o660, false, ErrUnsafeFile},
		"named, writable by all":            {line, 0o606, false, ErrUnsafeFile},
		"ours, cut short":                   {line[:len(line)/2], 0o600, true, ErrMalformed},
		"ours, empty":                       {"", 0o600, true, ErrMalformed},
		"named, empty":                      {"", 0o600, false, ErrMalformed},
		"named, far too long":               {strings.Repeat(line, 1000), 0o600, false, ErrMalformed},
		"ours, something else in its place": {"SQLite format 3\x00", 0o600, true, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := filepath.Join(t.TempDir(), "concord.db")
			path := KeyFileOf(database)
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			require.NoError(t, os.Chmod(path, c.mode))
			source := Source{KeyFile: path}
			if c.ours {
				source = Source{Database: database}
			}
			_, err := Open(t.Context(), &memory{}, source)
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, path)
			requireNoSecret(t, err.Error(), right)
			after, readErr := os.ReadFile(path)
			require.NoError(t, readErr)
			require.Equal(t, c.text, string(after), "a bad file is evidence: it must not be replaced")
		})
	}
	t.Run("a directory", func(t *testing.T) {
		t.Parallel()
		_, err := Open(t.Context(), &memory{}, Source{KeyFile: t.TempDir()})
		require.ErrorContains(t, err, "is a directory")
	})
	t.Run("a link that leads to itself", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "key")
		require.NoError(t, os.Symlink(path, path))
		store := &memory{}
		_, err := Open(t.Context(), store, Source{KeyFile: path})
		require.ErrorContains(t, err, "read key file")
		stored, err := store.Meta(t.Context(), subjectKeyRow)
		require.NoError(t, err)
		require.Empty(t, stored, "what cannot be read, by root either, must not be replaced by a key of our own")
	})
	t.Run("unreadable", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "key")
		require.NoError(t, os.WriteFile(path, []byte(line), 0o000))
		var err error
		asNobody(t, func() { _, err = Open(t.Context(), &memory{}, Source{KeyFile: path}) })
		require.ErrorIs(t, err, os.ErrPermission)
	})
}

func TestASwappedKeyFileIsNoticed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine, other := filepath.Join(dir, "mine.db"), filepath.Join(dir, "other.db")
	store := &memory{}
	ring, err := Open(t.Context(), store, Source{Database: mine})
	require.NoError(t, err)
	foreign, err := Open(t.Context(), &memory{}, Source{Database: other})
	require.NoError(t, err)
	require.NoError(t, os.Rename(KeyFileOf(other), KeyFileOf(mine)))
	_, err = Open(t.Context(), store, Source{Database: mine})
	require.ErrorIs(t, err, ErrWrongKey)
	for _, part := range []string{ring.MasterFingerprint(), foreign.MasterFingerprint(), KeyFileOf(mine)} {
		require.ErrorContains(t, err, part)
	}
}
