// Package merchant holds what Concord knows of a merchant besides its people: settings, and credentials that are sealed before
// they reach the ledger. It validates both with errors that name the flag or the variable to set.
package merchant

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones must load in an image without a zone database, and the same ones everywhere
	"unicode"

	"github.com/concordsync/concord/internal/ledger"
)

// The real addresses of both sides (contracts/listrak.md "Access"). Shopify's is https:// and the shop's domain.
const (
	ListrakURL     = "https://api.listrak.com/email"
	ListrakAuthURL = "https://auth.listrak.com/OAuth2/Token"
	// ListrakPrivacyURL is that of the Privacy API (contracts/listrak.md "Privacy").
	ListrakPrivacyURL = "https://api.listrak.com/privacy"
)

// Bounds and defaults of settings.
const (
	// DefaultListrakRate is in requests per second. Listrak publishes no limit for Email (contracts/listrak.md "Access").
	DefaultListrakRate = 10.0
	MinListrakRate     = 0.1
	MaxListrakRate     = 200.0
	// DefaultOrderBeforeConsent: a box ticked in the checkout is dated with the order or shortly after it (consent-rules.md,
	// "Checkout within five minutes").
	DefaultOrderBeforeConsent = time.Minute
	// MaxOrderBeforeConsent is how long an order is remembered.
	MaxOrderBeforeConsent = 15 * time.Minute
	// DefaultResubscribeLimit, and one more for every DefaultResubscribeKnownPer people known: so many people may be resubscribed within
	// 24 hours (consent-rules.md, I10).
	DefaultResubscribeLimit    = 100
	DefaultResubscribeKnownPer = 1000

	maxListed      = 100     // entries of a list
	maxListedBytes = 200     // of one entry
	maxURLBytes    = 2048    // of a base address
	maxNumber      = 1 << 31 // ids of lists and events, and limits, lie below
)

// DefaultImportMethods are Listrak's subscribeMethods that count as an import (rule 8). Listrak documents the field, but not its
// values (contracts/listrak-email-openapi.json): these are the plain names; `merchant check` shows those that a list really has.
// Methods of the API are not among them, because forms of other tools use it for people who do say yes.
func DefaultImportMethods() []string {
	return []string{"Import", "List Import", "File Import", "Contact Import", "Add Subscribers", "Data Import"}
}

// DefaultMachineMethods are Listrak's unsubscribeMethods that no person caused (rule 9). The list is short on purpose: a method
// that is missing here counts as a person's no, which is the safe mistake.
func DefaultMachineMethods() []string {
	return []string{"Bounce", "Hard Bounce", "Soft Bounce", "List Hygiene", "Hygiene"}
}

// DefaultSubscriptionSources are the sourceNames of orders that a subscription renewed by itself. Shopify documents sourceName as
// free text; the second appeared beside the first in October 2025
// (https://community.shopify.dev/t/order-paid-webhook-sourcename-property-changed-for-subscription/23868).
func DefaultSubscriptionSources() []string {
	return []string{"subscription_contract", "subscription_contract_checkout_one"}
}

