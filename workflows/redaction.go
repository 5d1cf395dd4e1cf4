package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
)

// Numbers on which recorded histories depend: changing one needs a version.
const (
	// forgetPatience is within which a person must be forgotten (contracts/shopify.md 5.3).
	forgetPatience = 30 * 24 * time.Hour
	// The waits between two looks double from the first to the longest: Listrak publishes no time, and a person may have to act.
	firstForgetWait, longestForgetWait = time.Minute, 6 * time.Hour
)

// redaction forgets a person: first here, so that nothing more is written for them, then in Listrak, and at last here once more what
// Listrak had shown until then.
func redaction(ctx workflow.Context, in activities.PrivacyInput) (string, error) {
	erase := privacyStep(ctx, "erase the person from the ledger, and what is owed and held")
	if err := workflow.ExecuteActivity(erase, act.ErasePerson, in).Get(ctx, nil); err != nil {
		return "", err
	}
	if err := forgetInListrak(ctx, in); err != nil {
		return "", err
	}
	return endingStep(ctx, privacyStep(ctx, "erase what came back meanwhile"), act.FinishErasure, in)
}

// forgetInListrak asks Listrak to forget the person and waits until it has.
func forgetInListrak(ctx workflow.Context, in activities.PrivacyInput) error {
	began := workflow.Now(ctx)
	goOn := workflow.GetSignalChannelWithOptions(ctx, goOnName,
		workflow.SignalChannelOptions{Description: "Look at once: a person has done what was waited for"})
	for wait := firstForgetWait; ; wait = min(2*wait, longestForgetWait) {
		var state activities.PrivacyState
		ask := privacyStep(ctx, "ask Listrak to forget the person, or whether it has")
		if err := workflow.ExecuteActivity(ask, act.AskListrak, in).Get(ctx, &state); err != nil {
			return err
		}
		if state.Done {
			return nil
		}
		details := "Erased here. Listrak has been asked to forget the person and is not done yet."
		if state.Waiting {
			details = "Erased here. Listrak could not be asked: a person must act. `starter privacy` says what to do."
		}
		workflow.SetCurrentDetails(ctx, details)
		if workflow.Now(ctx).Sub(began)+wait > forgetPatience {
			// The sweep begins the request anew, and what is overdue is shown.
			return temporal.NewNonRetryableApplicationError("Listrak has not forgotten the person within 30 days; `starter privacy` says why",
				"Overdue", nil)
		}
		woken, err := pause(ctx, wait, goOn)
		if err != nil {
			return err
		}
		if woken {
			wait = firstForgetWait / 2
		}
	}
}

// pause waits, or less when a signal comes, and reports whether one came.
func pause(ctx workflow.Context, wait time.Duration, signal workflow.ReceiveChannel) (woken bool, err error) {
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimerWithOptions(timerCtx, wait, workflow.TimerOptions{Summary: "until Listrak is asked again"})
	over := false
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { over = true })
	selector.AddReceive(signal, func(c workflow.ReceiveChannel, _ bool) {
		for c.ReceiveAsync(nil) {
			woken, over = true, true
		}
	})
	selector.AddFuture(timer, func(workflow.Future) { over = true })
	for !over {
		selector.Select(ctx)
	}
	return woken, ctx.Err()
}
