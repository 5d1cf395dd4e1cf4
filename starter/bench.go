package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/webhook"
	"github.com/concordsync/concord/internal/webhook/payload"
	"github.com/concordsync/concord/internal/webhook/webhooktest"
)

func newBenchCommand(a *app) *cobra.Command {
	return group("bench", "Measure how fast this machine is", "Measures on this machine, with throw-away ledgers. Nothing else is needed or touched.",
		newBenchFreshnessCommand(a), newBenchWebhooksCommand(a), newBenchEngagementCommand(a))
}

// webhookAnswer is what is promised: Shopify gives up after five seconds, and most must not come near.
const webhookAnswer = 250 * time.Millisecond

func newBenchWebhooksCommand(a *app) *cobra.Command {
	var rate int
	var length time.Duration
	c := &cobra.Command{
		Use: "webhooks", Short: "Measure how many webhooks a second the door takes", Args: arguments(0, 0),
		Long: `Opens a door over a throw-away ledger in a file, sends it signed orders that nobody waits for, at a steady rate, and shows how long the
answers took. The time of an answer counts from when the webhook was due, so a door that falls behind cannot hide it.

Exits with 0 when each was kept once and 99 of 100 were answered within 250 ms, else with 1.`,
		Example: "  starter bench webhooks\n  starter bench webhooks --rate 200 --for 10s --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case rate < 1 || rate > 100_000:
				return usageError("--rate must be from 1 to 100000 a second")
			case length < time.Second || length > time.Hour:
				return usageError("--for must be from 1s to 1h")
			}
			return a.benchWebhooks(cmd.Context(), rate, length)
		},
	}
	c.Flags().IntVar(&rate, "rate", 1000, "how many are sent a second")
	c.Flags().DurationVar(&length, "for", time.Minute, "for how long")
	return c
}

func (a *app) benchWebhooks(ctx context.Context, rate int, length time.Duration) (err error) {
	directory, err := os.MkdirTemp("", "concord-bench-")
	if err != nil {
		return fmt.Errorf("make a directory for the bench: %w", err)
	}
	defer func() { _ = os.RemoveAll(directory) }() // what remains is in the system's temporary directory
	h, err := host.Open(ctx, config.Settings{Ledger: config.DSN(sqliteScheme + filepath.Join(directory, "concord.db"))}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	settings, err := merchant.New(sandboxShop)
	if err != nil {
		return err
	}
	settings.EmailList, settings.Zone = sandboxList, sandboxZone
	if _, err := h.Merchants.Add(ctx, settings, merchant.Credentials{ShopifyClientID: sandboxAppID, ShopifyClientSecret: sandboxAppSecret,
		ListrakClientID: sandboxAPIID, ListrakClientSecret: sandboxAPISecret}); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for webhooks: %w", err)
	}
	door := webhook.New(webhook.Config{Inbox: h.Ledger, Merchants: h.Merchants, Keys: h.Keys, Teller: nobody{}, Log: h.Log})
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- door.Serve(serving, listener) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()

	v := &benchWebhooksView{Rate: rate, Seconds: length.Seconds()}
	load := webhooktest.Load{Rate: rate, Length: length, Sender: webhooktest.Sender{Door: "http://" + listener.Addr().String(),
		Merchant: settings.ID, Shop: settings.Shop, Secret: sandboxAppSecret}}
	load.Every = func(sent int) {
		if sent%(10*rate) == 0 {
			a.note("  %s sent", grouped(uint64(sent)))
			v.LiveMegabytes = append(v.LiveMegabytes, liveMegabytes())
		}
	}
	report, err := load.Run(ctx)
	if err != nil {
		return err
	}
	v.fill(report, door.Counts())
	if err := a.show(v); err != nil {
		return err
	}
	if !v.OK {
		return failedError("the door did not keep up: not each was kept once and answered, or 99 of 100 took longer than %s", span(webhookAnswer))
	}
	return nil
}

// liveMegabytes is what is in use after a collection.
func liveMegabytes() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc>>17) / 8
}

// nobody waits for anything in a bench.
type nobody struct{}

func (nobody) Order(context.Context, string, ledger.Held, string, time.Time) error { return nil }
func (nobody) Nudge(context.Context, string) error                                 { return nil }
func (nobody) Privacy(context.Context, string, string) error                       { return nil }

// benchWebhooksView is the answer of `starter bench webhooks`.
type benchWebhooksView struct {
	OK      bool    `json:"ok"`
	Rate    int     `json:"rate"`
	Seconds float64 `json:"seconds"`
	// TookSeconds is until the last answer.
	TookSeconds float64 `json:"took_seconds"`
	Sent        int     `json:"sent"`
	// Kept counts those that the ledger took as new, Refused those that were answered with anything else than 200.
	Kept    int64   `json:"kept"`
	Refused int     `json:"refused"`
	P50     float64 `json:"p50_ms"`
	P90     float64 `json:"p90_ms"`
	P99     float64 `json:"p99_ms"`
	Longest float64 `json:"longest_ms"`
	// LiveMegabytes is the memory in use after every ten seconds.
	LiveMegabytes []float64 `json:"live_megabytes,omitempty"`
}

func (v *benchWebhooksView) fill(r webhooktest.Report, counts map[webhook.Count]int64) {
	ms := func(part float64) float64 { return float64(r.Percentile(part).Microseconds()) / 1000 }
	v.TookSeconds, v.Sent, v.Refused = r.Took.Seconds(), r.Sent, r.Sent-r.Answers[200]
	v.P50, v.P90, v.P99, v.Longest = ms(0.5), ms(0.9), ms(0.99), ms(1)
	v.Kept = counts[webhook.Count{Topic: payload.TopicOrderCreate, Outcome: webhook.Kept}]
	v.OK = v.Refused == 0 && v.Kept == int64(v.Sent) && r.Percentile(0.99) <= webhookAnswer
}

func (v *benchWebhooksView) text(p *page) {
	p.line("%s webhooks, %d a second, took %s", grouped(uint64(v.Sent)), v.Rate, span(time.Duration(v.TookSeconds*float64(time.Second))))
	p.table("  ", [][]string{
		{"KEPT", "REFUSED", "P50", "P90", "P99", "LONGEST"},
		{grouped(uint64(v.Kept)), strconv.Itoa(v.Refused), milliseconds(v.P50), milliseconds(v.P90), milliseconds(v.P99), milliseconds(v.Longest)},
	})
	if len(v.LiveMegabytes) > 0 {
		p.line("  Memory in use after every ten seconds, in MB: %v", v.LiveMegabytes)
	}
}

func milliseconds(ms float64) string { return strconv.FormatFloat(ms, 'f', 1, 64) + " ms" }
