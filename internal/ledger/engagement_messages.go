package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/concordsync/concord/internal/consent"
)

const engagementMessageColumns = `message, ref, channel, list, kind, conversation, number, title, sent_at, zone, next_read, read_at, full_at,
	summary, page, told_title`

func scanEngagementMessage(rows *sql.Rows) (m EngagementMessage, err error) {
	err = rows.Scan(&m.ID, &m.Ref, &m.Channel, &m.List, &m.Kind, &m.Conversation, &m.Number, &m.Title, &m.SentAt, &m.Zone, &m.NextRead,
		&m.ReadAt, &m.FullAt, &m.Summary, &m.Page, &m.ToldTitle)
	return m, err
}

func engagementMessages(ctx context.Context, q rowsQuerier, where string, args ...any) ([]EngagementMessage, error) {
	var list []EngagementMessage
	err := each(ctx, q, func(rows *sql.Rows) error {
		m, err := scanEngagementMessage(rows)
		list = append(list, m)
		return err
	}, "SELECT "+engagementMessageColumns+" FROM engagement_messages WHERE merchant = $1"+where, args...)
	return list, err
}

// KnowEngagementMessages makes sure that messages are known and returns them as they are kept, by id. Of those that were known only the title,
// and a date that was missing, change; of the others Ref is given here.
func (l *Ledger) KnowEngagementMessages(ctx context.Context, merchant string, messages []EngagementMessage,
) (map[string]EngagementMessage, error) {
	known := make(map[string]EngagementMessage, len(messages))
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = text(m.ID)
	}
	read := func(q rowsQuerier) error {
		clear(known)
		return in(ctx, l.dialect, q, "SELECT "+engagementMessageColumns+" FROM engagement_messages WHERE merchant = $1 AND message ",
			[]any{merchant}, ids, "", func(rows *sql.Rows) error {
				m, err := scanEngagementMessage(rows)
				known[m.ID] = m
				return err
			})
	}
	if err := read(l.reads); err != nil {
		return nil, fmt.Errorf("read messages: %w", explain(err))
	}
	news := slices.ContainsFunc(messages, func(m EngagementMessage) bool {
		k, ok := known[text(m.ID)]
		return !ok || m.Title != "" && k.Title != text(m.Title) || k.SentAt == 0 && m.SentAt != 0
	})
	if !news {
		return known, nil
	}
	sorted := slices.Clone(messages)
	slices.SortStableFunc(sorted, func(a, b EngagementMessage) int { return strings.Compare(a.ID, b.ID) })
	sorted = slices.CompactFunc(sorted, func(a, b EngagementMessage) bool { return a.ID == b.ID })
	err := l.transact(ctx, "know messages", func(t *transaction) error {
		// The merchant's lock lets one at a time give numbers.
		if _, err := t.active(ctx, merchant); err != nil {
			return err
		}
		var last int64
		if err := t.QueryRowContext(ctx, "SELECT COALESCE(MAX(ref), 0) FROM engagement_messages WHERE merchant = $1", merchant).Scan(&last); err != nil {
			return err
		}
		for _, m := range sorted {
			last++
			if _, err := t.ExecContext(ctx, `INSERT INTO engagement_messages
				(merchant, message, ref, channel, list, kind, conversation, number, title, sent_at, zone, next_read, read_at, full_at, summary, page, told_title)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, '', '', '')
				ON CONFLICT (merchant, message) DO UPDATE SET
				title = CASE WHEN excluded.title = '' THEN engagement_messages.title ELSE excluded.title END,
				sent_at = CASE WHEN engagement_messages.sent_at = 0 THEN excluded.sent_at ELSE engagement_messages.sent_at END`,
				merchant, text(m.ID), last, int64(m.Channel), m.List, m.Kind, m.Conversation, m.Number, text(m.Title), int64(m.SentAt), m.Zone,
				int64(m.NextRead)); err != nil {
				return err
			}
		}
		return read(t)
	})
	return known, err
}

