package workflows

import (
	"errors"
	"hash/fnv"
	"slices"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
)

// Numbers on which recorded histories depend: changing one needs a version.
const (
	// historyCap is how many events a run may have before it continues as new, well below the server's suggestion (4,096), so that
	// a replay stays short. Each merchant adds its own share of historyJitter, so that merchants do not continue as new together.
	historyCap    = 1000
	historyJitter = 200
	// windowsPerTask bounds the commands of one workflow task.
	windowsPerTask = 50
)

// MerchantSyncInput starts a merchant's workflow, or a next run of it.
type MerchantSyncInput struct {
	Merchant string `json:"merchant"`
	// State is what one run hands to the next; zero at the first start.
	State MerchantSyncState `json:"state,omitzero"`
}

// MerchantSyncState is what a run knows. The switches' truth is the ledger; this is a copy for looking at.
type MerchantSyncState struct {
	// Known tells that the ledger was asked once.
	Known  bool           `json:"known,omitempty"`
	Status MerchantStatus `json:"status,omitzero"`
}

// MerchantSync keeps one merchant's two sides in agreement for as long as the merchant is a customer. It sleeps in one activity
// that is retried once an interval and ends only when there is something to decide here, so that a minute in which nothing
// happened leaves nothing in the history.
func MerchantSync(ctx workflow.Context, input MerchantSyncInput) error {
	m := &merchantSync{merchant: input.Merchant, state: input.State, log: log.With(workflow.GetLogger(ctx), "merchant", input.Merchant)}
	m.state.Status.Merchant = input.Merchant
	if err := m.setHandlers(ctx); err != nil {
		return err
	}
	return m.run(ctx)
}

type merchantSync struct {
	merchant string
	state    MerchantSyncState
	log      log.Logger

	requests []*request
	// wake rouses the main loop when an update has queued a request.
	wake workflow.Channel

	round       workflow.Future
	cancelRound workflow.CancelFunc
	removed     bool
}

// request is one signal or update on its way through the main loop, which alone touches the state.
type request struct {
	name   string
	delta  SyncDelta
	status MerchantStatus
	err    error
	done   bool
}

var act *activities.Activities

func (m *merchantSync) setHandlers(ctx workflow.Context) error {
	m.wake = workflow.NewBufferedChannel(ctx, 1)
	err := workflow.SetQueryHandlerWithOptions(ctx, statusName, func() (MerchantStatus, error) { return m.status(), nil },
		workflow.QueryHandlerOptions{Description: "State, switches and the next round of this merchant"})
	if err != nil {
		return err
	}
	err = workflow.SetUpdateHandlerWithOptions(ctx, setSyncsName,
		func(ctx workflow.Context, delta SyncDelta) (MerchantStatus, error) {
			return m.ask(ctx, &request{name: setSyncsName, delta: delta})
		},
		workflow.UpdateHandlerOptions{
			Validator:   func(delta SyncDelta) error { return delta.Validate() },
			Description: `Switches syncs, as in {"email_to_listrak":true}; answered when it is in force`,
		})
	if err != nil {
		return err
	}
	for _, name := range []string{pauseName, resumeName} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, name,
			func(ctx workflow.Context) (MerchantStatus, error) { return m.ask(ctx, &request{name: name}) },
			workflow.UpdateHandlerOptions{Description: "Answered when it is in force"})
		if err != nil {
			return err
		}
	}
	return nil
}

// ask queues a request for the main loop and waits until it was served.
func (m *merchantSync) ask(ctx workflow.Context, r *request) (MerchantStatus, error) {
	m.requests = append(m.requests, r)
	m.wake.SendAsync(true)
	if err := workflow.Await(ctx, func() bool { return r.done }); err != nil {
		return MerchantStatus{}, err
	}
	return r.status, r.err
}

