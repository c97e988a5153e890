package api

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// The records of the node n1, and a node n2 beside it.
const (
	portA, portB   = "aaaaaaaa-0000-4000-8000-00000000000a", "aaaaaaaa-0000-4000-8000-00000000000b"
	groupA, groupB = "bbbbbbbb-0000-4000-8000-00000000000a", "bbbbbbbb-0000-4000-8000-00000000000b"
	connA, connB   = "cccccccc-0000-4000-8000-00000000000a", "cccccccc-0000-4000-8000-00000000000b"
	targetA        = "dddddddd-0000-4000-8000-00000000000a"
	targetB        = "dddddddd-0000-4000-8000-00000000000b"
)

func (s *server) family(t *testing.T) {
	t.Helper()
	s.create(t, object{"uuid": idA, "name": "n1"})
	s.create(t, object{"uuid": idB, "name": "n2"})
	for path, all := range map[string][]object{
		"portgroups": {{"uuid": groupA, "node_uuid": idA, "name": "bond0", "address": "52:54:00:00:00:a0"}, {"uuid": groupB, "node_uuid": idB, "name": "bond1"}},
		"volume/connectors": {
			{"uuid": connA, "node_uuid": idA, "type": "iqn", "connector_id": "a"}, {"uuid": connB, "node_uuid": idA, "type": "iqn", "connector_id": "b"},
		},
		"volume/targets": {
			{"uuid": targetA, "node_uuid": idA, "volume_type": "iscsi", "boot_index": 0, "volume_id": "v0", "properties": object{"auth_password": "pw"}},
			{"uuid": targetB, "node_uuid": idA, "volume_type": "iscsi", "boot_index": 1, "volume_id": "v1"},
		},
	} {
		for _, o := range all {
			s.want(t, 201, "POST", "/v1/"+path, o)
		}
	}
	s.want(t, 201, "POST", "/v1/ports", object{"uuid": portA, "node_uuid": idA, "name": "eth0", "address": "52:54:00:00:00:01"})
	s.want(t, 201, "POST", "/v1/ports", object{"uuid": portB, "node_uuid": idA, "name": "eth1", "address": "52:54:00:00:00:02", "portgroup_uuid": groupA, "physical_network": "blue"})
}

