package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const address, phone = "jane.doe+news@mail.example.com", "+15551234567"

type person struct {
	Email string
	Phone *string
}

// marshalled shows its address only as JSON.
type marshalled struct{}

func (marshalled) MarshalJSON() ([]byte, error) { return []byte(`{"to":"` + address + `"}`), nil }

// valuer is only an address after LogValue.
type valuer struct{}

func (valuer) LogValue() slog.Value { return slog.GroupValue(slog.String("inner", address)) }

func TestNothingPersonalIsWritten(t *testing.T) {
	t.Parallel()
	number := phone
	lines := map[string]func(*slog.Logger){
		"message": func(l *slog.Logger) { l.Info("wrote " + address + " and " + phone) },
		"string":  func(l *slog.Logger) { l.Info("m", "to", address) },
		"key":     func(l *slog.Logger) { l.Info("m", address, 1) },
		"error":   func(l *slog.Logger) { l.Info("m", "err", fmt.Errorf("call %s: %w", phone, errors.New(address))) },
		"error of a URL": func(l *slog.Logger) {
			l.Info("m", "err", &url.Error{Op: "Get", URL: "https://x/Contact/" + url.QueryEscape(address), Err: errors.New("EOF")})
		},
		"phone in a URL":    func(l *slog.Logger) { l.Info("m", "path", "/PhoneList/1/Contact/"+url.QueryEscape(phone)) },
		"struct":            func(l *slog.Logger) { l.Info("m", "who", person{Email: address}) },
		"pointer in struct": func(l *slog.Logger) { l.Info("m", "who", &person{Phone: &number}) },
		"map":               func(l *slog.Logger) { l.Info("m", "who", map[string]int{address: 1}) },
		"slice":             func(l *slog.Logger) { l.Info("m", "who", []string{"a", address}) },
		"bytes":             func(l *slog.Logger) { l.Info("m", "body", []byte(`{"email":"`+address+`"}`)) },
		"raw JSON":          func(l *slog.Logger) { l.Info("m", "body", json.RawMessage(`{"email":"`+address+`"}`)) },
		"marshaller":        func(l *slog.Logger) { l.Info("m", "body", marshalled{}) },
		"log valuer":        func(l *slog.Logger) { l.Info("m", "v", valuer{}) },
		"group":             func(l *slog.Logger) { l.Info("m", slog.Group("g", slog.Group("h", "to", address))) },
		"with":              func(l *slog.Logger) { l.With("to", address).WithGroup("g").Info("m", "tel", phone) },
	}
	for name, line := range lines {
		for _, format := range []string{"text", JSON} {
			t.Run(name+" as "+format, func(t *testing.T) {
				t.Parallel()
				var out bytes.Buffer
				line(NewLogger(&out, slog.LevelInfo, format))
				for _, part := range []string{"jane", "mail.example", "5551234567"} {
					if strings.Contains(out.String(), part) {
						t.Errorf("%q stands in the log: %s", part, out.String())
					}
				}
				if !strings.Contains(out.String(), Redacted) {
					t.Errorf("the line does not show that something was taken out: %s", out.String())
				}
				if format == JSON && !json.Valid(out.Bytes()) {
					t.Errorf("the line is no longer JSON: %s", out.String())
				}
			})
		}
	}
}

