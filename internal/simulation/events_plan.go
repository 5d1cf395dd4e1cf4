package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
)

// eventsOneIn is in how many seeds merchants have events: they take several times as long as others.
const eventsOneIn = 10

// eventScenario draws how events are, which some merchants have.
func (r *drawer) eventScenario(s scenario) eventScenario {
	e := eventScenario{
		// Where the zone of Listrak's dates is set wrongly, nobody can tell on which day something happened.
		on:       r.one(eventsOneIn) && s.setZone == s.listZone,
		zone:     pick(r, "America/New_York", "America/New_York", "Europe/London", "Asia/Kolkata", "America/Los_Angeles", "Australia/Sydney"),
		interval: pick(r, 3*time.Minute, 5*time.Minute, 10*time.Minute), pageSize: 1 + r.IntN(5),
		activityDateMoves: r.one(2), summaryCountsPeople: r.one(2), never: map[consent.Sync]bool{},
	}
	if r.one(3) {
		// The shop's midnight lies within the run.
		hours := (24 - s.start.UTC().Hour() - 1 - r.IntN(5) + 24) % 24
		if hours > 12 {
			hours -= 24
		}
		e.zone = fmt.Sprintf("Etc/GMT%+d", -hours) // the sign of these names is the other way round
	}
	if r.one(4) {
		e.never[pick(r, consent.EmailSent, consent.EmailOpened, consent.EmailClicks, consent.SMSSent, consent.SMSClicks)] = true
	}
	return e
}

// withEvents adds what happens with messages to a plan, by draws of its own: everything else stays as it is.
func (p *plan) withEvents(r *drawer) {
	d := &draft{drawer: r, plan: p, sms: &drawer{Rand: rand.New(rand.NewPCG(r.Uint64(), 0xe7e7))}}
	first := d.span(10*time.Second, 20*time.Minute)
	syncs := []consent.Sync{consent.EmailEvents, consent.SMSEvents}
	d.add(first, func(w *world) {
		w.events.switchEvents(true, syncs...)
		var never []consent.Sync
		for kind := range w.scenario.events.never {
			never = append(never, kind)
		}
		if len(never) > 0 {
			w.events.switchEvents(false, never...)
		}
	}, "events are switched on")
	d.events[len(d.events)-1].setUp = true
	if d.one(2) {
		d.campaign(0, -d.span(time.Hour, 20*24*time.Hour))
	}
	for range 1 + int(p.length.Hours()/3) {
		d.campaign(d.span(time.Minute, p.length-time.Hour), 0)
	}
	for n := range 1 + int(p.length.Hours()/4) {
		d.texts(n, consent.SMS, d.span(10*time.Minute, p.length-time.Hour))
	}
	if d.one(2) {
		d.texts(9, consent.Email, d.span(10*time.Minute, p.length-time.Hour))
	}
	if d.one(2) {
		d.cutOff(d.span(20*time.Minute, p.length-time.Hour))
	}
	for range d.IntN(3) {
		d.eventSwitch(d.span(20*time.Minute, p.length-90*time.Minute))
	}
	for range d.IntN(3) {
		d.add(d.span(20*time.Minute, p.length-10*time.Minute), func(w *world) { w.events.twoPasses() }, "two workers carry events at once")
	}
}

// cutOff is a time in which calls to Shopify take effect long after we gave them up, while more happens with the same message.
func (d *draft) cutOff(at time.Duration) {
	seed, chance := d.Uint64(), pick(d.drawer, 0.4, 0.7)
	d.aside(at, func(w *world) { w.store.Faults.Set(seed, fault.Rule{Kind: lateEffect, Chance: chance}) }, "Shopify's answers do not come any more")
	d.aside(at+d.span(time.Minute, 4*time.Minute), func(w *world) { w.store.Faults.Set(seed) }, "Shopify is well again")
	for n := range 8 {
		id, person := fmt.Sprintf("one-by-one-%d", n), d.IntN(d.people)
		at := at + time.Duration(n)*d.span(25*time.Second, 45*time.Second)
		d.add(at, func(w *world) {
			p := &pushedEvent{id: id, kind: "clicked", channel: consent.SMS, address: phoneOf(person), message: "one-by-one", at: w.now.Truncate(time.Second)}
			w.events.pushed = append(w.events.pushed, p)
			w.events.push([]*pushedEvent{p}, nil)
			w.events.arrangePass(w.now.Add(2 * time.Second))
		}, "%s clicks one-by-one", phoneOf(person))
	}
}

// eventSwitch switches a sync or a kind off for a while.
func (d *draft) eventSwitch(at time.Duration) {
	sync := pick(d.drawer, consent.EventSyncs...)
	for_ := d.span(30*time.Second, 40*time.Minute)
	d.add(at, func(w *world) { w.events.switchEvents(false, sync) }, "%s is switched off", sync)
	d.add(at+for_, func(w *world) { w.events.switchEvents(true, sync) }, "%s is switched on", sync)
}

