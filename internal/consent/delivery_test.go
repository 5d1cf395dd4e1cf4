package consent

import (
	"testing"
)

func TestDeliveryAndDebt(t *testing.T) {
	t.Parallel()
	// A yes in Shopify that Listrak does not know yet.
	owed := all{known, shopify(Subscribed, at(0))}
	// A no in Listrak against an older yes in Shopify.
	left := all{known, shopify(Subscribed, at(-Hour)), listrak(Unsubscribed, at(0))}
	testRows(t, []row{
		{"a debt is derived: nobody decided, nobody is owed", []step{known}, nobodyKnows, NotADecision, Settled, Settled},
		{"a debt is derived: a side never read is owed a yes", []step{shopify(Subscribed, at(0))},
			yes(Shopify, at(0)), First, Settled, Owed},
		{"a debt is derived: an attempt of unknown end is owed", []step{owed, begin(Listrak, at(Minute))},
			yes(Shopify, at(0)), First, Settled, Owed},
		{"a debt is derived: an attempt of unknown end is owed even if the side shows the decision", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)), begin(Listrak, at(Minute)),
			shopify(Unsubscribed, at(Minute))},
			no(Shopify, at(Minute)), SameSide, Settled, Owed},
		{"a debt is derived: a read after the grace settles what shows the decision", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)), begin(Listrak, at(Minute)),
			shopify(Unsubscribed, at(Minute)), listrak(Unsubscribed, at(-Hour)).read(at(Minute + callTakes + EffectGrace + 1))},
			no(Shopify, at(Minute)), NoNews, Settled, Settled},
		{"a debt is derived: a read at the very end of the grace does not", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)), begin(Listrak, at(Minute)),
			shopify(Unsubscribed, at(Minute)), listrak(Unsubscribed, at(-Hour)).read(at(Minute + callTakes + EffectGrace))},
			no(Shopify, at(Minute)), NoNews, Settled, Owed},
		{"a debt is derived: an older attempt of unknown end is owed although a later one was taken", []step{
			owed, begin(Listrak, at(Minute)), shopify(Unsubscribed, at(70*Second)), deliver(Listrak, at(80*Second)),
			listrak(Unsubscribed, at(80*Second)).read(at(82 * Second))},
			no(Shopify, at(70*Second)), Echo, Settled, Owed},
		{"a debt is derived: what was taken but not shown yet is owed", []step{owed, deliver(Listrak, at(Minute))},
			yes(Shopify, at(0)), First, Settled, Owed},

		{"rule 13: unknown in Shopify is owed a yes: it is created there", []step{listrak(Subscribed, at(0)), shopify(Absent, undated)},
			yes(Listrak, at(0)), NotADecision, Owed, Settled},
		{"rule 13: unknown in Shopify is owed no no", []step{listrak(Unsubscribed, at(0)), shopify(Absent, undated)},
			no(Listrak, at(0)), NotADecision, Settled, Settled},
		{"rule 13: who is gone from Listrak is not created again", []step{
			shopify(Subscribed, at(0)), listrak(Subscribed, at(0)), listrak(Absent, undated).read(at(Hour))},
			yes(Shopify, at(0)), NotADecision, Settled, Gone},
		{"rule 13: who is gone from Shopify is not created again by a decision from when they were still there", []step{
			shopify(NeverAsked, undated), listrak(Subscribed, at(0)), shopify(NeverAsked, undated).read(at(30 * Minute)),
			shopify(Absent, undated).read(at(Hour)), listrak(Unsubscribed, at(Minute)), listrak(Subscribed, at(30*Minute))},
			yes(Listrak, at(30*Minute)), SameSide, Gone, Settled},
		{"rule 13: whose deletion is noticed only at the look before the write of a new decision comes back", []step{
			shopify(Unsubscribed, at(0)), listrak(Unsubscribed, at(0)), listrak(Subscribed, at(24*Hour)),
			shopify(Absent, undated).read(at(25 * Hour))},
			yes(Listrak, at(24*Hour)), NotADecision, Owed, Settled},
		{"rule 13: a decision newer than the disappearance creates again", []step{
			shopify(NeverAsked, undated), listrak(Subscribed, at(0)), shopify(Absent, undated).read(at(Hour)), listrak(Unsubscribed, at(Minute)),
			listrak(Subscribed, at(Hour+1))},
			yes(Listrak, at(Hour+1)), SameSide, Owed, Settled},
		{"rule 13: gone and read again is gone since the first time", []step{
			shopify(Subscribed, at(0)), listrak(Subscribed, at(0)), listrak(Absent, undated).read(at(Hour)),
			listrak(Absent, undated).read(at(3 * Hour)), shopify(Unsubscribed, at(90*Minute)), shopify(Subscribed, at(2*Hour))},
			yes(Shopify, at(2*Hour)), SameSide, Settled, Owed},
		{"rule 13: gone stays gone over a date that changes while the address is unknown", []step{
			shopify(Subscribed, at(0)), listrak(Subscribed, at(0)), listrak(Absent, undated).read(at(Hour)),
			listrak(Absent, at(0)).read(at(3 * Hour))},
			yes(Shopify, at(0)), NotADecision, Settled, Gone},
		{"rule 13: an undated yes never creates again", []step{
			known, listrak(Subscribed, undated), shopify(Subscribed, undated), shopify(Absent, undated)},
			yes(Listrak, undated), NotADecision, Gone, Settled},
		{"rule 13: a no is owed to nobody who is gone", []step{
			shopify(Unsubscribed, at(0)), listrak(Subscribed, at(-Hour)), listrak(Absent, undated)},
			no(Shopify, at(0)), NotADecision, Settled, Settled},

		{"rule 16: three tries that Listrak took and does not show are disputed", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)),
			deliver(Listrak, at(1*Minute)), listrak(Unsubscribed, at(-Hour)).read(at(1*Minute + 30*Second)),
			deliver(Listrak, at(2*Minute)), listrak(Unsubscribed, at(-Hour)).read(at(2*Minute + 30*Second)),
			deliver(Listrak, at(3*Minute)), listrak(Unsubscribed, at(-Hour)).read(at(3*Minute + 30*Second))},
			yes(Shopify, at(0)), NoNews, Settled, Disputed},
		{"rule 16: after two tries it is tried again", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)),
			deliver(Listrak, at(1*Minute)), listrak(Unsubscribed, at(-Hour)).read(at(1*Minute + 30*Second)),
			deliver(Listrak, at(2*Minute)), listrak(Unsubscribed, at(-Hour)).read(at(2*Minute + 30*Second))},
			yes(Shopify, at(0)), NoNews, Settled, Owed},
		{"rule 16: the third try is not disputed before a read after it", []step{
			left, deliverDated(at(1*Minute), at(0)), shopify(Subscribed, at(-Hour)).read(at(2 * Minute)),
			deliverDated(at(3*Minute), at(0)), shopify(Subscribed, at(-Hour)).read(at(4 * Minute)), deliverDated(at(5*Minute), at(0))},
			no(Listrak, at(0)), NoNews, Owed, Settled},
		{"rule 16: a no that Shopify does not show is disputed too", []step{
			left, deliverDated(at(1*Minute), at(0)), shopify(Subscribed, at(-Hour)).read(at(2 * Minute)),
			deliverDated(at(3*Minute), at(0)), shopify(Subscribed, at(-Hour)).read(at(4 * Minute)),
			deliverDated(at(5*Minute), at(0)), shopify(Subscribed, at(-Hour)).read(at(6 * Minute))},
			no(Listrak, at(0)), NoNews, Disputed, Settled},
		{"rule 16: an outage is never a dispute", []step{
			owed, begin(Listrak, at(1*Minute)), end(Listrak, at(1*Minute), Failed), begin(Listrak, at(2*Minute)),
			end(Listrak, at(2*Minute), Failed), begin(Listrak, at(3*Minute)), end(Listrak, at(3*Minute), Failed),
			begin(Listrak, at(4*Minute)), end(Listrak, at(4*Minute), Failed), listrak(Absent, undated).read(at(Hour))},
			yes(Shopify, at(0)), NoNews, Settled, Owed},
		{"rule 16: a newer decision ends a dispute", []step{
			left, deliverDated(at(1*Minute), at(0)), shopify(Subscribed, at(-Hour)).read(at(2 * Minute)),
			deliverDated(at(3*Minute), at(0)), shopify(Subscribed, at(-Hour)).read(at(4 * Minute)),
			deliverDated(at(5*Minute), at(0)), shopify(Subscribed, at(-Hour)).read(at(6 * Minute)), listrak(Unsubscribed, at(7*Minute))},
			no(Listrak, at(7*Minute)), SameSide, Owed, Settled},
		{"rule 16: a disputed side that shows the decision at last is settled", []step{
			known, shopify(Unsubscribed, at(0)), listrak(Subscribed, at(-Hour)),
			deliver(Listrak, at(1*Minute)), listrak(Subscribed, at(-Hour)).read(at(2 * Minute)),
			deliver(Listrak, at(3*Minute)), listrak(Subscribed, at(-Hour)).read(at(4 * Minute)),
			deliver(Listrak, at(5*Minute)), listrak(Subscribed, at(-Hour)).read(at(6 * Minute)), listrak(Unsubscribed, at(-2*Hour))},
			no(Shopify, at(0)), Agreed, Settled, Settled},
		{"rule 16: what waits for a confirmation is not sent again", []step{
			owed, begin(Listrak, at(Minute)), end(Listrak, at(Minute), AwaitingConfirmation), listrak(Pending, undated)},
			yes(Shopify, at(0)), NotADecision, Settled, Awaiting},
		{"rule 16: it waits also before Listrak shows it pending", []step{
			owed, begin(Listrak, at(Minute)), end(Listrak, at(Minute), AwaitingConfirmation)},
			yes(Shopify, at(0)), First, Settled, Awaiting},
		{"rule 16: a no is not written over what is pending", []step{
			owed, begin(Listrak, at(Minute)), end(Listrak, at(Minute), AwaitingConfirmation), listrak(Pending, undated),
			shopify(Unsubscribed, at(Hour))},
			no(Shopify, at(Hour)), SameSide, Settled, Blocked},

		{"rule 17: refused for good is not tried again", []step{
			owed, begin(Listrak, at(Minute)), end(Listrak, at(Minute), RefusedForGood), listrak(Absent, undated).read(at(Hour))},
			yes(Shopify, at(0)), NoNews, Settled, Refused},
		{"rule 17: refused for good is tried again on a newer decision", []step{
			owed, begin(Listrak, at(Minute)), end(Listrak, at(Minute), RefusedForGood), shopify(Subscribed, at(Hour))},
			yes(Shopify, at(Hour)), SameSide, Settled, Owed},
		{"rule 17: a refusal of a yes is no refusal of a no", []step{
			known, shopify(Subscribed, at(0)), listrak(Pending, undated), begin(Listrak, at(Minute)), end(Listrak, at(Minute), RefusedForGood),
			listrak(Subscribed, at(-Hour)), shopify(Unsubscribed, at(Hour))},
			no(Shopify, at(Hour)), SameSide, Settled, Owed},
		{"rule 17: Shopify's refusal counts for Shopify alone", []step{
			known, listrak(Subscribed, at(0)), begin(Shopify, at(Minute)).writing(at(0)), end(Shopify, at(Minute), RefusedForGood)},
			yes(Listrak, at(0)), First, Refused, Settled},
		{"rule 17: a refused side that shows the decision is settled", []step{
			owed, begin(Listrak, at(Minute)), end(Listrak, at(Minute), RefusedForGood), listrak(Subscribed, at(-Hour))},
			yes(Shopify, at(0)), Agreed, Settled, Settled},
	})
}

