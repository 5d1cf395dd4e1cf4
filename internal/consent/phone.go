package consent

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

// ErrMalformedPhone is wrapped by every error of NormalisePhone. The errors never repeat the number.
var ErrMalformedPhone = errors.New("malformed phone number")

// maxPhoneBytes is more than any spelling of a number needs; E.164 has 15 digits.
const maxPhoneBytes = 100

// NormalisePhone brings a phone number, spelt in any of the common ways, into E.164 ("+15550001111"), the one form in which both sides
// are compared. country is the ISO 3166 code of the country that a number without a country code belongs to. It fails on what cannot be
// a number of that country or of the one that it names: a number is never guessed, since it would be somebody else's. Whether anybody
// has the number is not for us to say.
func NormalisePhone(raw, country string) (string, error) {
	switch {
	case !utf8.ValidString(raw):
		return "", fmt.Errorf("%w: not valid UTF-8", ErrMalformedPhone)
	case len(raw) > maxPhoneBytes:
		return "", fmt.Errorf("%w: longer than %d bytes", ErrMalformedPhone, maxPhoneBytes)
	}
	number, err := phonenumbers.Parse(raw, country)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: no number of its country", ErrMalformedPhone) // the cause may quote it
	case number.GetExtension() != "":
		return "", fmt.Errorf("%w: an extension gets no messages", ErrMalformedPhone)
	case !phonenumbers.IsPossibleNumber(number):
		return "", fmt.Errorf("%w: too short or too long for its country", ErrMalformedPhone)
	}
	normal := phonenumbers.Format(number, phonenumbers.E164)
	if again, err := phonenumbers.Parse(normal, ""); err != nil || phonenumbers.Format(again, phonenumbers.E164) != normal {
		// Zeros that one reading keeps and the next drops: the side that spells it differently would have another person.
		return "", fmt.Errorf("%w: it reads as more than one number", ErrMalformedPhone)
	}
	return normal, nil
}

// IsCountry reports whether code is the ISO 3166 code, in capitals, of a country whose phone numbers are known.
func IsCountry(code string) bool { return phonenumbers.GetSupportedRegions()[code] }
