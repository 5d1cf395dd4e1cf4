package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/workflows"
)

// temporalVariables are those by which an operator names a Temporal server. When none is set, a running `starter dev` is used.
var temporalVariables = []string{"TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE"}

// temporalFrom says which server the verbs talk to, and the development server when it is that one.
func (a *app) temporalFrom() (from string, dev *devRuntime) {
	for _, name := range temporalVariables {
		if a.env(name) != "" {
			return name, nil
		}
	}
	if running, ok := a.runningDev(); ok {
		return "the running `starter dev`", &running
	}
	return "Temporal's default", nil
}

// temporalClient connects to Temporal, once.
func (a *app) temporalClient(ctx context.Context) (client.Client, error) {
	if a.temporalOpen != nil {
		return a.temporalOpen, nil
	}
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	_, dev := a.temporalFrom()
	ctx, cancel := context.WithTimeout(ctx, a.dialTimeout)
	defer cancel()
	address := ""
	c, err := host.DialTemporal(ctx, a.logger(s), func(options *client.Options) {
		if dev != nil {
			options.HostPort, options.Namespace = dev.Temporal, dev.Namespace
		}
		address = cmp.Or(options.HostPort, client.DefaultHostPort)
	})
	switch {
	case err == nil:
	case address != "" && (ctx.Err() != nil || strings.Contains(err.Error(), "connection refused")):
		// What gRPC says about a server that is not there would bury where it was looked for.
		return nil, unreachableError("no Temporal server answers at %s", address).
			try("start one with `starter dev`, or name one with TEMPORAL_ADDRESS or TEMPORAL_PROFILE")
	default:
		return nil, unreachableError("%w", err)
	}
	a.temporalOpen = c
	return c, nil
}

// startWorkflow makes sure that the merchant's workflow runs.
func (a *app) startWorkflow(ctx context.Context, id string) (client.Client, error) {
	c, err := a.temporalClient(ctx)
	if err != nil {
		return nil, err
	}
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.answerTimeout)
	defer cancel()
	return c, workflows.StartMerchantSync(ctx, c, s.TaskQueue, id)
}

// answered calls the merchant's workflow and waits for a worker's answer, for a bounded time. change tells that the call changes
// something, which then may or may not be in force when nobody answered.
func (a *app) answered(ctx context.Context, id string, call func(context.Context, client.Client, string) (workflows.MerchantStatus, error),
	change bool) (workflows.MerchantStatus, error) {
	c, err := a.startWorkflow(ctx, id)
	if err != nil {
		return workflows.MerchantStatus{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, a.answerTimeout)
	defer cancel()
	status, err := call(bounded, c, id)
	if err != nil && ctx.Err() == nil && (bounded.Err() != nil || unanswered(err)) {
		return status, a.noWorker(change)
	}
	return status, err
}

// unanswered reports whether a call failed because no worker took it up.
func unanswered(err error) bool {
	var deadline *serviceerror.DeadlineExceeded
	var canceled *serviceerror.Canceled
	var noPoller *serviceerror.FailedPrecondition
	var timeout *client.WorkflowUpdateServiceTimeoutOrCanceledError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &deadline) || errors.As(err, &canceled) ||
		errors.As(err, &noPoller) || errors.As(err, &timeout)
}

func (a *app) noWorker(change bool) error {
	queue := "concord"
	if s, err := a.settings(); err == nil {
		queue = s.TaskQueue
	}
	p := unreachableError("no worker on task queue %s answered within %s", queue, span(a.answerTimeout))
	if !change {
		return p.try("start a worker: `starter dev`, or the worker program")
	}
	p.err = fmt.Errorf("%w; the change may still come into force when one starts", p.err)
	return p.try("start a worker (`starter dev`, or the worker program), or give --no-wait to leave the request for when one runs")
}

// requireWorker asks the workflow for its status, which only a worker can answer.
func (a *app) requireWorker(ctx context.Context, id string) error {
	_, err := a.answered(ctx, id, workflows.Status, false)
	return err
}

// signalled starts the merchant's workflow if it is missing and leaves it a signal.
func (a *app) signalled(ctx context.Context, id string, signal func(context.Context, client.Client, string) error) error {
	c, err := a.startWorkflow(ctx, id)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.answerTimeout)
	defer cancel()
	return signal(ctx, c, id)
}
