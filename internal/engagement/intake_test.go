package engagement_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/fault"
)

// TestWhoStandsStillTakesIn: a push comes once, and Listrak shows no SMS events. It is told when the merchant runs again.
func TestWhoStandsStillTakesIn(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*world) error{
		"paused": func(w *world) error { _, err := w.ledger.Pause(w.Context(), w.id); return err },
		"broken": func(w *world) error {
			_, err := w.ledger.Break(w.Context(), w.id, "Shopify turns us away")
			w.shop.Faults.Set(1, fault.Rule{Operation: "shop", Kind: fault.ServerError, Times: 1000})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.set(map[consent.Sync]bool{consent.SMSEvents: true, consent.SMSClicks: false})
			_, err := w.keeper.Push(t.Context(), w.id, []byte(event("0", "sms.sent", "+15550100000", w.clock.now())))
			require.NoError(t, err)
			require.NoError(t, stop(w))
			w.clock.advance(3 * time.Hour) // longer than what Shopify said is believed without asking
			report, err := w.keeper.Push(t.Context(), w.id, []byte("["+event("1", "sms.sent", "+15550100001", w.clock.now())+","+
				event("2", "sms.clicked", "+15550100001", w.clock.now())+"]"))
			require.NoError(t, err)
			require.Equal(t, [2]int{1, 1}, [2]int{report.Taken, report.Off}, "%+v", report)
			before := w.shop.Requests()["marketingEngagementCreate"]
			w.pass()
			require.Equal(t, before, w.shop.Requests()["marketingEngagementCreate"], "nothing is told of who stands still")
			w.shop.Faults.Set(0)
			switches, err := w.ledger.Resume(t.Context(), w.id)
			require.NoError(t, err)
			require.Equal(t, ledger.Running, switches.State)
			w.pass()
			require.Equal(t, 2, w.toldDays("sms-sale")["2026-11-20"]["sendsCount"])
		})
	}
}

// switching switches a merchant just before the n-th transaction that takes in.
type switching struct {
	*ledger.Ledger
	n   int
	now func()
}

func (s *switching) TakeInEngagement(ctx context.Context, id string, in ledger.EngagementIntake) (int, error) {
	if s.n--; s.n == 0 {
		s.now()
	}
	return s.Ledger.TakeInEngagement(ctx, id, in)
}

// TestNothingIsKeptOfWhatIsSwitchedOffMeanwhile, and what was kept before counts as taken.
func TestNothingIsKeptOfWhatIsSwitchedOffMeanwhile(t *testing.T) {
	t.Parallel()
	for n := range 2 {
		w := newWorld(t, options{})
		w.set(map[consent.Sync]bool{consent.SMSEvents: true, consent.EmailEvents: true})
		w.keeper.Ledger = &switching{w.ledger, n + 1, func() { w.set(map[consent.Sync]bool{consent.SMSEvents: false, consent.EmailEvents: n > 0}) }}
		report, err := w.keeper.Push(t.Context(), w.id, []byte("["+event("1", "sms.sent", "+15550100001", w.clock.now())+","+
			event("2", "email.opened", "ann@example.com", w.clock.now())+"]"))
		require.NoError(t, err)
		totals, err := w.ledger.EngagementTotals(t.Context(), w.id)
		require.NoError(t, err)
		switch {
		case n == 0:
			require.Equal(t, 2, report.Off, "%+v", report)
			require.Empty(t, totals)
		default:
			require.Equal(t, [2]int{1, 1}, [2]int{report.Taken, report.Off}, "%+v", report)
			require.Len(t, totals, 1)
			require.Contains(t, totals, "email-sale")
		}
	}
}

// undone is a ledger whose first transaction is undone after it was computed, and finds a switch when it is tried again.
type undone struct {
	*ledger.Ledger
	again bool
}

func (u *undone) TakeInEngagement(ctx context.Context, id string, in ledger.EngagementIntake) (int, error) {
	if u.again {
		return u.Ledger.TakeInEngagement(ctx, id, in)
	}
	u.again = true
	if _, err := in.Fold(map[consent.Subject][]byte{}, []bool{true}); err != nil {
		return 0, err
	}
	return 0, ledger.ErrSwitched
}

// TestWhatWasUndoneIsTakenInAgain: that it was once about to be kept must not count as kept.
func TestWhatWasUndoneIsTakenInAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	w.keeper.Ledger = &undone{Ledger: w.ledger}
	report, err := w.keeper.Push(t.Context(), w.id, []byte(event("1", "sms.sent", "+15550100001", w.clock.now())))
	require.NoError(t, err)
	require.Equal(t, 1, report.Taken, "%+v", report)
	totals, err := w.ledger.EngagementTotals(t.Context(), w.id)
	require.NoError(t, err)
	require.Len(t, totals, 1)
}

// TestWhoIsSwitchedWithoutEndIsToldToComeAgain, instead of one who waits for ever.
func TestWhoIsSwitchedWithoutEndIsToldToComeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	book := &switching{Ledger: w.ledger, n: 1}
	book.now = func() {
		book.n = 1
		switches, err := w.ledger.Switches(t.Context(), w.id)
		require.NoError(t, err)
		w.set(map[consent.Sync]bool{consent.EmailEvents: !switches.On(consent.EmailEvents)})
	}
	w.keeper.Ledger = book
	_, err := w.keeper.Push(t.Context(), w.id, []byte(event("1", "sms.sent", "+15550100001", w.clock.now())))
	require.ErrorIs(t, err, ledger.ErrSwitched)
}

// TestEmailEventsOfListraksMessagesCountOnce, whether the message was found in Listrak before its events came, or after.
func TestEmailEventsOfListraksMessagesCountOnce(t *testing.T) {
	t.Parallel()
	for _, found := range []bool{false, true} {
		w := newWorld(t, options{})
		w.set(map[consent.Sync]bool{consent.EmailEvents: true})
		ann := w.customer("person-0@example.com")
		id, emails := w.send("Spring", 3)
		if found {
			w.pass()
		}
		push := func(message any) map[string]int {
			text, err := json.Marshal(map[string]any{"specversion": "1.0", "id": fmt.Sprint(message), "source": "s", "type": "email.sent",
				"time": w.clock.now().Format(time.RFC3339), "data": map[string]any{"address": emails[0], "message": message}})
			require.NoError(t, err)
			report, err := w.keeper.Push(t.Context(), w.id, text)
			require.NoError(t, err)
			return map[string]int{"read": report.Read, "taken": report.Taken}
		}
		require.Equal(t, map[string]int{"read": 1, "taken": 0}, push(id))
		require.Equal(t, map[string]int{"read": 1, "taken": 0}, push(fmt.Sprint(id)))
		w.clock.advance(time.Minute)
		w.pass()
		require.Equal(t, w.truth(id), w.toldDays(messageID(id)))
		require.Len(t, w.shop.Engagements(), 1, "one activity a message")
		require.Equal(t, "1", w.shop.Metafields(ann)[field("emails_sent_30_days")])
		require.Equal(t, map[string]int{"read": 0, "taken": 1}, push("another-system-7"))
	}
}
