package merchant

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseShop(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"acme.myshopify.com":                             "acme.myshopify.com",
		"  ACME.MyShopify.com \r\n":                      "acme.myshopify.com",
		"https://acme.myshopify.com":                     "acme.myshopify.com",
		"HTTPS://acme.myshopify.com/":                    "acme.myshopify.com",
		"http://acme.myshopify.com/":                     "acme.myshopify.com",
		"acme.myshopify.com/":                            "acme.myshopify.com",
		"acme.myshopify.com.":                            "acme.myshopify.com",
		"https://acme.myshopify.com/admin/customers?a#b": "acme.myshopify.com",
		"https://admin.shopify.com/store/acme":           "acme.myshopify.com",
		"https://admin.shopify.com/store/Acme-2/orders":  "acme-2.myshopify.com",
		"admin.shopify.com/store/acme/":                  "acme.myshopify.com",
		"0-9.myshopify.com":                              "0-9.myshopify.com",
		"acme-.myshopify.com":                            "acme-.myshopify.com",
		strings.Repeat("a", 63) + ".myshopify.com":       strings.Repeat("a", 63) + ".myshopify.com",

		"":                                         "",
		"acme":                                     "",
		"www.acme.com":                             "",
		"myshopify.com":                            "",
		".myshopify.com":                           "",
		"-acme.myshopify.com":                      "",
		"a.b.myshopify.com":                        "",
		"acme_1.myshopify.com":                     "",
		"acme.myshopify.com.evil.example":          "",
		"evil.example/acme.myshopify.com":          "",
		"evil.example#acme.myshopify.com":          "",
		"evil.example?acme.myshopify.com":          "",
		`evil.example\.myshopify.com`:              "",
		"acme.myshopify.com@evil.example":          "",
		"user:pass@acme.myshopify.com":             "",
		"acme.myshopify.com:8443":                  "",
		"ftp://acme.myshopify.com":                 "",
		"https://https://acme.myshopify.com":       "",
		"acme .myshopify.com":                      "",
		"acme\n.myshopify.com":                     "",
		"ac%6de.myshopify.com":                     "",
		"\u0430cme.myshopify.com":                  "", // a Cyrillic a
		"\uff41cme.myshopify.com":                  "", // a wide a
		"ac\u212ae.myshopify.com":                  "", // the Kelvin sign, which lowers to k
		"https://admin.shopify.com/store/\u212a":   "",
		"https://admin.shopify.com/%73tore/acme":   "acme.myshopify.com",
		"https://admin.shopify.com":                "",
		"https://admin.shopify.com/store/":         "",
		"https://admin.shopify.com/stores/acme":    "",
		"https://admin.shopify.com/store/..":       "",
		strings.Repeat("a", 64) + ".myshopify.com": "",
		strings.Repeat("a", 3000):                  "",
		"\x00":                                     "",
	} {
		t.Run(in[:min(len(in), 60)], func(t *testing.T) {
			t.Parallel()
			got, err := ParseShop(in)
			require.Equal(t, want, got)
			if want == "" {
				require.EqualError(t, err, "--shop must be a *.myshopify.com domain, such as acme.myshopify.com "+
					"(Shopify admin → Settings → Domains shows it)")
				return
			}
			require.NoError(t, err)
		})
	}
}

func TestParseID(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"acme", " ACME ", "acme.myshopify.com", "https://admin.shopify.com/store/acme"} {
		got, err := ParseID(in)
		require.NoError(t, err)
		require.Equal(t, "acme", got)
	}
	for _, in := range []string{"", "www.acme.com", "../acme", "a b", "acme/x"} {
		_, err := ParseID(in)
		var invalid *Invalid
		require.ErrorAs(t, err, &invalid, "%q", in)
	}
}

// FuzzParseShop holds the parser to what everything behind it relies on: a name that can stand in a URL, a workflow id and a path
// without escaping, the same however often it is parsed.
func FuzzParseShop(f *testing.F) {
	for _, seed := range []string{"acme.myshopify.com", "https://acme.myshopify.com/admin", "https://admin.shopify.com/store/acme",
		"acme.myshopify.com@evil.example", "//acme.myshopify.com", "https:acme.myshopify.com", "[::1].myshopify.com", "%2e.myshopify.com",
		"ACME.MYSHOPIFY.COM.", "\u0430cme.myshopify.com"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shop, err := ParseShop(text)
		if err != nil {
			var invalid *Invalid
			if shop != "" || !errors.As(err, &invalid) || invalid.Setting != "--shop" {
				t.Fatalf("ParseShop(%q) = %q, %v", text, shop, err)
			}
			return
		}
		name, ok := strings.CutSuffix(shop, ".myshopify.com")
		if !ok || name == "" || len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || name[0] == '-' {
			t.Fatalf("ParseShop(%q) = %q, which is no shop", text, shop)
		}
		if again, err := ParseShop(shop); err != nil || again != shop {
			t.Fatalf("ParseShop(%q) = %q, but that parses to %q, %v", text, shop, again, err)
		}
		if id, err := ParseID(text); err != nil || id+".myshopify.com" != shop {
			// A handle cannot hold a dot, so only the shop can be meant.
			t.Fatalf("ParseID(%q) = %q, %v, but the shop is %q", text, id, err, shop)
		}
	})
}
