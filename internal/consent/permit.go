package consent

// Interval is a time in which a direction was on: from Began, inclusive, to Ended, exclusive; Ended zero means that it still is.
type Interval struct {
	Began, Ended Instant
}

// Contains reports whether at lies in the interval.
func (i Interval) Contains(at Instant) bool {
	return at >= i.Began && (i.Ended == 0 || at < i.Ended)
}

// Permit is what the switches of one direction allow.
type Permit struct {
	// On: the direction is on now.
	On bool
	// FirstOn is when it was first enabled; zero when never.
	FirstOn Instant
	// Intervals are all the times in which it was on.
	Intervals []Interval
	// ExistingOptOuts: people unsubscribed in Shopify before the direction was first enabled are delivered too.
	ExistingOptOuts bool
}

// Covers reports whether a decision may be delivered to side as far as its date goes (rule 11), whether or not the direction is on
// at this moment. Towards Shopify everything may; towards Listrak only what was decided while the direction was on, and every
// opt-out since it was first enabled.
func (p *Permit) Covers(decision Decision, to Side) bool {
	if !decision.State.IsDecision() || p.FirstOn == 0 {
		return false
	}
	if to == Shopify {
		return true
	}
	if decision.State == Unsubscribed {
		return p.ExistingOptOuts || decision.At >= p.FirstOn
	}
	for _, interval := range p.Intervals {
		if interval.Contains(decision.At) {
			return true
		}
	}
	return false
}

// Allows reports whether a decision may be delivered to side now (rules 11 and 12).
func (p *Permit) Allows(decision Decision, to Side) bool { return p.On && p.Covers(decision, to) }
