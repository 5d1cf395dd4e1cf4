package merchant

import (
	"errors"
	"unicode/utf8"
)

// Invalid is one wrong setting. The command line answers it with a usage exit code.
type Invalid struct {
	// Setting is the flag or the variable to set, such as --zone or CONCORD_SHOPIFY_TOKEN.
	Setting string
	// Problem continues the sentence that Setting begins. It never repeats the value, which may be a secret in the wrong place.
	Problem string
}

// Error renders the sentence.
func (e *Invalid) Error() string { return e.Setting + " " + e.Problem }

// problems collects everything that is wrong, so that an operator mends it in one go.
type problems []error

func (p *problems) add(setting, problem string) {
	*p = append(*p, &Invalid{Setting: setting, Problem: problem})
}

func (p problems) err() error { return errors.Join(p...) }

// printable reports whether text is readable on one line: no control characters, no line breaks, valid UTF-8.
func printable(text string) bool {
	if !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\ufeff' {
			return false
		}
	}
	return true
}
