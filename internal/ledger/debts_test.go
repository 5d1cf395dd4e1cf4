package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

func TestOwedIsWhatIsPermittedAndDueOptOutsFirst(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		const now = 1000
		put := func(n int, state consent.State, at consent.Instant, debt consent.Debt, next consent.Instant) {
			save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(n), Record: decided(state, at),
				Debts:   [2]consent.Debt{consent.Shopify: consent.Owed, consent.Listrak: debt},
				NextTry: [2]consent.Instant{consent.Shopify: now, consent.Listrak: next}})
		}
		put(1, consent.Subscribed, 310, consent.Owed, 0)
		put(2, consent.Subscribed, 150, consent.Owed, now)
		put(3, consent.Subscribed, 200, consent.Owed, 0)     // the end of an interval is outside
		put(4, consent.Subscribed, 250, consent.Owed, 0)     // between the intervals
		put(5, consent.Subscribed, 100, consent.Owed, now+1) // not due
		put(6, consent.Unsubscribed, 900, consent.Owed, 0)
		put(7, consent.Unsubscribed, 60, consent.Owed, 0)
		put(8, consent.Unsubscribed, 59, consent.Owed, 0) // before the first enabling
		put(9, consent.Unsubscribed, 900, consent.Settled, 0)
		put(10, consent.Unsubscribed, 900, consent.Refused, 0)
		put(11, consent.Unsubscribed, 70, consent.Owed, now+1) // not due
		permit := ledger.Permit{Subscribed: []consent.Interval{{Began: 100, Ended: 200}, {Began: 300}}, UnsubscribedSince: 60}
		owed := func(side consent.Side, permit ledger.Permit, limit int) []consent.Subject {
			due, err := l.Owed(t.Context(), ledger.OwedQuery{Merchant: acme, Channel: consent.Email, Side: side, Permit: permit, Now: now, Limit: limit})
			require.NoError(t, err)
			var list []consent.Subject
			for _, d := range due {
				require.Equal(t, consent.Email, d.Channel)
				require.EqualValues(t, 1, d.Version)
				list = append(list, d.Subject)
			}
			return list
		}
		all := []consent.Subject{subject(7), subject(6), subject(2), subject(1)}
		for limit := 1; limit <= 5; limit++ {
			require.Equal(t, all[:min(limit, 4)], owed(consent.Listrak, permit, limit), "limit %d", limit)
		}
		require.Len(t, owed(consent.Shopify, ledger.Permit{Subscribed: []consent.Interval{{}}}, 100), 11, "all of time permits all")
		require.Equal(t, []consent.Subject{subject(8), subject(7), subject(6)}, owed(consent.Listrak, ledger.Permit{}, 100),
			"no interval permits no subscription")
		put(12, consent.Unsubscribed, -5, consent.Settled, 0)
		require.Equal(t, subject(12), owed(consent.Shopify, ledger.Permit{}, 1)[0], "a no from before 1970")
		_, err := l.Owed(t.Context(), ledger.OwedQuery{Merchant: acme, Channel: consent.Email})
		require.Error(t, err, "no limit")

		for merchant, want := range map[string][2]bool{acme: {true, true}, "nobody": {}} {
			due, err := l.AnyDue(t.Context(), merchant, consent.Email, now)
			require.NoError(t, err)
			require.Equal(t, want, due, merchant)
		}
		due, err := l.AnyDue(t.Context(), acme, consent.Email, now-1)
		require.NoError(t, err)
		require.Equal(t, [2]bool{consent.Listrak: true}, due, "Shopify's next tries have not come")

		counts, err := l.Debts(t.Context(), acme, consent.Email, consent.Listrak, permit)
		require.NoError(t, err)
		require.Equal(t, ledger.DebtCounts{ByDebt: map[consent.Debt]int64{consent.Owed: 9, consent.Refused: 1},
			OwedSubscribes: 3, OwedUnsubscribes: 3, NotPermitted: 3, OldestOptOut: 60}, counts)
		counts, err = l.Debts(t.Context(), "nobody", consent.Email, consent.Listrak, permit)
		require.NoError(t, err)
		require.Equal(t, ledger.DebtCounts{ByDebt: map[consent.Debt]int64{}}, counts)
	})
}

func TestUnsettledSaysWhatCameBack(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		record := decided(consent.Subscribed, 10)
		record.Sent[consent.Listrak][0] = consent.Delivery{Code: "ERROR_BANNED_EMAIL_ADDRESS", Started: 20, Ended: 30}
		record.Sent[consent.Listrak][1] = consent.Delivery{Code: "OLDER", Started: 2, Ended: 3}
		refused := ledger.Change{Channel: consent.Email, Subject: subject(1), Record: record,
			Debts: [2]consent.Debt{consent.Listrak: consent.Refused}, Address: ledger.StoreAddress([]byte("sealed"))}
		never := ledger.Change{Channel: consent.Email, Subject: subject(2), Record: decided(consent.Unsubscribed, 90),
			Debts: [2]consent.Debt{consent.Listrak: consent.Refused}}
		save(t, l, refused, never)
		list, err := l.Unsettled(t.Context(), acme, consent.Email, consent.Listrak, consent.Refused, 10)
		require.NoError(t, err)
		require.Equal(t, []ledger.Unsettled{
			{Subject: subject(2), Debt: consent.Refused, Decision: consent.Unsubscribed, At: 90},
			{Subject: subject(1), Debt: consent.Refused, Decision: consent.Subscribed, At: 10, Code: "ERROR_BANNED_EMAIL_ADDRESS", Since: 30,
				SealedAddress: []byte("sealed")},
		}, list)
		list, err = l.Unsettled(t.Context(), acme, consent.Email, consent.Listrak, consent.Disputed, 10)
		require.NoError(t, err)
		require.Empty(t, list)
	})
}
