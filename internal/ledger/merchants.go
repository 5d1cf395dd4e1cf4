package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
	// SMSURL and SMSList name the SMS list, likewise unique; 0 when there is none.
	SMSURL  string
	SMSList int
	// Settings is JSON that the ledger does not read (internal/merchant does). It holds no secrets.
	Settings []byte
	// The ledger sets what follows; AddMerchant ignores it.
	State      MerchantState
	Reason     string
	Generation int64
	CreatedAt  consent.Instant
}

// Secrets are sealed credentials by name. The ledger cannot read them.
type Secrets map[string][]byte

// AddMerchant stores a new merchant in state Running with every sync off, together with its secrets. A removed merchant of the same
// id and shop comes back with all that was known of it. Errors: ErrMerchantExists, ErrShopTaken, ErrListTaken,
// ErrSMSListTaken.
func (l *Ledger) AddMerchant(ctx context.Context, m Merchant, secrets Secrets) error {
	return l.transact(ctx, "add merchant", func(t *transaction) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		there, err := t.merchant(ctx, m.ID)
		switch {
		case errors.Is(err, ErrUnknownMerchant):
		case err != nil:
			return err
		case there.State != Removed || there.Shop != m.Shop:
			return ErrMerchantExists
		}
		if err := t.unclaimed(ctx, m); err != nil {
			return err
		}
		// Coming back, the merchant keeps its generation's height: a worker that still holds an older one must notice.
		if _, err := t.ExecContext(ctx, `INSERT INTO merchants
			(id, shop, listrak_url, email_list, sms_url, sms_list, settings, state, reason, generation, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', 1, $9)
			ON CONFLICT (id) DO UPDATE SET listrak_url = excluded.listrak_url, email_list = excluded.email_list,
			sms_url = excluded.sms_url, sms_list = excluded.sms_list, settings = excluded.settings, state = excluded.state, reason = '', generation = merchants.generation + 1`,
			m.ID, m.Shop, m.ListrakURL, m.EmailList, m.SMSURL, m.SMSList, string(m.Settings), string(Running), int64(now)); err != nil {
			return taken(err)
		}
		if err := t.putSecrets(ctx, m.ID, secrets); err != nil {
			return err
		}
		return t.journal(ctx, m.ID, []Line{{Kind: MerchantAdded, Side: NoSide}})
	})
}

// MerchantUpdate is what goes with an update of a merchant's row.
type MerchantUpdate struct {
	// Secrets replace all secrets, unless nil.
	Secrets Secrets
	// NewCredentials: an operator gave Secrets, rather than that they were sealed anew.
	NewCredentials bool
	// DropCursors are dropped: a new list's reading starts anew.
	DropCursors []string
	// LimitRaised: whoever the limit on re-subscriptions has stopped is judged anew, by the new one (I10).
	LimitRaised bool
	// State, unless empty, is what the merchant is put into, whatever it was, with Reason, which holds no personal data and no secret.
	State  MerchantState
	Reason string
}

