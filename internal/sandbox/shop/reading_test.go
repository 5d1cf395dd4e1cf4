package shop

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"pgregory.net/rapid"

	"github.com/concordsync/concord/internal/shopify"
)

// listed is a page of ids.
type listed struct {
	Nodes    []struct{ ID string }
	PageInfo struct {
		HasNextPage, HasPreviousPage bool
		StartCursor, EndCursor       string
	}
}

func (l listed) numbers() []int64 {
	numbers := []int64{}
	for _, node := range l.Nodes {
		numbers = append(numbers, numberOf(node.ID, node.ID[:strings.LastIndex(node.ID, "/")+1]))
	}
	return numbers
}

// list asks for customers or orders by the arguments in GraphQL.
func (b *bench) list(field, arguments string) (listed, answerBody) {
	b.t.Helper()
	answer := b.graphQL(`{list:`+field+`(`+arguments+`){nodes{id} pageInfo{hasNextPage hasPreviousPage startCursor endCursor}}}`, "")
	var data struct{ List listed }
	require.NoError(b.t, json.Unmarshal(answer.Data, &data), answer.raw)
	return data.List, answer
}

func TestNodesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.customer("a@example.com", Consent{})
	b.customer("b@example.com", Consent{})
	order, err := b.store.PlaceOrder(Order{CustomerID: "gid://shopify/Customer/2"})
	require.NoError(t, err)
	answer := b.graphQL(`query($ids:[ID!]!){nodes(ids:$ids){__typename id ...on Customer{defaultEmailAddress{emailAddress}} ...on Order{test}}}`,
		`{"ids":["gid://shopify/Customer/2","gid://shopify/Customer/9","`+string(order)+`","gid://shopify/Product/1","gid://shopify/Customer/1"]}`)
	require.JSONEq(t, `{"nodes":[
		{"__typename":"Customer","id":"gid://shopify/Customer/2","defaultEmailAddress":{"emailAddress":"b@example.com"}},
		null,
		{"__typename":"Order","id":"gid://shopify/Order/1","test":false},
		null,
		{"__typename":"Customer","id":"gid://shopify/Customer/1","defaultEmailAddress":{"emailAddress":"a@example.com"}}]}`, string(answer.Data), answer.raw)
}

func TestCustomerByIdentifier(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.customer("Ann@Example.com", Consent{})
	for identifier, want := range map[string]string{
		`{emailAddress:"ann@example.com"}`:             `{"id":"gid://shopify/Customer/1"}`,
		`{emailAddress:" ANN@EXAMPLE.COM "}`:           `{"id":"gid://shopify/Customer/1"}`,
		`{emailAddress:"nn@example.com"}`:              `null`,
		`{id:"gid://shopify/Customer/1"}`:              `{"id":"gid://shopify/Customer/1"}`,
		`{id:"gid://shopify/Customer/2"}`:              `null`,
		`{phoneNumber:"+15550001111"}`:                 `null`,
		`{emailAddress:""}`:                            `null`,
		`{customId:{key:"k",namespace:"n",value:"v"}}`: `null`,
	} {
		answer := b.graphQL(`{customerByIdentifier(identifier:`+identifier+`){id}}`, "")
		require.JSONEq(t, `{"customerByIdentifier":`+want+`}`, string(answer.Data), "%s: %s", identifier, answer.raw)
		require.Empty(t, answer.Errors, answer.raw)
	}
}

func TestIDsOfAnotherKind(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	answer := b.graphQL(`{customer(id:"gid://shopify/Order/1"){id}}`, "")
	require.JSONEq(t, `[{"message":"Invalid id: gid://shopify/Order/1","locations":[{"line":1,"column":2}],"path":["customer"],
		"extensions":{"code":"RESOURCE_NOT_FOUND"}}]`, string(answer.Errors))
	require.JSONEq(t, `{"customer":null}`, string(answer.Data))
}

