package shopify

import (
	"context"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/failure"
)

// What a Standard plan has: assumed until the first answer tells (contracts/shopify.md 2.1). Every other plan has more.
const (
	standardBucket  = 2000
	standardRestore = 100
)

const (
	// keepLife is how long points stay reserved. A reservation whose write never came (its claim was lost) would otherwise make the
	// bucket smaller for ever.
	keepLife = time.Minute
	// lostLife is how long a call without an answer counts as under way: Shopify may still charge it.
	lostLife = 30 * time.Second
	// A waiting call looks again at least this often, because an answer may have given points back meanwhile.
	longestNap, shortestNap = time.Second, 10 * time.Millisecond
)

// budget is our side of Shopify's leaky bucket. Shopify's own figure is the truth, but it is old when it arrives and knows nothing of
// calls on their way, so between two answers a local model goes on: it never shows more than Shopify has. Why that holds: points are
// taken here before the call leaves and given back after Shopify gave them back, both refill at the same rate, and what is under way
// or reserved lowers the local ceiling (a full bucket does not refill, so points restored during a call's flight may not exist there).
type budget struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
	// turn is held by the one call that waits for points, so that calls are served in the order they came and a dear one is not
	// starved by cheap ones. spareTurn is the same among those that take spare points.
	turn, spareTurn chan struct{}

	mu                          sync.Mutex
	ceiling, restore, available float64
	at                          time.Time
	flying                      map[*charge]struct{}
	kept                        []keep
	// waiting counts the calls that wait for points, but for those that take spare ones.
	waiting int
	// share is what spendModest may take at the moment although others need it.
	share float64
}

// charge is a call under way.
type charge struct {
	points float64
	// overlapped: another call was under way at the same time, so the figure that comes back may or may not contain that one.
	overlapped bool
	// lost is when the call ended without an answer; zero while it is awaited.
	lost time.Time
}

// keep is a reservation.
type keep struct {
	points float64
	at     time.Time
}

// throttleStatus is Shopify's own figure. Whole numbers today, fractions in older recordings (contracts/shopify.md 2.3).
type throttleStatus struct {
	MaximumAvailable   float64 `json:"maximumAvailable"`
	CurrentlyAvailable float64 `json:"currentlyAvailable"`
	RestoreRate        float64 `json:"restoreRate"`
}

func newBudget(now func() time.Time, sleep func(context.Context, time.Duration) error) *budget {
	return &budget{now: now, sleep: sleep, turn: make(chan struct{}, 1),
		spareTurn: make(chan struct{}, 1), ceiling: standardBucket, restore: standardRestore,
		available: standardBucket, share: modestBurst, at: now(), flying: map[*charge]struct{}{}}
}

// spend waits until the bucket holds points and takes them for a call that must be settled. A write uses what was reserved first,
// and with enough of it does not wait at all.
func (b *budget) spend(ctx context.Context, points int, write bool) (*charge, error) {
	want := float64(points)
	if write {
		if call := b.spendKept(want); call != nil {
			return call, nil
		}
	}
	var call *charge
	err := b.inTurn(ctx, b.turn, func() (time.Duration, bool) {
		kept := 0.0
		if write {
			kept = min(b.keptPoints(), want)
		}
		wait, ok := b.shortfall(want - kept)
		if ok {
			call = b.launch(want, kept)
		}
		return wait, ok
	})
	return call, err
}

// reserve waits until the bucket holds points and keeps them for writes, for keepLife.
func (b *budget) reserve(ctx context.Context, points int) error {
	return b.inTurn(ctx, b.turn, func() (time.Duration, bool) {
		wait, ok := b.shortfall(float64(points))
		if ok {
			b.available -= float64(points)
			b.kept = append(b.kept, keep{points: float64(points), at: b.at})
		}
		return wait, ok
	})
}

// spareFloor is the part of a full bucket that calls with spare points leave to the others: what consent needs at once is there although
// they take all that is restored. A burst that is dearer makes them stop until the bucket is above it again. It is not larger, so that
// what they leave unused at the top, which a full bucket would not restore, stays small.
const spareFloor = 0.5

// spendSpare waits until the bucket holds points that nobody else needs and takes them for a call that must be settled: as long as another
// call waits, or the bucket is below spareFloor, there are none. Other processes are seen by Shopify's own figures.
func (b *budget) spendSpare(ctx context.Context, points int) (*charge, error) {
	var call *charge
	err := b.inTurn(ctx, b.spareTurn, func() (time.Duration, bool) {
		if b.waiting > 0 {
			return spareNap, false
		}
		wait, ok := b.shortfall(min(float64(points)+spareFloor*b.ceiling, b.ceiling))
		if ok {
			call = b.launch(float64(points), 0)
		}
		return wait, ok
	})
	return call, err
}

// modestShare is the part of what is restored that modest calls get even if nothing is spare, and modestBurst how many points of it add up
// while they do not need them: two messages and eighteen of their days, which go out within seconds, however busy consent is.
const (
	modestShare = 0.05
	modestBurst = 200
)

