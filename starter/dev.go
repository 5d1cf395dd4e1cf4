package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/ledger"
)

// The ports that dev takes when they are free: those of the Temporal CLI, and one for the sandbox. Steady addresses survive a
// restart in bookmarks and in the sandbox merchant's settings.
const (
	devPort        = 7233
	devUIPort      = 8233
	devSandboxPort = 8344
)

type devFlags struct {
	port, uiPort, sandboxPort int
	noSandbox                 bool
}

// newDevCommand is `starter dev`.
func newDevCommand(a *app) *cobra.Command {
	var flags devFlags
	c := &cobra.Command{
		Use: "dev", Short: "Start everything on this machine: Temporal with its Web UI, a sandbox of both sides, a worker",
		Long: `Starts everything in one process: a local Temporal server with its Web UI and a database file, a sandbox that plays one
Shopify store and one Listrak account with an email list and SMS, and a worker. The sandbox becomes a merchant with every sync off.

Other starter processes of this user find it by themselves, unless a TEMPORAL_ variable names another server.
It runs until Ctrl-C. Temporal's state and the ledger are kept; the sandbox forgets everybody.`,
		Example: "  starter dev\n  starter dev --no-sandbox --data ./local",
		Args:    arguments(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.dev(cmd.Context(), flags) },
	}
	c.Flags().IntVar(&flags.port, "port", 0, fmt.Sprintf("`PORT` of Temporal (default %d, or any free one when that is taken)", devPort))
	c.Flags().IntVar(&flags.uiPort, "ui-port", 0, fmt.Sprintf("`PORT` of Temporal's Web UI (default %d, or any free one)", devUIPort))
	c.Flags().IntVar(&flags.sandboxPort, "sandbox-port", 0, fmt.Sprintf("`PORT` of the sandbox (default %d, or any free one)", devSandboxPort))
	c.Flags().BoolVar(&flags.noSandbox, "no-sandbox", false, "leave the sandbox and its merchant out")
	return c
}

func (a *app) dev(ctx context.Context, flags devFlags) (err error) {
	for name, port := range map[string]int{"--port": flags.port, "--ui-port": flags.uiPort, "--sandbox-port": flags.sandboxPort} {
		if port < 0 || port > 65535 {
			return usageError("%s must be from 1 to 65535, or 0 for the default", name)
		}
	}
	directory, err := a.dataDirectory()
	if err != nil {
		return usageError("find the data directory: %w", err).try("name one with --data")
	}
	lock, err := lockData(ctx, directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	settings, err := a.settings()
	if err != nil {
		return err
	}
	a.note("Starting …")
	options := stackOptions{
		Settings: settings, TemporalDatabase: filepath.Join(directory, "temporal.db"), UI: true,
		Port: portOr(flags.port, devPort), UIPort: portOr(flags.uiPort, devUIPort), SandboxPort: portOr(flags.sandboxPort, devSandboxPort),
		NoSandbox: flags.noSandbox, Log: a.logger(settings), Progress: a.errOut, Notice: func(sentence string) { a.note("%s", sentence) },
	}
	s, err := startStack(ctx, options)
	if err != nil && strings.Contains(err.Error(), "address already in use") {
		// Somebody took a usual port between our look and the start; any other one will do. Those that were asked for stay.
		options.Port, options.UIPort, options.SandboxPort = flags.port, flags.uiPort, flags.sandboxPort
		s, err = startStack(ctx, options)
	}
	if err != nil {
		return err
	}
	defer func() {
		a.note("Stopping …")
		err = errors.Join(err, s.Stop())
	}()
	if !flags.noSandbox {
		if err := s.AddSandboxMerchant(ctx, nil); err != nil {
			return err
		}
	}
	running := devRuntime{
		PID: os.Getpid(), Temporal: s.Temporal.Address(), Namespace: s.Temporal.Namespace(), UI: s.Temporal.UIURL(),
		TaskQueue: settings.TaskQueue, Ledger: shownLedger(settings.Ledger),
	}
	if s.Sandbox != nil {
		running.Sandbox, running.PublicURL = s.Sandbox.ControlURL(), s.Host.Subscriptions.PublicURL
	}
	remove, err := publish(directory, running)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if err := a.show(a.devStarted(ctx, s, directory)); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-s.Temporal.Done():
		return failedError("%w", s.Temporal.Err())
	}
}

