package hardware

import (
	"context"
	"errors"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/node"
)

// Call is one use of one bound method, as the [Gate] sees it.
type Call struct {
	// Node is the node the method is bound to.
	Node node.ID
	// Interface is the wire name of the interface, such as "power".
	Interface string
	// Method is the Go name of the method, such as "Set", or the name of the
	// step when a step is run.
	Method string
	// Writes says that the call may change the machine or the record.
	Writes bool
}

// String returns the call as interface.method.
func (c Call) String() string { return c.Interface + "." + c.Method }

// Gate is the choke point every bound method passes before it reaches the
// machine. It returns the context to use from here on, which may end sooner
// than ctx and may carry an [Actor], and a function that is told once how the
// call ended, even if it panicked; that function may be nil. If it returns an
// error the machine is not touched and the error is the result of the call.
type Gate func(ctx context.Context, c Call) (context.Context, func(error), error)

// Open is a gate that lets everything pass. It is for tools and tests that
// hold no lock.
func Open(ctx context.Context, _ Call) (context.Context, func(error), error) {
	return ctx, nil, nil
}

// ErrNoGate is the result of every call that is bound without a [Gate], so
// that a forgotten gate refuses instead of letting everything pass.
var ErrNoGate = errors.New("no gate")

var errPanicked = errors.New("call panicked")

// binding ties calls to one node and one gate.
type binding struct {
	node *node.Node
	gate Gate
}

// pass runs f behind the gate. It is the only way to an implementation.
func (b binding) pass(ctx context.Context, iface, method string, writes bool, f func(context.Context) error) error {
	c := Call{Interface: iface, Method: method, Writes: writes}
	if b.gate == nil || b.node == nil {
		return fmt.Errorf("%s: %w", c, ErrNoGate)
	}
	c.Node = b.node.UUID
	ctx, done, err := b.gate(ctx, c)
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	err = errPanicked
	if done != nil {
		defer func() { done(err) }()
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%s: %w", c, context.Cause(ctx))
		return err
	}
	err = f(ctx)
	return err
}

// bound is an implementation tied to a node and a gate.
type bound[T any] struct {
	binding
	iface string
	impl  T
}

// ask runs f behind the gate as a call that only reads, and returns its
// answer.
func ask[T, R any](ctx context.Context, b bound[T], method string, f func(T, context.Context, *node.Node) (R, error)) (R, error) {
	return answer(ctx, b, method, false, f)
}

// obtain runs f behind the gate as a call that writes, and returns its answer.
func obtain[T, R any](ctx context.Context, b bound[T], method string, f func(T, context.Context, *node.Node) (R, error)) (R, error) {
	return answer(ctx, b, method, true, f)
}

// check runs f behind the gate as a call that only reads.
func check[T any](ctx context.Context, b bound[T], method string, f func(T, context.Context, *node.Node) error) error {
	return b.pass(ctx, b.iface, method, false, func(ctx context.Context) error { return f(b.impl, ctx, b.node) })
}

// act runs f behind the gate as a call that writes.
func act[T any](ctx context.Context, b bound[T], method string, f func(T, context.Context, *node.Node) error) error {
	return b.pass(ctx, b.iface, method, true, func(ctx context.Context) error { return f(b.impl, ctx, b.node) })
}

func answer[T, R any](ctx context.Context, b bound[T], method string, writes bool, f func(T, context.Context, *node.Node) (R, error)) (R, error) {
	var got R
	err := b.pass(ctx, b.iface, method, writes, func(ctx context.Context) (err error) {
		got, err = f(b.impl, ctx, b.node)
		return err
	})
	return got, err
}
