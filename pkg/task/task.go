package task

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Task is a right to act on a node, of whichever kind: *Snapshot, *Shared or *Exclusive. Take it
// where any right will do; take *Exclusive where only the exclusive lock will. A task is for one
// goroutine at a time, but for Check, Driver and the calls of the driver, which may run side by
// side. When background work takes a task over, it belongs to that work.
type Task interface {
	// ID is the task's id, which the lock's entry in etcd carries too.
	ID() string
	// Purpose is why the task was begun, or last upgraded.
	Purpose() string
	// Node is the node as read with the lock. Only an Exclusive can save changes to it.
	Node() *node.Node
	// Records are the node and all that belongs to it, as of the same revision.
	Records() *node.Records
	// Machine is the node's provision state machine, in the state that the record had.
	Machine() *node.Machine
	// Check reports why the task must not be relied on at this moment; nil if it may.
	Check() error

	sealed()
}

// core is what every right has.
type core struct {
	m       *Manager
	req     Request
	who     hardware.Actor // without its token
	records *node.Records
	machine *node.Machine
	since   time.Time // when the lock was granted
	over    atomic.Bool

	mu       sync.Mutex
	composed *hardware.Composition
	reader   *hardware.Reader
}

// ID implements Task.
func (c *core) ID() string { return c.req.ID }

// Purpose implements Task.
func (c *core) Purpose() string { return c.req.Purpose }

// Node implements Task.
func (c *core) Node() *node.Node { return c.records.Node }

// Records implements Task.
func (c *core) Records() *node.Records { return c.records }

// Machine implements Task.
func (c *core) Machine() *node.Machine { return c.machine }

func (c *core) sealed() {}

// actor tells a machine that records its commands whose they are.
func (c *core) actor(l *lease.Lock) hardware.Actor {
	a := c.who
	a.Token = int64(l.Token())
	return a
}

// load takes records that were read, makes the state machine from them and composes the driver,
// unless it is composed already and still fits, or the request wants none.
func (c *core) load(rs *node.Records) error {
	machine, err := node.NewMachine(rs.Node.ProvisionState, rs.Node.TargetProvisionState)
	if err != nil {
		return err
	}
	if c.composed != nil && !sameDriver(c.records.Node, rs.Node) {
		c.composed = nil
	}
	c.records, c.machine = rs, machine
	if c.req.NoDriver {
		return nil
	}
	return c.LoadDriver()
}

// LoadDriver composes the driver of a task that was begun without one (Request.NoDriver). It does
// nothing if there is one. Its errors are those of hardware.Registry.Compose.
func (c *core) LoadDriver() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.composed != nil {
		return nil
	}
	composed, err := c.m.cfg.Hardware.Compose(c.records.Node)
	if err != nil {
		return err
	}
	c.composed, c.req.NoDriver = composed, false
	return nil
}

// sameDriver reports whether two versions of a node compose alike.
func sameDriver(a, b *node.Node) bool {
	bs := b.Interfaces()
	for name, v := range a.Interfaces() {
		if *v != *bs[name] || a.InstanceInfo.Text(name) != b.InstanceInfo.Text(name) {
			return false
		}
	}
	return a.Driver == b.Driver
}

// Snapshot is a consistent look at a node without a lock: what Ironic calls a shared lock.
type Snapshot struct {
	*core
	taken time.Time
}

// Taken is when the snapshot was read, by this process's clock.
func (s *Snapshot) Taken() time.Time { return s.taken }

// Check implements Task. A snapshot can only be over.
func (s *Snapshot) Check() error {
	if s.over.Load() {
		return ErrReleased
	}
	return nil
}

// Driver is the part of the node's driver that only reads. Without a driver each call is refused.
func (s *Snapshot) Driver() *hardware.Reader { return s.read(right{check: s.Check}) }

// Shared may look at a node while nobody changes it.
type Shared struct {
	*core
	lock     *lease.Lock
	upgraded atomic.Bool // an upgrade is open
	working  *Exclusive  // an upgrade whose background work is to start when the task ends
}

// Check implements Task.
func (s *Shared) Check() error {
	if s.over.Load() {
		return ErrReleased
	}
	return s.lock.Check()
}

// Token orders this task among the owners of the node's lock.
func (s *Shared) Token() lease.Token { return s.lock.Token() }

// Abandoned returns what a dead holder left undone, nil if nothing.
func (s *Shared) Abandoned() *lease.Intent { return s.lock.Abandoned() }

// Driver is the part of the node's driver that only reads. Without a driver each call is refused.
func (s *Shared) Driver() *hardware.Reader {
	return s.read(right{check: s.Check, lock: s.lock, actor: s.actor(s.lock)})
}

// Exclusive may change a node: no other task has a lock on it.
type Exclusive struct {
	*core
	fence *lease.Lock
	begun time.Time  // when the lock was granted
	saved *node.Node // as it stands in etcd
	slot  *slot      // of the worker that runs the task's work; nil in the foreground

	// Below core.mu.
	driver  *hardware.Driver
	atEnd   bool // write the node with the release
	spawn   *work
	onError func(ctx context.Context, err error)
	pending *Notification   // of the transition that the registered work belongs to
	told    []*Notification // for the next write
}

// Check implements Task.
func (x *Exclusive) Check() error {
	if x.over.Load() {
		return ErrReleased
	}
	return x.fence.Check()
}

// Token orders this task among the owners of the node's lock; each has a higher one than the last.
func (x *Exclusive) Token() lease.Token { return x.fence.Token() }

// Abandoned returns what a dead holder left undone, nil if nothing. The first command to the
// machine then waits until the dead one's last command is surely over (Config.LockDelay). When
// the recovery is done, call Settle.
func (x *Exclusive) Abandoned() *lease.Intent { return x.fence.Abandoned() }

// Settle says that the abandoned section has been dealt with. Without it the next task is told too.
func (x *Exclusive) Settle() { x.fence.Settle() }

// Driver is the node's driver. Without one (Request.NoDriver) each call is refused.
func (x *Exclusive) Driver() *hardware.Driver {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.composed == nil {
		return &hardware.Driver{}
	}
	if x.driver == nil {
		x.driver = x.composed.Driver(x.records.Node, x.m.gate(right{
			check: x.Check, lock: x.fence, actor: x.actor(x.fence), first: x.first,
			driver: x.composed.HardwareType(),
		}))
	}
	return x.driver
}

// read makes the reading driver of a task.
func (c *core) read(r right) *hardware.Reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.composed == nil {
		return &hardware.Reader{}
	}
	if c.reader == nil {
		r.driver = c.composed.HardwareType()
		c.reader = c.composed.Reader(c.records.Node, c.m.gate(r))
	}
	return c.reader
}
