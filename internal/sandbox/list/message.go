package list

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MessageKind is how a message comes to people.
type MessageKind string

// The kinds of the official document.
const (
	// BulkMessage is sent once to many (Message).
	BulkMessage MessageKind = "message"
	// ConversationMessage is sent one by one, by a conversation (an automation).
	ConversationMessage MessageKind = "conversation"
	// TransactionalMessage is sent one by one, by another program.
	TransactionalMessage MessageKind = "transactional"
)

// Act is what a recipient does with a message, or what becomes of it.
type Act string

// The acts that Listrak's activity shows.
const (
	Open        Act = "open"
	Read        Act = "read"
	Click       Act = "click"
	Bounce      Act = "bounce"
	Unsubscribe Act = "unsubscribe"
	Abuse       Act = "abuse"
)

// NewMessage is a message to be.
type NewMessage struct {
	Kind    MessageKind // empty means BulkMessage
	Subject string
	// Conversation is the id of the conversation that a ConversationMessage belongs to; it comes into being with its first message.
	Conversation int
	// At is when it is sent; zero means now. Recipients of other kinds than BulkMessage are dated one by one.
	At time.Time
}

// message is one as the model keeps it. What lies in the future is not shown yet, so that activity can be planned ahead.
type message struct {
	NewMessage
	id         int
	recipients []recipient
	// of is the place of the last sending to an address, as Listrak compares it.
	of map[string]int32
}

// recipient is what one person did with one message, or with one sending of a message that is sent again. Milliseconds since the epoch, as
// Listrak keeps them.
type recipient struct {
	email string
	sent  int64
	// before is the place of the sending to the same address before this one, plus one; 0 for none.
	before int32
	acts   []act
}

type act struct {
	at   int64
	kind Act
}

// CreateMessage makes a message without recipients and returns its id.
func (s *Store) CreateMessage(created NewMessage) (int, error) {
	created.Kind = cmp.Or(created.Kind, BulkMessage)
	if !slices.Contains([]MessageKind{BulkMessage, ConversationMessage, TransactionalMessage}, created.Kind) ||
		(created.Kind == ConversationMessage) != (created.Conversation > 0) {
		return 0, fmt.Errorf("unknown kind of message %q, or a conversation where none belongs", created.Kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if created.At.IsZero() {
		created.At = s.clock()
	}
	s.lastMessage++
	s.messages = append(s.messages, &message{NewMessage: created, id: s.lastMessage, of: map[string]int32{}})
	return s.lastMessage, nil
}

// Send sends a message to people; zero means at the message's own time. Whoever has a bulk message already is left out; the others are sent to
// one person as often as somebody wants, each time with an activity of its own, but once in a second: no route shows more.
func (s *Store) Send(id int, at time.Time, emails ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.message(id)
	if m == nil {
		return fmt.Errorf("send message: there is no message %d", id)
	}
	if at.IsZero() {
		at = m.At
	}
	for _, email := range emails {
		key := addressKey(email)
		sending := recipient{email: email, sent: at.UnixMilli()}
		if last, has := m.of[key]; has {
			if m.Kind == BulkMessage || slices.ContainsFunc(m.to(key), func(n int32) bool { return m.recipients[n].sent/1000 == sending.sent/1000 }) {
				continue
			}
			sending.before = last + 1
		}
		m.of[key] = int32(len(m.recipients))
		m.recipients = append(m.recipients, sending)
	}
	return nil
}

// to are the places of the sendings to an address, the last one first.
func (m *message) to(key string) (places []int32) {
	n, has := m.of[key]
	for ; has; n, has = m.recipients[n].before-1, m.recipients[n].before > 0 {
		places = append(places, n)
	}
	return places
}

// sendingAt is the place of the sending to an address with which something is done at a time: the newest that was there, or else the first;
// negative when there is none. Sendings need not have been made in the order of their dates.
func (m *message) sendingAt(key string, at int64) int32 {
	found := int32(-1)
	for _, n := range m.to(key) {
		sent := m.recipients[n].sent
		if found < 0 || sent <= at && (m.recipients[found].sent > at || sent > m.recipients[found].sent) ||
			sent > at && m.recipients[found].sent > at && sent < m.recipients[found].sent {
			found = n
		}
	}
	return found
}

// Act lets a recipient do something with a message; zero means now, and a time in the future that it will be seen then. Of several sendings it
// is done with the newest.
func (s *Store) Act(id int, email string, kind Act, at time.Time) error {
	if !slices.Contains([]Act{Open, Read, Click, Bounce, Unsubscribe, Abuse}, kind) {
		return fmt.Errorf("unknown act %q: take %s, %s, %s, %s, %s or %s", kind, Open, Read, Click, Bounce, Unsubscribe, Abuse)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.IsZero() {
		at = s.clock()
	}
	m := s.message(id)
	if m == nil {
		return fmt.Errorf("act on a message: there is no message %d", id)
	}
	n := m.sendingAt(addressKey(email), at.UnixMilli())
	if n < 0 {
		return fmt.Errorf("act on message %d: it was not sent to that address", id)
	}
	m.recipients[n].acts = append(m.recipients[n].acts, act{at.UnixMilli(), kind})
	return nil
}

// Messages are the ids of all messages, in the order in which they were made.
func (s *Store) Messages() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]int, len(s.messages))
	for n, m := range s.messages {
		ids[n] = m.id
	}
	return ids
}

