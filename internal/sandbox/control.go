package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// Control acts in a running sandbox, in this process or another, through its control API. The API is JSON over HTTP, on a loopback
// address only; GET / of the sandbox lists it with curl examples. Paths follow the control address (http://127.0.0.1:…/control):
//
//	GET   ""                            Overview
//	GET   /person?email=                Person
//	POST  /reset, /expire-tokens
//	POST  /shops                        ShopSettings → ShopView
//	PATCH /shops/{domain}               {"searchLag":"30s","switches":{…}} → ShopView
//	POST  /shops/{domain}/customers, /subscribe, /unsubscribe, /consent, /email   CustomerAct → Customer
//	POST  /shops/{domain}/sms-subscribe, /sms-unsubscribe, /sms-consent, /phone   CustomerAct → Customer
//	POST  /shops/{domain}/delete        CustomerAct
//	POST  /shops/{domain}/orders        OrderAct → OrderPlaced
//	GET   /shops/{domain}/customer?email= or ?phone=, /writes, /faults            Customer, []ShopWrite, Struck
//	PUT   /shops/{domain}/faults        Faults
//	POST  /shops/{domain}/merge         CustomerAct → Customer
//	GET   /shops/{domain}/webhooks, /webhook-faults                               WebhooksView, Struck
//	POST  /shops/{domain}/webhooks      WebhookAct
//	PUT   /shops/{domain}/webhook-faults                                          Faults
//	POST  /shops/{domain}/data-request, /redact                                   CustomerAct
//	POST  /shops/{domain}/rotate        Rotation
//	POST  /shops/{domain}/uninstall, /install
//	POST  /lists                        ListSettings → ListView
//	PATCH /lists/{list}                 any of ListSettings → ListView
//	POST  /lists/{list}/subscribe, /unsubscribe, /confirm                         ContactAct → list.Contact
//	POST  /lists/{list}/delete, /refuse                                           ContactAct
//	GET   /lists/{list}/contact?email=, /writes, /faults                          list.Contact, []list.Write, Struck
//	PUT   /lists/{list}/faults          Faults
//	POST  /sender-codes                 SenderCodeSettings → SenderCodeView
//	PATCH /sender-codes/{code}          any of SenderCodeSettings → SenderCodeView
//	GET   /sender-codes/{code}/writes, /faults                                    []list.PhoneWrite, Struck
//	PUT   /sender-codes/{code}/faults   Faults
//	POST  /sms/{list}/subscribe, /unsubscribe, /confirm, /stop, /start, /opt-out  PhoneAct → list.Phone
//	POST  /sms/{list}/import            PhoneAct → Imported
//	POST  /sms/{list}/delete, /refuse                                             PhoneAct
//	GET   /sms/{list}/contact?phone=    list.Phone
//	POST  /lists/{list}/messages        MessageAct → MessageView
//	GET   /shops/{domain}/engagement?email= or ?phone=                            EngagementView
//
// Refusals are {"error":"…"}: 404 for what does not exist, 409 for what exists already, 400 for the rest; Control returns them as
// *ControlError.
type Control struct {
	base string
	http *http.Client
}

// NewControl returns a client of the control API at controlURL (Sandbox.ControlURL). A nil client means http.DefaultClient.
func NewControl(controlURL string, client *http.Client) *Control {
	if client == nil {
		client = http.DefaultClient
	}
	return &Control{base: strings.TrimRight(controlURL, "/"), http: client}
}

// ControlError is the control API saying no.
type ControlError struct {
	Status  int // HTTP status
	Message string
	code    string
}

// Error returns the message with what to make of it.
func (e *ControlError) Error() string {
	return fmt.Sprintf("the sandbox refused (HTTP %d): %s", e.Status, e.Message)
}

// Is lets errors.Is find the sandbox's own error behind the answer: ErrNoShop, ErrNoList, ErrNoSenderCode, ErrExists,
// list.ErrNoPhoneList, list.ErrNoContact, shop.ErrNoCustomer, shop.ErrEmailTaken or shop.ErrPhoneTaken.
func (e *ControlError) Is(target error) bool {
	return slices.ContainsFunc(refusals, func(r refusal) bool { return r.err == target && r.code == e.code })
}

