package engagement

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
)

var (
	newYork  = must(time.LoadLocation("America/New_York"))
	noon     = time.Date(2026, 11, 20, 17, 0, 0, 0, time.UTC)
	allOn    = func(consent.Sync) bool { return true }
	messages = []Message{{Ref: 1, Zone: newYork}, {Ref: 2, Zone: time.UTC}, {Ref: 70_000, Zone: newYork}}
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func counter(on func(consent.Sync) bool) *Counter {
	return &Counter{Channel: consent.Email, On: on, Now: noon.Add(20 * 24 * time.Hour), Oldest: noon.Add(-40 * 24 * time.Hour)}
}

// happening draws an event within ten days.
func happening(t *rapid.T) (Message, Happening) {
	return rapid.SampledFrom(messages).Draw(t, "message"), Happening{
		Mark: Mark(rapid.IntRange(0, int(marks)-1).Draw(t, "mark")),
		At:   noon.Add(time.Duration(rapid.IntRange(0, 10*24*3600).Draw(t, "second")) * time.Second),
	}
}

type fact struct {
	message   Message
	happening Happening
}

func facts(t *rapid.T) []fact {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) fact {
		m, h := happening(t)
		return fact{m, h}
	}), 0, 30).Draw(t, "facts")
}

func nonZero(days map[ledger.EngagementDay]ledger.EngagementCounts) map[ledger.EngagementDay]ledger.EngagementCounts {
	left := map[ledger.EngagementDay]ledger.EngagementCounts{}
	for day, counts := range days {
		if counts != (ledger.EngagementCounts{}) {
			left[day] = counts
		}
	}
	return left
}

// recount counts what a list of events stands for by its definition, without folding.
func recount(list []fact) map[ledger.EngagementDay]ledger.EngagementCounts {
	days := map[ledger.EngagementDay]ledger.EngagementCounts{}
	add := func(m Message, at time.Time, counts ledger.EngagementCounts) {
		date := at.In(m.Zone)
		day := ledger.EngagementDay{Ref: m.Ref, Day: time.Date(date.Year(), date.Month(), date.Day(), 0, 0, 0, 0, time.UTC).Unix() / secondsOfDay}
		days[day] = days[day].Plus(counts)
	}
	for _, m := range messages {
		var first [marks]time.Time
		for _, f := range list {
			if f.message.Ref != m.Ref {
				continue
			}
			if at := first[f.happening.Mark]; at.IsZero() || f.happening.At.Before(at) {
				first[f.happening.Mark] = f.happening.At
			}
			switch f.happening.Mark {
			case Opened:
				add(m, f.happening.At, ledger.EngagementCounts{Views: 1})
			case Clicked:
				add(m, f.happening.At, ledger.EngagementCounts{Clicks: 1})
			}
		}
		for mark, at := range first {
			if at.IsZero() {
				continue
			}
			switch Mark(mark) {
			case Sent:
				counts := ledger.EngagementCounts{Sends: 1}
				if first[Bounced].IsZero() {
					counts.Deliveries = 1
				}
				add(m, at, counts)
			case Opened:
				add(m, at, ledger.EngagementCounts{UniqueViews: 1})
			case Clicked:
				add(m, at, ledger.EngagementCounts{UniqueClicks: 1})
			case Bounced:
				add(m, at, ledger.EngagementCounts{Bounces: 1})
			case Unsubscribed:
				add(m, at, ledger.EngagementCounts{Unsubscribes: 1})
			case Complained:
				add(m, at, ledger.EngagementCounts{Complaints: 1})
			}
		}
	}
	return nonZero(days)
}

