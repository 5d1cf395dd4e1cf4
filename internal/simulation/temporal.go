package simulation

import (
	"context"
	"errors"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/sandbox/fault"
)

// temporal does in a run what Temporal and the workflows do in production: it gives rounds and windows to processes, gives them
// again when a process dies or is silent, and sometimes gives the same work twice.
type temporal struct {
	round *worker
	// shift numbers rounds given out: what an older one brings is nobody's concern.
	shift int
	// nextRound is the moment of the next round that is arranged; zero while none is.
	nextRound time.Time
	// quiet counts rounds in a row in which nothing happened.
	quiet int
	// fullReads counts full reads that are under way; fullReadCut tells by channel that one was cut short because the merchant stood still.
	fullReads   int
	fullReadCut [consent.SMS + 1]bool
	rounds      int
	elided      int
	windows     map[window]bool
	// news counts what the ledger was told of people, but for the times of reads. promised, when rounds that could be left out are played,
	// is until when they will tell nothing.
	news     int
	promised time.Time
}

type window struct {
	channel  consent.Channel
	customer string
	consent  consent.Instant
}

func windowOf(held ledger.Held) window {
	return window{held.Channel, held.Hold.Customer, held.Hold.Consent}
}

const interval = time.Minute

// silence is after how long without a heartbeat work is given to another process.
const silence = 25 * time.Second

// clockwork tells when rounds begin, which is the same for every engine.
var clockwork = reconcile.Engine{Timing: reconcile.DefaultTiming()}

// grid is the next moment of a round after t.
func (w *world) grid(t time.Time) time.Time { return clockwork.NextRound(merchantID, t) }

// arrangeRound arranges the next round, unless one is arranged for earlier or under way.
func (w *world) arrangeRound(at time.Time) {
	if !w.nextRound.IsZero() && !w.nextRound.After(at) {
		return
	}
	w.nextRound = at
	w.aside(at, func() {
		if w.nextRound.Equal(at) {
			w.nextRound = time.Time{}
			w.giveRound()
		}
	})
}

func (w *world) giveRound() {
	if w.round != nil {
		return // it arranges the next one when it ends
	}
	one := w.anyone()
	if one == nil {
		w.arrangeRound(w.grid(w.now))
		return
	}
	w.startRound(one)
}

func (w *world) startRound(one *worker) {
	w.round = one
	w.shift++
	shift := w.shift
	began, changed := w.now, w.lastChange
	promised, news := w.promised, w.news
	w.promised = time.Time{}
	var result reconcile.RoundResult
	var err error
	w.spawn(one.process, func() {
		result, err = one.engine.Round(w.context, merchantID)
	}, func() {
		if shift == w.shift {
			w.round = nil
			if w.news > news && w.now.Before(promised) && changed.Equal(w.lastChange) {
				w.watch.violate("Elided", "", "a round that could have been left out has told %d things", w.news-news)
			}
			w.roundEnded(result, err, began, changed)
		}
		w.watch.failed(err)
	})
}

func (w *world) roundEnded(result reconcile.RoundResult, err error, began, changed time.Time) {
	w.rounds++
	if errors.Is(err, reconcile.ErrBusy) {
		w.count(leaseRanOut)
	}
	for _, held := range result.Windows {
		w.openWindow(held)
	}
	next := w.grid(w.now)
	if result.More {
		next = w.now
	}
	switch {
	case result.Switches.State != ledger.Running && err == nil && result.Switches.State != "":
		// Paused or broken: a resume gives the next round.
		w.nextRound = time.Time{}
		return
	case err == nil && !result.More && result.Stats.Delivered == [2]int64{} && changed.Equal(w.lastChange):
		w.quiet++
	default:
		w.quiet = 0
	}
	w.arrangeRound(w.elide(began, next))
}

// foundAgain is how long Shopify's dates are too fresh for one read to be the last: they have whole seconds, and its clock is not ours.
const foundAgain = 10 * time.Second

