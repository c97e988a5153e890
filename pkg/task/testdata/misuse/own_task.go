// Command own_task makes a right of its own.
package main

import (
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

type mine struct{}

func (mine) ID() string             { return "" }
func (mine) Purpose() string        { return "" }
func (mine) Node() *node.Node       { return nil }
func (mine) Records() *node.Records { return nil }
func (mine) Machine() *node.Machine { return nil }
func (mine) Check() error           { return nil }
func (mine) sealed()                {}

func main() {
	var _ task.Task = mine{}        // want: unexported method sealed
	_ = &task.Exclusive{fence: nil} // want: cannot refer to unexported field fence
}
