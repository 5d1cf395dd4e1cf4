package ledger_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// sum is a fold whose record is a number, which grows by one for each fresh fact.
func sum(ref int64, subjects []consent.Subject) func(map[consent.Subject][]byte, []bool) (ledger.EngagementFold, error) {
	return func(records map[consent.Subject][]byte, fresh []bool) (ledger.EngagementFold, error) {
		fold := ledger.EngagementFold{Days: map[ledger.EngagementDay]ledger.EngagementCounts{}}
		counts := map[consent.Subject]byte{}
		for subject, record := range records {
			counts[subject] = record[0]
		}
		changed := map[consent.Subject]bool{}
		for i, subject := range subjects {
			if len(fresh) == 0 || fresh[i] {
				counts[subject]++
				changed[subject] = true
				day := ledger.EngagementDay{Ref: ref, Day: 20_000}
				fold.Days[day] = fold.Days[day].Plus(ledger.EngagementCounts{Sends: 1})
			}
		}
		for subject := range changed {
			fold.People = append(fold.People, ledger.EngagedPerson{Subject: subject, Record: []byte{counts[subject]}})
		}
		return fold, nil
	}
}

func person(n int) consent.Subject {
	return consent.SubjectOf([]byte("key"), acme, consent.Email, fmt.Sprint(n))
}

func messageOf(t testing.TB, l *ledger.Ledger, id string) ledger.EngagementMessage {
	t.Helper()
	known, err := l.KnowEngagementMessages(t.Context(), acme, []ledger.EngagementMessage{{ID: id, Channel: consent.Email, Title: "Spring", Zone: "UTC"}})
	require.NoError(t, err)
	return known[id]
}

func runOf(t testing.TB, l *ledger.Ledger) ledger.RunLease {
	t.Helper()
	lease, ok, err := l.AcquireRun(t.Context(), acme, "engagement", "test", time.Minute)
	require.NoError(t, err)
	require.True(t, ok)
	return lease
}

func TestEventsAreTakenInOnce(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		addMerchant(t, l)
		ctx, m := t.Context(), messageOf(t, l, "sms-1")
		var all []consent.Subject
		var ids [][]byte
		for n := range 700 { // more than a statement takes
			all, ids = append(all, person(n%500)), append(ids, fmt.Appendf(nil, "event-%d", n))
		}
		intake := ledger.EngagementIntake{Channel: consent.Email, Generation: 1, Subjects: all, Events: ids, Fold: sum(m.Ref, all)}
		changed, err := l.TakeInEngagement(ctx, acme, intake)
		require.NoError(t, err)
		require.Equal(t, 500, changed)
		// Again, and some of them twice beside a new one.
		changed, err = l.TakeInEngagement(ctx, acme, intake)
		require.NoError(t, err)
		require.Zero(t, changed)
		some := []consent.Subject{person(0), person(1), person(1), person(0)}
		again := ledger.EngagementIntake{Channel: consent.Email, Generation: 1, Subjects: some, Events: [][]byte{ids[0], []byte("new"), []byte("new"), ids[1]}, Fold: sum(m.Ref, some)}
		changed, err = l.TakeInEngagement(ctx, acme, again)
		require.NoError(t, err)
		require.Equal(t, 1, changed)
		totals, err := l.EngagementTotals(ctx, acme)
		require.NoError(t, err)
		require.EqualValues(t, 701, totals["sms-1"][20_000].Sends)

		// A fold that fails leaves nothing behind, the events neither.
		failed := again
		failed.Events = [][]byte{[]byte("a"), []byte("b"), []byte("c"), []byte("d")}
		failed.Fold = func(map[consent.Subject][]byte, []bool) (ledger.EngagementFold, error) {
			return ledger.EngagementFold{}, errors.New("no")
		}
		_, err = l.TakeInEngagement(ctx, acme, failed)
		require.Error(t, err)
		failed.Fold = sum(m.Ref, some)
		changed, err = l.TakeInEngagement(ctx, acme, failed)
		require.NoError(t, err)
		require.Equal(t, 2, changed)
	})
}

