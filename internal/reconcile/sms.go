package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/shopify"
)

// optOutReport turns an opt-out of the sender code into a report; ok is false for what is no phone number. A reason that a machine has
// is no decision (rule 9). Import, API and Admin are somebody's doing in Listrak; whatever else there is, a person's reply and a number
// that was given up, is a keyword or the carrier, and so are reasons that we do not know.
func (s *session) optOutReport(o listrak.OptOut, r read) (seen sighting, ok bool) {
	phone, err := s.normalise(o.Phone)
	if err != nil {
		return sighting{}, false
	}
	report := s.fromListrak(consent.Unsubscribed, o.Date, o.Wall(), o.Ambiguous, r)
	switch o.Reason {
	case listrak.OptOutDeliveryFailure, listrak.OptOutPermanentError:
		report.Machine = true
	case listrak.OptOutImport, listrak.OptOutAPI, listrak.OptOutAdmin:
	default:
		report.Keyword = true
	}
	return sighting{subject: s.subject(phone), address: phone, report: report}, true
}

// phoneReport turns a phone number's subscription to the list into a report. Why somebody is opted out it does not tell: OptOuts does.
func (s *session) phoneReport(subject consent.Subject, phone string, c listrak.SMSContact, r read) sighting {
	report := s.fromListrak(consent.Pending, c.Date, c.Wall(), c.Ambiguous, r)
	switch c.State {
	case listrak.Subscribed:
		report.State = consent.Subscribed
	case listrak.Unsubscribed:
		report.State = consent.Unsubscribed
	}
	return sighting{subject: subject, address: phone, report: report, unexplained: c.OptedOut}
}

// scanOptOuts reads one page of the sender code's opt-outs.
func (s *session) scanOptOuts(ctx context.Context, from reach, cursor string) (page, error) {
	r := read{began: s.now()}
	found, err := s.account.SMS.OptOuts(ctx, listrak.SMSQuery{Since: from.since, Cursor: cursor})
	if err != nil {
		return page{}, fmt.Errorf("read opt-outs: %w", err)
	}
	r.ended = s.now()
	s.account.measure(consent.Listrak, r, found.ServerTime)
	result := page{next: found.Next, rows: len(found.OptOuts)}
	sightings := make([]sighting, 0, len(found.OptOuts))
	for _, o := range found.OptOuts {
		if seen, ok := s.optOutReport(o, r); ok {
			sightings = append(sightings, seen)
		} else if result.people.unreadable, err = s.appendUnreadable(result.people.unreadable, o.Phone); err != nil {
			return page{}, err
		}
	}
	_, err = s.observe(ctx, sightings)
	return result, err
}

// scanSubscribers reads one page of those who were ever subscribed to the list and are not opted out. It has neither dates nor states, so
// people are looked up, at two calls each, unless they are known to be subscribed: of those a date that moved in place would decide
// nothing (rule 8), and their number is kept if a delivery needs it.
func (s *session) scanSubscribers(ctx context.Context, from reach, cursor string) (page, error) {
	found, err := s.readSubscribers(ctx, from, cursor)
	if err != nil {
		return page{}, err
	}
	entries, err := s.records().Load(ctx, s.merchant, s.channel, found.subjects)
	if err != nil {
		return page{}, fmt.Errorf("load records: %w", err)
	}
	var news []consent.Subject
	var known []revision
	for _, subject := range found.subjects {
		entry := entries[subject]
		if entry.Record.Seen[consent.Listrak].State != consent.Subscribed || entry.Record.OpenUntil(consent.Listrak) != 0 {
			news = append(news, subject)
			continue
		}
		if len(entry.SealedAddress) == 0 && entry.Debts != [2]consent.Debt{} {
			known = append(known, revision{subject: subject, address: found.phones[subject],
				apply: func(rec consent.Record) (consent.Record, []ledger.Line) { return rec, nil }})
		}
	}
	if _, err := s.revise(ctx, known); err != nil {
		return page{}, err
	}
	if !from.pass.IsZero() {
		found.subjects = news
		return found.page, s.lookUpOnce(ctx, found, consent.InstantOf(from.pass), s.timeIsUp)
	}
	for chunk := range slices.Chunk(news, listrakBatch) {
		if s.timeIsUp() {
			return page{}, errTimeIsUp
		}
		if err := s.lookUpPhones(ctx, chunk, found.phones); err != nil {
			return page{}, err
		}
	}
	return found.page, nil
}

