// Package reconcile is the one loop of Concord: observe, decide, deliver. It reads both sides, lets internal/consent decide, and
// writes what is owed. It knows no Temporal: the activities call it, and so can a simulation. Every step can be repeated, because
// what is owed is derived from the ledger and never kept in memory.
package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/shopify"
)

// Shopify is what reconciling needs of a store; *shopify.Client is one.
type Shopify interface {
	ChangedCustomers(ctx context.Context, since time.Time, cursor string) (shopify.ChangePage, error)
	CustomersByID(ctx context.Context, ids []shopify.CustomerID) ([]shopify.Customer, error)
	CustomersByEmail(ctx context.Context, emails []string) ([]shopify.Customer, error)
	CustomersByPhone(ctx context.Context, phones []string) ([]shopify.Customer, error)
	OrdersOf(ctx context.Context, lookups []shopify.OrderLookup) ([][]shopify.Order, error)
	Reserve(ctx context.Context, points int) error
	UpdateEmailConsents(ctx context.Context, writes []shopify.ConsentWrite) ([]shopify.WriteResult, error)
	UpdateSMSConsents(ctx context.Context, writes []shopify.ConsentWrite) ([]shopify.WriteResult, error)
	CreateCustomers(ctx context.Context, customers []shopify.NewCustomer) ([]shopify.WriteResult, error)
}

// Listrak is what reconciling needs of a list; *listrak.Client is one.
type Listrak interface {
	Contacts(ctx context.Context, query listrak.ContactQuery) (listrak.ContactPage, error)
	Contact(ctx context.Context, addressOrKey string) (listrak.Contact, bool, error)
	Reserve(ctx context.Context) error
	Subscribe(ctx context.Context, address string, options listrak.SubscribeOptions) (listrak.WriteResult, error)
	Unsubscribe(ctx context.Context, address string) (listrak.WriteResult, error)
}

// SMS is what reconciling needs of a sender code and its list; *listrak.SMSClient is one.
type SMS interface {
	Subscribers(ctx context.Context, query listrak.SMSQuery) (listrak.PhonePage, error)
	OptOuts(ctx context.Context, query listrak.SMSQuery) (listrak.OptOutPage, error)
	Contact(ctx context.Context, phone string) (listrak.SMSContact, bool, error)
	Reserve(ctx context.Context) error
	Subscribe(ctx context.Context, phone string, options listrak.SMSSubscribeOptions) (listrak.WriteResult, error)
	Unsubscribe(ctx context.Context, phone string, list int) (listrak.WriteResult, error)
	OptOut(ctx context.Context, phone string) (listrak.WriteResult, error)
}

// Keys hashes and seals addresses; *keys.Ring does.
type Keys interface {
	SubjectKey() []byte
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
}

// Timing holds the engine's spans. The zero value is not usable; see DefaultTiming.
type Timing struct {
	// Interval is the time between two rounds of a merchant; a minute.
	Interval time.Duration
	// RoundLimit is after how long a round stops itself and goes on in the next one.
	RoundLimit time.Duration
	// CallTimeout bounds a call that writes; LeaseMargin is how much later its lease ends.
	CallTimeout, LeaseMargin time.Duration
	// RunLease is how long a round or a slice of a full read belongs to one process; longer than RoundLimit and CallTimeout.
	RunLease time.Duration
	// SearchLag is how far polls reach back for changes that Shopify's search shows late (contracts/shopify.md 4).
	SearchLag time.Duration
	// Window is the checkout window; how long before the consent an order counts is the merchant's setting.
	Window consent.Window
	// DrainQuiet is after how long without a webhook a drain ends.
	DrainQuiet time.Duration
	// MaxHeld bounds how many consents of a merchant are held by windows of their own at once; the others are settled in batches.
	MaxHeld int
	// Comparison is how often all subscribers of an SMS list are read, to find those who are no longer among them: Listrak tells who has
	// opted out of a sender code, not who has left a list (contracts/listrak.md, SMS).
	Comparison time.Duration
}

// DefaultTiming is what merchants run with.
func DefaultTiming() Timing {
	return Timing{
		Interval: time.Minute, RoundLimit: 45 * time.Second, CallTimeout: 20 * time.Second, LeaseMargin: 10 * time.Second,
		RunLease: 90 * time.Second, SearchLag: 5 * time.Minute, DrainQuiet: 10 * time.Second, MaxHeld: 500, Comparison: 6 * time.Hour,
		Window: consent.Window{Length: 5 * consent.Minute, Before: consent.Minute, Lag: consent.Minute},
	}
}

