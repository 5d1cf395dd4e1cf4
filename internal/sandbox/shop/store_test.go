package shop

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newModel is a store without HTTP.
func newModel(switches Switches) (*Store, *testClock) {
	clock := newTestClock()
	return New(Config{Domain: "example.myshopify.com", Now: clock.Now, Switches: switches}), clock
}

func mustCreate(t *testing.T, store *Store, newcomer NewCustomer) CustomerID {
	t.Helper()
	id, err := store.CreateCustomer(newcomer)
	require.NoError(t, err)
	return id
}

func TestCreateCustomer(t *testing.T) {
	t.Parallel()
	store, _ := newModel(Switches{})
	past := at(t, "2026-01-02T03:04:05Z")
	whole := startTime.Truncate(time.Second)
	for _, row := range []struct {
		name  string
		given NewCustomer
		want  Customer
		err   error
	}{
		{"never asked", NewCustomer{Email: " a@example.com "},
			Customer{Email: "a@example.com", Consent: neverAsked(), CreatedAt: whole, UpdatedAt: whole}, nil},
		{"subscribed long ago", NewCustomer{Email: "b@example.com", Consent: Consent{State: Subscribed}, At: past},
			Customer{Email: "b@example.com", Consent: Consent{Subscribed, SingleOptIn, past}, CreatedAt: past, UpdatedAt: past}, nil},
		{"pending", NewCustomer{Email: "c@example.com", Consent: Consent{State: Pending, UpdatedAt: past}},
			Customer{Email: "c@example.com", Consent: Consent{Pending, ConfirmedOptIn, past}, CreatedAt: whole, UpdatedAt: whole}, nil},
		{"without an email", NewCustomer{}, Customer{Consent: neverAsked(), CreatedAt: whole, UpdatedAt: whole}, nil},
		{"another without an email", NewCustomer{}, Customer{Consent: neverAsked(), CreatedAt: whole, UpdatedAt: whole}, nil},
		{"taken", NewCustomer{Email: "A@EXAMPLE.com"}, Customer{}, ErrEmailTaken},
		{"invalid", NewCustomer{Email: "a@b@c.com"}, Customer{}, ErrEmailInvalid},
		{"too long", NewCustomer{Email: strings.Repeat("ä", 244) + "@example.com"}, Customer{}, ErrEmailInvalid},
		{"redacted", NewCustomer{Email: "d@example.com", Consent: Consent{State: Redacted}}, Customer{}, ErrState},
		{"consent without an email", NewCustomer{Consent: Consent{State: Subscribed}}, Customer{}, ErrNoEmail},
	} {
		id, err := store.CreateCustomer(row.given)
		require.ErrorIs(t, err, row.err, row.name)
		if row.err != nil {
			require.Empty(t, id, row.name)
			continue
		}
		row.want.ID, row.want.SMSConsent = id, neverAsked()
		got, ok := store.CustomerByID(id)
		require.True(t, ok, row.name)
		require.Equal(t, row.want, got, row.name)
	}
	require.Len(t, store.Customers(), 5, "those refused left nothing")
	require.Empty(t, store.Writes(), "a person's acts are no API writes")
}

// TestPersonAlwaysWins: what the API would ignore, the person's own act does.
func TestPersonAlwaysWins(t *testing.T) {
	t.Parallel()
	store, clock := newModel(Switches{})
	held, older := at(t, "2026-11-22T09:00:00Z"), at(t, "2026-11-22T08:00:00Z")
	id := mustCreate(t, store, NewCustomer{Email: "a@example.com", Consent: Consent{State: Subscribed, UpdatedAt: held}})
	clock.advance(time.Minute)
	require.NoError(t, store.SetEmailConsent(id, Unsubscribed, older))
	got, _ := store.Customer("A@example.com")
	require.Equal(t, Consent{Unsubscribed, SingleOptIn, older}, got.Consent)
	require.Equal(t, startTime.Add(time.Minute).Truncate(time.Second), got.UpdatedAt)
	require.NoError(t, store.SetEmailConsent(id, Unsubscribed, time.Time{}))
	got, _ = store.Customer("a@example.com")
	require.Equal(t, startTime.Add(time.Minute).Truncate(time.Second), got.Consent.UpdatedAt, "the same state, dated anew")

	require.ErrorIs(t, store.SetEmailConsent("gid://shopify/Customer/9", Subscribed, held), ErrNoCustomer)
	require.ErrorIs(t, store.SetEmailConsent(id, "MAYBE", held), ErrState)
	require.ErrorIs(t, store.SetEmailConsent(mustCreate(t, store, NewCustomer{}), Subscribed, held), ErrNoEmail)
}

