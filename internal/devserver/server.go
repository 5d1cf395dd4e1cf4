// Package devserver runs a real Temporal server on this machine for `starter dev`, the demo and the tests: the Temporal CLI's
// development server as a child process, on free ports, ready with the search attributes that the workflows need. It is for one
// machine and one person; a production worker connects to a Temporal that others run.
package devserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

const (
	// DefaultNamespace is the namespace that the development server always has.
	DefaultNamespace = "default"

	startLimit  = 2 * time.Minute
	startPoll   = 50 * time.Millisecond
	callTimeout = 5 * time.Second
	// portTries bounds how often Start asks for other ports after somebody else took them between our look and the child's.
	portTries = 5
	// stopLimit is what the server gets to stop in order; one second is usual, and SQLite survives a kill.
	stopLimit = 10 * time.Second

	host = "127.0.0.1"
)

// SearchAttributes returns what Concord's workflows are found by. Starting a workflow with an attribute that is not registered
// fails, so Start registers them, and whoever runs another Temporal must (docker-compose.yml does).
func SearchAttributes() map[string]enums.IndexedValueType {
	return map[string]enums.IndexedValueType{
		"MerchantId":    enums.INDEXED_VALUE_TYPE_KEYWORD,
		"SyncTypes":     enums.INDEXED_VALUE_TYPE_KEYWORD_LIST,
		"MerchantState": enums.INDEXED_VALUE_TYPE_KEYWORD,
	}
}

// Options of a local server. The zero value is a server in memory, without Web UI, on a free port.
type Options struct {
	// Database is the SQLite file that keeps the server's state over restarts; its directory must exist. Empty keeps everything
	// in memory, for tests.
	Database string
	// UI serves Temporal's Web UI; see Server.UIURL.
	UI bool
	// Port and UIPort are what the frontend and the UI listen on, on 127.0.0.1. Zero takes any free port. With a number Start
	// fails when it is taken.
	Port, UIPort int
	// Namespace is made when the server does not have it. Empty means DefaultNamespace.
	Namespace string
	// SearchAttributes are registered beside those of Concord.
	SearchAttributes map[string]enums.IndexedValueType
	// DynamicConfig sets values of Temporal's dynamic configuration, each as JSON, such as "limit.historyCount.suggestContinueAsNew": "200".
	DynamicConfig map[string]string
	// Log takes the server's own output. Nil drops it but for the lines that an error shows.
	Log io.Writer
	// Progress takes what a person should see while the CLI is built for the first time. Nil for silence.
	Progress io.Writer
}

// Server is a running local server. Stop it, or on Linux die, and it ends.
type Server struct {
	address   string
	uiURL     string
	namespace string
	command   *exec.Cmd
	stdout    *tail
	output    *tail
	exited    chan struct{}
	exitErr   error // valid when exited is closed

	stopping sync.Once
	mu       sync.Mutex
	stopped  bool
}

