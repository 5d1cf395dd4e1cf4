package ledger_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

func TestASubjectNobodyHeardOfIsTheZeroEntry(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		require.Equal(t, ledger.Entry{}, load(t, l, subject(1)))
		entries, err := l.Load(t.Context(), acme, consent.Email, nil)
		require.NoError(t, err)
		require.Empty(t, entries)
	})
}

func TestWhatWasSavedIsLoadedAgain(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		record := decided(consent.Unsubscribed, clock.Now())
		record.Seen[consent.Listrak] = consent.Sighting{State: consent.Subscribed, Shown: 5, Ref: "key\x00with \xff nonsense"}
		record.Sent[consent.Shopify][3] = consent.Delivery{State: consent.Subscribed, Try: 255, Code: "TAKEN"}
		record.Hold = consent.Hold{Consent: 7, Until: 8, Customer: "gid://shopify/Customer/1"}
		want := ledger.Entry{Record: record, Version: 1, Debts: [2]consent.Debt{consent.Settled, consent.Owed},
			NextTry: [2]consent.Instant{0, clock.Now()}, SealedAddress: []byte{0, 1, 255}}
		save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(1), Record: record, Debts: want.Debts, NextTry: want.NextTry,
			Address: ledger.StoreAddress(want.SealedAddress)})
		// Invalid UTF-8 cannot be kept in JSON; it must not stop the batch either.
		want.Record.Seen[consent.Listrak].Ref = "key\x00with \uFFFD nonsense"
		require.Empty(t, cmp.Diff(want, load(t, l, subject(1))))

		other, err := l.Load(t.Context(), "another", consent.Email, []consent.Subject{subject(1)})
		require.NoError(t, err)
		require.Empty(t, other, "a subject belongs to its merchant")
		other, err = l.Load(t.Context(), acme, consent.SMS, []consent.Subject{subject(1)})
		require.NoError(t, err)
		require.Empty(t, other, "a subject belongs to its channel")
	})
}

func TestAnAddressIsKeptReplacedAndErased(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		change := ledger.Change{Channel: consent.Email, Subject: subject(1)}
		for i, step := range []struct {
			address ledger.Address
			want    []byte
		}{
			{ledger.EraseAddress, nil},
			{ledger.StoreAddress([]byte("sealed")), []byte("sealed")},
			{ledger.KeepAddress, []byte("sealed")},
			{ledger.StoreAddress([]byte("anew")), []byte("anew")},
			{ledger.EraseAddress, nil},
			{ledger.KeepAddress, nil},
		} {
			change.Version, change.Address = int64(i), step.address
			save(t, l, change)
			require.Equal(t, step.want, load(t, l, subject(1)).SealedAddress, "step %d", i)
		}
	})
}

func TestALostRaceWritesNothingAndTheOthersCommit(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(1), Record: decided(consent.Unsubscribed, 1)})
		stale := func(n int, version int64) ledger.Change {
			return ledger.Change{Channel: consent.Email, Subject: subject(n), Version: version, Record: decided(consent.Subscribed, 2),
				Journal: []ledger.Line{{Kind: ledger.Decided}}}
		}
		conflicts, err := l.Save(t.Context(), acme, ledger.Batch{Changes: []ledger.Change{
			stale(1, 0), // exists
			stale(2, 5), // does not exist
			stale(3, 0),
			stale(3, 0), // twice in one batch
			stale(1, 2), // never had that version
		}})
		require.NoError(t, err)
		require.Equal(t, []consent.Subject{subject(1), subject(2), subject(3), subject(1)}, conflicts)
		require.Equal(t, decided(consent.Unsubscribed, 1), load(t, l, subject(1)).Record)
		require.Zero(t, load(t, l, subject(2)))
		require.EqualValues(t, 1, load(t, l, subject(3)).Version)
		for n, want := range map[int]int{1: 0, 2: 0, 3: 1} {
			lines, err := l.Journal(t.Context(), acme, consent.Email, subject(n))
			require.NoError(t, err)
			require.Len(t, lines, want, "subject %d", n)
		}
	})
}