func TestChangeEmail(t *testing.T) {
	t.Parallel()
	for _, resets := range []bool{false, true} {
		store, _ := newModel(Switches{EmailChangeResetsConsent: resets})
		consent := Consent{Subscribed, SingleOptIn, at(t, "2026-11-22T09:00:00Z")}
		id := mustCreate(t, store, NewCustomer{Email: "a@example.com", Consent: consent})
		mustCreate(t, store, NewCustomer{Email: "b@example.com"})

		require.ErrorIs(t, store.ChangeEmail(id, "B@example.com"), ErrEmailTaken)
		require.ErrorIs(t, store.ChangeEmail(id, "nobody"), ErrEmailInvalid)
		require.ErrorIs(t, store.ChangeEmail("gid://shopify/Customer/9", "c@example.com"), ErrNoCustomer)
		require.NoError(t, store.ChangeEmail(id, "A@example.com"), "one's own address, written otherwise")
		got, _ := store.CustomerByID(id)
		require.Equal(t, consent, got.Consent, "the address is the same")

		require.NoError(t, store.ChangeEmail(id, "c@example.com"))
		_, ok := store.Customer("a@example.com")
		require.False(t, ok)
		got, _ = store.Customer("c@example.com")
		want := consent
		if resets {
			want = neverAsked()
		}
		require.Equal(t, want, got.Consent)
		mustCreate(t, store, NewCustomer{Email: "a@example.com"})

		require.NoError(t, store.ChangeEmail(id, ""))
		got, _ = store.CustomerByID(id)
		require.Equal(t, neverAsked(), got.Consent)
		_, ok = store.Customer("")
		require.False(t, ok)
	}
}

func TestDeleteCustomer(t *testing.T) {
	t.Parallel()
	store, _ := newModel(Switches{})
	id := mustCreate(t, store, NewCustomer{Email: "a@example.com"})
	order, err := store.PlaceOrder(Order{Email: "A@example.com"})
	require.NoError(t, err)
	require.Equal(t, id, store.Orders()[0].CustomerID, "an order belongs to the customer of its address")
	require.NoError(t, store.DeleteCustomer(id))
	require.ErrorIs(t, store.DeleteCustomer(id), ErrNoCustomer)
	require.Empty(t, store.Customers())
	require.Equal(t, order, store.Orders()[0].ID)
	require.Empty(t, store.Orders()[0].CustomerID)
	again := mustCreate(t, store, NewCustomer{Email: "a@example.com"})
	require.NotEqual(t, id, again, "ids are never used twice")
	answer, err := store.UpdateEmailConsent(id, ConsentInput{State: Subscribed, Level: SingleOptIn})
	require.NoError(t, err)
	require.Equal(t, "Customer not found", answer.UserErrors[0].Message)
}

func TestPlaceAndCancelOrder(t *testing.T) {
	t.Parallel()
	store, _ := newModel(Switches{})
	id := mustCreate(t, store, NewCustomer{Email: "a@example.com"})
	_, err := store.PlaceOrder(Order{CustomerID: "gid://shopify/Customer/9"})
	require.ErrorIs(t, err, ErrNoCustomer)
	order, err := store.PlaceOrder(Order{CustomerID: id, Test: true})
	require.NoError(t, err)
	whole := startTime.Truncate(time.Second)
	want := Order{ID: order, CustomerID: id, Email: "a@example.com", CreatedAt: whole, SourceName: "web", Test: true}
	require.Equal(t, []Order{want}, store.Orders())
	require.NoError(t, store.CancelOrder(order))
	want.CancelledAt = whole
	require.Equal(t, []Order{want}, store.Orders())
	require.ErrorIs(t, store.CancelOrder("gid://shopify/Order/9"), ErrNoOrder)
}

