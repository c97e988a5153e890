// Command nested_upgrade upgrades a task that is exclusive, as Ironic lets one do.
package main

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/task"
)

func main() {
	var x *task.Exclusive
	_ = x.Upgrade(context.Background(), "", 0, nil) // want: x.Upgrade undefined
}
