package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

const annsPhone = "+15550001111"

// withSenderCode gives the desk's Listrak account a sender code with phone lists, and the environment its credentials.
func (d *desk) withSenderCode() *list.SenderCode {
	d.t.Helper()
	zone, err := time.LoadLocation(testZone)
	must(d.t, err)
	code := d.sandbox.AddSenderCode(list.SenderCodeConfig{
		ID: 8, Number: "55555", Name: "Acme", ClientID: "sms", Secret: testSecret, Account: "integration", Zone: zone,
		Lists: []list.PhoneList{{ID: 80, Name: "Texts"}, {ID: 81, Name: "Texts with an order"}, {ID: 82, Name: "Adults", DoubleOptIn: true, AgeGate: true},
			{ID: 83, Name: "Old", Inactive: true}},
	})
	d.env[merchant.EnvListrakSMSClientID], d.env[merchant.EnvListrakSMSClientSecret] = "sms", testSecret
	return code
}

// smsArgs set SMS up.
func (d *desk) smsArgs() []string {
	return []string{"--sms-sender-code", "8", "--sms-list", "80", "--sms-checkout-list", "81", "--listrak-sms-url", d.sandbox.ListrakSMSURL()}
}

func TestAMerchantWithoutSMSHearsLittleOfIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().work().add()
	d.run("merchant", "check").is(exitOK).says("SMS is not set up: no credentials of an SMS integration are set", merchant.EnvListrakSMSClientID)
	d.run("sync", "status").is(exitOK).says("SMS is not set up: starter merchant set --help").hides("sms_to_")
	d.run("sync", "enable", "sms_to_shopify", "--yes").is(exitRefused).tells("NO_SMS", "starter merchant set")
	d.run("status").is(exitOK).hides("SMS", "phone")
	d.run("merchant", "show").is(exitOK).hides("SMS")
	d.run("refused").is(exitOK).hides("CHANNEL", "phone")
	d.run("explain", annsPhone).is(exitOK).says("SMS is not set up").hides(annsPhone)
	d.run("explain", "555").is(exitUsage).tells("malformed phone number", "country code")
}

func TestSMSIsAddedToAMerchant(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	code := d.withSenderCode()
	d.run("merchant", "set", "--credentials").is(exitOK)
	d.run("merchant", "check").is(exitOK).says("SMS is not set up: no sender code and phone list are set", "--sms-sender-code")
	d.run("merchant", "set", "--listrak-sms-url", d.sandbox.ListrakSMSURL()).is(exitOK)
	d.run("merchant", "lists", d.id).is(exitOK).says("Newsletter", "SENDER CODE", "8            55555   80          Texts", "double opt-in, age gate", "inactive", "not the number")
	d.run("merchant", "set", "--sms-list", "80").is(exitUsage).tells("--sms-sender-code is required with --sms-list")
	d.run(append([]string{"merchant", "set"}, d.smsArgs()...)...).is(exitOK).hides("forgotten")
	d.run("merchant", "check").is(exitOK).says(`Sender code 8 is 55555 of "Acme"`, `Phone list 80 is "Texts"`, `Phone list 81, for consents with an order, is "Texts with an order"`)
	d.run("merchant", "show").is(exitOK).says("Sender code", "Checkout list", "Waits for an order", "list 80 alone", "US, of numbers", "plus",
		"Listrak SMS client id and secret")

	d.run("merchant", "set", "--sms-window=off", "--sms-unsubscribe=code", "--sms-phone-spelling=national", "--country", "de").is(exitOK)
	d.run("merchant", "show").is(exitOK).says("DE, of numbers", "national", "the whole sender code")
	d.run("merchant", "set", "--sms-window=on", "--sms-unsubscribe=list", "--sms-phone-spelling=plus", "--country", "US").is(exitOK)
	d.run("merchant", "show").is(exitOK).says("list 80 alone")
	d.run("merchant", "set", "--sms-window=perhaps").is(exitUsage).tells("must be on or off")
	d.run("merchant", "set", "--sms-unsubscribe=none").is(exitUsage).tells("must be list or code")
	d.run("merchant", "set", "--country", "Atlantis").is(exitUsage).tells("--country must be")

	for list, says := range map[string]string{"83": "is \"Old\" and inactive", "99": "does not exist on sender code 8"} {
		d.run("merchant", "set", "--sms-checkout-list", list).is(exitOK)
		d.run("merchant", "check").is(exitFailed).says("✗  Phone list "+list, says)
	}
	d.run("merchant", "set", "--sms-checkout-list", "0").is(exitOK)
	d.run("merchant", "check").is(exitOK).says("No checkout list of SMS is set")
	must(t, code.Configure(func(c *list.SenderCodeConfig) { c.IPRefused = true }))
	d.run("merchant", "check").is(exitFailed).says("✗  ")
}

