package api

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

// pages reads a list to its end, so many at a time.
func (s *server) pages(t *testing.T, list, path string) (items []any) {
	t.Helper()
	for n := 0; path != ""; n++ {
		r := s.want(t, 200, "GET", path, nil)
		items = append(items, r.Body[list].([]any)...)
		next, _ := r.Body["next"].(string)
		path = strings.TrimPrefix(next, "http://c1.example:6385")
		if n > 100 {
			t.Fatalf("no end: %s", path)
		}
	}
	return items
}

// TestEveryColumnSorts pages through a list in order of each column that sorts,
// up and down: nothing comes twice, nothing is missing, and all is in order.
func TestEveryColumnSorts(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		states, text := node.States(), []string{"", "a", "b", "B", "~"}
		const count = 12
		for range count {
			id := s.create(t, object{"owner": text[r.IntN(5)], "description": text[r.IntN(5)], "maintenance": r.IntN(2) == 0})
			time.Sleep(time.Duration(r.IntN(2)) * time.Second)
			s.edit(t, id, func(n *node.Node) {
				n.ProvisionState = states[r.IntN(len(states))]
				if r.IntN(2) == 0 {
					n.AutomatedClean = new(r.IntN(2) == 0)
				}
			})
		}
		sorts := 0
		nodes := (&api{cfg: s.config(s.session)}).nodes()
		for name, col := range nodeColumns {
			if !nodes.sortable(name) || col.since == beyond {
				continue
			}
			sorts++
			for _, dir := range []string{"asc", "desc"} {
				items := s.pages(t, "nodes", fmt.Sprintf("/v1/nodes/detail?limit=5&sort_key=%s&sort_dir=%s", name, dir))
				seen := map[any]bool{}
				keys := make([]string, len(items))
				for i, n := range items {
					seen[n.(object)["uuid"]] = true
					keys[i] = fmt.Sprint(n.(object)[name])
					if n.(object)[name] == nil {
						keys[i] = ""
					}
				}
				if dir == "desc" {
					slices.Reverse(keys)
				}
				if len(seen) != count || len(items) != count || !slices.IsSorted(keys) {
					t.Errorf("by %s %s: %d nodes, %d different, in the order %q", name, dir, len(items), len(seen), keys)
				}
			}
		}
		if sorts < 40 {
			t.Errorf("only %d columns sort", sorts)
		}
	})
}

func TestPagesOfAllLists(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.family(t)
		for path, list := range map[string]string{
			"/v1/nodes?limit=1": "nodes", "/v1/ports?limit=1": "ports", "/v1/ports/detail?limit=1&sort_key=address": "ports",
			"/v1/portgroups?limit=1": "portgroups", "/v1/volume/connectors?limit=1&sort_key=connector_id": "connectors",
			"/v1/volume/targets?limit=1&sort_key=boot_index&sort_dir=desc": "targets", "/v1/nodes/n1/ports?limit=1": "ports",
			"/v1/nodes/" + idA + "/volume/targets/?limit=1&fields=uuid": "targets", "/v1/nodes?limit=1&maintenance=false": "nodes",
		} {
			if got := len(s.pages(t, list, path)); got != 2 {
				t.Errorf("%s: %d in all, want 2", path, got)
			}
		}
		if r := s.want(t, 200, "GET", "/v1/nodes?limit=2", nil); r.Body["next"] != nil {
			t.Errorf("a page that has all names a next one: %s", r.Raw)
		}
	})
}

func TestConductorOfANode(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		if got := s.want(t, 200, "GET", "/v1/nodes/"+idA, nil).Body["conductor"]; got != nil {
			t.Errorf("nobody follows who lives, and the conductor is %v", got)
		}
		for path, want := range map[string]int{"/v1/nodes?conductor=c1.example": 0, "/v1/nodes?conductor=": 1} {
			if r := s.want(t, 200, "GET", path, nil); len(r.Body["nodes"].([]any)) != want {
				t.Errorf("%s: %s", path, r.Raw)
			}
		}
		s.want(t, 406, "GET", "/v1/nodes?conductor=c1.example", nil, headerVersion+": 1.48")
	})
}

