package shop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
)

// inputs are the values of a field's arguments, of variables, or of an input object: string, int64, float64, bool, nil, []any or
// inputs. What the schema allows has been checked before anything is read from them.
type inputs map[string]any

func (in inputs) text(name string) string {
	text, _ := in[name].(string)
	return text
}

// number is nil when the value is null or left out.
func (in inputs) number(name string) *int {
	number, ok := in[name].(int64)
	if !ok {
		return nil
	}
	small := int(number)
	return &small
}

func (in inputs) truth(name string) bool {
	truth, _ := in[name].(bool)
	return truth
}

// object is nil when the value is null or left out.
func (in inputs) object(name string) inputs {
	object, _ := in[name].(inputs)
	return object
}

func (in inputs) texts(name string) []string {
	list, _ := in[name].([]any)
	texts := make([]string, 0, len(list))
	for _, element := range list {
		text, _ := element.(string)
		texts = append(texts, text)
	}
	return texts
}

// instant is the zero time when the value is null or left out.
func (in inputs) instant(name string) time.Time {
	at, err := time.Parse(time.RFC3339, in.text(name))
	if err != nil {
		return time.Time{}
	}
	return at
}

// globalID is the shape of Shopify's ids.
var globalID = regexp.MustCompile(`^gid://shopify/[A-Za-z]+/[0-9A-Za-z_-]+(\?.*)?$`)

// scalarProblem is what a scalar says of a text that it refuses, or "".
func scalarProblem(scalar, text string) string {
	switch scalar {
	case "DateTime":
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return "invalid DateTime '" + text + "'"
		}
	case "Date":
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return "invalid Date '" + text + "'"
		}
	case "ID":
		if !globalID.MatchString(text) {
			return "Invalid global id '" + text + "'"
		}
	}
	return ""
}

// coercion turns the variables of a request into inputs and collects what is wrong with them.
type coercion struct {
	schema   *ast.Schema
	problems []problem
}

// coerceVariables answers INVALID_VARIABLE as contracts/shopify.md 3.3 shows it.
func coerceVariables(schema *ast.Schema, operation *ast.OperationDefinition, raw json.RawMessage) (inputs, []answerError) {
	given := map[string]json.RawMessage{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &given); err != nil {
			return nil, []answerError{{Message: "Variables are invalid JSON"}}
		}
	}
	variables := inputs{}
	var refused []answerError
	for _, definition := range operation.VariableDefinitions {
		text, sent := given[definition.Variable]
		if !sent {
			if definition.DefaultValue != nil {
				value, err := definition.DefaultValue.Value(nil)
				if err == nil {
					c := coercion{schema: schema}
					variables[definition.Variable] = c.value(definition.Type, nested(value), nil)
				}
				continue
			}
			if !definition.Type.NonNull {
				continue
			}
			text = json.RawMessage("null")
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, []answerError{{Message: "Variables are invalid JSON"}}
		}
		c := coercion{schema: schema}
		variables[definition.Variable] = c.value(definition.Type, nested(value), nil)
		if c.problems != nil {
			refused = append(refused, invalidVariable(definition, text, c.problems))
		}
	}
	return variables, refused
}

func invalidVariable(definition *ast.VariableDefinition, value json.RawMessage, problems []problem) answerError {
	message := fmt.Sprintf("Variable $%s of type %s was provided invalid value", definition.Variable, definition.Type)
	var details []string
	for _, problem := range problems {
		if len(problem.Path) == 0 {
			continue
		}
		var names []string
		for _, step := range problem.Path {
			name := step.name
			if name == "" {
				name = fmt.Sprint(step.index)
			}
			names = append(names, name)
		}
		details = append(details, strings.Join(names, ".")+" ("+problem.Explanation+")")
	}
	if details != nil {
		message += " for " + strings.Join(details, ", ")
	}
	return answerError{
		Message: message, Locations: locate(definition.Position),
		Extensions: &errorExtensions{Code: "INVALID_VARIABLE", Value: value, Problems: problems},
	}
}

// nested gives the maps inside a decoded value their type.
func nested(value any) any {
	switch value := value.(type) {
	case map[string]any:
		object := make(inputs, len(value))
		for name, member := range value {
			object[name] = nested(member)
		}
		return object
	case []any:
		for n := range value {
			value[n] = nested(value[n])
		}
		return value
	default:
		return value
	}
}

