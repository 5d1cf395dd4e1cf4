package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// optsOut acts as whoever opts a phone out of the sender code.
func (w *world) optsOut(email string, at time.Time, reason list.OptOutReason) {
	w.t.Helper()
	w.must(w.code.OptOut(w.address(email), at, reason))
}

// onList is what a phone list shows of somebody.
func (w *world) onList(email string, id int) list.State {
	phone, _ := w.code.Phone(w.address(email))
	return phone.Lists[id].State
}

// on switches the world's acts and looks to a channel.
func (w *world) on(channel consent.Channel) *world {
	w.channel = channel
	return w
}

// Rule 9: who or what has opted somebody out of the sender code.
func TestOptOutsOfTheSenderCode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason list.OptOutReason
		want   shop.State
	}{
		{list.OptOutCampaign, shop.Unsubscribed},
		{list.OptOutWorkflow, shop.Unsubscribed},
		{list.OptOutDeactivated, shop.Unsubscribed}, // the number may be someone else's tomorrow
		{list.OptOutAdmin, shop.Unsubscribed},
		{list.OptOutImport, shop.Unsubscribed},
		{list.OptOutAPI, shop.Unsubscribed},
		{list.OptOutDeliveryFailure, shop.Subscribed},
		{list.OptOutPermanentError, shop.Subscribed},
	} {
		for name, code := range map[string]list.SenderCodeConfig{
			"as observed": {}, "the lists are left too": {OptOutLeavesLists: true}, "no date beside the contact": {HidesOptOutDate: true},
		} {
			t.Run(string(c.reason)+"/"+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, plan{sms: true, code: code}).enable()
				w.customer(person, shop.Subscribed, w.clock.Now())
				w.agree()
				w.shows(person, shop.Subscribed, list.Subscribed)
				w.optsOut(person, w.clock.Now(), c.reason)
				w.agree()
				w.shows(person, c.want, list.Unsubscribed)
				if got := w.entry(person).Record.Decision; c.want == shop.Unsubscribed && w.clock.Now().Sub(got.At.Time()) > 5*time.Minute {
					t.Errorf("the decision is of %s\n%s", got.At.Time(), w.history(person))
				}
				debt := w.debt(person, consent.Listrak)
				if want := map[shop.State]consent.Debt{shop.Subscribed: consent.Refused, shop.Unsubscribed: consent.Settled}[c.want]; debt != want {
					t.Errorf("Listrak's debt is %s, want %s\n%s", debt, want, w.history(person))
				}
			})
		}
	}
}

// A look-up tells that somebody is opted out and not why: a number that failed must not pass for a person's no only because the look-up
// before a write came before the poll.
func TestALookUpFindsOutWhySomebodyIsOptedOut(t *testing.T) {
	t.Parallel()
	for _, hidden := range []bool{false, true} {
		t.Run(fmt.Sprintf("date hidden %t", hidden), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{sms: true, code: list.SenderCodeConfig{HidesOptOutDate: hidden}}).enable()
			w.must(w.code.Subscribe(smsCheckout, w.address(person), w.clock.Now()))
			w.optsOut(person, w.clock.Now(), list.OptOutPermanentError)
			s := w.session().of(consent.SMS)
			entry, _, err := s.lookUpInListrak(t.Context(), w.subject(person), w.address(person))
			w.must(err)
			if seen := entry.Record.Seen[consent.Listrak]; seen.State != consent.Unsubscribed || !seen.Machine {
				t.Errorf("seen as %+v\n%s", seen, w.history(person))
			}
		})
	}
}

func TestAnOlderYesAfterAKeywordIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true}).enable()
	w.subscribes(person, w.clock.Now())
	w.agree()
	w.optsOut(person, w.clock.Now(), list.OptOutCampaign)
	w.agree()
	w.must(w.shop.SetSMSConsent(must(w.shop.CustomerByPhone(w.address(person))).ID, shop.Subscribed, w.clock.Now().Add(-time.Hour)))
	w.agree()
	w.shows(person, shop.Unsubscribed, list.Unsubscribed)
}

