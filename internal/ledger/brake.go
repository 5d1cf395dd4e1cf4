package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/concordsync/concord/internal/consent"
)

// brakeSpan is in which span re-subscriptions, approvals and unsubscribes count.
const brakeSpan = 24 * consent.Hour

// ResubscribeLimit is how many people a merchant's deliveries may turn from unsubscribed to subscribed within 24 hours (I10): Fixed,
// and one more for every KnownPer people known. Zero KnownPer adds none; the zero limit stops everybody.
type ResubscribeLimit struct {
	Fixed, KnownPer int64
}

// Of is the limit of a merchant of whom so many people are known.
func (l ResubscribeLimit) Of(known int64) int64 {
	if l.KnownPer == 0 {
		return l.Fixed
	}
	return l.Fixed + known/l.KnownPer
}

// Brake is how a merchant stands to its limit.
type Brake struct {
	// Resubscribed counts the people whom deliveries of the last 24 hours have turned, or may have turned, from unsubscribed to
	// subscribed.
	Resubscribed int64
	// Limit is the merchant's. It is the fixed part alone as long as that leaves room enough: counting those known is dear.
	Limit int64
	// Approved is by how many operators have raised the limit for these 24 hours.
	Approved int64
	// Waiting counts those who are stopped, by side.
	Waiting [2]int64
	// Counted tells of the subjects that were asked for whether they are among Resubscribed: they pass again without being counted.
	Counted map[consent.Subject]bool
}

// Room is how many more people may be turned now.
func (b Brake) Room() int64 { return max(0, b.Limit+b.Approved-b.Resubscribed) }

// Brake tells how a merchant stands to its limit, and which of these subjects are counted already.
func (l *Ledger) Brake(ctx context.Context, merchant string, limit ResubscribeLimit, subjects []consent.Subject) (Brake, error) {
	fail := func(err error) (Brake, error) { return Brake{}, fmt.Errorf("read the brake: %w", explain(err)) }
	now, err := l.now(ctx, l.reads)
	if err != nil {
		return fail(err)
	}
	want := max(1, int64(len(subjects)))
	b, err := l.brake(ctx, l.reads, merchant, limit, nil, want, now)
	if errors.Is(err, errUncounted) {
		var known int64
		if known, err = l.peopleKnown(ctx, merchant, now); err != nil {
			return fail(err)
		}
		b, err = l.brake(ctx, l.reads, merchant, limit, &known, want, now)
	}
	if err != nil {
		return fail(err)
	}
	if b.Counted, err = l.resubscribedAmong(ctx, l.reads, merchant, subjects, now); err != nil {
		return fail(err)
	}
	for _, side := range consent.Sides {
		column, _ := debtColumns(side)
		if err := each(ctx, l.reads, func(rows *sql.Rows) error { return rows.Scan(&b.Waiting[side]) },
			"SELECT count(*) FROM subjects WHERE merchant = $1 AND channel IN (1, 2) AND "+column+" = 8 AND "+column+" > 0", merchant); err != nil {
			return fail(err)
		}
	}
	return b, nil
}

// Approve lets so many people more be turned from unsubscribed to subscribed, within the next 24 hours. Those by whom the limit is
// exceeded already are approved with them, in a line of their own: otherwise the approval would be used up by what has been done
// before it, as after a limit was lowered. It returns the brake as it is then. ErrUnknownMerchant when there is none.
func (l *Ledger) Approve(ctx context.Context, merchant string, limit ResubscribeLimit, people int64) (Brake, error) {
	if people < 1 {
		return Brake{}, errors.New("approve: nobody is approved")
	}
	var b Brake
	err := l.transactCounting(ctx, "approve re-subscriptions", merchant, func(t *transaction, known *int64) error {
		if _, err := t.active(ctx, merchant); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if b, err = l.brake(ctx, t, merchant, limit, known, people, now); err != nil {
			return err
		}
		lines := []Line{{Kind: Approved, Side: NoSide, Count: people}}
		if over := b.Resubscribed - b.Limit - b.Approved; over > 0 {
			lines = append(lines, Line{Kind: Approved, Side: NoSide, Reason: OverLimit, Count: over})
		}
		for _, line := range lines {
			b.Approved += line.Count
		}
		return t.journal(ctx, merchant, lines)
	})
	return b, err
}

