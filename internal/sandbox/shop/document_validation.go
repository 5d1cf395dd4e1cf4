package shop

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// parseDocument reads a GraphQL document; it is not validated yet.
func parseDocument(text string) (*ast.QueryDocument, []answerError) {
	document, err := parser.ParseQuery(&ast.Source{Input: text})
	if err == nil {
		if len(document.Operations) == 0 {
			return nil, []answerError{{Message: "syntax error, unexpected end of file"}}
		}
		return document, nil
	}
	var syntax *gqlerror.Error
	if !errors.As(err, &syntax) {
		return nil, []answerError{{Message: "syntax error, " + err.Error()}}
	}
	refused := answerError{Message: "syntax error, " + syntax.Message}
	for _, at := range syntax.Locations {
		refused.Locations = append(refused.Locations, location{at.Line, at.Column})
		refused.Message += fmt.Sprintf(" at [%d, %d]", at.Line, at.Column)
	}
	return nil, []answerError{refused}
}

// validation words the errors of a document as Shopify's server does: gqlparser's own rules would name other codes, and no path.
type validation struct {
	schema *ast.Schema
	errors []answerError
}

// validateDocument checks a document against the schema and annotates it for execution.
func validateDocument(schema *ast.Schema, document *ast.QueryDocument) []answerError {
	v := &validation{schema: schema}
	others := rules.NewDefaultRules()
	for _, name := range []string{
		rules.FieldsOnCorrectTypeRule.Name, rules.KnownArgumentNamesRule.Name, rules.ProvidedRequiredArgumentsRule.Name,
		rules.ValuesOfCorrectTypeRule.Name, rules.NoUnusedVariablesRule.Name, rules.MaxIntrospectionDepth.Name,
	} {
		others.RemoveRule(name)
	}
	found := validator.ValidateWithRules(schema, document, others)
	for _, operation := range document.Operations {
		root := v.root(operation.Operation)
		if root == nil {
			continue // reported by gqlparser
		}
		at := (*path)(nil).field(strings.TrimSpace(string(operation.Operation) + " " + operation.Name))
		v.selections(root, operation.SelectionSet, at)
		for _, variable := range operation.VariableDefinitions {
			if !variable.Used {
				v.report(variable.Position, at, errorExtensions{Code: "variableNotUsed", VariableName: variable.Variable},
					"Variable $%s is declared by %s but not used", variable.Variable, nameOf(operation))
			}
		}
	}
	for _, fragment := range document.Fragments {
		if on := schema.Types[fragment.TypeCondition]; on != nil {
			v.selections(on, fragment.SelectionSet, (*path)(nil).field("fragment "+fragment.Name))
		}
	}
	for _, other := range found {
		refused := answerError{Message: other.Message, Extensions: &errorExtensions{Code: rubyCode(other.Rule)}}
		for _, at := range other.Locations {
			refused.Locations = append(refused.Locations, location{at.Line, at.Column})
		}
		v.errors = append(v.errors, refused)
	}
	return v.errors
}

func nameOf(operation *ast.OperationDefinition) string {
	if operation.Name == "" {
		return "anonymous " + string(operation.Operation)
	}
	return operation.Name
}

// rubyCode is the code that graphql-ruby, which Shopify runs, gives to a rule. The texts of these rules stay gqlparser's own.
func rubyCode(rule string) string {
	switch rule {
	case rules.ScalarLeafsRule.Name:
		return "selectionMismatch"
	case rules.NoUndefinedVariablesRule.Name:
		return "variableNotDefined"
	case rules.VariablesInAllowedPositionRule.Name:
		return "variableMismatch"
	case rules.OverlappingFieldsCanBeMergedRule.Name:
		return "fieldConflict"
	case rules.KnownTypeNamesRule.Name:
		return "undefinedType"
	case rules.KnownDirectivesRule.Name:
		return "undefinedDirective"
	case rules.NoUnusedFragmentsRule.Name, rules.KnownFragmentNamesRule.Name:
		return "useAndDefineFragment"
	default:
		return strings.ToLower(rule[:1]) + rule[1:]
	}
}

func (v *validation) root(kind ast.Operation) *ast.Definition {
	switch kind {
	case ast.Query:
		return v.schema.Query
	case ast.Mutation:
		return v.schema.Mutation
	default:
		return nil
	}
}

func (v *validation) report(position *ast.Position, at *path, extensions errorExtensions, format string, values ...any) {
	v.errors = append(v.errors, answerError{
		Message: fmt.Sprintf(format, values...), Locations: locate(position), Path: at.steps(), Extensions: &extensions,
	})
}

func (v *validation) selections(on *ast.Definition, set ast.SelectionSet, at *path) {
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			v.field(on, selection, at.field(selection.Alias))
		case *ast.InlineFragment:
			inner, step := on, "..."
			if selection.TypeCondition != "" {
				inner, step = v.schema.Types[selection.TypeCondition], "... on "+selection.TypeCondition
			}
			if inner != nil {
				v.selections(inner, selection.SelectionSet, at.field(step))
			}
		}
	}
}

