package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/concordsync/concord/internal/config"
)

// devRuntime is what a running `starter dev` leaves for the other verbs, so that nothing has to be exported.
type devRuntime struct {
	PID       int    `json:"pid"`
	Temporal  string `json:"temporal"`
	Namespace string `json:"namespace"`
	UI        string `json:"ui"`
	Sandbox   string `json:"sandbox,omitempty"`
	TaskQueue string `json:"task_queue"`
	// Ledger is the ledger that dev uses, without a password.
	Ledger string `json:"ledger"`
	// PublicURL is where the sandbox's webhooks go.
	PublicURL string `json:"public_url,omitempty"`
}

const (
	runtimeFile = "dev.json"
	// runtimeLock is held for as long as dev runs. The kernel frees it however dev ends, so a file that a killed one left behind
	// is never believed.
	runtimeLock = "dev.lock"
	// lockPatience is how long a dev waits for a verb that only looks.
	lockPatience = 500 * time.Millisecond
)

// runningDev reads what a running `starter dev` of the data directory has left; false when none runs.
func (a *app) runningDev() (devRuntime, bool) {
	directory, err := a.dataDirectory()
	if err != nil {
		return devRuntime{}, false
	}
	if _, err := os.Stat(filepath.Join(directory, runtimeFile)); err != nil {
		return devRuntime{}, false
	}
	lock := flock.New(filepath.Join(directory, runtimeLock))
	free, err := lock.TryRLock()
	if err != nil || free {
		// Nobody holds it: whoever wrote the file has died.
		_ = lock.Close()
		return devRuntime{}, false
	}
	var running devRuntime
	text, err := os.ReadFile(filepath.Join(directory, runtimeFile))
	if err != nil || json.Unmarshal(text, &running) != nil || running.Temporal == "" {
		return devRuntime{}, false
	}
	// A worker with another ledger than ours would answer for merchants that are not ours.
	if own := a.env("CONCORD_LEDGER"); own != "" && shownLedger(config.DSN(own)) != running.Ledger {
		return devRuntime{}, false
	}
	return running, true
}

// shownLedger names a ledger without its password; a SQLite file by its full path, since the processes may be at home in different
// directories.
func shownLedger(dsn config.DSN) string {
	path, ok := strings.CutPrefix(dsn.Reveal(), sqliteScheme)
	if !ok {
		return dsn.String()
	}
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	return sqliteScheme + path
}

const sqliteScheme = "sqlite:"

// lockData claims the data directory for one dev.
func lockData(ctx context.Context, directory string) (*flock.Flock, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, usageError("make the data directory: %w", err).try("give another one with --data")
	}
	lock := flock.New(filepath.Join(directory, runtimeLock))
	// Another verb may be looking at this moment whether a dev runs.
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	held, err := lock.TryLockContext(ctx, lockPatience/10)
	switch {
	case errors.Is(err, context.DeadlineExceeded), err == nil && !held:
		return nil, refusedError("another `starter dev` runs with %s", directory).try("stop it, or give another directory with --data")
	case err != nil:
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	// What a killed one has left would be believed from now on.
	if err := removeRuntime(directory); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// publish writes the runtime file; the returned function removes it.
func publish(directory string, running devRuntime) (remove func() error, err error) {
	text, err := json.MarshalIndent(running, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", runtimeFile, err)
	}
	path := filepath.Join(directory, runtimeFile)
	// Renamed into place: a verb that reads it at this moment sees all of it or nothing.
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("write %s: %w", runtimeFile, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, fmt.Errorf("write %s: %w", runtimeFile, err)
	}
	return func() error { return removeRuntime(directory) }, nil
}

func removeRuntime(directory string) error {
	if err := os.Remove(filepath.Join(directory, runtimeFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", runtimeFile, err)
	}
	return nil
}
