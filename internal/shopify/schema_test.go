package shopify

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// The official introspection, as far as this test reads it.
type (
	officialType struct {
		Kind        string          `json:"kind"`
		Name        string          `json:"name"`
		Fields      []officialField `json:"fields"`
		InputFields []officialField `json:"inputFields"`
		EnumValues  []officialField `json:"enumValues"`
		Interfaces  []officialRef   `json:"interfaces"`
		IsOneOf     bool            `json:"isOneOf"`
	}
	officialField struct {
		Name         string          `json:"name"`
		Args         []officialField `json:"args"`
		Type         officialRef     `json:"type"`
		DefaultValue *string         `json:"defaultValue"`
		IsDeprecated bool            `json:"isDeprecated"`
	}
	officialRef struct {
		Kind   string       `json:"kind"`
		Name   string       `json:"name"`
		OfType *officialRef `json:"ofType"`
	}
)

func (r officialRef) String() string {
	switch r.Kind {
	case "NON_NULL":
		return r.OfType.String() + "!"
	case "LIST":
		return "[" + r.OfType.String() + "]"
	default:
		return r.Name
	}
}

func TestSchemaIsPartOfTheOfficialOne(t *testing.T) {
	t.Parallel()
	official := readOfficialSchema(t)
	ours, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphql", Input: Schema})
	require.NoError(t, err)

	kinds := map[ast.DefinitionKind]string{ast.Object: "OBJECT", ast.InputObject: "INPUT_OBJECT", ast.Enum: "ENUM",
		ast.Scalar: "SCALAR", ast.Interface: "INTERFACE", ast.Union: "UNION"}
	for name, definition := range ours.Types {
		if definition.BuiltIn {
			continue
		}
		theirs, ok := official[name]
		if !ok {
			t.Errorf("type %s: Shopify has none of that name", name)
			continue
		}
		if kinds[definition.Kind] != theirs.Kind {
			t.Errorf("type %s: ours is %s, Shopify's is %s", name, definition.Kind, theirs.Kind)
		}
		if got := definition.Directives.ForName("oneOf") != nil; got != theirs.IsOneOf && theirs.Kind == "INPUT_OBJECT" {
			t.Errorf("type %s: @oneOf is %t here and %t at Shopify", name, got, theirs.IsOneOf)
		}
		for _, implemented := range definition.Interfaces {
			if !slices.ContainsFunc(theirs.Interfaces, func(r officialRef) bool { return r.Name == implemented }) {
				t.Errorf("type %s: does not implement %s at Shopify", name, implemented)
			}
		}
		compareFields(t, name, definition.Fields, append(theirs.Fields, theirs.InputFields...))
		current := slices.DeleteFunc(slices.Clone(theirs.EnumValues), func(f officialField) bool { return f.IsDeprecated })
		if definition.Kind == ast.Enum && len(definition.EnumValues) != len(current) {
			t.Errorf("enum %s: %d values here, %d at Shopify", name, len(definition.EnumValues), len(current))
		}
		for _, value := range definition.EnumValues {
			match := find(theirs.EnumValues, value.Name)
			if match == nil || match.IsDeprecated {
				t.Errorf("enum %s: Shopify has no %s, or has deprecated it", name, value.Name)
			}
		}
		if definition.Kind == ast.InputObject {
			for _, field := range theirs.InputFields {
				if field.Type.Kind == "NON_NULL" && field.DefaultValue == nil && definition.Fields.ForName(field.Name) == nil {
					t.Errorf("input %s: lacks %s, which Shopify demands", name, field.Name)
				}
			}
		}
	}
}

func compareFields(t *testing.T, owner string, ours ast.FieldList, theirs []officialField) {
	t.Helper()
	for _, field := range ours {
		if strings.HasPrefix(field.Name, "__") {
			continue
		}
		match := find(theirs, field.Name)
		if match == nil {
			t.Errorf("%s.%s: Shopify has no such member", owner, field.Name)
			continue
		}
		if match.IsDeprecated {
			t.Errorf("%s.%s: deprecated", owner, field.Name)
		}
		if got, want := field.Type.String(), match.Type.String(); got != want {
			t.Errorf("%s.%s: type %s here, %s at Shopify", owner, field.Name, got, want)
		}
		compareDefault(t, owner+"."+field.Name, field.DefaultValue, match.DefaultValue)
		for _, argument := range field.Arguments {
			place := owner + "." + field.Name + "(" + argument.Name + ":)"
			wanted := find(match.Args, argument.Name)
			if wanted == nil || wanted.IsDeprecated {
				t.Errorf("%s: Shopify has no such argument, or has deprecated it", place)
				continue
			}
			if got, want := argument.Type.String(), wanted.Type.String(); got != want {
				t.Errorf("%s: type %s here, %s at Shopify", place, got, want)
			}
			compareDefault(t, place, argument.DefaultValue, wanted.DefaultValue)
		}
		for _, wanted := range match.Args {
			if !wanted.IsDeprecated && field.Arguments.ForName(wanted.Name) == nil {
				t.Errorf("%s.%s: argument %s is missing here", owner, field.Name, wanted.Name)
			}
		}
	}
}

func compareDefault(t *testing.T, place string, ours *ast.Value, theirs *string) {
	t.Helper()
	switch {
	case ours == nil && theirs == nil:
	case ours == nil || theirs == nil || ours.String() != *theirs:
		t.Errorf("%s: the default differs from Shopify's", place)
	}
}

func find(list []officialField, name string) *officialField {
	if n := slices.IndexFunc(list, func(f officialField) bool { return f.Name == name }); n >= 0 {
		return &list[n]
	}
	return nil
}

// readOfficialSchema reads Shopify's whole schema from the contracts beside the repository. They are not part of it, so a plain
// checkout skips.
func readOfficialSchema(t *testing.T) map[string]officialType {
	t.Helper()
	const document = "shared/contracts/shopify-admin-2026-10-introspection.json.gz"
	folder, err := os.Getwd()
	require.NoError(t, err)
	for {
		file, err := os.Open(filepath.Join(folder, document))
		if errors.Is(err, fs.ErrNotExist) {
			parent := filepath.Dir(folder)
			if parent == folder {
				t.Skipf("no %s in any folder above: the official schema was not compared", document)
			}
			folder = parent
			continue
		}
		require.NoError(t, err)
		defer file.Close()
		unpacked, err := gzip.NewReader(file)
		require.NoError(t, err)
		var answer struct {
			Data struct {
				Schema struct {
					Types []officialType `json:"types"`
				} `json:"__schema"`
			} `json:"data"`
		}
		require.NoError(t, json.NewDecoder(unpacked).Decode(&answer))
		types := map[string]officialType{}
		for _, one := range answer.Data.Schema.Types {
			types[one.Name] = one
		}
		require.NotEmpty(t, types, "the introspection has another shape than this test reads")
		return types
	}
}
