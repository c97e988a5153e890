package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/node"
)

// agentRoutes are those of the agent that runs on a machine: it finds out which
// node it is, and then calls from time to time.
func (a *api) agentRoutes(s *resource[*node.Node]) {
	a.handle("GET /v1/lookup", 22, lookup(s))
	a.handle("POST /v1/heartbeat/{node}", 22, heartbeat)
}

// errUnknownMachine does not say whether there is no such node or whether it is
// none that an agent runs on now: who asks has shown no right to know.
var errUnknownMachine = refuse(errMissing, "Resource could not be found.")

// lookup is GET /v1/lookup. Since 1.62 it makes the token that the agent must
// show from then on, for which it tries the node's lock once.
func lookup(s *resource[*node.Node]) route {
	return func(ctx context.Context, c *call) error {
		n, err := c.machine(ctx)
		if err != nil {
			return err
		}
		if !c.cfg.Provision.AnswersLookup(n.ProvisionState) {
			c.cfg.Logger.WarnContext(ctx, "lookup refused", "node", n.UUID, "provision_state", n.ProvisionState)
			return errUnknownMachine
		}
		token := ""
		if c.v >= 62 {
			if n, token, err = c.cfg.Provision.AgentToken(ctx, n.UUID); errors.Is(err, node.ErrNotFound) {
				return errUnknownMachine
			}
			if err != nil {
				return err
			}
		}
		fields := slices.DeleteFunc([]string{"uuid", "properties", "instance_info", "driver_internal_info", "links"},
			func(f string) bool { return s.columns[f].since > c.v })
		return c.json(http.StatusOK, map[string]any{"node": s.render(&view{call: c}, n, fields), "config": agentConfig(token)})
	}
}

// agentConfig tells an agent how to behave. Ironic: ramdisk.config, with the
// defaults of its options.
func agentConfig(token string) map[string]any {
	return map[string]any{
		"heartbeat_timeout": 300, "agent_token": shape("", token), "agent_token_required": true,
		"agent_md5_checksum_enable": false, "disable_deep_image_inspection": false,
		"permitted_image_formats": []string{"raw", "gpt", "qcow2", "iso"},
		"metrics": map[string]any{
			"backend": "noop", "prepend_host": false, "prepend_uuid": false, "prepend_host_reverse": true, "global_prefix": nil,
		},
		"metrics_statsd": map[string]any{"statsd_host": "localhost", "statsd_port": 8125},
	}
}

// machine finds the node that an agent runs on, by its uuid or by the addresses
// of its ports. Addresses that are none are passed over.
func (c *call) machine(ctx context.Context) (*node.Node, error) {
	q := c.r.URL.Query()
	id := q.Get("node_uuid")
	if id != "" && !node.IsUUID(id) {
		return nil, invalid("node_uuid", "Expected a UUID but received %s.", cut(id, 64))
	}
	var macs []string
	for mac := range strings.SplitSeq(strings.Join(q["addresses"], ","), ",") {
		if hw, err := net.ParseMAC(strings.TrimSpace(mac)); err == nil && len(hw) == 6 {
			macs = append(macs, hw.String())
		} else if mac != "" {
			c.cfg.Logger.WarnContext(ctx, "lookup with an address that is none", "address", cut(mac, 64))
		}
	}
	if len(macs) == 0 && id == "" {
		return nil, invalid("", "At least one of 'addresses' and 'node_uuid' parameters is required")
	}
	if id == "" {
		var err error
		if id, err = c.owner(ctx, macs); err != nil {
			return nil, err
		}
	}
	n, err := c.cfg.Store.Find(ctx, id)
	if errors.Is(err, node.ErrNotFound) {
		return nil, errUnknownMachine
	}
	return n, err
}

