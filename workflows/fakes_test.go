package workflows

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
)

const merchant = "store-1"

// fakes have the names and types of the real activities; a field that is nil does what the small ledger in it says.
type fakes struct {
	mu     sync.Mutex
	ledger smallLedger
	rounds []activities.ReconcileInput
	// asleep is the token of the round that sleeps.
	asleep  []byte
	settled []activities.SettleWindowInput
	// drains counts the drains that began; draining is the token of the one that is at work.
	drains   int
	draining []byte
	// brief lets every drain end at once.
	brief bool
	// nudged: a nudge came after the last drain had begun.
	nudged bool

	setSyncs  func(context.Context, activities.SetSyncsInput) (activities.SwitchesResult, error)
	pause     func(context.Context, activities.MerchantInput) (activities.SwitchesResult, error)
	reconcile func(context.Context, activities.ReconcileInput) (activities.ReconcileResult, error)
	settle    func(context.Context, activities.SettleWindowInput) (activities.SettleWindowResult, error)
	backfill  func(context.Context, activities.BackfillInput) (activities.BackfillResult, error)
	webhooks  func(context.Context, activities.MerchantInput) (activities.WebhooksResult, error)
	engage    func(context.Context, activities.EngageInput) (activities.EngageResult, error)

	// kind is what BeginPrivacy finds, steps the steps of privacy requests as they were called, and step what one of them answers.
	kind  string
	steps []string
	step  func(name string) (activities.PrivacyState, error)
}

// smallLedger holds what a merchant's workflow asks the ledger for.
type smallLedger struct {
	state, reason  string
	generation     int64
	on             map[consent.Sync]bool
	backfillNeeded bool
	unknown        bool
	// applied lists the requests in the order in which they were committed.
	applied []string
}

func (l *smallLedger) result() (activities.SwitchesResult, error) {
	if l.unknown {
		return activities.SwitchesResult{}, temporal.NewNonRetryableApplicationError("unknown merchant", activities.UnknownMerchantType, nil)
	}
	result := activities.SwitchesResult{State: l.state, Reason: l.reason, Generation: l.generation}
	for _, sync := range consent.AllSyncs() {
		if l.on[sync] {
			result.On = append(result.On, sync)
		}
	}
	slices.Sort(result.On)
	result.BackfillNeeded = l.backfillNeeded && len(result.On) > 0
	return result, nil
}

func (f *fakes) apply(r *request) (activities.SwitchesResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ledger.unknown {
		return f.ledger.result()
	}
	f.ledger.applied = append(f.ledger.applied, r.summary())
	f.ledger.generation++
	for sync, on := range r.delta {
		f.ledger.on[sync] = on
	}
	switch r.name {
	case pauseName:
		f.ledger.state = activities.StatePaused
	case resumeName:
		f.ledger.state, f.ledger.reason = activities.StateRunning, ""
	}
	return f.ledger.result()
}

func (f *fakes) Switches(context.Context, activities.MerchantInput) (activities.SwitchesResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ledger.result()
}

func (f *fakes) SetSyncs(ctx context.Context, in activities.SetSyncsInput) (activities.SwitchesResult, error) {
	if f.setSyncs != nil {
		return f.setSyncs(ctx, in)
	}
	return f.apply(&request{name: setSyncsName, delta: in.Delta})
}

func (f *fakes) Pause(ctx context.Context, in activities.MerchantInput) (activities.SwitchesResult, error) {
	if f.pause != nil {
		return f.pause(ctx, in)
	}
	return f.apply(&request{name: pauseName})
}

func (f *fakes) Resume(context.Context, activities.MerchantInput) (activities.SwitchesResult, error) {
	return f.apply(&request{name: resumeName})
}

// Reconcile sleeps until the test ends the round or the workflow cancels it.
func (f *fakes) Reconcile(ctx context.Context, in activities.ReconcileInput) (activities.ReconcileResult, error) {
	f.mu.Lock()
	f.rounds = append(f.rounds, in)
	f.asleep = activity.GetInfo(ctx).TaskToken
	reconcile, unknown := f.reconcile, f.ledger.unknown
	f.mu.Unlock()
	if unknown {
		return activities.ReconcileResult{}, temporal.NewNonRetryableApplicationError("unknown merchant", activities.UnknownMerchantType, nil)
	}
	if reconcile != nil {
		return reconcile(ctx, in)
	}
	return activities.ReconcileResult{}, activity.ErrResultPending
}

// Drain works until the test ends it.
func (f *fakes) Drain(ctx context.Context, _ activities.MerchantInput) (activities.DrainResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drains++
	f.nudged = false
	if f.brief {
		return activities.DrainResult{}, nil
	}
	f.draining = activity.GetInfo(ctx).TaskToken
	return activities.DrainResult{}, activity.ErrResultPending
}

