package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// outputFormat is the value of --output.
type outputFormat bool

// String shows the format.
func (o *outputFormat) String() string {
	if *o {
		return "json"
	}
	return "text"
}

// Type names the kind of value in the help.
func (o *outputFormat) Type() string { return "FORMAT" }

// Set reads the format.
func (o *outputFormat) Set(text string) error {
	switch text {
	case "text":
		*o = false
	case "json":
		*o = true
	default:
		return fmt.Errorf("it is text or json")
	}
	return nil
}

// view is what a verb answers. Its JSON form has stable field names; text writes the same for people.
type view interface{ text(p *page) }

// show writes a verb's answer in the chosen form.
func (a *app) show(v view) error {
	if a.output {
		encoder := json.NewEncoder(a.out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(v); err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
		return nil
	}
	p := &page{w: a.out}
	v.text(p)
	if p.err != nil {
		return fmt.Errorf("write the answer: %w", p.err)
	}
	return nil
}

// page writes text and remembers the first error.
type page struct {
	w   io.Writer
	err error
}

func (p *page) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// table writes aligned columns. Empty trailing cells leave no blanks behind.
func (p *page) table(indent string, rows [][]string) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		// A strings.Builder takes everything.
		_, _ = fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush()
	for line := range strings.Lines(b.String()) {
		p.line("%s", strings.TrimRight(indent+strings.TrimRight(line, "\n"), " "))
	}
}

// facts writes names and values; those without a value are left out.
func (p *page) facts(indent string, pairs ...string) {
	var rows [][]string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			rows = append(rows, []string{pairs[i], pairs[i+1]})
		}
	}
	p.table(indent, rows)
}

// stamp shows a time in UTC, to the second; empty for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

// span shows a length of time the way people say it.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// count shows a number with its noun.
func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