func must(c shop.Customer, _ bool) shop.Customer { return c }

// The API cannot opt anybody in again. What Listrak does with the attempt is not published.
func TestANewerYesAfterAnOptOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answer list.OptedOutAnswer
		want   list.State
		debt   consent.Debt
	}{
		{list.RefusesBanned, list.Unsubscribed, consent.Refused},
		{list.RefusesSuspended, list.Unsubscribed, consent.Refused},
		{list.StaysOut, list.Unsubscribed, consent.Disputed},
		{list.OptsIn, list.Subscribed, consent.Settled},
	} {
		t.Run(string(c.answer), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{sms: true, code: list.SenderCodeConfig{OptedOut: c.answer}}).enable()
			w.customer(person, shop.Subscribed, w.clock.Now())
			w.agree()
			w.optsOut(person, w.clock.Now(), list.OptOutCampaign)
			w.agree()
			w.clock.advance(time.Hour)
			w.consents(person, shop.Subscribed, w.clock.Now())
			w.agree()
			w.shows(person, shop.Subscribed, c.want)
			if debt := w.debt(person, consent.Listrak); debt != c.debt {
				t.Errorf("Listrak's debt is %s, want %s\n%s", debt, c.debt, w.history(person))
			}
		})
	}
}

func TestSTOPAndSTART(t *testing.T) {
	t.Parallel()
	for _, keeps := range []bool{false, true} {
		t.Run(fmt.Sprintf("START keeps dates %t", keeps), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{sms: true, code: list.SenderCodeConfig{StartKeepsDates: keeps, OptOutLeavesLists: true},
				timing: func(t *Timing) { t.Comparison = time.Second }}).enable()
			w.subscribes(person, w.clock.Now())
			w.agree()
			w.must(w.code.Stop(w.address(person), w.clock.Now()))
			w.agree()
			w.shows(person, shop.Unsubscribed, list.Unsubscribed)
			w.clock.advance(time.Hour)
			w.must(w.code.Start(w.address(person), w.clock.Now()))
			w.agree()
			want := shop.Subscribed
			if keeps {
				// A yes with the date of before the no takes nothing back: nobody can tell it from an import.
				want = shop.Unsubscribed
			}
			w.shows(person, want, map[bool]list.State{false: list.Subscribed, true: list.Unsubscribed}[keeps])
		})
	}
}

func TestPendingIsNoConsent(t *testing.T) {
	t.Parallel()
	for name, gated := range map[string]list.PhoneList{"double opt-in": {ID: smsList, DoubleOptIn: true}, "age gate": {ID: smsList, AgeGate: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{sms: true}).enable()
			w.must(w.code.Configure(func(c *list.SenderCodeConfig) { c.Lists[0] = gated }))
			w.customer(person, shop.Subscribed, w.clock.Now())
			w.customer("quiet@example.com", "", time.Time{})
			w.subscribes("quiet@example.com", w.clock.Now())
			w.agree()
			w.shows(person, shop.Subscribed, list.Pending)
			w.shows("quiet@example.com", shop.NotSubscribed, list.Pending)
			if debt := w.debt(person, consent.Listrak); debt != consent.Awaiting {
				t.Errorf("Listrak's debt is %s\n%s", debt, w.history(person))
			}
			for _, one := range []string{person, "quiet@example.com"} {
				w.must(w.code.Confirm(smsList, w.address(one)))
			}
			w.agree()
			w.shows(person, shop.Subscribed, list.Subscribed)
			w.shows("quiet@example.com", shop.Subscribed, list.Subscribed)
			if _, writes := w.effective(person); writes != 1 {
				t.Errorf("%d effective writes\n%s", writes, w.history(person))
			}
		})
	}
}

