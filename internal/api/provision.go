package api

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

func (a *api) provisionRoutes() {
	a.handle("PUT /v1/nodes/{node}/states/provision", 1, setProvision)
}

// verbSince is the version from which on a verb may be asked for. Those that are
// late are looked at only after the parameters, as in Ironic, where undeploy is
// never looked at.
var verbSince = map[provision.Verb]struct {
	since minor
	late  bool
}{
	provision.Manage: {since: 4}, provision.Provide: {since: 4}, provision.Inspect: {since: 6}, provision.Abort: {since: 13},
	provision.Clean: {since: 15}, provision.Adopt: {since: 17}, provision.Rescue: {since: 38}, provision.Unrescue: {since: 38},
	"deploy": {since: 73}, provision.Unhold: {85, true}, provision.Service: {87, true},
}

// wanted is the body of a request for a verb.
type wanted struct {
	Target         provision.Verb  `json:"target"`
	ConfigDrive    json.RawMessage `json:"configdrive"`
	CleanSteps     json.RawMessage `json:"clean_steps"`
	DeploySteps    json.RawMessage `json:"deploy_steps"`
	ServiceSteps   json.RawMessage `json:"service_steps"`
	RescuePassword *string         `json:"rescue_password"`
	DisableRamdisk *boolean        `json:"disable_ramdisk"`
	Runbook        string          `json:"runbook"`
}

// boolean is a bool that may be written as text.
type boolean bool

// UnmarshalJSON takes what Ironic takes for true and false.
func (t *boolean) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		return json.Unmarshal(data, (*bool)(t))
	}
	b, err := parseBool("", text)
	*t = boolean(b)
	return err
}

// setProvision is PUT /v1/nodes/{node}/states/provision. The checks are made in
// Ironic's order, on the node as it stands; what the verb itself needs is checked
// under the lock.
//
// Ironic: NodeStatesController.provision.
func setProvision(ctx context.Context, c *call) error {
	var in wanted
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Target == "" {
		return invalid("target", "is required")
	}
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	if err := c.knows(in.Target, false); err != nil {
		return err
	}
	if n.Maintenance && (in.Target == provision.Deploy || in.Target == provision.Rebuild) {
		return &provision.NodeError{Node: n.UUID, Action: "provisioning", Is: provision.ErrMaintenance, Reason: n.MaintenanceReason}
	}
	if err := c.mayAsk(ctx, n, in.Target); err != nil {
		return err
	}
	r := provision.Request{Node: n.UUID, Verb: in.Target, Wait: c.wait, User: c.user()}
	if r.ConfigDrive, err = in.drive(c.v); err != nil {
		return err
	}
	if err := c.runbook(ctx, &in, &r); err != nil {
		return err
	}
	if err := in.fits(c.v); err != nil {
		return err
	}
	if in.Target == provision.Abort {
		r.May = c.mayAbort
	}
	if r.May != nil { // now, and under the lock again
		if err := r.May(n); err != nil {
			return err
		}
	}
	if err := c.knows(in.Target, true); err != nil {
		return err
	}
	if err := in.complete(&r); err != nil {
		return err
	}
	if err := c.cfg.Provision.Do(ctx, r); err != nil {
		return err
	}
	return c.accepted(c.url("nodes/" + string(n.UUID) + "/states"))
}

// knows says whether the version of the request knows the verb.
func (c *call) knows(v provision.Verb, late bool) error {
	if s, ok := verbSince[v]; ok && s.late == late && c.v < s.since {
		return tooNew("The target "+string(v), s.since, c.v)
	}
	return nil
}

