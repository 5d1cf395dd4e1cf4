package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/workflows"
)

const secretsHelp = `Secrets are read from the environment, or from standard input as lines of NAME=VALUE or as one JSON object:
  CONCORD_SHOPIFY_CLIENT_ID and CONCORD_SHOPIFY_CLIENT_SECRET   of the app (Dev Dashboard → app → Settings), or
  CONCORD_SHOPIFY_TOKEN                                         of an app made in the store's admin (shpat_…); its secret may be given
                                                                too, as CONCORD_SHOPIFY_CLIENT_SECRET alone: it signs webhooks
  CONCORD_LISTRAK_CLIENT_ID and CONCORD_LISTRAK_CLIENT_SECRET   of an Email API integration, and, to let Listrak forget people,
  CONCORD_LISTRAK_PRIVACY_CLIENT_ID and …_PRIVACY_CLIENT_SECRET of an integration of the type Privacy (optional), and, for SMS,
  CONCORD_LISTRAK_SMS_CLIENT_ID and …_SMS_CLIENT_SECRET         of an SMS API integration (optional)
  CONCORD_EVENTS_SECRET                                         with which email and SMS events that are pushed to a worker are signed
                                                                (optional): openssl rand -hex 32 prints one`

func newMerchantCommand(a *app) *cobra.Command {
	return group("merchant", "Set merchants up: stores, lists, credentials",
		"A merchant is one Shopify store with one Listrak email list and, if used, one SMS list.\n\n"+secretsHelp,
		newMerchantAddCommand(a), newMerchantSetCommand(a), newMerchantListCommand(a), newMerchantShowCommand(a), newMerchantCheckCommand(a),
		newMerchantListsCommand(a), newMerchantEventsCommand(a), newMerchantPauseCommand(a), newMerchantResumeCommand(a),
		newMerchantRemoveCommand(a), newMerchantWebhooksCommand(a))
}

// merchantOf finds the merchant that the arguments name, or the only one there is.
func (a *app) merchantOf(ctx context.Context, args []string) (*host.Host, merchant.Merchant, error) {
	h, err := a.host(ctx)
	if err != nil {
		return nil, merchant.Merchant{}, err
	}
	if len(args) > 0 {
		m, err := h.Merchants.Get(ctx, args[0])
		var invalid *merchant.Invalid
		switch {
		case errors.Is(err, ledger.ErrUnknownMerchant):
			id, _ := merchant.ParseID(args[0]) // Get has parsed it before
			err = a.unknownMerchant(ctx, h, usageError("no merchant %s is known", id))
		case errors.As(err, &invalid):
			err = a.unknownMerchant(ctx, h, usageError("%w", err))
		}
		return h, m, err
	}
	all, err := h.Merchants.List(ctx)
	if err != nil {
		return nil, merchant.Merchant{}, err
	}
	switch len(all) {
	case 0:
		return nil, merchant.Merchant{}, usageError("there is no merchant yet").try("`starter merchant add --help`")
	case 1:
		return h, all[0], nil
	}
	return nil, merchant.Merchant{}, usageError("there are %d merchants: name one of %s", len(all), strings.Join(ids(all), ", "))
}

// switchesOf reads the switches of the merchant that a flag names, or of the only one there is.
func (a *app) switchesOf(ctx context.Context, name string) (*host.Host, ledger.Switches, error) {
	h, m, err := a.merchantOf(ctx, named(name))
	if err != nil {
		return nil, ledger.Switches{}, err
	}
	switches, err := h.Ledger.Switches(ctx, m.Settings.ID)
	return h, switches, err
}

// unknownMerchant adds the merchants that are known.
func (a *app) unknownMerchant(ctx context.Context, h *host.Host, p *problem) error {
	all, err := h.Merchants.List(ctx)
	switch {
	case err != nil:
		return errors.Join(p, err)
	case len(all) == 0:
		return p.try("there is no merchant yet: `starter merchant add --help`")
	}
	return p.try("these are known: %s", strings.Join(ids(all), ", "))
}

// ids names merchants, not more than fit on a line or two.
func ids(all []merchant.Merchant) []string {
	const most = 10
	names := make([]string, 0, most+1)
	for i, m := range all {
		if i == most {
			return append(names, fmt.Sprintf("and %d more", len(all)-most))
		}
		names = append(names, m.Settings.ID)
	}
	return names
}

// settingsFlags are the settings of a merchant as flags.
type settingsFlags struct {
	values merchant.Settings
	flags  *pflag.FlagSet
}

