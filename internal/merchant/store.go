package merchant

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// Rows is the part of *ledger.Ledger that merchants are kept in.
type Rows interface {
	AddMerchant(ctx context.Context, m ledger.Merchant, secrets ledger.Secrets) error
	UpdateMerchant(ctx context.Context, m ledger.Merchant, with ledger.MerchantUpdate) error
	CountSubjects(ctx context.Context, merchant string, channels ...consent.Channel) (int64, error)
	Merchant(ctx context.Context, id string) (ledger.Merchant, error)
	Merchants(ctx context.Context) ([]ledger.Merchant, error)
	RemoveMerchant(ctx context.Context, id string) error
	Secrets(ctx context.Context, merchant string) (ledger.Secrets, error)
	Now(ctx context.Context) (consent.Instant, error)
}

// credentialsName is the name of the sealed secret that holds a merchant's credentials; webhookSecretsName is the other one there is.
const credentialsName = "credentials"

// updateTries bounds how often Update starts again when others change the same merchant. Operators and one worker change it, so
// the second try nearly always ends it.
const updateTries = 10

// Store keeps merchants in a ledger. It is safe for concurrent use.
type Store struct {
	rows    Rows
	sealer  Sealer
	cursors Cursors
}

// Cursors names the cursors of readings of a merchant's lists: they are dropped when the merchant gets another list, so that its reading
// starts anew.
type Cursors struct{ Email, SMS []string }

// NewStore returns a Store over a ledger and a key ring.
func NewStore(rows Rows, sealer Sealer, cursors Cursors) *Store {
	return &Store{rows: rows, sealer: sealer, cursors: cursors}
}

// Merchant is a merchant as the ledger knows it.
type Merchant struct {
	Settings Settings             `json:"settings"`
	State    ledger.MerchantState `json:"state"`
	// Reason says why it is paused or broken, for a person.
	Reason string `json:"reason,omitempty"`
	// Generation rises with every change of settings, credentials or syncs.
	Generation int64     `json:"generation"`
	CreatedAt  time.Time `json:"created_at"`
}

// Add normalises and stores a new merchant with its credentials, every sync off, and returns the settings as stored. Errors hold
// *Invalid, ledger.ErrMerchantExists, ledger.ErrShopTaken, ledger.ErrListTaken or ledger.ErrSMSListTaken, and say what to do; nothing is
// stored then.
func (s *Store) Add(ctx context.Context, settings Settings, credentials Credentials) (Settings, error) {
	if err := errors.Join(settings.Normalize(), credentials.Normalize()); err != nil {
		return Settings{}, err
	}
	settings.ZoneProven = false
	row, err := toRow(settings, nil)
	if err != nil {
		return Settings{}, fmt.Errorf("add merchant %s: %w", settings.ID, err)
	}
	secrets, err := s.seal(settings.ID, credentials)
	if err != nil {
		return Settings{}, fmt.Errorf("add merchant %s: %w", settings.ID, err)
	}
	if err := s.rows.AddMerchant(ctx, row, secrets); err != nil {
		return Settings{}, fmt.Errorf("add merchant %s: %w", settings.ID, s.explain(ctx, err, settings))
	}
	return settings, nil
}

// Update changes a merchant: change edits a copy of the settings (nil edits nothing), and what is set in credentials replaces what
// was (nil replaces nothing). change may be called several times, whenever somebody else changed the merchant in between. A new
// list or a new address of Listrak drops the cursors of its reading and unproves the zone, and so does a new zone. A higher limit on
// re-subscriptions lets those go on whom the old one had stopped, as far as it reaches. The shop cannot change. It returns the settings as stored; errors are those of Add, of change, and ledger.ErrUnknownMerchant; nothing is stored then.
func (s *Store) Update(ctx context.Context, id string, change func(*Settings) error, credentials *Credentials) (Settings, error) {
	id, err := ParseID(id)
	if err != nil {
		return Settings{}, err
	}
	for range updateTries {
		settings, err := s.update(ctx, id, change, credentials)
		if errors.Is(err, ledger.ErrConflict) {
			continue
		}
		if err != nil {
			return Settings{}, fmt.Errorf("change merchant %s: %w", id, err)
		}
		return settings, nil
	}
	return Settings{}, fmt.Errorf("change merchant %s: others keep changing it: try again", id)
}

