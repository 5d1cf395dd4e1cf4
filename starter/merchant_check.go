package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/shopify"
)

// runKinds are the runs of a merchant that read or write.
var runKinds = [...]ledger.RunKind{reconcile.RoundRun, reconcile.FullRun, reconcile.FullSMSRun}

func newMerchantCheckCommand(a *app) *cobra.Command {
	var probe string
	c := &cobra.Command{
		Use: "check [MERCHANT]", Short: "Find out by harmless calls whether everything is granted and set", Args: arguments(0, 1),
		Long: `Makes harmless calls to both sides and says in plain words what is wrong. Nothing is written. A merchant that was stopped because
a person had to act goes on when everything is right.

With --probe it also subscribes one address in Listrak, reads it back and compares the date with the clock, which proves the
time zone. Give an address of your own that is not on the list; the contact stays there, and the syncs treat it like any other.
The address is neither stored nor logged; with - it is read from standard input.`,
		Example: "  starter merchant check acme\n  starter merchant check acme --probe -",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.checkMerchant(cmd.Context(), args, probe) },
	}
	c.Flags().StringVar(&probe, "probe", "", "an `ADDRESS` of your own to subscribe in Listrak, or - for standard input")
	return c
}

// finding is one thing that was looked at.
type finding struct {
	// Side is shopify, listrak or concord.
	Side   string `json:"side"`
	OK     bool   `json:"ok"`
	What   string `json:"what"`
	Advice string `json:"advice,omitempty"`
}

type checkView struct {
	Merchant string    `json:"merchant"`
	OK       bool      `json:"ok"`
	Healed   bool      `json:"healed"`
	Findings []finding `json:"findings"`
}

func (v *checkView) add(side string, ok bool, what, advice string) {
	v.Findings = append(v.Findings, finding{side, ok, sentence(what), sentence(advice)})
}

// sentence gives a text a capital and a full stop, so that those of different packages read alike.
func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

func (v *checkView) text(p *page) {
	for _, side := range []struct{ name, title string }{{atShopify, "Shopify"}, {atListrak, "Listrak"}, {atConcord, "Concord"}} {
		title := side.title
		for _, f := range v.Findings {
			if f.Side != side.name {
				continue
			}
			if title != "" {
				p.line("%s", title)
				title = ""
			}
			p.line("  %-2s %s", mark(f.OK), f.What)
			if f.Advice != "" {
				p.line("     %s", f.Advice)
			}
		}
	}
	p.line("")
	switch {
	case v.Healed:
		p.line("Everything is right. Merchant %s had been stopped and goes on now.", v.Merchant)
	case v.OK:
		p.line("Everything is right.")
	}
}

const (
	atShopify = "shopify"
	atListrak = "listrak"
	atConcord = "concord"
)

func mark(ok bool) string {
	if ok {
		return "OK"
	}
	return "✗"
}

