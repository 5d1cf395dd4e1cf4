package shop

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// Definition is a metafield definition of customers.
type Definition struct {
	Namespace string `json:"namespace"`
	Key       string `json:"key"`
	Name      string `json:"name"`
	Type      string `json:"type"`
	// Filterable: it can be used in filters and customer segments.
	Filterable bool `json:"filterable"`
}

// MetafieldInput is one value of metafieldsSet.
type MetafieldInput struct {
	Owner                       CustomerID
	Namespace, Key, Type, Value string
}

// maxMetafields is how many metafieldsSet takes (introspection).
const maxMetafields = 25

// MetafieldError is a refusal of metafieldsSet.
type MetafieldError struct {
	UserError
	// Element is the index of the element; -1 when none is meant.
	Element int
}

// DefineMetafield is metafieldDefinitionCreate for customers.
func (s *Store) DefineMetafield(definition Definition) []UserError {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := definition.Namespace + "." + definition.Key
	switch {
	case len(definition.Key) < 2 || len(definition.Key) > 64:
		return []UserError{{Field: []string{"definition", "key"}, Message: "Key is too short (minimum is 2 characters)", Code: "TOO_SHORT"}}
	case metafieldProblem(definition.Type, "") == unknownType:
		return []UserError{{Field: []string{"definition", "type"}, Message: "Type name is not a valid type.", Code: "INCLUSION"}}
	case s.switches.MetafieldDefinitionsFull:
		return []UserError{{Field: []string{"definition"}, Message: "The limit of definitions per owner type has been exceeded.",
			Code: "RESOURCE_TYPE_LIMIT_EXCEEDED"}}
	}
	if _, taken := s.definitions[name]; taken {
		return []UserError{{Field: []string{"definition", "key"}, Message: "Key is in use for Customer metafields on the '" + definition.Namespace + "' namespace.",
			Code: "TAKEN"}}
	}
	s.definitions[name] = definition
	return nil
}

// SetMetafields is metafieldsSet: all of them or, when one is refused, none.
func (s *Store) SetMetafields(list []MetafieldInput) []MetafieldError {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(list) > maxMetafields {
		return []MetafieldError{{UserError{Field: []string{"metafields"}, Message: "Exceeded the maximum metafields input limit of 25.",
			Code: "LESS_THAN_OR_EQUAL_TO"}, -1}}
	}
	var refused []MetafieldError
	refuse := func(n int, member, message, code string) {
		refused = append(refused, MetafieldError{UserError{Field: []string{"metafields", strconv.Itoa(n), member}, Message: message, Code: code}, n})
	}
	for n, in := range list {
		kind := in.Type
		if definition, defined := s.definitions[in.Namespace+"."+in.Key]; defined {
			if kind != "" && kind != definition.Type {
				refuse(n, "type", fmt.Sprintf("Type '%s' must be consistent with the definition's type: '%s'.", kind, definition.Type), "INVALID_TYPE")
				continue
			}
			kind = definition.Type
		}
		if _, err := s.find(in.Owner); err != nil {
			refuse(n, "ownerId", "Owner does not exist.", "INVALID")
			continue
		}
		switch problem := metafieldProblem(kind, in.Value); problem {
		case "":
		case unknownType:
			refuse(n, "type", problem, "INVALID_TYPE")
		default:
			refuse(n, "value", problem, "INVALID_VALUE")
		}
	}
	if refused != nil {
		return refused
	}
	now, touched := s.config.Now(), map[int64]bool{}
	for _, in := range list {
		c, err := s.find(in.Owner)
		if err != nil {
			continue // cannot be: it was found above
		}
		if c.metafields == nil {
			c.metafields = map[string]string{}
		}
		c.metafields[in.Namespace+"."+in.Key] = in.Value
		s.metafieldWrites++
		if !touched[c.number] && !s.switches.MetafieldsKeepUpdatedAt {
			touched[c.number] = true
			s.begin()
			s.touch(c, now)
		}
	}
	return nil
}

