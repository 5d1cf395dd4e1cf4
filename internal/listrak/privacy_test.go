package listrak

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/sandbox/fault"
	sandbox "github.com/concordsync/concord/internal/sandbox/list"
)

const privacyID, privacySecret = "privacy-id-of-the-test", "privacy-secret-of-the-test"

// sandboxPrivacy runs the sandbox's Listrak with an Email and a Privacy integration, and a client for the latter.
func sandboxPrivacy(t *testing.T, edit func(*sandbox.PrivacyConfig), change func(*PrivacyConfig)) (*PrivacyClient, *sandbox.Privacy, *sandbox.Store) {
	t.Helper()
	store, err := sandbox.New(sandbox.Config{ID: testList, ClientID: testID, Secret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	listrak := sandbox.NewServer(time.Now)
	if err := listrak.Add(store); err != nil {
		t.Fatal(err)
	}
	config := sandbox.PrivacyConfig{ClientID: privacyID, Secret: privacySecret, Account: testID, Processing: time.Hour, Unlimited: true}
	if edit != nil {
		edit(&config)
	}
	privacy, err := listrak.AddPrivacy(config)
	if err != nil {
		t.Fatal(err)
	}
	api := listrak.PrivacyAPI()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/OAuth2/Token" {
			listrak.Auth().ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	own := PrivacyConfig{BaseURL: server.URL, AuthURL: server.URL + "/OAuth2/Token", ClientID: privacyID, ClientSecret: privacySecret,
		HTTP: server.Client()}
	if change != nil {
		change(&own)
	}
	client, err := NewPrivacy(own)
	if err != nil {
		t.Fatal(err)
	}
	return client, privacy, store
}

func TestListrakForgets(t *testing.T) {
	t.Parallel()
	client, privacy, store := sandboxPrivacy(t, nil, nil)
	const address = "o'neil+news@example.com"
	if err := store.Subscribe(address, time.Time{}, ""); err != nil {
		t.Fatal(err)
	}
	id, err := client.Forget(t.Context(), Whom{Email: address})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := client.Forgotten(t.Context(), id); err != nil || done {
		t.Fatalf("done %t, error %v, while it is processed", done, err)
	}
	if _, there := store.Contact(address); !there {
		t.Error("forgotten before it was processed")
	}
	privacy.CompleteAll()
	if done, err := client.Forgotten(t.Context(), id); err != nil || !done {
		t.Errorf("done %t, error %v, when it is complete", done, err)
	}
	if _, there := store.Contact(address); there {
		t.Error("the contact is still on the list")
	}
	if id, err = client.Forget(t.Context(), Whom{Phone: "+15550001111"}); err != nil {
		t.Errorf("somebody by phone: %v", err)
	}
	if requests := privacy.Requests(); len(requests) != 2 || requests[0].Email != address || requests[1].Phone != "+15550001111" {
		t.Errorf("Listrak has %+v", requests)
	}
	privacy.Forget(id)
	if _, err := client.Forgotten(t.Context(), id); !errors.Is(err, ErrNoForgetRequest) || failure.ClassOf(err) != failure.Retry {
		t.Errorf("a request that Listrak does not know: %v", err)
	}
}

func TestPrivacyFailuresAreClassified(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit   func(*sandbox.PrivacyConfig)
		change func(*PrivacyConfig)
		fault  fault.Kind
		whom   Whom
		class  failure.Class
		says   string
	}{
		"a wrong secret":        {change: func(c *PrivacyConfig) { c.ClientSecret = "other" }, class: failure.PersonMustAct, says: "of the type Privacy"},
		"a paused integration":  {edit: func(c *sandbox.PrivacyConfig) { c.Paused = true }, class: failure.PersonMustAct, says: "of the type Privacy"},
		"an Email integration":  {change: func(c *PrivacyConfig) { c.ClientID, c.ClientSecret = testID, testSecret }, class: failure.PersonMustAct, says: "of the type Privacy"},
		"another server":        {change: func(c *PrivacyConfig) { c.BaseURL += "/elsewhere" }, class: failure.PersonMustAct, says: "Privacy URL"},
		"too many requests":     {fault: fault.TooManyRequests, class: failure.Retry},
		"an outage":             {fault: fault.ServerError, class: failure.Retry},
		"a page instead":        {fault: fault.HTMLError, class: failure.Retry},
		"no address of Listrak": {whom: Whom{Email: "not an address"}, class: failure.Refused},
		"nobody":                {whom: Whom{}, class: failure.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, privacy, _ := sandboxPrivacy(t, c.edit, c.change)
			if c.fault != "" {
				privacy.Faults.Set(1, fault.Rule{Operation: "POST Forget", Kind: c.fault})
			}
			whom := c.whom
			if name != "nobody" && whom == (Whom{}) {
				whom.Email = "ann@example.com"
			}
			_, err := client.Forget(t.Context(), whom)
			f := failure.As(err)
			if f == nil || f.Class != c.class || !strings.Contains(f.Advice, c.says) {
				t.Fatalf("failed with %v, want %s that says %q", err, c.class, c.says)
			}
			if strings.Contains(err.Error(), "example.com") || strings.Contains(err.Error(), "not an address") {
				t.Errorf("the error tells the address: %v", err)
			}
		})
	}
}

