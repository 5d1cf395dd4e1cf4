package listrak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak/email"
)

const (
	// maxAnswer bounds what is read of one answer, in bytes: a full page of contacts has about three million.
	maxAnswer = 32 << 20
	// callTimeout bounds a call of a client that was given no http.Client.
	callTimeout = 60 * time.Second
)

// transport makes the calls of one integration: it holds its token and request rate, and reads answers bounded and classified. All of
// Listrak's APIs answer and fail in one form (contracts/listrak.md, Access).
type transport struct {
	baseURL   string
	http      *http.Client
	now       func() time.Time
	tokens    *tokens
	rate      *requestRate
	maxAnswer int64

	troubles atomic.Int64 // failures in a row that may pass by themselves
}

// connection is what a transport needs to know.
type connection struct {
	baseURL, authURL, clientID, clientSecret string
	// advice is what to do when the client id and secret are refused.
	advice string
	// sms tells that it is the SMS API's integration.
	sms  bool
	rate *requestRate
	http *http.Client
	now  func() time.Time
}

func (c *transport) open(to connection) {
	client := &http.Client{Timeout: callTimeout}
	if to.http != nil {
		own := *to.http
		client = &own
	}
	// A redirect would turn a POST into a GET and carry the token elsewhere; Listrak has none.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.baseURL = strings.TrimSuffix(to.baseURL, "/") + "/"
	c.http, c.now, c.rate, c.maxAnswer = client, to.now, to.rate, maxAnswer
	c.tokens = newTokens(to, client, c.trouble)
}

// answer is what came back, whole.
type answer struct {
	status int
	header http.Header
	body   []byte
	date   time.Time // of the Date header
}

// call sends a request and returns its answer if that is a success. The answer is also returned with a classified failure, as far
// as there was one. A refused token is renewed once.
func (c *transport) call(ctx context.Context, call call, build func() (*http.Request, error)) (answer, error) {
	for attempt := 1; ; attempt++ {
		request, err := build()
		if err != nil {
			// The builder's errors quote the address that it could not put into a URL.
			return answer{}, inexpressible(call)
		}
		token, err := c.tokens.get(ctx)
		if err != nil {
			return answer{}, err
		}
		if !call.write || attempt > 1 || !c.rate.spend() {
			wait := c.rate.wait
			if call.spare {
				wait = c.rate.waitSpare
			}
			if err := wait(ctx); err != nil {
				return answer{}, broken(call.op, err, 0)
			}
		}
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Accept", "application/json")
		a, err := c.send(ctx, call, request)
		if err != nil {
			return a, err
		}
		if a.status == http.StatusUnauthorized && attempt == 1 {
			c.tokens.refuse(token)
			continue
		}
		if a.status != http.StatusOK && a.status != http.StatusCreated {
			return a, c.refusal(call, a)
		}
		c.troubles.Store(0)
		return a, nil
	}
}

func (c *transport) refusal(call call, a answer) error {
	var body email.Error
	code := ""
	if json.Unmarshal(bytes.TrimPrefix(a.body, byteOrderMark), &body) == nil {
		code = cleanCode(text(body.Error))
	}
	f := call.classify(a.status, code)
	// Overload passes by itself, and calls for patience; any other answer shows that Listrak is well.
	switch {
	case f.Class == failure.Retry && (a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout || a.status >= 500):
		f.Wait = retryAfter(a.header, c.now(), c.trouble())
	default:
		c.troubles.Store(0)
	}
	return f
}

// reserve is Client.Reserve.
func (c *transport) reserve(ctx context.Context) error {
	if _, err := c.tokens.get(ctx); err != nil {
		return err
	}
	if err := c.rate.reserve(ctx); err != nil {
		return broken("wait for the request rate of Listrak", err, 0)
	}
	return nil
}

// send makes one request and reads its answer, bounded.
func (c *transport) send(ctx context.Context, call call, request *http.Request) (answer, error) {
	var seeking, connected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { seeking.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	if err := ctx.Err(); err != nil {
		// Nothing leaves any more, so a write surely did nothing: http.Client would not say so by either of the traces.
		return answer{}, broken(call.op, err, c.trouble())
	}
	response, err := c.http.Do(request.WithContext(traced))
	if err != nil {
		f := broken(call.op, connectionError(ctx, err), c.trouble())
		// Only a request that never had a connection surely did nothing.
		f.MaybeDone = call.write && (connected.Load() || !seeking.Load())
		return answer{}, f
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		a.date = date.UTC()
	}
	a.body, err = io.ReadAll(io.LimitReader(response.Body, c.maxAnswer+1))
	succeeded := a.status == http.StatusOK || a.status == http.StatusCreated
	switch {
	case err != nil && succeeded:
		f := broken(call.op, connectionError(ctx, err), c.trouble())
		f.MaybeDone = call.write
		return a, f
	case int64(len(a.body)) > c.maxAnswer && succeeded:
		return a, &failure.Error{Class: failure.Retry, Op: call.op, Code: codeTooLarge, Wait: c.trouble(), MaybeDone: call.write,
			Err: fmt.Errorf("the answer has more than %d bytes", c.maxAnswer), Advice: call.urlAdvice()}
	case err != nil || int64(len(a.body)) > c.maxAnswer:
		a.body = nil // The status says enough.
	}
	return a, nil
}

// connectionError is the clean form of what http.Client or a body returned. The caller's own deadline comes first: the error it
// causes may be any.
func connectionError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if clean := transportError(err); clean != nil {
		return clean
	}
	return errors.New("the connection failed")
}

// byteOrderMark is what .NET programs may begin a text with; encoding/json does not take it.
var byteOrderMark = []byte("\xef\xbb\xbf")

// decode reads the body of a success. The reasons are constants, because errors of encoding/json quote the body.
func (c *transport) decode(call call, a answer, into any) error {
	if len(a.body) == 0 {
		return call.unreadable("the answer is empty", c.trouble())
	}
	if err := json.Unmarshal(bytes.TrimPrefix(a.body, byteOrderMark), into); err != nil {
		if strings.HasPrefix(strings.TrimSpace(string(a.body[:min(len(a.body), 64)])), "<") {
			return call.unreadable("the answer is a page, not JSON", c.trouble())
		}
		return call.unreadable("the answer is not the JSON that Listrak documents", c.trouble())
	}
	return nil
}

// trouble counts one more failure that may pass, and says how long to stay away.
func (c *transport) trouble() time.Duration { return backoff(c.troubles.Add(1)) }
