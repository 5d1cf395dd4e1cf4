package endtoend

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/privacy"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// ask keeps a privacy request as the door for webhooks does.
func (s *stack) ask(id string, kind ledger.PrivacyKind, customer shop.CustomerID, email string) {
	s.t.Helper()
	sealed, err := person.Seal(s.host.Keys, s.id, id, person.Person{Email: email})
	must(s.t, err)
	must(s.t, s.host.Ledger.AddPrivacyRequest(s.t.Context(), s.id,
		ledger.PrivacyRequest{ID: id, Kind: kind, Customer: string(customer), Sealed: sealed}))
}

// done waits until a request is done.
func (s *stack) done(id string) ledger.PrivacyRequest {
	s.t.Helper()
	var request ledger.PrivacyRequest
	s.until("the privacy request "+id, func() (bool, string) {
		var err error
		request, err = s.host.Ledger.PrivacyRequest(s.t.Context(), s.id, id)
		must(s.t, err)
		return !request.Open(), request.Progress
	})
	return request
}

func (s *stack) entry(email string) ledger.Entry {
	s.t.Helper()
	subject := consent.SubjectOf(s.host.Keys.SubjectKey(), s.id, consent.Email, email)
	entries, err := s.host.Ledger.Load(s.t.Context(), s.id, consent.Email, []consent.Subject{subject})
	must(s.t, err)
	return entries[subject]
}

func TestAPersonWhoAsksToBeForgotten(t *testing.T) {
	t.Parallel()
	onEachLedger(t, func(t *testing.T, s *stack) {
		s.work()
		const ann = "ann@private.example"
		s.set(workflows.SyncDelta{consent.EmailToShopify: true, consent.EmailToListrak: true})
		must(t, s.list.Subscribe(ann, time.Now(), "Website"))
		customer := s.shopShows(ann, shop.Subscribed)
		// One who waits for an order: their window has to end.
		held, err := s.shop.CreateCustomer(shop.NewCustomer{Email: "held@private.example", Consent: shop.Consent{State: shop.Subscribed}})
		must(t, err)
		s.until("a window", func() (bool, string) {
			_, opened, err := s.host.Ledger.CountHeld(t.Context(), s.id)
			must(t, err)
			return opened == 1, fmt.Sprint(opened, " windows")
		})
		s.ask("redact-held", ledger.Redact, held, "held@private.example")
		s.ask("redact-ann", ledger.Redact, customer.ID, ann)
		for _, request := range []string{"redact-held", "redact-ann"} {
			_, err := workflows.StartPrivacyRequest(t.Context(), s.temporal, s.settings.TaskQueue, s.id, request)
			must(t, err)
		}
		s.done("redact-held")
		request := s.done("redact-ann")
		if request.Sealed != nil || !strings.Contains(request.Outcome, "Listrak has forgotten the person") || request.Overdue(request.Done) {
			t.Errorf("the request ended as %+v", request)
		}
		if contact, there := s.list.Contact(ann); there {
			t.Errorf("Listrak still has %+v", contact)
		}
		entry := s.entry(ann)
		erased := privacy.ProgressOf(request).Erased
		if d := entry.Record.Decision; d.State != consent.Unsubscribed || !d.Erased || d.At != erased || entry.SealedAddress != nil {
			t.Errorf("the ledger keeps %+v", entry)
		}
		if contact, there := s.list.Contact("held@private.example"); there && contact.State == list.Subscribed {
			t.Errorf("whoever was held is subscribed in Listrak: %+v", contact)
		}

		// Done is done: starting it again runs nothing.
		run, err := workflows.StartPrivacyRequest(t.Context(), s.temporal, s.settings.TaskQueue, s.id, "redact-ann")
		must(t, err)
		var result workflows.PrivacyRequestResult
		must(t, run.Get(t.Context(), &result))
		if result.Outcome != request.Outcome {
			t.Errorf("a second start ends with %q", result.Outcome)
		}

		// An old yes of Shopify's decides nothing, and is answered with the no.
		must(t, s.shop.SetEmailConsent(customer.ID, shop.Subscribed, erased.Time().Add(-time.Hour)))
		s.shopShows(ann, shop.Unsubscribed)
		if _, there := s.list.Contact(ann); there {
			t.Error("the old yes came back to Listrak")
		}
		if !s.entry(ann).Record.Decision.Erased {
			t.Error("the old yes was taken for a new one")
		}
		for _, where := range s.everything() {
			if at := strings.Index(strings.ToLower(where.Text), "private.example"); at >= 0 {
				t.Errorf("%s holds an address: …%s…", where.Name, where.Text[max(0, at-80):min(len(where.Text), at+40)])
			}
		}

		// A new yes is one that is later than the erasure by more than clocks may be off.
		s.until("the erasure to be a while ago", func() (bool, string) { ago := time.Since(erased.Time()); return ago > 8*time.Second, ago.String() })
		must(t, s.shop.SetEmailConsent(customer.ID, shop.Subscribed, time.Now()))
		s.listShows(ann, list.Subscribed)
	})
}

// Nobody tells Temporal of a request, or Temporal was away when it came: a worker that starts finds it.
func TestARequestThatNobodyBeganIsFound(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.ask("export", ledger.DataRequest, "", "ann@private.example")
	s.ask("left", ledger.Uninstalled, "", "")
	s.work()
	if request := s.done("export"); !strings.Contains(request.Outcome, s.settings.ExportDirectory) {
		t.Errorf("ended with %q", request.Outcome)
	}
	s.done("left")
	s.until("the merchant's workflow to know", func() (bool, string) {
		status, err := workflows.Status(t.Context(), s.temporal, s.id)
		return err == nil && status.State != "", fmt.Sprintf("%+v %v", status, err)
	})
	switches, err := s.host.Ledger.Switches(t.Context(), s.id)
	must(t, err)
	if switches.State != ledger.Broken {
		t.Errorf("the merchant is %s", switches.State)
	}
}
