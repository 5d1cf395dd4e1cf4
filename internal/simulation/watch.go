package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// watch sees everything: what people did and when, what the processes were shown, and what they wrote. What it finds wrong while a run
// is under way, and what the oracle finds in the end, are violations.
type watch struct {
	world *world
	lives map[string]*life
	// order keeps the addresses in the order in which they were first heard of.
	order []string
	// glimpses are what the call under way shows; it counts only when the answer arrives.
	glimpses []glimpse
	// spans tell by channel and side when each direction was on.
	spans [consent.SMS + 1][2][]span
	// silent is by channel since when nothing may be written to a side any more.
	silent     [consent.SMS + 1][2]time.Time
	violations []Violation
	story      []string
	// decisions, deliveries begun and those that changed a side; people judged in the end, and those of them who were excused.
	decisions, deliveries, effective, judged, excused int
	// judgedPhones and excusedPhones are the phone numbers among those.
	judgedPhones, excusedPhones int
	// lastEffect is when a write of ours last changed a side.
	lastEffect time.Time
	// batches are the opt-outs that the last question of a process for what is owed brought and that it has not got round to.
	batches map[batch]map[string]bool
	// asked is when that question was.
	asked map[batch]time.Time
	// troubles are when a process crashed, was frozen or missed the ledger.
	troubles map[*process][]span
	// provenAt is when the zone was last proven that had not been.
	provenAt time.Time
	// resubscribed is when a person was last turned from no to yes by us.
	resubscribed map[string]time.Time
	subjects     map[consent.Subject]string
	errors       map[string]int
	fights       map[string]*fight
	// approved is how many re-subscriptions operators have approved.
	approved int64
	// freezeAt waits for the next process that is shown an address.
	freezeAt *freezing
	// heldUp are the times at which an answer of a side was held up for long.
	heldUp [2][]time.Time
}

type batch struct {
	process *process
	side    side
	channel consent.Channel
}

// Violation is a rule that did not hold.
type Violation struct {
	// Rule is I1 to I10, or Checkout, Date, Forward, Gone or Off, or of events Totals, Fields, Kinds, Door or Apart, as docs/consent.md names
	// them.
	Rule string `json:"rule"`
	What string `json:"what"`
	// person is the address, of either channel, for whom it did not hold; empty when it is nobody's alone.
	person string
}

// like: the same rule did not hold for the same person.
func (v Violation) like(other Violation) bool {
	return v.Rule == other.Rule && v.person == other.person
}

type span struct{ from, to time.Time }

// act is what a person, an import or a machine did at a side. An address is an email or a phone number, here and everywhere else: each
// is judged by itself, whoever else may have it.
type act struct {
	address string
	side    side
	word    word
	// at is the date of the word, made when it was entered: an import enters old ones. Both in true time.
	at, made time.Time
	// counts: by the rules' text it is a word. Own: the person was there.
	counts, own, machine bool
	// before is what the side showed until then.
	before string
	// moved: it came with a customer who was given this address.
	moved bool
}

// glimpse is what a process was shown of an address.
type glimpse struct {
	address string
	side    side
	state   string
	at      time.Time
	process *process
	// shared: the same customer showed an address of the other channel too. A read that is made for one channel alone, such as the look
	// before a write, decides nothing on the other.
	shared bool
}

// life is everything that concerns an address.
type life struct {
	address string
	channel consent.Channel
	acts    []act
	seen    [2][]glimpse
	writes  []*writeCall
	// strays are writes for somebody else that reached this address, because their customer was given it on the way.
	strays []*writeCall
	// disturbances are deletions, changes of address and merges.
	disturbances []disturbance
	refusedAt    time.Time
	orders       []order
}

type disturbance struct {
	side side
	at   time.Time
	what string
}

// deleted is the disturbance by which a side forgets an address; the others leave it in other hands.
const deleted = "deleted"

type order struct{ at, known time.Time }

// writeCall is a write of ours on its way.
type writeCall struct {
	life    *life
	process *process
	side    side
	word    word
	events  []int
	// look is when the process last looked this address up at this side, before it began.
	look, began, ended time.Time
	// took are the moments at which the side took it, with and without effect.
	took      time.Time
	effective bool
	before    string
	created   bool
	// date is the consent date that was sent to Shopify.
	date time.Time
	// held is the date that Shopify held when it took the write.
	held time.Time
	// unheard: the process did not hear how it ended. Refused: the side will not take it.
	unheard, refused bool
}