func (s *Store) update(ctx context.Context, id string, change func(*Settings) error, credentials *Credentials) (Settings, error) {
	row, err := s.rows.Merchant(ctx, id)
	if err != nil {
		return Settings{}, s.explain(ctx, err, Settings{ID: id})
	}
	before, err := fromRow(row)
	if err != nil {
		return Settings{}, err
	}
	after, err := fromRow(row) // not a copy of before: they would share their lists
	if err != nil {
		return Settings{}, err
	}
	if change != nil {
		if err := change(&after); err != nil {
			return Settings{}, err
		}
	}
	if err := after.Normalize(); err != nil {
		return Settings{}, err
	}
	if after.ID != before.ID {
		return Settings{}, &Invalid{"--shop", "cannot change: every record is kept by shop. Add the other shop as a merchant of its own"}
	}
	newList := after.EmailList != before.EmailList || after.ListrakURL != before.ListrakURL
	if newList || after.Zone != before.Zone {
		after.ZoneProven = false
	}
	var with ledger.MerchantUpdate
	if credentials != nil && !credentials.IsZero() {
		if with, err = s.mergeSecrets(ctx, id, *credentials); err != nil {
			return Settings{}, err
		}
		with.NewCredentials = true
	}
	if was, is := before.ResubscriptionLimit(), after.ResubscriptionLimit(); was != is {
		known, err := s.rows.CountSubjects(ctx, id)
		if err != nil {
			return Settings{}, s.explain(ctx, err, after)
		}
		with.LimitRaised = is.Of(known) > was.Of(known)
	}
	next, err := toRow(after, row.Settings)
	if err != nil {
		return Settings{}, err
	}
	next.Generation = row.Generation
	if newList {
		with.DropCursors = append(with.DropCursors, s.cursors.Email...)
	}
	if after.SMS.NewList(before.SMS) {
		with.DropCursors = append(with.DropCursors, s.cursors.SMS...)
	}
	if err := s.rows.UpdateMerchant(ctx, next, with); err != nil {
		return Settings{}, s.explain(ctx, err, after)
	}
	return after, nil
}

// mergeSecrets puts what is new over what is stored. Complete new credentials need nothing of the old ones, so they are the way out
// when those cannot be opened any more. Whoever had uninstalled the app is back with them.
func (s *Store) mergeSecrets(ctx context.Context, id string, newer Credentials) (with ledger.MerchantUpdate, err error) {
	held, err := s.rows.Secrets(ctx, id)
	if err != nil {
		return with, s.explain(ctx, err, Settings{ID: id})
	}
	older, kept, err := s.open(id, held)
	complete := newer
	if err != nil {
		if complete.Normalize() != nil {
			return with, fmt.Errorf("%w. Give all credentials anew to replace them", err)
		}
		with.Secrets, err = s.seal(id, complete)
		return with, err
	}
	merged := older.Merge(newer)
	if err := merged.Normalize(); err != nil {
		return with, err
	}
	if with.Secrets, err = s.seal(id, merged); err != nil {
		return with, err
	}
	now, err := s.rows.Now(ctx)
	if err != nil {
		return with, err
	}
	with.State = kept.Was
	kept.rotate(older.ShopifyClientSecret, merged.ShopifyClientSecret, now)
	if kept.isZero() {
		return with, nil
	}
	with.Secrets[webhookSecretsName], err = kept.seal(s.sealer, id)
	return with, err
}

// open opens all that a merchant's secrets hold; what is not there is zero.
func (s *Store) open(id string, held ledger.Secrets) (credentials Credentials, kept webhookSecrets, err error) {
	if sealed, found := held[credentialsName]; found {
		if credentials, err = OpenCredentials(s.sealer, id, sealed); err != nil {
			return credentials, kept, err
		}
	}
	if sealed, found := held[webhookSecretsName]; found {
		kept, err = openWebhookSecrets(s.sealer, id, sealed)
	}
	return credentials, kept, err
}

func (s *Store) seal(id string, credentials Credentials) (ledger.Secrets, error) {
	sealed, err := credentials.Seal(s.sealer, id)
	if err != nil {
		return nil, err
	}
	return ledger.Secrets{credentialsName: sealed}, nil
}

