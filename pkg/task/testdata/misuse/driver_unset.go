// Command driver_unset puts another driver into a task.
package main

import "github.com/conductor-metal/conductor/pkg/task"

func main() {
	var x *task.Exclusive
	x.Node() = nil   // want: cannot assign to x.Node()
	x.Driver() = nil // want: cannot assign to x.Driver()
}