func (m *merchantSync) run(ctx workflow.Context) error {
	if !m.state.Known {
		if err := m.refresh(ctx); err != nil {
			return err
		}
	}
	signals := m.signalChannels(ctx)
	for !m.removed {
		if err := m.serve(ctx); err != nil {
			return err
		}
		if m.shouldContinueAsNew(ctx) {
			return m.continueAsNew(ctx, signals)
		}
		if m.round == nil && m.mayRun() {
			m.startRound(ctx)
		}
		selector := workflow.NewSelector(ctx)
		selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {})
		selector.AddReceive(m.wake, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
		for _, s := range signals {
			selector.AddReceive(s.channel, func(workflow.ReceiveChannel, bool) { m.take(s) })
		}
		var ended workflow.Future
		if m.round != nil {
			selector.AddFuture(m.round, func(f workflow.Future) { ended = f })
		}
		selector.Select(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if ended != nil {
			if err := m.endRound(ctx); err != nil {
				return err
			}
		}
	}
	return m.finish(ctx, signals)
}

type signalChannel struct {
	name    string
	channel workflow.ReceiveChannel
}

func (m *merchantSync) signalChannels(ctx workflow.Context) []signalChannel {
	channels := make([]signalChannel, 0, 3)
	for _, s := range []struct{ name, description string }{
		{setSyncsName, `Switches syncs, as in {"email_to_listrak":true}`},
		{pauseName, "Stops all calls of this merchant; nothing is forgotten"},
		{resumeName, "Lets a paused or broken merchant go on"},
	} {
		channel := workflow.GetSignalChannelWithOptions(ctx, s.name, workflow.SignalChannelOptions{Description: s.description})
		channels = append(channels, signalChannel{s.name, channel})
	}
	return channels
}

// take queues one waiting signal, and reports whether there was one. A signal that cannot be read or names an unknown sync is
// logged and dropped: nobody waits for its answer, and it must not stop the others.
func (m *merchantSync) take(s signalChannel) bool {
	r := &request{name: s.name}
	var received bool
	if s.name == setSyncsName {
		received = s.channel.ReceiveAsync(&r.delta)
		if received {
			if err := r.delta.Validate(); err != nil {
				m.log.Warn("A signal was dropped", "signal", s.name, "reason", err.Error())
				return true
			}
		}
	} else {
		received = s.channel.ReceiveAsync(nil)
	}
	if received {
		m.requests = append(m.requests, r)
	}
	return received
}

// serve works off the queued requests, in order.
func (m *merchantSync) serve(ctx workflow.Context) error {
	for len(m.requests) > 0 {
		r := m.requests[0]
		m.requests = m.requests[1:]
		r.err = m.change(ctx, r)
		r.status, r.done = m.status(), true
		if r.err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			m.log.Error("A request failed", "request", r.name, "error", r.err.Error())
			continue
		}
		// The sleeping round ends, so that the next one begins at once with the new switches.
		if err := m.stopRound(ctx); err != nil {
			return err
		}
		m.state.Status.NextRound = time.Time{}
	}
	return nil
}

// change commits one request to the ledger by an activity that returns when the change is in force.
func (m *merchantSync) change(ctx workflow.Context, r *request) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    20 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
		Summary:             r.name,
	})
	var result activities.SwitchesResult
	var err error
	switch r.name {
	case setSyncsName:
		input := activities.SetSyncsInput{Merchant: m.merchant, Delta: r.delta}
		err = workflow.ExecuteActivity(ctx, act.SetSyncs, input).Get(ctx, &result)
	case pauseName:
		err = workflow.ExecuteActivity(ctx, act.Pause, activities.MerchantInput{Merchant: m.merchant}).Get(ctx, &result)
	case resumeName:
		err = workflow.ExecuteActivity(ctx, act.Resume, activities.MerchantInput{Merchant: m.merchant}).Get(ctx, &result)
	}
	if isUnknownMerchant(err) {
		m.removed = true
	}
	if err != nil {
		return err
	}
	if err := m.know(ctx, result); err != nil {
		return err
	}
	if result.BackfillNeeded {
		return m.startBackfill(ctx)
	}
	return nil
}

