package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/concordsync/concord/internal/consent"
)

// brakeSpan is in which span re-subscriptions and unsubscribes count, and for how long an approval holds.
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
	// subscribed, within the limit or approved.
	Resubscribed int64
	// Limit is the merchant's. It is the fixed part alone where the rest makes no difference: counting those known is dear.
	Limit int64
	// Approved is how many people operators have approved within 24 hours.
	Approved int64
	// Closed: somebody is stopped and waits for an operator, so that nobody else is resubscribed either.
	Closed bool
	// Passing tells of the subjects that were asked for whether they may pass: they are approved, or among Resubscribed already.
	Passing map[consent.Subject]bool
}

// Room is how many more people may be turned now without an approval.
func (b Brake) Room() int64 {
	if b.Closed {
		return 0
	}
	return max(0, b.Limit-b.Resubscribed)
}

// Brake tells how a merchant stands to its limit, and which of these subjects may pass.
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
	if b.Passing, err = l.passingAmong(ctx, l.reads, merchant, subjects, now); err != nil {
		return fail(err)
	}
	return b, nil
}

// Stops counts those whom the limit has stopped, by side.
type Stops struct {
	// Waiting have not been approved, or no longer are. Approved go on with the next round.
	Waiting, Approved [2]int64
}

// Stops counts who is stopped on these channels; on all when none is named.
func (l *Ledger) Stops(ctx context.Context, merchant string, channels ...consent.Channel) (Stops, error) {
	now, err := l.now(ctx, l.reads)
	if err != nil {
		return Stops{}, fmt.Errorf("count who is stopped: %w", explain(err))
	}
	var stops Stops
	for _, side := range consent.Sides {
		if err := each(ctx, l.reads, func(rows *sql.Rows) error { return rows.Scan(&stops.Waiting[side], &stops.Approved[side]) },
			"SELECT count(*) - coalesce(sum(approved), 0), coalesce(sum(approved), 0) FROM (SELECT "+isApproved("$2")+
				" AS approved FROM subjects WHERE merchant = $1 AND "+isOn(channels)+" AND "+isStopped(side)+") AS stopped",
			merchant, int64(now.Plus(-brakeSpan))); err != nil {
			return Stops{}, fmt.Errorf("count who is stopped: %w", explain(err))
		}
	}
	return stops, nil
}

// isStopped is the condition for those whom the limit has stopped towards a side. The second half is for the partial index.
func isStopped(side consent.Side) string {
	column, _ := debtColumns(side)
	return column + " = 8 AND " + column + " > 0"
}

// isApproved is 1 for those whom an operator has approved, not before the parameter named, and else 0. It is a CASE, and asks for no
// reason, so that PostgreSQL looks into the journal once for each person, by the person: joined, or by the index of re-subscriptions, it
// would read all of these for each, as soon as its statistics are older than a large approval.
func isApproved(since string) string {
	return `CASE WHEN EXISTS (SELECT 1 FROM journal WHERE journal.merchant = subjects.merchant AND journal.channel = subjects.channel
		AND journal.subject = subjects.subject AND journal.at >= ` + since + ` AND journal.kind = 'approved') THEN 1 ELSE 0 END`
}

// waitFor is the condition for those who are stopped towards a side whose sync, the third parameter, is on, and have no approval that
// is not older than the fourth. Who waits for a sync that is off keeps nobody of the other one waiting, and cannot be approved.
func waitFor(side consent.Side) string {
	return "merchant = $1 AND channel = $2 AND decision = 6 AND " + isStopped(side) +
		" AND EXISTS (SELECT 1 FROM syncs WHERE syncs.merchant = $1 AND syncs.sync = $3 AND syncs.is_on = 1) AND " + isApproved("$4") + " = 0"
}

