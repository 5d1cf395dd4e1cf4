// Package payloadtest holds examples of what Shopify's webhooks say.
package payloadtest

import (
	"fmt"
	"strings"

	"github.com/concordsync/concord/internal/webhook/payload"
)

// Payloads are examples of each topic's payload, as Shopify's reference shows them (contracts/shopify.md 5.3).
func Payloads(shop string) map[string]string {
	return map[string]string{
		payload.TopicEmailConsent: `{"customer_id":706405506930370084,"email_address":"bob@example.com","email_marketing_consent":` +
			`{"state":"subscribed","opt_in_level":"single_opt_in","consent_updated_at":"2026-11-01T10:00:00Z"}}`,
		payload.TopicSMSConsent: `{"id":706405506930370084,"phone":"+15550001111","sms_marketing_consent":{"state":"subscribed",` +
			`"opt_in_level":"single_opt_in","consent_updated_at":"2026-11-01T10:00:00Z","consent_collected_from":"other"}}`,
		payload.TopicCustomerCreate: customer,
		payload.TopicCustomerUpdate: customer,
		payload.TopicCustomerDelete: `{"id":706405506930370084,"tax_exemptions":[],"admin_graphql_api_id":"gid://shopify/Customer/706405506930370084"}`,
		payload.TopicCustomerMerge: `{"admin_graphql_api_customer_kept_id":"gid://shopify/Customer/1",` +
			`"admin_graphql_api_customer_deleted_id":"gid://shopify/Customer/2","admin_graphql_api_job_id":null,"status":"completed","errors":[]}`,
		payload.TopicOrderCreate: `{"id":820982911946154508,"admin_graphql_api_id":"gid://shopify/Order/820982911946154508",` +
			`"buyer_accepts_marketing":true,"contact_email":"jon@example.com","email":"jon@example.com","phone":null,` +
			`"created_at":"2026-11-01T10:00:00-05:00","customer_locale":"en","name":"#9999","source_name":"web","test":false,"total_price":"398.00",` +
			`"currency":"USD","customer":{"id":115310627314723954,"email":"john@example.com","phone":null,"first_name":"John",` +
			`"admin_graphql_api_id":"gid://shopify/Customer/115310627314723954"},"line_items":[]}`,
		payload.TopicBulkFinish: `{"admin_graphql_api_id":"gid://shopify/BulkOperation/1","completed_at":"2026-11-01T10:00:00Z",` +
			`"created_at":"2026-11-01T10:00:00Z","error_code":null,"status":"completed","type":"mutation"}`,
		payload.TopicUninstalled: `{"id":548380009,"name":"Shop","email":"a@example.com","domain":"shop.example","myshopify_domain":"` + shop + `"}`,
		payload.TopicDataRequest: `{"shop_id":1,"shop_domain":"` + shop + `","orders_requested":[1,2],"customer":{"id":3,"email":"a@example.com",` +
			`"phone":"+15550001111"},"data_request":{"id":4}}`,
		payload.TopicCustomerRedact: `{"shop_id":1,"shop_domain":"` + shop + `","customer":{"id":3,"email":"a@example.com","phone":"+15550001111"},` +
			`"orders_to_redact":[1,2]}`,
		payload.TopicShopRedact: `{"shop_id":1,"shop_domain":"` + shop + `"}`,
	}
}

const customer = `{"id":706405506930370084,"created_at":"2026-11-01T10:00:00Z","updated_at":"2026-11-01T10:00:00Z","first_name":"Bob","last_name":"B",` +
	`"state":"disabled","note":null,"verified_email":true,"email":"bob@example.com","phone":null,"currency":"USD","addresses":[],` +
	`"admin_graphql_api_id":"gid://shopify/Customer/706405506930370084","default_address":{"id":2,"customer_id":706405506930370084}}`

// Order is the payload of the nth order of a load: of a customer and an address of its own, and about as long as an order with a few lines.
func Order(n int) []byte {
	return fmt.Appendf(nil, `{"id":%d,"admin_graphql_api_id":"gid://shopify/Order/%[1]d","email":"load-%[1]d@example.com",`+
		`"contact_email":"load-%[1]d@example.com","created_at":"2026-11-01T10:00:00Z","source_name":"web",%s"customer":{"id":%[3]d,`+
		`"email":"load-%[1]d@example.com","admin_graphql_api_id":"gid://shopify/Customer/%[3]d"}}`, 5_000_000_000_000+n, orderLines, 7_000_000_000_000+n)
}

var orderLines = `"line_items":[` + strings.TrimSuffix(strings.Repeat(`{"id":466157049,"admin_graphql_api_id":"gid://shopify/LineItem/466157049",`+
	`"attributed_staffs":[],"current_quantity":1,"fulfillable_quantity":1,"fulfillment_service":"manual","fulfillment_status":null,"gift_card":false,`+
	`"grams":200,"name":"A thing with a name","price":"199.00","price_set":{"shop_money":{"amount":"199.00","currency_code":"USD"},`+
	`"presentment_money":{"amount":"199.00","currency_code":"USD"}},"product_exists":true,"product_id":632910392,"properties":[],"quantity":1,`+
	`"requires_shipping":true,"sku":"SKU2006-001","taxable":true,"title":"A thing","variant_id":808950810,"vendor":null,"tax_lines":[],"duties":[]},`, 8),
	",") + `],`
