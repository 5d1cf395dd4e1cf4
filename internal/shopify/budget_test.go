package shopify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"
	"pgregory.net/rapid"

	"github.com/concordsync/concord/internal/failure"
)

// leakyBucket is Shopify's side: a bucket of its own, latency both ways, and for each call the price of the formula. It runs on the
// faked time of a synctest bubble.
type leakyBucket struct {
	schema  *ast.Schema
	latency func() time.Duration

	mu               sync.Mutex
	max, rate, level float64
	at               time.Time
	overruns, served int
	spentPoints      float64
	// giveBack is the share of the price that is given back when the call has run.
	giveBack float64
	// mute lets calls take effect but never answers them.
	mute func() bool
}

func (l *leakyBucket) refill() {
	l.level = min(l.max, l.level+time.Since(l.at).Seconds()*l.rate)
	l.at = time.Now()
}

// RoundTrip implements http.RoundTripper.
func (l *leakyBucket) RoundTrip(request *http.Request) (*http.Response, error) {
	var body struct {
		Query string `json:"query"`
	}
	if err := json.NewDecoder(request.Body).Decode(&body); err != nil {
		return nil, err
	}
	query, errs := gqlparser.LoadQueryWithRules(l.schema, body.Query, rules.NewDefaultRules())
	if len(errs) > 0 {
		return nil, errs
	}
	price, data := 0.0, map[string]json.RawMessage{}
	for _, selection := range query.Operations[0].SelectionSet {
		field := selection.(*ast.Field)
		switch field.Name {
		case "customerCreate", "customerEmailMarketingConsentUpdate", "customerSmsMarketingConsentUpdate":
			price += WriteCost
			data[field.Alias] = json.RawMessage(`{"customer":{"id":"gid://shopify/Customer/1","updatedAt":"2026-01-01T00:00:00Z"},"userErrors":[]}`)
		case "nodes":
			price += costCustomersByID
			data[field.Alias] = json.RawMessage(`[null]`)
		case "customers":
			price += costChangedCustomers
			data[field.Alias] = json.RawMessage(`{"nodes":[],"pageInfo":{"hasNextPage":false}}`)
		default:
			price += costCustomerByKey
			data[field.Alias] = json.RawMessage(`null`)
		}
	}
	if trace := httptrace.ContextClientTrace(request.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{}) // as http.Transport would
	}
	time.Sleep(l.latency())
	l.mu.Lock()
	l.refill()
	fits := l.level >= price-1e-6
	actual := "null"
	if fits {
		l.level -= price
		l.served++
		l.spentPoints += price
	} else {
		l.overruns++
	}
	l.mu.Unlock()
	time.Sleep(l.latency())
	l.mu.Lock()
	l.refill()
	if fits {
		l.level = min(l.max, l.level+price*l.giveBack)
		actual = fmt.Sprint(price * (1 - l.giveBack))
	}
	level := l.level
	mute := l.mute != nil && l.mute()
	l.mu.Unlock()
	time.Sleep(l.latency())
	if mute {
		return nil, io.ErrUnexpectedEOF
	}
	text := fmt.Sprintf(`"extensions":{"cost":{"requestedQueryCost":%v,"actualQueryCost":%s,"throttleStatus":{"maximumAvailable":%v,"currentlyAvailable":%v,"restoreRate":%v}}}`,
		price, actual, l.max, level, l.rate)
	if fits {
		all, _ := json.Marshal(data)
		text = `"data":` + string(all) + `,` + text
	} else {
		text = `"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}],` + text
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString("{" + text + "}")), Request: request}, nil
}

