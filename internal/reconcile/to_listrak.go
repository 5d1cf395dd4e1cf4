package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/shopify"
)

const (
	// listrakBatch is how many subjects are taken at once; small, so that an opt-out that arrives meanwhile waits for few.
	listrakBatch = 20
	// listrakParallel is how many deliveries run side by side: Listrak takes one contact a call, and the request rate, not the
	// latency, should be what limits us.
	listrakParallel = 4
)

// listrakFailures in a row are taken for an outage.
const listrakFailures = 4

// deliverToListrak writes what Listrak is owed until nothing is due or time is up. Deliveries that fail are put off and do not keep
// the others waiting; the first failure is returned.
func (s *session) deliverToListrak(ctx context.Context, what extent) error {
	away := outage{limit: listrakFailures}
	var failed error
	for !s.timeIsUp() {
		due, err := s.due(ctx, consent.Listrak, listrakBatch, what)
		if err != nil || len(due) == 0 {
			return errors.Join(failed, err)
		}
		errs := make([]error, len(due))
		skipped := make([]bool, len(due))
		tasks := make([]func(), len(due))
		for i, located := range due {
			tasks[i] = func() {
				again := hasFailed(&located, consent.Listrak)
				if skipped[i] = away.over(again); skipped[i] || s.timeIsUp() {
					return
				}
				errs[i] = s.deliverOneToListrak(ctx, located)
				away.note(errs[i], again)
			}
		}
		s.machine().Together(listrakParallel, tasks...)
		for _, err := range errs {
			if mustStop(err) {
				return err
			}
			failed = cmp.Or(failed, err)
		}
		if away.over(false) {
			return failed
		}
		var later []revision
		for i, located := range due {
			if skipped[i] {
				later = append(later, s.putOff(located.Subject, consent.Listrak, s.later(0, false)))
			}
		}
		if _, err := s.revise(ctx, later); err != nil {
			return err
		}
	}
	return failed
}

// deliverOneToListrak reads the contact, decides what that shows, writes what is still owed, and reads again: done is what the
// side shows (rules 14, 16).
func (s *session) deliverOneToListrak(ctx context.Context, located ledger.Located) error {
	again := hasFailed(&located, consent.Listrak)
	address, err := s.openAddress(ctx, located)
	if err != nil && !mustStop(err) {
		if _, saveErr := s.revise(ctx, []revision{s.endWithoutCall(located.Subject, consent.Listrak, err, again)}); saveErr != nil {
			return saveErr
		}
	}
	if err != nil {
		return err
	}
	if address == "" {
		_, err := s.revise(ctx, []revision{s.withoutAddress(located.Subject, consent.Listrak)})
		return err
	}
	looked := s.now()
	entry, _, err := s.lookUpInListrak(ctx, located.Subject, address)
	if err != nil && !mustStop(err) {
		if _, saveErr := s.revise(ctx, []revision{s.endWithoutCall(located.Subject, consent.Listrak, err, again)}); saveErr != nil {
			return saveErr
		}
		if isRefused(err) {
			return nil
		}
	}
	if err != nil || !s.isOwed(&entry, consent.Listrak) {
		return err
	}
	if entry.Record.Shows(consent.Listrak) {
		// What keeps the debt is only an attempt whose end is unknown.
		until := entry.Record.OpenUntil(consent.Listrak).Plus(consent.Microsecond)
		_, err := s.revise(ctx, []revision{s.putOff(located.Subject, consent.Listrak, until)})
		return err
	}
	if err := s.reserveListrak(ctx); err != nil {
		return fmt.Errorf("wait for Listrak's request rate: %w", err)
	}
	granted, err := s.claim(ctx, consent.Listrak, []item{{subject: located.Subject, address: address, entry: entry, looked: looked, again: again}})
	if err != nil || len(granted) == 0 {
		return err
	}
	return s.writeToListrak(ctx, granted[0])
}