func call[Out any](ctx context.Context, c *Control, method, path string, in any) (out Out, err error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return out, fmt.Errorf("act in the sandbox: %w", err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return out, fmt.Errorf("act in the sandbox: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		// The error of net/http quotes the address, which may hold a person's.
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return out, fmt.Errorf("reach the sandbox at %s: %w; is it running?", c.base, err)
	}
	defer func() { _ = response.Body.Close() }() // it was read, or the answer is worthless anyway
	if response.StatusCode != http.StatusOK {
		refusal := controlError{Error: http.StatusText(response.StatusCode)}
		// An answer that is not ours keeps the status text.
		_ = json.NewDecoder(io.LimitReader(response.Body, maxControlBody)).Decode(&refusal)
		return out, &ControlError{Status: response.StatusCode, Message: refusal.Error, code: refusal.Code}
	}
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("read the sandbox's answer: %w", err)
	}
	return out, nil
}

func shopPath(domain, rest string) string { return "/shops/" + url.PathEscape(domain) + rest }

func listPath(id int, rest string) string { return "/lists/" + strconv.Itoa(id) + rest }

func emailQuery(email string) string { return "?" + url.Values{"email": {email}}.Encode() }

// Overview shows all addresses, shops and lists with their settings.
func (c *Control) Overview(ctx context.Context) (Overview, error) {
	return call[Overview](ctx, c, http.MethodGet, "", nil)
}

// Person shows what both sides know of an address.
func (c *Control) Person(ctx context.Context, email string) (Person, error) {
	return call[Person](ctx, c, http.MethodGet, "/person"+emailQuery(email), nil)
}

// Reset deletes everybody on both sides, ends all faults and begins new write logs.
func (c *Control) Reset(ctx context.Context) error {
	_, err := call[none](ctx, c, http.MethodPost, "/reset", nil)
	return err
}

// ExpireListrakTokens makes every token that Listrak gave out invalid.
func (c *Control) ExpireListrakTokens(ctx context.Context) error {
	_, err := call[none](ctx, c, http.MethodPost, "/expire-tokens", nil)
	return err
}

// AddShop adds an empty Shopify store.
func (c *Control) AddShop(ctx context.Context, settings ShopSettings) (ShopView, error) {
	return call[ShopView](ctx, c, http.MethodPost, "/shops", settings)
}

// SetShopSwitches replaces a store's switches.
func (c *Control) SetShopSwitches(ctx context.Context, domain string, switches shop.Switches) (ShopView, error) {
	return call[ShopView](ctx, c, http.MethodPatch, shopPath(domain, ""), struct {
		Switches shop.Switches `json:"switches"`
	}{switches})
}

// SetSearchLag changes how long a store's search does not see what changes from now on.
func (c *Control) SetSearchLag(ctx context.Context, domain string, lag time.Duration) (ShopView, error) {
	return call[ShopView](ctx, c, http.MethodPatch, shopPath(domain, ""), struct {
		SearchLag Duration `json:"searchLag"`
	}{Duration(lag)})
}

// CreateCustomer creates a Shopify customer, with act.State as consent to email and act.SMSState as that to SMS or, without one, never
// asked.
func (c *Control) CreateCustomer(ctx context.Context, domain string, act CustomerAct) (Customer, error) {
	return call[Customer](ctx, c, http.MethodPost, shopPath(domain, "/customers"), act)
}

// SetConsent is the person deciding in Shopify about email: act.State, dated act.At.
func (c *Control) SetConsent(ctx context.Context, domain string, act CustomerAct) (Customer, error) {
	return call[Customer](ctx, c, http.MethodPost, shopPath(domain, "/consent"), act)
}

// SetSMSConsent is the person deciding in Shopify about SMS: act.State, dated act.At.
func (c *Control) SetSMSConsent(ctx context.Context, domain string, act CustomerAct) (Customer, error) {
	return call[Customer](ctx, c, http.MethodPost, shopPath(domain, "/sms-consent"), act)
}

// ChangePhone is a customer changing the phone number to act.To.
func (c *Control) ChangePhone(ctx context.Context, domain string, act CustomerAct) (Customer, error) {
	return call[Customer](ctx, c, http.MethodPost, shopPath(domain, "/phone"), act)
}

