package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/shopify"
)

// shopifyFailures in a row are taken for an outage: each stands for a whole batch.
const shopifyFailures = 2

// deliverToShopify writes what Shopify is owed, in batches, until nothing is due or time is up. The first failure is returned.
func (s *session) deliverToShopify(ctx context.Context, what extent) error {
	away := outage{limit: shopifyFailures}
	var failed error
	for !s.timeIsUp() {
		due, err := s.due(ctx, consent.Shopify, shopify.MaxWrites, what)
		if err != nil || len(due) == 0 {
			return errors.Join(failed, err)
		}
		for _, q := range s.queues(due) {
			err := s.deliverQueueToShopify(ctx, q, &away)
			if mustStop(err) {
				return err
			}
			if failed = cmp.Or(failed, err); away.over(false) || s.timeIsUp() {
				return failed
			}
		}
	}
	return failed
}

// queue is a part of what is due.
type queue struct {
	// again: a try for each of them has failed before.
	again bool
	due   []ledger.Located
}

// queues keeps those who have failed before apart from the others, since one person for whom Shopify fails a whole request must not
// keep all others waiting, and opt-outs before opt-ins (I9). Those who failed come in any order, so that it is not always the same
// ones who share a request.
func (s *session) queues(due []ledger.Located) []queue {
	var all [4]queue
	for _, located := range due {
		n := 0
		if located.Record.Decision.State != consent.Unsubscribed {
			n = 2
		}
		again := hasFailed(&located, consent.Shopify)
		if again {
			n++
		}
		all[n].again, all[n].due = again, append(all[n].due, located)
	}
	var result []queue
	for _, q := range all {
		if len(q.due) == 0 {
			continue
		}
		if q.again {
			s.machine().Shuffle(len(q.due), func(i, j int) { q.due[i], q.due[j] = q.due[j], q.due[i] })
		}
		result = append(result, q)
	}
	return result
}

// deliverQueueToShopify delivers a queue: all at once, or, if they have failed before, the first alone and, as long as that goes well,
// twice as many each time.
func (s *session) deliverQueueToShopify(ctx context.Context, q queue, away *outage) error {
	var failed error
	size := len(q.due)
	if q.again {
		size = 1
	}
	for len(q.due) > 0 && !s.timeIsUp() {
		if away.over(q.again) {
			later := make([]revision, len(q.due))
			for i, located := range q.due {
				later[i] = s.putOff(located.Subject, consent.Shopify, s.later(0, false))
			}
			_, err := s.revise(ctx, later)
			return errors.Join(failed, err)
		}
		size = min(size, len(q.due))
		err := s.deliverBatchToShopify(ctx, q.due[:size])
		if mustStop(err) {
			return err
		}
		away.note(err, q.again)
		failed = cmp.Or(failed, err)
		q.due = q.due[size:]
		if size *= 2; err != nil {
			size = 1
		}
	}
	return failed
}

// deliverBatchToShopify looks everybody up by identifier, decides what that shows, and writes what is still owed.
func (s *session) deliverBatchToShopify(ctx context.Context, due []ledger.Located) error {
	items, later, err := s.lookUpInShopify(ctx, due)
	if err != nil {
		return err
	}
	var updates, creates []item
	for _, it := range items {
		rec := &it.entry.Record
		switch {
		case !s.isOwed(&it.entry, consent.Shopify):
			// The read has shown that nothing is owed any more; observing it has saved that.
		case rec.Shows(consent.Shopify):
			// What keeps the debt is only an attempt whose end is unknown.
			later = append(later, s.putOff(it.subject, consent.Shopify, rec.OpenUntil(consent.Shopify).Plus(consent.Microsecond)))
		default:
			held := rec.Seen[consent.Shopify]
			date, ok := consent.WriteDate(rec.Decision, held.Shown, rec.Seen[rec.Decision.Side].ReadBegan, s.now())
			it.written = date
			switch {
			case !ok:
				later = append(later, s.putOff(it.subject, consent.Shopify, date))
			case held.State == consent.Absent:
				creates = append(creates, it)
			default:
				updates = append(updates, it)
			}
		}
	}
	if _, err := s.revise(ctx, later); err != nil {
		return err
	}
	// Opt-outs and changes of customers who exist go before creations: a person who left waits for nobody.
	if err := s.update(ctx, updates); err != nil {
		return err
	}
	return s.create(ctx, creates)
}

