package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
)

// fieldsOf lists the fields of a JSON object as paths.
func fieldsOf(path string, value any) []string {
	switch value := value.(type) {
	case map[string]any:
		var found []string
		for _, name := range slices.Sorted(maps.Keys(value)) {
			found = append(found, strings.TrimPrefix(path+"."+name, "."))
			found = append(found, fieldsOf(path+"."+name, value[name])...)
		}
		return found
	case []any:
		if len(value) > 0 {
			return fieldsOf(path+"[]", value[0])
		}
	}
	return nil
}

func TestBadInputIsToldWithWhatToDo(t *testing.T) {
	t.Parallel()
	added := func(d *desk) { d.add() }
	for name, c := range map[string]struct {
		before func(*desk)
		stdin  string
		args   []string
		code   int
		tells  []string
	}{
		"unknown verb":            {args: []string{"frobnicate"}, code: exitUsage, tells: []string{`unknown verb "frobnicate"`, "Try:"}},
		"unknown verb below":      {args: []string{"merchant", "ad"}, code: exitUsage, tells: []string{"unknown verb", "merchant --help"}},
		"unknown flag":            {args: []string{"status", "--nope"}, code: exitUsage, tells: []string{"--nope", "starter status --help"}},
		"unknown output":          {args: []string{"status", "--output", "yaml"}, code: exitUsage, tells: []string{"text or json"}},
		"no merchant yet":         {args: []string{"merchant", "check"}, code: exitUsage, tells: []string{"no merchant yet", "merchant add"}},
		"unknown merchant":        {before: added, args: []string{"merchant", "show", "acme"}, code: exitUsage, tells: []string{"no merchant acme", "these are known: store-"}},
		"unknown among none":      {args: []string{"merchant", "show", "acme"}, code: exitUsage, tells: []string{"no merchant acme", "merchant add"}},
		"malformed merchant":      {before: added, args: []string{"status", "no good"}, code: exitUsage, tells: []string{"the merchant must be named", "these are known: store-"}},
		"unknown sync":            {before: added, args: []string{"sync", "enable", "fax_to_shopify"}, code: exitUsage, tells: []string{"unknown sync", "email_to_shopify, email_to_listrak"}},
		"no sync":                 {before: added, args: []string{"sync", "disable"}, code: exitUsage, tells: []string{"something is missing"}},
		"bad opt-out answer":      {before: added, args: []string{"sync", "enable", "email_to_listrak", "--existing-opt-outs=maybe"}, code: exitUsage, tells: []string{"deliver or leave"}},
		"opt-outs of other sync":  {before: added, args: []string{"sync", "enable", "email_to_shopify", "--existing-opt-outs=leave"}, code: exitUsage, tells: []string{"only goes with email_to_listrak"}},
		"malformed address":       {before: added, args: []string{"explain", "not-an-address"}, code: exitUsage, tells: []string{"malformed email address", "Try:"}},
		"merchant twice":          {before: added, args: []string{"status", "acme", "--merchant", "acme"}, code: exitUsage, tells: []string{"given twice", "Try:"}},
		"no such --merchant":      {before: added, args: []string{"status", "--merchant", "nobody"}, code: exitUsage, tells: []string{"no merchant nobody is known"}},
		"address twice":           {before: added, args: []string{"explain", "ann@example.com", "bob@example.com"}, code: exitUsage, tells: []string{"too many arguments"}},
		"address as verb":         {args: []string{"ann@example.com"}, code: exitUsage, tells: []string{"unknown verb"}},
		"empty address on stdin":  {before: added, args: []string{"explain", "-"}, code: exitUsage, tells: []string{"malformed email address"}},
		"huge address on stdin":   {before: added, stdin: strings.Repeat("x", 1<<20), args: []string{"explain", "-"}, code: exitUsage, tells: []string{"malformed email address"}},
		"shop twice":              {args: []string{"merchant", "add", "a.myshopify.com", "--shop", "b.myshopify.com"}, code: exitUsage, tells: []string{"given twice"}},
		"shop of another kind":    {args: []string{"merchant", "add", "www.acme.com", "--list", "1", "--zone", "UTC"}, code: exitUsage, tells: []string{"--shop must be"}},
		"no list":                 {args: []string{"merchant", "add", "acme.myshopify.com", "--zone", "UTC"}, code: exitUsage, tells: []string{"--list must be"}},
		"list that is no number":  {args: []string{"merchant", "add", "acme.myshopify.com", "--zone", "UTC", "--list", "many"}, code: exitUsage, tells: []string{"--list"}},
		"unknown zone":            {args: []string{"merchant", "add", "acme.myshopify.com", "--zone", "Mars/Olympus", "--list", "1"}, code: exitUsage, tells: []string{"--zone must be"}},
		"no secret":               {before: func(d *desk) { d.env = nil }, args: []string{"merchant", "add", "acme.myshopify.com", "--zone", "UTC", "--list", "1"}, code: exitUsage, tells: []string{merchant.EnvShopifyClientID, merchant.EnvListrakClientSecret}},
		"secrets that are no":     {before: func(d *desk) { d.env = nil }, stdin: "hello", args: []string{"merchant", "add", "acme.myshopify.com", "--zone", "UTC", "--list", "1"}, code: exitUsage, tells: []string{"line 1 of standard input"}},
		"nothing to set":          {before: func(d *desk) { d.add(); d.env = nil }, args: []string{"merchant", "set"}, code: exitUsage, tells: []string{"nothing to change"}},
		"events without a list":   {args: []string{"merchant", "events", "--listrak-url", "http://127.0.0.1:1"}, code: exitUsage, tells: []string{"--list is missing"}},
		"nobody to approve":       {before: added, args: []string{"approve", "--people", "0"}, code: exitUsage, tells: []string{"--people must be"}},
		"no number of people":     {before: added, args: []string{"approve", "--people", "many"}, code: exitUsage, tells: []string{"--people"}},
		"approved twice":          {before: added, args: []string{"approve", "acme", "--merchant", "acme"}, code: exitUsage, tells: []string{"given twice", "Try:"}},
		"a limit below none":      {before: added, args: []string{"merchant", "set", "--resubscribe-limit", "-1"}, code: exitUsage, tells: []string{"--resubscribe-limit must be"}},
		"remove without a name":   {before: added, args: []string{"merchant", "remove"}, code: exitUsage, tells: []string{"something is missing"}},
		"remove without terminal": {before: added, args: []string{"merchant", "remove", "ID"}, code: exitRefused, tells: []string{"--yes"}},
		"two steps of a rotation": {args: []string{"key", "rotate", "--reseal", "--retire"}, code: exitUsage, tells: []string{"two steps"}},
		"key for the wrong step":  {args: []string{"key", "rotate", "--reseal", "--stdin"}, code: exitUsage, tells: []string{"CONCORD_MASTER_KEY"}},
		"no key to rotate":        {args: []string{"key", "rotate"}, code: exitRefused, tells: []string{"no master key", "concord.db.key"}},
		"port beyond":             {args: []string{"dev", "--port", "70000"}, code: exitUsage, tells: []string{"--port must be"}},
		"no seeds":                {args: []string{"simulate", "--seeds", "0"}, code: exitUsage, tells: []string{"--seeds must be"}},
		"no number of seeds":      {args: []string{"simulate", "--seeds", "many"}, code: exitUsage, tells: []string{"--seeds", "starter simulate --help"}},
		"a seed below none":       {args: []string{"simulate", "--seed", "-1"}, code: exitUsage, tells: []string{"--seed"}},
		"seeds beyond the last":   {args: []string{"simulate", "--seed", "18446744073709551615"}, code: exitUsage, tells: []string{"go beyond the last seed"}},
		"a life too short":        {args: []string{"simulate", "--hours", "1"}, code: exitUsage, tells: []string{"--hours must be between 2"}},
		"a life too long":         {args: []string{"simulate", "--hours", "721"}, code: exitUsage, tells: []string{"--hours must be between 2"}},
		"no runs at once":         {args: []string{"simulate", "--parallel", "0"}, code: exitUsage, tells: []string{"--parallel must be"}},
		"no failures":             {args: []string{"simulate", "--failures", "0"}, code: exitUsage, tells: []string{"--failures must be"}},
		"a simulated merchant":    {args: []string{"simulate", "acme"}, code: exitUsage, tells: []string{"too many arguments"}},
		"settings that are wrong": {before: func(d *desk) { d.settings.TaskQueue = "" }, args: []string{"status"}, code: exitUsage, tells: []string{"CONCORD_TASK_QUEUE", "unset it"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			if c.before != nil {
				c.before(d)
			}
			d.stdin = c.stdin
			args := slices.Clone(c.args)
			for i := range args {
				if args[i] == "ID" {
					args[i] = d.id
				}
			}
			r := d.run(args...).is(c.code).tells("Error: ").tells(c.tells...).hides(testSecret)
			if strings.Contains(r.err, "@example") {
				t.Errorf("the error holds an address:\n%s", r.err)
			}
			if r.out != "" {
				t.Errorf("an error came with an answer:\n%s", r.out)
			}
		})
	}
}

