// Command shared_as_exclusive gives a task that only looks to a function that changes. (40)
package main

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/task"
)

func change(context.Context, *task.Exclusive) error { return nil }

func main() {
	var m *task.Manager
	_ = m.Shared(context.Background(), task.Request{}, func(ctx context.Context, s *task.Shared) error {
		return change(ctx, s) // want: cannot use s (variable of type *task.Shared) as *task.Exclusive value
	})
}
