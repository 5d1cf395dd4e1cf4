package listrak

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak/sms"
)

// PhoneSpelling is how phone numbers are written to Listrak, which does not publish what its SMS API takes.
type PhoneSpelling string

// The spellings of +15550001111. NationalDigits leaves the country away from numbers of +1 alone.
const (
	PlusDigits     PhoneSpelling = ""         // +15550001111 (E.164)
	OnlyDigits     PhoneSpelling = "digits"   // 15550001111
	NationalDigits PhoneSpelling = "national" // 5550001111
)

// spell writes a phone number as s says. What does not begin with a plus is left as it is.
func (s PhoneSpelling) spell(phone string) string {
	digits, plus := strings.CutPrefix(phone, "+")
	switch {
	case !plus || s == PlusDigits:
		return phone
	case s == NationalDigits && len(digits) == 11 && digits[0] == '1':
		return digits[1:]
	default:
		return digits
	}
}

var dialable = regexp.MustCompile(`^\+?[0-9]{1,15}$`)

// Dialable tells whether phone can be sent: digits, at most 15 of them as E.164 has, with or without a plus before them. Anything else
// could be another path, or nobody.
func Dialable(phone string) bool { return dialable.MatchString(phone) }

// SMSQuery asks for what Listrak dates since Since, inclusive; a zero Since asks for all. Since is compared with Listrak's own clock:
// while the zone is unproven, ask for Uncertainty earlier than what is wanted.
type SMSQuery struct {
	Since  time.Time
	Cursor string
}

// PhonePage is one page of phone numbers, spelt as Listrak spells them. Next is empty on the last one. ServerTime is the Date header of
// the answer, precise to the second, zero when it was missing.
type PhonePage struct {
	Phones     []string
	Next       string
	ServerTime time.Time
}

// OptOutReason is why somebody was opted out of the sender code, in Listrak's own words.
type OptOutReason string

// The reasons of the official document (OptOutContact). It does not explain them, nor which of them stands for a person who replied STOP.
// Anything else that comes is handed on if it is a word or a number, and is empty otherwise: the document's own example has a number.
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

// OptOut is somebody who is opted out of the sender code, and so of all its lists. Date, Ambiguous and RawDate are as in Contact.
type OptOut struct {
	Phone     string // as Listrak spells it
	Date      time.Time
	Ambiguous bool
	RawDate   string
	Reason    OptOutReason
}

// Wall is RawDate as in Contact.Wall.
func (o OptOut) Wall() time.Time { return wallOf(o.RawDate) }

// OptOutPage is one page of opt-outs; Next and ServerTime are as in PhonePage.
type OptOutPage struct {
	OptOuts    []OptOut
	Next       string
	ServerTime time.Time
}

// SMSContact is a phone number as one list of a sender code knows it.
type SMSContact struct {
	Phone string // as Listrak spells it
	// State is that of the list. Whoever is opted out of the sender code is Unsubscribed, whatever the list says. Pending waits for a
	// double opt-in or an age gate, which is no consent.
	State State
	// Date is when the person consented or left, UTC: of a Subscribed the list's subscribeDate, of an Unsubscribed its unsubscribeDate,
	// and of an OptedOut the date of the opt-out. Zero when Listrak gives none; OptOuts has that of an opt-out too. Date, Ambiguous and
	// RawDate are otherwise as in Contact.
	Date      time.Time
	Ambiguous bool
	RawDate   string
	OptedOut  bool
	// Known is true when the sender code knows the phone number, whether or not it was ever on this list.
	Known bool
	// ServerTime is the Date header of the answer, as in PhonePage.
	ServerTime time.Time
}

// Wall is RawDate as in Contact.Wall.
func (c SMSContact) Wall() time.Time { return wallOf(c.RawDate) }

func wallOf(raw string) time.Time {
	wall, _, _ := ParseDate(raw, time.UTC) // it was read once already
	return wall
}

// SMSSubscribeOptions go with a subscription.
type SMSSubscribeOptions struct {
	// Known says that the sender code knows the phone number (SMSContact.Known), which saves a call; if it is wrong, nothing is.
	Known bool
	// List is the phone list to subscribe to; zero for the client's own. A list is what SMS has for a subscription point.
	List int
}

// SenderCode is a number that a merchant sends from. The API does not tell whether it is enabled; its calls answer
// ERROR_SENDER_CODE_DISABLED when it is not.
type SenderCode struct {
	ID      int
	Number  string // what people text to
	Name    string // the merchant's
	Country string // ISO 3166-1 alpha-2
}