func TestASecondMerchantOfTheSameShopOrListIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	d.run(d.addArgs()...).is(exitRefused).tells("is a merchant already", "starter merchant set "+d.id)
	other := d.addArgs()
	other[2] = "another.myshopify.com"
	d.run(other...).is(exitRefused).tells(fmt.Sprintf("list %d belongs to merchant %s", d.listID, d.id), "--list")
	d.run("merchant", "list").is(exitOK).says(d.id).hides("another")
}

func TestTheDatabaseOrItsKeyMayBeMissing(t *testing.T) {
	t.Parallel()
	generate := func(t *testing.T) config.Secret {
		k, err := keys.Generate()
		must(t, err)
		text, err := k.Export()
		must(t, err)
		return config.Secret(text)
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, d *desk)
		code  int
		tells string
	}{
		"a wrong key": {func(t *testing.T, d *desk) { d.settings.MasterKey = generate(t) }, exitRefused, "this ledger was sealed by master key"},
		"no key any more": {func(t *testing.T, d *desk) {
			must(t, os.Remove(keys.KeyFileOf(filepath.Join(d.data, "concord.db"))))
		}, exitRefused, "is gone"},
		"a key that others may read": {func(t *testing.T, d *desk) {
			must(t, os.Chmod(keys.KeyFileOf(filepath.Join(d.data, "concord.db")), 0o644))
		}, exitRefused, "chmod 600"},
		"a directory that is not there": {func(t *testing.T, d *desk) {
			d.settings.Ledger = config.DSN("sqlite:" + filepath.Join(d.data, "missing", "concord.db"))
			d.env["CONCORD_LEDGER"] = d.settings.Ledger.Reveal()
		}, exitUnreachable, "gone or unusable"},
		"a file that is no database": {func(t *testing.T, d *desk) {
			must(t, os.WriteFile(filepath.Join(d.data, "concord.db"), []byte(strings.Repeat("no database ", 1000)), 0o600))
			_ = os.Remove(filepath.Join(d.data, "concord.db-wal"))
		}, exitUnreachable, "damaged"},
		"an address that is none": {func(t *testing.T, d *desk) {
			d.settings.Ledger = "mysql://root:" + testSecret + "@localhost/x"
			d.env["CONCORD_LEDGER"] = d.settings.Ledger.Reveal()
		}, exitUsage, "CONCORD_LEDGER"},
		"a PostgreSQL that is not there": {func(t *testing.T, d *desk) {
			d.settings.Ledger = "postgres://concord:" + testSecret + "@127.0.0.1:1/concord"
			d.env["CONCORD_LEDGER"] = d.settings.Ledger.Reveal()
			d.settings.MasterKey = generate(t)
		}, exitUnreachable, "PostgreSQL cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t).add()
			c.spoil(t, d)
			d.run("status").is(c.code).tells("Error: ", c.tells).hides(testSecret)
		})
	}
}

