// Package shop is a Shopify store on this machine: a model of its customers, consents and orders, and an HTTP server that speaks
// the Admin GraphQL API 2026-10 as contracts/shopify.md describes it. The model (Store) knows no HTTP and takes its clock from
// outside, so that a simulation can use the same semantics without a network.
package shop

import "time"

// Plan is a Shopify plan; it decides the API budget (contracts/shopify.md 2.1).
type Plan string

// The plans. The bucket sizes of Advanced and Enterprise are inferred (20 times the rate), those of the others were seen.
const (
	Standard   Plan = "standard"   // 100 points a second, 2000 at most
	Advanced   Plan = "advanced"   // 200, 4000
	Plus       Plan = "plus"       // 1000, 20000
	Enterprise Plan = "enterprise" // 2000, 40000
)

// restoreRate is in points a second.
func (p Plan) restoreRate() int {
	switch p {
	case Advanced:
		return 200
	case Plus:
		return 1000
	case Enterprise:
		return 2000
	default:
		return 100
	}
}

func (p Plan) displayName() string {
	switch p {
	case Advanced:
		return "Advanced"
	case Plus:
		return "Shopify Plus"
	case Enterprise:
		return "Commerce Components by Shopify"
	default:
		return "Basic"
	}
}

// ProtectedDataLevel says which protected customer data the app is approved for (contracts/shopify.md 1).
type ProtectedDataLevel string

// The approvals. Custom apps have both levels without review, so that is the zero value.
const (
	ProtectedDataAll    ProtectedDataLevel = ""        // levels 1 and 2
	ProtectedDataEmails ProtectedDataLevel = "emails"  // of level 2 only email addresses: phone fields are null
	ProtectedDataLevel1 ProtectedDataLevel = "level_1" // customers, but no addresses: email and phone fields are null
	ProtectedDataNone   ProtectedDataLevel = "none"    // customers and orders are null
)

