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
	// Back is the oldest change that the pass under way asks for, and Short tells that changes may show later than it reaches back. What a
	// pass reaches must not depend on which of its runs ends it.
	Back  time.Time `json:"back,omitzero"`
	Short bool      `json:"short,omitempty"`
	// Reached is when the last pass that was not short began: every change that showed by then has been read.
	Reached time.Time `json:"reached,omitzero"`
}

// source is one thing to be read: a name for its cursor, how far before the watermark a pass reaches back, and the reading of a page.
type source struct {
	cursor  string
	overlap time.Duration
	// full reads everything once, from the beginning, and ends.
	full bool
	// short: the overlap is shorter than changes may show late.
	short bool
	// slow: one page may take several runs, so the pass is saved before its first.
	slow bool
	page func(ctx context.Context, from reach, cursor string) (page, error)
}

// reach is what a page of a pass is asked for.
type reach struct {
	// since is the oldest change that is wanted, zero for everything.
	since time.Time
	// pass is when a slow pass began, zero otherwise.
	pass time.Time
}

// whole is the same source read completely.
func (src source) whole() source {
	src.slow = src.cursor == smsSubscribed
	src.cursor, src.full = fullPrefix+src.cursor, true
	return src
}

// Names of cursors. They stand in ledgers: never change one.
const (
	shopifyChanges      = "shopify.changes"
	listrakSubscribed   = "listrak.subscribed"
	listrakUnsubscribed = "listrak.unsubscribed"
	smsSubscribed       = "sms.subscribed"
	smsOptedOut         = "sms.opted_out"
	smsListed           = "sms.listed"
	smsUnlisted         = "sms.unlisted"
	fullPrefix          = "full."
	// smsPrefix comes before the names of an SMS full read that email's has too.
	smsPrefix = "sms."
)

// ListrakCursors are the cursors that start anew with a new email list, SMSCursors those with a new SMS list.
var (
	ListrakCursors = []string{
		listrakSubscribed, listrakUnsubscribed, fullPrefix + listrakSubscribed, fullPrefix + listrakUnsubscribed, fullPrefix + missing,
	}
	SMSCursors = []string{
		smsSubscribed, smsOptedOut, smsListed, smsUnlisted, fullPrefix + smsSubscribed, fullPrefix + smsOptedOut, fullPrefix + smsPrefix + missing,
	}
)

func (r *run) loadPass(ctx context.Context, name string) (pass, bool, error) {
	if r.cursors == nil {
		var err error
		if r.cursors, err = r.records().Cursors(ctx, r.merchant); err != nil {
			return pass{}, false, err
		}
	}
	value, known := r.cursors[name]
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
func (r *run) savePass(ctx context.Context, name string, p pass, people customersRead) error {
	value, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write cursor %s: %w", name, err)
	}
	batch := people.batch()
	batch.Lease, batch.Cursors = r.lease, []ledger.Cursor{{Name: name, Value: string(value)}}
	if _, err := r.records().Save(ctx, r.merchant, batch); err != nil {
		return fmt.Errorf("save cursor: %w", err)
	}
	r.cursors[name] = string(value)
	return nil
}

// pagingEnd is after how many rows paging begins again from the last date: Shopify ends it at 25,000 (contracts/shopify.md 2.3).
const pagingEnd = 24_000

// page is what one call of a pass has brought.
type page struct {
	next   string
	people customersRead
	rows   int
	// reached is the date of the last row of a source that is sorted by date, zero for others.
	reached time.Time
}

// scan runs one pass of a source until its end or until time is up; done tells which.
func (r *run) scan(ctx context.Context, src source) (done bool, err error) {
	p, known, err := r.loadPass(ctx, src.cursor)
	if err != nil {
		return false, err
	}
	if src.full && p.Done {
		return true, nil
	}
	// A pass of one page that brought no news moves the watermark only now and then: reaching a little further back costs little, and a
	// round without news then leaves the cursors alone.
	mayRest := known && !src.full && p.Began.IsZero() && r.now().Time().Sub(p.Since) < r.Timing.SearchLag
	if !known && !src.full {
		// Looks forward only; what was before is the full read'r.
		p.Since = r.now().Time()
	}
	underWay := !p.Began.IsZero()
	if !underWay {
		p.Began = r.now().Time()
	}
	if p.Back.IsZero() && !src.full {
		p.Back, p.Short = p.Since.Add(-src.overlap), src.short
	}
	if src.slow && !underWay {
		if err := r.savePass(ctx, src.cursor, p, customersRead{}); err != nil {
			return false, err
		}
	}
	if !src.full {
		defer func() { r.behind = max(r.behind, r.now().Time().Sub(p.Since)) }()
	}
	for {
		since := p.From
		if since.IsZero() {
			since = p.Back
		}
		before := r.saved.Load()
		from := reach{since: since}
		if src.slow {
			from.pass = p.Began
		}
		read, err := src.page(ctx, from, p.Page)
		if errors.Is(err, errTimeIsUp) {
			return false, nil
		}
		if err != nil {
			if p.Page != "" && cursorLost(err) {
				// The side does not know its own cursor any more: the pass starts again, which costs reads and loses nothing.
				p.Page, p.Rows = "", 0
				if saveErr := r.savePass(ctx, src.cursor, p, customersRead{}); saveErr != nil {
					return false, saveErr
				}
			}
			return false, err
		}
		p.Page, p.Rows = read.next, p.Rows+read.rows
		switch {
		case read.next == "":
			reached := p.Reached
			if !p.Short && !src.full {
				reached = p.Began
			}
			p = pass{Since: p.Began, Done: src.full, Reached: reached}
		case p.Rows >= pagingEnd && read.reached.After(since):
			p.From, p.Page, p.Rows = read.reached, "", 0
		}
		news := r.saved.Load() != before || len(read.people.customers)+len(read.people.unreadable) > 0
		if mayRest = mayRest && !news && read.next == ""; !mayRest {
			if err := r.savePass(ctx, src.cursor, p, read.people); err != nil {
				return false, err
			}
		}
		if read.next == "" {
			return true, nil
		}
		if r.timeIsUp() {
			return false, nil
		}
	}
}

