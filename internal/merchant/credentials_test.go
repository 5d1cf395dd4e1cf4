package merchant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/concordsync/concord/internal/keys"
)

// secretCredentials are complete, and each value can be found again wherever it leaks to.
func secretCredentials() Credentials {
	return Credentials{ShopifyClientID: "s3cr3t-shop-id", ShopifyClientSecret: "s3cr3t-shop", ListrakClientID: "s3cr3t-list-id",
		ListrakClientSecret: "s3cr3t-list"}
}

func tokenCredentials() Credentials {
	return Credentials{ShopifyToken: "shpat_s3cr3t", ListrakClientID: "s3cr3t-list-id", ListrakClientSecret: "s3cr3t-list"}
}

func requireNoSecret(t testing.TB, text string) {
	t.Helper()
	for _, form := range []string{"s3cr3t", fmt.Sprintf("%x", "s3cr3t"), fmt.Sprintf("%X", "s3cr3t"), "115 51 99 114 51 116"} {
		require.NotContains(t, text, form)
	}
}

func TestCredentialsNeverShowTheirValues(t *testing.T) {
	t.Parallel()
	c := secretCredentials()
	type holder struct{ Credentials Credentials }
	var out bytes.Buffer
	for _, value := range []any{c, &c, holder{c}, &holder{c}, []Credentials{c}, map[string]Credentials{"a": c}, [1]any{c}, tokenCredentials(),
		fmt.Errorf("wrapped: %v", c)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%c", "%U", "%t", "%e", "%T", "%!"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		fmt.Fprintln(&out, value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", value)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", value)
		text, err := json.Marshal(value)
		require.NoError(t, err)
		out.Write(text)
	}
	requireNoSecret(t, out.String())
	require.Contains(t, out.String(), "Shopify client id and secret, Listrak client id and secret")
	require.Contains(t, out.String(), "Shopify access token")
	require.Equal(t, "no Shopify access, no Listrak access", Credentials{}.String())
	require.Equal(t, "half of a Shopify client id and secret, half of a Listrak client id and secret",
		Credentials{ShopifyClientID: "a", ListrakClientSecret: "b"}.String())
	require.Equal(t, "no Shopify access, no Listrak access, Listrak Privacy client id and secret",
		Credentials{ListrakPrivacyClientID: "a", ListrakPrivacyClientSecret: "b"}.String())
	require.Equal(t, "no Shopify access, no Listrak access, half of a Listrak Privacy client id and secret",
		Credentials{ListrakPrivacyClientSecret: "b"}.String())

	text, err := json.Marshal(c)
	require.NoError(t, err)
	require.Error(t, json.Unmarshal(text, &Credentials{}), "what was shown must not be taken for credentials")
}

