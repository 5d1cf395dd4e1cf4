package shop

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

func itoa(n int) string { return strconv.Itoa(n) }

// object is something with fields.
type object interface {
	typeName() string
	resolve(x *execution, call call) (value, error)
}

// call is one field asked of an object.
type call struct {
	name      string
	arguments inputs
	at        *path
}

// resolve asks for one field, if the app may read it.
func (x *execution) resolve(parent *ast.Definition, of object, field *ast.Field, at *path) (value, error) {
	if err := x.store.fieldAccess(parent, field.Name); err != nil {
		return value{}, err
	}
	return of.resolve(x, call{field.Name, x.arguments(field), at})
}

// unmodelled is a field that the schema has and the sandbox has not: loud, so that a new field cannot pass for null.
func unmodelled(typeName, field string) (value, error) {
	return value{}, fmt.Errorf("the sandbox does not model %s.%s", typeName, field)
}

// invalidID is Shopify's refusal of an id of another kind of object (contracts/shopify.md 7).
func invalidID(id string) error {
	return &APIError{Code: "RESOURCE_NOT_FOUND", Message: "Invalid id: " + id}
}

// queryRoot resolves queries and mutations.
type queryRoot struct{}

// typeName is empty: the root's type depends on the operation.
func (queryRoot) typeName() string { return "" }

func (queryRoot) resolve(x *execution, call call) (value, error) {
	switch call.name {
	case "currentAppInstallation":
		return value{object: installation{x.store.config.Scopes}}, nil
	case "customer":
		id := call.arguments.text("id")
		if !strings.HasPrefix(id, customerPrefix) {
			return value{}, invalidID(id)
		}
		return customerValue(x.store.CustomerByID(CustomerID(id)))
	case "customerByIdentifier":
		return customerByIdentifier(x.store, call.arguments.object("identifier"))
	case "customers":
		return customers(x, call)
	case "nodes":
		return nodes(x.store, call.arguments.texts("ids")), nil
	case "orders":
		return orders(x, call, "")
	case "shop":
		return value{object: shopNode{x.store.config}}, nil
	case "marketingActivityUpsertExternal":
		return upsertActivity(x.store, call.arguments.object("input")), nil
	case "marketingEngagementCreate":
		return createEngagement(x.store, call.arguments), nil
	case "metafieldDefinitionCreate":
		return defineMetafield(x.store, call.arguments.object("definition"))
	case "metafieldsSet":
		return setMetafields(x.store, call.arguments)
	case "webhookSubscriptions":
		return listSubscriptions(x.store, call.arguments)
	case "webhookSubscriptionCreate":
		return createSubscription(x.store, call.arguments)
	case "webhookSubscriptionDelete":
		id := SubscriptionID(call.arguments.text("id"))
		deleted := subscriptionPayload{name: "WebhookSubscriptionDeletePayload", userErrors: x.store.Unsubscribe(id)}
		if deleted.userErrors == nil {
			deleted.deleted = id
		}
		return value{object: deleted}, nil
	case createOperation:
		return writeAnswer("CustomerCreatePayload", "UserError")(x.store.CreateCustomerByAPI(customerInput(call.arguments.object("input"))))
	case byMail.operation:
		return updateConsent(x, &byMail, call.arguments.object("input"), "CustomerEmailMarketingConsentUpdatePayload",
			"CustomerEmailMarketingConsentUpdateUserError")
	case bySMS.operation:
		return updateConsent(x, &bySMS, call.arguments.object("input"), "CustomerSmsMarketingConsentUpdatePayload",
			"CustomerSmsMarketingConsentError")
	default:
		return unmodelled("QueryRoot or Mutation", call.name)
	}
}

func updateConsent(x *execution, to *channel, input inputs, payloadName, errorName string) (value, error) {
	consent := consentInput(input.object(to.member))
	if consent == nil {
		// A nullable variable with a default, sent as null, passes validation.
		return value{}, &APIError{Code: "BAD_REQUEST", Message: to.member + " must not be null"}
	}
	return writeAnswer(payloadName, errorName)(x.store.updateConsent(to, CustomerID(input.text("customerId")), *consent))
}

func consentInput(in inputs) *ConsentInput {
	if in == nil {
		return nil
	}
	return &ConsentInput{
		State: State(in.text("marketingState")), Level: OptInLevel(in.text("marketingOptInLevel")), At: in.instant("consentUpdatedAt"),
	}
}

func customerInput(in inputs) CustomerInput {
	return CustomerInput{
		Email: in.text("email"), Consent: consentInput(in.object(byMail.member)),
		Phone: in.text("phone"), SMSConsent: consentInput(in.object(bySMS.member)),
	}
}

func customerByIdentifier(store *Store, identifier inputs) (value, error) {
	switch id := identifier.text("id"); {
	case id != "" && !strings.HasPrefix(id, customerPrefix):
		return value{}, invalidID(id)
	case id != "":
		return customerValue(store.CustomerByID(CustomerID(id)))
	case identifier.text("phoneNumber") != "":
		return customerValue(store.CustomerByPhone(identifier.text("phoneNumber")))
	default:
		// The sandbox's customers have no metafields, so that those find nobody.
		return customerValue(store.Customer(identifier.text("emailAddress")))
	}
}

