package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// The oracle judges from what people did, by the rules' text; it knows nothing of how the rules are programmed. Where the world itself
// makes the truth unknowable (a word that our own write overwrote before anybody could read it), it allows both answers, and only there.

// answers is the set of words with which a run may end.
type answers [2]bool

func (a answers) String() string {
	switch a {
	case answers{no: true}:
		return "no"
	case answers{yes: true}:
		return "yes"
	case answers{true, true}:
		return "either"
	}
	return "nothing"
}

const slack = 3 * time.Second

// uncertainty is how far two dates of the two sides may be from the truth together.
func (o *watch) uncertainty(a, b act) time.Duration {
	s := o.world.scenario
	u := o.uncertaintyOfClocks()
	for _, one := range []act{a, b} {
		if one.side != inListrak {
			continue
		}
		if !s.zoneProven && (o.provenAt.IsZero() || one.made.Before(o.provenAt.Add(10*time.Minute))) {
			if s.setZone != s.listZone {
				u += 14 * time.Hour // that the dates are read wrongly comes on top
			}
			return 14*time.Hour + u
		}
		if o.ambiguous(one.at) {
			// It may be read as an hour earlier, and is uncertain by an hour then.
			u += 2 * time.Hour
		}
	}
	for _, one := range []act{a, b} {
		// A clock that was compared by a slow answer alone is known that badly.
		if o.slowAbout(one) {
			u += longest * time.Second
		}
	}
	return u
}

// uncertaintyOfClocks: each side's clock is known by half of what an answer takes, which is one and a half times slow each way at most.
func (o *watch) uncertaintyOfClocks() time.Duration {
	s := o.world.scenario
	return 2*time.Second + s.storeAhead.Abs() + s.listAhead.Abs() + 3*s.slow
}

// surelyUnproven: the last word in Listrak, that was read long before the zone was proven, if it ever was.
func (o *watch) surelyUnproven(l *life, a act) bool {
	s := o.world.scenario
	if a.side != inListrak || s.zoneProven || s.setZone != s.listZone ||
		slices.ContainsFunc(l.acts, func(b act) bool { return b.side == inListrak && b.made.After(a.made) }) {
		return false
	}
	return o.provenAt.IsZero() || slices.ContainsFunc(l.seen[inListrak], func(g glimpse) bool {
		return !g.at.Before(a.made) && g.at.Before(o.provenAt.Add(-time.Minute)) && !o.inTrouble(g.process, g.at)
	})
}

// ahead is how far a side's clock is ahead of the true one.
func (o *watch) ahead(of side) time.Duration {
	if of == inShopify {
		return o.world.scenario.storeAhead
	}
	return o.world.scenario.listAhead
}

// slowAbout: around the time of a word, answers of its side were held up.
func (o *watch) slowAbout(a act) bool {
	return slices.ContainsFunc(o.heldUp[a.side], func(at time.Time) bool {
		return at.After(a.made.Add(-10*time.Minute)) && at.Before(a.made.Add(time.Hour))
	})
}

// ambiguous: the clocks of Listrak's zone showed this time twice.
func (o *watch) ambiguous(at time.Time) bool {
	zone := o.world.list.Config().Zone
	wall := func(t time.Time) string { return t.In(zone).Format("15:04:05") }
	return wall(at) == wall(at.Add(time.Hour)) || wall(at) == wall(at.Add(-time.Hour))
}

