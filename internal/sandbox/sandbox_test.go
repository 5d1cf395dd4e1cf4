package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

const domain = "example.myshopify.com"

var began = time.Date(2026, 11, 22, 14, 3, 7, 0, time.UTC)

// start runs a sandbox with one store and one list, and a client of its control API.
func start(t *testing.T) (*Sandbox, *Control, *http.Client) {
	t.Helper()
	sb, err := Start(Options{Now: func() time.Time { return began }})
	require.NoError(t, err)
	t.Cleanup(sb.Close)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	sb.AddShop(shop.Config{Domain: domain, ClientID: "app", ClientSecret: "secret", Token: "shpat_1"})
	sb.AddList(list.Config{ID: 7, ClientID: "client", Secret: "secret", Events: []list.Event{{ID: 1, Name: "Marketing"}}})
	return sb, NewControl(sb.ControlURL(), client), client
}

func send(t *testing.T, client *http.Client, request *http.Request) (int, string) {
	t.Helper()
	response, err := client.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func request(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	require.NoError(t, err)
	return request
}

// listrakToken signs in at Listrak.
func listrakToken(t *testing.T, sb *Sandbox, client *http.Client) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"client"}, "client_secret": {"secret"}}
	ask := request(t, http.MethodPost, sb.ListrakAuthURL(), form.Encode())
	ask.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, body := send(t, client, ask)
	require.Equal(t, http.StatusOK, status, body)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	return answer.AccessToken
}

