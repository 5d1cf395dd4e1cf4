package engagement

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// Outcome is what became of an event.
type Outcome uint8

// The outcomes.
const (
	// Refused: its reason says why; it would be refused again.
	Refused Outcome = iota
	// Taken in.
	Taken
	// Duplicate: it was taken in before.
	Duplicate
	// Off: the sync or the kind that it belongs to is off, so that nothing of it is kept.
	Off
	// Read: its message is read from Listrak, which shows the same, so that nothing of it is kept here.
	Read
)

// String names an outcome as answers and reports do.
func (o Outcome) String() string {
	return [...]string{Refused: "refused", Taken: "taken", Duplicate: "duplicate", Off: "off", Read: "read from Listrak"}[o]
}

// Result is what became of one event.
type Result struct {
	Outcome Outcome
	// Reason is why it was refused. It holds nothing of the event.
	Reason string
}

// maxIntake bounds the events of one transaction, and with it how long others wait for it.
const maxIntake = 1000

// TakeIn takes events in. Result i belongs to events[i]; when there is an error, nothing is known of any, and all may be given again. What was
// taken in is kept when this returns. A merchant who is paused or broken takes in as well: who tells of an event tells it once.
func (k *Keeper) TakeIn(ctx context.Context, id string, events []Event) ([]Result, error) {
	settings, err := k.Settings(ctx, id)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(events))
	for from := 0; from < len(events); from += maxIntake {
		to := min(from+maxIntake, len(events))
		in := intake{k: k, id: id, list: settings.EmailList, country: settings.SMS.Country, results: results[from:to]}
		if err := in.run(ctx, events[from:to]); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// switchTries bounds how often events are judged anew because somebody switches meanwhile, which people do.
const switchTries = 10

// intake takes in one transaction's worth of events.
type intake struct {
	k       *Keeper
	id      string
	list    int
	country string
	results []Result
	// on says which kinds are on by the switches of generation.
	on         func(consent.Sync) bool
	generation int64
}

// arrival is an event that is good, on its way into the ledger.
type arrival struct {
	n       int // in results
	event   *Event
	subject consent.Subject
	message string // id of ours
	hash    []byte
}

// run judges events by the switches, and anew when they have changed by the time at which the events are kept.
func (in *intake) run(ctx context.Context, events []Event) error {
	err := ledger.ErrSwitched
	for try := 0; try < switchTries && errors.Is(err, ledger.ErrSwitched); try++ {
		var switches ledger.Switches
		if switches, err = in.k.Ledger.Switches(ctx, in.id); err != nil {
			return err
		}
		in.on, in.generation = switches.On, switches.Generation
		err = in.judge(ctx, events)
	}
	return err
}

func (in *intake) judge(ctx context.Context, events []Event) error {
	// By the ledger's clock: a machine whose clock is wrong would refuse events for ever as old, or as lying in the future.
	instant, err := in.k.Ledger.Now(ctx)
	if err != nil {
		return err
	}
	now := instant.Time()
	arrivals := map[consent.Channel][]arrival{}
	messages := map[string]ledger.EngagementMessage{}
	for n := range events {
		if in.results[n].Outcome == Taken {
			continue // in an earlier try, on the other channel
		}
		e := &events[n]
		address, err := e.check(now, in.k.Timing.LookBack, in.country)
		switch {
		case err != nil:
			in.results[n] = Result{Reason: err.Error()}
			continue
		case !in.on(e.Mark.Kind(e.Channel)):
			in.results[n].Outcome = Off
			continue
		case in.readAnyway(e):
			in.results[n].Outcome = Read
			continue
		}
		a := arrival{n: n, event: e, subject: consent.SubjectOf(in.k.SubjectKey, in.id, e.Channel, address), message: toldMessageID(e.Channel.String(), e.Message),
			hash: in.hash(e)}
		arrivals[e.Channel] = append(arrivals[e.Channel], a)
		m := messages[a.message]
		if m.ID == "" || consent.InstantOf(e.At) < m.SentAt {
			m.SentAt = consent.InstantOf(e.At)
		}
		m.ID, m.Channel, m.Title = a.message, e.Channel, cmp.Or(m.Title, e.Title)
		messages[a.message] = m
	}
	if len(messages) == 0 {
		return nil
	}
	known, err := in.k.know(ctx, in.id, slices.Collect(maps.Values(messages)))
	if err != nil {
		return err
	}
	for _, channel := range consent.Channels {
		if err := in.take(ctx, channel, arrivals[channel], known, now); err != nil {
			return err
		}
	}
	return nil
}

// hash stands for the id of an event, which may hold anything.
func (in *intake) hash(e *Event) []byte {
	mac := hmac.New(sha256.New, in.k.SubjectKey)
	// No subject is hashed from a text that begins like this (consent.SubjectOf).
	fmt.Fprintf(mac, "event|%d:%s|%d:%s|%s", len(in.id), in.id, len(e.Source), e.Source, e.ID)
	return mac.Sum(nil)[:16]
}

// readAnyway reports whether an event is of a message that is read from Listrak, or will be once it is listed there: its id is a number, as
// Listrak's are. Kept under a name of its own until then, it would be counted beside what is read, for ever.
func (in *intake) readAnyway(e *Event) bool {
	_, err := strconv.ParseUint(e.Message, 10, 63)
	return err == nil && e.Channel == consent.Email && in.list != 0
}

func (in *intake) take(ctx context.Context, channel consent.Channel, arrivals []arrival, messages map[string]Message, now time.Time) error {
	if len(arrivals) == 0 {
		return nil
	}
	batch := ledger.EngagementIntake{Channel: channel, Generation: in.generation}
	for _, a := range arrivals {
		batch.Subjects = append(batch.Subjects, a.subject)
		batch.Events = append(batch.Events, a.hash)
	}
	// Nothing is known before the end: the transaction may be tried again, and then find that somebody has switched.
	outcomes := make([]Outcome, len(arrivals))
	batch.Fold = func(records map[consent.Subject][]byte, fresh []bool) (ledger.EngagementFold, error) {
		fold := newFolding(in.k.counter(channel, in.on, now), records)
		for i, a := range arrivals {
			outcomes[i] = Duplicate
			if !fresh[i] {
				continue
			}
			outcomes[i] = Taken
			if err := fold.change(a.subject, func(c *Counter, r *Record) bool {
				return c.Happen(r, messages[a.message], Happening{Mark: a.event.Mark, At: a.event.At})
			}); err != nil {
				return ledger.EngagementFold{}, err
			}
		}
		return fold.result(), nil
	}
	if _, err := in.k.Ledger.TakeInEngagement(ctx, in.id, batch); err != nil {
		return err
	}
	for i, a := range arrivals {
		in.results[a.n].Outcome = outcomes[i]
	}
	return nil
}

// folding changes the records of many people.
type folding struct {
	counter *Counter
	raw     map[consent.Subject][]byte
	open    map[consent.Subject]*Record
	changed []consent.Subject
	is      map[consent.Subject]bool
}

func newFolding(counter *Counter, raw map[consent.Subject][]byte) *folding {
	return &folding{counter: counter, raw: raw, open: map[consent.Subject]*Record{}, is: map[consent.Subject]bool{}}
}

func (f *folding) change(subject consent.Subject, by func(*Counter, *Record) bool) error {
	r := f.open[subject]
	if r == nil {
		decoded, err := DecodeRecord(f.raw[subject])
		if err != nil {
			return err
		}
		r = &decoded
		f.open[subject] = r
	}
	if by(f.counter, r) && !f.is[subject] {
		f.is[subject] = true
		f.changed = append(f.changed, subject)
	}
	return nil
}

func (f *folding) result() ledger.EngagementFold {
	fold := ledger.EngagementFold{Days: f.counter.Days(), People: make([]ledger.EngagedPerson, len(f.changed))}
	for n, subject := range f.changed {
		fold.People[n] = ledger.EngagedPerson{Subject: subject, Record: f.open[subject].Encode()}
	}
	return fold
}
