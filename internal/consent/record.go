package consent

// Channel is a way to reach a person. A consent to one says nothing about the other.
type Channel uint8

const (
	Email Channel = iota + 1
	SMS
)

// Channels lists all, for loops.
var Channels = [...]Channel{Email, SMS}

// String names the channel as it stands in the names of syncs.
func (c Channel) String() string {
	switch c {
	case Email:
		return "email"
	case SMS:
		return "sms"
	default:
		return "unknown channel"
	}
}

// Side is one of the two systems that must agree.
type Side uint8

const (
	Shopify Side = iota
	Listrak
	sides
)

// Sides lists both, for loops.
var Sides = [sides]Side{Shopify, Listrak}

// Other returns the opposite side.
func (s Side) Other() Side { return 1 - s }

// String names the side as people write it.
func (s Side) String() string {
	switch s {
	case Shopify:
		return "Shopify"
	case Listrak:
		return "Listrak"
	default:
		return "unknown side"
	}
}

// State is what a side shows about a person. Only Subscribed and Unsubscribed are decisions (rule 2). The numbers are stored in
// ledgers: never renumber them.
type State uint8

const (
	// Unseen: this side was never read for this person.
	Unseen State = 0
	// Absent: the side was read and does not know the address.
	Absent State = 1
	// NeverAsked: known, but never asked (Shopify NOT_SUBSCRIBED, NEVER_SUBSCRIBED). An unticked box is not a no.
	NeverAsked State = 2
	// Pending: waits for a double opt-in.
	Pending State = 3
	// Invalid: the side holds the address for undeliverable.
	Invalid State = 4
	// Redacted: erased at the person's request.
	Redacted State = 5
	// Subscribed: the person said yes.
	Subscribed State = 6
	// Unsubscribed: the person said no.
	Unsubscribed State = 7
)

// String names the state in plain words.
func (s State) String() string {
	switch s {
	case Unseen:
		return "not read yet"
	case Absent:
		return "unknown there"
	case NeverAsked:
		return "never asked"
	case Pending:
		return "pending confirmation"
	case Invalid:
		return "invalid"
	case Redacted:
		return "redacted"
	case Subscribed:
		return "subscribed"
	case Unsubscribed:
		return "unsubscribed"
	default:
		return "unknown state"
	}
}

// IsDecision reports whether a person decided this state.
func (s State) IsDecision() bool { return s == Subscribed || s == Unsubscribed }

// Point is the subscription point through which Listrak is told of a consent.
type Point uint8

const (
	// NoPoint: an unsubscribe, or a write to Shopify, has none.
	NoPoint Point = 0
	// Marketing: the person consented and did not order in time.
	Marketing Point = 1
	// Checkout: the person consented and ordered within the checkout window.
	Checkout Point = 2
)

// String names the point.
func (p Point) String() string {
	switch p {
	case Marketing:
		return "marketing"
	case Checkout:
		return "checkout"
	default:
		return "none"
	}
}

// Report is what one read of one side says about one person. It is never stored as such: Decide folds it into the Record.
type Report struct {
	Side  Side
	State State
	// Date is when the person decided, as that side dates it; zero when the side gives none.
	Date Instant
	// Wall, when the side has wall clocks instead of dates (Listrak), is the wall clock that Date was read from, as if it were UTC's.
	// Setting another zone moves Date, and is no act of anybody; so our own copies are known by Wall (rule 1).
	Wall Instant
	// Within is how far Date may be off: the side's precision, the measured clock difference, and an unproven zone.
	Within Span
	// ReadBegan and ReadEnded are by our clock, around the call that brought the report.
	ReadBegan, ReadEnded Instant
	// Ref is the side's own id of the person (Shopify customer id, Listrak email key). Ids are not personal data.
	Ref string
	// Imported: Listrak's subscribeMethod is one of the merchant's import methods (rule 8).
	Imported bool
	// Machine: Listrak's unsubscribeMethod is bounce or list hygiene: no person said no (rule 9).
	Machine bool
	// Keyword: an opt-out by keyword or carrier (rule 9); stronger than any older or unproven opt-in.
	Keyword bool
	// Moved: the address is new on a customer who was known by another one (rule 18).
	Moved bool
	// Inferred: nobody looked the address up; a full read of the side did not find it, and is only Absent by that (rule 6).
	Inferred bool
}

