package engagement

import "context"

// Read is a pass that only reads: benchmarks measure it without the telling.
func (k *Keeper) Read(ctx context.Context, id string) (changed int, err error) {
	switches, err := k.Ledger.Switches(ctx, id)
	if err != nil {
		return 0, err
	}
	settings, err := k.Settings(ctx, id)
	if err != nil {
		return 0, err
	}
	lease, _, err := k.Ledger.AcquireRun(ctx, id, Run, k.Holder, k.Timing.RunLease)
	if err != nil {
		return 0, err
	}
	p := &run{Keeper: k, merchant: id, settings: settings, switches: switches, lease: lease, on: k.on(switches), until: k.Now().Add(k.Timing.PassLimit)}
	if p.account, err = k.Connect(ctx, id); err != nil {
		return 0, err
	}
	return p.changed, p.read(ctx)
}
