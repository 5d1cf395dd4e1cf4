package simulation

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// smsScenario is how SMS is made in the world of a seed, if the merchant has it at all.
type smsScenario struct {
	on bool
	// checkoutList, noWindow and optOut are the merchant's settings.
	checkoutList, noWindow, optOut                                                                                bool
	doubleOptIn                                                                                                   bool
	sameState                                                                                                     list.SameState
	optedOut                                                                                                      list.OptedOutAnswer
	stopReason                                                                                                    list.OptOutReason
	spelling                                                                                                      list.PhoneSpelling
	optOutLeavesLists, startKeepsDates, hidesOptOutDate, onlySubscribed, numberedReasons, missing404, lowerStates bool
	// comparison is how often the list is compared.
	comparison time.Duration
}

// openSMS gives the merchant a sender code.
func (w *world) openSMS(zone *time.Location) (err error) {
	s := w.scenario.sms
	w.settings.SMS.SenderCode, w.settings.SMS.List, w.settings.SMS.Country = senderCode, smsList, "US"
	w.settings.SMS.NoWindow, w.settings.SMS.OptOut = s.noWindow, s.optOut
	lists := []list.PhoneList{{ID: smsList}}
	if s.checkoutList {
		w.settings.SMS.CheckoutList = smsCheckout
		lists = append(lists, list.PhoneList{ID: smsCheckout})
	}
	w.code, err = list.NewSenderCode(list.SenderCodeConfig{
		ID: senderCode, ClientID: "sms", Secret: "none", Lists: lists, Zone: zone, ClockSkew: w.scenario.listAhead, Now: func() time.Time { return w.now },
		SameState: s.sameState, OptedOut: s.optedOut, StopReason: s.stopReason, Spelling: s.spelling, OptOutLeavesLists: s.optOutLeavesLists,
		StartKeepsDates: s.startKeepsDates, HidesOptOutDate: s.hidesOptOutDate, OnlySubscribed: s.onlySubscribed,
		NumberedReasons: s.numberedReasons, Missing404: s.missing404, LowerStates: s.lowerStates,
	})
	return err
}

// exchangeCode is in every phone number and nowhere else, so that one found in a log, an error or a journal is somebody's.
const exchangeCode = "6135550"

// firstPhone is the last part of the phone number of the first person.
const firstPhone = 100

// phoneOf is a person's phone number.
func phoneOf(person int) string { return fmt.Sprintf("+1%s%03d", exchangeCode, firstPhone+person) }

// emailOf is the email of the person whose phone number it is, at first.
func emailOf(phone string) string {
	person, err := strconv.Atoi(phone[len(phone)-3:])
	if err != nil {
		panic(err) // phoneOf makes no others
	}
	return addressOf(person - firstPhone)
}

// channelOf is the channel of an address.
func channelOf(address string) consent.Channel {
	if strings.HasPrefix(address, "+") {
		return consent.SMS
	}
	return consent.Email
}

func subjectOf(address string) consent.Subject {
	return consent.SubjectOf(subjectKey, merchantID, channelOf(address), address)
}

// customerOf is who has an address in Shopify.
func (w *world) customerOf(address string) (shop.Customer, bool) {
	if channelOf(address) == consent.SMS {
		return w.store.CustomerByPhone(address)
	}
	return w.store.Customer(address)
}

// addressesOf are a customer's, of both channels.
func addressesOf(customer shop.Customer) (all []string) {
	for _, address := range []string{customer.Email, customer.Phone} {
		if address != "" {
			all = append(all, normal(address))
		}
	}
	return all
}

// shows is the state in which a side shows an address.
func (w *world) shows(address string, where side) string {
	switch {
	case where == inShopify:
		customer, ok := w.customerOf(address)
		if !ok {
			return nobodyThere
		}
		_, held := heldOn(customer, channelOf(address))
		return string(held.State)
	case channelOf(address) == consent.SMS:
		state, _ := w.phoneShown(address)
		return state
	}
	contact, _ := w.list.Contact(address)
	return string(contact.State)
}

