package listrak

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/concordsync/concord/internal/failure"
)

// Codes of Listrak on which more than the class depends (official document, "Error Codes").
const (
	codeAlreadySubscribed   = "ERROR_SUBSCRIBED_EMAIL_ADDRESS"
	codeAlreadyUnsubscribed = "ERROR_UNSUBSCRIBED_EMAIL_ADDRESS"
	codeNotSubscribed       = "ERROR_NOT_SUBSCRIBED_EMAIL_ADDRESS"
	codePending             = "ERROR_PENDING_EMAIL_ADDRESS"
	codeNotFound            = "ERROR_UNABLE_TO_LOCATE_RESOURCE"
	codeInvalidParameter    = "ERROR_INVALID_PARAMETER"
	codeInvalidCredentials  = "ERROR_INVALID_CREDENTIALS"
	codeUnhandled           = "ERROR_UNHANDLED_EXCEPTION"
	codeUnknownRoute        = "ERROR_UNKNOWN_ROUTE"
	codeUnsupportedMethod   = "ERROR_UNSUPPORTED_METHOD"
	codeUnsafeRoute         = "ERROR_UNSAFE_ROUTE"
)

// Codes of ours, for what came without one.
const (
	codeTimeout     = "TIMEOUT"
	codeCanceled    = "CANCELED"
	codeUnreachable = "UNREACHABLE"
	// codeUnreadable: an answer that is not what the contract promises (HTML, broken JSON, an unknown form of date).
	codeUnreadable = "UNREADABLE_ANSWER"
	codeTooLarge   = "ANSWER_TOO_LARGE"
	// codeRate: the call was not made, see ErrNoSpare.
	codeRate     = "RATE"
	codeAddress  = "ADDRESS_NOT_EXPRESSIBLE"
	codeUsage    = "INVALID_CALL"
	codeSettings = "INVALID_SETTING"
)

const (
	adviceBaseURL = "What answered is not Listrak's Email API: check the merchant's Listrak URL (https://api.listrak.com/email unless set otherwise)"
	adviceHTTPS   = "Listrak wants HTTPS: check that the merchant's Listrak URL begins with https://"
	adviceDefect  = "This is a defect of Concord or a change at Listrak: please report it with this line"
	adviceList    = "The merchant's Listrak list does not exist, or this integration may not see it: see `merchant lists` and set the list again with `merchant set`"
	adviceRoute   = "Listrak cannot be asked about this address, because its route takes no such character"
	adviceAddress = "Listrak does not take this address"
	adviceEvents  = "The merchant's list or one of its subscription points (event ids) does not exist at Listrak, or is blocked: see `merchant lists` " +
		"and `merchant events`, and set them again with `merchant set`"
)

// verdict is what a code means wherever it appears.
type verdict struct {
	class  failure.Class
	advice string
}

// verdicts holds the codes whose meaning does not depend on the call. A code that stands neither here nor in classify is
// unknown to us and comes to nothing worse than a retry, since giving up could lose a decision.
var verdicts = map[string]verdict{
	codeInvalidCredentials: {failure.PersonMustAct, adviceCredentials},

	codeUnknownRoute:                              {failure.PersonMustAct, adviceBaseURL},
	codeUnsupportedMethod:                         {failure.PersonMustAct, adviceBaseURL},
	"ERROR_UNSUPPORTED_CONTENT_TYPE":              {failure.PersonMustAct, adviceDefect},
	"ERROR_UNSUPPORTED_PROTOCOL":                  {failure.PersonMustAct, adviceHTTPS},
	"ERROR_INTEGRATION_CANNOT_ACCESS_BETA_ROUTE":  {failure.PersonMustAct, adviceDefect},
	"ERROR_INVALID_LIST_ID":                       {failure.PersonMustAct, adviceList},
	"ERROR_LIST_INACTIVE":                         {failure.PersonMustAct, "The merchant's list is inactive: activate it in Listrak, or set another with `merchant set`"},
	"ERROR_BANNED_EMAIL_ADDRESS":                  {failure.Refused, ""},
	"ERROR_SUPPRESSED_EMAIL":                      {failure.Refused, ""},
	codeUnsafeRoute:                               {failure.Refused, adviceRoute},
	"ERROR_MALFORMED_REQUEST_BODY":                {failure.Refused, adviceDefect},
	"ERROR_UNSUBSCRIBE_WITH_EVENTS":               {failure.Refused, adviceDefect},
	"ERROR_UNSUBSCRIBE_WITH_SEGMENTATION_DATA":    {failure.Refused, adviceDefect},
	"ERROR_TOO_MANY_SEGMENTATION_FIELDS":          {failure.Refused, adviceDefect},
	"ERROR_BANNED_NEW_EMAIL_ADDRESS":              {failure.Refused, adviceDefect},
	"ERROR_CHANGE_ADDRESS_CONTACT_UNSUBSCRIBED":   {failure.Refused, adviceDefect},
	"ERROR_CHANGE_ADDRESS_WITH_EVENTS":            {failure.Refused, adviceDefect},
	"ERROR_CHANGE_ADDRESS_WITH_SEGMENTATION_DATA": {failure.Refused, adviceDefect},
	"ERROR_PENDING_NEW_EMAIL_ADDRESS":             {failure.Refused, adviceDefect},
	"ERROR_SUBSCRIBED_NEW_EMAIL_ADDRESS":          {failure.Refused, adviceDefect},
	"ERROR_SUPPRESSED_NEW_EMAIL":                  {failure.Refused, adviceDefect},
	"ERROR_UNSUBSCRIBED_NEW_EMAIL_ADDRESS":        {failure.Refused, adviceDefect},
	"ERROR_UPDATE_UNSUBSCRIBE_WITH_EVENTS":        {failure.Retry, adviceOtherState},
	codeAlreadySubscribed:                         {failure.Retry, adviceOtherState},
	codeAlreadyUnsubscribed:                       {failure.Retry, adviceOtherState},
	codeNotSubscribed:                             {failure.Retry, adviceOtherState},
	codeUnhandled:                                 {failure.Retry, ""},
	"ERROR_RESOURCE_DEPENDENCY":                   {failure.Retry, adviceDefect},
	"ERROR_CONVERSION_ANALYTICS_NOT_ENABLED":      {failure.PersonMustAct, adviceDefect},
}