// Get returns one merchant by id or shop. Errors: *Invalid, ledger.ErrUnknownMerchant.
func (s *Store) Get(ctx context.Context, id string) (Merchant, error) {
	id, err := ParseID(id)
	if err != nil {
		return Merchant{}, err
	}
	row, err := s.rows.Merchant(ctx, id)
	if err != nil {
		return Merchant{}, fmt.Errorf("read merchant %s: %w", id, s.explain(ctx, err, Settings{ID: id}))
	}
	return toMerchant(row)
}

// List returns all merchants by id.
func (s *Store) List(ctx context.Context) ([]Merchant, error) {
	rows, err := s.rows.Merchants(ctx)
	if err != nil {
		return nil, fmt.Errorf("list merchants: %w", err)
	}
	merchants := make([]Merchant, 0, len(rows))
	for _, row := range rows {
		m, err := toMerchant(row)
		if err != nil {
			return nil, fmt.Errorf("list merchants: %w", err)
		}
		merchants = append(merchants, m)
	}
	return merchants, nil
}

// Credentials opens the credentials of a merchant. Errors: *Invalid, ledger.ErrUnknownMerchant, keys.ErrWrongKey, keys.ErrDamaged, and
// one that says how to set credentials when there are none.
func (s *Store) Credentials(ctx context.Context, id string) (Credentials, error) {
	id, err := ParseID(id)
	if err != nil {
		return Credentials{}, err
	}
	secrets, err := s.rows.Secrets(ctx, id)
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials of merchant %s: %w", id, s.explain(ctx, err, Settings{ID: id}))
	}
	sealed, found := secrets[credentialsName]
	if !found {
		// A ledger answers "no secrets" for a merchant that it does not know, too.
		if _, err := s.rows.Merchant(ctx, id); err != nil {
			return Credentials{}, fmt.Errorf("read credentials of merchant %s: %w", id, s.explain(ctx, err, Settings{ID: id}))
		}
		return Credentials{}, fmt.Errorf("read credentials of merchant %s: there are none. Set %s and the others, then run: starter merchant set %s --credentials",
			id, EnvListrakClientID, id)
	}
	return OpenCredentials(s.sealer, id, sealed)
}

// EventSecrets returns the secrets that may sign events of a merchant; none when there is none. Errors: those of Credentials, but that a merchant
// without credentials has no secrets.
func (s *Store) EventSecrets(ctx context.Context, id string) ([]string, error) {
	if has, err := s.HasCredentials(ctx, id); err != nil || !has {
		return nil, err
	}
	credentials, err := s.Credentials(ctx, id)
	if err != nil || credentials.EventsSecret == "" {
		return nil, err
	}
	return []string{credentials.EventsSecret}, nil
}

// HasCredentials reports whether credentials are stored. Errors: *Invalid, and what the ledger says.
func (s *Store) HasCredentials(ctx context.Context, id string) (bool, error) {
	id, err := ParseID(id)
	if err != nil {
		return false, err
	}
	secrets, err := s.rows.Secrets(ctx, id)
	if err != nil {
		return false, fmt.Errorf("read credentials of merchant %s: %w", id, err)
	}
	_, found := secrets[credentialsName]
	return found, nil
}

// Remove ends a merchant and erases its credentials; decisions stay. Errors: *Invalid, ledger.ErrUnknownMerchant.
func (s *Store) Remove(ctx context.Context, id string) error {
	id, err := ParseID(id)
	if err != nil {
		return err
	}
	if err := s.rows.RemoveMerchant(ctx, id); err != nil {
		return fmt.Errorf("remove merchant %s: %w", id, s.explain(ctx, err, Settings{ID: id}))
	}
	return nil
}

// Reseal seals the credentials of every merchant with the primary master key, after a rotation, and returns how many needed it.
// It can be repeated. An older master key may be retired once this returned without an error and no sealed address is older.
func (s *Store) Reseal(ctx context.Context) (int, error) {
	rows, err := s.rows.Merchants(ctx)
	if err != nil {
		return 0, fmt.Errorf("seal credentials anew: %w", err)
	}
	count := 0
	for _, row := range rows {
		changed, err := s.reseal(ctx, row.ID)
		if err != nil {
			return count, fmt.Errorf("seal credentials of merchant %s anew: %w", row.ID, err)
		}
		if changed {
			count++
		}
	}
	return count, nil
}

