package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/shopify"
	"github.com/concordsync/concord/internal/subscriptions"
	"github.com/concordsync/concord/workflows"
)

func newMerchantWebhooksCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "webhooks [MERCHANT]", Short: "Register the webhooks of a store, and list them", Args: arguments(0, 1),
		Long: `Subscribes to the webhooks of the store that are missing, lists how all stand, and makes sure that a worker looks at them daily. It may
be repeated. Webhooks go to CONCORD_PUBLIC_URL, which must be an https:// address that Shopify reaches; without one Concord works by
polling.

Three topics about people's rights (customers/data_request, customers/redact, shop/redact) can only be subscribed to by the app's
configuration; deploy/shopify.app.toml is an example. A merchant with --webhooks=app has all of them there. Shopify shows nobody what
stands in an app's configuration, so Concord cannot list those.

Exits 1 when Shopify refuses a topic that Concord needs.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.webhooks(cmd.Context(), args) },
	}
}

func (a *app) webhooks(ctx context.Context, args []string) error {
	h, m, err := a.merchantOf(ctx, args)
	if err != nil {
		return err
	}
	check, err := h.Subscriptions.Check(ctx, m.Settings.ID)
	if err != nil {
		return err
	}
	v := viewOfWebhooks(m.Settings.ID, check)
	if check.URI != "" {
		if err := a.scheduleWebhooks(ctx, m.Settings.ID); err != nil {
			v.Problem = err.Error()
		} else {
			v.CheckedDaily = true
		}
	}
	if err := a.show(v); err != nil {
		return err
	}
	if needed := check.Needed(); len(needed) > 0 {
		p := failedError("Shopify refuses %s", count(int64(len(needed)), "webhook", "webhooks"))
		if f := failure.As(needed[0].Err); f != nil && f.Advice != "" {
			return p.try("%s", f.Advice)
		}
		return p
	}
	return nil
}

func (a *app) scheduleWebhooks(ctx context.Context, id string) error {
	c, err := a.temporalClient(ctx)
	if err != nil {
		return err
	}
	s, err := a.settings()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.answerTimeout)
	defer cancel()
	return workflows.ScheduleWebhooks(ctx, c, s.TaskQueue, id)
}

// States of a topic in the list.
const (
	topicRegistered = "registered"
	topicCreated    = "registered now"
	topicMissing    = "missing"
	topicByApp      = "by the app's configuration"
)

// webhooksView is the answer of `starter merchant webhooks`.
type webhooksView struct {
	Merchant string `json:"merchant"`
	// Mode is who subscribes: api, app or off.
	Mode merchant.WebhookMode `json:"mode"`
	// Address is where webhooks go; empty without CONCORD_PUBLIC_URL.
	Address string         `json:"address,omitempty"`
	Topics  []webhookTopic `json:"topics"`
	// Deleted counts subscriptions of ours that are not wanted any more; Foreign are the addresses of other programs.
	Deleted int      `json:"deleted"`
	Foreign []string `json:"foreign"`
	// CheckedDaily: a schedule in Temporal makes workers look again every day.
	CheckedDaily bool   `json:"checked_daily"`
	Problem      string `json:"problem,omitempty"`
}

type webhookTopic struct {
	Topic shopify.Topic `json:"topic"`
	State string        `json:"state"`
	// Code and Advice say why it is missing. Optional topics may be.
	Code     string `json:"code,omitempty"`
	Advice   string `json:"advice,omitempty"`
	Optional bool   `json:"optional,omitempty"`
}

func viewOfWebhooks(id string, check subscriptions.Check) *webhooksView {
	v := &webhooksView{Merchant: id, Mode: check.Mode, Address: check.URI, Topics: []webhookTopic{}, Deleted: len(check.Deleted), Foreign: []string{}}
	for _, one := range check.Foreign {
		if !slices.Contains(v.Foreign, one.URI) {
			v.Foreign = append(v.Foreign, one.URI)
		}
	}
	if check.Mode == merchant.WebhooksOff || check.Mode == merchant.WebhooksByAPI && check.URI == "" {
		return v
	}
	for _, topic := range subscriptions.Topics() {
		one := webhookTopic{Topic: topic, State: topicByApp}
		switch missing := slices.IndexFunc(check.Missing, func(m subscriptions.Missing) bool { return m.Topic == topic }); {
		case check.Mode == merchant.WebhooksByApp:
		case slices.Contains(check.Created, topic):
			one.State = topicCreated
		case missing >= 0:
			one.State, one.Optional, one.Code = topicMissing, subscriptions.Optional(topic), "UNKNOWN"
			if f := failure.As(check.Missing[missing].Err); f != nil {
				one.Code, one.Advice = f.Code, f.Advice
			}
		default:
			one.State = topicRegistered
		}
		v.Topics = append(v.Topics, one)
	}
	for _, topic := range subscriptions.ComplianceTopics() {
		v.Topics = append(v.Topics, webhookTopic{Topic: topic, State: topicByApp})
	}
	return v
}

func (v *webhooksView) text(p *page) {
	switch {
	case v.Mode == merchant.WebhooksByApp:
		p.line("The app's configuration (shopify.app.toml) subscribes for merchant %s; nothing is registered here.", v.Merchant)
		if v.Address != "" {
			p.line("It must name this address: %s", v.Address)
		}
	case v.Address == "":
		p.line("Merchant %s works by polling: every change is seen within about a minute.", v.Merchant)
		p.line("For seconds, set CONCORD_PUBLIC_URL to the https:// address under which Shopify reaches a worker, and run this again.")
		return
	case v.Mode == merchant.WebhooksOff:
		p.line("Merchant %s works by polling: its webhooks are off.", v.Merchant)
		p.line("To have them: starter merchant set %s --webhooks api", v.Merchant)
	default:
		p.line("Webhooks of merchant %s go to %s", v.Merchant, v.Address)
	}
	v.topicsText(p)
	if v.Deleted > 0 {
		p.line("%s of ours no longer wanted and deleted.", count(int64(v.Deleted), "subscription was", "subscriptions were"))
	}
	if len(v.Foreign) > 0 {
		p.line("Other programs use this app too, and are left alone: %s", strings.Join(v.Foreign, ", "))
	}
	switch {
	case v.CheckedDaily:
		p.line("Workers look at them every day.")
	case v.Problem != "":
		p.line("No worker looks at them daily: %s", v.Problem)
		p.line("Once Temporal is there, run this again.")
	}
}

func (v *webhooksView) topicsText(p *page) {
	if len(v.Topics) == 0 {
		return
	}
	rows := [][]string{{"TOPIC", "STATE", ""}}
	var why []string
	for _, t := range v.Topics {
		rows = append(rows, []string{string(t.Topic), t.State, t.Code})
		if t.State != topicMissing {
			continue
		}
		advice := strings.TrimSpace(t.Code + ": " + t.Advice)
		if t.Optional {
			advice += " Concord does without."
		}
		if !slices.Contains(why, advice) {
			why = append(why, advice)
		}
	}
	p.line("")
	p.table("  ", rows)
	p.line("")
	for _, advice := range why {
		p.line("%s", advice)
	}
	if v.Mode == merchant.WebhooksByAPI {
		p.line("What stands as \"%s\" cannot be registered or listed by a program: see deploy/shopify.app.toml.", topicByApp)
	}
}

// subscriptionsStatus is how a merchant's webhook subscriptions stood at the last look.
type subscriptionsStatus struct {
	Mode    merchant.WebhookMode `json:"mode"`
	Checked time.Time            `json:"checked,omitzero"`
	// Registered of Wanted topics.
	Registered     int64  `json:"registered"`
	Wanted         int64  `json:"wanted"`
	Error          string `json:"error,omitempty"`
	ErrorClass     string `json:"error_class,omitempty"`
	FailuresInARow int    `json:"failures_in_a_row,omitempty"`
}

// subscriptionsStatusOf is nil when the merchant works by polling. The public address may be known to the workers alone, so a look of theirs
// counts too.
func subscriptionsStatusOf(keeper *subscriptions.Keeper, settings merchant.Settings, runs map[ledger.RunKind]ledger.RunStatus) *subscriptionsStatus {
	mode := keeper.Mode(settings)
	run, looked := runs[subscriptions.Run]
	if looked && settings.Webhooks == "" {
		mode = merchant.WebhooksByAPI
	}
	if mode == merchant.WebhooksOff {
		return nil
	}
	s := &subscriptionsStatus{Mode: mode}
	if looked {
		s.Checked, s.Registered, s.Wanted = run.Ended.Time(), run.Delivered[consent.Shopify], run.Scanned
		s.Error, s.FailuresInARow = run.ErrorCode, run.Failures
		if run.ErrorClass != 0 {
			s.ErrorClass = run.ErrorClass.String()
		}
	}
	return s
}

func (s *subscriptionsStatus) words(now time.Time) string {
	switch {
	case s == nil:
		return "off: polling"
	case s.Mode == merchant.WebhooksByApp && s.Error == "":
		return "by the app's configuration"
	case s.Checked.IsZero():
		return "never looked at: starter merchant webhooks"
	}
	words := strconv.FormatInt(s.Registered, 10)
	if s.Registered < s.Wanted {
		words += " of " + strconv.FormatInt(s.Wanted, 10)
	}
	words += " registered, checked " + span(now.Sub(s.Checked)) + " ago"
	if s.Error != "" {
		words += "; " + s.Error + " (" + s.ErrorClass + "), " + count(int64(s.FailuresInARow), "look", "looks") + " in a row"
	}
	return words
}
