package ledger_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

const (
	crashDSN   = "CONCORD_TEST_CRASH_DSN"
	crashBatch = 700
)

// crashChild is what this test binary does when TestKillNineLeavesWholeBatches starts it again: it saves batches, with their cursor,
// until it is killed, and says so after each.
func crashChild() {
	dsn := os.Getenv(crashDSN)
	if dsn == "" {
		return
	}
	ctx := context.Background()
	l, err := ledger.Open(ctx, dsn)
	if err == nil {
		err = writeUntilKilled(ctx, l)
	}
	fmt.Println("child failed:", err)
	os.Exit(1)
}

func writeUntilKilled(ctx context.Context, l *ledger.Ledger) error {
	lease, _, err := l.AcquireRun(ctx, acme, "crash", "child", consent.Hour.Duration())
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		batch := ledger.Batch{Lease: &lease, Cursors: []ledger.Cursor{{Name: "batch", Value: fmt.Sprint(n + 1)}}}
		for i := range crashBatch {
			batch.Changes = append(batch.Changes, ledger.Change{Channel: consent.Email, Subject: subject(n*crashBatch + i),
				Record: decided(consent.Subscribed, consent.Instant(n+1)), Journal: []ledger.Line{{Kind: ledger.Decided}}})
		}
		if _, err := l.Save(ctx, acme, batch); err != nil {
			return err
		}
		fmt.Println("saved", n+1)
	}
}

func TestKillNineLeavesWholeBatches(t *testing.T) {
	t.Parallel()
	for _, database := range databases {
		if database.name == "memory" {
			continue
		}
		t.Run(database.name, func(t *testing.T) {
			t.Parallel()
			dsn := database.dsn(t)
			l := open(t, dsn)
			for round := range 3 {
				answered := killAfter(t, dsn, 2+round)
				// Opened anew: after a crash nothing of the old process helps.
				after := open(t, dsn)
				known, err := after.CountSubjects(t.Context(), acme, consent.Email)
				require.NoError(t, err)
				cursors, err := after.Cursors(t.Context(), acme)
				require.NoError(t, err)
				require.Zero(t, known%crashBatch, "a batch is whole or not there")
				require.Equal(t, fmt.Sprint(known/crashBatch), cursors["batch"], "the cursor belongs to the batches")
				require.GreaterOrEqual(t, known, answered*crashBatch, "what was answered is kept")
				for _, n := range []int64{0, known - 1} {
					lines, err := l.Journal(t.Context(), acme, consent.Email, subject(int(n)))
					require.NoError(t, err)
					require.Len(t, lines, 1)
				}
				if round < 2 {
					// The child begins at its first batch again; make room for it.
					dsn = database.dsn(t)
					l = open(t, dsn)
				}
			}
		})
	}
}

// killAfter starts the child, kills it while it works on the batch after the given one, and returns how many it had answered.
func killAfter(t *testing.T, dsn string, batches int) int64 {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDSN+"="+dsn)
	output, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := bufio.NewScanner(output)
	answered := int64(0)
	killed := false
	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "saved %d", &answered); err != nil {
			t.Error(lines.Text())
			break
		}
		if answered >= int64(batches) && !killed {
			killed = true
			require.NoError(t, child.Process.Kill())
		}
	}
	require.Error(t, child.Wait(), "killed")
	require.True(t, killed)
	return answered
}
