// Package telemetry makes the logger of a process. Callers hand it to Temporal with go.temporal.io/sdk/log.NewStructuredLogger.
package telemetry

import (
	"io"
	"log/slog"
)

// JSON is the log format in which each line is an object; every other format is slog's text.
const JSON = "json"

// NewLogger writes lines of at least the given level to out. What looks like an email address or a phone number is replaced by
// Redacted before it is written. No line of ours should hold one; this is for the texts that others make and that we pass on.
func NewLogger(out io.Writer, level slog.Leveler, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redactAttribute}
	if format == JSON {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}
