package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/shopify"
)

// pass is where the reading of one source stands: a pass reads everything that changed since Since, page by page, and can go on
// after any stop. It is the JSON value of a cursor in the ledger and holds no personal data.
type pass struct {
	// Since is the watermark: everything before it has been read. It is by the ledger's clock: by that of a machine which is ahead,
	// a pass would ask for changes of the future and miss those of now.
	Since time.Time `json:"since,omitzero"`
	// Page is the side's own cursor of the next page; empty between passes.
	Page string `json:"page,omitempty"`
	// Began is when the pass under way began; its end moves the watermark there.
	Began time.Time `json:"began,omitzero"`
	// From is where paging had to begin again within the pass, and Rows how many rows came since.
	From time.Time `json:"from,omitzero"`
	Rows int       `json:"rows,omitempty"`
	// Done tells that a full read has come to its end.
	Done bool `json:"done,omitempty"`
	// Reached is when a pass last reached back as far as changes may show late.
	Reached time.Time `json:"reached,omitzero"`
}

// source is one thing to be read: a name for its cursor, and how far before the watermark a pass reaches back.
type source struct {
	cursor  string
	overlap time.Duration
	// full reads everything once, from the beginning, and ends.
	full bool
	// reaches: the overlap is as long as changes may show late.
	reaches bool
}

const (
	shopifyChanges      = "shopify.changes"
	listrakSubscribed   = "listrak.subscribed"
	listrakUnsubscribed = "listrak.unsubscribed"
	fullPrefix          = "full."
)

// ListrakCursors are the cursors that start anew with a new list.
var ListrakCursors = []string{
	listrakSubscribed, listrakUnsubscribed, fullPrefix + listrakSubscribed, fullPrefix + listrakUnsubscribed, fullPrefix + missing,
}

func (s *session) loadPass(ctx context.Context, name string) (pass, bool, error) {
	if s.cursors == nil {
		var err error
		if s.cursors, err = s.records().Cursors(ctx, s.merchant); err != nil {
			return pass{}, false, err
		}
	}
	value, known := s.cursors[name]
	if !known {
		return pass{}, false, nil
	}
	var p pass
	if err := json.Unmarshal([]byte(value), &p); err != nil {
		return pass{}, false, fmt.Errorf("read cursor %s: %w", name, err)
	}
	return p, true, nil
}

// savePass moves the cursor, together with the customers of the page. It is written after the page's decisions: a crash between
// the two reads the page again.
func (s *session) savePass(ctx context.Context, name string, p pass, customers []ledger.Customer) error {
	value, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write cursor %s: %w", name, err)
	}
	batch := ledger.Batch{Customers: customers, Lease: s.lease, Cursors: []ledger.Cursor{{Name: name, Value: string(value)}}}
	if _, err := s.records().Save(ctx, s.merchant, batch); err != nil {
		return fmt.Errorf("save cursor: %w", err)
	}
	s.cursors[name] = string(value)
	return nil
}

// pagingEnd is after how many rows paging begins again from the last date: Shopify ends it at 25,000 (contracts/shopify.md 2.3).
const pagingEnd = 24_000

// page is what one call of a pass has brought.
type page struct {
	next      string
	customers []ledger.Customer
	rows      int
	// reached is the date of the last row of a source that is sorted by date, zero for others.
	reached time.Time
}

