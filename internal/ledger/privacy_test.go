package ledger_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

func request(id string, kind ledger.PrivacyKind, customer string) ledger.PrivacyRequest {
	return ledger.PrivacyRequest{ID: id, Kind: kind, Customer: customer, Sealed: []byte("sealed " + id)}
}

func TestAPrivacyRequestIsKeptUntilItIsDone(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		ctx := t.Context()
		addMerchant(t, l)
		began := clock.Now()
		due := began.Plus(30 * 24 * consent.Hour)
		receive(t, l, ledger.Webhook{Merchant: acme, ID: "w", Topic: "customers/redact", Privacy: new(request("w", ledger.Redact, "gid://1"))})
		clock.Advance(consent.Second)
		require.NoError(t, l.AddPrivacyRequest(ctx, acme, request("hand", ledger.DataRequest, "")))
		require.NoError(t, l.AddPrivacyRequest(ctx, acme, request("hand", ledger.Redact, "other")), "the same again changes nothing")
		require.ErrorIs(t, l.AddPrivacyRequest(ctx, "nobody", request("hand", ledger.Redact, "")), ledger.ErrUnknownMerchant)

		first := ledger.MerchantRequest{Merchant: acme, PrivacyRequest: request("w", ledger.Redact, "gid://1")}
		first.Received, first.Due = began, due
		second := ledger.MerchantRequest{Merchant: acme, PrivacyRequest: request("hand", ledger.DataRequest, "")}
		second.Received, second.Due = began.Plus(consent.Second), due.Plus(consent.Second)
		open := func(after ledger.MerchantRequest, limit int) []ledger.MerchantRequest {
			t.Helper()
			list, err := l.OpenPrivacyRequests(ctx, after, limit)
			require.NoError(t, err)
			return list
		}
		require.Equal(t, []ledger.MerchantRequest{first}, open(ledger.MerchantRequest{}, 1))
		require.Equal(t, []ledger.MerchantRequest{second}, open(first, 10))
		require.Empty(t, open(second, 10))

		require.NoError(t, l.SavePrivacyProgress(ctx, acme, "w", `{"step":1}`))
		one, err := l.PrivacyRequest(ctx, acme, "w")
		require.NoError(t, err)
		require.Equal(t, `{"step":1}`, one.Progress)
		require.True(t, one.Open())

		counts := func() ledger.PrivacyCounts {
			t.Helper()
			c, err := l.PrivacyCounts(ctx, acme)
			require.NoError(t, err)
			return c
		}
		require.Equal(t, ledger.PrivacyCounts{Open: 2, NextDue: due}, counts())
		clock.Advance(30 * 24 * consent.Hour)
		require.Equal(t, ledger.PrivacyCounts{Open: 2, Overdue: 1, NextDue: due}, counts())
		require.True(t, one.Overdue(clock.Now()))

		require.NoError(t, l.FinishPrivacyRequest(ctx, acme, "w", "forgotten"))
		done := clock.Now()
		clock.Advance(consent.Second)
		require.NoError(t, l.FinishPrivacyRequest(ctx, acme, "w", "again"))
		one, err = l.PrivacyRequest(ctx, acme, "w")
		require.NoError(t, err)
		require.Nil(t, one.Sealed, "nobody needs to know any more who it was")
		require.Equal(t, "forgotten", one.Outcome)
		require.Equal(t, done, one.Done)
		require.True(t, one.Overdue(clock.Now()), "it was not in time")
		require.ErrorIs(t, l.SavePrivacyProgress(ctx, acme, "w", "late"), ledger.ErrNoPrivacyRequest)

		all, err := l.PrivacyRequests(ctx, acme, 10)
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.Equal(t, []string{"hand", "w"}, []string{all[0].ID, all[1].ID}, "the open ones first")
		all, err = l.PrivacyRequests(ctx, "", 1)
		require.NoError(t, err)
		require.Len(t, all, 1)

		_, err = l.PrivacyRequest(ctx, acme, "unknown")
		require.ErrorIs(t, err, ledger.ErrNoPrivacyRequest)
		require.ErrorIs(t, l.FinishPrivacyRequest(ctx, acme, "unknown", ""), ledger.ErrNoPrivacyRequest)
		require.ErrorIs(t, l.FinishPrivacyRequest(ctx, "nobody", "w", ""), ledger.ErrNoPrivacyRequest)
	})
}

