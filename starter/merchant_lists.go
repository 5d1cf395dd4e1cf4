package main

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
)

// sortByCount sorts names, the most frequent first.
func sortByCount(names []string, counts map[string]int64) {
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
}

// listrakFlags name a Listrak account before a merchant exists.
type listrakFlags struct {
	url, authURL, smsURL string
	list                 int
	needsList            bool
}

func (f *listrakFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.url, "listrak-url", "", "base `ADDRESS` of Listrak's API, before a merchant is added (default: the real one)")
	c.Flags().StringVar(&f.authURL, "listrak-auth-url", "", "`ADDRESS` of Listrak's token endpoint, before a merchant is added (default: the real one)")
}

// listrakAccess is an account of Listrak that can be asked.
type listrakAccess struct {
	settings    merchant.Settings
	credentials merchant.Credentials
	now         func() time.Time
}

// listrakOf finds a Listrak account: with the stored credentials of the merchant that is named, with those of the environment when
// none is, or else with those of the only merchant.
func (a *app) listrakOf(ctx context.Context, args []string, flags listrakFlags) (*listrakAccess, error) {
	given, err := merchant.ReadSomeCredentials(a.env, nil)
	if err != nil {
		return nil, err
	}
	hasEmail := given.ListrakClientID != "" && given.ListrakClientSecret != ""
	fromEnvironment := len(args) == 0 && (hasEmail || given.HasSMS() && !flags.needsList)
	settings := merchant.Settings{
		Shop: "none.myshopify.com", Zone: "UTC", EmailList: cmp.Or(flags.list, 1), ListrakURL: flags.url, ListrakAuthURL: flags.authURL,
		SMS: merchant.SMS{URL: flags.smsURL},
	}
	settings.SMS.Country = merchant.DefaultCountry
	credentials := given
	if fromEnvironment && flags.needsList && flags.list == 0 {
		return nil, usageError("--list is missing: the credentials come from the environment, which names no list").
			try("`starter merchant lists` prints the lists")
	}
	if !fromEnvironment {
		if flags.url != "" || flags.authURL != "" || flags.smsURL != "" {
			return nil, usageError("--listrak-url, --listrak-auth-url and --listrak-sms-url go with credentials from the environment").
				try("set %s and %s, or leave the flags out", merchant.EnvListrakClientID, merchant.EnvListrakClientSecret)
		}
		h, m, err := a.merchantOf(ctx, args)
		if err != nil {
			if hint(err) == "" || len(args) > 0 {
				return nil, err
			}
			return nil, usageError("%w, and the environment holds no credentials of Listrak", err).
				try("set %s and %s", merchant.EnvListrakClientID, merchant.EnvListrakClientSecret)
		}
		settings = m.Settings
		settings.EmailList = cmp.Or(flags.list, settings.EmailList)
		if credentials, err = h.Merchants.Credentials(ctx, m.Settings.ID); err != nil {
			return nil, err
		}
	}
	if err := settings.Normalize(); err != nil {
		return nil, err
	}
	return &listrakAccess{settings, credentials, a.now}, nil
}

// email makes the client of the account's email lists.
func (l *listrakAccess) email() (*listrak.Client, error) {
	zone, err := l.settings.Location()
	if err != nil {
		return nil, err
	}
	return listrak.New(listrak.Config{
		BaseURL: l.settings.ListrakURL, AuthURL: l.settings.ListrakAuthURL, List: l.settings.EmailList, Zone: zone, Now: l.now,
		ClientID: l.credentials.ListrakClientID, ClientSecret: l.credentials.ListrakClientSecret, RatePerSecond: l.settings.ListrakRate,
	})
}

const beforeAddHelp = `Works before a merchant is added, with CONCORD_LISTRAK_CLIENT_ID and CONCORD_LISTRAK_CLIENT_SECRET in the environment. A merchant that is
named is asked with its stored credentials.`

const listsHelp = beforeAddHelp + `

Where there are credentials of an SMS integration (CONCORD_LISTRAK_SMS_CLIENT_ID and CONCORD_LISTRAK_SMS_CLIENT_SECRET, which are enough
alone), it also prints the sender codes, each with its phone lists.`

func newMerchantListsCommand(a *app) *cobra.Command {
	var flags listrakFlags
	c := &cobra.Command{
		Use: "lists [MERCHANT]", Short: "Print the lists that a Listrak integration sees", Long: listsHelp, Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			account, err := a.listrakOf(cmd.Context(), args, flags)
			if err != nil {
				return err
			}
			v := &listsView{Lists: []listView{}}
			if account.credentials.ListrakClientID != "" {
				if err := account.emailLists(cmd.Context(), v); err != nil {
					return err
				}
			}
			if account.credentials.HasSMS() {
				if err := account.senderCodes(cmd.Context(), v); err != nil {
					return err
				}
			}
			return a.show(v)
		},
	}
	flags.register(c)
	c.Flags().StringVar(&flags.smsURL, "listrak-sms-url", "", "base `ADDRESS` of Listrak's SMS API, before a merchant is added (default: the real one)")
	return c
}

// emailLists reads the email lists.
func (l *listrakAccess) emailLists(ctx context.Context, v *listsView) error {
	client, err := l.email()
	if err != nil {
		return err
	}
	lists, err := client.Lists(ctx)
	if err != nil {
		return err
	}
	for _, l := range lists {
		v.Lists = append(v.Lists, listView{l.ID, l.Name, l.DoubleOptIn})
	}
	v.email = true
	return nil
}

