package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/concordsync/concord/internal/consent"
)

// EngagementMemory is how long it is remembered that an event was taken in: longer than events may be old, which is 90 days at most.
const EngagementMemory = 97 * 24 * consent.Hour

// EngagementMessage is a message whose events are counted.
type EngagementMessage struct {
	// ID is ours and names it for ever; Ref numbers it within the merchant, in people's records.
	ID  string
	Ref int64
	// Channel is that of the people it went to.
	Channel consent.Channel
	// List is the Listrak list by which it is read, with Kind, Conversation and Number; 0 for a message that is only told to us.
	List, Kind, Conversation, Number int
	// Title is shown in Shopify; SentAt is zero when it is not known.
	Title  string
	SentAt consent.Instant
	// Zone is the IANA zone in which its days are counted. It never changes: counts would be on two days.
	Zone string
	EngagementReading
	// ToldTitle is the title under which Shopify has its marketing activity; empty while it has none.
	ToldTitle string
}

// EngagementReading is how far the reading of a message has come. Summary and Page are opaque and hold no personal data.
type EngagementReading struct {
	// NextRead is when it is to be read again, ReadAt when a reading that has ended began, FullAt the same of one of all recipients.
	NextRead, ReadAt, FullAt consent.Instant
	// Summary is what Listrak summed up then; Page where a reading under way goes on, empty between readings.
	Summary, Page string
}

// EngagementCounts are what happened with one message on one day.
type EngagementCounts struct {
	Sends, Deliveries, Views, UniqueViews, Clicks, UniqueClicks, Bounces, Unsubscribes, Complaints int64
}

// Plus is the sum of both.
func (c EngagementCounts) Plus(d EngagementCounts) EngagementCounts {
	return EngagementCounts{
		c.Sends + d.Sends, c.Deliveries + d.Deliveries, c.Views + d.Views, c.UniqueViews + d.UniqueViews, c.Clicks + d.Clicks,
		c.UniqueClicks + d.UniqueClicks, c.Bounces + d.Bounces, c.Unsubscribes + d.Unsubscribes, c.Complaints + d.Complaints,
	}
}

// EngagementDay names one day of one message.
type EngagementDay struct {
	Ref int64
	// Day counts from 1970-01-01, in the message's zone.
	Day int64
}

// EngagedPerson is what is kept of one person's events; Record is opaque to the ledger. The zero Record is nobody's yet.
type EngagedPerson struct {
	Subject consent.Subject
	Record  []byte
}

// EngagementFold is what comes of new facts about people: records that have changed, and by how much that changes the days.
type EngagementFold struct {
	People []EngagedPerson
	Days   map[EngagementDay]EngagementCounts
}

// EngagementIntake is what is taken in at once.
type EngagementIntake struct {
	// Channel is that of Subjects, the people whom the facts are about.
	Channel  consent.Channel
	Subjects []consent.Subject
	// Events are hashes of the ids of events. Those that were taken in before are not new; nil for facts that say how things stand.
	Events [][]byte
	// Lease has to be the newest of its run: else ErrFenced. Nil for facts that are told to us, outside of runs.
	Lease *RunLease
	// Generation is that of the switches by which Fold goes. Without a Lease, which whoever switches off waits for, it has to be the merchant's
	// still: else ErrSwitched.
	Generation int64
	// Message and Reading move the reading of a message forward; Message is empty when nothing was read.
	Message string
	Reading EngagementReading
	// Fold is called with the records as they are and which of Events are new. It may be called again, and must not keep anything.
	Fold func(records map[consent.Subject][]byte, fresh []bool) (EngagementFold, error)
}

// ErasedEngagement is the record of somebody who was erased: nothing is taken in of them any more. Without it, what a side still shows of
// them would be counted a second time.
const ErasedEngagement = "\xff"

// ForeignFields is what was told of somebody whose customer had another address before: the fields in Shopify may be that one's. It has the
// bytes of ErasedEngagement, on which tellOfNewOwners counts.
const ForeignFields = ErasedEngagement

