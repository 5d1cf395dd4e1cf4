package ledger

import (
	"context"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
)

// RunKind is a kind of run of which each merchant has one at a time. The values are stored.
type RunKind string

// RunLease is the right to be the one run of a kind. It guards cursors: a process that lost its lease cannot move one.
type RunLease struct {
	Merchant string
	Kind     RunKind
	Holder   string
	// Token rises with every acquisition of (Merchant, Kind), for ever.
	Token int64
	// Until is by the database's clock.
	Until consent.Instant
}

// Cursor is where a reading stands; Value is opaque and holds no personal data.
type Cursor struct{ Name, Value string }

// AcquireRun takes the lease if it is free, has run out, or is held by the same holder (a retry after a crash need not wait; the
// new token fences the old run). ok is false while another holds it; the lease then tells who and until when.
func (l *Ledger) AcquireRun(ctx context.Context, merchant string, kind RunKind, holder string, ttl time.Duration,
) (lease RunLease, ok bool, err error)

// RenewRun extends a lease that nobody has taken over, even one that has run out; else ErrFenced.
func (l *Ledger) RenewRun(ctx context.Context, lease RunLease, ttl time.Duration) (RunLease, error)

// ReleaseRun frees a lease; one that was taken over is left alone.
func (l *Ledger) ReleaseRun(ctx context.Context, lease RunLease) error

// Cursor returns the value of a cursor, empty when it was never set. Cursors are written by Save.
func (l *Ledger) Cursor(ctx context.Context, merchant, name string) (string, error)

// RunStatus is how the last run of a kind went.
type RunStatus struct {
	// Began and Ended of the last run; Ended zero or before Began while one is under way.
	Began, Ended consent.Instant
	// Scanned counts the changes that were looked at; Delivered the writes, by side.
	Scanned   int64
	Delivered [2]int64
	// ErrorClass is zero and ErrorCode empty after a run without error. Failures counts the runs in a row that failed.
	ErrorClass failure.Class
	ErrorCode  string
	Failures   int
	// Lag is how far behind the sides the run was at its end.
	Lag consent.Span
}

// SetRunStatus replaces the status of (merchant, kind).
func (l *Ledger) SetRunStatus(ctx context.Context, merchant string, kind RunKind, status RunStatus) error

// RunStatuses returns the last status of every kind that ever ran.
func (l *Ledger) RunStatuses(ctx context.Context, merchant string) (map[RunKind]RunStatus, error)
