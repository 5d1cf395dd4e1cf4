package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/sandbox/list"
)

func TestAMerchantIsStoredWithoutTemporal(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.run(d.addArgs()...).is(exitOK).says("Merchant "+d.id+" is stored", "Its workflow is not started", "starter merchant resume "+d.id,
		"starter merchant check "+d.id).hides(testSecret)
	d.run("merchant", "show").is(exitOK).says(d.shopName, testZone+" (not proven yet)", "Shopify client id and secret, Listrak client id and secret").
		hides(testSecret)
	d.run("merchant", "resume").is(exitUnreachable).tells("no Temporal server answers at 127.0.0.1:1", "starter dev")
	d.run("status").is(exitOK).says(d.id+": running", "none yet: every sync is off")
}

func TestSecretsComeFromStandardInput(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]string{
		"lines": "CONCORD_SHOPIFY_TOKEN=shpat_x\nCONCORD_LISTRAK_CLIENT_ID=integration\nCONCORD_LISTRAK_CLIENT_SECRET=" + testSecret + "\n",
		"json":  `{"shopify_token":"shpat_x","listrak_client_id":"integration","listrak_client_secret":"` + testSecret + `"}`,
	} {
		for _, flag := range []string{"", "--stdin"} {
			t.Run(name+flag, func(t *testing.T) {
				t.Parallel()
				d := newDesk(t)
				d.env, d.stdin = nil, form
				args := d.addArgs()
				if flag != "" {
					args = append(args, flag)
				}
				d.run(args...).is(exitOK).hides(testSecret, "shpat_x")
				d.run("merchant", "show").is(exitOK).says("Shopify access token, Listrak client id and secret").hides(testSecret, "shpat_x")
			})
		}
	}
}

func TestListsAndEventsWorkBeforeAdd(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	at := []string{"--listrak-url", d.sandbox.ListrakURL(), "--listrak-auth-url", d.sandbox.ListrakAuthURL()}
	d.run(append([]string{"merchant", "lists"}, at...)...).is(exitOK).says(fmt.Sprint(d.listID), "Newsletter", "single")
	events := append([]string{"merchant", "events", "--list", fmt.Sprint(d.listID)}, at...)
	d.run(events...).is(exitOK).says("11", "Marketing", "active", "33", "blocked")
	d.run(append([]string{"merchant", "events", "--list", "99"}, at...)...).is(exitUsage).tells("does not have this list", "--list", "starter merchant lists")
	d.run("merchant", "lists", "--listrak-url", "http://127.0.0.1:1", "--listrak-auth-url", "http://127.0.0.1:1").is(exitUnreachable).tells("UNREACHABLE")
	d.run("merchant", "lists", "--listrak-url", "http://api.example.com").is(exitUsage).tells("--listrak-url must begin with https://")
	d.env[merchant.EnvListrakClientSecret] = "another"
	d.run(append([]string{"merchant", "lists"}, at...)...).is(exitRefused).tells("Error:").hides("another")
	d.env = map[string]string{}
	d.run("merchant", "lists").is(exitUsage).tells(merchant.EnvListrakClientID)
}

func TestCheckSaysWhatIsRightAndWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, d *desk)
		code  int
		says  []string
	}{
		"all right": {nil, exitOK, []string{"Everything is right.", "OK Event 11", "is not proven yet"}},
		"wrong Shopify secret": {func(t *testing.T, d *desk) { d.set(t, "SHOPIFY_CLIENT_SECRET", "wrong") }, exitFailed,
			[]string{"✗  The store cannot be reached with these credentials", "client secret"}},
		"wrong Listrak secret": {func(t *testing.T, d *desk) { d.set(t, "LISTRAK_CLIENT_SECRET", "wrong") }, exitFailed,
			[]string{"✗  Listrak gives no access token"}},
		"blocked event": {func(t *testing.T, d *desk) { d.run("merchant", "set", "--checkout-event", "33").is(exitOK) }, exitFailed,
			[]string{`✗  Event 33 ("Old") is blocked`}},
		"missing event": {func(t *testing.T, d *desk) { d.run("merchant", "set", "--checkout-event", "44").is(exitOK) }, exitFailed,
			[]string{"✗  Event 44 does not exist", "merchant events"}},
		"unreachable host": {func(t *testing.T, d *desk) {
			d.run("merchant", "set", "--shopify-url", "http://127.0.0.1:1").is(exitOK)
		}, exitFailed,
			[]string{"✗  The store cannot be reached", "network"}},
		"IP not allowed": {func(t *testing.T, d *desk) {
			must(t, d.list.Configure(func(c *list.Config) { c.IPRefused = true }))
		}, exitFailed, []string{"✗  "}},
		"area not allowed": {func(t *testing.T, d *desk) {
			must(t, d.list.Configure(func(c *list.Config) { c.NoAccess = []list.Area{list.AreaEvent} }))
		}, exitFailed, []string{"✗  The events of the list cannot be read (area Event)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t).add()
			if c.spoil != nil {
				c.spoil(t, d)
			}
			r := d.run("merchant", "check").is(c.code).says(c.says...).hides(testSecret)
			if c.code != exitOK {
				r.tells("wrong", "✗").says("Shopify", "Listrak")
			}
		})
	}
}

