package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// What is judged of events: from what was sent, done and pushed, and from when Listrak was read, never from what our records say of it.

// EventReport is what was played and judged of events.
type EventReport struct {
	// Runs are those of merchants with events; Passes over their events were played, and Pushes came to the door.
	Runs   int `json:"runs"`
	Passes int `json:"passes"`
	Pushes int `json:"pushes"`
	// Messages are those whose days were compared with what had happened, Fields the metafields of customers.
	Messages int `json:"messages"`
	Fields   int `json:"fields"`
}

func (r *EventReport) add(other EventReport) {
	r.Runs += other.Runs
	r.Passes += other.Passes
	r.Pushes += other.Pushes
	r.Messages += other.Messages
	r.Fields += other.Fields
}

func (e *events) report() EventReport {
	return EventReport{Runs: 1, Passes: e.begun, Pushes: e.pushes, Messages: e.judgedMessages, Fields: e.judgedFields}
}

// eventWatch sees what is read, kept and told of events.
type eventWatch struct {
	// pages are what each task was shown last, reads what was then taken in.
	pages map[*task]page
	reads map[recipient][]read
	// onThen are by task the kinds that were on when it asked for the switches.
	onThen map[*task]map[consent.Sync]bool
	// judgedMessages and judgedFields are those whose truth was compared with Shopify at the end.
	judgedMessages, judgedFields int
}

func newEventWatch() eventWatch {
	return eventWatch{pages: map[*task]page{}, reads: map[recipient][]read{}, onThen: map[*task]map[consent.Sync]bool{}}
}

// page is one of a message's activity, as it was asked for at a moment.
type page struct {
	message int
	kind    list.MessageKind
	at      time.Time
	rows    []listrak.Activity
}

// recipient is one person's copy of one message; of one that is not sent in bulk there is one for each time that it was sent.
type recipient struct {
	message int
	email   string
	// sent is when, in Unix seconds, as Listrak shows it; 0 of bulk messages.
	sent int64
}

// copyOf is the recipient of a message of a kind who was sent it at a time.
func copyOf(kind list.MessageKind, message int, email string, shown time.Time) recipient {
	one := recipient{message: message, email: normal(email)}
	if kind != list.BulkMessage {
		one.sent = shown.Unix()
	}
	return one
}

// read is what was taken in of a recipient.
type read struct {
	at    time.Time
	shown map[list.Act]bool
	// first is the date that Listrak gives to the first thing that happened.
	first  time.Time
	clicks int
	on     map[consent.Sync]bool
}

// askedForSwitches takes note of what a pass finds switched on.
func (e *events) askedForSwitches() {
	on := map[consent.Sync]bool{}
	for _, kind := range append(kindsOf(consent.Email), kindsOf(consent.SMS)...) {
		on[kind] = e.on(kind)
	}
	e.onThen[e.current] = on
}

// tookIn is what the ledger has kept. Nothing may be kept of a kind after it was answered that it is off.
func (e *events) tookIn(p *process, channel consent.Channel, message string, counted map[ledger.EngagementDay]ledger.EngagementCounts) {
	of := map[consent.Sync]func(ledger.EngagementCounts) bool{
		consent.EmailSent: func(c ledger.EngagementCounts) bool {
			return c.Sends != 0 || c.Deliveries != 0 || c.Bounces != 0 || c.Unsubscribes != 0 || c.Complaints != 0
		},
		consent.EmailOpened: func(c ledger.EngagementCounts) bool { return c.Views != 0 || c.UniqueViews != 0 },
		consent.EmailClicks: func(c ledger.EngagementCounts) bool { return c.Clicks != 0 || c.UniqueClicks != 0 },
	}
	if channel == consent.SMS {
		of[consent.SMSSent], of[consent.SMSClicks] = of[consent.EmailSent], of[consent.EmailClicks]
	}
	door := message == ""
	for _, kind := range kindsOf(channel) {
		for _, counts := range counted {
			switch {
			case !of[kind](counts):
				continue
			case door && !e.on(kind):
				// Whoever switches off waits for no push: it has to see the switch by itself.
				e.watch.violate("Kinds", "", "the door keeps something of %s, which is off", kind)
			case !door:
				e.mustBeOn(p, kind, "something is kept")
			}
			break
		}
	}
	if door {
		return
	}
	page := e.pages[e.current]
	delete(e.pages, e.current)
	for i := range page.rows {
		row := &page.rows[i]
		one := copyOf(page.kind, page.message, row.Address, row.Sent)
		e.reads[one] = append(e.reads[one], read{at: page.at, first: row.First, clicks: row.Clicks, on: e.onThen[e.current], shown: map[list.Act]bool{
			list.Open: row.Opened, list.Click: row.Clicked, list.Bounce: row.Bounced, list.Unsubscribe: row.Unsubscribed, list.Abuse: row.Complained,
		}})
	}
}

