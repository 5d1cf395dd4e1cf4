package ledger

import (
	"context"

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
	// Journal lines that belong to no change; always written.
	Journal []Line
}

// Load returns the entries of those subjects that exist; a missing key reads as the zero Entry. Any number of subjects, in any
// order, duplicates allowed.
func (l *Ledger) Load(ctx context.Context, merchant string, channel consent.Channel, subjects []consent.Subject,
) (map[consent.Subject]Entry, error)

// Save commits a batch in one transaction and returns the subjects whose version was not the expected one: nothing of those
// changes was written but their releases; everything else was. A subject that stands in a batch twice conflicts with itself.
func (l *Ledger) Save(ctx context.Context, merchant string, batch Batch) (conflicts []consent.Subject, err error)

// Scan pages through all subjects of a merchant and channel in order of the hash, beginning after the given one (zero: from the
// start). For work that must touch every record, such as a new list.
func (l *Ledger) Scan(ctx context.Context, merchant string, channel consent.Channel, after consent.Subject, limit int,
) ([]Located, error)

// CountSubjects counts the subjects known of a merchant and channel.
func (l *Ledger) CountSubjects(ctx context.Context, merchant string, channel consent.Channel) (int64, error)
