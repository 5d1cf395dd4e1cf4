package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"golang.org/x/term"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/telemetry"
)

// app is one run of the command line: what it reads and writes, the flags that every verb has, and what was opened on the way.
type app struct {
	in          io.Reader
	out, errOut io.Writer
	// asks tells that a person sits at in and can be asked.
	asks bool
	env  func(string) string
	load func() (config.Settings, error)
	now  func() time.Time
	// dialTimeout bounds reaching Temporal, and answerTimeout an answer of a worker: longer than it takes to miss one that has died
	// with the work in its hands (a heartbeat, 20 s, and 5 s until its workflow is given to another).
	dialTimeout, answerTimeout time.Duration

	output outputFormat
	data   string

	settingsRead *config.Settings
	hostOpened   *host.Host
	temporalOpen client.Client
}

// newApp is the app of a real process.
func newApp() *app {
	return &app{
		in: os.Stdin, out: os.Stdout, errOut: os.Stderr, env: os.Getenv, load: config.Load, now: time.Now,
		asks:        term.IsTerminal(int(os.Stdin.Fd())),
		dialTimeout: 5 * time.Second, answerTimeout: 45 * time.Second,
	}
}

// execute runs one command line and returns its exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	err := root.ExecuteContext(ctx)
	if closeErr := a.close(); err == nil {
		err = closeErr
	}
	if err != nil {
		a.report(ctx, err)
	}
	return exitCode(ctx, err)
}

// close closes what the verbs have opened.
func (a *app) close() error {
	if a.temporalOpen != nil {
		a.temporalOpen.Close()
		a.temporalOpen = nil
	}
	if a.hostOpened == nil {
		return nil
	}
	h := a.hostOpened
	a.hostOpened = nil
	return h.Close()
}

const rootHelp = `Concord keeps marketing consent, by email and by SMS, in agreement between a Shopify store and a Listrak account.

Try it on this machine:      starter demo
Run it on this machine:      starter dev
Set a real merchant up:      starter merchant add --help
Check the rules yourself:    starter simulate

A merchant is named by its id or its shop (acme or acme.myshopify.com). Where there is only one, it may be left out.
Secrets are read from the environment or from standard input, never from flags. Settings are environment variables:
see "starter config". Every verb can answer in JSON (--output json); all times are in UTC.

Exit codes:
  0    done, and nothing is wrong
  1    it failed, or a check found something wrong
  2    wrong usage: an unknown verb, flag, merchant, list or sync, a malformed address, a missing or wrong setting
  3    not reachable: Temporal, a worker, the ledger, Shopify or Listrak; trying again later may help
  4    refused, or a person must act: credentials, permissions, keys, a list that is taken, a question not answered with yes
  130  interrupted`

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use: "starter", Short: "Keeps marketing consent in agreement between Shopify and Listrak", Long: rootHelp,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown verb %q", args[0]).try("`starter help` lists the verbs")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().VarP(&a.output, "output", "o", "how to answer: text or json")
	root.PersistentFlags().StringVar(&a.data, "data", a.data,
		"`DIRECTORY` of the local ledger, used when CONCORD_LEDGER is not set (default: concord in the user's data directory)")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError("%s", err).try("`%s --help` shows its flags", cmd.CommandPath())
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newDevCommand(a), newDemoCommand(a), newMerchantCommand(a), newSyncCommand(a), newStatusCommand(a),
		newExplainCommand(a), newRefusedCommand(a), newRetryCommand(a), newApproveCommand(a), newConfigCommand(a), newKeyCommand(a),
		newSimulateCommand(a), newBenchCommand(a), newRedactCommand(a), newExportCommand(a), newPrivacyCommand(a), newEventsCommand(a))
	return root
}

// group is a verb that only has verbs below it.
func group(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: long,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown verb %q after `%s`", args[0], cmd.CommandPath()).try("`%s --help` lists the verbs", cmd.CommandPath())
			}
			return cmd.Help()
		},
	}
	c.AddCommand(commands...)
	return c
}

