package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/privacy"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/workflows"
)

const addressHelp = `With - the address is read from standard input, which keeps it out of the shell's history and the list of processes.`

type byHandFlags struct {
	merchant    string
	yes, noWait bool
}

func newRedactCommand(a *app) *cobra.Command {
	var flags byHandFlags
	c := &cobra.Command{
		Use: "redact {ADDRESS|-}", Short: "Forget a person, here and in Listrak", Args: arguments(1, 1),
		Long: `Erases all that is known of the person behind an email address or a phone number, and of what else is known of the same Shopify customer,
and asks Listrak's Privacy API to forget them, as Shopify's customers/redact does. What stays is that they are unsubscribed, under the hash of their address: an old yes that a side still shows does
not bring them back, a new one does. Nothing is deleted in Shopify; do that in its admin.

It waits until the ledger has forgotten the person and Listrak was asked, and prints how far it is. Listrak may take days; a worker goes on
by itself, and "starter privacy" shows it. ` + addressHelp,
		Example: "  starter redact -\n  starter redact - --merchant acme --yes < address.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.byHand(cmd.Context(), args[0], ledger.Redact, flags)
		},
	}
	c.Flags().BoolVarP(&flags.yes, "yes", "y", false, "do not ask")
	return byHandCommand(c, &flags)
}

func newExportCommand(a *app) *cobra.Command {
	var flags byHandFlags
	c := &cobra.Command{
		Use: "export {ADDRESS|-}", Short: "Write down all that is held of a person", Args: arguments(1, 1),
		Long: `Lets a worker write all that is held of the person behind an email address or a phone number, and what both sides show of them now, into
two files (JSON, and the same as text) that only its user may read, as Shopify's customers/data_request does. They lie in CONCORD_EXPORT_DIRECTORY
of the worker. Give them to the person, then delete them. ` + addressHelp,
		Example: "  starter export -",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.byHand(cmd.Context(), args[0], ledger.DataRequest, flags)
		},
	}
	return byHandCommand(c, &flags)
}

func byHandCommand(c *cobra.Command, flags *byHandFlags) *cobra.Command {
	c.Flags().StringVarP(&flags.merchant, "merchant", "m", "", "the `MERCHANT`; may be left out when there is only one")
	c.Flags().BoolVar(&flags.noWait, "no-wait", false, "leave the request for when a worker runs")
	return c
}

// byHand keeps a privacy request, starts its workflow, and waits for what comes of it.
func (a *app) byHand(ctx context.Context, argument string, kind ledger.PrivacyKind, flags byHandFlags) error {
	h, m, who, err := a.personOf(ctx, argument, flags.merchant)
	if err != nil {
		return err
	}
	id := m.Settings.ID
	if kind == ledger.Redact && !flags.yes {
		question := fmt.Sprintf("Erase all that is known of person %s of merchant %s, and let Listrak forget them? It cannot be taken back.",
			shortSubject(who.subject(h, id)), id)
		if err := a.ask(ctx, question); err != nil {
			return err
		}
	}
	request := "by-hand-" + strings.ToLower(rand.Text())
	about := person.Person{Email: who.address}
	if who.channel == consent.SMS {
		about = person.Person{Phone: who.address}
	}
	sealed, err := person.Seal(h.Keys, id, request, about)
	if err != nil {
		return err
	}
	if err := h.Ledger.AddPrivacyRequest(ctx, id, ledger.PrivacyRequest{ID: request, Kind: kind, Sealed: sealed}); err != nil {
		return err
	}
	r, err := a.followRequest(ctx, h, id, request, flags.noWait)
	if err != nil {
		return err
	}
	v := a.requestView(r, id)
	if err := a.show(&v); err != nil {
		return err
	}
	if v.Waiting != "" {
		return refusedError("a person must act, as said above")
	}
	return nil
}

