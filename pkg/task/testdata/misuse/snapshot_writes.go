// Command snapshot_writes writes with a task without a lock.
package main

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/task"
)

func main() {
	var m *task.Manager
	_ = m.Snapshot(context.Background(), task.Request{}, func(ctx context.Context, s *task.Snapshot) error {
		return s.Save(ctx) // want: s.Save undefined
	})
}
