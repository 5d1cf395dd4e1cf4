package keys

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// SubjectKeyBytes is the length of the subject key, which is the key of an HMAC-SHA-256.
const SubjectKeyBytes = 32

// Errors of opening, in the chain of what Open returns, for exit codes and tests.
var (
	// ErrWrongKey: the master key is sound, but it is not the one that this ledger was sealed by.
	ErrWrongKey = errors.New("wrong master key")
	// ErrDamaged: what the ledger holds was sealed by a key that is here, but cannot be opened: the bytes were changed.
	ErrDamaged = errors.New("sealed bytes are damaged")
)

// Store keeps a few named rows that are written once. *ledger.Ledger is one.
type Store interface {
	// Meta returns what is stored under key, nil when nothing is.
	Meta(ctx context.Context, key string) ([]byte, error)
	// MetaOnce stores value under key unless there is one already, and returns what is stored from then on. Of callers at the
	// same time exactly one wins, and all get the winner's value.
	MetaOnce(ctx context.Context, key string, value []byte) ([]byte, error)
}

// subjectKeyRow is the row in which a ledger's subject key is born. It is never rewritten: every later master key adds a row of its
// own (subjectKeyRow + "/" + fingerprint) with the same subject key, so that during a rolling deployment, and after going back,
// a process that only has the older keyset still starts.
const subjectKeyRow = "subject-key"

const subjectKeyContext = "ledger/subject-key"

// sealedKey is what those rows hold. The fingerprints stand outside of the seal, so that a process with the wrong key can say
// which one is missing.
type sealedKey struct {
	Version int    `json:"version"`
	Master  string `json:"master"`
	Subject string `json:"subject"`
	Sealed  []byte `json:"sealed"`
}

// Ring seals and opens with the master key and holds the subject key. It is safe for concurrent use and shows none of its
// secrets when printed, logged or marshalled.
type Ring struct {
	master  Keyset
	subject *subjectKey
	origin  string
}

// subjectKey keeps its bytes inside a function, because fmt follows pointers when a verb does not fit the type, but never prints
// what a function holds.
type subjectKey struct {
	reveal func() []byte
	print  string
}

// Open finds the master key, then opens the ledger's subject key with it, or makes that when the ledger is new. Processes that open
// a new ledger at the same time end with one subject key. An error tells which key is missing (by fingerprint) and what to do;
// a process that gets one must not go on. See ErrNoKey, ErrUnsafeFile, ErrMalformed, ErrWrongKey, ErrDamaged.
func Open(ctx context.Context, store Store, source Source) (*Ring, error) {
	born, found, err := readRow(ctx, store, subjectKeyRow)
	if err != nil {
		return nil, err
	}
	master, origin, err := source.load(!found, born.Master)
	if err != nil {
		return nil, err
	}
	ring := &Ring{master: master, origin: origin}
	if !found {
		if born, err = ring.makeSubjectKey(ctx, store); err != nil {
			return nil, err
		}
	}
	if err := ring.openSubjectKey(ctx, store, born); err != nil {
		return nil, err
	}
	return ring, nil
}

// makeSubjectKey returns the row that won, which may be another process's.
func (r *Ring) makeSubjectKey(ctx context.Context, store Store) (sealedKey, error) {
	fresh := make([]byte, SubjectKeyBytes)
	if _, err := rand.Read(fresh); err != nil {
		return sealedKey{}, fmt.Errorf("make subject key: %w", err)
	}
	return r.storeSubjectKey(ctx, store, subjectKeyRow, newSubjectKey(fresh))
}

func (r *Ring) storeSubjectKey(ctx context.Context, store Store, name string, key *subjectKey) (sealedKey, error) {
	sealed, err := r.Seal(key.reveal(), subjectKeyContext)
	if err != nil {
		return sealedKey{}, fmt.Errorf("store subject key: %w", err)
	}
	row, err := json.Marshal(sealedKey{Version: 1, Master: r.master.Fingerprint(), Subject: key.print, Sealed: sealed})
	if err != nil {
		return sealedKey{}, fmt.Errorf("store subject key: %w", err)
	}
	stored, err := store.MetaOnce(ctx, name, row)
	if err != nil {
		return sealedKey{}, fmt.Errorf("store subject key: %w", err)
	}
	return parseRow(name, stored)
}

