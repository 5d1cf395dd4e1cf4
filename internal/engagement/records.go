package engagement

import (
	"context"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// Records is what is needed of a ledger; *ledger.Ledger is one.
type Records interface {
	Now(ctx context.Context) (consent.Instant, error)
	Switches(ctx context.Context, merchant string) (ledger.Switches, error)
	AcquireRun(ctx context.Context, merchant string, kind ledger.RunKind, holder string, ttl time.Duration) (ledger.RunLease, bool, error)
	ReleaseRun(ctx context.Context, lease ledger.RunLease) error
	RunStatuses(ctx context.Context, merchant string) (map[ledger.RunKind]ledger.RunStatus, error)
	SetRunStatus(ctx context.Context, merchant string, kind ledger.RunKind, status ledger.RunStatus) error
	Cursors(ctx context.Context, merchant string) (map[string]string, error)
	Save(ctx context.Context, merchant string, batch ledger.Batch) ([]consent.Subject, error)
	KnowEngagementMessages(ctx context.Context, merchant string, messages []ledger.EngagementMessage) (map[string]ledger.EngagementMessage, error)
	EngagementMessagesDue(ctx context.Context, merchant string, list int, now consent.Instant, limit int) ([]ledger.EngagementMessage, error)
	SaveEngagementReading(ctx context.Context, lease ledger.RunLease, message string, reading ledger.EngagementReading) error
	TakeInEngagement(ctx context.Context, merchant string, in ledger.EngagementIntake) (changed int, err error)
	EngagementDaysDue(ctx context.Context, merchant string, now consent.Instant, limit int) ([]ledger.DueDay, error)
	DoubtDays(ctx context.Context, merchant string, days []ledger.EngagementDay, until consent.Instant) error
	DoubtPeople(ctx context.Context, merchant string, channel consent.Channel, people []consent.Subject, until consent.Instant) error
	TellAgain(ctx context.Context, lease ledger.RunLease, channel consent.Channel) error
	ToldDays(ctx context.Context, lease ledger.RunLease, days []ledger.ToldDay) error
	ToldActivity(ctx context.Context, merchant, message, title string) error
	EngagedPeopleDue(ctx context.Context, merchant string, channel consent.Channel, now consent.Instant, limit int) ([]ledger.DuePerson, error)
	ToldPeople(ctx context.Context, lease ledger.RunLease, channel consent.Channel, people []ledger.ToldPerson) error
}
