package shop

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
)

// execution runs one validated operation. It walks the document itself, because Shopify charges for what an answer holds and lets a
// root field be null that the schema calls non-null: no schema-first library does either.
type execution struct {
	store     *Store
	schema    *ast.Schema
	document  *ast.QueryDocument
	operation *ast.OperationDefinition
	root      *ast.Definition
	variables inputs

	given    map[*ast.Field]inputs // arguments, coerced once
	out      bytes.Buffer
	errors   []answerError
	searches []searchReport
}

// searchReport is an entry of extensions.search; Shopify sends one when a part of a query was ignored.
type searchReport struct {
	Path     []step          `json:"path"`
	Query    string          `json:"query"`
	Warnings []SearchWarning `json:"warnings"`
}

// newExecution wants a validated document and coerced variables.
func newExecution(
	store *Store, schema *ast.Schema, document *ast.QueryDocument, operation *ast.OperationDefinition, variables inputs,
) *execution {
	root := schema.Query
	if operation.Operation == ast.Mutation {
		root = schema.Mutation
	}
	return &execution{
		store: store, schema: schema, document: document, operation: operation, root: root, variables: variables,
		given: map[*ast.Field]inputs{},
	}
}

// chosenField is what a selection asks for under one response name: fields that were asked for more than once are merged.
type chosenField struct {
	key    string
	fields []*ast.Field
}

func (c chosenField) name() string { return c.fields[0].Name }

func (c chosenField) selections() []ast.SelectionSet {
	sets := make([]ast.SelectionSet, 0, len(c.fields))
	for _, field := range c.fields {
		sets = append(sets, field.SelectionSet)
	}
	return sets
}

// collect flattens fragments and directives into the fields that are asked of an object of that type.
func (x *execution) collect(on *ast.Definition, sets ...ast.SelectionSet) []chosenField {
	var chosen []chosenField
	var gather func(set ast.SelectionSet)
	gather = func(set ast.SelectionSet) {
		for _, selection := range set {
			switch selection := selection.(type) {
			case *ast.Field:
				if !x.included(selection.Directives) {
					continue
				}
				at := slices.IndexFunc(chosen, func(c chosenField) bool { return c.key == selection.Alias })
				if at < 0 {
					chosen = append(chosen, chosenField{selection.Alias, []*ast.Field{selection}})
				} else {
					chosen[at].fields = append(chosen[at].fields, selection)
				}
			case *ast.InlineFragment:
				if x.included(selection.Directives) && applies(selection.TypeCondition, on) {
					gather(selection.SelectionSet)
				}
			case *ast.FragmentSpread:
				fragment := x.document.Fragments.ForName(selection.Name)
				if x.included(selection.Directives) && fragment != nil && applies(fragment.TypeCondition, on) {
					gather(fragment.SelectionSet)
				}
			}
		}
	}
	for _, set := range sets {
		gather(set)
	}
	return chosen
}

func applies(condition string, on *ast.Definition) bool {
	return condition == "" || condition == on.Name || slices.Contains(on.Interfaces, condition)
}

func (x *execution) included(directives ast.DirectiveList) bool {
	for name, wanted := range map[string]bool{"include": true, "skip": false} {
		if directive := directives.ForName(name); directive != nil {
			if truth, _ := directive.ArgumentMap(x.variables)["if"].(bool); truth != wanted {
				return false
			}
		}
	}
	return true
}

// arguments are a field's arguments with defaults filled in.
func (x *execution) arguments(field *ast.Field) inputs {
	if known, ok := x.given[field]; ok {
		return known
	}
	raw := field.ArgumentMap(x.variables)
	arguments := inputs{}
	c := coercion{schema: x.schema}
	for _, definition := range field.Definition.Arguments {
		if value, sent := raw[definition.Name]; sent {
			arguments[definition.Name] = c.value(definition.Type, nested(value), nil)
		}
	}
	x.given[field] = arguments
	return arguments
}

// tooLong finds an input list beyond the limit of contracts/shopify.md 2.3.
func (x *execution) tooLong() []answerError {
	for _, chosen := range x.collect(x.root, x.operation.SelectionSet) {
		if chosen.fields[0].Definition == nil || chosen.name() == "__typename" {
			continue
		}
		at := (*path)(nil).field(chosen.key)
		if size, where := longest(x.arguments(chosen.fields[0]), at); size > maxPage {
			return []answerError{{
				Message:    "The input array size of " + itoa(size) + " is greater than the maximum allowed of 250.",
				Path:       where.steps(),
				Extensions: &errorExtensions{Code: "MAX_INPUT_SIZE_EXCEEDED"},
			}}
		}
	}
	return nil
}

func longest(value any, at *path) (size int, where *path) {
	consider := func(inner any, at *path) {
		if n, place := longest(inner, at); n > size {
			size, where = n, place
		}
	}
	switch value := value.(type) {
	case inputs:
		for name, member := range value {
			consider(member, at.field(name))
		}
	case []any:
		size, where = len(value), at
		for n, element := range value {
			consider(element, at.index(n))
		}
	}
	return size, where
}