func addSettingsFlags(f *pflag.FlagSet) *settingsFlags {
	s := &settingsFlags{flags: f}
	f.IntVar(&s.values.EmailList, "list", 0, "`ID` of the Listrak email list; starter merchant lists prints them")
	f.IntVar(&s.values.MarketingEvent, "marketing-event", 0, "`ID` of the external event for a consent without an order, 0 for none")
	f.IntVar(&s.values.CheckoutEvent, "checkout-event", 0, "`ID` of the external event for a consent with an order, 0 for none")
	f.StringVar(&s.values.Zone, "zone", "", "time `ZONE` of the Listrak account, such as America/New_York")
	f.StringVar(&s.values.ShopifyURL, "shopify-url", "", "base `ADDRESS` of the store's API (default: https:// and the shop)")
	f.StringVar(&s.values.ListrakURL, "listrak-url", "", "base `ADDRESS` of Listrak's API (default: the real one)")
	f.StringVar(&s.values.ListrakAuthURL, "listrak-auth-url", "", "`ADDRESS` of Listrak's token endpoint (default: the real one)")
	f.StringVar(&s.values.ListrakPrivacyURL, "listrak-privacy-url", "", "base `ADDRESS` of Listrak's Privacy API (default: the real one)")
	f.Float64Var(&s.values.ListrakRate, "listrak-rate", 0, "most requests a second to Listrak, a `NUMBER` (default 10)")
	f.StringSliceVar(&s.values.ImportMethods, "import-methods", nil, "Listrak's subscribe methods that are imports, as `NAMES` with commas")
	f.StringSliceVar(&s.values.MachineMethods, "machine-methods", nil, "Listrak's unsubscribe methods that no person caused, as `NAMES` with commas")
	f.StringSliceVar(&s.values.SubscriptionSources, "subscription-sources", nil, "source names of orders that renew a subscription, as `NAMES` with commas")
	f.DurationVar(&s.values.OrderBeforeConsent, "order-before-consent", 0, "how long before the consent an order may lie, a `DURATION` (default 1m)")
	f.IntVar(&s.values.ResubscribeLimit, "resubscribe-limit", 0,
		"most people who are resubscribed within 24 hours before it waits for starter approve, a `NUMBER` (default 0: 100 and one in 1000 known)")
	f.IntVar(&s.values.SMS.SenderCode, "sms-sender-code", 0, "`ID` of the Listrak sender code, not its number; starter merchant lists prints them")
	f.IntVar(&s.values.SMS.List, "sms-list", 0, "`ID` of the phone list of the sender code, 0 for no SMS; starter merchant lists prints them")
	f.IntVar(&s.values.SMS.CheckoutList, "sms-checkout-list", 0, "`ID` of a second phone list for a consent with an order, 0 for none")
	f.StringVar(&s.values.SMS.Country, "country", "", "`COUNTRY` of phone numbers without a country code, such as DE (default US)")
	f.StringVar((*string)(&s.values.SMS.Spelling), "sms-phone-spelling", "",
		"how numbers are written to Listrak, a `SPELLING`: plus (+15550001111), digits (15550001111) or national (5550001111) (default plus)")
	f.Var(&wordFlag{yes: "off", no: "on", is: &s.values.SMS.NoWindow}, "sms-window",
		"whether a consent to SMS waits for an order, as one to email does: `on` or off")
	f.Var(&wordFlag{yes: "code", no: "list", is: &s.values.SMS.OptOut}, "sms-unsubscribe",
		"what an unsubscribe in Shopify leaves in Listrak, the `list` alone, or the whole sender code: code, which no API takes back")
	f.StringVar(&s.values.SMS.URL, "listrak-sms-url", "", "base `ADDRESS` of Listrak's SMS API (default: the real one)")
	f.StringVar((*string)(&s.values.Webhooks), "webhooks", "",
		"`WHO` subscribes to Shopify's webhooks: api (Concord), app (shopify.app.toml) or off (default: api with CONCORD_PUBLIC_URL, else off)")
	return s
}

// given reports whether any of the flags was given.
func (s *settingsFlags) given() bool {
	given := false
	s.apply(&merchant.Settings{}, func() { given = true })
	return given
}

