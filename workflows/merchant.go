package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
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
	Known bool `json:"known,omitempty"`
	// Nudged tells that a webhook asked for a drain which has not begun yet.
	Nudged bool           `json:"nudged,omitempty"`
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
	signals  []signalChannel

	round       workflow.Future
	cancelRound workflow.CancelFunc
	// again: the next round begins as soon as the cancelled one has ended.
	again bool

	drain       workflow.Future
	cancelDrain workflow.CancelFunc
	// removed: the ledger does not know the merchant any more.
	removed bool
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
	m.signals = signalChannels(ctx)
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

// ask queues a request for the main loop and waits until it was served. Signals that came before it go first.
func (m *merchantSync) ask(ctx workflow.Context, r *request) (MerchantStatus, error) {
	m.takeAll()
	m.requests = append(m.requests, r)
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
	m.show(ctx)
	for {
		if err := m.serve(ctx); err != nil {
			return err
		}
		if m.removed {
			return m.finish(ctx)
		}
		// A drain is waited for rather than stopped: Temporal would tell it so only after seconds, in which nothing else could begin.
		if m.drain == nil && m.shouldContinueAsNew(ctx) {
			return m.continueAsNew(ctx)
		}
		if m.round == nil && m.mayRun() {
			m.startRound(ctx)
		}
		if m.mayDrain() {
			m.startDrain(ctx)
		}
		m.await(ctx, func() bool {
			return len(m.requests) > 0 || m.round != nil && m.round.IsReady() || m.drain != nil && m.drain.IsReady() ||
				m.mayDrain()
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if m.drain != nil && m.drain.IsReady() {
			if err := m.endDrain(ctx); err != nil {
				return err
			}
		}
		if m.round != nil && m.round.IsReady() {
			if err := m.endRound(ctx); err != nil {
				return err
			}
		}
	}
}

type signalChannel struct {
	name    string
	channel workflow.ReceiveChannel
}

// signalChannels are the signals, in the order in which those of one workflow task are served. Temporal does not tell in which order
// signals of different names came in one task: of a pause and a resume the pause is last, since stopping does less harm.
func signalChannels(ctx workflow.Context) []signalChannel {
	channels := make([]signalChannel, 0, 4)
	for _, s := range []struct{ name, description string }{
		{setSyncsName, `Switches syncs, as in {"email_to_listrak":true}`},
		{resumeName, "Lets a paused or broken merchant go on"},
		{pauseName, "Stops all calls of this merchant; nothing is forgotten"},
		{nudgeName, "Webhooks have left hints in the ledger: read them now"},
	} {
		channel := workflow.GetSignalChannelWithOptions(ctx, s.name, workflow.SignalChannelOptions{Description: s.description})
		channels = append(channels, signalChannel{s.name, channel})
	}
	return channels
}

// sentDelta takes whatever a signal holds, without an error: the SDK decodes the next signal into the same variable after one
// that it could not decode, so that half of a bad delta would become part of a good one.
type sentDelta struct {
	delta SyncDelta
	err   error
}

func (s *sentDelta) UnmarshalJSON(text []byte) error {
	var delta SyncDelta
	s.err = json.Unmarshal(text, &delta)
	s.delta = delta
	return nil
}

// take queues one waiting signal, and reports whether there was one. A signal that cannot be read or names an unknown sync is
// logged and dropped: nobody waits for its answer, and it must not stop the others. What it holds is not logged, since it is
// somebody else's text.
func (m *merchantSync) take(s signalChannel) bool {
	if s.name != setSyncsName {
		if !s.channel.ReceiveAsync(nil) {
			return false
		}
		if s.name == nudgeName {
			m.state.Nudged = true
			return true
		}
		m.requests = append(m.requests, &request{name: s.name})
		return true
	}
	var sent sentDelta
	if !s.channel.ReceiveAsync(&sent) {
		return false
	}
	if sent.err != nil || sent.delta.Validate() != nil {
		m.log.Warn("A signal was dropped: it does not name syncs and whether they shall be on", "signal", s.name, "syncs", consent.SyncNames())
		return true
	}
	m.requests = append(m.requests, &request{name: s.name, delta: sent.delta})
	return true
}

// takeAll queues all waiting signals.
func (m *merchantSync) takeAll() {
	for _, s := range m.signals {
		for m.take(s) {
		}
	}
}

// await waits until ready, or until ctx is cancelled, and queues the signals that come meanwhile, so that requests are served in
// the order in which they came, whether they were signals or updates. It looks into the channels instead of receiving with a
// selector: a value that a blocked selector has been given is nobody's until its coroutine runs, and an update that takes the
// waiting signals before it would take the second before the first.
func (m *merchantSync) await(ctx workflow.Context, ready func() bool) {
	for !ready() {
		signalled := func() bool {
			return slices.ContainsFunc(m.signals, func(s signalChannel) bool { return s.channel.Len() > 0 })
		}
		if workflow.Await(ctx, func() bool { return ready() || signalled() }) != nil {
			return
		}
		m.takeAll()
	}
}

// serve works off the queued requests, in order.
func (m *merchantSync) serve(ctx workflow.Context) error {
	for len(m.requests) > 0 {
		r := m.requests[0]
		m.requests = m.requests[1:]
		r.err = m.change(ctx, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r.err == nil {
			m.restartRound()
			if r.name == pauseName {
				// Paused means no calls, so its answer waits for the round's and the drain's reads too.
				if err := m.endRound(ctx); err != nil {
					return err
				}
				if err := m.endDrain(ctx); err != nil {
					return err
				}
			}
		} else {
			m.log.Warn("A request failed", "request", r.name, "error", r.err.Error())
		}
		r.status, r.done = m.status(), true
	}
	return nil
}

// change commits one request to the ledger by an activity that returns when the change is in force.
func (m *merchantSync) change(ctx workflow.Context, r *request) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    20 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
		Summary:             r.summary(),
	})
	var ended workflow.Future
	switch r.name {
	case setSyncsName:
		ended = workflow.ExecuteActivity(ctx, act.SetSyncs, activities.SetSyncsInput{Merchant: m.merchant, Delta: r.delta})
	case pauseName:
		ended = workflow.ExecuteActivity(ctx, act.Pause, activities.MerchantInput{Merchant: m.merchant})
	case resumeName:
		ended = workflow.ExecuteActivity(ctx, act.Resume, activities.MerchantInput{Merchant: m.merchant})
	default:
		return temporal.NewNonRetryableApplicationError("unknown request "+r.name, "UnknownRequest", nil)
	}
	m.await(ctx, ended.IsReady)
	var result activities.SwitchesResult
	if err := ended.Get(ctx, &result); err != nil {
		m.removed = m.removed || isUnknownMerchant(err)
		return plain(err)
	}
	if err := m.know(ctx, result); err != nil {
		return err
	}
	m.startBackfills(ctx, result)
	return nil
}

