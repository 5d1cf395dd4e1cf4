package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/concordsync/concord/internal/consent"
)

// ErrNoPrivacyRequest: the merchant has no privacy request of this id.
var ErrNoPrivacyRequest = errors.New("unknown privacy request")

// MerchantRequest is a privacy request with its merchant.
type MerchantRequest struct {
	Merchant string
	PrivacyRequest
}

// Open reports whether the request still has to be done.
func (r *PrivacyRequest) Open() bool { return r.Done == 0 }

// Overdue reports whether the request is, or was, not done in time.
func (r *PrivacyRequest) Overdue(now consent.Instant) bool { return cmp.Or(r.Done, now) > r.Due }

// AddPrivacyRequest keeps a request that a person has brought by hand; ID, Kind, Customer, Sealed and Received are taken from it. The same one
// again changes nothing. ErrUnknownMerchant when there is no such merchant.
func (l *Ledger) AddPrivacyRequest(ctx context.Context, merchant string, r PrivacyRequest) error {
	return l.transact(ctx, "keep a privacy request", func(t *transaction) error {
		if _, err := t.active(ctx, merchant); err != nil {
			return err
		}
		return t.addPrivacyRequest(ctx, merchant, r)
	})
}

// PrivacyRequest returns one request, or ErrNoPrivacyRequest.
func (l *Ledger) PrivacyRequest(ctx context.Context, merchant, id string) (PrivacyRequest, error) {
	found, err := l.privacyRequests(ctx, "merchant = $1 AND id = $2", merchant, text(id))
	switch {
	case err != nil:
		return PrivacyRequest{}, err
	case len(found) == 0:
		return PrivacyRequest{}, fmt.Errorf("read privacy request: %w", ErrNoPrivacyRequest)
	}
	return found[0].PrivacyRequest, nil
}

// OpenPrivacyRequests returns requests of all merchants that are not done, the oldest first, that come after the given one; of the zero
// MerchantRequest from the beginning.
func (l *Ledger) OpenPrivacyRequests(ctx context.Context, after MerchantRequest, limit int) ([]MerchantRequest, error) {
	return l.privacyRequests(ctx, "done = 0 AND (received, merchant, id) > ($1, $2, $3) ORDER BY received, merchant, id LIMIT $4",
		int64(after.Received), after.Merchant, text(after.ID), limit)
}

// PrivacyRequests returns the requests of a merchant, removed or not, or of all when it is empty: the open ones by when they are due, then
// those that are done, the newest first.
func (l *Ledger) PrivacyRequests(ctx context.Context, merchant string, limit int) ([]MerchantRequest, error) {
	return l.privacyRequests(ctx, `($1 = '' OR merchant = $1) ORDER BY CASE WHEN done = 0 THEN 0 ELSE 1 END,
		CASE WHEN done = 0 THEN due ELSE -done END, merchant, id LIMIT $2`, merchant, limit)
}

func (l *Ledger) privacyRequests(ctx context.Context, where string, args ...any) ([]MerchantRequest, error) {
	var list []MerchantRequest
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var r MerchantRequest
		err := rows.Scan(&r.Merchant, &r.ID, &r.Kind, &r.Customer, &r.Sealed, &r.Received, &r.Due, &r.Done, &r.Outcome, &r.Progress)
		if len(r.Sealed) == 0 {
			r.Sealed = nil
		}
		list = append(list, r)
		return err
	}, "SELECT merchant, id, kind, customer, sealed, received, due, done, outcome, progress FROM privacy_requests WHERE "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read privacy requests: %w", explain(err))
	}
	return list, nil
}

// PrivacyCounts is how a merchant stands to the rights of its people.
type PrivacyCounts struct {
	// Open counts the requests that are not done, and Overdue those of them that should be.
	Open, Overdue int64
	// NextDue is when the first of the open ones must be done; zero when none is open.
	NextDue consent.Instant
}

