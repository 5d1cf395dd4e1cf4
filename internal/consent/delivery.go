package consent

// carries reports whether d was a write of exactly this decision.
func (d *Delivery) carries(decision Decision) bool {
	return d.State != Unseen && d.State == decision.State && d.Decision == decision.At
}

func (d *Delivery) isOpen() bool { return d.State != Unseen && d.Outcome == Open }

// effectiveUntil is when the write can no longer take effect.
func (d *Delivery) effectiveUntil() Instant {
	if d.Outcome == Open {
		return d.Deadline.Plus(EffectGrace)
	}
	return d.Ended
}

// endedUnheard reports whether the call's own answer never came: its end is only what a read has shown.
func (d *Delivery) endedUnheard() bool { return d.Outcome == Open || d.Ended > d.Deadline }

// explain finds the delivery whose echo r is (rule 3), or nil. Shopify keeps the date that we wrote, to the second. Listrak dates
// a write itself, so any date within the attempt, widened by the uncertainty, may be ours; therefore a delivery explains nothing
// any more once the side has shown something else since (Spent): a person who comes back is heard.
func (rec *Record) explain(r Report) *Delivery {
	if !r.State.IsDecision() || r.Machine {
		return nil
	}
	for i := range rec.Sent[r.Side] {
		d := &rec.Sent[r.Side][i]
		if d.State == Unseen {
			return nil
		}
		if d.State != r.State || d.Spent {
			continue
		}
		if r.Side == Shopify {
			// The date that we wrote is proof enough, even of an attempt that a read had given up before.
			if d.Written == r.Date.Seconds() && r.Date != 0 && d.Outcome != RefusedForGood {
				return d
			}
			continue
		}
		if d.Outcome != Open && d.Outcome != Delivered {
			continue
		}
		if before := &rec.Seen[r.Side]; before.State == r.State && before.movedTo(&r) && before.ReadBegan > d.effectiveUntil() {
			// What the delivery left was shown by then, with its date: whoever moved that said so anew. Otherwise a no that is repeated
			// within the uncertainty (14 hours, or one in the repeated hour of a clock change) would be taken for a copy.
			continue
		}
		if r.Date == 0 || r.Date.Plus(r.Within) >= d.Started && r.Date.Plus(-r.Within) <= d.effectiveUntil() {
			return d
		}
	}
	return nil
}

// closeAttempts lets a report end attempts of unknown end and marks deliveries as spent. It reports whether anything changed.
func (rec *Record) closeAttempts(r Report, echo *Delivery, before Sighting) (changed bool) {
	// A read that shows what was shown before the delivery may simply lag behind it.
	news := before.State != r.State || before.movedTo(&r)
	for i := range rec.Sent[r.Side] {
		d := &rec.Sent[r.Side][i]
		if d.State == Unseen {
			break
		}
		if d.isOpen() {
			switch {
			case d == echo:
				// Shopify's date proves the write. Listrak's does not: the person may have said the same, and the call may still
				// arrive. So it goes on explaining until then; otherwise its late effect would pass for a person's word.
				end := max(r.ReadBegan, d.Started)
				if r.Side == Listrak {
					end = d.effectiveUntil()
				}
				d.Outcome, d.Ended, changed = Delivered, end, true
			case r.ReadBegan > d.effectiveUntil():
				d.Outcome, d.Ended, changed = Failed, r.ReadBegan, true
			}
		}
		if news && !d.Spent && d.Outcome == Delivered && r.State != d.State && r.ReadBegan > d.Ended {
			d.Spent, changed = true, true
		}
	}
	return changed
}

// Begin records the start of a delivery of the present decision to side, before the call is made. Started and Deadline are by the
// database's clock. Tries count only what the side accepted: an outage must never end in a dispute.
func Begin(rec Record, side Side, point Point, written, started, deadline Instant) Record {
	sent := &rec.Sent[side]
	try := uint8(1)
	if last := &sent[0]; last.carries(rec.Decision) {
		try = last.Try
		if last.Outcome == Delivered && try < MaxTries {
			try++
		}
	}
	place := leastNeeded(sent)
	copy(sent[1:place+1], sent[:place])
	sent[0] = Delivery{
		State: rec.Decision.State, Decision: rec.Decision.At, Written: written, Started: started, Deadline: deadline,
		Point: point, Try: try,
	}
	return rec
}

