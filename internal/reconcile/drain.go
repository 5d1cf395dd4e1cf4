package reconcile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/shopify"
)

// DrainResult is what a drain leaves to the workflow.
type DrainResult struct {
	// Read counts the customers that were read, each as often as it was.
	Read int64
	// Windows are the holds for which the workflow has to open a window.
	Windows []ledger.Held
	// More tells that hints may wait: the drain was stopped, or has run long enough.
	More bool
}

const (
	// hintPoll is how often the ledger is asked for hints while a drain is awake: another process may have taken the webhook.
	hintPoll = 100 * time.Millisecond
	// hintBatch is how many customers are read at once: one call to Shopify, of 3 points (contracts/shopify.md 2.2).
	hintBatch = 250
	// drainReads is how many such calls are made side by side: on a Standard store more would leave too little for the writes.
	drainReads = 2
	// drainDeliveries is how many deliveries to Listrak run side by side, opt-outs and others counted apart, so that an opt-out never
	// waits for a subscribe to end.
	drainDeliveries = 8
	// drainFresh is how long a drain goes on with the settings and credentials that it has read.
	drainFresh = 5 * time.Second
	// drainLimit is after how long a drain ends by itself, so that its workflow can continue as new.
	drainLimit = 5 * time.Minute
	// awakeFor is how long a drain that died keeps webhooks from sending another one, and that one from beginning; awakeAgain is how
	// often it says that it lives.
	awakeFor, awakeAgain = 30 * time.Second, 10 * time.Second
	// hintPatience is how long the rounds leave a hint to the drain.
	hintPatience = 20 * consent.Second
	// oldHintPages is how many pages of those a round reads: after a merchant was paused thousands may wait, and what the round has read
	// from Listrak must not wait for all of them.
	oldHintPages = 8
)

// Drain acts upon webhooks beside the rounds: it reads the customers of whom they tell, decides, and delivers at once, until none has
// come for Timing.DrainQuiet. It delivers only to people whom it has just read; the rest is the rounds'. When it fails the rounds go on
// with what it leaves. It stops at its next safe point when ctx ends.
func (e *Engine) Drain(ctx context.Context, merchant string) (DrainResult, error) {
	d := &drain{
		Engine: e, merchant: merchant, reading: map[string]bool{}, delivering: map[consent.Subject]bool{},
		// Room for every task, so that none waits for a loop that has ended.
		ended: make(chan func(), drainReads+2*drainDeliveries+1), woken: make(chan struct{}, 1),
	}
	result, err := d.run(ctx)
	return result, e.breakIfHopeless(ctx, merchant, err)
}

// drain is one run of Drain. Its tasks run side by side and leave what they found to its loop, which alone touches the rest.
type drain struct {
	*Engine
	merchant string
	result   DrainResult
	lease    *ledger.RunLease

	// r is the run of the tasks to come, begun at.
	r  *run
	at time.Time

	// reading are the customers that are being read, in reads calls.
	reading map[string]bool
	reads   int
	// decided are people who may be owed something since they were read, by channel.
	decided [consent.SMS + 1][]consent.Subject
	// delivering are those to whom a delivery is under way; outs and others count those to Listrak, toShopify those of its one batch.
	delivering   map[consent.Subject]bool
	outs, others int
	toShopify    bool

	// ended takes what each task leaves to the loop; woken has something then.
	ended   chan func()
	woken   chan struct{}
	running int
	away    outage
	failed  error
	// withoutSMS is set when the access to SMS does not work: the rounds try again, and email does not wait for that.
	withoutSMS bool
}

