package admin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/Khan/genqlient/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"
)

// Batch is one request that carries the same operation several times under aliases, one for each item. R is the generated answer
// of the operation for one item.
type Batch[R any] struct {
	// Request is what to send.
	Request *graphql.Request
	size    int
	fields  []string
}

// CustomersByEmail looks up customers by exact address.
func CustomersByEmail(emails []string) (Batch[CustomerByIdentifierResponse], error) {
	return customersBy(emails, func(email *string) CustomerIdentifierInput { return CustomerIdentifierInput{EmailAddress: email} })
}

// CustomersByPhone looks up customers by exact phone number.
func CustomersByPhone(phones []string) (Batch[CustomerByIdentifierResponse], error) {
	return customersBy(phones, func(phone *string) CustomerIdentifierInput { return CustomerIdentifierInput{PhoneNumber: phone} })
}

func customersBy(keys []string, identifier func(*string) CustomerIdentifierInput) (Batch[CustomerByIdentifierResponse], error) {
	type input = __CustomerByIdentifierInput
	variables := make([]input, len(keys))
	for n := range keys {
		variables[n].Identifier = identifier(&keys[n])
	}
	return aliased[input, CustomerByIdentifierResponse]("CustomerByIdentifier", CustomerByIdentifier_Operation, variables)
}

// OrderSearch asks for one page of orders of a person.
type OrderSearch struct {
	// Customer is the customer's GID; only OrdersOfCustomers reads it.
	Customer string
	// Query is in Shopify's search syntax.
	Query string
	// After is the cursor of the page before, nil for the first.
	After *string
}

// OrdersOfCustomers reads a page of the orders of each customer.
func OrdersOfCustomers(searches []OrderSearch) (Batch[OrdersOfCustomerResponse], error) {
	variables := make([]__OrdersOfCustomerInput, len(searches))
	for n, s := range searches {
		variables[n] = __OrdersOfCustomerInput{Customer: s.Customer, After: s.After, Span: s.Query}
	}
	return aliased[__OrdersOfCustomerInput, OrdersOfCustomerResponse]("OrdersOfCustomer", OrdersOfCustomer_Operation, variables)
}

// OrdersOfEmails searches a page of orders for each query.
func OrdersOfEmails(searches []OrderSearch) (Batch[OrdersOfEmailResponse], error) {
	variables := make([]__OrdersOfEmailInput, len(searches))
	for n, s := range searches {
		variables[n] = __OrdersOfEmailInput{After: s.After, Search: s.Query}
	}
	return aliased[__OrdersOfEmailInput, OrdersOfEmailResponse]("OrdersOfEmail", OrdersOfEmail_Operation, variables)
}

// UpdateEmailConsents writes the email consent of each customer.
func UpdateEmailConsents(inputs []CustomerEmailMarketingConsentUpdateInput) (Batch[UpdateEmailConsentResponse], error) {
	variables := make([]__UpdateEmailConsentInput, len(inputs))
	for n := range inputs {
		variables[n].Input = inputs[n]
	}
	return aliased[__UpdateEmailConsentInput, UpdateEmailConsentResponse]("UpdateEmailConsent", UpdateEmailConsent_Operation, variables)
}

// UpdateSMSConsents writes the SMS consent of each customer.
func UpdateSMSConsents(inputs []CustomerSmsMarketingConsentUpdateInput) (Batch[UpdateSMSConsentResponse], error) {
	variables := make([]__UpdateSMSConsentInput, len(inputs))
	for n := range inputs {
		variables[n].Input = inputs[n]
	}
	return aliased[__UpdateSMSConsentInput, UpdateSMSConsentResponse]("UpdateSMSConsent", UpdateSMSConsent_Operation, variables)
}

// CreateCustomers creates each customer.
func CreateCustomers(inputs []CustomerInput) (Batch[CreateCustomerResponse], error) {
	variables := make([]__CreateCustomerInput, len(inputs))
	for n := range inputs {
		variables[n].Input = inputs[n]
	}
	return aliased[__CreateCustomerInput, CreateCustomerResponse]("CreateCustomer", CreateCustomer_Operation, variables)
}

// WithoutPhones takes the phone number and its consent out of a document that reads customers.
func WithoutPhones(text string) (string, error) {
	document, err := parser.ParseQuery(&ast.Source{Name: "CustomerFields", Input: text})
	if err != nil {
		return "", fmt.Errorf("parse an operation: %w", err)
	}
	for _, fragment := range document.Fragments {
		fragment.SelectionSet = slices.DeleteFunc(fragment.SelectionSet, func(selection ast.Selection) bool {
			field, ok := selection.(*ast.Field)
			return ok && field.Name == "defaultPhoneNumber"
		})
	}
	var out strings.Builder
	formatter.NewFormatter(&out, formatter.WithIndent(" ")).FormatQueryDocument(document)
	return out.String(), nil
}

// CreateMarketingEngagements sends the totals of each activity and day.
func CreateMarketingEngagements(remoteIDs []string, engagements []MarketingEngagementInput) (Batch[CreateMarketingEngagementResponse], error) {
	variables := make([]__CreateMarketingEngagementInput, len(engagements))
	for n := range engagements {
		variables[n] = __CreateMarketingEngagementInput{RemoteId: remoteIDs[n], Engagement: engagements[n]}
	}
	return aliased[__CreateMarketingEngagementInput, CreateMarketingEngagementResponse](
		"CreateMarketingEngagement", CreateMarketingEngagement_Operation, variables)
}