// Engine reconciles merchants. All fields are required but HoldChanged, Nudge, Machine and Intercept.
type Engine struct {
	Ledger *ledger.Ledger
	Keys   Keys
	// Connect returns the merchant's account with the settings and credentials of now.
	Connect func(ctx context.Context, merchant string) (*Account, error)
	// ZoneProven remembers that a write of ours has proven the Listrak zone of these settings. They may have been changed since.
	ZoneProven func(ctx context.Context, settings merchant.Settings) error
	// ZoneDisproven forgets that proof, because later writes have disproven it.
	ZoneDisproven func(ctx context.Context, settings merchant.Settings) error
	Timing        Timing
	Now           func() time.Time
	// Holder names this process in run leases.
	Holder string
	// HoldChanged tells the checkout window of a hold that it was settled, restarted or ended. Losing a call costs only time.
	HoldChanged func(ctx context.Context, merchant string, held ledger.Held)
	// Nudge asks for a drain of the merchant. Losing a call costs only time.
	Nudge func(ctx context.Context, merchant string)
	Log   *slog.Logger
	// Machine is the real one unless a simulation brings another.
	Machine Machine
	// Intercept, when set, stands between the engine and its ledger: tests and simulations let the process die at any call.
	Intercept func(Records) Records
}

// Records is what reconciling needs of the ledger; *ledger.Ledger is one.
type Records interface {
	Now(ctx context.Context) (consent.Instant, error)
	Switches(ctx context.Context, merchant string) (ledger.Switches, error)
	Break(ctx context.Context, merchant, reason string) (ledger.Switches, error)
	AcquireRun(ctx context.Context, merchant string, kind ledger.RunKind, holder string, ttl time.Duration) (ledger.RunLease, bool, error)
	ReleaseRun(ctx context.Context, lease ledger.RunLease) error
	RunStatuses(ctx context.Context, merchant string) (map[ledger.RunKind]ledger.RunStatus, error)
	SetRunStatus(ctx context.Context, merchant string, kind ledger.RunKind, status ledger.RunStatus) error
	Cursors(ctx context.Context, merchant string) (map[string]string, error)
	Save(ctx context.Context, merchant string, batch ledger.Batch) ([]consent.Subject, error)
	Load(ctx context.Context, merchant string, channel consent.Channel, subjects []consent.Subject) (map[consent.Subject]ledger.Entry, error)
	Scan(ctx context.Context, merchant string, channel consent.Channel, after consent.Subject, limit int) ([]ledger.Located, error)
	AnyDue(ctx context.Context, merchant string, channel consent.Channel, now consent.Instant) ([2]bool, error)
	Owed(ctx context.Context, query ledger.OwedQuery) ([]ledger.Located, error)
	Claims(ctx context.Context, merchant string, limit ledger.ResubscribeLimit, requests []ledger.ClaimRequest) ([]ledger.ClaimResult, error)
	Brake(ctx context.Context, merchant string, limit ledger.ResubscribeLimit, subjects []consent.Subject) (ledger.Brake, error)
	RaiseAlarm(ctx context.Context, merchant string, limit ledger.ResubscribeLimit) (alarm ledger.Alarm, news bool, err error)
	KnownCustomers(ctx context.Context, merchant string, ids []string) (map[string]ledger.Customer, error)
	Unlisted(ctx context.Context, merchant string, channel consent.Channel, since consent.Instant, after consent.Subject, limit int) ([]ledger.Located, error)
	NotListed(ctx context.Context, merchant string, channel consent.Channel, subjects []consent.Subject, since consent.Instant) ([]consent.Subject, error)
	MarkListed(ctx context.Context, merchant string, channel consent.Channel, subjects []consent.Subject, at consent.Instant) error
	HeldCustomers(ctx context.Context, merchant string, channel consent.Channel, limit int) ([]ledger.Held, error)
	HoldsEnded(ctx context.Context, merchant string, channel consent.Channel, now consent.Instant, lag consent.Span, limit int) ([]ledger.Held, error)
	HoldsOf(ctx context.Context, merchant, customer string) ([]ledger.Held, error)
	HoldsToOpen(ctx context.Context, merchant string, channel consent.Channel, now consent.Instant, limit int) ([]ledger.Held, error)
	MarkOpened(ctx context.Context, merchant string, holds []ledger.Held) error
	CountHeld(ctx context.Context, merchant string) (held, opened int, err error)
	RememberOrder(ctx context.Context, merchant string, order ledger.Order) error
	Hint(ctx context.Context, merchant, customer string) (nudge bool, err error)
	Hints(ctx context.Context, merchant string, until consent.Instant, limit int) ([]ledger.Hint, error)
	ForgetHints(ctx context.Context, merchant string, hints []ledger.Hint) error
	StayAwake(ctx context.Context, merchant string, d time.Duration) error
	FallAsleep(ctx context.Context, merchant string) (asleep bool, err error)
	OrdersRemembered(ctx context.Context, merchant, customer string, email consent.Subject, from, to consent.Instant) ([]ledger.Order, error)
}

