package privacy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/reconcile"
)

// reasonUninstalled is what an operator reads of a merchant who has left.
const reasonUninstalled = "The app was uninstalled from the store, so its credentials are erased. When it is installed again, set new credentials " +
	"with `starter merchant set --credentials`: it goes on with what was decided"

// Uninstall stops a merchant who has uninstalled the app and erases its credentials. One who has been given new credentials since has
// come back, and is left alone. It ends the request and returns the outcome.
func (o *Office) Uninstall(ctx context.Context, merchant, id string) (string, error) {
	j, err := o.open(ctx, merchant, id)
	if err != nil || !j.request.Open() {
		return outcomeOf(j), err
	}
	if back, err := j.isBack(ctx); err != nil {
		return "", err
	} else if back {
		return j.finish(ctx, cameBack)
	}
	switch err := o.Merchants.Uninstall(ctx, merchant, reasonUninstalled); {
	case errors.Is(err, ledger.ErrUnknownMerchant):
		return j.finish(ctx, "The merchant had been removed already.")
	case err != nil:
		return "", err
	}
	return j.finish(ctx, "The merchant is stopped and its credentials are erased. What people decided stays for when it comes back.")
}

const cameBack = "Nothing was done: the merchant was given credentials since, so the app was installed again."

// redactAfter is how long after an uninstallation shop/redact comes at most: Shopify sends it after 48 hours (contracts/shopify.md 5.3),
// tries for four more, and may be late.
const redactAfter = 72 * consent.Hour

// isBack reports whether the merchant was given credentials since it has left. shop/redact comes long after that: who has come back
// meanwhile must not be erased.
func (j *job) isBack(ctx context.Context) (bool, error) {
	left := j.request.Received
	if j.request.Kind == ledger.ShopRedact {
		at, err := j.Engine.Ledger.LastUninstalled(ctx, j.merchant, left.Plus(-redactAfter))
		if err != nil {
			return false, err
		}
		if at != 0 {
			left = min(left, at)
		}
	}
	return j.Engine.Ledger.CredentialsSetSince(ctx, j.merchant, left)
}

// eraseLease is for how long nobody else may read or write for a merchant whose people are being erased.
const eraseLease = 15 * time.Minute

// restTime is within which the checkout windows of a merchant that was just stopped have ended: they finish the calls that are under way.
const restTime = 2 * time.Minute

// EraseShop erases everybody of a merchant who has left: addresses, customer ids, decisions, journals. The hashes of those who had
// unsubscribed stay for the retention time, so that nobody is written to against their will if the shop comes back. A *Busy is returned
// while something of the merchant is still at work. It ends the request and returns the outcome.
func (o *Office) EraseShop(ctx context.Context, merchant, id string) (string, error) {
	j, err := o.open(ctx, merchant, id)
	if err != nil || !j.request.Open() {
		return outcomeOf(j), err
	}
	if back, err := j.isBack(ctx); err != nil {
		return "", err
	} else if back {
		return j.finish(ctx, cameBack)
	}
	before, err := o.Engine.Ledger.Switches(ctx, merchant)
	if err != nil && !errors.Is(err, ledger.ErrUnknownMerchant) {
		return "", err
	}
	// Shopify may say so of a shop whose uninstalling was never heard of.
	if err := o.Merchants.Uninstall(ctx, merchant, reasonUninstalled); err != nil && !errors.Is(err, ledger.ErrUnknownMerchant) {
		return "", err
	}
	if before.State == ledger.Running {
		// Checkout windows take no lease: what they have read they would save into what is being erased.
		return "", &Busy{After: restTime, Why: "what is at work for the merchant comes to its end first"}
	}
	free, err := j.holdRuns(ctx)
	if err != nil {
		return "", err
	}
	outcome, err := j.eraseShop(ctx)
	return outcome, errors.Join(err, free())
}

// holdRuns takes the leases of the merchant's rounds, full reads, drains and passes over events, so that none saves what it has read into what is being erased.
func (j *job) holdRuns(ctx context.Context) (free func() error, err error) {
	var leases []ledger.RunLease
	free = func() error {
		var errs []error
		for _, lease := range leases {
			errs = append(errs, j.Engine.Ledger.ReleaseRun(context.WithoutCancel(ctx), lease))
		}
		return errors.Join(errs...)
	}
	for _, kind := range []ledger.RunKind{reconcile.RoundRun, reconcile.FullRun, reconcile.FullSMSRun, reconcile.DrainRun, engagement.Run} {
		// Not the engine's own name: its rounds in this process have to be waited for too.
		lease, ok, err := j.Engine.Ledger.AcquireRun(ctx, j.merchant, kind, "privacy request "+j.request.ID, eraseLease)
		if err == nil && !ok {
			err = &Busy{After: busyDelay, Why: "a round, full read, drain or pass over events of the merchant is at work"}
		}
		if err != nil {
			return nil, errors.Join(err, free())
		}
		leases = append(leases, lease)
	}
	return free, nil
}

func (j *job) eraseShop(ctx context.Context) (string, error) {
	now, err := j.Engine.Ledger.Now(ctx)
	if err != nil {
		return "", err
	}
	for _, sync := range consent.Syncs {
		live, until, err := j.Engine.Ledger.LiveClaims(ctx, j.merchant, sync)
		if err != nil {
			return "", err
		}
		if live > 0 {
			return "", &Busy{After: until.Since(now).Duration() + time.Second, Why: "a delivery of the merchant is under way"}
		}
	}
	forget := now.Plus(consent.SpanOf(j.OptOutRetention))
	done, err := j.Engine.Ledger.ErasePeople(ctx, j.merchant, consent.OptOut, forget)
	if err != nil {
		return "", err
	}
	return j.finish(ctx, fmt.Sprintf("Everybody is erased. The hashes of %d people who had unsubscribed are kept until %s, in case the shop comes back.",
		done.OptOuts, day(forget)))
}
