package api

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

const provisionOfA = "/v1/nodes/" + idA + "/states/provision"

// settle waits until nobody works on a node and returns its record.
func (s *server) settle(t *testing.T, id string) *node.Node {
	t.Helper()
	time.Sleep(time.Minute)
	synctest.Wait()
	return s.stored(t, id)
}

func TestLifeOfANode(t *testing.T) {
	steps := []object{{"interface": "deploy", "step": "reboot"}, {"interface": "vendor", "step": "log_passthrough", "args": object{}}}
	tests := []struct {
		body   object
		during string
		after  node.ProvisionState
	}{
		{object{"target": "manage"}, "verifying", node.StateManageable},
		{object{"target": "inspect"}, "inspecting", node.StateManageable},
		{object{"target": "clean", "clean_steps": steps, "disable_ramdisk": "true"}, "cleaning", node.StateManageable},
		{object{"target": "provide"}, "cleaning", node.StateAvailable},
		{object{"target": "active", "configdrive": "aGVsbG8="}, "deploying", node.StateActive},
		{object{"target": "rebuild", "configdrive": object{"meta_data": object{"a": 1}, "user_data": "x"}}, "deploying", node.StateActive},
		{object{"target": "rescue", "rescue_password": "pw"}, "rescuing", node.StateRescue},
		{object{"target": "unrescue"}, "unrescuing", node.StateActive},
		{object{"target": "service", "service_steps": steps}, "servicing", node.StateActive},
		{object{"target": "undeploy"}, "deleting", node.StateAvailable},
		{object{"target": "active", "deploy_steps": []object{{"interface": "deploy", "step": "deploy", "args": object{}, "priority": "50"}}}, "deploying", node.StateActive},
		{object{"target": "undeploy"}, "deleting", node.StateAvailable},
		{object{"target": "deploy"}, "deploying", node.StateActive},
		{object{"target": "deleted", "configdrive": nil, "clean_steps": nil, "deploy_steps": []any{}, "disable_ramdisk": nil, "runbook": nil}, "deleting", node.StateAvailable},
		{object{"target": "manage"}, "", node.StateManageable},
		{object{"target": "adopt"}, "adopting", node.StateActive},
	}
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "n1", "instance_info": object{"image_source": "http://x/y"}, "driver_info": object{"address": "10.0.0.1"}})
		s.bmc.SetLatency(hardwaretest.Latency{Work: time.Second})
		for _, tt := range tests {
			r := s.want(t, 202, "PUT", "/v1/nodes/n1/states/provision", tt.body)
			if r.Raw != "" || r.Header.Get("Content-Type") != "" || r.Header.Get("Location") != "http://c1.example:6385/v1/nodes/"+idA+"/states" {
				t.Errorf("%v: body %q, headers %v", tt.body, r.Raw, r.Header)
			}
			seen := s.want(t, 200, "GET", "/v1/nodes/n1/states", nil).Body
			if tt.during != "" && (seen["provision_state"] != tt.during || seen["target_provision_state"] == nil) {
				t.Errorf("%v: at once the state is %v and the target %v, want %s", tt.body, seen["provision_state"], seen["target_provision_state"], tt.during)
			}
			n := s.settle(t, idA)
			if n.ProvisionState != tt.after || n.TargetProvisionState != "" || n.LastError != "" {
				t.Fatalf("%v: afterwards the state is %q, the target %q, the error %q", tt.body, n.ProvisionState, n.TargetProvisionState, n.LastError)
			}
		}
	})
}