func TestPatchChildren(t *testing.T) {
	const port, group, conn, target = "/v1/ports/" + portA, "/v1/portgroups/" + groupA, "/v1/volume/connectors/" + connA, "/v1/volume/targets/" + targetA
	type before = func(*node.Node)
	active := func(n *node.Node) { n.ProvisionState = node.StateActive }
	off := func(n *node.Node) { n.PowerState = node.PowerOff }
	tests := []struct {
		name   string
		before before // of both nodes
		path   string
		patch  []object
		status int
		text   string
		after  object
	}{
		{"nothing", nil, port, []object{}, 200, "", object{"name": "eth0"}},
		{"a port by its name", nil, "/v1/ports/eth0", []object{op("add", "/extra/a", 1)}, 200, "", object{"extra": object{"a": 1.}}},
		{"an address", nil, port, []object{op("replace", "/address", "52:54:00:00:00:AA")}, 200, "", object{"address": "52:54:00:00:00:aa"}},
		{"a taken address", nil, port, []object{op("replace", "/address", "52:54:00:00:00:02")}, 409, "A port with MAC address 52:54:00:00:00:02 already exists.", nil},
		{"a bad address", nil, port, []object{op("replace", "/address", "52-54")}, 400, "address", nil},
		{"no address", nil, port, []object{op("remove", "/address")}, 400, "address: is required", nil},
		{"a taken name", nil, port, []object{op("replace", "/name", "eth1")}, 409, "A port with name eth1 already exists.", nil},
		{"no node", nil, port, []object{op("remove", "/node_uuid")}, 400, "'node_uuid' is a mandatory attribute and can not be removed", nil},
		{"a null node", nil, port, []object{op("add", "/node_uuid", nil)}, 400, "'node_uuid' is a mandatory attribute", nil},
		{"no such node", nil, port, []object{op("replace", "/node_uuid", idC)}, 400, "Node " + idC + " could not be found.", nil},
		{"read only", nil, port, []object{op("add", "/internal_info/x", 1)}, 400, "Cannot patch /internal_info/x. Only the following can be updated: address, description, extra,", nil},
		{"text for a bool", nil, port, []object{op("replace", "/pxe_enabled", "off")}, 200, "", object{"pxe_enabled": false}},
		{"a switch back to its default", nil, port, []object{op("remove", "/pxe_enabled")}, 200, "", object{"pxe_enabled": true}},
		{"an address while active", active, port, []object{op("replace", "/address", "52:54:00:00:00:0a")}, 409, "Cannot update hardware address for port", nil},
		{"the same address while active", active, port, []object{op("replace", "/address", "52:54:00:00:00:01")}, 200, "", nil},
		{"an address with an instance", func(n *node.Node) { n.InstanceUUID = string(n.UUID) }, port, []object{op("replace", "/address", "52:54:00:00:00:0a")}, 409, "instance UUID assigned", nil},
		{"an address in maintenance", func(n *node.Node) { active(n); n.Maintenance = true }, port, []object{op("replace", "/address", "52:54:00:00:00:0a")}, 200, "", nil},
		{"how it is connected while active", active, port, []object{op("add", "/local_link_connection/port_id", "1")}, 409, "can not have any connectivity attributes", nil},
		{"a name while active", active, port, []object{op("replace", "/name", "x")}, 200, "", object{"name": "x"}},
		{"while inspecting", func(n *node.Node) { n.ProvisionState = node.StateInspecting }, port, []object{op("replace", "/name", "x")}, 409, `in state "inspecting"`, nil},
		{"into a group of another network", nil, port, []object{op("add", "/portgroup_uuid", groupA)}, 409, "which has ports in physical network", nil},
		{"into a group of its network", nil, port, []object{op("add", "/physical_network", "blue"), op("add", "/portgroup_uuid", groupA)}, 200, "", object{"portgroup_uuid": groupA}},
		{"into a group of another node", nil, port, []object{op("add", "/portgroup_uuid", groupB)}, 400, "Portgroup " + groupB + " could not be found.", nil},
		{"another network in a group", nil, "/v1/ports/" + portB, []object{op("replace", "/physical_network", "red")}, 200, "", object{"physical_network": "red"}},

		{"a group's name", nil, "/v1/portgroups/bond0", []object{op("replace", "/name", "bond9")}, 200, "", object{"name": "bond9"}},
		{"a group's taken name", nil, group, []object{op("replace", "/name", "bond1")}, 409, "A portgroup with name bond1 already exists.", nil},
		{"a group without its address", nil, group, []object{op("remove", "/address")}, 200, "", object{"address": nil}},
		{"a group without mode", nil, group, []object{op("remove", "/mode")}, 400, "'mode' is a mandatory attribute and can not be removed", nil},
		{"a group while inspecting", func(n *node.Node) { n.ProvisionState = node.StateInspecting }, group, []object{op("replace", "/name", "x")}, 409, `in state "inspecting"`, nil},

		{"a connector while the power is unknown", nil, conn, []object{op("replace", "/connector_id", "c")}, 400, `"volume connector update" can not be performed`, nil},
		{"a connector while off", off, conn, []object{op("replace", "/connector_id", "c")}, 200, "", object{"connector_id": "c"}},
		{"a taken connector", off, conn, []object{op("replace", "/connector_id", "b")}, 409, "already exists", nil},
		{"a connector without type", off, conn, []object{op("remove", "/type")}, 400, "type: is required", nil},
		{"a connector by a name", off, "/v1/volume/connectors/a", []object{}, 400, "Expected a UUID but received a.", nil},
		{"a target while on", func(n *node.Node) { n.PowerState = node.PowerOn }, target, []object{op("replace", "/volume_id", "x")}, 400, `while it is in state "power on"`, nil},
		{"a target while off", off, target, []object{op("replace", "/boot_index", 7)}, 200, "", object{"boot_index": 7.}},
		{"a taken boot index", off, target, []object{op("replace", "/boot_index", 1)}, 409, "A volume target with boot index '1' for the same node already exists.", nil},
		{"no boot index", off, target, []object{op("replace", "/boot_index", nil)}, 400, "boot_index: is required", nil},
		{"half a boot index", off, target, []object{op("replace", "/boot_index", 1.5)}, 400, "boot_index: must be a whole number", nil},
		{
			"a mask for a secret", off, target,
			[]object{op("replace", "/properties", object{"auth_password": "******", "lun": 1})},
			200, "",
			object{"properties": object{"auth_password": "******", "lun": 1.}},
		},
		{"a node of a volume by its name", off, target, []object{op("replace", "/node_uuid", "n2")}, 400, "Expected a UUID for node_uuid", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.family(t)
				if tt.before != nil {
					s.edit(t, idA, tt.before)
					s.edit(t, idB, tt.before)
				}
				was := s.records(t)
				r := s.want(t, tt.status, "PATCH", tt.path, tt.patch)
				if !strings.Contains(r.fault(), tt.text) {
					t.Errorf("%q does not say %q", r.fault(), tt.text)
				}
				for field, want := range tt.after {
					if diff := cmp.Diff(want, r.Body[field]); diff != "" {
						t.Errorf("%s: -want +got\n%s", field, diff)
					}
				}
				if is := s.records(t); (tt.status != 200 || len(tt.patch) == 0) && !cmp.Equal(was, is) {
					t.Errorf("a patch of nothing has changed something: %s", cmp.Diff(was, is))
				}
				if tt.status == 200 {
					at := tt.path[:strings.LastIndex(tt.path, "/")+1] + r.Body["uuid"].(string)
					if got := s.want(t, 200, "GET", at, nil); !cmp.Equal(got.Body, r.Body) {
						t.Errorf("the answer is not what is stored: %s", cmp.Diff(r.Body, got.Body))
					}
				}
			})
		})
	}
}

