package engagement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/shopify"
)

const (
	// daysAtOnce is how many days are told in one request: a second's points of a Standard plan, so that consent does not wait for more where
	// there are no spare ones.
	daysAtOnce = 10
	// lateEffect is how long after its end a call of unknown end may still take effect: what it told is told once more after that.
	lateEffect = 2 * consent.Minute
	// refusedWait is when something that Shopify does not take is tried again, failedWait what failed by itself while others went well.
	refusedWait = consent.Hour
	failedWait  = consent.Minute
	// unknownWait is when it is asked once more whether an address belongs to a customer now: longer than a customer's saving may be under way
	// that has not seen the person yet.
	unknownWait = consent.Hour
	// peoplePage is how many people are looked at between two saves; callsAtOnce is how many requests are under way, so that the points
	// that are there are used although each answer takes its time.
	peoplePage  = 1000
	callsAtOnce = 4
)

// listrakURL is where a merchant can look at messages.
const listrakURL = "https://admin.listrak.com/"

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
	for _, channel := range []consent.Channel{consent.Email, consent.SMS} {
		kinds := map[consent.Channel]consent.Sync{consent.Email: consent.EmailEvents, consent.SMS: consent.SMSEvents}[channel].Kinds()
		if slices.ContainsFunc(kinds, func(kind consent.Sync) bool { return p.on(kind) && !slices.Contains(before, string(kind)) }) {
			if err := p.Ledger.TellAgain(ctx, p.lease, channel); err != nil {
				return err
			}
		}
	}
	_, err = p.Ledger.Save(ctx, p.merchant, ledger.Batch{Lease: &p.lease, Cursors: []ledger.Cursor{{Name: kindsCursor, Value: text}}})
	return err
}

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

// toldPeople is toldDays for people of a channel; told are those of them of whom something was told.
func (p *run) toldPeople(ctx context.Context, channel consent.Channel, now consent.Instant, since time.Time, done, told []ledger.ToldPerson) error {
	doubted := make([]consent.Subject, len(told))
	for i := range told {
		doubted[i] = told[i].Subject
	}
	if p.shadow != 0 {
		for i := range done {
			if slices.Contains(doubted, done[i].Subject) {
				done[i].Unsure = max(done[i].Unsure, p.shadow)
			}
		}
	}
	err := p.Ledger.ToldPeople(ctx, p.lease, channel, done)
	if errors.Is(err, ledger.ErrFenced) && len(doubted) > 0 {
		err = errors.Join(err, p.Ledger.DoubtPeople(ctx, p.merchant, channel, doubted, p.doubt(now, since)))
	}
	p.lostTrack = p.lostTrack || err != nil
	return err
}

