package skew

import (
	"testing"
	"time"
)

func utc(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at
}

func TestBetween(t *testing.T) {
	t.Parallel()
	began, ended := utc("2026-11-22T12:00:00.2Z"), utc("2026-11-22T12:00:01.7Z")
	for _, row := range []struct {
		what   string
		server time.Time
		want   time.Duration
	}{
		{"no Date header", time.Time{}, 0},
		{"within the call", utc("2026-11-22T12:00:01Z"), 0},
		{"the second in which the call began", utc("2026-11-22T12:00:00Z"), 0},
		{"ahead", utc("2026-11-22T12:00:04Z"), 2300 * time.Millisecond},
		{"behind", utc("2026-11-22T11:59:50Z"), -9200 * time.Millisecond},
	} {
		if got := Between(began, ended, row.server); got != row.want {
			t.Errorf("%s: %s, want %s", row.what, got, row.want)
		}
	}
}