// expected is with which word an address may end, and by which of its acts: by one, or by one of several when it is not known whether
// those that count for less than a word have counted.
func (o *watch) expected(l *life) (allowed answers, by []act) {
	var words, doubtful []act
	for _, a := range l.acts {
		switch {
		case a.moved && a.word == yes, !a.counts && o.unknowable(l, a):
			// A yes that came with a customer is no news where somebody had said something, but whether it is known to have come so
			// depends on what was read when.
			doubtful = append(doubtful, a)
		case a.counts:
			words = append(words, a)
		}
	}
	if len(words) == 0 {
		return answers{}, nil
	}
	histories := [][]act{words}
	for _, d := range doubtful {
		histories = append(histories, append(slices.Clone(words), d))
	}
	histories = append(histories, append(slices.Clone(words), doubtful...))
	for _, history := range histories {
		slices.SortStableFunc(history, func(a, b act) int { return a.at.Compare(b.at) })
		answer := o.answer(l, history)
		allowed[no], allowed[yes] = allowed[no] || answer[no], allowed[yes] || answer[yes]
		by = append(by, history[len(history)-1])
	}
	return allowed, by
}

// unknowable: a yes in Listrak that only moved a date, and nobody had read the contact since it was subscribed: whoever reads it then
// sees a subscription with that date.
func (o *watch) unknowable(l *life, a act) bool {
	if a.word != yes || a.side != inListrak || a.counts || a.machine {
		return false
	}
	var subscribed time.Time
	for _, b := range l.acts {
		if b.side == inListrak && b.word == yes && b.made.Before(a.made) && b.before != string(list.Subscribed) {
			subscribed = b.made
		}
	}
	for _, call := range l.writes {
		if call.side == inListrak && call.word == yes && call.effective && call.took.Before(a.made) && call.took.After(subscribed) {
			subscribed = call.took
		}
	}
	return !o.sawBetween(l, inListrak, subscribed, a.made)
}

// answer is with which word an address may end when these are its words, by their dates.
func (o *watch) answer(l *life, words []act) answers {
	last := words[len(words)-1]
	switch {
	case o.mayBeLost(l, last):
		return answers{true, true}
	case last.word == no:
		return answers{no: true}
	}
	return o.answerToYes(l, words, last)
}

// answerToYes compares the last yes with the noes of the other side: within the uncertainty the no wins.
func (o *watch) answerToYes(l *life, words []act, last act) answers {
	allowed := answers{yes: true}
	for _, n := range words {
		if n.word != no || n.side == last.side {
			if n.word == no && n.made.After(last.made) {
				// Entered later with an older date: whether it replaces the yes depends on what was read when.
				allowed[no] = true
			}
			continue
		}
		// As the two sides date them.
		gap, u := last.at.Add(o.ahead(last.side)).Sub(n.at.Add(o.ahead(n.side))), o.uncertainty(n, last)
		if !o.known(l, n.side, n.made) || !o.known(l, last.side, last.made) {
			// First contact: dates may be copies made by another tool.
			u = max(u, 10*time.Minute)
		}
		replaced := slices.ContainsFunc(words, func(a act) bool { return a.word == yes && a.side == n.side && a.made.After(n.made) })
		if gap > u+slack {
			continue
		}
		allowed[no] = true
		least := 2 * time.Second
		if both := later(n.made, last.made); !o.known(l, n.side, both) && !o.known(l, last.side, both) {
			// No record yet.
			least = 10 * time.Minute
		}
		if o.surelyUnproven(l, n) || o.surelyUnproven(l, last) {
			least = 14*time.Hour - o.uncertaintyOfClocks()
		}
		// As the sides show them the dates differ by no more than what no clock can tell: then the no must win, if it could be read at all.
		if shown := o.shown(last).Sub(o.shown(n)); shown <= least && !replaced && !o.mayBeLost(l, n) && n.at == n.made && last.at == last.made {
			allowed[yes] = false
		}
	}
	return allowed
}

// shown is the date of a word as its side shows it.
func (o *watch) shown(a act) time.Time {
	date := a.at.Add(o.ahead(a.side))
	if a.side == inShopify {
		return date.Truncate(time.Second)
	}
	return date
}

// known: the side had shown us this address before.
func (o *watch) known(l *life, where side, before time.Time) bool {
	return slices.ContainsFunc(l.seen[where], func(g glimpse) bool { return g.at.Before(before) })
}

