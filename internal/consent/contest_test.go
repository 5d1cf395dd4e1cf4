package consent

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// flips is a step: two applications undo our deliveries by turns, one that wants a no in Shopify and one that wants a yes in Listrak,
// every so often, until so many flips are seen; the first is Shopify's no. Everything between is delivered and shown.
func flips(start Instant, every Span, n int) step {
	steps := all{known, listrak(Subscribed, start), deliverDated(start.Plus(10*Second), start), shopify(Subscribed, start).read(start.Plus(12 * Second))}
	for i := range n {
		at := start.Plus(Span(i+1) * every)
		if i > 0 {
			steps = append(steps, told(at.Plus(-every)))
		}
		if i%2 == 0 {
			steps = append(steps, shopify(Unsubscribed, at).read(at.Plus(Second)))
		} else {
			steps = append(steps, listrak(Subscribed, at).read(at.Plus(Second)))
		}
	}
	return steps
}

// told is a step: the side that is behind a decision made at decided is told and shows it.
func told(decided Instant) step { return tell{decided.Plus(10 * Second)} }

type tell struct{ at Instant }

func (d tell) play(h *history) string {
	side := h.rec.Decision.Side.Other()
	if side == Shopify {
		return all{deliverDated(d.at, h.rec.Decision.At), shopify(h.rec.Decision.State, h.rec.Decision.At).read(d.at.Plus(2 * Second))}.play(h)
	}
	return all{deliver(Listrak, d.at), listrak(h.rec.Decision.State, d.at).read(d.at.Plus(2 * Second))}.play(h)
}

