// Package simulation plays hours of a merchant's life in milliseconds: the engine that runs in production, on a ledger in memory,
// between the sandbox's models of Shopify and Listrak, while people change their minds and everything fails that can fail. Nothing
// sleeps, there is no network, and one seed is one history. What people did is known here and nowhere else, so an oracle that shares
// no code with the rules judges what came of it (oracle.go).
package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

const (
	merchantID     = "acme"
	domain         = merchantID + ".myshopify.com"
	listID         = 7
	marketingEvent = 11
	checkoutEvent  = 22
	senderCode     = 5
	smsList        = 51
	smsCheckout    = 52
)

// Kinds of faults beside those of the sandbox.
const (
	ledgerAway     fault.Kind = "ledger_away"
	crash          fault.Kind = "crash"
	freeze         fault.Kind = "freeze"
	twoAtOnce      fault.Kind = "two_at_once"
	lostWindow     fault.Kind = "lost_window"
	doubledWork    fault.Kind = "doubled_work"
	searchLag      fault.Kind = "search_lag"
	clockApart     fault.Kind = "clock_apart"
	zoneWrong      fault.Kind = "zone_wrong"
	leaseRanOut    fault.Kind = "lease_ran_out"
	reorderedOrder fault.Kind = "late_order"
)

// Faults are all kinds of which a run counts how often they struck, in the order in which they are shown.
var Faults = []fault.Kind{
	fault.ServerError, fault.HTMLError, fault.TooManyRequests, fault.Throttled, fault.TimeoutBefore, fault.TimeoutAfter, fault.ErrorAfter,
	lateEffect, fault.Latency, searchLag, ledgerAway, crash, freeze, leaseRanOut, twoAtOnce, doubledWork, lostWindow, reorderedOrder,
	clockApart, zoneWrong, webhookLost, webhookDoubled, webhookLate,
}

// world is one merchant with both sides, a ledger, and the processes that work for it.
type world struct {
	*scheduler
	seed  uint64
	began time.Time
	// end is until when the clock is let run now.
	end      time.Time
	scenario scenario
	context  context.Context

	store *shop.Store
	list  *list.Store
	// code is nil for a merchant without SMS.
	code     *list.SenderCode
	book     *book
	settings merchant.Settings
	// revised counts changes of the settings: accounts of an earlier count are opened anew.
	revised int
	workers []*worker
	hired   int
	temporal
	webhooks
	// events is nil for a merchant without events.
	events *events
	memory memory
	watch  *watch
	faced  map[fault.Kind]int
	// lastChange is when a side last changed in any way.
	lastChange      time.Time
	ledgerAwayUntil time.Time
	// comparison is the engines' Timing.Comparison.
	comparison time.Duration
	// beforeNextWrite is what an operator does when the ledger is next asked for what is owed, and something is.
	beforeNextWrite func()
}

// worker is a process with its engine.
type worker struct {
	*process
	engine  *reconcile.Engine
	keeper  *engagement.Keeper
	account *reconcile.Account
	revised int
}

// scenario is how the world of a seed is made: how the two sides behave where nobody knows, and how far off the clocks are.
type scenario struct {
	start                 time.Time
	listZone, setZone     string
	zoneProven            bool
	lag                   time.Duration
	storeAhead, listAhead time.Duration
	workersAhead          [2]time.Duration
	sameState             list.SameState
	doubleOptIn           bool
	switches              shop.Switches
	slow                  time.Duration
	existingOptOuts       ledger.OptOuts
	// resubscribeLimit is the merchant's setting; zero is the default, which no run of a few people reaches.
	resubscribeLimit int
	sms              smsScenario
	events           eventScenario
	// forgetful: every question goes to the ledger. A test plays it so.
	forgetful bool
	// restless: rounds that could be left out are played, and must find nothing. A test plays it so.
	restless bool
}

// book is a ledger in memory for one run after another.
type book struct {
	*ledger.Ledger
	// now is the clock of the run that has it.
	now func() time.Time
}

