package shopify

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/Khan/genqlient/graphql"
	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/concordsync/concord/internal/shopify/admin"
)

// TestCostsAreThoseOfTheFormula computes the points of our documents, alone and aliased, by contracts/shopify.md 2.2.
func TestCostsAreThoseOfTheFormula(t *testing.T) {
	t.Parallel()
	documents := map[operation]string{
		opAccess: admin.Access_Operation, opProbeCustomers: admin.ProbeCustomers_Operation, opProbeOrders: admin.ProbeOrders_Operation,
		opChangedCustomers: admin.ChangedCustomers_Operation, opCustomersByID: admin.CustomersByID_Operation,
		opCustomerByEmail: admin.CustomerByIdentifier_Operation, opCustomerByPhone: admin.CustomerByIdentifier_Operation,
		opUpdateSMS: admin.UpdateSMSConsent_Operation, opOrdersOfCustomer: admin.OrdersOfCustomer_Operation,
		opOrdersOfEmail: admin.OrdersOfEmail_Operation, opUpdateEmail: admin.UpdateEmailConsent_Operation,
		opCreateCustomer: admin.CreateCustomer_Operation, opWebhookSubscriptions: admin.WebhookSubscriptions_Operation,
		opCreateSubscription: admin.CreateWebhookSubscription_Operation, opDeleteSubscription: admin.DeleteWebhookSubscription_Operation,
		opShopZone: admin.ShopZone_Operation, opUpsertActivity: admin.UpsertMarketingActivity_Operation,
		opCreateEngagement: admin.CreateMarketingEngagement_Operation, opSetMetafields: admin.SetMetafields_Operation,
		opCreateDefinition: admin.CreateMetafieldDefinition_Operation,
	}
	for op, document := range documents {
		if got := costOf(t, op, document); got != op.points {
			t.Errorf("operation %s costs %d points, its constant says %d", op.name, got, op.points)
		}
		without, err := admin.WithoutPhones(document)
		require.NoError(t, err)
		if got := costOf(t, op, without); got != op.withoutPhones().points {
			t.Errorf("operation %s costs %d points without phones, its constant says %d", op.name, got, op.withoutPhones().points)
		}
		if strings.Contains(without, "hone") {
			t.Errorf("operation %s without phones asks for one:\n%s", op.name, without)
		}
	}

	keys, searches := make([]string, maxLookups), make([]admin.OrderSearch, maxLookups)
	consents, customers := make([]admin.CustomerEmailMarketingConsentUpdateInput, MaxWrites), make([]admin.CustomerInput, MaxWrites)
	smsConsents := make([]admin.CustomerSmsMarketingConsentUpdateInput, MaxWrites)
	for op, request := range map[operation]*graphql.Request{
		opCustomerByEmail:  requestOf(admin.CustomersByEmail(keys)),
		opCustomerByPhone:  requestOf(admin.CustomersByPhone(keys)),
		opOrdersOfCustomer: requestOf(admin.OrdersOfCustomers(searches)),
		opOrdersOfEmail:    requestOf(admin.OrdersOfEmails(searches)),
		opUpdateEmail:      requestOf(admin.UpdateEmailConsents(consents)),
		opUpdateSMS:        requestOf(admin.UpdateSMSConsents(smsConsents)),
		opCreateCustomer:   requestOf(admin.CreateCustomers(customers)),
		opCreateEngagement: requestOf(admin.CreateMarketingEngagements(make([]string, MaxEngagements), make([]admin.MarketingEngagementInput, MaxEngagements))),
	} {
		require.NotNil(t, request, "no aliased request for %s", op.name)
		got := costOf(t, op, request.Query)
		if got != 50*op.points {
			t.Errorf("50 times %s cost %d points, the budget takes %d", op.name, got, 50*op.points)
		}
		if got > maxRequestCost {
			t.Errorf("50 times %s cost %d points, more than the %d of one request", op.name, got, maxRequestCost)
		}
	}
}

func requestOf[R any](batch admin.Batch[R], err error) *graphql.Request {
	if err != nil {
		return nil
	}
	return batch.Request
}

func costOf(t *testing.T, op operation, document string) int {
	t.Helper()
	schema := gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphql", Input: Schema})
	query, errs := gqlparser.LoadQueryWithRules(schema, document, rules.NewDefaultRules())
	require.Empty(t, errs, "operation %s", op.name)
	require.Len(t, query.Operations, 1)
	total := 0
	for _, selection := range query.Operations[0].SelectionSet {
		field := selection.(*ast.Field)
		if query.Operations[0].Operation == ast.Query {
			total += fieldCost(field)
			continue
		}
		total += 10
		for _, below := range field.SelectionSet {
			// The payload's own members are free, what they hold is not.
			if own := below.(*ast.Field); own.Name != "userErrors" && own.SelectionSet != nil {
				total += selectionCost(own.SelectionSet)
			}
		}
	}
	return max(1, total)
}

func fieldCost(field *ast.Field) int {
	name := field.Definition.Type.Name()
	switch {
	case len(field.SelectionSet) == 0, name == "PageInfo":
		return 0
	case strings.HasSuffix(name, "Connection"):
		perNode := 0
		for _, selection := range field.SelectionSet {
			switch own := selection.(*ast.Field); own.Name {
			case "nodes":
				perNode += 1 + selectionCost(own.SelectionSet)
			case "edges":
				for _, edge := range own.SelectionSet {
					if node := edge.(*ast.Field); node.Name == "node" {
						perNode += 1 + selectionCost(node.SelectionSet)
					}
				}
			}
		}
		return 2 + connectionSize(field)*perNode
	default:
		return 1 + selectionCost(field.SelectionSet)
	}
}

func selectionCost(set ast.SelectionSet) int {
	sum, dearest := 0, 0
	for _, selection := range set {
		switch own := selection.(type) {
		case *ast.Field:
			sum += fieldCost(own)
		case *ast.InlineFragment:
			dearest = max(dearest, selectionCost(own.SelectionSet))
		case *ast.FragmentSpread:
			sum += selectionCost(own.Definition.SelectionSet)
		}
	}
	return sum + dearest
}

func connectionSize(field *ast.Field) int {
	first := field.Arguments.ForName("first")
	if first == nil {
		return 0
	}
	n, err := strconv.Atoi(first.Value.Raw)
	if err != nil || n <= 0 {
		return 0
	}
	return max(1, int(2*math.Log(float64(n))))
}

func TestLearnedCostOnlyRises(t *testing.T) {
	t.Parallel()
	var costs learnedCosts
	require.Equal(t, 26, costs.of(opUpdateEmail, 2))
	costs.learn(opUpdateEmail, 10, 120) // cheaper than we thought: the constant stays
	require.Equal(t, 26, costs.of(opUpdateEmail, 2))
	costs.learn(opUpdateEmail, 10, 141) // 14.1 an item
	require.Equal(t, 30, costs.of(opUpdateEmail, 2))
	costs.learn(opUpdateEmail, 1, 5000) // no request can cost that
	require.Equal(t, 30, costs.of(opUpdateEmail, 2))
	require.Equal(t, 26, costs.of(opUpdateSMS, 2), "another document")
}
