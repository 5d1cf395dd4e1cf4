package shop

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/sandbox/fault"
)

// received is a webhook as an app gets it.
type received struct {
	header http.Header
	body   string
}

func (r received) topic() Topic { return Topic(r.header.Get("X-Shopify-Topic")) }

func (r received) signedWith(secret string) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(r.body))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil)) == r.header.Get("X-Shopify-Hmac-Sha256")
}

// door is an app's endpoint.
type door struct {
	server *httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	got    []received
}

func (d *door) answers(answer http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = answer
}

func (d *door) all() []received {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got)
}

func (d *door) topics() []Topic {
	var topics []Topic
	for _, r := range d.all() {
		topics = append(topics, r.topic())
	}
	slices.Sort(topics)
	return topics
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	d.got = append(d.got, received{r.Header, string(body)})
	answer := d.answer
	d.mu.Unlock()
	if answer != nil {
		answer(w, r)
	}
}

var allAPITopics = []Topic{TopicEmailConsent, TopicSMSConsent, TopicCustomerCreate, TopicCustomerUpdate, TopicCustomerDelete,
	TopicCustomerMerge, TopicOrderCreate, TopicUninstalled, TopicBulkFinished}

// sending is a store whose webhooks are sent to a door.
type sending struct {
	*door
	t     *testing.T
	store *Store
	clock *testClock
	uri   string
}

// newSending subscribes to all topics of the API, and in the app's configuration to the compliance topics. Retries come at once.
func newSending(t *testing.T, change func(*Config), topics ...Topic) *sending {
	t.Helper()
	d := &door{}
	d.server = httptest.NewServer(d)
	s := &sending{door: d, t: t, clock: newTestClock(), uri: d.server.URL + "/webhooks/example"}
	config := Config{
		Domain: "example.myshopify.com", ClientID: "id", ClientSecret: "secret", Now: s.clock.Now,
		Scopes: []string{"read_customers", "write_customers", "read_orders", "read_customer_merge"},
		Webhooks: WebhookConfig{
			LocalAddresses: true, RetryGaps: slices.Repeat([]time.Duration{time.Microsecond}, 8),
			App: []AppSubscription{{Topics: complianceTopics, URI: s.uri}},
		},
	}
	if change != nil {
		change(&config)
	}
	s.store = New(config)
	webhooks := StartWebhooks(s.store)
	t.Cleanup(func() {
		webhooks.Close()
		d.server.Close()
	})
	if topics == nil {
		topics = allAPITopics
	}
	for _, topic := range topics {
		_, refused, err := s.store.Subscribe(SubscriptionInput{Topic: topic.apiName(), URI: s.uri, Name: "concord"})
		require.NoError(t, err)
		require.Empty(t, refused)
	}
	return s
}

// settle waits until no delivery is under way.
func (s *sending) settle() DeliveryReport {
	s.t.Helper()
	return s.await(func(r DeliveryReport) bool { return r.UnderWay == 0 })
}

func (s *sending) await(wanted func(DeliveryReport) bool) DeliveryReport {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	report, err := s.store.AwaitDeliveries(ctx, wanted)
	require.NoError(s.t, err, "%+v", report)
	return report
}

func (s *sending) customer(email string, consent Consent) CustomerID {
	s.t.Helper()
	id, err := s.store.CreateCustomer(NewCustomer{Email: email, Consent: consent})
	require.NoError(s.t, err)
	return id
}

