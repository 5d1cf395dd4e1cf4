// Package keys holds the two keys of Concord. The master key comes from outside (environment, secret store, key file), seals
// credentials and addresses, and can be rotated. The subject key is made once per ledger, lives in the ledger sealed by the
// master key, and never changes: every record is kept under a hash made with it, so losing it loses every known opt-out.
package keys

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// The names that error messages and documentation give the two ways to hand over a master key, and the command that makes one.
const (
	EnvMasterKey     = "CONCORD_MASTER_KEY"
	EnvMasterKeyFile = "CONCORD_MASTER_KEY_FILE"
	GenerateCommand  = "starter key generate"
)

// maxKeysetBytes bounds what is read as a keyset. A keyset with a hundred keys is about 20 kB; more is a wrong file.
const maxKeysetBytes = 64 << 10

// ErrMalformed is in the chain of every error about text that is no keyset. The cause is never wrapped: parsers quote what
// they could not read, and that would be key material.
var ErrMalformed = errors.New("not a usable master key")

// Keyset is a master key: one primary key that seals, and any number of older ones that still open. The zero Keyset holds no
// key. It never shows its secrets when printed, logged or marshalled; only Export gives them out.
type Keyset struct {
	// A pointer, so that printing a struct with a Keyset in it shows an address at most.
	held *held
}

type held struct {
	handle *keyset.Handle
	aead   tink.AEAD
	// keys lists the fingerprints of the usable keys, the primary first.
	keys []string
}

// Generate makes a keyset with one fresh XChaCha20-Poly1305 key. That algorithm because its nonces are long enough to be drawn
// at random for ever; AES-GCM would need a rotation after about four billion sealed values.
func Generate() (Keyset, error) {
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return Keyset{}, fmt.Errorf("generate master key: %w", err)
	}
	return newKeyset(handle)
}

// Rotate adds a fresh primary key. The older keys stay and still open what they sealed. Once a process has started with the
// result, the subject key is sealed by the new primary as well; the older keys are needed for as long as anything else that
// they sealed has not been sealed anew (Ring.Reseal).
func Rotate(k Keyset) (Keyset, error) {
	if k.held == nil {
		return Keyset{}, fmt.Errorf("rotate master key: %w: it is empty", ErrMalformed)
	}
	manager := keyset.NewManagerFromHandle(k.held.handle)
	id, err := manager.Add(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return Keyset{}, fmt.Errorf("rotate master key: %w", err)
	}
	if err := manager.SetPrimary(id); err != nil {
		return Keyset{}, fmt.Errorf("rotate master key: %w", err)
	}
	handle, err := manager.Handle()
	if err != nil {
		return Keyset{}, fmt.Errorf("rotate master key: %w", err)
	}
	return newKeyset(handle)
}

// Retire leaves only the primary key, for use after everything was sealed anew. What only an older key opens is lost then.
func Retire(k Keyset) (Keyset, error) {
	if k.held == nil {
		return Keyset{}, fmt.Errorf("retire old master keys: %w: it is empty", ErrMalformed)
	}
	primary, err := k.held.handle.Primary()
	if err != nil {
		return Keyset{}, fmt.Errorf("retire old master keys: %w", err)
	}
	manager := keyset.NewManagerFromHandle(k.held.handle)
	for _, info := range k.held.handle.KeysetInfo().GetKeyInfo() {
		if info.GetKeyId() == primary.KeyID() {
			continue
		}
		if err := manager.Delete(info.GetKeyId()); err != nil {
			return Keyset{}, fmt.Errorf("retire old master keys: %w", err)
		}
	}
	handle, err := manager.Handle()
	if err != nil {
		return Keyset{}, fmt.Errorf("retire old master keys: %w", err)
	}
	return newKeyset(handle)
}

