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
	zone     *time.Location
	// proven becomes true with the first write whose date agreed with the zone, of this process or another.
	proven atomic.Bool
	// clocks are the sides', as far as answers have told.
	clocks [2]skew.Clock
}

// NewAccount joins settings and connections. It fails when the settings' zone is none.
func NewAccount(settings merchant.Settings, store Shopify, list Listrak) (*Account, error) {
	zone, err := settings.Location()
	if err != nil {
		return nil, err
	}
	account := &Account{Settings: settings, Shopify: store, Listrak: list, zone: zone}
	account.proven.Store(settings.ZoneProven)
	return account, nil
}

// MarkZoneProven tells the account that a write has proven its zone.
func (a *Account) MarkZoneProven() { a.proven.Store(true) }

// listrakUncertainty is how far a date of Listrak's may be off.
func (a *Account) listrakUncertainty(ambiguous bool) time.Duration {
	return listrak.Uncertainty(a.proven.Load(), a.clocks[consent.Listrak].Within(), ambiguous)
}

// shopifyUncertainty is how far a date of Shopify's may be off: it stores whole seconds (contracts/shopify.md 3), by its own clock.
func (a *Account) shopifyUncertainty() time.Duration {
	return max(time.Second, a.clocks[consent.Shopify].Within())
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

// proveZone compares the date that Listrak gave to a write of ours with the clocks, while the merchant's zone is unproven. A wrong
// zone stops the merchant: every date would be off by hours, and an older yes could beat a newer no.
func (s *session) proveZone(ctx context.Context, contact listrak.Contact, began, ended, server time.Time) error {
	if s.account.proven.Load() {
		return nil
	}
	proof := listrak.ProveZone(contact.RawDate, s.account.zone, began, ended, server)
	switch proof.Verdict {
	case listrak.ZoneWrong:
		return wrongZone(proof, s.account.Settings.Zone)
	case listrak.ZoneProven:
		if err := s.ZoneProven(ctx, s.account.Settings); err != nil {
			return fmt.Errorf("remember the proven zone: %w", err)
		}
		s.account.MarkZoneProven()
	}
	return nil
}
