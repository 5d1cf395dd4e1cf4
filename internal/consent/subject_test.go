package consent

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestNormaliseEmail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("l", MaxEmailLength-len("@example.com"))
	for _, c := range []struct{ sentence, raw, want string }{
		{"a plain address stays", "ann@example.com", "ann@example.com"},
		{"upper case is lowered on both sides of the @", "Ann.Lee@EXAMPLE.Com", "ann.lee@example.com"},
		{"spaces and line ends around it go", " \t\r\nann@example.com\n ", "ann@example.com"},
		{"no-break and ideographic spaces around it go", "\u00a0\u3000ann@example.com\u2003", "ann@example.com"},
		{"plus tags are other people", "ann+news@example.com", "ann+news@example.com"},
		{"dots are other people", "a.n.n@gmail.com", "a.n.n@gmail.com"},
		{"a decomposed letter is composed", "rene\u0301@example.com", "ren\u00e9@example.com"},
		{"a composed letter stays", "ren\u00e9@example.com", "ren\u00e9@example.com"},
		{"what composes only in lower case is composed after lowering", "J\u030C@example.com", "\u01f0@example.com"},
		{"an international domain becomes its ASCII form", "ann@M\u00dcNCHEN.example", "ann@xn--mnchen-3ya.example"},
		{"a decomposed domain is the same", "ann@mu\u0308nchen.example", "ann@xn--mnchen-3ya.example"},
		{"the ASCII form itself stays", "ann@xn--mnchen-3ya.example", "ann@xn--mnchen-3ya.example"},
		{"the ASCII form in upper case too", "ann@XN--MNCHEN-3YA.example", "ann@xn--mnchen-3ya.example"},
		{"\u00df in a domain is no ss", "ann@stra\u00dfe.example", "ann@xn--strae-oqa.example"},
		{"an ideographic full stop in a domain is a dot", "ann@example\u3002com", "ann@example.com"},
		{"full-width letters in a domain are plain ones", "ann@\uff45xample.com", "ann@example.com"},
		{"an apostrophe is a letter of a name", "o'neil@example.com", "o'neil@example.com"},
		{"a decomposed address is measured after it is composed", strings.Repeat("e\u0301", 100) + "@example.com",
			strings.Repeat("\u00e9", 100) + "@example.com"},
		{"the longest address", long + "@example.com", long + "@example.com"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			got, err := NormaliseEmail(c.raw)
			if err != nil || got != c.want {
				t.Errorf("%s: NormaliseEmail(%q) = %q, %v; want %q", c.sentence, c.raw, got, err, c.want)
			}
		})
	}
}

func TestNormaliseEmailRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sentence, raw string }{
		{"nothing", ""},
		{"only spaces", " \t\n"},
		{"no @", "ann.example.com"},
		{"nothing before the @", "@example.com"},
		{"nothing after the @", "ann@"},
		{"only an @", "@"},
		{"two addresses", "ann@example.com,bob@example.com"},
		{"a second @", "ann@home@example.com"},
		{"a space inside", "ann lee@example.com"},
		{"a no-break space inside", "ann\u00a0lee@example.com"},
		{"a space in the domain", "ann@exam ple.com"},
		{"a line end inside, for a header to be injected", "ann\r\nBcc: bob@example.com"},
		{"a line end in the domain", "ann@example.com\r\nBcc:bob"},
		{"a NUL", "ann\x00@example.com"},
		{"a delete character", "ann\x7f@example.com"},
		{"a full-width @", "ann\uff20example.com"},
		{"not UTF-8", "ann\xff@example.com"},
		{"a cut-off character", "ann@example.c\xc3"},
		{"an empty label", "ann@example..com"},
		{"a domain that begins with a dot", "ann@.example.com"},
		{"only a dot for a domain", "ann@."},
		{"an underscore in the domain", "ann@exa_mple.com"},
		{"a label that begins with a hyphen", "ann@-example.com"},
		{"a broken ASCII form", "ann@xn--\u00fc.example"},
		{"a soft hyphen for a domain, which maps to nothing", "ann@\u00ad"},
		{"a label of 64 letters", "ann@" + strings.Repeat("d", 64) + ".com"},
		{"an address literal", "ann@[127.0.0.1]"},
		{"a name before the address", "Ann Lee <ann@example.com>"},
		{"a path in the domain", "ann@example.com/../admin"},
		{"a query in the domain", "ann@example.com?x=1"},
		{"a byte longer than the longest", strings.Repeat("l", MaxEmailLength-len("@example.com")+1) + "@example.com"},
		{"a megabyte", strings.Repeat("l", 1<<20) + "@example.com"},
		{"a megabyte of domain", "ann@" + strings.Repeat("d.", 1<<19) + "com"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			got, err := NormaliseEmail(c.raw)
			if !errors.Is(err, ErrMalformedAddress) || got != "" {
				t.Fatalf("%s: NormaliseEmail = %q, %v; want ErrMalformedAddress", c.sentence, got, err)
			}
			if leaks(err.Error(), c.raw) {
				t.Errorf("%s: the error repeats the address: %v", c.sentence, err)
			}
		})
	}
}

