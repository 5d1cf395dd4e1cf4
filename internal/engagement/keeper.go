package engagement

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/shopify"
)

// Run is the kind under which passes hold their lease and stand in the ledger's run status. Scanned counts the people whose events changed,
// Delivered to Shopify the days and the people told of; the error is what kept the last pass from more.
const Run ledger.RunKind = "engagement"

// Store is what is needed of a shop; *shopify.Client is one.
type Store interface {
	ShopZone(ctx context.Context) (*time.Location, error)
	UpsertActivity(ctx context.Context, activity shopify.MarketingActivity) error
	CreateEngagements(ctx context.Context, engagements []shopify.Engagement) ([]error, error)
	DefineMetafields(ctx context.Context, definitions []shopify.Definition) error
	SetMetafields(ctx context.Context, groups [][]shopify.Metafield) ([]shopify.MetafieldResult, error)
}

// List is what is needed of a list; *listrak.Client is one.
type List interface {
	Messages(ctx context.Context, since time.Time, cursor string) (listrak.MessagePage, error)
	Conversations(ctx context.Context) ([]int, error)
	ConversationMessages(ctx context.Context, conversation int, cursor string) (listrak.MessagePage, error)
	TransactionalMessages(ctx context.Context) ([]listrak.Message, error)
	Summary(ctx context.Context, message listrak.MessageRef) (listrak.Summary, error)
	Activity(ctx context.Context, message listrak.MessageRef, query listrak.ActivityQuery) (listrak.ActivityPage, error)
}

// Account is a merchant's two sides. Both are those that consent uses: they share its budget, its request rate and its tokens.
type Account struct {
	Shopify Store
	Listrak List
}

// Keeper carries events of merchants. All fields but Machine are required.
type Keeper struct {
	Ledger Records
	// SubjectKey hashes addresses.
	SubjectKey []byte
	Connect    func(ctx context.Context, merchant string) (Account, error)
	Settings   func(ctx context.Context, merchant string) (merchant.Settings, error)
	Timing     Timing
	Now        func() time.Time
	// Holder names this process in run leases.
	Holder string
	Log    *slog.Logger
	// Machine is nil but in the simulation.
	Machine Machine

	mu sync.Mutex
	// zones are the shops' time zones and when they were read.
	zones map[string]shopZone
}

type shopZone struct {
	location *time.Location
	at       time.Time
}

// zoneTime is how long a shop's time zone is believed to be the same.
const zoneTime = time.Hour

// ErrBusy: another process is at work on the merchant's events at the moment.
var ErrBusy = errors.New("another process is at work on the events of this merchant")

// Pass is how one pass over a merchant's events went.
type Pass struct {
	// On: a sync of events is on, and the merchant runs.
	On    bool
	State ledger.MerchantState
	// Changed counts the people whose events changed, Days and People those that Shopify was told of.
	Changed, Days, People int
	// More tells that the pass stopped because its time was up, and that the next one should begin at once.
	More bool
}

// Pass reads what is due to be read, for half of its time while there is something to tell, and tells Shopify what is due to be told: first
// the totals of days, which are few, then customers, with points that consent does not need. A part that fails does not keep the others from being done; the errors are returned with what was
// done. It stops no merchant, whatever fails: consent goes on. When ctx ends it stops; what a call that was cut off may have done is told once more.
func (k *Keeper) Pass(ctx context.Context, id string) (Pass, error) {
	switches, err := k.Ledger.Switches(ctx, id)
	if err != nil {
		return Pass{}, fmt.Errorf("read switches: %w", err)
	}
	pass := Pass{State: switches.State, On: switches.May(consent.EmailEvents) || switches.May(consent.SMSEvents)}
	if !pass.On {
		return pass, nil
	}
	settings, err := k.Settings(ctx, id)
	if err != nil {
		return pass, err
	}
	lease, free, err := k.Ledger.AcquireRun(ctx, id, Run, k.Holder, k.Timing.RunLease)
	if err != nil {
		return pass, fmt.Errorf("take the run lease: %w", err)
	}
	if !free {
		return pass, ErrBusy
	}
	defer func() {
		if err := k.Ledger.ReleaseRun(context.WithoutCancel(ctx), lease); err != nil {
			k.Log.Warn("The run lease could not be freed and will run out by itself", "merchant", id, "error", err.Error())
		}
	}()
	// Once more, under the lease: whoever switches off waits for it, and then nothing may go on with what was on before.
	if switches, err = k.Ledger.Switches(ctx, id); err != nil {
		return pass, fmt.Errorf("read switches: %w", err)
	}
	began := k.Now()
	p := &run{Keeper: k, merchant: id, settings: settings, switches: switches, lease: lease, on: k.on(switches), until: began.Add(k.Timing.PassLimit)}
	p.account, err = k.Connect(ctx, id)
	if err == nil {
		err = p.do(ctx)
	}
	pass.Changed, pass.Days, pass.People, pass.More = p.changed, p.days, p.people, p.more
	if ctx.Err() != nil {
		return pass, err // it was told to stop, which says nothing about how the events stand
	}
	return pass, errors.Join(err, p.note(ctx, began, err))
}