// records are those of both nodes as etcd has them.
func (s *server) records(t *testing.T) []*node.Records {
	t.Helper()
	var all []*node.Records
	for _, id := range []node.ID{idA, idB} {
		rs, err := s.store.Records(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		rs.Revision = 0
		all = append(all, rs)
	}
	return all
}

func TestPatchKeepsSecretsOfVolumes(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.family(t)
		s.edit(t, idA, func(n *node.Node) { n.PowerState = node.PowerOff })
		s.want(t, 200, "PATCH", "/v1/volume/targets/"+targetA, []object{op("replace", "/properties", object{"auth_password": "******", "lun": 1})})
		v, err := s.store.VolumeTarget(t.Context(), targetA)
		if err != nil || v.Properties["auth_password"] != "pw" || v.Properties.Text("lun") != "1" {
			t.Errorf("%#v %v", map[string]any(v.Properties), err)
		}
	})
}

func TestMoveToAnotherNode(t *testing.T) {
	to := func(ref string) []object { return []object{op("replace", "/node_uuid", ref)} }
	inBubble(t, func(t *testing.T, s *server) {
		s.family(t)
		off := func(n *node.Node) { n.PowerState = node.PowerOff }
		s.edit(t, idA, off)
		// The rules are those of both nodes.
		s.want(t, 400, "PATCH", "/v1/volume/targets/"+targetA, to(idB))
		s.edit(t, idB, off)
		for _, path := range []string{"/v1/ports/" + portA, "/v1/volume/connectors/" + connA, "/v1/volume/targets/" + targetA} {
			r := s.want(t, 200, "PATCH", path, to(idB))
			if got := s.want(t, 200, "GET", path, nil); got.Body["node_uuid"] != idB || !cmp.Equal(got.Body, r.Body) {
				t.Errorf("%s: %s, then %s", path, r.Raw, got.Raw)
			}
		}
		if r := s.want(t, 200, "PATCH", "/v1/ports/"+portA, to("n1")); r.Body["node_uuid"] != idA {
			t.Errorf("by its name: %s", r.Raw)
		}
		// A port leaves its group, and a group its ports.
		if r := s.want(t, 400, "PATCH", "/v1/ports/"+portB, to(idB)); !strings.Contains(r.fault(), "Portgroup "+groupA) {
			t.Errorf("%s", r.Raw)
		}
		r := s.want(t, 400, "PATCH", "/v1/portgroups/"+groupA, to(idB))
		if r.Body["kind"] != "in_use" || !strings.Contains(r.fault(), "contains ports "+portB) {
			t.Errorf("%s", r.Raw)
		}
		s.want(t, 200, "PATCH", "/v1/ports/"+portB, append(to(idB), op("replace", "/portgroup_uuid", groupB)))
		s.want(t, 200, "PATCH", "/v1/portgroups/"+groupA, to(idB))
		s.edit(t, idB, func(n *node.Node) { n.ProvisionState = node.StateActive })
		if r := s.want(t, 409, "PATCH", "/v1/portgroups/"+groupA, to(idA)); !strings.Contains(r.fault(), "can not be associated to node") {
			t.Errorf("%s", r.Raw)
		}
		s.want(t, 409, "PATCH", "/v1/ports/"+portA, to(idB))
	})
}

