package ledger_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// benchmark runs body on every database with a ledger that knows 50,000 subjects, 1,000 of them owed.
func benchmark(b *testing.B, body func(b *testing.B, l *ledger.Ledger, versions []int64)) {
	for _, d := range databases {
		b.Run(d.name, func(b *testing.B) {
			l := open(b, d.dsn(b))
			addMerchant(b, l, consent.EmailToListrak)
			versions := make([]int64, 50_000)
			for from := 0; from < len(versions); from += 5000 {
				conflicts, err := l.Save(b.Context(), acme, ledger.Batch{Changes: changes(versions, from, 5000)})
				require.NoError(b, err)
				require.Empty(b, conflicts)
			}
			body(b, l, versions)
		})
	}
}

// changes makes the next version of n subjects from the given one, as a round would: a report, a delivery, two journal lines.
func changes(versions []int64, from, n int) []ledger.Change {
	list := make([]ledger.Change, n)
	for i := range list {
		number := (from + i) % len(versions)
		record := decided(consent.Unsubscribed, consent.Instant(1_700_000_000_000_000+number))
		for _, side := range consent.Sides {
			record.Seen[side] = consent.Sighting{State: consent.Unsubscribed, Shown: record.Decision.At, At: record.Decision.At,
				Within: consent.Second, ReadBegan: record.Decision.At, Ref: fmt.Sprintf("gid://shopify/Customer/%d", number)}
		}
		record.Sent[consent.Listrak][0] = consent.Delivery{State: consent.Unsubscribed, Decision: record.Decision.At, Started: record.Decision.At,
			Deadline: record.Decision.At, Ended: record.Decision.At, Outcome: consent.Delivered, Try: 1}
		list[i] = ledger.Change{Channel: consent.Email, Subject: subject(number), Version: versions[number], Record: record,
			Journal: []ledger.Line{{Kind: ledger.Seen}, {Kind: ledger.Decided}}}
		if number%50 == 0 {
			list[i].Debts[consent.Listrak] = consent.Owed
			list[i].Address = ledger.StoreAddress(make([]byte, 64))
		}
		versions[number]++
	}
	return list
}

func perSecond(b *testing.B, subjects int) {
	b.ReportMetric(float64(b.N*subjects)/b.Elapsed().Seconds(), "subjects/s")
}

func BenchmarkSave(b *testing.B) {
	for _, size := range []int{1, 250, 5000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			benchmark(b, func(b *testing.B, l *ledger.Ledger, versions []int64) {
				from := 0
				for b.Loop() {
					conflicts, err := l.Save(b.Context(), acme, ledger.Batch{Changes: changes(versions, from, size)})
					if err != nil || len(conflicts) > 0 {
						b.Fatal(err, len(conflicts))
					}
					from += size
				}
				perSecond(b, size)
			})
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, size := range []int{250, 5000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			subjects := make([]consent.Subject, size)
			for i := range subjects {
				subjects[i] = subject(i)
			}
			benchmark(b, func(b *testing.B, l *ledger.Ledger, _ []int64) {
				for b.Loop() {
					entries, err := l.Load(b.Context(), acme, consent.Email, subjects)
					if err != nil || len(entries) != size {
						b.Fatal(err, len(entries))
					}
				}
				perSecond(b, size)
			})
		})
	}
}

func BenchmarkOwed(b *testing.B) {
	benchmark(b, func(b *testing.B, l *ledger.Ledger, _ []int64) {
		for b.Loop() {
			due, err := l.Owed(b.Context(), ledger.OwedQuery{Merchant: acme, Channel: consent.Email, Side: consent.Listrak, Limit: 50})
			if err != nil || len(due) != 50 {
				b.Fatal(err, len(due))
			}
		}
		perSecond(b, 50)
	})
}

func BenchmarkClaim(b *testing.B) {
	for _, size := range []int{1, 50} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			benchmark(b, func(b *testing.B, l *ledger.Ledger, versions []int64) {
				from := 0
				for b.Loop() {
					var requests []ledger.ClaimRequest
					for _, change := range changes(versions, from, size) {
						requests = append(requests, ledger.ClaimRequest{Change: change, Side: consent.Listrak, Sync: consent.EmailToListrak, Lease: 1000})
					}
					results, err := l.Claims(b.Context(), acme, plenty, requests)
					if err != nil {
						b.Fatal(err)
					}
					for _, r := range results {
						if r.Err != nil {
							b.Fatal(r.Err)
						}
					}
					from += size
				}
				perSecond(b, size)
			})
		})
	}
}
