package task

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/conductor-metal/conductor/pkg/node"
)

// Transition says what comes with an event of the provision state machine.
type Transition struct {
	Target    node.ProvisionState // an explicit target; empty: as the machine decides
	LastError string              // the node's last_error; without Work, empty keeps the old one

	// Work is what the new state is for. It starts in the background when the task's function
	// returns nil, under the same lock. Name names it in errors.
	Work func(context.Context, *Exclusive) error
	Name string

	// OnError is called when Work does not start after all, because the function of the task
	// fails, with the states that the node had before, so that it can put them back.
	OnError func(ctx context.Context, x *Exclusive, err error, state, target node.ProvisionState)
}

// ProcessEvent moves the node's provision state machine and saves the node, fenced, together with
// the event's notification: state and target become visible at once, and only if the lock is still
// held. With Work, a worker is reserved first; without a free one nothing changes.
//
// Errors: *node.InvalidStateError if the state does not know the event, *NoWorkerError, or those
// of Save. After an error the node, the machine and etcd are as before.
// Ironic: TaskManager.process_event.
func (x *Exclusive) ProcessEvent(ctx context.Context, e node.Event, t Transition) (err error) {
	if err := x.stands(); err != nil {
		return fmt.Errorf("event %q for node %s: %w", e, x.req.Node, err)
	}
	defer func() { x.m.cfg.Metrics.event(e, err) }()
	before := x.records.Node.Clone()
	if err := x.machine.Fire(ctx, e, t.Target); err != nil {
		return fmt.Errorf("node %s: %w", x.req.Node, err)
	}
	var w *work
	if t.Work != nil {
		w = &work{name: t.Name, fn: t.Work}
		if x.slot == nil { // work goes on in its own worker
			w.slot, err = x.m.pool.take(x.req.Unreserved)
		}
	}
	var note *Notification
	if err == nil {
		x.take(t)
		note = x.notification(e, before)
		err = x.save(ctx, string(note.State), note)
	}
	if err != nil {
		x.back(before)
		if w != nil {
			w.slot.free()
		}
		return err
	}
	x.logTransition(ctx, note)
	x.announce(ctx, note, t, w, before)
	return nil
}

// take puts the machine's new state into the node's record.
func (x *Exclusive) take(t Transition) {
	n := x.records.Node
	n.ProvisionState, n.TargetProvisionState = x.machine.State(), x.machine.Target()
	if t.Work == nil && n.ProvisionState.Stable() {
		n.TargetProvisionState = ""
	}
	if t.Work != nil || t.LastError != "" {
		n.LastError = t.LastError
	}
}

// back undoes a transition that was not saved.
func (x *Exclusive) back(before *node.Node) {
	*x.records.Node = *before
	machine, err := node.NewMachine(before.ProvisionState, before.TargetProvisionState)
	if err == nil { // it was made from these before
		x.machine = machine
	}
}

// announce notifies of a transition, if it brings work when that starts, and registers the work.
func (x *Exclusive) announce(ctx context.Context, note *Notification, t Transition, w *work, before *node.Node) {
	x.flush(ctx) // that of an earlier one comes first
	x.mu.Lock()
	x.pending = note
	if w != nil {
		x.setWork(w)
	}
	if w != nil && t.OnError != nil {
		x.onError = func(ctx context.Context, err error) {
			t.OnError(ctx, x, err, before.ProvisionState, before.TargetProvisionState)
		}
	}
	x.mu.Unlock()
	if w == nil {
		x.flush(ctx)
	}
}

// ResumeCleaning moves a node out of clean wait, and keeps a manual clean manual: its target is
// manageable, which the machine would otherwise forget. Ironic: TaskManager.resume_cleaning.
func (x *Exclusive) ResumeCleaning(ctx context.Context) error {
	var t Transition
	if x.records.Node.TargetProvisionState == node.StateManageable {
		t.Target = node.StateManageable
	}
	return x.ProcessEvent(ctx, node.EventResume, t)
}

// flush sends the notification that waits for its work to start.
func (x *Exclusive) flush(ctx context.Context) {
	x.mu.Lock()
	note := x.pending
	x.pending = nil
	x.mu.Unlock()
	x.m.notify(ctx, note)
}

func (x *Exclusive) logTransition(ctx context.Context, n *Notification) {
	level := slog.LevelInfo
	if to := string(n.State); strings.HasSuffix(to, "failed") || n.State == node.StateError {
		level = slog.LevelError
	}
	x.m.cfg.Logger.Log(ctx, level, "provision state", "node", x.req.Node, "event", n.Event, "from", n.PreviousState,
		"to", n.State, "target", n.Target, "purpose", x.req.Purpose, "token", int64(x.fence.Token()))
}