// TakeInEngagement takes facts in, in one transaction: records, days, events and reading change together or not at all. So whatever is
// repeated, or comes twice or late, changes nothing a second time. It returns how many records changed.
func (l *Ledger) TakeInEngagement(ctx context.Context, merchant string, in EngagementIntake) (changed int, err error) {
	subjects := slices.Clone(in.Subjects)
	slices.SortFunc(subjects, func(a, b consent.Subject) int { return bytes.Compare(a[:], b[:]) })
	subjects = slices.Compact(subjects)
	for range engagementTries {
		changed, err = l.takeInEngagement(ctx, merchant, in, subjects)
		if !errors.Is(err, ErrConflict) {
			break
		}
	}
	return changed, err
}

// engagementTries bounds how often it is begun anew because somebody else has made the record of a person who had none.
const engagementTries = 5

func (l *Ledger) takeInEngagement(ctx context.Context, merchant string, in EngagementIntake, subjects []consent.Subject) (changed int, err error) {
	err = l.transact(ctx, "take in engagement", func(t *transaction) error {
		changed = 0
		if err := t.mayTakeIn(ctx, merchant, in); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		fresh, err := t.newEvents(ctx, merchant, in.Events, now)
		if err != nil {
			return err
		}
		records, versions, err := t.engaged(ctx, merchant, subjects)
		if err != nil {
			return err
		}
		fold, err := in.Fold(records, fresh)
		if err != nil {
			return err
		}
		if err := t.saveEngaged(ctx, merchant, in.Channel, fold.People, versions, now); err != nil {
			return err
		}
		if err := t.addDays(ctx, merchant, fold.Days, now); err != nil {
			return err
		}
		changed = len(fold.People)
		if in.Message == "" {
			return nil
		}
		return t.saveReading(ctx, merchant, in.Message, in.Reading)
	})
	return changed, err
}

// mayTakeIn keeps the switches by which facts were chosen as they are until the transaction ends: of what was switched off, nothing is kept
// after that was answered, and of a merchant who was removed and erased nothing comes back.
func (t *transaction) mayTakeIn(ctx context.Context, merchant string, in EngagementIntake) error {
	if in.Lease != nil {
		return t.fence(ctx, *in.Lease)
	}
	same := false
	err := each(ctx, t, func(*sql.Rows) error { same = true; return nil },
		"SELECT 1 FROM merchants WHERE id = $1 AND generation = $2 AND state <> 'removed'"+t.ledger.dialect.forShare(), merchant, in.Generation)
	if err == nil && !same {
		err = ErrSwitched
	}
	return err
}

// newEvents remembers events and tells which are new. Of an event that is named twice the first one is.
func (t *transaction) newEvents(ctx context.Context, merchant string, events [][]byte, now consent.Instant) ([]bool, error) {
	fresh := make([]bool, len(events))
	if len(events) == 0 {
		return fresh, nil
	}
	at := make(map[string]int, len(events))
	sorted := make([][]byte, 0, len(events))
	for i, event := range events {
		if _, twice := at[string(event)]; !twice {
			at[string(event)] = i
			sorted = append(sorted, event)
		}
	}
	// In one order, so that two who take in the same events wait for each other instead of deadlocking.
	slices.SortFunc(sorted, bytes.Compare)
	args := make([]any, 0, 3*len(sorted))
	for _, event := range sorted {
		args = append(args, merchant, event, int64(now))
	}
	return fresh, t.insert(ctx, "INSERT INTO engagement_events (merchant, event, received)", 3, args,
		"ON CONFLICT (merchant, event) DO NOTHING RETURNING event", func(rows *sql.Rows) error {
			var event []byte
			err := rows.Scan(&event)
			fresh[at[string(event)]] = true
			return err
		})
}

// engaged reads and locks the records of subjects, which are sorted.
func (t *transaction) engaged(ctx context.Context, merchant string, subjects []consent.Subject,
) (map[consent.Subject][]byte, map[consent.Subject]int64, error) {
	records, versions := make(map[consent.Subject][]byte, len(subjects)), make(map[consent.Subject]int64, len(subjects))
	err := in(ctx, t.ledger.dialect, t, "SELECT subject, version, record FROM engagement_people WHERE merchant = $1 AND subject ",
		[]any{merchant}, subjectBytes(subjects), t.ledger.dialect.forWriteInOrder(), func(rows *sql.Rows) error {
			var raw sql.RawBytes
			var version int64
			var record []byte
			if err := rows.Scan(&raw, &version, &record); err != nil {
				return err
			}
			subject, err := subjectOf(raw)
			records[subject], versions[subject] = record, version
			return err
		})
	return records, versions, err
}