// shelf holds the books that no run has: as many as there were runs at once. They are never closed.
var shelf struct {
	sync.Mutex
	books []*book
}

// takeBook opens a book, or takes one from the shelf, with nothing in it but the merchant.
func takeBook(ctx context.Context, now func() time.Time) (*book, error) {
	shelf.Lock()
	var b *book
	if last := len(shelf.books) - 1; last >= 0 {
		b, shelf.books = shelf.books[last], shelf.books[:last]
	}
	shelf.Unlock()
	if b == nil {
		b = &book{now: now}
		var err error
		clock := ledger.WithClock(func() consent.Instant { return consent.InstantOf(b.now()) })
		if b.Ledger, err = ledger.Open(ctx, "sqlite::memory:", clock); err != nil {
			return nil, err
		}
	}
	b.now = now
	if err := b.Empty(ctx); err != nil {
		return nil, err
	}
	row := ledger.Merchant{ID: merchantID, Shop: domain, ListrakURL: merchant.ListrakURL, EmailList: listID, Settings: []byte("{}")}
	return b, b.AddMerchant(ctx, row, nil)
}

func (b *book) putBack() {
	shelf.Lock()
	defer shelf.Unlock()
	shelf.books = append(shelf.books, b)
}

func newWorld(ctx context.Context, seed uint64, s scenario) (*world, error) {
	var err error
	w := &world{
		scheduler: &scheduler{now: s.start, random: rand.New(rand.NewPCG(seed, 0xc0c0))},
		seed:      seed, began: s.start, scenario: s, context: ctx, faced: map[fault.Kind]int{}, comparison: s.sms.comparison,
	}
	w.watch = newWatch(w)
	if w.book, err = takeBook(ctx, func() time.Time { return w.now }); err != nil {
		return nil, fmt.Errorf("prepare the ledger of a simulation: %w", err)
	}
	listZone, err := time.LoadLocation(s.listZone)
	if err != nil {
		return nil, err
	}
	w.store = shop.New(shop.Config{
		Domain: domain, SearchLag: s.lag, Switches: s.switches, Zone: s.events.zone, Now: func() time.Time { return w.now.Add(s.storeAhead) },
	})
	w.list, err = list.New(list.Config{
		ID: listID, ClientID: "integration", Secret: "none", Zone: listZone, ClockSkew: s.listAhead,
		SameState: s.sameState, Now: func() time.Time { return w.now },
		ActivityDateMoves: s.events.activityDateMoves, SummaryCountsPeople: s.events.summaryCountsPeople,
		Events: []list.Event{{ID: marketingEvent, Name: "Marketing"}, {ID: checkoutEvent, Name: "Checkout"}},
	})
	if err != nil {
		return nil, err
	}
	if w.settings, err = merchant.New(domain); err != nil {
		return nil, err
	}
	if s.sms.on {
		if err := w.openSMS(listZone); err != nil {
			return nil, err
		}
	}
	w.settings.EmailList, w.settings.MarketingEvent, w.settings.CheckoutEvent = listID, marketingEvent, checkoutEvent
	w.settings.Zone, w.settings.ZoneProven, w.settings.ResubscribeLimit = s.setZone, s.zoneProven, s.resubscribeLimit
	w.listen()
	if s.events.on {
		if err := w.openEvents(); err != nil {
			return nil, err
		}
	}
	w.hire()
	w.hire()
	if s.lag > 0 {
		w.count(searchLag)
	}
	if s.storeAhead != 0 || s.listAhead != 0 || s.workersAhead != [2]time.Duration{} {
		w.count(clockApart)
	}
	if s.setZone != s.listZone {
		w.count(zoneWrong)
	}
	return w, nil
}

func (w *world) close() {
	for _, worker := range w.workers {
		w.kill(worker.process)
	}
	w.scheduler.close()
	w.book.putBack()
}

