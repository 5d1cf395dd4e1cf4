package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
)

type approveFlags struct {
	merchant string
	people   int64
	// given: --people was given.
	given, yes bool
}

func newApproveCommand(a *app) *cobra.Command {
	var flags approveFlags
	c := &cobra.Command{
		Use: "approve [MERCHANT]", Short: "Let people be resubscribed who wait at the limit", Args: arguments(0, 1),
		Long: `When more people would be turned from unsubscribed to subscribed within 24 hours than the merchant's limit allows, they are stopped
and wait, because that is what a mistake looks like: an import, a wrong time zone, another tool. While anybody waits, nobody else is
resubscribed either. Creations, first opt-ins and unsubscribes never wait.

This verb shows how many wait, asks, and lets these people go on with the next round, or the oldest of them. The approval counts for 24
hours; whoever is not delivered by then waits again. Nobody goes on without one, however long it takes, unless the limit is raised or they
change their mind. It works without Temporal.

For a larger number that is expected give the merchant a higher limit: starter merchant set --resubscribe-limit. Then those who wait go on
too, as far as it reaches.`,
		Example: "  starter approve acme\n  starter approve acme --people 20 --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := namedOnce(args, flags.merchant)
			if err != nil {
				return err
			}
			flags.given = cmd.Flags().Changed("people")
			return a.approve(cmd.Context(), args, flags)
		},
	}
	c.Flags().StringVarP(&flags.merchant, "merchant", "m", "", "the `MERCHANT`, instead of the argument")
	c.Flags().Int64Var(&flags.people, "people", 0, "how many of those who wait, a `NUMBER`; the oldest decisions go first (default: all)")
	c.Flags().BoolVarP(&flags.yes, "yes", "y", false, "do not ask")
	return c
}

// brakeView is how a merchant stands to its limit on re-subscriptions.
type brakeView struct {
	// Limit is for 24 hours; Resubscribed counts the people of the present ones, and Approved those whom operators have approved in them.
	Limit        int64 `json:"limit"`
	Approved     int64 `json:"approved"`
	Resubscribed int64 `json:"resubscribed"`
	// Unsubscribed counts the people whom deliveries have unsubscribed within 24 hours; Alarm: they are more than the limit.
	Unsubscribed int64 `json:"unsubscribed"`
	Alarm        bool  `json:"alarm"`
}

// words tells the counts in one sentence.
func (v *brakeView) words() string {
	words := fmt.Sprintf("Within 24 hours %s resubscribed; the limit is %d", count(v.Resubscribed, "person was", "people were"), v.Limit)
	if v.Approved > 0 {
		words += ", and " + count(v.Approved, "person beyond it was", "people beyond it were") + " approved"
	}
	return words + "."
}

// brakeOf reads how a merchant stands to its limit; people is how many are known, since a limit may grow with them.
func brakeOf(ctx context.Context, h *host.Host, m merchant.Merchant, people int64) (brakeView, error) {
	limit := m.Settings.ResubscriptionLimit()
	b, err := h.Ledger.Brake(ctx, m.Settings.ID, limit, nil)
	if err != nil {
		return brakeView{}, err
	}
	unsubscribed, err := h.Ledger.Unsubscriptions(ctx, m.Settings.ID)
	if err != nil {
		return brakeView{}, err
	}
	v := brakeView{Limit: limit.Of(people), Approved: b.Approved, Resubscribed: b.Resubscribed, Unsubscribed: unsubscribed}
	v.Alarm = ledger.Alarm{Unsubscribed: unsubscribed, Limit: v.Limit}.Stands()
	return v, nil
}

type approvedView struct {
	Merchant string `json:"merchant"`
	// Approved is how many this call has approved, zero when nobody waited.
	Approved int64 `json:"approved"`
	// WaitingInShopify and WaitingInListrak are who waited for it on both channels, by the side that would be written to.
	WaitingInShopify int64 `json:"waiting_in_shopify"`
	WaitingInListrak int64 `json:"waiting_in_listrak"`
	// Resubscriptions are the counts afterwards.
	Resubscriptions brakeView `json:"resubscriptions"`

	state ledger.MerchantState
	// waiting counts those of them whose sync is on; off are the syncs for which others wait, with how many. already were approved before.
	waiting, already int64
	off              []waitingSync
}

