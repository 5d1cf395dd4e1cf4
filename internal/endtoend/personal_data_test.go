package endtoend

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/histories"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// Nothing that people look at, and nothing that Temporal keeps, may hold an address or a phone number, in whatever spelling, also when
// everything goes wrong on the way (I7).
func TestNoAddressInHistoriesLogsOrTheLedger(t *testing.T) {
	t.Parallel()
	s := newStack(t).work()
	seed := uint64(time.Now().UnixNano())
	t.Logf("fault seed %d", seed)
	faults := []fault.Rule{
		{Kind: fault.TimeoutBefore, Delay: 2500 * time.Millisecond, Chance: 0.03},
		{Kind: fault.TimeoutAfter, Delay: 2500 * time.Millisecond, Chance: 0.03},
		{Kind: fault.ServerError, Chance: 0.1}, {Kind: fault.HTMLError, Chance: 0.1}, {Kind: fault.ErrorAfter, Chance: 0.05},
		{Kind: fault.Throttled, Chance: 0.05}, {Kind: fault.TooManyRequests, Chance: 0.05},
	}
	s.shop.Faults.Set(seed, faults...)
	s.list.Faults.Set(seed+1, faults...)
	s.code.Faults.Set(seed+2, faults...)
	s.set(workflows.SyncDelta{consent.EmailToShopify: true, consent.EmailToListrak: true, consent.SMSToShopify: true, consent.SMSToListrak: true})
	const people = 12
	for i := range people {
		email := fmt.Sprintf("secret-%d@private.example", i)
		if i%2 == 0 {
			must(t, s.list.Subscribe(email, time.Now(), "Website"))
			continue
		}
		id, err := s.shop.CreateCustomer(shop.NewCustomer{Email: email, Consent: shop.Consent{State: shop.Subscribed}})
		must(t, err)
		if i%4 == 1 {
			_, err = s.shop.PlaceOrder(shop.Order{CustomerID: id, Email: email})
			must(t, err)
		}
	}
	const phones = 6
	phone := func(i int) string { return fmt.Sprintf("+1555867%04d", 5300+i) }
	secrets := []string{"private.example", clientSecret}
	for i := range phones {
		secrets = append(secrets, histories.Spellings(phone(i))...)
		if i%2 == 0 {
			must(t, s.code.Subscribe(s.phoneLists()[0], phone(i), time.Now()))
			continue
		}
		id, err := s.shop.CreateCustomer(shop.NewCustomer{Phone: phone(i), SMSConsent: shop.Consent{State: shop.Subscribed}})
		must(t, err)
		if i%4 == 1 {
			_, err = s.shop.PlaceOrder(shop.Order{CustomerID: id})
			must(t, err)
		}
	}
	s.awaitRounds(6)
	s.shop.Faults.Set(0)
	s.list.Faults.Set(0)
	s.code.Faults.Set(0)
	for i := range people {
		s.settled(fmt.Sprintf("secret-%d@private.example", i))
	}
	for i := range phones {
		s.shopShowsPhone(phone(i), shop.Subscribed)
		s.listShowsPhone(phone(i), true)
	}
	struck := len(s.shop.Faults.Struck()) + len(s.list.Faults.Struck()) + len(s.code.Faults.Struck())
	if struck == 0 {
		t.Error("no fault struck: the run shows nothing")
	}

	for _, where := range s.everything() {
		if excerpt, ok := where.Holding(secrets...); ok {
			t.Errorf("%s holds an address, a phone number or a secret: %s", where.Name, excerpt)
		}
	}
}

// everything reads all that Temporal keeps of the merchant, the log, and the ledger's files.
func (s *stack) everything() []histories.Place {
	s.t.Helper()
	places, err := histories.Of(s.t.Context(), s.temporal, s.id)
	must(s.t, err)
	places = append(places, histories.Place{Name: "the log", Text: s.logs.String()})
	path := strings.TrimPrefix(s.settings.Ledger.Reveal(), "sqlite:")
	for _, suffix := range []string{"", "-wal"} {
		if raw, err := os.ReadFile(path + suffix); err == nil {
			places = append(places, histories.Place{Name: "the ledger's file" + suffix, Text: string(raw)})
		}
	}
	return places
}
