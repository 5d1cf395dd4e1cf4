package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// dial connects to the tests' Temporal as an operator would.
func (d *desk) dial() client.Client {
	d.t.Helper()
	c, err := client.Dial(client.Options{HostPort: temporalServer.Address()})
	must(d.t, err)
	d.t.Cleanup(c.Close)
	return c
}

func TestEnablingSaysWhyTheFullReadStandsStill(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().work()
	d.run(d.addArgs()...).is(exitOK)
	// Three failures keep the read waiting for longer than the verb takes to look at it twice.
	d.list.Faults.Set(1, fault.Rule{Operation: "GET Contacts", Kind: fault.ServerError, Times: 3})
	d.run("sync", "enable", "email_to_shopify", "--yes").is(exitOK).tells("The read waits and tries again", "retry later", "Both sides are read")
}

func TestSyncsAreEnabledWithAPreviewAndAnAnswer(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().work()
	d.run(d.addArgs()...).is(exitOK).hides("not started")
	day := 24 * time.Hour
	must(t, d.list.Subscribe("only-listrak@example.com", time.Now().Add(-day), ""))
	must(t, d.list.Subscribe("left@example.com", time.Now().Add(-2*day), ""))
	_, err := d.shop.CreateCustomer(shop.NewCustomer{Email: "left@example.com", Consent: shop.Consent{State: shop.Unsubscribed}, At: time.Now().Add(-day)})
	must(t, err)

	d.run("sync", "status").is(exitOK).says("email_to_shopify  off", "never")
	r := d.run("sync", "enable", "email_to_shopify").is(exitRefused)
	r.tells("Both sides are read: 2 people are known", "create       1", "leave        1", "Listrak's own Shopify integration", "--yes")
	if _, found := d.shop.Customer("only-listrak@example.com"); found {
		t.Fatal("something was written before anybody agreed")
	}
	d.asks, d.stdin = true, "no\n"
	d.run("sync", "enable", "email_to_shopify").is(exitRefused).tells("Switch on? [y/N]", "the answer was not yes")
	d.stdin = "yes\n"
	d.run("sync", "enable", "email_to_shopify").is(exitOK).says("In force", "Syncs on: email_to_shopify.")
	d.asks, d.stdin = false, ""
	d.until("the customer's creation", func() bool { _, found := d.shop.Customer("only-listrak@example.com"); return found })

	d.run("sync", "enable", "email_to_listrak").is(exitUsage).tells("1 person is unsubscribed in Shopify", "--existing-opt-outs=deliver")
	var v enabledView
	d.run("sync", "enable", "email_to_listrak", "--existing-opt-outs=deliver", "-o", "json").is(exitOK).json(&v)
	if !v.InForce || len(v.SyncsOn) != 2 || len(v.Previews) != 1 || v.Previews[0].ExistingOptOuts != 1 {
		t.Fatalf("got %+v", v)
	}
	d.until("the opt-out's delivery", func() bool {
		contact, _ := d.list.Contact("left@example.com")
		return contact.State == list.Unsubscribed
	})
	d.run("sync", "status").is(exitOK).says("email_to_listrak  on", "deliver")
	d.run("explain", "left@example.com").is(exitOK).says("Shopify said unsubscribed", "We began to tell Listrak: unsubscribed",
		"Unsubscribed, decided in Shopify", "Nothing is owed.").hides("left@example.com")

	d.run("sync", "disable", "email_to_listrak").is(exitOK).says("email_to_listrak writes nothing any more", "Syncs on: email_to_shopify.")
	// The second time nothing is asked.
	d.run("sync", "enable", "email_to_listrak").is(exitOK).says("Syncs on: email_to_listrak, email_to_shopify.")
	d.until("a round", func() bool { return strings.Contains(d.run("status").is(exitOK).out, "looked at") })
	var status statusView
	d.run("status", "-o", "json").is(exitOK).json(&status)
	if s := status.Merchants[0]; s.People != 2 || s.LastRound == nil || s.LagSeconds == nil {
		t.Fatalf("got %+v", s)
	}
}

