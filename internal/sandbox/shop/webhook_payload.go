package shop

import (
	"encoding/json"
	"strings"
	"time"
)

// shopNumber is the store's id; see shopNode.
const shopNumber = 1

// shopZone is the zone in which orders are dated: a REST date has the offset of the store, which a reader must not take for UTC.
var shopZone = time.FixedZone("", -5*60*60)

// Payloads are those of contracts/shopify.md 5.3, with its names, which differ from topic to topic. Members are as the reference lists
// them; what the sandbox does not model is null or empty.
type (
	consentPayload struct {
		CustomerID int64  `json:"customer_id"`
		Email      string `json:"email_address"`
		Consent    struct {
			State     string  `json:"state"`
			Level     *string `json:"opt_in_level"`
			UpdatedAt *string `json:"consent_updated_at"`
		} `json:"email_marketing_consent"`
	}
	smsConsentPayload struct {
		ID      int64   `json:"id"`
		Phone   *string `json:"phone"`
		Consent struct {
			State         string  `json:"state"`
			Level         *string `json:"opt_in_level"`
			UpdatedAt     *string `json:"consent_updated_at"`
			CollectedFrom *string `json:"consent_collected_from"`
		} `json:"sms_marketing_consent"`
	}
	customerPayload struct {
		ID                  int64     `json:"id"`
		CreatedAt           string    `json:"created_at"`
		UpdatedAt           string    `json:"updated_at"`
		FirstName           *string   `json:"first_name"`
		LastName            *string   `json:"last_name"`
		State               string    `json:"state"`
		Note                *string   `json:"note"`
		VerifiedEmail       bool      `json:"verified_email"`
		MultipassIdentifier *string   `json:"multipass_identifier"`
		TaxExempt           bool      `json:"tax_exempt"`
		Email               *string   `json:"email"`
		Phone               *string   `json:"phone"`
		Currency            string    `json:"currency"`
		Addresses           []string  `json:"addresses"`
		TaxExemptions       []string  `json:"tax_exemptions"`
		AdminGraphQLID      string    `json:"admin_graphql_api_id"`
		DefaultAddress      *struct{} `json:"default_address"`
	}
	deletionPayload struct {
		ID             int64    `json:"id"`
		TaxExemptions  []string `json:"tax_exemptions"`
		AdminGraphQLID string   `json:"admin_graphql_api_id"`
	}
	mergePayload struct {
		Kept    CustomerID `json:"admin_graphql_api_customer_kept_id"`
		Deleted CustomerID `json:"admin_graphql_api_customer_deleted_id"`
		Job     *string    `json:"admin_graphql_api_job_id"`
		Status  string     `json:"status"`
		Errors  []string   `json:"errors"`
	}
	orderPayload struct {
		ID               int64          `json:"id"`
		AdminGraphQLID   string         `json:"admin_graphql_api_id"`
		AcceptsMarketing bool           `json:"buyer_accepts_marketing"`
		ContactEmail     *string        `json:"contact_email"`
		Email            *string        `json:"email"`
		Phone            *string        `json:"phone"`
		CreatedAt        string         `json:"created_at"`
		ProcessedAt      string         `json:"processed_at"`
		UpdatedAt        string         `json:"updated_at"`
		Locale           string         `json:"customer_locale"`
		Name             string         `json:"name"`
		Test             bool           `json:"test"`
		TotalPrice       string         `json:"total_price"`
		Currency         string         `json:"currency"`
		SourceName       string         `json:"source_name"`
		Customer         *orderCustomer `json:"customer"`
		LineItems        []string       `json:"line_items"`
	}
	orderCustomer struct {
		ID             int64   `json:"id"`
		Email          *string `json:"email"`
		Phone          *string `json:"phone"`
		FirstName      *string `json:"first_name"`
		LastName       *string `json:"last_name"`
		State          string  `json:"state"`
		AdminGraphQLID string  `json:"admin_graphql_api_id"`
	}
	bulkPayload struct {
		AdminGraphQLID string  `json:"admin_graphql_api_id"`
		CompletedAt    string  `json:"completed_at"`
		CreatedAt      string  `json:"created_at"`
		ErrorCode      *string `json:"error_code"`
		Status         string  `json:"status"`
		Type           string  `json:"type"`
	}
	shopPayload struct {
		ID              int64  `json:"id"`
		Name            string `json:"name"`
		Email           string `json:"email"`
		Domain          string `json:"domain"`
		MyshopifyDomain string `json:"myshopify_domain"`
		PlanName        string `json:"plan_name"`
		SMSAtCheckout   bool   `json:"marketing_sms_consent_enabled_at_checkout"`
	}
	privacyCustomer struct {
		ID    int64   `json:"id"`
		Email *string `json:"email"`
		Phone *string `json:"phone"`
	}
	dataRequestPayload struct {
		ShopID      int64           `json:"shop_id"`
		ShopDomain  string          `json:"shop_domain"`
		Orders      []int64         `json:"orders_requested"`
		Customer    privacyCustomer `json:"customer"`
		DataRequest struct {
			ID int64 `json:"id"`
		} `json:"data_request"`
	}
	customerRedactPayload struct {
		ShopID     int64           `json:"shop_id"`
		ShopDomain string          `json:"shop_domain"`
		Customer   privacyCustomer `json:"customer"`
		Orders     []int64         `json:"orders_to_redact"`
	}
	shopRedactPayload struct {
		ShopID     int64  `json:"shop_id"`
		ShopDomain string `json:"shop_domain"`
	}
)

