package engagement

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/shopify"
)

// daysAtOnce is how many days are told in one request: a second's points of a Standard plan, so that consent does not wait for more where there
// are no spare ones.
const daysAtOnce = 10

// listrakURL is where a merchant can look at messages.
const listrakURL = "https://admin.listrak.com/"

// tellDays tells Shopify the totals of the days that have changed.
func (p *run) tellDays(ctx context.Context) error {
	for {
		since := p.Now()
		now, err := p.now(ctx)
		if err != nil {
			return err
		}
		due, err := p.Ledger.EngagementDaysDue(ctx, p.merchant, now, daysAtOnce)
		if err != nil || len(due) == 0 {
			return err
		}
		done, err := p.tellSomeDays(ctx, now, since, due)
		later := false
		if f := failure.As(err); f != nil && f.Code == shopify.CodeBudget && ctx.Err() == nil {
			// Consent needs the points.
			later, err = true, nil
		}
		if err := errors.Join(err, p.toldDays(context.WithoutCancel(ctx), now, since, done)); err != nil {
			return err
		}
		if later || p.timeIsUp() {
			p.more = true
			return nil
		}
	}
}

func (p *run) tellSomeDays(ctx context.Context, now consent.Instant, since time.Time, due []ledger.DueDay) (done []ledger.ToldDay, err error) {
	ctx, cancel := p.callsEnd(ctx)
	defer cancel()
	var sent []ledger.DueDay
	var engagements []shopify.Engagement
	upserted := map[int64]bool{}
	for _, d := range due {
		m, err := messageOf(d.Message)
		if err != nil {
			return done, err
		}
		e := engagementOf(d.Message.ID, d.Message.Channel, m.Zone, d.Day, d.Counts, p.on)
		text := toldText(e)
		switch {
		case e.Sends == nil && e.UniqueViews == nil && e.UniqueClicks == nil:
			// All its kinds are off; they may be switched on again.
			done = append(done, ledger.ToldDay{EngagementDay: d.EngagementDay, Later: now.Plus(refusedWait)})
			continue
		case text == d.Told && !d.Unsure:
			done = append(done, ledger.ToldDay{EngagementDay: d.EngagementDay, Counts: d.Counts, Told: text})
			continue
		}
		if !upserted[d.Ref] {
			if err := p.upsert(ctx, d.Message); err != nil {
				if failure.ClassOf(err) != failure.Refused {
					return done, err
				}
				p.Log.Warn("Shopify does not take a marketing activity", "merchant", p.merchant, "message", d.Message.ID, "error", err.Error())
				done = append(done, ledger.ToldDay{EngagementDay: d.EngagementDay, Later: now.Plus(refusedWait)})
				continue
			}
			upserted[d.Ref] = true
		}
		sent, engagements = append(sent, d), append(engagements, e)
	}
	if len(engagements) > 0 {
		if err := p.beginTelling(ctx, now); err != nil {
			return done, err
		}
	}
	results, err := p.account.Shopify.CreateEngagements(ctx, engagements)
	if err != nil {
		if f := failure.As(err); f != nil && f.MaybeDone {
			for _, d := range sent {
				done = append(done, ledger.ToldDay{EngagementDay: d.EngagementDay, Unsure: p.doubt(now, since)})
			}
		}
		return done, fmt.Errorf("send the totals of messages: %w", err)
	}
	for n, d := range sent {
		told := ledger.ToldDay{EngagementDay: d.EngagementDay, Counts: d.Counts, Told: toldText(engagements[n])}
		f := failure.As(results[n])
		switch {
		case results[n] == nil:
			p.days++
		case f != nil && f.MaybeDone:
			told.Unsure = p.doubt(now, since)
		case f != nil && f.Code == shopify.CodeNoActivity:
			// Somebody has deleted it: it is made anew, with the next pass.
			told.Later = now.Plus(consent.Second)
			if err := p.Ledger.ToldActivity(ctx, p.merchant, d.Message.ID, ""); err != nil {
				return done, err
			}
		case f != nil && f.Class == failure.Refused:
			told.Later = now.Plus(refusedWait)
			p.Log.Warn("Shopify does not take the totals of a message", "merchant", p.merchant, "message", d.Message.ID, "error", f.Error())
		default:
			told.Later = now.Plus(failedWait) // so that it does not stay before all others
			err = results[n]
		}
		done = append(done, told)
	}
	return done, err
}

// toldDays remembers how it went to tell of days. Who has lost the lease meanwhile may have told something older than another has since, and
// lets that be told again.
func (p *run) toldDays(ctx context.Context, now consent.Instant, since time.Time, done []ledger.ToldDay) error {
	var doubted []ledger.EngagementDay
	for i := range done {
		if done[i].Later == 0 {
			done[i].Unsure = max(done[i].Unsure, p.shadow)
			doubted = append(doubted, done[i].EngagementDay)
		}
	}
	err := p.Ledger.ToldDays(ctx, p.lease, done)
	if errors.Is(err, ledger.ErrFenced) && len(doubted) > 0 {
		err = errors.Join(err, p.Ledger.DoubtDays(ctx, p.merchant, doubted, p.doubt(now, since)))
	}
	p.lostTrack = p.lostTrack || err != nil
	return err
}

// upsert makes sure that Shopify has the activity of a message, under its present title.
func (p *run) upsert(ctx context.Context, m ledger.EngagementMessage) error {
	title := m.Title
	if title == "" {
		title = "Message " + m.ID
	}
	if m.ToldTitle == title {
		return nil
	}
	activity := shopify.MarketingActivity{RemoteID: m.ID, Title: title, Medium: shopify.ByEmail, URL: listrakURL, Start: m.SentAt.Time(),
		Automated: m.Kind == int(listrak.Conversation) || m.Kind == int(listrak.Transactional)}
	if m.SentAt == 0 {
		activity.Start = time.Time{}
	}
	if m.Channel == consent.SMS {
		activity.Medium = shopify.BySMS
	}
	if err := p.account.Shopify.UpsertActivity(ctx, activity); err != nil {
		return fmt.Errorf("store a marketing activity: %w", err)
	}
	return p.Ledger.ToldActivity(ctx, p.merchant, m.ID, title)
}
