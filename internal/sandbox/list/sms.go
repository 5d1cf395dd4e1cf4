package list

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"
	"golang.org/x/time/rate"

	"github.com/concordsync/concord/internal/sandbox/fault"
)

// PhoneSpelling is how Listrak shows phone numbers; it does not publish that. Any of the three is understood.
type PhoneSpelling string

// The spellings of +15550001111. NationalDigits leaves the country away from numbers of +1 alone.
const (
	PlusDigits     PhoneSpelling = "plus"     // +15550001111, the default
	OnlyDigits     PhoneSpelling = "digits"   // 15550001111
	NationalDigits PhoneSpelling = "national" // 5550001111
)

// OptedOutAnswer is what subscribing through the API does to somebody who is opted out of the sender code. The official document only
// says of another route, Update Contact, that it cannot opt anybody in again.
type OptedOutAnswer string

const (
	// RefusesBanned answers ERROR_BANNED_PHONE_NUMBER. The default.
	RefusesBanned OptedOutAnswer = "refuses_banned"
	// RefusesSuspended answers ERROR_PHONE_NUMBER_SUSPENDED.
	RefusesSuspended OptedOutAnswer = "refuses_suspended"
	// StaysOut answers 201 and subscribes to the list, while the opt-out stays.
	StaysOut OptedOutAnswer = "stays_out"
	// OptsIn answers 201, subscribes, and takes the opt-out back.
	OptsIn OptedOutAnswer = "opts_in"
)

// OptOutReason is why somebody was opted out of the sender code.
type OptOutReason string

// The reasons, in the order of the official document (OptOutContact).
const (
	OptOutCampaign        OptOutReason = "Campaign"
	OptOutAdmin           OptOutReason = "Admin"
	OptOutDeliveryFailure OptOutReason = "DeliveryFailure"
	OptOutImport          OptOutReason = "Import"
	OptOutAPI             OptOutReason = "API"
	OptOutDeactivated     OptOutReason = "Deactivated"
	OptOutPermanentError  OptOutReason = "PermanentError"
	OptOutWorkflow        OptOutReason = "Workflow"
)

var optOutReasons = []OptOutReason{OptOutCampaign, OptOutAdmin, OptOutDeliveryFailure, OptOutImport, OptOutAPI, OptOutDeactivated,
	OptOutPermanentError, OptOutWorkflow}

// PhoneList is a phone list of a sender code.
type PhoneList struct {
	ID   int    `json:"id"`
	Name string `json:"name,omitempty"`
	// DoubleOptIn and AgeGate make everybody who is subscribed through the API wait for their answer: pending, then Confirm.
	DoubleOptIn bool `json:"doubleOptIn,omitempty"`
	AgeGate     bool `json:"ageGate,omitempty"`
	// Inactive answers ERROR_LIST_INACTIVE.
	Inactive bool `json:"inactive,omitempty"`
}

