package shopify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/concordsync/concord/internal/failure"
)

// Codes that callers tell apart, as they stand in failure.Error.Code. Other codes are Shopify's own or HTTP_ and the status.
const (
	// CodeTaken: the address or the phone number belongs to a customer already. Look the customer up by it and update its consent.
	CodeTaken = "TAKEN"
	// CodeCustomerNotFound: the customer was deleted or merged away. Look the person up by address or phone number again.
	CodeCustomerNotFound = "CUSTOMER_NOT_FOUND"
	// CodeEmailInvalid and CodeEmailTooLong: Shopify will never take this address.
	CodeEmailInvalid = "EMAIL_INVALID"
	CodeEmailTooLong = "EMAIL_TOO_LONG"
	// CodePhoneInvalid: Shopify will never take this phone number.
	CodePhoneInvalid = "PHONE_INVALID"
	// CodeNoPhone: an SMS consent was to be written for a customer who has no phone number (any more).
	CodeNoPhone = "NO_PHONE"
	// CodeFutureDate: by Shopify's clock the consent's date has not come yet.
	CodeFutureDate = "FUTURE_DATE"
	// CodeBadCursor: the place to read on from is gone. Begin again from the last date read.
	CodeBadCursor = "BAD_CURSOR"
	// CodeThrottled: Shopify's bucket was empty in spite of our budget; another process uses it too.
	CodeThrottled = "THROTTLED"
	// CodeBudget: the caller's deadline came before enough points.
	CodeBudget = "BUDGET"
	// CodeTimeout, CodeCanceled, CodeUnreachable, CodeTLS: no answer, because of time, the caller, the network, a certificate.
	CodeTimeout     = "TIMEOUT"
	CodeCanceled    = "CANCELED"
	CodeUnreachable = "UNREACHABLE"
	CodeTLS         = "TLS"
	// CodeBadAnswer, CodeTooLarge: an answer that does not keep to the contract, or is larger than we read.
	CodeBadAnswer = "BAD_ANSWER"
	CodeTooLarge  = "ANSWER_TOO_LARGE"
	// CodeAccessDenied, CodeProtectedData, CodeShopNotPermitted: a person must grant something.
	CodeAccessDenied     = "ACCESS_DENIED"
	CodeProtectedData    = "PROTECTED_CUSTOMER_DATA"
	CodeShopNotPermitted = "SHOP_NOT_PERMITTED"
	// CodeSearch: Shopify ran a search without a part of it that it did not understand.
	CodeSearch = "SEARCH_WARNING"
	// CodeNotSent: another item of the same request was unreadable to Shopify, so it did nothing.
	CodeNotSent = "NOT_EXECUTED"
)

// What a person can do, in one sentence each.
const (
	adviceOrganization = "The app and the store are in different organizations: make the app in the Dev Dashboard of the organization " +
		"that owns this store, or use the token of a custom app of the store."
	adviceClient = "Check the client id and the client secret in the app's settings, and that the app is installed on this store."
	adviceToken  = "The access token is not valid (any more): set it again with `starter merchant set`."
	adviceFrozen = "The store is frozen for an unpaid bill: its owner must settle it in the Shopify admin."
	adviceForbid = "Shopify forbids this app to call the store: check that the app is installed and the store is open."
	adviceNoShop = "No such store: check the name, it must be the one that ends in .myshopify.com."
	adviceLocked = "Shopify has locked the store: its owner must ask Shopify's support."
	adviceMoved  = "The address of the store leads elsewhere: use the name that ends in .myshopify.com."
	adviceData   = "Request access to protected customer data, name, email and phone included, on the app's API access page in Shopify."
	adviceUpdate = "Concord and Shopify's API do not agree: update Concord, and report this if it is the newest version."
	adviceTLS    = "The certificate of the store's address was not accepted: check the address and any proxy between."
	advicePhone  = "The customer has no phone number in Shopify: enter it there, or let the person give it again."
	adviceReach  = "The store's address could not be reached: check the address and this machine's network."
)

