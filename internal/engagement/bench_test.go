package engagement_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
	"github.com/concordsync/concord/internal/sandbox"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// BenchmarkReadActivity reads the activity of a message over HTTP into a ledger on disk: everybody new, then everybody again with nothing new.
// The sandbox is a process of its own, so that -cpu 1 is one core for what is measured. 1,000,000 recipients are the figure:
//
//	go test -run '^$' -bench ReadActivity/SQLite/1000000 -benchtime 1x -cpu 1 ./internal/engagement
//
// cpu_rows/s are new rows by the processor time of this process, which other work on the machine does not change; MB is all that its
// runtime held of the system's memory at most.
func BenchmarkReadActivity(b *testing.B) {
	for _, recipients := range []int{100_000, 1_000_000} {
		for _, on := range []struct {
			name string
			dsn  func(testing.TB) string
		}{{"SQLite", ledgertest.SQLite}, {"PostgreSQL", ledgertest.Postgres}} {
			b.Run(fmt.Sprintf("%s/%d", on.name, recipients), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					at := sandboxProcess(b, recipients)
					w := newWorld(b, options{dsn: on.dsn(b), begins: time.Now(), at: &at})
					w.set(map[consent.Sync]bool{consent.EmailEvents: true})
					peak := watchMemory()
					// The test's clock stands still, so a pass would never end by itself.
					b.StartTimer()
					began, busy := time.Now(), processorTime(b)
					_, err := w.keeper.Read(b.Context(), w.id)
					first, busy := time.Since(began), processorTime(b)-busy
					require.NoError(b, err)
					b.StopTimer()
					require.Equal(b, int64(recipients), sends(w, at.Message))
					w.clock.advance(11 * time.Minute)
					b.StartTimer()
					began = time.Now()
					_, err = w.keeper.Read(b.Context(), w.id)
					require.NoError(b, err)
					b.ReportMetric(float64(recipients)/first.Seconds(), "new_rows/s")
					b.ReportMetric(float64(recipients)/busy.Seconds(), "cpu_rows/s")
					b.ReportMetric(float64(recipients)/time.Since(began).Seconds(), "known_rows/s")
					b.ReportMetric(float64(peak())/(1<<20), "MB")
				}
			})
		}
	}
}

// processorTime is what this process has used so far, of all its threads.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// watchMemory samples the memory of this process until it is asked for the most, in bytes.
func watchMemory() (most func() uint64) {
	runtime.GC()
	stop, answer := make(chan struct{}), make(chan uint64)
	go func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		var peak uint64
		for {
			select {
			case <-ticker.C:
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				peak = max(peak, now.Sys-now.HeapReleased)
			case <-stop:
				answer <- peak
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-answer
	}
}

func sends(w *world, id int) (sum int64) {
	totals, err := w.ledger.EngagementTotals(w.Context(), w.id)
	require.NoError(w, err)
	for _, counts := range totals[messageID(id)] {
		sum += counts.Sends
	}
	return sum
}

// sandboxFor makes this program a sandbox, in which a message was sent to so many people.
const sandboxFor = "CONCORD_TEST_SANDBOX_RECIPIENTS"

// sandboxProcess starts a sandbox as a process of its own, which ends with the benchmark.
func sandboxProcess(b *testing.B, recipients int) (at addresses) {
	b.Helper()
	program, err := os.Executable()
	require.NoError(b, err)
	command := exec.CommandContext(b.Context(), program)
	command.Env, command.Stderr = append(os.Environ(), fmt.Sprint(sandboxFor, "=", recipients)), os.Stderr
	in, err := command.StdinPipe()
	require.NoError(b, err)
	out, err := command.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, command.Start())
	b.Cleanup(func() {
		_ = in.Close() // that is what it waits for
		_ = command.Wait()
	})
	require.NoError(b, json.NewDecoder(out).Decode(&at))
	return at
}

// serveSandbox is the process of sandboxProcess: it serves until its input ends.
func serveSandbox(recipients string) (code int) {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		return 1
	}
	many, err := strconv.Atoi(recipients)
	if err != nil {
		return fail(err)
	}
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		return fail(err)
	}
	box, err := sandbox.Start(sandbox.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fail(err)
	}
	defer box.Close()
	box.AddShop(shop.Config{Domain: "acme.myshopify.com", Token: "shpat_1"})
	store := box.AddList(list.Config{ID: listID, ClientID: "integration", Secret: secret, Zone: zone})
	sent, err := sandbox.SendMessage(store, sandbox.MessageAct{Subject: "Spring", Recipients: many, OpenPercent: 30, ClickPercent: 5})
	if err != nil {
		return fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(addresses{box.ShopifyURL("acme.myshopify.com"), box.ListrakURL(), box.ListrakAuthURL(), sent.ID}); err != nil {
		return fail(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // however it ends
	return 0
}
