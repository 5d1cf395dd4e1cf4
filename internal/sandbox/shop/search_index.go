package shop

import (
	"slices"
	"time"

	"github.com/tidwall/btree"
)

// document is what search knows of a customer or an order: a copy, as old as the search lag. Times are Unix seconds.
type document struct {
	created, updated int64
	emailKey         string
	customer         int64 // of an order; zero when it has none
}

func (c *customer) document() *document {
	return &document{created: c.created.Unix(), updated: c.updated.Unix(), emailKey: emailKey(c.email)}
}

func (o *Order) document() *document {
	return &document{
		created: o.CreatedAt.Unix(), updated: o.CreatedAt.Unix(), emailKey: emailKey(o.Email),
		customer: numberOf(string(o.CustomerID), customerPrefix),
	}
}

// position is a place in a sorted list: by value, then by number, so that equal values still have an order that paging can keep.
type position struct {
	value, number int64
}

func before(a, b position) bool {
	return a.value < b.value || a.value == b.value && a.number < b.number
}

type ordering = btree.BTreeG[position]

// newOrdering needs no locks of its own: Store.mu guards it.
func newOrdering() *ordering {
	return btree.NewBTreeGOptions(before, btree.Options{NoLocks: true})
}

// sorting is one of the orders in which documents are listed.
type sorting int

const (
	byNumber sorting = iota
	byCreated
	byUpdated
)

func (d *document) position(number int64, by sorting) position {
	switch by {
	case byCreated:
		return position{d.created, number}
	case byUpdated:
		return position{d.updated, number}
	default:
		return position{0, number}
	}
}

// change is a document on its way into the index; a nil document is a deletion.
type change struct {
	visible  time.Time
	number   int64
	document *document
}

// search finds documents as they were one lag ago. Documents are never changed in place. It is guarded by Store.mu.
type search struct {
	lag        time.Duration
	pending    []change // by visible, oldest first
	documents  map[int64]*document
	orders     [3]*ordering // by sorting
	byEmail    map[string][]int64
	byCustomer map[int64][]int64
}

func newSearch(lag time.Duration) *search {
	return &search{
		lag:        lag,
		documents:  map[int64]*document{},
		orders:     [3]*ordering{newOrdering(), newOrdering(), newOrdering()},
		byEmail:    map[string][]int64{},
		byCustomer: map[int64][]int64{},
	}
}

// changed records a change made now; nil means that the object is gone.
func (s *search) changed(now time.Time, number int64, to *document) {
	s.pending = append(s.pending, change{visible: now.Add(s.lag), number: number, document: to})
}

// advance lets every change in whose lag has passed.
func (s *search) advance(now time.Time) {
	n := 0
	for n < len(s.pending) && !s.pending[n].visible.After(now) {
		s.apply(s.pending[n])
		n++
	}
	if n == len(s.pending) {
		s.pending = nil
		return
	}
	s.pending = s.pending[n:]
}

func (s *search) finish() {
	for _, change := range s.pending {
		s.apply(change)
	}
	s.pending = nil
}

func (s *search) apply(change change) {
	number := change.number
	if old, known := s.documents[number]; known {
		for by, order := range s.orders {
			order.Delete(old.position(number, sorting(by)))
		}
		forget(s.byEmail, old.emailKey, number)
		forget(s.byCustomer, old.customer, number)
		delete(s.documents, number)
	}
	if change.document == nil {
		return
	}
	s.documents[number] = change.document
	for by, order := range s.orders {
		order.Set(change.document.position(number, sorting(by)))
	}
	s.byEmail[change.document.emailKey] = append(s.byEmail[change.document.emailKey], number)
	s.byCustomer[change.document.customer] = append(s.byCustomer[change.document.customer], number)
}

func forget[K comparable](lists map[K][]int64, key K, number int64) {
	rest := lists[key]
	if at := slices.Index(rest, number); at >= 0 {
		rest = slices.Delete(rest, at, at+1)
	}
	if len(rest) == 0 {
		delete(lists, key)
		return
	}
	lists[key] = rest
}

// candidates is the ordering to walk: a small one of its own when the query names an address or a customer, else the whole list.
func (s *search) candidates(query searchQuery, by sorting) *ordering {
	var numbers []int64
	switch {
	case query.customer != nil:
		numbers = s.byCustomer[*query.customer]
	case query.email != nil && !query.tokenised:
		numbers = s.byEmail[*query.email]
	default:
		return s.orders[by]
	}
	few := newOrdering()
	for _, number := range numbers {
		few.Set(s.documents[number].position(number, by))
	}
	return few
}

// page collects up to limit positions that query matches and exists lets pass, in list order; more says whether others follow in
// the direction of reading.
func (s *search) page(query searchQuery, paging paging, limit int, exists func(number int64) bool) (found []position, more bool) {
	bounds := query.bounds(paging.by)
	collect := func(at position) bool {
		if at == paging.from {
			return true
		}
		if paging.downwards() && at.value < bounds.least || !paging.downwards() && at.value > bounds.most {
			return false
		}
		if !query.matches(s.documents[at.number]) || !exists(at.number) {
			return true
		}
		if len(found) == limit {
			more = true
			return false
		}
		found = append(found, at)
		return true
	}
	order := s.candidates(query, paging.by)
	start := position{bounds.least, 0}
	if paging.downwards() {
		start = position{bounds.most, 1<<63 - 1}
		if paging.started && before(paging.from, start) {
			start = paging.from
		}
		order.Descend(start, collect)
	} else {
		if paging.started && before(start, paging.from) {
			start = paging.from
		}
		order.Ascend(start, collect)
	}
	if paging.backwards {
		slices.Reverse(found)
	}
	return found, more
}
