package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// event is one thing that happens to the world from outside. Leaving some out leaves the others as they are, so that a failing
// history can be made shorter.
type event struct {
	at   time.Duration
	what string
	do   func(*world)
	// aside: it does nothing that a round could find.
	aside bool
	// setUp: a life without it is no merchant's. Where nothing was switched on, and so nothing read, everybody's word goes unheard.
	setUp bool
}

// plan is everything that will happen in a run but for the chance within calls.
type plan struct {
	seed     uint64
	scenario scenario
	length   time.Duration
	people   int
	events   []event
}

// starts are moments at which a run may begin; two of them lie before a change of the clocks in New York.
var starts = []time.Time{
	time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC), time.Date(2026, 1, 31, 20, 0, 0, 0, time.UTC),
	time.Date(2026, 11, 1, 3, 30, 0, 0, time.UTC), time.Date(2026, 3, 8, 4, 0, 0, 0, time.UTC),
}

// newPlan draws a whole run from its seed.
func newPlan(seed uint64, length time.Duration) plan {
	r := &drawer{Rand: rand.New(rand.NewPCG(seed, 0xfeed))}
	p := plan{seed: seed, scenario: r.scenario(), length: length, people: 4 + r.IntN(7)}
	// SMS has draws of its own, so that who has none lives as if there were no SMS at all.
	sms := &drawer{Rand: rand.New(rand.NewPCG(seed, 0x0515))}
	p.scenario.sms = sms.smsScenario()
	// Events have too.
	events := &drawer{Rand: rand.New(rand.NewPCG(seed, 0xe7e7))}
	p.scenario.events = events.eventScenario(p.scenario)
	d := &draft{drawer: r, plan: &p, sms: sms}
	d.past(r, addressOf)
	if p.scenario.sms.on {
		d.past(sms, phoneOf)
	}
	d.start()
	if p.scenario.resubscribeLimit > 0 {
		d.comeback(d.span(time.Hour, length-time.Hour))
	}
	if r.one(6) {
		d.fight(d.span(20*time.Minute, length-30*time.Minute))
	}
	if r.one(4) {
		d.staleRead(d.span(20*time.Minute, length-30*time.Minute))
	}
	if r.one(6) {
		d.queue(d.span(15*time.Minute, length-45*time.Minute))
	}
	if r.one(1000) {
		d.crowd(d.span(20*time.Minute, length-time.Hour))
	}
	clusters := 4 + int(length.Hours()*0.8)
	for range clusters {
		d.cluster(10*time.Minute + time.Duration(r.Int64N(int64(length-20*time.Minute))))
	}
	d.operator()
	if p.scenario.events.on {
		p.withEvents(events)
	}
	slices.SortStableFunc(p.events, func(a, b event) int { return int(a.at - b.at) })
	return p
}

// drawer draws from a seed.
type drawer struct{ *rand.Rand }

func (r *drawer) one(in int) bool { return r.IntN(in) == 0 }

func (r *drawer) span(from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)+1))
}

func (r *drawer) word() word { return word(r.IntN(2)) }

func (r *drawer) side() side { return side(r.IntN(2)) }

// pick draws one of the choices.
func pick[T any](r *drawer, choices ...T) T { return choices[r.IntN(len(choices))] }

func (r *drawer) scenario() scenario {
	s := scenario{
		start: pick(r, starts...).Add(r.span(0, 90*time.Minute)), listZone: "America/New_York", setZone: "America/New_York", zoneProven: true,
		sameState: pick(r, list.MovesDates, list.AnswersError, list.KeepsDates), doubleOptIn: r.one(12),
		slow: pick(r, 50*time.Millisecond, 200*time.Millisecond, 2*time.Second),
		switches: shop.Switches{
			SameStateMovesDate: r.one(3), TakeEqualDateWrites: r.one(3), SameStateKeepsUpdatedAt: r.one(3), EmailChangeResetsConsent: r.one(4),
			MergeKeepsNewestConsent: r.one(2), TokenisedEmailSearch: r.one(2),
		},
		existingOptOuts: pick(r, ledger.OptOutsLeave, ledger.OptOutsDeliver),
	}
	switch r.IntN(10) {
	case 0, 1, 2, 3, 4:
		s.lag = r.span(time.Second, 40*time.Second)
	case 5:
		s.lag = r.span(time.Minute, 4*time.Minute)
	}
	if r.one(2) {
		s.listAhead = r.span(-20*time.Second, 20*time.Second)
	}
	if r.one(3) {
		s.storeAhead = r.span(-6*time.Second, 6*time.Second)
	}
	if r.one(2) {
		s.workersAhead = [2]time.Duration{r.span(-3*time.Second, 3*time.Second), r.span(-3*time.Second, 3*time.Second)}
	}
	if r.one(20) {
		s.workersAhead[r.IntN(2)] = pick(r, -time.Hour, time.Hour, 5*time.Hour)
	}
	if r.one(6) {
		s.resubscribeLimit = 1 + r.IntN(2)
	}
	switch r.IntN(12) {
	case 0, 1:
		s.zoneProven = false
	case 2:
		s.zoneProven, s.setZone = false, pick(r, "UTC", "America/Los_Angeles", "Asia/Kolkata", "Europe/Berlin")
	}
	return s
}