// TestManyTakeInTheSamePeopleAtOnce: none of them overwrites what another one has counted.
func TestManyTakeInTheSamePeopleAtOnce(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		addMerchant(t, l)
		m := messageOf(t, l, "sms-1")
		people := []consent.Subject{person(1), person(2), person(3)}
		var work sync.WaitGroup
		failed := make(chan error, 8)
		for worker := range 8 {
			work.Go(func() {
				for n := range 5 {
					events := [][]byte{fmt.Appendf(nil, "%d-%d-a", worker, n), fmt.Appendf(nil, "%d-%d-b", worker, n), fmt.Appendf(nil, "%d-%d-c", worker, n)}
					if _, err := l.TakeInEngagement(t.Context(), acme, ledger.EngagementIntake{Channel: consent.Email, Generation: 1, Subjects: people, Events: events,
						Fold: sum(m.Ref, people)}); err != nil {
						failed <- err
						return
					}
				}
			})
		}
		work.Wait()
		close(failed)
		require.NoError(t, <-failed)
		for _, subject := range people {
			p, err := l.EngagedPerson(t.Context(), acme, subject)
			require.NoError(t, err)
			require.Equal(t, []byte{40}, p.Record)
		}
	})
}

func TestAReadingMovesWithWhatWasRead(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		ctx := t.Context()
		known, err := l.KnowEngagementMessages(ctx, acme, []ledger.EngagementMessage{
			{ID: "b", List: 5, Number: 77, Title: "B", Zone: "UTC", EngagementReading: ledger.EngagementReading{NextRead: clock.Now()}},
			{ID: "a", List: 5, Number: 78, Title: "A", Zone: "UTC", EngagementReading: ledger.EngagementReading{NextRead: clock.Now() + 1}},
			{ID: "c", List: 6, Number: 79, Title: "C", Zone: "UTC", EngagementReading: ledger.EngagementReading{NextRead: clock.Now()}},
		})
		require.NoError(t, err)
		require.Len(t, known, 3)
		due, err := l.EngagementMessagesDue(ctx, acme, 5, clock.Now()+1, 10)
		require.NoError(t, err)
		require.Len(t, due, 2)
		require.Equal(t, "b", due[0].ID)

		// Known again, with another title and a date that was missing: the rest stays.
		known, err = l.KnowEngagementMessages(ctx, acme, []ledger.EngagementMessage{{ID: "b", List: 9, Title: "B2", SentAt: 7, Zone: "Asia/Tokyo"}})
		require.NoError(t, err)
		require.Equal(t, "B2", known["b"].Title)
		require.Equal(t, consent.Instant(7), known["b"].SentAt)
		require.Equal(t, 5, known["b"].List)
		require.Equal(t, "UTC", known["b"].Zone)
		require.Equal(t, due[0].Ref, known["b"].Ref)

		lease := runOf(t, l)
		next := ledger.EngagementReading{NextRead: clock.Now() + 99, ReadAt: 1, FullAt: 2, Summary: "1 2 3", Page: `{"cursor":"x"}`}
		intake := ledger.EngagementIntake{Channel: consent.Email, Lease: &lease, Message: "b", Reading: next, Fold: sum(due[0].Ref, nil)}
		_, err = l.TakeInEngagement(ctx, acme, intake)
		require.NoError(t, err)
		known, err = l.KnowEngagementMessages(ctx, acme, []ledger.EngagementMessage{{ID: "b"}})
		require.NoError(t, err)
		require.Equal(t, next, known["b"].EngagementReading)

		// Whoever lost the lease moves nothing and counts nothing.
		clock.Advance(2 * consent.Minute)
		_, ok, err := l.AcquireRun(ctx, acme, "engagement", "another", time.Minute)
		require.NoError(t, err)
		require.True(t, ok)
		one := []consent.Subject{person(1)}
		intake.Subjects, intake.Fold = one, sum(due[0].Ref, one)
		_, err = l.TakeInEngagement(ctx, acme, intake)
		require.ErrorIs(t, err, ledger.ErrFenced)
		require.ErrorIs(t, l.SaveEngagementReading(ctx, lease, "b", next), ledger.ErrFenced)
		require.ErrorIs(t, l.ToldDays(ctx, lease, nil), ledger.ErrFenced)
		require.ErrorIs(t, l.ToldPeople(ctx, lease, consent.Email, nil), ledger.ErrFenced)
		totals, err := l.EngagementTotals(ctx, acme)
		require.NoError(t, err)
		require.Empty(t, totals)
	})
}

