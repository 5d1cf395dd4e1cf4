package simulation

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// mutant breaks one rule on purpose.
type mutant struct {
	name string
	// file is where, from the root of the module; old stands there exactly once and becomes new.
	file, old, new string
	// rules are those of which a violation is expected, any of them.
	rules string
	// sms: only a merchant with SMS shows it, so that the seeds of others are passed over.
	sms bool
	// seed is one that has caught it, of those that would take long to find again; it is played before the others.
	seed uint64
	// events: the same of a merchant with events.
	events bool
}

// on is the condition under which a mutant lives: all are built into one program, and the environment says which.
func on(name string) string { return fmt.Sprintf("mutant == %q", name) }

// mutants break rules of consent, and some of the engine's own. A check that catches nothing is worthless.
var mutants = []mutant{
	{name: "no echo rule", file: "internal/consent/decide.go", rules: "Date I1 I2 I3",
		old: "	echo := rec.explain(r)\n",
		new: "	echo := rec.explain(r)\n	if " + on("no echo rule") + " {\n		echo = nil\n	}\n"},
	{name: "an echo for ever", file: "internal/consent/delivery.go", rules: "I1 I2",
		old: "		if d.State != r.State || d.Spent {\n",
		new: "		if d.State != r.State || d.Spent && " + not("an echo for ever") + " {\n"},
	{name: "a copy decides", file: "internal/consent/decide.go", rules: "Date I1 I2",
		old: "	case echo != nil && !doubtful:\n",
		new: "	case echo != nil && !doubtful && " + not("a copy decides") + ":\n"},
	{name: "the yes wins a tie", file: "internal/consent/decide.go", rules: "I1 I2",
		old: "	case order == 0 && r.State == Unsubscribed:\n		return UnsubscribedWins, true\n",
		new: "	case order == 0 && " + on("the yes wins a tie") + ":\n		return UnsubscribedWins, r.State == Subscribed\n	case order == 0 && r.State == Unsubscribed:\n		return UnsubscribedWins, true\n"},
	{name: "uncertainty ignored", file: "internal/consent/decide.go", rules: "I1 I2",
		old: "	order := compare(at, decision, rec.uncertainty(r, before))\n",
		new: "	within := rec.uncertainty(r, before)\n	if " + on("uncertainty ignored") + " {\n		within = 0\n	}\n	order := compare(at, decision, within)\n"},
	{name: "import evidence ignored", file: "internal/consent/decide.go", rules: "I1 I2",
		old: "	weak := r.State == Subscribed && (r.Imported || r.Moved || moved)\n",
		new: "	weak := r.State == Subscribed && (r.Imported && " + not("import evidence ignored") + " || r.Moved || moved)\n"},
	{name: "a moved date is a word", file: "internal/consent/decide.go", rules: "I1 I2",
		old: "	moved := r.Side == Listrak && before.State == Subscribed",
		new: "	moved := " + not("a moved date is a word") + " && r.Side == Listrak && before.State == Subscribed"},
	{name: "a machine is a person", file: "internal/consent/decide.go", rules: "I1",
		old: "	case r.Machine:\n		seen.At",
		new: "	case r.Machine && " + not("a machine is a person") + ":\n		seen.At"},
	{name: "the older date wins", file: "internal/consent/decide.go", rules: "I1 I2 I4",
		old: "	case order > 0:\n		return Newer, true\n",
		new: "	case order > 0 && " + not("the older date wins") + ":\n		return Newer, true\n	case order < 0 && " + on("the older date wins") + ":\n		return Newer, true\n"},
	{name: "same side not heard", file: "internal/consent/decide.go", rules: "I1 I2",
		old: "		return SameSide, true\n",
		new: "		return SameSide, " + not("same side not heard") + "\n"},
	{name: "a repeated no is a copy", file: "internal/consent/delivery.go", rules: "I1 I2",
		old: "before.State == r.State && before.movedTo(&r) && before.ReadBegan",
		new: not("a repeated no is a copy") + " && before.State == r.State && before.movedTo(&r) && before.ReadBegan"},
	{name: "forward only ignored", file: "internal/consent/permit.go", rules: "Forward",
		old: "	for _, interval := range p.Intervals {\n",
		new: "	if " + on("forward only ignored") + " {\n		return true\n	}\n	for _, interval := range p.Intervals {\n"},
	{name: "written date now", file: "internal/consent/delivery.go", rules: "Date I1 I2",
		old: "	date = decision.At.Seconds()\n",
		new: "	date = decision.At.Seconds()\n	if " + on("written date now") + " {\n		return now.Seconds(), true\n	}\n"},
	{name: "no windows", file: "internal/consent/checkout.go", rules: "Checkout",
		old: "	if rec.Hold.Consent != decision.At {\n",
		new: "	if rec.Hold.Consent != decision.At && " + not("no windows") + " {\n"},
	{name: "orders not looked for", file: "internal/consent/checkout.go", rules: "Checkout",
		old: "		if w.Catches(hold.Consent, order) {\n",
		new: "		if w.Catches(hold.Consent, order) && " + not("orders not looked for") + " {\n"},
	{name: "orders from long before count", file: "internal/reconcile/engine.go", rules: "Checkout",
		old: "	w.Before = consent.SpanOf(r.account.Settings.OrderBeforeConsent)\n",
		new: "	w.Before = consent.SpanOf(r.account.Settings.OrderBeforeConsent)\n	if " + on("orders from long before count") + " {\n		w.Before = 15 * consent.Minute\n	}\n"},
	{name: "a stale report is taken", file: "internal/consent/decide.go", rules: "I1 I2",
		old: "	if before.State != Unseen && r.ReadBegan < before.ReadBegan {\n",
		new: "	if before.State != Unseen && r.ReadBegan < before.ReadBegan && " + not("a stale report is taken") + " {\n"},
	{name: "fights without end", file: "internal/consent/contest.go", rules: "I3",
		old: "func (rec *Record) isFlip(r *Report, before State) bool {\n",
		new: "func (rec *Record) isFlip(r *Report, before State) bool {\n	if " + on("fights without end") + " {\n		return false\n	}\n"},
	{name: "the erased come back", file: "internal/consent/debt.go", rules: "Gone I4",
		old: "	case seen.State == Absent && seen.GoneAt != 0 && decision.At <= seen.GoneAt:\n",
		new: "	case " + not("the erased come back") + " && seen.State == Absent && seen.GoneAt != 0 && decision.At <= seen.GoneAt:\n"},
	{name: "no look before a write", file: "internal/reconcile/to_listrak.go", rules: "I8 I2",
		old: "	entry, _, err := s.lookUpInListrak(ctx, located.Subject, address)\n	if err != nil && !mustStop(err) {",
		new: "	entry, err := located.Entry, error(nil)\n	if " + not("no look before a write") + " {\n		entry, _, err = s.lookUpInListrak(ctx, located.Subject, address)\n	}\n	if err != nil && !mustStop(err) {"},
	{name: "an old look is good", seed: 532, file: "internal/reconcile/claim.go", rules: "I8",
		old: "		if now.Since(it.looked) > lookGoodFor {\n",
		new: "		if now.Since(it.looked) > lookGoodFor && " + not("an old look is good") + " {\n"},
	{name: "verify skipped", file: "internal/reconcile/claim.go", rules: "I1 I2 I3",
		old: "			if e.report != nil {\n",
		new: "			if e.report != nil && " + on("verify skipped") + " {\n				e.report.State = it.entry.Record.Decision.State\n			}\n			if e.report == nil && e.outcome == consent.Delivered && " + on("verify skipped") + " {\n				after.Seen[side].State = it.entry.Record.Decision.State\n				after.Seen[side].ReadBegan = ended.Plus(consent.Hour)\n			}\n			if e.report != nil {\n"},
	{name: "an address that came back is not compared", file: "internal/reconcile/to_shopify.go", rules: "I6 I8 I1 I2",
		old: "		for _, c := range customers {\n			if seen, ok := s.shopifyReport(c, r); ok {\n				found[seen.subject] = seen\n			}\n		}\n",
		new: "		refs := 0\n		for _, it := range items {\n			if it.entry.Record.Seen[consent.Shopify].Ref == \"\" {\n				continue\n			}\n			c := customers[refs]\n			refs++\n			if seen, ok := s.shopifyReport(c, r); ok {\n				if " + on("an address that came back is not compared") + " {\n					seen.subject = it.subject\n				}\n				found[seen.subject] = seen\n			}\n		}\n"},
	{name: "by the machine's own clock", file: "internal/reconcile/scan.go", rules: "I1 I2 I4",
		old: "	if !underWay {\n		p.Began = r.now().Time()\n",
		new: "	if !underWay {\n		p.Began = r.now().Time()\n		if " + on("by the machine's own clock") + " {\n			p.Began = r.Now()\n		}\n"},
	{name: "clocks not compared", file: "internal/skew/skew.go", rules: "I1 I2",
		old: "	if server.IsZero() || ended.Before(began) {\n",
		new: "	if server.IsZero() || ended.Before(began) || " + on("clocks not compared") + " {\n"},
	{name: "every zone is proven", seed: 227, file: "internal/listrak/uncertainty.go", rules: "I1 I2",
		old: "	if !proven {\n",
		new: "	if !proven && " + not("every zone is proven") + " {\n"},
	{name: "search lag ignored", file: "internal/reconcile/scan.go", rules: "I1 I2 I4",
		old: "	return source{cursor: shopifyChanges, overlap: r.Timing.SearchLag, page:",
		new: "	lag := r.Timing.SearchLag\n	if " + on("search lag ignored") + " {\n		lag = 0\n	}\n	return source{cursor: shopifyChanges, overlap: lag, page:"},
	{name: "lease ignored", file: "internal/ledger/claims.go", rules: "I5",
		old: "			case live[claimKey{key, request.Side}]:\n",
		new: "			case live[claimKey{key, request.Side}] && " + not("lease ignored") + ":\n"},
	{name: "switches ignored", file: "internal/ledger/claims.go", rules: "Off",
		old: "			case !on[request.Sync]:\n",
		new: "			case !on[request.Sync] && " + not("switches ignored") + ":\n"},
	{name: "no limit", file: "internal/ledger/brake.go", rules: "I10",
		old: "	b := Brake{Limit: limit.Fixed}\n",
		new: "	b := Brake{Limit: limit.Fixed}\n	if " + on("no limit") + " {\n		b.Limit = 1 << 40\n	}\n"},
	{name: "an address in an error", file: "internal/reconcile/to_listrak.go", rules: "I7",
		old: "		return fmt.Errorf(\"write a contact: %w\", callErr)\n",
		new: "		if " + on("an address in an error") + " {\n			return fmt.Errorf(\"write contact %s: %w\", it.address, callErr)\n		}\n		return fmt.Errorf(\"write a contact: %w\", callErr)\n"},
	{name: "a silent journal", file: "internal/ledger/journal.go", rules: "I6",
		old: "	for i := range lines {\n		line := &lines[i]\n",
		new: "	for i := range lines {\n		line := &lines[i]\n		if line.Kind == Claimed && " + on("a silent journal") + " {\n			line.Kind = Seen\n		}\n"},
	// Of SMS.
	{name: "the email's permit for SMS", seed: 259, sms: true, file: "internal/reconcile/engine.go", rules: "Forward I1 I4",
		old: "return PermitOf(s.switches, s.to(side)) }",
		new: "\n	if " + on("the email's permit for SMS") + " {\n		return PermitOf(s.switches, consent.SyncTo(consent.Email, side))\n	}\n	return PermitOf(s.switches, s.to(side))\n}"},
	{name: "a machine's opt-out is a no", sms: true, file: "internal/reconcile/sms.go", rules: "I1 I2",
		old: "		report.Machine = true\n",
		new: "		report.Machine = " + not("a machine's opt-out is a no") + "\n"},
	{name: "a channel that is off is not looked at", seed: 165, sms: true, file: "internal/reconcile/engine.go", rules: "I1 I2",
		old: "		if begun || isRead(r.switches, r.account, channel) || r.switches.Syncs[s.to(consent.Shopify)].FirstOn != 0 ||",
		new: "		if " + on("a channel that is off is not looked at") + " {\n			if anyOn(r.switches, channel) {\n				sessions = append(sessions, s)\n			}\n			continue\n		}\n		if begun || isRead(r.switches, r.account, channel) || r.switches.Syncs[s.to(consent.Shopify)].FirstOn != 0 ||"},
	{name: "no comparison", seed: 180, sms: true, file: "internal/reconcile/sms.go", rules: "I1",
		old: "	_, err = s.scan(ctx, source{cursor: smsUnlisted, full: true,\n		page: func(ctx context.Context, _ reach, cursor string) (page, error) {\n",
		new: "	_, err = s.scan(ctx, source{cursor: smsUnlisted, full: true,\n		page: func(ctx context.Context, _ reach, cursor string) (page, error) {\n			if " + on("no comparison") + " {\n				return page{}, nil\n			}\n"},
	{name: "who was never listed is not looked up", seed: 379, sms: true, file: "internal/reconcile/sms.go", rules: "I1",
		old: "		return rec.Seen[consent.Shopify].State == consent.Subscribed\n",
		new: "		return rec.Seen[consent.Shopify].State == consent.Subscribed && " + not("who was never listed is not looked up") + "\n"},
	{name: "nobody asks why", seed: 247, sms: true, file: "internal/reconcile/sms.go", rules: "Date I1 I2",
		old: "	explained, err := s.whyOptedOut(ctx, subject, contact)\n",
		new: "	if " + on("nobody asks why") + " {\n		return seen, contact, nil\n	}\n	explained, err := s.whyOptedOut(ctx, subject, contact)\n"},
	{name: "an opt-out without a date is the known one", seed: 1639, sms: true, file: "internal/reconcile/sms.go", rules: "I1 I2",
		old: "seen.known(&entry.Record) && !contact.Date.IsZero() {",
		new: "seen.known(&entry.Record) && (!contact.Date.IsZero() || " + on("an opt-out without a date is the known one") + ") {"},
	{name: "the window of a phone does not wait", sms: true, file: "internal/reconcile/holds.go", rules: "Checkout",
		old: "				rec, _ = window.Settle(rec, orders, lookedUpAt)\n",
		new: "				rec, _ = window.Settle(rec, orders, lookedUpAt)\n				rec.Hold.Settled = rec.Hold.Settled || s.channel == consent.SMS && " + on("the window of a phone does not wait") + "\n"},
	{name: "the checkout list is forgotten", seed: 496, sms: true, file: "internal/reconcile/sms.go", rules: "Checkout",
		old: "CheckoutList != 0 && (leaves ||",
		new: "CheckoutList != 0 && (leaves && " + not("the checkout list is forgotten") + " ||"},
	{name: "the second channel is read in part", seed: 500, sms: true, file: "internal/reconcile/full.go", rules: "I1 I2 I4",
		old: "	all := s.account.SMS != nil\n",
		new: "	all := s.account.SMS != nil && " + not("the second channel is read in part") + "\n"},
	{name: "an address comes too late", seed: 1409, sms: true, file: "internal/reconcile/revise.go", rules: "I1 I4",
		old: "			if addressChanged && len(w.entry.SealedAddress) > 0 &&",
		new: "			if " + not("an address comes too late") + " && addressChanged && len(w.entry.SealedAddress) > 0 &&"},
	// Of events.
	{name: "an event counts twice", events: true, file: "internal/engagement/intake.go", rules: "Totals",
		old: "			if !fresh[i] {\n",
		new: "			if !fresh[i] && " + not("an event counts twice") + " {\n"},
	{name: "totals since the beginning", events: true, file: "internal/engagement/tell_days.go", rules: "Totals",
		old: "m.Zone, d.Day, d.Counts, p.on)\n",
		new: "m.Zone, d.Day, func() ledger.EngagementCounts {\n			sum := d.Counts\n			for _, before := range due {\n				if before.Ref == d.Ref && before.Day < d.Day && " + on("totals since the beginning") + " {\n					sum = sum.Plus(before.Counts)\n				}\n			}\n			return sum\n		}(), p.on)\n"},
	{name: "days of Greenwich", events: true, file: "internal/engagement/fold.go", rules: "Totals",
		old: "	_, offset := time.Unix(at, 0).In(zone).Zone()\n",
		new: "	_, offset := time.Unix(at, 0).In(zone).Zone()\n	if " + on("days of Greenwich") + " {\n		offset = 0\n	}\n"},
	{name: "kinds do not matter", events: true, file: "internal/engagement/keeper.go", rules: "Kinds Door",
		old: "	return func(kind consent.Sync) bool { return switches.May(kind) }\n",
		new: "	return func(kind consent.Sync) bool { return switches.May(kind) || " + on("kinds do not matter") + " }\n"},
	{name: "customers are told what is off", seed: 200, events: true, file: "internal/engagement/fields.go", rules: "Kinds",
		old: "		if !on(f.mark.Kind(channel)) {\n",
		new: "		if !on(f.mark.Kind(channel)) && " + not("customers are told what is off") + " {\n"},
	{name: "the first page is all", events: true, file: "internal/engagement/read.go", rules: "Totals",
		old: "	at.Cursor = page.Next\n",
		new: "	if " + on("the first page is all") + " {\n		page.Next = \"\"\n	}\n	at.Cursor = page.Next\n"},
	{name: "a late event is of today", events: true, file: "internal/engagement/fold.go", rules: "Totals Fields",
		old: "	next, at := s, h.At.Unix()\n",
		new: "	next, at := s, h.At.Unix()\n	if " + on("a late event is of today") + " {\n		at = c.Now.Unix()\n	}\n"},
	{name: "Listrak's date does not count", events: true, file: "internal/engagement/fold.go", rules: "Totals Fields",
		old: "	if !standing.First.IsZero() && standing.First.Before(c.Now) &&",
		new: "	if !standing.First.IsZero() && " + not("Listrak's date does not count") + " && standing.First.Before(c.Now) &&"},
	{name: "a call that was cut off did nothing", seed: 161, events: true, file: "internal/engagement/tell.go", rules: "Totals Fields",
		old: "func (p *run) doubt(now consent.Instant, since time.Time) consent.Instant {\n",
		new: "func (p *run) doubt(now consent.Instant, since time.Time) consent.Instant {\n	if " + on("a call that was cut off did nothing") + " {\n		return now.Plus(consent.Second)\n	}\n"},
	{name: "a kind that is on again is not told", events: true, file: "internal/engagement/tell.go", rules: "Totals Fields",
		old: "p.on(kind) && !slices.Contains(before, string(kind))",
		new: "p.on(kind) && !slices.Contains(before, string(kind)) && " + not("a kind that is on again is not told")},
	{name: "an address stays with its customer", seed: 135, events: true, file: "internal/engagement/tell_people.go", rules: "Fields",
		old: "to != customerNumber(d.Customer) {\n",
		new: "to != customerNumber(d.Customer) && " + not("an address stays with its customer") + " {\n"},
	{name: "the door has a clock of its own", seed: 408, events: true, file: "internal/engagement/intake.go", rules: "Door",
		old: "	now := instant.Time()\n",
		new: "	now := instant.Time()\n	if " + on("the door has a clock of its own") + " {\n		now = in.k.Now()\n	}\n"},
	{name: "one bad event spoils the rest", events: true, file: "internal/engagement/push.go", rules: "Door Totals",
		old: "			refuse(n, err.Error())\n",
		new: "			refuse(n, err.Error())\n			if " + on("one bad event spoils the rest") + " {\n				break\n			}\n"},
	{name: "who stands still takes nothing in", seed: 161, events: true, file: "internal/engagement/intake.go", rules: "Door",
		old: "		in.on, in.generation = switches.On, switches.Generation\n",
		new: "		in.on, in.generation = switches.On, switches.Generation\n		if " + on("who stands still takes nothing in") + " {\n			in.on = switches.May\n		}\n"},
	{name: "the door keeps by the switches of before", seed: 154, events: true, file: "internal/ledger/engagement.go", rules: "Kinds",
		old: "	if err == nil && !same {\n		err = ErrSwitched\n",
		new: "	if err == nil && !same && " + not("the door keeps by the switches of before") + " {\n		err = ErrSwitched\n"},
	{name: "counts of all time", events: true, file: "internal/engagement/record.go", rules: "Fields",
		old: "at >= from.Unix() {\n			n++\n",
		new: "(at >= from.Unix() || " + on("counts of all time") + ") {\n			n++\n"},
	{name: "a message counts once for a person", events: true, file: "internal/engagement/fold.go", rules: "Totals Fields",
		old: "	if m.Again && !standing.Sent.IsZero() {\n",
		new: "	if m.Again && " + not("a message counts once for a person") + " && !standing.Sent.IsZero() {\n"},
	{name: "opt-outs last", file: "internal/ledger/debts.go", rules: "I9",
		old: "	for _, span := range spans {\n",
		new: "	for i, span := range spans {\n		if " + on("opt-outs last") + " {\n			span = spans[len(spans)-1-i]\n		}\n"},
}