// followRequest starts the workflow of a request and waits until it is done or waits for somebody else.
func (a *app) followRequest(ctx context.Context, h *host.Host, id, request string, noWait bool) (ledger.PrivacyRequest, error) {
	kept := func(err error) (ledger.PrivacyRequest, error) {
		return ledger.PrivacyRequest{}, unreachableError("the request %s is kept, but was not begun: %w", request, err).
			try("it begins by itself when Temporal and a worker run; `starter privacy %s` shows it", id)
	}
	c, err := a.temporalClient(ctx)
	if err != nil {
		return kept(err)
	}
	s, err := a.settings()
	if err != nil {
		return ledger.PrivacyRequest{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, a.answerTimeout)
	defer cancel()
	if _, err := workflows.StartPrivacyRequest(bounded, c, s.TaskQueue, id, request); err != nil {
		if ctx.Err() != nil {
			return ledger.PrivacyRequest{}, ctx.Err()
		}
		return kept(err)
	}
	poll := time.NewTicker(requestPoll)
	defer poll.Stop()
	var asked <-chan time.Time
	for {
		// The ledger and not the workflow: that of a redaction may run for days, and its row tells how far it is.
		r, err := h.Ledger.PrivacyRequest(ctx, id, request)
		if err != nil || noWait || !r.Open() || privacy.ProgressOf(r).Waiting != "" {
			return r, err
		}
		if asked == nil && listrakAsked(r) {
			asked = time.After(listrakPatience)
		}
		select {
		case <-asked:
			return r, nil
		case <-bounded.Done():
			if ctx.Err() != nil {
				return r, ctx.Err()
			}
			p := unreachableError("no worker on task queue %s has done the request %s within %s; it is kept", s.TaskQueue, request, span(a.answerTimeout))
			return r, p.try("start a worker (`starter dev`, or the worker program); `starter privacy %s` shows how far it is", id)
		case <-poll.C:
		}
	}
}

const (
	// requestPoll is how often the ledger is asked how far a request is: whoever does it is another process.
	requestPoll = 100 * time.Millisecond
	// listrakPatience is how long somebody at a screen waits for Listrak, which was asked and may take days.
	listrakPatience = 3 * time.Second
)

// listrakAsked reports whether Listrak was asked to forget the person.
func listrakAsked(r ledger.PrivacyRequest) bool {
	p := privacy.ProgressOf(r)
	asked := len(p.Forgets) > 0
	for _, f := range p.Forgets {
		asked = asked && (f.Request != "" || f.Done)
	}
	return asked
}

// requestView is one privacy request as the verbs show it.
type requestView struct {
	Request  string    `json:"request"`
	Merchant string    `json:"merchant"`
	Kind     string    `json:"kind"`
	Received time.Time `json:"received"`
	Due      time.Time `json:"due"`
	Done     time.Time `json:"done,omitzero"`
	// Overdue: it is, or was, not done in time.
	Overdue bool   `json:"overdue"`
	Outcome string `json:"outcome,omitempty"`
	// Erased is when the ledger forgot the person.
	Erased time.Time `json:"erased,omitzero"`
	// Asked: Listrak has been asked to forget the person.
	Asked bool `json:"listrak_asked"`
	// Waiting says what a person must do before it can go on.
	Waiting string `json:"waiting,omitempty"`
}

func (a *app) requestView(r ledger.PrivacyRequest, id string) requestView {
	p := privacy.ProgressOf(r)
	v := requestView{
		Request: r.ID, Merchant: id, Kind: string(r.Kind), Received: r.Received.Time(), Due: r.Due.Time(), Done: r.Done.Time(),
		Overdue: r.Overdue(consent.InstantOf(a.now())), Outcome: r.Outcome, Erased: p.Erased.Time(),
	}
	for _, f := range p.Forgets {
		v.Asked = v.Asked || f.Request != ""
	}
	if r.Open() {
		v.Waiting = p.Waiting
	}
	return v
}

func (v *requestView) text(p *page) {
	p.line("Request %s of merchant %s: %s.", v.Request, v.Merchant, kindWords(ledger.PrivacyKind(v.Kind)))
	p.line("%s", v.stateWords())
	if v.Done.IsZero() {
		p.line("It goes on by itself, and is due on %s UTC. To see how far it is: starter privacy %s", stamp(v.Due), v.Merchant)
	}
}

func (v *requestView) stateWords() string {
	switch {
	case !v.Done.IsZero():
		return v.Outcome
	case v.Waiting != "":
		return "Erased here on " + stamp(v.Erased) + " UTC. " + v.Waiting
	case v.Asked:
		return "Erased here on " + stamp(v.Erased) + " UTC. Listrak is asked to forget the person, and is not done yet."
	case !v.Erased.IsZero():
		return "Erased here on " + stamp(v.Erased) + " UTC. Listrak is not asked yet."
	}
	return "Not begun yet."
}

func kindWords(kind ledger.PrivacyKind) string {
	switch kind {
	case ledger.Redact:
		return "forget a person"
	case ledger.DataRequest:
		return "tell a person what is held"
	case ledger.ShopRedact:
		return "erase everybody of the shop"
	case ledger.Uninstalled:
		return "the app was uninstalled"
	}
	return string(kind)
}

// privacyLimit bounds how many requests are listed.
const privacyLimit = 500

func newPrivacyCommand(a *app) *cobra.Command {
	var id string
	c := &cobra.Command{
		Use: "privacy [MERCHANT]", Short: "List the privacy requests of people and shops", Args: arguments(0, 1),
		Long: `Lists requests to forget people, to tell them what is held of them, and to end merchants who have left: when each is due (30 days
after it came), how it ended, and what a person must do for those that wait. It reads the ledger alone, so it works without Temporal.
It exits 1 when an open request is overdue.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := namedOnce(args, id)
			if err != nil {
				return err
			}
			return a.privacyRequests(cmd.Context(), args)
		},
	}
	c.Flags().StringVarP(&id, "merchant", "m", "", "the `MERCHANT`, instead of the argument")
	c.AddCommand(newPrivacyDoneCommand(a), newPrivacyGoOnCommand(a))
	return c
}

type privacyView struct {
	Requests []requestView `json:"requests"`
}

func (a *app) privacyRequests(ctx context.Context, args []string) error {
	h, err := a.host(ctx)
	if err != nil {
		return err
	}
	id := ""
	if len(args) > 0 {
		if id, err = a.knownOrRemoved(ctx, h, args[0]); err != nil {
			return err
		}
	}
	all, err := h.Ledger.PrivacyRequests(ctx, id, privacyLimit)
	if err != nil {
		return err
	}
	v := &privacyView{Requests: []requestView{}}
	overdue := int64(0)
	for _, r := range all {
		one := a.requestView(r.PrivacyRequest, r.Merchant)
		if one.Overdue && one.Done.IsZero() {
			overdue++
		}
		v.Requests = append(v.Requests, one)
	}
	if err := a.show(v); err != nil {
		return err
	}
	if overdue > 0 {
		return failedError("%s overdue", count(overdue, "privacy request is", "privacy requests are"))
	}
	return nil
}

// knownOrRemoved is the id of a merchant that is, or was.
func (a *app) knownOrRemoved(ctx context.Context, h *host.Host, name string) (string, error) {
	id, err := merchant.ParseID(name)
	if err == nil {
		if _, switchesErr := h.Ledger.Switches(ctx, id); !errors.Is(switchesErr, ledger.ErrUnknownMerchant) {
			return id, switchesErr
		}
	}
	_, m, err := a.merchantOf(ctx, []string{name})
	return m.Settings.ID, err
}

func (v *privacyView) text(p *page) {
	if len(v.Requests) == 0 {
		p.line("There is no privacy request.")
		return
	}
	rows := [][]string{{"REQUEST", "MERCHANT", "WHAT", "RECEIVED (UTC)", "DUE (UTC)", "STATE"}}
	for _, r := range v.Requests {
		state := "open"
		switch {
		case r.Done.IsZero() && r.Overdue:
			state = "OVERDUE"
		case !r.Done.IsZero() && r.Overdue:
			state = "done late, " + stamp(r.Done)
		case !r.Done.IsZero():
			state = "done " + stamp(r.Done)
		case r.Waiting != "":
			state = "waits for you"
		}
		rows = append(rows, []string{r.Request, r.Merchant, kindWords(ledger.PrivacyKind(r.Kind)), stamp(r.Received), stamp(r.Due), state})
	}
	p.table("", rows)
	for _, r := range v.Requests {
		p.line("")
		for i, line := range wrap(r.Request+": "+r.stateWords(), 110) {
			if i > 0 {
				line = "  " + line
			}
			p.line("%s", line)
		}
	}
}

func newPrivacyDoneCommand(a *app) *cobra.Command {
	var id string
	var yes bool
	c := &cobra.Command{
		Use: "done REQUEST", Short: "Record that a request was done by hand", Args: arguments(1, 1),
		Long: "Ends a request because a person has done what it asks for, such as letting Listrak forget somebody in its own pages. Who it was\nabout is erased.",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			h, m, err := a.merchantOf(ctx, named(id))
			if err != nil {
				return err
			}
			if !yes {
				if err := a.ask(ctx, fmt.Sprintf("Record that request %s of merchant %s was done by hand?", args[0], m.Settings.ID)); err != nil {
					return err
				}
			}
			r, err := h.Office.Close(ctx, m.Settings.ID, args[0])
			if err != nil {
				return unknownRequest(err, m.Settings.ID)
			}
			// Its workflow would notice by itself within hours.
			if err := a.goOn(ctx, m.Settings.ID, args[0]); err != nil {
				a.note("Its workflow was not told, and ends with its next look: %s", err)
			}
			v := a.requestView(r, m.Settings.ID)
			return a.show(&v)
		},
	}
	c.Flags().StringVarP(&id, "merchant", "m", "", "the `MERCHANT`; may be left out when there is only one")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func newPrivacyGoOnCommand(a *app) *cobra.Command {
	var id string
	c := &cobra.Command{
		Use: "go-on REQUEST", Short: "Let a request that waits look at once", Args: arguments(1, 1),
		Long: "Rouses a request, for example when its merchant was given credentials of a Privacy integration. Without that it looks by itself,\nevery six hours at the latest.",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			h, m, err := a.merchantOf(ctx, named(id))
			if err != nil {
				return err
			}
			r, err := h.Ledger.PrivacyRequest(ctx, m.Settings.ID, args[0])
			if err != nil {
				return unknownRequest(err, m.Settings.ID)
			}
			if err := a.goOn(ctx, m.Settings.ID, args[0]); err != nil {
				return err
			}
			v := a.requestView(r, m.Settings.ID)
			return a.show(&v)
		},
	}
	c.Flags().StringVarP(&id, "merchant", "m", "", "the `MERCHANT`; may be left out when there is only one")
	return c
}

func unknownRequest(err error, id string) error {
	if errors.Is(err, ledger.ErrNoPrivacyRequest) {
		return usageError("%w", err).try("`starter privacy %s` lists them", id)
	}
	return err
}

// goOn rouses the workflow of a request; one that has ended needs nothing.
func (a *app) goOn(ctx context.Context, id, request string) error {
	c, err := a.temporalClient(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.answerTimeout)
	defer cancel()
	err = workflows.SignalPrivacyGoOn(ctx, c, id, request)
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return nil
	}
	return err
}

// privacyStatus is how a merchant stands to the rights of its people.
type privacyStatus struct {
	Open    int64     `json:"open"`
	Overdue int64     `json:"overdue"`
	NextDue time.Time `json:"next_due,omitzero"`
}

func privacyOf(ctx context.Context, h *host.Host, id string) (privacyStatus, error) {
	c, err := h.Ledger.PrivacyCounts(ctx, id)
	return privacyStatus{Open: c.Open, Overdue: c.Overdue, NextDue: c.NextDue.Time()}, err
}

func (s privacyStatus) words() string {
	switch {
	case s.Overdue > 0:
		return fmt.Sprintf("%d open, %d OVERDUE: starter privacy", s.Open, s.Overdue)
	case s.Open > 0:
		return fmt.Sprintf("%d open, the next due on %s: starter privacy", s.Open, stamp(s.NextDue))
	}
	return "none open"
}