// campaign is a message with what its recipients do; it was sent the span ago, which is before the run.
func (d *draft) campaign(at, ago time.Duration) {
	c := &campaign{kind: pick(d.drawer, list.BulkMessage, list.BulkMessage, list.BulkMessage, list.ConversationMessage, list.TransactionalMessage)}
	if c.kind == list.ConversationMessage {
		c.conversation = 1 + d.IntN(3)
	}
	when := func(w *world, offset time.Duration) time.Time { return w.events.clockAt(ago + offset) }
	var people []int
	for person := range d.people + 3 {
		if !d.one(4) {
			people = append(people, person)
		}
	}
	d.Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
	batches := 1
	if c.kind != list.BulkMessage {
		batches = 3
	}
	sentAfter := map[int]time.Duration{}
	from := time.Duration(0)
	for n := range batches {
		var emails []string
		for i, person := range people {
			if i%batches == n {
				emails = append(emails, addressOf(person))
				sentAfter[person] = from
			}
		}
		span := from
		d.add(at+max(span+ago, 0), func(w *world) { w.events.send(c, when(w, min(span+ago, 0)-ago), emails...) }, "a %s is sent to %d people", c.kind, len(emails))
		from += d.span(time.Minute, 20*time.Minute)
	}
	for _, person := range people {
		for range d.IntN(4) {
			email := addressOf(person)
			act := pick(d.drawer, list.Open, list.Open, list.Open, list.Read, list.Click, list.Click, list.Click, list.Bounce, list.Unsubscribe, list.Abuse)
			if act == list.Read {
				act = list.Open
			}
			span := sentAfter[person] + pick(d.drawer, d.span(time.Second, 5*time.Minute), d.span(time.Minute, time.Hour), d.span(time.Minute, time.Hour))
			if at+ago+span > d.length-10*time.Minute {
				continue
			}
			d.add(at+max(span+ago, 0), func(w *world) { w.events.act(c, email, act, when(w, min(span+ago, 0)-ago)) }, "%s: %s", email, act)
		}
	}
	for range d.IntN(2) {
		d.trouble(at + max(ago, 0) + d.span(time.Second, 20*time.Minute))
	}
}

// clockAt is a moment by Listrak's clock, so long from now.
func (e *events) clockAt(offset time.Duration) time.Time {
	return e.list.Clock().Add(offset).Truncate(time.Millisecond)
}

// texts are messages of another system: their events are pushed, in any order, late, and more than once.
func (d *draft) texts(number int, channel consent.Channel, at time.Duration) {
	message := fmt.Sprintf("sale-%d", number)
	kinds := []string{"sent", "clicked", "clicked", "bounced", "unsubscribed"}
	if channel == consent.Email {
		kinds = []string{"sent", "opened", "opened", "clicked", "bounced", "unsubscribed", "complained"}
	}
	type told struct {
		person int
		kind   string
		ago    time.Duration
		copies []time.Duration
	}
	var all []told
	for person := range d.people {
		kinds := append([]string{"sent"}, kinds[:d.IntN(len(kinds))]...)
		for _, kind := range kinds {
			one := told{person: person, kind: kind, ago: pick(d.drawer, d.span(-3*time.Minute, 10*time.Minute), d.span(0, 40*time.Hour))}
			if d.one(12) {
				one.ago = pushLookBack - d.span(30*time.Minute, 4*time.Hour) // it falls out of the 30 days before the end
			}
			for range 1 + d.IntN(3)/2 {
				one.copies = append(one.copies, pick(d.drawer, d.span(0, 2*time.Minute), d.span(0, 2*time.Minute), d.span(0, 40*time.Minute)))
			}
			all = append(all, one)
		}
	}
	d.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for from, n := 0, 0; from < len(all); from, n = from+8, n+1 {
		part := all[from:min(from+8, len(all))]
		var batch []*pushedEvent
		for i, one := range part {
			p := &pushedEvent{id: fmt.Sprintf("%s-%s-%d", channel, message, from+i), kind: one.kind, channel: channel, message: message}
			p.address = addressOf(one.person)
			if channel == consent.SMS {
				p.address = phoneOf(one.person)
			}
			batch = append(batch, p)
		}
		var malformed []int
		for range d.IntN(3) {
			malformed = append(malformed, d.IntN(70))
		}
		first := at + d.span(0, 5*time.Minute)
		d.add(first, func(w *world) {
			for i, p := range batch {
				p := *p // a plan may be played more than once
				p.at = w.now.Add(-part[i].ago).Truncate(time.Second)
				w.events.pushed = append(w.events.pushed, &p)
				for _, later := range part[i].copies {
					w.after(later, func() { w.events.push([]*pushedEvent{&p}, nil) })
				}
			}
			together := slices.Clone(w.events.pushed[len(w.events.pushed)-len(batch):])
			w.after(part[0].copies[0], func() { w.events.push(together, malformed) })
		}, "%d %s events of %s are pushed, and %d that are wrong", len(batch), channel, message, len(malformed))
	}
}