func newWatch(w *world) *watch {
	return &watch{world: w, lives: map[string]*life{}, batches: map[batch]map[string]bool{}, asked: map[batch]time.Time{}, troubles: map[*process][]span{},
		resubscribed: map[string]time.Time{}, subjects: map[consent.Subject]string{}, errors: map[string]int{}, fights: map[string]*fight{}}
}

func normal(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

func (o *watch) life(address string) *life {
	address = normal(address)
	l := o.lives[address]
	if l == nil {
		l = &life{address: address, channel: channelOf(address)}
		o.lives[address] = l
		o.order = append(o.order, address)
	}
	return l
}

func (o *watch) tell(format string, args ...any) {
	o.story = append(o.story, fmt.Sprintf("%9.3fs  %s", o.world.since().Seconds(), fmt.Sprintf(format, args...)))
}

// violate takes note of a rule that did not hold for a person, or for nobody in particular.
func (o *watch) violate(rule, person, format string, args ...any) {
	v := Violation{Rule: rule, What: fmt.Sprintf(format, args...), person: person}
	o.tell("VIOLATION of %s: %s", v.Rule, v.What)
	o.violations = append(o.violations, v)
}

// act takes note of a word.
func (o *watch) act(a act) {
	l := o.life(a.address)
	if f := o.fights[l.address]; f != nil && a.own && !f.answering && len(l.acts) > 0 && a.made.Sub(l.acts[len(l.acts)-1].made) > 10*time.Minute {
		f.writes = 0 // by the rules' text the person is heard again after ten minutes in which nobody said anything
	}
	l.acts = append(l.acts, a)
	kind := ""
	switch {
	case a.machine:
		kind = " (a machine)"
	case !a.own:
		kind = " (an import)"
	case !a.counts:
		kind = " (no word: it was so before)"
	}
	o.tell("%s: %s in %s%s, dated %s; it showed %q", l.address, a.word, a.side, kind, o.clock(a.at), a.before)
}

func (o *watch) clock(t time.Time) string {
	return fmt.Sprintf("%.3fs", t.Sub(o.world.began).Seconds())
}

func (o *watch) ordered(address string, at, known time.Time) {
	l := o.life(address)
	l.orders = append(l.orders, order{at, known})
	o.tell("%s: an order", l.address)
}

// brings: a customer who has ordered is given a phone number, for which the orders of before count too.
func (o *watch) brings(email, phone string) {
	l := o.life(phone)
	l.orders = append(l.orders, o.life(email).orders...)
}

func (o *watch) disturbed(address string, where side, what string) {
	l := o.life(address)
	l.disturbances = append(l.disturbances, disturbance{where, o.world.now, what})
	o.tell("%s: %s in %s", l.address, what, where)
}

// inherited is the consent that came to an address with its customer: a no counts, a yes only where nobody had said anything else.
func (o *watch) inherited(address string, now shop.Customer) {
	_, held := heldOn(now, channelOf(address))
	if held.State != shop.Subscribed && held.State != shop.Unsubscribed {
		return
	}
	o.act(act{address: address, side: inShopify, word: wordOf(held.State == shop.Subscribed),
		at: held.UpdatedAt.Add(-o.world.scenario.storeAhead), made: o.world.now, counts: true, moved: true})
}

func (o *watch) refused(address string) { o.life(address).refusedAt = o.world.now }

func (o *watch) switched(sync consent.Sync, on bool) {
	o.tell("%s is switched on: %t", sync, on)
	channel, to := sync.Channel(), sideOf(sync.To())
	if spans := o.spans[channel][to]; on {
		o.spans[channel][to] = append(spans, span{from: o.world.now})
		o.silent[channel][to] = time.Time{}
	} else if len(spans) > 0 && spans[len(spans)-1].to.IsZero() {
		spans[len(spans)-1].to = o.world.now
	}
}

// everOn: a direction of the channel has been on.
func (o *watch) everOn(channel consent.Channel) bool {
	return len(o.spans[channel][inShopify])+len(o.spans[channel][inListrak]) > 0
}

// answeredOff is the answer to an operator that nothing will be written to a side any more.
func (o *watch) answeredOff(sync consent.Sync) {
	o.silent[sync.Channel()][sideOf(sync.To())] = o.world.now
}

func (o *watch) resumed() {
	for channel := range o.spans {
		for to, spans := range o.spans[channel] {
			if len(spans) > 0 && spans[len(spans)-1].to.IsZero() {
				o.silent[channel][to] = time.Time{}
			}
		}
	}
}

// read is what a call shows of an address; it is kept when the answer arrives.
func (o *watch) read(p *process, where side, address, state string) {
	o.glimpses = append(o.glimpses, glimpse{address: normal(address), side: where, state: state, at: o.world.now, process: p})
}

// arrived keeps what an answer has shown.
func (o *watch) arrived(seen []glimpse) {
	for _, g := range seen {
		l := o.life(g.address)
		if !o.everOn(l.channel) {
			continue // a customer who is read for the other channel shows both, and nobody has asked to look at this one
		}
		l.seen[g.side] = append(l.seen[g.side], g)
		o.lookedUp(g.process, g.side, g.address)
		if f := o.freezeAt; f != nil && f.address == g.address && f.side == g.side {
			o.freezeAt = nil
			g.process.froze(f.length)
			g.process.frozenUntil = o.world.now.Add(f.length)
		}
	}
}

// owed notes the opt-outs among what is due, and that none comes after an opt-in (I9).
func (o *watch) owed(p *process, to side, channel consent.Channel, found []ledger.Located) {
	if act := o.world.beforeNextWrite; act != nil && len(found) > 0 {
		o.world.beforeNextWrite = nil
		o.world.after(time.Duration(o.world.random.IntN(300))*time.Millisecond, act)
	}
	waiting := map[string]bool{}
	o.batches[batch{p, to, channel}], o.asked[batch{p, to, channel}] = waiting, o.world.now
	yesBefore := false
	for _, f := range found {
		optOut := f.Record.Decision.State == consent.Unsubscribed
		if optOut {
			waiting[o.addressOf(f.Subject)] = true
		}
		if optOut && yesBefore {
			o.violate("I9", "", "an opt-out stands behind an opt-in in what is owed to %s", to)
		}
		yesBefore = yesBefore || !optOut
	}
}

// addressOf is the address of a subject.
func (o *watch) addressOf(s consent.Subject) string {
	for _, address := range o.order[len(o.subjects):] {
		o.subjects[subjectOf(address)] = address
	}
	return o.subjects[s]
}

// lookedUp: whoever was looked up, or could not be, waits no more.
func (o *watch) lookedUp(p *process, where side, address string) {
	for _, channel := range consent.Channels {
		if waiting := o.batches[batch{p, where, channel}]; address == "" {
			clear(waiting)
		} else {
			delete(waiting, address)
		}
	}
}

// optOutsFirst is I9: no opt-in begins while an opt-out of the same question for what is owed has not been looked at.
func (o *watch) optOutsFirst(p *process, where side, l *life, look time.Time) {
	if look.Before(o.asked[batch{p, where, l.channel}]) {
		return // another task of the process has asked since, for a delivery of its own
	}
	for _, address := range o.order {
		if o.batches[batch{p, where, l.channel}][address] {
			o.violate("I9", l.address, "%s is subscribed in %s while the opt-out of %s waits", l.address, where, address)
			return
		}
	}
}

// writeBegins is a write about to leave.
func (o *watch) writeBegins(p *process, where side, address string, what word) *writeCall {
	l := o.life(address)
	now := o.world.now
	call := &writeCall{life: l, process: p, side: where, word: what, began: now}
	for _, g := range slices.Backward(l.seen[where]) {
		if g.process == p {
			call.look = g.at
			break
		}
	}
	o.deliveries++
	o.tell("%s: %s begins to write %s to %s", l.address, p.name, what, where)
	if call.look.IsZero() || now.Sub(call.look) > 85*time.Second {
		o.violate("I8", l.address, "%s is written to %s without a look-up just before", l.address, where)
	}
	if silent := o.silent[l.channel][where]; !silent.IsZero() && now.After(silent) {
		o.violate("Off", l.address, "%s is written to %s after off was answered", l.address, where)
	}
	for _, other := range l.writes {
		if other.side == where && other.ended.IsZero() && other.process.alive && now.Sub(other.began) < 30*time.Second {
			o.violate("I5", l.address, "%s is written to %s twice at a time", l.address, where)
		}
	}
	if what == yes {
		o.optOutsFirst(p, where, l, call.look)
		o.forwardOnly(call)
	} else {
		delete(o.batches[batch{p, where, l.channel}], l.address)
	}
	l.writes = append(l.writes, call)
	return call
}

// writeEnds is the end of a call for its process.
func (o *watch) writeEnds(call *writeCall, err error) {
	call.ended, call.unheard = o.world.now, err != nil
	o.tell("%s: the write of %s to %s has ended for %s", call.life.address, call.word, call.side, call.process.name)
}

// writeTook is the moment at which a side takes a write.
func (o *watch) writeTook(call *writeCall, address string, effective bool, before string, created bool) {
	call.took, call.before, call.created = o.world.now, before, created
	call.effective = call.effective || effective
	if effective {
		o.effective++
		o.lastEffect = o.world.now
	}
	o.tell("%s: %s takes our %s: effective %t, it showed %q", call.life.address, call.side, call.word, effective, before)
	if effective && normal(address) != call.life.address {
		l := o.life(address)
		l.strays = append(l.strays, call)
	}
	movedSince := slices.ContainsFunc(call.life.disturbances, func(d disturbance) bool { return d.at.After(call.look) })
	if effective && normal(address) != call.life.address && !movedSince {
		o.violate("I8", call.life.address, "a write for %s reached %s", call.life.address, normal(address))
	}
	if effective && call.word == yes {
		o.againstANo(call)
		if before == string(shop.Unsubscribed) || before == string(list.Unsubscribed) {
			o.avalanche(call)
		}
		o.throughThePoint(call)
		o.notErased(call)
	}
	o.dated(call)
	if effective {
		o.world.provoke(call.life.address, call.side, call.word)
	}
}

// avalanche is I10: no more people are resubscribed within 24 hours than the limit and what operators have approved.
func (o *watch) avalanche(call *writeCall) {
	o.resubscribed[call.life.address] = o.world.now
	limit, people := int64(o.world.settings.ResubscribeLimit), int64(0)
	for _, at := range o.resubscribed {
		if o.world.now.Sub(at) < 24*time.Hour-10*time.Minute {
			people++
		}
	}
	if limit > 0 && people > limit+o.approved {
		o.violate("I10", "", "%d people were resubscribed, the limit is %d, and %d were approved", people, limit, o.approved)
	}
}

// againstANo is I2: nobody is subscribed against a newer no that was seen, or had to be looked at, when the call was made.
func (o *watch) againstANo(call *writeCall) {
	l := call.life
	for _, n := range l.acts {
		if n.word != no || !n.counts || n.moved || !n.made.Before(call.began) || o.mayBeLost(l, n) {
			continue
		}
		superseded := slices.ContainsFunc(l.acts, func(a act) bool {
			return a.word == yes && (a.counts || o.unknowable(l, a)) && (a.at.After(n.at) || a.side == n.side && a.made.After(n.made)) && !a.made.After(call.took)
		})
		if superseded {
			continue
		}
		visible := n.side == call.side && !n.made.After(call.look) && !slices.ContainsFunc(l.disturbances, func(d disturbance) bool {
			return d.side == n.side && d.at.After(n.made) && d.at.Before(call.look) // the no went with its customer or contact
		})
		for _, g := range l.seen[n.side] {
			if visible = visible || !g.at.Before(n.made) && call.began.Sub(g.at) >= 15*time.Second && !o.inTrouble(g.process, g.at); visible {
				break
			}
		}
		if visible {
			o.violate("I2", l.address, "%s is subscribed in %s against the no in %s of %s%s", l.address, call.side, n.side, o.clock(n.at), o.record(l))
			return
		}
	}
}

// trouble takes note that a process dies, misses the ledger, or is frozen for a while.
func (o *watch) trouble(p *process, length time.Duration) {
	o.troubles[p] = append(o.troubles[p], span{o.world.now, o.world.now.Add(length)})
}

// inTrouble: what a process saw then may never have reached the ledger, or late.
func (o *watch) inTrouble(p *process, at time.Time) bool {
	return slices.ContainsFunc(o.troubles[p], func(s span) bool {
		return at.After(s.from.Add(-time.Minute)) && at.Before(s.to.Add(time.Minute))
	})
}

// failed takes the error of a round, a window or a full read: none may hold anything about a person (I7).
func (o *watch) failed(err error) {
	if err == nil {
		return
	}
	o.text("an error", err.Error())
	o.errors[err.Error()]++
}

// Write takes what is logged (I7).
func (o *watch) Write(line []byte) (int, error) {
	o.text("a log line", string(line))
	return len(line), nil
}

// text is anything that leaves the ledger's sealed column: it holds no address (I7).
func (o *watch) text(where, text string) {
	if strings.ContainsRune(text, '@') || strings.Contains(strings.ToLower(text), "zebedee") || strings.Contains(text, exchangeCode) {
		o.violate("I7", "", "%s holds an address: %s", where, text)
	}
}

func (o *watch) journal(lines []ledger.Line) {
	for _, line := range lines {
		o.text("the journal", line.Code+" "+line.Ref+" "+string(line.Reason))
		if line.Kind == ledger.Decided {
			o.decisions++
		}
	}
}

func sideOf(s consent.Side) side {
	if s == consent.Shopify {
		return inShopify
	}
	return inListrak
}
