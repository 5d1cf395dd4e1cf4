package endtoend

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/devserver"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// act is what a person does on one side, now.
type act struct {
	side  consent.Side
	state consent.State
	do    func(s *stack, email string)
}

var (
	joinListrak = &act{consent.Listrak, consent.Subscribed, func(s *stack, email string) {
		must(s.t, s.list.Subscribe(email, time.Now(), list.MethodForm))
	}}
	leaveListrak = &act{consent.Listrak, consent.Unsubscribed, func(s *stack, email string) {
		must(s.t, s.list.Unsubscribe(email, time.Now(), list.MethodLink))
	}}
	joinShopify = &act{consent.Shopify, consent.Subscribed, func(s *stack, email string) {
		if customer, known := s.shop.Customer(email); known {
			must(s.t, s.shop.SetEmailConsent(customer.ID, shop.Subscribed, time.Now()))
			return
		}
		_, err := s.shop.CreateCustomer(shop.NewCustomer{Email: email, Consent: shop.Consent{State: shop.Subscribed}})
		must(s.t, err)
	}}
	buyAndJoinShopify = &act{consent.Shopify, consent.Subscribed, func(s *stack, email string) {
		joinShopify.do(s, email)
		_, err := s.shop.PlaceOrder(shop.Order{Email: email})
		must(s.t, err)
	}}
	leaveShopify = &act{consent.Shopify, consent.Unsubscribed, func(s *stack, email string) {
		customer, known := s.shop.Customer(email)
		if !known {
			s.t.Fatalf("%s is no customer yet", email)
		}
		must(s.t, s.shop.SetEmailConsent(customer.ID, shop.Unsubscribed, time.Now()))
	}}
)

// crowd is a number of people who do the same, and all the writes that should come of it: one a decision and side.
type crowd struct {
	name   string
	people int
	// first and second, which may be nil, are done in peace; last is done in the storm.
	first, second, last *act
	// inWindow: last is done in peace as well, as soon as the window of second runs.
	inWindow  bool
	toShopify []shop.State
	toListrak []list.State
	// point is the event of the last subscription that Listrak was told of; zero when there is none.
	point int
}

func (c *crowd) emails() []string {
	emails := make([]string, c.people)
	for i := range emails {
		emails[i] = fmt.Sprintf("%s-%d@example.com", c.name, i)
	}
	return emails
}

var crowds = []crowd{
	{
		name: "new-in-listrak", people: 12, last: joinListrak,
		toShopify: []shop.State{shop.Subscribed},
	},
	{
		name: "new-in-shopify", people: 10, last: joinShopify,
		toListrak: []list.State{list.Subscribed}, point: marketing,
	},
	{
		name: "new-buyer", people: 10, last: buyAndJoinShopify,
		toListrak: []list.State{list.Subscribed}, point: checkout,
	},
	{
		// Listrak never hears of those who leave before their window has ended.
		name: "left-in-the-window", people: 4, second: joinShopify, last: leaveShopify, inWindow: true,
	},
	{
		name: "left-in-shopify", people: 6, first: joinListrak, last: leaveShopify,
		toShopify: []shop.State{shop.Subscribed}, toListrak: []list.State{list.Unsubscribed},
	},
	{
		name: "left-in-listrak", people: 6, first: buyAndJoinShopify, last: leaveListrak,
		toShopify: []shop.State{shop.Unsubscribed}, toListrak: []list.State{list.Subscribed}, point: checkout,
	},
	{
		name: "back-in-shopify", people: 4, first: buyAndJoinShopify, second: leaveShopify, last: joinShopify,
		toListrak: []list.State{list.Subscribed, list.Unsubscribed, list.Subscribed}, point: marketing,
	},
	{
		name: "back-as-buyer", people: 4, first: joinListrak, second: leaveListrak, last: buyAndJoinShopify,
		toShopify: []shop.State{shop.Subscribed, shop.Unsubscribed}, toListrak: []list.State{list.Subscribed}, point: checkout,
	},
	{
		name: "back-in-the-other", people: 4, first: buyAndJoinShopify, second: leaveShopify, last: joinListrak,
		toShopify: []shop.State{shop.Subscribed}, toListrak: []list.State{list.Subscribed, list.Unsubscribed}, point: checkout,
	},
	{
		name: "back-in-listrak", people: 4, first: joinListrak, second: leaveListrak, last: joinListrak,
		toShopify: []shop.State{shop.Subscribed, shop.Unsubscribed, shop.Subscribed},
	},
}

