package listrak

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestUncertainty(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		what      string
		proven    bool
		apart     time.Duration
		ambiguous bool
		want      time.Duration
	}{
		{"no write of ours has proven the zone", false, 0, false, 14 * time.Hour},
		{"nor does anything else matter then", false, time.Minute, true, 14 * time.Hour},
		{"proven, clocks agree to the second", true, time.Second, false, time.Second},
		{"proven, the clocks differ", true, 4 * time.Second, false, 4 * time.Second},
		{"in the repeated hour", true, time.Second, true, time.Hour + time.Second},
		{"in the repeated hour, the clocks differ", true, 3 * time.Second, true, time.Hour + 3*time.Second},
		{"a proven zone is never worse than an unproven one", true, 100 * time.Hour, false, 14 * time.Hour},
	} {
		if got := Uncertainty(row.proven, row.apart, row.ambiguous); got != row.want {
			t.Errorf("%s: %s, want %s", row.what, got, row.want)
		}
	}
}

func TestProveZone(t *testing.T) {
	t.Parallel()
	began, ended, server := utc("2026-11-22T19:03:07Z"), utc("2026-11-22T19:03:08Z"), utc("2026-11-22T19:03:08Z")
	const hour = time.Hour
	for _, row := range []struct {
		what, raw            string
		zone                 *time.Location
		began, ended, server time.Time
		want                 ZoneProof
	}{
		{"the clocks of New York", "2026-11-22T14:03:07.5", newYork, began, ended, server, ZoneProof{ZoneProven, -5 * hour, -5 * hour}},
		{"Listrak writes UTC", "2026-11-22T19:03:07.5", newYork, began, ended, server, ZoneProof{ZoneWrong, 0, -5 * hour}},
		{"Listrak writes Berlin time", "2026-11-22T20:03:07", newYork, began, ended, server, ZoneProof{ZoneWrong, hour, -5 * hour}},
		{"five and a half hours", "2026-11-23T00:33:07", time.UTC, began, ended, server, ZoneProof{ZoneWrong, 5*hour + 30*time.Minute, 0}},
		{"five and a half hours, as set", "2026-11-23T00:33:07", zoneOf("Asia/Kolkata"), began, ended, server,
			ZoneProof{ZoneProven, 5*hour + 30*time.Minute, 5*hour + 30*time.Minute}},
		{"the Date header is missing", "2026-11-22T14:03:07.5", newYork, began, ended, time.Time{}, ZoneProof{ZoneProven, -5 * hour, -5 * hour}},
		{"our clock is two hours slow, theirs counts", "2026-11-22T14:03:07.5", newYork, began.Add(-2 * hour), ended.Add(-2 * hour), server,
			ZoneProof{ZoneProven, -5 * hour, -5 * hour}},
		{"an old date: not our write", "2026-11-22T13:56:01", newYork, began, ended, server, ZoneProof{Verdict: ZoneUndecided}},
		{"a date of last year", "2025-11-22T14:03:07", newYork, began, ended, server, ZoneProof{Verdict: ZoneUndecided}},
		{"fifteen hours ahead is no zone", "2026-11-23T10:03:07", newYork, began, ended, server, ZoneProof{Verdict: ZoneUndecided}},
		{"thirteen hours behind is no zone", "2026-11-22T06:03:07", newYork, began, ended, server, ZoneProof{Verdict: ZoneUndecided}},
		{"a write of half an hour proves nothing", "2026-11-22T14:03:07", newYork, began.Add(-30 * time.Minute), ended, server, ZoneProof{Verdict: ZoneUndecided}},
		{"ended before it began", "2026-11-22T14:03:07", newYork, ended, began, server, ZoneProof{Verdict: ZoneUndecided}},
		{"no date", "", newYork, began, ended, server, ZoneProof{Verdict: ZoneUndecided}},
		{"no zone", "2026-11-22T14:03:07", nil, began, ended, server, ZoneProof{Verdict: ZoneUndecided}},
		{"nonsense", "soon", newYork, began, ended, server, ZoneProof{Verdict: ZoneUndecided}},
		{"a date with Z cannot be read wrongly", "2026-11-22T19:03:07Z", newYork, began, ended, server, ZoneProof{ZoneProven, 0, -5 * hour}},
		{"a date with Z of another time", "2026-11-22T14:03:07Z", newYork, began, ended, server, ZoneProof{Verdict: ZoneUndecided}},
		{"second pass of the repeated hour", "2026-11-01T01:30:00", newYork, utc("2026-11-01T06:30:00Z"), utc("2026-11-01T06:30:01Z"),
			utc("2026-11-01T06:30:00Z"), ZoneProof{ZoneProven, -5 * hour, -5 * hour}},
		{"first pass, but Listrak has no summer time", "2026-11-01T00:30:00", newYork, utc("2026-11-01T05:30:00Z"), utc("2026-11-01T05:30:01Z"),
			utc("2026-11-01T05:30:00Z"), ZoneProof{ZoneWrong, -5 * hour, -4 * hour}},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			if got := ProveZone(row.raw, row.zone, row.began, row.ended, row.server); got != row.want {
				t.Errorf("%+v, want %+v", got, row.want)
			}
		})
	}
}

// Whatever the zones are, a date that Listrak wrote during the write shows its own zone's offset, and the verdict follows from it.
func TestProveZoneSeesTheZoneThatWroteTheDate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		theirs := zoneOf(rapid.SampledFrom(someZones).Draw(t, "theirs"))
		configured := zoneOf(rapid.SampledFrom(someZones).Draw(t, "configured"))
		server := drawInstantNearChange(t, theirs)
		took := time.Duration(rapid.Int64Range(0, 60_000).Draw(t, "ms that the write took")) * time.Millisecond
		wrote := server.Add(-time.Duration(rapid.Float64Range(0, 1).Draw(t, "when in it") * float64(took)))
		ourClock := server.Add(time.Duration(rapid.Int64Range(-3600, 3600).Draw(t, "our clock is off by")) * time.Second)
		got := ProveZone(wrote.In(theirs).Format(wallClockForm+".999"), configured, ourClock.Add(-took), ourClock, server)
		want := ZoneProof{ZoneProven, offset(wrote, theirs), offset(wrote, configured)}
		if want.Seen != want.Configured {
			want.Verdict = ZoneWrong
		}
		if want.Seen%zoneStep != 0 {
			t.Skip("Casablanca and others were odd seconds away from UTC, long ago only")
		}
		if got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	})
}
