package consent

import (
	"testing"

	"pgregory.net/rapid"
)

// randomStep draws the next thing that happens in any history: reports of all kinds, late and stale, and deliveries with every end.
// Times lie on a grid as coarse as the uncertainties, so that dates are often equal, and often just at a boundary.
func randomStep(t *rapid.T, h *history) step {
	side := rapid.SampledFrom(Sides[:]).Draw(t, "side")
	moment := func(name string) Instant { return at(Span(rapid.IntRange(-40, 40).Draw(t, name)) * Minute / 2) }
	switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
	case kind == 8 && h.rec.Decision.State.IsDecision():
		return begin(side, h.now.Plus(Second)).writing(moment("written").Seconds())
	case kind == 9:
		sent := rapid.SampledFrom(h.rec.Sent[side][:]).Draw(t, "sent")
		outcomes := []Outcome{Open, Delivered, Delivered, Failed, RefusedForGood, AwaitingConfirmation}
		return end(side, sent.Started, rapid.SampledFrom(outcomes).Draw(t, "outcome"))
	}
	r := says(side, rapid.SampledFrom([]State{Absent, NeverAsked, Pending, Invalid, Redacted, Subscribed, Subscribed, Subscribed,
		Unsubscribed, Unsubscribed, Unsubscribed}).Draw(t, "state"), moment("date"))
	if rapid.IntRange(0, 9).Draw(t, "undated") == 0 {
		r.Date = undated
	}
	r.Within = rapid.SampledFrom([]Span{0, Second, Minute, 10 * Minute}).Draw(t, "within")
	r.Imported = side == Listrak && rapid.IntRange(0, 5).Draw(t, "imported") == 0
	r.Machine = side == Listrak && r.State == Unsubscribed && rapid.IntRange(0, 5).Draw(t, "machine") == 0
	r.Keyword = side == Listrak && r.State == Unsubscribed && rapid.IntRange(0, 5).Draw(t, "keyword") == 0
	r.Moved = side == Shopify && rapid.IntRange(0, 9).Draw(t, "moved") == 0
	r.Inferred = r.State == Absent && rapid.Bool().Draw(t, "inferred")
	if side == Listrak && r.Date != undated && rapid.Bool().Draw(t, "wall") {
		// The zone that the wall clock is read in is corrected now and then.
		r.Wall = r.Date.Plus(rapid.SampledFrom([]Span{0, 0, Minute / 2}).Draw(t, "zone"))
	}
	return r.read(max(h.now, noon).Plus(Span(rapid.IntRange(-3, 60).Draw(t, "read after")) * Second))
}

// checkHistories plays random histories and hands every report to check, with the record before it.
func checkHistories(t *testing.T, check func(t *rapid.T, h *history, before Record, r report)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		h := play(nil)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			before := h.rec
			s := randomStep(t, h)
			told := s.play(h)
			h.story.WriteString("- " + told + "\n" + show(&h.rec))
			if r, is := s.(report); is {
				check(t, h, before, r)
			}
		}
	})
}

func TestTheSameReportAgainIsNoNews(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, h *history, _ Record, r report) {
		again, judgement := Decide(h.rec, r.Report)
		if judgement.Verdict != NoNews && judgement.Verdict != Stale || judgement.Changed || again != h.rec {
			t.Fatalf("the last report again: %+v, and the record changes to\n%s\n%s", judgement, show(&again), h.story.String())
		}
	})
}

func TestChangedTellsTheTruth(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, h *history, before Record, _ report) {
		if (h.rec != before) && !h.last.Changed {
			t.Fatalf("a change that would not be saved\n%s", h.story.String())
		}
		if h.rec.Decision != before.Decision && !h.last.Decided {
			t.Fatalf("a new decision that is not told\n%s", h.story.String())
		}
	})
}

func TestAnUndecidedReportChangesNoDecision(t *testing.T) {
	t.Parallel()
	decides := map[Verdict]bool{First: true, SameSide: true, Newer: true, UnsubscribedWins: true, Renewed: true}
	checkHistories(t, func(t *rapid.T, h *history, before Record, _ report) {
		if !decides[h.last.Verdict] && h.rec.Decision != before.Decision {
			t.Fatalf("a report that is %s changed the decision\n%s", h.last.Verdict, h.story.String())
		}
	})
}