func TestContest(t *testing.T) {
	t.Parallel()
	// Shopify's no of the third minute is the third flip; Listrak shows our yes of before.
	contested := flips(at(0), Minute, 3)
	// Listrak has been told that no, and its application has undone it in the fourth minute.
	undone := all{contested, told(at(3 * Minute)), listrak(Subscribed, at(4*Minute)).read(at(4*Minute + Second))}
	// The last word was seen at:
	quiet := at(4*Minute + Second)
	testRows(t, []row{
		{"I3: two flips are heard like anybody", []step{flips(at(0), Minute, 2)}, yes(Listrak, at(2*Minute)), Newer, Owed, Settled},
		{"I3: the third flip that is a no is heard, and the other side is told once more", []step{contested},
			no(Shopify, at(3*Minute)), Newer, Settled, Owed},
		{"I3: the third flip that is a yes is not heard: the no of the other side stays, with its own date", []step{
			known, shopify(Subscribed, at(-Hour)), listrak(Subscribed, at(-Hour)), listrak(Unsubscribed, at(0)), told(at(0)),
			shopify(Subscribed, at(Minute)), told(at(Minute)), listrak(Unsubscribed, at(2*Minute)), told(at(2 * Minute)),
			shopify(Subscribed, at(3*Minute))},
			no(Listrak, at(2*Minute)), WhileContested, Owed, Settled},
		{"I3: a side that undoes the last no as well is left alone", []step{undone}, no(Shopify, at(3*Minute)), WhileContested, Settled, Contested},
		{"I3: it stays left alone when it is read again", []step{undone, listrak(Subscribed, at(4*Minute)).read(at(Hour))},
			no(Shopify, at(3*Minute)), NoNews, Settled, Contested},
		{"I3: a side that undoes it at once, so that our no was never read, is left alone too", []step{
			contested, deliver(Listrak, at(190*Second)), listrak(Subscribed, at(190*Second+Millisecond)).read(at(192 * Second))},
			no(Shopify, at(3*Minute)), WhileContested, Settled, Contested},
		{"I3: the last no that does not arrive is tried again", []step{
			contested, begin(Listrak, at(190*Second)), end(Listrak, at(190*Second), Failed), listrak(Subscribed, at(2*Minute)).read(at(4 * Minute))},
			no(Shopify, at(3*Minute)), NoNews, Settled, Owed},
		{"I3: three flips in exactly ten minutes", []step{flips(at(0), 5*Minute, 3)}, no(Shopify, at(15*Minute)), Newer, Settled, Owed},
		{"I3: flips that are slower are heard", []step{flips(at(0), 5*Minute+1, 4)}, yes(Listrak, at(20*Minute+4)), Newer, Owed, Settled},
		{"I3: a flip that is undone by a date that merely moved counts too", []step{
			flips(at(0), Minute, 2), told(at(2 * Minute)), shopify(Unsubscribed, at(3*Minute)), told(at(3 * Minute)),
			listrak(Subscribed, at(4*Minute)).imported()},
			no(Shopify, at(3*Minute)), Evidence, Settled, Contested},

		{"I3: while contested a yes of the other side is not heard either", []step{undone, shopify(Subscribed, at(5*Minute))},
			no(Shopify, at(3*Minute)), WhileContested, Owed, Contested},
		{"I3: while contested a no is heard at once", []step{undone, listrak(Unsubscribed, at(5*Minute))},
			no(Listrak, at(5*Minute)), Newer, Settled, Settled},
		{"I3: a newer no does not go to a side that has undone one", []step{undone, shopify(Unsubscribed, at(5*Minute))},
			no(Shopify, at(5*Minute)), SameSide, Settled, Contested},
		{"I3: a bounce is nobody's flip", []step{flips(at(0), Minute, 2), told(at(2 * Minute)), listrak(Unsubscribed, at(3*Minute)).machine()},
			yes(Listrak, at(2*Minute)), ByMachine, Settled, Refused},

		{"I3: a word after ten quiet minutes ends it: a yes", []step{undone, shopify(Subscribed, quiet.Plus(10*Minute+Second+1))},
			yes(Shopify, quiet.Plus(10*Minute+Second+1)), SameSide, Settled, Settled},
		{"I3: a word after ten quiet minutes ends it: a no is told again", []step{undone, shopify(Unsubscribed, quiet.Plus(10*Minute+Second+1))},
			no(Shopify, quiet.Plus(10*Minute+Second+1)), SameSide, Settled, Owed},
		{"I3: a word that may have come before the ten minutes were over does not", []step{undone, shopify(Subscribed, quiet.Plus(10*Minute+Second))},
			no(Shopify, at(3*Minute)), WhileContested, Owed, Contested},
		{"I3: a word that is read late counts by its date", []step{undone, shopify(Subscribed, quiet.Plus(Minute)).read(at(5 * Hour))},
			no(Shopify, at(3*Minute)), WhileContested, Owed, Contested},
		{"I3: whoever goes on talking is no person who came back", []step{
			undone, shopify(Subscribed, at(8*Minute)), shopify(Subscribed, at(16*Minute)), shopify(Subscribed, at(24*Minute))},
			no(Shopify, at(3*Minute)), WhileContested, Owed, Contested},
		{"I3: a person who comes back to the side that was told our no is heard", []step{
			contested, told(at(3 * Minute)), listrak(Subscribed, at(Hour))},
			yes(Listrak, at(Hour)), Newer, Owed, Settled},

		{"I3: a person who says one thing and then the other on one side undoes nothing", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(10*Second)), listrak(Subscribed, at(10*Second)).read(at(12 * Second)),
			listrak(Unsubscribed, at(Minute)), listrak(Subscribed, at(2*Minute)), listrak(Unsubscribed, at(3*Minute)),
			listrak(Subscribed, at(4*Minute)), listrak(Unsubscribed, at(5*Minute)), listrak(Subscribed, at(6*Minute))},
			yes(Listrak, at(6*Minute)), SameSide, Settled, Settled},
	})
	h := play([]step{known, shopify(NeverAsked, undated), listrak(Subscribed, at(0)), deliverDated(at(Minute), at(0)),
		shopify(Unsubscribed, at(Minute-Second-1)).read(at(Minute + 2*Second))})
	if h.rec.Contest.Row != 0 || h.rec.Decision.State != Unsubscribed {
		t.Errorf("a no that came between our look and our write was taken for a flip\n%s\n%s", h.story.String(), show(&h.rec))
	}
}