// Start finds or builds the CLI, starts the server and returns when it answers, the namespace exists and the search attributes
// are registered. ctx bounds only the start, not the server's life. An error shows the last lines of the server's output.
func Start(ctx context.Context, options Options) (*Server, error) {
	if options.Namespace == "" {
		options.Namespace = DefaultNamespace
	}
	for name, value := range options.DynamicConfig {
		if !json.Valid([]byte(value)) {
			return nil, fmt.Errorf("start the local Temporal server: the dynamic configuration %s is %q, which is not JSON", name, value)
		}
	}
	cli, err := EnsureCLI(ctx, options.Progress)
	if err != nil {
		return nil, fmt.Errorf("start the local Temporal server: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for try := 1; ; try++ {
		server, err := startOnce(ctx, cli, options)
		if err == nil {
			return server, nil
		}
		if try == portTries || !errors.Is(err, errPortTaken) || options.Port != 0 || options.UIPort != 0 {
			return nil, fmt.Errorf("start the local Temporal server: %w", err)
		}
	}
}

var (
	errPortTaken = errors.New("a port is taken by another program")
	errOtherType = errors.New("a search attribute has another type")
)

func startOnce(ctx context.Context, cli string, options Options) (*Server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	port, uiPort := options.Port, options.UIPort
	if port == 0 {
		port = ports[0]
	}
	if uiPort == 0 {
		uiPort = ports[1]
	}

	output := &tail{pass: options.Log}
	server := &Server{
		address:   net.JoinHostPort(host, strconv.Itoa(port)),
		namespace: options.Namespace,
		stdout:    &tail{pass: output},
		output:    output,
		exited:    make(chan struct{}),
	}
	if options.UI {
		server.uiURL = "http://" + net.JoinHostPort(host, strconv.Itoa(uiPort))
	}
	server.command = exec.Command(cli, arguments(options, port, uiPort)...)
	server.command.Env = serverEnvironment()
	server.command.Stdout, server.command.Stderr = server.stdout, output
	server.command.SysProcAttr = childAttributes()
	server.command.WaitDelay = time.Second
	if err := server.run(); err != nil {
		return nil, fmt.Errorf("run %s: %w", cli, err)
	}
	if err := server.ready(ctx, options); err != nil {
		if stopErr := server.Stop(); stopErr != nil {
			err = errors.Join(err, stopErr)
		}
		if server.output.contains("address already in use") {
			err = fmt.Errorf("%w: %w", errPortTaken, err)
		}
		return nil, err
	}
	return server, nil
}

func arguments(options Options, port, uiPort int) []string {
	// Temporal's warnings of a normal start and stop (a poller that lost its connection) would bury what matters.
	arguments := []string{"server", "start-dev", "--ip", host, "--port", strconv.Itoa(port), "--log-level", "error"}
	if options.UI {
		arguments = append(arguments, "--ui-port", strconv.Itoa(uiPort))
	} else {
		arguments = append(arguments, "--headless")
	}
	if options.Database != "" {
		// SQLite's defaults sync the disk several times a task; with a write-ahead log a power cut costs at most the last tasks,
		// and never the file.
		arguments = append(arguments, "--db-filename", options.Database,
			"--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL")
	}
	if options.Namespace != DefaultNamespace {
		arguments = append(arguments, "--namespace", options.Namespace)
	}
	for name, value := range options.DynamicConfig {
		arguments = append(arguments, "--dynamic-config-value", name+"="+value)
	}
	return arguments
}

// serverEnvironment is ours without what configures Temporal's clients: a TEMPORAL_ADDRESS, or the operator's own environments
// and profiles in the home directory, have no business in a local server. Nor have our settings, among which are the master key and
// a merchant's secrets. The CLI also leaves a file with a cluster id at home; it goes to our cache directory.
func serverEnvironment() []string {
	environment := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "TEMPORAL_") || strings.HasPrefix(variable, "CONCORD_")
	})
	if cache, err := os.UserCacheDir(); err == nil {
		home := filepath.Join(cache, "concord", "temporal-home")
		environment = append(environment, "HOME="+home, "XDG_CONFIG_HOME="+home)
	}
	return environment
}

// run starts the child and watches it until its end. Both happen on one locked thread, since the kernel's death signal follows
// the thread that started the child, and Go may end an idle one at any time.
func (s *Server) run() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := s.command.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		s.exitErr = s.command.Wait()
		close(s.exited)
	}()
	return <-started
}

// ready waits until the server that answers at the address is ours, and can be used.
func (s *Server) ready(ctx context.Context, options Options) error {
	temporal, err := client.NewLazyClient(client.Options{HostPort: s.address, Namespace: s.namespace, Logger: silent{}})
	if err != nil {
		return fmt.Errorf("make a client for %s: %w", s.address, err)
	}
	defer temporal.Close()

	steps := []func(context.Context) error{
		s.listening,
		func(ctx context.Context) error {
			_, err := temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
			return err
		},
		func(ctx context.Context) error { return s.register(ctx, temporal, options.SearchAttributes) },
	}
	ticker := time.NewTicker(startPoll)
	defer ticker.Stop()
	for len(steps) > 0 {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		err := steps[0](call)
		cancel()
		if err == nil {
			steps = steps[1:]
			continue
		}
		if errors.Is(err, errOtherType) {
			return err
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the server ended while it started (%w); its last lines:\n%s", s.end(), s.output)
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready after the time allowed: %w (last: %w); its last lines:\n%s", ctx.Err(), err, s.output)
		case <-ticker.C:
		}
	}
	return nil
}