// subscribers is one page of a list.
type subscribers struct {
	page     page
	subjects []consent.Subject
	phones   map[consent.Subject]string
}

func (s *session) readSubscribers(ctx context.Context, from reach, cursor string) (subscribers, error) {
	r := read{began: s.now()}
	found, err := s.account.SMS.Subscribers(ctx, listrak.SMSQuery{Since: from.since, Cursor: cursor})
	if err != nil {
		return subscribers{}, fmt.Errorf("read subscribers: %w", err)
	}
	r.ended = s.now()
	s.account.measure(consent.Listrak, r, found.ServerTime)
	result := subscribers{page: page{next: found.Next, rows: len(found.Phones)}, phones: make(map[consent.Subject]string, len(found.Phones))}
	for _, raw := range found.Phones {
		phone, err := s.normalise(raw)
		if err != nil {
			if result.page.people.unreadable, err = s.appendUnreadable(result.page.people.unreadable, raw); err != nil {
				return subscribers{}, err
			}
			continue
		}
		subject := s.subject(phone)
		if _, twice := result.phones[subject]; !twice {
			result.phones[subject], result.subjects = phone, append(result.subjects, subject)
		}
	}
	return result, nil
}

// lookUpOnce looks up everybody of a page whom the pass that began then has not looked up yet, and marks them. It returns errTimeIsUp when
// some are left: the page is then read again, and goes on with them.
func (s *session) lookUpOnce(ctx context.Context, found subscribers, began consent.Instant, enough func() bool) error {
	left, err := s.records().NotListed(ctx, s.merchant, s.channel, found.subjects, began)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(left, listrakBatch) {
		if enough() {
			return errTimeIsUp
		}
		if err := s.lookUpPhones(ctx, chunk, found.phones); err != nil {
			return err
		}
		if err := s.records().MarkListed(ctx, s.merchant, s.channel, chunk, s.now()); err != nil {
			return err
		}
	}
	return nil
}

// lookUpPhones looks people up in Listrak, side by side, and decides what that shows.
func (s *session) lookUpPhones(ctx context.Context, subjects []consent.Subject, phones map[consent.Subject]string) error {
	began := s.now()
	found := make([]sighting, len(subjects))
	errs := make([]error, len(subjects))
	tasks := make([]func(), len(subjects))
	for i, subject := range subjects {
		tasks[i] = func() { found[i], _, errs[i] = s.readPhone(ctx, subject, phones[subject]) }
	}
	s.machine().Together(listrakParallel, tasks...)
	sightings := make([]sighting, 0, len(subjects))
	var failed error
	for i, err := range errs {
		switch {
		case isRefused(err):
			// Listrak lists a number that it does not take in a route: nobody can ask for it or write to it.
			sightings = append(sightings, sighting{subject: subjects[i], report: consent.Report{
				Side: consent.Listrak, State: consent.Invalid, ReadBegan: began, ReadEnded: s.now(),
			}})
		case err != nil:
			failed = cmp.Or(failed, err)
		default:
			sightings = append(sightings, found[i])
		}
	}
	if _, err := s.observe(ctx, sightings); err != nil {
		return err
	}
	return failed
}

