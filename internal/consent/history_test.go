package consent

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The language in which the tests tell a person's history: a row is a list of steps, a step is a report or an end of a delivery.

// noon is the moment from which every history counts.
var noon = InstantOf(time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC))

// at is a moment after noon (before it when negative).
func at(after Span) Instant { return noon.Plus(after) }

const undated Instant = 0

// history is a record with the story of how it came to be, for failing tests.
type history struct {
	rec   Record
	last  Judgement
	now   Instant
	story strings.Builder
}

type step interface{ play(h *history) string }

func play(steps []step) *history {
	h := &history{now: at(-Hour)}
	for _, s := range steps {
		told := s.play(h)
		fmt.Fprintf(&h.story, "- %s\n%s", told, show(&h.rec))
	}
	return h
}

// report is a step: a side is read. Unless said otherwise a read begins a second after everything before it and after the date it
// shows, takes a second, and dates of both sides are a second off at most.
type report struct {
	Report
	timed bool
}

func says(side Side, state State, date Instant) report {
	return report{Report: Report{Side: side, State: state, Date: date, Within: Second}}
}

func shopify(state State, date Instant) report { return says(Shopify, state, date) }
func listrak(state State, date Instant) report { return says(Listrak, state, date) }

func (r report) read(began Instant) report {
	r.ReadBegan, r.ReadEnded, r.timed = began, began.Plus(Second), true
	return r
}
func (r report) within(s Span) report { r.Within = s; return r }
func (r report) ref(id string) report { r.Ref = id; return r }
func (r report) imported() report     { r.Imported = true; return r }
func (r report) machine() report      { r.Machine = true; return r }
func (r report) keyword() report      { r.Keyword = true; return r }
func (r report) moved() report        { r.Moved = true; return r }
func (r report) inferred() report     { r.Inferred = true; return r }

// wall sets the wall clock that Listrak shows, which stays when the zone that it is read in is corrected.
func (r report) wall(clock Instant) report { r.Wall = clock; return r }

func (r report) play(h *history) string {
	if !r.timed {
		r = r.read(max(h.now, r.Date).Plus(Second))
	}
	h.now = max(h.now, r.ReadEnded)
	h.rec, h.last = Decide(h.rec, r.Report)
	flags := ""
	for name, set := range map[string]bool{"imported": r.Imported, "machine": r.Machine, "keyword": r.Keyword, "moved": r.Moved, "inferred": r.Inferred} {
		if set {
			flags += " " + name
		}
	}
	if r.Wall != 0 {
		flags += " wall clock " + clock(r.Wall)
	}
	return fmt.Sprintf("%s shows %s, dated %s ± %s%s, read %s → %+v",
		r.Side, r.State, clock(r.Date), r.Within.Duration(), flags, clock(r.ReadBegan), h.last)
}

// attempt is a step: the present decision is written to a side. The call may take ten seconds.
type attempt struct {
	side    Side
	started Instant
	written Instant
}

func begin(side Side, started Instant) attempt { return attempt{side: side, started: started} }

// writing sets the consent date that is sent to Shopify.
func (a attempt) writing(date Instant) attempt { a.written = date; return a }

const callTakes = 10 * Second

func (a attempt) play(h *history) string {
	h.now = max(h.now, a.started)
	h.rec = Begin(h.rec, a.side, NoPoint, a.written, a.started, a.started.Plus(callTakes))
	return fmt.Sprintf("begin to write to %s at %s, dated %s", a.side, clock(a.started), clock(a.written))
}

// finish is a step: the end of the delivery that started at started is recorded, a second after its start unless said otherwise.
type finish struct {
	side           Side
	started, ended Instant
	outcome        Outcome
}

func end(side Side, started Instant, outcome Outcome) finish {
	return finish{side, started, started.Plus(Second), outcome}
}

func (f finish) play(h *history) string {
	h.now = max(h.now, f.ended)
	h.rec = Finish(h.rec, f.side, f.started, f.ended, f.outcome, "CODE")
	return fmt.Sprintf("the write to %s of %s ends at %s: %s", f.side, clock(f.started), clock(f.ended), f.outcome)
}