// plain is the activity's own error, without Temporal's words around it: whoever sent an update reads it.
func plain(err error) error {
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		return application
	}
	return err
}

// summary is what the Web UI shows of a request.
func (r *request) summary() string {
	if r.name != setSyncsName {
		return r.name
	}
	positions := make([]string, 0, len(r.delta))
	for _, sync := range workflow.DeterministicKeys(r.delta) {
		position := string(sync) + " off"
		if r.delta[sync] {
			position = string(sync) + " on"
		}
		positions = append(positions, position)
	}
	return "switch " + strings.Join(positions, ", ")
}

// refresh asks the ledger for the switches, at the first start.
func (m *merchantSync) refresh(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second, Summary: "read the switches",
	})
	read := workflow.ExecuteActivity(ctx, act.Switches, activities.MerchantInput{Merchant: m.merchant})
	m.await(ctx, read.IsReady)
	var result activities.SwitchesResult
	if err := read.Get(ctx, &result); err != nil {
		if isUnknownMerchant(err) {
			m.removed = true
			return nil
		}
		return err
	}
	return m.know(ctx, result)
}

// know takes over what the ledger says, and shows a change in the search attributes. An answer to a question of this workflow is
// always believed, also when its generation is lower: the ledger may have been restored from a backup.
func (m *merchantSync) know(ctx workflow.Context, result activities.SwitchesResult) error {
	status := &m.state.Status
	switch {
	case result.State == "":
		return nil
	case result.State == activities.StateRemoved:
		m.removed = true
		return nil
	}
	same := m.state.Known && status.State == result.State && slices.Equal(status.On, result.On)
	m.state.Known = true
	status.Generation, status.State, status.Reason, status.On = result.Generation, result.State, result.Reason, result.On
	m.show(ctx)
	if same {
		return nil
	}
	return m.upsert(ctx)
}

