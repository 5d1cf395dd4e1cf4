package simulation

import (
	"fmt"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// side is one of the two systems, by the oracle's own name.
type side int

const (
	inShopify side = iota
	inListrak
)

func (s side) String() string { return [...]string{"Shopify", "Listrak"}[s] }

func (s side) other() side { return 1 - s }

// word is what a person says.
type word int

const (
	no word = iota
	yes
)

func (w word) String() string { return [...]string{"no", "yes"}[w] }

func wordOf(yes bool) word {
	if yes {
		return 1
	}
	return 0
}

// nobodyThere is the state of an address that a side does not know.
const nobodyThere = ""

// people gives addresses. Their local parts are words that stand nowhere else, so that one found in a log, an error or a journal is
// somebody's.
func addressOf(person int) string { return fmt.Sprintf("zebedee-%d@example.com", person) }

// spelling is the address as somebody types it.
func spelling(address string, how int) string {
	switch how % 4 {
	case 1:
		return strings.ToUpper(address[:1]) + address[1:]
	case 2:
		return " " + strings.ToUpper(address)
	}
	return address
}

// says is a person's own act at a side. It reports whether the side took it.
func (w *world) says(address string, where side, what word) bool {
	switch {
	case where == inShopify:
		return w.saysInShopify(address, what, w.now, true)
	case channelOf(address) == consent.SMS:
		return w.phoneSays(address, what)
	}
	return w.saysInListrak(address, what, "")
}

// saysInShopify dates the consent at, by the store's clock. Own tells that the person is there now; an import speaks for them.
func (w *world) saysInShopify(address string, what word, at time.Time, own bool) bool {
	state := shop.Unsubscribed
	if what == yes {
		state = shop.Subscribed
	}
	date := at.Add(w.scenario.storeAhead)
	customer, exists := w.customerOf(address)
	_, before := heldOn(customer, channelOf(address))
	var err error
	switch sms := channelOf(address) == consent.SMS; {
	case exists && sms:
		err = w.store.SetSMSConsent(customer.ID, state, date)
	case exists:
		err = w.store.SetEmailConsent(customer.ID, state, date)
	case what == no:
		return false
	case sms:
		err = w.signsUp(address, shop.Consent{State: state, UpdatedAt: date})
	default:
		_, err = w.store.CreateCustomer(shop.NewCustomer{Email: address, Consent: shop.Consent{State: state, UpdatedAt: date}})
	}
	if err != nil {
		return false
	}
	w.changed()
	w.watch.act(act{address: address, side: inShopify, word: what, at: at, made: w.now, counts: true, own: own, before: string(before.State)})
	return true
}

// saysInListrak is an act at Listrak, by the person or, with another method, by an import or a machine.
func (w *world) saysInListrak(address string, what word, method string) bool {
	contact, exists := w.list.Contact(address)
	if exists && contact.State == list.Pending {
		return false
	}
	var err error
	if what == yes {
		err = w.list.Subscribe(address, time.Time{}, method)
	} else {
		err = w.list.Unsubscribe(address, time.Time{}, method)
	}
	if err != nil {
		return false
	}
	w.changed()
	after, _ := w.list.Contact(address)
	machine := method == list.MethodBounce || method == list.MethodHygiene
	imported := method == list.MethodImport
	w.watch.act(act{
		address: address, side: inListrak, word: what, at: w.now, made: w.now, own: !machine && !imported, machine: machine, before: string(contact.State),
		// A later date alone is no opt-in, and neither is an import; a contact who has to confirm has not spoken yet.
		counts: !machine && !imported && after.State != list.Pending && (what == no || contact.State != list.Subscribed),
	})
	return true
}

// imports is an import of one address into Listrak. Where nobody has ever said anything it stands for a yes.
func (w *world) imports(address string) bool {
	if channelOf(address) == consent.SMS {
		return w.importsPhone(address)
	}
	return w.saysInListrak(address, yes, list.MethodImport)
}

func (w *world) confirms(address string) bool {
	if channelOf(address) == consent.SMS {
		return w.confirmsPhone(address)
	}
	contact, ok := w.list.Contact(address)
	if !ok || contact.State != list.Pending || w.list.Confirm(address) != nil {
		return false
	}
	w.changed()
	// Whom an import has brought shows as one for ever.
	counts := contact.SubscribeMethod != list.MethodImport
	w.watch.act(act{address: address, side: inListrak, word: yes, at: w.now, made: w.now, own: true, counts: counts, before: string(list.Pending)})
	return true
}

// orders is an order of the customer or, as a guest, of the address alone.
func (w *world) orders(address string, at time.Time, guest bool) bool {
	order := shop.Order{CreatedAt: at.Add(w.scenario.storeAhead)}
	if channelOf(address) == consent.SMS {
		order.Phone = address
	} else {
		order.Email = address
	}
	customer, ok := w.customerOf(address)
	if ok && !guest {
		order.CustomerID = customer.ID
	}
	if _, err := w.store.PlaceOrder(order); err != nil {
		return false
	}
	if !ok {
		w.watch.ordered(address, at, w.now)
	}
	for _, one := range addressesOf(customer) {
		w.watch.ordered(one, at, w.now)
	}
	w.changed()
	return true
}

// deletes takes the person away from a side.
func (w *world) deletes(address string, where side) bool {
	gone := []string{address}
	switch customer, ok := w.customerOf(address); {
	case where == inShopify:
		if !ok || w.store.DeleteCustomer(customer.ID) != nil {
			return false
		}
		gone = addressesOf(customer)
	case channelOf(address) == consent.SMS:
		if w.code.Delete(address) != nil {
			return false
		}
	default:
		if w.list.Delete(address) != nil {
			return false
		}
	}
	w.changed()
	for _, one := range gone {
		w.watch.disturbed(one, where, deleted)
	}
	return true
}

// moves gives a customer another address of the same channel.
func (w *world) moves(from, to string) bool {
	customer, ok := w.customerOf(from)
	change := w.store.ChangeEmail
	if channelOf(from) == consent.SMS {
		change = w.store.ChangePhone
	}
	if !ok || change(customer.ID, to) != nil {
		return false
	}
	w.changed()
	w.watch.disturbed(from, inShopify, "changed the address")
	w.watch.disturbed(to, inShopify, "got the address")
	if now, ok := w.customerOf(to); ok {
		w.watch.inherited(to, now)
	}
	return true
}

// merges makes one customer of two.
func (w *world) merges(one, two string) bool {
	a, ok := w.customerOf(one)
	b, also := w.customerOf(two)
	if !ok || !also {
		return false
	}
	if _, err := w.store.MergeCustomers(a.ID, b.ID); err != nil {
		return false
	}
	w.changed()
	for _, address := range append(addressesOf(a), addressesOf(b)...) {
		w.watch.disturbed(address, inShopify, "merged")
		if now, ok := w.customerOf(address); ok {
			w.watch.inherited(address, now)
		}
	}
	return true
}

// bans lets Listrak refuse an address for good.
func (w *world) bans(address string) bool {
	err := error(nil)
	if channelOf(address) == consent.SMS {
		err = w.code.Refuse(address, list.PhoneSuspended)
	} else {
		err = w.list.Refuse(address, list.Suppressed)
	}
	if err != nil {
		return false
	}
	w.watch.refused(address)
	return true
}
