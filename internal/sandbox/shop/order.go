package shop

import (
	"maps"
	"slices"
	"time"
)

// Order is an order. CustomerID is empty for a guest without a profile.
type Order struct {
	ID         OrderID
	CustomerID CustomerID
	Email      string
	CreatedAt  time.Time
	// CancelledAt is zero unless the order was cancelled.
	CancelledAt time.Time
	// SourceName is the channel that the order came through; empty means "web".
	SourceName string
	Test       bool
}

// ordersVisibleFor is how far back orders go without the scope read_all_orders (contracts/shopify.md 1).
const ordersVisibleFor = 60 * 24 * time.Hour

// PlaceOrder acts as the buyer. A zero CreatedAt means now. An order without a CustomerID but with the email of a customer belongs to
// that customer, as at the checkout; one without an Email takes the customer's. Order.ID is ignored. It returns ErrNoCustomer.
func (s *Store) PlaceOrder(order Order) (OrderID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	order.Email = cleanEmail(order.Email)
	if order.CustomerID != "" {
		c, err := s.find(order.CustomerID)
		if err != nil {
			return "", err
		}
		if order.Email == "" {
			order.Email = c.email
		}
	} else if number, known := s.byEmail[emailKey(order.Email)]; known {
		order.CustomerID = customerID(number)
	}
	if order.CreatedAt.IsZero() {
		order.CreatedAt = now
	}
	order.CreatedAt = wholeSecond(order.CreatedAt)
	order.CancelledAt = wholeSecond(order.CancelledAt)
	if order.SourceName == "" {
		order.SourceName = "web"
	}
	s.lastOrder++
	order.ID = orderID(s.lastOrder)
	s.orders[s.lastOrder] = &order
	s.orderSearch.changed(now, s.lastOrder, order.document())
	s.begin()
	placed := Event{Topic: TopicOrderCreate, Order: order}
	if c, err := s.find(order.CustomerID); err == nil {
		placed.Customer = c.view()
	}
	s.emit(placed)
	return order.ID, nil
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