func (m *merchantSync) upsert(ctx workflow.Context) error {
	return workflow.UpsertTypedSearchAttributes(ctx,
		SyncTypesAttribute.ValueSet(m.names()), MerchantStateAttribute.ValueSet(m.state.Status.State))
}

func (m *merchantSync) names() []string {
	names := make([]string, len(m.state.Status.On))
	for i, sync := range m.state.Status.On {
		names[i] = string(sync)
	}
	return names
}

// show writes the page that the Web UI shows of this workflow. It costs nothing in the history.
func (m *merchantSync) show(ctx workflow.Context) {
	status := &m.state.Status
	on := "no sync is on"
	if len(status.On) > 0 {
		on = strings.Join(m.names(), ", ") + " on"
	}
	text := fmt.Sprintf("**%s** is **%s**: %s (generation %d)", m.merchant, status.State, on, status.Generation)
	if status.Reason != "" {
		text += "\n\n" + status.Reason
	}
	text += fmt.Sprintf("\n\n%d checkout windows opened; continued as new %d times", status.WindowsOpened, status.Runs)
	workflow.SetCurrentDetails(ctx, text)
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
		Summary:             m.roundSummary(),
	})
	input := activities.ReconcileInput{Merchant: m.merchant, NotBefore: m.state.Status.NextRound, State: m.state.Status.State}
	m.round, m.cancelRound = workflow.ExecuteActivity(roundCtx, act.Reconcile, input), cancel
}

func (m *merchantSync) roundSummary() string {
	names := strings.Join(m.names(), ", ")
	if m.state.Status.State == activities.StateBroken {
		return names + ": wait until a person has mended the access"
	}
	return names + ": rounds, asleep in between"
}

// restartRound lets the next round begin at once, with what is in force now. A round that sleeps ends when the server hears of the
// cancellation, one that is at work when it notices the change itself; nothing waits for it but the next round.
func (m *merchantSync) restartRound() {
	if m.round == nil {
		m.state.Status.NextRound = time.Time{}
		return
	}
	m.cancelRound()
	m.again = true
}

// endRound waits for the end of the round, if there is one, and honours what it found.
func (m *merchantSync) endRound(ctx workflow.Context) error {
	if m.round == nil {
		return nil
	}
	m.await(ctx, m.round.IsReady)
	var result activities.ReconcileResult
	err := m.round.Get(ctx, &result)
	again := m.again
	m.round, m.again = nil, false
	m.cancelRound()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if again {
		m.state.Status.NextRound = time.Time{}
	}
	var application *temporal.ApplicationError
	switch {
	case temporal.IsCanceledError(err):
		return nil
	case errors.As(err, &application) && application.Type() == activities.IdleType:
		// Cancelled while it was about to sleep.
		return nil
	case isUnknownMerchant(err):
		m.removed = true
		return nil
	case err != nil:
		// The activity is retried for ever, so this is a failure while the cancellation was under way.
		m.log.Warn("A round failed while it was stopped; the next one begins", "error", err.Error())
		return nil
	}
	if !again {
		m.state.Status.NextRound = result.NextRound
	}
	// What a round had read before the switches changed is older than what is known.
	if result.Switches.Generation >= m.state.Status.Generation {
		if err := m.know(ctx, result.Switches); err != nil {
			return err
		}
	}
	m.startBackfills(ctx, result.Switches)
	return m.openWindows(ctx, result.Windows)
}

// mayDrain: a nudge that comes while nothing may run waits until something may.
func (m *merchantSync) mayDrain() bool {
	return m.drain == nil && m.state.Nudged && m.mayRun() && m.state.Status.State == activities.StateRunning
}

