package engagement

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/listrak"
)

// The fields of an event that a file may have columns for.
const (
	ColumnID      = "id"
	ColumnSource  = "source"
	ColumnType    = "type"
	ColumnTime    = "time"
	ColumnAddress = "address"
	ColumnMessage = "message"
	ColumnTitle   = "title"
	ColumnLink    = "link"
)

// Columns are all of them.
var Columns = []string{ColumnID, ColumnSource, ColumnType, ColumnTime, ColumnAddress, ColumnMessage, ColumnTitle, ColumnLink}

// Format is how a file holds events.
type Format struct {
	// JSONLines: one JSON object a line, which may be a CloudEvents event as pushes have them; else CSV, whose first line names the columns.
	JSONLines bool
	// Columns says by what name the file has a field; a field that is not named is called as in Columns, in any case. Only time, address and
	// message are needed, and type unless Type is set. Without an id, two lines that say the same are one event. With the id and the source of a
	// push, a line is the same event as that.
	Columns map[string]string
	// Type is the type of every event, "sms.sent", when the file does not tell; Types are the file's own names for types.
	Type  string
	Types map[string]string
	// Zone is where times without an offset are from.
	Zone *time.Location
	// Separator of CSV; a comma when zero.
	Separator rune
}

const (
	// maxLine bounds a line in bytes, maxRecord a CSV record of several.
	maxLine, maxRecord = 1 << 20, 64 << 10
	// importBatch is how many events are taken in between two looks at what the ledger says.
	importBatch = maxIntake
	// importSource is the source of events from files that name none.
	importSource = "file"
)

// ErrFormat: the file is not what the format says, so that no line can be read. The text says what to do.
var ErrFormat = errors.New("the file does not fit")

// ErrOneColumn is an ErrFormat: nothing in the first line of CSV is the separator, so that the file may have another.
var ErrOneColumn = fmt.Errorf("%w: its first line names one column", ErrFormat)

// Import takes in the events of a file. It can be repeated, and go on in the middle of a file that was imported in part: what was taken in is a
// duplicate then. told is called after every batch with what became of the lines so far; refused, in the order of the file, with each line that
// cannot be taken in, while the rest goes on: the report counts those, and has no Reasons. Both may be nil. Memory does not grow with the file.
func (k *Keeper) Import(ctx context.Context, id string, file io.Reader, format Format, told func(Report), refused func(Reason)) (Report, error) {
	r := &fileReader{in: bufio.NewReaderSize(file, 64<<10), format: format}
	if err := r.begin(); err != nil {
		return Report{}, err
	}
	b := &importing{Keeper: k, merchant: id, told: told, refused: refused}
	for {
		event, line, err := r.next()
		var bad *badLine
		switch {
		case err == nil:
			b.events, b.lines = append(b.events, event), append(b.lines, line)
		case errors.As(err, &bad):
			b.bad = append(b.bad, Reason{Line: line, Why: bad.why, UnknownType: bad.unknownType})
		case errors.Is(err, io.EOF):
			err = b.flush(ctx)
			return b.report, err
		default:
			err = errors.Join(fmt.Errorf("read the file at line %d: %w", line, err), b.flush(ctx))
			return b.report, err
		}
		if len(b.lines)+len(b.bad) < importBatch {
			continue
		}
		if err := b.flush(ctx); err != nil {
			return b.report, err
		}
	}
}

// importing is an import under way.
type importing struct {
	*Keeper
	merchant string
	told     func(Report)
	refused  func(Reason)
	report   Report

	// events are those of the batch, from lines; bad are lines of it that are no events.
	events []Event
	lines  []int
	bad    []Reason
}

// flush takes in the batch. A batch of bad lines alone looks at ctx too: of a file that is mapped wrongly every line is bad.
func (b *importing) flush(ctx context.Context) error {
	results, err := b.TakeIn(ctx, b.merchant, b.events)
	if err != nil {
		return err
	}
	for n, result := range results {
		if result.Outcome == Refused {
			b.bad = append(b.bad, Reason{Line: b.lines[n], Why: result.Reason})
			continue
		}
		b.report.count(result.Outcome)
	}
	b.report.Refused += len(b.bad)
	slices.SortFunc(b.bad, func(a, b Reason) int { return a.Line - b.Line })
	for _, reason := range b.bad {
		if b.refused != nil {
			b.refused(reason)
		}
	}
	b.events, b.lines, b.bad = b.events[:0], b.lines[:0], b.bad[:0]
	if b.told != nil {
		b.told(b.report)
	}
	return ctx.Err()
}

// badLine is why a line is no event. It holds nothing of the line but what ParseType repeats.
type badLine struct {
	why         string
	unknownType bool
}

func (b *badLine) Error() string { return b.why }