// ChangeEmail is a customer changing the address from act.Email to act.To.
func (c *Control) ChangeEmail(ctx context.Context, domain string, act CustomerAct) (Customer, error) {
	return call[Customer](ctx, c, http.MethodPost, shopPath(domain, "/email"), act)
}

// DeleteCustomer is the merchant deleting a customer.
func (c *Control) DeleteCustomer(ctx context.Context, domain, email string) error {
	_, err := call[none](ctx, c, http.MethodPost, shopPath(domain, "/delete"), CustomerAct{Email: email})
	return err
}

// PlaceOrder is a person ordering, and ticking boxes; the order belongs to the customer of that address or else that number, if there is
// one.
func (c *Control) PlaceOrder(ctx context.Context, domain string, act OrderAct) (shop.OrderID, error) {
	placed, err := call[OrderPlaced](ctx, c, http.MethodPost, shopPath(domain, "/orders"), act)
	return placed.ID, err
}

// Customer shows a Shopify customer; false when there is none of that address.
func (c *Control) Customer(ctx context.Context, domain, email string) (Customer, bool, error) {
	return c.customer(ctx, domain, emailQuery(email))
}

// CustomerByPhone shows a Shopify customer; false when there is none of that number, in E.164.
func (c *Control) CustomerByPhone(ctx context.Context, domain, phone string) (Customer, bool, error) {
	return c.customer(ctx, domain, "?"+url.Values{"phone": {phone}}.Encode())
}

func (c *Control) customer(ctx context.Context, domain, query string) (Customer, bool, error) {
	customer, err := call[Customer](ctx, c, http.MethodGet, shopPath(domain, "/customer")+query, nil)
	if errors.Is(err, shop.ErrNoCustomer) {
		return Customer{}, false, nil
	}
	return customer, err == nil, err
}

// ShopWrites lists what apps wrote through a store's API since the last Reset.
func (c *Control) ShopWrites(ctx context.Context, domain string) ([]ShopWrite, error) {
	return call[[]ShopWrite](ctx, c, http.MethodGet, shopPath(domain, "/writes"), nil)
}

// SetShopFaults makes a store's calls fail; without rules all is well again.
func (c *Control) SetShopFaults(ctx context.Context, domain string, faults Faults) error {
	_, err := call[none](ctx, c, http.MethodPut, shopPath(domain, "/faults"), faults)
	return err
}

// ShopStruck counts the failures that a store handed out.
func (c *Control) ShopStruck(ctx context.Context, domain string) (Struck, error) {
	return call[Struck](ctx, c, http.MethodGet, shopPath(domain, "/faults"), nil)
}

// MergeCustomers is the merchant merging two customers; the one that stays is returned.
func (c *Control) MergeCustomers(ctx context.Context, domain, one, two string) (Customer, error) {
	return call[Customer](ctx, c, http.MethodPost, shopPath(domain, "/merge"), CustomerAct{Email: one, To: two})
}

// Webhooks shows a store's subscriptions and what became of its webhooks.
func (c *Control) Webhooks(ctx context.Context, domain string) (WebhooksView, error) {
	return call[WebhooksView](ctx, c, http.MethodGet, shopPath(domain, "/webhooks"), nil)
}

// SendWebhook sends a webhook of any topic.
func (c *Control) SendWebhook(ctx context.Context, domain string, act WebhookAct) error {
	_, err := call[none](ctx, c, http.MethodPost, shopPath(domain, "/webhooks"), act)
	return err
}

// SetWebhookFaults lets webhooks be lost, doubled, late or overtaken; without rules all is well again.
func (c *Control) SetWebhookFaults(ctx context.Context, domain string, faults Faults) error {
	_, err := call[none](ctx, c, http.MethodPut, shopPath(domain, "/webhook-faults"), faults)
	return err
}

// WebhookStruck counts what befell a store's webhooks.
func (c *Control) WebhookStruck(ctx context.Context, domain string) (Struck, error) {
	return call[Struck](ctx, c, http.MethodGet, shopPath(domain, "/webhook-faults"), nil)
}

// AskForData is the customer asking for all that apps hold: customers/data_request.
func (c *Control) AskForData(ctx context.Context, domain, email string) error {
	_, err := call[none](ctx, c, http.MethodPost, shopPath(domain, "/data-request"), CustomerAct{Email: email})
	return err
}