const ann, bob = "gid://shopify/Customer/1", "gid://shopify/Customer/11"

// people makes Ann, of whom everything is kept that can be, and Bob, of whom nothing may be lost.
func people(t *testing.T, l *ledger.Ledger, clock *clock) (annNow, bobNow ledger.Located) {
	t.Helper()
	ctx := t.Context()
	for n, id := range map[int]string{1: ann, 2: bob} {
		record := decided(consent.Subscribed, clock.Now())
		record.Seen[consent.Shopify] = consent.Sighting{State: consent.Subscribed, Ref: id}
		record.Hold = consent.Hold{Consent: clock.Now(), Until: clock.Now().Plus(consent.Minute), Customer: id}
		conflicts, err := l.Save(ctx, acme, ledger.Batch{
			Changes: []ledger.Change{{Channel: consent.Email, Subject: subject(n), Record: record, Debts: record.Debts(),
				Address: ledger.StoreAddress([]byte("sealed")), Journal: []ledger.Line{{Kind: ledger.Decided, Ref: id}}}},
			Customers: []ledger.Customer{{ID: id, UpdatedAt: 1, Email: subject(n)}},
		})
		require.NoError(t, err)
		require.Empty(t, conflicts)
		for _, order := range []ledger.Order{
			{ID: "by customer " + id, Customer: id, CreatedAt: 1, Until: clock.Now().Plus(consent.Hour)},
			{ID: "by address " + id, Email: subject(n), CreatedAt: 1, Until: clock.Now().Plus(consent.Hour)},
		} {
			require.NoError(t, l.RememberOrder(ctx, acme, order))
		}
		receive(t, l, customerWebhook("news of "+id, id))
	}
	entries, err := l.Load(ctx, acme, consent.Email, []consent.Subject{subject(1), subject(2)})
	require.NoError(t, err)
	return ledger.Located{Channel: consent.Email, Subject: subject(1), Entry: entries[subject(1)]},
		ledger.Located{Channel: consent.Email, Subject: subject(2), Entry: entries[subject(2)]}
}

func holdings(t *testing.T, l *ledger.Ledger, n int, customer string) ledger.Holdings {
	t.Helper()
	entries, err := l.Load(t.Context(), acme, consent.Email, []consent.Subject{subject(n)})
	require.NoError(t, err)
	all, err := l.Holdings(t.Context(), acme, []ledger.Located{{Channel: consent.Email, Subject: subject(n), Entry: entries[subject(n)]}},
		[]string{customer})
	require.NoError(t, err)
	return all
}

func erasureOf(l ledger.Located, at consent.Instant) ledger.Change {
	left := consent.Erased(l.Record, at)
	return ledger.Change{Channel: l.Channel, Subject: l.Subject, Version: l.Version, Record: left, Debts: left.Debts(), Address: ledger.EraseAddress,
		Journal: []ledger.Line{{Kind: ledger.Redacted, Side: ledger.NoSide, State: consent.Unsubscribed, Date: left.Decision.At}}}
}