// fileReader reads events line by line. Lines are cut here rather than by encoding/csv: a quote that is never closed would make it read the
// rest of the file as one field.
type fileReader struct {
	in     *bufio.Reader
	format Format
	line   int
	// unread are lines that are read again.
	unread []fileLine
	// at are the columns of fields, of CSV, and names those of JSON.
	at    map[string]int
	width int
	names map[string]string
}

type fileLine struct {
	text    []byte
	tooLong bool
}

func (r *fileReader) begin() error {
	if r.format.Separator == 0 {
		r.format.Separator = ','
	}
	if r.format.Zone == nil {
		r.format.Zone = time.UTC
	}
	for field := range r.format.Columns {
		if !slices.Contains(Columns, field) {
			return fmt.Errorf("%w: there is no field %q to map a column to; the fields are %s", ErrFormat, field, strings.Join(Columns, ", "))
		}
	}
	name := func(field string) string {
		if own := r.format.Columns[field]; own != "" {
			return own
		}
		return field
	}
	if mark := []byte("\ufeff"); r.begins(mark) {
		_, _ = r.in.Discard(len(mark)) // it is there
	}
	if r.format.JSONLines {
		if r.begins([]byte("[")) {
			return fmt.Errorf("%w: it is one JSON array, and each event has to be an object on a line of its own, as jq -c '.[]' FILE writes them", ErrFormat)
		}
		r.names = map[string]string{}
		for _, field := range Columns {
			r.names[strings.ToLower(name(field))] = field
		}
		return nil
	}
	header, err := r.record(0)
	if err != nil {
		return fmt.Errorf("%w: its first line does not name columns", ErrFormat)
	}
	if len(header) == 1 {
		return fmt.Errorf("%w, as %q does not stand in it", ErrOneColumn, r.format.Separator)
	}
	r.at, r.width = map[string]int{}, len(header)
	for _, field := range Columns {
		n := slices.IndexFunc(header, func(column string) bool { return strings.EqualFold(strings.TrimSpace(column), name(field)) })
		needed := field == ColumnTime || field == ColumnAddress || field == ColumnMessage || field == ColumnType && r.format.Type == ""
		switch {
		case n >= 0:
			r.at[field] = n
		case needed || r.format.Columns[field] != "":
			return fmt.Errorf("%w: it has no column %q for the %s of events", ErrFormat, name(field), field)
		}
	}
	return nil
}

// begins reports whether what is still to be read of the file begins with something.
func (r *fileReader) begins(with []byte) bool {
	ahead, _ := r.in.Peek(len(with)) // fewer in a shorter file
	return bytes.Equal(ahead, with)
}

// next reads one event; its line is that on which it begins. Errors: io.EOF, *badLine, and those of the file.
func (r *fileReader) next() (Event, int, error) {
	for {
		first := r.line + 1
		var fields map[string]string
		var err error
		if r.format.JSONLines {
			fields, err = r.object()
		} else {
			fields, err = r.row()
		}
		if err != nil {
			return Event{}, first, err
		}
		if fields == nil {
			continue // an empty line
		}
		event, err := r.event(fields)
		return event, first, err
	}
}

// text reads a line without its end; tooLong when it has more than maxLine bytes, which are read to their end and dropped.
func (r *fileReader) text() (fileLine, error) {
	if len(r.unread) > 0 {
		line := r.unread[0]
		r.unread = r.unread[1:]
		r.line++
		return line, nil
	}
	var line fileLine
	for {
		part, err := r.in.ReadSlice('\n')
		if !line.tooLong {
			line.text = append(line.text, part...)
		}
		if len(line.text) > maxLine {
			line = fileLine{tooLong: true}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !(errors.Is(err, io.EOF) && (len(line.text) > 0 || len(part) > 0 || line.tooLong)):
			return fileLine{}, err
		}
		r.line++
		line.text = trimLine(line.text)
		return line, nil
	}
}

func trimLine(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}

// record reads a CSV record, which may have line breaks in quotes; width is how many fields it must have, 0 for any. Of what is no record only
// the first line is bad: those that a stray quote seems to hold are read again.
func (r *fileReader) record(width int) ([]string, error) {
	first, err := r.text()
	switch {
	case err != nil:
		return nil, err
	case first.tooLong:
		return nil, &badLine{why: fmt.Sprintf("it is longer than %d bytes", maxLine)}
	}
	whole := append(first.text, '\n')
	var more []fileLine
	bad := func(why string) ([]string, error) {
		r.unread, r.line = append(more, r.unread...), r.line-len(more)
		return nil, &badLine{why: why}
	}
	for open := odd(first.text); open; {
		if !r.closes() {
			return bad("a quote is not closed")
		}
		line, err := r.text()
		switch {
		case errors.Is(err, io.EOF):
			return bad("a quote is not closed")
		case err != nil:
			return nil, err
		}
		more = append(more, line)
		if line.tooLong || len(whole)+len(line.text) > maxRecord {
			return bad("a quote is not closed")
		}
		whole = append(append(whole, line.text...), '\n')
		open = open != odd(line.text)
	}
	c := csv.NewReader(bytes.NewReader(whole))
	c.Comma, c.FieldsPerRecord, c.ReuseRecord = r.format.Separator, -1, true
	record, err := c.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return bad("it is no CSV: a quote stands where none can")
	case width > 0 && len(record) != width:
		return bad(fmt.Sprintf("it has %d fields, and the first line names %d columns", len(record), width))
	}
	return record, nil
}