// run executes the operation and returns its actual cost; the data is in out.
func (x *execution) run() (points int) {
	isMutation := x.operation.Operation == ast.Mutation
	x.out.WriteByte('{')
	for n, chosen := range x.collect(x.root, x.operation.SelectionSet) {
		if n > 0 {
			x.out.WriteByte(',')
		}
		x.name(chosen.key)
		start := x.out.Len()
		cost, ok := x.field(x.root, queryRoot{}, chosen, (*path)(nil).field(chosen.key))
		if !ok {
			// Shopify nulls a root field even where the schema says that it is never null (contracts/shopify.md 7).
			x.out.Truncate(start)
			x.out.WriteString("null")
			cost = 0
		}
		if isMutation && chosen.name() != "__typename" {
			cost += mutationBase(chosen.name())
		}
		points += cost
	}
	x.out.WriteByte('}')
	if isMutation {
		return points
	}
	return max(1, points)
}

func (x *execution) name(key string) {
	writeText(&x.out, key)
	x.out.WriteByte(':')
}

// field writes one field's value. Not ok means that it is null though its type says never: the parent is null then.
func (x *execution) field(parent *ast.Definition, of object, chosen chosenField, at *path) (points int, ok bool) {
	field := chosen.fields[0]
	if field.Name == "__typename" {
		name := of.typeName()
		if name == "" {
			name = parent.Name
		}
		writeText(&x.out, name)
		return 0, true
	}
	wanted := field.Definition.Type
	got, err := x.resolve(parent, of, field, at)
	if err != nil {
		x.fail(err, field, at)
		got = value{}
	}
	named := x.schema.Types[wanted.Name()]
	switch {
	case got.leaf != nil:
		x.out.Write(got.leaf)
		return 0, true
	case got.list != nil:
		return x.list(parent, *got.list, chosen, wanted, at)
	case got.object != nil:
		children, ok := x.object(got.object, chosen, at)
		if !ok {
			return x.null(wanted)
		}
		return objectPoints(parent, x.concrete(named, got.object), children), true
	default:
		return x.null(wanted)
	}
}

func (x *execution) null(wanted *ast.Type) (int, bool) {
	if wanted.NonNull {
		return 0, false
	}
	x.out.WriteString("null")
	return 0, true
}

func (x *execution) concrete(named *ast.Definition, of object) *ast.Definition {
	if named.IsAbstractType() {
		return x.schema.Types[of.typeName()]
	}
	return named
}

func (x *execution) list(parent *ast.Definition, list []object, chosen chosenField, wanted *ast.Type, at *path) (int, bool) {
	named := x.schema.Types[wanted.Name()]
	start, dearest := x.out.Len(), 0
	x.out.WriteByte('[')
	for n, element := range list {
		if n > 0 {
			x.out.WriteByte(',')
		}
		in := at.index(n)
		if element != nil {
			if err := x.elementAccess(chosen.fields[0], element); err != nil {
				x.fail(err, chosen.fields[0], in)
				element = nil
			}
		}
		if element != nil {
			if children, ok := x.object(element, chosen, in); ok {
				dearest = max(dearest, objectPoints(parent, x.concrete(named, element), children))
				continue
			}
		}
		if _, ok := x.null(wanted.Elem); !ok {
			x.out.Truncate(start)
			return x.null(wanted)
		}
	}
	x.out.WriteByte(']')
	return listPoints(parent, len(list), dearest), true
}

// object writes an object. Not ok means that it cannot be shown; nothing of it is left in the output then.
func (x *execution) object(of object, chosen chosenField, at *path) (points int, ok bool) {
	definition := x.schema.Types[of.typeName()]
	start := x.out.Len()
	x.out.WriteByte('{')
	for n, child := range x.collect(definition, chosen.selections()...) {
		if n > 0 {
			x.out.WriteByte(',')
		}
		x.name(child.key)
		cost, ok := x.field(definition, of, child, at.field(child.key))
		if !ok {
			x.out.Truncate(start)
			return 0, false
		}
		points += cost
	}
	x.out.WriteByte('}')
	return points, true
}

func (x *execution) fail(err error, field *ast.Field, at *path) {
	refused := answerError{Message: err.Error(), Locations: locate(field.Position), Path: at.steps()}
	switch err := err.(type) {
	case *APIError:
		refused.Message, refused.Extensions = err.Message, &errorExtensions{Code: err.Code}
	case *accessError:
		refused.Message, refused.Extensions = err.message, err.extensions()
		if refused.Extensions == nil {
			refused.Locations = nil // the message about protected data comes with its path only (contracts/shopify.md 1)
		}
	}
	x.errors = append(x.errors, refused)
}

// value is what a field resolves to: one of a leaf already in JSON, an object, or a list of objects; the zero value is null.
type value struct {
	leaf   []byte
	object object
	list   *[]object
}

func text(s string) value {
	var out bytes.Buffer
	writeText(&out, s)
	return value{leaf: out.Bytes()}
}

// optionalText is null when empty.
func optionalText(s string) value {
	if s == "" {
		return value{}
	}
	return text(s)
}

func truth(b bool) value {
	if b {
		return value{leaf: []byte("true")}
	}
	return value{leaf: []byte("false")}
}

// instant is null for the zero time.
func instant(t time.Time) value {
	if t.IsZero() {
		return value{}
	}
	return value{leaf: []byte(`"` + t.UTC().Format("2006-01-02T15:04:05Z") + `"`)}
}

// optionalTexts is null when nil.
func optionalTexts(list []string) value {
	if list == nil {
		return value{}
	}
	encoded, err := json.Marshal(list)
	if err != nil {
		return value{}
	}
	return value{leaf: encoded}
}

func listOf(objects []object) value { return value{list: &objects} }

func writeText(out *bytes.Buffer, s string) {
	encoded, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	out.Write(encoded)
}