// TestTheBudgetIsNeverOverrun lets goroutines read, reserve and write at will against a bucket with latency, on several plans, and
// demands that Shopify never has to refuse one for want of points.
func TestTheBudgetIsNeverOverrun(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphql", Input: Schema})
	rapid.Check(t, func(r *rapid.T) {
		plan := rapid.SampledFrom([]float64{100, 200, 1000}).Draw(r, "points a second")
		workers := rapid.IntRange(1, 12).Draw(r, "goroutines")
		rounds := rapid.IntRange(1, 12).Draw(r, "rounds")
		longest := rapid.IntRange(0, 3000).Draw(r, "longest latency in ms")
		giveBack := rapid.SampledFrom([]float64{0, 0, 0.5, 0.9}).Draw(r, "share given back")
		silent := rapid.SampledFrom([]float64{0, 0, 0.2}).Draw(r, "share without an answer")
		seed := rapid.Uint64().Draw(r, "seed")
		bucket := &leakyBucket{schema: schema, max: 20 * plan, rate: plan, level: 20 * plan, giveBack: giveBack}
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			var lock sync.Mutex
			roll := func(n int) int { lock.Lock(); defer lock.Unlock(); return random.IntN(n) }
			bucket.at = time.Now()
			bucket.latency = func() time.Duration { return time.Duration(roll(longest+1)) * time.Millisecond }
			bucket.mute = func() bool { return float64(roll(1000)) < silent*1000 }
			c, err := New(Config{Shop: "example.myshopify.com", Token: "t", HTTP: &http.Client{Transport: bucket}})
			require.NoError(t, err)
			var group sync.WaitGroup
			for range workers {
				group.Go(func() {
					for range rounds {
						switch roll(4) {
						case 0:
							c.CustomersByEmail(t.Context(), make([]string, 1+roll(50)))
							c.CustomersByEmail(t.Context(), repeated(address, 1+roll(120)))
						case 1:
							c.CustomersByID(t.Context(), []CustomerID{"gid://shopify/Customer/1"})
						case 2:
							c.ChangedCustomers(t.Context(), time.Time{}, "")
						case 3:
							n := 1 + roll(MaxWrites)
							if roll(3) > 0 {
								c.Reserve(t.Context(), n*WriteCost)
							}
							if roll(10) == 0 {
								continue // the claim was lost, the points stay reserved for a while
							}
							writes := make([]NewCustomer, n)
							for k := range writes {
								writes[k] = NewCustomer{Email: address, At: time.Unix(1, 0)}
							}
							c.CreateCustomers(t.Context(), writes)
						}
					}
				})
			}
			group.Wait()
		})
		if bucket.overruns > 0 {
			r.Fatalf("%d of %d calls came when Shopify had too few points for them", bucket.overruns, bucket.served+bucket.overruns)
		}
	})
}

func repeated(text string, n int) []string {
	list := make([]string, n)
	for k := range list {
		list[k] = text
	}
	return list
}

// TestTheBudgetIsUsedUp guards against the other fault: a budget that never overruns because it dawdles.
func TestTheBudgetIsUsedUp(t *testing.T) {
	t.Parallel()
	for name, lanes := range map[string]int{"one after the other": 1, "four at once": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bucket := &leakyBucket{schema: gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphql", Input: Schema}), max: 2000, rate: 100,
					level: 2000, at: time.Now(), latency: func() time.Duration { return 50 * time.Millisecond }}
				c, err := New(Config{Shop: "example.myshopify.com", Token: "t", HTTP: &http.Client{Transport: bucket}})
				require.NoError(t, err)
				writes := make([]NewCustomer, MaxWrites)
				for k := range writes {
					writes[k] = NewCustomer{Email: address, At: time.Unix(1, 0)}
				}
				began := time.Now()
				var group sync.WaitGroup
				for range lanes {
					group.Go(func() {
						for range 40 / lanes {
							if err := c.Reserve(t.Context(), MaxWrites*CreateCost); err != nil {
								t.Errorf("reserve: %v", err)
							}
							if _, err := c.CreateCustomers(t.Context(), writes); err != nil {
								t.Errorf("create: %v", err)
							}
						}
					})
				}
				group.Wait()
				// 2,000 customers cost 26,000 points; 2,000 are there at once and 100 come a second.
				ideal := 240 * time.Second
				require.LessOrEqual(t, time.Since(began), ideal+ideal/20, "the bucket stood idle")
				require.Zero(t, bucket.overruns)
			})
		})
	}
}

func testBudget(t *testing.T) (*budget, *clock) {
	t.Helper()
	var c clock
	c.move(1000 * time.Hour)
	return newBudget(c.now, func(ctx context.Context, wait time.Duration) error {
		c.move(wait)
		return ctx.Err()
	}), &c
}

// spendAndSettle makes a call that ends at once, with an answer that tells nothing of the budget.
func spendAndSettle(t *testing.T, b *budget, points int, write bool) {
	t.Helper()
	call, err := b.spend(t.Context(), points, write)
	require.NoError(t, err)
	b.settle(call, true, true, nil, 0)
}

func TestReservedPointsGoToWritesOnly(t *testing.T) {
	t.Parallel()
	b, clock := testBudget(t)
	require.NoError(t, b.reserve(t.Context(), 990))
	require.NoError(t, b.reserve(t.Context(), 990))
	before := clock.now()
	spendAndSettle(t, b, 20, false)
	require.Equal(t, before, clock.now(), "20 points were left")
	spendAndSettle(t, b, 990, true)
	require.Equal(t, before, clock.now(), "a write with a reservation does not wait")
	spendAndSettle(t, b, 100, false)
	require.InDelta(t, time.Second, clock.now().Sub(before), float64(20*time.Millisecond), "a read waits for points of its own")
}

func TestAnUnusedReservationEnds(t *testing.T) {
	t.Parallel()
	b, clock := testBudget(t)
	for range 2 {
		require.NoError(t, b.reserve(t.Context(), 1000))
	}
	clock.move(keepLife + time.Second)
	before := clock.now()
	for range 2 {
		_, err := b.spend(t.Context(), 1000, false)
		require.NoError(t, err)
	}
	require.Equal(t, before, clock.now())
}