// What docker-compose.yml describes: two workers on one PostgreSQL ledger, with the master key from the environment and a namespace
// that deploy/temporal/register.sh has made. One of them dies in the middle of a write, in bad weather, while 64 people act.
func TestAFleetOnPostgreSQLSurvivesADeath(t *testing.T) {
	t.Parallel()
	postgres := onPostgreSQL(t)
	s := newStackIn(t, registeredNamespace(t), postgres)
	fleet := []*workerProcess{s.startProcess(), s.startProcess()}
	s.set(workflows.SyncDelta{consent.EmailToShopify: true, consent.EmailToListrak: true})

	// In peace: calls take a while, and both sides say now and then that there were too many.
	const seed = 1
	slow := fault.Rule{Kind: fault.Latency, Delay: 30 * time.Millisecond}
	s.shop.Faults.Set(seed, fault.Rule{Kind: fault.Throttled, Times: 2, Chance: 0.1}, slow)
	s.list.Faults.Set(seed, fault.Rule{Kind: fault.TooManyRequests, Times: 2, Chance: 0.1}, slow)
	first := func(c *crowd) *act { return c.first }
	s.all(first)
	s.decided(first)
	// Until then any date of Listrak may be off by hours, and no later yes could be told from an earlier one.
	s.until("the proof of Listrak's zone", func() (bool, string) {
		m, err := s.host.Merchants.Get(t.Context(), s.id)
		must(t, err)
		return m.Settings.ZoneProven, ""
	})
	// A round that was at work in the other process still doubts the zone.
	s.awaitRounds(1)
	s.all(func(c *crowd) *act { return c.second })
	s.until("the windows", func() (bool, string) {
		held, opened, err := s.host.Ledger.CountHeld(t.Context(), s.id)
		must(t, err)
		return opened == 4, fmt.Sprint(held, " held, ", opened, " opened")
	})
	inWindow := func(c *crowd) *act {
		if c.inWindow {
			return c.last
		}
		return nil
	}
	s.all(inWindow)
	told := max(s.decided(inWindow), s.decided(func(c *crowd) *act {
		if c.inWindow {
			return nil
		}
		return c.second
	}))
	for _, p := range fleet {
		s.works(p)
	}
	s.until("a moment that no date of either side can be mistaken for", func() (bool, string) {
		return time.Now().After(told.Time().Add(2 * time.Second)), told.Time().String()
	})

	// The storm: a creation hangs after it took effect, and its worker is killed; writes fail whose effect nobody knows.
	s.shop.Faults.Set(seed, fault.Rule{Operation: "customerCreate", Kind: fault.TimeoutAfter, Delay: time.Hour, Times: 1},
		fault.Rule{Operation: "customerEmailMarketingConsentUpdate", Kind: fault.ErrorAfter, Times: 1},
		fault.Rule{Kind: fault.ServerError, Times: 2, Chance: 0.1}, slow)
	s.list.Faults.Set(seed, fault.Rule{Operation: "POST Contact", Kind: fault.ErrorAfter, Times: 3},
		fault.Rule{Kind: fault.HTMLError, Times: 2, Chance: 0.1}, slow)
	s.all(func(c *crowd) *act {
		if c.inWindow {
			return nil
		}
		return c.last
	})
	s.until("the creation that hangs", func() (bool, string) {
		struck := s.shop.Faults.Struck()
		return struck[fault.TimeoutAfter] > 0, fmt.Sprint(struck)
	})
	at, working := s.round()
	victim := slices.IndexFunc(fleet, func(p *workerProcess) bool { return p.pid() == at })
	if victim < 0 || !working {
		t.Fatalf("a creation hangs, but the round is at work: %t, in process %s, which is none of the workers", working, at)
	}
	fleet[victim].kill()
	fleet[victim] = s.startProcess()

	last := func(c *crowd) *act { return c.last }
	s.decided(last)
	for _, p := range fleet {
		s.works(p)
	}
	s.quiet()
	for i := range crowds {
		for _, email := range crowds[i].emails() {
			s.agrees(&crowds[i], email)
		}
	}
	if n := s.shop.Faults.Struck()[fault.ErrorAfter]; n == 0 {
		t.Error("no write to Shopify failed after it took effect: the run shows less than it says")
	}
	if n := s.list.Faults.Struck()[fault.ErrorAfter]; n == 0 {
		t.Error("no write to Listrak failed after it took effect: the run shows less than it says")
	}

	written := len(s.shop.Writes()) + len(s.list.Writes())
	s.awaitRounds(3)
	if more := len(s.shop.Writes()) + len(s.list.Writes()) - written; more != 0 {
		t.Errorf("%d writes while nobody decides anything", more)
	}
}

