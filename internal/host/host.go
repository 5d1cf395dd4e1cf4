// Package host puts one process of Concord together: ledger, keys, merchants, engine, and the Temporal worker. The worker, the
// command line and the tests all build on it, so that there is one wiring.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/privacy"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/workflows"
)

// Host is one process's open ledger and what stands on it.
type Host struct {
	Settings  config.Settings
	Ledger    *ledger.Ledger
	Keys      *keys.Ring
	Merchants *merchant.Store
	Engine    *reconcile.Engine
	// Office does privacy requests.
	Office *privacy.Office
	Log    *slog.Logger
}

// Open opens the ledger and the keys that the settings name. notice, which may be nil, is told when a key file was made.
func Open(ctx context.Context, settings config.Settings, logger *slog.Logger, notice func(string)) (*Host, error) {
	dsn := settings.Ledger.Reveal()
	book, err := ledger.Open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	source := keys.Source{Key: settings.MasterKey.Reveal(), KeyFile: settings.MasterKeyFile, Notice: notice}
	// A database in memory lies nowhere: beside it there is no place for a key.
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok && path != ":memory:" {
		source.Database = path
	}
	ring, err := keys.Open(ctx, book, source)
	if err != nil {
		return nil, errors.Join(err, book.Close())
	}
	merchants := merchant.NewStore(book, ring, reconcile.ListrakCursors...)
	h := &Host{Settings: settings, Ledger: book, Keys: ring, Merchants: merchants, Log: logger}
	open := &accounts{merchants: merchants, now: time.Now, log: logger, open: map[string]*openAccount{}}
	// An operator may have set another zone or list since the write that told of this one.
	same := func(s *merchant.Settings, then merchant.Settings) bool {
		return s.Zone == then.Zone && s.EmailList == then.EmailList && s.ListrakURL == then.ListrakURL
	}
	h.Engine = &reconcile.Engine{
		Ledger: book, Keys: ring, Connect: open.connect, Timing: timing(settings), Now: time.Now, Holder: holder(), Log: logger,
		ZoneProven: func(ctx context.Context, proven merchant.Settings) error {
			_, err := merchants.Update(ctx, proven.ID, func(s *merchant.Settings) error {
				s.ZoneProven = s.ZoneProven || same(s, proven)
				return nil
			}, nil)
			return err
		},
		ZoneDisproven: func(ctx context.Context, disproven merchant.Settings) error {
			_, err := merchants.Update(ctx, disproven.ID, func(s *merchant.Settings) error {
				s.ZoneProven = s.ZoneProven && !same(s, disproven)
				return nil
			}, nil)
			return err
		},
	}
	forget := &forgetters{merchants: merchants, now: time.Now, open: map[string]*openForgetter{}, rates: map[string]*listrak.PrivacyRate{}}
	h.Office = &privacy.Office{
		Engine: h.Engine, Merchants: merchants, Listrak: forget.client, ExportDirectory: settings.ExportDirectory,
		OptOutRetention: settings.OptOutRetention,
	}
	return h, nil
}

// Close closes the ledger.
func (h *Host) Close() error { return h.Ledger.Close() }

func timing(s config.Settings) reconcile.Timing {
	t := reconcile.DefaultTiming()
	t.Interval, t.RoundLimit, t.CallTimeout = s.Interval, s.RoundLimit, s.CallTimeout
	t.LeaseMargin, t.RunLease, t.MaxHeld = s.ClaimLease-s.CallTimeout, s.RunLease, s.MaxHeld
	t.Window.Length, t.Window.Lag = consent.SpanOf(s.CheckoutWindow), consent.SpanOf(s.OrderLag)
	return t
}

// holder names this process in run leases. It is new with every start: a lease of a process that died runs out by itself.
func holder() string {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return fmt.Sprintf("%s/%d/%d", name, os.Getpid(), time.Now().UnixNano())
}

// Worker makes the Temporal worker of this process; the caller runs it. Rounds tell checkout windows through the same client. It
// forgets orders and claims whose time was over before. While it runs it looks after privacy requests that nobody does.
func (h *Host) Worker(c client.Client) worker.Worker {
	h.Engine.HoldChanged = func(ctx context.Context, id string, held ledger.Held) {
		ctx, cancel := context.WithTimeout(ctx, tellTimeout)
		defer cancel()
		if err := workflows.SignalHoldChanged(ctx, c, activities.WindowID(id, held)); err != nil {
			// A window that is not told ends with its own timer; it may have ended already.
			h.Log.Debug("A checkout window was not told of its hold", "merchant", id, "error", err.Error())
		}
	}
	if _, err := h.Ledger.PurgeExpired(context.Background()); err != nil {
		// What has run out is in nobody's way; the next worker that starts tries again.
		h.Log.Warn("What has run out could not be cleared away", "error", err.Error())
	}
	w := worker.New(c, h.Settings.TaskQueue, workerOptions(h.Settings))
	workflows.Register(w)
	w.RegisterActivity(&activities.Activities{Engine: h.Engine, Office: h.Office})
	return h.tended(w, c)
}

// tellTimeout bounds telling one window: it only saves time, and must not cost a round its own.
const tellTimeout = 2 * time.Second

// stopTimeout lets a round that is at work end at its next safe point.
const stopTimeout = 20 * time.Second

func workerOptions(s config.Settings) worker.Options {
	options := worker.Options{
		WorkerStopTimeout: stopTimeout,
		// Rounds of many merchants wait here for the two sides, not for a processor.
		MaxConcurrentActivityExecutionSize: 200,
		WorkflowTaskPollerBehavior:         worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		ActivityTaskPollerBehavior:         worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
	}
	if s.WorkerVersioning {
		options.DeploymentOptions = worker.DeploymentOptions{
			UseVersioning:             true,
			Version:                   worker.WorkerDeploymentVersion{DeploymentName: "concord", BuildID: s.WorkerBuildID},
			DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
		}
	}
	return options
}

// TemporalLogger adapts a logger to Temporal's SDK.
func TemporalLogger(logger *slog.Logger) log.Logger { return log.NewStructuredLogger(logger) }
