package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/worker"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/privacy"
)

// sweeper is a sweep whose starts are written down.
type sweeper struct {
	sweep
	clock  time.Time
	starts []string
	err    error
}

func newSweeper(t *testing.T, h *Host) *sweeper {
	t.Helper()
	s := &sweeper{clock: time.Now()}
	s.sweep = sweep{host: h, now: func() time.Time { return s.clock }, started: map[[2]string]time.Time{},
		start: func(_ context.Context, merchant, request string) error {
			if s.err == nil {
				s.starts = append(s.starts, merchant+"/"+request)
			}
			return s.err
		}}
	return s
}

func (s *sweeper) began(t *testing.T, want ...string) {
	t.Helper()
	must(t, s.once(t.Context()))
	if !slices.Equal(s.starts, want) {
		t.Errorf("started %v, want %v", s.starts, want)
	}
	s.starts = nil
}

func addRequests(t *testing.T, h *Host, ids ...string) {
	t.Helper()
	for _, request := range ids {
		must(t, h.Ledger.AddPrivacyRequest(t.Context(), id, ledger.PrivacyRequest{ID: request, Kind: ledger.Redact}))
	}
}

func TestRequestsThatNobodyDoesAreStarted(t *testing.T) {
	t.Parallel()
	h := open(t, settings(ledgertest.SQLite(t)))
	var p people
	p.join(t, h)
	s := newSweeper(t, h)
	s.began(t)
	addRequests(t, h, "a", "b")
	s.err = errors.New("Temporal is away")
	if err := s.once(t.Context()); !errors.Is(err, s.err) {
		t.Errorf("swept with %v", err)
	}
	s.err = nil
	s.began(t, "acme/a", "acme/b")
	addRequests(t, h, "c")
	s.began(t, "acme/c")
	// A process that starts anew knows of none, and starting what runs is harmless.
	newSweeper(t, h).began(t, "acme/a", "acme/b", "acme/c")
	must(t, h.Ledger.FinishPrivacyRequest(t.Context(), id, "a", "done"))
	s.clock = s.clock.Add(startedFor)
	s.began(t, "acme/b", "acme/c")
	if len(s.started) != 2 {
		t.Errorf("%d are remembered, want those that are open", len(s.started))
	}
}

func TestManyRequestsAreAllStarted(t *testing.T) {
	t.Parallel()
	h := open(t, settings(ledgertest.SQLite(t)))
	var p people
	p.join(t, h)
	const many = 2*sweepPage + 1
	for n := range many {
		addRequests(t, h, fmt.Sprintf("%04d", n))
	}
	s := newSweeper(t, h)
	must(t, s.once(t.Context()))
	if len(s.starts) != many {
		t.Errorf("%d are started, want %d", len(s.starts), many)
	}
}

// One request that cannot be started must not keep the others waiting; when none can, Temporal is away.
func TestARequestThatCannotBeStartedIsPassedOver(t *testing.T) {
	t.Parallel()
	h := open(t, settings(ledgertest.SQLite(t)))
	var p people
	p.join(t, h)
	addRequests(t, h, "a", "b", "c", "d", "e")
	var tried []string
	broken := map[string]bool{"b": true}
	s := &sweep{host: h, now: time.Now, started: map[[2]string]time.Time{}, start: func(_ context.Context, _, request string) error {
		tried = append(tried, request)
		if broken[request] {
			return errors.New("no")
		}
		return nil
	}}
	if err := s.startAll(t.Context()); err == nil || len(tried) != 5 {
		t.Errorf("tried %v: %v", tried, err)
	}
	tried = nil
	if err := s.startAll(t.Context()); err == nil || !slices.Equal(tried, []string{"b"}) {
		t.Errorf("tried %v once more: %v", tried, err)
	}
	tried, s.started = nil, map[[2]string]time.Time{}
	broken["a"], broken["c"] = true, true
	if err := s.startAll(t.Context()); err == nil || !slices.Equal(tried, []string{"a", "b", "c"}) {
		t.Errorf("tried %v while Temporal is away: %v", tried, err)
	}
}

