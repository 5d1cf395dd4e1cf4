// Command worker runs Concord's workflows and activities. Any number of workers may share a Temporal server and a PostgreSQL
// ledger; with an embedded SQLite ledger there is one.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", telemetry.Redact(err.Error()))
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	settings, err := config.Load()
	if err != nil {
		return err
	}
	logger := telemetry.NewLogger(os.Stderr, settings.LogLevel, settings.LogFormat)
	h, err := host.Open(ctx, settings, logger, func(sentence string) { logger.Warn(sentence) })
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := h.Close(); err == nil {
			err = closeErr
		}
	}()
	temporal, err := host.DialTemporal(ctx, logger, nil)
	if err != nil {
		return err
	}
	defer temporal.Close()
	logger.Info("Worker started", "task_queue", settings.TaskQueue, "ledger", settings.Ledger.String())
	w := h.Worker(temporal)
	h.ScheduleWebhooks(ctx, temporal)
	return w.Run(interrupt(ctx))
}

// interrupt turns the end of ctx into what a Temporal worker waits for.
func interrupt(ctx context.Context) <-chan interface{} {
	channel := make(chan interface{})
	context.AfterFunc(ctx, func() { close(channel) })
	return channel
}
