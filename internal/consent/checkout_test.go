package consent

import "testing"

// fiveMinutes is the window as merchants have it.
var fiveMinutes = Window{Length: 5 * Minute, Before: Minute, Lag: Minute}

// alwaysOn is a direction that was on since long before every history.
var alwaysOn = Permit{On: true, FirstOn: at(-1000 * Hour), Intervals: []Interval{{Began: at(-1000 * Hour)}}}

func TestWindowCatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sentence string
		order    Span
		want     bool
	}{
		{"60 s before the consent counts", -Minute, true},
		{"a microsecond earlier does not", -Minute - 1, false},
		{"the moment of the consent counts", 0, true},
		{"five minutes after the consent counts", 5 * Minute, true},
		{"a microsecond later does not", 5*Minute + 1, false},
		{"six minutes after does not", 6 * Minute, false},
		{"an order of last year does not", -365 * 24 * Hour, false},
	} {
		if got := fiveMinutes.Catches(at(0), at(c.order)); got != c.want {
			t.Errorf("checkout: %s: got %t", c.sentence, got)
		}
	}
	if (Window{}).Catches(at(0), at(1)) || !(Window{}).Catches(at(0), at(0)) {
		t.Error("checkout: a window without length must catch the moment of the consent only")
	}
}

// watch is a step: the hold is brought in line with the decision.
type watch struct{ permit *Permit }

func (w watch) play(h *history) string {
	h.rec = fiveMinutes.Watch(h.rec, w.permit)
	return "watch"
}

var watched = watch{&alwaysOn}

// settle is a step: orders were looked up.
type settle struct {
	lookedUp Instant
	orders   []Instant
}

func (s settle) play(h *history) string {
	rec, settled := fiveMinutes.Settle(h.rec, s.orders, s.lookedUp)
	h.rec = rec
	if settled != rec.Hold.Settled {
		return "settle, WHICH DISAGREES WITH THE RECORD"
	}
	return "settle"
}

func lookUp(at Instant, orders ...Instant) settle { return settle{at, orders} }

