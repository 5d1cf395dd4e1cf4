package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/workflows"
)

// The demo's clock: minutes become seconds, so that a checkout window can be watched.
const (
	demoInterval = 2 * time.Second
	demoWindow   = 15 * time.Second
	demoOrderLag = 2 * time.Second
	// demoLate is when the order comes that is too late, as six minutes are for a window of five.
	demoLate = demoWindow * 6 / 5
	// demoThought is how long a person thinks before changing their mind again; longer than the two sides' clocks are uncertain, on a
	// busy machine too. The windows of others take longer anyway.
	demoThought = 8 * time.Second
	// demoPatience is after how long a person who does not agree fails the demo.
	demoPatience = 2 * time.Minute
	// demoQuietRounds is how many rounds without anything owed end it: copies that come back must not win.
	demoQuietRounds = 2
)

type demoFlags struct {
	keep   bool
	uiPort int
}

func newDemoCommand(a *app) *cobra.Command {
	var flags demoFlags
	c := &cobra.Command{
		Use: "demo", Short: "Show it all at work on this machine, in about a minute", Args: arguments(0, 0),
		Long: `Starts a local Temporal server, a Shopify store and a Listrak account on this machine, and a worker; acts as people by email and by
SMS through both sides; waits until both sides agree about each of them; and ends with 0 only when every row is as the rules demand.

Time runs fast here: a round begins every 2 seconds instead of every minute, and the checkout window is 15 seconds long instead of
five minutes. Nothing leaves this machine, and nothing stays on it.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), flags) },
	}
	c.Flags().BoolVar(&flags.keep, "keep", false, "leave everything running afterwards, with the Web UI to look inside, until Ctrl-C")
	c.Flags().IntVar(&flags.uiPort, "ui-port", 0, "port of Temporal's Web UI on 127.0.0.1 (default: any free one)")
	return c
}

// demo runs in a directory of its own, with a ledger and a key of its own, whatever the environment says.
func (a *app) demo(ctx context.Context, flags demoFlags) (err error) {
	directory, err := os.MkdirTemp("", "concord-demo-")
	if err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	defer func() { _ = os.RemoveAll(directory) }() // what remains is in the system's temporary directory
	settings := demoSettings(directory)
	a.note("Starting Temporal, a Shopify store, a Listrak account and a worker on this machine …")
	began := a.now()
	s, err := startStack(ctx, stackOptions{Settings: settings, UI: true, UIPort: flags.uiPort, Log: a.logger(settings), Progress: a.errOut})
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := s.Stop(); err == nil {
			err = stopErr
		}
	}()
	a.note("  running after %s; Temporal Web UI: %s", span(a.now().Sub(began)), s.Temporal.UIURL())

	d := &demo{app: a, stack: s, people: demoPeople()}
	v, err := d.run(ctx)
	if err != nil {
		return err
	}
	v.UI = s.Temporal.UIURL()
	v.Kept = flags.keep
	if err := a.show(v); err != nil {
		return err
	}
	if flags.keep {
		a.note("\nRunning until Ctrl-C.\n  Temporal Web UI  %s\n  Both sides       %s", s.Temporal.UIURL(), s.Sandbox.ControlURL())
		select {
		case <-ctx.Done():
		case <-s.Temporal.Done():
			return failedError("%w", s.Temporal.Err())
		}
	}
	if !v.Agreed {
		return failedError("not everybody is as the rules demand")
	}
	return nil
}

func demoSettings(directory string) config.Settings {
	return config.Settings{
		Ledger: config.DSN("sqlite:" + filepath.Join(directory, "concord.db")), TaskQueue: "concord-demo",
		Interval: demoInterval, RoundLimit: 20 * time.Second, CheckoutWindow: demoWindow, OrderLag: demoOrderLag, MaxHeld: 500, ListComparison: time.Hour,
		CallTimeout: 5 * time.Second, ClaimLease: 10 * time.Second, RunLease: 30 * time.Second, LogLevel: slog.LevelError, LogFormat: "text",
	}
}

// demo is one run: the people, and what became of them.
type demo struct {
	*app
	*stack
	people []*demoPerson
	// messages are the rows about events, once they are switched on.
	messages []*demoMessage
}

// run plays everybody and says what became of them.
func (d *demo) run(ctx context.Context) (*demoView, error) {
	for _, p := range d.people {
		if p.past != nil {
			if err := p.past(d, p); err != nil {
				return nil, fmt.Errorf("play %s's past: %w", p.name, err)
			}
		}
	}
	d.Shop.FinishIndexing()
	if err := d.AddSandboxMerchant(ctx, func(m *merchant.Settings) { m.OrderBeforeConsent = time.Second }); err != nil {
		return nil, err
	}
	if err := d.enable(ctx); err != nil {
		return nil, err
	}
	d.note("\nThe first run: people who are in both or in one of the two already")
	if err := d.await(ctx, func(p *demoPerson) bool { return p.act == nil }); err != nil {
		return nil, err
	}
	d.note("\nNow a campaign is sent by email, another by SMS, and people decide, on both sides")
	if err := d.startEvents(ctx); err != nil {
		return nil, err
	}
	if err := d.play(ctx); err != nil {
		return nil, err
	}
	if err := d.awaitQuiet(ctx); err != nil {
		return nil, err
	}
	return d.view(), nil
}

// enable does what `starter sync enable` does for every direction.
func (d *demo) enable(ctx context.Context) error {
	answer := ledger.SyncChange{ExistingOptOuts: map[consent.Sync]ledger.OptOuts{}}
	for _, channel := range consent.Channels {
		run, err := workflows.StartBackfill(ctx, d.Client, d.stack.Settings.TaskQueue, sandboxMerchant, channel)
		if err != nil {
			return err
		}
		var read activities.BackfillResult
		if err := run.Get(ctx, &read); err != nil {
			return fmt.Errorf("read both sides: %w", err)
		}
		toShopify, toListrak := consent.SyncTo(channel, consent.Shopify), consent.SyncTo(channel, consent.Listrak)
		preview, err := d.Host.Engine.Preview(ctx, sandboxMerchant, toShopify)
		if err != nil {
			return err
		}
		d.note("\nSwitching %s on would create %d, subscribe %d, unsubscribe %d and leave %d people in Shopify as they are.", toShopify,
			preview.Create, preview.Subscribe, preview.Unsubscribe, preview.Leave)
		if preview, err = d.Host.Engine.Preview(ctx, sandboxMerchant, toListrak); err != nil {
			return err
		}
		d.note("Switching %s on looks forward only; %s from before will be delivered.", toListrak, count(preview.ExistingOptOuts, "opt-out", "opt-outs"))
		answer.ExistingOptOuts[toListrak] = ledger.OptOutsDeliver
	}
	if _, err := d.Host.Ledger.SetSyncs(ctx, sandboxMerchant, answer); err != nil {
		return err
	}
	for _, p := range d.people {
		if p.act == nil {
			p.since = d.now()
		}
	}
	_, err := workflows.SetSyncs(ctx, d.Client, sandboxMerchant, delta(consent.Syncs, true))
	return err
}

// demoTick is how often the demo looks at both sides, as an onlooker would.
const demoTick = 100 * time.Millisecond

// await waits until everybody whom which names is as the rules demand, and tells of each as it happens.
func (d *demo) await(ctx context.Context, which func(*demoPerson) bool) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	ticker := time.NewTicker(demoTick)
	defer ticker.Stop()
	for {
		open := 0
		for _, p := range d.people {
			if which(p) && !d.check(p) {
				open++
			}
		}
		if !d.checkMessages() {
			open++
		}
		if open == 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if context.Cause(ctx) == context.DeadlineExceeded {
				return nil // the tables show who does not agree
			}
			return ctx.Err()
		}
	}
}

// check looks at a person on both sides and notes when they first were as demanded.
func (d *demo) check(p *demoPerson) bool {
	if p.since.IsZero() {
		return false
	}
	d.look(p)
	if !p.asDemanded() {
		return false
	}
	if p.took == 0 {
		p.took = max(d.now().Sub(p.since), time.Millisecond)
		d.note("  ✓ %-5s %-5s %s: %s after %s", p.name, channelName(p.channel), p.story, p.outcome(), span(p.took))
	}
	return true
}

// awaitQuiet waits until everybody is as demanded and then a little longer: what we wrote comes back in the next reads, and must not
// be taken for anybody's decision.
func (d *demo) awaitQuiet(ctx context.Context) error {
	if err := d.await(ctx, func(*demoPerson) bool { return true }); err != nil {
		return err
	}
	if err := d.awaitRounds(ctx, demoQuietRounds); err != nil {
		return err
	}
	for _, p := range d.people {
		d.look(p)
	}
	d.checkMessages()
	return nil
}

// awaitRounds waits until that many more rounds have ended.
func (d *demo) awaitRounds(ctx context.Context, rounds int) error {
	var last consent.Instant
	ticker := time.NewTicker(demoTick)
	defer ticker.Stop()
	for seen := -1; seen < rounds; {
		statuses, err := d.Host.Ledger.RunStatuses(ctx, sandboxMerchant)
		if err != nil {
			return err
		}
		for _, status := range statuses {
			if status.Ended > last {
				last, seen = status.Ended, seen+1
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