func (f *fakes) SettleWindow(ctx context.Context, in activities.SettleWindowInput) (activities.SettleWindowResult, error) {
	f.mu.Lock()
	f.settled = append(f.settled, in)
	f.mu.Unlock()
	if f.settle != nil {
		return f.settle(ctx, in)
	}
	return activities.SettleWindowResult{Outcome: "settled"}, nil
}

func (f *fakes) EnsureWebhooks(ctx context.Context, in activities.MerchantInput) (activities.WebhooksResult, error) {
	return f.webhooks(ctx, in)
}

func (f *fakes) Engage(ctx context.Context, in activities.EngageInput) (activities.EngageResult, error) {
	return f.engage(ctx, in)
}

func (f *fakes) Backfill(ctx context.Context, in activities.BackfillInput) (activities.BackfillResult, error) {
	if f.backfill != nil {
		return f.backfill(ctx, in)
	}
	return activities.BackfillResult{Done: true}, nil
}

func (f *fakes) privacyStep(name string, in activities.PrivacyInput) (activities.PrivacyState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps = append(f.steps, name)
	if in != (activities.PrivacyInput{Merchant: merchant, Request: "r"}) {
		return activities.PrivacyState{}, temporal.NewNonRetryableApplicationError("another request", "Test", nil)
	}
	if f.step != nil {
		return f.step(name)
	}
	return activities.PrivacyState{Done: true, Outcome: "by " + name}, nil
}

func (f *fakes) BeginPrivacy(_ context.Context, in activities.PrivacyInput) (activities.PrivacyState, error) {
	if f.kind == "" {
		return f.privacyStep("BeginPrivacy", in)
	}
	return activities.PrivacyState{Kind: f.kind}, nil
}

func (f *fakes) ErasePerson(_ context.Context, in activities.PrivacyInput) error {
	_, err := f.privacyStep("ErasePerson", in)
	return err
}

func (f *fakes) AskListrak(_ context.Context, in activities.PrivacyInput) (activities.PrivacyState, error) {
	return f.privacyStep("AskListrak", in)
}

func (f *fakes) FinishErasure(_ context.Context, in activities.PrivacyInput) (activities.PrivacyState, error) {
	return f.privacyStep("FinishErasure", in)
}

func (f *fakes) ExportPerson(_ context.Context, in activities.PrivacyInput) (activities.PrivacyState, error) {
	return f.privacyStep("ExportPerson", in)
}

func (f *fakes) UninstallMerchant(_ context.Context, in activities.PrivacyInput) (activities.PrivacyState, error) {
	return f.privacyStep("UninstallMerchant", in)
}

func (f *fakes) EraseShop(_ context.Context, in activities.PrivacyInput) (activities.PrivacyState, error) {
	return f.privacyStep("EraseShop", in)
}

func (f *fakes) roundsSeen() []activities.ReconcileInput {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rounds)
}

// stage runs one workflow in Temporal's test environment, whose clock jumps to the next thing that happens.
type stage struct {
	*testsuite.TestWorkflowEnvironment
	t     testing.TB
	fakes *fakes
	began time.Time
	// shown lists the merchant's states in the order in which the search attributes showed them.
	shown []string
	syncs [][]string
	// delivered lists the requests in the order in which they reached the workflow. What is sent while a run's last task is under
	// way reaches the next run with a real server and nobody here.
	delivered []string
	ended     bool
	// unhandled are the signals that a run left behind.
	unhandled []string
	answers   map[string]*answer
}

// answer is how an update ended.
type answer struct {
	accepted, rejected, completed bool
	at                            time.Duration
	status                        MerchantStatus
	err                           error
	stage                         *stage
}

func (a *answer) Accept()          { a.accepted = true }
func (a *answer) Reject(err error) { a.rejected, a.err = true, err }
func (a *answer) Complete(success any, err error) {
	a.completed, a.err, a.at = true, err, a.stage.passed()
	if status, ok := success.(MerchantStatus); ok {
		a.status = status
	}
}

// quiet drops what the SDK logs; a test says itself what went wrong.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

func newStage(t testing.TB, on ...consent.Sync) *stage {
	f := &fakes{ledger: smallLedger{state: activities.StateRunning, generation: 1, on: map[consent.Sync]bool{}}}
	for _, sync := range on {
		f.ledger.on[sync] = true
	}
	return newStageWith(t, f)
}

func newStageWith(t testing.TB, f *fakes) *stage {
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(quiet{})
	s := &stage{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t, fakes: f, answers: map[string]*answer{}}
	Register(s)
	s.RegisterActivity(f)
	s.SetTestTimeout(20 * time.Second)
	// A busy machine may take longer than the second after which the SDK suspects a deadlock.
	s.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: 15 * time.Second, Interceptors: []interceptor.WorkerInterceptor{&watched{stage: s}}})
	s.began = s.Now()
	return s
}

// watched sees what comes to a workflow, what it shows, and which signals it has not received when it ends.
type watched struct {
	interceptor.WorkerInterceptorBase
	stage *stage
}

func (l *watched) InterceptWorkflow(ctx workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	i := &watchedInbound{stage: l.stage}
	i.Next = next
	return i
}

type watchedInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	stage *stage
}

func (l *watchedInbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	o := &shownOutbound{stage: l.stage}
	o.Next = next
	return l.Next.Init(o)
}

func (l *watchedInbound) HandleSignal(ctx workflow.Context, in *interceptor.HandleSignalInput) error {
	r := &request{name: in.SignalName}
	if in.SignalName == setSyncsName {
		_ = converter.GetDefaultDataConverter().FromPayloads(in.Arg, &r.delta) // malformed ones are another test's
	}
	l.stage.deliver(r)
	return l.Next.HandleSignal(ctx, in)
}

func (l *watchedInbound) ExecuteUpdate(ctx workflow.Context, in *interceptor.UpdateInput) (any, error) {
	r := &request{name: in.Name}
	if in.Name == setSyncsName {
		r.delta = in.Args[0].(SyncDelta)
	}
	l.stage.deliver(r)
	return l.Next.ExecuteUpdate(ctx, in)
}

// deliver counts what reached a run before its end.
func (s *stage) deliver(r *request) {
	switch {
	case s.ended:
	case r.name == nudgeName:
		s.fakes.mu.Lock()
		s.fakes.nudged = true
		s.fakes.mu.Unlock()
	default:
		s.delivered = append(s.delivered, r.summary())
	}
}

// shownOutbound keeps what is shown in the search attributes.
type shownOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	stage *stage
}

func (o *shownOutbound) UpsertTypedSearchAttributes(ctx workflow.Context, updates ...temporal.SearchAttributeUpdate) error {
	attributes := temporal.NewSearchAttributes(updates...)
	if state, ok := attributes.GetKeyword(MerchantStateAttribute); ok {
		o.stage.shown = append(o.stage.shown, state)
	}
	if syncs, ok := attributes.GetKeywordList(SyncTypesAttribute); ok {
		o.stage.syncs = append(o.stage.syncs, syncs)
	}
	return o.Next.UpsertTypedSearchAttributes(ctx, updates...)
}

func (l *watchedInbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	result, err := l.Next.ExecuteWorkflow(ctx, in)
	if workflow.GetInfo(ctx).WorkflowType.Name == merchantWorkflow {
		l.stage.unhandled = append(l.stage.unhandled, workflow.GetUnhandledSignalNames(ctx)...)
		l.stage.ended = true
	}
	return result, err
}

// passed is how much of the test environment's time has passed.
func (s *stage) passed() time.Duration { return s.Now().Sub(s.began) }

// at does something when that much time has passed, unless the workflow has ended by then.
func (s *stage) at(after time.Duration, do func()) {
	s.RegisterDelayedCallback(func() {
		if !s.IsWorkflowCompleted() {
			do()
		}
	}, after)
}

func (s *stage) signalAt(after time.Duration, name string, arg any) {
	s.at(after, func() { s.SignalWorkflow(name, arg) })
}

// updateAt sends an update; its answer fills itself.
func (s *stage) updateAt(after time.Duration, id, name string, args ...any) *answer {
	a := &answer{stage: s}
	s.answers[id] = a
	s.at(after, func() { s.UpdateWorkflow(name, id, a, args...) })
	return a
}

// endRoundAt lets the round that sleeps then end with something to do.
func (s *stage) endRoundAt(after time.Duration, result func() activities.ReconcileResult) {
	s.at(after, func() {
		s.fakes.mu.Lock()
		token := s.fakes.asleep
		s.fakes.asleep = nil
		s.fakes.mu.Unlock()
		if token != nil {
			_ = s.CompleteActivity(token, result(), nil) // a round that was cancelled at the same moment cannot end any more
		}
	})
}

// endDrainAt lets the drain that is at work then end.
func (s *stage) endDrainAt(after time.Duration, result activities.DrainResult, err error) {
	s.at(after, func() {
		s.fakes.mu.Lock()
		token := s.fakes.draining
		s.fakes.draining = nil
		s.fakes.mu.Unlock()
		if token != nil {
			_ = s.CompleteActivity(token, result, err) // as with the round
		}
	})
}

// switches is what the small ledger holds now.
func (s *stage) switches() activities.SwitchesResult {
	s.fakes.mu.Lock()
	defer s.fakes.mu.Unlock()
	result, err := s.fakes.ledger.result()
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

// runFor runs the merchant's workflow for a while and then ends it as an operator would who stops the test.
func (s *stage) runFor(length time.Duration) {
	s.t.Helper()
	s.at(length, s.CancelWorkflow)
	s.ExecuteWorkflow(merchantWorkflow, MerchantSyncInput{Merchant: merchant})
	if err := s.GetWorkflowError(); !s.IsWorkflowCompleted() || !temporal.IsCanceledError(err) {
		s.t.Fatalf("the workflow ended with %v, want it to run until it is cancelled", err)
	}
}

func (s *stage) applied() []string {
	s.fakes.mu.Lock()
	defer s.fakes.mu.Unlock()
	return slices.Clone(s.fakes.ledger.applied)
}