// SMSList is a phone list of a sender code. With DoubleOptIn or AgeGate new subscribers wait in the state Pending.
type SMSList struct {
	ID                   int
	Name                 string
	DoubleOptIn, AgeGate bool
	Active               bool
}

// SMSContactOf joins what the sender code says of a phone number with what its lists say, for one of the lists and in the zone that the
// merchant set. False: the number was never on that list, and is not opted out.
func SMSContactOf(details sms.ContactSubscriptionDetails, lists []sms.ContactListSubscription, list int,
	zone *time.Location) (SMSContact, bool, error) {
	contact := SMSContact{Phone: text(details.PhoneNumber), OptedOut: details.OptedOut != nil && *details.OptedOut, Known: true}
	if contact.OptedOut {
		// The document calls this unsubscribeDate the "date of opt-out from an SMS sender code". A list's own is about the list.
		contact.State = Unsubscribed
		err := contact.take(text(details.UnsubscribeDate), zone)
		return contact, true, err
	}
	at := slices.IndexFunc(lists, func(l sms.ContactListSubscription) bool { return l.PhoneListId != nil && int(*l.PhoneListId) == list })
	if at < 0 {
		return contact, false, nil
	}
	var err error
	switch contact.State = smsState(lists[at]); contact.State {
	case Subscribed:
		err = contact.take(text(lists[at].SubscribeDate), zone)
	case Unsubscribed:
		err = contact.take(text(lists[at].UnsubscribeDate), zone)
	}
	return contact, true, err
}

func (c *SMSContact) take(raw string, zone *time.Location) error {
	date, ambiguous, err := ParseDate(raw, zone)
	if !date.IsZero() {
		c.Date, c.Ambiguous, c.RawDate = date, ambiguous, raw
	}
	return err
}

// smsState reads a state whose values are not published, so its letter case does not count. A pending flag counts against Subscribed,
// which must be beyond doubt, and not against Unsubscribed.
func smsState(s sms.ContactListSubscription) State {
	word := text(s.SubscriptionState)
	for _, known := range []State{Subscribed, Unsubscribed} {
		if strings.EqualFold(word, string(known)) {
			word = string(known)
		}
	}
	state := stateOf(word)
	if state != Unsubscribed && (isTrue(s.PendingDoubleOptIn) || isTrue(s.PendingAgeGate)) {
		return Pending
	}
	return state
}

// OptOutOf reads an opt-out as it came, in the zone that the merchant set.
func OptOutOf(o sms.OptOutContact, zone *time.Location) (OptOut, error) {
	optOut := OptOut{Phone: text(o.PhoneNumber)}
	if o.OptOutReason != nil {
		optOut.Reason = reasonOf(*o.OptOutReason)
	}
	date, ambiguous, err := ParseDate(text(o.OptOutDate), zone)
	if !date.IsZero() {
		optOut.Date, optOut.Ambiguous, optOut.RawDate = date, ambiguous, text(o.OptOutDate)
	}
	return optOut, err
}

