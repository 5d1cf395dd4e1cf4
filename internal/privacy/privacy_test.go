package privacy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/privacy"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

func TestAPersonShowsNothingOfThemselves(t *testing.T) {
	t.Parallel()
	p := person.Person{Email: "ann@example.com", Phone: "+15550001111", Others: []string{"old@example.com"}}
	var out bytes.Buffer
	for _, value := range []any{p, &p, []person.Person{p}, map[string]person.Person{"a": p}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			fmt.Fprintf(&out, verb, value)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", value)
		text, err := json.Marshal(value)
		require.NoError(t, err)
		out.Write(text)
	}
	for _, secret := range []string{"ann", "555", "old@", fmt.Sprintf("%x", "ann")} {
		require.NotContains(t, out.String(), secret)
	}
}

func TestAPersonOpensForTheirRequestOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	p := person.Person{Email: "ann@example.com", Phone: "+15550001111"}
	sealed, err := person.Seal(w.host.Keys, acme, "r", p)
	require.NoError(t, err)
	back, err := person.Open(w.host.Keys, acme, "r", sealed)
	require.NoError(t, err)
	require.True(t, back.Email == p.Email && back.Phone == p.Phone)
	for _, other := range [][2]string{{acme, "s"}, {"beta", "r"}} {
		_, err = person.Open(w.host.Keys, other[0], other[1], sealed)
		require.ErrorIs(t, err, keys.ErrDamaged)
	}
	back, err = person.Open(w.host.Keys, acme, "r", nil)
	require.NoError(t, err)
	require.True(t, back.Email == "")
	// As the door seals.
	sealed, err = w.host.Keys.Seal([]byte(`{"email":"ann@example.com","phone":"+15550001111"}`), "privacy/acme/r")
	require.NoError(t, err)
	back, err = person.Open(w.host.Keys, acme, "r", sealed)
	require.NoError(t, err)
	require.True(t, back.Email == p.Email && back.Phone == p.Phone)
}

// customer makes a customer in Shopify who has subscribed.
func (w *world) customer(address string) shop.CustomerID {
	w.Helper()
	id, err := w.shop.CreateCustomer(shop.NewCustomer{Email: address, Consent: shop.Consent{State: shop.Subscribed}})
	require.NoError(w, err)
	return id
}