func TestBothSidesAnswerAtTheirAddresses(t *testing.T) {
	t.Parallel()
	sb, _, client := start(t)
	other := sb.AddShop(shop.Config{Domain: "other.myshopify.com", Token: "shpat_2"})
	_, err := other.CreateCustomer(shop.NewCustomer{Email: "ann@example.com"})
	require.NoError(t, err)

	for target, token := range map[string]string{domain: "shpat_1", "other.myshopify.com": "shpat_2"} {
		ask := request(t, http.MethodPost, sb.ShopifyURL(target)+"/admin/api/2026-10/graphql.json",
			`{"query":"{ customerByIdentifier(identifier: {emailAddress: \"ann@example.com\"}) { id } }"}`)
		ask.Header.Set("X-Shopify-Access-Token", token)
		ask.Header.Set("Content-Type", "application/json")
		status, body := send(t, client, ask)
		require.Equal(t, http.StatusOK, status, body)
		require.Equalf(t, target == "other.myshopify.com", strings.Contains(body, "gid://shopify/Customer/"), "%s answered %s", target, body)
	}
	status, _ := send(t, client, request(t, http.MethodPost, sb.ShopifyURL("nobody.myshopify.com")+"/admin/api/2026-10/graphql.json", "{}"))
	require.Equal(t, http.StatusNotFound, status)

	bearer := listrakToken(t, sb, client)
	ask := request(t, http.MethodPost, sb.ListrakURL()+"/v1/List/7/Contact?eventIds=1", `{"emailAddress":"a+b@example.com"}`)
	ask.Header.Set("Authorization", "Bearer "+bearer)
	ask.Header.Set("Content-Type", "application/json")
	status, body := send(t, client, ask)
	require.Equal(t, http.StatusCreated, status, body)
	ask = request(t, http.MethodGet, sb.ListrakURL()+"/v1/List/7/Contact/"+url.PathEscape("a+b@example.com"), "")
	ask.Header.Set("Authorization", "Bearer "+bearer)
	status, body = send(t, client, ask)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"subscribeDate":"2026-11-22T14:03:07"`)
}

func TestStartRefusesToBeReachedFromElsewhere(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "example.com:0", "127.0.0.1", "[::]:0"} {
		_, err := Start(Options{Address: address})
		require.ErrorContainsf(t, err, "start sandbox", "%q", address)
	}
	sb, err := Start(Options{Address: "localhost:0"})
	require.NoError(t, err)
	defer sb.Close()
	_, err = Start(Options{Address: strings.TrimPrefix(sb.base, "http://")})
	require.ErrorContains(t, err, "listen on", "the address is taken")
}

func TestCloseEndsWhatAFaultHoldsBack(t *testing.T) {
	t.Parallel()
	sb, _, client := start(t)
	bearer := listrakToken(t, sb, client)
	store, err := sb.List(7)
	require.NoError(t, err)
	store.Faults.Set(1, fault.Rule{Operation: "GET Lists", Kind: fault.TimeoutBefore})
	ask := request(t, http.MethodGet, sb.ListrakURL()+"/v1/List", "")
	ask.Header.Set("Authorization", "Bearer "+bearer)
	failed := make(chan error, 1)
	go func() {
		_, err := client.Do(ask)
		failed <- err
	}()
	require.Eventually(t, func() bool { return store.Faults.Struck()[fault.TimeoutBefore] >= 1 }, 10*time.Second, time.Millisecond)
	sb.Close()
	sb.Close()
	require.Error(t, <-failed)
}

func TestAMistakeInTheProgramPanics(t *testing.T) {
	t.Parallel()
	sb, _, _ := start(t)
	require.Panics(t, func() { sb.AddShop(shop.Config{Domain: domain}) })
	require.Panics(t, func() { sb.AddShop(shop.Config{Domain: "a/b"}) })
	require.Panics(t, func() { sb.AddList(list.Config{ID: 7, ClientID: "c", Secret: "s"}) })
	require.Panics(t, func() { sb.AddList(list.Config{ID: 8}) })
}

func TestControlActsOnShopify(t *testing.T) {
	t.Parallel()
	sb, control, _ := start(t)
	ctx := t.Context()
	created, err := control.CreateCustomer(ctx, domain, CustomerAct{Email: "ann+1@example.com"})
	require.NoError(t, err)
	require.Equal(t, shop.NotSubscribed, created.State)
	require.Zero(t, created.ConsentUpdatedAt)
	_, err = control.CreateCustomer(ctx, domain, CustomerAct{Email: "Ann+1@example.com"})
	require.ErrorIs(t, err, shop.ErrEmailTaken)

	changed, err := control.SetConsent(ctx, domain, CustomerAct{Email: "ann+1@example.com", State: shop.Subscribed,
		When: When{Ago: Duration(6 * time.Minute)}})
	require.NoError(t, err)
	require.Equal(t, shop.Subscribed, changed.State)
	require.Equal(t, began.Add(-6*time.Minute), changed.ConsentUpdatedAt)
	late, err := control.CreateCustomer(ctx, domain, CustomerAct{Email: "late@example.com", State: shop.Subscribed,
		When: When{Ago: Duration(6 * time.Minute)}})
	require.NoError(t, err)
	require.Equal(t, began.Add(-6*time.Minute), late.ConsentUpdatedAt)
	require.Equal(t, began, late.UpdatedAt, "or no poll would ever find this customer")
	_, err = control.SetConsent(ctx, domain, CustomerAct{Email: "ann+1@example.com", State: "MAYBE"})
	require.ErrorContains(t, err, "state")
	_, err = control.SetConsent(ctx, domain, CustomerAct{Email: "ann+1@example.com", State: shop.Subscribed,
		When: When{At: began, Ago: 1}})
	require.ErrorContains(t, err, "not both")

	order, err := control.PlaceOrder(ctx, domain, OrderAct{Email: "ann+1@example.com", SourceName: "pos",
		When: When{At: began.Add(-time.Minute)}})
	require.NoError(t, err)
	store, err := sb.Shop(domain)
	require.NoError(t, err)
	require.Equal(t, []shop.Order{{ID: order, CustomerID: created.ID, Email: "ann+1@example.com",
		CreatedAt: began.Add(-time.Minute), SourceName: "pos"}}, store.Orders())

	moved, err := control.ChangeEmail(ctx, domain, CustomerAct{Email: "ann+1@example.com", To: "anna@example.com"})
	require.NoError(t, err)
	require.Equal(t, created.ID, moved.ID)
	_, known, err := control.Customer(ctx, domain, "ann+1@example.com")
	require.NoError(t, err)
	require.False(t, known)
	seen, known, err := control.Customer(ctx, domain, "anna@example.com")
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, moved, seen)
	require.NoError(t, control.DeleteCustomer(ctx, domain, "anna@example.com"))
	require.ErrorIs(t, control.DeleteCustomer(ctx, domain, "anna@example.com"), shop.ErrNoCustomer)

	_, _, err = control.Customer(ctx, "nobody.myshopify.com", "anna@example.com")
	require.ErrorIs(t, err, ErrNoShop, "an unknown store is not a store without that customer")
}

func TestControlActsOnPhoneNumbers(t *testing.T) {
	t.Parallel()
	sb, control, client := start(t)
	ctx := t.Context()
	const number, other = "+14155552797", "+16134505293"
	joe, err := control.CreateCustomer(ctx, domain, CustomerAct{Phone: "+1 (415) 555-2797", SMSState: shop.Subscribed, When: When{Ago: Duration(time.Hour)}})
	require.NoError(t, err)
	require.Equal(t, Customer{ID: joe.ID, State: shop.NotSubscribed, Level: shop.SingleOptIn, Phone: number, SMSState: shop.Subscribed,
		SMSLevel: shop.SingleOptIn, SMSConsentUpdatedAt: began.Add(-time.Hour), CreatedAt: began, UpdatedAt: began}, joe)
	seen, known, err := control.CustomerByPhone(ctx, domain, number)
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, joe, seen)
	_, known, err = control.CustomerByPhone(ctx, domain, other)
	require.NoError(t, err)
	require.False(t, known)

	changed, err := control.SetSMSConsent(ctx, domain, CustomerAct{Phone: number, State: shop.Redacted, When: When{Ago: Duration(time.Minute)}})
	require.NoError(t, err)
	require.Equal(t, shop.Redacted, changed.SMSState)
	require.Equal(t, began.Add(-time.Minute), changed.SMSConsentUpdatedAt)
	require.Equal(t, shop.NotSubscribed, changed.State, "the other channel")
	for path, want := range map[string]string{"/sms-unsubscribe": `"smsState": "UNSUBSCRIBED"`, "/sms-subscribe": `"smsState": "SUBSCRIBED"`} {
		status, answer := send(t, client, request(t, http.MethodPost, sb.ControlURL()+"/shops/"+domain+path, `{"phone":"`+number+`"}`))
		require.Equal(t, http.StatusOK, status, answer)
		require.Contains(t, answer, want)
	}
	_, err = control.SetSMSConsent(ctx, domain, CustomerAct{Phone: number, State: shop.Invalid})
	require.ErrorContains(t, err, "state")
	ann, err := control.CreateCustomer(ctx, domain, CustomerAct{Email: "ann@example.com", State: shop.Subscribed})
	require.NoError(t, err)
	require.Empty(t, ann.SMSState, "without a number there is no consent to SMS")
	_, err = control.SetSMSConsent(ctx, domain, CustomerAct{Email: "ann@example.com", State: shop.Subscribed})
	require.ErrorContains(t, err, "no phone")

	for _, act := range []CustomerAct{{Email: "ann@example.com", To: number}, {Phone: other, To: number}} {
		_, err = control.ChangePhone(ctx, domain, act)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "5552797")
		require.NotContains(t, err.Error(), "4505293")
		require.Equal(t, act.Email != "", errors.Is(err, shop.ErrPhoneTaken), "%v", err)
	}
	moved, err := control.ChangePhone(ctx, domain, CustomerAct{Phone: number, To: other})
	require.NoError(t, err)
	require.Equal(t, other, moved.Phone)

	_, err = control.PlaceOrder(ctx, domain, OrderAct{Email: "ann@example.com", Phone: number, SMSTicked: true})
	require.NoError(t, err)
	_, err = control.PlaceOrder(ctx, domain, OrderAct{Phone: other, SourceName: "pos"})
	require.NoError(t, err)
	seen, _, err = control.Customer(ctx, domain, "ann@example.com")
	require.NoError(t, err)
	require.Equal(t, number, seen.Phone)
	require.Equal(t, shop.Subscribed, seen.SMSState)
	store, err := sb.Shop(domain)
	require.NoError(t, err)
	require.Equal(t, joe.ID, store.Orders()[1].CustomerID, "an order belongs to the customer of its number")

	_, err = store.UpdateSMSConsent(joe.ID, shop.ConsentInput{State: shop.Unsubscribed})
	require.NoError(t, err)
	writes, err := control.ShopWrites(ctx, domain)
	require.NoError(t, err)
	require.Len(t, writes, 1)
	require.Equal(t, other, writes[0].Phone)
	require.Equal(t, "customerSmsMarketingConsentUpdate", writes[0].Operation)
	require.NoError(t, control.AskToRedact(ctx, domain, "ann@example.com"))
}

func TestControlActsOnListrak(t *testing.T) {
	t.Parallel()
	_, control, _ := start(t)
	ctx := t.Context()
	subscribed, err := control.Subscribe(ctx, 7, ContactAct{Email: "ann+1@example.com", When: When{Ago: Duration(time.Hour)}})
	require.NoError(t, err)
	require.Equal(t, list.Subscribed, subscribed.State)
	require.Equal(t, began.Add(-time.Hour), subscribed.SubscribedAt)
	left, err := control.Unsubscribe(ctx, 7, ContactAct{Email: "ann+1@example.com", Method: list.MethodBounce})
	require.NoError(t, err)
	require.Equal(t, list.MethodBounce, left.UnsubscribeMethod)
	seen, known, err := control.Contact(ctx, 7, "ann+1@example.com")
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, left, seen)
	require.NoError(t, control.DeleteContact(ctx, 7, "ann+1@example.com"))
	_, known, err = control.Contact(ctx, 7, "ann+1@example.com")
	require.NoError(t, err)
	require.False(t, known)
	_, err = control.Unsubscribe(ctx, 7, ContactAct{Email: "ann+1@example.com"})
	require.ErrorIs(t, err, list.ErrNoContact)
	_, _, err = control.Contact(ctx, 99, "ann+1@example.com")
	require.ErrorIs(t, err, ErrNoList)

	require.NoError(t, control.Refuse(ctx, 7, "bo@example.com", list.Banned))
	_, err = control.Subscribe(ctx, 7, ContactAct{Email: "bo@example.com"})
	require.ErrorContains(t, err, "banned")
	require.NotContains(t, err.Error(), "bo@example.com")

	overview, err := control.Overview(ctx)
	require.NoError(t, err)
	settings := overview.Lists[0].ListSettings
	settings.DoubleOptIn, settings.Zone = true, "America/New_York"
	settings.ClockSkew, settings.SameState = Duration(-time.Minute), list.AnswersError
	configured, err := control.ConfigureList(ctx, settings)
	require.NoError(t, err)
	require.Equal(t, settings, configured.ListSettings)
	pending, err := control.Subscribe(ctx, 7, ContactAct{Email: "cy@example.com"})
	require.NoError(t, err)
	require.Equal(t, list.Pending, pending.State)
	confirmed, err := control.Confirm(ctx, 7, "cy@example.com")
	require.NoError(t, err)
	require.Equal(t, began.Add(-time.Minute), confirmed.SubscribedAt)
	settings.Events = []list.Event{{ID: 9}}
	configured, err = control.ConfigureList(ctx, settings)
	require.NoError(t, err)
	require.Equal(t, []list.Event{{ID: 9, Status: list.EventActive}}, configured.Events, "an old event must not shine through")
	settings.Zone = "Mars/Olympus"
	_, err = control.ConfigureList(ctx, settings)
	require.ErrorContains(t, err, "IANA")
	settings.Zone, settings.SameState = "", "sometimes"
	_, err = control.ConfigureList(ctx, settings)
	require.ErrorContains(t, err, "sometimes")
}

func TestControlSeesBothSidesAndResets(t *testing.T) {
	t.Parallel()
	sb, control, client := start(t)
	ctx := t.Context()
	_, err := control.AddShop(ctx, ShopSettings{Domain: "b.myshopify.com", ClientID: "app", ClientSecret: "secret",
		SearchLag: Duration(time.Second)})
	require.NoError(t, err)
	_, err = control.AddShop(ctx, ShopSettings{Domain: "b.myshopify.com"})
	require.ErrorIs(t, err, ErrExists)
	_, err = control.AddList(ctx, ListSettings{ID: 8, ClientID: "client", Secret: "secret", Zone: "Europe/Berlin"})
	require.NoError(t, err)
	_, err = control.AddList(ctx, ListSettings{ID: 8, ClientID: "client", Secret: "secret"})
	require.ErrorIs(t, err, ErrExists)
	_, err = control.AddList(ctx, ListSettings{ID: 9})
	require.ErrorContains(t, err, "client id")

	customer, err := control.CreateCustomer(ctx, "b.myshopify.com", CustomerAct{Email: "ann@example.com", State: shop.Subscribed})
	require.NoError(t, err)
	contact, err := control.Subscribe(ctx, 8, ContactAct{Email: "ann@example.com"})
	require.NoError(t, err)
	person, err := control.Person(ctx, "ann@example.com")
	require.NoError(t, err)
	require.Equal(t, Person{Shops: map[string]Customer{"b.myshopify.com": customer}, Lists: map[int]list.Contact{8: contact}}, person)

	view, err := control.SetShopSwitches(ctx, domain, shop.Switches{TakeOlderWrites: true})
	require.NoError(t, err)
	require.True(t, view.Switches.TakeOlderWrites)
	view, err = control.SetSearchLag(ctx, domain, 30*time.Second)
	require.NoError(t, err)
	require.Equal(t, Duration(30*time.Second), view.SearchLag)
	require.True(t, view.Switches.TakeOlderWrites, "what is left out stays")
	_, err = control.SetSearchLag(ctx, domain, -time.Second)
	require.ErrorContains(t, err, "searchLag")
	_, err = control.SetSearchLag(ctx, domain, 0)
	require.NoError(t, err)

	rule := FaultRule{Operation: "POST Contact", Kind: fault.ErrorAfter, Times: 1}
	require.NoError(t, control.SetListFaults(ctx, 7, Faults{Seed: 1, Rules: []FaultRule{rule}}))
	require.NoError(t, control.SetShopFaults(ctx, domain, Faults{Rules: []FaultRule{{Kind: fault.ServerError}}}))
	require.ErrorContains(t, control.SetListFaults(ctx, 7, Faults{Rules: []FaultRule{{Kind: "bad_weather"}}}), "bad_weather")
	require.ErrorContains(t, control.SetListFaults(ctx, 7, Faults{Rules: []FaultRule{{Kind: fault.Latency, Chance: 2}}}), "chance")

	bearer := listrakToken(t, sb, client)
	post := func() int {
		ask := request(t, http.MethodPost, sb.ListrakURL()+"/v1/List/7/Contact", `{"emailAddress":"bo@example.com"}`)
		ask.Header.Set("Authorization", "Bearer "+bearer)
		ask.Header.Set("Content-Type", "application/json")
		status, _ := send(t, client, ask)
		return status
	}
	require.Equal(t, http.StatusInternalServerError, post())
	struck, err := control.ListStruck(ctx, 7)
	require.NoError(t, err)
	require.Equal(t, Struck{fault.ErrorAfter: 1}, struck)
	writes, err := control.ListWrites(ctx, 7)
	require.NoError(t, err)
	require.Len(t, writes, 1)
	require.Equal(t, list.Write{At: began, Operation: "POST Contact", Email: "bo@example.com", Effective: true, Redated: true}, writes[0])
	store, err := sb.Shop(domain)
	require.NoError(t, err)
	_, err = store.CreateCustomerByAPI(shop.CustomerInput{Email: "cy@example.com"})
	require.NoError(t, err)
	shopWrites, err := control.ShopWrites(ctx, domain)
	require.NoError(t, err)
	require.Len(t, shopWrites, 1)

	require.NoError(t, control.ExpireListrakTokens(ctx))
	require.Equal(t, http.StatusUnauthorized, post())

	require.NoError(t, control.Reset(ctx))
	person, err = control.Person(ctx, "ann@example.com")
	require.NoError(t, err)
	require.Equal(t, Person{Shops: map[string]Customer{}, Lists: map[int]list.Contact{}}, person)
	for _, count := range []func() (int, error){
		func() (int, error) { w, err := control.ListWrites(ctx, 7); return len(w), err },
		func() (int, error) { w, err := control.ShopWrites(ctx, domain); return len(w), err },
	} {
		n, err := count()
		require.NoError(t, err)
		require.Zero(t, n, "the write log begins anew")
	}
	_, struckNow := store.Faults.Next("customers")
	require.False(t, struckNow, "the faults have ended")
	overview, err := control.Overview(ctx)
	require.NoError(t, err)
	require.Len(t, overview.Shops, 2)
	require.Len(t, overview.Lists, 2)
}

func TestControlRefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	sb, _, client := start(t)
	for body, says := range map[string]string{
		`{"emial":"ann@example.com"}`:                     "emial",
		`{"email":`:                                       "read the body",
		`{"email":"ann@example.com"}{}`:                   "more than one",
		`{"email":"ann@example.com","ago":"a while"}`:     "a while",
		`{"email":"` + strings.Repeat("a", 1<<20) + `"}`:  "too large",
		`{"email":"ann@example.com","at":"this morning"}`: "morning",
	} {
		status, answer := send(t, client, request(t, http.MethodPost, sb.ControlURL()+"/lists/7/subscribe", body))
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, answer, says)
	}
	status, answer := send(t, client, request(t, http.MethodPatch, sb.ControlURL()+"/lists/7", `{"noAccess":["Event"]}`))
	require.Equal(t, http.StatusOK, status, answer)
	require.Contains(t, answer, "Marketing", "settings left out stay")
	status, answer = send(t, client, request(t, http.MethodPatch, sb.ControlURL()+"/lists/7", `{"sameStat":"answers_error"}`))
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "sameStat", "a misspelt setting must not pass for a setting")
	status, _ = send(t, client, request(t, http.MethodGet, sb.ControlURL()+"/lists/seven/writes", ""))
	require.Equal(t, http.StatusNotFound, status)

	foreign := request(t, http.MethodPost, sb.ControlURL()+"/reset", "")
	foreign.Header.Set("Origin", "https://example.com")
	status, _ = send(t, client, foreign)
	require.Equal(t, http.StatusForbidden, status, "a web page must not act in the sandbox")
}

func TestControlSaysWhenNobodyIsThere(t *testing.T) {
	t.Parallel()
	sb, control, _ := start(t)
	sb.Close()
	_, err := control.Person(t.Context(), "ann@example.com")
	require.ErrorContains(t, err, "is it running?")
	require.NotContains(t, err.Error(), "ann")
}

// Every example of the index does what it says, on a sandbox where ann exists on both sides, waits for her double opt-in and was sent a message.
func TestTheIndexTellsTheTruth(t *testing.T) {
	t.Parallel()
	sb, _, client := start(t)
	status, index := send(t, client, request(t, http.MethodGet, sb.base+"/", ""))
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, index, sb.ShopifyURL(domain))
	for _, a := range sb.actions() {
		t.Run(fmt.Sprintf("%s %s", a.method, a.path), func(t *testing.T) {
			t.Parallel()
			own, _, client := start(t)
			store, err := own.List(7)
			require.NoError(t, err)
			require.NoError(t, store.Configure(func(c *list.Config) { c.DoubleOptIn = true }))
			require.NoError(t, store.Subscribe("ann@example.com", time.Time{}, ""))
			message, err := store.CreateMessage(list.NewMessage{Subject: "Winter"})
			require.NoError(t, err)
			require.NoError(t, store.Send(message, time.Time{}, "ann@example.com"))
			if !strings.HasSuffix(a.path, "/customers") {
				shopStore, err := own.Shop(domain)
				require.NoError(t, err)
				for email, phone := range map[string]string{"ann@example.com": "+14155552797", "bob@example.com": ""} {
					_, err = shopStore.CreateCustomer(shop.NewCustomer{Email: email, Phone: phone})
					require.NoError(t, err)
				}
			}
			path := strings.NewReplacer("{domain}", domain, "{list}", "7").Replace(a.path)
			require.Contains(t, index, "'"+sb.ControlURL()+path+"'")
			status, answer := send(t, client, request(t, a.method, own.ControlURL()+path, a.example))
			require.Equal(t, http.StatusOK, status, answer)
			require.True(t, json.Valid(bytes.TrimSpace([]byte(answer))), answer)
			require.Equal(t, strings.Contains(a.example, `"act":"open"`), store.MessageSummary(message).Opens == 1, "somebody has opened the message")
		})
	}
}
