package listrak

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// schema is the part of a JSON schema that both documents share.
type schema struct {
	Ref        string            `json:"$ref" yaml:"$ref"`
	Type       string            `json:"type" yaml:"type"`
	Format     string            `json:"format" yaml:"format"`
	Required   []string          `json:"required" yaml:"required"`
	ReadOnly   bool              `json:"readOnly" yaml:"readOnly"`
	Properties map[string]schema `json:"properties" yaml:"properties"`
	Items      *schema           `json:"items" yaml:"items"`
}

// swagger is Listrak's document (Swagger 2.0): parameters carry their type themselves, and the body is one of them.
type swagger struct {
	Swagger     string                                 `json:"swagger"`
	Host        string                                 `json:"host"`
	BasePath    string                                 `json:"basePath"`
	Paths       map[string]map[string]swaggerOperation `json:"paths"`
	Definitions map[string]schema                      `json:"definitions"`
}

type swaggerOperation struct {
	Parameters []swaggerParameter `json:"parameters"`
	Responses  map[string]struct {
		Schema schema `json:"schema"`
	} `json:"responses"`
}

type swaggerParameter struct {
	Name     string `json:"name"`
	In       string `json:"in"`
	Required bool   `json:"required"`
	Type     string `json:"type"`
	Format   string `json:"format"`
	Schema   schema `json:"schema"`
}

// openapi is ours (OpenAPI 3.0).
type openapi struct {
	Servers []struct {
		URL string `yaml:"url"`
	} `yaml:"servers"`
	Paths      map[string]map[string]openapiOperation `yaml:"paths"`
	Components struct {
		Parameters map[string]openapiParameter `yaml:"parameters"`
		Responses  map[string]openapiBody      `yaml:"responses"`
		Schemas    map[string]schema           `yaml:"schemas"`
	} `yaml:"components"`
}

type openapiOperation struct {
	Parameters  []openapiParameter     `yaml:"parameters"`
	RequestBody *openapiBody           `yaml:"requestBody"`
	Responses   map[string]openapiBody `yaml:"responses"`
}

type openapiParameter struct {
	Ref      string `yaml:"$ref"`
	Name     string `yaml:"name"`
	In       string `yaml:"in"`
	Required bool   `yaml:"required"`
	Schema   schema `yaml:"schema"`
}

type openapiBody struct {
	Ref     string `yaml:"$ref"`
	Content map[string]struct {
		Schema schema `yaml:"schema"`
	} `yaml:"content"`
}

// officialDocument finds Listrak's own document in ../shared/contracts, or skips: the document is not ours to ship.
func officialDocument(t *testing.T, name string) swagger {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		path := filepath.Join(dir, "shared", "contracts", name)
		raw, err := os.ReadFile(path)
		if err == nil {
			var doc swagger
			if err := json.Unmarshal(raw, &doc); err != nil {
				t.Fatalf("read %s: %v", path, err)
			}
			return doc
		}
		if filepath.Dir(dir) == dir {
			t.Skipf("no shared/contracts/%s above this folder: our description is not compared with it", name)
		}
		dir = filepath.Dir(dir)
	}
}

// alteration is one that a comparison must find.
type alteration struct{ what, from, to string }

func TestEmailSpecAgreesWithTheOfficialDocument(t *testing.T) {
	t.Parallel()
	agrees(t, EmailSpec, "listrak-email-openapi.json", []alteration{
		{"a property", "unsubscribeMethod:", "unsubscribedBy:"},
		{"a parameter", "overrideUnsubscribe", "forceSubscribe"},
		{"a path", "/v1/List/{listId}/Event:", "/v1/List/{listId}/Events:"},
		{"a type", "name: count\n          in: query\n          description: Contacts per page, 1000 by default, " +
			"5000 at most.\n          schema:\n            type: string", "name: count\n          in: query\n          schema:\n            type: integer"},
		{"a status", "'201':", "'202':"},
		{"what is required", "required: [emailAddress, segmentationFieldValues]", "required: [emailAddress]"},
	})
}

func TestPrivacySpecAgreesWithTheOfficialDocument(t *testing.T) {
	t.Parallel()
	agrees(t, PrivacySpec, "listrak-privacy-openapi.json", []alteration{
		{"a property", "processedDate:", "doneDate:"},
		{"a parameter", "name: requestId", "name: id"},
		{"a path", "/v1/Forget/{requestId}:", "/v1/Forgotten/{requestId}:"},
		{"the body", "phoneNumber:", "phone:"},
		{"a status", "'201':", "'200':"},
	})
}

func TestSMSSpecAgreesWithTheOfficialDocument(t *testing.T) {
	t.Parallel()
	agrees(t, SMSSpec, "listrak-sms-openapi.json", []alteration{
		{"a property", "pendingAgeGate:", "pendingAge:"},
		{"a parameter", "startSubscribeDate", "startDate"},
		{"a path", "/ContactUnsubscribe/", "/ContactRemove/"},
		{"the body", "        optedOut:\n          type: boolean\n    ContactResource", "        optedOut:\n          type: string\n    ContactResource"},
		{"a page", "nextPageCursor:", "nextPage:"},
		{"a status", "'201':", "'200':"},
	})
}

