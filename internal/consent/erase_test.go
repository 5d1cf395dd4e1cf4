package consent

import (
	"fmt"
	"testing"
)

// erased is a step: the person is erased, at a time after everything before it.
type erased struct{ at Instant }

func (e erased) play(h *history) string {
	h.rec = Erased(h.rec, e.at)
	h.now = max(h.now, e.at)
	return fmt.Sprintf("the person is erased at %s", clock(e.at))
}

// After an erasure the rules go on as with any no: an old yes decides nothing, whichever side shows it, and a new one is heard.
func TestAYesAfterAnErasure(t *testing.T) {
	t.Parallel()
	subscribed := all{known, shopify(Subscribed, at(0)), listrak(Subscribed, at(0))}
	gone := all{subscribed, erased{at(Hour)}}
	testRows(t, []row{
		{"erased: both sides are owed nothing", []step{subscribed, erased{at(Hour)}, shopify(Absent, undated)},
			no(Shopify, at(Hour)), NoNews, Settled, Settled},
		{"erased: what Listrak still shows does not resubscribe, and Listrak is owed the no", []step{gone, listrak(Subscribed, at(0))},
			no(Shopify, at(Hour)), AfterErasure, Settled, Owed},
		{"erased: what Shopify still shows does not resubscribe, and Shopify is owed the no", []step{gone, shopify(Subscribed, at(0))},
			no(Shopify, at(Hour)), AfterErasure, Owed, Settled},
		{"erased: a read that began before the erasure decides nothing", []step{gone, listrak(Subscribed, at(0)).read(at(Minute))},
			no(Shopify, at(Hour)), AfterErasure, Settled, Owed},
		{"erased: a yes within the uncertainty of the erasure decides nothing, of either side", []step{
			gone, shopify(Subscribed, at(Hour+Second))},
			no(Shopify, at(Hour)), AfterErasure, Owed, Settled},
		{"erased: within hours of an unproven zone neither", []step{
			gone, listrak(Subscribed, at(Hour+zoneless)).within(zoneless)},
			no(Shopify, at(Hour)), AfterErasure, Settled, Owed},
		{"erased: an undated yes decides nothing", []step{gone, listrak(Subscribed, undated)},
			no(Shopify, at(Hour)), AfterErasure, Settled, Owed},
		{"erased: an import that looks new is shown", []step{gone, listrak(Subscribed, at(2*Hour)).imported()},
			no(Shopify, at(Hour)), Evidence, Settled, Owed},
		{"erased: a new yes in Shopify brings the person back, and Listrak is owed it", []step{gone, shopify(Subscribed, at(2*Hour))},
			yes(Shopify, at(2*Hour)), Newer, Settled, Owed},
		{"erased: a new yes in Listrak brings the person back, and Shopify is owed it", []step{gone, listrak(Subscribed, at(2*Hour))},
			yes(Listrak, at(2*Hour)), Newer, Owed, Settled},
		{"erased: whoever had left before has left", []step{
			known, shopify(Unsubscribed, at(0)), erased{at(Hour)}, listrak(Subscribed, at(Minute))},
			no(Shopify, at(Hour)), AfterErasure, Settled, Owed},
		{"erased: a no since is a no like any other", []step{gone, listrak(Unsubscribed, at(2*Hour))},
			no(Listrak, at(2*Hour)), Newer, Settled, Settled},
		{"erased: somebody nobody knew", []step{erased{at(Hour)}, shopify(Subscribed, at(0))},
			no(Shopify, at(Hour)), AfterErasure, Owed, Settled},
	})
}

