package listrak

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concordsync/concord/internal/failure"
)

// emptyLists answers every call with a collection that has nothing in it, and records the tokens that came.
func emptyLists(tokens *[]string) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		*tokens = append(*tokens, r.Header.Get("Authorization"))
		mu.Unlock()
		answerJSON(w, 200, map[string]any{"status": 200, "data": []any{}})
	}
}

func TestATokenIsKeptUntilShortlyBeforeItsEnd(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		what       string
		life       int
		good, late time.Duration
	}{
		{"an hour: renewed a minute early", 3600, 58*time.Minute + 59*time.Second, 59 * time.Minute},
		{"a minute: renewed a tenth early", 60, 53 * time.Second, 54 * time.Second},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			issued := utc("2026-11-22T12:00:00Z")
			now := issued
			var seen []string
			client, server := start(t, emptyLists(&seen), func(c *Config) { c.Now = func() time.Time { return now } })
			server.life = row.life
			for _, now = range []time.Time{issued, issued.Add(row.good), issued.Add(row.late)} {
				if _, err := client.Lists(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff([]string{"Bearer token-a", "Bearer token-a", "Bearer token-b"}, seen); diff != "" {
				t.Errorf("tokens (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATokenWithoutAnEndIsKeptUntilItIsRefused(t *testing.T) {
	t.Parallel()
	now := utc("2026-11-22T12:00:00Z")
	var seen []string
	client, server := start(t, emptyLists(&seen), func(c *Config) { c.Now = func() time.Time { return now } })
	server.life = 0
	for range 3 {
		if _, err := client.Lists(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(1000 * time.Hour)
	}
	if server.handedOut() != 1 {
		t.Errorf("%d tokens were fetched, want 1", server.handedOut())
	}
}

func TestARefusedTokenIsRenewedOnce(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		what    string
		accepts string
		tokens  int
		wrote   bool
	}{
		{"the second token is taken", "Bearer token-b", 2, true},
		{"neither is taken", "Bearer none", 2, false},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			var writes atomic.Int32
			client, server := start(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != row.accepts {
					answerError(w, 401, "ERROR_UNAUTHORIZED")
					return
				}
				writes.Add(1)
				created(w)
			})
			_, err := client.Unsubscribe(t.Context(), leaky)
			mustNotLeak(t, err)
			if (err == nil) != row.wrote || (writes.Load() == 1) != row.wrote {
				t.Errorf("error %v, %d writes", err, writes.Load())
			}
			if server.handedOut() != row.tokens || len(server.requests()) != 2 {
				t.Errorf("%d tokens and %d requests, want %d and 2", server.handedOut(), len(server.requests()), row.tokens)
			}
			if !row.wrote && failure.ClassOf(err) != failure.PersonMustAct {
				t.Errorf("%v, want a person to act", err)
			}
		})
	}
}

func TestManyCallersShareOneTokenAndOneRenewal(t *testing.T) {
	t.Parallel()
	const callers = 20
	// The first token is refused only when every caller has brought it: all of them then want a new one.
	var arrived sync.WaitGroup
	arrived.Add(callers)
	client, server := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-a" {
			arrived.Done()
			arrived.Wait()
			answerError(w, 401, "ERROR_UNAUTHORIZED")
			return
		}
		answerJSON(w, 200, map[string]any{"status": 200, "data": []any{}})
	})
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			if _, err := client.Lists(t.Context()); err != nil {
				t.Errorf("lists: %v", err)
			}
		})
	}
	group.Wait()
	if server.handedOut() != 2 {
		t.Errorf("%d tokens were fetched, want 2", server.handedOut())
	}
}

// authServer runs an endpoint for tokens that answers as one test wants, and a client for it.
func authServer(t *testing.T, answer http.HandlerFunc) *Client {
	t.Helper()
	auth := httptest.NewServer(answer)
	t.Cleanup(auth.Close)
	client, _ := start(t, func(w http.ResponseWriter, r *http.Request) { t.Error("a call was made without a token") },
		func(c *Config) { c.AuthURL = auth.URL + "/OAuth2/Token" })
	return client
}