const unknownType = "Type is not a valid type."

// metafieldProblem is what is wrong with a value of a type, of those types that the sandbox knows.
func metafieldProblem(kind, value string) string {
	switch kind {
	case "number_integer":
		if _, err := strconv.ParseInt(value, 10, 64); value != "" && err != nil {
			return "Value must be an integer."
		}
	case "date_time":
		if _, err := time.Parse(time.RFC3339, value); value != "" && err != nil {
			return "Value must be in “YYYY-MM-DDTHH:MM:SS” format. For example: 2022-06-01T15:30:00"
		}
	case "single_line_text_field":
	default:
		return unknownType
	}
	return ""
}

// Metafields are a customer's, by namespace and key, "$app:concord.emails_sent"; nil for nobody.
func (s *Store) Metafields(id CustomerID) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err != nil {
		return nil
	}
	return maps.Clone(c.metafields)
}

// MetafieldWrites counts the values that apps have set.
func (s *Store) MetafieldWrites() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.metafieldWrites
}

// Definitions are the metafield definitions of customers, by namespace and key.
func (s *Store) Definitions() map[string]Definition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.definitions)
}

// DeleteDefinitions acts as staff who delete all metafield definitions of customers in the admin; the values stay.
func (s *Store) DeleteDefinitions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.definitions)
}

func defineMetafield(store *Store, in inputs) (value, error) {
	if owner := in.text("ownerType"); owner != "CUSTOMER" {
		return unmodelled("MetafieldDefinitionInput", "ownerType "+owner)
	}
	payload := refusals{name: "MetafieldDefinitionCreatePayload", errorName: "MetafieldDefinitionCreateUserError"}
	if access := in.object("access"); access.text("admin") != "" && !strings.HasPrefix(in.text("namespace"), "$app") {
		payload.userErrors = []UserError{{Field: []string{"definition"}, Message: "Setting this access control is not permitted.", Code: "ADMIN_ACCESS_INPUT_NOT_ALLOWED"}}
		return value{object: payload}, nil
	}
	payload.userErrors = store.DefineMetafield(Definition{
		Namespace: in.text("namespace"), Key: in.text("key"), Name: in.text("name"), Type: in.text("type"),
		Filterable: in.object("capabilities").object("adminFilterable").truth("enabled"),
	})
	return value{object: payload}, nil
}

func setMetafields(store *Store, arguments inputs) (value, error) {
	list, _ := arguments["metafields"].([]any)
	var all []MetafieldInput
	for _, element := range list {
		in, _ := element.(inputs)
		if in["compareDigest"] != nil {
			return unmodelled("MetafieldsSetInput", "compareDigest")
		}
		all = append(all, MetafieldInput{Owner: CustomerID(in.text("ownerId")), Namespace: in.text("namespace"), Key: in.text("key"),
			Type: in.text("type"), Value: in.text("value")})
	}
	return value{object: metafieldsPayload{store.SetMetafields(all)}}, nil
}

type metafieldsPayload struct{ refused []MetafieldError }

func (metafieldsPayload) typeName() string { return "MetafieldsSetPayload" }

func (p metafieldsPayload) resolve(_ *execution, call call) (value, error) {
	if call.name != "userErrors" {
		return unmodelled("MetafieldsSetPayload", call.name)
	}
	list := make([]object, 0, len(p.refused))
	for _, refused := range p.refused {
		list = append(list, metafieldErrorNode{refused})
	}
	return listOf(list), nil
}

type metafieldErrorNode struct{ refused MetafieldError }

func (metafieldErrorNode) typeName() string { return "MetafieldsSetUserError" }

func (m metafieldErrorNode) resolve(x *execution, call call) (value, error) {
	if call.name == "elementIndex" {
		if m.refused.Element < 0 {
			return value{}, nil
		}
		return value{leaf: []byte(strconv.Itoa(m.refused.Element))}, nil
	}
	return userErrorNode{"MetafieldsSetUserError", m.refused.UserError}.resolve(x, call)
}
