package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
	"github.com/concordsync/concord/internal/shopify/admin"
)

// storeClient is a reconcile.Shopify on the sandbox's model of a store, without HTTP: what shopify.Client and the sandbox's server do
// together. TestSides holds it against the two.
type storeClient struct {
	*link
	store *shop.Store
	// seenAs is the address under which this process last saw a customer: the one that a write by id is meant for.
	seenAs map[seenAs]string
}

type seenAs struct {
	customer shopify.CustomerID
	channel  consent.Channel
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

// request pays for a call that reads, and makes it.
func (c storeClient) request(ctx context.Context, operation string, points int, effect func()) error {
	if err := c.charge(points); err != nil {
		return err
	}
	return c.exchange(ctx, operation, false, 1, func(int) { effect() })
}

func (c storeClient) Reserve(_ context.Context, points int) error {
	if points < 0 || points > 1000 {
		return fmt.Errorf("reserve %d points: a request costs between 0 and 1000", points)
	}
	return c.charge(points)
}

func (c storeClient) ChangedCustomers(ctx context.Context, since time.Time, cursor string) (shopify.ChangePage, error) {
	first, query := 250, ""
	if !since.IsZero() {
		query = "updated_at:>='" + since.UTC().Truncate(time.Second).Format(time.RFC3339) + "'"
	}
	var page shopify.ChangePage
	var refused error
	err := c.request(ctx, "customers", 13, func() {
		found, err := c.store.ListCustomers(shop.Listing{
			Paging: shop.Paging{First: &first, After: cursor}, Query: query, SortKey: "UPDATED_AT",
		})
		refused = fieldError("customers", err)
		page.ServerTime = c.world.now.Add(c.world.scenario.storeAhead).UTC().Truncate(time.Second)
		for _, row := range found.Rows {
			page.Changes = append(page.Changes, shopify.Change{ID: shopify.CustomerID(row.Object.ID), UpdatedAt: row.Object.UpdatedAt})
			if found.HasNext {
				page.Next = row.Cursor
			}
		}
	})
	if err := cmp.Or(err, refused); err != nil {
		return shopify.ChangePage{}, err
	}
	return page, nil
}

// fieldError is what shopify.Client makes of the store's refusal of a field.
func fieldError(operation string, err error) error {
	var refused *shop.APIError
	if !errors.As(err, &refused) {
		return err
	}
	return shopify.FieldError(operation, refused.Code, refused.Message, false)
}

func (c storeClient) CustomersByID(ctx context.Context, ids []shopify.CustomerID) ([]shopify.Customer, error) {
	if err := shopify.CheckIDs(ids); err != nil {
		return nil, err
	}
	customers := make([]shopify.Customer, 0, len(ids))
	for chunk := range slices.Chunk(ids, shopify.MaxIDs) {
		read := make([]shopify.Customer, len(chunk))
		err := c.request(ctx, "nodes", 4, func() {
			for i, id := range chunk {
				if found, ok := c.store.CustomerByID(shop.CustomerID(id)); ok {
					read[i] = c.read(found)
				}
			}
		})
		if err != nil {
			return nil, err
		}
		customers = append(customers, read...)
	}
	return customers, nil
}

func (c storeClient) CustomersByEmail(ctx context.Context, emails []string) ([]shopify.Customer, error) {
	return c.lookUp(ctx, emails, c.store.Customer)
}

func (c storeClient) CustomersByPhone(ctx context.Context, phones []string) ([]shopify.Customer, error) {
	return c.lookUp(ctx, phones, c.store.CustomerByPhone)
}

func (c storeClient) lookUp(ctx context.Context, keys []string, find func(string) (shop.Customer, bool)) ([]shopify.Customer, error) {
	return shopify.LookUp(keys, func(keys []string) ([]shopify.Customer, shopify.ItemErrors, error) {
		customers := make([]shopify.Customer, len(keys))
		err := c.request(ctx, "customerByIdentifier", 4*len(keys), func() {
			for i, key := range keys {
				if found, ok := find(key); ok {
					customers[i] = c.read(found)
				} else {
					c.world.watch.read(c.process, c.side, key, nobodyThere)
				}
			}
		})
		return customers, make(shopify.ItemErrors, len(keys)), err
	})
}

func (c storeClient) OrdersOf(ctx context.Context, lookups []shopify.OrderLookup) ([][]shopify.Order, error) {
	return shopify.FindOrders(lookups, func(searches []admin.OrderSearch) ([]shopify.OrderPage, shopify.ItemErrors, error) {
		operation, points := "orders", 10
		if searches[0].Customer != "" {
			operation, points = "customer", 7
		}
		pages, refused := make([]shopify.OrderPage, len(searches)), make(shopify.ItemErrors, len(searches))
		err := c.request(ctx, operation, points*len(searches), func() {
			for i, search := range searches {
				pages[i], refused[i] = c.orders(operation, search)
			}
		})
		return pages, refused, err
	})
}

func (c storeClient) orders(operation string, search admin.OrderSearch) (page shopify.OrderPage, err error) {
	if _, exists := c.store.CustomerByID(shop.CustomerID(search.Customer)); search.Customer != "" && !exists {
		return page, nil
	}
	first, after := shopify.OrdersAPage, ""
	if search.After != nil {
		after = *search.After
	}
	found, err := c.store.ListOrders(shop.Listing{
		Paging: shop.Paging{First: &first, After: after}, Query: search.Query, SortKey: "CREATED_AT",
	}, shop.CustomerID(search.Customer))
	page.More = found.HasNext
	for _, row := range found.Rows {
		order := row.Object
		page.End = &row.Cursor
		page.Orders = append(page.Orders, shopify.Order{
			ID: string(order.ID), CreatedAt: order.CreatedAt, Customer: shopify.CustomerID(order.CustomerID), Email: order.Email,
			SourceName: order.SourceName, Test: order.Test, Cancelled: !order.CancelledAt.IsZero(),
		})
	}
	return page, fieldError(operation, err)
}

func (c storeClient) UpdateEmailConsents(ctx context.Context, writes []shopify.ConsentWrite) ([]shopify.WriteResult, error) {
	return c.updateConsents(ctx, consent.Email, writes)
}

func (c storeClient) UpdateSMSConsents(ctx context.Context, writes []shopify.ConsentWrite) ([]shopify.WriteResult, error) {
	return c.updateConsents(ctx, consent.SMS, writes)
}

func (c storeClient) updateConsents(ctx context.Context, channel consent.Channel, writes []shopify.ConsentWrite) ([]shopify.WriteResult, error) {
	operation, what, update := "customerEmailMarketingConsentUpdate", "update email consents", c.store.UpdateEmailConsent
	if channel == consent.SMS {
		operation, what, update = "customerSmsMarketingConsentUpdate", "update SMS consents", c.store.UpdateSMSConsent
	}
	if err := shopify.CheckConsents(writes); err != nil || len(writes) == 0 {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, c.exchange(ctx, operation, true, 0, nil)
	}
	results := make([]shopify.WriteResult, len(writes))
	calls := make([]*writeCall, len(writes))
	for i, write := range writes {
		meant := c.seenAs[seenAs{write.Customer, channel}]
		calls[i] = c.world.watch.writeBegins(c.process, c.side, meant, wordOf(string(write.State) == string(shop.Subscribed)))
		calls[i].date = write.At
	}
	var err error
	defer func() {
		for _, call := range calls {
			c.world.watch.writeEnds(call, err)
		}
	}()
	err = c.exchange(ctx, operation, true, len(writes), func(i int) {
		id := shop.CustomerID(writes[i].Customer)
		customer, _ := c.store.CustomerByID(id)
		address, before := heldOn(customer, channel)
		calls[i].held = before.UpdatedAt
		answer, err := update(id, shop.ConsentInput{
			State: shop.State(writes[i].State), Level: shop.SingleOptIn, At: shopify.ConsentDate(writes[i].At),
		})
		results[i] = c.result(what, answer, err)
		customer, _ = c.store.CustomerByID(id)
		reached, after := heldOn(customer, channel)
		c.world.watch.writeTook(calls[i], reached, before != after, string(before.State), address == "")
		c.world.changed()
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// heldOn is a customer's address on a channel, and the consent to it.
func heldOn(customer shop.Customer, channel consent.Channel) (address string, held shop.Consent) {
	if channel == consent.SMS {
		return customer.Phone, customer.SMSConsent
	}
	return customer.Email, customer.Consent
}

func (c storeClient) CreateCustomers(ctx context.Context, customers []shopify.NewCustomer) ([]shopify.WriteResult, error) {
	if err := shopify.CheckNewCustomers(customers); err != nil || len(customers) == 0 {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, c.exchange(ctx, "customerCreate", true, 0, nil)
	}
	results := make([]shopify.WriteResult, len(customers))
	calls := make([]*writeCall, len(customers))
	for i, customer := range customers {
		calls[i] = c.world.watch.writeBegins(c.process, c.side, cmp.Or(customer.Phone, customer.Email), yes)
		calls[i].date = customer.At
	}
	var err error
	defer func() {
		for _, call := range calls {
			c.world.watch.writeEnds(call, err)
		}
	}()
	err = c.exchange(ctx, "customerCreate", true, len(customers), func(i int) {
		given := &shop.ConsentInput{State: shop.Subscribed, Level: shop.SingleOptIn, At: shopify.ConsentDate(customers[i].At)}
		input := shop.CustomerInput{Email: customers[i].Email, Consent: given}
		if customers[i].Phone != "" {
			input = shop.CustomerInput{Phone: customers[i].Phone, SMSConsent: given}
		}
		answer, err := c.store.CreateCustomerByAPI(input)
		results[i] = c.result("create customers", answer, err)
		taken := answer.Customer != nil && len(answer.UserErrors) == 0
		c.world.watch.writeTook(calls[i], cmp.Or(customers[i].Phone, customers[i].Email), taken, "", true)
		c.world.changed()
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// result is what shopify.Client makes of a payload.
func (c storeClient) result(op string, answer shop.WriteAnswer, err error) shopify.WriteResult {
	var result shopify.WriteResult
	if answer.Customer != nil {
		result.Customer = c.read(*answer.Customer)
	}
	if err != nil {
		result.Err = fieldError(op, err)
	} else if len(answer.UserErrors) > 0 {
		result.Err = shopify.UserError(op, answer.UserErrors[0].Code, answer.UserErrors[0].Message)
	}
	return result
}

// read turns a customer of the model into one as it is read.
func (c storeClient) read(customer shop.Customer) shopify.Customer {
	read := shopify.Customer{ID: shopify.CustomerID(customer.ID), UpdatedAt: customer.UpdatedAt, Email: customer.Email}
	if customer.Email != "" {
		c.seenAs[seenAs{read.ID, consent.Email}] = customer.Email
		read.EmailConsent = consentOf(customer.Consent)
		c.world.watch.read(c.process, c.side, customer.Email, string(customer.Consent.State))
	}
	if customer.Phone != "" {
		c.seenAs[seenAs{read.ID, consent.SMS}] = customer.Phone
		read.Phone, read.SMSConsent = customer.Phone, consentOf(customer.SMSConsent)
		c.world.watch.read(c.process, c.side, customer.Phone, string(customer.SMSConsent.State))
	}
	if seen := c.world.watch.glimpses; customer.Email != "" && customer.Phone != "" {
		seen[len(seen)-1].shared, seen[len(seen)-2].shared = true, true
	}
	return read
}

func consentOf(held shop.Consent) shopify.Consent {
	return shopify.Consent{State: shopify.ConsentState(held.State), OptInLevel: string(held.Level), UpdatedAt: held.UpdatedAt}
}