// Config describes one store. The zero value of every field is a sensible default, but Domain, and a way to sign in, are needed
// to serve requests.
type Config struct {
	// Domain is the permanent domain, "example.myshopify.com".
	Domain string
	// Name is the shop's name; empty means Domain.
	Name string
	// ClientID and ClientSecret are the app's credentials for the client-credentials grant; empty means that the grant fails.
	ClientID, ClientSecret string
	// Token is the static token of an admin-created app ("shpat_…"); empty means there is none.
	Token string
	// Plan decides the API budget; empty means Standard.
	Plan Plan
	// RestoreRate in points a second overrides the plan's; zero means the plan's. The bucket holds 20 times as much.
	RestoreRate int
	// Scopes are the app's access scopes; nil means read_customers, write_customers and read_orders. Without read_all_orders,
	// orders older than 60 days are not shown.
	Scopes []string
	// ProtectedData is the app's approval for protected customer data.
	ProtectedData ProtectedDataLevel
	// Zone is the IANA name of the time zone in which the shop counts its days; empty means America/New_York.
	Zone string
	// SearchLag is how long customers(…), orders(…) and Customer.orders do not see a change; look-ups by id or address see it at
	// once (contracts/shopify.md 4). The length is not documented.
	SearchLag time.Duration
	// Latency is how long every call takes on the wire, half of it before and half after the effect. Real time, not Now's.
	Latency time.Duration
	// ServedVersion is what the X-Shopify-API-Version header names; empty means 2026-10. Another one plays a server that has
	// fallen forward (contracts/shopify.md 8).
	ServedVersion string
	// IDsAfter is what the numbers of customers and orders begin after. Shopify never gives an id twice, so a store that takes the
	// place of an earlier one, before the same ledger, must begin beyond it: else somebody new looks like a customer whose address
	// changed.
	IDsAfter int64
	// Webhooks say how the store's webhooks are sent.
	Webhooks WebhookConfig
	// Switches are the facts that nobody has confirmed.
	Switches Switches
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Switches are the behaviours that contracts/shopify.md marks as observed once (O), inferred (I) or unconfirmed (U). The zero value
// is what has been observed or, where nothing has, the harder case for a client.
type Switches struct {
	// TakeOlderWrites stores a state change dated before the date held. Off, as one pilot saw it, it is silently ignored:
	// no userError, state and updatedAt unmoved (contracts/shopify.md 3.4, O).
	TakeOlderWrites bool `json:"takeOlderWrites"`
	// TakeEqualDateWrites stores a state change dated exactly as the date held; off, it is ignored too (3.4, 10, U).
	TakeEqualDateWrites bool `json:"takeEqualDateWrites"`
	// SameStateMovesDate lets a write of the state already held move the date forward; off, the date stays, whatever the write's
	// date (3.4, O).
	SameStateMovesDate bool `json:"sameStateMovesDate"`
	// SameStateKeepsUpdatedAt stops a write of the state already held from bumping Customer.updatedAt; off, it bumps (3.4, O).
	SameStateKeepsUpdatedAt bool `json:"sameStateKeepsUpdatedAt"`
	// UnsubscribedNeedsLevel refuses UNSUBSCRIBED without an opt-in level; off, it is accepted, as in 2023 (3.3, O).
	UnsubscribedNeedsLevel bool `json:"unsubscribedNeedsLevel"`
	// FutureTolerance is how far a consent date may lie in the future before it is refused (3.3, 10, U).
	FutureTolerance time.Duration `json:"futureTolerance"`
	// EmailChangeResetsConsent makes a changed address start as NOT_SUBSCRIBED; off, the consent stays with the customer. The
	// contract is silent on it (10 asks it only of phone numbers).
	EmailChangeResetsConsent bool `json:"emailChangeResetsConsent"`
	// PhoneChangeResetsConsent makes a changed phone number start as never asked; off, the SMS consent stays with the customer (10, U).
	PhoneChangeResetsConsent bool `json:"phoneChangeResetsConsent"`
	// MergeKeepsNewestConsent gives a merged customer the consent with the newest date, of each channel; off, the one of the customer
	// that stays (3.6, 10, U).
	MergeKeepsNewestConsent bool `json:"mergeKeepsNewestConsent"`
	// MergeDropsPhone lets the phone number of the customer that goes go too; off, the one that stays takes it, with its SMS consent, if
	// it has none (3.6, 10, U).
	MergeDropsPhone bool `json:"mergeDropsPhone"`
	// TokenisedEmailSearch makes email: match every address that holds all tokens of the one asked for, so that "a@b.com" also
	// finds "x.a@b.com"; off, it matches exactly, ignoring case. How Shopify matches is not documented (4).
	TokenisedEmailSearch bool `json:"tokenisedEmailSearch"`
	// PagingEndIsError refuses the page after the 25,000th object; off, the last page says that there is no next one (2.3: the
	// limit is documented, what happens at it is not).
	PagingEndIsError bool `json:"pagingEndIsError"`
	// ShopNotPermitted answers the client-credentials grant as if app and store were in different organizations (1).
	ShopNotPermitted bool `json:"shopNotPermitted"`
	// ShopNotPermittedStatus is the HTTP status of that answer; zero means 400 (1, U).
	ShopNotPermittedStatus int `json:"shopNotPermittedStatus"`
	// WrongSecretStatus is the HTTP status when client id or secret are wrong; zero means 400 (not documented).
	WrongSecretStatus int `json:"wrongSecretStatus"`
	// RetryAfter is sent with HTTP 429, rounded up to seconds; zero sends none (7, on GraphQL U).
	RetryAfter time.Duration `json:"retryAfter"`
	// ConsentWebhookWithoutChange sends the consent webhook also for writes that were ignored or found the state already held; off, as
	// is assumed, such a write sends none. customers/update goes by updatedAt in both cases (5.1, 10, U).
	ConsentWebhookWithoutChange bool `json:"consentWebhookWithoutChange"`
	// OldSecretSigns is how long after a rotation of the client secret webhooks are still signed with the old one; at Shopify up to an
	// hour (5.1, D), zero means not at all. The grant takes both secrets meanwhile, which is not documented.
	OldSecretSigns time.Duration `json:"oldSecretSigns"`
	// OnlyExhaustedDeletes deletes a subscription only when one delivery has failed with all its retries; off, eight failed attempts in
	// a row delete it, of whatever deliveries they are. The text fits both (5.1).
	OnlyExhaustedDeletes bool `json:"onlyExhaustedDeletes"`
	// EngagementsAdd lets the totals of a day that was told before be added to; off, they are replaced (6.1, O).
	EngagementsAdd bool `json:"engagementsAdd"`
	// MetafieldsKeepUpdatedAt stops a metafield that is set from bumping Customer.updatedAt; off, it bumps (6.2, I).
	MetafieldsKeepUpdatedAt bool `json:"metafieldsKeepUpdatedAt"`
	// MetafieldDefinitionsFull refuses new definitions, because the store has as many as it may.
	MetafieldDefinitionsFull bool `json:"metafieldDefinitionsFull"`
}

// defaultScopes are what a consent sync needs.
var defaultScopes = []string{"read_customers", "write_customers", "read_orders"}
