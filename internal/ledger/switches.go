package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/concordsync/concord/internal/consent"
)

// OptOuts is the operator's answer to what happens with people who had unsubscribed in Shopify before the direction to Listrak was
// first enabled (rule 11). The values are stored.
type OptOuts string

const (
	OptOutsUnasked OptOuts = ""
	OptOutsDeliver OptOuts = "deliver"
	OptOutsLeave   OptOuts = "leave"
)

// Switch is one sync of one merchant. The zero Switch was never on.
type Switch struct {
	On bool
	// FirstOn is when it was enabled for the first time, zero for never.
	FirstOn         consent.Instant
	ExistingOptOuts OptOuts
	// Intervals in which it was on, oldest first, never overlapping. Pausing does not end one.
	Intervals []consent.Interval
}

// Switches is all that decides whether anything may be done for a merchant.
type Switches struct {
	Merchant   string
	Generation int64
	State      MerchantState
	Reason     string
	Syncs      map[consent.Sync]Switch
}

// May reports whether sync may deliver now. A kind of events needs its sync too.
func (s Switches) May(sync consent.Sync) bool { return s.State == Running && s.On(sync) }

// On is May, but for whether the merchant runs: what is told to us once is taken in though they are paused or broken, and waits.
func (s Switches) On(sync consent.Sync) bool {
	for _, events := range []consent.Sync{consent.EmailEvents, consent.SMSEvents} {
		if slices.Contains(events.Kinds(), sync) && !s.Syncs[events].On {
			return false
		}
	}
	return s.Syncs[sync].On
}

// SyncChange is what an operator asks of the syncs of a merchant.
type SyncChange struct {
	// On is the delta: a sync that is not named stays as it is.
	On map[consent.Sync]bool
	// ExistingOptOuts replaces the answers that it names.
	ExistingOptOuts map[consent.Sync]OptOuts
}

// SetSyncs applies a change by the database's clock and returns what is in force afterwards. The generation rises only when
// something changed, so that a signal that arrives twice changes nothing. Once it has returned, no claim for a sync that it
// switched off can succeed; LiveClaims tells which are still under way. ErrUnknownMerchant when there is none.
func (l *Ledger) SetSyncs(ctx context.Context, merchant string, change SyncChange) (Switches, error) {
	var after Switches
	err := l.transact(ctx, "set syncs", func(t *transaction) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if _, err := t.active(ctx, merchant); err != nil {
			return err
		}
		before, err := switchesOf(ctx, t, merchant)
		if err != nil {
			return err
		}
		var lines []Line
		for sync, on := range withKinds(before, change.On) {
			s := before.Syncs[sync]
			if s.On == on {
				continue
			}
			if err := t.turn(ctx, merchant, sync, s, on, now); err != nil {
				return err
			}
			lines = append(lines, Line{Kind: Switched, Side: NoSide, Sync: sync, Reason: onOrOff(on)})
		}
		for sync, answer := range change.ExistingOptOuts {
			if before.Syncs[sync].ExistingOptOuts == answer {
				continue
			}
			if _, err := t.ExecContext(ctx, `INSERT INTO syncs (merchant, sync, is_on, first_on, existing_opt_outs)
				VALUES ($1, $2, 0, 0, $3) ON CONFLICT (merchant, sync) DO UPDATE SET existing_opt_outs = excluded.existing_opt_outs`,
				merchant, string(sync), string(answer)); err != nil {
				return err
			}
			lines = append(lines, Line{Kind: Switched, Side: NoSide, Sync: sync, Reason: "existing opt-outs: " + Reason(answer)})
		}
		if len(lines) > 0 {
			// Maps have no order; the journal shall.
			slices.SortFunc(lines, func(a, b Line) int {
				return cmp.Or(strings.Compare(string(a.Sync), string(b.Sync)), strings.Compare(string(a.Reason), string(b.Reason)))
			})
			if err := t.raise(ctx, merchant, lines); err != nil {
				return err
			}
		}
		after, err = switchesOf(ctx, t, merchant)
		return err
	})
	return after, err
}

// withKinds adds the kinds of events to a change that switches their sync on while none of them is: else it would do nothing. Kinds that
// are named in the change are as it says.
func withKinds(before Switches, change map[consent.Sync]bool) map[consent.Sync]bool {
	all := maps.Clone(change)
	for sync, on := range change {
		kinds := sync.Kinds()
		if !on || slices.ContainsFunc(kinds, func(kind consent.Sync) bool { return before.Syncs[kind].On }) {
			continue
		}
		for _, kind := range kinds {
			if _, named := change[kind]; !named {
				all[kind] = true
			}
		}
	}
	return all
}

// Switches returns what is in force. A removed merchant has state Removed; ErrUnknownMerchant when there never was one.
func (l *Ledger) Switches(ctx context.Context, merchant string) (Switches, error) {
	s, err := switchesOf(ctx, l.reads, merchant)
	if err != nil {
		return Switches{}, fmt.Errorf("read switches: %w", explain(err))
	}
	return s, nil
}

// Pause stops everything for a merchant until Resume.
func (l *Ledger) Pause(ctx context.Context, merchant string) (Switches, error) {
	return l.setState(ctx, "pause merchant", merchant, Paused, "", Running, Broken)
}

// Resume starts a paused or broken merchant again.
func (l *Ledger) Resume(ctx context.Context, merchant string) (Switches, error) {
	return l.setState(ctx, "resume merchant", merchant, Running, "", Paused, Broken)
}