// The checks of facts 3.5, in their order: each row breaks the rule that it is
// about and some that come after it.
func TestOrderOfChecks(t *testing.T) {
	step := object{"interface": "deploy", "step": "x"}
	type before = func(*node.Node)
	in := func(s node.ProvisionState, change ...before) before {
		return func(n *node.Node) {
			n.ProvisionState = s
			for _, f := range change {
				f(n)
			}
		}
	}
	maintenance := func(n *node.Node) { n.Maintenance, n.MaintenanceReason = true, "broken fan" }
	tests := []struct {
		name    string
		version string
		before  before
		body    any
		status  int
		kind    string
		text    string
	}{
		{"no target", "", nil, object{}, 400, "invalid", "target: is required"},
		{"no object", "", nil, "[]", 400, "invalid", "must be a JSON object"},
		{"a field that is not known", "", nil, object{"target": "manage", "colour": 1}, 400, "invalid", "colour"},
		{"a wrong type", "", nil, object{"target": "manage", "disable_ramdisk": 7, "rescue_password": 1}, 400, "invalid", "disable_ramdisk: must be true or false; rescue_password: must be text"},
		{"an old version", "1.3", in(node.StateActive), object{"target": "manage"}, 406, "not_acceptable", "needs API version 1.4"},
		{"an old version of deploy", "1.72", in(node.StateEnroll), object{"target": "deploy"}, 406, "not_acceptable", "needs API version 1.73"},
		{"undeploy has no version", "1.5", in(node.StateEnroll), object{"target": "undeploy"}, 400, "invalid_state", `"undeploy" can not be performed`},
		{"maintenance before the state", "", in(node.StateEnroll, maintenance), object{"target": "active"}, 400, "maintenance", "broken fan"},
		{"maintenance of a rebuild", "", in(node.StateActive, maintenance), object{"target": "rebuild"}, 400, "maintenance", "maintenance"},
		{"maintenance of deploy", "", in(node.StateAvailable, maintenance), object{"target": "deploy"}, 400, "maintenance", "maintenance"},
		{
			"the state before the parameters", "", in(node.StateActive),
			object{"target": "provide", "clean_steps": "x", "rescue_password": "y"},
			400, "invalid_state",
			`The requested action "provide" can not be performed on node "` + idA + `" while it is in state "active".`,
		},
		{"the state before a late version", "1.84", in(node.StateActive), object{"target": "unhold"}, 400, "invalid_state", "unhold"},
		{"no verb at all", "", nil, object{"target": "explode"}, 400, "invalid_state", `"explode"`},
		{"an event that is no verb", "", in(node.StateDeploying), object{"target": "done"}, 400, "invalid_state", `"done"`},
		{"manage while cleaning", "", in(node.StateCleaning), object{"target": "manage"}, 400, "invalid_state", "cleaning"},
		{"a configdrive of the wrong verb", "", nil, object{"target": "manage", "configdrive": "x", "rescue_password": "y"}, 400, "invalid", "Adding a config drive is only supported"},
		{"a rebuild with one in old versions", "1.34", in(node.StateActive), object{"target": "rebuild", "configdrive": "x"}, 400, "invalid", "Adding a config drive"},
		{"a configdrive that is JSON in text", "", in(node.StateAvailable), object{"target": "active", "configdrive": `{"a": 1}`}, 400, "invalid", "neither a JSON, nor a URL, nor a base64"},
		{"a configdrive with other parts", "", in(node.StateAvailable), object{"target": "active", "configdrive": object{"colour": 1}}, 400, "invalid", "colour"},
		{"a configdrive with odd user data", "", in(node.StateAvailable), object{"target": "active", "configdrive": object{"user_data": 7}}, 400, "invalid", "user_data"},
		{"a configdrive that is a list", "", in(node.StateAvailable), object{"target": "active", "configdrive": []any{1}}, 400, "invalid", "text or an object"},
		{"an object in old versions", "1.55", in(node.StateAvailable), object{"target": "active", "configdrive": object{"meta_data": object{}}}, 400, "invalid", "1.56"},
		{"vendor data in old versions", "1.58", in(node.StateAvailable), object{"target": "active", "configdrive": object{"vendor_data": object{}}}, 400, "invalid", "1.59"},
		{"a runbook in old versions", "1.91", in(node.StateManageable), object{"target": "clean", "runbook": "CUSTOM_X"}, 406, "not_acceptable", "1.92"},
		{"no such runbook", "", in(node.StateManageable), object{"target": "clean", "runbook": "CUSTOM_X", "rescue_password": "x"}, 404, "not_found", "Runbook CUSTOM_X could not be found."},
		{"a runbook for other nodes", "", in(node.StateManageable), object{"target": "clean", "runbook": "CUSTOM_BOOK"}, 400, "invalid", "has not been approved for use on this node"},
		{"a runbook and steps", "", in(node.StateManageable, trait), object{"target": "clean", "runbook": "CUSTOM_BOOK", "clean_steps": []any{step}}, 400, "invalid", "but not both"},
		{"a runbook for a deployment", "", in(node.StateAvailable, trait), object{"target": "active", "runbook": "CUSTOM_BOOK"}, 400, "invalid", "any of clean, service"},
		{"disable_ramdisk of another verb", "", in(node.StateAvailable), object{"target": "active", "disable_ramdisk": true}, 400, "invalid", `"disable_ramdisk" is only valid`},
		{"disable_ramdisk in old versions", "1.69", in(node.StateManageable), object{"target": "clean", "disable_ramdisk": true, "rescue_password": "x"}, 406, "not_acceptable", "1.70"},
		{"disable_ramdisk of service", "", in(node.StateActive), object{"target": "service", "disable_ramdisk": false}, 406, "not_acceptable", "1.108"},
		{"clean steps of another verb", "", nil, object{"target": "manage", "clean_steps": []any{step}, "rescue_password": "x"}, 400, "invalid", `"clean_steps" is only valid when setting target provision state to clean`},
		{"deploy steps of another verb", "", nil, object{"target": "manage", "deploy_steps": []any{step}}, 400, "invalid", `"deploy_steps" is only valid when setting target provision state to active or rebuild`},
		{"deploy steps in old versions", "1.68", in(node.StateAvailable), object{"target": "active", "deploy_steps": []any{step}}, 406, "not_acceptable", "1.69"},
		{"a password of another verb", "", nil, object{"target": "manage", "rescue_password": ""}, 400, "invalid", `"rescue_password" is only valid`},
		{"service steps of another verb", "", nil, object{"target": "manage", "service_steps": []any{step}}, 400, "invalid", `"service_steps" is only valid`},
		{"abort of an inspection in old versions", "1.40", in(node.StateInspectWait), object{"target": "abort"}, 406, "not_acceptable", "1.41"},
		{"abort of a deployment", "", in(node.StateWaitCallBack), object{"target": "abort"}, 406, "not_acceptable", "1.110"},
		{"unhold in old versions", "1.84", in(node.StateCleanHold), object{"target": "unhold"}, 406, "not_acceptable", "1.85"},
		{"service in old versions", "1.86", in(node.StateActive), object{"target": "service"}, 406, "not_acceptable", "1.87"},
		{"no password", "", in(node.StateActive), object{"target": "rescue", "rescue_password": "  "}, 400, "invalid", `"rescue_password" is required`},
		{"no clean steps", "", in(node.StateManageable), object{"target": "clean", "clean_steps": []any{}}, 400, "invalid", `"clean_steps" is required when setting target provision state to clean`},
		{"no service steps", "", in(node.StateActive), object{"target": "service"}, 400, "invalid", `"service_steps" is required`},
		{"steps that are no list", "", in(node.StateManageable), object{"target": "clean", "clean_steps": step}, 400, "invalid", "Invalid clean_steps: must be a JSON list"},
		{"a step that is no object", "", in(node.StateManageable), object{"target": "clean", "clean_steps": []any{"x"}}, 400, "invalid", "Invalid clean_steps: step 0"},
		{"a step without a name", "", in(node.StateManageable), object{"target": "clean", "clean_steps": []any{object{"interface": "deploy"}}}, 400, "invalid", "step is required"},
		{"a step of network", "", in(node.StateActive), object{"target": "service", "service_steps": []any{object{"interface": "network", "step": "x"}}}, 400, "invalid", `"network" is not one of bios, deploy`},
		{"a clean step with a priority", "", in(node.StateManageable), object{"target": "clean", "clean_steps": []any{object{"interface": "deploy", "step": "x", "priority": 1}}}, 400, "invalid", "priority"},
		{"steps on child nodes", "", in(node.StateManageable), object{"target": "clean", "clean_steps": []any{object{"interface": "deploy", "step": "x", "execute_on_child_nodes": true}}}, 400, "invalid", "not supported"},
		{"a deploy step without args", "", in(node.StateAvailable), object{"target": "active", "deploy_steps": []any{object{"interface": "deploy", "step": "x", "priority": 1}}}, 400, "invalid", "args is required"},
		{"a deploy step without priority", "", in(node.StateAvailable), object{"target": "active", "deploy_steps": []any{object{"interface": "deploy", "step": "x", "args": object{}}}}, 400, "invalid", "priority is required"},
		{"a negative priority", "", in(node.StateAvailable), object{"target": "active", "deploy_steps": []any{object{"interface": "deploy", "step": "x", "args": object{}, "priority": -1}}}, 400, "invalid", "priority"},
		{"two bad steps", "", in(node.StateManageable), object{"target": "clean", "clean_steps": []any{object{"interface": "x", "step": "y"}, object{"interface": "deploy"}}}, 400, "invalid", "step 1: step is required"},

		{"a step that the driver does not have", "", in(node.StateManageable), object{"target": "clean", "clean_steps": []any{step}}, 400, "step_not_allowed", "offers no clean step"},
		{"protected", "", in(node.StateActive, func(n *node.Node) { n.Protected = true }), object{"target": "deleted"}, 403, "protected", "protected"},
		{"retired", "", in(node.StateManageable, func(n *node.Node) { n.Retired = true }), object{"target": "provide"}, 400, "retired", "retired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.create(t, object{"uuid": idA, "instance_info": object{"image_source": "http://x/y"}})
				s.book(t)
				if tt.before != nil {
					s.edit(t, idA, tt.before)
				}
				if tt.version != "" {
					s.version = tt.version
				}
				was := s.stored(t, idA)
				r := s.want(t, tt.status, "PUT", provisionOfA, tt.body)
				if r.Body["kind"] != tt.kind || !strings.Contains(r.fault(), tt.text) {
					t.Errorf("kind %v, want %s; %q, want it to say %q", r.Body["kind"], tt.kind, r.fault(), tt.text)
				}
				if n := s.settle(t, idA); n.Revision != was.Revision {
					t.Errorf("a refused request has changed the node: %q, %q", n.ProvisionState, n.LastError)
				}
			})
		})
	}
}

