package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/workflows"
)

func newSyncCommand(a *app) *cobra.Command {
	return group("sync", "Switch syncs on and off", "The syncs are "+consent.SyncNames()+".",
		newSyncEnableCommand(a), newSyncDisableCommand(a), newSyncStatusCommand(a))
}

// parseSyncs reads the names of syncs; one that is named twice counts once.
func parseSyncs(names []string) ([]consent.Sync, error) {
	var syncs []consent.Sync
	for _, name := range names {
		sync, err := consent.ParseSync(name)
		if err != nil {
			return nil, usageError("%w", err)
		}
		if !slices.Contains(syncs, sync) {
			syncs = append(syncs, sync)
		}
	}
	return syncs, nil
}

// syncWords shows the names of syncs that are on to people. A sync of events names its kinds only where some are off, and kinds of one that is
// off, which are off too, are left out: else the list is wider than a terminal.
func syncWords(names []string) string {
	var words []string
	for _, name := range names {
		sync := consent.Sync(name)
		kinds := sync.Kinds()
		if len(kinds) == 0 {
			if !sync.IsEvents() {
				words = append(words, name)
			}
			continue
		}
		var on []string
		for _, kind := range kinds {
			if slices.Contains(names, string(kind)) {
				on = append(on, strings.TrimPrefix(string(kind), name+"."))
			}
		}
		switch len(on) {
		case len(kinds):
		case 0:
			name += " (every kind off)"
		default:
			name += " (" + strings.Join(on, ", ") + ")"
		}
		words = append(words, name)
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func delta(syncs []consent.Sync, on bool) workflows.SyncDelta {
	d := workflows.SyncDelta{}
	for _, sync := range syncs {
		d[sync] = on
	}
	return d
}

func named(id string) []string {
	if id == "" {
		return nil
	}
	return []string{id}
}

// namedOnce takes the merchant from the argument or, as the verbs of sync have it, from --merchant.
func namedOnce(args []string, id string) ([]string, error) {
	if id == "" {
		return args, nil
	}
	if len(args) > 0 {
		return nil, usageError("the merchant is given twice").try("leave --merchant out")
	}
	return named(id), nil
}

type enableFlags struct {
	merchant, existingOptOuts string
	yes, noWait               bool
}

func newSyncEnableCommand(a *app) *cobra.Command {
	var flags enableFlags
	c := &cobra.Command{
		Use: "enable SYNC…", Short: "Switch syncs on", Args: arguments(1, -1),
		Long: `Switches syncs on and returns when they are in force.

email_to_shopify and sms_to_shopify begin, the first time, with a full read of that channel on both sides, count how many customers
would be created, subscribed and unsubscribed, and ask. A read that is interrupted goes on where it was.

email_to_listrak and sms_to_listrak carry what people decide from now on. The first time, people who are unsubscribed in Shopify and
still subscribed in Listrak are counted, and --existing-opt-outs says what becomes of them: deliver unsubscribes them in Listrak,
leave leaves them as they are. It is the answer for every sync towards Listrak that is named.

A sync of SMS needs SMS to be set up: starter merchant set --help.

email_events and sms_events tell Shopify who was sent, opened and clicked what: the totals of each message, and of each customer when it
last happened and how often. Each has kinds that are switched by themselves, such as email_events.opened; switching it on the first time
switches all of them on. The first time both sides are read, to learn which customer has which address; nothing is asked.`,
		Example: "  starter sync enable email_to_shopify\n  starter sync enable email_to_listrak --existing-opt-outs=deliver --yes",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.enable(cmd.Context(), args, flags) },
	}
	c.Flags().StringVarP(&flags.merchant, "merchant", "m", "", "the `MERCHANT`; may be left out when there is only one")
	c.Flags().StringVar(&flags.existingOptOuts, "existing-opt-outs", "", "what becomes of earlier opt-outs in Shopify, an `ANSWER`: deliver or leave")
	c.Flags().BoolVarP(&flags.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&flags.noWait, "no-wait", false, noWaitHelp)
	return c
}

func (a *app) enable(ctx context.Context, names []string, flags enableFlags) error {
	syncs, err := parseSyncs(names)
	if err != nil {
		return err
	}
	answer := ledger.OptOuts(flags.existingOptOuts)
	switch {
	case answer != ledger.OptOutsUnasked && answer != ledger.OptOutsDeliver && answer != ledger.OptOutsLeave:
		return usageError("--existing-opt-outs must be deliver or leave")
	case answer != ledger.OptOutsUnasked && !slices.ContainsFunc(syncs, towardsListrak):
		return usageError("--existing-opt-outs only goes with %s or %s", consent.EmailToListrak, consent.SMSToListrak)
	}
	h, switches, err := a.switchesOf(ctx, flags.merchant)
	if err != nil {
		return err
	}
	id := switches.Merchant
	if err := h.Engine.CheckSyncs(ctx, id, delta(syncs, true)); err != nil {
		return err
	}
	v := &enabledView{Previews: []previewView{}}
	if slices.ContainsFunc(syncs, func(s consent.Sync) bool { return switches.Syncs[s].FirstOn == 0 }) {
		if err := a.prepare(ctx, h, switches, syncs, flags, v); err != nil {
			return err
		}
	}
	if answer != ledger.OptOutsUnasked {
		change := ledger.SyncChange{ExistingOptOuts: map[consent.Sync]ledger.OptOuts{}}
		for _, sync := range syncs {
			if towardsListrak(sync) {
				change.ExistingOptOuts[sync] = answer
			}
		}
		if _, err := h.Ledger.SetSyncs(ctx, id, change); err != nil {
			return err
		}
	}
	if v.Lacking, err = a.lackingForEvents(ctx, h, id, syncs); err != nil {
		return err
	}
	on := delta(syncs, true)
	if flags.noWait {
		if err := a.signalled(ctx, id, signalSetSyncs(on)); err != nil {
			return err
		}
		return a.left(ctx, h, id)
	}
	status, err := a.answered(ctx, id, setSyncs(on), true)
	if err != nil {
		return err
	}
	v.switchedView = *inForce(status)
	v.sentence = fmt.Sprintf("In force for merchant %s. Syncs on: %s.", id, syncWords(v.SyncsOn))
	if status.State != activities.StateRunning {
		v.sentence += fmt.Sprintf(" It is %s, so nothing is delivered: starter merchant %s %s", status.State,
			map[string]string{activities.StateBroken: "check"}[status.State]+map[string]string{activities.StatePaused: "resume"}[status.State], id)
	}
	return a.show(v)
}

func towardsListrak(sync consent.Sync) bool { return sync.To() == consent.Listrak }

func setSyncs(d workflows.SyncDelta) func(context.Context, client.Client, string) (workflows.MerchantStatus, error) {
	return func(ctx context.Context, c client.Client, id string) (workflows.MerchantStatus, error) {
		return workflows.SetSyncs(ctx, c, id, d)
	}
}

func signalSetSyncs(d workflows.SyncDelta) func(context.Context, client.Client, string) error {
	return func(ctx context.Context, c client.Client, id string) error {
		return workflows.SignalSetSyncs(ctx, c, id, d)
	}
}

type enabledView struct {
	switchedView
	// Previews tell what a first enabling does, by sync.
	Previews []previewView `json:"previews"`
	// Lacking is what syncs of events need and do not have. They are switched on all the same, and begin when it is there.
	Lacking []finding `json:"lacking,omitempty"`
}

type previewView struct {
	Sync      consent.Sync `json:"sync"`
	Create    int64        `json:"create"`
	Subscribe int64        `json:"subscribe"`
	// Resubscribe counts those of Subscribe who are unsubscribed there now; beyond the merchant's limit they wait for an approval.
	Resubscribe     int64 `json:"resubscribe"`
	Unsubscribe     int64 `json:"unsubscribe"`
	Leave           int64 `json:"leave"`
	ExistingOptOuts int64 `json:"existing_opt_outs"`
}

// lackingForEvents looks for what those of syncs that are of events need and do not have, and shows it: else nobody is told before a worker
// fails for it.
func (a *app) lackingForEvents(ctx context.Context, h *host.Host, id string, syncs []consent.Sync) ([]finding, error) {
	email, sms := slices.Contains(syncs, consent.EmailEvents), slices.Contains(syncs, consent.SMSEvents)
	if !email && !sms {
		return nil, nil
	}
	m, err := h.Merchants.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	credentials, err := h.Merchants.Credentials(ctx, id)
	if err != nil {
		return nil, err
	}
	store, list, err := host.Clients(m.Settings, credentials, a.now, h.Log)
	if err != nil {
		return nil, err
	}
	v := &checkView{}
	checkEvents(ctx, v, email, sms, store, list, credentials)
	lacking := slices.DeleteFunc(v.Findings, func(f finding) bool { return f.OK && f.Advice == "" })
	p := &page{w: a.errOut}
	for _, f := range lacking {
		p.line("%-2s %s", mark(f.OK), f.What)
		if f.Advice != "" {
			p.line("   %s", f.Advice)
		}
	}
	if p.err != nil {
		return nil, fmt.Errorf("show what events lack: %w", p.err)
	}
	return lacking, nil
}

// prepare does what a first enabling needs: both sides read, the effect counted and agreed to.
func (a *app) prepare(ctx context.Context, h *host.Host, switches ledger.Switches, syncs []consent.Sync, flags enableFlags, v *enabledView) error {
	id := switches.Merchant
	if switches.State != ledger.Running {
		next := "resume"
		if switches.State == ledger.Broken {
			next = "check"
		}
		return refusedError("merchant %s is %s, and enabling a sync for the first time reads both sides", id, switches.State).
			try("`starter merchant %s %s`", next, id)
	}
	for _, sync := range syncs {
		if switches.Syncs[sync].FirstOn != 0 || sync.IsEvents() {
			continue
		}
		if err := a.fullRead(ctx, h, id, sync.Channel()); err != nil {
			return err
		}
		preview, err := h.Engine.Preview(ctx, id, sync)
		if err != nil {
			return err
		}
		v.Previews = append(v.Previews, previewView{
			Sync: sync, Create: preview.Create, Subscribe: preview.Subscribe, Resubscribe: preview.Resubscribe,
			Unsubscribe: preview.Unsubscribe, Leave: preview.Leave, ExistingOptOuts: preview.ExistingOptOuts,
		})
	}
	var ask bool
	for _, preview := range v.Previews {
		p := &page{w: a.errOut}
		switch preview.Sync.To() {
		case consent.Shopify:
			ask = true
			preview.toShopify(p)
		case consent.Listrak:
			if preview.ExistingOptOuts > 0 && flags.existingOptOuts == "" && switches.Syncs[preview.Sync].ExistingOptOuts == ledger.OptOutsUnasked {
				return usageError("%s unsubscribed%s in Shopify and still subscribed in Listrak: say what becomes of them",
					count(preview.ExistingOptOuts, "person is", "people are"), ofChannel(preview.Sync)).
					try("--existing-opt-outs=deliver unsubscribes them in Listrak, --existing-opt-outs=leave leaves them as they are")
			}
			preview.toListrak(p, flags.existingOptOuts)
		}
		if p.err != nil {
			return fmt.Errorf("show what enabling would do: %w", p.err)
		}
	}
	if ask && !flags.yes {
		return a.ask(ctx, "Switch on?")
	}
	return nil
}

func (v *previewView) toShopify(p *page) {
	p.line("%s would, as things stand:", v.Sync)
	p.table("  ", [][]string{
		{"create", fmt.Sprint(v.Create), "customers in Shopify, subscribed"},
		{"subscribe", fmt.Sprint(v.Subscribe), "customers"},
		{"unsubscribe", fmt.Sprint(v.Unsubscribe), "customers"},
		{"leave", fmt.Sprint(v.Leave), "people as they are"},
	})
	if v.Resubscribe > 0 {
		p.line("Of those to subscribe, %s there now. Beyond the limit of 24 hours they wait until you run starter approve.",
			count(v.Resubscribe, "person is unsubscribed", "people are unsubscribed"))
	}
	p.line("If Listrak's own Shopify integration syncs the same data, switch that off first: two syncs would undo each other's work.")
}

func (v *previewView) toListrak(p *page, answer string) {
	p.line("%s carries what people decide in Shopify from now on; who subscribed there before is left as they are.", v.Sync)
	switch {
	case v.ExistingOptOuts > 0 && answer == string(ledger.OptOutsDeliver):
		p.line("%s unsubscribed in Shopify will be unsubscribed in Listrak.", count(v.ExistingOptOuts, "person", "people"))
	case v.ExistingOptOuts > 0:
		p.line("%s unsubscribed in Shopify and subscribed in Listrak will be left as they are.", count(v.ExistingOptOuts, "person", "people"))
	}
}

// progressEvery is how often a full read says how far it is.
const progressEvery = 2 * time.Second

// ofChannel names the channel of a sync where it is not email.
func ofChannel(sync consent.Sync) string {
	if sync.Channel() == consent.SMS {
		return " from SMS"
	}
	return ""
}

// fullRead makes sure that a channel of both sides has been read completely once. Ctrl-C leaves the read going on in the worker.
func (a *app) fullRead(ctx context.Context, h *host.Host, id string, channel consent.Channel) error {
	done, err := h.Engine.FullReadDone(ctx, id, channel)
	if err != nil || done {
		return err
	}
	if err := a.requireWorker(ctx, id); err != nil {
		return err
	}
	c, err := a.temporalClient(ctx)
	if err != nil {
		return err
	}
	settings, err := a.settings()
	if err != nil {
		return err
	}
	run, err := workflows.StartBackfill(ctx, c, settings.TaskQueue, id, channel)
	if err != nil {
		return err
	}
	what := "both sides"
	if channel == consent.SMS {
		what = "SMS consents on both sides"
	}
	a.note("Reading %s of %s. It can be interrupted: the worker goes on, and this verb finds it again.", what, id)
	ended := make(chan error, 1)
	go func() {
		var result activities.BackfillResult
		ended <- run.Get(ctx, &result)
	}()
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	told := ""
	for last := int64(-1); ; {
		select {
		case err := <-ended:
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				return fullReadFailed(id, err)
			}
			people, err := h.Ledger.CountSubjects(ctx, id, channel)
			if err != nil {
				return err
			}
			a.note("Both sides are read: %s known.", count(people, "person is", "people are"))
			return nil
		case <-ticker.C:
			people, err := h.Ledger.CountSubjects(ctx, id, channel)
			if err != nil {
				return err
			}
			if people != last {
				a.note("  %s so far", count(people, "person", "people"))
				last = people
			}
			if why := standsStill(ctx, c, run.GetID()); why != "" && why != told {
				a.note("  The read waits and tries again: %s", why)
				told = why
			}
		}
	}
}