func (v *validation) field(on *ast.Definition, field *ast.Field, at *path) {
	if field.Name == "__typename" {
		return
	}
	definition := on.Fields.ForName(field.Name)
	if definition == nil || strings.HasPrefix(field.Name, "__") {
		v.report(field.Position, at, errorExtensions{Code: "undefinedField", TypeName: on.Name, FieldName: field.Name},
			"Field '%s' doesn't exist on type '%s'", field.Name, on.Name)
		return
	}
	for _, argument := range field.Arguments {
		wanted := definition.Arguments.ForName(argument.Name)
		if wanted == nil {
			v.report(argument.Position, at.field(argument.Name),
				errorExtensions{Code: "argumentNotAccepted", Name: field.Name, TypeName: "Field", ArgumentName: argument.Name},
				"Field '%s' doesn't accept argument '%s'", field.Name, argument.Name)
			continue
		}
		v.argument(place{"Field", field.Name, argument.Name, argument.Position}, wanted.Type, argument.Value, at.field(argument.Name))
	}
	var missing []string
	for _, wanted := range definition.Arguments {
		if wanted.Type.NonNull && wanted.DefaultValue == nil && field.Arguments.ForName(wanted.Name) == nil {
			missing = append(missing, wanted.Name)
		}
	}
	if missing != nil {
		names := strings.Join(missing, ", ")
		v.report(field.Position, at,
			errorExtensions{Code: "missingRequiredArguments", ClassName: "Field", Name: field.Name, Arguments: names},
			"Field '%s' is missing required arguments: %s", field.Name, names)
	}
	if inner := v.schema.Types[definition.Type.Name()]; inner != nil {
		v.selections(inner, field.SelectionSet, at)
	}
}

// place names an argument of a field or a member of an input object.
type place struct {
	kind, owner, name string
	position          *ast.Position
}

func (v *validation) argument(in place, wanted *ast.Type, given *ast.Value, at *path) {
	if text := v.literal(wanted, given, at); text == incompatible {
		v.report(in.position, at, errorExtensions{Code: "argumentLiteralsIncompatible", TypeName: in.kind, ArgumentName: in.name},
			"Argument '%s' on %s '%s' has an invalid value (%s). Expected type '%s'.", in.name, in.kind, in.owner, given, wanted)
	} else if text != "" {
		v.report(in.position, at, errorExtensions{Code: "argumentLiteralsIncompatible", TypeName: "CoercionError"}, "%s", text)
	}
}

// incompatible says that a literal is of the wrong kind altogether, as against one that a scalar refuses in its own words.
const incompatible = "\x00incompatible"

// literal checks a value written in the document and returns "" , incompatible, or the text of a scalar that refuses it. Errors in
// the members of input objects are reported on the way.
func (v *validation) literal(wanted *ast.Type, given *ast.Value, at *path) string {
	switch {
	case given.Kind == ast.Variable:
		return "" // judged by gqlparser
	case given.Kind == ast.NullValue:
		if wanted.NonNull {
			return incompatible
		}
		return ""
	case wanted.Elem != nil:
		if given.Kind != ast.ListValue {
			return v.literal(wanted.Elem, given, at)
		}
		for _, element := range given.Children {
			if text := v.literal(wanted.Elem, element.Value, at); text != "" {
				return text
			}
		}
		return ""
	}
	definition := v.schema.Types[wanted.NamedType]
	if definition == nil {
		return incompatible
	}
	switch definition.Kind {
	case ast.Enum:
		if given.Kind != ast.EnumValue || definition.EnumValues.ForName(given.Raw) == nil {
			return incompatible
		}
		return ""
	case ast.InputObject:
		if given.Kind != ast.ObjectValue {
			return incompatible
		}
		v.inputObject(definition, given, at)
		return ""
	default:
		return literalScalar(definition.Name, given)
	}
}

func literalScalar(name string, given *ast.Value) string {
	isText := given.Kind == ast.StringValue || given.Kind == ast.BlockValue
	fits := true
	switch name {
	case "Int":
		_, err := strconv.ParseInt(given.Raw, 10, 32)
		fits = given.Kind == ast.IntValue && err == nil
	case "Float":
		fits = given.Kind == ast.IntValue || given.Kind == ast.FloatValue
	case "Boolean":
		fits = given.Kind == ast.BooleanValue
	case "ID":
		fits = isText || given.Kind == ast.IntValue
		if fits {
			return scalarProblem(name, given.Raw)
		}
	default:
		fits = isText
		if fits {
			return scalarProblem(name, given.Raw)
		}
	}
	if !fits {
		return incompatible
	}
	return ""
}

func (v *validation) inputObject(definition *ast.Definition, given *ast.Value, at *path) {
	for _, member := range given.Children {
		wanted := definition.Fields.ForName(member.Name)
		if wanted == nil {
			v.report(member.Position, at.field(member.Name),
				errorExtensions{Code: "argumentNotAccepted", Name: definition.Name, TypeName: "InputObject", ArgumentName: member.Name},
				"InputObject '%s' doesn't accept argument '%s'", definition.Name, member.Name)
			continue
		}
		v.argument(place{"InputObject", definition.Name, member.Name, member.Position}, wanted.Type, member.Value, at.field(member.Name))
	}
	for _, wanted := range definition.Fields {
		if wanted.Type.NonNull && wanted.DefaultValue == nil && given.Children.ForName(wanted.Name) == nil {
			v.report(given.Position, at.field(wanted.Name),
				errorExtensions{Code: "missingRequiredInputObjectAttribute", TypeName: definition.Name, ArgumentName: wanted.Name},
				"Argument '%s' on InputObject '%s' is required. Expected type %s", wanted.Name, definition.Name, wanted.Type)
		}
	}
	if isOneOf(definition) {
		set := slices.DeleteFunc(slices.Clone(given.Children), func(m *ast.ChildValue) bool { return m.Value.Kind == ast.NullValue })
		if len(set) != 1 || len(given.Children) != 1 {
			v.report(given.Position, at, errorExtensions{Code: "invalidOneOfInputObject", TypeName: definition.Name},
				"%s", oneOfProblem(definition, len(given.Children)))
		}
	}
}

func isOneOf(definition *ast.Definition) bool { return definition.Directives.ForName("oneOf") != nil }

func oneOfProblem(definition *ast.Definition, given int) string {
	return fmt.Sprintf("'%s' requires exactly one argument, but %d were provided.", definition.Name, given)
}
