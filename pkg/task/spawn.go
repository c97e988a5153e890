package task

import (
	"context"
	"fmt"
	"runtime/debug"
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
// node's last_error if that is empty, under name. A second call replaces the first. Work may
// register further work, which then follows it in the same worker.
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

// OnSpawnError sets what is called, still under the lock, when the registered work does not start:
// no worker was free, or the function that registered it failed after all. Errors of the work
// itself do not come here. Ironic: TaskManager.set_spawn_error_hook.
func (x *Exclusive) OnSpawnError(hook func(ctx context.Context, err error)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.onError = hook
}

// launch starts the registered work, which takes the lock over.
func (x *Exclusive) launch(ctx context.Context) error {
	x.mu.Lock()
	w := x.spawn
	if w.slot == nil {
		slot, err := x.m.pool.take(x.req.Unreserved)
		if err != nil {
			x.mu.Unlock()
			return err
		}
		w.slot = slot
	}
	x.spawn, x.slot = nil, w.slot
	x.mu.Unlock()
	x.flush(ctx)
	values := context.WithoutCancel(ctx)
	x.m.tasks.Go(func() {
		defer w.slot.free()
		x.work(values, w)
	})
	return nil
}

// drop gives registered work up, and tells the hook why while the lock still stands. Whatever the
// hook does, the original error goes out.
func (x *Exclusive) drop(ctx context.Context, why error) {
	x.mu.Lock()
	w, hook := x.spawn, x.onError
	x.setWork(nil)
	x.onError, x.pending = nil, nil
	x.mu.Unlock()
	if w == nil || hook == nil || x.stands() != nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			x.m.cfg.Logger.WarnContext(ctx, "spawn error hook", "node", x.req.Node, "err", &PanicError{Value: p})
		}
	}()
	hook(ctx, why)
}

// work runs background work, and what that registers, to its end and releases the lock.
func (x *Exclusive) work(values context.Context, w *work) {
	ctx, cancel := x.m.bind(values)
	defer cancel()
	ctx, stop := x.fence.Bind(ctx)
	defer stop()
	err := errPanicked // unless the work returns
	defer func() { x.finish(ctx, w.name, err) }()
	for {
		if err = protect(ctx, x, w.fn); err != nil || !x.working() {
			return
		}
		x.flush(ctx)
		x.mu.Lock()
		w, x.spawn = x.spawn, nil
		x.mu.Unlock()
	}
}

// protect turns a panic of background work into its error: it must not end the process, whose
// other tasks hold other nodes. What the work had changed and not saved is not written.
func protect(ctx context.Context, x *Exclusive, fn func(context.Context, *Exclusive) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			stack := debug.Stack()
			err = &PanicError{Value: p, Stack: stack}
			x.restore()
			x.m.cfg.Logger.ErrorContext(ctx, "background task", "node", x.req.Node, "err", err, "stack", string(stack))
		}
	}()
	return fn(ctx, x)
}

// finish ends a background task. One that the manager's end cut off is not released: its lock ends
// with the session, and the intent stays and tells the next holder.
func (x *Exclusive) finish(ctx context.Context, name string, err error) {
	x.drop(ctx, err)
	if err == nil && x.stands() == nil {
		_, err = x.last(ctx) // what cannot be saved is the work's error
	}
	if err != nil {
		x.note(ctx, name, err)
	}
	if err != nil && x.m.ctx.Err() != nil {
		x.over.Store(true)
		x.lost(ctx, x.fence)
	} else if endErr := x.end(ctx); endErr != nil {
		x.m.cfg.Logger.WarnContext(ctx, "end of background task", "node", x.req.Node, "purpose", x.req.Purpose, "err", endErr)
	}
	x.m.cfg.Metrics.worked(err)
}

// note writes the failure of background work to last_error, unless that says something already.
// Work whose context ended was cut off, which is only logged. Ironic: TaskManager._write_exception.
func (x *Exclusive) note(ctx context.Context, name string, err error) {
	if name == "" {
		name = x.req.Purpose
	}
	log, n := x.m.cfg.Logger, x.records.Node
	if x.stands() != nil || ctx.Err() != nil || n.LastError != "" {
		log.WarnContext(ctx, "background task", "node", x.req.Node, "work", name, "err", err)
		return
	}
	text := fmt.Sprintf("%s failed: %v", name, err)
	n.LastError = text
	x.SaveAtEnd()
	if _, bad := x.last(ctx); bad != nil { // what the work left cannot be saved
		x.restore()
		n.LastError = text
	}
	log.ErrorContext(ctx, "background task", "node", x.req.Node, "work", name, "err", err)
}
