package shopify

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/shopify/admin"
)

// OrderLookup asks for the orders of one person in a span.
type OrderLookup struct {
	// Customer finds the orders of that customer; empty skips it.
	Customer CustomerID
	// Email finds orders, of guests too, with exactly that address, in any case; empty skips it.
	Email string
	// From and To bound the order's creation, both inclusive. Shopify dates orders to the second, so From counts from the beginning
	// of its second.
	From, To time.Time
}

// Order is what is read of an order.
type Order struct {
	// ID is the order's GID.
	ID        string
	CreatedAt time.Time
	// Customer is empty for a guest without a profile.
	Customer CustomerID
	Email    string
	// SourceName tells where the order was made: "web", "pos", an app's name.
	SourceName      string
	Test, Cancelled bool
}

// orderPages bounds the pages of ten read for one look-up: more matches than that in one span are no person's orders.
const orderPages = 100

// OrdersOf reads the orders of each person in each span, oldest first, each order once: those of the customer, and those with exactly
// the address. Result i belongs to lookups[i]. Order search lags a new order a little (contracts/shopify.md 4). When only some look-ups
// failed the error is ItemErrors, and the other results are good.
func (c *Client) OrdersOf(ctx context.Context, lookups []OrderLookup) ([][]Order, error) {
	return FindOrders(lookups, func(searches []admin.OrderSearch) ([]OrderPage, ItemErrors, error) {
		if searches[0].Customer != "" {
			return orderPagesOf(ctx, c, opOrdersOfCustomer, searches, admin.OrdersOfCustomers, func(answer admin.OrdersOfCustomerResponse) OrderPage {
				if answer.Customer == nil {
					return OrderPage{}
				}
				info := answer.Customer.Orders.PageInfo
				page := OrderPage{More: info.HasNextPage, End: info.EndCursor}
				for _, node := range answer.Customer.Orders.Nodes {
					page.Orders = append(page.Orders, orderOf(node, ""))
				}
				return page
			})
		}
		return orderPagesOf(ctx, c, opOrdersOfEmail, searches, admin.OrdersOfEmails, func(answer admin.OrdersOfEmailResponse) OrderPage {
			page := OrderPage{More: answer.Orders.PageInfo.HasNextPage, End: answer.Orders.PageInfo.EndCursor}
			for _, node := range answer.Orders.Nodes {
				customer := ""
				if node.Customer != nil {
					customer = node.Customer.Id
				}
				page.Orders = append(page.Orders, orderOf(node.OrderFields, customer))
			}
			return page
		})
	})
}

// orderPagesOf sends searches in one request.
func orderPagesOf[R any](ctx context.Context, c *Client, op operation, searches []admin.OrderSearch,
	build func([]admin.OrderSearch) (admin.Batch[R], error), read func(R) OrderPage,
) ([]OrderPage, ItemErrors, error) {
	batch, err := build(searches)
	if err != nil {
		return nil, nil, err
	}
	answers, failed, err := sendBatch(ctx, c, op, batch)
	if err != nil {
		return nil, nil, err
	}
	pages := make([]OrderPage, len(answers))
	for n, answer := range answers {
		if failed[n] == nil {
			pages[n] = read(answer)
		}
	}
	return pages, failed, nil
}

// OrderPage is what one search brought: up to OrdersAPage orders, and the cursor of the last one.
type OrderPage struct {
	Orders []Order
	More   bool
	End    *string
}

// OrdersAPage is how many orders a search brings at once.
const OrdersAPage = 10

