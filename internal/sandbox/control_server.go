package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// action is one thing that the control API can do. The index at / is written from these, so it cannot fall behind.
type action struct {
	method, path string // path follows /control
	does         string
	example      string           // a body for curl; empty: none
	handler      http.HandlerFunc // nil: another example of the action before
}

// none is the body of a request or an answer that has nothing to say.
type none struct{}

func (sb *Sandbox) actions() []action {
	const person, phone = `{"email":"ann@example.com"}`, `{"phone":"+14155552797"}`
	return []action{
		{"GET", "", "show all addresses, shops and lists with their settings", "", handle(sb.overview)},
		{"GET", "/person?email=ann@example.com", "show what both sides know of an address", "", handle(sb.person)},
		{"POST", "/reset", "delete everybody on both sides, end all faults, begin new write logs", "", handle(sb.reset)},
		{"POST", "/expire-tokens", "make every token that Listrak gave out invalid", "", handle(sb.expireTokens)},

		{"POST", "/shops", "add a Shopify store",
			`{"domain":"b.myshopify.com","clientId":"id","clientSecret":"secret"}`, handle(sb.postShop)},
		{"PATCH", "/shops/{domain}", "change how far a store's search lags, or its switches",
			`{"searchLag":"30s","switches":{"takeOlderWrites":true}}`, handle(sb.patchShop)},
		{"POST", "/shops/{domain}/customers", "create a customer, by email, phone or both; without a state: never asked",
			`{"email":"ann@example.com","state":"SUBSCRIBED","phone":"+14155552797","smsState":"SUBSCRIBED"}`, handle(sb.createCustomer)},
		{"POST", "/shops/{domain}/subscribe", "the person subscribes (or subscribes again)", person,
			handle(sb.consent((*shop.Store).SetEmailConsent, shop.Subscribed))},
		{"POST", "/shops/{domain}/unsubscribe", "the person unsubscribes", `{"email":"ann@example.com","ago":"6m"}`,
			handle(sb.consent((*shop.Store).SetEmailConsent, shop.Unsubscribed))},
		{"POST", "/shops/{domain}/consent", "any other consent state, dated at a time",
			`{"email":"ann@example.com","state":"PENDING","at":"2026-11-22T14:03:07Z"}`,
			handle(sb.consent((*shop.Store).SetEmailConsent, ""))},
		{"POST", "/shops/{domain}/sms-subscribe",
			"the person subscribes to SMS (or subscribes again); who has both can be named by the email too", phone,
			handle(sb.consent((*shop.Store).SetSMSConsent, shop.Subscribed))},
		{"POST", "/shops/{domain}/sms-unsubscribe", "the person unsubscribes from SMS", `{"phone":"+14155552797","ago":"6m"}`,
			handle(sb.consent((*shop.Store).SetSMSConsent, shop.Unsubscribed))},
		{"POST", "/shops/{domain}/sms-consent", "any other consent state of SMS, dated at a time",
			`{"phone":"+14155552797","state":"REDACTED","at":"2026-11-22T14:03:07Z"}`, handle(sb.consent((*shop.Store).SetSMSConsent, ""))},
		{"POST", "/shops/{domain}/phone", "the person changes the phone number; an empty one takes it away",
			`{"email":"ann@example.com","to":"+16134505293"}`, handle(sb.changePhone)},
		{"POST", "/shops/{domain}/email", "the person changes the address", `{"email":"ann@example.com","to":"anna@example.com"}`,
			handle(sb.changeEmail)},
		{"POST", "/shops/{domain}/delete", "the merchant deletes the customer", person, handle(sb.deleteCustomer)},
		{"POST", "/shops/{domain}/merge", "the merchant merges two customers; shows the one that stays",
			`{"email":"ann@example.com","to":"bob@example.com"}`, handle(sb.mergeCustomers)},
		{"POST", "/shops/{domain}/orders", "the person places an order; emailTicked and smsTicked are the boxes of the checkout",
			`{"email":"ann@example.com","smsTicked":true,"ago":"1m"}`, handle(sb.placeOrder)},
		{"GET", "/shops/{domain}/customer?email=ann@example.com", "show a customer; by number: ?phone=%2B14155552797", "", handle(sb.customer)},
		{"GET", "/shops/{domain}/writes", "list what apps wrote through the API", "", handle(sb.shopWrites)},
		{"GET", "/shops/{domain}/faults", "count the failures handed out", "", handle(sb.shopStruck)},
		{"PUT", "/shops/{domain}/faults", "make calls fail; no rules: all is well again",
			`{"rules":[{"operation":"customerCreate","kind":"timeout_after","delay":"3s","times":1}]}`, handle(sb.putShopFaults)},
		{"GET", "/shops/{domain}/engagement?email=ann@example.com", "show what was told of messages and, of a customer, the metafields; by number: ?phone=%2B14155552797", "",
			handle(sb.showEngagement)},
		{"GET", "/shops/{domain}/webhooks", "show subscriptions and what became of the webhooks", "", handle(sb.showWebhooks)},
		{"POST", "/shops/{domain}/webhooks", "send a webhook of any topic", `{"topic":"bulk_operations/finish"}`, handle(sb.sendWebhook)},
		{"GET", "/shops/{domain}/webhook-faults", "count what befell webhooks", "", handle(sb.webhookStruck)},
		{"PUT", "/shops/{domain}/webhook-faults", "lose, duplicate, delay (latency) webhooks, or let the next overtake them (overtaken)",
			`{"seed":1,"rules":[{"kind":"lost","chance":0.1},{"operation":"customers/update","kind":"duplicated"},{"kind":"latency","delay":"2s"}]}`,
			handle(sb.putWebhookFaults)},
		{"POST", "/shops/{domain}/data-request", "the person asks for all that apps hold", person, handle(sb.askForData)},
		{"POST", "/shops/{domain}/redact", "the merchant asks apps to forget the person", person, handle(sb.askToRedact)},
		{"POST", "/shops/{domain}/rotate", "the app gets a new client secret; switches.oldSecretSigns lets the old one sign on",
			`{"secret":"new-secret"}`, handle(sb.rotateSecret)},
		{"POST", "/shops/{domain}/uninstall", "the merchant uninstalls the app", "", handle(sb.uninstall)},
		{"POST", "/shops/{domain}/install", "the merchant installs the app again", "", handle(sb.install)},

		{"POST", "/lists", "add a Listrak list",
			`{"id":2,"clientId":"id","secret":"secret","zone":"America/New_York","events":[{"id":1,"name":"Marketing"}]}`,
			handle(sb.postList)},
		{"PATCH", "/lists/{list}", "change a list's settings; those left out stay",
			`{"sameState":"answers_error","doubleOptIn":true}`, handle(sb.patchList)},
		{"POST", "/lists/{list}/subscribe", "the person subscribes (or subscribes again)", person, handle(sb.subscribe)},
		{"POST", "/lists/{list}/unsubscribe", "the person, or a machine, unsubscribes",
			`{"email":"ann@example.com","method":"Bounce","ago":"6m"}`, handle(sb.unsubscribe)},
		{"POST", "/lists/{list}/confirm", "the person confirms a double opt-in", person, handle(sb.confirm)},
		{"POST", "/lists/{list}/delete", "delete the contact", person, handle(sb.deleteContact)},
		{"POST", "/lists/{list}/refuse", "Listrak refuses the address: banned, suppressed, invalid or, empty, no longer",
			`{"email":"ann@example.com","refusal":"banned"}`, handle(sb.refuse)},
		{"POST", "/lists/{list}/messages", "send a message to people, some made up who open and click it within a time; shows its id",
			`{"subject":"Spring","to":["ann@example.com"],"recipients":1000,"openPercent":30,"clickPercent":5,"within":"10m"}`, handle(sb.sendMessage)},
		{"POST", "/lists/{list}/messages", "a recipient acts on the message of that id: open, read, click, bounce, unsubscribe or abuse",
			`{"id":1,"email":"ann@example.com","act":"open"}`, nil},
		{"GET", "/lists/{list}/contact?email=ann@example.com", "show a contact with the events raised for it", "", handle(sb.contact)},
		{"GET", "/lists/{list}/writes", "list what was written through the API", "", handle(sb.listWrites)},
		{"GET", "/lists/{list}/faults", "count the failures handed out", "", handle(sb.listStruck)},
		{"PUT", "/lists/{list}/faults", "make calls fail; no rules: all is well again",
			`{"rules":[{"operation":"POST Contact","kind":"error_after","times":1}]}`, handle(sb.putListFaults)},
	}
}