func TestRing(t *testing.T) {
	t.Parallel()

	t.Run("the newest delivery stands first and the fifth pushes the first out", func(t *testing.T) {
		t.Parallel()
		steps := []step{known, shopify(Subscribed, at(0))}
		for i := range Span(RememberedDeliveries + 1) {
			steps = append(steps, begin(Listrak, at(i*Minute)), end(Listrak, at(i*Minute), Failed))
		}
		h := play(steps)
		for i, d := range h.rec.Sent[Listrak] {
			if want := at(Span(RememberedDeliveries-i) * Minute); d.Started != want || d.Outcome != Failed || d.Code != "CODE" {
				t.Errorf("place %d holds %+v, want a failed delivery started %s\n%s", i, d, clock(want), h.story.String())
			}
		}
		if h.rec.Sent[Shopify] != ([RememberedDeliveries]Delivery{}) {
			t.Errorf("the other side's deliveries are not empty: %+v", h.rec.Sent[Shopify])
		}
	})

	t.Run("a delivery remembers what it carried", func(t *testing.T) {
		t.Parallel()
		h := play([]step{known, listrak(Subscribed, at(7))})
		rec := Begin(h.rec, Shopify, Checkout, at(Second), at(Minute), at(2*Minute))
		want := Delivery{State: Subscribed, Decision: at(7), Written: at(Second), Started: at(Minute), Deadline: at(2 * Minute),
			Point: Checkout, Try: 1}
		if rec.Sent[Shopify][0] != want {
			t.Errorf("got %+v, want %+v", rec.Sent[Shopify][0], want)
		}
		if h.rec.Sent[Shopify][0] != (Delivery{}) {
			t.Error("Begin changed the record it was given")
		}
	})

	for _, c := range []struct {
		sentence string
		steps    []step
		want     Outcome
		ended    Instant
	}{
		{"the end of a delivery is recorded", []step{begin(Listrak, at(0)), end(Listrak, at(0), Delivered)}, Delivered, at(Second)},
		{"an unknown end stays open", []step{begin(Listrak, at(0)), end(Listrak, at(0), Open)}, Open, 0},
		{"an unknown end may be known later", []step{
			begin(Listrak, at(0)), end(Listrak, at(0), Open), end(Listrak, at(0), Failed)}, Failed, at(Second)},
		{"the end of another delivery does not count", []step{begin(Listrak, at(0)), end(Listrak, at(1), Failed)}, Open, 0},
		{"the end of the other side's delivery does not count", []step{begin(Listrak, at(0)), end(Shopify, at(0), Failed)}, Open, 0},
		{"a delivery ends once", []step{
			begin(Listrak, at(0)), end(Listrak, at(0), Delivered), finish{Listrak, at(0), at(Hour), Failed}}, Delivered, at(Second)},
		{"a read before the end was recorded has ended it", []step{
			begin(Listrak, at(0)), listrak(Subscribed, at(Second)).read(at(2 * Second)), finish{Listrak, at(0), at(Minute), Failed}},
			Delivered, at(callTakes + EffectGrace)},
		{"a read after the grace without effect has failed it", []step{
			begin(Listrak, at(0)), listrak(Absent, undated).read(at(Hour))}, Failed, at(Hour)},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			h := play(append([]step{known, shopify(Subscribed, at(-Minute))}, c.steps...))
			if d := h.rec.Sent[Listrak][0]; d.Outcome != c.want || d.Ended != c.ended {
				t.Errorf("%s\ngot %s ended %s, want %s ended %s\n%s",
					c.sentence, d.Outcome, clock(d.Ended), c.want, clock(c.ended), h.story.String())
			}
		})
	}

	t.Run("tries count what the side took, of one decision, up to the limit", func(t *testing.T) {
		t.Parallel()
		rec := play([]step{known, shopify(Subscribed, at(0))}).rec
		var tries []uint8
		for i, outcome := range []Outcome{Failed, Delivered, Failed, Delivered, Delivered, Delivered, Delivered} {
			started := at(Span(i) * Minute)
			rec = Begin(rec, Listrak, Marketing, 0, started, started.Plus(callTakes))
			rec = Finish(rec, Listrak, started, started.Plus(Second), outcome, "")
			tries = append(tries, rec.Sent[Listrak][0].Try)
		}
		for i, want := range []uint8{1, 1, 2, 2, 3, MaxTries, MaxTries} {
			if tries[i] != want {
				t.Fatalf("tries are %v, number %d should be %d", tries, i, want)
			}
		}
		rec, _ = Decide(rec, shopify(Unsubscribed, at(Hour)).read(at(Hour)).Report)
		if rec = Begin(rec, Listrak, NoPoint, 0, at(Hour), at(2*Hour)); rec.Sent[Listrak][0].Try != 1 {
			t.Errorf("a new decision begins with try %d", rec.Sent[Listrak][0].Try)
		}
	})

	t.Run("an echo that took effect during its read, decided twice, closes one of two attempts", func(t *testing.T) {
		t.Parallel()
		echo := listrak(Subscribed, at(100*Second)).within(0).read(at(99*Second + 500*Millisecond))
		h := play([]step{known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), begin(Listrak, at(90*Second)), echo, echo})
		if newer, older := h.rec.Sent[Listrak][0].Outcome, h.rec.Sent[Listrak][1].Outcome; newer != Delivered || older != Open {
			t.Errorf("the newer attempt is %s and the older %s, want delivered and end unknown\n%s", newer, older, h.story.String())
		}
	})

	t.Run("OpenUntil is the last moment at which an attempt of unknown end may take effect", func(t *testing.T) {
		t.Parallel()
		steps := []step{known, shopify(Subscribed, at(0))}
		for _, c := range []struct {
			step step
			want Instant
		}{
			{all{}, 0},
			{begin(Listrak, at(Minute)), at(Minute + callTakes + EffectGrace)},
			{begin(Listrak, at(2*Minute)), at(2*Minute + callTakes + EffectGrace)},
			{end(Listrak, at(2*Minute), Delivered), at(Minute + callTakes + EffectGrace)},
			{end(Listrak, at(Minute), Failed), 0},
		} {
			steps = append(steps, c.step)
			h := play(steps)
			if got := h.rec.OpenUntil(Listrak); got != c.want {
				t.Errorf("got %s, want %s\n%s", clock(got), clock(c.want), h.story.String())
			}
			if got := h.rec.OpenUntil(Shopify); got != 0 {
				t.Errorf("Shopify is open until %s", clock(got))
			}
		}
	})
}

