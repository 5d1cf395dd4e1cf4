package reconcile

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/shopify"
)

// sighting is one report about one address.
type sighting struct {
	subject consent.Subject
	address string
	report  consent.Report
	// leaver, when set, is the Shopify customer who has left the address: that says nothing of somebody else who has it now.
	leaver string
	// unexplained: the look-up tells that somebody is opted out and not why. What is known of that opt-out already is then no news.
	unexplained bool
}

// observe decides reports and saves what changed; a page that brings no news writes nothing.
func (s *session) observe(ctx context.Context, sightings []sighting) (map[consent.Subject]ledger.Entry, error) {
	revisions := make([]revision, len(sightings))
	for i, seen := range sightings {
		revisions[i] = revision{
			subject: seen.subject, address: seen.address,
			apply: func(rec consent.Record) (consent.Record, []ledger.Line) {
				if holder := rec.Seen[seen.report.Side].Ref; seen.leaver != "" && holder != "" && holder != seen.leaver {
					return rec, nil
				}
				return decide(rec, seen.as(&rec))
			},
		}
	}
	atomic.AddInt64(&s.stats.Scanned, int64(len(sightings)))
	return s.revise(ctx, revisions)
}

// as is the report as it stands beside what the record knows.
func (s sighting) as(rec *consent.Record) consent.Report {
	report := s.report
	if last := &rec.Seen[report.Side]; s.known(rec) {
		report.Date, report.Wall, report.Within, report.Machine = last.Shown, last.Wall, last.Within, last.Machine
	}
	return report
}

// known reports whether an unexplained opt-out is the one that the record knows.
func (s sighting) known(rec *consent.Record) bool {
	last := &rec.Seen[s.report.Side]
	return s.unexplained && last.State == s.report.State && (s.report.Date == 0 || s.report.Date == last.Shown)
}

// decide asks the rules and writes their answer down for the journal.
func decide(rec consent.Record, r consent.Report) (consent.Record, []ledger.Line) {
	after, judgement := consent.Decide(rec, r)
	lines := attemptLines(&rec, &after, r.Side)
	line := ledger.Line{
		Side: r.Side, Kind: ledger.Seen, Reason: ledger.Reason(judgement.Verdict), State: r.State, Date: r.Date, Ref: r.Ref,
	}
	switch {
	case judgement.Decided:
		line.Kind = ledger.Decided
	case judgement.Verdict.ForOperator():
		line.Kind = ledger.Shown
	}
	if judgement.Verdict != consent.NoNews && judgement.Verdict != consent.Stale {
		lines = append(lines, line)
	}
	if after.Contested() && !rec.Contested() {
		lines = append(lines, ledger.Line{Side: r.Side, Kind: ledger.Contested, State: after.Decision.State, Date: after.HeardAgainAfter()})
	}
	if judgement.Clamped {
		lines = append(lines, ledger.Line{Side: r.Side, Kind: ledger.Shown, Reason: reasonStrangeDate, State: r.State, Date: r.Date})
	}
	return after, lines
}

// attemptLines tells of attempts whose unknown end a read has shown.
func attemptLines(before, after *consent.Record, side consent.Side) []ledger.Line {
	var lines []ledger.Line
	for i := range after.Sent[side] {
		was, is := &before.Sent[side][i], &after.Sent[side][i]
		if was.State == consent.Unseen || was.Outcome != consent.Open || is.Outcome == consent.Open {
			continue
		}
		line := ledger.Line{Side: side, Kind: ledger.Delivered, Reason: reasonSeenByRead, State: is.State, Date: is.Decision, Point: is.Point}
		if is.Outcome == consent.Failed {
			line.Kind, line.Reason = ledger.Failed, reasonNotSeen
		}
		lines = append(lines, line)
	}
	return lines
}

// read is the span of one call, by our clock.
type read struct{ began, ended consent.Instant }

// onChannel is what a customer's address on the channel is, and its consent.
func (s *session) onChannel(c shopify.Customer) (address string, held shopify.Consent) {
	if s.channel == consent.SMS {
		return c.Phone, c.SMSConsent
	}
	return c.Email, c.EmailConsent
}

// shopifyReport turns a customer as read into a report about its address; ok is false for a customer without one (rule 18).
func (s *session) shopifyReport(c shopify.Customer, r read) (seen sighting, ok bool) {
	raw, held := s.onChannel(c)
	address, err := s.normalise(raw)
	if c.ID == "" || err != nil {
		// Shopify validates addresses; one that we cannot normalise can be no contact of Listrak's either.
		return sighting{}, false
	}
	return sighting{subject: s.subject(address), address: address, report: consent.Report{
		Side: consent.Shopify, State: shopifyState(held.State), Date: consent.InstantOf(held.UpdatedAt),
		Within: consent.SpanOf(s.account.shopifyUncertainty()), ReadBegan: r.began, ReadEnded: r.ended, Ref: string(c.ID),
	}}, true
}

// absent is the report that a side does not know an address.
func absent(side consent.Side, subject consent.Subject, address string, r read) sighting {
	return sighting{subject: subject, address: address, report: consent.Report{
		Side: side, State: consent.Absent, ReadBegan: r.began, ReadEnded: r.ended,
	}}
}

func shopifyState(state shopify.ConsentState) consent.State {
	switch state {
	case shopify.Subscribed:
		return consent.Subscribed
	case shopify.Unsubscribed:
		return consent.Unsubscribed
	case shopify.Pending:
		return consent.Pending
	case shopify.Redacted:
		return consent.Redacted
	case shopify.NotSubscribed:
		return consent.NeverAsked
	}
	// INVALID, and whatever Shopify may add: never written over.
	return consent.Invalid
}

// fromListrak is a report of Listrak's with a date as it writes them.
func (s *session) fromListrak(state consent.State, date, wall time.Time, ambiguous bool, r read) consent.Report {
	return consent.Report{
		Side: consent.Listrak, State: state, Date: consent.InstantOf(date), Wall: consent.InstantOf(wall),
		Within: consent.SpanOf(s.account.listrakUncertainty(ambiguous)), ReadBegan: r.began, ReadEnded: r.ended,
	}
}

// listrakReport turns a contact as read into a report; ok is false when Listrak holds what is no address.
func (s *session) listrakReport(c listrak.Contact, r read) (seen sighting, ok bool) {
	address, err := consent.NormaliseEmail(c.Address)
	if err != nil {
		return sighting{}, false
	}
	settings := &s.account.Settings
	report := s.fromListrak(consent.Pending, c.Date, c.Wall(), c.Ambiguous, r)
	report.Ref = c.EmailKey
	switch c.State {
	case listrak.Subscribed:
		report.State, report.Imported = consent.Subscribed, settings.IsImport(c.Method)
	case listrak.Unsubscribed:
		report.State, report.Machine = consent.Unsubscribed, settings.IsMachine(c.Method)
	}
	return sighting{subject: s.subject(address), address: address, report: report}, true
}
