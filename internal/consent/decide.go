package consent

// Verdict says what became of a report, and by which rule. The words are stored in journals: never change one.
type Verdict string

// The verdicts, in the order in which the rules are asked.
const (
	// Stale: the read began before that of the side's last recorded report; dropped.
	Stale Verdict = "stale"
	// NoNews: same state and date as the side's last report (rule 1).
	NoNews Verdict = "no_news"
	// NotADecision: never asked, absent, pending, invalid or redacted (rule 2).
	NotADecision Verdict = "not_a_decision"
	// ByMachine: a bounce or list hygiene unsubscribed, no person (rule 9).
	ByMachine Verdict = "by_machine"
	// Echo: the side shows our own delivery (rule 3).
	Echo Verdict = "echo"
	// First: nobody had decided anything before.
	First Verdict = "first"
	// SameSide: the side that decided last says something else now (rule 4).
	SameSide Verdict = "same_side"
	// Newer: the other side, newer by more than the uncertainty (rule 5).
	Newer Verdict = "newer"
	// UnsubscribedWins: the other side, within the uncertainty, with another state (rule 6).
	UnsubscribedWins Verdict = "unsubscribed_wins"
	// Agreed: the other side shows the decision already.
	Agreed Verdict = "agreed"
	// Renewed: the other side says the same, within the uncertainty and with a later date, which the decision takes.
	Renewed Verdict = "renewed"
	// Behind: the other side, older (rule 7).
	Behind Verdict = "behind"
	// Evidence: a later date without a person's act; it would have beaten an Unsubscribed and is shown instead (rule 8).
	Evidence Verdict = "evidence"
	// AfterKeyword: an older or unproven opt-in after a keyword or carrier opt-out, shown instead of delivered (rule 9).
	AfterKeyword Verdict = "after_keyword"
	// WhileContested: a yes that would have decided, while somebody keeps undoing our deliveries; shown instead (I3).
	WhileContested Verdict = "while_contested"
	// AfterErasure: a yes that is not newer than the person's erasure, by more than the uncertainty.
	AfterErasure Verdict = "after_erasure"
)

// ForOperator reports whether somebody should look at what the verdict decided.
func (v Verdict) ForOperator() bool { return v == Evidence || v == AfterKeyword || v == WhileContested }

// Judgement is the answer of Decide.
type Judgement struct {
	Verdict Verdict
	// Changed: the record differs from the one given and has to be saved.
	Changed bool
	// Decided: the decision itself is a new one.
	Decided bool
	// Clamped: the date lay in the future by more than the uncertainty and was set to the read's end (rule 10).
	Clamped bool
}

// FirstContact is the least uncertainty with which the first report of a side meets a decision of the other: its date may be a
// copy made by another tool (rule 6).
const FirstContact = 10 * Minute

// Decide folds one report into the record: rules 1 to 10 and 18 of the rules of consent. It is pure; the caller saves the record
// by compare-and-set and asks again with a fresh one when that fails.
func Decide(rec Record, r Report) (Record, Judgement) {
	before := rec.Seen[r.Side]
	if before.State != Unseen && r.ReadBegan < before.ReadBegan {
		return rec, Judgement{Verdict: Stale}
	}
	echo := rec.explain(r)
	// Their no and ours cannot be told apart while ours may still be on its way: then the no is heard (as in rule 6).
	doubtful := echo != nil && r.Side == Listrak && r.State == Unsubscribed &&
		(echo.effectiveUntil() >= r.ReadBegan || echo.endedUnheard() && before.State == Subscribed && before.ReadBegan > echo.Started)
	flip := rec.isFlip(&r, before.State)
	changed := rec.closeAttempts(r, echo, before)

	if before.State != Unseen && before.State == r.State && !before.movedTo(&r) && before.Machine == r.Machine {
		if before.Ref != r.Ref && r.Ref != "" {
			rec.Seen[r.Side].Ref, changed = r.Ref, true
		}
		if before.Inferred && !r.Inferred {
			rec.Seen[r.Side].Inferred, changed = false, true
		}
		last := &rec.Sent[r.Side][0]
		sinceDelivery := last.Outcome == Delivered && before.ReadBegan <= last.Ended && r.ReadBegan > last.Ended
		stillThere := r.State != Absent && r.ReadBegan > before.ReadBegan && (rec.DebtTo(r.Side) == Owed || before.ReadBegan <= rec.Decision.At)
		if changed || sinceDelivery || stillThere {
			// What is owed next is judged by whether the side was read since the last delivery (rule 16), and whether somebody was
			// still there at the look before the write, or after the decision at all (rule 13).
			rec.Seen[r.Side].ReadBegan, changed = r.ReadBegan, true
		}
		return rec, Judgement{Verdict: NoNews, Changed: changed}
	}

	seen := Sighting{State: r.State, Shown: r.Date, Wall: r.Wall, At: r.Date, Within: r.Within, ReadBegan: r.ReadBegan, Ref: r.Ref, Machine: r.Machine,
		Inferred: r.Inferred}
	if seen.Ref == "" {
		seen.Ref = before.Ref
	}
	judgement := Judgement{Changed: true}
	switch {
	case !r.State.IsDecision():
		if r.State == Absent {
			seen.GoneAt = before.GoneAt
			if before.State != Unseen && before.State != Absent {
				// When they went is not known, only when they were last seen. A decision made since is taken for newer than the
				// disappearance: otherwise somebody deleted long ago could never come back, because only the look-up before the
				// write of their new decision notices.
				seen.GoneAt = before.ReadBegan
			}
		}
		judgement.Verdict = NotADecision
	case r.Machine:
		seen.At, judgement.Clamped = effectiveDate(r)
		judgement.Verdict = ByMachine
	case echo != nil && !doubtful:
		seen.At, seen.Within, seen.Echo = echo.Decision, 0, true
		judgement.Verdict = Echo
	case doubtful && rec.Decision.State != Subscribed:
		// While we agree it moves nothing; but its date stands, against a yes that is read later.
		seen.At, judgement.Clamped = effectiveDate(r)
		judgement.Verdict = Echo
	default:
		seen.At, judgement.Clamped = effectiveDate(r)
		verdict, decides := rec.weigh(r, seen.At, before)
		judgement.Verdict, judgement.Decided = rec.hear(&r, seen.At, flip, verdict, decides)
		if rec.Decision.Erased && !judgement.Decided && (judgement.Verdict == Behind || judgement.Verdict == UnsubscribedWins) {
			judgement.Verdict = AfterErasure
		}
		if judgement.Decided {
			rec.Decision = Decision{State: r.State, At: seen.At, Within: r.Within, Side: r.Side, Keyword: r.Keyword}
			if r.State == Subscribed && r.Imported {
				// The date of an import is no person's: whatever no is found later beats it, as it beats anything undated (rule 8).
				rec.Decision.At = 0
			}
		}
	}
	rec.Seen[r.Side] = seen
	return rec, judgement
}