func (e *Engine) records() Records {
	if e.Intercept != nil {
		return e.Intercept(e.Ledger)
	}
	return e.Ledger
}

// run is one merchant's work in one go, over all channels.
type run struct {
	*Engine
	merchant string
	account  *Account
	switches ledger.Switches
	lease    *ledger.RunLease
	// cursors are the merchant's, once they have been read.
	cursors map[string]string
	stats   Stats
	// until is when the run stops by itself; stop is closed when it shall stop earlier.
	until time.Time
	stop  <-chan struct{}
	// behind is how old the oldest watermark of the run's polls is.
	behind time.Duration
	// saved counts the changes of records that this run has saved.
	saved atomic.Int64
	// unsubscribed counts the opt-outs among what this run has delivered.
	unsubscribed atomic.Int64
	// ahead is how far the ledger's clock, which dates claims, is ahead of ours: reads are dated by it too, so that the order of a
	// read and a write does not depend on this machine's clock.
	ahead time.Duration
	// ownHold is the consent whose window is doing this run: it needs no telling.
	ownHold consent.Instant
	// sessions are the run's channels, by consent.Channel.
	sessions [consent.SMS + 1]*session
}

// session is the part of a run that concerns one channel.
type session struct {
	*run
	channel consent.Channel
	// denied is set when the ledger no longer permits deliveries to a side: a direction was switched off, or the merchant stopped,
	// since the run began.
	denied [2]atomic.Bool
}

// of is the run's part for one channel.
func (r *run) of(channel consent.Channel) *session { return r.sessions[channel] }

// channelsRead lists the channels that are read: those of which any direction is on (rule 12), or whose events need it.
func (r *run) channelsRead() []*session {
	sessions := make([]*session, 0, len(consent.Channels))
	for _, channel := range consent.Channels {
		if isRead(r.switches, r.account, channel) {
			sessions = append(sessions, r.of(channel))
		}
	}
	return sessions
}

// observed lists the channels whose consents are looked at when customers are read: those that are read, and those that ever were. A
// customer is remembered as read up to a date, for all channels: what changed while one of them was off would never be seen. Without SMS
// customers are read without their phones, which says nothing of who has one.
func (r *run) observed(ctx context.Context) ([]*session, error) {
	sessions := make([]*session, 0, len(consent.Channels))
	for _, channel := range consent.Channels {
		s := r.of(channel)
		if channel == consent.SMS && r.account.SMS == nil {
			continue
		}
		_, begun, err := r.loadPass(ctx, s.fullName(shopifyChanges))
		if err != nil {
			return nil, err
		}
		if begun || isRead(r.switches, r.account, channel) || r.switches.Syncs[s.to(consent.Shopify)].FirstOn != 0 || r.switches.Syncs[s.to(consent.Listrak)].FirstOn != 0 {
			sessions = append(sessions, s)
		}
	}
	return sessions, nil
}

// Stats counts what a run did.
type Stats struct {
	// Scanned counts reports that were looked at.
	Scanned int64
	// Delivered counts writes that were accepted, by side.
	Delivered [2]int64
}

// begin begins a run. The context that it returns never ends: a call under way when the run is stopped is finished and recorded,
// because an attempt of unknown end costs more than the wait.
func (e *Engine) begin(ctx context.Context, merchant string) (context.Context, *run, error) {
	switches, err := e.records().Switches(ctx, merchant)
	if err != nil {
		return ctx, nil, fmt.Errorf("read switches: %w", err)
	}
	return e.beginWith(ctx, merchant, switches)
}

// beginWith is begin for a caller who has just read the switches.
func (e *Engine) beginWith(ctx context.Context, merchant string, switches ledger.Switches) (context.Context, *run, error) {
	account, err := e.Connect(ctx, merchant)
	if err != nil {
		return ctx, nil, fmt.Errorf("connect: %w", err)
	}
	ahead, err := e.ledgerAhead(ctx)
	if err != nil {
		return ctx, nil, err
	}
	r := e.newRun(merchant, account, switches)
	r.ahead, r.until, r.stop = ahead, e.Now().Add(e.Timing.RoundLimit), ctx.Done()
	if account.SMS == nil && anyOn(switches, consent.SMS) {
		return ctx, nil, errNoSMS
	}
	return context.WithoutCancel(ctx), r, nil
}

