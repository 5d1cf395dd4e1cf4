package engagement

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
)

const (
	// listedCursor is when conversations and transactional messages were listed last; bulk messages are listed by every pass.
	listedCursor = "engagement.listed"
	// listingCursor is where such a listing stands that is not at its end, as JSON: a pass may be too short for all conversations.
	listingCursor = "engagement.listing"
)

// ListrakCursors are the cursors that start anew with a new list.
var ListrakCursors = []string{listedCursor, listingCursor}

// duePage is how many messages are looked at between two looks at what is due.
const duePage = 50

// overlap is how far the reading of news reaches back before the last one: Listrak may show something a little after its date, and its clock
// is not ours.
const overlap = 5 * time.Minute

// read finds messages and reads those that are due. What cannot be read or listed waits, and keeps nothing else from it; a credential, the
// request rate or the network keeps all.
func (p *run) read(ctx context.Context) error {
	if p.settings.EmailList == 0 {
		return nil
	}
	p.readUntil = p.until
	listing, toList, err := p.listingDue(ctx)
	if err != nil {
		return err
	}
	steps := []func(context.Context) error{p.discover, p.readDue}
	if toList {
		// The listing costs a request for each conversation. What is known comes before it, but not for ever.
		steps = []func(context.Context) error{p.discover, func(ctx context.Context) error {
			more := p.more
			p.readUntil = p.Now().Add(p.until.Sub(p.Now()) / 4)
			defer func() { p.readUntil, p.more = p.until, more }() // what is left is gone on with below
			return p.readDue(ctx)
		}, func(ctx context.Context) error { return p.list(ctx, listing) }, p.readDue}
	}
	var failed []error
	for _, step := range steps {
		err := step(ctx)
		failed = append(failed, err)
		if err != nil && keepsAll(ctx, err) {
			break
		}
	}
	return p.withoutRate(errors.Join(failed...))
}

// withoutRate leaves out of err that consent needed the request rate: that is no failure, and the next pass goes on.
func (p *run) withoutRate(err error) error {
	if !errors.Is(err, listrak.ErrNoSpare) {
		return err
	}
	p.more = true
	return errors.Join(slices.DeleteFunc(failure.Causes(err), func(cause error) bool { return errors.Is(cause, listrak.ErrNoSpare) })...)
}

// keepsAll reports whether something in err keeps all reading from being done: nothing of it is about one message or conversation.
func keepsAll(ctx context.Context, err error) bool {
	return ctx.Err() != nil || slices.ContainsFunc(failure.Causes(err), func(cause error) bool {
		return failure.As(cause) == nil || listrak.Everywhere(cause)
	})
}

// readingIsOver reports whether a pass has to stop reading, so that the next goes on. While there is something to tell, reading has half of it:
// else customers would be told of nothing as long as there is something to read.
func (p *run) readingIsOver(ctx context.Context) bool {
	now := p.Now()
	switch {
	case !now.Before(p.readUntil):
		return true
	case now.Before(p.until.Add(-p.Timing.PassLimit / 2)):
		return false
	}
	waits, err := p.somethingToTell(ctx)
	return waits || err != nil // whoever tells meets that error again
}

// somethingToTell reports whether a day or a person is due.
func (p *run) somethingToTell(ctx context.Context) (bool, error) {
	now, err := p.now(ctx)
	if err != nil {
		return false, err
	}
	days, err := p.Ledger.EngagementDaysDue(ctx, p.merchant, now, 1)
	if err != nil || len(days) > 0 {
		return len(days) > 0, err
	}
	for _, channel := range consent.Channels {
		if !p.switches.May(consent.EventsOf(channel)) {
			continue
		}
		people, err := p.Ledger.EngagedPeopleDue(ctx, p.merchant, channel, now, 1)
		if err != nil || len(people) > 0 {
			return len(people) > 0, err
		}
	}
	return false, nil
}

// readDue reads the messages that are due.
func (p *run) readDue(ctx context.Context) error {
	var failed []error
	inARow := 0
	for {
		now, err := p.now(ctx)
		if err != nil {
			return err
		}
		due, err := p.Ledger.EngagementMessagesDue(ctx, p.merchant, p.settings.EmailList, now, duePage)
		if err != nil || len(due) == 0 {
			return errors.Join(append(failed, err)...)
		}
		for _, m := range due {
			if p.readingIsOver(ctx) {
				p.more = true
				return errors.Join(failed...)
			}
			at, err := p.readMessage(ctx, m)
			if err == nil {
				inARow = 0
				continue
			}
			// What concerns this message alone postpones it, so that it is not the first one again; several in a row are more than that.
			if keepsAll(ctx, err) {
				return errors.Join(append(failed, err)...)
			}
			if failure.ClassOf(err) != failure.Refused {
				failed = append(failed, err)
				inARow++
			}
			if err := p.postpone(ctx, m, at, err, now); err != nil || inARow == mostInARow {
				return errors.Join(append(failed, err)...)
			}
		}
	}
}