// movedTo reports whether r shows another date than s. The date of our own copy moves with its wall clock only; that of a person's word
// may come from another zone than the one it was read in first, and is weighed again.
func (s *Sighting) movedTo(r *Report) bool {
	if s.Echo && s.Wall != 0 && r.Wall != 0 {
		return s.Wall != r.Wall
	}
	return s.Shown != r.Date
}

// effectiveDate applies rule 10.
func effectiveDate(r Report) (at Instant, clamped bool) {
	switch {
	case r.Date == 0 && r.State == Unsubscribed:
		return r.ReadBegan, false
	case r.Date > r.ReadEnded:
		return r.ReadEnded, r.Date.Since(r.ReadEnded) > r.Within
	}
	return r.Date, false
}

// weigh compares a report that is a person's word with the decision: rules 4 to 9.
func (rec *Record) weigh(r Report, at Instant, before Sighting) (verdict Verdict, decides bool) {
	decision := &rec.Decision
	if !decision.State.IsDecision() {
		return First, true
	}
	// Whatever explains a later date other than a person's act must not beat a no: neither one that is known, nor, by moving the date
	// of a yes, one that is read later. A subscription whose date moved in place, an import, and a customer who was given this
	// address are such explanations.
	moved := r.Side == Listrak && before.State == Subscribed && !rec.unsubscribedSince(Listrak, before.ReadBegan)
	weak := r.State == Subscribed && (r.Imported || r.Moved || moved)
	if weak && decision.State == Subscribed {
		return Agreed, false
	}
	if decision.Side == r.Side && !decision.Erased {
		switch {
		case weak:
			return Evidence, false
		case r.State == decision.State && compare(at, decision, 0) < 0:
			// An import or a merge that shows an older date of the same state takes nothing back: the newer word was said.
			return Agreed, false
		case r.State == Subscribed && decision.State == Unsubscribed && compare(at, decision, r.Within+decision.Within) < 0:
			// A side that takes its own no back with an older date, or none, speaks of another record (a merge), not of an act.
			return Behind, false
		case r.State == Subscribed && decision.State == Unsubscribed && rec.unsubscribedElsewhere(r, at):
			return UnsubscribedWins, false
		}
		return SameSide, true
	}
	order := compare(at, decision, rec.uncertainty(r, before))
	switch {
	case order > 0 && weak:
		return Evidence, false
	case order > 0 && rec.unsubscribedElsewhere(r, at) && r.State == Subscribed && decision.State == Unsubscribed:
		return UnsubscribedWins, false
	case order > 0:
		return Newer, true
	case r.State == decision.State:
		// Of two words that agree the later one counts: it is the better known one if the other's date is uncertain by hours, and what
		// was said in between must not beat it.
		if order == 0 && compare(at, decision, 0) > 0 {
			return Renewed, true
		}
		return Agreed, false
	case order == 0 && r.State == Unsubscribed:
		return UnsubscribedWins, true
	case decision.Keyword && r.State == Subscribed && r.Side == Shopify:
		return AfterKeyword, false
	case order == 0:
		return UnsubscribedWins, false
	}
	return Behind, false
}

// unsubscribedElsewhere reports whether the other side shows a person's no that is newer than a yes of this side, or within the
// uncertainty of it. It was no news while the decision was a no already; now that a yes would take that back, it counts.
func (rec *Record) unsubscribedElsewhere(r Report, at Instant) bool {
	other := &rec.Seen[r.Side.Other()]
	if other.State != Unsubscribed || other.Echo || other.Machine {
		return false
	}
	return compare(at, &Decision{At: other.At}, r.Within+other.Within) <= 0
}

// uncertainty of the two dates that are compared.
func (rec *Record) uncertainty(r Report, before Sighting) Span {
	both := r.Within + rec.Decision.Within
	// Whom a full read merely did not find is met for the first time too: its search lags, and may have missed a no.
	neverShown := before.State == Unseen || before.Inferred
	if neverShown && rec.Sent[r.Side][0].State == Unseen {
		return max(both, FirstContact)
	}
	return both
}

// compare says whether a report dated at is newer (+1) or older (-1) than the decision by more than within, or neither (0). An
// undated Subscribed is older than everything (rule 10); there is no undated Unsubscribed any more at this point.
func compare(at Instant, decision *Decision, within Span) int {
	switch {
	case at == 0 && decision.At == 0:
		return 0
	case at == 0:
		return -1
	case decision.At == 0:
		return 1
	}
	switch apart := at.Since(decision.At); {
	case apart > within:
		return 1
	case apart < -within:
		return -1
	}
	return 0
}
