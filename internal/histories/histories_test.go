package histories_test

import (
	"strings"
	"testing"

	"github.com/concordsync/concord/internal/histories"
)

func TestEverySpellingOfAPhoneIsFound(t *testing.T) {
	t.Parallel()
	words := histories.Spellings("+15550001111")
	for _, text := range []string{
		"+15550001111", "15550001111", "5550001111", "(555) 000-1111", "555-000-1111", "555.000.1111", "+1 555 000 1111", "1-555-000-1111",
		"tel:+1(555)000-1111",
	} {
		excerpt, ok := histories.Place{Text: "sent to " + text + " twice"}.Holding(words...)
		if !ok || !strings.Contains(excerpt, "1111") {
			t.Errorf("%q is not found: %q", text, excerpt)
		}
	}
	if excerpt, ok := (histories.Place{Text: "5550001112 and 555 0001111"}).Holding(words...); ok {
		t.Errorf("found %q", excerpt)
	}
	if _, ok := (histories.Place{Text: "49301234567"}).Holding(histories.Spellings("+49301234567")...); !ok {
		t.Error("a number of another country is not found")
	}
	if _, ok := (histories.Place{Text: "Ann@Private.Example"}).Holding("private.example"); !ok {
		t.Error("letter case counts")
	}
}
