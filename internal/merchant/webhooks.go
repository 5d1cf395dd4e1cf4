package merchant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// webhookSecretsName is the name of the sealed secret that holds which secrets beside the credentials' may sign webhooks.
const webhookSecretsName = "webhooks"

// rotationTime is for how long a secret that was replaced may still sign (contracts/shopify.md 5.1).
const rotationTime = consent.Hour

// maxOldSecrets bounds what is kept of somebody who rotates again and again within the hour.
const maxOldSecrets = 4

// webhookSecrets are the secrets that may sign webhooks although no call is made with them any more.
type webhookSecrets struct {
	Version int `json:"version"`
	// Old were replaced; the newest is the last.
	Old []oldSecret `json:"old,omitempty"`
	// Was is the state of a merchant before the app was uninstalled; empty while it is installed.
	Was ledger.MerchantState `json:"was,omitempty"`
}

type oldSecret struct {
	Secret string `json:"secret"`
	// Until is when it ends, zero for never: of an app that was uninstalled, for what Shopify sends 48 hours later.
	Until consent.Instant `json:"until,omitempty"`
}

const webhookSecretsVersion = 1

func (w webhookSecrets) isZero() bool { return len(w.Old) == 0 && w.Was == "" }

// rotate notes that the credentials' secret has changed from one to the other; the app is installed then.
func (w *webhookSecrets) rotate(from, to string, now consent.Instant) {
	w.Was = ""
	if from != "" && from != to {
		w.Old = append(w.Old, oldSecret{Secret: from, Until: now.Plus(rotationTime)})
	}
	for i, old := range w.Old {
		if old.Until == 0 {
			w.Old[i].Until = now.Plus(rotationTime)
		}
	}
	w.Old = slices.DeleteFunc(w.Old, func(old oldSecret) bool { return old.Until <= now || old.Secret == to })
	w.Old = w.Old[max(0, len(w.Old)-maxOldSecrets):]
}

func (w webhookSecrets) seal(s Sealer, id string) ([]byte, error) {
	w.Version = webhookSecretsVersion
	plain, err := json.Marshal(w)
	if err != nil {
		return nil, errors.New("seal webhook secrets: they cannot be encoded") // the cause could quote a secret
	}
	sealed, err := s.Seal(plain, "merchant/"+id+"/"+webhookSecretsName)
	if err != nil {
		return nil, fmt.Errorf("seal webhook secrets: %w", err)
	}
	return sealed, nil
}

func openWebhookSecrets(s Sealer, id string, sealed []byte) (w webhookSecrets, err error) {
	plain, err := s.Open(sealed, "merchant/"+id+"/"+webhookSecretsName)
	if err != nil {
		return w, fmt.Errorf("open webhook secrets of merchant %s: %w", id, err)
	}
	if json.Unmarshal(plain, &w) != nil || w.Version != webhookSecretsVersion {
		return webhookSecrets{}, fmt.Errorf("open webhook secrets of merchant %s: they are in a form that this build does not know. Run a newer Concord", id)
	}
	return w, nil
}

// WebhookSecrets returns the secrets that may sign webhooks of a merchant now, the current one first: that of the credentials, those
// that were replaced less than an hour ago, and after an uninstallation the last one. It is empty when none is known, as of a merchant
// with a token alone. Errors: *Invalid, ledger.ErrUnknownMerchant, keys.ErrWrongKey, keys.ErrDamaged.
func (s *Store) WebhookSecrets(ctx context.Context, id string) ([]string, error) {
	id, err := ParseID(id)
	if err != nil {
		return nil, err
	}
	held, err := s.rows.Secrets(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read webhook secrets of merchant %s: %w", id, s.explain(ctx, err, Settings{ID: id}))
	}
	if len(held) == 0 {
		// A ledger answers "no secrets" for a merchant that it does not know, too.
		if _, err := s.rows.Merchant(ctx, id); err != nil {
			return nil, fmt.Errorf("read webhook secrets of merchant %s: %w", id, s.explain(ctx, err, Settings{ID: id}))
		}
	}
	credentials, kept, err := s.open(id, held)
	if err != nil {
		return nil, err
	}
	now, err := s.rows.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("read webhook secrets of merchant %s: %w", id, err)
	}
	var secrets []string
	if credentials.ShopifyClientSecret != "" {
		secrets = append(secrets, credentials.ShopifyClientSecret)
	}
	for _, old := range slices.Backward(kept.Old) {
		if old.Until == 0 || old.Until > now {
			secrets = append(secrets, old.Secret)
		}
	}
	return secrets, nil
}

// Uninstall notes that the merchant has uninstalled the app: in one transaction its credentials are erased, all but the secrets that
// verify webhooks, since Shopify sends shop/redact 48 hours later (contracts/shopify.md 5.3), and it is stopped with the reason, which an
// operator reads. Update with complete credentials brings it back, with the same ledger, as it was: running or paused. Doing it twice is
// harmless. Errors: *Invalid, ledger.ErrUnknownMerchant, keys.ErrWrongKey, keys.ErrDamaged.
func (s *Store) Uninstall(ctx context.Context, id, reason string) error {
	id, err := ParseID(id)
	if err != nil {
		return err
	}
	for range updateTries {
		err := s.uninstall(ctx, id, reason)
		if errors.Is(err, ledger.ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("note that merchant %s has uninstalled: %w", id, s.explain(ctx, err, Settings{ID: id}))
		}
		return nil
	}
	return fmt.Errorf("note that merchant %s has uninstalled: others keep changing it: try again", id)
}

func (s *Store) uninstall(ctx context.Context, id, reason string) error {
	row, err := s.rows.Merchant(ctx, id)
	if err != nil {
		return err
	}
	held, err := s.rows.Secrets(ctx, id)
	if err != nil {
		return err
	}
	credentials, kept, err := s.open(id, held)
	if err != nil {
		return err
	}
	if secret := credentials.ShopifyClientSecret; secret != "" {
		kept.Old = slices.DeleteFunc(kept.Old, func(old oldSecret) bool { return old.Secret == secret })
		kept.Old = append(kept.Old, oldSecret{Secret: secret})
	}
	if kept.Was == "" {
		kept.Was = ledger.Running
		if row.State == ledger.Paused {
			kept.Was = ledger.Paused
		}
	}
	sealed, err := kept.seal(s.sealer, id)
	if err != nil {
		return err
	}
	return s.rows.UpdateMerchant(ctx, row, ledger.MerchantUpdate{
		Secrets: ledger.Secrets{webhookSecretsName: sealed}, State: ledger.Broken, Reason: reason,
	})
}
