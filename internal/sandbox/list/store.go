// Package list is a Listrak email list on this machine. Store is the model: what Listrak remembers of each contact and which
// writes it takes, without any HTTP, so that a simulation and the HTTP server share one meaning. Server answers Listrak's
// Email API from Stores. What Listrak does not publish is a setting of Config, never a silent guess (contracts/listrak.md).
package list

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tidwall/btree"
	"golang.org/x/time/rate"

	"github.com/concordsync/concord/internal/sandbox/fault"
)

// SameState is what a write does to a contact that is already in the state it asks for. Listrak does not publish which
// (contracts/listrak.md, Access), so a client must live with each.
type SameState string

const (
	// MovesDates answers 201 and dates the state anew: resubscribeDate or unsubscribeDate becomes now. The default.
	MovesDates SameState = "moves_dates"
	// AnswersError answers ERROR_SUBSCRIBED_EMAIL_ADDRESS or ERROR_UNSUBSCRIBED_EMAIL_ADDRESS and changes nothing.
	AnswersError SameState = "answers_error"
	// KeepsDates answers 201, raises the events, and leaves the dates alone.
	KeepsDates SameState = "keeps_dates"
)

// Area is a part of the API that an integration may or may not use (Integrations → Integration Management in Listrak).
type Area string

// The areas that this sandbox knows.
const (
	AreaContact Area = "Contact"
	AreaEvent   Area = "Event"
	AreaList    Area = "List"
	// AreaMessage and AreaReporting are what messages and their activity need. Which route belongs to which is not documented; here the
	// lists of messages are of the first, activity and summaries of the second.
	AreaMessage   Area = "Message"
	AreaReporting Area = "Reporting"
)

// areas are all of them.
var areas = []Area{AreaContact, AreaEvent, AreaList, AreaMessage, AreaReporting}

// EventStatus says whether an external event can be raised (official document, Event).
type EventStatus string

// The two states of an event.
const (
	EventActive  EventStatus = "Active"
	EventBlocked EventStatus = "Blocked"
)

// Event is an external event of the list; raising one with a subscription tells where the person subscribed.
type Event struct {
	ID     int         `json:"id"`
	Name   string      `json:"name"`
	Status EventStatus `json:"status"` // empty means Active
}

// Config describes one list and how its Listrak behaves. The zero value of every switch is the friendliest behaviour. Lists
// with the same ClientID belong to one Listrak account: one token opens them all.
type Config struct {
	// ID is the listId, at least 1; it cannot change later.
	ID   int
	Name string
	// ClientID and Secret are the integration's credentials; both are required.
	ClientID, Secret string
	// Zone is the zone in which the dates are written, without an offset; nil means UTC.
	Zone *time.Location
	// ClockSkew is how far Listrak's clock is ahead of the injected one; it shifts the dates and the HTTP Date header.
	ClockSkew time.Duration
	// DoubleOptIn makes new contacts wait for the person's confirmation: pending, then Confirm.
	DoubleOptIn bool
	// HidePending answers 404 for a pending contact instead of showing subscriptionState Pending; Listrak publishes neither.
	HidePending bool
	SameState   SameState
	Events      []Event
	// IgnoreBlockedEvents takes a write whose event is Blocked and does not raise it; without it the write is an invalid
	// parameter. Listrak publishes neither.
	IgnoreBlockedEvents bool
	// NoAccess takes areas away from the integration: their routes answer 401 ERROR_UNAUTHORIZED.
	NoAccess []Area
	// Paused refuses tokens and every call of the account, as an inactive integration does.
	Paused bool
	// IPRefused refuses tokens and every call, as for an address that the integration does not allow.
	IPRefused bool
	// TakesEscapedRoutes looks up addresses that hold a character which is unsafe in a route (such as "&"), when it is
	// percent-encoded; without it they answer ERROR_UNSAFE_ROUTE. The official document does not say whether encoding helps.
	TakesEscapedRoutes bool
	// TokenLife is how long a token opens the API; zero means an hour.
	TokenLife time.Duration
	// RatePerSecond is the request rate above which the list answers 429, without Retry-After; zero means no limit. Calls that
	// name no list count with the account's first.
	RatePerSecond float64
	// MaxBody is the size in bytes above which a request's body is answered with 404; zero means 1 MiB.
	MaxBody int64
	// Latency is how long every answer takes.
	Latency time.Duration
	// ActivityDateMoves lets dateType=Activity filter by the last activity; off, by the first, which activityDate shows. Listrak does not
	// publish which.
	ActivityDateMoves bool
	// SummaryCountsPeople lets opens and clicks of a summary count people; off, acts. Listrak does not publish which.
	SummaryCountsPeople bool
	// Now is the real time, shared by all that belongs together; nil means time.Now. It cannot change later.
	Now func() time.Time
}