// SenderCodeConfig describes one sender code with its phone lists, and how its Listrak behaves. The zero value of every switch is the
// friendliest behaviour. Sender codes with the same ClientID belong to one SMS integration: one token opens them all.
type SenderCodeConfig struct {
	// ID is the senderCodeId, at least 1; it cannot change later.
	ID int
	// Number is what people text to, and Name the merchant's. Country is ISO 3166-1 alpha-2.
	Number, Name, Country string
	// ClientID and Secret are the SMS integration's credentials, others than those of the account's Email integration; both are required.
	ClientID, Secret string
	// Account is the client id of the account's Email integration, whose Privacy integration forgets phone numbers here too; may be empty.
	Account string
	// Lists are the phone lists. Their ids are unique among all sender codes of a server.
	Lists []PhoneList
	// Disabled answers ERROR_SENDER_CODE_DISABLED.
	Disabled bool
	// Zone is the zone in which the dates are written, without an offset; nil means UTC.
	Zone *time.Location
	// ClockSkew is how far Listrak's clock is ahead of the injected one; it shifts the dates and the HTTP Date header.
	ClockSkew time.Duration
	// SameState is what a write does to a phone number that is already so. No code exists for opting out again: with AnswersError that
	// keeps the date.
	SameState SameState
	OptedOut  OptedOutAnswer
	// OptOutLeavesLists makes an opt-out end all subscriptions too, which Start brings back; without it the lists go on to say Subscribed.
	OptOutLeavesLists bool
	// StartKeepsDates leaves the dates of the subscriptions as they were when Start takes an opt-out back; without it they are dated anew.
	StartKeepsDates bool
	// StopReason is how Listrak words a reply of STOP; empty means Campaign.
	StopReason OptOutReason
	// HidesOptOutDate leaves unsubscribeDate away from GET Contact, so that only GET OptOut tells when.
	HidesOptOutDate bool
	// OnlySubscribed leaves out of GET Contact of a whole list who left it or is pending.
	OnlySubscribed bool
	// UnpagedOptOuts answers GET OptOut whole and without a cursor, as the official document types it.
	UnpagedOptOuts bool
	// NumberedReasons writes optOutReason as a number, as the official document's example does.
	NumberedReasons bool
	// Missing404 answers writes about a list or phone number that is not there with 404 ERROR_UNABLE_TO_LOCATE_RESOURCE, as the document's
	// examples do, instead of ERROR_INVALID_LIST_ID and ERROR_PHONE_NUMBER_NOT_FOUND.
	Missing404 bool
	// LowerStates writes subscriptionState in lower case; its values are not published.
	LowerStates bool
	// Spelling is how phone numbers are shown.
	Spelling PhoneSpelling
	// RefusesPlus answers 404 without a code to a path with a plus in it, as Listrak's kind of web server does unless told otherwise.
	RefusesPlus bool
	// NoAccess answers every call with 401 ERROR_UNAUTHORIZED although there is a token, as for an integration that allows nothing.
	NoAccess bool
	// Paused and IPRefused, TokenLife, RatePerSecond, MaxBody and Latency are those of Config.
	Paused, IPRefused bool
	TokenLife         time.Duration
	RatePerSecond     float64
	MaxBody           int64
	Latency           time.Duration
	// Now is the real time, shared by all that belongs together; nil means time.Now. It cannot change later.
	Now func() time.Time
}

func (c *SenderCodeConfig) complete() error {
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Number, c.Name, c.Country = cmp.Or(c.Number, "55555"), cmp.Or(c.Name, fmt.Sprintf("Sender code %d", c.ID)), cmp.Or(c.Country, "US")
	c.SameState, c.OptedOut = cmp.Or(c.SameState, MovesDates), cmp.Or(c.OptedOut, RefusesBanned)
	c.StopReason, c.Spelling = cmp.Or(c.StopReason, OptOutCampaign), cmp.Or(c.Spelling, PlusDigits)
	c.TokenLife, c.MaxBody = cmp.Or(c.TokenLife, time.Hour), cmp.Or(c.MaxBody, 1<<20)
	c.Lists = slices.Clone(c.Lists)
	var errs []error
	if c.ID < 1 {
		errs = append(errs, errors.New("the sender code's id must be at least 1"))
	}
	if c.ClientID == "" || c.Secret == "" {
		errs = append(errs, errors.New("the sender code needs a client id and a secret"))
	}
	seen := map[int]bool{}
	for i := range c.Lists {
		list := &c.Lists[i]
		list.Name = cmp.Or(list.Name, fmt.Sprintf("Phone list %d", list.ID))
		if list.ID < 1 || seen[list.ID] {
			errs = append(errs, fmt.Errorf("phone list %d: ids are at least 1 and given once", list.ID))
		}
		seen[list.ID] = true
	}
	if !slices.Contains([]SameState{MovesDates, AnswersError, KeepsDates}, c.SameState) {
		errs = append(errs, fmt.Errorf("same state %q: take %s, %s or %s", c.SameState, MovesDates, AnswersError, KeepsDates))
	}
	if !slices.Contains([]OptedOutAnswer{RefusesBanned, RefusesSuspended, StaysOut, OptsIn}, c.OptedOut) {
		errs = append(errs, fmt.Errorf("opted out %q: take %s, %s, %s or %s", c.OptedOut, RefusesBanned, RefusesSuspended, StaysOut, OptsIn))
	}
	if !slices.Contains(optOutReasons, c.StopReason) {
		errs = append(errs, fmt.Errorf("stop reason %q: take one of %v", c.StopReason, optOutReasons))
	}
	if !slices.Contains([]PhoneSpelling{PlusDigits, OnlyDigits, NationalDigits}, c.Spelling) {
		errs = append(errs, fmt.Errorf("spelling %q: take %s, %s or %s", c.Spelling, PlusDigits, OnlyDigits, NationalDigits))
	}
	if c.TokenLife < 0 || c.RatePerSecond < 0 || c.MaxBody < 0 || c.Latency < 0 {
		errs = append(errs, errors.New("token life, rate, body size and latency must not be negative"))
	}
	return errors.Join(errs...)
}