func TestAPersonIsErased(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		ctx := t.Context()
		addMerchant(t, l, consent.EmailToListrak)
		annNow, _ := people(t, l, clock)
		bobBefore := holdings(t, l, 2, bob)
		all := holdings(t, l, 1, ann)
		require.Len(t, all.Subjects, 1)
		require.Equal(t, annNow, all.Subjects[0].Located)
		require.Len(t, all.Subjects[0].Journal, 1)
		require.Len(t, all.Subjects[0].Held, 1)
		require.Len(t, all.Subjects[0].Orders, 1)
		require.Len(t, all.Orders, 1)
		require.Len(t, all.Customers, 1)
		require.Len(t, all.Hints, 1)

		require.NoError(t, l.AddPrivacyRequest(ctx, acme, request("r", ledger.Redact, ann)))
		require.Len(t, holdings(t, l, 1, ann).Requests, 1)
		at := clock.Advance(consent.Hour)
		erasure := ledger.Erasure{Changes: []ledger.Change{erasureOf(annNow, at)}, Customers: []string{ann, ""}, Request: "r", Progress: "erased"}
		require.NoError(t, l.EraseSubjects(ctx, acme, erasure))

		left := holdings(t, l, 1, ann)
		require.Equal(t, []ledger.Line{{At: at, Channel: consent.Email, Subject: subject(1), Side: ledger.NoSide, Kind: ledger.Redacted,
			State: consent.Unsubscribed, Date: at}}, left.Subjects[0].Journal)
		require.Equal(t, consent.Erased(consent.Record{}, at), left.Subjects[0].Record)
		require.Nil(t, left.Subjects[0].SealedAddress)
		require.Equal(t, annNow.Version+1, left.Subjects[0].Version)
		left.Subjects[0].Located, left.Subjects[0].Journal = ledger.Located{}, nil
		require.Equal(t, ledger.Holding{}, left.Subjects[0])
		require.Empty(t, left.Customers)
		require.Empty(t, left.Hints)
		require.Empty(t, left.Orders)
		require.Equal(t, "erased", left.Requests[0].Progress)
		require.Equal(t, bobBefore, holdings(t, l, 2, bob), "nothing of anybody else is lost")

		// Whoever had decided on what was erased loses the race, and so does the same erasure again.
		conflicts, err := l.Save(ctx, acme, ledger.Batch{Changes: []ledger.Change{{Channel: consent.Email, Subject: subject(1),
			Version: annNow.Version, Record: annNow.Record}}})
		require.NoError(t, err)
		require.Equal(t, []consent.Subject{subject(1)}, conflicts)
		require.ErrorIs(t, l.EraseSubjects(ctx, acme, erasure), ledger.ErrConflict)

		// Of somebody nobody knew stays the no.
		unknown := ledger.Located{Channel: consent.SMS, Subject: subject(9)}
		require.NoError(t, l.EraseSubjects(ctx, acme, ledger.Erasure{Changes: []ledger.Change{erasureOf(unknown, at)}}))
		entries, err := l.Load(ctx, acme, consent.SMS, []consent.Subject{subject(9)})
		require.NoError(t, err)
		require.Equal(t, consent.Unsubscribed, entries[subject(9)].Record.Decision.State)

		require.NoError(t, l.FinishPrivacyRequest(ctx, acme, "r", "done"))
		again := erasureOf(ledger.Located{Channel: consent.Email, Subject: subject(1), Entry: ledger.Entry{Version: annNow.Version + 1}}, at)
		require.ErrorIs(t, l.EraseSubjects(ctx, acme, ledger.Erasure{Changes: []ledger.Change{again}, Request: "r", Progress: "x"}),
			ledger.ErrNoPrivacyRequest, "then nothing is written")
		require.Equal(t, annNow.Version+1, holdings(t, l, 1, ann).Subjects[0].Version)
	})
}

func TestAnErasureWaitsForDeliveriesUnderWay(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		ctx := t.Context()
		addMerchant(t, l, consent.EmailToListrak)
		annNow, _ := people(t, l, clock)
		claim, err := l.Claim(ctx, acme, ledger.ResubscribeLimit{Fixed: 10}, ledger.ClaimRequest{
			Change: ledger.Change{Channel: consent.Email, Subject: subject(1), Version: annNow.Version, Record: annNow.Record},
			Side:   consent.Listrak, Sync: consent.EmailToListrak, Lease: time.Minute,
		})
		require.NoError(t, err)
		annNow.Version = claim.Version
		erasure := ledger.Erasure{Changes: []ledger.Change{erasureOf(annNow, clock.Now())}, Customers: []string{ann}}
		require.ErrorIs(t, l.EraseSubjects(ctx, acme, erasure), ledger.ErrClaimed)
		held := holdings(t, l, 1, ann)
		require.Equal(t, []ledger.HeldClaim{{Side: consent.Listrak, Sync: consent.EmailToListrak, Until: claim.Until}}, held.Subjects[0].Claims)
		require.Len(t, held.Customers, 1, "nothing is erased")
		clock.Advance(consent.Minute)
		require.NoError(t, l.EraseSubjects(ctx, acme, erasure))
		require.Empty(t, holdings(t, l, 1, ann).Subjects[0].Claims, "what ran out goes with the person")
	})
}

