package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"pgregory.net/rapid"
)

func generate(t testing.TB) Keyset {
	t.Helper()
	k, err := Generate()
	require.NoError(t, err)
	return k
}

func export(t testing.TB, k Keyset) string {
	t.Helper()
	text, err := k.Export()
	require.NoError(t, err)
	return text
}

// requireNoSecret fails when text shows eight characters or more of any form in which the keys could be written.
func requireNoSecret(t testing.TB, text string, keysets ...Keyset) {
	t.Helper()
	for _, k := range keysets {
		forms := []string{export(t, k)}
		for _, key := range insecurecleartextkeyset.KeysetMaterial(k.held.handle).GetKey() {
			value := key.GetKeyData().GetValue()
			// The first bytes of the value are the frame of its format, the same in every key.
			secret := value[len(value)-32:]
			forms = append(forms, base64.StdEncoding.EncodeToString(value), base64.StdEncoding.EncodeToString(secret),
				base64.RawURLEncoding.EncodeToString(secret), fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), string(secret),
				strings.Trim(fmt.Sprint(secret), "[]"))
		}
		for _, form := range forms {
			for i := 0; i+12 <= len(form); i++ {
				if strings.Contains(text, form[i:i+12]) {
					t.Fatalf("key material is shown in: %s", text)
				}
			}
		}
	}
}

func TestParseReadsEveryFormThatSecretStoresMakeOfAKey(t *testing.T) {
	t.Parallel()
	k := generate(t)
	line := export(t, k)
	text, err := base64.StdEncoding.DecodeString(line)
	require.NoError(t, err)
	var binary bytes.Buffer
	require.NoError(t, insecurecleartextkeyset.Write(k.held.handle, keyset.NewBinaryWriter(&binary)))
	for name, form := range map[string]string{
		"one line":                line,
		"with a line break":       line + "\r\n",
		"broken into lines":       line[:40] + "\n" + line[40:80] + "\n" + line[80:],
		"without padding":         strings.TrimRight(line, "="),
		"URL alphabet":            base64.URLEncoding.EncodeToString(text),
		"JSON":                    string(text),
		"JSON with space":         "\n  " + string(text) + "\n",
		"base64 of binary":        base64.StdEncoding.EncodeToString(binary.Bytes()),
		"base64 of indented JSON": base64.StdEncoding.EncodeToString(append([]byte("\n "), text...)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(form)
			require.NoError(t, err)
			require.Equal(t, k.Fingerprint(), got.Fingerprint())
		})
	}
}

func TestParseRefusesWithoutQuoting(t *testing.T) {
	t.Parallel()
	k := generate(t)
	line := export(t, k)
	text, err := base64.StdEncoding.DecodeString(line)
	require.NoError(t, err)
	hmacs, err := keyset.NewHandle(mac.HMACSHA256Tag256KeyTemplate())
	require.NoError(t, err)
	var wrongKind bytes.Buffer
	require.NoError(t, insecurecleartextkeyset.Write(hmacs, keyset.NewJSONWriter(&wrongKind)))
	for name, form := range map[string]string{
		"empty":                    "",
		"space":                    " \n\t ",
		"a password":               "correct horse battery staple",
		"hex":                      strings.Repeat("0123456789abcdef", 4),
		"an empty object":          "{}",
		"JSON of something else":   `{"type":"service_account","private_key":"s3cr3t-s3cr3t"}`,
		"JSON cut short":           string(text[:len(text)-20]),
		"JSON cut in the key":      string(text[:len(text)/2]),
		"unquoted":                 strings.ReplaceAll(string(text), `"`, ""),
		"line cut short":           line[:len(line)-30],
		"two lines":                line + "\n" + line,
		"primary missing":          strings.Replace(string(text), `"primaryKeyId":`, `"primaryKeyId":1`, 1),
		"a key that does not seal": wrongKind.String(),
		"huge":                     strings.Repeat("A", maxKeysetBytes+1),
		"not text":                 "\x00\x01\x02\xff",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(form)
			require.ErrorIs(t, err, ErrMalformed)
			requireNoSecret(t, err.Error(), k)
			require.NotContains(t, err.Error(), "s3cr3t")
			require.NotContains(t, err.Error(), "horse")
		})
	}
}

func TestParseSurvivesAnyText(t *testing.T) {
	t.Parallel()
	line := export(t, generate(t))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Custom(func(t *rapid.T) string {
			at := rapid.IntRange(0, len(line)-1).Draw(t, "at")
			return line[:at] + rapid.StringN(0, 4, 8).Draw(t, "noise") + line[at+rapid.IntRange(0, len(line)-at).Draw(t, "cut"):]
		})).Draw(t, "text")
		k, err := Parse(text)
		if err == nil && k.IsZero() || err != nil && !k.IsZero() {
			t.Fatalf("Parse gave %v and %v", k, err)
		}
	})
}

func TestRotateKeepsOldKeysAndRetireDropsThem(t *testing.T) {
	t.Parallel()
	first := generate(t)
	second, err := Rotate(first)
	require.NoError(t, err)
	third, err := Rotate(second)
	require.NoError(t, err)
	require.Equal(t, []string{first.Fingerprint()}, first.Fingerprints(), "rotating must not change the keyset it was given")
	require.Equal(t, second.Fingerprint(), third.Fingerprints()[2])
	require.ElementsMatch(t, []string{third.Fingerprint(), second.Fingerprint(), first.Fingerprint()}, third.Fingerprints())

	again, err := Parse(export(t, third))
	require.NoError(t, err)
	require.Equal(t, third.Fingerprints(), again.Fingerprints())

	only, err := Retire(third)
	require.NoError(t, err)
	require.Equal(t, []string{third.Fingerprint()}, only.Fingerprints())

	_, err = Rotate(Keyset{})
	require.ErrorIs(t, err, ErrMalformed)
	_, err = Retire(Keyset{})
	require.ErrorIs(t, err, ErrMalformed)
	_, err = Keyset{}.Export()
	require.ErrorIs(t, err, ErrMalformed)
}

func TestNothingPrintsSecrets(t *testing.T) {
	t.Parallel()
	k := generate(t)
	ring, err := Open(t.Context(), &memory{}, Source{Key: export(t, k)})
	require.NoError(t, err)
	type holder struct {
		Keyset Keyset
		Ring   *Ring
		inner  Keyset
		ring   *Ring
	}
	var out bytes.Buffer
	for _, value := range []any{k, &k, ring, *ring, holder{k, ring, k, ring}, []Keyset{k}, map[string]*Ring{"a": ring}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", value)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", value)
		if b, err := json.Marshal(value); err == nil {
			out.Write(b)
		}
	}
	requireNoSecret(t, out.String(), k)
	subject := ring.SubjectKey()
	for _, form := range []string{string(subject), fmt.Sprintf("%x", subject), fmt.Sprintf("%X", subject),
		base64.StdEncoding.EncodeToString(subject), strings.Trim(fmt.Sprint(subject), "[]")} {
		require.NotContains(t, out.String(), form)
	}
	require.Contains(t, out.String(), k.Fingerprint())
}
