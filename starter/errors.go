package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/api/serviceerror"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/keys"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/telemetry"
)

// The exit codes, as the root's help documents them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitRefused     = 4
	exitInterrupted = 130
)

// problem is an error with its exit code and, where there is something to do, a hint.
type problem struct {
	code int
	err  error
	hint string
}

func (p *problem) Error() string { return p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

// try adds what a person can do about it.
func (p *problem) try(format string, args ...any) *problem {
	p.hint = fmt.Sprintf(format, args...)
	return p
}

func failedError(format string, args ...any) *problem {
	return &problem{code: exitFailed, err: fmt.Errorf(format, args...)}
}

func usageError(format string, args ...any) *problem {
	return &problem{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func unreachableError(format string, args ...any) *problem {
	return &problem{code: exitUnreachable, err: fmt.Errorf(format, args...)}
}

func refusedError(format string, args ...any) *problem {
	return &problem{code: exitRefused, err: fmt.Errorf(format, args...)}
}

// exitCode gives every error its code.
func exitCode(ctx context.Context, err error) int {
	var p *problem
	var invalid *merchant.Invalid
	var notFound *serviceerror.NotFound
	var unavailable *serviceerror.Unavailable
	var deadline *serviceerror.DeadlineExceeded
	is := func(targets ...error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &p):
		return p.code
	case errors.As(err, &invalid), is(ledger.ErrUnknownMerchant, ledger.ErrMalformedDSN, ledger.ErrNoPrivacyRequest, consent.ErrMalformedAddress,
		consent.ErrMalformedPhone):
		return exitUsage
	case is(ledger.ErrLocked, ledger.ErrGone, ledger.ErrUnreachable, context.DeadlineExceeded),
		errors.As(err, &unavailable), errors.As(err, &deadline):
		return exitUnreachable
	case is(ledger.ErrNewerSchema, ledger.ErrMerchantExists, ledger.ErrShopTaken, ledger.ErrListTaken, ledger.ErrSMSListTaken, merchant.ErrNewerSettings,
		keys.ErrWrongKey, keys.ErrNoKey, keys.ErrUnsafeFile, keys.ErrDamaged, keys.ErrMalformed):
		return exitRefused
	case errors.As(err, &notFound):
		return exitFailed
	}
	if f := failure.As(err); f != nil {
		if f.Class == failure.Retry {
			return exitUnreachable
		}
		return exitRefused
	}
	return exitFailed
}

// hint says what to do about an error that does not say so itself.
func hint(err error) string {
	var p *problem
	var notFound *serviceerror.NotFound
	switch {
	case errors.As(err, &p) && p.hint != "":
		return p.hint
	case errors.Is(err, ledger.ErrUnknownMerchant):
		return "`starter merchant list` shows the merchants"
	case errors.Is(err, ledger.ErrGone), errors.Is(err, ledger.ErrUnreachable), errors.Is(err, ledger.ErrLocked):
		return "CONCORD_LEDGER names the ledger, --data the directory of a local one; `starter config` shows which one is used"
	case errors.Is(err, consent.ErrMalformedAddress):
		return "give one email address or phone number, or - to read it from standard input"
	case errors.Is(err, consent.ErrMalformedPhone):
		return "give a phone number with its country code, such as +15550001111, or an email address, which has an @"
	case errors.As(err, &notFound):
		return "`starter merchant resume` starts the merchant's workflow when it is missing"
	}
	return ""
}

// report writes an error for a person. What a library might have quoted is taken out.
func (a *app) report(ctx context.Context, err error) {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		a.note("Interrupted.")
		return
	}
	lines := strings.Split(strings.TrimSpace(telemetry.Redact(err.Error())), "\n")
	a.note("Error: %s", strings.Join(lines, "\n       "))
	if h := hint(err); h != "" {
		a.note("Try:   %s", h)
	}
}
