package consent

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// model is both sides as they behave, a person who acts on them, and our loop between them. Dates are exact; what may happen: reads
// that come late or in another order, calls of unknown end that take effect late or never, and processes that die before they record
// an end. It has no clock but its own.
type model struct {
	h     *history
	sides [sides]shownBySide
	// acts are what the person did, oldest first.
	acts []person
	// late are calls whose effect is still to come.
	late []lateEffect
	// unsure is until when an attempt whose end was not recorded may take effect.
	unsure [sides]Instant
	// doubt: the person said yes while an unsubscribe of ours could still arrive at Listrak. Nobody can tell that from a no of the
	// person, so it is heard as one (rule 6), and the yes may be lost.
	doubt bool
	// changes counts writes of ours that changed a side.
	changes int
}

type shownBySide struct {
	state State
	date  Instant
}

type lateEffect struct {
	attempt attempt
	state   State
	at      Instant
	// over: the call may override an unsubscribe.
	over bool
}

const tick = 20 * Second

func newModel() *model {
	return &model{h: &history{now: noon}, sides: [sides]shownBySide{{NeverAsked, undated}, {Absent, undated}}}
}

func (m *model) tell(format string, args ...any) {
	fmt.Fprintf(&m.h.story, "%s: "+format+"\n", append([]any{clock(m.h.now)}, args...)...)
}

// act is the person's: it takes effect at once and is dated by the side.
func (m *model) act(side Side, state State) bool {
	if m.sides[side].state == state {
		return false
	}
	date := m.h.now
	if side == Shopify {
		date = date.Seconds()
	}
	m.sides[side] = shownBySide{state, date}
	m.acts = append(m.acts, person{state, date, side})
	m.tell("the person says %s at %s", state, side)
	for _, d := range m.h.rec.Sent[Listrak] {
		m.doubt = m.doubt || state == Subscribed && d.State == Unsubscribed && d.effectiveUntil() >= date
	}
	return true
}

// observe reads a side as it is now.
func (m *model) observe(side Side) {
	shown := m.sides[side]
	m.decide(says(side, shown.state, shown.date).read(m.h.now))
}

func (m *model) decide(r report) {
	rec, judgement := Decide(m.h.rec, r.Report)
	m.h.rec = rec
	m.h.last = judgement
	if !judgement.Changed {
		return
	}
	m.tell("%s shows %s dated %s, read %s → %s\n%s", r.Side, r.State, clock(r.Date), clock(r.ReadBegan), judgement.Verdict, show(&rec))
}

// take lets a side take a write of ours as its contract says: Shopify ignores older dates, Listrak keeps an unsubscribe unless told
// otherwise, and neither moves the date of a state that it shows already.
func (m *model) take(e lateEffect) {
	side := e.attempt.side
	shown := &m.sides[side]
	switch {
	case shown.state == e.state:
	case side == Shopify && shown.date != undated && e.attempt.written < shown.date:
	case side == Listrak && e.state == Subscribed && shown.state == Unsubscribed && !e.over:
	case side == Shopify:
		*shown, m.changes = shownBySide{e.state, e.attempt.written}, m.changes+1
	default:
		*shown, m.changes = shownBySide{e.state, m.h.now}, m.changes+1
	}
	m.tell("our write of %s arrives at %s, which shows %s dated %s now", e.state, side, shown.state, clock(shown.date))
}

// deliver is what a round does for a side that is owed: look (rule 14), claim, write.
func (m *model) deliver(side Side, ending string) {
	m.observe(side)
	rec := &m.h.rec
	if rec.DebtTo(side) != Owed || rec.Seen[side].State == rec.Decision.State ||
		rec.Seen[side].State == Absent && rec.Decision.State == Unsubscribed {
		return
	}
	a := begin(side, m.h.now)
	if side == Shopify {
		date, ok := WriteDate(rec.Decision, rec.Seen[side].Shown, m.h.now, m.h.now)
		if !ok {
			return
		}
		a = a.writing(date)
	}
	effect := lateEffect{attempt: a, state: rec.Decision.State, at: m.h.now, over: rec.OverridesUnsubscribe()}
	m.tell("we %s, which ends %s", a.play(m.h), ending)
	if ending != "well" && ending != "refused by the network" {
		m.unsure[side] = a.started.Plus(callTakes + EffectGrace + Second)
	}
	switch ending {
	case "well", "well, but we die":
		m.take(effect)
		if ending == "well" {
			m.h.rec = Finish(m.h.rec, side, a.started, m.h.now.Plus(Second), Delivered, "")
			m.h.now = m.h.now.Plus(2 * Second)
			m.observe(side)
		}
	case "refused by the network":
		m.h.rec = Finish(m.h.rec, side, a.started, m.h.now.Plus(Second), Failed, "")
	case "unknown, and takes effect later":
		effect.at = m.h.now.Plus(90 * Second)
		m.late = append(m.late, effect)
	}
}