func TestCreateAsOldClientsDo(t *testing.T) {
	tests := []struct {
		version string
		fields  object
		status  int
		after   object
	}{
		{"latest", object{"maintenance": "Yes", "automated_clean": "off", "retired": "0"}, 201, object{"maintenance": true, "automated_clean": false, "retired": false}},
		{"latest", object{"instance_uuid": nil, "properties": nil, "maintenance": nil, "name": nil}, 201, object{"instance_uuid": nil, "properties": object{}, "maintenance": false}},
		{"1.1", object{"name": nil, "conductor_group": "", "owner": nil}, 201, object{}},
		{"1.1", object{"name": "n"}, 406, nil},
		{"1.45", object{"conductor_group": "a"}, 406, nil},
		{"1.9", object{"name": "n_1"}, 400, nil},
		{"1.9", object{"name": "n-1.example"}, 201, object{"name": "n-1.example"}},
		{"1.10", object{"name": "n_1~"}, 201, object{"name": "n_1~"}},
		{"latest", object{"parent_node": "parent"}, 201, object{"parent_node": idA}},
		{"latest", object{"parent_node": "nobody"}, 400, nil},
		{"latest", object{"chassis_uuid": idC}, 400, nil},
		{"latest", object{"boot_mode": "uefi", "secure_boot": "true"}, 201, object{"boot_mode": "uefi", "secure_boot": true}},
		{"1.74", object{"boot_mode": "uefi"}, 406, nil},
		{"latest", object{"protected": true}, 400, nil},
		{"latest", object{"instance_name": "x"}, 400, nil},
		{"latest", object{"driver_internal_info": object{}}, 400, nil},
	}
	for _, tt := range tests {
		inBubble(t, func(t *testing.T, s *server) {
			s.create(t, object{"uuid": idA, "name": "parent"})
			tt.fields["driver"] = "fake-hardware"
			r := s.want(t, tt.status, "POST", "/v1/nodes", tt.fields, headerVersion+": "+tt.version)
			for field, want := range tt.after {
				if got := r.Body[field]; fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%v in %s: %s is %v, want %v", tt.fields, tt.version, field, got, want)
				}
			}
		})
	}
	inBubble(t, func(t *testing.T, s *server) {
		id := s.create(t, object{"instance_info": object{"display_name": "web"}})
		if got := s.stored(t, id).InstanceName; got != "web" {
			t.Errorf("instance_name %q", got)
		}
		s.want(t, 201, "POST", "/v1/ports", object{"node_uuid": id, "address": "52:54:00:00:00:01", "pxe_enabled": "False", "is_smartnic": nil})
		p, err := s.store.Port(t.Context(), "52:54:00:00:00:01")
		if err != nil || *p.PXEEnabled {
			t.Errorf("%v, %v", p, err)
		}
	})
}

// TestConflictsAreToldApart has one request for each kind of conflict: only that
// of a lock says to try again.
func TestConflictsAreToldApart(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.family(t)
		s.edit(t, idA, func(n *node.Node) { n.ProvisionState, n.InstanceUUID = node.StateActive, idC })
		tests := []struct {
			kind, method, path string
			body               any
			facts              object
		}{
			{"locked", "PATCH", "/v1/nodes/n2", []object{op("add", "/extra/a", 1)}, object{"holder": "c2.example", "purpose": "deploy", "node": idB}},
			{"invalid_state", "PATCH", "/v1/nodes/n1", []object{op("add", "/protected", true), op("add", "/network_interface", "fake")}, nil},
			{"associated", "PATCH", "/v1/nodes/n1", []object{op("replace", "/instance_uuid", idA)}, nil},
			{"duplicate", "PATCH", "/v1/nodes/n1", []object{op("replace", "/name", "n2")}, object{"field": "name", "value": "n2", "owner": idB}},
			{"power_state", "PUT", "/v1/nodes/n1/states/power", object{"target": "power off"}, nil},
		}
		s.edit(t, idA, func(n *node.Node) { n.DisablePowerOff = true })
		c2 := s.open(t, "c2.example")
		s.lock(t, c2, idB, "exclusive")
		for _, tt := range tests {
			r := s.want(t, 409, tt.method, tt.path, tt.body)
			if r.Body["kind"] != tt.kind || (r.Header.Get("Retry-After") != "") != (tt.kind == "locked") {
				t.Errorf("%s: %v %s", tt.kind, r.Header, r.Raw)
			}
			for name, want := range tt.facts {
				if r.Body[name] != want {
					t.Errorf("%s: %s is %v, want %v", tt.kind, name, r.Body[name], want)
				}
			}
			if tt.kind != "locked" {
				continue
			}
			if queue, ok := r.Body["queue"].([]any); !ok || len(queue) != 0 || r.Body["since"] == nil || r.Body["mode"] != "exclusive" || r.Body["free_by"] == nil {
				t.Errorf("%s", r.Raw)
			}
		}
	})
}

// TestQueueIsTold: who is refused learns who else waits.
func TestQueueIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		s.lock(t, s.open(t, "c2.example"), idA, "exclusive")
		done := make(chan reply)
		go func() { done <- s.do(t, "PUT", "/v1/nodes/"+idA+"/maintenance?wait=1m", object{"reason": "x"}) }()
		time.Sleep(time.Second)
		r := s.want(t, 409, "DELETE", "/v1/nodes/"+idA+"/maintenance?wait=0", nil)
		queue, _ := r.Body["queue"].([]any)
		if len(queue) != 1 || queue[0].(object)["holder"] != "c1.example" || queue[0].(object)["purpose"] != purposeMaintenance {
			t.Errorf("%s", r.Raw)
		}
		if r := <-done; r.Status != 409 {
			t.Errorf("%d %s", r.Status, r.Raw)
		}
	})
}
