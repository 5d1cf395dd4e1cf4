package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// The simulation is worth what its two sides without HTTP are worth. Here they are held against the truth: the clients that run in
// production, before the sandbox's servers, over HTTP. Both stand before models of their own that were prepared alike; every call is
// made on both, and what came back and what the models hold afterwards must be the same.

// twin is one way to the two sides, with the models behind it.
type twin struct {
	store   *shop.Store
	list    *list.Store
	shopify reconcile.Shopify
	listrak reconcile.Listrak
}

// sides are the two ways, on one clock.
type sides struct {
	t    rapid.TB
	wire twin // the clients over HTTP
	bare twin // the simulation's
	// world has nobody in it: each call is a task of its own, which the scheduler runs to its end.
	world   *world
	process *process
	time    clock
	// hung is told when the server holds an answer back for good.
	hung chan struct{}
	// story is what was done, for failing tests.
	story []string
}

// clock is what both ways take for the time. It stands still unless a test moves it, and is in whole milliseconds: a call of the
// simulation takes a few microseconds, which no date shows.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// setting is how the sides of a test differ from the ordinary ones.
type setting struct {
	at time.Time
	// zone is the merchant's; that of the list is New York's.
	zone       string
	storeAhead time.Duration
	shop       shop.Config
	list       list.Config
}

var noon = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

func newSides(t interface {
	rapid.TB
	Cleanup(func())
}, with setting) *sides {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if with.at.IsZero() {
		with.at = noon
	}
	if with.zone == "" {
		with.zone = "America/New_York"
	}
	zone, err := time.LoadLocation(with.zone)
	must(err)
	newYork, err := time.LoadLocation("America/New_York")
	must(err)
	s := &sides{t: t}
	s.time.now = with.at
	// The least latency that there is, so that both ways do everything at the same time.
	s.world = &world{
		scheduler: &scheduler{now: with.at, random: rand.New(rand.NewPCG(1, 1))}, began: with.at,
		scenario: scenario{slow: 1, storeAhead: with.storeAhead}, faced: map[fault.Kind]int{},
	}
	s.world.watch = newWatch(s.world)
	s.world.nextRound = with.at // no change is followed by a round: one seems to be arranged
	s.process = &process{name: "worker", alive: true, tasks: map[*task]bool{}}
	s.process.crashed, s.process.froze = func() {}, func(time.Duration) {}

	models := func(now func() time.Time) (*shop.Store, *list.Store) {
		store, email := with.shop, with.list
		store.Domain, store.ClientID, store.ClientSecret, store.RestoreRate = domain, "app", "none", 100_000
		store.Now = func() time.Time { return now().Add(with.storeAhead) }
		email.ID, email.ClientID, email.Secret, email.Zone, email.Now = listID, "integration", "none", newYork, now
		email.Events = []list.Event{
			{ID: marketingEvent, Name: "Marketing"}, {ID: checkoutEvent, Name: "Checkout"}, {ID: 33, Name: "Old", Status: list.EventBlocked},
		}
		model, err := list.New(email)
		must(err)
		return shop.New(store), model
	}
	s.bare.store, s.bare.list = models(func() time.Time { return s.world.now })
	s.bare.shopify = storeClient{&link{s.world, inShopify, s.process, &s.bare.store.Faults, 20 * time.Second}, s.bare.store, map[shopify.CustomerID]string{}}
	s.bare.listrak = &listClient{
		link: &link{s.world, inListrak, s.process, &s.bare.list.Faults, 20 * time.Second}, list: s.bare.list, zone: zone,
	}

	s.wire.store, s.wire.list = models(s.time.Now)
	atShopify, atListrak := shop.NewServer(s.wire.store), list.NewServer(s.time.Now)
	must(atListrak.Add(s.wire.list))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(listening{r.Context(), s})
		switch {
		case strings.HasPrefix(r.URL.Path, "/admin/"):
			atShopify.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, "/OAuth2/"):
			atListrak.Auth().ServeHTTP(w, r)
		default:
			atListrak.API().ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	caller := &http.Client{Transport: impatient{server.Client().Transport, s}}
	s.wire.shopify, err = shopify.New(shopify.Config{
		Shop: domain, BaseURL: server.URL, ClientID: "app", ClientSecret: "none", HTTP: caller, Now: s.time.Now,
		Sleep: func(_ context.Context, d time.Duration) error {
			s.time.advance(d.Truncate(time.Millisecond) + time.Millisecond)
			return nil
		},
	})
	must(err)
	s.wire.listrak, err = listrak.New(listrak.Config{
		BaseURL: server.URL, AuthURL: server.URL + "/OAuth2/Token", ClientID: "integration", ClientSecret: "none", List: listID, Zone: zone,
		RatePerSecond: 1e6, HTTP: caller, Now: s.time.Now,
	})
	must(err)
	return s
}

// listening is the context of a request at the server. Only a fault that hangs waits for its end: so its test need not wait for a time.
type listening struct {
	context.Context
	sides *sides
}

func (l listening) Done() <-chan struct{} {
	if l.sides.hung != nil {
		select {
		case l.sides.hung <- struct{}{}:
		default: // it is known already
		}
	}
	return l.Context.Done()
}

// impatient ends a request by time-out, as http.Client does after a span, as soon as the server hangs.
type impatient struct {
	http.RoundTripper
	sides *sides
}

func (i impatient) RoundTrip(r *http.Request) (*http.Response, error) {
	hung := i.sides.hung
	if hung == nil {
		return i.RoundTripper.RoundTrip(r)
	}
	over, answered := make(chan struct{}), make(chan struct{})
	defer close(answered)
	go func() {
		select {
		case <-hung:
			close(over)
		case <-answered:
		}
	}()
	return i.RoundTripper.RoundTrip(r.WithContext(outOfPatience{r.Context(), over}))
}

// outOfPatience is a context whose deadline comes with the end of over.
type outOfPatience struct {
	context.Context
	over chan struct{}
}

func (c outOfPatience) Done() <-chan struct{} { return c.over }