// list is the phone list of an id.
func (c *SenderCodeConfig) list(id int) (PhoneList, bool) {
	at := slices.IndexFunc(c.Lists, func(l PhoneList) bool { return l.ID == id })
	if at < 0 {
		return PhoneList{}, false
	}
	return c.Lists[at], true
}

// Spell shows a phone number, which is kept as E.164, as Listrak would.
func (c *SenderCodeConfig) Spell(number string) string {
	digits := number[1:]
	switch {
	case c.Spelling == NationalDigits && len(digits) == 11 && digits[0] == '1':
		return digits[1:]
	case c.Spelling == PlusDigits:
		return number
	default:
		return digits
	}
}

// Reason writes a reason as the API does.
func (c *SenderCodeConfig) Reason(reason OptOutReason) json.RawMessage {
	if c.NumberedReasons {
		return json.RawMessage(strconv.Itoa(slices.Index(optOutReasons, reason)))
	}
	return json.RawMessage(strconv.Quote(string(reason)))
}

var phoneShape = regexp.MustCompile(`^\+?[1-9][0-9]{6,14}$`)

// e164 reads any of the spellings. Ten digits alone are a number of +1.
func e164(number string) (string, bool) {
	if !phoneShape.MatchString(number) {
		return "", false
	}
	digits, plus := strings.CutPrefix(number, "+")
	if !plus && len(digits) == 10 {
		digits = "1" + digits
	}
	return "+" + digits, true
}

// Subscription is what a phone list knows of a phone number. Dates are instants in UTC by Listrak's clock, cut to milliseconds; the zero
// time is null.
type Subscription struct {
	State          State     `json:"state"`
	SubscribedAt   time.Time `json:"subscribedAt,omitzero"`
	UnsubscribedAt time.Time `json:"unsubscribedAt,omitzero"`
	PendingAt      time.Time `json:"pendingAt,omitzero"`
	// AwaitsOptIn and AwaitsAge say what a pending one waits for.
	AwaitsOptIn bool `json:"awaitsOptIn,omitempty"`
	AwaitsAge   bool `json:"awaitsAge,omitempty"`
}

// Phone is what a sender code knows of a phone number.
type Phone struct {
	Number   string `json:"number"` // E.164
	OptedOut bool   `json:"optedOut"`
	// OptedOutAt and Reason are of the last opt-out, even if it was taken back.
	OptedOutAt time.Time            `json:"optedOutAt,omitzero"`
	Reason     OptOutReason         `json:"reason,omitempty"`
	Lists      map[int]Subscription `json:"lists"` // by id: all that it was ever on
}

// Consents tells whether messages of the list may be sent: subscribed to it, and not opted out of the sender code.
func (p Phone) Consents(list int) bool { return !p.OptedOut && p.Lists[list].State == Subscribed }

// phone and subscription are the stored forms. Dates are Unix milliseconds, 0 for null.
type phone struct {
	sequence   int64
	number     string
	optedOut   bool
	optedOutAt int64
	reason     OptOutReason
	lists      map[int]*subscription
}