func TestTheCheckoutPointIsASecondList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true, settings: func(s *merchant.Settings) { s.SMS.CheckoutList = smsCheckout }}).enable()
	with := w.customer(person, shop.Subscribed, w.clock.Now())
	w.customer("without@example.com", shop.Subscribed, w.clock.Now())
	w.clock.advance(time.Minute)
	w.order(shop.Order{CustomerID: with})
	w.agree()
	for _, one := range []string{person, "without@example.com"} {
		w.shows(one, shop.Subscribed, list.Subscribed)
	}
	if a, b := w.onList(person, smsCheckout), w.onList("without@example.com", smsCheckout); a != list.Subscribed || b != nobody {
		t.Errorf("on the checkout list the one with an order is %q and the one without %q", a, b)
	}
	for _, line := range []struct {
		who  string
		want consent.Point
	}{{person, consent.Checkout}, {"without@example.com", consent.Marketing}} {
		if got := w.entry(line.who).Record.Sent[consent.Listrak][0].Point; got != line.want {
			t.Errorf("delivered through %s, want %s\n%s", got, line.want, w.history(line.who))
		}
	}
	w.consents(person, shop.Unsubscribed, w.clock.Now())
	w.agree()
	if a, b := w.onList(person, smsCheckout), w.onList(person, smsList); a != list.Unsubscribed || b != list.Unsubscribed {
		t.Errorf("after the unsubscribe the lists show %q and %q", a, b)
	}
}

func TestSettingsOfSMS(t *testing.T) {
	t.Parallel()
	t.Run("no window", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plan{sms: true, settings: func(s *merchant.Settings) { s.SMS.NoWindow = true }}).enable()
		w.customer(person, shop.Subscribed, w.clock.Now())
		w.round()
		w.shows(person, shop.Subscribed, list.Subscribed)
	})
	t.Run("an unsubscribe opts out of the sender code", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plan{sms: true, settings: func(s *merchant.Settings) { s.SMS.OptOut = true }}).enable()
		w.subscribes(person, w.clock.Now())
		w.agree()
		w.consents(person, shop.Unsubscribed, w.clock.Now())
		w.agree()
		if phone, _ := w.code.Phone(w.address(person)); !phone.OptedOut || phone.Reason != list.OptOutAPI {
			t.Errorf("Listrak shows %+v\n%s", phone, w.history(person))
		}
		w.shows(person, shop.Unsubscribed, list.Unsubscribed)
	})
	t.Run("the country of numbers without one", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plan{sms: true, code: list.SenderCodeConfig{Spelling: list.NationalDigits}, settings: func(s *merchant.Settings) { s.SMS.Country = "DE" }}).enable()
		w.subscribes(person, w.clock.Now())
		w.round()
		// Ten digits of America are another number, or none, in Germany: nobody is taken for somebody else.
		w.shows(person, nobody, list.Subscribed)
	})
}

// A channel says nothing about the other.
func TestTheChannelsLeaveEachOtherAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true})
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true, consent.EmailToListrak: true, consent.SMSToShopify: true, consent.SMSToListrak: true})
	w.round()
	at := w.clock.Now()
	id, err := w.shop.CreateCustomer(shop.NewCustomer{
		Email: person, Phone: w.address(person), Consent: shop.Consent{State: shop.Subscribed, UpdatedAt: at}, SMSConsent: shop.Consent{State: shop.Subscribed, UpdatedAt: at},
	})
	w.must(err)
	// Both boxes of one second are held by windows of their own, and one order settles both.
	if windows := w.round().Windows; len(windows) != 2 || windows[0].Channel == windows[1].Channel {
		t.Fatalf("windows %+v, want one for each channel", windows)
	}
	w.order(shop.Order{CustomerID: id, Email: person})
	both := func() {
		w.t.Helper()
		w.on(consent.Email).agree()
		w.on(consent.SMS).agree()
	}
	both()
	w.on(consent.Email).subscribedThrough(person, checkoutEvent)
	w.on(consent.SMS).shows(person, shop.Subscribed, list.Subscribed)
	if point := w.entry(person).Record.Sent[consent.Listrak][0].Point; point != consent.Checkout {
		t.Errorf("SMS went through %s\n%s", point, w.history(person))
	}

	w.set(map[consent.Sync]bool{consent.SMSToShopify: false, consent.SMSToListrak: false})
	w.on(consent.Email).consents(person, shop.Unsubscribed, w.clock.Now())
	w.on(consent.SMS).consents(person, shop.Unsubscribed, w.clock.Now())
	requests := len(w.code.Writes())
	both()
	w.on(consent.Email).shows(person, shop.Unsubscribed, list.Unsubscribed)
	w.on(consent.SMS).shows(person, shop.Unsubscribed, list.Subscribed)
	if n := len(w.code.Writes()); n != requests {
		t.Errorf("%d writes by SMS while it was off", n-requests)
	}

	w.set(map[consent.Sync]bool{consent.SMSToShopify: true, consent.SMSToListrak: true, consent.EmailToShopify: false, consent.EmailToListrak: false})
	w.on(consent.Email).subscribes(person, w.clock.Now())
	both()
	w.on(consent.SMS).shows(person, shop.Unsubscribed, list.Unsubscribed)
	w.on(consent.Email).shows(person, shop.Unsubscribed, list.Subscribed)
}