func (c outOfPatience) Err() error {
	select {
	case <-c.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// act does the same to both models.
func (s *sides) act(what string, do func(*twin) error) {
	s.t.Helper()
	s.story = append(s.story, what)
	s.world.now = s.time.Now()
	wire, bare := do(&s.wire), do(&s.bare)
	if fmt.Sprint(wire) != fmt.Sprint(bare) {
		s.t.Fatalf("the models were not prepared alike: %v, and %v\n%s", wire, bare, s.told())
	}
}

// prepare is an act that must succeed.
func (s *sides) prepare(do func(*twin) error) {
	s.t.Helper()
	s.world.now = s.time.Now()
	if err := errors.Join(do(&s.wire), do(&s.bare)); err != nil {
		s.t.Fatalf("prepare: %v", err)
	}
}

// later moves the clock.
func (s *sides) later(d time.Duration) {
	s.story = append(s.story, fmt.Sprintf("%s pass", d))
	s.time.advance(d)
}

// mistake is what of an error makes a difference to its caller.
type mistake struct {
	Class     failure.Class
	Code      string
	MaybeDone bool
	// Long: it asks for more patience than the half minute that the engine has anyway.
	Long bool
	// Unclassified errors stop a merchant.
	Unclassified, CursorLost bool
	// Items is set when the error is told for each item.
	Items []mistake
}

func mistakeOf(err error) mistake {
	if err == nil {
		return mistake{}
	}
	m := mistake{Class: failure.ClassOf(err), CursorLost: errors.Is(err, listrak.ErrCursorLost)}
	var items shopify.ItemErrors
	if errors.As(err, &items) {
		for _, item := range items {
			m.Items = append(m.Items, mistakeOf(item))
		}
		return m
	}
	if f := failure.As(err); f != nil {
		m.Code, m.MaybeDone, m.Long = f.Code, f.MaybeDone, f.Wait > 30*time.Second
	} else {
		m.Unclassified = true
	}
	return m
}

// answer is what a call brought.
type answer struct {
	Value any
	Err   mistake
}

// written is a shopify.WriteResult with its error made comparable.
type written struct {
	Customer shopify.Customer
	Err      mistake
}

func results(all []shopify.WriteResult, err error) (any, error) {
	seen := make([]written, len(all))
	for i, r := range all {
		seen[i] = written{r.Customer, mistakeOf(r.Err)}
	}
	return seen, err
}

// question is a call of either side.
type question func(context.Context, *twin) (any, error)

// both makes a call on both ways and returns what came back.
func (s *sides) both(what string, call question) (wire, bare answer) {
	s.t.Helper()
	s.story = append(s.story, what)
	value, err := call(context.Background(), &s.wire)
	wire = answer{value, mistakeOf(err)}
	return wire, s.alone(context.Background(), call)
}

// alone makes a call on the simulation's way, as a task of its world.
func (s *sides) alone(ctx context.Context, call question) (bare answer) {
	s.t.Helper()
	s.world.now = s.time.Now()
	ended := false
	s.world.spawn(s.process, func() {
		value, err := call(ctx, &s.bare)
		bare = answer{value, mistakeOf(err)}
	}, func() { ended = true })
	s.world.run(s.world.now.Add(time.Hour))
	s.world.now = s.time.Now()
	if !ended {
		s.t.Fatalf("the call did not come to an end\n%s", s.told())
	}
	return bare
}

// ask makes a call on both ways and fails the test unless both brought the same and left the same behind. It returns what came back.
func (s *sides) ask(what string, call question) answer {
	s.t.Helper()
	wire, bare := s.both(what, call)
	if diff := cmp.Diff(wire, bare, cmpopts.EquateEmpty()); diff != "" {
		s.t.Fatalf("%s: the simulation answers (+) otherwise than the client gets from the server (-):\n%s\n%s", what, diff, s.told())
	}
	s.compare(what)
	return wire
}

// held is all that both models remember.
type held struct {
	Customers   []shop.Customer
	Orders      []shop.Order
	StoreWrites []shop.Write
	Contacts    []list.Contact
	ListWrites  []list.Write
}

func (tw *twin) held() held {
	h := held{tw.store.Customers(), tw.store.Orders(), tw.store.Writes(), tw.list.Contacts(), tw.list.Writes()}
	for i := range h.StoreWrites {
		h.StoreWrites[i].At = h.StoreWrites[i].At.Truncate(time.Millisecond)
	}
	for i := range h.ListWrites {
		h.ListWrites[i].At = h.ListWrites[i].At.Truncate(time.Millisecond)
	}
	return h
}

func (s *sides) compare(after string) {
	s.t.Helper()
	s.world.now = s.time.Now()
	if diff := cmp.Diff(s.wire.held(), s.bare.held(), cmpopts.EquateEmpty()); diff != "" {
		s.t.Fatalf("%s: it leaves (+) something else behind than the client and the server (-):\n%s\n%s", after, diff, s.told())
	}
}

func (s *sides) told() string { return "what was done:\n  " + strings.Join(s.story, "\n  ") }

// The calls.

func changed(since time.Time, cursor string) question {
	return func(ctx context.Context, tw *twin) (any, error) {
		return tw.shopify.ChangedCustomers(ctx, since, cursor)
	}
}

func byID(ids ...shopify.CustomerID) question {
	return func(ctx context.Context, tw *twin) (any, error) { return tw.shopify.CustomersByID(ctx, ids) }
}

func byEmail(emails ...string) question {
	return func(ctx context.Context, tw *twin) (any, error) { return tw.shopify.CustomersByEmail(ctx, emails) }
}

func ordersOf(lookups ...shopify.OrderLookup) question {
	return func(ctx context.Context, tw *twin) (any, error) { return tw.shopify.OrdersOf(ctx, lookups) }
}

func update(writes ...shopify.ConsentWrite) question {
	return func(ctx context.Context, tw *twin) (any, error) {
		return results(tw.shopify.UpdateEmailConsents(ctx, writes))
	}
}

func create(customers ...shopify.NewCustomer) question {
	return func(ctx context.Context, tw *twin) (any, error) {
		return results(tw.shopify.CreateCustomers(ctx, customers))
	}
}

func contacts(state listrak.State, since time.Time, cursor string) question {
	return func(ctx context.Context, tw *twin) (any, error) {
		return tw.listrak.Contacts(ctx, listrak.ContactQuery{State: state, Since: since, Cursor: cursor})
	}
}

func contact(addressOrKey string) question {
	return func(ctx context.Context, tw *twin) (any, error) {
		c, found, err := tw.listrak.Contact(ctx, addressOrKey)
		return struct {
			Contact listrak.Contact
			Found   bool
		}{c, found}, err
	}
}

func subscribe(address string, options listrak.SubscribeOptions) question {
	return func(ctx context.Context, tw *twin) (any, error) { return tw.listrak.Subscribe(ctx, address, options) }
}

func unsubscribe(address string) question {
	return func(ctx context.Context, tw *twin) (any, error) { return tw.listrak.Unsubscribe(ctx, address) }
}

// customer prepares a customer on both models.
func (s *sides) customer(email string, state shop.State, at time.Time) shopify.CustomerID {
	s.t.Helper()
	var id shop.CustomerID
	s.prepare(func(tw *twin) (err error) {
		id, err = tw.store.CreateCustomer(shop.NewCustomer{Email: email, Consent: shop.Consent{State: state, UpdatedAt: at}})
		return err
	})
	return shopify.CustomerID(id)
}

// wants fails the test unless a call came to what the test is about: two that are wrong alike are no proof.
func (s *sides) wants(what string, got answer, code string) {
	s.t.Helper()
	found := got.Err.Code
	if w, ok := got.Value.([]written); ok && len(w) == 1 && found == "" {
		found = w[0].Err.Code
	}
	if found != code {
		s.t.Errorf("%s: both answer %+v, want the code %q", what, got, code)
	}
}

func TestSidesChangedCustomers(t *testing.T) {
	t.Parallel()
	s := newSides(t, setting{storeAhead: 3 * time.Second, shop: shop.Config{SearchLag: 10 * time.Second}})
	s.ask("nobody is there", changed(time.Time{}, ""))
	const people = 520
	for n := range people {
		s.customer(fmt.Sprintf("person%d@example.com", n), []shop.State{shop.Subscribed, shop.Unsubscribed, ""}[n%3], time.Time{})
		if n%100 == 0 {
			s.time.advance(1500 * time.Millisecond)
		}
	}
	s.ask("within the lag", changed(time.Time{}, ""))
	s.later(11 * time.Second)
	read := func(what string, since time.Time) (rows, pages int) {
		t.Helper()
		for cursor := ""; ; pages++ {
			page := s.ask(what, changed(since, cursor)).Value.(shopify.ChangePage)
			if rows += len(page.Changes); page.Next == "" {
				return rows, pages + 1
			}
			cursor = page.Next
		}
	}
	if rows, pages := read("all", time.Time{}); rows != people || pages != 3 {
		t.Errorf("%d rows on %d pages, want %d on 3", rows, pages, people)
	}
	since := noon.Add(3*time.Second + 1500*time.Millisecond)
	for _, d := range []time.Duration{-time.Second, 0, 300 * time.Millisecond, 999 * time.Millisecond, time.Second, time.Minute} {
		read(fmt.Sprintf("since %s", d), since.Add(d))
	}
	s.prepare(func(tw *twin) error { return tw.store.DeleteCustomer("gid://shopify/Customer/7") })
	s.prepare(func(tw *twin) error {
		return tw.store.SetEmailConsent("gid://shopify/Customer/9", shop.Unsubscribed, time.Time{})
	})
	read("a change that search does not see", time.Time{})
	s.later(time.Minute)
	read("and sees", time.Time{})
	s.wants("a broken cursor", s.ask("a broken cursor", changed(time.Time{}, "nonsense")), shopify.CodeBadCursor)
}

func TestSidesPagingEnd(t *testing.T) {
	t.Parallel()
	for _, isError := range []bool{false, true} {
		t.Run(fmt.Sprint(isError), func(t *testing.T) {
			t.Parallel()
			s := newSides(t, setting{shop: shop.Config{Switches: shop.Switches{PagingEndIsError: isError}}})
			s.customer("a@example.com", "", time.Time{})
			s.customer("b@example.com", "", time.Time{})
			// A cursor of the sandbox's: 24,999 customers came before the first of these.
			last := s.ask("the last page", changed(time.Time{}, "eyJsYXN0X2lkIjoxLCJsYXN0X3ZhbHVlIjoxLCJwYXNzZWQiOjI0OTk5fQ==")).Value.(shopify.ChangePage)
			if len(last.Changes) != 1 || last.Next != "" {
				t.Errorf("the last page has %+v, want one customer and no next page", last)
			}
			s.ask("beyond it", changed(time.Time{}, "eyJsYXN0X2lkIjoxLCJsYXN0X3ZhbHVlIjoxLCJwYXNzZWQiOjI1MDAwfQ=="))
		})
	}
}

func TestSidesCustomers(t *testing.T) {
	t.Parallel()
	s := newSides(t, setting{shop: shop.Config{SearchLag: time.Hour}})
	var ids []shopify.CustomerID
	var emails []string
	for n := range 260 {
		email := fmt.Sprintf("Person%d@Example.com", n)
		emails = append(emails, strings.ToLower(email))
		ids = append(ids, s.customer(email, []shop.State{shop.Subscribed, shop.Unsubscribed, shop.Pending, shop.Invalid, ""}[n%5], noon.Add(-time.Hour)))
	}
	withoutEmail := s.customer("", "", time.Time{})
	s.prepare(func(tw *twin) error { return tw.store.DeleteCustomer(shop.CustomerID(ids[3])) })
	unknown := shopify.CustomerID("gid://shopify/Customer/999999")
	for what, call := range map[string]question{
		"no ids":                    byID(),
		"one, twice":                byID(ids[0], ids[0]),
		"unknown and deleted":       byID(ids[1], unknown, ids[3], withoutEmail),
		"only unknown":              byID(unknown),
		"a number beyond all":       byID("gid://shopify/Customer/99999999999999999999"),
		"more than a request holds": byID(append(slices.Clone(ids), unknown, withoutEmail)...),
		"an id of something else":   byID(ids[0], "gid://shopify/Order/1"),
		"an empty id":               byID(""),
		"no addresses":              byEmail(),
		"another case, and spaces":  byEmail("PERSON1@example.COM", " person2@example.com "),
		"blank and unknown":         byEmail("", "person5@example.com", " \t", "nobody@example.com", "person3@example.com"),
		"only blank":                byEmail("", " "),
		"addresses for requests":    byEmail(append([]string{"nobody@example.com", ""}, emails...)...),
		"no address at all":         byEmail(`"; } mutation`, "person1", "ü@example.com"),
	} {
		s.ask(what, call)
	}
}

func TestSidesOrders(t *testing.T) {
	t.Parallel()
	for _, tokenised := range []bool{false, true} {
		t.Run(fmt.Sprintf("tokenised %t", tokenised), func(t *testing.T) {
			t.Parallel()
			s := newSides(t, setting{shop: shop.Config{SearchLag: 20 * time.Second, Switches: shop.Switches{TokenisedEmailSearch: tokenised}}})
			place := func(order shop.Order) {
				t.Helper()
				s.prepare(func(tw *twin) error { _, err := tw.store.PlaceOrder(order); return err })
			}
			ann := s.customer("ann@example.com", shop.Subscribed, time.Time{})
			bob := s.customer("bob@example.com", shop.Subscribed, time.Time{})
			gone := s.customer("gone@example.com", shop.Subscribed, time.Time{})
			// Out of order, of every kind, and more than a page; ids do not tell dates.
			for n := range 34 {
				place(shop.Order{CustomerID: shop.CustomerID(ann), CreatedAt: noon.Add(-time.Duration(n*7%34) * time.Second), Test: n%5 == 0,
					SourceName: []string{"", "pos"}[n%2]})
			}
			for n := range 23 {
				place(shop.Order{Email: []string{"guest@example.com", "GUEST@example.com", "x.guest@example.com"}[n%3], CreatedAt: noon.Add(-time.Duration(n) * time.Second)})
			}
			place(shop.Order{CustomerID: shop.CustomerID(ann), Email: "other@example.com", CreatedAt: noon})
			place(shop.Order{CustomerID: shop.CustomerID(bob), Email: "ann@example.com", CreatedAt: noon.Add(-40 * time.Second)})
			place(shop.Order{Email: `o"ne\il@example.com`, CreatedAt: noon})
			place(shop.Order{CustomerID: shop.CustomerID(gone), CreatedAt: noon})
			place(shop.Order{CustomerID: shop.CustomerID(bob), CreatedAt: noon.Add(-61 * 24 * time.Hour)}) // older than the app may see
			s.prepare(func(tw *twin) error { return tw.store.CancelOrder("gid://shopify/Order/3") })
			s.prepare(func(tw *twin) error { return tw.store.DeleteCustomer(shop.CustomerID(gone)) })
			of := func(customer shopify.CustomerID, email string, from, to time.Duration) shopify.OrderLookup {
				return shopify.OrderLookup{Customer: customer, Email: email, From: noon.Add(from), To: noon.Add(to)}
			}
			const long, soon = -100 * 24 * time.Hour, time.Hour
			s.ask("within the lag", ordersOf(of(ann, "ann@example.com", long, soon)))
			s.later(21 * time.Second)
			found := s.ask("pages of a customer", ordersOf(of(ann, "", long, soon))).Value.([][]shopify.Order)
			if len(found[0]) != 35 {
				t.Errorf("%d orders of one who has 35", len(found[0]))
			}
			found = s.ask("pages of a guest", ordersOf(of("", "guest@example.com", long, soon))).Value.([][]shopify.Order)
			if len(found[0]) != 16 {
				t.Errorf("%d orders of a guest who has 16", len(found[0]))
			}
			many := make([]shopify.OrderLookup, 120)
			for n := range many {
				many[n] = of([]shopify.CustomerID{ann, bob, "", gone}[n%4], []string{"guest@example.com", "", "ann@example.com"}[n%3], -time.Duration(n)*time.Second, soon)
			}
			for what, lookups := range map[string][]shopify.OrderLookup{
				"nobody":               {},
				"neither":              {of("", " ", long, soon)},
				"by both":              {of(ann, "ann@example.com", long, soon), of(bob, "bob@example.com", long, soon)},
				"of a guest, spelled":  {of("", " Guest@Example.COM ", long, soon)},
				"of a longer address":  {of("", "x.guest@example.com", long, soon)},
				"quotes and backslash": {of("", `o"ne\il@example.com`, long, soon)},
				"of the deleted":       {of(gone, "gone@example.com", long, soon)},
				"of nobody":            {of("gid://shopify/Customer/777", "nobody@example.com", long, soon)},
				"to the edge":          {of(ann, "", -10*time.Second, -5*time.Second)},
				"beside the edges":     {of(ann, "", -10*time.Second+time.Millisecond, -5*time.Second-time.Millisecond)},
				"a fraction inside":    {of(ann, "", -10*time.Second-time.Millisecond, -5*time.Second+time.Millisecond)},
				"an instant":           {of(ann, "", 0, 0)},
				"turned round":         {of(ann, "", 0, -time.Minute)},
				"no span":              {{Customer: ann}, of(bob, "", long, soon)},
				"no customer's id":     {of("gid://shopify/Order/1", "", long, soon), of(bob, "", long, soon)},
				"many":                 many,
			} {
				s.ask(what, ordersOf(lookups...))
			}
			// The merge moves orders at once, and search sees it late.
			s.prepare(func(tw *twin) error {
				_, err := tw.store.MergeCustomers(shop.CustomerID(ann), shop.CustomerID(bob))
				return err
			})
			s.ask("after a merge that search has not seen", ordersOf(of(ann, "", long, soon), of(bob, "bob@example.com", long, soon)))
			s.later(time.Minute)
			s.ask("after a merge", ordersOf(of(ann, "ann@example.com", long, soon), of(bob, "", long, soon)))
		})
	}
}

func TestSidesConsents(t *testing.T) {
	t.Parallel()
	for name, switches := range map[string]shop.Switches{
		"as observed": {},
		"the others": {
			TakeOlderWrites: true, TakeEqualDateWrites: true, SameStateMovesDate: true, SameStateKeepsUpdatedAt: true, FutureTolerance: time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSides(t, setting{at: noon.Add(500 * time.Millisecond), shop: shop.Config{Switches: switches}})
			held := noon.Add(-time.Hour)
			ann := s.customer("ann@example.com", shop.Subscribed, held)
			bob := s.customer("bob@example.com", "", time.Time{})
			withoutEmail := s.customer("", "", time.Time{})
			gone := s.customer("gone@example.com", shop.Subscribed, held)
			s.prepare(func(tw *twin) error { return tw.store.DeleteCustomer(shop.CustomerID(gone)) })
			one := func(id shopify.CustomerID, state shopify.ConsentState, at time.Time) shopify.ConsentWrite {
				return shopify.ConsentWrite{Customer: id, State: state, At: at}
			}
			tooMany := make([]shopify.ConsentWrite, shopify.MaxWrites+1)
			for n := range tooMany {
				tooMany[n] = one(ann, shopify.Subscribed, held)
			}
			for _, step := range []struct {
				what   string
				writes []shopify.ConsentWrite
			}{
				{"nothing", nil},
				{"an older date", []shopify.ConsentWrite{one(ann, shopify.Unsubscribed, held.Add(-time.Second))}},
				{"an equal date", []shopify.ConsentWrite{one(ann, shopify.Unsubscribed, held)}},
				{"an equal date but for a fraction", []shopify.ConsentWrite{one(ann, shopify.Unsubscribed, held.Add(900*time.Millisecond))}},
				{"the same state, earlier", []shopify.ConsentWrite{one(ann, shopify.Subscribed, held.Add(-time.Minute))}},
				{"the same state, later", []shopify.ConsentWrite{one(ann, shopify.Subscribed, held.Add(time.Minute))}},
				{"a newer date", []shopify.ConsentWrite{one(ann, shopify.Unsubscribed, held.Add(2*time.Minute).In(time.FixedZone("", 3600)))}},
				{"a date of this second", []shopify.ConsentWrite{one(ann, shopify.Subscribed, noon.Add(800*time.Millisecond))}},
				{"a future date", []shopify.ConsentWrite{one(ann, shopify.Unsubscribed, noon.Add(time.Second))}},
				{"a far future date", []shopify.ConsentWrite{one(ann, shopify.Unsubscribed, noon.Add(time.Hour))}},
				{"one who was never asked", []shopify.ConsentWrite{one(bob, shopify.Unsubscribed, held)}},
				{"one who was deleted", []shopify.ConsentWrite{one(gone, shopify.Subscribed, held)}},
				{"one without an address", []shopify.ConsentWrite{one(withoutEmail, shopify.Subscribed, held)}},
				{"many, one of them twice", []shopify.ConsentWrite{
					one(ann, shopify.Unsubscribed, noon), one(gone, shopify.Subscribed, held), one(ann, shopify.Subscribed, noon), one(bob, shopify.Subscribed, noon.Add(time.Hour)),
				}},
				{"a state that cannot be written", []shopify.ConsentWrite{one(ann, shopify.NotSubscribed, held)}},
				{"no date", []shopify.ConsentWrite{one(bob, shopify.Subscribed, held), one(ann, shopify.Subscribed, time.Time{})}},
				{"no customer", []shopify.ConsentWrite{one("", shopify.Subscribed, held)}},
				{"as many as fit", tooMany[:shopify.MaxWrites]},
				{"too many", tooMany},
			} {
				s.ask(step.what, update(step.writes...))
				s.later(time.Millisecond)
			}
			s.wants("deleted", s.ask("one who was deleted", update(one(gone, shopify.Subscribed, held))), shopify.CodeCustomerNotFound)
			s.wants("future", s.ask("a future date", update(one(ann, shopify.Unsubscribed, noon.Add(time.Hour)))), shopify.CodeFutureDate)
		})
	}
}

func TestSidesNewCustomers(t *testing.T) {
	t.Parallel()
	s := newSides(t, setting{at: noon.Add(500 * time.Millisecond)})
	s.customer("taken@example.com", "", time.Time{})
	tooLong := strings.Repeat("x", 250) + "@example.com"
	for _, step := range []struct {
		what, email, code string
		at                time.Time
	}{
		{"new", "new@example.com", "", noon.Add(-time.Hour)},
		{"new in this second", "second@example.com", "", noon.Add(900 * time.Millisecond)},
		{"spelled in capitals, with spaces", " New2@Example.com ", "", noon.Add(-time.Hour)},
		{"taken", "taken@example.com", shopify.CodeTaken, noon.Add(-time.Hour)},
		{"taken, in capitals", "TAKEN@example.com", shopify.CodeTaken, noon.Add(-time.Hour)},
		{"taken by ourselves", "new@example.com", shopify.CodeTaken, noon},
		{"invalid", "not an address", shopify.CodeEmailInvalid, noon},
		{"too long", tooLong, shopify.CodeEmailTooLong, noon},
		{"of the future", "future@example.com", shopify.CodeFutureDate, noon.Add(time.Hour)},
		{"taken and of the future", "taken@example.com", shopify.CodeTaken, noon.Add(time.Hour)},
		{"blank", " ", "", noon},
		{"undated", "undated@example.com", "", time.Time{}},
	} {
		s.wants(step.what, s.ask(step.what, create(shopify.NewCustomer{Email: step.email, At: step.at})), step.code)
	}
	var many []shopify.NewCustomer
	for n := range shopify.MaxWrites + 1 {
		many = append(many, shopify.NewCustomer{Email: fmt.Sprintf("many%d@example.com", n%45), At: noon})
	}
	s.ask("none", create())
	s.ask("too many", create(many...))
	s.ask("as many as fit, some of them twice", create(many[:shopify.MaxWrites]...))
}

func TestSidesReserve(t *testing.T) {
	t.Parallel()
	s := newSides(t, setting{})
	for _, points := range []int{-1, 0, 550, 1000, 1001} {
		s.ask(fmt.Sprint(points), func(ctx context.Context, tw *twin) (any, error) { return nil, tw.shopify.Reserve(ctx, points) })
	}
	s.ask("a slot", func(ctx context.Context, tw *twin) (any, error) { return nil, tw.listrak.Reserve(ctx) })
}

// TestSidesZones reads dates as the list writes them and the merchant's zone reads them, over both changes of the clocks in New York.
func TestSidesZones(t *testing.T) {
	t.Parallel()
	for _, change := range []time.Time{
		time.Date(2026, 3, 8, 7, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC), noon,
	} {
		for _, zone := range []string{"America/New_York", "UTC", "America/Los_Angeles", "Europe/Berlin"} {
			t.Run(change.Format(time.DateOnly)+" "+zone, func(t *testing.T) {
				t.Parallel()
				s := newSides(t, setting{at: change.Add(6 * time.Hour), zone: zone, list: list.Config{ClockSkew: 1234 * time.Millisecond}})
				var moments []time.Time
				for n := -10; n <= 10; n++ {
					moments = append(moments, change.Add(time.Duration(n)*15*time.Minute), change.Add(time.Duration(n)*15*time.Minute+345*time.Millisecond))
				}
				for n, at := range moments {
					email := fmt.Sprintf("p%d@example.com", n)
					s.prepare(func(tw *twin) error { return tw.list.Subscribe(email, at, "") })
					if n%3 == 0 {
						s.prepare(func(tw *twin) error { return tw.list.Unsubscribe(email, at.Add(20*time.Minute), "") })
					}
					if n%6 == 0 {
						s.prepare(func(tw *twin) error { return tw.list.Subscribe(email, at.Add(40*time.Minute), "") })
					}
					s.ask(email, contact(email))
				}
				for _, state := range []listrak.State{listrak.Subscribed, listrak.Unsubscribed} {
					s.ask("all", contacts(state, time.Time{}, ""))
					for _, at := range moments {
						s.ask(fmt.Sprintf("%s since %s", state, at), contacts(state, at, ""))
					}
				}
			})
		}
	}
}

func TestSidesContacts(t *testing.T) {
	t.Parallel()
	s := newSides(t, setting{list: list.Config{ClockSkew: -7 * time.Second}})
	const people = list.MaxCount + 3
	for n := range people {
		email := fmt.Sprintf("p%d@example.com", n)
		s.prepare(func(tw *twin) error {
			return tw.list.Subscribe(email, noon.Add(-time.Duration(n)*time.Second), list.MethodImport)
		})
		if n%100 == 0 {
			s.prepare(func(tw *twin) error { return tw.list.Unsubscribe(email, noon.Add(-time.Minute), list.MethodBounce) })
		}
		if n%200 == 0 {
			s.prepare(func(tw *twin) error { return tw.list.Subscribe(email, time.Time{}, "") })
		}
	}
	for n := range 60 {
		s.prepare(func(tw *twin) error { return tw.list.Subscribe(fmt.Sprintf("more%d@example.com", n), time.Time{}, "") })
	}
	first := s.ask("the first page", contacts(listrak.Subscribed, time.Time{}, "")).Value.(listrak.ContactPage)
	second := s.ask("the second page", contacts(listrak.Subscribed, time.Time{}, first.Next)).Value.(listrak.ContactPage)
	if len(first.Contacts) != list.MaxCount || len(second.Contacts) != 38 || second.Next != "" {
		t.Errorf("pages of %d and %d contacts, want %d and 38", len(first.Contacts), len(second.Contacts), list.MaxCount)
	}
	s.ask("those who left", contacts(listrak.Unsubscribed, time.Time{}, ""))
	for _, d := range []time.Duration{-time.Minute, -time.Second, -time.Millisecond, 0, time.Hour} {
		s.ask("since "+d.String(), contacts(listrak.Subscribed, noon.Add(-7*time.Second+d), ""))
	}
	s.ask("pending", contacts(listrak.Pending, time.Time{}, ""))
	for what, call := range map[string]question{
		"a broken cursor":             contacts(listrak.Subscribed, time.Time{}, "nonsense"),
		"a cursor of another state":   contacts(listrak.Unsubscribed, time.Time{}, first.Next),
		"a cursor of another filter":  contacts(listrak.Subscribed, noon, first.Next),
		"a cursor, and another since": contacts(listrak.Unsubscribed, noon.Add(-time.Hour), first.Next),
	} {
		if got := s.ask(what, call); !got.Err.CursorLost {
			t.Errorf("%s: both answer %+v, want that the cursor is lost", what, got)
		}
	}
}

func TestSidesContact(t *testing.T) {
	t.Parallel()
	for _, hidden := range []bool{false, true} {
		t.Run(fmt.Sprintf("hide pending %t", hidden), func(t *testing.T) {
			t.Parallel()
			s := newSides(t, setting{list: list.Config{DoubleOptIn: true, HidePending: hidden}})
			s.ask("unknown, and the list was never seen", contact("nobody@example.com"))
			for _, email := range []string{"in@example.com", "Out@Example.com", "pending@example.com"} {
				s.prepare(func(tw *twin) error { return tw.list.Subscribe(email, time.Time{}, "") })
			}
			for _, email := range []string{"in@example.com", "Out@Example.com"} {
				s.prepare(func(tw *twin) error { return tw.list.Confirm(email) })
			}
			s.later(time.Minute)
			s.prepare(func(tw *twin) error { return tw.list.Unsubscribe("out@example.com", time.Time{}, list.MethodHygiene) })
			for _, email := range []string{
				"in@example.com", "IN@example.com", " in@example.com ", "out@example.com", "pending@example.com", "nobody@example.com",
				"o'neil+news@example.com", "", ".", "..", "\xff@example.com",
			} {
				s.ask("contact "+email, contact(email))
			}
			known, _ := s.wire.list.Contact("in@example.com")
			if got := s.ask("by key", contact(known.EmailKey)); !got.Value.(struct {
				Contact listrak.Contact
				Found   bool
			}).Found {
				t.Errorf("both find nobody by the key %s", known.EmailKey)
			}
			s.ask("by key in lower case", contact(strings.ToLower(known.EmailKey)))
			s.prepare(func(tw *twin) error { return tw.list.Delete("in@example.com") })
			s.ask("by the key of one who is gone", contact(known.EmailKey))
			s.later(2 * time.Minute)
			s.ask("unknown, and the list was not seen lately", contact("nobody@example.com"))
		})
	}
}

func TestSidesListWrites(t *testing.T) {
	t.Parallel()
	for _, same := range []list.SameState{list.MovesDates, list.AnswersError, list.KeepsDates} {
		for _, doubleOptIn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, double opt-in %t", same, doubleOptIn), func(t *testing.T) {
				t.Parallel()
				s := newSides(t, setting{list: list.Config{SameState: same, ClockSkew: 5 * time.Second}})
				for _, email := range []string{"in@example.com", "out@example.com", "banned-in@example.com", "banned-out@example.com"} {
					s.prepare(func(tw *twin) error { return tw.list.Subscribe(email, noon.Add(-time.Hour), "") })
					if strings.Contains(email, "out") {
						s.prepare(func(tw *twin) error { return tw.list.Unsubscribe(email, noon.Add(-time.Minute), "") })
					}
				}
				for email, why := range map[string]list.Refusal{
					"banned@example.com": list.Banned, "suppressed@example.com": list.Suppressed, "invalid@example.com": list.Invalid,
					"banned-in@example.com": list.Banned, "banned-out@example.com": list.Suppressed,
				} {
					s.prepare(func(tw *twin) error { return tw.list.Refuse(email, why) })
				}
				s.prepare(func(tw *twin) error {
					return tw.list.Configure(func(c *list.Config) { c.DoubleOptIn = doubleOptIn })
				})
				for _, email := range []string{
					"new@example.com", "in@example.com", "out@example.com", "OUT@example.com", "banned@example.com", "suppressed@example.com",
					"invalid@example.com", "banned-in@example.com", "banned-out@example.com", "not an address", " spaces@example.com ",
					"stranger&co@example.com", "a/b@example.com", "", "\xff@example.com",
				} {
					steps := []struct {
						what string
						call question
					}{
						{"unsubscribe", unsubscribe(email)},
						{"subscribe", subscribe(email, listrak.SubscribeOptions{})},
						{"subscribe with an event", subscribe(email, listrak.SubscribeOptions{EventIDs: []int{marketingEvent}, ExternalID: "gid://shopify/Customer/1"})},
						{"unsubscribe", unsubscribe(email)},
						{"unsubscribe again", unsubscribe(email)},
						{"subscribe with an event", subscribe(email, listrak.SubscribeOptions{EventIDs: []int{checkoutEvent}})},
						{"override", subscribe(email, listrak.SubscribeOptions{EventIDs: []int{marketingEvent, checkoutEvent, marketingEvent}, Override: true})},
						{"override again", subscribe(email, listrak.SubscribeOptions{EventIDs: []int{checkoutEvent}, Override: true, ExternalID: "2"})},
						{"an event that is blocked", subscribe(email, listrak.SubscribeOptions{EventIDs: []int{33}})},
						{"an event that is none", subscribe(email, listrak.SubscribeOptions{EventIDs: []int{marketingEvent, 44}, Override: true})},
						{"unsubscribe", unsubscribe(email)},
					}
					for _, step := range steps {
						s.ask(step.what+" "+email, step.call)
						s.later(1100 * time.Millisecond)
					}
					if doubleOptIn && email == "new@example.com" {
						s.prepare(func(tw *twin) error { return tw.list.Confirm(email) })
						for _, step := range steps {
							s.ask("confirmed, "+step.what+" "+email, step.call)
						}
					}
				}
				s.wants("banned", s.ask("banned", subscribe("banned@example.com", listrak.SubscribeOptions{})), list.CodeBanned)
				s.wants("suppressed", s.ask("suppressed", subscribe("suppressed@example.com", listrak.SubscribeOptions{})), list.CodeSuppressed)
				s.wants("invalid", s.ask("invalid", subscribe("invalid@example.com", listrak.SubscribeOptions{EventIDs: []int{marketingEvent}})), list.CodeInvalidParameter)
			})
		}
	}
}

