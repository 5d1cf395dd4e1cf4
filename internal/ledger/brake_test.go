package ledger_test

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

const day = 24 * consent.Hour

// newcomer is a claim that turns nobody from unsubscribed to subscribed.
func newcomer(n int) ledger.ClaimRequest {
	request := claimOf(n, 1, consent.Listrak)
	request.Journal = []ledger.Line{{Kind: ledger.Claimed, Side: consent.Listrak}}
	return request
}

// known saves people, who are of version 1 then.
func known(t testing.TB, l *ledger.Ledger, people int) {
	t.Helper()
	changes := make([]ledger.Change, people)
	for n := range changes {
		changes[n] = ledger.Change{Channel: consent.Email, Subject: subject(n)}
	}
	save(t, l, changes...)
}

// claims claims a batch and returns what each request came to.
func claims(t testing.TB, l *ledger.Ledger, limit ledger.ResubscribeLimit, requests ...ledger.ClaimRequest) []error {
	t.Helper()
	results, err := l.Claims(t.Context(), acme, limit, requests)
	require.NoError(t, err)
	errs := make([]error, len(results))
	for i, r := range results {
		errs[i] = r.Err
	}
	return errs
}

func brakeOf(t testing.TB, l *ledger.Ledger, limit ledger.ResubscribeLimit) ledger.Brake {
	t.Helper()
	b, err := l.Brake(t.Context(), acme, limit, nil)
	require.NoError(t, err)
	return b
}

func TestClaimsResubscribeNoMorePeopleThanTheLimit(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak, consent.EmailToShopify)
		known(t, l, 20)
		limit := ledger.ResubscribeLimit{Fixed: 3}
		again := func(n int, version int64) ledger.ClaimRequest { return claimOf(n, version, consent.Listrak) }
		const brake, conflict = "brake", "conflict"
		words := func(errs []error) []string {
			list := make([]string, len(errs))
			for i, err := range errs {
				list[i] = map[error]string{nil: "granted", ledger.ErrBrake: brake, ledger.ErrConflict: conflict}[err]
			}
			return list
		}
		first := clock.Now()
		require.Equal(t, []string{"granted", "granted", conflict, "granted", "granted", brake, "granted"},
			words(claims(t, l, limit, again(0, 1), newcomer(1), again(2, 9), again(3, 1), again(4, 1), again(5, 1), newcomer(6))),
			"only who is granted counts, and newcomers pass")
		require.Equal(t, ledger.Entry{Version: 1}, load(t, l, subject(5)), "nothing is written for who is stopped")
		lines, err := l.Journal(t.Context(), acme, consent.Email, subject(5))
		require.NoError(t, err)
		require.Empty(t, lines)
		require.Equal(t, []string{brake}, words(claims(t, l, limit, again(5, 1))))
		require.Equal(t, []string{brake}, words(claims(t, l, limit, claimOf(5, 1, consent.Shopify))), "both sides have one limit")
		require.Equal(t, []string{"granted"}, words(claims(t, l, limit, claimOf(3, 2, consent.Shopify))), "who is counted passes again")
		require.Zero(t, brakeOf(t, l, limit).Room())

		clock.Advance(day)
		require.Equal(t, []string{brake}, words(claims(t, l, limit, again(8, 1))), "24 hours are not over before their last moment")
		clock.Advance(1)
		require.Greater(t, clock.Now().Since(first), day)
		require.Equal(t, []string{"granted", "granted", "granted", brake},
			words(claims(t, l, limit, again(8, 1), again(9, 1), again(10, 1), again(11, 1))), "nobody was stopped for good")
		clock.Advance(consent.Hour)
		b := brakeOf(t, l, limit)
		require.EqualValues(t, []int64{3, 0, 0}, []int64{b.Resubscribed, b.Approved, b.Room()})
		require.Equal(t, []string{brake}, words(claims(t, l, ledger.ResubscribeLimit{}, again(13, 1))), "the zero limit stops everybody")
		_, err = l.Approve(t.Context(), acme, 0)
		require.Error(t, err)
		_, err = l.Approve(t.Context(), "nobody", 1)
		require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
	})
}