func (m *model) advance() {
	m.h.now = m.h.now.Plus(tick)
	late := m.late
	m.late = nil
	for _, e := range late {
		if e.at <= m.h.now {
			m.take(e)
		} else {
			m.late = append(m.late, e)
		}
	}
}

// newest is the person's last act, when no act of the other side is within the uncertainty of it.
func (m *model) newest() (last person, clear bool) {
	if len(m.acts) == 0 {
		return person{}, true
	}
	last = m.acts[len(m.acts)-1]
	for _, a := range m.acts {
		if a.side != last.side && last.at.Since(a.at) <= 2*Second {
			return last, false
		}
	}
	return last, true
}

// TestBothSidesAgreeOnTheNewest plays I1 to I3 with a person, two sides and our loop. Every act is read before the person's next one,
// as by a webhook, so that what is decided can be known; everything else may be late, lost or doubled.
func TestBothSidesAgreeOnTheNewest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		fail := func(format string, args ...any) {
			t.Fatalf(format+"\n%s", append(args, m.h.story.String())...)
		}
		m.observe(Shopify)
		m.observe(Listrak)
		endings := []string{"well", "well", "well, but we die", "refused by the network", "unknown, and takes effect later", "unknown, without effect"}
		for range rapid.IntRange(1, 30).Draw(t, "ticks") {
			m.advance()
			side := rapid.SampledFrom(Sides[:]).Draw(t, "side")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				state := rapid.SampledFrom([]State{Subscribed, Unsubscribed}).Draw(t, "state")
				open := m.h.rec.OpenUntil(side) != 0 || m.h.now <= m.unsure[side]
				if m.act(side, state) {
					m.observe(side)
					// While an attempt of unknown end may still take effect, a yes may be its late effect (rule 3), or a date that moved
					// (rule 8): nobody can tell, so it does not count here either. A no always counts.
					// Nor does a yes of somebody who keeps undoing our deliveries (I3).
					if open && state == Subscribed && (m.h.last.Verdict == Echo || m.h.last.Verdict == Evidence) ||
						m.h.last.Verdict == WhileContested {
						m.acts = m.acts[:len(m.acts)-1]
					}
				}
			case 2:
				m.observe(side)
			default:
				m.deliver(side, rapid.SampledFrom(endings).Draw(t, "ending"))
			}
			if last, clear := m.newest(); clear && last.state == Unsubscribed && m.h.rec.Decision.State == Subscribed {
				fail("I2: the person said no last, and we decided yes")
			}
		}
		// The person rests, the network is well: within a few rounds everything agrees, and then nothing is written any more.
		for range 20 {
			m.advance()
			m.deliver(Shopify, "well")
			m.deliver(Listrak, "well")
		}
		before := m.changes
		for range 5 {
			m.advance()
			m.deliver(Shopify, "well")
			m.deliver(Listrak, "well")
		}
		if m.changes != before {
			fail("I3: %d writes in a quiet time", m.changes-before)
		}
		for _, side := range Sides {
			debt, shown, want := m.h.rec.DebtTo(side), m.sides[side].state, m.h.rec.Decision.State
			if debt == Contested {
				continue
			}
			if debt != Settled || want != Unseen && shown != want && (shown != Absent || want != Unsubscribed) {
				fail("I1: %s shows %s and is %s, but the decision is %s", side, shown, debt, want)
			}
		}
		if last, clear := m.newest(); clear && m.h.rec.Decision.State != last.state && (last.state == Unsubscribed || !m.doubt) {
			fail("I1: the person said %s last, at %s, but the decision is %s", last.state, last.side, m.h.rec.Decision.State)
		}
	})
}
