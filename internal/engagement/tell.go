package engagement

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

const (
	// lateEffect is how long after its end a call of unknown end may still take effect: what it told is told once more after that.
	lateEffect = 2 * consent.Minute
	// refusedWait is when something that Shopify does not take is tried again, failedWait what failed by itself while others went well.
	refusedWait = consent.Hour
	failedWait  = consent.Minute
)

// kindsCursor holds the kinds that were on when Shopify was told last.
const kindsCursor = "engagement.kinds"

// noteKinds makes everything of a channel due again when a kind of it has been switched on: of days that were told meanwhile without it, Shopify
// has no count of it any more, and of customers what fell out of countedFor was not told.
func (p *run) noteKinds(ctx context.Context) error {
	var now []string
	for _, sync := range []consent.Sync{consent.EmailEvents, consent.SMSEvents} {
		for _, kind := range sync.Kinds() {
			if p.on(kind) {
				now = append(now, string(kind))
			}
		}
	}
	cursors, err := p.Ledger.Cursors(ctx, p.merchant)
	if err != nil {
		return err
	}
	text := strings.Join(now, " ")
	if cursors[kindsCursor] == text {
		return nil
	}
	before := strings.Fields(cursors[kindsCursor])
	for _, channel := range consent.Channels {
		kinds := consent.EventsOf(channel).Kinds()
		if slices.ContainsFunc(kinds, func(kind consent.Sync) bool { return p.on(kind) && !slices.Contains(before, string(kind)) }) {
			if err := p.Ledger.TellAgain(ctx, p.lease, channel); err != nil {
				return err
			}
		}
	}
	_, err = p.Ledger.Save(ctx, p.merchant, ledger.Batch{Lease: &p.lease, Cursors: []ledger.Cursor{{Name: kindsCursor, Value: text}}})
	return err
}

// tellingCursor holds until when a call of a pass that told something may still take effect, as a Unix time in microseconds: it is set before the
// first call of a pass, and taken away when it is known how all of them ended. So it stays when the process dies with a call under way.
const tellingCursor = "engagement.telling"

// beginTelling is before the first call of a pass that tells Shopify something. What an earlier pass that never came to its end has sent may
// still take effect after what this one tells: all of that is told once more then.
func (p *run) beginTelling(ctx context.Context, now consent.Instant) error {
	if p.telling {
		return nil
	}
	cursors, err := p.Ledger.Cursors(ctx, p.merchant)
	if err != nil {
		return err
	}
	if before, err := strconv.ParseInt(cursors[tellingCursor], 10, 64); err == nil && before > int64(now) {
		p.shadow = consent.Instant(before)
	}
	until := now.Plus(consent.SpanOf(p.Timing.PassLimit+2*p.Timing.CallTimeout) + lateEffect)
	if err := p.saveTelling(ctx, max(until, p.shadow)); err != nil {
		return err
	}
	p.telling = true
	return nil
}

// endTelling is at the end of a pass of which every call's end is known, or is remembered as not known.
func (p *run) endTelling(ctx context.Context) error {
	if !p.telling || p.lostTrack {
		return nil
	}
	return p.saveTelling(context.WithoutCancel(ctx), p.shadow)
}

func (p *run) saveTelling(ctx context.Context, until consent.Instant) error {
	_, err := p.Ledger.Save(ctx, p.merchant, ledger.Batch{Lease: &p.lease,
		Cursors: []ledger.Cursor{{Name: tellingCursor, Value: strconv.FormatInt(int64(until), 10)}}})
	return err
}

// doubt is until when a call whose answer did not come may still take effect. now was the ledger's time when this machine's clock showed since:
// before the call there may have been others, and a wait for points.
func (p *run) doubt(now consent.Instant, since time.Time) consent.Instant {
	return now.Plus(consent.SpanOf(p.Now().Sub(since)+p.Timing.CallTimeout) + lateEffect)
}

// callsEnd bounds calls, with their waiting for points, by when the lease of the pass may be another's.
func (p *run) callsEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	return p.machine().WithTimeout(ctx, p.until.Sub(p.Now())+p.Timing.CallTimeout)
}