// mostInARow is after how many messages in a row that could not be read it is Listrak that is not well, rather than they: the others are left
// for the next pass, so that an hour's trouble does not postpone them all.
const mostInARow = 3

// postpone puts off a message whose reading has failed at a place.
func (p *run) postpone(ctx context.Context, m ledger.EngagementMessage, at place, failed error, now consent.Instant) error {
	reading := m.EngagementReading
	switch {
	case failure.ClassOf(failed) == failure.Refused:
		// The message is gone: it is looked for once a day.
		reading.NextRead, reading.Page = now.Plus(consent.SpanOf(p.Timing.OldEvery)), ""
	case p.Timing.nextRead(m, now.Time()).IsZero():
		reading.NextRead, reading.Page = 0, "" // it would not be read any more anyway
	default:
		at = at.afterFailure(failed)
		text, err := json.Marshal(at)
		if err != nil {
			return fmt.Errorf("write where the reading of a message stands: %w", err)
		}
		reading.NextRead, reading.Page = now.Plus(consent.SpanOf(p.Timing.afterFailures(m, at.Failures, now.Time()))), string(text)
	}
	return p.Ledger.SaveEngagementReading(ctx, p.lease, m.ID, reading)
}

// discover lists the messages that were sent within the look-back: one request, since a page has 5,000.
func (p *run) discover(ctx context.Context) error {
	now, err := p.now(ctx)
	if err != nil {
		return err
	}
	since := now.Time().Add(-p.Timing.LookBack)
	for cursor := ""; ; {
		page, err := p.account.Listrak.Messages(ctx, since, cursor)
		if err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		if err := p.found(ctx, now, page.Messages); err != nil {
			return err
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
	}
}

// listing is how far the listing of messages that are sent again and again has come. It holds no personal data.
type listing struct {
	Transactional bool `json:"transactional,omitempty"`
	// After is the conversation that was listed last; they are listed by their ids. Conversations: all are.
	After         int  `json:"after,omitempty"`
	Conversations bool `json:"conversations,omitempty"`
}

// listingDue says where to begin with listing, if it is time to.
func (p *run) listingDue(ctx context.Context) (at listing, due bool, err error) {
	now, err := p.now(ctx)
	if err != nil {
		return at, false, err
	}
	cursors, err := p.Ledger.Cursors(ctx, p.merchant)
	if err != nil {
		return at, false, err
	}
	if text := cursors[listingCursor]; text != "" {
		if err := json.Unmarshal([]byte(text), &at); err != nil {
			return at, false, fmt.Errorf("read where the listing of messages stands: %w", err)
		}
	}
	listed, err := time.Parse(time.RFC3339, cursors[listedCursor])
	return at, err != nil || now.Time().Sub(listed) >= p.Timing.RecentEvery, nil
}

// list goes on with a listing. A conversation that cannot be listed is left for the next listing.
func (p *run) list(ctx context.Context, at listing) error {
	now, err := p.now(ctx)
	if err != nil {
		return err
	}
	var failed []error
	if !at.Transactional {
		switch err := p.listTransactional(ctx, now); {
		case err == nil:
			at.Transactional = true
		case keepsAll(ctx, err):
			return err
		default:
			failed = append(failed, err)
		}
	}
	if !at.Conversations {
		if at, err = p.listConversations(ctx, now, at); err != nil {
			failed = append(failed, err)
		}
	}
	if !at.Transactional || !at.Conversations {
		return errors.Join(append(failed, p.saveListing(ctx, at))...)
	}
	_, err = p.Ledger.Save(ctx, p.merchant, ledger.Batch{Lease: &p.lease, Cursors: []ledger.Cursor{
		{Name: listedCursor, Value: now.Time().Format(time.RFC3339)}, {Name: listingCursor, Value: ""}}})
	return errors.Join(append(failed, err)...)
}

func (p *run) saveListing(ctx context.Context, at listing) error {
	text, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("write where the listing of messages stands: %w", err)
	}
	_, err = p.Ledger.Save(ctx, p.merchant, ledger.Batch{Lease: &p.lease, Cursors: []ledger.Cursor{{Name: listingCursor, Value: string(text)}}})
	return err
}

func (p *run) listTransactional(ctx context.Context, now consent.Instant) error {
	messages, err := p.account.Listrak.TransactionalMessages(ctx)
	if err != nil {
		return fmt.Errorf("read transactional messages: %w", err)
	}
	return p.found(ctx, now, messages)
}

