package devserver

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// tailLines and tailBytes bound what is kept of a child's output for an error text.
const (
	tailLines = 20
	tailBytes = 16 << 10
)

// tail keeps the end of what is written to it, and passes everything on to another writer if there is one. It is safe for the
// goroutines that copy a child's two streams.
type tail struct {
	pass io.Writer

	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(output []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, output...)
	if extra := len(t.kept) - tailBytes; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	if t.pass != nil {
		// A log that cannot be written must not stop the child, which would block or die on its own output.
		_, _ = t.pass.Write(output)
	}
	return len(output), nil
}

// String returns the last lines.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.kept)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// contains looks for a text in what is kept.
func (t *tail) contains(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.kept, []byte(text))
}