type subscription struct {
	state                             State
	subscribed, unsubscribed, pending int64
	awaitsOptIn, awaitsAge            bool
	// byOptOut: the opt-out ended it, so that Start brings it back.
	byOptOut bool
}

func (p *phone) view() Phone {
	view := Phone{Number: p.number, OptedOut: p.optedOut, OptedOutAt: instant(p.optedOutAt), Reason: p.reason, Lists: map[int]Subscription{}}
	for id, s := range p.lists {
		view.Lists[id] = Subscription{State: s.state, SubscribedAt: instant(s.subscribed), UnsubscribedAt: instant(s.unsubscribed),
			PendingAt: instant(s.pending), AwaitsOptIn: s.awaitsOptIn, AwaitsAge: s.awaitsAge}
	}
	return view
}

// phonePlace is a phone number's place in an index, as place is a contact's.
type phonePlace struct {
	wall     int64
	sequence int64
	phone    *phone
}

func phoneBefore(a, b phonePlace) bool {
	if a.wall != b.wall {
		return a.wall < b.wall
	}
	return a.sequence < b.sequence
}

func newPhoneIndex() *btree.BTreeG[phonePlace] {
	return btree.NewBTreeGOptions(phoneBefore, btree.Options{NoLocks: true})
}

// SenderCode is one sender code with its phone lists. All methods are safe for concurrent use.
type SenderCode struct {
	// Faults makes calls fail on request. Its operations are named by route: "token", "GET SenderCodes", "GET PhoneLists", "GET Contacts",
	// "GET Contact", "GET Subscriptions", "GET OptOuts", "POST Contact", "POST Subscription", "DELETE Subscription", "PUT Contact". The
	// first two belong to the integration: the rules of any of its sender codes strike. The model itself never fails: only the Server asks.
	Faults fault.Injector

	id int

	mu       sync.Mutex
	config   SenderCodeConfig
	phones   map[string]*phone // by E.164
	sequence int64
	// bySubscribed are those that each list ever had, by subscribeDate; byOptOut those who are opted out.
	bySubscribed map[int]*btree.BTreeG[phonePlace]
	byOptOut     *btree.BTreeG[phonePlace]
	refusals     map[string]PhoneRefusal
	writes       []PhoneWrite
	limiter      *rate.Limiter
}

// NewSenderCode returns a sender code without phone numbers, or says everything that is wrong with the configuration.
func NewSenderCode(config SenderCodeConfig) (*SenderCode, error) {
	if err := config.complete(); err != nil {
		return nil, fmt.Errorf("configure sender code %d: %w", config.ID, err)
	}
	s := &SenderCode{id: config.ID, config: config}
	s.empty()
	s.setLimiter()
	return s, nil
}

// Config returns how the sender code behaves now.
func (s *SenderCode) Config() SenderCodeConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	config := s.config
	config.Lists = slices.Clone(config.Lists)
	return config
}

// Configure changes the settings while the sender code is in use. ID, Now and the ids of Lists stay as they are. Nothing changes when the
// outcome is not valid.
func (s *SenderCode) Configure(change func(*SenderCodeConfig)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.config
	next.Lists = slices.Clone(next.Lists)
	change(&next)
	next.ID, next.Now = s.config.ID, s.config.Now
	err := next.complete()
	if !slices.EqualFunc(s.config.Lists, next.Lists, func(a, b PhoneList) bool { return a.ID == b.ID }) {
		err = errors.Join(err, errors.New("the ids of the phone lists cannot change"))
	}
	if err != nil {
		return fmt.Errorf("configure sender code %d: %w", s.config.ID, err)
	}
	reindex := next.Zone.String() != s.config.Zone.String()
	relimit := next.RatePerSecond != s.config.RatePerSecond
	s.config = next
	if relimit {
		s.setLimiter()
	}
	if reindex {
		s.unindexAll()
		for _, p := range s.phones {
			s.index(p)
		}
	}
	return nil
}

// Reset forgets all phone numbers, refusals and writes; the settings and faults stay.
func (s *SenderCode) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.empty()
}

