package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

func TestPorts(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		s.create(t, object{"uuid": idB, "name": "b"})
		group := s.want(t, 201, "POST", "/v1/portgroups", object{"node_uuid": idA, "name": "bond0"}).Body
		if group["mode"] != "active-backup" || group["standalone_ports_supported"] != true || group["address"] != nil {
			t.Errorf("portgroup %v", group)
		}
		var ids []string
		for i, n := range []string{idA, idA, idB} {
			in := object{"node_uuid": n, "address": fmt.Sprintf("52:54:00:CF:2D:3%d", i), "name": fmt.Sprintf("eth%d", i)}
			if i == 0 {
				in["portgroup_uuid"] = group["uuid"]
			}
			r := s.want(t, 201, "POST", "/v1/ports", in)
			if r.Header.Get("Location") != "http://c1.example:6385/v1/ports/"+r.Body["uuid"].(string) || r.Body["pxe_enabled"] != true {
				t.Errorf("port %s, %v", r.Raw, r.Header)
			}
			ids = append(ids, r.Body["uuid"].(string))
		}
		for path, want := range map[string]int{
			"/v1/ports": 3, "/v1/ports/detail": 3, "/v1/ports?node=a": 2, "/v1/ports?node_uuid=" + idB: 1, "/v1/ports?address=52:54:00:CF:2D:31": 1,
			"/v1/nodes/a/ports": 2, "/v1/nodes/b/ports/detail": 1, "/v1/portgroups/bond0/ports": 1, "/v1/ports?portgroup=bond0": 1,
			"/v1/ports?fields=name&sort_key=address": 3, "/v1/ports?limit=2": 2,
		} {
			if r := s.want(t, 200, "GET", path, nil); len(r.Body["ports"].([]any)) != want {
				t.Errorf("%s lists %d, want %d", path, len(r.Body["ports"].([]any)), want)
			}
		}
		for _, ref := range []string{ids[0], "eth0", "52:54:00:cf:2d:30"} {
			if r := s.want(t, 200, "GET", "/v1/ports/"+ref, nil); r.Body["address"] != "52:54:00:cf:2d:30" {
				t.Errorf("GET %s: %s", ref, r.Raw)
			}
		}
		if r := s.want(t, 400, "DELETE", "/v1/portgroups/bond0", nil); r.Body["kind"] != "in_use" {
			t.Errorf("%s", r.Raw)
		}
		s.want(t, 400, "DELETE", "/v1/ports/eth0", nil) // uuid only
		s.want(t, 204, "DELETE", "/v1/ports/"+ids[0], nil)
		s.want(t, 404, "DELETE", "/v1/ports/"+ids[0], nil)
		s.want(t, 204, "DELETE", "/v1/portgroups/bond0", nil)
		s.want(t, 201, "POST", "/v1/ports", object{"node_uuid": idB, "address": "52:54:00:cf:2d:30"}) // the MAC is free again

		l := s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		s.want(t, 409, "DELETE", "/v1/ports/"+ids[1]+"?wait=0", nil)
		s.want(t, 201, "POST", "/v1/ports", object{"node_uuid": idA, "address": "52:54:00:cf:2d:77"}) // needs no lock
		if err := l.Release(t.Context(), lease.Write{}); err != nil {
			t.Fatal(err)
		}
		s.want(t, 204, "DELETE", "/v1/nodes/a", nil) // with its ports
		s.want(t, 404, "GET", "/v1/ports/"+ids[1], nil)
	})
}

func TestPortWithVIF(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		p := &node.Port{NodeUUID: idA, Address: "52:54:00:cf:2d:31", InternalInfo: node.Object{"tenant_vif_port_id": "vif1"}}
		if err := s.store.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if r := s.want(t, 409, "DELETE", "/v1/ports/"+p.UUID, nil); !strings.Contains(r.fault(), "vif1") || r.Body["kind"] != "associated" {
			t.Errorf("%s", r.Raw)
		}
		s.want(t, 202, "PUT", "/v1/nodes/"+idA+"/maintenance", nil)
		s.want(t, 204, "DELETE", "/v1/ports/"+p.UUID, nil)
	})
}