func (c *coercion) refuse(at *path, explanation string) any {
	c.problems = append(c.problems, problem{Path: at.steps(), Explanation: explanation})
	return nil
}

// refuseScalar is for scalars that speak for themselves: Shopify repeats their text as message.
func (c *coercion) refuseScalar(at *path, text string) any {
	c.problems = append(c.problems, problem{Path: at.steps(), Explanation: text, Message: text})
	return nil
}

// value coerces one value to the type that is wanted.
func (c *coercion) value(wanted *ast.Type, given any, at *path) any {
	if given == nil {
		if wanted.NonNull {
			return c.refuse(at, "Expected value to not be null")
		}
		return nil
	}
	if wanted.Elem != nil {
		list, ok := given.([]any)
		if !ok {
			return []any{c.value(wanted.Elem, given, at)}
		}
		coerced := make([]any, len(list))
		for n, element := range list {
			coerced[n] = c.value(wanted.Elem, element, at.index(n))
		}
		return coerced
	}
	definition := c.schema.Types[wanted.NamedType]
	switch {
	case definition.Kind == ast.Enum:
		name, ok := given.(string)
		if !ok || definition.EnumValues.ForName(name) == nil {
			return c.refuse(at, fmt.Sprintf("Expected %s to be one of: %s", asJSON(given), enumNames(definition)))
		}
		return name
	case definition.Kind == ast.InputObject:
		object, ok := given.(inputs)
		if !ok {
			return c.refuse(at, fmt.Sprintf("Expected %s to be a key-value object.", asJSON(given)))
		}
		return c.object(definition, object, at)
	default:
		return c.scalar(definition.Name, given, at)
	}
}

func (c *coercion) object(definition *ast.Definition, given inputs, at *path) any {
	coerced := inputs{}
	for name := range given {
		if definition.Fields.ForName(name) == nil {
			c.refuse(at.field(name), "Field is not defined on "+definition.Name)
		}
	}
	for _, member := range definition.Fields {
		value, sent := given[member.Name]
		switch {
		case sent:
			coerced[member.Name] = c.value(member.Type, value, at.field(member.Name))
		case member.DefaultValue != nil:
			if value, err := member.DefaultValue.Value(nil); err == nil {
				coerced[member.Name] = nested(value)
			}
		case member.Type.NonNull:
			c.refuse(at.field(member.Name), "Expected value to not be null")
		}
	}
	if isOneOf(definition) {
		set := 0
		for _, value := range given {
			if value != nil {
				set++
			}
		}
		if set != 1 || len(given) != 1 {
			return c.refuse(at, oneOfProblem(definition, len(given)))
		}
	}
	return coerced
}

func (c *coercion) scalar(name string, given any, at *path) any {
	switch name {
	case "Int", "Float":
		if number, ok := asNumber(name, given); ok {
			return number
		}
		return c.refuse(at, fmt.Sprintf("Could not coerce value %s to %s", asJSON(given), name))
	case "Boolean":
		if truth, ok := given.(bool); ok {
			return truth
		}
		return c.refuse(at, fmt.Sprintf("Could not coerce value %s to Boolean", asJSON(given)))
	}
	text, ok := given.(string)
	if number, isNumber := given.(json.Number); isNumber && name == "ID" {
		text, ok = number.String(), true
	}
	if number, isNumber := given.(int64); isNumber && name == "ID" {
		text, ok = fmt.Sprint(number), true
	}
	if !ok {
		return c.refuse(at, fmt.Sprintf("Could not coerce value %s to %s", asJSON(given), name))
	}
	if refused := scalarProblem(name, text); refused != "" {
		return c.refuseScalar(at, refused)
	}
	return text
}

// asNumber takes numbers of a JSON body and of a literal.
func asNumber(name string, given any) (any, bool) {
	const least, most = -1 << 31, 1<<31 - 1
	switch given := given.(type) {
	case json.Number:
		if name == "Float" {
			number, err := given.Float64()
			return number, err == nil
		}
		number, err := given.Int64()
		return number, err == nil && number >= least && number <= most
	case int64:
		if name == "Float" {
			return float64(given), true
		}
		return given, given >= least && given <= most
	case float64:
		return given, name == "Float"
	default:
		return nil, false
	}
}

func asJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "value"
	}
	return string(text)
}

func enumNames(definition *ast.Definition) string {
	var names []string
	for _, value := range definition.EnumValues {
		names = append(names, value.Name)
	}
	return strings.Join(names, ", ")
}