func TestWriteDate(t *testing.T) {
	t.Parallel()
	const fraction = 900 * Millisecond
	for _, c := range []struct {
		sentence              string
		decision, held, first Instant
		now                   Instant
		want                  Instant
		ok                    bool
	}{
		{"rule 15: the decision's own date", at(0), 0, 0, at(Hour), at(0), true},
		{"rule 15: in whole seconds, never rounded up", at(fraction), 0, 0, at(Hour), at(0), true},
		{"rule 15: an older held date does not matter", at(0), at(-Second), 0, at(Hour), at(0), true},
		{"rule 15: a held date of the same second is passed by a second", at(fraction), at(0), 0, at(Hour), at(Second), true},
		{"rule 15: a held date later in the same second too", at(0), at(fraction), 0, at(Hour), at(Second), true},
		{"rule 15: a later held date is passed by a second", at(0), at(Minute), 0, at(Hour), at(Minute + Second), true},
		{"rule 15: a later held date with a fraction too", at(0), at(Minute + fraction), 0, at(Hour), at(Minute + Second), true},
		{"rule 15: never now, however late we are", at(0), at(-Hour), 0, at(1000 * Hour), at(0), true},
		{"rule 15: exactly now is allowed", at(0), at(Minute), 0, at(Minute + Second), at(Minute + Second), true},
		{"rule 15: a microsecond before that it has to wait", at(0), at(Minute), 0, at(Minute + Second - 1), at(Minute + Second), false},
		{"rule 15: a held date in the future has to be waited for", at(0), at(Hour), 0, at(Minute), at(Hour + Second), false},
		{"rule 10: an undated yes is dated by first sight", undated, 0, at(fraction), at(Hour), at(0), true},
		{"rule 10: first sight passes a held date too", undated, at(Minute), at(0), at(Hour), at(Minute + Second), true},
		{"rule 15: first sight does not date a dated decision", at(0), 0, at(-Hour), at(Hour), at(0), true},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			date, ok := WriteDate(Decision{State: Subscribed, At: c.decision, Side: Listrak}, c.held, c.first, c.now)
			if date != c.want || ok != c.ok {
				t.Errorf("%s: got %s, %t; want %s, %t", c.sentence, clock(date), ok, clock(c.want), c.ok)
			}
		})
	}
}