// readPhone looks one phone up in Listrak.
func (s *session) readPhone(ctx context.Context, subject consent.Subject, phone string) (sighting, listrak.SMSContact, error) {
	r := read{began: s.now()}
	contact, found, err := s.account.SMS.Contact(ctx, phone)
	if err != nil {
		return sighting{}, contact, fmt.Errorf("look up a phone: %w", err)
	}
	r.ended = s.now()
	s.account.measure(consent.Listrak, r, contact.ServerTime)
	if !found {
		return absent(consent.Listrak, subject, phone, r), contact, nil
	}
	// The number that came back is compared: another one is somebody else (rule 14).
	if came, err := s.normalise(contact.Phone); err != nil || came != phone {
		return absent(consent.Listrak, subject, phone, r), contact, nil
	}
	seen := s.phoneReport(subject, phone, contact, r)
	if !contact.OptedOut {
		return seen, contact, nil
	}
	entries, err := s.records().Load(ctx, s.merchant, s.channel, []consent.Subject{subject})
	if err != nil {
		return sighting{}, contact, fmt.Errorf("load records: %w", err)
	}
	if entry := entries[subject]; seen.known(&entry.Record) && !contact.Date.IsZero() {
		return seen, contact, nil
	}
	// Without a date it may be another opt-out than the one that is known.
	explained, err := s.whyOptedOut(ctx, subject, contact)
	if err != nil {
		return sighting{}, contact, err
	}
	if explained != nil {
		return *explained, contact, nil
	}
	return seen, contact, nil
}

// whyOptedOut finds the opt-out of somebody whom a look-up shows as opted out, for its reason: a bounce is no person's word. Where the
// look-up has no date, it is looked for among those that the next poll would bring. Nil when it is not there; then it counts as a
// person's word, like every reason that we do not know.
func (s *session) whyOptedOut(ctx context.Context, subject consent.Subject, contact listrak.SMSContact) (*sighting, error) {
	query := listrak.SMSQuery{Since: contact.Date.Add(-time.Second)}
	if contact.Date.IsZero() {
		poll, known, err := s.loadPass(ctx, smsOptedOut)
		if err != nil || !known {
			return nil, err
		}
		query.Since = poll.Since.Add(-s.listrakSources()[0].overlap)
	}
	for range optOutPages {
		r := read{began: s.now()}
		found, err := s.account.SMS.OptOuts(ctx, query)
		if err != nil {
			return nil, fmt.Errorf("read opt-outs: %w", err)
		}
		r.ended = s.now()
		for _, o := range found.OptOuts {
			if seen, ok := s.optOutReport(o, r); ok && seen.subject == subject {
				return &seen, nil
			}
		}
		if query.Cursor = found.Next; query.Cursor == "" {
			break
		}
	}
	return nil, nil
}

// optOutPages is how many pages of opt-outs are read for the reason of one: those who opted out later than somebody who did long ago are
// many, and the poll brings the reason anyway.
const optOutPages = 3

// appendUnreadable adds a number of Listrak's that is none.
func (s *session) appendUnreadable(list []ledger.Unreadable, raw string) ([]ledger.Unreadable, error) {
	u, err := s.unreadable(consent.Listrak, raw, "")
	return append(list, u), err
}

// unreadable is a text that is no phone number, to be shown to a person who can mend it.
func (s *session) unreadable(side consent.Side, raw, ref string) (ledger.Unreadable, error) {
	u := ledger.Unreadable{Side: side, Ref: ref, Phone: s.subject(raw)}
	box, err := s.Keys.Seal([]byte(raw[:min(len(raw), unreadableBytes)]), UnreadableContext(u.Phone))
	if err != nil {
		return ledger.Unreadable{}, fmt.Errorf("seal a phone: %w", err)
	}
	u.Sealed = box
	return u, nil
}

// unreadableBytes is how much is kept of what should be a phone number.
const unreadableBytes = 100

// UnreadableContext binds a sealed text to its row, so that rows cannot be exchanged.
func UnreadableContext(phone consent.Subject) string { return "unreadable/" + phone.Hex() }