// payload is the body of a webhook that tells of an event.
func (s *Store) payload(e Event) []byte {
	if len(e.Payload) > 0 {
		return e.Payload
	}
	body, err := json.Marshal(s.payloadOf(e))
	if err != nil {
		panic(err) // only types of this package come here
	}
	return body
}

func (s *Store) payloadOf(e Event) any {
	number := numberOf(string(e.Customer.ID), customerPrefix)
	switch e.Topic {
	case TopicEmailConsent:
		p := consentPayload{CustomerID: number, Email: e.Customer.Email}
		p.Consent.State, p.Consent.Level, p.Consent.UpdatedAt = e.Customer.Consent.inPayload()
		return p
	case TopicSMSConsent:
		p := smsConsentPayload{ID: number, Phone: orNull(e.Customer.Phone)}
		p.Consent.State, p.Consent.Level, p.Consent.UpdatedAt = e.Customer.SMSConsent.inPayload()
		p.Consent.CollectedFrom = orNull(strings.ToLower(string(e.Customer.SMSCollectedFrom)))
		return p
	case TopicCustomerCreate, TopicCustomerUpdate:
		return customerPayload{
			ID: number, CreatedAt: e.Customer.CreatedAt.Format(time.RFC3339), UpdatedAt: e.Customer.UpdatedAt.Format(time.RFC3339),
			State: "disabled", VerifiedEmail: true, Email: orNull(e.Customer.Email), Phone: orNull(e.Customer.Phone), Currency: "USD",
			Addresses: []string{}, TaxExemptions: []string{}, AdminGraphQLID: string(e.Customer.ID),
		}
	case TopicCustomerDelete:
		return deletionPayload{ID: number, TaxExemptions: []string{}, AdminGraphQLID: string(e.Customer.ID)}
	case TopicCustomerMerge:
		return mergePayload{Kept: e.Customer.ID, Deleted: e.Merged, Status: "completed", Errors: []string{}}
	case TopicOrderCreate:
		return orderPayloadOf(e)
	case TopicUninstalled:
		return shopPayload{ID: shopNumber, Name: s.config.Name, Email: "owner@example.com", Domain: s.config.Domain,
			MyshopifyDomain: s.config.Domain, PlanName: s.config.Plan.displayName()}
	case TopicBulkFinished:
		at := e.At.UTC().Format(time.RFC3339)
		return bulkPayload{AdminGraphQLID: "gid://shopify/BulkOperation/1", CompletedAt: at, CreatedAt: at, Status: "completed",
			Type: "mutation"}
	case TopicDataRequest:
		p := dataRequestPayload{ShopID: shopNumber, ShopDomain: s.config.Domain, Orders: numbersOf(e.Orders),
			Customer: privacyCustomerOf(e)}
		p.DataRequest.ID = e.Request
		return p
	case TopicCustomerRedact:
		return customerRedactPayload{ShopID: shopNumber, ShopDomain: s.config.Domain,
			Customer: privacyCustomerOf(e), Orders: numbersOf(e.Orders)}
	default:
		return shopRedactPayload{ShopID: shopNumber, ShopDomain: s.config.Domain}
	}
}

// inPayload is in lower case, unlike GraphQL (contracts/shopify.md 3.2).
func (c Consent) inPayload() (state string, level, updatedAt *string) {
	if !c.UpdatedAt.IsZero() {
		updatedAt = orNull(c.UpdatedAt.Format(time.RFC3339))
	}
	return strings.ToLower(string(c.State)), orNull(strings.ToLower(string(c.Level))), updatedAt
}

func privacyCustomerOf(e Event) privacyCustomer {
	c := e.Customer
	return privacyCustomer{ID: numberOf(string(c.ID), customerPrefix), Email: orNull(c.Email), Phone: orNull(c.Phone)}
}

func orderPayloadOf(e Event) orderPayload {
	at := e.Order.CreatedAt.In(shopZone).Format(time.RFC3339)
	number := numberOf(string(e.Order.ID), orderPrefix)
	p := orderPayload{
		ID: number, AdminGraphQLID: string(e.Order.ID), AcceptsMarketing: e.Customer.Consent.State == Subscribed,
		ContactEmail: orNull(e.Order.Email), Email: orNull(e.Order.Email), Phone: orNull(e.Order.Phone),
		CreatedAt: at, ProcessedAt: at, UpdatedAt: at, Locale: "en",
		Name: "#" + itoa(int(number)), Test: e.Order.Test, TotalPrice: "398.00", Currency: "USD", SourceName: e.Order.SourceName,
		LineItems: []string{},
	}
	if e.Customer.ID != "" {
		p.Customer = &orderCustomer{ID: numberOf(string(e.Customer.ID), customerPrefix), Email: orNull(e.Customer.Email),
			Phone: orNull(e.Customer.Phone), State: "disabled", AdminGraphQLID: string(e.Customer.ID)}
	}
	return p
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func numbersOf(orders []OrderID) []int64 {
	numbers := make([]int64, 0, len(orders))
	for _, id := range orders {
		numbers = append(numbers, numberOf(string(id), orderPrefix))
	}
	return numbers
}
