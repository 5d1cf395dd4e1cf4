package shop

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Order is an order. CustomerID is empty for a guest without a profile.
type Order struct {
	ID         OrderID
	CustomerID CustomerID
	Email      string
	// Phone is the number that the buyer gave to be reached by, in E.164; search does not know it.
	Phone     string
	CreatedAt time.Time
	// CancelledAt is zero unless the order was cancelled.
	CancelledAt time.Time
	// SourceName is the channel that the order came through; empty means "web".
	SourceName string
	Test       bool
}

// ordersVisibleFor is how far back orders go without the scope read_all_orders (contracts/shopify.md 1).
const ordersVisibleFor = 60 * 24 * time.Hour

// PlaceOrder acts as the buyer. A zero CreatedAt means now. An order without a CustomerID but with the email or else the phone number of
// a customer belongs to that customer, as at the checkout; one without an Email takes the customer's. Order.ID is ignored. It returns
// ErrNoCustomer.
func (s *Store) PlaceOrder(order Order) (OrderID, error) { return s.CheckOut(order, Ticked{}) }

// Ticked are the boxes that a buyer ticked at the checkout.
type Ticked struct{ Email, SMS bool }

// CheckOut is PlaceOrder by a buyer who ticks boxes: each makes the customer SUBSCRIBED to its channel, dated as the order and collected by
// Shopify. A guest who ticks one becomes a customer, and a customer without a phone number who ticks SMS gets that of the order; a number
// that the customer has stays. It is one act. Besides ErrNoCustomer it returns ErrNoEmail, ErrEmailInvalid, ErrNoPhone, ErrPhoneInvalid or
// ErrPhoneTaken, and then nothing was ordered.
func (s *Store) CheckOut(order Order, ticked Ticked) (OrderID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	order.Email, order.Phone = cleanEmail(order.Email), cleanPhone(order.Phone)
	if order.CreatedAt.IsZero() {
		order.CreatedAt = now
	}
	order.CreatedAt = wholeSecond(order.CreatedAt)
	order.CancelledAt = wholeSecond(order.CancelledAt)
	if order.SourceName == "" {
		order.SourceName = "web"
	}
	buyer, err := s.buyer(order)
	if err != nil {
		return "", err
	}
	s.begin()
	if ticked != (Ticked{}) {
		if buyer, err = s.tick(buyer, order, ticked, now); err != nil {
			return "", err
		}
	}
	if buyer != nil {
		order.CustomerID = customerID(buyer.number)
	}
	if order.Email == "" && buyer != nil {
		order.Email = buyer.email
	}
	s.lastOrder++
	order.ID = orderID(s.lastOrder)
	s.orders[s.lastOrder] = &order
	s.orderSearch.changed(now, s.lastOrder, order.document())
	placed := Event{Topic: TopicOrderCreate, Order: order}
	if buyer != nil {
		placed.Customer = buyer.view()
	}
	s.emit(placed)
	return order.ID, nil
}

// buyer is the customer whom an order belongs to, nil for a guest. It wants s.mu held.
func (s *Store) buyer(order Order) (*customer, error) {
	if order.CustomerID != "" {
		return s.find(order.CustomerID)
	}
	if c, known := s.customers[s.byEmail[emailKey(order.Email)]]; known {
		return c, nil
	}
	return s.customers[s.byPhone[order.Phone]], nil
}

// tick gives the consents that a buyer ticks, and returns the buyer, who was nil when there was no such customer. It wants s.mu held.
func (s *Store) tick(buyer *customer, order Order, ticked Ticked, now time.Time) (*customer, error) {
	after := customer{email: order.Email, phone: order.Phone, consent: neverAsked(), sms: neverAsked(), created: now}
	if buyer != nil {
		after = *buyer
		if ticked.SMS && after.phone == "" {
			after.phone = order.Phone
		}
	}
	if err := cmp.Or(s.emailFree(after.email, after.number), s.phoneFree(after.phone, after.number)); err != nil {
		return nil, err
	}
	for _, box := range []struct {
		ticked bool
		to     *channel
	}{{ticked.Email, &byMail}, {ticked.SMS, &bySMS}} {
		if !box.ticked {
			continue
		}
		if err := after.actOfPerson(box.to, Consent{State: Subscribed}, order.CreatedAt, CollectedByShopify); err != nil {
			return nil, err
		}
	}
	if buyer == nil {
		return s.addCustomer(after, now), nil
	}
	before := *buyer
	*buyer = after
	s.claimAddresses(buyer)
	s.touch(buyer, now)
	s.toldOfChanges(buyer, before)
	return buyer, nil
}

// CancelOrder acts as the merchant who cancels an order now. It returns ErrNoOrder.
func (s *Store) CancelOrder(id OrderID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	order, ok := s.orders[numberOf(string(id), orderPrefix)]
	if !ok {
		return ErrNoOrder
	}
	order.CancelledAt = wholeSecond(s.config.Now())
	return nil
}

// Orders are all orders, by id.
func (s *Store) Orders() []Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Order, 0, len(s.orders))
	for _, number := range slices.Sorted(maps.Keys(s.orders)) {
		all = append(all, s.shown(s.orders[number]))
	}
	return all
}

// orderByID shows an order as the app may see it.
func (s *Store) orderByID(id OrderID) (Order, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	order, ok := s.orders[numberOf(string(id), orderPrefix)]
	if !ok || !s.orderVisible(order) {
		return Order{}, false
	}
	return s.shown(order), true
}

// shown hides a customer who was deleted since. It wants s.mu held.
func (s *Store) shown(order *Order) Order {
	view := *order
	if _, err := s.find(view.CustomerID); err != nil {
		view.CustomerID = ""
	}
	return view
}

// orderVisible says whether the app's scopes reach that far back. It wants s.mu held.
func (s *Store) orderVisible(order *Order) bool {
	return s.hasScope("read_all_orders") || s.config.Now().Sub(order.CreatedAt) <= ordersVisibleFor
}

func (s *Store) hasScope(scope string) bool { return slices.Contains(s.config.Scopes, scope) }
