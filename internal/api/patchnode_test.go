package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// op is one operation of a patch.
func op(what, path string, value ...any) object {
	o := object{"op": what, "path": path}
	if len(value) > 0 {
		o["value"] = value[0]
	}
	return o
}

func TestPatchNode(t *testing.T) {
	type before = func(*node.Node)
	in := func(s node.ProvisionState) before { return func(n *node.Node) { n.ProvisionState = s } }
	tests := []struct {
		name   string
		before before
		patch  []object
		status int
		text   string // part of the error
		after  object // fields of the answer
	}{
		{"nothing", nil, []object{}, 200, "", object{"name": "n1", "driver": "fake-hardware"}},
		{"a name", nil, []object{op("replace", "/name", "n2")}, 200, "", object{"name": "n2"}},
		{"a name removed", nil, []object{op("remove", "/name")}, 200, "", object{"name": nil}},
		{"a name set to null", nil, []object{op("add", "/name", nil)}, 200, "", object{"name": nil}},
		{"what is not set, removed", nil, []object{op("remove", "/instance_uuid"), op("remove", "/owner")}, 200, "", object{"instance_uuid": nil}},
		{
			"in an object", nil,
			[]object{op("add", "/extra/a", object{"b": 1}), op("add", "/extra/a/c", []any{1}), op("add", "/extra/a/c/-", 2), op("add", "/extra/a/c/0", 0)},
			200, "",
			object{"extra": object{"a": object{"b": 1., "c": []any{0., 1., 2.}}}},
		},
		{"an object replaced", nil, []object{op("replace", "/properties", object{"cpus": 4})}, 200, "", object{"properties": object{"cpus": 4.}}},
		{"an object removed", nil, []object{op("remove", "/properties")}, 200, "", object{"properties": object{}}},
		{"names with ~ and /", nil, []object{op("add", "/extra/a~1b~0c", 1)}, 200, "", object{"extra": object{"a/b~c": 1.}}},
		{"no digit is lost", nil, []object{op("add", "/extra/n", json.Number("12345678901234567890.5"))}, 200, "", object{"extra": object{"n": 12345678901234567890.5}}},
		{"text for a bool", nil, []object{op("add", "/retired", "True"), op("add", "/automated_clean", "no")}, 200, "", object{"retired": true, "automated_clean": false}},
		{"a bool set to null", func(n *node.Node) { n.AutomatedClean = new(true) }, []object{op("add", "/automated_clean", nil)}, 200, "", object{"automated_clean": nil}},
		{"the group is in lower case", nil, []object{op("add", "/conductor_group", "North")}, 200, "", object{"conductor_group": "north"}},
		{"an empty group", nil, []object{op("remove", "/conductor_group")}, 200, "", object{"conductor_group": ""}},
		{"a parent by name", nil, []object{op("add", "/parent_node", "other")}, 200, "", object{"parent_node": idB}},

		{"no operation", nil, []object{{}}, 400, "is not one of add, replace, remove", nil},
		{"test", nil, []object{op("test", "/name", "n1")}, 400, `"test" is not one of add, replace, remove`, nil},
		{"move", nil, []object{{"op": "move", "path": "/name", "from": "/driver"}}, 400, `unknown field "from"`, nil},
		{"copy", nil, []object{{"op": "copy", "path": "/extra/x", "from": "/driver_info/password"}}, 400, `unknown field "from"`, nil},
		{"no value", nil, []object{op("add", "/name")}, 400, "value: is required to add /name", nil},
		{"no path", nil, []object{op("add", "", object{})}, 400, "not a path", nil},
		{"no slash", nil, []object{op("add", "name", "x")}, 400, "not a path", nil},
		{"an empty name", nil, []object{op("add", "/extra//x", 1)}, 400, "not a path", nil},
		{"a bad escape", nil, []object{op("add", "/extra/a~2", 1)}, 400, "write ~0 for ~", nil},
		{"an unknown field", nil, []object{op("add", "/colour", "red")}, 400, "Cannot patch /colour. Only the following can be updated: automated_clean, bios_interface,", nil},
		{"a read-only field", nil, []object{op("replace", "/provision_state", "active")}, 400, "Cannot patch /provision_state.", nil},
		{"the uuid", nil, []object{op("replace", "/uuid", idC)}, 400, "Cannot patch /uuid.", nil},
		{"the reservation", nil, []object{op("remove", "/reservation")}, 400, "Cannot patch /reservation.", nil},
		{"traits", nil, []object{op("add", "/traits", []string{"CUSTOM_A"})}, 400, "Cannot patch /traits.", nil},
		{"the agent's token", nil, []object{op("add", "/driver_internal_info/agent_secret_token", "x")}, 400, "Cannot patch /driver_internal_info/", nil},
		{"what comes after the newest version", nil, []object{op("add", "/instance_name", "x")}, 400, "Cannot patch /instance_name.", nil},
		{"into text", nil, []object{op("add", "/name/first", "x")}, 400, "name is not an object", nil},
		{"into a number", nil, []object{op("add", "/properties/cpus/x", 1)}, 400, "Couldn't apply patch.", nil},
		{"into what is not there", nil, []object{op("add", "/extra/a/b", 1)}, 400, "Couldn't apply patch.", nil},
		{"remove what is not there", nil, []object{op("remove", "/extra/a")}, 400, "Couldn't apply patch.", nil},
		{"replace what is not there", nil, []object{op("replace", "/extra/a", 1)}, 400, "Couldn't apply patch.", nil},
		{"a place in a list that is not there", nil, []object{op("add", "/extra/l", []any{1}), op("remove", "/extra/l/-1")}, 400, "Couldn't apply patch.", nil},
		{"one of two", nil, []object{op("replace", "/name", "n2"), op("remove", "/extra/a")}, 400, "Couldn't apply patch.", nil},
		{"no driver", nil, []object{op("remove", "/driver")}, 400, "driver: is required", nil},
		{"a null driver", nil, []object{op("replace", "/driver", nil)}, 400, "driver: is required", nil},
		{"a wrong type", nil, []object{op("replace", "/properties", "x"), op("replace", "/name", 7)}, 400, "name: must be text; properties: must be a JSON object", nil},
		{"no bool", nil, []object{op("replace", "/maintenance", "perhaps")}, 400, "maintenance: must be true or false", nil},
		{"a bad value", nil, []object{op("add", "/properties/memory_mb", -1)}, 400, "properties/memory_mb", nil},
		{"a name that looks like a uuid", nil, []object{op("replace", "/name", idC)}, 400, "name: may not look like a uuid", nil},
		{"a taken name", nil, []object{op("replace", "/name", "other")}, 409, "A node with name other already exists.", nil},
		{"a taken instance", nil, []object{op("add", "/instance_uuid", idC)}, 409, "Instance " + idC + " is already associated with a node", nil},
		{"no such parent", nil, []object{op("add", "/parent_node", idC)}, 400, "Node " + idC + " could not be found.", nil},
		{"its own parent", nil, []object{op("add", "/parent_node", "n1")}, 400, "cannot be its own parent", nil},
		{"no such chassis", nil, []object{op("add", "/chassis_uuid", idC)}, 400, "Chassis " + idC + " could not be found.", nil},

		{"maintenance on", nil, []object{op("replace", "/maintenance", true)}, 200, "", object{"maintenance": true, "maintenance_reason": nil}},
		{
			"maintenance off clears reason and fault", func(n *node.Node) { n.Maintenance, n.MaintenanceReason, n.Fault = true, "why", "clean failure" },
			[]object{op("replace", "/maintenance", false)},
			200, "",
			object{"maintenance": false, "maintenance_reason": nil, "fault": nil},
		},
		{"an instance", nil, []object{op("add", "/instance_uuid", strings.ToUpper(idA))}, 200, "", object{"instance_uuid": idA}},
		{"an instance over another", func(n *node.Node) { n.InstanceUUID = idA }, []object{op("replace", "/instance_uuid", idB)}, 409, "is associated with instance " + idA, nil},
		{"the same instance again", func(n *node.Node) { n.InstanceUUID = idA }, []object{op("replace", "/instance_uuid", idA)}, 200, "", object{"instance_uuid": idA}},
		{"the instance removed", func(n *node.Node) { n.InstanceUUID = idA }, []object{op("remove", "/instance_uuid")}, 200, "", object{"instance_uuid": nil}},
		{
			"the instance of an active allocation removed", func(n *node.Node) { n.InstanceUUID, n.AllocationUUID, n.ProvisionState = idA, idA, node.StateActive },
			[]object{op("remove", "/instance_uuid")},
			409, "can not have the instance_uuid of its allocation updated", nil,
		},
		{"protected while available", in(node.StateAvailable), []object{op("add", "/protected", true)}, 409, "only be made protected in provision states 'active' or 'rescue'", nil},
		{
			"protected while active", in(node.StateActive),
			[]object{op("add", "/protected", true), op("add", "/protected_reason", "mine")},
			200, "",
			object{"protected": true, "protected_reason": "mine"},
		},
		{
			"no longer protected", func(n *node.Node) { n.Protected, n.ProtectedReason = true, "mine" },
			[]object{op("replace", "/protected", "False")},
			200, "",
			object{"protected": false, "protected_reason": nil},
		},
		{
			"protection removed", func(n *node.Node) { n.Protected, n.ProtectedReason = true, "mine" },
			[]object{op("remove", "/protected")},
			200, "",
			object{"protected": false, "protected_reason": nil},
		},
		{"a reason without protection", nil, []object{op("add", "/protected_reason", "mine")}, 400, "can only be set when protected is True", nil},
		{"retired while available", in(node.StateAvailable), []object{op("add", "/retired", true)}, 409, "can not have 'retired' set in provision state 'available'", nil},
		{
			"no longer retired", func(n *node.Node) { n.Retired, n.RetiredReason = true, "old" },
			[]object{op("add", "/retired", false)},
			200, "",
			object{"retired": false, "retired_reason": nil},
		},
		{"a reason without retirement", nil, []object{op("add", "/retired_reason", "old")}, 400, "can only be set when retired is True", nil},
		{"a first resource class of an active node", in(node.StateActive), []object{op("add", "/resource_class", "x")}, 200, "", object{"resource_class": "x"}},
		{
			"another resource class of an active node", func(n *node.Node) { n.ResourceClass, n.ProvisionState, n.Maintenance = "x", node.StateActive, true },
			[]object{op("add", "/resource_class", "y")},
			409, "resource_class updated unless it is in one of allowed (enroll, inspecting, inspect wait, manageable, available) states.", nil,
		},
		{"an interface of an active node", in(node.StateActive), []object{op("add", "/deploy_interface", "bench")}, 409, "deploy_interface updated unless", nil},
		{
			"an interface in maintenance", func(n *node.Node) { n.ProvisionState, n.Maintenance = node.StateActive, true },
			[]object{op("add", "/network_interface", "noop")},
			200, "",
			object{"network_interface": "noop"},
		},
		{"an unknown interface", nil, []object{op("add", "/power_interface", "steam")}, 400, "steam", nil},
		{
			"an interface back to its default", func(n *node.Node) { n.VendorInterface = "no-vendor" },
			[]object{op("remove", "/vendor_interface")},
			200, "",
			object{"vendor_interface": "fake"},
		},
		{"an unknown driver", nil, []object{op("replace", "/driver", "abacus")}, 400, "No valid host was found.", nil},
		{"a driver with its console on", func(n *node.Node) { n.ConsoleEnabled = true }, []object{op("replace", "/driver", "abacus")}, 409, "while the console is enabled", nil},

		{
			"while deploying", func(n *node.Node) { n.ProvisionState, n.TargetProvisionState = node.StateDeploying, node.StateActive },
			[]object{op("add", "/extra/a", 1)},
			409,
			"can not be updated while a state transition is in progress", nil,
		},
		{
			"after a failed deployment", func(n *node.Node) {
				n.ProvisionState, n.TargetProvisionState = node.StateDeployFailed, node.StateActive
			},
			[]object{op("add", "/extra/a", 1)},
			200,
			"",
			object{"extra": object{"a": 1.}},
		},
		{
			"while inspecting", func(n *node.Node) {
				n.ProvisionState, n.TargetProvisionState = node.StateInspecting, node.StateManageable
			},
			[]object{op("add", "/extra/a", 1)},
			409,
			`in state "inspecting"`, nil,
		},
		{"the way out: an instance removed in maintenance", func(n *node.Node) {
			n.ProvisionState, n.TargetProvisionState, n.Maintenance, n.InstanceUUID = node.StateDeploying, node.StateActive, true, idA
		}, []object{op("remove", "/instance_uuid")}, 200, "", object{"instance_uuid": nil}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.create(t, object{"uuid": idA, "name": "n1", "properties": object{"cpus": 8}, "driver_info": object{"password": "pw"}})
				s.create(t, object{"uuid": idB, "name": "other", "instance_uuid": idC})
				if tt.before != nil {
					s.edit(t, idA, tt.before)
				}
				was := s.stored(t, idA)
				r := s.want(t, tt.status, "PATCH", "/v1/nodes/"+idA, tt.patch)
				if !strings.Contains(r.fault(), tt.text) {
					t.Errorf("%q does not say %q", r.fault(), tt.text)
				}
				for field, want := range tt.after {
					if diff := cmp.Diff(want, r.Body[field]); diff != "" {
						t.Errorf("%s: -want +got\n%s", field, diff)
					}
				}
				is := s.stored(t, idA)
				if tt.status != 200 && !cmp.Equal(was, is) {
					t.Errorf("a refused patch has changed the node: %s", cmp.Diff(was, is))
				}
				if q := s.want(t, 200, "GET", "/v1/nodes/"+idA, nil); q.Body["reservation"] != nil {
					t.Errorf("the lock stays: %v", q.Body["reservation"])
				}
			})
		})
	}
}

