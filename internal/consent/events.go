package consent

import "slices"

// The syncs of engagement events. They are no directions of consent: nothing is decided or delivered by them, so that they are not among
// Syncs. What they carry is in internal/engagement.
const (
	EmailEvents Sync = "email_events"
	SMSEvents   Sync = "sms_events"
)

// The kinds of events, each of which is switched on and off by itself below its sync. A kind whose sync is off is off too.
const (
	EmailSent   Sync = "email_events.sent"
	EmailOpened Sync = "email_events.opened"
	EmailClicks Sync = "email_events.clicks"
	SMSSent     Sync = "sms_events.sent"
	SMSClicks   Sync = "sms_events.clicks"
)

// EventSyncs lists the syncs of events, each followed by its kinds.
var EventSyncs = []Sync{EmailEvents, EmailSent, EmailOpened, EmailClicks, SMSEvents, SMSSent, SMSClicks}

var eventKinds = map[Sync][]Sync{EmailEvents: {EmailSent, EmailOpened, EmailClicks}, SMSEvents: {SMSSent, SMSClicks}}

// AllSyncs lists everything that is switched: the directions of consent, then the events.
func AllSyncs() []Sync { return slices.Concat(Syncs, EventSyncs) }

// EventsOf is the sync of a channel's events.
func EventsOf(channel Channel) Sync {
	if channel == SMS {
		return SMSEvents
	}
	return EmailEvents
}

// Kinds are the kinds of events below a sync; none of a kind itself or of a direction.
func (s Sync) Kinds() []Sync { return eventKinds[s] }

// IsEvents reports whether s is a sync of events or one of its kinds, rather than a direction of consent.
func (s Sync) IsEvents() bool { return slices.Contains(EventSyncs, s) }
