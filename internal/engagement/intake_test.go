package engagement_test

import (
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