// standsStill says why a full read's last attempt failed. It is tried again for ever, so that without the reason the verb would wait
// in silence for a side that is not there. Empty where nothing failed, or Temporal does not tell.
func standsStill(ctx context.Context, c client.Client, backfill string) string {
	described, err := c.DescribeWorkflowExecution(ctx, backfill, "")
	if err != nil {
		return ""
	}
	for _, pending := range described.GetPendingActivities() {
		if why := pending.GetLastFailure().GetMessage(); why != "" {
			return why
		}
	}
	return ""
}

// fullReadFailed words the failure of the backfill's workflow. What Temporal wraps around the activity's own words names ids and
// attempts, which help nobody here.
func fullReadFailed(id string, err error) error {
	p := failedError("the full read of both sides failed: %w", err)
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		p.err = fmt.Errorf("the full read of both sides failed: %s", application.Message())
		if application.Type() == failure.PersonMustAct.String() {
			p.code = exitRefused
		}
	}
	return p.try("`starter merchant check %s`, then run this again: it goes on where it was", id)
}

func newSyncDisableCommand(a *app) *cobra.Command {
	var id string
	var noWait bool
	c := &cobra.Command{
		Use: "disable SYNC…", Short: "Switch syncs off", Args: arguments(1, -1),
		Long: "Switches syncs off and returns when that is in force: nothing more is written after the answer. What was decided is kept.",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			syncs, err := parseSyncs(args)
			if err != nil {
				return err
			}
			h, m, err := a.merchantOf(ctx, named(id))
			if err != nil {
				return err
			}
			off := delta(syncs, false)
			return a.request(ctx, h, m.Settings.ID, noWait, signalSetSyncs(off), setSyncs(off), func(v *switchedView) string {
				var words []string
				for _, sync := range syncs {
					words = append(words, string(sync))
				}
				verb := "writes"
				if len(words) > 1 {
					verb = "write"
				}
				return fmt.Sprintf("In force for merchant %s: %s %s nothing any more. Syncs on: %s.", v.Merchant, strings.Join(words, ", "), verb,
					syncWords(v.SyncsOn))
			})
		},
	}
	c.Flags().StringVarP(&id, "merchant", "m", "", "the `MERCHANT`; may be left out when there is only one")
	c.Flags().BoolVar(&noWait, "no-wait", false, noWaitHelp)
	return c
}

