package activities

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
)

// Short steps cost no heartbeat; a long one begins after ten seconds and shows how far it has come.
func TestHeartbeatsOnlyAfterTenSeconds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		takes time.Duration
		beats bool
	}{{9 * time.Second, false}, {25 * time.Second, true}} {
		synctest.Test(t, func(t *testing.T) {
			suite := &testsuite.WorkflowTestSuite{}
			suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
			env := suite.NewTestActivityEnvironment()
			env.SetTestTimeout(time.Hour)
			began := time.Now()
			var first time.Duration
			var shown string
			env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
				if first == 0 {
					first = time.Since(began)
				}
				if err := details.Get(&shown); err != nil {
					t.Error(err)
				}
			})
			step := func(ctx context.Context) error {
				show, stop := heartbeat(ctx)
				defer stop()
				show("Shopify's customers")
				time.Sleep(c.takes)
				return nil
			}
			env.RegisterActivity(step)
			_, err := env.ExecuteActivity(step)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if c.beats != (first == heartbeatAfter) || c.beats != (shown != "") {
				t.Errorf("a step of %s: first heartbeat after %s, showing %q", c.takes, first, shown)
			}
		})
	}
}
