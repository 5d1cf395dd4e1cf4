package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// demoPerson is one row: what the person does, what the rules demand of it, and what came of it.
type demoPerson struct {
	name, story string
	// channel is what the row is about; somebody with both has two.
	channel consent.Channel
	// number is the end of the person's phone number.
	number int
	// past is how both sides know the person before the syncs are switched on; act is what the person decides then, and afterwards
	// what the person does that must not change anything.
	past            func(*demo, *demoPerson) error
	act, afterwards func(context.Context, *demo, *demoPerson) error

	// want is what the rules demand: the state on both sides, and the subscription point in Listrak.
	wantShopify, wantListrak consent.State
	wantPoint                consent.Point

	customer shop.CustomerID
	// since is when the person had decided, zero before; took is how long it was until both sides agreed.
	since          time.Time
	took           time.Duration
	inShop, inList consent.State
	point          consent.Point
}

func (p *demoPerson) email() string { return p.name + "@example.com" }

func (p *demoPerson) phone() string { return fmt.Sprintf("+1555000%04d", p.number) }

const day = 24 * time.Hour

// demoPeople play every kind of decision. Who decided before the syncs were on comes first.
func demoPeople() []*demoPerson { return append(peopleByEmail(), peopleBySMS()...) }

// peopleByEmail have no phone number, all but one.
func peopleByEmail() []*demoPerson {
	people := emailStories()
	for _, p := range people {
		p.channel = consent.Email
	}
	return people
}

// rosa has both channels.
const rosa, rosasNumber = "Rosa", 1106

func peopleBySMS() []*demoPerson {
	const yes, no = consent.Subscribed, consent.Unsubscribed
	people := []*demoPerson{
		{name: "Nia", story: "subscribed by a text in Listrak, unknown in Shopify", wantShopify: yes, wantListrak: yes,
			past: func(d *demo, p *demoPerson) error { return d.inListrak(p, yes, 2*day) }},
		{name: "Oli", story: "consents in Shopify and orders at once", wantShopify: yes, wantListrak: yes, wantPoint: consent.Checkout,
			act: func(_ context.Context, d *demo, p *demoPerson) error {
				return errors.Join(d.inShopify(p, yes, 0), d.order(p))
			}},
		{name: "Pia", story: "consents in Shopify, never orders", wantShopify: yes, wantListrak: yes, wantPoint: consent.Marketing,
			act: func(_ context.Context, d *demo, p *demoPerson) error { return d.inShopify(p, yes, 0) }},
		{name: "Quin", story: "in both; replies STOP", wantShopify: no, wantListrak: no,
			past: both(yes, 3*day, yes, 3*day),
			act:  func(_ context.Context, d *demo, p *demoPerson) error { return d.SMS.Stop(p.phone(), d.now()) }},
		{name: "Sam", story: "subscribes by a text in Listrak, unknown in Shopify", wantShopify: yes, wantListrak: yes,
			act: func(_ context.Context, d *demo, p *demoPerson) error { return d.inListrak(p, yes, 0) }},
		{name: rosa, story: "the same person leaves SMS in Shopify: email stays", wantShopify: no, wantListrak: no,
			act: func(_ context.Context, d *demo, p *demoPerson) error { return d.inShopify(p, no, 0) }},
	}
	for i, p := range people {
		p.channel, p.number = consent.SMS, 1101+i
		if p.name == rosa {
			p.number = rosasNumber
		}
	}
	return people
}