func (a *app) checkMerchant(ctx context.Context, args []string, probe string) error {
	address, err := a.probeAddress(ctx, probe)
	if err != nil {
		return err
	}
	h, m, err := a.merchantOf(ctx, args)
	if err != nil {
		return err
	}
	credentials, err := h.Merchants.Credentials(ctx, m.Settings.ID)
	if err != nil {
		return err
	}
	store, list, err := host.Clients(m.Settings, credentials, a.now, h.Log)
	if err != nil {
		return err
	}
	v := &checkView{Merchant: m.Settings.ID}
	for _, f := range store.VerifyAccess(ctx) {
		v.add(atShopify, f.OK, f.What, f.Advice)
	}
	var events []int
	for _, event := range []int{m.Settings.MarketingEvent, m.Settings.CheckoutEvent} {
		if event != 0 {
			events = append(events, event)
		}
	}
	for _, f := range list.VerifyAccess(ctx, events...) {
		v.add(atListrak, f.OK, f.What, f.Advice)
	}
	switches, err := h.Ledger.Switches(ctx, m.Settings.ID)
	if err != nil {
		return err
	}
	checkEvents(ctx, v, switches.Syncs[consent.EmailEvents].On, switches.Syncs[consent.SMSEvents].On, store, list, credentials)
	if err := a.checkPrivacy(ctx, v, m.Settings, credentials); err != nil {
		return err
	}
	if err := a.checkSMS(ctx, h, v, m.Settings, credentials); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(events) == 0 {
		v.add(atConcord, true, "no subscription point is set",
			"Listrak is told of consents without one; set --marketing-event and --checkout-event with `starter merchant set`")
	}
	if v.right() {
		a.showMethods(ctx, v, list, m.Settings)
	}
	if address == "" {
		if m.Settings.ZoneProven {
			v.add(atConcord, true, "the zone "+m.Settings.Zone+" is proven by a write", "")
		} else {
			v.add(atConcord, true, "the zone "+m.Settings.Zone+" is not proven yet: until a write has, Listrak's dates count as up to 14 hours off",
				"The first delivery proves it, or now: `starter merchant check "+m.Settings.ID+" --probe ADDRESS`")
		}
	} else if v.right() {
		if err := a.probe(ctx, h, m, list, address, v); err != nil {
			return err
		}
	}
	v.OK = v.right()
	if v.OK && m.State == ledger.Broken {
		if _, err := h.Ledger.Heal(ctx, m.Settings.ID); err != nil {
			return err
		}
		v.Healed = true
	}
	switch {
	case m.State == ledger.Paused:
		v.add(atConcord, true, "the merchant is paused", "To go on: `starter merchant resume "+m.Settings.ID+"`")
	case m.State == ledger.Broken && !v.OK:
		v.add(atConcord, false, "the merchant is stopped: "+m.Reason, "It goes on when a check finds everything right")
	}
	if err := a.show(v); err != nil {
		return err
	}
	if !v.OK {
		wrong := int64(0)
		for _, f := range v.Findings {
			if !f.OK {
				wrong++
			}
		}
		return failedError("the check of merchant %s found %s", m.Settings.ID, count(wrong, "thing wrong", "things wrong")).
			try("mend what is marked with ✗ and run it again")
	}
	return nil
}

func (v *checkView) right() bool {
	for _, f := range v.Findings {
		if !f.OK {
			return false
		}
	}
	return true
}