func (sb *Sandbox) control() http.Handler {
	mux := http.NewServeMux()
	for _, a := range append(sb.actions(), sb.smsActions()...) {
		if a.handler == nil {
			continue
		}
		path, _, _ := strings.Cut(a.path, "?")
		mux.Handle(a.method+" /control"+path, a.handler)
	}
	return mux
}

// serveIndex tells, in plain text, what can be done and how.
func (sb *Sandbox) serveIndex(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	domain, id, code, phoneList := "example.myshopify.com", "1", "1", "1"
	var page strings.Builder
	fmt.Fprintf(&page, "Shopify and Listrak on this machine, for Concord. Nothing here reaches a real person.\n\n"+
		"Listrak's Email API   %s\nListrak's SMS API     %s\nListrak's tokens      %s\n", sb.ListrakURL(), sb.ListrakSMSURL(), sb.ListrakAuthURL())
	for n, front := range sb.fronts() {
		if n == 0 {
			domain = front.config.Domain
		}
		fmt.Fprintf(&page, "Shopify store         %s\n", sb.ShopifyURL(front.config.Domain))
	}
	for n, store := range sb.listrak.Lists() {
		config := store.Config()
		if n == 0 {
			id = strconv.Itoa(config.ID)
		}
		fmt.Fprintf(&page, "Listrak list          %d (%s)\n", config.ID, config.Name)
	}
	for n, sender := range sb.listrak.SenderCodes() {
		config := sender.Config()
		fmt.Fprintf(&page, "Listrak sender code   %d (%s)\n", config.ID, config.Name)
		for m, phones := range config.Lists {
			if n == 0 && m == 0 {
				code, phoneList = strconv.Itoa(config.ID), strconv.Itoa(phones.ID)
			}
			fmt.Fprintf(&page, "  phone list          %d (%s)\n", phones.ID, phones.Name)
		}
	}
	fmt.Fprintf(&page, "\nFault kinds: %s.\nOf webhooks: %s.\nShopify operations are root fields (customers, customerCreate, …) and token; Listrak's are "+
		"token, GET Lists, GET List, GET Contacts, GET Contact, POST Contact, GET Events, GET Messages, GET Conversations, "+
		"GET Transactional, GET Summary and GET Activity, and of SMS token, GET SenderCodes, GET PhoneLists, "+
		"GET Contacts, GET Contact, GET Subscriptions, GET OptOuts, POST Contact, POST Subscription, DELETE Subscription and PUT Contact; "+
		"none means every call.\n"+
		"Dates: \"at\" (RFC 3339) or \"ago\" (6m, 1h30m); without either, now.\n\n"+
		"The control API takes and gives JSON:\n\n", joinKinds(faultKinds), joinKinds(webhookFaultKinds))
	names := strings.NewReplacer("{domain}", domain, "{list}", id, "{code}", code, "{phonelist}", phoneList)
	for _, a := range append(sb.actions(), sb.smsActions()...) {
		target := "'" + sb.ControlURL() + names.Replace(a.path) + "'"
		switch {
		case a.method == http.MethodGet:
			fmt.Fprintf(&page, "# %s\ncurl %s\n", a.does, target)
		case a.example == "":
			fmt.Fprintf(&page, "# %s\ncurl -X %s %s\n", a.does, a.method, target)
		default:
			fmt.Fprintf(&page, "# %s\ncurl -X %s %s -d '%s'\n", a.does, a.method, target, a.example)
		}
	}
	// A reader that is gone is no concern of ours.
	_, _ = io.WriteString(w, page.String())
}

