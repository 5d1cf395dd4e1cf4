package simulation

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// storeClient is a reconcile.Shopify on the sandbox's model of a store, without HTTP: what shopify.Client and the sandbox's server do
// together. A test holds it against the two.
type storeClient struct {
	*link
	store *shop.Store
	// seenAs is the address under which this process last saw a customer: the one that a write by id is meant for.
	seenAs map[shopify.CustomerID]string
}

// charge takes points from the store's bucket, or waits until it holds enough.
func (c storeClient) charge(points int) error {
	for {
		status, enough := c.store.Charge(points)
		if enough {
			return nil
		}
		missing := points - status.CurrentlyAvailable
		wait := time.Duration(float64(missing)/float64(status.RestoreRate)*float64(time.Second)) + 100*time.Millisecond
		if err := c.world.pause(wait); err != nil {
			return err
		}
	}
}

// request pays for a call and makes it.
func (c storeClient) request(ctx context.Context, operation string, points int, write bool, items int, effect func(item int)) error {
	if !write {
		if err := c.charge(points); err != nil {
			return err
		}
	}
	return c.exchange(ctx, operation, write, items, effect)
}

func (c storeClient) Reserve(_ context.Context, points int) error { return c.charge(points) }

func (c storeClient) ChangedCustomers(ctx context.Context, since time.Time, cursor string) (shopify.ChangePage, error) {
	first, query := 250, ""
	if !since.IsZero() {
		query = "updated_at:>='" + since.UTC().Truncate(time.Second).Format(time.RFC3339) + "'"
	}
	var page shopify.ChangePage
	var listed error
	err := c.request(ctx, "customers", 13, false, 1, func(int) {
		var found shop.Page[shop.Customer]
		found, listed = c.store.ListCustomers(shop.Listing{
			Paging: shop.Paging{First: &first, After: cursor}, Query: query, SortKey: "UPDATED_AT",
		})
		page.ServerTime = c.world.now.Add(c.world.scenario.storeAhead).UTC().Truncate(time.Second)
		for _, row := range found.Rows {
			page.Changes = append(page.Changes, shopify.Change{ID: shopify.CustomerID(row.Object.ID), UpdatedAt: row.Object.UpdatedAt})
			if found.HasNext {
				page.Next = row.Cursor
			}
		}
	})
	return page, errors.Join(err, listed)
}

func (c storeClient) CustomersByID(ctx context.Context, ids []shopify.CustomerID) ([]shopify.Customer, error) {
	customers := make([]shopify.Customer, len(ids))
	err := c.request(ctx, "nodes", 2*(1+len(ids)/250), false, 1, func(int) {
		for i, id := range ids {
			if found, ok := c.store.CustomerByID(shop.CustomerID(id)); ok {
				customers[i] = c.read(found)
			}
		}
	})
	return customers, err
}

func (c storeClient) CustomersByEmail(ctx context.Context, emails []string) ([]shopify.Customer, error) {
	customers := make([]shopify.Customer, len(emails))
	err := c.request(ctx, "customerByIdentifier", 2*len(emails), false, 1, func(int) {
		for i, email := range emails {
			if found, ok := c.store.Customer(email); ok {
				customers[i] = c.read(found)
			} else {
				c.world.watch.read(c.process, c.side, email, nobodyThere)
			}
		}
	})
	return customers, everyItem(err, len(emails))
}

// everyItem is the error of a read of many people whose one request failed.
func everyItem(err error, items int) error {
	if failure.As(err) == nil {
		return err
	}
	all := make(shopify.ItemErrors, items)
	for i := range all {
		all[i] = err
	}
	return all
}

func (c storeClient) OrdersOf(ctx context.Context, lookups []shopify.OrderLookup) ([][]shopify.Order, error) {
	found := make([][]shopify.Order, len(lookups))
	var listed error
	err := c.request(ctx, "orders", 17*len(lookups), false, 1, func(int) {
		for i, lookup := range lookups {
			seen := map[shop.OrderID]bool{}
			listed = errors.Join(listed, c.orders(lookup, seen, &found[i]))
		}
	})
	if listed != nil {
		return nil, listed
	}
	return found, everyItem(err, len(lookups))
}

func (c storeClient) orders(lookup shopify.OrderLookup, seen map[shop.OrderID]bool, found *[]shopify.Order) error {
	first := 250
	span := "created_at:>='" + lookup.From.UTC().Truncate(time.Second).Format(time.RFC3339) +
		"' AND created_at:<='" + lookup.To.UTC().Add(time.Second).Truncate(time.Second).Format(time.RFC3339) + "'"
	take := func(page shop.Page[shop.Order], exact string) {
		for _, row := range page.Rows {
			order := row.Object
			if order.CreatedAt.Before(lookup.From.Truncate(time.Second)) || order.CreatedAt.After(lookup.To) || seen[order.ID] ||
				exact != "" && !strings.EqualFold(order.Email, exact) {
				continue
			}
			seen[order.ID] = true
			*found = append(*found, shopify.Order{
				ID: string(order.ID), CreatedAt: order.CreatedAt, Customer: shopify.CustomerID(order.CustomerID), Email: order.Email,
				SourceName: order.SourceName, Test: order.Test, Cancelled: !order.CancelledAt.IsZero(),
			})
		}
	}
	if _, exists := c.store.CustomerByID(shop.CustomerID(lookup.Customer)); lookup.Customer != "" && exists {
		page, err := c.store.ListOrders(shop.Listing{Paging: shop.Paging{First: &first}, Query: span}, shop.CustomerID(lookup.Customer))
		if err != nil {
			return err
		}
		take(page, "")
	}
	if lookup.Email != "" {
		page, err := c.store.ListOrders(shop.Listing{Paging: shop.Paging{First: &first}, Query: `email:"` + lookup.Email + `" AND ` + span}, "")
		if err != nil {
			return err
		}
		take(page, lookup.Email)
	}
	return nil
}