// adviceOtherState belongs to codes by which Listrak says that the contact is not in the state that the caller had read. It is no
// success, nor refused: a fresh read must decide.
const adviceOtherState = "The contact changed in Listrak meanwhile; it is read again before the next try"

// call describes a request for errors and for their classes.
type call struct {
	op   string // verb phrase with the route template
	area string // the area that the integration must allow
	// write is true when a failure may leave the change done.
	write bool
	// person is true when the request is about one contact, so that a refusal concerns only that one.
	person bool
	// spare is true when the call waits until no other one does.
	spare bool
	// privacy is true for calls of the Privacy API, and sms for those of the SMS API, which are other integrations with other addresses.
	privacy, sms bool
}

// classify turns an answer that is not a success into a failure; code is cleaned.
func (c call) classify(status int, code string) *failure.Error {
	f := &failure.Error{Class: failure.Retry, Op: c.op, Code: code, SMS: c.sms}
	if code == "" {
		f.Code = httpCode(status)
	}
	known, isKnown := verdicts[code]
	if c.sms && !isKnown {
		known, isKnown = smsVerdicts[code]
	}
	switch {
	case status == http.StatusTooManyRequests:
		f.Err = ErrTooManyRequests
	case status == http.StatusUnauthorized && code != codeInvalidCredentials, status == http.StatusForbidden:
		f.Class = failure.PersonMustAct
		f.Advice = "Listrak gave a token but does not allow this call: in Integrations → Integration Management, allow this integration the area " +
			c.area + ", check that it is not paused, and that the IP address of this worker is allowed"
	case isKnown:
		f.Class, f.Advice = known.class, known.advice
	case code == codeInvalidParameter && c.person:
		f.Class, f.Advice = failure.Refused, adviceAddress
	case code == codeInvalidParameter:
		f.Class, f.Advice = failure.PersonMustAct, adviceList
	case code == codeNotFound && c.write:
		f.Class, f.Advice = failure.PersonMustAct, adviceEvents
	case code == codeNotFound:
		f.Class, f.Advice = failure.PersonMustAct, adviceList
	case status >= 500, status == http.StatusRequestTimeout:
	case status >= 300 && status < 400:
		f.Class, f.Advice = failure.PersonMustAct, adviceBaseURL
	case code != "":
		f.Advice = adviceDefect
	case status == http.StatusBadRequest && c.person && !c.write:
		// What stands before Listrak's program (IIS) rejects some paths by itself, without a code.
		f.Class, f.Advice = failure.Refused, adviceRoute
	default:
		// A 404 without a code never means "no such contact": it may be another server, or an oversized body
		// (contracts/listrak.md, Access).
		f.Advice = adviceBaseURL
	}
	switch {
	case c.privacy:
		f.Advice = c.privacyAdvice(f)
	case c.sms:
		f.Advice = c.smsAdvice(f)
	}
	if f.Class == failure.Retry {
		f.MaybeDone = c.write && (status >= 500 || status == http.StatusRequestTimeout || code == codeUnhandled)
	}
	return f
}

// ErrTooManyRequests is in the chain of a failure that Listrak gives to whoever calls too often, whatever its code.
var ErrTooManyRequests = errors.New("too many requests")

// Everywhere reports whether a failure says nothing of what was asked for, because another call would fail like it: a credential or setting,
// the request rate, or the way to Listrak. A time-out is none of these: some messages may be too large for Listrak to show in time.
func Everywhere(err error) bool {
	f := failure.As(err)
	return f != nil && (f.Class == failure.PersonMustAct || f.Code == codeUnreachable || f.Code == codeCanceled || f.Code == codeRate ||
		errors.Is(err, ErrTooManyRequests))
}