// UpdateMerchant replaces Shop, the lists and Settings, raises the generation, and does what with says, all in one
// transaction. Generation must be the one that was read, otherwise two updates at once would lose one. Errors: ErrUnknownMerchant,
// ErrShopTaken, ErrListTaken, ErrSMSListTaken, ErrConflict.
func (l *Ledger) UpdateMerchant(ctx context.Context, m Merchant, with MerchantUpdate) error {
	return l.transact(ctx, "update merchant", func(t *transaction) error {
		if _, err := t.active(ctx, m.ID); err != nil {
			return err
		}
		if err := t.unclaimed(ctx, m); err != nil {
			return err
		}
		result, err := t.ExecContext(ctx, `UPDATE merchants SET shop = $1, listrak_url = $2, email_list = $3, sms_url = $4, sms_list = $5,
			settings = $6, generation = generation + 1 WHERE id = $7 AND generation = $8`,
			m.Shop, m.ListrakURL, m.EmailList, m.SMSURL, m.SMSList, string(m.Settings), m.ID, m.Generation)
		if err != nil {
			return taken(err)
		}
		if updated, err := result.RowsAffected(); err != nil {
			return err
		} else if updated == 0 {
			return ErrConflict
		}
		if with.Secrets != nil {
			if err := t.putSecrets(ctx, m.ID, with.Secrets); err != nil {
				return err
			}
		}
		if with.LimitRaised {
			if err := t.judgeAnew(ctx, m.ID); err != nil {
				return err
			}
		}
		for _, name := range with.DropCursors {
			if _, err := t.ExecContext(ctx, "DELETE FROM cursors WHERE merchant = $1 AND name = $2", m.ID, name); err != nil {
				return err
			}
		}
		line := Line{Kind: MerchantChanged, Side: NoSide}
		if with.NewCredentials {
			line.Reason = NewCredentials
		}
		lines := []Line{line}
		if with.State != "" {
			if _, err := t.ExecContext(ctx, "UPDATE merchants SET state = $1, reason = $2 WHERE id = $3",
				string(with.State), text(with.Reason), m.ID); err != nil {
				return err
			}
			lines = append(lines, Line{Kind: StateChanged, Side: NoSide, Reason: Reason(with.State)})
		}
		return t.journal(ctx, m.ID, lines)
	})
}

// Merchant returns one merchant, or ErrUnknownMerchant when there is none or it was removed.
func (l *Ledger) Merchant(ctx context.Context, id string) (Merchant, error) {
	var m Merchant
	err := each(ctx, l.reads, func(rows *sql.Rows) (err error) {
		m, err = scanMerchant(rows)
		return err
	}, "SELECT "+merchantColumns+" FROM merchants WHERE id = $1 AND state <> 'removed'", id)
	if err != nil {
		return Merchant{}, fmt.Errorf("read merchant: %w", explain(err))
	}
	if m.ID == "" {
		return Merchant{}, fmt.Errorf("read merchant %q: %w", id, ErrUnknownMerchant)
	}
	return m, nil
}

// Merchants returns all that are not removed, by id.
func (l *Ledger) Merchants(ctx context.Context) ([]Merchant, error) {
	var all []Merchant
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		m, err := scanMerchant(rows)
		all = append(all, m)
		return err
	}, "SELECT "+merchantColumns+" FROM merchants WHERE state <> 'removed' ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("list merchants: %w", explain(err))
	}
	return all, nil
}

// RemoveMerchant ends a merchant: every sync goes off, its secrets, cursors and sealed addresses are erased, shop and list become free.
// Decisions and journal stay. ErrUnknownMerchant when there is none.
func (l *Ledger) RemoveMerchant(ctx context.Context, id string) error {
	return l.transact(ctx, "remove merchant", func(t *transaction) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if _, err := t.active(ctx, id); err != nil {
			return err
		}
		switches, err := switchesOf(ctx, t, id)
		if err != nil {
			return err
		}
		for sync, s := range switches.Syncs {
			if s.On {
				if err := t.turn(ctx, id, sync, s, false, now); err != nil {
					return err
				}
			}
		}
		if _, err := t.ExecContext(ctx, "UPDATE merchants SET state = 'removed', reason = '', generation = generation + 1 WHERE id = $1",
			id); err != nil {
			return err
		}
		// Whoever comes back, perhaps with another list, is read anew.
		for _, table := range []string{"secrets", "cursors"} {
			if _, err := t.ExecContext(ctx, "DELETE FROM "+table+" WHERE merchant = $1", id); err != nil {
				return err
			}
		}
		// Nothing will be delivered, so no address is needed; whoever is owed something after a return is asked for by id.
		if _, err := t.ExecContext(ctx, "UPDATE subjects SET address = NULL WHERE merchant = $1 AND address IS NOT NULL", id); err != nil {
			return err
		}
		return t.journal(ctx, id, []Line{{Kind: MerchantRemoved, Side: NoSide}})
	})
}