// draft is a plan that is being drawn.
type draft struct {
	*drawer
	*plan
	sms *drawer
}

func (d *draft) add(at time.Duration, do func(*world), format string, args ...any) {
	d.events = append(d.events, event{at: max(at, 0), what: fmt.Sprintf(format, args...), do: do})
}

// aside is add for what does nothing that a round could find.
func (d *draft) aside(at time.Duration, do func(*world), format string, args ...any) {
	d.add(at, do, format, args...)
	d.events[len(d.events)-1].aside = true
}

// person is an address of somebody, of either channel.
func (d *draft) person() string {
	person := d.IntN(d.people)
	if d.plan.scenario.sms.on && d.sms.one(2) {
		return phoneOf(person)
	}
	return addressOf(person)
}

// another is an address of the same channel, of the person of that number.
func another(address string, person int) string {
	if channelOf(address) == consent.SMS {
		return phoneOf(person)
	}
	return addressOf(person)
}

// past is what both sides know before anything is switched on.
func (d *draft) past(r *drawer, of func(int) string) {
	for person := range d.people {
		address := of(person)
		ago := func() time.Duration {
			return pick(r, r.span(time.Second, 20*time.Minute), r.span(time.Hour, 1000*time.Hour))
		}
		for _, where := range []side{inShopify, inListrak} {
			words := r.IntN(3)
			moments := make([]time.Duration, words)
			for i := range moments {
				moments[i] = ago()
			}
			slices.Sort(moments)
			slices.Reverse(moments)
			if where == inShopify && words == 0 && r.one(3) {
				d.add(0, func(w *world) {
					// Taken: then the customer exists, which is as good.
					if channelOf(address) == consent.SMS {
						_ = w.signsUp(address, shop.Consent{State: shop.NotSubscribed})
					} else {
						_, _ = w.store.CreateCustomer(shop.NewCustomer{Email: address})
					}
					w.changed()
				}, "%s is a customer in Shopify who was never asked", address)
			}
			for i, before := range moments {
				what := r.word()
				if i == 0 {
					what = yes
				}
				d.add(0, func(w *world) { w.hadSaid(address, where, what, before) }, "%s had said %s in %s %s before", address, what, where, before)
			}
		}
	}
}

// hadSaid is a word from before the run.
func (w *world) hadSaid(address string, where side, what word, before time.Duration) {
	at := w.began.Add(-before)
	if where == inShopify {
		w.saysInShopify(address, what, at, true)
		return
	}
	if channelOf(address) == consent.SMS {
		switch {
		case what == yes:
			w.joins(address, at)
		case before%2 == 0:
			w.leaves(address, at)
		default:
			w.optsOut(address, w.code.Config().StopReason, at)
		}
		return
	}
	contact, _ := w.list.Contact(address)
	var err error
	if what == yes {
		err = w.list.Subscribe(address, at, "")
	} else {
		err = w.list.Unsubscribe(address, at, "")
	}
	if err != nil {
		return
	}
	w.changed()
	w.watch.act(act{address: address, side: inListrak, word: what, at: at, made: w.now, own: true, counts: what == no || contact.State != list.Subscribed, before: string(contact.State)})
}

