package task

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// work is what runs in the background when the task's function has returned.
type work struct {
	name string
	fn   func(context.Context, *Exclusive) error
	slot *slot // nil: to be taken when it starts
}

// SpawnAfter registers work that starts when the task's function returns nil, under the same lock
// and with the same task; the lock is released when the work ends, however it ends. Its context
// ends with the lock or the manager, not with the caller's. An error of the work goes to the
// node's last_error if that is empty, under name. A second call replaces the first.
//
// It returns at once. If the work cannot start because no worker is free, the OnSpawnError hook is
// called and the task's error is a *NoWorkerError. Ironic: TaskManager.spawn_after.
func (x *Exclusive) SpawnAfter(name string, fn func(context.Context, *Exclusive) error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.setWork(&work{name: name, fn: fn})
}

// setWork replaces the registered work. The caller holds mu.
func (x *Exclusive) setWork(w *work) {
	if x.spawn != nil {
		x.spawn.slot.free()
	}
	x.spawn = w
}

// working reports whether background work is registered.
func (x *Exclusive) working() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.spawn != nil
}

// OnSpawnError sets what is called, still under the lock, when the registered work cannot start.
// Errors of the work itself do not come here. Ironic: TaskManager.set_spawn_error_hook.
func (x *Exclusive) OnSpawnError(hook func(ctx context.Context, err error)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.onError = hook
}

// launch starts the registered work, which takes over the lock; if it cannot, it calls the hook
// and ends the task.
func (x *Exclusive) launch(ctx context.Context) error {
	x.mu.Lock()
	w, note, hook := x.spawn, x.pending, x.onError
	x.spawn, x.pending = nil, nil
	x.mu.Unlock()
	if w.slot == nil {
		var err error
		if w.slot, err = x.m.pool.take(x.req.Unreserved); err != nil {
			x.hook(ctx, hook, err)
			return x.result(err, x.end(ctx))
		}
	}
	x.m.notify(ctx, note)
	values := context.WithoutCancel(ctx)
	x.m.tasks.Go(func() {
		defer w.slot.free()
		x.work(values, w)
	})
	return nil
}

// hook calls the error hook; whatever it does, the original error goes out.
func (x *Exclusive) hook(ctx context.Context, hook func(context.Context, error), err error) {
	if hook == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			x.m.cfg.Logger.WarnContext(ctx, "spawn error hook", "node", x.req.Node, "err", &PanicError{Value: p})
		}
	}()
	hook(ctx, err)
}

// work runs background work to its end and releases the lock.
func (x *Exclusive) work(values context.Context, w *work) {
	ctx, cancel := x.m.bind(values)
	defer cancel()
	ctx, stop := x.fence.Bind(ctx)
	defer stop()
	err := protect(ctx, x, w.fn)
	x.note(ctx, w.name, err)
	if endErr := x.end(ctx); endErr != nil {
		x.m.cfg.Logger.WarnContext(ctx, "end of background task", "node", x.req.Node, "purpose", x.req.Purpose, "err", endErr)
	}
	x.m.cfg.Metrics.worked(err)
}

// protect turns a panic of background work into its error: it must not end the process, whose
// other tasks hold other nodes.
func protect(ctx context.Context, x *Exclusive, fn func(context.Context, *Exclusive) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			stack := debug.Stack()
			err = &PanicError{Value: p, Stack: stack}
			x.m.cfg.Logger.ErrorContext(ctx, "background task", "node", x.req.Node, "err", err, "stack", string(stack))
		}
	}()
	return fn(ctx, x)
}

// note writes the failure of background work to last_error, unless that says something already.
// Work that was cancelled is only logged. Ironic: TaskManager._write_exception.
func (x *Exclusive) note(ctx context.Context, name string, err error) {
	if err == nil {
		return
	}
	if name == "" {
		name = x.req.Purpose
	}
	log := x.m.cfg.Logger
	lost := errors.Is(err, lease.ErrLost) || x.fence.Context().Err() != nil
	if x.over.Load() || lost || x.records.Node.LastError != "" || errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed) {
		log.WarnContext(ctx, "background task", "node", x.req.Node, "work", name, "err", err)
		return
	}
	x.records.Node.LastError = fmt.Sprintf("%s failed: %v", name, err)
	if _, ok := errors.AsType[*node.ValidationError](err); ok {
		x.restore() // what it left cannot be saved
		x.records.Node.LastError = fmt.Sprintf("%s failed: %v", name, err)
	}
	x.SaveAtEnd()
	log.ErrorContext(ctx, "background task", "node", x.req.Node, "work", name, "err", err)
}

// restore takes the node back to what etcd has.
func (x *Exclusive) restore() { *x.records.Node = *x.saved.Clone() }
