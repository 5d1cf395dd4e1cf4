package config

import (
	"os"
	"strings"
	"testing"
)

// The README's table of settings is what Markdown makes of the struct, so that neither can change without the other.
func TestTheReadmeHasTheTableOfSettings(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if table := Markdown(); !strings.Contains(string(readme), "\n\n"+table+"\n") {
		t.Errorf("README.md does not have this table of settings as a paragraph of its own; put it there:\n\n%s", table)
	}
}
