package endtoend

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/histories"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/webhook"
	"github.com/concordsync/concord/workflows"
)

// Nothing that people look at, and nothing that Temporal keeps, may hold an address or a phone number, in whatever spelling, also when
// everything goes wrong on the way (I7).
func TestNoAddressInHistoriesLogsOrTheLedger(t *testing.T) {
	t.Parallel()
	s := newStack(t).work().openDoor()
	_, err := s.host.Merchants.Update(t.Context(), s.id, nil, &merchant.Credentials{EventsSecret: eventsSecret})
	must(t, err)
	seed := uint64(time.Now().UnixNano())
	t.Logf("fault seed %d", seed)
	faults := []fault.Rule{
		{Kind: fault.TimeoutBefore, Delay: 2500 * time.Millisecond, Chance: 0.03},
		{Kind: fault.TimeoutAfter, Delay: 2500 * time.Millisecond, Chance: 0.03},
		{Kind: fault.ServerError, Chance: 0.1}, {Kind: fault.HTMLError, Chance: 0.1}, {Kind: fault.ErrorAfter, Chance: 0.05},
		{Kind: fault.Throttled, Chance: 0.05}, {Kind: fault.TooManyRequests, Chance: 0.05},
	}
	s.shop.Faults.Set(seed, faults...)
	s.list.Faults.Set(seed+1, faults...)
	s.code.Faults.Set(seed+2, faults...)
	s.set(workflows.SyncDelta{consent.EmailToShopify: true, consent.EmailToListrak: true, consent.SMSToShopify: true, consent.SMSToListrak: true,
		consent.EmailEvents: true, consent.SMSEvents: true})
	const people = 12
	for i := range people {
		email := fmt.Sprintf("secret-%d@private.example", i)
		if i%2 == 0 {
			must(t, s.list.Subscribe(email, time.Now(), "Website"))
			continue
		}
		id, err := s.shop.CreateCustomer(shop.NewCustomer{Email: email, Consent: shop.Consent{State: shop.Subscribed}})
		must(t, err)
		if i%4 == 1 {
			_, err = s.shop.PlaceOrder(shop.Order{CustomerID: id, Email: email})
			must(t, err)
		}
	}
	const phones = 6
	phone := func(i int) string { return fmt.Sprintf("+1555867%04d", 5300+i) }
	secrets := []string{"private.example", clientSecret, eventsSecret}
	for i := range phones {
		secrets = append(secrets, histories.Spellings(phone(i))...)
		if i%2 == 0 {
			must(t, s.code.Subscribe(s.phoneLists()[0], phone(i), time.Now()))
			continue
		}
		id, err := s.shop.CreateCustomer(shop.NewCustomer{Phone: phone(i), SMSConsent: shop.Consent{State: shop.Subscribed}})
		must(t, err)
		if i%4 == 1 {
			_, err = s.shop.PlaceOrder(shop.Order{CustomerID: id})
			must(t, err)
		}
	}
	message, err := s.list.CreateMessage(list.NewMessage{Subject: "Spring"})
	must(t, err)
	for i := range people {
		email := fmt.Sprintf("secret-%d@private.example", i)
		must(t, s.list.Send(message, time.Time{}, email))
		must(t, s.list.Act(message, email, []list.Act{list.Open, list.Click, list.Bounce, list.Unsubscribe}[i%4], time.Time{}))
	}
	var sent []string
	for i := range phones {
		spelling := histories.Spellings(phone(i))
		sent = append(sent, spelling[i%len(spelling)])
	}
	// What comes in while both sides fail may be refused, and comes again.
	answers := s.pushEvents("first", sent)
	s.awaitRounds(6)
	s.shop.Faults.Set(0)
	s.list.Faults.Set(0)
	s.code.Faults.Set(0)
	for i := range people {
		s.settled(fmt.Sprintf("secret-%d@private.example", i))
	}
	for i := range phones {
		s.shopShowsPhone(phone(i), shop.Subscribed)
		s.listShowsPhone(phone(i), true)
	}
	// Whoever was no customer yet when something was first known of them is asked for again in an hour, or when there is news.
	answers = append(answers, s.pushEvents("second", sent)...)
	must(t, s.list.Act(message, "secret-3@private.example", list.Open, time.Time{}))
	s.shopTold("sms-sale", map[string]int{"sendsCount": phones})
	s.shopTold(fmt.Sprintf("listrak-%d-message-%d", s.list.Config().ID, message), map[string]int{"sendsCount": people, "failsCount": people / 4})
	texted, _ := s.shop.CustomerByPhone(phone(0))
	s.shopField(texted.ID, "sms_sent_30_days", "1")
	opened, _ := s.shop.Customer("secret-3@private.example")
	s.shopField(opened.ID, "emails_opened_30_days", "1")
	standing, err := s.host.Ledger.EngagementStanding(t.Context(), s.id, 0, consent.InstantOf(time.Now()))
	must(t, err)
	answers = append(answers, histories.Place{Name: "how events stand", Text: fmt.Sprintf("%+v", standing)})
	runs, err := s.host.Ledger.RunStatuses(t.Context(), s.id)
	must(t, err)
	answers = append(answers, histories.Place{Name: "how runs went", Text: fmt.Sprintf("%+v", runs)})
	struck := len(s.shop.Faults.Struck()) + len(s.list.Faults.Struck()) + len(s.code.Faults.Struck())
	if struck == 0 {
		t.Error("no fault struck: the run shows nothing")
	}

	for _, where := range append(answers, s.everything()...) {
		if excerpt, ok := where.Holding(secrets...); ok {
			t.Errorf("%s holds an address, a phone number or a secret: %s", where.Name, excerpt)
		}
	}
}