// showMethods tells by which methods the contacts of the first page subscribed, so that imports can be told from people (rule 8).
func (a *app) showMethods(ctx context.Context, v *checkView, list *listrak.Client, settings merchant.Settings) {
	page, err := list.Contacts(ctx, listrak.ContactQuery{State: listrak.Subscribed})
	if err != nil || len(page.Contacts) == 0 {
		return
	}
	seen := map[string]int64{}
	for _, c := range page.Contacts {
		seen[c.Method]++
	}
	var names []string
	for name := range seen {
		names = append(names, name)
	}
	sortByCount(names, seen)
	const most = 8
	var said []string
	for i, name := range names {
		if i == most {
			said = append(said, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		kind := ""
		if settings.IsImport(name) {
			kind = ", an import"
		}
		said = append(said, fmt.Sprintf("%q (%d%s)", name, seen[name], kind))
	}
	v.add(atListrak, true, "contacts subscribed by these methods: "+strings.Join(said, ", "),
		"An import that is not marked so belongs into --import-methods of `starter merchant set`")
}

// checkPrivacy looks whether Listrak can be asked to forget people, which a merchant may leave out.
func (a *app) checkPrivacy(ctx context.Context, v *checkView, settings merchant.Settings, credentials merchant.Credentials) error {
	if !credentials.HasPrivacy() {
		v.add(atListrak, true, "no credentials of a Privacy integration are set", "People who ask to be forgotten are erased here, but you have to let "+
			"Listrak forget them by hand; or set "+merchant.EnvListrakPrivacyClientID+" and "+merchant.EnvListrakPrivacyClientSecret+
			" with `starter merchant set --credentials`")
		return nil
	}
	client, err := listrak.NewPrivacy(host.PrivacyConfig(settings, credentials))
	if err != nil {
		return err
	}
	f := client.VerifyAccess(ctx)
	v.add(atListrak, f.OK, f.What, f.Advice)
	return nil
}

// checkSMS looks whether SMS can be synced, which a merchant may leave out.
func (a *app) checkSMS(ctx context.Context, h *host.Host, v *checkView, settings merchant.Settings, credentials merchant.Credentials) error {
	const secrets = merchant.EnvListrakSMSClientID + " and " + merchant.EnvListrakSMSClientSecret
	if !settings.SMS.Enabled() || !credentials.HasSMS() {
		switches, err := h.Ledger.Switches(ctx, settings.ID)
		if err != nil {
			return err
		}
		missing, what := secrets+" with `starter merchant set "+settings.ID+" --credentials`", "no credentials of an SMS integration are set"
		if credentials.HasSMS() {
			missing, what = "--sms-sender-code and --sms-list with `starter merchant set "+settings.ID+"` (`starter merchant lists "+settings.ID+
				"` prints them)", "no sender code and phone list are set"
		}
		on := smsSyncsOn(switches)
		ok := len(on) == 0 && !settings.SMS.Enabled()
		if ok {
			what, missing = "SMS is not set up: "+what, "To sync it, set "+missing
		} else {
			missing = "Set " + missing
		}
		v.add(atListrak, ok, what, missing)
		return nil
	}
	client, err := host.SMSClient(settings, credentials, a.now)
	if err != nil {
		return err
	}
	for _, f := range client.VerifyAccess(ctx) {
		v.add(atListrak, f.OK, f.What, f.Advice)
	}
	if settings.SMS.CheckoutList == 0 {
		v.add(atConcord, true, "no checkout list of SMS is set", "That a consent came with an order is only told by `starter explain` then; "+
			"set --sms-checkout-list with `starter merchant set` to put these people on a second list")
		return nil
	}
	return a.checkCheckoutList(ctx, v, client, settings.SMS)
}

// checkCheckoutList looks for the second list, of which the client's own check knows nothing.
func (a *app) checkCheckoutList(ctx context.Context, v *checkView, client *listrak.SMSClient, sms merchant.SMS) error {
	lists, err := client.Lists(ctx, sms.SenderCode)
	if err != nil {
		// The check of the first list has said why.
		return ctx.Err()
	}
	name := fmt.Sprintf("phone list %d, for consents with an order,", sms.CheckoutList)
	at := slices.IndexFunc(lists, func(l listrak.SMSList) bool { return l.ID == sms.CheckoutList })
	switch {
	case at < 0:
		v.add(atListrak, false, fmt.Sprintf("%s does not exist on sender code %d", name, sms.SenderCode),
			"Set --sms-checkout-list to one that `starter merchant lists` prints, or to 0 for none")
	case !lists[at].Active:
		v.add(atListrak, false, fmt.Sprintf("%s is %q and inactive", name, lists[at].Name), "Activate it in Listrak, or set another one")
	default:
		v.add(atListrak, true, fmt.Sprintf("%s is %q", name, lists[at].Name), "")
	}
	return nil
}

// probeAddress reads the address of --probe, an argument or, for -, standard input. Empty stays empty.
func (a *app) probeAddress(ctx context.Context, argument string) (string, error) {
	if argument == "" {
		return "", nil
	}
	given, err := a.given(ctx, argument)
	if err != nil {
		return "", err
	}
	return consent.NormaliseEmail(given)
}

// probe subscribes an address and compares the date that Listrak gives it with the clocks.
func (a *app) probe(ctx context.Context, h *host.Host, m merchant.Merchant, list *listrak.Client, address string, v *checkView) error {
	wrong := func(what string, err error) error {
		f := failure.As(err)
		if f == nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		v.add(atListrak, false, what+" ("+f.Code+")", f.Advice)
		return nil
	}
	before, found, err := list.Contact(ctx, address)
	switch {
	case err != nil:
		return wrong("the probe's contact cannot be read", err)
	case found && before.State == listrak.Subscribed:
		return usageError("the address of --probe is subscribed already, so writing it again proves nothing").
			try("give one of your own that is not on the list, such as yours with +probe before the @")
	case found:
		return refusedError("the address of --probe is on the list and not subscribed: a probe never overrides what a person said").
			try("give one of your own that is not on the list, such as yours with +probe before the @")
	}
	zone, err := m.Settings.Location()
	if err != nil {
		return err
	}
	if err := list.Reserve(ctx); err != nil {
		return wrong("the probe cannot be written", err)
	}
	began := a.now()
	result, err := list.Subscribe(ctx, address, listrak.SubscribeOptions{})
	ended := a.now()
	if err != nil {
		return wrong("the probe cannot be written", err)
	}
	after, found, err := list.Contact(ctx, address)
	if err != nil {
		return wrong("the probe's contact cannot be read back", err)
	}
	switch {
	case result.Pending || found && after.State == listrak.Pending:
		v.add(atListrak, true, "the probe waits for its double opt-in, which proves that contacts can be written",
			"The zone is proven by a contact that Listrak subscribes at once, or by the first delivery")
		return nil
	case !found || after.State != listrak.Subscribed:
		v.add(atListrak, false, "the probe was written, but Listrak does not show it as subscribed", "Look the contact up in Listrak")
		return nil
	}
	v.add(atListrak, true, "a contact can be written and read back", "")
	proof := listrak.ProveZone(after.RawDate, zone, began, ended, result.ServerTime)
	switch proof.Verdict {
	case listrak.ZoneProven:
		_, err := h.Merchants.Update(ctx, m.Settings.ID, func(s *merchant.Settings) error {
			if s.Zone != m.Settings.Zone || s.EmailList != m.Settings.EmailList {
				return errors.New("the zone or the list was changed meanwhile; run the check again")
			}
			s.ZoneProven = true
			return nil
		}, nil)
		if err != nil {
			return err
		}
		v.add(atConcord, true, "the zone "+m.Settings.Zone+" is proven: Listrak's dates are "+offsetWords(proof.Seen), "")
	case listrak.ZoneWrong:
		v.add(atConcord, false, fmt.Sprintf("the zone is wrong: Listrak's dates are %s, but %s is %s now", offsetWords(proof.Seen), m.Settings.Zone,
			offsetWords(proof.Configured)), "Set the zone of the Listrak account with `starter merchant set "+m.Settings.ID+" --zone ZONE`")
	default:
		v.add(atConcord, true, "the probe proves no zone: its date is not that of the write, or the write took too long",
			"Try again with another address")
	}
	return nil
}

// offsetWords says how far a clock is from UTC.
func offsetWords(d time.Duration) string {
	switch {
	case d == 0:
		return "in UTC"
	case d < 0:
		return hoursAndMinutes(-d) + " behind UTC"
	}
	return hoursAndMinutes(d) + " ahead of UTC"
}

func hoursAndMinutes(d time.Duration) string {
	hours, minutes := int64(d.Hours()), int64(d.Minutes())%60
	text := count(hours, "hour", "hours")
	if minutes != 0 {
		text += fmt.Sprintf(" %d minutes", minutes)
	}
	return text
}

// checkEvents looks at what the syncs of events need: of email events, of SMS events.
func checkEvents(ctx context.Context, v *checkView, email, sms bool, store *shopify.Client, list *listrak.Client, credentials merchant.Credentials) {
	if !email && !sms {
		return
	}
	for _, f := range store.VerifyEventAccess(ctx) {
		v.add(atShopify, f.OK, f.What, f.Advice)
	}
	if email {
		for _, f := range list.VerifyEventAccess(ctx) {
			v.add(atListrak, f.OK, f.What, f.Advice)
		}
	}
	if sms && credentials.EventsSecret == "" {
		v.add(atConcord, true, "no secret for events is set, so that SMS events come by starter events import alone",
			"To have them pushed, set "+merchant.EnvEventsSecret+" with `starter merchant set --credentials`")
	}
}
