package activities

import (
	"context"
	"errors"
	"fmt"
)

// DrainResult is what a drain leaves to the workflow.
type DrainResult struct {
	// Read counts the customers that were read, for whoever looks at the history.
	Read int64 `json:"read"`
	// Windows to open.
	Windows []Window `json:"windows,omitempty"`
	// More: hints may wait, so that another drain shall begin.
	More bool `json:"more,omitempty"`
}

// Drain reads the customers of whom webhooks tell, decides and delivers at once, until no webhook has come for a while.
func (a *Activities) Drain(ctx context.Context, in MerchantInput) (DrainResult, error) {
	_, stop := heartbeat(ctx)
	defer stop()
	before, err := a.Engine.Ledger.Switches(ctx, in.Merchant)
	if err != nil {
		return DrainResult{}, classified(fmt.Errorf("read switches: %w", err))
	}
	while, end := a.whileUnchanged(ctx, in.Merchant, before.Generation)
	drained, err := a.Engine.Drain(while, in.Merchant)
	why := end()
	if err != nil {
		return DrainResult{}, classified(err)
	}
	if errors.Is(why, errWorkerStops) && len(drained.Windows) == 0 {
		return DrainResult{}, classified(why)
	}
	result := DrainResult{Read: drained.Read, More: drained.More}
	for _, held := range drained.Windows {
		result.Windows = append(result.Windows, a.window(held))
	}
	return result, nil
}
