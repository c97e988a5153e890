package e2e

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/conductor-metal/conductor/pkg/node"
)

// What the clients of a fleet saw, checked for each node against a lock and two
// registers. The model knows nothing of etcd, queues, revisions or leases.

type did string

const (
	took  did = "take"  // a request was accepted: it has the node until its end
	ended did = "end"   // of a request, as its client saw it
	maybe did = "maybe" // a request without an answer: it was accepted, was not, or will be yet
	over  did = "over"  // of such a one, at a moment that nobody knows
	alone did = "alone" // a request was left by a conductor that was killed, frozen or cut off
	held  did = "hold"  // another process has the lock
	freed did = "free"
	saw   did = "read" // by anybody
)

// act is what a client did; its output is a look.
type act struct {
	node, id string // of the node, and of the request or the other process
	did      did
	wish     wish
}

// look is what a client sees of a node.
type look struct {
	prov   node.ProvisionState
	power  node.PowerState
	failed bool // of an end
}

// nodeModel is a node as its clients know it. It is comparable.
type nodeModel struct {
	owner string // who has the node: a request, or another process
	left  string // a request whose conductor is gone, and that has not ended
	wish  wish   // of the request that has the node or was left
	prov  node.ProvisionState
	power node.PowerState // empty registers are not known
}

// begins are the states from which a verb may start.
var begins = map[string][]node.ProvisionState{
	"manage":  {node.StateEnroll, node.StateAvailable, node.StateCleanFailed},
	"provide": {node.StateManageable},
	"clean":   {node.StateManageable},
	"active":  {node.StateAvailable},
	"rebuild": {node.StateActive, node.StateDeployFailed, node.StateError},
	"deleted": {node.StateActive, node.StateDeployFailed, node.StateError},
}

// passes are the states that a verb goes through, and those in which it may fail.
var passes = map[string]struct{ through, fails []node.ProvisionState }{
	"manage":  {[]node.ProvisionState{node.StateVerifying, node.StateManageable}, []node.ProvisionState{node.StateEnroll}},
	"provide": {[]node.ProvisionState{node.StateCleaning}, []node.ProvisionState{node.StateCleanFailed}},
	"clean":   {[]node.ProvisionState{node.StateCleaning}, []node.ProvisionState{node.StateCleanFailed}},
	"active":  {[]node.ProvisionState{node.StateDeploying}, []node.ProvisionState{node.StateDeployFailed}},
	"rebuild": {[]node.ProvisionState{node.StateDeploying}, []node.ProvisionState{node.StateDeployFailed}},
	"deleted": {[]node.ProvisionState{node.StateDeleting, node.StateCleaning}, []node.ProvisionState{node.StateError, node.StateCleanFailed}},
}

// step returns the states in which a node may be after an operation; none: it cannot have happened.
func (m nodeModel) step(a act, l look) []nodeModel {
	switch a.did {
	case took, maybe:
		next := m
		next.owner, next.wish = a.id, a.wish
		free := m.owner == "" && m.left == "" && (a.wish.power != "" || m.prov == "" || slices.Contains(begins[a.wish.verb], m.prov))
		switch {
		case a.did == took && !free:
			return nil
		case a.did == took:
			return []nodeModel{next}
		case free:
			return []nodeModel{m, next}
		}
		return []nodeModel{m}
	case ended:
		return m.end(a, l)
	case over:
		if m.owner == a.id {
			return []nodeModel{{}}
		}
		return []nodeModel{m}
	case alone:
		if m.owner == a.id {
			m.owner, m.left = "", a.id
		}
		return []nodeModel{m}
	case held:
		if m.owner != "" {
			return nil
		}
		m.owner = a.id
		return []nodeModel{m}
	case freed:
		if m.owner != a.id {
			return nil
		}
		m.owner = ""
		return []nodeModel{m}
	}
	return m.read(l)
}

// end of a request: only who has the node can come to one.
func (m nodeModel) end(a act, l look) []nodeModel {
	mine := m.owner == a.id || m.owner == "" && m.left == a.id
	goal := a.wish.power != "" && l.power == a.wish.power && (m.prov == "" || l.prov == m.prov) || a.wish.power == "" && l.prov == a.wish.state
	if l.failed {
		goal = m.prov == "" || l.prov == m.prov || slices.Contains(passes[a.wish.verb].fails, l.prov)
	}
	if !mine || !goal {
		return nil
	}
	next := nodeModel{prov: l.prov}
	if a.wish.power != "" && !l.failed {
		next.power = l.power
	}
	return []nodeModel{next}
}

func (m nodeModel) read(l look) []nodeModel {
	pending := m.wish != wish{}
	switch {
	case pending && m.wish.power == "":
		if m.prov != "" && !slices.Contains(passes[m.wish.verb].through, l.prov) {
			return nil
		}
		return []nodeModel{m}
	case m.prov != "" && l.prov != m.prov, !pending && m.power != "" && l.power != m.power:
		return nil
	}
	m.prov = l.prov
	return []nodeModel{m}
}

var nodeHistory = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{nodeModel{}} },
	Step: func(state, input, output any) (next []any) {
		l, _ := output.(look)
		for _, m := range state.(nodeModel).step(input.(act), l) {
			next = append(next, m)
		}
		return next
	},
}).ToModel()

// history is what the clients of a fleet did and saw, by node.
type history struct {
	mu    sync.Mutex
	begun time.Time
	ops   map[string][]porcupine.Operation
}

