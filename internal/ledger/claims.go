package ledger

import (
	"context"
	"time"

	"github.com/concordsync/concord/internal/consent"
)

// ClaimToken identifies a claim until it is released or runs out. Zero is no claim.
type ClaimToken int64

// ClaimRequest asks for the right to deliver to one side of a subject (I5). Its Change carries the record with the open delivery
// already in it and is written with the claim, so that a crash after it leaves an attempt with unknown end, never an unknown one.
// Its Version must be at least 1. Release is not used.
type ClaimRequest struct {
	Change
	Side consent.Side
	Sync consent.Sync
	// Lease is how long nobody else can claim; the call's deadline must lie before its end.
	Lease time.Duration
}

// Claim is a granted claim.
type Claim struct {
	Token ClaimToken
	// At and Until are by the database's clock: Until-At is how long the holder has.
	At, Until consent.Instant
	// Version is the subject's version now.
	Version int64
}

// ClaimResult is the answer to one request of a batch: Err is nil, ErrNotPermitted, ErrConflict or ErrClaimed.
type ClaimResult struct {
	Claim Claim
	Err   error
}

// Claim asks for one claim; see Claims.
func (l *Ledger) Claim(ctx context.Context, merchant string, request ClaimRequest) (Claim, error)

// Claims grants what it can in one transaction: the merchant is running and the sync on (else ErrNotPermitted), the subject has the
// expected version (else ErrConflict), and no live claim on the same side exists (else ErrClaimed). The results keep the order of
// the requests. The error is for the whole batch: then nothing was granted.
func (l *Ledger) Claims(ctx context.Context, merchant string, requests []ClaimRequest) ([]ClaimResult, error)

// LiveClaims counts the claims of a sync that have not run out and tells when the last of them will, so that after "off" one can
// wait until nothing is in flight.
func (l *Ledger) LiveClaims(ctx context.Context, merchant string, sync consent.Sync) (live int, latest consent.Instant, err error)