// lookUpInShopify reads each subject by customer id where one is known and still has the address, else by exact email. later holds
// the subjects that cannot be looked up now.
func (s *session) lookUpInShopify(ctx context.Context, due []ledger.Located) (items []item, later []revision, err error) {
	var asking error
	for _, located := range due {
		again := len(due) == 1 && hasFailed(&located, consent.Shopify)
		address, ok := s.openSealed(located.Subject, located.SealedAddress)
		if !ok && asking == nil {
			switch address, err = s.openAddress(ctx, located); {
			case err == nil:
				ok = true
			case mustStop(err):
				return nil, nil, err
			default:
				asking = err
			}
		}
		switch {
		case !ok:
			// The side that could tell the address does not answer; the others of the batch need not ask it as well.
			later = append(later, s.putOff(located.Subject, consent.Shopify, s.later(0, again)))
		case address == "":
			later = append(later, s.withoutAddress(located.Subject, consent.Shopify))
		default:
			items = append(items, item{subject: located.Subject, address: address, entry: located.Entry, again: again})
		}
	}
	looked := s.now()
	sightings, failed, err := s.readShopify(ctx, items)
	if len(items) == 0 && asking != nil {
		err = asking
	}
	if err != nil {
		for _, it := range items {
			later = append(later, s.putOff(it.subject, consent.Shopify, s.later(0, it.again)))
		}
		if _, saveErr := s.revise(ctx, later); saveErr != nil {
			return nil, nil, saveErr
		}
		return nil, nil, err
	}
	entries, err := s.observe(ctx, sightings)
	if err != nil {
		return nil, nil, err
	}
	read := items[:0]
	for _, it := range items {
		if entry, ok := entries[it.subject]; ok {
			it.entry, it.looked = entry, looked
			read = append(read, it)
		}
	}
	return read, append(later, failed...), nil
}

// readShopify reads the customers behind items. failed holds those whose look-up failed alone.
func (s *session) readShopify(ctx context.Context, items []item) (sightings []sighting, failed []revision, err error) {
	found := make(map[consent.Subject]sighting, len(items))
	var ids []shopify.CustomerID
	for _, it := range items {
		if ref := it.entry.Record.Seen[consent.Shopify].Ref; ref != "" {
			ids = append(ids, shopify.CustomerID(ref))
		}
	}
	if len(ids) > 0 {
		r := read{began: s.now()}
		customers, err := s.account.Shopify.CustomersByID(ctx, ids)
		if err != nil {
			return nil, nil, fmt.Errorf("look up customers: %w", err)
		}
		r.ended = s.now()
		for _, c := range customers {
			if seen, ok := s.shopifyReport(c, r); ok {
				found[seen.subject] = seen
			}
		}
	}
	var addresses []string
	var asked []item
	for _, it := range items {
		if _, ok := found[it.subject]; !ok {
			addresses, asked = append(addresses, it.address), append(asked, it)
		}
	}
	if len(addresses) > 0 {
		r := read{began: s.now()}
		customers, err := s.customersBy(ctx, addresses)
		var single shopify.ItemErrors
		if err != nil && (!errors.As(err, &single) || mustStop(err) || allFailed(single)) {
			return nil, nil, fmt.Errorf("look up customers: %w", err)
		}
		r.ended = s.now()
		holders := make([]string, len(customers))
		for i, c := range customers {
			holders[i] = string(c.ID)
		}
		known, err := s.records().KnownCustomers(ctx, s.merchant, holders)
		if err != nil {
			return nil, nil, fmt.Errorf("read known customers: %w", err)
		}
		for i, c := range customers {
			if single != nil && single[i] != nil {
				failed = append(failed, s.endWithoutCall(asked[i].subject, consent.Shopify, single[i], asked[i].again))
				continue
			}
			// The address that came back is compared: a customer with another one is somebody else (rule 14).
			if seen, ok := s.shopifyReport(c, r); ok && seen.subject == asked[i].subject {
				// A customer who was known by another address brings that one's consent along; the poll may not have seen the change yet.
				holder := known[holders[i]]
				before := *subjectOf(&holder, s.channel)
				seen.report.Moved = !before.IsZero() && before != seen.subject
				found[asked[i].subject] = seen
			} else {
				found[asked[i].subject] = absent(consent.Shopify, asked[i].subject, addresses[i], r)
			}
		}
	}
	for _, it := range items {
		if seen, ok := found[it.subject]; ok {
			sightings = append(sightings, seen)
		}
	}
	return sightings, failed, nil
}

// customersBy looks customers up by exact address of the channel.
func (s *session) customersBy(ctx context.Context, addresses []string) ([]shopify.Customer, error) {
	if s.channel == consent.SMS {
		return s.account.Shopify.CustomersByPhone(ctx, addresses)
	}
	return s.account.Shopify.CustomersByEmail(ctx, addresses)
}

// allFailed reports whether every look-up failed in a way that may pass: then it is the side that is away.
func allFailed(errs shopify.ItemErrors) bool {
	for _, err := range errs {
		if err == nil || isRefused(err) {
			return false
		}
	}
	return true
}