// faultyCalls are calls that a fault strikes, by the operation that rules name them.
func faultyCalls(s *sides) map[string]question {
	const address = "ann@example.com"
	ann := s.customer(address, shop.Unsubscribed, noon.Add(-time.Hour))
	s.prepare(func(tw *twin) error { return tw.list.Subscribe(address, noon.Add(-time.Hour), "") })
	s.prepare(func(tw *twin) error { _, err := tw.store.PlaceOrder(shop.Order{Email: address}); return err })
	span := shopify.OrderLookup{From: noon.Add(-time.Hour), To: noon.Add(time.Hour)}
	ofCustomer, ofEmail := span, span
	ofCustomer.Customer, ofEmail.Email = ann, address
	return map[string]question{
		"customers":                           changed(time.Time{}, ""),
		"nodes":                               byID(ann),
		"customerByIdentifier":                byEmail("", address, "nobody@example.com"),
		"customer":                            ordersOf(ofCustomer, span, ofEmail),
		"orders":                              ordersOf(ofCustomer, ofEmail),
		"customerEmailMarketingConsentUpdate": update(shopify.ConsentWrite{Customer: ann, State: shopify.Subscribed, At: noon}),
		"customerCreate":                      create(shopify.NewCustomer{Email: "new@example.com", At: noon}),
		"GET Contacts":                        contacts(listrak.Subscribed, time.Time{}, ""),
		"GET Contact":                         contact(address),
		"POST Contact":                        unsubscribe(address),
	}
}

