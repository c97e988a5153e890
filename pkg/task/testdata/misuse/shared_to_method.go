// Command shared_to_method gives it to a method that changes. (41)
package main

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/task"
)

type worker struct{}

func (worker) change(context.Context, *task.Exclusive) error { return nil }

func main() {
	var m *task.Manager
	_ = m.Shared(context.Background(), task.Request{}, func(ctx context.Context, s *task.Shared) error {
		return worker{}.change(ctx, s) // want: cannot use s (variable of type *task.Shared) as *task.Exclusive value
	})
}
