package shop

import (
	"encoding/json"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// answerError is one entry of an answer's errors, in Shopify's shape.
type answerError struct {
	Message    string           `json:"message"`
	Locations  []location       `json:"locations,omitempty"`
	Path       []step           `json:"path,omitempty"`
	Extensions *errorExtensions `json:"extensions,omitempty"`
}

type location struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

func locate(position *ast.Position) []location {
	if position == nil {
		return nil
	}
	return []location{{position.Line, position.Column}}
}

// errorExtensions holds what Shopify adds to the various kinds of errors; each kind fills its own members.
type errorExtensions struct {
	Code           string          `json:"code,omitempty"`
	Documentation  string          `json:"documentation,omitempty"`
	RequiredAccess string          `json:"requiredAccess,omitempty"`
	RequestID      string          `json:"requestId,omitempty"`
	Cost           int             `json:"cost,omitempty"`
	MaxCost        int             `json:"maxCost,omitempty"`
	ClassName      string          `json:"className,omitempty"`
	TypeName       string          `json:"typeName,omitempty"`
	Name           string          `json:"name,omitempty"`
	FieldName      string          `json:"fieldName,omitempty"`
	ArgumentName   string          `json:"argumentName,omitempty"`
	Arguments      string          `json:"arguments,omitempty"`
	VariableName   string          `json:"variableName,omitempty"`
	Value          json.RawMessage `json:"value,omitempty"`
	Problems       []problem       `json:"problems,omitempty"`
}

// problem is one thing wrong with the value of a variable.
type problem struct {
	Path        []step `json:"path"`
	Explanation string `json:"explanation"`
	Message     string `json:"message,omitempty"`
}

// step is one element of a path: a name, or an index into a list.
type step struct {
	name  string
	index int
}

// MarshalJSON implements json.Marshaler.
func (s step) MarshalJSON() ([]byte, error) {
	if s.name == "" {
		return json.Marshal(s.index)
	}
	return json.Marshal(s.name)
}

// path is a place in an answer or a document, linked to its parent so that a path costs nothing unless an error needs it.
type path struct {
	parent *path
	step   step
}

func (p *path) field(name string) *path { return &path{p, step{name: name}} }

func (p *path) index(n int) *path { return &path{p, step{index: n}} }

func (p *path) steps() []step {
	steps := []step{}
	for ; p != nil; p = p.parent {
		steps = append(steps, p.step)
	}
	slices.Reverse(steps)
	return steps
}
