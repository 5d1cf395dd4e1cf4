package consent

// Window is the checkout window: how long a consent in Shopify waits for an order that decides the subscription point.
type Window struct {
	// Length is how long after the consent an order still counts, inclusive; five minutes for merchants.
	Length Span
	// Before is how long before the consent an order already counts: a box ticked in the checkout is dated with the order.
	Before Span
	// Lag is how long after the end the last look-up waits for orders that Shopify's search shows late.
	Lag Span
}

// Catches reports whether an order created at order belongs to a consent given at consent; both ends are within.
func (w Window) Catches(consent, order Instant) bool {
	return order >= consent.Plus(-w.Before) && order <= consent.Plus(w.Length)
}

// Watch brings the hold in line with the decision, after every report that was decided. A consent given in Shopify to somebody who
// is not subscribed in Listrak is held; a newer consent restarts the hold; an unsubscribe, or Listrak showing the subscription,
// ends it. toListrak tells which consents will be delivered at all: nothing else is worth holding.
func (w Window) Watch(rec Record, toListrak *Permit) Record {
	decision := &rec.Decision
	if decision.State != Subscribed || decision.Side != Shopify || decision.At == 0 ||
		rec.Seen[Listrak].State == Subscribed || !toListrak.Covers(*decision, Listrak) {
		if !rec.Hold.Settled {
			rec.Hold = Hold{}
		}
		return rec
	}
	if rec.Hold.Consent != decision.At {
		rec.Hold = Hold{Consent: decision.At, Until: decision.At.Plus(w.Length), Customer: rec.Seen[Shopify].Ref}
	}
	return rec
}

// Settle ends the hold if it can end: at once when an order inside the window was found, otherwise after the last look-up. orders
// are the creation times of the customer's orders; lookedUpAt is when the look-up that brought them began. It reports whether the
// hold is settled.
func (w Window) Settle(rec Record, orders []Instant, lookedUpAt Instant) (Record, bool) {
	hold := &rec.Hold
	if hold.Consent == 0 || hold.Settled {
		return rec, hold.Settled
	}
	for _, order := range orders {
		if w.Catches(hold.Consent, order) {
			hold.Order, hold.Settled = order, true
			return rec, true
		}
	}
	hold.Settled = lookedUpAt >= hold.Until.Plus(w.Lag)
	return rec, hold.Settled
}

// Point is the subscription point of the decision's delivery to Listrak.
func (rec *Record) Point() Point {
	switch {
	case rec.Decision.State != Subscribed:
		return NoPoint
	case rec.Hold.Order != 0 && rec.Hold.Consent == rec.Decision.At:
		return Checkout
	}
	return Marketing
}