// TestAYesNeedsToBeNewer is the heart of I2: the yes of one side replaces the no of the other only when it is newer by more than
// the uncertainty of the two, is dated, and is a person's own act.
func TestAYesNeedsToBeNewer(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, h *history, before Record, r report) {
		was, is := before.Decision, h.rec.Decision
		if was.State != Unsubscribed || is.State != Subscribed {
			return
		}
		if r.Imported || r.Moved || r.State != Subscribed {
			t.Fatalf("no act of a person, and it took back a no\n%s", h.story.String())
		}
		if was.Side != r.Side && (r.Date == undated || is.At.Since(was.At) <= r.Within+was.Within) {
			t.Fatalf("a yes that is not newer by more than the uncertainty took back the other side's no\n%s", h.story.String())
		}
	})
}

// TestTheDateNeverMovesBack: while the decision stays what it is, its date only moves on. Otherwise a word that it has beaten would beat
// it, or it would not be deliverable any more.
func TestTheDateNeverMovesBack(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, h *history, before Record, _ report) {
		was, is := before.Decision, h.rec.Decision
		if was.State == is.State && is.At < was.At {
			t.Fatalf("the same decision, %s earlier\n%s", was.At.Since(is.At).Duration(), h.story.String())
		}
	})
}

// TestANoIsAlwaysHeard: whatever came before, a person's no that is not older than the decision by more than the uncertainty makes it a
// no, which is dated no earlier when the no is newer. What the side has shown already is no news, and what we wrote ourselves no word.
func TestANoIsAlwaysHeard(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, h *history, before Record, r report) {
		if r.State != Unsubscribed || r.Machine || h.last.Verdict == Stale || h.last.Verdict == NoNews || h.last.Verdict == Echo {
			return
		}
		was, is, at := before.Decision, h.rec.Decision, h.rec.Seen[r.Side].At
		if older := was.State != Unseen && was.Side != r.Side && was.At.Since(at) > max(r.Within+was.Within, FirstContact); older {
			return
		}
		both := r.Within + was.Within
		if sure := was.Side == r.Side || was.State == Unseen || was.At.Since(at) <= both; sure && is.State != Unsubscribed {
			t.Fatalf("a no that is not older was not heard\n%s", h.story.String())
		}
		if at.Since(was.At) > both && is.At < at {
			t.Fatalf("a no that is newer has not become the decision's date\n%s", h.story.String())
		}
	})
}

// TestAYesStandsAgainstNoKnownNo: however a yes became the decision, the other side shows no person's no that may be newer. The sides
// are off by as much all the time here: a word that is once known to be older does not become doubtful by a clock that is read worse.
func TestAYesStandsAgainstNoKnownNo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var within [sides]Span
		for _, side := range Sides {
			within[side] = rapid.SampledFrom([]Span{0, Second, Minute, 10 * Minute}).Draw(t, side.String())
		}
		h := play(nil)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			s := randomStep(t, h)
			if r, is := s.(report); is {
				r.Within = within[r.Side]
				s = r
			}
			told := s.play(h)
			h.story.WriteString("- " + told + "\n" + show(&h.rec))
			d, other := h.rec.Decision, h.rec.Seen[h.rec.Decision.Side.Other()]
			if d.State == Subscribed && other.State == Unsubscribed && !other.Machine && !other.Echo &&
				d.At.Since(other.At) <= d.Within+other.Within {
				t.Fatalf("%s shows a no of %s, and the yes of %s stands\n%s", d.Side.Other(), clock(other.At), clock(d.At), h.story.String())
			}
		}
	})
}

// TestTheDecidingSideIsNeverLost: the decision is always what its side said last, in its own words. A date that moved, a word
// older than the side's own, and a yes that a no of the other side beats, are no new words (rules 6, 8, 10).
func TestTheDecidingSideIsNeverLost(t *testing.T) {
	t.Parallel()
	own := map[Verdict]bool{First: true, SameSide: true, Newer: true, Renewed: true, UnsubscribedWins: true, Agreed: true, Behind: true, AfterKeyword: true}
	rapid.Check(t, func(t *rapid.T) {
		h := play(nil)
		var last [sides]person
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			s := randomStep(t, h)
			told := s.play(h)
			h.story.WriteString("- " + told + "\n" + show(&h.rec))
			d := h.rec.Decision
			r, is := s.(report)
			switch {
			case !is || !own[h.last.Verdict]:
			case h.last.Decided:
				last[r.Side] = person{d.State, d.At, d.Side}
			case d.Side == r.Side:
				// An older word of the side's own, or a yes that the other side's no beats.
			default:
				last[r.Side] = person{r.State, h.rec.Seen[r.Side].At, r.Side}
			}
			if d.State != Unseen && (person{d.State, d.At, d.Side}) != last[d.Side] {
				t.Fatalf("the decision is %s %s, but %s said last: %s %s\n%s",
					d.State, clock(d.At), d.Side, last[d.Side].state, clock(last[d.Side].at), h.story.String())
			}
		}
	})
}