// on says which kinds of events may be read and told.
func (k *Keeper) on(switches ledger.Switches) func(consent.Sync) bool {
	return func(kind consent.Sync) bool { return switches.May(kind) }
}

func (k *Keeper) counter(channel consent.Channel, on func(consent.Sync) bool, now time.Time) *Counter {
	// As long as it is remembered that an event was taken in, whatever the look-back is now: when it is raised, what was counted long ago is
	// read once more.
	return &Counter{Channel: channel, On: on, Now: now, Oldest: now.Add(-ledger.EngagementMemory.Duration())}
}

// run is one pass.
type run struct {
	*Keeper
	merchant string
	settings merchant.Settings
	switches ledger.Switches
	account  Account
	lease    ledger.RunLease
	on       func(consent.Sync) bool
	// until is when the pass stops itself, readUntil when reading does.
	until, readUntil time.Time

	changed, days, people int
	more                  bool
	// telling: something was told. lostTrack: of some of it nobody will know how it ended. shadow is until when calls of another pass may take
	// effect.
	telling, lostTrack bool
	shadow             consent.Instant
	// failed is what kept some people from being told.
	failed error
}

func (p *run) timeIsUp() bool { return !p.Now().Before(p.until) }

func (p *run) now(ctx context.Context) (consent.Instant, error) { return p.Ledger.Now(ctx) }

func (p *run) do(ctx context.Context) error {
	var errs []error
	if p.switches.May(consent.EmailEvents) {
		errs = append(errs, p.read(ctx))
	}
	if err := p.noteKinds(ctx); err != nil {
		return errors.Join(append(errs, err)...)
	}
	// Totals cost a few points and are what people wait for. Then people, as long as there is time. What is counted meanwhile the next pass tells.
	errs = append(errs, p.tellDays(ctx), p.tellPeople(ctx))
	return errors.Join(append(errs, p.endTelling(ctx))...)
}

// note stores how a pass went.
func (p *run) note(ctx context.Context, began time.Time, failed error) error {
	before, err := p.Ledger.RunStatuses(ctx, p.merchant)
	if err != nil {
		return err
	}
	status := ledger.RunStatus{Began: consent.InstantOf(began), Ended: consent.InstantOf(p.Now()), Scanned: int64(p.changed)}
	status.Delivered[consent.Shopify] = int64(p.days + p.people)
	if failed != nil {
		status.ErrorClass, status.ErrorCode = failure.ClassOf(failed), "LEDGER"
		for _, cause := range failure.Causes(failed) {
			if f := failure.As(cause); f != nil {
				status.ErrorCode = f.Code
				break
			}
		}
		status.Failures = before[Run].Failures + 1
	}
	if err := p.Ledger.SetRunStatus(ctx, p.merchant, Run, status); err != nil {
		return fmt.Errorf("store how the events stand: %w", err)
	}
	return nil
}

// zone is the time zone in which the shop counts its days.
func (k *Keeper) zone(ctx context.Context, id string) (*time.Location, error) {
	now := k.Now()
	k.mu.Lock()
	known := k.zones[id]
	k.mu.Unlock()
	if known.location != nil && now.Sub(known.at) < zoneTime {
		return known.location, nil
	}
	account, err := k.Connect(ctx, id)
	if err != nil {
		return nil, err
	}
	location, err := account.Shopify.ShopZone(ctx)
	switch {
	case err != nil && known.location != nil:
		return known.location, nil // shops hardly ever move, and events must not be lost while Shopify turns us away
	case err != nil:
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.zones == nil {
		k.zones = map[string]shopZone{}
	}
	k.zones[id] = shopZone{location, now}
	return location, nil
}

// know makes sure that messages are known, and returns what the counter needs of each.
func (k *Keeper) know(ctx context.Context, id string, messages []ledger.EngagementMessage) (map[string]Message, error) {
	zone, err := k.zone(ctx, id)
	if err != nil {
		return nil, err
	}
	for n := range messages {
		messages[n].Zone, messages[n].Title = zone.String(), shortTitle(messages[n].Title)
	}
	kept, err := k.Ledger.KnowEngagementMessages(ctx, id, messages)
	if err != nil {
		return nil, err
	}
	known := make(map[string]Message, len(kept))
	for message, row := range kept {
		if known[message], err = messageOf(row); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func messageOf(row ledger.EngagementMessage) (Message, error) {
	zone, err := time.LoadLocation(row.Zone)
	if err != nil {
		return Message{}, fmt.Errorf("a message is counted in a time zone that this build does not know: %w", err)
	}
	return Message{Ref: row.Ref, Zone: zone,
		Again: row.Kind == int(listrak.Conversation) || row.Kind == int(listrak.Transactional)}, nil
}
