package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/concordsync/concord/internal/consent"
)

// Permit says which decisions may be delivered, by their date (rule 11).
type Permit struct {
	// Subscribed decisions must be dated in one of these, oldest first and not overlapping. None permits none.
	Subscribed []consent.Interval
	// Unsubscribed decisions must be dated at or after this; zero permits all.
	UnsubscribedSince consent.Instant
}

// OwedQuery asks for the deliveries that are due to one side.
type OwedQuery struct {
	Merchant string
	Channel  consent.Channel
	Side     consent.Side
	Permit   Permit
	// Released asks for those of the Stopped whom an operator has approved, instead of those who are Owed.
	Released bool
	// Now is compared with the next try of each subject.
	Now consent.Instant
	// Limit bounds the answer, 1 or more.
	Limit int
}

// Owed returns subjects whose debt to the side is consent.Owed (or Released), permitted and due: every opt-out before every opt-in (I9),
// the oldest decision first.
func (l *Ledger) Owed(ctx context.Context, q OwedQuery) ([]Located, error) {
	if q.Limit < 1 {
		return nil, errors.New("read what is owed: the limit must be 1 or more")
	}
	var due []Located
	column, next := debtColumns(q.Side)
	which, spans := column+" = 1 AND "+column+" > 0", q.Permit.spans()
	var more []any
	if q.Released {
		// An opt-out is never stopped. By the database's clock, as claims judge: nobody is found whose claim would be refused.
		now, err := l.now(ctx, l.reads)
		if err != nil {
			return nil, fmt.Errorf("read what is owed: %w", explain(err))
		}
		if found, err := l.anyApproved(ctx, q.Merchant, q.Channel, now); err != nil {
			return nil, fmt.Errorf("read what is owed: %w", explain(err))
		} else if !found {
			return nil, nil
		}
		which, spans = isStopped(q.Side)+" AND "+isApproved("$8")+" = 1", spans[1:]
		more = []any{int64(now.Plus(-brakeSpan))}
	}
	// One query an interval, oldest first: each walks the index in the order of the answer and sees nothing that is not permitted,
	// however many that are not permitted there are (a shop's subscribers from before the direction was enabled).
	query := "SELECT " + subjectColumns + " FROM subjects WHERE merchant = $1 AND channel = $2 AND " + which + " AND " + next +
		" <= $3 AND decision = $4 AND decided_at >= $5 AND decided_at < $6 ORDER BY decided_at LIMIT $7"
	for _, span := range spans {
		if len(due) >= q.Limit {
			break
		}
		if err := each(ctx, l.reads, collect(&due, q.Channel), query, append([]any{q.Merchant, int64(q.Channel), int64(q.Now),
			int64(span.state), int64(span.from), int64(span.to), q.Limit}, more...)...); err != nil {
			return nil, fmt.Errorf("read what is owed: %w", explain(err))
		}
	}
	return due[:min(q.Limit, len(due))], nil
}

// AnyDue tells for each side whether anybody is Owed something whose next try has come, permitted or not, or Stopped. It asks once, where
// Owed asks once for every span of a permit: mostly there is nothing.
func (l *Ledger) AnyDue(ctx context.Context, merchant string, channel consent.Channel, now consent.Instant) ([2]bool, error) {
	var due [2]bool
	exists := func(side consent.Side) string {
		column, next := debtColumns(side)
		return "EXISTS (SELECT 1 FROM subjects WHERE merchant = $1 AND channel = $2 AND " + column + " IN (1, 8) AND " + column + " > 0 AND " +
			next + " <= $3)"
	}
	if err := l.reads.QueryRowContext(ctx, "SELECT "+exists(consent.Shopify)+", "+exists(consent.Listrak),
		merchant, int64(channel), int64(now)).Scan(&due[consent.Shopify], &due[consent.Listrak]); err != nil {
		return due, fmt.Errorf("read what is owed: %w", explain(err))
	}
	return due, nil
}

// DebtCounts is what status shows of one side.
type DebtCounts struct {
	// ByDebt counts subjects by debt; Settled is left out, it would count everybody.
	ByDebt map[consent.Debt]int64
	// OwedSubscribes and OwedUnsubscribes count what is Owed and permitted, due or not; NotPermitted is the rest of Owed.
	OwedSubscribes, OwedUnsubscribes, NotPermitted int64
	// OldestOptOut is the date of the oldest permitted opt-out that is Owed, zero when there is none.
	OldestOptOut consent.Instant
}

