package reconcile

import (
	"context"
	"sync"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/shopify"
)

// poison makes the writes of some addresses fail before they reach the real side, as a side does that stumbles over one person: a
// request to Shopify that holds such an address fails as a whole.
type poison struct {
	connections *connections

	mu        sync.Mutex
	addresses map[string]bool
}

func newPoison(w *world) *poison {
	p := &poison{addresses: map[string]bool{}}
	p.connections = &connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) {
		return poisonedShopify{a, p}, poisonedListrak{b, p}
	}}
	return p
}

func (p *poison) add(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addresses[address] = true
}

func (p *poison) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.addresses)
}

func (p *poison) kills(address string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.addresses[address] {
		return &failure.Error{Class: failure.Retry, Op: "write", Code: "HTTP_500"}
	}
	return nil
}

type poisonedShopify struct {
	Shopify
	poison *poison
}

func (p poisonedShopify) CreateCustomers(ctx context.Context, customers []shopify.NewCustomer) ([]shopify.WriteResult, error) {
	for _, c := range customers {
		if err := p.poison.kills(c.Email); err != nil {
			return nil, err
		}
	}
	return p.Shopify.CreateCustomers(ctx, customers)
}

// OrdersOf fails the look-ups of poisoned addresses alone; the others are good.
func (p poisonedShopify) OrdersOf(ctx context.Context, lookups []shopify.OrderLookup) ([][]shopify.Order, error) {
	orders, err := p.Shopify.OrdersOf(ctx, lookups)
	if err != nil {
		return orders, err
	}
	failed := make(shopify.ItemErrors, len(lookups))
	for i, lookup := range lookups {
		if failed[i] = p.poison.kills(lookup.Email); failed[i] != nil {
			orders[i], err = nil, failed
		}
	}
	return orders, err
}

type poisonedListrak struct {
	Listrak
	poison *poison
}

func (p poisonedListrak) Unsubscribe(ctx context.Context, address string) (listrak.WriteResult, error) {
	if err := p.poison.kills(address); err != nil {
		return listrak.WriteResult{}, err
	}
	return p.Listrak.Unsubscribe(ctx, address)
}

// interruptedLedger lets something happen just before deliveries are claimed or a cursor is saved.
type interruptedLedger struct {
	Records
	beforeClaims, beforeCursor func()
}

func (l interruptedLedger) Claims(ctx context.Context, id string, limit ledger.ResubscribeLimit, requests []ledger.ClaimRequest) ([]ledger.ClaimResult, error) {
	if l.beforeClaims != nil {
		l.beforeClaims()
	}
	return l.Records.Claims(ctx, id, limit, requests)
}

func (l interruptedLedger) Save(ctx context.Context, id string, batch ledger.Batch) ([]consent.Subject, error) {
	if l.beforeCursor != nil && len(batch.Cursors) > 0 {
		l.beforeCursor()
	}
	return l.Records.Save(ctx, id, batch)
}

// countedLedger counts the transactions that save.
type countedLedger struct {
	Records
	saves *int
}

func (l countedLedger) Save(ctx context.Context, id string, batch ledger.Batch) ([]consent.Subject, error) {
	*l.saves++
	return l.Records.Save(ctx, id, batch)
}

// interference lets something happen on a side between our look-up and our write.
type interference struct{ happen func() }

func (i *interference) strike() {
	if i.happen != nil {
		happen := i.happen
		i.happen = nil
		happen()
	}
}

type interferedShopify struct {
	Shopify
	*interference
}

func (s interferedShopify) UpdateEmailConsents(ctx context.Context, writes []shopify.ConsentWrite) ([]shopify.WriteResult, error) {
	s.strike()
	return s.Shopify.UpdateEmailConsents(ctx, writes)
}

func (s interferedShopify) CreateCustomers(ctx context.Context, customers []shopify.NewCustomer) ([]shopify.WriteResult, error) {
	s.strike()
	return s.Shopify.CreateCustomers(ctx, customers)
}

type interferedListrak struct {
	Listrak
	*interference
}

func (l interferedListrak) Subscribe(ctx context.Context, address string, options listrak.SubscribeOptions) (listrak.WriteResult, error) {
	l.strike()
	return l.Listrak.Subscribe(ctx, address, options)
}

func (l interferedListrak) Unsubscribe(ctx context.Context, address string) (listrak.WriteResult, error) {
	l.strike()
	return l.Listrak.Unsubscribe(ctx, address)
}

// calledListrak notes whom calls are about: look-ups and subscribes when they begin, an unsubscribe when it has ended.
type calledListrak struct {
	Listrak
	mu   sync.Mutex
	made []string
}

func (l *calledListrak) note(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = append(l.made, address)
}

func (l *calledListrak) Contact(ctx context.Context, addressOrKey string) (listrak.Contact, bool, error) {
	l.note(addressOrKey)
	return l.Listrak.Contact(ctx, addressOrKey)
}

func (l *calledListrak) Subscribe(ctx context.Context, address string, options listrak.SubscribeOptions) (listrak.WriteResult, error) {
	l.note(address)
	return l.Listrak.Subscribe(ctx, address, options)
}

func (l *calledListrak) Unsubscribe(ctx context.Context, address string) (listrak.WriteResult, error) {
	result, err := l.Listrak.Unsubscribe(ctx, address)
	l.note(address)
	return result, err
}

// orderingShopify tells of every look-up of orders.
type orderingShopify struct {
	Shopify
	lookUp func()
}

func (s orderingShopify) OrdersOf(ctx context.Context, lookups []shopify.OrderLookup) ([][]shopify.Order, error) {
	s.lookUp()
	return s.Shopify.OrdersOf(ctx, lookups)
}