// mayBeLost tells of a word that nobody could ever learn of, or could not tell from a copy of ours.
func (o *watch) mayBeLost(l *life, w act) bool {
	for _, call := range l.writes {
		if call.side != w.side {
			if w.word == yes && w.side == inShopify && call.side == inListrak && call.word == no && call.effective && o.passesForANo(l, call, w) {
				return true
			}
			continue
		}
		if call.word != w.word && call.effective && call.look.Before(w.made) && call.took.After(w.made) {
			return true // overwritten before anybody could read it
		}
		if call.word != w.word || o.shownOtherwise(l, call, w.made) {
			continue
		}
		if w.word == no {
			if o.onItsWay(call, w.made) {
				return true // it cannot be told from our own no, which was on its way
			}
			continue
		}
		// A yes that looks like a copy of ours.
		u := o.uncertainty(w, w)
		if w.side == inListrak && w.made.After(call.began.Add(-u)) && w.made.Before(o.openUntil(call).Add(u+slack)) {
			return true
		}
		if w.side == inShopify && w.at.Add(o.world.scenario.storeAhead).Truncate(time.Second).Equal(call.date.Truncate(time.Second)) {
			return true
		}
	}
	for _, stray := range l.strays {
		// A write by a customer's id finds the customer at the address of then. It was for the same person, under the old address, and no
		// look could have shown the word that the customer had brought along.
		if stray.side == w.side && stray.word != w.word && stray.took.After(w.made) && !o.learnedBetween(l, w.side, w.made, stray.took) {
			return true
		}
	}
	if w.word == yes && o.whileContested(l, w) {
		return true
	}
	for _, d := range l.disturbances {
		if d.side == w.side && d.at.After(w.made) && !o.learnedBetween(l, w.side, w.made, d.at) {
			return true // it went with its customer or contact before anybody could read it
		}
	}
	for _, a := range l.acts {
		// Something else was done to it before anybody could read it.
		if a.side == w.side && (a.word != w.word || !a.own || a.at.Before(w.at)) && a.made.After(w.made) && !o.learnedBetween(l, w.side, w.made, a.made) {
			return true
		}
	}
	if w.word == yes && w.side == inListrak {
		// Somebody who left and came back between two reads: only a date has moved. A read that nobody may have written down is none.
		for _, g := range slices.Backward(l.seen[inListrak]) {
			if !g.at.Before(w.made) {
				continue
			}
			if g.state == string(list.Subscribed) {
				return true
			}
			if !o.inTrouble(g.process, g.at) {
				break
			}
		}
	}
	return false
}

// passesForANo: our own no may have been on its way to Listrak when it was read, or for all that its process knows still be. Then nobody can
// tell it from the person's, which would be newer than the yes.
func (o *watch) passesForANo(l *life, call *writeCall, w act) bool {
	if call.unheard {
		return o.openAt(call, w.made) || w.made.Before(call.took.Add(o.uncertainty(act{side: inListrak, at: call.took, made: call.took}, w)))
	}
	// A read that began before the call had ended may show it later.
	until := call.ended.Add(longest*time.Second + 2*o.world.scenario.slow)
	return o.openAt(call, w.made) && slices.ContainsFunc(l.seen[inListrak], func(g glimpse) bool {
		return !g.at.Before(call.took) && (g.at.Before(call.ended) || g.process != call.process && g.at.Before(until))
	})
}

// shownOtherwise: between a write of ours and a moment the side has shown something else, so that the write explains nothing any more.
func (o *watch) shownOtherwise(l *life, call *writeCall, at time.Time) bool {
	end := call.ended
	if call.unheard {
		end = o.openUntil(call)
	}
	otherwise := [2][2]string{
		inShopify: {no: string(shop.Subscribed), yes: string(shop.Unsubscribed)}, inListrak: {no: string(list.Subscribed), yes: string(list.Unsubscribed)},
	}[call.side][call.word]
	return slices.ContainsFunc(l.seen[call.side], func(g glimpse) bool {
		return g.state == otherwise && g.at.After(end.Add(longest*time.Second)) && g.at.Before(at.Add(-longest*time.Second)) && !o.inTrouble(g.process, g.at)
	})
}