// TestMergeCustomers: who stays follows contracts/shopify.md 3.6; the other id stops existing.
func TestMergeCustomers(t *testing.T) {
	t.Parallel()
	old, recent := at(t, "2026-01-01T00:00:00Z"), at(t, "2026-02-01T00:00:00Z")
	for _, row := range []struct {
		name     string
		one, two NewCustomer
		switches Switches
		stays    int
		consent  Consent
	}{
		{"the only one with an email", NewCustomer{Email: "a@example.com"}, NewCustomer{}, Switches{}, 1, neverAsked()},
		{"the only one subscribed", NewCustomer{Email: "a@example.com", Consent: Consent{State: Subscribed, UpdatedAt: old}},
			NewCustomer{Email: "b@example.com", Consent: Consent{State: Unsubscribed, UpdatedAt: recent}}, Switches{}, 1,
			Consent{Subscribed, SingleOptIn, old}},
		{"the newest consent by switch", NewCustomer{Email: "a@example.com", Consent: Consent{State: Subscribed, UpdatedAt: old}},
			NewCustomer{Email: "b@example.com", Consent: Consent{State: Unsubscribed, UpdatedAt: recent}}, Switches{MergeKeepsNewestConsent: true}, 1,
			Consent{Unsubscribed, SingleOptIn, recent}},
		{"else the second", NewCustomer{Email: "a@example.com"}, NewCustomer{Email: "b@example.com"}, Switches{}, 2, neverAsked()},
	} {
		store, _ := newModel(row.switches)
		ids := []CustomerID{mustCreate(t, store, row.one), mustCreate(t, store, row.two)}
		for _, id := range ids {
			_, err := store.PlaceOrder(Order{CustomerID: id, Email: "x@example.com"})
			require.NoError(t, err)
		}
		kept, err := store.MergeCustomers(ids[0], ids[1])
		require.NoError(t, err, row.name)
		require.Equal(t, ids[row.stays-1], kept, row.name)
		all := store.Customers()
		require.Len(t, all, 1, row.name)
		require.Equal(t, row.consent, all[0].Consent, row.name)
		for _, order := range store.Orders() {
			require.Equal(t, kept, order.CustomerID, row.name)
		}
		_, err = store.MergeCustomers(kept, kept)
		require.ErrorIs(t, err, ErrNoCustomer)
	}
}

// TestSwitchesChangeAtRunTime lets one run see a behaviour both ways.
func TestSwitchesChangeAtRunTime(t *testing.T) {
	t.Parallel()
	store, _ := newModel(Switches{})
	id := mustCreate(t, store, NewCustomer{Email: "a@example.com", Consent: Consent{State: Subscribed, UpdatedAt: at(t, "2026-11-22T09:00:00Z")}})
	late := ConsentInput{State: Unsubscribed, Level: SingleOptIn, At: at(t, "2026-11-22T08:00:00Z")}
	for _, takes := range []bool{false, true} {
		store.SetSwitches(Switches{TakeOlderWrites: takes})
		require.Equal(t, takes, store.Switches().TakeOlderWrites)
		_, err := store.UpdateEmailConsent(id, late)
		require.NoError(t, err)
	}
	writes := store.Writes()
	require.Equal(t, []Write{
		{At: startTime, Operation: byMail.operation, Customer: id, Email: "a@example.com", State: Unsubscribed, Date: late.At},
		{At: startTime, Operation: byMail.operation, Customer: id, Email: "a@example.com", State: Unsubscribed, Date: late.At, Effective: true},
	}, writes)
}

// What takes the place of an earlier store repeats none of its ids.
func TestIDsBeginAfterThoseOfAnEarlierStore(t *testing.T) {
	t.Parallel()
	store := New(Config{Domain: "example.myshopify.com", Now: newTestClock().Now, IDsAfter: 41})
	require.Equal(t, CustomerID("gid://shopify/Customer/42"), mustCreate(t, store, NewCustomer{Email: "a@example.com"}))
	order, err := store.PlaceOrder(Order{Email: "a@example.com"})
	require.NoError(t, err)
	require.Equal(t, OrderID("gid://shopify/Order/42"), order)
}