func newSyncStatusCommand(a *app) *cobra.Command {
	var id string
	c := &cobra.Command{
		Use: "status [SYNC…]", Short: "Show which syncs are on, and since when", Args: arguments(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			syncs, err := parseSyncs(args)
			if err != nil {
				return err
			}
			h, m, err := a.merchantOf(cmd.Context(), named(id))
			if err != nil {
				return err
			}
			return a.syncStatus(cmd.Context(), h, m, syncs)
		},
	}
	c.Flags().StringVarP(&id, "merchant", "m", "", "the `MERCHANT`; may be left out when there is only one")
	return c
}

type syncStatusView struct {
	Merchant string               `json:"merchant"`
	State    ledger.MerchantState `json:"state"`
	// FullReadDone: email was read completely on both sides once. SMSFullReadDone: the same of SMS.
	FullReadDone    bool       `json:"full_read_done"`
	SMSFullReadDone bool       `json:"sms_full_read_done"`
	Syncs           []syncView `json:"syncs"`

	// noSMS: SMS is not set up, and was asked for or is worth a hint.
	noSMS bool
}

type syncView struct {
	Sync consent.Sync `json:"sync"`
	On   bool         `json:"on"`
	// FirstOn is when it was enabled for the first time; zero for never. Since is when it was switched to where it is.
	FirstOn         time.Time `json:"first_on,omitzero"`
	Since           time.Time `json:"since,omitzero"`
	ExistingOptOuts string    `json:"existing_opt_outs,omitempty"`

	// offAbove: a kind of events that is on, below a sync that is off.
	offAbove bool
}

