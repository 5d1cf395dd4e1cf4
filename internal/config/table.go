package config

import (
	"fmt"
	"iter"
	"os"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// Setting is one row of the settings' table, for `starter config` and the README.
type Setting struct {
	// Variable is its name in the environment.
	Variable string `json:"variable"`
	// Value is what holds now; a secret or a password is hidden.
	Value string `json:"value"`
	// Set is whether the environment has it; otherwise Value is the default.
	Set bool `json:"set"`
	// Default is what holds when it is not set, in words where it is no fixed value; empty for none.
	Default string `json:"default"`
	// Allowed says what values it takes; empty when any text will do.
	Allowed     string `json:"allowed"`
	Description string `json:"description"`
}

// Table lists all settings with their present values, in the order in which they are documented.
func (s Settings) Table() []Setting {
	var table []Setting
	for field, value := range s.fields() {
		standard := field.Tag.Get("default")
		if words, ok := field.Tag.Lookup("shown"); ok {
			standard = words
		}
		_, set := os.LookupEnv(variable(field))
		row := Setting{
			Variable: variable(field), Value: text(value), Set: set, Default: standard, Description: field.Tag.Get("desc"),
		}
		if constrained(field) {
			row.Allowed = allowed(field)
		}
		table = append(table, row)
	}
	return table
}

// Markdown renders the table of names, defaults and meanings as the README shows it. It does not depend on the environment.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| Variable | Default | What it is for |\n|---|---|---|\n")
	for _, row := range (Settings{}).Table() {
		standard := row.Default
		if standard == "" {
			standard = "none"
		}
		description := row.Description
		if row.Allowed != "" {
			description += " Allowed: " + row.Allowed + "."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", row.Variable, standard, description)
	}
	return b.String()
}

// fields walks the struct in its order.
func (s Settings) fields() iter.Seq2[reflect.StructField, reflect.Value] {
	return func(yield func(reflect.StructField, reflect.Value) bool) {
		values := reflect.ValueOf(s)
		for i := range values.NumField() {
			if !yield(values.Type().Field(i), values.Field(i)) {
				return
			}
		}
	}
}

func fieldNamed(name string) reflect.StructField {
	field, _ := reflect.TypeFor[Settings]().FieldByName(name)
	return field
}

// word finds the words of a field's name the way envconfig's split_words does; a test holds the two together.
var word = regexp.MustCompile(`[A-Z]+[^A-Z]*`)

func variable(field reflect.StructField) string {
	name := strings.Join(word.FindAllString(field.Name, -1), "_")
	return Prefix + "_" + strings.ToUpper(name)
}

func text(value reflect.Value) string { return fmt.Sprint(value.Interface()) }

// constrained tells whether there are values that the field does not take.
func constrained(field reflect.StructField) bool {
	_, bounded := field.Tag.Lookup("min")
	_, listed := field.Tag.Lookup("oneof")
	return bounded || listed || field.Type.Kind() == reflect.Bool
}

// allowed says in words what a field takes.
func allowed(field reflect.StructField) string {
	low, high := field.Tag.Get("min"), field.Tag.Get("max")
	switch {
	case field.Tag.Get("oneof") != "":
		return "one of " + strings.Join(strings.Fields(field.Tag.Get("oneof")), ", ")
	case field.Type == reflect.TypeFor[time.Duration]():
		return fmt.Sprintf("a duration from %s to %s, such as %s", low, high, field.Tag.Get("default"))
	case field.Type.Kind() == reflect.Bool:
		return "true or false"
	case field.Type.Kind() == reflect.Int:
		return fmt.Sprintf("a whole number from %s to %s", low, high)
	default:
		return "any text"
	}
}