// TestTheLatestDaysAreToldFirst, so that today's campaign does not wait for a backlog of old days.
func TestTheLatestDaysAreToldFirst(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		ctx, m := t.Context(), messageOf(t, l, "sms-1")
		for _, day := range []int64{100, 102, 101} {
			_, err := l.TakeInEngagement(ctx, acme, ledger.EngagementIntake{Channel: consent.Email, Generation: 1,
				Fold: func(map[consent.Subject][]byte, []bool) (ledger.EngagementFold, error) {
					return ledger.EngagementFold{Days: map[ledger.EngagementDay]ledger.EngagementCounts{{Ref: m.Ref, Day: day}: {Sends: 1}}}, nil
				}})
			require.NoError(t, err)
			clock.Advance(consent.Second)
		}
		due, err := l.EngagementDaysDue(ctx, acme, clock.Now(), 2)
		require.NoError(t, err)
		require.Len(t, due, 2)
		require.Equal(t, [2]int64{102, 101}, [2]int64{due[0].Day, due[1].Day})
	})
}

func TestDaysAreDueUntilTheyAreTold(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		ctx, m, lease := t.Context(), messageOf(t, l, "sms-1"), runOf(t, l)
		take := func(n int) {
			t.Helper()
			one := []consent.Subject{person(n)}
			_, err := l.TakeInEngagement(ctx, acme, ledger.EngagementIntake{Channel: consent.Email, Generation: 1, Subjects: one, Fold: sum(m.Ref, one)})
			require.NoError(t, err)
		}
		due := func() []ledger.DueDay {
			t.Helper()
			days, err := l.EngagementDaysDue(ctx, acme, clock.Now(), 10)
			require.NoError(t, err)
			return days
		}
		take(1)
		first := due()
		require.Len(t, first, 1)
		require.Equal(t, "Spring", first[0].Message.Title)
		day := ledger.ToldDay{EngagementDay: first[0].EngagementDay, Counts: first[0].Counts, Told: "1"}
		take(2) // while it is told
		require.NoError(t, l.ToldDays(ctx, lease, []ledger.ToldDay{day}))
		second := due()
		require.Len(t, second, 1, "it has changed since")
		require.Equal(t, "1", second[0].Told)
		day.Counts, day.Told = second[0].Counts, "2"
		require.NoError(t, l.ToldDays(ctx, lease, []ledger.ToldDay{day}))
		require.Empty(t, due())

		// A call of unknown end: it is told again, and once more when the first can take effect no longer.
		take(3)
		unsure := clock.Now() + 100
		require.NoError(t, l.ToldDays(ctx, lease, []ledger.ToldDay{{EngagementDay: day.EngagementDay, Unsure: unsure}}))
		require.Empty(t, due())
		take(4)
		third := due()
		require.Len(t, third, 1)
		require.True(t, third[0].Unsure)
		day.Counts, day.Told = third[0].Counts, "4"
		require.NoError(t, l.ToldDays(ctx, lease, []ledger.ToldDay{day}))
		require.Empty(t, due())
		clock.Advance(101)
		last := due()
		require.Len(t, last, 1, "told once more")
		require.NoError(t, l.ToldDays(ctx, lease, []ledger.ToldDay{day}))
		clock.Advance(consent.Hour)
		require.Empty(t, due())
		require.NoError(t, l.ToldActivity(ctx, acme, "sms-1", "Spring"))
		standing, err := l.EngagementStanding(ctx, acme, 0, clock.Now())
		require.NoError(t, err)
		require.Equal(t, ledger.EngagementStanding{Messages: 1, Activities: 1, PeopleWaiting: 4}, standing)
	})
}