// An erasure and somebody who decides at the same moment: one of the two sees the other.
func TestAnErasureAndADecisionAtOnce(t *testing.T) {
	forEachReal(t, func(t *testing.T, dsn string) {
		l := open(t, dsn)
		addMerchant(t, l)
		for n := range 20 {
			change := ledger.Change{Channel: consent.Email, Subject: subject(n), Record: decided(consent.Subscribed, 5)}
			var erased error
			var conflicts []consent.Subject
			var saved error
			var both sync.WaitGroup
			both.Go(func() {
				erased = l.EraseSubjects(t.Context(), acme, ledger.Erasure{Changes: []ledger.Change{
					erasureOf(ledger.Located{Channel: consent.Email, Subject: subject(n)}, 10)}})
			})
			both.Go(func() { conflicts, saved = l.Save(t.Context(), acme, ledger.Batch{Changes: []ledger.Change{change}}) })
			both.Wait()
			require.NoError(t, saved)
			if erased != nil {
				require.ErrorIs(t, erased, ledger.ErrConflict)
				require.Empty(t, conflicts)
				continue
			}
			require.Equal(t, []consent.Subject{subject(n)}, conflicts)
		}
	})
}

func TestTheSubjectsOfACustomer(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		annNow, _ := people(t, l, clock)
		before := decided(consent.Unsubscribed, 3)
		before.Seen[consent.Shopify].Ref = ann
		save(t, l, ledger.Change{Channel: consent.SMS, Subject: subject(7), Record: before})
		find := func(customer string) []ledger.Located {
			t.Helper()
			found, err := l.SubjectsOfCustomer(t.Context(), acme, customer)
			require.NoError(t, err)
			return found
		}
		found := find(ann)
		require.Len(t, found, 2, "the customer whose id begins like this one is somebody else")
		require.Equal(t, annNow, found[0])
		require.Equal(t, subject(7), found[1].Subject)
		require.Empty(t, find("gid://shopify/customer/1"))
		require.Empty(t, find("%"))
		require.Empty(t, find(""))
	})
}

func TestEverybodyOfAMerchantIsErased(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		ctx := t.Context()
		addMerchant(t, l, consent.EmailToListrak)
		require.NoError(t, l.AddMerchant(ctx, merchant("other", 2), nil))
		people(t, l, clock)
		const many = 1100
		var changes []ledger.Change
		for n := range many {
			record := decided(consent.Subscribed, clock.Now())
			if n%4 == 0 {
				record = decided(consent.Unsubscribed, clock.Now())
			}
			record.Seen[consent.Listrak] = consent.Sighting{State: record.Decision.State, Ref: fmt.Sprint("key", n)}
			changes = append(changes, ledger.Change{Channel: consent.Email, Subject: subject(100 + n), Record: record,
				Journal: []ledger.Line{{Kind: ledger.Decided, Ref: "key"}}})
		}
		save(t, l, changes...)
		_, err := l.Save(ctx, "other", ledger.Batch{Changes: []ledger.Change{{Channel: consent.Email, Subject: subject(1), Record: decided(consent.Subscribed, 1)}}})
		require.NoError(t, err)

		forget := clock.Now().Plus(consent.Hour)
		for range 2 {
			done, err := l.ErasePeople(ctx, acme, consent.OptOut, forget)
			require.NoError(t, err)
			require.EqualValues(t, many/4, done.OptOuts)
		}
		n, err := l.CountSubjects(ctx, acme, consent.Email)
		require.NoError(t, err)
		require.EqualValues(t, many/4, n)
		entries, err := l.Load(ctx, acme, consent.Email, []consent.Subject{subject(100), subject(101)})
		require.NoError(t, err)
		kept, _ := consent.OptOut(changes[0].Record)
		require.Equal(t, kept, entries[subject(100)].Record)
		require.NotContains(t, entries, subject(101))
		journal, err := l.Journal(ctx, acme, consent.Email, subject(100))
		require.NoError(t, err)
		require.Empty(t, journal)
		journal, err = l.Journal(ctx, acme, 0, consent.Subject{})
		require.NoError(t, err)
		require.Equal(t, ledger.Line{At: clock.Now(), Side: ledger.NoSide, Kind: ledger.Redacted, Count: many / 4}, journal[len(journal)-1])
		left := holdings(t, l, 1, ann)
		left.Subjects = nil
		require.Equal(t, ledger.Holdings{}, left)
		n, err = l.CountSubjects(ctx, "other", consent.Email)
		require.NoError(t, err)
		require.EqualValues(t, 1, n, "another merchant's people stay")

		// What is left goes when its time is over, and not before.
		update(t, l, ledger.MerchantUpdate{Secrets: ledger.Secrets{}, State: ledger.Broken, Reason: "uninstalled"})
		sweep := func() []string {
			t.Helper()
			forgotten, err := l.ForgetErased(ctx)
			require.NoError(t, err)
			return forgotten
		}
		require.Empty(t, sweep())
		clock.Advance(consent.Hour)
		require.Equal(t, []string{acme}, sweep())
		n, err = l.CountSubjects(ctx, acme, consent.Email)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Empty(t, sweep())
	})
}