var faults = []fault.Kind{
	fault.ServerError, fault.HTMLError, fault.TooManyRequests, fault.Throttled, fault.TimeoutBefore, fault.TimeoutAfter, fault.ErrorAfter, fault.Latency,
}

func TestSidesFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range faults {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := newSides(t, setting{})
			calls := faultyCalls(s)
			// Both clients have their tokens, so that the fault strikes the call itself.
			s.ask("a token", byID("gid://shopify/Customer/1"))
			s.ask("a token", contact("ann@example.com"))
			for operation, call := range calls {
				s.prepare(func(tw *twin) error {
					rule := fault.Rule{Operation: operation, Kind: kind, Times: 1}
					tw.store.Faults.Set(1, rule)
					tw.list.Faults.Set(1, rule)
					return nil
				})
				if kind == fault.TimeoutBefore || kind == fault.TimeoutAfter {
					s.hung = make(chan struct{}, 1)
				}
				what := fmt.Sprintf("%s at %s", kind, operation)
				got, bare := s.both(what, call)
				s.hung = nil
				if kind == fault.Latency {
					// It takes time in the simulation, so that what bears a time differs.
					got.Value, bare.Value = nil, nil
				}
				if diff := cmp.Diff(got, bare, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: the simulation answers (+) otherwise than the client gets from the server (-):\n%s", what, diff)
				}
				if kind == fault.Latency {
					continue
				}
				s.compare(what)
				if got.Err.Class == 0 {
					t.Errorf("%s: both answer %+v, want a failure", what, got)
				}
				s.ask("without a fault: "+operation, call)
			}
		})
	}
}

