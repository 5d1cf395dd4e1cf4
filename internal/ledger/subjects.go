package ledger

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/concordsync/concord/internal/consent"
)

// Entry is what the ledger keeps of a subject. The zero Entry is a subject it has never heard of.
type Entry struct {
	Record consent.Record
	// Version rises by one with every Save and Claim; zero means that there is no row.
	Version int64
	// Debts and NextTry as they were saved last, by side.
	Debts   [2]consent.Debt
	NextTry [2]consent.Instant
	// SealedAddress is there only while a delivery is owed or a person must act.
	SealedAddress []byte
}

// Located is an entry with its key.
type Located struct {
	Channel consent.Channel
	Subject consent.Subject
	Entry
}

// Address says what becomes of the sealed address of a subject.
type Address struct {
	sealed []byte
	erase  bool
}

// KeepAddress leaves it as it is; the zero Address does the same.
var KeepAddress = Address{}

// EraseAddress deletes it.
var EraseAddress = Address{erase: true}

// StoreAddress replaces it.
func StoreAddress(sealed []byte) Address { return Address{sealed: sealed} }

// Change is one subject's part of a batch.
type Change struct {
	Channel consent.Channel
	Subject consent.Subject
	// Version is the one that the change was decided on; zero means that the subject must not exist yet.
	Version int64
	Record  consent.Record
	// Debts and NextTry are derived by the caller and stored as columns for Owed, by side.
	Debts   [2]consent.Debt
	NextTry [2]consent.Instant
	Address Address
	// Release frees a claim, also when the change itself loses the race for the version: nobody shall wait for a delivery that has
	// ended. Zero releases nothing.
	Release ClaimToken
	// Journal lines are written only if the change is. Channel and Subject are filled in.
	Journal []Line
}

// Batch is what is committed together: a page of changes, the customers on it, and the cursor behind it.
type Batch struct {
	Changes   []Change
	Customers []Customer
	// Lease fences the batch: with a newer token in the ledger nothing is written and Save fails with ErrFenced. Needed when
	// there are cursors.
	Lease   *RunLease
	Cursors []Cursor
	// Unreadable are phones that cannot be read. Readable are customers of whom that is so only if they are among them.
	Unreadable []Unreadable
	Readable   []string
	// Journal lines that belong to no change; always written.
	Journal []Line
}

