package endtoend

import (
	"fmt"
	"testing"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

func TestASignalSentWhileNoWorkerRunsIsHonouredLater(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	must(t, workflows.SignalSetSyncs(t.Context(), s.temporal, s.id, workflows.SyncDelta{consent.EmailToShopify: true}))
	must(t, s.list.Subscribe("early@example.com", time.Now(), "Website"))
	s.work()
	s.shopShows("early@example.com", shop.Subscribed)
}

func TestNothingIsWrittenAfterOffWasAnswered(t *testing.T) {
	t.Parallel()
	s := newStack(t).work()
	s.set(workflows.SyncDelta{consent.EmailToShopify: true, consent.EmailToListrak: true})
	// Every write takes a while, so that some are under way when the switch comes.
	s.shop.Faults.Set(1, fault.Rule{Operation: "customerCreate", Kind: fault.Latency, Delay: 300 * time.Millisecond})
	for i := range 120 {
		must(t, s.list.Subscribe(fmt.Sprintf("many-%d@example.com", i), time.Now(), "Website"))
	}
	s.until("the first write", func() (bool, string) { n := len(s.shop.Writes()); return n > 0, fmt.Sprint(n, " writes") })
	status := s.set(workflows.SyncDelta{consent.EmailToShopify: false, consent.EmailToListrak: false})
	if len(status.On) != 0 {
		t.Errorf("the answer says that %v are on", status.On)
	}
	written := len(s.shop.Writes())
	if written == 120 {
		t.Fatal("everything had been written before the switch came: the test shows nothing")
	}
	s.set(workflows.SyncDelta{consent.EmailToListrak: true})
	s.awaitRounds(3)
	if now := len(s.shop.Writes()); now != written {
		t.Errorf("%d writes after off was answered", now-written)
	}
	// Switched on again, it catches up.
	s.set(workflows.SyncDelta{consent.EmailToShopify: true})
	for i := range 120 {
		s.shopShows(fmt.Sprintf("many-%d@example.com", i), shop.Subscribed)
	}
}

func TestPausedMeansNoCalls(t *testing.T) {
	t.Parallel()
	s := newStack(t).work()
	s.set(workflows.SyncDelta{consent.EmailToShopify: true})
	status, err := workflows.Pause(t.Context(), s.temporal, s.id)
	must(t, err)
	if status.State != "paused" {
		t.Errorf("state %q after pause", status.State)
	}
	must(t, s.list.Subscribe("patient@example.com", time.Now(), "Website"))
	if _, known := s.shop.Customer("patient@example.com"); known {
		t.Error("a paused merchant was delivered to")
	}
	_, err = workflows.Resume(t.Context(), s.temporal, s.id)
	must(t, err)
	s.shopShows("patient@example.com", shop.Subscribed)
}

func TestAnUnsubscribeInsideTheWindowEndsIt(t *testing.T) {
	t.Parallel()
	s := newStack(t).work()
	s.set(workflows.SyncDelta{consent.EmailToListrak: true})
	id, err := s.shop.CreateCustomer(shop.NewCustomer{Email: "fay@example.com", Consent: shop.Consent{State: shop.Subscribed}})
	must(t, err)
	s.until("the window", func() (bool, string) {
		held, opened, err := s.host.Ledger.CountHeld(t.Context(), s.id)
		must(t, err)
		return opened == 1, fmt.Sprint(held, " held, ", opened, " opened")
	})
	must(t, s.shop.SetEmailConsent(id, shop.Unsubscribed, time.Now()))
	s.until("the end of the window", func() (bool, string) {
		open, err := s.temporal.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: fmt.Sprintf("MerchantId = '%s' AND WorkflowType = 'CheckoutWindow' AND ExecutionStatus = 'Completed'", s.id),
		})
		must(t, err)
		return len(open.Executions) == 1, fmt.Sprint(len(open.Executions), " completed windows")
	})
	if contact, known := s.list.Contact("fay@example.com"); known {
		t.Errorf("Listrak heard of somebody who left inside the window: %+v", contact)
	}
}

// awaitRounds waits until that many more rounds have ended.
func (s *stack) awaitRounds(n int) {
	s.t.Helper()
	var last consent.Instant
	for range n + 1 {
		s.until("a round", func() (bool, string) {
			statuses, err := s.host.Ledger.RunStatuses(s.t.Context(), s.id)
			must(s.t, err)
			ended := statuses["round"].Ended
			if ended > last {
				last = ended
				return true, ""
			}
			return false, fmt.Sprintf("%+v", statuses)
		})
	}
}

// events counts the history of the merchant's workflow, and in it the rounds that ended with something to do.
func (s *stack) events() (all, rounds int) {
	s.t.Helper()
	scheduled := map[int64]string{}
	history := s.temporal.GetWorkflowHistory(s.t.Context(), workflows.MerchantSyncID(s.id), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		must(s.t, err)
		all++
		if a := event.GetActivityTaskScheduledEventAttributes(); a != nil {
			scheduled[event.EventId] = a.ActivityType.Name
		}
		if a := event.GetActivityTaskCompletedEventAttributes(); a != nil && scheduled[a.ScheduledEventId] == "Reconcile" {
			rounds++
		}
	}
	return all, rounds
}

func TestAnIdleMinuteAddsNoEvent(t *testing.T) {
	t.Parallel()
	s := newStack(t).work()
	s.set(workflows.SyncDelta{consent.EmailToShopify: true, consent.EmailToListrak: true})
	must(t, s.list.Subscribe("quiet@example.com", time.Now(), "Website"))
	s.settled("quiet@example.com")
	s.awaitRounds(2)
	before, _ := s.events()
	s.awaitRounds(10)
	if after, _ := s.events(); after != before {
		t.Errorf("ten idle intervals added %d events to %d", after-before, before)
	}
}

func TestOneConsentASecondMakesNoHotLoop(t *testing.T) {
	t.Parallel()
	s := newStack(t).work()
	s.set(workflows.SyncDelta{consent.EmailToListrak: true})
	s.awaitRounds(1)
	began := time.Now()
	_, before := s.events()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range 10 {
		_, err := s.shop.CreateCustomer(shop.NewCustomer{Email: fmt.Sprintf("steady-%d@example.com", i), Consent: shop.Consent{State: shop.Subscribed}})
		must(t, err)
		<-tick.C
	}
	for i := range 10 {
		s.listShows(fmt.Sprintf("steady-%d@example.com", i), list.Subscribed)
	}
	_, after := s.events()
	if intervals := int(time.Since(began)/interval) + 1; after-before > intervals {
		t.Errorf("%d rounds ended in %d intervals", after-before, intervals)
	}
}