func TestALockedDatabaseIsToldAndNothingIsHalfWritten(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	free := lockDatabase(t, filepath.Join(d.data, "concord.db"))
	d.run("merchant", "set", "--zone", "UTC").is(exitUnreachable).tells("locked by another process")
	free()
	d.run("merchant", "show").is(exitOK).says(testZone)
	d.run("merchant", "set", "--zone", "UTC").is(exitOK)
}

func TestEveryErrorHasItsExitCode(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{
		ledger.ErrLocked: exitUnreachable, ledger.ErrGone: exitUnreachable, ledger.ErrUnreachable: exitUnreachable,
		ledger.ErrNoPrivacyRequest: exitUsage, ledger.ErrMalformedDSN: exitUsage, ledger.ErrNewerSchema: exitRefused, ledger.ErrUnknownMerchant: exitUsage,
		ledger.ErrMerchantExists: exitRefused, ledger.ErrShopTaken: exitRefused, ledger.ErrListTaken: exitRefused,
		keys.ErrWrongKey: exitRefused, keys.ErrNoKey: exitRefused, keys.ErrDamaged: exitRefused,
		&merchant.Invalid{Setting: "--zone", Problem: "is wrong"}: exitUsage, ledger.ErrConflict: exitFailed,
	} {
		if got := exitCode(t.Context(), fmt.Errorf("do something: %w", err)); got != want {
			t.Errorf("%v exits %d, want %d", err, got, want)
		}
	}
}

func TestTheHelpDocumentsEveryExitCode(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := d.run("--help").is(exitOK).says("Exit codes:")
	for _, code := range []int{exitOK, exitFailed, exitUsage, exitUnreachable, exitRefused, exitInterrupted} {
		r.says(fmt.Sprintf("\n  %-4d ", code))
	}
}

func TestTheHelpOfSecretsNamesTheOneOfEvents(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, verb := range []string{"add", "set"} {
		d.run("merchant", verb, "--help").is(exitOK).says(merchant.EnvEventsSecret)
	}
}

