package keys

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// memory is a Store as a ledger is one: names written once, by one winner.
type memory struct {
	mu   sync.Mutex
	rows map[string][]byte
	err  error
}

func (m *memory) Meta(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.rows[key]), m.err
}

func (m *memory) MetaOnce(_ context.Context, name string, value []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	if m.rows == nil {
		m.rows = map[string][]byte{}
	}
	if _, found := m.rows[name]; !found {
		m.rows[name] = slices.Clone(value)
	}
	return slices.Clone(m.rows[name]), nil
}

// heldBack is a process's view of a shared store: after its first read it waits until all others have read as well, so that every
// one of them has seen an empty ledger.
type heldBack struct {
	*memory
	read *sync.WaitGroup
	once sync.Once
}

func (h *heldBack) Meta(ctx context.Context, key string) ([]byte, error) {
	value, err := h.memory.Meta(ctx, key)
	h.once.Do(func() {
		h.read.Done()
		h.read.Wait()
	})
	return value, err
}

func (m *memory) set(name string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[name] = value
}

func open(t testing.TB, store Store, k Keyset) *Ring {
	t.Helper()
	ring, err := Open(t.Context(), store, Source{Key: export(t, k)})
	require.NoError(t, err)
	return ring
}

func TestTheSubjectKeyIsMadeOnceAndStays(t *testing.T) {
	t.Parallel()
	store, k := &memory{}, generate(t)
	first := open(t, store, k)
	require.Len(t, first.SubjectKey(), SubjectKeyBytes)
	require.NotEqual(t, make([]byte, SubjectKeyBytes), first.SubjectKey())
	second := open(t, store, k)
	require.Equal(t, first.SubjectKey(), second.SubjectKey())
	require.Equal(t, first.SubjectFingerprint(), second.SubjectFingerprint())
	require.Equal(t, k.Fingerprint(), second.MasterFingerprint())
	require.Equal(t, EnvMasterKey, second.Origin())

	clear(first.SubjectKey())
	require.Equal(t, second.SubjectKey(), first.SubjectKey(), "a caller must not be able to change the key")

	other := open(t, &memory{}, k)
	require.NotEqual(t, first.SubjectKey(), other.SubjectKey(), "every ledger has a subject key of its own")
}

func TestProcessesThatOpenAFreshLedgerAtOnceEndWithOneSubjectKey(t *testing.T) {
	t.Parallel()
	const processes = 8
	old := generate(t)
	rotated, err := Rotate(old)
	require.NoError(t, err)
	source := Source{Key: export(t, old)}
	// Some of them already have the rotated keyset, as in a rolling deployment.
	newer := Source{Key: export(t, rotated)}
	store := &memory{}
	var read sync.WaitGroup
	read.Add(processes)
	rings, errs := make([]*Ring, processes), make([]error, processes)
	var done sync.WaitGroup
	for i := range processes {
		done.Go(func() {
			from := source
			if i%2 == 1 {
				from = newer
			}
			rings[i], errs[i] = Open(t.Context(), &heldBack{memory: store, read: &read}, from)
		})
	}
	done.Wait()
	var keys [][]byte
	for i := range processes {
		if errs[i] != nil {
			// Only a process without the rotated key may fail, and only because one with it was first.
			require.ErrorIs(t, errs[i], ErrWrongKey)
			require.Zero(t, i%2, "process %d has every key and must open the ledger: %v", i, errs[i])
			continue
		}
		keys = append(keys, rings[i].SubjectKey())
	}
	for _, key := range keys {
		require.Equal(t, keys[0], key)
	}
	require.GreaterOrEqual(t, len(keys), processes/2)
}

func TestAWrongMasterKeyIsRefusedByFingerprint(t *testing.T) {
	t.Parallel()
	store, right, wrong := &memory{}, generate(t), generate(t)
	before := open(t, store, right)
	_, err := Open(t.Context(), store, Source{Key: export(t, wrong)})
	require.ErrorIs(t, err, ErrWrongKey)
	for _, part := range []string{right.Fingerprint(), wrong.Fingerprint(), EnvMasterKey, EnvMasterKeyFile} {
		require.Contains(t, err.Error(), part)
	}
	requireNoSecret(t, err.Error(), right, wrong)
	require.Equal(t, before.SubjectKey(), open(t, store, right).SubjectKey(), "the failed attempt must have changed nothing")
}