// apply copies what was given; each is told of every one.
func (s *settingsFlags) apply(to *merchant.Settings, each func()) {
	for name, set := range map[string]func(){
		"list":                 func() { to.EmailList = s.values.EmailList },
		"marketing-event":      func() { to.MarketingEvent = s.values.MarketingEvent },
		"checkout-event":       func() { to.CheckoutEvent = s.values.CheckoutEvent },
		"zone":                 func() { to.Zone = s.values.Zone },
		"shopify-url":          func() { to.ShopifyURL = s.values.ShopifyURL },
		"listrak-url":          func() { to.ListrakURL = s.values.ListrakURL },
		"listrak-auth-url":     func() { to.ListrakAuthURL = s.values.ListrakAuthURL },
		"listrak-privacy-url":  func() { to.ListrakPrivacyURL = s.values.ListrakPrivacyURL },
		"listrak-rate":         func() { to.ListrakRate = s.values.ListrakRate },
		"import-methods":       func() { to.ImportMethods = slices.Clone(s.values.ImportMethods) },
		"machine-methods":      func() { to.MachineMethods = slices.Clone(s.values.MachineMethods) },
		"subscription-sources": func() { to.SubscriptionSources = slices.Clone(s.values.SubscriptionSources) },
		"order-before-consent": func() { to.OrderBeforeConsent = s.values.OrderBeforeConsent },
		"webhooks":             func() { to.Webhooks = s.values.Webhooks },
		"resubscribe-limit":    func() { to.ResubscribeLimit = s.values.ResubscribeLimit },
		"sms-sender-code":      func() { to.SMS.SenderCode = s.values.SMS.SenderCode },
		"sms-list":             func() { to.SMS.List = s.values.SMS.List },
		"sms-checkout-list":    func() { to.SMS.CheckoutList = s.values.SMS.CheckoutList },
		"country":              func() { to.SMS.Country = s.values.SMS.Country },
		"sms-phone-spelling":   func() { to.SMS.Spelling = s.values.SMS.Spelling },
		"sms-window":           func() { to.SMS.NoWindow = s.values.SMS.NoWindow },
		"sms-unsubscribe":      func() { to.SMS.OptOut = s.values.SMS.OptOut },
		"listrak-sms-url":      func() { to.SMS.URL = s.values.SMS.URL },
	} {
		if s.flags.Changed(name) {
			set()
			each()
		}
	}
}

// wordFlag is a setting of two words.
type wordFlag struct {
	// yes is the word that sets is, no the one that does not.
	yes, no string
	is      *bool
}

// String is the word that stands.
func (f *wordFlag) String() string {
	if f.is != nil && *f.is {
		return f.yes
	}
	return f.no
}

// Set takes one of the two words.
func (f *wordFlag) Set(word string) error {
	if word != f.yes && word != f.no {
		return fmt.Errorf("must be %s or %s", f.no, f.yes)
	}
	*f.is = word == f.yes
	return nil
}

// Type names the value in help texts.
func (f *wordFlag) Type() string { return "word" }

func ignore() {}

// secretsInput is standard input when secrets are to be read from it: always when it was asked for, and when it is piped and the
// environment does not hold them all. A complete environment must not make a script wait for the end of its input.
func (a *app) secretsInput(fromStdin bool) io.Reader {
	if fromStdin {
		return a.in
	}
	if a.asks {
		return nil
	}
	if c, err := merchant.ReadSomeCredentials(a.env, nil); err == nil && c.Normalize() == nil {
		return nil
	}
	return a.in
}

func newMerchantAddCommand(a *app) *cobra.Command {
	var shop string
	var fromStdin bool
	c := &cobra.Command{
		Use: "add SHOP --list ID --zone ZONE", Short: "Add a merchant, every sync off", Args: arguments(0, 1),
		Long: "Stores a merchant with its sealed credentials, every sync off, and starts its workflow. Nothing is called at either side;\n" +
			"`starter merchant check` does that afterwards.\n\n" + secretsHelp,
		Example: "  starter merchant add acme.myshopify.com --list 3711 --zone America/New_York --marketing-event 11 --checkout-event 22",
	}
	settings := addSettingsFlags(c.Flags())
	c.Flags().StringVar(&shop, "shop", "", "the store's *.myshopify.com `DOMAIN`, instead of SHOP")
	c.Flags().BoolVar(&fromStdin, "stdin", false, "read the secrets from standard input")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && shop != "" {
			return usageError("the shop is given twice").try("leave --shop out")
		}
		return a.addMerchant(cmd.Context(), strings.Join(append(args, shop), ""), settings, fromStdin)
	}
	return c
}

func (a *app) addMerchant(ctx context.Context, shop string, flags *settingsFlags, fromStdin bool) error {
	settings, shopErr := merchant.New(shop)
	flags.apply(&settings, ignore)
	if shopErr == nil {
		shopErr = settings.Normalize()
	}
	credentials, err := merchant.ReadCredentials(a.env, a.secretsInput(fromStdin))
	if err := errors.Join(shopErr, err); err != nil {
		return usageError("%w", err).try("`starter merchant add --help` shows an example")
	}
	h, err := a.host(ctx)
	if err != nil {
		return err
	}
	stored, err := h.Merchants.Add(ctx, settings, credentials)
	if err != nil {
		return err
	}
	// A merchant who comes back has decisions, and reports of lists that may be others now.
	for _, channel := range consent.Channels {
		if err := h.Engine.ForgetList(ctx, stored.ID, channel); err != nil {
			return fmt.Errorf("merchant %s is stored, but what Listrak had shown of it before is not forgotten: %w", stored.ID, err)
		}
	}
	v := &addedView{Merchant: stored.ID, WorkflowStarted: true, Settings: stored}
	if _, err := a.startWorkflow(ctx, stored.ID); err != nil {
		v.WorkflowStarted, v.Problem = false, err.Error()
	} else if h.Subscriptions.PublicURL != "" {
		if err := a.scheduleWebhooks(ctx, stored.ID); err != nil {
			return fmt.Errorf("merchant %s is stored, but nobody looks after its webhooks: %w", stored.ID, err)
		}
	}
	return a.show(v)
}