// phoneShown is what Listrak's API shows of a phone number, and the date that goes with it, in true time.
func (w *world) phoneShown(phone string) (state string, date time.Time) {
	p, _ := w.code.Phone(phone)
	switch state = phoneState(p, smsList); {
	case p.OptedOut:
		date = p.OptedOutAt
	case state == string(list.Subscribed):
		date = p.Lists[smsList].SubscribedAt
	case state == string(list.Unsubscribed):
		date = p.Lists[smsList].UnsubscribedAt
	}
	return state, date.Add(-w.scenario.listAhead)
}

func (w *world) asksToConfirm(channel consent.Channel) bool {
	if channel == consent.SMS {
		return w.scenario.sms.doubleOptIn
	}
	return w.scenario.doubleOptIn
}

// atSenderCode lets something happen to a phone number at Listrak, and takes note of what the API shows of it from then on. The date of
// the act is a.at, or now.
func (w *world) atSenderCode(phone string, a act, do func() error) bool {
	before, beforeDate := w.phoneShown(phone)
	if a.at.IsZero() {
		a.at = w.now
	}
	if do() != nil {
		return false
	}
	w.changed()
	after, date := w.phoneShown(phone)
	a.address, a.side, a.made, a.before = phone, inListrak, w.now, before
	older := date.Before(a.at.Add(-time.Second))
	switch {
	case after == nobodyThere:
		// An opt-out was taken back of somebody who had never been on the list.
		w.watch.disturbed(phone, inListrak, deleted)
		return true
	case after == before && date.Equal(beforeDate), after == string(list.Pending):
		// Nothing can be seen of it, as of somebody's leaving the list who is opted out anyway; or the person has to confirm.
	case after == string(list.Unsubscribed):
		// Who takes an opt-out back and has left the list before shows that no again.
		a.word, a.at, a.counts = no, date, !a.machine
	default:
		// A subscription that keeps its old date when an opt-out is taken back is older than that no, so by the rules' text it takes
		// nothing back (rule 4); a later date alone is no word (rule 8). An import into a phone list does not show that it is one.
		a.at, a.counts = date, before != string(list.Subscribed) && !older
	}
	w.watch.act(a)
	return true
}

// phoneSays is a person's own act at Listrak, by one of the ways that there are.
func (w *world) phoneSays(phone string, what word) bool {
	p, _ := w.code.Phone(phone)
	held, listed := p.Lists[smsList]
	switch {
	case what == yes && p.OptedOut && w.random.IntN(2) == 0:
		return w.starts(phone)
	case what == yes:
		return (p.OptedOut || held.State != list.Pending) && w.joins(phone, time.Time{})
	case listed && held.State != list.Pending && w.random.IntN(3) == 0:
		return w.leaves(phone, time.Time{})
	}
	return w.optsOut(phone, w.code.Config().StopReason, time.Time{})
}

func (w *world) joins(phone string, at time.Time) bool {
	return w.atSenderCode(phone, act{word: yes, at: at, own: true}, func() error { return w.code.Subscribe(smsList, phone, at) })
}

// leaves is a person's leaving the list, which no poll tells.
func (w *world) leaves(phone string, at time.Time) bool {
	return w.atSenderCode(phone, act{word: no, at: at, own: true}, func() error { return w.code.Unsubscribe(smsList, phone, at) })
}

func (w *world) starts(phone string) bool {
	return w.atSenderCode(phone, act{word: yes, own: true}, func() error { return w.code.Start(phone, time.Time{}) })
}

// optsOut opts a phone number out of the sender code, for a reason of people's or of a machine's.
func (w *world) optsOut(phone string, reason list.OptOutReason, at time.Time) bool {
	machine := reason == list.OptOutDeliveryFailure || reason == list.OptOutPermanentError
	return w.atSenderCode(phone, act{word: no, at: at, own: !machine, machine: machine}, func() error { return w.code.OptOut(phone, at, reason) })
}

func (w *world) importsPhone(phone string) bool {
	return w.atSenderCode(phone, act{word: yes}, func() error {
		taken, err := w.code.Import(smsList, []string{phone}, time.Time{})
		if err == nil && taken == 0 {
			err = list.ErrNoContact
		}
		return err
	})
}

func (w *world) confirmsPhone(phone string) bool {
	return w.atSenderCode(phone, act{word: yes, own: true}, func() error { return w.code.Confirm(smsList, phone) })
}