// TestPayloadsAreThoseOfTheContract: the bodies of 5.3, with its names.
func TestPayloadsAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	s := newSending(t, func(c *Config) { c.IDsAfter = 1<<53 + 6 })
	const id = "9007199254740999" // beyond what a float holds
	ann := s.customer("Ann@example.com", Consent{})
	require.EqualValues(t, "gid://shopify/Customer/"+id, ann)
	require.NoError(t, s.store.SetEmailConsent(ann, Subscribed, at(t, "2026-11-01T10:00:00Z")))
	_, err := s.store.PlaceOrder(Order{CustomerID: ann, CreatedAt: at(t, "2026-11-01T10:00:00Z")})
	require.NoError(t, err)
	_, err = s.store.PlaceOrder(Order{Email: "guest@example.com", Test: true})
	require.NoError(t, err)
	require.NoError(t, s.store.AskForData(ann))
	require.NoError(t, s.store.AskToRedact(ann))
	bob := s.customer("", Consent{})
	_, err = s.store.MergeCustomers(ann, bob)
	require.NoError(t, err)
	require.NoError(t, s.store.DeleteCustomer(ann))
	require.NoError(t, s.store.Send(TopicBulkFinished, nil))
	require.NoError(t, s.store.Send(TopicSMSConsent, json.RawMessage(`{"id":1}`)))
	require.NoError(t, s.store.Send(TopicShopRedact, nil))
	require.ErrorIs(t, s.store.Send("products/update", nil), ErrTopic)
	require.ErrorIs(t, s.store.Send(TopicSMSConsent, nil), ErrNoPayload)
	s.store.Uninstall()
	s.settle()

	bodies := map[Topic][]string{}
	for _, r := range s.all() {
		bodies[r.topic()] = append(bodies[r.topic()], r.body)
	}
	one := func(topic Topic, contains ...string) {
		t.Helper()
		require.True(t, slices.ContainsFunc(bodies[topic], func(body string) bool {
			return !slices.ContainsFunc(contains, func(part string) bool { return !strings.Contains(body, part) })
		}), "%s holds %q: %s", topic, contains, bodies[topic])
	}
	require.ElementsMatch(t, append(slices.Clone(allAPITopics), complianceTopics...), slices.Collect(maps.Keys(bodies)))
	require.Equal(t, []string{`{"customer_id":` + id + `,"email_address":"Ann@example.com","email_marketing_consent":` +
		`{"state":"subscribed","opt_in_level":"single_opt_in","consent_updated_at":"2026-11-01T10:00:00Z"}}`}, bodies[TopicEmailConsent])
	require.Len(t, bodies[TopicCustomerCreate], 2)
	one(TopicCustomerCreate, `{"id":`+id+`,"created_at":"2026-11-22T10:00:00Z","updated_at":"2026-11-22T10:00:00Z","first_name":null,`+
		`"last_name":null,"state":"disabled","note":null,"verified_email":true,"multipass_identifier":null,"tax_exempt":false,`+
		`"email":"Ann@example.com","phone":null,"currency":"USD","addresses":[],"tax_exemptions":[],`+
		`"admin_graphql_api_id":"gid://shopify/Customer/`+id+`","default_address":null}`)
	one(TopicCustomerCreate, `"email":null`)
	require.NotContains(t, strings.Join(append(bodies[TopicCustomerCreate], bodies[TopicCustomerUpdate]...), ""), "marketing")
	require.Equal(t, []string{`{"id":` + id + `,"tax_exemptions":[],"admin_graphql_api_id":"gid://shopify/Customer/` + id + `"}`},
		bodies[TopicCustomerDelete])
	require.Equal(t, []string{`{"admin_graphql_api_customer_kept_id":"gid://shopify/Customer/` + id +
		`","admin_graphql_api_customer_deleted_id":"gid://shopify/Customer/9007199254741000","admin_graphql_api_job_id":null,` +
		`"status":"completed","errors":[]}`}, bodies[TopicCustomerMerge])
	one(TopicOrderCreate, `"buyer_accepts_marketing":true`, `"created_at":"2026-11-01T05:00:00-05:00"`, `"customer":{"id":`+id+`,`,
		`"admin_graphql_api_id":"gid://shopify/Order/`+id+`"`, `"line_items":[]`)
	one(TopicOrderCreate, `"customer":null`, `"email":"guest@example.com"`, `"test":true`)
	require.Equal(t, []string{`{"shop_id":1,"shop_domain":"example.myshopify.com","orders_requested":[` + id + `],"customer":{"id":` + id +
		`,"email":"Ann@example.com","phone":null},"data_request":{"id":1}}`}, bodies[TopicDataRequest])
	require.Equal(t, []string{`{"shop_id":1,"shop_domain":"example.myshopify.com","customer":{"id":` + id +
		`,"email":"Ann@example.com","phone":null},"orders_to_redact":[` + id + `]}`}, bodies[TopicCustomerRedact])
	require.Equal(t, []string{`{"shop_id":1,"shop_domain":"example.myshopify.com"}`}, bodies[TopicShopRedact])
	one(TopicBulkFinished, `"error_code":null,"status":"completed","type":"mutation"`)
	one(TopicUninstalled, `{"id":1,"name":"example.myshopify.com"`, `"myshopify_domain":"example.myshopify.com"`)
	require.Equal(t, []string{`{"id":1}`}, bodies[TopicSMSConsent])
}

func TestHeadersAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	s := newSending(t, func(c *Config) { c.Webhooks.Version = "2026-07" })
	s.customer("ann@example.com", Consent{State: Subscribed})
	s.settle()
	all := s.all()
	require.Len(t, all, 2)
	for _, r := range all {
		require.True(t, r.signedWith("secret"))
		require.Equal(t, "example.myshopify.com", r.header.Get("X-Shopify-Shop-Domain"))
		require.Equal(t, "2026-07", r.header.Get("X-Shopify-API-Version"))
		require.Equal(t, "2026-11-22T10:00:00.500000Z", r.header.Get("X-Shopify-Triggered-At"))
		require.Equal(t, "concord", r.header.Get("X-Shopify-Name"))
		require.Equal(t, "application/json", r.header.Get("Content-Type"))
		require.Len(t, r.header.Get("X-Shopify-Webhook-Id"), 36)
	}
	require.Equal(t, []Topic{TopicCustomerCreate, TopicEmailConsent}, s.topics())
	require.Equal(t, all[0].header.Get("X-Shopify-Event-Id"), all[1].header.Get("X-Shopify-Event-Id"), "one act")
	require.NotEqual(t, all[0].header.Get("X-Shopify-Webhook-Id"), all[1].header.Get("X-Shopify-Webhook-Id"))
}

// TestWhatActsTell: topics of people's acts and of apps' writes alike, and what writes that change nothing tell.
func TestWhatActsTell(t *testing.T) {
	t.Parallel()
	past := startTime.Add(-time.Hour)
	held := Consent{State: Subscribed, UpdatedAt: past}
	write := func(state State, at time.Time) func(*Store, CustomerID) error {
		return func(s *Store, id CustomerID) error {
			_, err := s.UpdateEmailConsent(id, ConsentInput{State: state, Level: SingleOptIn, At: at})
			return err
		}
	}
	for name, c := range map[string]struct {
		switches Switches
		act      func(*Store, CustomerID) error
		told     []Topic
	}{
		"a person decides": {act: func(s *Store, id CustomerID) error { return s.SetEmailConsent(id, Unsubscribed, time.Time{}) },
			told: []Topic{TopicCustomerUpdate, TopicEmailConsent}},
		"an app writes":               {act: write(Unsubscribed, startTime), told: []Topic{TopicCustomerUpdate, TopicEmailConsent}},
		"an app writes what is held":  {act: write(Subscribed, startTime), told: []Topic{TopicCustomerUpdate}},
		"an app writes an older date": {act: write(Unsubscribed, past.Add(-time.Hour))},
		"an app is refused":           {act: write(Unsubscribed, startTime.Add(time.Hour))},
		"an app writes what is held, and the switch": {switches: Switches{ConsentWebhookWithoutChange: true}, act: write(Subscribed, startTime),
			told: []Topic{TopicCustomerUpdate, TopicEmailConsent}},
		"an app writes an older date, and the switch": {switches: Switches{ConsentWebhookWithoutChange: true},
			act: write(Unsubscribed, past.Add(-time.Hour)), told: []Topic{TopicEmailConsent}},
		"an app creates": {act: func(s *Store, _ CustomerID) error {
			_, err := s.CreateCustomerByAPI(CustomerInput{Email: "new@example.com", Consent: &ConsentInput{State: Subscribed, Level: SingleOptIn}})
			return err
		}, told: []Topic{TopicCustomerCreate, TopicEmailConsent}},
		"the address changes": {act: func(s *Store, id CustomerID) error { return s.ChangeEmail(id, "b@example.com") },
			told: []Topic{TopicCustomerUpdate}},
		"the address changes, and the consent goes": {switches: Switches{EmailChangeResetsConsent: true},
			act:  func(s *Store, id CustomerID) error { return s.ChangeEmail(id, "b@example.com") },
			told: []Topic{TopicCustomerUpdate, TopicEmailConsent}},
		"an order": {act: func(s *Store, id CustomerID) error {
			_, err := s.PlaceOrder(Order{CustomerID: id})
			return err
		}, told: []Topic{TopicOrderCreate}},
		"a deletion":     {act: (*Store).DeleteCustomer, told: []Topic{TopicCustomerDelete}},
		"the store ends": {act: func(s *Store, _ CustomerID) error { s.Empty(); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newTestClock()
			store := New(Config{Now: clock.Now, Switches: c.switches})
			id, err := store.CreateCustomer(NewCustomer{Email: "a@example.com", Consent: held, At: past})
			require.NoError(t, err)
			var told []Topic
			acts := map[uint64]bool{}
			// Without HTTP, as the simulation listens.
			store.OnEvent(func(e Event) {
				told = append(told, e.Topic)
				acts[e.Act] = true
			})
			require.NoError(t, c.act(store, id))
			slices.Sort(told)
			require.Equal(t, c.told, told)
			require.LessOrEqual(t, len(acts), 1, "one act")
		})
	}
}