var regexpCaught = regexp.MustCompile(`caught by seed (\d+): (\w+):`)

func not(name string) string { return "!(" + on(name) + ")" }

// Every mutant is caught within 2,000 seeds. All of them are built into one program by `go test -overlay`, so that the product's own
// sources have no hook for them.
func TestTheChecksCatchEveryMutant(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("minutes of runs; CI runs it without -short")
	}
	program := buildMutants(t)
	// Two at a time: each uses one processor.
	turns := make(chan struct{}, 2)
	var mu sync.Mutex
	table := make([]string, 0, len(mutants))
	t.Run("caught", func(t *testing.T) {
		for _, m := range mutants {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				turns <- struct{}{}
				defer func() { <-turns }()
				command := exec.CommandContext(t.Context(), program, "-test.run=^TestPlayMutant$", "-test.v")
				command.Env = append(os.Environ(), "CONCORD_MUTANT="+m.name, fmt.Sprint("CONCORD_MUTANT_SMS=", m.sms),
					fmt.Sprint("CONCORD_MUTANT_EVENTS=", m.events), fmt.Sprint("CONCORD_MUTANT_SEED=", m.seed), "GOMAXPROCS=1")
				out, err := command.CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				caught := regexpCaught.FindStringSubmatch(string(out))
				if caught == nil {
					t.Fatalf("2,000 seeds do not catch it:\n%s", out)
				}
				if !slices.Contains(strings.Fields(m.rules), caught[2]) {
					t.Errorf("seed %s violates %s, and not %s as expected", caught[1], caught[2], m.rules)
				}
				mu.Lock()
				defer mu.Unlock()
				table = append(table, fmt.Sprintf("| %s | %s | %s |", m.name, caught[2], caught[1]))
			})
		}
	})
	slices.Sort(table)
	t.Logf("caught by the seed:\n| Mutant | Check | Seed |\n|---|---|---|\n%s", strings.Join(table, "\n"))
}