func (e *Engine) newRun(merchant string, account *Account, switches ledger.Switches) *run {
	r := &run{Engine: e, merchant: merchant, account: account, switches: switches}
	for _, channel := range consent.Channels {
		r.sessions[channel] = &session{run: r, channel: channel}
	}
	return r
}

// CheckSyncs refuses to switch on what the merchant has not set up.
func (e *Engine) CheckSyncs(ctx context.Context, merchant string, on map[consent.Sync]bool) error {
	for sync, is := range on {
		if !is || sync.Channel() != consent.SMS {
			continue
		}
		if account, err := e.Connect(ctx, merchant); err != nil {
			return fmt.Errorf("connect: %w", err)
		} else if account.SMS == nil {
			return errNoSMS
		}
	}
	return nil
}

// errNoSMS: an SMS sync is on, and the merchant's access to Listrak's SMS API was taken away since.
var errNoSMS = &failure.Error{Class: failure.PersonMustAct, Op: "set up SMS", Code: "NO_SMS",
	Advice: "An SMS sync is on, and sender code, list or credentials of Listrak SMS are missing: give them with `starter merchant set`, or " +
		"switch the SMS syncs off."}

const (
	// promptly is how soon the ledger has to tell its time for that to be its time of now.
	promptly = time.Second
	// askings bounds how often it is asked again; a ledger that is always slow is believed as far as it goes.
	askings = 5
)

// ledgerAhead is how far the ledger's clock is ahead of ours. A process that was frozen on the way of the answer would take it to be
// minutes behind: its writes would be dated before they were made, and what they left taken for a person's word.
func (e *Engine) ledgerAhead(ctx context.Context) (ahead time.Duration, err error) {
	best := time.Duration(-1)
	for range askings {
		asked := e.Now()
		ledgerNow, err := e.records().Now(ctx)
		if err != nil {
			return 0, err
		}
		answered := e.Now()
		if took := answered.Sub(asked); best < 0 || took < best {
			best, ahead = took, ledgerNow.Time().Sub(answered)
		}
		if best < promptly {
			break
		}
	}
	return ahead, nil
}

// window is the checkout window with the merchant's own setting.
func (r *run) window() consent.Window {
	w := r.Timing.Window
	w.Before = consent.SpanOf(r.account.Settings.OrderBeforeConsent)
	return w
}

func (r *run) now() consent.Instant { return consent.InstantOf(r.Now().Add(r.ahead)) }

func (r *run) timeIsUp() bool {
	select {
	case <-r.stop:
		return true
	default:
		return !r.Now().Before(r.until)
	}
}

// to names the sync that delivers to side.
func (s *session) to(side consent.Side) consent.Sync { return consent.SyncTo(s.channel, side) }

// permit is what the switches of the direction to side allow.
func (s *session) permit(side consent.Side) *consent.Permit { return PermitOf(s.switches, s.to(side)) }

// PermitOf translates the ledger's switches of one sync into what the rules ask for. An interval begins with the second in which
// the sync was switched on: Shopify dates in whole seconds, and a consent given right after the switch must not seem older.
func PermitOf(switches ledger.Switches, sync consent.Sync) *consent.Permit {
	sw := switches.Syncs[sync]
	permit := &consent.Permit{
		On: switches.May(sync), FirstOn: sw.FirstOn.Seconds(), ExistingOptOuts: sw.ExistingOptOuts == ledger.OptOutsDeliver,
	}
	for _, i := range sw.Intervals {
		permit.Intervals = append(permit.Intervals, consent.Interval{Began: i.Began.Seconds(), Ended: i.Ended})
	}
	return permit
}

// LedgerPermit is the same permission as a query.
func LedgerPermit(switches ledger.Switches, sync consent.Sync) ledger.Permit {
	permit := PermitOf(switches, sync)
	switch {
	case permit.FirstOn == 0:
		return ledger.Permit{UnsubscribedSince: never}
	case sync.To() == consent.Shopify:
		return ledger.Permit{Subscribed: []consent.Interval{{}}}
	}
	query := ledger.Permit{Subscribed: permit.Intervals, UnsubscribedSince: permit.FirstOn}
	if permit.ExistingOptOuts {
		query.UnsubscribedSince = 0
	}
	return query
}

// never lies after every date that a side can show.
const never = consent.Instant(1<<63 - 1)

// subject hashes a normalised address of the channel.
func (s *session) subject(address string) consent.Subject {
	return consent.SubjectOf(s.Keys.SubjectKey(), s.merchant, s.channel, address)
}

// normalise brings an address of the channel into the form in which both sides are compared.
func (s *session) normalise(raw string) (string, error) {
	if s.channel == consent.SMS {
		return consent.NormalisePhone(raw, s.account.Settings.SMS.Country)
	}
	return consent.NormaliseEmail(raw)
}