// message wants s.mu held; nil when there is none.
func (s *Store) message(id int) *message {
	n, found := slices.BinarySearchFunc(s.messages, id, func(m *message, id int) int { return cmp.Compare(m.id, id) })
	if !found {
		return nil
	}
	return s.messages[n]
}

// MessageDay is the truth of one day of one message, for tests: what a client has to tell of it.
type MessageDay struct {
	Sends, Deliveries, UniqueOpens, Clicks, UniqueClicks, Bounces, Unsubscribes, Complaints int
}

// MessageDays are the days of a message as they stand, in a zone, by date ("2026-11-22"). Something that a person does once counts on the
// day when it was done first.
func (s *Store) MessageDays(id int, zone *time.Location) map[string]MessageDay {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.message(id)
	if m == nil {
		return nil
	}
	now, days := s.clock().UnixMilli(), map[string]MessageDay{}
	on := func(at int64, count func(*MessageDay)) {
		date := time.UnixMilli(at).In(zone).Format(time.DateOnly)
		day := days[date]
		count(&day)
		days[date] = day
	}
	for _, r := range m.recipients {
		if r.sent > now {
			continue
		}
		first := map[Act]int64{}
		for _, a := range r.acts {
			if a.at > now {
				continue
			}
			if before, done := first[a.kind]; !done || a.at < before {
				first[a.kind] = a.at
			}
			if a.kind == Click {
				on(a.at, func(d *MessageDay) { d.Clicks++ })
			}
		}
		_, bounced := first[Bounce]
		on(r.sent, func(d *MessageDay) {
			d.Sends++
			if !bounced {
				d.Deliveries++
			}
		})
		for kind, at := range first {
			on(at, func(d *MessageDay) {
				switch kind {
				case Open:
					d.UniqueOpens++
				case Click:
					d.UniqueClicks++
				case Bounce:
					d.Bounces++
				case Unsubscribe:
					d.Unsubscribes++
				case Abuse:
					d.Complaints++
				}
			})
		}
	}
	return days
}

// PersonMarks counts the messages that a person was sent, has opened and has clicked, each sending of one by itself, for tests.
func (s *Store) PersonMarks(email string) (marks [3]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock().UnixMilli()
	for _, m := range s.messages {
		for _, n := range m.to(addressKey(email)) {
			if m.recipients[n].sent > now {
				continue
			}
			shown, _ := m.recipients[n].activity(now)
			for i, is := range []bool{true, shown.Opened, shown.Clicked} {
				if is {
					marks[i]++
				}
			}
		}
	}
	return marks
}

// Activity is one recipient as the activity routes show it. FirstActivity is zero while there is none.
type Activity struct {
	Email                                                  string
	Sent, FirstActivity                                    time.Time
	Opened, WasRead, Clicked, Bounced, Unsubscribed, Abuse bool
	Clicks                                                 int
}

func (r *recipient) activity(now int64) (shown Activity, last int64) {
	shown = Activity{Email: r.email, Sent: time.UnixMilli(r.sent).UTC()}
	var first int64
	for _, a := range r.acts {
		if a.at > now {
			continue
		}
		if first == 0 || a.at < first {
			first = a.at
		}
		last = max(last, a.at)
		switch a.kind {
		case Open:
			shown.Opened = true
		case Read:
			shown.WasRead = true
		case Click:
			shown.Clicked = true
			shown.Clicks++
		case Bounce:
			shown.Bounced = true
		case Unsubscribe:
			shown.Unsubscribed = true
		case Abuse:
			shown.Abuse = true
		}
	}
	if first != 0 {
		shown.FirstActivity = time.UnixMilli(first).UTC()
	}
	return shown, last
}

// ActivityQuery asks for one page of a message's activity.
type ActivityQuery struct {
	// ByActivity filters by the date of the activity (dateType=Activity) rather than by the send date.
	ByActivity bool
	// From and To bound that date in the list's wall time, carried as UTC (see Store.Wall); zero leaves an end open. Both are inclusive.
	From, To time.Time
	Email    string
	Cursor   string // Start, or ActivityPage.Next
	Count    int    // 1 to MaxCount
}

// ActivityPage is one page, in the order of sending.
type ActivityPage struct {
	Rows []Activity
	// Next is the cursor of the next page, empty at the end.
	Next string
}