// Whole messages of Shopify's that hold nothing about a person (contracts/shopify.md 3.3, 3.6). Only these may be repeated; every other
// message could quote what was sent.
var safeMessages = map[string]struct {
	class  failure.Class
	code   string
	wait   time.Duration
	advice string
}{
	// TAKEN and a customer who is gone are Retry, not Refused: a fresh look-up finds what to write to, and a caller that forgets the
	// code loses no decision.
	"Email has already been taken":                                              {class: failure.Retry, code: CodeTaken},
	"Phone has already been taken":                                              {class: failure.Retry, code: CodeTaken},
	"Customer not found":                                                        {class: failure.Retry, code: CodeCustomerNotFound},
	"Consent updated at must not be in the future":                              {class: failure.Retry, code: CodeFutureDate, wait: time.Minute},
	"Email is invalid":                                                          {class: failure.Refused, code: CodeEmailInvalid},
	"Email is too long (maximum is 255 characters)":                             {class: failure.Refused, code: CodeEmailTooLong},
	"Phone is invalid":                                                          {class: failure.Refused, code: CodePhoneInvalid},
	"Phone is too long (maximum is 255 characters)":                             {class: failure.Refused, code: CodePhoneInvalid},
	"A phone number is required to set the SMS consent state.":                  {class: failure.Refused, code: CodeNoPhone, advice: advicePhone},
	"Marketing opt in level must exist":                                         {class: failure.Refused, code: "MISSING_ARGUMENT"},
	"Cannot specify INVALID as a marketing state input":                         {class: failure.Refused, code: "INVALID"},
	"Cannot specify NOT_SUBSCRIBED as a marketing state input":                  {class: failure.Refused, code: "INVALID"},
	"Cannot specify REDACTED as a marketing state input":                        {class: failure.Refused, code: "INVALID"},
	"A name, phone number, or email address must be present":                    {class: failure.Refused, code: "INVALID"},
	"An email address is required to set the email marketing consent state.":    {class: failure.Refused, code: "INVALID"},
	"Marketing opt in level must be confirmed opt-in for pending consent state": {class: failure.Refused, code: "INVALID"},
}

// graphError is one entry of the errors of an answer.
type graphError struct {
	Message    string   `json:"message"`
	Path       ast.Path `json:"path"`
	Extensions struct {
		Code      string `json:"code"`
		RequestID string `json:"requestId"`
	} `json:"extensions"`
	// searched is set for a warning about a search, which is made an error of ours: the field of the search that it is about.
	searched string
}

var (
	scopePattern    = regexp.MustCompile(`\b(?:read|write)_[a-z_]{1,40}\b`)
	approvalPattern = regexp.MustCompile(`^This app is not approved to (?:(?:access|use) the ([A-Za-z]{1,40}) (object|field)\b)?`)
	variablePattern = regexp.MustCompile(`^Variable \$([A-Za-z0-9_]{1,60}) `)
	codePattern     = regexp.MustCompile(`^[A-Za-z_]{1,60}$`)
	// idPattern is of request ids. It wants a letter, which no phone number has.
	idPattern = regexp.MustCompile(`^[0-9-]{0,63}[A-Za-z][A-Za-z0-9-]{0,63}$`)
)

