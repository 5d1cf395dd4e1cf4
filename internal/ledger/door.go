package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/concordsync/concord/internal/consent"
)

// Times of the door.
const (
	// LongestRetry is for how long Shopify tries a delivery again (contracts/shopify.md 5.1). What it sent while the door was closed for
	// longer is lost.
	LongestRetry = 4 * consent.Hour
	// deliveryMemory is how long a delivery is remembered: longer than it may be tried again.
	deliveryMemory = 6 * consent.Hour
	// problemMemory is how long it is told that a delivery could not be read.
	problemMemory = 7 * 24 * consent.Hour
	// doorMemory is how long the door of a merchant that is none any more is remembered.
	doorMemory = 30 * 24 * consent.Hour
)

// Door is what is known of the door that takes a merchant's webhooks. The zero Door was never open.
type Door struct {
	// FirstOpen and LastOpen are when a process first and last said that it serves the door.
	FirstOpen, LastOpen consent.Instant
	// GapFrom and GapUntil are the last time that it was closed for longer than LongestRetry, zero for never.
	GapFrom, GapUntil consent.Instant
	// LastDelivery is when a verified webhook last came, to the minute; zero for never.
	LastDelivery consent.Instant
	// Problems counts the deliveries since ProblemSince that could not be read, and LastProblem is the newest; none when it is zero.
	Problems     int64
	ProblemSince consent.Instant
	LastProblem  WebhookProblem
}

// WebhookProblem is a verified delivery from which nothing followed.
type WebhookProblem struct {
	Topic, Problem string
	// ID names the delivery; Door leaves it out.
	ID       string
	Received consent.Instant
}

// KeepDoorOpen says that this process serves the door of every merchant now, and that something was delivered to some since it last said
// so. It is to be called every minute.
func (l *Ledger) KeepDoorOpen(ctx context.Context, delivered []string) error {
	return l.transact(ctx, "keep the door open", func(t *transaction) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		// In the order of the merchants: two processes that do this at once wait for each other instead of deadlocking.
		if _, err := t.ExecContext(ctx, `INSERT INTO doors (merchant, first_open, last_open, gap_from, gap_until, last_delivery,
				problems, problem_since, problem_last, problem_topic, problem)
			SELECT id, CAST($1 AS BIGINT), CAST($1 AS BIGINT), 0, 0, 0, 0, 0, 0, '', '' FROM merchants WHERE state <> 'removed' ORDER BY id
			ON CONFLICT (merchant) DO UPDATE SET
			first_open = CASE WHEN doors.first_open = 0 THEN excluded.first_open ELSE doors.first_open END,
			gap_from = CASE WHEN doors.last_open > 0 AND excluded.last_open - doors.last_open > $2 THEN doors.last_open ELSE doors.gap_from END,
			gap_until = CASE WHEN doors.last_open > 0 AND excluded.last_open - doors.last_open > $2 THEN excluded.last_open ELSE doors.gap_until END,
			last_open = CASE WHEN excluded.last_open > doors.last_open THEN excluded.last_open ELSE doors.last_open END`,
			int64(now), int64(LongestRetry)); err != nil {
			return err
		}
		return in(ctx, t.ledger.dialect, t, "UPDATE doors SET last_delivery = $1 WHERE merchant ", []any{int64(now)},
			slices.Sorted(slices.Values(delivered)), "", nil)
	})
}

// Door returns what is known of the merchant's door. Problems that are older than a week are no longer told.
func (l *Ledger) Door(ctx context.Context, merchant string) (Door, error) {
	var d Door
	now, err := l.now(ctx, l.reads)
	if err != nil {
		return Door{}, fmt.Errorf("read door: %w", explain(err))
	}
	err = l.reads.QueryRowContext(ctx, `SELECT first_open, last_open, gap_from, gap_until, last_delivery,
		problems, problem_since, problem_last, problem_topic, problem FROM doors WHERE merchant = $1`, merchant).
		Scan(&d.FirstOpen, &d.LastOpen, &d.GapFrom, &d.GapUntil, &d.LastDelivery,
			&d.Problems, &d.ProblemSince, &d.LastProblem.Received, &d.LastProblem.Topic, &d.LastProblem.Problem)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Door{}, fmt.Errorf("read door: %w", explain(err))
	}
	if now.Since(d.LastProblem.Received) > problemMemory {
		d.Problems, d.ProblemSince, d.LastProblem = 0, 0, WebhookProblem{}
	}
	return d, nil
}

// WebhookProblems returns the merchant's deliveries of the last hours that could not be read, the newest first.
func (l *Ledger) WebhookProblems(ctx context.Context, merchant string, limit int) ([]WebhookProblem, error) {
	var list []WebhookProblem
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var p WebhookProblem
		err := rows.Scan(&p.ID, &p.Topic, &p.Problem, &p.Received)
		list = append(list, p)
		return err
	}, `SELECT delivery, topic, problem, received FROM deliveries WHERE merchant = $1 AND problem <> '' ORDER BY received DESC, delivery LIMIT $2`,
		merchant, limit)
	if err != nil {
		return nil, fmt.Errorf("read webhooks with problems: %w", explain(err))
	}
	return list, nil
}

// countProblems counts new deliveries that could not be read.
func (t *transaction) countProblems(ctx context.Context, webhooks []Webhook, receipts []WebhookReceipt, now consent.Instant) error {
	last, counts := map[string]*Webhook{}, map[string]int{}
	for i := range webhooks {
		if w := &webhooks[i]; w.Problem != "" && !receipts[i].Duplicate {
			last[w.Merchant] = w
			counts[w.Merchant]++
		}
	}
	for _, merchant := range slices.Sorted(maps.Keys(last)) {
		if _, err := t.ExecContext(ctx, `INSERT INTO doors (merchant, first_open, last_open, gap_from, gap_until, last_delivery,
				problems, problem_since, problem_last, problem_topic, problem)
			VALUES ($1, 0, 0, 0, 0, 0, $3, $2, $2, $4, $5) ON CONFLICT (merchant) DO UPDATE SET
			problems = CASE WHEN doors.problem_last < $6 THEN excluded.problems ELSE doors.problems + excluded.problems END,
			problem_since = CASE WHEN doors.problem_last < $6 THEN excluded.problem_since ELSE doors.problem_since END,
			problem_last = excluded.problem_last, problem_topic = excluded.problem_topic, problem = excluded.problem`,
			merchant, int64(now), counts[merchant], text(last[merchant].Topic), text(last[merchant].Problem),
			int64(now.Plus(-problemMemory))); err != nil {
			return err
		}
	}
	return nil
}