func (s *Store) reseal(ctx context.Context, id string) (bool, error) {
	for range updateTries {
		// The merchant is read before its secrets: a change between the two raises the generation, and the update below starts again.
		row, err := s.rows.Merchant(ctx, id)
		if errors.Is(err, ledger.ErrUnknownMerchant) {
			return false, nil // removed meanwhile, and its secrets with it
		}
		if err != nil {
			return false, err
		}
		held, err := s.rows.Secrets(ctx, id)
		if err != nil {
			return false, err
		}
		fresh, stale := make(ledger.Secrets, len(held)), false
		for name, sealed := range held {
			out, changed, err := s.sealer.Reseal(sealed, "merchant/"+id+"/"+name)
			if err != nil {
				return false, err
			}
			fresh[name], stale = out, stale || changed
		}
		if !stale {
			return false, nil
		}
		err = s.rows.UpdateMerchant(ctx, row, ledger.MerchantUpdate{Secrets: fresh})
		if !errors.Is(err, ledger.ErrConflict) {
			return err == nil, err
		}
	}
	return false, errors.New("others keep changing it: try again")
}

func toRow(s Settings, previous []byte) (ledger.Merchant, error) {
	data, err := encode(s, previous)
	if err != nil {
		return ledger.Merchant{}, fmt.Errorf("write settings: %w", err)
	}
	// The list is unique by what the ledger is told here, so the real address must have one spelling.
	return ledger.Merchant{ID: s.ID, Shop: s.Shop, ListrakURL: cmp.Or(s.ListrakURL, ListrakURL), EmailList: s.EmailList,
		SMSURL: cmp.Or(s.SMS.URL, ListrakSMSURL), SMSList: s.SMS.List, Settings: data}, nil
}

func fromRow(row ledger.Merchant) (Settings, error) {
	var s Settings
	if err := json.Unmarshal(row.Settings, &s); err != nil {
		return Settings{}, fmt.Errorf("merchant %s: %w", row.ID, err)
	}
	return s, nil
}

func toMerchant(row ledger.Merchant) (Merchant, error) {
	settings, err := fromRow(row)
	if err != nil {
		return Merchant{}, err
	}
	return Merchant{Settings: settings, State: row.State, Reason: row.Reason, Generation: row.Generation, CreatedAt: row.CreatedAt.Time()}, nil
}

// explained says in a sentence for the operator what a ledger's error means; its chain keeps the ledger's.
type explained struct {
	sentence string
	cause    error
}

func (e *explained) Error() string { return e.sentence }
func (e *explained) Unwrap() error { return e.cause }

func (s *Store) explain(ctx context.Context, err error, settings Settings) error {
	switch {
	case errors.Is(err, ledger.ErrUnknownMerchant):
		return &explained{fmt.Sprintf("no merchant %s is known: `starter merchant list` shows those that are", settings.ID), err}
	case errors.Is(err, ledger.ErrShopTaken), errors.Is(err, ledger.ErrMerchantExists):
		return &explained{fmt.Sprintf("shop %s is a merchant already: change it with `starter merchant set %s`", settings.Shop, settings.ID), err}
	case errors.Is(err, ledger.ErrListTaken):
		return &explained{fmt.Sprintf("list %d belongs to %s: a Listrak list can serve one store. Give another one with --list",
			settings.EmailList, s.owner(ctx, func(row ledger.Merchant) bool {
				return row.ID != settings.ID && row.EmailList == settings.EmailList && row.ListrakURL == cmp.Or(settings.ListrakURL, ListrakURL)
			})), err}
	case errors.Is(err, ledger.ErrSMSListTaken):
		return &explained{fmt.Sprintf("SMS list %d belongs to %s: a Listrak list can serve one store. Give another one with --sms-list",
			settings.SMS.List, s.owner(ctx, func(row ledger.Merchant) bool {
				return row.ID != settings.ID && row.SMSList == settings.SMS.List && row.SMSURL == cmp.Or(settings.SMS.URL, ListrakSMSURL)
			})), err}
	default:
		return err
	}
}

// owner names the merchant that has the list; a ledger that cannot say so must not hide the error that is being explained.
func (s *Store) owner(ctx context.Context, has func(ledger.Merchant) bool) string {
	rows, err := s.rows.Merchants(ctx)
	if err != nil {
		return "another merchant"
	}
	for _, row := range rows {
		if has(row) {
			return "merchant " + row.ID
		}
	}
	return "another merchant"
}