// mustBeOn: nothing of a kind is read or told after off was answered, but for what a process does that was frozen meanwhile and does not know
// yet.
func (e *events) mustBeOn(p *process, kind consent.Sync, what string) {
	since, off := e.silent[kind]
	if !off || !e.now.After(since) || e.inTrouble(p) {
		return
	}
	e.watch.violate("Kinds", "", "%s of %s, which was answered to be off %s ago", what, kind, e.now.Sub(since))
}

func (e *events) inTrouble(p *process) bool { return e.watch.inTrouble(p, e.now) }

// channelOfMessage is the channel of an activity in Shopify, by its id.
func channelOfMessage(remoteID string) consent.Channel {
	if strings.HasPrefix(remoteID, "sms-") {
		return consent.SMS
	}
	return consent.Email
}

// tellsDays looks at what is about to be told of days.
func (e *events) tellsDays(p *process, days []shopify.Engagement) {
	for i := range days {
		kinds := kindsOf(channelOfMessage(days[i].RemoteID))
		for name, n := range countsOf(&days[i]) {
			if n == nil {
				continue
			}
			kind := kinds[0]
			switch {
			case strings.Contains(strings.ToLower(name), "views"):
				kind = consent.EmailOpened
			case strings.Contains(strings.ToLower(name), "clicks"):
				kind = kinds[len(kinds)-1]
			}
			e.mustBeOn(p, kind, "Shopify is told "+name)
		}
	}
}

// fieldsOf are the fields of customers that are told of a channel, with the kind that each is under.
func fieldsOf(channel consent.Channel) map[string]consent.Sync {
	if channel == consent.SMS {
		return map[string]consent.Sync{"last_sms_sent": consent.SMSSent, "last_sms_clicked": consent.SMSClicks,
			"sms_sent_30_days": consent.SMSSent, "sms_clicked_30_days": consent.SMSClicks}
	}
	return map[string]consent.Sync{"last_email_sent": consent.EmailSent, "last_email_opened": consent.EmailOpened,
		"last_email_clicked": consent.EmailClicks, "emails_sent_30_days": consent.EmailSent, "emails_opened_30_days": consent.EmailOpened,
		"emails_clicked_30_days": consent.EmailClicks}
}

// tellsPeople looks at what is about to be told of customers.
func (e *events) tellsPeople(p *process, groups [][]shopify.Metafield) {
	for _, channel := range consent.Channels {
		fields := fieldsOf(channel)
		for _, group := range groups {
			for _, m := range group {
				if kind, ok := fields[m.Key]; ok {
					e.mustBeOn(p, kind, "Shopify is told "+m.Key)
				}
			}
		}
	}
}

// peopleTold: customers have changed, which the rounds find.
func (e *events) peopleTold() {
	e.toldAt = e.now
	e.changed()
}

// mayHaveTaken: nobody knows whether the door took a batch.
func (e *events) mayHaveTaken(batch []*pushedEvent) {
	for _, p := range batch {
		p.unsure = true
	}
}