// whileContested: a yes that came while somebody kept undoing our deliveries, or may have. We stop then, and hear none until all have been
// quiet for ten minutes, and twice as long with each contest.
func (o *watch) whileContested(l *life, w act) bool {
	late := 3*interval + o.world.scenario.lag
	flips := o.flips(l, w.made.Add(late))
	contests, since := 0, time.Time{}
	for i := 2; i < len(flips); i++ {
		if flips[i].Sub(flips[i-2]) <= 10*time.Minute+late || i >= 9 {
			contests, since = contests+1, flips[i]
			i++ // that one of these flips begins the next contest too, but not two
		}
	}
	if contests == 0 {
		return false
	}
	for _, a := range l.acts {
		if a.made.Before(w.made) {
			since = later(since, a.made)
		}
	}
	return w.made.Sub(since) <= 10*time.Minute<<min(contests-1, 10)+late+o.uncertainty(w, w)
}

// sawBetween: the side was read for this address in a span.
func (o *watch) sawBetween(l *life, where side, from, to time.Time) bool {
	return slices.ContainsFunc(l.seen[where], func(g glimpse) bool { return !g.at.Before(from) && g.at.Before(to) })
}

// learnedBetween is sawBetween by a process that lived to write it down.
func (o *watch) learnedBetween(l *life, where side, from, to time.Time) bool {
	return slices.ContainsFunc(l.seen[where], func(g glimpse) bool {
		return !g.at.Before(from) && g.at.Before(to) && !o.inTrouble(g.process, g.at)
	})
}

// learnedSince: the side was read for this address since a moment, by a process that lived to write it down.
func (o *watch) learnedSince(l *life, where side, from time.Time) bool {
	return slices.ContainsFunc(l.seen[where], func(g glimpse) bool { return !g.at.Before(from) && !o.inTrouble(g.process, g.at) })
}

// openUntil is until when a write may have taken effect as far as its process can tell.
func (o *watch) openUntil(call *writeCall) time.Time {
	return call.began.Add(20*time.Second + effectGrace)
}

// onItsWay: the write could take effect at a moment, as far as its process could tell afterwards.
func (o *watch) onItsWay(call *writeCall, at time.Time) bool {
	end := call.ended
	if call.unheard || end.IsZero() {
		end = o.openUntil(call)
	}
	u := 2*time.Second + o.world.scenario.listAhead.Abs()
	return at.After(call.began.Add(-u)) && at.Before(end.Add(u))
}

func (o *watch) openAt(call *writeCall, at time.Time) bool {
	return !at.Before(call.began.Add(-slack)) && at.Before(o.openUntil(call).Add(slack)) || at.Before(call.began) && call.began.Sub(at) < 2*time.Minute
}

// judge is the end of a run, when everything is well and nothing moves any more: I1, I4, I6.
func (o *watch) judge() {
	for _, address := range o.order {
		l := o.lives[address]
		entry, lines, err := o.kept(l)
		if err != nil {
			o.violate("I6", l.address, "the ledger cannot tell of %s: %v", l.address, err)
			continue
		}
		o.judgeOne(l, entry)
		o.countWrites(l)
		o.explained(l, entry, lines)
	}
}

// countWrites is I3: writes that change a side are no more than there was reason for.
func (o *watch) countWrites(l *life) {
	for _, where := range []side{inShopify, inListrak} {
		effective, reasons := 0, 1+len(l.acts)+len(l.disturbances)
		for _, call := range l.writes {
			if call.side != where {
				continue
			}
			if call.effective {
				effective++
			}
			if call.took.IsZero() || call.took.After(call.ended) || call.unheard {
				reasons += 2 // nobody knows whether it took effect, or it took effect late: that is mended by another
			}
		}
		if effective > reasons {
			o.violate("I3", l.address, "%d writes changed %s for %s, with %d reasons", effective, where, l.address, reasons)
		}
	}
}

