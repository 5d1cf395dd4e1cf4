package shop

import (
	"encoding/base64"
	"encoding/json"
)

const (
	maxPage = 250
	// pagingEnd is how many objects one query may page through (contracts/shopify.md 2.3).
	pagingEnd = 25_000
)

// Paging is the part of a connection's arguments that says which page. Exactly one of First and Last must be set.
type Paging struct {
	First, Last   *int
	After, Before string
}

// Listing asks for a page of customers or orders.
type Listing struct {
	Paging
	// Query is in Shopify's search syntax; empty matches all.
	Query string
	// SortKey is one of CREATED_AT, ID, UPDATED_AT (customers), CREATED_AT, ID, PROCESSED_AT (orders); empty means the default.
	SortKey string
	Reverse bool
}

// Page is a page of a listing. The rows are as they are now, although search found them as they were one lag ago.
type Page[T any] struct {
	Rows        []Row[T]
	HasNext     bool
	HasPrevious bool
	Warnings    []SearchWarning
}

// Row is one object of a page with the cursor that reads on from it.
type Row[T any] struct {
	Object T
	Cursor string
}

// paging is a checked Paging.
type paging struct {
	by        sorting
	reverse   bool
	backwards bool // last, before
	started   bool
	from      position
	passed    int // objects that the pages before this one held
	size      int
}

// downwards says whether the ordering is walked from its end.
func (p paging) downwards() bool { return p.reverse != p.backwards }

// cursor is what a cursor string holds. It counts the objects before it, because the limit of one paging has to be known to a
// server that keeps no state.
type cursor struct {
	LastID    int64 `json:"last_id"`
	LastValue int64 `json:"last_value"`
	Passed    int   `json:"passed"`
}

func (c cursor) String() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // three integers always encode
	}
	return base64.StdEncoding.EncodeToString(text)
}

var errMalformedCursor = &APIError{Code: "BAD_REQUEST", Message: "Malformed cursor"}

func parseCursor(text string) (cursor, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return cursor{}, errMalformedCursor
	}
	var c cursor
	if err := json.Unmarshal(raw, &c); err != nil || c.LastID <= 0 || c.Passed < 0 {
		return cursor{}, errMalformedCursor
	}
	return c, nil
}

// check turns a Paging into one that can be walked. The texts for sizes out of range are not in the contract.
func (p Paging) check(by sorting, reverse, endIsError bool) (paging, error) {
	refuse := func(message string) (paging, error) {
		return paging{}, &APIError{Code: "BAD_REQUEST", Message: message}
	}
	checked := paging{by: by, reverse: reverse, backwards: p.Last != nil}
	size := p.First
	switch {
	case p.First != nil && p.Last != nil:
		return refuse("providing both first and last is not supported")
	case p.First == nil && p.Last == nil:
		return refuse("you must provide one of first or last")
	case p.Last != nil:
		size = p.Last
	}
	if *size < 0 || *size > maxPage {
		return refuse("first and last must be between 0 and 250")
	}
	if p.After != "" && checked.backwards || p.Before != "" && !checked.backwards {
		return refuse("The sandbox takes after only with first, and before only with last")
	}
	if text := p.After + p.Before; text != "" {
		from, err := parseCursor(text)
		if err != nil {
			return paging{}, err
		}
		checked.started, checked.from, checked.passed = true, position{from.LastValue, from.LastID}, from.Passed
	}
	if checked.passed >= pagingEnd && endIsError {
		return refuse("Paging ends at 25000 objects")
	}
	checked.size = min(*size, max(0, pagingEnd-checked.passed))
	return checked, nil
}

var (
	customerSortings = map[string]sorting{"": byNumber, "ID": byNumber, "CREATED_AT": byCreated, "UPDATED_AT": byUpdated}
	orderSortings    = map[string]sorting{"": byCreated, "PROCESSED_AT": byCreated, "CREATED_AT": byCreated, "ID": byNumber}
)

// ListCustomers is customers(…): it sees changes only after the search lag. The error is an *APIError.
func (s *Store) ListCustomers(listing Listing) (Page[Customer], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return list(s, s.customerSearch, listing, customerSortings, customerSearchable, 0, func(number int64) (Customer, bool) {
		c, ok := s.customers[number]
		if !ok {
			return Customer{}, false
		}
		return c.view(), true
	})
}

// ListOrders is orders(…), and Customer.orders(…) when of names a customer: both see changes only after the search lag, and without
// the scope read_all_orders only orders of the last 60 days. The error is an *APIError.
func (s *Store) ListOrders(listing Listing, of CustomerID) (Page[Order], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return list(s, s.orderSearch, listing, orderSortings, orderSearchable, numberOf(string(of), customerPrefix),
		func(number int64) (Order, bool) {
			order, ok := s.orders[number]
			if !ok || !s.orderVisible(order) {
				return Order{}, false
			}
			return s.shown(order), true
		})
}

// list wants s.mu held.
func list[T any](s *Store, index *search, listing Listing, sortings map[string]sorting, fields searchable, of int64,
	read func(number int64) (T, bool),
) (Page[T], error) {
	by, known := sortings[listing.SortKey]
	if !known {
		return Page[T]{}, &APIError{Code: "BAD_REQUEST", Message: "The sandbox does not sort by " + listing.SortKey}
	}
	paging, err := listing.check(by, listing.Reverse, s.switches.PagingEndIsError)
	if err != nil {
		return Page[T]{}, err
	}
	query, err := parseSearch(listing.Query, fields, s.switches.TokenisedEmailSearch)
	if err != nil {
		return Page[T]{}, err
	}
	if of != 0 {
		if query.customer != nil && *query.customer != of {
			return Page[T]{Warnings: query.warnings}, nil
		}
		query.customer = &of
	}
	index.advance(s.config.Now())
	found, more := index.page(query, paging, paging.size, func(number int64) bool {
		_, ok := read(number)
		return ok
	})
	page := Page[T]{Rows: make([]Row[T], 0, len(found)), Warnings: query.warnings}
	for n, at := range found {
		object, ok := read(at.number)
		if !ok {
			continue
		}
		passed := paging.passed + n + 1
		if paging.backwards {
			passed = paging.passed + len(found) - n
		}
		page.Rows = append(page.Rows, Row[T]{object, cursor{at.number, at.value, passed}.String()})
	}
	more = more && paging.passed+len(found) < pagingEnd
	if page.HasNext, page.HasPrevious = more, paging.started; paging.backwards {
		page.HasNext, page.HasPrevious = paging.started, more
	}
	return page, nil
}