// SetManyMetafields sets each group of metafields, all or nothing of a group.
func SetManyMetafields(groups [][]MetafieldsSetInput) (Batch[SetMetafieldsResponse], error) {
	variables := make([]__SetMetafieldsInput, len(groups))
	for n := range groups {
		variables[n].Metafields = groups[n]
	}
	return aliased[__SetMetafieldsInput, SetMetafieldsResponse]("SetMetafields", SetMetafields_Operation, variables)
}

// CreateMetafieldDefinitions creates each definition.
func CreateMetafieldDefinitions(definitions []MetafieldDefinitionInput) (Batch[CreateMetafieldDefinitionResponse], error) {
	variables := make([]__CreateMetafieldDefinitionInput, len(definitions))
	for n := range definitions {
		variables[n].Definition = definitions[n]
	}
	return aliased[__CreateMetafieldDefinitionInput, CreateMetafieldDefinitionResponse](
		"CreateMetafieldDefinition", CreateMetafieldDefinition_Operation, variables)
}

// aliased repeats an operation once for each element of variables: root field f becomes f_0, f_1, …, and variable v becomes v_0,
// v_1, …. The text is derived from the operation's syntax tree and values only ever travel as variables, so nothing that a person
// typed can become part of a document.
func aliased[V, R any](name, operation string, variables []V) (Batch[R], error) {
	batch := Batch[R]{size: len(variables)}
	document, err := parser.ParseQuery(&ast.Source{Name: name, Input: operation})
	if err != nil || len(document.Operations) != 1 {
		return batch, fmt.Errorf("parse operation %s: %w", name, err)
	}
	single := document.Operations[0]
	// The parser hands out one Field for each place, so a field of the tree may be copied and renamed, never changed in place.
	many := *single
	many.SelectionSet, many.VariableDefinitions = nil, nil
	for _, selection := range single.SelectionSet {
		field, ok := selection.(*ast.Field)
		if !ok {
			return batch, fmt.Errorf("repeat operation %s: only fields can stand at its root", name)
		}
		batch.fields = append(batch.fields, field.Alias)
	}
	values := make(map[string]json.RawMessage, len(variables))
	for n := range variables {
		for _, definition := range single.VariableDefinitions {
			numbered := *definition
			numbered.Variable = suffixed(definition.Variable, n)
			many.VariableDefinitions = append(many.VariableDefinitions, &numbered)
		}
		for _, selection := range single.SelectionSet {
			many.SelectionSet = append(many.SelectionSet, numberedField(selection.(*ast.Field), n, true))
		}
		own, err := members(variables[n])
		if err != nil {
			return batch, fmt.Errorf("write variables of operation %s: %w", name, err)
		}
		for variable, value := range own {
			values[suffixed(variable, n)] = value
		}
	}
	var text strings.Builder
	formatter.NewFormatter(&text, formatter.WithIndent(" ")).FormatQueryDocument(&ast.QueryDocument{
		Operations: ast.OperationList{&many}, Fragments: document.Fragments,
	})
	batch.Request = &graphql.Request{OpName: single.Name, Query: text.String(), Variables: values}
	return batch, nil
}

// numberedField copies a field with all below it, its variables numbered; at the root its alias too.
func numberedField(field *ast.Field, n int, root bool) *ast.Field {
	numbered := *field
	if root {
		numbered.Alias = suffixed(field.Alias, n)
	}
	numbered.Arguments = nil
	for _, argument := range field.Arguments {
		own := *argument
		if own.Value.Kind == ast.Variable {
			value := *own.Value
			value.Raw = suffixed(value.Raw, n)
			own.Value = &value
		}
		numbered.Arguments = append(numbered.Arguments, &own)
	}
	numbered.SelectionSet = nil
	for _, selection := range field.SelectionSet {
		if below, ok := selection.(*ast.Field); ok {
			selection = numberedField(below, n, false)
		}
		numbered.SelectionSet = append(numbered.SelectionSet, selection)
	}
	return &numbered
}

// Size is the number of items.
func (b Batch[R]) Size() int { return b.size }

// Answers takes apart the data of the answer, one R for each item. ok[n] is false where a field of item n is missing altogether; a
// field that is null counts as there.
func (b Batch[R]) Answers(data json.RawMessage) (answers []R, ok []bool, err error) {
	answers, ok = make([]R, b.size), make([]bool, b.size)
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return answers, ok, err
	}
	for n := range answers {
		own := make(map[string]json.RawMessage, len(b.fields))
		for _, field := range b.fields {
			if value, given := all[suffixed(field, n)]; given {
				own[field] = value
			}
		}
		if len(own) < len(b.fields) {
			continue
		}
		one, err := json.Marshal(own)
		if err != nil {
			return answers, ok, err
		}
		if err := json.Unmarshal(one, &answers[n]); err != nil {
			return answers, ok, err
		}
		ok[n] = true
	}
	return answers, ok, nil
}

// ItemOf tells which item an alias or a variable of the request belongs to.
func (b Batch[R]) ItemOf(name string) (int, bool) {
	cut := strings.LastIndexByte(name, '_')
	if cut < 0 {
		return 0, false
	}
	n, err := strconv.Atoi(name[cut+1:])
	return n, err == nil && n >= 0 && n < b.size
}

func suffixed(name string, n int) string { return name + "_" + strconv.Itoa(n) }

// members writes a generated variables struct as JSON and takes its members apart, so that the JSON names stay genqlient's affair.
func members[V any](variables V) (map[string]json.RawMessage, error) {
	text, err := json.Marshal(variables)
	if err != nil {
		return nil, err
	}
	var own map[string]json.RawMessage
	return own, json.Unmarshal(text, &own)
}