func TestRotationKeepsEverythingReadableAndThenLetsOldKeysGo(t *testing.T) {
	t.Parallel()
	store, first := &memory{}, generate(t)
	ring := open(t, store, first)
	sealed, err := ring.Seal([]byte("secret"), "merchant/acme/credentials")
	require.NoError(t, err)
	same, changed, err := ring.Reseal(sealed, "merchant/acme/credentials")
	require.NoError(t, err)
	require.False(t, changed)
	require.Equal(t, sealed, same)

	// Rotated twice before any process started with the result.
	second, err := Rotate(first)
	require.NoError(t, err)
	third, err := Rotate(second)
	require.NoError(t, err)
	rotated := open(t, store, third)
	require.Equal(t, ring.SubjectKey(), rotated.SubjectKey())
	plain, err := rotated.Open(sealed, "merchant/acme/credentials")
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))
	anew, changed, err := rotated.Reseal(sealed, "merchant/acme/credentials")
	require.NoError(t, err)
	require.True(t, changed)

	// A process with the old keyset goes on during a rolling deployment; what the new key sealed it cannot read, and says so.
	still := open(t, store, first)
	require.Equal(t, ring.SubjectKey(), still.SubjectKey())
	_, err = still.Open(anew, "merchant/acme/credentials")
	require.ErrorIs(t, err, ErrWrongKey)

	only, err := Retire(third)
	require.NoError(t, err)
	retired := open(t, store, only)
	require.Equal(t, ring.SubjectKey(), retired.SubjectKey())
	plain, err = retired.Open(anew, "merchant/acme/credentials")
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))
	_, err = retired.Open(sealed, "merchant/acme/credentials")
	require.ErrorIs(t, err, ErrWrongKey)

	// And on from there, although the key that the ledger was born with is gone.
	fourth, err := Rotate(only)
	require.NoError(t, err)
	onFourth := open(t, store, fourth)
	require.Equal(t, ring.SubjectKey(), onFourth.SubjectKey())
	only, err = Retire(fourth)
	require.NoError(t, err)
	require.Equal(t, ring.SubjectKey(), open(t, store, only).SubjectKey())
}

func TestDamagedRowsAreRefused(t *testing.T) {
	t.Parallel()
	k := generate(t)
	edit := func(change func(*sealedKey)) func([]byte) []byte {
		return func(value []byte) []byte {
			var row sealedKey
			if err := json.Unmarshal(value, &row); err != nil {
				panic(err)
			}
			change(&row)
			out, err := json.Marshal(row)
			if err != nil {
				panic(err)
			}
			return out
		}
	}
	for name, damage := range map[string]func([]byte) []byte{
		"cut short":             func(v []byte) []byte { return v[:len(v)/2] },
		"emptied":               func([]byte) []byte { return []byte{} },
		"another format":        func([]byte) []byte { return []byte("garbage") },
		"nothing sealed":        edit(func(r *sealedKey) { r.Sealed = nil }),
		"a bit of the seal":     edit(func(r *sealedKey) { r.Sealed[len(r.Sealed)-1] ^= 1 }),
		"the seal cut short":    edit(func(r *sealedKey) { r.Sealed = r.Sealed[:len(r.Sealed)-1] }),
		"another subject named": edit(func(r *sealedKey) { r.Subject = "0011223344556677" }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &memory{}
			open(t, store, k)
			row := store.rows[subjectKeyRow]
			store.set(subjectKeyRow, damage(row))
			_, err := Open(t.Context(), store, Source{Key: export(t, k)})
			require.ErrorIs(t, err, ErrDamaged)
			require.Contains(t, err.Error(), "backup")
			requireNoSecret(t, err.Error(), k)
		})
	}

	t.Run("written by a newer build", func(t *testing.T) {
		t.Parallel()
		store := &memory{}
		open(t, store, k)
		row := store.rows[subjectKeyRow]
		store.set(subjectKeyRow, edit(func(r *sealedKey) { r.Version = 2 })(row))
		_, err := Open(t.Context(), store, Source{Key: export(t, k)})
		require.ErrorContains(t, err, "newer Concord")
	})

	t.Run("a row of another ledger", func(t *testing.T) {
		t.Parallel()
		store, other := &memory{}, &memory{}
		open(t, store, k)
		rotated, err := Rotate(k)
		require.NoError(t, err)
		open(t, other, rotated)
		foreign := other.rows[subjectKeyRow]
		store.set(subjectKeyRow+"/"+rotated.Fingerprint(), foreign)
		_, err = Open(t.Context(), store, Source{Key: export(t, rotated)})
		require.ErrorIs(t, err, ErrDamaged)
	})
}

func TestAnUnreadableLedgerInventsNothing(t *testing.T) {
	t.Parallel()
	gone := errors.New("database is locked")
	_, err := Open(t.Context(), &memory{err: gone}, Source{Key: export(t, generate(t))})
	require.ErrorIs(t, err, gone)
}

func TestSealedValuesOpenOnlyInTheirPlace(t *testing.T) {
	t.Parallel()
	ring := open(t, &memory{}, generate(t))
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		place := rapid.StringN(1, 40, 200).Draw(t, "context")
		sealed, err := ring.Seal(plain, place)
		require.NoError(t, err)
		require.Len(t, sealed, len(plain)+45)
		back, err := ring.Open(sealed, place)
		require.NoError(t, err)
		require.Equal(t, string(plain), string(back))

		_, err = ring.Open(sealed, place+"x")
		require.ErrorIs(t, err, ErrDamaged)
		at := rapid.IntRange(0, len(sealed)-1).Draw(t, "damaged byte")
		sealed[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "damaged bit")
		_, err = ring.Open(sealed, place)
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrWrongKey) {
			t.Fatalf("a changed byte at %d was not seen: %v", at, err)
		}
	})
	_, err := ring.Seal([]byte("x"), "")
	require.Error(t, err)
	for _, short := range [][]byte{nil, {}, {1}, {1, 2, 3, 4, 5}} {
		_, err := ring.Open(short, "place")
		require.Error(t, err)
	}
}

func TestRingIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	ring := open(t, &memory{}, generate(t))
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for range 50 {
				sealed, err := ring.Seal(ring.SubjectKey(), "place")
				if err == nil {
					_, err = ring.Open(sealed, "place")
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
}