func joinKinds(kinds []fault.Kind) string {
	names := make([]string, len(kinds))
	for n, kind := range kinds {
		names[n] = string(kind)
	}
	return strings.Join(names, ", ")
}

// controlError is how the control API says no.
type controlError struct {
	Error string `json:"error"`
	// Code says which of refusals it was; empty for any other bad request.
	Code string `json:"code,omitempty"`
}

var errBadRequest = errors.New("bad request")

type refusal struct {
	err    error
	code   string
	status int
}

// refusals are the errors that keep their identity over HTTP: a Control's caller asks for them with errors.Is.
var refusals = []refusal{
	{ErrNoShop, "no_shop", http.StatusNotFound},
	{ErrNoList, "no_list", http.StatusNotFound},
	{ErrNoSenderCode, "no_sender_code", http.StatusNotFound},
	{list.ErrNoPhoneList, "no_phone_list", http.StatusNotFound},
	{list.ErrNoContact, "no_contact", http.StatusNotFound},
	{shop.ErrNoCustomer, "no_customer", http.StatusNotFound},
	{ErrExists, "exists", http.StatusConflict},
	{shop.ErrEmailTaken, "email_taken", http.StatusConflict},
	{shop.ErrPhoneTaken, "phone_taken", http.StatusConflict},
}