// set changes one credential.
func (d *desk) set(t *testing.T, name, value string) {
	t.Helper()
	env := d.env
	d.env, d.stdin = nil, name+"="+value
	d.run("merchant", "set", "--stdin").is(exitOK).hides(value)
	d.env, d.stdin = env, ""
}

func TestSettingOtherThingsNeverTakesCredentialsOfTheEnvironment(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	d.env[merchant.EnvListrakClientSecret] = "another merchant's"
	d.run("merchant", "set", "--zone", "Europe/Berlin").is(exitOK)
	d.run("merchant", "check").is(exitOK)
}

func TestAProbeProvesTheZone(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	const probe = "probe@example.com"
	d.run("merchant", "check", "--probe", probe).is(exitOK).says("A contact can be written and read back",
		"The zone "+testZone+" is proven", "behind UTC").hides(probe)
	contact, ok := d.list.Contact(probe)
	if !ok || contact.State != list.Subscribed {
		t.Fatalf("the probe is %+v, found %t", contact, ok)
	}
	d.run("merchant", "show").is(exitOK).says(testZone + " (proven)")
	d.run("merchant", "check").is(exitOK).says("is proven by a write")
	d.run("merchant", "check", "--probe", probe).is(exitUsage).tells("subscribed already").hides(probe)

	d.run("merchant", "set", "--zone", "Europe/Berlin").is(exitOK)
	d.stdin = "second@example.com\n"
	d.run("merchant", "check", "--probe", "-").is(exitFailed).says("✗  The zone is wrong", "behind UTC, but Europe/Berlin is").
		hides("second@example.com")
	d.run("merchant", "show").is(exitOK).says("Europe/Berlin (not proven yet)")

	must(t, d.list.Unsubscribe(probe, time.Now(), ""))
	d.run("merchant", "check", "--probe", probe).is(exitRefused).tells("never overrides").hides(probe)
}

func TestACheckHealsAMerchantThatWasStopped(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	book, err := ledger.Open(t.Context(), d.settings.Ledger.Reveal())
	must(t, err)
	t.Cleanup(func() { must(t, book.Close()) })
	_, err = book.Break(t.Context(), d.id, "the secret was wrong")
	must(t, err)
	d.set(t, "LISTRAK_CLIENT_SECRET", "wrong")
	d.run("merchant", "check").is(exitFailed).says("The merchant is stopped: the secret was wrong.")
	d.run("status").is(exitOK).says(d.id+": broken", "the secret was wrong", "starter merchant check")
	d.set(t, "LISTRAK_CLIENT_SECRET", testSecret)
	d.run("merchant", "check").is(exitOK).says("had been stopped and goes on now")
	d.run("status").is(exitOK).says(d.id + ": running")
}

func TestRefusedAndDisputedAreListedWithoutAddresses(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	const address = "cat@example.com"
	h, err := d.app(nil, nil).host(t.Context())
	must(t, err)
	subject := consent.SubjectOf(h.Keys.SubjectKey(), d.id, consent.Email, address)
	sealed, err := h.Keys.Seal([]byte(address), reconcile.AddressContext(subject))
	must(t, err)
	at := consent.InstantOf(time.Date(2026, 11, 22, 20, 13, 59, 0, time.UTC))
	rec := consent.Record{Decision: consent.Decision{State: consent.Subscribed, At: at, Side: consent.Shopify}}
	rec.Seen[consent.Listrak] = consent.Sighting{State: consent.Absent}
	rec = consent.Begin(rec, consent.Listrak, consent.Marketing, 0, at, at)
	rec = consent.Finish(rec, consent.Listrak, at, at, consent.RefusedForGood, "ERROR_SUPPRESSED_EMAIL")
	conflicts, err := h.Ledger.Save(t.Context(), d.id, ledger.Batch{Changes: []ledger.Change{{
		Channel: consent.Email, Subject: subject, Record: rec, Debts: rec.Debts(), Address: ledger.StoreAddress(sealed),
	}}})
	must(t, err)
	if len(conflicts) > 0 {
		t.Fatal("the record was not saved")
	}
	must(t, h.Close())

	d.run("refused").is(exitOK).says(subject.Hex()[:12], "Listrak", "refused", "ERROR_SUPPRESSED_EMAIL", "2026-11-22 20:13:59").hides(address)
	d.run("refused", "--show-addresses").is(exitOK).says(address)
	d.run("explain", address).is(exitOK).says("Refused for good: ERROR_SUPPRESSED_EMAIL").hides(address)
	var v refusedView
	d.run("refused", "-o", "json").is(exitOK).json(&v)
	if len(v.People) != 1 || v.People[0].Code != "ERROR_SUPPRESSED_EMAIL" || v.People[0].Address != "" {
		t.Fatalf("got %+v", v)
	}
}