func TestWhatIsRedacted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"contact jörg@bücher.example not found":                       "contact [redacted] not found",
		"<a@b.co>, \"c@d.org\"; e@f.net.":                             "<[redacted]>, \"[redacted]\"; [redacted].",
		"to=a@xn--bcher-kva.xn--p1ai":                                 "to=[redacted]",
		"A.B@EXAMPLE.COM":                                             "[redacted]",
		"GET /Contact/a%40b.example/x":                                "GET /Contact/[redacted]/x",
		"postgres://u:pw@db.internal/x":                               "postgres://u:[redacted]/x",
		"+4915112345678":                                              "[redacted]",
		"tel:+14155550100,":                                           "tel:[redacted],",
		"/root/go/pkg/mod/go.temporal.io/sdk@v1.50.0/internal/x.go:9": "/root/go/pkg/mod/go.temporal.io/sdk@v1.50.0/internal/x.go:9",
		"gid://shopify/Customer/7012345678901":                        "gid://shopify/Customer/7012345678901",
		"2026-11-22T21:00:00+01:00 took +1.5s":                        "2026-11-22T21:00:00+01:00 took +1.5s",
		"a +1 (555) 000-1111 b":                                       "a [redacted] b",
		"+1-555-000-1111, +1.555.000.1111":                            "[redacted], [redacted]",
		"+49 30 1234567":                                              "[redacted]",
		"15550001111":                                                 "[redacted]",
		"sent to 5550001111.":                                         "sent to [redacted].",
		"(555) 000-1111":                                              "[redacted]",
		"<(555)000-1111>":                                             "<[redacted]>",
		"555-000-1111, 555.000.1111; 1-555-000-1111":                  "[redacted], [redacted]; [redacted]",
		"GET /v1/ShortCode/8/Contact/5550001111/PhoneList/80":         "GET /v1/ShortCode/8/Contact/[redacted]/PhoneList/80",
		"/Contact/15550001111: EOF":                                   "/Contact/[redacted]: EOF",
		"?phoneNumber=5550001111&x=1":                                 "?phoneNumber=[redacted]&x=1",
		"?phone=%28555%29+000-1111":                                   "?phone=[redacted]",
		`{"phone":"5550001111","customer":"7012345678"}`:              `{"phone":"[redacted]","customer":"7012345678"}`,
		"{Phone:5550001111 ID:5271234567}":                            "{Phone:[redacted] ID:5271234567}",
		`{\"phoneNumber\":\"(555) 000-1111\"}`:                        `{\"phoneNumber\":\"[redacted]\"}`,
		"merchant/acme/checkout/5271234567/1764216357":                "merchant/acme/checkout/5271234567/1764216357",
		"gid://shopify/Order/5271234567":                              "gid://shopify/Order/5271234567",
		"customer 5271234567 of order 5271234568":                     "customer 5271234567 of order 5271234568",
		`"id":5271234567,"listId":5271234567`:                         `"id":5271234567,"listId":5271234567`,
		"$5550001111 or 5550001111.50 or 5,550,001,111":               "$5550001111 or 5550001111.50 or 5,550,001,111",
		"at 1764216357, 1764216357123 ms, 1764216357123456789":        "at 1764216357, 1764216357123 ms, 1764216357123456789",
		"2026-11-27 04:05:57.123456 and 10.200.300.4000":              "2026-11-27 04:05:57.123456 and 10.200.300.4000",
		"f81d4fae-7dec-211-300-4000-a0c91e6bf6":                       "f81d4fae-7dec-211-300-4000-a0c91e6bf6",
		"read 250 of 300 in 4000 ms":                                  "read 250 of 300 in 4000 ms",
		"12@worker-1@":                                                "12@worker-1@",
		"shop.myshopify.com answered 503":                             "shop.myshopify.com answered 503",
	} {
		if got := Redact(text); got != want {
			t.Errorf("Redact(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestAnyOrdinaryAddressIsRedactedWhereverItStands(t *testing.T) {
	t.Parallel()
	local := rapid.StringMatching(`[a-zA-Z0-9.!#$%*+^_~-]{1,20}[a-z0-9]`)
	domain := rapid.StringMatching(`([a-z0-9][a-z0-9-]{0,8}\.){1,3}[a-z]{2,6}`)
	around := rapid.StringMatching(`[ "'<>(),;:=/?&]{1,3}`)
	rapid.Check(t, func(t *rapid.T) {
		address := local.Draw(t, "local") + "@" + domain.Draw(t, "domain")
		text := "x" + around.Draw(t, "before") + address + around.Draw(t, "after") + "y"
		if got := Redact(text); strings.Contains(got, "@") {
			t.Fatalf("Redact(%q) = %q", text, got)
		}
	})
}

func TestAPhoneIsRedactedInEverySpelling(t *testing.T) {
	t.Parallel()
	around := rapid.SampledFrom([][2]string{{"", ""}, {"to ", " failed"}, {"<", ">"}, {`"`, `"`}, {"'", "',"}, {"(", ")"}, {"phone=", "&x"}, {"/Contact/", "/x"},
		{`"phoneNumber":"`, `"}`}, {"text: ", ". Try again"}, {"Phone:", "}"}})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := rapid.IntRange(200, 999).Draw(t, "a"), rapid.IntRange(0, 999).Draw(t, "b"), rapid.IntRange(0, 9999).Draw(t, "c")
		with := around.Draw(t, "around")
		for _, form := range []string{"+1%d%03d%04d", "1%d%03d%04d", "(%d) %03d-%04d", "%d-%03d-%04d", "%d.%03d.%04d", "%d%03d%04d"} {
			number := fmt.Sprintf(form, a, b, c)
			if with[0] == "/Contact/" {
				number = url.QueryEscape(number)
			}
			text := with[0] + number + with[1]
			if got := Redact(text); got != with[0]+Redacted+with[1] {
				t.Fatalf("Redact(%q) = %q", text, got)
			}
		}
	})
}

func TestOrdinaryValuesKeepTheirForm(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	NewLogger(&out, slog.LevelWarn, JSON).Warn("round ended", "merchant", "m1", "count", 3, "parts", map[string]int{"held": 2})
	var line struct {
		Msg   string
		Count int
		Parts map[string]int
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Msg != "round ended" || line.Count != 3 || line.Parts["held"] != 2 {
		t.Errorf("got %s (%v)", out.String(), err)
	}
	out.Reset()
	NewLogger(&out, slog.LevelWarn, "text").Info("quiet")
	if out.Len() != 0 {
		t.Errorf("a line below the level was written: %s", out.String())
	}
}