// TestSidesFollowingCalls strikes the calls that a client makes by itself: further pages and chunks, and the questions by which it finds
// out what a refusal means.
func TestSidesFollowingCalls(t *testing.T) {
	t.Parallel()
	var ids []shopify.CustomerID
	var emails []string
	var lookups []shopify.OrderLookup
	for n := range 130 {
		ids = append(ids, shopify.CustomerID(fmt.Sprintf("gid://shopify/Customer/%d", 1+n)), "gid://shopify/Customer/1")
		emails = append(emails, fmt.Sprintf("p%d@example.com", n))
		lookups = append(lookups, shopify.OrderLookup{Email: emails[n], Customer: ids[2*(n%2)], From: noon.Add(-time.Hour), To: noon.Add(time.Hour)})
	}
	for name, c := range map[string]struct {
		operation string
		// after is how many calls of the operation go well before one fails.
		after int
		call  question
		// seen is how long ago the list answered; zero means never.
		seen time.Duration
	}{
		"the second chunk of ids":        {"nodes", 1, byID(ids...), 0},
		"the second chunk of addresses":  {"customerByIdentifier", 1, byEmail(append([]string{""}, emails...)...), 0},
		"the second chunk of customers":  {"customer", 1, ordersOf(lookups...), 0},
		"the second chunk of guests":     {"orders", 1, ordersOf(lookups...), 0},
		"the second page of a customer":  {"customer", 1, ordersOf(lookups[0], lookups[1]), 0},
		"the second page of a guest":     {"orders", 1, ordersOf(lookups[0], lookups[1]), 0},
		"whether there is a list":        {"GET Contacts", 0, contact("nobody@example.com"), 0},
		"whether there is still a list":  {"GET Contacts", 0, contact("nobody@example.com"), 61 * time.Second},
		"that there is a list is known":  {"GET Contacts", 0, contact("nobody@example.com"), time.Minute},
		"whether there are such events":  {"GET Events", 0, subscribe("not an address", listrak.SubscribeOptions{EventIDs: []int{marketingEvent}}), 0},
		"no question without the reason": {"GET Events", 0, subscribe("not an address", listrak.SubscribeOptions{}), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSides(t, setting{})
			for n := range 130 {
				s.customer(emails[n], shop.Subscribed, noon.Add(-time.Hour))
			}
			for n := range 25 {
				s.prepare(func(tw *twin) error {
					_, err := tw.store.PlaceOrder(shop.Order{Email: emails[0], CreatedAt: noon.Add(-time.Duration(n) * time.Second)})
					return err
				})
			}
			if c.seen > 0 {
				s.ask("the list answers", contact("nobody@example.com"))
				s.later(c.seen)
			}
			s.prepare(func(tw *twin) error {
				var rules []fault.Rule
				if c.after > 0 {
					rules = append(rules, fault.Rule{Operation: c.operation, Kind: fault.Latency, Times: c.after})
				}
				rules = append(rules, fault.Rule{Operation: c.operation, Kind: fault.ServerError})
				tw.store.Faults.Set(1, rules...)
				tw.list.Faults.Set(1, rules...)
				return nil
			})
			s.ask(name, c.call)
			if wire, bare := s.wire.struck(), s.bare.struck(); wire != bare {
				t.Errorf("%d calls were struck over HTTP and %d in the simulation", wire, bare)
			}
		})
	}
}

