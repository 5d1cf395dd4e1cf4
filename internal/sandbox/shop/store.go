package shop

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/sandbox/fault"
)

// What the person's acts may be refused for. None of them holds an address or a phone number.
var (
	ErrNoCustomer   = errors.New("no such customer")
	ErrEmailTaken   = errors.New("email has already been taken")
	ErrEmailInvalid = errors.New("email is invalid")
	ErrNoEmail      = errors.New("customer has no email")
	ErrPhoneTaken   = errors.New("phone has already been taken")
	ErrPhoneInvalid = errors.New("phone is invalid")
	ErrNoPhone      = errors.New("customer has no phone")
	ErrNoOrder      = errors.New("no such order")
	ErrState        = errors.New("not a state that a consent to this channel can have")
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
	byPhone        map[string]int64
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
		byPhone:        map[string]int64{},
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

// NewCustomer is a customer to be. A zero consent means never asked; a consent without Level is SINGLE_OPT_IN, one without a date is
// dated At. A zero At means now; it becomes the customer's createdAt and updatedAt.
type NewCustomer struct {
	Email string
	// Consent is the consent to email, SMSConsent that to SMS.
	Consent    Consent
	Phone      string
	SMSConsent Consent
	At         time.Time
}

// CreateCustomer acts as a person who signs up, or as the merchant who enters a customer. An empty email or phone makes a customer
// without one. It returns ErrEmailTaken, ErrEmailInvalid, ErrNoEmail, ErrPhoneTaken, ErrPhoneInvalid, ErrNoPhone or ErrState.
func (s *Store) CreateCustomer(newcomer NewCustomer) (CustomerID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	at := newcomer.At
	if at.IsZero() {
		at = now
	}
	c := customer{email: cleanEmail(newcomer.Email), phone: cleanPhone(newcomer.Phone), consent: neverAsked(), sms: neverAsked(), created: at}
	if err := cmp.Or(s.emailFree(c.email, 0), s.phoneFree(c.phone, 0)); err != nil {
		return "", err
	}
	if newcomer.Consent.State != "" {
		if err := c.actOfPerson(&byMail, newcomer.Consent, at, CollectedByOthers); err != nil {
			return "", err
		}
	}
	if newcomer.SMSConsent.State != "" {
		if err := c.actOfPerson(&bySMS, newcomer.SMSConsent, at, CollectedByOthers); err != nil {
			return "", err
		}
	}
	s.begin()
	return customerID(s.addCustomer(c, now).number), nil
}

// emailFree says whether a customer (zero for a new one) could have an address, which must be clean. Nobody needs one. It wants s.mu held.
func (s *Store) emailFree(email string, of int64) error {
	if email == "" {
		return nil
	}
	if emailProblem(email) != "" {
		return ErrEmailInvalid
	}
	if holder, taken := s.byEmail[emailKey(email)]; taken && holder != of {
		return ErrEmailTaken
	}
	return nil
}

// phoneFree is emailFree for a phone number.
func (s *Store) phoneFree(phone string, of int64) error {
	if phone == "" {
		return nil
	}
	if phoneProblems(phone) != nil {
		return ErrPhoneInvalid
	}
	if holder, taken := s.byPhone[phone]; taken && holder != of {
		return ErrPhoneTaken
	}
	return nil
}

// addCustomer wants s.mu held, and an email and a phone that are clean and free.
func (s *Store) addCustomer(c customer, now time.Time) *customer {
	s.lastCustomer++
	c.number = s.lastCustomer
	c.created = wholeSecond(c.created)
	c.updated = c.created
	s.customers[c.number] = &c
	s.claimAddresses(&c)
	s.customerSearch.changed(now, c.number, c.document())
	s.emit(Event{Topic: TopicCustomerCreate, Customer: c.view()})
	for _, to := range channels {
		if c.held(to) != neverAsked() {
			s.emit(Event{Topic: to.topic, Customer: c.view()})
		}
	}
	return &c
}

// actOfPerson sets a consent as a person's act leaves it. It returns ErrNoEmail, ErrNoPhone or ErrState.
func (c *customer) actOfPerson(to *channel, consent Consent, at time.Time, collector Collector) error {
	if c.reached(to) == "" {
		return to.without
	}
	if !slices.Contains(to.states, consent.State) {
		return fmt.Errorf("%w: %q", ErrState, consent.State)
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
	c.hold(to, consent, collector)
	return nil
}

// SetEmailConsent acts as the person, or as the merchant in the admin: it always takes effect, and dates the consent at (zero
// means now). Customer.updatedAt becomes now. It returns ErrNoCustomer, ErrNoEmail or ErrState.
func (s *Store) SetEmailConsent(id CustomerID, state State, at time.Time) error {
	return s.setConsent(&byMail, id, state, at)
}

// SetSMSConsent is SetEmailConsent for SMS. The state may be Redacted, but not Invalid. It returns ErrNoCustomer, ErrNoPhone or ErrState.
func (s *Store) SetSMSConsent(id CustomerID, state State, at time.Time) error {
	return s.setConsent(&bySMS, id, state, at)
}

func (s *Store) setConsent(to *channel, id CustomerID, state State, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err != nil {
		return err
	}
	now := s.config.Now()
	if at.IsZero() {
		at = now
	}
	before := c.held(to)
	if err := c.actOfPerson(to, Consent{State: state, UpdatedAt: at}, at, CollectedByOthers); err != nil {
		return err
	}
	s.begin()
	s.touch(c, now)
	s.told(c, to, before)
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
	if err := s.emailFree(email, c.number); err != nil {
		return err
	}
	other := emailKey(email) != emailKey(c.email)
	s.readdress(c, &byMail, email == "" || other && s.switches.EmailChangeResetsConsent, func() { c.email = email })
	return nil
}

// ChangePhone acts as the person, or the merchant, who changes the phone number; an empty one takes it away, and the consent with it. What
// becomes of the consent otherwise is Switches.PhoneChangeResetsConsent. It returns ErrNoCustomer, ErrPhoneTaken or ErrPhoneInvalid.
func (s *Store) ChangePhone(id CustomerID, phone string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err != nil {
		return err
	}
	phone = cleanPhone(phone)
	if err := s.phoneFree(phone, c.number); err != nil {
		return err
	}
	other := phone != c.phone
	s.readdress(c, &bySMS, phone == "" || other && s.switches.PhoneChangeResetsConsent, func() { c.phone = phone })
	return nil
}

// readdress gives a customer another address, or number, of a channel; reset takes the consent away. It wants s.mu held.
func (s *Store) readdress(c *customer, to *channel, reset bool, change func()) {
	before := *c
	s.releaseAddresses(c)
	change()
	s.claimAddresses(c)
	if reset {
		c.hold(to, neverAsked(), "")
	}
	s.begin()
	s.touch(c, s.config.Now())
	s.toldOfChanges(c, before)
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
// id stops existing and its orders move. Its phone number moves to one that has none, with its consent, unless
// Switches.MergeDropsPhone. It returns ErrNoCustomer.
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
	before := *keep
	for _, to := range channels {
		newer := drop.held(to).UpdatedAt.After(keep.held(to).UpdatedAt)
		if newer && s.switches.MergeKeepsNewestConsent && keep.reached(to) != "" {
			keep.hold(to, drop.held(to), drop.collector)
		}
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
	if keep.phone == "" && !s.switches.MergeDropsPhone {
		keep.phone, keep.sms, keep.collector = drop.phone, drop.sms, drop.collector
		s.claimAddresses(keep)
	}
	// Whether customers/delete tells of the other one too is not documented; the harder case for an app is that it does not.
	s.emit(Event{Topic: TopicCustomerMerge, Customer: keep.view(), Merged: customerID(drop.number)})
	s.touch(keep, now)
	s.toldOfChanges(keep, before)
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

// CustomerByPhone finds a customer by the phone number as it is stored, in E.164. Whether Shopify finds one by another spelling is not
// documented; the harder case for an app is that it does not.
func (s *Store) CustomerByPhone(phone string) (Customer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.customers[s.byPhone[phone]]
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
	s.releaseAddresses(c)
	delete(s.customers, c.number)
	s.customerSearch.changed(s.config.Now(), c.number, nil)
}

// releaseAddresses lets others have a customer's address and number. It wants s.mu held.
func (s *Store) releaseAddresses(c *customer) {
	if c.email != "" {
		delete(s.byEmail, emailKey(c.email))
	}
	if c.phone != "" {
		delete(s.byPhone, c.phone)
	}
}

// claimAddresses makes a customer found by the address and the number. It wants s.mu held.
func (s *Store) claimAddresses(c *customer) {
	if c.email != "" {
		s.byEmail[emailKey(c.email)] = c.number
	}
	if c.phone != "" {
		s.byPhone[c.phone] = c.number
	}
}
