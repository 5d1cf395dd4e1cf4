package shop

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// SearchWarning says that a part of a search query was ignored (contracts/shopify.md 4): the query ran without it, which may match
// everything.
type SearchWarning struct {
	Field   string `json:"field"`
	Message string `json:"message"`
	Code    string `json:"code"`
}

// span is a range of Unix seconds, both ends inclusive.
type span struct{ least, most int64 }

var allTime = span{math.MinInt64, math.MaxInt64}

// searchQuery is a query in the part of Shopify's search syntax that the sandbox understands: terms joined by AND or white space.
type searchQuery struct {
	created, updated span
	email            *string // by emailKey
	customer         *int64
	tokenised        bool
	warnings         []SearchWarning
}

// bounds are the limits that the query puts on the values of a sorting, so that a page need not walk what cannot match.
func (q searchQuery) bounds(by sorting) span {
	switch by {
	case byCreated:
		return q.created
	case byUpdated:
		return q.updated
	default:
		return allTime
	}
}

func (q searchQuery) matches(d *document) bool {
	if d.created < q.created.least || d.created > q.created.most || d.updated < q.updated.least || d.updated > q.updated.most {
		return false
	}
	if q.customer != nil && d.customer != *q.customer {
		return false
	}
	if q.email == nil {
		return true
	}
	if q.tokenised {
		return holdsTokens(d.emailKey, *q.email)
	}
	return d.emailKey == *q.email
}

func holdsTokens(text, wanted string) bool {
	held := map[string]bool{}
	for _, token := range tokensOf(text) {
		held[token] = true
	}
	for _, token := range tokensOf(wanted) {
		if !held[token] {
			return false
		}
	}
	return true
}

func tokensOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// searchable names the fields that a search understands.
type searchable struct{ updatedAt, createdAt, email, customerID bool }

var (
	customerSearchable = searchable{updatedAt: true, createdAt: true, email: true}
	orderSearchable    = searchable{createdAt: true, email: true, customerID: true}
)

// parseSearch reads a query. A field that Shopify would not know is left out with a warning. What Shopify knows and the sandbox
// does not (OR, NOT, parentheses, words without a field) is an error, lest a test pass by luck.
func parseSearch(query string, fields searchable, tokenised bool) (searchQuery, error) {
	parsed := searchQuery{created: allTime, updated: allTime, tokenised: tokenised}
	rest := strings.TrimSpace(query)
	for rest != "" {
		var term searchTerm
		var err error
		if term, rest, err = nextTerm(rest); err != nil {
			return searchQuery{}, err
		}
		if term.field != "" {
			parsed.add(term, fields)
		}
	}
	return parsed, nil
}

func (q *searchQuery) add(term searchTerm, fields searchable) {
	switch {
	case term.field == "updated_at" && fields.updatedAt:
		q.narrow(&q.updated, term)
	case term.field == "created_at" && fields.createdAt:
		q.narrow(&q.created, term)
	case term.field == "email" && fields.email && term.comparison == "":
		key := emailKey(term.value)
		q.email = &key
	case term.field == "customer_id" && fields.customerID && term.comparison == "":
		number, err := strconv.ParseInt(term.value, 10, 64)
		if err != nil {
			q.warnUnaccepted(term)
			return
		}
		q.customer = &number
	default:
		q.warnings = append(q.warnings, SearchWarning{
			Field: term.field, Message: "Invalid search field for this query.", Code: "invalid_field",
		})
	}
}

func (q *searchQuery) warnUnaccepted(term searchTerm) {
	q.warnings = append(q.warnings, SearchWarning{
		Field: term.field, Message: "Input `" + term.value + "` is not an accepted value.", Code: "invalid_value",
	})
}

func (q *searchQuery) narrow(limits *span, term searchTerm) {
	at, err := time.Parse(time.RFC3339, term.value)
	if err != nil {
		if at, err = time.Parse(time.DateOnly, term.value); err != nil {
			q.warnUnaccepted(term)
			return
		}
	}
	// Objects are dated in whole seconds: a fraction in the query shifts only where the limit falls between two of them.
	floor := at.Unix()
	ceil := floor
	if at.Nanosecond() > 0 {
		ceil++
	}
	switch term.comparison {
	case ">=":
		limits.least = max(limits.least, ceil)
	case ">":
		limits.least = max(limits.least, floor+1)
	case "<=":
		limits.most = min(limits.most, floor)
	case "<":
		limits.most = min(limits.most, ceil-1)
	default:
		limits.least, limits.most = max(limits.least, ceil), min(limits.most, floor)
	}
}

// searchTerm is one field:value; a term without a field is a bare AND.
type searchTerm struct{ field, comparison, value string }

// nextTerm wants text without white space in front.
func nextTerm(text string) (term searchTerm, rest string, err error) {
	end := strings.IndexFunc(text, func(r rune) bool { return r == ':' || unicode.IsSpace(r) })
	if end < 0 || text[end] != ':' {
		word := text
		if end >= 0 {
			word = text[:end]
		}
		if word == "AND" {
			return searchTerm{}, strings.TrimSpace(text[len(word):]), nil
		}
		return searchTerm{}, "", errUnsupportedSearch
	}
	term.field = text[:end]
	if strings.ContainsAny(term.field, "()-") {
		return searchTerm{}, "", errUnsupportedSearch
	}
	rest = text[end+1:]
	for _, comparison := range []string{">=", "<=", ">", "<"} {
		if after, ok := strings.CutPrefix(rest, comparison); ok {
			term.comparison, rest = comparison, after
			break
		}
	}
	term.value, rest, err = nextValue(rest)
	return term, strings.TrimSpace(rest), err
}

func nextValue(text string) (value, rest string, err error) {
	if text == "" || text[0] != '\'' && text[0] != '"' {
		end := strings.IndexFunc(text, unicode.IsSpace)
		if end < 0 {
			return text, "", nil
		}
		return text[:end], text[end:], nil
	}
	var unquoted strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == text[0]:
			return unquoted.String(), text[i+1:], nil
		case text[i] == '\\' && i+1 < len(text):
			i++
			unquoted.WriteByte(text[i])
		default:
			unquoted.WriteByte(text[i])
		}
	}
	return "", "", errUnsupportedSearch
}

var errUnsupportedSearch = &APIError{
	Code:    "BAD_REQUEST",
	Message: "The sandbox understands only field:value terms joined by AND in a search query",
}
