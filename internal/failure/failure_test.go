package failure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestCausesFindsEveryFailure(t *testing.T) {
	t.Parallel()
	one, two := &Error{Class: Retry, Op: "read contacts"}, &Error{Class: PersonMustAct, Op: "get a token", Err: context.Canceled}
	plain := errors.New("plain")
	for _, c := range []struct {
		name string
		err  error
		want []error
	}{
		{"a failure alone, whatever it wraps", two, []error{two}},
		{"a wrapped failure", fmt.Errorf("round: %w", one), []error{one}},
		{"joined failures, wrapped afterwards", fmt.Errorf("round: %w", errors.Join(one, fmt.Errorf("write: %w", two))), []error{one, two}},
		{"no failure at all", fmt.Errorf("round: %w", plain), []error{plain}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := Causes(c.err); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAnErrorSaysWhatWasTriedWhatCameBackAndWhatToDo(t *testing.T) {
	t.Parallel()
	err := &Error{Class: PersonMustAct, Op: "get a token", Code: "shop_not_permitted", Err: plainText("refused"), Advice: "Install the app"}
	if got, want := err.Error(), "get a token: a person must act (shop_not_permitted): refused. Install the app"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if class := ClassOf(fmt.Errorf("check: %w", err)); class != PersonMustAct {
		t.Errorf("class %s, want %s", class, PersonMustAct)
	}
	if class := ClassOf(errors.New("unknown")); class != Retry {
		t.Errorf("an unclassified error is %s: giving up on it could lose a decision", class)
	}
}

type plainText string

func (p plainText) Error() string { return string(p) }
