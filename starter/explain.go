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
		Long: `Tells in plain sentences what is known of the person behind an email address or a phone number, and what is owed to either side or
why not. An address with an @ is an email's; anything else is a phone number, which without a country code is of the merchant's country.
A person with both has a story on each channel. The address is hashed to find the person and is not stored. With - it is read from
standard input, which keeps it out of the shell's history and the list of processes.`,
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
	// Channel is email or sms.
	Channel string `json:"channel"`
	// Subject is the hash under which the person is kept.
	Subject string             `json:"subject"`
	Known   bool               `json:"known"`
	Story   []explain.Sentence `json:"story"`
	// Now is missing for a person who is not known.
	Now *explain.Standing `json:"now,omitempty"`

	// noSMS: a phone number was asked for, and the merchant has no SMS.
	noSMS bool
}

func (a *app) explain(ctx context.Context, argument, id string) error {
	h, m, who, err := a.personOf(ctx, argument, id)
	if err != nil {
		return err
	}
	id = m.Settings.ID
	subject := who.subject(h, id)
	v := &explainView{Merchant: id, Channel: who.channel.String(), Subject: subject.Hex(), Story: []explain.Sentence{},
		noSMS: who.channel == consent.SMS && !m.Settings.SMS.Enabled()}
	lines, err := h.Ledger.Journal(ctx, id, who.channel, subject)
	if err != nil {
		return err
	}
	entries, err := h.Ledger.Load(ctx, id, who.channel, []consent.Subject{subject})
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
			Channel: who.channel, Entry: entry, Switches: switches, LookUpLag: h.Settings.OrderLag, Now: a.now(), Approved: brake.Passing[subject],
			Permits: [2]*consent.Permit{
				reconcile.PermitOf(switches, consent.SyncTo(who.channel, consent.Shopify)),
				reconcile.PermitOf(switches, consent.SyncTo(who.channel, consent.Listrak)),
			},
		})
		v.Now = &now
	}
	return a.show(v)
}

func (v *explainView) text(p *page) {
	if !v.Known {
		if v.noSMS {
			p.line("Merchant %s knows nobody with this phone number: SMS is not set up (starter merchant set --help).", v.Merchant)
			return
		}
		what := "address"
		if v.Channel == consent.SMS.String() {
			what = "phone number"
		}
		p.line("Merchant %s knows nobody with this %s: neither side has shown it while a sync was on.", v.Merchant, what)
		p.line("What changed within the last minute is seen by the next round; `starter status` tells whether rounds run.")
		return
	}
	on := ""
	if v.Channel == consent.SMS.String() {
		on = ", on SMS"
	}
	p.line("Person %s of merchant %s%s. Times are in UTC.", v.Subject[:12], v.Merchant, on)
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