// TestEventsCountTheSameInAnyOrder: the totals are what the events stand for, in whatever order and however cut into transactions they come.
func TestEventsCountTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := facts(t)
		shuffled := rapid.Permutation(list).Draw(t, "order")
		var raw []byte
		days := map[ledger.EngagementDay]ledger.EngagementCounts{}
		for len(shuffled) > 0 {
			n := rapid.IntRange(1, len(shuffled)).Draw(t, "transaction")
			c, r := counter(allOn), must(DecodeRecord(raw))
			for _, f := range shuffled[:n] {
				c.Happen(&r, f.message, f.happening)
			}
			for day, counts := range c.Days() {
				days[day] = days[day].Plus(counts)
			}
			shuffled, raw = shuffled[n:], r.Encode()
		}
		require.Equal(t, recount(list), nonZero(days))

		// And so is what is told of the person.
		r := must(DecodeRecord(raw))
		for _, mark := range []Mark{Sent, Opened, Clicked} {
			var last time.Time
			for _, f := range list {
				if f.happening.Mark == mark && f.happening.At.After(last) {
					last = f.happening.At
				}
			}
			require.Equal(t, last, r.Last(mark), "mark %d", mark)
		}
	})
}

// TestStandingsCountOnce: how things stand may be told again and again, and late, and the totals are those of what it stood at the end. The
// standings of a message only grow, as Listrak's do.
func TestStandingsCountOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		standing := Standing{Sent: noon}
		history := []Standing{standing}
		for range rapid.IntRange(0, 8).Draw(t, "steps") {
			if standing.First.IsZero() {
				standing.First = noon.Add(time.Hour)
			}
			switch Mark(rapid.IntRange(1, int(marks)-1).Draw(t, "mark")) {
			case Opened:
				standing.Opened = true
			case Clicked:
				standing.Clicked, standing.Clicks = true, standing.Clicks+1
			case Bounced:
				standing.Bounced = true
			case Unsubscribed:
				standing.Unsubscribed = true
			case Complained:
				standing.Complained = true
			}
			history = append(history, standing)
		}
		reads := rapid.SliceOfN(rapid.SampledFrom(history), 0, 20).Draw(t, "reads")
		reads = append(reads, standing)
		var r Record
		sum := ledger.EngagementCounts{}
		for n, read := range reads {
			c := counter(allOn)
			c.Now = noon.Add(time.Duration(n) * time.Hour)
			c.Stand(&r, messages[0], read)
			for _, counts := range c.Days() {
				sum = sum.Plus(counts)
			}
			r = must(DecodeRecord(r.Encode()))
			require.False(t, counter(allOn).Stand(&r, messages[0], read), "the same again is no change")
		}
		one := func(is bool) int64 {
			if is {
				return 1
			}
			return 0
		}
		require.Equal(t, ledger.EngagementCounts{
			Sends: 1, Deliveries: one(!standing.Bounced), Views: one(standing.Opened), UniqueViews: one(standing.Opened), Clicks: standing.Clicks,
			UniqueClicks: one(standing.Clicked), Bounces: one(standing.Bounced), Unsubscribes: one(standing.Unsubscribed),
			Complaints: one(standing.Complained),
		}, sum)
	})
}

// TestEachSendingOfAMessageThatIsSentAgainCounts: a record held one sending of a message, so that somebody's second order confirmation, and
// what they did with it, counted nowhere. In whatever order the rows come, and however often, each sending counts once.
func TestEachSendingOfAMessageThatIsSentAgainCounts(t *testing.T) {
	t.Parallel()
	again := messages[0]
	again.Again = true
	rapid.Check(t, func(t *rapid.T) {
		var rows []Standing
		opened, clicks := 0, int64(0)
		for n := range rapid.IntRange(1, 6).Draw(t, "sendings") {
			row := Standing{Sent: noon.Add(time.Duration(n) * time.Hour), Opened: rapid.Bool().Draw(t, "opened")}
			if row.Opened {
				row.First = row.Sent.Add(time.Minute)
				row.Clicks = int64(rapid.IntRange(0, 3).Draw(t, "clicks"))
				row.Clicked = row.Clicks > 0
				opened++
			}
			clicks += row.Clicks
			rows = append(rows, row)
		}
		var r Record
		var sum ledger.EngagementCounts
		for _, row := range append(rapid.Permutation(rows).Draw(t, "order"), rows...) {
			c := counter(allOn)
			c.Stand(&r, again, row)
			for _, counts := range c.Days() {
				sum = sum.Plus(counts)
			}
			r = must(DecodeRecord(r.Encode()))
		}
		last := rows[len(rows)-1].Sent
		require.Equal(t, [3]int64{int64(len(rows)), int64(opened), clicks}, [3]int64{sum.Sends, sum.UniqueViews, sum.Clicks})
		require.Equal(t, last, r.Last(Sent))
		require.Equal(t, len(rows), r.Since(Sent, noon))
		require.Equal(t, opened, r.Since(Opened, noon))
		require.Len(t, r.Messages(), len(rows))
	})
	// Of a bulk message a person has one copy, however its date is shown.
	c, r := counter(allOn), Record{}
	c.Stand(&r, messages[0], Standing{Sent: noon})
	require.False(t, c.Stand(&r, messages[0], Standing{Sent: noon.Add(time.Hour)}))
}