// reasonPattern keeps out what could be about somebody: a reason goes into the journal.
var reasonPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z ]{0,39}$|^[0-9]{1,3}$`)

func reasonOf(raw json.RawMessage) OptOutReason {
	var word string
	if json.Unmarshal(raw, &word) != nil {
		word = string(raw)
	}
	if word == "null" || !reasonPattern.MatchString(word) {
		return ""
	}
	return OptOutReason(word)
}

// Codes of Listrak's SMS API on which more than the class depends (official document, "Error Codes").
const (
	codePhoneSubscribed    = "ERROR_SUBSCRIBED_PHONE_NUMBER"
	codePhoneNotSubscribed = "ERROR_PHONE_NUMBER_NOT_SUBSCRIBED"
	codePhonePending       = "ERROR_PENDING_PHONE_NUMBER"
	codePhoneFound         = "ERROR_PHONE_NUMBER_FOUND"
	codePhoneNotFound      = "ERROR_PHONE_NUMBER_NOT_FOUND"
)

const (
	adviceSMSURL = "What answered is not Listrak's SMS API: check the merchant's Listrak SMS URL (https://api.listrak.com/sms unless set otherwise)"
	// adviceSMSCredentials speaks of what Listrak calls an integration of the type SMS (official document, "Integration Setup").
	adviceSMSCredentials = "Listrak refused the SMS client id and secret: check both (the secret is shown only once, in Integrations → " +
		"Integration Management), that the integration is of the type SMS and not paused, and that the IP address of this worker is allowed there"
	adviceSMSDenied = "Listrak gave a token but does not allow this call: in Integrations → Integration Management, check that the integration " +
		"is of the type SMS and not paused, and that the IP address of this worker is allowed"
	adviceSMSList = "The merchant's Listrak sender code or phone list does not exist, or this integration may not see it: set both again " +
		"with `merchant set`"
	adviceSMSCode = "The merchant's Listrak sender code is disabled: enable it in Listrak, or set another with `merchant set`"
	adviceSMSForm = "Listrak takes no phone number in its routes that is spelt this way: set another spelling of phone numbers for this " +
		"merchant with `merchant set`"
	adviceSMSHTTP = "Listrak wants HTTPS: check that the merchant's Listrak SMS URL begins with https://"
	advicePhone   = "Listrak does not take this phone number"
)

// smsVerdicts holds the codes that only the SMS API has, as verdicts does.
var smsVerdicts = map[string]verdict{
	"ERROR_BANNED_PHONE_NUMBER":    {failure.Refused, ""},
	"ERROR_PHONE_NUMBER_SUSPENDED": {failure.Refused, ""},
	"ERROR_INVALID_PHONE_NUMBER":   {failure.Refused, advicePhone},
	// A write that meets this is no failure (smsRefusedWrite).
	codePhonePending:                                  {failure.Refused, ""},
	"ERROR_SENDER_CODE_DISABLED":                      {failure.PersonMustAct, adviceSMSCode},
	codePhoneSubscribed:                               {failure.Retry, adviceOtherState},
	codePhoneNotSubscribed:                            {failure.Retry, adviceOtherState},
	codePhoneFound:                                    {failure.Retry, adviceOtherState},
	codePhoneNotFound:                                 {failure.Retry, adviceOtherState},
	"ERROR_BIRTHDAY_FIELD_NULL":                       {failure.Refused, adviceDefect},
	"ERROR_INVALID_EMAIL_ADDRESS":                     {failure.Refused, adviceDefect},
	"ERROR_INVALID_SEGMENTATION_FIELD_ID":             {failure.Refused, adviceDefect},
	"ERROR_SEGMENTATION_FIELD_DISABLED":               {failure.Refused, adviceDefect},
	"ERROR_SEGMENTATION_MAX_LENGTH":                   {failure.Refused, adviceDefect},
	"ERROR_TRANSACTIONAL_MESSAGE_CONTENT_COUPON_CODE": {failure.Refused, adviceDefect},
	"ERROR_TRANSACTIONAL_MESSAGE_EMPTY_MESSAGE":       {failure.Refused, adviceDefect},
	"ERROR_TRANSACTIONAL_MESSAGE_NOT_FOUND":           {failure.Refused, adviceDefect},
}

// smsAdvice replaces advice that speaks of the Email API's integration, address and list.
func (c call) smsAdvice(f *failure.Error) string {
	switch {
	case f.Class == failure.PersonMustAct && f.Code == codeInvalidCredentials:
		return adviceSMSCredentials
	case f.Class == failure.PersonMustAct && deniedBy(f) > 0:
		return adviceSMSDenied
	case f.Advice == adviceBaseURL:
		return adviceSMSURL
	case f.Advice == adviceList, f.Advice == adviceEvents:
		return adviceSMSList
	case f.Advice == adviceHTTPS:
		return adviceSMSHTTP
	case f.Advice == adviceRoute:
		return adviceSMSForm
	case f.Advice == adviceAddress:
		return advicePhone
	}
	return f.Advice
}

// SMSRefusal is Refusal for the SMS API.
func SMSRefusal(op string, status int, code string, write bool) *failure.Error {
	return call{op: op, write: write, person: true, sms: true}.classify(status, code)
}

// SMSRefusedWrite is RefusedWrite for the SMS API. Asked is Subscribed or Unsubscribed; a phone number that the sender code does not know
// is on none of its lists, and so unsubscribed.
func SMSRefusedWrite(op string, asked State, status int, code string, server time.Time) (WriteResult, error) {
	return smsRefusedWrite(SMSRefusal(op, status, code, true), asked, server)
}

func smsRefusedWrite(err error, asked State, server time.Time) (WriteResult, error) {
	if f := failure.As(err); f != nil {
		switch {
		case asked == Subscribed && f.Code == codePhoneSubscribed,
			asked == Unsubscribed && (f.Code == codePhoneNotSubscribed || f.Code == codePhoneNotFound):
			return WriteResult{AlreadySo: true, ServerTime: server}, nil
		case f.Code == codePhonePending:
			return WriteResult{Pending: true, ServerTime: server}, nil
		}
	}
	return WriteResult{}, err
}

func isTrue(b *bool) bool { return b != nil && *b }