func (tw *twin) struck() int {
	return tw.store.Faults.Struck()[fault.ServerError] + tw.list.Faults.Struck()[fault.ServerError]
}

// TestSidesEndedContext: a call whose time is up before it leaves has surely done nothing. The code says who noticed, and is the one thing
// that differs: Shopify's client waits for its budget first.
func TestSidesEndedContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, reserved := range []bool{false, true} {
		s := newSides(t, setting{})
		calls := faultyCalls(s)
		s.ask("a token", byID("gid://shopify/Customer/1"))
		s.ask("a token", contact("ann@example.com"))
		if reserved {
			// A write whose budget is reserved does not look at the clock once more.
			s.ask("reserve", func(ctx context.Context, tw *twin) (any, error) { return nil, tw.shopify.Reserve(ctx, 22) })
			s.ask("reserve", func(ctx context.Context, tw *twin) (any, error) { return nil, tw.listrak.Reserve(ctx) })
		}
		withoutCodes := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Code" }, cmp.Ignore())
		for operation, call := range calls {
			value, err := call(ctx, &s.wire)
			wire, bare := answer{value, mistakeOf(err)}, s.alone(ctx, call)
			if diff := cmp.Diff(wire, bare, cmpopts.EquateEmpty(), withoutCodes); diff != "" {
				t.Errorf("%s, reserved %t: the simulation answers (+) otherwise than the client (-):\n%s", operation, reserved, diff)
			}
			if wire.Err.Class != failure.Retry || wire.Err.MaybeDone {
				t.Errorf("%s, reserved %t: both answer %+v, want that nothing was done", operation, reserved, wire.Err)
			}
			s.compare(operation)
		}
	}
}