// FindOrders is Client.OrdersOf with the requests left to send, so that a simulation without HTTP asks and reads as the client does.
// A request carries searches that all name a customer or all name none; its error is that of all of them.
func FindOrders(lookups []OrderLookup, send func([]admin.OrderSearch) ([]OrderPage, ItemErrors, error)) ([][]Order, error) {
	found := make([][]Order, len(lookups))
	failures := make(ItemErrors, len(lookups))
	var ofCustomer, ofEmail []orderSearch
	for n, l := range lookups {
		if l.From.IsZero() || l.To.IsZero() || l.Customer != "" && !customerIDPattern.MatchString(string(l.Customer)) {
			failures[n] = &failure.Error{Class: failure.Refused, Op: opOrdersOfCustomer.verb, Code: "INVALID_LOOKUP",
				Advice: "An order look-up needs both ends of its span, and customer ids are like gid://shopify/Customer/1."}
			continue
		}
		// One second more than asked: whether Shopify's index keeps fractions is not known. What is too late is dropped below.
		span := "created_at:>=" + searchTime(l.From) + " AND created_at:<=" + searchTime(l.To.Add(time.Second))
		if l.Customer != "" {
			ofCustomer = append(ofCustomer, orderSearch{item: n, OrderSearch: admin.OrderSearch{Customer: string(l.Customer), Query: span}})
		}
		if strings.TrimSpace(l.Email) != "" {
			query := "email:" + searchPhrase(strings.TrimSpace(l.Email)) + " AND " + span
			ofEmail = append(ofEmail, orderSearch{item: n, OrderSearch: admin.OrderSearch{Query: query}})
		}
	}
	keep := func(search orderSearch, orders []Order) {
		item, lookup := search.item, lookups[search.item]
		for _, order := range orders {
			if search.Customer != "" {
				order.Customer = CustomerID(search.Customer)
			} else if !strings.EqualFold(strings.TrimSpace(order.Email), strings.TrimSpace(lookup.Email)) {
				// Shopify's search works on words, so it also finds other people: only the very address counts.
				continue
			}
			if order.CreatedAt.Before(lookup.From.Truncate(time.Second)) || order.CreatedAt.After(lookup.To) {
				continue
			}
			if !slices.ContainsFunc(found[item], func(o Order) bool { return o.ID == order.ID }) {
				found[item] = append(found[item], order)
			}
		}
	}
	searchOrders(opOrdersOfCustomer, ofCustomer, failures, send, keep)
	searchOrders(opOrdersOfEmail, ofEmail, failures, send, keep)
	for n := range found {
		if failures[n] != nil {
			// Half of a person's orders could look like none.
			found[n] = nil
		}
		slices.SortStableFunc(found[n], func(a, b Order) int { return a.CreatedAt.Compare(b.CreatedAt) })
	}
	return found, failures.orNil()
}

// orderSearch is a search on its way through the pages.
type orderSearch struct {
	admin.OrderSearch
	item int
}

// searchOrders sends all searches, 50 a request, and follows each through its pages. keep stores the orders of a page.
func searchOrders(op operation, searches []orderSearch, failures ItemErrors,
	send func([]admin.OrderSearch) ([]OrderPage, ItemErrors, error), keep func(orderSearch, []Order),
) {
	for page := 1; len(searches) > 0; page++ {
		var further []orderSearch
		done := 0
		for chunk := range slices.Chunk(searches, maxLookups) {
			plain := make([]admin.OrderSearch, len(chunk))
			for k, search := range chunk {
				plain[k] = search.OrderSearch
			}
			pages, failed, err := send(plain)
			if err != nil {
				// What fails a whole request would fail the next one too, after as long a wait.
				for _, search := range append(searches[done:], further...) {
					failures[search.item] = err
				}
				return
			}
			for k, search := range chunk {
				if failed[k] != nil {
					failures[search.item] = failed[k]
					continue
				}
				keep(search, pages[k].Orders)
				current := ""
				if search.After != nil {
					current = *search.After
				}
				next, err := nextCursor(op, pages[k].More && page < orderPages, pages[k].End, current)
				if err != nil {
					failures[search.item] = err
				} else if next != "" {
					search.After = &next
					further = append(further, search)
				}
			}
			done += len(chunk)
		}
		searches = further
	}
}

func orderOf(fields admin.OrderFields, customer string) Order {
	order := Order{ID: fields.Id, CreatedAt: fields.CreatedAt.UTC(), Customer: CustomerID(customer), Test: fields.Test,
		Cancelled: fields.CancelledAt != nil}
	if fields.Email != nil {
		order.Email = *fields.Email
	}
	if fields.SourceName != nil {
		order.SourceName = *fields.SourceName
	}
	return order
}

// searchTime writes an instant, cut to the second, as Shopify's search reads it.
func searchTime(t time.Time) string {
	return "'" + t.UTC().Truncate(time.Second).Format(time.RFC3339) + "'"
}

// searchPhrase quotes a value for Shopify's search, so that nothing in it is read as a part of the search.
func searchPhrase(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ", "\r", " ", "\x00", " ").Replace(value) + `"`
}
