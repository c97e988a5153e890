// Command shared_writes writes with a task that only looks.
package main

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func main() {
	var m *task.Manager
	_ = m.Shared(context.Background(), task.Request{}, func(ctx context.Context, s *task.Shared) error {
		s.SaveAtEnd()                                                // want: s.SaveAtEnd undefined
		_ = s.Destroy(ctx)                                           // want: s.Destroy undefined
		_ = s.ProcessEvent(ctx, node.EventDeploy, task.Transition{}) // want: s.ProcessEvent undefined
		s.SpawnAfter("", nil)                                        // want: s.SpawnAfter undefined
		return s.Save(ctx)                                           // want: s.Save undefined
	})
}
