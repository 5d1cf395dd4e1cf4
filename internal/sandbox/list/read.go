package list

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"
)

// MaxCount is the most contacts that one page may hold (official document, GET Contact).
const MaxCount = 5000

// Start is the cursor of the first page.
const Start = "Start"

// Query asks for one page of contacts.
type Query struct {
	// State is Subscribed or Unsubscribed.
	State State
	// Original filters a Subscribed by subscribeDate, as useOriginalSubscribeDate does by default: it misses everybody who
	// subscribed again. Otherwise the filter is on the most recent subscribe date.
	Original bool
	// From and To bound the date, in wall time of the list's zone carried as UTC (see Store.Wall); zero leaves an end open.
	// From is inclusive; To is inclusive with Original and exclusive otherwise.
	From, To time.Time
	// ExternalID, when not empty, keeps only contacts with that externalContactID.
	ExternalID string
	Cursor     string // Start, or Page.Next
	Count      int    // 1 to MaxCount
}

// Page is one page, ordered by the date that was asked for.
type Page struct {
	Contacts []Contact
	// Next is the cursor of the next page, empty at the end.
	Next string
}

// position is what a cursor says: after which place the next page begins. A cursor needs no memory in the server, and stays good
// whatever happens to the contacts: who does not change while the pages are read is in exactly one of them, and who is dated
// anew comes again, later.
type position struct {
	List     int    `json:"l"`
	State    State  `json:"s"`
	Original bool   `json:"o"`
	Filter   []byte `json:"f"`
	Wall     int64  `json:"w"`
	Sequence int64  `json:"n"`
}

// Wall is an instant as a date without an offset, in the list's zone, carried as UTC: what Query takes and Listrak shows.
func (s *Store) Wall(at time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wallTime(at)
}

func (s *Store) wallTime(at time.Time) time.Time {
	return time.UnixMilli(s.wall(at.UnixMilli())).UTC()
}

// ReadContacts is GET Contact of the whole list: one page. A refusal is an *Error.
func (s *Store) ReadContacts(query Query) (Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	index := s.byLatest
	switch {
	case query.State == Unsubscribed:
		index = s.byLeft
	case query.State != Subscribed:
		return Page{}, invalid("subscriptionState")
	case query.Original:
		index = s.byOriginal
	}
	if query.Count < 1 || query.Count > MaxCount {
		return Page{}, invalid("count")
	}
	here := position{List: s.config.ID, State: query.State, Original: query.Original, Filter: query.filter()}
	from := place{}
	if query.Cursor == Start {
		from.wall = -1 << 62
	} else {
		after, ok := parsePosition(query.Cursor)
		if !ok || after.List != here.List || after.State != here.State || after.Original != here.Original ||
			string(after.Filter) != string(here.Filter) {
			return Page{}, invalid("cursor")
		}
		from = place{wall: after.Wall, sequence: after.Sequence + 1}
	}
	if !query.From.IsZero() && query.From.UnixMilli() > from.wall {
		// Listrak keeps milliseconds: a bound between two of them excludes the earlier one.
		from = place{wall: query.From.Add(time.Millisecond - 1).UnixMilli()}
	}
	page := Page{Contacts: make([]Contact, 0, min(query.Count, index.Len()))}
	var last place
	index.Ascend(from, func(at place) bool {
		if !query.To.IsZero() {
			end := time.UnixMilli(at.wall)
			if end.After(query.To) || end.Equal(query.To) && !query.Original {
				return false
			}
		}
		if query.ExternalID != "" && at.contact.externalID != query.ExternalID {
			return true
		}
		if len(page.Contacts) == query.Count {
			here.Wall, here.Sequence = last.wall, last.sequence
			page.Next = here.String()
			return false
		}
		page.Contacts = append(page.Contacts, at.contact.view())
		last = at
		return true
	})
	return page, nil
}

// filter is a digest of what must not change between the pages of one reading.
func (q Query) filter() []byte {
	text := q.From.UTC().Format(time.RFC3339Nano) + "|" + q.To.UTC().Format(time.RFC3339Nano) + "|" + q.ExternalID
	digest := sha256.Sum256([]byte(text))
	return digest[:8]
}

func (p position) String() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic("a position always marshals: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func parsePosition(cursor string) (position, bool) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return position{}, false
	}
	var p position
	return p, json.Unmarshal(text, &p) == nil
}

// ReadContact is GET Contact of one address or email key. A refusal is an *Error: ERROR_UNABLE_TO_LOCATE_RESOURCE when there is
// no such contact.
func (s *Store) ReadContact(identifier string) (Contact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(identifier)
	if c == nil || c.state == Pending && s.config.HidePending {
		return Contact{}, noResource("listId and contactIdentifier")
	}
	return c.view(), nil
}
