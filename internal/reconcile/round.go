package reconcile

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
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
	if switches.State != ledger.Running || !anyRead(switches) {
		return RoundResult{Switches: switches}, nil
	}
	ctx, r, err := e.beginWith(ctx, merchant, switches)
	if err != nil {
		return RoundResult{Switches: switches}, e.breakIfHopeless(ctx, merchant, err)
	}
	end, err := r.acquire(ctx, RoundRun)
	if err != nil {
		return RoundResult{Switches: r.switches}, err
	}
	defer end()
	status := ledger.RunStatus{Began: r.now()}
	more, err := r.round(ctx)
	status.Ended, status.Scanned, status.Delivered = r.now(), r.stats.Scanned, r.stats.Delivered
	status.Lag = consent.SpanOf(r.behind)
	if err != nil {
		status.ErrorClass, status.ErrorCode = classify(err)
		err = e.breakIfHopeless(ctx, merchant, err)
	}
	if statusErr := r.saveStatus(ctx, RoundRun, status); statusErr != nil {
		err = errors.Join(err, statusErr)
	}
	result := RoundResult{Stats: r.stats, Switches: r.switches, More: more}
	if err != nil {
		return result, err
	}
	if result.Windows, err = r.windowsToOpen(ctx); err != nil {
		return result, err
	}
	result.Switches, err = e.records().Switches(ctx, merchant)
	return result, err
}

func (r *run) round(ctx context.Context) (more bool, err error) {
	complete := true
	var errs []error
	step := func(done bool, err error) {
		complete = complete && done
		if err != nil {
			errs = append(errs, err)
		}
	}
	channels := r.channelsRead()
	// Both sides are read while any direction of the channel is on (rule 12). Opt-outs are read and delivered before the rest.
	for _, s := range channels {
		for _, src := range s.listrakSources() {
			step(r.scan(ctx, src))
		}
	}
	step(true, r.deliverEarly(ctx))
	step(r.readOldHints(ctx))
	changes, err := r.besideEvents(ctx, r.shopifySource())
	step(true, err)
	step(r.scan(ctx, changes))
	if len(channels) > 1 {
		// A channel's own queue has them first; those of one must not wait for the other's order look-ups and subscribes either (I9).
		step(true, r.deliver(ctx, optOutsOnly))
	}
	for _, s := range channels {
		step(true, s.settleHolds(ctx))
	}
	step(true, r.deliver(ctx, everything))
	step(true, r.alarm(ctx))
	if sms := r.of(consent.SMS); slices.Contains(channels, sms) {
		step(true, sms.compare(ctx))
	}
	return !complete || r.timeIsUp(), errors.Join(errs...)
}

// deliverEarly writes what Shopify is owed before the changes of Shopify are read, which takes long while many customers change. Whoever is
// written is looked up first, so that nothing depends on that reading. It does so only while customers' metafields are being written:
// otherwise the reading is short, and everything goes in its usual order.
func (r *run) deliverEarly(ctx context.Context) error {
	busy, err := r.eventsBeingWritten(ctx)
	if err != nil || !busy {
		return err
	}
	var failed error
	for _, what := range []extent{optOutsOnly, everything} {
		for _, s := range r.channelsRead() {
			due, err := s.records().AnyDue(ctx, s.merchant, s.channel, s.now())
			if err != nil {
				return err
			}
			if due[consent.Shopify] {
				failed = errors.Join(failed, s.deliverToShopify(ctx, what))
			}
		}
	}
	return failed
}

// deliver writes what both sides are owed on all channels, side by side, so that a first run that fills one side for hours does not keep
// an opt-out from the other.
func (r *run) deliver(ctx context.Context, what extent) error {
	var errs [2 * len(consent.Channels)]error
	var tasks []func()
	for n, s := range r.channelsRead() {
		due, err := s.records().AnyDue(ctx, s.merchant, s.channel, s.now())
		if err != nil {
			return err
		}
		if due[consent.Shopify] {
			tasks = append(tasks, func() { errs[2*n] = s.deliverToShopify(ctx, what) })
		}
		if due[consent.Listrak] {
			tasks = append(tasks, func() { errs[2*n+1] = s.deliverToListrak(ctx, what) })
		}
	}
	r.machine().Together(len(errs), tasks...)
	return errors.Join(errs[:]...)
}

