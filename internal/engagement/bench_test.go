package engagement_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
	"github.com/concordsync/concord/internal/sandbox/list"
)

// BenchmarkReadActivity reads the activity of a message from the sandbox over HTTP into a ledger on disk: everybody new, then everybody
// again with nothing new. -benchtime 1x with 1,000,000 recipients is the figure, and -cpu 1 its one core, which the sandbox shares.
// peak_MB is what the heap held at most beyond the sandbox and its people.
func BenchmarkReadActivity(b *testing.B) {
	for _, recipients := range []int{100_000, 1_000_000} {
		for _, on := range []struct {
			name string
			dsn  func(testing.TB) string
		}{{"SQLite", ledgertest.SQLite}, {"PostgreSQL", ledgertest.Postgres}} {
			b.Run(fmt.Sprintf("%s/%d", on.name, recipients), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					w := newWorld(b, options{dsn: on.dsn(b)})
					w.set(map[consent.Sync]bool{consent.EmailEvents: true})
					id := w.campaign(recipients)
					// The test's clock stands still, so a pass would never end by itself.
					peak := watchHeap()
					b.StartTimer()
					began := time.Now()
					_, err := w.keeper.Read(b.Context(), w.id)
					first := time.Since(began)
					require.NoError(b, err)
					b.StopTimer()
					require.Equal(b, int64(recipients), sends(w, id))
					w.clock.advance(11 * time.Minute)
					b.StartTimer()
					began = time.Now()
					_, err = w.keeper.Read(b.Context(), w.id)
					require.NoError(b, err)
					b.ReportMetric(float64(recipients)/first.Seconds(), "new_rows/s")
					b.ReportMetric(float64(recipients)/time.Since(began).Seconds(), "known_rows/s")
					b.ReportMetric(float64(peak())/(1<<20), "peak_MB")
				}
			})
		}
	}
}

// watchHeap samples the heap until it is asked, and tells the most that was above what it holds now, in bytes.
func watchHeap() (most func() uint64) {
	var base runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&base)
	stop, answer := make(chan struct{}), make(chan uint64)
	go func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		var peak uint64
		for {
			select {
			case <-ticker.C:
				var now runtime.MemStats
				if runtime.ReadMemStats(&now); now.HeapAlloc > base.HeapAlloc {
					peak = max(peak, now.HeapAlloc-base.HeapAlloc)
				}
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

// campaign sends a message to people, of whom 30 % have opened and 5 % clicked.
func (w *world) campaign(recipients int) int {
	id, err := w.list.CreateMessage(list.NewMessage{Subject: "Spring"})
	require.NoError(w, err)
	emails := make([]string, recipients)
	for n := range emails {
		emails[n] = fmt.Sprintf("person-%d@example.com", n)
	}
	require.NoError(w, w.list.Send(id, time.Time{}, emails...))
	for n, email := range emails {
		switch {
		case n%20 == 0:
			require.NoError(w, w.list.Act(id, email, list.Open, time.Time{}))
			require.NoError(w, w.list.Act(id, email, list.Click, time.Time{}))
		case n%20 < 6:
			require.NoError(w, w.list.Act(id, email, list.Open, time.Time{}))
		}
	}
	return id
}
