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
	// Behind: the other side, older (rule 7).
	Behind Verdict = "behind"
	// Evidence: a later date without a person's act; it would have beaten an Unsubscribed and is shown instead (rule 8).
	Evidence Verdict = "evidence"
	// AfterKeyword: an older or unproven opt-in after a keyword or carrier opt-out, shown instead of delivered (rule 9).
	AfterKeyword Verdict = "after_keyword"
)

// ForOperator reports whether somebody should look at what the verdict decided.
func (v Verdict) ForOperator() bool { return v == Evidence || v == AfterKeyword }

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
	changed := rec.closeAttempts(r, echo)

	if before.State != Unseen && before.State == r.State && before.Shown == r.Date && before.Machine == r.Machine {
		if before.Ref != r.Ref && r.Ref != "" {
			rec.Seen[r.Side].Ref, changed = r.Ref, true
		}
		if changed {
			// An attempt was closed by this read: what is owed next is judged by when the side was last read.
			rec.Seen[r.Side].ReadBegan = r.ReadBegan
		}
		return rec, Judgement{Verdict: NoNews, Changed: changed}
	}

	seen := Sighting{State: r.State, Shown: r.Date, At: r.Date, Within: r.Within, ReadBegan: r.ReadBegan, Ref: r.Ref, Machine: r.Machine}
	if seen.Ref == "" {
		seen.Ref = before.Ref
	}
	judgement := Judgement{Changed: true}
	switch {
	case !r.State.IsDecision():
		if r.State == Absent {
			seen.GoneAt = before.GoneAt
			if before.State != Unseen && before.State != Absent {
				seen.GoneAt = r.ReadBegan
			}
		}
		judgement.Verdict = NotADecision
	case r.Machine:
		seen.At, judgement.Clamped = effectiveDate(r)
		judgement.Verdict = ByMachine
	case echo != nil:
		seen.At, seen.Within, seen.Echo = echo.Decision, 0, true
		judgement.Verdict = Echo
	default:
		seen.At, judgement.Clamped = effectiveDate(r)
		judgement.Verdict, judgement.Decided = rec.weigh(r, seen.At, before)
		if judgement.Decided {
			rec.Decision = Decision{State: r.State, At: seen.At, Within: r.Within, Side: r.Side, Keyword: r.Keyword}
		}
	}
	rec.Seen[r.Side] = seen
	return rec, judgement
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
	// Whatever explains a later date other than a person's act must not beat a no. A subscription whose date moved in place, an
	// import, and a customer who was given this address are such explanations.
	weak := r.State == Subscribed && decision.State == Unsubscribed &&
		(r.Imported || r.Moved || r.Side == Listrak && before.State == Subscribed)
	if decision.Side == r.Side {
		if weak {
			return Evidence, false
		}
		return SameSide, true
	}
	order := compare(at, decision, rec.uncertainty(r, before))
	switch {
	case order > 0 && weak:
		return Evidence, false
	case order > 0:
		return Newer, true
	case r.State == decision.State:
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

// uncertainty of the two dates that are compared.
func (rec *Record) uncertainty(r Report, before Sighting) Span {
	both := r.Within + rec.Decision.Within
	if before.State == Unseen && rec.Sent[r.Side][0].State == Unseen {
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