// TestWhatIsDatedInTheFutureCountsWhenItHasCome: with a wrong zone Listrak's dates are hours ahead, and so was a person's last email.
func TestWhatIsDatedInTheFutureCountsWhenItHasCome(t *testing.T) {
	t.Parallel()
	c, r := counter(allOn), Record{}
	row := Standing{Sent: c.Now.Add(3 * time.Hour), First: c.Now.Add(3 * time.Hour), Opened: true}
	require.False(t, c.Stand(&r, messages[0], row))
	require.Empty(t, c.Days())
	require.True(t, r.Last(Sent).IsZero())
	c.Now = row.Sent
	require.True(t, c.Stand(&r, messages[0], row))
	require.Equal(t, row.Sent, r.Last(Sent))
	c, r = counter(allOn), Record{}
	require.True(t, c.Stand(&r, messages[0], Standing{Sent: c.Now.Add(futureTolerance)}), "clocks differ by some minutes")
}

// TestARaisedLookBackCountsNothingTwice: what was counted was forgotten soon after the look-back, and read once more when that was raised.
func TestARaisedLookBackCountsNothingTwice(t *testing.T) {
	t.Parallel()
	k := &Keeper{Timing: DefaultTiming()}
	old := Standing{Sent: noon.Add(-80 * 24 * time.Hour)}
	again := messages[0]
	again.Again = true
	var r Record
	k.Timing.LookBack = 90 * 24 * time.Hour
	require.True(t, k.counter(consent.Email, allOn, noon).Stand(&r, again, old))
	k.Timing.LookBack = 30 * 24 * time.Hour
	require.True(t, k.counter(consent.Email, allOn, noon).Stand(&r, messages[1], Standing{Sent: noon}), "a record that changes loses what is old")
	k.Timing.LookBack = 90 * 24 * time.Hour
	c := k.counter(consent.Email, allOn, noon)
	require.False(t, c.Stand(&r, again, old))
	require.Empty(t, c.Days())

	c = k.counter(consent.Email, allOn, noon.Add(18*24*time.Hour))
	require.True(t, c.Stand(&r, messages[2], Standing{Sent: noon.Add(18 * 24 * time.Hour)}))
	require.Len(t, r.Messages(), 2, "longer than any look-back it is not kept")
}

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, r := counter(allOn), Record{}
		for _, f := range facts(t) {
			c.Happen(&r, f.message, f.happening)
			if again := rapid.IntRange(0, 3).Draw(t, "again"); again > 0 {
				m := f.message
				m.Ref, m.Again = m.Ref+10, true
				c.Stand(&r, m, Standing{Sent: f.happening.At, Opened: again > 1, Clicked: again > 2, Clicks: 3})
			}
		}
		require.Equal(t, r, must(DecodeRecord(r.Encode())))
		raw := r.Encode()
		cut := rapid.IntRange(0, len(raw)).Draw(t, "cut")
		_, _ = DecodeRecord(raw[:cut]) // must not panic
		_, _ = DecodeRecord(rapid.SliceOf(rapid.Byte()).Draw(t, "anything"))
	})
	_, err := DecodeRecord([]byte{99, 1, 2})
	require.Error(t, err)
	empty, err := DecodeRecord(nil)
	require.NoError(t, err)
	require.Equal(t, Record{}, empty)
}

