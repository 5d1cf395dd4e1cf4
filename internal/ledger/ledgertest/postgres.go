// Package ledgertest gives tests databases that are theirs alone.
package ledgertest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // The driver that makes and drops the databases.
)

// SQLite returns the address of a ledger file that does not exist yet and goes with the test.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "ledger.db")
}

// Postgres returns the address of a fresh, empty PostgreSQL database that goes with the test. It lies on the server that
// CONCORD_TEST_POSTGRES names (an address of a user who may create databases), or else on a throw-away server that the first call in
// a test binary starts and that ends with the binary, however that ends. Where there is neither, the test is skipped, and fails
// under CI=true.
func Postgres(t testing.TB) string {
	t.Helper()
	server, err := sharedServer()
	if errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("PostgreSQL for tests: %v", err)
	}
	admin, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatalf("PostgreSQL for tests: open: %v", err)
	}
	raw := make([]byte, 8)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	name := "concord_test_" + hex.EncodeToString(raw)
	if _, err := admin.ExecContext(context.Background(), "CREATE DATABASE "+name); err != nil {
		_ = admin.Close()
		t.Fatalf("PostgreSQL for tests: create database: %v", err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("PostgreSQL for tests: drop database: %v", err)
		}
		if err := admin.Close(); err != nil {
			t.Errorf("PostgreSQL for tests: close: %v", err)
		}
	})
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal("CONCORD_TEST_POSTGRES must look like postgres://user:password@host:port/database")
	}
	address.Path = "/" + name
	return address.String()
}

var errNotInstalled = errors.New(
	"no PostgreSQL: install it (Debian: postgresql) so that initdb is on the PATH, or set CONCORD_TEST_POSTGRES")

var sharedServer = sync.OnceValues(func() (string, error) {
	if address := os.Getenv("CONCORD_TEST_POSTGRES"); address != "" {
		return address, nil
	}
	return startServer()
})

// startServer makes a cluster in a folder of its own and starts it on a Unix socket there: no port to collide on.
func startServer() (address string, err error) {
	bin, err := programs()
	if err != nil {
		return "", err
	}
	// Not t.TempDir: the server outlives the first test, and the path of a socket must stay under 108 bytes.
	folder, err := os.MkdirTemp("/tmp", "concord-pg")
	if err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(folder)
		}
	}()
	attributes := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		// PostgreSQL refuses to run as root.
		id, err := unprivileged()
		if err != nil {
			return "", err
		}
		if err := os.Chown(folder, int(id.Uid), int(id.Gid)); err != nil {
			return "", fmt.Errorf("hand over folder: %w", err)
		}
		attributes.Credential = id
	}
	data := filepath.Join(folder, "data")
	run := func(program string, arguments ...string) error {
		command := exec.Command(filepath.Join(bin, program), arguments...)
		command.Dir = folder
		command.SysProcAttr = attributes
		// A file, not a pipe: the server keeps it open, and waiting for a pipe would wait for the server's end.
		output, err := os.OpenFile(filepath.Join(folder, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
		if err != nil {
			return fmt.Errorf("open log: %w", err)
		}
		defer func() { _ = output.Close() }()
		command.Stdout, command.Stderr = output, output
		if err := command.Run(); err != nil {
			text, _ := os.ReadFile(output.Name())
			return fmt.Errorf("%s: %w\n%s", program, err, text)
		}
		return nil
	}
	if err := run("initdb", "-D", data, "-U", "concord", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return "", err
	}
	options := "-c listen_addresses='' -c unix_socket_directories='" + folder + "' -c fsync=off -c full_page_writes=off" +
		" -c max_connections=400 -c shared_buffers=128MB"
	if err := run("pg_ctl", "-D", data, "-w", "-o", options, "start"); err != nil {
		return "", err
	}
	if err := stopWithProcess(filepath.Join(bin, "pg_ctl"), data, folder, attributes.Credential); err != nil {
		_ = run("pg_ctl", "-D", data, "-m", "immediate", "stop")
		return "", err
	}
	return (&url.URL{Scheme: "postgres", User: url.User("concord"), Path: "/postgres",
		RawQuery: url.Values{"host": {folder}}.Encode()}).String(), nil
}

// lifelines are open as long as this process lives; nobody else has these ends. Kept here, or the garbage collector closes them.
var lifelines []*os.File

// stopWithProcess leaves a process behind that waits for the end of this one, be it by kill -9, and then stops the server and
// removes its folder. No test would be told by Go that it is the last.
func stopWithProcess(pgctl, data, folder string, as *syscall.Credential) error {
	reading, writing, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make lifeline: %w", err)
	}
	command := exec.Command("/bin/sh", "-c", `read _; "$0" -D "$1" -m immediate stop >/dev/null 2>&1; cd /; rm -rf "$2"`, pgctl, data, folder)
	command.Dir = folder
	command.Stdin = reading
	// A group of its own: an interrupt from the terminal is meant for the tests.
	command.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true}
	if err := command.Start(); err != nil {
		return errors.Join(fmt.Errorf("start the process that cleans up: %w", err), reading.Close(), writing.Close())
	}
	lifelines = append(lifelines, writing)
	return reading.Close()
}

// programs returns the folder of PostgreSQL's programs, the newest where there are several.
func programs() (string, error) {
	if found, err := exec.LookPath("initdb"); err == nil {
		// On the PATH there may only be a link; pg_ctl looks for postgres beside itself.
		if found, err = filepath.EvalSymlinks(found); err == nil {
			return filepath.Dir(found), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errNotInstalled
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// version reads 15 out of /usr/lib/postgresql/15/bin/initdb; 0 for what is no number.
func version(initdb string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	if err != nil {
		return 0
	}
	return n
}

// unprivileged finds a user to run the server as.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(found.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(found.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}
