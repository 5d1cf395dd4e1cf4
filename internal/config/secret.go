package config

import (
	"net/url"
	"strings"
)

const hidden = "(hidden)"

// Secret is a setting that is never shown: printed, logged or marshalled, it is "(hidden)", or empty when it is not set.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret from JSON and from logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// DSN names a database. It may hold a password, and so shows only what cannot be one.
type DSN string

// Reveal returns the DSN as ledger.Open takes it.
func (d DSN) Reveal() string { return string(d) }

func (d DSN) known() bool {
	for _, scheme := range []string{"sqlite:", "postgres://", "postgresql://"} {
		if strings.HasPrefix(string(d), scheme) {
			return true
		}
	}
	return false
}

// String shows the file of a SQLite database; of a PostgreSQL one the user, the host and the database, without the password
// and without the parameters, which may hold one too.
func (d DSN) String() string {
	if d == "" || strings.HasPrefix(string(d), "sqlite:") {
		return string(d)
	}
	// What does not parse is not shown at all: a password with a stray character is the usual reason.
	address, err := url.Parse(string(d))
	if err != nil || address.Host == "" {
		return hidden
	}
	shown := url.URL{Scheme: address.Scheme, Host: address.Host, Path: address.Path}
	if user := address.User.Username(); user != "" {
		shown.User = url.User(user)
	}
	return shown.String()
}

// GoString hides the password from %#v.
func (d DSN) GoString() string { return d.String() }

// MarshalText hides the password from JSON and from logs.
func (d DSN) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