// saveEngaged stores records that were read with versions, and makes their people due.
func (t *transaction) saveEngaged(ctx context.Context, merchant string, channel consent.Channel, people []EngagedPerson,
	versions map[consent.Subject]int64, now consent.Instant,
) error {
	people = slices.Clone(people)
	slices.SortFunc(people, func(a, b EngagedPerson) int { return bytes.Compare(a.Subject[:], b.Subject[:]) })
	const columns = 8
	args := make([]any, 0, columns*len(people))
	for i := range people {
		p := &people[i]
		args = append(args, merchant, int64(channel), p.Subject[:], versions[p.Subject]+1, p.Record, []byte{}, int64(now), 0)
	}
	saved := 0
	err := t.insert(ctx, "INSERT INTO engagement_people (merchant, channel, subject, version, record, told, due_at, unsure)", columns, args,
		`ON CONFLICT (merchant, subject) DO UPDATE SET version = excluded.version, record = excluded.record, due_at = excluded.due_at
		WHERE engagement_people.version = excluded.version - 1 RETURNING version`, func(*sql.Rows) error { saved++; return nil })
	if err == nil && saved != len(people) {
		err = ErrConflict
	}
	return err
}

// addDays adds to days and makes them due.
func (t *transaction) addDays(ctx context.Context, merchant string, days map[EngagementDay]EngagementCounts, now consent.Instant) error {
	keys := make([]EngagementDay, 0, len(days))
	for day, counts := range days {
		if counts != (EngagementCounts{}) {
			keys = append(keys, day)
		}
	}
	slices.SortFunc(keys, func(a, b EngagementDay) int {
		if a.Ref != b.Ref {
			return int(a.Ref - b.Ref)
		}
		return int(a.Day - b.Day)
	})
	const columns = 15
	args := make([]any, 0, columns*len(keys))
	for _, key := range keys {
		c := days[key]
		args = append(args, merchant, key.Ref, key.Day, c.Sends, c.Deliveries, c.Views, c.UniqueViews, c.Clicks, c.UniqueClicks, c.Bounces,
			c.Unsubscribes, c.Complaints, "", int64(now), 0)
	}
	var plus []string
	for _, column := range []string{"sends", "deliveries", "views", "unique_views", "clicks", "unique_clicks", "bounces", "unsubscribes", "complaints"} {
		plus = append(plus, column+" = engagement_days."+column+" + excluded."+column)
	}
	return t.insert(ctx, `INSERT INTO engagement_days
		(merchant, ref, day, sends, deliveries, views, unique_views, clicks, unique_clicks, bounces, unsubscribes, complaints, told, due_at, unsure)`,
		columns, args, "ON CONFLICT (merchant, ref, day) DO UPDATE SET "+strings.Join(plus, ", ")+", due_at = excluded.due_at", nil)
}

func (t *transaction) saveReading(ctx context.Context, merchant, message string, r EngagementReading) error {
	_, err := t.ExecContext(ctx, `UPDATE engagement_messages SET next_read = $1, read_at = $2, full_at = $3, summary = $4, page = $5
		WHERE merchant = $6 AND message = $7`, int64(r.NextRead), int64(r.ReadAt), int64(r.FullAt), r.Summary, text(r.Page), merchant, message)
	return err
}

// SaveEngagementReading moves the reading of a message on without anything that was read. ErrFenced when lease has been taken over.
func (l *Ledger) SaveEngagementReading(ctx context.Context, lease RunLease, message string, reading EngagementReading) error {
	return l.transact(ctx, "save the reading of a message", func(t *transaction) error {
		if err := t.fence(ctx, lease); err != nil {
			return err
		}
		return t.saveReading(ctx, lease.Merchant, message, reading)
	})
}