func emailStories() []*demoPerson {
	const yes, no, unknown = consent.Subscribed, consent.Unsubscribed, consent.Absent
	return []*demoPerson{
		{name: "Ada", story: "subscribed in Listrak, unknown in Shopify", wantShopify: yes, wantListrak: yes,
			past: func(d *demo, p *demoPerson) error { return d.inListrak(p, yes, 2*day) }},
		{name: "Ben", story: "subscribed in Shopify, later unsubscribed in Listrak", wantShopify: no, wantListrak: no,
			past: both(yes, 3*day, no, 1*day)},
		{name: "Cleo", story: "unsubscribed in Shopify, later re-subscribed in Listrak", wantShopify: yes, wantListrak: yes,
			past: func(d *demo, p *demoPerson) error {
				return errors.Join(d.inShopify(p, no, 5*day),
					d.inListrak(p, yes, 40*day), d.inListrak(p, no, 9*day), d.inListrak(p, yes, 1*day))
			}},
		{name: "Dan", story: "subscribed in Listrak, later unsubscribed in Shopify", wantShopify: no, wantListrak: no,
			past: both(no, 1*day, yes, 3*day)},
		{name: "Eve", story: "a subscriber in Shopify from before: forward only", wantShopify: yes, wantListrak: unknown,
			past: func(d *demo, p *demoPerson) error { return d.inShopify(p, yes, 30*day) }},

		{name: rosa, number: rosasNumber, story: "subscribed on both sides, and to SMS too", wantShopify: yes, wantListrak: yes,
			past: func(d *demo, p *demoPerson) error {
				at := d.now().Add(-4 * day)
				subscribed := shop.Consent{State: shop.Subscribed, UpdatedAt: at}
				_, err := d.Shop.CreateCustomer(shop.NewCustomer{Email: p.email(), Consent: subscribed, Phone: p.phone(), SMSConsent: subscribed, At: at})
				return errors.Join(err, d.List.Subscribe(p.email(), at, "Website"), d.SMS.Subscribe(sandboxPhones, p.phone(), at))
			}},

		{name: "Finn", story: "consents in Shopify and orders at once", wantShopify: yes, wantListrak: yes, wantPoint: consent.Checkout,
			act: func(ctx context.Context, d *demo, p *demoPerson) error {
				return errors.Join(d.inShopify(p, yes, 0), d.order(p))
			}},
		{name: "Gina", story: "consents in Shopify, orders after six minutes", wantShopify: yes, wantListrak: yes, wantPoint: consent.Marketing,
			act: func(_ context.Context, d *demo, p *demoPerson) error { return d.inShopify(p, yes, 0) },
			afterwards: func(ctx context.Context, d *demo, p *demoPerson) error {
				if err := wait(ctx, demoLate); err != nil {
					return err
				}
				return d.order(p)
			}},
		{name: "Hugo", story: "consents in Shopify, never orders", wantShopify: yes, wantListrak: yes, wantPoint: consent.Marketing,
			act: func(_ context.Context, d *demo, p *demoPerson) error { return d.inShopify(p, yes, 0) }},
		{name: "Iris", story: "consents in Shopify, unsubscribes inside the window", wantShopify: no, wantListrak: unknown,
			act: func(ctx context.Context, d *demo, p *demoPerson) error {
				if err := d.inShopify(p, yes, 0); err != nil {
					return err
				}
				if err := wait(ctx, demoWindow/3); err != nil {
					return err
				}
				return d.inShopify(p, no, 0)
			}},
		{name: "Jon", story: "subscribes in Listrak, unknown in Shopify", wantShopify: yes, wantListrak: yes,
			act: func(_ context.Context, d *demo, p *demoPerson) error { return d.inListrak(p, yes, 0) }},
		{name: "Kim", story: "in both; unsubscribes in Listrak", wantShopify: no, wantListrak: no,
			past: both(yes, 3*day, yes, 3*day),
			act:  func(_ context.Context, d *demo, p *demoPerson) error { return d.inListrak(p, no, 0) }},
		{name: "Lea", story: "subscribes in Listrak, leaves in Shopify; no copy wins",
			wantShopify: no, wantListrak: no,
			act: func(ctx context.Context, d *demo, p *demoPerson) error {
				if err := d.inListrak(p, yes, 0); err != nil {
					return err
				}
				if err := d.until(ctx, p, yes, yes); err != nil {
					return err
				}
				return d.inShopify(p, no, 0)
			}},
		{name: "Max", story: "in both; unsubscribes in Shopify, comes back in Listrak", wantShopify: yes, wantListrak: yes,
			past: both(yes, 8*day, yes, 8*day),
			act: func(ctx context.Context, d *demo, p *demoPerson) error {
				if err := d.inShopify(p, no, 0); err != nil {
					return err
				}
				if err := d.until(ctx, p, no, no); err != nil {
					return err
				}
				// Within the uncertainty of the two clocks the no would win (rule 6).
				if err := wait(ctx, demoThought); err != nil {
					return err
				}
				return d.inListrak(p, yes, 0)
			}},
	}
}

