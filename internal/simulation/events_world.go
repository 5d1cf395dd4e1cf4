package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/list"
)

// eventScenario is how events are in the world of a seed, if the merchant has them at all.
type eventScenario struct {
	on bool
	// zone is that in which the shop counts its days.
	zone string
	// interval is from one pass to the next.
	interval time.Duration
	// pageSize is how many messages or recipients Listrak shows at once.
	pageSize int
	// activityDateMoves and summaryCountsPeople are what Listrak does not publish.
	activityDateMoves, summaryCountsPeople bool
	// never are kinds that are off from beginning to end.
	never map[consent.Sync]bool
}

// events is what happens with messages in a run, and who carries it to Shopify.
type events struct {
	*world
	zone *time.Location
	// set is how operators have left the syncs and kinds; silent, by kind, since when it was answered that it is off.
	set    map[consent.Sync]bool
	silent map[consent.Sync]time.Time
	// setAt is when a sync or kind was last switched.
	setAt map[consent.Sync]time.Time

	campaigns []*campaign
	// played are this run's campaigns by those of the plan, which may be played more than once.
	played map[*campaign]*campaign
	pushed []*pushedEvent
	// pushes counts what came to the door.
	pushes int

	// shift numbers passes given out; underWay: one is.
	shift    int
	underWay bool
	// next is the moment of the next pass that is arranged.
	next time.Time
	// passes can be told to stop.
	passes map[int]context.CancelFunc
	begun  int
	// toldAt is when customers' fields were last about to be written.
	toldAt time.Time
	// settled: the plan has ended, and what is left of it does not happen.
	settled bool
	eventWatch
}

// campaign is a message of Listrak's, and what people did with it.
type campaign struct {
	id           int
	kind         list.MessageKind
	conversation int
	// sent is when each got it, by Listrak's clock; order keeps them in the order of sending.
	sent  map[string]time.Time
	order []string
	acts  []campaignAct
}

type campaignAct struct {
	email string
	kind  list.Act
	at    time.Time
}

// kinds are those of a channel.
func kindsOf(channel consent.Channel) []consent.Sync {
	if channel == consent.SMS {
		return consent.SMSEvents.Kinds()
	}
	return consent.EmailEvents.Kinds()
}

// on reports whether a kind is on, as operators left it.
func (e *events) on(kind consent.Sync) bool {
	sync := consent.EmailEvents
	if slices.Contains(consent.SMSEvents.Kinds(), kind) {
		sync = consent.SMSEvents
	}
	return e.set[sync] && e.set[kind]
}

// openEvents gives the merchant events.
func (w *world) openEvents() error {
	zone, err := time.LoadLocation(w.scenario.events.zone)
	if err != nil {
		return err
	}
	w.events = &events{world: w, zone: zone, set: map[consent.Sync]bool{}, silent: map[consent.Sync]time.Time{}, setAt: map[consent.Sync]time.Time{},
		passes: map[int]context.CancelFunc{}, played: map[*campaign]*campaign{}}
	for _, sync := range consent.EventSyncs {
		w.events.silent[sync] = w.began
		if sync != consent.EmailEvents && sync != consent.SMSEvents {
			w.events.set[sync] = true // a kind is on unless it was switched off
		}
	}
	w.events.eventWatch = newEventWatch()
	return nil
}

// eventTiming is shorter than in production, so that in an hour of peace every message is read as a whole.
func eventTiming(interval time.Duration) engagement.Timing {
	t := engagement.DefaultTiming()
	t.Interval, t.FreshFor, t.RecentEvery, t.RecentFor, t.OldEvery = interval, 20*time.Minute, 10*time.Minute, 3*time.Hour, 30*time.Minute
	return t
}

