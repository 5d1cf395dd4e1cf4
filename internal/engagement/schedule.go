package engagement

import (
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
)

// Timing holds the spans of reading and telling. The zero value is not usable; see DefaultTiming.
type Timing struct {
	// Interval is from the end of one pass over a merchant to the start of the next, and how often a message is read in the first FreshFor of
	// its life.
	Interval, FreshFor time.Duration
	// RecentEvery is how often a message is read until RecentFor, and messages that are sent again and again, and listed, always.
	RecentEvery, RecentFor time.Duration
	// OldEvery is how often after that.
	OldEvery time.Duration
	// LookBack is how far back anything is read or taken in.
	LookBack time.Duration
	// PassLimit is after how long a pass stops itself and goes on in the next; CallTimeout bounds a call that writes, RunLease is how long a
	// pass belongs to one process, longer than both together.
	PassLimit, CallTimeout, RunLease time.Duration
}

// DefaultTiming is what merchants run with.
func DefaultTiming() Timing {
	return Timing{
		Interval: time.Minute, FreshFor: time.Hour, RecentEvery: time.Hour, RecentFor: 7 * 24 * time.Hour, OldEvery: 24 * time.Hour,
		LookBack: 30 * 24 * time.Hour, PassLimit: 45 * time.Second, CallTimeout: 20 * time.Second, RunLease: 90 * time.Second,
	}
}

// smallMessage is up to how many people a message is read as a whole each time while it is fresh: twenty pages.
const smallMessage = 100_000

// nextRead is when a message is read again, zero for never.
func (t Timing) nextRead(m ledger.EngagementMessage, now time.Time) time.Time {
	if m.Kind != int(listrak.Bulk) {
		return now.Add(t.RecentEvery)
	}
	switch age := now.Sub(m.SentAt.Time()); {
	case age < t.FreshFor:
		return now.Add(t.Interval)
	case age < t.RecentFor:
		return now.Add(t.RecentEvery)
	case age < t.LookBack:
		return now.Add(t.OldEvery)
	default:
		return time.Time{}
	}
}

// wholeEvery is how often a message's recipients are all read, whatever its summary says: the summary may be older or newer than the
// activity, and an activity that Listrak dates by its beginning is not found by its date when it goes on.
func (t Timing) wholeEvery(m ledger.EngagementMessage, now time.Time) time.Duration {
	switch age := now.Sub(m.SentAt.Time()); {
	case m.Kind != int(listrak.Bulk):
		return t.OldEvery
	case age < t.FreshFor:
		return 10 * t.Interval
	case age < t.RecentFor:
		return 6 * t.RecentEvery
	default:
		return t.OldEvery
	}
}

// afterFailures is how long a message waits whose reading has failed so often in a row: twice as long each time, up to how often it would be
// read anyway, but for one that is fresh, whose people wait for it.
func (t Timing) afterFailures(m ledger.EngagementMessage, failures int, now time.Time) time.Duration {
	longest := min(t.RecentEvery, t.wholeEvery(m, now))
	wait := t.Interval
	for n := 1; n < failures && wait < longest; n++ {
		wait *= 2
	}
	return min(wait, longest)
}

// reading is what to read of a message.
type reading uint8

const (
	// nothing: the summary is what it was when all was read last.
	nothing reading = iota
	// news: who was sent it, and with whom something began, since the last reading.
	news
	// whole: everybody.
	whole
)

// toRead is what to read of a message whose summary is given, empty when it has none. sent is how many the summary says it was sent to.
func (t Timing) toRead(m ledger.EngagementMessage, summary string, sent int, now time.Time) reading {
	sinceWhole := now.Sub(m.FullAt.Time())
	switch {
	case m.FullAt == 0 || sinceWhole >= t.wholeEvery(m, now):
		return whole
	case summary != "" && summary == m.Summary:
		return nothing
	case m.Kind == int(listrak.Conversation) || sent <= smallMessage:
		// Of conversations no other reading is documented.
		return whole
	default:
		return news
	}
}

func summaryText(s listrak.Summary) string {
	return fmt.Sprint(s.Sent, s.Opens, s.Reads, s.Clicks, s.Bounces, s.Unsubscribes)
}

// messageID names a message of a list for ever. It is the remote id of its activity in Shopify too, which must not change either.
func messageID(list int, ref listrak.MessageRef) string {
	switch ref.Kind {
	case listrak.Conversation:
		return fmt.Sprintf("listrak-%d-conversation-%d-message-%d", list, ref.Conversation, ref.ID)
	case listrak.Transactional:
		return fmt.Sprintf("listrak-%d-transactional-%d", list, ref.ID)
	default:
		return fmt.Sprintf("listrak-%d-message-%d", list, ref.ID)
	}
}

// toldMessageID names a message of which only events are told to us, by the id that they give it.
func toldMessageID(channel, id string) string { return channel + "-" + id }