// both is a past on both sides.
func both(inShopify consent.State, shopifyAgo time.Duration, inListrak consent.State, listrakAgo time.Duration) func(*demo, *demoPerson) error {
	return func(d *demo, p *demoPerson) error {
		first := listrakAgo + 10*day
		return errors.Join(d.inShopify(p, inShopify, shopifyAgo), d.inListrak(p, consent.Subscribed, first), d.inListrak(p, inListrak, listrakAgo))
	}
}

// inShopify lets the person decide in Shopify, ago before now.
func (d *demo) inShopify(p *demoPerson, state consent.State, ago time.Duration) (err error) {
	at := d.now().Add(-ago)
	shown := shop.Subscribed
	if state == consent.Unsubscribed {
		shown = shop.Unsubscribed
	}
	given := shop.Consent{State: shown, UpdatedAt: at}
	newcomer, set := shop.NewCustomer{Email: p.email(), At: at, Consent: given}, d.Shop.SetEmailConsent
	if p.channel == consent.SMS {
		newcomer, set = shop.NewCustomer{Phone: p.phone(), At: at, SMSConsent: given}, d.Shop.SetSMSConsent
	}
	if p.customer == "" {
		p.customer, err = d.Shop.CreateCustomer(newcomer)
		if !errors.Is(err, shop.ErrEmailTaken) && !errors.Is(err, shop.ErrPhoneTaken) {
			return err
		}
		// There is one: of the other channel's row, or created by ourselves meanwhile, out of a consent in Listrak.
		known, _ := d.shown(p)
		p.customer = known.ID
	}
	return set(p.customer, shown, at)
}

// shown is the person as Shopify has them.
func (d *demo) shown(p *demoPerson) (shop.Customer, bool) {
	if p.channel == consent.SMS {
		return d.Shop.CustomerByPhone(p.phone())
	}
	return d.Shop.Customer(p.email())
}

// inListrak lets the person decide in Listrak, ago before now.
func (d *demo) inListrak(p *demoPerson, state consent.State, ago time.Duration) error {
	at := d.now().Add(-ago)
	switch {
	case p.channel == consent.SMS && state == consent.Unsubscribed:
		return d.SMS.Unsubscribe(sandboxPhones, p.phone(), at)
	case p.channel == consent.SMS:
		return d.SMS.Subscribe(sandboxPhones, p.phone(), at)
	case state == consent.Unsubscribed:
		return d.List.Unsubscribe(p.email(), at, "Website")
	}
	return d.List.Subscribe(p.email(), at, "Website")
}

func (d *demo) order(p *demoPerson) error {
	_, err := d.Shop.PlaceOrder(shop.Order{CustomerID: p.customer})
	return err
}

