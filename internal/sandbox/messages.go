package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// Duration is a time.Duration that reads and writes as Go does: "1m30s".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// When dates an act: at a time, or so long ago, by the sandbox's clock. Without either it is now.
type When struct {
	At  time.Time `json:"at,omitzero"`
	Ago Duration  `json:"ago,omitzero"`
}

// on is the time meant; the zero time means now.
func (w When) on(now time.Time) (time.Time, error) {
	switch {
	case w.At.IsZero() && w.Ago == 0:
		return time.Time{}, nil
	case w.At.IsZero():
		return now.Add(-time.Duration(w.Ago)), nil
	case w.Ago == 0:
		return w.At, nil
	default:
		return time.Time{}, errors.New(`give "at" or "ago", not both`)
	}
}

// Overview is what GET /control shows.
type Overview struct {
	ListrakURL     string     `json:"listrakUrl"`
	ListrakAuthURL string     `json:"listrakAuthUrl"`
	ListrakSMSURL  string     `json:"listrakSmsUrl"`
	ControlURL     string     `json:"controlUrl"`
	Shops          []ShopView `json:"shops"`
	Lists          []ListView `json:"lists"`
	// SenderCodes are Listrak's of SMS.
	SenderCodes []SenderCodeView `json:"senderCodes"`
}

// ShopView is a store with its settings.
type ShopView struct {
	ShopSettings
	URL       string `json:"url"`
	Customers int    `json:"customers"`
}

// ListView is a list with its settings.
type ListView struct {
	ListSettings
	Contacts int `json:"contacts"`
}

// ShopSettings describe a store; see shop.Config. After a store was added only SearchLag and Switches can change.
type ShopSettings struct {
	Domain        string                  `json:"domain"`
	Name          string                  `json:"name,omitempty"`
	ClientID      string                  `json:"clientId,omitempty"`
	ClientSecret  string                  `json:"clientSecret,omitempty"`
	Token         string                  `json:"token,omitempty"`
	Plan          shop.Plan               `json:"plan,omitempty"`
	RestoreRate   int                     `json:"restoreRate,omitempty"`
	Scopes        []string                `json:"scopes,omitempty"`
	ProtectedData shop.ProtectedDataLevel `json:"protectedData,omitempty"`
	Zone          string                  `json:"zone,omitempty"` // IANA name; empty means America/New_York
	SearchLag     Duration                `json:"searchLag,omitzero"`
	Latency       Duration                `json:"latency,omitzero"`
	Webhooks      WebhookSettings         `json:"webhooks,omitzero"`
	// Switches are shop.Switches; durations in them are nanoseconds.
	Switches shop.Switches `json:"switches"`
}

func (s ShopSettings) config() shop.Config {
	return shop.Config{Domain: s.Domain, Name: s.Name, ClientID: s.ClientID, ClientSecret: s.ClientSecret, Token: s.Token, Plan: s.Plan,
		RestoreRate: s.RestoreRate, Scopes: s.Scopes, ProtectedData: s.ProtectedData, SearchLag: time.Duration(s.SearchLag),
		Latency: time.Duration(s.Latency), Zone: s.Zone, Webhooks: s.Webhooks.config(), Switches: s.Switches}
}

func shopSettings(c shop.Config, store *shop.Store) ShopSettings {
	return ShopSettings{Domain: c.Domain, Name: c.Name, ClientID: c.ClientID, ClientSecret: store.ClientSecret(), Token: c.Token,
		Plan: c.Plan, RestoreRate: c.RestoreRate, Scopes: c.Scopes, ProtectedData: c.ProtectedData,
		SearchLag: Duration(store.SearchLag()), Latency: Duration(c.Latency), Zone: c.Zone, Webhooks: webhookSettings(c.Webhooks),
		Switches: store.Switches()}
}

// WebhookSettings say how a store's webhooks are sent; see shop.WebhookConfig.
type WebhookSettings struct {
	App             []shop.AppSubscription `json:"app,omitempty"`
	LocalAddresses  bool                   `json:"localAddresses,omitempty"`
	Version         string                 `json:"version,omitempty"`
	RetryGaps       []Duration             `json:"retryGaps,omitempty"`
	ConnectWithin   Duration               `json:"connectWithin,omitzero"`
	AnswerWithin    Duration               `json:"answerWithin,omitzero"`
	Latency         Duration               `json:"latency,omitzero"`
	ShopRedactAfter Duration               `json:"shopRedactAfter,omitzero"`
	AtOnce          int                    `json:"atOnce,omitempty"`
}

func (s WebhookSettings) config() shop.WebhookConfig {
	c := shop.WebhookConfig{App: s.App, LocalAddresses: s.LocalAddresses, Version: s.Version,
		ConnectWithin: time.Duration(s.ConnectWithin), AnswerWithin: time.Duration(s.AnswerWithin), Latency: time.Duration(s.Latency),
		ShopRedactAfter: time.Duration(s.ShopRedactAfter), AtOnce: s.AtOnce}
	for _, gap := range s.RetryGaps {
		c.RetryGaps = append(c.RetryGaps, time.Duration(gap))
	}
	return c
}