func TestSenderCodesArePrintedBeforeAdd(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.withSenderCode()
	delete(d.env, merchant.EnvListrakClientID)
	delete(d.env, merchant.EnvListrakClientSecret)
	at := []string{"--listrak-sms-url", d.sandbox.ListrakSMSURL(), "--listrak-auth-url", d.sandbox.ListrakAuthURL()}
	r := d.run(append([]string{"merchant", "lists", "-o", "json"}, at...)...).is(exitOK)
	var v listsView
	r.json(&v)
	if len(v.Lists) != 0 || len(v.SenderCodes) != 1 || len(v.SenderCodes[0].Lists) != 4 || v.SenderCodes[0].ID != 8 {
		t.Errorf("got %+v", v)
	}
	d.run(append([]string{"merchant", "lists"}, at...)...).is(exitOK).says("55555").hides("no list")
	d.run("merchant", "events", "--list", "1").is(exitUsage).tells("no credentials of Listrak")
}

func TestSMSIsSyncedBesideEmail(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().work()
	code := d.withSenderCode()
	d.run(d.addArgs(d.smsArgs()...)...).is(exitOK).says("sync enable sms_to_shopify")
	before := time.Now().Add(-20 * time.Hour)
	must(t, code.Subscribe(80, annsPhone, before))
	must(t, code.Subscribe(80, "+15550002222", before.Add(-time.Hour)))
	_, err := d.shop.CreateCustomer(shop.NewCustomer{Phone: "+15550002222", SMSConsent: shop.Consent{State: shop.Unsubscribed}, At: before})
	must(t, err)

	d.run("sync", "status").is(exitOK).says("sms_to_shopify", "sms_to_listrak").hides("not set up")
	d.run("sync", "enable", "sms_to_shopify").is(exitRefused).tells("Reading SMS consents on both sides", "2 people are known", "sms_to_shopify would",
		"create       1", "--yes")
	d.run("sync", "enable", "sms_to_shopify", "--yes").is(exitOK).says("Syncs on: sms_to_shopify.")
	d.until("ann in Shopify", func() bool {
		customer, _ := d.shop.CustomerByPhone(annsPhone)
		return customer.SMSConsent.State == shop.Subscribed
	})
	d.run("sync", "enable", "sms_to_listrak").is(exitUsage).tells("1 person is unsubscribed from SMS in Shopify", "--existing-opt-outs=deliver")
	d.run("sync", "enable", "sms_to_listrak", "--existing-opt-outs=deliver").is(exitOK)
	d.until("the opt-out's delivery", func() bool {
		phone, _ := code.Phone("+15550002222")
		return !phone.Consents(80)
	})
	d.run("status").is(exitOK).says("0 by email, 2 by SMS", "SMS list compared", "email to Shopify", "SMS to Shopify", "SMS to Listrak")
	var v struct {
		Merchants []struct {
			SMS *smsStatus `json:"sms"`
		} `json:"merchants"`
	}
	if err := json.Unmarshal([]byte(d.run("status", "-o", "json").is(exitOK).out), &v); err != nil || v.Merchants[0].SMS == nil || v.Merchants[0].SMS.People != 2 {
		t.Errorf("got %+v, %v", v, err)
	}
	for _, spelling := range []string{annsPhone, "5550001111", "(555) 000-1111", "555.000.1111"} {
		d.run("explain", spelling).is(exitOK).says("on SMS", "Listrak    Shows subscribed").hides("1111")
	}
	d.typing("+1 555-000-1111\n").run("retry", "-").is(exitOK).says("nothing to try again")

	// A reply of STOP is explained, and switching SMS off leaves email alone.
	must(t, code.Stop(annsPhone, time.Now()))
	d.until("the STOP in Shopify", func() bool {
		customer, _ := d.shop.CustomerByPhone(annsPhone)
		return customer.SMSConsent.State == shop.Unsubscribed
	})
	d.run("explain", annsPhone).is(exitOK).says("by keyword or through the carrier").hides(annsPhone)
	d.run("merchant", "set", "--sms-list", "0", "--sms-sender-code", "0", "--sms-checkout-list", "0").is(exitRefused).
		tells("is synced", "starter sync disable sms_to_listrak sms_to_shopify")

	// Another list forgets what SMS had shown, and only that.
	must(t, d.list.Subscribe("ann@example.com", before, ""))
	d.run("sync", "enable", "email_to_shopify", "--yes").is(exitOK)
	d.run("merchant", "set", "--sms-list", "82").is(exitOK).says("What Listrak had shown of SMS is forgotten", "phone list 82").hides("list " + fmt.Sprint(d.listID))
	d.run("explain", "ann@example.com").is(exitOK).says("Listrak    Shows subscribed")
	d.run("explain", annsPhone).is(exitOK).says("Unsubscribed, decided in Listrak")

	d.run("sync", "disable", "sms_to_shopify", "sms_to_listrak").is(exitOK).
		says("sms_to_shopify, sms_to_listrak write nothing any more. Syncs on: email_to_shopify.")
	d.run("merchant", "set", "--sms-list", "0", "--sms-sender-code", "0", "--sms-checkout-list", "0").is(exitOK).says("of SMS is forgotten")
	d.run("status").is(exitOK).says("2 by SMS")
}

