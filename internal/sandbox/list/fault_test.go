package list

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/sandbox/fault"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind   fault.Kind
		status int // 0: no answer at all
		done   bool
	}{
		{fault.Latency, 201, true},
		{fault.TooManyRequests, 429, false},
		{fault.Throttled, 429, false},
		{fault.ServerError, 503, false},
		{fault.HTMLError, 502, false},
		{fault.TimeoutBefore, 0, false},
		{fault.TimeoutAfter, 0, true},
		{fault.ErrorAfter, 500, true},
	} {
		t.Run(string(test.kind), func(t *testing.T) {
			t.Parallel()
			l := signedIn(t, nil)
			l.Faults.Set(1, fault.Rule{Operation: "POST Contact", Kind: test.kind, Delay: 10 * time.Millisecond, Times: 1})
			require.Equal(t, http.StatusOK, l.get("/v1/List/7").status, "another operation is not struck")

			request := l.request(http.MethodPost, "/v1/List/7/Contact", `{"emailAddress":"ann@example.com","subscriptionState":"Subscribed"}`)
			// Without GetBody the client cannot repeat a request whose connection broke, as it may with a bodyless one.
			request.GetBody = nil
			if test.status == 0 {
				response, err := l.client.Do(request)
				require.Errorf(t, err, "an answer came: %+v", response)
			} else {
				reply := l.send(request)
				require.Equal(t, test.status, reply.status)
				require.Equal(t, test.kind == fault.HTMLError, strings.HasPrefix(reply.header.Get("Content-Type"), "text/html"))
			}
			_, done := l.Contact("ann@example.com")
			require.Equal(t, test.done, done, "whether the write took effect")
			require.Equal(t, map[fault.Kind]int{test.kind: 1}, l.Faults.Struck())
			require.Equal(t, http.StatusCreated, l.post("", "ann@example.com", "Subscribed").status, "the rule is spent")
		})
	}
}

// Every operation can be struck by its name.
func TestFaultsByOperation(t *testing.T) {
	t.Parallel()
	l := signedIn(t, nil)
	for operation, call := range map[string]func() reply{
		"token":        func() reply { return l.token("client", "secret") },
		"GET Lists":    func() reply { return l.get("/v1/List") },
		"GET List":     func() reply { return l.get("/v1/List/7") },
		"GET Contacts": func() reply { return l.get("/v1/List/7/Contact") },
		"GET Contact":  func() reply { return l.get("/v1/List/7/Contact/ann@example.com") },
		"POST Contact": func() reply { return l.post("", "ann@example.com", "Subscribed") },
		"GET Events":   func() reply { return l.get("/v1/List/7/Event") },
	} {
		l.Faults.Set(1, fault.Rule{Operation: operation, Kind: fault.ServerError})
		require.Equal(t, http.StatusServiceUnavailable, call().status, operation)
		l.Faults.Set(1)
		require.NotEqual(t, http.StatusServiceUnavailable, call().status, operation)
	}
}

// A time-out without a delay lasts for as long as the client waits, and leaves nothing running when it gives up (goleak, and
// httptest's Close, which waits for handlers).
func TestATimeOutEndsWithItsClient(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{fault.TimeoutBefore, fault.TimeoutAfter} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := signedIn(t, nil)
			l.Faults.Set(1, fault.Rule{Operation: "POST Contact", Kind: kind})
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			request := l.request(http.MethodPost, "/v1/List/7/Contact", `{"emailAddress":"ann@example.com","subscriptionState":"Subscribed"}`)
			_, err := l.client.Do(request.WithContext(ctx))
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	t.Parallel()
	l := signedIn(t, nil)
	l.Faults.Set(1, fault.Rule{Kind: fault.ServerError, Chance: 0.1}, fault.Rule{Kind: fault.ErrorAfter, Chance: 0.1})
	var wg sync.WaitGroup
	// Replies are checked afterwards: a failing require must not end a goroutine that is not the test's.
	statuses := make([][]int, 8)
	for client := range statuses {
		wg.Go(func() {
			for n := range 20 {
				email := fmt.Sprintf("p%d@example.com", n)
				requests := []*http.Request{
					l.request(http.MethodPost, "/v1/List/7/Contact?overrideUnsubscribe=true", fmt.Sprintf(`{"emailAddress":%q}`, email)),
					l.request(http.MethodPost, "/v1/List/7/Contact", fmt.Sprintf(`{"emailAddress":%q,"subscriptionState":"Unsubscribed"}`, email)),
					l.request(http.MethodGet, "/v1/List/7/Contact/"+url.PathEscape(email), ""),
					l.request(http.MethodGet, "/v1/List/7/Contact?count=5", ""),
				}
				response, err := l.client.Do(requests[(client+n)%len(requests)])
				if err != nil {
					statuses[client] = append(statuses[client], 0)
					continue
				}
				_ = response.Body.Close()
				statuses[client] = append(statuses[client], response.StatusCode)
				_ = l.Subscribe(email, time.Time{}, "")
				_ = l.Configure(func(c *Config) { c.Latency = 0 })
				l.Contacts()
				l.Writes()
			}
		})
	}
	wg.Wait()
	for _, client := range statuses {
		for _, status := range client {
			require.Contains(t, []int{200, 201, 400, 404, 500, 503}, status)
		}
	}
	require.Equal(t, 20, l.Len())
}