// maxControlBody is far more than any act needs.
const maxControlBody = 1 << 20

// handle decodes the body, which may be empty, acts, and encodes the outcome. Fields that nobody knows are refused: a misspelt
// setting must not pass for a setting.
func handle[In, Out any](act func(*http.Request, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		err := decode(w, r, &in)
		var out Out
		if err == nil {
			out, err = act(r, in)
		}
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		if err != nil {
			status, refusal := refusalOf(err)
			w.WriteHeader(status)
			// A reader that is gone is no concern of ours, here and below.
			_ = encoder.Encode(refusal)
			return
		}
		_ = encoder.Encode(out)
	}
}

func decode(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody))
	decoder.DisallowUnknownFields()
	switch err := decoder.Decode(into); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("%w: read the body: %w", errBadRequest, err)
	case decoder.More():
		return fmt.Errorf("%w: the body holds more than one JSON value", errBadRequest)
	}
	return nil
}

func refusalOf(err error) (status int, answer controlError) {
	answer.Error = err.Error()
	for _, refusal := range refusals {
		if errors.Is(err, refusal.err) {
			answer.Code = refusal.code
			return refusal.status, answer
		}
	}
	return http.StatusBadRequest, answer
}

func (sb *Sandbox) overview(*http.Request, none) (Overview, error) {
	overview := Overview{ListrakURL: sb.ListrakURL(), ListrakAuthURL: sb.ListrakAuthURL(), ListrakSMSURL: sb.ListrakSMSURL(),
		ControlURL: sb.ControlURL(), Shops: []ShopView{}, Lists: []ListView{}, SenderCodes: []SenderCodeView{}}
	for _, front := range sb.fronts() {
		overview.Shops = append(overview.Shops, sb.shopView(front))
	}
	for _, store := range sb.listrak.Lists() {
		overview.Lists = append(overview.Lists, listView(store))
	}
	for _, code := range sb.listrak.SenderCodes() {
		overview.SenderCodes = append(overview.SenderCodes, senderCodeView(code))
	}
	return overview, nil
}

func (sb *Sandbox) shopView(front *shopfront) ShopView {
	return ShopView{ShopSettings: shopSettings(front.config, front.store), URL: sb.ShopifyURL(front.config.Domain),
		Customers: len(front.store.Customers())}
}

func listView(store *list.Store) ListView {
	return ListView{ListSettings: listSettings(store.Config()), Contacts: store.Len()}
}

func (sb *Sandbox) person(r *http.Request, _ none) (Person, error) {
	email := r.URL.Query().Get("email")
	person := Person{Shops: map[string]Customer{}, Lists: map[int]list.Contact{}}
	for _, front := range sb.fronts() {
		if customer, known := front.store.Customer(email); known {
			person.Shops[front.config.Domain] = customerView(customer)
		}
	}
	for _, store := range sb.listrak.Lists() {
		if contact, known := store.Contact(email); known {
			person.Lists[store.Config().ID] = contact
		}
	}
	return person, nil
}