func TestMoveNeedsBothLocks(t *testing.T) {
	for _, locked := range []string{idA, idB} {
		inBubble(t, func(t *testing.T, s *server) {
			s.family(t)
			l := s.lock(t, s.open(t, "c2.example"), locked, lease.Exclusive)
			patch := []object{op("replace", "/node_uuid", idB)}
			r := s.want(t, 409, "PATCH", "/v1/ports/"+portA, patch)
			if r.Body["kind"] != "locked" || r.Body["node"] != locked {
				t.Errorf("%s", r.Raw)
			}
			later(t, 5*time.Second, func(ctx context.Context) error { return l.Release(ctx, lease.Write{}) })
			s.want(t, 200, "PATCH", "/v1/ports/"+portA+"?wait=30s", patch)
		})
	}
}

// Two who move things in opposite directions do not wait for each other.
func TestMovesCross(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.family(t)
		s.want(t, 200, "PATCH", "/v1/ports/"+portB, []object{op("remove", "/portgroup_uuid"), op("replace", "/node_uuid", idB)})
		start := time.Now()
		for range 10 {
			var wg sync.WaitGroup
			for id, ends := range map[string][]string{portA: {idA, idB}, portB: {idB, idA}} {
				wg.Go(func() {
					for _, to := range []string{ends[1], ends[0]} {
						if r := s.do(t, "PATCH", "/v1/ports/"+id+"?wait=30s", []object{op("replace", "/node_uuid", to)}); r.Status != 200 {
							t.Errorf("%s to %s: %s", id, to, r.Raw)
						}
					}
				})
			}
			wg.Wait()
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestPatchChildVersions(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.family(t)
		for _, tt := range []struct{ path, field, version string }{
			{"ports/" + portA, "pxe_enabled", "1.18"},
			{"ports/" + portA, "portgroup_uuid", "1.23"},
			{"ports/" + portA, "physical_network", "1.33"},
			{"ports/" + portA, "is_smartnic", "1.52"},
			{"ports/" + portA, "name", "1.87"},
			{"ports/" + portA, "description", "1.96"},
			{"portgroups/" + groupA, "mode", "1.25"},
			{"portgroups/" + groupA, "properties", "1.25"},
		} {
			s.want(t, 406, "PATCH", "/v1/"+tt.path, []object{op("remove", "/"+tt.field)}, headerVersion+": "+tt.version)
		}
		s.want(t, 404, "PATCH", "/v1/ports/eth0", []object{}, headerVersion+": 1.87")
		s.want(t, 404, "PATCH", "/v1/portgroups/"+groupA, []object{}, headerVersion+": 1.22")
		s.want(t, 404, "PATCH", "/v1/volume/targets/"+targetA, []object{}, headerVersion+": 1.31")
	})
}