func TestFailedDeliveriesAreRetried(t *testing.T) {
	t.Parallel()
	s := newSending(t, nil, TopicCustomerCreate)
	left := 3
	s.answers(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch left--; left {
		case 2:
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect) // a failure too
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 0:
			panic(http.ErrAbortHandler)
		}
	})
	s.customer("ann@example.com", Consent{})
	report := s.settle()
	require.Equal(t, DeliveryCounts{Sent: 4, Retried: 3, Failed: 3, Delivered: 1}, report.DeliveryCounts)
	require.Equal(t, report.DeliveryCounts, report.Topics[TopicCustomerCreate])
	all := s.all()
	require.Len(t, all, 4)
	for _, r := range all[1:] {
		require.Equal(t, all[0].header.Get("X-Shopify-Webhook-Id"), r.header.Get("X-Shopify-Webhook-Id"), "one delivery")
		require.Equal(t, all[0].body, r.body)
	}
	require.Len(t, s.store.Subscriptions(), 1)
}

// TestGapsGrowOverFourHours holds the default gaps against the contract.
func TestGapsGrowOverFourHours(t *testing.T) {
	t.Parallel()
	gaps := DefaultRetryGaps()
	require.Len(t, gaps, 8)
	sum := time.Duration(0)
	for n, gap := range gaps {
		sum += gap
		require.True(t, n == 0 || gap > gaps[n-1])
	}
	require.Equal(t, 4*time.Hour, sum)
}

func TestSlowAnswersFail(t *testing.T) {
	t.Parallel()
	s := newSending(t, func(c *Config) {
		c.Webhooks.AnswerWithin, c.Webhooks.RetryGaps = 20*time.Millisecond, []time.Duration{}
	}, TopicCustomerCreate)
	s.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.customer("ann@example.com", Consent{})
	require.Equal(t, DeliveryCounts{Sent: 1, Failed: 1, Abandoned: 1}, s.settle().DeliveryCounts)
}

func TestEightFailuresInARowDeleteASubscription(t *testing.T) {
	t.Parallel()
	broken := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	t.Run("made by the API", func(t *testing.T) {
		t.Parallel()
		s := newSending(t, nil, TopicCustomerCreate, TopicOrderCreate)
		s.answers(broken)
		s.customer("ann@example.com", Consent{})
		report := s.settle()
		require.Equal(t, DeliveryCounts{Sent: 8, Retried: 7, Failed: 8, Abandoned: 1}, report.DeliveryCounts)
		require.Len(t, report.Deleted, 1)
		require.Equal(t, TopicCustomerCreate, report.Deleted[0].Topic)
		require.Len(t, s.store.Subscriptions(), 1, "the other one stays")
		s.customer("bob@example.com", Consent{})
		require.Len(t, s.all(), 8, "nobody is told any more")
	})
	t.Run("of several deliveries", func(t *testing.T) {
		t.Parallel()
		s := newSending(t, func(c *Config) { c.Webhooks.RetryGaps = []time.Duration{time.Hour} }, TopicCustomerCreate)
		s.answers(broken)
		for n := range 7 {
			s.customer(string(rune('a'+n))+"@example.com", Consent{})
		}
		s.await(func(r DeliveryReport) bool { return r.Failed == 7 })
		require.Len(t, s.store.Subscriptions(), 1)
		s.answers(nil)
		s.customer("good@example.com", Consent{})
		s.await(func(r DeliveryReport) bool { return r.Delivered == 1 })
		s.answers(broken)
		for n := range 8 {
			s.customer(string(rune('a'+n))+"@example.org", Consent{})
			if n == 6 {
				s.await(func(r DeliveryReport) bool { return r.Failed == 14 })
				require.Len(t, s.store.Subscriptions(), 1, "seven since the last success")
			}
		}
		require.Len(t, s.await(func(r DeliveryReport) bool { return len(r.Deleted) > 0 }).Deleted, 1)
		require.Empty(t, s.store.Subscriptions())
	})
	t.Run("only by all retries of one", func(t *testing.T) {
		t.Parallel()
		s := newSending(t, func(c *Config) { c.Switches.OnlyExhaustedDeletes = true }, TopicCustomerCreate)
		s.answers(broken)
		s.customer("ann@example.com", Consent{})
		report := s.settle()
		require.Equal(t, DeliveryCounts{Sent: 9, Retried: 8, Failed: 9, Abandoned: 1}, report.DeliveryCounts)
		require.Empty(t, s.store.Subscriptions())
	})
	t.Run("of the app's configuration", func(t *testing.T) {
		t.Parallel()
		s := newSending(t, nil)
		s.answers(broken)
		ann := s.customer("ann@example.com", Consent{})
		for range 2 {
			require.NoError(t, s.store.AskToRedact(ann))
			s.settle()
		}
		report := s.settle().Topics[TopicCustomerRedact]
		require.Equal(t, DeliveryCounts{Sent: 18, Retried: 16, Failed: 18, Abandoned: 2}, report)
	})
}