// startDrain begins to read what webhooks tell.
func (m *merchantSync) startDrain(ctx workflow.Context) {
	m.state.Nudged = false
	drainCtx, cancel := workflow.WithCancel(ctx)
	drainCtx = workflow.WithActivityOptions(drainCtx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Minute,
		HeartbeatTimeout:    20 * time.Second,
		WaitForCancellation: true,
		// Long enough for the lease of a drain that died. After that the rounds go on with what it leaves.
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second, MaximumAttempts: 6},
		Summary:     "act upon webhooks until none has come for a while",
	})
	m.drain, m.cancelDrain = workflow.ExecuteActivity(drainCtx, act.Drain, activities.MerchantInput{Merchant: m.merchant}), cancel
}

// endDrain waits for the end of the drain, if there is one, and honours what it leaves.
func (m *merchantSync) endDrain(ctx workflow.Context) error {
	if m.drain == nil {
		return nil
	}
	m.await(ctx, m.drain.IsReady)
	var result activities.DrainResult
	err := m.drain.Get(ctx, &result)
	m.drain = nil
	m.cancelDrain()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case temporal.IsCanceledError(err):
		return nil
	case isUnknownMerchant(err):
		m.removed = true
		return nil
	case err != nil:
		m.log.Warn("What webhooks tell could not be read at once; the rounds go on with it", "error", err.Error())
		return nil
	}
	m.state.Nudged = m.state.Nudged || result.More
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
			started := child.GetChildWorkflowExecution()
			m.await(ctx, started.IsReady)
			err := started.Get(ctx, nil)
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
	if len(windows) > 0 {
		m.show(ctx)
	}
	return nil
}

// startBackfills begins the full reads that a first enabling needs, unless they run already. One that failed begins anew when the
// merchant goes on.
func (m *merchantSync) startBackfills(ctx workflow.Context, result activities.SwitchesResult) {
	if result.BackfillNeeded {
		m.startBackfill(ctx, consent.Email)
	}
	if result.SMSBackfillNeeded {
		m.startBackfill(ctx, consent.SMS)
	}
}

func (m *merchantSync) startBackfill(ctx workflow.Context, channel consent.Channel) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            BackfillID(m.merchant, channel),
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		TypedSearchAttributes: temporal.NewSearchAttributes(MerchantIDAttribute.ValueSet(m.merchant)),
		StaticSummary:         backfillSummary(m.merchant, channel),
	})
	input := BackfillInput{Merchant: m.merchant, SMS: channel == consent.SMS}
	started := workflow.ExecuteChildWorkflow(ctx, backfillWorkflow, input).GetChildWorkflowExecution()
	m.await(ctx, started.IsReady)
	if err := started.Get(ctx, nil); err != nil && ctx.Err() == nil && !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		// The switches are in force all the same, and the next change or mending asks again.
		m.log.Error("A full read of both sides could not be started", "error", err.Error())
	}
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
func (m *merchantSync) continueAsNew(ctx workflow.Context) error {
	if err := m.settle(ctx); err != nil {
		return err
	}
	if m.removed {
		return m.showRemoved(ctx)
	}
	m.state.Status.Runs++
	return workflow.NewContinueAsNewError(ctx, merchantWorkflow, MerchantSyncInput{Merchant: m.merchant, State: m.state})
}

// finish answers whoever still waits when the merchant was removed.
func (m *merchantSync) finish(ctx workflow.Context) error {
	if err := m.settle(ctx); err != nil {
		return err
	}
	return m.showRemoved(ctx)
}

func (m *merchantSync) showRemoved(ctx workflow.Context) error {
	m.state.Status.State, m.state.Status.Reason, m.state.Status.On = activities.StateRemoved, "", nil
	m.show(ctx)
	return m.upsert(ctx)
}

// settle ends the round and serves until nobody waits any more.
func (m *merchantSync) settle(ctx workflow.Context) error {
	for {
		if m.round != nil {
			m.cancelRound()
		}
		if err := m.endRound(ctx); err != nil {
			return err
		}
		if m.drain != nil {
			m.cancelDrain()
		}
		if err := m.endDrain(ctx); err != nil {
			return err
		}
		m.takeAll()
		if err := m.serve(ctx); err != nil {
			return err
		}
		if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) || len(m.requests) > 0 }); err != nil {
			return err
		}
		// Awaiting yields even when the condition holds already, so what arrived meanwhile is looked for once more.
		m.takeAll()
		if len(m.requests) == 0 {
			return nil
		}
	}
}
