package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/shopify"
)

// settleHolds looks up the orders of everybody who is held and settles whom it can. The windows of the settled are told, so that
// they end; the deliveries themselves are then due like any other.
func (s *session) settleHolds(ctx context.Context) error {
	held, err := s.heldCustomers(ctx)
	if err != nil || len(held) == 0 {
		return err
	}
	// First those whose time is over, however many: a merchant who imports thousands of new consents has more than are looked at below.
	var failed error
	// The look-ups of an import may take up the whole round, and all of them are for subscribes: opt-outs do not wait for them (I9).
	optOutsFirst := sync.OnceFunc(func() { failed = s.deliver(ctx, optOutsOnly) })
	anySettled := false
	for !s.timeIsUp() {
		ended, err := s.records().HoldsEnded(ctx, s.merchant, s.channel, s.now(), s.Timing.Window.Lag, s.Timing.MaxHeld)
		if err != nil {
			return fmt.Errorf("read holds: %w", err)
		}
		if len(ended) == 0 {
			break
		}
		optOutsFirst()
		entries, err := s.settle(ctx, ended)
		if entries == nil {
			return cmp.Or(failed, err)
		}
		failed = cmp.Or(failed, err)
		settled := 0
		for _, h := range ended {
			if entry, ok := entries[h.Subject]; ok && (entry.Record.Hold.Settled || entry.Record.Hold.Consent != h.Hold.Consent) {
				settled++
			}
		}
		if settled == 0 {
			// The look-ups of all of them failed one by one: the next round tries again.
			break
		}
		anySettled = true
	}
	if anySettled {
		if held, err = s.heldCustomers(ctx); err != nil || len(held) == 0 {
			return cmp.Or(err, failed)
		}
	}
	optOutsFirst()
	_, err = s.settle(ctx, held)
	return cmp.Or(failed, err)
}

func (s *session) heldCustomers(ctx context.Context) ([]ledger.Held, error) {
	held, err := s.records().HeldCustomers(ctx, s.merchant, s.channel, s.Timing.MaxHeld)
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return held, nil
}

// lookUpPatience is how long after its last look-up a hold still waits when the look-ups of that customer alone keep failing. Then
// the person is subscribed through marketing: the point is worth less than the subscription.
const lookUpPatience = 15 * consent.Minute

// settle looks orders up for holds and settles those that can be. It returns the entries of those, and beside them the error of a
// look-up that failed alone; without entries, nothing was settled.
func (s *session) settle(ctx context.Context, held []ledger.Held) (map[consent.Subject]ledger.Entry, error) {
	window := s.window()
	lookedUpAt := s.now()
	lookups := make([]shopify.OrderLookup, len(held))
	for i, h := range held {
		lookups[i] = shopify.OrderLookup{
			Customer: shopify.CustomerID(h.Hold.Customer),
			From:     h.Hold.Consent.Plus(-window.Before).Time(), To: h.Hold.Until.Time(),
		}
	}
	if err := s.addHeldAddresses(ctx, held, lookups); err != nil {
		return nil, err
	}
	found, err := s.account.Shopify.OrdersOf(ctx, lookups)
	var single shopify.ItemErrors
	if err != nil && (!errors.As(err, &single) || mustStop(err)) {
		return nil, fmt.Errorf("look up orders: %w", err)
	}
	revisions := make([]revision, 0, len(held))
	for i, h := range held {
		givesUp := lookedUpAt > h.Hold.Until.Plus(window.Lag+lookUpPatience)
		if single != nil && single[i] != nil && !isRefused(single[i]) && !givesUp {
			// Whether there is an order is not known: the hold waits for a look-up that succeeds. One that is refused for good, as
			// of an address that search does not take, goes on with what is known.
			continue
		}
		orders, err := s.ordersOf(ctx, h, found[i], window)
		if err != nil {
			return nil, err
		}
		revisions = append(revisions, revision{subject: h.Subject, apply: func(rec consent.Record) (consent.Record, []ledger.Line) {
			if rec.Hold.Consent == h.Hold.Consent {
				rec, _ = window.Settle(rec, orders, lookedUpAt)
			}
			return rec, nil
		}})
	}
	entries, reviseErr := s.revise(ctx, revisions)
	if reviseErr != nil {
		return nil, reviseErr
	}
	if err != nil {
		err = fmt.Errorf("look up orders: %w", err)
	}
	if len(entries) == 0 {
		return nil, err
	}
	return entries, err
}