type addedView struct {
	Merchant        string            `json:"merchant"`
	WorkflowStarted bool              `json:"workflow_started"`
	Settings        merchant.Settings `json:"settings"`

	// Problem says why the workflow was not reached.
	Problem string `json:"problem,omitempty"`
}

func (v *addedView) text(p *page) {
	p.line("Merchant %s is stored, with sealed credentials and every sync off.", v.Merchant)
	if !v.WorkflowStarted {
		p.line("Its workflow is not started: %s", v.Problem)
		p.line("Once Temporal is there, run: starter merchant resume %s", v.Merchant)
	}
	p.line("")
	p.line("Next:")
	p.line("  starter merchant check %s", v.Merchant)
	p.line("  starter sync enable email_to_shopify --merchant %s", v.Merchant)
	if v.Settings.SMS.Enabled() {
		p.line("  starter sync enable sms_to_shopify --merchant %s", v.Merchant)
	}
}

func newMerchantSetCommand(a *app) *cobra.Command {
	var fromStdin, withCredentials bool
	c := &cobra.Command{
		Use: "set [MERCHANT]", Short: "Change settings, list or credentials", Args: arguments(0, 1),
		Long: `Changes what is given and leaves the rest. Without any setting, or with --credentials, it takes new credentials from the
environment or from standard input; those that are not given stay.

Another list or another address of Listrak starts that side's reading anew: the merchant is paused, what Listrak had shown is
forgotten (decisions stay), and the merchant goes on. If that is cut short, run the same line again. The same goes for another SMS
list, which leaves email alone.

SMS is set up with --sms-sender-code, --sms-list and credentials of its own, and taken away with --sms-sender-code 0 --sms-list 0.

` + secretsHelp,
		Example: "  starter merchant set acme --zone Europe/Berlin\n  CONCORD_LISTRAK_CLIENT_SECRET=… starter merchant set acme --credentials",
	}
	settings := addSettingsFlags(c.Flags())
	c.Flags().BoolVar(&fromStdin, "stdin", false, "read the secrets from standard input")
	c.Flags().BoolVar(&withCredentials, "credentials", false, "take new credentials from the environment or standard input")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return a.setMerchant(cmd.Context(), args, settings, withCredentials || fromStdin || !settings.given(), fromStdin)
	}
	return c
}

func (a *app) setMerchant(ctx context.Context, args []string, flags *settingsFlags, withCredentials, fromStdin bool) error {
	h, m, err := a.merchantOf(ctx, args)
	if err != nil {
		return err
	}
	var credentials *merchant.Credentials
	if withCredentials {
		given, err := merchant.ReadSomeCredentials(a.env, a.secretsInput(fromStdin))
		if err != nil {
			return err
		}
		if given.IsZero() {
			return usageError("nothing to change: no setting is given, and no credential stands in the environment or on standard input").
				try("`starter merchant set --help` lists the flags and variables")
		}
		credentials = &given
	}
	change := func(s *merchant.Settings) error { flags.apply(s, ignore); return nil }
	after := m.Settings
	flags.apply(&after, ignore)
	if err := after.Normalize(); err != nil {
		return err
	}
	if m.Settings.SMS.Enabled() && !after.SMS.Enabled() {
		if err := a.smsIsOff(ctx, h, m.Settings.ID); err != nil {
			return err
		}
	}
	v := &setView{Merchant: m.Settings.ID, CredentialsChanged: credentials != nil}
	channels := flags.newLists(m, after)
	if len(channels) > 0 {
		v.Settings, err = a.replaceLists(ctx, h, m, channels, change, credentials)
	} else {
		v.Settings, err = h.Merchants.Update(ctx, m.Settings.ID, change, credentials)
	}
	if err != nil {
		return err
	}
	v.ListForgotten, v.SMSListForgotten = slices.Contains(channels, consent.Email), slices.Contains(channels, consent.SMS)
	now, err := h.Merchants.Get(ctx, m.Settings.ID)
	if err != nil {
		return err
	}
	v.State = now.State
	return a.show(v)
}

// newLists tells on which channels a change gives the merchant another list.
func (s *settingsFlags) newLists(m merchant.Merchant, after merchant.Settings) []consent.Channel {
	// A call that was cut short after the settings were stored has left the merchant paused; the same line finishes it.
	again := func(flags ...string) bool {
		return m.State == ledger.Paused && slices.ContainsFunc(flags, s.flags.Changed)
	}
	before := &m.Settings
	var channels []consent.Channel
	if after.EmailList != before.EmailList || after.ListrakURL != before.ListrakURL || again("list", "listrak-url") {
		channels = append(channels, consent.Email)
	}
	// The first list has none before it of which anything could be known.
	if before.SMS.Enabled() && after.SMS.NewList(before.SMS) || again("sms-list", "sms-sender-code", "listrak-sms-url") {
		channels = append(channels, consent.SMS)
	}
	return channels
}