func (v *syncView) words() string {
	switch {
	case v.offAbove:
		return "off with its sync"
	case v.On:
		return "on"
	}
	return "off"
}

// syncStatus shows the syncs that are named, or those of consent of the channels that the merchant has, and those of events.
func (a *app) syncStatus(ctx context.Context, h *host.Host, m merchant.Merchant, syncs []consent.Sync) error {
	id := m.Settings.ID
	switches, err := h.Ledger.Switches(ctx, id)
	if err != nil {
		return err
	}
	channels, err := channelsOf(ctx, h, m)
	if err != nil {
		return err
	}
	v := &syncStatusView{Merchant: id, State: switches.State, noSMS: !m.Settings.SMS.Enabled()}
	if len(syncs) == 0 {
		syncs = slices.DeleteFunc(slices.Clone(consent.Syncs), func(s consent.Sync) bool { return !slices.Contains(channels, s.Channel()) })
		for _, events := range []consent.Sync{consent.EmailEvents, consent.SMSEvents} {
			if syncs = append(syncs, events); switches.Syncs[events].On {
				syncs = append(syncs, events.Kinds()...) // those of a sync that is off are off, whatever their own switches say
			}
		}
	}
	if v.FullReadDone, err = h.Engine.FullReadDone(ctx, id, consent.Email); err != nil {
		return err
	}
	if v.SMSFullReadDone, err = h.Engine.FullReadDone(ctx, id, consent.SMS); err != nil {
		return err
	}
	for _, sync := range syncs {
		s := switches.Syncs[sync]
		one := syncView{Sync: sync, On: s.On, FirstOn: s.FirstOn.Time(), ExistingOptOuts: string(s.ExistingOptOuts),
			offAbove: s.On && !switches.On(sync)}
		if n := len(s.Intervals); n > 0 {
			one.Since = s.Intervals[n-1].Began.Time()
			if !s.On {
				one.Since = s.Intervals[n-1].Ended.Time()
			}
		}
		v.Syncs = append(v.Syncs, one)
	}
	return a.show(v)
}

func (v *syncStatusView) text(p *page) {
	p.line("Merchant %s: %s", v.Merchant, v.State)
	rows := [][]string{{"SYNC", "IS", "SINCE (UTC)", "FIRST ON (UTC)", "EXISTING OPT-OUTS"}}
	for _, s := range v.Syncs {
		rows = append(rows, []string{string(s.Sync), s.words(), orNever(s.Since), orNever(s.FirstOn), s.ExistingOptOuts})
	}
	p.table("  ", rows)
	if v.noSMS {
		p.line("  SMS is not set up: starter merchant set --help")
	}
}

func orNever(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return stamp(t)
}
