package api

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// available makes a node that can be allocated.
func (s *server) available(t *testing.T, id, name string) {
	t.Helper()
	s.create(t, object{"uuid": id, "name": name, "resource_class": "baremetal"})
	s.edit(t, id, func(n *node.Node) { n.ProvisionState = node.StateAvailable })
}

func TestAllocations(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.available(t, idA, "a")
		r := s.want(t, 201, "POST", "/v1/allocations", object{"uuid": "11111111-1111-4111-8111-111111111111", "resource_class": "baremetal", "name": "web", "extra": object{"k": "v"}, "candidate_nodes": []string{"a"}})
		id := r.Body["uuid"].(string)
		if r.Header.Get("Location") != "http://c1.example:6385/v1/allocations/"+id || r.Body["state"] != "allocating" || r.Body["node_uuid"] != nil ||
			fmt.Sprint(r.Body["candidate_nodes"]) != "["+idA+"]" || r.Body["conductor_affinity"] != nil {
			t.Errorf("got %s, %v", r.Raw, r.Header)
		}
		synctest.Wait()
		for _, path := range []string{"/v1/allocations/" + id, "/v1/allocations/web", "/v1/nodes/a/allocation", "/v1/nodes/" + idA + "/allocation"} {
			if got := s.want(t, 200, "GET", path, nil).Body; got["state"] != "active" || got["node_uuid"] != idA || got["uuid"] != id {
				t.Errorf("%s: %v", path, got)
			}
		}
		if got := s.want(t, 200, "GET", "/v1/nodes/a", nil).Body; got["allocation_uuid"] != id || got["instance_uuid"] != id {
			t.Errorf("got %v, %v", got["allocation_uuid"], got["instance_uuid"])
		}
		if got := s.want(t, 200, "GET", "/v1/nodes/a/allocation?fields=name,state", nil).Body; len(got) != 2 {
			t.Errorf("got %v", got)
		}
		s.want(t, 409, "POST", "/v1/allocations", object{"resource_class": "x", "name": "web"})
		failed := s.want(t, 201, "POST", "/v1/allocations", object{"uuid": "22222222-2222-4222-8222-222222222222", "resource_class": "gpu", "owner": "p1"}).Body["uuid"].(string)
		synctest.Wait()
		if got := s.want(t, 200, "GET", "/v1/allocations/"+failed, nil).Body; got["state"] != "error" || !strings.Contains(fmt.Sprint(got["last_error"]), "gpu") {
			t.Errorf("got %v", got)
		}
		for query, want := range map[string]string{
			"": id + " " + failed, "?node=a": id, "?node=" + idA: id, "?resource_class=gpu": failed, "?state=error": failed, "?owner=p1": failed,
			"?state=active&resource_class=gpu": "", "?state=nonsense": "",
		} {
			if got := s.want(t, 200, "GET", "/v1/allocations"+query, nil).names("allocations", "uuid"); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
		if item := s.want(t, 200, "GET", "/v1/allocations?limit=1", nil); len(item.Body["allocations"].([]any)[0].(object)) != 13 || item.Body["next"] == nil {
			t.Errorf("got %s", item.Raw)
		}
		s.want(t, 400, "GET", "/v1/allocations?node=nobody", nil)
		s.want(t, 400, "GET", "/v1/allocations?color=red", nil)
		s.want(t, 400, "GET", "/v1/allocations?sort_key=traits", nil)

		s.want(t, 404, "DELETE", "/v1/allocations/nobody", nil)
		s.want(t, 204, "DELETE", "/v1/allocations/"+failed, nil)
		s.edit(t, idA, func(n *node.Node) { n.ProvisionState = node.StateActive })
		if r := s.want(t, 409, "DELETE", "/v1/allocations/web", nil); r.Body["kind"] != "invalid_state" || !strings.Contains(r.fault(), "maintenance") {
			t.Errorf("got %s", r.Raw)
		}
		s.want(t, 409, "DELETE", "/v1/nodes/a/allocation", nil)
		s.want(t, 202, "PUT", "/v1/nodes/a/maintenance", nil)
		s.want(t, 204, "DELETE", "/v1/nodes/a/allocation", nil)
		if r := s.want(t, 404, "GET", "/v1/nodes/a/allocation", nil); r.fault() != "Allocation for node a was not found." {
			t.Errorf("got %s", r.fault())
		}
		s.want(t, 404, "DELETE", "/v1/nodes/a/allocation", nil)
		s.want(t, 404, "GET", "/v1/allocations/"+id, nil)
		if got := s.want(t, 200, "GET", "/v1/nodes/a", nil).Body; got["allocation_uuid"] != nil || got["instance_uuid"] != nil {
			t.Errorf("got %v, %v", got["allocation_uuid"], got["instance_uuid"])
		}
	})
}

func TestAllocationRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		for _, tt := range []struct {
			version string
			body    any
			status  int
			want    string
		}{
			{"latest", object{}, 400, "resource_class: is required"},
			{"latest", object{"resource_class": strings.Repeat("x", 81)}, 400, "resource_class: is 81"},
			{"latest", object{"resource_class": "x", "state": "active"}, 400, "state: cannot be set"},
			{"latest", object{"resource_class": "x", "node_uuid": idA}, 400, "node_uuid: cannot be set"},
			{"latest", object{"resource_class": "x", "conductor_affinity": "c1"}, 400, "conductor_affinity: unknown field"},
			{"latest", object{"resource_class": "x", "name": "a/b"}, 400, "name: use only"},
			{"latest", object{"resource_class": "x", "traits": []string{"x"}}, 400, "traits: "},
			{"latest", object{"resource_class": "x", "traits": "CUSTOM_A"}, 400, "traits: must be a list"},
			{"latest", object{"resource_class": "x", "candidate_nodes": []string{"nobody"}}, 400, "Node nobody could not be found"},
			{"latest", object{"resource_class": "x", "uuid": "x"}, 400, "uuid: "},
			{"latest", object{"node": "nobody"}, 400, "Node nobody could not be found"},
			{"latest", object{"node": 5}, 400, "node: must be text"},
			{"1.59", object{"resource_class": "x", "owner": "p"}, 406, "owner"},
			{"1.57", object{"resource_class": "x", "node": "a"}, 400, "1.58"},
			{"1.51", object{"resource_class": "x"}, 404, "1.52"},
		} {
			s.version = tt.version
			if r := s.want(t, tt.status, "POST", "/v1/allocations", tt.body); !strings.Contains(r.fault(), tt.want) {
				t.Errorf("%v: %s, want %s", tt.body, r.fault(), tt.want)
			}
		}
		if all, err := s.store.Allocations(t.Context(), node.ListRequest[*node.Allocation]{}); err != nil || len(all.Items) != 0 {
			t.Errorf("stored: %v, %v", all, err)
		}
		s.version = "1.59"
		s.want(t, 406, "GET", "/v1/allocations?owner=p", nil)
		s.want(t, 406, "GET", "/v1/allocations?fields=owner", nil)
	})
}

func TestPatchAllocation(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.available(t, idA, "a")
		id := s.want(t, 201, "POST", "/v1/allocations", object{"resource_class": "baremetal", "name": "web"}).Body["uuid"].(string)
		synctest.Wait()
		r := s.want(t, 200, "PATCH", "/v1/allocations/web", []object{
			{"op": "replace", "path": "/name", "value": "db"}, {"op": "add", "path": "/extra/k", "value": "v"},
		})
		if r.Body["name"] != "db" || r.Body["node_uuid"] != idA || r.Body["uuid"] != id {
			t.Errorf("got %s", r.Raw)
		}
		for _, path := range []string{"/state", "/node_uuid", "/resource_class", "/owner", "/traits", "/uuid"} {
			s.want(t, 400, "PATCH", "/v1/allocations/db", []object{{"op": "add", "path": path, "value": "x"}})
		}
		s.want(t, 400, "PATCH", "/v1/allocations/db", []object{{"op": "replace", "path": "/name", "value": "a b"}})
		if r := s.want(t, 200, "PATCH", "/v1/allocations/db", []object{{"op": "remove", "path": "/name"}}); r.Body["name"] != nil {
			t.Errorf("got %s", r.Raw)
		}
		s.version = "1.56"
		s.want(t, 404, "PATCH", "/v1/allocations/"+id, []object{})
	})
}

