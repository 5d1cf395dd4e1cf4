package consent

import "time"

// Instant is a point in time in microseconds since the Unix epoch, UTC: the precision that the ledger keeps. Zero means
// "undated". It is a number, not a time.Time, so that records compare with == and deciding allocates nothing.
type Instant int64

// Span is a length of time in microseconds.
type Span int64

// The spans that rules are written in.
const (
	Microsecond Span = 1
	Millisecond      = 1000 * Microsecond
	Second           = 1000 * Millisecond
	Minute           = 60 * Second
	Hour             = 60 * Minute
)

// InstantOf converts a time; the zero time.Time becomes the undated Instant.
func InstantOf(t time.Time) Instant {
	if t.IsZero() {
		return 0
	}
	return Instant(t.UnixMicro())
}

// SpanOf converts a duration, cutting off what is shorter than a microsecond.
func SpanOf(d time.Duration) Span { return Span(d / time.Microsecond) }

// Time converts back, in UTC; an undated Instant becomes the zero time.Time.
func (i Instant) Time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(i)).UTC()
}

// Plus returns the instant s later.
func (i Instant) Plus(s Span) Instant { return i + Instant(s) }

// Since returns how long i is after earlier; negative when it is before.
func (i Instant) Since(earlier Instant) Span { return Span(i - earlier) }

// Seconds cuts i to whole seconds, the precision in which Shopify stores consent dates.
func (i Instant) Seconds() Instant { return i - i%Instant(Second) }

// Duration converts back.
func (s Span) Duration() time.Duration { return time.Duration(s) * time.Microsecond }
