// Package failure is the one vocabulary in which the adapters of both sides report what went wrong. An adapter classifies once,
// at its edge; everything behind it only asks for the class.
package failure

import (
	"errors"
	"strings"
	"time"
)

// Class says what can be done about a failure. There are exactly three, because a caller has exactly three courses.
type Class uint8

const (
	// Retry: the same call may succeed later; see Error.Wait.
	Retry Class = iota + 1
	// Refused: the side will never accept this call for this person; only a newer decision makes it worth another try.
	Refused
	// PersonMustAct: no call of this merchant can succeed until somebody mends a credential, a scope or a setting; or none of its calls for
	// SMS (Error.SMS).
	PersonMustAct
)

// String names the class as the journal and the command line show it.
func (c Class) String() string {
	switch c {
	case Retry:
		return "retry later"
	case Refused:
		return "refused"
	case PersonMustAct:
		return "a person must act"
	default:
		return "unclassified"
	}
}

// Error is a classified failure of a call to Shopify or Listrak. It never holds personal data or a secret: Op and Code are
// constants or codes of the side, Advice is written by us, and Err must have been cleaned by the adapter (a url.Error prints
// the URL, and URLs of Listrak hold addresses).
type Error struct {
	Class Class
	// Op is a short verb phrase with a route template, such as "read contact" or "update email consents".
	Op string
	// Code is the side's own code (ERROR_BANNED_EMAIL_ADDRESS, THROTTLED) or one of ours (TIMEOUT, UNREACHABLE, HTTP_503).
	Code string
	// Wait is how long the side asked, or the budget demands, to stay away. Zero leaves the delay to the caller. Only with Retry.
	Wait time.Duration
	// Advice tells a person what to do next, in one sentence. Empty when nothing needs to be done.
	Advice string
	// MaybeDone is true when a write may have taken effect although it failed (a time-out, a broken connection, a 5xx after the
	// request was sent). Such an attempt stays open until a later read shows what happened.
	MaybeDone bool
	// SMS is true when it is the merchant's access to SMS that fails: with PersonMustAct, email goes on.
	SMS bool
	Err error
}

// Error renders the failure in one line: what was tried, what came back, what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(": ")
	b.WriteString(e.Class.String())
	if e.Code != "" {
		b.WriteString(" (")
		b.WriteString(e.Code)
		b.WriteString(")")
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.Advice != "" {
		b.WriteString(". ")
		b.WriteString(e.Advice)
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As the cause, for example context.DeadlineExceeded.
func (e *Error) Unwrap() error { return e.Err }

// As returns the classified failure in err's chain, or nil.
func As(err error) *Error {
	var f *Error
	if errors.As(err, &f) {
		return f
	}
	return nil
}

// ClassOf returns the class of err; an error that no adapter classified counts as Retry, because giving up on it could lose a
// decision.
func ClassOf(err error) Class {
	if f := As(err); f != nil {
		return f.Class
	}
	return Retry
}

// Causes takes an error apart into the failures and other errors that were joined in it, also when the join was wrapped afterwards:
// errors.As would only find the first of several.
func Causes(err error) []error {
	switch e := err.(type) {
	case *Error:
		return []error{e}
	case interface{ Unwrap() []error }:
		var all []error
		for _, part := range e.Unwrap() {
			all = append(all, Causes(part)...)
		}
		return all
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return Causes(inner)
		}
	}
	return []error{err}
}
