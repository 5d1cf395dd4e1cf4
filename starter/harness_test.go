package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/devserver"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"

	"go.temporal.io/sdk/client"
)

// temporalServer is shared by all tests of this binary; each has a task queue and merchants of its own.
var temporalServer *devserver.Server

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var err error
	temporalServer, err = devserver.Start(ctx, devserver.Options{Progress: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, "start Temporal:", err)
		return 1
	}
	defer func() { _ = temporalServer.Stop() }() // the process ends with it
	return m.Run()
}

var numbers atomic.Int64

// desk is a place where one person works: a data directory, an environment, and both sides as a sandbox.
type desk struct {
	t    *testing.T
	data string
	env  map[string]string
	// settings are what the environment's settings would be.
	settings config.Settings
	stdin    string
	// asks: somebody sits at the terminal.
	asks bool
	now  func() time.Time

	sandbox  *sandbox.Sandbox
	shop     *shop.Store
	list     *list.Store
	shopName string
	listID   int
	id       string
}

const (
	testSecret = "not-a-real-secret"
	testZone   = "America/New_York"
)

// newDesk makes a desk whose Temporal is a server that is not there.
func newDesk(t *testing.T) *desk {
	t.Helper()
	number := numbers.Add(1)
	d := &desk{t: t, data: t.TempDir(), id: fmt.Sprintf("store-%d", number), listID: int(1000 + number), now: time.Now}
	d.shopName = d.id + ".myshopify.com"
	d.settings = config.Settings{
		Ledger: config.DSN("sqlite:" + filepath.Join(d.data, "concord.db")), TaskQueue: d.id, Interval: time.Second,
		RoundLimit: 20 * time.Second, CheckoutWindow: 6 * time.Second, OrderLag: time.Second, MaxHeld: 500, ListComparison: time.Hour,
		CallTimeout: 2 * time.Second, ClaimLease: 3 * time.Second, RunLease: 25 * time.Second, LogFormat: "text",
		EventLookBack: 720 * time.Hour, OptOutRetention: time.Hour, ExportDirectory: filepath.Join(d.data, "exports"),
	}
	var err error
	d.sandbox, err = sandbox.Start(sandbox.Options{Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(d.sandbox.Close)
	zone, err := time.LoadLocation(testZone)
	must(t, err)
	d.shop = d.sandbox.AddShop(shop.Config{Domain: d.shopName, ClientID: "app", ClientSecret: testSecret})
	d.list = d.sandbox.AddList(list.Config{
		ID: d.listID, Name: "Newsletter", ClientID: "integration", Secret: testSecret, Zone: zone,
		Events: []list.Event{{ID: 11, Name: "Marketing"}, {ID: 22, Name: "Checkout"}, {ID: 33, Name: "Old", Status: list.EventBlocked}},
	})
	d.env = map[string]string{
		merchant.EnvShopifyClientID: "app", merchant.EnvShopifyClientSecret: testSecret,
		merchant.EnvListrakClientID: "integration", merchant.EnvListrakClientSecret: testSecret,
		"TEMPORAL_ADDRESS": "",
	}
	// Nothing listens on port 1, so Temporal is missing until withTemporal names a real one.
	d.publish("127.0.0.1:1")
	return d
}

// publish leaves what a running dev leaves.
func (d *desk) publish(temporal string) {
	d.t.Helper()
	if _, err := os.Stat(filepath.Join(d.data, runtimeFile)); err != nil {
		lock, err := lockData(d.t.Context(), d.data)
		must(d.t, err)
		d.t.Cleanup(func() { _ = lock.Close() })
	}
	_, err := publish(d.data, devRuntime{Temporal: temporal, Namespace: devserver.DefaultNamespace, TaskQueue: d.id,
		Ledger: d.settings.Ledger.Reveal()})
	must(d.t, err)
}

// withTemporal makes the tests' server the one that the verbs find.
func (d *desk) withTemporal() *desk {
	d.t.Helper()
	d.publish(temporalServer.Address())
	return d
}

// work runs a worker beside the verbs, with the same SQLite ledger, until the test ends.
func (d *desk) work() *desk {
	d.t.Helper()
	logger := slog.New(slog.DiscardHandler)
	c, err := client.Dial(client.Options{HostPort: temporalServer.Address(), Logger: host.TemporalLogger(logger)})
	must(d.t, err)
	d.t.Cleanup(c.Close)
	h, err := host.Open(d.t.Context(), d.settings, logger, nil)
	must(d.t, err)
	d.t.Cleanup(func() { must(d.t, h.Close()) })
	w := h.Worker(c)
	must(d.t, w.Start())
	d.t.Cleanup(w.Stop)
	return d
}

// answer is what one command line came to.
type answer struct {
	t        *testing.T
	line     string
	code     int
	out, err string
}

// app is the app of one command line.
func (d *desk) app(out, errOut io.Writer) *app {
	return &app{
		in: strings.NewReader(d.stdin), out: out, errOut: errOut, asks: d.asks, now: d.now, data: d.data,
		env:  func(name string) string { return d.env[name] },
		load: func() (config.Settings, error) { return d.settings, d.settings.Validate() },
		// An activity that a stopping worker took with it is missed after its heartbeat, 20 s.
		dialTimeout: 5 * time.Second, answerTimeout: time.Minute,
	}
}

// run runs one command line.
func (d *desk) run(args ...string) *answer {
	d.t.Helper()
	var out, errOut bytes.Buffer
	code := d.app(&out, &errOut).execute(d.t.Context(), args)
	return &answer{d.t, strings.Join(args, " "), code, out.String(), errOut.String()}
}

// is checks the exit code.
func (r *answer) is(code int) *answer {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("starter %s exited %d, want %d\nstdout:\n%s\nstderr:\n%s", r.line, r.code, code, r.out, r.err)
	}
	return r
}

// says checks that standard output holds all pieces.
func (r *answer) says(pieces ...string) *answer {
	r.t.Helper()
	for _, piece := range pieces {
		if !strings.Contains(r.out, piece) {
			r.t.Fatalf("starter %s does not say %q\nstdout:\n%s\nstderr:\n%s", r.line, piece, r.out, r.err)
		}
	}
	return r
}

// tells checks that standard error holds all pieces.
func (r *answer) tells(pieces ...string) *answer {
	r.t.Helper()
	for _, piece := range pieces {
		if !strings.Contains(r.err, piece) {
			r.t.Fatalf("starter %s does not tell %q\nstdout:\n%s\nstderr:\n%s", r.line, piece, r.out, r.err)
		}
	}
	return r
}

// hides checks that neither stream holds any of the pieces.
func (r *answer) hides(pieces ...string) *answer {
	r.t.Helper()
	for _, piece := range pieces {
		if strings.Contains(r.out+r.err, piece) {
			r.t.Fatalf("starter %s shows %q\nstdout:\n%s\nstderr:\n%s", r.line, piece, r.out, r.err)
		}
	}
	return r
}

// json reads the answer into v; a field that v does not know fails, so that the fields stay as documented.
func (r *answer) json(v any) {
	r.t.Helper()
	decoder := json.NewDecoder(strings.NewReader(r.out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		r.t.Fatalf("starter %s: %v\nstdout:\n%s", r.line, err, r.out)
	}
}

// fields are the names of a JSON object's fields, sorted, and below them those of objects inside.
func (r *answer) fields() []string {
	r.t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(r.out), &object); err != nil {
		r.t.Fatalf("starter %s: %v\nstdout:\n%s", r.line, err, r.out)
	}
	return fieldsOf("", object)
}

// addArgs are the arguments that add the desk's merchant.
func (d *desk) addArgs(more ...string) []string {
	return append([]string{
		"merchant", "add", d.shopName, "--list", fmt.Sprint(d.listID), "--zone", testZone, "--marketing-event", "11", "--checkout-event", "22",
		"--shopify-url", d.sandbox.ShopifyURL(d.shopName), "--listrak-url", d.sandbox.ListrakURL(), "--listrak-auth-url", d.sandbox.ListrakAuthURL(),
		"--listrak-privacy-url", d.sandbox.ListrakPrivacyURL(),
		"--listrak-rate", "200", "--order-before-consent", "1s",
	}, more...)
}

// add adds the desk's merchant.
func (d *desk) add() *desk {
	d.t.Helper()
	d.run(d.addArgs()...).is(exitOK)
	return d
}

// until waits for a condition.
func (d *desk) until(what string, condition func() bool) {
	d.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			d.t.Fatalf("%s did not happen within a minute", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// useKey makes text the value of CONCORD_MASTER_KEY.
func (d *desk) useKey(text string) { d.settings.MasterKey = config.Secret(strings.TrimSpace(text)) }