func (s *session) writeToListrak(ctx context.Context, it item) error {
	callCtx, cancel := s.callContext(ctx, it.started)
	began := s.Now()
	result, callErr := s.callListrak(callCtx, it)
	cancel()
	ended := s.Now()
	e := s.endOf(callErr, it.again)
	switch {
	case callErr != nil:
	case result.Pending:
		e.outcome = consent.AwaitingConfirmation
	default:
		s.delivered(consent.Listrak, it)
		// Until the read below has shown it, the next look is put off for an interval.
		e.after = s.later(0, false)
	}
	if _, err := s.revise(ctx, []revision{s.finish(it, consent.Listrak, e)}); err != nil {
		return err
	}
	if callErr != nil {
		if isRefused(callErr) {
			return nil
		}
		return fmt.Errorf("write a contact: %w", callErr)
	}
	entry, rawDate, err := s.lookUpInListrak(ctx, it.subject, it.address)
	// A date that is not our write's proves nothing.
	if err != nil || result.AlreadySo || result.Pending || !entry.Record.Shows(consent.Listrak) {
		return err
	}
	return s.proveZone(ctx, it.subject, rawDate, began, ended, result.ServerTime)
}

// reserveListrak waits for a place in the request rate of the channel's API.
func (s *session) reserveListrak(ctx context.Context) error {
	if s.channel == consent.SMS {
		return s.account.SMS.Reserve(ctx)
	}
	return s.account.Listrak.Reserve(ctx)
}

func (s *session) callListrak(ctx context.Context, it item) (listrak.WriteResult, error) {
	if s.channel == consent.SMS {
		return s.callSMS(ctx, it)
	}
	if it.entry.Record.Decision.State == consent.Unsubscribed {
		return s.account.Listrak.Unsubscribe(ctx, it.address)
	}
	options := listrak.SubscribeOptions{Override: it.entry.Record.OverridesUnsubscribe()}
	event := s.account.Settings.MarketingEvent
	if it.entry.Record.Sent[consent.Listrak][0].Point == consent.Checkout {
		event = s.account.Settings.CheckoutEvent
	}
	if event != 0 {
		options.EventIDs = []int{event}
	}
	return s.account.Listrak.Subscribe(ctx, it.address, options)
}

// lookUpInListrak reads one contact and decides what it shows. rawDate is its date as Listrak writes it.
func (s *session) lookUpInListrak(ctx context.Context, subject consent.Subject, address string) (entry ledger.Entry, rawDate string, err error) {
	var seen sighting
	if s.channel == consent.SMS {
		var contact listrak.SMSContact
		seen, contact, err = s.readPhone(ctx, subject, address)
		rawDate = contact.RawDate
	} else {
		var contact listrak.Contact
		seen, contact, err = s.readContact(ctx, subject, address)
		rawDate = contact.RawDate
	}
	if err != nil {
		return ledger.Entry{}, "", err
	}
	entries, err := s.observe(ctx, []sighting{seen})
	return entries[subject], rawDate, err
}

// readContact looks one address up in Listrak.
func (s *session) readContact(ctx context.Context, subject consent.Subject, address string) (sighting, listrak.Contact, error) {
	r := read{began: s.now()}
	contact, found, err := s.account.Listrak.Contact(ctx, address)
	if err != nil {
		return sighting{}, contact, fmt.Errorf("look up a contact: %w", err)
	}
	r.ended = s.now()
	// A process that has just started has compared no clocks yet, and would take the copy that it has just made for somebody's word.
	s.account.measure(consent.Listrak, r, contact.ServerTime)
	seen := absent(consent.Listrak, subject, address, r)
	if found {
		// The address that came back is compared: a contact with another one is somebody else (rule 14).
		if report, ok := s.listrakReport(contact, r); ok && report.subject == subject {
			seen = report
		}
	}
	return seen, contact, nil
}

// askAddress asks a side for the address behind one of its ids; empty when the side does not know it any more.
func (s *session) askAddress(ctx context.Context, side consent.Side, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	raw := ""
	switch {
	case side == consent.Shopify:
		customers, err := s.account.Shopify.CustomersByID(ctx, []shopify.CustomerID{shopify.CustomerID(ref)})
		if isRefused(err) {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("look up a customer: %w", err)
		}
		raw, _ = s.onChannel(customers[0])
	case s.channel == consent.SMS:
		// A phone number is its own id there.
	default:
		contact, _, err := s.account.Listrak.Contact(ctx, ref)
		if isRefused(err) {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("look up a contact: %w", err)
		}
		raw = contact.Address
	}
	address, err := s.normalise(raw)
	if err != nil {
		return "", nil
	}
	return address, nil
}
