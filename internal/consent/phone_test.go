package consent_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/concordsync/concord/internal/consent"
)

func TestPhonesAreNormalised(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ raw, country, want string }{
		{"+15550001111", "US", "+15550001111"},
		{"+1 555 000 1111", "DE", "+15550001111"},
		{"(555) 000-1111", "US", "+15550001111"},
		{"555.000.1111", "US", "+15550001111"},
		{"1 555-000-1111", "US", "+15550001111"},
		{"15550001111", "US", "+15550001111"},
		{"0015550001111", "DE", "+15550001111"},
		{"01115550001111", "US", "+15550001111"}, // with the prefix for calls abroad
		{" +1 (555) 000‑1111 ", "US", "+15550001111"},
		{"tel:+1-555-000-1111", "US", "+15550001111"},
		{"０３０ １２３４５６７", "DE", "+49301234567"}, // full-width digits
		{"030 1234567", "DE", "+49301234567"},
		{"+49 (0)30 1234567", "US", "+49301234567"},
		{"06 12 34 56 78", "FR", "+33612345678"},
	} {
		if got, err := consent.NormalisePhone(c.raw, c.country); got != c.want || err != nil {
			t.Errorf("NormalisePhone(%q, %s) = %q, %v; want %q", c.raw, c.country, got, err, c.want)
		}
	}
}

func TestWhatIsNoPhoneIsNotGuessed(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"", " ", "+", "12", "555", "+1555", "ann@example.com", "+99912345678", "+1555000111122334455", "5550001111 ext. 12", "\xff15550001111",
		strings.Repeat("1", 101),
	} {
		got, err := consent.NormalisePhone(raw, "US")
		if err == nil {
			t.Errorf("%q became %q, want an error", raw, got)
			continue
		}
		if !errors.Is(err, consent.ErrMalformedPhone) || len(raw) > 3 && strings.Contains(err.Error(), strings.TrimSpace(raw)) {
			t.Errorf("%q: the error is %q", raw, err)
		}
	}
	if got, err := consent.NormalisePhone("000099", "DE"); err == nil {
		t.Errorf("what reads as two numbers became %q", got)
	}
	if _, err := consent.NormalisePhone("555 000 1111", ""); err == nil {
		t.Error("a national number without a country was guessed")
	}
}

func TestNormalisingAPhoneTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.StringMatching(`\+?[0-9 ().-]{3,18}`).Draw(t, "raw")
		country := rapid.SampledFrom([]string{"US", "DE", "GB", "BR", "IN"}).Draw(t, "country")
		once, err := consent.NormalisePhone(raw, country)
		if err != nil {
			if once != "" || !errors.Is(err, consent.ErrMalformedPhone) {
				t.Fatalf("%q became %q, %v", raw, once, err)
			}
			return
		}
		if twice, err := consent.NormalisePhone(once, "FR"); twice != once || err != nil {
			t.Fatalf("%q became %q, and that %q, %v", raw, once, twice, err)
		}
	})
}

func TestCountries(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{"US": true, "DE": true, "us": false, "": false, "XX": false, "001": false} {
		if got := consent.IsCountry(code); got != want {
			t.Errorf("IsCountry(%q) = %t", code, got)
		}
	}
}
