package webhook_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/webhook"
	"github.com/concordsync/concord/internal/webhook/webhooktest"
)

func TestParseReadsEveryTopic(t *testing.T) {
	t.Parallel()
	const shop = "acme.myshopify.com"
	payloads := webhooktest.Payloads(shop)
	bob := webhook.News{Customers: []string{"gid://shopify/Customer/706405506930370084"}}
	person := webhook.Person{Email: "a@example.com", Phone: "+15550001111"}
	want := map[string]webhook.News{
		webhook.TopicEmailConsent: bob, webhook.TopicSMSConsent: bob, webhook.TopicCustomerCreate: bob, webhook.TopicCustomerUpdate: bob,
		webhook.TopicCustomerDelete: bob,
		webhook.TopicCustomerMerge:  {Customers: []string{"gid://shopify/Customer/1", "gid://shopify/Customer/2"}},
		webhook.TopicOrderCreate: {Order: &webhook.Order{ID: "gid://shopify/Order/820982911946154508", Customer: "gid://shopify/Customer/115310627314723954",
			Email: "jon@example.com", CreatedAt: time.Date(2026, 11, 1, 10, 0, 0, 0, time.FixedZone("", -5*3600)), Source: "web"}},
		webhook.TopicBulkFinish:     {},
		webhook.TopicUninstalled:    {Privacy: ledger.Uninstalled, Shop: shop},
		webhook.TopicDataRequest:    {Privacy: ledger.DataRequest, Customer: "gid://shopify/Customer/3", Person: person, Shop: shop},
		webhook.TopicCustomerRedact: {Privacy: ledger.Redact, Customer: "gid://shopify/Customer/3", Person: person, Shop: shop},
		webhook.TopicShopRedact:     {Privacy: ledger.ShopRedact, Shop: shop},
	}
	require.Len(t, want, len(webhook.Topics()))
	for topic, news := range want {
		got, err := webhook.Parse(topic, []byte(payloads[topic]))
		require.NoError(t, err, topic)
		if news.Order != nil {
			require.True(t, news.Order.CreatedAt.Equal(got.Order.CreatedAt))
			news.Order.CreatedAt = got.Order.CreatedAt
		}
		require.Equal(t, news, got, topic)
	}
}