// classify turns a top-level error into ours. wait is the answer's, for THROTTLED.
func (g graphError) classify(op operation, wait time.Duration) *failure.Error {
	f := &failure.Error{Class: failure.Retry, Op: op.verb, Code: "UNKNOWN"}
	if codePattern.MatchString(g.Extensions.Code) {
		f.Code = g.Extensions.Code
	}
	if approval := approvalPattern.FindStringSubmatch(g.Message); approval != nil {
		f.Class, f.Code = failure.PersonMustAct, CodeProtectedData
		f.Advice = adviceData
		if approval[1] != "" {
			f.Advice = "This app is not approved for the " + approval[1] + " " + approval[2] + ". " + adviceData
		}
		return f
	}
	if safe, ok := safeMessages[g.Message]; ok {
		f.Class, f.Code, f.Wait, f.Advice, f.Err = safe.class, safe.code, safe.wait, safe.advice, errors.New(g.Message)
		return f
	}
	switch f.Code {
	case CodeSearch:
		// Dates are our own, so nobody's search works any more; an address is a person's, and only that one cannot be searched for.
		if f.Class, f.Advice = failure.PersonMustAct, adviceUpdate; op == opOrdersOfEmail && g.searched == "email" {
			f.Class, f.Advice = failure.Refused, ""
		}
	case "ACCESS_DENIED":
		f.Class, f.Advice = failure.PersonMustAct, "Grant the app the scopes that the set-up demands, and release a new version of it."
		if scope := scopePattern.FindString(g.Message); scope != "" {
			f.Advice = "Grant the app the scope " + scope + " and release a new version of it."
		}
	case "THROTTLED":
		f.Wait = wait
	case "SHOP_INACTIVE":
		f.Class, f.Advice = failure.PersonMustAct, adviceFrozen
	case "MAX_COST_EXCEEDED", "MAX_INPUT_SIZE_EXCEEDED", "INVALID_FIELD_ARGUMENTS", "undefinedField", "argumentLiteralsIncompatible",
		"missingRequiredArguments", "argumentNotAccepted", "variableNotUsed":
		f.Class, f.Advice = failure.PersonMustAct, adviceUpdate
	case "INVALID", "INVALID_VARIABLE", "NOT_FOUND", "RESOURCE_NOT_FOUND":
		f.Class = failure.Refused
	case "BAD_REQUEST":
		if g.Message == "Malformed cursor" {
			f.Code = CodeBadCursor
		}
	default:
		// INTERNAL_SERVER_ERROR and everything that nobody has described: a write may have happened (contracts/shopify.md 7).
		f.MaybeDone = op.write
		if idPattern.MatchString(g.Extensions.RequestID) {
			f.Err = fmt.Errorf("request id %s at Shopify", g.Extensions.RequestID)
		}
	}
	return f
}

// userFailure turns the userErrors of a write into a failure, nil when there are none. code is empty where the mutation gives none.
func userFailure(op operation, code, message string) *failure.Error {
	if safe, ok := safeMessages[message]; ok {
		return &failure.Error{Class: safe.class, Op: op.verb, Code: safe.code, Wait: safe.wait, Advice: safe.advice, Err: errors.New(message)}
	}
	switch {
	case code == "INTERNAL_ERROR":
		return &failure.Error{Class: failure.Retry, Op: op.verb, Code: code, MaybeDone: true}
	case codePattern.MatchString(code):
		return &failure.Error{Class: failure.Refused, Op: op.verb, Code: code}
	default:
		return &failure.Error{Class: failure.Refused, Op: op.verb, Code: "USER_ERROR"}
	}
}

// transportFailure is for a request that brought no answer. Errors of net/http print the URL, and some quote the answer, so only
// causes that are known to hold neither are kept.
func transportFailure(verb string, err error, maybeDone bool) *failure.Error {
	f := &failure.Error{Class: failure.Retry, Op: verb, Code: CodeUnreachable, MaybeDone: maybeDone}
	var (
		timeout     interface{ Timeout() bool }
		unknownHost *net.DNSError
		network     *net.OpError
		certificate *tls.CertificateVerificationError
		page        *url.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		f.Code, f.Err = CodeCanceled, context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		f.Code, f.Err = CodeTimeout, context.DeadlineExceeded
	case errors.As(err, &timeout) && timeout.Timeout():
		f.Code, f.Err = CodeTimeout, context.DeadlineExceeded
	case errors.As(err, &certificate):
		// Not PersonMustAct: a certificate may be mended on the other side, and nobody would come to let the merchant go on.
		f.Code, f.Advice = CodeTLS, adviceTLS
	case errors.As(err, &unknownHost):
		f.Err, f.Advice = unknownHost, adviceReach
	case errors.As(err, &network):
		f.Err, f.Advice = network, adviceReach
	case errors.As(err, &page), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.Err = errors.New("the connection broke")
	}
	return f
}

// errTooLarge is a body beyond maxAnswer.
var errTooLarge = errors.New("the answer is larger than any that was asked for")

// maxAnswer is far above the largest answer (250 customers are about 100 KB).
const maxAnswer = 16 << 20

func readBody(body io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		return nil, errTooLarge
	}
	return text, err
}