// stored is a node as etcd has it.
func (s *server) stored(t *testing.T, id string) *node.Node {
	t.Helper()
	n, err := s.store.Node(t.Context(), node.ID(id))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPatchedNodeIsStored(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "n1", "driver_info": object{"address": "10.0.0.1", "password": "pw"}})
		time.Sleep(time.Second)
		r := s.want(t, 200, "PATCH", "/v1/nodes/n1", []object{op("replace", "/name", "n2"), op("add", "/driver_info/port", 623), op("add", "/description", "d")})
		if got := s.want(t, 200, "GET", "/v1/nodes/n2", nil); !cmp.Equal(got.Body, r.Body) {
			t.Errorf("the answer is not what is stored: %s", cmp.Diff(r.Body, got.Body))
		}
		s.want(t, 404, "GET", "/v1/nodes/n1", nil)
		if r.Body["updated_at"] == nil || r.Body["updated_at"] == r.Body["created_at"] {
			t.Errorf("updated_at %v, created_at %v", r.Body["updated_at"], r.Body["created_at"])
		}
		n := s.stored(t, idA)
		if n.DriverInfo["password"] != "pw" || n.DriverInfo.Text("port") != "623" || n.WrittenBy == nil {
			t.Errorf("stored %#v by %v", map[string]any(n.DriverInfo), n.WrittenBy)
		}
	})
}