// Secrets returns the sealed credentials of a merchant, empty when it has none.
func (l *Ledger) Secrets(ctx context.Context, merchant string) (Secrets, error) {
	secrets := Secrets{}
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var name string
		var sealed []byte
		err := rows.Scan(&name, &sealed)
		secrets[name] = sealed
		return err
	}, "SELECT name, sealed FROM secrets WHERE merchant = $1", merchant)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", explain(err))
	}
	return secrets, nil
}

// PutSecrets replaces all secrets of a merchant, for sealing them with a new master key or after a changed credential.
func (l *Ledger) PutSecrets(ctx context.Context, merchant string, secrets Secrets) error {
	return l.transact(ctx, "store secrets", func(t *transaction) error {
		if _, err := t.active(ctx, merchant); err != nil {
			return err
		}
		return t.putSecrets(ctx, merchant, secrets)
	})
}

const merchantColumns = "id, shop, listrak_url, email_list, sms_url, sms_list, settings, state, reason, generation, created_at"

func scanMerchant(rows *sql.Rows) (Merchant, error) {
	var m Merchant
	var created int64
	err := rows.Scan(&m.ID, &m.Shop, &m.ListrakURL, &m.EmailList, &m.SMSURL, &m.SMSList, &m.Settings, &m.State, &m.Reason, &m.Generation, &created)
	m.CreatedAt = consent.Instant(created)
	return m, err
}

// merchant reads and locks a merchant, removed or not.
func (t *transaction) merchant(ctx context.Context, id string) (Merchant, error) {
	var m Merchant
	err := each(ctx, t, func(rows *sql.Rows) (err error) {
		m, err = scanMerchant(rows)
		return err
	}, "SELECT "+merchantColumns+" FROM merchants WHERE id = $1"+t.ledger.dialect.forWrite(), id)
	if err == nil && m.ID == "" {
		err = ErrUnknownMerchant
	}
	return m, err
}

// active is merchant, but a removed one is unknown.
func (t *transaction) active(ctx context.Context, id string) (Merchant, error) {
	m, err := t.merchant(ctx, id)
	if err == nil && m.State == Removed {
		err = ErrUnknownMerchant
	}
	return m, err
}

// unclaimed fails when another merchant has the shop or the list.
func (t *transaction) unclaimed(ctx context.Context, m Merchant) error {
	return each(ctx, t, func(rows *sql.Rows) error {
		var shop, url string
		var list int
		if err := rows.Scan(&shop, &url, &list); err != nil {
			return err
		}
		switch {
		case shop == m.Shop:
			return ErrShopTaken
		case url == m.ListrakURL && list == m.EmailList:
			return ErrListTaken
		}
		return ErrSMSListTaken
	}, `SELECT shop, listrak_url, email_list FROM merchants WHERE id <> $1 AND state <> 'removed'
		AND (shop = $2 OR listrak_url = $3 AND email_list = $4 AND email_list <> 0 OR sms_url = $5 AND sms_list = $6 AND sms_list <> 0)
		ORDER BY CASE WHEN shop = $2 THEN 0 ELSE 1 END`, m.ID, m.Shop, m.ListrakURL, m.EmailList, m.SMSURL, m.SMSList)
}

// taken names what two processes wanted at the same moment; unclaimed found it free.
func taken(err error) error {
	switch uniqueViolation(err) {
	case "merchants_shop":
		return ErrShopTaken
	case "merchants_list":
		return ErrListTaken
	case "merchants_sms_list":
		return ErrSMSListTaken
	case "merchants_pkey":
		return ErrMerchantExists
	}
	return err
}

func (t *transaction) putSecrets(ctx context.Context, merchant string, secrets Secrets) error {
	if _, err := t.ExecContext(ctx, "DELETE FROM secrets WHERE merchant = $1", merchant); err != nil {
		return err
	}
	for name, sealed := range secrets {
		if _, err := t.ExecContext(ctx, "INSERT INTO secrets (merchant, name, sealed) VALUES ($1, $2, $3)",
			merchant, name, notNull(sealed)); err != nil {
			return err
		}
	}
	return nil
}
