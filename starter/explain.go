package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/explain"
	"github.com/concordsync/concord/internal/reconcile"
)

func newExplainCommand(a *app) *cobra.Command {
	var id string
	c := &cobra.Command{
		Use: "explain ADDRESS", Short: "Tell one person's story: what was seen, decided and delivered, and why", Args: arguments(1, 1),
		Long: `Tells in plain sentences what is known of the person behind an email address, and what is owed to either side or why not. The
address is hashed to find the person and is not stored. With - it is read from standard input, which keeps it out of the shell's
history and the list of processes.`,
		Example: "  starter explain -",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.explain(cmd.Context(), args[0], id)
		},
	}
	c.Flags().StringVarP(&id, "merchant", "m", "", "the `MERCHANT`; may be left out when there is only one")
	return c
}

type explainView struct {
	Merchant string `json:"merchant"`
	// Subject is the hash under which the person is kept.
	Subject string             `json:"subject"`
	Known   bool               `json:"known"`
	Story   []explain.Sentence `json:"story"`
	// Now is missing for a person who is not known.
	Now *explain.Standing `json:"now,omitempty"`
}

func (a *app) explain(ctx context.Context, given, id string) error {
	address, err := a.addressOf(ctx, given)
	if err != nil {
		return err
	}
	if address == "" {
		return usageError("%w: it is empty", consent.ErrMalformedAddress)
	}
	h, m, err := a.merchantOf(ctx, named(id))
	if err != nil {
		return err
	}
	id = m.Settings.ID
	subject := consent.SubjectOf(h.Keys.SubjectKey(), id, consent.Email, address)
	v := &explainView{Merchant: id, Subject: subject.Hex(), Story: []explain.Sentence{}}
	lines, err := h.Ledger.Journal(ctx, id, consent.Email, subject)
	if err != nil {
		return err
	}
	entries, err := h.Ledger.Load(ctx, id, consent.Email, []consent.Subject{subject})
	if err != nil {
		return err
	}
	entry, known := entries[subject]
	if v.Known = known || len(lines) > 0; v.Known {
		switches, err := h.Ledger.Switches(ctx, id)
		if err != nil {
			return err
		}
		brake, err := h.Ledger.Brake(ctx, id, m.Settings.ResubscriptionLimit(), []consent.Subject{subject})
		if err != nil {
			return err
		}
		v.Story = explain.Story(lines)
		now := explain.Stand(explain.Person{
			Entry: entry, Switches: switches, LookUpLag: h.Settings.OrderLag, Now: a.now(), Approved: brake.Passing[subject],
			Permits: [2]*consent.Permit{
				reconcile.PermitOf(switches, consent.EmailToShopify), reconcile.PermitOf(switches, consent.EmailToListrak),
			},
		})
		v.Now = &now
	}
	return a.show(v)
}

func (v *explainView) text(p *page) {
	if !v.Known {
		p.line("Merchant %s knows nobody with this address: neither side has shown it while a sync was on.", v.Merchant)
		p.line("What changed within the last minute is seen by the next round; `starter status` tells whether rounds run.")
		return
	}
	p.line("Person %s of merchant %s. Times are in UTC.", v.Subject[:12], v.Merchant)
	p.line("")
	for _, s := range v.Story {
		for i, line := range wrap(s.Text, 100) {
			if i == 0 {
				p.line("%s  %s", stamp(s.At), line)
				continue
			}
			p.line("%21s%s", "", line)
		}
	}
	p.line("")
	p.line("Now")
	for _, side := range []struct{ name, text string }{
		{"Decision", v.Now.Decision.Text}, {"Shopify", v.Now.Shopify.Text}, {"Listrak", v.Now.Listrak.Text},
	} {
		for i, line := range wrap(side.text, 108) {
			name := side.name
			if i > 0 {
				name = ""
			}
			p.line("  %-10s %s", name, line)
		}
	}
}