// acknowledged is the answer of the door to a batch: it refuses what is wrong and nothing else, whether the merchant runs or stands still.
func (e *events) acknowledged(batch []*pushedEvent, malformed []int, report engagement.Report, began time.Time) {
	bad, off, unsure := len(malformed), 0, 0
	for _, p := range batch {
		kind := p.sync()
		sync := consent.EmailEvents
		if p.channel == consent.SMS {
			sync = consent.SMSEvents
		}
		switched := later(e.setAt[kind], e.setAt[sync])
		switch {
		case p.at.Before(e.now.Add(-pushLookBack)):
			if !p.at.Before(began.Add(-pushLookBack)) {
				unsure++
				p.unsure = true
				continue
			}
			bad++
		case !switched.Before(began):
			unsure++
			p.unsure = true
		case e.on(kind):
			p.taken = true
		default:
			off++
		}
	}
	good := len(batch) + len(malformed) - bad - off - unsure
	within := func(n, from int) bool { return n >= from && n <= from+unsure }
	if !within(report.Refused, bad) || !within(report.Off, off) || !within(report.Taken+report.Duplicate+report.Read, good) {
		e.watch.violate("Door", "", "of a batch of %d events, of which %d are wrong, %d are of a kind that is off and %d may be either, the door says %+v",
			len(batch)+len(malformed), bad, off, unsure, report)
	}
}

// fact is something that has to be counted on the day of a moment between two, which are mostly the same.
type fact struct {
	counter  string
	from, to time.Time
}

// truth is what Shopify has to have been told.
type truth struct {
	// days are by message.
	days map[string][]fact
	// people are by address and kind, and of each the moments by message, or by sending of one.
	people map[string]map[consent.Sync]map[string][]fact
	// doubtful are messages of which nobody can tell what has to be counted.
	doubtful map[string]bool
	// doubted are the same of people's kinds.
	doubted map[string]map[consent.Sync]bool
}

// tolerance is how far two clocks are apart.
func (e *events) tolerance() time.Duration {
	return 3*time.Second + e.scenario.listAhead.Abs() + e.scenario.storeAhead.Abs()
}

// asShown is a time as Listrak writes it: in the hour that its clocks show twice, the first one is meant.
func (e *events) asShown(at time.Time) time.Time {
	if before := at.Add(-time.Hour); e.watch.wall(at) == e.watch.wall(before) {
		return before
	}
	return at
}

func (o *watch) wall(at time.Time) string {
	return at.In(o.world.list.Config().Zone).Format("15:04:05")
}

// truth works out what Shopify has to know now.
func (e *events) truth() *truth {
	t := &truth{days: map[string][]fact{}, people: map[string]map[consent.Sync]map[string][]fact{}, doubtful: map[string]bool{},
		doubted: map[string]map[consent.Sync]bool{}}
	for _, c := range e.campaigns {
		for _, send := range c.sends {
			e.truthOf(t, c, send)
		}
	}
	e.truthPushed(t)
	return t
}

// put adds what has to be counted, once for a message and once for its person, unless its kind was never on. sending names one of several to the
// same person.
func (e *events) put(t *truth, message, sending, address string, kind consent.Sync, person bool, facts ...fact) {
	if e.scenario.events.never[kind] {
		return
	}
	for _, f := range facts {
		f.from, f.to = f.from.Add(-e.tolerance()), f.to.Add(e.tolerance())
		t.days[message] = append(t.days[message], f)
	}
	if !person {
		return
	}
	if t.people[address] == nil {
		t.people[address] = map[consent.Sync]map[string][]fact{}
	}
	if t.people[address][kind] == nil {
		t.people[address][kind] = map[string][]fact{}
	}
	t.people[address][kind][message+sending] = append(t.people[address][kind][message+sending], facts...)
}

// messageName is what a message of Listrak's is called in Shopify.
func messageName(c *campaign) string {
	switch c.kind {
	case list.ConversationMessage:
		return fmt.Sprintf("listrak-%d-conversation-%d-message-%d", listID, c.conversation, c.id)
	case list.TransactionalMessage:
		return fmt.Sprintf("listrak-%d-transactional-%d", listID, c.id)
	default:
		return fmt.Sprintf("listrak-%d-message-%d", listID, c.id)
	}
}

// switchOf is the kind that an act is under.
func switchOf(kind list.Act) consent.Sync {
	switch kind {
	case list.Open:
		return consent.EmailOpened
	case list.Click:
		return consent.EmailClicks
	default:
		return consent.EmailSent
	}
}