// bodyFailure is for an answer that could not be read to its end.
func bodyFailure(verb string, err error, maybeDone bool) *failure.Error {
	if errors.Is(err, errTooLarge) {
		return &failure.Error{Class: failure.Retry, Op: verb, Code: CodeTooLarge, MaybeDone: maybeDone, Err: err}
	}
	return transportFailure(verb, err, maybeDone)
}

func statusCode(status int) string { return "HTTP_" + strconv.Itoa(status) }

// statusFailure is for every status but 200 (contracts/shopify.md 7). Only from 500 on can a write have happened.
func statusFailure(verb string, response *http.Response, write bool, now time.Time) *failure.Error {
	status := response.StatusCode
	f := &failure.Error{Class: failure.PersonMustAct, Op: verb, Code: statusCode(status)}
	switch {
	case status == http.StatusUnauthorized:
		f.Advice = adviceToken
	case status == http.StatusPaymentRequired:
		f.Advice = adviceFrozen
	case status == http.StatusForbidden:
		f.Advice = adviceForbid
	case status == http.StatusNotFound:
		f.Advice = adviceNoShop
	case status == http.StatusLocked:
		f.Advice = adviceLocked
	case status >= 300 && status < 400:
		f.Advice = adviceMoved
	case status == http.StatusTooManyRequests:
		f.Class, f.Wait = failure.Retry, retryAfter(response.Header, now, 2*time.Second)
	case status == 430:
		// Shopify Security Rejection: the calls looked hostile to it. Coming back at once makes it worse.
		f.Class, f.Wait = failure.Retry, retryAfter(response.Header, now, time.Minute)
	case status >= 500:
		f.Class, f.Wait, f.MaybeDone = failure.Retry, retryAfter(response.Header, now, 0), write
		if id := response.Header.Get("X-Request-Id"); idPattern.MatchString(id) {
			f.Err = fmt.Errorf("request id %s at Shopify", id)
		}
	default:
		f.Class = failure.Retry
	}
	return f
}

// UserError, FieldError and StatusError are the failures that the client makes of a refusal in a payload, of an error of a whole field,
// and of a status other than 200. A simulation, which has those answers without HTTP, classifies them here too.
func UserError(verb, code, message string) error {
	return userFailure(operation{verb: verb, write: true}, code, message)
}

// FieldError is described with UserError.
func FieldError(verb, code, message string, write bool) error {
	g := graphError{Message: message}
	g.Extensions.Code = code
	return g.classify(operation{verb: verb, write: write}, time.Second)
}

// StatusError is described with UserError.
func StatusError(verb string, status int, write bool) error {
	return statusFailure(verb, &http.Response{StatusCode: status}, write, time.Time{})
}

// retryAfter reads the Retry-After header, in seconds or as a date, and gives fallback without one. More than an hour is cut: it
// would rather be a broken clock.
func retryAfter(header http.Header, now time.Time, fallback time.Duration) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 3600) * float64(time.Second))
	}
	if date, err := http.ParseTime(value); err == nil && date.After(now) {
		return min(date.Sub(now), time.Hour)
	}
	return fallback
}

// ItemErrors is the error of a read of many people that failed for some of them: element i belongs to item i and is nil where the
// result stands. The results of the others are good.
type ItemErrors []error

// Error tells how many failed and shows the gravest.
func (e ItemErrors) Error() string {
	grave := e.Unwrap()
	if len(grave) == 0 {
		return "no item failed"
	}
	return fmt.Sprintf("%d of %d items failed: %v", len(grave), len(e), grave[0])
}

// Unwrap gives the errors, the gravest class first, so that failure.ClassOf names what to do about the whole.
func (e ItemErrors) Unwrap() []error {
	var ordered []error
	for _, class := range []failure.Class{failure.PersonMustAct, failure.Retry, failure.Refused} {
		for _, err := range e {
			if err != nil && failure.ClassOf(err) == class {
				ordered = append(ordered, err)
			}
		}
	}
	return ordered
}

// orNil is the error to return: nil when no item failed.
func (e ItemErrors) orNil() error {
	if len(e.Unwrap()) == 0 {
		return nil
	}
	return e
}