// Two people of Shopify have had one phone number: it is one subject, whoever holds it.
func TestAPhoneSharedByTwoEmails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true})
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true, consent.EmailToListrak: true, consent.SMSToShopify: true, consent.SMSToListrak: true})
	w.round()
	phone := w.address(person)
	one, err := w.shop.CreateCustomer(shop.NewCustomer{Email: person, Phone: phone, SMSConsent: shop.Consent{State: shop.Subscribed, UpdatedAt: w.clock.Now()}})
	w.must(err)
	other, err := w.shop.CreateCustomer(shop.NewCustomer{Email: "other@example.com", SMSConsent: shop.Consent{}})
	w.must(err)
	w.agree()
	w.shows(person, shop.Subscribed, list.Subscribed)
	w.must(w.shop.ChangePhone(one, ""))
	w.must(w.shop.ChangePhone(other, phone))
	w.agree()
	// The number keeps its decision: the new holder was never asked, which is no no.
	w.shows(person, shop.Subscribed, list.Subscribed)
	w.consents(person, shop.Unsubscribed, w.clock.Now())
	w.agree()
	w.shows(person, shop.Unsubscribed, list.Unsubscribed)
	if customer, _ := w.shop.CustomerByPhone(phone); customer.ID != other {
		t.Errorf("the number is at %s", customer.ID)
	}
	for _, id := range []shop.CustomerID{one, other} {
		if customer, _ := w.shop.CustomerByID(id); customer.Consent.State != shop.NotSubscribed {
			t.Errorf("the consent to email of %s is %s", id, customer.Consent.State)
		}
	}
}

// takenPhones answers that a phone is taken, and finds nobody who has it.
type takenPhones struct{ Shopify }

func (t takenPhones) CreateCustomers(_ context.Context, customers []shopify.NewCustomer) ([]shopify.WriteResult, error) {
	results := make([]shopify.WriteResult, len(customers))
	for i := range results {
		results[i].Err = &failure.Error{Class: failure.Refused, Op: "create customers", Code: shopify.CodeTaken}
	}
	return results, nil
}

func TestAPhoneThatIsTakenAndCannotBeFoundIsAPersonsWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true})
	w.engine.Connect = (&connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) { return takenPhones{a}, b }}).open
	w.enable()
	w.subscribes(person, w.clock.Now())
	w.agree()
	entry := w.entry(person)
	if debt, last := entry.Record.DebtTo(consent.Shopify), entry.Record.Sent[consent.Shopify][0]; debt != consent.Refused || last.Code != shopify.CodeTaken {
		t.Errorf("the debt is %s after %+v\n%s", debt, last, w.history(person))
	}
}

// vanishing takes the phone away between the look-up and the write.
type vanishing struct {
	Shopify
	w *world
}