// elide puts the next round off until something has happened: those between would find nothing. The last one began after both sides had
// changed last and search hid nothing of that any more, it read both to the end without an error and wrote to neither; nobody has written
// to the ledger since but what is looked at here. So the next one would read the same and find it recorded. Now and then the last of them
// is played all the same, so that what happens then meets fresh watermarks as well as old ones.
func (w *world) elide(began, next time.Time) time.Time {
	if w.quiet == 0 || began.Before(w.lastChange.Add(w.scenario.lag+foundAgain)) || w.fullReads > 0 || w.events != nil && w.events.justTold(began) {
		return next
	}
	until := w.nothingUntil(w.end)
	if w.code != nil {
		// The next comparison of the list is made when its time has come.
		until = earlier(until, w.comparisonDue())
	}
	held, owed := w.waits()
	if w.scenario.restless {
		if !held && !owed {
			w.promised = until
		}
		return next
	}
	// Whoever waits is found in time or by the rounds that are left: these are only rarer, so that some of it comes minutes later.
	switch {
	case owed && w.quiet < 12:
		return next
	case owed:
		// Somebody is put off for minutes or hours: what is due is looked at now and then.
		until = earlier(until, w.now.Add(11*interval))
	case held:
		// An order would be an event; whose window was lost is found after its end.
		until = earlier(until, w.now.Add(3*interval))
	}
	steps := int(until.Sub(next) / interval)
	if until.After(next) && w.random.IntN(4) > 0 {
		steps++
	}
	if steps <= 0 {
		return next
	}
	w.elided += steps
	return next.Add(time.Duration(steps) * interval)
}

// waits reports whether anybody is held, or owed something.
func (w *world) waits() (held, owed bool) {
	// A ledger that cannot tell is asked again: then somebody may be.
	held, _ = w.anyoneHeld(w.context)
	owed, _ = w.memory.owed.learn(func() (bool, error) { return w.anyoneOwed(w.context) })
	hinted, _ := w.anyoneHinted(w.context)
	return held, owed || hinted
}

// anyoneOwed: somebody is owed what may be delivered, due or not.
func (w *world) anyoneOwed(ctx context.Context) (bool, error) {
	owed, err := w.countOwed(ctx)
	return owed > 0 || err != nil, err
}

// countOwed counts who is owed what may be delivered, due or not.
func (w *world) countOwed(ctx context.Context) (owed int64, err error) {
	switches, err := w.rememberedSwitches(func() (ledger.Switches, error) { return w.book.Switches(ctx, merchantID) })
	if err != nil {
		return 0, err
	}
	for _, sync := range consent.Syncs {
		if !switches.May(sync) {
			continue
		}
		due, err := w.anyoneDue(ctx, sync.Channel())
		if err != nil {
			return 0, err
		}
		if !due {
			continue
		}
		debts, err := w.book.Debts(ctx, merchantID, sync.Channel(), sync.To(), reconcile.LedgerPermit(switches, sync))
		if err != nil {
			return 0, err
		}
		owed += debts.OwedSubscribes + debts.OwedUnsubscribes
	}
	return owed, nil
}

// processEnded gives the work of a process that died or fell silent to another one.
func (w *world) processEnded(p *process, kind fault.Kind, length time.Duration) {
	if kind == crash {
		w.aside(w.now.Add(time.Duration(5+w.random.IntN(120))*time.Second), func() { w.hire() })
	}
	w.count(kind)
	w.watch.trouble(p, length)
	w.watch.tell("%s: %s", p.name, kind)
	if w.round != nil && w.round.process == p {
		shift := w.shift
		w.aside(w.now.Add(silence), func() {
			if w.shift == shift && w.round != nil && w.round.process == p {
				w.round = nil
				w.giveRound()
			}
		})
	}
}