func TestWhatIsOffIsNotKept(t *testing.T) {
	t.Parallel()
	for _, off := range consent.EmailEvents.Kinds() {
		c, r := counter(func(kind consent.Sync) bool { return kind != off }), Record{}
		c.Stand(&r, messages[0], Standing{Sent: noon, First: noon.Add(time.Minute), Opened: true, Clicked: true, Clicks: 2})
		c.Happen(&r, messages[1], Happening{Sent, noon})
		c.Happen(&r, messages[1], Happening{Opened, noon})
		c.Happen(&r, messages[1], Happening{Clicked, noon})
		for _, mark := range []Mark{Sent, Opened, Clicked} {
			is := mark.Kind(consent.Email) != off
			require.Equal(t, is, !r.Last(mark).IsZero(), "%s off, mark %d", off, mark)
		}
		var sum ledger.EngagementCounts
		for _, counts := range c.Days() {
			sum = sum.Plus(counts)
		}
		require.Equal(t, off == consent.EmailSent, sum.Sends == 0)
		require.Equal(t, off == consent.EmailOpened, sum.Views == 0 && sum.UniqueViews == 0)
		require.Equal(t, off == consent.EmailClicks, sum.Clicks == 0 && sum.UniqueClicks == 0)
	}
}

// TestNothingIsKeptOfAnErasedPerson: else a reading after the erasure would bring the person back, and count them twice.
func TestNothingIsKeptOfAnErasedPerson(t *testing.T) {
	t.Parallel()
	r := must(DecodeRecord([]byte(ledger.ErasedEngagement)))
	c := counter(allOn)
	require.False(t, c.Stand(&r, messages[0], Standing{Sent: noon, First: noon, Opened: true}))
	require.False(t, c.Happen(&r, messages[0], Happening{Clicked, noon}))
	require.Empty(t, c.Days())
	require.Equal(t, []byte(ledger.ErasedEngagement), r.Encode())
}

// TestDaysAreThoseOfTheShop: also on the days on which the clocks change.
func TestDaysAreThoseOfTheShop(t *testing.T) {
	t.Parallel()
	day := func(at time.Time, zone *time.Location) string {
		return time.Unix(dayOf(at.Unix(), zone)*secondsOfDay, 0).UTC().Format(time.DateOnly)
	}
	require.Equal(t, "2026-11-20", day(time.Date(2026, 11, 21, 4, 59, 59, 0, time.UTC), newYork))
	require.Equal(t, "2026-11-21", day(time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC), newYork))
	require.Equal(t, "2026-10-31", day(time.Date(2026, 11, 1, 3, 59, 0, 0, time.UTC), newYork))
	require.Equal(t, "2026-11-01", day(time.Date(2026, 11, 2, 4, 59, 0, 0, time.UTC), newYork))
	require.Equal(t, "1969-12-31", day(time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), newYork))
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-1e9, 4e9).Draw(t, "second"), 0)
		zone := rapid.SampledFrom([]*time.Location{newYork, time.UTC, must(time.LoadLocation("Asia/Kolkata")), must(time.LoadLocation("Pacific/Auckland"))}).Draw(t, "zone")
		require.Equal(t, at.In(zone).Format(time.DateOnly), day(at, zone))
	})
	e := engagementOf("r", consent.Email, newYork, dayOf(noon.Unix(), newYork), ledger.EngagementCounts{Sends: 2, Views: 1}, allOn)
	require.Equal(t, -5*time.Hour, e.Offset)
	require.Equal(t, 2, *e.Sends)
	sms := engagementOf("r", consent.SMS, newYork, 0, ledger.EngagementCounts{}, allOn)
	require.Nil(t, sms.Views)
	require.NotNil(t, sms.Clicks)
}