// TestNormaliseEmailIsNotKeptBusy: the punycode of many different letters takes time that grows with their square (seconds for ten
// thousand), so what is far too long has to be refused for its length, before anybody looks at its domain.
func TestNormaliseEmailIsNotKeptBusy(t *testing.T) {
	t.Parallel()
	var hostile strings.Builder
	hostile.WriteString("a@")
	for i := range 5_000 {
		hostile.WriteRune(rune(0x4e00 + i))
	}
	if _, err := NormaliseEmail(hostile.String()); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a domain of 5,000 different letters is refused with %v, want: too long", err)
	}
}

// leaks reports whether message repeats a recognisable part of an address: one side of the @, or a label of the domain.
func leaks(message, raw string) bool {
	parts := strings.FieldsFunc(raw, func(r rune) bool { return r == '@' || r == '.' || r == ' ' || r == '\n' || r == '\r' })
	for _, part := range append(parts, strings.TrimSpace(raw)) {
		if len(part) >= 7 && strings.Contains(message, part) {
			return true
		}
	}
	return false
}

// checkNormal holds NormaliseEmail against what every caller relies on.
func checkNormal(t interface{ Fatalf(string, ...any) }, raw string) {
	normal, err := NormaliseEmail(raw)
	if err != nil {
		for _, fixed := range []string{"not valid UTF-8", "want something before and after an @", "the domain is not a domain name",
			"a space, control character or second @ before the domain", "longer than 255 bytes"} {
			if err.Error() == "malformed email address: "+fixed {
				return
			}
		}
		t.Fatalf("NormaliseEmail(%q): the error is none of the fixed texts, so it may tell the address: %v", raw, err)
	}
	if again, err := NormaliseEmail(normal); err != nil || again != normal {
		t.Fatalf("NormaliseEmail(%q) = %q (%+q), which is normalised again to %q (%+q), %v", raw, normal, normal, again, again, err)
	}
	if len(normal) > MaxEmailLength || !utf8.ValidString(normal) || strings.Count(normal, "@") != 1 || strings.ContainsAny(normal, " \t\r\n\x00") {
		t.Fatalf("NormaliseEmail(%q) = %q, which is no address", raw, normal)
	}
	if padded, err := NormaliseEmail(" \t" + raw + "\r\n"); err != nil || padded != normal {
		t.Fatalf("NormaliseEmail(%q) differs with spaces around it: %q, %v", raw, padded, err)
	}
}

