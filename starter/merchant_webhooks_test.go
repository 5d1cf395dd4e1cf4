package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"

	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// onAPublicAddress gives the desk an address that webhooks could go to, and a store that lets all of them be registered.
func (d *desk) onAPublicAddress() *desk {
	d.settings.PublicURL = "https://sync.example"
	return d
}

func TestWebhooksAreRegisteredAndListed(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	d.run("merchant", "webhooks").is(exitOK).says("works by polling", "CONCORD_PUBLIC_URL")
	d.run("status").is(exitOK).says("off: polling")
	if len(d.shop.Requests()) > 0 {
		t.Fatalf("Shopify was called: %v", d.shop.Requests())
	}

	d.onAPublicAddress()
	d.run("status").is(exitOK).says("never looked at: starter merchant webhooks")
	d.run("merchant", "webhooks").is(exitOK).says("go to https://sync.example/webhooks/"+d.id, "orders/create", "registered now",
		"ACCESS_DENIED: Grant the app the scope read_customer_merge", "Concord does without", "customers/redact", "by the app's configuration",
		"deploy/shopify.app.toml", "No worker looks at them daily")
	d.run("status").is(exitOK).says("8 of 9 registered, checked")
	_, _, err := d.shop.Subscribe(shop.SubscriptionInput{Topic: "ORDERS_CREATE", URI: "https://other.example/hook"})
	must(t, err)
	var v webhooksView
	d.run("merchant", "webhooks", "-o", "json").is(exitOK).json(&v)
	if v.Mode != merchant.WebhooksByAPI || len(v.Topics) != 12 || v.Topics[0].State != topicRegistered || v.CheckedDaily || v.Problem == "" ||
		!slices.Equal(v.Foreign, []string{"https://other.example/hook"}) {
		t.Fatalf("got %+v", v)
	}

	d.run("merchant", "set", "--webhooks", "app").is(exitOK)
	d.run("merchant", "show").is(exitOK).says("Webhooks", "app")
	d.run("merchant", "webhooks").is(exitOK).says("shopify.app.toml", "nothing is registered here", "8 subscriptions were of ours no longer wanted",
		"Other programs use this app too")
	if left := d.shop.Subscriptions(); len(left) != 1 {
		t.Fatalf("left %+v", left)
	}
	d.run("status").is(exitOK).says("by the app's configuration")
	d.settings.PublicURL = ""
	d.run("merchant", "webhooks").is(exitOK).says("shopify.app.toml", "nothing is registered here", "orders/create").hides("polling")
	d.onAPublicAddress()
	d.run("merchant", "set", "--webhooks", "off").is(exitOK)
	d.run("merchant", "webhooks").is(exitOK).says("its webhooks are off", "--webhooks api")
	d.run("status").is(exitOK).says("off: polling")
	d.run("merchant", "set", "--webhooks", "on").is(exitUsage).tells("--webhooks must be api, app or off")
}

func TestARefusedWebhookFails(t *testing.T) {
	t.Parallel()
	d := newDesk(t).onAPublicAddress().add()
	d.settings.PublicURL = "http://127.0.0.1:8080"
	d.run("merchant", "webhooks").is(exitFailed).says("WEBHOOK_ADDRESS").tells("Shopify refuses 8 webhooks", "CONCORD_PUBLIC_URL")
	d.run("status").is(exitOK).says("0 of 9 registered", "WEBHOOK_ADDRESS customers_email_marketing_consent/update (a person must act), 1 look in a row")
	var v statusView
	d.run("status", "-o", "json").is(exitOK).json(&v)
	if w := v.Merchants[0].Subscriptions; w == nil || w.Mode != merchant.WebhooksByAPI || w.Wanted != 9 || w.Registered != 0 || w.FailuresInARow != 1 {
		t.Fatalf("got %+v", w)
	}
	d.shop.Uninstall()
	d.run("merchant", "webhooks").is(exitRefused).tells("APP_NOT_INSTALLED")
}

// TestAWorkerLooksAtWebhooksByASchedule: the schedule is made with the merchant, looks at once, and ends with the merchant.
func TestAWorkerLooksAtWebhooksByASchedule(t *testing.T) {
	t.Parallel()
	d := newDesk(t).onAPublicAddress().withTemporal().work()
	c := d.dial()
	d.add()
	d.until("the subscriptions", func() bool { return len(d.shop.Subscriptions()) == 8 })
	d.until("the status", func() bool { return strings.Contains(d.run("status").is(exitOK).out, "8 of 9 registered") })
	description, err := c.ScheduleClient().GetHandle(t.Context(), workflows.WebhooksID(d.id)).Describe(t.Context())
	must(t, err)
	if every := description.Schedule.Spec.Intervals; len(every) != 1 || every[0].Every.Hours() != 24 {
		t.Fatalf("looks at %+v", every)
	}

	// What Shopify deletes comes back with the next look.
	d.shop.Unsubscribe(d.shop.Subscriptions()[0].ID)
	must(t, c.ScheduleClient().GetHandle(t.Context(), workflows.WebhooksID(d.id)).Trigger(t.Context(), client.ScheduleTriggerOptions{}))
	d.until("the renewal", func() bool { return len(d.shop.Subscriptions()) == 8 })

	// A worker that polls another queue takes the schedule along; a second start changes nothing.
	for range 2 {
		must(t, workflows.ScheduleWebhooks(t.Context(), c, d.id+"-moved", d.id))
	}
	description, err = c.ScheduleClient().GetHandle(t.Context(), workflows.WebhooksID(d.id)).Describe(t.Context())
	must(t, err)
	if queue := description.Schedule.Action.(*client.ScheduleWorkflowAction).TaskQueue; queue != d.id+"-moved" {
		t.Fatalf("on queue %s", queue)
	}
	d.run("merchant", "webhooks").is(exitOK).says("Workers look at them every day")

	d.run("merchant", "remove", d.id, "--yes").is(exitOK)
	if _, err = c.ScheduleClient().GetHandle(context.Background(), workflows.WebhooksID(d.id)).Describe(t.Context()); err == nil {
		t.Error("the schedule outlives the merchant")
	}
	must(t, workflows.UnscheduleWebhooks(t.Context(), c, d.id))
}