// ended puts people into the ledger whose delivery to Listrak has ended badly.
func (d *desk) ended(t *testing.T, people map[string]consent.Record) {
	t.Helper()
	h, err := d.app(nil, nil).host(t.Context())
	must(t, err)
	var changes []ledger.Change
	for address, rec := range people {
		changes = append(changes, ledger.Change{
			Channel: consent.Email, Subject: consent.SubjectOf(h.Keys.SubjectKey(), d.id, consent.Email, address), Record: rec, Debts: rec.Debts(),
			NextTry: [2]consent.Instant{1, 1},
		})
	}
	conflicts, err := h.Ledger.Save(t.Context(), d.id, ledger.Batch{Changes: changes})
	must(t, err)
	if len(conflicts) > 0 {
		t.Fatal("the records were not saved")
	}
	must(t, h.Close())
}

func TestRetryMakesOwedWhatEndedBadly(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	at := consent.InstantOf(time.Date(2026, 11, 22, 20, 13, 59, 0, time.UTC))
	refused := consent.Record{Decision: consent.Decision{State: consent.Subscribed, At: at, Side: consent.Shopify}}
	refused.Seen = [2]consent.Sighting{{State: consent.Subscribed, Shown: at, At: at}, {State: consent.Absent}}
	refused = consent.Begin(refused, consent.Listrak, consent.Marketing, 0, at, at)
	refused = consent.Finish(refused, consent.Listrak, at, at, consent.RefusedForGood, "ERROR_SUPPRESSED_EMAIL")
	contested := consent.Record{
		Decision: consent.Decision{State: consent.Unsubscribed, At: at, Side: consent.Shopify},
		Contest:  consent.Contest{Flips: [3]consent.Instant{at, at, at}, Since: at, Word: at, Row: 3, Contests: 1},
	}
	contested.Seen = [2]consent.Sighting{{State: consent.Unsubscribed, Shown: at, At: at}, {State: consent.Subscribed, ReadBegan: at + 2}}
	contested.Sent[consent.Listrak][0] = consent.Delivery{
		State: consent.Unsubscribed, Decision: at, Started: at, Ended: at + 1, Outcome: consent.Delivered, Try: 1, Spent: true,
	}
	// Nobody has refused this one anything, but a yes is not heard for now.
	unheard := contested
	unheard.Seen[consent.Listrak].State = consent.Unsubscribed
	d.ended(t, map[string]consent.Record{
		"ref@example.com": refused, "con@example.com": contested, "two@example.com": refused, "quiet@example.com": unheard,
	})

	d.run("status").is(exitOK).says("CONTESTED", "To see who: starter refused "+d.id+". To try again: starter retry")
	d.run("refused").is(exitOK).says("contested", "ERROR_SUPPRESSED_EMAIL", "To try again: starter retry -")
	d.run("explain", "con@example.com").is(exitOK).says("Contested: somebody has undone our deliveries", "starter retry", "heard again if it is dated after")

	d.run("retry").is(exitUsage).tells("give one address (or -), or --all")
	d.run("retry", "ref@example.com", "--all").is(exitUsage).tells("give one address").hides("ref@example.com")
	d.run("retry", "no-address").is(exitUsage).tells("malformed email address")
	d.run("retry", "ref@example.com").is(exitRefused).tells("--yes").hides("ref@example.com")
	d.run("retry", "--all").is(exitRefused).tells("--yes")
	d.run("retry", "nobody@example.com").is(exitOK).says("nothing to try again").hides("nobody@example.com")

	d.stdin = "ref@example.com\nno\n"
	d.asks = true
	d.run("retry", "-").is(exitRefused).tells("Try again to deliver what person", "the answer was not yes").hides("ref@example.com")
	d.stdin = "ref@example.com\ny\n"
	d.run("retry", "-").is(exitOK).says("Listrak", "refused", "ERROR_SUPPRESSED_EMAIL", "owed", "next round").hides("ref@example.com")
	d.asks, d.stdin = false, ""
	d.run("explain", "ref@example.com").is(exitOK).says("Retried on request: Listrak is owed it once more (subscribed). It had been refused.").
		hides("ref@example.com")

	var v retryView
	d.run("retry", "--all", "--yes", "--merchant", d.id, "-o", "json").is(exitOK).json(&v)
	problems := map[string]int{}
	for _, p := range v.People {
		problems[p.Problem]++
		if p.Debt != consent.Owed.String() || p.Side != "Listrak" {
			t.Errorf("%+v", p)
		}
	}
	if len(v.People) != 2 || problems["refused"] != 1 || problems["contested"] != 1 {
		t.Errorf("got %+v", v)
	}
	d.run("retry", "quiet@example.com", "--yes").is(exitOK).says("contested")
	d.run("explain", "quiet@example.com").is(exitOK).says("On request a yes is heard again.")
	d.run("refused").is(exitOK).says("Nobody's decision is refused, disputed, contested or stopped")
	d.run("retry", "--all", "--yes").is(exitOK).says("nothing to try again")
	h, err := d.app(nil, nil).host(t.Context())
	must(t, err)
	_, err = h.Ledger.Pause(t.Context(), d.id)
	must(t, err)
	must(t, h.Close())
	d.ended(t, map[string]consent.Record{"late@example.com": refused})
	d.run("retry", "late@example.com", "--yes").is(exitOK).says("Nothing is delivered while the merchant is paused.")
}

