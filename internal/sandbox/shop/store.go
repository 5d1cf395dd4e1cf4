package shop

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/sandbox/fault"
)

// What the person's acts may be refused for. None of them holds an address.
var (
	ErrNoCustomer   = errors.New("no such customer")
	ErrEmailTaken   = errors.New("email has already been taken")
	ErrEmailInvalid = errors.New("email is invalid")
	ErrNoEmail      = errors.New("customer has no email")
	ErrNoOrder      = errors.New("no such order")
	ErrState        = errors.New("not a state that an email address can have")
)

// Store is one Shopify store in memory. Its methods are of two kinds: those that act as the person or the merchant in the
// admin, which always take effect, and those that act as an app through the API, which follow the API's rules. It is safe for
// concurrent use; make it with New and do not copy it.
type Store struct {
	// Faults makes the server misbehave; the Store's own methods never fail because of it. Operations are named by the first root
	// field of a request ("customers", "customerEmailMarketingConsentUpdate", …), the token endpoint by "token".
	Faults fault.Injector
	// WebhookFaults befall webhooks on their way: fault.Lost, Duplicated, Overtaken and Latency. Operations are topics.
	WebhookFaults fault.Injector

	config Config
	budget *budget
	tokens *tokens

	mu             sync.Mutex
	switches       Switches
	customers      map[int64]*customer
	byEmail        map[string]int64
	orders         map[int64]*Order
	lastCustomer   int64
	lastOrder      int64
	customerSearch *search
	orderSearch    *search
	writes         []Write
	requests       map[string]int
	points         map[string]int

	activities      map[string]Activity              // by remote id
	engagements     map[string]map[string]Engagement // by remote id and day
	marketingWrites int
	definitions     map[string]Definition // of customers' metafields, by namespace and key
	metafieldWrites int

	hooks            []func(Event)
	act              uint64
	subscriptions    map[int64]*Subscription // made by the API
	lastSubscription int64
	lastRequest      int64
	deliveries       deliveryBook
}

// New makes an empty store.
func New(config Config) *Store {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Scopes == nil {
		config.Scopes = defaultScopes
	}
	config.Scopes = slices.Clone(config.Scopes)
	if config.Name == "" {
		config.Name = config.Domain
	}
	if config.Zone == "" {
		config.Zone = "America/New_York"
	}
	if config.ServedVersion == "" {
		config.ServedVersion = apiVersion
	}
	rate := config.RestoreRate
	if rate <= 0 {
		rate = config.Plan.restoreRate()
	}
	return &Store{
		config:         config,
		switches:       config.Switches,
		budget:         newBudget(rate, config.Now),
		tokens:         newTokens(config),
		customers:      map[int64]*customer{},
		byEmail:        map[string]int64{},
		orders:         map[int64]*Order{},
		lastCustomer:   config.IDsAfter,
		lastOrder:      config.IDsAfter,
		customerSearch: newSearch(config.SearchLag),
		orderSearch:    newSearch(config.SearchLag),
		requests:       map[string]int{},
		points:         map[string]int{},
		subscriptions:  map[int64]*Subscription{},
		activities:     map[string]Activity{},
		engagements:    map[string]map[string]Engagement{},
		definitions:    map[string]Definition{},
	}
}

// Domain is the store's permanent domain.
func (s *Store) Domain() string { return s.config.Domain }

// Switches are the present ones.
func (s *Store) Switches() Switches {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.switches
}

// SetSwitches changes the unconfirmed behaviours from the next call on.
func (s *Store) SetSwitches(switches Switches) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.switches = switches
}

// SearchLag is how long search does not see a change made now.
func (s *Store) SearchLag() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.customerSearch.lag
}

// SetSearchLag changes the lag of what changes from now on. Search takes changes in their order, so a shorter lag does not let one
// overtake those made before.
func (s *Store) SetSearchLag(lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.customerSearch.lag, s.orderSearch.lag = lag, lag
}

// NewCustomer is a customer to be. Its zero consent means never asked; a consent without Level is SINGLE_OPT_IN, one without a
// date is dated At. A zero At means now; it becomes the customer's createdAt and updatedAt.
type NewCustomer struct {
	Email   string
	Consent Consent
	At      time.Time
}

