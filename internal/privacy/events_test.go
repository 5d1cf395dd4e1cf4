package privacy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/privacy"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// campaign is a merchant with events on, of whose email Ann has opened one and clicked it, and Bob none; both were sent a text.
func campaign(t *testing.T) (w *world, message int, customer shop.CustomerID) {
	w = newWorld(t, true)
	_, err := w.host.Ledger.SetSyncs(t.Context(), acme, ledger.SyncChange{On: map[consent.Sync]bool{consent.EmailEvents: true, consent.SMSEvents: true}})
	require.NoError(t, err)
	customer, err = w.shop.CreateCustomer(shop.NewCustomer{Email: "ann@example.com", Phone: annsPhone})
	require.NoError(t, err)
	w.round()
	message, err = w.list.CreateMessage(list.NewMessage{Subject: "Spring"})
	require.NoError(t, err)
	require.NoError(t, w.list.Send(message, time.Time{}, "ann@example.com", "bob@example.com"))
	require.NoError(t, w.list.Act(message, "ann@example.com", list.Open, time.Time{}))
	require.NoError(t, w.list.Act(message, "ann@example.com", list.Click, time.Time{}))
	w.text("ann", annsPhone, engagement.Sent)
	w.text("ann's click", annsPhone, engagement.Clicked)
	w.text("bob", "+15550002222", engagement.Sent)
	w.pass()
	return w, message, customer
}

func (w *world) text(id, phone string, mark engagement.Mark) engagement.Outcome {
	w.Helper()
	results, err := w.host.Events.TakeIn(w.Context(), acme, []engagement.Event{{ID: id, Source: "test", Channel: consent.SMS, Mark: mark, At: time.Now(),
		Address: phone, Message: "sale", Title: "Sale"}})
	require.NoError(w, err)
	return results[0].Outcome
}

func (w *world) pass() {
	w.Helper()
	_, err := w.host.Events.Pass(w.Context(), acme)
	require.NoError(w, err)
}

// sends are the sends of all days of all messages.
func (w *world) sends() (sum int64) {
	w.Helper()
	totals, err := w.host.Ledger.EngagementTotals(w.Context(), acme)
	require.NoError(w, err)
	for _, days := range totals {
		for _, day := range days {
			sum += day.Sends
		}
	}
	return sum
}

// exported asks what is held of somebody.
func (w *world) exported(id string, customer shop.CustomerID, p person.Person) (export privacy.Export, text string) {
	w.Helper()
	w.ask(id, ledger.DataRequest, string(customer), p)
	_, err := w.office.ExportPerson(w.Context(), acme, id)
	require.NoError(w, err)
	raw, err := os.ReadFile(filepath.Join(w.office.ExportDirectory, "acme-"+id+".json"))
	require.NoError(w, err)
	require.NoError(w, json.Unmarshal(raw, &export))
	shown, err := os.ReadFile(filepath.Join(w.office.ExportDirectory, "acme-"+id+".txt"))
	require.NoError(w, err)
	return export, string(shown)
}

func TestAPersonIsToldWhichMessagesAreKept(t *testing.T) {
	t.Parallel()
	w, _, customer := campaign(t)
	export, text := w.exported("ann", customer, person.Person{Email: "ann@example.com"})
	titles := map[string]string{}
	for _, a := range export.Addresses {
		require.NotNil(t, a.Events, a.Channel)
		require.Len(t, a.Events.Messages, 1)
		m := a.Events.Messages[0]
		titles[a.Channel] = m.Title
		require.False(t, m.Sent.IsZero() || m.Clicked.IsZero() || a.Events.LastSent.IsZero() || a.Events.LastClicked.IsZero(), "%+v", a.Events)
		require.Equal(t, a.Channel == "email", !m.Opened.IsZero() && !a.Events.LastOpened.IsZero())
		require.True(t, m.Bounced.IsZero() && m.Unsubscribed.IsZero() && m.Complained.IsZero())
	}
	require.Equal(t, map[string]string{"email": "Spring", "sms": "Sale"}, titles, "by the customer the phone is found too")
	require.Contains(t, text, "Message sms-sale: Sale, sent on")
	require.Contains(t, text, "Last message sent on")

	// Of somebody who is no customer, and of whom no consent is known.
	export, text = w.exported("bob", "", person.Person{Email: "bob@example.com"})
	require.True(t, export.Addresses[0].Known)
	require.Len(t, export.Addresses[0].Events.Messages, 1)
	require.NotContains(t, text, "Nothing is held")
	export, text = w.exported("eve", "", person.Person{Email: "eve@example.com"})
	require.Nil(t, export.Addresses[0].Events)
	require.Contains(t, text, "Nothing is held")
}

// TestTheEventsOfAPersonAreErased: what is read or told of them later is kept no more, and the totals, which are about nobody, stay.
func TestTheEventsOfAPersonAreErased(t *testing.T) {
	t.Parallel()
	w, message, customer := campaign(t)
	sends := w.sends()
	require.EqualValues(t, 4, sends)
	w.ask("r", ledger.Redact, string(customer), person.Person{Email: "ann@example.com"})
	require.NoError(t, w.office.ErasePerson(t.Context(), acme, "r"))
	writes := w.shop.MetafieldWrites()
	require.NoError(t, w.list.Act(message, "ann@example.com", list.Click, time.Time{}))
	w.text("ann, again", annsPhone, engagement.Clicked)
	w.pass()
	for channel, address := range map[consent.Channel]string{consent.Email: "ann@example.com", consent.SMS: annsPhone} {
		kept, err := w.host.Ledger.EngagedPerson(t.Context(), acme, consent.SubjectOf(w.host.Keys.SubjectKey(), acme, channel, address))
		require.NoError(t, err)
		require.Equal(t, ledger.ErasedEngagement, string(kept.Record), channel)
	}
	require.Equal(t, writes, w.shop.MetafieldWrites(), "nothing is told of her any more")
	require.Equal(t, sends, w.sends())
	export, _ := w.exported("after", customer, person.Person{Email: "ann@example.com", Phone: annsPhone})
	for _, a := range export.Addresses {
		require.Nil(t, a.Events, a.Channel)
	}
	kept, err := w.host.Ledger.EngagedPerson(t.Context(), acme, w.subject("bob@example.com"))
	require.NoError(t, err)
	require.NotEqual(t, ledger.ErasedEngagement, string(kept.Record))
	require.NotEmpty(t, kept.Record)
}

func TestTheEventsOfAShopAreErased(t *testing.T) {
	t.Parallel()
	w, _, _ := campaign(t)
	w.ask("s", ledger.ShopRedact, "", person.Person{})
	_, err := w.office.EraseShop(t.Context(), acme, "s")
	var busy *privacy.Busy
	require.ErrorAs(t, err, &busy, "what is at work comes to its end first")
	_, err = w.office.EraseShop(t.Context(), acme, "s")
	require.NoError(t, err)
	for _, address := range []string{"ann@example.com", "bob@example.com"} {
		kept, err := w.host.Ledger.EngagedPerson(t.Context(), acme, w.subject(address))
		require.NoError(t, err)
		require.Empty(t, kept.Record, address)
	}
	require.Zero(t, w.sends())
	found, err := w.host.Ledger.EngagementMessagesByRef(t.Context(), acme, []int64{1, 2, 3})
	require.NoError(t, err)
	require.Empty(t, found)
}
