// Command good uses every right as it should be. (38, 39)
package main

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

type worker struct{}

func (worker) commands(ctx context.Context, x *task.Exclusive) error {
	return x.Driver().Power.Set(ctx, node.PowerOn)
}

func change(ctx context.Context, x *task.Exclusive) error { return x.Save(ctx) }

func name(t task.Task) string { return t.Node().Name }

func main() {
	ctx := context.Background()
	var m *task.Manager
	_ = m.Exclusive(ctx, task.Request{}, func(ctx context.Context, x *task.Exclusive) error {
		name(x)
		if err := change(ctx, x); err != nil {
			return err
		}
		return worker{}.commands(ctx, x)
	})
	_ = m.Shared(ctx, task.Request{}, func(ctx context.Context, s *task.Shared) error {
		name(s)
		if _, err := s.Driver().Power.Get(ctx); err != nil {
			return err
		}
		return s.Upgrade(ctx, "", 0, worker{}.commands)
	})
	_ = m.Snapshot(ctx, task.Request{}, func(ctx context.Context, s *task.Snapshot) error {
		name(s)
		return s.Upgrade(ctx, "", 0, change)
	})
}