// Debts counts what one side is owed and why not.
func (l *Ledger) Debts(ctx context.Context, merchant string, channel consent.Channel, side consent.Side, permit Permit,
) (DebtCounts, error) {
	counts := DebtCounts{ByDebt: map[consent.Debt]int64{}}
	column, _ := debtColumns(side)
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var debt consent.Debt
		var n int64
		err := rows.Scan(&debt, &n)
		counts.ByDebt[debt] = n
		return err
	}, "SELECT "+column+", count(*) FROM subjects WHERE merchant = $1 AND channel = $2 AND "+column+" > 0 GROUP BY "+column,
		merchant, int64(channel))
	for _, span := range permit.spans() {
		if err != nil {
			break
		}
		err = each(ctx, l.reads, func(rows *sql.Rows) error {
			var n int64
			var oldest consent.Instant
			if err := rows.Scan(&n, &oldest); err != nil {
				return err
			}
			if span.state == consent.Unsubscribed {
				counts.OwedUnsubscribes, counts.OldestOptOut = n, oldest
			} else {
				counts.OwedSubscribes += n
			}
			return nil
		}, "SELECT count(*), coalesce(min(decided_at), 0) FROM subjects WHERE merchant = $1 AND channel = $2 AND "+column+" = 1 AND "+
			column+" > 0 AND decision = $3 AND decided_at >= $4 AND decided_at < $5",
			merchant, int64(channel), int64(span.state), int64(span.from), int64(span.to))
	}
	if err != nil {
		return DebtCounts{}, fmt.Errorf("count debts: %w", explain(err))
	}
	// The counts are several queries; between them a delivery may end.
	counts.NotPermitted = max(0, counts.ByDebt[consent.Owed]-counts.OwedSubscribes-counts.OwedUnsubscribes)
	return counts, nil
}

// Unsettled is a subject whose delivery ended without success, as the operator's lists show it.
type Unsettled struct {
	Subject consent.Subject
	Debt    consent.Debt
	// Decision and At are what could not be delivered.
	Decision consent.State
	At       consent.Instant
	// Code is the side's code of the last try; Since is when that try ended (or began, when its end is unknown). Zero when
	// nothing was tried.
	Code  string
	Since consent.Instant
	// SealedAddress is there while a person must act.
	SealedAddress []byte
}

// Unsettled lists subjects with this debt to this side (Refused, Disputed, …), opt-outs first, oldest decision first.
func (l *Ledger) Unsettled(ctx context.Context, merchant string, channel consent.Channel, side consent.Side, debt consent.Debt,
	limit int) ([]Unsettled, error) {
	column, _ := debtColumns(side)
	var found []Located
	err := each(ctx, l.reads, collect(&found, channel), "SELECT "+subjectColumns+" FROM subjects WHERE merchant = $1 AND channel = $2 AND "+
		column+" = $3 AND "+column+" > 0 ORDER BY decision DESC, decided_at LIMIT $4", merchant, int64(channel), int64(debt), limit)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", debt, explain(err))
	}
	list := make([]Unsettled, len(found))
	for i, f := range found {
		last := f.Record.Sent[side][0]
		list[i] = Unsettled{Subject: f.Subject, Debt: debt, Decision: f.Record.Decision.State, At: f.Record.Decision.At, Code: last.Code,
			Since: cmp.Or(last.Ended, last.Started), SealedAddress: f.SealedAddress}
	}
	return list, nil
}

// debtColumns names the columns of a side. They are part of the statement, not parameters: partial indexes demand it.
func debtColumns(side consent.Side) (debt, next string) {
	if side == consent.Shopify {
		return "debt_shopify", "next_shopify"
	}
	return "debt_listrak", "next_listrak"
}

// span is a state with the dates in which its decisions are permitted: from is inside, to is not.
type span struct {
	state    consent.State
	from, to consent.Instant
}

// spans lists what is permitted in the order of delivery. A bound of zero is none: a side may show a date before 1970, which is
// negative here.
func (p Permit) spans() []span {
	const forever = consent.Instant(math.MaxInt64)
	since := func(from consent.Instant) consent.Instant {
		if from == 0 {
			return math.MinInt64
		}
		return from
	}
	spans := []span{{consent.Unsubscribed, since(p.UnsubscribedSince), forever}}
	for _, i := range p.Subscribed {
		to := i.Ended
		if to == 0 {
			to = forever
		}
		spans = append(spans, span{consent.Subscribed, since(i.Began), to})
	}
	return spans
}