type waitingSync struct {
	sync    consent.Sync
	waiting int64
}

func (a *app) approve(ctx context.Context, args []string, flags approveFlags) error {
	if flags.given && flags.people < 1 {
		return usageError("--people must be a number above 0")
	}
	h, m, err := a.merchantOf(ctx, args)
	if err != nil {
		return err
	}
	id := m.Settings.ID
	known, err := h.Ledger.CountSubjects(ctx, id)
	if err != nil {
		return err
	}
	switches, err := h.Ledger.Switches(ctx, id)
	if err != nil {
		return err
	}
	v := &approvedView{Merchant: id, state: switches.State}
	if v.Resubscriptions, err = brakeOf(ctx, h, m, known); err != nil {
		return err
	}
	for _, channel := range consent.Channels {
		stops, err := h.Ledger.Stops(ctx, id, channel)
		if err != nil {
			return err
		}
		v.WaitingInShopify += stops.Waiting[consent.Shopify]
		v.WaitingInListrak += stops.Waiting[consent.Listrak]
		for _, side := range consent.Sides {
			v.already += stops.Approved[side]
			switch sync := consent.SyncTo(channel, side); {
			case switches.Syncs[sync].On:
				v.waiting += stops.Waiting[side]
			case stops.Waiting[side] > 0:
				v.off = append(v.off, waitingSync{sync, stops.Waiting[side]})
			}
		}
	}
	if v.waiting == 0 {
		return a.show(v)
	}
	people := v.waiting
	if flags.given {
		people = flags.people
	}
	if people > v.waiting {
		return usageError("--people is %d, and only %s", people, count(v.waiting, "person waits", "people wait")).
			try("`starter merchant set %s --resubscribe-limit` for people who are still to come", id)
	}
	if err := v.preview(&page{w: a.errOut}, people); err != nil {
		return err
	}
	if !flags.yes {
		if err := a.ask(ctx, "Resubscribe "+count(people, "person", "people")+"?"); err != nil {
			return err
		}
	}
	if v.Approved, err = h.Ledger.Approve(ctx, id, people); err != nil {
		return err
	}
	if v.Resubscriptions, err = brakeOf(ctx, h, m, known); err != nil {
		return err
	}
	return a.show(v)
}

// preview shows, before anybody is asked, what an approval would do.
func (v *approvedView) preview(p *page, people int64) error {
	p.line("Merchant %s: these people are unsubscribed on one side and have subscribed on the other since.", v.Merchant)
	p.table("  ", [][]string{
		{"waiting", fmt.Sprint(v.WaitingInShopify), "to be subscribed in Shopify"},
		{"waiting", fmt.Sprint(v.WaitingInListrak), "to be subscribed in Listrak"},
		{"to approve", fmt.Sprint(people), "of them, the oldest decisions first"},
	})
	p.line("%s To see who: starter refused %s", v.Resubscriptions.words(), v.Merchant)
	if p.err != nil {
		return fmt.Errorf("show what an approval would do: %w", p.err)
	}
	return nil
}

func (v *approvedView) text(p *page) {
	switch {
	case v.Approved == 0:
		p.line("Nobody waits for an approval for merchant %s. %s", v.Merchant, v.Resubscriptions.words())
		if v.already > 0 {
			p.line("%s approved already and not delivered yet.", count(v.already, "person is", "people are"))
		}
	default:
		p.line("Approved for 24 hours: %s of merchant %s, who are subscribed with the next round.", count(v.Approved, "person", "people"), v.Merchant)
	}
	if v.state != ledger.Running && v.waiting+v.already > 0 {
		p.line("The merchant is %s: nothing is delivered until it goes on.", v.state)
	}
	for _, off := range v.off {
		p.line("%s is off: %s for it to be on, and can be approved then.", off.sync, count(off.waiting, "person waits", "people wait"))
	}
}