// refresh asks the ledger for the switches, at the first start.
func (m *merchantSync) refresh(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second, Summary: "read the switches",
	})
	var result activities.SwitchesResult
	err := workflow.ExecuteActivity(ctx, act.Switches, activities.MerchantInput{Merchant: m.merchant}).Get(ctx, &result)
	if err != nil {
		return err
	}
	return m.know(ctx, result)
}

// know takes over what the ledger says, and shows a change in the search attributes.
func (m *merchantSync) know(ctx workflow.Context, result activities.SwitchesResult) error {
	status := &m.state.Status
	if m.state.Known && status.State == result.State && slices.Equal(status.On, result.On) {
		status.Generation, status.Reason = result.Generation, result.Reason
		return nil
	}
	m.state.Known = true
	status.Generation, status.State, status.Reason, status.On = result.Generation, result.State, result.Reason, result.On
	names := make([]string, len(result.On))
	for i, sync := range result.On {
		names[i] = string(sync)
	}
	return workflow.UpsertTypedSearchAttributes(ctx,
		SyncTypesAttribute.ValueSet(names), MerchantStateAttribute.ValueSet(result.State))
}

func (m *merchantSync) status() MerchantStatus {
	status := m.state.Status
	status.On = append([]consent.Sync{}, status.On...)
	return status
}

// mayRun: a paused merchant and one whose syncs are all off need no round. A broken one does: the round notices the mending.
func (m *merchantSync) mayRun() bool {
	return len(m.state.Status.On) > 0 && m.state.Status.State != activities.StatePaused
}

// startRound schedules the activity that sleeps, by retrying itself, until there is something to do here. It has no
// schedule-to-close timeout and no limit of attempts, because it may sleep for months.
func (m *merchantSync) startRound(ctx workflow.Context) {
	roundCtx, cancel := workflow.WithCancel(ctx)
	roundCtx = workflow.WithActivityOptions(roundCtx, workflow.ActivityOptions{
		StartToCloseTimeout: 3 * time.Minute,
		HeartbeatTimeout:    20 * time.Second,
		WaitForCancellation: true,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 5 * time.Second, BackoffCoefficient: 1},
		Summary:             "rounds",
	})
	input := activities.ReconcileInput{Merchant: m.merchant, NotBefore: m.state.Status.NextRound, State: m.state.Status.State}
	m.round, m.cancelRound = workflow.ExecuteActivity(roundCtx, act.Reconcile, input), cancel
}

// stopRound cancels the round, waits for its end, and honours what it found. A round that sleeps ends at once; one that is at
// work ends at its next heartbeat or by itself.
func (m *merchantSync) stopRound(ctx workflow.Context) error {
	if m.round == nil {
		return nil
	}
	m.cancelRound()
	return m.endRound(ctx)
}

// endRound takes the result of the round that ended.
func (m *merchantSync) endRound(ctx workflow.Context) error {
	var result activities.ReconcileResult
	err := m.round.Get(ctx, &result)
	m.round = nil
	m.cancelRound()
	var application *temporal.ApplicationError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case temporal.IsCanceledError(err):
		return nil
	case errors.As(err, &application) && application.Type() == activities.IdleType:
		// Cancelled while it was about to sleep.
		return nil
	case isUnknownMerchant(err):
		m.removed = true
		return nil
	case err != nil:
		// Only a timeout with a cancellation under way, or a failure of Temporal's, ends here: the activity is retried for ever.
		m.log.Error("A round failed for good; the next one begins", "error", err.Error())
		m.state.Status.NextRound = workflow.Now(ctx).Add(time.Minute)
		return nil
	}
	m.state.Status.NextRound = result.NextRound
	if err := m.know(ctx, result.Switches); err != nil {
		return err
	}
	return m.openWindows(ctx, result.Windows)
}

