package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/engagement"
)

func newEventsCommand(a *app) *cobra.Command {
	return group("events", "Take in email and SMS events", `Listrak's public API shows what people do with emails, and Concord reads it. Of SMS it shows nothing: until Listrak offers a feed, those
events are an export that is imported here, or a push to a worker's door (README, Email and SMS events).`, newEventsImportCommand(a))
}

type importFlags struct {
	merchant, format, kind, zone, separator string
	columns, types                          map[string]string
}

func newEventsImportCommand(a *app) *cobra.Command {
	var flags importFlags
	c := &cobra.Command{
		Use: "import FILE", Short: "Take in the events of an export", Args: arguments(1, 1),
		Long: `Takes in the events of a CSV file, whose first line names the columns, or of JSON Lines: an object a line, which may be a CloudEvents
event; "-" is standard input. Columns are found by the names id, source, type, time, address, message, title and link; --columns says under
which other names a file has them. An event needs a time, an address (email or phone number), the id of its message, and a type: sms.sent,
sms.clicked, email.sent, email.opened, email.clicked, and sms.bounced, sms.unsubscribed, email.bounced, email.unsubscribed, email.complained.

A line that cannot be read is written to standard error with its number and the reason, and the rest goes on. Importing a file again changes
nothing: an event counts once by its source and id, or without an id by what the line says. What was pushed too counts once only if the file
has the sender's source and id. Nothing is kept of what is switched off: run starter sync enable sms_events first.

Exits 1 when lines were refused.`,
		Example: "  starter events import sends.csv --type sms.sent --columns time=SendDate,address=Phone,message=CampaignId,title=Campaign\n" +
			"  starter events import events.jsonl --merchant acme",
		RunE: func(cmd *cobra.Command, args []string) error { return a.importEvents(cmd.Context(), args[0], flags) },
	}
	c.Flags().StringVarP(&flags.merchant, "merchant", "m", "", "the `MERCHANT`; may be left out when there is only one")
	c.Flags().StringVar(&flags.format, "format", "", "`FORMAT`: csv or jsonl (default: by the file's name)")
	c.Flags().StringToStringVar(&flags.columns, "columns", nil, "the file's own names of columns, as `FIELD=COLUMN,…`")
	c.Flags().StringVar(&flags.kind, "type", "", "the `TYPE` of all events, when no column tells")
	c.Flags().StringToStringVar(&flags.types, "types", nil, "the file's own names of types, as `NAME=TYPE,…`: Sent=sms.sent,Click=sms.clicked")
	for _, name := range []string{"columns", "types"} {
		c.Flags().Lookup(name).DefValue = "" // pflag would print (default [])
	}
	c.Flags().StringVar(&flags.zone, "zone", "", "IANA `ZONE` of times without an offset (default: the merchant's Listrak zone)")
	c.Flags().StringVar(&flags.separator, "separator", ",", "what separates the columns of CSV: one `CHARACTER`, or tab")
	return c
}

// importView is the answer of `starter events import`.
type importView struct {
	Merchant string `json:"merchant"`
	engagement.Report
}

func (a *app) importEvents(ctx context.Context, name string, flags importFlags) error {
	format, err := flags.read(name)
	if err != nil {
		return err
	}
	h, m, err := a.merchantOf(ctx, named(flags.merchant))
	if err != nil {
		return err
	}
	zone := flags.zone
	if zone == "" {
		zone = m.Settings.Zone
	}
	if format.Zone, err = time.LoadLocation(zone); err != nil {
		return usageError("--zone must be an IANA time zone, such as America/New_York")
	}
	file := io.Reader(a.in)
	if name != "-" {
		opened, err := os.Open(name)
		if err != nil {
			return usageError("the file cannot be read: %w", err)
		}
		defer opened.Close()
		file = opened
	}
	next := a.now().Add(progressEvery)
	unknownType := false
	report, err := h.Events.Import(ctx, m.Settings.ID, file, format, func(r engagement.Report) {
		if now := a.now(); now.After(next) {
			a.note("  %s taken in, %s so far", count(int64(r.Taken), "event", "events"), count(int64(r.Refused), "line refused", "lines refused"))
			next = now.Add(progressEvery)
		}
	}, func(reason engagement.Reason) {
		unknownType = unknownType || reason.UnknownType
		a.note("  line %d: %s", reason.Line, reason.Why)
	})
	if err != nil {
		if errors.Is(err, engagement.ErrFormat) {
			problem := usageError("%w", err)
			switch {
			case errors.Is(err, engagement.ErrOneColumn):
				problem = problem.try("--separator with what separates its columns, such as --separator ';' or --separator tab")
			case !format.JSONLines:
				problem = problem.try("--columns says under which names the file has them")
			}
			return problem
		}
		return fmt.Errorf("import events: %w. It can be run again: what was taken in counts once", err)
	}
	if err := a.show(&importView{m.Settings.ID, report}); err != nil {
		return err
	}
	if report.Refused > 0 {
		problem := failedError("%s refused", count(int64(report.Refused), "line was", "lines were"))
		if unknownType {
			problem = problem.try("--types says what the file's own names of types mean, such as --types Sent=sms.sent; --type, of which type all are")
		}
		return problem
	}
	return nil
}

func (f importFlags) read(name string) (engagement.Format, error) {
	format := engagement.Format{Columns: f.columns, Type: f.kind, Types: f.types}
	kind := f.format
	if kind == "" {
		kind = strings.TrimPrefix(strings.ToLower(filepath.Ext(name)), ".")
	}
	switch kind {
	case "csv", "tsv", "txt":
	case "jsonl", "ndjson", "json":
		format.JSONLines = true
	default:
		return format, usageError("the file's name does not tell its format").try("--format csv or --format jsonl")
	}
	separator := []rune(f.separator)
	switch {
	case f.separator == "tab":
		format.Separator = '\t'
	case len(separator) == 1 && separator[0] != '"' && separator[0] != '\n' && separator[0] != '\r':
		format.Separator = separator[0]
	default:
		return format, usageError("--separator must be one character, or tab")
	}
	if f.kind != "" {
		if _, _, err := engagement.ParseType(f.kind); err != nil {
			return format, usageError("--type: %w", err)
		}
	}
	for _, kind := range f.types {
		if _, _, err := engagement.ParseType(kind); err != nil {
			return format, usageError("--types: %w", err)
		}
	}
	return format, nil
}

func (v *importView) text(p *page) {
	p.line("Merchant %s: %s taken in", v.Merchant, count(int64(v.Taken), "event", "events"))
	for _, one := range []struct {
		n    int
		what string
	}{
		{v.Duplicate, "taken in before"},
		{v.Off, "not kept: their sync or kind is off (starter sync enable)"},
		{v.Read, "read from Listrak anyway"},
		{v.Refused, "refused, each with its line on standard error"},
	} {
		if one.n > 0 {
			p.line("  %s %s", grouped(uint64(one.n)), one.what)
		}
	}
}
