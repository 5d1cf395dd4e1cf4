package consent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Subject stands for one address of one merchant on one channel without telling it: HMAC-SHA-256 under the subject key.
type Subject [sha256.Size]byte

// Hex is how a subject is stored and shown.
func (s Subject) Hex() string { return hex.EncodeToString(s[:]) }

// IsZero reports whether s stands for nobody (lines of the journal that concern a whole merchant).
func (s Subject) IsZero() bool { return s == Subject{} }

// SubjectFromHex is the inverse of Hex.
func SubjectFromHex(text string) (Subject, error) {
	var s Subject
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(s) {
		return Subject{}, errors.New("read subject: want 64 hexadecimal digits")
	}
	copy(s[:], raw)
	return s, nil
}

// SubjectOf hashes a normalised address under key. The lengths are part of what is hashed, so that no merchant name can be chosen
// to collide with another merchant's addresses.
func SubjectOf(key []byte, merchant string, channel Channel, address string) Subject {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%d:%s|%s|%d:%s", len(merchant), merchant, channel, len(address), address)
	var s Subject
	mac.Sum(s[:0])
	return s
}

// MaxEmailLength is the longest address that Shopify takes (contracts/shopify.md 3.6).
const MaxEmailLength = 255

// ErrMalformedAddress is wrapped by every error of NormaliseEmail. The errors never repeat the address.
var ErrMalformedAddress = errors.New("malformed email address")

var domains = idna.New(
	idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true), idna.StrictDomainName(true), idna.Transitional(false))

// NormaliseEmail brings an email address into the one form in which both sides are compared: trimmed, NFC, lower case, the domain
// in IDNA's ASCII form. Plus-tags and dots are kept: they may be other people. It fails on what cannot be an address of both sides.
func NormaliseEmail(raw string) (string, error) {
	if !utf8.ValidString(raw) {
		return "", fmt.Errorf("%w: not valid UTF-8", ErrMalformedAddress)
	}
	address := strings.TrimFunc(raw, unicode.IsSpace)
	// Composing and IDNA shorten, but never four times. Punycode takes seconds for a hostile domain of some ten thousand letters.
	if len(address) > 4*MaxEmailLength {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrMalformedAddress, MaxEmailLength)
	}
	address = norm.NFC.String(address)
	at := strings.LastIndexByte(address, '@')
	if at < 1 || at == len(address)-1 {
		return "", fmt.Errorf("%w: want something before and after an @", ErrMalformedAddress)
	}
	local, domain := address[:at], address[at+1:]
	for _, r := range local {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == '@' {
			return "", fmt.Errorf("%w: a space, control character or second @ before the domain", ErrMalformedAddress)
		}
	}
	ascii, err := domains.ToASCII(domain)
	if err != nil {
		return "", fmt.Errorf("%w: the domain is not a domain name", ErrMalformedAddress)
	}
	// Some letters compose in lower case only (J̌ is two runes, ǰ one), so NFC comes once more: otherwise normalising twice would
	// differ from once.
	normal := norm.NFC.String(strings.ToLower(local)) + "@" + strings.ToLower(ascii)
	if len(normal) > MaxEmailLength {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrMalformedAddress, MaxEmailLength)
	}
	return normal, nil
}
