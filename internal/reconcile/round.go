package reconcile

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
)

// RoundResult is what a round found.
type RoundResult struct {
	Stats Stats
	// Switches as they are after the round.
	Switches ledger.Switches
	// Windows are the holds for which the workflow has to open a window.
	Windows []ledger.Held
	// More tells that the round stopped because its time was up, and that the next one should begin at once.
	More bool
}

// ErrBusy: another process runs this merchant's round or full read at the moment.
var ErrBusy = errors.New("another process is at work for this merchant")

// Round reads what changed on both sides, settles holds, and delivers what is owed. A side that fails does not keep the other from
// being read; the errors are returned with what was done. A failure that only a person can mend stops the merchant. When ctx ends,
// the round stops at its next safe point: a call under way is finished and recorded.
func (e *Engine) Round(ctx context.Context, merchant string) (RoundResult, error) {
	switches, err := e.records().Switches(ctx, merchant)
	if err != nil {
		return RoundResult{}, fmt.Errorf("read switches: %w", err)
	}
	if switches.State != ledger.Running || !anyOn(switches) {
		return RoundResult{Switches: switches}, nil
	}
	ctx, s, err := e.sessionWith(ctx, merchant, switches)
	if err != nil {
		return RoundResult{Switches: switches}, e.breakIfHopeless(ctx, merchant, err)
	}
	end, err := s.acquire(ctx, RoundRun)
	if err != nil {
		return RoundResult{Switches: s.switches}, err
	}
	defer end()
	status := ledger.RunStatus{Began: s.now()}
	more, err := s.round(ctx)
	status.Ended, status.Scanned, status.Delivered = s.now(), s.stats.Scanned, s.stats.Delivered
	status.Lag = consent.SpanOf(s.behind)
	if err != nil {
		status.ErrorClass, status.ErrorCode = classify(err)
		err = e.breakIfHopeless(ctx, merchant, err)
	}
	if statusErr := s.saveStatus(ctx, RoundRun, status); statusErr != nil {
		err = errors.Join(err, statusErr)
	}
	result := RoundResult{Stats: s.stats, Switches: s.switches, More: more}
	if err != nil {
		return result, err
	}
	if result.Windows, err = s.windowsToOpen(ctx); err != nil {
		return result, err
	}
	result.Switches, err = e.records().Switches(ctx, merchant)
	return result, err
}

func (s *session) round(ctx context.Context) (more bool, err error) {
	complete := true
	var errs []error
	step := func(done bool, err error) {
		complete = complete && done
		if err != nil {
			errs = append(errs, err)
		}
	}
	// Both sides are read while any direction of the channel is on (rule 12). Opt-outs are read and delivered before the rest.
	for _, src := range s.listrakSources() {
		step(s.scan(ctx, src.source, s.scanListrak(src.state)))
	}
	step(true, s.deliverEarly(ctx))
	step(s.readOldHints(ctx))
	changes, err := s.besideEvents(ctx, s.shopifySource())
	step(true, err)
	step(s.scan(ctx, changes, s.scanShopify))
	step(true, s.settleHolds(ctx))
	step(true, s.deliver(ctx, everything))
	step(true, s.alarm(ctx))
	return !complete || s.timeIsUp(), errors.Join(errs...)
}

// deliverEarly writes what Shopify is owed before the changes of Shopify are read, which takes long while many customers change. Whoever is
// written is looked up first, so that nothing depends on that reading. It does so only while customers' metafields are being written:
// otherwise the reading is short, and everything goes in its usual order.
func (s *session) deliverEarly(ctx context.Context) error {
	busy, err := s.eventsBeingWritten(ctx)
	if err != nil || !busy {
		return err
	}
	due, err := s.records().AnyDue(ctx, s.merchant, consent.Email, s.now())
	if err != nil || !due[consent.Shopify] {
		return err
	}
	return s.deliverToShopify(ctx, everything)
}

// deliver writes what both sides are owed, side by side, so that a first run that fills one side for hours does not keep an opt-out
// from the other.
func (s *session) deliver(ctx context.Context, what extent) error {
	due, err := s.records().AnyDue(ctx, s.merchant, consent.Email, s.now())
	if err != nil {
		return err
	}
	var toShopify, toListrak error
	var tasks []func()
	if due[consent.Shopify] {
		tasks = append(tasks, func() { toShopify = s.deliverToShopify(ctx, what) })
	}
	if due[consent.Listrak] {
		tasks = append(tasks, func() { toListrak = s.deliverToListrak(ctx, what) })
	}
	s.machine().Together(2, tasks...)
	return errors.Join(toShopify, toListrak)
}

// anyOn reports whether both sides are to be read. Events need it too: rounds find out which customer has which address.
func anyOn(switches ledger.Switches) bool {
	for sync, sw := range switches.Syncs {
		if sw.On && (!sync.IsEvents() || sync.Kinds() != nil) {
			return true
		}
	}
	return false
}

// acquire takes the run lease of one kind; the returned function frees it.
func (s *session) acquire(ctx context.Context, kind ledger.RunKind) (func(), error) {
	lease, ok, err := s.records().AcquireRun(ctx, s.merchant, kind, s.Holder, s.Timing.RunLease)
	if err != nil {
		return nil, fmt.Errorf("take the run lease: %w", err)
	}
	if !ok {
		return nil, ErrBusy
	}
	s.lease = &lease
	return func() {
		if err := s.records().ReleaseRun(ctx, lease); err != nil {
			s.Log.Warn("The run lease could not be freed and will run out by itself", "merchant", s.merchant, "error", err.Error())
		}
	}, nil
}

func (s *session) saveStatus(ctx context.Context, kind ledger.RunKind, status ledger.RunStatus) error {
	if status.ErrorClass != 0 {
		before, err := s.records().RunStatuses(ctx, s.merchant)
		if err != nil {
			return fmt.Errorf("read the run status: %w", err)
		}
		status.Failures = before[kind].Failures + 1
	}
	if err := s.records().SetRunStatus(ctx, s.merchant, kind, status); err != nil {
		return fmt.Errorf("save the run status: %w", err)
	}
	return nil
}

// classify names the gravest failure of a round for its status.
func classify(err error) (failure.Class, string) {
	var gravest *failure.Error
	for _, cause := range failure.Causes(err) {
		if f := failure.As(cause); f != nil && (gravest == nil || f.Class > gravest.Class) {
			gravest = f
		}
	}
	if gravest == nil {
		return failure.Retry, "LEDGER"
	}
	return gravest.Class, gravest.Code
}

// breakIfHopeless stops the merchant when only a person can mend what went wrong; the reason is the failure's own text, which holds
// no personal data.
func (e *Engine) breakIfHopeless(ctx context.Context, merchant string, err error) error {
	for _, part := range failure.Causes(err) {
		f := failure.As(part)
		if f == nil || f.Class != failure.PersonMustAct {
			continue
		}
		if _, breakErr := e.records().Break(ctx, merchant, f.Error()); breakErr != nil {
			return errors.Join(err, fmt.Errorf("stop the merchant: %w", breakErr))
		}
		break
	}
	return err
}

// NextRound is the start of the merchant's next round after now: a fixed grid with an offset that is hashed from the merchant's id,
// so that merchants do not all call at the same second.
func (e *Engine) NextRound(merchant string, now time.Time) time.Time {
	interval := e.Timing.Interval
	h := fnv.New64a()
	_, _ = h.Write([]byte(merchant)) // a hash never fails to take bytes
	offset := time.Duration(h.Sum64() % uint64(interval))
	return now.Add(-offset).Truncate(interval).Add(interval + offset)
}