func TestWaitingForTheBudget(t *testing.T) {
	t.Parallel()
	t.Run("ends at once when the deadline comes first", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(time.Now, sleepReal)
			_, err := b.spend(t.Context(), 2000, false)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			began := time.Now()
			_, err = b.spend(ctx, 1000, false)
			f := failure.As(err)
			require.Equal(t, CodeBudget, f.Code)
			require.Equal(t, failure.Retry, f.Class)
			require.Equal(t, 10*time.Second, f.Wait)
			require.Equal(t, began, time.Now())
		})
	})
	t.Run("can be cancelled, by the one in front and the ones behind", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(time.Now, sleepReal)
			_, err := b.spend(t.Context(), 2000, false)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 2)
			for range 2 {
				go func() { ended <- b.reserve(ctx, 1000) }()
			}
			synctest.Wait()
			cancel()
			for range 2 {
				require.ErrorIs(t, <-ended, context.Canceled)
			}
		})
	})
	t.Run("does not let cheap calls pass a dear one", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(time.Now, sleepReal)
			spendAndSettle(t, b, 2000, false)
			began := time.Now()
			dear := make(chan time.Duration, 1)
			go func() {
				if err := b.reserve(t.Context(), 1000); err != nil {
					t.Errorf("reserve: %v", err)
				}
				dear <- time.Since(began)
			}()
			synctest.Wait()
			for range 100 {
				spendAndSettle(t, b, 13, false)
			}
			require.Less(t, <-dear, 11*time.Second)
		})
	})
}

func TestStrangeFiguresAreNotBelieved(t *testing.T) {
	t.Parallel()
	b, _ := testBudget(t)
	for _, status := range []*throttleStatus{nil, {}, {MaximumAvailable: -1, CurrentlyAvailable: 5, RestoreRate: 5}, {MaximumAvailable: 5, RestoreRate: 0}} {
		call, err := b.spend(t.Context(), 10, false)
		require.NoError(t, err)
		b.settle(call, true, true, status, 10)
		require.EqualValues(t, standardBucket, b.ceiling)
		require.EqualValues(t, standardRestore, b.restore)
	}
}

func TestThePlanIsLearnedFromTheFirstAnswer(t *testing.T) {
	t.Parallel()
	b, clock := testBudget(t)
	call, err := b.spend(t.Context(), 10, false)
	require.NoError(t, err)
	b.settle(call, true, true, &throttleStatus{MaximumAvailable: 20000, CurrentlyAvailable: 19990, RestoreRate: 1000}, 10)
	before := clock.now()
	for range 19 {
		_, err := b.spend(t.Context(), 1000, false)
		require.NoError(t, err)
	}
	require.Equal(t, before, clock.now())
}

func TestReserveRefusesWhatNoRequestCanCost(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Shop: "example.myshopify.com", Token: "t"})
	require.NoError(t, err)
	require.Error(t, c.Reserve(t.Context(), 1001))
	require.Error(t, c.Reserve(t.Context(), -1))
	require.NoError(t, c.Reserve(t.Context(), MaxWrites*WriteCost))
}

// has tells whether the budget would let a call of so many points go at once.
func has(b *budget, points float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	_, ok := b.shortfall(points)
	return ok
}

func TestAFullBucketDoesNotRefillForCallsOnTheirWay(t *testing.T) {
	t.Parallel()
	b, clock := testBudget(t)
	_, err := b.spend(t.Context(), 1000, false)
	require.NoError(t, err)
	// If the call is still on its way after ten seconds Shopify's bucket was full all the time and gained nothing.
	clock.move(10 * time.Second)
	require.True(t, has(b, 1000))
	require.False(t, has(b, 1001))
}

func TestACallWithoutAnAnswerStillCounts(t *testing.T) {
	t.Parallel()
	b, clock := testBudget(t)
	lost, err := b.spend(t.Context(), 1000, false)
	require.NoError(t, err)
	b.settle(lost, true, false, nil, 0)
	// The next answer may have been given before Shopify read the lost call.
	next, err := b.spend(t.Context(), 10, false)
	require.NoError(t, err)
	b.settle(next, true, true, &throttleStatus{MaximumAvailable: 2000, CurrentlyAvailable: 1990, RestoreRate: 100}, 10)
	require.True(t, has(b, 990))
	require.False(t, has(b, 991))
	clock.move(lostLife + 20*time.Second)
	require.True(t, has(b, 2000), "it is forgotten in the end")
}

func TestACallThatNeverLeftIsGivenBack(t *testing.T) {
	t.Parallel()
	b, _ := testBudget(t)
	call, err := b.spend(t.Context(), 1000, false)
	require.NoError(t, err)
	b.settle(call, false, false, nil, 0)
	require.True(t, has(b, 2000))
}
