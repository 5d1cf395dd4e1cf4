package list

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		config         func(*Config)
		client, secret string
		refused        bool
	}{
		{name: "right credentials get a token", client: "client", secret: "secret"},
		{name: "a wrong secret is refused", client: "client", secret: "guess", refused: true},
		{name: "an unknown client is refused", client: "nobody", secret: "secret", refused: true},
		{name: "a paused integration is refused", config: func(c *Config) { c.Paused = true },
			client: "client", secret: "secret", refused: true},
		{name: "an address that is not allowed is refused", config: func(c *Config) { c.IPRefused = true },
			client: "client", secret: "secret", refused: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := start(t, test.config)
			reply := l.token(test.client, test.secret)
			if test.refused {
				reply.refused(http.StatusUnauthorized, CodeInvalidCredentials)
				return
			}
			require.Equal(t, http.StatusOK, reply.status)
			require.NotEmpty(t, reply.field("access_token"))
			require.Equal(t, "bearer", reply.field("token_type"))
			require.Equal(t, "3600", reply.field("expires_in"))
		})
	}
}

func TestTokenEndpointRefusesOtherGrants(t *testing.T) {
	t.Parallel()
	l := start(t, nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.auth,
		strings.NewReader("grant_type=password&client_id=client&client_secret=secret"))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	l.send(request).refused(http.StatusBadRequest, CodeInvalidParameter)
}

func TestATokenExpires(t *testing.T) {
	t.Parallel()
	l := signedIn(t, func(c *Config) { c.TokenLife = time.Minute })
	require.Equal(t, http.StatusOK, l.get("/v1/List").status)
	l.clock.pass(time.Minute - time.Millisecond)
	require.Equal(t, http.StatusOK, l.get("/v1/List").status)
	l.clock.pass(time.Millisecond)
	l.get("/v1/List").refused(http.StatusUnauthorized, CodeUnauthorized)
	l.bearer = l.token("client", "secret").field("access_token")
	require.Equal(t, http.StatusOK, l.get("/v1/List").status)
	l.server.ExpireTokens()
	l.get("/v1/List").refused(http.StatusUnauthorized, CodeUnauthorized)
}

func TestAccess(t *testing.T) {
	t.Parallel()
	paths := map[Area]string{AreaList: "/v1/List/7", AreaContact: "/v1/List/7/Contact", AreaEvent: "/v1/List/7/Event"}
	for taken := range paths {
		t.Run("without the area "+string(taken), func(t *testing.T) {
			t.Parallel()
			l := signedIn(t, func(c *Config) { c.NoAccess = []Area{taken} })
			for area, path := range paths {
				if area == taken {
					l.get(path).refused(http.StatusUnauthorized, CodeUnauthorized)
				} else {
					require.Equalf(t, http.StatusOK, l.get(path).status, "GET %s", path)
				}
			}
		})
	}
	t.Run("without a token", func(t *testing.T) {
		t.Parallel()
		start(t, nil).get("/v1/List").refused(http.StatusUnauthorized, CodeUnauthorized)
	})
	t.Run("paused after the token was given", func(t *testing.T) {
		t.Parallel()
		l := signedIn(t, nil)
		require.NoError(t, l.Configure(func(c *Config) { c.Paused = true }))
		l.get("/v1/List").refused(http.StatusUnauthorized, CodeUnauthorized)
	})
	t.Run("a list of another account does not exist", func(t *testing.T) {
		t.Parallel()
		l := signedIn(t, nil)
		other, err := New(Config{ID: 8, ClientID: "other", Secret: "s"})
		require.NoError(t, err)
		require.NoError(t, l.server.Add(other))
		l.get("/v1/List/8").refused(http.StatusNotFound, CodeNoResource)
		l.get("/v1/List/9").refused(http.StatusNotFound, CodeNoResource)
	})
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		method, path string
		kind, body   string
		config       func(*Config)
		status       int
		code         string
	}{
		{name: "unknown route", method: "GET", path: "/v1/Nothing", status: 404, code: CodeUnknownRoute},
		{name: "known route, wrong method", method: "DELETE", path: "/v1/List/7", status: 405, code: CodeUnsupportedMethod},
		{name: "list id that is no number", method: "GET", path: "/v1/List/seven", status: 400, code: CodeInvalidParameter},
		{name: "list id beyond 32 bits", method: "GET", path: "/v1/List/99999999999", status: 400, code: CodeInvalidParameter},
		{name: "ampersand in an address", method: "GET", path: "/v1/List/7/Contact/a%26b@example.com", status: 400,
			code: CodeUnsafeRoute},
		{name: "ampersand where encoding helps", method: "GET", path: "/v1/List/7/Contact/a%26b@example.com",
			config: func(c *Config) { c.TakesEscapedRoutes = true }, status: 404, code: CodeNoResource},
		{name: "slash in an address", method: "GET", path: "/v1/List/7/Contact/a%2Fb@example.com", status: 404,
			code: CodeUnknownRoute},
		{name: "no such contact", method: "GET", path: "/v1/List/7/Contact/nobody@example.com", status: 404, code: CodeNoResource},
		{name: "body of another type", method: "POST", path: "/v1/List/7/Contact", kind: "text/plain", body: "{}", status: 415,
			code: CodeUnsupportedContentType},
		{name: "body that is no JSON", method: "POST", path: "/v1/List/7/Contact", body: `{"emailAddress":`, status: 400,
			code: CodeMalformedBody},
		{name: "empty body", method: "POST", path: "/v1/List/7/Contact", status: 400, code: CodeMalformedBody},
		{name: "body without an address", method: "POST", path: "/v1/List/7/Contact", body: `{}`, status: 400,
			code: CodeInvalidParameter},
		{name: "boolean that is none", method: "POST", path: "/v1/List/7/Contact?overrideUnsubscribe=maybe",
			body: `{"emailAddress":"a@example.com"}`, status: 400, code: CodeInvalidParameter},
		{name: "31 profile fields", method: "GET", path: "/v1/List/7/Contact?segmentationFieldIds=" +
			"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31", status: 400, code: CodeTooManyFields},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := signedIn(t, test.config)
			request := l.request(test.method, test.path, test.body)
			if test.kind != "" {
				request.Header.Set("Content-Type", test.kind)
			}
			l.send(request).refused(test.status, test.code)
			require.Zero(t, l.Len(), "a refused request made a contact")
		})
	}
}

