package shop

import "github.com/vektah/gqlparser/v2/ast"

// fieldScopes are the scopes that fields need (contracts/shopify.md 1).
var fieldScopes = map[string]string{
	"QueryRoot.customer":                                  "read_customers",
	"QueryRoot.customerByIdentifier":                      "read_customers",
	"QueryRoot.customers":                                 "read_customers",
	"QueryRoot.orders":                                    "read_orders",
	"Customer.orders":                                     "read_orders",
	"Order.customer":                                      "read_customers",
	"CustomerCreatePayload.customer":                      "read_customers",
	"CustomerEmailMarketingConsentUpdatePayload.customer": "read_customers",
	"Mutation.customerCreate":                             "write_customers",
	"CustomerSmsMarketingConsentUpdatePayload.customer":   "read_customers",
	"Mutation.customerEmailMarketingConsentUpdate":        "write_customers",
	"Mutation.customerSmsMarketingConsentUpdate":          "write_customers",
	"Mutation.metafieldDefinitionCreate":                  "write_customers",
	"Mutation.metafieldsSet":                              "write_customers",
	"Mutation.marketingActivityUpsertExternal":            "write_marketing_events",
	"Mutation.marketingEngagementCreate":                  "write_marketing_events",

	"MarketingActivityUpsertExternalPayload.marketingActivity": "read_marketing_events",
}

// protectedFields lead to protected customer data of level 1; the value is the object that the refusal names.
var protectedFields = map[string]string{
	"QueryRoot.customer":                                  "Customer",
	"QueryRoot.customerByIdentifier":                      "Customer",
	"QueryRoot.customers":                                 "Customer",
	"QueryRoot.orders":                                    "Order",
	"Customer.orders":                                     "Order",
	"Order.customer":                                      "Customer",
	"CustomerCreatePayload.customer":                      "Customer",
	"CustomerEmailMarketingConsentUpdatePayload.customer": "Customer",
	"CustomerSmsMarketingConsentUpdatePayload.customer":   "Customer",
}

// level2Fields are protected customer data of level 2: addresses and phone numbers.
var level2Fields = map[string]bool{
	"CustomerEmailAddress.emailAddress": true, "CustomerPhoneNumber.phoneNumber": true, "Order.email": true,
}

// accessError refuses a field for want of a scope, or of approval for protected customer data.
type accessError struct {
	message string
	scope   string
}

// Error implements error.
func (e *accessError) Error() string { return e.message }

func (e *accessError) extensions() *errorExtensions {
	if e.scope == "" {
		return nil
	}
	return &errorExtensions{
		Code:           "ACCESS_DENIED",
		Documentation:  "https://shopify.dev/api/usage/access-scopes",
		RequiredAccess: "`" + e.scope + "` access scope.",
	}
}

func missingScope(field, scope string) error {
	return &accessError{
		message: "Access denied for " + field + " field. Required access: `" + scope + "` access scope.", scope: scope,
	}
}

// notApproved's text for objects is the contract's; that for fields is like it, but the contract does not show one.
func notApproved(what string) error {
	return &accessError{
		message: "This app is not approved to " + what + ". See https://partners.shopify.com/1/apps/1/customer_data for more details.",
	}
}

// fieldAccess says whether the app may read a field.
func (s *Store) fieldAccess(parent *ast.Definition, field string) error {
	key := parent.Name + "." + field
	if scope, needed := fieldScopes[key]; needed && !s.hasScope(scope) {
		return missingScope(field, scope)
	}
	if object, protected := protectedFields[key]; protected && s.config.ProtectedData == ProtectedDataNone {
		return notApproved("access the " + object + " object")
	}
	emailsOnly := s.config.ProtectedData == ProtectedDataEmails && key != "CustomerPhoneNumber.phoneNumber"
	if level2Fields[key] && s.config.ProtectedData != ProtectedDataAll && !emailsOnly {
		return notApproved("use the " + field + " field")
	}
	return nil
}

// elementAccess guards nodes(ids:), whose elements tell only by their type what they need.
func (x *execution) elementAccess(field *ast.Field, element object) error {
	if field.Name != "nodes" || field.ObjectDefinition != x.schema.Query {
		return nil
	}
	scope := map[string]string{"Customer": "read_customers", "Order": "read_orders"}[element.typeName()]
	if scope == "" {
		return nil
	}
	if !x.store.hasScope(scope) {
		return missingScope(field.Name, scope)
	}
	if x.store.config.ProtectedData == ProtectedDataNone {
		return notApproved("access the " + element.typeName() + " object")
	}
	return nil
}