// deliver is a whole delivery that the side took, a second long.
func deliver(side Side, started Instant) step {
	return all{begin(side, started), end(side, started, Delivered)}
}

// deliverDated is the same for Shopify, which keeps the date.
func deliverDated(started, written Instant) step {
	return all{begin(Shopify, started).writing(written), end(Shopify, started, Delivered)}
}

// all is several steps told as one.
type all []step

func (a all) play(h *history) string {
	var told []string
	for _, s := range a {
		told = append(told, s.play(h))
	}
	return strings.Join(told, "; ")
}

// clock tells an instant as people read it: relative to noon.
func clock(i Instant) string {
	if i == undated {
		return "undated"
	}
	return fmt.Sprintf("%+v", i.Since(noon).Duration())
}

// show tells a whole record, one line for each side and delivery.
func show(rec *Record) string {
	var b strings.Builder
	d := rec.Decision
	fmt.Fprintf(&b, "    decision: %s %s ± %s at %s keyword=%t, hold %+v\n", d.State, clock(d.At), d.Within.Duration(), d.Side, d.Keyword, rec.Hold)
	if c := rec.Contest; c != (Contest{}) {
		fmt.Fprintf(&b, "    flips: %s %s %s, %d in a row; contested since %s, last word %s, contests %d\n",
			clock(c.Flips[0]), clock(c.Flips[1]), clock(c.Flips[2]), c.Row, clock(c.Since), clock(c.Word), c.Contests)
	}
	for _, side := range Sides {
		s := rec.Seen[side]
		fmt.Fprintf(&b, "    %s (%s): %s, shown %s, taken as %s, read %s, gone %s, machine=%t echo=%t\n",
			side, rec.DebtTo(side), s.State, clock(s.Shown), clock(s.At), clock(s.ReadBegan), clock(s.GoneAt), s.Machine, s.Echo)
		for _, x := range rec.Sent[side] {
			if x.State != Unseen {
				fmt.Fprintf(&b, "      sent %s of %s written %s, %s until %s, ended %s: %s, try %d, spent=%t\n", x.State, clock(x.Decision),
					clock(x.Written), clock(x.Started), clock(x.Deadline), clock(x.Ended), x.Outcome, x.Try, x.Spent)
			}
		}
	}
	return b.String()
}

// person is the decision that a row expects.
type person struct {
	state State
	at    Instant
	side  Side
}

func yes(side Side, at Instant) person { return person{Subscribed, at, side} }
func no(side Side, at Instant) person  { return person{Unsubscribed, at, side} }

var nobodyKnows = person{}

// row is one sentence of the rules with a history that shows it.
type row struct {
	sentence string
	steps    []step
	want     person
	verdict  Verdict
	// shopify and listrak are what each side is owed in the end.
	shopify, listrak Debt
}

func (r row) test(t *testing.T) {
	t.Helper()
	h := play(r.steps)
	got := person{h.rec.Decision.State, h.rec.Decision.At, h.rec.Decision.Side}
	complain := func(what string, got, want any) {
		t.Helper()
		t.Errorf("%s\n%s is %v, want %v\n%s", r.sentence, what, got, want, h.story.String())
	}
	if got != r.want {
		complain("the decision", fmt.Sprint(got.state, " ", clock(got.at), " ", got.side),
			fmt.Sprint(r.want.state, " ", clock(r.want.at), " ", r.want.side))
	}
	if h.last.Verdict != r.verdict {
		complain("the last verdict", h.last.Verdict, r.verdict)
	}
	if debt := h.rec.DebtTo(Shopify); debt != r.shopify {
		complain("Shopify's debt", debt, r.shopify)
	}
	if debt := h.rec.DebtTo(Listrak); debt != r.listrak {
		complain("Listrak's debt", debt, r.listrak)
	}
}

func testRows(t *testing.T, rows []row) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.sentence] {
			t.Errorf("two rows are called %q", r.sentence)
		}
		seen[r.sentence] = true
		t.Run(r.sentence, func(t *testing.T) {
			t.Parallel()
			r.test(t)
		})
	}
}