// openSubjectKey tries the row of every key that we have, because the key by which the subject key was first sealed may have
// been retired; then it leaves a row for the primary.
func (r *Ring) openSubjectKey(ctx context.Context, store Store, born sealedKey) error {
	primary := r.master.Fingerprint()
	if slices.Contains(r.master.held.keys, born.Master) {
		key, err := r.unseal(subjectKeyRow, born)
		if err != nil {
			return err
		}
		r.subject = key
	}
	left := born.Master == primary
	for _, print := range r.master.held.keys {
		if r.subject != nil && (left || print != primary) {
			continue
		}
		name := subjectKeyRow + "/" + print
		row, found, err := readRow(ctx, store, name)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		key, err := r.unseal(name, row)
		if err != nil {
			return err
		}
		if err := sameSubjectKey(name, born, key); err != nil {
			return err
		}
		r.subject, left = key, left || print == primary
	}
	if r.subject == nil {
		return fmt.Errorf("open subject key: %w: this ledger was sealed by master key %s, but %s holds %s. Set %s or %s to the keyset "+
			"with key %s; without it no known opt-out and no credential of this ledger can be read", ErrWrongKey, born.Master, r.origin,
			strings.Join(r.master.held.keys, ", "), EnvMasterKey, EnvMasterKeyFile, born.Master)
	}
	if left {
		return nil
	}
	row, err := r.storeSubjectKey(ctx, store, subjectKeyRow+"/"+primary, r.subject)
	if err != nil {
		return err
	}
	// Two processes may have left this row at once; whichever is there must open to the same key, or retiring the older master
	// keys would lose it.
	key, err := r.unseal(subjectKeyRow+"/"+primary, row)
	if err != nil {
		return err
	}
	return sameSubjectKey(subjectKeyRow+"/"+primary, born, key)
}

func sameSubjectKey(name string, born sealedKey, key *subjectKey) error {
	if key.print == born.Subject {
		return nil
	}
	return fmt.Errorf("open subject key: %w: rows %s and %s hold different keys (%s and %s). Restore the ledger from a backup",
		ErrDamaged, subjectKeyRow, name, born.Subject, key.print)
}

func (r *Ring) unseal(name string, row sealedKey) (*subjectKey, error) {
	plain, err := r.Open(row.Sealed, subjectKeyContext)
	if err != nil {
		return nil, fmt.Errorf("open subject key: row %s, sealed by master key %s: %w. Restore the ledger from a backup", name, row.Master, err)
	}
	key := newSubjectKey(plain)
	if len(plain) != SubjectKeyBytes || key.print != row.Subject {
		return nil, fmt.Errorf("open subject key: %w: row %s does not hold subject key %s. Restore the ledger from a backup",
			ErrDamaged, name, row.Subject)
	}
	return key, nil
}

func newSubjectKey(key []byte) *subjectKey {
	key = slices.Clone(key)
	return &subjectKey{reveal: func() []byte { return slices.Clone(key) }, print: fingerprint("subject key", key)}
}

func readRow(ctx context.Context, store Store, name string) (sealedKey, bool, error) {
	value, err := store.Meta(ctx, name)
	if err != nil {
		return sealedKey{}, false, fmt.Errorf("read subject key: %w", err)
	}
	if value == nil {
		return sealedKey{}, false, nil
	}
	row, err := parseRow(name, value)
	return row, true, err
}

func parseRow(name string, value []byte) (sealedKey, error) {
	var row sealedKey
	if err := json.Unmarshal(value, &row); err != nil || row.Master == "" || row.Subject == "" || len(row.Sealed) == 0 {
		return sealedKey{}, fmt.Errorf("read subject key: %w: row %s is damaged or cut short. Restore the ledger from a backup", ErrDamaged, name)
	}
	if row.Version != 1 {
		return sealedKey{}, fmt.Errorf("read subject key: row %s has version %d, and this build knows 1. Run a newer Concord", name, row.Version)
	}
	return row, nil
}

