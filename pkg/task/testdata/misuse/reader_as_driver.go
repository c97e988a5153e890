// Command reader_as_driver gives the reading part of a driver for the whole.
package main

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/task"
)

func on(context.Context, *hardware.Driver) {}

func main() {
	var s *task.Shared
	on(context.Background(), s.Driver()) // want: cannot use s.Driver()
	_ = (*hardware.Driver)(s.Driver())   // want: cannot convert s.Driver()
}
