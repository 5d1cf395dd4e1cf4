package ledger

import (
	"context"

	"github.com/concordsync/concord/internal/consent"
)

// MerchantState says whether anything may run for a merchant. The values are stored.
type MerchantState string

const (
	Running MerchantState = "running"
	// Paused by an operator: no calls to either side; intervals, cursors and debts stay (rule 12).
	Paused MerchantState = "paused"
	// Broken: stopped because a person must act (credential, scope, setting); Reason says what.
	Broken MerchantState = "broken"
	// Removed: no longer a merchant. What was decided stays, so that coming back does not lose an opt-out.
	Removed MerchantState = "removed"
)

// Merchant is one Shopify store with its Listrak lists.
type Merchant struct {
	ID string
	// Shop is the *.myshopify.com domain, unique among merchants that are not removed.
	Shop string
	// ListrakURL and EmailList together name the list, unique among merchants that are not removed.
	ListrakURL string
	EmailList  int
	// Settings is JSON that the ledger does not read (internal/merchant does). It holds no secrets.
	Settings []byte
	// The ledger sets what follows; AddMerchant and UpdateMerchant ignore it.
	State      MerchantState
	Reason     string
	Generation int64
	CreatedAt  consent.Instant
}

// Secrets are sealed credentials by name. The ledger cannot read them.
type Secrets map[string][]byte

// AddMerchant stores a new merchant in state Running with every sync off, together with its secrets. A removed merchant of the same
// id and shop comes back with all that was known of it. Errors: ErrMerchantExists, ErrShopTaken, ErrListTaken.
func (l *Ledger) AddMerchant(ctx context.Context, m Merchant, secrets Secrets) error

// UpdateMerchant replaces Shop, ListrakURL, EmailList and Settings, raises the generation, replaces all secrets unless secrets is
// nil, and drops the named cursors, all in one transaction: a new list's reading starts anew. Errors: ErrUnknownMerchant,
// ErrShopTaken, ErrListTaken.
func (l *Ledger) UpdateMerchant(ctx context.Context, m Merchant, secrets Secrets, dropCursors ...string) error

// Merchant returns one merchant, or ErrUnknownMerchant when there is none or it was removed.
func (l *Ledger) Merchant(ctx context.Context, id string) (Merchant, error)

// Merchants returns all that are not removed, by id.
func (l *Ledger) Merchants(ctx context.Context) ([]Merchant, error)

// RemoveMerchant ends a merchant: every sync goes off, its secrets are erased, shop and list become free. Decisions and journal
// stay. ErrUnknownMerchant when there is none.
func (l *Ledger) RemoveMerchant(ctx context.Context, id string) error

// Secrets returns the sealed credentials of a merchant, empty when it has none.
func (l *Ledger) Secrets(ctx context.Context, merchant string) (Secrets, error)

// PutSecrets replaces all secrets of a merchant, for sealing them with a new master key or after a changed credential.
func (l *Ledger) PutSecrets(ctx context.Context, merchant string, secrets Secrets) error