// TestTheOrderOfReportsDoesNotMatter: what the sides said, far enough apart, gives the same decision in whatever order their reports
// arrive: the newest (I1).
func TestTheOrderOfReportsDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// Each side says yes and no by turns; the moments are further apart than any uncertainty, first contact included.
		var told [sides][]report
		for i := range rapid.IntRange(1, 10).Draw(t, "acts") {
			side := rapid.SampledFrom(Sides[:]).Draw(t, "side")
			state := rapid.SampledFrom([]State{Subscribed, Unsubscribed}).Draw(t, "state")
			if n := len(told[side]); n > 0 {
				if state = Subscribed; told[side][n-1].State == Subscribed {
					state = Unsubscribed
				}
			}
			told[side] = append(told[side], says(side, state, at(Span(i)*(FirstContact+1))))
		}
		newest := person{at: -1 << 62}
		for _, reports := range told {
			if n := len(reports); n > 0 && reports[n-1].Date > newest.at {
				newest = person{reports[n-1].State, reports[n-1].Date, reports[n-1].Side}
			}
		}
		h := play(nil)
		h.now = at(24 * Hour)
		for len(told[Shopify])+len(told[Listrak]) > 0 {
			side := rapid.SampledFrom(Sides[:]).Draw(t, "next")
			if len(told[side]) == 0 {
				side = side.Other()
			}
			h.story.WriteString("- " + told[side][0].play(h) + "\n" + show(&h.rec))
			told[side] = told[side][1:]
		}
		if d := h.rec.Decision; (person{d.State, d.At, d.Side}) != newest {
			t.Fatalf("the newest word is %s %s of %s\n%s", newest.state, clock(newest.at), newest.side, h.story.String())
		}
	})
}

// TestDebtsAgreeWithWhatIsShown: a settled side shows the decision or is unknown to a no, and no attempt of unknown end could still
// bring it into another state; a side that shows it with no attempt open is settled.
func TestDebtsAgreeWithWhatIsShown(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, h *history, _ Record, _ report) {
		for _, side := range Sides {
			debt, shown, decided := h.rec.DebtTo(side), h.rec.Seen[side].State, h.rec.Decision.State
			same := decided == Unseen || shown == decided || decided == Unsubscribed && shown == Absent
			against := false
			for _, d := range h.rec.Sent[side] {
				against = against || d.State != Unseen && d.Outcome == Open && d.State != decided
			}
			if debt == Settled && (!same || against && decided != Unseen) || debt != Settled && same && h.rec.OpenUntil(side) == 0 {
				t.Fatalf("%s is %s\n%s", side, debt, h.story.String())
			}
		}
		if h.rec.Debts() != [2]Debt{h.rec.DebtTo(Shopify), h.rec.DebtTo(Listrak)} {
			t.Fatalf("Debts and DebtTo disagree\n%s", h.story.String())
		}
	})
}

// busy is a record with all its places taken, and a report that has to be weighed against it.
func busy() (Record, Report) {
	rec := play([]step{
		known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), deliver(Listrak, at(2*Minute)), deliver(Listrak, at(3*Minute)),
		begin(Listrak, at(4*Minute)), listrak(Subscribed, at(4*Minute)).read(at(5 * Minute)),
	}).rec
	return rec, listrak(Unsubscribed, at(Hour)).read(at(2 * Hour)).Report
}

// sink keeps what is measured from being optimised away.
var sink Record

// TestDecidingAllocatesNothing must not run beside other tests, whose allocations it would count.
func TestDecidingAllocatesNothing(t *testing.T) {
	rec, r := busy()
	if n := testing.AllocsPerRun(1000, func() {
		sink, _ = Decide(rec, r)
		sink = Begin(sink, Shopify, NoPoint, at(0), at(2*Hour), at(3*Hour))
		sink = Finish(sink, Shopify, at(2*Hour), at(3*Hour), Delivered, "")
		sink = fiveMinutes.Watch(sink, &alwaysOn)
		_ = sink.Debts()
	}); n != 0 {
		t.Errorf("one report costs %.1f allocations, want none", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	rec, r := busy()
	b.ReportAllocs()
	for b.Loop() {
		sink, _ = Decide(rec, r)
	}
}