// eventsSecret signs the events that are pushed.
const eventsSecret = "not-a-real-secret-either-but-long"

// pushEvents sends SMS events to the door and imports a file, good ones beside all kinds of bad ones, and returns what is answered. The clicks of
// another name are others.
func (s *stack) pushEvents(name string, phones []string) (answers []histories.Place) {
	s.t.Helper()
	now := time.Now().UTC().Format(time.RFC3339)
	event := func(id, kind, at, address string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":%q,"time":%q,"data":{"address":%q,"message":"sale"}}`, id, kind, at, address)
	}
	var batch []string
	csv := "time,address,message,type,id\n"
	for i, phone := range phones {
		batch = append(batch, event(phone, "sms.sent", now, phone), event(phone+name, "sms.clicked", now, phone),
			event(phone+" late", "sms.sent", "2090-01-01T00:00:00Z", phone), event(phone+" old", "sms.sent", "2001-01-01T00:00:00Z", phone),
			event(phone+" wrong", phone, now, phone), event(phone+" far", "sms.sent", now, phone+" ext. 7"),
			event("x", "sms.sent", now, fmt.Sprintf("secret-%d@private.example", i)), fmt.Sprintf("%q", phone))
		csv += fmt.Sprintf("%s,%q,sale,sms.clicked,%q\n%q,%q,sale,sms.clicked\n%s,secret@private.example,sale,sms.sent,1\n", now, phone, phone+" again", phone, phone, now)
	}
	bodies := []string{"[" + strings.Join(batch, ",") + "]", `{"address":"secret@private.example"`, `"` + phones[0] + `"`}
	for n, body := range bodies {
		for _, secret := range []string{eventsSecret, "somebody else's"} {
			request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.host.Subscriptions.PublicURL+"/engagement/"+s.id, strings.NewReader(body))
			must(s.t, err)
			request.Header.Set(webhook.HeaderSignature, webhook.SignEvents(secret, []byte(body)))
			request.Header.Set("Content-Type", "application/cloudevents-batch+json")
			response, err := http.DefaultClient.Do(request)
			must(s.t, err)
			answer, err := io.ReadAll(response.Body)
			must(s.t, errors.Join(err, response.Body.Close()))
			answers = append(answers, histories.Place{Name: fmt.Sprintf("the answer to body %d, HTTP %d", n, response.StatusCode), Text: string(answer)})
		}
	}
	var refused []engagement.Reason
	report, err := s.host.Events.Import(s.t.Context(), s.id, strings.NewReader(csv), engagement.Format{}, nil,
		func(reason engagement.Reason) { refused = append(refused, reason) })
	return append(answers, histories.Place{Name: "the report of an import", Text: fmt.Sprintf("%+v, %+v, %v", report, refused, err)})
}

// everything reads all that Temporal keeps of the merchant, the log, and the ledger's files.
func (s *stack) everything() []histories.Place {
	s.t.Helper()
	places, err := histories.Of(s.t.Context(), s.temporal, s.id)
	must(s.t, err)
	places = append(places, histories.Place{Name: "the log", Text: s.logs.String()})
	path := strings.TrimPrefix(s.settings.Ledger.Reveal(), "sqlite:")
	for _, suffix := range []string{"", "-wal"} {
		if raw, err := os.ReadFile(path + suffix); err == nil {
			places = append(places, histories.Place{Name: "the ledger's file" + suffix, Text: string(raw)})
		}
	}
	return places
}
