package merchant

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// The variables that hold a merchant's secrets. Secrets are never taken by flag: flags are seen by everyone on the machine.
const (
	EnvShopifyClientID     = "CONCORD_SHOPIFY_CLIENT_ID"
	EnvShopifyClientSecret = "CONCORD_SHOPIFY_CLIENT_SECRET"
	EnvShopifyToken        = "CONCORD_SHOPIFY_TOKEN"
	EnvListrakClientID     = "CONCORD_LISTRAK_CLIENT_ID"
	EnvListrakClientSecret = "CONCORD_LISTRAK_CLIENT_SECRET"

	EnvListrakPrivacyClientID     = "CONCORD_LISTRAK_PRIVACY_CLIENT_ID"
	EnvListrakPrivacyClientSecret = "CONCORD_LISTRAK_PRIVACY_CLIENT_SECRET"

	EnvListrakSMSClientID     = "CONCORD_LISTRAK_SMS_CLIENT_ID"
	EnvListrakSMSClientSecret = "CONCORD_LISTRAK_SMS_CLIENT_SECRET"

	EnvEventsSecret = "CONCORD_EVENTS_SECRET"
)

// maxSecretBytes bounds one secret. Shopify's and Listrak's have less than 100 bytes; tokens in JWT form may have 2,000.
const maxSecretBytes = 4096

// Credentials are what a merchant gave us to call both sides with. Shopify takes either Token, or ClientID and ClientSecret. The
// secret also signs webhooks (contracts/shopify.md 5.1), so it may be set beside a Token, which then calls.
//
// Printing, logging or marshalling a Credentials shows which are set and nothing of their values. Keep it out of unexported
// struct fields all the same: fmt prints those without asking the type.
type Credentials struct {
	ShopifyClientID, ShopifyClientSecret string
	// ShopifyToken is an access token of an admin-created custom app (shpat_…).
	ShopifyToken string
	// ListrakClientID and ListrakClientSecret belong to an Email API integration.
	ListrakClientID, ListrakClientSecret string
	// ListrakPrivacyClientID and ListrakPrivacyClientSecret belong to a Privacy API integration, by which Listrak is asked to forget
	// people. Both or none.
	ListrakPrivacyClientID, ListrakPrivacyClientSecret string
	// ListrakSMSClientID and ListrakSMSClientSecret belong to an SMS API integration. Both or none.
	ListrakSMSClientID, ListrakSMSClientSecret string
	// EventsSecret signs the email and SMS events that are sent to us; without it none are taken.
	EventsSecret string
}

// HasPrivacy reports whether Listrak can be asked to forget people.
func (c Credentials) HasPrivacy() bool {
	return c.ListrakPrivacyClientID != "" && c.ListrakPrivacyClientSecret != ""
}

// HasSMS reports whether Listrak's SMS API can be called.
func (c Credentials) HasSMS() bool {
	return c.ListrakSMSClientID != "" && c.ListrakSMSClientSecret != ""
}

// slot is one of the credentials under the names that people and we know it by.
type slot struct {
	env   string
	value *string
}

func (c *Credentials) slots() []slot {
	return []slot{
		{EnvShopifyClientID, &c.ShopifyClientID},
		{EnvShopifyClientSecret, &c.ShopifyClientSecret},
		{EnvShopifyToken, &c.ShopifyToken},
		{EnvListrakClientID, &c.ListrakClientID},
		{EnvListrakClientSecret, &c.ListrakClientSecret},
		{EnvListrakPrivacyClientID, &c.ListrakPrivacyClientID},
		{EnvListrakPrivacyClientSecret, &c.ListrakPrivacyClientSecret},
		{EnvListrakSMSClientID, &c.ListrakSMSClientID},
		{EnvListrakSMSClientSecret, &c.ListrakSMSClientSecret},
		{EnvEventsSecret, &c.EventsSecret},
	}
}

// IsZero reports whether nothing is set.
func (c Credentials) IsZero() bool { return c == Credentials{} }

// Merge returns c with everything that is set in newer. A newer token replaces an id and secret of Shopify, and a newer id replaces a
// token and the secret beside it, so that an access that was given up is not kept. A newer secret alone goes beside a token.
func (c Credentials) Merge(newer Credentials) Credentials {
	switch {
	case newer.ShopifyToken != "" && c.ShopifyClientID != "", newer.ShopifyClientID != "" && c.ShopifyToken != "":
		c.ShopifyClientID, c.ShopifyClientSecret, c.ShopifyToken = "", "", ""
	}
	from := newer.slots()
	for i, s := range c.slots() {
		if *from[i].value != "" {
			*s.value = *from[i].value
		}
	}
	return c
}

