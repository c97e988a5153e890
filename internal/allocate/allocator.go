package allocate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Config describes an Allocator.
type Config struct {
	Host  string        // of this conductor; required
	Store *node.Store   // required
	Tasks *task.Manager // required

	// Live answers the hosts of the conductors that live, this one's among them;
	// Resume asks it. Nil: only this one is known to live.
	Live func(context.Context) ([]string, error)

	Each    time.Duration // between two looks for what nobody works on; 0: 60 s (Ironic: check_allocations_interval)
	Retry   time.Duration // the pause between two rounds; 0: 1 s (Ironic: node_locked_retry_interval)
	Workers int           // allocations that are worked on at once, others wait; 0: 16
	Logger  *slog.Logger  // nil: discarded
}

const (
	rounds  = 3               // Ironic: node_locked_retry_attempts
	trouble = 5 * time.Second // the pause when etcd or the session is not there
	reloads = 5               // of a record that somebody else changes meanwhile
)

// Allocator looks for nodes. Its methods are safe for concurrent use.
type Allocator struct {
	cfg   Config
	ctx   context.Context // that of the work; ends with Close
	stop  context.CancelCauseFunc
	slots chan struct{}
	wg    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	working map[string]bool // by uuid
}

// New returns an Allocator that has nothing to do yet; call Start for what was
// left undone.
func New(c Config) (*Allocator, error) {
	if c.Host == "" || c.Store == nil || c.Tasks == nil {
		return nil, errors.New("allocator: Host, Store and Tasks are required")
	}
	if c.Retry == 0 {
		c.Retry = time.Second
	}
	if c.Each == 0 {
		c.Each = time.Minute
	}
	if c.Workers == 0 {
		c.Workers = 16
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Allocator{cfg: c, slots: make(chan struct{}, c.Workers), working: map[string]bool{}}
	a.ctx, a.stop = context.WithCancelCause(context.Background())
	return a, nil
}

// Start calls Resume now and again and again, until Close.
func (a *Allocator) Start() {
	a.wg.Go(func() {
		for {
			if err := a.Resume(a.ctx); err != nil && a.ctx.Err() == nil {
				a.cfg.Logger.WarnContext(a.ctx, "allocations that nobody works on", "err", err)
			}
			if pause(a.ctx, a.cfg.Each) != nil {
				return
			}
		}
	})
}

// Close ends the work and waits for it until ctx ends. What has no node yet stays
// "allocating". Close it before the task manager.
func (a *Allocator) Close(ctx context.Context) error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.stop(task.ErrClosed)
	done := make(chan struct{})
	go func() { // ends with the last of the work
		a.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("allocations end: %w", context.Cause(ctx))
	}
}

// Create stores a new allocation on behalf of a user, and begins to look for a
// node. It returns when it is stored.
func (a *Allocator) Create(ctx context.Context, al *node.Allocation, user string) error {
	if a.ctx.Err() != nil {
		return task.ErrClosed
	}
	al.State, al.NodeUUID, al.ConductorAffinity = node.AllocationAllocating, "", a.cfg.Host
	if err := a.cfg.Tasks.Create(ctx, al, user); err != nil {
		return err
	}
	a.start(al.Clone())
	return nil
}

// Resume takes up the allocations that nobody works on: those of conductors that
// do not live, and of this one before it was started anew. It returns when they
// have been taken over, which is a write that only one of several conductors can
// make.
//
// Ironic: ConductorManager._resume_allocations, _check_orphan_allocations.
func (a *Allocator) Resume(ctx context.Context) error {
	live := map[string]bool{}
	if a.cfg.Live != nil {
		hosts, err := a.cfg.Live(ctx)
		if err != nil {
			return fmt.Errorf("resume allocations: %w", err)
		}
		for _, h := range hosts {
			live[h] = true
		}
	}
	live[a.cfg.Host] = false // what is its own and in work, is known here
	page, err := a.cfg.Store.Allocations(ctx, node.ListRequest[*node.Allocation]{Match: func(al *node.Allocation) bool {
		return al.State == node.AllocationAllocating && !live[al.ConductorAffinity] && !a.busy(al.UUID)
	}})
	if err != nil {
		return fmt.Errorf("resume allocations: %w", err)
	}
	for _, al := range page.Items {
		mine := al.Clone()
		mine.ConductorAffinity = a.cfg.Host
		err := a.write(ctx, al, mine)
		if errors.Is(err, node.ErrStale) || errors.Is(err, node.ErrNotFound) {
			continue // another was first
		}
		if err != nil {
			return fmt.Errorf("resume allocations: %w", err)
		}
		a.cfg.Logger.InfoContext(ctx, "allocation taken over", "allocation", al.UUID, "from", al.ConductorAffinity)
		a.start(mine)
	}
	return nil
}

// write stores an allocation if it still is as it was read.
func (a *Allocator) write(ctx context.Context, old, updated *node.Allocation) error {
	c, err := a.cfg.Store.Keys().Update(old, updated)
	if err != nil {
		return err
	}
	_, err = a.cfg.Tasks.Commit(ctx, c, task.Told(updated, task.Updated))
	return err
}

func (a *Allocator) busy(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.working[id]
}

// start works on an allocation in the background, unless that is done already.
func (a *Allocator) start(al *node.Allocation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.working[al.UUID] {
		return
	}
	a.working[al.UUID] = true
	a.wg.Go(func() {
		defer func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			delete(a.working, al.UUID)
		}()
		select {
		case a.slots <- struct{}{}:
			defer func() { <-a.slots }()
			a.run(a.ctx, al)
		case <-a.ctx.Done():
		}
	})
}