// start switches the syncs on, in either order or at once.
func (d *draft) start() {
	past := len(d.events)
	defer func() {
		for i := range d.events[past:] {
			d.events[past+i].setUp = true
		}
	}()
	if d.plan.scenario.doubleOptIn {
		d.add(time.Second, func(w *world) {
			if err := w.list.Configure(func(c *list.Config) { c.DoubleOptIn = true }); err != nil {
				panic(err) // only a switch was changed
			}
		}, "Listrak asks newcomers to confirm from now on")
	}
	email, phone := time.Duration(0), time.Duration(0)
	if d.plan.scenario.sms.on {
		// Either channel may be the merchant's first.
		email, phone = pick(d.sms, 0, 0, d.sms.span(0, time.Hour)), pick(d.sms, 0, 0, d.sms.span(0, time.Hour))
	}
	d.startChannel(d.drawer, consent.Email, email)
	if sms := d.plan.scenario.sms; sms.on {
		if sms.doubleOptIn {
			d.add(time.Second, func(w *world) {
				if err := w.code.Configure(func(c *list.SenderCodeConfig) { c.Lists[0].DoubleOptIn = true }); err != nil {
					panic(err) // only a switch was changed
				}
			}, "the phone list asks newcomers to confirm from now on")
		}
		d.startChannel(d.sms, consent.SMS, phone)
	}
}

// startChannel switches the syncs of a channel on.
func (d *draft) startChannel(r *drawer, channel consent.Channel, from time.Duration) {
	both := []consent.Sync{consent.SyncTo(channel, consent.Shopify), consent.SyncTo(channel, consent.Listrak)}
	first := from + r.span(10*time.Second, 2*time.Minute)
	second := first
	if r.one(3) {
		r.Shuffle(2, func(i, j int) { both[i], both[j] = both[j], both[i] })
		second = r.span(first, first+time.Hour)
	}
	d.switches(first, both[0], true)
	d.switches(second, both[1], true)
	read := func(w *world) { w.fullRead(channel) }
	d.add(first, read, "a full read of both sides begins")
	if second != first {
		d.add(second, read, "a full read of both sides begins")
	}
}

// smsScenario draws how SMS is, which one merchant in six has.
func (r *drawer) smsScenario() smsScenario {
	s := smsScenario{
		on: r.one(6), checkoutList: r.one(2), noWindow: r.one(4), optOut: r.one(3), doubleOptIn: r.one(8),
		sameState:  pick(r, list.MovesDates, list.AnswersError, list.KeepsDates),
		optedOut:   pick(r, list.RefusesBanned, list.RefusesSuspended, list.StaysOut, list.OptsIn),
		stopReason: pick(r, list.OptOutCampaign, list.OptOutCampaign, list.OptOutWorkflow),
		spelling:   pick(r, list.PlusDigits, list.OnlyDigits, list.NationalDigits),
		comparison: pick(r, 15*time.Minute, time.Hour, reconcile.DefaultTiming().Comparison),
	}
	for _, one := range []*bool{&s.optOutLeavesLists, &s.startKeepsDates, &s.hidesOptOutDate, &s.onlySubscribed, &s.missing404, &s.lowerStates} {
		*one = r.one(2)
	}
	return s
}

func (d *draft) switches(at time.Duration, sync consent.Sync, on bool) {
	answer := d.plan.scenario.existingOptOuts
	d.add(at, func(w *world) { w.switchSync(sync, on, answer) }, "%s is switched %s", sync, map[bool]string{true: "on", false: "off"}[on])
}

func (w *world) switchSync(sync consent.Sync, on bool, answer ledger.OptOuts) {
	w.operate(func(ctx context.Context) error {
		change := ledger.SyncChange{On: map[consent.Sync]bool{sync: on}}
		if sync.To() == consent.Listrak && on {
			change.ExistingOptOuts = map[consent.Sync]ledger.OptOuts{sync: answer}
		}
		_, err := w.book.SetSyncs(ctx, merchantID, change)
		w.watch.switched(sync, on)
		return err
	})
	if !on {
		w.awaitSilence([]consent.Sync{sync})
	}
}

// awaitSilence does what the activity behind set-syncs and pause does before it answers: it waits until no claim is alive.
func (w *world) awaitSilence(syncs []consent.Sync) {
	switches, err := w.book.Switches(w.context, merchantID)
	if err != nil {
		return
	}
	for _, sync := range syncs {
		if switches.May(sync) {
			continue // switched on again meanwhile
		}
		live, until, err := w.book.LiveClaims(w.context, merchantID, sync)
		if err != nil || live == 0 {
			w.watch.answeredOff(sync)
			continue
		}
		w.at(until.Time(), func() { w.awaitSilence([]consent.Sync{sync}) })
	}
}

