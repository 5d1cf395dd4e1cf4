// Package person is who a privacy request is about, sealed while it is open. The webhook door seals, the office of privacy opens.
package person

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Person is who a privacy request is about; what is not known is empty. It is kept sealed in ledger.PrivacyRequest until the request is
// done, and shows nothing of itself when printed, logged or marshalled.
type Person struct {
	Email, Phone string
	// Others are other email addresses of the same Shopify customer, and Phones other phone numbers, as far as they could be found out.
	Others, Phones []string
}

// sealedPerson is what lies inside the seal.
type sealedPerson struct {
	Email  string   `json:"email,omitempty"`
	Phone  string   `json:"phone,omitempty"`
	Others []string `json:"others,omitempty"`
	Phones []string `json:"phones,omitempty"`
}

// Sealer is the part of *keys.Ring that sealing needs.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
}

// Opener is the part of *keys.Ring that opening needs.
type Opener interface {
	Open(sealed []byte, context string) ([]byte, error)
}

func sealContext(merchant, request string) string { return "privacy/" + merchant + "/" + request }

// IsZero reports whether nothing is known of the person.
func (p Person) IsZero() bool {
	return p.Email == "" && p.Phone == "" && len(p.Others)+len(p.Phones) == 0
}

// Seal encrypts a person for one request of one merchant; it opens for no other one.
func Seal(s Sealer, merchant, request string, p Person) ([]byte, error) {
	plain, err := json.Marshal(sealedPerson(p))
	if err != nil {
		return nil, errors.New("seal a person: they cannot be encoded") // the cause could quote them
	}
	sealed, err := s.Seal(plain, sealContext(merchant, request))
	if err != nil {
		return nil, fmt.Errorf("seal a person: %w", err)
	}
	return sealed, nil
}

// Open decrypts what Seal made for the same merchant and request. Of no bytes it makes nobody: requests about a whole shop have none. The
// chain of its error tells keys.ErrWrongKey from keys.ErrDamaged.
func Open(o Opener, merchant, request string, sealed []byte) (Person, error) {
	if len(sealed) == 0 {
		return Person{}, nil
	}
	plain, err := o.Open(sealed, sealContext(merchant, request))
	if err != nil {
		return Person{}, fmt.Errorf("open the person of a privacy request: %w", err)
	}
	var in sealedPerson
	if json.Unmarshal(plain, &in) != nil {
		return Person{}, errors.New("open the person of a privacy request: they are in a form that this build does not know")
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
