package node

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// TemplateStep is one step of a deploy template.
type TemplateStep struct {
	Interface string `json:"interface"`
	Step      string `json:"step"`
	Args      Object `json:"args"`     // required, may be {}
	Priority  *Rank  `json:"priority"` // highest first; 0 drops the driver's own step of that name
}

// RunbookStep is one step of a runbook.
type RunbookStep struct {
	Interface string `json:"interface"`
	Step      string `json:"step"`
	Args      Object `json:"args"`
	Order     *Rank  `json:"order"` // lowest first
}

// Rank is a place in an order, 0 or more. A text of digits is read as a number,
// as Ironic does.
type Rank int64

// UnmarshalJSON reads a number or a text of digits.
func (r *Rank) UnmarshalJSON(data []byte) error {
	text := string(data)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > math.MaxInt32 {
		return fmt.Errorf("%s is not a whole number from 0 to %d", cut(text, 32), math.MaxInt32)
	}
	*r = Rank(n)
	return nil
}

// compare orders two ranks; one that is not given, as in a record that was
// written by hand, comes first.
func (r *Rank) compare(other *Rank) int {
	value := func(r *Rank) Rank {
		if r == nil {
			return -1
		}
		return *r
	}
	return cmp.Compare(value(r), value(other))
}

// stepField names a field of a step in errors.
func stepField(i int, name string) string { return fmt.Sprintf("steps/%d/%s", i, name) }

// stepInterfaces are the hardware interfaces that have steps to be asked for.
// Ironic: conductor/steps.py, CLEANING_INTERFACE_PRIORITY.
var stepInterfaces = []string{"bios", "deploy", "firmware", "management", "power", "raid", "vendor"}

// stepNames checks which steps there are: at least one, none twice.
//
// Ironic: api/controllers/v1/utils.py, DEPLOY_STEP_SCHEMA and duplicate_steps.
func (p *problems) stepNames(n int, at func(i int) (iface, step string)) {
	if n == 0 {
		p.add("steps", "is required: give at least one step")
	}
	seen := map[[2]string]bool{}
	for i := range n {
		iface, step := at(i)
		if !slices.Contains(stepInterfaces, iface) {
			p.add(stepField(i, "interface"), "%q has no steps; use one of %s", cut(iface, 64), strings.Join(stepInterfaces, ", "))
		}
		p.need(stepField(i, "step"), step, maxText)
		if seen[[2]string{iface, step}] {
			p.add(stepField(i, "step"), "the step %q of %q stands there twice", cut(step, 64), cut(iface, 64))
		}
		seen[[2]string{iface, step}] = true
	}
}

// traitName checks a name that is matched with the traits of nodes.
func (p *problems) traitName(name string) {
	switch {
	case name == "":
		p.add("name", "is required")
	case !isTrait(name):
		p.add("name", "must be a trait: CUSTOM_ or a standard prefix, then A-Z, 0-9 and _, at most %d in all", maxText)
	}
}