// EngagementMessagesByRef returns messages by the numbers that people's records have for them.
func (l *Ledger) EngagementMessagesByRef(ctx context.Context, merchant string, refs []int64) (map[int64]EngagementMessage, error) {
	found := make(map[int64]EngagementMessage, len(refs))
	err := in(ctx, l.dialect, l.reads, "SELECT "+engagementMessageColumns+" FROM engagement_messages WHERE merchant = $1 AND ref ",
		[]any{merchant}, refs, "", func(rows *sql.Rows) error {
			m, err := scanEngagementMessage(rows)
			found[m.Ref] = m
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read messages by number: %w", explain(err))
	}
	return found, nil
}

// EngagementMessagesDue are the messages of a list that are to be read by now, the longest due first.
func (l *Ledger) EngagementMessagesDue(ctx context.Context, merchant string, list int, now consent.Instant, limit int) ([]EngagementMessage, error) {
	due, err := engagementMessages(ctx, l.reads, " AND list = $2 AND next_read > 0 AND next_read <= $3 ORDER BY next_read, ref LIMIT $4",
		merchant, list, int64(now), limit)
	if err != nil {
		return nil, fmt.Errorf("read messages that are due: %w", explain(err))
	}
	return due, nil
}

// ToldActivity remembers that Shopify has a message's marketing activity, under a title; an empty one, that it has none.
func (l *Ledger) ToldActivity(ctx context.Context, merchant, message, title string) error {
	return l.once(ctx, "remember a marketing activity", "UPDATE engagement_messages SET told_title = $1 WHERE merchant = $2 AND message = $3",
		text(title), merchant, message)
}

// DueDay is a day that Shopify has to be told of, with its message.
type DueDay struct {
	EngagementDay
	Message EngagementMessage
	Counts  EngagementCounts
	// Told is what Shopify was told last, opaque; empty for nothing. Unsure: a call of unknown end may have overwritten it.
	Told   string
	Unsure bool
}

// EngagementDaysDue are the days that Shopify has to be told of by now, the latest days first: a campaign of today does not wait for a backlog.
func (l *Ledger) EngagementDaysDue(ctx context.Context, merchant string, now consent.Instant, limit int) ([]DueDay, error) {
	var due []DueDay
	refs := map[int64]EngagementMessage{}
	if err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var d DueDay
		var unsure int64
		c := &d.Counts
		err := rows.Scan(&d.Ref, &d.Day, &c.Sends, &c.Deliveries, &c.Views, &c.UniqueViews, &c.Clicks, &c.UniqueClicks, &c.Bounces,
			&c.Unsubscribes, &c.Complaints, &d.Told, &unsure)
		d.Unsure = unsure > 0
		due = append(due, d)
		refs[d.Ref] = EngagementMessage{}
		return err
	}, `SELECT ref, day, sends, deliveries, views, unique_views, clicks, unique_clicks, bounces, unsubscribes, complaints, told, unsure
		FROM engagement_days WHERE merchant = $1 AND due_at > 0 AND due_at <= $2 ORDER BY day DESC, due_at, ref LIMIT $3`,
		merchant, int64(now), limit); err != nil {
		return nil, fmt.Errorf("read days that are due: %w", explain(err))
	}
	numbers := make([]int64, 0, len(refs))
	for ref := range refs {
		numbers = append(numbers, ref)
	}
	if err := in(ctx, l.dialect, l.reads, "SELECT "+engagementMessageColumns+" FROM engagement_messages WHERE merchant = $1 AND ref ",
		[]any{merchant}, numbers, "", func(rows *sql.Rows) error {
			m, err := scanEngagementMessage(rows)
			refs[m.Ref] = m
			return err
		}); err != nil {
		return nil, fmt.Errorf("read the messages of days that are due: %w", explain(err))
	}
	for i := range due {
		due[i].Message = refs[due[i].Ref]
	}
	return due, nil
}

// ToldDay is how it went to tell Shopify of a day.
type ToldDay struct {
	EngagementDay
	// Counts are those that were told: if they have changed since, the day stays due.
	Counts EngagementCounts
	Told   string
	// Later, unless zero, says that it was not told, and when to try again; Told then does not count.
	Later consent.Instant
	// Unsure, unless zero, says that nobody knows whether it was told, and until when the call may still take effect.
	Unsure consent.Instant
}

// ToldDays remembers how it went to tell Shopify of days. A day whose call may still take effect late is due again when it cannot any more.
// ErrFenced when lease has been taken over.
func (l *Ledger) ToldDays(ctx context.Context, lease RunLease, days []ToldDay) error {
	return l.transact(ctx, "remember days that were told", func(t *transaction) error {
		if err := t.fence(ctx, lease); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		for _, d := range days {
			if d.Later != 0 || d.Unsure != 0 {
				if _, err := t.ExecContext(ctx, `UPDATE engagement_days SET due_at = $1, unsure = CASE WHEN unsure < $2 THEN $2 ELSE unsure END
					WHERE merchant = $3 AND ref = $4 AND day = $5`,
					int64(max(d.Later, d.Unsure)), int64(d.Unsure), lease.Merchant, d.Ref, d.Day); err != nil {
					return err
				}
				continue
			}
			c := d.Counts
			if _, err := t.ExecContext(ctx, `UPDATE engagement_days SET told = $1, unsure = CASE WHEN unsure > $2 THEN unsure ELSE 0 END,
				due_at = CASE WHEN NOT (sends = $3 AND deliveries = $4 AND views = $5 AND unique_views = $6 AND clicks = $7 AND unique_clicks = $8
				AND bounces = $9 AND unsubscribes = $10 AND complaints = $11) THEN due_at WHEN unsure > $2 THEN unsure ELSE 0 END
				WHERE merchant = $12 AND ref = $13 AND day = $14`,
				d.Told, int64(now), c.Sends, c.Deliveries, c.Views, c.UniqueViews, c.Clicks, c.UniqueClicks, c.Bounces, c.Unsubscribes,
				c.Complaints, lease.Merchant, d.Ref, d.Day); err != nil {
				return err
			}
		}
		return nil
	})
}