// senderCodes reads the sender codes with their phone lists.
func (l *listrakAccess) senderCodes(ctx context.Context, v *listsView) error {
	client, err := host.SMSClient(l.settings, l.credentials, l.now)
	if err != nil {
		return err
	}
	codes, err := client.SenderCodes(ctx)
	if err != nil {
		return err
	}
	v.SenderCodes = []senderCodeView{}
	for _, code := range codes {
		lists, err := client.Lists(ctx, code.ID)
		if err != nil {
			return err
		}
		one := senderCodeView{ID: code.ID, Number: code.Number, Name: code.Name, Country: code.Country, Lists: []phoneListView{}}
		for _, l := range lists {
			one.Lists = append(one.Lists, phoneListView{l.ID, l.Name, l.DoubleOptIn, l.AgeGate, l.Active})
		}
		v.SenderCodes = append(v.SenderCodes, one)
	}
	return nil
}

type listView struct {
	ID          int    `json:"id"`
	Name        string `json:"name"`
	DoubleOptIn bool   `json:"double_opt_in"`
}

type senderCodeView struct {
	ID      int             `json:"id"`
	Number  string          `json:"number"`
	Name    string          `json:"name"`
	Country string          `json:"country"`
	Lists   []phoneListView `json:"lists"`
}

type phoneListView struct {
	ID          int    `json:"id"`
	Name        string `json:"name"`
	DoubleOptIn bool   `json:"double_opt_in"`
	AgeGate     bool   `json:"age_gate"`
	Active      bool   `json:"active"`
}

// notes says what sets a phone list apart.
func (l *phoneListView) notes() string {
	var notes []string
	for _, note := range []struct {
		holds bool
		words string
	}{{l.DoubleOptIn, "double opt-in"}, {l.AgeGate, "age gate"}, {!l.Active, "inactive"}} {
		if note.holds {
			notes = append(notes, note.words)
		}
	}
	return strings.Join(notes, ", ")
}

type listsView struct {
	Lists []listView `json:"lists"`
	// SenderCodes is missing where there are no credentials of an SMS integration.
	SenderCodes []senderCodeView `json:"sender_codes,omitempty"`

	// email: there are credentials of an Email integration.
	email bool
}

func (v *listsView) text(p *page) {
	if v.email {
		v.emailText(p)
	}
	if v.SenderCodes == nil {
		return
	}
	if v.email {
		p.line("")
	}
	if len(v.SenderCodes) == 0 {
		p.line("This SMS integration sees no sender code.")
		return
	}
	rows := [][]string{{"SENDER CODE", "NUMBER", "PHONE LIST", "NAME", "NOTES"}}
	for _, code := range v.SenderCodes {
		id, number := strconv.Itoa(code.ID), code.Number
		if len(code.Lists) == 0 {
			rows = append(rows, []string{id, number, "", "", "no phone list"})
		}
		for _, l := range code.Lists {
			rows = append(rows, []string{id, number, strconv.Itoa(l.ID), l.Name, l.notes()})
		}
	}
	p.table("", rows)
	p.line("--sms-sender-code takes the id in the first column, not the number.")
}

func (v *listsView) emailText(p *page) {
	if len(v.Lists) == 0 {
		p.line("This integration sees no list.")
		return
	}
	rows := [][]string{{"LIST", "NAME", "OPT-IN"}}
	for _, l := range v.Lists {
		rows = append(rows, []string{strconv.Itoa(l.ID), l.Name, map[bool]string{true: "double", false: "single"}[l.DoubleOptIn]})
	}
	p.table("", rows)
}

// noSuchList is Listrak's code for a route whose list is not there (contracts/listrak.md).
const noSuchList = "ERROR_UNABLE_TO_LOCATE_RESOURCE"

func newMerchantEventsCommand(a *app) *cobra.Command {
	flags := listrakFlags{needsList: true}
	c := &cobra.Command{
		Use: "events [MERCHANT]", Short: "Print the external events of a list: the subscription points", Long: beforeAddHelp, Args: arguments(0, 1),
		Example: "  starter merchant events --list 3711",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("list") && flags.list < 1 {
				return usageError("--list must be the id of a Listrak list").try("`starter merchant lists` prints them")
			}
			account, err := a.listrakOf(cmd.Context(), args, flags)
			if err != nil {
				return err
			}
			client, err := account.email()
			if err != nil {
				return err
			}
			events, err := client.Events(cmd.Context())
			if f := failure.As(err); f != nil && f.Code == noSuchList {
				return usageError("Listrak does not have this list, or does not show it to this integration").
					try("--list with one that `starter merchant lists` prints")
			}
			if err != nil {
				return err
			}
			v := &eventsView{Events: []eventView{}}
			for _, e := range events {
				v.Events = append(v.Events, eventView{e.ID, e.Name, e.Active})
			}
			return a.show(v)
		},
	}
	flags.register(c)
	c.Flags().IntVar(&flags.list, "list", 0, "`ID` of the list whose events to print; the merchant's own when there is one")
	return c
}

type eventView struct {
	ID     int    `json:"id"`
	Name   string `json:"name"`
	Active bool   `json:"active"`
}

type eventsView struct {
	Events []eventView `json:"events"`
}

func (v *eventsView) text(p *page) {
	if len(v.Events) == 0 {
		p.line("This list has no external event. Make two in Listrak, one for each subscription point.")
		return
	}
	rows := [][]string{{"EVENT", "STATUS", "NAME"}}
	for _, e := range v.Events {
		rows = append(rows, []string{strconv.Itoa(e.ID), map[bool]string{true: "active", false: "blocked"}[e.Active], e.Name})
	}
	p.table("", rows)
}
