package activities

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
)

func failing(class failure.Class, wait time.Duration) error {
	return &failure.Error{Class: class, Op: "read contact", Wait: wait}
}

func TestSeveralErrorsAreClassifiedTogether(t *testing.T) {
	t.Parallel()
	retry := func(wait time.Duration) error { return failing(failure.Retry, wait) }
	person, refused := failing(failure.PersonMustAct, 0), failing(failure.Refused, 0)
	for i, c := range []struct {
		err          error
		kind         string
		nonRetryable bool
		wait         time.Duration
	}{
		{retry(time.Second), RoundFailedType, false, time.Second},
		{person, "a person must act", true, 0},
		{refused, "refused", true, 0},
		{errors.Join(person, refused), "a person must act", true, 0},
		{errors.Join(refused, person), "a person must act", true, 0},
		{errors.Join(person, retry(0)), RoundFailedType, false, 0},
		{errors.Join(retry(time.Second), person, retry(time.Minute)), RoundFailedType, false, time.Minute},
		{fmt.Errorf("deliver: %w", errors.Join(person, fmt.Errorf("to Listrak: %w", retry(time.Second)))), RoundFailedType, false, time.Second},
		{errors.Join(person, errors.New("no adapter classified it")), RoundFailedType, false, 0},
		{errors.Join(retry(time.Second), ledger.ErrUnknownMerchant), UnknownMerchantType, true, 0},
		{fmt.Errorf("about ada@example.com and +14155550100: %s", strings.Repeat("ü", 5000)), RoundFailedType, false, 0},
	} {
		var e *temporal.ApplicationError
		if err := classified(c.err); !errors.As(err, &e) || e.Type() != c.kind {
			t.Errorf("case %d: %v, want an error of type %s", i, err, c.kind)
			continue
		}
		if e.NonRetryable() != c.nonRetryable || e.NextRetryDelay() != c.wait {
			t.Errorf("case %d: non-retryable %t after %s, want %t after %s", i, e.NonRetryable(), e.NextRetryDelay(), c.nonRetryable, c.wait)
		}
		if strings.ContainsAny(e.Error(), "@+") || len(e.Message()) > maxErrorText+len("…") {
			t.Errorf("case %d: the text holds an address or is too long: %.80s… (%d)", i, e.Error(), len(e.Message()))
		}
	}
	if classified(nil) != nil {
		t.Error("no error is an error")
	}
}
