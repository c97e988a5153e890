package provision_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// family is the states of one flow, and the kind of its steps.
type family struct {
	kind                           string
	running, waiting, held, failed node.ProvisionState
}

var families = []family{
	{"verify", node.StateVerifying, "", "", ""},
	{"inspect", node.StateInspecting, node.StateInspectWait, "", node.StateInspectFailed},
	{"clean", node.StateCleaning, node.StateCleanWait, node.StateCleanHold, node.StateCleanFailed},
	{"adopt", node.StateAdopting, "", "", node.StateAdoptFailed},
	{"deploy", node.StateDeploying, node.StateWaitCallBack, node.StateDeployHold, node.StateDeployFailed},
	{"delete", node.StateDeleting, "", "", ""},
	{"rescue", node.StateRescuing, node.StateRescueWait, "", node.StateRescueFailed},
	{"unrescue", node.StateUnrescuing, "", "", node.StateUnrescueFailed},
	{"service", node.StateServicing, node.StateServiceWait, node.StateServiceHold, node.StateServiceFailed},
}

func familyOf(s node.ProvisionState) (family, bool) {
	for _, f := range families {
		if s == f.running || s == f.waiting && s != "" || s == f.held && s != "" || s == f.failed && s != "" {
			return f, true
		}
	}
	return family{}, false
}

// infoNumber reads a whole number of driver_internal_info; -1 if it is not there.
func infoNumber(n *node.Node, key string) int {
	i, err := strconv.Atoi(n.DriverInternalInfo.Text(key))
	if err != nil {
		return -1
	}
	return i
}

func generationOf(n *node.Node) int { return max(infoNumber(n, "wait_generation"), 0) }

// stepAt answers which step of which kind a record says that runs or waits; -1: none.
func stepAt(n *node.Node) (kind string, index int) {
	for _, f := range families {
		if i := infoNumber(n, f.kind+"_step_index"); i >= 0 {
			return f.kind, i
		}
	}
	return "", -1
}

// version is a record at a revision, and which run of steps it belongs to.
type version struct {
	*node.Node
	run int // counts the times that a first step began
}

// chronicle holds each revision of etcd against what has to be so at every one.
type chronicle struct {
	keys    node.Keys
	replay  *lease.Replay
	intents map[node.ID]bool
	purpose map[int64]string // of each token
	now     map[node.ID]version
	past    map[node.ID][]version
	resumed map[string]int
	wrong   []string
}

// chronicle makes the chronicle of all that has happened.
func (c *cluster) chronicle(t *testing.T) *chronicle {
	t.Helper()
	replay, err := lease.NewReplay("")
	if err != nil {
		t.Fatal(err)
	}
	h := &chronicle{
		keys: c.store.Keys(), replay: replay, intents: map[node.ID]bool{}, purpose: map[int64]string{}, now: map[node.ID]version{},
		past: map[node.ID][]version{}, resumed: map[string]int{},
	}
	end := lease.DefaultRoot + "the end of the chronicle"
	if _, err := c.client.Put(t.Context(), end, ""); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for w := range c.client.Watch(ctx, lease.DefaultRoot, clientv3.WithPrefix(), clientv3.WithRev(1)) {
		for evs := w.Events; len(evs) > 0; {
			rev, n := evs[0].Kv.ModRevision, 1
			for n < len(evs) && evs[n].Kv.ModRevision == rev {
				n++
			}
			h.revision(rev, evs[:n])
			if evs = evs[n:]; len(evs) == 0 && string(w.Events[len(w.Events)-1].Kv.Key) == end {
				return h
			}
		}
	}
	t.Fatal("the watch ended")
	return nil
}

func (h *chronicle) errorf(rev int64, n *node.Node, format string, args ...any) {
	h.wrong = append(h.wrong, fmt.Sprintf("revision %d: node %.4s, %q, target %q: ", rev, n.UUID, n.ProvisionState, n.TargetProvisionState)+fmt.Sprintf(format, args...))
}

// revision takes what one transaction did.
func (h *chronicle) revision(rev int64, evs []*clientv3.Event) {
	var changed []*node.Node
	for _, e := range evs {
		h.replay.Apply(e)
		key := strings.TrimPrefix(string(e.Kv.Key), lease.DefaultRoot)
		if id, ok := strings.CutPrefix(key, "intents/"); ok {
			h.intends(node.ID(id), e)
		}
		if id, ok := strings.CutPrefix(key, "nodes/"); ok && e.Type == clientv3.EventTypePut {
			rs, err := h.keys.Decode(node.ID(id), []*mvccpb.KeyValue{e.Kv})
			if err != nil {
				h.wrong = append(h.wrong, fmt.Sprintf("revision %d: %v", rev, err))
				continue
			}
			changed = append(changed, rs.Node)
		}
	}
	for _, n := range changed {
		before, known := h.now[n.UUID]
		v := version{n, before.run}
		if _, i := stepAt(n); known && i >= 0 {
			if _, was := stepAt(before.Node); was < 0 {
				v.run++
			}
		}
		h.now[n.UUID] = v
		h.past[n.UUID] = append(h.past[n.UUID], v)
		if known {
			h.change(rev, before.Node, n)
		}
	}
	h.standing(rev)
}