// smsIsOff refuses to take SMS away from a merchant while it is synced: the rounds would stop the merchant, email too.
func (a *app) smsIsOff(ctx context.Context, h *host.Host, id string) error {
	switches, err := h.Ledger.Switches(ctx, id)
	if err != nil {
		return err
	}
	if on := smsSyncsOn(switches); len(on) > 0 {
		return refusedError("SMS of merchant %s is synced", id).try("`starter sync disable %s --merchant %s` first", strings.Join(on, " "), id)
	}
	return nil
}

// smsSyncsOn names the SMS syncs that are on.
func smsSyncsOn(switches ledger.Switches) []string {
	return slices.DeleteFunc(syncsOn(switches), func(name string) bool { return consent.Sync(name).Channel() != consent.SMS })
}

// replaceLists gives a merchant other lists. Nothing may read or write the old ones meanwhile: deliveries are stopped by the pause,
// and the leases of rounds and full reads are ours until it is done, since a round at work could still save what it has read.
func (a *app) replaceLists(ctx context.Context, h *host.Host, m merchant.Merchant, channels []consent.Channel,
	change func(*merchant.Settings) error, credentials *merchant.Credentials) (merchant.Settings, error) {
	id := m.Settings.ID
	if m.State != ledger.Paused {
		if _, err := a.answered(ctx, id, workflows.Pause, true); err != nil {
			return merchant.Settings{}, err
		}
	}
	free, err := a.holdRuns(ctx, h, id)
	if err != nil {
		return merchant.Settings{}, err
	}
	settings, err := h.Merchants.Update(ctx, id, change, credentials)
	for _, channel := range channels {
		if err == nil {
			err = h.Engine.ForgetList(ctx, id, channel)
		}
	}
	if err = errors.Join(err, free()); err != nil {
		if m.State != ledger.Paused {
			a.note("The merchant is paused: run the same line again, or `starter merchant resume %s`.", id)
		}
		return merchant.Settings{}, err
	}
	if m.State == ledger.Paused {
		return settings, nil
	}
	if _, err := a.answered(ctx, id, workflows.Resume, true); err != nil {
		return merchant.Settings{}, fmt.Errorf("the new list is in place, but the merchant is still paused: %w", err)
	}
	return settings, nil
}

type setView struct {
	Merchant           string               `json:"merchant"`
	State              ledger.MerchantState `json:"state"`
	CredentialsChanged bool                 `json:"credentials_changed"`
	ListForgotten      bool                 `json:"list_forgotten"`
	SMSListForgotten   bool                 `json:"sms_list_forgotten,omitempty"`
	Settings           merchant.Settings    `json:"settings"`
}

func (v *setView) text(p *page) {
	p.line("Merchant %s is changed.", v.Merchant)
	if v.ListForgotten {
		p.line("What Listrak had shown is forgotten, decisions stay: list %d is read from its beginning.", v.Settings.EmailList)
	}
	switch {
	case v.SMSListForgotten && v.Settings.SMS.Enabled():
		p.line("What Listrak had shown of SMS is forgotten, decisions stay: phone list %d is read from its beginning.", v.Settings.SMS.List)
	case v.SMSListForgotten:
		p.line("What Listrak had shown of SMS is forgotten, decisions stay.")
	}
	switch v.State {
	case ledger.Paused:
		p.line("It is paused. To go on: starter merchant resume %s", v.Merchant)
	case ledger.Broken:
		p.line("It is stopped until its check succeeds: starter merchant check %s", v.Merchant)
	default:
		p.line("To see whether it works: starter merchant check %s", v.Merchant)
	}
}

func newMerchantListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the merchants", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := a.host(cmd.Context())
			if err != nil {
				return err
			}
			all, err := h.Merchants.List(cmd.Context())
			if err != nil {
				return err
			}
			v := &merchantsView{Merchants: []merchantView{}}
			for _, m := range all {
				one, err := a.viewOf(cmd.Context(), h, m)
				if err != nil {
					return err
				}
				v.Merchants = append(v.Merchants, *one)
			}
			return a.show(v)
		},
	}
}

type merchantsView struct {
	Merchants []merchantView `json:"merchants"`
}