// What changes the record of a node that nobody else is at work on, is one write and takes no lock.
func TestEditsOfAFreeNodeAreOneWrite(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		for _, r := range []struct {
			status       int
			method, path string
			body         any
		}{
			{200, "PATCH", "", []object{op("add", "/description", "d")}},
			{202, "PUT", "/maintenance", object{"reason": "broken fan"}},
			{202, "DELETE", "/maintenance", nil},
			{204, "PUT", "/traits/CUSTOM_A", nil},
			{204, "PUT", "/traits", object{"traits": []string{"CUSTOM_B"}}},
			{204, "DELETE", "/traits", nil},
		} {
			before := s.etcd.RaftEntries()
			s.want(t, r.status, r.method, "/v1/nodes/"+idA+r.path, r.body)
			if n := s.etcd.RaftEntries() - before; n != 1 {
				t.Errorf("%s %s: %d entries in etcd's log, want 1", r.method, r.path, n)
			}
			if by := s.stored(t, idA).WrittenBy; !lease.IsFree(by.Ticket) {
				t.Errorf("%s %s: written by %v, want no lock", r.method, r.path, by)
			}
		}
	})
}

func TestPatchKeepsSecrets(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "driver_info": object{"address": "10.0.0.1", "password": "pw"}, "instance_info": object{"image_url": "http://x?sig=1"}})
		seen := s.want(t, 200, "GET", "/v1/nodes/"+idA, nil).Body
		info := seen["driver_info"].(object)
		info["address"] = "10.0.0.2"
		r := s.want(t, 200, "PATCH", "/v1/nodes/"+idA, []object{
			op("remove", "/driver_info"), op("add", "/driver_info", info), op("replace", "/instance_info", seen["instance_info"]),
		})
		n := s.stored(t, idA)
		if n.DriverInfo["password"] != "pw" || n.DriverInfo["address"] != "10.0.0.2" || n.InstanceInfo["image_url"] != "http://x?sig=1" {
			t.Errorf("stored %#v, %#v", map[string]any(n.DriverInfo), map[string]any(n.InstanceInfo))
		}
		if strings.Contains(r.Raw, `"pw"`) || strings.Contains(r.Raw, "sig=1") {
			t.Errorf("the answer tells secrets: %s", r.Raw)
		}
		r = s.want(t, 400, "PATCH", "/v1/nodes/"+idA, []object{op("add", "/driver_info/ipmi_password", "******")})
		if !strings.Contains(r.fault(), "driver_info/ipmi_password: ****** stands for a secret") {
			t.Errorf("%s", r.Raw)
		}
		s.want(t, 200, "PATCH", "/v1/nodes/"+idA, []object{op("replace", "/driver_info/password", "new")})
		if got := s.stored(t, idA).DriverInfo["password"]; got != "new" {
			t.Errorf("a new password: %v", got)
		}
	})
}