func TestCredentialsNameTheVariableToSet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*Credentials)
		want  string
	}{
		"nothing for Shopify": {func(c *Credentials) { c.ShopifyClientID, c.ShopifyClientSecret = "", "" }, EnvShopifyClientID + " and " + EnvShopifyClientSecret + " are required"},
		"no secret":           {func(c *Credentials) { c.ShopifyClientSecret = " " }, EnvShopifyClientSecret + " is required"},
		"no id":               {func(c *Credentials) { c.ShopifyClientID = "" }, EnvShopifyClientID + " is required"},
		"both ways":           {func(c *Credentials) { c.ShopifyToken = "shpat_s3cr3t" }, EnvShopifyToken + " must not be set together"},
		"a secret as a token": {func(c *Credentials) { *c = tokenCredentials(); c.ShopifyToken = "shpss_s3cr3t" }, EnvShopifyToken + " must be an access token"},
		"a token as a secret": {func(c *Credentials) { c.ShopifyClientSecret = "shpat_s3cr3t" }, EnvShopifyClientSecret + " must be an app's secret"},
		"no Listrak id":       {func(c *Credentials) { c.ListrakClientID = "" }, EnvListrakClientID + " is required"},
		"no Privacy id":       {func(c *Credentials) { c.ListrakPrivacyClientSecret = "a" }, EnvListrakPrivacyClientID + " is required with"},
		"no Privacy secret":   {func(c *Credentials) { c.ListrakPrivacyClientID = "a" }, EnvListrakPrivacyClientSecret + " is required with"},
		"no Listrak secret":   {func(c *Credentials) { c.ListrakClientSecret = "\r\n" }, EnvListrakClientSecret + " is required"},
		"a line break inside": {func(c *Credentials) { c.ListrakClientSecret = "s3cr3t\r\nX-Evil: 1" }, EnvListrakClientSecret + " holds a space"},
		"a space inside":      {func(c *Credentials) { c.ListrakClientID = "s3cr3t s3cr3t" }, EnvListrakClientID + " holds a space"},
		"a zero byte":         {func(c *Credentials) { c.ShopifyClientID = "s3cr3t\x00" }, EnvShopifyClientID + " holds a space"},
		"typographic quotes":  {func(c *Credentials) { c.ShopifyClientID = "“s3cr3t”" }, EnvShopifyClientID + " holds a space"},
		"something huge":      {func(c *Credentials) { c.ShopifyClientID = strings.Repeat("s3cr3t", 1000) }, EnvShopifyClientID + " is longer than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			credentials := secretCredentials()
			c.spoil(&credentials)
			err := credentials.Normalize()
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), c.want), "%q does not begin with %q", err, c.want)
			require.NotContains(t, err.Error(), "\n", "one mistake is one line")
			requireNoSecret(t, err.Error())
			var invalid *Invalid
			require.ErrorAs(t, err, &invalid)
		})
	}
	c := secretCredentials()
	c.ListrakClientSecret = " \ts3cr3t-list\r\n"
	require.NoError(t, c.Normalize())
	require.Equal(t, secretCredentials(), c)
	c = tokenCredentials()
	require.NoError(t, c.Normalize())

	err := (&Credentials{}).Normalize()
	for _, env := range []string{EnvShopifyClientID, EnvShopifyClientSecret, EnvShopifyToken, EnvListrakClientID, EnvListrakClientSecret} {
		require.ErrorContains(t, err, env)
	}
}

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestReadCredentials(t *testing.T) {
	t.Parallel()
	full := map[string]string{EnvShopifyClientID: "s3cr3t-shop-id", EnvShopifyClientSecret: "s3cr3t-shop\n", EnvListrakClientID: "s3cr3t-list-id",
		EnvListrakClientSecret: "s3cr3t-list"}
	const lines = "CONCORD_SHOPIFY_CLIENT_ID=s3cr3t-shop-id\nCONCORD_SHOPIFY_CLIENT_SECRET=s3cr3t-shop\n" +
		"CONCORD_LISTRAK_CLIENT_ID=s3cr3t-list-id\nCONCORD_LISTRAK_CLIENT_SECRET=s3cr3t-list\n"
	for name, c := range map[string]struct {
		env   map[string]string
		stdin io.Reader
		want  Credentials
	}{
		"environment":              {full, nil, secretCredentials()},
		"environment, empty input": {full, strings.NewReader("\n"), secretCredentials()},
		"lines":                    {nil, strings.NewReader(lines), secretCredentials()},
		"lines in small pieces":    {nil, iotest.OneByteReader(strings.NewReader(lines)), secretCredentials()},
		"lines of Windows":         {nil, strings.NewReader("\ufeff" + strings.ReplaceAll(lines, "\n", "\r\n")), secretCredentials()},
		"a shell's file": {nil, strings.NewReader("# secrets\n\nexport SHOPIFY_CLIENT_ID='s3cr3t-shop-id'\n  shopify_client_secret = \"s3cr3t-shop\"\n" +
			"listrak_client_id=s3cr3t-list-id\nListrak_Client_Secret=s3cr3t-list"), secretCredentials()},
		"JSON": {nil, strings.NewReader(`{"CONCORD_SHOPIFY_CLIENT_ID":"s3cr3t-shop-id","shopify_client_secret":"s3cr3t-shop",
			"listrak_client_id":"s3cr3t-list-id","LISTRAK_CLIENT_SECRET":"s3cr3t-list\n"}`), secretCredentials()},
		"input over environment": {full, strings.NewReader("\n \n{\"SHOPIFY_TOKEN\":\"shpat_s3cr3t\"}"), tokenCredentials()},
		"secrets with = in them": {full, strings.NewReader("LISTRAK_CLIENT_SECRET=a=b=="), func() Credentials {
			c := secretCredentials()
			c.ListrakClientSecret = "a=b=="
			return c
		}()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadCredentials(environment(c.env), c.stdin)
			require.NoError(t, err)
			require.True(t, c.want == got, "read %v", got)
		})
	}

	for name, c := range map[string]struct {
		stdin io.Reader
		want  string
	}{
		"nothing at all":      {nil, EnvShopifyClientID + " and"},
		"no pair":             {strings.NewReader("A comment\ns3cr3t"), "line 1 of standard input is not KEY=VALUE"},
		"a bare secret":       {strings.NewReader("# c\ns3cr3t="), "line 2 of standard input has a key that is none of CONCORD_SHOPIFY_CLIENT_ID"},
		"an unknown key":      {strings.NewReader(`{"s3cr3t":"s3cr3t"}`), "standard input has a key that is none of"},
		"a key twice":         {strings.NewReader(`{"SHOPIFY_TOKEN":"s3cr3t","shopify_token":"s3cr3t2"}`), "standard input names CONCORD_SHOPIFY_TOKEN a second time"},
		"a line twice":        {strings.NewReader("SHOPIFY_TOKEN=s3cr3t\nSHOPIFY_TOKEN=s3cr3t"), "line 2 of standard input names"},
		"a number":            {strings.NewReader(`{"SHOPIFY_TOKEN":1}`), "standard input begins with {"},
		"nested":              {strings.NewReader(`{"SHOPIFY_TOKEN":{"s3cr3t":"s3cr3t"}}`), "standard input begins with {"},
		"cut short":           {strings.NewReader(`{"SHOPIFY_TOKEN":"s3cr3t"`), "standard input begins with {"},
		"cut in a value":      {strings.NewReader(`{"SHOPIFY_TOKEN":"s3cr3t`), "standard input begins with {"},
		"two objects":         {strings.NewReader(`{"SHOPIFY_TOKEN":"s3cr3t"}{}`), "standard input begins with {"},
		"an array in the key": {strings.NewReader(`{["s3cr3t"]:1}`), "standard input begins with {"},
		"huge":                {strings.NewReader(strings.Repeat("#s3cr3t\n", maxInputBytes)), "standard input must hold"},
		"a broken pipe":       {iotest.ErrReader(errors.New("broken pipe")), "read credentials from standard input: broken pipe"},
		"binary":              {strings.NewReader("\x7fELF\x00s3cr3t"), "line 1 of standard input is not KEY=VALUE"},
		"only half":           {strings.NewReader("SHOPIFY_CLIENT_ID=s3cr3t\nLISTRAK_CLIENT_ID=a\nLISTRAK_CLIENT_SECRET=b"), EnvShopifyClientSecret + " is required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadCredentials(environment(nil), c.stdin)
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), c.want), "%q does not begin with %q", err, c.want)
			requireNoSecret(t, err.Error())
		})
	}

	some, err := ReadSomeCredentials(environment(nil), strings.NewReader("LISTRAK_CLIENT_SECRET=new"))
	require.NoError(t, err)
	require.True(t, some == Credentials{ListrakClientSecret: "new"})
}

