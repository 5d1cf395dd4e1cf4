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
retry". Also lists who is stopped at the limit on re-subscriptions, and goes on only with "starter approve". At most 1000 of each kind and
side are listed, opt-outs first.`,
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
}

type refusedPerson struct {
	// Subject is the beginning of the hash under which the person is kept.
	Subject  string    `json:"subject"`
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
	v := &refusedView{Merchant: m.Settings.ID, People: []refusedPerson{}}
	for _, side := range consent.Sides {
		for _, debt := range append(slices.Clone(unsettled), consent.Stopped) {
			found, err := h.Ledger.Unsettled(ctx, m.Settings.ID, consent.Email, side, debt, refusedLimit)
			if err != nil {
				return err
			}
			approved := map[consent.Subject]bool{}
			if debt == consent.Stopped {
				if approved, err = approvedAmong(ctx, h, m, found); err != nil {
					return err
				}
			}
			for _, u := range found {
				person := refusedPerson{
					Subject: shortSubject(u.Subject), Side: side.String(), Problem: debt.String(), Decision: u.Decision.String(),
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
					person.Address = openSealed(h, u)
				}
				v.People = append(v.People, person)
			}
		}
	}
	return a.show(v)
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

func openSealed(h *host.Host, u ledger.Unsettled) string {
	if len(u.SealedAddress) == 0 {
		return "(not kept)"
	}
	plain, err := h.Keys.Open(u.SealedAddress, "address/"+u.Subject.Hex())
	if err != nil {
		return "(cannot be opened)"
	}
	return string(plain)
}

// shortSubject is enough of a hash to tell people apart on a screen.
func shortSubject(s consent.Subject) string { return s.Hex()[:12] }

func (v *refusedView) text(p *page) {
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
	p.table("", rows)
	p.line("")
	p.line("To try again: starter retry - --merchant %s (the address on standard input), or starter retry --all --merchant %s", v.Merchant, v.Merchant)
	if !shown {
		p.line("The addresses are sealed; --show-addresses opens those that are kept.")
	}
}