func trait(n *node.Node) { n.Traits = []string{"CUSTOM_BOOK"} }

// book adds a runbook whose steps do not stand in order.
func (s *server) book(t *testing.T) {
	t.Helper()
	b := &node.Runbook{Name: "CUSTOM_BOOK", Steps: []node.RunbookStep{
		{Interface: "vendor", Step: "log_passthrough", Args: node.Object{}, Order: new(node.Rank(2))},
		{Interface: "power", Step: "power_on", Args: node.Object{}, Order: new(node.Rank(1))},
	}}
	if err := s.store.Create(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func TestRunbook(t *testing.T) {
	for _, target := range []string{"clean", "service"} {
		t.Run(target, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.create(t, object{"uuid": idA})
				s.book(t)
				s.bmc.SetLatency(hardwaretest.Latency{Work: time.Second})
				from := map[string]node.ProvisionState{"clean": node.StateManageable, "service": node.StateActive}[target]
				s.edit(t, idA, func(n *node.Node) { trait(n); n.ProvisionState = from })
				s.want(t, 202, "PUT", provisionOfA, object{"target": target, "runbook": "CUSTOM_BOOK", "disable_ramdisk": true})
				n := s.stored(t, idA)
				steps, _ := n.DriverInternalInfo[target+"_steps"].([]any)
				var names []string
				for _, s := range steps {
					names = append(names, fmt.Sprint(s.(object)["step"]))
				}
				if got := strings.Join(names, " "); got != "power_on log_passthrough" {
					t.Errorf("steps %q of %v", got, n.DriverInternalInfo)
				}
				if n := s.settle(t, idA); n.ProvisionState != from || n.LastError != "" {
					t.Errorf("%q, %q", n.ProvisionState, n.LastError)
				}
			})
		})
	}
}