// sync is one of the merchant's.
func (d *draft) sync() consent.Sync {
	sync := pick(d.drawer, consent.EmailToShopify, consent.EmailToListrak)
	if d.plan.scenario.sms.on && d.sms.one(2) {
		return consent.SyncTo(consent.SMS, sync.To())
	}
	return sync
}

// operator toggles and pauses.
func (d *draft) operator() {
	for range d.IntN(3) {
		at := d.span(15*time.Minute, d.length-40*time.Minute)
		for_ := d.span(30*time.Second, 50*time.Minute)
		switch d.IntN(3) {
		case 0:
			sync := d.sync()
			d.switches(at, sync, false)
			d.switches(at+for_, sync, true)
		case 1:
			// Off in the very moment in which something is about to be written.
			sync, answer := d.sync(), d.plan.scenario.existingOptOuts
			d.add(at, func(w *world) {
				w.beforeNextWrite = func() {
					w.switchSync(sync, false, answer)
					w.after(for_, func() { w.switchSync(sync, true, answer) })
				}
			}, "%s will be switched off when something is owed next", sync)
			d.story(at)
		default:
			d.pause(at, for_)
		}
		// Somebody acts while it is off.
		d.story(at + for_/2)
	}
	if d.plan.scenario.sms.on && d.sms.one(2) {
		// One channel is not read at all for a while, and goes on changing.
		channel := pick(d.sms, consent.SMS, consent.SMS, consent.Email)
		at := d.sms.span(time.Hour, d.length-2*time.Hour)
		for_ := d.sms.span(5*time.Minute, time.Hour)
		for _, to := range consent.Sides {
			d.switches(at, consent.SyncTo(channel, to), false)
			d.switches(at+for_, consent.SyncTo(channel, to), true)
		}
		of := phoneOf
		if channel == consent.Email {
			of = addressOf
		}
		for range 3 {
			address, where, what := of(d.sms.IntN(d.people)), d.sms.side(), d.sms.word()
			d.add(at+d.sms.span(time.Minute, for_), func(w *world) { w.says(address, where, what) }, "%s says %s in %s", address, what, where)
		}
	}
	if d.plan.scenario.setZone != d.plan.scenario.listZone {
		right := d.plan.scenario.listZone
		d.add(d.span(90*time.Minute, 3*time.Hour), func(w *world) { w.correctZone(right) }, "the operator sets the right zone")
	}
}

// correctZone is what an operator does about a wrong zone: `merchant set --zone`, which unproves it, and `merchant check`.
func (w *world) correctZone(right string) {
	w.settings.Zone, w.settings.ZoneProven = right, false
	w.revised++
	w.operate(func(ctx context.Context) error { _, err := w.book.Heal(ctx, merchantID); return err })
	w.goesOn()
}

// cluster is a time in which much happens: some people act, and mostly something fails.
func (d *draft) cluster(at time.Duration) {
	for range 1 + d.IntN(4) {
		d.story(at + d.span(0, 3*time.Minute))
	}
	if d.plan.scenario.sms.on && d.sms.one(2) {
		d.smsStory(at + d.sms.span(0, 3*time.Minute))
	}
	for range d.IntN(2) {
		d.trouble(at + d.span(-time.Minute, 5*time.Minute))
	}
}

