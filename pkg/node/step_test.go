package node

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestAloneRules(t *testing.T) {
	id := "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"
	long := strings.Repeat("A", 256)
	for _, tt := range []struct {
		r    Record
		want string // parts of the error, "" for none
	}{
		{&Allocation{ResourceClass: "x"}, ""},
		{&Allocation{State: AllocationActive}, "node_uuid: is required"},
		{&Allocation{State: AllocationError, NodeUUID: ID(id)}, "node_uuid: only an active"},
		{&Allocation{State: "gone"}, `state: "gone"`},
		{&Allocation{CandidateNodes: []string{"n1"}}, "candidate_nodes: must be a uuid"},
		{&Allocation{Traits: []string{"custom"}}, "traits: "},
		{&Allocation{Name: "a b"}, "name: use only"},
		{&Allocation{Name: id}, "name: may not look like a uuid"},
		{&Allocation{ResourceClass: long[:81]}, "resource_class: is 81"},
		{&DeployTemplate{Name: "CUSTOM_" + long[:248], Steps: steps("a")}, ""},
		{&DeployTemplate{Name: "CUSTOM_" + long[:249], Steps: steps("a")}, "name: must be a trait"},
		{&DeployTemplate{Name: "STORAGE_DISK_SSD", Steps: steps("a")}, ""},
		{&DeployTemplate{Name: "CUSTOM_", Steps: steps("a")}, "name: must be a trait"},
		{&DeployTemplate{Name: "ACME_X", Steps: steps("a")}, "name: must be a trait"},
		{&DeployTemplate{Steps: steps("a")}, "name: is required"},
		{&DeployTemplate{Name: "CUSTOM_T"}, "steps: is required"},
		{&DeployTemplate{Name: "CUSTOM_T", Steps: steps("a", "b", "a")}, `steps/2/step: the step "a" of "deploy" stands there twice`},
		{
			&DeployTemplate{Name: "CUSTOM_T", Steps: []TemplateStep{{Interface: "boot"}}},
			`steps/0/interface: "boot" has no steps; steps/0/step: is required; steps/0/args: is required; steps/0/priority: is required`,
		},
		{&Runbook{Name: "CUSTOM_R", Steps: order("a", "b")}, ""},
		{&Runbook{Name: "runbook", Steps: order("a")}, "name: must be a trait"},
		{&Runbook{Name: "CUSTOM_R", Steps: []RunbookStep{{Interface: "raid", Step: "a"}}}, "steps/0/order: is required"},
		{&Runbook{Name: "CUSTOM_R", Steps: order("a"), Public: true, Owner: "me"}, "owner: a public runbook has no owner"},
		{&Chassis{Description: long}, "description: is 256"},
	} {
		tt.r.place("", id)
		tt.r.Normalize()
		err := tt.r.Validate()
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: got %v", tt.r.Kind(), err)
			}
			continue
		}
		for part := range strings.SplitSeq(tt.want, "; ") {
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %v, want %s", tt.r.Kind(), err, part)
			}
		}
	}
}

func TestStepsAsInput(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"steps": [{"interface": "deploy", "step": "a", "args": {}, "priority": "10"}]}`, ""},
		{`{"steps": null}`, ""},
		{`{"steps": {}}`, "steps: must be a list"},
		{`{"steps": [1]}`, "steps/0: must be a JSON object"},
		{
			`{"steps": [{"interface": 1, "argh": {}}, {"priority": -1}]}`,
			`steps/0: unknown field "argh"; steps/0/interface: must be text; steps/1/priority: must be a whole number`,
		},
		{
			`{"steps": [{"priority": 1.5}, {"priority": "x"}, {"priority": 2147483648}, {"args": []}]}`,
			`steps/0/priority: ; steps/1/priority: ; steps/2/priority: ; steps/3/args: must be a JSON object`,
		},
		{`{"steps": [{"args": {"a": 1, "a": 2}}]}`, `steps: the name "a" occurs twice`},
	} {
		var d DeployTemplate
		err := DecodeInput(strings.NewReader(tt.in), 0, &d)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: got %v", tt.in, err)
			}
			continue
		}
		for part := range strings.SplitSeq(tt.want, "; ") {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %v, want %s", tt.in, err, part)
			}
		}
	}
	var d DeployTemplate
	if err := DecodeInput(strings.NewReader(`{"steps": [{"priority": "10"}, {"priority": 7}]}`), 0, &d); err != nil ||
		*d.Steps[0].Priority != 10 || *d.Steps[1].Priority != 7 {
		t.Errorf("got %v, %v", d.Steps, err)
	}
	// What a newer conductor wrote into a step is passed over when it is read.
	if err := unmarshal([]byte(`{"steps": [{"step": "a", "since": 2027}], "state": "x"}`), &d); err != nil || d.Steps[0].Step != "a" {
		t.Errorf("got %v, %v", d.Steps, err)
	}
}

func TestRunbookOrder(t *testing.T) {
	b := &Runbook{Steps: []RunbookStep{
		{Step: "c", Order: new(Rank(5))}, {Step: "b", Order: new(Rank(2))}, {Step: "d", Order: new(Rank(5))}, {Step: "a"},
	}}
	var names []string
	for _, s := range b.Ordered() {
		names = append(names, s.Step)
	}
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if b.Steps[0].Step != "c" {
		t.Error("the runbook itself was reordered")
	}
}

func TestStepsMasked(t *testing.T) {
	d := &DeployTemplate{Steps: []TemplateStep{{Args: Object{"password": "x", "size": 1}}}}
	b := &Runbook{Steps: []RunbookStep{{Args: Object{"token": "x"}}}}
	if got := d.Masked().Steps[0].Args; got["password"] != mask || got["size"] != 1 {
		t.Errorf("got %v", map[string]any(got))
	}
	if got := b.Masked().Steps[0].Args; got["token"] != mask {
		t.Errorf("got %v", map[string]any(got))
	}
	if d.Steps[0].Args["password"] != "x" || b.Steps[0].Args["token"] != "x" {
		t.Error("the records themselves were masked")
	}
	// What a client saw and sends back, in another order, keeps its secrets.
	d.Steps = append(d.Steps, TemplateStep{Step: "other", Args: Object{"password": "y"}})
	seen := d.Masked()
	slices.Reverse(seen.Steps)
	if err := seen.Unmask(d); err != nil || seen.Steps[0].Args["password"] != "y" || seen.Steps[1].Args["password"] != "x" {
		t.Errorf("got %v", err)
	}
	seen = d.Masked()
	seen.Steps[0].Step = "new"
	if err := seen.Unmask(d); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "steps/0/args/password") {
		t.Errorf("a mask without a secret: got %v", err)
	}
	book := b.Masked()
	if err := book.Unmask(b); err != nil || book.Steps[0].Args["token"] != "x" {
		t.Errorf("got %v", err)
	}
	if (*DeployTemplate)(nil).Masked() != nil || (*Runbook)(nil).Masked() != nil {
		t.Error("nil does not mask to nil")
	}
}
