package reconcile

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// stands tells how the merchant stands, whether its zone is remembered as proven, and how far off dates count.
func (w *world) stands() (switches ledger.Switches, proven bool, within time.Duration) {
	w.t.Helper()
	switches, err := w.ledger.Switches(w.t.Context(), storeID)
	w.must(err)
	m, err := w.merchants.Get(w.t.Context(), storeID)
	w.must(err)
	account, err := w.engine.Connect(w.t.Context(), storeID)
	w.must(err)
	return switches, m.Settings.ZoneProven, account.listrakUncertainty(false)
}

// deliverOne subscribes somebody in Shopify and runs rounds until that is delivered or the merchant is stopped.
func (w *world) deliverOne(email string) {
	w.t.Helper()
	w.consents(email, shop.Subscribed, w.clock.Now())
	for range 10 {
		_, _ = w.engine.Round(w.t.Context(), storeID) // the error of a wrong zone is in the merchant's state
		w.clock.advance(w.timing.Interval)
	}
}

const hour = time.Hour

// A fixed offset agrees with a zone that has summer time until the clocks change. Two writes later the merchant is stopped.
func TestAFixedOffsetIsFoundOutWhenTheClocksChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{settings: func(s *merchant.Settings) { s.Zone = "Etc/GMT+4" }}).enable()
	for n := range 3 {
		w.deliverOne(fmt.Sprintf("summer-%d@example.com", n))
	}
	if switches, proven, within := w.stands(); switches.State != ledger.Running || !proven || within > time.Minute {
		t.Fatalf("in summer: %s, proven %t, %s off", switches.State, proven, within)
	}
	w.clock.advance(time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC).Sub(w.clock.Now()))
	w.deliverOne("first@example.com")
	w.shows("first@example.com", shop.Subscribed, list.Subscribed)
	if switches, proven, within := w.stands(); switches.State != ledger.Running || !proven || within != 14*hour {
		t.Errorf("after one write: %s, proven %t, %s off; want running with dates that may be 14 h off", switches.State, proven, within)
	}
	w.deliverOne("second@example.com")
	switches, proven, within := w.stands()
	if switches.State != ledger.Broken || proven || within != 14*hour || !strings.Contains(switches.Reason, "-5.00 h") ||
		!strings.Contains(switches.Reason, "-4.00 h") || !strings.Contains(switches.Reason, "merchant set --zone") {
		t.Errorf("after two: %s (%s), proven %t, %s off", switches.State, switches.Reason, proven, within)
	}
	_, err := w.merchants.Update(t.Context(), storeID, func(s *merchant.Settings) error { s.Zone = zoneName; return nil }, nil)
	w.must(err)
	_, err = w.ledger.Heal(t.Context(), storeID)
	w.must(err)
	w.deliverOne("third@example.com")
	w.shows("third@example.com", shop.Subscribed, list.Subscribed)
	if switches, proven, within := w.stands(); switches.State != ledger.Running || !proven || within > time.Minute {
		t.Errorf("with the right zone: %s (%s), proven %t, %s off", switches.State, switches.Reason, proven, within)
	}
}

// The right zone is proven again and again, also in the hours in which the clocks change.
func TestTheRightZoneOutlivesTheChangeOfClocks(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]time.Time{
		"back in autumn": time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC), "forward in spring": time.Date(2027, 3, 14, 7, 0, 0, 0, time.UTC),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			w.clock.advance(change.Add(-90 * time.Minute).Sub(w.clock.Now()))
			for n := range 18 {
				email := fmt.Sprintf("person-%d@example.com", n)
				w.deliverOne(email)
				w.shows(email, shop.Subscribed, list.Subscribed)
				if switches, proven, within := w.stands(); switches.State != ledger.Running || !proven || within > time.Minute {
					t.Fatalf("%s: %s (%s), proven %t, %s off", w.clock.Now(), switches.State, switches.Reason, proven, within)
				}
			}
		})
	}
}

// shiftedListrak shows some contacts with a date that is whole hours away from when they were written.
type shiftedListrak struct {
	Listrak
	shifts map[string]time.Duration
}

func (s shiftedListrak) Contact(ctx context.Context, addressOrKey string) (listrak.Contact, bool, error) {
	contact, found, err := s.Listrak.Contact(ctx, addressOrKey)
	const form = "2006-01-02T15:04:05.999"
	if wall, parseErr := time.Parse(form, contact.RawDate); parseErr == nil {
		contact.RawDate = wall.Add(s.shifts[addressOrKey]).Format(form)
	}
	return contact, found, err
}

// A single date that contradicts a proven zone may be a coincidence: nobody is stopped by one, nor by two of one contact, nor by two that
// contradict each other, nor by two with one between them that agrees.
func TestOneWrongDateStopsNobody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		shifts []time.Duration
		stops  bool
	}{
		"one":                     {[]time.Duration{3 * hour, 0}, false},
		"two that agree":          {[]time.Duration{3 * hour, 3 * hour}, true},
		"two that do not":         {[]time.Duration{3 * hour, 2 * hour, 0}, false},
		"two with a right one":    {[]time.Duration{3 * hour, 0, 3 * hour, 0}, false},
		"two after one of others": {[]time.Duration{2 * hour, 3 * hour, 3 * hour}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			shifts := map[string]time.Duration{}
			c2 := &connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) { return a, shiftedListrak{b, shifts} }}
			w.engine.Connect = c2.open
			for n, shift := range c.shifts {
				email := fmt.Sprintf("person-%d@example.com", n)
				shifts[email] = shift
				w.deliverOne(email)
			}
			switches, proven, within := w.stands()
			if stopped := switches.State == ledger.Broken; stopped != c.stops || proven == c.stops || (within > time.Minute) != c.stops {
				t.Errorf("%s (%s), proven %t, %s off", switches.State, switches.Reason, proven, within)
			}
		})
	}
	t.Run("one contact twice", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t).enable()
		c := &connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) {
			return a, shiftedListrak{b, map[string]time.Duration{person: 3 * hour}}
		}}
		w.engine.Connect = c.open
		w.deliverOne(person)
		w.consents(person, shop.Unsubscribed, w.clock.Now())
		for range 5 {
			w.round()
		}
		w.shows(person, shop.Unsubscribed, list.Unsubscribed)
		if switches, proven, within := w.stands(); switches.State != ledger.Running || !proven || within != 14*hour {
			t.Errorf("%s (%s), proven %t, %s off", switches.State, switches.Reason, proven, within)
		}
	})
}

// What another process has found out counts here too.
func TestAZoneDisprovenElsewhereCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account, err := w.engine.Connect(t.Context(), storeID)
	w.must(err)
	account.doubtZone(zoneDoubt{consent.Subject{1}, hour})
	account.SetZoneProven(true)
	if within := account.listrakUncertainty(false); within != 14*hour {
		t.Errorf("a doubt of our own is forgotten: %s off", within)
	}
	account.SetZoneProven(false)
	if within := account.listrakUncertainty(false); within != 14*hour {
		t.Errorf("still proven: %s off", within)
	}
	account.SetZoneProven(true)
	if within := account.listrakUncertainty(false); within > time.Minute {
		t.Errorf("proven anew, and still %s off", within)
	}
}
