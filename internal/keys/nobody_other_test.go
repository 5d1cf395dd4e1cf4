//go:build !linux

package keys

import (
	"os"
	"testing"
)

// asNobody runs f, unless as root, who reads everything.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Skip("root reads everything, and only Linux lets one thread be somebody else")
	}
	f()
}