func (v *merchantsView) text(p *page) {
	if len(v.Merchants) == 0 {
		p.line("There is no merchant yet. To add one: starter merchant add --help")
		return
	}
	rows := [][]string{{"MERCHANT", "STATE", "LIST", "SYNCS ON", "SHOP"}}
	for _, m := range v.Merchants {
		rows = append(rows, []string{m.Settings.ID, string(m.State), strconv.Itoa(m.Settings.EmailList), syncWords(m.SyncsOn), m.Settings.Shop})
	}
	p.table("", rows)
}

// merchantView is a merchant with its switches.
type merchantView struct {
	merchant.Merchant
	SyncsOn []string `json:"syncs_on"`
	// Credentials says which are stored, never what they are; only `show` asks for it.
	Credentials string `json:"credentials,omitempty"`
}

func (a *app) viewOf(ctx context.Context, h *host.Host, m merchant.Merchant) (*merchantView, error) {
	switches, err := h.Ledger.Switches(ctx, m.Settings.ID)
	if err != nil {
		return nil, err
	}
	return &merchantView{Merchant: m, SyncsOn: syncsOn(switches)}, nil
}

func newMerchantShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show [MERCHANT]", Short: "Show a merchant's settings", Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, m, err := a.merchantOf(cmd.Context(), args)
			if err != nil {
				return err
			}
			v, err := a.viewOf(cmd.Context(), h, m)
			if err != nil {
				return err
			}
			v.Credentials = "cannot be opened"
			if credentials, err := h.Merchants.Credentials(cmd.Context(), m.Settings.ID); err == nil {
				v.Credentials = credentials.String()
			} else if held, err := h.Merchants.HasCredentials(cmd.Context(), m.Settings.ID); err == nil && !held {
				v.Credentials = "none"
			}
			return a.show(v)
		},
	}
}

func (v *merchantView) text(p *page) {
	s := &v.Settings
	p.line("Merchant %s", s.ID)
	p.facts("  ", "State", string(v.State), "Because", v.Reason, "Syncs on", syncWords(v.SyncsOn), "Since", stamp(v.CreatedAt))
	p.line("Shopify")
	p.facts("  ", "Shop", s.Shop, "API address", orReal(s.ShopifyURL, "https://"+s.Shop), "Orders count from",
		span(s.OrderBeforeConsent)+" before the consent", "Renewals are orders from", strings.Join(s.SubscriptionSources, ", "),
		"Webhooks", string(cmp.Or(s.Webhooks, "the default: api with CONCORD_PUBLIC_URL, else off")))
	p.line("Listrak")
	p.facts("  ", "List", strconv.Itoa(s.EmailList), "Marketing event", orNumber(s.MarketingEvent), "Checkout event", orNumber(s.CheckoutEvent),
		"Zone", s.Zone+map[bool]string{true: " (proven)", false: " (not proven yet)"}[s.ZoneProven],
		"API address", orReal(s.ListrakURL, merchant.ListrakURL), "Token address", orReal(s.ListrakAuthURL, merchant.ListrakAuthURL),
		"Privacy API address", orReal(s.ListrakPrivacyURL, merchant.ListrakPrivacyURL),
		"Requests a second", strconv.FormatFloat(s.ListrakRate, 'g', -1, 64), "Imports are", strings.Join(s.ImportMethods, ", "),
		"Machines are", strings.Join(s.MachineMethods, ", "))
	v.smsText(p)
	p.line("Limits")
	p.facts("  ", "Resubscribed in 24 h", resubscribeWords(s.ResubscribeLimit))
	p.line("Credentials")
	p.line("  %s", v.Credentials)
}

// smsText shows a merchant's settings of SMS, if it has any.
func (v *merchantView) smsText(p *page) {
	s := &v.Settings.SMS
	if !s.Enabled() {
		return
	}
	window := "as one to email"
	if s.NoWindow {
		window = "not"
	}
	leaves := "list " + strconv.Itoa(s.List) + " alone"
	if s.OptOut {
		leaves = "the whole sender code, which no API takes back"
	}
	p.line("Listrak SMS")
	p.facts("  ", "Sender code", strconv.Itoa(s.SenderCode), "List", strconv.Itoa(s.List), "Checkout list", orNumber(s.CheckoutList),
		"Waits for an order", window, "An unsubscribe leaves", leaves, "Country", s.Country+", of numbers without a country code",
		"Numbers are written", string(cmp.Or(s.Spelling, merchant.SpellPlus)), "API address", orReal(s.URL, merchant.ListrakSMSURL))
}

func orReal(set, real string) string {
	if set == "" {
		return real
	}
	return set
}

// resubscribeWords tells a merchant's limit on re-subscriptions.
func resubscribeWords(limit int) string {
	if limit == 0 {
		return fmt.Sprintf("at most %d people and one in %d known; more wait for starter approve", merchant.DefaultResubscribeLimit,
			merchant.DefaultResubscribeKnownPer)
	}
	return "at most " + count(int64(limit), "person", "people") + "; more wait for starter approve"
}

