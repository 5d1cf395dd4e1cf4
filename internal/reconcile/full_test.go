package reconcile

import (
	"fmt"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

func (w *world) fill(customers, contacts int) {
	w.t.Helper()
	states := []shop.State{shop.Subscribed, shop.Unsubscribed, "", shop.Subscribed}
	for i := range customers {
		at := w.began.Add(-time.Duration(customers-i) * time.Second)
		_, err := w.shop.CreateCustomer(shop.NewCustomer{Email: fmt.Sprintf("person-%d@example.com", i), At: at, Consent: shop.Consent{State: states[i%4], UpdatedAt: at}})
		w.must(err)
	}
	// Every second contact is a customer too.
	for i := range contacts {
		email := fmt.Sprintf("person-%d@example.com", i)
		if i%2 == 1 {
			email = fmt.Sprintf("contact-%d@example.com", i)
		}
		w.must(w.list.Subscribe(email, w.began.Add(-400*time.Hour).Add(time.Duration(i)*time.Second), ""))
		if i%5 == 0 {
			w.must(w.list.Unsubscribe(email, w.began.Add(-200*time.Hour).Add(time.Duration(i)*time.Second), ""))
		}
	}
	w.shop.FinishIndexing()
}

// Shopify ends paging at 25,000 customers, silently or with an error; a full read sees everybody all the same.
func TestAFullReadOfALargeStoreSeesEverybody(t *testing.T) {
	t.Parallel()
	for _, isError := range []bool{false, true} {
		t.Run(fmt.Sprintf("the end of paging is an error: %t", isError), func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				t.Skip("reads 42,000 people")
			}
			const customers, contacts = 30_000, 12_000
			w := newWorld(t, plan{shop: shop.Config{Plan: shop.Enterprise, Switches: shop.Switches{PagingEndIsError: isError}}})
			w.fill(customers, contacts)
			w.fullRead()
			known, err := w.ledger.CountSubjects(t.Context(), storeID, consent.Email)
			w.must(err)
			if want := int64(customers + contacts/2); known != want {
				t.Errorf("%d people known, want %d", known, want)
			}
			done, err := w.engine.FullReadDone(t.Context(), storeID, consent.Email)
			if err != nil || !done {
				t.Errorf("done: %t, %v", done, err)
			}
			preview, err := w.engine.Preview(t.Context(), storeID, consent.EmailToShopify)
			w.must(err)
			t.Logf("%+v", preview)
			if total := preview.Create + preview.Subscribe + preview.Unsubscribe + preview.Leave; total != known {
				t.Errorf("the preview counts %d of %d people", total, known)
			}
		})
	}
}

// What Preview counts is what enabling then does.
func TestEnablingDoesWhatThePreviewSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{shop: shop.Config{Plan: shop.Enterprise}})
	w.fill(1500, 1200)
	w.fullRead()
	preview, err := w.engine.Preview(t.Context(), storeID, consent.EmailToShopify)
	w.must(err)
	if preview.Create == 0 || preview.Subscribe+preview.Unsubscribe == 0 || preview.Leave == 0 {
		t.Errorf("the test shows little: %+v", preview)
	}
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true})
	w.agree()
	var creates, others int64
	for _, write := range w.shop.Writes() {
		switch {
		case !write.Effective:
			t.Errorf("a write without effect: %s dated %s", write.State, write.Date)
		case write.Operation == "customerCreate":
			creates++
		default:
			others++
		}
	}
	if creates != preview.Create || others != preview.Subscribe+preview.Unsubscribe {
		t.Errorf("enabling created %d and changed %d, the preview said %+v", creates, others, preview)
	}
	if n := len(w.list.Writes()); n != 0 {
		t.Errorf("%d writes to Listrak", n)
	}
}

func TestAFullReadGoesOnWhereItWasStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timing: func(t *Timing) { t.RoundLimit = time.Microsecond }})
	w.fill(1200, 600)
	slices := 0
	for {
		// Every slice is another process.
		w.engine = w.newEngine(fmt.Sprint("process ", slices))
		p, err := w.engine.FullRead(t.Context(), storeID, consent.Email, func(FullProgress) {})
		w.must(err)
		if slices++; p.Done {
			break
		}
		if slices > 100 {
			t.Fatalf("never ends: %+v", p)
		}
	}
	// 1,200 customers are five pages.
	if slices < 5 {
		t.Errorf("%d slices: it was never stopped", slices)
	}
	if n := w.shop.Requests()["customers"]; n != 5 {
		t.Errorf("%d pages of customers read, want 5: it did not go on", n)
	}
	known, err := w.ledger.CountSubjects(t.Context(), storeID, consent.Email)
	w.must(err)
	if known != 1500 {
		t.Errorf("%d people known, want 1500", known)
	}
	// A full read that is done calls nobody.
	calls := w.countingCalls()
	w.fullRead()
	if n := calls(); n != 0 {
		t.Errorf("%d calls of a full read that was done", n)
	}
}