func TestAMerchantWhoComesBackKeepsItsOptOuts(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		ctx := t.Context()
		addMerchant(t, l)
		save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(1), Record: decided(consent.Unsubscribed, 5)})
		update(t, l, ledger.MerchantUpdate{Secrets: ledger.Secrets{}, State: ledger.Broken, Reason: "uninstalled"})
		_, err := l.ErasePeople(ctx, acme, consent.OptOut, clock.Now().Plus(consent.Hour))
		require.NoError(t, err)
		clock.Advance(1)
		update(t, l, ledger.MerchantUpdate{Secrets: ledger.Secrets{"credentials": {3}}, NewCredentials: true, State: ledger.Running})
		clock.Advance(consent.Hour)
		for range 2 {
			forgotten, err := l.ForgetErased(ctx)
			require.NoError(t, err)
			require.Empty(t, forgotten)
		}
		n, err := l.CountSubjects(ctx, acme, consent.Email)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	})
}

// An operator who resumes a merchant without credentials has not brought it back.
func TestAMerchantWhoIsOnlyResumedIsForgottenAllTheSame(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		ctx := t.Context()
		addMerchant(t, l)
		clock.Advance(1)
		save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(1), Record: decided(consent.Unsubscribed, 5)})
		update(t, l, ledger.MerchantUpdate{Secrets: ledger.Secrets{}, State: ledger.Broken, Reason: "uninstalled"})
		_, err := l.ErasePeople(ctx, acme, consent.OptOut, clock.Now().Plus(consent.Hour))
		require.NoError(t, err)
		_, err = l.Resume(ctx, acme)
		require.NoError(t, err)
		forgotten, err := l.ForgetErased(ctx)
		require.NoError(t, err)
		require.Empty(t, forgotten)
		clock.Advance(consent.Hour)
		forgotten, err = l.ForgetErased(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{acme}, forgotten)
		n, err := l.CountSubjects(ctx, acme, consent.Email)
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

// What is left of the requests of an erased merchant names no customer, also of those that are done later.
func TestTheRequestsOfAnErasedMerchantNameNobody(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		ctx := t.Context()
		addMerchant(t, l)
		for _, id := range []string{"before", "after"} {
			require.NoError(t, l.AddPrivacyRequest(ctx, acme, ledger.PrivacyRequest{ID: id, Kind: ledger.Redact, Customer: "gid://shopify/Customer/3"}))
		}
		require.NoError(t, l.FinishPrivacyRequest(ctx, acme, "before", "done"))
		_, err := l.ErasePeople(ctx, acme, consent.OptOut, clock.Now().Plus(consent.Hour))
		require.NoError(t, err)
		open, err := l.PrivacyRequest(ctx, acme, "after")
		require.NoError(t, err)
		require.NotEmpty(t, open.Customer, "what is to be done needs it")
		require.NoError(t, l.FinishPrivacyRequest(ctx, acme, "after", "done"))
		for _, id := range []string{"before", "after"} {
			r, err := l.PrivacyRequest(ctx, acme, id)
			require.NoError(t, err)
			require.Empty(t, r.Customer, id)
		}
	})
}