// Refusal is the failure of a call about one contact that Listrak refused with status and code, which may be empty. A simulation, which
// has the refusals without HTTP, classifies them here too.
func Refusal(op string, status int, code string, write bool) *failure.Error {
	return call{op: op, area: "Contact", write: write, person: true}.classify(status, code)
}

// RefusedWrite is what comes of a write that Listrak refused: a contact that is in the state asked for already, or waits for a
// confirmation, is no failure.
func RefusedWrite(op string, asked State, status int, code string, server time.Time) (WriteResult, error) {
	return refusedWrite(Refusal(op, status, code, true), asked, server)
}

func refusedWrite(err error, asked State, server time.Time) (WriteResult, error) {
	if f := failure.As(err); f != nil {
		switch {
		case asked == Subscribed && f.Code == codeAlreadySubscribed,
			asked == Unsubscribed && (f.Code == codeAlreadyUnsubscribed || f.Code == codeNotSubscribed):
			return WriteResult{AlreadySo: true, ServerTime: server}, nil
		case f.Code == codePending:
			return WriteResult{Pending: true, ServerTime: server}, nil
		}
	}
	return WriteResult{}, err
}

// LostCursor is the failure of a page whose cursor Listrak does not take any more.
func LostCursor(op string) error {
	return &failure.Error{Class: failure.Retry, Op: op, Code: codeInvalidParameter, Err: ErrCursorLost}
}

// unreadable is an answer of success that does not hold what the contract promises. reason is a constant of ours.
func (c call) unreadable(reason string, wait time.Duration) *failure.Error {
	return &failure.Error{Class: failure.Retry, Op: c.op, Code: codeUnreadable, Wait: wait, MaybeDone: c.write, Err: errors.New(reason),
		Advice: c.urlAdvice()}
}

// urlAdvice is what to do when the answer is not that of the API which was called.
func (c call) urlAdvice() string {
	switch {
	case c.privacy:
		return advicePrivacyURL
	case c.sms:
		return adviceSMSURL
	default:
		return adviceBaseURL
	}
}

// broken is a call without an answer; err must be clean.
func broken(op string, err error, wait time.Duration) *failure.Error {
	f := &failure.Error{Class: failure.Retry, Op: op, Code: codeUnreachable, Wait: wait, Err: err}
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		f.Code, f.Wait = codeCanceled, 0
	case errors.Is(err, ErrNoSpare):
		f.Code = codeRate
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		f.Code = codeTimeout
	default:
		f.Advice = "Check that the worker can reach Listrak: name resolution, firewall, proxy, and the merchant's Listrak URLs"
	}
	return f
}

// transportError strips err of everything that could quote a URL or an answer: URLs of Listrak hold addresses. It returns nil if
// err is none of the network's.
func transportError(err error) error {
	var (
		operation *net.OpError
		lookup    *net.DNSError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		inURL     *url.Error
		timeout   net.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.As(err, &operation):
		return operation
	case errors.As(err, &lookup):
		return lookup
	case errors.As(err, &verify), errors.As(err, &authority), errors.As(err, &hostname):
		return errors.New("the server's certificate is not trusted, or is not of this host")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	case errors.As(err, &timeout) && timeout.Timeout():
		return context.DeadlineExceeded
	case errors.As(err, &inURL):
		return errors.New("the connection failed")
	default:
		return nil
	}
}

var codePattern = regexp.MustCompile(`^ERROR_[A-Z_]{1,80}$`)

// cleanCode lets through only what looks like a code of Listrak: it goes into logs and the journal, and a broken answer may hold
// anything.
func cleanCode(code string) string {
	if codePattern.MatchString(code) {
		return code
	}
	return ""
}

func httpCode(status int) string { return "HTTP_" + strconv.Itoa(status) }

const (
	shortestWait = time.Second
	longestWait  = time.Minute
	// longestRetryAfter bounds what an answer may ask for, so that a broken one does not stop a merchant for days.
	longestRetryAfter = 15 * time.Minute
)

// backoff is the delay after the nth failure in a row (n from 1): doubled each time from one second to a minute, less up to half of it
// at random, so that callers who failed together do not come back together.
func backoff(n int64) time.Duration {
	wait := longestWait
	if n < 7 {
		wait = min(longestWait, shortestWait<<max(n-1, 0))
	}
	return wait/2 + rand.N(wait/2+1)
}

// retryAfter is the delay that an answer asks for (Listrak never does, a proxy before it may), else fallback.
func retryAfter(h http.Header, now time.Time, fallback time.Duration) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return fallback
	}
	var wait time.Duration
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = min(time.Duration(min(max(seconds, 0), 1<<20))*time.Second, longestRetryAfter)
	} else if at, err := http.ParseTime(value); err == nil {
		wait = min(at.Sub(now), longestRetryAfter)
	}
	return max(wait, fallback)
}