// cursorLost reports whether a side does not take a cursor any more.
func cursorLost(err error) bool {
	f := failure.As(err)
	return errors.Is(err, listrak.ErrCursorLost) || isRefused(err) || f != nil && f.Code == shopify.CodeBadCursor
}

// errTimeIsUp: a page was not read to its end. The next round reads it once more, and finds most of it done.
var errTimeIsUp = errors.New("time is up")

// shopifySource is what a poll reads of Shopify, for all channels that are read.
func (r *run) shopifySource() source {
	return source{cursor: shopifyChanges, overlap: r.Timing.SearchLag, page: func(ctx context.Context, from reach, cursor string) (page, error) {
		channels, err := r.observed(ctx)
		if err != nil {
			return page{}, err
		}
		return r.scanShopify(ctx, from.since, cursor, channels, false)
	}}
}

// scanShopify reads one page of changed customers: the search only says who changed; people are read by id. all reads also those who
// have not changed since they were read last.
func (r *run) scanShopify(ctx context.Context, since time.Time, cursor string, channels []*session, all bool) (page, error) {
	span := read{began: r.now()}
	changed, err := r.account.Shopify.ChangedCustomers(ctx, since, cursor)
	if err != nil {
		return page{}, fmt.Errorf("read changed customers: %w", err)
	}
	span.ended = r.now()
	r.account.measure(consent.Shopify, span, changed.ServerTime)
	result := page{next: changed.Next, rows: len(changed.Changes)}
	ids := make([]string, len(changed.Changes))
	for i, c := range changed.Changes {
		ids[i] = string(c.ID)
	}
	known, err := r.records().KnownCustomers(ctx, r.merchant, ids)
	if err != nil {
		return page{}, fmt.Errorf("read known customers: %w", err)
	}
	fresh := make([]shopify.CustomerID, 0, len(changed.Changes))
	for _, c := range changed.Changes {
		if k, ok := known[string(c.ID)]; all || !ok || k.UpdatedAt != consent.InstantOf(c.UpdatedAt) {
			fresh = append(fresh, c.ID)
		}
		result.reached = c.UpdatedAt
	}
	result.people, _, err = r.readCustomers(ctx, fresh, known, channels)
	return result, err
}

// customersRead is what to remember of customers.
type customersRead struct {
	customers []ledger.Customer
	// unreadable are phones that are none; asked are the customers of whom that is no longer true otherwise.
	unreadable []ledger.Unreadable
	asked      []string
}

func (c customersRead) batch() ledger.Batch {
	return ledger.Batch{Customers: c.customers, Readable: c.asked, Unreadable: c.unreadable}
}

// readCustomers reads customers by id, decides what they show on the channels, and returns what to remember of them and the records as
// they are now.
func (r *run) readCustomers(ctx context.Context, ids []shopify.CustomerID, known map[string]ledger.Customer, channels []*session,
) (customersRead, []decided, error) {
	if len(ids) == 0 {
		return customersRead{}, nil, nil
	}
	span := read{began: r.now()}
	people, err := r.account.Shopify.CustomersByID(ctx, ids)
	if err != nil {
		return customersRead{}, nil, fmt.Errorf("read customers: %w", err)
	}
	span.ended = r.now()
	var result customersRead
	sightings := make([][]sighting, len(channels))
	for i, person := range people {
		id := string(ids[i])
		now := known[id]
		for n, s := range channels {
			before := *subjectOf(&now, s.channel)
			seen, ok := s.shopifyReport(person, span)
			if !before.IsZero() && before != seen.subject {
				// The customer has another address now, or is gone: the old address keeps its decision (rule 18).
				left := absent(consent.Shopify, before, "", span)
				left.leaver = id
				sightings[n] = append(sightings[n], left)
				seen.report.Moved = true
			}
			if ok {
				sightings[n] = append(sightings[n], seen)
			}
			*subjectOf(&now, s.channel) = seen.subject
			if s.channel == consent.SMS {
				result.asked = append(result.asked, id)
				if !ok && person.Phone != "" {
					unreadable, err := s.unreadable(consent.Shopify, person.Phone, id)
					if err != nil {
						return customersRead{}, nil, err
					}
					result.unreadable = append(result.unreadable, unreadable)
				}
			}
		}
		if person.ID != "" {
			now.ID, now.UpdatedAt = id, r.knownUpTo(consent.InstantOf(person.UpdatedAt), span.began)
			result.customers = append(result.customers, now)
		}
	}
	all := make([]decided, 0, len(channels))
	for n, s := range channels {
		entries, err := s.observe(ctx, sightings[n])
		if err != nil {
			return customersRead{}, nil, err
		}
		all = append(all, decided{s, entries})
	}
	return result, all, nil
}