func TestErasedKeepsNothingButANo(t *testing.T) {
	t.Parallel()
	full := func(decision Decision) Record {
		rec := Record{Decision: decision, Hold: Hold{Consent: 1, Until: 2, Customer: "c"}, Contest: Contest{Since: 3}}
		for _, side := range Sides {
			rec.Seen[side] = Sighting{State: Subscribed, Shown: 4, At: 4, ReadBegan: 5, Ref: "r"}
			rec.Sent[side][0] = Delivery{State: Subscribed, Started: 6, Outcome: Delivered, Code: "c"}
		}
		return rec
	}
	stays := func(decision Decision) Record {
		rec := Record{Decision: decision}
		for _, side := range Sides {
			rec.Seen[side] = Sighting{State: Absent, GoneAt: decision.At}
		}
		return rec
	}
	for name, c := range map[string]struct{ before, want Decision }{
		"nobody had decided": {Decision{}, Decision{State: Unsubscribed, At: 100, Erased: true}},
		"a yes":              {Decision{State: Subscribed, At: 50, Side: Listrak, Within: 9}, Decision{State: Unsubscribed, At: 100, Erased: true}},
		"an undated yes":     {Decision{State: Subscribed}, Decision{State: Unsubscribed, At: 100, Erased: true}},
		"a yes that a clock ahead of ours dated later": {Decision{State: Subscribed, At: 150},
			Decision{State: Unsubscribed, At: 150, Erased: true}},
		"a no": {Decision{State: Unsubscribed, At: 50, Within: 9}, Decision{State: Unsubscribed, At: 100, Erased: true}},
		"a no by keyword": {Decision{State: Unsubscribed, At: 50, Side: Listrak, Keyword: true},
			Decision{State: Unsubscribed, At: 100, Keyword: true, Erased: true}},
		"a later no": {Decision{State: Unsubscribed, At: 150, Within: 9}, Decision{State: Unsubscribed, At: 150, Within: 9, Erased: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			once := Erased(full(c.before), 100)
			if want := stays(c.want); once != want {
				t.Errorf("%+v stays, want %+v", once, want)
			}
			if twice := Erased(once, 100); twice != once {
				t.Errorf("a second time changes it to %+v", twice)
			}
			if debts := once.Debts(); debts != [2]Debt{} {
				t.Errorf("the sides are owed %v", debts)
			}
		})
	}
}

func TestErasedSince(t *testing.T) {
	t.Parallel()
	back := Record{Decision: Decision{State: Subscribed, At: 101, Side: Shopify}}
	if after, ok := ErasedSince(back, 100); ok || after != back {
		t.Errorf("whoever came back is erased: %+v", after)
	}
	seen := Erased(Record{}, 100)
	seen.Seen[Listrak] = Sighting{State: Subscribed, Shown: 50, ReadBegan: 110, Ref: "key"}
	seen.Sent[Listrak][0] = Delivery{State: Unsubscribed, Decision: 100, Started: 111, Ended: 112, Outcome: Delivered}
	if after, ok := ErasedSince(seen, 100); !ok || after != Erased(Record{}, 100) {
		t.Errorf("what Listrak showed meanwhile stays: %+v", after)
	}
}

func TestOptOut(t *testing.T) {
	t.Parallel()
	no := Decision{State: Unsubscribed, At: 50, Within: 9, Side: Listrak, Keyword: true}
	rec := Record{Decision: no, Hold: Hold{Consent: 1}}
	rec.Seen[Shopify].Ref = "gid"
	after, ok := OptOut(rec)
	if want := (Record{Decision: no, Seen: [2]Sighting{{State: Absent, Inferred: true}, {State: Absent, Inferred: true}}}); !ok || after != want {
		t.Errorf("%+v stays, want %+v", after, want)
	}
	if after.Debts() != [2]Debt{} {
		t.Errorf("the sides are owed %v", after.Debts())
	}
	for _, state := range []State{Unseen, Subscribed} {
		if after, ok := OptOut(Record{Decision: Decision{State: state, At: 1}}); ok || after != (Record{}) {
			t.Errorf("of %s stays %+v", state, after)
		}
	}
}

func TestLateEffectUntil(t *testing.T) {
	t.Parallel()
	var rec Record
	if rec.LateEffectUntil() != 0 {
		t.Error("nothing was sent")
	}
	rec.Sent[Shopify][0] = Delivery{State: Subscribed, Started: 1, Deadline: 2, Ended: 3, Outcome: Delivered}
	rec.Sent[Listrak][1] = Delivery{State: Subscribed, Started: 1, Deadline: 5}
	if got := rec.LateEffectUntil(); got != Instant(5).Plus(EffectGrace) {
		t.Errorf("until %d", got)
	}
}