// CreateCustomer acts as a person who signs up, or as the merchant who enters a customer. An empty email makes a customer without
// one. It returns ErrEmailTaken, ErrEmailInvalid or ErrState.
func (s *Store) CreateCustomer(newcomer NewCustomer) (CustomerID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	at := newcomer.At
	if at.IsZero() {
		at = now
	}
	email := cleanEmail(newcomer.Email)
	if email != "" {
		if emailProblem(email) != "" {
			return "", ErrEmailInvalid
		}
		if _, taken := s.byEmail[emailKey(email)]; taken {
			return "", ErrEmailTaken
		}
	}
	consent := neverAsked()
	if newcomer.Consent.State != "" {
		if email == "" {
			return "", ErrNoEmail
		}
		var err error
		if consent, err = actOfPerson(newcomer.Consent, at); err != nil {
			return "", err
		}
	}
	s.begin()
	return customerID(s.addCustomer(email, consent, at, now).number), nil
}

// addCustomer wants s.mu held and an email that is clean and free.
func (s *Store) addCustomer(email string, consent Consent, at, now time.Time) *customer {
	s.lastCustomer++
	c := &customer{number: s.lastCustomer, email: email, consent: consent, created: wholeSecond(at), updated: wholeSecond(at)}
	s.customers[c.number] = c
	if email != "" {
		s.byEmail[emailKey(email)] = c.number
	}
	s.customerSearch.changed(now, c.number, c.document())
	s.emit(Event{Topic: TopicCustomerCreate, Customer: c.view()})
	if consent != neverAsked() {
		s.emit(Event{Topic: TopicEmailConsent, Customer: c.view()})
	}
	return c
}

// actOfPerson is the consent that a person's act leaves.
func actOfPerson(consent Consent, at time.Time) (Consent, error) {
	switch consent.State {
	case NotSubscribed, Pending, Subscribed, Unsubscribed, Invalid:
	default:
		return Consent{}, fmt.Errorf("%w: %q", ErrState, consent.State)
	}
	if consent.Level == "" {
		consent.Level = SingleOptIn
		if consent.State == Pending {
			consent.Level = ConfirmedOptIn
		}
	}
	if consent.UpdatedAt.IsZero() && consent.State != NotSubscribed {
		consent.UpdatedAt = at
	}
	consent.UpdatedAt = wholeSecond(consent.UpdatedAt)
	return consent, nil
}

// SetEmailConsent acts as the person, or as the merchant in the admin: it always takes effect, and dates the consent at (zero
// means now). Customer.updatedAt becomes now. It returns ErrNoCustomer, ErrNoEmail or ErrState.
func (s *Store) SetEmailConsent(id CustomerID, state State, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err != nil {
		return err
	}
	if c.email == "" {
		return ErrNoEmail
	}
	now := s.config.Now()
	if at.IsZero() {
		at = now
	}
	consent, err := actOfPerson(Consent{State: state, UpdatedAt: at}, at)
	if err != nil {
		return err
	}
	before := c.consent
	c.consent = consent
	s.begin()
	s.touch(c, now)
	s.told(c, before)
	return nil
}

// ChangeEmail acts as the person who changes the address; an empty one takes it away, and the consent with it. What becomes of the
// consent otherwise is Switches.EmailChangeResetsConsent. It returns ErrNoCustomer, ErrEmailTaken or ErrEmailInvalid.
func (s *Store) ChangeEmail(id CustomerID, email string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err != nil {
		return err
	}
	email = cleanEmail(email)
	if email != "" {
		if emailProblem(email) != "" {
			return ErrEmailInvalid
		}
		if holder, taken := s.byEmail[emailKey(email)]; taken && holder != c.number {
			return ErrEmailTaken
		}
	}
	before := c.consent
	sameAddress := emailKey(email) == emailKey(c.email)
	s.releaseEmail(c)
	c.email = email
	if email != "" {
		s.byEmail[emailKey(email)] = c.number
	}
	if email == "" || !sameAddress && s.switches.EmailChangeResetsConsent {
		c.consent = neverAsked()
	}
	s.begin()
	s.touch(c, s.config.Now())
	if c.consent != before {
		s.told(c, before)
	}
	return nil
}

// DeleteCustomer acts as the merchant who deletes a customer. Orders stay, without a customer. It returns ErrNoCustomer.
func (s *Store) DeleteCustomer(id CustomerID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err != nil {
		return err
	}
	s.begin()
	s.remove(c)
	s.emit(Event{Topic: TopicCustomerDelete, Customer: c.view()})
	return nil
}

