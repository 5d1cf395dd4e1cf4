package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/reconcile"
)

// optOutLimit is how long an opt-out may wait before `starter status` fails.
const optOutLimit = 24 * time.Hour

func newStatusCommand(a *app) *cobra.Command {
	var id string
	c := &cobra.Command{
		Use: "status [MERCHANT]", Short: "How every merchant stands", Args: arguments(0, 1),
		Long: `Shows per merchant the last round, what each side is owed on each channel, what is held, refused, disputed or contested, and the oldest
opt-out that is not yet delivered. It tells when people wait at the limit on re-subscriptions, when many were unsubscribed, and whether webhooks come in.
It reads the ledger alone, so it works without Temporal. It exits 1 when an opt-out has waited for more than 24 hours, or a privacy request
is overdue.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := namedOnce(args, id)
			if err != nil {
				return err
			}
			return a.status(cmd.Context(), args)
		},
	}
	c.Flags().StringVarP(&id, "merchant", "m", "", "the `MERCHANT`, instead of the argument")
	return c
}

// statusView is the answer of `starter status`.
type statusView struct {
	Merchants []merchantStatus `json:"merchants"`
}

type merchantStatus struct {
	Merchant string               `json:"merchant"`
	State    ledger.MerchantState `json:"state"`
	Reason   string               `json:"reason,omitempty"`
	SyncsOn  []string             `json:"syncs_on"`
	// People counts the subjects known by email.
	People    int64        `json:"people"`
	LastRound *roundStatus `json:"last_round,omitempty"`
	// LagSeconds is how far behind the sides we are: since the last round began, if that went well; else since when is unknown and
	// the field is missing.
	LagSeconds *float64 `json:"lag_seconds,omitempty"`
	Held       int      `json:"held"`
	// ToShopify and ToListrak are what the sides are owed on email.
	ToShopify sideStatus `json:"to_shopify"`
	ToListrak sideStatus `json:"to_listrak"`
	// SMS is missing for a merchant without it.
	SMS *smsStatus `json:"sms,omitempty"`
	// OldestOptOut is the date of the oldest opt-out that is owed on either channel; zero when none is.
	OldestOptOut time.Time `json:"oldest_opt_out,omitzero"`
	// OptOutOverdue: it has waited for more than 24 hours.
	OptOutOverdue bool `json:"opt_out_overdue"`
	// Resubscriptions are the counts of 24 hours, against the merchant's limit.
	Resubscriptions brakeView `json:"resubscriptions"`
	// Webhooks is how the door for them stands.
	Webhooks webhookStatus `json:"webhooks"`
	// Subscriptions to webhooks; missing for a merchant who works by polling.
	Subscriptions *subscriptionsStatus `json:"webhook_subscriptions,omitempty"`
	// Privacy are the requests of people and of the shop.
	Privacy privacyStatus `json:"privacy"`
	// Events is how email and SMS events stand; missing while none of their syncs was ever on.
	Events *eventsStatus `json:"events,omitempty"`

	now time.Time
}

// smsStatus is what merchantStatus says of email, of SMS.
type smsStatus struct {
	// People counts the subjects known by SMS.
	People       int64      `json:"people"`
	ToShopify    sideStatus `json:"to_shopify"`
	ToListrak    sideStatus `json:"to_listrak"`
	OldestOptOut time.Time  `json:"oldest_opt_out,omitzero"`
	// UnreadablePhones counts the phone numbers that cannot be read, up to 1000.
	UnreadablePhones int64 `json:"unreadable_phones"`
	// Compared is when the last comparison with the whole list began; zero before the first one, and while one is under way.
	Compared time.Time `json:"compared,omitzero"`
	// Comparing: one is under way.
	Comparing bool `json:"comparing"`
}

type roundStatus struct {
	Began time.Time `json:"began"`
	// Ended is zero while the round is under way.
	Ended              time.Time `json:"ended,omitzero"`
	Scanned            int64     `json:"scanned"`
	DeliveredToShopify int64     `json:"delivered_to_shopify"`
	DeliveredToListrak int64     `json:"delivered_to_listrak"`
	Error              string    `json:"error,omitempty"`
	ErrorClass         string    `json:"error_class,omitempty"`
	FailuresInARow     int       `json:"failures_in_a_row,omitempty"`
}

type sideStatus struct {
	OwedSubscribes   int64 `json:"owed_subscribes"`
	OwedUnsubscribes int64 `json:"owed_unsubscribes"`
	// Stopped wait at the limit on re-subscriptions for an operator. Once approved they are among OwedSubscribes instead.
	Stopped   int64 `json:"stopped"`
	Held      int64 `json:"held"`
	Refused   int64 `json:"refused"`
	Disputed  int64 `json:"disputed"`
	Contested int64 `json:"contested"`
	Awaiting  int64 `json:"awaiting_confirmation"`
	Gone      int64 `json:"gone"`
	Blocked   int64 `json:"blocked"`
	// NotPermitted differ, but lie outside of what the switches allow (decided before the direction was on).
	NotPermitted int64 `json:"not_permitted"`
}

// unsettled counts what ended badly.
func (s *sideStatus) unsettled() int64 { return s.Refused + s.Disputed + s.Contested }

func (a *app) status(ctx context.Context, args []string) error {
	h, err := a.host(ctx)
	if err != nil {
		return err
	}
	var all []merchant.Merchant
	if len(args) > 0 {
		_, m, err := a.merchantOf(ctx, args)
		if err != nil {
			return err
		}
		all = []merchant.Merchant{m}
	} else if all, err = h.Merchants.List(ctx); err != nil {
		return err
	}
	v := &statusView{Merchants: []merchantStatus{}}
	var overdue []string
	var late int64
	for _, m := range all {
		one, err := a.statusOf(ctx, h, m)
		if err != nil {
			return err
		}
		if one.OptOutOverdue {
			overdue = append(overdue, one.Merchant)
		}
		late += one.Privacy.Overdue
		v.Merchants = append(v.Merchants, one)
	}
	if err := a.show(v); err != nil {
		return err
	}
	if len(overdue) > 0 {
		return failedError("an opt-out has waited for more than 24 hours: %s", strings.Join(overdue, ", ")).
			try("`starter merchant check %s`, and the round's error above", overdue[0])
	}
	if late > 0 {
		return failedError("%s overdue", count(late, "privacy request is", "privacy requests are")).try("`starter privacy` says what each waits for")
	}
	return nil
}

func (a *app) statusOf(ctx context.Context, h *host.Host, m merchant.Merchant) (merchantStatus, error) {
	id := m.Settings.ID
	s := merchantStatus{Merchant: id, now: a.now()}
	switches, err := h.Ledger.Switches(ctx, id)
	if err != nil {
		return s, err
	}
	s.State, s.Reason, s.SyncsOn = switches.State, switches.Reason, syncsOn(switches)
	if s.People, err = h.Ledger.CountSubjects(ctx, id, consent.Email); err != nil {
		return s, err
	}
	if s.SMS, err = smsOf(ctx, h, m); err != nil {
		return s, err
	}
	if s.Held, _, err = h.Ledger.CountHeld(ctx, id); err != nil {
		return s, err
	}
	if s.Resubscriptions, err = brakeOf(ctx, h, m, s.known()); err != nil {
		return s, err
	}
	if s.Webhooks, err = webhooksOf(ctx, h, id, s.now); err != nil {
		return s, err
	}
	if s.Privacy, err = privacyOf(ctx, h, id); err != nil {
		return s, err
	}
	runs, err := h.Ledger.RunStatuses(ctx, id)
	if err != nil {
		return s, err
	}
	if run, ok := runs[reconcile.RoundRun]; ok {
		s.LastRound = roundOf(run)
		if run.ErrorClass == 0 {
			lag := max(run.Lag.Duration(), s.now.Sub(run.Began.Time())).Seconds()
			s.LagSeconds = &lag
		}
	}
	s.Subscriptions = subscriptionsStatusOf(h.Subscriptions, m.Settings, runs)
	if s.Events, err = eventsOf(ctx, h, m.Settings, switches, runs); err != nil {
		return s, err
	}
	var owed [2]sideStatus
	if owed, s.OldestOptOut, err = owedOn(ctx, h, switches, consent.Email); err != nil {
		return s, err
	}
	s.ToShopify, s.ToListrak = owed[consent.Shopify], owed[consent.Listrak]
	if sms := s.SMS; sms != nil {
		if owed, sms.OldestOptOut, err = owedOn(ctx, h, switches, consent.SMS); err != nil {
			return s, err
		}
		sms.ToShopify, sms.ToListrak = owed[consent.Shopify], owed[consent.Listrak]
		s.OldestOptOut = earlier(s.OldestOptOut, sms.OldestOptOut)
	}
	s.OptOutOverdue = !s.OldestOptOut.IsZero() && s.now.Sub(s.OldestOptOut) > optOutLimit
	return s, nil
}

// owedOn counts what both sides are owed on a channel, and finds the oldest opt-out among it.
func owedOn(ctx context.Context, h *host.Host, switches ledger.Switches, channel consent.Channel) (owed [2]sideStatus, oldest time.Time, err error) {
	id := switches.Merchant
	stops, err := h.Ledger.Stops(ctx, id, channel)
	if err != nil {
		return owed, oldest, err
	}
	for _, side := range consent.Sides {
		sync := consent.SyncTo(channel, side)
		debts, err := h.Ledger.Debts(ctx, id, channel, side, reconcile.LedgerPermit(switches, sync))
		if err != nil {
			return owed, oldest, err
		}
		owed[side] = sideStatus{
			OwedSubscribes: debts.OwedSubscribes + stops.Approved[side], OwedUnsubscribes: debts.OwedUnsubscribes,
			NotPermitted: debts.NotPermitted, Stopped: stops.Waiting[side],
			Held: debts.ByDebt[consent.Held], Refused: debts.ByDebt[consent.Refused], Disputed: debts.ByDebt[consent.Disputed],
			Awaiting: debts.ByDebt[consent.Awaiting], Gone: debts.ByDebt[consent.Gone], Blocked: debts.ByDebt[consent.Blocked],
			Contested: debts.ByDebt[consent.Contested],
		}
		if switches.Syncs[sync].On {
			// One that is off keeps its opt-outs until it is on again, which somebody has decided.
			oldest = earlier(oldest, debts.OldestOptOut.Time())
		}
	}
	return owed, oldest, nil
}

// earlier is the earlier of two times, of which a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// smsOf is what is known of a merchant's SMS but what is owed; nil for a merchant without it.
func smsOf(ctx context.Context, h *host.Host, m merchant.Merchant) (*smsStatus, error) {
	id := m.Settings.ID
	if channels, err := channelsOf(ctx, h, m); err != nil || !slices.Contains(channels, consent.SMS) {
		return nil, err
	}
	s := &smsStatus{}
	var err error
	if s.People, err = h.Ledger.CountSubjects(ctx, id, consent.SMS); err != nil {
		return nil, err
	}
	phones, err := h.Ledger.UnreadablePhones(ctx, id, refusedLimit)
	if err != nil {
		return nil, err
	}
	s.UnreadablePhones = int64(len(phones))
	s.Compared, s.Comparing, err = h.Engine.Compared(ctx, id)
	return s, err
}

// known counts the people of both channels, as the limit on re-subscriptions does.
func (s *merchantStatus) known() int64 {
	if s.SMS == nil {
		return s.People
	}
	return s.People + s.SMS.People
}

func roundOf(run ledger.RunStatus) *roundStatus {
	r := &roundStatus{
		Began: run.Began.Time(), Ended: run.Ended.Time(), Scanned: run.Scanned, Error: run.ErrorCode, FailuresInARow: run.Failures,
		DeliveredToShopify: run.Delivered[consent.Shopify], DeliveredToListrak: run.Delivered[consent.Listrak],
	}
	if run.ErrorClass != 0 {
		r.ErrorClass = run.ErrorClass.String()
	}
	return r
}

func (v *statusView) text(p *page) {
	if len(v.Merchants) == 0 {
		p.line("There is no merchant yet. To add one: starter merchant add --help")
	}
	for i := range v.Merchants {
		if i > 0 {
			p.line("")
		}
		v.Merchants[i].text(p)
	}
}

func (s *merchantStatus) text(p *page) {
	p.line("%s: %s", s.Merchant, s.State)
	if s.Reason != "" {
		for _, line := range wrap(s.Reason, 110) {
			p.line("  %s", line)
		}
		first := ""
		if strings.Contains(s.Reason, "set --credentials") {
			// The app was uninstalled: a check without credentials would only fail.
			first = "starter merchant set " + s.Merchant + " --credentials, then "
		}
		p.line("  To go on: %sstarter merchant check %s", first, s.Merchant)
	}
	p.facts("  ", "Syncs on", syncWords(s.SyncsOn), "People known", s.peopleWords(), "Last round", s.roundWords(),
		"Round's error", s.errorWords(), "Lag", s.lagWords(), "Waiting for an order", numberOrNone(int64(s.Held)),
		"Oldest opt-out due", s.optOutWords(), "SMS list compared", s.comparedWords(), "Webhooks", s.Webhooks.words(), "Subscriptions", s.Subscriptions.words(s.now),
		"Privacy requests", s.Privacy.words(), "Events", s.Events.words(s.now))
	rows := [][]string{{"OWED", "SUBSCRIBE", "UNSUBSCRIBE", "REFUSED", "DISPUTED", "CONTESTED", "TO CONFIRM", "BLOCKED", "NOT PERMITTED"}}
	unsettled := int64(0)
	for _, side := range s.sides() {
		unsettled += side.unsettled()
		row := []string{side.name}
		for _, n := range []int64{side.OwedSubscribes, side.OwedUnsubscribes, side.Refused, side.Disputed, side.Contested, side.Awaiting, side.Blocked,
			side.NotPermitted} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, row)
	}
	p.line("")
	p.table("  ", rows)
	if unsettled > 0 {
		p.line("  To see who: starter refused %s. To try again: starter retry --help", s.Merchant)
	}
	if s.SMS != nil && s.SMS.UnreadablePhones > 0 {
		p.line("  %s cannot be read and is not synced. To see which: starter refused %s",
			count(s.SMS.UnreadablePhones, "phone number", "phone numbers"), s.Merchant)
	}
	s.brakeText(p)
	s.Webhooks.text(p)
}

// owedSide is what one side is owed on one channel.
type owedSide struct {
	name string
	side consent.Side
	*sideStatus
}

// sides are the rows of what is owed; only a merchant with SMS needs to know on which channel.
func (s *merchantStatus) sides() []owedSide {
	if s.SMS == nil {
		return []owedSide{{"to Shopify", consent.Shopify, &s.ToShopify}, {"to Listrak", consent.Listrak, &s.ToListrak}}
	}
	return []owedSide{
		{"email to Shopify", consent.Shopify, &s.ToShopify}, {"email to Listrak", consent.Listrak, &s.ToListrak},
		{"SMS to Shopify", consent.Shopify, &s.SMS.ToShopify}, {"SMS to Listrak", consent.Listrak, &s.SMS.ToListrak},
	}
}

func (s *merchantStatus) peopleWords() string {
	if s.SMS == nil {
		return strconv.FormatInt(s.People, 10)
	}
	return strconv.FormatInt(s.People, 10) + " by email, " + strconv.FormatInt(s.SMS.People, 10) + " by SMS"
}

// comparedWords says when the whole SMS list was last read to find who has left it alone; empty without SMS.
func (s *merchantStatus) comparedWords() string {
	switch {
	case s.SMS == nil:
		return ""
	case s.SMS.Comparing:
		return "under way"
	case s.SMS.Compared.IsZero():
		return "not yet"
	}
	return span(s.now.Sub(s.SMS.Compared)) + " ago"
}

// brakeText tells of people who wait at the limit on re-subscriptions, and of many unsubscribes.
func (s *merchantStatus) brakeText(p *page) {
	b := &s.Resubscriptions
	var stopped [2]int64
	for _, side := range s.sides() {
		stopped[side.side] += side.Stopped
	}
	if all := stopped[consent.Shopify] + stopped[consent.Listrak]; all > 0 {
		p.line("")
		p.line("  %s resubscribed and wait at the limit: %d in Shopify, %d in Listrak.", count(all, "person would be", "people would be"),
			stopped[consent.Shopify], stopped[consent.Listrak])
		p.line("  %s Nobody else is resubscribed until you have acted.", b.words())
		p.line("  To see who: starter refused %s. To let them go on: starter approve %[1]s", s.Merchant)
	}
	if b.Alarm {
		p.line("")
		p.line("  Many unsubscribes: %s unsubscribed by deliveries within 24 hours, and the limit on re-subscriptions is %d.",
			count(b.Unsubscribed, "person was", "people were"), b.Limit)
		p.line("  Nobody is stopped. If it is a mistake: starter merchant pause %s", s.Merchant)
	}
}

func numberOrNone(n int64) string {
	if n == 0 {
		return "nobody"
	}
	return strconv.FormatInt(n, 10)
}

func (s *merchantStatus) roundWords() string {
	r := s.LastRound
	switch {
	case r == nil && len(s.SyncsOn) == 0:
		return "none yet: every sync is off"
	case r == nil:
		return "none yet: is a worker running?"
	case r.Ended.Before(r.Began):
		return "under way for " + span(s.now.Sub(r.Began))
	}
	return span(s.now.Sub(r.Ended)) + " ago, took " + span(r.Ended.Sub(r.Began)) + "; looked at " + count(r.Scanned, "report", "reports") +
		", delivered " + strconv.FormatInt(r.DeliveredToShopify, 10) + " to Shopify and " + strconv.FormatInt(r.DeliveredToListrak, 10) + " to Listrak"
}

func (s *merchantStatus) errorWords() string {
	if s.LastRound == nil || s.LastRound.ErrorClass == "" {
		return ""
	}
	words := s.LastRound.Error + " (" + s.LastRound.ErrorClass + "), " + count(int64(s.LastRound.FailuresInARow), "round", "rounds") + " in a row"
	if s.State == ledger.Running && s.LastRound.ErrorClass == failure.PersonMustAct.String() {
		if strings.HasPrefix(s.LastRound.Error, reconcile.SMSCode) {
			words += "; email goes on"
		}
		words += ": starter merchant check " + s.Merchant + " says what to do"
	}
	return words
}

func (s *merchantStatus) lagWords() string {
	switch {
	case len(s.SyncsOn) == 0, s.LastRound == nil:
		return ""
	case s.LagSeconds == nil:
		return "unknown: the last round did not go well"
	}
	return span(time.Duration(*s.LagSeconds * float64(time.Second)))
}

func (s *merchantStatus) optOutWords() string {
	if s.OldestOptOut.IsZero() {
		return "none"
	}
	words := stamp(s.OldestOptOut) + " UTC, " + span(s.now.Sub(s.OldestOptOut)) + " ago"
	if s.OptOutOverdue {
		words += "; more than 24 hours"
	}
	return words
}