func (sb *Sandbox) reset(*http.Request, none) (none, error) {
	sb.Reset()
	return none{}, nil
}

func (sb *Sandbox) expireTokens(*http.Request, none) (none, error) {
	sb.ExpireListrakTokens()
	return none{}, nil
}

func (sb *Sandbox) postShop(_ *http.Request, settings ShopSettings) (ShopView, error) {
	if _, err := sb.addShop(settings.config()); err != nil {
		return ShopView{}, err
	}
	front, err := sb.front(settings.Domain)
	if err != nil {
		return ShopView{}, err
	}
	return sb.shopView(front), nil
}

// patchShop decodes over the present switches, so that those left out stay.
func (sb *Sandbox) patchShop(r *http.Request, patch struct {
	SearchLag *Duration       `json:"searchLag"`
	Switches  json.RawMessage `json:"switches"`
}) (ShopView, error) {
	front, err := sb.front(r.PathValue("domain"))
	if err != nil {
		return ShopView{}, err
	}
	switches := front.store.Switches()
	if err := overlay(patch.Switches, &switches); err != nil {
		return ShopView{}, err
	}
	if patch.SearchLag != nil {
		if *patch.SearchLag < 0 {
			return ShopView{}, fmt.Errorf("%w: searchLag must not be negative", errBadRequest)
		}
		front.store.SetSearchLag(time.Duration(*patch.SearchLag))
	}
	front.store.SetSwitches(switches)
	return sb.shopView(front), nil
}

func overlay(patch json.RawMessage, onto any) error {
	if len(patch) == 0 {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(string(patch)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(onto); err != nil {
		return fmt.Errorf("%w: read the settings: %w", errBadRequest, err)
	}
	return nil
}

func (sb *Sandbox) createCustomer(r *http.Request, act CustomerAct) (Customer, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return Customer{}, err
	}
	at, err := act.on(sb.now())
	if err != nil {
		return Customer{}, err
	}
	// Only the consent is dated back: a customer whose updatedAt lay in the past would be missed by every poll, which cannot happen
	// at Shopify.
	id, err := store.CreateCustomer(shop.NewCustomer{Email: act.Email, Consent: shop.Consent{State: act.State, UpdatedAt: at},
		Phone: act.Phone, SMSConsent: shop.Consent{State: act.SMSState, UpdatedAt: at}})
	if err != nil {
		return Customer{}, fmt.Errorf("create customer: %w", err)
	}
	customer, known := store.CustomerByID(id)
	if !known {
		return Customer{}, fmt.Errorf("create customer: %w: deleted at once", shop.ErrNoCustomer)
	}
	return customerView(customer), nil
}

// find returns the store that a path names and its customer of an address or, without one, of a phone number.
func (sb *Sandbox) find(r *http.Request, email, phone string) (*shop.Store, shop.Customer, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return nil, shop.Customer{}, err
	}
	customer, known := store.Customer(email)
	if email == "" {
		customer, known = store.CustomerByPhone(phone)
	}
	if !known {
		return nil, shop.Customer{}, fmt.Errorf("find customer: %w; create one with POST …/customers", shop.ErrNoCustomer)
	}
	return store, customer, nil
}

// consent sets a state of a channel, or the one that the act names when state is empty.
func (sb *Sandbox) consent(set func(*shop.Store, shop.CustomerID, shop.State, time.Time) error,
	state shop.State) func(*http.Request, CustomerAct) (Customer, error) {
	return func(r *http.Request, act CustomerAct) (Customer, error) {
		store, customer, err := sb.find(r, act.Email, act.Phone)
		if err != nil {
			return Customer{}, err
		}
		at, err := act.on(sb.now())
		if err != nil {
			return Customer{}, err
		}
		wanted := act.State
		if state != "" {
			wanted = state
		}
		if err := set(store, customer.ID, wanted, at); err != nil {
			return Customer{}, fmt.Errorf("set consent: %w", err)
		}
		customer, _ = store.CustomerByID(customer.ID)
		return customerView(customer), nil
	}
}

