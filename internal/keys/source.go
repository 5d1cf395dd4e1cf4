package keys

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Source says where the master key comes from. The zero Source has none, which is an error with advice.
type Source struct {
	// Key is the value of CONCORD_MASTER_KEY: the keyset itself, as Parse reads it.
	Key string
	// KeyFile is the value of CONCORD_MASTER_KEY_FILE: a file that must exist, for example a mounted secret.
	KeyFile string
	// Database is the path of the SQLite database. Only with it, and only when Key and KeyFile are empty, a key file is used, and
	// made when the ledger is new, at KeyFileOf(Database). Leave it empty with PostgreSQL: there several processes on several
	// machines share one ledger, and each would invent a key of its own.
	Database string
	// Notice is told, in a sentence for the operator, when a key file was made. Nil tells nobody.
	Notice func(sentence string)
}

// Errors about the source, in the chain of what Open and Source.Load return, for exit codes and tests.
var (
	// ErrNoKey: no master key was configured, or the configured or expected file is not there.
	ErrNoKey = errors.New("no master key")
	// ErrUnsafeFile: others may read or change the key file.
	ErrUnsafeFile = errors.New("the key file is not safe")
)

// KeyFileOf is where the key file of a SQLite database lies: next to it.
func KeyFileOf(database string) string { return database + ".key" }

// Load finds the master key of a ledger that is there already, under the same checks as Open, and makes no key file. Its errors are
// those of Open about the source.
func (s Source) Load() (Keyset, error) {
	k, _, err := s.load(false, "")
	return k, err
}

// load finds the master key. fresh tells whether the ledger has no subject key yet; only then may a key file be made, because a
// new key could not open anything of an existing ledger and would only hide what is wrong.
func (s Source) load(fresh bool, sealedBy string) (Keyset, string, error) {
	key := strings.TrimSpace(s.Key)
	switch {
	case key != "" && s.KeyFile != "":
		return Keyset{}, "", fmt.Errorf("find master key: %s and %s are both set: unset one of them", EnvMasterKey, EnvMasterKeyFile)
	case key != "":
		k, err := Parse(key)
		if err != nil {
			return Keyset{}, "", fmt.Errorf("%s: %w. Give the whole line that `%s` printed", EnvMasterKey, err, GenerateCommand)
		}
		return k, EnvMasterKey, nil
	case s.KeyFile != "":
		k, err := readKeyFile(s.KeyFile, false)
		if errors.Is(err, fs.ErrNotExist) {
			return Keyset{}, "", fmt.Errorf("find master key: %w: %s names %s, which does not exist. Put the key there, or make a "+
				"first one with `%s`", ErrNoKey, EnvMasterKeyFile, s.KeyFile, GenerateCommand)
		}
		return k, EnvMasterKeyFile, err
	case s.Database == "":
		return Keyset{}, "", fmt.Errorf("find master key: %w: set %s (the key itself) or %s (a file with it). Every process of this "+
			"ledger needs the same one; make a first one with `%s`%s", ErrNoKey, EnvMasterKey, EnvMasterKeyFile, GenerateCommand,
			expects(sealedBy))
	}
	return s.loadBeside(fresh, sealedBy)
}

func (s Source) loadBeside(fresh bool, sealedBy string) (Keyset, string, error) {
	path := KeyFileOf(s.Database)
	k, err := readKeyFile(path, true)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, path, err
	}
	if !fresh {
		return Keyset{}, "", fmt.Errorf("find master key: %w: the key file %s is gone%s. Put it back from a backup, or set %s or %s. "+
			"A new key would not help: it cannot open what this ledger holds", ErrNoKey, path, expects(sealedBy), EnvMasterKey,
			EnvMasterKeyFile)
	}
	k, err = Generate()
	if err != nil {
		return Keyset{}, "", err
	}
	made, err := createKeyFile(path, k)
	if err != nil {
		return Keyset{}, "", err
	}
	if !made {
		// Another process was faster; there is one key, and it is the one in the file.
		k, err = readKeyFile(path, true)
		return k, path, err
	}
	if s.Notice != nil {
		s.Notice(fmt.Sprintf("Made a new master key in %s. Keep a copy of this file in a safe place, apart from the database: whoever "+
			"loses it loses every known opt-out and all credentials of this ledger.", path))
	}
	return k, path, nil
}

func expects(sealedBy string) string {
	if sealedBy == "" {
		return ""
	}
	return " (this ledger was sealed by master key " + sealedBy + ")"
}

// readKeyFile reads a key file. With ours set it is a file that Concord made, so nobody but its owner may read it. A file that the
// operator names may be readable by others, because mounted secrets are (Docker mounts them with mode 0444); writable by
// others neither may be, as whoever can exchange the key can make all opt-outs unreadable.
func readKeyFile(path string, ours bool) (Keyset, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return Keyset{}, fmt.Errorf("read key file: %w. Let the user that runs this process read it", err)
		}
		return Keyset{}, fmt.Errorf("read key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Keyset{}, fmt.Errorf("read key file: %w", err)
	}
	if info.IsDir() {
		return Keyset{}, fmt.Errorf("read key file: %w: %s is a directory", ErrMalformed, path)
	}
	if info.Mode().IsRegular() && runtime.GOOS != "windows" {
		if err := checkMode(path, info.Mode().Perm(), ours); err != nil {
			return Keyset{}, err
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeysetBytes+1))
	if err != nil {
		return Keyset{}, fmt.Errorf("read key file: %w", err)
	}
	k, err := Parse(string(text))
	if err != nil {
		return Keyset{}, fmt.Errorf("read key file %s: %w. Put the right file back from a backup", path, err)
	}
	return k, nil
}

func checkMode(path string, mode fs.FileMode, ours bool) error {
	switch {
	case mode&0o022 != 0:
		return fmt.Errorf("read key file: %w: others may change %s (mode %04o). Find out who could have, then run: chmod 600 %s",
			ErrUnsafeFile, path, mode, path)
	case ours && mode&0o044 != 0:
		return fmt.Errorf("read key file: %w: others may read %s (mode %04o). Run: chmod 600 %s", ErrUnsafeFile, path, mode, path)
	}
	return nil
}

// createKeyFile makes the key file and reports false when there already is one. It writes to a temporary file and links that to
// its name: a link never replaces anything (so it is as exclusive as O_EXCL), and nobody ever sees half a key, not even when
// the process or the machine dies in the middle.
func createKeyFile(path string, k Keyset) (made bool, err error) {
	line, err := k.Export()
	if err != nil {
		return false, err
	}
	var suffix [8]byte
	if _, err := rand.Read(suffix[:]); err != nil {
		return false, fmt.Errorf("make key file: %w", err)
	}
	temporary := path + ".new-" + hex.EncodeToString(suffix[:])
	if err := writeExclusive(temporary, line+"\n"); err != nil {
		return false, fmt.Errorf("make key file: %w. Make the database's folder writable, or set %s or %s", err, EnvMasterKey,
			EnvMasterKeyFile)
	}
	defer os.Remove(temporary)
	switch err := os.Link(temporary, path); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		// Some file systems have no hard links. Then a process that starts in the same instant may see a short file and refuse to
		// start with an error that says so; it is never left so unless the machine dies here.
		if err := writeExclusive(path, line+"\n"); errors.Is(err, fs.ErrExist) {
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("make key file: %w", err)
		}
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return false, fmt.Errorf("make key file: %w", err)
	}
	return true, nil
}

func writeExclusive(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(path) // half a key helps nobody; the first error is the one to tell
	}
	return err
}

// syncDir makes the new name survive a power cut: a database that remembers a key whose file is gone cannot be opened again.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