// TestSearchLag: look-ups see a change at once, search after the lag (contracts/shopify.md 4).
func TestSearchLag(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.SearchLag = 10 * time.Second })
	id, err := b.store.CreateCustomer(NewCustomer{Email: "a@example.com"})
	require.NoError(t, err)
	_, err = b.store.PlaceOrder(Order{CustomerID: id})
	require.NoError(t, err)
	found := func() []int {
		customers, _ := b.list("customers", `first:10,query:"email:a@example.com"`)
		orders, _ := b.list("orders", `first:10`)
		answer := b.graphQL(`{customer(id:"`+string(id)+`"){orders(first:5){nodes{id}}}}`, "")
		return []int{len(customers.Nodes), len(orders.Nodes), strings.Count(string(answer.Data), "Order/")}
	}
	require.Equal(t, []int{0, 0, 0}, found())
	require.Contains(t, b.graphQL(`{customer(id:"`+string(id)+`"){id}}`, "").raw, string(id))
	require.Contains(t, b.graphQL(`{customerByIdentifier(identifier:{emailAddress:"a@example.com"}){id}}`, "").raw, string(id))
	b.clock.advance(9999 * time.Millisecond)
	require.Equal(t, []int{0, 0, 0}, found())
	b.clock.advance(time.Millisecond)
	require.Equal(t, []int{1, 1, 1}, found())

	// A change keeps its old place until the lag has passed, a deleted customer is gone at once.
	changed := `first:10,sortKey:UPDATED_AT,query:"updated_at:>'2026-11-22T10:00:00Z'"`
	require.NoError(t, b.store.SetEmailConsent(id, Subscribed, time.Time{}))
	page, _ := b.list("customers", changed)
	require.Empty(t, page.Nodes)
	b.store.FinishIndexing()
	page, _ = b.list("customers", changed)
	require.Len(t, page.Nodes, 1)
	require.NoError(t, b.store.DeleteCustomer(id))
	page, _ = b.list("customers", `first:10`)
	require.Empty(t, page.Nodes)
	answer := b.graphQL(`{orders(first:1){nodes{id customer{id}}}}`, "")
	require.JSONEq(t, `{"orders":{"nodes":[{"id":"gid://shopify/Order/1","customer":null}]}}`, string(answer.Data))
}

// TestSearchQueries: four customers updated at 09:00:00 to 09:00:03, four orders at the same times, the first two of customer 1.
func TestSearchQueries(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	start := at(t, "2026-11-22T09:00:00Z")
	for n := range 4 {
		email := fmt.Sprintf("c%d@example.com", n+1)
		_, err := b.store.CreateCustomer(NewCustomer{Email: email, At: start.Add(time.Duration(n) * time.Second)})
		require.NoError(t, err)
	}
	for n, email := range []string{"c1@example.com", "C1@example.com", "c2@example.com", "guest@example.com"} {
		_, err := b.store.PlaceOrder(Order{Email: email, CreatedAt: start.Add(time.Duration(n) * time.Second)})
		require.NoError(t, err)
	}
	for _, row := range []struct {
		field, arguments string
		want             []int64
		warned           string // code
	}{
		{"customers", `query:"updated_at:>='2026-11-22T09:00:02Z'"`, []int64{3, 4}, ""},
		{"customers", `query:"updated_at:>'2026-11-22T09:00:02Z'"`, []int64{4}, ""},
		{"customers", `query:"updated_at:<='2026-11-22T09:00:01Z'"`, []int64{1, 2}, ""},
		{"customers", `query:"updated_at:<'2026-11-22T09:00:01Z'"`, []int64{1}, ""},
		{"customers", `query:"updated_at:'2026-11-22T09:00:01Z'"`, []int64{2}, ""},
		{"customers", `query:"updated_at:>='2026-11-22T10:00:01+01:00' AND updated_at:<'2026-11-22T09:00:03Z'"`, []int64{2, 3}, ""},
		{"customers", `query:"created_at:>2026-11-22T09:00:00.5Z"`, []int64{2, 3, 4}, ""},
		{"customers", `query:"updated_at:>=2026-11-22"`, []int64{1, 2, 3, 4}, ""},
		{"customers", `query:"updated_at:>=2026-11-23"`, []int64{}, ""},
		{"customers", `sortKey:UPDATED_AT,reverse:true,query:"updated_at:>='2026-11-22T09:00:02Z'"`, []int64{4, 3}, ""},
		{"customers", `query:"email:C2@example.com"`, []int64{2}, ""},
		{"customers", `query:"email:\"c2@example.com\" updated_at:>2027-01-01"`, []int64{}, ""},
		{"customers", `query:"email:example.com"`, []int64{}, ""},
		{"customers", `query:"colour:red"`, []int64{1, 2, 3, 4}, "invalid_field"},
		{"customers", `query:"colour:red email:c2@example.com"`, []int64{2}, "invalid_field"},
		{"customers", `query:"updated_at:>=yesterday"`, []int64{1, 2, 3, 4}, "invalid_value"},
		{"orders", `query:"created_at:>='2026-11-22T09:00:01Z' AND created_at:<='2026-11-22T09:00:02Z'"`, []int64{2, 3}, ""},
		{"orders", `query:"customer_id:1"`, []int64{1, 2}, ""},
		{"orders", `query:"customer_id:1 created_at:>'2026-11-22T09:00:00Z'"`, []int64{2}, ""},
		{"orders", `query:"email:c1@example.com"`, []int64{1, 2}, ""},
		{"orders", `query:"email:guest@example.com"`, []int64{4}, ""},
		{"orders", `query:"customer_id:9"`, []int64{}, ""},
		{"orders", `sortKey:CREATED_AT,reverse:true`, []int64{4, 3, 2, 1}, ""},
	} {
		page, answer := b.list(row.field, "first:10,"+row.arguments)
		require.Equal(t, row.want, page.numbers(), "%s(%s): %s", row.field, row.arguments, answer.raw)
		if row.warned == "" {
			require.Empty(t, answer.Extensions.Search, answer.raw)
			continue
		}
		require.Len(t, answer.Extensions.Search, 1, answer.raw)
		require.Contains(t, answer.raw, `"path":["list"]`)
		require.Equal(t, row.warned, answer.Extensions.Search[0].Warnings[0].Code, answer.raw)
		require.NotEmpty(t, answer.Extensions.Search[0].Warnings[0].Field)
	}
}

