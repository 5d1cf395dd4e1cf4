package ledger

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
)

// ClaimToken identifies a claim until it is released or runs out. Zero is no claim.
type ClaimToken int64

// ClaimRequest asks for the right to deliver to one side of a subject (I5). Its Change carries the record with the open delivery
// already in it and is written with the claim, so that a crash after it leaves an attempt with unknown end, never an unknown one.
// Its Version must be at least 1. Release is not used. A Claimed line of reason Resubscribed in its Journal says that the delivery
// turns the person from unsubscribed to subscribed, and puts it under the merchant's limit (I10).
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

// ClaimResult is the answer to one request of a batch: Err is nil, ErrNotPermitted, ErrConflict, ErrClaimed or ErrBrake.
type ClaimResult struct {
	Claim Claim
	Err   error
}

// Claim asks for one claim; see Claims.
func (l *Ledger) Claim(ctx context.Context, merchant string, limit ResubscribeLimit, request ClaimRequest) (Claim, error) {
	results, err := l.Claims(ctx, merchant, limit, []ClaimRequest{request})
	if err != nil {
		return Claim{}, err
	}
	return results[0].Claim, results[0].Err
}

// Claims grants what it can in one transaction: the merchant is running and the sync on (else ErrNotPermitted), the subject has the
// expected version (else ErrConflict), no live claim on the same side exists (else ErrClaimed), and it does not resubscribe more people
// within 24 hours than the limit allows, nor anybody while somebody waits for an operator (else ErrBrake; whoever is approved, or counted
// already, passes). The results keep the
// order of the requests. The error is for the whole batch: then nothing was granted.
func (l *Ledger) Claims(ctx context.Context, merchant string, limit ResubscribeLimit, requests []ClaimRequest) ([]ClaimResult, error) {
	braked := false
	for i := range requests {
		if requests[i].Lease <= 0 {
			return nil, errors.New("claim: the lease must be longer than nothing")
		}
		braked = braked || requests[i].resubscribes()
	}
	var results []ClaimResult
	err := l.transactCounting(ctx, "claim", merchant, func(t *transaction, known *int64) error {
		results = make([]ClaimResult, len(requests))
		on, err := t.permitted(ctx, merchant, braked)
		if err != nil {
			return err
		}
		changes := make([]Change, len(requests))
		for i, request := range requests {
			changes[i] = request.Change
		}
		versions, err := t.lockVersions(ctx, merchant, changes)
		if err != nil {
			return err
		}
		// Read after the locks: whatever held them has put its claims here.
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		live, err := t.claimed(ctx, merchant, changes, now)
		if err != nil {
			return err
		}
		free, err := t.placesFor(ctx, merchant, limit, requests, known, now)
		if err != nil {
			return err
		}
		won := make([]bool, len(requests))
		for i, request := range requests {
			switch key := request.key(); {
			case !on[request.Sync]:
				results[i].Err = ErrNotPermitted
			case request.Version == 0 || versions[key] != request.Version:
				results[i].Err = ErrConflict
			case live[claimKey{key, request.Side}]:
				results[i].Err = ErrClaimed
			case request.resubscribes() && !free.take(request.Subject):
				results[i].Err = ErrBrake
			default:
				won[i] = true
				versions[key] = beaten
			}
		}
		if err := t.write(ctx, merchant, changes, won); err != nil {
			return err
		}
		const columns = 7
		var args []any
		for i, request := range requests {
			if results[i].Err != nil {
				continue
			}
			if !won[i] {
				results[i].Err = ErrConflict
				continue
			}
			token, err := newToken()
			if err != nil {
				return err
			}
			claim := Claim{Token: token, At: now, Until: now.Plus(consent.SpanOf(request.Lease)), Version: request.Version + 1}
			results[i].Claim = claim
			args = append(args, merchant, int64(request.Channel), request.Subject[:], int64(request.Side), int64(token),
				string(request.Sync), int64(claim.Until))
		}
		// The rows of claims that ran out are still there.
		return t.insert(ctx, "INSERT INTO claims (merchant, channel, subject, side, token, sync, until)", columns, args,
			`ON CONFLICT (merchant, channel, subject, side) DO UPDATE SET token = excluded.token, sync = excluded.sync,
			until = excluded.until`, nil)
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// LiveClaims counts the claims of a sync that have not run out and tells when the last of them will, so that after "off" one can
// wait until nothing is in flight.
func (l *Ledger) LiveClaims(ctx context.Context, merchant string, sync consent.Sync) (live int, latest consent.Instant, err error) {
	fail := func(err error) (int, consent.Instant, error) {
		return 0, 0, fmt.Errorf("count live claims: %w", explain(err))
	}
	now, err := l.now(ctx, l.reads)
	if err != nil {
		return fail(err)
	}
	if err := l.reads.QueryRowContext(ctx,
		"SELECT count(*), coalesce(max(until), 0) FROM claims WHERE merchant = $1 AND sync = $2 AND until > $3",
		merchant, string(sync), int64(now)).Scan(&live, &latest); err != nil {
		return fail(err)
	}
	return live, latest, nil
}

// permitted returns the syncs that may deliver now and keeps the switches from changing until the transaction ends: "off" waits for
// the claims that came first, and those that come later see it. A braked transaction also keeps out all others that count
// re-subscriptions: of two workers at the limit, the second must see what the first was granted.
func (t *transaction) permitted(ctx context.Context, merchant string, braked bool) (map[consent.Sync]bool, error) {
	var state MerchantState
	lock := t.ledger.dialect.forShare()
	if braked {
		lock = t.ledger.dialect.forWrite()
	}
	if err := each(ctx, t, func(rows *sql.Rows) error { return rows.Scan(&state) },
		"SELECT state FROM merchants WHERE id = $1"+lock, merchant); err != nil {
		return nil, err
	}
	on := map[consent.Sync]bool{}
	if state == "" {
		return nil, ErrUnknownMerchant
	}
	if state != Running {
		return on, nil
	}
	err := each(ctx, t, func(rows *sql.Rows) error {
		var sync consent.Sync
		err := rows.Scan(&sync)
		on[sync] = true
		return err
	}, "SELECT sync FROM syncs WHERE merchant = $1 AND is_on = 1", merchant)
	return on, err
}

type claimKey struct {
	subjectKey
	side consent.Side
}

// claimed returns the live claims on the changes' subjects.
func (t *transaction) claimed(ctx context.Context, merchant string, changes []Change, now consent.Instant) (map[claimKey]bool, error) {
	list := make([][]byte, len(changes))
	for i := range changes {
		list[i] = changes[i].Subject[:]
	}
	live := map[claimKey]bool{}
	err := in(ctx, t.ledger.dialect, t,
		"SELECT channel, subject, side FROM claims WHERE merchant = $1 AND until > $2 AND channel IN (1, 2) AND subject ",
		[]any{merchant, int64(now)}, list, "", func(rows *sql.Rows) error {
			var key claimKey
			var raw []byte
			if err := rows.Scan(&key.channel, &raw, &key.side); err != nil {
				return err
			}
			var err error
			key.subject, err = subjectOf(raw)
			live[key] = true
			return err
		})
	return live, err
}

// release frees the claims that the changes name.
func (t *transaction) release(ctx context.Context, merchant string, changes []Change) error {
	var tokens []int64
	for _, change := range changes {
		if change.Release != 0 {
			tokens = append(tokens, int64(change.Release))
		}
	}
	return in(ctx, t.ledger.dialect, t, "DELETE FROM claims WHERE merchant = $1 AND token ", []any{merchant}, tokens, "", nil)
}

// newToken makes a token that no other claim will ever have, so that a late release can never free somebody else's claim.
func newToken() (ClaimToken, error) {
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return 0, fmt.Errorf("make claim token: %w", err)
	}
	// Positive, and never zero, which means "none".
	return ClaimToken(binary.BigEndian.Uint64(raw[:])>>1 | 1), nil
}