func TestAnOversizedBodyIsNotFound(t *testing.T) {
	t.Parallel()
	l := signedIn(t, func(c *Config) { c.MaxBody = 200 })
	reply := l.post("", strings.Repeat("a", 200)+"@example.com", "Subscribed")
	require.Equal(t, http.StatusNotFound, reply.status)
	require.NotContains(t, reply.body, "ERROR_", "it must not be mistaken for a contact that is not there")
}

func TestTheRequestRateIsLimited(t *testing.T) {
	t.Parallel()
	l := signedIn(t, func(c *Config) { c.RatePerSecond = 2 })
	for range 2 {
		require.Equal(t, http.StatusOK, l.get("/v1/List/7").status)
	}
	limited := l.get("/v1/List/7")
	require.Equal(t, http.StatusTooManyRequests, limited.status)
	require.Empty(t, limited.header.Get("Retry-After"))
	l.clock.pass(500 * time.Millisecond)
	require.Equal(t, http.StatusOK, l.get("/v1/List/7").status)
	require.NoError(t, l.Configure(func(c *Config) { c.RatePerSecond = 0 }))
	require.Equal(t, http.StatusOK, l.get("/v1/List/7").status)
}

func TestTheDateHeaderFollowsListraksClock(t *testing.T) {
	t.Parallel()
	l := signedIn(t, func(c *Config) { c.ClockSkew = 90 * time.Second })
	for _, path := range []string{"/v1/List", "/v1/List/7", "/v1/List/7/Contact/nobody@example.com"} {
		require.Equalf(t, "Sun, 22 Nov 2026 14:04:37 GMT", l.get(path).header.Get("Date"), "GET %s", path)
	}
	require.Equal(t, "Sun, 22 Nov 2026 14:04:37 GMT", l.token("client", "secret").header.Get("Date"))
}

func TestListsAndEvents(t *testing.T) {
	t.Parallel()
	l := signedIn(t, func(c *Config) { c.DoubleOptIn = true })
	second, err := New(Config{ID: 3, ClientID: "client", Secret: "secret", Now: l.clock.now})
	require.NoError(t, err)
	require.NoError(t, l.server.Add(second))
	require.ErrorContains(t, l.server.Add(second), "there is a list 3 already")
	type listed struct {
		ListID            int
		ListName          string
		EnableDoubleOptIn bool
		CreateDate        string
	}
	require.Equal(t, []listed{{3, "List 3", false, "2026-11-22T14:03:07.123"}, {7, "News", true, "2026-11-22T14:03:07.123"}},
		data[[]listed](l.get("/v1/List")))
	require.Equal(t, listed{7, "News", true, "2026-11-22T14:03:07.123"}, data[listed](l.get("/v1/List/7")))
	type event struct {
		EventID           int
		EventName, Status string
	}
	require.Equal(t, []event{{1, "Marketing", "Active"}, {2, "Checkout", "Active"}, {3, "Old", "Blocked"}},
		data[[]event](l.get("/v1/List/7/Event")))
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := New(Config{SameState: "sometimes", NoAccess: []Area{"Moon"}, Events: []Event{{ID: 1}, {ID: 1}}, Latency: -1})
	for _, part := range []string{"at least 1", "client id", `"sometimes"`, `"Moon"`, "given twice", "negative"} {
		require.ErrorContains(t, err, part)
	}
	l := start(t, nil)
	require.Error(t, l.Configure(func(c *Config) { c.SameState = "sometimes" }))
	require.Equal(t, MovesDates, l.Config().SameState, "a refused change must change nothing")
	require.NoError(t, l.Configure(func(c *Config) { c.ID, c.Now, c.Name = 8, time.Now, "Other" }))
	require.Equal(t, 7, l.Config().ID, "an id stays")
	require.Equal(t, l.clock.now(), l.Clock(), "a clock stays")
	require.Equal(t, "Other", l.Config().Name)
}

// The routes must work under a prefix, where the sandbox mounts them.
func TestUnderAPrefix(t *testing.T) {
	t.Parallel()
	l := signedIn(t, nil)
	require.NoError(t, l.Subscribe("a+b@example.com", time.Time{}, ""))
	server := httptest.NewServer(http.StripPrefix("/listrak", l.server.API()))
	defer server.Close()
	l.api = server.URL + "/listrak"
	require.Equal(t, "a+b@example.com", l.contact("a+b@example.com").EmailAddress)
	l.get("/v1/List/7/Contact/a%2Fb@example.com").refused(http.StatusNotFound, CodeUnknownRoute)
	l.client.CloseIdleConnections()
}
