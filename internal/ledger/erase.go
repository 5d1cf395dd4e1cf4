package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/concordsync/concord/internal/consent"
)

// eraseChunk bounds the rows of one transaction that erases a merchant, so that others come in between.
const eraseChunk = 500

// ErasedPeople counts what an erasure of all people of a merchant has done.
type ErasedPeople struct {
	// OptOuts stay as hashes; Others are gone.
	OptOuts, Others int64
}

// ErasePeople erases everybody of a merchant: of each subject what keep leaves, without an address and a journal, and of all customers
// nothing. What is left is forgotten at forgetAt, unless the merchant has come back by then (ForgetErased). It works in small
// transactions and can be repeated; nobody may read or write for the merchant meanwhile, or what they save stays.
func (l *Ledger) ErasePeople(ctx context.Context, merchant string, keep func(consent.Record) (consent.Record, bool), forgetAt consent.Instant,
) (ErasedPeople, error) {
	var done ErasedPeople
	if err := l.eraseSubjects(ctx, merchant, keep, &done); err != nil {
		return done, err
	}
	if err := errors.Join(l.eraseTables(ctx, merchant, merchantTables), l.eraseEngagement(ctx, merchant)); err != nil {
		return done, err
	}
	return done, l.transact(ctx, "note that a merchant is erased", func(t *transaction) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		news := false
		if err := each(ctx, t, func(*sql.Rows) error { news = true; return nil },
			`INSERT INTO erased_merchants (merchant, erased_at, forget_at) VALUES ($1, $2, $3) ON CONFLICT (merchant) DO NOTHING RETURNING 1`,
			merchant, int64(now), int64(forgetAt)); err != nil {
			return err
		}
		// That the rights of people were honoured stays, without who they were; of what is still to be done FinishPrivacyRequest sees to it.
		if _, err := t.ExecContext(ctx, "UPDATE privacy_requests SET customer = '' WHERE merchant = $1 AND done > 0", merchant); err != nil || !news {
			return err
		}
		return t.journal(ctx, merchant, []Line{{Kind: Redacted, Side: NoSide, Count: done.OptOuts}})
	})
}

// eraseSubjects walks through all subjects of a merchant.
func (l *Ledger) eraseSubjects(ctx context.Context, merchant string, keep func(consent.Record) (consent.Record, bool), done *ErasedPeople) error {
	for _, channel := range consent.Channels {
		var after consent.Subject
		for more := true; more; {
			var here ErasedPeople
			var last consent.Subject
			err := l.transact(ctx, "erase the people of a merchant", func(t *transaction) error {
				here, more = ErasedPeople{}, false
				var found []Located
				if err := each(ctx, t, collect(&found, channel), "SELECT "+subjectColumns+` FROM subjects
					WHERE merchant = $1 AND channel = $2 AND subject > $3 ORDER BY subject LIMIT $4`+t.ledger.dialect.forWrite(),
					merchant, int64(channel), after[:], eraseChunk); err != nil || len(found) == 0 {
					return err
				}
				more, last = len(found) == eraseChunk, found[len(found)-1].Subject
				return t.eraseSubjects(ctx, merchant, channel, found, keep, &here)
			})
			if err != nil {
				return err
			}
			after = last
			done.OptOuts, done.Others = done.OptOuts+here.OptOuts, done.Others+here.Others
		}
	}
	return nil
}

func (t *transaction) eraseSubjects(ctx context.Context, merchant string, channel consent.Channel, found []Located,
	keep func(consent.Record) (consent.Record, bool), done *ErasedPeople,
) error {
	var changes []Change
	var gone, all []consent.Subject
	for _, f := range found {
		all = append(all, f.Subject)
		left, ok := keep(f.Record)
		if !ok {
			gone = append(gone, f.Subject)
			continue
		}
		changes = append(changes, Change{Channel: channel, Subject: f.Subject, Version: f.Version, Record: left, Debts: left.Debts(),
			Address: EraseAddress})
	}
	done.OptOuts, done.Others = int64(len(changes)), int64(len(gone))
	if err := t.eraseBeside(ctx, merchant, channel, all); err != nil {
		return err
	}
	won := make([]bool, len(changes))
	for i := range won {
		won[i] = true
	}
	if err := t.write(ctx, merchant, changes, won); err != nil {
		return err
	}
	return in(ctx, t.ledger.dialect, t, "DELETE FROM subjects WHERE merchant = $1 AND channel = $2 AND subject ",
		[]any{merchant, int64(channel)}, subjectBytes(gone), "", nil)
}

