package simulation

import (
	"context"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/ledger"
)

// eventLedger is steppingLedger for what is asked about events: others come in after every call, and the process may die or freeze there.
type eventLedger struct {
	consent steppingLedger
	book    engagement.Records
}

var _ engagement.Records = eventLedger{}

func (l eventLedger) events() *events { return l.consent.world.events }

func (l eventLedger) Now(ctx context.Context) (consent.Instant, error) { return l.consent.Now(ctx) }

func (l eventLedger) Switches(ctx context.Context, id string) (ledger.Switches, error) {
	return step(l.consent, func() (ledger.Switches, error) {
		l.events().askedForSwitches()
		if err := ctx.Err(); err != nil {
			return ledger.Switches{}, err // also where nobody has to be asked
		}
		return l.consent.world.rememberedSwitches(func() (ledger.Switches, error) { return l.book.Switches(ctx, id) })
	})
}

func (l eventLedger) AcquireRun(ctx context.Context, id string, kind ledger.RunKind, holder string, ttl time.Duration,
) (ledger.RunLease, bool, error) {
	return l.consent.AcquireRun(ctx, id, kind, holder, ttl)
}

func (l eventLedger) ReleaseRun(ctx context.Context, lease ledger.RunLease) error {
	return l.consent.ReleaseRun(ctx, lease)
}

func (l eventLedger) RunStatuses(ctx context.Context, id string) (map[ledger.RunKind]ledger.RunStatus, error) {
	return l.consent.RunStatuses(ctx, id)
}

func (l eventLedger) SetRunStatus(ctx context.Context, id string, kind ledger.RunKind, status ledger.RunStatus) error {
	return l.consent.SetRunStatus(ctx, id, kind, status)
}

func (l eventLedger) Cursors(ctx context.Context, id string) (map[string]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // also where nobody has to be asked
	}
	return l.consent.Cursors(ctx, id)
}

func (l eventLedger) Save(ctx context.Context, id string, batch ledger.Batch) ([]consent.Subject, error) {
	return l.consent.Save(ctx, id, batch)
}

func (l eventLedger) KnowEngagementMessages(ctx context.Context, id string, messages []ledger.EngagementMessage,
) (map[string]ledger.EngagementMessage, error) {
	return step(l.consent, func() (map[string]ledger.EngagementMessage, error) {
		return l.book.KnowEngagementMessages(ctx, id, messages)
	})
}

func (l eventLedger) EngagementMessagesDue(ctx context.Context, id string, list int, now consent.Instant, limit int) ([]ledger.EngagementMessage, error) {
	return step(l.consent, func() ([]ledger.EngagementMessage, error) {
		return l.book.EngagementMessagesDue(ctx, id, list, now, limit)
	})
}

func (l eventLedger) SaveEngagementReading(ctx context.Context, lease ledger.RunLease, message string, reading ledger.EngagementReading) error {
	l.consent.world.watch.text("the reading of a message", reading.Summary+reading.Page)
	return alone(l.consent, func() error { return l.book.SaveEngagementReading(ctx, lease, message, reading) })
}

// TakeInEngagement lets the watch see what is counted, and what of that is kept.
func (l eventLedger) TakeInEngagement(ctx context.Context, id string, in ledger.EngagementIntake) (int, error) {
	l.consent.world.watch.text("the reading of a message", in.Reading.Summary+in.Reading.Page)
	fold, counted := in.Fold, map[ledger.EngagementDay]ledger.EngagementCounts(nil)
	in.Fold = func(records map[consent.Subject][]byte, fresh []bool) (ledger.EngagementFold, error) {
		folded, err := fold(records, fresh)
		counted = folded.Days
		return folded, err
	}
	return step(l.consent, func() (int, error) {
		changed, err := l.book.TakeInEngagement(ctx, id, in)
		if err == nil {
			l.events().tookIn(l.consent.process, in.Channel, in.Message, counted)
		}
		return changed, err
	})
}

func (l eventLedger) EngagementDaysDue(ctx context.Context, id string, now consent.Instant, limit int) ([]ledger.DueDay, error) {
	return step(l.consent, func() ([]ledger.DueDay, error) { return l.book.EngagementDaysDue(ctx, id, now, limit) })
}

func (l eventLedger) DoubtDays(ctx context.Context, id string, days []ledger.EngagementDay, until consent.Instant) error {
	return alone(l.consent, func() error { return l.book.DoubtDays(ctx, id, days, until) })
}

func (l eventLedger) DoubtPeople(ctx context.Context, id string, channel consent.Channel, people []consent.Subject, until consent.Instant) error {
	return alone(l.consent, func() error { return l.book.DoubtPeople(ctx, id, channel, people, until) })
}

func (l eventLedger) TellAgain(ctx context.Context, lease ledger.RunLease, channel consent.Channel) error {
	return alone(l.consent, func() error { return l.book.TellAgain(ctx, lease, channel) })
}

func (l eventLedger) ToldDays(ctx context.Context, lease ledger.RunLease, days []ledger.ToldDay) error {
	return alone(l.consent, func() error { return l.book.ToldDays(ctx, lease, days) })
}

func (l eventLedger) ToldActivity(ctx context.Context, id, message, title string) error {
	return alone(l.consent, func() error { return l.book.ToldActivity(ctx, id, message, title) })
}

func (l eventLedger) EngagedPeopleDue(ctx context.Context, id string, channel consent.Channel, now consent.Instant, limit int) ([]ledger.DuePerson, error) {
	return step(l.consent, func() ([]ledger.DuePerson, error) { return l.book.EngagedPeopleDue(ctx, id, channel, now, limit) })
}

func (l eventLedger) ToldPeople(ctx context.Context, lease ledger.RunLease, channel consent.Channel, people []ledger.ToldPerson) error {
	return alone(l.consent, func() error { return l.book.ToldPeople(ctx, lease, channel, people) })
}