func TestStatusFailsWhenAnOptOutIsOverdue(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	h, err := d.app(nil, nil).host(t.Context())
	must(t, err)
	_, err = h.Ledger.SetSyncs(t.Context(), d.id, ledger.SyncChange{On: map[consent.Sync]bool{consent.EmailToShopify: true}})
	must(t, err)
	decided := time.Now().Add(-time.Hour).Truncate(time.Second)
	rec := consent.Record{Decision: consent.Decision{State: consent.Unsubscribed, At: consent.InstantOf(decided), Side: consent.Listrak}}
	rec.Seen[consent.Shopify] = consent.Sighting{State: consent.Subscribed}
	rec.Seen[consent.Listrak] = consent.Sighting{State: consent.Unsubscribed}
	subject := consent.SubjectOf(h.Keys.SubjectKey(), d.id, consent.Email, "ann@example.com")
	_, err = h.Ledger.Save(t.Context(), d.id, ledger.Batch{Changes: []ledger.Change{{
		Channel: consent.Email, Subject: subject, Record: rec, Debts: rec.Debts(),
	}}})
	must(t, err)
	must(t, h.Close())

	d.run("status").is(exitOK).says("Oldest opt-out due", "1.0 h ago")
	d.now = func() time.Time { return decided.Add(24*time.Hour + time.Second) }
	d.run("status").is(exitFailed).says("more than 24 hours").tells("an opt-out has waited for more than 24 hours: " + d.id)
	d.now = func() time.Time { return decided.Add(24 * time.Hour) }
	d.run("status").is(exitOK)
}

func TestKeysAreGeneratedAndRotated(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	first := d.run("key", "generate").is(exitOK)
	if strings.Count(first.out, "\n") != 1 || strings.Contains(first.err, strings.TrimSpace(first.out)) {
		t.Fatalf("the key is not alone on standard output, or is told on standard error:\n%s\n%s", first.out, first.err)
	}
	rotated := d.run("key", "rotate").is(exitOK).tells("1 older key")
	d.useKey(rotated.out)
	d.run("key", "rotate", "--reseal").is(exitOK).says("The credentials of 1 merchant were sealed anew")
	d.run("key", "rotate", "--reseal").is(exitOK).says("The credentials of 0 merchants")
	retired := d.run("key", "rotate", "--retire").is(exitOK).tells("0 older keys")
	d.useKey(retired.out)
	d.run("merchant", "check").is(exitOK)
	d.useKey(first.out)
	d.run("merchant", "check").is(exitRefused).tells("this ledger was sealed by master key")
	d.stdin = "no key"
	d.run("key", "rotate", "--stdin").is(exitRefused).tells("not a usable master key")
}
