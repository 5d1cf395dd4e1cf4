package endtoend

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/webhook/payload"
	"github.com/concordsync/concord/internal/webhook/webhooktest"
	"github.com/concordsync/concord/workflows"
)

var doorAddress = regexp.MustCompile(`The door for webhooks is open.* address=(\S+)`)

// An order that only a webhook tells of reaches the window of its customer, and an orderly end loses nothing that was answered.
func TestAnOrderByWebhookWakesItsWindow(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(s *config.Settings) {
		s.WebhookAddress, s.CheckoutWindow, s.OrderLag = "127.0.0.1:0", time.Minute, 10*time.Second
	})
	worker := s.startProcess()
	s.set(workflows.SyncDelta{consent.EmailToListrak: true})
	var address string
	s.until("an open door", func() (bool, string) {
		found := doorAddress.FindStringSubmatch(s.logs.String())
		if found != nil {
			address = "http://" + found[1]
		}
		return found != nil, ""
	})
	const email = "wanda@example.com"
	customer, err := s.shop.CreateCustomer(shop.NewCustomer{Email: email, Consent: shop.Consent{State: shop.Subscribed}})
	must(t, err)
	s.until("an open window", func() (bool, string) {
		held, opened, err := s.host.Ledger.CountHeld(t.Context(), s.id)
		must(t, err)
		return opened == 1, fmt.Sprint(held)
	})

	sender := webhooktest.Sender{Door: address, Merchant: s.id, Shop: s.id + ".myshopify.com", Secret: clientSecret}
	body := fmt.Sprintf(`{"id":4711,"created_at":%q,"email":%q,"customer":{"id":%s}}`, time.Now().UTC().Format(time.RFC3339), email,
		regexp.MustCompile(`\d+$`).FindString(string(customer)))
	send := func(id string) int {
		r, err := sender.Request(t.Context(), payload.TopicOrderCreate, id, []byte(body))
		must(t, err)
		response, err := http.DefaultClient.Do(r)
		must(t, err)
		must(t, response.Body.Close())
		return response.StatusCode
	}
	if status := send("order"); status != http.StatusOK {
		t.Fatalf("the door answers %d\n%s", status, s.logs)
	}
	contact := s.listShows(email, list.Subscribed)
	if !slices.Equal(contact.SubscriptionEvents, []int{checkout}) {
		t.Errorf("subscribed through events %v, want checkout (%d)", contact.SubscriptionEvents, checkout)
	}

	must(t, worker.command.Process.Signal(os.Interrupt))
	if err := worker.command.Wait(); err != nil {
		t.Errorf("the worker's end: %v\n%s", err, s.logs)
	}
	receipts, err := s.host.Ledger.ReceiveWebhooks(t.Context(), []ledger.Webhook{{Merchant: s.id, ID: "order", Topic: payload.TopicOrderCreate}})
	must(t, err)
	if !receipts[0].Duplicate {
		t.Error("what was answered is not in the ledger")
	}
	door, err := s.host.Ledger.Door(t.Context(), s.id)
	must(t, err)
	if door.LastOpen == 0 {
		t.Error("nobody said that the door was open")
	}
	http.DefaultClient.CloseIdleConnections()
}
