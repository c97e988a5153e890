package api

import (
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

const (
	idA = "11111111-1111-4111-8111-111111111111"
	idB = "22222222-2222-4222-8222-222222222222"
	idC = "33333333-3333-4333-8333-333333333333"
)

func TestCreateAndShow(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		r := s.want(t, 201, "POST", "/v1/nodes/", object{
			"uuid": idA, "name": "r1-u01", "driver": "fake-hardware", "conductor_group": "North",
			"driver_info": object{"address": "10.0.0.1", "password": "hunter2"},
		})
		if got, want := r.Header.Get("Location"), "http://c1.example:6385/v1/nodes/"+idA; got != want {
			t.Errorf("Location %q, want %q", got, want)
		}
		fields := object{
			"provision_state": "enroll", "power_state": nil, "conductor_group": "north", "reservation": nil, "power_interface": "fake",
			"deploy_interface": "fake", "storage_interface": "noop", "description": nil, "updated_at": nil,
		}
		for field, want := range fields {
			if got, ok := r.Body[field]; !ok || got != want {
				t.Errorf("%s is %v (%t), want %v", field, got, ok, want)
			}
		}
		for _, hidden := range []string{"conductor_affinity", "written_by", "health", "instance_name"} {
			if _, ok := r.Body[hidden]; ok {
				t.Errorf("%s is shown", hidden)
			}
		}
		for _, path := range []string{"/v1/nodes/" + idA, "/v1/nodes/" + strings.ToUpper(idA), "/v1/nodes/r1-u01/", "/nodes/r1-u01"} {
			got := s.want(t, 200, "GET", path, nil)
			if got.Body["uuid"] != idA {
				t.Errorf("GET %s: %s", path, got.Raw)
			}
			if strings.Contains(got.Raw, "hunter2") {
				t.Errorf("GET %s shows the password", path)
			}
		}
		got := s.want(t, 200, "GET", "/v1/nodes/r1-u01?fields=name,links", nil)
		if len(got.Body) != 2 || !strings.Contains(got.Raw, `{"href":"http://c1.example:6385/v1/nodes/`+idA+`","rel":"self"}`) {
			t.Errorf("fields: %s", got.Raw)
		}
	})
}

func TestSecretsAreMasked(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		const secret = "s3cr3t-value"
		s.create(t, object{
			"uuid": idA, "name": "n", "driver_info": object{"ipmi_password": secret, "deep": object{"snmp_community": secret}},
			"instance_info": object{"configdrive": secret, "image_url": secret},
		})
		s.edit(t, idA, func(n *node.Node) { n.DriverInternalInfo = node.Object{"agent_secret_token": secret} })
		s.want(t, 201, "POST", "/v1/volume/targets", object{
			"node_uuid": idA, "volume_type": "iscsi", "boot_index": 0, "volume_id": "v", "properties": object{"auth_password": secret},
		})
		for _, path := range []string{
			"/v1/nodes/n", "/v1/nodes/detail", "/v1/nodes?fields=driver_info,instance_info,driver_internal_info", "/v1/volume/targets?detail=true",
		} {
			if r := s.want(t, 200, "GET", path, nil); strings.Contains(r.Raw, secret) || !strings.Contains(r.Raw, "******") {
				t.Errorf("GET %s: %s", path, r.Raw)
			}
		}
		s.want(t, 400, "POST", "/v1/nodes", object{"driver": "fake-hardware", "driver_info": secret})
		if strings.Contains(s.log.String(), secret) {
			t.Error("the log has the secret")
		}
	})
}

func TestListFiltersAndPages(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "n3", "owner": "ann", "resource_class": "big", "description": "the old one"})
		s.create(t, object{"uuid": idB, "name": "n1", "lessee": "ann", "maintenance": true, "instance_uuid": idC, "shard": "s1"})
		s.create(t, object{"uuid": idC, "name": "n2", "retired": true, "conductor_group": "g", "parent_node": idA})
		s.edit(t, idB, func(n *node.Node) { n.ProvisionState, n.Fault = node.StateActive, "power failure" })
		tests := []struct{ query, want string }{
			{"", "n3 n1"},
			{"?include_children=true", "n3 n1 n2"},
			{"?parent_node=n3", "n2"},
			{"?maintenance=true", "n1"},
			{"?maintenance=False", "n3"},
			{"?associated=1", "n1"},
			{"?instance_uuid=" + strings.ToUpper(idC), "n1"},
			{"?provision_state=active", "n1"},
			{"?driver=fake-hardware", "n3 n1"},
			{"?driver=redfish", ""},
			{"?resource_class=big", "n3"},
			{"?owner=ann", "n3"},
			{"?lessee=ann", "n1"},
			{"?project=ann", "n3 n1"},
			{"?fault=power+failure", "n1"},
			{"?description_contains=old", "n3"},
			{"?shard=s1,s2", "n1"},
			{"?sharded=false", "n3"},
			{"?conductor_group=g&include_children=yes", "n2"},
			{"?retired=true&include_children=true", "n2"},
			{"?sort_key=name&include_children=true", "n1 n2 n3"},
			{"?sort_key=name&sort_dir=desc&include_children=true", "n3 n2 n1"},
			{"?sort_key=maintenance&include_children=true", "n3 n2 n1"},
			{"?sort_key=created_at&sort_dir=desc", "n1 n3"},
			{"?sort_dir=desc", "n1 n3"},
			{"?marker=" + idA, "n1"},
			{"?sort_key=name&marker=" + idB + "&include_children=1", "n2 n3"},
		}
		for _, tt := range tests {
			if got := s.want(t, 200, "GET", "/v1/nodes"+tt.query, nil).names("nodes", "name"); got != tt.want {
				t.Errorf("%q lists %q, want %q", tt.query, got, tt.want)
			}
		}
		for _, start := range []string{"/v1/nodes/?limit=1&include_children=true&fields=name", "/v1/nodes?limit=1&include_children=true&fields=name&sort_key=name"} {
			var seen []string
			for path := start; path != ""; {
				r := s.want(t, 200, "GET", path, nil)
				seen = append(seen, r.names("nodes", "name"))
				next, _ := r.Body["next"].(string)
				path = strings.TrimPrefix(next, "http://c1.example:6385")
			}
			if len(seen) != 3 {
				t.Errorf("pages of %s: %q", start, seen)
			}
		}
	})
}