// buildMutants builds this package's tests with every mutant in the sources.
func buildMutants(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sources, packages := map[string]string{}, map[string]bool{}
	for _, m := range mutants {
		text, ok := sources[m.file]
		if !ok {
			raw, err := os.ReadFile(filepath.Join(root, m.file))
			if err != nil {
				t.Fatal(err)
			}
			text = string(raw)
		}
		if n := strings.Count(text, m.old); n != 1 {
			t.Fatalf("mutant %q: %s has this %d times, not once:\n%s", m.name, m.file, n, m.old)
		}
		sources[m.file] = strings.Replace(text, m.old, m.new, 1)
		packages[filepath.Dir(m.file)] = true
	}
	for dir := range packages {
		sources[filepath.Join(dir, "mutant.go")] = fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar mutant = os.Getenv(\"CONCORD_MUTANT\")\n", filepath.Base(dir))
	}
	sources["internal/simulation/play_mutant_test.go"] = playMutant
	replace := map[string]string{}
	for file, text := range sources {
		path := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, file)] = path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "mutants.test")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", list, "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the mutants: %v\n%s", err, out)
	}
	return program
}

// playMutant is the test that only the program with the mutants has.
const playMutant = `package simulation

import (
	"os"
	"strconv"
	"testing"
	"time"
)

func TestPlayMutant(t *testing.T) {
	likely, err := strconv.ParseUint(os.Getenv("CONCORD_MUTANT_SEED"), 10, 64)
	if err != nil || likely > 2000 {
		t.Fatalf("seed %d, %v", likely, err)
	}
	for n := range uint64(2001) {
		seed := n
		if n == 0 {
			seed = likely
		}
		if seed == 0 {
			continue
		}
		life := newPlan(seed, 6*time.Hour)
		if os.Getenv("CONCORD_MUTANT_SMS") == "true" && !life.scenario.sms.on || os.Getenv("CONCORD_MUTANT_EVENTS") == "true" && !life.scenario.events.on {
			continue
		}
		out, err := play(t.Context(), life)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.violations) > 0 {
			t.Logf("caught by seed %d: %s: %s", seed, out.violations[0].Rule, out.violations[0].What)
			return
		}
	}
}
`