// scan runs one pass of a source until its end or until time is up; done tells which.
func (s *session) scan(ctx context.Context, src source,
	readPage func(ctx context.Context, since time.Time, cursor string) (page, error),
) (done bool, err error) {
	p, known, err := s.loadPass(ctx, src.cursor)
	if err != nil {
		return false, err
	}
	if src.full && p.Done {
		return true, nil
	}
	// A pass of one page that brought no news moves the watermark only now and then: reaching a little further back costs little, and a
	// round without news then leaves the cursors alone.
	mayRest := known && !src.full && p.Began.IsZero() && s.now().Time().Sub(p.Since) < s.Timing.SearchLag
	if !known && !src.full {
		// Looks forward only; what was before is the full read's.
		p.Since = s.now().Time()
	}
	if p.Began.IsZero() {
		p.Began = s.now().Time()
	}
	if !src.full {
		defer func() { s.behind = max(s.behind, s.now().Time().Sub(p.Since)) }()
	}
	for {
		since := p.From
		if since.IsZero() && !src.full {
			since = p.Since.Add(-src.overlap)
		}
		before := s.saved.Load()
		read, err := readPage(ctx, since, p.Page)
		if err != nil {
			if p.Page != "" && cursorLost(err) {
				// The side does not know its own cursor any more: the pass starts again, which costs reads and loses nothing.
				p.Page, p.Rows = "", 0
				if saveErr := s.savePass(ctx, src.cursor, p, nil); saveErr != nil {
					return false, saveErr
				}
			}
			return false, err
		}
		p.Page, p.Rows = read.next, p.Rows+read.rows
		switch {
		case read.next == "":
			reached := p.Reached
			if src.reaches {
				reached = p.Began
			}
			p = pass{Since: p.Began, Done: src.full, Reached: reached}
		case p.Rows >= pagingEnd && read.reached.After(since):
			p.From, p.Page, p.Rows = read.reached, "", 0
		}
		news := s.saved.Load() != before || len(read.customers) > 0
		if mayRest = mayRest && !news && read.next == ""; !mayRest {
			if err := s.savePass(ctx, src.cursor, p, read.customers); err != nil {
				return false, err
			}
		}
		if read.next == "" {
			return true, nil
		}
		if s.timeIsUp() {
			return false, nil
		}
	}
}

// cursorLost reports whether a side does not take a cursor any more.
func cursorLost(err error) bool {
	f := failure.As(err)
	return errors.Is(err, listrak.ErrCursorLost) || isRefused(err) || f != nil && f.Code == shopify.CodeBadCursor
}

// scanShopify reads one page of changed customers: the search only says who changed; people are read by id.
func (s *session) scanShopify(ctx context.Context, since time.Time, cursor string) (page, error) {
	r := read{began: s.now()}
	changed, err := s.account.Shopify.ChangedCustomers(ctx, since, cursor)
	if err != nil {
		return page{}, fmt.Errorf("read changed customers: %w", err)
	}
	r.ended = s.now()
	s.account.measure(consent.Shopify, r, changed.ServerTime)
	result := page{next: changed.Next, rows: len(changed.Changes)}
	ids := make([]string, len(changed.Changes))
	for i, c := range changed.Changes {
		ids[i] = string(c.ID)
	}
	known, err := s.records().KnownCustomers(ctx, s.merchant, ids)
	if err != nil {
		return page{}, fmt.Errorf("read known customers: %w", err)
	}
	fresh := make([]shopify.CustomerID, 0, len(changed.Changes))
	for _, c := range changed.Changes {
		if k, ok := known[string(c.ID)]; !ok || k.UpdatedAt != consent.InstantOf(c.UpdatedAt) {
			fresh = append(fresh, c.ID)
		}
		result.reached = c.UpdatedAt
	}
	result.customers, _, err = s.readCustomers(ctx, fresh, known)
	return result, err
}

// readCustomers reads customers by id, decides what they show, and returns what to remember of them and the records as they are now.
func (s *session) readCustomers(ctx context.Context, ids []shopify.CustomerID, known map[string]ledger.Customer,
) ([]ledger.Customer, map[consent.Subject]ledger.Entry, error) {
	if len(ids) == 0 {
		return nil, nil, nil
	}
	r := read{began: s.now()}
	people, err := s.account.Shopify.CustomersByID(ctx, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("read customers: %w", err)
	}
	r.ended = s.now()
	customers := make([]ledger.Customer, 0, len(people))
	sightings := make([]sighting, 0, len(people))
	for i, person := range people {
		before := known[string(ids[i])].Email
		seen, ok := s.shopifyReport(person, r)
		if !before.IsZero() && before != seen.subject {
			// The customer has another address now, or is gone: the old address keeps its decision (rule 18).
			left := absent(consent.Shopify, before, "", r)
			left.leaver = string(ids[i])
			sightings = append(sightings, left)
			seen.report.Moved = true
		}
		if ok {
			sightings = append(sightings, seen)
		}
		if person.ID != "" {
			customers = append(customers, ledger.Customer{
				ID: string(person.ID), UpdatedAt: s.knownUpTo(consent.InstantOf(person.UpdatedAt), r.began), Email: seen.subject,
			})
		}
	}
	entries, err := s.observe(ctx, sightings)
	return customers, entries, err
}