func (v vanishing) UpdateSMSConsents(ctx context.Context, writes []shopify.ConsentWrite) ([]shopify.WriteResult, error) {
	for _, write := range writes {
		v.w.must(v.w.shop.ChangePhone(shop.CustomerID(write.Customer), ""))
	}
	return v.Shopify.UpdateSMSConsents(ctx, writes)
}

func TestAConsentOfACustomerWithoutThatPhoneIsAPersonsWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true})
	w.engine.Connect = (&connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) { return vanishing{a, w}, b }}).open
	w.enable()
	w.customer(person, "", time.Time{})
	w.subscribes(person, w.clock.Now())
	w.agree()
	found, err := w.ledger.Unsettled(t.Context(), storeID, consent.SMS, consent.Shopify, consent.Refused, 10)
	w.must(err)
	if len(found) != 1 || found[0].Code != shopify.CodeNoPhone || len(found[0].SealedAddress) == 0 {
		t.Errorf("listed for a person are %+v\n%s", found, w.history(person))
	}
}

// Whoever has left the list alone, and whoever vanished from it, is found by the comparison, a little in every round.
func TestTheComparisonGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	const people = 90
	for _, only := range []bool{false, true} {
		t.Run(fmt.Sprintf("only subscribers are listed %t", only), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{sms: true, code: list.SenderCodeConfig{OnlySubscribed: only}}).enable()
			who := func(i int) string { return fmt.Sprintf("%d@example.com", i) }
			for i := range people {
				w.subscribes(who(i), w.clock.Now())
			}
			w.agree()
			gone := []int{0, 41, 89}
			for _, i := range gone {
				w.unsubscribes(who(i), w.clock.Now())
			}
			w.agree()
			w.shows(who(41), shop.Subscribed, list.Unsubscribed) // not yet
			// From now on a round ends after its first step of looking up, so that the comparison needs many.
			w.engine.Intercept = func(r Records) Records { return slowLedger{r, w.clock, w.timing.Interval} }
			w.clock.advance(w.timing.Comparison)
			w.patience = 12
			w.agree()
			for i := range people {
				want := shop.Subscribed
				if slices.Contains(gone, i) {
					want = shop.Unsubscribed
				}
				if customer, _ := w.shop.CustomerByPhone(w.address(who(i))); customer.SMSConsent.State != want {
					t.Errorf("%d is %s\n%s", i, customer.SMSConsent.State, w.history(who(i)))
				}
			}
			if at, want := w.entry(who(41)).Record.Decision.At.Time(), w.clock.Now().Add(-w.timing.Comparison); at.After(want) {
				t.Errorf("the unsubscribe is dated %s, as it was found, and not as Listrak dates it", at)
			}
		})
	}
}

// slowLedger takes half a round's time for marking.
type slowLedger struct {
	Records
	clock    *clock
	interval time.Duration
}

func (l slowLedger) MarkListed(ctx context.Context, id string, channel consent.Channel, subjects []consent.Subject, at consent.Instant) error {
	l.clock.advance(l.interval)
	return l.Records.MarkListed(ctx, id, channel, subjects, at)
}

func TestPhonesThatCannotBeReadAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true, code: list.SenderCodeConfig{Spelling: list.OnlyDigits}}).enable()
	w.engine.Connect = (&connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) { return garbled{a}, b }}).open
	id := w.customer(person, shop.Subscribed, w.clock.Now())
	w.must(w.code.Subscribe(smsList, "+99912345678", w.clock.Now())) // no country has that code
	w.round()
	w.round()
	found := func() map[consent.Side]string {
		listed, err := w.ledger.UnreadablePhones(t.Context(), storeID, 10)
		w.must(err)
		texts := map[consent.Side]string{}
		for _, u := range listed {
			text, err := w.ring.Open(u.Sealed, UnreadableContext(u.Phone))
			w.must(err)
			texts[u.Side] = u.Ref + " " + string(text)
		}
		return texts
	}
	if got := found(); got[consent.Shopify] != string(id)+" call me" || got[consent.Listrak] != " 99912345678" {
		t.Errorf("listed are %q", got)
	}
	w.shows(person, shop.Subscribed, nobody)

	// A person mends it in Shopify.
	w.engine.Connect = (&connections{world: w}).open
	w.must(w.shop.SetSMSConsent(id, shop.Unsubscribed, w.clock.Now()))
	w.round()
	if got := found(); got[consent.Shopify] != "" || got[consent.Listrak] == "" {
		t.Errorf("listed are %q after the customer was mended", got)
	}
}