// wait is a person taking their time.
func wait(ctx context.Context, span time.Duration) error {
	select {
	case <-time.After(span):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// until waits until both sides show a person so.
func (d *demo) until(ctx context.Context, p *demoPerson, inShopify, inListrak consent.State) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	seen := &demoPerson{name: p.name, channel: p.channel, number: p.number}
	for {
		d.look(seen)
		if seen.inShop == inShopify && seen.inList == inListrak {
			return nil
		}
		if err := wait(ctx, demoTick); err != nil {
			return fmt.Errorf("%s: Shopify shows %s and Listrak %s, want %s and %s", p.name, seen.inShop, seen.inList, inShopify, inListrak)
		}
	}
}

// play lets everybody act at the same time, and tells of each who agrees.
func (d *demo) play(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	acted := make(chan *demoPerson)
	for _, p := range d.people {
		if p.act == nil {
			continue
		}
		group.Go(func() error {
			if err := p.act(ctx, d, p); err != nil {
				return err
			}
			select {
			case acted <- p:
			case <-ctx.Done():
				return ctx.Err()
			}
			if p.afterwards != nil {
				return p.afterwards(ctx, d, p)
			}
			return nil
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- group.Wait() }()
	ticker := time.NewTicker(demoTick)
	defer ticker.Stop()
	for {
		select {
		case p := <-acted:
			// Only this goroutine reads and writes what became of people; since is set here for the same reason.
			p.since = d.now()
		case err := <-ended:
			return err
		case <-ticker.C:
			for _, p := range d.people {
				d.check(p)
			}
			d.checkMessages()
		}
	}
}

// look reads what both sides and the ledger say of a person.
func (d *demo) look(p *demoPerson) {
	p.inShop, p.inList, p.point = consent.Absent, consent.Absent, consent.NoPoint
	if customer, ok := d.shown(p); ok {
		given := customer.Consent
		if p.channel == consent.SMS {
			given = customer.SMSConsent
		}
		p.inShop = map[shop.State]consent.State{
			shop.Subscribed: consent.Subscribed, shop.Unsubscribed: consent.Unsubscribed, shop.NotSubscribed: consent.NeverAsked,
		}[given.State]
	}
	if p.channel == consent.SMS {
		d.lookAtPhone(p)
		return
	}
	contact, ok := d.List.Contact(p.email())
	if !ok {
		return
	}
	p.inList = map[list.State]consent.State{list.Subscribed: consent.Subscribed, list.Unsubscribed: consent.Unsubscribed}[contact.State]
	switch {
	case slices.Contains(contact.SubscriptionEvents, sandboxCheckout):
		p.point = consent.Checkout
	case slices.Contains(contact.SubscriptionEvents, sandboxMarketing):
		p.point = consent.Marketing
	}
}

// lookAtPhone reads what Listrak shows of a phone number. The checkout point is a list of its own; that one has come through marketing,
// only the ledger can say.
func (d *demo) lookAtPhone(p *demoPerson) {
	phone, ok := d.SMS.Phone(p.phone())
	if !ok {
		return
	}
	p.inList = consent.Unsubscribed
	if phone.Consents(sandboxPhones) {
		p.inList = consent.Subscribed
	}
	if phone.Consents(sandboxCheckoutPhone) {
		p.point = consent.Checkout
	} else if record, err := d.record(p); err == nil && record.Sent[consent.Listrak][0].Point == consent.Marketing {
		p.point = consent.Marketing
	}
}

func (p *demoPerson) asDemanded() bool {
	return p.inShop == p.wantShopify && p.inList == p.wantListrak && p.point == p.wantPoint
}

// outcome says what both sides show, in a few words.
func (p *demoPerson) outcome() string {
	switch {
	case p.inShop == p.inList && p.point != consent.NoPoint:
		return fmt.Sprintf("%s on both sides, through %s", p.inShop, p.point)
	case p.inShop == p.inList:
		return fmt.Sprintf("%s on both sides", p.inShop)
	}
	return fmt.Sprintf("%s in Shopify, %s in Listrak", shownAs(p.inShop), shownAs(p.inList))
}

// shownAs names a state in a table, where the column says on which side.
func shownAs(state consent.State) string {
	if state == consent.Absent {
		return "unknown"
	}
	return state.String()
}