func TestAPersonIsForgottenHereAndInListrak(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	ctx := t.Context()
	const ann = "ann@example.com"
	require.NoError(t, w.list.Subscribe(ann, time.Now().Add(-time.Hour), ""))
	require.NoError(t, w.list.Subscribe("bob@example.com", time.Now().Add(-time.Hour), ""))
	w.round()
	held := w.customer("held@example.com")
	w.round()
	require.NotZero(t, w.entry("held@example.com").Record.Hold.Consent)
	customer, ok := w.shop.Customer(ann)
	require.True(t, ok, "Shopify was told of Ann")
	require.Equal(t, consent.Subscribed, w.entry(ann).Record.Decision.State)

	// Somebody who waits for an order, and whose window is roused.
	w.ask("held", ledger.Redact, string(held), person.Person{})
	require.NoError(t, w.office.ErasePerson(ctx, acme, "held"))
	require.Len(t, w.told, 1)
	require.Equal(t, string(held), w.told[0].Hold.Customer)
	none, err := w.host.Ledger.HoldsOf(ctx, acme, string(held))
	require.NoError(t, err)
	require.Empty(t, none)
	require.True(t, w.entry("held@example.com").Record.Decision.Erased)

	w.ask("r", ledger.Redact, string(customer.ID), person.Person{Email: " Ann@Example.com "})
	require.NoError(t, w.office.ErasePerson(ctx, acme, "r"))
	erased := w.entry(ann)
	require.NoError(t, w.office.ErasePerson(ctx, acme, "r"), "a second time changes nothing")
	require.Equal(t, erased, w.entry(ann))
	at := privacy.ProgressOf(w.request("r")).Erased
	require.Equal(t, consent.Erased(consent.Record{}, at), erased.Record)
	require.Len(t, w.journal(ann), 1)
	known, err := w.host.Ledger.KnownCustomers(ctx, acme, []string{string(customer.ID)})
	require.NoError(t, err)
	require.Empty(t, known)
	require.Equal(t, consent.Subscribed, w.entry("bob@example.com").Record.Decision.State)

	// Listrak still shows her; that resubscribes nobody.
	state, err := w.office.AskListrak(ctx, acme, "r")
	require.NoError(t, err)
	require.Equal(t, privacy.ForgetState{}, state)
	w.round()
	require.True(t, w.entry(ann).Record.Decision.Erased)
	requests := w.privacy.Requests()
	require.Len(t, requests, 1)
	require.Equal(t, " Ann@Example.com ", requests[0].Email)
	state, err = w.office.AskListrak(ctx, acme, "r")
	require.NoError(t, err)
	require.False(t, state.Done)
	require.Len(t, w.privacy.Requests(), 1, "Listrak is asked once")

	// A request that Listrak has lost is made anew.
	w.privacy.Forget(requests[0].ID)
	_, err = w.office.AskListrak(ctx, acme, "r")
	require.Error(t, err)
	_, err = w.office.AskListrak(ctx, acme, "r")
	require.NoError(t, err)
	w.privacy.CompleteAll()
	state, err = w.office.AskListrak(ctx, acme, "r")
	require.NoError(t, err)
	require.True(t, state.Done)
	_, there := w.list.Contact(ann)
	require.False(t, there)

	outcome, err := w.office.FinishErasure(ctx, acme, "r")
	require.NoError(t, err)
	require.Contains(t, outcome, "Listrak has forgotten the person")
	done := w.request("r")
	require.False(t, done.Open())
	require.Nil(t, done.Sealed)
	require.Equal(t, outcome, done.Outcome)
	require.Equal(t, consent.Erased(consent.Record{}, at), w.entry(ann).Record, "what a side showed meanwhile is gone too")
	again, err := w.office.FinishErasure(ctx, acme, "r")
	require.NoError(t, err)
	require.Equal(t, outcome, again)
	state, err = w.office.AskListrak(ctx, acme, "r")
	require.NoError(t, err)
	require.True(t, state.Done)

	// The old yes that Shopify still has is answered with the no.
	require.NoError(t, w.shop.SetEmailConsent(customer.ID, shop.Subscribed, time.Now().Add(-30*time.Minute)))
	w.round()
	customer, _ = w.shop.Customer(ann)
	require.Equal(t, shop.Unsubscribed, customer.Consent.State)
	_, there = w.list.Contact(ann)
	require.False(t, there)
}

func TestWhoeverComesBackMeanwhileStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	ctx := t.Context()
	const ann = "ann@example.com"
	customer := w.customer(ann)
	w.round()
	w.ask("r", ledger.Redact, string(customer), person.Person{Email: ann})
	require.NoError(t, w.office.ErasePerson(ctx, acme, "r"))
	back := consent.Record{Decision: consent.Decision{State: consent.Subscribed, At: consent.InstantOf(time.Now().Add(time.Minute))}}
	back.Seen[consent.Shopify].Ref = string(customer)
	entry := w.entry(ann)
	_, err := w.host.Ledger.Save(ctx, acme, ledger.Batch{
		Changes:   []ledger.Change{{Channel: consent.Email, Subject: w.subject(ann), Version: entry.Version, Record: back}},
		Customers: []ledger.Customer{{ID: string(customer), UpdatedAt: 1, Email: w.subject(ann)}},
	})
	require.NoError(t, err)
	w.privacy.CompleteAll()
	_, err = w.office.FinishErasure(ctx, acme, "r")
	require.NoError(t, err)
	require.Equal(t, back, w.entry(ann).Record)
	known, err := w.host.Ledger.KnownCustomers(ctx, acme, []string{string(customer)})
	require.NoError(t, err)
	require.Len(t, known, 1)
}

