package shopify

import (
	"context"
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