func (s *session) update(ctx context.Context, items []item) error {
	if len(items) == 0 {
		return nil
	}
	return s.write(ctx, items, s.pointsOf(shopify.WriteCost), func(ctx context.Context, items []item) ([]shopify.WriteResult, error) {
		writes := make([]shopify.ConsentWrite, len(items))
		for i, it := range items {
			writes[i] = shopify.ConsentWrite{
				Customer: shopify.CustomerID(it.entry.Record.Seen[consent.Shopify].Ref),
				State:    shopifyStateOf(it.entry.Record.Decision.State), At: it.written.Time(),
			}
		}
		if s.channel == consent.SMS {
			return s.account.Shopify.UpdateSMSConsents(ctx, writes)
		}
		return s.account.Shopify.UpdateEmailConsents(ctx, writes)
	})
}

// pointsOf is what a write costs this merchant: who has no SMS asks for no phones.
func (s *session) pointsOf(cost int) int {
	if s.account.SMS == nil {
		return cost - shopify.PhoneCost
	}
	return cost
}

func (s *session) create(ctx context.Context, items []item) error {
	if len(items) == 0 {
		return nil
	}
	return s.write(ctx, items, s.pointsOf(shopify.CreateCost), func(ctx context.Context, items []item) ([]shopify.WriteResult, error) {
		customers := make([]shopify.NewCustomer, len(items))
		for i, it := range items {
			customers[i].At = it.written.Time()
			if s.channel == consent.SMS {
				customers[i].Phone = it.address
			} else {
				customers[i].Email = it.address
			}
		}
		return s.account.Shopify.CreateCustomers(ctx, customers)
	})
}

func shopifyStateOf(state consent.State) shopify.ConsentState {
	if state == consent.Subscribed {
		return shopify.Subscribed
	}
	return shopify.Unsubscribed
}

// write reserves the budget, claims, calls, and records every end. An error that concerns all of them is recorded for all and
// returned.
func (s *session) write(ctx context.Context, items []item, cost int,
	call func(context.Context, []item) ([]shopify.WriteResult, error),
) error {
	if err := s.account.Shopify.Reserve(ctx, cost*len(items)); err != nil {
		return fmt.Errorf("wait for Shopify's budget: %w", err)
	}
	items, err := s.claim(ctx, consent.Shopify, items)
	if err != nil || len(items) == 0 {
		return err
	}
	callCtx, cancel := s.callContext(ctx, items[0].started)
	r := read{began: s.now()}
	results, callErr := call(callCtx, items)
	cancel()
	r.ended = s.now()
	revisions := make([]revision, len(items))
	for i, it := range items {
		e := s.endOf(callErr, it.again)
		if callErr == nil {
			e = s.endOfWrite(results[i], it, r)
		}
		revisions[i] = s.finish(it, consent.Shopify, e)
		if e.outcome == consent.Delivered {
			s.delivered(consent.Shopify, it)
		}
	}
	if _, err := s.revise(ctx, revisions); err != nil {
		return err
	}
	if callErr != nil {
		return fmt.Errorf("write consents: %w", callErr)
	}
	for _, result := range results {
		if failure.ClassOf(result.Err) == failure.PersonMustAct && result.Err != nil {
			return fmt.Errorf("write consents: %w", result.Err)
		}
	}
	return nil
}

// endOfWrite reads one result: the payload is a report of what the side shows now.
func (s *session) endOfWrite(result shopify.WriteResult, it item, r read) end {
	e := s.endOf(result.Err, it.again)
	if f := failure.As(result.Err); f != nil && (f.Code == shopify.CodeTaken || f.Code == shopify.CodeCustomerNotFound) {
		// Somebody was created or deleted between the look-up and the write: the next round looks again.
		e = end{outcome: consent.Failed, code: f.Code, after: s.later(0, it.again)}
		if before := &it.entry.Record.Sent[consent.Shopify][1]; f.Code == shopify.CodeTaken && before.Code == f.Code &&
			before.Decision == it.entry.Record.Decision.At {
			// The look-up since did not find who has it: a person must look.
			e = end{outcome: consent.RefusedForGood, code: f.Code}
		}
	}
	if seen, ok := s.shopifyReport(result.Customer, r); ok && seen.subject == it.subject {
		e.report = &seen.report
		if e.outcome == consent.Delivered && seen.report.State == consent.Pending {
			e.outcome = consent.AwaitingConfirmation
		}
	}
	if e.outcome == consent.Delivered && (e.report == nil || e.report.State != it.entry.Record.Decision.State) {
		e.after = s.later(0, false)
	}
	return e
}