// sameSecond is how old a customer's updatedAt must be at least before a read has surely seen everything that it stands for: Shopify
// cuts it to whole seconds, and its clock is not ours.
const sameSecond = 5 * time.Second

// knownUpTo is the updatedAt to remember for a customer. One that is too fresh is remembered as a little older, so that the next
// poll reads the customer again: a second change within the same second would otherwise never be seen.
func (s *session) knownUpTo(updatedAt, readBegan consent.Instant) consent.Instant {
	if fresh := max(sameSecond, time.Second+s.account.shopifyUncertainty()); readBegan.Since(updatedAt) < consent.SpanOf(fresh) {
		return updatedAt - 1
	}
	return updatedAt
}

// scanListrak reads one page of contacts in one state.
func (s *session) scanListrak(state listrak.State) func(context.Context, time.Time, string) (page, error) {
	return func(ctx context.Context, since time.Time, cursor string) (page, error) {
		r := read{began: s.now()}
		contacts, err := s.account.Listrak.Contacts(ctx, listrak.ContactQuery{State: state, Since: since, Cursor: cursor})
		if err != nil {
			return page{}, fmt.Errorf("read contacts: %w", err)
		}
		r.ended = s.now()
		s.account.measure(consent.Listrak, r, contacts.ServerTime)
		sightings := make([]sighting, 0, len(contacts.Contacts))
		for _, c := range contacts.Contacts {
			if seen, ok := s.listrakReport(c, r); ok {
				sightings = append(sightings, seen)
			}
		}
		_, err = s.observe(ctx, sightings)
		return page{next: contacts.Next, rows: len(contacts.Contacts)}, err
	}
}

// sources lists what a poll reads. Listrak's dates may be off by the uncertainty, so the poll reaches back that far.
func (s *session) shopifySource() source {
	return source{cursor: shopifyChanges, overlap: s.Timing.SearchLag, reaches: true}
}

const (
	// shortReach is how far a poll reaches back while customers' metafields are being written, and longReachEvery how often it reaches back
	// as far as it must: then also over what the short ones left out.
	shortReach     = 30 * time.Second
	longReachEvery = 15 * time.Minute
)

// eventsBeingWritten reports whether customers' metafields were written within the time in which the search may show that.
func (s *session) eventsBeingWritten(ctx context.Context) (bool, error) {
	if _, _, err := s.loadPass(ctx, shopifyChanges); err != nil {
		return false, err
	}
	told, err := time.Parse(time.RFC3339, s.cursors[ledger.ToldPeopleCursor])
	return err == nil && s.now().Time().Sub(told) <= s.Timing.SearchLag, nil
}

// besideEvents shortens the overlap of a poll while the fields of events are written to customers: each of those writes bumps updatedAt, and a
// poll that reads them six times over takes a third of the points. A change that shows later than shortReach is then found by the next long
// reach instead of the next poll.
func (s *session) besideEvents(ctx context.Context, src source) (source, error) {
	p, known, err := s.loadPass(ctx, src.cursor)
	if err != nil || !known || !p.Began.IsZero() {
		// A pass goes on as it began; what it reaches is judged when it ends.
		src.reaches = src.reaches && p.Began.IsZero()
		return src, err
	}
	if busy, err := s.eventsBeingWritten(ctx); err != nil || !busy {
		return src, err
	}
	if s.now().Time().Sub(p.Reached) < longReachEvery {
		src.overlap, src.reaches = min(shortReach, src.overlap), false
		return src, nil
	}
	src.overlap += longReachEvery
	return src, nil
}

func (s *session) listrakSources() []struct {
	source
	state listrak.State
} {
	overlap := s.account.listrakUncertainty(true) + s.Timing.SearchLag
	return []struct {
		source
		state listrak.State
	}{
		{source{cursor: listrakUnsubscribed, overlap: overlap}, listrak.Unsubscribed},
		{source{cursor: listrakSubscribed, overlap: overlap}, listrak.Subscribed},
	}
}
