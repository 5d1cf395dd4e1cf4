package privacy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/privacy"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// annsPhone is a number in E.164; the others are how requests may spell it.
const annsPhone = "+15550001111"

// both makes a customer who has subscribed to both channels an hour ago, in Shopify and in Listrak.
func (w *world) both(address, phone string) shop.CustomerID {
	w.Helper()
	at := time.Now().Add(-time.Hour)
	given := shop.Consent{State: shop.Subscribed, UpdatedAt: at}
	id, err := w.shop.CreateCustomer(shop.NewCustomer{Email: address, Consent: given, Phone: phone, SMSConsent: given, At: at})
	require.NoError(w, err)
	require.NoError(w, w.list.Subscribe(address, at, ""))
	require.NoError(w, w.texts.Subscribe(80, phone, at))
	w.shop.FinishIndexing()
	w.round()
	require.Equal(w, consent.Subscribed, w.entry(address).Record.Decision.State)
	require.Equal(w, consent.Subscribed, w.phoneEntry(phone).Record.Decision.State)
	return id
}

// However the person is named, both channels are forgotten, here and in Listrak.
func TestAPersonIsForgottenOnBothChannels(t *testing.T) {
	t.Parallel()
	const ann = "ann@example.com"
	for name, c := range map[string]struct {
		person   person.Person
		customer bool
	}{
		"by webhook":              {person.Person{Email: ann, Phone: "+1 (555) 000-1111"}, true},
		"by webhook without them": {person.Person{}, true},
		"by hand, by the phone":   {person.Person{Phone: annsPhone}, false},
		"by hand, by the email":   {person.Person{Email: ann}, false},
		"by a national number":    {person.Person{Phone: "555.000.1111"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, true)
			ctx := t.Context()
			customer := w.both(ann, annsPhone)
			id := ""
			if c.customer {
				id = string(customer)
			}
			w.ask("r", ledger.Redact, id, c.person)
			require.NoError(t, w.office.ErasePerson(ctx, acme, "r"))
			at := privacy.ProgressOf(w.request("r")).Erased
			require.Equal(t, consent.Erased(consent.Record{}, at), w.entry(ann).Record)
			require.Equal(t, consent.Erased(consent.Record{}, at), w.phoneEntry(annsPhone).Record)
			known, err := w.host.Ledger.KnownCustomers(ctx, acme, []string{string(customer)})
			require.NoError(t, err)
			require.Empty(t, known)

			_, err = w.office.AskListrak(ctx, acme, "r")
			require.NoError(t, err)
			asked := map[string]int{}
			for _, r := range w.privacy.Requests() {
				asked[r.Email+r.Phone]++
			}
			require.Equal(t, map[string]int{ann: 1, annsPhone: 1}, asked, "once by each, and the number as the SMS API writes it")

			// Both sides still show the old yes: nobody is subscribed by it.
			w.round()
			require.Equal(t, consent.Unsubscribed, w.phoneEntry(annsPhone).Record.Decision.State)
			require.True(t, w.phoneEntry(annsPhone).Record.Decision.Erased)
			w.privacy.CompleteAll()
			_, there := w.texts.Phone(annsPhone)
			require.False(t, there)
			state, err := w.office.AskListrak(ctx, acme, "r")
			require.NoError(t, err)
			require.True(t, state.Done)
			outcome, err := w.office.FinishErasure(ctx, acme, "r")
			require.NoError(t, err)
			require.Contains(t, outcome, "requests to it: 2")
			// The old yes that Shopify still has is answered with the no.
			require.NoError(t, w.shop.SetSMSConsent(customer, shop.Subscribed, time.Now().Add(-30*time.Minute)))
			w.round()
			shown, _ := w.shop.CustomerByPhone(annsPhone)
			require.Equal(t, shop.Unsubscribed, shown.SMSConsent.State)
		})
	}
}

// Somebody who waits for an order on both channels waits on neither afterwards, and both windows are roused.
func TestBothWindowsOfAPersonAreRoused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	given := shop.Consent{State: shop.Subscribed}
	customer, err := w.shop.CreateCustomer(shop.NewCustomer{Email: "ann@example.com", Consent: given, Phone: annsPhone, SMSConsent: given})
	require.NoError(t, err)
	w.shop.FinishIndexing()
	w.round()
	held, err := w.host.Ledger.HoldsOf(t.Context(), acme, string(customer))
	require.NoError(t, err)
	require.Len(t, held, 2)
	w.ask("r", ledger.Redact, string(customer), person.Person{})
	require.NoError(t, w.office.ErasePerson(t.Context(), acme, "r"))
	held, err = w.host.Ledger.HoldsOf(t.Context(), acme, string(customer))
	require.NoError(t, err)
	require.Empty(t, held)
	require.Len(t, w.told, 2)
	require.NotEqual(t, w.told[0].Channel, w.told[1].Channel)
}