func (sb *Sandbox) changeEmail(r *http.Request, act CustomerAct) (Customer, error) {
	store, customer, err := sb.find(r, act.Email, act.Phone)
	if err != nil {
		return Customer{}, err
	}
	if err := store.ChangeEmail(customer.ID, act.To); err != nil {
		return Customer{}, fmt.Errorf("change email: %w", err)
	}
	customer, _ = store.CustomerByID(customer.ID)
	return customerView(customer), nil
}

func (sb *Sandbox) changePhone(r *http.Request, act CustomerAct) (Customer, error) {
	store, customer, err := sb.find(r, act.Email, act.Phone)
	if err != nil {
		return Customer{}, err
	}
	if err := store.ChangePhone(customer.ID, act.To); err != nil {
		return Customer{}, fmt.Errorf("change phone: %w", err)
	}
	customer, _ = store.CustomerByID(customer.ID)
	return customerView(customer), nil
}

func (sb *Sandbox) deleteCustomer(r *http.Request, act CustomerAct) (none, error) {
	store, customer, err := sb.find(r, act.Email, act.Phone)
	if err != nil {
		return none{}, err
	}
	return none{}, store.DeleteCustomer(customer.ID)
}

func (sb *Sandbox) placeOrder(r *http.Request, act OrderAct) (OrderPlaced, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return OrderPlaced{}, err
	}
	at, err := act.on(sb.now())
	if err != nil {
		return OrderPlaced{}, err
	}
	order := shop.Order{Email: act.Email, Phone: act.Phone, CreatedAt: at, SourceName: act.SourceName, Test: act.Test}
	id, err := store.CheckOut(order, shop.Ticked{Email: act.EmailTicked, SMS: act.SMSTicked})
	return OrderPlaced{id}, err
}

func (sb *Sandbox) customer(r *http.Request, _ none) (Customer, error) {
	_, customer, err := sb.find(r, r.URL.Query().Get("email"), r.URL.Query().Get("phone"))
	return customerView(customer), err
}

func (sb *Sandbox) shopWrites(r *http.Request, _ none) ([]ShopWrite, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	sb.mu.RLock()
	forgotten := sb.forgotten["shop "+store.Domain()]
	sb.mu.RUnlock()
	writes := []ShopWrite{}
	for _, w := range store.Writes()[forgotten:] {
		writes = append(writes, ShopWrite{At: w.At, Operation: w.Operation, Customer: w.Customer, Email: w.Email, Phone: w.Phone, State: w.State,
			Date: w.Date, Effective: w.Effective})
	}
	return writes, nil
}

func (sb *Sandbox) shopStruck(r *http.Request, _ none) (Struck, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	return store.Faults.Struck(), nil
}

func (sb *Sandbox) putShopFaults(r *http.Request, faults Faults) (none, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return none{}, err
	}
	return none{}, set(&store.Faults, faults, faultKinds)
}

func set(injector *fault.Injector, faults Faults, kinds []fault.Kind) error {
	rules := make([]fault.Rule, len(faults.Rules))
	for n, rule := range faults.Rules {
		if !slices.Contains(kinds, rule.Kind) {
			return fmt.Errorf("%w: unknown fault kind %q: take one of %s", errBadRequest, rule.Kind, joinKinds(kinds))
		}
		if rule.Delay < 0 || rule.Times < 0 || rule.Chance < 0 || rule.Chance > 1 {
			return fmt.Errorf("%w: delay and times must not be negative, and chance lies between 0 and 1", errBadRequest)
		}
		rules[n] = fault.Rule{Operation: rule.Operation, Kind: rule.Kind, Delay: time.Duration(rule.Delay), Times: rule.Times,
			Chance: rule.Chance}
	}
	injector.Set(faults.Seed, rules...)
	return nil
}

// addressed is the list that a path names.
func (sb *Sandbox) addressed(r *http.Request) (*list.Store, error) {
	id, err := strconv.Atoi(r.PathValue("list"))
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrNoList, r.PathValue("list"))
	}
	return sb.List(id)
}