func TestTokenisedEmailSearch(t *testing.T) {
	t.Parallel()
	for _, tokenised := range []bool{false, true} {
		b := newBench(t, func(c *Config) { c.Switches.TokenisedEmailSearch = tokenised })
		b.customer("ann@example.com", Consent{})
		b.customer("x.ann@example.com", Consent{})
		b.customer("anna@example.com", Consent{})
		want := []int64{1}
		if tokenised {
			want = []int64{1, 2}
		}
		page, answer := b.list("customers", `first:10,query:"email:ann@example.com"`)
		require.Equal(t, want, page.numbers(), answer.raw)
	}
}

// TestPagingRefusals: contracts/shopify.md 4; an error of a root field leaves its data null.
func TestPagingRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for arguments, message := range map[string]string{
		`first:1,last:1`:                       "providing both first and last is not supported",
		`first:1,after:"nonsense"`:             "Malformed cursor",
		`first:1,after:"bm90IGpzb24="`:         "Malformed cursor",
		`sortKey:ID`:                           "you must provide one of first or last",
		`first:251`:                            "first and last must be between 0 and 250",
		`first:-1`:                             "first and last must be between 0 and 250",
		`first:1,sortKey:NAME`:                 "The sandbox does not sort by NAME",
		`first:1,query:"(a:1)"`:                "The sandbox understands only field:value terms joined by AND in a search query",
		`first:1,query:"a:1 OR b:2"`:           "The sandbox understands only field:value terms joined by AND in a search query",
		`first:1,query:"email:'unterminated "`: "The sandbox understands only field:value terms joined by AND in a search query",
	} {
		answer := b.graphQL(`{customers(`+arguments+`){nodes{id}}}`, "")
		require.JSONEq(t, `[{"message":`+asJSON(message)+`,"locations":[{"line":1,"column":2}],"path":["customers"],
			"extensions":{"code":"BAD_REQUEST"}}]`, string(answer.Errors), arguments)
		require.JSONEq(t, `{"customers":null}`, string(answer.Data))
	}
}

// TestPagingReadsAll: whatever the store holds and in whatever order it is read, pages in both directions give each object once.
func TestPagingReadsAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		store := New(Config{Now: func() time.Time { return startTime }})
		for _, second := range rapid.SliceOfN(rapid.IntRange(0, 3), 0, 20).Draw(t, "created") {
			if _, err := store.CreateCustomer(NewCustomer{At: startTime.Add(-time.Duration(second) * time.Second)}); err != nil {
				t.Fatal(err)
			}
		}
		size := rapid.IntRange(1, 7).Draw(t, "size")
		listing := Listing{
			SortKey: rapid.SampledFrom([]string{"", "CREATED_AT", "UPDATED_AT"}).Draw(t, "sort"),
			Reverse: rapid.Bool().Draw(t, "reverse"),
			Query:   rapid.SampledFrom([]string{"", "updated_at:>='2026-11-22T09:59:59Z'"}).Draw(t, "query"),
		}
		listing.First = &size
		var forward, backward []CustomerID
		for {
			page, err := store.ListCustomers(listing)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range page.Rows {
				forward = append(forward, row.Object.ID)
				listing.After = row.Cursor
			}
			if !page.HasNext {
				break
			}
		}
		listing.Paging = Paging{Last: &size}
		for {
			page, err := store.ListCustomers(listing)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range slices.Backward(page.Rows) {
				backward = append(backward, row.Object.ID)
				listing.Before = row.Cursor
			}
			if !page.HasPrevious {
				break
			}
		}
		slices.Reverse(backward)
		if !slices.Equal(forward, backward) {
			t.Fatalf("forward %v, backward %v", forward, backward)
		}
		want := 0
		for _, c := range store.Customers() {
			if listing.Query == "" || !c.UpdatedAt.Before(startTime.Truncate(time.Second).Add(-time.Second)) {
				want++
			}
		}
		if len(forward) != want {
			t.Fatalf("read %d of %d", len(forward), want)
		}
	})
}