// keeperOf is what carries events in a process.
func (w *world) keeperOf(one *worker) *engagement.Keeper {
	var account *engagement.Account
	revised := 0
	return &engagement.Keeper{
		Ledger:     eventLedger{steppingLedger{w.book.Ledger, w, one.process}, w.book.Ledger},
		SubjectKey: subjectKey, Timing: eventTiming(w.scenario.events.interval), Holder: one.name, Machine: w.scheduler,
		Now: func() time.Time { return w.now.Add(one.ahead) }, Log: slog.New(slog.NewTextHandler(w.watch, nil)),
		Settings: func(context.Context, string) (merchant.Settings, error) { return w.settings, nil },
		Connect: func(context.Context, string) (engagement.Account, error) {
			if account != nil && revised == w.revised {
				return *account, nil
			}
			zone, err := w.settings.Location()
			if err != nil {
				return engagement.Account{}, err
			}
			timeout := one.engine.Timing.CallTimeout
			revised = w.revised
			account = &engagement.Account{
				Shopify: eventStore{storeClient{&link{world: w, side: inShopify, events: true, process: one.process, faults: &w.store.Faults,
					callTimeout: timeout}, w.store, nil}},
				Listrak: eventList{&listClient{link: &link{world: w, side: inListrak, events: true, process: one.process, faults: &w.list.Faults,
					callTimeout: timeout}, list: w.list, zone: zone}, w.scenario.events.pageSize},
			}
			return *account, nil
		},
	}
}

// arrangePass arranges the next pass, unless one is arranged for earlier.
func (e *events) arrangePass(at time.Time) {
	if !e.next.IsZero() && !e.next.After(at) {
		return
	}
	e.next = at
	e.aside(at, func() {
		if e.next.Equal(at) {
			e.next = time.Time{}
			e.givePass()
		}
	})
}

// givePass is the workflow's part of a pass: one process at a time does it, and another one when that is silent.
func (e *events) givePass() {
	if e.underWay {
		return // it arranges the next one when it ends
	}
	one := e.anyone()
	if one == nil {
		e.arrangePass(e.now.Add(silence))
		return
	}
	e.shift++
	shift := e.shift
	e.underWay = true
	e.pass(one, func(pass engagement.Pass, err error) {
		if shift != e.shift {
			return
		}
		e.underWay = false
		next := e.now.Add(e.scenario.events.interval)
		if pass.More {
			next = e.now.Add(time.Second)
		}
		e.arrangePass(next)
	})
	e.lookAfterPass(shift, one)
}

// lookAfterPass gives a pass to another process when the one that has it is silent.
func (e *events) lookAfterPass(shift int, one *worker) {
	e.aside(e.now.Add(silence), func() {
		switch {
		case shift != e.shift || !e.underWay:
		case !one.alive || one.frozenUntil.After(e.now):
			e.underWay = false
			e.givePass()
		default:
			e.lookAfterPass(shift, one)
		}
	})
}

// pass is the activity: it ends early when a switch has changed.
func (e *events) pass(one *worker, then func(engagement.Pass, error)) {
	e.begun++
	number := e.begun
	ctx, cancel := context.WithCancel(e.context)
	e.passes[number] = cancel
	var pass engagement.Pass
	var err error
	e.spawn(one.process, func() { pass, err = one.keeper.Pass(ctx, merchantID) }, func() {
		cancel()
		delete(e.passes, number)
		if errors.Is(err, engagement.ErrBusy) {
			e.count(leaseRanOut)
		}
		e.watch.failed(err)
		then(pass, err)
	})
}

// twoPasses lets every living worker carry events at the same moment.
func (e *events) twoPasses() {
	e.count(twoAtOnce)
	for _, one := range e.alive() {
		e.pass(one, func(engagement.Pass, error) {})
	}
}

// switchEvents switches syncs or kinds of events, as set-syncs does: passes that are at work stop within a second, and off is answered when none
// is left that began before.
func (e *events) switchEvents(on bool, syncs ...consent.Sync) {
	delta := map[consent.Sync]bool{}
	for _, sync := range syncs {
		delta[sync] = on && !e.scenario.events.never[sync]
	}
	e.operate(func(ctx context.Context) error {
		if _, err := e.book.SetSyncs(ctx, merchantID, ledger.SyncChange{On: delta}); err != nil {
			return err
		}
		for sync, on := range delta {
			if e.set[sync] != on {
				e.setAt[sync] = e.now
			}
			e.set[sync] = on
		}
		for _, kind := range append(kindsOf(consent.Email), kindsOf(consent.SMS)...) {
			if e.on(kind) {
				delete(e.silent, kind)
			}
		}
		return nil
	})
	e.stopPasses()
	if !on || len(e.scenario.events.never) > 0 {
		e.awaitPasses()
	}
	e.arrangePass(e.now.Add(time.Second))
}

