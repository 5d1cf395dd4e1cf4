package payload

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Person is who a privacy request is about, as Shopify gives them; what it does not know is empty. It is kept sealed in
// ledger.PrivacyRequest, and shows nothing of itself when printed, logged or marshalled.
type Person struct{ Email, Phone string }

// sealedPerson is what lies inside the seal.
type sealedPerson struct {
	Email string `json:"email,omitempty"`
	Phone string `json:"phone,omitempty"`
}

// Sealer is the part of *keys.Ring that sealing needs.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
}

func personContext(merchant, request string) string { return "privacy/" + merchant + "/" + request }

// Seal encrypts the person for one request of one merchant; it opens for no other one.
func (p Person) Seal(s Sealer, merchant, request string) ([]byte, error) {
	plain, err := json.Marshal(sealedPerson(p))
	if err != nil {
		return nil, errors.New("seal a person: they cannot be encoded") // the cause could quote them
	}
	sealed, err := s.Seal(plain, personContext(merchant, request))
	if err != nil {
		return nil, fmt.Errorf("seal a person: %w", err)
	}
	return sealed, nil
}

// OpenPerson decrypts what Seal made for the same merchant and request. Of no bytes it makes nobody: requests about a whole shop have
// none. The chain of its error tells keys.ErrWrongKey from keys.ErrDamaged.
func OpenPerson(s Sealer, merchant, request string, sealed []byte) (Person, error) {
	if len(sealed) == 0 {
		return Person{}, nil
	}
	plain, err := s.Open(sealed, personContext(merchant, request))
	if err != nil {
		return Person{}, fmt.Errorf("open the person of privacy request %s: %w", request, err)
	}
	var in sealedPerson
	if json.Unmarshal(plain, &in) != nil {
		return Person{}, fmt.Errorf("open the person of privacy request %s: they are in a form that this build does not know", request)
	}
	return Person(in), nil
}

const hiddenPerson = "(a person)"

// String hides the person.
func (p Person) String() string { return hiddenPerson }

// Format keeps every verb to String.
func (p Person) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hiddenPerson) }

// GoString hides the person.
func (p Person) GoString() string { return hiddenPerson }

// LogValue hides the person.
func (p Person) LogValue() slog.Value { return slog.StringValue(hiddenPerson) }

// MarshalText hides the person. Sealing uses a form of its own.
func (p Person) MarshalText() ([]byte, error) { return []byte(hiddenPerson), nil }