// Seal encrypts plain with the primary master key. What was sealed with a context opens only with the same one, so that a value
// cannot be moved to another row. The context says which row it is ("merchant/acme/credentials", "address/<subject in hex>"),
// must not be empty, and is stored nowhere. The result is 45 bytes longer than plain.
func (r *Ring) Seal(plain []byte, context string) ([]byte, error) {
	if context == "" {
		return nil, errors.New("seal: a context is needed, so that the value cannot be moved to another row")
	}
	sealed, err := r.master.held.aead.Encrypt(plain, []byte(context))
	if err != nil {
		return nil, errors.New("seal: the master key refused to encrypt")
	}
	return sealed, nil
}

// Open decrypts what Seal made with the same context under any key of the keyset. An error has ErrDamaged or ErrWrongKey in its
// chain: which of the two can be told because sealed values begin with the id of their key.
func (r *Ring) Open(sealed []byte, context string) ([]byte, error) {
	plain, err := r.master.held.aead.Decrypt(sealed, []byte(context))
	if err == nil {
		return plain, nil
	}
	if r.knowsKeyOf(sealed) {
		return nil, fmt.Errorf("open sealed value: %w, or they belong to another row", ErrDamaged)
	}
	return nil, fmt.Errorf("open sealed value: %w: it was sealed by a key that is not among %s, or its first bytes are damaged",
		ErrWrongKey, strings.Join(r.master.held.keys, ", "))
}

// Reseal seals anew what an older master key sealed; changed is false when the primary key sealed it and nothing was done.
func (r *Ring) Reseal(sealed []byte, context string) (out []byte, changed bool, err error) {
	plain, err := r.Open(sealed, context)
	if err != nil {
		return nil, false, err
	}
	primary, err := r.master.held.handle.Primary()
	if err != nil {
		return nil, false, errors.New("seal anew: the master key has no primary key")
	}
	if id, ok := keyID(sealed); ok && id == primary.KeyID() {
		return sealed, false, nil
	}
	out, err = r.Seal(plain, context)
	return out, err == nil, err
}

func (r *Ring) knowsKeyOf(sealed []byte) bool {
	id, ok := keyID(sealed)
	if !ok {
		return false
	}
	for _, info := range r.master.held.handle.KeysetInfo().GetKeyInfo() {
		if info.GetKeyId() == id {
			return true
		}
	}
	return false
}

// keyID reads tink's output prefix: a one, then the key's id in four bytes
// (https://developers.google.com/tink/wire-format#crypto_primitives).
func keyID(sealed []byte) (uint32, bool) {
	if len(sealed) < 5 || sealed[0] != 1 {
		return 0, false
	}
	return uint32(sealed[1])<<24 | uint32(sealed[2])<<16 | uint32(sealed[3])<<8 | uint32(sealed[4]), true
}

// SubjectKey returns a copy of the subject key: 32 bytes, the same for as long as the ledger lives.
func (r *Ring) SubjectKey() []byte { return r.subject.reveal() }

// SubjectFingerprint names the subject key: 16 hex digits that may be shown.
func (r *Ring) SubjectFingerprint() string { return r.subject.print }

// MasterFingerprint names the primary master key: 16 hex digits that may be shown.
func (r *Ring) MasterFingerprint() string { return r.master.Fingerprint() }

// Origin tells where the master key came from: the name of a variable, or the path of the key file.
func (r *Ring) Origin() string { return r.origin }

// String shows fingerprints only.
func (r *Ring) String() string {
	if r == nil || r.subject == nil {
		return "key ring (closed)"
	}
	return r.master.String() + "; subject key " + r.subject.print
}

// GoString shows fingerprints only.
func (r *Ring) GoString() string { return r.String() }

// LogValue shows fingerprints only.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalText shows fingerprints only.
func (r *Ring) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
