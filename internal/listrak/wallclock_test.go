package listrak

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func utc(s string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return at
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	lordHowe, apia := zoneOf("Australia/Lord_Howe"), zoneOf("Pacific/Apia")
	for _, row := range []struct {
		what, raw string
		zone      *time.Location
		want      time.Time
		ambiguous bool
	}{
		{"winter", "2026-11-22T14:03:07.123", newYork, utc("2026-11-22T19:03:07.123Z"), false},
		{"summer", "2026-07-22T14:03:07.123", newYork, utc("2026-07-22T18:03:07.123Z"), false},
		{"no fraction", "2026-11-22T14:03:07", newYork, utc("2026-11-22T19:03:07Z"), false},
		{"seven digits, as .NET writes them", "2026-11-22T14:03:07.1234567", newYork, utc("2026-11-22T19:03:07.1234567Z"), false},
		{"Z is believed", "2026-11-22T14:03:07Z", newYork, utc("2026-11-22T14:03:07Z"), false},
		{"an offset is believed", "2026-11-22T14:03:07.5+02:00", newYork, utc("2026-11-22T12:03:07.5Z"), false},
		{"no date", "", newYork, time.Time{}, false},
		{".NET's no date", "0001-01-01T00:00:00", newYork, time.Time{}, false},
		{".NET's no date with Z", "0001-01-01T00:00:00Z", newYork, time.Time{}, false},
		{"just before the repeated hour", "2026-11-01T00:59:59", newYork, utc("2026-11-01T04:59:59Z"), false},
		{"the repeated hour is read as its first pass", "2026-11-01T01:30:00", newYork, utc("2026-11-01T05:30:00Z"), true},
		{"just after the repeated hour", "2026-11-01T02:00:00", newYork, utc("2026-11-01T07:00:00Z"), false},
		{"just before the skipped hour", "2026-03-08T01:59:59", newYork, utc("2026-03-08T06:59:59Z"), false},
		{"the skipped hour is read with the offset before it", "2026-03-08T02:30:00", newYork, utc("2026-03-08T07:30:00Z"), true},
		{"just after the skipped hour", "2026-03-08T03:00:00", newYork, utc("2026-03-08T07:00:00Z"), false},
		{"half an hour is repeated on Lord Howe", "2026-04-05T01:45:00", lordHowe, utc("2026-04-04T14:45:00Z"), true},
		{"and no more than half an hour", "2026-04-05T01:15:00", lordHowe, utc("2026-04-04T14:15:00Z"), false},
		{"Samoa skipped a whole day", "2011-12-30T12:00:00", apia, utc("2011-12-30T22:00:00Z"), true},
		{"UTC has no hours to repeat", "2026-11-01T01:30:00", time.UTC, utc("2026-11-01T01:30:00Z"), false},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			got, ambiguous, err := ParseDate(row.raw, row.zone)
			if err != nil || !got.Equal(row.want) || ambiguous != row.ambiguous {
				t.Errorf("%s in %s: %s, ambiguous %v, error %v; want %s, ambiguous %v",
					row.raw, row.zone, got, ambiguous, err, row.want, row.ambiguous)
			}
		})
	}
	for _, raw := range []string{"yesterday", "2026-11-22", "22.11.2026 14:03", "2026-13-01T00:00:00", "alice@example.com"} {
		if _, _, err := ParseDate(raw, newYork); err != errDate {
			t.Errorf("%q: error %v, want errDate, which does not quote it", raw, err)
		}
	}
}

var someZones = []string{"UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Kathmandu",
	"Africa/Casablanca", "America/St_Johns", "Pacific/Chatham", "Pacific/Kiritimati", "America/Sao_Paulo"}

func drawInstant(t *rapid.T, label string) time.Time {
	return time.Unix(rapid.Int64Range(utc("2015-01-01T00:00:00Z").Unix(), utc("2035-01-01T00:00:00Z").Unix()).Draw(t, label), 0).UTC()
}

// drawInstantNearChange prefers the hours around a change of the zone's clocks, where all the trouble is.
func drawInstantNearChange(t *rapid.T, zone *time.Location) time.Time {
	at := drawInstant(t, "instant")
	if _, end := at.In(zone).ZoneBounds(); !end.IsZero() && rapid.Bool().Draw(t, "near a change") {
		at = end.UTC().Add(time.Duration(rapid.Int64Range(-7200, 7200).Draw(t, "seconds from the change")) * time.Second)
	}
	return at
}

func TestEveryInstantComesBackFromItsWallClock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := zoneOf(rapid.SampledFrom(someZones).Draw(t, "zone"))
		at := drawInstantNearChange(t, zone)
		raw := at.In(zone).Format(wallClockForm)
		got, ambiguous, err := ParseDate(raw, zone)
		if err != nil {
			t.Fatal(err)
		}
		late := at.Sub(got)
		if !ambiguous && late != 0 || ambiguous && (late < 0 || late > repeatedHour) {
			t.Fatalf("%s was written at %s and read as %s (ambiguous %v)", raw, at, got, ambiguous)
		}
		if got.In(zone).Format(wallClockForm) != raw {
			t.Fatalf("%s was read as %s, when the clocks of %s did not show it", raw, got, zone)
		}
	})
}

func TestASinceMissesNoLaterDate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := zoneOf(rapid.SampledFrom(someZones).Draw(t, "zone"))
		since := drawInstantNearChange(t, zone)
		later := since.Add(time.Duration(rapid.Int64Range(0, 3*3600).Draw(t, "seconds later")) * time.Second)
		start, wall := FormatSince(since, zone), later.In(zone).Format(wallClockForm)
		if wall < start {
			t.Fatalf("a contact of %s (%s) is missed by startDate %s, which stands for %s", later, wall, start, since)
		}
		from, err := time.Parse(wallClockForm, start)
		if err != nil {
			t.Fatal(err)
		}
		exact, err := time.Parse(wallClockForm, since.In(zone).Format(wallClockForm))
		if err != nil || exact.Sub(from) > repeatedHour || exact.Before(from) {
			t.Fatalf("startDate %s stands for %s: it may begin up to an hour early, and never late", start, since.In(zone))
		}
	})
}

func TestFormatSince(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ what, since, want string }{
		{"winter", "2026-11-22T19:03:07.999Z", "2026-11-22T14:03:07"},
		{"first pass of the repeated hour: its second pass may begin below", "2026-11-01T05:50:00Z", "2026-11-01T01:00:00"},
		{"second pass: the first is too much, and harmless", "2026-11-01T06:10:00Z", "2026-11-01T01:10:00"},
		{"before the repeated hour", "2026-11-01T04:30:00Z", "2026-11-01T00:30:00"},
	} {
		if got := FormatSince(utc(row.since), newYork); got != row.want {
			t.Errorf("%s: %s is %s, want %s", row.what, row.since, got, row.want)
		}
	}
}