func TestAnErasureWaitsForAWriteThatMayStillTakeEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	now := consent.InstantOf(time.Now())
	rec := consent.Record{Decision: consent.Decision{State: consent.Subscribed, At: 1}}
	rec = consent.Begin(rec, consent.Listrak, consent.Marketing, 0, now, now.Plus(consent.Second))
	_, err := w.host.Ledger.Save(t.Context(), acme, ledger.Batch{Changes: []ledger.Change{{Channel: consent.Email, Subject: w.subject("ann@example.com"), Record: rec}}})
	require.NoError(t, err)
	w.ask("r", ledger.Redact, "", person.Person{Email: "ann@example.com"})
	err = w.office.ErasePerson(t.Context(), acme, "r")
	var busy *privacy.Busy
	require.ErrorAs(t, err, &busy)
	require.Greater(t, busy.After, time.Minute)
	require.LessOrEqual(t, busy.After, 3*time.Minute)
	require.Zero(t, privacy.ProgressOf(w.request("r")).Erased)
}

// Other addresses that the same customer had are forgotten too, here and, where they can be found out, in Listrak.
func TestEarlierAddressesOfTheCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	ctx := t.Context()
	const before, now = "before@example.com", "now@example.com"
	require.NoError(t, w.list.Subscribe(before, time.Now().Add(-time.Hour), ""))
	w.round()
	customer, ok := w.shop.Customer(before)
	require.True(t, ok)
	w.round()
	require.NoError(t, w.shop.ChangeEmail(customer.ID, now))
	w.round()
	w.ask("r", ledger.Redact, string(customer.ID), person.Person{Email: now})
	require.NoError(t, w.office.ErasePerson(ctx, acme, "r"))
	for _, address := range []string{before, now} {
		require.True(t, w.entry(address).Record.Decision.Erased, address)
	}
	_, err := w.office.AskListrak(ctx, acme, "r")
	require.NoError(t, err)
	var asked []string
	for _, r := range w.privacy.Requests() {
		asked = append(asked, r.Email)
	}
	require.Equal(t, []string{now, before}, asked)
}

func TestWithoutAPrivacyIntegrationAPersonMustAct(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	ctx := t.Context()
	w.ask("r", ledger.Redact, "", person.Person{Email: "ann@example.com"})
	require.NoError(t, w.office.ErasePerson(ctx, acme, "r"), "the ledger's part is done all the same")
	state, err := w.office.AskListrak(ctx, acme, "r")
	require.NoError(t, err)
	require.False(t, state.Done)
	require.Contains(t, state.Waiting, "starter merchant set acme --credentials")
	require.Equal(t, state.Waiting, privacy.ProgressOf(w.request("r")).Waiting)
	require.True(t, w.request("r").Done == 0)

	_, err = w.host.Merchants.Update(ctx, acme, nil, new(credentials(true)))
	require.NoError(t, err)
	require.NoError(t, w.privacy.Configure(func(c *list.PrivacyConfig) { c.Paused = true }))
	state, err = w.office.AskListrak(ctx, acme, "r")
	require.NoError(t, err)
	require.Contains(t, state.Waiting, "type Privacy")
	require.NoError(t, w.privacy.Configure(func(c *list.PrivacyConfig) { c.Paused = false }))
	w.privacy.Faults.Set(1, fault.Rule{Operation: "POST Forget", Kind: fault.ServerError, Times: 1})
	_, err = w.office.AskListrak(ctx, acme, "r")
	require.Error(t, err, "an outage passes by itself")
	require.Empty(t, privacy.ProgressOf(w.request("r")).Waiting)
	state, err = w.office.AskListrak(ctx, acme, "r")
	require.NoError(t, err)
	require.Empty(t, state.Waiting)

	// A person may have done it by hand.
	closed, err := w.office.Close(ctx, acme, "r")
	require.NoError(t, err)
	require.Contains(t, closed.Outcome, "by hand")
	state, err = w.office.AskListrak(ctx, acme, "r")
	require.NoError(t, err)
	require.True(t, state.Done)
	_, err = w.office.Close(ctx, acme, "unknown")
	require.ErrorIs(t, err, ledger.ErrNoPrivacyRequest)
}

func TestNobodyToAskListrakFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.ask("r", ledger.Redact, "gid://shopify/Customer/1", person.Person{})
	require.NoError(t, w.office.ErasePerson(t.Context(), acme, "r"))
	state, err := w.office.AskListrak(t.Context(), acme, "r")
	require.NoError(t, err)
	require.True(t, state.Done)
	outcome, err := w.office.FinishErasure(t.Context(), acme, "r")
	require.NoError(t, err)
	require.Contains(t, outcome, "No address was known")

	// An address that Listrak does not take.
	w.ask("s", ledger.Redact, "", person.Person{Email: "not an address"})
	require.NoError(t, w.office.ErasePerson(t.Context(), acme, "s"))
	state, err = w.office.AskListrak(t.Context(), acme, "s")
	require.NoError(t, err)
	require.True(t, state.Done)
	outcome, err = w.office.FinishErasure(t.Context(), acme, "s")
	require.NoError(t, err)
	require.Contains(t, outcome, "does not take the address")
	require.NotContains(t, outcome, "not an address")
}

func TestAPersonIsToldWhatIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	ctx := t.Context()
	const ann = "ann@example.com"
	customer := w.customer(ann)
	w.round()
	w.ask("../evil", ledger.DataRequest, string(customer), person.Person{Email: ann, Phone: "+1 (555) 000-1111"})
	outcome, err := w.office.ExportPerson(ctx, acme, "../evil")
	require.NoError(t, err)
	files, err := os.ReadDir(w.office.ExportDirectory)
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, file := range files {
		info, err := file.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		require.True(t, strings.HasPrefix(file.Name(), "acme-request-"), file.Name())
	}
	raw, err := os.ReadFile(filepath.Join(w.office.ExportDirectory, files[0].Name()))
	require.NoError(t, err)
	var export privacy.Export
	require.NoError(t, json.Unmarshal(raw, &export))
	require.Equal(t, ann, export.AskedFor.Email)
	require.Len(t, export.Addresses, 2, "the email and the phone number")
	require.True(t, export.Addresses[0].Known)
	require.Equal(t, "subscribed", export.Addresses[0].Decision.State)
	require.NotNil(t, export.Addresses[0].Waiting)
	require.NotEmpty(t, export.Addresses[0].Story)
	require.False(t, export.Addresses[1].Known)
	require.Len(t, export.Customers, 1)
	require.Len(t, export.Requests, 1)
	require.Len(t, export.Shopify.People, 1)
	require.Equal(t, ann, export.Shopify.People[0].Email)
	require.Empty(t, export.Listrak.People)
	text, err := os.ReadFile(filepath.Join(w.office.ExportDirectory, files[1].Name()))
	require.NoError(t, err)
	require.Contains(t, string(text), "waits for an order")
	done := w.request("../evil")
	require.Contains(t, done.Outcome, files[0].Name())
	require.Equal(t, outcome, done.Outcome)
	require.NotContains(t, outcome, ann)

	// A side that cannot be read does not keep back the rest.
	w.shop.Faults.Set(1, fault.Rule{Kind: fault.ServerError})
	w.list.Faults.Set(1, fault.Rule{Kind: fault.ServerError})
	w.ask("again", ledger.DataRequest, string(customer), person.Person{Email: ann})
	_, err = w.office.ExportPerson(ctx, acme, "again")
	require.NoError(t, err)
	raw, err = os.ReadFile(filepath.Join(w.office.ExportDirectory, "acme-again.json"))
	require.NoError(t, err)
	var blind privacy.Export
	require.NoError(t, json.Unmarshal(raw, &blind))
	require.NotEmpty(t, blind.Shopify.Problem)
	require.NotEmpty(t, blind.Listrak.Problem)

	w.office.ExportDirectory = ""
	w.ask("nowhere", ledger.DataRequest, "", person.Person{Email: ann})
	_, err = w.office.ExportPerson(ctx, acme, "nowhere")
	require.ErrorIs(t, err, privacy.ErrNoDirectory)
}

func TestAMerchantWhoUninstallsAndComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	ctx := t.Context()
	require.NoError(t, w.list.Subscribe("ann@example.com", time.Now().Add(-time.Hour), ""))
	w.round()
	w.ask("u", ledger.Uninstalled, "", person.Person{})
	outcome, err := w.office.Uninstall(ctx, acme, "u")
	require.NoError(t, err)
	require.Contains(t, outcome, "credentials are erased")
	again, err := w.office.Uninstall(ctx, acme, "u")
	require.NoError(t, err)
	require.Equal(t, outcome, again)
	_, err = w.host.Merchants.Credentials(ctx, acme)
	require.ErrorContains(t, err, "there are none")
	result, err := w.host.Engine.Round(ctx, acme)
	require.NoError(t, err, "it sleeps without calls")
	require.Equal(t, ledger.Broken, result.Switches.State)

	_, err = w.host.Merchants.Update(ctx, acme, nil, new(credentials(true)))
	require.NoError(t, err)
	_, err = w.host.Ledger.Resume(ctx, acme)
	require.NoError(t, err)
	require.NoError(t, w.list.Subscribe("bob@example.com", time.Now(), ""))
	w.round()
	require.Equal(t, consent.Subscribed, w.entry("ann@example.com").Record.Decision.State, "the same ledger")
	require.Equal(t, consent.Subscribed, w.entry("bob@example.com").Record.Decision.State)
}

// A request that waited until the merchant was back must not end it again.
func TestAnUninstallThatIsDoneLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	ctx := t.Context()
	w.ask("u", ledger.Uninstalled, "", person.Person{})
	w.ask("s", ledger.ShopRedact, "", person.Person{})
	_, err := w.host.Merchants.Update(ctx, acme, nil, new(credentials(true)))
	require.NoError(t, err)
	for id, do := range map[string]func() (string, error){
		"u": func() (string, error) { return w.office.Uninstall(ctx, acme, "u") },
		"s": func() (string, error) { return w.office.EraseShop(ctx, acme, "s") },
	} {
		outcome, err := do()
		require.NoError(t, err)
		require.Contains(t, outcome, "installed again", id)
	}
	_, err = w.host.Merchants.Credentials(ctx, acme)
	require.NoError(t, err)
}

// What the polls have seen until a person records that Listrak has forgotten somebody goes with the request, as if Listrak had been asked.
func TestWhatCameBackGoesWithARequestThatIsDoneByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	ctx := t.Context()
	require.NoError(t, w.list.Subscribe("ann@example.com", time.Now().Add(-time.Hour), ""))
	w.round()
	w.ask("r", ledger.Redact, "", person.Person{Email: "ann@example.com"})
	require.NoError(t, w.office.ErasePerson(ctx, acme, "r"))
	w.host.Engine.Now = func() time.Time { return time.Now().Add(time.Minute) }
	require.NoError(t, w.list.Unsubscribe("ann@example.com", time.Now(), ""))
	w.round()
	require.NotEmpty(t, w.entry("ann@example.com").Record.Seen[consent.Listrak].Ref, "a poll has seen the contact again")
	_, err := w.office.Close(ctx, acme, "r")
	require.NoError(t, err)
	require.Empty(t, w.entry("ann@example.com").Record.Seen[consent.Listrak].Ref)
	require.Equal(t, consent.Unsubscribed, w.entry("ann@example.com").Record.Decision.State)

	// One that had not begun is done here too.
	require.NoError(t, w.list.Subscribe("bob@example.com", time.Now().Add(-time.Hour), ""))
	w.round()
	w.ask("s", ledger.Redact, "", person.Person{Email: "bob@example.com"})
	_, err = w.office.Close(ctx, acme, "s")
	require.NoError(t, err)
	require.True(t, w.entry("bob@example.com").Record.Decision.Erased)
}

