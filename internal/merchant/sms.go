package merchant

import (
	"cmp"
	"strings"

	"github.com/concordsync/concord/internal/consent"
)

// ListrakSMSURL is the real address of Listrak's SMS API (contracts/listrak.md "Access").
const ListrakSMSURL = "https://api.listrak.com/sms"

// DefaultCountry is the country of phone numbers without a country code.
const DefaultCountry = "US"

// SMS is what a merchant has set of the second channel. Without a list there is no SMS.
type SMS struct {
	// URL is the base address of Listrak's SMS API without a slash at the end; empty means the real one.
	URL string `json:"url,omitempty"`
	// SenderCode is the id of the sender code (shortCodeId), not its number. List is the id of a phone list of it, above 0; a list serves
	// one merchant.
	SenderCode int `json:"sender_code,omitzero"`
	List       int `json:"list,omitzero"`
	// CheckoutList is a second list that stands for the checkout point, since SMS routes know no events; 0 for none.
	CheckoutList int `json:"checkout_list,omitzero"`
	// Country is the ISO 3166 code of the country of phone numbers without a country code; empty becomes the default.
	Country string `json:"country,omitempty"`
	// Spelling is how numbers are written to Listrak, which does not publish it: "plus" (E.164; the default when empty), "digits" (without
	// the plus) or "national" (ten digits of numbers of +1, otherwise digits).
	Spelling PhoneSpelling `json:"spelling,omitempty"`
	// NoWindow: SMS consents do not wait for an order.
	NoWindow bool `json:"no_window,omitzero"`
	// OptOut: whoever unsubscribes in Shopify is opted out of the whole sender code, rather than taken off the list. It cannot be taken
	// back by the API.
	OptOut bool `json:"opt_out,omitzero"`
}

// PhoneSpelling is how phone numbers are written to Listrak.
type PhoneSpelling string

// The spellings.
const (
	SpellPlus     PhoneSpelling = "plus"
	SpellDigits   PhoneSpelling = "digits"
	SpellNational PhoneSpelling = "national"
)

// Enabled reports whether the merchant has SMS.
func (s SMS) Enabled() bool { return s.List != 0 }

// NewList reports whether s names another list than before, so that what was known of that one says nothing of this.
func (s SMS) NewList(before SMS) bool {
	return s.List != before.List || s.SenderCode != before.SenderCode || s.URL != before.URL
}

func (s *SMS) fillDefaults() { s.Country = cmp.Or(s.Country, DefaultCountry) }

func (s *SMS) normalize(wrong *problems) {
	s.URL = wrong.base("--listrak-sms-url", s.URL, ListrakSMSURL)
	for _, id := range []struct {
		flag, what string
		value      int
	}{
		{"--sms-sender-code", "the id of a sender code of Listrak, not its number", s.SenderCode},
		{"--sms-list", "the id of a phone list of the sender code", s.List},
		{"--sms-checkout-list", "the id of a phone list of the sender code", s.CheckoutList},
	} {
		if id.value < 0 || id.value >= maxNumber {
			wrong.add(id.flag, "must be "+id.what+", a number above 0 (`starter merchant lists` prints them), or 0 for none")
		}
	}
	switch {
	case s.List != 0 && s.SenderCode == 0:
		wrong.add("--sms-sender-code", "is required with --sms-list: the id of the sender code that the list belongs to (`starter merchant lists` prints it)")
	case s.SenderCode != 0 && s.List == 0:
		wrong.add("--sms-list", "is required with --sms-sender-code (`starter merchant lists` prints the lists)")
	case s.CheckoutList != 0 && s.List == 0:
		wrong.add("--sms-checkout-list", "is a second list, beside --sms-list")
	case s.CheckoutList != 0 && s.CheckoutList == s.List:
		wrong.add("--sms-checkout-list", "must be another list than --sms-list")
	}
	if s.Country = strings.ToUpper(strings.TrimSpace(s.Country)); !consent.IsCountry(s.Country) {
		wrong.add("--country", "must be the ISO 3166 code of the country of phone numbers without a country code, such as US or DE")
	}
	switch s.Spelling = PhoneSpelling(strings.TrimSpace(string(s.Spelling))); s.Spelling {
	case "", SpellDigits, SpellNational:
	case SpellPlus:
		s.Spelling = ""
	default:
		wrong.add("--sms-phone-spelling", "must be plus, digits or national")
	}
}
