package activities_test

import (
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/activities"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/reconcile"
)

// ask keeps a privacy request about an address, as the door does.
func (w *world) ask(id string, kind ledger.PrivacyKind, address string) activities.PrivacyInput {
	w.t.Helper()
	sealed, err := person.Seal(w.host.Keys, w.id, id, person.Person{Email: address})
	must(w.t, err)
	must(w.t, w.host.Ledger.AddPrivacyRequest(w.t.Context(), w.id, ledger.PrivacyRequest{ID: id, Kind: kind, Sealed: sealed}))
	return activities.PrivacyInput{Merchant: w.id, Request: id}
}

// erasePerson runs the one activity that returns nothing but an error.
func (w *world) erasePerson(in activities.PrivacyInput) error {
	w.t.Helper()
	_, err := w.env.ExecuteActivity(w.acts.ErasePerson, in)
	return err
}

func TestAPrivacyRequestStepByStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.ask("r", ledger.Redact, "ann@example.com")
	state, err := run(w, w.acts.BeginPrivacy, in)
	must(t, err)
	if state != (activities.PrivacyState{Kind: activities.KindRedact}) {
		t.Errorf("begins as %+v", state)
	}
	must(t, w.erasePerson(in))
	state, err = run(w, w.acts.AskListrak, in)
	must(t, err)
	if state.Done || !state.Waiting {
		t.Errorf("without a Privacy integration: %+v", state)
	}
	state, err = run(w, w.acts.FinishErasure, in)
	must(t, err)
	if !state.Done || !strings.Contains(state.Outcome, "Erased here") {
		t.Errorf("ends as %+v", state)
	}
	state, err = run(w, w.acts.BeginPrivacy, in)
	must(t, err)
	if !state.Done {
		t.Errorf("begins once more as %+v", state)
	}
}

func TestAStepThatWaitsIsRetriedWithoutNoise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := consent.InstantOf(time.Now())
	rec := consent.Begin(consent.Record{Decision: consent.Decision{State: consent.Subscribed, At: 1}}, consent.Listrak, consent.Marketing, 0, now, now)
	subject := consent.SubjectOf(w.host.Keys.SubjectKey(), w.id, consent.Email, "ann@example.com")
	_, err := w.host.Ledger.Save(t.Context(), w.id, ledger.Batch{Changes: []ledger.Change{{Channel: consent.Email, Subject: subject, Record: rec}}})
	must(t, err)
	waits := application(t, w.erasePerson(w.ask("r", ledger.Redact, "ann@example.com")), activities.PrivacyWaitsType)
	if waits.Category() != temporal.ApplicationErrorCategoryBenign || waits.NonRetryable() || waits.NextRetryDelay() < time.Minute {
		t.Errorf("category %v, retryable %t, after %s", waits.Category(), !waits.NonRetryable(), waits.NextRetryDelay())
	}

	_, ok, err := w.host.Ledger.AcquireRun(t.Context(), w.id, reconcile.FullRun, "another process", time.Minute)
	must(t, err)
	if !ok {
		t.Fatal("the lease is taken")
	}
	_, err = run(w, w.acts.EraseShop, w.ask("s", ledger.ShopRedact, ""))
	application(t, err, activities.PrivacyWaitsType)
}

func TestPrivacyStepsThatFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := run(w, w.acts.BeginPrivacy, activities.PrivacyInput{Merchant: w.id, Request: "unknown"})
	if unknown := application(t, err, activities.UnknownPrivacyRequestType); !unknown.NonRetryable() {
		t.Error("a request that is not there is asked for again and again")
	}
	// Nowhere to write to: a person must act, and then it goes on.
	in := w.ask("d", ledger.DataRequest, "ann@example.com")
	_, err = run(w, w.acts.ExportPerson, in)
	if failed := application(t, err, activities.RoundFailedType); failed.NonRetryable() || !strings.Contains(failed.Error(), "CONCORD_EXPORT_DIRECTORY") {
		t.Errorf("failed with %v", failed)
	}
	w.host.Office.ExportDirectory = t.TempDir()
	state, err := run(w, w.acts.ExportPerson, in)
	must(t, err)
	if !state.Done || !strings.Contains(state.Outcome, w.host.Office.ExportDirectory) {
		t.Errorf("ends as %+v", state)
	}
}

func TestAMerchantLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, consent.EmailToListrak)
	state, err := run(w, w.acts.UninstallMerchant, w.ask("u", ledger.Uninstalled, ""))
	must(t, err)
	if !state.Done {
		t.Errorf("ends as %+v", state)
	}
	switches, err := w.host.Ledger.Switches(t.Context(), w.id)
	must(t, err)
	if switches.State != ledger.Broken {
		t.Errorf("the merchant is %s", switches.State)
	}
	state, err = run(w, w.acts.EraseShop, w.ask("s", ledger.ShopRedact, ""))
	must(t, err)
	if !state.Done || !strings.Contains(state.Outcome, "Everybody is erased") {
		t.Errorf("ends as %+v", state)
	}
}