// compare looks everybody of the list up now and then: an opt-out is told by a route of its own, but that somebody has left the list alone
// shows only in their own subscription (contracts/listrak.md, SMS). It takes half an interval of each round's time at most, and goes on
// from its cursors.
func (s *session) compare(ctx context.Context) error {
	listed, begun, err := s.loadPass(ctx, smsListed)
	if err != nil {
		return err
	}
	unlisted, _, err := s.loadPass(ctx, smsUnlisted)
	if err != nil {
		return err
	}
	switch {
	case !begun:
		// The polls and the full read begin with those who are on the list now: there is nothing to compare with yet.
		return s.savePasses(ctx, pass{Since: s.now().Time(), Done: true}, smsUnlisted, smsListed)
	case listed.Done && unlisted.Done:
		if s.now().Time().Sub(listed.Since) < s.Timing.Comparison {
			return nil
		}
		if err := s.savePasses(ctx, pass{}, smsUnlisted, smsListed); err != nil {
			return err
		}
	}
	until := s.Now().Add(s.Timing.Interval / 2)
	enough := func() bool { return s.timeIsUp() || s.Now().After(until) }
	done, err := s.scan(ctx, source{cursor: smsListed, full: true, slow: true,
		page: func(ctx context.Context, from reach, cursor string) (page, error) {
			found, err := s.readSubscribers(ctx, reach{}, cursor)
			if err != nil {
				return page{}, err
			}
			return found.page, s.lookUpOnce(ctx, found, consent.InstantOf(from.pass), enough)
		}})
	if err != nil || !done {
		return err
	}
	_, err = s.scan(ctx, source{cursor: smsUnlisted, full: true,
		page: func(ctx context.Context, _ reach, cursor string) (page, error) {
			if enough() {
				return page{}, errTimeIsUp
			}
			return s.scanUnlisted(ctx, cursor)
		}})
	return err
}

// Compared tells when the last comparison with the whole SMS list began, or the list's reading if there was none yet; zero while one is
// under way, and before.
func (e *Engine) Compared(ctx context.Context, merchant string) (last time.Time, underWay bool, err error) {
	r := e.newRun(merchant, nil, ledger.Switches{Merchant: merchant})
	listed, begun, err := r.loadPass(ctx, smsListed)
	if err != nil || !begun {
		return time.Time{}, false, err
	}
	unlisted, _, err := r.loadPass(ctx, smsUnlisted)
	if err != nil || !listed.Done || !unlisted.Done {
		return time.Time{}, true, err
	}
	return listed.Since, false, nil
}

func (s *session) savePasses(ctx context.Context, p pass, names ...string) error {
	for _, name := range names {
		if err := s.savePass(ctx, name, p, customersRead{}); err != nil {
			return err
		}
	}
	return nil
}

// unlistedPage is how many people one step of scanUnlisted looks at; as many customers are read in one call.
const unlistedPage = 250

// scanUnlisted looks up people who may have left the list, and whom this comparison has not found on it.
func (s *session) scanUnlisted(ctx context.Context, cursor string) (page, error) {
	listed, _, err := s.loadPass(ctx, smsListed)
	if err != nil {
		return page{}, err
	}
	var after consent.Subject
	if cursor != "" {
		if after, err = consent.SubjectFromHex(cursor); err != nil {
			return page{}, fmt.Errorf("read cursor: %w", err)
		}
	}
	began := consent.InstantOf(listed.Since)
	found, err := s.records().Unlisted(ctx, s.merchant, s.channel, began, after, unlistedPage)
	if err != nil {
		return page{}, err
	}
	result := page{rows: len(found)}
	if len(found) == unlistedPage {
		result.next = found[len(found)-1].Subject.Hex()
	}
	gone := slices.DeleteFunc(found, func(l ledger.Located) bool {
		return !mayHaveLeft(&l.Record) || l.Record.Seen[consent.Listrak].ReadBegan >= began
	})
	if len(gone) == 0 {
		return result, nil
	}
	phones, err := s.phonesOf(ctx, gone)
	if err != nil {
		return page{}, err
	}
	var known []consent.Subject
	var unknown []sighting
	for _, l := range gone {
		if phones[l.Subject] != "" {
			known = append(known, l.Subject)
			continue
		}
		// Nobody can tell the number any more, so Listrak cannot be asked why it is gone, and no other side has it.
		missed := absent(consent.Listrak, l.Subject, "", read{began, began})
		missed.report.Inferred = true
		unknown = append(unknown, missed)
	}
	if _, err := s.observe(ctx, unknown); err != nil {
		return page{}, err
	}
	return result, s.lookUpPhones(ctx, known, phones)
}