func customerValue(c Customer, found bool) (value, error) {
	if !found {
		return value{}, nil
	}
	return value{object: customerNode{c}}, nil
}

func nodes(store *Store, ids []string) value {
	found := make([]object, len(ids))
	for n, id := range ids {
		if c, ok := store.CustomerByID(CustomerID(id)); ok {
			found[n] = customerNode{c}
		} else if order, ok := store.orderByID(OrderID(id)); ok {
			found[n] = orderNode{order}
		}
	}
	return listOf(found)
}

func listing(arguments inputs) Listing {
	return Listing{
		Paging: Paging{
			First: arguments.number("first"), Last: arguments.number("last"),
			After: arguments.text("after"), Before: arguments.text("before"),
		},
		Query: arguments.text("query"), SortKey: arguments.text("sortKey"), Reverse: arguments.truth("reverse"),
	}
}

func (x *execution) warn(call call, query string, warnings []SearchWarning) {
	if warnings != nil {
		x.searches = append(x.searches, searchReport{call.at.steps(), query, warnings})
	}
}

func customers(x *execution, call call) (value, error) {
	asked := listing(call.arguments)
	page, err := x.store.ListCustomers(asked)
	if err != nil {
		return value{}, err
	}
	x.warn(call, asked.Query, page.Warnings)
	return connectionOf("Customer", page, func(c Customer) object { return customerNode{c} }), nil
}

func orders(x *execution, call call, of CustomerID) (value, error) {
	asked := listing(call.arguments)
	if call.arguments.text("savedSearchId") != "" {
		return unmodelled("QueryRoot", "orders(savedSearchId:)")
	}
	page, err := x.store.ListOrders(asked, of)
	if err != nil {
		return value{}, err
	}
	x.warn(call, asked.Query, page.Warnings)
	return connectionOf("Order", page, func(o Order) object { return orderNode{o} }), nil
}

// connection is a page in Relay's shape.
type connection struct {
	of                   string
	rows                 []edge
	hasNext, hasPrevious bool
}

func connectionOf[T any](of string, page Page[T], node func(T) object) value {
	rows := make([]edge, 0, len(page.Rows))
	for _, row := range page.Rows {
		rows = append(rows, edge{of, row.Cursor, node(row.Object)})
	}
	return value{object: connection{of, rows, page.HasNext, page.HasPrevious}}
}

func (c connection) typeName() string { return c.of + "Connection" }

func (c connection) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "nodes", "edges":
		list := make([]object, 0, len(c.rows))
		for _, row := range c.rows {
			if call.name == "nodes" {
				list = append(list, row.node)
			} else {
				list = append(list, row)
			}
		}
		return listOf(list), nil
	case "pageInfo":
		return value{object: pageInfo{c}}, nil
	default:
		return unmodelled(c.typeName(), call.name)
	}
}

type edge struct {
	of     string
	cursor string
	node   object
}

func (e edge) typeName() string { return e.of + "Edge" }

func (e edge) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "cursor":
		return text(e.cursor), nil
	case "node":
		return value{object: e.node}, nil
	default:
		return unmodelled(e.typeName(), call.name)
	}
}

type pageInfo struct{ connection connection }

func (pageInfo) typeName() string { return "PageInfo" }

func (p pageInfo) resolve(_ *execution, call call) (value, error) {
	rows := p.connection.rows
	switch call.name {
	case "hasNextPage":
		return truth(p.connection.hasNext), nil
	case "hasPreviousPage":
		return truth(p.connection.hasPrevious), nil
	case "startCursor":
		if len(rows) == 0 {
			return value{}, nil
		}
		return text(rows[0].cursor), nil
	case "endCursor":
		if len(rows) == 0 {
			return value{}, nil
		}
		return text(rows[len(rows)-1].cursor), nil
	default:
		return unmodelled("PageInfo", call.name)
	}
}

type customerNode struct{ customer Customer }

func (customerNode) typeName() string { return "Customer" }

func (c customerNode) resolve(x *execution, call call) (value, error) {
	switch call.name {
	case "id":
		return text(string(c.customer.ID)), nil
	case "createdAt":
		return instant(c.customer.CreatedAt), nil
	case "updatedAt":
		return instant(c.customer.UpdatedAt), nil
	case "defaultEmailAddress":
		if c.customer.Email == "" {
			return value{}, nil
		}
		return value{object: emailAddress(c)}, nil
	case "defaultPhoneNumber":
		if c.customer.Phone == "" {
			return value{}, nil
		}
		return value{object: phoneNumber(c)}, nil
	case "orders":
		return orders(x, call, c.customer.ID)
	default:
		return unmodelled("Customer", call.name)
	}
}

type emailAddress struct{ customer Customer }

func (emailAddress) typeName() string { return "CustomerEmailAddress" }