func TestBackfill(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		instance := uuid.NewString()
		s.create(t, object{"uuid": idA, "name": "a", "resource_class": "baremetal", "instance_uuid": instance})
		if r := s.want(t, 400, "POST", "/v1/allocations", object{"node": "a"}); r.Body["kind"] != "allocation_failed" || !strings.Contains(r.fault(), `state "enroll"`) {
			t.Errorf("got %s", r.Raw)
		}
		s.edit(t, idA, func(n *node.Node) { n.ProvisionState = node.StateActive })
		if r := s.want(t, 409, "POST", "/v1/allocations", object{"node": "a", "uuid": idB}); r.Body["kind"] != "associated" {
			t.Errorf("got %s", r.Raw)
		}
		l := s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		s.want(t, 409, "POST", "/v1/allocations?wait=0", object{"node": "a"})
		if err := l.Release(t.Context(), lease.Write{}); err != nil {
			t.Fatal(err)
		}
		r := s.want(t, 201, "POST", "/v1/allocations", object{"node": "a", "name": "old"})
		if r.Body["state"] != "active" || r.Body["uuid"] != instance || r.Body["node_uuid"] != idA || r.Body["resource_class"] != "baremetal" {
			t.Errorf("got %s", r.Raw)
		}
		// With the instance goes the allocation, and with the node too.
		s.want(t, 202, "PUT", "/v1/nodes/a/maintenance", nil)
		s.want(t, 204, "DELETE", "/v1/nodes/a", nil)
		s.want(t, 404, "GET", "/v1/allocations/old", nil)
	})
}

// TestReadsOfRecords: with the node locked by another, all reads of these kinds are
// answered at once, and etcd gets nothing to write.
func TestReadsOfRecords(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		chassis := s.want(t, 201, "POST", "/v1/chassis", "{}").Body["uuid"].(string)
		s.create(t, object{"uuid": idA, "name": "a", "chassis_uuid": chassis, "resource_class": "baremetal"})
		s.edit(t, idA, func(n *node.Node) { n.ProvisionState = node.StateAvailable })
		s.want(t, 201, "POST", "/v1/allocations", object{"name": "web", "resource_class": "baremetal"})
		s.want(t, 201, "POST", "/v1/deploy_templates", object{"name": "CUSTOM_A", "steps": []object{{"interface": "deploy", "step": "a", "args": object{}, "priority": 1}}})
		s.want(t, 201, "POST", "/v1/runbooks", object{"name": "CUSTOM_A", "steps": []object{{"interface": "raid", "step": "a", "order": 1}}})
		synctest.Wait()
		s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		synctest.Wait()
		before := s.etcd.RaftEntries()
		for _, path := range []string{
			"/nodes/a/traits", "/nodes/a/allocation", "/allocations", "/allocations/web", "/deploy_templates", "/deploy_templates/CUSTOM_A",
			"/runbooks?detail=true", "/runbooks/CUSTOM_A", "/chassis", "/chassis/detail", "/chassis/" + chassis, "/chassis/" + chassis + "/nodes", "/shards",
		} {
			s.want(t, 200, "GET", "/v1"+path, nil)
			if wrote := s.etcd.RaftEntries() - before; wrote != 0 {
				t.Fatalf("%s wrote %d times", path, wrote)
			}
		}
	})
}