// TestSidesAnyHistory plays random acts and calls on both ways.
func TestSidesAnyHistory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		one := func(name string) bool { return rapid.Bool().Draw(t, name) }
		s := newSides(t, setting{
			at:         rapid.SampledFrom([]time.Time{noon, time.Date(2026, 11, 1, 5, 30, 0, 0, time.UTC), time.Date(2026, 3, 8, 6, 30, 0, 0, time.UTC)}).Draw(t, "start"),
			zone:       rapid.SampledFrom([]string{"America/New_York", "Europe/Berlin"}).Draw(t, "zone"),
			storeAhead: time.Duration(rapid.IntRange(-5, 5).Draw(t, "store ahead")) * time.Second,
			shop: shop.Config{SearchLag: time.Duration(rapid.IntRange(0, 2).Draw(t, "lag")) * 40 * time.Second, Switches: shop.Switches{
				SameStateMovesDate: one("same state moves"), TakeEqualDateWrites: one("equal dates"), SameStateKeepsUpdatedAt: one("keeps updated at"),
				EmailChangeResetsConsent: one("reset"), MergeKeepsNewestConsent: one("merge"), TokenisedEmailSearch: one("tokenised"),
			}},
			list: list.Config{
				SameState:   rapid.SampledFrom([]list.SameState{list.MovesDates, list.AnswersError, list.KeepsDates}).Draw(t, "same state"),
				DoubleOptIn: one("double opt-in"), ClockSkew: time.Duration(rapid.IntRange(-9, 9).Draw(t, "skew")) * 700 * time.Millisecond,
			},
		})
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			s.step(t)
		}
	})
}

