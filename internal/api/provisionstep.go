package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// says tells whether a parameter has a value that says something: neither null
// nor empty.
func says(raw json.RawMessage) bool {
	switch string(bytes.TrimSpace(raw)) {
	case "", "null", `""`, "[]", "{}", "false", "0":
		return false
	}
	return true
}

// stepInterfaces are the hardware interfaces whose steps can be asked for.
// Ironic: conductor/steps.py, CLEANING_INTERFACE_PRIORITY.
var stepInterfaces = []string{
	hardware.InterfaceBIOS, hardware.InterfaceDeploy, hardware.InterfaceFirmware, hardware.InterfaceManagement,
	hardware.InterfacePower, hardware.InterfaceRAID, hardware.InterfaceVendor,
}

// step is what all steps of a request have.
type step struct {
	Interface string       `json:"interface"`
	Step      string       `json:"step"`
	Args      *node.Object `json:"args"`
}

// orderedStep is a step of cleaning or service. They run as they stand; order is
// known only because runbooks have it.
type orderedStep struct {
	step
	Order *node.Rank `json:"order"`

	ExecuteOnChildNodes     bool     `json:"execute_on_child_nodes"`
	LimitChildNodeExecution []string `json:"limit_child_node_execution"`
}

type deployStep struct {
	step
	Priority *node.Rank `json:"priority"`
}

// orderedSteps reads clean_steps or service_steps.
func orderedSteps(name string, kind hardware.StepKind, raw json.RawMessage) ([]hardware.Step, error) {
	return readSteps(name, kind, raw, func(s orderedStep) (step, int, string) {
		if s.ExecuteOnChildNodes || len(s.LimitChildNodeExecution) > 0 {
			return s.step, 0, "execute_on_child_nodes: steps on child nodes are not supported; ask for them on each child"
		}
		return s.step, 0, ""
	})
}

// deploySteps reads deploy_steps.
func deploySteps(raw json.RawMessage) ([]hardware.Step, error) {
	if !says(raw) {
		return nil, nil
	}
	return readSteps("deploy_steps", hardware.DeployStep, raw, func(s deployStep) (step, int, string) {
		switch {
		case s.Args == nil:
			return s.step, 0, "args is required, and may be {}"
		case s.Priority == nil:
			return s.step, 0, "priority is required: a whole number, 0 or more"
		}
		return s.step, int(*s.Priority), ""
	})
}

// readSteps reads a list of steps; take answers what they have in common, the
// priority, and what is wrong. That there are such steps, the driver knows.
func readSteps[S any](name string, kind hardware.StepKind, raw json.RawMessage, take func(S) (step, int, string)) ([]hardware.Step, error) {
	list, err := node.InputList(raw)
	if err != nil {
		return nil, refuse(node.ErrInvalid, "Invalid %s: %v", name, err)
	}
	var bad []string
	steps := make([]hardware.Step, len(list))
	for i, r := range list {
		var s S
		if err := node.DecodeInput(bytes.NewReader(r), maxBody, &s); err != nil {
			bad = append(bad, fmt.Sprintf("step %d: %v", i, err))
			continue
		}
		common, priority, wrong := take(s)
		switch {
		case !slices.Contains(stepInterfaces, common.Interface):
			wrong = fmt.Sprintf("interface: %q is not one of %s", cut(common.Interface, 64), strings.Join(stepInterfaces, ", "))
		case common.Step == "":
			wrong = "step is required: the name of one"
		}
		if wrong != "" {
			bad = append(bad, fmt.Sprintf("step %d: %s", i, wrong))
		}
		steps[i] = hardware.Step{Interface: common.Interface, Name: common.Step, Priority: priority, Kind: kind}
		if common.Args != nil {
			steps[i].Args = *common.Args
		}
	}
	if len(bad) > 0 {
		return nil, refuse(node.ErrInvalid, "Invalid %s: %s", name, cut(strings.Join(bad, "; "), 4096))
	}
	return steps, nil
}

// runbook takes the steps from a runbook, if the request names one. It may be
// used on nodes that have its name as a trait.
//
// Ironic: NodeStatesController._handle_runbook.
func (c *call) runbook(ctx context.Context, in *wanted, r *provision.Request) error {
	if in.Runbook == "" {
		return nil
	}
	if c.v < 92 {
		return tooNew("The parameter runbook", 92, c.v)
	}
	book, err := c.cfg.Store.Runbook(ctx, in.Runbook)
	if errors.Is(err, node.ErrNotFound) {
		return &node.NotFoundError{Kind: node.KindRunbook, Ref: in.Runbook}
	}
	if err != nil {
		return err
	}
	r.May = func(n *node.Node) error {
		if slices.Contains(n.Traits, book.Name) {
			return nil
		}
		return refuse(node.ErrInvalid, "This runbook has not been approved for use on this node %s. Please ask an administrator to add it to your node traits. (%s)",
			n.UUID, book.Name)
	}
	kind := hardware.CleanStep
	switch {
	case in.Target == provision.Clean && says(in.CleanSteps), in.Target == provision.Service && says(in.ServiceSteps):
		return refuse(node.ErrInvalid, `Please provide either "%s_steps" or a runbook, but not both.`, in.Target)
	case in.Target == provision.Service:
		kind = hardware.ServiceStep
	case in.Target != provision.Clean:
		return refuse(node.ErrInvalid, `"runbook" is only valid when setting target provision state to any of clean, service`)
	}
	for _, s := range book.Ordered() {
		r.Steps = append(r.Steps, hardware.Step{Interface: s.Interface, Name: s.Step, Args: s.Args, Kind: kind})
	}
	r.DisableRamdisk, in.DisableRamdisk = book.DisableRamdisk, nil
	return nil
}
