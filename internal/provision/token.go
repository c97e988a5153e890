package provision

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// hiddenToken is told in the place of a token that somebody has got already: no
// heartbeat can be made with it. Ironic: the same.
const hiddenToken = "******"

// AgentToken makes the secret that the agent of a node must show with its
// heartbeats, and answers it. It is told once: anybody may look a node up, and
// who does so after its agent must not be able to speak for that. So if there is
// one already, a mask is in its place. It tries the lock once, so that look-ups
// do not pile up behind who has it.
//
// Errors: node.ErrNotFound, *lease.HeldError, and others of task.Manager.Exclusive.
//
// Ironic: ConductorManager.get_node_with_token.
func (p *Provisioner) AgentToken(ctx context.Context, id node.ID) (*node.Node, string, error) {
	n, err := p.cfg.Store.Node(ctx, id)
	if err != nil {
		return nil, "", err
	}
	if n.DriverInternalInfo.Text(infoAgentToken) != "" {
		return n, hiddenToken, nil
	}
	token := hiddenToken
	q := task.Request{Node: id, Purpose: "agent token", NoDriver: true}
	err = p.cfg.Tasks.Exclusive(ctx, q, func(ctx context.Context, x *task.Exclusive) error {
		if x.Node().DriverInternalInfo.Text(infoAgentToken) == "" {
			token = rand.Text()
			keep(x.Node(), infoAgentToken, token)
		}
		if err := x.Save(ctx); err != nil { // not told before it is known
			return err
		}
		n = x.Node().Clone()
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("make a token for the agent: %w", err)
	}
	return n, token, nil
}

// AnswersLookup says whether an agent may look a node up that is in a state: one
// in which an agent runs on the machine. With Config.FastTrack there are more.
//
// Ironic: LookupController.lookup_allowed.
func (p *Provisioner) AnswersLookup(s node.ProvisionState) bool {
	return node.LookupAllowed.Has(s) || p.cfg.FastTrack && node.FastTrackLookupAllowed.Has(s)
}