func orNumber(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

// switchedView answers pause, resume and the switches.
type switchedView struct {
	Merchant string   `json:"merchant"`
	State    string   `json:"state"`
	SyncsOn  []string `json:"syncs_on"`
	// InForce is false for a request that was left for a worker.
	InForce bool `json:"in_force"`

	sentence string
}

func (v *switchedView) text(p *page) { p.line("%s", v.sentence) }

// request asks a merchant's workflow for a change: by signal, which a worker may take up later, or by update, whose answer words then
// puts into a sentence.
func (a *app) request(ctx context.Context, h *host.Host, id string, noWait bool, signal func(context.Context, client.Client, string) error,
	update func(context.Context, client.Client, string) (workflows.MerchantStatus, error), words func(*switchedView) string) error {
	if noWait {
		if err := a.signalled(ctx, id, signal); err != nil {
			return err
		}
		return a.left(ctx, h, id)
	}
	status, err := a.answered(ctx, id, update, true)
	if err != nil {
		return err
	}
	v := inForce(status)
	v.sentence = words(v)
	return a.show(v)
}

// inForce is the view of what a worker has answered.
func inForce(status workflows.MerchantStatus) *switchedView {
	v := &switchedView{Merchant: status.Merchant, State: status.State, SyncsOn: []string{}, InForce: true}
	for _, sync := range status.On {
		v.SyncsOn = append(v.SyncsOn, string(sync))
	}
	return v
}

// left is the view of a request that waits for a worker.
func (a *app) left(ctx context.Context, h *host.Host, id string) error {
	switches, err := h.Ledger.Switches(ctx, id)
	if err != nil {
		return err
	}
	return a.show(&switchedView{Merchant: id, State: string(switches.State), SyncsOn: syncsOn(switches),
		sentence: "The request is left with Temporal; it comes into force when a worker takes it up."})
}

const noWaitHelp = "leave the request with Temporal and do not wait for a worker's answer"

func newMerchantPauseCommand(a *app) *cobra.Command {
	var noWait bool
	c := &cobra.Command{
		Use: "pause [MERCHANT]", Short: "Stop all calls for a merchant; nothing is forgotten", Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, m, err := a.merchantOf(cmd.Context(), args)
			if err != nil {
				return err
			}
			return a.request(cmd.Context(), h, m.Settings.ID, noWait, workflows.SignalPause, workflows.Pause, func(v *switchedView) string {
				return fmt.Sprintf("Merchant %s is paused: nothing is written any more. To go on: starter merchant resume %[1]s", v.Merchant)
			})
		},
	}
	c.Flags().BoolVar(&noWait, "no-wait", false, noWaitHelp)
	return c
}

func newMerchantResumeCommand(a *app) *cobra.Command {
	var noWait bool
	c := &cobra.Command{
		Use: "resume [MERCHANT]", Short: "Let a paused or stopped merchant go on", Args: arguments(0, 1),
		Long: "Lets a merchant go on that was paused, or that was stopped because a person had to act. It catches up what it missed.\n" +
			"It also starts the merchant's workflow when Temporal does not have it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			h, m, err := a.merchantOf(cmd.Context(), args)
			if err != nil {
				return err
			}
			// An uninstalled app leaves none, and every round would fail.
			if held, err := h.Merchants.HasCredentials(cmd.Context(), m.Settings.ID); err == nil && !held {
				return refusedError("merchant %s has no credentials", m.Settings.ID).try("set them first: starter merchant set %s --credentials", m.Settings.ID)
			}
			return a.request(cmd.Context(), h, m.Settings.ID, noWait, workflows.SignalResume, workflows.Resume, func(v *switchedView) string {
				return fmt.Sprintf("Merchant %s goes on. Syncs on: %s.", v.Merchant, syncWords(v.SyncsOn))
			})
		},
	}
	c.Flags().BoolVar(&noWait, "no-wait", false, noWaitHelp)
	return c
}

