package engagement_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/internal/shopify"
)

// What the simulation (internal/simulation) has found in this package.

// Seed 13: a day that was told while a kind was off has no count of that kind in Shopify any more. When the kind was switched on again, the
// day was not told again unless something happened on it.
func TestAKindThatIsSwitchedOnAgainIsToldAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	customer := w.customer("person-0@example.com")
	id, _ := w.send("Spring", 3)
	w.act(id, "person-0@example.com", list.Open)
	w.pass()
	require.Equal(t, w.truth(id), w.toldDays(messageID(id)))

	w.set(map[consent.Sync]bool{consent.EmailOpened: false})
	w.act(id, "person-1@example.com", list.Click)
	w.clock.advance(2 * time.Minute)
	w.pass()
	for _, counts := range w.toldDays(messageID(id)) {
		require.NotContains(t, counts, "viewsCount")
		require.Equal(t, 1, counts["clicksCount"])
	}

	w.set(map[consent.Sync]bool{consent.EmailOpened: true})
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, w.truth(id), w.toldDays(messageID(id)))
	require.Equal(t, "1", w.shop.Metafields(customer)[field("emails_opened_30_days")])

	writes := w.shop.MarketingWrites()
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, writes, w.shop.MarketingWrites(), "what Shopify has is told only once more")
}

// The same of customers: what fell out of the 30 days while the kind was off is told when it is on again.
func TestWhatFellOutWhileAKindWasOffIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	customer := w.customer("person-0@example.com")
	id, _ := w.send("Spring", 1)
	w.act(id, "person-0@example.com", list.Open)
	w.pass()
	require.Equal(t, "1", w.shop.Metafields(customer)[field("emails_opened_30_days")])
	w.set(map[consent.Sync]bool{consent.EmailOpened: false})
	for range 4 {
		w.clock.advance(8 * 24 * time.Hour)
		w.pass()
	}
	require.Equal(t, "1", w.shop.Metafields(customer)[field("emails_opened_30_days")], "off: it stays as it is")
	w.set(map[consent.Sync]bool{consent.EmailOpened: true})
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, "0", w.shop.Metafields(customer)[field("emails_opened_30_days")])
}

// Seeds 5, 25, 50, 56: an address went to another customer, because theirs was deleted and made anew, or two were merged, or it was changed. The
// fields stood with the former and were never told of the new one.
func TestAnAddressThatGoesToAnotherCustomerTakesItsFieldsAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.EmailEvents: true})
	const ann, bob = "person-0@example.com", "person-1@example.com"
	first, second := w.customer(ann), w.customer(bob)
	id, _ := w.send("Spring", 2)
	w.act(id, ann, list.Open)
	w.act(id, ann, list.Click)
	w.pass()
	told := w.shop.Metafields(first)
	require.Len(t, told, 6)

	require.NoError(t, w.shop.DeleteCustomer(first))
	w.clock.advance(time.Second)
	again := w.customer(ann)
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, told, w.shop.Metafields(again))

	// Now the customer of bob gets ann's address, and what bob's counts said goes with it.
	require.NoError(t, w.shop.DeleteCustomer(again))
	w.clock.advance(time.Second)
	require.NoError(t, w.shop.ChangeEmail(second, ann))
	w.saw(second, ann)
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, told, w.shop.Metafields(second))

	writes := w.shop.MetafieldWrites()
	w.saw(second, ann)
	w.clock.advance(time.Second)
	w.pass()
	require.Equal(t, writes, w.shop.MetafieldWrites(), "a customer who is read once more is told of once")
}

// saw is what rounds do with a customer whom they have read.
func (w *world) saw(id shop.CustomerID, email string) {
	w.Helper()
	_, err := w.ledger.Save(w.Context(), w.id, ledger.Batch{Customers: []ledger.Customer{{ID: string(id), UpdatedAt: consent.InstantOf(w.clock.now()),
		Email: subject(w.id, consent.Email, email)}}})
	require.NoError(w, err)
}