func TestOverridesUnsubscribe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sentence string
		steps    []step
		want     bool
	}{
		{"rule 14: the read showed an older no", []step{
			known, shopify(Subscribed, at(Hour)), listrak(Unsubscribed, at(0))}, true},
		{"rule 14: the read showed an older bounce", []step{
			known, shopify(Subscribed, at(Hour)), listrak(Unsubscribed, at(0)).machine()}, true},
		{"rule 14: the read showed a newer no, which is the decision now", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(Hour))}, false},
		{"rule 14: the read showed a no within the uncertainty, which is the decision now", []step{
			known, shopify(Subscribed, at(Second)), listrak(Unsubscribed, at(0))}, false},
		{"rule 14: the read showed nobody", []step{known, shopify(Subscribed, at(0))}, false},
		{"rule 14: nothing was read", []step{shopify(Subscribed, at(0))}, false},
		{"rule 14: the read showed a yes", []step{known, shopify(Subscribed, at(0)), listrak(Subscribed, at(0))}, false},
		{"rule 14: an unsubscribe never overrides", []step{known, shopify(Unsubscribed, at(0)), listrak(Unsubscribed, at(0))}, false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			if h := play(c.steps); h.rec.OverridesUnsubscribe() != c.want {
				t.Errorf("%s: got %t\n%s", c.sentence, !c.want, h.story.String())
			}
		})
	}
}