// garbled spells phones as no country does.
type garbled struct{ Shopify }

func (g garbled) CustomersByID(ctx context.Context, ids []shopify.CustomerID) ([]shopify.Customer, error) {
	customers, err := g.Shopify.CustomersByID(ctx, ids)
	for i := range customers {
		if customers[i].Phone != "" {
			customers[i].Phone = "call me"
		}
	}
	return customers, err
}

func TestSMSHasToBeSetUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	err := w.engine.CheckSyncs(t.Context(), storeID, map[consent.Sync]bool{consent.SMSToShopify: true})
	if f := failure.As(err); f == nil || f.Class != failure.PersonMustAct || !strings.Contains(f.Error(), "starter merchant set") {
		t.Errorf("switching SMS on gives %v", err)
	}
	w.must(w.engine.CheckSyncs(t.Context(), storeID, map[consent.Sync]bool{consent.SMSToShopify: false, consent.EmailToShopify: true}))
	// A sync that is on although the access was taken away stops the merchant, and says why.
	w.set(map[consent.Sync]bool{consent.SMSToListrak: true})
	if _, err := w.engine.Round(t.Context(), storeID); failure.ClassOf(err) != failure.PersonMustAct {
		t.Errorf("the round ends with %v", err)
	}
	switches, err := w.ledger.Switches(t.Context(), storeID)
	w.must(err)
	if switches.State != ledger.Broken {
		t.Errorf("the merchant is %s", switches.State)
	}
}

// What only a person can mend of SMS stops SMS: email goes on, by rounds and by webhooks. Without email it stops the merchant.
func TestAnAccessToSMSThatFailsLeavesEmailAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true, timing: restless})
	emails := map[consent.Sync]bool{consent.EmailToShopify: true, consent.EmailToListrak: true}
	w.set(emails)
	w.set(map[consent.Sync]bool{consent.SMSToShopify: true, consent.SMSToListrak: true})
	w.round()
	at := w.clock.Now()
	yes := shop.Consent{State: shop.Subscribed, UpdatedAt: at}
	id, err := w.shop.CreateCustomer(shop.NewCustomer{Email: person, Phone: w.address(person), Consent: yes, SMSConsent: yes})
	w.must(err)
	w.on(consent.SMS).agree()
	w.on(consent.Email).agree()

	inactive := func(is bool) {
		w.must(w.code.Configure(func(c *list.SenderCodeConfig) { c.Lists[0].Inactive = is }))
	}
	inactive(true)
	leaves := func(channel consent.Channel) { w.on(channel).consents(person, shop.Unsubscribed, w.clock.Now()) }
	stands := func(want ledger.MerchantState) {
		w.t.Helper()
		switches, err := w.ledger.Switches(t.Context(), storeID)
		w.must(err)
		if switches.State != want {
			t.Fatalf("the merchant is %s (%s), want %s", switches.State, switches.Reason, want)
		}
	}
	leaves(consent.SMS)
	leaves(consent.Email)
	// The opt-out of SMS comes before everything else, and cannot be delivered.
	w.hint(id)
	w.drain()
	w.on(consent.Email).shows(person, shop.Unsubscribed, list.Unsubscribed)
	stands(ledger.Running)

	w.clock.advance(time.Minute)
	w.on(consent.Email).consents(person, shop.Subscribed, w.clock.Now())
	w.hint(id)
	w.drain()
	w.clock.advance(10 * time.Minute) // the checkout window
	for range 2 {
		if _, err = w.engine.Round(t.Context(), storeID); failure.ClassOf(err) != failure.PersonMustAct || !failure.As(err).SMS {
			t.Fatalf("the round ends with %v", err)
		}
		w.clock.advance(time.Minute)
	}
	w.on(consent.Email).shows(person, shop.Subscribed, list.Subscribed)
	w.on(consent.SMS).shows(person, shop.Unsubscribed, list.Subscribed)
	stands(ledger.Running)
	runs, err := w.ledger.RunStatuses(t.Context(), storeID)
	w.must(err)
	if run := runs[RoundRun]; run.ErrorClass != failure.PersonMustAct || run.ErrorCode != SMSCode+list.CodeListInactive || run.Failures != 2 {
		t.Errorf("the round's status is %+v", run)
	}

	inactive(false)
	w.on(consent.SMS).agree()
	w.shows(person, shop.Unsubscribed, list.Unsubscribed)
	stands(ledger.Running)

	for sync := range emails {
		w.set(map[consent.Sync]bool{sync: false})
	}
	inactive(true)
	if _, err = w.engine.Round(t.Context(), storeID); failure.ClassOf(err) != failure.PersonMustAct {
		t.Fatalf("the round ends with %v", err)
	}
	stands(ledger.Broken)
}