// owner is the node that has ports with some of the addresses. Those of two nodes
// are nobody's.
func (c *call) owner(ctx context.Context, macs []string) (string, error) {
	id := ""
	for _, mac := range macs {
		p, err := c.cfg.Store.Port(ctx, mac)
		switch {
		case errors.Is(err, node.ErrNotFound):
		case err != nil:
			return "", err
		case id != "" && id != string(p.NodeUUID):
			c.cfg.Logger.WarnContext(ctx, "lookup with addresses of two nodes", "node", id, "other", p.NodeUUID)
			return "", errUnknownMachine
		default:
			id = string(p.NodeUUID)
		}
	}
	if id == "" {
		return "", errUnknownMachine
	}
	return id, nil
}

// What an agent says of itself is stored with its node, whose record has a limit:
// no agent may fill it. A message that is longer is cut, as it may be all that is
// known of a failure; the rest is refused.
const (
	maxAgentText    = 2048
	maxAgentCA      = 64 << 10
	maxAgentMessage = 4096
)

// beat is the body of a heartbeat.
type beat struct {
	CallbackURL *string `json:"callback_url"`
	Version     string  `json:"agent_version"`
	Token       *string `json:"agent_token"`
	VerifyCA    *string `json:"agent_verify_ca"`
	Status      *string `json:"agent_status"`
	Message     string  `json:"agent_status_message"`
}

// heartbeat is POST /v1/heartbeat/{node}.
func heartbeat(ctx context.Context, c *call) error {
	var in beat
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := in.check(c.v); err != nil {
		return err
	}
	n, err := c.node(ctx)
	if errors.Is(err, node.ErrNotFound) {
		return errUnknownMachine
	}
	if err != nil {
		return err
	}
	h := provision.Heartbeat{
		Node: n.UUID, CallbackURL: *in.CallbackURL, AgentVersion: in.Version, AgentToken: *in.Token,
		StatusMessage: cut(in.Message, maxAgentMessage),
	}
	if in.VerifyCA != nil {
		h.VerifyCA = *in.VerifyCA
	}
	if in.Status != nil {
		h.Status = *in.Status
	}
	if err := h.Check(n); err != nil { // first of all: who has no token is told nothing of the node
		return err
	}
	if known, ok := n.DriverInternalInfo["agent_url"].(string); ok && known != h.CallbackURL {
		c.cfg.Logger.WarnContext(ctx, "heartbeat from another address than before", "node", n.UUID, "remote", remoteOf(c.r))
		return invalid("callback_url", "Detected change in ramdisk provided \"callback_url\"")
	}
	if err := c.cfg.Provision.Heartbeat(ctx, h); err != nil {
		return err
	}
	return c.accepted("")
}

// check refuses what the version does not know and what no heartbeat is without.
// Ironic tells of the first by 400 here, not 406.
func (b *beat) check(v minor) error {
	statuses := []string{"start", "end", "error"}
	switch {
	case b.Version != "" && v < 36:
		return invalid("agent_version", "not recognised before API version 1.36")
	case (b.Status != nil || b.Message != "") && v < 72:
		return invalid("agent_status", "not recognised before API version 1.72")
	case b.VerifyCA != nil && v < 68:
		return invalid("agent_verify_ca", "not recognised before API version 1.68")
	case b.CallbackURL == nil:
		return invalid("callback_url", "is required")
	case b.Token == nil:
		return invalid("agent_token", "Agent token is required for heartbeat processing.")
	case b.Status != nil && !slices.Contains(statuses, *b.Status):
		return invalid("agent_status", "Agent status is invalid. Valid states are %s.", strings.Join(statuses, ","))
	case len(*b.CallbackURL) > maxAgentText:
		return invalid("callback_url", "is longer than %d bytes", maxAgentText)
	case len(b.Version) > maxAgentText:
		return invalid("agent_version", "is longer than %d bytes", maxAgentText)
	case b.VerifyCA != nil && len(*b.VerifyCA) > maxAgentCA:
		return invalid("agent_verify_ca", "is longer than %d bytes", maxAgentCA)
	case *b.CallbackURL == "": // of an agent that cannot be called
		return nil
	}
	u, err := url.Parse(*b.CallbackURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return invalid("callback_url", "An issue with the supplied \"callback_url\" has been detected; it must be an http or https URL.")
	}
	return nil
}