// DoubtDays remembers that nobody knows what Shopify has of days, and until when a call may still take effect. It wants no lease: who has lost
// it may have told something, and telling once more harms nobody.
func (l *Ledger) DoubtDays(ctx context.Context, merchant string, days []EngagementDay, until consent.Instant) error {
	return l.transact(ctx, "remember days in doubt", func(t *transaction) error {
		for _, d := range days {
			if _, err := t.ExecContext(ctx, `UPDATE engagement_days SET unsure = CASE WHEN unsure < $1 THEN $1 ELSE unsure END,
				due_at = CASE WHEN due_at = 0 OR due_at > $1 THEN $1 ELSE due_at END WHERE merchant = $2 AND ref = $3 AND day = $4`,
				int64(until), merchant, d.Ref, d.Day); err != nil {
				return err
			}
		}
		return nil
	})
}

// EngagementTotals are the days of all messages of a merchant, by message and day.
func (l *Ledger) EngagementTotals(ctx context.Context, merchant string) (map[string]map[int64]EngagementCounts, error) {
	totals := map[string]map[int64]EngagementCounts{}
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var message string
		var day int64
		var c EngagementCounts
		err := rows.Scan(&message, &day, &c.Sends, &c.Deliveries, &c.Views, &c.UniqueViews, &c.Clicks, &c.UniqueClicks, &c.Bounces,
			&c.Unsubscribes, &c.Complaints)
		if totals[message] == nil {
			totals[message] = map[int64]EngagementCounts{}
		}
		totals[message][day] = c
		return err
	}, `SELECT m.message, d.day, d.sends, d.deliveries, d.views, d.unique_views, d.clicks, d.unique_clicks, d.bounces, d.unsubscribes, d.complaints
		FROM engagement_days d JOIN engagement_messages m ON m.merchant = d.merchant AND m.ref = d.ref WHERE d.merchant = $1`, merchant)
	if err != nil {
		return nil, fmt.Errorf("read engagement totals: %w", explain(err))
	}
	return totals, nil
}

// EngagementStanding is how the events of a merchant stand.
type EngagementStanding struct {
	// Messages are known, Activities of them are in Shopify.
	Messages, Activities int64
	// DaysWaiting and PeopleWaiting are due to be told to Shopify; OldestDay is since when the longest of the days is.
	DaysWaiting, PeopleWaiting int64
	OldestDay                  consent.Instant
	// Behind is since when the message that is longest overdue should have been read; zero when none is.
	Behind consent.Instant
}

// EngagementStanding counts how the events of a merchant stand. list is the Listrak list that is read now.
func (l *Ledger) EngagementStanding(ctx context.Context, merchant string, list int, now consent.Instant) (EngagementStanding, error) {
	var s EngagementStanding
	if err := l.reads.QueryRowContext(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN told_title <> '' THEN 1 ELSE 0 END), 0),
		COALESCE(MIN(CASE WHEN list = $2 AND next_read > 0 AND next_read <= $3 THEN next_read END), 0) FROM engagement_messages WHERE merchant = $1`,
		merchant, list, int64(now)).Scan(&s.Messages, &s.Activities, &s.Behind); err != nil {
		return s, fmt.Errorf("count messages: %w", explain(err))
	}
	if err := l.reads.QueryRowContext(ctx, `SELECT COUNT(*), COALESCE(MIN(due_at), 0) FROM engagement_days
		WHERE merchant = $1 AND due_at > 0 AND due_at <= $2`, merchant, int64(now)).Scan(&s.DaysWaiting, &s.OldestDay); err != nil {
		return s, fmt.Errorf("count days that are due: %w", explain(err))
	}
	if err := l.reads.QueryRowContext(ctx, `SELECT COUNT(*) FROM engagement_people WHERE merchant = $1 AND due_at > 0 AND due_at <= $2`,
		merchant, int64(now)).Scan(&s.PeopleWaiting); err != nil {
		return s, fmt.Errorf("count people who are due: %w", explain(err))
	}
	return s, nil
}