// TestSlowContest: what undoes our deliveries too slowly for the ten minutes is stopped by its perseverance, and each contest of a row
// asks for twice the quiet of the one before.
func TestSlowContest(t *testing.T) {
	t.Parallel()
	for every, want := range map[Span]struct{ flips, contests int }{
		// Ten minutes of quiet are over when the eleventh flip comes, and the second contest asks for twenty.
		11 * Minute:   {13, 2},
		Hour:          {17, 4},
		24 * Hour:     {27, 9},
		6 * 24 * Hour: {31, 11},
	} {
		t.Run(every.Duration().String(), func(t *testing.T) {
			t.Parallel()
			h := play([]step{flips(at(0), every, 1)})
			n, now := 1, at(every)
			for ; n < 100; n++ {
				side := h.rec.Decision.Side.Other()
				if h.rec.DebtTo(side) != Owed {
					break
				}
				h.story.WriteString(told(now).play(h) + "\n")
				now = now.Plus(every)
				// The side undoes what it was told.
				state := Subscribed
				if h.rec.Decision.State == Subscribed {
					state = Unsubscribed
				}
				h.story.WriteString(says(side, state, now).read(now.Plus(Second)).play(h) + "\n" + show(&h.rec))
			}
			if n != want.flips || int(h.rec.Contest.Contests) != want.contests || h.rec.Decision.State != Unsubscribed {
				t.Errorf("%d flips and %d contests until it was left alone, want %d and %d\n%s", n, h.rec.Contest.Contests, want.flips, want.contests, h.story.String())
			}
		})
	}
	h := play([]step{flips(at(0), 7*24*Hour+1, 30)})
	if h.rec.Contested() || h.rec.Contest.Row != 1 {
		t.Errorf("somebody who changes their mind once a week for months is contested: %+v", h.rec.Contest)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	left := all{known, listrak(Subscribed, at(-Hour)), shopify(Unsubscribed, at(0))}
	disputed := all{left}
	for i := range Span(MaxTries) {
		disputed = append(disputed, deliver(Listrak, at((2*i+1)*Minute)), listrak(Subscribed, at(-Hour)).read(at((2*i+2)*Minute)))
	}
	refused := all{left, begin(Listrak, at(Minute)), end(Listrak, at(Minute), RefusedForGood)}
	undone := all{flips(at(0), Minute, 3), told(at(3 * Minute)), listrak(Subscribed, at(4*Minute)).read(at(4*Minute + Second))}
	for _, c := range []struct {
		sentence      string
		steps         []step
		before, after Debt
		// again is what the side is owed when the same happens once more.
		then  []step
		again Debt
	}{
		{"what was refused is owed", []step{refused}, Refused, Owed,
			[]step{begin(Listrak, at(Hour)), end(Listrak, at(Hour), RefusedForGood)}, Refused},
		{"what was refused is owed also after the look before the write", []step{refused}, Refused, Owed,
			[]step{listrak(Subscribed, at(-Hour)).read(at(Hour))}, Owed},
		{"what is disputed is owed, and two tries later still", []step{disputed}, Disputed, Owed,
			[]step{deliver(Listrak, at(Hour)), listrak(Subscribed, at(-Hour)).read(at(Hour + Minute)),
				deliver(Listrak, at(2*Hour)), listrak(Subscribed, at(-Hour)).read(at(2*Hour + Minute))}, Owed},
		{"what is disputed is disputed again after three more tries", []step{disputed}, Disputed, Owed,
			[]step{deliver(Listrak, at(Hour)), listrak(Subscribed, at(-Hour)).read(at(Hour + Minute)),
				deliver(Listrak, at(2*Hour)), listrak(Subscribed, at(-Hour)).read(at(2*Hour + Minute)),
				deliver(Listrak, at(3*Hour)), listrak(Subscribed, at(-Hour)).read(at(3*Hour + Minute))}, Disputed},
		{"what is contested is owed, and a yes is heard again", []step{undone}, Contested, Owed,
			[]step{listrak(Subscribed, at(5*Minute))}, Owed},
		{"what is contested and told again is settled", []step{undone}, Contested, Owed,
			[]step{deliver(Listrak, at(Hour)), listrak(Unsubscribed, at(Hour)).read(at(Hour + 2*Second))}, Settled},
		{"whom a bounce unsubscribed is owed the yes of before, also after a read", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(Hour)).machine()}, Refused, Owed,
			[]step{listrak(Unsubscribed, at(Hour)).machine().read(at(2 * Hour))}, Owed},
		{"the next bounce refuses again", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(Hour)).machine()}, Refused, Owed,
			[]step{deliver(Listrak, at(2*Hour)), listrak(Unsubscribed, at(3*Hour)).machine()}, Refused},
		{"what waits for a confirmation is left as it is", []step{
			known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), end(Listrak, at(Minute), AwaitingConfirmation)}, Awaiting, Awaiting, nil, Awaiting},
		{"what is settled is left as it is", []step{known, shopify(Subscribed, at(0)), listrak(Subscribed, at(0))}, Settled, Settled, nil, Settled},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			h := play(c.steps)
			check := func(when string, want Debt) {
				t.Helper()
				if debt := h.rec.DebtTo(Listrak); debt != want {
					t.Errorf("%s: Listrak's debt %s is %s, want %s\n%s", c.sentence, when, debt, want, h.story.String())
				}
			}
			check("before", c.before)
			rec := Retry(h.rec, Listrak)
			if rec.Decision != h.rec.Decision {
				t.Errorf("the decision changed from %+v to %+v", h.rec.Decision, rec.Decision)
			}
			if c.before == c.after && rec != h.rec {
				t.Errorf("the record changed although nothing was to be tried again\n%s%s", show(&h.rec), show(&rec))
			}
			h.rec = rec
			check("after the retry", c.after)
			for _, s := range c.then {
				h.story.WriteString("- " + s.play(h) + "\n" + show(&h.rec))
			}
			check("in the end", c.again)
		})
	}
	h := play([]step{known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(Hour)).machine()})
	if rec := Retry(h.rec, Listrak); !rec.OverridesUnsubscribe() {
		t.Error("rule 14: the retried yes does not override the bounce")
	}
}

