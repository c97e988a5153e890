// Command other_node commands another node than the task's.
package main

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func main() {
	var x *task.Exclusive
	other := &node.Node{}
	_ = x.Driver().Power.Set(context.Background(), other, node.PowerOn) // want: too many arguments
	_ = x.Driver().Power.Reboot(context.Background(), other)            // want: too many arguments
}