// portOr takes the port asked for; without one the usual port if it is free, else any.
func portOr(asked, usual int) int {
	if asked != 0 {
		return asked
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(usual)))
	if err != nil {
		return 0
	}
	if listener.Close() != nil {
		return 0
	}
	return usual
}

// devView is what `starter dev` says once everything runs.
type devView struct {
	WebUI           string `json:"web_ui"`
	TemporalAddress string `json:"temporal_address"`
	TaskQueue       string `json:"task_queue"`
	Ledger          string `json:"ledger"`
	DataDirectory   string `json:"data_directory"`
	Sandbox         string `json:"sandbox,omitempty"`
	SandboxControl  string `json:"sandbox_control,omitempty"`
	Merchant        string `json:"merchant,omitempty"`
	// Webhooks is where webhooks are taken: of the sandbox's merchant, or without one of any, whose id ends the address.
	Webhooks string `json:"webhooks"`
	// Events is where email and SMS events are pushed to, in the same way.
	Events string `json:"events"`

	prefix  string
	syncsOn bool
}

func (a *app) devStarted(ctx context.Context, s *stack, directory string) *devView {
	v := &devView{
		WebUI: s.Temporal.UIURL(), TemporalAddress: s.Temporal.Address(), TaskQueue: s.Settings.TaskQueue,
		Ledger: s.Settings.Ledger.String(), DataDirectory: directory, prefix: program(),
	}
	if a.data != "" {
		v.prefix += " --data " + a.data
	}
	v.Webhooks, v.Events = s.WebhookURL("MERCHANT"), s.EventsURL("MERCHANT")
	if s.Sandbox != nil {
		v.Webhooks, v.Events = s.WebhookURL(sandboxMerchant), s.EventsURL(sandboxMerchant)
		v.SandboxControl, v.Merchant = s.Sandbox.ControlURL(), sandboxMerchant
		v.Sandbox = strings.TrimSuffix(v.SandboxControl, "/control") + "/"
		if switches, err := s.Host.Ledger.Switches(ctx, sandboxMerchant); err == nil {
			v.syncsOn = len(syncsOn(switches)) > 0
		}
	}
	return v
}

// program is how this program can be called again: by go run its own path is gone when it ends.
func program() string {
	path, err := os.Executable()
	if err != nil || strings.Contains(path, string(filepath.Separator)+"go-build") {
		return "go run ./starter"
	}
	if found, err := exec.LookPath(filepath.Base(path)); err == nil && found == path {
		return filepath.Base(path)
	}
	return path
}

func (v *devView) text(p *page) {
	p.line("Concord runs on this machine. Ctrl-C stops it.")
	p.line("")
	p.facts("  ", "Temporal's Web UI", v.WebUI, "Temporal", v.TemporalAddress+", task queue "+v.TaskQueue, "Ledger", v.Ledger, "Webhooks", v.Webhooks,
		"Events", v.Events, "Sandbox", v.Sandbox, "", noteIf(v.Sandbox != "", "(says with curl how to act as a person there; it forgets everybody when this ends)"))
	p.line("")
	p.line("In another terminal, with nothing to export:")
	p.line("")
	if v.Merchant == "" {
		p.line("  %s merchant add --help", v.prefix)
		p.line("  %s merchant list", v.prefix)
		return
	}
	p.line("  %s merchant check", v.prefix)
	if !v.syncsOn {
		p.line("  %s sync enable email_to_shopify email_to_listrak sms_to_shopify sms_to_listrak --yes", v.prefix)
	}
	p.line("  curl -X POST %s/lists/%d/subscribe -d '{\"email\":\"ann@example.com\"}'", v.SandboxControl, sandboxList)
	p.line("  curl -X POST %s/sms/%d/subscribe -d '{\"phone\":\"+15550001111\"}'", v.SandboxControl, sandboxPhones)
	p.line("  %s status", v.prefix)
	p.line("  %s explain ann@example.com", v.prefix)
}

func noteIf(when bool, text string) string {
	if when {
		return text
	}
	return ""
}

// syncsOn names the syncs that are on, sorted.
func syncsOn(switches ledger.Switches) []string {
	on := []string{}
	for sync, s := range switches.Syncs {
		if s.On {
			on = append(on, string(sync))
		}
	}
	slices.Sort(on)
	return on
}