// Break stops a running merchant because a person must act; reason is shown to the operator and holds no personal data and no
// secret. A paused merchant stays paused.
func (l *Ledger) Break(ctx context.Context, merchant, reason string) (Switches, error) {
	return l.setState(ctx, "stop merchant", merchant, Broken, reason, Running, Broken)
}

// Heal starts a broken merchant again because a check succeeded; it does not resume a paused one.
func (l *Ledger) Heal(ctx context.Context, merchant string) (Switches, error) {
	return l.setState(ctx, "heal merchant", merchant, Running, "", Broken)
}

// setState moves a merchant to a state if it is in one of from; else it stays as it is. Every caller sees what is in force then.
func (l *Ledger) setState(ctx context.Context, doing, merchant string, to MerchantState, reason string, from ...MerchantState,
) (Switches, error) {
	var after Switches
	err := l.transact(ctx, doing, func(t *transaction) error {
		m, err := t.active(ctx, merchant)
		if err != nil {
			return err
		}
		if slices.Contains(from, m.State) && (m.State != to || m.Reason != reason) {
			if _, err := t.ExecContext(ctx, "UPDATE merchants SET state = $1, reason = $2 WHERE id = $3",
				string(to), text(reason), merchant); err != nil {
				return err
			}
			if err := t.raise(ctx, merchant, []Line{{Kind: StateChanged, Side: NoSide, Reason: Reason(to)}}); err != nil {
				return err
			}
		}
		after, err = switchesOf(ctx, t, merchant)
		return err
	})
	return after, err
}

// raise raises the generation and writes down why.
func (t *transaction) raise(ctx context.Context, merchant string, lines []Line) error {
	if _, err := t.ExecContext(ctx, "UPDATE merchants SET generation = generation + 1 WHERE id = $1", merchant); err != nil {
		return err
	}
	return t.journal(ctx, merchant, lines)
}

func onOrOff(on bool) Reason {
	if on {
		return "on"
	}
	return "off"
}

// turn switches a sync and opens or closes its interval. A clock that went back never makes intervals overlap or end before they
// began.
func (t *transaction) turn(ctx context.Context, merchant string, sync consent.Sync, s Switch, on bool, now consent.Instant) error {
	last := consent.Interval{}
	if n := len(s.Intervals); n > 0 {
		last = s.Intervals[n-1]
	}
	if on {
		began := max(now, last.Ended)
		if _, err := t.ExecContext(ctx, `INSERT INTO syncs (merchant, sync, is_on, first_on, existing_opt_outs) VALUES ($1, $2, 1, $3, '')
			ON CONFLICT (merchant, sync) DO UPDATE SET is_on = 1,
			first_on = CASE WHEN syncs.first_on = 0 THEN excluded.first_on ELSE syncs.first_on END`,
			merchant, string(sync), int64(began)); err != nil {
			return err
		}
		_, err := t.ExecContext(ctx, "INSERT INTO sync_intervals (merchant, sync, began, ended) VALUES ($1, $2, $3, 0)",
			merchant, string(sync), int64(began))
		return err
	}
	if _, err := t.ExecContext(ctx, "UPDATE syncs SET is_on = 0 WHERE merchant = $1 AND sync = $2", merchant, string(sync)); err != nil {
		return err
	}
	if now <= last.Began {
		_, err := t.ExecContext(ctx, "DELETE FROM sync_intervals WHERE merchant = $1 AND sync = $2 AND ended = 0", merchant, string(sync))
		return err
	}
	_, err := t.ExecContext(ctx, "UPDATE sync_intervals SET ended = $1 WHERE merchant = $2 AND sync = $3 AND ended = 0",
		int64(now), merchant, string(sync))
	return err
}

// switchesOf reads everything in one statement, so that the generation belongs to what it counts.
func switchesOf(ctx context.Context, q rowsQuerier, merchant string) (Switches, error) {
	s := Switches{Merchant: merchant, Syncs: map[consent.Sync]Switch{}}
	err := each(ctx, q, func(rows *sql.Rows) error {
		var name, answer sql.NullString
		var on, first, began, ended sql.NullInt64
		if err := rows.Scan(&s.Generation, &s.State, &s.Reason, &name, &on, &first, &answer, &began, &ended); err != nil {
			return err
		}
		if !name.Valid {
			return nil
		}
		w := s.Syncs[consent.Sync(name.String)]
		w.On, w.FirstOn, w.ExistingOptOuts = on.Int64 == 1, consent.Instant(first.Int64), OptOuts(answer.String)
		if began.Valid {
			w.Intervals = append(w.Intervals, consent.Interval{Began: consent.Instant(began.Int64), Ended: consent.Instant(ended.Int64)})
		}
		s.Syncs[consent.Sync(name.String)] = w
		return nil
	}, `SELECT m.generation, m.state, m.reason, s.sync, s.is_on, s.first_on, s.existing_opt_outs, i.began, i.ended
		FROM merchants m LEFT JOIN syncs s ON s.merchant = m.id
		LEFT JOIN sync_intervals i ON i.merchant = s.merchant AND i.sync = s.sync
		WHERE m.id = $1 ORDER BY s.sync, i.began`, merchant)
	if err == nil && s.State == "" {
		err = ErrUnknownMerchant
	}
	return s, err
}