// Alarm is about many unsubscribes: nobody is stopped, but somebody should look (I10).
type Alarm struct {
	// Unsubscribed counts the people whom deliveries have unsubscribed within 24 hours; Limit is the one on re-subscriptions.
	Unsubscribed, Limit int64
}

// Stands reports whether there is something to look at.
func (a Alarm) Stands() bool { return a.Unsubscribed > a.Limit }

// Unsubscriptions counts the people whom deliveries of the last 24 hours have unsubscribed.
func (l *Ledger) Unsubscriptions(ctx context.Context, merchant string) (int64, error) {
	now, err := l.now(ctx, l.reads)
	if err != nil {
		return 0, fmt.Errorf("count unsubscribes: %w", explain(err))
	}
	var n int64
	if err := each(ctx, l.reads, func(rows *sql.Rows) error { return rows.Scan(&n) },
		`SELECT count(DISTINCT subject) FROM journal WHERE merchant = $1 AND channel IN (1, 2) AND at >= $2
		AND kind = 'delivered' AND state = 7`, merchant, int64(now.Plus(-brakeSpan))); err != nil {
		return 0, fmt.Errorf("count unsubscribes: %w", explain(err))
	}
	return n, nil
}

// RaiseAlarm writes down that more people than the limit were unsubscribed within 24 hours, if so, and reports whether it is news: of
// many processes one is told, and none again for 24 hours.
func (l *Ledger) RaiseAlarm(ctx context.Context, merchant string, limit ResubscribeLimit) (alarm Alarm, news bool, err error) {
	alarm.Limit = limit.Fixed
	if alarm.Unsubscribed, err = l.Unsubscriptions(ctx, merchant); err != nil || !alarm.Stands() {
		return alarm, false, err
	}
	now, err := l.now(ctx, l.reads)
	if err != nil {
		return alarm, false, fmt.Errorf("raise an alarm: %w", explain(err))
	}
	known, err := l.peopleKnown(ctx, merchant, now)
	if err != nil {
		return alarm, false, fmt.Errorf("raise an alarm: %w", explain(err))
	}
	if alarm.Limit = limit.Of(known); !alarm.Stands() {
		return alarm, false, nil
	}
	err = l.transact(ctx, "raise an alarm", func(t *transaction) error {
		if _, err := t.active(ctx, merchant); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		news = true
		if err := each(ctx, t, func(*sql.Rows) error { news = false; return nil },
			"SELECT 1 FROM journal WHERE merchant = $1 AND channel = 0 AND subject = $2 AND at >= $3 AND kind = 'alarm' LIMIT 1",
			merchant, merchantLine[:], int64(now.Plus(-brakeSpan))); err != nil || !news {
			return err
		}
		return t.journal(ctx, merchant, []Line{{Kind: AlarmRaised, Reason: ManyUnsubscribed, Side: NoSide, Count: alarm.Unsubscribed}})
	})
	return alarm, news && err == nil, err
}

// merchantLine is the subject of lines that are about the merchant.
var merchantLine consent.Subject

// errUncounted asks for the number of people known, which a transaction must not spend its locks on.
var errUncounted = errors.New("how many people are known has not been counted")

// brake reads the counts. known is nil as long as those known are not counted; errUncounted when the answer depends on them: the
// fixed part of the limit does not leave room for want people.
func (l *Ledger) brake(ctx context.Context, q rowsQuerier, merchant string, limit ResubscribeLimit, known *int64, want int64,
	now consent.Instant) (Brake, error) {
	b := Brake{Limit: limit.Fixed}
	since := int64(now.Plus(-brakeSpan))
	if err := each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&b.Resubscribed) },
		`SELECT count(DISTINCT subject) FROM journal WHERE merchant = $1 AND channel IN (1, 2) AND at >= $2
		AND reason = 'resubscribed' AND kind = 'claimed'`, merchant, since); err != nil {
		return Brake{}, err
	}
	if err := each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&b.Approved) },
		`SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM journal
		WHERE merchant = $1 AND channel = 0 AND subject = $2 AND at >= $3 AND kind = 'approved'`,
		merchant, merchantLine[:], since); err != nil {
		return Brake{}, err
	}
	switch {
	case known != nil:
		b.Limit = limit.Of(*known)
	case limit.KnownPer > 0 && b.Room() < want:
		return Brake{}, errUncounted
	}
	return b, nil
}

