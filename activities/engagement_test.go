package activities_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/failure"
)

// passes are passes over events as a test wants them.
type passes func(ctx context.Context, merchant string) (engagement.Pass, error)

func (p passes) Pass(ctx context.Context, merchant string) (engagement.Pass, error) {
	return p(ctx, merchant)
}

func (w *world) engage(until time.Time) (activities.EngageResult, error) {
	w.t.Helper()
	return run(w, w.acts.Engage, activities.EngageInput{Merchant: w.id, Until: until})
}

// Whatever a pass ends with is tried again: nothing else would mend events.
func TestAPassOverEventsIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailEvents)
	for _, c := range []struct {
		name   string
		pass   engagement.Pass
		err    error
		kind   string
		atOnce bool
	}{
		{name: "nothing to do", pass: engagement.Pass{On: true}, kind: activities.IdleType},
		{name: "no sync is on", kind: activities.IdleType},
		{name: "time was up", pass: engagement.Pass{On: true, More: true}, kind: activities.IdleType, atOnce: true},
		{name: "another process is at work", err: engagement.ErrBusy, kind: activities.IdleType},
		{name: "a side is away", pass: engagement.Pass{On: true}, err: &failure.Error{Class: failure.Retry, Op: "read", Code: "503"}, kind: activities.RoundFailedType},
		{name: "a scope is missing", pass: engagement.Pass{On: true}, err: fmt.Errorf("tell: %w",
			&failure.Error{Class: failure.PersonMustAct, Op: "write", Code: "ACCESS_DENIED"}), kind: activities.RoundFailedType},
		{name: "a side refuses", err: &failure.Error{Class: failure.Refused, Op: "write", Code: "INVALID"}, kind: activities.RoundFailedType},
		{name: "an error that quotes somebody", err: fmt.Errorf("of ann@example.com"), kind: activities.RoundFailedType},
	} {
		w.acts.Events = passes(func(context.Context, string) (engagement.Pass, error) { return c.pass, c.err })
		_, err := w.engage(time.Now().Add(time.Hour))
		ended := application(t, err, c.kind)
		delay := ended.NextRetryDelay()
		if ended.NonRetryable() || delay <= 0 || delay > interval || c.atOnce && delay >= time.Second {
			t.Errorf("%s: retryable %t after %s", c.name, !ended.NonRetryable(), delay)
		}
		if benign := ended.Category() == temporal.ApplicationErrorCategoryBenign; benign != (c.kind == activities.IdleType) {
			t.Errorf("%s: benign %t", c.name, benign)
		}
	}
}

// The workflow hears of it when its day is over, or when the merchant is none any more; nothing is done for it then.
func TestPassesOverEventsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailEvents)
	w.acts.Events = passes(func(context.Context, string) (engagement.Pass, error) {
		t.Error("a pass was made")
		return engagement.Pass{}, nil
	})
	if result, err := w.engage(time.Now()); err != nil || result.Removed {
		t.Errorf("at the end of the day: %+v, %v", result, err)
	}
	must(t, w.host.Merchants.Remove(t.Context(), w.id))
	if result, err := w.engage(time.Now().Add(time.Hour)); err != nil || !result.Removed {
		t.Errorf("removed: %+v, %v", result, err)
	}
	if result, err := run(w, w.acts.Engage, activities.EngageInput{Merchant: "unheard-of", Until: time.Now().Add(time.Hour)}); err != nil || !result.Removed {
		t.Errorf("unknown: %+v, %v", result, err)
	}
}

// Whoever switches something off is answered when no pass goes on that began before.
func TestSwitchingEventsOffStopsThePassThatIsAtWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailEvents)
	began := make(chan struct{})
	w.acts.Events = passes(func(ctx context.Context, merchant string) (engagement.Pass, error) {
		lease, free, err := w.host.Ledger.AcquireRun(ctx, merchant, engagement.Run, "pass", time.Minute)
		if err != nil || !free {
			t.Errorf("the lease is free %t: %v", free, err)
		}
		close(began)
		<-ctx.Done()
		return engagement.Pass{On: true}, w.host.Ledger.ReleaseRun(context.WithoutCancel(ctx), lease)
	})
	ended := make(chan error, 1)
	go func() {
		_, err := w.engage(time.Now().Add(time.Hour))
		ended <- err
	}()
	<-began
	switching := &world{t: t, id: w.id, host: w.host, acts: &activities.Activities{Engine: w.host.Engine, Office: w.host.Office}}
	switching.newEnv()
	if _, err := run(switching, switching.acts.SetSyncs, activities.SetSyncsInput{Merchant: w.id, Delta: map[consent.Sync]bool{consent.EmailEvents: false}}); err != nil {
		t.Fatal(err)
	}
	_, free, err := w.host.Ledger.AcquireRun(t.Context(), w.id, engagement.Run, "test", time.Minute)
	if err != nil || !free {
		t.Errorf("a pass is still at work: %v", err)
	}
	application(t, <-ended, activities.IdleType)
}