// Decision is what the person decided, as far as both sides have told.
type Decision struct {
	// State is Subscribed, Unsubscribed, or Unseen while nobody has decided anything.
	State State
	// At is when, as Side dated it; zero for a subscription whose side gave no date.
	At Instant
	// Within is the uncertainty of At.
	Within Span
	// Side is where the person decided.
	Side Side
	// Keyword marks an opt-out by keyword or carrier.
	Keyword bool
	// Erased: the person asked to be forgotten, which counts as a no. No side has said it, so Side means nothing, and what either side
	// says later is judged as the other side's word.
	Erased bool
}

// Sighting is the last report of a side.
type Sighting struct {
	State State
	// Shown is the date exactly as the side showed it, and Wall what Report.Wall was; No news (rule 1) compares with them: Wall with
	// that of our own copy, otherwise Shown.
	Shown Instant
	Wall  Instant
	// At is the date that the rules go on with: Shown, clamped (rule 10), or the date of the decision that an echo carries (rule 3).
	At     Instant
	Within Span
	// ReadBegan is when the read of this report began.
	ReadBegan Instant
	// GoneAt is when an address that was found missing had been seen here last; zero otherwise (rule 13).
	GoneAt Instant
	Ref    string
	// Machine: the unsubscribe was no person's doing; deliveries of older subscriptions count as refused (rule 9).
	Machine bool
	// Echo: what is shown is our own delivery, without a doubt.
	Echo bool
	// Inferred: Absent only by a full read that did not find the address; a look-up may still find it (rule 6).
	Inferred bool
}

// Outcome is how a delivery ended. The numbers are stored in ledgers: never renumber them.
type Outcome uint8

const (
	// Open: started, and no end recorded. It may still take effect until its deadline plus EffectGrace.
	Open Outcome = 0
	// Delivered: the side showed the delivered state afterwards.
	Delivered Outcome = 1
	// Failed: proven not to have taken effect, or contradicted by a later read; to be tried again.
	Failed Outcome = 2
	// RefusedForGood: the side will not take it (rule 17).
	RefusedForGood Outcome = 3
	// AwaitingConfirmation: the side asked the person to confirm (rule 16); not sent again.
	AwaitingConfirmation Outcome = 4
)

// String names the outcome in plain words.
func (o Outcome) String() string {
	switch o {
	case Open:
		return "end unknown"
	case Delivered:
		return "delivered"
	case Failed:
		return "failed"
	case RefusedForGood:
		return "refused"
	case AwaitingConfirmation:
		return "awaiting confirmation"
	default:
		return "unknown outcome"
	}
}

// Delivery is one write of a decision to a side, as the ledger remembers it.
type Delivery struct {
	// State is what was written.
	State State
	// Decision is the date of the decision that was carried; with State it identifies the decision.
	Decision Instant
	// Written is the consent date set at Shopify (whole seconds); zero at Listrak, which sets its own dates.
	Written Instant
	// Started and Deadline bound the call by the database's clock; Ended is zero until the end was recorded.
	Started, Deadline, Ended Instant
	Outcome                  Outcome
	Point                    Point
	// Code is the side's code for a failure or a refusal.
	Code string
	// Try counts the tries of this decision on this side, from 1.
	Try uint8
	// Spent: the side has shown something else since, so this delivery explains no later report (rule 3).
	Spent bool
}

// RememberedDeliveries is how many deliveries of one side a record keeps. More than one, because a write whose end is unknown may
// take effect after a later one.
const RememberedDeliveries = 4

// Hold keeps a Shopify subscription from Listrak until an order decides the subscription point (the checkout window).
type Hold struct {
	// Consent is the date of the held consent; zero when nothing is held.
	Consent Instant
	// Until is the end of the window by the events' own times, inclusive.
	Until Instant
	// Customer is the Shopify customer id.
	Customer string
	// Order is the creation time of the order that was found inside the window; zero while none was.
	Order Instant
	// Settled: the point is decided and the delivery is no longer held.
	Settled bool
}

// Record is all that deciding needs to know of a subject. The zero Record is a person nobody has heard of.
type Record struct {
	Decision Decision
	Seen     [sides]Sighting
	// Sent holds the last deliveries to each side, newest first; unused places are zero.
	Sent    [sides][RememberedDeliveries]Delivery
	Hold    Hold
	Contest Contest
}