// unreadablePhone notes a text of a customer's as a round does.
func (w *world) unreadablePhone(side consent.Side, customer, text string) {
	w.Helper()
	phone := w.phoneSubject(text)
	sealed, err := w.host.Keys.Seal([]byte(text), reconcile.UnreadableContext(phone))
	require.NoError(w, err)
	_, err = w.host.Ledger.Save(w.Context(), acme, ledger.Batch{Unreadable: []ledger.Unreadable{{Side: side, Ref: customer, Phone: phone, Sealed: sealed}}})
	require.NoError(w, err)
}

func TestPhonesThatCannotBeReadAreTheirsToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	ctx := t.Context()
	const customer, other = "gid://shopify/Customer/901", "gid://shopify/Customer/902"
	w.unreadablePhone(consent.Shopify, customer, "call my office")
	w.unreadablePhone(consent.Shopify, other, "none")
	w.unreadablePhone(consent.Listrak, "", "12")

	w.ask("x", ledger.DataRequest, customer, person.Person{})
	_, err := w.office.ExportPerson(ctx, acme, "x")
	require.NoError(t, err)
	var export privacy.Export
	raw, err := os.ReadFile(filepath.Join(w.office.ExportDirectory, "acme-x.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &export))
	require.Len(t, export.Unreadable, 1)
	require.Equal(t, "call my office", export.Unreadable[0].Text)

	w.ask("r", ledger.Redact, customer, person.Person{Phone: "12"})
	require.NoError(t, w.office.ErasePerson(ctx, acme, "r"))
	left, err := w.host.Ledger.UnreadablePhones(ctx, acme, 10)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, other, left[0].Ref)

	w.ask("s", ledger.ShopRedact, "", person.Person{})
	_, err = w.office.EraseShop(ctx, acme, "s")
	var busy *privacy.Busy
	require.ErrorAs(t, err, &busy)
	_, err = w.office.EraseShop(ctx, acme, "s")
	require.NoError(t, err)
	left, err = w.host.Ledger.UnreadablePhones(ctx, acme, 10)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAPersonIsToldWhatIsHeldOfTheirPhone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	customer := w.both("ann@example.com", annsPhone)
	for id, p := range map[string]person.Person{"email": {Email: "ann@example.com"}, "phone": {Phone: "(555) 000-1111"}} {
		w.ask(id, ledger.DataRequest, "", p)
		_, err := w.office.ExportPerson(t.Context(), acme, id)
		require.NoError(t, err)
		raw, err := os.ReadFile(filepath.Join(w.office.ExportDirectory, "acme-"+id+".json"))
		require.NoError(t, err)
		var export privacy.Export
		require.NoError(t, json.Unmarshal(raw, &export))
		channels := map[string]string{}
		for _, a := range export.Addresses {
			channels[a.Channel] = a.Decision.State
		}
		require.Equal(t, map[string]string{"email": "subscribed", "sms": "subscribed"}, channels, id)
		require.Len(t, export.Shopify.People, 1, id)
		require.Equal(t, string(customer), export.Shopify.People[0].ID)
		require.Equal(t, annsPhone, export.Shopify.People[0].Phone)
		require.Equal(t, "SUBSCRIBED", export.Shopify.People[0].SMSState)
		var texted bool
		for _, p := range export.Listrak.People {
			texted = texted || p.Phone == annsPhone && p.SMSState == "Subscribed"
		}
		require.True(t, texted, "%s: Listrak's SMS contact", id)
	}
}

// Everybody of a shop goes on both channels; who had left SMS stays as a hash.
func TestEverybodyOfAShopIsErasedOnSMS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	ctx := t.Context()
	w.both("ann@example.com", annsPhone)
	w.both("bob@example.com", "+15550002222")
	require.NoError(t, w.texts.Stop("+15550002222", time.Now()))
	w.round()
	no := w.phoneEntry("+15550002222").Record
	require.Equal(t, consent.Unsubscribed, no.Decision.State)
	w.ask("s", ledger.ShopRedact, "", person.Person{})
	_, err := w.office.EraseShop(ctx, acme, "s")
	var busy *privacy.Busy
	require.ErrorAs(t, err, &busy)
	// A full read of SMS is at work too.
	lease, ok, err := w.host.Ledger.AcquireRun(ctx, acme, "full_sms", "another process", time.Minute)
	require.NoError(t, err)
	require.True(t, ok)
	_, err = w.office.EraseShop(ctx, acme, "s")
	require.ErrorAs(t, err, &busy)
	require.NoError(t, w.host.Ledger.ReleaseRun(ctx, lease))
	_, err = w.office.EraseShop(ctx, acme, "s")
	require.NoError(t, err)
	require.Zero(t, w.phoneEntry(annsPhone).Version)
	kept, _ := consent.OptOut(no)
	require.Equal(t, kept, w.phoneEntry("+15550002222").Record)
}