func TestPatchVersions(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		for name, col := range nodeColumns {
			if !col.patch || col.since <= 1 || col.since == beyond {
				continue
			}
			for _, what := range []object{op("add", "/"+name, nil), op("remove", "/"+name)} {
				old := fmt.Sprint(headerVersion, ": 1.", int(col.since)-1)
				s.want(t, 406, "PATCH", "/v1/nodes/"+idA, []object{what}, old)
				s.want(t, 200, "PATCH", "/v1/nodes/"+idA, []object{what}, fmt.Sprint(headerVersion, ": ", col.since))
			}
		}
		s.want(t, 406, "PATCH", "/v1/nodes/"+idA, []object{op("add", "/extra/a~1b", 1)}, headerVersion+": 1.97")
		s.want(t, 406, "PATCH", "/v1/nodes/"+idA+"?reset_interfaces=true", []object{op("add", "/driver", "fake-hardware")}, headerVersion+": 1.44")
	})
}

func TestResetInterfaces(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "console_interface": "no-console", "vendor_interface": "no-vendor"})
		// A driver that is no longer there must not keep anybody from choosing another one.
		s.edit(t, idA, func(n *node.Node) { n.Driver, n.BIOSInterface = "gone", "gone-too" })
		path := "/v1/nodes/" + idA
		r := s.want(t, 400, "PATCH", path, []object{op("replace", "/driver", "fake-hardware")})
		if !strings.Contains(r.fault(), "gone-too") {
			t.Errorf("%s", r.Raw)
		}
		r = s.want(t, 400, "PATCH", path+"?reset_interfaces=true", []object{op("add", "/extra/a", 1)})
		if !strings.Contains(r.fault(), "only be used when changing the node's driver") {
			t.Errorf("%s", r.Raw)
		}
		r = s.want(t, 200, "PATCH", path+"?reset_interfaces=true", []object{op("replace", "/driver", "fake-hardware"), op("add", "/vendor_interface", "no-vendor")})
		fields := object{"driver": "fake-hardware", "bios_interface": "fake", "console_interface": "fake", "vendor_interface": "no-vendor", "storage_interface": "noop"}
		for field, want := range fields {
			if r.Body[field] != want {
				t.Errorf("%s is %v, want %v", field, r.Body[field], want)
			}
		}
		s.want(t, 400, "PATCH", path+"?reset_interfaces=perhaps", []object{op("replace", "/driver", "fake-hardware")})
	})
}