func agrees(t *testing.T, spec []byte, document string, alterations []alteration) {
	t.Helper()
	official := officialDocument(t, document)
	var ours openapi
	if err := yaml.Unmarshal(spec, &ours); err != nil {
		t.Fatalf("read our description: %v", err)
	}
	for _, difference := range compare(ours, official) {
		t.Error(difference)
	}

	// The comparison itself must be able to fail, otherwise the loop above proves nothing.
	t.Run("differences are seen", func(t *testing.T) {
		for _, change := range alterations {
			altered := strings.Replace(string(spec), change.from, change.to, 1)
			if altered == string(spec) {
				t.Errorf("%s: nothing was altered", change.what)
			}
			var doc openapi
			if err := yaml.Unmarshal([]byte(altered), &doc); err != nil {
				t.Fatal(err)
			}
			if len(compare(doc, official)) == 0 {
				t.Errorf("%s was altered and no difference was found", change.what)
			}
		}
	})
}

func compare(ours openapi, official swagger) []string {
	c := comparison{ours: ours, official: official, visited: map[string]bool{}}
	if len(ours.Paths) == 0 || len(ours.Servers) == 0 {
		return []string{"our description describes nothing"}
	}
	if want := "https://" + official.Host + official.BasePath; ours.Servers[0].URL != want {
		c.differ("server: ours %s, theirs %s", ours.Servers[0].URL, want)
	}
	for path, operations := range ours.Paths {
		for method, operation := range operations {
			theirs, found := official.Paths[path][method]
			if !found {
				c.differ("%s %s does not exist there", method, path)
				continue
			}
			c.operation(method+" "+path, operation, theirs)
		}
	}
	return c.differences
}

type comparison struct {
	ours        openapi
	official    swagger
	visited     map[string]bool
	differences []string
}

func (c *comparison) differ(format string, args ...any) {
	c.differences = append(c.differences, fmt.Sprintf(format, args...))
}

func (c *comparison) operation(where string, ours openapiOperation, theirs swaggerOperation) {
	parameters := map[string]swaggerParameter{}
	for _, p := range theirs.Parameters {
		parameters[p.In+" "+p.Name] = p
	}
	named := map[string]bool{}
	for _, p := range ours.Parameters {
		if p.Ref != "" {
			p = c.ours.Components.Parameters[last(p.Ref)]
		}
		key := p.In + " " + p.Name
		named[key] = true
		official, found := parameters[key]
		if !found {
			c.differ("%s: parameter %s does not exist there", where, key)
			continue
		}
		if p.Required != official.Required || p.Schema.Type != official.Type || p.Schema.Format != official.Format {
			c.differ("%s: parameter %s: ours %v %s %s, theirs %v %s %s", where, key,
				p.Required, p.Schema.Type, p.Schema.Format, official.Required, official.Type, official.Format)
		}
	}
	for _, p := range theirs.Parameters {
		if p.In == "body" {
			if ours.RequestBody == nil {
				c.differ("%s: they want a body", where)
				continue
			}
			c.schemas(where+" body", ours.RequestBody.Content["application/json"].Schema, p.Schema)
			continue
		}
		if !named[p.In+" "+p.Name] {
			c.differ("%s: their parameter %s %s is missing here", where, p.In, p.Name)
		}
	}
	for status, response := range ours.Responses {
		if response.Ref != "" {
			response = c.ours.Components.Responses[last(response.Ref)]
		}
		official, found := theirs.Responses[status]
		if !found {
			c.differ("%s: answer %s does not exist there", where, status)
			continue
		}
		c.schemas(where+" "+status, response.Content["application/json"].Schema, official.Schema)
	}
	for status := range theirs.Responses {
		if _, found := ours.Responses[status]; !found {
			c.differ("%s: their answer %s is missing here", where, status)
		}
	}
}

func (c *comparison) schemas(where string, ours, theirs schema) {
	if ours.Ref != "" {
		if pair := ours.Ref + " " + theirs.Ref; c.visited[pair] {
			return
		} else {
			c.visited[pair] = true
		}
		ours = c.ours.Components.Schemas[last(ours.Ref)]
	}
	if theirs.Ref != "" {
		name := last(theirs.Ref)
		theirs = c.official.Definitions[name]
		// The SMS document types answers as Collection[X] whose routes take a cursor, and defines a CollectionPaged[X] that nothing
		// refers to: the one with a cursor as well. What we read of the latter is optional.
		if paged, found := c.official.Definitions[strings.Replace(name, "Collection[", "CollectionPaged[", 1)]; found {
			theirs = paged
		}
	}
	if ours.Type == "" || ours.Type != theirs.Type || ours.Format != theirs.Format || ours.ReadOnly != theirs.ReadOnly {
		c.differ("%s: ours %q %q (readOnly %v), theirs %q %q (readOnly %v)", where,
			ours.Type, ours.Format, ours.ReadOnly, theirs.Type, theirs.Format, theirs.ReadOnly)
	}
	slices.Sort(ours.Required)
	slices.Sort(theirs.Required)
	if !slices.Equal(ours.Required, theirs.Required) {
		c.differ("%s: ours requires %v, theirs %v", where, ours.Required, theirs.Required)
	}
	for name, property := range ours.Properties {
		official, found := theirs.Properties[name]
		if !found {
			c.differ("%s: property %s does not exist there", where, name)
			continue
		}
		c.schemas(where+"."+name, property, official)
	}
	if (ours.Items == nil) != (theirs.Items == nil) {
		c.differ("%s: only one of the two has items", where)
	} else if ours.Items != nil {
		c.schemas(where+"[]", *ours.Items, *theirs.Items)
	}
}

// last gives the name at the end of a $ref.
func last(ref string) string { return ref[strings.LastIndex(ref, "/")+1:] }