func TestVolumes(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		c := s.want(t, 201, "POST", "/v1/volume/connectors", object{"node_uuid": idA, "type": "iqn", "connector_id": "iqn.2026:x"}).Body
		v := s.want(t, 201, "POST", "/v1/volume/targets", object{"node_uuid": idA, "volume_type": "iscsi", "boot_index": 0, "volume_id": "v"}).Body
		s.want(t, 409, "POST", "/v1/volume/connectors", object{"node_uuid": idA, "type": "iqn", "connector_id": "iqn.2026:x"})
		s.want(t, 409, "POST", "/v1/volume/targets", object{"node_uuid": idA, "volume_type": "iscsi", "boot_index": 0, "volume_id": "w"})
		for path, key := range map[string]string{
			"/v1/volume/connectors": "connectors", "/v1/nodes/a/volume/connectors": "connectors", "/v1/volume/connectors?node=a&detail=true": "connectors",
			"/v1/volume/targets": "targets", "/v1/nodes/a/volume/targets": "targets",
		} {
			if r := s.want(t, 200, "GET", path, nil); len(r.Body[key].([]any)) != 1 {
				t.Errorf("%s: %s", path, r.Raw)
			}
		}
		s.want(t, 200, "GET", "/v1/volume", nil)
		s.want(t, 200, "GET", "/v1/nodes/a/volume", nil)
		s.edit(t, idA, func(n *node.Node) { n.ProvisionState, n.PowerState = node.StateActive, node.PowerOn })
		target, connector := "/v1/volume/targets/"+v["uuid"].(string), "/v1/volume/connectors/"+c["uuid"].(string)
		s.want(t, 400, "DELETE", target, nil) // the machine uses it
		s.edit(t, idA, func(n *node.Node) { n.PowerState = node.PowerOff })
		s.want(t, 204, "DELETE", target, nil)
		s.want(t, 204, "DELETE", connector, nil)
		s.want(t, 404, "GET", target, nil)
	})
}

// Every column is a field of its record or derived, so that rendering finds it.
func TestColumnsAreThere(t *testing.T) {
	store := node.NewStore(nil, lease.DefaultRoot)
	a := &api{cfg: Config{Store: store, Lists: store}}
	check(t, a.nodes())
	check(t, a.ports())
	check(t, a.portgroups())
	check(t, a.connectors())
	check(t, a.targets())
	check(t, a.allocations())
	check(t, a.templates())
	check(t, a.runbooks())
	check(t, a.chassis())
}

func check[R node.Record](t *testing.T, s *resource[R]) {
	t.Helper()
	for name := range s.columns {
		if _, ok := s.fields[name]; !ok && s.derived[name] == nil {
			t.Errorf("%s has no %s", s.kind, name)
		}
	}
	for _, name := range s.brief {
		if _, ok := s.columns[name]; !ok {
			t.Errorf("the brief list of %ss has the unknown column %s", s.kind, name)
		}
	}
}

func TestListsOfPortgroups(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		s.create(t, object{"uuid": idB, "name": "b"})
		for name, id := range map[string]string{"bond0": idA, "bond1": idB} {
			s.want(t, 201, "POST", "/v1/portgroups", object{"node_uuid": id, "name": name, "properties": object{"miimon": "100"}})
		}
		r := s.want(t, 200, "GET", "/v1/portgroups/detail?sort_key=name", nil)
		if got := r.names("portgroups", "name") + " " + r.names("portgroups", "properties"); got != "bond0 bond1 map[miimon:100] map[miimon:100]" {
			t.Errorf("in detail: %s", got)
		}
		if got := s.want(t, 200, "GET", "/v1/nodes/b/portgroups", nil).names("portgroups", "name"); got != "bond1" {
			t.Errorf("those of b: %s", got)
		}
	})
}
