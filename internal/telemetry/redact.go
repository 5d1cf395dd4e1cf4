package telemetry

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"time"
)

// Redacted stands in a log line where personal data stood.
const Redacted = "[redacted]"

// personal matches an email address, also percent-encoded as it stands in a URL, and a phone number in E.164 form. A version
// such as sdk@v1.50.0 in a stack trace is no address, since its last label holds a digit.
var personal = regexp.MustCompile(
	`(?:[^\s\x00-\x1f"'<>()\[\]{},;:=/?&|\\@]|\\u[0-9a-f]{4})+(?:@|%40)(?:[\p{L}\p{N}_-]+\.)+(?i:xn--[a-z0-9-]+|\p{L}{2,})` +
		`|(?:\+|%2[Bb])[1-9][0-9]{6,14}`)

// Redact replaces what looks like an email address or a phone number by Redacted.
func Redact(text string) string { return personal.ReplaceAllLiteralString(text, Redacted) }

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
		case personal.MatchString(shown) || personal.Match(asJSON):
			return slog.StringValue(Redact(string(asJSON)))
		default:
			return value
		}
	}
}
