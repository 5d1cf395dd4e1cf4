package devserver

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// buildProgress tells a person that a build of minutes is alive: how long it has run and how many packages are compiled. On a
// terminal it is one line that renews itself each second; elsewhere (a log of CI) a new line from time to time.
type buildProgress struct {
	out      io.Writer
	terminal bool
	started  time.Time
	stop     chan struct{}
	stopped  sync.WaitGroup

	mu       sync.Mutex
	packages int
}

func showBuild(out io.Writer) *buildProgress {
	p := &buildProgress{out: out, started: time.Now(), stop: make(chan struct{})}
	every := 20 * time.Second
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.terminal, every = true, time.Second
	}
	fmt.Fprintf(out, "Building the Temporal CLI %s, once on this machine: two to five minutes on two cores.\n", CLIVersion)
	p.stopped.Add(1)
	go func() {
		defer p.stopped.Done()
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.show()
			case <-p.stop:
				return
			}
		}
	}()
	return p
}

// Write counts what `go build -v` prints: a line per compiled package.
func (p *buildProgress) Write(output []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.packages += bytes.Count(output, []byte("\n"))
	return len(output), nil
}

func (p *buildProgress) show() {
	p.mu.Lock()
	packages := p.packages
	p.mu.Unlock()
	start, end := "", "\n"
	if p.terminal {
		start, end = "\r", ""
	}
	fmt.Fprintf(p.out, "%s  %s, %d packages compiled%s", start, time.Since(p.started).Round(time.Second), packages, end)
}

// end stops the display with a last line, which says how long it took.
func (p *buildProgress) end() {
	close(p.stop)
	p.stopped.Wait()
	p.show()
	if p.terminal {
		fmt.Fprintln(p.out)
	}
}
