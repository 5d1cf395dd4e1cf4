package list

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shownActivity is a row of activity as a client reads it.
type shownActivity struct {
	EmailAddress                                  string
	SendDate, ActivityDate                        *string
	Open, Read, Click, Bounce, Unsubscribe, Abuse bool
	ClickCount                                    int
}

func (l *listrak) message(m NewMessage, people ...string) int {
	l.t.Helper()
	id, err := l.CreateMessage(m)
	require.NoError(l.t, err)
	require.NoError(l.t, l.Send(id, m.At, people...))
	return id
}

func TestAMessageThatIsWrongIsNotMade(t *testing.T) {
	t.Parallel()
	l := signedIn(t, nil)
	for _, m := range []NewMessage{{Kind: "pigeon"}, {Kind: ConversationMessage}, {Conversation: 7}, {Kind: TransactionalMessage, Conversation: 7}} {
		_, err := l.CreateMessage(m)
		require.Error(t, err, "%+v", m)
	}
	require.Empty(t, l.Messages())
	require.Error(t, l.Send(1, time.Time{}, "ann@example.com"))
	require.Error(t, l.Act(1, "ann@example.com", Open, time.Time{}))
	id := l.message(NewMessage{}, "ann@example.com")
	require.Error(t, l.Act(id, "ann@example.com", "sneeze", time.Time{}))
	require.Error(t, l.Act(id, "bob@example.com", Open, time.Time{}))
	require.Zero(t, l.MessageSummary(99))
	require.Nil(t, l.MessageDays(99, time.UTC))
}

// TestWhatLiesInTheFutureShowsThen: activity grows over time although it was planned at once.
func TestWhatLiesInTheFutureShowsThen(t *testing.T) {
	t.Parallel()
	l := signedIn(t, nil)
	now := l.clock.now()
	id := l.message(NewMessage{Subject: "Spring", At: now.Add(time.Hour)}, "ann@example.com", "bob@example.com", "ANN@example.com")
	require.NoError(t, l.Act(id, "ann@example.com", Click, now.Add(3*time.Hour)))
	require.NoError(t, l.Act(id, "Ann@Example.com", Open, now.Add(2*time.Hour)))
	require.NoError(t, l.Act(id, "ann@example.com", Click, now.Add(4*time.Hour)))
	path := fmt.Sprintf("/v1/List/7/Message/%d", id)
	l.get(path+"/Activity").refused(http.StatusNotFound, CodeNoResource)
	l.get(path+"/Summary").refused(http.StatusNotFound, CodeNoResource)
	require.Empty(t, data[[]struct{}](l.get("/v1/List/7/Message")))

	for _, row := range []struct {
		after   time.Duration
		summary Summary
		ann     shownActivity
		marks   [3]int
	}{
		{time.Hour, Summary{Sent: 2}, shownActivity{}, [3]int{1, 0, 0}},
		{2 * time.Hour, Summary{Sent: 2, Opens: 1}, shownActivity{Open: true}, [3]int{1, 1, 0}},
		{3 * time.Hour, Summary{Sent: 2, Opens: 1, Clicks: 1}, shownActivity{Open: true, Click: true, ClickCount: 1}, [3]int{1, 1, 1}},
		{4 * time.Hour, Summary{Sent: 2, Opens: 1, Clicks: 2}, shownActivity{Open: true, Click: true, ClickCount: 2}, [3]int{1, 1, 1}},
	} {
		l.clock.pass(time.Hour)
		l.bearer = l.token("client", "secret").field("access_token") // the last one has run out
		require.Equal(t, row.summary, l.MessageSummary(id), "%s", row.after)
		rows := data[[]shownActivity](l.get(path + "/Activity"))
		require.Len(t, rows, 2)
		require.Equal(t, "ann@example.com", rows[0].EmailAddress)
		require.NotNil(t, rows[0].SendDate)
		require.Equal(t, row.ann.Open, rows[0].ActivityDate != nil, "the date of the first act alone is told")
		rows[0].EmailAddress, rows[0].SendDate, rows[0].ActivityDate = "", nil, nil
		require.Equal(t, row.ann, rows[0], "%s", row.after)
		require.Equal(t, row.marks, l.PersonMarks("ann@example.com"))
	}
	require.Equal(t, map[string]MessageDay{"2026-11-22": {Sends: 2, Deliveries: 2, UniqueOpens: 1, Clicks: 2, UniqueClicks: 1}}, l.MessageDays(id, time.UTC))
}

