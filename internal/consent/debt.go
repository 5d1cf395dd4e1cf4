package consent

// Debt says whether a side is owed the decision, and if not, why not. It is always derived from the record, never an event, so
// that no crash can lose one. The numbers are stored in ledgers for queries: never renumber them.
type Debt uint8

const (
	// Settled: the side shows the decision, or there is none.
	Settled Debt = 0
	// Owed: the side differs and nothing but the switches stands in the way.
	Owed Debt = 1
	// Held: a checkout window still decides the subscription point.
	Held Debt = 2
	// Refused: the side will not take this decision (rules 9, 17).
	Refused Debt = 3
	// Awaiting: what was sent has to be confirmed by the person first; nothing is sent again (rule 16).
	Awaiting Debt = 4
	// Disputed: after MaxTries the side still shows something else (rule 16).
	Disputed Debt = 5
	// Gone: the person was erased there after this decision (rule 13).
	Gone Debt = 6
	// Blocked: the side shows pending, invalid or redacted, which is never written over (rule 2).
	Blocked Debt = 7
	// Stopped: owed, but more people would be resubscribed than the merchant's limit allows; it waits for an operator (I10).
	// DebtTo never returns it, because it depends on the deliveries to others: only the ledger's column and its readers know it.
	Stopped Debt = 8
	// Contested: somebody keeps undoing what we deliver, and has undone the last no too; nothing is sent there (I3).
	Contested Debt = 9
)

// String names the debt as status shows it.
func (d Debt) String() string {
	switch d {
	case Settled:
		return "settled"
	case Owed:
		return "owed"
	case Held:
		return "held"
	case Refused:
		return "refused"
	case Awaiting:
		return "awaiting confirmation"
	case Disputed:
		return "disputed"
	case Gone:
		return "gone"
	case Blocked:
		return "blocked"
	case Stopped:
		return "stopped"
	case Contested:
		return "contested"
	default:
		return "unknown debt"
	}
}

// MaxTries is how often a side may accept a decision and still not show it before the subject is disputed (rule 16).
const MaxTries = 3

// EffectGrace is how long after its deadline an attempt of unknown end may still take effect.
const EffectGrace = 2 * Minute

// DebtTo derives what side is owed. It looks at the record alone: whether the direction is on and may deliver this decision is
// Permit's to say.
func (rec *Record) DebtTo(side Side) Debt {
	decision, seen, last := &rec.Decision, &rec.Seen[side], &rec.Sent[side][0]
	if !decision.State.IsDecision() {
		return Settled
	}
	if rec.Shows(side) {
		if rec.hasOpenAgainst(side) {
			// What was sent may still take effect, whatever the side shows now: only a read after the grace closes the attempt.
			return Owed
		}
		return Settled
	}
	carried := last.carries(*decision)
	switch {
	case carried && (last.Outcome == AwaitingConfirmation || last.Outcome == Delivered && seen.State == Pending):
		return Awaiting
	case carried && last.Outcome == RefusedForGood:
		return Refused
	case seen.State == Pending, seen.State == Invalid, seen.State == Redacted:
		return Blocked
	case seen.State == Absent && seen.GoneAt != 0 && decision.At <= seen.GoneAt:
		return Gone
	case seen.Machine && decision.At <= seen.At.Plus(seen.Within):
		return Refused
	case rec.undoneInContest(side):
		return Contested
	case carried && last.Outcome == Delivered && last.Try >= MaxTries && seen.ReadBegan > last.Ended:
		return Disputed
	case side == Listrak && rec.Hold.Consent != 0 && !rec.Hold.Settled && decision.State == Subscribed:
		return Held
	}
	return Owed
}

// Retry makes what a side has refused, disputes, or lets somebody undo again and again, owed once more, because a person asked for it
// (rule 17). Nothing is decided by it, and nothing that was seen or sent is forgotten. The next report of a side that still refuses,
// disputes or undoes ends it as before. A record of which nothing of that holds is returned as it is.
func Retry(rec Record, side Side) Record {
	debt := rec.DebtTo(side)
	if rec.Contested() {
		// Whoever asks has seen to it that nobody undoes our deliveries any more.
		rec.Contest = Contest{}
	}
	if debt != Refused && debt != Disputed && debt != Contested {
		return rec
	}
	if last := &rec.Sent[side][0]; last.carries(rec.Decision) {
		// Tries count anew, and a refusal counts as a failure that may pass.
		last.Try = 0
		if last.Outcome == RefusedForGood {
			last.Outcome = Failed
		}
	}
	if seen := &rec.Seen[side]; seen.Machine {
		// The bounce that we know of counts as older than the decision; the next one does not.
		seen.At, seen.Within = rec.Decision.At-1, 0
	}
	return rec
}

// Shows reports whether side needs no write as far as its last report goes: it shows the decision, or does not know somebody who has
// unsubscribed (rule 13).
func (rec *Record) Shows(side Side) bool {
	seen, decided := rec.Seen[side].State, rec.Decision.State
	return decided.IsDecision() && (seen == decided || seen == Absent && decided == Unsubscribed)
}

// Resubscribes reports whether a delivery of the decision would turn the person from unsubscribed to subscribed on side (I10).
func (rec *Record) Resubscribes(side Side) bool {
	return rec.Decision.State == Subscribed && rec.Seen[side].State == Unsubscribed
}

// Debts derives what both sides are owed.
func (rec *Record) Debts() [2]Debt {
	return [2]Debt{rec.DebtTo(Shopify), rec.DebtTo(Listrak)}
}

// OpenUntil returns when the last attempt of unknown end on side can no longer take effect; zero when none is open.
func (rec *Record) OpenUntil(side Side) Instant {
	var until Instant
	for i := range rec.Sent[side] {
		if d := &rec.Sent[side][i]; d.isOpen() {
			until = max(until, d.effectiveUntil())
		}
	}
	return until
}

// hasOpenAgainst reports whether an attempt of unknown end could still bring the side into another state than the decision's. One
// that carries the same state does no harm when it takes effect late.
func (rec *Record) hasOpenAgainst(side Side) bool {
	for i := range rec.Sent[side] {
		if d := &rec.Sent[side][i]; d.isOpen() && d.State != rec.Decision.State {
			return true
		}
	}
	return false
}