// story is what one person does, or somebody to them.
func (d *draft) story(at time.Duration) {
	address := d.person()
	soon := func() time.Duration {
		return pick(d.drawer, d.span(0, 3*time.Second), d.span(time.Second, time.Minute), d.span(time.Minute, 6*time.Minute))
	}
	says := func(at time.Duration, where side, what word) {
		how := d.IntN(8)
		d.add(at, func(w *world) { w.says(spelling(address, how), where, what) }, "%s says %s in %s", address, what, where)
	}
	kind := d.IntN(20)
	if kind == 12 || kind == 14 {
		// Whose address has changed hands is hard to judge: a few are enough.
		kind = pick(d.drawer, kind, d.IntN(12), d.IntN(12))
	}
	switch kind {
	case 0, 1, 2, 3:
		says(at, d.side(), d.word())
	case 4, 5:
		// A quick change of mind on one side.
		where, what := d.side(), d.word()
		says(at, where, what)
		at += soon()
		says(at, where, 1-what)
		if d.one(2) {
			says(at+soon(), where, what)
		}
	case 6, 7, 8:
		// Both sides within seconds, or minutes.
		where, what := d.side(), d.word()
		says(at, where, what)
		says(at+soon(), where.other(), 1-what)
	case 9, 10, 11:
		// A consent with an order inside, outside, or at the edge of the window.
		says(at, inShopify, yes)
		if !d.one(4) {
			from := pick(d.drawer, -8*time.Minute, -61*time.Second, -60*time.Second, 0, d.span(0, 5*time.Minute), 299*time.Second, 300*time.Second, 302*time.Second,
				d.span(6*time.Minute, 9*time.Minute))
			guest := d.one(4)
			told := d.one(3)
			late := d.span(time.Second, 4*time.Minute)
			d.add(max(at+from, 0), func(w *world) {
				if at := w.now; w.orders(address, at, guest) && told && !guest {
					w.after(late, func() { w.tellWindow(address, at) })
				}
			}, "%s orders", address)
		}
		if d.one(4) {
			says(at+soon(), d.side(), no)
		}
	case 12:
		to := another(address, d.people+d.IntN(d.people))
		if d.one(3) {
			to = another(address, d.IntN(d.people))
		}
		d.add(at, func(w *world) { w.moves(address, to) }, "%s changes the address to %s", address, to)
		if d.one(2) {
			says(at+soon(), d.side(), d.word())
		}
	case 13:
		where := d.side()
		d.add(at, func(w *world) { w.deletes(address, where) }, "%s is deleted in %s", address, where)
		if d.one(2) {
			says(at+d.span(2*time.Minute, 20*time.Minute), d.side(), d.word())
		}
	case 14:
		other := d.person()
		d.add(at, func(w *world) { w.merges(address, other) }, "%s and %s are merged", address, other)
	case 15:
		d.add(at, func(w *world) { w.imports(address) }, "%s is imported into Listrak", address)
		if d.one(2) {
			says(at+soon(), d.side(), no)
		}
	case 16:
		if channelOf(address) == consent.SMS {
			reason := pick(d.sms, list.OptOutDeliveryFailure, list.OptOutPermanentError)
			d.add(at, func(w *world) { w.optsOut(address, reason, time.Time{}) }, "Listrak opts %s out by %s", address, reason)
		} else {
			method := pick(d.drawer, list.MethodBounce, list.MethodHygiene)
			d.add(at, func(w *world) { w.saysInListrak(address, no, method) }, "Listrak unsubscribes %s by %s", address, method)
		}
		if d.one(2) {
			says(at+d.span(time.Minute, 10*time.Minute), inShopify, yes)
		}
	case 17:
		d.add(at, func(w *world) { w.confirms(address) }, "%s confirms", address)
		if d.one(4) {
			d.add(at, func(w *world) { w.bans(address) }, "Listrak suppresses %s", address)
		}
	case 18:
		ago := d.span(time.Hour, 2000*time.Hour)
		d.add(at, func(w *world) { w.saysInShopify(address, yes, w.now.Add(-ago), false) }, "Shopify imports a yes of %s of %s ago", address, ago)
	case 19:
		// Somebody changes their mind once and again while it is carried across.
		where := d.side()
		for n := range 4 {
			says(at, where, word(n%2))
			at += d.span(40*time.Second, 100*time.Second)
			if d.one(2) {
				where = where.other()
			}
		}
	}
}

