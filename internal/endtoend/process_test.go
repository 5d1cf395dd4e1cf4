package endtoend

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// workerBinary is built once, for the tests that kill a whole process. It lies in a directory that ends with the test binary.
var workerBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "worker")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/concordsync/concord/worker").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the worker: %w\n%s", err, out)
	}
	return path, nil
})

// workerProcess is a worker in a process of its own.
type workerProcess struct {
	t       *testing.T
	command *exec.Cmd
}

func (s *stack) startProcess() *workerProcess {
	s.t.Helper()
	path, err := workerBinary()
	must(s.t, err)
	c := exec.Command(path)
	c.Env = append(os.Environ(),
		"CONCORD_LEDGER="+s.settings.Ledger.Reveal(), "CONCORD_TASK_QUEUE="+s.settings.TaskQueue,
		"CONCORD_INTERVAL="+s.settings.Interval.String(), "CONCORD_ROUND_LIMIT="+s.settings.RoundLimit.String(),
		"CONCORD_CHECKOUT_WINDOW="+s.settings.CheckoutWindow.String(), "CONCORD_ORDER_LAG="+s.settings.OrderLag.String(),
		"CONCORD_CALL_TIMEOUT="+s.settings.CallTimeout.String(), "CONCORD_CLAIM_LEASE="+s.settings.ClaimLease.String(),
		"CONCORD_RUN_LEASE="+s.settings.RunLease.String(), "CONCORD_LOG_LEVEL=debug",
		"CONCORD_WEBHOOK_ADDRESS="+s.settings.WebhookAddress,
		"TEMPORAL_ADDRESS="+temporalServer.Address(), "TEMPORAL_NAMESPACE="+s.namespace,
	)
	if key := s.settings.MasterKey.Reveal(); key != "" {
		c.Env = append(c.Env, keys.EnvMasterKey+"="+key)
	}
	c.Stdout, c.Stderr = s.logs, s.logs
	must(s.t, c.Start())
	p := &workerProcess{t: s.t, command: c}
	s.t.Cleanup(p.kill)
	return p
}

// kill is kill -9; a second one does nothing.
func (p *workerProcess) kill() {
	if p.command.ProcessState == nil {
		_ = p.command.Process.Kill() // it may have ended by itself
		_ = p.command.Wait()         // its exit status is the signal's
	}
}

// settled waits until nothing is owed for an address, whatever was tried.
func (s *stack) settled(email string) {
	s.t.Helper()
	subject := consent.SubjectOf(s.host.Keys.SubjectKey(), s.id, consent.Email, email)
	s.until("agreement about "+email, func() (bool, string) {
		entries, err := s.host.Ledger.Load(s.t.Context(), s.id, consent.Email, []consent.Subject{subject})
		must(s.t, err)
		entry := entries[subject]
		return entry.Version > 0 && entry.Record.Decision.State.IsDecision() && entry.Record.Debts() == [2]consent.Debt{},
			fmt.Sprintf("%+v", entry)
	})
}

func (s *stack) effectiveWrites(email string) (toShopify, toListrak int) {
	for _, w := range s.shop.Writes() {
		if w.Email == email && w.Effective {
			toShopify++
		}
	}
	for _, w := range s.list.Writes() {
		if w.Email == email && w.Effective {
			toListrak++
		}
	}
	return toShopify, toListrak
}

// A worker that dies in the middle of a write loses nothing and writes nothing twice.
func TestAKilledWorkerLosesNothingAndWritesNothingTwice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		kind fault.Kind
		sync consent.Sync
	}{
		{"to Shopify, after the write took effect", fault.TimeoutAfter, consent.EmailToShopify},
		{"to Shopify, before the write took effect", fault.TimeoutBefore, consent.EmailToShopify},
		{"to Listrak, after the write took effect", fault.TimeoutAfter, consent.EmailToListrak},
		{"to Listrak, before the write took effect", fault.TimeoutBefore, consent.EmailToListrak},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			first := s.startProcess()
			s.set(workflows.SyncDelta{c.sync: true})
			const email = "dora@example.com"
			hang := fault.Rule{Kind: c.kind, Delay: time.Hour, Times: 1}
			var struck func() map[fault.Kind]int
			if c.sync == consent.EmailToShopify {
				hang.Operation, struck = "customerCreate", s.shop.Faults.Struck
				s.shop.Faults.Set(1, hang)
				must(t, s.list.Subscribe(email, time.Now(), "Website"))
			} else {
				hang.Operation, struck = "POST Contact", s.list.Faults.Struck
				s.list.Faults.Set(1, hang)
				_, err := s.shop.CreateCustomer(shop.NewCustomer{Email: email, Consent: shop.Consent{State: shop.Subscribed}})
				must(t, err)
			}
			s.until("the write that hangs", func() (bool, string) { return struck()[c.kind] > 0, fmt.Sprint(struck()) })
			first.kill()
			s.startProcess()
			s.settled(email)
			s.shopShows(email, shop.Subscribed)
			s.listShows(email, list.Subscribed)
			toShopify, toListrak := s.effectiveWrites(email)
			if want := map[consent.Sync][2]int{consent.EmailToShopify: {1, 0}, consent.EmailToListrak: {0, 1}}[c.sync]; want != [2]int{toShopify, toListrak} {
				t.Errorf("effective writes to Shopify and Listrak: %d and %d, want %v", toShopify, toListrak, want)
			}
		})
	}
}
