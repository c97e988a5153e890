package provision

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Heartbeat is what the agent on a machine says of itself.
//
// Ironic: POST /v1/heartbeat/{node}.
type Heartbeat struct {
	Node          node.ID
	CallbackURL   string
	AgentVersion  string
	AgentToken    string
	VerifyCA      string
	Status        string // "", start, end or error
	StatusMessage string
}

// The statuses of a heartbeat.
const (
	agentStart = "start"
	agentEnd   = "end"
	agentError = "error"
)

// Heartbeat stores what an agent says and continues what waits for it. It
// returns when that is handed to a worker. It tries the lock once: if that is
// held, the call is dropped, as the agent calls again; but while no agent of the
// node is known, a *lease.HeldError tells it to call again soon.
//
// Errors besides: hardware.ErrInvalidParameter if the token is not the node's, and
// those of task.Manager.Exclusive. What a heartbeat finds wrong later is told by
// the node's record.
func (p *Provisioner) Heartbeat(ctx context.Context, h Heartbeat) error {
	n, err := p.cfg.Store.Node(ctx, h.Node)
	if err != nil {
		return err
	}
	if err := h.Check(n); err != nil {
		return err
	}
	q := task.Request{Node: h.Node, Purpose: "heartbeat", Unreserved: true}
	err = p.cfg.Tasks.Exclusive(ctx, q, func(ctx context.Context, x *task.Exclusive) error { return p.heard(ctx, x, h) })
	if errors.Is(err, lease.ErrHeld) && n.DriverInternalInfo.Text(infoAgentURL) != "" {
		p.cfg.Logger.InfoContext(ctx, "heartbeat dropped: the node is locked", "node", h.Node)
		return nil
	}
	return err
}

// Check refuses who is not the node's agent, and then what it says.
func (h *Heartbeat) Check(n *node.Node) error {
	token := n.DriverInternalInfo.Text(infoAgentToken)
	if h.AgentToken == "" || token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(h.AgentToken)) != 1 {
		return fmt.Errorf("%w: the agent token is not that of this node: look the node up first", hardware.ErrInvalidParameter)
	}
	switch h.Status {
	case "", agentStart, agentEnd, agentError:
	default:
		return fmt.Errorf("%w: agent_status %q is not one of start, end, error", hardware.ErrInvalidParameter, h.Status)
	}
	if h.CallbackURL == "" || h.AgentVersion == "" {
		return fmt.Errorf("%w: a heartbeat needs callback_url and agent_version", hardware.ErrMissingParameter)
	}
	return nil
}

// heard takes a heartbeat under the lock.
func (p *Provisioner) heard(ctx context.Context, x *task.Exclusive, h Heartbeat) error {
	n := x.Node()
	if err := h.Check(n); err != nil {
		return err
	}
	f := p.flows.of(n.ProvisionState)
	waits := f != nil && n.ProvisionState == f.waiting
	if !waits && !p.listens(n.ProvisionState) {
		p.cfg.Logger.WarnContext(ctx, "heartbeat in a state that wants none", "node", n.UUID, "state", n.ProvisionState)
		return nil
	}
	h.store(n)
	x.SaveAtEnd()
	if !waits {
		return nil
	}
	x.SpawnAfter("heartbeat", func(ctx context.Context, x *task.Exclusive) error { return p.answer(ctx, x, f, h) })
	return nil
}

// listens says whether an agent is heard of in a state.
func (p *Provisioner) listens(s node.ProvisionState) bool {
	return node.HeartbeatAllowed.Has(s) || p.cfg.FastTrack && node.FastTrackHeartbeatAllowed.Has(s)
}

func (h *Heartbeat) store(n *node.Node) {
	keep(n, infoAgentURL, h.CallbackURL)
	keep(n, infoAgentVersion, h.AgentVersion)
	keep(n, infoAgentSeen, time.Now().UTC().Format(time.RFC3339))
	if h.VerifyCA != "" {
		keep(n, infoAgentVerifyCA, h.VerifyCA)
	}
	if h.Status != "" {
		keep(n, "agent_status", h.Status)
		keep(n, "agent_status_message", h.StatusMessage)
	}
}

// answer lets the driver say what the heartbeat of an agent that is waited for
// means, and goes on.
func (p *Provisioner) answer(ctx context.Context, x *task.Exclusive, f *flow, h Heartbeat) error {
	n := x.Node()
	if n.Maintenance && p.cfg.RefuseInMaintenance {
		return p.late(ctx, x, f, fmt.Sprintf("the %s cannot go on while the node is in maintenance", f.name))
	}
	if h.Status == agentError {
		return p.late(ctx, x, f, fmt.Sprintf("the agent says that the %s failed: %s", f.name, h.StatusMessage))
	}
	var outcome hardware.Outcome
	err := p.try(ctx, x, func(ctx context.Context, x *task.Exclusive) (err error) {
		outcome, err = x.Driver().Deploy.Heartbeat(ctx, h.CallbackURL, h.AgentVersion)
		return err
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		return p.late(ctx, x, f, fmt.Sprintf("the %s failed: the agent called, but: %v", f.name, err))
	case h.Status == agentStart, outcome == hardware.Waiting && h.Status != agentEnd:
		n.ProvisionUpdatedAt = time.Now().UTC().Truncate(time.Millisecond) // it lives: wait on
		return nil
	}
	return p.resume(ctx, x)
}

// late gives up work that is waited for in vain.
func (p *Provisioner) late(ctx context.Context, x *task.Exclusive, f *flow, why string) error {
	return p.giveUp(ctx, x, f, node.EventFail, why, f.late)
}
