package listrak

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestCallsAreSpacedEvenly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rate := newRequestRate(10, time.Now)
		began := time.Now()
		var group sync.WaitGroup
		for range 31 {
			group.Go(func() {
				if err := rate.wait(t.Context()); err != nil {
					t.Errorf("wait: %v", err)
				}
			})
		}
		group.Wait()
		if took := time.Since(began).Round(time.Millisecond); took != 3*time.Second {
			t.Errorf("31 calls at 10 a second took %s, want 3s", took)
		}
	})
}

func TestAReservedSlotIsSpentWithoutWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rate := newRequestRate(1, time.Now)
		began := time.Now()
		for range 3 {
			if err := rate.reserve(t.Context()); err != nil {
				t.Fatalf("reserve: %v", err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("three slots at one a second were reserved in %s, want 2s", took)
		}
		for n := range 3 {
			if !rate.spend() {
				t.Errorf("slot %d of 3 was not kept", n+1)
			}
		}
		if rate.spend() {
			t.Error("a fourth slot was spent, three were reserved")
		}
	})
}

func TestAReservedSlotThatNobodySpendsIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rate := newRequestRate(1, time.Now)
		if err := rate.reserve(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(slotLife + time.Second) // the bubble's clock
		if err := rate.reserve(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !rate.spend() {
			t.Error("the fresh slot was not kept")
		}
		if rate.spend() {
			t.Error("a slot of two minutes ago was spent")
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rate := newRequestRate(0.001, time.Now)
		if err := rate.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := rate.wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a slot beyond the deadline: %v, want context.DeadlineExceeded", err)
		}
		if time.Since(began) != 0 {
			t.Error("it was waited for a slot that cannot come in time")
		}
		canceled, stop := context.WithCancel(t.Context())
		go stop()
		if err := rate.wait(canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("a canceled wait: %v, want context.Canceled", err)
		}
	})
}

// TestCallsThatMayWaitComeLast: with a rate of their own alone they took half of the slots while consent waited for them.
func TestCallsThatMayWaitComeLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rate := newRequestRate(10, time.Now)
		began := time.Now()
		var group sync.WaitGroup
		var last, spare time.Duration
		var mu sync.Mutex
		for range 50 {
			group.Go(func() {
				if err := rate.wait(t.Context()); err != nil {
					t.Errorf("wait: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				last = max(last, time.Since(began))
			})
		}
		synctest.Wait()
		for range 5 {
			group.Go(func() {
				if err := rate.waitSpare(t.Context()); err != nil {
					t.Errorf("wait for a spare slot: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				if spare == 0 {
					spare = time.Since(began)
				}
			})
		}
		group.Wait()
		if last.Round(time.Millisecond) != 4900*time.Millisecond || spare <= last {
			t.Errorf("50 calls at 10 a second had all gone after %s, want 4.9s, and the first of those that may wait went after %s", last, spare)
		}
		if total := time.Since(began).Round(time.Millisecond); total != 5400*time.Millisecond {
			t.Errorf("all 55 took %s, want 5.4s: when nobody else waits, they go", total)
		}
	})
}

func TestCallsThatMayWaitGiveUpWhileOthersTakeAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rate := newRequestRate(10, time.Now)
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 2 { // one of them always waits
			group.Go(func() {
				for rate.wait(ctx) == nil {
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		err := rate.waitSpare(t.Context())
		if took := time.Since(began); !errors.Is(err, ErrNoSpare) || took != spareWait {
			t.Errorf("%v after %s, want that there was no spare slot, after %s", err, took, spareWait)
		}
		if err := broken("read", err, 0); !Everywhere(err) || err.Code != codeRate {
			t.Errorf("%v concerns all messages alike", err)
		}
		stop()
		group.Wait()
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := rate.waitSpare(cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
	})
}