// Settings is all of a merchant that is neither secret nor personal. Begin with New, so that defaults are filled in.
type Settings struct {
	// ID is the handle of the shop: "acme" of acme.myshopify.com. Normalize sets it.
	ID string
	// Shop is the *.myshopify.com domain.
	Shop string
	// ShopifyURL, ListrakURL, ListrakAuthURL and ListrakPrivacyURL are base addresses without a slash at the end; empty means the real ones.
	ShopifyURL, ListrakURL, ListrakAuthURL, ListrakPrivacyURL string
	// EmailList is the id of the Listrak email list, above 0. A list serves one merchant.
	EmailList int
	// MarketingEvent and CheckoutEvent are the subscription points, as ids of external events on the list; 0 = none.
	MarketingEvent, CheckoutEvent int
	// Zone is the IANA zone in which Listrak writes dates, such as America/New_York.
	Zone string
	// ZoneProven: a write of ours came back with a date that agrees with Zone. Until then dates may be off by 14 hours.
	ZoneProven bool
	// ListrakRate is how many requests a second Listrak gets at most, 0.1 to 200; 0 becomes the default.
	ListrakRate float64
	// ImportMethods are Listrak's subscribeMethods that count as an import (rule 8), MachineMethods the unsubscribeMethods that are
	// no person's doing (rule 9), SubscriptionSources the sourceNames of orders that renew a subscription and so are no checkout.
	// Case, spaces and punctuation do not matter. Nil becomes the default; empty means none.
	ImportMethods, MachineMethods, SubscriptionSources []string
	// OrderBeforeConsent is how long before the consent an order may lie to belong to it, 0 to 15 minutes. 0 is a value, not
	// the default: New sets that.
	OrderBeforeConsent time.Duration
	// ResubscribeLimit is how many people deliveries may turn from unsubscribed to subscribed within 24 hours before they stop and wait
	// for an operator (I10); 0 is the default, which grows with the people known.
	ResubscribeLimit int
	// Webhooks says who subscribes to the store's webhooks; empty is the default: WebhooksByAPI once there is a public address.
	Webhooks WebhookMode
	// SMS is the second channel.
	SMS SMS
}

// WebhookMode says who subscribes to a store's webhooks.
type WebhookMode string

// The modes.
const (
	// WebhooksByAPI: Concord does, and renews what Shopify deletes.
	WebhooksByAPI WebhookMode = "api"
	// WebhooksByApp: the configuration of the app does (shopify.app.toml). Concord cannot see those (contracts/shopify.md 5.2).
	WebhooksByApp WebhookMode = "app"
	// WebhooksOff: nobody does; Concord works by polling.
	WebhooksOff WebhookMode = "off"
)

// ResubscriptionLimit is ResubscribeLimit as the ledger enforces it.
func (s Settings) ResubscriptionLimit() ledger.ResubscribeLimit {
	if s.ResubscribeLimit > 0 {
		return ledger.ResubscribeLimit{Fixed: int64(s.ResubscribeLimit)}
	}
	return ledger.ResubscribeLimit{Fixed: DefaultResubscribeLimit, KnownPer: DefaultResubscribeKnownPer}
}

// New returns the settings of a shop with every default filled in; the list and the zone are still missing.
func New(shop string) (Settings, error) {
	domain, err := ParseShop(shop)
	if err != nil {
		return Settings{}, err
	}
	s := Settings{Shop: domain, ID: strings.TrimSuffix(domain, shopSuffix), OrderBeforeConsent: DefaultOrderBeforeConsent}
	s.fillDefaults()
	return s, nil
}

func (s *Settings) fillDefaults() {
	s.ListrakRate = cmp.Or(s.ListrakRate, DefaultListrakRate)
	if s.ImportMethods == nil {
		s.ImportMethods = DefaultImportMethods()
	}
	if s.MachineMethods == nil {
		s.MachineMethods = DefaultMachineMethods()
	}
	if s.SubscriptionSources == nil {
		s.SubscriptionSources = DefaultSubscriptionSources()
	}
	s.SMS.fillDefaults()
}

