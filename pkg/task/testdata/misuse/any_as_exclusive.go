// Command any_as_exclusive gives any right to a function that changes.
package main

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/task"
)

func change(context.Context, *task.Exclusive) error { return nil }

func either(ctx context.Context, t task.Task) error {
	return change(ctx, t) // want: cannot use t (variable of interface type task.Task) as *task.Exclusive value
}

func main() { _ = either }
