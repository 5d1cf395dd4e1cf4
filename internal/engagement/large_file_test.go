package engagement_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
)

// export is a file of SMS events that is made as it is read; some lines are none, and some come twice.
type export struct {
	size    int64
	at      string
	written int64
	lines   int
	bad     int
	again   int
	buffer  bytes.Buffer
}

// badEvery is how often a line of an export cannot be read, againEvery how often one comes again.
const badEvery, againEvery = 1000, 700

func (e *export) Read(p []byte) (int, error) {
	for e.buffer.Len() < len(p) && e.written < e.size {
		before := e.buffer.Len()
		n := e.lines
		e.lines++
		switch {
		case n == 0:
			e.buffer.WriteString("SendDate,Phone,CampaignId,Campaign,Link\n")
		case n%badEvery == 0:
			e.bad++
			fmt.Fprintf(&e.buffer, "yesterday,+1555%07d,c-1,Sale,%s\n", n%5_000_000, link)
		default:
			if n%againEvery == 1 && (n-1)%badEvery > 0 {
				e.again++
				n--
			}
			fmt.Fprintf(&e.buffer, "%s,+1%010d,c-%d,\"Sale, \"\"big\"\"\",%s\n", e.at, 2_125_550_000+n, n%20, link)
		}
		e.written += int64(e.buffer.Len() - before)
	}
	if e.buffer.Len() == 0 {
		return 0, io.EOF
	}
	return e.buffer.Read(p)
}

// link is as long as those of campaigns are.
var link = "https://shop.example/products/" + strings.Repeat("a-long-name-", 14) + "?utm_source=listrak&utm_medium=sms"

// TestALargeFileIsTakenInWithTheMemoryOfASmallOne reads 16 MB, or with CONCORD_LOAD=1, alone, a gigabyte:
//
//	CONCORD_LOAD=1 go test -run TestALargeFile -timeout 1h -v ./internal/engagement
func TestALargeFileIsTakenInWithTheMemoryOfASmallOne(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes under the race detector, and nothing happens side by side; CI runs it without -short")
	}
	load := os.Getenv("CONCORD_LOAD") != ""
	size := int64(16 << 20)
	if load {
		size = 1 << 30
	} else {
		t.Parallel()
	}
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	file := &export{size: size, at: w.clock.now().Add(-time.Hour).Format(time.RFC3339)}
	format := engagement.Format{Type: "sms.sent", Columns: map[string]string{"time": "SendDate", "address": "Phone", "message": "CampaignId", "title": "Campaign"}}
	peak := watchMemory()
	began, told, refused := time.Now(), 0, 0
	report, err := w.keeper.Import(t.Context(), w.id, file, format, func(engagement.Report) { told++ }, func(reason engagement.Reason) {
		refused++
		require.Equal(t, refused*badEvery+1, reason.Line)
	})
	took, most := time.Since(began), peak()
	require.NoError(t, err)
	lines := file.lines - 1
	t.Logf("%d MB, %d lines in %s: %.0f lines/s, %d MB of memory at most", file.written>>20, lines, took.Round(time.Second), float64(lines)/took.Seconds(), most>>20)
	require.Equal(t, [3]int{lines - file.bad - file.again, file.again, file.bad}, [3]int{report.Taken, report.Duplicate, report.Refused})
	require.Equal(t, file.bad, refused, "each of them is named")
	require.Greater(t, told, lines/2000)
	if load {
		require.LessOrEqual(t, most, uint64(256<<20))
	}
}
