package shop

import (
	"math"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

const (
	// maxQueryCost is the most that one request may cost on any plan (contracts/shopify.md 2.1).
	maxQueryCost = 1000
	mutationCost = 10
	countCost    = 10
)

// oddMutationCosts are set by hand at Shopify (contracts/shopify.md 2.2).
var oddMutationCosts = map[string]int{"flowTriggerReceive": 1, "stagedUploadsCreate": 11}

// freeTypes are objects that cost nothing themselves.
var freeTypes = map[string]bool{
	"PageInfo": true, "MoneyV2": true, "MoneyBag": true, "MailingAddress": true,
	"CustomerEmailMarketingConsentState": true, "CustomerSmsMarketingConsentState": true,
}

// sizePoints is how a connection's size is weighed.
func sizePoints(rows int) int {
	if rows <= 0 {
		return 0
	}
	return max(1, int(math.Floor(2*math.Log(float64(rows)))))
}

func isConnection(definition *ast.Definition) bool {
	return strings.HasSuffix(definition.Name, "Connection")
}

func isPayload(definition *ast.Definition) bool { return strings.HasSuffix(definition.Name, "Payload") }

// objectPoints is what an object costs with its children, as a field of parent.
func objectPoints(parent, object *ast.Definition, children int) int {
	switch {
	case isConnection(object):
		return 2 + children
	case object.Name == "Count":
		return countCost + children
	case isPayload(object), isPayload(parent), freeTypes[object.Name]:
		return children
	case isConnection(parent) && strings.HasSuffix(object.Name, "Edge"):
		return max(1, children) // the edge weighs as much as its node
	default:
		return 1 + children
	}
}

// listPoints is what a list costs whose dearest element costs dearest: only connections count their rows.
func listPoints(parent *ast.Definition, rows, dearest int) int {
	if isConnection(parent) {
		return sizePoints(rows) * dearest
	}
	return dearest
}

func mutationBase(field string) int {
	if cost, odd := oddMutationCosts[field]; odd {
		return cost
	}
	return mutationCost
}

// requestedCost weighs an operation before it runs, by what it could return at most (contracts/shopify.md 2.2, formula L/I).
func (x *execution) requestedCost() int {
	total := 0
	isMutation := x.operation.Operation == ast.Mutation
	for _, chosen := range x.collect(x.root, x.operation.SelectionSet) {
		cost := x.requestedField(x.root, chosen, 0)
		if isMutation && chosen.name() != "__typename" {
			cost += mutationBase(chosen.name())
		}
		total += cost
	}
	if isMutation {
		return total
	}
	return max(1, total)
}

// requestedField weighs one field; rows is the size of the connection that it is a field of.
func (x *execution) requestedField(parent *ast.Definition, chosen chosenField, rows int) int {
	definition := chosen.fields[0].Definition
	if chosen.name() == "__typename" || definition == nil {
		return 0
	}
	object := x.schema.Types[definition.Type.Name()]
	if !object.IsCompositeType() {
		return 0
	}
	inner := 0
	if isConnection(object) {
		arguments := x.arguments(chosen.fields[0])
		for _, name := range []string{"first", "last"} {
			if size := arguments.number(name); size != nil {
				inner = max(inner, *size)
			}
		}
	}
	dearest := 0
	for _, possible := range x.schema.GetPossibleTypes(object) {
		children := 0
		for _, child := range x.collect(possible, chosen.selections()...) {
			children += x.requestedField(possible, child, inner)
		}
		dearest = max(dearest, children)
	}
	points := objectPoints(parent, object, dearest)
	if definition.Type.Elem != nil {
		return listPoints(parent, rows, points)
	}
	return points
}