func TestWhoeverIsOnOneSideOnlyNeedsNoLookUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 100 {
		w.customer(fmt.Sprintf("gone-%d@example.com", i), shop.Unsubscribed, w.began.Add(-time.Hour))
	}
	w.clock.advance(time.Minute)
	w.fullRead()
	w.enable()
	calls := w.countingCalls()
	w.round()
	if n := calls(); n > 3 {
		t.Errorf("%d calls for people who need none", n)
	}
	for i := range 100 {
		if debt := w.debt(fmt.Sprintf("gone-%d@example.com", i), consent.Listrak); debt != consent.Settled {
			t.Fatalf("Listrak is %s", debt)
		}
	}
}

func TestANewListKeepsDecisionsAndReportsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	c := people(1)
	w.known(c)
	w.play(c)
	w.agree()
	w.played(c)

	_, err := w.ledger.Pause(t.Context(), storeID)
	w.must(err)
	zone, err := time.LoadLocation(zoneName)
	w.must(err)
	const other = listID + 1
	old := w.list
	w.list = w.sandbox.AddList(list.Config{ID: other, ClientID: "integration", Secret: secret, Zone: zone,
		Events: []list.Event{{ID: marketingEvent, Name: "Marketing"}, {ID: checkoutEvent, Name: "Checkout"}}})
	_, err = w.merchants.Update(t.Context(), storeID, func(s *merchant.Settings) error { s.EmailList = other; return nil }, nil)
	w.must(err)
	w.must(w.engine.ForgetList(t.Context(), storeID, consent.Email))
	// Said again after a crash, it changes nothing.
	w.must(w.engine.ForgetList(t.Context(), storeID, consent.Email))
	// On the new list somebody who left in Shopify is subscribed, by an older import of the merchant's.
	w.subscribes(c.leftInShopify, w.began.Add(-100*time.Hour), list.MethodImport)
	writes := len(old.Writes())
	_, err = w.ledger.Resume(t.Context(), storeID)
	w.must(err)
	w.fullRead()
	w.agree()
	w.shows(c.newInShopify, shop.Subscribed, list.Subscribed)
	w.shows(c.cameBack, shop.Subscribed, list.Subscribed)
	w.shows(c.leftInShopify, shop.Unsubscribed, list.Unsubscribed)
	w.shows(c.leftInListrak, shop.Unsubscribed, nobody)
	if len(old.Writes()) != writes {
		t.Error("the old list was written to")
	}
}

// A full read for a preview keeps no addresses; enabling reads the contacts again instead of asking for each of them.
func TestEnablingAfterAPreviewAsksForNobodyAlone(t *testing.T) {
	t.Parallel()
	const contacts = 400
	w := newWorld(t)
	for i := range contacts {
		w.subscribes(fmt.Sprintf("contact-%d@example.com", i), w.clock.Now())
	}
	done := func() bool {
		t.Helper()
		done, err := w.engine.FullReadDone(t.Context(), storeID, consent.Email)
		w.must(err)
		return done
	}
	w.fullRead()
	if !done() {
		t.Error("not done after the preview")
	}
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true})
	if done() {
		t.Error("the addresses are not known, but no full read is asked for")
	}
	w.fullRead()
	if !done() {
		t.Error("not done after the second full read")
	}
	w.list.Faults.Set(1, fault.Rule{Operation: "GET Contact", Kind: fault.Latency})
	w.agree()
	if asked := w.list.Faults.Struck()[fault.Latency]; asked != 0 {
		t.Errorf("%d contacts were asked for alone", asked)
	}
	for i := range contacts {
		w.shows(fmt.Sprintf("contact-%d@example.com", i), shop.Subscribed, list.Subscribed)
	}
	w.set(map[consent.Sync]bool{consent.EmailToShopify: false})
	w.set(map[consent.Sync]bool{consent.EmailToShopify: true})
	if !done() {
		t.Error("switching off and on asks for another full read")
	}
}

func TestALostCursorBeginsThePassAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timing: func(t *Timing) { t.RoundLimit = time.Microsecond }})
	w.fill(600, 10)
	name := fullPrefix + shopifyChanges
	for {
		_, err := w.engine.FullRead(t.Context(), storeID, consent.Email, func(FullProgress) {})
		w.must(err)
		s := w.engine.newRun(storeID, nil, ledger.Switches{})
		p, _, err := s.loadPass(t.Context(), name)
		w.must(err)
		if p.Page != "" {
			break
		}
	}
	// The side forgets its cursor.
	_, s, err := w.engine.begin(t.Context(), storeID)
	w.must(err)
	end, err := s.acquire(t.Context(), FullRun)
	w.must(err)
	p, _, err := s.loadPass(t.Context(), name)
	w.must(err)
	p.Page = "not a cursor of this store"
	w.must(s.savePass(t.Context(), name, p, customersRead{}))
	end()
	if _, err := w.engine.FullRead(t.Context(), storeID, consent.Email, func(FullProgress) {}); err == nil {
		t.Fatal("the store took a cursor that is none")
	}
	w.fullRead()
	known, err := w.ledger.CountSubjects(t.Context(), storeID, consent.Email)
	w.must(err)
	if known != 605 {
		t.Errorf("%d people known, want 605", known)
	}
}