func TestPermit(t *testing.T) {
	t.Parallel()
	// On from 1 h to 2 h and again since 3 h.
	twice := Permit{On: true, FirstOn: at(Hour), Intervals: []Interval{{at(Hour), at(2 * Hour)}, {at(3 * Hour), 0}}}
	off := twice
	off.On = false
	existing := twice
	existing.ExistingOptOuts = true
	offForGood := Permit{FirstOn: at(Hour), Intervals: []Interval{{at(Hour), at(2 * Hour)}}}
	for _, c := range []struct {
		sentence       string
		permit         Permit
		state          State
		date           Instant
		to             Side
		covers, allows bool
	}{
		{"rule 11: a yes before the first enabling does not go to Listrak", twice, Subscribed, at(Hour - 1), Listrak, false, false},
		{"rule 11: a yes at the first enabling does", twice, Subscribed, at(Hour), Listrak, true, true},
		{"rule 11: a yes in the last microsecond before off does", twice, Subscribed, at(2*Hour - 1), Listrak, true, true},
		{"rule 11: a yes at the moment of off does not", twice, Subscribed, at(2 * Hour), Listrak, false, false},
		{"rule 11: a yes while it was off does not, although it is on again", twice, Subscribed, at(3*Hour - 1), Listrak, false, false},
		{"rule 11: a yes since it is on again does", twice, Subscribed, at(3 * Hour), Listrak, true, true},
		{"rule 11: a yes long after does while it is on", twice, Subscribed, at(1000 * Hour), Listrak, true, true},
		{"rule 11: an undated yes does not go to Listrak", twice, Subscribed, undated, Listrak, false, false},
		{"rule 11: a no while it was off does, once it is on again", twice, Unsubscribed, at(2 * Hour), Listrak, true, true},
		{"rule 11: a no at the first enabling does", twice, Unsubscribed, at(Hour), Listrak, true, true},
		{"rule 11: a no before the first enabling does not", twice, Unsubscribed, at(Hour - 1), Listrak, false, false},
		{"rule 11: a no before the first enabling does with existing opt-outs", existing, Unsubscribed, at(Hour - 1), Listrak, true, true},
		{"rule 11: a yes before the first enabling does not even then", existing, Subscribed, at(Hour - 1), Listrak, false, false},
		{"rule 11: Shopify catches up with a yes from before", twice, Subscribed, at(-Hour), Shopify, true, true},
		{"rule 11: Shopify catches up with an undated yes", twice, Subscribed, undated, Shopify, true, true},
		{"rule 11: Shopify catches up with what was missed while off", twice, Unsubscribed, at(2 * Hour), Shopify, true, true},
		{"rule 12: off stops deliveries to Shopify, not what is covered", off, Unsubscribed, at(Hour), Shopify, true, false},
		{"rule 12: off stops a yes to Listrak, not what is covered", off, Subscribed, at(Hour), Listrak, true, false},
		{"rule 12: off stops a no to Listrak, which stays covered", offForGood, Unsubscribed, at(5 * Hour), Listrak, true, false},
		{"rule 12: a direction never enabled covers nothing towards Listrak", Permit{}, Unsubscribed, at(0), Listrak, false, false},
		{"rule 12: a direction never enabled covers nothing towards Shopify", Permit{}, Subscribed, at(0), Shopify, false, false},
		{"rule 12: on without a first enabling allows nothing", Permit{On: true}, Subscribed, at(0), Shopify, false, false},
		{"rule 2: what is no decision is never delivered", twice, NeverAsked, at(Hour), Shopify, false, false},
		{"rule 2: pending is never delivered", twice, Pending, at(Hour), Listrak, false, false},
		{"nobody decided anything: nothing to deliver", twice, Unseen, undated, Shopify, false, false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			decision := Decision{State: c.state, At: c.date, Side: c.to.Other()}
			if got := c.permit.Covers(decision, c.to); got != c.covers {
				t.Errorf("%s: Covers is %t", c.sentence, got)
			}
			if got := c.permit.Allows(decision, c.to); got != c.allows {
				t.Errorf("%s: Allows is %t", c.sentence, got)
			}
		})
	}
}