func newHistory() *history {
	return &history{begun: time.Now(), ops: map[string][]porcupine.Operation{}}
}

const never = math.MaxInt64 // has an operation returned whose effect nobody knows

func (h *history) now() int64 { return int64(time.Since(h.begun)) }

func (h *history) add(a act, from, to int64, l look) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[a.node] = append(h.ops[a.node], porcupine.Operation{Input: a, Call: from, Output: l, Return: to})
}

// check looks for an order of the operations of each node that explains what was seen.
func (h *history) check(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	counts, undecided := map[did]int{}, 0
	for id, ops := range h.ops {
		for _, op := range ops {
			counts[op.Input.(act).did]++
		}
		switch porcupine.CheckOperationsTimeout(nodeHistory, ops, 10*time.Second) {
		case porcupine.Illegal:
			slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
			text := ""
			for _, op := range ops {
				text += "\n    " + describe(op)
			}
			t.Errorf("no order of these operations explains what the clients of node %s saw:%s", id, text)
		case porcupine.Unknown:
			undecided++ // too many operations of unknown outcome
		}
	}
	t.Logf("histories of %d nodes: %v, explained by one lock a node; of %d nodes too much is unknown to decide", len(h.ops), counts, undecided)
}

func describe(op porcupine.Operation) string {
	a, l := op.Input.(act), op.Output.(look)
	to := "never"
	if op.Return != never {
		to = time.Duration(op.Return).Round(time.Microsecond).String()
	}
	return fmt.Sprintf("[%s, %s] %s %q of %s: %s, %s, failed %t", time.Duration(op.Call).Round(time.Microsecond), to, a.did, a.wish.verb, a.id, l.prov, l.power, l.failed)
}

// TestModelOfNodes shows that the model can fail.
func TestModelOfNodes(t *testing.T) {
	deploy, off := wish{verb: "active", state: node.StateActive}, wish{verb: "power off", power: node.PowerOff}
	sees := func(s node.ProvisionState, p node.PowerState) look { return look{prov: s, power: p} }
	failed := look{prov: node.StateDeployFailed, failed: true}
	type op struct {
		did  did
		id   string
		wish wish
		look look
		late bool // it returns after all others
	}
	read := func(s node.ProvisionState, p node.PowerState) op { return op{did: saw, look: sees(s, p)} }
	available, active := read(node.StateAvailable, ""), read(node.StateActive, "")
	take, end := op{did: took, id: "a", wish: deploy}, op{did: ended, id: "a", wish: deploy, look: active.look}
	hold, free := op{did: held, id: "x"}, op{did: freed, id: "x"}
	ask, done := op{did: maybe, id: "a", wish: deploy, late: true}, op{did: over, id: "a", late: true}
	left := op{did: alone, id: "a", late: true}
	switchOff := []op{{did: took, id: "b", wish: off}, {did: ended, id: "b", wish: off, look: sees(node.StateActive, node.PowerOff)}}
	for _, tt := range []struct {
		name  string
		legal bool
		ops   []op
	}{
		{"one after the other", true, []op{available, take, read(node.StateDeploying, ""), end, active, hold, free, active}},
		{"a lock while a request works", false, []op{available, take, hold, free, end}},
		{"a request while another process has the lock", false, []op{available, hold, take, free, end}},
		{"two requests", false, []op{take, {did: took, id: "b", wish: off}, end}},
		{"two locks", false, []op{hold, {did: held, id: "y"}}},
		{"a lock that was lost at some time", true, []op{hold, {did: freed, id: "x", late: true}, take, end}},
		{"an end of nothing", false, []op{end}},
		{"the end of another", false, []op{take, {did: ended, id: "b", wish: off, look: active.look}}},
		{"a verb in a state in which it is not legal", false, []op{active, take, end}},
		{"the state of before", false, []op{available, take, end, available}},
		{"the state of before, while a request works", false, []op{available, take, available, end}},
		{"the end before the end", false, []op{available, take, active, end}},
		{"power of before", false, append(slices.Clone(switchOff), read(node.StateActive, node.PowerOn))},
		{"power as it was set", true, append(slices.Clone(switchOff), read(node.StateActive, node.PowerOff))},
		{"done, but in another state", false, []op{take, {did: ended, id: "a", wish: deploy, look: available.look}}},
		{"failed", true, []op{available, take, {did: ended, id: "a", wish: deploy, look: failed}, read(node.StateDeployFailed, "")}},
		{"failed, and seen as if it were not", false, []op{available, take, {did: ended, id: "a", wish: deploy, look: failed}, active}},
		{"unknown, and it was", true, []op{available, ask, done, read(node.StateDeploying, ""), active}},
		{"unknown, and it was not", true, []op{available, ask, done, available, available}},
		{"unknown, and both", false, []op{available, ask, done, active, available}},
		{"left, a lock, and the end", true, []op{available, take, left, hold, read(node.StateDeploying, ""), free, end}},
		{"left, and the end under another's lock", false, []op{available, take, left, hold, end, free}},
	} {
		var ops []porcupine.Operation
		for i, o := range tt.ops {
			to := int64(2*i + 1)
			if o.late {
				to = never
			}
			ops = append(ops, porcupine.Operation{Input: act{"n", o.id, o.did, o.wish}, Call: int64(2 * i), Output: o.look, Return: to})
		}
		if got := porcupine.CheckOperations(nodeHistory, ops); got != tt.legal {
			t.Errorf("%s: legal = %t, want %t", tt.name, got, tt.legal)
		}
	}
}