func (c storeClient) UpdateEmailConsents(ctx context.Context, writes []shopify.ConsentWrite) ([]shopify.WriteResult, error) {
	if ctx.Err() != nil {
		return nil, c.fail("update email consents", "TIMEOUT", true)
	}
	results := make([]shopify.WriteResult, len(writes))
	calls := make([]*writeCall, len(writes))
	for i, write := range writes {
		calls[i] = c.world.watch.writeBegins(c.process, c.side, c.seenAs[write.Customer], wordOf(string(write.State) == string(shop.Subscribed)))
		calls[i].date = write.At
	}
	var err error
	defer func() {
		for _, call := range calls {
			c.world.watch.writeEnds(call, err)
		}
	}()
	err = c.request(ctx, "customerEmailMarketingConsentUpdate", 0, true, len(writes), func(i int) {
		before, _ := c.store.CustomerByID(shop.CustomerID(writes[i].Customer))
		calls[i].held = before.Consent.UpdatedAt
		answer, err := c.store.UpdateEmailConsent(shop.CustomerID(writes[i].Customer), shop.ConsentInput{
			State: shop.State(writes[i].State), Level: shop.SingleOptIn, At: writes[i].At,
		})
		results[i] = c.result("update email consents", answer, err)
		after, _ := c.store.CustomerByID(shop.CustomerID(writes[i].Customer))
		c.world.watch.writeTook(calls[i], after.Email, before.Consent != after.Consent, string(before.Consent.State), before.Email == "")
		c.world.changed()
	})
	return results, err
}

func (c storeClient) CreateCustomers(ctx context.Context, customers []shopify.NewCustomer) ([]shopify.WriteResult, error) {
	if ctx.Err() != nil {
		return nil, c.fail("create customers", "TIMEOUT", true)
	}
	results := make([]shopify.WriteResult, len(customers))
	calls := make([]*writeCall, len(customers))
	for i, customer := range customers {
		calls[i] = c.world.watch.writeBegins(c.process, c.side, customer.Email, yes)
		calls[i].date = customer.At
	}
	var err error
	defer func() {
		for _, call := range calls {
			c.world.watch.writeEnds(call, err)
		}
	}()
	err = c.request(ctx, "customerCreate", 0, true, len(customers), func(i int) {
		answer, err := c.store.CreateCustomerByAPI(shop.CustomerInput{
			Email: customers[i].Email, Consent: &shop.ConsentInput{State: shop.Subscribed, Level: shop.SingleOptIn, At: customers[i].At},
		})
		results[i] = c.result("create customers", answer, err)
		c.world.watch.writeTook(calls[i], customers[i].Email, answer.Customer != nil && len(answer.UserErrors) == 0, "", true)
		c.world.changed()
	})
	return results, err
}

// result is what shopify.Client makes of a payload.
func (c storeClient) result(op string, answer shop.WriteAnswer, err error) shopify.WriteResult {
	var result shopify.WriteResult
	if answer.Customer != nil {
		result.Customer = c.read(*answer.Customer)
	}
	switch {
	case err != nil:
		result.Err = &failure.Error{Class: failure.Refused, Op: op, Code: "INVALID"}
	case len(answer.UserErrors) > 0:
		f := &failure.Error{Class: failure.Refused, Op: op, Code: "USER_ERROR"}
		switch answer.UserErrors[0].Message {
		case "Email has already been taken":
			f.Class, f.Code = failure.Retry, shopify.CodeTaken
		case "Customer not found":
			f.Class, f.Code = failure.Retry, shopify.CodeCustomerNotFound
		case "Consent updated at must not be in the future":
			f.Class, f.Code, f.Wait = failure.Retry, shopify.CodeFutureDate, time.Minute
		case "Email is invalid":
			f.Code = shopify.CodeEmailInvalid
		}
		result.Err = f
	}
	return result
}

// read turns a customer of the model into one as it is read.
func (c storeClient) read(customer shop.Customer) shopify.Customer {
	read := shopify.Customer{ID: shopify.CustomerID(customer.ID), UpdatedAt: customer.UpdatedAt, Email: customer.Email}
	if customer.Email != "" {
		c.seenAs[read.ID] = customer.Email
		read.Consent = shopify.EmailConsent{
			State: shopify.ConsentState(customer.Consent.State), OptInLevel: string(customer.Consent.Level), UpdatedAt: customer.Consent.UpdatedAt,
		}
		c.world.watch.read(c.process, c.side, customer.Email, string(customer.Consent.State))
	}
	return read
}