// AskToRedact is the merchant asking apps to forget the customer: customers/redact.
func (c *Control) AskToRedact(ctx context.Context, domain, email string) error {
	_, err := call[none](ctx, c, http.MethodPost, shopPath(domain, "/redact"), CustomerAct{Email: email})
	return err
}

// RotateSecret gives a store's app a new client secret.
func (c *Control) RotateSecret(ctx context.Context, domain, secret string) error {
	_, err := call[none](ctx, c, http.MethodPost, shopPath(domain, "/rotate"), Rotation{secret})
	return err
}

// Uninstall is the merchant uninstalling the app, and Install installing it again.
func (c *Control) Uninstall(ctx context.Context, domain string) error {
	_, err := call[none](ctx, c, http.MethodPost, shopPath(domain, "/uninstall"), nil)
	return err
}

// Install is described with Uninstall.
func (c *Control) Install(ctx context.Context, domain string) error {
	_, err := call[none](ctx, c, http.MethodPost, shopPath(domain, "/install"), nil)
	return err
}

// AddList adds an empty Listrak list.
func (c *Control) AddList(ctx context.Context, settings ListSettings) (ListView, error) {
	return call[ListView](ctx, c, http.MethodPost, "/lists", settings)
}

// ConfigureList replaces a list's settings; its id stays.
func (c *Control) ConfigureList(ctx context.Context, settings ListSettings) (ListView, error) {
	return call[ListView](ctx, c, http.MethodPatch, listPath(settings.ID, ""), settings)
}

// Subscribe is the person subscribing at Listrak, without our doing.
func (c *Control) Subscribe(ctx context.Context, id int, act ContactAct) (list.Contact, error) {
	return call[list.Contact](ctx, c, http.MethodPost, listPath(id, "/subscribe"), act)
}

// Unsubscribe is the person, or a machine of Listrak, ending the subscription.
func (c *Control) Unsubscribe(ctx context.Context, id int, act ContactAct) (list.Contact, error) {
	return call[list.Contact](ctx, c, http.MethodPost, listPath(id, "/unsubscribe"), act)
}

// Confirm is the person confirming a double opt-in.
func (c *Control) Confirm(ctx context.Context, id int, email string) (list.Contact, error) {
	return call[list.Contact](ctx, c, http.MethodPost, listPath(id, "/confirm"), ContactAct{Email: email})
}

// DeleteContact removes a contact from a list.
func (c *Control) DeleteContact(ctx context.Context, id int, email string) error {
	_, err := call[none](ctx, c, http.MethodPost, listPath(id, "/delete"), ContactAct{Email: email})
	return err
}

// Refuse makes Listrak refuse an address from now on; list.NotRefused lifts that.
func (c *Control) Refuse(ctx context.Context, id int, email string, why list.Refusal) error {
	_, err := call[none](ctx, c, http.MethodPost, listPath(id, "/refuse"), ContactAct{Email: email, Refusal: why})
	return err
}

// Contact shows a Listrak contact; false when there is none of that address.
func (c *Control) Contact(ctx context.Context, id int, email string) (list.Contact, bool, error) {
	contact, err := call[list.Contact](ctx, c, http.MethodGet, listPath(id, "/contact")+emailQuery(email), nil)
	if errors.Is(err, list.ErrNoContact) {
		return list.Contact{}, false, nil
	}
	return contact, err == nil, err
}

// ListWrites lists what was written through a list's API since the last Reset.
func (c *Control) ListWrites(ctx context.Context, id int) ([]list.Write, error) {
	return call[[]list.Write](ctx, c, http.MethodGet, listPath(id, "/writes"), nil)
}

// SetListFaults makes a list's calls fail; without rules all is well again.
func (c *Control) SetListFaults(ctx context.Context, id int, faults Faults) error {
	_, err := call[none](ctx, c, http.MethodPut, listPath(id, "/faults"), faults)
	return err
}

// ListStruck counts the failures that a list handed out.
func (c *Control) ListStruck(ctx context.Context, id int) (Struck, error) {
	return call[Struck](ctx, c, http.MethodGet, listPath(id, "/faults"), nil)
}