func TestPatchOfLockedNode(t *testing.T) {
	patch := []object{op("add", "/extra/a", 1)}
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		l := s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		start := time.Now()
		r := s.want(t, 409, "PATCH", "/v1/nodes/"+idA, patch)
		if r.Body["kind"] != "locked" || r.Body["holder"] != "c2.example" || r.Body["purpose"] != "deploy" || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s", r.Raw)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("waited %s, want 2s", took)
		}
		// What is refused for another reason does not wait.
		start = time.Now()
		s.want(t, 400, "PATCH", "/v1/nodes/"+idA+"?wait=1h", []object{op("remove", "/driver")})
		s.want(t, 400, "PATCH", "/v1/nodes/"+idA+"?wait=1h", []object{op("add", "/colour", 1)})
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %s for nothing", took)
		}
		later(t, 5*time.Second, func(ctx context.Context) error { return l.Release(ctx, lease.Write{}) })
		s.want(t, 200, "PATCH", "/v1/nodes/"+idA, patch, "Prefer: wait=30")
	})
}

// The rules hold for the node under the lock, whatever it was before.
func TestPatchRulesUnderTheLock(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "resource_class": "x"})
		c2 := s.open(t, "c2.example")
		l := s.lock(t, c2, idA, lease.Exclusive)
		s.leave(t, time.Second, l, func(n *node.Node) { n.ProvisionState = node.StateActive })
		r := s.want(t, 409, "PATCH", "/v1/nodes/"+idA+"?wait=30s", []object{op("add", "/resource_class", "y")})
		if r.Body["kind"] != "invalid_state" {
			t.Errorf("%s", r.Raw)
		}
		// The other way round: who asks to wait is not refused for what will be over.
		s.edit(t, idA, func(n *node.Node) { n.ProvisionState, n.TargetProvisionState = node.StateDeploying, node.StateActive })
		l = s.lock(t, c2, idA, lease.Exclusive)
		s.want(t, 409, "PATCH", "/v1/nodes/"+idA, []object{op("add", "/extra/a", 1)})
		s.leave(t, time.Second, l, func(n *node.Node) { n.ProvisionState, n.TargetProvisionState = node.StateActive, "" })
		r = s.want(t, 200, "PATCH", "/v1/nodes/"+idA+"?wait=30s", []object{op("add", "/extra/a", 1)})
		if r.Body["provision_state"] != "active" {
			t.Errorf("%s", r.Raw)
		}
	})
}

