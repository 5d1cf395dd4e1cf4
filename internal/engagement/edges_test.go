package engagement_test

import (
	"bytes"
	"context"
	"fmt"
	"github.com/concordsync/concord/internal/shopify"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

func event(id, kind, address string, at time.Time) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"listrak","type":%q,"time":%q,"data":{"address":%q,"message":"sale","title":"Sale","link":"https://example.com/"}}`,
		id, kind, at.Format(time.RFC3339), address)
}

func TestPushedEventsAreToldOnceAndTheBadOnesAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	now := w.clock.now()
	body := []byte("[" + strings.Join([]string{
		event("1", "sms.sent", "+15550100001", now.Add(-time.Hour)),
		event("1", "sms.sent", "+15550100001", now.Add(-time.Hour)),
		event("2", "sms.clicked", "(555) 010-0001", now),
		event("3", "sms.clicked", "nobody", now),
		`{"nonsense":true}`,
		event("4", "sms.sent", "+15550100002", now.Add(time.Hour)),
		event("5", "sms.sent", "+15550100002", now.Add(-31*24*time.Hour)),
		event("6", "email.opened", "ann@example.com", now),
		event("7", "sms.sent", "", now),
	}, ",") + "]")
	report, err := w.keeper.Push(t.Context(), w.id, body)
	require.NoError(t, err)
	require.Equal(t, 4, report.Off, "nothing of what is off is kept")
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	report, err = w.keeper.Push(t.Context(), w.id, body)
	require.NoError(t, err)
	require.Equal(t, [5]int{2, 1, 1, 0, 5}, [5]int{report.Taken, report.Duplicate, report.Off, report.Read, report.Refused})
	var where []int
	for _, reason := range report.Reasons {
		where = append(where, reason.Index)
		require.NotContains(t, reason.Why, "555")
		require.NotContains(t, reason.Why, "nobody")
	}
	require.Equal(t, []int{3, 4, 5, 6, 8}, where)
	require.Equal(t, "the address is missing", report.Reasons[4].Why)
	report, err = w.keeper.Push(t.Context(), w.id, body)
	require.NoError(t, err)
	require.Zero(t, report.Taken)
	w.pass()
	days := w.toldDays("sms-sale")
	require.Len(t, days, 1)
	require.Equal(t, 1, days["2026-11-20"]["sendsCount"])
	require.Equal(t, 1, days["2026-11-20"]["uniqueClicksCount"])
	require.NotContains(t, days["2026-11-20"], "viewsCount", "of SMS nobody knows who looked at it")
	activity := w.shop.Engagements()[0].Activity
	require.Equal(t, [3]string{"Sale", "MESSAGE", "sms"}, [3]string{activity.Title, activity.Tactic, activity.Medium})

	for _, nonsense := range []string{"", "null", "7", `"x"`, "[", "{"} {
		_, err := w.keeper.Push(t.Context(), w.id, []byte(nonsense))
		if nonsense == "{" {
			require.NoError(t, err, "a single event that cannot be read is refused by its index")
			continue
		}
		require.ErrorIs(t, err, engagement.ErrNoBatch, nonsense)
	}
}

// TestANumberWithoutACountryCodeIsOfTheMerchantsCountry, pushed or in a file.
func TestANumberWithoutACountryCodeIsOfTheMerchantsCountry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{country: "DE"})
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	const phone = "+4915112345678"
	ann, err := w.shop.CreateCustomer(shop.NewCustomer{Phone: phone})
	require.NoError(t, err)
	_, err = w.ledger.Save(t.Context(), w.id, ledger.Batch{Customers: []ledger.Customer{{ID: string(ann), UpdatedAt: 1, SMS: subject(w.id, consent.SMS, phone)}}})
	require.NoError(t, err)
	report, err := w.keeper.Push(t.Context(), w.id, []byte(event("1", "sms.sent", "0151 12345678", w.clock.now())))
	require.NoError(t, err)
	require.Equal(t, 1, report.Taken, "%+v", report)
	file := "time,address,message,type\n" + w.clock.now().Format(time.RFC3339) + ",0151/12345678,second,sms.sent\n"
	report, err = w.keeper.Import(t.Context(), w.id, strings.NewReader(file), engagement.Format{}, nil, nil)
	require.NoError(t, err)
	require.Equal(t, 1, report.Taken, "%+v", report)
	w.pass()
	require.Equal(t, "2", w.shop.Metafields(ann)[field("sms_sent_30_days")])
}

func TestWhoIsNobodyInShopifyIsToldOnceTheyAreSomebody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	ann := w.customer("person-0@example.com")
	_, _ = w.send("Spring", 3)
	w.pass()
	require.NoError(t, w.shop.DeleteCustomer(ann))
	fields := w.shop.MetafieldWrites()
	_, emails := w.send("Summer", 3)
	bob, err := w.shop.CreateCustomer(shop.NewCustomer{Email: emails[1]})
	require.NoError(t, err)
	w.clock.advance(time.Minute)
	w.pass() // the ledger believes that Ann is still there, and does not know Bob
	require.Equal(t, fields, w.shop.MetafieldWrites())
	_, err = w.ledger.Save(t.Context(), w.id, ledger.Batch{Customers: []ledger.Customer{{ID: string(bob), UpdatedAt: 1, Email: subject(w.id, consent.Email, emails[1])}}})
	require.NoError(t, err)
	w.clock.advance(2 * time.Hour)
	w.pass()
	require.Equal(t, "2", w.shop.Metafields(bob)[field("emails_sent_30_days")])
}

// TestOneCustomerWhoIsGoneDoesNotKeepTheOthersFromTheirFields: Shopify takes a group as a whole or not at all.
func TestOneCustomerWhoIsGoneDoesNotKeepTheOthersFromTheirFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	var ids []shop.CustomerID
	for n := range 30 {
		ids = append(ids, w.customer(fmt.Sprintf("person-%d@example.com", n)))
	}
	require.NoError(t, w.shop.DeleteCustomer(ids[3]))
	w.send("Spring", 30)
	w.pass()
	for n, id := range ids {
		if n != 3 {
			require.Equal(t, "1", w.shop.Metafields(id)[field("emails_sent_30_days")], "customer %d", n)
		}
	}
}

func TestDefinitionsAreMadeOnceAndCanBeUsedInSegments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	w.customer("person-0@example.com")
	w.send("Spring", 1)
	w.pass()
	require.Len(t, w.shop.Definitions(), 10)
	for name, d := range w.shop.Definitions() {
		require.True(t, d.Filterable, name)
	}
	w.clock.advance(time.Minute)
	w.send("Summer", 1)
	w.pass()
	require.Equal(t, 1, w.shop.Requests()["metafieldDefinitionCreate"])
}

// TestWhatEventsLackStopsNoConsent: a missing scope or area is told of, and the merchant goes on.
func TestWhatEventsLackStopsNoConsent(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"the store's scopes":  {shop: func(c *shop.Config) { c.Scopes = []string{"read_customers", "write_customers", "read_orders"} }},
		"no more definitions": {shop: func(c *shop.Config) { c.Switches.MetafieldDefinitionsFull = true }},
		"Listrak's area":      {list: func(c *list.Config) { c.NoAccess = []list.Area{list.AreaMessage} }},
		"Listrak's reporting": {list: func(c *list.Config) { c.NoAccess = []list.Area{list.AreaReporting} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			w.set(map[consent.Sync]bool{consent.EmailEvents: true})
			w.customer("person-0@example.com")
			w.send("Spring", 2)
			_, err := w.keeper.Pass(t.Context(), w.id)
			require.Equal(t, failure.PersonMustAct, failure.ClassOf(err), "%v", err)
			require.NotContains(t, fmt.Sprint(err), "person-0")
			switches, err := w.ledger.Switches(t.Context(), w.id)
			require.NoError(t, err)
			require.Equal(t, ledger.Running, switches.State)
			runs, err := w.ledger.RunStatuses(t.Context(), w.id)
			require.NoError(t, err)
			require.Equal(t, 1, runs[engagement.Run].Failures)
			require.NotEmpty(t, runs[engagement.Run].ErrorCode)
		})
	}
}

// TestADayWhoseTellingFailedIsToldThoughNothingMoreHappens, whether it took effect or not.
func TestADayWhoseTellingFailedIsToldThoughNothingMoreHappens(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{fault.ServerError, fault.ErrorAfter, fault.HTMLError, fault.Throttled, fault.TooManyRequests} {
		for _, operation := range []string{"marketingActivityUpsertExternal", "marketingEngagementCreate", "metafieldsSet", "metafieldDefinitionCreate", "shop"} {
			t.Run(string(kind)+"/"+operation, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, options{})
				w.set(map[consent.Sync]bool{consent.EmailEvents: true})
				ann := w.customer("person-0@example.com")
				id, _ := w.send("Spring", 2)
				w.shop.Faults.Set(1, fault.Rule{Operation: operation, Kind: kind, Times: 2})
				for range 12 {
					_, _ = w.keeper.Pass(t.Context(), w.id) // what fails is tried again
					w.clock.advance(time.Minute)
				}
				require.Equal(t, w.truth(id), w.toldDays(messageID(id)))
				require.Equal(t, "1", w.shop.Metafields(ann)[field("emails_sent_30_days")])
			})
		}
	}
}

func TestAnActivityThatWasDeletedIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	id, emails := w.send("Spring", 2)
	w.pass()
	w.shop.DeleteActivities()
	w.act(id, emails[0], list.Open)
	for range 3 {
		w.clock.advance(time.Minute)
		w.pass()
	}
	require.Equal(t, w.truth(id), w.toldDays(messageID(id)))
}

func TestAMessageThatIsGoneKeepsNoOtherFromBeingRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	first, _ := w.send("Spring", 2)
	w.pass()
	w.list.DeleteMessage(first)
	second, _ := w.send("Summer", 3)
	w.clock.advance(time.Minute)
	w.pass()
	require.Equal(t, w.truth(second), w.toldDays(messageID(second)))
}

func TestTwoProcessesDoNotWorkAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	_, ok, err := w.ledger.AcquireRun(t.Context(), w.id, engagement.Run, "another", time.Minute)
	require.NoError(t, err)
	require.True(t, ok)
	_, err = w.keeper.Pass(t.Context(), w.id)
	require.ErrorIs(t, err, engagement.ErrBusy)
}

// keep keeps what is refused of an import.
func keep(reasons *[]engagement.Reason) func(engagement.Reason) {
	return func(reason engagement.Reason) { *reasons = append(*reasons, reason) }
}

func TestAFileIsTakenInLineByLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	csv := "\ufeffPhone,Campaign Id,Campaign,When,What\r\n" +
		"+15550100001,c-1,\"Sale, \"\"big\"\"\",2026-11-20 09:00:00,Delivered\r\n" +
		"\r\n" +
		"5550100002,c-1,\"two\nlines\",11/20/2026 9:30 AM,Delivered\n" +
		"+15550100001,c-1,Sale,2026-11-20T14:45:00Z,Link click\n" +
		"+15550100003,c-1,Sale,yesterday,Delivered\n" +
		"+15550100003,c-1\n" +
		"+15550100004,c-1,\"never closed,2026-11-20 09:00:00,Delivered\n" +
		"+15550100005,c-1,Sale,2026-11-20 09:00:00,Unheard of\n" +
		"x" + strings.Repeat("y", 2<<20) + "\n" +
		"+15550100006,c-1,Sale,2026-11-20 09:00:00,Delivered"
	format := engagement.Format{Zone: w.zone, Columns: map[string]string{"address": "phone", "message": "Campaign ID", "title": "Campaign", "time": "When", "type": "What"},
		Types: map[string]string{"delivered": "sms.sent", "link click": "sms.clicked"}}
	var reasons []engagement.Reason
	report, err := w.keeper.Import(t.Context(), w.id, strings.NewReader(csv), format, nil, keep(&reasons))
	require.NoError(t, err)
	lines := map[int]string{}
	for _, reason := range reasons {
		lines[reason.Line] = reason.Why
		require.NotContains(t, reason.Why, "555")
	}
	require.Equal(t, 4, report.Taken, "%+v", report)
	require.Len(t, lines, 5, "%v", lines)
	for _, line := range []int{7, 8, 9, 10, 11} {
		require.Contains(t, lines, line, "%v", lines)
	}
	again, err := w.keeper.Import(t.Context(), w.id, strings.NewReader(csv), format, nil, keep(&reasons))
	require.NoError(t, err)
	require.Equal(t, [2]int{0, 4}, [2]int{again.Taken, again.Duplicate})
	w.pass()
	require.Equal(t, 3, w.toldDays("sms-c-1")["2026-11-20"]["sendsCount"])

	jsonl := event("1", "x", "y", w.clock.now()) + "\n" + `{"id":5,"type":"sms.sent","time":"2026-11-20T10:00:00-05:00","address":"+15550100009","message":"j"}` + "\n[]\n{\"time\":[]}\n"
	report, err = w.keeper.Import(t.Context(), w.id, strings.NewReader(jsonl), engagement.Format{JSONLines: true}, nil, nil)
	require.NoError(t, err)
	require.Equal(t, [2]int{1, 3}, [2]int{report.Taken, report.Refused})

	for _, bad := range []engagement.Format{{}, {Type: "sms.sent", Columns: map[string]string{"time": "nowhere"}}, {Columns: map[string]string{"colour": "x"}}} {
		_, err := w.keeper.Import(t.Context(), w.id, strings.NewReader("a,b\n1,2\n"), bad, nil, nil)
		require.ErrorIs(t, err, engagement.ErrFormat)
	}
	_, err = w.keeper.Import(t.Context(), w.id, bytes.NewReader(nil), engagement.Format{}, nil, nil)
	require.ErrorIs(t, err, engagement.ErrFormat)
}

// TestAStrayQuoteTakesNoOtherLineWithIt, however many quotes stand in the lines that follow.
func TestAStrayQuoteTakesNoOtherLineWithIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	for name, stray := range map[string]string{
		"between two fields": `2026-11-20T10:00:00Z,"+15550100000","c-1","never closed`, "in a field": `2026-11-20T10:00:00Z,+15550100000,c-1,20" wide`,
		"a field too many, with a line break": "2026-11-20T10:00:00Z,+15550100000,c-1,Sale,\"two",
	} {
		var file strings.Builder
		file.WriteString("time,address,message,title\n")
		const before, after = 3, 3000
		for n := range before + after {
			if n == before {
				fmt.Fprintln(&file, stray)
			}
			fmt.Fprintf(&file, "2026-11-20T10:00:00Z,\"+1555%07d\",\"c-1\",\"Sale, %s\"\n", n, name)
		}
		var reasons []engagement.Reason
		report, err := w.keeper.Import(t.Context(), w.id, strings.NewReader(file.String()), engagement.Format{Type: "sms.sent"}, nil, keep(&reasons))
		require.NoError(t, err)
		require.Equal(t, [2]int{before + after, 1}, [2]int{report.Taken + report.Duplicate, report.Refused}, "%s: %+v", name, report)
		require.Equal(t, before+2, reasons[0].Line, name)
	}
}

// wrongly is a file that is mapped wrongly: every line is bad. It calls stop when it was read to half.
type wrongly struct {
	lines, read int
	stop        func()
}

func (f *wrongly) Read(p []byte) (int, error) {
	if f.read++; f.read == f.lines {
		return 0, io.EOF
	}
	if f.read == f.lines/2 {
		f.stop()
	}
	return copy(p, "{}\n"), nil
}

// TestAnImportOfBadLinesAloneCanBeStopped: nothing of them comes to the ledger, which would notice.
func TestAnImportOfBadLinesAloneCanBeStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	file, refused := &wrongly{lines: 50_000, stop: stop}, 0
	_, err := w.keeper.Import(ctx, w.id, file, engagement.Format{JSONLines: true}, nil, func(engagement.Reason) { refused++ })
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, file.read, file.lines, "it read on to the end")
	require.Positive(t, refused)
}

// TestAnImportCountsItsLastBatch, and tells of each refused line in the order of the file, whoever refuses it.
func TestAnImportCountsItsLastBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	const lines = 2345 // two batches and a part of one
	var file strings.Builder
	var want []int
	for n := range lines {
		phone, at := fmt.Sprintf("+1212%07d", 5_000_000+n), w.clock.now()
		switch {
		case n%5 == 1:
			phone = "nobody"
		case n%5 == 2:
			at = at.Add(-365 * 24 * time.Hour)
		case n%5 == 3:
			file.WriteString("nonsense")
		}
		if n%5 > 0 && n%5 < 4 {
			want = append(want, n+1)
		}
		fmt.Fprintf(&file, `{"type":"sms.sent","time":%q,"address":%q,"message":"m"}`+"\n", at.Format(time.RFC3339), phone)
	}
	var reasons []engagement.Reason
	var last engagement.Report
	report, err := w.keeper.Import(t.Context(), w.id, strings.NewReader(file.String()), engagement.Format{JSONLines: true},
		func(r engagement.Report) { last = r }, keep(&reasons))
	require.NoError(t, err)
	require.Equal(t, engagement.Report{Taken: lines - len(want), Refused: len(want)}, report)
	require.Equal(t, report, last)
	var named []int
	for _, reason := range reasons {
		named = append(named, reason.Line)
	}
	require.Equal(t, want, named)
}

// TestAPushNamesEachOfItsRefusedEvents, in the order of the batch, and has a bound.
func TestAPushNamesEachOfItsRefusedEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	var events []string
	for n := range 300 {
		one := event(fmt.Sprint(n), "sms.sent", "nobody", w.clock.now())
		if n%2 == 1 {
			one = "{}"
		}
		events = append(events, one)
	}
	report, err := w.keeper.Push(t.Context(), w.id, []byte("["+strings.Join(events, ",")+"]"))
	require.NoError(t, err)
	require.Equal(t, 300, report.Refused)
	require.Len(t, report.Reasons, 300)
	for n, reason := range report.Reasons {
		require.Equal(t, n, reason.Index)
	}
	_, err = w.keeper.Push(t.Context(), w.id, []byte("["+strings.Repeat("7,", 10_000)+"7]"))
	require.ErrorIs(t, err, engagement.ErrTooMany)
}

// TestAFileOfCloudEventsIsTheSameAsTheirPush: the sender's source and id name an event, however it comes.
func TestAFileOfCloudEventsIsTheSameAsTheirPush(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	now := w.clock.now()
	one, two := event("1", "sms.clicked", "+15550100001", now), event("2", "sms.clicked", "+15550100002", now)
	_, err := w.keeper.Push(t.Context(), w.id, []byte(one))
	require.NoError(t, err)
	take := func(file string, format engagement.Format) (engagement.Report, []engagement.Reason) {
		t.Helper()
		var reasons []engagement.Reason
		report, err := w.keeper.Import(t.Context(), w.id, strings.NewReader(file), format, nil, keep(&reasons))
		require.NoError(t, err)
		return report, reasons
	}
	jsonLines := engagement.Format{JSONLines: true}
	report, reasons := take("\ufeff"+one+"\n"+two+"\n"+strings.Replace(two, `"1.0"`, `"0.3"`, 1)+"\n", jsonLines)
	require.Equal(t, engagement.Report{Duplicate: 1, Taken: 1, Refused: 1}, report, "%+v", reasons)
	require.Contains(t, reasons[0].Why, "CloudEvents 1.0")
	report, _ = take("source,id,time,address,message,type\nlistrak,2,"+now.Format(time.RFC3339)+",+15550100002,sale,sms.clicked\n", engagement.Format{})
	require.Equal(t, engagement.Report{Duplicate: 1}, report)
	report, _ = take("id,time,address,message,type\n2,"+now.Format(time.RFC3339)+",+15550100002,sale,sms.clicked\n", engagement.Format{})
	require.Equal(t, engagement.Report{Taken: 1}, report, "nothing says that it is the sender's")
	_, err = w.keeper.Import(t.Context(), w.id, strings.NewReader("["+one+","+two+"]"), jsonLines, nil, nil)
	require.ErrorIs(t, err, engagement.ErrFormat)
	require.ErrorContains(t, err, "array")
}

// TestALongTitleIsCut: Shopify might refuse it, and with it every total of the message.
func TestALongTitleIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	long := strings.Repeat("ä", 5000)
	_, err := w.keeper.Push(t.Context(), w.id, []byte(strings.Replace(event("1", "sms.sent", "+15550100001", w.clock.now()), `"Sale"`, `"`+long+`"`, 1)))
	require.NoError(t, err)
	w.pass()
	title := w.shop.Engagements()[0].Activity.Title
	require.Equal(t, 255, utf8.RuneCountInString(title))
	require.True(t, strings.HasSuffix(title, "ä…"), title)
}

func TestDefinitionsAreThereFromTheFirstPassOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	w.pass()
	require.Len(t, w.shop.Definitions(), 10)
	for name, d := range w.shop.Definitions() {
		require.True(t, d.Filterable, name)
	}
	w.clock.advance(time.Minute)
	w.customer("person-0@example.com")
	w.send("Summer", 1)
	w.pass()
	require.Equal(t, 1, w.shop.Requests()["metafieldDefinitionCreate"])
	w.shop.DeleteDefinitions()
	w.clock.advance(25 * time.Hour)
	w.pass()
	require.Len(t, w.shop.Definitions(), 10)
}

func TestACustomerWithANewAddressLosesTheFieldsOfTheFormer(t *testing.T) {
	t.Parallel()
	const former, known, unheard = "person-0@example.com", "person-1@example.com", "nobody@example.com"
	never := map[string]string{field("last_email_sent"): "1970-01-01T00:00:00Z", field("last_email_opened"): "1970-01-01T00:00:00Z",
		field("last_email_clicked"): "1970-01-01T00:00:00Z", field("emails_sent_30_days"): "0", field("emails_opened_30_days"): "0",
		field("emails_clicked_30_days"): "0"}
	for _, back := range []bool{false, true} {
		for _, next := range []string{known, unheard} {
			t.Run(fmt.Sprint(next, " and back ", back), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, options{})
				w.set(map[consent.Sync]bool{consent.EmailEvents: true})
				ann := w.customer(former)
				id, _ := w.send("Spring", 2)
				w.act(id, former, list.Open)
				w.act(id, former, list.Click)
				w.pass()
				before := w.shop.Metafields(ann)
				require.Equal(t, "1", before[field("emails_opened_30_days")])

				w.clock.advance(time.Second)
				w.saw(ann, next)
				w.clock.advance(time.Second)
				w.pass()
				want := never
				if next == known {
					want = maps.Clone(never)
					want[field("last_email_sent")], want[field("emails_sent_30_days")] = before[field("last_email_sent")], "1"
				}
				require.Equal(t, want, w.shop.Metafields(ann))
				if back {
					w.saw(ann, former)
					w.clock.advance(time.Second)
					w.pass()
					require.Equal(t, before, w.shop.Metafields(ann))
				}
			})
		}
	}
}

type picky struct {
	engagement.Store
	whom shopify.CustomerID
	with *failure.Error
}

func (s picky) SetMetafields(ctx context.Context, groups [][]shopify.Metafield) ([]shopify.MetafieldResult, error) {
	results := make([]shopify.MetafieldResult, len(groups))
	for n, group := range groups {
		if slices.ContainsFunc(group, func(m shopify.Metafield) bool { return m.Customer == s.whom }) {
			results[n].Err = s.with
			continue
		}
		one, err := s.Store.SetMetafields(ctx, [][]shopify.Metafield{group})
		if err != nil {
			return nil, err
		}
		results[n] = one[0]
	}
	return results, nil
}

func TestAGroupThatFailsAsAWholeKeepsNobodyElseFromTheirFields(t *testing.T) {
	t.Parallel()
	for _, class := range []failure.Class{failure.Refused, failure.Retry} {
		t.Run(fmt.Sprint(class), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.set(map[consent.Sync]bool{consent.EmailEvents: true})
			const people = 1100 // more than are looked at between two saves
			var customers []ledger.Customer
			var ids []shop.CustomerID
			for n := range people {
				email := fmt.Sprintf("person-%d@example.com", n)
				id, err := w.shop.CreateCustomer(shop.NewCustomer{Email: email})
				require.NoError(t, err)
				ids = append(ids, id)
				customers = append(customers, ledger.Customer{ID: string(id), UpdatedAt: 1, Email: subject(w.id, consent.Email, email)})
			}
			_, err := w.ledger.Save(t.Context(), w.id, ledger.Batch{Customers: customers})
			require.NoError(t, err)
			const bad = 17
			account, err := w.keeper.Connect(t.Context(), w.id)
			require.NoError(t, err)
			account.Shopify = picky{account.Shopify, shopify.CustomerID(ids[bad]), &failure.Error{Class: class, Op: "set metafields", Code: "ODD"}}
			w.keeper.Connect = func(context.Context, string) (engagement.Account, error) { return account, nil }
			w.send("Spring", people)
			for {
				pass, err := w.keeper.Pass(t.Context(), w.id)
				require.Equal(t, class == failure.Retry, err != nil, "%v", err)
				if !pass.More {
					break
				}
			}
			missing := 0
			for n, id := range ids {
				if n != bad && w.shop.Metafields(id)[field("emails_sent_30_days")] != "1" {
					missing++
				}
			}
			require.Zero(t, missing, "of %d customers", people)
		})
	}
}

func TestWhoBelongsToNobodyIsNotAskedForAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	_, emails := w.send("Spring", 5)
	due := func() int {
		people, err := w.ledger.EngagedPeopleDue(t.Context(), w.id, consent.Email, consent.InstantOf(w.clock.now()), 10)
		require.NoError(t, err)
		return len(people)
	}
	w.pass()
	require.Zero(t, due())
	w.clock.advance(2 * time.Hour)
	require.Equal(t, 5, due(), "a customer may have been on the way")
	w.pass()
	w.clock.advance(20 * 24 * time.Hour)
	require.Zero(t, due())
	bob := w.customer(emails[1])
	require.Equal(t, 1, due())
	w.pass()
	require.Equal(t, "1", w.shop.Metafields(bob)[field("emails_sent_30_days")])
}

// TestOnlyWordsOfEventsAreRepeated of what stands where a type should: the column may be that of people.
func TestOnlyWordsOfEventsAreRepeated(t *testing.T) {
	t.Parallel()
	for name, repeated := range map[string]bool{
		"Sent": true, "Link clicked": true, "email_open": true, "message.delivered": true, "SMS-Bounced": true, " Opt-out ": true,
		"Ann": false, "Ann Sent": false, "sent@example.com": false, "ann.sent": false, "+15550100001": false, "sms.sent\nAnn": false, "Sent to Ann": false,
	} {
		_, _, err := engagement.ParseType(name)
		require.Error(t, err, name)
		require.Equal(t, repeated, strings.Contains(err.Error(), strconv.Quote(strings.TrimSpace(name))), "%q: %v", name, err)
	}
	_, _, err := engagement.ParseType(" ")
	require.ErrorContains(t, err, "the type is missing")
}
