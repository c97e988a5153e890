// Command shared_commands commands a machine with a task that only looks.
package main

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func main() {
	var m *task.Manager
	_ = m.Shared(context.Background(), task.Request{}, func(ctx context.Context, s *task.Shared) error {
		return s.Driver().Power.Set(ctx, node.PowerOn) // want: s.Driver().Power.Set undefined
	})
	_ = m.Snapshot(context.Background(), task.Request{}, func(ctx context.Context, s *task.Snapshot) error {
		return s.Driver().Power.Reboot(ctx) // want: s.Driver().Power.Reboot undefined
	})
}
