package listrak

import (
	"time"

	"github.com/concordsync/concord/internal/skew"
)

const (
	// unprovenZone is how far off a date may be while nobody knows which zone Listrak writes (design/consent-rules.md, Words).
	unprovenZone = 14 * time.Hour
	// repeatedHour is by how much the two readings of a wall clock differ that the zone showed twice.
	repeatedHour = time.Hour

	// zoneStep: every zone in use is a multiple of a quarter of an hour away from UTC, between -12 and +14 hours.
	zoneStep            = 15 * time.Minute
	westernmost         = -12 * time.Hour
	easternmost         = 14 * time.Hour
	serversDisagreement = 5 * time.Second
)

// Uncertainty is how far a contact's Date may be from the instant that the person acted, by our clock: 14 hours until a write of
// ours has proven the zone; then apart, by how much the clocks may differ (skew.Clock); and an hour on top of it for an Ambiguous date.
func Uncertainty(proven bool, apart time.Duration, ambiguous bool) time.Duration {
	if !proven {
		return unprovenZone
	}
	u := apart
	if ambiguous {
		u += repeatedHour
	}
	return min(u, unprovenZone)
}

// ZoneVerdict is what one write of ours tells about the merchant's time zone.
type ZoneVerdict string

// The verdicts. ZoneUndecided means that the date is not that of our write (the contact was already in that state, and Listrak did
// not move its date), or that the write took too long to tell.
const (
	ZoneUndecided ZoneVerdict = "undecided"
	ZoneProven    ZoneVerdict = "proven"
	ZoneWrong     ZoneVerdict = "wrong"
)

// ZoneProof is the outcome of ProveZone. Seen is how far Listrak's dates are from UTC, and Configured how far those of the
// configured zone are at that instant; both are multiples of a quarter of an hour and zero when undecided.
type ZoneProof struct {
	Verdict          ZoneVerdict
	Seen, Configured time.Duration
}

// ProveZone compares the date that a contact bears after a write of ours (Contact.RawDate) with the time of the write: it began and
// ended at began and ended by our clock, and Listrak's answer bore server in its Date header (zero when missing). A zone is
// proven for the offset that it has now: "America/New_York" and "-05:00" differ only in summer, so prove it again with later
// deliveries. Ask only about a write that changed the contact's state: the date of any other is a coincidence.
func ProveZone(raw string, zone *time.Location, began, ended, server time.Time) ZoneProof {
	undecided := ZoneProof{Verdict: ZoneUndecided}
	if zone == nil || ended.Before(began) {
		return undecided
	}
	// The write happened between earliest and latest. Listrak's web server and database may disagree by seconds, and our own
	// clock does not matter when theirs is known.
	earliest, latest := began, ended
	if !server.IsZero() {
		earliest, latest = server.Add(-ended.Sub(began)), server.Add(skew.Precision)
	}
	earliest, latest = earliest.Add(-serversDisagreement), latest.Add(serversDisagreement)

	if at, err := time.Parse(instantForm, raw); err == nil {
		if at.Before(earliest) || at.After(latest) {
			return undecided
		}
		// The date names its own offset, so the configured zone is never used and cannot be wrong.
		return ZoneProof{Verdict: ZoneProven, Seen: offset(at, at.Location()), Configured: offset(at, zone)}
	}
	wall, err := time.Parse(wallClockForm, raw)
	if err != nil {
		return undecided
	}
	// wall, read as UTC, minus the true time is the offset. Exactly one offset that exists must fit into the bracket.
	least, most := wall.Sub(latest), wall.Sub(earliest)
	seen := most.Truncate(zoneStep)
	if seen > most {
		seen -= zoneStep
	}
	if seen < least || seen-zoneStep >= least || seen < westernmost || seen > easternmost {
		return undecided
	}
	proof := ZoneProof{Verdict: ZoneProven, Seen: seen, Configured: offset(wall.Add(-seen), zone)}
	if proof.Seen != proof.Configured {
		proof.Verdict = ZoneWrong
	}
	return proof
}