func (s *SenderCode) empty() {
	s.phones, s.refusals, s.writes = map[string]*phone{}, map[string]PhoneRefusal{}, nil
	s.unindexAll()
}

func (s *SenderCode) unindexAll() {
	s.bySubscribed, s.byOptOut = map[int]*btree.BTreeG[phonePlace]{}, newPhoneIndex()
	for _, list := range s.config.Lists {
		s.bySubscribed[list.ID] = newPhoneIndex()
	}
}

func (s *SenderCode) setLimiter() {
	s.limiter = nil
	if s.config.RatePerSecond > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(s.config.RatePerSecond), max(1, int(s.config.RatePerSecond)))
	}
}

// admit counts one request against the request rate.
func (s *SenderCode) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limiter == nil || s.limiter.AllowN(s.config.Now(), 1)
}

// Clock is Listrak's own clock: the real time plus the skew.
func (s *SenderCode) Clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.Now().Add(s.config.ClockSkew)
}

// Wall is an instant as a date without an offset, in the sender code's zone, carried as UTC: what PhoneQuery takes and Listrak shows.
func (s *SenderCode) Wall(at time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.UnixMilli(s.wall(at.UnixMilli())).UTC()
}

// wall is as that of Store. No date, which only someone pending can have, comes before all others.
func (s *SenderCode) wall(milliseconds int64) int64 {
	if milliseconds == 0 {
		return 0
	}
	_, offset := time.UnixMilli(milliseconds).In(s.config.Zone).Zone()
	return milliseconds + int64(offset)*1000
}

// date is a real time as Listrak's clock would have shown it, in milliseconds; the zero time means now.
func (s *SenderCode) date(at time.Time) int64 {
	if at.IsZero() {
		at = s.config.Now()
	}
	return at.Add(s.config.ClockSkew).UnixMilli()
}

func (s *SenderCode) index(p *phone) {
	for id, subscription := range p.lists {
		s.bySubscribed[id].Set(phonePlace{s.wall(subscription.subscribed), p.sequence, p})
	}
	if p.optedOut {
		s.byOptOut.Set(phonePlace{s.wall(p.optedOutAt), p.sequence, p})
	}
}

func (s *SenderCode) unindex(p *phone) {
	for id, subscription := range p.lists {
		s.bySubscribed[id].Delete(phonePlace{s.wall(subscription.subscribed), p.sequence, p})
	}
	if p.optedOut {
		s.byOptOut.Delete(phonePlace{s.wall(p.optedOutAt), p.sequence, p})
	}
}

// change alters a phone number and keeps the indexes true to it; nothing else may write to a stored one.
func (s *SenderCode) change(p *phone, how func()) {
	s.unindex(p)
	how()
	s.index(p)
}

// know returns the phone number, adding it if the sender code did not know it.
func (s *SenderCode) know(number string) *phone {
	p := s.phones[number]
	if p == nil {
		s.sequence++
		p = &phone{sequence: s.sequence, number: number, lists: map[int]*subscription{}}
		s.phones[number] = p
	}
	return p
}

// optOut opts a phone number out of the sender code.
func (s *SenderCode) optOut(p *phone, date int64, reason OptOutReason) {
	s.change(p, func() {
		p.optedOut, p.optedOutAt, p.reason = true, date, reason
		if !s.config.OptOutLeavesLists {
			return
		}
		for _, subscription := range p.lists {
			if subscription.state == Subscribed {
				subscription.state, subscription.unsubscribed, subscription.byOptOut = Unsubscribed, date, true
			}
		}
	})
}

// optIn takes an opt-out back.
func (s *SenderCode) optIn(p *phone, date int64) {
	s.change(p, func() {
		p.optedOut = false
		for _, subscription := range p.lists {
			if subscription.byOptOut {
				subscription.state, subscription.byOptOut = Subscribed, false
			}
			if subscription.state == Subscribed && !s.config.StartKeepsDates {
				subscription.subscribed = date
			}
		}
	})
}

