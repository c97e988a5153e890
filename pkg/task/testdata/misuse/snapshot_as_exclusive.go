// Command snapshot_as_exclusive gives a task without a lock to a function that changes.
package main

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/task"
)

func change(context.Context, *task.Exclusive) error { return nil }

func main() {
	var m *task.Manager
	_ = m.Snapshot(context.Background(), task.Request{}, change) // want: cannot use change
}
