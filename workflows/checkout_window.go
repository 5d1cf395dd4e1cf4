package workflows

import (
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
)

// CheckoutWindowInput starts the window of one consent.
type CheckoutWindowInput struct {
	Merchant string            `json:"merchant"`
	Window   activities.Window `json:"window"`
}

// OrderSignal tells a window of an order; whether it lies inside the window is decided from CreatedAt, never from arrival.
type OrderSignal struct {
	Order     string    `json:"order"`
	CreatedAt time.Time `json:"createdAt"`
}

// CheckoutWindowResult is how a window ended, for whoever looks at the history.
type CheckoutWindowResult struct {
	Outcome string `json:"outcome"`
}

// CheckoutWindow waits for an order of one customer until five minutes after the consent. What is held is a row of the ledger;
// this is only its timer. After one delivery that failed it leaves the rest to the rounds.
func CheckoutWindow(ctx workflow.Context, input CheckoutWindowInput) (CheckoutWindowResult, error) {
	logger := log.With(workflow.GetLogger(ctx), "merchant", input.Merchant, "customer", input.Window.Customer)
	orders := workflow.GetSignalChannelWithOptions(ctx, orderName,
		workflow.SignalChannelOptions{Description: "An order of this customer, as in {\"order\":\"1\",\"createdAt\":\"…\"}"})
	changes := workflow.GetSignalChannelWithOptions(ctx, holdChangedName,
		workflow.SignalChannelOptions{Description: "The hold in the ledger was settled, restarted or ended"})
	window := input.Window
	for {
		order, err := waitForOrder(ctx, window, orders, changes)
		if err != nil {
			return CheckoutWindowResult{}, err
		}
		settleCtx := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: time.Minute,
			RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 2 * time.Second, MaximumAttempts: 4},
			Summary:             settleSummary(order),
		})
		var result activities.SettleWindowResult
		settle := activities.SettleWindowInput{Merchant: input.Merchant, Window: window, Order: order.Order, OrderedAt: order.CreatedAt}
		if err := workflow.ExecuteActivity(settleCtx, act.SettleWindow, settle).Get(ctx, &result); err != nil {
			if ctx.Err() != nil {
				return CheckoutWindowResult{}, ctx.Err()
			}
			logger.Warn("The window could not be settled; the rounds go on with it", "error", err.Error())
			return CheckoutWindowResult{Outcome: "left to the rounds"}, nil
		}
		if result.Open == nil {
			return CheckoutWindowResult{Outcome: result.Outcome}, nil
		}
		window = *result.Open
	}
}

// waitForOrder returns at the window's last look-up, or earlier with an order, or with none when the ledger's hold has changed.
func waitForOrder(ctx workflow.Context, w activities.Window, orders, changes workflow.ReceiveChannel) (OrderSignal, error) {
	timerCtx, cancelTimer := workflow.WithCancel(ctx)
	defer cancelTimer()
	timer := workflow.NewTimerWithOptions(timerCtx, w.LastLookUp.Sub(workflow.Now(ctx)), workflow.TimerOptions{
		Summary: "until the last look-up for an order",
	})
	var order OrderSignal
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {})
	selector.AddReceive(orders, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, &order) })
	selector.AddReceive(changes, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
	var timerErr error
	selector.AddFuture(timer, func(f workflow.Future) { timerErr = f.Get(ctx, nil) })
	selector.Select(ctx)
	if ctx.Err() != nil {
		return OrderSignal{}, ctx.Err()
	}
	return order, timerErr
}

func settleSummary(order OrderSignal) string {
	if order.Order == "" {
		return "look up the order, subscribe"
	}
	return "subscribe through checkout"
}