// Load returns the entries of those subjects that exist; a missing key reads as the zero Entry. Any number of subjects, in any
// order, duplicates allowed.
func (l *Ledger) Load(ctx context.Context, merchant string, channel consent.Channel, subjects []consent.Subject,
) (map[consent.Subject]Entry, error) {
	entries := make(map[consent.Subject]Entry, len(subjects))
	decode := decodeRecord
	if len(subjects) <= maxRecords/8 {
		decode = l.records.decode
	}
	err := in(ctx, l.dialect, l.reads, "SELECT "+subjectColumns+" FROM subjects WHERE merchant = $1 AND channel = $2 AND subject ",
		[]any{merchant, int64(channel)}, subjectBytes(subjects), "", func(rows *sql.Rows) error {
			found, err := scanSubject(rows, decode)
			entries[found.Subject] = found.Entry
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("load subjects: %w", explain(err))
	}
	return entries, nil
}

// Save commits a batch in one transaction and returns the subjects whose version was not the expected one: nothing of those
// changes was written but their releases; everything else was. A subject that stands in a batch twice conflicts with itself.
func (l *Ledger) Save(ctx context.Context, merchant string, batch Batch) (conflicts []consent.Subject, err error) {
	if len(batch.Cursors) > 0 && batch.Lease == nil {
		return nil, errors.New("save: cursors need a run lease")
	}
	if batch.Lease != nil && batch.Lease.Merchant != merchant {
		return nil, errors.New("save: the run lease belongs to another merchant")
	}
	err = l.transact(ctx, "save", func(t *transaction) error {
		// Every transaction takes its locks in this order, so that none waits for another in a circle.
		if batch.Lease != nil {
			if err := t.fence(ctx, *batch.Lease); err != nil {
				return err
			}
		}
		won, err := t.compareAndSet(ctx, merchant, batch.Changes)
		if err != nil {
			return err
		}
		conflicts = nil
		for i, change := range batch.Changes {
			if !won[i] {
				conflicts = append(conflicts, change.Subject)
			}
		}
		if err := t.release(ctx, merchant, batch.Changes); err != nil {
			return err
		}
		if err := t.saveCustomers(ctx, merchant, batch.Customers); err != nil {
			return err
		}
		if err := t.saveUnreadable(ctx, merchant, batch.Readable, batch.Unreadable); err != nil {
			return err
		}
		if err := t.saveCursors(ctx, merchant, batch.Cursors); err != nil {
			return err
		}
		return t.journal(ctx, merchant, batch.Journal)
	})
	if err != nil {
		return nil, err
	}
	return conflicts, nil
}

// Scan pages through all subjects of a merchant and channel in order of the hash, beginning after the given one (zero: from the
// start). For work that must touch every record, such as a new list.
func (l *Ledger) Scan(ctx context.Context, merchant string, channel consent.Channel, after consent.Subject, limit int,
) ([]Located, error) {
	var found []Located
	err := each(ctx, l.reads, collect(&found, channel), "SELECT "+subjectColumns+` FROM subjects
		WHERE merchant = $1 AND channel = $2 AND subject > $3 ORDER BY subject LIMIT $4`, merchant, int64(channel), after[:], limit)
	if err != nil {
		return nil, fmt.Errorf("scan subjects: %w", explain(err))
	}
	return found, nil
}

// CountSubjects counts the subjects known of a merchant on these channels; on all when none is named: somebody with both is two then.
func (l *Ledger) CountSubjects(ctx context.Context, merchant string, channels ...consent.Channel) (int64, error) {
	var n int64
	if err := l.reads.QueryRowContext(ctx, "SELECT count(*) FROM subjects WHERE merchant = $1 AND "+isOn(channels), merchant).Scan(&n); err != nil {
		return 0, fmt.Errorf("count subjects: %w", explain(err))
	}
	return n, nil
}

// isOn is the condition for rows of these channels, of all when there is none. They stand in the text, as partial indexes need it.
func isOn(channels []consent.Channel) string {
	if len(channels) == 0 {
		channels = consent.Channels[:]
	}
	numbers := make([]string, len(channels))
	for i, channel := range channels {
		numbers[i] = strconv.Itoa(int(channel))
	}
	return "channel IN (" + strings.Join(numbers, ", ") + ")"
}

const subjectColumns = "subject, version, record, debt_shopify, debt_listrak, next_shopify, next_listrak, address"

func scanSubject(rows *sql.Rows, decode func(text []byte) (consent.Record, error)) (Located, error) {
	var found Located
	var subject, record []byte
	if err := rows.Scan(&subject, &found.Version, &record, &found.Debts[consent.Shopify], &found.Debts[consent.Listrak],
		&found.NextTry[consent.Shopify], &found.NextTry[consent.Listrak], &found.SealedAddress); err != nil {
		return Located{}, err
	}
	if len(found.SealedAddress) == 0 {
		found.SealedAddress = nil
	}
	var err error
	if found.Subject, err = subjectOf(subject); err != nil {
		return Located{}, err
	}
	found.Record, err = decode(record)
	return found, err
}

// collect appends every row to list.
func collect(list *[]Located, channel consent.Channel) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		found, err := scanSubject(rows, decodeRecord)
		found.Channel = channel
		*list = append(*list, found)
		return err
	}
}

func subjectBytes(subjects []consent.Subject) [][]byte {
	list := make([][]byte, len(subjects))
	for i := range subjects {
		list[i] = subjects[i][:]
	}
	return list
}

// subjectKey is a subject's key within a merchant.
type subjectKey struct {
	channel consent.Channel
	subject consent.Subject
}

func (c Change) key() subjectKey { return subjectKey{c.Channel, c.Subject} }

// compareAndSet writes those changes whose version is still the expected one, with their holds and journal lines, and tells which.
func (t *transaction) compareAndSet(ctx context.Context, merchant string, changes []Change) ([]bool, error) {
	versions, err := t.lockVersions(ctx, merchant, changes)
	if err != nil {
		return nil, err
	}
	won := make([]bool, len(changes))
	for i, change := range changes {
		if versions[change.key()] == change.Version {
			won[i] = true
			// The same subject a second time conflicts: one statement cannot write a row twice, and it was decided on the same record.
			versions[change.key()] = beaten
		}
	}
	return won, t.write(ctx, merchant, changes, won)
}

// beaten is a version that no change can expect.
const beaten = -1

