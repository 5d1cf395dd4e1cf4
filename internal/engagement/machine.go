package engagement

import (
	"context"
	"time"

	"github.com/concordsync/concord/internal/machine"
)

// Machine is what a pass needs of the machine that it runs on. The simulation has another, so that its runs can be repeated.
type Machine interface {
	// Together runs the tasks, at most limit at a time, and returns when all have ended.
	Together(limit int, tasks ...func())
	// WithTimeout is context.WithTimeout.
	WithTimeout(ctx context.Context, span time.Duration) (context.Context, context.CancelFunc)
}

// machine is the keeper's own Machine or else the real one.
func (k *Keeper) machine() Machine {
	if k.Machine != nil {
		return k.Machine
	}
	return machine.Real{}
}
