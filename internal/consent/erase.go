package consent

// Erased is what stays of a record when the person has asked to be forgotten at the given time: a no, and nothing of what was seen,
// sent or held, nor any id. Only a yes that is newer than that, by more than the uncertainty, brings the person back; a yes that a side
// still shows from before decides nothing, and that side is owed the no. A no that was known before is never weakened: neither its date
// goes back nor is it forgotten that it came by keyword.
//
// Both sides count as not knowing the person, who is then owed nothing, as of the erasure (rule 13). No read stands behind that, so no
// report is dropped for being older.
//
// Erasing twice changes nothing but what came in between; see ErasedSince.
func Erased(rec Record, at Instant) Record {
	decision := Decision{State: Unsubscribed, At: max(at, rec.Decision.At), Erased: true}
	if before := rec.Decision; before.State == Unsubscribed {
		decision.Keyword = before.Keyword
		if before.At >= at {
			decision.Within = before.Within
		}
	}
	after := Record{Decision: decision}
	for _, side := range Sides {
		after.Seen[side] = Sighting{State: Absent, GoneAt: decision.At}
	}
	return after
}

// ErasedSince erases once more what has come back of a person who was erased at the given time: ids, and what a side showed until it had
// forgotten. Whoever has subscribed since has come back by their own will and stays as they are; ok is false then.
func ErasedSince(rec Record, at Instant) (after Record, ok bool) {
	if rec.Decision.State == Subscribed && rec.Decision.At > at {
		return rec, false
	}
	return Erased(rec, at), true
}

// OptOut is what stays of a record when all people of a merchant are erased: somebody's no, with its date, so that the merchant who
// comes back does not write to them. ok is false for everybody else, of whom nothing stays. The sides were not looked at, so the first
// report of each counts as a first contact (rule 6).
func OptOut(rec Record) (after Record, ok bool) {
	if rec.Decision.State != Unsubscribed {
		return Record{}, false
	}
	after = Record{Decision: rec.Decision}
	for _, side := range Sides {
		after.Seen[side] = Sighting{State: Absent, Inferred: true}
	}
	return after, true
}

// LateEffectUntil returns until when a delivery of unknown end may still take effect on either side; zero when none may. An erasure
// waits for it: what arrived afterwards would pass for a person's word, since nothing would explain it any more.
func (rec *Record) LateEffectUntil() Instant {
	return max(rec.OpenUntil(Shopify), rec.OpenUntil(Listrak))
}