func TestFaultsBefallWebhooks(t *testing.T) {
	t.Parallel()
	t.Run("lost", func(t *testing.T) {
		t.Parallel()
		s := newSending(t, nil, TopicCustomerCreate)
		s.store.WebhookFaults.Set(1, fault.Rule{Kind: fault.Lost})
		s.customer("ann@example.com", Consent{})
		require.Equal(t, DeliveryCounts{Lost: 1}, s.settle().DeliveryCounts)
		s.store.WebhookFaults.Set(1, fault.Rule{Kind: fault.Lost, Chance: 0.5})
		for n := range 40 {
			s.customer(string(rune('a'+n%20))+strings.Repeat("x", n)+"@example.com", Consent{})
		}
		report := s.settle()
		require.Equal(t, 41, report.Lost+report.Delivered)
		require.InDelta(t, 20, report.Delivered, 15)
	})
	t.Run("duplicated", func(t *testing.T) {
		t.Parallel()
		s := newSending(t, nil, TopicCustomerCreate)
		s.store.WebhookFaults.Set(1, fault.Rule{Operation: string(TopicCustomerCreate), Kind: fault.Duplicated})
		s.customer("ann@example.com", Consent{})
		report := s.settle()
		require.Equal(t, DeliveryCounts{Sent: 2, Delivered: 2, Duplicated: 1}, report.DeliveryCounts)
		all := s.all()
		require.Equal(t, all[0].header.Get("X-Shopify-Webhook-Id"), all[1].header.Get("X-Shopify-Webhook-Id"))
	})
	t.Run("overtaken", func(t *testing.T) {
		t.Parallel()
		s := newSending(t, nil, TopicCustomerCreate, TopicOrderCreate)
		s.store.WebhookFaults.Set(1, fault.Rule{Operation: string(TopicCustomerCreate), Kind: fault.Overtaken, Delay: time.Hour, Times: 1})
		id := s.customer("ann@example.com", Consent{})
		_, err := s.store.PlaceOrder(Order{CustomerID: id})
		require.NoError(t, err)
		s.settle()
		all := s.all()
		require.Equal(t, TopicOrderCreate, all[0].topic())
		require.Equal(t, TopicCustomerCreate, all[1].topic())
		s.store.WebhookFaults.Set(1, fault.Rule{Kind: fault.Overtaken, Delay: time.Millisecond})
		s.customer("bob@example.com", Consent{}) // nobody comes to overtake
		require.Equal(t, 3, s.settle().Delivered)
	})
	t.Run("late", func(t *testing.T) {
		t.Parallel()
		s := newSending(t, func(c *Config) { c.Webhooks.Latency = time.Millisecond }, TopicCustomerCreate)
		s.store.WebhookFaults.Set(1, fault.Rule{Kind: fault.Latency, Delay: time.Millisecond})
		began := time.Now()
		s.customer("ann@example.com", Consent{})
		require.Equal(t, 1, s.settle().Delivered)
		require.GreaterOrEqual(t, time.Since(began), 2*time.Millisecond)
	})
}

