package provision

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// The steps of a node, and which of them runs, stand in driver_internal_info; the
// running one is shown in clean_step and its like. Ironic: the same names.

func stepsKey(k hardware.StepKind) string { return string(k) + "_steps" }
func indexKey(k hardware.StepKind) string { return string(k) + "_step_index" }

// abortAfter marks a step that is not abortable but is to be the last. Ironic: the same.
const abortAfter = "abort_after"

// keepSteps stores the steps that a node is to run. None of them runs yet.
func keepSteps(n *node.Node, kind hardware.StepKind, steps []hardware.Step) error {
	dropSteps(n, kind)
	all := make([]any, len(steps))
	for i, s := range steps {
		s.Kind, s.ArgsInfo = "", nil // known, and long
		text, err := json.Marshal(s)
		if err != nil {
			return fmt.Errorf("%w: step %s: %w", hardware.ErrInvalidParameter, stepName(s), err)
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var one map[string]any
		if err := d.Decode(&one); err != nil {
			return err
		}
		all[i] = one
	}
	keep(n, stepsKey(kind), all)
	return nil
}

// keptSteps answers the steps that a node is to run; false if they are not yet known.
func keptSteps(n *node.Node, kind hardware.StepKind) ([]hardware.Step, bool, error) {
	all, known := n.DriverInternalInfo[stepsKey(kind)].([]any)
	steps := make([]hardware.Step, len(all))
	for i, one := range all {
		text, err := json.Marshal(one)
		if err == nil {
			d := json.NewDecoder(bytes.NewReader(text))
			d.UseNumber()
			err = d.Decode(&steps[i])
		}
		if err != nil {
			return nil, known, fmt.Errorf("driver_internal_info %s: %w", stepsKey(kind), err)
		}
		steps[i].Kind = kind
	}
	return steps, known, nil
}

// dropSteps forgets the steps of a node and that one of them ran.
func dropSteps(n *node.Node, kind hardware.StepKind) {
	drop(n, stepsKey(kind), indexKey(kind))
	show(n, kind, nil)
}

// stepIndex answers which step runs or waits, -1 if none does.
func stepIndex(n *node.Node, kind hardware.StepKind) int {
	if i, ok := number(n.DriverInternalInfo[indexKey(kind)]); ok && kind != "" {
		return int(i)
	}
	return -1
}

// running answers the step that runs or waits as it stands in the record, nil if
// none does.
func running(n *node.Node, kind hardware.StepKind) map[string]any {
	all, _ := n.DriverInternalInfo[stepsKey(kind)].([]any)
	if i := stepIndex(n, kind); i >= 0 && i < len(all) {
		one, _ := all[i].(map[string]any)
		return one
	}
	return nil
}

// enterStep notes which step is about to run.
func enterStep(n *node.Node, kind hardware.StepKind, i int) {
	keep(n, indexKey(kind), i)
	show(n, kind, node.Object(running(n, kind)).Clone())
}

// markAbort notes that the running step is to be the last.
func markAbort(n *node.Node, kind hardware.StepKind) {
	one := running(n, kind)
	one[abortAfter] = true
	show(n, kind, node.Object(one).Clone())
}

// show puts the running step where clients see it.
func show(n *node.Node, kind hardware.StepKind, step node.Object) {
	switch kind {
	case hardware.CleanStep:
		n.CleanStep = step
	case hardware.DeployStep:
		n.DeployStep = step
	case hardware.ServiceStep:
		n.ServiceStep = step
	}
}