func (d *drain) run(ctx context.Context) (DrainResult, error) {
	d.away.limit = listrakFailures
	// What went wrong first is what matters; a process that is no more has nobody to tell.
	defer func() {
		_ = d.wait()
		d.release(context.WithoutCancel(ctx))
	}()
	began, news := d.Now(), d.Now()
	var awake time.Time
	for {
		if d.failed != nil || ctx.Err() != nil || d.Now().Sub(began) >= drainLimit {
			if err := d.wait(); err != nil {
				return d.result, err
			}
			if d.failed != nil {
				// Whoever gets an error opens no windows, so none is marked as opened: the next round returns them.
				return d.result, errors.Join(d.failed, d.alarm(context.WithoutCancel(ctx)))
			}
			d.result.More = true
			return d.leave(context.WithoutCancel(ctx))
		}
		if d.Now().Sub(awake) >= awakeAgain {
			if err := d.stayAwake(ctx); err != nil {
				return d.result, err
			}
			awake = d.Now()
		}
		callCtx, running, err := d.refresh(ctx)
		if err != nil || !running {
			return d.result, err
		}
		hinted, err := d.read(callCtx)
		if err == nil {
			err = d.deliver(callCtx)
		}
		if err != nil {
			d.failed = err
			continue
		}
		if hinted || d.running > 0 {
			news = d.Now()
		} else if d.Now().Sub(news) >= d.Timing.DrainQuiet {
			asleep, err := d.records().FallAsleep(callCtx, d.merchant)
			if err != nil {
				return d.result, err
			}
			if asleep {
				return d.leave(callCtx)
			}
		}
		if err := d.doze(ctx); err != nil {
			return d.result, err
		}
	}
}

// stayAwake says that this drain lives: to others who would begin one, and to webhooks.
func (d *drain) stayAwake(ctx context.Context) error {
	lease, ok, err := d.records().AcquireRun(ctx, d.merchant, DrainRun, d.Holder, awakeFor)
	switch {
	case err != nil:
		return fmt.Errorf("take the drain's lease: %w", err)
	case !ok:
		return ErrBusy
	}
	d.lease = &lease
	return d.records().StayAwake(ctx, d.merchant, awakeFor)
}

// release lets another drain begin at once.
func (d *drain) release(ctx context.Context) {
	if d.lease == nil {
		return
	}
	if err := d.records().ReleaseRun(ctx, *d.lease); err != nil {
		d.Log.Warn("The drain's lease could not be freed and will run out by itself", "merchant", d.merchant, "error", err.Error())
	}
}

// refresh begins a new run now and then, since settings, credentials and switches may have changed. running is false when there is
// nothing to be done for the merchant.
func (d *drain) refresh(ctx context.Context) (_ context.Context, running bool, err error) {
	if d.r != nil && d.Now().Sub(d.at) < drainFresh && !d.r.anyDenied() {
		return context.WithoutCancel(ctx), true, nil
	}
	switches, err := d.records().Switches(ctx, d.merchant)
	if err != nil {
		return ctx, false, fmt.Errorf("read switches: %w", err)
	}
	if switches.State != ledger.Running || !anyRead(switches) {
		return ctx, false, nil
	}
	if err := d.alarm(ctx); err != nil {
		return ctx, false, err
	}
	ctx, d.r, err = d.beginWith(ctx, d.merchant, switches)
	if err != nil {
		return ctx, true, err
	}
	d.at = d.Now()
	// Now, because tasks that run side by side must not load the cursors that it looks at.
	_, err = d.r.observed(ctx)
	return ctx, true, err
}

// anyDenied reports whether the ledger no longer permits deliveries of some direction.
func (r *run) anyDenied() bool {
	for _, channel := range consent.Channels {
		if s := r.of(channel); s.denied[consent.Shopify].Load() || s.denied[consent.Listrak].Load() {
			return true
		}
	}
	return false
}

// alarm counts what the last run has unsubscribed, if there was one.
func (d *drain) alarm(ctx context.Context) error {
	if d.r == nil {
		return nil
	}
	return d.r.alarm(ctx)
}