// openWindow is the workflow's part of a checkout window: a timer until the last look-up.
func (w *world) openWindow(held ledger.Held) {
	if w.windows == nil {
		w.windows = map[window]bool{}
	}
	key := windowOf(held)
	if w.windows[key] {
		return
	}
	w.windows[key] = true
	if w.random.IntN(12) == 0 {
		w.count(lostWindow)
		return
	}
	w.at(w.workers[0].engine.LastLookUp(held), func() { w.wakeWindow(key, nil, 4) })
}

// holdChanged wakes the window of a hold that was settled, restarted or ended.
func (w *world) holdChanged(held ledger.Held) {
	key := windowOf(held)
	if w.windows[key] {
		w.after(time.Second, func() { w.wakeWindow(key, nil, 1) })
	}
}

// wakeWindow lets a process settle a window, and another one when it did not answer.
func (w *world) wakeWindow(key window, order *ledger.Order, tries int) {
	one := w.anyone()
	if one == nil {
		w.after(silence, func() { w.wakeWindow(key, order, tries) })
		return
	}
	answered := false
	try := func(one *worker) {
		var state reconcile.WindowState
		var err error
		w.spawn(one.process, func() {
			state, err = one.engine.SettleWindow(w.context, merchantID, key.channel, key.customer, key.consent, order)
		}, func() {
			answered = true
			w.watch.failed(err)
			switch {
			case err != nil && tries > 1:
				w.after(2*time.Second, func() { w.wakeWindow(key, order, tries-1) })
			case state.Open != nil && tries > 1:
				wait := max(2*time.Second, w.workers[0].engine.LastLookUp(*state.Open).Sub(w.now))
				w.after(wait, func() { w.wakeWindow(key, nil, tries-1) })
			}
		})
	}
	try(one)
	if w.random.IntN(10) == 0 {
		w.count(doubledWork)
		if other := w.anyone(); other != nil {
			w.after(time.Duration(w.random.IntN(3000))*time.Millisecond, func() {
				if other.alive {
					try(other)
				}
			})
		}
	}
	w.aside(w.now.Add(time.Minute), func() {
		if !answered && tries > 1 {
			w.wakeWindow(key, order, tries-1)
		}
	})
}

// fullRead is the workflow Backfill of a channel: slices until both sides were read.
func (w *world) fullRead(channel consent.Channel) {
	w.fullReads++
	w.slice(channel)
}

func (w *world) slice(channel consent.Channel) {
	next := func() { w.slice(channel) }
	one := w.anyone()
	if one == nil {
		w.after(silence, next)
		return
	}
	answered := false
	var progress reconcile.FullProgress
	var err error
	w.spawn(one.process, func() {
		progress, err = one.engine.FullRead(w.context, merchantID, channel, func(reconcile.FullProgress) {})
	}, func() {
		answered = true
		w.watch.failed(err)
		switch {
		case errors.Is(err, reconcile.ErrNotRunning):
			w.fullReads--
			w.fullReadCut[channel] = true
		case progress.Done:
			w.fullReads--
		case err != nil:
			w.after(5*time.Second, next)
		default:
			next()
		}
	})
	w.aside(w.now.Add(3*time.Minute), func() {
		if !answered && (!one.alive || one.frozenUntil.After(w.now)) {
			answered = true
			next()
		}
	})
}

// goesOn is what the workflow does when the merchant runs again.
func (w *world) goesOn() {
	for _, channel := range consent.Channels {
		if w.fullReadCut[channel] {
			w.fullReadCut[channel] = false
			w.fullRead(channel)
		}
	}
}

// operate is an operator's act on the ledger; a refusal is no failure of the run.
func (w *world) operate(act func(ctx context.Context) error) {
	if err := act(w.context); err != nil {
		w.watch.failed(err)
	}
	w.memory.forget()
	w.promised = time.Time{}
	w.quiet = 0
	w.arrangeRound(w.now)
}
