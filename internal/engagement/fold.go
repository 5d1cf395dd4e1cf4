package engagement

import (
	"cmp"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
)

// Standing is how things stand between one person and one message, as Listrak shows it: what has happened up to now, not what happens.
type Standing struct {
	Sent time.Time
	// First is when anything but the sending happened first; Listrak does not date what came after.
	First                                              time.Time
	Opened, Clicked, Bounced, Unsubscribed, Complained bool
	Clicks                                             int64
}

// StandingOf is what a row of Listrak's activity says.
func StandingOf(row *listrak.Activity) Standing {
	return Standing{Sent: row.Sent, First: row.First, Opened: row.Opened, Clicked: row.Clicked, Bounced: row.Bounced,
		Unsubscribed: row.Unsubscribed, Complained: row.Complained, Clicks: int64(row.Clicks)}
}

// ToCome reports whether it was sent in the future, by more than clocks are apart: its dates are of another zone than the one that is set. It
// counts when that time has come, as a person's last email cannot lie ahead.
func (s *Standing) ToCome(now time.Time) bool { return s.Sent.After(now.Add(futureTolerance)) }

// Happening is one event: at that time a person did, or was done, that.
type Happening struct {
	Mark Mark
	At   time.Time
}

// Counter folds facts about people into their records and counts what that changes.
type Counter struct {
	Channel consent.Channel
	// On says which kinds are switched on: of the others nothing is kept.
	On func(kind consent.Sync) bool
	// Now dates what has no date of its own. What was last touched before Oldest is left out of records that change.
	Now, Oldest time.Time

	days map[ledger.EngagementDay]ledger.EngagementCounts
}

// Message is what the counter has to know of a message.
type Message struct {
	Ref  int64
	Zone *time.Location
	// Again: it may be sent to one person several times, as those of conversations and transactional ones are, and each sending counts. Two in
	// the same second are one: nothing that Listrak shows tells them apart.
	Again bool
}

// Days are the changes counted so far.
func (c *Counter) Days() map[ledger.EngagementDay]ledger.EngagementCounts { return c.days }

// Stand takes in how things stand, and reports whether the record changed. What Listrak shows for the first time is dated by First if
// nothing had happened before that we knew of, and now otherwise: later than it was, by as long as the message was not read.
func (c *Counter) Stand(r *Record, m Message, standing Standing) bool {
	if r.erased || standing.ToCome(c.Now) {
		return false
	}
	var send int64
	if m.Again && !standing.Sent.IsZero() {
		send = standing.Sent.Unix()
	}
	s := r.state(m.Ref, send)
	next := s
	seen := c.Now.Unix()
	if !standing.First.IsZero() && standing.First.Before(c.Now) && slices.Max(s.at[Opened:]) == 0 {
		seen = standing.First.Unix()
	}
	set := func(mark Mark, shown bool, at int64) {
		if shown && next.at[mark] == 0 && at != 0 && c.On(mark.Kind(c.Channel)) {
			next.at[mark] = at
		}
	}
	set(Sent, !standing.Sent.IsZero(), standing.Sent.Unix())
	set(Opened, standing.Opened, seen)
	set(Clicked, standing.Clicked, seen)
	set(Bounced, standing.Bounced, seen)
	set(Unsubscribed, standing.Unsubscribed, seen)
	set(Complained, standing.Complained, seen)
	if next.at[Opened] != 0 {
		// Listrak does not count opens of a person.
		next.views = max(next.views, 1)
	}
	if next.at[Clicked] != 0 && c.On(Clicked.Kind(c.Channel)) {
		next.clicks = max(next.clicks, standing.Clicks, 1)
	}
	return c.replace(r, m, s, next, seen)
}

// Happen takes in one event that was not taken in before, and reports whether the record changed.
func (c *Counter) Happen(r *Record, m Message, h Happening) bool {
	if r.erased || !c.On(h.Mark.Kind(c.Channel)) {
		return false
	}
	s := r.state(m.Ref, 0)
	next, at := s, h.At.Unix()
	if next.at[h.Mark] == 0 || at < next.at[h.Mark] {
		next.at[h.Mark] = at
	}
	switch h.Mark {
	case Opened:
		next.views++
	case Clicked:
		next.clicks++
	}
	changed := c.replace(r, m, s, next, at)
	if h.Mark <= Clicked && at > r.last[h.Mark] {
		r.last[h.Mark] = at
		changed = true
	}
	return changed
}

// replace puts next in the place of s, and counts the difference: acts on the day of at, everything else on its own.
func (c *Counter) replace(r *Record, m Message, s, next state, at int64) bool {
	if next == s {
		return false
	}
	acts := ledger.EngagementCounts{Views: next.views - s.views, Clicks: next.clicks - s.clicks}
	c.count(m, at, acts)
	c.unique(m, &s, -1)
	c.unique(m, &next, 1)
	for i, mark := range [...]Mark{Sent, Opened, Clicked} {
		r.last[i] = max(r.last[i], next.at[mark])
	}
	if acts.Clicks > 0 {
		r.last[Clicked] = max(r.last[Clicked], at)
	}
	r.put(next)
	oldest := c.Oldest.Unix()
	r.states = slices.DeleteFunc(r.states, func(other state) bool { return compareKeys(other, next) != 0 && other.latest() < oldest })
	return true
}

// unique counts what a state stands for, but for acts: times 1 adds it, -1 takes it away.
func (c *Counter) unique(m Message, s *state, times int64) {
	if s.at[Sent] != 0 {
		counts := ledger.EngagementCounts{Sends: times}
		if s.at[Bounced] == 0 {
			counts.Deliveries = times
		}
		c.count(m, s.at[Sent], counts)
	}
	for mark, counts := range [...]ledger.EngagementCounts{
		Opened: {UniqueViews: times}, Clicked: {UniqueClicks: times}, Bounced: {Bounces: times}, Unsubscribed: {Unsubscribes: times},
		Complained: {Complaints: times},
	} {
		if mark != int(Sent) && s.at[mark] != 0 {
			c.count(m, s.at[mark], counts)
		}
	}
}

func (c *Counter) count(m Message, at int64, counts ledger.EngagementCounts) {
	if counts == (ledger.EngagementCounts{}) {
		return
	}
	if c.days == nil {
		c.days = map[ledger.EngagementDay]ledger.EngagementCounts{}
	}
	day := ledger.EngagementDay{Ref: m.Ref, Day: dayOf(at, m.Zone)}
	c.days[day] = c.days[day].Plus(counts)
}

// dayOf is the day, counted from 1970-01-01, of a time in a zone.
func dayOf(at int64, zone *time.Location) int64 {
	_, offset := time.Unix(at, 0).In(zone).Zone()
	local := at + int64(offset)
	day := local / secondsOfDay
	if local%secondsOfDay < 0 {
		day--
	}
	return day
}

const secondsOfDay = 24 * 60 * 60

func compareKeys(a, b state) int {
	return cmp.Or(cmp.Compare(a.ref, b.ref), cmp.Compare(a.send, b.send))
}

// state is what is known of a message, or of one sending of it; one without marks when nothing is.
func (r *Record) state(ref, send int64) state {
	key := state{ref: ref, send: send}
	if n, found := slices.BinarySearchFunc(r.states, key, compareKeys); found {
		return r.states[n]
	}
	return key
}

func (r *Record) put(s state) {
	n, found := slices.BinarySearchFunc(r.states, s, compareKeys)
	if found {
		r.states[n] = s
		return
	}
	r.states = slices.Insert(r.states, n, s)
}
