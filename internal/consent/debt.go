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
	// Awaiting: the person has to confirm first; nothing is sent again (rule 16).
	Awaiting Debt = 4
	// Disputed: after MaxTries the side still shows something else (rule 16).
	Disputed Debt = 5
	// Gone: the person was erased there after this decision (rule 13).
	Gone Debt = 6
	// Blocked: the side shows pending, invalid or redacted, which is never written over (rule 2).
	Blocked Debt = 7
	// Unproven: an older or unproven opt-in after a keyword or carrier opt-out: shown, not delivered (rule 9).
	Unproven Debt = 8
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
	case Unproven:
		return "unproven"
	default:
		return "unknown debt"
	}
}
