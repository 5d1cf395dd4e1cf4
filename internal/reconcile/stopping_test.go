package reconcile

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// A round that is told to stop finishes and records the call that is under way, and begins no other.
func TestAStoppedRoundFinishesTheCallUnderWay(t *testing.T) {
	t.Parallel()
	const waiting = 120
	w := newWorld(t).enable()
	for i := range waiting {
		w.subscribes(fmt.Sprintf("person-%d@example.com", i), w.clock.Now())
	}
	ctx, stop := context.WithCancel(t.Context())
	w.engine.Intercept = func(r Records) Records { return interruptedLedger{Records: r, beforeClaims: stop} }
	result, err := w.engine.Round(ctx, storeID)
	w.must(err)
	written := len(w.shop.Writes())
	if written == 0 || written >= waiting || !result.More || result.Stats.Delivered[consent.Shopify] != int64(written) {
		t.Errorf("%d written, %+v", written, result)
	}
	for _, write := range w.shop.Writes() {
		if debt := w.debt(write.Email, consent.Shopify); debt != consent.Settled {
			t.Errorf("written, but Shopify is %s", debt)
		}
	}
	w.engine.Intercept = nil
	w.agree()
	if n := len(w.shop.Writes()); n != waiting {
		t.Errorf("%d writes in all, want %d", n, waiting)
	}
}

// A poll that is cut off goes on from its page in the next round, and the status tells how far behind it is.
func TestAPollGoesOnWhereItWasStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	for i := range 600 {
		w.customer(fmt.Sprintf("person-%d@example.com", i), shop.Unsubscribed, w.clock.Now())
	}
	lag := func() time.Duration {
		t.Helper()
		statuses, err := w.ledger.RunStatuses(t.Context(), storeID)
		w.must(err)
		return statuses[RoundRun].Lag.Duration()
	}
	w.clock.advance(time.Minute)
	w.timing.RoundLimit = time.Microsecond
	w.engine = w.newEngine("slow")
	rounds := 1
	for w.round().More {
		if lag() < time.Minute {
			t.Errorf("the status tells of a lag of %s", lag())
		}
		if rounds++; rounds > 100 {
			break
		}
		known, err := w.ledger.CountSubjects(t.Context(), storeID, consent.Email)
		w.must(err)
		if known == 600 {
			break
		}
	}
	if rounds < 3 {
		t.Errorf("%d rounds for three pages of a limit that allows one", rounds)
	}
	if n := w.shop.Requests()["nodes"]; n != 3 {
		t.Errorf("customers were read %d times, want 3", n)
	}
	w.timing = DefaultTiming()
	w.engine = w.newEngine("fast")
	w.agree()
	if lag() > time.Minute {
		t.Errorf("a lag of %s after all was read", lag())
	}
}

// HoldChanged comes for every window whose hold ended without it.
func TestEveryWindowHearsOfItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	told := map[string]int{}
	w.engine.HoldChanged = func(_ context.Context, _ string, held ledger.Held) { told[held.Hold.Customer]++ }
	ordered := w.customer("ordered@example.com", shop.Subscribed, w.clock.Now())
	waited := w.customer("waited@example.com", shop.Subscribed, w.clock.Now())
	w.round()
	w.order(shop.Order{CustomerID: ordered})
	w.agree()
	w.shows("waited@example.com", shop.Subscribed, list.Subscribed)
	if told[string(ordered)] != 1 || told[string(waited)] != 1 {
		t.Errorf("told %v", told)
	}
}