func TestWithoutAWorkerRequestsAreLeftOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().add()
	c := d.dial()
	var out strings.Builder
	a := d.app(&out, &out)
	a.answerTimeout = 500 * time.Millisecond
	if code := a.execute(t.Context(), []string{"merchant", "pause"}); code != exitUnreachable {
		t.Fatalf("pause without a worker exited %d\n%s", code, out.String())
	}
	for _, want := range []string{"no worker on task queue " + d.id, "--no-wait"} {
		if !strings.Contains(out.String(), want) {
			t.Fatalf("pause without a worker does not say %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	a = d.app(&out, &out)
	a.answerTimeout = 500 * time.Millisecond
	if code := a.execute(t.Context(), []string{"sync", "enable", "email_to_shopify", "--yes"}); code != exitUnreachable ||
		!strings.Contains(out.String(), "no worker on task queue") {
		t.Fatalf("enable without a worker exited %d\n%s", code, out.String())
	}
	d.run("merchant", "pause", "--no-wait").is(exitOK).says("left with Temporal")
	d.run("sync", "disable", "email_to_listrak", "--no-wait").is(exitOK).says("left with Temporal")
	d.work()
	d.until("the pause", func() bool { return strings.Contains(d.run("merchant", "list").is(exitOK).out, "paused") })
	d.until("the workflow's knowing of it", func() bool {
		status, err := workflows.Status(t.Context(), c, d.id)
		must(t, err)
		return status.State == "paused"
	})
}

func TestAFirstEnablingWithWrongCredentialsSaysWhatToDo(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().work().add()
	d.set(t, "LISTRAK_CLIENT_SECRET", "wrong")
	d.run("sync", "enable", "email_to_shopify", "--yes").is(exitRefused).tells("the full read of both sides failed", "Listrak",
		"starter merchant check "+d.id)
	d.run("sync", "status").is(exitOK).says("email_to_shopify  off")
	d.set(t, "LISTRAK_CLIENT_SECRET", testSecret)
	d.run("sync", "enable", "email_to_shopify", "--yes").is(exitOK)
}

func TestANewListThatWasCutShortIsFinishedByTheSameLine(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().work().add()
	must(t, d.list.Subscribe("ann@example.com", time.Now().Add(-time.Hour), ""))
	d.run("sync", "enable", "email_to_shopify", "--yes").is(exitOK)
	d.until("ann in Shopify", func() bool { _, found := d.shop.Customer("ann@example.com"); return found })
	zone, err := time.LoadLocation(testZone)
	must(t, err)
	other := d.listID + 500_000
	d.sandbox.AddList(list.Config{ID: other, ClientID: "integration", Secret: testSecret, Zone: zone})
	// This is how far it came when its process was killed: paused, and the settings stored.
	d.run("merchant", "pause").is(exitOK)
	h, err := d.app(nil, nil).host(t.Context())
	must(t, err)
	_, err = h.Merchants.Update(t.Context(), d.id, func(s *merchant.Settings) error { s.EmailList = other; return nil }, nil)
	must(t, err)
	must(t, h.Close())
	d.run("explain", "ann@example.com").is(exitOK).says("Listrak    Shows subscribed")

	d.run("merchant", "set", "--list", fmt.Sprint(other)).is(exitOK).says("is forgotten", "It is paused. To go on: starter merchant resume "+d.id)
	d.run("explain", "ann@example.com").is(exitOK).says("Listrak    Not read yet", "Subscribed, decided in Listrak")
	// Another address of Listrak is another list.
	d.run("merchant", "set", "--listrak-url", d.sandbox.ListrakURL()).is(exitOK).says("is forgotten")
	d.run("merchant", "resume").is(exitOK)
}

func TestPauseResumeAndANewList(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().work().add()
	zone, err := time.LoadLocation(testZone)
	must(t, err)
	other := d.listID + 500_000
	second := d.sandbox.AddList(list.Config{ID: other, ClientID: "integration", Secret: testSecret, Zone: zone,
		Events: []list.Event{{ID: 11, Name: "Marketing"}, {ID: 22, Name: "Checkout"}}})
	must(t, d.list.Subscribe("ann@example.com", time.Now().Add(-time.Hour), ""))
	d.run("sync", "enable", "email_to_shopify", "email_to_listrak", "--yes").is(exitOK)
	d.until("ann in Shopify", func() bool { _, found := d.shop.Customer("ann@example.com"); return found })

	d.run("merchant", "pause").is(exitOK).says("is paused: nothing is written any more")
	d.run("sync", "enable", "email_to_shopify").is(exitOK).says("It is paused, so nothing is delivered: starter merchant resume")
	d.run("merchant", "resume").is(exitOK).says("goes on")

	d.run("merchant", "set", "--list", fmt.Sprint(other)).is(exitOK).says("What Listrak had shown is forgotten")
	d.run("merchant", "list").is(exitOK).says(fmt.Sprint(other), "running")
	d.run("explain", "ann@example.com").is(exitOK).says("Subscribed, decided in Listrak")
	must(t, second.Subscribe("bob@example.com", time.Now(), ""))
	d.until("bob in Shopify", func() bool { _, found := d.shop.Customer("bob@example.com"); return found })
	// Doing it again changes nothing.
	d.run("merchant", "set", "--list", fmt.Sprint(other)).is(exitOK).hides("forgotten")
	d.run("merchant", "set", "--list", "0").is(exitUsage).tells("--list must be")
}

func TestARemovedMerchantsWorkflowEnds(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().work().add()
	c := d.dial()
	must(t, d.list.Subscribe("ann@example.com", time.Now().Add(-time.Hour), ""))
	d.run("sync", "enable", "email_to_shopify", "--yes").is(exitOK)
	d.until("ann in Shopify", func() bool { _, found := d.shop.Customer("ann@example.com"); return found })
	d.asks, d.stdin = true, "n\n"
	d.run("merchant", "remove", d.id).is(exitRefused).tells("Remove merchant " + d.id)
	d.run("merchant", "list").is(exitOK).says(d.id)
	d.stdin = "y\n"
	d.run("merchant", "remove", d.id).is(exitOK).says("is removed", "workflow ends")
	d.run("merchant", "list").is(exitOK).says("There is no merchant yet")
	d.until("the workflow's end", func() bool {
		description, err := c.DescribeWorkflowExecution(t.Context(), workflows.MerchantSyncID(d.id), "")
		must(t, err)
		return description.WorkflowExecutionInfo.Status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
	})
	d.run("explain", "ann@example.com", "-m", d.id).is(exitUsage).tells("no merchant " + d.id)
	// It may come back, with a workflow of its own. What the list showed is forgotten, since it may be another list now; the
	// decision stays.
	d.add()
	d.run("explain", "ann@example.com").is(exitOK).says("Subscribed, decided in Listrak", "Not read yet")
	d.run("merchant", "pause").is(exitOK)
}

// TestJSONFieldsOfChangesStay is TestJSONFieldsStay for the verbs that change something.
func TestJSONFieldsOfChangesStay(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().work()
	top := func(r *answer) string {
		var names []string
		for _, field := range r.is(exitOK).fields() {
			if !strings.ContainsAny(field, ".[") {
				names = append(names, field)
			}
		}
		return strings.Join(names, " ")
	}
	const switched = "in_force merchant state syncs_on"
	for _, c := range []struct {
		args []string
		want string
	}{
		{d.addArgs(), "merchant settings workflow_started"},
		{[]string{"merchant", "set", "--zone", "UTC"}, "credentials_changed list_forgotten merchant settings state"},
		{[]string{"sync", "enable", "email_to_shopify", "--yes"}, "in_force merchant previews state syncs_on"},
		{[]string{"sync", "disable", "email_to_shopify"}, switched},
		{[]string{"merchant", "pause"}, switched},
		{[]string{"merchant", "resume", "--no-wait"}, switched},
		{[]string{"merchant", "remove", d.id, "--yes"}, "erased merchant workflow_told"},
	} {
		if got := top(d.run(append(c.args, "-o", "json")...)); got != c.want {
			t.Errorf("the fields of `starter %s` are %q, want %q", strings.Join(c.args, " "), got, c.want)
		}
	}
}

// told collects what dev says, for a reader in another goroutine.
type told struct {
	io.Writer
	lines chan string
}

func (w told) Write(text []byte) (int, error) {
	w.lines <- string(text)
	return len(text), nil
}

func TestDevIsFoundByOtherVerbsAndStopsCleanly(t *testing.T) {
	t.Parallel()
	d := &desk{t: t, data: t.TempDir(), now: time.Now, env: map[string]string{}}
	d.settings = newDesk(t).settings
	d.settings.Ledger = config.DSN("sqlite:" + filepath.Join(d.data, "concord.db"))
	start := func() (stop func() int) {
		ctx, cancel := context.WithCancel(t.Context())
		out := told{lines: make(chan string, 1000)}
		code := make(chan int, 1)
		a := d.app(out, out)
		go func() { code <- a.execute(ctx, []string{"dev"}) }()
		var said strings.Builder
		for !strings.Contains(said.String(), "explain ann@example.com") {
			select {
			case line := <-out.lines:
				said.WriteString(line)
			case c := <-code:
				cancel()
				t.Fatalf("dev ended with %d:\n%s", c, said.String())
			}
		}
		for _, want := range []string{"Web UI  http://127.0.0.1:", "Sandbox", "/webhooks/sandbox\n", "/engagement/sandbox\n", "/control/lists/1001/subscribe",
			"--data " + d.data} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("dev does not say %q:\n%s", want, said.String())
			}
		}
		return func() int { cancel(); return <-code }
	}
	stop := start()
	d.run("merchant", "list").is(exitOK).says("sandbox", "running", "none")
	d.run("merchant", "check").is(exitOK)
	d.run("config").is(exitOK).says("Temporal is named by: the running `starter dev`")
	d.run("dev").is(exitRefused).tells("another `starter dev` runs", "--data")
	d.run("sync", "enable", "email_to_shopify", "--yes").is(exitOK)
	if code := stop(); code != exitOK && code != exitInterrupted {
		t.Fatalf("dev exited %d", code)
	}
	if _, err := os.Stat(filepath.Join(d.data, runtimeFile)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("dev left its runtime file behind: %v", err)
	}
	// What was switched on is still on after a restart.
	stop = start()
	d.run("merchant", "list").is(exitOK).says("email_to_shopify")
	d.run("merchant", "pause").is(exitOK)
	if code := stop(); code != exitOK {
		t.Fatalf("dev exited %d", code)
	}
}