// TestJSONFieldsStay holds the names of fields that programs read. A name may be added, never changed.
func TestJSONFieldsStay(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	settings := func(prefix string) []string {
		var fields []string
		for _, name := range []string{"checkout_event", "email_list", "id", "import_methods", "listrak_auth_url", "listrak_privacy_url", "listrak_requests_per_second",
			"listrak_url", "machine_methods", "marketing_event", "order_before_consent", "resubscribe_limit", "shop", "shopify_url", "sms", "sms.country", "subscription_sources", "version",
			"zone", "zone_proven"} {
			fields = append(fields, prefix+"."+name)
		}
		return fields
	}
	side := func(prefix string) []string {
		fields := []string{prefix}
		for _, name := range []string{"awaiting_confirmation", "blocked", "contested", "disputed", "gone", "held", "not_permitted", "owed_subscribes",
			"owed_unsubscribes", "refused", "stopped"} {
			fields = append(fields, prefix+"."+name)
		}
		return fields
	}
	brake := func(prefix string) []string {
		fields := []string{prefix}
		for _, name := range []string{"alarm", "approved", "limit", "resubscribed", "unsubscribed"} {
			fields = append(fields, prefix+"."+name)
		}
		return fields
	}
	for line, want := range map[string][]string{
		"merchant list": slices.Concat([]string{"merchants", "merchants[].created_at", "merchants[].generation", "merchants[].settings"},
			settings("merchants[].settings"), []string{"merchants[].state", "merchants[].syncs_on"}),
		"merchant show":     slices.Concat([]string{"created_at", "credentials", "generation", "settings"}, settings("settings"), []string{"state", "syncs_on"}),
		"merchant lists":    {"lists", "lists[].double_opt_in", "lists[].id", "lists[].name"},
		"merchant events":   {"events", "events[].active", "events[].id", "events[].name"},
		"merchant check":    {"findings", "findings[].ok", "findings[].side", "findings[].what", "healed", "merchant", "ok"},
		"merchant webhooks": {"checked_daily", "deleted", "foreign", "merchant", "mode", "topics"},
		"sync status":       {"full_read_done", "merchant", "sms_full_read_done", "state", "syncs", "syncs[].on", "syncs[].sync"},
		"status": slices.Concat([]string{"merchants", "merchants[].held", "merchants[].merchant", "merchants[].opt_out_overdue", "merchants[].people",
			"merchants[].privacy", "merchants[].privacy.open", "merchants[].privacy.overdue"},
			brake("merchants[].resubscriptions"), []string{"merchants[].state", "merchants[].syncs_on"}, side("merchants[].to_listrak"), side("merchants[].to_shopify"),
			[]string{"merchants[].webhooks", "merchants[].webhooks.door", "merchants[].webhooks.may_have_missed", "merchants[].webhooks.unreadable"}),
		"explain nobody@example.com": {"channel", "known", "merchant", "story", "subject"},
		"refused":                    {"merchant", "people"},
		"privacy":                    {"requests"},
		"retry --all":                {"merchant", "people", "state"},
		"approve":                    slices.Concat([]string{"approved", "merchant"}, brake("resubscriptions"), []string{"waiting_in_listrak", "waiting_in_shopify"}),
		"config": {"settings", "settings[].allowed", "settings[].default", "settings[].description", "settings[].set", "settings[].value",
			"settings[].variable", "temporal", "temporal.address", "temporal.from"},
		"bench webhooks --rate 20 --for 1s": {"kept", "longest_ms", "ok", "p50_ms", "p90_ms", "p99_ms", "rate", "refused", "seconds", "sent", "took_seconds"},
		"key generate":                      {"fingerprint", "fingerprints", "key"},
		"simulate --seeds 3 --hours 2": {"decisions", "deliveries", "effective_deliveries", "elided_rounds", "events", "events.fields", "events.messages", "events.passes", "events.pushes", "events.runs",
			"excused", "failures", "faults", "faults[].count",
			"faults[].kind", "first_seed", "hours", "interrupted", "judged", "people", "rounds", "runs", "seeds", "seeds_per_second", "simulated_seconds",
			"took_seconds", "violations", "worst_agreement_seconds", "worst_seed"},
	} {
		args := append(strings.Fields(line), "--output", "json")
		if line == "merchant lists" || line == "merchant events" {
			args = append(args, d.id)
		}
		got := d.run(args...).is(exitOK).fields()
		if line == "config" {
			got = slices.DeleteFunc(got, func(field string) bool { return field == "settings[].allowed" })
			want = slices.DeleteFunc(want, func(field string) bool { return field == "settings[].allowed" })
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the fields of `starter %s` changed (-want +got):\n%s", line, diff)
		}
	}
}
