package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/reconcile"
)

// unsettled are the debts that wait for a newer decision or for `starter retry`.
var unsettled = []consent.Debt{consent.Refused, consent.Disputed, consent.Contested}

type retryFlags struct {
	merchant string
	all, yes bool
}

func newRetryCommand(a *app) *cobra.Command {
	var flags retryFlags
	c := &cobra.Command{
		Use: "retry {ADDRESS|-|--all}", Short: "Try again what a side refused, disputes, or somebody keeps undoing", Args: arguments(0, 1),
		Long: `Makes a decision that was refused, disputed or contested owed again; the next round delivers it. Nothing is decided by that. Use it
when the reason is gone: a suppression was lifted at Listrak, the application that set people back was switched off. What is refused
again ends as before. The address is an email's or a phone number; it is hashed to find the person and is not stored, and with - it is
read from standard input. --all takes everybody whom "starter refused" lists for the merchant, on both channels. It reads and writes the ledger alone, so it works without Temporal.`,
		Example: "  starter retry -\n  starter retry --all --merchant acme --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.all != (len(args) == 0) {
				return usageError("give one address (or -), or --all").try("`starter retry --help`")
			}
			return a.retry(cmd.Context(), args, flags)
		},
	}
	c.Flags().StringVarP(&flags.merchant, "merchant", "m", "", "the `MERCHANT`; may be left out when there is only one")
	c.Flags().BoolVar(&flags.all, "all", false, "everybody whom `starter refused` lists")
	c.Flags().BoolVarP(&flags.yes, "yes", "y", false, "do not ask")
	return c
}

type retryView struct {
	Merchant string `json:"merchant"`
	// State of the merchant: nothing is delivered unless it is running.
	State  ledger.MerchantState `json:"state"`
	People []retriedPerson      `json:"people"`

	// bothChannels: the table says who is on which.
	bothChannels bool
}

type retriedPerson struct {
	// Subject is the beginning of the hash under which the person is kept.
	Subject string `json:"subject"`
	Channel string `json:"channel"`
	// Side is missing for a contested person whom no side had refused anything yet: from now on a yes is heard again.
	Side     string    `json:"side,omitempty"`
	Problem  string    `json:"problem"`
	Decision string    `json:"decision"`
	Decided  time.Time `json:"decided,omitzero"`
	Code     string    `json:"code,omitempty"`
	// Debt is what the side is owed now: "owed" unless something else stands in the way.
	Debt string `json:"debt"`
}

func (a *app) retry(ctx context.Context, args []string, flags retryFlags) error {
	var h *host.Host
	var m merchant.Merchant
	var who identity
	var err error
	if flags.all {
		h, m, err = a.merchantOf(ctx, named(flags.merchant))
	} else {
		h, m, who, err = a.personOf(ctx, args[0], flags.merchant)
	}
	if err != nil {
		return err
	}
	v := &retryView{Merchant: m.Settings.ID, State: m.State, People: []retriedPerson{}}
	if flags.all {
		err = a.retryAll(ctx, h, m, flags.yes, v)
	} else {
		err = a.retryOne(ctx, h, who, flags.yes, v)
	}
	if err != nil {
		return err
	}
	return a.show(v)
}

func (a *app) retryOne(ctx context.Context, h *host.Host, who identity, yes bool, v *retryView) error {
	id := v.Merchant
	subject := who.subject(h, id)
	entries, err := h.Ledger.Load(ctx, id, who.channel, []consent.Subject{subject})
	if err != nil {
		return err
	}
	rec := entries[subject].Record
	tries := rec.Contested()
	for _, side := range consent.Sides {
		for _, debt := range unsettled {
			tries = tries || rec.DebtTo(side) == debt
		}
	}
	if !tries {
		return nil
	}
	if !yes {
		question := fmt.Sprintf("Try again to deliver what person %s of merchant %s decided (%s)?", shortSubject(subject), id, rec.Decision.State)
		if err := a.ask(ctx, question); err != nil {
			return err
		}
	}
	return v.retry(ctx, h, who.channel, []consent.Subject{subject})
}

// retryAll goes on until nobody is listed: those who were taken are owed, and are listed no more.
func (a *app) retryAll(ctx context.Context, h *host.Host, m merchant.Merchant, yes bool, v *retryView) error {
	id := m.Settings.ID
	channels, err := channelsOf(ctx, h, m)
	if err != nil {
		return err
	}
	v.bothChannels = len(channels) > 1
	var total int64
	for _, channel := range channels {
		for _, side := range consent.Sides {
			debts, err := h.Ledger.Debts(ctx, id, channel, side, ledger.Permit{})
			if err != nil {
				return err
			}
			for _, debt := range unsettled {
				total += debts.ByDebt[debt]
			}
		}
	}
	if total == 0 {
		return nil
	}
	if !yes {
		question := fmt.Sprintf("Try again %s of merchant %s, refused, disputed or contested?", count(total, "delivery", "deliveries"), id)
		if err := a.ask(ctx, question); err != nil {
			return err
		}
	}
	for _, channel := range channels {
		for _, side := range consent.Sides {
			for _, debt := range unsettled {
				if err := v.retryUnsettled(ctx, h, channel, side, debt, total); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// retryUnsettled tries one kind of debt again. A round may refuse somebody again meanwhile, who must not be asked about for ever: total
// bounds it.
func (v *retryView) retryUnsettled(ctx context.Context, h *host.Host, channel consent.Channel, side consent.Side, debt consent.Debt,
	total int64) error {
	for {
		found, err := h.Ledger.Unsettled(ctx, v.Merchant, channel, side, debt, refusedLimit)
		if err != nil {
			return err
		}
		subjects := make([]consent.Subject, len(found))
		for i, u := range found {
			subjects[i] = u.Subject
		}
		before := len(v.People)
		if err := v.retry(ctx, h, channel, subjects); err != nil {
			return err
		}
		if len(found) < refusedLimit || len(v.People) == before || int64(len(v.People)) >= total {
			return nil
		}
	}
}

func (v *retryView) retry(ctx context.Context, h *host.Host, channel consent.Channel, subjects []consent.Subject) error {
	done, err := h.Engine.Retry(ctx, v.Merchant, channel, subjects)
	for _, r := range done {
		v.People = append(v.People, retriedOf(channel, r))
	}
	return err
}

func retriedOf(channel consent.Channel, r reconcile.Retried) retriedPerson {
	person := retriedPerson{
		Channel: channel.String(), Subject: shortSubject(r.Subject), Problem: r.Was.String(), Decision: r.Decision.State.String(), Decided: r.Decision.At.Time(),
		Code: r.Code, Debt: r.Is.String(),
	}
	if r.Side != ledger.NoSide {
		person.Side = r.Side.String()
	}
	return person
}

func (v *retryView) text(p *page) {
	if len(v.People) == 0 {
		p.line("Nothing is refused, disputed or contested there: there is nothing to try again for merchant %s.", v.Merchant)
		return
	}
	rows := [][]string{{"SUBJECT", "SIDE", "WAS", "DECISION", "CODE", "NOW"}}
	for _, r := range v.People {
		rows = append(rows, []string{r.Subject, r.Side, r.Problem, r.Decision, r.Code, r.Debt})
	}
	p.table("", withChannel(rows, v.bothChannels, func(i int) string { return v.People[i].Channel }))
	p.line("")
	if v.State != ledger.Running {
		p.line("Nothing is delivered while the merchant is %s.", v.State)
		return
	}
	p.line("What is owed goes out with the next round, where its sync is on; `starter explain` tells what became of it.")
}
