package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
)

const (
	// listTime is how old the list of merchants may be. Within it a rotation, a removal and a new merchant are noticed.
	listTime = 3 * time.Second
	// secretsTime is how old opened secrets may be of a merchant that was not changed since: with time the previous one ends.
	secretsTime = time.Minute
	// failedTime is how long the ledger is left alone after it did not answer.
	failedTime = 250 * time.Millisecond
	// listPatience bounds one reading of the list, which is shared by all who wait for it.
	listPatience = 3 * time.Second
)

// senders remembers who may send and by which secrets, so that a thousand webhooks a second cost no thousand reads and no thousand
// seals to open. It knows all merchants at once: a stranger who tries names costs the ledger nothing.
type senders struct {
	merchants Merchants
	now       func() time.Time

	reading singleflight.Group
	mu      sync.Mutex
	// list holds all merchants as of at; failed is why it could not be renewed since.
	list   map[string]*sender
	at     time.Time
	failed error
	until  time.Time
}

// sender is a merchant as the door knows it. It does not change once it is in the list, but for its secrets.
type sender struct {
	id, shop   string
	settings   merchant.Settings
	generation int64

	mu sync.Mutex
	// secrets were opened then, or could not be for the reason in failed.
	secrets []string
	failed  error
	opened  time.Time
}

// find returns a merchant with its secrets opened, or ledger.ErrUnknownMerchant.
func (s *senders) find(ctx context.Context, id string) (*sender, error) {
	list, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	found := list[id]
	if found == nil {
		return nil, ledger.ErrUnknownMerchant
	}
	if fresh, err := found.fresh(s.now()); fresh {
		return found, err
	}
	return found, s.shared(ctx, "secrets/"+id, func(ctx context.Context) error {
		now := s.now()
		secrets, err := s.merchants.WebhookSecrets(ctx, id)
		found.mu.Lock()
		defer found.mu.Unlock()
		found.secrets, found.failed, found.opened = secrets, err, now
		return err
	})
}

// current returns a list that is young enough.
func (s *senders) current(ctx context.Context) (map[string]*sender, error) {
	if list, ok, err := s.remembered(); ok {
		return list, err
	}
	if err := s.shared(ctx, "list", s.renew); err != nil {
		return nil, err
	}
	list, _, err := s.remembered()
	return list, err
}

func (s *senders) remembered() (map[string]*sender, bool, error) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failed != nil && now.Before(s.until):
		return nil, true, s.failed
	case s.list != nil && now.Sub(s.at) < listTime:
		return s.list, true, nil
	}
	return s.list, false, nil
}

// renew reads the list. Merchants that were not changed keep their opened secrets.
func (s *senders) renew(ctx context.Context) error {
	now := s.now()
	all, err := s.merchants.List(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed, s.until = err, s.now().Add(failedTime)
	if err != nil {
		return err
	}
	list := make(map[string]*sender, len(all))
	for _, m := range all {
		id := m.Settings.ID
		if before := s.list[id]; before != nil && before.generation == m.Generation {
			list[id] = before
			continue
		}
		list[id] = &sender{id: id, shop: m.Settings.Shop, settings: m.Settings, generation: m.Generation}
	}
	s.list, s.at = list, now
	return nil
}

// shared does what many want at once for all of them, and lets each wait only as long as it has time.
func (s *senders) shared(ctx context.Context, what string, do func(context.Context) error) error {
	done := s.reading.DoChan(what, func() (any, error) {
		// Not the first one's own time: it may be nearly over, and the others wait too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listPatience)
		defer cancel()
		return nil, do(ctx)
	})
	select {
	case result := <-done:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fresh reports whether the secrets need not be opened again now, and why there are none.
func (s *sender) fresh(now time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := secretsTime
	if s.failed != nil {
		most = failedTime
	}
	return !s.opened.IsZero() && now.Sub(s.opened) < most, s.failed
}

// signed reports whether any of the merchant's secrets made the signature. Each is compared in constant time.
func (s *sender) signed(body, signature []byte) bool {
	s.mu.Lock()
	secrets := s.secrets
	s.mu.Unlock()
	for _, secret := range secrets {
		if hmac.Equal(sum(hmac.New(sha256.New, []byte(secret)), body), signature) {
			return true
		}
	}
	return false
}