func isUnknownMerchant(err error) bool {
	var application *temporal.ApplicationError
	return errors.As(err, &application) && application.Type() == activities.UnknownMerchantType
}

// openWindows starts one child per consenting customer. They are abandoned to live on when this run continues as new, and their
// start is awaited, because the server drops a start that is only initiated when the parent's run closes
// (reference/temporal.md 2.3).
func (m *merchantSync) openWindows(ctx workflow.Context, windows []activities.Window) error {
	for batch := range slices.Chunk(windows, windowsPerTask) {
		children := make([]workflow.ChildWorkflowFuture, 0, len(batch))
		for _, w := range batch {
			childCtx := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
				WorkflowID:            w.WorkflowID(m.merchant),
				ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
				TypedSearchAttributes: temporal.NewSearchAttributes(MerchantIDAttribute.ValueSet(m.merchant)),
				StaticSummary:         "Customer " + w.Customer + " waits for an order until " + w.Until.UTC().Format(time.TimeOnly) + " UTC",
			})
			input := CheckoutWindowInput{Merchant: m.merchant, Window: w}
			children = append(children, workflow.ExecuteChildWorkflow(childCtx, windowWorkflow, input))
		}
		for _, child := range children {
			err := child.GetChildWorkflowExecution().Get(ctx, nil)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil && !temporal.IsWorkflowExecutionAlreadyStartedError(err):
				// The next round after the window's end settles what no window watches.
				m.log.Warn("A checkout window could not be opened", "error", err.Error())
			case err == nil:
				m.state.Status.WindowsOpened++
			}
		}
	}
	return nil
}

// startBackfill begins the full read of both sides that a first enabling needs, unless one runs already.
func (m *merchantSync) startBackfill(ctx workflow.Context) error {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            BackfillID(m.merchant),
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		TypedSearchAttributes: temporal.NewSearchAttributes(MerchantIDAttribute.ValueSet(m.merchant)),
		StaticSummary:         backfillSummary(m.merchant),
	})
	child := workflow.ExecuteChildWorkflow(ctx, backfillWorkflow, BackfillInput{Merchant: m.merchant})
	err := child.GetChildWorkflowExecution().Get(ctx, nil)
	if err != nil && !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return err
	}
	return nil
}

func (m *merchantSync) shouldContinueAsNew(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() > historyCap+jitter(m.merchant)
}

// jitter spreads merchants by their id, which needs no side effect and is the same in every replay.
func jitter(merchant string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(merchant)) // a hash never fails to take bytes
	return int(h.Sum32() % historyJitter)
}

// continueAsNew ends the round, serves everything that still arrives, and goes on in a new run. There is no blocking call between
// the last drain and the return: a signal that arrives there would be lost.
func (m *merchantSync) continueAsNew(ctx workflow.Context, signals []signalChannel) error {
	if err := m.settle(ctx, signals); err != nil {
		return err
	}
	m.state.Status.Runs++
	return workflow.NewContinueAsNewError(ctx, merchantWorkflow, MerchantSyncInput{Merchant: m.merchant, State: m.state})
}

// finish answers whoever still waits when the merchant was removed.
func (m *merchantSync) finish(ctx workflow.Context, signals []signalChannel) error {
	return m.settle(ctx, signals)
}

func (m *merchantSync) settle(ctx workflow.Context, signals []signalChannel) error {
	for {
		if err := m.stopRound(ctx); err != nil {
			return err
		}
		for _, s := range signals {
			for m.take(s) {
			}
		}
		if err := m.serve(ctx); err != nil {
			return err
		}
		if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) || len(m.requests) > 0 }); err != nil {
			return err
		}
		// Awaiting yields even when the condition holds already, so what arrived meanwhile is looked for once more.
		waiting := len(m.requests) > 0
		for _, s := range signals {
			waiting = m.take(s) || waiting
		}
		if !waiting {
			return nil
		}
	}
}
