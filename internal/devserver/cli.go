package devserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

const (
	// CLIVariable names the environment variable that points at a Temporal CLI; it wins over the PATH and over a build.
	CLIVariable = "CONCORD_TEMPORAL_CLI"
	// CLIVersion is the Temporal CLI that tools/go.mod pins and that EnsureCLI builds. Later versions do not build as a Go
	// tool, for a replace directive in their go.mod.
	CLIVersion = "1.5.1"

	cliPackage = "github.com/temporalio/cli/cmd/temporal"
	ourModule  = "github.com/concordsync/concord"

	// oldestServer is the first server whose updates and NextRetryDelay behave as the workflows need them. An older CLI on the
	// PATH is passed over: a merchant's loop would start on it and then fail in ways that don't name the cause.
	oldestServer = "v1.28.0"

	versionTimeout = 20 * time.Second
	lockPoll       = 200 * time.Millisecond
)

// errNoSource is returned when the sources that pin the CLI are not above the working directory.
var errNoSource = errors.New("no go.mod of " + ourModule + " in the working directory or above it")

// EnsureCLI returns the path of a Temporal CLI that can run a local server: the one that CONCORD_TEMPORAL_CLI names, else a
// recent enough `temporal` on the PATH, else one that it builds from tools/go.mod into the user's cache directory. The build
// takes minutes and happens once per machine and version: processes that ask at the same time wait for the one that builds.
// What it does and for how long goes to progress (nil for silence). An error says what to install or to set.
func EnsureCLI(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	if path := os.Getenv(CLIVariable); path != "" {
		if _, err := serverVersion(ctx, path); err != nil {
			return "", fmt.Errorf("use the Temporal CLI that %s names: %w (point it at an executable `temporal`, or unset it)",
				CLIVariable, err)
		}
		return path, nil
	}
	if path, err := exec.LookPath("temporal"); err == nil {
		version, err := serverVersion(ctx, path)
		switch {
		case err != nil:
			fmt.Fprintf(progress, "passing over %s: %v\n", path, err)
		case semver.Compare(version, oldestServer) < 0:
			fmt.Fprintf(progress, "passing over %s: it carries server %s, and %s is the oldest that works here\n",
				path, version, oldestServer)
		default:
			return path, nil
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory for the Temporal CLI: %w (set HOME, or %s)", err, CLIVariable)
	}
	return buildOnce(ctx, filepath.Join(cache, "concord"), compileCLI, progress)
}

// compile builds the CLI into the file out. The tests put a quicker one in the place of the Go tool.
type compile func(ctx context.Context, out string, progress io.Writer) error

// buildOnce returns the CLI of the cache directory, building it when it is not there. Whoever holds the lock builds; the file
// appears under its name only when it is whole and has run, so that a build that was killed leaves nothing that looks usable.
func buildOnce(ctx context.Context, cache string, compile compile, progress io.Writer) (string, error) {
	path := filepath.Join(cache, fmt.Sprintf("temporal-%s-%s-%s%s", CLIVersion, runtime.GOOS, runtime.GOARCH, executableSuffix()))
	if built(path) {
		return path, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory for the Temporal CLI: %w (set HOME to a writable place, or %s)", err, CLIVariable)
	}
	lock := flock.New(path + ".lock")
	defer lock.Close()
	held, err := lock.TryLock()
	if err == nil && !held {
		fmt.Fprintln(progress, "another process is building the Temporal CLI; waiting for it")
		_, err = lock.TryLockContext(ctx, lockPoll)
	}
	if err != nil {
		return "", fmt.Errorf("wait for the lock of the Temporal CLI's build: %w", err)
	}
	if built(path) {
		return path, nil
	}

	directory, err := os.MkdirTemp(cache, "building-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the Temporal CLI's build: %w", err)
	}
	defer os.RemoveAll(directory)
	fresh := filepath.Join(directory, filepath.Base(path))
	if err := compile(ctx, fresh, progress); err != nil {
		return "", fmt.Errorf("build the Temporal CLI %s: %w (or install it from https://docs.temporal.io/cli, or set %s to one)",
			CLIVersion, err, CLIVariable)
	}
	if _, err := serverVersion(ctx, fresh); err != nil {
		return "", fmt.Errorf("try the Temporal CLI just built: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return "", fmt.Errorf("put the built Temporal CLI in its place: %w", err)
	}
	return path, nil
}

func built(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func executableSuffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

// compileCLI runs the Go tool on the module that pins the CLI.
func compileCLI(ctx context.Context, out string, progress io.Writer) error {
	working, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the working directory: %w", err)
	}
	root, err := sourceRoot(working)
	if err != nil {
		return fmt.Errorf("find tools/go.mod: %w: run this inside Concord's source tree", err)
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("find the Go tool: %w", err)
	}

	show := showBuild(progress)
	defer show.end()
	var output tail
	command := exec.CommandContext(ctx, tool, "build", "-v",
		// The version is what `temporal --version` answers; without symbols the file is a third smaller.
		"-ldflags", "-s -w -X github.com/temporalio/cli/temporalcli.Version="+CLIVersion,
		"-o", out, cliPackage)
	command.Dir = filepath.Join(root, "tools")
	// A caller's GOFLAGS (such as -race or -mod=mod) or workspace would build something else, or edit go.mod; without cgo the
	// build needs no C compiler.
	command.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	command.Stdout, command.Stderr = io.MultiWriter(&output, show), io.MultiWriter(&output, show)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("run go build: %w", ctx.Err())
		}
		return fmt.Errorf("run go build: %w\n%s", err, output.String())
	}
	return nil
}

// sourceRoot walks up from a directory to the root of Concord's sources.
func sourceRoot(directory string) (string, error) {
	for {
		content, err := os.ReadFile(filepath.Join(directory, "go.mod"))
		if err == nil && modfile.ModulePath(content) == ourModule {
			return directory, nil
		}
		above := filepath.Dir(directory)
		if above == directory {
			return "", errNoSource
		}
		directory = above
	}
}

// versionLine is what every Temporal CLI answers to --version, e.g. "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)".
var versionLine = regexp.MustCompile(`^temporal version \S+ \(Server ([0-9.]+)`)

// serverVersion runs the CLI and returns the version of the server in it, such as "v1.29.1". It fails for everything that is
// not a Temporal CLI.
func serverVersion(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("run %s --version: %w", path, err)
	}
	match := versionLine.FindSubmatch(bytes.TrimSpace(output))
	if match == nil {
		answer, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
		return "", fmt.Errorf("%s is not a Temporal CLI: to --version it answers %.80q", path, answer)
	}
	return "v" + string(match[1]), nil
}