// Parse reads a tink AEAD keyset in clear: as JSON (what tinkey writes), or as base64 of that JSON or of the binary form (what
// Export writes). Space around it is ignored. Every error has ErrMalformed in its chain and quotes nothing of the text.
func Parse(text string) (Keyset, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return Keyset{}, fmt.Errorf("read master key: %w: it is empty", ErrMalformed)
	case len(text) > maxKeysetBytes:
		return Keyset{}, fmt.Errorf("read master key: %w: it is longer than %d bytes", ErrMalformed, maxKeysetBytes)
	case strings.HasPrefix(text, "{"):
		return parse(keyset.NewJSONReader(strings.NewReader(text)))
	}
	raw, ok := decodeBase64(text)
	if !ok {
		return Keyset{}, fmt.Errorf("read master key: %w: it is neither a tink keyset in JSON nor base64 of one", ErrMalformed)
	}
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return parse(keyset.NewJSONReader(bytes.NewReader(raw)))
	}
	return parse(keyset.NewBinaryReader(bytes.NewReader(raw)))
}

func parse(r keyset.Reader) (Keyset, error) {
	handle, err := insecurecleartextkeyset.Read(r)
	if err != nil {
		return Keyset{}, fmt.Errorf("read master key: %w: it is damaged, cut short, or not a tink keyset in clear", ErrMalformed)
	}
	return newKeyset(handle)
}

// decodeBase64 takes both alphabets, with or without padding and line breaks: secret stores rewrite all of these.
func decodeBase64(text string) ([]byte, bool) {
	text = strings.NewReplacer("\n", "", "\r", "", " ", "", "\t", "", "-", "+", "_", "/").Replace(text)
	raw, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
	return raw, err == nil
}

func newKeyset(handle *keyset.Handle) (Keyset, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return Keyset{}, fmt.Errorf("read master key: %w: the keyset holds a key that is not for authenticated encryption (AEAD)", ErrMalformed)
	}
	h := &held{handle: handle, aead: primitive}
	material := insecurecleartextkeyset.KeysetMaterial(handle)
	for _, key := range material.GetKey() {
		if key.GetStatus() != tinkpb.KeyStatusType_ENABLED {
			continue
		}
		print := fingerprint("master key", key.GetKeyData().GetValue())
		if key.GetKeyId() == material.GetPrimaryKeyId() {
			h.keys = slices.Insert(h.keys, 0, print)
		} else {
			h.keys = append(h.keys, print)
		}
	}
	return Keyset{held: h}, nil
}

// fingerprint names a key without telling anything about it: keys have 128 random bits or more, so nobody can search for the
// key behind a hash of it.
func fingerprint(kind string, material []byte) string {
	mac := hmac.New(sha256.New, material)
	mac.Write([]byte("concord fingerprint of a " + kind))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// Export gives the keyset out in clear, as one line of base64 that fits into an environment variable. Show it to the operator
// who asked for it and to nobody else.
func (k Keyset) Export() (string, error) {
	if k.held == nil {
		return "", fmt.Errorf("write master key: %w: it is empty", ErrMalformed)
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(k.held.handle, keyset.NewJSONWriter(&buf)); err != nil {
		return "", fmt.Errorf("write master key: %w", ErrMalformed)
	}
	return base64.StdEncoding.EncodeToString(buf.Bytes()), nil
}

// IsZero reports whether the keyset holds no key.
func (k Keyset) IsZero() bool { return k.held == nil }

// Fingerprint names the primary key: 16 hex digits that may be shown, logged and compared. Empty for the zero Keyset.
func (k Keyset) Fingerprint() string {
	if k.held == nil {
		return ""
	}
	return k.held.keys[0]
}

// Fingerprints names all usable keys, the primary first.
func (k Keyset) Fingerprints() []string {
	if k.held == nil {
		return nil
	}
	return slices.Clone(k.held.keys)
}

// String shows fingerprints only.
func (k Keyset) String() string {
	if k.held == nil {
		return "master key (none)"
	}
	return "master key " + strings.Join(k.held.keys, ", ")
}

// GoString shows fingerprints only.
func (k Keyset) GoString() string { return k.String() }

// LogValue shows fingerprints only.
func (k Keyset) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText shows fingerprints only, so that no encoder can leak the key; use Export.
func (k Keyset) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