// signsUp makes somebody with a phone number known to Shopify: as a customer who is there already, or as a new one.
func (w *world) signsUp(phone string, consent shop.Consent) error {
	customer, ok := w.store.Customer(emailOf(phone))
	if !ok || customer.Phone != "" {
		_, err := w.store.CreateCustomer(shop.NewCustomer{Phone: phone, SMSConsent: consent})
		return err
	}
	if err := w.store.ChangePhone(customer.ID, phone); err != nil {
		return err
	}
	w.watch.brings(customer.Email, phone)
	return w.store.SetSMSConsent(customer.ID, consent.State, consent.UpdatedAt)
}

// checksOut is an order in which a box is ticked for each channel.
func (w *world) checksOut(email, phone string, ticked shop.Ticked) bool {
	before, known := w.store.Customer(email)
	if !known {
		before, _ = w.store.CustomerByPhone(phone)
	}
	if _, err := w.store.CheckOut(shop.Order{Email: email, Phone: phone, CreatedAt: w.now.Add(w.scenario.storeAhead)}, ticked); err != nil {
		return false
	}
	w.changed()
	buyer, ok := w.store.Customer(email)
	if !ok {
		buyer, _ = w.store.CustomerByPhone(phone)
	}
	if before.Email != "" && before.Phone == "" && buyer.Phone != "" {
		w.watch.brings(before.Email, buyer.Phone)
	}
	if buyer.Email != email {
		// The order of a customer known by phone alone names an email all the same, and is found by it.
		w.watch.ordered(email, w.now, w.now)
	}
	for _, channel := range consent.Channels {
		address, _ := heldOn(buyer, channel)
		if address == "" {
			continue
		}
		if is := [...]bool{consent.Email: ticked.Email, consent.SMS: ticked.SMS}[channel]; is {
			_, was := heldOn(before, channel)
			w.watch.act(act{address: address, side: inShopify, word: yes, at: w.now, made: w.now, counts: true, own: true, before: string(was.State)})
		}
		w.watch.ordered(address, w.now, w.now)
	}
	return true
}

// hands gives a phone number from the customer who has it to another one, as in a household.
func (w *world) hands(phone, email string) bool {
	holder, ok := w.store.CustomerByPhone(phone)
	heir, also := w.store.Customer(email)
	if !ok || !also || holder.ID == heir.ID || w.store.ChangePhone(holder.ID, "") != nil {
		return false
	}
	w.changed()
	w.watch.disturbed(phone, inShopify, "was taken away")
	if w.store.ChangePhone(heir.ID, phone) != nil {
		return true
	}
	if heir.Phone != "" {
		w.watch.disturbed(heir.Phone, inShopify, "changed the address")
	}
	w.watch.disturbed(phone, inShopify, "got the address")
	if now, ok := w.store.CustomerByPhone(phone); ok {
		w.watch.inherited(phone, now)
	}
	return true
}

// compared is when the last comparison of the list that has come to its end began, and whether none is under way.
func (w *world) compared() (began time.Time, done bool) {
	cursors, err := w.rememberedCursors(func() (map[string]string, error) { return w.book.Cursors(w.context, merchantID) })
	if err != nil {
		return time.Time{}, false
	}
	done = true
	for _, name := range []string{"sms.listed", "sms.unlisted"} {
		var pass struct {
			Since time.Time `json:"since"`
			Done  bool      `json:"done"`
		}
		if json.Unmarshal([]byte(cursors[name]), &pass) != nil || !pass.Done {
			done = false
		}
		if name == "sms.listed" {
			began = pass.Since
		}
	}
	return began, done
}

// comparisonDue is when the rounds compare the list next.
func (w *world) comparisonDue() time.Time {
	switches, err := w.rememberedSwitches(func() (ledger.Switches, error) { return w.book.Switches(w.context, merchantID) })
	if err == nil && !switches.Syncs[consent.SMSToShopify].On && !switches.Syncs[consent.SMSToListrak].On {
		return w.end // nobody reads the list
	}
	began, done := w.compared()
	if !done {
		return w.now
	}
	return began.Add(w.comparison)
}
