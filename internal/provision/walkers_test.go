package provision_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// driverSteps are the steps that reach a machine.
var driverSteps = []string{"vendor.log_passthrough", "bios.apply_configuration", "bios.factory_reset", "firmware.update", "deploy.deploy"}

// ran is a step that reached a machine, and what the record said of it by then.
type ran struct {
	hardware.Call
	revision   int64 // of the record
	index      int
	rerunnable bool
	token      int64
}

// watched are machines that look, at each step that reaches them, whether the
// record says so already, and that can go wrong in more ways than the fakes.
type watched struct {
	*hardwaretest.BMC
	store *node.Store

	mu    sync.Mutex
	trap  map[node.ID]string // what the next command meets: "panic" or "error"
	steps map[node.ID][]ran
	again int // steps that a next holder ran again
	wrong []string
}

var _ hardware.Machines = (*watched)(nil)

var errTrap = errors.New("the machine says no")

func (m *watched) Command(ctx context.Context, c hardware.Call) error {
	if c.Writes && ctx.Err() == nil {
		if slices.Contains(driverSteps, c.String()) {
			m.step(ctx, c)
		}
		switch m.spring(c.Node) {
		case "panic":
			panic("the driver did not think of this")
		case "error":
			return fmt.Errorf("%s: %w", c, errTrap)
		}
	}
	return m.BMC.Command(ctx, c)
}

func (m *watched) spring(id node.ID) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	what := m.trap[id]
	delete(m.trap, id)
	return what
}

// step compares a step with what the record says of it.
func (m *watched) step(ctx context.Context, c hardware.Call) {
	n, err := m.store.Node(context.WithoutCancel(ctx), c.Node)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.wrong = append(m.wrong, err.Error())
		return
	}
	token := hardware.ActorFrom(ctx).Token
	if n.WrittenBy != nil && n.WrittenBy.Token > token {
		return // its lock was broken a moment ago, and the next holder waits for this command to end
	}
	kind, i := stepAt(n)
	f, _ := familyOf(n.ProvisionState)
	all, _ := n.DriverInternalInfo[kind+"_steps"].([]any)
	if i < 0 || i >= len(all) || n.ProvisionState != f.running || f.kind != kind {
		m.wrong = append(m.wrong, fmt.Sprintf("node %.4s runs %s by token %d while the record says %q, %s step %d", c.Node, c, token, n.ProvisionState, kind, i))
		return
	}
	one, _ := all[i].(map[string]any)
	if name := fmt.Sprintf("%v.%v", one["interface"], one["step"]); name != c.String() {
		m.wrong = append(m.wrong, fmt.Sprintf("node %.4s runs %s while step %d is %s", c.Node, c, i, name))
	}
	m.steps[c.Node] = append(m.steps[c.Node], ran{c, n.Revision, i, one["rerunnable"] == true, token})
}

// inOrder compares the steps that reached machines with the history: each
// run's are a beginning of its list, none is left out, and one is repeated only
// if it may be, and to recover.
func (m *watched) inOrder(h *chronicle) (wrong []string) {
	for id, past := range h.past {
		type place struct{ run, index int }
		seen := map[place]int64{}
		for _, s := range m.steps[id] {
			i := slices.IndexFunc(past, func(v version) bool { return v.Revision == s.revision })
			if i < 0 {
				wrong = append(wrong, fmt.Sprintf("node %.4s: no revision %d", id, s.revision))
				continue
			}
			at := place{past[i].run, s.index}
			if by, again := seen[at]; again && (by == s.token || !s.rerunnable || h.purpose[s.token] != "recover") {
				wrong = append(wrong, fmt.Sprintf("node %.4s: run %d: %s, step %d, ran for token %d and for %d", id, at.run, s.Call, s.index, by, s.token))
			}
			if _, again := seen[at]; again {
				m.again++
			}
			for later := range seen {
				if later.run == at.run && later.index > at.index {
					wrong = append(wrong, fmt.Sprintf("node %.4s: run %d: step %d after %d", id, at.run, at.index, later.index))
				}
			}
			seen[at] = s.token
		}
		for _, v := range past {
			kind, i := stepAt(v.Node)
			all, _ := v.DriverInternalInfo[kind+"_steps"].([]any)
			if i < 1 || i >= len(all) || v.Revision <= past[0].Revision {
				continue
			}
			one, _ := all[i-1].(map[string]any)
			name := fmt.Sprintf("%v.%v", one["interface"], one["step"])
			if _, did := seen[place{v.run, i - 1}]; !did && slices.Contains(driverSteps, name) {
				wrong = append(wrong, fmt.Sprintf("node %.4s: run %d: %s, step %d, was left out", id, v.run, name, i-1))
			}
		}
	}
	return wrong
}

// atRest says what is still going on with a node that nobody does anything with.
func (c *cluster) atRest(ctx context.Context, n *node.Node) (wrong []string) {
	locks := lease.Locks{Client: c.client}
	q, err := locks.Queue(ctx, string(n.UUID))
	intents, err2 := locks.Intents(ctx)
	if err := errors.Join(err, err2); err != nil {
		return []string{err.Error()}
	}
	if len(q.Entries) > 0 || q.Upgrade != nil {
		wrong = append(wrong, fmt.Sprintf("node %.4s: locked for %q", n.UUID, q.Entries[0].Purpose))
	}
	if i, left := intents[string(n.UUID)]; left {
		wrong = append(wrong, fmt.Sprintf("node %.4s, %q: an intent is left: %s", n.UUID, n.ProvisionState, i))
	}
	if node.Stuck.Has(n.ProvisionState) || n.TargetPowerState != "" {
		wrong = append(wrong, fmt.Sprintf("node %.4s: %q, target power state %q: %s", n.UUID, n.ProvisionState, n.TargetPowerState, n.LastError))
	}
	return wrong
}
