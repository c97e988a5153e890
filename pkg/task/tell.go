package task

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// maxTold bounds what one write tells: etcd takes some hundred operations in a transaction.
const maxTold = 32

// Tell adds a notification to the task's next write: Save, ProcessEvent, Create, Update, Delete,
// or with SaveAtEnd the end of the task. It is stored in the same transaction, at the same
// revision, and Config.Notify is told once it is. A write that fails drops it, and so does a task
// that ends without a write. Save writes for a notification alone, if the node is as stored.
//
// Type is to be given, and what belongs to it. What the task knows it fills in itself, with the
// node as it is at the write: node and name, states, purpose, task, token, user, publisher, and
// unless they are given the time and, by the type's status, the level.
func (x *Exclusive) Tell(n Notification) {
	n.complete()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over.Load() || len(x.told) >= maxTold {
		x.m.dropped(x.req.Node, &n)
		return
	}
	x.told = append(x.told, &n)
}

func (m *Manager) dropped(id node.ID, n *Notification) {
	m.cfg.Logger.Warn("notification dropped: the task is over or writes nothing", "node", id, "type", n.Type)
}

// complete fills in what can be told from the rest.
func (n *Notification) complete() {
	if n.At.IsZero() {
		n.At = now()
	}
	if n.Level == "" {
		n.Level = LevelInfo
		if strings.HasSuffix(n.Type, Failure) {
			n.Level = LevelError
		}
	}
}

// tidings takes what was told since the last write: it goes with this one or not at all.
func (x *Exclusive) tidings() []*Notification {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := x.told
	x.told = nil
	return all
}

// tells adds the storing of notifications to a write.
func (x *Exclusive) tells(w lease.Write, all []*Notification) lease.Write {
	return x.tellsUnder(x.req.Node, w, all)
}

func (x *Exclusive) tellsUnder(id node.ID, w lease.Write, all []*Notification) lease.Write {
	for _, n := range all {
		x.sign(n, x.fence.Token())
	}
	w.Then = append(w.Then[:len(w.Then):len(w.Then)], x.m.record(id, all...)...)
	return w
}

// sign fills in what the task knows.
func (c *core) sign(n *Notification, token lease.Token) {
	n.describe(c.records.Node)
	n.Publisher = c.who.Conductor
	n.Purpose, n.Task, n.Token, n.User = c.req.Purpose, c.req.ID, token, c.req.User
}

// describe fills in the node as it is, of which an event of a port has no use.
func (n *Notification) describe(r *node.Node) {
	n.Node, n.Name = r.UUID, r.Name
	if !strings.HasPrefix(n.Type, "baremetal.node.") {
		return
	}
	n.State, n.Target = r.ProvisionState, r.TargetProvisionState
	n.PowerState, n.PowerTarget = r.PowerState, r.TargetPowerState
	n.Maintenance, n.Fault, n.LastError = r.Maintenance, r.Fault, r.LastError
	if n.Reason == "" && strings.HasPrefix(n.Type, MaintenanceSet) {
		n.Reason = r.MaintenanceReason
	}
}

// heard is called when notifications have been stored.
func (m *Manager) heard(ctx context.Context, id node.ID, all []*Notification) {
	m.stored(id, all...)
	for _, n := range all {
		m.notify(ctx, n)
	}
}

// record is the write that stores notifications among a node's events and, by the order of time of
// the keys, drops those there that are older than Config.History.
func (m *Manager) record(id node.ID, all ...*Notification) []clientv3.Op {
	if len(all) == 0 {
		return nil
	}
	prefix := m.keys.Events(id)
	ops := []clientv3.Op{clientv3.OpDelete(prefix, clientv3.WithRange(prefix+before(time.Now().Add(-m.cfg.History))))}
	for _, n := range all {
		id, err := uuid.NewV7()
		if err != nil {
			panic(fmt.Sprint("no randomness: ", err)) // crypto/rand does not fail
		}
		n.ID = id.String()
		value, err := json.Marshal(n)
		if err != nil {
			panic(err) // strings and times of this century
		}
		ops = append(ops, clientv3.OpPut(prefix+n.ID, string(value)))
	}
	return ops
}

// before is where the version 7 UUIDs of a moment begin.
func before(t time.Time) string {
	ms := fmt.Sprintf("%012x", t.UnixMilli())
	return ms[:8] + "-" + ms[8:]
}
