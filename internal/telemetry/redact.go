package telemetry

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Redacted stands in a log line where personal data stood.
const Redacted = "[redacted]"

// personal matches an email address, also percent-encoded as it stands in a URL, and a phone number that begins with a plus: in E.164 form,
// spelt as one of North America, or in groups of digits. A version such as sdk@v1.50.0 in a stack trace is no address, since its last
// label holds a digit.
var personal = regexp.MustCompile(
	`(?:[^\s\x00-\x1f"'<>()\[\]{},;:=/?&|\\@]|\\u[0-9a-f]{4})+(?:@|%40)(?:[\p{L}\p{N}_-]+\.)+(?i:xn--[a-z0-9-]+|\p{L}{2,})` +
		`|(?:\+|%2[Bb])(?:1` + gap + `{0,2}` + northAmerican + `|[1-9][0-9]{6,14}|[2-9][0-9]{0,2}(?: [0-9]{2,8}){2,5})`)

const (
	// gap is what stands between groups of digits, also in a URL.
	gap = `(?:[ .()-]|%2[089]|%2D)`
	// northAmerican is a number of ten digits in groups.
	northAmerican = `[2-9][0-9]{2}` + gap + `{0,2}[0-9]{3}` + gap + `?[0-9]{4}`
)

// national matches what may be a phone number of North America without a plus, which most of such digits are not: isPhone tells.
var national = regexp.MustCompile(
	`(?:1` + gap + `?)?(?:\(|%28)[2-9][0-9]{2}(?:\)|%29)(?:[ .+-]|%20)?[0-9]{3}[ .-]?[0-9]{4}` +
		`|(?:1[.-])?[2-9][0-9]{2}(?:-[0-9]{3}-|\.[0-9]{3}\.)[0-9]{4}` +
		`|1?[2-9][0-9]{9}`)

// Redact replaces what looks like an email address or a phone number by Redacted.
func Redact(text string) string {
	text = personal.ReplaceAllLiteralString(text, Redacted)
	var out strings.Builder
	kept := 0
	for _, at := range national.FindAllStringIndex(text, -1) {
		if isPhone(text[:at[0]], text[at[0]:at[1]], text[at[1]:]) {
			out.WriteString(text[kept:at[0]])
			out.WriteString(Redacted)
			kept = at[1]
		}
	}
	if kept == 0 {
		return text
	}
	out.WriteString(text[kept:])
	return out.String()
}

// isPhone tells a phone number from an id, a time or money by what stands around it. An id is part of a path, named, or a number in JSON;
// only bare digits need that much care.
func isPhone(before, digits, after string) bool {
	inContact := contactPath.MatchString(before)
	if last, _ := utf8.DecodeLastRuneInString(before); before != "" && !inContact && (isWord(last) || strings.ContainsRune("/-.%#$€£+~", last)) {
		return false
	}
	if next, size := utf8.DecodeRuneInString(after); after != "" {
		following, _ := utf8.DecodeRuneInString(after[size:])
		if isWord(next) || strings.ContainsRune("-%", next) || next == '/' && !inContact || strings.ContainsRune(".,:", next) && unicode.IsDigit(following) {
			return false
		}
	}
	if inContact || strings.ContainsAny(digits, ".()-%") {
		return true
	}
	found := nameBefore.FindStringSubmatch(before)
	if found == nil {
		return true
	}
	name, between := strings.ToLower(found[1]), found[2]
	if !strings.ContainsAny(between, ` "'`) {
		return phoneName.MatchString(name)
	}
	return !idName.MatchString(name)
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

var (
	// contactPath is how Listrak's SMS routes go on with a phone number.
	contactPath = regexp.MustCompile(`(?i)/contact/$`)
	// nameBefore is what a value is called: the word before it, and what stands between the two.
	nameBefore = regexp.MustCompile(`(\pL+)((?:\\?["'])?[ =:]+(?:\\?["'])?)$`)
	phoneName  = regexp.MustCompile(`(?:phone|number|mobile|sms|tel|to)$`)
	idName     = regexp.MustCompile(`(?:id|customer|order|event|cursor|version|count|port|bytes|rows|took|at|since|until)$`)
)

// redactAttribute is called by slog's handlers for the message and for every attribute, those in groups too, after LogValue.
func redactAttribute(_ []string, attribute slog.Attr) slog.Attr {
	attribute.Key = Redact(attribute.Key)
	switch attribute.Value.Kind() {
	case slog.KindString:
		attribute.Value = slog.StringValue(Redact(attribute.Value.String()))
	case slog.KindAny:
		attribute.Value = redactAny(attribute.Value)
	}
	return attribute
}

// redactAny looks at a value in each of the ways in which a handler may write it. One that shows nothing personal stays as it
// is, so that it keeps its form in JSON; any other becomes its redacted text.
func redactAny(value slog.Value) slog.Value {
	switch held := value.Any().(type) {
	case nil, time.Time, *slog.Source, slog.Level:
		return value
	case error:
		return slog.StringValue(Redact(held.Error()))
	case []byte:
		return slog.StringValue(Redact(string(held)))
	default:
		shown := fmt.Sprintf("%+v", held)
		asJSON, err := json.Marshal(held)
		switch {
		case err != nil:
			return slog.StringValue(Redact(shown))
		case Redact(shown) != shown || Redact(string(asJSON)) != string(asJSON):
			return slog.StringValue(Redact(string(asJSON)))
		default:
			return value
		}
	}
}