func TestFieldsTellOnlyWhatHasChanged(t *testing.T) {
	t.Parallel()
	c, r := counter(allOn), Record{}
	c.Happen(&r, messages[0], Happening{Sent, noon})
	c.Happen(&r, messages[1], Happening{Sent, noon.Add(24 * time.Hour)})
	c.Happen(&r, messages[1], Happening{Clicked, noon.Add(25 * time.Hour)})
	at := noon.Add(48 * time.Hour)
	nothing, _, err := decodeTold(nil, consent.Email)
	require.NoError(t, err)
	first := changeOf(r, consent.Email, "gid://shopify/Customer/1", nothing, at, allOn)
	var told []string
	for _, f := range first.fields {
		told = append(told, f.Key+"="+f.Value)
	}
	require.Equal(t, []string{"last_email_sent=2026-11-21T17:00:00Z", "last_email_clicked=2026-11-21T18:00:00Z", "emails_sent_30_days=2",
		"emails_clicked_30_days=1"}, told)
	require.Equal(t, noon.Add(countedFor+time.Second), first.due.Time())

	after, to, err := decodeTold(first.after.encode("12"), consent.Email)
	require.NoError(t, err)
	require.Equal(t, first.after, after)
	require.Equal(t, "12", to)
	require.Empty(t, changeOf(r, consent.Email, "", after, at, allOn).fields)
	// When the first message is more than thirty days old, one is left, although nothing has happened.
	later := changeOf(r, consent.Email, "", after, first.due.Time(), allOn)
	require.Len(t, later.fields, 1)
	require.Equal(t, "1", later.fields[0].Value)
	// Of what may or may not have been told, everything is told again.
	require.Len(t, changeOf(r, consent.Email, "", after.doubtful(), at, allOn).fields, 5)
	// Of an address that the customer had before, what never happened to this one is overwritten too.
	others, _, err := decodeTold([]byte(ledger.ForeignFields), consent.Email)
	require.NoError(t, err)
	overwritten := changeOf(r, consent.Email, "", others.doubtful(), at, allOn)
	require.Len(t, overwritten.fields, 6)
	require.Equal(t, "last_email_opened=1970-01-01T00:00:00Z", overwritten.fields[1].Key+"="+overwritten.fields[1].Value)
	require.Empty(t, changeOf(r, consent.Email, "", overwritten.after, at, allOn).fields)
	// A kind that is off stays as it was told.
	require.Empty(t, changeOf(r, consent.Email, "", after, first.due.Time(), func(consent.Sync) bool { return false }).fields)
}

// TestWhatWasToldSaysInWhichVersionItIsWritten: a field more would else take a digit of the customer's number for its value.
func TestWhatWasToldSaysInWhichVersionItIsWritten(t *testing.T) {
	t.Parallel()
	values, _, err := decodeTold(nil, consent.SMS)
	require.NoError(t, err)
	text := values.encode("123456789")
	for cut := 1; cut <= len(values); cut++ {
		_, _, err := decodeTold(text[:cut+1], consent.SMS)
		require.Equal(t, cut < len(values), err != nil, "%d bytes", cut+1)
	}
	text[0]++
	_, _, err = decodeTold(text, consent.SMS)
	require.ErrorIs(t, err, errTold)
}

func TestHowOftenMessagesAreRead(t *testing.T) {
	t.Parallel()
	timing := DefaultTiming()
	m := ledger.EngagementMessage{Kind: 1, SentAt: consent.InstantOf(noon)}
	for age, want := range map[time.Duration]time.Duration{
		0: time.Minute, 59 * time.Minute: time.Minute, time.Hour: time.Hour, 6 * 24 * time.Hour: time.Hour, 7 * 24 * time.Hour: 24 * time.Hour,
		29 * 24 * time.Hour: 24 * time.Hour,
	} {
		now := noon.Add(age)
		require.Equal(t, now.Add(want), timing.nextRead(m, now), "age %s", age)
	}
	require.Zero(t, timing.nextRead(m, noon.Add(30*24*time.Hour)), "beyond the look-back")
	for _, kind := range []int{2, 3} {
		require.Equal(t, noon.Add(90*24*time.Hour+time.Hour), timing.nextRead(ledger.EngagementMessage{Kind: kind}, noon.Add(90*24*time.Hour)))
	}

	now := noon.Add(5 * time.Minute)
	require.Equal(t, whole, timing.toRead(m, "1", 1, now), "never read")
	m.FullAt, m.Summary = consent.InstantOf(noon), "1"
	require.Equal(t, nothing, timing.toRead(m, "1", 1, now))
	require.Equal(t, whole, timing.toRead(m, "2", 1, now))
	require.Equal(t, news, timing.toRead(m, "2", smallMessage+1, now))
	require.Equal(t, whole, timing.toRead(m, "1", 1, noon.Add(10*time.Minute)), "whatever the summary says")
	m.Kind = 2
	require.Equal(t, whole, timing.toRead(m, "2", smallMessage+1, now))
}