// Normalize trims the space and line breaks that copying leaves around secrets, and checks that everything is there. The error
// joins one *Invalid for everything that is wrong, each naming the variable to set, and shows nothing of any value.
func (c *Credentials) Normalize() error {
	var wrong problems
	for _, s := range c.slots() {
		*s.value = strings.TrimSpace(*s.value)
		wrong.secret(s.env, *s.value)
	}
	switch {
	case c.ShopifyToken != "" && c.ShopifyClientID != "":
		wrong.add(EnvShopifyToken, "must not be set together with "+EnvShopifyClientID+": give Shopify's access one way ("+
			EnvShopifyClientSecret+" may stand beside either: it also signs webhooks)")
	case strings.HasPrefix(c.ShopifyToken, "shpss_"):
		wrong.add(EnvShopifyToken, "must be an access token (shpat_…): this is an app's secret, for "+EnvShopifyClientSecret)
	case strings.HasPrefix(c.ShopifyClientSecret, "shpat_"):
		wrong.add(EnvShopifyClientSecret, "must be an app's secret: this is an access token, for "+EnvShopifyToken)
	case c.ShopifyToken == "" && c.ShopifyClientID == "" && c.ShopifyClientSecret == "":
		wrong.add(EnvShopifyClientID, "and "+EnvShopifyClientSecret+" are required: the app's client id and secret (Dev Dashboard → app → "+
			"Settings). An older admin-created app has a token instead, for "+EnvShopifyToken)
	case c.ShopifyToken == "" && c.ShopifyClientID == "":
		wrong.add(EnvShopifyClientID, "is required with "+EnvShopifyClientSecret)
	case c.ShopifyToken == "" && c.ShopifyClientSecret == "":
		wrong.add(EnvShopifyClientSecret, "is required with "+EnvShopifyClientID)
	}
	const where = " (Listrak → Integrations → Integration Management; an Email API integration)"
	if c.ListrakClientID == "" {
		wrong.add(EnvListrakClientID, "is required: the integration's client id"+where)
	}
	if c.ListrakClientSecret == "" {
		wrong.add(EnvListrakClientSecret, "is required: the integration's client secret"+where)
	}
	wrong.pair(EnvListrakPrivacyClientID, c.ListrakPrivacyClientID, EnvListrakPrivacyClientSecret, c.ListrakPrivacyClientSecret,
		"an integration of the type Privacy")
	wrong.pair(EnvListrakSMSClientID, c.ListrakSMSClientID, EnvListrakSMSClientSecret, c.ListrakSMSClientSecret, "an SMS API integration")
	if n := len(c.EventsSecret); n > 0 && n < minEventsSecret {
		wrong.add(EnvEventsSecret, fmt.Sprintf("must have at least %d characters: whoever guesses it can make up events (openssl rand -hex 32 prints a good one)",
			minEventsSecret))
	}
	return wrong.err()
}

// minEventsSecret is the shortest secret for events, in bytes. It is the only one that a person makes up.
const minEventsSecret = 24

// pair checks that an id and a secret of an integration that nobody needs are both given or neither.
func (p *problems) pair(idEnv, id, secretEnv, secret, integration string) {
	where := " (Listrak → Integrations → Integration Management; " + integration + ")"
	switch {
	case id == "" && secret != "":
		p.add(idEnv, "is required with "+secretEnv+where)
	case id != "" && secret == "":
		p.add(secretEnv, "is required with "+idEnv+where)
	}
}

// secret checks what no credential may hold. Anything but plain printable characters is a mistake of copying, and a line break
// would let a value write headers of its own.
func (p *problems) secret(env, value string) {
	if len(value) > maxSecretBytes {
		p.add(env, fmt.Sprintf("is longer than %d bytes: that is no credential", maxSecretBytes))
		return
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] >= 0x7f {
			p.add(env, "holds a space, a line break or a character that no credential has: copy it again")
			return
		}
	}
}

// String tells which credentials are set.
func (c Credentials) String() string {
	var shopify, listrak = "no Shopify access", "no Listrak access"
	switch {
	case c.ShopifyToken != "" && c.ShopifyClientSecret != "":
		shopify = "Shopify access token and the secret that signs webhooks"
	case c.ShopifyToken != "":
		shopify = "Shopify access token"
	case c.ShopifyClientID != "" && c.ShopifyClientSecret != "":
		shopify = "Shopify client id and secret"
	case c.ShopifyClientID != "" || c.ShopifyClientSecret != "":
		shopify = "half of a Shopify client id and secret"
	}
	switch {
	case c.ListrakClientID != "" && c.ListrakClientSecret != "":
		listrak = "Listrak client id and secret"
	case c.ListrakClientID != "" || c.ListrakClientSecret != "":
		listrak = "half of a Listrak client id and secret"
	}
	switch {
	case c.HasPrivacy():
		listrak += ", Listrak Privacy client id and secret"
	case c.ListrakPrivacyClientID != "" || c.ListrakPrivacyClientSecret != "":
		listrak += ", half of a Listrak Privacy client id and secret"
	}
	switch {
	case c.HasSMS():
		listrak += ", Listrak SMS client id and secret"
	case c.ListrakSMSClientID != "" || c.ListrakSMSClientSecret != "":
		listrak += ", half of a Listrak SMS client id and secret"
	}
	if c.EventsSecret != "" {
		listrak += ", the secret that signs events"
	}
	return shopify + ", " + listrak
}