// truthOf is what has to be counted of one sending of a message of Listrak's. By the README's text Listrak dates only the first thing that
// a recipient does; what follows counts on the day on which it was read.
func (e *events) truthOf(t *truth, c *campaign, send *campaignSend) {
	message, email := messageName(c), send.email
	sent := e.asShown(send.at)
	one := copyOf(c.kind, c.id, email, sent)
	at := fact{from: sent, to: sent}
	done := map[list.Act]time.Time{}
	clicks := 0
	for _, a := range send.acts {
		if first, has := done[a.kind]; !has || a.at.Before(first) {
			done[a.kind] = a.at
		}
		if a.kind == list.Click {
			clicks++
		}
	}
	// When each act was read first; what was not read has to be, and nobody knows when.
	dates, clicked := map[list.Act]time.Time{}, []time.Time(nil)
	for _, r := range e.reads[one] {
		date := r.at
		if len(dates) == 0 && !r.first.IsZero() && r.first.Before(r.at) {
			date = r.first
		}
		found := map[list.Act]time.Time{}
		for _, kind := range slices.Sorted(maps.Keys(r.shown)) {
			if _, known := dates[kind]; r.shown[kind] && !known && r.on[switchOf(kind)] {
				found[kind] = date
			}
		}
		for r.on[consent.EmailClicks] && len(clicked) < r.clicks {
			clicked = append(clicked, date)
		}
		maps.Copy(dates, found)
	}
	moment := func(kind list.Act) fact {
		if date, read := dates[kind]; read {
			return fact{from: date, to: date}
		}
		return fact{from: e.asShown(done[kind]), to: e.now}
	}
	count := func(kind consent.Sync, person bool, at fact, counters ...string) {
		facts := make([]fact, len(counters))
		for i, counter := range counters {
			facts[i] = fact{counter, at.from, at.to}
		}
		e.put(t, message, fmt.Sprint(" of ", one.sent), email, kind, person, facts...)
	}
	count(consent.EmailSent, true, at, "sendsCount")
	if _, bounced := done[list.Bounce]; !bounced {
		count(consent.EmailSent, false, at, "impressionsCount")
	}
	for _, one := range []struct {
		kind     list.Act
		person   bool
		counters []string
	}{{list.Open, true, []string{"viewsCount", "uniqueViewsCount"}}, {list.Click, true, []string{"uniqueClicksCount"}}, {list.Bounce, false, []string{"failsCount"}},
		{list.Unsubscribe, false, []string{"unsubscribesCount"}}, {list.Abuse, false, []string{"complaintsCount"}}} {
		if _, happened := done[one.kind]; happened {
			count(switchOf(one.kind), one.person, moment(one.kind), one.counters...)
		}
	}
	for n := range clicks {
		at := fact{from: e.asShown(done[list.Click]), to: e.now}
		if n < len(clicked) {
			at = fact{from: clicked[n], to: clicked[n]}
		}
		count(consent.EmailClicks, true, at, "clicksCount")
	}
}

// truthPushed is what has to be counted of events that were pushed: each once, on the day on which it happened.
func (e *events) truthPushed(t *truth) {
	type mark struct{ message, address, kind string }
	firsts := map[mark]*pushedEvent{}
	counters := map[string]string{"sent": "sendsCount", "opened": "uniqueViewsCount", "clicked": "uniqueClicksCount", "bounced": "failsCount",
		"unsubscribed": "unsubscribesCount", "complained": "complaintsCount"}
	acts := map[string]string{"opened": "viewsCount", "clicked": "clicksCount"}
	var order []mark
	seen := map[string]bool{}
	for _, p := range e.pushed {
		message := map[consent.Channel]string{consent.Email: "email-", consent.SMS: "sms-"}[p.channel] + p.message
		if e.scenario.events.never[p.sync()] || seen[p.id] {
			continue
		}
		if !p.taken {
			if p.unsure {
				t.doubtful[message] = true
				if t.doubted[p.address] == nil {
					t.doubted[p.address] = map[consent.Sync]bool{}
				}
				t.doubted[p.address][p.sync()] = true
			}
			continue
		}
		seen[p.id] = true
		if act := acts[p.kind]; act != "" {
			e.put(t, message, "", p.address, p.sync(), p.kind == "clicked" || p.kind == "opened", fact{act, p.at, p.at})
		}
		m := mark{message, p.address, p.kind}
		first := firsts[m]
		if first == nil {
			order = append(order, m)
		}
		if first == nil || p.at.Before(first.at) {
			firsts[m] = p
		}
	}
	for _, m := range order {
		p := firsts[m]
		person := p.kind == "sent" || p.kind == "opened" || p.kind == "clicked"
		e.put(t, m.message, "", m.address, p.sync(), person, fact{counters[m.kind], p.at, p.at})
		if _, bounced := firsts[mark{m.message, m.address, "bounced"}]; m.kind == "sent" && !bounced {
			e.put(t, m.message, "", m.address, p.sync(), false, fact{"impressionsCount", p.at, p.at})
		}
	}
	// The latest of a person's events counts for when something last happened, be it the first of its kind for a message or not.
	for _, p := range e.pushed {
		if p.kind == "sent" && p.taken && !e.scenario.events.never[p.sync()] {
			message := map[consent.Channel]string{consent.Email: "email-", consent.SMS: "sms-"}[p.channel] + p.message
			t.people[p.address][p.sync()][message] = append(t.people[p.address][p.sync()][message], fact{"", p.at, p.at})
		}
	}
}