// PrivacyCounts counts a merchant's requests.
func (l *Ledger) PrivacyCounts(ctx context.Context, merchant string) (PrivacyCounts, error) {
	var c PrivacyCounts
	now, err := l.now(ctx, l.reads)
	if err == nil {
		err = l.reads.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(CASE WHEN due < $2 THEN 1 ELSE 0 END), 0), coalesce(min(due), 0)
			FROM privacy_requests WHERE merchant = $1 AND done = 0`, merchant, int64(now)).Scan(&c.Open, &c.Overdue, &c.NextDue)
	}
	if err != nil {
		return PrivacyCounts{}, fmt.Errorf("count privacy requests: %w", explain(err))
	}
	return c, nil
}

// SavePrivacyProgress replaces the progress of an open request. ErrNoPrivacyRequest when there is none, or it is done.
func (l *Ledger) SavePrivacyProgress(ctx context.Context, merchant, id, progress string) error {
	return l.transact(ctx, "save the progress of a privacy request", func(t *transaction) error {
		return t.saveProgress(ctx, merchant, id, progress)
	})
}

func (t *transaction) saveProgress(ctx context.Context, merchant, id, progress string) error {
	result, err := t.ExecContext(ctx, "UPDATE privacy_requests SET progress = $1 WHERE merchant = $2 AND id = $3 AND done = 0",
		text(progress), merchant, text(id))
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return ErrNoPrivacyRequest
}

// FinishPrivacyRequest notes that a request is done and how, in plain words without personal data, and erases who it was about. What is
// done already stays as it is. ErrNoPrivacyRequest when there is none.
func (l *Ledger) FinishPrivacyRequest(ctx context.Context, merchant, id, outcome string) error {
	return l.transact(ctx, "finish a privacy request", func(t *transaction) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		found := false
		if err := each(ctx, t, func(*sql.Rows) error { found = true; return nil },
			"SELECT 1 FROM privacy_requests WHERE merchant = $1 AND id = $2"+t.ledger.dialect.forWrite(), merchant, text(id)); err != nil {
			return err
		}
		if !found {
			return ErrNoPrivacyRequest
		}
		_, err = t.ExecContext(ctx, `UPDATE privacy_requests SET done = $1, outcome = $2, sealed = NULL,
			customer = CASE WHEN EXISTS (SELECT 1 FROM erased_merchants WHERE merchant = $3) THEN '' ELSE customer END
			WHERE merchant = $3 AND id = $4 AND done = 0`, int64(now), text(outcome), merchant, text(id))
		return err
	})
}

// SubjectsOfCustomer returns all subjects that Shopify showed last under this customer, or that are held for an order of theirs: also the
// addresses that the customer had before. It reads every record of the merchant.
func (l *Ledger) SubjectsOfCustomer(ctx context.Context, merchant, customer string) ([]Located, error) {
	var list []Located
	if customer == "" {
		return nil, nil
	}
	for _, channel := range consent.Channels {
		var found []Located
		// Nothing indexes the ids inside of records, and nobody but this needs it to.
		if err := each(ctx, l.reads, collect(&found, channel), "SELECT "+subjectColumns+` FROM subjects
			WHERE merchant = $1 AND channel = $2 AND record LIKE $3 ESCAPE '\'`, merchant, int64(channel),
			"%"+escapeLike(text(customer))+"%"); err != nil {
			return nil, fmt.Errorf("find the subjects of a customer: %w", explain(err))
		}
		for _, f := range found {
			// A pattern knows no word ends, and SQLite's no letter case.
			if f.Record.Seen[consent.Shopify].Ref == customer || f.Record.Hold.Customer == customer {
				list = append(list, f)
			}
		}
	}
	return list, nil
}