// spendModest takes spare points like spendSpare; when there are none it is given a small share of the others, so that it waits but never
// starves. It takes none of what is reserved for writes.
func (b *budget) spendModest(ctx context.Context, points int) (*charge, error) {
	var call *charge
	want := float64(points)
	err := b.inTurn(ctx, b.spareTurn, func() (time.Duration, bool) {
		due := time.Duration((want - b.share) / (modestShare * b.restore) * float64(time.Second))
		wait := due
		if b.waiting == 0 {
			spare, ok := b.shortfall(min(want+spareFloor*b.ceiling, b.ceiling))
			if ok {
				call = b.launch(want, 0)
				return 0, true
			}
			wait = min(spare, due)
		}
		if due <= 0 || want > modestBurst && b.share >= modestBurst {
			b.share -= want
			return 0, true
		}
		return min(wait, spareNap), false
	})
	if err != nil || call != nil {
		return call, err
	}
	return b.spend(ctx, points, false)
}

// spareNap is how long a call with spare points stays away while another one waits.
const spareNap = 100 * time.Millisecond

// inTurn asks try, under the lock, until it succeeds, and sleeps between as long as it says.
func (b *budget) inTurn(ctx context.Context, turn chan struct{}, try func() (time.Duration, bool)) error {
	if turn == b.turn {
		b.mu.Lock()
		b.waiting++
		b.mu.Unlock()
		defer func() {
			b.mu.Lock()
			b.waiting--
			b.mu.Unlock()
		}()
	}
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return budgetFailure(ctx.Err(), 0)
	}
	for {
		if err := ctx.Err(); err != nil {
			return budgetFailure(err, 0)
		}
		b.mu.Lock()
		b.refill()
		wait, ok := try()
		now := b.at
		b.mu.Unlock()
		if ok {
			return nil
		}
		// Waiting for points that come after the deadline would only waste the caller's time.
		if deadline, bounded := ctx.Deadline(); bounded && now.Add(wait).After(deadline) {
			return budgetFailure(context.DeadlineExceeded, wait)
		}
		if err := b.sleep(ctx, min(max(wait, shortestNap), longestNap)); err != nil {
			return budgetFailure(err, wait)
		}
	}
}

func budgetFailure(err error, wait time.Duration) error {
	return &failure.Error{Class: failure.Retry, Op: "wait for Shopify's API budget", Code: CodeBudget, Wait: wait, Err: err}
}

// settle records how a call ended.
//   - sent is false when it never left: Shopify cannot have charged it.
//   - answered is false when it may have arrived but nothing came back.
//   - status is Shopify's figure, nil when the answer had none; actual is what was charged in the end, zero when it was throttled.
func (b *budget) settle(call *charge, sent, answered bool, status *throttleStatus, actual float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	switch {
	case !sent:
		delete(b.flying, call)
		b.available += call.points
	case !answered:
		call.lost = b.at
	case status == nil || status.MaximumAvailable <= 0 || status.RestoreRate <= 0:
		delete(b.flying, call)
	default:
		delete(b.flying, call)
		b.ceiling, b.restore = status.MaximumAvailable, status.RestoreRate
		figure := status.CurrentlyAvailable - b.held()
		if local := b.available + call.points - actual; call.overlapped {
			figure = min(figure, local)
		}
		b.available = figure
	}
	b.refill()
}

// refill brings the model to the present. The caller holds the lock.
func (b *budget) refill() {
	now := b.now()
	if elapsed := now.Sub(b.at); elapsed > 0 {
		b.available += elapsed.Seconds() * b.restore
		b.share = min(b.share+elapsed.Seconds()*modestShare*b.restore, modestBurst)
		b.at = now
	}
	for call := range b.flying {
		if !call.lost.IsZero() && now.Sub(call.lost) > lostLife {
			delete(b.flying, call)
		}
	}
	for len(b.kept) > 0 && now.Sub(b.kept[0].at) > keepLife {
		b.available += b.kept[0].points
		b.kept = b.kept[1:]
	}
	b.available = min(b.available, b.ceiling-b.held())
}

// held is what is under way or reserved.
func (b *budget) held() float64 {
	sum := b.keptPoints()
	for call := range b.flying {
		sum += call.points
	}
	return sum
}

func (b *budget) keptPoints() float64 {
	sum := 0.0
	for _, k := range b.kept {
		sum += k.points
	}
	return sum
}

// shortfall tells whether points are there, and if not, how long they take to come. A call dearer than the whole bucket waits for
// a full one; Shopify will say what is wrong with it.
func (b *budget) shortfall(points float64) (time.Duration, bool) {
	missing := min(points, b.ceiling) - b.available
	if missing <= 0 {
		return 0, true
	}
	return time.Duration(missing / b.restore * float64(time.Second)), false
}

// spendKept starts a call out of reservations alone, or returns nil when they do not suffice.
func (b *budget) spendKept(points float64) *charge {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	if b.keptPoints() < points {
		return nil
	}
	return b.launch(points, points)
}

// launch takes points for a call, kept of them from reservations, oldest first. The caller holds the lock.
func (b *budget) launch(points, kept float64) *charge {
	b.available -= points - kept
	for kept > 0 {
		part := min(kept, b.kept[0].points)
		kept -= part
		if b.kept[0].points -= part; b.kept[0].points == 0 {
			b.kept = b.kept[1:]
		}
	}
	call := &charge{points: points, overlapped: len(b.flying) > 0}
	for other := range b.flying {
		other.overlapped = true
	}
	b.flying[call] = struct{}{}
	return call
}