func TestParseTakesWhatShopifyMaySendAndSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	const order = `{"id":1,"created_at":"2026-11-01T10:00:00Z"`
	for name, c := range map[string]struct {
		topic, body string
		want        webhook.News
		problem     webhook.Problem
	}{
		"the greatest id":        {webhook.TopicCustomerUpdate, `{"id":9223372036854775807}`, webhook.News{Customers: []string{"gid://shopify/Customer/9223372036854775807"}}, ""},
		"just above 2^53":        {webhook.TopicCustomerUpdate, `{"id":9007199254740993}`, webhook.News{Customers: []string{"gid://shopify/Customer/9007199254740993"}}, ""},
		"an id beyond 2^63":      {webhook.TopicCustomerUpdate, `{"id":9223372036854775808}`, webhook.News{}, webhook.NoCustomer},
		"an id in a string":      {webhook.TopicCustomerUpdate, `{"id":"7"}`, webhook.News{Customers: []string{"gid://shopify/Customer/7"}}, ""},
		"an id of words":         {webhook.TopicCustomerUpdate, `{"id":"seven"}`, webhook.News{}, webhook.NoCustomer},
		"an id with a break":     {webhook.TopicCustomerUpdate, `{"id":"7\r\n"}`, webhook.News{}, webhook.NoCustomer},
		"a negative id":          {webhook.TopicCustomerUpdate, `{"id":-7}`, webhook.News{}, webhook.NoCustomer},
		"a fraction":             {webhook.TopicCustomerUpdate, `{"id":7.5}`, webhook.News{}, webhook.NoCustomer},
		"an exponent":            {webhook.TopicCustomerUpdate, `{"id":1e3}`, webhook.News{}, webhook.NoCustomer},
		"zero":                   {webhook.TopicCustomerUpdate, `{"id":0}`, webhook.News{}, webhook.NoCustomer},
		"null":                   {webhook.TopicCustomerUpdate, `{"id":null}`, webhook.News{}, webhook.NoCustomer},
		"an object":              {webhook.TopicCustomerUpdate, `{"id":{"a":1}}`, webhook.News{}, webhook.NoCustomer},
		"the other name":         {webhook.TopicEmailConsent, `{"id":7}`, webhook.News{}, webhook.NoCustomer},
		"a key twice":            {webhook.TopicCustomerUpdate, `{"id":7,"id":8}`, webhook.News{Customers: []string{"gid://shopify/Customer/8"}}, ""},
		"space around":           {webhook.TopicCustomerUpdate, strings.Repeat(" ", 99) + "{\"id\":7}\r\n", webhook.News{Customers: []string{"gid://shopify/Customer/7"}}, ""},
		"empty":                  {webhook.TopicShopRedact, ``, webhook.News{}, webhook.NoJSON},
		"null alone":             {webhook.TopicShopRedact, strings.Repeat(" ", 99) + `null`, webhook.News{}, webhook.NoJSON},
		"an array":               {webhook.TopicShopRedact, `[{"id":7}]`, webhook.News{}, webhook.NoJSON},
		"a text":                 {webhook.TopicUninstalled, `"id"`, webhook.News{}, webhook.NoJSON},
		"cut short":              {webhook.TopicCustomerUpdate, `{"id":7`, webhook.News{}, webhook.NoJSON},
		"two objects":            {webhook.TopicCustomerUpdate, `{"id":7}{"id":8}`, webhook.News{}, webhook.NoJSON},
		"nested deeply":          {webhook.TopicCustomerUpdate, `{"id":7,"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, webhook.News{}, webhook.NoJSON},
		"a byte order mark":      {webhook.TopicCustomerUpdate, "\ufeff" + `{"id":7}`, webhook.News{}, webhook.NoJSON},
		"UTF-16":                 {webhook.TopicCustomerUpdate, "{\x00\"\x00i\x00d\x00\"\x00:\x007\x00}\x00", webhook.News{}, webhook.NoJSON},
		"no UTF-8":               {webhook.TopicCustomerUpdate, "{\"id\":7,\"note\":\"\xff\xfe\"}", webhook.News{Customers: []string{"gid://shopify/Customer/7"}}, ""},
		"a merge of null":        {webhook.TopicCustomerMerge, `{"admin_graphql_api_customer_kept_id":null,"admin_graphql_api_customer_deleted_id":"gid://shopify/Customer/2"}`, webhook.News{}, webhook.NoMergedPair},
		"a merge of orders":      {webhook.TopicCustomerMerge, `{"admin_graphql_api_customer_kept_id":"gid://shopify/Order/1","admin_graphql_api_customer_deleted_id":"gid://shopify/Customer/2"}`, webhook.News{}, webhook.NoMergedPair},
		"a merge of other forms": {webhook.TopicCustomerMerge, `{"admin_graphql_api_customer_kept_id":"gid://shopify/Customer/01","admin_graphql_api_customer_deleted_id":"gid://shopify/Customer/2"}`, webhook.News{}, webhook.NoMergedPair},
		"a guest": {webhook.TopicOrderCreate, order + `,"customer":null,"email":" Ann@Example.COM "}`,
			webhook.News{Order: &webhook.Order{ID: "gid://shopify/Order/1", Email: "ann@example.com"}}, ""},
		"a contact's address": {webhook.TopicOrderCreate, order + `,"email":null,"contact_email":"ann@example.com"}`,
			webhook.News{Order: &webhook.Order{ID: "gid://shopify/Order/1", Email: "ann@example.com"}}, ""},
		"a malformed address": {webhook.TopicOrderCreate, order + `,"email":"ann","customer":{"id":2}}`,
			webhook.News{Order: &webhook.Order{ID: "gid://shopify/Order/1", Customer: "gid://shopify/Customer/2"}}, ""},
		"an address of another type": {webhook.TopicOrderCreate, order + `,"email":["a"],"customer":{"id":2}}`,
			webhook.News{Order: &webhook.Order{ID: "gid://shopify/Order/1", Customer: "gid://shopify/Customer/2"}}, ""},
		"an order of nobody":         {webhook.TopicOrderCreate, order + `,"customer":null,"email":""}`, webhook.News{}, ""},
		"a customer of another type": {webhook.TopicOrderCreate, order + `,"customer":5}`, webhook.News{}, webhook.WrongType},
		"an order without an id":     {webhook.TopicOrderCreate, `{"created_at":"2026-11-01T10:00:00Z","customer":{"id":2}}`, webhook.News{}, webhook.NoOrder},
		"an order without a date":    {webhook.TopicOrderCreate, `{"id":1,"created_at":null,"customer":{"id":2}}`, webhook.News{}, webhook.NoOrderDate},
		"an order of no date":        {webhook.TopicOrderCreate, `{"id":1,"created_at":"yesterday","customer":{"id":2}}`, webhook.News{}, webhook.NoOrderDate},
		"a request for nobody":       {webhook.TopicCustomerRedact, `{"shop_domain":"a.myshopify.com","customer":{"id":null,"email":null,"phone":null}}`, webhook.News{}, webhook.NoPerson},
		"a request by phone": {webhook.TopicCustomerRedact, `{"customer":{"id":null,"phone":"+1"}}`,
			webhook.News{Privacy: ledger.Redact, Person: webhook.Person{Phone: "+1"}}, ""},
		"a request by id": {webhook.TopicDataRequest, `{"customer":{"id":9007199254740993}}`,
			webhook.News{Privacy: ledger.DataRequest, Customer: "gid://shopify/Customer/9007199254740993"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := webhook.Parse(c.topic, []byte(c.body))
			if c.problem != "" {
				require.Equal(t, c.problem, err)
				return
			}
			require.NoError(t, err)
			if c.want.Order != nil {
				c.want.Order.CreatedAt = time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
			}
			require.Equal(t, c.want, got)
		})
	}
}

func FuzzParse(f *testing.F) {
	for topic, payload := range webhooktest.Payloads("acme.myshopify.com") {
		f.Add(topic, []byte(payload))
	}
	f.Add(webhook.TopicOrderCreate, webhooktest.Order(1))
	f.Fuzz(func(t *testing.T, topic string, body []byte) {
		news, err := webhook.Parse(topic, body)
		if err != nil {
			if problem, ok := err.(webhook.Problem); !ok || problem == "" || strings.ContainsAny(string(problem), "\r\n{}\"") {
				t.Fatalf("%q is no problem in plain words", err)
			}
			return
		}
		ids := append([]string{news.Customer}, news.Customers...)
		if o := news.Order; o != nil {
			ids = append(ids, o.ID, o.Customer)
			if o.ID == "" || o.Customer == "" && o.Email == "" {
				t.Fatalf("an order for which nobody can wait: %+v", o)
			}
			if again, err := consent.NormaliseEmail(o.Email); o.Email != "" && (err != nil || again != o.Email) {
				t.Fatal("the address is not normalised")
			}
		}
		for _, id := range ids {
			number := strings.TrimPrefix(strings.TrimPrefix(id, "gid://shopify/Customer/"), "gid://shopify/Order/")
			if id != "" && (number == id || number == "" || strings.Trim(number, "0123456789") != "" || number[0] == '0') {
				t.Fatalf("%q is no id", id)
			}
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v", news, news, news), "@") && news.Order == nil && news.Person.Email != "" && !strings.Contains(news.Shop, "@") {
			t.Fatal("a person shows")
		}
	})
}

func BenchmarkParse(b *testing.B) {
	body := webhooktest.Order(1)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := webhook.Parse(webhook.TopicOrderCreate, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	body := webhooktest.Order(1)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		webhook.Sign("not-a-real-secret", body)
	}
}