// TestSearchLagChanges: a new lag holds for what changes from then on, and nothing overtakes what changed before.
func TestSearchLagChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	create := func(email string) {
		_, err := b.store.CreateCustomer(NewCustomer{Email: email})
		require.NoError(t, err)
	}
	found := func() int {
		customers, _ := b.list("customers", `first:10`)
		return len(customers.Nodes)
	}
	create("a@example.com")
	require.Equal(t, 1, found())
	b.store.SetSearchLag(10 * time.Second)
	create("b@example.com")
	b.store.SetSearchLag(time.Second)
	create("c@example.com")
	b.clock.advance(9 * time.Second)
	require.Equal(t, 1, found())
	b.clock.advance(time.Second)
	require.Equal(t, 3, found())
}

// TestManyCustomers lists 100,000: paging ends at 25,000 and goes on from the last date.
func TestManyCustomers(t *testing.T) {
	t.Parallel()
	const all = 100_000
	store := New(Config{Now: func() time.Time { return startTime }, SearchLag: time.Hour})
	first := startTime.Add(-all * time.Second)
	for n := range all {
		_, err := store.CreateCustomer(NewCustomer{Email: itoa(n) + "@example.com", At: first.Add(time.Duration(n) * time.Second)})
		require.NoError(t, err)
	}
	store.FinishIndexing()
	size := maxPage
	seen := map[CustomerID]bool{}
	since, pages := time.Time{}, 0
	for round := 0; len(seen) < all; round++ {
		require.Less(t, round, 10, "restarting from the last date must get on")
		listing := Listing{SortKey: "UPDATED_AT", Query: "updated_at:>='" + since.Format(time.RFC3339) + "'", Paging: Paging{First: &size}}
		read := 0
		for {
			page, err := store.ListCustomers(listing)
			require.NoError(t, err)
			pages++
			for _, row := range page.Rows {
				seen[row.Object.ID] = true
				since, listing.After = row.Object.UpdatedAt, row.Cursor
			}
			read += len(page.Rows)
			require.LessOrEqual(t, read, pagingEnd)
			if !page.HasNext {
				break
			}
		}
		if round == 0 {
			require.Equal(t, pagingEnd, read)
			page, err := store.ListCustomers(listing)
			require.NoError(t, err)
			require.Empty(t, page.Rows)
			store.SetSwitches(Switches{PagingEndIsError: true})
			_, err = store.ListCustomers(listing)
			require.ErrorContains(t, err, "25000")
			store.SetSwitches(Switches{})
		}
	}
	require.LessOrEqual(t, pages, all/maxPage+5)
}