// Seeds 6, 115, 170, 340: what Listrak does not date was dated by the clock of the machine that read it, and events that came to the door of a
// machine whose clock was five hours ahead were refused for ever, as older than the look-back.
func TestAMachinesClockDatesNothing(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			// 23:00 in New York.
			w := newWorld(t, options{begins: time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)})
			w.keeper.Now = func() time.Time { return w.clock.now().Add(ahead) }
			w.set(map[consent.Sync]bool{consent.EmailEvents: true, consent.SMSEvents: true})
			id, _ := w.send("Spring", 1)
			w.act(id, "person-0@example.com", list.Open)
			w.pass()
			w.clock.advance(2 * time.Minute)
			w.act(id, "person-0@example.com", list.Click) // Listrak dates the open alone
			w.pass()
			require.Equal(t, w.truth(id), w.toldDays(messageID(id)))

			body := `[`
			for n, at := range []time.Time{w.clock.now(), w.clock.now().Add(-30*24*time.Hour + time.Minute), w.clock.now().Add(4 * time.Minute)} {
				body += fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"test","type":"sms.sent","time":"%s","data":{"address":"+1555010%04d","message":"sale"}},`,
					n, at.Format(time.RFC3339), n)
			}
			report, err := w.keeper.Push(t.Context(), w.id, []byte(body[:len(body)-1]+`]`))
			require.NoError(t, err)
			require.Equal(t, 3, report.Taken, "%+v", report)
		})
	}
}

// belated is a store whose call about days does what it was asked only when somebody lets it, after its caller has given up.
type belated struct {
	engagement.Store
	// before is what happens between the look at what is due and the call.
	before func()
	cutOff bool
	late   func()
}

func (b *belated) CreateEngagements(ctx context.Context, e []shopify.Engagement) ([]error, error) {
	if b.before != nil {
		before := b.before
		b.before = nil
		before()
	}
	if !b.cutOff {
		return b.Store.CreateEngagements(ctx, e)
	}
	b.late = func() { _, _ = b.Store.CreateEngagements(context.Background(), e) }
	return nil, &failure.Error{Class: failure.Retry, Op: "send the totals of marketing activities", Code: "TIMEOUT", MaybeDone: true}
}

// A call that was cut off may take effect until two minutes after it has ended, and it ends later than what it was made of was looked at: the
// marketing activity was stored before, and points may have been waited for.
func TestWhatWasCutOffIsInDoubtFromItsEndOn(t *testing.T) {
	t.Parallel()
	w, store := newBelated(t)
	w.text("1")
	store.before = func() { w.clock.advance(100 * time.Second) }
	store.cutOff = true
	_, err := w.keeper.Pass(t.Context(), w.id)
	require.Error(t, err)
	store.cutOff = false
	w.clock.advance(30 * time.Second)
	w.text("2")
	w.pass()
	w.clock.advance(15 * time.Second)
	w.pass()
	w.clock.advance(70 * time.Second)
	store.late()
	require.Equal(t, 1, w.texts())
	w.clock.advance(time.Minute)
	w.pass()
	require.Equal(t, 2, w.texts())
}

// A process that dies in a call leaves nothing behind that says so, but that it had begun to tell. What another one tells meanwhile may be
// overwritten by that call, and is told once more.
func TestACallOfADeadProcessMayTakeEffectLate(t *testing.T) {
	t.Parallel()
	w, store := newBelated(t)
	w.text("1")
	store.cutOff = true
	store.before = func() { // it dies: nothing that it remembers arrives
		w.keeper.Ledger = deaf{w.keeper.Ledger}
	}
	_, err := w.keeper.Pass(t.Context(), w.id)
	require.Error(t, err)
	w.keeper.Ledger, w.keeper.Holder, store.cutOff = w.ledger, "another", false
	w.clock.advance(95 * time.Second) // the lease of the dead has run out
	w.text("2")
	w.pass()
	require.Equal(t, 2, w.texts())
	store.late()
	require.Equal(t, 1, w.texts())
	w.clock.advance(3 * time.Minute)
	w.pass()
	require.Equal(t, 2, w.texts())
}

// Seed 1560: a pass whose lease was taken over told what was old by then, and could not say so any more.
func TestWhoHasLostTheLeaseHasItToldAgain(t *testing.T) {
	t.Parallel()
	w, store := newBelated(t)
	w.text("1")
	store.before = func() {
		// While this one stands still, its lease runs out and another one tells more.
		w.clock.advance(4 * time.Minute)
		other := w.keeperOfAnother(store.Store)
		w.text("2")
		_, err := other.Pass(t.Context(), w.id)
		require.NoError(t, err)
		require.Equal(t, 2, w.texts())
	}
	_, err := w.keeper.Pass(t.Context(), w.id)
	require.ErrorIs(t, err, ledger.ErrFenced)
	require.Equal(t, 1, w.texts())
	w.clock.advance(5 * time.Minute)
	w.pass()
	require.Equal(t, 2, w.texts())
}

// deaf is a ledger that remembers nothing of what was told.
type deaf struct{ engagement.Records }

func (deaf) ToldDays(context.Context, ledger.RunLease, []ledger.ToldDay) error {
	return ledger.ErrUnreachable
}

func (deaf) ReleaseRun(context.Context, ledger.RunLease) error { return ledger.ErrUnreachable }

func newBelated(t *testing.T) (*world, *belated) {
	w := newWorld(t, options{})
	w.set(map[consent.Sync]bool{consent.SMSEvents: true})
	account, err := w.keeper.Connect(t.Context(), w.id)
	require.NoError(t, err)
	store := &belated{Store: account.Shopify}
	w.keeper.Connect = func(context.Context, string) (engagement.Account, error) {
		return engagement.Account{Shopify: store, Listrak: account.Listrak}, nil
	}
	return w, store
}

// keeperOfAnother is another process.
func (w *world) keeperOfAnother(store engagement.Store) *engagement.Keeper {
	return &engagement.Keeper{Ledger: w.ledger, SubjectKey: subjectKey, Timing: w.keeper.Timing, Now: w.clock.now, Holder: "another", Log: w.keeper.Log,
		Settings: w.keeper.Settings, Connect: func(context.Context, string) (engagement.Account, error) {
			return engagement.Account{Shopify: store}, nil
		}}
}

// text pushes a send of a text, now.
func (w *world) text(id string) {
	w.Helper()
	report, err := w.keeper.Push(w.Context(), w.id, fmt.Appendf(nil,
		`{"specversion":"1.0","id":"%s","source":"test","type":"sms.sent","time":"%s","data":{"address":"+1555010000%s","message":"sale"}}`,
		id, w.clock.now().Format(time.RFC3339), id))
	require.NoError(w, err)
	require.Equal(w, 1, report.Taken)
}

// texts is how many sends Shopify has of them.
func (w *world) texts() (n int) {
	for _, counts := range w.toldDays("sms-sale") {
		n += counts["sendsCount"]
	}
	return n
}
