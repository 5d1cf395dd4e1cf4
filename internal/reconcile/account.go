package reconcile

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/skew"
)

// Account is a merchant with open connections to both sides. It is shared by everything that runs for the merchant in this
// process, so that there is one budget, one request rate and one token.
type Account struct {
	Settings merchant.Settings
	Shopify  Shopify
	Listrak  Listrak
	// SMS is nil when the merchant has not set it up.
	SMS  SMS
	zone *time.Location
	// proven becomes true with the first write whose date agreed with the zone, of this process or another.
	proven atomic.Bool
	// doubt is the last write if it said that the proven zone is wrong, and nil if it agreed.
	doubt atomic.Pointer[zoneDoubt]
	// clocks are the sides', as far as answers have told.
	clocks [2]skew.Clock
}

// NewAccount joins settings and connections; sms is nil when there is none. It fails when the settings' zone is none.
func NewAccount(settings merchant.Settings, store Shopify, list Listrak, sms SMS) (*Account, error) {
	zone, err := settings.Location()
	if err != nil {
		return nil, err
	}
	account := &Account{Settings: settings, Shopify: store, Listrak: list, SMS: sms, zone: zone}
	account.proven.Store(settings.ZoneProven)
	return account, nil
}

// SetZoneProven tells the account whether writes have proven its zone, of this process or another. A doubt of this process stays until
// a write of its own has cleared it up.
func (a *Account) SetZoneProven(proven bool) {
	a.proven.Store(proven)
	if !proven {
		a.doubt.Store(nil)
	}
}

// listrakUncertainty is how far a date of Listrak's may be off.
func (a *Account) listrakUncertainty(ambiguous bool) time.Duration {
	return listrak.Uncertainty(a.proven.Load() && a.doubt.Load() == nil, a.clocks[consent.Listrak].Within(), ambiguous)
}

// shopifyUncertainty is how far a date of Shopify's may be off: it stores whole seconds (contracts/shopify.md 3), by its own clock.
func (a *Account) shopifyUncertainty() time.Duration {
	return a.clocks[consent.Shopify].CutWithin(time.Second)
}

// measure compares a side's clock with ours.
func (a *Account) measure(side consent.Side, r read, server time.Time) {
	a.clocks[side].Compare(r.began.Time(), r.ended.Time(), server)
}

// wrongZone is the error of a merchant whose Listrak dates are not in the zone that was set.
func wrongZone(proof listrak.ZoneProof, zone string) error {
	return &failure.Error{
		Class: failure.PersonMustAct, Op: "compare Listrak's dates with the clock", Code: "WRONG_ZONE",
		Advice: fmt.Sprintf("Listrak's dates are %s away from UTC, but the zone %s is %s: set the right one with `starter merchant set --zone`",
			hours(proof.Seen), zone, hours(proof.Configured)),
	}
}

func hours(d time.Duration) string { return fmt.Sprintf("%+.2f h", d.Hours()) }

// zoneDoubt is a write of ours that disproved a zone which had been proven.
type zoneDoubt struct {
	subject consent.Subject
	seen    time.Duration
}

// doubtZone notes a proof that the zone is wrong, and reports whether it was the second in a row that said the same of another contact.
// One may be a coincidence, of a date that was not our write's but lies whole quarters of an hour away from it. From the first on
// dates count as unproven: until it is known which it is, they may be off.
func (a *Account) doubtZone(d zoneDoubt) (sure bool) {
	before := a.doubt.Swap(&d)
	return before != nil && before.subject != d.subject && before.seen == d.seen
}

// proveZone compares the date that Listrak gave to a write of ours with the clocks. A wrong zone stops the merchant: every date would be
// off by hours, and an older yes could beat a newer no. It goes on with every write, since a proof is one for the offset of that day: a
// fixed offset agrees with a zone that has summer time for half a year, and Listrak may give the account another zone.
func (s *session) proveZone(ctx context.Context, subject consent.Subject, rawDate string, began, ended, server time.Time) error {
	account := s.account
	proof := listrak.ProveZone(rawDate, account.zone, began, ended, server)
	switch proof.Verdict {
	case listrak.ZoneWrong:
		if account.proven.Load() {
			if !account.doubtZone(zoneDoubt{subject, proof.Seen}) {
				s.Log.Warn("A date of Listrak's does not agree with the merchant's zone; the next one will tell", "merchant", s.merchant)
				return nil
			}
			if err := s.ZoneDisproven(ctx, account.Settings); err != nil {
				return fmt.Errorf("remember that the zone is wrong: %w", err)
			}
			account.SetZoneProven(false)
		}
		return wrongZone(proof, account.Settings.Zone)
	case listrak.ZoneProven:
		account.doubt.Store(nil)
		if account.proven.Load() {
			return nil
		}
		if err := s.ZoneProven(ctx, account.Settings); err != nil {
			return fmt.Errorf("remember the proven zone: %w", err)
		}
		account.SetZoneProven(true)
	}
	return nil
}