// all lets everybody do what which names for their crowd.
func (s *stack) all(which func(*crowd) *act) {
	s.t.Helper()
	for i := range crowds {
		if a := which(&crowds[i]); a != nil {
			for _, email := range crowds[i].emails() {
				a.do(s, email)
			}
		}
	}
}

// decided waits until everybody's decision is what which names, and owed to no side. It returns the end of what may be the date of
// the last one.
func (s *stack) decided(which func(*crowd) *act) (latest consent.Instant) {
	s.t.Helper()
	for i := range crowds {
		a := which(&crowds[i])
		if a == nil {
			continue
		}
		for _, email := range crowds[i].emails() {
			subject := consent.SubjectOf(s.host.Keys.SubjectKey(), s.id, consent.Email, email)
			s.until(fmt.Sprintf("the decision of %s, %s in %s", email, a.state, a.side), func() (bool, string) {
				entries, err := s.host.Ledger.Load(s.t.Context(), s.id, consent.Email, []consent.Subject{subject})
				must(s.t, err)
				entry := entries[subject]
				decision := entry.Record.Decision
				latest = max(latest, decision.At.Plus(decision.Within))
				return decision.State == a.state && decision.Side == a.side && entry.Record.Debts() == [2]consent.Debt{}, fmt.Sprintf("%+v", entry)
			})
		}
	}
	return latest
}

// pid is the process as Temporal knows it.
func (p *workerProcess) pid() string { return strconv.Itoa(p.command.Process.Pid) }

// round tells which process has the merchant's round, or had it last.
func (s *stack) round() (pid string, atWork bool) {
	s.t.Helper()
	description, err := s.temporal.DescribeWorkflowExecution(s.t.Context(), workflows.MerchantSyncID(s.id), "")
	must(s.t, err)
	for _, a := range description.PendingActivities {
		if a.ActivityType.Name == "Reconcile" {
			pid, _, _ = strings.Cut(a.LastWorkerIdentity, "@")
			return pid, a.State == enums.PENDING_ACTIVITY_STATE_STARTED
		}
	}
	return "", false
}

// works waits for a round in a process.
func (s *stack) works(p *workerProcess) {
	s.t.Helper()
	s.until("a round in process "+p.pid(), func() (bool, string) {
		at, _ := s.round()
		return at == p.pid(), "a round in process " + at
	})
}

// quiet waits until nothing is owed, held or claimed, and no window runs.
func (s *stack) quiet() {
	s.t.Helper()
	ctx := s.t.Context()
	s.until("the end of all debts, holds and claims", func() (bool, string) {
		held, _, err := s.host.Ledger.CountHeld(ctx, s.id)
		must(s.t, err)
		left := held
		seen := fmt.Sprint(held, " held")
		for _, sync := range []consent.Sync{consent.EmailToShopify, consent.EmailToListrak} {
			claims, _, err := s.host.Ledger.LiveClaims(ctx, s.id, sync)
			must(s.t, err)
			debts, err := s.host.Ledger.Debts(ctx, s.id, consent.Email, sync.To(), ledger.Permit{Subscribed: []consent.Interval{{}}})
			must(s.t, err)
			left += claims + len(debts.ByDebt)
			seen += fmt.Sprintf("; to %s %d claimed and %v", sync.To(), claims, debts.ByDebt)
		}
		return left == 0, seen
	})
	s.until("the end of all windows", func() (bool, string) {
		running, err := s.temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
			Query: fmt.Sprintf("MerchantId = '%s' AND WorkflowType = 'CheckoutWindow' AND ExecutionStatus = 'Running'", s.id),
		})
		must(s.t, err)
		return running.Count == 0, fmt.Sprint(running.Count, " running")
	})
}

