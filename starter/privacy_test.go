package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/list"
)

const ann = "ann@private.example"

// withPrivacy gives the desk's Listrak account a Privacy integration, and the environment its credentials.
func (d *desk) withPrivacy() *desk {
	d.t.Helper()
	d.sandbox.AddPrivacy(list.PrivacyConfig{ClientID: "privacy", Secret: testSecret, Account: "integration"})
	d.env[merchant.EnvListrakPrivacyClientID], d.env[merchant.EnvListrakPrivacyClientSecret] = "privacy", testSecret
	return d
}

// typing is what somebody types, or pipes in.
func (d *desk) typing(text string) *desk {
	d.stdin = text
	return d
}

// book opens the desk's ledger beside the verbs.
func (d *desk) book() *host.Host {
	d.t.Helper()
	h, err := host.Open(d.t.Context(), d.settings, slog.New(slog.DiscardHandler), nil)
	must(d.t, err)
	d.t.Cleanup(func() { must(d.t, h.Close()) })
	return h
}

// oneRequest is the id of the only request.
func (d *desk) oneRequest() string {
	d.t.Helper()
	var v privacyView
	r := d.run("privacy", "-o", "json")
	r.json(&v)
	if len(v.Requests) != 1 {
		d.t.Fatalf("%d requests, want one: %s", len(v.Requests), r.out)
	}
	return v.Requests[0].Request
}

func TestAPersonIsForgottenByHand(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().withPrivacy().add().work()
	must(t, d.list.Subscribe(ann, time.Now().Add(-time.Hour), ""))
	d.run("merchant", "check").is(exitOK).says("Privacy client id and secret")
	d.typing(ann+"\n").run("redact", "-", "--yes").is(exitOK).says("Erased here", "Listrak has forgotten the person").hides(ann, "private.example")
	if _, there := d.list.Contact(ann); there {
		t.Error("Listrak still has the contact")
	}
	d.typing(ann+"\n").run("explain", "-").is(exitOK).says("asked to be forgotten", "Only a yes that is newer")
	d.run("privacy").is(exitOK).says("forget a person", "done 20").hides(ann)
	d.run("status").is(exitOK).says("none open")
	// Nobody is there any more to be told of.
	d.typing(ann+"\n").run("export", "-").is(exitOK).says("Written to ", ".json").hides(ann)
	files, err := filepath.Glob(filepath.Join(d.data, "exports", d.id+"-by-hand-*"))
	must(t, err)
	if len(files) != 2 {
		t.Fatalf("%d files are written: %v", len(files), files)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		info, err := os.Stat(file)
		must(t, err)
		if !strings.Contains(string(text), ann) || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s and says\n%s", file, info.Mode(), text)
		}
	}
}

func TestWithoutAPrivacyIntegrationSomebodyMustAct(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().add().work()
	d.run("merchant", "check").is(exitOK).says("No credentials of a Privacy integration are set")
	d.typing(ann+"\n").run("redact", "-", "--yes").is(exitRefused).says("Erased here", "merchant set").tells("a person must act").hides(ann)
	id := d.oneRequest()
	d.run("status").is(exitOK).says("1 open, the next due on")
	d.run("privacy").is(exitOK).says("waits for you", "starter privacy done "+id)
	d.withPrivacy().run("merchant", "set", "--credentials").is(exitOK)
	d.run("privacy", "go-on", id).is(exitOK)
	d.until("the request is done", func() bool { return strings.Contains(d.run("privacy").out, "Listrak has forgotten the person") })
}

func TestARequestThatWasDoneByHand(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().add().work()
	d.typing(ann+"\n").run("redact", "-", "--yes").is(exitRefused)
	id := d.oneRequest()
	d.run("privacy", "done", id).is(exitRefused).tells("--yes")
	d.run("privacy", "done", "unknown", "--yes").is(exitUsage).tells("starter privacy")
	d.run("privacy", "go-on", "unknown").is(exitUsage)
	d.run("privacy", "done", id, "--yes").is(exitOK).says("by hand")
	d.run("privacy", d.id).is(exitOK).says("done 20", "by hand")
	d.run("privacy", "done", id, "--yes").is(exitOK)
}

func TestARequestIsKeptWhenNobodyCanDoIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	d.typing(ann+"\n").run("redact", "-", "--yes").is(exitUnreachable).tells("is kept", "begins by itself").hides(ann)
	d.run("privacy").is(exitOK).says("Not begun yet")
	d.now = func() time.Time { return time.Now().Add(31 * 24 * time.Hour) }
	d.run("privacy").is(exitFailed).says("OVERDUE").tells("1 privacy request is overdue")
	d.run("privacy", "nobody").is(exitUsage).tells("no merchant nobody")
}

func TestErasingAsksFirst(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	d.typing(ann+"\n").run("redact", "-").is(exitRefused).tells("--yes")
	d.run("privacy").is(exitOK).says("There is no privacy request")
	d.run("merchant", "remove", d.id, "--erase").is(exitRefused).tells("--yes")
	d.run("merchant", "show").is(exitOK)
	d.run("redact", "not-an-address", "--yes").is(exitUsage).tells("malformed email address")
	d.run("redact", "", "--yes").is(exitUsage)
}

func TestAMerchantIsErased(t *testing.T) {
	t.Parallel()
	for name, removed := range map[string]bool{"that is here": false, "that was removed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t).add()
			h := d.book()
			record := consent.Record{Decision: consent.Decision{State: consent.Unsubscribed, At: 1}}
			_, err := h.Ledger.Save(t.Context(), d.id, ledger.Batch{Changes: []ledger.Change{{Channel: consent.Email, Subject: consent.Subject{1}, Record: record}}})
			must(t, err)
			if removed {
				d.run("merchant", "remove", d.id, "--yes").is(exitOK)
			}
			d.run("merchant", "remove", d.id, "--erase", "--yes").is(exitOK).says("is erased, with all that was known of 1 person")
			if n, err := h.Ledger.CountSubjects(t.Context(), d.id, consent.Email); err != nil || n != 0 {
				t.Errorf("%d opt-outs are left: %v", n, err)
			}
			d.run("merchant", "remove", d.id, "--erase", "--yes").is(exitUsage)
			d.add()
		})
	}
}