func (c *Config) complete() error {
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.SameState = cmp.Or(c.SameState, MovesDates)
	c.Name = cmp.Or(c.Name, fmt.Sprintf("List %d", c.ID))
	c.TokenLife = cmp.Or(c.TokenLife, time.Hour)
	c.MaxBody = cmp.Or(c.MaxBody, 1<<20)
	c.Events = slices.Clone(c.Events)
	c.NoAccess = slices.Clone(c.NoAccess)
	var errs []error
	if c.ID < 1 {
		errs = append(errs, errors.New("the list's id must be at least 1"))
	}
	if c.ClientID == "" || c.Secret == "" {
		errs = append(errs, errors.New("the list needs a client id and a secret"))
	}
	if !slices.Contains([]SameState{MovesDates, AnswersError, KeepsDates}, c.SameState) {
		errs = append(errs, fmt.Errorf("unknown same-state behaviour %q: take %s, %s or %s",
			c.SameState, MovesDates, AnswersError, KeepsDates))
	}
	for _, area := range c.NoAccess {
		if !slices.Contains(areas, area) {
			errs = append(errs, fmt.Errorf("unknown area %q: take one of %v", area, areas))
		}
	}
	seen := map[int]bool{}
	for n := range c.Events {
		event := &c.Events[n]
		event.Status = cmp.Or(event.Status, EventActive)
		if event.ID < 1 || seen[event.ID] {
			errs = append(errs, fmt.Errorf("event id %d is below 1 or given twice", event.ID))
		}
		if event.Status != EventActive && event.Status != EventBlocked {
			errs = append(errs, fmt.Errorf("unknown status %q of event %d: take %s or %s",
				event.Status, event.ID, EventActive, EventBlocked))
		}
		seen[event.ID] = true
	}
	if c.TokenLife < 0 || c.RatePerSecond < 0 || c.MaxBody < 0 || c.Latency < 0 {
		errs = append(errs, errors.New("token life, rate, body size and latency must not be negative"))
	}
	return errors.Join(errs...)
}

// Store is one email list. All methods are safe for concurrent use.
type Store struct {
	// Faults makes calls fail on request. Its operations are named by route: "token", "GET Lists", "GET List",
	// "GET Contacts", "GET Contact", "POST Contact", "GET Events", and those of messages in server.go. The first two belong to the account: the rules of any of
	// its lists strike. The model itself never fails: only the Server asks.
	Faults fault.Injector

	id int

	mu       sync.Mutex
	config   Config
	created  time.Time
	contacts map[string]*contact
	byKey    map[string]*contact
	// sequence numbers contacts for ever, so that neither a deletion nor a Reset brings an email key back.
	sequence int64
	// The indexes serve paging without a look at every contact: a million contacts are read in two hundred pages.
	byLatest, byOriginal, byLeft *btree.BTreeG[place]
	refusals                     map[string]Refusal
	writes                       []Write
	limiter                      *rate.Limiter
	messages                     []*message // by id
	lastMessage                  int
}

// New returns an empty list, or says everything that is wrong with the configuration.
func New(config Config) (*Store, error) {
	if err := config.complete(); err != nil {
		return nil, fmt.Errorf("configure list %d: %w", config.ID, err)
	}
	s := &Store{id: config.ID, config: config, created: config.Now()}
	s.empty()
	s.setLimiter()
	return s, nil
}