// judge compares what Shopify has with the truth.
func (e *events) judge() {
	t := e.truth()
	e.judgedMessages, e.judgedFields = 0, 0
	e.judgeDays(t)
	e.judgePeople(t)
	e.judgeNever()
}

func (e *events) judgeDays(t *truth) {
	told := map[string]map[string]map[string]int{}
	for _, report := range e.store.Engagements() {
		days := map[string]map[string]int{}
		for _, day := range report.Days {
			days[day.Day] = day.Counts
			e.judgeOffset(report.Activity.RemoteID, day)
		}
		told[report.Activity.RemoteID] = days
	}
	for message := range told {
		if t.days[message] == nil && !t.doubtful[message] && len(told[message]) > 0 {
			e.watch.violate("Totals", "", "Shopify was told of %s, with which nothing has happened: %v", message, told[message])
		}
	}
	for _, message := range slices.Sorted(maps.Keys(t.days)) {
		if t.doubtful[message] {
			continue
		}
		e.judgedMessages++
		e.judgeMessage(message, t.days[message], told[message])
	}
}

// judgeOffset: a day is told with the offset that the shop's zone has on it.
func (e *events) judgeOffset(message string, day shop.Engagement) {
	noon, err := time.ParseInLocation("2006-01-02 15:04", day.Day+" 12:00", e.zone)
	if err != nil || day.Offset != noon.Format("-07:00") {
		e.watch.violate("Totals", "", "the day %s of %s was told with the offset %s", day.Day, message, day.Offset)
	}
}

// judgeMessage: every counter adds up to as many facts as there are, and each day has as many as must, and no more than can, lie on it.
func (e *events) judgeMessage(message string, facts []fact, told map[string]map[string]int) {
	must, may, all, is := map[[2]string]int{}, map[[2]string]int{}, map[string]int{}, map[string]int{}
	for _, f := range facts {
		from, to := e.day(f.from), e.day(f.to)
		all[f.counter]++
		if from == to {
			must[[2]string{f.counter, from}]++
		}
		for at := f.from; ; at = at.Add(24 * time.Hour) {
			day := e.day(earlier(at, f.to))
			may[[2]string{f.counter, day}]++
			if day == to {
				break
			}
		}
	}
	for day, counts := range told {
		for counter, n := range counts {
			is[counter] += n
			if key := [2]string{counter, day}; n < must[key] || n > may[key] {
				e.watch.violate("Totals", "", "%s of %s on %s: Shopify was told %d, and it were at least %d and at most %d%s", counter, message, day, n,
					must[key], may[key], e.toldStory(message))
				return
			}
		}
	}
	for _, counter := range slices.Sorted(maps.Keys(all)) {
		if is[counter] != all[counter] {
			e.watch.violate("Totals", "", "%s of %s: Shopify was told %d in all, and it were %d%s", counter, message, is[counter], all[counter], e.toldStory(message))
			return
		}
	}
	for counter, n := range is {
		if n != 0 && all[counter] == 0 {
			e.watch.violate("Totals", "", "%s of %s: Shopify was told %d, and there were none", counter, message, n)
			return
		}
	}
}

