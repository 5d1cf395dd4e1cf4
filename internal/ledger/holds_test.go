package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

func TestHoldsFollowTheRecords(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		version := map[int]int64{}
		hold := func(n int, h consent.Hold) {
			record := decided(consent.Subscribed, h.Consent)
			record.Hold = h
			save(t, l, ledger.Change{Channel: consent.Email, Subject: subject(n), Version: version[n], Record: record})
			version[n]++
		}
		toOpen := func(now consent.Instant) []ledger.Held {
			list, err := l.HoldsToOpen(t.Context(), acme, consent.Email, now, 50)
			require.NoError(t, err)
			return list
		}
		first := consent.Hold{Consent: 100, Until: 400, Customer: "gid://shopify/Customer/1"}
		second := consent.Hold{Consent: 50, Until: 350, Customer: "gid://shopify/Customer/2", Order: 60}
		hold(1, first)
		hold(2, second)
		hold(3, consent.Hold{Consent: 50, Until: 350, Settled: true})
		hold(4, consent.Hold{})
		want := []ledger.Held{{Channel: consent.Email, Subject: subject(2), Hold: second}, {Channel: consent.Email, Subject: subject(1), Hold: first}}
		require.Equal(t, want, toOpen(0))
		require.Equal(t, want[1:], toOpen(350), "what has ended needs no window")
		ended, err := l.HoldsEnded(t.Context(), acme, consent.Email, 410, 60, 10)
		require.NoError(t, err)
		require.Equal(t, want[:1], ended)
		ended, err = l.HoldsEnded(t.Context(), acme, consent.Email, 409, 60, 10)
		require.NoError(t, err)
		require.Empty(t, ended)
		of, err := l.HoldsOf(t.Context(), acme, first.Customer)
		require.NoError(t, err)
		require.Equal(t, want[1:], of)

		require.NoError(t, l.MarkOpened(t.Context(), acme, toOpen(0)))
		require.Empty(t, toOpen(0))
		held, opened, err := l.CountHeld(t.Context(), acme)
		require.NoError(t, err)
		require.Equal(t, []int{2, 2}, []int{held, opened})

		withOrder := first
		withOrder.Order = 120
		hold(1, withOrder)
		require.Empty(t, toOpen(0), "the same consent keeps its window")
		stale := want[1]
		restarted := consent.Hold{Consent: 200, Until: 500, Customer: first.Customer}
		hold(1, restarted)
		require.Len(t, toOpen(0), 1, "a newer consent needs a window of its own")
		require.NoError(t, l.MarkOpened(t.Context(), acme, []ledger.Held{stale}))
		require.Len(t, toOpen(0), 1, "which the old one's mark is not")

		restarted.Settled = true
		hold(1, restarted)
		hold(2, consent.Hold{})
		all, err := l.HeldCustomers(t.Context(), acme, consent.Email, 10)
		require.NoError(t, err)
		require.Empty(t, all)
		require.True(t, load(t, l, subject(1)).Record.Hold.Settled)
	})
}

func TestRememberedOrdersAreFoundByCustomerOrAddressAndForgotten(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		base := clock.Now()
		order := func(id, customer string, email consent.Subject, at consent.Span) ledger.Order {
			o := ledger.Order{ID: id, Customer: customer, Email: email, CreatedAt: base.Plus(at), Until: base.Plus(15 * consent.Minute)}
			require.NoError(t, l.RememberOrder(t.Context(), acme, o))
			require.NoError(t, l.RememberOrder(t.Context(), acme, o), "the same order again")
			return o
		}
		a := order("1", "c1", subject(1), 0)
		b := order("2", "", subject(1), 10)
		c := order("3", "c1", consent.Subject{}, 20)
		order("4", "c2", subject(2), 10)
		order("5", "", consent.Subject{}, 10)
		find := func(customer string, email consent.Subject, from, to consent.Span) []ledger.Order {
			list, err := l.OrdersRemembered(t.Context(), acme, customer, email, base.Plus(from), base.Plus(to))
			require.NoError(t, err)
			return list
		}
		require.Equal(t, []ledger.Order{a, b, c}, find("c1", subject(1), 0, 20))
		require.Equal(t, []ledger.Order{b}, find("c1", subject(1), 1, 19))
		require.Equal(t, []ledger.Order{a, c}, find("c1", consent.Subject{}, 0, 20))
		require.Empty(t, find("", consent.Subject{}, 0, 20), "nobody matches nothing")

		clock.Advance(15 * consent.Minute)
		n, err := l.PurgeExpired(t.Context())
		require.NoError(t, err)
		require.Zero(t, n)
		clock.Advance(1)
		n, err = l.PurgeExpired(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 5, n)
		require.Empty(t, find("c1", subject(1), 0, 20))
	})
}