func escapeLike(s string) string {
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		if s[i] == '%' || s[i] == '_' || s[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return string(out)
}

// Erasure is what is erased of one person, in one transaction.
type Erasure struct {
	// Changes carry what stays of each subject, decided on its Version as in Save. All that was kept beside the record is erased: the
	// address, holds, claims that ran out, orders, and the journal, of which only the change's own lines are there afterwards.
	Changes []Change
	// Customers are the GIDs of the person: what is kept under them (the customer, hints, orders, phones that cannot be read) is erased.
	Customers []string
	// Phones are the hashes of phones of the person that cannot be read; they are erased from the list of these.
	Phones []consent.Subject
	// Request and Progress, unless empty, note in the same transaction how far that privacy request is. Sealed replaces who it is about,
	// unless nil.
	Request, Progress string
	Sealed            []byte
}

// EraseSubjects erases all that is kept of the subjects but what the changes leave. Either all of it is done or none: ErrClaimed while a
// delivery to one of them is under way, and ErrConflict when one of them was changed since it was loaded.
func (l *Ledger) EraseSubjects(ctx context.Context, merchant string, e Erasure) error {
	return l.transact(ctx, "erase a person", func(t *transaction) error {
		versions, err := t.lockVersions(ctx, merchant, e.Changes)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		live, err := t.claimed(ctx, merchant, e.Changes, now)
		if err != nil {
			return err
		}
		won := make([]bool, len(e.Changes))
		subjects := map[consent.Channel][]consent.Subject{}
		for i, change := range e.Changes {
			key := change.key()
			if live[claimKey{key, consent.Shopify}] || live[claimKey{key, consent.Listrak}] {
				return ErrClaimed
			}
			if versions[key] != change.Version {
				return ErrConflict
			}
			won[i], versions[key] = true, beaten
			subjects[change.Channel] = append(subjects[change.Channel], change.Subject)
		}
		for _, channel := range sortedKeys(subjects) {
			if err := t.eraseBeside(ctx, merchant, channel, subjects[channel]); err != nil {
				return err
			}
		}
		if err := t.write(ctx, merchant, e.Changes, won); err != nil {
			return err
		}
		if slices.Contains(won, false) {
			// Somebody made a subject that had not existed: the whole is decided anew.
			return ErrConflict
		}
		if err := t.eraseCustomers(ctx, merchant, e.Customers); err != nil {
			return err
		}
		if err := in(ctx, t.ledger.dialect, t, "DELETE FROM unreadable_phones WHERE merchant = $1 AND phone ", []any{merchant},
			subjectBytes(e.Phones), "", nil); err != nil {
			return err
		}
		if e.Request == "" {
			return nil
		}
		if e.Sealed != nil {
			if _, err := t.ExecContext(ctx, "UPDATE privacy_requests SET sealed = $1 WHERE merchant = $2 AND id = $3 AND done = 0",
				e.Sealed, merchant, text(e.Request)); err != nil {
				return err
			}
		}
		return t.saveProgress(ctx, merchant, e.Request, e.Progress)
	})
}

// eraseBeside erases what is kept of subjects beside their records.
func (t *transaction) eraseBeside(ctx context.Context, merchant string, channel consent.Channel, subjects []consent.Subject) error {
	keys := subjectBytes(subjects)
	for _, table := range []string{"journal", "claims", "holds"} {
		if err := in(ctx, t.ledger.dialect, t, "DELETE FROM "+table+" WHERE merchant = $1 AND channel = $2 AND subject ",
			[]any{merchant, int64(channel)}, keys, "", nil); err != nil {
			return err
		}
	}
	if err := t.eraseEngaged(ctx, merchant, channel, subjects); err != nil || channel != consent.Email {
		return err
	}
	return in(ctx, t.ledger.dialect, t, "DELETE FROM orders WHERE merchant = $1 AND email ", []any{merchant}, keys, "", nil)
}

func (t *transaction) eraseCustomers(ctx context.Context, merchant string, customers []string) error {
	ids := make([]string, 0, len(customers))
	for _, customer := range customers {
		if customer != "" {
			ids = append(ids, text(customer))
		}
	}
	slices.Sort(ids)
	// Orders before hints, as webhooks write them.
	for _, table := range []string{"customers", "orders", "hints"} {
		if table == "hints" {
			if err := t.lockHints(ctx, merchant, ids); err != nil {
				return err
			}
		}
		if err := in(ctx, t.ledger.dialect, t, "DELETE FROM "+table+" WHERE merchant = $1 AND customer ", []any{merchant},
			ids, "", nil); err != nil {
			return err
		}
	}
	return in(ctx, t.ledger.dialect, t, "DELETE FROM unreadable_phones WHERE merchant = $1 AND side = $2 AND ref ",
		[]any{merchant, int64(consent.Shopify)}, ids, "", nil)
}

// Holding is all that is kept of one subject.
type Holding struct {
	Located
	Journal []Line
	// Held are its unsettled holds, Claims the deliveries that are claimed at this moment, Orders the orders remembered for it.
	Held   []Held
	Claims []HeldClaim
	Orders []Order
}

// HeldClaim is a claim as it is kept.
type HeldClaim struct {
	Side  consent.Side
	Sync  consent.Sync
	Until consent.Instant
}

// Holdings is all that is kept of one person.
type Holdings struct {
	Subjects  []Holding
	Customers []Customer
	// Hints are the customers of whom a webhook has told that there is news.
	Hints []Hint
	// Orders are those remembered under the customers.
	Orders []Order
	// Unreadable are the phones of the customers that cannot be read.
	Unreadable []Unreadable
	// Requests are the privacy requests about the customers.
	Requests []PrivacyRequest
}

// latest lies after everything.
const latest = consent.Instant(math.MaxInt64)

// Holdings returns all that is kept of subjects and of customers, who are one person.
func (l *Ledger) Holdings(ctx context.Context, merchant string, subjects []Located, customers []string) (Holdings, error) {
	var all Holdings
	for _, s := range subjects {
		holding, err := l.holding(ctx, merchant, s)
		if err != nil {
			return Holdings{}, err
		}
		all.Subjects = append(all.Subjects, holding)
	}
	known, err := l.KnownCustomers(ctx, merchant, customers)
	if err != nil {
		return Holdings{}, err
	}
	for _, id := range customers {
		customer := text(id)
		if c, ok := known[customer]; ok {
			all.Customers = append(all.Customers, c)
		}
		if err := each(ctx, l.reads, func(rows *sql.Rows) error {
			h := Hint{Customer: customer}
			err := rows.Scan(&h.Mark, &h.Since)
			all.Hints = append(all.Hints, h)
			return err
		}, "SELECT mark, since FROM hints WHERE merchant = $1 AND customer = $2", merchant, customer); err != nil {
			return Holdings{}, fmt.Errorf("read hints: %w", explain(err))
		}
		orders, err := l.OrdersRemembered(ctx, merchant, customer, consent.Subject{}, 0, latest)
		if err != nil {
			return Holdings{}, err
		}
		all.Orders = append(all.Orders, orders...)
		phones, err := l.unreadablePhones(ctx, "merchant = $1 AND side = $2 AND ref = $3", merchant, int64(consent.Shopify), customer)
		if err != nil {
			return Holdings{}, err
		}
		all.Unreadable = append(all.Unreadable, phones...)
		requests, err := l.privacyRequests(ctx, "merchant = $1 AND customer = $2 ORDER BY received, id", merchant, customer)
		if err != nil {
			return Holdings{}, err
		}
		for _, r := range requests {
			all.Requests = append(all.Requests, r.PrivacyRequest)
		}
	}
	return all, nil
}

func (l *Ledger) holding(ctx context.Context, merchant string, s Located) (Holding, error) {
	h := Holding{Located: s}
	var err error
	if h.Journal, err = l.Journal(ctx, merchant, s.Channel, s.Subject); err != nil {
		return h, err
	}
	if h.Held, err = l.holds(ctx, "merchant = $1 AND channel = $2 AND subject = $3", merchant, int64(s.Channel), s.Subject[:]); err != nil {
		return h, err
	}
	if err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var c HeldClaim
		err := rows.Scan(&c.Side, &c.Sync, &c.Until)
		h.Claims = append(h.Claims, c)
		return err
	}, "SELECT side, sync, until FROM claims WHERE merchant = $1 AND channel = $2 AND subject = $3 ORDER BY side",
		merchant, int64(s.Channel), s.Subject[:]); err != nil {
		return h, fmt.Errorf("read claims: %w", explain(err))
	}
	if s.Channel == consent.Email {
		h.Orders, err = l.OrdersRemembered(ctx, merchant, "", s.Subject, 0, latest)
	}
	return h, err
}