func webhookSettings(c shop.WebhookConfig) WebhookSettings {
	s := WebhookSettings{App: c.App, LocalAddresses: c.LocalAddresses, Version: c.Version, ConnectWithin: Duration(c.ConnectWithin),
		AnswerWithin: Duration(c.AnswerWithin), Latency: Duration(c.Latency), ShopRedactAfter: Duration(c.ShopRedactAfter), AtOnce: c.AtOnce}
	for _, gap := range c.RetryGaps {
		s.RetryGaps = append(s.RetryGaps, Duration(gap))
	}
	return s
}

// ListSettings describe a list; see list.Config. All but ID can change while the list is in use.
type ListSettings struct {
	ID                 int            `json:"id"`
	Name               string         `json:"name,omitempty"`
	ClientID           string         `json:"clientId"`
	Secret             string         `json:"secret"`
	Zone               string         `json:"zone"` // IANA name; empty means UTC
	ClockSkew          Duration       `json:"clockSkew"`
	DoubleOptIn        bool           `json:"doubleOptIn"`
	HidePending        bool           `json:"hidePending"`
	SameState          list.SameState `json:"sameState"`
	Events             []list.Event   `json:"events"`
	IgnoreBlockedEvent bool           `json:"ignoreBlockedEvents"`
	NoAccess           []list.Area    `json:"noAccess"`
	Paused             bool           `json:"paused"`
	IPRefused          bool           `json:"ipRefused"`
	TakesEscapedRoutes bool           `json:"takesEscapedRoutes"`
	TokenLife          Duration       `json:"tokenLife"`
	RatePerSecond      float64        `json:"ratePerSecond"`
	MaxBody            int64          `json:"maxBody"`
	Latency            Duration       `json:"latency"`

	ActivityDateMoves   bool `json:"activityDateMoves"`
	SummaryCountsPeople bool `json:"summaryCountsPeople"`
}

// apply writes the settings into a configuration.
func (s ListSettings) apply(c *list.Config) error {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		return fmt.Errorf("zone: %w; give an IANA name, as America/New_York", err)
	}
	c.ID, c.Name, c.ClientID, c.Secret, c.Zone = s.ID, s.Name, s.ClientID, s.Secret, zone
	c.ClockSkew, c.DoubleOptIn, c.HidePending, c.SameState = time.Duration(s.ClockSkew), s.DoubleOptIn, s.HidePending, s.SameState
	c.Events, c.IgnoreBlockedEvents, c.NoAccess, c.Paused = s.Events, s.IgnoreBlockedEvent, s.NoAccess, s.Paused
	c.IPRefused, c.TakesEscapedRoutes, c.TokenLife = s.IPRefused, s.TakesEscapedRoutes, time.Duration(s.TokenLife)
	c.RatePerSecond, c.MaxBody, c.Latency = s.RatePerSecond, s.MaxBody, time.Duration(s.Latency)
	c.ActivityDateMoves, c.SummaryCountsPeople = s.ActivityDateMoves, s.SummaryCountsPeople
	return nil
}

func listSettings(c list.Config) ListSettings {
	return ListSettings{ID: c.ID, Name: c.Name, ClientID: c.ClientID, Secret: c.Secret, Zone: c.Zone.String(),
		ClockSkew: Duration(c.ClockSkew), DoubleOptIn: c.DoubleOptIn, HidePending: c.HidePending, SameState: c.SameState,
		Events: c.Events, IgnoreBlockedEvent: c.IgnoreBlockedEvents, NoAccess: c.NoAccess, Paused: c.Paused, IPRefused: c.IPRefused,
		TakesEscapedRoutes: c.TakesEscapedRoutes, TokenLife: Duration(c.TokenLife), RatePerSecond: c.RatePerSecond,
		MaxBody: c.MaxBody, Latency: Duration(c.Latency), ActivityDateMoves: c.ActivityDateMoves, SummaryCountsPeople: c.SummaryCountsPeople}
}

// CustomerAct is a person's or the merchant's act on a Shopify store.
type CustomerAct struct {
	Email string `json:"email,omitempty"`
	// Phone is the number of a customer to create; elsewhere it names the customer, in E.164, when there is no Email.
	Phone string `json:"phone,omitempty"`
	// State is the consent that a creation leaves, to email, or a consent act, to its channel; empty on a creation means never asked.
	State shop.State `json:"state,omitempty"`
	// SMSState is the consent to SMS that a creation leaves; empty means never asked.
	SMSState shop.State `json:"smsState,omitempty"`
	// To is the new address or number of a change, where empty takes it away; of a merge it is the other customer's address.
	To string `json:"to,omitempty"`
	// When dates the consent; the customer's updatedAt is always the real time of the act, as at Shopify.
	When
}

// OrderAct is a buyer placing an order.
type OrderAct struct {
	Email      string `json:"email,omitempty"`
	Phone      string `json:"phone,omitempty"`
	SourceName string `json:"sourceName,omitempty"` // empty means web
	Test       bool   `json:"test,omitempty"`
	// EmailTicked and SMSTicked are the boxes of the checkout: a ticked one subscribes the buyer.
	EmailTicked bool `json:"emailTicked,omitempty"`
	SMSTicked   bool `json:"smsTicked,omitempty"`
	When
}

