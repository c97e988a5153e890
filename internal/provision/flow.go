package provision

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// flow is what a node goes through in provision states of its own: from the
// event that brings it into running to the one that leads out. Whatever happens
// to its work, the node leaves running, or an intent tells that nobody is left
// to do that.
type flow struct {
	name    string              // as last_error and the log call it
	running node.ProvisionState // while a worker has the lock
	waiting node.ProvisionState // while the machine works on by itself; "": never
	held    node.ProvisionState // while an operator has a look; "": never
	kind    hardware.StepKind   // of its steps; "": it has none

	begin work // from the start
	goOn  work // when what it waited for has come

	gather work // step flows: when the machine is ready for the first step
	end    work // step flows: after the last step

	// noRamdisk is the key that says that the work goes without a ramdisk, so that there is none to undo.
	noRamdisk string
	// fault is what the node gets, with maintenance, if it fails in a step; "": nothing.
	fault string
	// clear takes out of the record what makes no sense after a failure or an abort. May be nil.
	clear func(n *node.Node)
	// undo gets machine and conductor out of what was begun. May be nil.
	undo act
	// late is undo for work that was waited for too long; nil: undo.
	late act
	// undoFault is what the node gets, with maintenance, if undo fails after an abort; "": nothing.
	undoFault string
}

// work does what a state is for and answers how the state is to be left.
type work func(ctx context.Context, x *task.Exclusive) (way, error)

// act is work after which the state stays.
type act func(ctx context.Context, x *task.Exclusive) error

// way is how a state is left: by an event, and with the work of the next flow if
// that follows. The zero way means that the state is not to be left yet.
type way struct {
	event node.Event
	then  *flow
}

// flows are all there are.
type flows struct {
	verify, inspect, clean, adopt, deploy, remove, rescue, unrescue, service *flow
}

func (f flows) all() []*flow {
	return []*flow{f.verify, f.inspect, f.clean, f.adopt, f.deploy, f.remove, f.rescue, f.unrescue, f.service}
}

// of returns the flow that a state belongs to, nil for states in which nothing goes on.
func (f flows) of(s node.ProvisionState) *flow {
	for _, one := range f.all() {
		if s == one.running || s == one.waiting || s == one.held {
			return one
		}
	}
	return nil
}

// event moves the node by an event and takes what its next state needs: a manual
// clean stays manual, a wait is counted, and a slot is taken if nodes are counted
// in that state; limited says whether there must be one left.
func (p *Provisioner) event(ctx context.Context, x *task.Exclusive, e node.Event, t task.Transition, limited bool) error {
	n := x.Node()
	f := p.flows.of(n.ProvisionState)
	if t.Target == "" && f == p.flows.clean && n.TargetProvisionState == node.StateManageable {
		t.Target = node.StateManageable // Ironic: the machine would forget it
	}
	to, legal := n.ProvisionState.After(e)
	if next := p.flows.of(to); legal && next != nil && to == next.waiting {
		countWait(n)
	}
	fire := func() error { return x.ProcessEvent(ctx, e, t) }
	if class := to.SlotClass(); legal && class != "" && !class.Owns(n.ActionSlot) {
		return p.inSlot(ctx, n, class, limited, fire)
	}
	return fire()
}

// behind makes a piece of work a worker's, who then moves the node out of the
// state, be it by way of the flow's failure.
func (p *Provisioner) behind(f *flow, w work) act {
	return func(ctx context.Context, x *task.Exclusive) error {
		out, err := p.calmly(ctx, x, w)
		if err == nil {
			err = p.leave(ctx, x, out)
		}
		if err != nil {
			return p.fail(ctx, x, f, err)
		}
		return nil
	}
}

// leave moves the node as its work says.
func (p *Provisioner) leave(ctx context.Context, x *task.Exclusive, out way) error {
	var t task.Transition
	if out.then != nil {
		t.Name, t.Work = out.then.name, p.behind(out.then, out.then.begin)
	}
	if err := p.event(ctx, x, out.event, t, false); err != nil {
		return err
	}
	conclude(ctx, x)
	return nil
}

// conclude declares an abandoned section dealt with when the node has come out of
// its unstable state and the dead holder's last command is over.
func conclude(ctx context.Context, x *task.Exclusive) {
	if x.Abandoned() != nil && !node.Unstable.Has(x.Node().ProvisionState) && x.Quiet(ctx) == nil {
		x.Settle()
	}
}