func (e *events) day(at time.Time) string { return at.In(e.zone).Format(time.DateOnly) }

// toldStory is what our records say of a message, for whoever looks for the reason.
func (e *events) toldStory(message string) string {
	totals, err := e.book.EngagementTotals(e.context, merchantID)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("\n  the ledger's: %+v", totals[message])
}

// judgePeople: every customer with an address of whom something is known has the fields that follow from it.
func (e *events) judgePeople(t *truth) {
	for _, address := range slices.Sorted(maps.Keys(t.people)) {
		customer, there := e.customerOf(address)
		if !there || channelOf(address) == consent.SMS && e.code == nil {
			continue // without SMS nobody reads whose phone number it is
		}
		fields := e.store.Metafields(customer.ID)
		for key, kind := range fieldsOf(channelOf(address)) {
			if t.doubted[address][kind] {
				continue
			}
			e.judgedFields++
			value := fields[fieldNamespace+"."+key]
			switch facts := t.people[address][kind]; {
			case strings.HasPrefix(key, "last_"):
				e.judgeLast(address, key, value, facts)
			default:
				e.judgeCount(address, key, value, facts)
			}
		}
	}
}

// neverTold is told of what never happened, to a customer who has the field of another address.
const neverTold = "1970-01-01T00:00:00Z"

// moved: the customer who has an address now perhaps had another one before, and fields of that one.
func (e *events) moved(address string) bool { return len(e.watch.life(address).disturbances) > 0 }

func (e *events) judgeLast(address, key, value string, byMessage map[string][]fact) {
	var from, to time.Time
	for _, facts := range byMessage {
		for _, f := range facts {
			from, to = later(from, f.from), later(to, f.to)
		}
	}
	if to.IsZero() {
		if value != "" && !(e.moved(address) && value == neverTold) {
			e.watch.violate("Fields", address, "%s of %s is %s, and that never happened", key, address, value)
		}
		return
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil || at.Before(from.Add(-e.tolerance())) || at.After(to.Add(e.tolerance())) {
		e.watch.violate("Fields", address, "%s of %s is %q, and that was between %s and %s", key, address, value, from.UTC(), to.UTC())
	}
}

// countedDays is over how long messages are counted.
const countedDays = 30 * 24 * time.Hour

func (e *events) judgeCount(address, key, value string, byMessage map[string][]fact) {
	// What falls out of the 30 days is told by the next pass.
	surely, perhaps := 0, 0
	for _, facts := range byMessage {
		from, to := facts[0].from, facts[0].to
		for _, f := range facts {
			from, to = earlier(from, f.from), earlier(to, f.to)
		}
		if !from.Before(e.now.Add(e.tolerance() - countedDays)) {
			surely++
		}
		if !to.Before(e.now.Add(-e.tolerance() - countedDays - e.scenario.events.interval - 2*time.Minute)) {
			perhaps++
		}
	}
	n, err := strconv.Atoi(value)
	if value == "" {
		n, err = 0, nil
	}
	if err != nil || n < surely || n > perhaps {
		e.watch.violate("Fields", address, "%s of %s is %q, and it were %d to %d", key, address, value, surely, perhaps)
	}
}

// judgeNever: of a kind that was off all the time nothing is in the ledger.
func (e *events) judgeNever() {
	if len(e.scenario.events.never) == 0 {
		return
	}
	totals, err := e.book.EngagementTotals(e.context, merchantID)
	if err != nil {
		e.watch.failed(err)
		return
	}
	for message, days := range totals {
		for _, c := range days {
			kinds := kindsOf(channelOfMessage(message))
			off := func(kind consent.Sync) bool { return e.scenario.events.never[kind] }
			if off(kinds[0]) && c.Sends+c.Deliveries+c.Bounces+c.Unsubscribes+c.Complaints != 0 || off(consent.EmailOpened) && c.Views+c.UniqueViews != 0 ||
				off(kinds[len(kinds)-1]) && c.Clicks+c.UniqueClicks != 0 {
				e.watch.violate("Kinds", "", "the ledger counts %+v for %s, and of these %v were never on", c, message, e.scenario.events.never)
			}
		}
	}
}