func TestPeopleAreDueWithTheirCustomer(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		ctx, m, lease := t.Context(), messageOf(t, l, "sms-1"), runOf(t, l)
		people := []consent.Subject{person(1), person(2)}
		take := func() {
			t.Helper()
			_, err := l.TakeInEngagement(ctx, acme, ledger.EngagementIntake{Channel: consent.Email, Generation: 1, Subjects: people, Fold: sum(m.Ref, people)})
			require.NoError(t, err)
		}
		take()
		// The address of person 1 went from one customer to another.
		_, err := l.Save(ctx, acme, ledger.Batch{Customers: []ledger.Customer{{ID: "old", UpdatedAt: 1, Email: person(1)}, {ID: "new", UpdatedAt: 2, Email: person(1)}}})
		require.NoError(t, err)
		due, err := l.EngagedPeopleDue(ctx, acme, consent.Email, clock.Now(), 10)
		require.NoError(t, err)
		require.Len(t, due, 2)
		customers := map[consent.Subject]string{}
		var told []ledger.ToldPerson
		for _, p := range due {
			customers[p.Subject] = p.Customer
			told = append(told, ledger.ToldPerson{Subject: p.Subject, Version: p.Version, Told: []byte("x"), DueAt: clock.Now() + 50})
		}
		require.Equal(t, map[consent.Subject]string{person(1): "new", person(2): ""}, customers)
		sms, err := l.EngagedPeopleDue(ctx, acme, consent.SMS, clock.Now(), 10)
		require.NoError(t, err)
		require.Empty(t, sms)

		take() // while they are told
		require.NoError(t, l.ToldPeople(ctx, lease, consent.Email, told))
		due, err = l.EngagedPeopleDue(ctx, acme, consent.Email, clock.Now(), 10)
		require.NoError(t, err)
		require.Len(t, due, 2, "they have changed since")
		require.Equal(t, []byte("x"), due[0].Told)
		told[0].Version, told[1].Version = due[0].Version, due[0].Version
		told[1].Unsure = clock.Now() + 200
		require.NoError(t, l.ToldPeople(ctx, lease, consent.Email, told))
		due, err = l.EngagedPeopleDue(ctx, acme, consent.Email, clock.Now()+199, 10)
		require.NoError(t, err)
		require.Len(t, due, 1, "the other one is unsure, and waits")
		due, err = l.EngagedPeopleDue(ctx, acme, consent.Email, clock.Now()+200, 10)
		require.NoError(t, err)
		require.Len(t, due, 2)
	})
}

// TestOfAnErasedPersonOnlyTheErasureStays: what is read of them later counts nothing a second time.
func TestOfAnErasedPersonOnlyTheErasureStays(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		ctx, m, lease := t.Context(), messageOf(t, l, "sms-1"), runOf(t, l)
		people := []consent.Subject{person(1), person(2)}
		_, err := l.TakeInEngagement(ctx, acme, ledger.EngagementIntake{Channel: consent.Email, Generation: 1, Subjects: people, Fold: sum(m.Ref, people)})
		require.NoError(t, err)
		require.NoError(t, l.EraseSubjects(ctx, acme, ledger.Erasure{Changes: []ledger.Change{{Channel: consent.Email, Subject: person(1), Record: consent.Record{}}}}))
		p, err := l.EngagedPerson(ctx, acme, person(1))
		require.NoError(t, err)
		require.Equal(t, []byte(ledger.ErasedEngagement), p.Record)
		require.NoError(t, l.ToldPeople(ctx, lease, consent.Email, []ledger.ToldPerson{{Subject: person(1), Told: []byte("late"), DueAt: 1}}))
		due, err := l.EngagedPeopleDue(ctx, acme, consent.Email, clock.Now(), 10)
		require.NoError(t, err)
		require.Len(t, due, 1)
		require.Equal(t, person(2), due[0].Subject)

		require.NoError(t, l.RemoveMerchant(ctx, acme))
		_, err = l.EraseMerchant(ctx, acme)
		require.NoError(t, err)
		p, err = l.EngagedPerson(ctx, acme, person(2))
		require.NoError(t, err)
		require.Empty(t, p.Record)
		totals, err := l.EngagementTotals(ctx, acme)
		require.NoError(t, err)
		require.Empty(t, totals)
	})
}

