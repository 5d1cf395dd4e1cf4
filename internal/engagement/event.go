package engagement

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
)

// Event is something that happened, as somebody tells it.
type Event struct {
	// ID names the event within Source: whatever comes twice under it counts once.
	ID, Source string
	Channel    consent.Channel
	Mark       Mark
	At         time.Time
	// Address is an email address or a phone number, as it was given.
	Address string
	// Message is the sender's id of the message; Title, if it is given, what people call it.
	Message, Title string
}

// types are the types of events by their names. A CloudEvents type may have something before them: "com.listrak.sms.sent".
var types = map[string]struct {
	channel consent.Channel
	mark    Mark
}{
	"sms.sent": {consent.SMS, Sent}, "sms.clicked": {consent.SMS, Clicked},
	"sms.bounced": {consent.SMS, Bounced}, "sms.unsubscribed": {consent.SMS, Unsubscribed},
	"email.sent": {consent.Email, Sent}, "email.opened": {consent.Email, Opened}, "email.clicked": {consent.Email, Clicked},
	"email.bounced": {consent.Email, Bounced}, "email.unsubscribed": {consent.Email, Unsubscribed}, "email.complained": {consent.Email, Complained},
}

// wordOfEvents is what a name of a type looks like in other systems. Only such a name is repeated in an error: in a column that was taken for
// that of types there may stand anything, and so a person.
var wordOfEvents = regexp.MustCompile(`(?i)^((sms|mms|text|e-?mail|message|link|event|is|was|has been|listrak|com)[ ._:-]?){0,3}` +
	`(sent|sends?|delivered|delivery|opens?|opened|reads?|views?|viewed|clicks?|clicked|bounces?|bounced|unsubscribes?|unsubscribed|opt-?outs?|` +
	`stop|complaints?|complained|failed|received|replied)$`)

// ParseType reads the name of a type of events. The error repeats it only where it can be the name of nobody.
func ParseType(name string) (consent.Channel, Mark, error) {
	parts := strings.Split(strings.ToLower(strings.TrimSpace(name)), ".")
	if len(parts) >= 2 {
		if t, known := types[strings.Join(parts[len(parts)-2:], ".")]; known {
			return t.channel, t.mark, nil
		}
	}
	const want = "want sms.sent, sms.clicked, sms.bounced, sms.unsubscribed, email.sent, email.opened, email.clicked, email.bounced, " +
		"email.unsubscribed or email.complained"
	switch name = strings.TrimSpace(name); {
	case name == "":
		return 0, 0, errors.New("the type is missing: " + want)
	case wordOfEvents.MatchString(name):
		return 0, 0, fmt.Errorf("unknown type %q: %s", name, want)
	}
	return 0, 0, errors.New("unknown type: " + want)
}

// cloudEvent is the part of CloudEvents 1.0 (JSON event format) that is read. The project's SDK would bring its transports, a router and a
// logger for these seven members.
type cloudEvent struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Time        time.Time `json:"time"`
	Data        struct {
		Address string `json:"address"`
		Message text   `json:"message"`
		Title   string `json:"title"`
		// Link is what was clicked: taken, and not kept.
		Link string `json:"link"`
	} `json:"data"`
}

// text is a JSON string, or a number in its place: systems differ in what an id is.
type text string

// UnmarshalJSON takes both.
func (t *text) UnmarshalJSON(raw []byte) error {
	var number json.Number
	if json.Unmarshal(raw, &number) == nil {
		*t = text(number.String())
		return nil
	}
	return json.Unmarshal(raw, (*string)(t))
}

var errMalformed = errors.New("no CloudEvents 1.0 event in JSON with specversion, id, source, type, time, and address and message in data")

// ParseEvent reads one CloudEvents event. Errors never repeat what it holds.
func ParseEvent(raw []byte) (Event, error) {
	var in cloudEvent
	if err := json.Unmarshal(raw, &in); err != nil {
		return Event{}, errMalformed
	}
	if in.SpecVersion != "1.0" {
		return Event{}, errors.New("specversion is not 1.0")
	}
	channel, mark, err := ParseType(in.Type)
	if err != nil {
		return Event{}, err
	}
	if in.ID == "" || in.Source == "" {
		return Event{}, errors.New("an event needs an id and a source")
	}
	return Event{ID: in.ID, Source: in.Source, Channel: channel, Mark: mark, At: in.Time, Address: in.Data.Address,
		Message: string(in.Data.Message), Title: in.Data.Title}, nil
}

// maxIDBytes bounds ids from outside.
const maxIDBytes = 256

// messageShape is what an id of a message may look like: it becomes part of an id in Shopify.
var messageShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$`)

// maxTitle bounds titles in characters. Shopify names no bound of an activity's; one that it refuses would keep the message's totals from it.
const maxTitle = 255

// shortTitle is a title, cut where it is too long.
func shortTitle(title string) string {
	if runes := []rune(title); len(runes) > maxTitle {
		return string(runes[:maxTitle-1]) + "…"
	}
	return title
}

// futureTolerance is how far clocks of senders may be ahead.
const futureTolerance = 5 * time.Minute

// check says why an event cannot be taken in, and normalises its address otherwise. country is the one of phone numbers without a country
// code. Errors never repeat what it holds.
func (e Event) check(now time.Time, lookBack time.Duration, country string) (address string, err error) {
	switch {
	case e.ID == "" || len(e.ID) > maxIDBytes || len(e.Source) > maxIDBytes:
		return "", fmt.Errorf("the id is missing or longer than %d bytes", maxIDBytes)
	case !messageShape.MatchString(e.Message):
		return "", errors.New("the id of the message is missing, longer than 100 bytes, or has other characters than letters, digits, and . _ : -")
	case e.At.IsZero():
		return "", errors.New("the time is missing")
	case strings.TrimSpace(e.Address) == "":
		return "", errors.New("the address is missing")
	case e.At.After(now.Add(futureTolerance)):
		return "", errors.New("the time lies in the future")
	case e.At.Before(now.Add(-lookBack)):
		return "", fmt.Errorf("it is older than the look-back of %d days", int(lookBack.Hours()/24))
	}
	if e.Channel == consent.SMS {
		address, err = consent.NormalisePhone(e.Address, country)
	} else {
		address, err = consent.NormaliseEmail(e.Address)
	}
	return address, err
}