// merchantTables hold ids of people and of what they did, beside their subjects, or what was read of them. key tells rows of a merchant
// apart.
var merchantTables = []struct{ table, key string }{
	{"customers", "customer"}, {"orders", "order_id"}, {"hints", "customer"}, {"deliveries", "delivery"}, {"cursors", "name"},
	{"unreadable_phones", "ref"},
	{"run_status", "kind"},
}

func (l *Ledger) eraseTables(ctx context.Context, merchant string, tables []struct{ table, key string }) error {
	for _, from := range tables {
		for more := true; more; {
			if err := l.transact(ctx, "erase the people of a merchant", func(t *transaction) error {
				var keys []string
				if err := each(ctx, t, func(rows *sql.Rows) error {
					var key string
					err := rows.Scan(&key)
					keys = append(keys, key)
					return err
				}, "SELECT "+from.key+" FROM "+from.table+" WHERE merchant = $1 ORDER BY "+from.key+" LIMIT $2", merchant, eraseChunk); err != nil {
					return err
				}
				more = len(keys) == eraseChunk
				return in(ctx, t.ledger.dialect, t, "DELETE FROM "+from.table+" WHERE merchant = $1 AND "+from.key+" ", []any{merchant},
					keys, "", nil)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// ForgetErased forgets what was left of merchants all of whose people were erased, when the time is over for which that is kept. It
// returns the merchants. One who has been given credentials since has come back and keeps it: its opt-outs count again.
func (l *Ledger) ForgetErased(ctx context.Context) ([]string, error) {
	type erased struct {
		merchant string
		at       consent.Instant
		forget   consent.Instant
		removed  bool
	}
	var list []erased
	now, err := l.now(ctx, l.reads)
	if err != nil {
		return nil, fmt.Errorf("read erased merchants: %w", explain(err))
	}
	if err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var e erased
		var state sql.NullString
		err := rows.Scan(&e.merchant, &e.at, &e.forget, &state)
		e.removed = !state.Valid || state.String == string(Removed)
		list = append(list, e)
		return err
	}, `SELECT e.merchant, e.erased_at, e.forget_at, m.state FROM erased_merchants e LEFT JOIN merchants m ON m.id = e.merchant ORDER BY e.merchant`); err != nil {
		return nil, fmt.Errorf("read erased merchants: %w", explain(err))
	}
	var forgotten []string
	for _, e := range list {
		// That somebody has resumed it says nothing: without credentials it stops again.
		back, err := l.CredentialsSetSince(ctx, e.merchant, e.at)
		if err != nil {
			return forgotten, err
		}
		switch back = back && !e.removed; {
		case !back && e.forget > now:
			continue
		case !back:
			if err := l.eraseSubjects(ctx, e.merchant, nothing, &ErasedPeople{}); err != nil {
				return forgotten, err
			}
			forgotten = append(forgotten, e.merchant)
		}
		if err := l.transact(ctx, "forget an erased merchant", func(t *transaction) error {
			_, err := t.ExecContext(ctx, "DELETE FROM erased_merchants WHERE merchant = $1", e.merchant)
			return err
		}); err != nil {
			return forgotten, err
		}
	}
	return forgotten, nil
}

// nothing is kept.
func nothing(consent.Record) (consent.Record, bool) { return consent.Record{}, false }

// EraseMerchant erases a merchant that was removed with all that was ever known of its people, opt-outs too, as if it had never been
// here. It works in small transactions and can be repeated. ErrNotRemoved while it is not removed, ErrUnknownMerchant when there is none.
func (l *Ledger) EraseMerchant(ctx context.Context, id string) (ErasedPeople, error) {
	var done ErasedPeople
	removed := func(t *transaction) error {
		m, err := t.merchant(ctx, id)
		if err == nil && m.State != Removed {
			err = ErrNotRemoved
		}
		return err
	}
	if err := l.transact(ctx, "erase a merchant", removed); err != nil {
		return done, err
	}
	if err := l.eraseSubjects(ctx, id, nothing, &done); err != nil {
		return done, err
	}
	if err := errors.Join(l.eraseTables(ctx, id, merchantTables), l.eraseEngagement(ctx, id)); err != nil {
		return done, err
	}
	return done, l.transact(ctx, "erase a merchant", func(t *transaction) error {
		// Once more, under its lock: it may have come back meanwhile.
		if err := removed(t); err != nil {
			return err
		}
		for _, table := range []string{"journal", "privacy_requests", "erased_merchants", "doors", "drains", "runs", "secrets", "sync_intervals", "syncs"} {
			if _, err := t.ExecContext(ctx, "DELETE FROM "+table+" WHERE merchant = $1", id); err != nil {
				return err
			}
		}
		_, err := t.ExecContext(ctx, "DELETE FROM merchants WHERE id = $1", id)
		return err
	})
}
