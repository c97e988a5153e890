package task

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Notification tells of one transition of a node's provision state. It is stored under
// events/<node>/ in the transaction that makes the transition, and given to Config.Notify.
// Ironic: baremetal.node.provision_set.
type Notification struct {
	ID             string              `json:"id"` // UUID version 7, so that keys are in order of time
	Type           string              `json:"type"`
	Level          string              `json:"level"` // INFO or ERROR
	At             time.Time           `json:"at"`
	Node           node.ID             `json:"node"`
	Name           string              `json:"name,omitempty"`
	Event          node.Event          `json:"event"`
	PreviousState  node.ProvisionState `json:"previous_provision_state"`
	PreviousTarget node.ProvisionState `json:"previous_target_provision_state,omitempty"`
	State          node.ProvisionState `json:"provision_state"`
	Target         node.ProvisionState `json:"target_provision_state,omitempty"`
	LastError      string              `json:"last_error,omitempty"`
	Purpose        string              `json:"purpose"`
	Task           string              `json:"task"`
	Token          lease.Token         `json:"token"`
	User           string              `json:"user,omitempty"`
}

// notification describes the transition that the task has just made.
func (x *Exclusive) notification(e node.Event, before *node.Node) *Notification {
	n := x.records.Node
	level, status := grade(e, before.ProvisionState, n.ProvisionState)
	return &Notification{
		Type: "baremetal.node.provision_set." + status, Level: level, At: time.Now().UTC().Truncate(time.Millisecond),
		Node: n.UUID, Name: n.Name, Event: e,
		PreviousState: before.ProvisionState, PreviousTarget: before.TargetProvisionState,
		State: n.ProvisionState, Target: n.TargetProvisionState, LastError: n.LastError,
		Purpose: x.req.Purpose, Task: x.req.ID, Token: x.fence.Token(), User: x.req.User,
	}
}

// grade decides level and status; the first rule that fits counts. An abort that leads to a
// failed state is thus an ordinary end. Ironic: TaskManager._notify_provision_state_change.
func grade(e node.Event, from, to node.ProvisionState) (level, status string) {
	was, is := node.Unstable.Has(from), node.Unstable.Has(to)
	switch {
	case e == node.EventFail || e == "error":
		return "ERROR", "error"
	case !was && is:
		return "INFO", "start"
	case was && !is:
		return "INFO", "end"
	}
	return "INFO", "success"
}

// record is the write that stores a notification and, by the order of time of the keys, drops the
// node's events that are older than Config.History.
func (m *Manager) record(n *Notification) []clientv3.Op {
	id, err := uuid.NewV7()
	if err != nil {
		panic(fmt.Sprint("no randomness: ", err)) // crypto/rand does not fail
	}
	n.ID = id.String()
	value, err := json.Marshal(n)
	if err != nil {
		panic(err) // strings and times of this century
	}
	prefix := m.keys.Events(n.Node)
	return []clientv3.Op{
		clientv3.OpPut(prefix+n.ID, string(value)),
		clientv3.OpDelete(prefix, clientv3.WithRange(prefix+before(n.At.Add(-m.cfg.History)))),
	}
}

// before is where the version 7 UUIDs of a moment begin.
func before(t time.Time) string {
	ms := fmt.Sprintf("%012x", t.UnixMilli())
	return ms[:8] + "-" + ms[8:]
}

// notify tells the subscriber, whose panic must not become the task's.
func (m *Manager) notify(ctx context.Context, n *Notification) {
	if m.cfg.Notify == nil || n == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			m.cfg.Logger.WarnContext(ctx, "notification", "node", n.Node, "err", &PanicError{Value: p})
		}
	}()
	m.cfg.Notify(ctx, *n)
}