func TestOfManyWritersExactlyOneWins(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		const writers, subjects = 8, 40
		for version := range int64(3) {
			won := make([]int, writers)
			errs := make([]error, writers)
			var group sync.WaitGroup
			for w := range writers {
				group.Go(func() {
					var batch ledger.Batch
					// Each in another order, so that a missing lock order shows as a deadlock.
					for n := range subjects {
						batch.Changes = append(batch.Changes, ledger.Change{Channel: consent.Email, Subject: subject((n*7 + w*5) % subjects),
							Version: version, Record: decided(consent.Subscribed, consent.Instant(w+1))})
					}
					conflicts, err := l.Save(t.Context(), acme, batch)
					errs[w], won[w] = err, subjects-len(conflicts)
				})
			}
			group.Wait()
			total := 0
			for w := range writers {
				require.NoError(t, errs[w])
				total += won[w]
			}
			require.Equal(t, subjects, total, "version %d: each subject must be won once", version)
		}
	})
}

func TestSavesOfAnySizeAndOrder(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		for _, size := range []int{1, 2, 255, 256, 257, 5000} {
			var changes []ledger.Change
			var subjects []consent.Subject
			for n := range size {
				s := subject(size*10000 + n)
				subjects = append(subjects, s, s)
				changes = append(changes, ledger.Change{Channel: consent.Email, Subject: s, Record: decided(consent.Subscribed, consent.Instant(n+1))})
			}
			save(t, l, changes...)
			entries, err := l.Load(t.Context(), acme, consent.Email, subjects)
			require.NoError(t, err)
			require.Len(t, entries, size)
			for n, c := range changes {
				require.EqualValues(t, n+1, entries[c.Subject].Record.Decision.At)
			}
		}
		var seen int
		var after consent.Subject
		for {
			page, err := l.Scan(t.Context(), acme, consent.Email, after, 1000)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			seen += len(page)
			after = page[len(page)-1].Subject
		}
		count, err := l.CountSubjects(t.Context(), acme, consent.Email)
		require.NoError(t, err)
		require.EqualValues(t, 1+2+255+256+257+5000, count)
		require.EqualValues(t, count, seen, "scan must show every subject once")
	})
}

func TestCustomersKeepTheNewestReading(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		newer := ledger.Customer{ID: "gid://shopify/Customer/1", UpdatedAt: 20, Email: subject(1)}
		older := ledger.Customer{ID: newer.ID, UpdatedAt: 10, Email: subject(2), SMS: subject(3)}
		other := ledger.Customer{ID: "gid://shopify/Customer/2", UpdatedAt: 5, SMS: subject(3)}
		for _, batch := range [][]ledger.Customer{{newer, older, other}, {older}} {
			_, err := l.Save(t.Context(), acme, ledger.Batch{Customers: batch})
			require.NoError(t, err)
			known, err := l.KnownCustomers(t.Context(), acme, []string{newer.ID, other.ID, "gid://shopify/Customer/3", newer.ID})
			require.NoError(t, err)
			require.Equal(t, map[string]ledger.Customer{newer.ID: newer, other.ID: other}, known)
		}
	})
}