func TestAPersonIsForgottenByTheirPhone(t *testing.T) {
	t.Parallel()
	d := newDesk(t).withTemporal().withPrivacy().work()
	code := d.withSenderCode()
	d.run(d.addArgs(d.smsArgs()...)...).is(exitOK)
	must(t, code.Subscribe(80, annsPhone, time.Now().Add(-time.Hour)))
	d.typing("(555) 000-1111\n").run("redact", "-", "--yes").is(exitOK).says("Listrak has forgotten the person").hides("0001111", "000-1111")
	if _, there := code.Phone(annsPhone); there {
		t.Error("Listrak still has the number")
	}
	d.typing(annsPhone+"\n").run("explain", "-").is(exitOK).says("asked to be forgotten")
	d.typing(annsPhone+"\n").run("export", "-").is(exitOK).says("Written to").hides(annsPhone)
}

func TestPhonesThatCannotBeReadAreListed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.withSenderCode()
	d.run(d.addArgs(d.smsArgs()...)...).is(exitOK)
	h := d.book()
	note := func(side consent.Side, customer, text string) ledger.Unreadable {
		phone := consent.SubjectOf(h.Keys.SubjectKey(), d.id, consent.SMS, text)
		sealed, err := h.Keys.Seal([]byte(text), reconcile.UnreadableContext(phone))
		must(t, err)
		return ledger.Unreadable{Side: side, Ref: customer, Phone: phone, Sealed: sealed}
	}
	_, err := h.Ledger.Save(t.Context(), d.id, ledger.Batch{Unreadable: []ledger.Unreadable{
		note(consent.Shopify, "gid://shopify/Customer/7", "ask my mother"), note(consent.Listrak, "", "12"),
	}})
	must(t, err)
	d.run("refused").is(exitOK).says("Nobody's decision is refused", "gid://shopify/Customer/7", "Listrak", "--show-addresses").hides("mother")
	d.run("refused", "--show-addresses").is(exitOK).says("ask my mother", "12")
	d.run("status").is(exitOK).says("2 phone numbers cannot be read", "starter refused "+d.id)

	// Refused on both channels: the table says on which, and what a person can do.
	rec := consent.Record{Decision: consent.Decision{State: consent.Subscribed, At: 1, Side: consent.Listrak}}
	rec.Seen[consent.Shopify].State = consent.NeverAsked
	rec.Sent[consent.Shopify][0] = consent.Delivery{State: consent.Subscribed, Decision: 1, Started: 1, Ended: 2, Outcome: consent.RefusedForGood, Code: "NO_PHONE"}
	for _, channel := range consent.Channels {
		subject := consent.SubjectOf(h.Keys.SubjectKey(), d.id, channel, annsPhone)
		_, err := h.Ledger.Save(t.Context(), d.id, ledger.Batch{Changes: []ledger.Change{{Channel: channel, Subject: subject, Record: rec, Debts: rec.Debts()}}})
		must(t, err)
	}
	r := d.run("refused").is(exitOK).says("CHANNEL", "NO_PHONE: the customer in Shopify has no phone number")
	if strings.Count(r.out, " email ") != 1 || strings.Count(r.out, " sms ") != 1 {
		t.Errorf("the channels are not told apart:\n%s", r.out)
	}
	d.run("retry", annsPhone, "--yes").is(exitOK).says("refused", "owed").hides("CHANNEL")
	d.run("retry", "--all", "--yes").is(exitOK).says("CHANNEL", "email")
	d.run("retry", "--all", "--yes").is(exitOK).says("nothing to try again")
}