func TestProvisionOfLockedNode(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		c2 := s.open(t, "c2.example")
		l := s.lock(t, c2, idA, lease.Exclusive)
		// Legal or not, a node that somebody works on is locked.
		for _, target := range []string{"manage", "provide", "explode"} {
			r := s.want(t, 409, "PUT", provisionOfA, object{"target": target})
			if r.Body["kind"] != "locked" || r.Body["holder"] != "c2.example" || r.Body["since"] == nil || r.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %s", target, r.Raw)
			}
			if !strings.Contains(r.fault(), "Node "+idA+" is locked by host c2.example, please retry after the current operation is completed.") {
				t.Errorf("%s: %q", target, r.fault())
			}
		}
		start := time.Now()
		s.want(t, 409, "PUT", provisionOfA+"?wait=1h", object{"target": "explode"})
		s.want(t, 409, "PUT", provisionOfA, object{"target": "provide"})
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %s for what cannot be", took)
		}
		// Who asks to wait gets what becomes legal meanwhile.
		s.leave(t, 5*time.Second, l, func(n *node.Node) { n.ProvisionState = node.StateManageable })
		s.want(t, 202, "PUT", provisionOfA+"?wait=30s", object{"target": "provide"})
		if n := s.settle(t, idA); n.ProvisionState != node.StateAvailable {
			t.Errorf("%q, %q", n.ProvisionState, n.LastError)
		}
		// A shared lock is none.
		s.lock(t, c2, idA, lease.Shared)
		s.want(t, 400, "PUT", provisionOfA, object{"target": "rescue", "rescue_password": "x"})
	})
}

// What allows a request is asked again under the lock: it may be gone by then.
func TestAllowedUnderTheLock(t *testing.T) {
	for name, tt := range map[string]struct {
		before, meanwhile func(*node.Node)
		version           string
		body              object
		status            int
		text              string
	}{
		"the runbook's trait goes": {
			func(n *node.Node) { trait(n); n.ProvisionState = node.StateManageable }, func(n *node.Node) { n.Traits = nil },
			"latest",
			object{"target": "clean", "runbook": "CUSTOM_BOOK"},
			400, "has not been approved",
		},
		"another state, which this version cannot abort": {
			func(n *node.Node) {
				n.ProvisionState, n.TargetProvisionState = node.StateCleanWait, node.StateManageable
			},
			func(n *node.Node) { n.ProvisionState = node.StateInspectWait },
			"1.40",
			object{"target": "abort"},
			406, "1.41",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.create(t, object{"uuid": idA})
				s.book(t)
				s.edit(t, idA, tt.before)
				s.leave(t, time.Second, s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive), tt.meanwhile)
				s.version = tt.version
				if r := s.want(t, tt.status, "PUT", provisionOfA+"?wait=30s", tt.body); !strings.Contains(r.fault(), tt.text) {
					t.Errorf("%s", r.fault())
				}
			})
		})
	}
}