// TestAMessageIsSentToSomebodyAgain unless it is a bulk message: each sending has an activity of its own.
func TestAMessageIsSentToSomebodyAgain(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		NewMessage
		path string
		want int
	}{
		{NewMessage{Kind: BulkMessage}, "/v1/List/7/Message/%d", 1},
		{NewMessage{Kind: TransactionalMessage}, "/v1/List/7/TransactionalMessage/%d", 3},
		{NewMessage{Kind: ConversationMessage, Conversation: 9}, "/v1/List/7/Conversation/9/Message/%d", 3},
	} {
		l := signedIn(t, nil)
		now := l.clock.now()
		id := l.message(row.NewMessage, "ann@example.com")
		require.NoError(t, l.Send(id, now.Add(time.Hour), "bob@example.com", "ANN@example.com"))
		require.NoError(t, l.Send(id, now.Add(time.Hour+time.Millisecond), "ann@example.com"), "the same second: it is left out")
		require.NoError(t, l.Send(id, now.Add(3*time.Hour), "ann@example.com"))
		require.NoError(t, l.Act(id, "ann@example.com", Open, now.Add(2*time.Hour)))
		require.NoError(t, l.Act(id, "ann@example.com", Click, now.Add(5*time.Hour)))
		l.clock.pass(6 * time.Hour)
		l.bearer = l.token("client", "secret").field("access_token")
		var opened, clicked []bool
		for _, shown := range data[[]shownActivity](l.get(fmt.Sprintf(row.path, id) + "/Activity")) {
			if shown.EmailAddress != "bob@example.com" {
				opened, clicked = append(opened, shown.Open), append(clicked, shown.Click)
			}
		}
		marks, days, sent := l.PersonMarks("ann@example.com"), MessageDay{}, 0
		for _, day := range l.MessageDays(id, time.UTC) {
			days.Sends += day.Sends
			days.UniqueOpens += day.UniqueOpens
		}
		sent = days.Sends
		require.Len(t, opened, row.want, row.Kind)
		require.Equal(t, row.want+1, sent, row.Kind)
		require.Equal(t, [3]int{row.want, 1, 1}, marks, row.Kind)
		if row.want == 3 {
			require.Equal(t, [2][]bool{{false, true, false}, {false, false, true}}, [2][]bool{opened, clicked}, "with the newest that was there")
		}
	}
}

func TestDaysOfAMessage(t *testing.T) {
	t.Parallel()
	l := signedIn(t, nil)
	now := l.clock.now() // 14:03 UTC
	id := l.message(NewMessage{At: now}, "a@example.com", "b@example.com", "c@example.com")
	for _, act := range []struct {
		email string
		kind  Act
		after time.Duration
	}{
		{"a@example.com", Open, 8 * time.Hour}, {"a@example.com", Open, 9 * time.Hour}, {"a@example.com", Click, 11 * time.Hour}, {"a@example.com", Click, 12 * time.Hour},
		{"b@example.com", Bounce, time.Hour}, {"c@example.com", Unsubscribe, time.Hour}, {"c@example.com", Abuse, 11 * time.Hour},
	} {
		require.NoError(t, l.Act(id, act.email, act.kind, now.Add(act.after)))
	}
	l.clock.pass(24 * time.Hour)
	require.Equal(t, map[string]MessageDay{
		"2026-11-22": {Sends: 3, Deliveries: 2, UniqueOpens: 1, Bounces: 1, Unsubscribes: 1},
		"2026-11-23": {Clicks: 2, UniqueClicks: 1, Complaints: 1},
	}, l.MessageDays(id, time.UTC))
	require.Equal(t, map[string]MessageDay{
		"2026-11-22": {Sends: 3, Deliveries: 2},
		"2026-11-23": {UniqueOpens: 1, Clicks: 2, UniqueClicks: 1, Bounces: 1, Unsubscribes: 1, Complaints: 1},
	}, l.MessageDays(id, time.FixedZone("", 9*3600)))
}

// TestWhatTheSummaryCounts: people or acts is a switch, because nobody has published it.
func TestWhatTheSummaryCounts(t *testing.T) {
	t.Parallel()
	for people, want := range map[bool]Summary{false: {Sent: 1, Opens: 2, Reads: 1, Clicks: 3, Bounces: 1, Unsubscribes: 1},
		true: {Sent: 1, Opens: 1, Reads: 1, Clicks: 1, Bounces: 1, Unsubscribes: 1}} {
		l := signedIn(t, func(c *Config) { c.SummaryCountsPeople = people })
		id := l.message(NewMessage{}, "ann@example.com")
		for _, act := range []Act{Open, Open, Read, Read, Click, Click, Click, Bounce, Bounce, Unsubscribe, Unsubscribe, Abuse} {
			require.NoError(t, l.Act(id, "ann@example.com", act, time.Time{}))
		}
		require.Equal(t, want, l.MessageSummary(id), "people %t", people)
	}
}

