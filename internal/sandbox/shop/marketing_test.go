package shop

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func codes(refused []UserError) (all []string) {
	for _, one := range refused {
		all = append(all, one.Code)
	}
	return all
}

func TestActivitiesAreKnownByTheirRemoteID(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	spring := Activity{RemoteID: "1", Title: "Spring", Campaign: "spring", Source: "listrak", Medium: "email"}
	require.Empty(t, b.store.UpsertActivity(spring))
	renamed := spring
	renamed.Title, renamed.Start = "Spring again", startTime.Add(time.Hour)
	require.Empty(t, b.store.UpsertActivity(renamed))
	require.Empty(t, b.store.UpsertActivity(Activity{RemoteID: "0", Title: "Summer", Campaign: "summer"}))

	moved, taken, without := spring, spring, spring
	moved.Medium = "sms"
	taken.RemoteID = "2"
	without.RemoteID, without.Campaign = "3", ""
	require.Equal(t, []string{"IMMUTABLE_UTM_PARAMETERS"}, codes(b.store.UpsertActivity(moved)))
	require.Len(t, b.store.UpsertActivity(taken), 1)
	require.Equal(t, []string{"NON_HIERARCHIAL_REQUIRES_UTM_URL_PARAMETER"}, codes(b.store.UpsertActivity(without)))

	reports := b.store.Engagements()
	require.Len(t, reports, 2)
	require.Equal(t, [2]string{"Spring again", "Summer"}, [2]string{reports[0].Activity.Title, reports[1].Activity.Title})
	require.Equal(t, renamed.Start, reports[0].Activity.Start)
	require.Equal(t, startTime, reports[1].Activity.Start, "without a start it begins now")
	require.Equal(t, 6, b.store.MarketingWrites())
}

func TestEngagementOfADay(t *testing.T) {
	t.Parallel()
	for _, adds := range []bool{false, true} {
		t.Run(fmt.Sprint("adds ", adds), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) { c.Switches.EngagementsAdd = adds })
			require.Empty(t, b.store.UpsertActivity(Activity{RemoteID: "1", Campaign: "spring"}))
			tell := func(day, offset string, sends int) []string {
				return codes(b.store.CreateEngagement("1", Engagement{Day: day, Offset: offset, Counts: map[string]int{"sendsCount": sends}}))
			}
			require.Empty(t, tell("2026-11-23", "-05:00", 7))
			require.Empty(t, tell("2026-11-22", "+05:30", 1))
			require.Empty(t, tell("2026-11-22", "+05:30", 2))
			for _, offset := range []string{"", "Z", "5:00", "+15:00", "+05:60"} {
				require.Equal(t, []string{"INVALID"}, tell("2026-11-24", offset, 1), offset)
			}
			require.Equal(t, []string{"MARKETING_ACTIVITY_DOES_NOT_EXIST"}, codes(b.store.CreateEngagement("2", Engagement{Day: "2026-11-22", Offset: "+00:00"})))
			days := b.store.Engagements()[0].Days
			require.Len(t, days, 2)
			want := 2
			if adds {
				want = 3
			}
			require.Equal(t, [2]string{"2026-11-22", "2026-11-23"}, [2]string{days[0].Day, days[1].Day})
			require.Equal(t, [2]int{want, 7}, [2]int{days[0].Counts["sendsCount"], days[1].Counts["sendsCount"]})
			b.store.DeleteActivities()
			require.Empty(t, b.store.Engagements())
			require.Equal(t, []string{"MARKETING_ACTIVITY_DOES_NOT_EXIST"}, tell("2026-11-22", "+00:00", 1))
		})
	}
}

// TestWhoIsToldOfIsNamedOnce: an engagement names its activity in one way.
func TestWhoIsToldOfIsNamedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Scopes = []string{"read_marketing_events", "write_marketing_events"} })
	require.Empty(t, b.store.UpsertActivity(Activity{RemoteID: "1", Campaign: "spring"}))
	for arguments, want := range map[string]string{
		`remoteId: "1"`:                     `"userErrors":[]`,
		``:                                  `INVALID_MARKETING_ENGAGEMENT_ARGUMENT_MISSING`,
		`remoteId: "1", channelHandle: "x"`: `INVALID_MARKETING_ENGAGEMENT_ARGUMENTS`,
	} {
		if arguments != "" {
			arguments += ", "
		}
		answer := b.graphQL(`mutation { marketingEngagementCreate(`+arguments+`marketingEngagement: {occurredOn: "2026-11-22", utcOffset: "+00:00",
			sendsCount: 3}) { userErrors { code message field } } }`, "")
		require.Contains(t, answer.raw, want, arguments)
	}
	require.Equal(t, map[string]int{"sendsCount": 3}, b.store.Engagements()[0].Days[0].Counts)
}