// leave ends the last run.
func (d *drain) leave(ctx context.Context) (_ DrainResult, err error) {
	if err := d.alarm(ctx); err != nil || d.r == nil {
		return d.result, err
	}
	d.result.Windows, err = d.r.windowsToOpen(ctx)
	return d.result, err
}

// start runs a task beside the loop; what it returns is done by the loop when it has ended.
func (d *drain) start(task func() func()) {
	d.running++
	d.machine().Beside(func() {
		d.ended <- task()
		select {
		case d.woken <- struct{}{}:
		default:
		}
	})
}

// doze waits for the end of a task, or for the next look, and takes what tasks have left.
func (d *drain) doze(ctx context.Context) error {
	if err := d.machine().Doze(ctx, hintPoll, d.woken); err != nil {
		return err
	}
	for {
		select {
		case apply := <-d.ended:
			d.running--
			apply()
		default:
			return nil
		}
	}
}

// wait lets all tasks end: each is bounded by its calls.
func (d *drain) wait() error {
	for d.running > 0 {
		if err := d.doze(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// note takes the error of a task. That of one person's delivery is in the ledger already.
func (d *drain) note(err error) {
	if f := failure.As(err); f != nil && f.SMS && f.Class == failure.PersonMustAct {
		d.withoutSMS = true
		return
	}
	d.away.note(err, false)
	if mustStop(err) || d.away.over(false) {
		d.failed = errors.Join(d.failed, err)
	}
}

// read starts reading the customers of whom there is news, and reports whether there are any.
func (d *drain) read(ctx context.Context) (hinted bool, err error) {
	if d.reads >= drainReads {
		return true, nil
	}
	hints, err := d.records().Hints(ctx, d.merchant, d.r.now(), hintBatch+len(d.reading))
	if err != nil {
		return false, err
	}
	fresh := make([]ledger.Hint, 0, len(hints))
	for _, h := range hints {
		if !d.reading[h.Customer] {
			fresh = append(fresh, h)
		}
	}
	if fresh = fresh[:min(hintBatch, len(fresh))]; len(fresh) == 0 {
		return len(hints) > 0, nil
	}
	for _, h := range fresh {
		d.reading[h.Customer] = true
	}
	d.reads++
	r := d.r
	d.start(func() func() {
		people, err := r.readHints(ctx, fresh)
		return func() {
			d.reads--
			for _, h := range fresh {
				delete(d.reading, h.Customer)
			}
			if err != nil {
				// Whatever it was, the next read would meet it too; the rounds try again.
				d.failed = errors.Join(d.failed, err)
				return
			}
			d.result.Read += int64(len(fresh))
			for _, on := range people {
				d.decided[on.channel] = append(d.decided[on.channel], inOrder(on.entries)...)
			}
		}
	})
	return true, nil
}

// deliver starts what may be delivered of what is owed to the people who were read, opt-outs first (I9).
func (d *drain) deliver(ctx context.Context) error {
	var due [2][]ledger.Located
	for _, channel := range consent.Channels {
		if err := d.owedTo(ctx, d.r.of(channel), &due); err != nil {
			return err
		}
	}
	if !d.toShopify {
		batch, err := d.inTurn(ctx, consent.Shopify, due[consent.Shopify], shopify.MaxWrites, shopify.MaxWrites)
		if err != nil {
			return err
		}
		d.startToShopify(ctx, batch)
	}
	singles, err := d.inTurn(ctx, consent.Listrak, due[consent.Listrak], drainDeliveries-d.outs, drainDeliveries-d.others)
	if err != nil {
		return err
	}
	for _, located := range singles {
		d.startToListrak(ctx, located)
	}
	return nil
}

// owedTo adds to due what may be delivered now to those who were read on a channel, and keeps those who are still owed something.
func (d *drain) owedTo(ctx context.Context, s *session, due *[2][]ledger.Located) error {
	if d.withoutSMS && s.channel == consent.SMS {
		d.decided[s.channel] = nil
		return nil
	}
	people := d.decided[s.channel]
	if len(people) == 0 {
		return nil
	}
	entries, err := d.records().Load(ctx, d.merchant, s.channel, people)
	if err != nil {
		return fmt.Errorf("load records: %w", err)
	}
	var waiting []consent.Subject
	seen := make(map[consent.Subject]bool, len(people))
	for _, subject := range people {
		entry, known := entries[subject]
		if seen[subject] || !known {
			continue
		}
		seen[subject] = true
		for _, side := range consent.Sides {
			if s.isOwed(&entry, side) && entry.NextTry[side] <= s.now() && entry.Debts[side] != consent.Stopped {
				waiting = append(waiting, subject)
				// A look while a write of the round is under way could not tell what it leaves from a person's word.
				if !d.delivering[subject] && !underWay(&entry.Record, side, s.now()) {
					due[side] = append(due[side], ledger.Located{Channel: s.channel, Subject: subject, Entry: entry})
				}
				break
			}
		}
	}
	d.decided[s.channel] = waiting
	return nil
}

// underWay reports whether a write to side has begun and neither ended nor run out of time.
func underWay(rec *consent.Record, side consent.Side, now consent.Instant) bool {
	last := &rec.Sent[side][0]
	return last.State != consent.Unseen && last.Outcome == consent.Open && now <= last.Deadline
}

// inTurn picks those whose turn it is: opt-outs, and others only as long as no opt-out of the merchant waits for that side (I9) and as
// many as the limit on re-subscriptions allows (I10).
func (d *drain) inTurn(ctx context.Context, side consent.Side, due []ledger.Located, outs, others int) ([]ledger.Located, error) {
	// consent.Unsubscribed is the largest of the states, as the ledger's own order of what is owed has it.
	slices.SortStableFunc(due, func(a, b ledger.Located) int { return cmp.Compare(b.Record.Decision.State, a.Record.Decision.State) })
	first := optOuts(due)
	rest := due[len(first):]
	if len(first) > 0 || len(rest) == 0 {
		return first[:min(outs, len(first))], nil
	}
	if others <= 0 {
		return nil, nil
	}
	for _, s := range d.r.channelsRead() {
		if d.withoutSMS && s.channel == consent.SMS {
			continue
		}
		foreign, err := s.owed(ctx, side, len(d.delivering)+1, false)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(optOuts(foreign), func(l ledger.Located) bool { return !d.delivering[l.Subject] }) {
			return nil, nil
		}
	}
	var turn []ledger.Located
	for channel, found := range byChannel(rest[:min(others, len(rest))]) {
		s := d.r.of(channel)
		passing, stopped, err := s.passing(ctx, side, found)
		if err != nil {
			return nil, err
		}
		if err := s.stopAtLimit(ctx, stopped); err != nil {
			return nil, err
		}
		turn = append(turn, passing...)
	}
	return turn, nil
}

// byChannel parts people by channel, in the channels' order.
func byChannel(people []ledger.Located) iter.Seq2[consent.Channel, []ledger.Located] {
	return func(yield func(consent.Channel, []ledger.Located) bool) {
		for _, channel := range consent.Channels {
			var of []ledger.Located
			for _, located := range people {
				if located.Channel == channel {
					of = append(of, located)
				}
			}
			if len(of) > 0 && !yield(channel, of) {
				return
			}
		}
	}
}

func (d *drain) startToListrak(ctx context.Context, located ledger.Located) {
	count := &d.others
	if located.Record.Decision.State == consent.Unsubscribed {
		count = &d.outs
	}
	*count++
	d.delivering[located.Subject] = true
	s := d.r.of(located.Channel)
	d.start(func() func() {
		err := s.deliverOneToListrak(ctx, located)
		return func() {
			*count--
			delete(d.delivering, located.Subject)
			d.note(err)
		}
	})
}

func (d *drain) startToShopify(ctx context.Context, batch []ledger.Located) {
	if len(batch) == 0 {
		return
	}
	d.toShopify = true
	for _, located := range batch {
		d.delivering[located.Subject] = true
	}
	r := d.r
	d.start(func() func() {
		var failed error
		for channel, part := range byChannel(batch) {
			failed = cmp.Or(failed, r.of(channel).deliverBatchToShopify(ctx, part))
		}
		return func() {
			d.toShopify = false
			for _, located := range batch {
				delete(d.delivering, located.Subject)
			}
			d.note(failed)
		}
	})
}

// readHints reads customers of whom webhooks tell, decides what they show, and settles the holds whose order is known already. The
// hints go when that is in the ledger: what is owed follows from there.
func (r *run) readHints(ctx context.Context, hints []ledger.Hint) ([]decided, error) {
	ids := make([]string, len(hints))
	customers := make([]shopify.CustomerID, len(hints))
	for i, h := range hints {
		ids[i], customers[i] = h.Customer, shopify.CustomerID(h.Customer)
	}
	known, err := r.records().KnownCustomers(ctx, r.merchant, ids)
	if err != nil {
		return nil, fmt.Errorf("read known customers: %w", err)
	}
	channels, err := r.observed(ctx)
	if err != nil {
		return nil, err
	}
	read, people, err := r.readCustomers(ctx, customers, known, channels)
	if err != nil {
		return nil, err
	}
	if _, err := r.records().Save(ctx, r.merchant, read.batch()); err != nil {
		return nil, fmt.Errorf("save customers: %w", err)
	}
	for _, on := range people {
		if err := on.settleRemembered(ctx, on.entries); err != nil {
			return nil, err
		}
	}
	if err := r.records().ForgetHints(ctx, r.merchant, hints); err != nil {
		return nil, err
	}
	return people, nil
}

// inOrder lists people in the order of their hashes: in that of a map, one seed of a simulation would be several histories.
func inOrder(entries map[consent.Subject]ledger.Entry) []consent.Subject {
	return slices.SortedFunc(maps.Keys(entries), func(a, b consent.Subject) int { return bytes.Compare(a[:], b[:]) })
}

// settleRemembered settles those holds whose order came by webhook already, and brings entries up to date.
func (s *session) settleRemembered(ctx context.Context, entries map[consent.Subject]ledger.Entry) error {
	window := s.window()
	var revisions []revision
	for _, subject := range inOrder(entries) {
		hold := entries[subject].Record.Hold
		if hold.Consent == 0 || hold.Settled {
			continue
		}
		orders, err := s.ordersOf(ctx, ledger.Held{Subject: subject, Hold: hold}, nil, window)
		if err != nil {
			return err
		}
		if len(orders) == 0 {
			continue
		}
		revisions = append(revisions, revision{subject: subject, apply: func(rec consent.Record) (consent.Record, []ledger.Line) {
			if rec.Hold.Consent == hold.Consent {
				// No look-up was made: without an order the hold goes on.
				rec, _ = window.Settle(rec, orders, 0)
			}
			return rec, nil
		}})
	}
	settled, err := s.revise(ctx, revisions)
	for subject, entry := range settled {
		entries[subject] = entry
	}
	return err
}

// readOldHints reads, within a round, what no drain has read: a nudge is lost when Temporal or every worker is away. done is false when
// more may wait; the next round goes on with it.
func (r *run) readOldHints(ctx context.Context) (done bool, err error) {
	for range oldHintPages {
		if r.timeIsUp() {
			return false, nil
		}
		hints, err := r.records().Hints(ctx, r.merchant, r.now().Plus(-hintPatience), hintBatch)
		if err != nil || len(hints) == 0 {
			return true, err
		}
		if _, err := r.readHints(ctx, hints); err != nil {
			return true, err
		}
		if len(hints) < hintBatch {
			return true, nil
		}
	}
	return false, nil
}
