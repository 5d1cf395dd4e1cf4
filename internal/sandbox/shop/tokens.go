package shop

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"sync"
	"time"
)

// tokenLife is how long a token of the client-credentials grant lives; Shopify names it as 86399 seconds (contracts/shopify.md 1).
const tokenLife = 86399 * time.Second

type tokens struct {
	config Config

	mu     sync.Mutex
	static string
	issued map[string]time.Time // when each ends
	// secret is the app's client secret; previous the one before the last rotation.
	secret, previous string
	rotated          time.Time
	// removed: the merchant has uninstalled the app.
	removed  bool
	installs int
}

func newTokens(config Config) *tokens {
	return &tokens{config: config, static: config.Token, secret: config.ClientSecret, issued: map[string]time.Time{}}
}

// RotateSecret acts as the developer who gives the app a new client secret. What becomes of the old one says
// Switches.OldSecretSigns.
func (s *Store) RotateSecret(secret string) {
	t := s.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	t.previous, t.secret, t.rotated = t.secret, secret, t.config.Now()
}

// ClientSecret is the app's client secret as it is now.
func (s *Store) ClientSecret() string {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	return s.tokens.secret
}

// SigningSecret is the client secret that signs a webhook now.
func (s *Store) SigningSecret() string {
	overlap := s.Switches().OldSecretSigns
	t := s.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.overlaps(overlap) {
		return t.previous
	}
	return t.secret
}

// overlaps says whether the secret before the rotation still holds. It wants t.mu held.
func (t *tokens) overlaps(overlap time.Duration) bool {
	return !t.rotated.IsZero() && t.config.Now().Before(t.rotated.Add(overlap))
}

// IssueToken is the client-credentials grant. It says false when id or secret are wrong or none are set, and when the app is not
// installed.
func (s *Store) IssueToken(clientID, clientSecret string) (token string, life time.Duration, ok bool) {
	overlap := s.Switches().OldSecretSigns
	t := s.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	good := t.secret != "" && same(clientSecret, t.secret) ||
		t.previous != "" && same(clientSecret, t.previous) && t.overlaps(overlap)
	if t.config.ClientID == "" || !same(clientID, t.config.ClientID) || !good || t.removed {
		return "", 0, false
	}
	token = newToken()
	now := t.config.Now()
	for old, ends := range t.issued {
		if !ends.After(now) {
			delete(t.issued, old)
		}
	}
	t.issued[token] = now.Add(tokenLife)
	return token, tokenLife, true
}

// Admits says whether a token opens the API now.
func (s *Store) Admits(token string) bool {
	t := s.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.static != "" && same(token, t.static) {
		return true
	}
	ends, issued := t.issued[token]
	return issued && ends.After(t.config.Now())
}

// RevokeTokens ends every token given out so far, and the static one. New ones can still be had by the client-credentials grant; see
// Uninstall for the end of those too.
func (s *Store) RevokeTokens() {
	t := s.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	t.static = ""
	clear(t.issued)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func newToken() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	return hex.EncodeToString(random[:])
}
