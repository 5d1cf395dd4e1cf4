package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// devRuntime is what a running `starter dev` leaves for the other verbs, so that nothing has to be exported.
type devRuntime struct {
	PID       int    `json:"pid"`
	Temporal  string `json:"temporal"`
	Namespace string `json:"namespace"`
	UI        string `json:"ui"`
	Sandbox   string `json:"sandbox,omitempty"`
	TaskQueue string `json:"task_queue"`
	// Ledger is the SQLite ledger that dev uses; empty when it is another database, whose address may hold a password.
	Ledger string `json:"ledger,omitempty"`
}

const (
	runtimeFile = "dev.json"
	// runtimeLock is held for as long as dev runs. The kernel frees it however dev ends, so a file that a killed one left behind
	// is never believed.
	runtimeLock = "dev.lock"
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
	return running, true
}

// lockData claims the data directory for one dev.
func lockData(directory string) (*flock.Flock, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, usageError("make the data directory: %w", err).try("give another one with --data")
	}
	lock := flock.New(filepath.Join(directory, runtimeLock))
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if !held {
		return nil, refusedError("another `starter dev` runs with %s", directory).try("stop it, or give another directory with --data")
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
	return func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", runtimeFile, err)
		}
		return nil
	}, nil
}
