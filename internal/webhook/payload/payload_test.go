package payload_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/webhook/payload"
	"github.com/concordsync/concord/internal/webhook/payload/payloadtest"
)

func TestParseReadsEveryTopic(t *testing.T) {
	t.Parallel()
	const shop = "acme.myshopify.com"
	payloads := payloadtest.Payloads(shop)
	bob := payload.News{Customers: []string{"gid://shopify/Customer/706405506930370084"}}
	person := person.Person{Email: "a@example.com", Phone: "+15550001111"}
	want := map[string]payload.News{
		payload.TopicEmailConsent: bob, payload.TopicSMSConsent: bob, payload.TopicCustomerCreate: bob, payload.TopicCustomerUpdate: bob,
		payload.TopicCustomerDelete: bob,
		payload.TopicCustomerMerge:  {Customers: []string{"gid://shopify/Customer/1", "gid://shopify/Customer/2"}},
		payload.TopicOrderCreate: {Order: &payload.Order{ID: "gid://shopify/Order/820982911946154508", Customer: "gid://shopify/Customer/115310627314723954",
			Email: "jon@example.com", CreatedAt: time.Date(2026, 11, 1, 10, 0, 0, 0, time.FixedZone("", -5*3600)), Source: "web"}},
		payload.TopicBulkFinish:     {},
		payload.TopicUninstalled:    {Shop: shop},
		payload.TopicDataRequest:    {Customer: "gid://shopify/Customer/3", Person: person, Shop: shop},
		payload.TopicCustomerRedact: {Customer: "gid://shopify/Customer/3", Person: person, Shop: shop},
		payload.TopicShopRedact:     {Shop: shop},
	}
	require.Len(t, want, len(payload.Topics()))
	for topic, news := range want {
		got, err := payload.Parse(topic, []byte(payloads[topic]))
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
		want        payload.News
		problem     payload.Problem
	}{
		"the greatest id":        {payload.TopicCustomerUpdate, `{"id":9223372036854775807}`, payload.News{Customers: []string{"gid://shopify/Customer/9223372036854775807"}}, ""},
		"just above 2^53":        {payload.TopicCustomerUpdate, `{"id":9007199254740993}`, payload.News{Customers: []string{"gid://shopify/Customer/9007199254740993"}}, ""},
		"an id beyond 2^63":      {payload.TopicCustomerUpdate, `{"id":9223372036854775808}`, payload.News{}, payload.NoCustomer},
		"an id in a string":      {payload.TopicCustomerUpdate, `{"id":"7"}`, payload.News{Customers: []string{"gid://shopify/Customer/7"}}, ""},
		"an id of words":         {payload.TopicCustomerUpdate, `{"id":"seven"}`, payload.News{}, payload.NoCustomer},
		"an id with a break":     {payload.TopicCustomerUpdate, `{"id":"7\r\n"}`, payload.News{}, payload.NoCustomer},
		"a negative id":          {payload.TopicCustomerUpdate, `{"id":-7}`, payload.News{}, payload.NoCustomer},
		"a fraction":             {payload.TopicCustomerUpdate, `{"id":7.5}`, payload.News{}, payload.NoCustomer},
		"an exponent":            {payload.TopicCustomerUpdate, `{"id":1e3}`, payload.News{}, payload.NoCustomer},
		"zero":                   {payload.TopicCustomerUpdate, `{"id":0}`, payload.News{}, payload.NoCustomer},
		"null":                   {payload.TopicCustomerUpdate, `{"id":null}`, payload.News{}, payload.NoCustomer},
		"an object":              {payload.TopicCustomerUpdate, `{"id":{"a":1}}`, payload.News{}, payload.NoCustomer},
		"the other name":         {payload.TopicEmailConsent, `{"id":7}`, payload.News{}, payload.NoCustomer},
		"a key twice":            {payload.TopicCustomerUpdate, `{"id":7,"id":8}`, payload.News{Customers: []string{"gid://shopify/Customer/8"}}, ""},
		"space around":           {payload.TopicCustomerUpdate, strings.Repeat(" ", 99) + "{\"id\":7}\r\n", payload.News{Customers: []string{"gid://shopify/Customer/7"}}, ""},
		"empty":                  {payload.TopicShopRedact, ``, payload.News{}, payload.NoJSON},
		"null alone":             {payload.TopicShopRedact, strings.Repeat(" ", 99) + `null`, payload.News{}, payload.NoJSON},
		"an array":               {payload.TopicShopRedact, `[{"id":7}]`, payload.News{}, payload.NoJSON},
		"a text":                 {payload.TopicUninstalled, `"id"`, payload.News{}, payload.NoJSON},
		"cut short":              {payload.TopicCustomerUpdate, `{"id":7`, payload.News{}, payload.NoJSON},
		"two objects":            {payload.TopicCustomerUpdate, `{"id":7}{"id":8}`, payload.News{}, payload.NoJSON},
		"nested deeply":          {payload.TopicCustomerUpdate, `{"id":7,"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, payload.News{}, payload.NoJSON},
		"a byte order mark":      {payload.TopicCustomerUpdate, "\ufeff" + `{"id":7}`, payload.News{}, payload.NoJSON},
		"UTF-16":                 {payload.TopicCustomerUpdate, "{\x00\"\x00i\x00d\x00\"\x00:\x007\x00}\x00", payload.News{}, payload.NoJSON},
		"no UTF-8":               {payload.TopicCustomerUpdate, "{\"id\":7,\"note\":\"\xff\xfe\"}", payload.News{Customers: []string{"gid://shopify/Customer/7"}}, ""},
		"a merge of null":        {payload.TopicCustomerMerge, `{"admin_graphql_api_customer_kept_id":null,"admin_graphql_api_customer_deleted_id":"gid://shopify/Customer/2"}`, payload.News{}, payload.NoMergedPair},
		"a merge of orders":      {payload.TopicCustomerMerge, `{"admin_graphql_api_customer_kept_id":"gid://shopify/Order/1","admin_graphql_api_customer_deleted_id":"gid://shopify/Customer/2"}`, payload.News{}, payload.NoMergedPair},
		"a merge of other forms": {payload.TopicCustomerMerge, `{"admin_graphql_api_customer_kept_id":"gid://shopify/Customer/01","admin_graphql_api_customer_deleted_id":"gid://shopify/Customer/2"}`, payload.News{}, payload.NoMergedPair},
		"a guest": {payload.TopicOrderCreate, order + `,"customer":null,"email":" Ann@Example.COM "}`,
			payload.News{Order: &payload.Order{ID: "gid://shopify/Order/1", Email: "ann@example.com"}}, ""},
		"a contact's address": {payload.TopicOrderCreate, order + `,"email":null,"contact_email":"ann@example.com"}`,
			payload.News{Order: &payload.Order{ID: "gid://shopify/Order/1", Email: "ann@example.com"}}, ""},
		"a malformed address": {payload.TopicOrderCreate, order + `,"email":"ann","customer":{"id":2}}`,
			payload.News{Order: &payload.Order{ID: "gid://shopify/Order/1", Customer: "gid://shopify/Customer/2"}}, ""},
		"an address of another type": {payload.TopicOrderCreate, order + `,"email":["a"],"customer":{"id":2}}`,
			payload.News{Order: &payload.Order{ID: "gid://shopify/Order/1", Customer: "gid://shopify/Customer/2"}}, ""},
		"an order of nobody":         {payload.TopicOrderCreate, order + `,"customer":null,"email":""}`, payload.News{}, ""},
		"a customer of another type": {payload.TopicOrderCreate, order + `,"customer":5}`, payload.News{}, payload.WrongType},
		"an order without an id":     {payload.TopicOrderCreate, `{"created_at":"2026-11-01T10:00:00Z","customer":{"id":2}}`, payload.News{}, payload.NoOrder},
		"an order without a date":    {payload.TopicOrderCreate, `{"id":1,"created_at":null,"customer":{"id":2}}`, payload.News{}, payload.NoOrderDate},
		"an order of no date":        {payload.TopicOrderCreate, `{"id":1,"created_at":"yesterday","customer":{"id":2}}`, payload.News{}, payload.NoOrderDate},
		"a request for nobody":       {payload.TopicCustomerRedact, `{"shop_domain":"a.myshopify.com","customer":{"id":null,"email":null,"phone":null}}`, payload.News{}, payload.NoPerson},
		"a request by phone": {payload.TopicCustomerRedact, `{"customer":{"id":null,"phone":"+1"}}`,
			payload.News{Person: person.Person{Phone: "+1"}}, ""},
		"a request by id": {payload.TopicDataRequest, `{"customer":{"id":9007199254740993}}`,
			payload.News{Customer: "gid://shopify/Customer/9007199254740993"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := payload.Parse(c.topic, []byte(c.body))
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
	for topic, payload := range payloadtest.Payloads("acme.myshopify.com") {
		f.Add(topic, []byte(payload))
	}
	f.Add(payload.TopicOrderCreate, payloadtest.Order(1))
	f.Fuzz(func(t *testing.T, topic string, body []byte) {
		news, err := payload.Parse(topic, body)
		if err != nil {
			if problem, ok := err.(payload.Problem); !ok || problem == "" || strings.ContainsAny(string(problem), "\r\n{}\"") {
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
	body := payloadtest.Order(1)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := payload.Parse(payload.TopicOrderCreate, body); err != nil {
			b.Fatal(err)
		}
	}
}
