package privacy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/shopify"
)

// maxRaces bounds how often an erasure that somebody came in between is tried again at once.
const maxRaces = 20

// busyDelay is when something that another process holds is asked for again.
const busyDelay = 5 * time.Second

// ErasePerson erases what the ledger knows of the person: deliveries that are owed, checkout windows, records, ids, addresses, the
// journal. What stays is that they are unsubscribed, under the hash of each of their addresses and phone numbers. A *Busy is returned while a delivery is under way.
// Doing it again changes nothing.
func (o *Office) ErasePerson(ctx context.Context, merchant, id string) error {
	j, err := o.open(ctx, merchant, id)
	if err != nil || !j.request.Open() || j.progress.Erased != 0 {
		return err
	}
	return j.eraseAll(ctx)
}

func (j *job) eraseAll(ctx context.Context) error {
	return j.erase(ctx, func(located ledger.Located, now consent.Instant) (consent.Record, bool) {
		return consent.Erased(located.Record, now), true
	})
}

// eraseAgain erases what came back since eraseAll.
func (j *job) eraseAgain(ctx context.Context) error {
	return j.erase(ctx, func(located ledger.Located, _ consent.Instant) (consent.Record, bool) {
		return consent.ErasedSince(located.Record, j.progress.Erased)
	})
}

// FinishErasure erases once more what came back until Listrak had forgotten the person, and ends the request. Whoever has subscribed since
// the erasure has come back by their own will, and stays. It returns the outcome.
func (o *Office) FinishErasure(ctx context.Context, merchant, id string) (string, error) {
	j, err := o.open(ctx, merchant, id)
	if err != nil || !j.request.Open() {
		return outcomeOf(j), err
	}
	if err := j.eraseAgain(ctx); err != nil {
		return "", err
	}
	outcome := fmt.Sprintf("Erased here on %s; what stays is the hash of an unsubscribe.", day(j.progress.Erased))
	forgotten, refused := 0, 0
	for _, f := range j.progress.Forgets {
		if f.Refused {
			refused++
		} else {
			forgotten++
		}
	}
	switch {
	case forgotten > 0:
		outcome += fmt.Sprintf(" Listrak has forgotten the person (requests to it: %d).", forgotten)
	case refused > 0:
		outcome += " Listrak does not take the address, so it has nobody by it."
	default:
		outcome += " No address was known that Listrak could be asked to forget."
	}
	return j.finish(ctx, outcome)
}

func outcomeOf(j *job) string {
	if j == nil {
		return ""
	}
	return j.request.Outcome
}

// erase changes all records of the person as left says; not ok leaves one alone, and with it whatever is kept under its customer.
func (j *job) erase(ctx context.Context, left func(ledger.Located, consent.Instant) (consent.Record, bool)) error {
	for range maxRaces {
		found, err := j.find(ctx)
		if err != nil {
			return err
		}
		now, err := j.Engine.Ledger.Now(ctx)
		if err != nil {
			return err
		}
		erasure := ledger.Erasure{Request: j.request.ID}
		kept := map[string]bool{}
		for _, located := range found.subjects {
			if until := located.Record.LateEffectUntil(); until >= now {
				return &Busy{After: until.Since(now).Duration() + time.Second, Why: "a delivery of this person may still take effect"}
			}
			record, ok := left(located, now)
			if !ok {
				for _, customer := range customersOf(located) {
					kept[customer] = true
				}
				continue
			}
			erasure.Changes = append(erasure.Changes, ledger.Change{
				Channel: located.Channel, Subject: located.Subject, Version: located.Version, Record: record, Debts: record.Debts(),
				Address: ledger.EraseAddress, Journal: []ledger.Line{{
					Kind: ledger.Redacted, Side: ledger.NoSide, State: record.Decision.State, Date: record.Decision.At,
				}},
			})
		}
		for _, customer := range found.customers {
			if !kept[customer] {
				erasure.Customers = append(erasure.Customers, customer)
			}
		}
		progress := j.progress
		if progress.Erased == 0 {
			progress.Erased = now
			if erasure.Sealed, err = j.addOtherAddresses(ctx, found.subjects); err != nil {
				return err
			}
		}
		erasure.Phones = j.unreadable()
		if erasure.Progress, err = progress.encode(); err != nil {
			return err
		}
		err = j.Engine.Ledger.EraseSubjects(ctx, j.merchant, erasure)
		switch {
		case errors.Is(err, ledger.ErrConflict):
			continue
		case errors.Is(err, ledger.ErrClaimed):
			return &Busy{After: busyDelay, Why: "a delivery of this person is under way"}
		case err != nil:
			return err
		}
		j.progress = progress
		j.tellWindows(ctx, found.subjects)
		return nil
	}
	return &Busy{After: busyDelay, Why: "others keep changing this person"}
}

// tellWindows rouses the checkout windows of holds that are no more: each finds its hold gone and ends.
func (j *job) tellWindows(ctx context.Context, subjects []ledger.Located) {
	if j.Engine.HoldChanged == nil {
		return
	}
	for _, s := range subjects {
		if hold := s.Record.Hold; hold.Consent != 0 && !hold.Settled {
			j.Engine.HoldChanged(ctx, j.merchant, ledger.Held{Channel: s.Channel, Subject: s.Subject, Hold: hold})
		}
	}
}

// found is under what the ledger may know a person.
type found struct {
	// subjects has those that the request names, known or not, and those of the same customer.
	subjects  []ledger.Located
	customers []string
}