// stopped saves somebody who is stopped towards a side, as version 1.
func stopped(t testing.TB, l *ledger.Ledger, n int, side consent.Side, at consent.Instant) {
	t.Helper()
	rec := decided(consent.Subscribed, at)
	rec.Decision.Side = side.Other()
	rec.Seen[side.Other()], rec.Seen[side] = consent.Sighting{State: consent.Subscribed}, consent.Sighting{State: consent.Unsubscribed}
	var debts [2]consent.Debt
	debts[side] = consent.Stopped
	save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(n), Record: rec, Debts: debts})
}

func approve(t testing.TB, l *ledger.Ledger, people int64) int64 {
	t.Helper()
	n, err := l.Approve(t.Context(), acme, people)
	require.NoError(t, err)
	return n
}

func stops(t testing.TB, l *ledger.Ledger) ledger.Stops {
	t.Helper()
	s, err := l.Stops(t.Context(), acme)
	require.NoError(t, err)
	return s
}

// An approval is for those who wait, by name: the oldest decisions of both sides. While anybody waits nobody else is resubscribed, however
// much room there is.
func TestAnApprovalIsByName(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak, consent.EmailToShopify)
		limit := ledger.ResubscribeLimit{Fixed: 3}
		known(t, l, 3)
		for n, side := range map[int]consent.Side{10: consent.Listrak, 11: consent.Shopify, 12: consent.Listrak, 13: consent.Listrak,
			14: consent.Shopify, 15: consent.Listrak} {
			stopped(t, l, n, side, consent.Instant(n))
		}
		require.Equal(t, []error{ledger.ErrBrake, nil}, claims(t, l, limit, claimOf(0, 1, consent.Listrak), newcomer(1)))
		require.Equal(t, []error{ledger.ErrBrake}, claims(t, l, limit, claimOf(10, 1, consent.Listrak)), "nobody goes on by themselves")
		b := brakeOf(t, l, limit)
		require.True(t, b.Closed)
		require.Zero(t, b.Room())

		require.EqualValues(t, 3, approve(t, l, 3))
		require.Equal(t, ledger.Stops{Waiting: [2]int64{1, 2}, Approved: [2]int64{1, 2}}, stops(t, l))
		require.EqualValues(t, 3, brakeOf(t, l, limit).Approved)
		b, err := l.Brake(t.Context(), acme, limit, []consent.Subject{subject(0), subject(10), subject(11), subject(12), subject(13)})
		require.NoError(t, err)
		require.Equal(t, map[consent.Subject]bool{subject(10): true, subject(11): true, subject(12): true}, b.Passing)
		lines, err := l.Journal(t.Context(), acme, consent.Email, subject(11))
		require.NoError(t, err)
		require.Len(t, lines, 1)
		require.Equal(t, []any{ledger.Approved, ledger.Resubscribed, consent.Shopify, consent.Instant(11)},
			[]any{lines[0].Kind, lines[0].Reason, lines[0].Side, lines[0].Date})

		// They pass without a place, and others do not, before and after.
		require.Equal(t, []error{ledger.ErrBrake, nil, nil, ledger.ErrBrake, ledger.ErrBrake}, claims(t, l, ledger.ResubscribeLimit{},
			claimOf(13, 1, consent.Listrak), claimOf(10, 1, consent.Listrak), claimOf(11, 1, consent.Shopify), claimOf(14, 1, consent.Shopify),
			claimOf(0, 1, consent.Listrak)))
		require.EqualValues(t, 2, brakeOf(t, l, limit).Resubscribed, "the limit counts them all the same")

		// Whoever was not delivered in time waits again.
		clock.Advance(day + 1)
		require.Equal(t, [2]int64{1, 3}, stops(t, l).Waiting)
		require.Equal(t, []error{ledger.ErrBrake}, claims(t, l, limit, claimOf(12, 1, consent.Listrak)))

		// Who waits for a sync that is off cannot be approved, and keeps nobody else waiting.
		_, err = l.SetSyncs(t.Context(), acme, ledger.SyncChange{On: map[consent.Sync]bool{consent.EmailToListrak: false}})
		require.NoError(t, err)
		require.EqualValues(t, 1, approve(t, l, 9))
		require.Zero(t, approve(t, l, 9))
		require.Equal(t, ledger.Stops{Waiting: [2]int64{0, 3}, Approved: [2]int64{1, 0}}, stops(t, l))
		require.False(t, brakeOf(t, l, limit).Closed, "who is approved keeps nobody waiting either")
		require.Equal(t, []error{nil}, claims(t, l, limit, claimOf(0, 1, consent.Shopify)))
		lines, err = l.Journal(t.Context(), acme, 0, consent.Subject{})
		require.NoError(t, err)
		var approvals []int64
		for _, line := range lines {
			if line.Kind == ledger.Approved {
				approvals = append(approvals, line.Count)
			}
		}
		require.Equal(t, []int64{3, 1}, approvals)
	})
}