// A merchant who gives SMS up asks for no phones any more, which must not pass for customers who have none.
func TestGivingSMSUpTellsNothingOfPhones(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true})
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true, consent.EmailToListrak: true, consent.SMSToShopify: true, consent.SMSToListrak: true})
	w.round()
	id, err := w.shop.CreateCustomer(shop.NewCustomer{Email: person, Phone: w.address(person), SMSConsent: shop.Consent{State: shop.Subscribed, UpdatedAt: w.clock.Now()}})
	w.must(err)
	w.agree()
	before := w.entry(person)
	w.set(map[consent.Sync]bool{consent.SMSToShopify: false, consent.SMSToListrak: false})
	_, err = w.merchants.Update(t.Context(), storeID, func(s *merchant.Settings) error { s.SMS = merchant.SMS{}; return nil }, nil)
	w.must(err)
	w.must(w.shop.SetEmailConsent(id, shop.Subscribed, w.clock.Now()))
	w.on(consent.Email).agree()
	w.subscribedThrough(person, marketingEvent)
	if after := w.on(consent.SMS).entry(person); after.Record != before.Record {
		t.Errorf("the record of the phone has changed\n%s", w.history(person))
	}
}

// Who is known to be subscribed costs nothing again: an idle round with both channels makes two calls more than with one.
func TestAnIdleRoundOfBothChannelsCostsFiveCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true})
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true, consent.EmailToListrak: true, consent.SMSToShopify: true, consent.SMSToListrak: true})
	w.round()
	for i := range 30 {
		w.subscribes(fmt.Sprintf("%d@example.com", i), w.clock.Now())
	}
	w.agree()
	w.round()
	calls := w.countingCalls()
	w.round()
	if n := calls(); n != 5 {
		t.Errorf("%d calls, want 5", n)
	}
}

// A full read for a preview keeps no number. A round that comes before the second read, which enabling begins, finds nobody who could tell
// it: that read must not leave the person to wait for the day after which it would be asked again.
func TestARoundBeforeTheReadOfAFirstEnablingCostsNobodyADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{sms: true})
	w.subscribes(person, w.clock.Now().Add(-24*time.Hour))
	w.fullRead()
	w.enable()
	w.round()
	if got := w.entry(person).NextTry[consent.Shopify].Time(); got.Sub(w.clock.Now()) < 12*time.Hour {
		t.Fatalf("nobody was put off: the next try is at %s\n%s", got, w.history(person))
	}
	w.fullRead()
	w.round()
	w.shows(person, shop.Subscribed, list.Subscribed)
}
