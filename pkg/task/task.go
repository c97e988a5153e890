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
// where any right will do; take *Exclusive where only the exclusive lock will.
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
	m        *Manager
	req      Request
	records  *node.Records
	machine  *node.Machine
	composed *hardware.Composition
	reader   *hardware.Reader
	over     atomic.Bool
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

// load takes records that were read, makes the state machine from them and composes the driver,
// unless it is composed already and still fits, or the request wants none.
func (c *core) load(rs *node.Records) error {
	machine, err := node.NewMachine(rs.Node.ProvisionState, rs.Node.TargetProvisionState)
	if err != nil {
		return err
	}
	old := c.records
	c.records, c.machine = rs, machine
	if c.req.NoDriver || c.composed != nil && old != nil && sameDriver(old.Node, rs.Node) {
		return nil
	}
	return c.LoadDriver()
}

// LoadDriver composes the driver of a task that was begun without one (Request.NoDriver). It does
// nothing if there is one. Its errors are those of hardware.Registry.Compose.
func (c *core) LoadDriver() error {
	if c.composed != nil && !c.req.NoDriver {
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
func (s *Snapshot) Driver() *hardware.Reader { return s.bind(s.Check, hardware.Actor{}) }

// Shared may look at a node while nobody changes it.
type Shared struct {
	*core
	lock    *lease.Lock
	working *Exclusive // an upgrade whose background work is to start when the task ends
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
func (s *Shared) Driver() *hardware.Reader { return s.bind(s.Check, s.m.actor(s.lock)) }

// Exclusive may change a node: no other task has a lock on it.
type Exclusive struct {
	*core
	fence  *lease.Lock
	driver *hardware.Driver
	begun  time.Time // when the lock was granted

	mu      sync.Mutex
	saved   *node.Node // as it stands in etcd
	atEnd   bool       // write the node with the release
	spawn   *work
	onError func(ctx context.Context, err error)
	pending *Notification // of the transition that the registered work belongs to
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
	if x.driver == nil {
		if x.composed == nil || x.req.NoDriver {
			return &hardware.Driver{}
		}
		x.driver = x.composed.Driver(x.records.Node, x.gate)
	}
	return x.driver
}

// bind makes the reading driver of a task whose right is told by check.
func (c *core) bind(check func() error, actor hardware.Actor) *hardware.Reader {
	if c.composed == nil || c.req.NoDriver {
		return &hardware.Reader{}
	}
	if c.reader == nil {
		c.reader = c.composed.Reader(c.records.Node, c.m.gate(check, actor, nil))
	}
	return c.reader
}