// Config returns how the list behaves now.
func (s *Store) Config() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	config := s.config
	config.Events = slices.Clone(config.Events)
	config.NoAccess = slices.Clone(config.NoAccess)
	return config
}

// Configure changes the settings while the list is in use. ID and Now stay as they are. Nothing changes when the outcome is
// not valid.
func (s *Store) Configure(change func(*Config)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.config
	next.Events = slices.Clone(next.Events)
	next.NoAccess = slices.Clone(next.NoAccess)
	change(&next)
	next.ID, next.Now = s.config.ID, s.config.Now
	if err := next.complete(); err != nil {
		return fmt.Errorf("configure list %d: %w", s.config.ID, err)
	}
	reindex := next.Zone.String() != s.config.Zone.String()
	relimit := next.RatePerSecond != s.config.RatePerSecond
	s.config = next
	if relimit {
		s.setLimiter()
	}
	if reindex {
		s.clearIndexes()
		for _, c := range s.contacts {
			s.index(c)
		}
	}
	return nil
}

// Reset forgets all contacts, refusals, writes and messages; the settings and faults stay.
func (s *Store) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.empty()
}

func (s *Store) empty() {
	s.contacts, s.byKey, s.refusals = map[string]*contact{}, map[string]*contact{}, map[string]Refusal{}
	s.writes, s.messages = nil, nil
	s.clearIndexes()
}

func (s *Store) setLimiter() {
	s.limiter = nil
	if s.config.RatePerSecond > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(s.config.RatePerSecond), max(1, int(s.config.RatePerSecond)))
	}
}

// admit counts one request against the request rate.
func (s *Store) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limiter == nil || s.limiter.AllowN(s.config.Now(), 1)
}

// Clock is Listrak's own clock: the real time plus the skew.
func (s *Store) Clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock()
}

func (s *Store) clock() time.Time { return s.config.Now().Add(s.config.ClockSkew) }

// Refusal is why Listrak refuses an address for good.
type Refusal string

// The reasons. Each is answered with its own code (official document, Error Codes, Contact).
const (
	NotRefused Refusal = ""
	Banned     Refusal = "banned"     // ERROR_BANNED_EMAIL_ADDRESS
	Suppressed Refusal = "suppressed" // ERROR_SUPPRESSED_EMAIL
	Invalid    Refusal = "invalid"    // ERROR_INVALID_PARAMETER, although the address looks proper
)

// Refuse makes Listrak refuse to subscribe the address from now on; NotRefused lifts that. A contact that exists stays as it is.
func (s *Store) Refuse(email string, why Refusal) error {
	if !slices.Contains([]Refusal{NotRefused, Banned, Suppressed, Invalid}, why) {
		return fmt.Errorf("unknown refusal %q: take %s, %s, %s or nothing", why, Banned, Suppressed, Invalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if why == NotRefused {
		delete(s.refusals, addressKey(email))
		return nil
	}
	s.refusals[addressKey(email)] = why
	return nil
}

// Write is one API call that asked for a change, in the order in which Listrak took them.
type Write struct {
	// At is the real time, without Listrak's clock skew.
	At time.Time `json:"at"`
	// Operation is "POST Contact".
	Operation string `json:"operation"`
	Email     string `json:"email"`
	// State is the state asked for; empty when the call named none.
	State State `json:"state"`
	// Events are the event ids asked for.
	Events []int `json:"events,omitempty"`
	// Override is overrideUnsubscribe.
	Override bool `json:"override"`
	// SubscribedByContact is the parameter of that name; Listrak does not publish what it does.
	SubscribedByContact bool `json:"subscribedByContact"`
	// Code is Listrak's error code when the call was refused; empty when it was taken.
	Code string `json:"code,omitempty"`
	// Effective: the contact came into being or its subscription state changed.
	Effective bool `json:"effective"`
	// Redated: a date of the contact moved, with or without a change of state.
	Redated bool `json:"redated"`
	// Raised are the events that were in fact raised.
	Raised []int `json:"raised,omitempty"`
}

// Writes returns the log of API writes that reached the list, oldest first: taken or refused by its rules. The person's own acts
// are not in it.
func (s *Store) Writes() []Write {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}