// Normalize brings everything into its one form, fills in what is unset and checks all of it. The error joins one *Invalid for
// everything that is wrong, each naming the flag to set.
func (s *Settings) Normalize() error {
	var wrong problems
	s.fillDefaults()
	if shop, err := ParseShop(s.Shop); err != nil {
		wrong = append(wrong, err)
	} else {
		s.Shop, s.ID = shop, strings.TrimSuffix(shop, shopSuffix)
	}
	s.ShopifyURL = wrong.base("--shopify-url", s.ShopifyURL, "https://"+s.Shop)
	// Of the real ones people also know the host alone.
	s.ListrakURL = wrong.base("--listrak-url", s.ListrakURL, ListrakURL, strings.TrimSuffix(ListrakURL, "/email"))
	s.ListrakAuthURL = wrong.base("--listrak-auth-url", s.ListrakAuthURL, ListrakAuthURL, strings.TrimSuffix(ListrakAuthURL, "/OAuth2/Token"))
	s.ListrakPrivacyURL = wrong.base("--listrak-privacy-url", s.ListrakPrivacyURL, ListrakPrivacyURL)
	if s.EmailList < 1 || s.EmailList >= maxNumber {
		wrong.add("--list", "must be the id of a Listrak email list, a number above 0 (`starter merchant lists` prints them)")
	}
	if s.MarketingEvent < 0 || s.MarketingEvent >= maxNumber {
		wrong.add("--marketing-event", "must be the id of an external event of the list, or 0 for none (`starter merchant events` prints them)")
	}
	if s.CheckoutEvent < 0 || s.CheckoutEvent >= maxNumber {
		wrong.add("--checkout-event", "must be the id of an external event of the list, or 0 for none (`starter merchant events` prints them)")
	}
	s.Zone = strings.TrimSpace(s.Zone)
	if _, err := s.Location(); err != nil {
		wrong = append(wrong, err)
	}
	if !(s.ListrakRate >= MinListrakRate && s.ListrakRate <= MaxListrakRate) || math.IsNaN(s.ListrakRate) {
		wrong.add("--listrak-rate", "must be between 0.1 and 200 requests a second")
	}
	s.ImportMethods = wrong.list("--import-methods", s.ImportMethods)
	s.MachineMethods = wrong.list("--machine-methods", s.MachineMethods)
	s.SubscriptionSources = wrong.list("--subscription-sources", s.SubscriptionSources)
	for _, method := range s.ImportMethods {
		if listed(s.MachineMethods, method) {
			wrong.add("--machine-methods", "and --import-methods must not share a method")
			break
		}
	}
	if s.OrderBeforeConsent < 0 || s.OrderBeforeConsent > MaxOrderBeforeConsent {
		wrong.add("--order-before-consent", "must be between 0s and 15m")
	}
	if s.ResubscribeLimit < 0 || s.ResubscribeLimit >= maxNumber {
		wrong.add("--resubscribe-limit", "must be a number of people above 0, or 0 for the default")
	}
	switch s.Webhooks = WebhookMode(strings.TrimSpace(string(s.Webhooks))); s.Webhooks {
	case "", WebhooksByAPI, WebhooksByApp, WebhooksOff:
	default:
		wrong.add("--webhooks", "must be api, app or off")
	}
	s.SMS.normalize(&wrong)
	return wrong.err()
}

// Location is the zone in which Listrak writes dates. The error is an *Invalid about --zone.
func (s Settings) Location() (*time.Location, error) {
	if s.Zone == "" {
		return nil, &Invalid{"--zone", "is required: the time zone of the Listrak account, such as America/New_York. " +
			"Its dates carry none, and a wrong one makes old consents look new"}
	}
	// "Local" and "localtime" mean another zone on every machine.
	if strings.EqualFold(s.Zone, "local") || strings.EqualFold(s.Zone, "localtime") || len(s.Zone) > 100 {
		return nil, errZone
	}
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		return nil, errZone
	}
	return zone, nil
}

var errZone = &Invalid{"--zone", "must be the name of an IANA time zone, such as America/New_York, Europe/Berlin or UTC"}