// A request was received when Shopify first sent it, as far as it tries again.
func TestWhenAPrivacyRequestWasReceived(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		addMerchant(t, l)
		now := clock.Now()
		for id, row := range map[string][2]consent.Instant{
			"none": {0, now}, "late": {now.Plus(-consent.Hour), now.Plus(-consent.Hour)}, "from the future": {now.Plus(consent.Hour), now},
			"too old": {1, now.Plus(-ledger.LongestRetry)},
		} {
			receive(t, l, ledger.Webhook{Merchant: acme, ID: id, Topic: "app/uninstalled",
				Privacy: &ledger.PrivacyRequest{ID: id, Kind: ledger.Uninstalled, Received: row[0]}})
			r, err := l.PrivacyRequest(t.Context(), acme, id)
			require.NoError(t, err)
			require.Equal(t, row[1], r.Received, id)
			require.Equal(t, row[1].Plus(30*24*consent.Hour), r.Due, id)
		}
	})
}

// update changes acme's row.
func update(t *testing.T, l *ledger.Ledger, with ledger.MerchantUpdate) {
	t.Helper()
	m, err := l.Merchant(t.Context(), acme)
	require.NoError(t, err)
	require.NoError(t, l.UpdateMerchant(t.Context(), m, with))
}

func TestTheLedgerKnowsWhenCredentialsCame(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		ctx := t.Context()
		require.NoError(t, l.AddMerchant(ctx, merchant(acme, 1), ledger.Secrets{"credentials": {1}, "webhooks": {2}}))
		since := clock.Now()
		set := func() bool {
			t.Helper()
			is, err := l.CredentialsSetSince(ctx, acme, since)
			require.NoError(t, err)
			return is
		}
		require.False(t, set())
		clock.Advance(1)
		update(t, l, ledger.MerchantUpdate{})
		update(t, l, ledger.MerchantUpdate{Secrets: ledger.Secrets{"webhooks": {3}}})
		require.False(t, set(), "settings and resealing bring no credentials")
		update(t, l, ledger.MerchantUpdate{Secrets: ledger.Secrets{"credentials": {3}}, NewCredentials: true})
		require.True(t, set())
	})
}

func TestAMerchantIsErasedAltogether(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		ctx := t.Context()
		addMerchant(t, l, consent.EmailToListrak)
		people(t, l, clock)
		save(t, l, ledger.Change{Channel: consent.SMS, Subject: subject(5), Record: decided(consent.Unsubscribed, 5)})
		require.NoError(t, l.AddPrivacyRequest(ctx, acme, request("r", ledger.Redact, ann)))
		_, err := l.EraseMerchant(ctx, acme)
		require.ErrorIs(t, err, ledger.ErrNotRemoved)
		require.Len(t, holdings(t, l, 1, ann).Customers, 1)
		require.NoError(t, l.RemoveMerchant(ctx, acme))
		done, err := l.EraseMerchant(ctx, acme)
		require.NoError(t, err)
		require.EqualValues(t, 3, done.Others)
		_, err = l.EraseMerchant(ctx, acme)
		require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
		_, err = l.Switches(ctx, acme)
		require.ErrorIs(t, err, ledger.ErrUnknownMerchant)
		_, err = l.PrivacyRequest(ctx, acme, "r")
		require.ErrorIs(t, err, ledger.ErrNoPrivacyRequest)
		journal, err := l.Journal(ctx, acme, 0, consent.Subject{})
		require.NoError(t, err)
		require.Empty(t, journal)
		for _, channel := range []consent.Channel{consent.Email, consent.SMS} {
			n, err := l.CountSubjects(ctx, acme, channel)
			require.NoError(t, err)
			require.Zero(t, n)
		}
		addMerchant(t, l)
		left := holdings(t, l, 1, ann)
		require.Equal(t, []ledger.Holding{{Located: ledger.Located{Channel: consent.Email, Subject: subject(1)}}}, left.Subjects)
		left.Subjects = nil
		require.Equal(t, ledger.Holdings{}, left, "as if it had never been here")
	})
}