// Format keeps every verb, also those that would print fields, to String.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// GoString tells what String tells.
func (c Credentials) GoString() string { return c.String() }

// LogValue tells what String tells.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON tells what String tells. Sealing uses a form of its own.
func (c Credentials) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// MarshalText tells what String tells.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalJSON always fails: what MarshalJSON wrote holds no secrets, and reading it back as if it did would hide the loss.
func (c *Credentials) UnmarshalJSON([]byte) error {
	return errors.New("read credentials: they are never kept as plain JSON; use ReadCredentials or Store.Credentials")
}

// Sealer is the part of *keys.Ring that sealing needs.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
	Reseal(sealed []byte, context string) (out []byte, changed bool, err error)
}

// sealedCredentials is what lies inside the seal.
type sealedCredentials struct {
	Version             int    `json:"version"`
	ShopifyClientID     string `json:"shopify_client_id,omitempty"`
	ShopifyClientSecret string `json:"shopify_client_secret,omitempty"`
	ShopifyToken        string `json:"shopify_token,omitempty"`
	ListrakClientID     string `json:"listrak_client_id,omitempty"`
	ListrakClientSecret string `json:"listrak_client_secret,omitempty"`
	// The Privacy integration came later: builds that do not know it leave it out when they seal anew.
	ListrakPrivacyClientID     string `json:"listrak_privacy_client_id,omitempty"`
	ListrakPrivacyClientSecret string `json:"listrak_privacy_client_secret,omitempty"`
	// So did that of SMS.
	ListrakSMSClientID     string `json:"listrak_sms_client_id,omitempty"`
	ListrakSMSClientSecret string `json:"listrak_sms_client_secret,omitempty"`
	// So did that of events.
	EventsSecret string `json:"events_secret,omitempty"`
}

const credentialsVersion = 1

func sealContext(id string) string { return "merchant/" + id + "/credentials" }

// Seal encrypts the credentials of the merchant with this id; they open for no other merchant.
func (c Credentials) Seal(s Sealer, id string) ([]byte, error) {
	plain, err := json.Marshal(sealedCredentials{credentialsVersion, c.ShopifyClientID, c.ShopifyClientSecret, c.ShopifyToken,
		c.ListrakClientID, c.ListrakClientSecret, c.ListrakPrivacyClientID, c.ListrakPrivacyClientSecret,
		c.ListrakSMSClientID, c.ListrakSMSClientSecret, c.EventsSecret})
	if err != nil {
		return nil, errors.New("seal credentials: they cannot be encoded") // the cause could quote a secret
	}
	sealed, err := s.Seal(plain, sealContext(id))
	if err != nil {
		return nil, fmt.Errorf("seal credentials: %w", err)
	}
	return sealed, nil
}

// OpenCredentials decrypts what Seal made for the same id. The chain of its error tells keys.ErrWrongKey from keys.ErrDamaged.
func OpenCredentials(s Sealer, id string, sealed []byte) (Credentials, error) {
	plain, err := s.Open(sealed, sealContext(id))
	if err != nil {
		return Credentials{}, fmt.Errorf("open credentials of merchant %s: %w", id, err)
	}
	var in sealedCredentials
	if err := json.Unmarshal(plain, &in); err != nil {
		return Credentials{}, fmt.Errorf("open credentials of merchant %s: they are in a form that this build does not know", id)
	}
	if in.Version != credentialsVersion {
		return Credentials{}, fmt.Errorf("open credentials of merchant %s: they have version %d, and this build knows %d. Run a newer Concord",
			id, in.Version, credentialsVersion)
	}
	return Credentials{in.ShopifyClientID, in.ShopifyClientSecret, in.ShopifyToken, in.ListrakClientID, in.ListrakClientSecret,
		in.ListrakPrivacyClientID, in.ListrakPrivacyClientSecret, in.ListrakSMSClientID, in.ListrakSMSClientSecret,
		in.EventsSecret}, nil
}