// intends takes an intent that was written or deleted.
func (h *chronicle) intends(id node.ID, e *clientv3.Event) {
	h.intents[id] = e.Type == clientv3.EventTypePut
	var i lease.Intent
	if json.Unmarshal(e.Kv.Value, &i) == nil {
		h.purpose[cmp.Or(int64(i.Token), e.Kv.ModRevision)] = i.Purpose
	}
}

// held says whether somebody has the node's exclusive lock.
func (h *chronicle) held(id node.ID, rev int64) bool {
	q := h.replay.Queue(string(id), rev)
	for _, e := range q.Holders() {
		if e.Mode == lease.Exclusive {
			return true
		}
	}
	return q.Upgrade != nil
}

// standing is what must be so at every revision, whoever wrote it.
func (h *chronicle) standing(rev int64) {
	slots := map[string]node.ID{}
	for id, n := range h.now {
		if len(h.past[id]) == 1 {
			continue // as the test made it
		}
		if node.Stuck.Has(n.ProvisionState) && !h.intents[id] && !h.held(id, rev) {
			h.errorf(rev, n.Node, "without a lock or an intent")
		}
		if other, twice := slots[n.ActionSlot]; twice && n.ActionSlot != "" {
			h.errorf(rev, n.Node, "has the slot %s of %s", n.ActionSlot, other)
		}
		slots[n.ActionSlot] = id
	}
}

// change is what must be so when a record is written.
func (h *chronicle) change(rev int64, old, n *node.Node) {
	putBack := strings.HasPrefix(n.LastError, "the work could not start")
	targets := []node.ProvisionState{n.ProvisionState.DefaultTarget()}
	f, flows := familyOf(n.ProvisionState)
	if f.kind == "clean" {
		targets = append(targets, node.StateManageable)
	}
	if !slices.Contains(targets, n.TargetProvisionState) {
		h.errorf(rev, n, "that is no target of it")
	}
	if class := n.ProvisionState.SlotClass(); class == "" && n.ActionSlot != "" || class != "" && !class.Owns(n.ActionSlot) {
		h.errorf(rev, n, "has the slot %q", n.ActionSlot)
	}
	was, _ := familyOf(old.ProvisionState)
	if flows && was == f && old.ProvisionState != f.failed && old.TargetProvisionState != n.TargetProvisionState {
		h.errorf(rev, n, "the target was %q in %q", old.TargetProvisionState, old.ProvisionState)
	}
	waits := 0
	if n.ProvisionState != old.ProvisionState {
		if !leads(old.ProvisionState, n.ProvisionState) && !(putBack && leads(n.ProvisionState, old.ProvisionState)) {
			h.errorf(rev, n, "nothing leads there from %q", old.ProvisionState)
		}
		if node.Stuck.Has(n.ProvisionState) && (!h.intents[n.UUID] || !h.held(n.UUID, rev)) {
			h.errorf(rev, n, "entered without both the lock and an intent")
		}
		if flows && n.ProvisionState == f.waiting && !putBack {
			waits = 1
		}
	}
	if got, want := generationOf(n), generationOf(old)+waits; got != want && !putBack {
		h.errorf(rev, n, "generation %d, want %d", got, want)
	}
	if flows && old.ProvisionState == f.waiting && n.ProvisionState == f.running {
		key := fmt.Sprint(n.UUID, generationOf(n))
		if h.resumed[key]++; h.resumed[key] > 1 && !putBack {
			h.errorf(rev, n, "resumed twice in generation %d", generationOf(n))
		}
	}
	if flows && f.held != "" && old.ProvisionState == f.held && strings.Contains(n.LastError, "timeout of") && !strings.Contains(old.LastError, "timeout of") {
		h.errorf(rev, n, "is not held for ever: %s", n.LastError)
	}
	h.steps(rev, old, n)
}

func leads(from, to node.ProvisionState) bool {
	return slices.ContainsFunc(from.Events(), func(e node.Event) bool {
		s, _ := from.After(e)
		return s == to
	})
}

// steps go on one by one from the first, and only while there is work.
func (h *chronicle) steps(rev int64, old, n *node.Node) {
	kind, i := stepAt(n)
	was, j := stepAt(old)
	switch {
	case i < 0:
		return
	case j < 0 && i != 0:
		h.errorf(rev, n, "begins with %s step %d", kind, i)
	case j >= 0 && (kind != was || i != j && i != j+1):
		h.errorf(rev, n, "goes from %s step %d to %s step %d", was, j, kind, i)
	}
	if f, ok := familyOf(n.ProvisionState); !ok || f.kind != kind || n.ProvisionState == f.failed {
		h.errorf(rev, n, "%s step %d", kind, i)
	}
	if all, _ := n.DriverInternalInfo[kind+"_steps"].([]any); i >= len(all) {
		h.errorf(rev, n, "%s step %d of %d", kind, i, len(all))
	}
}