func TestARuntimeFileOfADeadDevIsNotBelieved(t *testing.T) {
	t.Parallel()
	d := &desk{t: t, data: t.TempDir(), now: time.Now, env: map[string]string{}}
	_, err := publish(d.data, devRuntime{Temporal: "127.0.0.1:1", TaskQueue: "x"})
	must(t, err)
	if running, ok := d.app(nil, nil).runningDev(); ok {
		t.Fatalf("believed %+v", running)
	}
}

// TestEnablingEventsSaysWhatTheyLack: the sandbox's store has granted no scopes for them.
func TestEnablingEventsSaysWhatTheyLack(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().work().add()
	d.run("sync", "enable", "email_to_shopify", "--yes").is(exitOK).hides("marketing_events")
	must(t, d.list.Configure(func(c *list.Config) { c.NoAccess = []list.Area{list.AreaMessage} }))
	d.run("sync", "enable", "email_events").is(exitOK).says("In force").
		tells("✗  The scope write_marketing_events is missing", "Grant the app the scopes", "area Message")
	var v enabledView
	d.run("sync", "enable", "sms_events", "-o", "json").is(exitRefused)
	d.run("sync", "enable", "email_events", "-o", "json").is(exitOK).json(&v)
	if len(v.Lacking) != 3 {
		t.Errorf("lacking: %+v, want two scopes and an area", v.Lacking)
	}
}