// doubt is until when a call whose answer did not come may still take effect. now was the ledger's time when this machine's clock showed since:
// before the call there may have been others, and a wait for points.
func (p *run) doubt(now consent.Instant, since time.Time) consent.Instant {
	return now.Plus(consent.SpanOf(p.Now().Sub(since)+p.Timing.CallTimeout) + lateEffect)
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

// definedCursor holds when the store was last seen to have the definitions of our metafields, as a Unix time in microseconds.
const definedCursor = "engagement.defined"

const defineEvery = 24 * consent.Hour

// tellPeople tells Shopify what has changed of customers, until nobody is due or time is up.
func (p *run) tellPeople(ctx context.Context) error {
	err := p.define(ctx)
	if f := failure.As(err); f != nil && f.Code == shopify.CodeBudget && ctx.Err() == nil {
		p.more = true // consent needs the points
		return nil
	}
	if err == nil {
		err = p.tellAllPeople(ctx)
	}
	return errors.Join(err, p.failed)
}

func (p *run) tellAllPeople(ctx context.Context) error {
	for _, channel := range []consent.Channel{consent.Email, consent.SMS} {
		sync := map[consent.Channel]consent.Sync{consent.Email: consent.EmailEvents, consent.SMS: consent.SMSEvents}[channel]
		if !p.switches.May(sync) {
			continue
		}
		for {
			if p.timeIsUp() {
				p.more = true
				return nil
			}
			more, err := p.tellSomePeople(ctx, channel)
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return nil
}

// define makes sure that the store has the definitions of our metafields, from the first pass on, so that segments can be made before anybody is
// told of. Once a day it does so again: staff may delete them, an app that is installed anew has none, and the values alone are in no segment.
func (p *run) define(ctx context.Context) error {
	now, err := p.now(ctx)
	if err != nil {
		return err
	}
	cursors, err := p.Ledger.Cursors(ctx, p.merchant)
	if err != nil {
		return err
	}
	if last, err := strconv.ParseInt(cursors[definedCursor], 10, 64); err == nil && now < consent.Instant(last).Plus(defineEvery) {
		return nil
	}
	ctx, cancel := p.callsEnd(ctx)
	defer cancel()
	if err := p.account.Shopify.DefineMetafields(ctx, Definitions()); err != nil {
		return fmt.Errorf("define the customers' metafields: %w", err)
	}
	_, err = p.Ledger.Save(ctx, p.merchant, ledger.Batch{Lease: &p.lease,
		Cursors: []ledger.Cursor{{Name: definedCursor, Value: strconv.FormatInt(int64(now), 10)}}})
	return err
}

// person is somebody of whom there is something to tell.
type person struct {
	due    ledger.DuePerson
	change change
}

// parcel is one metafieldsSet: all the fields of some people.
type parcel struct {
	people []person
	fields []shopify.Metafield
}

// tellSomePeople tells of a page of those who are due; more reports whether to go on.
func (p *run) tellSomePeople(ctx context.Context, channel consent.Channel) (more bool, err error) {
	since := p.Now()
	now, err := p.now(ctx)
	if err != nil {
		return false, err
	}
	due, err := p.Ledger.EngagedPeopleDue(ctx, p.merchant, channel, now, peoplePage)
	if err != nil || len(due) == 0 {
		return false, err
	}
	var done []ledger.ToldPerson
	var parcels []parcel
	for _, d := range due {
		record, err := DecodeRecord(d.Record)
		if err != nil {
			return false, err
		}
		before, to, err := decodeTold(d.Told, channel)
		if err != nil {
			return false, err
		}
		if d.Customer == "" {
			// Nobody in Shopify has this address now. The fields wait for a customer who has: whoever saves one makes the person due.
			waits := ledger.ToldPerson{Subject: d.Subject, Version: d.Version, Told: d.Told}
			if len(d.Told) == 0 {
				waits.Told, waits.DueAt = before.encode(to), now.Plus(unknownWait)
			}
			done = append(done, waits)
			continue
		}
		if d.Unsure || to != "" && to != customerNumber(d.Customer) {
			// The address has gone to another customer, who has none of its fields; nobody knows which of those were told meanwhile.
			before = before.doubtful()
		}
		c := changeOf(record, channel, shopify.CustomerID(d.Customer), before, now.Time(), p.on)
		if len(c.fields) == 0 {
			done = append(done, c.toldPerson(d))
			continue
		}
		if n := len(parcels); n == 0 || len(parcels[n-1].fields)+len(c.fields) > shopify.MaxMetafields {
			parcels = append(parcels, parcel{})
		}
		last := &parcels[len(parcels)-1]
		last.people, last.fields = append(last.people, person{d, c}), append(last.fields, c.fields...)
	}
	if len(parcels) > 0 {
		// Rounds read the customers whom we touch as changed ones, and want to know why there are so many.
		_, err := p.Ledger.Save(ctx, p.merchant, ledger.Batch{Lease: &p.lease,
			Cursors: []ledger.Cursor{{Name: ledger.ToldPeopleCursor, Value: now.Time().Format(time.RFC3339)}}})
		if err == nil {
			err = p.beginTelling(ctx, now)
		}
		if err != nil {
			return false, errors.Join(err, p.Ledger.ToldPeople(context.WithoutCancel(ctx), p.lease, channel, done))
		}
	}
	told, complete, err := p.send(ctx, parcels, now, since)
	done = append(done, told...)
	if err := errors.Join(err, p.toldPeople(context.WithoutCancel(ctx), channel, now, since, done, told)); err != nil {
		return false, err
	}
	if !complete {
		p.more = true
	}
	return complete && len(done) > 0, nil
}

// callsEnd bounds calls, with their waiting for points, by when the lease of the pass may be another's.
func (p *run) callsEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	return p.machine().WithTimeout(ctx, p.until.Sub(p.Now())+p.Timing.CallTimeout)
}

// send sends parcels, several requests at a time. complete is false when time was up before all were sent; the others stay due.
func (p *run) send(ctx context.Context, parcels []parcel, now consent.Instant, since time.Time) (told []ledger.ToldPerson, complete bool, err error) {
	ctx, cancel := p.callsEnd(ctx)
	defer cancel()
	var requests [][]parcel
	for from := 0; from < len(parcels); from += shopify.MaxMetafieldSets {
		requests = append(requests, parcels[from:min(from+shopify.MaxMetafieldSets, len(parcels))])
	}
	answers, skipped, failed := make([][]ledger.ToldPerson, len(requests)), make([]bool, len(requests)), make([]error, len(requests))
	tasks := make([]func(), len(requests))
	for n, request := range requests {
		tasks[n] = func() {
			if p.timeIsUp() || ctx.Err() != nil {
				skipped[n] = true
				return
			}
			answers[n], failed[n] = p.sendOne(ctx, request, now, since)
			if f := failure.As(failed[n]); f != nil && f.Code == shopify.CodeBudget {
				// Consent needs the points.
				skipped[n], failed[n] = true, nil
			}
		}
	}
	p.machine().Together(callsAtOnce, tasks...)
	complete = true
	for n := range requests {
		told = append(told, answers[n]...)
		complete = complete && !skipped[n]
	}
	return told, complete, errors.Join(failed...)
}

// sendOne sends one request and returns of whom it is known how it went.
func (p *run) sendOne(ctx context.Context, request []parcel, now consent.Instant, since time.Time) ([]ledger.ToldPerson, error) {
	groups := make([][]shopify.Metafield, len(request))
	for n := range request {
		groups[n] = request[n].fields
	}
	doubt := func(people []person) (unsure []ledger.ToldPerson) {
		for _, one := range people {
			unsure = append(unsure, ledger.ToldPerson{Subject: one.due.Subject, Version: one.due.Version, Told: one.due.Told, Unsure: p.doubt(now, since)})
		}
		return unsure
	}
	results, err := p.account.Shopify.SetMetafields(ctx, groups)
	if err != nil {
		var told []ledger.ToldPerson
		if f := failure.As(err); f != nil && f.MaybeDone {
			for n := range request {
				told = append(told, doubt(request[n].people)...)
			}
		}
		return told, fmt.Errorf("set customers' metafields: %w", err)
	}
	var told []ledger.ToldPerson
	var apart []parcel
	alone := len(results) == 1 || slices.ContainsFunc(results, func(r shopify.MetafieldResult) bool { return r.Err == nil })
	for n, result := range results {
		f := failure.As(result.Err)
		switch {
		case f != nil && f.MaybeDone:
			told = append(told, doubt(request[n].people)...)
			continue
		case result.Err != nil && alone && len(request[n].people) > 1:
			// It is about somebody in there, who must not keep the others from being told for ever.
			for _, one := range request[n].people {
				apart = append(apart, parcel{[]person{one}, one.change.fields})
			}
			continue
		case result.Err != nil:
			wait := failedWait
			if f != nil && f.Class == failure.Refused {
				wait = refusedWait
				p.Log.Warn("Shopify does not take the metafields of a customer", "merchant", p.merchant, "error", result.Err.Error())
			} else {
				p.failPerson(result.Err)
			}
			for _, one := range request[n].people {
				told = append(told, ledger.ToldPerson{Subject: one.due.Subject, Version: one.due.Version, Later: now.Plus(wait)})
			}
			continue
		}
		element := 0
		for _, one := range request[n].people {
			refused := error(nil)
			for range one.change.fields {
				if result.Refused[element] != nil {
					refused = result.Refused[element]
				}
				element++
			}
			switch {
			case refused != nil:
				// The customer is gone, or Shopify does not take a value; the others of the parcel are due still and go without this one.
				if f := failure.As(refused); f == nil || f.Code != shopify.CodeNoOwner {
					p.Log.Warn("Shopify does not take the metafields of a customer", "merchant", p.merchant, "error", refused.Error())
				}
				told = append(told, ledger.ToldPerson{Subject: one.due.Subject, Version: one.due.Version, Later: now.Plus(refusedWait)})
			case result.Refused == nil:
				p.countPerson()
				told = append(told, one.change.toldPerson(one.due))
			}
		}
	}
	for some := range slices.Chunk(apart, shopify.MaxMetafieldSets) {
		more, err := p.sendOne(ctx, some, now, since)
		if told = append(told, more...); err != nil {
			return told, err
		}
	}
	return told, nil
}

// failPerson remembers the first failure that is about some people only: it does not end the pass, and is told of at its end.
func (p *run) failPerson(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		p.failed = fmt.Errorf("set metafields of some customers: %w", err)
	}
}

func (p *run) countPerson() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people++
}