func (sb *Sandbox) postList(_ *http.Request, settings ListSettings) (ListView, error) {
	var config list.Config
	if err := settings.apply(&config); err != nil {
		return ListView{}, err
	}
	store, err := sb.addList(config)
	if err != nil {
		return ListView{}, err
	}
	return listView(store), nil
}

func (sb *Sandbox) patchList(r *http.Request, patch json.RawMessage) (ListView, error) {
	store, err := sb.addressed(r)
	if err != nil {
		return ListView{}, err
	}
	var bad error
	err = store.Configure(func(c *list.Config) {
		settings := listSettings(*c)
		// JSON decodes an array into the elements that are there, which would mix a new event with an old one's name.
		settings.Events, settings.NoAccess = nil, nil
		if bad = overlay(patch, &settings); bad != nil {
			return
		}
		if settings.Events == nil {
			settings.Events = c.Events
		}
		if settings.NoAccess == nil {
			settings.NoAccess = c.NoAccess
		}
		bad = settings.apply(c)
	})
	if err := errors.Join(bad, err); err != nil {
		return ListView{}, err
	}
	return listView(store), nil
}

// acting does a person's act on a list and shows the contact as the act leaves it.
func (sb *Sandbox) acting(r *http.Request, act ContactAct, do func(*list.Store, time.Time) error) (list.Contact, error) {
	store, err := sb.addressed(r)
	if err != nil {
		return list.Contact{}, err
	}
	at, err := act.on(sb.now())
	if err != nil {
		return list.Contact{}, err
	}
	if err := do(store, at); err != nil {
		return list.Contact{}, err
	}
	contact, _ := store.Contact(act.Email)
	return contact, nil
}

func (sb *Sandbox) subscribe(r *http.Request, act ContactAct) (list.Contact, error) {
	return sb.acting(r, act, func(s *list.Store, at time.Time) error { return s.Subscribe(act.Email, at, act.Method) })
}

func (sb *Sandbox) unsubscribe(r *http.Request, act ContactAct) (list.Contact, error) {
	return sb.acting(r, act, func(s *list.Store, at time.Time) error { return s.Unsubscribe(act.Email, at, act.Method) })
}

func (sb *Sandbox) confirm(r *http.Request, act ContactAct) (list.Contact, error) {
	return sb.acting(r, act, func(s *list.Store, _ time.Time) error { return s.Confirm(act.Email) })
}

func (sb *Sandbox) deleteContact(r *http.Request, act ContactAct) (none, error) {
	_, err := sb.acting(r, act, func(s *list.Store, _ time.Time) error { return s.Delete(act.Email) })
	return none{}, err
}

func (sb *Sandbox) refuse(r *http.Request, act ContactAct) (none, error) {
	_, err := sb.acting(r, act, func(s *list.Store, _ time.Time) error { return s.Refuse(act.Email, act.Refusal) })
	return none{}, err
}

func (sb *Sandbox) contact(r *http.Request, _ none) (list.Contact, error) {
	store, err := sb.addressed(r)
	if err != nil {
		return list.Contact{}, err
	}
	contact, known := store.Contact(r.URL.Query().Get("email"))
	if !known {
		return list.Contact{}, list.ErrNoContact
	}
	return contact, nil
}

func (sb *Sandbox) listWrites(r *http.Request, _ none) ([]list.Write, error) {
	store, err := sb.addressed(r)
	if err != nil {
		return nil, err
	}
	return append([]list.Write{}, store.Writes()...), nil
}

func (sb *Sandbox) listStruck(r *http.Request, _ none) (Struck, error) {
	store, err := sb.addressed(r)
	if err != nil {
		return nil, err
	}
	return store.Faults.Struck(), nil
}

func (sb *Sandbox) putListFaults(r *http.Request, faults Faults) (none, error) {
	store, err := sb.addressed(r)
	if err != nil {
		return none{}, err
	}
	return none{}, set(&store.Faults, faults, faultKinds)
}