// isRead reports whether both sides are read for a channel. Events need it too, as far as the channel is set up: rounds find out which
// customer has which address.
func isRead(switches ledger.Switches, account *Account, channel consent.Channel) bool {
	return anyOn(switches, channel) || switches.Syncs[consent.EventsOf(channel)].On && (channel != consent.SMS || account.SMS != nil)
}

// Reads reports whether both sides are read for a channel, as the switches are.
func (e *Engine) Reads(ctx context.Context, switches ledger.Switches, channel consent.Channel) (bool, error) {
	if channel != consent.SMS || anyOn(switches, channel) || !switches.Syncs[consent.SMSEvents].On {
		return isRead(switches, nil, channel), nil
	}
	account, err := e.Connect(ctx, switches.Merchant)
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	return isRead(switches, account, channel), nil
}

// anyRead is isRead for a caller without an account: whether anything is on that needs rounds.
func anyRead(switches ledger.Switches) bool {
	return anyOn(switches, consent.Channels[:]...) || switches.Syncs[consent.EmailEvents].On || switches.Syncs[consent.SMSEvents].On
}

// anyOn reports whether any direction of these channels is on.
func anyOn(switches ledger.Switches, channels ...consent.Channel) bool {
	return slices.ContainsFunc(channels, func(channel consent.Channel) bool {
		return switches.Syncs[consent.SyncTo(channel, consent.Shopify)].On || switches.Syncs[consent.SyncTo(channel, consent.Listrak)].On
	})
}

// acquire takes the run lease of one kind; the returned function frees it.
func (r *run) acquire(ctx context.Context, kind ledger.RunKind) (func(), error) {
	lease, ok, err := r.records().AcquireRun(ctx, r.merchant, kind, r.Holder, r.Timing.RunLease)
	if err != nil {
		return nil, fmt.Errorf("take the run lease: %w", err)
	}
	if !ok {
		return nil, ErrBusy
	}
	r.lease = &lease
	return func() {
		if err := r.records().ReleaseRun(ctx, lease); err != nil {
			r.Log.Warn("The run lease could not be freed and will run out by itself", "merchant", r.merchant, "error", err.Error())
		}
	}, nil
}

func (r *run) saveStatus(ctx context.Context, kind ledger.RunKind, status ledger.RunStatus) error {
	if status.ErrorClass != 0 {
		before, err := r.records().RunStatuses(ctx, r.merchant)
		if err != nil {
			return fmt.Errorf("read the run status: %w", err)
		}
		status.Failures = before[kind].Failures + 1
	}
	if err := r.records().SetRunStatus(ctx, r.merchant, kind, status); err != nil {
		return fmt.Errorf("save the run status: %w", err)
	}
	return nil
}

// SMSCode is before the code of a round's failure that concerns SMS alone.
const SMSCode = "SMS "

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
	if gravest.SMS {
		return gravest.Class, SMSCode + gravest.Code
	}
	return gravest.Class, gravest.Code
}

// breakIfHopeless stops the merchant when only a person can mend what went wrong; the reason is the failure's own text, which holds
// no personal data. Where email goes on without SMS it does: each round tries SMS again, and its status tells what is wrong.
func (e *Engine) breakIfHopeless(ctx context.Context, merchant string, err error) error {
	for _, part := range failure.Causes(err) {
		f := failure.As(part)
		if f == nil || f.Class != failure.PersonMustAct {
			continue
		}
		if f.SMS {
			switches, readErr := e.records().Switches(ctx, merchant)
			if readErr != nil {
				return errors.Join(err, fmt.Errorf("read switches: %w", readErr))
			}
			if anyOn(switches, consent.Email) {
				continue
			}
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