// One approval lets people of both channels go on; those who wait for an SMS sync that is off are told apart.
func TestPeopleOfSMSAreApprovedToo(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.withSenderCode()
	d.run(d.addArgs(append(d.smsArgs(), "--resubscribe-limit", "1")...)...).is(exitOK)
	d.avalanche(1, 0, 1, 0)
	h := d.book()
	for i, side := range consent.Sides {
		change := ledger.Change{Channel: consent.SMS, Subject: consent.Subject{0xee, byte(i)}, Journal: []ledger.Line{
			{Side: side, Kind: ledger.Stopped, State: consent.Subscribed},
		}}
		change.Record.Decision = consent.Decision{State: consent.Subscribed, At: consent.InstantOf(time.Now()), Side: side.Other()}
		change.Record.Seen[side] = consent.Sighting{State: consent.Unsubscribed}
		change.Record.Seen[side.Other()] = consent.Sighting{State: consent.Subscribed}
		change.Debts[side] = consent.Stopped
		_, err := h.Ledger.Save(t.Context(), d.id, ledger.Batch{Changes: []ledger.Change{change}})
		must(t, err)
	}
	_, err := h.Ledger.SetSyncs(t.Context(), d.id, ledger.SyncChange{On: map[consent.Sync]bool{consent.SMSToShopify: true}})
	must(t, err)
	d.run("status").is(exitOK).says("3 people would be resubscribed and wait at the limit: 2 in Shopify, 1 in Listrak.")
	d.run("refused").is(exitOK).says("CHANNEL", "email", "sms")
	var s statusView
	d.run("status", "-o", "json").is(exitOK).json(&s)
	if one := s.Merchants[0]; one.ToShopify.Stopped != 1 || one.SMS.ToShopify.Stopped != 1 || one.SMS.ToListrak.Stopped != 1 {
		t.Errorf("got %+v and %+v", one, one.SMS)
	}
	d.run("approve", "--yes").is(exitOK).says("2 people of merchant", "sms_to_listrak is off: 1 person waits")
	d.run("status", "-o", "json").is(exitOK).json(&s)
	if one := s.Merchants[0]; one.ToShopify.OwedSubscribes != 1 || one.SMS.ToShopify.OwedSubscribes != 1 || one.SMS.ToListrak.Stopped != 1 {
		t.Errorf("got %+v and %+v", one, one.SMS)
	}
}