// base normalises a base address. What equals one of the real ones becomes empty, so that two spellings of one server cannot
// hide that two merchants share a list.
func (p *problems) base(flag, text string, real ...string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxURLBytes || !printable(text) || u.Hostname() == "" || u.Opaque != "":
		p.add(flag, "must be an address such as https://api.example.com")
		return text
	case u.User != nil:
		p.add(flag, "must not hold a user name or a password")
		return text
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		p.add(flag, "must be a base address, without ? and #")
		return text
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		p.add(flag, "must begin with https:// (http:// is only for this machine: localhost, 127.0.0.1, [::1])")
		return text
	}
	if port, err := strconv.Atoi(cmp.Or(u.Port(), "1")); err != nil || port < 1 || port > 65535 {
		p.add(flag, "must have a port from 1 to 65535, or none")
		return text
	}
	u.Host = strings.ToLower(u.Host)
	if u.Scheme == "https" {
		u.Host = strings.TrimSuffix(u.Host, ":443")
	} else {
		u.Host = strings.TrimSuffix(u.Host, ":80")
	}
	u.Host = strings.TrimSuffix(u.Host, ":")
	clean := strings.TrimRight(u.String(), "/")
	for _, known := range real {
		if strings.EqualFold(clean, known) {
			return ""
		}
	}
	return clean
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// list trims, drops what is there twice, and checks.
func (p *problems) list(flag string, entries []string) []string {
	if len(entries) > maxListed {
		p.add(flag, fmt.Sprintf("must not have more than %d entries", maxListed))
		return entries
	}
	out := make([]string, 0, len(entries))
	for _, entry := range entries {
		entry = strings.TrimSpace(entry)
		switch {
		case fold(entry) == "" || len(entry) > maxListedBytes || !printable(entry):
			p.add(flag, "must be a list of names, such as Import,Bounce: each with a letter in it, on one line, and of 200 bytes at most")
			return entries
		case !listed(out, entry):
			out = append(out, entry)
		}
	}
	return out
}

// fold leaves letters and digits in lower case: Listrak does not publish how it spells its methods.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

func listed(names []string, name string) bool {
	name = fold(name)
	return name != "" && slices.ContainsFunc(names, func(n string) bool { return fold(n) == name })
}

// IsImport reports whether a subscribeMethod of Listrak counts as an import (rule 8). A missing method does not.
func (s Settings) IsImport(subscribeMethod string) bool {
	return listed(s.ImportMethods, subscribeMethod)
}

// IsMachine reports whether an unsubscribeMethod of Listrak is no person's doing (rule 9). A missing or unknown one is a no.
func (s Settings) IsMachine(unsubscribeMethod string) bool {
	return listed(s.MachineMethods, unsubscribeMethod)
}

// IsRenewal reports whether an order with this sourceName renews a subscription, and so decides no subscription point.
func (s Settings) IsRenewal(sourceName string) bool { return listed(s.SubscriptionSources, sourceName) }

// settingsVersion rises when a build that does not know the new form would read settings wrongly. A new field needs no new
// version: older builds leave it as it is.
const settingsVersion = 1

// stored is the JSON form. A list that is missing means the default, so that better defaults reach merchants who never set one.
type stored struct {
	Version             int       `json:"version"`
	ID                  string    `json:"id"`
	Shop                string    `json:"shop"`
	ShopifyURL          string    `json:"shopify_url,omitempty"`
	ListrakURL          string    `json:"listrak_url,omitempty"`
	ListrakAuthURL      string    `json:"listrak_auth_url,omitempty"`
	ListrakPrivacyURL   string    `json:"listrak_privacy_url,omitempty"`
	EmailList           int       `json:"email_list"`
	MarketingEvent      int       `json:"marketing_event"`
	CheckoutEvent       int       `json:"checkout_event"`
	Zone                string    `json:"zone"`
	ZoneProven          bool      `json:"zone_proven"`
	ListrakRate         float64   `json:"listrak_requests_per_second,omitzero"`
	ImportMethods       []string  `json:"import_methods,omitzero"`
	MachineMethods      []string  `json:"machine_methods,omitzero"`
	SubscriptionSources []string  `json:"subscription_sources,omitzero"`
	OrderBeforeConsent  *duration `json:"order_before_consent,omitempty"`
	ResubscribeLimit    int       `json:"resubscribe_limit"`
	// Empty means the default, so that it may change with the public address.
	Webhooks WebhookMode `json:"webhooks,omitempty"`
	SMS      SMS         `json:"sms,omitzero"`
}

// duration is written as people write it ("1m0s").
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

// MarshalJSON writes every setting out, defaults too.
func (s Settings) MarshalJSON() ([]byte, error) { return json.Marshal(s.stored()) }