// agrees checks what both sides show of a person, and every write that it took.
func (s *stack) agrees(c *crowd, email string) {
	s.t.Helper()
	customer, _ := s.shop.Customer(email)
	contact, known := s.list.Contact(email)
	wantShop, wantList := shop.Subscribed, list.Subscribed
	if c.last.state == consent.Unsubscribed {
		wantShop, wantList = shop.Unsubscribed, list.Unsubscribed
	}
	if c.inWindow {
		wantList = ""
	}
	if customer.Consent.State != wantShop || contact.State != wantList || known != (wantList != "") {
		s.t.Errorf("%s is %q in Shopify and %q in Listrak, want %q and %q", email, customer.Consent.State, contact.State, wantShop, wantList)
	}

	var toShopify []shop.State
	for _, w := range s.shop.Writes() {
		if w.Email == email && w.Effective {
			toShopify = append(toShopify, w.State)
		}
	}
	var toListrak []list.State
	var events []int
	for _, w := range s.list.Writes() {
		if w.Email == email && w.Effective {
			toListrak = append(toListrak, w.State)
			if w.State == list.Subscribed {
				events = w.Events
			}
		}
	}
	if !slices.Equal(toShopify, c.toShopify) || !slices.Equal(toListrak, c.toListrak) {
		s.t.Errorf("%s: effective writes to Shopify %v and to Listrak %v, want %v and %v", email, toShopify, toListrak, c.toShopify, c.toListrak)
	}
	var wantEvents []int
	if c.point != 0 {
		wantEvents = []int{c.point}
	}
	if !slices.Equal(events, wantEvents) {
		s.t.Errorf("%s was subscribed in Listrak through events %v, want %v", email, events, wantEvents)
	}
}

// registeredNamespace makes the namespace of docker-compose.yml with the script that it runs, twice: every step may be repeated.
func registeredNamespace(t *testing.T) string {
	t.Helper()
	cli, err := devserver.EnsureCLI(t.Context(), os.Stderr)
	must(t, err)
	programs := t.TempDir()
	must(t, os.Symlink(cli, filepath.Join(programs, "temporal")))
	const namespace = "concord"
	for range 2 {
		c := exec.CommandContext(t.Context(), "/bin/sh", "../../deploy/temporal/register.sh")
		c.Env = append(os.Environ(), "PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"),
			"TEMPORAL_ADDRESS="+temporalServer.Address(), "TEMPORAL_NAMESPACE="+namespace)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("register.sh: %v\n%s", err, out)
		}
	}
	return namespace
}

// With PostgreSQL a key is never made: a worker that made one would seal what no other worker can open.
func TestAWorkerOnPostgreSQLNeedsTheMasterKey(t *testing.T) {
	t.Parallel()
	s := newStack(t, onPostgreSQL(t))
	other, err := keys.Generate()
	must(t, err)
	wrong, err := other.Export()
	must(t, err)
	for _, c := range []struct{ name, key, want string }{
		{"none", "", keys.EnvMasterKey},
		{"another one", wrong, keys.EnvMasterKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			program, err := workerBinary()
			must(t, err)
			command := exec.CommandContext(t.Context(), program)
			command.Env = []string{"CONCORD_LEDGER=" + s.settings.Ledger.Reveal(), "TEMPORAL_ADDRESS=" + temporalServer.Address()}
			if c.key != "" {
				command.Env = append(command.Env, keys.EnvMasterKey+"="+c.key)
			}
			out, err := command.CombinedOutput()
			if command.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), c.want) {
				t.Errorf("the worker ended with %v and said %q; want exit code 1 and a word about %s", err, out, c.want)
			}
			if c.key != "" && strings.Contains(string(out), c.key) {
				t.Error("the worker shows the key")
			}
		})
	}
}