func TestNormaliseEmailProperties(t *testing.T) {
	t.Parallel()
	label := rapid.StringMatching(`[a-zA-ZäöüßÄİıſKÅéΣς-]{1,8}`)
	awkward := []rune("aZ.+'@ \u00ad\u0301\u0307\u0130\u0131\u017f\u212a\u212b\u03a3\u03c2\u0345\u1e9e\u200b\u200d\ufeff\u3002\uff0e\uff20\u1f88\u0600\U00010400")
	t.Run("of addresses", rapid.MakeCheck(func(t *rapid.T) {
		local := rapid.StringOfN(rapid.RuneFrom(awkward), 1, 12, -1).Draw(t, "local")
		checkNormal(t, local+"@"+label.Draw(t, "label")+"."+label.Draw(t, "tld"))
	}))
	t.Run("of anything", rapid.MakeCheck(func(t *rapid.T) { checkNormal(t, rapid.String().Draw(t, "raw")) }))
	t.Run("of any bytes", rapid.MakeCheck(func(t *rapid.T) {
		checkNormal(t, string(rapid.SliceOf(rapid.Byte()).Draw(t, "raw")))
	}))
}

func FuzzNormaliseEmail(f *testing.F) {
	for _, raw := range []string{"Ann+news@M\u00dcNCHEN.example", "\u0130x@example.com", "a@\u00ad", "a@b@c", "\xff@x", "a@xn--a", "\u0345\u03b1@x.y"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) { checkNormal(t, raw) })
}

func TestSubjectOf(t *testing.T) {
	t.Parallel()
	key, other := []byte("0123456789abcdef0123456789abcdef"), []byte("another key of thirty-two bytes!")
	ann := SubjectOf(key, "shop", Email, "ann@example.com")
	if again := SubjectOf(key, "shop", Email, "ann@example.com"); again != ann {
		t.Error("the same address has two subjects")
	}
	if ann.IsZero() || !(Subject{}).IsZero() {
		t.Error("IsZero must be true of nobody and of nobody else")
	}
	different := map[string]Subject{
		"another key":                        SubjectOf(other, "shop", Email, "ann@example.com"),
		"another merchant":                   SubjectOf(key, "shop2", Email, "ann@example.com"),
		"another channel":                    SubjectOf(key, "shop", SMS, "ann@example.com"),
		"another address":                    SubjectOf(key, "shop", Email, "ann+1@example.com"),
		"no merchant":                        SubjectOf(key, "", Email, "ann@example.com"),
		"no address":                         SubjectOf(key, "shop", Email, ""),
		"a merchant named after the channel": SubjectOf(key, "shop|email|15:", Email, "ann@example.com"),
		"a letter moved to the merchant":     SubjectOf(key, "shopa", Email, "nn@example.com"),
		"the separator moved":                SubjectOf(key, "shop|", Email, "ann@example.com"),
	}
	seen := map[Subject]string{ann: "ann herself"}
	for name, subject := range different {
		if twin, clash := seen[subject]; clash {
			t.Errorf("%s and %s have the same subject", name, twin)
		}
		seen[subject] = name
	}
}

func TestSubjectSeparates(t *testing.T) {
	t.Parallel()
	// The separators and digits of the hashed text are drawn often: they are what a collision would be made of.
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab0123456789:|emailsms")), 0, 12, -1)
	channel := rapid.SampledFrom([]Channel{Email, SMS})
	rapid.Check(t, func(t *rapid.T) {
		type of struct {
			merchant string
			channel  Channel
			address  string
		}
		a := of{text.Draw(t, "merchant"), channel.Draw(t, "channel"), text.Draw(t, "address")}
		b := of{text.Draw(t, "other merchant"), channel.Draw(t, "other channel"), text.Draw(t, "other address")}
		key := []byte("key")
		same := SubjectOf(key, a.merchant, a.channel, a.address) == SubjectOf(key, b.merchant, b.channel, b.address)
		if same != (a == b) {
			t.Fatalf("%+v and %+v: same subject is %t", a, b, same)
		}
	})
}