func FuzzReadCredentials(f *testing.F) {
	for _, seed := range []string{"", "A=B", `{"SHOPIFY_TOKEN":"x"}`, "export SHOPIFY_TOKEN='x'\n#", "{", `{"a"`, "\ufeff{}", "=\n=", `{"SHOPIFY_TOKEN":"a\u000ab"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		c, err := ReadCredentials(environment(map[string]string{EnvListrakClientID: "id", EnvListrakClientSecret: "secret"}), strings.NewReader(input))
		if err != nil {
			if !c.IsZero() {
				t.Fatal("an error came with credentials")
			}
			return
		}
		for _, s := range c.slots() {
			if strings.ContainsAny(*s.value, " \r\n\x00") {
				t.Fatalf("%s holds what no header may hold, from %q", s.env, input)
			}
		}
	})
}

func TestMergeKeepsOneWayIntoShopify(t *testing.T) {
	t.Parallel()
	pair, token := secretCredentials(), tokenCredentials()
	require.True(t, pair.Merge(Credentials{}) == pair)
	require.True(t, pair.Merge(Credentials{ShopifyToken: "shpat_s3cr3t"}) == token)
	require.True(t, token.Merge(Credentials{ShopifyClientID: "s3cr3t-shop-id", ShopifyClientSecret: "s3cr3t-shop"}) == pair)
	rotated := pair.Merge(Credentials{ShopifyClientSecret: "new"})
	require.Equal(t, "s3cr3t-shop-id", rotated.ShopifyClientID)
	require.Equal(t, "new", rotated.ShopifyClientSecret)
}

func TestSealedCredentialsOpenForTheirMerchantOnly(t *testing.T) {
	t.Parallel()
	ring, other := newRing(t), newRing(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		c := Credentials{text.Draw(t, "a"), text.Draw(t, "b"), text.Draw(t, "c"), text.Draw(t, "d"), text.Draw(t, "e"),
			text.Draw(t, "f"), text.Draw(t, "g"), text.Draw(t, "h"), text.Draw(t, "i"), text.Draw(t, "j")}
		sealed, err := c.Seal(ring, "acme")
		require.NoError(t, err)
		back, err := OpenCredentials(ring, "acme", sealed)
		require.NoError(t, err)
		require.True(t, c == back)
	})
	sealed, err := secretCredentials().Seal(ring, "acme")
	require.NoError(t, err)
	requireNoSecret(t, string(sealed))
	_, err = OpenCredentials(ring, "other", sealed)
	require.ErrorIs(t, err, keys.ErrDamaged)
	_, err = OpenCredentials(other, "acme", sealed)
	require.ErrorIs(t, err, keys.ErrWrongKey)
	_, err = OpenCredentials(ring, "acme", sealed[:10])
	require.Error(t, err)
	for _, form := range []string{`{"version":2,"shopify_token":"s3cr3t"}`, `{"shopify_token":"s3cr3t`, ``} {
		sealed, err := ring.Seal([]byte(form), "merchant/acme/credentials")
		require.NoError(t, err)
		_, err = OpenCredentials(ring, "acme", sealed)
		require.Error(t, err)
		requireNoSecret(t, err.Error())
	}
}