// stopPasses lets passes notice that something was switched.
func (e *events) stopPasses() {
	for _, number := range slices.Sorted(maps.Keys(e.passes)) {
		e.aside(e.now.Add(time.Duration(e.random.IntN(1000))*time.Millisecond), func() {
			if cancel := e.passes[number]; cancel != nil {
				cancel()
			}
		})
	}
}

// awaitPasses waits until no pass is at work that began before, and answers.
func (e *events) awaitPasses() {
	lease, free, err := e.book.AcquireRun(e.context, merchantID, engagement.Run, "switches", time.Second)
	if err == nil && free {
		err = e.book.ReleaseRun(e.context, lease)
	}
	if err != nil || !free {
		e.aside(e.now.Add(500*time.Millisecond), e.awaitPasses)
		return
	}
	for _, kind := range append(kindsOf(consent.Email), kindsOf(consent.SMS)...) {
		if _, known := e.silent[kind]; !known && !e.on(kind) {
			e.silent[kind] = e.now
		}
	}
}

// send sends a message to people, or to more people.
func (e *events) send(planned *campaign, at time.Time, emails ...string) *campaign {
	c := e.played[planned]
	if c == nil {
		c = &campaign{kind: planned.kind, conversation: planned.conversation}
		e.played[planned] = c
		id, err := e.list.CreateMessage(list.NewMessage{Kind: c.kind, Conversation: c.conversation, Subject: fmt.Sprintf("Campaign %d", len(e.campaigns)+1), At: at})
		if err != nil {
			panic(err) // plans make no others
		}
		c.id, c.sent = id, map[string]time.Time{}
		e.campaigns = append(e.campaigns, c)
	}
	for _, email := range emails {
		if _, has := c.sent[email]; has {
			continue
		}
		if err := e.list.Send(c.id, at, email); err != nil {
			panic(err)
		}
		c.sent[email] = at
		c.order = append(c.order, email)
	}
	return c
}

// act lets a recipient do something with a message.
func (e *events) act(planned *campaign, email string, kind list.Act, at time.Time) {
	c := e.played[planned]
	if c == nil || e.list.Act(c.id, email, kind, at) != nil {
		return // it was not sent to them: a shortened history has left that out
	}
	c.acts = append(c.acts, campaignAct{email, kind, at})
	if kind == list.Unsubscribe && at.After(e.began) {
		e.says(email, inListrak, no)
	}
}

// pushedEvent is an event that somebody tells us of.
type pushedEvent struct {
	id, kind, address, message string
	channel                    consent.Channel
	at                         time.Time
	// taken: it was given while its kind was on, and acknowledged. Unsure: nobody can tell whether it was.
	taken, unsure bool
}

// pushLookBack is how old an event may be.
const pushLookBack = 30 * 24 * time.Hour

// sync is the kind of switch that a pushed event is under.
func (p *pushedEvent) sync() consent.Sync {
	switch sms := p.channel == consent.SMS; {
	case sms && p.kind == "clicked":
		return consent.SMSClicks
	case sms:
		return consent.SMSSent
	case p.kind == "opened":
		return consent.EmailOpened
	case p.kind == "clicked":
		return consent.EmailClicks
	default:
		return consent.EmailSent
	}
}

func (p *pushedEvent) json() json.RawMessage {
	text, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": p.id, "source": "sender", "type": "com.example." + map[consent.Channel]string{consent.Email: "email.", consent.SMS: "sms."}[p.channel] + p.kind,
		"time": p.at.Format(time.RFC3339Nano), "data": map[string]any{"address": p.address, "message": p.message},
	})
	if err != nil {
		panic(err)
	}
	return text
}

