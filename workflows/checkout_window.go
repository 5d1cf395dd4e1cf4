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
	for again := false; ; again = true {
		order, err := waitForOrder(ctx, window, again, orders, changes)
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

// settleAgainAfter is how long a window waits at least when it was not settled at its last look-up: the clock that dates the
// ledger's rows may be a little behind Temporal's, and without a pause the two would be asked in turns until they agree.
const settleAgainAfter = 2 * time.Second

// waitForOrder returns at the window's last look-up, or earlier with an order, or with none when the ledger's hold has changed.
func waitForOrder(ctx workflow.Context, w activities.Window, again bool, orders, changes workflow.ReceiveChannel) (OrderSignal, error) {
	wait := w.LastLookUp.Sub(workflow.Now(ctx))
	if again {
		wait = max(wait, settleAgainAfter)
	}
	workflow.SetCurrentDetails(ctx, "Customer "+w.Customer+" gave consent at "+clock(w.Consent)+". An order until "+clock(w.Until)+
		" makes it a checkout subscription; the last look-up is at "+clock(w.LastLookUp)+".")
	timerCtx, cancelTimer := workflow.WithCancel(ctx)
	defer cancelTimer()
	timer := workflow.NewTimerWithOptions(timerCtx, wait, workflow.TimerOptions{
		Summary: "until the last look-up for an order, " + clock(w.LastLookUp),
	})
	var order OrderSignal
	woken := false
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { woken = true })
	// A signal that cannot be read is dropped by the SDK; a receive that blocks would then wait beyond the timer.
	selector.AddReceive(orders, func(c workflow.ReceiveChannel, _ bool) {
		var received OrderSignal
		if c.ReceiveAsync(&received) {
			order, woken = received, true
		}
	})
	selector.AddReceive(changes, func(c workflow.ReceiveChannel, _ bool) { woken = c.ReceiveAsync(nil) })
	selector.AddFuture(timer, func(workflow.Future) { woken = true })
	for !woken {
		selector.Select(ctx)
	}
	return order, ctx.Err()
}

func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly) + " UTC" }

func settleSummary(order OrderSignal) string {
	if order.Order == "" {
		return "look for an order, then subscribe"
	}
	return "an order: look whether it counts, then subscribe"
}