// TestRetryDecidesNothing: whatever has happened, a retry leaves nothing refused, disputed or contested and changes neither the decision
// nor what the sides have shown.
func TestRetryDecidesNothing(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, h *history, _ Record, _ report) {
		for _, side := range Sides {
			rec := Retry(h.rec, side)
			switch debt := rec.DebtTo(side); debt {
			case Refused, Disputed, Contested:
				t.Fatalf("%s is %s after a retry\n%s", side, debt, h.story.String())
			}
			for _, s := range Sides {
				if was, is := h.rec.Seen[s], rec.Seen[s]; was.State != is.State || was.Shown != is.Shown || was.Machine != is.Machine {
					t.Fatalf("a retry changed what %s has shown\n%s", s, h.story.String())
				}
			}
			if rec.Decision != h.rec.Decision || rec.Contested() || rec.DebtTo(side.Other()) != h.rec.DebtTo(side.Other()) && !h.rec.Contested() {
				t.Fatalf("a retry for %s changed more than that\n%s\nbecomes\n%s", side, h.story.String(), show(&rec))
			}
		}
	})
}

func TestAContestedPersonHasSaidNo(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, h *history, before Record, r report) {
		if h.rec.Contested() && h.rec.Decision.State != Unsubscribed {
			t.Fatalf("contested, and the decision is %s\n%s", h.rec.Decision.State, h.story.String())
		}
		if h.last.Verdict == WhileContested && (r.State != Subscribed || h.rec.Decision != before.Decision) {
			t.Fatalf("not heard: %s\n%s", r.State, h.story.String())
		}
	})
}

// fighter is a third application that guards one side.
type fighter struct {
	side Side
	// wants is the state that it insists on; Unseen undoes whatever we write.
	wants State
	// waits is how long it takes to act after a change on the side that it watches.
	waits func() Span
	// watches the other side instead of its own: a tool that copies, and dates its copy anew each time.
	watches bool
	// due is when it acts next; zero when it has nothing to do.
	due Instant
}

// changes are the sides on which something has changed since the fighters looked last: by us, or by anybody.
type changes struct{ ours, any [sides]bool }

// fight lets the fighters notice what has changed, and those act that are due.
func (m *model) fight(fighters []*fighter, c *changes) {
	for _, f := range fighters {
		noticed := c.any[f.side]
		switch {
		case f.watches:
			noticed = c.any[f.side.Other()]
		case f.wants == Unseen:
			noticed = c.ours[f.side]
		}
		if noticed && f.due == 0 {
			f.due = m.h.now.Plus(f.waits())
		}
	}
	*c = changes{}
	for _, f := range fighters {
		if f.due == 0 || f.due > m.h.now {
			continue
		}
		f.due = 0
		state, shown := f.wants, &m.sides[f.side]
		if state == Unseen {
			if state = Subscribed; shown.state == Subscribed {
				state = Unsubscribed
			}
		}
		if shown.state == state && !f.watches {
			continue
		}
		date := m.h.now
		if f.side == Shopify {
			date = date.Seconds()
		}
		c.any[f.side] = c.any[f.side] || shown.state != state
		*shown = shownBySide{state, date}
		m.tell("an application sets %s to %s", f.side, state)
	}
}