// TestWhereAReadingGoesOnAfterFailures: at the same page, or from the beginning when that may be what fails.
func TestWhereAReadingGoesOnAfterFailures(t *testing.T) {
	t.Parallel()
	at := place{Whole: true, Cursor: "page-2", Began: noon, Summary: "1"}
	broken := &failure.Error{Class: failure.Retry, Op: "read", Code: "HTTP_500"}
	once := at
	once.Failures = 1
	require.Equal(t, once, at.afterFailure(broken))
	require.Equal(t, place{Failures: 3}, at.afterFailure(broken).afterFailure(broken).afterFailure(broken))
	require.Equal(t, place{Failures: 1}, at.afterFailure(listrak.LostCursor("read")))

	timing := DefaultTiming()
	fresh, old := ledger.EngagementMessage{Kind: 1, SentAt: consent.InstantOf(noon)}, ledger.EngagementMessage{Kind: 2}
	for failures, want := range map[int][2]time.Duration{
		1: {time.Minute, time.Minute}, 2: {2 * time.Minute, 2 * time.Minute}, 4: {8 * time.Minute, 8 * time.Minute},
		5: {10 * time.Minute, 16 * time.Minute}, 1000: {10 * time.Minute, time.Hour},
	} {
		require.Equal(t, want, [2]time.Duration{timing.afterFailures(fresh, failures, noon), timing.afterFailures(old, failures, noon)}, "%d failures", failures)
	}
}

func TestEventsThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	good := Event{ID: "1", Source: "s", Channel: consent.SMS, Mark: Sent, At: noon, Address: "(555) 010-2345", Message: "m-1"}
	address, err := good.check(noon, 30*24*time.Hour, "US")
	require.NoError(t, err)
	require.Equal(t, "+15550102345", address)
	for what, spoil := range map[string]func(*Event){
		"no id":              func(e *Event) { e.ID = "" },
		"a long id":          func(e *Event) { e.ID = string(slices.Repeat([]byte("x"), 300)) },
		"no message":         func(e *Event) { e.Message = "" },
		"an odd message":     func(e *Event) { e.Message = "a b" },
		"no time":            func(e *Event) { e.At = time.Time{} },
		"the future":         func(e *Event) { e.At = noon.Add(futureTolerance + time.Second) },
		"older than allowed": func(e *Event) { e.At = noon.Add(-30*24*time.Hour - time.Second) },
		"no phone number":    func(e *Event) { e.Address = "ann@example.com" },
		"no email address":   func(e *Event) { e.Channel, e.Address = consent.Email, "+15550102345" },
	} {
		e := good
		spoil(&e)
		_, err := e.check(noon, 30*24*time.Hour, "US")
		require.Error(t, err, what)
		for _, secret := range []string{"example", "5550102345", "010-2345"} {
			require.NotContains(t, err.Error(), secret, what)
		}
	}
	for _, raw := range []string{`{}`, `[]`, `1`, `{"specversion":"1.0"}`, `{"specversion":"0.3","id":"1","source":"s","type":"sms.sent"}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"sms.read"}`, `{"specversion":"1.0","id":"1","source":"s","type":"sms.sent","time":"yesterday"}`,
		`{"specversion":"1.0","type":"sms.sent"}`} {
		_, err := ParseEvent([]byte(raw))
		require.Error(t, err, raw)
	}
	e, err := ParseEvent([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"com.listrak.sms.clicked","time":"2026-11-20T12:00:00-05:00",
		"data":{"address":"+15550102345","message":77,"link":"https://example.com/"}}`))
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(Event{ID: "1", Source: "s", Channel: consent.SMS, Mark: Clicked, At: e.At, Address: "+15550102345", Message: "77"}), fmt.Sprint(e))
	require.True(t, e.At.Equal(noon))
}