func TestARotatedSecretSignsOn(t *testing.T) {
	t.Parallel()
	s := newSending(t, func(c *Config) { c.Switches.OldSecretSigns = time.Hour }, TopicCustomerCreate)
	s.store.RotateSecret("new")
	s.customer("ann@example.com", Consent{})
	s.settle()
	require.True(t, s.all()[0].signedWith("secret"))
	for _, secret := range []string{"secret", "new"} {
		_, _, ok := s.store.IssueToken("id", secret)
		require.True(t, ok, secret)
	}
	s.clock.advance(time.Hour)
	s.customer("bob@example.com", Consent{})
	s.settle()
	require.True(t, s.all()[1].signedWith("new"))
	_, _, ok := s.store.IssueToken("id", "secret")
	require.False(t, ok)
}

func TestUninstalling(t *testing.T) {
	t.Parallel()
	s := newSending(t, func(c *Config) { c.Webhooks.ShopRedactAfter = time.Millisecond })
	token, _, _ := s.store.IssueToken("id", "secret")
	require.True(t, s.store.Admits(token))
	failed := false
	s.answers(func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !failed {
			failed = true
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	s.store.Uninstall()
	require.False(t, s.store.Admits(token))
	_, _, ok := s.store.IssueToken("id", "secret")
	require.False(t, ok)
	require.Empty(t, s.store.Subscriptions())
	s.customer("ann@example.com", Consent{State: Subscribed})
	s.await(func(r DeliveryReport) bool {
		return r.Topics[TopicUninstalled].Delivered == 1 && r.Topics[TopicShopRedact].Delivered == 1
	})
	require.Len(t, s.all(), 3, "both, one of them twice; and nothing of what happens afterwards")

	s.store.Install()
	_, _, ok = s.store.IssueToken("id", "secret")
	require.True(t, ok)
}

// TestInstalledAgainBeforeTheRedaction: shop/redact of the first uninstallation is not sent.
func TestInstalledAgainBeforeTheRedaction(t *testing.T) {
	t.Parallel()
	s := newSending(t, nil)
	installs := s.store.installs()
	s.store.Uninstall()
	s.store.Install()
	require.NotEqual(t, installs, s.store.installs())
	w := &Webhooks{store: s.store, ctx: t.Context()}
	w.redactShop(installs)
	require.NotContains(t, s.settle().Topics, TopicShopRedact)
	w.redactShop(s.store.installs())
	s.await(func(r DeliveryReport) bool { return r.Topics[TopicShopRedact].Delivered == 1 })
}

// TestSubscribing: the refusals of 5.2, asked for by GraphQL.
func TestSubscribing(t *testing.T) {
	t.Parallel()
	const fine = "https://sync.example/webhooks/acme"
	for name, c := range map[string]struct {
		change     func(*Config)
		topic, uri string
		refused    string
	}{
		"fine":           {topic: "ORDERS_CREATE", uri: fine},
		"taken":          {topic: "CUSTOMERS_UPDATE", uri: fine, refused: "Address for this topic has already been taken"},
		"another topic":  {topic: "CUSTOMERS_CREATE", uri: fine},
		"http":           {topic: "ORDERS_CREATE", uri: "http://sync.example/", refused: "Address protocol http:// is not supported"},
		"http, internal": {topic: "ORDERS_CREATE", uri: "http://127.0.0.1/", refused: "Address protocol http:// is not supported"},
		"no address":     {topic: "ORDERS_CREATE", uri: "sync.example", refused: "Address is invalid"},
		"blank":          {topic: "ORDERS_CREATE", refused: "Address can't be blank"},
		"internal":       {topic: "ORDERS_CREATE", uri: "https://localhost/", refused: "Address cannot be a Shopify or an internal domain"},
		"a network":      {topic: "ORDERS_CREATE", uri: "https://10.0.0.1/", refused: "Address cannot be a Shopify or an internal domain"},
		"Shopify":        {topic: "ORDERS_CREATE", uri: "https://x.myshopify.com/", refused: "Address cannot be a Shopify or an internal domain"},
		"local and let": {change: func(c *Config) { c.Webhooks.LocalAddresses = true }, topic: "ORDERS_CREATE",
			uri: "http://127.0.0.1:1/"},
		"no scope": {topic: "CUSTOMERS_MERGE", uri: fine,
			refused: "You do not have permission to create or update webhooks with customers/merge topic."},
		"not approved": {change: func(c *Config) { c.ProtectedData = ProtectedDataNone }, topic: "ORDERS_CREATE", uri: fine,
			refused: "This app is not approved to subscribe to webhook topics containing protected customer data. " +
				"See https://partners.shopify.com/1/apps/1/customer_data for more details."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.change)
			_, _, err := b.store.Subscribe(SubscriptionInput{Topic: "CUSTOMERS_UPDATE", URI: fine})
			require.NoError(t, err)
			answer := b.graphQL(`mutation($t:WebhookSubscriptionTopic!,$u:String!){webhookSubscriptionCreate(topic:$t,webhookSubscription:{uri:$u})
				{webhookSubscription{topic uri} userErrors{message}}}`, `{"t":"`+c.topic+`","u":"`+c.uri+`"}`)
			want := `{"webhookSubscriptionCreate":{"webhookSubscription":{"topic":"` + c.topic + `","uri":"` + c.uri + `"},"userErrors":[]}}`
			if c.refused != "" {
				want = `{"webhookSubscriptionCreate":{"webhookSubscription":null,"userErrors":[{"message":"` + c.refused + `"}]}}`
			}
			require.JSONEq(t, want, string(answer.Data), answer.raw)
		})
	}
	b := newBench(t, nil)
	for _, members := range []string{`uri:"https://a.example/",filter:"id:1"`, `uri:"https://a.example/",format:XML`} {
		answer := b.graphQL(`mutation{webhookSubscriptionCreate(topic:ORDERS_CREATE,webhookSubscription:{`+members+`}){userErrors{message}}}`, "")
		require.Contains(t, string(answer.Errors), "does not model", "not honoured, so refused")
	}
	answer := b.graphQL(`mutation{webhookSubscriptionDelete(id:"gid://shopify/WebhookSubscription/9"){deletedWebhookSubscriptionId userErrors{field}}}`, "")
	require.JSONEq(t, `{"webhookSubscriptionDelete":{"deletedWebhookSubscriptionId":null,"userErrors":[{"field":["id"]}]}}`, string(answer.Data))
}