func TestPrivacySettingsAreNamed(t *testing.T) {
	t.Parallel()
	for says, config := range map[string]PrivacyConfig{
		"Privacy URL":       {BaseURL: "nothing", ClientID: "a", ClientSecret: "b"},
		"auth URL":          {AuthURL: "nothing", ClientID: "a", ClientSecret: "b"},
		"Privacy client id": {ClientID: "a"},
	} {
		if _, err := NewPrivacy(config); failure.ClassOf(err) != failure.PersonMustAct || !strings.Contains(err.Error(), says) {
			t.Errorf("%q, want one that names the %s", err, says)
		}
	}
	client, _, _ := sandboxPrivacy(t, nil, nil)
	if f := client.VerifyAccess(t.Context()); !f.OK {
		t.Errorf("%+v", f)
	}
	client, _, _ = sandboxPrivacy(t, func(c *sandbox.PrivacyConfig) { c.IPRefused = true }, nil)
	if f := client.VerifyAccess(t.Context()); f.OK || !strings.Contains(f.Advice, "IP address") {
		t.Errorf("%+v", f)
	}
}

// Whatever ten seconds and whatever minute one takes, no more calls are let through than Listrak allows, and a burst may begin at once.
func TestThePrivacyRateStaysBelowBothLimits(t *testing.T) {
	t.Parallel()
	limiter := rate.NewLimiter(privacyPerSecond, privacyBurst)
	began := time.Now()
	var calls []time.Duration
	for at := time.Duration(0); at < 5*time.Minute; at += 100 * time.Millisecond {
		for limiter.AllowN(began.Add(at), 1) {
			calls = append(calls, at)
		}
	}
	if calls[privacyBurst-1] != 0 {
		t.Error("no burst")
	}
	for _, limit := range []struct {
		most   int
		within time.Duration
	}{{20, 10 * time.Second}, {60, time.Minute}} {
		for i, from := range calls {
			n := 0
			for _, at := range calls[i:] {
				if at <= from+limit.within {
					n++
				}
			}
			if n > limit.most {
				t.Fatalf("%d calls within %s of %s, want %d", n, limit.within, from, limit.most)
			}
		}
	}
}

func TestTheSandboxKeepsThePrivacyLimits(t *testing.T) {
	t.Parallel()
	var passed atomic.Int64
	began := time.Now()
	client, _, _ := sandboxPrivacy(t, func(c *sandbox.PrivacyConfig) {
		c.Unlimited, c.Now = false, func() time.Time { return began.Add(time.Duration(passed.Load())) }
	}, func(c *PrivacyConfig) { c.Rate = &PrivacyRate{newBurstRate(1e6, 1e6, time.Now)} })
	taken := func(tries int) int {
		n := 0
		for range tries {
			_, err := client.Forget(t.Context(), Whom{Email: "ann@example.com"})
			switch f := failure.As(err); {
			case err == nil:
				n++
			case f.Code != "ERROR_TOO_MANY_REQUESTS" || f.Class != failure.Retry:
				t.Fatal(err)
			}
		}
		return n
	}
	for _, want := range []int{20, 20, 20, 0} {
		if got := taken(21); got != want {
			t.Errorf("after %s %d are taken, want %d", time.Duration(passed.Load()), got, want)
		}
		passed.Add(int64(10 * time.Second))
	}
	passed.Add(int64(20 * time.Second))
	if got := taken(21); got != 20 {
		t.Errorf("after a minute %d are taken, want 20", got)
	}
}