// addHeldAddresses adds the exact email to each look-up: an order of a guest has no customer. Orders cannot be looked up by phone.
func (s *session) addHeldAddresses(ctx context.Context, held []ledger.Held, lookups []shopify.OrderLookup) error {
	if s.channel == consent.SMS {
		return nil
	}
	subjects := make([]consent.Subject, len(held))
	for i, h := range held {
		subjects[i] = h.Subject
	}
	entries, err := s.records().Load(ctx, s.merchant, s.channel, subjects)
	if err != nil {
		return fmt.Errorf("load records: %w", err)
	}
	for i, h := range held {
		sealed := entries[h.Subject].SealedAddress
		address, ok := s.openSealed(h.Subject, sealed)
		if !ok && len(sealed) > 0 {
			// A damaged seal of one must not keep the others waiting. The orders of the customer are found without the address.
			if address, err = s.openAddress(ctx, ledger.Located{Subject: h.Subject, Entry: entries[h.Subject]}); mustStop(err) {
				return err
			}
		}
		lookups[i].Email = address
	}
	return nil
}

// ordersOf are the creation times of the orders that count for a hold: those just found and those remembered from before the window
// was known, without renewals of subscription apps.
func (s *session) ordersOf(ctx context.Context, h ledger.Held, found []shopify.Order, window consent.Window) ([]consent.Instant, error) {
	var orders []consent.Instant
	for _, order := range found {
		if !s.account.Settings.IsRenewal(order.SourceName) {
			orders = append(orders, consent.InstantOf(order.CreatedAt))
		}
	}
	from := h.Hold.Consent.Plus(-window.Before)
	remembered, err := s.records().OrdersRemembered(ctx, s.merchant, h.Hold.Customer, h.Subject, from, h.Hold.Until)
	if err != nil {
		return nil, fmt.Errorf("read remembered orders: %w", err)
	}
	for _, order := range remembered {
		orders = append(orders, order.CreatedAt)
	}
	return orders, nil
}

// WindowState is what a checkout window finds in the ledger.
type WindowState struct {
	// Open is the hold that still waits, or nil when there is none any more.
	Open *ledger.Held
	// Outcome says how the hold ended, in plain words.
	Outcome string
}

// SettleWindow does what the checkout window of one consent does when it wakes: it remembers the order that it was told of, looks up
// orders, settles the hold if it can, and delivers at once.
func (e *Engine) SettleWindow(ctx context.Context, merchant string, channel consent.Channel, customer string, consentAt consent.Instant,
	order *ledger.Order,
) (WindowState, error) {
	ctx, r, err := e.begin(ctx, merchant)
	if err != nil {
		return WindowState{}, e.breakIfHopeless(ctx, merchant, err)
	}
	s := r.of(channel)
	if order != nil {
		// Before the switches are asked: the rounds will need it when the merchant goes on.
		if err := s.records().RememberOrder(ctx, merchant, *order); err != nil {
			return WindowState{}, fmt.Errorf("remember an order: %w", err)
		}
	}
	switch {
	case s.switches.State != ledger.Running:
		return WindowState{Outcome: "left to the rounds: the merchant is " + string(s.switches.State)}, nil
	case !s.switches.May(s.to(consent.Listrak)):
		return WindowState{Outcome: "left to the rounds: " + string(s.to(consent.Listrak)) + " is off"}, nil
	}
	state, err := s.settleWindow(ctx, customer, consentAt)
	if err != nil {
		return WindowState{}, e.breakIfHopeless(ctx, merchant, err)
	}
	return state, nil
}

func (s *session) settleWindow(ctx context.Context, customer string, consentAt consent.Instant) (WindowState, error) {
	all, err := s.records().HoldsOf(ctx, s.merchant, customer)
	if err != nil {
		return WindowState{}, fmt.Errorf("read holds: %w", err)
	}
	held := slices.DeleteFunc(all, func(h ledger.Held) bool { return h.Channel != s.channel })
	s.ownHold = consentAt
	if len(held) == 0 {
		return WindowState{Outcome: "the hold has ended"}, s.deliverToCustomer(ctx, customer)
	}
	h := held[0]
	if h.Hold.Consent != consentAt {
		return WindowState{Outcome: "restarted: a newer consent has a window of its own"}, nil
	}
	entries, err := s.settle(ctx, []ledger.Held{h})
	if err != nil {
		return WindowState{}, err
	}
	entry := entries[h.Subject]
	if hold := entry.Record.Hold; hold.Consent == consentAt && !hold.Settled {
		return WindowState{Open: &h}, nil
	}
	if entry.Record.DebtTo(consent.Listrak) != consent.Owed {
		return WindowState{Outcome: "the hold has ended"}, nil
	}
	if err := s.deliverInTurn(ctx, customer, ledger.Located{Channel: h.Channel, Subject: h.Subject, Entry: entry}); err != nil {
		return WindowState{}, err
	}
	return s.windowOutcome(ctx, h.Subject)
}

