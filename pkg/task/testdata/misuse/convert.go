// Command convert makes one right from another.
package main

import "github.com/conductor-metal/conductor/pkg/task"

func main() {
	var s *task.Shared
	var p *task.Snapshot
	var x *task.Exclusive
	_ = (*task.Exclusive)(s) // want: cannot convert s (variable of type *task.Shared) to type *task.Exclusive
	_ = (*task.Exclusive)(p) // want: cannot convert p (variable of type *task.Snapshot) to type *task.Exclusive
	_ = (*task.Shared)(p)    // want: cannot convert p (variable of type *task.Snapshot) to type *task.Shared
	_ = (*task.Snapshot)(s)  // want: cannot convert s (variable of type *task.Shared) to type *task.Snapshot
	_ = (*task.Shared)(x)    // want: cannot convert x (variable of type *task.Exclusive) to type *task.Shared
}