// Empty deletes all customers, and no webhook tells of it: the store begins anew.
func (s *Store) Empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.customers {
		s.remove(c)
	}
}

// MergeCustomers acts as the merchant who merges two customers and returns the id of the one that stays: the only one with an
// email, else the only one subscribed or pending, else two (contracts/shopify.md 3.6; account states are not modelled). The other
// id stops existing and its orders move. It returns ErrNoCustomer.
func (s *Store) MergeCustomers(one, two CustomerID) (CustomerID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.find(one)
	if err != nil {
		return "", err
	}
	b, err := s.find(two)
	if err != nil {
		return "", err
	}
	if a == b {
		return "", fmt.Errorf("merge a customer with itself: %w", ErrNoCustomer)
	}
	keep, drop := b, a
	switch {
	case (a.email == "") != (b.email == ""):
		if a.email != "" {
			keep, drop = a, b
		}
	case a.wantsMail() && !b.wantsMail():
		keep, drop = a, b
	}
	before := keep.consent
	if s.switches.MergeKeepsNewestConsent && keep.email != "" && drop.consent.UpdatedAt.After(keep.consent.UpdatedAt) {
		keep.consent = drop.consent
	}
	now := s.config.Now()
	for number, order := range s.orders {
		if order.CustomerID == customerID(drop.number) {
			order.CustomerID = customerID(keep.number)
			s.orderSearch.changed(now, number, order.document())
		}
	}
	s.begin()
	s.remove(drop)
	// Whether customers/delete tells of the other one too is not documented; the harder case for an app is that it does not.
	s.emit(Event{Topic: TopicCustomerMerge, Customer: keep.view(), Merged: customerID(drop.number)})
	s.touch(keep, now)
	if keep.consent != before {
		s.told(keep, before)
	}
	return customerID(keep.number), nil
}

func (c *customer) wantsMail() bool {
	return c.consent.State == Subscribed || c.consent.State == Pending
}

// Customer finds a customer by address, ignoring case.
func (s *Store) Customer(email string) (Customer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := emailKey(email)
	if key == "" {
		return Customer{}, false
	}
	c, ok := s.customers[s.byEmail[key]]
	if !ok {
		return Customer{}, false
	}
	return c.view(), true
}

// CustomerByID finds a customer by id.
func (s *Store) CustomerByID(id CustomerID) (Customer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err != nil {
		return Customer{}, false
	}
	return c.view(), true
}

// Customers are all customers, by id.
func (s *Store) Customers() []Customer {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Customer, 0, len(s.customers))
	for _, number := range slices.Sorted(maps.Keys(s.customers)) {
		all = append(all, s.customers[number].view())
	}
	return all
}

// FinishIndexing lets search see every change made so far, however long the lag: for a store that is filled before a test begins.
func (s *Store) FinishIndexing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.customerSearch.finish()
	s.orderSearch.finish()
}

// Requests counts the requests served so far by operation, named as Faults names them; those struck by a fault count too.
func (s *Store) Requests() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requests)
}

func (s *Store) countRequest(operation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[operation]++
}

// Points are the points charged so far by operation, named as Faults names them.
func (s *Store) Points() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.points)
}

func (s *Store) countPoints(operation string, points int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.points[operation] += points
}

// find wants s.mu held.
func (s *Store) find(id CustomerID) (*customer, error) {
	c, ok := s.customers[numberOf(string(id), customerPrefix)]
	if !ok {
		return nil, ErrNoCustomer
	}
	return c, nil
}

// touch wants s.mu held.
func (s *Store) touch(c *customer, now time.Time) {
	c.updated = wholeSecond(now)
	s.customerSearch.changed(now, c.number, c.document())
	s.emit(Event{Topic: TopicCustomerUpdate, Customer: c.view()})
}

// remove wants s.mu held.
func (s *Store) remove(c *customer) {
	s.releaseEmail(c)
	delete(s.customers, c.number)
	s.customerSearch.changed(s.config.Now(), c.number, nil)
}

// releaseEmail wants s.mu held.
func (s *Store) releaseEmail(c *customer) {
	if c.email != "" {
		delete(s.byEmail, emailKey(c.email))
	}
}