// A raised limit takes the marks of all who are stopped, in the transaction that raises it.
func TestAHigherLimitJudgesAnew(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		addMerchant(t, l, consent.EmailToListrak, consent.EmailToShopify)
		const people = 300 // more than one statement takes
		for n := range people {
			stopped(t, l, n, consent.Sides[n%2], consent.Instant(n+1))
		}
		held := load(t, l, subject(1)).Record
		held.Hold = consent.Hold{Customer: "c", Consent: 2, Until: 3}
		save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(1), Version: 1, Record: held,
			Debts: [2]consent.Debt{consent.Listrak: consent.Stopped}})
		m, err := l.Merchant(t.Context(), acme)
		require.NoError(t, err)
		require.NoError(t, l.UpdateMerchant(t.Context(), m, ledger.MerchantUpdate{}))
		require.Equal(t, [2]int64{people / 2, people / 2}, stops(t, l).Waiting)
		require.ErrorIs(t, l.UpdateMerchant(t.Context(), m, ledger.MerchantUpdate{LimitRaised: true}), ledger.ErrConflict)
		require.Equal(t, [2]int64{people / 2, people / 2}, stops(t, l).Waiting)
		m.Generation++
		require.NoError(t, l.UpdateMerchant(t.Context(), m, ledger.MerchantUpdate{LimitRaised: true}))
		require.Equal(t, ledger.Stops{}, stops(t, l))
		require.Equal(t, [2]consent.Debt{consent.Listrak: consent.Held}, load(t, l, subject(1)).Debts, "its checkout window is still open")
		require.Equal(t, [2]consent.Debt{consent.Listrak: consent.Owed}, load(t, l, subject(3)).Debts)
		require.Equal(t, [2]consent.Debt{consent.Shopify: consent.Owed}, load(t, l, subject(4)).Debts)
		require.EqualValues(t, 2, load(t, l, subject(4)).Version, "whoever has read it before must read again")
		lines, err := l.Journal(t.Context(), acme, consent.Email, subject(3))
		require.NoError(t, err)
		require.Len(t, lines, 1)
		require.Equal(t, []any{ledger.Released, consent.Listrak, consent.Subscribed}, []any{lines[0].Kind, lines[0].Side, lines[0].State})
	})
}

// TestTwoWorkersAndTwoOperators: approvals at the same moment name different people, and each is let through once.
func TestTwoWorkersAndTwoOperators(t *testing.T) {
	forEachReal(t, func(t *testing.T, dsn string) {
		workers := []*ledger.Ledger{open(t, dsn)}
		if dsn != "sqlite::memory:" {
			workers = append(workers, open(t, dsn))
		}
		addMerchant(t, workers[0], consent.EmailToListrak)
		const people, operators, each = 30, 4, 3
		for n := range people {
			stopped(t, workers[0], n, consent.Listrak, consent.Instant(n+1))
		}
		errs, granted := make([]error, 2*operators), make([]int, 2*operators)
		var group sync.WaitGroup
		for o := range operators {
			group.Go(func() { _, errs[o] = workers[o%len(workers)].Approve(t.Context(), acme, each) })
			group.Go(func() {
				for range 4 {
					for n := range people {
						_, err := workers[o%len(workers)].Claim(t.Context(), acme, ledger.ResubscribeLimit{Fixed: people}, claimOf(n, 1, consent.Listrak))
						switch err {
						case nil:
							granted[o]++
						case ledger.ErrBrake, ledger.ErrConflict, ledger.ErrClaimed:
						default:
							errs[operators+o] = err
						}
					}
				}
			})
		}
		group.Wait()
		all := 0
		for i := range errs {
			require.NoError(t, errs[i])
			all += granted[i]
		}
		for n := range people {
			_, err := workers[0].Claim(t.Context(), acme, ledger.ResubscribeLimit{Fixed: people}, claimOf(n, 1, consent.Listrak))
			if err == nil {
				all++
			}
		}
		require.Equal(t, operators*each, all)
		require.Equal(t, [2]int64{consent.Listrak: people - operators*each}, stops(t, workers[0]).Waiting)
	})
}