// malformed are events that can never be taken in; each names somebody.
func (e *events) malformed(n int) json.RawMessage {
	p := &pushedEvent{id: "malformed", kind: "sent", channel: consent.SMS, address: phoneOf(n), message: "broken", at: e.now.Add(-time.Minute)}
	switch n % 7 {
	case 0:
		p.id = ""
	case 1:
		p.kind = "read"
	case 2:
		p.at = e.now.Add(time.Hour)
	case 3:
		p.at = e.now.Add(-pushLookBack - time.Hour)
	case 4:
		p.address = "zebedee at home"
	case 5:
		p.message = "a message with spaces"
	default:
		return json.RawMessage(`{"specversion":"0.3","id":"zebedee@example.com","data":7}`)
	}
	return p.json()
}

// push lets a batch of events come to the door, and again until it is acknowledged.
func (e *events) push(batch []*pushedEvent, malformed []int) {
	one := e.anyone()
	if one == nil {
		e.after(20*time.Second, func() { e.push(batch, malformed) })
		return
	}
	var items []json.RawMessage
	for _, p := range batch {
		items = append(items, p.json())
	}
	for _, n := range malformed {
		at := n % (len(items) + 1)
		items = slices.Insert(items, at, e.malformed(n))
	}
	body, err := json.Marshal(items)
	if err != nil {
		panic(err)
	}
	e.pushes++
	before, err := e.book.Switches(e.context, merchantID)
	e.watch.failed(err)
	began, done := e.now, false
	again := func() {
		if !done {
			done = true
			e.mayHaveTaken(batch)
			e.after(time.Duration(20+e.random.IntN(100))*time.Second, func() { e.push(batch, malformed) })
		}
	}
	var report engagement.Report
	e.spawn(one.process, func() {
		e.pushBegan[e.current] = began
		report, err = one.keeper.Push(e.context, merchantID, body)
		delete(e.pushBegan, e.current)
	}, func() {
		e.watch.failed(err)
		if err != nil {
			again()
		} else {
			e.acknowledged(batch, malformed, report, began, before)
			done = true
		}
	})
	e.after(2*time.Minute, again)
}

// settle lets what was sent and done arrive in Shopify when everything is well, and judges it. Then one more campaign moves nothing of consent.
func (e *events) settle() {
	e.settled = true
	e.tellAgain()
	e.runUntil(e.now.Add(80*time.Minute + 2*e.scenario.events.interval))
	e.judge()
	decisions, deliveries := e.watch.decisions, e.watch.deliveries
	planned := &campaign{kind: list.BulkMessage}
	var everybody []string
	for _, address := range e.watch.order {
		if strings.Contains(address, "@") { // no phone number, and none of Listrak's keys by which somebody was looked up
			everybody = append(everybody, address)
		}
	}
	last := e.send(planned, e.list.Clock(), everybody[:min(len(everybody), 20)]...)
	for n, email := range last.order {
		e.act(planned, email, [...]list.Act{list.Open, list.Click}[n%2], e.list.Clock())
	}
	e.runUntil(e.now.Add(2*e.scenario.events.interval + 12*time.Minute))
	e.judge()
	if e.watch.decisions != decisions || e.watch.deliveries != deliveries {
		e.watch.violate("Apart", "", "a message was sent, opened and clicked, and that led to %d decisions and %d deliveries of consent",
			e.watch.decisions-decisions, e.watch.deliveries-deliveries)
	}
}

// settling reports whether settle has begun; never for a merchant without events.
func (e *events) settling() bool { return e != nil && e.settled }

// calm ends all trouble of events, and switches everything on that may be.
func (e *events) calm() {
	e.switchEvents(true, consent.EventSyncs...)
	e.arrangePass(e.now)
}

// tellAgain tells everything once more that was ever pushed: what was given while its kind was off, or lost, arrives now.
func (e *events) tellAgain() {
	for batch := range slices.Chunk(e.pushed, 25) {
		e.push(batch, nil)
	}
}

func (e *events) shown(message int, began time.Time, rows []listrak.Activity) {
	e.pages[e.current] = page{message, began, rows}
}

// justTold: while customers' fields are written, and for as long as Shopify's search may hide that, polls of consent reach back less far, so
// that one of them does not stand for the next.
func (e *events) justTold(at time.Time) bool {
	return !e.toldAt.IsZero() && at.Before(e.toldAt.Add(e.workers[0].engine.Timing.SearchLag+foundAgain))
}