func (e emailAddress) resolve(_ *execution, call call) (value, error) {
	switch consent := e.customer.Consent; call.name {
	case "emailAddress":
		return text(e.customer.Email), nil
	case "marketingState":
		return text(string(consent.State)), nil
	case "marketingOptInLevel":
		return optionalText(string(consent.Level)), nil
	case "marketingUpdatedAt":
		return instant(consent.UpdatedAt), nil
	default:
		return unmodelled("CustomerEmailAddress", call.name)
	}
}

type phoneNumber struct{ customer Customer }

func (phoneNumber) typeName() string { return "CustomerPhoneNumber" }

func (p phoneNumber) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "phoneNumber":
		return text(p.customer.Phone), nil
	case "smsMarketingConsent":
		return value{object: smsConsent{p.customer.SMSConsent}}, nil
	default:
		return unmodelled("CustomerPhoneNumber", call.name)
	}
}

type smsConsent struct{ consent Consent }

func (smsConsent) typeName() string { return "CustomerSmsMarketingConsent" }

func (c smsConsent) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "state":
		if c.consent.State == NotSubscribed {
			return text("NEVER_SUBSCRIBED"), nil // the one state that this enum names otherwise (contracts/shopify.md 3.2)
		}
		return text(string(c.consent.State)), nil
	case "optInLevel":
		return optionalText(string(c.consent.Level)), nil
	case "updatedAt":
		return instant(c.consent.UpdatedAt), nil
	default:
		return unmodelled("CustomerSmsMarketingConsent", call.name)
	}
}

type orderNode struct{ order Order }

func (orderNode) typeName() string { return "Order" }

func (o orderNode) resolve(x *execution, call call) (value, error) {
	switch call.name {
	case "id":
		return text(string(o.order.ID)), nil
	case "createdAt":
		return instant(o.order.CreatedAt), nil
	case "cancelledAt":
		return instant(o.order.CancelledAt), nil
	case "customer":
		return customerValue(x.store.CustomerByID(o.order.CustomerID))
	case "email":
		return optionalText(o.order.Email), nil
	case "sourceName":
		return optionalText(o.order.SourceName), nil
	case "test":
		return truth(o.order.Test), nil
	default:
		return unmodelled("Order", call.name)
	}
}

type shopNode struct{ config Config }

func (shopNode) typeName() string { return "Shop" }

func (s shopNode) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "id":
		return text("gid://shopify/Shop/1"), nil
	case "name":
		return text(s.config.Name), nil
	case "ianaTimezone":
		return text(s.config.Zone), nil
	case "myshopifyDomain":
		return text(s.config.Domain), nil
	case "plan":
		return value{object: planNode{s.config.Plan}}, nil
	default:
		return unmodelled("Shop", call.name)
	}
}

type planNode struct{ plan Plan }

func (planNode) typeName() string { return "ShopPlan" }

func (p planNode) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "partnerDevelopment":
		return truth(false), nil
	case "publicDisplayName":
		return text(p.plan.displayName()), nil
	case "shopifyPlus":
		return truth(p.plan == Plus || p.plan == Enterprise), nil
	default:
		return unmodelled("ShopPlan", call.name)
	}
}

type installation struct{ scopes []string }

func (installation) typeName() string { return "AppInstallation" }

func (i installation) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "id":
		return text("gid://shopify/AppInstallation/1"), nil
	case "accessScopes":
		list := make([]object, 0, len(i.scopes))
		for _, scope := range i.scopes {
			list = append(list, scopeNode(scope))
		}
		return listOf(list), nil
	default:
		return unmodelled("AppInstallation", call.name)
	}
}

type scopeNode string

func (scopeNode) typeName() string { return "AccessScope" }

func (s scopeNode) resolve(_ *execution, call call) (value, error) {
	if call.name == "handle" {
		return text(string(s)), nil
	}
	return unmodelled("AccessScope", call.name)
}

// payload is what a mutation answers.
type payload struct {
	name, errorName string
	answer          WriteAnswer
}

func writeAnswer(name, errorName string) func(WriteAnswer, error) (value, error) {
	return func(answer WriteAnswer, err error) (value, error) {
		if err != nil {
			return value{}, err
		}
		return value{object: payload{name, errorName, answer}}, nil
	}
}

func (p payload) typeName() string { return p.name }

func (p payload) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "customer":
		if p.answer.Customer == nil {
			return value{}, nil
		}
		return value{object: customerNode{*p.answer.Customer}}, nil
	case "userErrors":
		list := make([]object, 0, len(p.answer.UserErrors))
		for _, refused := range p.answer.UserErrors {
			list = append(list, userErrorNode{p.errorName, refused})
		}
		return listOf(list), nil
	default:
		return unmodelled(p.name, call.name)
	}
}

type userErrorNode struct {
	name    string
	refused UserError
}

func (u userErrorNode) typeName() string { return u.name }

func (u userErrorNode) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "field":
		return optionalTexts(u.refused.Field), nil
	case "message":
		return text(u.refused.Message), nil
	case "code":
		return optionalText(u.refused.Code), nil
	default:
		return unmodelled(u.name, call.name)
	}
}
