package main

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
)

// sortByCount sorts names, the most frequent first.
func sortByCount(names []string, counts map[string]int64) {
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
}

// listrakFlags name a Listrak account before a merchant exists.
type listrakFlags struct {
	url, authURL string
	list         int
	needsList    bool
}

func (f *listrakFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.url, "listrak-url", "", "base `ADDRESS` of Listrak's API, before a merchant is added (default: the real one)")
	c.Flags().StringVar(&f.authURL, "listrak-auth-url", "", "`ADDRESS` of Listrak's token endpoint, before a merchant is added (default: the real one)")
}

// listrakOf makes a Listrak client: with the stored credentials of the merchant that is named, with those of the environment when
// none is, or else with those of the only merchant.
func (a *app) listrakOf(ctx context.Context, args []string, flags listrakFlags) (*listrak.Client, error) {
	given, err := merchant.ReadSomeCredentials(a.env, nil)
	if err != nil {
		return nil, err
	}
	fromEnvironment := len(args) == 0 && given.ListrakClientID != "" && given.ListrakClientSecret != ""
	settings := merchant.Settings{
		Shop: "none.myshopify.com", Zone: "UTC", EmailList: cmp.Or(flags.list, 1), ListrakURL: flags.url, ListrakAuthURL: flags.authURL,
	}
	credentials := given
	if fromEnvironment && flags.needsList && flags.list == 0 {
		return nil, usageError("--list is missing: the credentials come from the environment, which names no list").
			try("`starter merchant lists` prints the lists")
	}
	if !fromEnvironment {
		if flags.url != "" || flags.authURL != "" {
			return nil, usageError("--listrak-url and --listrak-auth-url go with credentials from the environment").
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
	zone, err := settings.Location()
	if err != nil {
		return nil, err
	}
	return listrak.New(listrak.Config{
		BaseURL: settings.ListrakURL, AuthURL: settings.ListrakAuthURL, List: settings.EmailList, Zone: zone, Now: a.now,
		ClientID: credentials.ListrakClientID, ClientSecret: credentials.ListrakClientSecret, RatePerSecond: settings.ListrakRate,
	})
}

const beforeAddHelp = `Works before a merchant is added, with CONCORD_LISTRAK_CLIENT_ID and CONCORD_LISTRAK_CLIENT_SECRET in the environment. A merchant that is
named is asked with its stored credentials.`

func newMerchantListsCommand(a *app) *cobra.Command {
	var flags listrakFlags
	c := &cobra.Command{
		Use: "lists [MERCHANT]", Short: "Print the lists that a Listrak integration sees", Long: beforeAddHelp, Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.listrakOf(cmd.Context(), args, flags)
			if err != nil {
				return err
			}
			lists, err := client.Lists(cmd.Context())
			if err != nil {
				return err
			}
			v := &listsView{Lists: []listView{}}
			for _, l := range lists {
				v.Lists = append(v.Lists, listView{l.ID, l.Name, l.DoubleOptIn})
			}
			return a.show(v)
		},
	}
	flags.register(c)
	return c
}

type listView struct {
	ID          int    `json:"id"`
	Name        string `json:"name"`
	DoubleOptIn bool   `json:"double_opt_in"`
}

type listsView struct {
	Lists []listView `json:"lists"`
}

func (v *listsView) text(p *page) {
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
			client, err := a.listrakOf(cmd.Context(), args, flags)
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