// listConversations lists conversations from a place on, one at least, and returns how far it has come.
func (p *run) listConversations(ctx context.Context, now consent.Instant, at listing) (listing, error) {
	conversations, err := p.account.Listrak.Conversations(ctx)
	if err != nil {
		return at, fmt.Errorf("read conversations: %w", err)
	}
	slices.Sort(conversations)
	var failed []error
	inARow := 0
	for _, conversation := range conversations {
		if conversation <= at.After {
			continue
		}
		inARow++
		switch err := p.listConversation(ctx, now, conversation); {
		case err == nil:
			inARow = 0
		case keepsAll(ctx, err):
			return at, errors.Join(append(failed, err)...)
		default:
			failed = append(failed, err)
		}
		at.After = conversation
		if err := p.saveListing(ctx, at); err != nil {
			return at, errors.Join(append(failed, err)...)
		}
		if inARow == mostInARow {
			return at, errors.Join(failed...)
		}
		if p.readingIsOver(ctx) {
			p.more = true
			return at, errors.Join(failed...)
		}
	}
	at.Conversations = true
	return at, errors.Join(failed...)
}

func (p *run) listConversation(ctx context.Context, now consent.Instant, conversation int) error {
	for cursor := ""; ; {
		page, err := p.account.Listrak.ConversationMessages(ctx, conversation, cursor)
		if failure.ClassOf(err) == failure.Refused && err != nil {
			return nil // the conversation is gone
		}
		if err != nil {
			return fmt.Errorf("read messages of a conversation: %w", err)
		}
		if err := p.found(ctx, now, page.Messages); err != nil {
			return err
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
	}
}

// found makes messages known; new ones are read at once.
func (p *run) found(ctx context.Context, now consent.Instant, messages []listrak.Message) error {
	var rows []ledger.EngagementMessage
	for _, m := range messages {
		if m.Ref.Kind == listrak.Bulk && (m.Sent.IsZero() || m.Sent.After(now.Time())) {
			continue // not sent yet
		}
		rows = append(rows, ledger.EngagementMessage{
			ID: messageID(p.settings.EmailList, m.Ref), Channel: consent.Email, List: p.settings.EmailList, Kind: int(m.Ref.Kind),
			Conversation: m.Ref.Conversation, Number: m.Ref.ID, Title: m.Subject, SentAt: consent.InstantOf(m.Sent),
			EngagementReading: ledger.EngagementReading{NextRead: now},
		})
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := p.know(ctx, p.merchant, rows)
	return err
}

// place is where a reading under way stands; it is the JSON of a message's page in the ledger and holds no personal data.
type place struct {
	Whole bool `json:"whole,omitempty"`
	// ByActivity: of news, who was sent it has been read, and now comes with whom something began.
	ByActivity bool   `json:"byActivity,omitempty"`
	Cursor     string `json:"cursor,omitempty"`
	// Began is when the reading began, by the ledger's clock, and Summary what Listrak summed up then.
	Began   time.Time `json:"began,omitzero"`
	Summary string    `json:"summary,omitempty"`
	// Failures counts those in a row, of which the last left the reading here; one that had not begun has no date in Began.
	Failures int `json:"failures,omitempty"`
}

// anewAfter is after how many failures in a row a reading begins anew, as it may be its cursor that Listrak cannot take.
const anewAfter = 3

// afterFailure is where to go on after a failure. To begin anew costs reads and loses nothing.
func (at place) afterFailure(failed error) place {
	if errors.Is(failed, listrak.ErrCursorLost) || at.Failures+1 >= anewAfter {
		at = place{Failures: at.Failures}
	}
	at.Failures++
	return at
}

// readMessage reads a message, and returns how far that has come.
func (p *run) readMessage(ctx context.Context, row ledger.EngagementMessage) (at place, err error) {
	if row.Page != "" {
		if err := json.Unmarshal([]byte(row.Page), &at); err != nil {
			return at, fmt.Errorf("read where the reading of a message stands: %w", err)
		}
	}
	if at.Began.IsZero() {
		began, todo, err := p.beginReading(ctx, row)
		if err != nil {
			return at, err
		}
		began.Failures = at.Failures
		at = began
		if todo == nothing {
			return at, p.Ledger.SaveEngagementReading(ctx, p.lease, row.ID, p.finished(row, at, row.FullAt, at.Began))
		}
	}
	m, err := messageOf(row)
	if err != nil {
		return at, err
	}
	for {
		more, err := p.readPage(ctx, row, m, &at)
		if err != nil || !more {
			return at, err
		}
		if p.readingIsOver(ctx) {
			p.more = true
			return at, nil
		}
	}
}

// beginReading asks for the summary, and says what to read.
func (p *run) beginReading(ctx context.Context, row ledger.EngagementMessage) (place, reading, error) {
	now, err := p.now(ctx)
	if err != nil {
		return place{}, nothing, err
	}
	at := place{Began: now.Time()}
	sum, err := p.account.Listrak.Summary(ctx, refOf(row))
	switch {
	case err == nil:
		at.Summary = summaryText(sum)
	case !errors.Is(err, errors.ErrUnsupported):
		return at, nothing, fmt.Errorf("read a summary: %w", err)
	}
	todo := p.Timing.toRead(row, at.Summary, sum.Sent, now.Time())
	at.Whole = todo == whole
	return at, todo, nil
}

func refOf(row ledger.EngagementMessage) listrak.MessageRef {
	return listrak.MessageRef{Kind: listrak.MessageKind(row.Kind), Conversation: row.Conversation, ID: row.Number}
}

// finished is the reading of a message that has ended now.
func (p *run) finished(row ledger.EngagementMessage, at place, fullAt consent.Instant, now time.Time) ledger.EngagementReading {
	next := ledger.EngagementReading{ReadAt: consent.InstantOf(at.Began), FullAt: fullAt, Summary: at.Summary}
	if again := p.Timing.nextRead(row, now); !again.IsZero() {
		next.NextRead = consent.InstantOf(again)
	}
	return next
}

// readPage reads one page and takes it in, together with where to go on.
func (p *run) readPage(ctx context.Context, row ledger.EngagementMessage, m Message, at *place) (more bool, err error) {
	query := listrak.ActivityQuery{Cursor: at.Cursor, ByActivity: at.ByActivity}
	oldest := at.Began.Add(-p.Timing.LookBack)
	switch {
	case !at.Whole:
		query.Since = row.ReadAt.Time().Add(-overlap)
	case row.Kind != int(listrak.Conversation):
		query.Since = oldest
	}
	// By the ledger's clock: this machine's may be wrong by hours, and by this date is counted what Listrak does not date.
	now, err := p.now(ctx)
	if err != nil {
		return false, err
	}
	began := now.Time()
	page, err := p.account.Listrak.Activity(ctx, refOf(row), query)
	if err != nil {
		return false, fmt.Errorf("read activity: %w", err)
	}
	at.Failures = 0
	if slices.ContainsFunc(page.Rows, func(row listrak.Activity) bool { return (&Standing{Sent: row.Sent}).ToCome(began) }) {
		at.Summary = "" // what is to come is read when it has come, though the summary stays as it is
	}
	next := ledger.EngagementReading{NextRead: row.NextRead, ReadAt: row.ReadAt, FullAt: row.FullAt, Summary: row.Summary}
	at.Cursor = page.Next
	if more = page.Next != ""; !more && !at.Whole && !at.ByActivity {
		at.ByActivity, more = true, true
	}
	if more {
		text, err := json.Marshal(at)
		if err != nil {
			return false, fmt.Errorf("write where the reading of a message stands: %w", err)
		}
		next.Page = string(text)
	} else {
		full := row.FullAt
		if at.Whole {
			full = consent.InstantOf(at.Began)
		}
		next = p.finished(row, *at, full, began)
	}
	changed, err := p.takeIn(ctx, row, m, page.Rows, oldest, began, next)
	p.changed += changed
	return more, err
}

// takeIn takes a page in. An address that cannot be one belongs to nobody in Shopify; it is counted nowhere, as Listrak would not have sent to it.
func (p *run) takeIn(ctx context.Context, row ledger.EngagementMessage, m Message, rows []listrak.Activity, oldest, now time.Time,
	next ledger.EngagementReading,
) (int, error) {
	subjects, standings := make([]consent.Subject, 0, len(rows)), make([]Standing, 0, len(rows))
	for i := range rows {
		if rows[i].Sent.Before(oldest) {
			continue
		}
		address, err := consent.NormaliseEmail(rows[i].Address)
		if err != nil {
			continue
		}
		subjects = append(subjects, consent.SubjectOf(p.SubjectKey, p.merchant, consent.Email, address))
		standings = append(standings, StandingOf(&rows[i]))
	}
	return p.Ledger.TakeInEngagement(ctx, p.merchant, ledger.EngagementIntake{
		Channel: consent.Email, Subjects: subjects, Lease: &p.lease, Message: row.ID, Reading: next,
		Fold: func(records map[consent.Subject][]byte, _ []bool) (ledger.EngagementFold, error) {
			fold := newFolding(p.counter(consent.Email, p.on, now), records)
			for i, subject := range subjects {
				if err := fold.change(subject, func(c *Counter, r *Record) bool { return c.Stand(r, m, standings[i]) }); err != nil {
					return ledger.EngagementFold{}, err
				}
			}
			return fold.result(), nil
		},
	})
}