// find looks up all that belongs to the person: the addresses and phone numbers that the request names, the Shopify customers they were
// seen under, and the others of these customers.
func (j *job) find(ctx context.Context) (found, error) {
	var f found
	seen := map[consent.Subject]bool{}
	add := func(located ledger.Located) {
		if !seen[located.Subject] {
			seen[located.Subject] = true
			f.subjects = append(f.subjects, located)
		}
	}
	if j.request.Customer != "" {
		f.customers = append(f.customers, j.request.Customer)
	}
	for _, named := range j.named() {
		entries, err := j.Engine.Ledger.Load(ctx, j.merchant, named.Channel, []consent.Subject{named.Subject})
		if err != nil {
			return found{}, err
		}
		named.Entry = entries[named.Subject]
		add(named)
		for _, customer := range customersOf(named) {
			if !slices.Contains(f.customers, customer) {
				f.customers = append(f.customers, customer)
			}
		}
	}
	for _, customer := range f.customers {
		subjects, err := j.Engine.Ledger.SubjectsOfCustomer(ctx, j.merchant, customer)
		if err != nil {
			return found{}, err
		}
		for _, located := range subjects {
			add(located)
		}
	}
	return f, nil
}

// named are the subjects of the addresses and phone numbers that are known of the person.
func (j *job) named() []ledger.Located {
	var list []ledger.Located
	for _, raw := range j.emails() {
		if address, err := consent.NormaliseEmail(raw); err == nil {
			list = append(list, ledger.Located{Channel: consent.Email, Subject: j.subject(consent.Email, address)})
		}
	}
	for _, raw := range j.phones() {
		if phone, err := consent.NormalisePhone(raw, j.country); err == nil {
			list = append(list, ledger.Located{Channel: consent.SMS, Subject: j.subject(consent.SMS, phone)})
		}
	}
	return list
}

// emails and phones are what the request names and what was found out since.
func (j *job) emails() []string { return append([]string{j.person.Email}, j.person.Others...) }

func (j *job) phones() []string { return append([]string{j.person.Phone}, j.person.Phones...) }

// unreadable are the hashes of what should be phone numbers of the person and are none: under these they are listed for the operator.
func (j *job) unreadable() []consent.Subject {
	var list []consent.Subject
	for _, raw := range j.phones() {
		if _, err := consent.NormalisePhone(raw, j.country); raw != "" && err != nil {
			list = append(list, j.subject(consent.SMS, raw))
		}
	}
	return list
}

func (j *job) subject(channel consent.Channel, address string) consent.Subject {
	return consent.SubjectOf(j.Engine.Keys.SubjectKey(), j.merchant, channel, address)
}

func customersOf(located ledger.Located) []string {
	var list []string
	for _, customer := range []string{located.Record.Seen[consent.Shopify].Ref, located.Record.Hold.Customer} {
		if customer != "" && !slices.Contains(list, customer) {
			list = append(list, customer)
		}
	}
	return list
}

// addOtherAddresses finds out, before the ids are erased by which one could ask, which addresses the other subjects stand for, so that
// Listrak can be asked to forget those too. What neither a sealed address nor a side tells now cannot be found out. It returns the person
// sealed anew, nil when nothing was added.
func (j *job) addOtherAddresses(ctx context.Context, subjects []ledger.Located) ([]byte, error) {
	named := map[consent.Subject]bool{}
	for _, n := range j.named() {
		named[n.Subject] = true
	}
	about := j.person
	about.Others, about.Phones = slices.Clone(about.Others), slices.Clone(about.Phones)
	for _, s := range subjects {
		if named[s.Subject] {
			continue
		}
		switch address := j.addressOf(ctx, s); {
		case address == "":
		case s.Channel == consent.SMS:
			about.Phones = append(about.Phones, address)
		default:
			about.Others = append(about.Others, address)
		}
	}
	if len(about.Others)+len(about.Phones) == len(j.person.Others)+len(j.person.Phones) {
		return nil, nil
	}
	j.person = about
	return person.Seal(j.Engine.Keys, j.merchant, j.request.ID, about)
}

// addressOf opens a sealed address, or asks a side by its own key: Listrak for an email, Shopify for a phone number, which is its own key
// in Listrak. Empty when nobody tells one that hashes to the subject (I8).
func (j *job) addressOf(ctx context.Context, s ledger.Located) string {
	if len(s.SealedAddress) > 0 {
		if plain, err := j.Engine.Keys.Open(s.SealedAddress, reconcile.AddressContext(s.Subject)); err == nil && j.subject(s.Channel, string(plain)) == s.Subject {
			return string(plain)
		}
	}
	account, err := j.Engine.Connect(ctx, j.merchant)
	if err != nil {
		return ""
	}
	var address string
	if s.Channel == consent.SMS {
		address = phoneOf(ctx, account, s.Record.Seen[consent.Shopify].Ref, j.country)
	} else {
		address = emailOf(ctx, account, s.Record.Seen[consent.Listrak].Ref)
	}
	if j.subject(s.Channel, address) != s.Subject {
		return ""
	}
	return address
}

// emailOf is the address of a contact of Listrak's, normalised; empty when it cannot be found out.
func emailOf(ctx context.Context, account *reconcile.Account, key string) string {
	if key == "" {
		return ""
	}
	contact, ok, err := account.Listrak.Contact(ctx, key)
	if err != nil || !ok {
		return ""
	}
	address, err := consent.NormaliseEmail(contact.Address)
	if err != nil {
		return ""
	}
	return address
}

// phoneOf is the phone number of a Shopify customer, normalised; empty when it cannot be found out.
func phoneOf(ctx context.Context, account *reconcile.Account, customer, country string) string {
	if customer == "" {
		return ""
	}
	found, err := account.Shopify.CustomersByID(ctx, []shopify.CustomerID{shopify.CustomerID(customer)})
	if err != nil || len(found) == 0 {
		return ""
	}
	phone, err := consent.NormalisePhone(found[0].Phone, country)
	if err != nil {
		return ""
	}
	return phone
}