// listening asks whether the child has announced its address. Health alone would not do: when another program's server took the
// port first, that one answers while ours is about to end.
func (s *Server) listening(context.Context) error {
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	if !s.stdout.contains("localhost:"+port) && !s.stdout.contains(s.address) {
		return errors.New("the server has not announced its address")
	}
	return nil
}

// register adds the search attributes that the namespace lacks. A database file of an earlier run has them already, and the
// CLI's own --search-attribute flag only reaches a namespace that it makes.
func (s *Server) register(ctx context.Context, temporal client.Client, more map[string]enums.IndexedValueType) error {
	operator := temporal.OperatorService()
	known, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: s.namespace})
	if err != nil {
		return fmt.Errorf("list search attributes: %w", err)
	}
	missing := SearchAttributes()
	for name, kind := range more {
		missing[name] = kind
	}
	for name, kind := range known.GetCustomAttributes() {
		if want, ours := missing[name]; ours && want != kind {
			return fmt.Errorf("%w: %s is %s, and %s is needed. Use another database file, or remove the attribute with "+
				"`temporal operator search-attribute remove`", errOtherType, name, kind, want)
		}
		delete(missing, name)
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = operator.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: s.namespace, SearchAttributes: missing,
	})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("register search attributes: %w", err)
	}
	return nil
}

// Address is the host and port of the frontend, as client.Options.HostPort takes it.
func (s *Server) Address() string { return s.address }

// UIURL is the address of the Web UI, empty when the server runs without one.
func (s *Server) UIURL() string { return s.uiURL }

// Namespace is the namespace that Start made ready.
func (s *Server) Namespace() string { return s.namespace }

// Done is closed when the server's process has ended, asked or not.
func (s *Server) Done() <-chan struct{} { return s.exited }

// Err is nil while the server runs and after an orderly Stop; when the process ended by itself it says how, with its last lines.
func (s *Server) Err() error {
	select {
	case <-s.exited:
	default:
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	return fmt.Errorf("the local Temporal server ended by itself (%w); its last lines:\n%s", s.end(), s.output)
}

// end says how the process ended. Only for when exited is closed.
func (s *Server) end() error {
	if s.exitErr != nil {
		return s.exitErr
	}
	return errors.New("exit status 0")
}

// Stop asks the server to stop, kills it when it has not after ten seconds, and returns when its process is gone. It may be
// called more than once. Its error means that the process may still be there.
func (s *Server) Stop() error {
	s.stopping.Do(func() {
		select {
		case <-s.exited:
			return
		default:
		}
		s.mu.Lock()
		s.stopped = true
		s.mu.Unlock()
		if err := s.command.Process.Signal(os.Interrupt); err != nil {
			// Windows has no interrupt for another process.
			_ = s.command.Process.Kill()
		}
		timer := time.AfterFunc(stopLimit, func() { _ = s.command.Process.Kill() })
		defer timer.Stop()
		select {
		case <-s.exited:
		case <-time.After(2 * stopLimit):
		}
	})
	select {
	case <-s.exited:
		return nil
	default:
		return fmt.Errorf("stop the local Temporal server: process %d is still there; end it by hand", s.command.Process.Pid)
	}
}

// freePorts finds ports that nobody listens on. They are held together while looking, so that they differ.
func freePorts(count int) ([]int, error) {
	ports := make([]int, 0, count)
	for range count {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// silent drops the client's own log while the server starts: refused connections are what the polling expects.
type silent struct{}

var _ log.Logger = silent{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