func TestEventsAreForgottenWhenTheyCannotComeAgain(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		one := []consent.Subject{person(1)}
		intake := ledger.EngagementIntake{Channel: consent.Email, Generation: 1, Subjects: one, Events: [][]byte{[]byte("e")}, Fold: sum(1, one)}
		for _, want := range []int{1, 0, 1} {
			changed, err := l.TakeInEngagement(t.Context(), acme, intake)
			require.NoError(t, err)
			require.Equal(t, want, changed)
			clock.Advance(ledger.EngagementMemory/2 + consent.Hour)
			if want == 0 {
				_, err = l.PurgeExpired(t.Context())
				require.NoError(t, err)
			}
		}
	})
}

func TestKindsOfEventsFollowTheirSync(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		addMerchant(t, l)
		set := func(on map[consent.Sync]bool) map[consent.Sync]bool {
			t.Helper()
			switches, err := l.SetSyncs(t.Context(), acme, ledger.SyncChange{On: on})
			require.NoError(t, err)
			may := map[consent.Sync]bool{}
			for _, sync := range consent.EventSyncs {
				if switches.May(sync) {
					may[sync] = true
				}
			}
			return may
		}
		// A kind alone does nothing, and the first switching on of a sync switches on the kinds that were not named.
		require.Empty(t, set(map[consent.Sync]bool{consent.SMSClicks: true}))
		require.Equal(t, map[consent.Sync]bool{consent.EmailEvents: true, consent.EmailSent: true, consent.EmailClicks: true},
			set(map[consent.Sync]bool{consent.EmailEvents: true, consent.EmailOpened: false}))
		require.Empty(t, set(map[consent.Sync]bool{consent.EmailEvents: false}))
		// Again as they were.
		require.Equal(t, map[consent.Sync]bool{consent.EmailEvents: true, consent.EmailSent: true, consent.EmailClicks: true, consent.SMSEvents: true,
			consent.SMSClicks: true}, set(map[consent.Sync]bool{consent.EmailEvents: true, consent.SMSEvents: true}))
		_, err := l.Pause(t.Context(), acme)
		require.NoError(t, err)
		require.Empty(t, set(nil))
	})
}

// TestWhatWasSwitchedMeanwhileIsNotTakenIn: the events were chosen by switches that are not in force any more.
func TestWhatWasSwitchedMeanwhileIsNotTakenIn(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		addMerchant(t, l)
		ctx, m := t.Context(), messageOf(t, l, "sms-1")
		switches, err := l.SetSyncs(ctx, acme, ledger.SyncChange{On: map[consent.Sync]bool{consent.SMSEvents: true}})
		require.NoError(t, err)
		one := []consent.Subject{person(1)}
		intake := func(event string, generation int64) ledger.EngagementIntake {
			return ledger.EngagementIntake{Channel: consent.SMS, Generation: generation, Subjects: one, Events: [][]byte{[]byte(event)}, Fold: sum(m.Ref, one)}
		}
		_, err = l.TakeInEngagement(ctx, acme, intake("a", switches.Generation))
		require.NoError(t, err)
		_, err = l.SetSyncs(ctx, acme, ledger.SyncChange{On: map[consent.Sync]bool{consent.SMSEvents: false}})
		require.NoError(t, err)
		_, err = l.TakeInEngagement(ctx, acme, intake("b", switches.Generation))
		require.ErrorIs(t, err, ledger.ErrSwitched)
		require.NoError(t, l.RemoveMerchant(ctx, acme))
		removed, err := l.Switches(ctx, acme)
		require.NoError(t, err)
		_, err = l.TakeInEngagement(ctx, acme, intake("c", removed.Generation))
		require.ErrorIs(t, err, ledger.ErrSwitched)
		totals, err := l.EngagementTotals(ctx, acme)
		require.NoError(t, err)
		require.EqualValues(t, 1, totals["sms-1"][20_000].Sends)
	})
}