// eachQueue asks for every channel and side; the query's first four parameters are those of waitFor.
func eachQueue(ctx context.Context, q rowsQuerier, merchant string, now consent.Instant,
	query func(side consent.Side) string, scan func(channel consent.Channel, side consent.Side, rows *sql.Rows) error, more ...any) error {
	for _, channel := range consent.Channels {
		for _, side := range consent.Sides {
			args := append([]any{merchant, int64(channel), string(consent.SyncTo(channel, side)), int64(now.Plus(-brakeSpan))}, more...)
			if err := each(ctx, q, func(rows *sql.Rows) error { return scan(channel, side, rows) }, query(side), args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// Approve lets so many of those who are stopped be turned from unsubscribed to subscribed within the next 24 hours, the oldest decisions
// first, and returns how many it found. They are approved by name, one line of the journal each: so nobody else can use up an approval,
// nothing can use it twice, and whoever was not delivered in time is simply stopped as before. Who waits for a sync that is off is not
// among them. ErrUnknownMerchant when there is none.
func (l *Ledger) Approve(ctx context.Context, merchant string, people int64) (int64, error) {
	if people < 1 {
		return 0, errors.New("approve: nobody is approved")
	}
	var approved int64
	err := l.transact(ctx, "approve re-subscriptions", func(t *transaction) error {
		approved = 0
		// The lock on the merchant: of two operators the second approves others than the first.
		if _, err := t.active(ctx, merchant); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		var lines []Line
		if err := eachQueue(ctx, t, merchant, now, func(side consent.Side) string {
			return "SELECT subject, decided_at FROM subjects WHERE " + waitFor(side) + " ORDER BY decided_at LIMIT $5"
		}, func(channel consent.Channel, side consent.Side, rows *sql.Rows) error {
			line := Line{Channel: channel, Side: side, Kind: Approved, Reason: Resubscribed, State: consent.Subscribed}
			var raw []byte
			if err := rows.Scan(&raw, &line.Date); err != nil {
				return err
			}
			var err error
			line.Subject, err = subjectOf(raw)
			lines = append(lines, line)
			return err
		}, people); err != nil {
			return err
		}
		slices.SortStableFunc(lines, func(a, b Line) int { return cmp.Compare(a.Date, b.Date) })
		lines = lines[:min(people, int64(len(lines)))]
		if approved = int64(len(lines)); approved == 0 {
			return nil
		}
		return t.journal(ctx, merchant, append(lines, Line{Kind: Approved, Side: NoSide, Count: approved}))
	})
	return approved, err
}

// anyApproved reports whether an approval is in force: as long as none is, nobody has to be asked for one.
func (l *Ledger) anyApproved(ctx context.Context, merchant string, channel consent.Channel, now consent.Instant) (found bool, err error) {
	err = each(ctx, l.reads, func(*sql.Rows) error { found = true; return nil },
		"SELECT 1 FROM journal WHERE merchant = $1 AND channel = $2 AND at >= $3 AND reason = 'resubscribed' AND kind = 'approved' LIMIT 1",
		merchant, int64(channel), int64(now.Plus(-brakeSpan)))
	return found, err
}

// judgeAnew takes the marks of all who are stopped, because the limit was raised: the rounds let pass for whom there is room now, and stop
// the others again.
func (t *transaction) judgeAnew(ctx context.Context, merchant string) error {
	for _, channel := range consent.Channels {
		for _, side := range consent.Sides {
			// Again when somebody was changed between the reading and the lock.
			for lost := true; lost; {
				var found []Located
				if err := each(ctx, t, collect(&found, channel), "SELECT "+subjectColumns+
					" FROM subjects WHERE merchant = $1 AND channel = $2 AND "+isStopped(side), merchant, int64(channel)); err != nil {
					return err
				}
				changes := make([]Change, len(found))
				for i := range found {
					f := &found[i]
					changes[i] = Change{Channel: channel, Subject: f.Subject, Version: f.Version, Record: f.Record, Debts: f.Record.Debts(),
						NextTry: f.NextTry, Journal: []Line{{Side: side, Kind: Released, State: f.Record.Decision.State, Date: f.Record.Decision.At}}}
				}
				won, err := t.compareAndSet(ctx, merchant, changes)
				if err != nil {
					return err
				}
				lost = slices.Contains(won, false)
			}
		}
	}
	return nil
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
// fixed part of the limit does not leave room for want people, and nobody waits.
func (l *Ledger) brake(ctx context.Context, q rowsQuerier, merchant string, limit ResubscribeLimit, known *int64, want int64,
	now consent.Instant) (Brake, error) {
	b := Brake{Limit: limit.Fixed}
	since := int64(now.Plus(-brakeSpan))
	var err error
	if b.Closed, err = anyWaits(ctx, q, merchant, now); err != nil {
		return Brake{}, err
	}
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
	case limit.KnownPer > 0 && !b.Closed && b.Room() < want:
		return Brake{}, errUncounted
	}
	return b, nil
}

// anyWaits reports whether anybody waits for an operator. Mostly nobody is stopped at all, which one question tells.
func anyWaits(ctx context.Context, q rowsQuerier, merchant string, now consent.Instant) (waits bool, err error) {
	stopped := false
	among := "SELECT 1 FROM subjects WHERE merchant = $1 AND channel IN (1, 2) AND "
	if err := each(ctx, q, func(*sql.Rows) error { stopped = true; return nil },
		among+isStopped(consent.Shopify)+" UNION ALL "+among+isStopped(consent.Listrak)+" LIMIT 1", merchant); err != nil || !stopped {
		return false, err
	}
	err = eachQueue(ctx, q, merchant, now, func(side consent.Side) string {
		// The newest first: approvals are for the oldest.
		return "SELECT 1 FROM subjects WHERE " + waitFor(side) + " ORDER BY decided_at DESC LIMIT 1"
	}, func(consent.Channel, consent.Side, *sql.Rows) error { waits = true; return nil })
	return waits, err
}

// passingAmong finds those of the subjects who may pass: approved, or counted already.
func (l *Ledger) passingAmong(ctx context.Context, q rowsQuerier, merchant string, subjects []consent.Subject, now consent.Instant,
) (map[consent.Subject]bool, error) {
	passing := map[consent.Subject]bool{}
	err := in(ctx, l.dialect, q, `SELECT DISTINCT subject FROM journal WHERE merchant = $1 AND channel IN (1, 2) AND at >= $2
		AND reason || '' = 'resubscribed' AND subject `, // not by the index of all re-subscriptions
		[]any{merchant, int64(now.Plus(-brakeSpan))}, subjectBytes(subjects), "", func(rows *sql.Rows) error {
			var raw []byte
			if err := rows.Scan(&raw); err != nil {
				return err
			}
			subject, err := subjectOf(raw)
			passing[subject] = true
			return err
		})
	return passing, err
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
	passing map[consent.Subject]bool
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
	passing, err := t.ledger.passingAmong(ctx, t, merchant, subjects, now)
	if err != nil {
		return places{}, err
	}
	if len(passing) == len(subjects) {
		return places{passing: passing}, nil
	}
	b, err := t.ledger.brake(ctx, t, merchant, limit, known, int64(len(subjects)), now)
	return places{b.Room(), passing}, err
}

// take uses a place for a subject, unless it passes without. It reports false when there is none left.
func (p *places) take(subject consent.Subject) bool {
	switch {
	case p.passing[subject]:
		return true
	case p.left == 0:
		return false
	}
	p.left--
	p.passing[subject] = true
	return true
}