// Shopify sends shop/redact 48 hours after the app was uninstalled, also when it was installed again meanwhile.
func TestAShopThatHasComeBackIsNotErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	ctx := t.Context()
	require.NoError(t, w.list.Subscribe("ann@example.com", time.Now().Add(-time.Hour), ""))
	w.round()
	w.ask("u", ledger.Uninstalled, "", person.Person{})
	_, err := w.office.Uninstall(ctx, acme, "u")
	require.NoError(t, err)
	_, err = w.host.Merchants.Update(ctx, acme, nil, new(credentials(true)))
	require.NoError(t, err)
	w.ask("s", ledger.ShopRedact, "", person.Person{})
	outcome, err := w.office.EraseShop(ctx, acme, "s")
	require.NoError(t, err)
	require.Contains(t, outcome, "installed again")
	require.NotZero(t, w.entry("ann@example.com").Version)
	switches, err := w.host.Ledger.Switches(ctx, acme)
	require.NoError(t, err)
	require.Equal(t, ledger.Running, switches.State)

	// It leaves once more: then everybody is erased.
	w.ask("v", ledger.Uninstalled, "", person.Person{})
	_, err = w.office.Uninstall(ctx, acme, "v")
	require.NoError(t, err)
	w.ask("t", ledger.ShopRedact, "", person.Person{})
	outcome, err = w.office.EraseShop(ctx, acme, "t")
	require.NoError(t, err)
	require.Contains(t, outcome, "Everybody is erased")
}

// A merchant may have come back before a late webhook tells that it has left.
func TestAnUninstallThatIsToldLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	ctx := t.Context()
	left, err := w.host.Ledger.Now(ctx)
	require.NoError(t, err)
	_, err = w.host.Merchants.Update(ctx, acme, nil, new(credentials(true)))
	require.NoError(t, err)
	require.NoError(t, w.host.Ledger.AddPrivacyRequest(ctx, acme, ledger.PrivacyRequest{ID: "u", Kind: ledger.Uninstalled, Received: left}))
	outcome, err := w.office.Uninstall(ctx, acme, "u")
	require.NoError(t, err)
	require.Contains(t, outcome, "installed again")
}

func TestEverybodyOfAShopIsErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	ctx := t.Context()
	require.NoError(t, w.list.Subscribe("yes@example.com", time.Now().Add(-time.Hour), ""))
	require.NoError(t, w.list.Subscribe("no@example.com", time.Now().Add(-time.Hour), ""))
	require.NoError(t, w.list.Unsubscribe("no@example.com", time.Now().Add(-time.Minute), ""))
	w.round()
	no := w.entry("no@example.com").Record
	require.Equal(t, consent.Unsubscribed, no.Decision.State)

	w.ask("s", ledger.ShopRedact, "", person.Person{})
	lease, ok, err := w.host.Ledger.AcquireRun(ctx, acme, reconcile.RoundRun, "another process", time.Minute)
	require.NoError(t, err)
	require.True(t, ok)
	var busy *privacy.Busy
	for _, why := range []string{"what is at work", "pass over events"} {
		_, err = w.office.EraseShop(ctx, acme, "s")
		require.ErrorAs(t, err, &busy)
		require.Contains(t, busy.Why, why)
	}
	require.NoError(t, w.host.Ledger.ReleaseRun(ctx, lease))
	outcome, err := w.office.EraseShop(ctx, acme, "s")
	require.NoError(t, err)
	require.Contains(t, outcome, "The hashes of 1 people")
	require.Zero(t, w.entry("yes@example.com").Version)
	kept, _ := consent.OptOut(no)
	require.Equal(t, kept, w.entry("no@example.com").Record)
	require.Empty(t, w.journal("no@example.com"))
	_, ok, err = w.host.Ledger.AcquireRun(ctx, acme, reconcile.RoundRun, "another process", time.Minute)
	require.NoError(t, err)
	require.True(t, ok, "the leases are free again")

	// One that was removed meanwhile is erased all the same.
	require.NoError(t, w.host.Merchants.Remove(ctx, acme))
	_, err = w.office.EraseShop(ctx, acme, "unknown")
	require.True(t, errors.Is(err, ledger.ErrNoPrivacyRequest))
}