// decided is what was found of people on one channel.
type decided struct {
	*session
	entries map[consent.Subject]ledger.Entry
}

// subjectOf is the place of a channel's address in what is remembered of a customer.
func subjectOf(c *ledger.Customer, channel consent.Channel) *consent.Subject {
	if channel == consent.SMS {
		return &c.SMS
	}
	return &c.Email
}

// sameSecond is how old a customer's updatedAt must be at least before a read has surely seen everything that it stands for: Shopify
// cuts it to whole seconds, and its clock is not ours.
const sameSecond = 5 * time.Second

// knownUpTo is the updatedAt to remember for a customer. One that is too fresh is remembered as a little older, so that the next
// poll reads the customer again: a second change within the same second would otherwise never be seen.
func (r *run) knownUpTo(updatedAt, readBegan consent.Instant) consent.Instant {
	if fresh := max(sameSecond, time.Second+r.account.shopifyUncertainty()); readBegan.Since(updatedAt) < consent.SpanOf(fresh) {
		return updatedAt - 1
	}
	return updatedAt
}

// scanListrak reads one page of contacts in one state.
func (s *session) scanListrak(state listrak.State) func(context.Context, reach, string) (page, error) {
	return func(ctx context.Context, from reach, cursor string) (page, error) {
		r := read{began: s.now()}
		contacts, err := s.account.Listrak.Contacts(ctx, listrak.ContactQuery{State: state, Since: from.since, Cursor: cursor})
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

const (
	// shortReach is how far a poll reaches back while customers' metafields are being written, and longReachEvery how often it reaches back
	// as far as it must all the same: so long a change that shows late may wait. At 83 customers a second, what a Standard plan can write, a long
	// reach finds 50,000 of them, for some 3,400 of the 30,000 points until the next one.
	shortReach     = 30 * time.Second
	longReachEvery = 5 * time.Minute
)

// eventsBeingWritten reports whether customers' metafields were written within the time in which the search may show that.
func (r *run) eventsBeingWritten(ctx context.Context) (bool, error) {
	if _, _, err := r.loadPass(ctx, shopifyChanges); err != nil {
		return false, err
	}
	told, err := time.Parse(time.RFC3339, r.cursors[ledger.ToldPeopleCursor])
	return err == nil && r.now().Time().Sub(told) <= r.Timing.SearchLag, nil
}

// besideEvents shortens the overlap of a poll while the fields of events are written to customers: each of those writes bumps updatedAt, and a
// poll that reads them six times over takes a third of the points. A change that shows later than shortReach is then found by the next poll
// that is not short, which reaches back over all that the short ones left out: every longReachEvery, and when the writing has ended. Without
// the latter it would never be found.
func (r *run) besideEvents(ctx context.Context, src source) (source, error) {
	p, known, err := r.loadPass(ctx, src.cursor)
	if err != nil || !known || !p.Began.IsZero() {
		return src, err
	}
	busy, err := r.eventsBeingWritten(ctx)
	switch {
	case err != nil:
	case busy && r.now().Time().Sub(p.Reached) < longReachEvery:
		src.overlap, src.short = min(shortReach, src.overlap), true
	case !p.Reached.IsZero(): // else none has been short yet
		src.overlap += max(0, p.Since.Sub(p.Reached))
	}
	return src, err
}

// listrakSources lists what a poll reads of Listrak, opt-outs first. Listrak's dates may be off by the uncertainty, so the poll reaches
// back that far.
func (s *session) listrakSources() []source {
	overlap := s.account.listrakUncertainty(true) + s.Timing.SearchLag
	if s.channel == consent.SMS {
		return []source{
			{cursor: smsOptedOut, overlap: overlap, page: s.scanOptOuts},
			{cursor: smsSubscribed, overlap: overlap, page: s.scanSubscribers},
		}
	}
	return []source{
		{cursor: listrakUnsubscribed, overlap: overlap, page: s.scanListrak(listrak.Unsubscribed)},
		{cursor: listrakSubscribed, overlap: overlap, page: s.scanListrak(listrak.Subscribed)},
	}
}