func TestTheLimitGrowsWithThePeopleKnown(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		known(t, l, 24)
		limit := ledger.ResubscribeLimit{Fixed: 2, KnownPer: 10}
		require.EqualValues(t, 2, brakeOf(t, l, limit).Limit, "those known are not counted as long as the fixed part suffices")
		requests := make([]ledger.ClaimRequest, 5)
		for n := range requests {
			requests[n] = claimOf(n, 1, consent.Listrak)
		}
		require.Equal(t, []error{nil, nil, nil, nil, ledger.ErrBrake}, claims(t, l, limit, requests...))
		require.EqualValues(t, 4, brakeOf(t, l, limit).Limit)

		// They are not counted again and again.
		var more []ledger.Change
		for n := range 6 {
			more = append(more, ledger.Change{Channel: consent.Email, Subject: subject(100 + n)})
		}
		save(t, l, more...)
		require.EqualValues(t, 4, brakeOf(t, l, limit).Limit)
		clock.Advance(10 * consent.Minute)
		require.EqualValues(t, 5, brakeOf(t, l, limit).Limit)
		require.Equal(t, []error{nil, ledger.ErrBrake}, claims(t, l, limit, claimOf(4, 1, consent.Listrak), claimOf(5, 1, consent.Listrak)))
	})
}

// TestTwoWorkersAtTheLimit: batches of several processes that count at the same moment do not both slip through.
func TestTwoWorkersAtTheLimit(t *testing.T) {
	forEachReal(t, func(t *testing.T, dsn string) {
		workers := []*ledger.Ledger{open(t, dsn)}
		if dsn != "sqlite::memory:" {
			workers = append(workers, open(t, dsn))
		}
		addMerchant(t, workers[0], consent.EmailToListrak)
		const batches, each, allowed = 12, 5, 17
		known(t, workers[0], batches*each)
		granted, stopped := make([]int, batches), make([]int, batches)
		errs := make([]error, batches)
		var group sync.WaitGroup
		for b := range batches {
			group.Go(func() {
				var requests []ledger.ClaimRequest
				for n := range each {
					requests = append(requests, claimOf(b*each+n, 1, consent.Listrak))
				}
				var results []ledger.ClaimResult
				// The share of those known is zero here, but it has to be counted, beside the transaction.
				results, errs[b] = workers[b%len(workers)].Claims(t.Context(), acme, ledger.ResubscribeLimit{Fixed: allowed, KnownPer: 1000}, requests)
				for _, r := range results {
					switch r.Err {
					case nil:
						granted[b]++
					case ledger.ErrBrake:
						stopped[b]++
					default:
						t.Error(r.Err)
					}
				}
			})
		}
		group.Wait()
		var all, none int
		for b := range batches {
			require.NoError(t, errs[b])
			all, none = all+granted[b], none+stopped[b]
		}
		require.Equal(t, allowed, all, "granted, by batch: %v", granted)
		require.Equal(t, batches*each-allowed, none)
	})
}

func TestAnAlarmIsNewsOnce(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		limit := ledger.ResubscribeLimit{Fixed: 2, KnownPer: 10}
		unsubscribed := func(n int) {
			save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(n), Journal: []ledger.Line{
				{Kind: ledger.Claimed, State: consent.Unsubscribed}, {Kind: ledger.Delivered, State: consent.Unsubscribed},
				{Kind: ledger.Delivered, Side: consent.Listrak, State: consent.Unsubscribed}}})
		}
		raise := func() (ledger.Alarm, bool) {
			alarm, news, err := l.RaiseAlarm(t.Context(), acme, limit)
			require.NoError(t, err)
			return alarm, news
		}
		save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(90), Journal: []ledger.Line{
			{Kind: ledger.Delivered, State: consent.Subscribed}}})
		for n := range 2 {
			unsubscribed(n)
		}
		alarm, news := raise()
		require.Equal(t, ledger.Alarm{Unsubscribed: 2, Limit: 2}, alarm)
		require.False(t, news)
		unsubscribed(2)
		alarm, news = raise()
		require.True(t, alarm.Stands())
		require.True(t, news)
		unsubscribed(3)
		alarm, news = raise()
		require.EqualValues(t, 4, alarm.Unsubscribed)
		require.False(t, news, "it is told once")
		lines, err := l.Journal(t.Context(), acme, 0, consent.Subject{})
		require.NoError(t, err)
		last := lines[len(lines)-1]
		require.Equal(t, []any{ledger.AlarmRaised, ledger.ManyUnsubscribed, int64(3)}, []any{last.Kind, last.Reason, last.Count})
		clock.Advance(day + 1)
		alarm, _ = raise()
		require.False(t, alarm.Stands())
		for n := range 3 {
			unsubscribed(10 + n)
		}
		_, news = raise()
		require.True(t, news, "another day is another alarm")
		_, _, err = l.RaiseAlarm(t.Context(), "nobody", limit)
		require.NoError(t, err, "where nothing was delivered nothing is wrong")
	})
}

