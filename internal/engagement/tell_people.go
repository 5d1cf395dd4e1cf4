package engagement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/shopify"
)

const (
	// unknownWait is when it is asked once more whether an address belongs to a customer now: longer than a customer's saving may be under way
	// that has not seen the person yet.
	unknownWait = consent.Hour
	// peoplePage is how many people are looked at between two saves; callsAtOnce is how many requests are under way, so that the points
	// that are there are used although each answer takes its time.
	peoplePage  = 1000
	callsAtOnce = 4
)

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
	for _, channel := range consent.Channels {
		if !p.switches.May(consent.EventsOf(channel)) {
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
