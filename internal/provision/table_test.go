package provision_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// ironicMachine is Ironic's own machine: where each event leads, and the event of each verb.
func ironicMachine(t *testing.T) (to map[[2]string]node.ProvisionState, verbs map[provision.Verb]string) {
	t.Helper()
	text, err := os.ReadFile("../../pkg/node/testdata/ironic-fsm.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Transitions []struct{ From, Event, To string }
		Verbs       map[provision.Verb]string
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	to = map[[2]string]node.ProvisionState{}
	for _, tr := range d.Transitions {
		to[[2]string{tr.From, tr.Event}] = node.ProvisionState(tr.To)
	}
	// Ironic lets these two through to the lock, for its own use of them.
	delete(to, [2]string{"cleaning", "manage"})
	delete(to, [2]string{"deleting", "clean"})
	d.Verbs[provision.Rebuild] = "rebuild" // left out of the dump: the API has a case of its own for it
	return to, d.Verbs
}

// startsIn is a node as it stands in a state: with the target of the state, and
// the step that it is held in.
func startsIn(s node.ProvisionState) func(*node.Node) {
	return func(n *node.Node) {
		n.ProvisionState, n.TargetProvisionState = s, s.DefaultTarget()
		if f, ok := familyOf(s); ok && f.held == s {
			hold := object{"interface": "power", "step": "hold", "abortable": true, "rerunnable": true}
			n.DriverInternalInfo = node.Object{f.kind + "_steps": []any{hold}, f.kind + "_step_index": 0}
		}
		if s == node.StateInspectWait {
			waiting("inspect.Inspect")(n) // only such an inspection can be aborted
		}
		if class := s.SlotClass(); class != "" {
			n.ActionSlot = class.Slot(1)
		}
	}
}

// Each verb in each state, against Ironic's machine. What is accepted shows the
// new state with its target at once, and at no revision less than that; what is
// refused leaves the record, the queue and everything else as they were.
func TestEveryVerbInEveryState(t *testing.T) {
	to, verbs := ironicMachine(t)
	accepted := 0
	for verb, event := range verbs {
		for _, state := range node.States() {
			want, legal := to[[2]string{string(state), event}]
			if legal {
				accepted++
			}
			t.Run(fmt.Sprintf("%s in %s", verb, state), func(t *testing.T) {
				inBubble(t, startsIn(state), func(t *testing.T, c *cluster) {
					if legal {
						c.accepts(t, verb, want)
					} else {
						c.refuses(t, verb, state)
					}
				})
			})
		}
	}
	listed := len(legalFrom[provision.Deploy]) + len(legalFrom[provision.Undeploy]) // under both of their names
	for _, states := range legalFrom {
		listed += len(states)
	}
	if len(verbs) != 15 || accepted != listed {
		t.Errorf("%d verbs, %d accepted, want %d", len(verbs), accepted, listed)
	}
}

// accepts asks for what is legal, and looks at each revision that follows.
func (c *cluster) accepts(t *testing.T, verb provision.Verb, want node.ProvisionState) {
	t.Helper()
	p, _ := c.conductor(t, "c1")
	before := c.read(t)
	c.bmc.SetLatency(hardwaretest.Latency{Work: time.Second})
	if err := p.Do(t.Context(), c.request(verb)); err != nil {
		t.Fatal(err)
	}
	later := verb == provision.Abort && before.ProvisionState == node.StateServiceFailed // in the background: the service is cleaned up first
	now := c.read(t)
	if !later && now.ProvisionState == before.ProvisionState {
		t.Errorf("accepted, and still %q", now.ProvisionState)
	}
	settle()
	h := c.chronicle(t)
	for _, text := range h.wrong {
		t.Error(text)
	}
	target := want.DefaultTarget()
	if verb == provision.Clean {
		target = node.StateManageable
	}
	versions := h.past[c.node]
	i := slices.IndexFunc(versions, func(v version) bool { return v.ProvisionState != before.ProvisionState })
	if i < 0 || versions[i].ProvisionState != want || versions[i].TargetProvisionState != target {
		t.Fatalf("want %q, target %q; got %+v", want, target, versions)
	}
	if !later && versions[i].Revision > now.Revision {
		t.Errorf("accepted before %q was stored", want)
	}
	c.unlocked(t)
}

// refuses asks for what is not legal: of a node that nobody has, and of one that
// somebody else has.
func (c *cluster) refuses(t *testing.T, verb provision.Verb, state node.ProvisionState) {
	t.Helper()
	p, _ := c.conductor(t, "c1")
	from := c.etcd.Revision()
	err := p.Do(t.Context(), c.request(verb))
	if e, ok := errors.AsType[*provision.StateError](err); !ok || !errors.Is(err, provision.ErrStateRequested) || e.State != state || e.Node != c.node {
		t.Errorf("refused with %v", err)
	}
	settle()
	c.unlocked(t)
	other, err := lease.Open(t.Context(), c.etcd.Client("c2"), lease.Config{Holder: "c2"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close(t.Context()) }()
	l, err := other.Acquire(t.Context(), lease.Request{Name: string(c.node), Purpose: "firmware"})
	if err != nil {
		t.Fatal(err)
	}
	before := c.queue(t)
	err = p.Do(t.Context(), c.request(verb))
	if e, ok := errors.AsType[*lease.HeldError](err); !ok || len(e.Queue.Holders()) != 1 || e.Queue.Holders()[0].Purpose != "firmware" {
		t.Errorf("locked, it is refused with %v", err)
	}
	settle()
	if after := c.queue(t); after != before {
		t.Errorf("the queue is %s and was %s", after, before)
	}
	if err := l.Release(t.Context(), lease.Write{}); err != nil {
		t.Error(err)
	}
	c.onlyLocked(t, from)
	if c.sent() != "" {
		t.Errorf("sent %s", c.sent())
	}
}

// queue is the node's lock queue as etcd has it.
func (c *cluster) queue(t *testing.T) string {
	t.Helper()
	got, err := c.client.Get(t.Context(), lease.DefaultRoot+"locks/"+string(c.node), clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(got.Kvs)
}

// onlyLocked fails if since a revision anything was written but locks, their
// intents, and who is there.
func (c *cluster) onlyLocked(t *testing.T, from int64) {
	t.Helper()
	for _, dir := range []string{"nodes/", "index/", "events/", "allocations/"} {
		got, err := c.client.Get(t.Context(), lease.DefaultRoot+dir, clientv3.WithPrefix(), clientv3.WithMinModRev(from+1), clientv3.WithKeysOnly())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range got.Kvs {
			t.Errorf("written: %s", strings.TrimPrefix(string(kv.Key), lease.DefaultRoot))
		}
	}
}

// A driver that panics while the caller waits is an error of the request, as one
// that does so in the background is one of the node.
func TestDriverPanicsInTheForeground(t *testing.T) {
	inBubble(t, startsIn(node.StateInspectWait), func(t *testing.T, c *cluster) {
		c.machines = &watched{BMC: c.bmc, store: c.store, trap: map[node.ID]string{c.node: "panic"}}
		p, _ := c.conductor(t, "c1")
		before := c.read(t)
		err := p.Do(t.Context(), c.request(provision.Abort))
		if _, ok := errors.AsType[*task.PanicError](err); !ok {
			t.Errorf("got %v", err)
		}
		if n := c.read(t); n.Revision != before.Revision {
			t.Errorf("the node was written: %q", n.ProvisionState)
		}
		c.unlocked(t)
	})
}
