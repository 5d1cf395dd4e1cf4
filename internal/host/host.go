// Package host puts one process of Concord together: ledger, keys, merchants, engine, and the Temporal worker. The worker, the
// command line and the tests all build on it, so that there is one wiring.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/privacy"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/subscriptions"
	"github.com/concordsync/concord/internal/webhook"
	"github.com/concordsync/concord/workflows"
)

// Host is one process's open ledger and what stands on it.
type Host struct {
	Settings  config.Settings
	Ledger    *ledger.Ledger
	Keys      *keys.Ring
	Merchants *merchant.Store
	Engine    *reconcile.Engine
	// Subscriptions keeps the webhook subscriptions of merchants alive.
	Subscriptions *subscriptions.Keeper
	// Office does privacy requests.
	Office *privacy.Office
	// Events carries engagement events.
	Events *engagement.Keeper
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
	merchants := merchant.NewStore(book, ring, merchant.Cursors{
		Email: append(slices.Clone(reconcile.ListrakCursors), engagement.ListrakCursors...), SMS: reconcile.SMSCursors,
	})
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
	h.Subscriptions = &subscriptions.Keeper{Statuses: book, Merchant: merchants.Get, PublicURL: settings.PublicURL, Now: time.Now,
		Connect: func(ctx context.Context, id string) (subscriptions.Client, error) {
			account, err := open.connect(ctx, id)
			if err != nil {
				return nil, err
			}
			// The account's own client, so that both share budget and token.
			return account.Shopify.(subscriptions.Client), nil
		},
	}
	h.Events = &engagement.Keeper{
		Ledger: book, SubjectKey: ring.SubjectKey(), Timing: eventTiming(settings), Now: time.Now, Holder: h.Engine.Holder, Log: logger,
		Connect: func(ctx context.Context, id string) (engagement.Account, error) {
			account, err := open.connect(ctx, id)
			if err != nil {
				return engagement.Account{}, err
			}
			return engagement.Account{Shopify: account.Shopify.(engagement.Store), Listrak: account.Listrak.(engagement.List)}, nil
		},
		Settings: func(ctx context.Context, id string) (merchant.Settings, error) {
			m, err := merchants.Get(ctx, id)
			return m.Settings, err
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
	t.Comparison = s.ListComparison
	t.Window.Length, t.Window.Lag = consent.SpanOf(s.CheckoutWindow), consent.SpanOf(s.OrderLag)
	return t
}

// eventTiming lets events keep the pace of rounds: what is read every minute is read every interval.
func eventTiming(s config.Settings) engagement.Timing {
	t := engagement.DefaultTiming()
	t.Interval, t.PassLimit, t.CallTimeout, t.RunLease = s.Interval, s.RoundLimit, s.CallTimeout, s.RunLease
	if s.EventLookBack > 0 {
		t.LookBack = s.EventLookBack
	}
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
	tell := func(ctx context.Context, id string, signal func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, tellTimeout)
		defer cancel()
		if err := signal(ctx); err != nil {
			// A window that is not told ends with its own timer, or has ended already; hints that nobody is sent to read are the rounds'.
			h.Log.Debug("A workflow was not told", "merchant", id, "error", err.Error())
		}
	}
	h.Engine.HoldChanged = func(ctx context.Context, id string, held ledger.Held) {
		tell(ctx, id, func(ctx context.Context) error {
			return workflows.SignalHoldChanged(ctx, c, activities.WindowID(id, held))
		})
	}
	h.Engine.Nudge = func(ctx context.Context, id string) {
		tell(ctx, id, func(ctx context.Context) error { return workflows.SignalNudge(ctx, c, id) })
	}
	if _, err := h.Ledger.PurgeExpired(context.Background()); err != nil {
		// What has run out is in nobody's way; the next worker that starts tries again.
		h.Log.Warn("What has run out could not be cleared away", "error", err.Error())
	}
	w := worker.New(c, h.Settings.TaskQueue, workerOptions(h.Settings))
	workflows.Register(w)
	w.RegisterActivity(&activities.Activities{
		Engine: h.Engine, Subscriptions: h.Subscriptions, Office: h.Office, Events: h.Events,
		StartEngagement: func(ctx context.Context, id string) error {
			return workflows.StartEngagement(ctx, c, h.Settings.TaskQueue, id)
		},
	})
	return h.tended(w, c)
}

// Run runs this process until ctx ends: the Temporal worker, and the door for webhooks when the settings name an address. When one of the
// two fails the other ends too.
func (h *Host) Run(ctx context.Context, c client.Client) error {
	running, ctx := errgroup.WithContext(ctx)
	if address := h.Settings.WebhookAddress; address != "" {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("listen for webhooks: %w. CONCORD_WEBHOOK_ADDRESS names the address", err)
		}
		running.Go(func() error { return h.ServeDoor(ctx, c, listener) })
	}
	w := h.Worker(c)
	running.Go(func() error { return w.Run(interrupt(ctx)) })
	// Beside the worker: it is a call for every merchant, and nothing waits for it.
	running.Go(func() error {
		h.ScheduleWebhooks(ctx, c)
		return nil
	})
	return running.Wait()
}

// interrupt turns the end of ctx into what a Temporal worker waits for.
func interrupt(ctx context.Context) <-chan interface{} {
	channel := make(chan interface{})
	context.AfterFunc(ctx, func() { close(channel) })
	return channel
}

// ServeDoor serves the door for webhooks on the listener until ctx ends. It closes the listener.
func (h *Host) ServeDoor(ctx context.Context, c client.Client, listener net.Listener) error {
	h.Log.Info("The door for webhooks is open", "address", listener.Addr().String())
	door := webhook.New(webhook.Config{
		Inbox: h.Ledger, Merchants: h.Merchants, Keys: h.Keys, Teller: Teller{c, h.Settings.TaskQueue, h.Ledger}, Log: h.Log,
		Events: h.Events,
	})
	return door.Serve(ctx, listener)
}

// ScheduleWebhooks makes sure that every merchant's webhook subscriptions are looked at daily. Without a public address there is nothing
// to look at. Workers call it when they start; what fails is logged, because a merchant without webhooks is still polled.
func (h *Host) ScheduleWebhooks(ctx context.Context, c client.Client) {
	if h.Subscriptions.PublicURL == "" {
		return
	}
	all, err := h.Merchants.List(ctx)
	if err != nil {
		h.Log.Warn("Webhook subscriptions are not looked after: the merchants could not be read", "error", err.Error())
		return
	}
	for _, m := range all {
		if err := workflows.ScheduleWebhooks(ctx, c, h.Settings.TaskQueue, m.Settings.ID); err != nil {
			h.Log.Warn("Webhook subscriptions are not looked after", "merchant", m.Settings.ID, "error", err.Error())
		}
	}
}

// startEngagements makes sure that the events of every merchant who wants them are carried. Switching a sync on starts that too; this is for
// a Temporal that has forgotten, and for ledgers that were restored.
func (h *Host) startEngagements(ctx context.Context, c client.Client) {
	all, err := h.Ledger.Merchants(ctx)
	if err != nil {
		h.Log.Warn("Events are not looked after: the merchants could not be read", "error", err.Error())
		return
	}
	for _, m := range all {
		switches, err := h.Ledger.Switches(ctx, m.ID)
		if err == nil && (switches.Syncs[consent.EmailEvents].On || switches.Syncs[consent.SMSEvents].On) {
			err = workflows.StartEngagement(ctx, c, h.Settings.TaskQueue, m.ID)
		}
		if err != nil {
			h.Log.Warn("Events are not looked after", "merchant", m.ID, "error", err.Error())
		}
	}
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