func TestMetafieldDefinitions(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	sent := Definition{Namespace: "$app:concord", Key: "sent", Name: "Sent", Type: "number_integer", Filterable: true}
	require.Empty(t, b.store.DefineMetafield(sent))
	require.Equal(t, []string{"TAKEN"}, codes(b.store.DefineMetafield(sent)))
	require.Equal(t, []string{"TOO_SHORT"}, codes(b.store.DefineMetafield(Definition{Namespace: "n", Key: "k", Type: "date_time"})))
	require.Equal(t, []string{"INCLUSION"}, codes(b.store.DefineMetafield(Definition{Namespace: "n", Key: "key", Type: "colour of the sky"})))
	switches := b.store.Switches()
	switches.MetafieldDefinitionsFull = true
	b.store.SetSwitches(switches)
	require.Equal(t, []string{"RESOURCE_TYPE_LIMIT_EXCEEDED"}, codes(b.store.DefineMetafield(Definition{Namespace: "n", Key: "key", Type: "date_time"})))
	require.Equal(t, map[string]Definition{"$app:concord.sent": sent}, b.store.Definitions())
}

// TestMetafieldsAreSetAllOrNone, and who was touched shows as changed, as Shopify's search sees it.
func TestMetafieldsAreSetAllOrNone(t *testing.T) {
	t.Parallel()
	for _, keeps := range []bool{false, true} {
		t.Run(fmt.Sprint("updatedAt stays ", keeps), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) { c.Switches.MetafieldsKeepUpdatedAt = keeps })
			ann, err := b.store.CreateCustomer(NewCustomer{Email: "ann@example.com"})
			require.NoError(t, err)
			bob, err := b.store.CreateCustomer(NewCustomer{Email: "bob@example.com"})
			require.NoError(t, err)
			require.NoError(t, b.store.DeleteCustomer(bob))
			require.Empty(t, b.store.DefineMetafield(Definition{Namespace: "n", Key: "sent", Type: "number_integer"}))
			before, _ := b.store.CustomerByID(ann)
			b.clock.advance(time.Minute)
			in := func(owner CustomerID, key, kind, value string) MetafieldInput {
				return MetafieldInput{Owner: owner, Namespace: "n", Key: key, Type: kind, Value: value}
			}
			refused := b.store.SetMetafields([]MetafieldInput{
				in(ann, "sent", "", "1"), in(bob, "sent", "", "1"), in(ann, "sent", "date_time", "1"), in(ann, "sent", "", "many"),
				in(ann, "other", "colour", "1"), in(ann, "when", "date_time", "yesterday"),
			})
			got := map[int]string{}
			for _, one := range refused {
				got[one.Element] = one.Code
			}
			require.Equal(t, map[int]string{1: "INVALID", 2: "INVALID_TYPE", 3: "INVALID_VALUE", 4: "INVALID_TYPE", 5: "INVALID_VALUE"}, got)
			require.Empty(t, b.store.Metafields(ann))
			untouched, _ := b.store.CustomerByID(ann)
			require.Equal(t, before.UpdatedAt, untouched.UpdatedAt)

			require.Empty(t, b.store.SetMetafields([]MetafieldInput{in(ann, "sent", "", "1"), in(ann, "when", "date_time", "2026-11-22T10:00:00Z")}))
			require.Equal(t, map[string]string{"n.sent": "1", "n.when": "2026-11-22T10:00:00Z"}, b.store.Metafields(ann))
			require.Equal(t, 2, b.store.MetafieldWrites())
			after, _ := b.store.CustomerByID(ann)
			require.Equal(t, keeps, after.UpdatedAt.Equal(before.UpdatedAt))
			require.Equal(t, before.Consent, after.Consent)

			many := b.store.SetMetafields(make([]MetafieldInput, maxMetafields+1))
			require.Len(t, many, 1)
			require.Equal(t, [2]any{-1, "LESS_THAN_OR_EQUAL_TO"}, [2]any{many[0].Element, many[0].Code})
			require.Nil(t, b.store.Metafields(bob))
		})
	}
}