func TestTokenFailures(t *testing.T) {
	t.Parallel()
	text := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { answerText(w, status, contentType, body) }
	}
	const mine = " alice@example.com " + testSecret
	for _, row := range []struct {
		what   string
		answer http.HandlerFunc
		class  failure.Class
		code   string
		advice string
	}{
		{"wrong id or secret", func(w http.ResponseWriter, r *http.Request) { answerError(w, 401, codeInvalidCredentials) },
			failure.PersonMustAct, codeInvalidCredentials, "IP address"},
		{"the same with 400", func(w http.ResponseWriter, r *http.Request) { answerError(w, 400, codeInvalidCredentials) },
			failure.PersonMustAct, codeInvalidCredentials, "paused"},
		{"the words of RFC 6749", text(400, "application/json", `{"error":"invalid_client","error_description":"`+mine+`"}`),
			failure.PersonMustAct, "HTTP_400", "client id and secret"},
		{"an error in an answer of 200", text(200, "application/json", `{"error":"ERROR_INVALID_CREDENTIALS"}`),
			failure.PersonMustAct, codeInvalidCredentials, "client id and secret"},
		{"forbidden by a page", text(403, "text/html", "<html>"+mine), failure.PersonMustAct, "HTTP_403", "IP address"},
		{"HTTPS is wanted", func(w http.ResponseWriter, r *http.Request) { answerError(w, 400, "ERROR_UNSUPPORTED_PROTOCOL") },
			failure.PersonMustAct, "ERROR_UNSUPPORTED_PROTOCOL", "https://"},
		{"another server", text(404, "text/html", "<html>"+mine), failure.PersonMustAct, "HTTP_404", "auth URL"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login?"+testSecret, http.StatusFound)
		},
			failure.PersonMustAct, "HTTP_302", "auth URL"},
		{"too many requests", text(429, "text/plain", mine), failure.Retry, "HTTP_429", ""},
		{"out of order", text(503, "text/html", mine), failure.Retry, "HTTP_503", ""},
		{"a page", text(200, "text/html", "<html>"+mine), failure.Retry, codeUnreadable, "auth URL"},
		{"no token in it", text(200, "application/json", `{"token_type":"bearer"}`), failure.Retry, codeUnreadable, "auth URL"},
		{"nothing", text(200, "application/json", ""), failure.Retry, codeUnreadable, "auth URL"},
		{"a connection that ends", func(w http.ResponseWriter, r *http.Request) { hangUp(w, "") }, failure.Retry, codeUnreachable, "firewall"},
		{"no HTTP", func(w http.ResponseWriter, r *http.Request) { hangUp(w, mine+"\r\n\r\n") }, failure.Retry, codeUnreachable, "firewall"},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			client := authServer(t, row.answer)
			for _, name := range allCalls {
				_, err := try(t.Context(), client, name)
				mustNotLeak(t, err)
				f := failure.As(err)
				if f == nil || f.Class != row.class || f.Code != row.code || !strings.Contains(f.Advice, row.advice) || f.MaybeDone {
					t.Fatalf("%s: %v; want %s, %s, advice with %q", name, err, row.class, row.code, row.advice)
				}
				if f.Class == failure.Retry && f.Wait <= 0 {
					t.Errorf("%s: no wait is advised", name)
				}
			}
			if err := client.Reserve(t.Context()); failure.ClassOf(err) != row.class {
				t.Errorf("reserve: %v, want it to fail before a delivery is claimed", err)
			}
		})
	}
}

func TestACallerWhoGivesUpDoesNotSpoilTheTokenOfOthers(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	var fetched atomic.Int32
	auth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fetched.Add(1) == 1 {
			close(asked)
		}
		<-answer
		answerJSON(w, 200, map[string]any{"access_token": "late", "token_type": "bearer", "expires_in": 60})
	}))
	t.Cleanup(auth.Close)
	var seen []string
	client, _ := start(t, emptyLists(&seen), func(c *Config) { c.AuthURL = auth.URL })

	impatient, cancel := context.WithCancel(t.Context())
	gaveUp, served := make(chan error), make(chan error)
	go func() { _, err := client.Lists(impatient); gaveUp <- err }()
	<-asked
	go func() { _, err := client.Lists(t.Context()); served <- err }()
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) || failure.As(err) == nil {
		t.Errorf("the caller who gave up: %v, want a classified context.Canceled", err)
	}
	close(answer)
	if err := <-served; err != nil {
		t.Errorf("the caller who stayed: %v", err)
	}
	if got := fetched.Load(); got != 1 || len(seen) != 1 || seen[0] != "Bearer late" {
		t.Errorf("%d tokens fetched, used %v; want one, used once", got, seen)
	}
}

func TestAnUnreachableTokenServerIsARetry(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	client, _ := start(t, nil, func(c *Config) { c.AuthURL = nobody })
	_, err = try(t.Context(), client, subscribeCall)
	mustNotLeak(t, err)
	if f := failure.As(err); f == nil || f.Code != codeUnreachable || f.MaybeDone {
		t.Errorf("%v, want %s that surely did nothing", err, codeUnreachable)
	}
}
