package shopify

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/failure"
)

func TestOneTokenForAllGoroutines(t *testing.T) {
	t.Parallel()
	s := newStore(t, whole(200, accessAnswer))
	s.grant = func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("grant_type") != "client_credentials" || r.FormValue("client_id") != "client" || r.FormValue("client_secret") != "secret" {
			t.Errorf("the grant was asked for with %v", r.Form)
		}
		io.WriteString(w, `{"access_token":"first","expires_in":86399}`)
	}
	c := s.client(byGrant)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			_, err := c.Access(t.Context())
			if err != nil {
				t.Errorf("read: %v", err)
			}
		})
	}
	group.Wait()
	require.Equal(t, 1, s.granted())
	for _, call := range s.seen() {
		require.Equal(t, "first", call.token)
	}
}

// clock is a time that only the test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) move(span time.Duration) { c.at.Add(int64(span)) }

func TestTokenIsRenewedBeforeItsEnd(t *testing.T) {
	t.Parallel()
	var clock clock
	clock.move(1000 * time.Hour)
	var broken atomic.Bool
	var given atomic.Int64
	s := newStore(t, whole(200, accessAnswer))
	s.grant = func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":86399}`, given.Add(1))
	}
	c := s.client(byGrant, func(config *Config) { config.Now = clock.now })
	token := func() string {
		t.Helper()
		_, err := c.Access(t.Context())
		require.NoError(t, err)
		calls := s.seen()
		return calls[len(calls)-1].token
	}
	require.Equal(t, "token-1", token())
	clock.move(22 * time.Hour)
	require.Equal(t, "token-1", token())
	clock.move(90 * time.Minute)
	broken.Store(true)
	require.Equal(t, "token-1", token(), "while no new one is given, the old one serves to its end")
	broken.Store(false)
	require.Equal(t, "token-2", token())

	clock.move(25 * time.Hour)
	broken.Store(true)
	_, err := c.Access(t.Context())
	require.Equal(t, "HTTP_502", failure.As(err).Code, "an ended token is not sent")
}

func TestARefusedTokenIsRenewedOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		good   string
		grants int
		calls  int
		code   string
	}{
		"the second is good": {good: "token-2", grants: 2, calls: 2},
		"none is good":       {good: "none", grants: 2, calls: 2, code: "HTTP_401"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, nil)
			s.answer = func(w http.ResponseWriter, call sent) {
				if call.token != test.good {
					w.WriteHeader(http.StatusUnauthorized)
					io.WriteString(w, `{"errors":"[API] Invalid API key or access token (unrecognized login or wrong password)"}`)
					return
				}
				io.WriteString(w, `{"data":{"customerCreate_0":{"customer":`+recordedCustomer+`,"userErrors":[]}},`+recordedCost+`}`)
			}
			var given atomic.Int64
			s.grant = func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":86399}`, given.Add(1))
			}
			results, err := s.client(byGrant).CreateCustomers(t.Context(), []NewCustomer{{Email: address, At: time.Unix(1, 0)}})
			require.Equal(t, test.grants, s.granted())
			require.Len(t, s.seen(), test.calls)
			if test.code != "" {
				require.Equal(t, test.code, failure.As(err).Code)
				require.Equal(t, failure.PersonMustAct, failure.ClassOf(err))
				require.False(t, failure.As(err).MaybeDone)
				require.Equal(t, adviceClient, failure.As(err).Advice, "there is no token to set")
				return
			}
			require.NoError(t, err)
			require.NoError(t, results[0].Err)
		})
	}
	t.Run("a caller that gives up meanwhile blames nobody", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		s := newStore(t, whole(401, `{"errors":"[API] Invalid API key or access token"}`))
		granted := 0
		s.grant = func(w http.ResponseWriter, _ *http.Request) {
			if granted++; granted > 1 {
				cancel()
				<-ctx.Done()
			}
			io.WriteString(w, `{"access_token":"token","expires_in":86399}`)
		}
		_, err := s.client(byGrant).Access(ctx)
		require.Equal(t, failure.Retry, failure.ClassOf(err), "%v", err)
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("a static one cannot be", func(t *testing.T) {
		t.Parallel()
		s := newStore(t, whole(401, `{"errors":"[API] Invalid API key or access token"}`))
		_, err := s.client().Access(t.Context())
		require.Equal(t, "HTTP_401", failure.As(err).Code)
		require.Len(t, s.seen(), 1)
		require.Zero(t, s.granted())
	})
}

func TestWhyNoTokenIsGiven(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		class  failure.Class
		code   string
		advice string
	}{
		"wrong organization": {400, `{"error":"shop_not_permitted","error_description":"Client credentials cannot be performed on this shop."}`,
			failure.PersonMustAct, CodeShopNotPermitted, adviceOrganization},
		"wrong organization, 403 and a page": {403, `<html>Oauth error shop_not_permitted: Client credentials cannot be performed on this shop.</html>`,
			failure.PersonMustAct, CodeShopNotPermitted, adviceOrganization},
		"wrong secret": {400, `{"error":"invalid_client"}`, failure.PersonMustAct, "INVALID_CLIENT", adviceClient},
		"wrong id":     {400, `<html>application_cannot_be_found</html>`, failure.PersonMustAct, "APPLICATION_CANNOT_BE_FOUND", adviceClient},
		"unexplained":  {400, `secret`, failure.PersonMustAct, "HTTP_400", adviceClient},
		"refused":      {401, ``, failure.PersonMustAct, "HTTP_401", adviceClient},
		"frozen":       {402, ``, failure.PersonMustAct, "HTTP_402", adviceFrozen},
		"no such shop": {404, ``, failure.PersonMustAct, "HTTP_404", adviceNoShop},
		"busy":         {429, ``, failure.Retry, "HTTP_429", ""},
		"broken":       {503, `shop_not_permitted`, failure.Retry, "HTTP_503", ""},
		"no token":     {200, `{"expires_in":1}`, failure.Retry, CodeBadAnswer, ""},
		"no JSON":      {200, `<html>`, failure.Retry, CodeBadAnswer, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, func(http.ResponseWriter, sent) { t.Error("a call went out without a token") })
			s.grant = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			}
			c := s.client(byGrant)
			for _, err := range []error{calls["update"].call(t.Context(), c), c.Reserve(t.Context(), WriteCost)} {
				f := failure.As(err)
				require.NotNil(t, f, "%v", err)
				require.Equal(t, test.class.String(), f.Class.String())
				require.Equal(t, test.code, f.Code)
				require.Equal(t, test.advice, f.Advice)
				require.False(t, f.MaybeDone, "the write was never sent")
				require.NotContains(t, f.Op+f.Code, "secret")
				require.NoError(t, f.Err, "no text of the answer is repeated")
			}
		})
	}
}

func TestWaitingForAnothersTokenCanBeCancelled(t *testing.T) {
	t.Parallel()
	asked, released := make(chan struct{}), make(chan struct{})
	s := newStore(t, whole(200, accessAnswer))
	s.grant = func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-released
		io.WriteString(w, `{"access_token":"first","expires_in":86399}`)
	}
	c := s.client(byGrant)
	first := make(chan error, 1)
	go func() {
		_, err := c.Access(t.Context())
		first <- err
	}()
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Access(ctx)
	require.Equal(t, CodeCanceled, failure.As(err).Code)
	close(released)
	require.NoError(t, <-first)
	require.Equal(t, 1, s.granted())
}
