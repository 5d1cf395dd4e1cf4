package shopify

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSpareCallsTakeWhatNobodyNeeds: alone they use all that is restored, and leave half a bucket; while another call waits, or one has
// emptied the bucket, they stay away.
func TestSpareCallsTakeWhatNobodyNeeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(time.Now, sleepReal)
		spent := func(length time.Duration) (points float64) {
			ctx, cancel := context.WithTimeout(t.Context(), length)
			defer cancel()
			for {
				call, err := b.spendSpare(ctx, 100)
				if err != nil {
					return points
				}
				b.settle(call, true, true, nil, 100)
				points += 100
			}
		}
		require.InDelta(t, standardBucket*spareFloor, spent(time.Millisecond), 100, "what is saved up above the floor")
		require.GreaterOrEqual(t, spent(time.Minute), 0.95*standardRestore*60)

		// A consent that needs half a bucket does not wait for it.
		began := time.Now()
		call, err := b.spend(t.Context(), standardBucket*0.45, true)
		require.NoError(t, err)
		b.settle(call, true, true, nil, standardBucket*0.45)
		require.Less(t, time.Since(began), time.Second)

		// While consents take all that is restored, nothing is spare.
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				call, err := b.spend(ctx, 110, true)
				if err != nil {
					return
				}
				b.settle(call, true, true, nil, 110)
			}
		}()
		time.Sleep(15 * time.Second)
		require.Zero(t, spent(20*time.Second))
		stop()
		<-ended
	})
}

// TestTotalsOfMessagesTakeASmallShareWhereNothingIsSpare: consents take all that is restored; what messages need goes on, at a twentieth of it.
func TestTotalsOfMessagesTakeASmallShareWhereNothingIsSpare(t *testing.T) {
	t.Parallel()
	for _, op := range []operation{opUpsertActivity, opCreateEngagement, opCreateDefinition} {
		require.Equal(t, modest, op.claim, op.name)
	}
	for _, consentPoints := range []int{13, 110, 650} {
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(time.Now, sleepReal)
			ctx, stop := context.WithCancel(t.Context())
			var group sync.WaitGroup
			for range 3 {
				group.Go(func() {
					for {
						call, err := b.spend(ctx, consentPoints, true)
						if err != nil {
							return
						}
						b.settle(call, true, true, nil, float64(consentPoints))
					}
				})
			}
			time.Sleep(30 * time.Second)
			// A campaign that has just been sent: one activity, and a request of ten days.
			began := time.Now()
			for _, points := range []int{10, 100} {
				call, err := b.spendModest(ctx, points)
				require.NoError(t, err)
				b.settle(call, true, true, nil, float64(points))
			}
			require.Less(t, time.Since(began), time.Minute)
			// A backlog.
			began = time.Now()
			spent := 0.0
			for time.Since(began) < 10*time.Minute {
				call, err := b.spendModest(ctx, 100)
				require.NoError(t, err)
				b.settle(call, true, true, nil, 100)
				spent += 100
			}
			length := time.Since(began).Seconds()
			require.LessOrEqual(t, spent, modestShare*standardRestore*length+modestBurst+100)
			require.GreaterOrEqual(t, spent, 0.8*modestShare*standardRestore*length)
			stop()
			group.Wait()
			// When there is quiet, all that is spare.
			time.Sleep(time.Minute)
			began = time.Now()
			for range 60 {
				call, err := b.spendModest(t.Context(), 100)
				require.NoError(t, err)
				b.settle(call, true, true, nil, 100)
			}
			require.Less(t, time.Since(began), 65*time.Second)
		})
	}
}