// TestALedgerOfTheFirstSchemaIsBroughtUp makes a ledger as the first build made it, and opens it.
func TestALedgerOfTheFirstSchemaIsBroughtUp(t *testing.T) {
	forEachLasting(t, func(t *testing.T, dsn string) {
		dialect := goose.DialectPostgres
		if strings.HasPrefix(dsn, "sqlite:") {
			dialect = goose.DialectSQLite3
		}
		db := raw(t, dsn)
		provider, err := goose.NewProvider(dialect, db, os.DirFS("migrations"), goose.WithDisableGlobalRegistry(true),
			goose.WithTableName("schema_version"))
		require.NoError(t, err)
		_, err = provider.UpTo(t.Context(), 1)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), `INSERT INTO merchants (id, shop, listrak_url, email_list, settings, state, reason, generation,
			created_at) VALUES ('acme', 'acme.myshopify.com', 'https://api.listrak.com', 1, '{}', 'running', '', 1, 1)`)
		require.NoError(t, err)
		l := open(t, dsn)
		s := subject(1)
		save(t, l, ledger.Change{Channel: consent.Email, Subject: s, Journal: []ledger.Line{{Kind: ledger.Delivered, State: consent.Unsubscribed}}})
		n, err := l.Unsubscriptions(t.Context(), acme)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		query := "SELECT count(*) FROM sqlite_master WHERE name = 'journal_unsubscribed'"
		if dialect == goose.DialectPostgres {
			query = "SELECT count(*) FROM pg_indexes WHERE indexname = 'journal_unsubscribed'"
		}
		var indexes int
		require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(&indexes))
		require.Equal(t, 1, indexes)
	})
}

func TestWhoIsStoppedIsNotOwed(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l, consent.EmailToListrak)
		put := func(n int, state consent.State, at consent.Instant, debt consent.Debt, next consent.Instant) {
			save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(n), Record: decided(state, at),
				Debts: [2]consent.Debt{consent.Listrak: debt}, NextTry: [2]consent.Instant{consent.Listrak: next}})
		}
		put(1, consent.Subscribed, 20, consent.Stopped, 0)
		put(2, consent.Subscribed, 10, consent.Stopped, 0)
		put(3, consent.Subscribed, 15, consent.Stopped, 1001)
		put(4, consent.Subscribed, 5, consent.Stopped, 0) // before the direction was on
		put(5, consent.Subscribed, 12, consent.Owed, 0)
		put(6, consent.Unsubscribed, 12, consent.Owed, 0)
		permit := ledger.Permit{Subscribed: []consent.Interval{{Began: 8}}}
		ask := func(released bool) []consent.Subject {
			due, err := l.Owed(t.Context(), ledger.OwedQuery{Merchant: acme, Channel: consent.Email, Side: consent.Listrak, Permit: permit,
				Released: released, Now: 1000, Limit: 10})
			require.NoError(t, err)
			var list []consent.Subject
			for _, d := range due {
				list = append(list, d.Subject)
			}
			return list
		}
		require.Equal(t, []consent.Subject{subject(6), subject(5)}, ask(false))
		require.Empty(t, ask(true), "nobody is approved")
		require.Equal(t, [2]int64{consent.Listrak: 4}, stops(t, l).Waiting)
		approve(t, l, 4)
		require.Equal(t, []consent.Subject{subject(2), subject(1)}, ask(true), "the oldest decision first")
		clock.Advance(day + 1)
		require.Empty(t, ask(true), "an approval ends")
		counts, err := l.Debts(t.Context(), acme, consent.Email, consent.Listrak, permit)
		require.NoError(t, err)
		require.Equal(t, ledger.DebtCounts{ByDebt: map[consent.Debt]int64{consent.Owed: 2, consent.Stopped: 4},
			OwedSubscribes: 1, OwedUnsubscribes: 1, OldestOptOut: 12}, counts)
	})
}