// smsStory is what happens to phone numbers alone, or to both channels at once.
func (d *draft) smsStory(at time.Duration) {
	r := d.sms
	person := r.IntN(d.people)
	phone := phoneOf(person)
	email := addressOf(pick(r, person, person, r.IntN(d.people)))
	says := func(at time.Duration, where side, what word) {
		d.add(at, func(w *world) { w.says(phone, where, what) }, "%s says %s in %s", phone, what, where)
	}
	soon := func() time.Duration { return pick(r, r.span(0, 20*time.Second), r.span(time.Second, 8*time.Minute)) }
	switch r.IntN(9) {
	case 8:
		// A second no where Listrak shows one already, just after the yes that would take it back.
		says(at, inShopify, no)
		again := at + r.span(3*time.Minute, 10*time.Minute)
		says(again, inShopify, yes)
		// Or between the last poll and the end of the checkout window.
		again += pick(r, r.span(time.Second, time.Minute), r.span(5*time.Minute, 380*time.Second))
		d.add(again, func(w *world) { w.optsOut(phone, w.code.Config().StopReason, time.Time{}) }, "%s replies STOP", phone)
	case 0, 1:
		ticked := pick(r, shop.Ticked{Email: true, SMS: true}, shop.Ticked{Email: true, SMS: true}, shop.Ticked{SMS: true})
		d.add(at, func(w *world) { w.checksOut(email, phone, ticked) }, "%s and %s check out with %+v", email, phone, ticked)
		if r.one(3) {
			says(at+soon(), r.side(), no)
		}
	case 2:
		d.add(at, func(w *world) { w.hands(phone, email) }, "%s goes to the customer of %s", phone, email)
		if r.one(2) {
			says(at+soon(), r.side(), r.word())
		}
	case 3:
		reason := pick(r, list.OptOutDeactivated, list.OptOutImport, list.OptOutAdmin, list.OptOutAPI, list.OptOutWorkflow)
		d.add(at, func(w *world) { w.optsOut(phone, reason, time.Time{}) }, "Listrak opts %s out by %s", phone, reason)
		if r.one(2) {
			says(at+soon(), inShopify, yes)
		}
	case 4:
		reason := pick(r, list.OptOutDeliveryFailure, list.OptOutPermanentError)
		d.add(at, func(w *world) { w.optsOut(phone, reason, time.Time{}) }, "Listrak opts %s out by %s", phone, reason)
		says(at+soon(), inShopify, r.word())
	case 5:
		d.add(at, func(w *world) { w.optsOut(phone, w.code.Config().StopReason, time.Time{}) }, "%s replies STOP", phone)
		d.add(at+soon(), func(w *world) { w.starts(phone) }, "%s replies START", phone)
	case 6:
		d.add(at, func(w *world) { w.leaves(phone, time.Time{}) }, "%s leaves the phone list", phone)
		if r.one(2) {
			says(at+soon(), inShopify, yes)
		}
	case 7:
		// One person, who means each channel by itself.
		what := r.word()
		says(at, inShopify, what)
		d.add(at+soon(), func(w *world) { w.says(email, inShopify, 1-what) }, "%s says %s in Shopify", email, 1-what)
	}
}

// comeback is everybody leaving on one side and coming back within minutes, as when a tool makes a mistake: more than the merchant's
// limit allows. An operator looks at it, and mostly approves.
func (d *draft) comeback(at time.Duration) {
	where := d.side()
	for person := range d.people {
		address := addressOf(person)
		d.add(at+d.span(0, time.Minute), func(w *world) { w.says(address, where, no) }, "%s says no in %s", address, where)
		d.add(at+d.span(10*time.Minute, 12*time.Minute), func(w *world) { w.says(address, where, yes) }, "%s says yes in %s", address, where)
	}
	if !d.one(3) {
		people := 1 + d.IntN(3)
		d.add(at+d.span(15*time.Minute, 40*time.Minute), func(w *world) { w.approve(people) }, "the operator approves %d re-subscriptions", people)
	}
}

// staleRead is a process that freezes with an answer in its hands: somebody changes their mind meanwhile, another process reads that,
// and then the first one wakes.
func (d *draft) staleRead(at time.Duration) {
	address, where, what := d.person(), d.side(), d.word()
	if d.one(2) {
		where, what = inShopify, no
	}
	length := d.span(3*time.Minute, 5*time.Minute)
	d.add(at, func(w *world) {
		w.says(address, where, what)
		w.watch.freezeAt = &freezing{address: address, side: where, length: length}
	}, "%s says %s in %s, and whoever reads it will freeze for %s", address, what, where, length)
	again := at + d.span(70*time.Second, 110*time.Second)
	d.add(again, func(w *world) { w.says(address, where, 1-what) }, "%s says %s in %s", address, 1-what, where)
}

// freezing is a process that will freeze when it is shown an address.
type freezing struct {
	address string
	side    side
	length  time.Duration
}

// queue is everybody deciding while the merchant is paused, so that much is owed at once.
func (d *draft) queue(at time.Duration) {
	where := d.side()
	d.pause(at, 12*time.Minute)
	for person := range d.people {
		address, what := addressOf(person), d.word()
		d.add(at+d.span(time.Minute, 4*time.Minute), func(w *world) { w.says(address, where, what) }, "%s says %s in %s", address, what, where)
	}
}