// explained is I6: the ledger tells of every write that it was claimed, and why the decision is what it is.
func (o *watch) explained(l *life, entry ledger.Entry, lines []ledger.Line) {
	claimed, decided := 0, false
	for _, line := range lines {
		if line.Kind == ledger.Claimed {
			claimed++
		}
		decided = decided || line.Kind == ledger.Decided && line.State == entry.Record.Decision.State
	}
	if claimed < len(l.writes) {
		o.violate("I6", l.address, "%s was written %d times, and the journal tells of %d%s", l.address, len(l.writes), claimed, o.record(l))
	}
	if entry.Record.Decision.State.IsDecision() && !decided {
		o.violate("I6", l.address, "%s is %s by the ledger, and the journal does not tell why%s", l.address, entry.Record.Decision.State, o.record(l))
	}
}

func (o *watch) judgeOne(l *life, entry ledger.Entry) {
	allowed, by := o.expected(l)
	if len(by) == 0 {
		return
	}
	last := by[0]
	must := func(what word, where side) bool {
		return !slices.ContainsFunc(by, func(a act) bool { return !o.must(l, &a, what, where) })
	}
	o.judged++
	if allowed == (answers{true, true}) {
		o.excused++
	}
	w := o.world
	shown := [2]string{}
	customer, _ := w.store.Customer(l.address)
	contact, _ := w.list.Contact(l.address)
	shown[inShopify], shown[inListrak] = string(customer.Consent.State), string(contact.State)
	if entry.Record.Contested() {
		// Somebody undoes what we deliver: we stop, with a no, and leave a side alone that undoes that as well.
		if n := len(o.flips(l, o.world.now)); n < 3 {
			o.violate("I3", l.address, "%s is contested, and our deliveries were undone %d times%s", l.address, n, o.record(l))
		}
		return
	}
	for _, where := range []side{inShopify, inListrak} {
		if entry.Record.DebtTo(consent.Sides[where]) == consent.Disputed {
			// Rule 16: somebody has undone it as often as it was tried, and an operator is shown it.
			if tries := o.tries(l, where); tries < 3 {
				o.violate("I1", l.address, "%s is disputed in %s after %d tries%s", l.address, where, tries, o.record(l))
			}
			continue
		}
		is := shown[where]
		subscribed := is == string(shop.Subscribed) || is == string(list.Subscribed)
		if subscribed && !allowed[yes] && must(no, where) {
			o.violate("I1", l.address, "%s shows %s for %s, and the last word is %s in %s of %s%s", where, is, l.address, last.word, last.side, o.clock(last.at), o.record(l))
		}
		if !subscribed && !allowed[no] && must(yes, where) {
			o.violate("I1", l.address, "%s shows %q for %s, and the last word is %s in %s of %s%s", where, is, l.address, last.word, last.side, o.clock(last.at), o.record(l))
		}
	}
}

// tries counts the writes of the last word that we wrote to a side which the side took.
func (o *watch) tries(l *life, where side) int {
	n, last := 0, yes
	for _, call := range l.writes {
		if call.side != where || call.took.IsZero() {
			continue
		}
		if call.word != last {
			n, last = 0, call.word
		}
		n++
	}
	return n
}