func TestReservationIsTheHolder(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		s.create(t, object{"uuid": idB, "name": "b"})
		s.create(t, object{"uuid": idC, "name": "c"})
		other := s.open(t, "c2.example")
		s.lock(t, other, idA, lease.Exclusive)
		s.lock(t, other, idB, lease.Shared)
		if _, err := s.client.Put(t.Context(), lease.DefaultRoot+"locks/"+idC+"/by-hand", ""); err != nil {
			t.Fatal(err)
		}
		r := s.want(t, 200, "GET", "/v1/nodes?fields=name,reservation", nil)
		if got, want := r.names("nodes", "reservation"), "c2.example <nil> unknown"; got != want {
			t.Errorf("reservations %q, want %q", got, want)
		}
		if r := s.want(t, 200, "GET", "/v1/nodes/a", nil); r.Body["reservation"] != "c2.example" {
			t.Errorf("one node: %s", r.Raw)
		}
	})
}

func TestDeleteRules(t *testing.T) {
	tests := []struct {
		name   string
		change func(*node.Node)
		status int
		kind   string
	}{
		{"enroll", func(*node.Node) {}, 204, ""},
		{"in use", func(n *node.Node) { n.InstanceUUID = idC }, 409, "associated"},
		{"in use, maintenance", func(n *node.Node) { n.InstanceUUID, n.Maintenance = idC, true }, 204, ""},
		{"protected", func(n *node.Node) { n.Protected, n.Maintenance = true, true }, 403, "protected"},
		{"associated before protected", func(n *node.Node) { n.Protected, n.InstanceUUID, n.ProvisionState = true, idC, node.StateActive }, 409, "associated"},
		{"protected before the state", func(n *node.Node) { n.Protected, n.ProvisionState = true, node.StateActive }, 403, "protected"},
		{"active", func(n *node.Node) { n.ProvisionState = node.StateActive }, 409, "invalid_state"},
		{"deploying", func(n *node.Node) { n.ProvisionState = node.StateDeploying }, 409, "invalid_state"},
		{"clean failed", func(n *node.Node) { n.ProvisionState = node.StateCleanFailed }, 409, "invalid_state"},
		{"available", func(n *node.Node) { n.ProvisionState = node.StateAvailable }, 204, ""},
		{"manageable", func(n *node.Node) { n.ProvisionState = node.StateManageable }, 204, ""},
		{"adopt failed", func(n *node.Node) { n.ProvisionState = node.StateAdoptFailed }, 204, ""},
		{"active, maintenance", func(n *node.Node) { n.ProvisionState, n.Maintenance = node.StateActive, true }, 204, ""},
		{"no such driver any more", func(n *node.Node) { n.Driver = "gone" }, 204, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.create(t, object{"uuid": idA, "name": "a"})
				s.edit(t, idA, tt.change)
				r := s.want(t, tt.status, "DELETE", "/v1/nodes/a", nil)
				if r.Status != 204 {
					if r.Body["kind"] != tt.kind || r.Header.Get("Retry-After") != "" {
						t.Errorf("%s %v", r.Raw, r.Header)
					}
					return
				}
				s.want(t, 404, "GET", "/v1/nodes/"+idA, nil)
				s.create(t, object{"name": "a"}) // the name is free again
			})
		})
	}
}

func TestCorruptRecords(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		key := lease.DefaultRoot + "nodes/" + idB
		if _, err := s.client.Put(t.Context(), key, `{"driver": 7, "password": "hunter2"`); err != nil {
			t.Fatal(err)
		}
		list := s.want(t, 200, "GET", "/v1/nodes", nil)
		if got := list.names("nodes", "name"); got != "a" {
			t.Errorf("listed %q", got)
		}
		told, _ := list.Body["errors"].([]any)
		if len(told) != 1 || !strings.Contains(told[0].(string), key) || !strings.Contains(told[0].(string), "etcdctl get --rev=") ||
			list.Header.Get("Warning") != `199 - "1 corrupt records left out, see errors"` || strings.Contains(list.Raw, "hunter2") {
			t.Errorf("not told well: %q %s", list.Header.Get("Warning"), list.Raw)
		}
		r := s.want(t, 500, "GET", "/v1/nodes/"+idB, nil)
		if !strings.Contains(r.fault(), key) || strings.Contains(r.Raw, "hunter2") {
			t.Errorf("%s", r.Raw)
		}
		if !strings.Contains(s.log.String(), key) {
			t.Error("the log does not name the key")
		}
		if _, err := s.client.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		list = s.want(t, 200, "GET", "/v1/nodes", nil)
		if list.Header.Get("Warning") != "" || list.Body["errors"] != nil {
			t.Errorf("told for nothing: %q %s", list.Header.Get("Warning"), list.Raw)
		}
	})
}