func TestTheSweepForgetsWhatIsLeftOfErasedMerchants(t *testing.T) {
	t.Parallel()
	h := open(t, settings(ledgertest.SQLite(t)))
	var p people
	p.join(t, h)
	record := consent.Record{Decision: consent.Decision{State: consent.Unsubscribed, At: 1}}
	_, err := h.Ledger.Save(t.Context(), id, ledger.Batch{Changes: []ledger.Change{{Channel: consent.Email, Subject: consent.Subject{1}, Record: record}}})
	must(t, err)
	must(t, h.Merchants.Uninstall(t.Context(), id, "left"))
	_, err = h.Ledger.ErasePeople(t.Context(), id, consent.OptOut, consent.InstantOf(time.Now()))
	must(t, err)
	must(t, newSweeper(t, h).once(t.Context()))
	if n, err := h.Ledger.CountSubjects(t.Context(), id, consent.Email); err != nil || n != 0 {
		t.Errorf("%d opt-outs are left: %v", n, err)
	}
}

func TestTheSweepRunsAtOnceAndWithEveryTick(t *testing.T) {
	t.Parallel()
	h := open(t, settings(ledgertest.SQLite(t)))
	var p people
	p.join(t, h)
	addRequests(t, h, "a")
	started := make(chan string)
	s := &sweep{host: h, now: time.Now, started: map[[2]string]time.Time{}, start: func(_ context.Context, _, request string) error {
		started <- request
		return errors.New("not yet")
	}}
	ctx, stop := context.WithCancel(t.Context())
	ticks := make(chan time.Time)
	var running sync.WaitGroup
	running.Go(func() { s.run(ctx, ticks) })
	for range 3 {
		if request := <-started; request != "a" {
			t.Errorf("started %s", request)
		}
		ticks <- time.Now()
	}
	<-started
	stop()
	running.Wait()
}

// quietWorker is a Temporal worker that does nothing.
type quietWorker struct {
	worker.Worker
	err error
}

func (q *quietWorker) Start() error                      { return q.err }
func (q *quietWorker) Run(stop <-chan interface{}) error { <-stop; return q.err }
func (q *quietWorker) Stop()                             {}

func TestTheSweepLivesAsLongAsItsWorker(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan struct{})
	w := &tended{Worker: &quietWorker{}, tend: func(ctx context.Context) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
	}}
	for range 2 {
		must(t, w.Start())
		<-begun
		go w.Stop()
		<-ended
	}
	stop := make(chan interface{})
	var running sync.WaitGroup
	running.Go(func() { must(t, w.Run(stop)) })
	<-begun
	close(stop)
	<-ended
	running.Wait()
	w.Stop()
	broken := &tended{Worker: &quietWorker{err: errors.New("no")}, tend: func(context.Context) { t.Error("swept beside no worker") }}
	if broken.Start() == nil {
		t.Error("a worker that cannot start is started")
	}
}

func TestThePrivacyClientIsSharedUntilItChanges(t *testing.T) {
	t.Parallel()
	h := open(t, settings(ledgertest.SQLite(t)))
	var p people
	p.join(t, h)
	if _, err := h.Office.Listrak(t.Context(), id); !errors.Is(err, privacy.ErrNoAccess) {
		t.Errorf("without credentials: %v", err)
	}
	set := func(secret string) privacy.Forgetter {
		t.Helper()
		_, err := h.Merchants.Update(t.Context(), id, nil, &merchant.Credentials{ListrakPrivacyClientID: "privacy", ListrakPrivacyClientSecret: secret})
		must(t, err)
		c, err := h.Office.Listrak(t.Context(), id)
		must(t, err)
		return c
	}
	first := set("one")
	if set("one") != first {
		t.Error("the same credentials make another client, and another token")
	}
	if set("two") == first {
		t.Error("new credentials are not in force")
	}
	must(t, h.Merchants.Uninstall(t.Context(), id, "left"))
	if _, err := h.Office.Listrak(t.Context(), id); !errors.Is(err, privacy.ErrNoAccess) {
		t.Errorf("after leaving: %v", err)
	}
	if _, err := h.Office.Listrak(t.Context(), "nobody"); !errors.Is(err, ledger.ErrUnknownMerchant) {
		t.Errorf("of nobody: %v", err)
	}
}
