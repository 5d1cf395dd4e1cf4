// Package engagement carries what people do with messages from Listrak to Shopify: how many a message was sent to, and who opened and
// clicked it. It reads how things stand in Listrak, takes in events that are told to us, and tells Shopify the totals of each message and
// day, and of each customer what segments can use.
//
// What is to be counted and told is computed by pure functions over rows (record.go, fold.go, totals.go, fields.go, schedule.go, event.go);
// Keeper does what they say. A fact that comes twice, late or in another order changes nothing a second time: a person's record says
// how things stand, and totals change only by the difference between two records, in the transaction that replaces one by the other.
// Events are no consent: nothing here decides or writes one, and whatever fails here stops no merchant.
package engagement

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// Mark is something that happens once between a person and a message: what counts is when it happened first.
type Mark uint8

// The marks, in the order in which records hold them.
const (
	Sent Mark = iota
	Opened
	Clicked
	Bounced
	Unsubscribed
	Complained
	marks
)

// Kind is the switch that a mark is under. What becomes of a message that was sent is of the kind that sends are of.
func (m Mark) Kind(channel consent.Channel) consent.Sync {
	switch {
	case channel == consent.SMS && m == Clicked:
		return consent.SMSClicks
	case channel == consent.SMS:
		return consent.SMSSent
	case m == Opened:
		return consent.EmailOpened
	case m == Clicked:
		return consent.EmailClicks
	default:
		return consent.EmailSent
	}
}

// state is what is known between one person and one message, or one sending of a message that is sent again and again. Dates are Unix seconds,
// 0 for never.
type state struct {
	ref int64
	// send is when it was sent, of a message that one person may be sent several times (Message.Again), and 0 of others.
	send int64
	at   [marks]int64
	// views and clicks count acts, not people.
	views, clicks int64
}

func (s *state) latest() int64 { return slices.Max(s.at[:]) }

// Record is what is kept of one person's events on one channel. The zero Record is of somebody of whom nothing is known.
type Record struct {
	// last is when the person was last sent a message, opened and clicked one, of all time: Unix seconds, 0 for never.
	last [3]int64
	// states are by ref and send.
	states []state
	// erased: nothing is taken in of this person any more.
	erased bool
}

// Last is when the person last was sent, opened or clicked a message; zero for never. mark is one of those three.
func (r Record) Last(mark Mark) time.Time {
	if r.last[mark] == 0 {
		return time.Time{}
	}
	return time.Unix(r.last[mark], 0).UTC()
}

// Since counts the messages that have the mark, one of Sent, Opened and Clicked, dated from a time on. One that was sent three times is three.
func (r Record) Since(mark Mark, from time.Time) int {
	n := 0
	for i := range r.states {
		if at := r.states[i].at[mark]; at != 0 && at >= from.Unix() {
			n++
		}
	}
	return n
}

// PersonMessage is what is known between the person and one sending of a message. Ref is the ledger's number of the message; a mark that is
// missing never happened.
type PersonMessage struct {
	Ref    int64
	At     map[Mark]time.Time
	Clicks int64
}

// Messages are those of which something is known, the oldest first.
func (r Record) Messages() []PersonMessage {
	list := make([]PersonMessage, len(r.states))
	for n := range r.states {
		s := &r.states[n]
		list[n] = PersonMessage{Ref: s.ref, At: map[Mark]time.Time{}, Clicks: s.clicks}
		for mark, at := range s.at {
			if at != 0 {
				list[n].At[Mark(mark)] = time.Unix(at, 0).UTC()
			}
		}
	}
	slices.SortStableFunc(list, func(a, b PersonMessage) int { return a.At[Sent].Compare(b.At[Sent]) })
	return list
}

// Erased reports whether the person was erased, so that nothing is taken in of them any more.
func (r Record) Erased() bool { return r.erased }

const recordVersion = 1

// hasSend is the bit that says that a state has a send, beside those of its marks.
const hasSend = 1 << marks

// Encode writes a record in the form in which the ledger keeps it: a few bytes a message, since a shop has millions of these.
func (r Record) Encode() []byte {
	if r.erased {
		return []byte(ledger.ErasedEngagement)
	}
	out := make([]byte, 0, 16+16*len(r.states))
	out = append(out, recordVersion)
	for _, last := range r.last {
		out = binary.AppendVarint(out, last)
	}
	for i := range r.states {
		s := &r.states[i]
		var has uint64
		base := int64(0)
		for m, at := range s.at {
			if at != 0 {
				has |= 1 << m
			}
		}
		if s.send != 0 {
			has |= hasSend
		}
		out = binary.AppendVarint(out, s.ref)
		out = binary.AppendUvarint(out, has)
		if s.send != 0 {
			out = binary.AppendVarint(out, s.send)
			base = s.send
		}
		for _, at := range s.at {
			if at != 0 {
				// The first in full, the others as the time since: what follows a message follows it soon.
				out = binary.AppendVarint(out, at-base)
				if base == 0 {
					base = at
				}
			}
		}
		out = binary.AppendVarint(out, s.views)
		out = binary.AppendVarint(out, s.clicks)
	}
	return out
}

var errRecord = errors.New("a stored engagement record is in a form that this build does not know. Run a newer Concord")

// DecodeRecord reads what Encode wrote; nothing at all is the zero Record.
func DecodeRecord(raw []byte) (Record, error) {
	var r Record
	switch {
	case len(raw) == 0:
		return r, nil
	case string(raw) == ledger.ErasedEngagement:
		r.erased = true
		return r, nil
	case raw[0] != recordVersion:
		return r, errRecord
	}
	in, failed := raw[1:], false
	signed := func() int64 {
		v, n := binary.Varint(in)
		if n <= 0 {
			failed = true
			return 0
		}
		in = in[n:]
		return v
	}
	for i := range r.last {
		r.last[i] = signed()
	}
	for len(in) > 0 && !failed {
		s := state{ref: signed()}
		has, n := binary.Uvarint(in)
		if n <= 0 {
			return Record{}, errRecord
		}
		in = in[n:]
		base := int64(0)
		if has&hasSend != 0 {
			s.send = signed()
			base = s.send
		}
		for m := range s.at {
			if has&(1<<m) != 0 {
				s.at[m] = base + signed()
				if base == 0 {
					base = s.at[m]
				}
			}
		}
		s.views, s.clicks = signed(), signed()
		r.states = append(r.states, s)
	}
	if failed {
		return Record{}, errRecord
	}
	return r, nil
}