// mayAsk refuses a verb that the node's state does not know. If somebody is at
// work on the node, the state may be another one soon: then the node is locked,
// and a client that asked to wait does so.
func (c *call) mayAsk(ctx context.Context, n *node.Node, v provision.Verb) error {
	if c.cfg.Provision.Legal(v, n.ProvisionState) {
		return nil
	}
	q, err := c.cfg.Locks.Queue(ctx, string(n.UUID))
	if err != nil {
		return err
	}
	switch reserved := exclusiveHolder(q) != ""; {
	case reserved && c.patient && c.isVerb(v):
		return nil
	case reserved:
		return &lease.HeldError{Queue: q}
	}
	return &provision.StateError{Node: n.UUID, Action: cut(string(v), 64), State: n.ProvisionState}
}

// isVerb says whether a verb is legal in any state.
func (c *call) isVerb(v provision.Verb) bool {
	return slices.ContainsFunc(node.States(), func(s node.ProvisionState) bool { return c.cfg.Provision.Legal(v, s) })
}

// mayAbort refuses what old versions could not abort. That of a deployment came
// after the newest one served.
func (c *call) mayAbort(n *node.Node) error {
	since := oldest
	switch n.ProvisionState {
	case node.StateInspectWait:
		since = 41
	case node.StateWaitCallBack:
		since = 110
	}
	if c.v < since {
		return tooNew("Aborting in the state "+string(n.ProvisionState), since, c.v)
	}
	return nil
}

// fits checks that each parameter belongs to the verb. Runbooks have been turned
// into steps by now.
func (in *wanted) fits(v minor) error {
	only := func(what string, verbs ...provision.Verb) error {
		if slices.Contains(verbs, in.Target) {
			return nil
		}
		names := make([]string, len(verbs))
		for i, v := range verbs {
			names[i] = string(v)
		}
		return refuse(node.ErrInvalid, `"%s" is only valid when setting target provision state to %s`, what, strings.Join(names, " or "))
	}
	if in.DisableRamdisk != nil {
		switch {
		case in.Target == provision.Clean && v < 70:
			return tooNew("The parameter disable_ramdisk", 70, v)
		case in.Target == provision.Service && v < 108:
			return tooNew("The parameter disable_ramdisk of service", 108, v)
		}
		if err := only("disable_ramdisk", provision.Clean, provision.Service); err != nil {
			return err
		}
	}
	if says(in.CleanSteps) {
		if err := only("clean_steps", provision.Clean); err != nil {
			return err
		}
	}
	if says(in.DeploySteps) {
		if v < 69 {
			return tooNew("The parameter deploy_steps", 69, v)
		}
		if err := only("deploy_steps", provision.Deploy, provision.Rebuild); err != nil {
			return err
		}
	}
	if in.RescuePassword != nil {
		if err := only("rescue_password", provision.Rescue); err != nil {
			return err
		}
	}
	if says(in.ServiceSteps) {
		return only("service_steps", provision.Service)
	}
	return nil
}

// complete fills in what the verb takes, and demands what it cannot do without.
func (in *wanted) complete(r *provision.Request) (err error) {
	required := func(what string) error {
		return refuse(node.ErrInvalid, `"%s" is required when setting target provision state to %s`, what, in.Target)
	}
	if in.DisableRamdisk != nil {
		r.DisableRamdisk = bool(*in.DisableRamdisk)
	}
	switch in.Target {
	case provision.Deploy, provision.Rebuild, "deploy":
		r.Steps, err = deploySteps(in.DeploySteps)
	case provision.Rescue:
		if in.RescuePassword == nil || strings.TrimSpace(*in.RescuePassword) == "" {
			return required("rescue_password")
		}
		r.RescuePassword = *in.RescuePassword
	case provision.Clean, provision.Service:
		raw, kind, name := in.CleanSteps, hardware.CleanStep, "clean_steps"
		if in.Target == provision.Service {
			raw, kind, name = in.ServiceSteps, hardware.ServiceStep, "service_steps"
		}
		if len(r.Steps) > 0 { // those of a runbook
			return nil
		}
		if !says(raw) {
			return required(name)
		}
		r.Steps, err = orderedSteps(name, kind, raw)
	}
	return err
}