// subscribe puts a phone number on a list, or has it wait for the list's gates.
func (s *SenderCode) subscribe(p *phone, list PhoneList, date int64, gated bool) {
	s.change(p, func() {
		held := p.lists[list.ID]
		if held == nil {
			held = &subscription{}
			p.lists[list.ID] = held
		}
		held.byOptOut = false
		if gated && (list.DoubleOptIn || list.AgeGate) {
			held.state, held.pending, held.awaitsOptIn, held.awaitsAge = Pending, date, list.DoubleOptIn, list.AgeGate
			return
		}
		held.state, held.subscribed, held.awaitsOptIn, held.awaitsAge = Subscribed, date, false, false
	})
}

// Phone returns what the sender code knows of a phone number in any spelling; false when it does not know it.
func (s *SenderCode) Phone(number string) (Phone, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(number)
	if p == nil {
		return Phone{}, false
	}
	return p.view(), true
}

// Phones returns all phone numbers in the order in which they came to the sender code.
func (s *SenderCode) Phones() []Phone {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored := slices.SortedFunc(maps.Values(s.phones), func(a, b *phone) int { return cmp.Compare(a.sequence, b.sequence) })
	views := make([]Phone, len(stored))
	for n, p := range stored {
		views[n] = p.view()
	}
	return views
}

// Len returns how many phone numbers the sender code knows.
func (s *SenderCode) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.phones)
}

func (s *SenderCode) find(number string) *phone {
	canonical, _ := e164(number)
	return s.phones[canonical]
}

// PhoneRefusal is why Listrak refuses to subscribe a phone number for good.
type PhoneRefusal string

// The reasons. Each is answered with its own code (official document, Error Codes, Contact).
const (
	PhoneNotRefused PhoneRefusal = ""
	PhoneBanned     PhoneRefusal = "banned"    // ERROR_BANNED_PHONE_NUMBER, of an update too
	PhoneSuspended  PhoneRefusal = "suspended" // ERROR_PHONE_NUMBER_SUSPENDED
	PhoneInvalid    PhoneRefusal = "invalid"   // ERROR_INVALID_PHONE_NUMBER, although the number looks proper
)

// Refuse makes Listrak refuse to subscribe the phone number from now on; PhoneNotRefused lifts that. What it knows of it stays as it is.
func (s *SenderCode) Refuse(number string, why PhoneRefusal) error {
	if !slices.Contains([]PhoneRefusal{PhoneNotRefused, PhoneBanned, PhoneSuspended, PhoneInvalid}, why) {
		return fmt.Errorf("unknown refusal %q: take %s, %s, %s or nothing", why, PhoneBanned, PhoneSuspended, PhoneInvalid)
	}
	canonical, ok := e164(number)
	if !ok {
		return errors.New("refuse: this is not a phone number")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if why == PhoneNotRefused {
		delete(s.refusals, canonical)
		return nil
	}
	s.refusals[canonical] = why
	return nil
}

// PhoneWrite is one API call that asked for a change, in the order in which Listrak took them.
type PhoneWrite struct {
	// At is the real time, without Listrak's clock skew.
	At time.Time `json:"at"`
	// Operation is "POST Contact", "POST Subscription", "DELETE Subscription" or "PUT Contact".
	Operation string `json:"operation"`
	// Phone is E.164, or as it was sent when it is no phone number.
	Phone string `json:"phone"`
	// List is the list that the call named; zero for "PUT Contact".
	List int `json:"list,omitempty"`
	// State is the state asked for, of the list or, for an opt-out, of the sender code; empty when the call asked for none.
	State State `json:"state"`
	// Code is Listrak's error code when the call was refused; empty when it was taken.
	Code string `json:"code,omitempty"`
	// Effective: the phone number came into being, its state on the list changed, or it is opted out, or in again, since.
	Effective bool `json:"effective"`
	// Redated: a date moved, with or without a change of state.
	Redated bool `json:"redated"`
}

// Writes returns the log of API writes that reached the sender code, oldest first: taken or refused by its rules. People's own acts are
// not in it.
func (s *SenderCode) Writes() []PhoneWrite {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}