// TestSavesAndClaimsAgreeWithAModel drives random batches, claims, releases, switches and times, and compares with maps.
func TestSavesAndClaimsAgreeWithAModel(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		run := 0
		rapid.Check(t, func(r *rapid.T) {
			// A merchant of its own for each history: shrinking repeats them.
			run++
			id := fmt.Sprintf("m%d", run)
			require.NoError(r, l.AddMerchant(t.Context(), merchant(id, run), nil))
			const lease = 10 * consent.Second
			type model struct {
				entry   ledger.Entry
				claimed [2]ledger.Claim
				lines   int
			}
			subjects := make([]model, 6)
			on, state := false, ledger.Running
			var tokens []ledger.ClaimToken
			change := func(n int) ledger.Change {
				version := subjects[n].entry.Version + int64(rapid.SampledFrom([]int{0, 0, 0, 0, -1, 1}).Draw(r, "staleness"))
				c := ledger.Change{Channel: consent.Email, Subject: subject(n), Version: max(version, 0),
					Record:  decided(consent.Subscribed, consent.Instant(rapid.Int64().Draw(r, "date"))),
					Debts:   [2]consent.Debt{consent.Debt(rapid.IntRange(0, 8).Draw(r, "debt"))},
					Journal: make([]ledger.Line, rapid.IntRange(0, 2).Draw(r, "lines"))}
				if len(tokens) > 0 && rapid.Bool().Draw(r, "release") {
					c.Release = rapid.SampledFrom(tokens).Draw(r, "token")
				}
				return c
			}
			apply := func(n int, c ledger.Change) {
				subjects[n].entry = ledger.Entry{Record: c.Record, Version: c.Version + 1, Debts: c.Debts}
				subjects[n].lines += len(c.Journal)
			}
			r.Repeat(map[string]func(*rapid.T){
				"save": func(r *rapid.T) {
					var batch ledger.Batch
					var want []consent.Subject
					for _, n := range rapid.SliceOfN(rapid.IntRange(0, len(subjects)-1), 1, 5).Draw(r, "subjects") {
						c := change(n)
						batch.Changes = append(batch.Changes, c)
						if c.Version == subjects[n].entry.Version && !contains(batch.Changes[:len(batch.Changes)-1], c.Subject, want) {
							apply(n, c)
						} else {
							want = append(want, c.Subject)
						}
						if c.Release != 0 {
							for i := range subjects {
								for side := range subjects[i].claimed {
									if subjects[i].claimed[side].Token == c.Release {
										subjects[i].claimed[side] = ledger.Claim{}
									}
								}
							}
						}
					}
					got, err := l.Save(t.Context(), id, batch)
					require.NoError(r, err)
					require.Equal(r, want, got)
				},
				"claim": func(r *rapid.T) {
					n, side := rapid.IntRange(0, len(subjects)-1).Draw(r, "subject"), rapid.SampledFrom(consent.Sides[:]).Draw(r, "side")
					c := change(n)
					c.Release = 0
					claim, err := l.Claim(t.Context(), id, plenty, ledger.ClaimRequest{Change: c, Side: side,
						Sync: consent.EmailToListrak, Lease: lease.Duration()})
					s := &subjects[n]
					switch {
					case !on || state != ledger.Running:
						require.ErrorIs(r, err, ledger.ErrNotPermitted)
					case c.Version == 0 || c.Version != s.entry.Version:
						require.ErrorIs(r, err, ledger.ErrConflict)
					case s.claimed[side].Until > clock.Now():
						require.ErrorIs(r, err, ledger.ErrClaimed)
					default:
						require.NoError(r, err)
						require.Equal(r, clock.Now().Plus(lease), claim.Until)
						apply(n, c)
						s.claimed[side] = claim
						tokens = append(tokens, claim.Token)
					}
				},
				"switch": func(r *rapid.T) {
					on = rapid.Bool().Draw(r, "on")
					_, err := l.SetSyncs(t.Context(), id, ledger.SyncChange{On: map[consent.Sync]bool{consent.EmailToListrak: on}})
					require.NoError(r, err)
				},
				"pause or resume": func(r *rapid.T) {
					set, to := l.Pause, ledger.Paused
					if state == ledger.Paused {
						set, to = l.Resume, ledger.Running
					}
					s, err := set(t.Context(), id)
					require.NoError(r, err)
					require.Equal(r, to, s.State)
					state = to
				},
				"wait": func(r *rapid.T) { clock.Advance(consent.Span(rapid.Int64Range(1, int64(lease)).Draw(r, "span"))) },
				"": func(r *rapid.T) {
					var all []consent.Subject
					live, latest := 0, consent.Instant(0)
					for n := range subjects {
						all = append(all, subject(n))
						for _, c := range subjects[n].claimed {
							if c.Until > clock.Now() {
								live, latest = live+1, max(latest, c.Until)
							}
						}
					}
					entries, err := l.Load(t.Context(), id, consent.Email, all)
					require.NoError(r, err)
					for n := range subjects {
						require.Equal(r, subjects[n].entry, entries[subject(n)])
						lines, err := l.Journal(t.Context(), id, consent.Email, subject(n))
						require.NoError(r, err)
						require.Len(r, lines, subjects[n].lines)
					}
					gotLive, gotLatest, err := l.LiveClaims(t.Context(), id, consent.EmailToListrak)
					require.NoError(r, err)
					require.Equal(r, live, gotLive)
					require.Equal(r, latest, gotLatest)
				},
			})
		})
	})
}

// contains reports whether an earlier change of the batch already won this subject.
func contains(earlier []ledger.Change, s consent.Subject, lost []consent.Subject) bool {
	n := 0
	for _, c := range earlier {
		if c.Subject == s {
			n++
		}
	}
	for _, l := range lost {
		if l == s {
			n--
		}
	}
	return n > 0
}