// mayHaveLeft reports whether somebody who is not found on the list may have left it. Whether a list's pages hold who has left it is not
// published, so somebody whom Shopify shows as subscribed may have left it before anybody looked, or once more.
func mayHaveLeft(rec *consent.Record) bool {
	seen := &rec.Seen[consent.Listrak]
	switch {
	case seen.State == consent.Subscribed, seen.State == consent.Pending:
		return true
	case seen.State == consent.Unseen, seen.State == consent.Unsubscribed, seen.Inferred:
		return rec.Seen[consent.Shopify].State == consent.Subscribed
	}
	return false
}

// phonesOf finds the numbers of people: sealed, or else as Shopify tells them. What it shows of those whose customer is gone or has
// another number is decided.
func (s *session) phonesOf(ctx context.Context, people []ledger.Located) (map[consent.Subject]string, error) {
	phones := make(map[consent.Subject]string, len(people))
	var asked []consent.Subject
	var ids []shopify.CustomerID
	for _, l := range people {
		if phone, ok := s.openSealed(l.Subject, l.SealedAddress); ok {
			phones[l.Subject] = phone
		} else if ref := l.Record.Seen[consent.Shopify].Ref; ref != "" {
			asked, ids = append(asked, l.Subject), append(ids, shopify.CustomerID(ref))
		}
	}
	if len(ids) == 0 {
		return phones, nil
	}
	r := read{began: s.now()}
	customers, err := s.account.Shopify.CustomersByID(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read customers: %w", err)
	}
	r.ended = s.now()
	var left []sighting
	for i, c := range customers {
		if phone, err := s.normalise(c.Phone); err == nil && s.subject(phone) == asked[i] {
			phones[asked[i]] = phone
			continue
		}
		gone := absent(consent.Shopify, asked[i], "", r)
		gone.leaver = string(ids[i])
		left = append(left, gone)
	}
	_, err = s.observe(ctx, left)
	return phones, err
}

// callSMS writes to the list, and to the one that stands for the checkout point.
func (s *session) callSMS(ctx context.Context, it item) (listrak.WriteResult, error) {
	settings := &s.account.Settings.SMS
	rec := &it.entry.Record
	leaves := rec.Decision.State == consent.Unsubscribed
	if leaves && settings.OptOut {
		return s.account.SMS.OptOut(ctx, it.address)
	}
	lists := []int{settings.List}
	if settings.CheckoutList != 0 && (leaves || rec.Sent[consent.Listrak][0].Point == consent.Checkout) {
		// The list that is read comes last: what it shows is then true of both, whatever fails in between.
		lists = []int{settings.CheckoutList, settings.List}
	}
	known := rec.Seen[consent.Listrak].State != consent.Absent
	var result listrak.WriteResult
	for _, list := range lists {
		var err error
		if leaves {
			result, err = s.account.SMS.Unsubscribe(ctx, it.address, list)
		} else {
			result, err = s.account.SMS.Subscribe(ctx, it.address, listrak.SMSSubscribeOptions{Known: known, List: list})
			known = true
		}
		if err != nil {
			return listrak.WriteResult{}, err
		}
	}
	return result, nil
}