func TestPatchFreesTheAllocation(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "instance_uuid": idB})
		al := &node.Allocation{UUID: idB, NodeUUID: idA, State: node.AllocationActive, ResourceClass: "x", Owner: "ann"}
		if err := s.store.Create(t.Context(), al); err != nil {
			t.Fatal(err)
		}
		s.edit(t, idA, func(n *node.Node) { n.AllocationUUID = idB })
		s.want(t, 409, "PATCH", "/v1/nodes/"+idA, []object{op("add", "/owner", "bob")})
		r := s.want(t, 200, "PATCH", "/v1/nodes/"+idA, []object{op("remove", "/instance_uuid"), op("add", "/extra/a", 1)})
		if r.Body["allocation_uuid"] != nil || r.Body["instance_uuid"] != nil || !cmp.Equal(r.Body["extra"], any(object{"a": 1.})) {
			t.Errorf("%s", r.Raw)
		}
		if got, err := s.store.Allocation(t.Context(), idB); err == nil {
			t.Errorf("the allocation stays: %v", got)
		}
	})
}

func TestPatchBodies(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
		many := strings.TrimSuffix(strings.Repeat(`{"op":"add","path":"/extra/a","value":1},`, maxOperations+1), ",")
		var climb strings.Builder
		for i := range 80 {
			fmt.Fprintf(&climb, `,{"op":"add","path":"/extra%s","value":{}}`, strings.Repeat("/a", i+1))
		}
		tests := []struct {
			name, body string
			status     int
			text       string
		}{
			{"empty", "", 400, "empty"},
			{"an object", `{"op": "add", "path": "/name", "value": "x"}`, 400, "must be a JSON list"},
			{"null", `null`, 400, "must be a JSON list"},
			{"no JSON", `[{"op": `, 400, "not valid JSON"},
			{"a list of texts", `["add"]`, 400, "operation 0 of the patch"},
			{"a list of nulls", `[null]`, 400, "operation 0 of the patch"},
			{"twice", `[{"op": "add", "path": "/name", "path": "/driver", "value": "x"}]`, 400, "occurs twice"},
			{"unknown key", `[{"op": "add", "path": "/name", "value": "x", "colour": 1}]`, 400, "colour"},
			{"a path of another type", `[{"op": "add", "path": 7, "value": "x"}]`, 400, "path"},
			{"deep", `[{"op": "add", "path": "/extra/a", "value": ` + deep(999) + `}]`, 400, "nested too deep"},
			{"deep step by step", `[{"op":"add","path":"/extra/b","value":1}` + climb.String() + `]`, 400, "nested too deep"},
			{"too many", "[" + many + "]", 400, "too long"},
			{"huge", `[{"op": "add", "path": "/extra/a", "value": "` + strings.Repeat("x", maxBody) + `"}]`, 413, "1048576"},
		}
		before := s.etcd.Revision()
		for _, tt := range tests {
			r := s.want(t, tt.status, "PATCH", "/v1/nodes/"+idA, tt.body)
			if !strings.Contains(r.fault(), tt.text) {
				t.Errorf("%s: %q does not say %q", tt.name, cut(r.fault(), 300), tt.text)
			}
		}
		if got := s.etcd.Revision(); got != before {
			t.Errorf("a refused patch has written: revision %d, was %d", got, before)
		}
		// Each is short enough, but not all together.
		big := func(key string) string {
			return `[{"op": "add", "path": "/extra/` + key + `", "value": "` + strings.Repeat("x", maxBody/2) + `"}]`
		}
		s.want(t, 200, "PATCH", "/v1/nodes/"+idA, big("a"))
		s.want(t, 400, "PATCH", "/v1/nodes/"+idA, big("b"))
		s.want(t, 404, "PATCH", "/v1/nodes/nobody", `[]`)
	})
}