// resubscribedAmong finds those of the subjects who are counted already.
func (l *Ledger) resubscribedAmong(ctx context.Context, q rowsQuerier, merchant string, subjects []consent.Subject, now consent.Instant,
) (map[consent.Subject]bool, error) {
	counted := map[consent.Subject]bool{}
	err := in(ctx, l.dialect, q, `SELECT DISTINCT subject FROM journal WHERE merchant = $1 AND channel IN (1, 2) AND at >= $2
		AND reason = 'resubscribed' AND kind = 'claimed' AND subject `,
		[]any{merchant, int64(now.Plus(-brakeSpan))}, subjectBytes(subjects), "", func(rows *sql.Rows) error {
			var raw []byte
			if err := rows.Scan(&raw); err != nil {
				return err
			}
			subject, err := subjectOf(raw)
			counted[subject] = true
			return err
		})
	return counted, err
}

// transactCounting is transact for a body that may need the number of people known: it is counted outside of the transaction, and
// the body runs once more.
func (l *Ledger) transactCounting(ctx context.Context, doing, merchant string, body func(t *transaction, known *int64) error) error {
	run := func(known *int64) error {
		return l.transact(ctx, doing, func(t *transaction) error { return body(t, known) })
	}
	err := run(nil)
	if !errors.Is(err, errUncounted) {
		return err
	}
	now, err := l.now(ctx, l.reads)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, explain(err))
	}
	known, err := l.peopleKnown(ctx, merchant, now)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, explain(err))
	}
	return run(&known)
}

// knownLife is how long a count of the people known is good enough. A thousandth of it counts, and while people wait it is asked for
// in every round, although it may read the whole table.
const knownLife = 10 * consent.Minute

// knownCounts remembers how many people are known, by merchant.
type knownCounts struct {
	mu     sync.Mutex
	counts map[string]knownCount
}

type knownCount struct {
	people int64
	at     consent.Instant
}

func (l *Ledger) peopleKnown(ctx context.Context, merchant string, now consent.Instant) (int64, error) {
	l.known.mu.Lock()
	defer l.known.mu.Unlock()
	if c, ok := l.known.counts[merchant]; ok && now.Since(c.at) < knownLife {
		return c.people, nil
	}
	var n int64
	if err := each(ctx, l.reads, func(rows *sql.Rows) error { return rows.Scan(&n) },
		"SELECT count(*) FROM subjects WHERE merchant = $1", merchant); err != nil {
		return 0, err
	}
	if l.known.counts == nil {
		l.known.counts = map[string]knownCount{}
	}
	l.known.counts[merchant] = knownCount{n, now}
	return n, nil
}

// resubscribes reports whether a request turns a person from unsubscribed to subscribed. The line that says so is the one that is
// counted, so that nothing can be limited and not counted, or counted and not limited.
func (r *ClaimRequest) resubscribes() bool {
	return slices.ContainsFunc(r.Journal, func(line Line) bool { return line.Kind == Claimed && line.Reason == Resubscribed })
}

// places are what a batch of claims may still use of the merchant's allowance.
type places struct {
	left    int64
	counted map[consent.Subject]bool
}

// placesFor reads them for those of the requests that resubscribe. The merchant's row is locked: nobody else counts or uses places
// until the transaction ends.
func (t *transaction) placesFor(ctx context.Context, merchant string, limit ResubscribeLimit, requests []ClaimRequest, known *int64,
	now consent.Instant) (places, error) {
	var subjects []consent.Subject
	for i := range requests {
		if requests[i].resubscribes() {
			subjects = append(subjects, requests[i].Subject)
		}
	}
	if len(subjects) == 0 {
		return places{}, nil
	}
	b, err := t.ledger.brake(ctx, t, merchant, limit, known, int64(len(subjects)), now)
	if err != nil {
		return places{}, err
	}
	counted, err := t.ledger.resubscribedAmong(ctx, t, merchant, subjects, now)
	return places{b.Room(), counted}, err
}

// take uses a place for a subject, unless it has one already. It reports false when there is none left.
func (p *places) take(subject consent.Subject) bool {
	switch {
	case p.counted[subject]:
		return true
	case p.left == 0:
		return false
	}
	p.left--
	p.counted[subject] = true
	return true
}