// CredentialsSetSince reports whether a merchant was added, or was given new credentials, after the given time.
func (l *Ledger) CredentialsSetSince(ctx context.Context, merchant string, since consent.Instant) (bool, error) {
	set := false
	err := each(ctx, l.reads, func(*sql.Rows) error { set = true; return nil },
		`SELECT 1 FROM journal WHERE merchant = $1 AND channel = 0 AND subject = $2 AND at > $3
		AND (kind = $4 OR kind = $5 AND reason = $6) LIMIT 1`,
		merchant, make([]byte, len(consent.Subject{})), int64(since), string(MerchantAdded), string(MerchantChanged), string(NewCredentials))
	if err != nil {
		return false, fmt.Errorf("read the merchant's journal: %w", explain(err))
	}
	return set, nil
}

// LastUninstalled returns when the merchant's app was last uninstalled, as far as webhooks have told, and not before since; zero for never.
func (l *Ledger) LastUninstalled(ctx context.Context, merchant string, since consent.Instant) (consent.Instant, error) {
	var at consent.Instant
	if err := l.reads.QueryRowContext(ctx, "SELECT coalesce(max(received), 0) FROM privacy_requests WHERE merchant = $1 AND kind = $2 AND received >= $3",
		merchant, string(Uninstalled), int64(since)).Scan(&at); err != nil {
		return 0, fmt.Errorf("read uninstallations: %w", explain(err))
	}
	return at, nil
}