// lockVersions reads the versions of the changes' subjects and keeps others from changing them until the transaction ends. An absent
// subject is missing from the map and cannot be locked.
func (t *transaction) lockVersions(ctx context.Context, merchant string, changes []Change) (map[subjectKey]int64, error) {
	byChannel := map[consent.Channel][]consent.Subject{}
	for _, change := range changes {
		byChannel[change.Channel] = append(byChannel[change.Channel], change.Subject)
	}
	versions := make(map[subjectKey]int64, len(changes))
	for _, channel := range sortedKeys(byChannel) {
		subjects := byChannel[channel]
		// In order, as everybody locks them.
		slices.SortFunc(subjects, func(a, b consent.Subject) int { return bytes.Compare(a[:], b[:]) })
		err := in(ctx, t.ledger.dialect, t, "SELECT subject, version FROM subjects WHERE merchant = $1 AND channel = $2 AND subject ",
			[]any{merchant, int64(channel)}, subjectBytes(subjects), t.ledger.dialect.forWriteInOrder(),
			func(rows *sql.Rows) error {
				var raw []byte
				var version int64
				if err := rows.Scan(&raw, &version); err != nil {
					return err
				}
				subject, err := subjectOf(raw)
				versions[subjectKey{channel, subject}] = version
				return err
			})
		if err != nil {
			return nil, err
		}
	}
	return versions, nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// write writes the changes marked in won. A subject that did not exist can still be made by somebody else meanwhile (PostgreSQL);
// its mark is taken back.
func (t *transaction) write(ctx context.Context, merchant string, changes []Change, won []bool) error {
	order := make([]int, 0, len(changes))
	for i := range changes {
		if won[i] {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(changes[a].Channel, changes[b].Channel), bytes.Compare(changes[a].Subject[:], changes[b].Subject[:]))
	})
	const columns = 12
	args := make([]any, 0, len(order)*columns)
	for _, i := range order {
		change := &changes[i]
		record, err := encodeRecord(change.Record)
		if err != nil {
			return err
		}
		args = append(args, merchant, int64(change.Channel), change.Subject[:], change.Version+1, record,
			int64(change.Record.Decision.State), int64(change.Record.Decision.At),
			int64(change.Debts[consent.Shopify]), int64(change.Debts[consent.Listrak]),
			int64(change.NextTry[consent.Shopify]), int64(change.NextTry[consent.Listrak]), change.Address.stored(change.Version))
	}
	written := make(map[subjectKey]bool, len(order))
	// NULL keeps the address and an empty one erases it: a sealed one is never empty.
	err := t.insert(ctx, `INSERT INTO subjects (merchant, channel, subject, version, record, decision, decided_at,
		debt_shopify, debt_listrak, next_shopify, next_listrak, address)`, columns, args,
		`ON CONFLICT (merchant, channel, subject) DO UPDATE SET version = excluded.version, record = excluded.record,
		decision = excluded.decision, decided_at = excluded.decided_at, debt_shopify = excluded.debt_shopify,
		debt_listrak = excluded.debt_listrak, next_shopify = excluded.next_shopify, next_listrak = excluded.next_listrak,
		address = CASE WHEN excluded.address IS NULL THEN subjects.address WHEN length(excluded.address) = 0 THEN NULL
		ELSE excluded.address END
		WHERE subjects.version = excluded.version - 1 RETURNING channel, subject`,
		func(rows *sql.Rows) error {
			var key subjectKey
			var raw []byte
			if err := rows.Scan(&key.channel, &raw); err != nil {
				return err
			}
			var err error
			key.subject, err = subjectOf(raw)
			written[key] = true
			return err
		})
	if err != nil {
		return err
	}
	var lines []journalLine
	kept := make([]*Change, 0, len(order))
	for _, i := range order {
		if won[i] = written[changes[i].key()]; !won[i] {
			continue
		}
		change := &changes[i]
		kept = append(kept, change)
		for n, line := range change.Journal {
			line.Channel, line.Subject = change.Channel, change.Subject
			lines = append(lines, journalLine{Line: line, version: change.Version + 1, number: n})
		}
	}
	if err := t.followHolds(ctx, merchant, kept); err != nil {
		return err
	}
	return t.writeJournal(ctx, merchant, lines)
}

// stored is the value of the address column for a subject of this version.
func (a Address) stored(version int64) []byte {
	switch {
	case a.erase && version == 0:
		return nil
	case a.erase:
		return []byte{}
	case len(a.sealed) == 0:
		return nil
	default:
		return a.sealed
	}
}
