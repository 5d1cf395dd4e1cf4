package listrak

import "time"

// The forms in which Listrak writes dates (contracts/listrak.md: "Dates come without an offset"); reading takes a fraction of
// a second in either. The second form is not documented, but says itself which instant it means, so it is believed.
const (
	wallClockForm = "2006-01-02T15:04:05"
	instantForm   = "2006-01-02T15:04:05Z07:00"
)

// ParseDate reads a date of Listrak. Without an offset it is wall-clock time in zone. No date, and the 0001-01-01 by which .NET
// programs say the same, give the zero time.
func ParseDate(raw string, zone *time.Location) (date time.Time, ambiguous bool, err error) {
	if raw == "" {
		return time.Time{}, false, nil
	}
	if at, err := time.Parse(instantForm, raw); err == nil {
		if at.Year() <= 1 {
			return time.Time{}, false, nil
		}
		return at.UTC(), false, nil
	}
	wall, err := time.Parse(wallClockForm, raw)
	if err != nil {
		return time.Time{}, false, errDate
	}
	if wall.Year() <= 1 {
		return time.Time{}, false, nil
	}
	date, ambiguous = instantOf(wall, zone)
	return date, ambiguous, nil
}

// instantOf finds the instant at which the clocks of zone showed wall (a wall-clock time whose location does not count).
//
// In the hour that is repeated when summer time ends they showed it twice, and nothing tells which is meant. We take the EARLIER
// for every state. It is a function of the wall clock alone and never lies in the future, so that every read of an unchanged
// contact gives the same date, no read has to clamp it, and nothing looks like news. An opt-out is not put at risk: the date
// counts as uncertain by an hour (Uncertainty), which covers the later instant, and within the uncertainty Unsubscribed wins.
//
// In the hour that is skipped when summer time begins they never showed it, so whoever wrote it keeps another time. We read it with
// the offset before the change, which gives an instant after it, and mark it ambiguous too.
func instantOf(wall time.Time, zone *time.Location) (at time.Time, ambiguous bool) {
	wall = time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), time.UTC)
	// A day to either side of wall is certainly before and after any change of clocks that could touch it, since no zone is
	// more than 14 hours from UTC.
	before, after := offset(wall.Add(-24*time.Hour), zone), offset(wall.Add(24*time.Hour), zone)
	first, second := wall.Add(-before), wall.Add(-after)
	firstShows, secondShows := offset(first, zone) == before, offset(second, zone) == after
	switch {
	case before == after:
		return first, false
	case firstShows && secondShows:
		return first, true
	case firstShows:
		return first, false
	case secondShows:
		return second, false
	default:
		return first, true
	}
}

// FormatSince writes since as the wall clock of zone, for startDate. Where the clocks go back within the next hours, a later
// change may bear an earlier wall clock than since itself: the query then starts at the wall clock that the clocks go back to,
// which brings up to an hour too much and misses nothing.
func FormatSince(since time.Time, zone *time.Location) string {
	local := since.In(zone)
	wall := local.Format(wallClockForm)
	if _, end := local.ZoneBounds(); !end.IsZero() {
		if back := end.In(zone).Format(wallClockForm); back < wall {
			return back
		}
	}
	return wall
}

func offset(at time.Time, zone *time.Location) time.Duration {
	_, seconds := at.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}