func (s Settings) stored() stored {
	before := duration(s.OrderBeforeConsent)
	return stored{
		Version: settingsVersion, ID: s.ID, Shop: s.Shop, ShopifyURL: s.ShopifyURL, ListrakURL: s.ListrakURL,
		ListrakAuthURL: s.ListrakAuthURL, ListrakPrivacyURL: s.ListrakPrivacyURL, EmailList: s.EmailList, MarketingEvent: s.MarketingEvent, CheckoutEvent: s.CheckoutEvent,
		Zone: s.Zone, ZoneProven: s.ZoneProven, ListrakRate: s.ListrakRate, ImportMethods: s.ImportMethods,
		MachineMethods: s.MachineMethods, SubscriptionSources: s.SubscriptionSources, OrderBeforeConsent: &before,
		ResubscribeLimit: s.ResubscribeLimit, Webhooks: s.Webhooks, SMS: s.SMS,
	}
}

// ErrNewerSettings: a newer build wrote these settings in a form that this one does not know.
var ErrNewerSettings = errors.New("the settings were written by a newer version of Concord: run that one")

// UnmarshalJSON reads what any build wrote: fields that are missing get their default, fields that are unknown are passed over.
// ErrNewerSettings when that would be wrong. It does not validate; Normalize does.
func (s *Settings) UnmarshalJSON(data []byte) error {
	var in stored
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	if in.Version < 1 {
		return errors.New("read settings: they have no version")
	}
	if in.Version > settingsVersion {
		return fmt.Errorf("read settings: version %d: %w", in.Version, ErrNewerSettings)
	}
	*s = Settings{
		ID: in.ID, Shop: in.Shop, ShopifyURL: in.ShopifyURL, ListrakURL: in.ListrakURL, ListrakAuthURL: in.ListrakAuthURL, ListrakPrivacyURL: in.ListrakPrivacyURL,
		EmailList: in.EmailList, MarketingEvent: in.MarketingEvent, CheckoutEvent: in.CheckoutEvent, Zone: in.Zone,
		ZoneProven: in.ZoneProven, ListrakRate: in.ListrakRate, ImportMethods: in.ImportMethods, MachineMethods: in.MachineMethods,
		SubscriptionSources: in.SubscriptionSources, OrderBeforeConsent: DefaultOrderBeforeConsent, ResubscribeLimit: in.ResubscribeLimit,
		Webhooks: in.Webhooks, SMS: in.SMS,
	}
	if in.OrderBeforeConsent != nil {
		s.OrderBeforeConsent = time.Duration(*in.OrderBeforeConsent)
	}
	s.fillDefaults()
	return nil
}

// encode writes what the ledger keeps: without what equals a default, and with the fields of previous that this build does not know.
// Without the latter an older worker, setting one field during a deployment, would erase what a newer one had set.
func encode(s Settings, previous []byte) ([]byte, error) {
	out := s.stored()
	if out.ListrakRate == DefaultListrakRate {
		out.ListrakRate = 0
	}
	if slices.Equal(out.ImportMethods, DefaultImportMethods()) {
		out.ImportMethods = nil
	}
	if slices.Equal(out.MachineMethods, DefaultMachineMethods()) {
		out.MachineMethods = nil
	}
	if slices.Equal(out.SubscriptionSources, DefaultSubscriptionSources()) {
		out.SubscriptionSources = nil
	}
	if s.OrderBeforeConsent == DefaultOrderBeforeConsent {
		out.OrderBeforeConsent = nil
	}
	if out.SMS.Country == DefaultCountry {
		out.SMS.Country = ""
	}
	data, err := json.Marshal(out)
	if err != nil || len(previous) == 0 {
		return data, err
	}
	var unknown, fields map[string]json.RawMessage
	if err := json.Unmarshal(previous, &unknown); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	for name, value := range unknown {
		if !knownFields[name] {
			fields[name] = value
		}
	}
	return json.Marshal(fields)
}

var knownFields = func() map[string]bool {
	known := map[string]bool{}
	for field := range reflect.TypeFor[stored]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known[name] = true
	}
	return known
}()