func BenchmarkPageOfHundredThousand(b *testing.B) {
	store := New(Config{Now: func() time.Time { return startTime }})
	for n := range 100_000 {
		if _, err := store.CreateCustomer(NewCustomer{At: startTime.Add(-time.Duration(n) * time.Second)}); err != nil {
			b.Fatal(err)
		}
	}
	size := maxPage
	for b.Loop() {
		if _, err := store.ListCustomers(Listing{SortKey: "UPDATED_AT", Query: "updated_at:>='2026-11-22T00:00:00Z'", Paging: Paging{First: &size}}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEveryFieldOfTheSchema: a field that is added to the schema but not to the sandbox must show here, not as a null in a test.
func TestEveryFieldOfTheSchema(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) {
		c.Scopes = append(slices.Clone(defaultScopes), "read_marketing_events", "write_marketing_events")
	})
	id := b.customer("a@example.com", Consent{State: Subscribed})
	require.NoError(t, b.store.ChangePhone(id, "+16134505293"))
	_, err := b.store.PlaceOrder(Order{CustomerID: id, CancelledAt: startTime})
	require.NoError(t, err)
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: shopify.Schema})
	arguments := map[string]string{
		"customer": `(id:"` + string(id) + `")`, "customerByIdentifier": `(identifier:{id:"` + string(id) + `"})`,
		"customers": "(first:2)", "orders": "(first:2)", "nodes.ids": `(ids:["` + string(id) + `","gid://shopify/Order/1"])`,
		"customerCreate": `(input:{email:"nobody"})`,
		"customerEmailMarketingConsentUpdate": `(input:{customerId:"` + string(id) +
			`",emailMarketingConsent:{marketingState:PENDING,marketingOptInLevel:UNKNOWN}})`,
		"customerSmsMarketingConsentUpdate": `(input:{customerId:"` + string(id) +
			`",smsMarketingConsent:{marketingState:SUBSCRIBED,marketingOptInLevel:UNKNOWN}})`,
		"marketingActivityUpsertExternal": `(input:{remoteId:"m-1",remoteUrl:"https://admin.listrak.com/",status:ACTIVE,tactic:NEWSLETTER,` +
			`title:"Spring",marketingChannelType:EMAIL,utm:{campaign:"m-1",source:"listrak",medium:"email"}})`,
		"marketingEngagementCreate": `(remoteId:"m-1",marketingEngagement:{occurredOn:"2026-11-21",utcOffset:"-05:00",sendsCount:3})`,
		"metafieldDefinitionCreate": `(definition:{namespace:"$app:concord",key:"last_sent",name:"Last sent",type:"date_time",ownerType:CUSTOMER})`,
		"metafieldsSet":             `(metafields:[{ownerId:"` + string(id) + `",namespace:"$app:concord",key:"last_sent",value:"2026-11-21T00:00:00Z"}])`,
		"webhookSubscriptions":      "(first:2)",
		"webhookSubscriptionCreate": `(topic:ORDERS_CREATE,webhookSubscription:{uri:"https://sync.example/webhooks/a"})`,
		"webhookSubscriptionDelete": `(id:"gid://shopify/WebhookSubscription/1")`,
	}
	var selection func(of *ast.Definition, above []string) string
	selection = func(of *ast.Definition, above []string) string {
		var fields []string
		for _, field := range of.Fields {
			inner := schema.Types[field.Type.Name()]
			key := field.Name
			if key == "nodes" && field.Arguments.ForName("ids") != nil {
				key = "nodes.ids"
			}
			given := arguments[key]
			if len(field.Arguments) == 0 {
				given = "" // Order.customer, as against QueryRoot.customer
			}
			switch {
			case strings.HasPrefix(field.Name, "__"):
			case inner.IsLeafType():
				fields = append(fields, field.Name)
			case inner.IsAbstractType():
				text := field.Name + given + "{id"
				for _, possible := range schema.GetPossibleTypes(inner) {
					if possible.Name == "Customer" || possible.Name == "Order" {
						text += " ...on " + possible.Name + "{" + selection(possible, append(above, possible.Name)) + "}"
					}
				}
				fields = append(fields, text+"}")
			case slices.Contains(above, inner.Name):
			default:
				fields = append(fields, field.Name+given+"{"+selection(inner, append(above, inner.Name))+"}")
			}
		}
		return strings.Join(fields, " ")
	}
	for _, query := range []string{"{" + selection(schema.Query, nil) + "}", "mutation{" + selection(schema.Mutation, nil) + "}"} {
		answer := b.graphQL(query, "")
		require.Empty(t, string(answer.Errors), "%s\n%s", query, answer.raw)
		require.NotNil(t, answer.Data)
	}
}

// TestFragmentsAndDirectives: named and inline fragments, merged fields, @skip and @include, edges, defaults of variables.
func TestFragmentsAndDirectives(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.customer("a@example.com", Consent{})
	answer := b.graphQL(`query Q($n: Int = 1, $yes: Boolean!, $no: Boolean = false) {
		customers(first: $n) { ...rows ... @include(if: $no) { nodes { id } } ...rows }
		hidden: shop @skip(if: $yes) { name }
		shown: shop @include(if: $yes) { __typename name }
		shown: shop { plan { shopifyPlus } }
	}
	fragment rows on CustomerConnection { edges { node { ...on Node { id } } } edges { node { createdAt @skip(if: $yes) updatedAt } } }`,
		`{"yes":true}`)
	require.JSONEq(t, `{"customers":{"edges":[{"node":{"id":"gid://shopify/Customer/1","updatedAt":"2026-11-22T09:00:00Z"}}]},
		"shown":{"__typename":"Shop","name":"example.myshopify.com","plan":{"shopifyPlus":false}}}`, string(answer.Data), answer.raw)
}