// windowOutcome tells what a delivery at the end of a window came to.
func (s *session) windowOutcome(ctx context.Context, subject consent.Subject) (WindowState, error) {
	entries, err := s.records().Load(ctx, s.merchant, s.channel, []consent.Subject{subject})
	if err != nil {
		return WindowState{}, fmt.Errorf("load records: %w", err)
	}
	entry := entries[subject]
	rec := &entry.Record
	switch debt := rec.DebtTo(consent.Listrak); {
	case entry.Debts[consent.Listrak] == consent.Stopped:
		return WindowState{Outcome: "stopped: so many people would be resubscribed that an operator is asked"}, nil
	case debt == consent.Owed:
		return WindowState{Outcome: "left to the rounds"}, nil
	case debt != consent.Settled:
		return WindowState{Outcome: debt.String()}, nil
	case rec.Decision.State != consent.Subscribed:
		return WindowState{Outcome: "the person has unsubscribed"}, nil
	}
	return WindowState{Outcome: "subscribed through " + rec.Point().String()}, nil
}

// deliverToCustomer delivers what Listrak is owed of one customer whose hold a round has settled.
func (s *session) deliverToCustomer(ctx context.Context, customer string) error {
	known, err := s.records().KnownCustomers(ctx, s.merchant, []string{customer})
	if err != nil {
		return fmt.Errorf("read known customers: %w", err)
	}
	remembered := known[customer]
	subject := *subjectOf(&remembered, s.channel)
	if subject.IsZero() {
		return nil
	}
	entries, err := s.records().Load(ctx, s.merchant, s.channel, []consent.Subject{subject})
	if err != nil {
		return fmt.Errorf("load records: %w", err)
	}
	entry := entries[subject]
	if !s.isOwed(&entry, consent.Listrak) || entry.NextTry[consent.Listrak] > s.now() || entry.Debts[consent.Listrak] == consent.Stopped {
		return nil
	}
	return s.deliverInTurn(ctx, customer, ledger.Located{Channel: s.channel, Subject: subject, Entry: entry})
}

// deliverInTurn delivers what Listrak is owed of one person, outside of a round, unless others come first: opt-outs are due, and the
// person has none (I9), or the limit on re-subscriptions stops the person (I10).
func (s *session) deliverInTurn(ctx context.Context, customer string, located ledger.Located) error {
	if located.Record.Decision.State != consent.Unsubscribed {
		first, err := s.owed(ctx, consent.Listrak, 1, false)
		if err != nil {
			return err
		}
		if len(optOuts(first)) > 0 {
			// A drain goes on with it as soon as they are under way.
			nudge, err := s.records().Hint(ctx, s.merchant, customer)
			if nudge && s.Nudge != nil {
				s.Nudge(ctx, s.merchant)
			}
			return err
		}
	}
	passing, stopped, err := s.passing(ctx, consent.Listrak, []ledger.Located{located})
	if err != nil {
		return err
	}
	if len(passing) == 0 {
		return s.stopAtLimit(ctx, stopped)
	}
	return s.deliverOneToListrak(ctx, located)
}

// windowsToOpen marks and returns the holds that need a window. They are marked before the workflow knows of them: a window that
// is lost on the way is settled by the next round after its end.
func (r *run) windowsToOpen(ctx context.Context) ([]ledger.Held, error) {
	held, opened, err := r.records().CountHeld(ctx, r.merchant)
	if err != nil {
		return nil, fmt.Errorf("count holds: %w", err)
	}
	room := r.Timing.MaxHeld - opened
	if room <= 0 || held == opened {
		return nil, nil
	}
	var open []ledger.Held
	for _, channel := range consent.Channels {
		if !r.switches.May(consent.SyncTo(channel, consent.Listrak)) || len(open) >= room {
			continue
		}
		found, err := r.records().HoldsToOpen(ctx, r.merchant, channel, r.now(), room-len(open))
		if err != nil {
			return nil, err
		}
		open = append(open, found...)
	}
	if len(open) == 0 {
		return nil, nil
	}
	if err := r.records().MarkOpened(ctx, r.merchant, open); err != nil {
		return nil, fmt.Errorf("mark windows opened: %w", err)
	}
	return open, nil
}

// LastLookUp is when a window looks for an order for the last time.
func (e *Engine) LastLookUp(held ledger.Held) time.Time {
	return held.Hold.Until.Plus(e.Timing.Window.Lag).Plus(consent.Second).Time()
}