func newMerchantRemoveCommand(a *app) *cobra.Command {
	var yes, erase bool
	c := &cobra.Command{
		Use: "remove MERCHANT", Short: "End a merchant and erase its credentials; decisions stay", Args: arguments(1, 1),
		Long: `Switches every sync off, erases the credentials, frees shop and list, and ends the workflow. What people decided stays, so that a
merchant who comes back loses no opt-out.

With --erase nothing stays: every decision, opt-outs too, every journal and every privacy request, also of a merchant that was removed
before. If it comes back, nobody who had left is known to have left. A run that was cut short goes on when the same line is run again.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if erase {
				return a.eraseMerchant(cmd.Context(), args[0], yes)
			}
			return a.removeMerchant(cmd.Context(), args, yes)
		},
	}
	c.Flags().BoolVar(&erase, "erase", false, "erase everything that is known of the merchant's people, opt-outs too")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (a *app) removeMerchant(ctx context.Context, args []string, yes bool) error {
	h, m, err := a.merchantOf(ctx, args)
	if err != nil {
		return err
	}
	id := m.Settings.ID
	if !yes {
		if err := a.ask(ctx, fmt.Sprintf("Remove merchant %s (%s)? Its credentials are erased; what people decided stays.", id, m.Settings.Shop)); err != nil {
			return err
		}
	}
	if err := h.Merchants.Remove(ctx, id); err != nil {
		return err
	}
	return a.show(a.toldRemoved(ctx, id))
}

// eraseMerchant removes a merchant, unless it is removed already, and erases all that was known of it.
func (a *app) eraseMerchant(ctx context.Context, name string, yes bool) error {
	h, err := a.host(ctx)
	if err != nil {
		return err
	}
	id, err := a.knownOrRemoved(ctx, h, name)
	if err != nil {
		return err
	}
	people, err := h.Ledger.CountSubjects(ctx, id)
	if err != nil {
		return err
	}
	if !yes {
		question := fmt.Sprintf("Erase merchant %s with all that is known of %s, opt-outs too? Nobody who has left is known to have left then, and "+
			"it cannot be taken back.", id, count(people, "person", "people"))
		if err := a.ask(ctx, question); err != nil {
			return err
		}
	}
	// One that was removed before is unknown to everything but this.
	if err := h.Merchants.Remove(ctx, id); err != nil && !errors.Is(err, ledger.ErrUnknownMerchant) {
		return err
	}
	v := a.toldRemoved(ctx, id)
	// A round at work could still save what it has read.
	free, err := a.holdRuns(ctx, h, id)
	if err != nil {
		return err
	}
	erased, err := h.Ledger.EraseMerchant(ctx, id)
	if err = errors.Join(err, free()); err != nil {
		return err
	}
	v.Erased, v.people = true, erased.Others
	return a.show(v)
}

// toldRemoved tells the workflow of a merchant that was removed.
func (a *app) toldRemoved(ctx context.Context, id string) *removedView {
	v := &removedView{Merchant: id, WorkflowTold: true}
	if err := a.tellRemoved(ctx, id); err != nil {
		v.WorkflowTold, v.Problem = false, err.Error()
	}
	return v
}

// tellRemoved rouses the workflow: it finds the merchant gone and ends. One that is not there has nothing to end.
func (a *app) tellRemoved(ctx context.Context, id string) error {
	c, err := a.temporalClient(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.answerTimeout)
	defer cancel()
	if err := workflows.UnscheduleWebhooks(ctx, c, id); err != nil {
		return err
	}
	err = workflows.SignalResume(ctx, c, id)
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return nil
	}
	return err
}

type removedView struct {
	Merchant     string `json:"merchant"`
	WorkflowTold bool   `json:"workflow_told"`

	// Erased: nothing is known of it any more.
	Erased bool `json:"erased"`

	// Problem says why the workflow was not reached.
	Problem string `json:"problem,omitempty"`

	people int64
}

func (v *removedView) text(p *page) {
	if v.Erased {
		p.line("Merchant %s is erased, with all that was known of %s.", v.Merchant, count(v.people, "person", "people"))
	} else {
		p.line("Merchant %s is removed and its credentials are erased.", v.Merchant)
	}
	if v.WorkflowTold {
		p.line("Its workflow ends as soon as a worker has read that.")
		return
	}
	p.line("Its workflow was not told: %s", v.Problem)
	p.line("It can do nothing any more, and ends with: temporal workflow signal --name resume --workflow-id %s", workflows.MerchantSyncID(v.Merchant))
}

// holdRuns takes the leases of a merchant's rounds and full reads, waiting for whoever is at work; the returned function frees them.
func (a *app) holdRuns(ctx context.Context, h *host.Host, id string) (free func() error, err error) {
	var leases []ledger.RunLease
	free = func() error {
		var errs []error
		for _, lease := range leases {
			errs = append(errs, h.Ledger.ReleaseRun(context.WithoutCancel(ctx), lease))
		}
		return errors.Join(errs...)
	}
	told := false
	for _, kind := range runKinds {
		for {
			lease, ok, err := h.Ledger.AcquireRun(ctx, id, kind, h.Engine.Holder, listLease)
			if err != nil {
				return nil, errors.Join(err, free())
			}
			if ok {
				leases = append(leases, lease)
				break
			}
			if !told {
				told = true
				a.note("Waiting for what is at work for merchant %s to end …", id)
			}
			select {
			case <-ctx.Done():
				return nil, errors.Join(ctx.Err(), free())
			case <-time.After(leasePoll):
			}
		}
	}
	return free, nil
}

// listLease bounds giving a merchant another list, should this process die on the way; whoever repeats it waits that long.
const listLease = 5 * time.Minute

// leasePoll is how often a lease is asked for: its holder cannot tell us that it is free.
const leasePoll = 100 * time.Millisecond