// step is one random act or call.
func (s *sides) step(t *rapid.T) {
	address := rapid.SampledFrom([]string{"a@example.com", "b@example.com", "A@Example.com", "c.a@example.com", " b@example.com", "c@example.com"})
	email, other := address.Draw(t, "address"), address.Draw(t, "other")
	moment := func(name string) time.Time {
		return s.time.Now().Add(time.Duration(rapid.IntRange(-400, 20).Draw(t, name)) * 500 * time.Millisecond)
	}
	id := func(name string) shopify.CustomerID {
		return shopify.CustomerID(fmt.Sprintf("gid://shopify/Customer/%d", rapid.IntRange(1, 8).Draw(t, name)))
	}
	events := rapid.SampledFrom([][]int{nil, {marketingEvent}, {checkoutEvent}, {33}}).Draw(t, "events")
	yes := rapid.Bool().Draw(t, "yes")
	state, word, asked := shopify.Unsubscribed, shop.Unsubscribed, listrak.Unsubscribed
	if yes {
		state, word, asked = shopify.Subscribed, shop.Subscribed, listrak.Subscribed
	}
	switch rapid.IntRange(0, 21).Draw(t, "step") {
	case 0, 1:
		s.later(time.Duration(rapid.SampledFrom([]int{7, 999, 1000, 30_000, 61_000, 1_800_000}).Draw(t, "span")) * time.Millisecond)
	case 2:
		at := moment("date")
		s.act(fmt.Sprintf("%q signs up at Shopify as %s of %s", email, word, at), func(tw *twin) error {
			_, err := tw.store.CreateCustomer(shop.NewCustomer{Email: email, Consent: shop.Consent{State: word, UpdatedAt: at}})
			return err
		})
	case 3:
		who := id("who")
		s.act(fmt.Sprintf("%s says %s at Shopify", who, word), func(tw *twin) error {
			return tw.store.SetEmailConsent(shop.CustomerID(who), word, time.Time{})
		})
	case 4:
		who := id("who")
		s.act(fmt.Sprintf("%s changes the address to %q", who, email), func(tw *twin) error { return tw.store.ChangeEmail(shop.CustomerID(who), email) })
	case 5:
		who, whom, merges := id("who"), id("whom"), rapid.Bool().Draw(t, "merges")
		s.act(fmt.Sprintf("%s is merged with %s or deleted: %t", who, whom, merges), func(tw *twin) error {
			if merges {
				_, err := tw.store.MergeCustomers(shop.CustomerID(who), shop.CustomerID(whom))
				return err
			}
			return tw.store.DeleteCustomer(shop.CustomerID(who))
		})
	case 6, 7:
		order := shop.Order{Email: email, CreatedAt: moment("order")}
		if rapid.Bool().Draw(t, "customer") {
			order.CustomerID = shop.CustomerID(id("who"))
		}
		s.act(fmt.Sprintf("an order: %+v", order), func(tw *twin) error { _, err := tw.store.PlaceOrder(order); return err })
	case 8, 9:
		at := moment("date")
		s.act(fmt.Sprintf("%q says %s at Listrak, at %s", email, asked, at), func(tw *twin) error {
			if yes {
				return tw.list.Subscribe(email, at, "")
			}
			return tw.list.Unsubscribe(email, at, "")
		})
	case 10:
		why := rapid.SampledFrom([]list.Refusal{list.NotRefused, list.Banned, list.Invalid}).Draw(t, "why")
		what := rapid.IntRange(0, 2).Draw(t, "what")
		s.act(fmt.Sprintf("Listrak confirms, deletes or refuses %q (%s): %d", email, why, what), func(tw *twin) error {
			switch what {
			case 0:
				return tw.list.Confirm(email)
			case 1:
				return tw.list.Delete(email)
			}
			return tw.list.Refuse(email, why)
		})
	case 11:
		since := moment("since")
		s.ask(fmt.Sprintf("changed since %s", since), changed(since, ""))
	case 12:
		s.ask("changed", changed(time.Time{}, ""))
	case 13:
		s.ask("customers by id", byID(id("one"), id("two")))
	case 14:
		s.ask(fmt.Sprintf("customers of %q and %q", email, other), byEmail(email, other))
	case 15:
		from := moment("from")
		span := shopify.OrderLookup{Customer: id("who"), Email: email, From: from, To: from.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "span")) * time.Second)}
		guest := shopify.OrderLookup{Email: other, From: span.From, To: span.To}
		s.ask(fmt.Sprintf("orders of %+v and %q", span, other), ordersOf(span, guest))
	case 16:
		writes := []shopify.ConsentWrite{{Customer: id("one"), State: state, At: moment("date")}, {Customer: id("two"), State: state, At: moment("other date")}}
		s.ask(fmt.Sprintf("write %+v", writes), update(writes...))
	case 17:
		customers := []shopify.NewCustomer{{Email: email, At: moment("date")}, {Email: other, At: moment("other date")}}
		s.ask(fmt.Sprintf("create %+v", customers), create(customers...))
	case 18:
		since := moment("since")
		s.ask(fmt.Sprintf("%s contacts since %s", asked, since), contacts(asked, since, ""))
	case 19:
		s.ask(fmt.Sprintf("contact %q", email), contact(email))
	case 20:
		options := listrak.SubscribeOptions{EventIDs: events, Override: yes, ExternalID: rapid.SampledFrom([]string{"", "7"}).Draw(t, "external")}
		s.ask(fmt.Sprintf("subscribe %q with %+v", email, options), subscribe(email, options))
	case 21:
		s.ask(fmt.Sprintf("unsubscribe %q", email), unsubscribe(email))
	}
}
