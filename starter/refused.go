package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/shopify"
)

// refusedLimit bounds each list that is read at once.
const refusedLimit = 1000

func newRefusedCommand(a *app) *cobra.Command {
	var addresses bool
	var id string
	c := &cobra.Command{
		Use: "refused [MERCHANT]", Short: "List the people whose decision is refused, disputed or contested, or who wait at the limit",
		Args: arguments(0, 1),
		Long: `Lists whose decision could not be delivered for good: refused by a side, with its code, disputed (accepted three times and still not
shown), or contested (somebody keeps undoing what we deliver). They are tried again only on a newer decision, or on request: "starter
retry". Also lists who is stopped at the limit on re-subscriptions, and goes on only with "starter approve", and phone numbers that
cannot be read, for somebody to mend on the side that has them. At most 1000 of each kind and side are listed, opt-outs first.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := namedOnce(args, id)
			if err != nil {
				return err
			}
			return a.refused(cmd.Context(), args, addresses)
		},
	}
	c.Flags().StringVarP(&id, "merchant", "m", "", "the `MERCHANT`, instead of the argument")
	c.Flags().BoolVar(&addresses, "show-addresses", false, "open the sealed addresses and show them")
	return c
}

type refusedView struct {
	Merchant string          `json:"merchant"`
	People   []refusedPerson `json:"people"`
	// Unreadable are texts that stand for phone numbers and are none; they are synced to neither side.
	Unreadable []unreadablePhone `json:"unreadable_phones,omitempty"`

	// bothChannels: the table says who is on which.
	bothChannels bool
}

type unreadablePhone struct {
	Side string `json:"side"`
	// Customer is the id of the Shopify customer; Listrak has none.
	Customer string    `json:"customer,omitempty"`
	Seen     time.Time `json:"seen"`
	Text     string    `json:"text,omitempty"`
}

type refusedPerson struct {
	// Subject is the beginning of the hash under which the person is kept.
	Subject  string    `json:"subject"`
	Channel  string    `json:"channel"`
	Side     string    `json:"side"`
	Problem  string    `json:"problem"`
	Decision string    `json:"decision"`
	Decided  time.Time `json:"decided,omitzero"`
	Code     string    `json:"code,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Address  string    `json:"address,omitempty"`
}

func (a *app) refused(ctx context.Context, args []string, addresses bool) error {
	h, m, err := a.merchantOf(ctx, args)
	if err != nil {
		return err
	}
	channels, err := channelsOf(ctx, h, m)
	if err != nil {
		return err
	}
	v := &refusedView{Merchant: m.Settings.ID, People: []refusedPerson{}, bothChannels: len(channels) > 1}
	for _, channel := range channels {
		for _, side := range consent.Sides {
			for _, debt := range append(slices.Clone(unsettled), consent.Stopped) {
				people, err := refusedOf(ctx, h, m, channel, side, debt, addresses)
				if err != nil {
					return err
				}
				v.People = append(v.People, people...)
			}
		}
	}
	phones, err := h.Ledger.UnreadablePhones(ctx, m.Settings.ID, refusedLimit)
	if err != nil {
		return err
	}
	for _, u := range phones {
		phone := unreadablePhone{Side: u.Side.String(), Customer: u.Ref, Seen: u.Seen.Time()}
		if addresses {
			phone.Text = openText(h, u.Sealed, reconcile.UnreadableContext(u.Phone))
		}
		v.Unreadable = append(v.Unreadable, phone)
	}
	return a.show(v)
}

// refusedOf lists the people whom a side is owed so.
func refusedOf(ctx context.Context, h *host.Host, m merchant.Merchant, channel consent.Channel, side consent.Side, debt consent.Debt,
	addresses bool) ([]refusedPerson, error) {
	found, err := h.Ledger.Unsettled(ctx, m.Settings.ID, channel, side, debt, refusedLimit)
	if err != nil {
		return nil, err
	}
	approved := map[consent.Subject]bool{}
	if debt == consent.Stopped {
		if approved, err = approvedAmong(ctx, h, m, found); err != nil {
			return nil, err
		}
	}
	people := make([]refusedPerson, 0, len(found))
	for _, u := range found {
		person := refusedPerson{
			Subject: shortSubject(u.Subject), Channel: channel.String(), Side: side.String(), Problem: debt.String(), Decision: u.Decision.String(),
			Decided: u.At.Time(), Code: u.Code, Since: u.Since.Time(),
		}
		if debt == consent.Stopped {
			// The last delivery was an earlier one: this one has not been tried.
			person.Code, person.Since = "", time.Time{}
		}
		if approved[u.Subject] {
			person.Problem += ", approved"
		}
		if addresses {
			person.Address = openText(h, u.SealedAddress, reconcile.AddressContext(u.Subject))
		}
		people = append(people, person)
	}
	return people, nil
}

// approvedAmong tells who of those who are stopped goes on with the next round.
func approvedAmong(ctx context.Context, h *host.Host, m merchant.Merchant, stopped []ledger.Unsettled) (map[consent.Subject]bool, error) {
	subjects := make([]consent.Subject, len(stopped))
	for i, u := range stopped {
		subjects[i] = u.Subject
	}
	b, err := h.Ledger.Brake(ctx, m.Settings.ID, m.Settings.ResubscriptionLimit(), subjects)
	return b.Passing, err
}

// openText opens what is kept sealed, or says why not.
func openText(h *host.Host, sealed []byte, sealContext string) string {
	if len(sealed) == 0 {
		return "(not kept)"
	}
	plain, err := h.Keys.Open(sealed, sealContext)
	if err != nil {
		return "(cannot be opened)"
	}
	return string(plain)
}

// shortSubject is enough of a hash to tell people apart on a screen.
func shortSubject(s consent.Subject) string { return s.Hex()[:12] }

func (v *refusedView) text(p *page) {
	defer v.unreadableText(p)
	if len(v.People) == 0 {
		p.line("Nobody's decision is refused, disputed, contested or stopped for merchant %s.", v.Merchant)
		return
	}
	rows := [][]string{{"SUBJECT", "SIDE", "PROBLEM", "DECISION", "CODE", "SINCE (UTC)", "ADDRESS"}}
	shown := false
	for _, r := range v.People {
		rows = append(rows, []string{r.Subject, r.Side, r.Problem, r.Decision, r.Code, stamp(r.Since), r.Address})
		shown = shown || r.Address != ""
	}
	if !shown {
		rows[0] = rows[0][:6]
	}
	p.table("", withChannel(rows, v.bothChannels, func(i int) string { return v.People[i].Channel }))
	p.line("")
	for _, help := range []struct{ code, words string }{
		{shopify.CodeNoPhone, "the customer in Shopify has no phone number, or another one: give it to them in Shopify's admin, then try again"},
		{shopify.CodeTaken, "another customer of the store has it, and the search does not show which: look for it in Shopify's admin"},
	} {
		if slices.ContainsFunc(v.People, func(r refusedPerson) bool { return r.Code == help.code }) {
			p.line("%s: %s.", help.code, help.words)
		}
	}
	p.line("To try again: starter retry - --merchant %s (the address on standard input), or starter retry --all --merchant %s", v.Merchant, v.Merchant)
	if !shown {
		p.line("The addresses are sealed; --show-addresses opens those that are kept.")
	}
}

// unreadableText lists the phone numbers that somebody has to mend.
func (v *refusedView) unreadableText(p *page) {
	if len(v.Unreadable) == 0 {
		return
	}
	p.line("")
	p.line("Not synced, because the phone number cannot be read. Correct it on the side that has it; it is taken up by itself then.")
	rows := [][]string{{"SIDE", "CUSTOMER", "LAST SEEN (UTC)", "TEXT"}}
	shown := false
	for _, u := range v.Unreadable {
		rows = append(rows, []string{u.Side, u.Customer, stamp(u.Seen), u.Text})
		shown = shown || u.Text != ""
	}
	if !shown {
		rows[0] = rows[0][:3]
	}
	p.table("", rows)
	if !shown {
		p.line("The texts are sealed; --show-addresses opens them.")
	}
}
