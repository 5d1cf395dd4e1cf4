package consent

// The brake of I3. A flip is a report by which somebody undoes what we had delivered to that very side: nothing that a single person
// does often, and what two other applications, or one that guards each side, do for ever with our help. After ContestFlips flips
// within ContestSpan the person is contested: the decision is a no then and stays one, a side is told of it once more, and whoever
// undoes that as well is left alone and shown to the operator.

const (
	// ContestFlips flips within ContestSpan make a person contested.
	ContestFlips      = 3
	ContestSpan  Span = 10 * Minute
	// slowFlips in a row make one too, however slowly they come: an application that takes a quarter of an hour, or runs every night,
	// would otherwise go on for ever.
	slowFlips = 10
	// flipMemory is how long after a flip the next one still belongs to the same row.
	flipMemory Span = 7 * 24 * Hour
	// maxContests bounds how often the quiet that ends a contest doubles: from ten minutes to a little more than flipMemory.
	maxContests = 11
)

// Contest is what a record remembers of somebody undoing our deliveries. The zero Contest remembers nothing.
type Contest struct {
	// Flips are when the last flips were seen, newest first; zero where there was none. Times of reads, not the sides' own dates: those
	// may be off by hours, and a flip that is found late was not a fast one.
	Flips [ContestFlips]Instant
	// Since is when the flip was seen by which the person became contested; zero while they are not.
	Since Instant
	// Word is when a side last said anything new while contested, heard or not: the contest ends by a word after a quiet since then.
	Word Instant
	// Row counts the flips that followed one another within flipMemory, and Contests how often they came to a contest.
	Row, Contests uint8
}

// Contested reports whether somebody keeps undoing our deliveries, so that a yes is not heard for now.
func (rec *Record) Contested() bool { return rec.Contest.Since != 0 }

// HeardAgainAfter is the date after which a yes is heard again; zero when the person is not contested.
func (rec *Record) HeardAgainAfter() Instant {
	if !rec.Contested() {
		return 0
	}
	return rec.Contest.Word.Plus(rec.Contest.quiet())
}

// quiet is how long nobody may have said anything before a word counts for a person's again. It doubles with every contest of a row:
// what undoes our deliveries again and again is a machine that works more slowly than we had waited, and our writes fall to zero.
func (c *Contest) quiet() Span { return ContestSpan << (max(c.Contests, 1) - 1) }

// isFlip reports whether r undoes what we had delivered to its side: a delivery of the present decision's state, which the side has
// taken and shown. What the side itself says one way and the other is no flip: by the second word the delivery is spent.
func (rec *Record) isFlip(r *Report, before State) bool {
	if !r.State.IsDecision() || r.State == rec.Decision.State {
		return false
	}
	for i := range rec.Sent[r.Side] {
		d := &rec.Sent[r.Side][i]
		if d.State == Unseen {
			return false
		}
		if d.State != rec.Decision.State || d.Outcome != Delivered || d.Spent {
			continue
		}
		// A flip that comes at once is read before what it undid; it is known by its date. One that is dated before our write was not
		// aimed at it: it came between our look and our write.
		return before == d.State || r.Date.Plus(r.Within) >= d.Started
	}
	return false
}

// hear lets a report pass the brake that would become the decision, or that undoes a delivery of it even so (flip). at is its date.
func (rec *Record) hear(r *Report, at Instant, flip bool, verdict Verdict, decides bool) (Verdict, bool) {
	if !decides && (!flip || verdict == Behind) {
		// An older word that comes back is another record's (a merge), or a read that lags.
		return verdict, false
	}
	c := &rec.Contest
	ended := decides && c.Since != 0 && at.Plus(-r.Within) > rec.HeardAgainAfter()
	if ended {
		c.Since, c.Word = 0, 0
	}
	if flip {
		c.count(r.ReadBegan, ended)
	}
	if c.Since == 0 {
		return verdict, decides
	}
	c.Word = max(c.Word, r.ReadBegan)
	if decides && r.State == Subscribed {
		return WhileContested, false
	}
	return verdict, decides
}

// count remembers a flip. One that has just ended a contest, after all that quiet, does not begin the next.
func (c *Contest) count(at Instant, ended bool) {
	if c.Since == 0 && c.Flips[0] != 0 && at.Since(c.Flips[0]) > flipMemory {
		*c = Contest{}
	}
	// The sides are read independently: a flip may be told after a later one.
	at = max(at, c.Flips[0])
	copy(c.Flips[1:], c.Flips[:])
	c.Flips[0] = at
	if c.Row < slowFlips {
		c.Row++
	}
	if c.Since != 0 || ended {
		return
	}
	third := c.Flips[ContestFlips-1]
	if third != 0 && at.Since(third) <= ContestSpan || c.Row >= slowFlips {
		c.Since, c.Word, c.Contests = at, at, min(c.Contests+1, maxContests)
	}
}

// undoneInContest reports whether side has undone the no that it was told since the person is contested. The decision of a contested
// person is always a no: the flip that begins a contest is one, or is a yes that is not heard.
func (rec *Record) undoneInContest(side Side) bool {
	last := &rec.Sent[side][0]
	return rec.Contested() && last.State == rec.Decision.State && last.Outcome == Delivered && last.Spent && last.Started >= rec.Contest.Since
}