// calmly runs work, and makes a panic of the driver its error.
func (p *Provisioner) calmly(ctx context.Context, x *task.Exclusive, w work) (out way, err error) {
	defer func() {
		if v := recover(); v != nil {
			stack := debug.Stack()
			x.Restore() // it may be half of something
			out, err = way{}, &task.PanicError{Value: v, Stack: stack}
			p.cfg.Logger.ErrorContext(ctx, "panic", "node", x.Node().UUID, "err", err, "stack", string(stack))
		}
	}()
	return w(ctx, x)
}

// try is calmly for work after which the state stays.
func (p *Provisioner) try(ctx context.Context, x *task.Exclusive, a act) error {
	if a == nil {
		return nil
	}
	_, err := p.calmly(ctx, x, func(ctx context.Context, x *task.Exclusive) (way, error) { return way{}, a(ctx, x) })
	return err
}

// fail ends a flow that did not reach its end. When the context is over, the
// lock is lost or the conductor stops: then nothing is touched, and the intent
// tells the next holder, who recovers.
func (p *Provisioner) fail(ctx context.Context, x *task.Exclusive, f *flow, why error) error {
	if ctx.Err() != nil {
		return why
	}
	text := fmt.Sprintf("%s failed: %v", f.name, why)
	if err := p.try(ctx, x, f.undo); err != nil {
		text += fmt.Sprintf("; cleaning up after it failed too: %v", err)
	}
	if ctx.Err() != nil {
		return why
	}
	err := p.failed(ctx, x, f, text)
	for _, say := range []string{text, f.name + " failed"} {
		if err == nil || ctx.Err() != nil {
			break
		}
		x.Restore() // what the work left in the record cannot be saved
		err = p.failed(ctx, x, f, say)
	}
	if err != nil {
		p.cfg.Logger.ErrorContext(ctx, "node stays as it is", "node", x.Node().UUID, "err", err)
		x.Node().LastError = text
		x.SaveAtEnd() // it will be refused as this was, and so the intent stays
		return err
	}
	conclude(ctx, x)
	return why
}

// failed moves the node into the failure state of its flow.
func (p *Provisioner) failed(ctx context.Context, x *task.Exclusive, f *flow, text string) error {
	p.spoil(x.Node(), f, text)
	drop(x.Node(), f.noRamdisk)
	return p.event(ctx, x, node.EventFail, task.Transition{LastError: text}, false)
}

// spoil writes into the record what a failure leaves behind.
func (p *Provisioner) spoil(n *node.Node, f *flow, text string) {
	if f.fault != "" && stepIndex(n, f.kind) >= 0 {
		maintain(n, f.fault, text)
	}
	p.forget(n, f)
}

// maintain puts a node into maintenance that must not go on as if nothing was. A
// reason that stands is not overwritten. Ironic: the same.
func maintain(n *node.Node, fault, reason string) {
	if n.Maintenance {
		return
	}
	n.Maintenance, n.Fault = true, fault
	if n.MaintenanceReason == "" {
		n.MaintenanceReason = reason
	}
}

// complete takes a flow that has reached its end out of the record.
func (p *Provisioner) complete(n *node.Node, f *flow) {
	p.forget(n, f)
	drop(n, f.noRamdisk)
}

// forget takes the flow's place in its work out of the record, but not what its
// undoing needs.
func (p *Provisioner) forget(n *node.Node, f *flow) {
	if f.kind != "" {
		dropSteps(n, f.kind)
	}
	if f.clear != nil {
		f.clear(n)
	}
}

// giveUp ends a flow that waits or is held: the node is in its failure state at
// once, and what is to be undone follows in the background.
func (p *Provisioner) giveUp(ctx context.Context, x *task.Exclusive, f *flow, e node.Event, text string, undo act) error {
	if e == node.EventFail {
		p.spoil(x.Node(), f, text)
	} else {
		p.forget(x.Node(), f)
	}
	t := task.Transition{LastError: text}
	if undo != nil {
		t.Name, t.Work = f.name, p.after(f, undo)
	}
	err := p.event(ctx, x, e, t, false)
	if err != nil {
		x.Restore()
	}
	return err
}

// after makes the undoing of a flow that has ended a worker's.
func (p *Provisioner) after(f *flow, undo act) act {
	return func(ctx context.Context, x *task.Exclusive) error {
		err := p.try(ctx, x, undo)
		if ctx.Err() != nil {
			return err
		}
		n := x.Node()
		drop(n, f.noRamdisk)
		if err != nil {
			n.LastError += fmt.Sprintf("; cleaning up after it failed: %v", err)
			if f.undoFault != "" {
				maintain(n, f.undoFault, n.LastError)
			}
		}
		x.SaveAtEnd()
		conclude(ctx, x)
		return err
	}
}
