package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// SettleWindowInput wakes a window.
type SettleWindowInput struct {
	Merchant string `json:"merchant"`
	Window   Window `json:"window"`
	// Order and OrderedAt are the order that woke the window; empty when it woke by itself.
	Order     string    `json:"order,omitempty"`
	OrderedAt time.Time `json:"orderedAt,omitzero"`
}

// SettleWindowResult tells the window whether to go on.
type SettleWindowResult struct {
	// Open is the hold that still waits, perhaps for a newer consent; nil when there is none.
	Open *Window `json:"open,omitempty"`
	// Outcome says in plain words how the hold ended.
	Outcome string `json:"outcome,omitempty"`
}

// WorkflowID is the id of the window's workflow: one for each consent of a customer. Both boxes may be ticked in the same second.
func (w Window) WorkflowID(merchant string) string {
	id := fmt.Sprintf("merchant/%s/checkout/%s/%d", merchant, w.Customer, w.Consent.UnixMicro())
	if w.SMS {
		id += "/sms"
	}
	return id
}

// WindowID is the id of the workflow that watches a hold.
func WindowID(merchant string, held ledger.Held) string {
	return Window{Customer: number(held.Hold.Customer), Consent: held.Hold.Consent.Time(), SMS: held.Channel == consent.SMS}.WorkflowID(merchant)
}

// orderMemory is how long an order that came before its window is remembered.
const orderMemory = 15 * consent.Minute

// SettleWindow settles the hold of one customer if it can be settled, and delivers at once.
func (a *Activities) SettleWindow(ctx context.Context, in SettleWindowInput) (SettleWindowResult, error) {
	customer := customerPrefix + in.Window.Customer
	var order *ledger.Order
	if in.Order != "" {
		order = &ledger.Order{
			ID: in.Order, Customer: customer, CreatedAt: consent.InstantOf(in.OrderedAt),
			Until: consent.InstantOf(a.Engine.Now()).Plus(orderMemory),
		}
	}
	state, err := a.Engine.SettleWindow(ctx, in.Merchant, in.Window.Channel(), customer, consent.InstantOf(in.Window.Consent), order)
	if err != nil {
		return SettleWindowResult{}, classified(err)
	}
	result := SettleWindowResult{Outcome: state.Outcome}
	if state.Open != nil {
		open := a.window(*state.Open)
		result.Open = &open
	}
	return result, nil
}
