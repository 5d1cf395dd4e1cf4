package shopify

import (
	"math"
	"sync"
)

// Points that Shopify charges for one item of each operation, by the formula of contracts/shopify.md 2.2; cost_test.go computes them
// from the documents. That the object smsMarketingConsent costs a point is inferred: it is new in 2026-10, and nobody has measured it.
// One request may cost 1000 points.
const (
	// WriteCost is the points of one consent written by UpdateEmailConsents or UpdateSMSConsents: both show the whole customer.
	WriteCost = 13
	// CreateCost is the points of one customer made by CreateCustomers.
	CreateCost = 13
	// PhoneCost is the part of any of these, and of every read of a customer, that the phone number with its consent costs: a client
	// without phones pays that much less.
	PhoneCost = 2
	// MaxWrites is how many writes fit into one request of UpdateEmailConsents, UpdateSMSConsents or CreateCustomers.
	MaxWrites = 50
	// MaxEngagements is how many days of activities fit into one request of CreateEngagements.
	MaxEngagements = 50
	// MaxMetafields is how many metafields one metafieldsSet takes (introspection, metafieldsSet), and MaxMetafieldSets how many of those
	// go into one request of SetMetafields: few enough that consent does not wait long behind one.
	MaxMetafields    = 25
	MaxMetafieldSets = 10
	// MaxIDs is how many customers one request of CustomersByID reads.
	MaxIDs = 250

	costAccess           = 4
	costProbeCustomers   = 6
	costProbeOrders      = 4
	costChangedCustomers = 13
	costCustomersByID    = 4
	costCustomerByKey    = 4
	costOrdersOfCustomer = 7
	costOrdersOfEmail    = 10
	costSubscriptions    = 13
	costSubscription     = 10
	costShopZone         = 1
	costActivity         = 10
	costEngagement       = 10
	costMetafields       = 10
	costDefinition       = 10

	maxRequestCost = 1000
	maxLookups     = 50
)

// operation is one of our documents.
type operation struct {
	// name is the GraphQL operation's; verb says it in words, for errors.
	name, verb string
	// points is the cost of one item.
	points int
	write  bool
	// customers: what comes back shows customers whole.
	customers bool
	claim     claim
}

// claim is what points an operation may take. Zero: it waits for them with the others.
type claim uint8

const (
	// spare: it takes only points that nothing else needs.
	spare claim = iota + 1
	// modest: the same, and a small share of the others when there are none.
	modest
)

// withoutPhones is the operation as a client without phones sends it.
func (op operation) withoutPhones() operation {
	if op.customers {
		op.points -= PhoneCost
	}
	return op
}

var (
	opAccess           = operation{name: "Access", verb: "read shop and scopes", points: costAccess}
	opProbeCustomers   = operation{name: "ProbeCustomers", verb: "read a customer", points: costProbeCustomers, customers: true}
	opProbeOrders      = operation{name: "ProbeOrders", verb: "read an order", points: costProbeOrders}
	opChangedCustomers = operation{name: "ChangedCustomers", verb: "read changed customers", points: costChangedCustomers}
	opCustomersByID    = operation{name: "CustomersByID", verb: "read customers by id", points: costCustomersByID, customers: true}
	opCustomerByEmail  = operation{name: "CustomerByIdentifier", verb: "look up customers by email", points: costCustomerByKey, customers: true}
	opCustomerByPhone  = operation{name: "CustomerByIdentifier", verb: "look up customers by phone", points: costCustomerByKey, customers: true}
	opOrdersOfCustomer = operation{name: "OrdersOfCustomer", verb: "read orders of customers", points: costOrdersOfCustomer}
	opOrdersOfEmail    = operation{name: "OrdersOfEmail", verb: "search orders by email", points: costOrdersOfEmail}
	opUpdateEmail      = operation{name: "UpdateEmailConsent", verb: "update email consents", points: WriteCost, write: true, customers: true}
	opUpdateSMS        = operation{name: "UpdateSMSConsent", verb: "update SMS consents", points: WriteCost, write: true, customers: true}
	opCreateCustomer   = operation{name: "CreateCustomer", verb: "create customers", points: CreateCost, write: true, customers: true}

	opShopZone       = operation{name: "ShopZone", verb: "read the shop's time zone", points: costShopZone}
	opUpsertActivity = operation{name: "UpsertMarketingActivity", verb: "store a marketing activity", points: costActivity, write: true,
		claim: modest}
	opCreateEngagement = operation{name: "CreateMarketingEngagement", verb: "send the totals of marketing activities", points: costEngagement,
		write: true, claim: modest}
	opSetMetafields    = operation{name: "SetMetafields", verb: "set metafields of customers", points: costMetafields, write: true, claim: spare}
	opCreateDefinition = operation{name: "CreateMetafieldDefinition", verb: "define metafields", points: costDefinition, write: true,
		claim: modest}

	opWebhookSubscriptions = operation{name: "WebhookSubscriptions", verb: "read webhook subscriptions", points: costSubscriptions}
	opCreateSubscription   = operation{name: "CreateWebhookSubscription", verb: "create a webhook subscription", points: costSubscription,
		write: true}
	opDeleteSubscription = operation{name: "DeleteWebhookSubscription", verb: "delete a webhook subscription", points: costSubscription,
		write: true}
)

// learnedCosts corrects the constants: the formula is derived, not documented, and a call that costs more than we took from the
// budget would overrun it.
type learnedCosts struct {
	mu      sync.Mutex
	perItem map[string]int
}

func (l *learnedCosts) of(op operation, items int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(op.points, l.perItem[op.name]) * items
}

// learn takes what Shopify says that a request with so many items cost. A figure that no request can cost is not believed.
func (l *learnedCosts) learn(op operation, items int, requested float64) {
	perItem := int(math.Ceil(requested / float64(items)))
	if perItem <= op.points || requested > maxRequestCost {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.perItem == nil {
		l.perItem = map[string]int{}
	}
	l.perItem[op.name] = max(perItem, l.perItem[op.name])
}