func TestCheckoutWindow(t *testing.T) {
	t.Parallel()
	const lastLookUp = 6*Minute + 1
	held := all{known, shopify(Subscribed, at(0)).ref("customer"), watched}
	hold := Hold{Consent: at(0), Until: at(5 * Minute), Customer: "customer"}
	settled := Hold{Consent: at(0), Until: at(5 * Minute), Customer: "customer", Settled: true}
	ordered := func(order Instant) Hold {
		h := settled
		h.Order = order
		return h
	}
	neverOn := Permit{}
	offThen := Permit{On: true, FirstOn: at(-2 * Hour), Intervals: []Interval{{at(-2 * Hour), at(-Hour)}, {at(Hour), 0}}}
	offNow := Permit{FirstOn: at(-Hour), Intervals: []Interval{{at(-Hour), at(Minute)}}}
	for _, c := range []struct {
		sentence string
		steps    []step
		want     Hold
		debt     Debt
		point    Point
	}{
		{"a consent in Shopify is held", []step{held}, hold, Held, Marketing},
		{"watching again changes nothing", []step{held, watched, watched}, hold, Held, Marketing},
		{"the same report again changes nothing", []step{held, shopify(Subscribed, at(0)), watched}, hold, Held, Marketing},
		{"an address that is unsubscribed in Listrak is held too", []step{
			listrak(Unsubscribed, at(-Hour)), shopify(Subscribed, at(0)).ref("customer"), watched}, hold, Held, Marketing},
		{"a consent in Listrak is not held", []step{known, listrak(Subscribed, at(0)), watched}, Hold{}, Settled, Marketing},
		{"an unsubscribe is never held", []step{
			known, listrak(Subscribed, at(-Hour)), shopify(Unsubscribed, at(0)), watched}, Hold{}, Owed, NoPoint},
		{"an address subscribed in Listrak is not held", []step{
			known, listrak(Subscribed, at(-Hour)), shopify(Subscribed, at(0)), watched}, Hold{}, Settled, Marketing},
		{"an undated consent is not held", []step{known, shopify(Subscribed, undated), watched}, Hold{}, Owed, Marketing},
		{"a consent that may never go to Listrak is not held", []step{
			known, shopify(Subscribed, at(0)), watch{&neverOn}}, Hold{}, Owed, Marketing},
		{"a consent given while the direction was off is not held", []step{
			known, shopify(Subscribed, at(0)), watch{&offThen}}, Hold{}, Owed, Marketing},
		{"a consent given while it was on is held also after off", []step{
			known, shopify(Subscribed, at(0)).ref("customer"), watch{&offNow}}, hold, Held, Marketing},
		{"nobody decided anything: nothing is held", []step{known, watched}, Hold{}, Settled, NoPoint},

		{"an unsubscribe ends it", []step{held, shopify(Unsubscribed, at(Minute)), watched}, Hold{}, Settled, NoPoint},
		{"an unsubscribe in Listrak ends it", []step{held, listrak(Unsubscribed, at(Minute)), watched}, Hold{}, Settled, NoPoint},
		{"a subscription in Listrak ends it", []step{held, listrak(Subscribed, at(Minute)), watched}, Hold{}, Settled, Marketing},
		{"an older subscription in Listrak ends it too", []step{held, listrak(Subscribed, at(-Hour)), watched}, Hold{}, Settled, Marketing},
		{"a newer subscribe restarts it", []step{held, shopify(Unsubscribed, at(Minute)), watched, shopify(Subscribed, at(2*Minute)), watched},
			Hold{Consent: at(2 * Minute), Until: at(7 * Minute), Customer: "customer"}, Held, Marketing},
		{"a renewed subscribe restarts it", []step{held, shopify(Subscribed, at(2*Minute)), watched},
			Hold{Consent: at(2 * Minute), Until: at(7 * Minute), Customer: "customer"}, Held, Marketing},
		{"a newer subscribe after the end restarts it", []step{
			held, lookUp(at(lastLookUp)), shopify(Unsubscribed, at(Hour)), watched, shopify(Subscribed, at(2*Hour)), watched},
			Hold{Consent: at(2 * Hour), Until: at(2*Hour + 5*Minute), Customer: "customer"}, Held, Marketing},
		{"an order of the ended window is forgotten by the next", []step{
			held, lookUp(at(Minute), at(Minute)), shopify(Unsubscribed, at(Hour)), watched, shopify(Subscribed, at(2*Hour)), watched},
			Hold{Consent: at(2 * Hour), Until: at(2*Hour + 5*Minute), Customer: "customer"}, Held, Marketing},

		{"an order inside the window delivers at once through the checkout point", []step{held, lookUp(at(Minute), at(30*Second))},
			ordered(at(30 * Second)), Owed, Checkout},
		{"an order 60 s before the consent too", []step{held, lookUp(at(Minute), at(-Minute))}, ordered(at(-Minute)), Owed, Checkout},
		{"an order at the end of the window too", []step{held, lookUp(at(5*Minute), at(5*Minute))}, ordered(at(5 * Minute)), Owed, Checkout},
		{"an order that is found in the lag too", []step{held, lookUp(at(5*Minute+30*Second), at(4*Minute))},
			ordered(at(4 * Minute)), Owed, Checkout},
		{"an order found by the last look-up too", []step{held, lookUp(at(lastLookUp), at(4*Minute))}, ordered(at(4 * Minute)), Owed, Checkout},
		{"an order at six minutes is none: the marketing point", []step{held, lookUp(at(lastLookUp), at(6*Minute))}, settled, Owed, Marketing},
		{"an order that was made before is none: still held", []step{held, lookUp(at(Minute), at(-Hour))}, hold, Held, Marketing},
		{"of several orders the one inside counts", []step{held, lookUp(at(5*Minute), at(-Hour), at(4*Minute), at(6*Minute))},
			ordered(at(4 * Minute)), Owed, Checkout},
		{"no order yet: still held", []step{held, lookUp(at(Minute))}, hold, Held, Marketing},
		{"no order at the end of the window: held for those that lag", []step{held, lookUp(at(5 * Minute))}, hold, Held, Marketing},
		{"no order after the lag: the marketing point", []step{held, lookUp(at(lastLookUp))}, settled, Owed, Marketing},
		{"an order found after it was settled changes nothing", []step{held, lookUp(at(lastLookUp)), lookUp(at(Hour), at(Minute))},
			settled, Owed, Marketing},
		{"a consent older than the window when first seen is settled by its first look-up", []step{
			known, shopify(Subscribed, at(0)).read(at(Hour)).ref("customer"), watched, lookUp(at(Hour + Second))}, settled, Owed, Marketing},
		{"an order inside the window of such a consent still makes it the checkout point", []step{
			known, shopify(Subscribed, at(0)).read(at(Hour)).ref("customer"), watched, lookUp(at(Hour+Second), at(Minute))},
			ordered(at(Minute)), Owed, Checkout},
		{"what is settled stays so when it is delivered", []step{
			held, lookUp(at(Minute), at(Minute)), deliver(Listrak, at(2*Minute)), listrak(Subscribed, at(2*Minute)), watched},
			ordered(at(Minute)), Settled, Checkout},
		{"a look-up of somebody who is not held changes nothing", []step{known, lookUp(at(Hour), at(0))}, Hold{}, Settled, NoPoint},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			h := play(c.steps)
			if h.rec.Hold != c.want {
				t.Errorf("checkout: %s\nthe hold is %+v\nwant        %+v\n%s", c.sentence, h.rec.Hold, c.want, h.story.String())
			}
			if debt := h.rec.DebtTo(Listrak); debt != c.debt {
				t.Errorf("checkout: %s\nListrak is owed: %s, want %s\n%s", c.sentence, debt, c.debt, h.story.String())
			}
			if point := h.rec.Point(); point != c.point {
				t.Errorf("checkout: %s\nthe point is %s, want %s\n%s", c.sentence, point, c.point, h.story.String())
			}
		})
	}
}

func TestSettleTellsWhetherItIsSettled(t *testing.T) {
	t.Parallel()
	rec := play([]step{known, shopify(Subscribed, at(0)), watched}).rec
	for _, c := range []struct {
		look settle
		want bool
	}{{lookUp(at(0)), false}, {lookUp(at(5 * Minute)), false}, {lookUp(at(0), at(0)), true}, {lookUp(at(Hour)), true}} {
		after, settled := fiveMinutes.Settle(rec, c.look.orders, c.look.lookedUp)
		if settled != c.want || after.Hold.Settled != c.want {
			t.Errorf("looked up at %s, orders %v: settled %t, the hold says %t, want %t",
				clock(c.look.lookedUp), c.look.orders, settled, after.Hold.Settled, c.want)
		}
		if again, settled := fiveMinutes.Settle(after, nil, c.look.lookedUp); settled != c.want || again != after {
			t.Errorf("looked up again at %s: settled %t and hold %+v, want no change", clock(c.look.lookedUp), settled, again.Hold)
		}
	}
}
