package reconcile

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// lateSearch is a store whose search shows one customer late, and all others at once.
type lateSearch struct {
	Shopify
	late  shopify.CustomerID
	shown func() bool
	clock *clock
	// reached is how far back each poll asked for changes.
	reached *[]time.Duration
}

func (l lateSearch) ChangedCustomers(ctx context.Context, since time.Time, cursor string) (shopify.ChangePage, error) {
	page, err := l.Shopify.ChangedCustomers(ctx, since, cursor)
	*l.reached = append(*l.reached, l.clock.Now().Sub(since))
	if l.shown() {
		return page, err
	}
	var seen []shopify.Change
	for _, c := range page.Changes {
		if c.ID != l.late {
			seen = append(seen, c)
		}
	}
	page.Changes = seen
	return page, err
}

// writesEvents leaves what a pass over events leaves when it writes customers' metafields.
func (w *world) writesEvents() {
	w.t.Helper()
	lease, _, err := w.ledger.AcquireRun(w.t.Context(), storeID, "engagement", "test", time.Minute)
	w.must(err)
	cursor := ledger.Cursor{Name: ledger.ToldPeopleCursor, Value: w.clock.Now().Format(time.RFC3339)}
	_, err = w.ledger.Save(w.t.Context(), storeID, ledger.Batch{Lease: &lease, Cursors: []ledger.Cursor{cursor}})
	w.must(err)
	w.must(w.ledger.ReleaseRun(w.t.Context(), lease))
}

// While the fields of events are written, polls reach back less far than the search may lag. What they miss for that is found when the
// writing has ended, however long it went on, and while it goes on within five minutes of its showing.
func TestAChangeThatShowsLateBesideEventsIsFound(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		before  int // minutes, until it changes
		writing int // minutes
		until   int // minutes, when it has to be found
	}{
		{"the writing ends soon after it", 2, 6, 14},
		{"the writing ends just before the next long reach", 2, 9, 17},
		{"the writing goes on", 2, 60, 12},
		{"the writing goes on, five minutes later", 7, 60, 17},
		{"the writing goes on, ten minutes later", 12, 60, 22},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).enable()
			person := "late@example.com"
			id := w.customer(person, shop.Subscribed, w.clock.Now())
			w.agree()
			var changed time.Time
			var reached []time.Duration
			w.engine.Connect = (&connections{world: w, wrap: func(a Shopify, b Listrak) (Shopify, Listrak) {
				shown := func() bool { return changed.IsZero() || w.clock.Now().Sub(changed) > 4*time.Minute }
				return lateSearch{a, shopify.CustomerID(id), shown, w.clock, &reached}, b
			}}).open
			minute := 0
			round := func() {
				// Every poll has news, and moves on.
				w.customer(fmt.Sprintf("other-%d@example.com", minute), "", time.Time{})
				if minute < row.writing {
					w.writesEvents()
				}
				w.round()
				minute++
			}
			for range row.before {
				round()
			}
			changed = w.clock.Now()
			w.must(w.shop.SetEmailConsent(id, shop.Unsubscribed, changed))
			for minute < row.until {
				round()
			}
			w.shows(person, shop.Unsubscribed, list.Unsubscribed)
			if slices.Min(reached) > 2*time.Minute {
				t.Errorf("no poll was short, so the test shows nothing; they reached back %v", reached)
			}
		})
	}
}

// A pass that several rounds share reaches what it reached when it began, and counts as that in the end.
func TestAPassThatGoesOnReachesWhatItReachedWhenItBegan(t *testing.T) {
	t.Parallel()
	w := newWorld(t).enable()
	_, r, err := w.engine.begin(t.Context(), storeID)
	w.must(err)
	end, err := r.acquire(t.Context(), RoundRun)
	w.must(err)
	defer end()
	load := func() pass {
		t.Helper()
		p, _, err := r.loadPass(t.Context(), "test")
		w.must(err)
		return p
	}
	load()
	began := r.now().Time()
	w.must(r.savePass(t.Context(), "test", pass{Since: began.Add(-time.Minute), Reached: began.Add(-10 * time.Minute)}, customersRead{}))
	for _, short := range []bool{true, false} {
		var asked []time.Time
		src := source{cursor: "test", overlap: time.Hour, short: short, page: func(_ context.Context, from reach, _ string) (page, error) {
			if asked = append(asked, from.since); len(asked) == 1 {
				return page{next: "next"}, nil
			}
			return page{}, nil
		}}
		before := load()
		r.until = r.Now() // time is up after a page
		if done, err := r.scan(t.Context(), src); done || err != nil {
			t.Fatalf("done %t, error %v", done, err)
		}
		src.short, src.overlap = !short, time.Minute
		if done, err := r.scan(t.Context(), src); !done || err != nil {
			t.Fatalf("done %t, error %v", done, err)
		}
		if want := before.Since.Add(-time.Hour); len(asked) != 2 || !asked[0].Equal(want) || !asked[1].Equal(want) {
			t.Errorf("it asked for the changes since %v, want twice %v", asked, want)
		}
		after := load()
		if moved := !after.Reached.Equal(before.Reached); moved == short || after.Short || !after.Back.IsZero() {
			t.Errorf("begun short %t, it left %+v after %+v", short, after, before)
		}
		w.clock.advance(time.Minute)
	}
}
