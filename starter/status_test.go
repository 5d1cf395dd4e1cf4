package main

import (
	"testing"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
)

func TestStatusTellsWhatToDoAboutARound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state ledger.MerchantState
		class failure.Class
		code  string
		says  string
	}{
		"passes by itself":        {ledger.Running, failure.Retry, "CODE", "CODE (retry later), 2 rounds in a row"},
		"SMS stands still":        {ledger.Running, failure.PersonMustAct, "SMS CODE", "SMS CODE (a person must act), 2 rounds in a row; email goes on: starter merchant check acme says what to do"},
		"just resumed":            {ledger.Running, failure.PersonMustAct, "CODE", "CODE (a person must act), 2 rounds in a row: starter merchant check acme says what to do"},
		"has its reason in State": {ledger.Broken, failure.PersonMustAct, "CODE", "CODE (a person must act), 2 rounds in a row"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := merchantStatus{Merchant: "acme", State: c.state, LastRound: &roundStatus{Error: c.code, ErrorClass: c.class.String(), FailuresInARow: 2}}
			if words := s.errorWords(); words != c.says {
				t.Errorf("it says %q, want %q", words, c.says)
			}
		})
	}
}