// arguments wraps cobra's check of the number of arguments, whose text says neither what is missing nor where to look.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usageError("something is missing: %s", cmd.UseLine()).try("`%s --help`", cmd.CommandPath())
		case most >= 0 && len(args) > most:
			return usageError("too many arguments: %s", cmd.UseLine()).try("`%s --help`", cmd.CommandPath())
		}
		return nil
	}
}

// settings reads our settings, once, with --data and a running `starter dev` taken into account.
func (a *app) settings() (config.Settings, error) {
	if a.settingsRead != nil {
		return *a.settingsRead, nil
	}
	s, err := a.load()
	if err != nil {
		return config.Settings{}, usageError("%w", err).try("set it to what is allowed, or unset it for the default")
	}
	if a.data != "" && a.env("CONCORD_LEDGER") == "" {
		if err := os.MkdirAll(a.data, 0o700); err != nil {
			return config.Settings{}, usageError("make the directory of --data: %w", err)
		}
		s.Ledger = config.DSN(sqliteScheme + filepath.Join(a.data, "concord.db"))
	}
	if a.data != "" && a.env("CONCORD_EXPORT_DIRECTORY") == "" {
		s.ExportDirectory = filepath.Join(a.data, "exports")
	}
	if running, ok := a.runningDev(); ok {
		if a.env("CONCORD_LEDGER") == "" && strings.HasPrefix(running.Ledger, sqliteScheme) {
			s.Ledger = config.DSN(running.Ledger)
		}
		if a.env("CONCORD_TASK_QUEUE") == "" {
			s.TaskQueue = running.TaskQueue
		}
		if s.PublicURL == "" {
			s.PublicURL = running.PublicURL
		}
	}
	a.settingsRead = &s
	return s, nil
}

// dataDirectory is where `starter dev` keeps its files.
func (a *app) dataDirectory() (string, error) {
	if a.data != "" {
		return filepath.Abs(a.data)
	}
	return config.DataDirectory()
}

// logger logs what goes wrong in libraries; a verb's own answer goes to out.
func (a *app) logger(s config.Settings) *slog.Logger {
	level := s.LogLevel
	if a.env("CONCORD_LOG_LEVEL") == "" {
		level = slog.LevelError
	}
	return telemetry.NewLogger(a.errOut, level, s.LogFormat)
}

// host opens the ledger, once.
func (a *app) host(ctx context.Context) (*host.Host, error) {
	if a.hostOpened != nil {
		return a.hostOpened, nil
	}
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	h, err := host.Open(ctx, s, a.logger(s), func(sentence string) { a.note("%s", sentence) })
	if err != nil {
		return nil, err
	}
	a.hostOpened = h
	return h, nil
}

// note tells a person something beside the answer.
func (a *app) note(format string, args ...any) {
	// Nobody can be told that standard error is closed.
	_, _ = fmt.Fprintf(a.errOut, format+"\n", args...)
}

// ask asks a person to agree. Where nobody can be asked it fails and names --yes.
func (a *app) ask(ctx context.Context, question string) error {
	if !a.asks {
		return refusedError("this asks for a yes, and standard input is not a terminal").try("give --yes to agree beforehand")
	}
	_, _ = fmt.Fprintf(a.errOut, "%s [y/N] ", question)
	answer, err := a.readLine(ctx)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(answer) {
	case "y", "yes":
		return nil
	}
	return refusedError("not done: the answer was not yes")
}

// readLine reads one line, until ctx ends: a read of a terminal does not notice an interrupt. The read that is left behind ends with
// the process.
func (a *app) readLine(ctx context.Context) (string, error) {
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := readLine(a.in)
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// readLine reads one line without taking more from in than that.
func readLine(in io.Reader) (string, error) {
	var line strings.Builder
	one := make([]byte, 1)
	for line.Len() < 4096 {
		n, err := in.Read(one)
		if n == 1 {
			if one[0] == '\n' {
				break
			}
			line.WriteByte(one[0])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return strings.TrimSpace(line.String()), nil
}