// pause is `starter merchant pause`, and later resume.
func (d *draft) pause(at, span time.Duration) {
	d.add(at, func(w *world) {
		w.operate(func(ctx context.Context) error { _, err := w.book.Pause(ctx, merchantID); return err })
		w.awaitSilence(w.syncs())
	}, "the merchant is paused")
	d.add(at+span, func(w *world) {
		w.watch.resumed()
		w.operate(func(ctx context.Context) error { _, err := w.book.Resume(ctx, merchantID); return err })
		w.goesOn()
	}, "the merchant is resumed")
}

// tellWindow is the signal to a window that its customer has ordered, late, and now and then twice.
func (w *world) tellWindow(address string, at time.Time) {
	customer, ok := w.customerOf(address)
	if !ok {
		return
	}
	for _, channel := range consent.Channels {
		key := window{channel: channel, customer: string(customer.ID)}
		for one := range w.windows {
			if one.channel == channel && one.customer == key.customer && one.consent > key.consent {
				key = one
			}
		}
		if key.consent == 0 {
			continue
		}
		w.count(reorderedOrder)
		created := consent.InstantOf(at.Add(w.scenario.storeAhead).Truncate(time.Second))
		order := &ledger.Order{
			ID: fmt.Sprintf("gid://shopify/Order/9%d", at.UnixMicro()), Customer: key.customer, CreatedAt: created, Until: created.Plus(15 * consent.Minute),
		}
		w.wakeWindow(key, order, 2)
	}
}

// approve is `starter approve --people`.
func (w *world) approve(people int) {
	w.operate(func(ctx context.Context) error {
		approved, err := w.book.Approve(ctx, merchantID, int64(people))
		w.watch.approved += approved
		w.watch.tell("%d re-subscriptions are approved", approved)
		return err
	})
}

// fight is two applications that each hold one side: what we deliver there is undone, again and again.
func (d *draft) fight(at time.Duration) {
	address, lasts := d.person(), d.span(15*time.Minute, 3*time.Hour)
	holds := [2]word{yes, no}
	if d.one(2) {
		holds = [2]word{no, yes}
	}
	patience := [2]time.Duration{d.span(time.Second, 30*time.Second), d.span(time.Second, 4*time.Minute)}
	d.add(at, func(w *world) {
		w.watch.fights[address] = &fight{holds: holds, patience: patience}
		w.says(address, inShopify, holds[inShopify])
		w.says(address, inListrak, holds[inListrak])
	}, "two applications begin to fight for %s: %s in Shopify after %s, %s in Listrak after %s", address, holds[0], patience[0], holds[1], patience[1])
	d.add(at+lasts, func(w *world) { w.endFight(address) }, "the fight for %s is over", address)
	if d.one(2) {
		d.add(at+lasts+d.span(time.Minute, time.Hour), func(w *world) { w.retry(address) }, "the operator retries %s", address)
	}
}

// fight is an application on each side that sets back what it does not like.
type fight struct {
	holds    [2]word
	patience [2]time.Duration
	over     bool
	// answering: what is being said is said by an application and not by the person.
	answering bool
	// writes counts ours since the fight began, or since the person or an operator gave a reason to begin anew.
	writes int
}

// fightWrites bounds the writes of ours that a fight may take while both sides flip within minutes: three flips within ten minutes, or
// ten in a row, and a last no for each side.
const fightWrites = 14

// provoke lets the application of a side answer a write of ours.
func (w *world) provoke(address string, where side, what word) {
	f := w.watch.fights[address]
	if f == nil || f.over || f.holds[where] == what {
		return
	}
	if f.writes++; f.writes > fightWrites {
		w.watch.violate("I3", address, "%d writes in a fight for %s", f.writes, address)
	}
	w.after(f.patience[where], func() {
		if !f.over {
			f.answering = true
			w.says(address, where, f.holds[where])
			f.answering = false
		}
	})
}

func (w *world) endFight(address string) {
	if f := w.watch.fights[address]; f != nil {
		f.over = true
	}
}

// retry is `starter retry ADDRESS`.
func (w *world) retry(address string) {
	if one := w.anyone(); one != nil {
		subject, channel := subjectOf(address), channelOf(address)
		w.spawn(one.process, func() {
			retried, err := one.engine.Retry(w.context, merchantID, channel, []consent.Subject{subject})
			w.watch.failed(err)
			contested := slices.ContainsFunc(retried, func(r reconcile.Retried) bool { return r.Was == consent.Contested })
			if f := w.watch.fights[address]; f != nil && contested {
				f.writes = 0 // by the rules' text a retry ends what a contest has stopped: the same flips are needed once more
			}
		}, nil)
	}
}

