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
}

func newTokens(config Config) *tokens {
	return &tokens{config: config, static: config.Token, issued: map[string]time.Time{}}
}

// IssueToken is the client-credentials grant. It says false when id or secret are wrong or none are set.
func (s *Store) IssueToken(clientID, clientSecret string) (token string, life time.Duration, ok bool) {
	t := s.tokens
	if t.config.ClientID == "" || t.config.ClientSecret == "" || !same(clientID, t.config.ClientID) ||
		!same(clientSecret, t.config.ClientSecret) {
		return "", 0, false
	}
	token = newToken()
	t.mu.Lock()
	defer t.mu.Unlock()
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

// RevokeTokens ends every token given out so far, and the static one, as when the merchant uninstalls the app. New ones can still be
// had by the client-credentials grant.
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
