package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/privacy"
	"github.com/concordsync/concord/workflows"
)

// forgetters make clients of Listrak's Privacy API and keep them while settings and credentials stay what they are. Merchants of one
// Listrak account share its rate.
type forgetters struct {
	merchants *merchant.Store
	now       func() time.Time

	mu    sync.Mutex
	open  map[string]*openForgetter
	rates map[string]*listrak.PrivacyRate
}

type openForgetter struct {
	// with are the addresses, the credentials and the spelling that the client was made with.
	with   [5]string
	client *listrak.PrivacyClient
}

// client returns the client of a merchant; privacy.ErrNoAccess when it has no credentials of a Privacy integration.
func (f *forgetters) client(ctx context.Context, id string) (privacy.Forgetter, error) {
	m, err := f.merchants.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if held, err := f.merchants.HasCredentials(ctx, id); err != nil || !held {
		return nil, cmp.Or(err, privacy.ErrNoAccess)
	}
	credentials, err := f.merchants.Credentials(ctx, id)
	if err != nil {
		return nil, err
	}
	if !credentials.HasPrivacy() {
		return nil, privacy.ErrNoAccess
	}
	config := PrivacyConfig(m.Settings, credentials)
	f.mu.Lock()
	defer f.mu.Unlock()
	with := [5]string{config.BaseURL, config.AuthURL, config.ClientID, config.ClientSecret, string(config.Spelling)}
	if known := f.open[id]; known != nil && known.with == with {
		return known.client, nil
	}
	account := cmp.Or(config.BaseURL, listrak.DefaultPrivacyURL) + " " + config.ClientID
	if f.rates[account] == nil {
		f.rates[account] = listrak.NewPrivacyRate()
	}
	config.Rate, config.Now, config.HTTP = f.rates[account], f.now, &http.Client{Transport: wire, Timeout: listrakTimeout}
	client, err := listrak.NewPrivacy(config)
	if err != nil {
		return nil, err
	}
	f.open[id] = &openForgetter{with, client}
	return client, nil
}

// PrivacyConfig is what a client of the merchant's Privacy integration needs to know.
func PrivacyConfig(settings merchant.Settings, credentials merchant.Credentials) listrak.PrivacyConfig {
	return listrak.PrivacyConfig{
		BaseURL: settings.ListrakPrivacyURL, AuthURL: settings.ListrakAuthURL,
		ClientID: credentials.ListrakPrivacyClientID, ClientSecret: credentials.ListrakPrivacyClientSecret,
		Spelling: spellingOf(settings),
	}
}

const (
	// sweepInterval is how often it is looked for privacy requests that nobody does.
	sweepInterval = time.Minute
	// startedFor is for how long a request that this process has started is not started again: its workflow runs, unless an operator
	// has ended it.
	startedFor = 10 * time.Minute
	// sweepPage bounds what is read at once.
	sweepPage = 200
	// startTimeout bounds starting one workflow.
	startTimeout = 10 * time.Second
)

// sweep looks after privacy requests: it starts the workflows of those that nobody does, because Temporal or every worker was away when
// they came, and forgets what is left of erased merchants in the end.
type sweep struct {
	host *Host
	// start makes sure that the workflow of a request runs.
	start func(ctx context.Context, merchant, request string) error
	now   func() time.Time
	// started are the requests that this process has started, and when.
	started map[[2]string]time.Time
}

// run sweeps at once and with every tick, until ctx ends.
func (s *sweep) run(ctx context.Context, ticks <-chan time.Time) {
	for {
		if err := s.once(ctx); err != nil && ctx.Err() == nil {
			// Nothing is lost: the requests are rows, and the next sweep finds them.
			s.host.Log.Warn("Open privacy requests could not all be looked after; it is tried again in a minute", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
	}
}

func (s *sweep) once(ctx context.Context) error {
	failed := s.startAll(ctx)
	// Retention ends also while Temporal is away.
	forgotten, err := s.host.Ledger.ForgetErased(ctx)
	for _, id := range forgotten {
		s.host.Log.Info("The hashed opt-outs of an erased merchant are forgotten: their retention has ended", "merchant", id)
	}
	return errors.Join(failed, err)
}

// startFailures are taken for an outage of Temporal; fewer must not keep the other requests waiting.
const startFailures = 3

func (s *sweep) startAll(ctx context.Context) error {
	now := s.now()
	var failed []error
	var after ledger.MerchantRequest
	open := map[[2]string]time.Time{}
	for {
		page, err := s.host.Ledger.OpenPrivacyRequests(ctx, after, sweepPage)
		if err != nil {
			return err
		}
		for _, r := range page {
			key := [2]string{r.Merchant, r.ID}
			if began, ok := s.started[key]; ok && now.Sub(began) < startedFor {
				open[key] = began
				continue
			}
			if err := s.startOne(ctx, r); err != nil {
				failed = append(failed, fmt.Errorf("start privacy request %s: %w", r.ID, err))
				if len(failed) == startFailures {
					return errors.Join(failed...)
				}
				continue
			}
			open[key] = now
			// At once: what was started before a failure is not started again with the next sweep.
			s.started[key] = now
		}
		if len(page) < sweepPage {
			// Only those that are still open are remembered.
			s.started = open
			return errors.Join(failed...)
		}
		after = page[len(page)-1]
	}
}

func (s *sweep) startOne(ctx context.Context, r ledger.MerchantRequest) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return s.start(ctx, r.Merchant, r.ID)
}

// tended is a worker beside which the sweep runs, for as long as the worker does.
type tended struct {
	worker.Worker
	tend func(ctx context.Context)

	mu     sync.Mutex
	cancel context.CancelFunc
	ended  chan struct{}
}

// tended puts the sweep beside a worker.
func (h *Host) tended(w worker.Worker, c client.Client) worker.Worker {
	return &tended{Worker: w, tend: func(ctx context.Context) {
		h.startEngagements(ctx, c)
		ticker := time.NewTicker(sweepInterval)
		defer ticker.Stop()
		s := &sweep{host: h, now: time.Now, started: map[[2]string]time.Time{}, start: func(ctx context.Context, merchant, request string) error {
			_, err := workflows.StartPrivacyRequest(ctx, c, h.Settings.TaskQueue, merchant, request)
			return err
		}}
		s.run(ctx, ticker.C)
	}}
}

func (t *tended) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel, t.ended = cancel, make(chan struct{})
	go func() {
		defer close(t.ended)
		t.tend(ctx)
	}()
}

func (t *tended) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel == nil {
		return
	}
	t.cancel()
	<-t.ended
	t.cancel = nil
}

// Start starts the worker, then the sweep.
func (t *tended) Start() error {
	if err := t.Worker.Start(); err != nil {
		return err
	}
	t.begin()
	return nil
}

// Run is Start, waiting for the interrupt, and Stop.
func (t *tended) Run(interrupt <-chan interface{}) error {
	t.begin()
	defer t.end()
	return t.Worker.Run(interrupt)
}

// Stop ends the sweep, then the worker.
func (t *tended) Stop() {
	t.end()
	t.Worker.Stop()
}