// ReadActivity is the activity of a message of a kind. A refusal is an *Error.
func (s *Store) ReadActivity(kind MessageKind, conversation, id int, query ActivityQuery) (ActivityPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.message(id)
	if m == nil || m.Kind != kind || m.Conversation != conversation || m.At.After(s.clock()) {
		return ActivityPage{}, noResource("listId and messageId")
	}
	if query.Count < 1 || query.Count > MaxCount {
		return ActivityPage{}, invalid("count")
	}
	from := 0
	if query.Cursor != Start {
		place, ok := strings.CutPrefix(query.Cursor, "a"+strconv.Itoa(id)+".")
		n, err := strconv.Atoi(place)
		if !ok || err != nil || n < 0 {
			return ActivityPage{}, invalid("cursor")
		}
		from = n
	}
	now, page := s.clock().UnixMilli(), ActivityPage{Rows: []Activity{}}
	for n := from; n < len(m.recipients); n++ {
		r := &m.recipients[n]
		if r.sent > now || query.Email != "" && addressKey(query.Email) != addressKey(r.email) {
			continue
		}
		shown, last := r.activity(now)
		date := r.sent
		if query.ByActivity {
			if shown.FirstActivity.IsZero() {
				continue
			}
			date = shown.FirstActivity.UnixMilli()
			if s.config.ActivityDateMoves {
				date = last
			}
		}
		wall := s.wallTime(time.UnixMilli(date))
		if !query.From.IsZero() && wall.Before(query.From) || !query.To.IsZero() && wall.After(query.To) {
			continue
		}
		if len(page.Rows) == query.Count {
			page.Next = fmt.Sprintf("a%d.%d", id, n)
			break
		}
		page.Rows = append(page.Rows, shown)
	}
	return page, nil
}

// Summary are the totals of a message.
type Summary struct {
	Sent         int `json:"sent"`
	Opens        int `json:"opens"`
	Reads        int `json:"reads"`
	Clicks       int `json:"clicks"`
	Bounces      int `json:"bounces"`
	Unsubscribes int `json:"unsubscribes"`
}

// Summarize is the summary of a message of a kind. A refusal is an *Error. Whether its opens and clicks count people or acts is not
// documented: Config.SummaryCountsPeople.
func (s *Store) Summarize(kind MessageKind, conversation, id int) (Summary, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.message(id)
	if m == nil || m.Kind != kind || m.Conversation != conversation || m.At.After(s.clock()) {
		return Summary{}, noResource("listId and messageId")
	}
	now, sum := s.clock().UnixMilli(), Summary{}
	for n := range m.recipients {
		r := &m.recipients[n]
		if r.sent > now {
			continue
		}
		sum.Sent++
		done := map[Act]bool{}
		for _, a := range r.acts {
			if a.at > now || done[a.kind] && (s.config.SummaryCountsPeople || a.kind != Open && a.kind != Click) {
				continue
			}
			done[a.kind] = true
			switch a.kind {
			case Open:
				sum.Opens++
			case Read:
				sum.Reads++
			case Click:
				sum.Clicks++
			case Bounce:
				sum.Bounces++
			case Unsubscribe:
				sum.Unsubscribes++
			}
		}
	}
	return sum, nil
}

// MessageSummary is the summary of a message of any kind; zero when there is none.
func (s *Store) MessageSummary(id int) Summary {
	s.mu.Lock()
	m := s.message(id)
	s.mu.Unlock()
	if m == nil {
		return Summary{}
	}
	sum, _ := s.Summarize(m.Kind, m.Conversation, id) // it is there
	return sum
}

// ShownMessage is a message as the routes list it.
type ShownMessage struct {
	ID      int
	Subject string
	At      time.Time
}

// ShownMessages are the messages of a kind that have been sent, in the order in which they were made. from and to bound the date in the list's
// wall time, carried as UTC (see Store.Wall); zero leaves an end open.
func (s *Store) ShownMessages(kind MessageKind, conversation int, from, to time.Time) []ShownMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	var shown []ShownMessage
	for _, m := range s.messages {
		wall := s.wallTime(m.At)
		if m.Kind != kind || m.Conversation != conversation || m.At.After(s.clock()) ||
			!from.IsZero() && wall.Before(from) || !to.IsZero() && wall.After(to) {
			continue
		}
		shown = append(shown, ShownMessage{ID: m.id, Subject: m.Subject, At: m.At})
	}
	return shown
}

// Conversations are the ids of the conversations that have a message.
func (s *Store) Conversations() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := map[int]bool{}
	for _, m := range s.messages {
		if m.Kind == ConversationMessage && !m.At.After(s.clock()) {
			ids[m.Conversation] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// DeleteMessage deletes a message: its routes answer as if it had never been.
func (s *Store) DeleteMessage(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = slices.DeleteFunc(s.messages, func(m *message) bool { return m.id == id })
}