// hire starts a worker process.
func (w *world) hire() *worker {
	w.hired++
	p := &process{
		name: fmt.Sprintf("worker %d", w.hired), alive: true, tasks: map[*task]bool{},
		ahead: w.scenario.workersAhead[w.hired%len(w.scenario.workersAhead)],
	}
	p.crashed = func() { w.processEnded(p, crash, 0) }
	p.froze = func(length time.Duration) { w.processEnded(p, freeze, length) }
	one := &worker{process: p}
	timing := reconcile.DefaultTiming()
	// A drain that waits asks the ledger ten times a second, which tells nothing new.
	timing.DrainQuiet = 300 * time.Millisecond
	timing.Comparison = w.comparison
	one.engine = &reconcile.Engine{
		Ledger: w.book.Ledger, Keys: openKeys{}, Timing: timing, Holder: p.name, Machine: w.scheduler,
		Now:        func() time.Time { return w.now.Add(p.ahead) },
		Connect:    func(context.Context, string) (*reconcile.Account, error) { return w.connect(one) },
		ZoneProven: w.zoneProven, ZoneDisproven: w.zoneDisproven,
		Intercept: func(r reconcile.Records) reconcile.Records { return steppingLedger{r, w, p} },
		Log:       slog.New(slog.NewTextHandler(w.watch, nil)),
		HoldChanged: func(_ context.Context, _ string, held ledger.Held) {
			w.holdChanged(held)
		},
		Nudge: func(context.Context, string) { w.nudge() },
	}
	if w.events != nil {
		one.keeper = w.keeperOf(one)
	}
	w.workers = append(w.workers, one)
	return one
}

func (w *world) connect(one *worker) (*reconcile.Account, error) {
	if one.account != nil && one.revised == w.revised {
		one.account.SetZoneProven(w.settings.ZoneProven)
		return one.account, nil
	}
	zone, err := w.settings.Location()
	if err != nil {
		return nil, err
	}
	timeout := one.engine.Timing.CallTimeout
	one.revised = w.revised
	var sms reconcile.SMS
	if w.code != nil {
		sms = newSMSClient(&link{
			world: w, side: inListrak, sms: true, process: one.process, faults: &w.code.Faults, callTimeout: timeout,
		}, w.code, smsList, zone)
	}
	one.account, err = reconcile.NewAccount(w.settings,
		storeClient{&link{world: w, side: inShopify, process: one.process, faults: &w.store.Faults, callTimeout: timeout}, w.store, map[seenAs]string{}},
		&listClient{link: &link{world: w, side: inListrak, process: one.process, faults: &w.list.Faults, callTimeout: timeout}, list: w.list, zone: zone}, sms)
	return one.account, err
}

func (w *world) zoneProven(_ context.Context, settings merchant.Settings) error {
	if settings.Zone == w.settings.Zone && !w.settings.ZoneProven {
		w.settings.ZoneProven = true
		w.watch.provenAt = w.now
	}
	return nil
}

func (w *world) zoneDisproven(_ context.Context, settings merchant.Settings) error {
	if settings.Zone == w.settings.Zone {
		w.settings.ZoneProven = false
	}
	return nil
}

// anyone is a living process at random.
func (w *world) anyone() *worker {
	alive := w.alive()
	if len(alive) == 0 {
		return nil
	}
	return alive[w.random.IntN(len(alive))]
}

func (w *world) alive() []*worker {
	return slices.DeleteFunc(slices.Clone(w.workers), func(one *worker) bool { return !one.alive })
}

// latency is how long a call is on its way in one direction.
func (w *world) latency() time.Duration {
	return w.scenario.slow/2 + time.Duration(w.random.Int64N(int64(w.scenario.slow)))
}

// changed is told that a side shows something else now: the next round shall read it.
func (w *world) changed() {
	w.lastChange = w.now
	w.quiet = 0
	w.arrangeRound(w.grid(w.now))
}

func (w *world) count(kind fault.Kind) { w.faced[kind]++ }

func (w *world) since() time.Duration { return w.now.Sub(w.began) }
