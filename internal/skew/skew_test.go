package skew

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestWithin(t *testing.T) {
	t.Parallel()
	type call struct{ began, ended, server time.Duration }
	for _, row := range []struct {
		what  string
		calls []call
		want  time.Duration
	}{
		{"never compared", nil, Unmeasured},
		{"within the second", []call{{300 * time.Millisecond, 500 * time.Millisecond, 0}}, Precision},
		{"ahead", []call{{200 * time.Millisecond, 700 * time.Millisecond, 4 * time.Second}}, 4800 * time.Millisecond},
		{"behind", []call{{200 * time.Millisecond, 700 * time.Millisecond, -9 * time.Second}}, 9700 * time.Millisecond},
		{"a slow call after a quick one", []call{{0, time.Second, -9 * time.Second}, {time.Minute, 75 * time.Second, 62 * time.Second}}, 10 * time.Second},
		{"a slow call alone", []call{{0, 15 * time.Second, 2 * time.Second}}, 13 * time.Second},
		{"the clock was set meanwhile", []call{{0, time.Second, -9 * time.Second}, {time.Minute, 61 * time.Second, 60 * time.Second}}, Precision},
		{"long ago", []call{{0, time.Second, -9 * time.Second}, {2 * time.Hour, 2*time.Hour + 15*time.Second, 2*time.Hour - 7*time.Second}}, 22 * time.Second},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			var c Clock
			for _, one := range row.calls {
				c.Compare(noon.Add(one.began), noon.Add(one.ended), noon.Add(one.server))
			}
			if got := c.Within(); got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
		})
	}
	var c Clock
	if got := c.CutWithin(time.Second); got != Unmeasured+time.Second {
		t.Errorf("a cut date of a clock never compared: %s", got)
	}
	c.Compare(noon, noon, time.Time{})
	if got := c.Within(); got != Unmeasured {
		t.Errorf("an answer without a Date header: %s, want %s", got, Unmeasured)
	}
}

// However slow the calls are, the bound covers the true difference of the clocks.
func TestWithinCoversTheTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ahead := time.Duration(rapid.Int64Range(-30_000, 30_000).Draw(t, "ms ahead")) * time.Millisecond
		var c Clock
		now := noon
		for range rapid.IntRange(1, 20).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 120_000).Draw(t, "ms between")) * time.Millisecond)
			took := time.Duration(rapid.Int64Range(0, 20_000).Draw(t, "ms that it took")) * time.Millisecond
			answered := now.Add(time.Duration(rapid.Float64Range(0, 1).Draw(t, "when in it") * float64(took)))
			c.Compare(now, now.Add(took), answered.Add(ahead).Truncate(time.Second))
			now = now.Add(took)
			if got := c.Within(); got < ahead.Abs() {
				t.Fatalf("within %s, but the clock is %s ahead", got, ahead)
			}
			date := now.Add(ahead).Truncate(time.Second)
			if got, off := c.CutWithin(time.Second), date.Sub(now).Abs(); got < off {
				t.Fatalf("within %s, but a date cut to the second by a clock that is %s ahead is off by %s", got, ahead, off)
			}
		}
	})
}
