package devserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/modfile"
)

// writeCLI writes an executable that answers to --version as a Temporal CLI with that server does.
func writeCLI(t *testing.T, path, server string) {
	t.Helper()
	script := fmt.Sprintf("#!/bin/sh\necho 'temporal version 9.9.9 (Server %s, UI 2.42.1)'\n", server)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestManyWhoNeedTheCLIBuildItOnce(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(t.TempDir(), "cache")
	var builds atomic.Int32
	build := func(_ context.Context, out string, _ io.Writer) error {
		builds.Add(1)
		writeCLI(t, out, "1.29.1")
		return nil
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			path, err := buildOnce(t.Context(), cache, build, io.Discard)
			if err != nil {
				t.Errorf("buildOnce: %v", err)
			} else if _, err := serverVersion(t.Context(), path); err != nil {
				t.Errorf("the CLI that was returned does not run: %v", err)
			}
		})
	}
	all.Wait()
	if builds.Load() != 1 {
		t.Errorf("built %d times, want once", builds.Load())
	}
}

func TestAFailedBuildLeavesNothingThatLooksUsable(t *testing.T) {
	t.Parallel()
	for name, build := range map[string]compile{
		"compiler fails": func(context.Context, string, io.Writer) error { return errors.New("no space left") },
		"half a file": func(_ context.Context, out string, _ io.Writer) error {
			return errors.Join(os.WriteFile(out, []byte("half"), 0o755), errors.New("killed"))
		},
		"a file that does not run": func(_ context.Context, out string, _ io.Writer) error {
			return os.WriteFile(out, []byte("#!/bin/sh\nexit 3\n"), 0o755)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cache := t.TempDir()
			if path, err := buildOnce(t.Context(), cache, build, io.Discard); err == nil {
				t.Fatalf("buildOnce returned %s, want an error", path)
			}
			entries, err := os.ReadDir(cache)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				if !strings.HasSuffix(entry.Name(), ".lock") {
					t.Errorf("%s was left behind", entry.Name())
				}
			}
			working := func(_ context.Context, out string, _ io.Writer) error { writeCLI(t, out, "1.29.1"); return nil }
			if _, err := buildOnce(t.Context(), cache, working, io.Discard); err != nil {
				t.Errorf("the next build fails too: %v", err)
			}
		})
	}
}

func TestWaitingForABuildEndsWithTheContext(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	building, finish := make(chan struct{}), make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() {
		_, err := buildOnce(t.Context(), cache, func(_ context.Context, out string, _ io.Writer) error {
			close(building)
			<-finish
			writeCLI(t, out, "1.29.1")
			return nil
		}, io.Discard)
		if err != nil {
			t.Errorf("the build: %v", err)
		}
	})
	<-building
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var progress bytes.Buffer
	_, err := buildOnce(ctx, cache, func(context.Context, string, io.Writer) error {
		t.Error("built beside another build")
		return nil
	}, &progress)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancelled context", err)
	}
	if !strings.Contains(progress.String(), "another process is building") {
		t.Errorf("the wait is not explained: %q", progress.String())
	}
	close(finish)
	other.Wait()
}

// Not parallel: it changes the environment.
func TestWhichCLIIsTaken(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the fake CLIs are shell scripts")
	}
	directory := t.TempDir()
	cached := filepath.Join(directory, "concord", fmt.Sprintf("temporal-%s-%s-%s", CLIVersion, runtime.GOOS, runtime.GOARCH))
	if err := os.MkdirAll(filepath.Dir(cached), 0o755); err != nil {
		t.Fatal(err)
	}
	writeCLI(t, cached, "1.29.1")
	named := filepath.Join(directory, "named")
	writeCLI(t, named, "1.20.0")
	onPath := func(server string) string {
		bin := t.TempDir()
		if server != "" {
			writeCLI(t, filepath.Join(bin, "temporal"), server)
		}
		return bin
	}
	recent, old, none := onPath("1.30.0"), onPath("1.22.4"), onPath("")
	other := onPath("")
	if err := os.WriteFile(filepath.Join(other, "temporal"), []byte("#!/bin/sh\necho GNU temporal 1.0\n"), 0o755); err != nil {
		t.Fatal(err)
	}

	for _, row := range []struct {
		name, variable, path, want, says string
	}{
		{name: "the variable wins, whatever its version", variable: named, path: recent, want: named},
		{name: "then the PATH", path: recent, want: filepath.Join(recent, "temporal")},
		{name: "an old one on the PATH is passed over", path: old, want: cached, says: "carries server v1.22.4"},
		{name: "another program of that name is passed over", path: other, want: cached, says: `is not a Temporal CLI: to --version it answers "GNU temporal 1.0"`},
		{name: "then the one built before", path: none, want: cached},
		{name: "a variable that names nothing is an error", variable: filepath.Join(directory, "gone"), path: recent, says: CLIVariable},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Setenv("HOME", directory)
			t.Setenv("XDG_CACHE_HOME", directory)
			if runtime.GOOS == "darwin" {
				t.Skip("the cache directory is elsewhere")
			}
			t.Setenv(CLIVariable, row.variable)
			// The scripts need no other program than the shell's own echo.
			t.Setenv("PATH", row.path)
			var progress bytes.Buffer
			got, err := EnsureCLI(t.Context(), &progress)
			if got != row.want || (row.want == "") != (err != nil) {
				t.Errorf("got %q, %v; want %q", got, err, row.want)
			}
			if said := fmt.Sprint(progress.String(), err); !strings.Contains(said, row.says) {
				t.Errorf("said %q, want it to hold %q", said, row.says)
			}
		})
	}
}

func TestOutsideTheSourcesTheErrorSaysWhatToSet(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := buildOnce(t.Context(), t.TempDir(), compileCLI, io.Discard)
	if !errors.Is(err, errNoSource) || !strings.Contains(err.Error(), CLIVariable) || !strings.Contains(err.Error(), "docs.temporal.io/cli") {
		t.Errorf("got %v, want an error that names the source tree, %s and where to get the CLI", err, CLIVariable)
	}
}

func TestToolsPinTheCLIThatTheCacheIsNamedAfter(t *testing.T) {
	t.Parallel()
	working, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root, err := sourceRoot(working)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, "tools", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	tools, err := modfile.Parse("tools/go.mod", content, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, requirement := range tools.Require {
		if requirement.Mod.Path == "github.com/temporalio/cli" {
			if requirement.Mod.Version != "v"+CLIVersion {
				t.Errorf("tools/go.mod pins the Temporal CLI %s, the cache is named after v%s", requirement.Mod.Version, CLIVersion)
			}
			return
		}
	}
	t.Error("tools/go.mod does not pin the Temporal CLI")
}