// closes looks whether a quote comes soon after an open one: fields with line breaks are short.
func (r *fileReader) closes() bool {
	if slices.ContainsFunc(r.unread, func(line fileLine) bool { return slices.Contains(line.text, '"') }) {
		return true
	}
	ahead, _ := r.in.Peek(4 << 10) // fewer at the end of the file
	return slices.Contains(ahead, '"')
}

// odd reports whether a text leaves a quote open.
func odd(text []byte) bool { return bytes.Count(text, []byte{'"'})%2 == 1 }

func (r *fileReader) row() (map[string]string, error) {
	record, err := r.record(r.width)
	if err != nil || record == nil {
		return nil, err
	}
	fields := make(map[string]string, len(r.at))
	for field, n := range r.at {
		fields[field] = record[n]
	}
	return fields, nil
}

func (r *fileReader) object() (map[string]string, error) {
	line, err := r.text()
	switch {
	case err != nil:
		return nil, err
	case line.tooLong:
		return nil, &badLine{why: fmt.Sprintf("it is longer than %d bytes", maxLine)}
	case len(bytes.TrimSpace(line.text)) == 0:
		return nil, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line.text, &members); err != nil {
		return nil, &badLine{why: "it is no JSON object on one line"}
	}
	if members["specversion"] != nil {
		return pushed(line.text)
	}
	fields := map[string]string{}
	for key, raw := range members {
		field, known := r.names[strings.ToLower(key)]
		if !known {
			continue
		}
		var value text
		if err := json.Unmarshal(raw, &value); err != nil {
			return nil, &badLine{why: "its " + field + " is neither a text nor a number"}
		}
		fields[field] = string(value)
	}
	return fields, nil
}

// pushed reads a line that is an event as pushes have them: its names are those of CloudEvents.
func pushed(line []byte) (map[string]string, error) {
	var e cloudEvent
	if err := json.Unmarshal(line, &e); err != nil || e.SpecVersion != "1.0" || e.ID == "" || e.Source == "" || e.Time.IsZero() {
		return nil, &badLine{why: errMalformed.Error()}
	}
	return map[string]string{ColumnID: e.ID, ColumnSource: e.Source, ColumnType: e.Type, ColumnTime: e.Time.Format(time.RFC3339Nano),
		ColumnAddress: e.Data.Address, ColumnMessage: string(e.Data.Message), ColumnTitle: e.Data.Title, ColumnLink: e.Data.Link}, nil
}

func (r *fileReader) event(fields map[string]string) (Event, error) {
	e := Event{ID: strings.TrimSpace(fields[ColumnID]), Source: cmp.Or(strings.TrimSpace(fields[ColumnSource]), importSource), Address: fields[ColumnAddress],
		Message: strings.TrimSpace(fields[ColumnMessage]), Title: strings.TrimSpace(fields[ColumnTitle])}
	name := strings.TrimSpace(fields[ColumnType])
	if name == "" {
		name = r.format.Type
	}
	for own, kind := range r.format.Types {
		if strings.EqualFold(own, name) {
			name = kind
			break
		}
	}
	var err error
	if e.Channel, e.Mark, err = ParseType(name); err != nil {
		return e, &badLine{why: err.Error(), unknownType: true}
	}
	if e.At, err = r.time(strings.TrimSpace(fields[ColumnTime])); err != nil {
		return e, &badLine{why: err.Error()}
	}
	if e.ID == "" {
		digest := sha256.Sum256([]byte(strings.Join([]string{name, fields[ColumnTime], e.Address, e.Message, fields[ColumnLink]}, "\x00")))
		e.ID = hex.EncodeToString(digest[:])
	}
	return e, nil
}

// time reads a time in one of the forms of exports; one without an offset is of the format's zone.
func (r *fileReader) time(text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "1/2/2006 15:04:05", "1/2/2006 15:04", "1/2/2006 3:04:05 PM", "1/2/2006 3:04 PM"} {
		if wall, err := time.Parse(layout, text); err == nil {
			text = wall.Format("2006-01-02T15:04:05")
			break
		}
	}
	at, _, err := listrak.ParseDate(text, r.format.Zone)
	if err != nil || at.IsZero() {
		return time.Time{}, errors.New("its time is in no form that is known, such as 2026-11-22T14:03:07Z or 2026-11-22 14:03:07")
	}
	return at, nil
}