// TestFightsEnd plays I3: applications on both sides undo our deliveries, at once or after any delay up to days, and perhaps copy from
// the other side; our loop stands between them. Our writes are few, end, never carry a yes against a newer no that we know of, and
// leave everybody unsubscribed if a side is.
func TestFightsEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		m.h.now = noon
		longest := rapid.SampledFrom([]Span{0, Minute, 4 * Minute, 20 * Minute, 3 * Hour, 30 * Hour, 2 * 24 * Hour}).Draw(t, "longest wait")
		wait := func(name string) func() Span {
			return func() Span { return Span(rapid.IntRange(0, 20).Draw(t, name)) * longest / 20 }
		}
		var fighters []*fighter
		for _, side := range Sides {
			fighters = append(fighters, &fighter{
				side: side, wants: rapid.SampledFrom([]State{Subscribed, Unsubscribed, Unseen}).Draw(t, "wants"), waits: wait(side.String()),
			})
		}
		if rapid.IntRange(0, 3).Draw(t, "copies") == 0 {
			side := rapid.SampledFrom(Sides[:]).Draw(t, "copies to")
			fighters = append(fighters, &fighter{side: side, wants: fighters[side].wants, waits: wait("copy"), watches: true})
			if fighters[2].wants == Unseen {
				fighters[2].wants = Unsubscribed
			}
		}
		fail := func(format string, args ...any) {
			t.Fatalf(format+"\n%s", append(args, m.h.story.String())...)
		}
		m.observe(Shopify)
		m.observe(Listrak)
		m.act(rapid.SampledFrom(Sides[:]).Draw(t, "begins at"), rapid.SampledFrom([]State{Subscribed, Unsubscribed}).Draw(t, "begins with"))
		changed := changes{any: [sides]bool{true, true}}
		round := max(Minute, longest/4)
		const rounds = 400
		writes, late, yesWhileContested := 0, 0, 0
		for n := range rounds {
			m.h.now = m.h.now.Plus(round)
			m.fight(fighters, &changed)
			for _, side := range Sides {
				m.observe(side)
			}
			for _, side := range Sides {
				before, rec := m.changes, m.h.rec
				m.deliver(side, "well")
				if m.changes == before {
					continue
				}
				writes++
				if n > rounds*2/3 {
					late++
				}
				changed.ours[side], changed.any[side] = true, true
				if d := m.h.rec.Decision; d.State == Subscribed {
					if rec.Contested() {
						yesWhileContested++
					}
					for _, s := range Sides {
						if seen := rec.Seen[s]; seen.State == Unsubscribed && !seen.Echo && seen.At.Since(d.At) > 2*Second {
							fail("I2: a yes of %s was written against the no of %s at %s", clock(d.At), clock(seen.At), s)
						}
					}
				}
				// At once, before our read.
				m.fight(fighters, &changed)
				m.observe(side)
			}
		}
		if writes > 80 || longest <= 4*Minute && writes > 12 {
			fail("I3: %d effective writes", writes)
		}
		if late > 0 {
			fail("I3: %d writes after all that time", late)
		}
		if yesWhileContested > 0 {
			fail("I3: %d times a yes was written while contested", yesWhileContested)
		}
		rec := &m.h.rec
		if (m.sides[Shopify].state == Unsubscribed || m.sides[Listrak].state == Unsubscribed) && rec.Decision.State != Unsubscribed {
			fail("I3: a side is unsubscribed and the decision is %s", rec.Decision.State)
		}
		for _, side := range Sides {
			if debt := rec.DebtTo(side); debt != Settled && debt != Contested && debt != Disputed {
				fail("I3: %s is %s in the end", side, debt)
			}
		}
	})
}

func ExampleRetry() {
	h := play([]step{known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), end(Listrak, at(Minute), RefusedForGood)})
	fmt.Println(h.rec.DebtTo(Listrak))
	h.rec = Retry(h.rec, Listrak)
	fmt.Println(h.rec.DebtTo(Listrak))
	// Output:
	// refused
	// owed
}