// WebhookAct sends a webhook of any topic. Without a payload it is the plainest that the topic can have; topics about somebody need one.
type WebhookAct struct {
	Topic   shop.Topic      `json:"topic"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// Rotation gives a store's app a new client secret.
type Rotation struct {
	Secret string `json:"secret"`
}

// WebhooksView is what a store's webhooks have come to. Subscriptions are those made by the API.
type WebhooksView struct {
	shop.DeliveryReport
	Subscriptions []SubscriptionView `json:"subscriptions"`
	Deleted       []SubscriptionView `json:"deleted"`
}

// SubscriptionView is a subscription made by the API.
type SubscriptionView struct {
	ID        shop.SubscriptionID `json:"id"`
	Topic     shop.Topic          `json:"topic"`
	URI       string              `json:"uri"`
	Name      string              `json:"name,omitempty"`
	CreatedAt time.Time           `json:"createdAt"`
}

func subscriptionViews(all []shop.Subscription) []SubscriptionView {
	views := []SubscriptionView{}
	for _, s := range all {
		views = append(views, SubscriptionView{ID: s.ID, Topic: s.Topic, URI: s.URI, Name: s.Name, CreatedAt: s.CreatedAt})
	}
	return views
}

// ContactAct is a person's, or a machine's, act on a Listrak list.
type ContactAct struct {
	Email  string `json:"email"`
	Method string `json:"method,omitempty"` // empty: a form for subscribing, a link for unsubscribing
	// Refusal is why Listrak refuses the address from now on; empty lifts it. Only for that act.
	Refusal list.Refusal `json:"refusal,omitempty"`
	When
}

// Customer is a Shopify customer as the store shows it.
type Customer struct {
	ID    shop.CustomerID `json:"id"`
	Email string          `json:"email"`
	State shop.State      `json:"state"`
	Level shop.OptInLevel `json:"level,omitempty"`
	// ConsentUpdatedAt is zero for Shopify's null.
	ConsentUpdatedAt time.Time `json:"consentUpdatedAt,omitzero"`
	// Phone is empty for a customer without one, and then all about SMS is empty too.
	Phone               string          `json:"phone,omitempty"`
	SMSState            shop.State      `json:"smsState,omitempty"`
	SMSLevel            shop.OptInLevel `json:"smsLevel,omitempty"`
	SMSConsentUpdatedAt time.Time       `json:"smsConsentUpdatedAt,omitzero"`
	CreatedAt           time.Time       `json:"createdAt"`
	UpdatedAt           time.Time       `json:"updatedAt"`
}

func customerView(c shop.Customer) Customer {
	view := Customer{ID: c.ID, Email: c.Email, State: c.Consent.State, Level: c.Consent.Level, ConsentUpdatedAt: c.Consent.UpdatedAt,
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt}
	if c.Phone != "" {
		view.Phone, view.SMSState = c.Phone, c.SMSConsent.State
		view.SMSLevel, view.SMSConsentUpdatedAt = c.SMSConsent.Level, c.SMSConsent.UpdatedAt
	}
	return view
}

// ShopWrite is one write that an app made at a store; see shop.Write.
type ShopWrite struct {
	At        time.Time       `json:"at"`
	Operation string          `json:"operation"`
	Customer  shop.CustomerID `json:"customer,omitempty"`
	Email     string          `json:"email,omitempty"`
	Phone     string          `json:"phone,omitempty"`
	State     shop.State      `json:"state,omitempty"`
	Date      time.Time       `json:"date,omitzero"`
	Effective bool            `json:"effective"`
}

// Person is what both sides show of an address: only the stores and lists that know it.
type Person struct {
	Shops map[string]Customer  `json:"shops"` // by domain
	Lists map[int]list.Contact `json:"lists"` // by id
}

// FaultRule is fault.Rule with a readable delay.
type FaultRule struct {
	Operation string     `json:"operation,omitempty"`
	Kind      fault.Kind `json:"kind"`
	Delay     Duration   `json:"delay,omitzero"`
	Times     int        `json:"times,omitempty"`
	Chance    float64    `json:"chance,omitempty"`
}

// Faults replace all rules of a store or list; without rules everything works again.
type Faults struct {
	Seed  uint64      `json:"seed,omitempty"`
	Rules []FaultRule `json:"rules"`
}

var faultKinds = []fault.Kind{fault.Latency, fault.TooManyRequests, fault.Throttled, fault.ServerError, fault.HTMLError,
	fault.TimeoutBefore, fault.TimeoutAfter, fault.ErrorAfter}

var webhookFaultKinds = []fault.Kind{fault.Latency, fault.Lost, fault.Duplicated, fault.Overtaken}

// Struck counts the failures that were handed out, by kind.
type Struck map[fault.Kind]int

// OrderPlaced names a new order.
type OrderPlaced struct {
	ID shop.OrderID `json:"id"`
}