func TestSubjectHex(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var want Subject
		copy(want[:], rapid.SliceOfN(rapid.Byte(), len(want), len(want)).Draw(t, "subject"))
		if got, err := SubjectFromHex(want.Hex()); err != nil || got != want {
			t.Fatalf("SubjectFromHex(%q) = %v, %v", want.Hex(), got, err)
		}
	})
	good := strings.Repeat("0a", 32)
	for _, text := range []string{"", "0", good[2:], good + "00", good[1:], "zz" + good[2:], " " + good, "0x" + good[2:], "ann@example.com"} {
		if s, err := SubjectFromHex(text); err == nil || s != (Subject{}) {
			t.Errorf("SubjectFromHex(%q) = %v, %v; want an error", text, s, err)
		} else if text != "" && strings.Contains(err.Error(), text) && len(text) > 1 {
			t.Errorf("SubjectFromHex repeats what it was given, which may be an address: %v", err)
		}
	}
}

func TestSyncNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sync    Sync
		channel Channel
		to      Side
	}{{EmailToShopify, Email, Shopify}, {EmailToListrak, Email, Listrak}, {"sms_to_shopify", SMS, Shopify}, {"sms_to_listrak", SMS, Listrak}} {
		if c.sync.Channel() != c.channel || c.sync.To() != c.to || SyncTo(c.channel, c.to) != c.sync {
			t.Errorf("%s: channel %s, to %s, and back %s", c.sync, c.sync.Channel(), c.sync.To(), SyncTo(c.channel, c.to))
		}
	}
	for _, s := range Syncs {
		if got, err := ParseSync(string(s)); err != nil || got != s {
			t.Errorf("ParseSync(%q) = %q, %v", s, got, err)
		}
	}
	for _, name := range []string{"", "EMAIL_TO_SHOPIFY", "email_to_shopify ", "email_events.bounced"} {
		if got, err := ParseSync(name); err == nil || got != "" || !strings.Contains(err.Error(), SyncNames()) {
			t.Errorf("ParseSync(%q) = %q, %v; want an error that names those that exist", name, got, err)
		}
	}
}

func TestInstants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		i := Instant(rapid.Int64Range(-int64(1e17), int64(1e17)).Draw(t, "instant"))
		if back := InstantOf(i.Time()); back != i {
			t.Fatalf("%d becomes %v and back %d", i, i.Time(), back)
		}
		s := Span(rapid.Int64Range(-int64(1e15), int64(1e15)).Draw(t, "span"))
		if SpanOf(s.Duration()) != s || i.Plus(s).Since(i) != s {
			t.Fatalf("span %d becomes %v and back %d; added and taken %d", s, s.Duration(), SpanOf(s.Duration()), i.Plus(s).Since(i))
		}
	})
	if !Instant(0).Time().IsZero() {
		t.Error("undated must be the zero time")
	}
	if got := at(Second - 1).Seconds(); got != noon {
		t.Errorf("Seconds rounds %s to %s", clock(at(Second-1)), clock(got))
	}
}

// TestNamesArePlain: each name is shown to operators, so none may be missing, twice the same, or a number.
func TestNamesArePlain(t *testing.T) {
	t.Parallel()
	for kind, names := range map[string][]fmt.Stringer{
		"states":   {Unseen, Absent, NeverAsked, Pending, Invalid, Redacted, Subscribed, Unsubscribed, State(99)},
		"debts":    {Settled, Owed, Held, Refused, Awaiting, Disputed, Gone, Blocked, Debt(99)},
		"outcomes": {Open, Delivered, Failed, RefusedForGood, AwaitingConfirmation, Outcome(99)},
		"points":   {NoPoint, Marketing, Checkout},
		"sides":    {Shopify, Listrak, Side(99)},
		"channels": {Email, SMS, Channel(99)},
	} {
		seen := map[string]bool{}
		for i, n := range names {
			name := n.String()
			if name == "" || seen[name] {
				t.Errorf("%s: number %d is called %q, which is empty or taken", kind, i, name)
			}
			seen[name] = true
		}
	}
	if Shopify.Other() != Listrak || Listrak.Other() != Shopify {
		t.Error("the other side of the other side must be the side")
	}
	for state := range State(9) {
		if state.IsDecision() != (state == Subscribed || state == Unsubscribed) {
			t.Errorf("%s: IsDecision is %t", state, state.IsDecision())
		}
	}
}