// leastNeeded finds the place that a new delivery may take: an unused one, else the oldest that explains no report any more, else
// the oldest that has ended, else the oldest unsubscribe, which at worst passes for a person's no. Otherwise four failures within
// the grace of a subscribe of unknown end would push it out, and its late effect would pass for a person's yes.
func leastNeeded(sent *[RememberedDeliveries]Delivery) int {
	for i := len(sent) - 1; i >= 0; i-- {
		if d := &sent[i]; d.State == Unseen || d.Spent || d.Outcome != Open && d.Outcome != Delivered {
			return i
		}
	}
	for i := len(sent) - 1; i >= 0; i-- {
		if !sent[i].isOpen() {
			return i
		}
	}
	for i := len(sent) - 1; i >= 0; i-- {
		if sent[i].State == Unsubscribed {
			return i
		}
	}
	return len(sent) - 1
}

// Finish records how the delivery to side that started at started ended. A delivery that is no longer remembered, or that has an
// end already, is left as it is; but a call that came back well has taken effect, even if a read had given it up before: a process
// that was frozen past its lease still writes.
func Finish(rec Record, side Side, started, ended Instant, outcome Outcome, code string) Record {
	sent := &rec.Sent[side]
	for i := range sent {
		d := &sent[i]
		if d.Started != started || !d.isOpen() && (d.Outcome != Failed || outcome != Delivered) {
			continue
		}
		d.Outcome, d.Code, d.Spent = outcome, code, false
		if outcome != Open {
			d.Ended = ended
		}
		if outcome != Delivered {
			break
		}
		// The side has taken this write after those that can no longer arrive: what it shows of their state from now on is
		// somebody's own act.
		for j := i + 1; j < len(sent); j++ {
			if older := &sent[j]; older.State != Unseen && older.State != d.State && !older.isOpen() && older.Ended <= d.Ended {
				older.Spent = true
			}
		}
		break
	}
	return rec
}

// unsubscribedSince reports whether an unsubscribe was delivered to side after since: a subscription that it shows now is a new one,
// even if the unsubscribed state itself was never read.
func (rec *Record) unsubscribedSince(side Side, since Instant) bool {
	for i := range rec.Sent[side] {
		if d := &rec.Sent[side][i]; d.State == Unsubscribed && d.Outcome == Delivered && d.Ended >= since {
			return true
		}
	}
	return false
}

// WriteDate is the consent date to send to Shopify (rule 15): the decision's own, or a second after the one held there. Shopify
// ignores a write that is dated before what it holds, which protects an opt-out that we have not seen; so the date is never simply
// now. It is not ok when the date would lie in the future: then the write has to wait until that second has passed.
// firstSight dates a subscription whose side gave no date.
func WriteDate(decision Decision, held Instant, firstSight, now Instant) (date Instant, ok bool) {
	date = decision.At.Seconds()
	if date == 0 {
		date = firstSight.Seconds()
	}
	if held != 0 && held.Seconds() >= date {
		date = held.Seconds().Plus(Second)
	}
	return date, date <= now
}

// OverridesUnsubscribe reports whether a write of the decision to Listrak may override an unsubscribe (rule 14): only when the read
// before the write showed an Unsubscribed that is older than the decision. The report was decided first, so a newer one would be
// the decision itself. Our own copy of a no is older than the yes that has replaced that no, though both may bear the same second.
func (rec *Record) OverridesUnsubscribe() bool {
	seen := &rec.Seen[Listrak]
	return rec.Decision.State == Subscribed && seen.State == Unsubscribed && (seen.Echo || seen.At < rec.Decision.At)
}

// Forget removes what a side has shown and was sent, and who undid it there; the decision stays. For a side that was replaced by
// another one.
func (rec Record) Forget(side Side) Record {
	rec.Contest = Contest{}
	rec.Seen[side], rec.Sent[side] = Sighting{}, [RememberedDeliveries]Delivery{}
	return rec
}
