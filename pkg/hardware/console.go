package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// ConsoleReader is the part of the console interface that only reads.
type ConsoleReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
	// Connection says how a client reaches the console: its type and url. It is
	// empty if there is nothing to reach. Ironic: get_console.
	Connection(ctx context.Context, n *node.Node) (map[string]string, error)
}

// Console offers the machine's console. Ironic: ConsoleInterface.
type Console interface {
	ConsoleReader
	// Start starts the console service of the node.
	Start(ctx context.Context, n *node.Node) error
	// Stop stops it. Stopping a console that does not run is no error.
	Stop(ctx context.Context, n *node.Node) error
}

// BoundConsoleReader is a [ConsoleReader] bound to a node, behind a [Gate].
type BoundConsoleReader struct{ r bound[ConsoleReader] }

// BoundConsole is a [Console] bound to a node, behind a [Gate].
type BoundConsole struct {
	BoundConsoleReader
	w bound[Console]
}

// Validate is [ConsoleReader.Validate] on the node.
func (b BoundConsoleReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", ConsoleReader.Validate)
}

// Connection is [ConsoleReader.Connection] on the node.
func (b BoundConsoleReader) Connection(ctx context.Context) (map[string]string, error) {
	return ask(ctx, b.r, "Connection", ConsoleReader.Connection)
}

// Start is [Console.Start] on the node.
func (b BoundConsole) Start(ctx context.Context) error {
	return act(ctx, b.w, "Start", Console.Start)
}

// Stop is [Console.Stop] on the node.
func (b BoundConsole) Stop(ctx context.Context) error {
	return act(ctx, b.w, "Stop", Console.Stop)
}

func bindConsole(b binding, impl Console) BoundConsole {
	return BoundConsole{
		BoundConsoleReader{bound[ConsoleReader]{b, InterfaceConsole, impl}},
		bound[Console]{b, InterfaceConsole, impl},
	}
}