// crowd is an import of thousands.
func (d *draft) crowd(at time.Duration) {
	people, kind := 1000+d.IntN(1000), d.IntN(3)
	what := [...]string{"Listrak imports %d people", "Shopify imports %d people who consent now", "Shopify imports %d people who consented long ago"}[kind]
	d.add(at, func(w *world) {
		for i := range people {
			switch address := addressOf(1_000 + i); kind {
			case 0:
				w.imports(address)
			case 1:
				w.saysInShopify(address, yes, w.now, true)
			default:
				w.saysInShopify(address, yes, w.now.Add(-1000*time.Hour), false)
			}
		}
	}, what, people)
}

// trouble is something that fails for a while.
func (d *draft) trouble(at time.Duration) {
	for_ := d.span(time.Minute, 6*time.Minute)
	switch d.IntN(10) {
	case 0, 1, 2, 3, 4:
		where := d.side()
		seed := d.Uint64()
		kinds := []fault.Kind{fault.ServerError, fault.HTMLError, fault.TooManyRequests, fault.Throttled, fault.TimeoutBefore, fault.TimeoutAfter,
			fault.ErrorAfter, lateEffect, fault.Latency}
		d.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		chance := pick(d.drawer, 0.1, 0.3, 0.6)
		var rules []fault.Rule
		for _, kind := range kinds[:1+d.IntN(3)] {
			rules = append(rules, fault.Rule{Kind: kind, Chance: chance})
		}
		// Listrak's two APIs fail together or alone.
		apis := 0
		if d.plan.scenario.sms.on {
			apis = d.sms.IntN(3)
		}
		set := func(w *world, rules ...fault.Rule) {
			switch {
			case where == inShopify:
				w.store.Faults.Set(seed, rules...)
				return
			case apis < 2:
				w.list.Faults.Set(seed, rules...)
			}
			if w.code != nil && apis > 0 {
				w.code.Faults.Set(seed, rules...)
			}
		}
		d.aside(at, func(w *world) { set(w, rules...) }, "%s begins to fail: %v at %g", where, ruleKinds(rules), chance)
		d.aside(at+for_, func(w *world) { set(w) }, "%s is well again", where)
	case 5, 6:
		steps, after := 1+d.IntN(60), d.IntN(2)
		d.aside(at, func(w *world) {
			if alive := w.alive(); len(alive) > after {
				alive[after].crashIn = steps
			}
		}, "a worker will die after %d steps", steps)
	case 7:
		steps, length, which := 1+d.IntN(60), d.span(20*time.Second, 5*time.Minute), d.IntN(2)
		d.aside(at, func(w *world) {
			if alive := w.alive(); len(alive) > which {
				alive[which].freezeIn, alive[which].freezeFor = steps, length
			}
		}, "a worker will freeze after %d steps for %s", steps, length)
		// Somebody changes their mind meanwhile, so that what it has read is old when it wakes.
		address, where, what := d.person(), d.side(), d.word()
		d.add(at-10*time.Second, func(w *world) { w.says(address, where, what) }, "%s says %s in %s", address, what, where)
		for n := range 3 {
			again := at + d.span(time.Duration(n+1)*20*time.Second, time.Duration(n+1)*50*time.Second)
			now := word(n%2) ^ what ^ 1
			d.add(again, func(w *world) { w.says(address, where, now) }, "%s says %s in %s", address, now, where)
		}
	case 8:
		d.add(at, func(w *world) {
			w.count(twoAtOnce)
			for _, one := range w.alive() {
				engine := one.engine
				w.spawn(one.process, func() { _, err := engine.Round(w.context, merchantID); w.watch.failed(err) }, nil)
			}
		}, "two workers run a round at once")
	case 9:
		d.aside(at, func(w *world) { w.ledgerAwayUntil = w.now.Add(for_ / 3) }, "the ledger is away now and then for %s", for_/3)
	}
}

func ruleKinds(rules []fault.Rule) []fault.Kind {
	kinds := make([]fault.Kind, len(rules))
	for i, rule := range rules {
		kinds[i] = rule.Kind
	}
	return kinds
}