// flips are the acts, until a moment, by which somebody undid what we had delivered: the times at which they were first seen.
func (o *watch) flips(l *life, until time.Time) (at []time.Time) {
	for _, a := range l.acts {
		if a.made.After(until) {
			continue
		}
		var last *writeCall
		for _, call := range l.writes {
			// By the clocks, an act of just before may have come just after.
			if call.side == a.side && !call.took.IsZero() && call.began.Add(-o.uncertaintyOfClocks()).Before(a.made) {
				last = call
			}
		}
		if last != nil && last.word != a.word {
			seen := a.made
			if i := slices.IndexFunc(l.seen[a.side], func(g glimpse) bool { return !g.at.Before(a.made) }); i >= 0 {
				seen = l.seen[a.side][i].at
			}
			at = append(at, seen)
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	return at
}

// must tells whether a word has to stand at a side in the end.
func (o *watch) must(l *life, last *act, what word, where side) bool {
	for _, d := range l.disturbances {
		gone := d.side == where && what == yes
		if gone && (d.at.After(last.made.Add(-10*time.Minute-o.uncertainty(*last, *last))) || !o.learnedSince(l, where, d.at)) {
			return false // gone since, or so that nobody looked
		}
	}
	switch {
	case what == yes && where == inListrak && !l.refusedAt.IsZero():
		return false
	case what == yes && where == inListrak && o.world.scenario.doubleOptIn:
		return false // the person has to confirm
	case what == yes && where == inListrak:
		for _, a := range l.acts {
			if a.machine && a.made.After(last.at.Add(-o.uncertainty(a, *last)-slack)) {
				return false // a bounce that may be newer refuses it
			}
		}
	}
	return where == inShopify || o.permitted(last, what)
}

// permitted is rule 11: Listrak is told of what was decided while the direction was on, and of every no since it was first.
func (o *watch) permitted(last *act, what word) bool {
	spans := o.spans[inListrak]
	if len(spans) == 0 {
		return false
	}
	edge := slack + o.world.scenario.storeAhead.Abs()
	if what == no {
		// One that is dated by a zone which nobody has proven may seem to be from before.
		return o.world.scenario.existingOptOuts == "deliver" || last.at.After(spans[0].from.Add(edge+o.uncertainty(*last, *last)))
	}
	for _, s := range spans {
		if last.at.After(s.from.Add(edge)) && (s.to.IsZero() || last.at.Before(s.to.Add(-edge))) {
			return true
		}
	}
	return false
}

// throughThePoint judges the subscription point of a subscription in Listrak.
func (o *watch) throughThePoint(call *writeCall) {
	if call.side != inListrak {
		return
	}
	checkout := slices.Contains(call.events, checkoutEvent)
	l := call.life
	if len(l.disturbances) > 0 {
		return
	}
	ordered := false
	for _, ordering := range l.orders {
		for _, a := range l.acts {
			gap := ordering.at.Sub(a.at)
			ordered = ordered || a.word == yes && a.side == inShopify && gap >= -61*time.Second && gap <= 301*time.Second
		}
	}
	if checkout && !ordered {
		o.violate("Checkout", l.address, "%s is subscribed through checkout without an order in time", l.address)
	}
	// The word that is carried is the last yes that had been read, if there was only one for a while.
	var last *act
	for i := range l.acts {
		if a := &l.acts[i]; a.word == yes && a.counts && a.made.Before(call.look) {
			if last != nil && a.made.Sub(last.made) < 10*time.Minute {
				return
			}
			last = a
		}
	}
	if checkout || last == nil || last.side != inShopify || last.at != last.made {
		return
	}
	edge := 2*time.Second + o.world.scenario.storeAhead.Abs()
	if call.began.Before(last.at.Add(5*time.Minute - edge)) {
		o.violate("Checkout", l.address, "%s is subscribed through marketing %s after the consent", l.address, call.began.Sub(last.at))
	}
	for _, ordering := range l.orders {
		gap := ordering.at.Sub(last.at)
		inTime := gap >= -time.Minute+edge && gap <= 5*time.Minute-edge
		// The last look-up comes a minute after the end and sees what search does not hide any more.
		if inTime && ordering.known.Add(o.world.scenario.lag).Before(last.at.Add(5*time.Minute)) {
			o.violate("Checkout", l.address, "%s is subscribed through marketing in spite of an order %s after the consent", l.address, gap)
		}
	}
}

// forwardOnly is rule 11: Listrak is told of no yes that was given in Shopify while the direction was off.
func (o *watch) forwardOnly(call *writeCall) {
	if call.side != inListrak || len(call.life.disturbances) > 0 {
		return
	}
	for _, a := range call.life.acts {
		if a.word == yes && a.made.Before(call.began) && (a.side == inListrak || o.permittedAbout(&a)) {
			return
		}
	}
	o.violate("Forward", call.life.address, "%s is subscribed in Listrak, and every yes in Shopify was given while the direction was off", call.life.address)
}

// permittedAbout is permitted for a yes, with the edges of the intervals within.
func (o *watch) permittedAbout(a *act) bool {
	edge := slack + o.world.scenario.storeAhead.Abs()
	return slices.ContainsFunc(o.spans[inListrak], func(s span) bool {
		return !a.at.Before(s.from.Add(-edge)) && (s.to.IsZero() || a.at.Before(s.to.Add(edge)))
	})
}

// notErased is rule 13: somebody who was deleted is not created again by a word from before.
func (o *watch) notErased(call *writeCall) {
	if !call.created {
		return
	}
	l := call.life
	for _, d := range l.disturbances {
		if d.side != call.side || d.what != deleted || d.at.After(call.began) {
			continue
		}
		since := slices.ContainsFunc(l.acts, func(a act) bool { return a.made.After(d.at.Add(-10 * time.Minute)) })
		there := slices.ContainsFunc(l.seen[d.side], func(g glimpse) bool { return g.at.Before(d.at) && g.state != nobodyThere })
		word := time.Time{}
		for _, a := range l.acts {
			word = a.made
		}
		seenAfterWord := slices.ContainsFunc(l.seen[d.side], func(g glimpse) bool {
			return g.at.Before(d.at) && g.at.After(word.Add(time.Minute)) && g.state != nobodyThere
		})
		if !since && there && seenAfterWord {
			o.violate("Gone", l.address, "%s was deleted in %s at %s and is created again, though nobody has said anything since", l.address, d.side, o.clock(d.at))
			return
		}
	}
}

// dated is rule 15: the date written to Shopify is that of a word, or a second after the one held there; never simply now.
func (o *watch) dated(call *writeCall) {
	if call.date.IsZero() || !o.world.scenario.zoneProven || len(call.life.disturbances) > 0 {
		return
	}
	latest := call.held.Add(time.Second)
	for _, a := range call.life.acts {
		if a.made.Before(call.began) {
			if a.side == inListrak && (!a.counts || o.ambiguous(a.at)) {
				return // an import is undated, and takes the moment at which it was first seen
			}
			latest = later(latest, o.shown(a))
		}
	}
	for _, ours := range call.life.writes {
		if ours.unheard && ours.side == inListrak && ours.word == no {
			latest = later(latest, ours.took.Add(o.ahead(inListrak))) // heard as a person's no, since it may be one
		}
	}
	if call.date.After(latest.Add(time.Second)) {
		o.violate("Date", call.life.address, "%s is written to Shopify dated %s, and nobody's word is newer than %s%s", call.life.address, o.clock(call.date), o.clock(latest), o.record(call.life))
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// waiting tells of those who are owed something.
func (o *watch) waiting() string {
	text := ""
	for _, address := range o.order {
		if entry, _, err := o.kept(o.lives[address]); err == nil && slices.Contains(entry.Debts[:], consent.Owed) {
			text += "\n  " + address + o.record(o.lives[address])
		}
	}
	return text
}

// record tells what the ledger holds of an address, for a person who reads a violation.
func (o *watch) record(l *life) string {
	entry, lines := o.entry(l)
	text := fmt.Sprintf("\n  owed: Shopify %s, Listrak %s; decision %+v; hold %+v\n", entry.Record.DebtTo(consent.Shopify), entry.Record.DebtTo(consent.Listrak),
		entry.Record.Decision, entry.Record.Hold)
	return text + lines
}