// TestOverTLS: https as Shopify demands it, and a certificate that is not trusted is a failure.
func TestOverTLS(t *testing.T) {
	t.Parallel()
	d := &door{}
	d.server = httptest.NewTLSServer(d)
	t.Cleanup(d.server.Close)
	d.server.Config.ErrorLog = nil
	pool := x509.NewCertPool()
	pool.AddCert(d.server.Certificate())
	for _, c := range []struct {
		pool *x509.CertPool
		want DeliveryCounts
	}{{pool, DeliveryCounts{Sent: 1, Delivered: 1}}, {x509.NewCertPool(), DeliveryCounts{Sent: 1, Failed: 1, Abandoned: 1}}} {
		store := New(Config{Domain: "example.myshopify.com", ClientSecret: "secret", Webhooks: WebhookConfig{
			RootCAs: c.pool, RetryGaps: []time.Duration{}, App: []AppSubscription{{Topics: []Topic{TopicCustomerCreate}, URI: d.server.URL}},
		}})
		webhooks := StartWebhooks(store)
		defer webhooks.Close()
		_, err := store.CreateCustomer(NewCustomer{Email: "ann@example.com"})
		require.NoError(t, err)
		report, err := store.AwaitDeliveries(t.Context(), func(r DeliveryReport) bool { return r.UnderWay == 0 })
		require.NoError(t, err)
		require.Equal(t, c.want, report.DeliveryCounts)
	}
}

// TestClosingBreaksOff: nothing is sent after Close, and what waited for a retry is gone.
func TestClosingBreaksOff(t *testing.T) {
	t.Parallel()
	d := &door{}
	d.server = httptest.NewServer(d)
	t.Cleanup(d.server.Close)
	d.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	store := New(Config{Domain: "example.myshopify.com", Webhooks: WebhookConfig{
		App: []AppSubscription{{Topics: []Topic{TopicCustomerCreate, TopicUninstalled}, URI: d.server.URL}},
	}})
	webhooks := StartWebhooks(store)
	_, err := store.CreateCustomer(NewCustomer{Email: "ann@example.com"})
	require.NoError(t, err)
	_, err = store.AwaitDeliveries(t.Context(), func(r DeliveryReport) bool { return r.Failed == 1 })
	require.NoError(t, err)
	store.Uninstall()
	webhooks.Close()
	store.Install()
	_, err = store.CreateCustomer(NewCustomer{Email: "bob@example.com"})
	require.NoError(t, err)
	require.Zero(t, store.Deliveries().UnderWay)
	require.LessOrEqual(t, len(d.all()), 2)
}