// TestActivityQueries: the filter by activity goes by the first act, or the last, which is a switch too.
func TestActivityQueries(t *testing.T) {
	t.Parallel()
	for _, moves := range []bool{false, true} {
		l := signedIn(t, func(c *Config) { c.ActivityDateMoves = moves })
		at := l.clock.now().Add(-3 * time.Hour)
		id := l.message(NewMessage{At: at}, "a@example.com", "b@example.com", "c@example.com")
		require.NoError(t, l.Act(id, "b@example.com", Open, at.Add(time.Hour)))
		require.NoError(t, l.Act(id, "b@example.com", Click, at.Add(2*time.Hour)))
		wall := func(at time.Time) time.Time { return l.Wall(at) }
		read := func(query ActivityQuery) (found []string) {
			query.Cursor, query.Count = Start, MaxCount
			page, err := l.ReadActivity(BulkMessage, 0, id, query)
			require.NoError(t, err)
			for _, row := range page.Rows {
				found = append(found, row.Email)
			}
			return found
		}
		require.Equal(t, []string{"a@example.com", "b@example.com", "c@example.com"}, read(ActivityQuery{}))
		require.Equal(t, []string{"c@example.com"}, read(ActivityQuery{Email: "C@example.com"}))
		require.Len(t, read(ActivityQuery{From: wall(at)}), 3)
		require.Empty(t, read(ActivityQuery{From: wall(at.Add(time.Second))}))
		require.Empty(t, read(ActivityQuery{To: wall(at.Add(-time.Second))}))
		require.Equal(t, []string{"b@example.com"}, read(ActivityQuery{ByActivity: true}))
		late := read(ActivityQuery{ByActivity: true, From: wall(at.Add(90 * time.Minute))})
		require.Equal(t, moves, len(late) == 1, "%v", late)
	}
}

func TestMessageRoutes(t *testing.T) {
	t.Parallel()
	l := signedIn(t, nil)
	id := l.message(NewMessage{Subject: "Spring"}, "a@example.com", "b@example.com", "c@example.com")
	l.message(NewMessage{Subject: "Summer"})
	welcome := l.message(NewMessage{Kind: ConversationMessage, Conversation: 9, Subject: "Welcome"}, "a@example.com")
	receipt := l.message(NewMessage{Kind: TransactionalMessage, Subject: "Receipt"}, "a@example.com")

	// Pages of messages and of activity.
	first := l.get("/v1/List/7/Message?count=1")
	require.Len(t, data[[]struct{ Subject string }](first), 1)
	second := data[[]struct{ Subject string }](l.get("/v1/List/7/Message?count=1&cursor=" + first.field("nextPageCursor")))
	require.Equal(t, "Summer", second[0].Subject)
	activity := fmt.Sprintf("/v1/List/7/Message/%d/Activity", id)
	page := l.get(activity + "?count=2")
	require.Len(t, data[[]shownActivity](page), 2)
	rest := l.get(activity + "?count=2&cursor=" + page.field("nextPageCursor"))
	require.Equal(t, "c@example.com", data[[]shownActivity](rest)[0].EmailAddress)
	require.Equal(t, "null", rest.field("nextPageCursor"))

	// Each kind on its own routes alone.
	require.Len(t, data[[]struct{ ConversationID int }](l.get("/v1/List/7/Conversation")), 1)
	require.Len(t, data[[]shownActivity](l.get(fmt.Sprintf("/v1/List/7/Conversation/9/Message/%d/Activity", welcome))), 1)
	require.Len(t, data[[]shownActivity](l.get(fmt.Sprintf("/v1/List/7/TransactionalMessage/%d/Activity", receipt))), 1)
	for _, path := range []string{
		fmt.Sprintf("/v1/List/7/Message/%d/Activity", welcome), fmt.Sprintf("/v1/List/7/Conversation/8/Message/%d/Activity", welcome),
		fmt.Sprintf("/v1/List/7/TransactionalMessage/%d/Activity", id), "/v1/List/7/Message/99/Summary", "/v1/List/7/Conversation/8/Message",
	} {
		l.get(path).refused(http.StatusNotFound, CodeNoResource)
	}
	for _, query := range []string{"?count=0", "?count=5001", "?count=x", "?cursor=a99.1", "?cursor=x", "?dateType=Sent", "?activityType=Open", "?startDate=soon"} {
		reply := l.get(activity + query)
		reply.refused(http.StatusBadRequest, CodeInvalidParameter)
	}
	l.DeleteMessage(id)
	l.get(activity).refused(http.StatusNotFound, CodeNoResource)
}

func TestMessagesNeedTheirAreas(t *testing.T) {
	t.Parallel()
	l := signedIn(t, func(c *Config) { c.NoAccess = []Area{AreaMessage, AreaReporting} })
	id := l.message(NewMessage{}, "a@example.com")
	for _, path := range []string{"Message", "Conversation", "TransactionalMessage", fmt.Sprintf("Message/%d/Activity", id), fmt.Sprintf("Message/%d/Summary", id)} {
		require.Equal(t, http.StatusUnauthorized, l.get("/v1/List/7/"+path).status, path)
	}
}
